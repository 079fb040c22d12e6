/* Steps of sagas at the agent, on the tiny ports of agent_ports.h. */
#include "tests/unit/agent_ports.h"

#define STEP       WIRE__HOW__HOW_STEP
#define CANCEL_IT  WIRE__HOW__HOW_CANCEL
#define COMPENSATE WIRE__HOW__HOW_COMPENSATE

/* ---- asking and hearing -------------------------------------------------------------------- */

struct wish {
    Wire__How how;
    const char *step, *operation, *arguments; /* NULL: charge, charge, of 1 */
    uint32_t try, timeout_ms;                 /* 0: 1, 1 s */
    bool final, late, no_call;
    int64_t since_us, step_since_us; /* 0: now */
};

static void execute_wish(struct wish wish)
{
    Wire__Task task = WIRE__TASK__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    Wire__Execute execute = WIRE__EXECUTE__INIT;
    task.epoch = 5;
    task.seq = 17;
    task.step = (char *)(wish.step ? wish.step : "charge");
    call.operation = (char *)(wish.operation ? wish.operation : "charge");
    call.arguments = (char *)(wish.arguments ? wish.arguments : "{\"amount\":1}");
    execute.task = &task;
    execute.how = wish.how;
    execute.try_ = wish.try ? wish.
    try:
        1;
    execute.call = wish.no_call || wish.how == CANCEL_IT ? NULL : &call;
    execute.timeout_ms = wish.late ? 0 : wish.timeout_ms ? wish.timeout_ms : 1000;
    execute.since_us = wish.since_us ? wish.since_us : (int64_t)now_us;
    execute.step_since_us = wish.step_since_us ? wish.step_since_us : (int64_t)now_us;
    execute.final = wish.final;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_EXECUTE;
    message.execute = &execute;
    send(&message);
}

#define EXECUTE(...) execute_wish((struct wish){__VA_ARGS__})

/* The only answer; the inbox is emptied with the next one. */
static const Wire__Executed *executed(Wire__Execution execution)
{
    static Wire__Executed *last;
    const Wire__Executed *executed = got(WIRE__MESSAGE__BODY_EXECUTED)->executed;
    assert_int_equal(executed->execution, execution);
    assert_int_equal(executed->task->epoch, 5);
    assert_int_equal(executed->task->seq, 17);
    if (last)
        wire__executed__free_unpacked(last, NULL);
    size_t size = wire__executed__get_packed_size(executed);
    uint8_t *bytes = xmalloc(size);
    wire__executed__pack(executed, bytes);
    last = wire__executed__unpack(NULL, size, bytes);
    free(bytes);
    clear_inbox();
    return last;
}

static const Wire__Problem *problem_of(Wire__Execution execution, const char *code)
{
    const Wire__Problem *problem = executed(execution)->problem;
    assert_non_null(problem);
    assert_string_equal(problem->participant, "payments");
    assert_string_equal(problem->code, code);
    return problem;
}

static bool nobody_heard(void)
{
    return nothing_came(WIRE__MESSAGE__BODY_EXECUTED);
}

static void fails(void *tag, const char *sqlstate, const char *reason, int statement)
{
    struct db_worked answer = {.outcome = DB_FAILED,
                               .failed_statement = statement,
                               .duplicate = strcmp(reason, "duplicate") == 0,
                               .too_large = strcmp(reason, "too large") == 0,
                               .sqlstate = sqlstate,
                               .reason = reason,
                               .detail = ""};
    events->worked(events->self, tag, &answer);
    settle();
}

/* The lookup that is under way must be of that row. */
static void looked_up(const char *key, bool fence, enum db_found found, const char *result)
{
    int request = take(LOOKUP);
    assert_string_equal(database.requests[request].text, key);
    assert_int_equal(database.requests[request].fence, fence);
    events->looked_up(events->self, database.requests[request].tag, found, result);
    settle();
}

static const char charge_row[] = "shop.c1.5.17/charge", undo_row[] = "shop.c1.5.17/charge/undo";

/* ---- steps --------------------------------------------------------------------------------- */

