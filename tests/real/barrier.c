/* Steps of sagas on a real PostgreSQL: each is done once, whoever asks and how often, and what was
 * cancelled or refused for good is never done. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/limits.h"
#include "tests/real/support/saga_desk.h"

#define CANCEL     WIRE__HOW__HOW_CANCEL
#define COMPENSATE WIRE__HOW__HOW_COMPENSATE

static const char balance[] = "select n from rig where id = 'a'";
static const char end_sleeper[] =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like"
    " 'troth:rig:%' and state = 'active' and wait_event = 'PgSleep'";
static const char sleepers[] = "select count(*) from pg_stat_activity where application_name like"
                               " 'troth:rig:%' and wait_event = 'PgSleep'";
static const char lock_waiters[] = "select count(*) from pg_stat_activity where application_name"
                                   " like 'troth:rig:%' and wait_event_type = 'Lock'";
static const char standby_waiters[] = "select count(*) from pg_stat_activity where application_name"
                                      " like 'troth:rig:%' and wait_event = 'SyncRep'";
static const char lookup_waits[] =
    "select count(*) from pg_stat_activity where application_name like 'troth:rig:%'"
    " and wait_event = 'SyncRep' and query like '%from troth.barrier%'";

static const struct desk_answer *succeeds(const struct desk_answer *answer)
{
    if (answer->execution != WIRE__EXECUTION__SUCCEEDED)
        fail_msg("%d: %s %s (%s)", (int)answer->execution, answer->code, answer->message,
                 answer->detail);
    return answer;
}

static void fails(const struct desk_answer *answer, Wire__Execution execution, const char *code)
{
    assert_string_equal(answer->code, code);
    assert_int_equal(answer->execution, execution);
}

static void has(const char *sql, const char *value)
{
    assert_string_equal(desk_sql(sql), value);
}

static void row_is(const char *key, const char *kind)
{
    char sql[200];
    snprintf(sql, sizeof(sql),
             "select coalesce((select kind from troth.barrier where gtrid = '%s'), 'absent')", key);
    has(sql, kind);
}

/* ---- once ---------------------------------------------------------------------------------- */

static void a_step_is_done_once_and_answered_again_byte_for_byte(void **state)
{
    (void)state;
    const struct desk_answer *answer = succeeds(EXECUTE(0, .operation = "odd"));
    assert_true(answer->kept);
    char *first = strdup(answer->result);
    assert_string_equal(first,
                        "{\"s\":\"\\\"\\\\\\n\\t\u00e9\u20ac\U0001f600\",\"z\":null,\"n\":1.50,"
                        "\"j\":{\"a\": [1, 2.50]}}");
    for (int desk = 0; desk < DESKS; desk++)
        assert_string_equal(succeeds(EXECUTE(desk, .operation = "odd"))->result, first);
    assert_string_equal(succeeds(EXECUTE(1, .how = CANCEL))->result, first);
    has("select result from troth.barrier where gtrid = 'rig.c1.5.1/charge'", first);
    row_is("rig.c1.5.1/charge", "done");
    has(balance, "99");
    free(first);
}

static void work_without_a_result_keeps_none(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct desk_answer *answer = succeeds(EXECUTE(i % 2, .operation = "take"));
        assert_string_equal(answer->result, "");
        assert_true(answer->kept);
    }
    has(balance, "99");
    has("select count(*) from troth.barrier where result is null and kind = 'done'", "1");
}

static void two_executions_at_once_have_one_effect_and_one_answer(void **state)
{
    (void)state;
    struct desk_answer answers[DESKS];
    desk_sql("begin; update rig set n = n where id = 'a'");
    for (int desk = 0; desk < DESKS; desk++)
        ASK(desk, &answers[desk], 0);
    desk_await_sql(lock_waiters, "2");
    desk_sql("commit");
    for (int desk = 0; desk < DESKS; desk++) {
        desk_await(&answers[desk]);
        assert_string_equal(succeeds(&answers[desk])->result, "{\"left\":90}");
    }
    has(balance, "90");
}

