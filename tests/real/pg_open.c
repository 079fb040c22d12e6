/* Transactions that stay open between requests, at a real server: what their end is, what is left
 * when a connection is lost, and who ends them when nobody does. And branches that somebody else
 * has prepared. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/register_rig.h"

static const char open_ones[] =
    "select count(*) from pg_stat_activity where application_name like 'troth:rig:payments:%'"
    " and state like 'idle in transaction%'";

/* The request of that tag, again; what was said before is forgotten. */
static enum db_outcome request(struct rig *rig, const struct db_work *work,
                               struct rig_answer *answer)
{
    *answer = (struct rig_answer){.result_count = work->call_count};
    rig_work(rig, work, answer);
    return answer->outcome;
}

static struct db_work step_of(const struct db_statement *statements, int count)
{
    return rig_work_of(DB_STEP, rig_gid, statements, count);
}

static struct db_work end_of(enum db_mode mode)
{
    struct db_work work = rig_work_of(mode, rig_gid, NULL, 0);
    work.call_count = 0;
    work.open = mode == DB_PREPARE;
    return work;
}

/* Ten are taken of a, and its transaction is open. */
static void open_one(struct rig *rig, struct rig_answer *answer)
{
    struct db_statement take = rig_take(rig_ten_of_a);
    struct db_work work = step_of(&take, 1);
    assert_int_equal(request(rig, &work, answer), DB_OPENED);
    assert_int_equal(answer->failed_statement, -1);
    assert_string_equal(rig_sql(rig, open_ones), "1");
}

static void nothing_is_left(struct rig *rig)
{
    rig_turn_until_sql(rig, open_ones, "0");
    assert_string_equal(rig_balance(rig), "100");
    assert_string_equal(rig_prepared_count(rig), "0");
}

/* The session that has a transaction open. */
static void end_its_session(struct rig *rig)
{
    assert_string_equal(
        rig_sql(rig, "select pg_terminate_backend(pid, 5000) from pg_stat_activity where"
                     " application_name like 'troth:rig:payments:%' and state like 'idle in tra%'"),
        "t");
}

/* Both connections do work: none is left in anything. */
static void all_is_well(struct rig *rig)
{
    for (int i = 0; i < 4; i++) {
        struct rig_answer answer = {0};
        struct db_statement take = rig_take(rig_ten_of_a);
        struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &take, 1);
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
    assert_string_equal(rig_sql(rig, open_ones), "0");
}

/* ---- its usual ends ------------------------------------------------------------------------ */

static void steps_see_each_other_and_are_prepared_as_one(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer, other = {0};
    struct db_statement look = rig_plain("look", "select n from rig where id = 'a'");
    struct db_work work = step_of(&look, 1), end = end_of(DB_PREPARE);
    struct db_work aside = rig_work_of(DB_READ_ONLY, NULL, &look, 1);
    look.shape = DB_ROW;
    open_one(rig, &answer);
    open_one(rig, &answer);
    assert_int_equal(request(rig, &work, &answer), DB_OPENED);
    assert_string_equal(answer.results[0], "{\"n\":80}");
    assert_int_equal(request(rig, &aside, &other), DB_COMMITTED); /* on the other connection */
    assert_string_equal(other.results[0], "{\"n\":100}");
    assert_int_equal(request(rig, &end, &answer), DB_PREPARED);
    assert_true(answer.xid > 0);
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_IN_PROGRESS);
    assert_string_equal(rig_prepared_count(rig), "1");
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "80");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_COMMITTED);
    all_is_well(rig);
}

static void what_only_reads_is_committed_and_keeps_no_list(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement look[] = {rig_plain("promise", "set transaction read only"),
                                  rig_plain("look", "select n from rig where id = 'a'")};
    struct db_work work = step_of(look, 2), end = end_of(DB_PREPARE);
    end.sites = registers_sites;
    assert_int_equal(request(rig, &work, &answer), DB_OPENED);
    assert_int_equal(request(rig, &end, &answer), DB_COMMITTED);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.sites"), "0");
    nothing_is_left(rig);
    all_is_well(rig);
}

