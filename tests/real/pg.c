/* The database port against a real PostgreSQL: what it says is what happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/real/support/pg_rig.h"
#include "tests/real/support/shop.h"

static const char *const numeric_text[] = {"numeric", "text"};

/* update rig: takes n from the row id, one row expected. */
static struct db_statement take(const char *const values[2])
{
    return (struct db_statement){
        .name = "take",
        .sql = "update rig set n = n - $1 where id = $2 and n >= $1",
        .parameter_count = 2,
        .types = numeric_text,
        .values = values,
        .expect_rows = 1,
        .otherwise = "insufficient_funds",
    };
}

static struct db_statement plain(const char *name, const char *sql)
{
    return (struct db_statement){.name = name, .sql = sql, .expect_rows = -1};
}

static struct db_work work_of(enum db_mode mode, const char *id,
                              const struct db_statement *statements, int count)
{
    return (struct db_work){.mode = mode,
                            .gid = id,
                            .gtrid = id,
                            .statements = statements,
                            .statement_count = count,
                            .call_count = 1,
                            .timeout_us = 10000000};
}

static const char *const ten_of_a[] = {"10", "a"};
static const char *const thousand_of_a[] = {"1000", "a"};
static const char gid[] = "troth.rig.c1.7.1.0";
static const char gtrid[] = "rig.c1.7.1";

static int setup(void **state)
{
    struct rig *rig = malloc(sizeof(*rig));
    rig_open(rig, 2);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

static const char *balance(struct rig *rig)
{
    return rig_sql(rig, "select n from rig where id = 'a'");
}

static const char *prepared_count(struct rig *rig)
{
    return rig_sql(rig, "select count(*) from pg_prepared_xacts");
}

/* ---- two phases ---------------------------------------------------------------------------- */

static void a_branch_is_prepared_then_committed_and_its_xid_proves_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = take(ten_of_a);
    struct db_work work = work_of(DB_PREPARE, gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_int_equal(answer.failed_statement, -1);
    assert_true(answer.xid > 0);
    assert_string_equal(rig_sql(rig, "select gid from pg_prepared_xacts"), gid);
    assert_string_equal(balance(rig), "100");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_IN_PROGRESS);
    assert_int_equal(rig_finish(rig, gid, true), DB_FINISHED);
    assert_string_equal(balance(rig), "90");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_COMMITTED);
}

static void a_branch_rolled_back_leaves_nothing_and_its_xid_says_aborted(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = take(ten_of_a);
    struct db_work work = work_of(DB_PREPARE, gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(rig_finish(rig, gid, false), DB_FINISHED);
    assert_string_equal(balance(rig), "100");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_ABORTED);
}

static void a_branch_that_wrote_nothing_has_an_xid_too(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = plain("look", "select n from rig");
    struct db_work work = work_of(DB_PREPARE, gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_true(answer.xid > 0);
    assert_int_equal(rig_finish(rig, gid, true), DB_FINISHED);
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_COMMITTED);
}

static void ending_a_gid_that_is_not_there_is_missing_not_success(void **state)
{
    assert_int_equal(rig_finish(*state, "troth.rig.c1.7.99.0", true), DB_MISSING);
    assert_int_equal(rig_finish(*state, "troth.rig.c1.7.99.0", false), DB_MISSING);
}

static void the_status_of_an_xid_of_the_future_is_unknown(void **state)
{
    assert_int_equal(rig_status(*state, UINT64_C(1) << 40), DB_STATUS_UNKNOWN);
}

