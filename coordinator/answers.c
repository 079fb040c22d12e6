/* Who waits for which answer, and the answers. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/planted.h"

void server_wait(struct server *server, struct tx *tx, const struct asker *asker,
                 const Wire__Submit *submit, bool repeated_key)
{
    struct waiter *waiter = &tx->first;
    if (waiter->guest || waiter->task)
        waiter = xcalloc(1, sizeof(*waiter));
    waiter->guest = asker->guest;
    waiter->task = asker->task;
    waiter->tx = tx;
    waiter->request = asker->request;
    waiter->due_us = server->host.now_us(server->host.self) +
                     (submit->timeout_ms ? submit->timeout_ms * UINT64_C(1000)
                                         : server->config.transaction_timeout_us);
    waiter->decided_is_enough = submit->wait == WIRE__WAIT__DECIDED;
    waiter->repeated_key = repeated_key;
    list_append(&tx->waiters, &waiter->in_tx);
    list_init(&waiter->in_guest);
    tx->waiter_count++;
    if (asker->task) {
        group_joined(server, asker->task, waiter);
        return;
    }
    list_append(&asker->guest->waiters, &waiter->in_guest);
    server->waiting++;
}

void server_stop_waiting(struct server *server, struct waiter *waiter)
{
    list_remove(&waiter->in_tx);
    list_remove(&waiter->in_guest);
    waiter->tx->waiter_count--;
    if (waiter->guest)
        server->waiting--;
    else
        waiter->task->waiter = NULL;
    waiter->guest = NULL;
    waiter->task = NULL;
    if (waiter != &waiter->tx->first)
        free(waiter);
}

static char *or_empty(char *text)
{
    return text ? text : (char *)"";
}

void problem_view(const struct problem *problem, Wire__Problem *out)
{
    wire__problem__init(out);
    out->participant = problem->participant ? problem->participant->name : (char *)"";
    out->operation = or_empty(problem->operation);
    out->code = or_empty(problem->code);
    out->message = or_empty(problem->message);
    out->detail = or_empty(problem->detail);
    out->hint = or_empty(problem->hint);
}

void server_send_outcome(struct peer *peer, Wire__Outcome *outcome)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_OUTCOME;
    message.outcome = outcome;
    if (peer_send(peer, &message, true))
        return;
    /* Only its size can be wrong. */
    outcome->n_results = 0;
    outcome->results_dropped = true;
    CHECK(peer_send(peer, &message, true));
}

void server_reject(struct guest *guest, uint64_t request, const Wire__Problem *problem)
{
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    outcome.request = request;
    outcome.result = WIRE__RESULT__REJECTED;
    outcome.problem = (Wire__Problem *)problem;
    server_send_outcome(guest->peer, &outcome);
}

/* An outcome and the arrays it points into, made once for all who wait for it. */
struct draft {
    Wire__Outcome outcome;
    Wire__Problem problem;
    gtrid_text gtrid;
    char *results[LIMIT_CALLS];
    char *unapplied[LIMIT_BRANCHES];
    char message[160], hint[160];
};

static void draft_results(struct draft *draft, const struct tx *tx)
{
    Wire__Outcome *outcome = &draft->outcome;
    outcome->results_dropped = tx->results_dropped;
    if (tx->call_count == 0 && tx->key) {
        /* Recovered: only what was kept with the key is left. */
        outcome->results = tx->key->results;
        outcome->n_results = (size_t)tx->key->result_count;
        outcome->results_dropped = tx->key->results_dropped;
        return;
    }
    if (tx->stepwise || tx->results_dropped)
        return;
    for (int i = 0; i < tx->call_count; i++)
        draft->results[i] = or_empty(tx->calls[i].result);
    outcome->results = draft->results;
    outcome->n_results = (size_t)tx->call_count;
}

static void draft_unapplied(struct draft *draft, const struct tx *tx)
{
    Wire__Outcome *outcome = &draft->outcome;
    outcome->unapplied = draft->unapplied;
    for (int i = 0; i < tx->machine.branch_count; i++) {
        enum branch_state state = tx->machine.branches[i].state;
        if (state != BRANCH_APPLIED && state != BRANCH_READ_ONLY)
            draft->unapplied[outcome->n_unapplied++] = tx->branches[i].participant->name;
    }
}

static void draft_no_majority(struct draft *draft)
{
    Wire__Problem *problem = &draft->problem;
    wire__problem__init(problem);
    problem->code = (char *)"no_majority";
    problem->message =
        (char *)"commit was proposed, and a majority of the sites could not be reached in time";
    problem->detail = (char *)"neither commit nor abort can be told; the outcome will follow";
    snprintf(draft->hint, sizeof(draft->hint), "`troth tx show %s` tells", draft->gtrid);
    problem->hint = draft->hint;
    draft->outcome.problem = problem;
}

static void draft_unknown(struct draft *draft, const struct tx *tx)
{
    Wire__Problem *problem = &draft->problem;
    wire__problem__init(problem);
    problem->participant = tx->branches[0].participant->name;
    problem->operation = tx->calls[0].operation;
    problem->code = (char *)"unknown";
    snprintf(draft->message, sizeof(draft->message), "%s has not told in time whether it committed",
             problem->participant);
    snprintf(draft->hint, sizeof(draft->hint), "later, ask with `troth tx show %s`", draft->gtrid);
    problem->message = draft->message;
    problem->hint = draft->hint;
    draft->outcome.problem = problem;
}

static void draft_committed(struct draft *draft, const struct tx *tx, bool applied)
{
    draft->outcome.result = WIRE__RESULT__COMMITTED;
    draft->outcome.applied = applied;
    draft_results(draft, tx);
    if (!applied)
        draft_unapplied(draft, tx);
}

