#include "client/answers.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/text.h"

bool problem_is(const Wire__Problem *problem, const char *code)
{
    return problem && strcmp(problem->code, code) == 0;
}

static enum troth_status status_of(Wire__Result result)
{
    switch (result) {
    case WIRE__RESULT__COMMITTED:
        return TROTH_OK;
    case WIRE__RESULT__ABORTED:
        return TROTH_ABORTED;
    case WIRE__RESULT__REJECTED:
        return TROTH_REFUSED;
    case WIRE__RESULT__HAZARD:
        return TROTH_HAZARD;
    default:
        return TROTH_UNKNOWN;
    }
}

enum troth_status answer_outcome(const Wire__Outcome *outcome, struct troth_result *result)
{
    result_id(result, outcome->gtrid);
    result->applied = outcome->result == WIRE__RESULT__COMMITTED && outcome->applied;
    result->repeated = outcome->repeated_key;
    result_problem(result, outcome->problem);
    if (outcome->result == WIRE__RESULT__COMMITTED)
        result_values(result, outcome->results, outcome->n_results);
    return result_is(result, status_of(outcome->result));
}

enum troth_status answer_refusal(const Wire__Problem *problem, struct troth_result *result)
{
    result_problem(result, problem);
    return result_is(result, TROTH_REFUSED);
}

const Wire__Outcome *outcome_of(const struct request *request)
{
    bool is = request->answer && request->answer->body_case == WIRE__MESSAGE__BODY_OUTCOME;
    return is ? request->answer->outcome : NULL;
}

const Wire__Progress *progress_of(const struct request *request)
{
    bool is = request->answer && request->answer->body_case == WIRE__MESSAGE__BODY_PROGRESS;
    return is ? request->answer->progress : NULL;
}

const Wire__Answer *answer_of(const struct request *request)
{
    bool is = request->answer && request->answer->body_case == WIRE__MESSAGE__BODY_ANSWER;
    return is ? request->answer->answer : NULL;
}

const Wire__SagaOutcome *saga_outcome_of(const struct request *request)
{
    bool is = request->answer && request->answer->body_case == WIRE__MESSAGE__BODY_SAGA_OUTCOME;
    return is ? request->answer->saga_outcome : NULL;
}

enum troth_status answer_is_strange(struct troth_result *result)
{
    return result_fail(result, TROTH_UNKNOWN, "no_answer",
                       "the coordinator has answered something else than was asked");
}

bool operation_split(const char *operation, char **participant, char **name,
                     struct troth_result *result)
{
    const char *dot = operation ? strchr(operation, '.') : NULL;
    if (!dot || dot == operation || !dot[1]) {
        result_fail(result, TROTH_REFUSED, "bad_request", "\"%.100s\" is not an operation",
                    operation ? operation : "");
        result_hint(result, "it looks like PARTICIPANT.OPERATION: payments.charge");
        return false;
    }
    *participant = xstrndup(operation, (size_t)(dot - operation));
    *name = xstrdup(dot + 1);
    return true;
}

bool key_sound(const char *key, struct troth_result *result)
{
    if (!key || (*key && strlen(key) <= LIMIT_KEY_BYTES && text_plain(key)))
        return true;
    result_fail(result, TROTH_REFUSED, "bad_request",
                "a key is 1 to %d bytes of UTF-8 without control characters", LIMIT_KEY_BYTES);
    return false;
}