static void many_branches_at_once_are_each_answered(void **state)
{
    enum { MANY = 40 };
    static const char *const one_of_b[] = {"1", "b"};
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(MANY, sizeof(*answers));
    struct db_statement statement = take(one_of_b);
    struct db_work works[MANY];
    char gids[MANY][40];
    for (int i = 0; i < MANY; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.8.%d.0", i + 1);
        /* They must not wait for each other's locks: only every tenth takes something. */
        works[i] = work_of(DB_PREPARE, gids[i], &statement, i % 40 == 0);
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    assert_string_equal(prepared_count(rig), "40");
    for (int i = 0; i < MANY; i++)
        assert_int_equal(rig_finish(rig, gids[i], i % 2 == 0), DB_FINISHED);
    assert_string_equal(prepared_count(rig), "0");
    free(answers);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void a_statement_that_fails_leaves_nothing_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, again = {0};
    struct db_statement statements[] = {take(ten_of_a),
                                        plain("twice", "insert into rig values ('a', 1)"),
                                        plain("never", "update rig set n = 0")};
    struct db_work work = work_of(DB_PREPARE, gid, statements, 3);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(answer.sqlstate, "23505");
    assert_non_null(strstr(answer.reason, "duplicate key"));
    assert_non_null(strstr(answer.detail, "already exists"));
    assert_string_equal(prepared_count(rig), "0");
    /* The sessions are clean: the same work without the mistake goes through on each. */
    work.statement_count = 1;
    for (int i = 0; i < 4; i++) {
        again = (struct rig_answer){0};
        rig_work(rig, &work, &again);
        assert_int_equal(again.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, gid, false), DB_FINISHED);
    }
}

static void a_failed_expectation_is_told_with_its_reason(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {plain("look", "select 1"), take(thousand_of_a)};
    struct db_work work = work_of(DB_PREPARE, gid, statements, 2);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(answer.reason, "insufficient_funds");
    assert_string_equal(answer.sqlstate, "");
    assert_int_equal(rig_finish(rig, gid, false), DB_FINISHED);
}

static void the_first_failure_counts_when_an_sql_error_follows_an_expectation(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {take(thousand_of_a), plain("divide", "select 1 / 0")};
    struct db_work work = work_of(DB_PREPARE, gid, statements, 2);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 0);
    assert_string_equal(answer.reason, "insufficient_funds");
    assert_string_equal(prepared_count(rig), "0");
}

static void an_unknown_type_fails_the_branch_alone(void **state)
{
    static const char *const types[] = {"no_such_type"}, *const values[] = {"1"};
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = {.name = "odd",
                                     .sql = "select $1",
                                     .parameter_count = 1,
                                     .types = types,
                                     .values = values,
                                     .expect_rows = -1};
    struct db_work work = work_of(DB_PREPARE, gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 0);
    assert_non_null(strstr(answer.reason, "no_such_type"));
    assert_string_equal(prepared_count(rig), "0");
}

static void a_parameter_has_the_type_that_was_declared(void **state)
{
    /* 0.5 as numeric against a bigint column: inferred as bigint it would be an error. */
    static const char *const values[] = {"0.5", "a"};
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = take(values);
    struct db_work work = work_of(DB_ONE_PHASE, gtrid, &statement, 1);
    rig_sql(rig, "delete from troth.barrier");
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.reason, "");
    assert_int_equal(answer.outcome, DB_COMMITTED);
}

static void waiting_for_a_lock_ends_at_the_lock_timeout(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = take(ten_of_a);
    struct db_work work = work_of(DB_PREPARE, gid, &statement, 1);
    rig_sql(rig, "begin");
    rig_sql(rig, "update rig set n = n where id = 'a'");
    rig_work(rig, &work, &answer);
    rig_sql(rig, "rollback");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "55P03");
}

static void a_plan_that_became_invalid_fails_one_branch_and_then_works(void **state)
{
    struct rig *rig = *state;
    struct db_statement statement = plain("all", "select * from rig where id = 'a'");
    statement.shape = DB_ROW;
    struct db_work work = work_of(DB_READ_ONLY, NULL, &statement, 1);
    int failed = 0;
    for (int i = 0; i < 4; i++) {
        struct rig_answer answer = {.result_count = 1};
        rig_work(rig, &work, &answer);
        failed += answer.outcome == DB_FAILED;
        if (i == 0)
            rig_sql(rig, "alter table rig add column more text default 'x'");
        if (i == 3)
            assert_string_equal(answer.results[0], "{\"id\":\"a\",\"n\":100,\"more\":\"x\"}");
    }
    assert_true(failed <= 1);
}

