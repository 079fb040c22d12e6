/* Steps of sagas that share a lane: each is done once or not at all, and none is told before the
 * disk has it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "io/pg_private.h"
#include "tests/real/support/pg_rig.h"

enum { STEPS = 8 };

static const char rows_done[] = "select count(*) from troth.barrier where kind = 'done'";
static const char waits_for_standby[] =
    "select count(*) from pg_stat_activity where application_name like 'troth:rig:%' and wait_event"
    " = 'SyncRep'";

/* As many steps, each with a key of its own. */
struct train {
    struct db_statement statements[STEPS];
    struct db_work works[STEPS];
    char keys[STEPS][64];
    struct rig_answer answers[STEPS];
};

static struct db_statement change(const char *sql)
{
    struct db_statement statement = rig_plain(sql, sql);
    statement.form = DB_CHANGE;
    statement.expect_rows = 1;
    statement.otherwise = "no_such_row";
    return statement;
}

static void set(struct train *train, int i, const struct db_statement *statement)
{
    train->statements[i] = *statement;
    snprintf(train->keys[i], sizeof(train->keys[i]), "rig.c1.7.%d/step", i + 1);
    train->works[i] = rig_work_of(DB_ONE_PHASE, train->keys[i], &train->statements[i], 1);
    train->works[i].keeps_result = true;
    train->answers[i] = (struct rig_answer){.result_count = 1};
}

static void fill(struct train *train, const char *sql)
{
    const struct db_statement statement = change(sql);
    for (int i = 0; i < STEPS; i++)
        set(train, i, &statement);
}

static bool lanes_ready(const struct rig *rig)
{
    bool ready = true;
    for (int i = 0; i < PG_LANES; i++)
        ready = ready && pg_connection_ready(&rig->pg->lanes.all[i].connection);
    return ready;
}

/* Types are known, and both lanes are open. */
static void open_lanes(struct rig *rig)
{
    struct train train;
    fill(&train, "update rig set n = n where id = 'b'");
    while (!lanes_ready(rig)) {
        train.answers[0] = (struct rig_answer){.result_count = 1};
        rig_work(rig, &train.works[0], &train.answers[0]);
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
        rig_sql(rig, "delete from troth.barrier");
    }
}

static int setup(void **state)
{
    if (rig_setup(state) != 0)
        return -1;
    rig_sql(*state, "delete from troth.barrier");
    open_lanes(*state);
    return 0;
}

static void standby(struct rig *rig, const char *names)
{
    rig_sql(rig, names[0] ? "alter system set synchronous_standby_names = 'nobody'"
                          : "alter system reset synchronous_standby_names");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", names);
}

static int teardown(void **state)
{
    standby(*state, "");
    return rig_teardown(state);
}

/* All in one turn of the loop: so all in one train. */
static void begin(struct rig *rig, struct train *train)
{
    for (int i = 0; i < STEPS; i++)
        rig_work_begin(rig, &train->works[i], &train->answers[i]);
    int waiting = 0;
    for (struct list *at = rig->pg->lanes.waiting.next; at != &rig->pg->lanes.waiting;
         at = at->next)
        waiting++;
    assert_int_equal(waiting, STEPS);
}

static int answered(const struct train *train)
{
    int count = 0;
    for (int i = 0; i < STEPS; i++)
        count += train->answers[i].done;
    return count;
}

static void await(struct rig *rig, struct train *train)
{
    for (int i = 0; i < STEPS; i++)
        rig_until(rig, &train->answers[i].done, "a step is answered");
}

/* Turns the loop until the server says so; nobody is answered meanwhile. */
static void await_unanswered(struct rig *rig, const struct train *train, const char *sql,
                             const char *value)
{
    rig_turn_until_sql(rig, sql, value);
    for (int i = 0; i < 20; i++)
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    assert_int_equal(answered(train), 0);
}

static void all_committed(const struct train *train)
{
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(train->answers[i].outcome, DB_COMMITTED);
}

/* ---- what is told ---------------------------------------------------------------------------- */

static void steps_of_one_turn_go_together_and_each_is_done(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    begin(rig, &train);
    uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    assert_int_equal(rig->pg->lanes.all[0].count, STEPS);
    await(rig, &train);
    all_committed(&train);
    assert_string_equal(rig_balance(rig), "92");
    assert_string_equal(rig_sql(rig, rows_done), "8");
}