static void a_step_is_done_in_one_transaction_with_its_row(void **state)
{
    (void)state;
    EXECUTE(STEP, .try = 3, .timeout_ms = 700);
    int request = take(WORK);
    const struct db_work *work = database.requests[request].work;
    assert_int_equal(work->mode, DB_ONE_PHASE);
    assert_string_equal(work->gtrid, charge_row);
    assert_true(work->keeps_result);
    assert_int_equal(work->call_count, 1);
    assert_string_equal(work->statements[0].values[0], "1");
    assert_in_range(work->timeout_us, 600000, 700000);
    assert_true(nobody_heard());
    worked(database.requests[request].tag, DB_COMMITTED, 0);
    const Wire__Executed *answer = executed(WIRE__EXECUTION__SUCCEEDED);
    assert_string_equal(answer->task->step, "charge");
    assert_int_equal(answer->how, STEP);
    assert_int_equal(answer->try_, 3);
    assert_string_equal(answer->result, "{\"id\":1}");
    assert_true(answer->kept && !answer->empty && !answer->problem);
    assert_int_equal(database.count, 0);
}

static void a_read_only_step_leaves_no_row(void **state)
{
    (void)state;
    EXECUTE(STEP, .operation = "look", .arguments = "{}");
    int request = take(WORK);
    assert_int_equal(database.requests[request].work->mode, DB_READ_ONLY);
    assert_false(database.requests[request].work->keeps_result);
    worked(database.requests[request].tag, DB_COMMITTED, 0);
    const Wire__Executed *answer = executed(WIRE__EXECUTION__SUCCEEDED);
    assert_string_equal(answer->result, "{\"id\":1}");
    assert_false(answer->kept);
}

static void a_duplicate_is_answered_with_the_kept_result(void **state)
{
    (void)state;
    EXECUTE(STEP);
    fails(take_tag(WORK), "23505", "duplicate", -1);
    assert_true(nobody_heard());
    looked_up(charge_row, false, DB_FOUND, "{\"id\":1}");
    const Wire__Executed *answer = executed(WIRE__EXECUTION__SUCCEEDED);
    assert_string_equal(answer->result, "{\"id\":1}");
    assert_true(answer->kept);
    /* A result of null is kept as such. */
    EXECUTE(STEP, .final = true);
    fails(take_tag(WORK), "", "insufficient_funds", 0);
    looked_up(charge_row, true, DB_FOUND, NULL);
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->result, "");
}

static void a_refusal_tells_its_reason_and_leaves_a_row_when_it_is_final(void **state)
{
    (void)state;
    for (int final = 0; final < 2; final++) {
        EXECUTE(STEP, .final = final);
        fails(take_tag(WORK), "", "insufficient_funds", 0);
        looked_up(charge_row, final, final ? DB_FENCED : DB_NOT_FOUND, NULL);
        const Wire__Problem *problem = problem_of(WIRE__EXECUTION__FAILED, "insufficient_funds");
        assert_string_equal(problem->operation, "charge");
    }
}

static void what_passes_by_itself_is_not_done(void **state)
{
    (void)state;
    EXECUTE(STEP, .final = true);
    fails(take_tag(WORK), "40P01", "deadlock detected", 0);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    problem_of(WIRE__EXECUTION__NOT_DONE, "40P01");
}

static void a_call_that_can_not_be_made_has_failed(void **state)
{
    (void)state;
    EXECUTE(STEP, .operation = "chrage", .final = true);
    looked_up(charge_row, true, DB_FENCED, NULL);
    const Wire__Problem *problem = problem_of(WIRE__EXECUTION__FAILED, "unknown_operation");
    assert_string_equal(problem->operation, "chrage");
    assert_string_equal(problem->hint, "did you mean charge?");
    EXECUTE(STEP, .arguments = "{\"amount\":\"1\"}");
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    problem_of(WIRE__EXECUTION__FAILED, "bad_argument");
    assert_int_equal(database.count, 0);
}

