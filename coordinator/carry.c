/* Carries out the actions of the transaction machine, in their order. */
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"

static bool place_fits(const struct tx_branch *branch, enum branch_state state)
{
    switch ((enum place)branch->place) {
    case PLACE_NONE:
        return true;
    case PLACE_UNVOTED:
        return state == BRANCH_ASKED || state == BRANCH_RUNNING;
    case PLACE_ABORTING:
        return state == BRANCH_ABORTING;
    case PLACE_OWED:
    case PLACE_OUTSTANDING:
        return state == BRANCH_COMMITTING || state == BRANCH_LOST;
    case PLACE_ASK_OWED:
    case PLACE_ASK_OUTSTANDING:
        return transaction_wants(&branch->tx->machine, tx_branch_at(branch));
    }
    return false;
}

static enum burden burden_of(enum branch_state state)
{
    switch (state) {
    case BRANCH_ASKED:
    case BRANCH_YES:
    case BRANCH_RUNNING:
    case BRANCH_LOST:
        return BURDEN_WORKING;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_HAZARD:
        return BURDEN_UNAPPLIED;
    default:
        return BURDEN_NONE;
    }
}

static void count_burden(struct participant *participant, enum burden burden, int by)
{
    if (burden == BURDEN_WORKING)
        participant->working += (size_t)by;
    else if (burden == BURDEN_UNAPPLIED)
        participant->unapplied += (size_t)by;
}

void server_leave(struct tx_branch *branch)
{
    bool ask = branch->place == PLACE_ASK_OUTSTANDING;
    if (ask || branch->place == PLACE_OUTSTANDING) {
        struct debt *debt = ask ? &branch->participant->asks : &branch->participant->finishes;
        CHECK(debt->outstanding_count > 0);
        debt->outstanding_count--;
    }
    list_remove(&branch->waits);
    branch->place = PLACE_NONE;
}

static void enter(struct tx_branch *branch, enum place place, struct list *list)
{
    server_leave(branch);
    branch->place = (uint8_t)place;
    list_append(list, &branch->waits);
}

static void set_burden(struct tx_branch *branch, enum burden burden)
{
    if (burden == branch->burden)
        return;
    count_burden(branch->participant, branch->burden, -1);
    count_burden(branch->participant, burden, 1);
    branch->burden = (uint8_t)burden;
}

static void count(size_t *counter, bool *counted, bool now)
{
    if (*counted == now)
        return;
    *counted = now;
    *counter += now ? 1 : (size_t)-1;
}

/* The machine has moved: a branch leaves the list that no longer fits its state, and the counters
 * follow. Entering a list is an action of its own. */
static void follow_machine(struct server *server, struct tx *tx)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        struct tx_branch *branch = &tx->branches[i];
        enum branch_state state = tx->machine.branches[i].state;
        if (!place_fits(branch, state))
            server_leave(branch);
        set_burden(branch, burden_of(state));
    }
    enum transaction_state state = tx->machine.state;
    count(&server->undecided, &tx->counted_undecided, transaction_undecided(&tx->machine));
    count(&server->lost, &tx->counted_lost, state == TRANSACTION_LOST);
    if (state == TRANSACTION_PROPOSED && !tx->counted_proposed)
        tx->proposed_since_us = server->host.now_us(server->host.self);
    count(&server->proposed, &tx->counted_proposed, state == TRANSACTION_PROPOSED);
    count(&server->unapplied, &tx->counted_unapplied, state == TRANSACTION_COMMITTED);
    count(&server->hazards, &tx->counted_hazard, state == TRANSACTION_HAZARD);
    metrics_moved(server, tx);
}

void server_list(struct server *server, struct tx *tx)
{
    map_insert(&server->live, &tx->node, txid_hash(tx->id));
    list_append(&server->all, &tx->all);
}