/* The flush of the last one, here with a standby that does not answer, is that of all. */
static void none_is_told_before_the_flush_of_all(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    standby(rig, "nobody");
    begin(rig, &train);
    await_unanswered(rig, &train, waits_for_standby, "1");
    /* Those before the last have committed, and others see it. */
    assert_string_equal(rig_sql(rig, rows_done), "7");
    standby(rig, "");
    await(rig, &train);
    all_committed(&train);
    assert_string_equal(rig_balance(rig), "92");
}

/* Whether it survives or not, nobody was told; and what is there is whole. */
static void what_the_server_loses_before_the_flush_was_not_told(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    standby(rig, "nobody");
    begin(rig, &train);
    await_unanswered(rig, &train, waits_for_standby, "1");
    rig_sql(rig, "alter system reset synchronous_standby_names");
    rig_lose_power(rig);
    await(rig, &train);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(train.answers[i].outcome, DB_LOST);
    char left[16];
    snprintf(left, sizeof(left), "%d", 100 - atoi(rig_sql(rig, rows_done)));
    assert_string_equal(rig_balance(rig), left);
}

/* Then a flush of its own follows: what was rolled back waits for nothing. */
static void a_last_one_that_fails_leaves_the_others_untold_until_a_flush(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    const struct db_statement nobody = change("update rig set n = n - 1 where id = 'nobody'");
    set(&train, STEPS - 1, &nobody);
    standby(rig, "nobody");
    begin(rig, &train);
    rig_until(rig, &train.answers[STEPS - 1].done, "what is refused is answered");
    assert_int_equal(train.answers[STEPS - 1].outcome, DB_FAILED);
    assert_string_equal(train.answers[STEPS - 1].reason, "no_such_row");
    rig_turn_until_sql(rig, waits_for_standby, "1");
    assert_int_equal(answered(&train), 1);
    assert_string_equal(rig_sql(rig, rows_done), "7");
    standby(rig, "");
    await(rig, &train);
    for (int i = 0; i < STEPS - 1; i++)
        assert_int_equal(train.answers[i].outcome, DB_COMMITTED);
    assert_string_equal(rig_balance(rig), "93");
}

/* What only reads tells nothing that may still be lost. */
static void what_was_read_is_told_when_it_is_durable(void **state)
{
    struct rig *rig = *state;
    struct train train;
    struct rig_answer reads[2] = {{.result_count = 1}, {.result_count = 1}};
    struct db_statement read = rig_plain("read", "select n from rig where id = 'a'");
    read.shape = DB_ROW;
    const struct db_work work = rig_work_of(DB_READ_ONLY, NULL, &read, 1);
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    standby(rig, "nobody");
    begin(rig, &train);
    await_unanswered(rig, &train, waits_for_standby, "1");
    rig_work_begin(rig, &work, &reads[0]);
    rig_work_begin(rig, &work, &reads[1]);
    rig_turn_until_sql(rig,
                       "select count(*) from pg_stat_activity where application_name like"
                       " 'troth:rig:%' and query = 'commit' and state = 'idle'",
                       "2");
    await_unanswered(rig, &train, waits_for_standby, "1");
    assert_false(reads[0].done || reads[1].done);
    rig->in_call = true;
    rig->port->cancel(rig->port->self, &reads[1]);
    rig->in_call = false;
    rig_until(rig, &reads[1].done, "the cancelled one is answered");
    assert_string_equal(reads[1].sqlstate, "57014");
    standby(rig, "");
    await(rig, &train);
    rig_until(rig, &reads[0].done, "the other is answered");
    assert_int_equal(reads[0].outcome, DB_COMMITTED);
    assert_string_equal(reads[0].results[0], "{\"n\":93}");
}

/* A row that somebody committed lazily: found, and told when it is durable. */
static void a_row_that_is_found_is_told_when_it_is_durable(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    standby(rig, "nobody");
    rig_sql(rig, "begin; set local synchronous_commit = off;"
                 " insert into troth.barrier (gtrid, kind) values ('rig.c1.7.1/step', 'done');"
                 " commit");
    rig->port->lookup(rig->port->self, "rig.c1.7.1/step", false, &answer);
    rig_turn_until_sql(rig, waits_for_standby, "1");
    for (int i = 0; i < 20; i++)
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    assert_false(answer.done);
    standby(rig, "");
    rig_until(rig, &answer.done, "the lookup is answered");
    assert_int_equal(answer.found, DB_FOUND);
}