/* It has no xid, and would be told to all listeners whatever became of the transaction. */
static void what_is_written_past_the_xid_is_refused(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement tell = rig_plain("tell", "notify rig");
    struct db_work work = step_of(&tell, 1), end = end_of(DB_PREPARE);
    assert_int_equal(request(rig, &work, &answer), DB_OPENED);
    assert_int_equal(request(rig, &end, &answer), DB_FAILED);
    assert_string_equal(answer.sqlstate, "0A000");
    nothing_is_left(rig);
    all_is_well(rig);
}

static void a_rollback_leaves_nothing_however_often(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_work end = end_of(DB_ROLLBACK);
    for (int i = 0; i < 2; i++) {
        open_one(rig, &answer);
        assert_int_equal(request(rig, &end, &answer), DB_FAILED);
        assert_string_equal(answer.sqlstate, "");
        nothing_is_left(rig);
        assert_int_equal(request(rig, &end, &answer), DB_FAILED);
    }
    all_is_well(rig);
}

static void two_are_open_at_once_and_a_third_waits(void **state)
{
    struct rig *rig = *state;
    struct rig_answer first, second = {0}, third = {0};
    struct db_statement look = rig_plain("look", "select 1");
    struct db_work work = step_of(&look, 1), end = end_of(DB_ROLLBACK);
    open_one(rig, &first);
    assert_int_equal(request(rig, &work, &second), DB_OPENED);
    rig_work_begin(rig, &work, &third);
    assert_int_equal(request(rig, &work, &second), DB_OPENED); /* its own, at once */
    assert_false(third.done);
    assert_int_equal(request(rig, &end, &first), DB_FAILED);
    rig_until(rig, &third.done, "a connection is free");
    assert_int_equal(third.outcome, DB_OPENED);
    request(rig, &end, &second);
    request(rig, &end, &third);
    all_is_well(rig);
}

/* ---- failures ------------------------------------------------------------------------------ */

static void a_step_that_fails_rolls_everything_back(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement bad[] = {rig_plain("divide", "select 1 / 0"), rig_take(rig_thousand_of_a),
                                 rig_plain("end", "rollback")};
    static const char *const sqlstates[] = {"22012", "", ""};
    for (int i = 0; i < 3; i++) {
        for (int first = 0; first <= 1; first++) {
            struct db_work work = step_of(&bad[i], 1);
            if (!first)
                open_one(rig, &answer);
            assert_int_equal(request(rig, &work, &answer), DB_FAILED);
            assert_string_equal(answer.sqlstate, sqlstates[i]);
            assert_int_equal(answer.failed_statement, i == 2 ? -1 : 0);
            if (i == 1)
                assert_string_equal(answer.reason, "insufficient_funds");
            nothing_is_left(rig);
        }
    }
    all_is_well(rig);
}

static void a_prepare_that_fails_rolls_everything_back(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement listen = rig_plain("temporary", "create temporary table rig_t (n int)");
    struct db_work work = step_of(&listen, 1), end = end_of(DB_PREPARE);
    open_one(rig, &answer);
    assert_int_equal(request(rig, &work, &answer), DB_OPENED);
    assert_int_equal(request(rig, &end, &answer), DB_FAILED);
    assert_string_equal(answer.sqlstate, "0A000");
    nothing_is_left(rig);
    all_is_well(rig);
}

static void a_step_is_cancelled_and_leaves_nothing_open(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement sleep = rig_plain("sleep", "select pg_sleep(60)");
    struct db_work work = step_of(&sleep, 1);
    open_one(rig, &answer);
    answer = (struct rig_answer){0};
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'",
                       "1");
    rig->port->cancel(rig->port->self, &answer);
    rig_until(rig, &answer.done, "the cancelled work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    nothing_is_left(rig);
    all_is_well(rig);
}

/* ---- nobody ends it ------------------------------------------------------------------------ */