void server_unlist(struct server *server, struct tx *tx)
{
    for (int i = 0; i < tx->machine.branch_count; i++) {
        server_leave(&tx->branches[i]);
        set_burden(&tx->branches[i], BURDEN_NONE);
    }
    count(&server->undecided, &tx->counted_undecided, false);
    count(&server->lost, &tx->counted_lost, false);
    count(&server->proposed, &tx->counted_proposed, false);
    count(&server->unapplied, &tx->counted_unapplied, false);
    count(&server->hazards, &tx->counted_hazard, false);
    CHECK(list_empty(&tx->waiters));
    timers_clear(&server->timers, &tx->timer);
    if (tx->sites)
        timers_clear(&server->rounds, &tx->sites->timer);
    list_remove(&tx->durable);
    list_remove(&tx->all);
    map_remove(&server->live, &tx->node);
}

static void branch_id(Wire__Branch *out, const struct tx_branch *branch)
{
    wire__branch__init(out);
    out->epoch = branch->tx->id.epoch;
    out->seq = branch->tx->id.seq;
    out->branch = branch->number;
}

static bool send_finish(struct tx_branch *branch, bool commit)
{
    Wire__Branch id;
    Wire__Finish finish = WIRE__FINISH__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    branch_id(&id, branch);
    finish.branch = &id;
    finish.commit = commit;
    finish.xid = branch->xid;
    message.body_case = WIRE__MESSAGE__BODY_FINISH;
    message.finish = &finish;
    return peer_send(branch->participant->peer, &message, true);
}

static bool send_lookup(struct tx_branch *branch)
{
    Wire__Branch id;
    Wire__Lookup lookup = WIRE__LOOKUP__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    branch_id(&id, branch);
    lookup.branch = &id;
    message.body_case = WIRE__MESSAGE__BODY_LOOKUP;
    message.lookup = &lookup;
    return peer_send(branch->participant->peer, &message, true);
}

/* In slices: what a participant that was away for long is owed must not stand in front of its new
 * work, nor fill its queue. */
void server_pump(struct server *server, struct participant *participant)
{
    struct debt *finishes = &participant->finishes, *asks = &participant->asks;
    while (participant->peer && !list_empty(&finishes->owed) &&
           finishes->outstanding_count < LIMIT_OUTSTANDING) {
        struct tx_branch *branch = CONTAINER(finishes->owed.next, struct tx_branch, waits);
        int index = tx_branch_at(branch);
        bool lookup = branch->tx->machine.branches[index].state == BRANCH_LOST;
        CHECK(lookup ? send_lookup(branch) : send_finish(branch, true));
        enter(branch, PLACE_OUTSTANDING, &finishes->outstanding);
        finishes->outstanding_count++;
    }
    while (participant->peer && !list_empty(&asks->owed) &&
           asks->outstanding_count < LIMIT_OUTSTANDING) {
        struct tx_branch *branch = CONTAINER(asks->owed.next, struct tx_branch, waits);
        server_send_ask(server, branch);
        enter(branch, PLACE_ASK_OUTSTANDING, &asks->outstanding);
        asks->outstanding_count++;
    }
}

static void owe(struct server *server, struct tx_branch *branch)
{
    if (branch->place == PLACE_OWED || branch->place == PLACE_OUTSTANDING)
        return;
    enter(branch, PLACE_OWED, &branch->participant->finishes.owed);
    server_pump(server, branch->participant);
}

/* Also when the last question is outstanding: this is another one. */
void server_owe_ask(struct server *server, struct tx_branch *branch)
{
    if (branch->place == PLACE_ASK_OWED)
        return;
    enter(branch, PLACE_ASK_OWED, &branch->participant->asks.owed);
    server_pump(server, branch->participant);
}

/* What was appended of the transaction is durable when `position` is. */
void server_await(struct server *server, struct tx *tx, uint64_t position)
{
    tx->position = position;
    list_remove(&tx->durable);
    list_append(&server->awaited, &tx->durable);
}