/* ---- what fails ------------------------------------------------------------------------------ */

static void one_that_fails_is_told_why_and_harms_no_other(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    const struct db_statement zero = change("update rig set n = n / (n - n) where id = 'b'");
    const struct db_statement nobody = change("update rig set n = n - 1 where id = 'nobody'");
    set(&train, 2, &zero);
    set(&train, 3, &nobody);
    train.works[5].gtrid = train.keys[4];
    begin(rig, &train);
    await(rig, &train);
    assert_string_equal(train.answers[2].sqlstate, "22012");
    assert_string_equal(train.answers[3].reason, "no_such_row");
    assert_true(train.answers[5].duplicate);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(train.answers[i].outcome,
                         i == 2 || i == 3 || i == 5 ? DB_FAILED : DB_COMMITTED);
    assert_string_equal(rig_balance(rig), "95");
    assert_string_equal(rig_sql(rig, rows_done), "5");
}

/* It goes on waiting on a worker. */
static void one_that_waits_for_a_lock_does_not_hold_up_the_others(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    const struct db_statement locked = change("update rig set n = n - 1 where id = 'b'");
    set(&train, 0, &locked);
    rig_sql(rig, "begin; update rig set n = n where id = 'b'");
    begin(rig, &train);
    for (int i = 1; i < STEPS; i++)
        rig_until(rig, &train.answers[i].done, "a step that needs no lock is answered");
    assert_false(train.answers[0].done);
    rig_sql(rig, "commit");
    await(rig, &train);
    all_committed(&train);
    assert_string_equal(rig_balance(rig), "93");
}

static void one_that_takes_long_is_done_and_rides_no_more(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    const struct db_statement slow =
        change("update rig set n = n - 1 where id = 'b' and pg_sleep(0.3) is not null");
    set(&train, 0, &slow);
    begin(rig, &train);
    await(rig, &train);
    all_committed(&train);
    set(&train, 0, &slow);
    train.works[0].gtrid = "rig.c1.7.100/step";
    rig_work_begin(rig, &train.works[0], &train.answers[0]);
    assert_true(list_empty(&rig->pg->lanes.waiting));
    rig_until(rig, &train.answers[0].done, "the slow step is answered");
    assert_int_equal(train.answers[0].outcome, DB_COMMITTED);
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void one_that_waits_for_a_lane_is_cancelled_without_running(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    begin(rig, &train);
    rig->in_call = true;
    rig->port->cancel(rig->port->self, &train.answers[3]);
    rig->in_call = false;
    await(rig, &train);
    assert_int_equal(train.answers[3].outcome, DB_FAILED);
    assert_string_equal(train.answers[3].sqlstate, "57014");
    assert_string_equal(rig_balance(rig), "93");
}

/* It was done, but nobody knows whether the standby has it: nor of the others. */
static void a_cancel_ends_the_wait_for_a_standby(void **state)
{
    struct rig *rig = *state;
    struct train train;
    fill(&train, "update rig set n = n - 1 where id = 'a'");
    standby(rig, "nobody");
    begin(rig, &train);
    await_unanswered(rig, &train, waits_for_standby, "1");
    rig->port->cancel(rig->port->self, &train.answers[3]);
    await(rig, &train);
    for (int i = 0; i < STEPS; i++)
        assert_int_equal(train.answers[i].outcome, DB_LOST);
    assert_string_equal(rig_balance(rig), "92");
}

int main(void)
{
#define LANES(test) cmocka_unit_test_setup_teardown(test, setup, teardown)
    const struct CMUnitTest tests[] = {
        LANES(steps_of_one_turn_go_together_and_each_is_done),
        LANES(none_is_told_before_the_flush_of_all),
        LANES(what_the_server_loses_before_the_flush_was_not_told),
        LANES(a_last_one_that_fails_leaves_the_others_untold_until_a_flush),
        LANES(what_was_read_is_told_when_it_is_durable),
        LANES(a_row_that_is_found_is_told_when_it_is_durable),
        LANES(one_that_fails_is_told_why_and_harms_no_other),
        LANES(one_that_waits_for_a_lock_does_not_hold_up_the_others),
        LANES(one_that_takes_long_is_done_and_rides_no_more),
        LANES(one_that_waits_for_a_lane_is_cancelled_without_running),
        LANES(a_cancel_ends_the_wait_for_a_standby),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
