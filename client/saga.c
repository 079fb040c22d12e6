/* Sagas. */
#include <stdlib.h>
#include <string.h>

#include "client/answers.h"
#include "client/saga_view.h"
#include "core/check.h"
#include "core/json.h"
#include "io/wire_json.h"

enum { START_TIMEOUT_MS = 30 * 1000 };

/* Participants are not needed for a start: only a coordinator that is not ready refuses for a
 * while. */
#define REFUSED_PAUSE_US (200 * 1000)

/* ---- outcomes ------------------------------------------------------------------------------ */

static void take_outcome(const Wire__SagaOutcome *outcome, struct troth_result *result,
                         enum troth_status running)
{
    result_id(result, outcome->saga);
    result->repeated = outcome->repeated_key;
    result_problem(result, outcome->problem);
    switch (outcome->result) {
    case WIRE__SAGA_RESULT__SAGA_STARTED:
        result_is(result, running);
        return;
    case WIRE__SAGA_RESULT__SAGA_COMPLETED:
        result->applied = true;
        result_values(result, (char *const *)&outcome->output, 1);
        result_is(result, TROTH_OK);
        return;
    case WIRE__SAGA_RESULT__SAGA_COMPENSATED:
        result_is(result, TROTH_ABORTED);
        return;
    case WIRE__SAGA_RESULT__SAGA_REJECTED:
        result_is(result, TROTH_REFUSED);
        return;
    default:
        answer_is_strange(result);
    }
}

static void conclude_saga_outcome(struct request *request, struct troth_result *result)
{
    const Wire__SagaOutcome *outcome = saga_outcome_of(request);
    bool start = request->message->body_case == WIRE__MESSAGE__BODY_START_SAGA;
    if (request->end != REQUEST_ANSWERED)
        request_unanswered(request, result);
    else if (!outcome)
        answer_is_strange(result);
    else
        take_outcome(outcome, result, start ? TROTH_OK : TROTH_PENDING);
    /* To wait has changed nothing, and what goes on goes on. */
    if (!start && result->status == TROTH_UNKNOWN)
        result_is(result, TROTH_UNAVAILABLE);
}

/* ---- start --------------------------------------------------------------------------------- */

static uint64_t judge_start(struct request *request, const Wire__Message *answer)
{
    if (answer->body_case != WIRE__MESSAGE__BODY_SAGA_OUTCOME || !request->repeated)
        return 0;
    const Wire__SagaOutcome *outcome = answer->saga_outcome;
    bool passing =
        outcome->result == WIRE__SAGA_RESULT__SAGA_REJECTED &&
        (problem_is(outcome->problem, "busy") || problem_is(outcome->problem, "draining"));
    return passing ? REFUSED_PAUSE_US : 0;
}

static struct request *make_start(struct troth *troth, const char *name, const char *input,
                                  const char *key, uint32_t timeout_ms, struct troth_result *result)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__StartSaga start = WIRE__START_SAGA__INIT;
    if (!name || !name_valid(name)) {
        result_fail(result, TROTH_REFUSED, "bad_request", "\"%.100s\" is not the name of a saga",
                    name ? name : "");
        result_hint(result, "a name is %s", name_rule);
        return NULL;
    }
    if (!key_sound(key, result))
        return NULL;
    start.name = (char *)name;
    start.input = (char *)(input ? input : "");
    start.key = (char *)(key ? key : "");
    message.body_case = WIRE__MESSAGE__BODY_START_SAGA;
    message.start_saga = &start;
    struct request *request =
        request_new(troth, &message, timeout_ms ? timeout_ms : (uint32_t)START_TIMEOUT_MS,
                    conclude_saga_outcome);
    request->repeat = key != NULL;
    request->endpoint = key ? 0 : ANY_ENDPOINT;
    request->judge = judge_start;
    return request;
}

enum troth_status troth_saga_start(struct troth *troth, const char *name, const char *input,
                                   const char *key, uint32_t timeout_ms,
                                   struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_start(troth, name, input, key, timeout_ms, &made);
    if (request)
        request_wait(request, &made);
    return result_give(result, &made);
}

void troth_saga_start_async(struct troth *troth, const char *name, const char *input,
                            const char *key, uint32_t timeout_ms, troth_done *done, void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_start(troth, name, input, key, timeout_ms, &made);
    if (request)
        request_later(request, done, self);
    else
        request_later_made(troth, &made, done, self);
    troth_result_clear(&made);
}

/* ---- of one that has begun ----------------------------------------------------------------- */

/* False with the result: it is no id. */
static bool take_id(const char *id, struct gid *gid, struct troth_result *result)
{
    if (id && gtrid_parse(id, gid))
        return true;
    result_fail(result, TROTH_REFUSED, "bad_request", "\"%.120s\" is not a saga's id",
                id ? id : "");
    return false;
}

static struct request *to_home(struct request *request, const struct gid *gid)
{
    request->at_home = true;
    request->home = *gid;
    return request;
}

static struct request *make_wait(struct troth *troth, const char *id, uint32_t timeout_ms,
                                 struct troth_result *result)
{
    struct gid gid;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__AwaitSaga await = WIRE__AWAIT_SAGA__INIT;
    if (!take_id(id, &gid, result))
        return NULL;
    result_id(result, id);
    await.saga = (char *)id;
    message.body_case = WIRE__MESSAGE__BODY_AWAIT_SAGA;
    message.await_saga = &await;
    struct request *request =
        request_new(troth, &message, timeout_ms ? timeout_ms : 1, conclude_saga_outcome);
    request->repeat = true;
    return to_home(request, &gid);
}

