/* The database port against a real PostgreSQL: what it says is what happened. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/pg_rig.h"

/* ---- two phases ---------------------------------------------------------------------------- */

static void a_branch_is_prepared_then_committed_and_its_xid_proves_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_int_equal(answer.failed_statement, -1);
    assert_true(answer.xid > 0);
    assert_string_equal(rig_sql(rig, "select gid from pg_prepared_xacts"), rig_gid);
    assert_string_equal(rig_balance(rig), "100");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_IN_PROGRESS);
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "90");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_COMMITTED);
}

static void a_branch_rolled_back_leaves_nothing_and_its_xid_says_aborted(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "100");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_ABORTED);
}

static void a_branch_that_wrote_nothing_has_an_xid_too(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_plain("look", "select n from rig");
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_true(answer.xid > 0);
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
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
    struct db_statement statement = rig_take(one_of_b);
    struct db_work works[MANY];
    char gids[MANY][40];
    for (int i = 0; i < MANY; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.8.%d.0", i + 1);
        /* They must not wait for each other's locks: only every tenth takes something. */
        works[i] = rig_work_of(DB_PREPARE, gids[i], &statement, i % 40 == 0);
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    assert_string_equal(rig_prepared_count(rig), "40");
    for (int i = 0; i < MANY; i++)
        assert_int_equal(rig_finish(rig, gids[i], i % 2 == 0), DB_FINISHED);
    assert_string_equal(rig_prepared_count(rig), "0");
    free(answers);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void a_statement_that_fails_leaves_nothing_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, again = {0};
    struct db_statement statements[] = {rig_take(rig_ten_of_a),
                                        rig_plain("twice", "insert into rig values ('a', 1)"),
                                        rig_plain("never", "update rig set n = 0")};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 3);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(answer.sqlstate, "23505");
    assert_non_null(strstr(answer.reason, "duplicate key"));
    assert_non_null(strstr(answer.detail, "already exists"));
    assert_string_equal(rig_prepared_count(rig), "0");
    /* The sessions are clean: the same work without the mistake goes through on each. */
    work.statement_count = 1;
    for (int i = 0; i < 4; i++) {
        again = (struct rig_answer){0};
        rig_work(rig, &work, &again);
        assert_int_equal(again.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
}

static void a_failed_expectation_is_told_with_its_reason(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {rig_plain("look", "select 1"), rig_take(rig_thousand_of_a)};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 2);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(answer.reason, "insufficient_funds");
    assert_string_equal(answer.sqlstate, "");
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
}

static void the_first_failure_counts_when_an_sql_error_follows_an_expectation(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {rig_take(rig_thousand_of_a),
                                        rig_plain("divide", "select 1 / 0")};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 2);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 0);
    assert_string_equal(answer.reason, "insufficient_funds");
    assert_string_equal(rig_prepared_count(rig), "0");
}

static void what_postgresql_refuses_to_prepare_fails_and_leaves_a_clean_session(void **state)
{
    struct rig *rig = *state;
    struct db_statement statement = rig_plain("temporary", "create temp table rig_temporary ()");
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    for (int i = 0; i < 3; i++) {
        struct rig_answer answer = {0};
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_int_equal(answer.failed_statement, -1);
        assert_string_equal(answer.sqlstate, "0A000");
    }
    assert_string_equal(rig_prepared_count(rig), "0");
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
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 0);
    assert_non_null(strstr(answer.reason, "no_such_type"));
    assert_string_equal(rig_prepared_count(rig), "0");
}

static void a_parameter_has_the_type_that_was_declared(void **state)
{
    /* 0.5 as numeric against a bigint column: inferred as bigint it would be an error. */
    static const char *const values[] = {"0.5", "a"};
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(values);
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, &statement, 1);
    rig_sql(rig, "delete from troth.barrier");
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.reason, "");
    assert_int_equal(answer.outcome, DB_COMMITTED);
}