/* ---- one phase, and read only ------------------------------------------------------------- */

static void one_phase_commits_with_its_barrier_row(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.result_count = 1};
    struct db_statement statement =
        plain("give", "update rig set n = n + 1 where id = 'a' returning n");
    statement.shape = DB_ROW;
    struct db_work work = work_of(DB_ONE_PHASE, gtrid, &statement, 1);
    rig_sql(rig, "delete from troth.barrier");
    assert_int_equal(rig_lookup(rig, gtrid), DB_NOT_FOUND);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(answer.results[0], "{\"n\":101}");
    assert_string_equal(balance(rig), "101");
    assert_int_equal(rig_lookup(rig, gtrid), DB_FOUND);
    /* The row also keeps it from being done twice. */
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(balance(rig), "101");
}

static void one_phase_with_a_failed_expectation_commits_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {take(ten_of_a), take(thousand_of_a)};
    struct db_work work = work_of(DB_ONE_PHASE, gtrid, statements, 2);
    rig_sql(rig, "delete from troth.barrier");
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(answer.reason, "insufficient_funds");
    assert_string_equal(balance(rig), "100");
    assert_int_equal(rig_lookup(rig, gtrid), DB_NOT_FOUND);
    answer = (struct rig_answer){0};
    work.statement_count = 1;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(balance(rig), "90");
}

static void read_only_work_can_read_and_not_write(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.result_count = 1};
    struct db_statement read = plain("names", "select id from rig order by id");
    read.shape = DB_ROWS;
    struct db_work work = work_of(DB_READ_ONLY, NULL, &read, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(answer.results[0], "[{\"id\":\"a\"},{\"id\":\"b\"}]");
    struct db_statement write = take(ten_of_a);
    work = work_of(DB_READ_ONLY, NULL, &write, 1);
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "25006");
}

static void old_barrier_rows_are_deleted_and_young_ones_stay(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "delete from troth.barrier; insert into troth.barrier values"
                 " ('old', 'one-phase', now() - interval '8 days'), ('young', 'one-phase', now())");
    rig->port->clean(rig->port->self, UINT64_C(7) * 24 * 3600 * 1000000);
    assert_int_equal(rig_lookup(rig, "young"), DB_FOUND); /* asked after it, on the same session */
    assert_int_equal(rig_lookup(rig, "old"), DB_NOT_FOUND);
}

/* ---- results ------------------------------------------------------------------------------- */

static void values_become_json_by_their_types(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.result_count = 1};
    struct db_statement statement =
        plain("types", "select 1::int2 a, -2::int4 b, 9223372036854775807::int8 c,"
                       " 12345678901234567890.10::numeric d, 'NaN'::numeric e, 0.1::float8 f,"
                       " '-Infinity'::float8 g, true h, false i, null::int4 j, 'x\"y\n'::text k,"
                       " '{\"a\": [1, 2.50]}'::json l, '{\"b\":null}'::jsonb m,"
                       " date '2026-11-21' n, '\\x00ff'::bytea o, array[1,2] p, 7 a,"
                       " interval '1 day' q, 1e20::float8 r");
    statement.shape = DB_ROW;
    struct db_work work = work_of(DB_READ_ONLY, NULL, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.reason, "");
    assert_string_equal(
        answer.results[0],
        "{\"a\":1,\"b\":-2,\"c\":9223372036854775807,\"d\":12345678901234567890.10,\"e\":\"NaN\","
        "\"f\":0.1,\"g\":\"-Infinity\",\"h\":true,\"i\":false,\"j\":null,\"k\":\"x\\\"y\\n\","
        "\"l\":{\"a\": [1, 2.50]},\"m\":{\"b\": null},\"n\":\"2026-11-21\",\"o\":\"\\\\x00ff\","
        "\"p\":\"{1,2}\",\"a_2\":7,\"q\":\"1 day\",\"r\":1e+20}");
}

