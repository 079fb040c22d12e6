/* Transactions in one request. */
#include <stdlib.h>
#include <string.h>

#include "client/answers.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/problem.h"

/* Participants come back soon after their coordinator. */
#define REFUSED_PAUSE_US (200 * 1000)

/* ---- submit -------------------------------------------------------------------------------- */

/* Of a repeated request: the coordinator is just back, and its participants are not yet. That the
 * key is not known to it says that nothing came of the first try. */
static uint64_t judge_submit(struct request *request, const Wire__Message *answer)
{
    if (answer->body_case != WIRE__MESSAGE__BODY_OUTCOME || !request->repeated)
        return 0;
    const Wire__Outcome *outcome = answer->outcome;
    bool passing = outcome->result == WIRE__RESULT__REJECTED && outcome->problem &&
                   problem_is_passing(outcome->problem->code);
    return passing ? REFUSED_PAUSE_US : 0;
}

static void conclude_submit(struct request *request, struct troth_result *result)
{
    const Wire__Outcome *outcome = outcome_of(request);
    if (request->end != REQUEST_ANSWERED)
        request_unanswered(request, result);
    else if (!outcome)
        answer_is_strange(result);
    else
        answer_outcome(outcome, result);
    /* Too many wait for the transaction of this key: it may come to anything. */
    if (request->repeated && outcome && outcome->result == WIRE__RESULT__REJECTED &&
        problem_is(outcome->problem, "busy"))
        result_is(result, TROTH_UNKNOWN);
    if (result->status == TROTH_UNKNOWN && request->end != REQUEST_ANSWERED) {
        result_detail(result, "the transaction was sent; it may be committed or aborted");
        if (request->repeat)
            result_hint(result, "the same request with the same key tells: it is not run again");
        else
            result_hint(result, "`troth tx list` shows it; with a key a request can be repeated");
    }
}

/* What the messages of a submit point into. */
struct calls {
    Wire__Call *calls, **pointers;
    size_t count;
};

static void calls_free(struct calls *calls)
{
    for (size_t i = 0; i < calls->count; i++) {
        free(calls->calls[i].participant);
        free(calls->calls[i].operation);
    }
    free(calls->calls);
    free(calls->pointers);
}

static bool calls_take(struct calls *calls, const struct troth_call *given, size_t count,
                       struct troth_result *result)
{
    calls->calls = xcalloc(count + 1, sizeof(*calls->calls));
    calls->pointers = xcalloc(count + 1, sizeof(*calls->pointers));
    if (count == 0 || count > LIMIT_CALLS) {
        result_fail(result, TROTH_REFUSED, "bad_request", "a transaction has 1 to %d calls",
                    LIMIT_CALLS);
        return false;
    }
    for (size_t i = 0; i < count; i++) {
        Wire__Call *call = calls->pointers[i] = &calls->calls[i];
        wire__call__init(call);
        if (!operation_split(given[i].operation, &call->participant, &call->operation, result))
            return false;
        call->arguments = (char *)(given[i].arguments ? given[i].arguments : "{}");
        calls->count++;
    }
    return true;
}

static const struct troth_options default_options;

/* NULL with the result: it can't be sent. */
static struct request *make_submit(struct troth *troth, const struct troth_call *given,
                                   size_t count, const struct troth_options *options,
                                   struct troth_result *result)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    struct calls calls = {0};
    struct request *request = NULL;
    if (!options)
        options = &default_options;
    if (calls_take(&calls, given, count, result) && key_sound(options->key, result)) {
        submit.protocol = (Wire__Protocol)options->protocol;
        submit.wait = (Wire__Wait)options->wait;
        submit.timeout_ms = options->deadline_ms;
        submit.key = (char *)(options->key ? options->key : "");
        submit.calls = calls.pointers;
        submit.n_calls = count;
        message.body_case = WIRE__MESSAGE__BODY_SUBMIT;
        message.submit = &submit;
        request = request_new(troth, &message, options->deadline_ms, conclude_submit);
        request->repeat = options->key != NULL;
        request->endpoint = options->key ? 0 : ANY_ENDPOINT;
        request->judge = judge_submit;
    }
    calls_free(&calls);
    return request;
}

enum troth_status troth_submit(struct troth *troth, const struct troth_call *calls, size_t count,
                               const struct troth_options *options, struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_submit(troth, calls, count, options, &made);
    if (request)
        request_wait(request, &made);
    return result_give(result, &made);
}

void troth_submit_async(struct troth *troth, const struct troth_call *calls, size_t count,
                        const struct troth_options *options, troth_done *done, void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_submit(troth, calls, count, options, &made);
    if (request)
        request_later(request, done, self);
    else
        request_later_made(troth, &made, done, self);
    troth_result_clear(&made);
}