static void waiting_for_a_lock_ends_at_the_lock_timeout(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
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
    struct db_statement statement = rig_plain("all", "select * from rig where id = 'a'");
    statement.shape = DB_ROW;
    struct db_work work = rig_work_of(DB_READ_ONLY, NULL, &statement, 1);
    int failed = 0;
    for (int i = 0; i < 4; i++) {
        struct rig_answer answer = {.result_count = 1};
        rig_work(rig, &work, &answer);
        failed += answer.outcome == DB_FAILED;
        assert_int_equal(answer.stale, answer.outcome == DB_FAILED);
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
        rig_plain("give", "update rig set n = n + 1 where id = 'a' returning n");
    statement.shape = DB_ROW;
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, &statement, 1);
    rig_sql(rig, "delete from troth.barrier");
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(answer.results[0], "{\"n\":101}");
    assert_string_equal(rig_balance(rig), "101");
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FOUND);
    /* The row also keeps it from being done twice. */
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(rig_balance(rig), "101");
}

/* What is told as done must survive the server, and may wait for more than its own disk. */
static void one_phase_waits_for_the_disk_whatever_the_default_of_the_database(void **state)
{
    static const char *const defaults[][2] = {{"off", "on"}, {"local", "local"}};
    struct rig *rig = *state;
    char sql[160], expected[80];
    struct db_statement statement = rig_plain("ask", "show synchronous_commit");
    statement.shape = DB_ROW;
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {.result_count = 1};
        struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, &statement, 1);
        snprintf(sql, sizeof(sql), "alter database %s set synchronous_commit = %s", PQdb(rig->side),
                 defaults[i][0]);
        rig_sql(rig, "delete from troth.barrier");
        rig_sql(rig, sql);
        rig_stop(rig);
        rig->ups = 0;
        rig_start(rig, 2);
        rig_until_count(rig, &rig->ups, 1, "the port is up again");
        snprintf(sql, sizeof(sql), "alter database %s reset synchronous_commit", PQdb(rig->side));
        rig_sql(rig, sql);
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_COMMITTED);
        snprintf(expected, sizeof(expected), "{\"synchronous_commit\":\"%s\"}", defaults[i][1]);
        assert_string_equal(answer.results[0], expected);
    }
}

static void one_phase_with_a_failed_expectation_commits_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {rig_take(rig_ten_of_a), rig_take(rig_thousand_of_a)};
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, statements, 2);
    rig_sql(rig, "delete from troth.barrier");
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(answer.reason, "insufficient_funds");
    assert_string_equal(rig_balance(rig), "100");
    answer = (struct rig_answer){0};
    work.statement_count = 1;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(rig_balance(rig), "90");
}

static void a_commit_that_comes_after_its_lookup_said_no_fails(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, &statement, 1);
    rig_sql(rig, "delete from troth.barrier");
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(rig_balance(rig), "100");
}

static void read_only_work_can_read_and_not_write(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.result_count = 1};
    struct db_statement read = rig_plain("names", "select id from rig order by id");
    read.shape = DB_ROWS;
    struct db_work work = rig_work_of(DB_READ_ONLY, NULL, &read, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(answer.results[0], "[{\"id\":\"a\"},{\"id\":\"b\"}]");
    struct db_statement write = rig_take(rig_ten_of_a);
    work = rig_work_of(DB_READ_ONLY, NULL, &write, 1);
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "25006");
}

static const char key[] = "rig.c1.7.1/give";

static struct db_work keeping(const struct db_statement *statement)
{
    struct db_work work = rig_work_of(DB_ONE_PHASE, key, statement, 1);
    work.keeps_result = true;
    return work;
}

static void work_that_keeps_its_result_is_found_with_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answers[3] = {{.result_count = 1}};
    struct db_statement statement =
        rig_plain("give", "update rig set n = n + 1 where id = 'a' returning n");
    statement.shape = DB_ROW;
    struct db_work work = keeping(&statement);
    rig_look(rig, key, &answers[1]);
    assert_int_equal(answers[1].found, DB_NOT_FOUND);
    rig_work(rig, &work, &answers[0]);
    assert_int_equal(answers[0].outcome, DB_COMMITTED);
    assert_string_equal(answers[0].results[0], "{\"n\":101}");
    answers[1] = (struct rig_answer){0};
    rig_look(rig, key, &answers[1]);
    assert_int_equal(answers[1].found, DB_FOUND);
    assert_string_equal(answers[1].kept, "{\"n\":101}");
    assert_int_equal(rig_lookup(rig, key), DB_FOUND);
    rig_work(rig, &work, &answers[2]);
    assert_int_equal(answers[2].outcome, DB_FAILED);
    assert_true(answers[2].duplicate);
    assert_string_equal(rig_balance(rig), "101");
}

