/* What a caller is told when answers are lost or late, sessions end, and coordinators are away: the
 * library against a coordinator that does what the test says. */
#include <poll.h>

#include "client/library.h"
#include "tests/unit/library_kit.h"

/* A caller waits no longer than its deadline and a second; and a little, as the machine is busy. */
enum { SLACK_MS = 1400 };

struct rig {
    struct fake *one, *two;
    struct troth *troth;
    struct troth_tx *tx;
    struct troth_result result;
    uint64_t begun_ms;
};

static int rig_open(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    rig->one = fake_new("c1");
    rig->two = fake_new("c2");
    char *addresses = xasprintf("%s, %s", rig->one->address, rig->two->address);
    rig->troth = troth_open(addresses, &rig->result);
    free(addresses);
    assert_non_null(rig->troth);
    *state = rig;
    return 0;
}

static int rig_close(void **state)
{
    struct rig *rig = *state;
    troth_tx_free(rig->tx);
    troth_close(rig->troth);
    troth_result_clear(&rig->result);
    fake_free(rig->one);
    fake_free(rig->two);
    free(rig);
    return 0;
}

static void clock_start(struct rig *rig)
{
    rig->begun_ms = kit_now_ms();
}

static void ended_within(const struct rig *rig, uint64_t deadline_ms)
{
    assert_true(kit_now_ms() - rig->begun_ms < deadline_ms + SLACK_MS);
}

static void expect(struct rig *rig, enum troth_status is, enum troth_status expected,
                   const char *code)
{
    assert_int_equal(is, rig->result.status);
    if (is != expected || strcmp(rig->result.problem.code, code) != 0)
        fail_msg("%s (%s), expected %s (%s): %s", troth_status_name(is), rig->result.problem.code,
                 troth_status_name(expected), code, rig->result.problem.message);
}

static enum troth_status submit(struct rig *rig, const char *operation, const char *key,
                                uint32_t deadline_ms)
{
    struct troth_call call = {operation, "{\"a\": 1}"};
    struct troth_options options = {.key = key, .deadline_ms = deadline_ms};
    clock_start(rig);
    enum troth_status status = troth_submit(rig->troth, &call, 1, &options, &rig->result);
    ended_within(rig, deadline_ms);
    return status;
}

static void begin(struct rig *rig, uint32_t deadline_ms)
{
    struct troth_options options = {.deadline_ms = deadline_ms};
    troth_tx_free(rig->tx);
    expect(rig, troth_begin(rig->troth, &options, &rig->tx, &rig->result), TROTH_OK, "");
}

/* They have stopped, and the library has noticed. To begin changes nothing. */
static void wait_until_away(struct rig *rig)
{
    struct troth_options options = {.deadline_ms = 200};
    uint64_t end_ms = kit_now_ms() + 5000;
    enum troth_status status;
    do {
        status = troth_begin(rig->troth, &options, &rig->tx, &rig->result);
        assert_true(kit_now_ms() < end_ms);
    } while (status == TROTH_OK || strcmp(rig->result.problem.code, "no_coordinator") != 0);
}

/* ---- one request --------------------------------------------------------------------------- */

static void an_answer_becomes_a_result(void **state)
{
    struct rig *rig = *state;
    expect(rig, submit(rig, "orders.echo", NULL, 2000), TROTH_OK, "");
    assert_string_equal(rig->result.values[0], "{\"a\": 1}");
    assert_true(rig->result.applied);
    expect(rig, submit(rig, "orders.fail", NULL, 2000), TROTH_ABORTED, "insufficient_funds");
    assert_string_equal(rig->result.problem.operation, "fail");
    assert_null(rig->result.values);
    fake_next(rig->one, WIRE__MESSAGE__BODY_SUBMIT, FATE_STRANGE);
    expect(rig, submit(rig, "orders.echo", NULL, 2000), TROTH_REFUSED, "strange");
}

