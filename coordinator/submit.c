/* New work: is it sound, may it come in now, was it here before; then it begins. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

enum {
    /* Room in a message beside the calls, for its numbers, and with three phases the sites. */
    PREPARE_OVERHEAD_BYTES = 1024,
    PREPARE_SITES_BYTES = LIMIT_SITES * (LIMIT_NAME_BYTES + LIMIT_ADDRESS_BYTES + 8),
    /* So much of a one-phase deadline, but at most the second, is left for the way back, so that a
     * participant that gives up in time is heard in time. */
    ONE_PHASE_MARGIN_PART = 10,
    ONE_PHASE_MARGIN_MS = 500,
};

bool refusal_set(struct refusal *refusal, const char *code, const char *participant,
                 const char *operation)
{
    wire__problem__init(&refusal->problem);
    refusal->problem.code = (char *)code;
    refusal->problem.participant = (char *)participant;
    refusal->problem.operation = (char *)operation;
    refusal->problem.message = refusal->message;
    refusal->problem.detail = refusal->detail;
    refusal->problem.hint = refusal->hint;
    return false;
}

#define SAY(where, ...) ((void)snprintf((where), sizeof(where), __VA_ARGS__))

static bool refuse_call(struct refusal *r, const Wire__Call *call, const char *what,
                        const char *rule)
{
    SAY(r->message, "'%.64s.%.64s' has no valid %s name", call->participant, call->operation, what);
    SAY(r->hint, "a %s name is %s", what, rule);
    return refusal_set(r, "bad_request", "", "");
}

static bool call_named(const Wire__Call *call, struct refusal *r)
{
    if (!name_valid(call->participant))
        return refuse_call(r, call, "participant", name_rule);
    if (!word_valid(call->operation))
        return refuse_call(r, call, "operation", "a letter or _, then letters, digits and _");
    return true;
}

static size_t call_size(const Wire__Call *call)
{
    return strlen(call->operation) + strlen(call->arguments) + 16;
}

static bool carried(size_t size, struct refusal *r)
{
    if (size <= LIMIT_MESSAGE_BYTES)
        return true;
    SAY(r->message, "the arguments of this transaction are too large");
    SAY(r->detail, "%zu bytes; at most %d are carried", size, LIMIT_MESSAGE_BYTES);
    return refusal_set(r, "bad_request", "", "");
}

bool server_call_sound(const Wire__Call *call, struct refusal *r)
{
    return call_named(call, r) && carried(PREPARE_OVERHEAD_BYTES + call_size(call), r);
}

static bool calls_sound(const Wire__Submit *submit, struct refusal *r)
{
    size_t size = PREPARE_OVERHEAD_BYTES;
    if (submit->protocol == WIRE__PROTOCOL__THREE_PHASE)
        size += PREPARE_SITES_BYTES;
    for (size_t i = 0; i < submit->n_calls; i++) {
        if (!call_named(submit->calls[i], r))
            return false;
        size += call_size(submit->calls[i]);
    }
    return carried(size, r);
}

static bool sound(const Wire__Submit *submit, struct refusal *r)
{
    if (submit->protocol != WIRE__PROTOCOL__TWO_PHASE &&
        submit->protocol != WIRE__PROTOCOL__THREE_PHASE) {
        SAY(r->message, "this version does not know the protocol");
        SAY(r->hint, "submit with --protocol 2pc or 3pc");
        return refusal_set(r, "bad_request", "", "");
    }
    if (submit->n_calls == 0) {
        SAY(r->message, "the transaction has no calls");
        SAY(r->hint, "name at least one: participant.operation '{...}'");
        return refusal_set(r, "bad_request", "", "");
    }
    if (submit->n_calls > LIMIT_CALLS) {
        SAY(r->message, "the transaction has %zu calls, and %d are the limit", submit->n_calls,
            LIMIT_CALLS);
        return refusal_set(r, "bad_request", "", "");
    }
    return calls_sound(submit, r);
}