static void what_makes_no_sense_is_refused_before_the_database_hears_of_it(void **state)
{
    (void)state;
    char longest[LIMIT_SAGA_LABEL_BYTES + 2];
    memset(longest, 'a', sizeof(longest));
    longest[LIMIT_SAGA_LABEL_BYTES + 1] = '\0';
    EXECUTE(STEP, .step = "charge/undo");
    problem_of(WIRE__EXECUTION__FAILED, "bad_request");
    EXECUTE(STEP, .step = longest);
    problem_of(WIRE__EXECUTION__FAILED, "bad_request");
    EXECUTE(STEP, .step = "");
    problem_of(WIRE__EXECUTION__FAILED, "bad_request");
    EXECUTE(COMPENSATE, .no_call = true);
    problem_of(WIRE__EXECUTION__FAILED, "bad_request");
    EXECUTE((Wire__How)9);
    problem_of(WIRE__EXECUTION__FAILED, "bad_request");
    Wire__Execute execute = WIRE__EXECUTE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_EXECUTE;
    message.execute = &execute;
    send(&message);
    assert_true(nobody_heard());
    assert_int_equal(database.count, 0);
    longest[LIMIT_SAGA_LABEL_BYTES] = '\0';
    memcpy(longest + LIMIT_SAGA_LABEL_BYTES - 4, "[12]", 4);
    EXECUTE(STEP, .step = longest);
    int request = take(WORK);
    const char *key = database.requests[request].work->gtrid;
    assert_string_equal(key + strlen("shop.c1.5.17/"), longest);
    worked(database.requests[request].tag, DB_COMMITTED, 0);
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->task->step, longest);
}

static void a_result_that_is_too_large_is_refused(void **state)
{
    (void)state;
    EXECUTE(STEP, .final = true);
    fails(take_tag(WORK), "", "too large", -1);
    looked_up(charge_row, true, DB_FENCED, NULL);
    problem_of(WIRE__EXECUTION__FAILED, "result_too_large");
    /* The largest that fits travels whole. */
    char *result = xmalloc(LIMIT_RESULT_BYTES + 2);
    memset(result, 'x', LIMIT_RESULT_BYTES + 1);
    result[0] = result[LIMIT_RESULT_BYTES - 1] = '"';
    result[LIMIT_RESULT_BYTES] = '\0';
    EXECUTE(STEP);
    fails(take_tag(WORK), "23505", "duplicate", -1);
    looked_up(charge_row, false, DB_FOUND, result);
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->result, result);
    /* Reading returns more than that. */
    result[LIMIT_RESULT_BYTES] = 'x';
    result[LIMIT_RESULT_BYTES + 1] = '\0';
    EXECUTE(STEP, .operation = "look", .arguments = "{}");
    const char *results[] = {result};
    struct db_worked answer = {.outcome = DB_COMMITTED,
                               .failed_statement = -1,
                               .sqlstate = "",
                               .reason = "",
                               .detail = "",
                               .results = results};
    events->worked(events->self, take_tag(WORK), &answer);
    settle();
    problem_of(WIRE__EXECUTION__FAILED, "result_too_large");
    free(result);
}

static void a_commit_that_was_lost_is_looked_up(void **state)
{
    (void)state;
    EXECUTE(STEP);
    struct db_worked lost = {.outcome = DB_LOST,
                             .failed_statement = -1,
                             .sqlstate = "",
                             .reason = "database connection lost",
                             .detail = ""};
    events->worked(events->self, take_tag(WORK), &lost);
    settle();
    looked_up(charge_row, false, DB_FOUND, "7");
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->result, "7");
    EXECUTE(STEP);
    events->worked(events->self, take_tag(WORK), &lost);
    settle();
    looked_up(charge_row, false, DB_FOUND_ERROR, NULL);
    problem_of(WIRE__EXECUTION__UNSURE, "database_down");
}

/* ---- cancels and compensations ------------------------------------------------------------- */

static void a_cancel_looks_with_a_fence(void **state)
{
    (void)state;
    EXECUTE(CANCEL_IT);
    looked_up(charge_row, true, DB_FENCED, NULL);
    problem_of(WIRE__EXECUTION__FAILED, "cancelled");
    EXECUTE(CANCEL_IT);
    looked_up(charge_row, true, DB_FOUND, "{\"id\":2}");
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->result, "{\"id\":2}");
    EXECUTE(STEP); /* late */
    fails(take_tag(WORK), "23505", "duplicate", -1);
    looked_up(charge_row, false, DB_FENCED, NULL);
    problem_of(WIRE__EXECUTION__FAILED, "cancelled");
}

