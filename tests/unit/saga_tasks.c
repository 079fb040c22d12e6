/* Tries of calls: what is sent, when, and what is made of what comes back. */
#include "task_kit.h"

/* An Execute that came, with what an answer to it needs. */
struct execute {
    uint64_t epoch, seq;
    char step[LIMIT_SAGA_LABEL_BYTES + 1], operation[64], arguments[64];
    Wire__How how;
    uint32_t try, timeout_ms;
    int64_t since_us, step_since_us;
    bool final;
};

static struct execute executed_by(struct visitor *visitor)
{
    const Wire__Execute *body = hear(visitor, WIRE__MESSAGE__BODY_EXECUTE)->execute;
    struct execute execute = {.epoch = body->task->epoch,
                              .seq = body->task->seq,
                              .how = body->how,
                              .try = body->try_,
                              .timeout_ms = body->timeout_ms,
                              .since_us = body->since_us,
                              .step_since_us = body->step_since_us,
                              .final = body->final};
    keep(execute.step, sizeof(execute.step), body->task->step);
    keep(execute.operation, sizeof(execute.operation), body->call ? body->call->operation : NULL);
    keep(execute.arguments, sizeof(execute.arguments), body->call ? body->call->arguments : NULL);
    return execute;
}

static void answer(struct visitor *visitor, const struct execute *execute,
                   Wire__Execution execution, const char *text)
{
    Wire__Executed body = WIRE__EXECUTED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Task task = WIRE__TASK__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    task.epoch = execute->epoch;
    task.seq = execute->seq;
    task.step = (char *)execute->step;
    body.task = &task;
    body.how = execute->how;
    body.try_ = execute->try;
    body.execution = execution;
    if (execution == WIRE__EXECUTION__SUCCEEDED) {
        body.result = (char *)text;
        body.kept = true;
    } else {
        problem.code = (char *)text;
        problem.message = (char *)"as the test says";
        body.problem = &problem;
    }
    message.body_case = WIRE__MESSAGE__BODY_EXECUTED;
    message.executed = &body;
    say(visitor, &message);
}

struct shop {
    struct world *world;
    struct kit_run *kit;
    struct visitor *orders, *payments;
};

static void open_shop(struct shop *shop)
{
    last.count = 0;
    shop->world = world_new();
    start(shop->world);
    shop->kit = kit_run_new(5);
    shop->orders = participant(shop->world, 0, "orders");
    shop->payments = participant(shop->world, 1, "payments");
}

static void close_shop(struct shop *shop)
{
    kit_run_free(shop->world, shop->kit);
    world_free(shop->world);
}

static void a_call_is_sent_as_it_is(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    struct attempt how = {.step = "charge", .how = SAGA_DO, .try = 3, .final = true};
    attempt(s.world, s.kit, &how);
    run(s.world);
    struct execute e = executed_by(s.payments);
    assert_int_equal(e.epoch, 1);
    assert_int_equal(e.seq, 5);
    assert_string_equal(e.step, "charge");
    assert_string_equal(e.operation, "charge");
    assert_string_equal(e.arguments, "{\"a\":1}");
    assert_int_equal(e.how, WIRE__HOW__HOW_STEP);
    assert_int_equal(e.try, 3);
    assert_true(e.timeout_ms > 9000 && e.timeout_ms <= 10000);
    assert_int_equal(e.since_us, 1111);
    assert_int_equal(e.step_since_us, 2222);
    assert_true(e.final);
    hear_nothing(s.orders);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "{\"id\":7}");
    heard(0, SAGA_SUCCEEDED, "{\"id\":7}");
    assert_ptr_equal(last.run, &s.kit->run);
    assert_int_equal(last.try, 3);
    assert_true(last.kept);
    assert_true(list_empty(&s.kit->run.tasks));
    close_shop(&s);
}

static void each_outcome_is_told(void **state)
{
    static const struct {
        Wire__Execution said;
        enum saga_outcome told;
    } of[] = {{WIRE__EXECUTION__FAILED, SAGA_REFUSED},
              {WIRE__EXECUTION__NOT_DONE, SAGA_NOT_DONE},
              {WIRE__EXECUTION__UNSURE, SAGA_UNSURE},
              {WIRE__EXECUTION__UNPROVABLE, SAGA_UNPROVABLE}};
    (void)state;
    struct shop s;
    open_shop(&s);
    for (unsigned i = 0; i < sizeof(of) / sizeof(*of); i++) {
        try_step(s.world, s.kit, "charge", i + 1);
        struct execute e = executed_by(s.payments);
        answer(s.payments, &e, of[i].said, "sold_out");
        heard((int)i, of[i].told, "sold_out");
        assert_string_equal(last.message, "as the test says");
    }
    try_step(s.world, s.kit, "charge", 9);
    struct execute e = executed_by(s.payments);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "");
    heard(4, SAGA_SUCCEEDED, "null");
    close_shop(&s);
}