enum troth_status troth_saga_wait(struct troth *troth, const char *id, uint32_t timeout_ms,
                                  struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_wait(troth, id, timeout_ms, &made);
    if (request)
        request_wait(request, &made);
    return result_give(result, &made);
}

void troth_saga_wait_async(struct troth *troth, const char *id, uint32_t timeout_ms,
                           troth_done *done, void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_wait(troth, id, timeout_ms, &made);
    if (request)
        request_later(request, done, self);
    else
        request_later_made(troth, &made, done, self);
    troth_result_clear(&made);
}

static void conclude_signal(struct request *request, struct troth_result *result)
{
    const Wire__Answer *answer = answer_of(request);
    result_id(result, request->message->saga_order->saga);
    if (request->end != REQUEST_ANSWERED)
        request_unanswered(request, result);
    else if (!answer)
        answer_is_strange(result);
    else if (answer->problem)
        answer_refusal(answer->problem, result);
    else
        result_is(result, TROTH_OK);
    if (result->status == TROTH_UNKNOWN)
        result_hint(result, "troth_saga_query tells whether it still waits for the signal");
}

enum troth_status troth_saga_signal(struct troth *troth, const char *id, const char *signal,
                                    const char *value, uint32_t timeout_ms,
                                    struct troth_result *result)
{
    struct gid gid;
    struct troth_result made = {0};
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__SagaOrder order = WIRE__SAGA_ORDER__INIT;
    result_begin(&made);
    if (!take_id(id, &gid, &made))
        return result_give(result, &made);
    order.saga = (char *)id;
    order.order = WIRE__ORDER__ORDER_SIGNAL;
    order.signal = (char *)(signal ? signal : "");
    order.value = (char *)(value ? value : "");
    order.by = troth->name;
    message.body_case = WIRE__MESSAGE__BODY_SAGA_ORDER;
    message.saga_order = &order;
    struct request *request =
        request_new(troth, &message, timeout_ms ? timeout_ms : 1, conclude_signal);
    request_wait(to_home(request, &gid), &made);
    return result_give(result, &made);
}

/* ---- query --------------------------------------------------------------------------------- */

/* The pages that came, as one. */
static void add_page(struct request *request, Wire__SagaView *page)
{
    Wire__SagaView *saga = request->more;
    if (!saga) {
        request->more = page;
        return;
    }
    saga_view_append(saga, page);
    wire__saga_view__free_unpacked(page, NULL);
}

static void free_saga(void *saga)
{
    if (saga)
        wire__saga_view__free_unpacked(saga, NULL);
}

static void ask_from(Wire__Query *query, const Wire__SagaView *saga)
{
    if (query->from != protobuf_c_empty_string)
        free(query->from);
    query->from = xstrdup(saga->steps[saga->n_steps - 1]->path);
}

/* A page after the other; each is asked for behind the last step that is known. */
static uint64_t judge_query(struct request *request, const Wire__Message *message)
{
    if (message->body_case != WIRE__MESSAGE__BODY_ANSWER || message->answer->n_sagas == 0)
        return 0;
    Wire__Message *copy = message_copy(message);
    Wire__Answer *answer = copy->answer;
    bool more = answer->more > 0 && answer->sagas[0]->n_steps > 0;
    Wire__SagaView *page = answer->sagas[0];
    answer->sagas[0] = answer->sagas[--answer->n_sagas];
    add_page(request, page);
    wire__message__free_unpacked(copy, NULL);
    if (more)
        ask_from(request->message->query, request->more);
    return more ? 1 : 0;
}

static void conclude_query(struct request *request, struct troth_result *result)
{
    const Wire__Answer *answer = answer_of(request);
    result_id(result, request->message->query->saga);
    if (request->end != REQUEST_ANSWERED) {
        request_unanswered(request, result);
        if (result->status == TROTH_UNKNOWN)
            result_is(result, TROTH_UNAVAILABLE);
    } else if (answer && answer->problem) {
        answer_refusal(answer->problem, result);
    } else if (!request->more) {
        answer_is_strange(result);
    } else {
        struct json_writer writer = {0};
        saga_view_count_depth(request->more);
        json_open(&writer, '{');
        json_saga_row(&writer, request->more);
        json_saga_rest(&writer, request->more);
        json_close(&writer, '}');
        result_values(result, &writer.text, 1);
        json_writer_fini(&writer);
        result_is(result, TROTH_OK);
    }
}

enum troth_status troth_saga_query(struct troth *troth, const char *id, uint32_t timeout_ms,
                                   struct troth_result *result)
{
    struct gid gid;
    struct troth_result made = {0};
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Query query = WIRE__QUERY__INIT;
    result_begin(&made);
    if (!take_id(id, &gid, &made))
        return result_give(result, &made);
    query.what = WIRE__WHAT__SAGA;
    query.saga = (char *)id;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    struct request *request =
        request_new(troth, &message, timeout_ms ? timeout_ms : 1, conclude_query);
    request->repeat = true;
    request->judge = judge_query;
    request->free_more = free_saga;
    request_wait(to_home(request, &gid), &made);
    return result_give(result, &made);
}