static void a_row_that_is_not_there_is_null_and_no_rows_are_an_empty_array(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.result_count = 3};
    struct db_statement statements[] = {plain("row", "select id from rig where id = 'z'"),
                                        plain("rows", "select id from rig where id = 'z'"),
                                        plain("none", "select id from rig where id = 'z'")};
    statements[0].shape = DB_ROW;
    statements[1].shape = DB_ROWS;
    statements[1].call = 1;
    statements[2].call = 2;
    struct db_work work = work_of(DB_READ_ONLY, NULL, statements, 3);
    work.call_count = 3;
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.results[0], "null");
    assert_string_equal(answer.results[1], "[]");
    assert_string_equal(answer.results[2], "");
}

/* ---- cancelling and losing ----------------------------------------------------------------- */

static const char sleeper_runs[] =
    "select count(*) from pg_stat_activity where application_name like 'troth:rig:payments:%'"
    " and state = 'active' and wait_event = 'PgSleep'";
static const char end_sleeper[] =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like"
    " 'troth:rig:payments:%' and state = 'active' and wait_event = 'PgSleep'";

/* Turns the loop, which sends; then waits for the server to sleep. */
static void begin_sleeping(struct rig *rig, const struct db_work *work, struct rig_answer *answer)
{
    rig_work_begin(rig, work, answer);
    while (strcmp(rig_sql(rig, sleeper_runs), "1") != 0) {
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
        assert_false(answer->done);
    }
}

static void cancelled_work_fails_and_holds_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {take(ten_of_a), plain("sleep", "select pg_sleep(60)")};
    struct db_work work = work_of(DB_PREPARE, gid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    rig->port->cancel(rig->port->self, &answer);
    rig_until(rig, &answer.done, "the cancelled work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    assert_string_equal(prepared_count(rig), "0");
    /* The cancel hits nobody else. */
    for (int i = 0; i < 10; i++) {
        answer = (struct rig_answer){0};
        work.statement_count = 1;
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, gid, false), DB_FINISHED);
    }
}

static void work_that_waits_for_a_session_is_cancelled_without_running(void **state)
{
    struct rig *rig = *state;
    struct rig_answer first = {0}, second = {0}, third = {0};
    struct db_statement sleep = plain("sleep", "select pg_sleep(60)");
    struct db_work works[] = {work_of(DB_READ_ONLY, NULL, &sleep, 1),
                              work_of(DB_READ_ONLY, NULL, &sleep, 1),
                              work_of(DB_PREPARE, gid, &sleep, 1)};
    rig_work_begin(rig, &works[0], &first);
    rig_work_begin(rig, &works[1], &second);
    rig_work_begin(rig, &works[2], &third);
    rig->in_call = true;
    rig->port->cancel(rig->port->self, &third);
    rig->in_call = false;
    rig_until(rig, &third.done, "the queued work is answered");
    assert_int_equal(third.outcome, DB_FAILED);
    assert_string_equal(third.sqlstate, "57014");
    assert_false(first.done);
    rig->port->cancel(rig->port->self, &first);
    rig->port->cancel(rig->port->self, &second);
    rig_until(rig, &first.done, "the first is answered");
    rig_until(rig, &second.done, "the second is answered");
    assert_int_equal(first.outcome, DB_FAILED);
}

static void
a_backend_killed_before_prepare_leaves_the_outcome_lost_and_nothing_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, scan = {0};
    struct db_statement statements[] = {take(ten_of_a), plain("sleep", "select pg_sleep(60)")};
    struct db_work work = work_of(DB_PREPARE, gid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_LOST);
    assert_string_equal(answer.reason, "database connection lost");
    assert_non_null(strstr(answer.detail, "terminating connection"));
    rig_scan(rig, &scan);
    assert_true(scan.ok);
    assert_int_equal(scan.count, 0);
    assert_int_equal(rig->downs, 0);
    for (int i = 0; i < 4; i++) { /* the lost session comes back */
        answer = (struct rig_answer){0};
        work.statement_count = 1;
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, gid, false), DB_FINISHED);
    }
}