/* The second sees what the first has changed, and fails before it comes to the row. */
static void a_duplicate_that_fails_because_the_first_was_done_is_answered_from_the_row(void **state)
{
    (void)state;
    for (int i = 0; i < 3; i++) {
        const struct desk_answer *answer = succeeds(
            EXECUTE(i % 2, .operation = "add", .arguments = "{\"id\":\"z\"}", .final = true));
        assert_string_equal(answer->result, "{\"id\":\"z\",\"n\":7}");
        answer = succeeds(EXECUTE(i % 2, .step = "all_of_b",
                                  .arguments = "{\"id\":\"b\",\"amount\":100}", .final = true));
        assert_string_equal(answer->result, "{\"left\":0}");
    }
    has("select count(*) from rig where id = 'z'", "1");
    has("select count(*) from troth.barrier", "2");
}

static void read_only_work_leaves_no_row_and_says_so(void **state)
{
    (void)state;
    const struct desk_answer *answer = succeeds(EXECUTE(0, .operation = "look"));
    assert_string_equal(answer->result, "{\"n\":100}");
    assert_false(answer->kept);
    has("select count(*) from troth.barrier", "0");
}

static void the_largest_result_is_kept_and_a_larger_one_is_not_done(void **state)
{
    (void)state;
    enum { AROUND = sizeof("{\"w\":\"\"}") - 1 };
    char largest[40], larger[40];
    snprintf(largest, sizeof(largest), "{\"size\":%d}", LIMIT_RESULT_BYTES - AROUND);
    snprintf(larger, sizeof(larger), "{\"size\":%d}", LIMIT_RESULT_BYTES - AROUND + 1);
    for (int desk = 0; desk < DESKS; desk++) {
        const struct desk_answer *answer =
            succeeds(EXECUTE(desk, .operation = "wide", .arguments = largest));
        assert_int_equal(strlen(answer->result), LIMIT_RESULT_BYTES);
        assert_string_equal(answer->result + LIMIT_RESULT_BYTES - 4, "xx\"}");
    }
    fails(EXECUTE(0, .saga = 2, .operation = "wide", .arguments = larger, .final = true),
          WIRE__EXECUTION__FAILED, "result_too_large");
    row_is("rig.c1.5.2/charge", "none");
    has(balance, "99");
}

/* ---- never --------------------------------------------------------------------------------- */

static void a_step_that_comes_after_its_cancel_does_nothing(void **state)
{
    (void)state;
    fails(EXECUTE(0, .how = CANCEL), WIRE__EXECUTION__FAILED, "cancelled");
    for (int desk = 0; desk < DESKS; desk++)
        fails(EXECUTE(desk, .final = desk), WIRE__EXECUTION__FAILED, "cancelled");
    fails(EXECUTE(1, .how = CANCEL), WIRE__EXECUTION__FAILED, "cancelled");
    row_is("rig.c1.5.1/charge", "none");
    has(balance, "100");
}

static void a_cancel_overtakes_a_step_that_waits_for_a_lock_elsewhere(void **state)
{
    (void)state;
    struct desk_answer step;
    desk_sql("begin; update rig set n = n where id = 'a'");
    ASK(0, &step, 0);
    desk_await_sql(lock_waiters, "1");
    fails(EXECUTE(1, .how = CANCEL), WIRE__EXECUTION__FAILED, "cancelled");
    assert_false(step.done);
    desk_sql("commit");
    desk_await(&step);
    fails(&step, WIRE__EXECUTION__FAILED, "cancelled");
    has(balance, "100");
}

static void a_cancel_stops_the_step_that_runs_at_the_same_agent(void **state)
{
    (void)state;
    struct desk_answer step;
    ASK(0, &step, .operation = "take_slowly");
    desk_await_sql(sleepers, "1");
    fails(EXECUTE(0, .how = CANCEL), WIRE__EXECUTION__FAILED, "cancelled");
    assert_false(step.done);
    has(sleepers, "0");
    row_is("rig.c1.5.1/charge", "none");
    has(balance, "100");
}

static void a_final_refusal_is_for_ever_and_another_is_not(void **state)
{
    (void)state;
    static const char much[] = "{\"id\":\"a\",\"amount\":1000}";
    fails(EXECUTE(0, .arguments = much, .final = true), WIRE__EXECUTION__FAILED,
          "insufficient_funds");
    fails(EXECUTE(0, .saga = 2, .arguments = much), WIRE__EXECUTION__FAILED, "insufficient_funds");
    row_is("rig.c1.5.1/charge", "none");
    row_is("rig.c1.5.2/charge", "absent");
    desk_sql("update rig set n = 5000 where id = 'a'");
    for (int desk = 0; desk < DESKS; desk++)
        fails(EXECUTE(desk, .arguments = much, .final = true), WIRE__EXECUTION__FAILED,
              "cancelled");
    has(balance, "5000");
    succeeds(EXECUTE(1, .saga = 2, .arguments = much));
    has(balance, "4000");
}