static void a_cancel_names_no_operation(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    struct attempt how = {.step = "charge", .how = SAGA_CANCEL, .try = 1};
    attempt(s.world, s.kit, &how);
    run(s.world);
    struct execute e = executed_by(s.payments);
    assert_int_equal(e.how, WIRE__HOW__HOW_CANCEL);
    assert_string_equal(e.operation, "");
    answer(s.payments, &e, WIRE__EXECUTION__FAILED, "cancelled");
    heard(0, SAGA_REFUSED, "cancelled");
    close_shop(&s);
}

static void a_compensation_says_since_when_the_step_was_tried(void **state)
{
    static const struct {
        const char *step;
        int64_t since_us;
    } of[] = {{"charge", 2222}, {"both", 1}, {"elsewhere", 1}};
    (void)state;
    struct shop s;
    open_shop(&s);
    for (int i = 0; i < 3; i++) {
        struct attempt how = {.step = of[i].step, .how = SAGA_COMPENSATE, .try = 1};
        attempt(s.world, s.kit, &how);
        run(s.world);
        bool at_orders = strcmp(of[i].step, "both") == 0;
        struct execute e = executed_by(at_orders ? s.orders : s.payments);
        assert_int_equal(e.how, WIRE__HOW__HOW_COMPENSATE);
        assert_string_equal(e.operation, at_orders ? "cancel" : "refund");
        assert_string_equal(e.step, of[i].step);
        assert_int_equal(e.step_since_us, of[i].since_us);
        answer(at_orders ? s.orders : s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "");
        heard(i, SAGA_SUCCEEDED, "null");
    }
    close_shop(&s);
}

static void what_was_not_sent_in_time_is_not_done(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    leave(s.payments);
    pass(s.world, 3 * SECOND_US);
    try_step(s.world, s.kit, "charge", 1);
    assert_int_equal(last.count, 0);
    pass(s.world, 9 * SECOND_US);
    assert_int_equal(last.count, 0);
    pass(s.world, 2 * SECOND_US);
    heard(0, SAGA_NOT_DONE, "not_connected");
    assert_non_null(strstr(last.message, "payments"));
    assert_non_null(strstr(last.hint, "troth participant list"));
    /* And it is not sent any more. */
    s.payments = participant(s.world, 2, "payments");
    hear_nothing(s.payments);
    close_shop(&s);
}

static void who_comes_in_time_is_asked(void **state)
{
    (void)state;
    struct world *world = world_new();
    start(world);
    last.count = 0;
    struct kit_run *kit = kit_run_new(5);
    try_step(world, kit, "create", 1);
    const struct participant *awaited = participants_find(&world->server->participants, "orders");
    assert_true(awaited->never_seen);
    assert_int_equal(awaited->tries, 1);
    pass(world, 2 * SECOND_US);
    struct visitor *orders = participant(world, 0, "orders");
    assert_false(awaited->never_seen);
    struct execute e = executed_by(orders);
    assert_true(e.timeout_ms < 8100);
    answer(orders, &e, WIRE__EXECUTION__SUCCEEDED, "1");
    heard(0, SAGA_SUCCEEDED, "1");
    assert_int_equal(awaited->tries, 0);
    kit_run_free(world, kit);
    world_free(world);
}

/* Else a short backoff would keep it from ever finding itself idle. */
static void who_is_being_stopped_is_not_asked_again_in_that_session(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    struct execute e = executed_by(s.payments);
    answer(s.payments, &e, WIRE__EXECUTION__NOT_DONE, "draining");
    heard(0, SAGA_NOT_DONE, "draining");
    try_step(s.world, s.kit, "charge", 2);
    hear_nothing(s.payments);
    leave(s.payments);
    s.payments = participant(s.world, 2, "payments");
    e = executed_by(s.payments);
    assert_int_equal(e.try, 2);
    answer(s.payments, &e, WIRE__EXECUTION__NOT_DONE, "draining");
    heard(1, SAGA_NOT_DONE, "draining");
    try_step(s.world, s.kit, "charge", 3);
    pass(s.world, 11 * SECOND_US);
    heard(2, SAGA_NOT_DONE, "not_connected");
    assert_non_null(strstr(last.message, "is being stopped"));
    close_shop(&s);
}