/* A client's. Keys with control characters are those of sagas' steps (KEY_OF_STEP). */
bool server_key_sound(const char *key, struct refusal *r)
{
    size_t size = 0;
    for (; key[size]; size++) {
        if ((unsigned char)key[size] >= ' ' && key[size] != '\x7f')
            continue;
        SAY(r->message, "the idempotency key has a control character");
        SAY(r->detail, "byte %zu is 0x%02x", size + 1, (unsigned char)key[size]);
        return refusal_set(r, "bad_request", "", "");
    }
    if (size <= LIMIT_KEY_BYTES)
        return true;
    SAY(r->message, "the idempotency key is longer than %d bytes", LIMIT_KEY_BYTES);
    return refusal_set(r, "bad_request", "", "");
}

/* Who takes part: one branch a participant, in the order of their first call. */
struct cast {
    int count;
    struct participant *branches[LIMIT_BRANCHES];
    uint8_t of_call[LIMIT_CALLS];
};

static bool refuse_absent(struct server *server, const struct participant *participant,
                          const char *name, const char *operation, struct refusal *r)
{
    if (participant && !participant->never_seen) {
        SAY(r->message, "participant %s is not connected", participant->name);
        SAY(r->detail, "it was before; nothing was begun");
        SAY(r->hint, "see `troth participant list`; start it, or try again");
        return refusal_set(r, "not_connected", name, operation);
    }
    const char *nearest = participants_nearest(&server->participants, name);
    SAY(r->message, "there is no participant %s", name);
    SAY(r->detail, "none of that name has ever connected to %s", server->coordinator);
    if (nearest)
        SAY(r->hint, "did you mean %s?", nearest);
    else
        SAY(r->hint, "see `troth participant list`");
    return refusal_set(r, "unknown_participant", name, operation);
}

static bool refuse_operation(const struct participant *participant, const char *operation,
                             struct refusal *r)
{
    const struct participant_report *report = &participant->report;
    const char *nearest = error_nearest(operation, (const char *const *)report->operations,
                                        (int)report->operation_count);
    SAY(r->message, "participant %s has no operation %s", participant->name, operation);
    if (nearest)
        SAY(r->hint, "did you mean %s.%s?", participant->name, nearest);
    else
        SAY(r->hint, "its operations stand in its configuration, under `operations`");
    return refusal_set(r, "unknown_operation", participant->name, operation);
}

struct participant *server_find_worker(struct server *server, const char *name,
                                       const char *operation, struct refusal *r)
{
    struct participant *participant = participants_find(&server->participants, name);
    if (!participant || !participant->peer)
        refuse_absent(server, participant, name, operation, r);
    else if (!operation[0] || participant_offers(participant, operation))
        return participant;
    else
        refuse_operation(participant, operation, r);
    return NULL;
}

static bool find_cast(struct server *server, const Wire__Submit *submit, struct cast *cast,
                      struct refusal *r)
{
    cast->count = 0;
    for (size_t i = 0; i < submit->n_calls; i++) {
        const Wire__Call *call = submit->calls[i];
        struct participant *participant =
            server_find_worker(server, call->participant, call->operation, r);
        if (!participant)
            return false;
        int branch = 0;
        while (branch < cast->count && cast->branches[branch] != participant)
            branch++;
        if (branch == LIMIT_BRANCHES) {
            SAY(r->message, "the transaction has more than %d branches", LIMIT_BRANCHES);
            return refusal_set(r, "bad_request", "", "");
        }
        if (branch == cast->count)
            cast->branches[cast->count++] = participant;
        cast->of_call[i] = (uint8_t)branch;
    }
    return true;
}

/* One branch without a key commits by itself, whatever the protocol. */
static enum transaction_way way_of(const Wire__Submit *submit, const struct cast *cast)
{
    if (cast->count == 1 && !submit->key[0])
        return IN_ONE_PHASE;
    return submit->protocol == WIRE__PROTOCOL__THREE_PHASE ? IN_THREE_PHASES : IN_TWO_PHASES;
}

bool server_is_site(const struct participant *participant, struct refusal *r)
{
    if (participant->report.listen)
        return true;
    if (!participant->report.known) {
        SAY(r->message, "participant %s has only just connected", participant->name);
        SAY(r->detail, "where the other participants reach it comes with its first report");
        SAY(r->hint, "try again");
        return refusal_set(r, "not_connected", participant->name, "");
    }
    SAY(r->message, "participant %s takes no part in three-phase commit", participant->name);
    SAY(r->detail, "it has told no address at which the other participants reach it");
    SAY(r->hint, "set `listen` in its participant.yaml (if it is set, its log says who has the "
                 "address), or submit with --protocol 2pc");
    return refusal_set(r, "no_listen", participant->name, "");
}