static void what_makes_no_sense_is_not_sent(void **state)
{
    struct rig *rig = *state;
    char *big = xcalloc(LIMIT_MESSAGE_BYTES + 10, 1), key[LIMIT_KEY_BYTES + 2] = "";
    memset(big, ' ', LIMIT_MESSAGE_BYTES + 9);
    memset(key, 'k', sizeof(key) - 1);
    struct troth_call call = {"orders.echo", big};
    expect(rig, troth_submit(rig->troth, &call, 1, NULL, &rig->result), TROTH_REFUSED,
           "bad_request");
    expect(rig, troth_submit(rig->troth, &call, 0, NULL, &rig->result), TROTH_REFUSED,
           "bad_request");
    free(big);
    static const char *const operations[] = {NULL, "", "orders", "orders.", ".echo"};
    for (size_t i = 0; i < sizeof(operations) / sizeof(operations[0]); i++)
        expect(rig, submit(rig, operations[i], NULL, 1000), TROTH_REFUSED, "bad_request");
    expect(rig, submit(rig, "orders.echo", key, 1000), TROTH_REFUSED, "bad_request");
    expect(rig, submit(rig, "orders.echo", "", 1000), TROTH_REFUSED, "bad_request");
    expect(rig, submit(rig, "orders.echo", "a\nb", 1000), TROTH_REFUSED, "bad_request");
    assert_int_equal(rig->one->submits + rig->two->submits, 0);
}

static void a_lost_answer_without_a_key_is_unknown(void **state)
{
    struct rig *rig = *state;
    fake_next(rig->one, WIRE__MESSAGE__BODY_SUBMIT, FATE_LOSE);
    expect(rig, submit(rig, "orders.echo", NULL, 3000), TROTH_UNKNOWN, "session_lost");
    assert_int_equal(rig->one->submits, 1);
    assert_int_equal(rig->two->submits, 0);
}

static void a_lost_answer_with_a_key_is_asked_for_again(void **state)
{
    struct rig *rig = *state;
    fake_next(rig->one, WIRE__MESSAGE__BODY_SUBMIT, FATE_LOSE);
    expect(rig, submit(rig, "orders.echo", "k1", 3000), TROTH_OK, "");
    assert_true(rig->result.repeated);
    assert_int_equal(rig->one->submits, 2);
    /* The coordinator is back before its participants. */
    fake_next(rig->one, WIRE__MESSAGE__BODY_SUBMIT, FATE_LOSE_BEFORE);
    rig->one->busy = 2;
    expect(rig, submit(rig, "orders.echo", "k2", 3000), TROTH_OK, "");
    assert_false(rig->result.repeated);
    assert_int_equal(rig->one->submits, 5);
    assert_int_equal(rig->two->submits, 0);
    /* What was not sent before is refused at once. */
    rig->one->busy = 1;
    expect(rig, submit(rig, "orders.echo", "k3", 3000), TROTH_REFUSED, "not_connected");
}

static void a_silent_coordinator_holds_up_nobody(void **state)
{
    struct rig *rig = *state;
    expect(rig, submit(rig, "orders.silent", NULL, 300), TROTH_UNKNOWN, "no_answer");
    expect(rig, submit(rig, "orders.silent", "k", 300), TROTH_UNKNOWN, "no_answer");
}

/* It says nothing at all, so the session is lost; and it is not back in time. */
static void a_coordinator_that_hangs_holds_up_nobody(void **state)
{
    struct rig *rig = *state;
    expect(rig, submit(rig, "orders.echo", NULL, 1000), TROTH_OK, "");
    begin(rig, 2500);
    rig->one->hang = true;
    expect(rig, submit(rig, "orders.echo", "k", 2500), TROTH_UNKNOWN, "session_lost");
    clock_start(rig);
    expect(rig, troth_execute(rig->tx, "orders.echo", NULL, &rig->result), TROTH_ABORTED,
           "session_lost");
    ended_within(rig, 0);
    /* New work goes to the other one. */
    expect(rig, submit(rig, "orders.echo", NULL, 1000), TROTH_OK, "");
    assert_int_equal(rig->two->submits, 1);
    rig->one->hang = false;
}

static void nobody_there_is_told_in_time(void **state)
{
    struct rig *rig = *state;
    fake_stop(rig->one);
    fake_stop(rig->two);
    wait_until_away(rig);
    expect(rig, submit(rig, "orders.echo", NULL, 400), TROTH_UNAVAILABLE, "no_coordinator");
    expect(rig, submit(rig, "orders.echo", "k", 400), TROTH_UNAVAILABLE, "no_coordinator");
    struct troth_options options = {.deadline_ms = 400};
    expect(rig, troth_begin(rig->troth, &options, &rig->tx, &rig->result), TROTH_UNAVAILABLE,
           "no_coordinator");
    assert_null(rig->tx);
    fake_start(rig->one);
    fake_start(rig->two);
    expect(rig, submit(rig, "orders.echo", NULL, 3000), TROTH_OK, "");
}