static void what_was_sent_and_not_answered_is_unsure(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    struct execute e = executed_by(s.payments);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_UNSURE, "timeout");
    assert_non_null(strstr(last.message, "payments"));
    /* Its answer comes too late, and that of an earlier try is not that of this one. */
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "1");
    assert_int_equal(last.count, 1);
    try_step(s.world, s.kit, "charge", 2);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "1");
    assert_int_equal(last.count, 1);
    e = executed_by(s.payments);
    assert_int_equal(e.try, 2);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "2");
    heard(1, SAGA_SUCCEEDED, "2");
    close_shop(&s);
}

static void a_new_session_is_asked_again(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    struct execute e = executed_by(s.payments);
    leave(s.payments);
    pass(s.world, 3 * SECOND_US);
    assert_int_equal(last.count, 0);
    s.payments = participant(s.world, 2, "payments");
    struct execute again = executed_by(s.payments);
    assert_string_equal(again.step, "charge");
    assert_int_equal(again.try, 1);
    assert_true(again.timeout_ms < e.timeout_ms);
    answer(s.payments, &again, WIRE__EXECUTION__SUCCEEDED, "5");
    heard(0, SAGA_SUCCEEDED, "5");
    close_shop(&s);
}

/* The first session's agent may still be at it when the second one says that it is not done. */
static void after_a_lost_session_only_what_is_final_is_believed(void **state)
{
    static const struct {
        Wire__Execution said;
        bool final;
        enum saga_outcome told;
    } of[] = {{WIRE__EXECUTION__NOT_DONE, true, SAGA_UNSURE},
              {WIRE__EXECUTION__FAILED, false, SAGA_UNSURE},
              {WIRE__EXECUTION__FAILED, true, SAGA_REFUSED}};
    (void)state;
    for (int i = 0; i < 3; i++) {
        struct shop s;
        open_shop(&s);
        struct attempt how = {.step = "charge", .how = SAGA_DO, .try = 1, .final = of[i].final};
        attempt(s.world, s.kit, &how);
        run(s.world);
        executed_by(s.payments);
        leave(s.payments);
        pass(s.world, 3 * SECOND_US);
        s.payments = participant(s.world, 2, "payments");
        struct execute e = executed_by(s.payments);
        answer(s.payments, &e, of[i].said, "40P01");
        heard(0, of[i].told, "40P01");
        close_shop(&s);
    }
}

static void unanswered_and_lost_is_unsure(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    leave(s.payments);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_UNSURE, "timeout");
    close_shop(&s);
}

/* Whether an earlier try has done it, only the participant's database knows. */
static void an_operation_that_is_not_offered_is_asked_for(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    offer(s.payments, "charges");
    try_step(s.world, s.kit, "charge", 1);
    executed_by(s.payments);
    assert_int_equal(last.count, 0);
    close_shop(&s);
}

static void no_more_than_the_limit_are_sent_and_in_order(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    for (int i = 0; i < 300; i++) {
        struct attempt how = {.step = "pick", .how = SAGA_DO, .try = 1, .item = i};
        attempt(s.world, s.kit, &how);
    }
    run(s.world);
    struct participant *orders = participants_find(&s.world->server->participants, "orders");
    assert_int_equal(orders->tries, 300);
    assert_int_equal(orders->tries_sent, LIMIT_EXECUTING);
    const Wire__Answer *told = ask(client(s.world, 3), WIRE__WHAT__PARTICIPANTS, "", false);
    assert_int_equal(told->participants[0]->executing, 300);
    struct execute first = {0};
    for (int i = 0; i < LIMIT_EXECUTING; i++) {
        char label[32];
        struct execute e = executed_by(s.orders);
        snprintf(label, sizeof(label), "pick[%d]", i);
        assert_string_equal(e.step, label);
        if (i == 0)
            first = e;
    }
    hear_nothing(s.orders);
    answer(s.orders, &first, WIRE__EXECUTION__SUCCEEDED, "1");
    heard(0, SAGA_SUCCEEDED, "1");
    assert_string_equal(executed_by(s.orders).step, "pick[256]");
    hear_nothing(s.orders);
    /* The next session gets what was sent first, in the same order. */
    leave(s.orders);
    pass(s.world, 3 * SECOND_US);
    s.orders = participant(s.world, 2, "orders");
    for (int i = 1; i <= LIMIT_EXECUTING; i++) {
        char label[32];
        snprintf(label, sizeof(label), "pick[%d]", i);
        assert_string_equal(executed_by(s.orders).step, label);
    }
    hear_nothing(s.orders);
    assert_int_equal(orders->tries, 299);
    /* What waits behind them and is not sent in time is busy; what was sent is unsure. */
    last.count = 0;
    pass(s.world, 11 * SECOND_US);
    assert_int_equal(last.count, 299);
    assert_int_equal(orders->tries, 0);
    assert_int_equal(orders->tries_sent, 0);
    close_shop(&s);
}