/* With three phases every participant must be reachable for the others. */
static bool sites_sound(const Wire__Submit *submit, const struct cast *cast, struct refusal *r)
{
    if (way_of(submit, cast) != IN_THREE_PHASES)
        return true;
    if (cast->count >= LIMIT_SITES) {
        SAY(r->message, "the transaction has %d participants; three phases take at most %d",
            cast->count, LIMIT_SITES - 1);
        SAY(r->hint, "submit with --protocol 2pc");
        return refusal_set(r, "bad_request", "", "");
    }
    for (int i = 0; i < cast->count; i++) {
        if (!server_is_site(cast->branches[i], r))
            return false;
    }
    return true;
}

bool server_has_room_for_key(const struct server *server, const char *key, struct refusal *r)
{
    size_t of_clients = server->keys.map.count - server->keys.step_count;
    if (!key[0] || key_of_step(key) || of_clients < LIMIT_KEYS)
        return true;
    SAY(r->message, "the coordinator remembers as many idempotency keys as it can");
    SAY(r->detail, "%d of them", LIMIT_KEYS);
    SAY(r->hint, "a shorter journal.retain forgets them sooner; or submit without a key");
    return refusal_set(r, "busy", "", "");
}

bool server_participant_has_room(const struct participant *participant, struct refusal *r)
{
    if (participant->working + participant->unapplied < LIMIT_IN_FLIGHT_PARTICIPANT &&
        peer_queued_bytes(participant->peer) < LIMIT_QUEUE_BYTES - LIMIT_MESSAGE_BYTES)
        return true;
    SAY(r->message, "participant %s is busy", participant->name);
    SAY(r->detail, "%zu transactions are undecided and %zu not applied there", participant->working,
        participant->unapplied);
    SAY(r->hint, "see `troth participant list` and `troth tx list --participant %s`",
        participant->name);
    return refusal_set(r, "busy", participant->name, "");
}

/* Beyond these limits new work is refused at the door, where it costs nothing, rather than taken
 * in and then too late. */
static bool has_room(const struct server *server, const Wire__Submit *submit,
                     const struct cast *cast, struct refusal *r)
{
    if (server_undecided(server) >= LIMIT_IN_FLIGHT) {
        SAY(r->message, "the coordinator is busy");
        SAY(r->detail, "%d transactions are undecided, which is the limit", LIMIT_IN_FLIGHT);
        return refusal_set(r, "busy", "", "");
    }
    if (!server_has_room_for_key(server, submit->key, r))
        return false;
    for (int i = 0; i < cast->count; i++) {
        if (!server_participant_has_room(cast->branches[i], r))
            return false;
    }
    return true;
}

static uint8_t *put_text(uint8_t *at, const char *text)
{
    size_t size = strlen(text);
    uint32_t size32 = (uint32_t)size;
    memcpy(at, &size32, sizeof(size32));
    memcpy(at + sizeof(size32), text, size);
    return at + sizeof(size32) + size;
}

/* Of the protocol and the calls, in order (of what is built step by step: no calls): two hashes of
 * the same bytes behind different starts. */
void server_fingerprint(struct server *server, const Wire__Submit *submit, uint8_t *out)
{
    size_t size = 2;
    for (size_t i = 0; i < submit->n_calls; i++) {
        const Wire__Call *call = submit->calls[i];
        size += 12 + strlen(call->participant) + strlen(call->operation) + strlen(call->arguments);
    }
    uint8_t *bytes = server_scratch(server, size), *at = bytes + 2;
    bytes[1] = (uint8_t)submit->protocol;
    for (size_t i = 0; i < submit->n_calls; i++) {
        at = put_text(at, submit->calls[i]->participant);
        at = put_text(at, submit->calls[i]->operation);
        at = put_text(at, submit->calls[i]->arguments);
    }
    CHECK((size_t)(at - bytes) == size);
    for (uint8_t half = 0; half < 2; half++) {
        bytes[0] = half;
        uint64_t hash = hash_bytes(bytes, size);
        memcpy(out + 8 * half, &hash, sizeof(hash));
    }
}

