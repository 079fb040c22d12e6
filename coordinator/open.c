#include "coordinator/open.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

#define SAY(where, ...) ((void)snprintf((where), sizeof(where), __VA_ARGS__))

enum {
    /* The part of timeouts.transaction for which they may go on while the coordinator shuts down:
     * with all of it the process would end before they have heard. */
    DRAIN_PART = 2,
};

static uint64_t now_us(const struct server *server)
{
    return server->host.now_us(server->host.self);
}

void opens_init(struct server *server)
{
    list_init(&server->opens.all);
}

static bool match(const struct map_node *node, const void *id)
{
    return txid_equal(CONTAINER(node, struct open, node)->id, *(const struct txid *)id);
}

struct open *open_find(const struct server *server, struct txid id)
{
    struct map_node *node = map_find(&server->opens.map, txid_hash(id), match, &id);
    return node ? CONTAINER(node, struct open, node) : NULL;
}

/* ---- what it is made of ---- */

struct open *open_begin(struct server *server, struct guest *guest, const Wire__Begin *begin)
{
    struct open *open = xcalloc(1, sizeof(*open));
    open->id = recovery_next_id(&server->recovery);
    open->beginner = guest;
    open->three_phase = begin->protocol == WIRE__PROTOCOL__THREE_PHASE;
    open->key = begin->key[0] ? xstrdup(begin->key) : NULL;
    open->begun_us = server->host.wall_us(server->host.self);
    open->due_us = now_us(server) + (begin->timeout_ms ? begin->timeout_ms * UINT64_C(1000)
                                                       : server->config.transaction_timeout_us);
    list_init(&open->performing.in_guest);
    list_append(&guest->opens, &open->in_guest);
    list_append(&server->opens.all, &open->all);
    map_insert(&server->opens.map, &open->node, txid_hash(open->id));
    if (!PLANTED(OPEN_HAS_NO_DEADLINE))
        timers_set(&server->opens.timers, &open->timer, open->due_us);
    return open;
}

int open_add_branch(struct open *open, struct participant *participant, bool joined)
{
    CHECK(open->branch_count < LIMIT_BRANCHES);
    struct open_branch *branch = xcalloc(1, sizeof(*branch));
    branch->open = open;
    branch->participant = participant;
    branch->joined = joined;
    list_init(&branch->at_participant);
    if (!joined)
        list_append(&participant->opens, &branch->at_participant);
    participant->working++;
    open->branches[open->branch_count] = branch;
    return open->branch_count++;
}

void open_drop_last_branch(struct open *open)
{
    CHECK(open->branch_count > 0);
    struct open_branch *branch = open->branches[--open->branch_count];
    CHECK(branch->participant->working > 0);
    branch->participant->working--;
    list_remove(&branch->at_participant);
    free(branch);
}

void open_add_call(struct open *open, int branch, const char *operation)
{
    if (open->call_count == open->call_room) {
        open->call_room = open->call_room ? 2 * open->call_room : 4;
        open->calls = xrealloc(open->calls, (size_t)open->call_room * sizeof(*open->calls));
    }
    open->calls[open->call_count++] = (struct open_call){xstrdup(operation), (uint8_t)branch};
}

int open_find_work(const struct open *open, const struct participant *participant)
{
    for (int i = 0; i < open->branch_count; i++) {
        if (open->branches[i]->participant == participant && !open->branches[i]->joined)
            return i;
    }
    return -1;
}

void open_performed(struct open *open)
{
    list_remove(&open->performing.in_guest);
    open->performing.under_way = false;
    open->performing.guest = NULL;
}

bool open_in_doubt(const struct open *open)
{
    for (int i = 0; i < open->branch_count; i++) {
        if (open->branches[i]->xid != 0)
            return true;
    }
    return false;
}

static void free_open(struct open *open)
{
    while (open->branch_count > 0)
        open_drop_last_branch(open);
    for (int i = 0; i < open->call_count; i++)
        free(open->calls[i].operation);
    free(open->calls);
    free(open->key);
    list_remove(&open->performing.in_guest);
    list_remove(&open->in_guest);
    list_remove(&open->all);
    free(open);
}

void opens_fini(struct server *server)
{
    while (!list_empty(&server->opens.all))
        free_open(CONTAINER(server->opens.all.next, struct open, all));
    map_fini(&server->opens.map);
    timers_fini(&server->opens.timers);
}

/* ---- its end ---- */

static enum transaction_way way_of(const struct open *open)
{
    return open->three_phase && open->branch_count > 0 ? IN_THREE_PHASES : IN_TWO_PHASES;
}