/* ---- undone -------------------------------------------------------------------------------- */

static void what_was_done_is_undone_once(void **state)
{
    (void)state;
    struct desk_answer answers[DESKS];
    static const char back[] = "{\"id\":\"a\",\"amount\":10}";
    succeeds(EXECUTE(0, 0));
    desk_sql("begin; update rig set n = n where id = 'a'");
    for (int desk = 0; desk < DESKS; desk++)
        ASK(desk, &answers[desk], .how = COMPENSATE, .operation = "refund", .arguments = back);
    desk_await_sql(lock_waiters, "2");
    desk_sql("commit");
    for (int desk = 0; desk < DESKS; desk++) {
        desk_await(&answers[desk]);
        assert_string_equal(succeeds(&answers[desk])->result, "{\"left\":100}");
        assert_false(answers[desk].empty);
    }
    succeeds(EXECUTE(0, .how = COMPENSATE, .operation = "refund", .arguments = back));
    row_is("rig.c1.5.1/charge/undo", "done");
    has(balance, "100");
}

static void a_compensation_before_its_step_undoes_nothing_and_keeps_the_step_out(void **state)
{
    (void)state;
    static const char back[] = "{\"id\":\"a\",\"amount\":10}";
    for (int desk = 0; desk < DESKS; desk++) {
        const struct desk_answer *answer =
            succeeds(EXECUTE(desk, .how = COMPENSATE, .operation = "refund", .arguments = back));
        assert_true(answer->empty);
    }
    fails(EXECUTE(0, 0), WIRE__EXECUTION__FAILED, "cancelled");
    row_is("rig.c1.5.1/charge", "none");
    row_is("rig.c1.5.1/charge/undo", "absent");
    has(balance, "100");
}

/* ---- lost ---------------------------------------------------------------------------------- */

static void a_connection_lost_before_the_commit_was_carried_out_leaves_nothing(void **state)
{
    (void)state;
    struct desk_answer step;
    ASK(0, &step, .operation = "take_slowly");
    desk_await_sql(sleepers, "1");
    desk_sql(end_sleeper);
    desk_await(&step);
    fails(&step, WIRE__EXECUTION__NOT_DONE, "database_down");
    has("select count(*) from troth.barrier", "0");
    has(balance, "100");
}

/* COMMIT waits for a standby that is not there when its backend is ended: it is done, and that is
 * told when the standby has it. */
static void a_connection_lost_after_the_commit_was_carried_out_is_found_done(void **state)
{
    (void)state;
    struct desk_answer step;
    desk_sql("alter system set synchronous_standby_names = 'nobody'");
    desk_sql("select pg_reload_conf()");
    desk_await_sql("show synchronous_standby_names", "nobody");
    ASK(0, &step, 0);
    desk_await_sql(standby_waiters, "1");
    desk_sql("select pg_terminate_backend(pid) from pg_stat_activity where application_name like"
             " 'troth:rig:%' and wait_event = 'SyncRep'");
    desk_await_sql(lookup_waits, "1");
    assert_false(step.done);
    desk_sql("alter system reset synchronous_standby_names");
    desk_sql("select pg_reload_conf()");
    desk_await(&step);
    assert_string_equal(succeeds(&step)->result, "{\"left\":90}");
    assert_true(step.kept);
    has(balance, "90");
}

static void a_deadline_stops_the_work_and_it_can_be_done_later(void **state)
{
    (void)state;
    desk_sql("begin; update rig set n = n where id = 'a'");
    fails(EXECUTE(0, .timeout_ms = 200, .final = true), WIRE__EXECUTION__NOT_DONE, "deadline");
    desk_sql("commit");
    row_is("rig.c1.5.1/charge", "absent");
    succeeds(EXECUTE(0, .final = true));
    has(balance, "90");
}