static void a_lost_one_phase_commit_is_found_out_by_lookup(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {plain("give", "update rig set n = n + 1 where id = 'a'"),
                                        plain("sleep", "select pg_sleep(60)")};
    struct db_work work = work_of(DB_ONE_PHASE, gtrid, statements, 2);
    rig_sql(rig, "delete from troth.barrier");
    begin_sleeping(rig, &work, &answer);
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_LOST);
    assert_int_equal(rig_lookup(rig, gtrid), DB_NOT_FOUND);
    assert_string_equal(balance(rig), "100");
}

static void work_lost_before_its_commit_was_sent_has_certainly_failed(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    /* The expectation keeps COMMIT back for a second round trip. */
    struct db_statement statements[] = {take(ten_of_a), plain("sleep", "select pg_sleep(60)")};
    struct db_work work = work_of(DB_ONE_PHASE, gtrid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.reason, "database connection lost");
    assert_string_equal(balance(rig), "100");
}

/* ---- scan, fence, down and up -------------------------------------------------------------- */

static void a_scan_lists_foreign_transactions_too_with_their_xids(void **state)
{
    struct rig *rig = *state;
    struct rig_answer scan = {0}, answer = {0};
    struct db_statement statement = take(ten_of_a);
    struct db_work work = work_of(DB_PREPARE, gid, &statement, 1);
    rig_work(rig, &work, &answer);
    rig_sql(rig, "begin; insert into rig values ('c', 1); prepare transaction 'somebody else''s'");
    rig_scan(rig, &scan);
    assert_true(scan.ok);
    assert_int_equal(scan.slots, atoi(rig_sql(rig, "show max_prepared_transactions")));
    assert_int_equal(scan.count, 2);
    int ours = strcmp(scan.prepared[0].gid, gid) == 0 ? 0 : 1;
    assert_string_equal(scan.prepared[ours].gid, gid);
    assert_string_equal(scan.prepared[!ours].gid, "somebody else's");
    assert_true(scan.prepared[ours].xid == answer.xid);
    int64_t wall_us =
        strtoll(rig_sql(rig, "select (extract(epoch from now()) * 1000000)::bigint"), NULL, 10);
    assert_true(scan.prepared[ours].prepared_at_us <= wall_us);
    assert_true(scan.prepared[ours].prepared_at_us > wall_us - 60 * 1000000);
    rig_sql(rig, "rollback prepared 'somebody else''s'");
    assert_int_equal(rig_finish(rig, gid, true), DB_FINISHED);
}

static void sessions_of_an_older_process_are_ended_before_up(void **state)
{
    struct rig *rig = *state;
    char conninfo[512];
    snprintf(conninfo, sizeof(conninfo), "%s application_name=troth:rig:payments:0123456789ab:1",
             rig->conninfo);
    rig_stop(rig);
    PGconn *older = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(older), CONNECTION_OK);
    PQclear(PQexec(older, "begin; update rig set n = 0 where id = 'a'"));
    rig_start(rig, 2);
    rig_until_count(rig, &rig->ups, 2, "the next process's port is up");
    PQclear(PQexec(older, "prepare transaction 'troth.rig.c1.1.1.0'"));
    assert_int_equal(PQstatus(older), CONNECTION_BAD);
    PQfinish(older);
    assert_string_equal(prepared_count(rig), "0");
    assert_string_equal(balance(rig), "100");
}