static struct tx *make_tx(struct server *server, const struct open *open)
{
    size_t text = open->key ? strlen(open->key) + 1 : 0;
    for (int i = 0; i < open->call_count; i++)
        text += strlen(open->calls[i].operation) + 1;
    enum transaction_way way = way_of(open);
    struct tx *tx =
        tx_new(open->id, open->branch_count, open->call_count, way == IN_THREE_PHASES, text);
    for (int i = 0; i < open->branch_count; i++) {
        tx->branches[i].participant = open->branches[i]->participant;
        tx->branches[i].joined = open->branches[i]->joined;
        tx->branches[i].claimed_xid = open->branches[i]->xid;
    }
    for (int i = 0; i < open->call_count; i++) {
        tx->calls[i].operation = tx_text(tx, open->calls[i].operation);
        tx->calls[i].branch = open->calls[i].branch;
    }
    if (open->key)
        tx->key_text = tx_text(tx, open->key);
    transaction_init(&tx->machine, tx->machine.branches, open->branch_count, way,
                     open->key != NULL);
    uint64_t now = now_us(server);
    tx->stepwise = true;
    tx->begun_us = open->begun_us;
    tx->timeout_us = open->due_us > now ? open->due_us - now : 0;
    return tx;
}

static void wait_for(struct server *server, struct tx *tx, const struct asker *asker,
                     Wire__Wait wait)
{
    Wire__Submit how = WIRE__SUBMIT__INIT;
    uint64_t left_ms = tx->timeout_us / 1000;
    how.timeout_ms = left_ms > UINT32_MAX ? UINT32_MAX : left_ms > 0 ? (uint32_t)left_ms : 1;
    how.wait = wait;
    server_wait(server, tx, asker, &how, false);
}

/* From here on it is an ordinary transaction. */
static void leave(struct server *server, struct open *open)
{
    timers_clear(&server->opens.timers, &open->timer);
    map_remove(&server->opens.map, &open->node);
    free_open(open);
}

void open_abort(struct server *server, struct open *open, struct participant *participant,
                const Wire__Problem *problem, const struct asker *also)
{
    struct transaction_event event = {.type = EVENT_WITHDRAWN};
    const struct performing *performing = &open->performing;
    struct asker asker = {.guest = performing->guest, .request = performing->request};
    struct tx *tx = make_tx(server, open);
    tx_problem(tx, participant, problem);
    leave(server, open);
    server_list(server, tx);
    if (asker.guest)
        wait_for(server, tx, &asker, WIRE__WAIT__DECIDED);
    if (also)
        wait_for(server, tx, also, WIRE__WAIT__DECIDED);
    CHECK(server_step(server, tx, &event));
}

/* Who is not there can't be asked. Whoever asks for the End would wait for nothing. */
static bool can_vote(const struct open *open, int index, struct refusal *r)
{
    const struct open_branch *branch = open->branches[index];
    const char *name = branch->participant->name;
    if (branch->joined && !branch->handed_over && !PLANTED(OPEN_NOT_HANDED_OVER_IS_DONE)) {
        SAY(r->message, "what was joined at participant %s was not handed over", name);
        SAY(r->detail, "who joined it has not said that it is prepared");
        SAY(r->hint, "a service hands over (troth_hand_over) before it answers its caller");
        return refusal_set(r, "not_handed_over", name, "");
    }
    if (open->three_phase && !server_is_site(branch->participant, r))
        return false;
    if (branch->participant->peer || (branch->joined && branch->xid == 0))
        return true;
    SAY(r->message, "participant %s is not connected", name);
    SAY(r->detail, "only its agent can tell that what was joined there is prepared");
    SAY(r->hint, "see `troth participant list`; start it, and try again");
    return refusal_set(r, "not_connected", name, "");
}

static bool can_take_key(struct server *server, const struct open *open, struct refusal *r)
{
    if (!open->key)
        return true;
    if (keys_find(&server->keys, open->key)) {
        SAY(r->message, "another transaction has taken the idempotency key meanwhile");
        SAY(r->hint, "begin again with the same key: then its outcome is told");
        return refusal_set(r, "key_conflict", "", "");
    }
    return server_has_room_for_key(server, open->key, r);
}

static void take_key(struct server *server, struct tx *tx)
{
    Wire__Submit like = WIRE__SUBMIT__INIT;
    uint8_t print[FINGERPRINT_BYTES];
    if (!tx->key_text || PLANTED(OPEN_KEY_NOT_TAKEN))
        return;
    like.protocol = tx->sites ? WIRE__PROTOCOL__THREE_PHASE : WIRE__PROTOCOL__TWO_PHASE;
    server_fingerprint(server, &like, print);
    tx->key = keys_add(&server->keys, tx->key_text, print, tx, tx->id);
}