/* What a session has prepared goes out of date: that is no refusal of the step. */
static void a_changed_table_does_not_refuse_a_final_step(void **state)
{
    (void)state;
    int done = 0;
    succeeds(EXECUTE(0, .saga = 1, .operation = "all"));
    desk_sql("alter table rig add column more text default 'x'");
    for (int i = 0; i < 3 && !done; i++) {
        const struct desk_answer *answer = EXECUTE(0, .saga = 2, .operation = "all", .final = true);
        done = answer->execution == WIRE__EXECUTION__SUCCEEDED;
        if (!done)
            fails(answer, WIRE__EXECUTION__NOT_DONE, "0A000");
    }
    assert_true(done);
    row_is("rig.c1.5.2/charge", "done");
}

/* ---- age ----------------------------------------------------------------------------------- */

enum { DAY_S = 24 * 3600 };

static void rows_go_with_age_and_what_they_proved_is_an_operators(void **state)
{
    (void)state;
    static const char back[] = "{\"id\":\"a\",\"amount\":10}";
    succeeds(EXECUTE(0, .saga = 1, .age_s = 3 * DAY_S));
    succeeds(EXECUTE(0, .saga = 2, .age_s = 3 * DAY_S));
    succeeds(EXECUTE(0, .saga = 1, .age_s = 6 * DAY_S)); /* the row is there */
    fails(EXECUTE(0, .saga = 3, .age_s = 4 * DAY_S), WIRE__EXECUTION__UNPROVABLE, "forgotten");
    fails(EXECUTE(0, .saga = 3, .how = CANCEL, .age_s = 4 * DAY_S), WIRE__EXECUTION__UNPROVABLE,
          "forgotten");
    row_is("rig.c1.5.3/charge", "absent");
    desk_sql(
        "update troth.barrier set at = now() - interval '8 days' where gtrid like '%.1/charge'");
    desk_clean();
    desk_await_sql("select count(*) from troth.barrier", "1");
    fails(EXECUTE(0, .saga = 1, .age_s = 8 * DAY_S), WIRE__EXECUTION__UNPROVABLE, "forgotten");
    has(balance, "80");
    /* The step was done, as the coordinator knows: it is undone. */
    succeeds(EXECUTE(0, .saga = 1, .how = COMPENSATE, .operation = "refund", .arguments = back,
                     .step_age_s = 8 * DAY_S));
    has(balance, "90");
    row_is("rig.c1.5.1/charge/undo", "done");
    fails(EXECUTE(0, .saga = 3, .how = COMPENSATE, .operation = "refund", .arguments = back,
                  .age_s = 4 * DAY_S, .step_age_s = 8 * DAY_S),
          WIRE__EXECUTION__UNPROVABLE, "forgotten");
    has(balance, "90");
}

#define WITH_DESKS(test) cmocka_unit_test_setup_teardown(test, desks_setup, desks_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_DESKS(a_step_is_done_once_and_answered_again_byte_for_byte),
        WITH_DESKS(work_without_a_result_keeps_none),
        WITH_DESKS(two_executions_at_once_have_one_effect_and_one_answer),
        WITH_DESKS(a_duplicate_that_fails_because_the_first_was_done_is_answered_from_the_row),
        WITH_DESKS(read_only_work_leaves_no_row_and_says_so),
        WITH_DESKS(the_largest_result_is_kept_and_a_larger_one_is_not_done),
        WITH_DESKS(a_step_that_comes_after_its_cancel_does_nothing),
        WITH_DESKS(a_cancel_overtakes_a_step_that_waits_for_a_lock_elsewhere),
        WITH_DESKS(a_cancel_stops_the_step_that_runs_at_the_same_agent),
        WITH_DESKS(a_final_refusal_is_for_ever_and_another_is_not),
        WITH_DESKS(what_was_done_is_undone_once),
        WITH_DESKS(a_compensation_before_its_step_undoes_nothing_and_keeps_the_step_out),
        WITH_DESKS(a_connection_lost_before_the_commit_was_carried_out_leaves_nothing),
        WITH_DESKS(a_connection_lost_after_the_commit_was_carried_out_is_found_done),
        WITH_DESKS(a_deadline_stops_the_work_and_it_can_be_done_later),
        WITH_DESKS(a_changed_table_does_not_refuse_a_final_step),
        WITH_DESKS(rows_go_with_age_and_what_they_proved_is_an_operators),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