void server_join(struct server *server, const struct asker *asker, const struct key *key,
                 const Wire__Submit *submit)
{
    struct tx *tx = key->tx;
    if (!tx) {
        server_answer_key(server, asker, key);
        return;
    }
    server_wait(server, tx, asker, submit, true);
    struct transaction_event event = {.type = EVENT_JOINED};
    CHECK(server_step(server, tx, &event));
}

bool server_may_join(const struct key *key, const uint8_t *print, struct refusal *r)
{
    if (memcmp(key->fingerprint, print, FINGERPRINT_BYTES) != 0) {
        SAY(r->message, "this idempotency key was used for another transaction");
        SAY(r->detail, "its calls or arguments were different");
        SAY(r->hint, "use a new key for a new transaction");
        return refusal_set(r, "key_conflict", "", "");
    }
    if (key->tx && key->tx->waiter_count >= LIMIT_WAITERS) {
        SAY(r->message, "too many clients wait for the transaction of this idempotency key");
        SAY(r->detail, "%d do, which is the limit; it goes on all the same", LIMIT_WAITERS);
        SAY(r->hint, "submit again with the same key a little later");
        return refusal_set(r, "busy", "", "");
    }
    return true;
}

static struct tx *make_tx(struct server *server, const Wire__Submit *submit,
                          const struct cast *cast)
{
    size_t text = strlen(submit->key) + 1;
    for (size_t i = 0; i < submit->n_calls; i++)
        text += strlen(submit->calls[i]->operation) + 1;
    enum transaction_way way = way_of(submit, cast);
    struct tx *tx = tx_new(recovery_next_id(&server->recovery), cast->count, (int)submit->n_calls,
                           way == IN_THREE_PHASES, text);
    for (int i = 0; i < cast->count; i++)
        tx->branches[i].participant = cast->branches[i];
    for (size_t i = 0; i < submit->n_calls; i++) {
        tx->calls[i].operation = tx_text(tx, submit->calls[i]->operation);
        tx->calls[i].branch = cast->of_call[i];
    }
    if (submit->key[0])
        tx->key_text = tx_text(tx, submit->key);
    transaction_init(&tx->machine, tx->machine.branches, cast->count, way, tx->key_text != NULL);
    tx->begun_us = server->host.wall_us(server->host.self);
    tx->clock.begun_us = server->host.now_us(server->host.self);
    tx->timeout_us = submit->timeout_ms ? submit->timeout_ms * UINT64_C(1000)
                                        : server->config.transaction_timeout_us;
    return tx;
}

bool server_may_begin(const struct server *server, struct refusal *r)
{
    if (!server->draining)
        return true;
    SAY(r->message, "the coordinator is shutting down");
    SAY(r->hint, "submit again when it is back");
    return refusal_set(r, "draining", "", "");
}

bool server_take(struct server *server, const struct asker *asker, const Wire__Submit *submit,
                 struct refusal *r)
{
    struct cast cast;
    uint8_t print[FINGERPRINT_BYTES];
    if (!sound(submit, r))
        return false;
    if (submit->key[0]) {
        server_fingerprint(server, submit, print);
        const struct key *key = keys_find(&server->keys, submit->key);
        if (key && !server_may_join(key, print, r))
            return false;
        if (key) {
            server_join(server, asker, key, submit);
            return true;
        }
    }
    if (!server_may_begin(server, r) || !find_cast(server, submit, &cast, r) ||
        !sites_sound(submit, &cast, r) || !has_room(server, submit, &cast, r))
        return false;
    struct tx *tx = make_tx(server, submit, &cast);
    if (submit->key[0])
        tx->key = keys_add(&server->keys, submit->key, print, tx, tx->id);
    server_list(server, tx);
    server_wait(server, tx, asker, submit, false);
    /* A crash here loses the request; nobody has begun anything. */
    CRASH_POINT("coordinator.submitted");
    struct transaction_event event = {.type = EVENT_SUBMITTED};
    server->submitting = submit;
    CHECK(server_step(server, tx, &event));
    server->submitting = NULL;
    return true;
}