/* Those that are over already, as their clients wrote nothing: nobody has to be asked. */
static void vote_for_the_read_only(struct server *server, struct tx *tx)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        struct transaction_event event = {
            .type = EVENT_VOTED, .branch = i, .choice = CHOSE_READ_ONLY};
        if (tx->machine.state != TRANSACTION_VOTING)
            return;
        bool believed = PLANTED(OPEN_HAND_OVER_IS_VOTE) && tx->branches[i].joined &&
                        tx->branches[i].claimed_xid;
        if (believed) {
            tx->branches[i].xid = tx->branches[i].claimed_xid;
            event.choice = CHOSE_YES;
            CHECK(server_step(server, tx, &event));
        }
        if (tx->branches[i].joined && tx->branches[i].claimed_xid == 0) {
            tx->branches[i].voted_ms = tx_age_ms(tx, server->host.wall_us(server->host.self));
            CHECK(server_step(server, tx, &event));
        }
    }
}

void open_commit(struct server *server, struct open *open, const struct asker *asker,
                 Wire__Wait wait)
{
    struct transaction_event event = {.type = EVENT_SUBMITTED};
    struct refusal r = {0};
    bool able = can_take_key(server, open, &r);
    struct participant *where = NULL;
    if (PLANTED(OPEN_END_LEAVES_OUT) && open->branch_count > 1 &&
        open->branches[open->branch_count - 1]->joined)
        open_drop_last_branch(open);
    for (int i = 0; able && i < open->branch_count; i++) {
        able = can_vote(open, i, &r);
        where = able ? NULL : open->branches[i]->participant;
    }
    if (!able) {
        open_abort(server, open, where, &r.problem, asker);
        return;
    }
    struct tx *tx = make_tx(server, open);
    /* What its client thought about before is no time that deciding took. */
    tx->clock.begun_us = now_us(server);
    leave(server, open);
    server_list(server, tx);
    take_key(server, tx);
    wait_for(server, tx, asker, wait);
    /* A crash here: nobody was asked to prepare. The operations' work goes with the sessions, what
     * was joined is told abort when its participant asks, and End in a later session hears that. */
    CRASH_POINT("coordinator.ending");
    CHECK(server_step(server, tx, &event));
    vote_for_the_read_only(server, tx);
}

/* ---- time ---- */

static void pass_deadline(struct server *server, struct open *open)
{
    const struct performing *performing = &open->performing;
    struct participant *slow = NULL;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"deadline";
    problem.message = (char *)"the transaction was not ended before its deadline";
    problem.hint = (char *)"begin it with a longer deadline, or see timeouts.transaction";
    if (open->hurried) {
        problem.code = (char *)"draining";
        problem.message = (char *)"the coordinator is shutting down, and could not wait longer";
        problem.hint = (char *)"begin it again when it is back";
    } else if (performing->under_way) {
        slow = open->branches[performing->branch]->participant;
        problem.operation = open->calls[open->call_count - 1].operation;
        problem.message = (char *)"the operation did not end before the transaction's deadline";
        problem.detail = (char *)"its work may have waited for a lock, or for a free connection";
    }
    open_abort(server, open, slow, &problem, NULL);
}

bool open_expire(struct server *server, struct open *open)
{
    if (open->due_us > now_us(server) || PLANTED(OPEN_HAS_NO_DEADLINE))
        return false;
    pass_deadline(server, open);
    return true;
}

void opens_expire(struct server *server)
{
    uint64_t now = now_us(server);
    for (struct timer *timer; (timer = timers_due(&server->opens.timers, now)) != NULL;)
        pass_deadline(server, CONTAINER(timer, struct open, timer));
}

void opens_drain(struct server *server)
{
    uint64_t last_us = now_us(server) + server->config.transaction_timeout_us / DRAIN_PART;
    struct list *head = &server->opens.all;
    for (struct list *at = head->next; at != head; at = at->next) {
        struct open *open = CONTAINER(at, struct open, all);
        if (open->due_us <= last_us)
            continue;
        open->hurried = true;
        open->due_us = last_us;
        timers_set(&server->opens.timers, &open->timer, last_us);
    }
}

/* ---- who is gone ---- */

void opens_guest_gone(struct server *server, struct guest *guest)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"session_lost";
    problem.message = (char *)"the client that began the transaction is gone";
    problem.hint = (char *)"an open transaction lives by the session that began it";
    while (!list_empty(&guest->performs)) {
        struct open *open = CONTAINER(guest->performs.next, struct open, performing.in_guest);
        list_remove(&open->performing.in_guest);
        open->performing.guest = NULL; /* what it asked for is done all the same */
    }
    while (!list_empty(&guest->opens))
        open_abort(server, CONTAINER(guest->opens.next, struct open, in_guest), NULL, &problem,
                   NULL);
}

void opens_participant_down(struct server *server, struct participant *participant)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"session_lost";
    problem.message = (char *)"the connection to the participant was lost, and the work there is "
                              "rolled back";
    problem.hint = (char *)"see `troth participant list`; the transaction may be begun again";
    while (!list_empty(&participant->opens)) {
        struct open_branch *branch =
            CONTAINER(participant->opens.next, struct open_branch, at_participant);
        open_abort(server, branch->open, participant, &problem, NULL);
    }
}
