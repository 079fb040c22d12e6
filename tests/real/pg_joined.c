/* Work that is looked at by the server: what comes of it is what would have come of it in two round
 * trips, and nothing is done that should not be. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/pg_rig.h"

static const char key[] = "rig.c1.7.1/charge";
static const char barrier_rows[] = "select count(*) from troth.barrier";

static struct db_statement change(const char *sql, int64_t expect_rows)
{
    struct db_statement statement = rig_plain(sql, sql);
    statement.form = DB_CHANGE;
    statement.expect_rows = expect_rows;
    statement.otherwise = "insufficient_funds";
    return statement;
}

static struct db_statement returning(const char *sql, int64_t expect_rows)
{
    struct db_statement statement = change(sql, expect_rows);
    statement.form = DB_RETURNS;
    statement.shape = DB_ROW;
    return statement;
}

static struct db_work step_of(const struct db_statement *statements, int count)
{
    struct db_work work = rig_work_of(DB_ONE_PHASE, key, statements, count);
    work.keeps_result = true;
    return work;
}

/* The answer, and whether the commit went along with the work, on a worker or a lane. */
static bool run(struct rig *rig, const struct db_work *work, struct rig_answer *answer)
{
    *answer = (struct rig_answer){.result_count = 1};
    rig_work_begin(rig, work, answer);
    bool along = !list_empty(&rig->pg->lanes.waiting);
    for (int i = 0; i < rig->pg->worker_count; i++)
        along = along || (rig->pg->workers[i].work && rig->pg->workers[i].decisive);
    rig_until(rig, &answer->done, "the work is answered");
    return along;
}

/* Types are asked for once; after that work is sent as a whole. */
static void learn_types(struct rig *rig)
{
    struct rig_answer answer;
    struct db_statement nothing = change("update rig set n = n where false", 0);
    struct db_work work = step_of(&nothing, 1);
    work.gtrid = "rig.c1.7.1/types";
    run(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    rig_sql(rig, "delete from troth.barrier");
}

static int setup(void **state)
{
    if (rig_setup(state) != 0)
        return -1;
    rig_sql(*state, "delete from troth.barrier");
    learn_types(*state);
    return 0;
}

static void nothing_remains(struct rig *rig)
{
    assert_string_equal(rig_balance(rig), "100");
    assert_string_equal(rig_sql(rig, barrier_rows), "0");
}

/* ---- expectations ---------------------------------------------------------------------------- */

static void what_is_as_expected_is_committed_in_one_round_trip(void **state)
{
    static const char *const kinds[] = {"one-phase", "done"};
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statement = rig_take(rig_ten_of_a);
    statement.form = DB_CHANGE;
    for (int i = 0; i < 2; i++) {
        struct db_work work = step_of(&statement, 1);
        work.keeps_result = i == 1;
        if (i == 0)
            run(rig, &work, &answer); /* its types */
        rig_sql(rig, "delete from troth.barrier; update rig set n = 100");
        assert_true(run(rig, &work, &answer));
        assert_int_equal(answer.outcome, DB_COMMITTED);
        assert_int_equal(answer.failed_statement, -1);
        assert_string_equal(rig_balance(rig), "90");
        assert_string_equal(rig_sql(rig, "select kind || coalesce(result, '') from troth.barrier"),
                            kinds[i]);
    }
}

static void an_expectation_that_fails_leaves_nothing_wherever_it_stands(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    const struct db_statement give = change("update rig set n = n + 1 where id = 'a'", -1);
    const struct db_statement one = change("update rig set n = n + 1 where id = 'b'", 1);
    const struct db_statement none = change("update rig set n = n - 1000 where n >= 1000 -- no", 1);
    const struct db_statement both = change("update rig set n = n - 1", 1);
    const struct {
        struct db_statement statements[3];
        int count, failed;
        bool joined;
    } cases[] = {
        {{none}, 1, 0, true},
        {{both}, 1, 0, true},
        {{give, none}, 2, 1, true},
        {{give, both}, 2, 1, true},
        {{one, none}, 2, 1, false},
        {{none, give}, 2, 0, false},
        {{give, none, one}, 3, 1, false},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct db_work work = step_of(cases[i].statements, cases[i].count);
        assert_int_equal(run(rig, &work, &answer), cases[i].joined);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_int_equal(answer.failed_statement, cases[i].failed);
        assert_string_equal(answer.reason, "insufficient_funds");
        assert_string_equal(answer.sqlstate, "");
        assert_false(answer.duplicate);
        nothing_remains(rig);
    }
}

static void an_expectation_of_no_row_or_of_several_is_met_exactly(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    const struct db_statement statements[] = {
        change("delete from rig where id = 'z'", 0),
        change("update rig set n = n + 1", 2),
        change("insert into rig values ('c', 1), ('a', 1) on conflict do nothing", 1),
    };
    for (size_t i = 0; i < sizeof(statements) / sizeof(statements[0]); i++) {
        struct db_work work = step_of(&statements[i], 1);
        assert_true(run(rig, &work, &answer));
        assert_string_equal(answer.reason, "");
        assert_int_equal(answer.outcome, DB_COMMITTED);
        rig_sql(rig, "delete from troth.barrier");
    }
    assert_string_equal(rig_sql(rig, "select string_agg(id || n, ' ' order by id) from rig"),
                        "a101 b101 c1");
}

/* In front of it something of which nothing is known: then BEGIN and COMMIT stay. */
static void other_statements_may_stand_before_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statements[] = {rig_plain("lock", "lock table rig in share mode"),
                                        change("update rig set n = n - 10 where id = 'a'", 1)};
    struct db_work work = step_of(statements, 2);
    assert_true(run(rig, &work, &answer));
    assert_string_equal(answer.reason, "");
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(rig_balance(rig), "90");
    rig_sql(rig, "update rig set n = 100; delete from troth.barrier");
    statements[1] = change("update rig set n = n - 10", 1);
    run(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.reason, "insufficient_funds");
    nothing_remains(rig);
}

