/* Requests about a transaction that is not open any more, or not here: they hear what became of it.
 */
#include <stdio.h>
#include <string.h>

#include "coordinator/parts.h"
#include "core/check.h"
#include "core/planted.h"

#define SAY(where, ...) ((void)snprintf((where), sizeof(where), __VA_ARGS__))

static void reject_as_over(const struct asker *asker)
{
    struct refusal r = {0};
    SAY(r.message, "the transaction is over for its participants: its commit was asked for");
    SAY(r.hint, "what belongs to it has to be done before its commit");
    refusal_set(&r, "over", "", "");
    server_reject(asker->guest, asker->request, &r.problem);
}

/* An outcome of which nothing more is known. */
static void answer_bare(const struct server *server, const struct asker *asker,
                        const struct gid *id, Wire__Result result)
{
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    gtrid_text gtrid;
    gtrid_format(gtrid, id->cluster, id->coordinator, id->tx);
    outcome.request = asker->request;
    outcome.gtrid = gtrid;
    outcome.result = result;
    outcome.applied = result == WIRE__RESULT__COMMITTED;
    problem.code = (char *)"unknown";
    if (result == WIRE__RESULT__ABORTED) {
        problem.message = (char *)"the coordinator does not know the transaction, so it is aborted";
        problem.detail = (char *)"an open one ends with the session that began it, and with the "
                                 "coordinator's process";
    } else if (server_is_ours(server, id)) {
        problem.message = (char *)"the transaction is beyond what the coordinator's journal knows";
        problem.hint = (char *)"see `troth tx explain`: the databases may tell";
    } else {
        problem.message = (char *)"the transaction belongs to another coordinator";
        problem.hint = (char *)"its id begins with the names of its cluster and its coordinator: "
                               "ask that one";
    }
    if (result != WIRE__RESULT__COMMITTED)
        outcome.problem = &problem;
    server_send_outcome(asker->guest->peer, &outcome);
}

/* It was handed over before, and who did it has not heard: it must not roll back what may be
 * committed. */
static bool was_handed_over(const struct tx *tx, const struct late_request *late)
{
    if (PLANTED(OPEN_HANDED_OVER_IS_OVER) || !late->hand_over || late->hand_over->xid == 0 ||
        late->hand_over->problem)
        return false;
    int index = tx_branch_index(tx, late->hand_over->branch);
    const struct tx_branch *branch = index >= 0 ? &tx->branches[index] : NULL;
    uint64_t xid = late->hand_over->xid;
    return branch && (branch->claimed_xid == xid || branch->xid == xid);
}

static void wait_for_outcome(struct server *server, struct tx *tx, const struct asker *asker,
                             Wire__Wait wait)
{
    struct transaction_event event = {.type = EVENT_JOINED};
    Wire__Submit how = WIRE__SUBMIT__INIT;
    struct refusal r = {0};
    if (tx->waiter_count >= LIMIT_WAITERS) {
        SAY(r.message, "too many clients wait for the outcome of this transaction");
        SAY(r.detail, "%d do, which is the limit; it goes on all the same", LIMIT_WAITERS);
        SAY(r.hint, "ask again a little later");
        refusal_set(&r, "busy", "", "");
        open_refuse(asker, &r);
        return;
    }
    how.wait = wait;
    server_wait(server, tx, asker, &how, false);
    /* One phase answers all who wait, and knows no others. */
    if (!tx->machine.alone)
        CHECK(server_step(server, tx, &event));
}

/* Who has heard of it wants it aborted, and it is not proposed yet. */
static void withdraw(struct server *server, struct tx *tx)
{
    struct transaction_event event = {.type = EVENT_DEADLINE_PASSED};
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)"aborted";
    problem.message = (char *)"a client aborted it";
    tx_problem(tx, NULL, &problem);
    CHECK(server_step(server, tx, &event));
}

static void answer_handed_over(struct server *server, const struct asker *asker,
                               const struct tx *tx, const Wire__HandOver *hand_over)
{
    Wire__Progress progress = WIRE__PROGRESS__INIT;
    gtrid_text gtrid;
    gtrid_format(gtrid, server->cluster, server->coordinator, tx->id);
    progress.request = asker->request;
    progress.gtrid = gtrid;
    progress.branch = hand_over->branch;
    open_send_progress(asker->guest->peer, &progress);
}

static void answer_known(struct server *server, const struct asker *asker, struct tx *tx,
                         const struct late_request *late)
{
    bool over = tx->machine.state == TRANSACTION_DONE;
    bool aborted = over ? strcmp(tx_state_word(tx), "aborted") == 0
                        : transaction_phase(&tx->machine) == PHASE_ABORTED;
    if (aborted)
        server_answer_one(server, tx, asker, ANSWER_ABORTED);
    else if (was_handed_over(tx, late))
        answer_handed_over(server, asker, tx, late->hand_over);
    else if (!late->end)
        reject_as_over(asker);
    else if (tx->machine.in[BRANCH_HAZARD] > 0)
        server_answer_one(server, tx, asker, ANSWER_HAZARD);
    else if (over)
        server_answer_one(server, tx, asker, ANSWER_APPLIED);
    else
        wait_for_outcome(server, tx, asker, late->wait);
}

static void answer_unknown(struct server *server, const struct asker *asker, const struct gid *id,
                           const struct late_request *late)
{
    enum verdict verdict = VERDICT_IS_HOLD;
    if (server_is_ours(server, id))
        verdict = recovery_judge(&server->recovery, id->tx, PRESENCE_NONE);
    /* Which branches it had is not known any more, so none is told to be rolled back. */
    if (verdict == VERDICT_IS_COMMIT && !late->end && !late->hand_over)
        reject_as_over(asker);
    else
        answer_bare(server, asker, id,
                    verdict == VERDICT_IS_COMMIT  ? WIRE__RESULT__COMMITTED
                    : verdict == VERDICT_IS_ABORT ? WIRE__RESULT__ABORTED
                                                  : WIRE__RESULT__UNKNOWN);
}

void open_answer_late(struct server *server, const struct asker *asker, const struct gid *id,
                      const struct late_request *late)
{
    struct tx *tx = server_is_ours(server, id) ? server_remember(server, id->tx) : NULL;
    if (PLANTED(OPEN_END_AGAIN_IS_ABORTED) && late->end)
        tx = NULL;
    if (tx && !tx->hazard_only)
        answer_known(server, asker, tx, late);
    else if (tx && late->end)
        server_answer_one(server, tx, asker, ANSWER_HAZARD);
    else
        answer_unknown(server, asker, id, late);
}

void open_abort_late(struct server *server, const char *gtrid)
{
    struct gid id;
    bool ours = gtrid_parse(gtrid, &id) && server_is_ours(server, &id);
    struct tx *tx = ours ? server_find(server, id.tx) : NULL;
    if (tx && tx->stepwise && tx->machine.state == TRANSACTION_VOTING)
        withdraw(server, tx);
}