static void what_waits_in_line_too_long_is_busy(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    for (int i = 0; i < LIMIT_EXECUTING; i++) {
        struct attempt how = {
            .step = "pick", .how = SAGA_DO, .try = 1, .item = i, .timeout_us = 60 * SECOND_US};
        attempt(s.world, s.kit, &how);
    }
    try_step(s.world, s.kit, "create", 1);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_NOT_DONE, "busy");
    assert_non_null(strstr(last.detail, "256"));
    close_shop(&s);
}

static void a_result_that_is_no_json_is_of_no_use(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    struct execute e = executed_by(s.payments);
    int warnings = s.world->logged[LOG_WARNING];
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "{\"id\":");
    heard(0, SAGA_UNSURE, "bad_result");
    assert_int_equal(s.world->logged[LOG_WARNING], warnings + 1);
    char *large = xcalloc(1, LIMIT_RESULT_BYTES + 2);
    memset(large, '1', LIMIT_RESULT_BYTES + 1);
    try_step(s.world, s.kit, "charge", 2);
    e = executed_by(s.payments);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, large);
    heard(1, SAGA_UNSURE, "bad_result");
    assert_non_null(strstr(last.detail, "larger"));
    large[LIMIT_RESULT_BYTES] = '\0';
    try_step(s.world, s.kit, "charge", 3);
    e = executed_by(s.payments);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, large);
    assert_int_equal(last.outcome, SAGA_SUCCEEDED);
    free(large);
    close_shop(&s);
}

static void what_fits_nothing_is_ignored(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    struct execute e = executed_by(s.payments), wrong = e;
    int warnings = s.world->logged[LOG_WARNING];
    answer(s.orders, &e, WIRE__EXECUTION__SUCCEEDED, "1"); /* not asked */
    wrong.seq++;
    answer(s.payments, &wrong, WIRE__EXECUTION__SUCCEEDED, "1");
    wrong = e;
    wrong.try++;
    answer(s.payments, &wrong, WIRE__EXECUTION__SUCCEEDED, "1");
    wrong = e;
    wrong.how = WIRE__HOW__HOW_CANCEL;
    answer(s.payments, &wrong, WIRE__EXECUTION__SUCCEEDED, "1");
    assert_int_equal(s.world->logged[LOG_WARNING], warnings); /* they may be late */
    answer(s.payments, &e, WIRE__EXECUTION__EXECUTION_NONE, "1");
    answer(s.payments, &e, (Wire__Execution)77, "1");
    assert_int_equal(s.world->logged[LOG_WARNING], warnings + 2); /* these are mistakes */
    assert_int_equal(last.count, 0);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "1");
    heard(0, SAGA_SUCCEEDED, "1");
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "1");
    assert_int_equal(last.count, 1);
    close_shop(&s);
}

static void what_is_dropped_is_not_answered(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "charge", 1);
    struct execute e = executed_by(s.payments);
    tasks_drop(s.world->server, &s.kit->run);
    answer(s.payments, &e, WIRE__EXECUTION__SUCCEEDED, "1");
    pass(s.world, 11 * SECOND_US);
    assert_int_equal(last.count, 0);
    const struct participant *payments =
        participants_find(&s.world->server->participants, "payments");
    assert_int_equal(payments->tries, 0);
    assert_int_equal(payments->tries_sent, 0);
    close_shop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_call_is_sent_as_it_is),
        cmocka_unit_test(each_outcome_is_told),
        cmocka_unit_test(a_cancel_names_no_operation),
        cmocka_unit_test(a_compensation_says_since_when_the_step_was_tried),
        cmocka_unit_test(what_was_not_sent_in_time_is_not_done),
        cmocka_unit_test(who_comes_in_time_is_asked),
        cmocka_unit_test(who_is_being_stopped_is_not_asked_again_in_that_session),
        cmocka_unit_test(what_was_sent_and_not_answered_is_unsure),
        cmocka_unit_test(a_new_session_is_asked_again),
        cmocka_unit_test(after_a_lost_session_only_what_is_final_is_believed),
        cmocka_unit_test(unanswered_and_lost_is_unsure),
        cmocka_unit_test(an_operation_that_is_not_offered_is_asked_for),
        cmocka_unit_test(no_more_than_the_limit_are_sent_and_in_order),
        cmocka_unit_test(what_waits_in_line_too_long_is_busy),
        cmocka_unit_test(a_result_that_is_no_json_is_of_no_use),
        cmocka_unit_test(what_fits_nothing_is_ignored),
        cmocka_unit_test(what_is_dropped_is_not_answered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