/* Commit as decided by this record, or as proposed by it. */
static void append_commit(struct server *server, struct tx *tx, bool proposed)
{
    /* A crash here forgets the transaction: every participant asks and is told abort, and the
     * client has heard nothing. */
    CRASH_POINT("coordinator.voted");
    if (!proposed)
        tx->decided_us = server->host.wall_us(server->host.self);
    if (tx->key) {
        char *results[LIMIT_CALLS];
        for (int i = 0; i < tx->call_count; i++)
            results[i] = tx->calls[i].result;
        keys_keep_results(&server->keys, tx->key, results, tx->stepwise ? 0 : tx->call_count,
                          tx->results_dropped);
    }
    server_await(server, tx,
                 proposed ? server_append_proposed(server, tx)
                          : server_append_committed(server, tx));
    /* A crash here may leave the record or not; nobody was told, so both are right. */
    CRASH_POINT("coordinator.deciding");
}

static void append_ended(struct server *server, struct tx *tx)
{
    server_append_ended(server, tx);
    tx->ended_us = server->host.wall_us(server->host.self);
    recovery_ended(&server->recovery, tx->id, tx->ended_us);
    /* A crash here may lose the record: then COMMIT is sent once more to all. */
    CRASH_POINT("coordinator.ended");
}

/* Over: the key lives on when it was committed, the rest is history. */
static void release(struct server *server, struct tx *tx)
{
    bool committed = strcmp(tx_state_word(tx), "applied") == 0;
    if (tx->ended_us == 0)
        tx->ended_us = server->host.wall_us(server->host.self);
    if (tx->decided_us == 0)
        tx->decided_us = tx->ended_us;
    if (committed)
        server->committed++;
    if (tx->key)
        tx->key->hazard = tx->machine.in[BRANCH_HAZARD] > 0;
    if (tx->key && tx->machine.committed)
        keys_settle(&server->keys, tx->key, tx->ended_us);
    CHECK(!tx->key || tx->machine.committed); /* that of an abort was dropped with the answer */
    tx->key = NULL;
    /* Of a hazard that was forgotten not every site has applied it. */
    if (tx->sites && tx->machine.committed && tx->machine.in[BRANCH_HAZARD] == 0)
        server_settled(server, tx);
    server_unlist(server, tx);
    history_add(&server->history, tx);
}

void server_forget_hazard(struct server *server, struct txid id)
{
    struct tx *tx = server_find(server, id);
    struct transaction_event event = {.type = EVENT_FORGOTTEN};
    if (!tx || tx->machine.state != TRANSACTION_HAZARD)
        return;
    tx->ended_us = server->host.wall_us(server->host.self);
    /* Forgotten is its end in the journal, too. */
    if (tx->machine.committed && !tx->hazard_only)
        recovery_ended(&server->recovery, id, tx->ended_us);
    CHECK(server_step(server, tx, &event));
}

static void aborted(struct server *server, struct tx *tx)
{
    /* A crash here forgets the transaction, which is the same as abort; or, when the registers have
     * aborted what was proposed, it asks them once more. */
    CRASH_POINT("coordinator.aborting");
    tx->decided_us = server->host.wall_us(server->host.self);
    server->aborted++;
    server_answer(server, tx, ANSWER_ABORTED);
    if (tx->key && tx->machine.state != TRANSACTION_DECIDING) { /* as planted bugs leave it */
        keys_remove(&server->keys, tx->key);
        tx->key = NULL;
    }
}

struct unreachable {
    int count;
    uint8_t branches[LIMIT_BRANCHES];
};

/* False: the branch could not be reached. */
static bool carry_send(struct server *server, struct tx *tx, const struct action *action)
{
    struct tx_branch *branch = &tx->branches[action->branch];
    switch (action->type) {
    case ACTION_OWE_COMMIT:
    case ACTION_OWE_LOOKUP:
        owe(server, branch);
        return true;
    case ACTION_OWE_ASK:
        server_want_ask(server, branch);
        return true;
    case ACTION_SEND_PREPARE:
        if (branch->joined && branch->claimed_xid == 0)
            return true; /* it is over: its vote follows */
        enter(branch, PLACE_UNVOTED, &branch->participant->unvoted);
        return server_send_prepare(server, tx, action->branch, server->submitting);
    default:
        CHECK(action->type == ACTION_SEND_ABORT);
        enter(branch, PLACE_ABORTING, &branch->participant->aborting);
        return branch->participant->peer && send_finish(branch, false);
    }
}