static void a_cancel_stops_the_step_under_way_and_takes_its_answer(void **state)
{
    (void)state;
    EXECUTE(STEP, .try = 1);
    void *tag = take_tag(WORK);
    EXECUTE(CANCEL_IT, .try = 2);
    assert_ptr_equal(take_tag(CANCEL), tag);
    fails(tag, "57014", "canceling statement due to user request", 0);
    looked_up(charge_row, true, DB_FENCED, NULL);
    const Wire__Executed *answer = executed(WIRE__EXECUTION__FAILED);
    assert_int_equal(answer->how, CANCEL_IT);
    assert_int_equal(answer->try_, 2);
    assert_string_equal(answer->problem->code, "cancelled");
}

static void a_compensation_looks_at_its_step_first(void **state)
{
    (void)state;
    EXECUTE(COMPENSATE);
    looked_up(charge_row, false, DB_FOUND, "{\"id\":1}");
    int request = take(WORK);
    assert_string_equal(database.requests[request].work->gtrid, undo_row);
    worked(database.requests[request].tag, DB_COMMITTED, 0);
    assert_false(executed(WIRE__EXECUTION__SUCCEEDED)->empty);
    EXECUTE(COMPENSATE); /* again: it was done */
    looked_up(charge_row, false, DB_FOUND, "{\"id\":1}");
    fails(take_tag(WORK), "23505", "duplicate", -1);
    looked_up(undo_row, false, DB_FOUND, "{\"back\":1}");
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->result, "{\"back\":1}");
}

static void what_was_never_done_is_not_undone(void **state)
{
    (void)state;
    EXECUTE(COMPENSATE);
    looked_up(charge_row, false, DB_FENCED, NULL);
    const Wire__Executed *answer = executed(WIRE__EXECUTION__SUCCEEDED);
    assert_true(answer->empty);
    assert_string_equal(answer->result, "");
    EXECUTE(COMPENSATE);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    looked_up(charge_row, true, DB_FENCED, NULL);
    assert_true(executed(WIRE__EXECUTION__SUCCEEDED)->empty);
    assert_int_equal(database.count, 0);
}

static void a_step_and_its_compensation_are_two_tasks(void **state)
{
    (void)state;
    EXECUTE(STEP);
    EXECUTE(COMPENSATE);
    assert_int_equal(database.count, 2);
    worked(take_tag(WORK), DB_COMMITTED, 0);
    assert_int_equal(executed(WIRE__EXECUTION__SUCCEEDED)->how, STEP);
    looked_up(charge_row, false, DB_FOUND, NULL);
    worked(take_tag(WORK), DB_COMMITTED, 0);
    assert_int_equal(executed(WIRE__EXECUTION__SUCCEEDED)->how, COMPENSATE);
}

/* ---- age ----------------------------------------------------------------------------------- */

enum { HALF_US = 300000000 }; /* of the time that rows are kept */

static void what_may_have_been_forgotten_is_an_operators(void **state)
{
    (void)state;
    pass(2 * HALF_US);
    int64_t old = (int64_t)now_us - HALF_US - 1000000, young = (int64_t)now_us - HALF_US + 1000000;
    clear_inbox();
    while (database.count > 0) /* the sweeps meanwhile */
        take(SCAN);
    EXECUTE(STEP, .since_us = young, .final = true);
    worked(take_tag(WORK), DB_COMMITTED, 0);
    executed(WIRE__EXECUTION__SUCCEEDED);
    EXECUTE(STEP, .since_us = old, .final = true);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    problem_of(WIRE__EXECUTION__UNPROVABLE, "forgotten");
    EXECUTE(CANCEL_IT, .since_us = old);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    problem_of(WIRE__EXECUTION__UNPROVABLE, "forgotten");
    EXECUTE(CANCEL_IT, .step_since_us = old);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    problem_of(WIRE__EXECUTION__UNPROVABLE, "forgotten");
    EXECUTE(COMPENSATE, .step_since_us = old);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    worked(take_tag(WORK), DB_COMMITTED, 0);
    executed(WIRE__EXECUTION__SUCCEEDED);
    EXECUTE(COMPENSATE, .step_since_us = old, .since_us = old);
    looked_up(charge_row, false, DB_NOT_FOUND, NULL);
    looked_up(undo_row, false, DB_NOT_FOUND, NULL);
    problem_of(WIRE__EXECUTION__UNPROVABLE, "forgotten");
    assert_int_equal(database.count, 0);
}