/* ---- errors of its own, and of the work ------------------------------------------------------ */

static void what_was_done_before_is_a_duplicate_and_not_done_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statement = change("update rig set n = n - 10 where id = 'a'", 1);
    struct db_work work = step_of(&statement, 1);
    run(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    for (int i = 0; i < 3; i++) {
        run(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_true(answer.duplicate);
        assert_int_equal(answer.failed_statement, -1);
        assert_string_equal(rig_balance(rig), "90");
    }
    assert_int_equal(rig_lookup(rig, key), DB_FOUND);
}

static void what_was_fenced_is_not_done(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statement = change("update rig set n = n - 10 where id = 'a'", 1);
    struct db_work work = step_of(&statement, 1);
    assert_int_equal(rig_lookup(rig, key), DB_FENCED);
    run(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_true(answer.duplicate);
    assert_string_equal(rig_balance(rig), "100");
    assert_int_equal(rig_lookup(rig, key), DB_FENCED);
}

/* The same SQLSTATE, of the work: also in a table of the same name, with a column of that name. */
static void errors_of_the_work_are_not_taken_for_those_of_its_row(void **state)
{
    static const struct {
        const char *sql, *sqlstate;
    } cases[] = {
        {"insert into rig values ('c', null)", "23502"},
        {"insert into barrier values (1, null)", "23502"},
        {"insert into rig values ('a', 1)", "23505"},
        {"insert into barrier values (7, 'x')", "23505"},
        {"update rig set n = n - 1000 where id = 'a'", "23514"},
        {"update rig set n = n / 0", "22012"},
        {"update rig set n = (select n from rig)", "21000"},
        {"update rig set n = 'x' where id = 'a'", "22P02"},
        {"update nowhere set n = 1", "42P01"},
        {"update rig set n = 1 where", "42601"},
    };
    struct rig *rig = *state;
    struct rig_answer answer;
    rig_sql(rig,
            "drop table if exists barrier; create table barrier"
            " (gtrid int primary key, kind text not null); insert into barrier values (7, '')");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct db_statement statement = change(cases[i].sql, 1);
        struct db_work work = step_of(&statement, 1);
        run(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_string_equal(answer.sqlstate, cases[i].sqlstate);
        assert_int_equal(answer.failed_statement, 0);
        assert_false(answer.duplicate);
        assert_false(answer.stale);
        nothing_remains(rig);
    }
    rig_sql(rig, "drop table barrier");
}

static void a_commit_that_fails_leaves_nothing_and_a_session_that_works(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement good = change("update rig set n = n - 10 where id = 'a'", 1);
    struct db_statement bad = change("insert into rig_child values ('z')", 1);
    rig_sql(rig, "create table rig_child (id text references rig deferrable initially deferred)");
    for (int i = 0; i < 4; i++) {
        struct db_work work = step_of(&bad, 1);
        run(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_string_equal(answer.sqlstate, "23503");
        assert_string_equal(rig_sql(rig, "select count(*) from rig_child"), "0");
        nothing_remains(rig);
        work = step_of(&good, 1);
        run(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_COMMITTED);
        assert_string_equal(rig_balance(rig), "90");
        rig_sql(rig, "delete from troth.barrier; update rig set n = 100");
    }
    assert_int_equal(rig->downs, 0);
    rig_sql(rig, "drop table rig_child");
}

/* ---- what the server does not take ----------------------------------------------------------- */

static void a_rule_that_keeps_it_from_being_joined_changes_nothing_else(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statement = change("update rig set n = n - 1 where id = 'a'", 1);
    struct db_work work = step_of(&statement, 1);
    bool joined = true;
    rig_sql(rig,
            "create table rig_notes (id text);"
            " create rule note as on update to rig do also insert into rig_notes values ('x')");
    for (int i = 0; i < 5; i++) {
        joined = run(rig, &work, &answer);
        assert_string_equal(answer.reason, "");
        assert_int_equal(answer.outcome, DB_COMMITTED);
        run(rig, &work, &answer);
        assert_true(answer.duplicate);
        rig_sql(rig, "delete from troth.barrier");
    }
    assert_false(joined); /* it is not tried for ever */
    assert_string_equal(rig_balance(rig), "95");
    assert_string_equal(rig_sql(rig, "select count(*) from rig_notes"), "5");
    rig_sql(rig, "drop rule note on rig; drop table rig_notes");
}

/* ---- results --------------------------------------------------------------------------------- */

/* Without the server's help first, when nothing is known of the columns, then with it. */
static void results_are_the_same_byte_for_byte(void **state)
{
    static const struct {
        const char *sql;
        bool joined;
    } cases[] = {
        {"update rig set n = n + 1 where id = 'a' returning n", true},
        {"update rig set n = n + 1 where id = 'z' returning n", true},
        {"update rig set n = n + 1 where id = 'a' returning 7::int2 a, -2147483648 b,"
         " 9223372036854775807 c, true d, false e, null::bool f, null::int g,"
         " 'A0EEBC99-9C0B-4EF8-BB6D-6BB9BD380A11'::uuid h, null::uuid i",
         true},
        {"update rig set n = n + 1 where id = 'a' returning n as \"it's\", n as \"a\"\"\\b\","
         " n as \"\u20ac\t\" -- all of it",
         true},
        {"insert into rig values ('p', 1), ('q', 2), ('r', 3) returning n", true},
        {"update rig set n = n + 1 where id = 'a' returning n, n", false},
        {"update rig set n = n + 1 where id = 'a' returning id", false},
        {"update rig set n = n + 1 where id = 'a' returning 1.50 as m", false},
        {"update rig set n = n + 1 where id = 'a' returning '{\"a\": [1]}'::json j", false},
        {"update rig set n = n + 1 where id = 'a' returning now() is null x, date '2026-11-21' d",
         false},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct rig_answer apart, joined;
        struct db_statement statement = returning(cases[i].sql, -1);
        struct db_work work = step_of(&statement, 1);
        run(rig, &work, &apart);
        assert_string_equal(apart.reason, "");
        assert_int_equal(apart.outcome, DB_COMMITTED);
        assert_true(strlen(apart.results[0]) > 0);
        rig_sql(rig, "delete from troth.barrier; delete from rig where id > 'b';"
                     " update rig set n = 100");
        assert_int_equal(run(rig, &work, &joined), cases[i].joined);
        assert_int_equal(joined.outcome, DB_COMMITTED);
        assert_string_equal(joined.results[0], apart.results[0]);
        assert_string_equal(rig_sql(rig, "select result from troth.barrier"), apart.results[0]);
        rig_sql(rig, "delete from rig where id > 'b'");
        run(rig, &work, &joined);
        assert_true(joined.duplicate);
        rig_sql(rig, "delete from troth.barrier; delete from rig where id > 'b';"
                     " update rig set n = 100");
    }
}

static void a_result_and_an_expectation_go_together(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statement = returning("update rig set n = n - 60 where n >= 60 and id = 'a'"
                                              " returning n",
                                              1);
    struct db_work work = step_of(&statement, 1);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(run(rig, &work, &answer), i == 1);
        assert_int_equal(answer.outcome, DB_COMMITTED);
        assert_string_equal(answer.results[0], "{\"n\":40}");
        rig_sql(rig, "delete from troth.barrier");
        run(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_string_equal(answer.reason, "insufficient_funds");
        rig_sql(rig, "update rig set n = 100 where id = 'a'");
        nothing_remains(rig);
        /* What was learned from work that failed holds, too: begin anew. */
        if (i == 0)
            run(rig, &work, &answer);
        rig_sql(rig, "delete from troth.barrier; update rig set n = 100");
    }
}

static void a_column_that_was_given_another_type_is_told_in_that(void **state)
{
    static const struct {
        const char *type, *result;
    } types[] = {{"text", "{\"m\":\"7\"}"},
                 {"int", "{\"m\":7}"},
                 {"numeric(9,2)", "{\"m\":7.00}"},
                 {"float8", "{\"m\":7}"},
                 {"bigint", "{\"m\":7}"}};
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement statement = returning("update rig set n = n where id = 'a' returning m", 1);
    struct db_work work = step_of(&statement, 1);
    rig_sql(rig, "alter table rig add m int default 7");
    for (size_t i = 0; i < sizeof(types) / sizeof(types[0]); i++) {
        char sql[120];
        for (int j = 0; j < 3; j++) {
            do {
                run(rig, &work, &answer);
                rig_sql(rig, "delete from troth.barrier");
            } while (answer.stale);
            assert_string_equal(answer.reason, "");
            assert_string_equal(answer.results[0], i == 0 ? "{\"m\":7}" : types[i - 1].result);
        }
        snprintf(sql, sizeof(sql), "alter table rig alter m type %s using m::%s", types[i].type,
                 types[i].type);
        rig_sql(rig, "alter table rig alter m drop default");
        rig_sql(rig, sql);
    }
}

/* ---- cancelled, and lost --------------------------------------------------------------------- */

static const char waiting[] = "select count(*) from pg_stat_activity where application_name like"
                              " 'troth:rig:%' and wait_event_type = 'Lock'";

static void begin_behind_a_lock(struct rig *rig, const struct db_work *work,
                                struct rig_answer *answer)
{
    rig_sql(rig, "begin; update rig set n = n where id = 'a'");
    rig_work_begin(rig, work, answer);
    rig_turn_until_sql(rig, waiting, "1");
}

static void work_that_is_cancelled_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = change("update rig set n = n - 10 where id = 'a'", 1);
    struct db_work work = step_of(&statement, 1);
    begin_behind_a_lock(rig, &work, &answer);
    rig->port->cancel(rig->port->self, &answer);
    rig_until(rig, &answer.done, "the work is answered");
    rig_sql(rig, "rollback");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    nothing_remains(rig);
}

static void a_connection_that_is_lost_leaves_it_unknown_until_it_is_looked_up(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = change("update rig set n = n - 10 where id = 'a'", 1);
    struct db_work work = step_of(&statement, 1);
    begin_behind_a_lock(rig, &work, &answer);
    rig_sql(rig, "select pg_terminate_backend(pid) from pg_stat_activity where application_name"
                 " like 'troth:rig:%' and wait_event_type = 'Lock'");
    rig_until(rig, &answer.done, "the work is answered");
    rig_sql(rig, "rollback");
    assert_int_equal(answer.outcome, DB_LOST);
    assert_int_equal(rig_lookup(rig, key), DB_FENCED);
    assert_string_equal(rig_balance(rig), "100");
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_true(answer.duplicate);
    assert_string_equal(rig_balance(rig), "100");
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(what_is_as_expected_is_committed_in_one_round_trip),
        WITH_RIG(an_expectation_that_fails_leaves_nothing_wherever_it_stands),
        WITH_RIG(an_expectation_of_no_row_or_of_several_is_met_exactly),
        WITH_RIG(other_statements_may_stand_before_it),
        WITH_RIG(what_was_done_before_is_a_duplicate_and_not_done_again),
        WITH_RIG(what_was_fenced_is_not_done),
        WITH_RIG(errors_of_the_work_are_not_taken_for_those_of_its_row),
        WITH_RIG(a_commit_that_fails_leaves_nothing_and_a_session_that_works),
        WITH_RIG(a_rule_that_keeps_it_from_being_joined_changes_nothing_else),
        WITH_RIG(results_are_the_same_byte_for_byte),
        WITH_RIG(a_result_and_an_expectation_go_together),
        WITH_RIG(a_column_that_was_given_another_type_is_told_in_that),
        WITH_RIG(work_that_is_cancelled_leaves_nothing),
        WITH_RIG(a_connection_that_is_lost_leaves_it_unknown_until_it_is_looked_up),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
