/* What became of a transaction, by its id. */
#include <stdlib.h>
#include <string.h>

#include "client/answers.h"

/* Undecided: it is asked again. Databases, too, but that costs each of them some statements. */
#define LOOK_PAUSE_US     (100 * 1000)
#define EVIDENCE_PAUSE_US (1000 * 1000)

static bool is_word(const char *word, const char *expected)
{
    return strcmp(word, expected) == 0;
}

/* As the coordinator sees it. A hazard is what can't be proved, and also what an operator has
 * forced against the decision. */
static enum troth_status status_of_view(const Wire__TransactionView *view)
{
    if (view->hazard || is_word(view->heuristic, "mixed") || is_word(view->state, "forgotten"))
        return TROTH_HAZARD;
    if (is_word(view->decision, "commit") || is_word(view->state, "applied"))
        return TROTH_OK;
    if (is_word(view->decision, "abort") || is_word(view->state, "aborted"))
        return TROTH_ABORTED;
    return is_word(view->state, "heuristic") ? TROTH_HAZARD : TROTH_PENDING;
}

/* ---- what the databases say ---------------------------------------------------------------- */

/* This run of the coordinator has given the id out itself: so it knows who took part. */
static bool of_this_run(const struct request *request, const Wire__Answer *answer)
{
    return answer->coordinator && answer->coordinator->epoch == request->home.tx.epoch;
}

/* The coordinator's journal knows no commit of it by two or three phases. One phase leaves nothing
 * there, but a row of troth.barrier in the database: and of an earlier run nobody knows any more
 * which databases there were. */
static enum troth_status status_of_evidence(const struct request *request,
                                            const Wire__Answer *answer)
{
    bool all_told = of_this_run(request, answer) && answer->n_testimonies > 0;
    enum troth_status status = TROTH_ABORTED;
    for (size_t i = 0; i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        all_told = all_told && !testimony->problem;
        for (size_t j = 0; j < testimony->n_exhibits; j++) {
            const Wire__Exhibit *exhibit = testimony->exhibits[j];
            if (*exhibit->barrier || exhibit->status == WIRE__XID_STATUS__XID_COMMITTED)
                return TROTH_OK;
            if (exhibit->prepared || exhibit->status == WIRE__XID_STATUS__XID_IN_PROGRESS)
                status = TROTH_PENDING;
        }
    }
    return status == TROTH_ABORTED && !all_told ? TROTH_UNKNOWN : status;
}

static void ask_databases(struct request *request)
{
    request->message->query->what = WIRE__WHAT__EVIDENCE;
}

static bool asked_databases(const struct request *request)
{
    return request->message->query->what == WIRE__WHAT__EVIDENCE;
}

static uint64_t judge_outcome(struct request *request, const Wire__Message *message)
{
    if (message->body_case != WIRE__MESSAGE__BODY_ANSWER)
        return 0;
    const Wire__Answer *answer = message->answer;
    if (asked_databases(request)) {
        enum troth_status status = status_of_evidence(request, answer);
        return status == TROTH_PENDING || status == TROTH_UNKNOWN ? EVIDENCE_PAUSE_US : 0;
    }
    if (problem_is(answer->problem, "unknown")) {
        ask_databases(request);
        return 1;
    }
    bool pending =
        answer->n_transactions == 1 && status_of_view(answer->transactions[0]) == TROTH_PENDING;
    return pending ? LOOK_PAUSE_US : 0;
}

/* ---- conclusions --------------------------------------------------------------------------- */

static enum troth_status conclude_evidence(const struct request *request,
                                           const Wire__Answer *answer, struct troth_result *result)
{
    enum troth_status status = status_of_evidence(request, answer);
    for (size_t i = 0; i < answer->n_testimonies && status == TROTH_UNKNOWN; i++) {
        if (answer->testimonies[i]->problem)
            result_problem(result, answer->testimonies[i]->problem);
    }
    if (status == TROTH_UNKNOWN) {
        result_code(result, "forgotten");
        result_detail(result,
                      of_this_run(request, answer)
                          ? "the coordinator knows no commit of it, and not every database that "
                            "may hold one was heard"
                          : "the coordinator was started since and knows no commit of it, nor does "
                            "any database that was heard; there may be others");
    } else if (status == TROTH_ABORTED) {
        result_code(result, "presumed_abort");
        result_message(result, "the coordinator knows no commit of it, and no database does");
    }
    result->applied = status == TROTH_OK;
    return result_is(result, status);
}

static enum troth_status conclude_view(const Wire__TransactionView *view,
                                       struct troth_result *result)
{
    enum troth_status status = status_of_view(view);
    result_problem(result, view->problem);
    result->applied = status == TROTH_OK && is_word(view->state, "applied");
    return result_is(result, status);
}

static void conclude_outcome(struct request *request, struct troth_result *result)
{
    const Wire__Answer *answer = answer_of(request);
    gtrid_text gtrid;
    gtrid_format(gtrid, request->home.cluster, request->home.coordinator, request->home.tx);
    result_id(result, gtrid);
    if (request->end != REQUEST_ANSWERED) {
        /* To ask has changed nothing: what is not known is only the answer. */
        request_unanswered(request, result);
    } else if (!answer) {
        answer_is_strange(result);
    } else if (asked_databases(request)) {
        conclude_evidence(request, answer, result);
    } else if (answer->n_transactions == 1) {
        conclude_view(answer->transactions[0], result);
    } else if (answer->problem) {
        result_problem(result, answer->problem);
        bool held = problem_is(answer->problem, "held") || problem_is(answer->problem, "unknown");
        result_is(result, held ? TROTH_UNKNOWN : TROTH_REFUSED);
    } else {
        answer_is_strange(result);
    }
}

/* NULL with the result: it is no id. */
static struct request *make_outcome(struct troth *troth, const char *id, uint32_t timeout_ms,
                                    struct troth_result *result)
{
    struct gid gid;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Query query = WIRE__QUERY__INIT;
    if (!id || !gtrid_parse(id, &gid)) {
        result_fail(result, TROTH_REFUSED, "bad_request", "\"%.120s\" is not a transaction's id",
                    id ? id : "");
        return NULL;
    }
    query.what = WIRE__WHAT__TRANSACTION;
    query.gtrid = (char *)id;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    struct request *request =
        request_new(troth, &message, timeout_ms ? timeout_ms : 1, conclude_outcome);
    request->at_home = true;
    request->home = gid;
    request->repeat = true;
    request->judge = judge_outcome;
    return request;
}

enum troth_status troth_outcome(struct troth *troth, const char *id, uint32_t timeout_ms,
                                struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_outcome(troth, id, timeout_ms, &made);
    if (request)
        request_wait(request, &made);
    return result_give(result, &made);
}

void troth_outcome_async(struct troth *troth, const char *id, uint32_t timeout_ms, troth_done *done,
                         void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_outcome(troth, id, timeout_ms, &made);
    if (request)
        request_later(request, done, self);
    else
        request_later_made(troth, &made, done, self);
    troth_result_clear(&made);
}