static void when_the_server_stops_all_is_answered_and_it_comes_up_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, refused = {0}, after = {0};
    struct db_statement statements[] = {take(ten_of_a), plain("sleep", "select pg_sleep(60)")};
    struct db_work work = work_of(DB_PREPARE, gid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    PQfinish(rig->side);
    shop_cluster("cluster_stop", PAYMENTS);
    rig_until_count(rig, &rig->downs, 1, "the port is down");
    assert_true(answer.done);
    assert_int_equal(answer.outcome, DB_LOST);
    rig_work(rig, &work, &refused);
    assert_int_equal(refused.outcome, DB_FAILED);
    assert_non_null(strstr(refused.reason, "can't be used"));
    assert_int_equal(rig_finish(rig, gid, true), DB_UNFINISHED);
    assert_int_equal(rig_status(rig, 1000), DB_STATUS_ERROR);
    assert_int_equal(rig_lookup(rig, gtrid), DB_FOUND_ERROR);
    shop_cluster("cluster_start", PAYMENTS);
    rig_until_count(rig, &rig->ups, 2, "the port is up again");
    rig->side = PQconnectdb(rig->conninfo);
    assert_string_equal(prepared_count(rig), "0");
    work.statement_count = 1;
    rig_work(rig, &work, &after);
    assert_int_equal(after.outcome, DB_PREPARED);
    assert_int_equal(rig_finish(rig, gid, true), DB_FINISHED);
    assert_string_equal(balance(rig), "90");
}

static void freeing_the_port_with_work_under_way_is_clean(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answers[4] = {{0}};
    struct db_statement statements[] = {take(ten_of_a), plain("sleep", "select pg_sleep(60)")};
    struct db_work work = work_of(DB_READ_ONLY, NULL, statements + 1, 1);
    for (int i = 0; i < 4; i++)
        rig_work_begin(rig, &work, &answers[i]);
    rig->port->finish(rig->port->self, gid, true, &answers[0]);
    rig->port->scan(rig->port->self, &answers[0]);
    rig_stop(rig);
    assert_false(answers[0].done);
    rig_sql(rig, end_sleeper);
    rig_start(rig, 2);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_branch_is_prepared_then_committed_and_its_xid_proves_it),
        WITH_RIG(a_branch_rolled_back_leaves_nothing_and_its_xid_says_aborted),
        WITH_RIG(a_branch_that_wrote_nothing_has_an_xid_too),
        WITH_RIG(ending_a_gid_that_is_not_there_is_missing_not_success),
        WITH_RIG(the_status_of_an_xid_of_the_future_is_unknown),
        WITH_RIG(many_branches_at_once_are_each_answered),
        WITH_RIG(a_statement_that_fails_leaves_nothing_prepared),
        WITH_RIG(a_failed_expectation_is_told_with_its_reason),
        WITH_RIG(the_first_failure_counts_when_an_sql_error_follows_an_expectation),
        WITH_RIG(an_unknown_type_fails_the_branch_alone),
        WITH_RIG(a_parameter_has_the_type_that_was_declared),
        WITH_RIG(waiting_for_a_lock_ends_at_the_lock_timeout),
        WITH_RIG(a_plan_that_became_invalid_fails_one_branch_and_then_works),
        WITH_RIG(one_phase_commits_with_its_barrier_row),
        WITH_RIG(one_phase_with_a_failed_expectation_commits_nothing),
        WITH_RIG(read_only_work_can_read_and_not_write),
        WITH_RIG(old_barrier_rows_are_deleted_and_young_ones_stay),
        WITH_RIG(values_become_json_by_their_types),
        WITH_RIG(a_row_that_is_not_there_is_null_and_no_rows_are_an_empty_array),
        WITH_RIG(cancelled_work_fails_and_holds_nothing),
        WITH_RIG(work_that_waits_for_a_session_is_cancelled_without_running),
        WITH_RIG(a_backend_killed_before_prepare_leaves_the_outcome_lost_and_nothing_prepared),
        WITH_RIG(a_lost_one_phase_commit_is_found_out_by_lookup),
        WITH_RIG(work_lost_before_its_commit_was_sent_has_certainly_failed),
        WITH_RIG(a_scan_lists_foreign_transactions_too_with_their_xids),
        WITH_RIG(sessions_of_an_older_process_are_ended_before_up),
        WITH_RIG(when_the_server_stops_all_is_answered_and_it_comes_up_again),
        WITH_RIG(freeing_the_port_with_work_under_way_is_clean),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