static void work_goes_to_the_first_that_is_there(void **state)
{
    struct rig *rig = *state;
    expect(rig, submit(rig, "orders.echo", NULL, 2000), TROTH_OK, "");
    assert_int_equal(rig->one->submits, 1);
    fake_stop(rig->one);
    begin(rig, 4000);
    assert_int_equal(rig->two->begins, 1);
    expect(rig, submit(rig, "orders.echo", NULL, 4000), TROTH_OK, "");
    assert_int_equal(rig->two->submits, 1);
    /* But not what has a key. */
    expect(rig, submit(rig, "orders.echo", "k", 500), TROTH_UNAVAILABLE, "no_coordinator");
    fake_start(rig->one);
    expect(rig, submit(rig, "orders.echo", "k", 3000), TROTH_OK, "");
    assert_int_equal(rig->two->submits, 1);
}

static void who_refuses_us_is_told(void **state)
{
    struct rig *rig = *state;
    fake_stop(rig->two);
    fake_stop(rig->one);
    wait_until_away(rig);
    rig->one->refuse_all = true;
    fake_start(rig->one);
    expect(rig, submit(rig, "orders.echo", "k", 1000), TROTH_UNAVAILABLE, "no_coordinator");
    assert_non_null(strstr(rig->result.problem.message, "nobody comes in here"));
    rig->one->refuse_all = false;
    fake_start(rig->two);
}

/* ---- step by step -------------------------------------------------------------------------- */

static void a_transaction_stays_where_it_was_begun(void **state)
{
    struct rig *rig = *state;
    fake_stop(rig->one);
    begin(rig, 5000);
    fake_start(rig->one);
    expect(rig, submit(rig, "orders.echo", "k", 3000), TROTH_OK, "");
    expect(rig, troth_execute(rig->tx, "orders.echo", "[1]", &rig->result), TROTH_OK, "");
    assert_string_equal(rig->result.values[0], "[1]");
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_OK, "");
    assert_int_equal(rig->two->ends, 1);
    assert_int_equal(rig->one->ends, 0);
    expect(rig, troth_outcome(rig->troth, troth_tx_id(rig->tx), 1000, &rig->result), TROTH_OK, "");
    expect(rig, troth_outcome(rig->troth, "shop.c3.1.1", 1000, &rig->result), TROTH_UNKNOWN,
           "elsewhere");
}

static void what_is_refused_leaves_it_open(void **state)
{
    struct rig *rig = *state;
    begin(rig, 3000);
    expect(rig, troth_execute(rig->tx, "orders.refuse", NULL, &rig->result), TROTH_REFUSED,
           "unknown_operation");
    expect(rig, troth_execute(rig->tx, "nonsense", NULL, &rig->result), TROTH_REFUSED,
           "bad_request");
    expect(rig, troth_execute(rig->tx, "orders.fail", NULL, &rig->result), TROTH_ABORTED, "");
    expect(rig, troth_execute(rig->tx, "orders.echo", NULL, &rig->result), TROTH_ABORTED, "");
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_ABORTED, "");
    assert_int_equal(rig->one->performs, 2);
    assert_int_equal(rig->one->ends, 0);
}

static void a_lost_begin_is_begun_anew(void **state)
{
    struct rig *rig = *state;
    fake_next(rig->one, WIRE__MESSAGE__BODY_BEGIN, FATE_LOSE);
    begin(rig, 4000);
    assert_int_equal(rig->one->begins + rig->two->begins, 2);
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_OK, "");
}

static void a_lost_session_ends_what_is_open(void **state)
{
    struct rig *rig = *state;
    begin(rig, 4000);
    fake_next(rig->one, WIRE__MESSAGE__BODY_PERFORM, FATE_LOSE);
    expect(rig, troth_execute(rig->tx, "orders.echo", NULL, &rig->result), TROTH_ABORTED,
           "session_lost");
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_ABORTED, "session_lost");
    assert_int_equal(rig->one->ends, 0);
    assert_true(rig->result.problem.passing);
}

