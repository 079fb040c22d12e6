/* A transaction step by step. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/answers.h"
#include "core/check.h"

/* While the coordinator has not missed our lost session yet, it takes us for another one. */
#define NOT_YOURS_PAUSE_US (150 * 1000)
/* An abort is heard soon, or the deadline does it. */
enum { ABORT_PATIENCE_MS = 5000 };

static const struct troth_options default_options;

/* ---- what all of it has in common ---------------------------------------------------------- */

static struct troth_tx *tx_new(struct troth *troth)
{
    struct troth_tx *tx = xcalloc(1, sizeof(*tx));
    tx->troth = troth;
    list_init(&tx->joined);
    result_begin(&tx->ended);
    result_fail(&tx->ended, TROTH_REFUSED, "not_begun", "the transaction has not begun yet");
    return tx;
}

static void tx_drop(struct troth_tx *tx)
{
    joined_free(tx);
    troth_result_clear(&tx->ended);
    free(tx);
}

uint32_t tx_left_ms(const struct troth_tx *tx)
{
    uint64_t now_us = library_now_us();
    if (!tx->due_known)
        return PATIENCE_MS;
    uint64_t left_ms = tx->due_us > now_us ? (tx->due_us - now_us) / 1000 : 0;
    return left_ms > UINT32_MAX ? UINT32_MAX : left_ms > 1 ? (uint32_t)left_ms : 1;
}

struct request *tx_request(struct troth_tx *tx, const Wire__Message *message,
                           request_conclude *conclude)
{
    struct request *request = request_new(tx->troth, message, tx_left_ms(tx), conclude);
    request->tx = tx;
    request->home = tx->gid;
    if (tx->beginner) {
        request->endpoint = tx->endpoint;
        request->session = tx->session;
    } else {
        request->at_home = true;
    }
    return request;
}

void tx_end(struct troth_tx *tx, const struct troth_result *result)
{
    tx->open = false;
    result_begin(&tx->ended);
    result_copy_problem(&tx->ended, &result->problem);
    tx->ended.status = result->status;
}

enum troth_status tx_ended_before(const struct troth_tx *tx, struct troth_result *result)
{
    result_id(result, tx->id);
    if (tx->ended.status == TROTH_OK)
        return result_fail(result, TROTH_REFUSED, "over", "the transaction is committed");
    result_copy_problem(result, &tx->ended.problem);
    return result_is(result, tx->ended.status);
}

static void took_gone(struct request *request, struct troth_result *result)
{
    result_fail(result, TROTH_ABORTED, "session_lost",
                "the session in which the transaction was begun is lost%s%s",
                request->reason[0] ? ": " : "", request->reason);
    result_detail(result, "a transaction that is not committed yet ends with its session");
    tx_end(request->tx, result);
}

/* Only who began it can commit it, and has not asked for that. */
static bool never_committed(const struct troth_tx *tx)
{
    return tx->beginner && !tx->asked_commit;
}

static void took_nothing(struct request *request, struct troth_result *result)
{
    struct troth_tx *tx = request->tx;
    request_unanswered(request, result);
    if (request->end == REQUEST_TOO_LARGE || !never_committed(tx))
        return;
    result_is(result, TROTH_ABORTED);
    result_detail(result, "it was not committed, and its deadline has passed");
    tx_end(tx, result);
}

static void took_outcome(struct request *request, const Wire__Outcome *outcome,
                         struct troth_result *result)
{
    struct troth_tx *tx = request->tx;
    answer_outcome(outcome, result);
    if (request->turned && result->status == TROTH_ABORTED && !*result->problem.code)
        result_fail(result, TROTH_ABORTED, "session_lost",
                    "the session was lost before the answer came, and all of it was aborted");
    else if (request->turned && result->status == TROTH_OK)
        result_fail(result, TROTH_UNKNOWN, "session_lost",
                    "the session was lost before the answer came; the transaction is committed");
    if (result->status == TROTH_ABORTED)
        tx_end(tx, result);
}

bool tx_took_end(struct request *request, struct troth_result *result)
{
    const Wire__Progress *progress = progress_of(request);
    const Wire__Outcome *outcome = outcome_of(request);
    struct troth_tx *tx = request->tx;
    result_id(result, tx->id);
    if (request->end == REQUEST_GONE)
        took_gone(request, result);
    else if (request->end != REQUEST_ANSWERED)
        took_nothing(request, result);
    else if (outcome)
        took_outcome(request, outcome, result);
    else if (!progress)
        answer_is_strange(result);
    else if (progress->problem)
        answer_refusal(progress->problem, result);
    else
        return false;
    return true;
}