static void make_draft(const struct server *server, const struct tx *tx, enum answer answer,
                       struct draft *draft)
{
    wire__outcome__init(&draft->outcome);
    gtrid_format(draft->gtrid, server->cluster, server->coordinator, tx->id);
    draft->outcome.gtrid = draft->gtrid;
    switch (answer) {
    case ANSWER_DECIDED:
    case ANSWER_APPLIED:
    case ANSWER_UNAPPLIED:
        draft_committed(draft, tx, answer == ANSWER_APPLIED);
        return;
    case ANSWER_UNKNOWN:
        draft->outcome.result = WIRE__RESULT__UNKNOWN;
        if (tx->sites)
            draft_no_majority(draft);
        else
            draft_unknown(draft, tx);
        return;
    case ANSWER_HAZARD:
        draft->outcome.result = WIRE__RESULT__HAZARD;
        break;
    default:
        CHECK(answer == ANSWER_ABORTED);
        draft->outcome.result = WIRE__RESULT__ABORTED;
        break;
    }
    if (tx->problem) {
        problem_view(tx->problem, &draft->problem);
        draft->outcome.problem = &draft->problem;
    }
}

/* Each waits for what it asked for, within its own time: a client that joins with its key later
 * neither ends the waiting of those before it nor makes it longer. */
static bool answers_waiter(enum answer answer, const struct waiter *waiter, uint64_t now_us)
{
    if (answer == ANSWER_DECIDED)
        return waiter->decided_is_enough;
    if (answer == ANSWER_UNAPPLIED || answer == ANSWER_UNKNOWN)
        return waiter->due_us <= now_us || PLANTED(ANSWER_BEFORE_DURABLE);
    return true;
}

void server_arm_waiters(struct server *server, struct tx *tx)
{
    uint64_t due_us = UINT64_MAX;
    for (const struct list *at = tx->waiters.next; at != &tx->waiters; at = at->next) {
        const struct waiter *waiter = CONTAINER(at, struct waiter, in_tx);
        due_us = waiter->due_us < due_us ? waiter->due_us : due_us;
    }
    if (due_us == UINT64_MAX)
        timers_clear(&server->timers, &tx->timer);
    else
        timers_set(&server->timers, &tx->timer, due_us);
}

/* A hazard does not change what was decided, and nothing more comes of it: a committed transaction
 * is applied as far as it ever will be when no other branch is missing. */
static void answer_task(struct server *server, struct tx *tx, enum answer answer,
                        struct waiter *waiter)
{
    struct draft draft;
    if (answer == ANSWER_HAZARD && tx->machine.committed)
        answer = tx->machine.in[BRANCH_COMMITTING] > 0 ? ANSWER_UNAPPLIED : ANSWER_APPLIED;
    make_draft(server, tx, answer, &draft);
    group_told(server, waiter->task, &draft.outcome);
}

void server_answer(struct server *server, struct tx *tx, enum answer answer)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    struct draft draft;
    bool made = false;
    for (struct list *at = tx->waiters.next, *next; at != &tx->waiters; at = next) {
        struct waiter *waiter = CONTAINER(at, struct waiter, in_tx);
        next = at->next;
        if (!answers_waiter(answer, waiter, now_us))
            continue;
        if (waiter->task) {
            answer_task(server, tx, answer, waiter);
            continue;
        }
        if (!made)
            make_draft(server, tx, answer, &draft);
        made = true;
        draft.outcome.request = waiter->request;
        draft.outcome.repeated_key = waiter->repeated_key;
        server_send_outcome(waiter->guest->peer, &draft.outcome);
        server_stop_waiting(server, waiter);
    }
}

void server_answer_one(const struct server *server, const struct tx *tx, const struct asker *asker,
                       enum answer answer)
{
    struct draft draft;
    make_draft(server, tx, answer, &draft);
    draft.outcome.request = asker->request;
    if (tx->machine.state == TRANSACTION_DONE && !tx->stepwise) {
        draft.outcome.n_results = 0; /* they are not kept that long */
        draft.outcome.results_dropped = true;
    }
    server_send_outcome(asker->guest->peer, &draft.outcome);
}

/* It is on no list any more, and is no more applied everywhere than it was. */
static void say_hazard(Wire__Outcome *outcome, Wire__Problem *problem)
{
    wire__problem__init(problem);
    problem->code = (char *)"hazard";
    problem->message = (char *)"it was committed, and a database could not prove it";
    problem->detail = (char *)"an operator has dealt with that since";
    problem->hint = (char *)"the coordinator's audit log says who, and why";
    outcome->result = WIRE__RESULT__HAZARD;
    outcome->applied = false;
    outcome->n_results = 0;
    outcome->problem = problem;
}

void server_answer_key(struct server *server, const struct asker *asker, const struct key *key)
{
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    Wire__Problem problem;
    gtrid_text gtrid;
    gtrid_format(gtrid, server->cluster, server->coordinator, key->id);
    outcome.request = asker->request;
    outcome.gtrid = gtrid;
    outcome.result = WIRE__RESULT__COMMITTED;
    outcome.applied = true;
    outcome.repeated_key = true;
    outcome.results = key->results;
    outcome.n_results = (size_t)key->result_count;
    outcome.results_dropped = key->results_dropped;
    if (asker->task) {
        group_told(server, asker->task, &outcome); /* as far as it ever will be */
        return;
    }
    if (key->hazard)
        say_hazard(&outcome, &problem);
    server_send_outcome(asker->guest->peer, &outcome);
}