/* ---- sessions, time, the database ---------------------------------------------------------- */

static void the_same_task_asked_again_runs_once_and_answers_the_newest(void **state)
{
    (void)state;
    EXECUTE(STEP, .try = 1);
    EXECUTE(STEP, .try = 2);
    void *tag = take_tag(WORK);
    assert_int_equal(database.count, 0);
    worked(tag, DB_COMMITTED, 0);
    assert_int_equal(executed(WIRE__EXECUTION__SUCCEEDED)->try_, 2);
}

static void work_that_outlives_its_session_is_answered_in_the_next(void **state)
{
    (void)state;
    EXECUTE(STEP, .step = "first", .timeout_ms = 60000);
    EXECUTE(STEP, .step = "second", .timeout_ms = 60000);
    EXECUTE(STEP, .step = "third", .timeout_ms = 60000);
    void *first = take_tag(WORK), *second = take_tag(WORK);
    lose_session();
    worked(first, DB_COMMITTED, 0); /* nobody waits, and nothing is looked up */
    assert_int_equal(database.count, 0);
    reconnect();
    clear_inbox();
    EXECUTE(STEP, .step = "second", .try = 2);
    assert_int_equal(database.count, 0);
    worked(second, DB_COMMITTED, 0);
    const Wire__Executed *answer = executed(WIRE__EXECUTION__SUCCEEDED);
    assert_string_equal(answer->task->step, "second");
    assert_int_equal(answer->try_, 2);
    EXECUTE(STEP, .step = "third"); /* had waited, and was dropped */
    assert_string_equal(database.requests[0].work->gtrid, "shop.c1.5.17/third");
    worked(take_tag(WORK), DB_COMMITTED, 0);
    executed(WIRE__EXECUTION__SUCCEEDED);
}

static void the_deadline_ends_what_waits_and_stops_what_runs(void **state)
{
    (void)state;
    EXECUTE(STEP, .step = "first", .timeout_ms = 60000);
    EXECUTE(STEP, .step = "second");
    EXECUTE(STEP, .step = "third");
    void *first = take_tag(WORK), *second = take_tag(WORK);
    pass(1100000);
    const Wire__Executed *answer = executed(WIRE__EXECUTION__NOT_DONE);
    assert_string_equal(answer->task->step, "third");
    assert_string_equal(answer->problem->code, "deadline");
    assert_non_null(strstr(answer->problem->message, "before its work began"));
    assert_ptr_equal(take_tag(CANCEL), second);
    fails(second, "57014", "canceling statement due to user request", 0);
    looked_up("shop.c1.5.17/second", false, DB_NOT_FOUND, NULL);
    const Wire__Problem *problem = problem_of(WIRE__EXECUTION__NOT_DONE, "deadline");
    assert_non_null(strstr(problem->message, "while its work ran"));
    worked(first, DB_COMMITTED, 0);
    executed(WIRE__EXECUTION__SUCCEEDED);
    EXECUTE(STEP, .late = true);
    problem_of(WIRE__EXECUTION__NOT_DONE, "deadline");
    EXECUTE(CANCEL_IT);
    pass(1100000);
    problem_of(WIRE__EXECUTION__UNSURE, "deadline");
    looked_up(charge_row, true, DB_FENCED, NULL);
    assert_true(nobody_heard());
    assert_int_equal(database.count, 0);
}