static void commit_asks_until_it_knows(void **state)
{
    struct rig *rig = *state;
    begin(rig, 1500);
    fake_next(rig->one, WIRE__MESSAGE__BODY_END, FATE_LOSE);
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_OK, "");
    assert_int_equal(rig->one->ends, 2);
    /* A crash: what was not decided is aborted, and what was is known again. */
    begin(rig, 1500);
    fake_next(rig->one, WIRE__MESSAGE__BODY_END, FATE_SILENT);
    clock_start(rig);
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_UNKNOWN, "no_answer");
    ended_within(rig, 1500);
    expect(rig, troth_outcome(rig->troth, troth_tx_id(rig->tx), 1000, &rig->result), TROTH_OK, "");
    expect(rig, troth_abort(rig->tx, &rig->result), TROTH_REFUSED, "decided");
}

static void abort_says_when_it_was_not_heard(void **state)
{
    struct rig *rig = *state;
    begin(rig, 700);
    fake_next(rig->one, WIRE__MESSAGE__BODY_END, FATE_SILENT);
    clock_start(rig);
    expect(rig, troth_abort(rig->tx, &rig->result), TROTH_UNAVAILABLE, "no_answer");
    ended_within(rig, 700);
    begin(rig, 3000);
    expect(rig, troth_abort(rig->tx, &rig->result), TROTH_OK, "");
    expect(rig, troth_abort(rig->tx, &rig->result), TROTH_OK, "");
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_ABORTED, "");
    expect(rig, troth_outcome(rig->troth, troth_tx_id(rig->tx), 500, &rig->result), TROTH_ABORTED,
           "presumed_abort");
}

/* It may have been committed by one database alone, which a later run has not seen yet. */
static void a_later_run_of_the_coordinator_presumes_nothing(void **state)
{
    struct rig *rig = *state;
    begin(rig, 3000);
    expect(rig, troth_abort(rig->tx, &rig->result), TROTH_OK, "");
    atomic_store(&rig->one->epoch, 2);
    expect(rig, troth_outcome(rig->troth, troth_tx_id(rig->tx), 300, &rig->result), TROTH_UNKNOWN,
           "forgotten");
}

/* Of a transaction of somebody else: whether it was carried out is not known, so it is aborted. */
static void a_lost_step_of_another_client_aborts_all(void **state)
{
    struct rig *rig = *state;
    struct troth_tx *resumed;
    begin(rig, 4000);
    struct troth *service = troth_open(rig->one->address, NULL);
    expect(rig, troth_tx_resume(service, troth_tx_context(rig->tx), &resumed, &rig->result),
           TROTH_OK, "");
    expect(rig, troth_execute(resumed, "orders.echo", NULL, &rig->result), TROTH_OK, "");
    fake_next(rig->one, WIRE__MESSAGE__BODY_PERFORM, FATE_LOSE);
    expect(rig, troth_execute(resumed, "orders.echo", NULL, &rig->result), TROTH_ABORTED,
           "session_lost");
    assert_int_equal(rig->one->ends, 1);
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_ABORTED, "");
    troth_tx_free(resumed);
    troth_close(service);
}

static void a_context_is_checked(void **state)
{
    struct rig *rig = *state;
    static const char *const bad[] = {"",
                                      "1:",
                                      "2:shop.c1.1.1:5",
                                      "1:shop.c1.1:5",
                                      "1:shop.c1.1.1",
                                      "1:shop.c1.1.1:",
                                      "1:shop.c1.1.1:x",
                                      "1:shop.c1.1.1:99999999999",
                                      "1:shop.c1.1.1:5 "};
    struct troth_tx *tx;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        expect(rig, troth_tx_resume(rig->troth, bad[i], &tx, &rig->result), TROTH_REFUSED,
               "bad_context");
        assert_null(tx);
    }
    expect(rig, troth_tx_resume(rig->troth, NULL, &tx, &rig->result), TROTH_REFUSED, "bad_context");
    expect(rig, troth_tx_resume(rig->troth, "1:shop.c7.1.1:3000", &tx, &rig->result), TROTH_OK, "");
    expect(rig, troth_execute(tx, "orders.echo", NULL, &rig->result), TROTH_UNKNOWN, "elsewhere");
    troth_tx_free(tx);
}

/* ---- sagas --------------------------------------------------------------------------------- */