static void the_server_ends_a_statement_when_the_time_is_up(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement sleep = rig_plain("sleep", "select pg_sleep(60)");
    struct db_work work = step_of(&sleep, 1);
    open_one(rig, &answer);
    work.timeout_us = 50000;
    assert_int_equal(request(rig, &work, &answer), DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    nothing_is_left(rig);
    all_is_well(rig);
}

/* An agent that hangs: its session goes with the locks, and the next request tells. */
static void the_server_ends_the_session_soon_after_that(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement take = rig_take(rig_ten_of_a);
    struct db_work work = step_of(&take, 1), end = end_of(DB_PREPARE);
    work.timeout_us = 200 * 1000;
    work.statement_count = 0;
    assert_int_equal(request(rig, &work, &answer), DB_OPENED);
    rig_await_sql(rig, open_ones, "0");
    /* The loop has not noticed it, and sends on what is broken. */
    assert_int_equal(request(rig, &end, &answer), DB_LOST);
    assert_string_equal(answer.reason, "database connection lost");
    assert_non_null(strstr(answer.detail, "idle-in-transaction"));
    nothing_is_left(rig);
    all_is_well(rig);
}

/* The loop has noticed that the session is lost. */
static void turn_until_gone(struct rig *rig)
{
    while (rig->pg->workers[0].stage != PG_RUN_GONE && rig->pg->workers[1].stage != PG_RUN_GONE)
        uv_run(loop_uv(rig->loop), UV_RUN_ONCE);
}

static void a_session_that_is_lost_while_open_is_told_by_the_next_request(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_statement take = rig_take(rig_ten_of_a);
    struct db_work requests[] = {step_of(&take, 1), end_of(DB_PREPARE), end_of(DB_ROLLBACK)};
    for (int known = 0; known <= 1; known++) {
        for (int i = 0; i < 3; i++) {
            open_one(rig, &answer);
            end_its_session(rig);
            /* The loop has noticed it; or it has not, and sends on what is broken. */
            if (known)
                turn_until_gone(rig);
            enum db_outcome outcome = request(rig, &requests[i], &answer);
            assert_true(outcome == DB_FAILED || (outcome == DB_LOST && i == 1 && !known));
            nothing_is_left(rig);
            assert_int_equal(request(rig, &requests[2], &answer), DB_FAILED);
        }
    }
    all_is_well(rig);
}

static void a_session_that_is_lost_in_its_prepare_is_not_known(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer, other = {0};
    struct db_statement slow = rig_plain("slow", "insert into rig_slow values (1)");
    struct db_work work = step_of(&slow, 1), end = end_of(DB_PREPARE);
    rig_sql(rig, "create table rig_slow (n int);"
                 "create function rig_slow() returns trigger language plpgsql as"
                 " 'begin perform pg_sleep(60); return new; end';"
                 "create constraint trigger rig_slow after insert on rig_slow deferrable initially"
                 " deferred for each row execute function rig_slow()");
    assert_int_equal(request(rig, &work, &answer), DB_OPENED);
    answer = (struct rig_answer){0};
    rig_work_begin(rig, &end, &answer);
    rig_turn_until_sql(rig, "select count(*) from pg_stat_activity where wait_event = 'PgSleep'",
                       "1");
    rig_sql(rig, "select pg_terminate_backend(pid, 5000) from pg_stat_activity"
                 " where wait_event = 'PgSleep'");
    rig_until(rig, &answer.done, "the end is answered");
    assert_int_equal(answer.outcome, DB_LOST);
    rig_scan(rig, &other);
    assert_int_equal(other.count, 0);
    rig_sql(rig, "drop table rig_slow; drop function rig_slow");
    nothing_is_left(rig);
    all_is_well(rig);
}

static void a_server_that_stops_takes_what_is_open_with_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_work end = end_of(DB_PREPARE);
    open_one(rig, &answer);
    rig_lose_power(rig);
    assert_int_equal(request(rig, &end, &answer), DB_FAILED);
    nothing_is_left(rig);
    all_is_well(rig);
}

/* ---- three phases -------------------------------------------------------------------------- */