static void take_time(struct troth_tx *tx, const Wire__Progress *progress)
{
    tx->due_us = library_now_us() + progress->timeout_ms * UINT64_C(1000);
    tx->due_known = true;
}

/* ---- its text ----------------------------------------------------------------------------- */

/* "1:shop.c1.5.17:29000": the form's number, the id, and for how long it lived then at most. */
static const char context_form[] = "1:";

/* Made once: a number that shrank with each call would be no more true. */
static void make_context(struct troth_tx *tx)
{
    int size = snprintf(tx->context, sizeof(tx->context), "%s%s:%" PRIu32, context_form, tx->id,
                        tx_left_ms(tx));
    CHECK(size > 0 && (size_t)size < sizeof(tx->context));
}

/* ---- begin --------------------------------------------------------------------------------- */

static void conclude_begin(struct request *request, struct troth_result *result)
{
    struct troth_tx *tx = request->tx;
    const Wire__Progress *progress = progress_of(request);
    const Wire__Outcome *outcome = outcome_of(request);
    if (request->end != REQUEST_ANSWERED) {
        /* What may have begun has no locks, and ends with its session. */
        request_unanswered(request, result);
        if (result->status == TROTH_UNKNOWN)
            result_is(result, TROTH_UNAVAILABLE);
    } else if (outcome) {
        answer_outcome(outcome, result);
    } else if (!progress) {
        answer_is_strange(result);
    } else if (progress->problem) {
        answer_refusal(progress->problem, result);
    } else if (!gtrid_parse(progress->gtrid, &tx->gid)) {
        answer_is_strange(result);
    } else {
        strcpy(tx->id, progress->gtrid);
        tx->beginner = tx->open = true;
        tx->endpoint = request->answered_by;
        tx->session = request->answered_session;
        take_time(tx, progress);
        make_context(tx);
        result_id(result, tx->id);
        result_is(result, TROTH_OK);
    }
    if (!tx->open)
        tx_end(tx, result);
}

static struct request *make_begin(struct troth_tx *tx, const struct troth_options *options,
                                  struct troth_result *result)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Begin begin = WIRE__BEGIN__INIT;
    if (!options)
        options = &default_options;
    if (!key_sound(options->key, result))
        return NULL;
    begin.protocol = (Wire__Protocol)options->protocol;
    begin.timeout_ms = options->deadline_ms;
    begin.key = (char *)(options->key ? options->key : "");
    message.body_case = WIRE__MESSAGE__BODY_BEGIN;
    message.begin = &begin;
    tx->wait = options->wait;
    struct request *request =
        request_new(tx->troth, &message, options->deadline_ms, conclude_begin);
    request->tx = tx;
    request->repeat = true;
    request->endpoint = options->key ? 0 : ANY_ENDPOINT;
    return request;
}

enum troth_status troth_begin(struct troth *troth, const struct troth_options *options,
                              struct troth_tx **tx, struct troth_result *result)
{
    struct troth_result made = {0};
    struct troth_tx *begun = tx_new(troth);
    result_begin(&made);
    struct request *request = make_begin(begun, options, &made);
    if (request)
        request_wait(request, &made);
    *tx = begun->open ? begun : NULL;
    if (!begun->open)
        tx_drop(begun);
    return result_give(result, &made);
}

struct troth_tx *troth_begin_async(struct troth *troth, const struct troth_options *options,
                                   troth_done *done, void *self)
{
    struct troth_result made = {0};
    struct troth_tx *tx = tx_new(troth);
    result_begin(&made);
    struct request *request = make_begin(tx, options, &made);
    if (request) {
        request_later(request, done, self);
    } else {
        tx_end(tx, &made);
        request_later_made(troth, &made, done, self);
    }
    troth_result_clear(&made);
    return tx;
}

/* ---- execute ------------------------------------------------------------------------------- */

static void conclude_execute(struct request *request, struct troth_result *result)
{
    if (tx_took_end(request, result))
        return;
    const Wire__Progress *progress = progress_of(request);
    take_time(request->tx, progress);
    result_values(result, &progress->result, 1);
    result_is(result, TROTH_OK);
}