static void a_saga_with_a_key_begins_once(void **state)
{
    struct rig *rig = *state;
    fake_next(rig->one, WIRE__MESSAGE__BODY_START_SAGA, FATE_LOSE_BEFORE);
    expect(rig, troth_saga_start(rig->troth, "order", NULL, "k", 3000, &rig->result), TROTH_OK, "");
    char *id = xstrdup(rig->result.id);
    fake_next(rig->one, WIRE__MESSAGE__BODY_AWAIT_SAGA, FATE_LOSE);
    expect(rig, troth_saga_wait(rig->troth, id, 3000, &rig->result), TROTH_OK, "");
    assert_string_equal(troth_get(&rig->result, 0, 0, "total"), "3");
    free(id);
    fake_next(rig->one, WIRE__MESSAGE__BODY_START_SAGA, FATE_LOSE);
    expect(rig, troth_saga_start(rig->troth, "order", NULL, NULL, 3000, &rig->result),
           TROTH_UNKNOWN, "session_lost");
    expect(rig, troth_saga_start(rig->troth, "no name", NULL, NULL, 3000, &rig->result),
           TROTH_REFUSED, "bad_request");
    expect(rig, troth_saga_wait(rig->troth, "nonsense", 3000, &rig->result), TROTH_REFUSED,
           "bad_request");
}

/* ---- in the caller's loop ------------------------------------------------------------------ */

struct chain {
    struct rig *rig;
    int done;
    enum troth_status last;
    char id[200];
};

static void on_committed(void *self, struct troth_result *result)
{
    struct chain *chain = self;
    chain->done++;
    chain->last = result->status;
}

static void on_executed(void *self, struct troth_result *result)
{
    struct chain *chain = self;
    chain->done++;
    assert_string_equal(result->values[0], "{\"b\": 2}");
    troth_commit_async(chain->rig->tx, on_committed, chain);
}

static void on_begun(void *self, struct troth_result *result)
{
    struct chain *chain = self;
    chain->done++;
    assert_int_equal(result->status, TROTH_OK);
    snprintf(chain->id, sizeof(chain->id), "%s", result->id);
    troth_execute_async(chain->rig->tx, "orders.echo", "{\"b\": 2}", on_executed, chain);
}

static void dispatch_until(struct rig *rig, const int *count, int wanted)
{
    uint64_t end_ms = kit_now_ms() + 5000;
    while (*count < wanted) {
        struct pollfd file = {.fd = troth_fd(rig->troth), .events = POLLIN};
        assert_true(kit_now_ms() < end_ms);
        assert_int_equal(poll(&file, 1, 5000), 1);
        troth_dispatch(rig->troth);
    }
}

static void steps_follow_each_other_in_a_loop(void **state)
{
    struct rig *rig = *state;
    struct chain chain = {.rig = rig};
    rig->tx = troth_begin_async(rig->troth, NULL, on_begun, &chain);
    dispatch_until(rig, &chain.done, 3);
    assert_int_equal(chain.last, TROTH_OK);
    assert_string_equal(chain.id, troth_tx_id(rig->tx));
    /* Nothing is left to do. */
    struct pollfd file = {.fd = troth_fd(rig->troth), .events = POLLIN};
    assert_int_equal(poll(&file, 1, 0), 0);
}

static void before_it_is_begun_it_is_no_use(void **state)
{
    struct rig *rig = *state;
    struct chain chain = {.rig = rig};
    rig->tx = troth_begin_async(rig->troth, NULL, on_committed, &chain);
    expect(rig, troth_execute(rig->tx, "orders.echo", NULL, &rig->result), TROTH_REFUSED,
           "not_begun");
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_REFUSED, "not_begun");
    expect(rig, troth_abort(rig->tx, &rig->result), TROTH_REFUSED, "not_begun");
    dispatch_until(rig, &chain.done, 1);
    expect(rig, troth_commit(rig->tx, &rig->result), TROTH_OK, "");
}

static void what_is_refused_is_told_by_dispatch_too(void **state)
{
    struct rig *rig = *state;
    struct chain chain = {.rig = rig};
    troth_submit_async(rig->troth, NULL, 0, NULL, on_committed, &chain);
    assert_int_equal(chain.done, 0);
    dispatch_until(rig, &chain.done, 1);
    assert_int_equal(chain.last, TROTH_REFUSED);
}