/* What a saga can't go on from is rolled back: as done it could be neither used nor undone. */
static void work_whose_result_is_no_json_is_not_done(void **state)
{
    static const char *const values[] = {
        "'{\"a\": 1, \"a\": 2}'::json",
        "'\"\\u0000\"'::json",
        "(repeat('[', 70) || repeat(']', 70))::jsonb",
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof(values) / sizeof(values[0]); i++) {
        struct rig_answer answer = {.result_count = 1};
        char sql[160];
        snprintf(sql, sizeof(sql), "update rig set n = n + 1 where id = 'a' returning %s as j",
                 values[i]);
        struct db_statement statement = rig_plain(sql, sql);
        statement.shape = DB_ROW;
        struct db_work work = keeping(&statement);
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_string_equal(answer.sqlstate, "22032");
        assert_string_equal(rig_balance(rig), "100");
        assert_int_equal(rig_lookup(rig, key), DB_FENCED);
        rig_sql(rig, "delete from troth.barrier");
    }
}

/* Another unique key that fails is no duplicate. */
static void only_its_own_row_makes_work_a_duplicate(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_plain("again", "insert into rig values ('a', 1)");
    struct db_work work = keeping(&statement);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "23505");
    assert_false(answer.duplicate);
}

static const struct pg_worker *busy_worker(const struct rig *rig)
{
    for (int i = 0; i < rig->pg->worker_count; i++)
        if (rig->pg->workers[i].work)
            return &rig->pg->workers[i];
    fail_msg("no worker has work");
    return NULL;
}

static void work_without_a_result_or_an_expectation_takes_one_round_trip(void **state)
{
    struct rig *rig = *state;
    struct db_statement statements[] = {
        rig_plain("give", "update rig set n = n + 1 where id = 'a'"),
        rig_plain("give", "update rig set n = n + 1 where id = 'a'")};
    statements[1].expect_rows = 1;
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {0}, known = {0};
        struct db_work work = keeping(&statements[i]);
        work.gtrid = "rig.c1.7.1/first"; /* the types are known after it */
        rig_work(rig, &work, &known);
        rig_sql(rig, "delete from troth.barrier");
        work.gtrid = key;
        rig_work_begin(rig, &work, &answer);
        assert_int_equal(busy_worker(rig)->decisive, i == 0); /* COMMIT was sent with the rest */
        rig_until(rig, &answer.done, "the work is answered");
        assert_int_equal(answer.outcome, DB_COMMITTED);
        rig_sql(rig, "delete from troth.barrier");
    }
}

/* The default of a column tells how the row was inserted. */
static void a_fence_waits_for_the_disk_whatever_the_default_of_the_database(void **state)
{
    struct rig *rig = *state;
    char sql[160];
    snprintf(sql, sizeof(sql), "alter database %s set synchronous_commit = off", PQdb(rig->side));
    rig_sql(rig, sql);
    rig_sql(rig, "alter table troth.barrier alter column result set default"
                 " current_setting('synchronous_commit')");
    rig_stop(rig);
    rig->ups = 0;
    rig_start(rig, 2);
    rig_until_count(rig, &rig->ups, 1, "the port is up again");
    enum db_found found = rig_lookup(rig, key);
    snprintf(sql, sizeof(sql), "alter database %s reset synchronous_commit", PQdb(rig->side));
    rig_sql(rig, sql);
    rig_sql(rig, "alter table troth.barrier alter column result drop default");
    assert_int_equal(found, DB_FENCED);
    assert_string_equal(rig_sql(rig, "select result from troth.barrier"), "on");
}