void server_submit(struct server *server, struct guest *guest, const Wire__Submit *submit)
{
    struct asker asker = {.guest = guest, .request = submit->request};
    struct refusal r = {0};
    if (server_key_sound(submit->key, &r) && server_take(server, &asker, submit, &r))
        return;
    server->metrics.rejections[metric_reason_of(r.problem.code)]++;
    server_reject(guest, submit->request, &r.problem);
}

static uint32_t prepare_timeout_ms(const struct tx *tx)
{
    uint64_t left_ms = tx->timeout_us / 1000;
    if (tx->machine.alone) {
        uint64_t margin = left_ms / ONE_PHASE_MARGIN_PART;
        left_ms -= margin < ONE_PHASE_MARGIN_MS ? margin : ONE_PHASE_MARGIN_MS;
    }
    return left_ms > UINT32_MAX ? UINT32_MAX : left_ms > 0 ? (uint32_t)left_ms : 1;
}

/* Only for the planted bug that sends a PREPARE to two sessions. */
static void keep_for_planted(struct tx_branch *branch, const Wire__Message *message)
{
    if (!PLANTED(KEEP_VOTE_OF_LOST_SESSION))
        return;
    branch->planted_prepare_size = wire__message__get_packed_size(message);
    branch->planted_prepare = xmalloc(branch->planted_prepare_size);
    wire__message__pack(message, branch->planted_prepare);
}

/* Who takes part, and where they reach each other. */
struct site_list {
    Wire__Site sites[LIMIT_SITES], *pointers[LIMIT_SITES];
};

static void list_sites(const struct tx *tx, Wire__Prepare *prepare, struct site_list *list)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        const struct participant *participant = tx->branches[i].participant;
        Wire__Site *site = list->pointers[i] = &list->sites[i];
        wire__site__init(site);
        site->participant = (char *)participant->name;
        site->address = participant->report.listen;
    }
    prepare->sites = list->pointers;
    prepare->n_sites = tx->machine.branch_count;
    prepare->begun_us = tx->begun_us;
}

static Wire__Mode mode_of(const struct tx *tx, const struct tx_branch *branch)
{
    if (tx->stepwise)
        return branch->joined ? WIRE__MODE__ADOPT : WIRE__MODE__CONTINUE;
    return tx->machine.alone ? WIRE__MODE__ONE_PHASE : WIRE__MODE__PREPARE;
}

bool server_send_prepare(struct server *server, struct tx *tx, int index,
                         const Wire__Submit *submit)
{
    (void)server;
    struct tx_branch *branch = &tx->branches[index];
    Wire__Call calls[LIMIT_CALLS], *call_pointers[LIMIT_CALLS];
    Wire__Branch id = WIRE__BRANCH__INIT;
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    struct site_list sites;
    for (int i = 0; submit && i < tx->call_count; i++) {
        if (tx->calls[i].branch != index)
            continue;
        Wire__Call *call = call_pointers[prepare.n_calls] = &calls[prepare.n_calls];
        prepare.n_calls++;
        wire__call__init(call);
        call->operation = submit->calls[i]->operation;
        call->arguments = submit->calls[i]->arguments;
    }
    id.epoch = tx->id.epoch;
    id.seq = tx->id.seq;
    id.branch = branch->number;
    prepare.branch = &id;
    prepare.mode = mode_of(tx, branch);
    prepare.xid = branch->claimed_xid;
    prepare.timeout_ms = prepare_timeout_ms(tx);
    prepare.calls = call_pointers;
    if (tx->sites)
        list_sites(tx, &prepare, &sites);
    message.body_case = WIRE__MESSAGE__BODY_PREPARE;
    message.prepare = &prepare;
    keep_for_planted(branch, &message);
    /* A participant may leave the list of who is connected only between two turns, so it is here.
     */
    if (branch->participant->peer && peer_send(branch->participant->peer, &message, false))
        return true;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"busy";
    problem.message = (char *)"too much is waiting to be sent to the participant";
    tx_problem(tx, branch->participant, &problem);
    return false;
}