static void closing_calls_done_of_the_rest(void **state)
{
    struct rig *rig = *state;
    struct chain chain = {.rig = rig};
    struct troth *troth = troth_open(rig->one->address, NULL);
    struct troth_call call = {"orders.silent", NULL};
    for (int i = 0; i < 10; i++)
        troth_submit_async(troth, &call, 1, NULL, on_committed, &chain);
    clock_start(rig);
    troth_close(troth);
    ended_within(rig, 0);
    assert_int_equal(chain.done, 10);
    assert_true(chain.last == TROTH_UNKNOWN || chain.last == TROTH_UNAVAILABLE);
}

struct asking {
    struct troth *troth;
    int done, wanted;
};

static void ask_again(void *self, struct troth_result *result)
{
    struct asking *asking = self;
    struct troth_call call = {"orders.silent", NULL};
    assert_true(result->status == TROTH_UNKNOWN || result->status == TROTH_UNAVAILABLE);
    if (asking->done++ > 0)
        assert_string_equal(result->problem.code, "closed");
    if (asking->done == asking->wanted)
        return;
    assert_int_equal(troth_submit(asking->troth, &call, 1, NULL, NULL), TROTH_UNAVAILABLE);
    troth_submit_async(asking->troth, &call, 1, NULL, ask_again, asking);
}

static void what_is_asked_for_while_closing_is_closed(void **state)
{
    struct rig *rig = *state;
    struct asking few = {.wanted = 3}, endless = {.wanted = -1};
    struct troth_call call = {"orders.silent", NULL};
    few.troth = endless.troth = troth_open(rig->one->address, NULL);
    troth_submit_async(few.troth, &call, 1, NULL, ask_again, &few);
    troth_submit_async(endless.troth, &call, 1, NULL, ask_again, &endless);
    clock_start(rig);
    troth_close(few.troth);
    ended_within(rig, 0);
    assert_int_equal(few.done, 3);
    assert_true(endless.done > 3);
}

/* ---- opening ------------------------------------------------------------------------------- */

static void addresses_are_checked(void **state)
{
    static const char *const bad[] = {"localhost", "tcp://localhost:7400", "tcp://127.0.0.1",
                                      "tcp://127.0.0.1:7400,", "tcp://127.0.0.1:7400,x"};
    struct troth_result result = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        assert_null(troth_open(bad[i], &result));
        assert_int_equal(result.status, TROTH_REFUSED);
        assert_string_equal(result.problem.code, "bad_address");
        assert_null(troth_open(bad[i], NULL));
    }
    assert_int_equal(setenv("TROTH_COORDINATOR", "nonsense", 1), 0);
    assert_null(troth_open(NULL, &result));
    assert_int_equal(unsetenv("TROTH_COORDINATOR"), 0);
    troth_close(troth_open(NULL, &result));
    assert_int_equal(result.status, TROTH_OK);
    troth_result_clear(&result);
    troth_close(NULL);
    troth_tx_free(NULL);
}

#define RIG(test) cmocka_unit_test_setup_teardown(test, rig_open, rig_close)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RIG(an_answer_becomes_a_result),
        RIG(what_makes_no_sense_is_not_sent),
        RIG(a_lost_answer_without_a_key_is_unknown),
        RIG(a_lost_answer_with_a_key_is_asked_for_again),
        RIG(a_silent_coordinator_holds_up_nobody),
        RIG(a_coordinator_that_hangs_holds_up_nobody),
        RIG(nobody_there_is_told_in_time),
        RIG(work_goes_to_the_first_that_is_there),
        RIG(who_refuses_us_is_told),
        RIG(a_transaction_stays_where_it_was_begun),
        RIG(what_is_refused_leaves_it_open),
        RIG(a_lost_begin_is_begun_anew),
        RIG(a_lost_session_ends_what_is_open),
        RIG(commit_asks_until_it_knows),
        RIG(abort_says_when_it_was_not_heard),
        RIG(a_later_run_of_the_coordinator_presumes_nothing),
        RIG(a_lost_step_of_another_client_aborts_all),
        RIG(a_context_is_checked),
        RIG(a_saga_with_a_key_begins_once),
        RIG(steps_follow_each_other_in_a_loop),
        RIG(before_it_is_begun_it_is_no_use),
        RIG(what_is_refused_is_told_by_dispatch_too),
        RIG(closing_calls_done_of_the_rest),
        RIG(what_is_asked_for_while_closing_is_closed),
        cmocka_unit_test(addresses_are_checked),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