/* NULL with the result: it is over, or can't be sent. */
static struct request *make_execute(struct troth_tx *tx, const char *operation,
                                    const char *arguments, struct troth_result *result)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Perform perform = WIRE__PERFORM__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    if (!tx->open) {
        tx_ended_before(tx, result);
        return NULL;
    }
    if (!operation_split(operation, &call.participant, &call.operation, result))
        return NULL;
    call.arguments = (char *)(arguments ? arguments : "{}");
    perform.gtrid = tx->id;
    perform.call = &call;
    message.body_case = WIRE__MESSAGE__BODY_PERFORM;
    message.perform = &perform;
    struct request *request = tx_request(tx, &message, conclude_execute);
    request->abort_if_lost = true;
    free(call.participant);
    free(call.operation);
    return request;
}

enum troth_status troth_execute(struct troth_tx *tx, const char *operation, const char *arguments,
                                struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_execute(tx, operation, arguments, &made);
    if (request)
        request_wait(request, &made);
    return result_give(result, &made);
}

void troth_execute_async(struct troth_tx *tx, const char *operation, const char *arguments,
                         troth_done *done, void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    struct request *request = make_execute(tx, operation, arguments, &made);
    if (request)
        request_later(request, done, self);
    else
        request_later_made(tx->troth, &made, done, self);
    troth_result_clear(&made);
}

/* ---- the end ------------------------------------------------------------------------------- */

static uint64_t judge_commit(struct request *request, const Wire__Message *answer)
{
    bool not_yours = answer->body_case == WIRE__MESSAGE__BODY_PROGRESS &&
                     problem_is(answer->progress->problem, "not_yours");
    return not_yours && request->repeated ? NOT_YOURS_PAUSE_US : 0;
}

static void conclude_commit(struct request *request, struct troth_result *result)
{
    struct troth_tx *tx = request->tx;
    /* Before it was sent it could not be committed, and can't be any more. */
    tx->asked_commit = request->ever_sent;
    if (!tx_took_end(request, result))
        answer_is_strange(result);
    if (result->status == TROTH_UNKNOWN && request->end != REQUEST_ANSWERED)
        result_hint(result, "troth_outcome of %s tells, and `troth tx show`", tx->id);
    const Wire__Progress *progress = progress_of(request);
    if (progress && problem_is(progress->problem, "not_yours") && request->repeated)
        result_is(result, TROTH_UNKNOWN);
    if (result->status != TROTH_REFUSED)
        tx_end(tx, result);
    if (result->status == TROTH_ABORTED)
        joined_roll_back(tx, true);
}

static struct request *make_end(struct troth_tx *tx, bool commit, request_conclude *conclude)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__End end = WIRE__END__INIT;
    end.gtrid = tx->id;
    end.commit = commit;
    end.wait = (Wire__Wait)tx->wait;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &end;
    struct request *request = tx_request(tx, &message, conclude);
    request->repeat = true;
    request->session_once = true;
    request->judge = commit ? judge_commit : NULL;
    return request;
}

/* True: the result is made, and nothing is to be sent. */
static bool commit_is_decided(struct troth_tx *tx, struct troth_result *result)
{
    if (!tx->open) {
        joined_roll_back(tx, false);
        tx_ended_before(tx, result);
        return true;
    }
    if (tx->beginner)
        return false;
    result_fail(result, TROTH_REFUSED, "not_yours",
                "only who has begun a transaction can commit it");
    result_hint(result, "hand over the connection and answer the caller");
    return true;
}

enum troth_status troth_commit(struct troth_tx *tx, struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    result_id(&made, tx->id);
    if (!commit_is_decided(tx, &made) && joined_hand_over(tx, &made) == TROTH_OK)
        request_wait(make_end(tx, true, conclude_commit), &made);
    joined_forget_prepared(tx);
    return result_give(result, &made);
}

void troth_commit_async(struct troth_tx *tx, troth_done *done, void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    result_id(&made, tx->id);
    if (joined_pending(tx))
        result_fail(&made, TROTH_REFUSED, "joined", "a connection is joined and not handed over");
    else if (!commit_is_decided(tx, &made)) {
        request_later(make_end(tx, true, conclude_commit), done, self);
        troth_result_clear(&made);
        return;
    }
    request_later_made(tx->troth, &made, done, self);
    troth_result_clear(&made);
}