static void its_list_is_kept_with_it(void **state)
{
    struct rig *rig = *state;
    struct db_work end = end_of(DB_PREPARE);
    end.sites = registers_sites;
    for (int i = 0; i < 2; i++) { /* the second time its number is known */
        struct rig_answer answer, scan = {0};
        open_one(rig, &answer);
        assert_int_equal(request(rig, &end, &answer), DB_PREPARED);
        assert_true(answer.xid > 0);
        rig_scan(rig, &scan);
        assert_int_equal(scan.count, 1);
        assert_true(scan.prepared[0].registered);
        assert_string_equal(scan.prepared[0].sites, registers_sites);
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
    nothing_is_left(rig);
    all_is_well(rig);
}

/* While its list waits to be inserted. */
static void without_its_list_nothing_stays_open(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer;
    struct db_work end = end_of(DB_PREPARE);
    end.sites = registers_sites;
    open_one(rig, &answer);
    rig_sql(rig, "alter table troth.sites add constraint rig check (sites = '')");
    assert_int_equal(request(rig, &end, &answer), DB_FAILED);
    rig_sql(rig, "alter table troth.sites drop constraint rig");
    assert_string_equal(answer.sqlstate, "23514");
    nothing_is_left(rig);
    /* And its session is lost before it is known. */
    open_one(rig, &answer);
    rig_sql(rig, "begin; lock table troth.sites");
    answer = (struct rig_answer){0};
    rig_work_begin(rig, &end, &answer);
    rig_turn_until_sql(rig, lock_waits, "1");
    end_its_session(rig);
    turn_until_gone(rig);
    rig_sql(rig, "rollback");
    rig_until(rig, &answer.done, "the end is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    nothing_is_left(rig);
    all_is_well(rig);
}

/* ---- prepared by somebody else ------------------------------------------------------------- */

/* By the side, which is a superuser. Its xid. */
static uint64_t prepare_aside(struct rig *rig)
{
    rig_sql(rig, "begin");
    rig_sql(rig, "update rig set n = n - 1 where id = 'a'");
    uint64_t xid = strtoull(rig_sql(rig, "select pg_current_xact_id()::text"), NULL, 10);
    rig_sql(rig, "prepare transaction 'troth.rig.c1.7.1.0'");
    return xid;
}

static void what_is_prepared_with_that_xid_is_adopted(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    assert_int_equal(rig_adopt(rig, rig_gid, 12345, NULL), DB_ADOPT_MISSING);
    uint64_t xid = prepare_aside(rig);
    assert_int_equal(rig_adopt(rig, rig_gid, xid, NULL), DB_ADOPTED);
    assert_int_equal(rig_adopt(rig, rig_gid, xid, NULL), DB_ADOPTED);
    assert_int_equal(rig_adopt(rig, "troth.rig.c1.7.1.1", xid, NULL), DB_ADOPT_MISSING);
    assert_int_equal(rig_adopt(rig, rig_gid, xid + 1, NULL), DB_ADOPT_MISSING);
    assert_int_equal(rig_adopt(rig, rig_gid, xid + (UINT64_C(1) << 32), NULL), DB_ADOPT_MISSING);
    rig_adopt_begin(rig, rig_gid, xid + 1, NULL, &answer);
    rig_until(rig, &answer.done, "it is not adopted");
    assert_non_null(strstr(answer.reason, "handed over with xid"));
    registers_expect_none(rig, rig_gtrid);
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "99");
}

static void with_three_phases_its_row_goes_in_once(void **state)
{
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &fresh);
    uint64_t xid = prepare_aside(rig);
    assert_int_equal(rig_adopt(rig, rig_gid, xid + 1, &row), DB_ADOPT_MISSING);
    registers_expect_none(rig, rig_gtrid);
    assert_int_equal(rig_adopt(rig, rig_gid, xid, &row), DB_ADOPTED);
    registers_expect(rig, rig_gtrid, &fresh);
    assert_int_equal(rig_adopt(rig, rig_gid, xid, &row), DB_ADOPT_FENCED);
    rig_lose_power(rig);
    registers_expect(rig, rig_gtrid, &fresh);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
}