static void carry_other(struct server *server, struct tx *tx, const struct action *action)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    switch (action->type) {
    case ACTION_APPEND_COMMITTED:
    case ACTION_APPEND_PROPOSED:
        append_commit(server, tx, action->type == ACTION_APPEND_PROPOSED);
        break;
    case ACTION_APPEND_REGISTER:
        server_await(server, tx, server_append_register(server, tx));
        break;
    case ACTION_APPEND_DECIDED:
        server_decided(server, tx);
        break;
    case ACTION_REPLY_GRANTED:
        server_reply_later(server, tx, action->branch, REGISTER_GRANTED);
        break;
    case ACTION_REPLY_OUTBID:
        server_reply_later(server, tx, action->branch, REGISTER_OUTBID);
        break;
    case ACTION_ARM_ROUND:
        server_arm_round(server, tx);
        break;
    case ACTION_APPEND_ENDED:
        append_ended(server, tx);
        break;
    case ACTION_APPEND_HAZARD:
        server_append_hazard(server, tx, action->branch);
        break;
    case ACTION_ANSWER_DECIDED:
        server_answer(server, tx, ANSWER_DECIDED);
        server_arm_waiters(server, tx);
        break;
    case ACTION_ANSWER_APPLIED:
        server_answer(server, tx, ANSWER_APPLIED);
        break;
    case ACTION_ANSWER_UNAPPLIED:
        server_answer(server, tx, ANSWER_UNAPPLIED);
        server_arm_waiters(server, tx);
        break;
    case ACTION_ANSWER_ABORTED:
        aborted(server, tx);
        break;
    case ACTION_ANSWER_UNKNOWN:
        server_answer(server, tx, ANSWER_UNKNOWN);
        server_arm_waiters(server, tx);
        break;
    case ACTION_ANSWER_HAZARD:
        server_answer(server, tx, ANSWER_HAZARD);
        break;
    case ACTION_ARM_DEADLINE:
        server_arm_waiters(server, tx);
        break;
    case ACTION_ARM_PATIENCE:
        timers_set(&server->timers, &tx->timer, now_us + server->config.transaction_timeout_us);
        break;
    case ACTION_DISARM:
        timers_clear(&server->timers, &tx->timer);
        break;
    default:
        CHECK(action->type == ACTION_RELEASE);
        release(server, tx);
        break;
    }
}

/* What could not be sent is a no of a branch that never began, or an abort that the participant
 * will ask for itself. */
static void give_up_unreachable(struct server *server, struct tx *tx,
                                const struct unreachable *unreachable)
{
    for (int i = 0; i < unreachable->count && tx->machine.state != TRANSACTION_DONE; i++) {
        struct transaction_event event = {.branch = unreachable->branches[i]};
        enum branch_state state = tx->machine.branches[event.branch].state;
        if (state == BRANCH_ASKED || state == BRANCH_RUNNING) {
            event.type = EVENT_VOTED;
            event.choice = CHOSE_NO;
        } else if (state == BRANCH_ABORTING) {
            event.type = EVENT_PARTICIPANT_LOST;
        } else {
            continue;
        }
        CHECK(server_step(server, tx, &event));
    }
}

bool server_step(struct server *server, struct tx *tx, const struct transaction_event *event)
{
    struct actions actions;
    struct unreachable unreachable = {.count = 0};
    if (!transaction_step(&tx->machine, event, &actions))
        return false;
    follow_machine(server, tx);
    for (int i = 0; i < actions.count; i++) {
        const struct action *action = &actions.list[i];
        if (action->type > ACTION_OWE_ASK)
            carry_other(server, tx, action);
        else if (!carry_send(server, tx, action))
            unreachable.branches[unreachable.count++] = action->branch;
    }
    give_up_unreachable(server, tx, &unreachable);
    return true;
}