static void conclude_abort(struct request *request, struct troth_result *result)
{
    const Wire__Outcome *outcome = outcome_of(request);
    bool heard = request->end == REQUEST_ANSWERED || request->end == REQUEST_GONE;
    if (!tx_took_end(request, result))
        answer_is_strange(result);
    bool over = outcome && problem_is(outcome->problem, "over");
    if (result->status == TROTH_ABORTED && heard)
        result_is(result, TROTH_OK);
    else if (result->status == TROTH_OK || over)
        result_fail(result, TROTH_REFUSED, "decided", "it is committed already");
    else if (!heard)
        result_is(result, TROTH_UNAVAILABLE);
}

static struct request *make_abort(struct troth_tx *tx, request_conclude *conclude)
{
    struct request *request = make_end(tx, false, conclude);
    uint64_t soon_us = library_now_us() + ABORT_PATIENCE_MS * UINT64_C(1000) + ANSWER_MARGIN_US;
    if (request->due_us > soon_us)
        request->due_us = soon_us;
    return request;
}

/* True: the coordinator need not hear of it. */
static bool abort_is_decided(struct troth_tx *tx, struct troth_result *result)
{
    joined_roll_back(tx, false);
    if (tx->open || tx->ended.status == TROTH_UNKNOWN)
        return false;
    if (tx->ended.status == TROTH_OK)
        result_fail(result, TROTH_REFUSED, "decided", "it is committed already");
    else if (tx->ended.status == TROTH_REFUSED)
        tx_ended_before(tx, result);
    return true;
}

enum troth_status troth_abort(struct troth_tx *tx, struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    result_id(&made, tx->id);
    if (!abort_is_decided(tx, &made))
        request_wait(make_abort(tx, conclude_abort), &made);
    return result_give(result, &made);
}

void troth_abort_async(struct troth_tx *tx, troth_done *done, void *self)
{
    struct troth_result made = {0};
    result_begin(&made);
    result_id(&made, tx->id);
    if (abort_is_decided(tx, &made))
        request_later_made(tx->troth, &made, done, self);
    else
        request_later(make_abort(tx, conclude_abort), done, self);
    troth_result_clear(&made);
}

static void conclude_nothing(struct request *request, struct troth_result *result)
{
    (void)request, (void)result;
}

void troth_tx_free(struct troth_tx *tx)
{
    if (!tx)
        return;
    bool dropped = joined_pending(tx);
    joined_roll_back(tx, false);
    if (tx->open && (tx->beginner || dropped))
        request_forget(make_abort(tx, conclude_nothing));
    tx_drop(tx);
}

/* ---- from one service to another ----------------------------------------------------------- */

const char *troth_tx_id(const struct troth_tx *tx)
{
    return tx->id;
}

const char *troth_tx_context(const struct troth_tx *tx)
{
    return tx->context;
}

static bool read_left(const char *text, uint32_t *left_ms)
{
    size_t digits = strspn(text, "0123456789");
    unsigned long long value = strtoull(text, NULL, 10);
    *left_ms = (uint32_t)value;
    return digits > 0 && digits <= 10 && text[digits] == '\0' && value <= UINT32_MAX;
}

static bool read_context(const char *context, struct troth_tx *tx)
{
    uint32_t left_ms;
    if (!context || strlen(context) > TROTH_CONTEXT_BYTES ||
        strncmp(context, context_form, strlen(context_form)) != 0)
        return false;
    const char *id = context + strlen(context_form), *colon = strchr(id, ':');
    if (!colon || (size_t)(colon - id) >= sizeof(tx->id) || !read_left(colon + 1, &left_ms))
        return false;
    memcpy(tx->id, id, (size_t)(colon - id));
    tx->due_us = library_now_us() + left_ms * UINT64_C(1000);
    tx->due_known = true;
    return gtrid_parse(tx->id, &tx->gid);
}

enum troth_status troth_tx_resume(struct troth *troth, const char *context, struct troth_tx **tx,
                                  struct troth_result *result)
{
    struct troth_result made = {0};
    struct troth_tx *resumed = tx_new(troth);
    result_begin(&made);
    if (read_context(context, resumed)) {
        resumed->open = true;
        make_context(resumed);
        result_id(&made, resumed->id);
        *tx = resumed;
    } else {
        tx_drop(resumed);
        *tx = NULL;
        result_fail(&made, TROTH_REFUSED, "bad_context", "this is not a transaction's context");
        result_hint(&made, "it is what troth_tx_context gave, as it is");
    }
    return result_give(result, &made);
}