static void old_barrier_rows_are_deleted_and_young_ones_stay(void **state)
{
    struct rig *rig = *state;
    rig_sql(rig, "delete from troth.barrier; insert into troth.barrier values"
                 " ('old', 'one-phase', now() - interval '8 days'), ('young', 'one-phase', now()),"
                 " ('old/step', 'done', now() - interval '8 days'),"
                 " ('old/other', 'none', now() - interval '8 days'),"
                 " ('young/step', 'done', now() - interval '6 days')");
    rig->port->clean(rig->port->self, UINT64_C(7) * 24 * 3600 * 1000000);
    assert_int_equal(rig_lookup(rig, "young"), DB_FOUND); /* asked after it, on the same session */
    assert_string_equal(rig_sql(rig, "select string_agg(gtrid, ' ' order by gtrid)"
                                     " from troth.barrier"),
                        "young young/step");
    assert_int_equal(rig_lookup(rig, "old"), DB_FENCED);
}

/* ---- results ------------------------------------------------------------------------------- */

static void values_become_json_by_their_types(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {.result_count = 1};
    struct db_statement statement = rig_plain(
        "types", "select 1::int2 a, -2::int4 b, 9223372036854775807::int8 c,"
                 " 12345678901234567890.10::numeric d, 'NaN'::numeric e, 0.1::float8 f,"
                 " '-Infinity'::float8 g, true h, false i, null::int4 j, 'x\"y\n'::text k,"
                 " '{\"a\": [1, 2.50]}'::json l, '{\"b\":null}'::jsonb m,"
                 " date '2026-11-21' n, '\\x00ff'::bytea o, array[1,2] p, 7 a,"
                 " interval '1 day' q, 1e20::float8 r");
    statement.shape = DB_ROW;
    struct db_work work = rig_work_of(DB_READ_ONLY, NULL, &statement, 1);
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
    struct db_statement statements[] = {rig_plain("row", "select id from rig where id = 'z'"),
                                        rig_plain("rows", "select id from rig where id = 'z'"),
                                        rig_plain("none", "select id from rig where id = 'z'")};
    statements[0].shape = DB_ROW;
    statements[1].shape = DB_ROWS;
    statements[1].call = 1;
    statements[2].call = 2;
    struct db_work work = rig_work_of(DB_READ_ONLY, NULL, statements, 3);
    work.call_count = 3;
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.results[0], "null");
    assert_string_equal(answer.results[1], "[]");
    assert_string_equal(answer.results[2], "");
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

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
        WITH_RIG(what_postgresql_refuses_to_prepare_fails_and_leaves_a_clean_session),
        WITH_RIG(an_unknown_type_fails_the_branch_alone),
        WITH_RIG(a_parameter_has_the_type_that_was_declared),
        WITH_RIG(waiting_for_a_lock_ends_at_the_lock_timeout),
        WITH_RIG(a_plan_that_became_invalid_fails_one_branch_and_then_works),
        WITH_RIG(one_phase_commits_with_its_barrier_row),
        WITH_RIG(one_phase_waits_for_the_disk_whatever_the_default_of_the_database),
        WITH_RIG(one_phase_with_a_failed_expectation_commits_nothing),
        WITH_RIG(a_commit_that_comes_after_its_lookup_said_no_fails),
        WITH_RIG(read_only_work_can_read_and_not_write),
        WITH_RIG(work_that_keeps_its_result_is_found_with_it),
        WITH_RIG(work_whose_result_is_no_json_is_not_done),
        WITH_RIG(only_its_own_row_makes_work_a_duplicate),
        WITH_RIG(work_without_a_result_or_an_expectation_takes_one_round_trip),
        WITH_RIG(a_fence_waits_for_the_disk_whatever_the_default_of_the_database),
        WITH_RIG(old_barrier_rows_are_deleted_and_young_ones_stay),
        WITH_RIG(values_become_json_by_their_types),
        WITH_RIG(a_row_that_is_not_there_is_null_and_no_rows_are_an_empty_array),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