static void without_a_database_nothing_is_done_at_once(void **state)
{
    (void)state;
    EXECUTE(STEP);
    problem_of(WIRE__EXECUTION__NOT_DONE, "database_down");
    EXECUTE(CANCEL_IT);
    problem_of(WIRE__EXECUTION__NOT_DONE, "database_down");
    events->up(events->self, "1/1");
    settle();
    take(SCAN);
    EXECUTE(STEP, .step = "first");
    EXECUTE(STEP, .step = "second");
    EXECUTE(STEP, .step = "third");
    clear_inbox();
    events->down(events->self, "server stopped");
    settle();
    const Wire__Executed *answer = executed(WIRE__EXECUTION__NOT_DONE);
    assert_string_equal(answer->task->step, "third");
    assert_string_equal(answer->problem->detail, "server stopped");
}

static void draining_lets_end_what_runs_and_begins_nothing(void **state)
{
    (void)state;
    EXECUTE(STEP, .step = "first");
    agent_drain(agent);
    assert_false(agent_drained(agent));
    EXECUTE(STEP, .step = "second");
    problem_of(WIRE__EXECUTION__NOT_DONE, "draining");
    worked(take_tag(WORK), DB_COMMITTED, 0);
    assert_string_equal(executed(WIRE__EXECUTION__SUCCEEDED)->task->step, "first");
    pass(100000); /* it is acknowledged */
    assert_true(agent_drained(agent));
}

static void branches_and_steps_take_turns(void **state)
{
    (void)state;
    static const char *const names[] = {"a", "b", "c", "d", "e"};
    for (uint64_t seq = 1; seq <= 5; seq++)
        send_prepare(seq);
    for (int i = 0; i < 5; i++)
        EXECUTE(STEP, .step = names[i]);
    int tasks = 0;
    for (int i = 0; i < 10; i++) {
        int request = take(WORK);
        bool task = database.requests[request].work->mode == DB_ONE_PHASE;
        tasks += task;
        /* The first two had the connections before any step came. */
        if (i >= 2 && i < 8)
            assert_int_equal(tasks, i / 2);
        worked(database.requests[request].tag, task ? DB_COMMITTED : DB_FAILED, 0);
    }
    assert_int_equal(tasks, 5);
    assert_int_equal(database.count, 0);
}

static void an_agent_is_freed_with_all_kinds_of_them_under_way(void **state)
{
    (void)state;
    EXECUTE(STEP, .step = "a");
    EXECUTE(STEP, .step = "b");
    EXECUTE(STEP, .step = "c");
    EXECUTE(CANCEL_IT, .step = "d");
    EXECUTE(COMPENSATE, .step = "e");
    EXECUTE(STEP, .step = "f", .operation = "nosuch");
    assert_int_equal(database.count, 5);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define UP(test)   cmocka_unit_test_setup_teardown(test, start_with_database, stop)
#define DOWN(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        UP(a_step_is_done_in_one_transaction_with_its_row),
        UP(a_read_only_step_leaves_no_row),
        UP(a_duplicate_is_answered_with_the_kept_result),
        UP(a_refusal_tells_its_reason_and_leaves_a_row_when_it_is_final),
        UP(what_passes_by_itself_is_not_done),
        UP(a_call_that_can_not_be_made_has_failed),
        UP(what_makes_no_sense_is_refused_before_the_database_hears_of_it),
        UP(a_result_that_is_too_large_is_refused),
        UP(a_commit_that_was_lost_is_looked_up),
        UP(a_cancel_looks_with_a_fence),
        UP(a_cancel_stops_the_step_under_way_and_takes_its_answer),
        UP(a_compensation_looks_at_its_step_first),
        UP(what_was_never_done_is_not_undone),
        UP(a_step_and_its_compensation_are_two_tasks),
        UP(what_may_have_been_forgotten_is_an_operators),
        UP(the_same_task_asked_again_runs_once_and_answers_the_newest),
        UP(work_that_outlives_its_session_is_answered_in_the_next),
        UP(the_deadline_ends_what_waits_and_stops_what_runs),
        DOWN(without_a_database_nothing_is_done_at_once),
        UP(draining_lets_end_what_runs_and_begins_nothing),
        UP(branches_and_steps_take_turns),
        UP(an_agent_is_freed_with_all_kinds_of_them_under_way),
    };
    return cmocka_run_group_tests_name("tasks", tests, NULL, NULL);
}