static void what_another_database_has_is_not_this_one_s(void **state)
{
    struct rig *rig = *state;
    char conninfo[300];
    rig_sql(rig, "drop database if exists rig_elsewhere");
    rig_sql(rig, "create database rig_elsewhere");
    snprintf(conninfo, sizeof(conninfo), "%s dbname=rig_elsewhere", rig->conninfo);
    PGconn *elsewhere = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(elsewhere), CONNECTION_OK);
    PQclear(PQexec(elsewhere, "begin; create table rig (n int)"));
    PGresult *result = PQexec(elsewhere, "prepare transaction 'troth.rig.c1.7.1.0'");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    assert_int_equal(rig_adopt(rig, rig_gid, 12345, NULL), DB_ADOPT_MISSING);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_MISSING); /* it is not this database's */
    PQclear(PQexec(elsewhere, "rollback prepared 'troth.rig.c1.7.1.0'"));
    PQfinish(elsewhere);
    rig_sql(rig, "drop database rig_elsewhere");
}

static void a_role_that_is_not_its_owner_does_not_adopt(void **state)
{
    struct rig *rig = *state;
    char conninfo[300];
    uint64_t xid = prepare_aside(rig);
    rig_sql(rig, "do $$ begin create role rig_poor login;"
                 " exception when duplicate_object then null; end $$");
    rig_sql(rig, "grant usage on schema troth to rig_poor;"
                 "grant select, insert, update, delete on all tables in schema troth to rig_poor");
    rig_stop(rig);
    const char *conninfo_before = rig->conninfo;
    snprintf(conninfo, sizeof(conninfo), "%s user=rig_poor", conninfo_before);
    rig->conninfo = conninfo;
    rig_start_again(rig);
    assert_int_equal(rig_adopt(rig, rig_gid, xid, NULL), DB_ADOPT_FOREIGN);
    rig_stop(rig);
    rig->conninfo = conninfo_before;
    rig_start_again(rig);
    assert_int_equal(rig_adopt(rig, rig_gid, xid, NULL), DB_ADOPTED);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    rig_sql(rig, "revoke all on all tables in schema troth from rig_poor;"
                 "revoke all on schema troth from rig_poor; drop role rig_poor");
}

static void it_says_which_database_it_is(void **state)
{
    struct rig *rig = *state;
    assert_string_equal(rig->database,
                        rig_sql(rig, "select (select system_identifier from pg_control_system())"
                                     " || '/' || oid from pg_database"
                                     " where datname = current_database()"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(steps_see_each_other_and_are_prepared_as_one),
        WITH_RIG(what_only_reads_is_committed_and_keeps_no_list),
        WITH_RIG(what_is_written_past_the_xid_is_refused),
        WITH_RIG(a_rollback_leaves_nothing_however_often),
        WITH_RIG(two_are_open_at_once_and_a_third_waits),
        WITH_RIG(a_step_that_fails_rolls_everything_back),
        WITH_RIG(a_prepare_that_fails_rolls_everything_back),
        WITH_RIG(a_step_is_cancelled_and_leaves_nothing_open),
        WITH_RIG(the_server_ends_a_statement_when_the_time_is_up),
        WITH_RIG(the_server_ends_the_session_soon_after_that),
        WITH_RIG(a_session_that_is_lost_while_open_is_told_by_the_next_request),
        WITH_RIG(a_session_that_is_lost_in_its_prepare_is_not_known),
        WITH_RIG(a_server_that_stops_takes_what_is_open_with_it),
        WITH_RIG(its_list_is_kept_with_it),
        WITH_RIG(without_its_list_nothing_stays_open),
        WITH_RIG(what_is_prepared_with_that_xid_is_adopted),
        WITH_RIG(with_three_phases_its_row_goes_in_once),
        WITH_RIG(what_another_database_has_is_not_this_one_s),
        WITH_RIG(a_role_that_is_not_its_owner_does_not_adopt),
        WITH_RIG(it_says_which_database_it_is),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
