/* Looking into a real database: what a branch holds, who waits for it, what the server is. The
 * sessions that wait are real ones, and are let go by the end of the branch. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/json.h"
#include "io/pg_private.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/pg_rig.h"
#include "tests/real/support/register_rig.h"

/* ---- what a report says -------------------------------------------------------------------- */

static struct json *parsed(const struct rig_look *look)
{
    struct error error;
    struct json *report = json_parse(look->report, strlen(look->report), &error);
    if (!report)
        fail_msg("%s: %s", error.message, look->report);
    return report;
}

static const struct json *item(const struct json *list, int index)
{
    assert_non_null(list);
    assert_int_equal(list->type, JSON_ARRAY);
    assert_true(index < list->count);
    return &list->items[index];
}

static const struct json *part(const struct json *object, const char *name)
{
    const struct json *value = json_member(object, name);
    if (!value)
        fail_msg("no member %s", name);
    return value;
}

static void expect_text(const struct json *object, const char *name, const char *text)
{
    const struct json *value = part(object, name);
    if (!text) {
        assert_int_equal(value->type, JSON_NULL);
        return;
    }
    assert_int_equal(value->type, JSON_STRING);
    assert_string_equal(value->text, text);
}

static long long number_of(const struct json *object, const char *name)
{
    const struct json *value = part(object, name);
    if (value->type != JSON_NUMBER)
        fail_msg("%s is %.*s", name, (int)value->raw_size, value->raw);
    return strtoll(value->text, NULL, 10);
}

/* ---- sessions that wait ---------------------------------------------------------------------- */

enum { SESSIONS_MOST = 4 };

/* Sessions of an application, each in a transaction that waits. */
struct sessions {
    struct rig *rig;
    PGconn *at[SESSIONS_MOST];
    int count;
};

static PGconn *session_open(struct sessions *sessions)
{
    char *conninfo = xasprintf("%s application_name=till", sessions->rig->conninfo);
    PGconn *session = PQconnectdb(conninfo);
    free(conninfo);
    assert_int_equal(PQstatus(session), CONNECTION_OK);
    assert_true(sessions->count < SESSIONS_MOST);
    PQclear(PQexec(session, "begin"));
    return sessions->at[sessions->count++] = session;
}

/* Sends, and waits until it waits. Returns its pid. */
static int session_wait(struct sessions *sessions, PGconn *session, const char *sql)
{
    char *question = xasprintf("select count(*) from pg_locks where not granted and pid = %d",
                               PQbackendPID(session));
    assert_true(PQsendQuery(session, sql));
    rig_await_sql(sessions->rig, question, "1");
    free(question);
    return PQbackendPID(session);
}

static int session_begin(struct sessions *sessions, const char *sql)
{
    return session_wait(sessions, session_open(sessions), sql);
}

/* They get what they waited for, one after the other: each ends without a commit. */
static void sessions_end(struct sessions *sessions)
{
    for (int i = 0; i < sessions->count; i++) {
        PGresult *result = PQgetResult(sessions->at[i]);
        if (PQresultStatus(result) == PGRES_FATAL_ERROR)
            fail_msg("%s", PQresultErrorMessage(result));
        PQclear(result);
        PQfinish(sessions->at[i]);
    }
}

static uint64_t prepare(struct rig *rig)
{
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    return answer.xid;
}

static struct json *look_at(struct rig *rig, struct rig_look *look)
{
    const struct db_inspection inspection = {.look = DB_LOOK_TRANSACTION, .gtrid = rig_gtrid};
    rig_inspect(rig, &inspection, look);
    if (!look->ok)
        fail_msg("it could not look: %s", look->problem);
    return parsed(look);
}

/* ---- one transaction ----------------------------------------------------------------------- */

static void a_prepared_branch_is_shown_with_what_it_holds(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    uint64_t xid = prepare(rig);
    struct json *report = look_at(rig, &look);
    assert_int_equal(look.held_count, 1);
    assert_string_equal(look.held[0].gid, rig_gid);
    assert_string_equal(look.held[0].owner, "postgres");
    assert_string_equal(look.held[0].database, "payments");
    assert_true(look.held[0].here);
    assert_int_equal(look.held[0].xid, xid);
    assert_true(look.held[0].prepared_at_us > look.now_us - 60000000);
    assert_true(look.held[0].prepared_at_us <= look.now_us);
    assert_int_equal(look.xid, xid);
    assert_int_equal(look.status, DB_STATUS_IN_PROGRESS);
    assert_false(look.registered);
    assert_string_equal(look.barrier, "");
    expect_text(report, "gid", rig_gid);
    expect_text(report, "owner", "postgres");
    assert_int_equal(part(report, "locks")->count, 1);
    expect_text(item(part(report, "locks"), 0), "relation", "public.rig");
    expect_text(item(part(report, "locks"), 0), "mode", "RowExclusiveLock");
    assert_int_equal(number_of(item(part(report, "locks"), 0), "rows"), 1);
    assert_int_equal(part(report, "blocked")->count, 0);
    assert_int_equal(number_of(report, "blocked_more"), 0);
    assert_true(number_of(part(report, "vacuum"), "age_xids") >= 1);
    assert_int_equal(number_of(part(report, "vacuum"), "freeze_max_age"), 200000000);
    assert_int_equal(part(part(report, "vacuum"), "oldest")->type, JSON_TRUE);
    assert_int_equal(number_of(part(report, "slots"), "used"), 1);
    assert_int_equal(number_of(part(report, "slots"), "max"), 200);
    json_free(report);
}

static void what_became_of_an_xid_is_told_when_nothing_is_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    struct db_inspection inspection = {.look = DB_LOOK_TRANSACTION, .gtrid = rig_gtrid};
    rig_inspect(rig, &inspection, &look);
    assert_true(look.ok);
    assert_int_equal(look.held_count, 0);
    assert_int_equal(look.xid, 0);
    assert_int_equal(look.status, DB_STATUS_ERROR); /* nobody knows an xid to ask about */
    assert_string_equal(look.report, "");
    for (int commit = 0; commit < 2; commit++) {
        inspection.xid = prepare(rig);
        assert_int_equal(rig_finish(rig, rig_gid, commit), DB_FINISHED);
        rig_inspect(rig, &inspection, &look);
        assert_int_equal(look.xid, inspection.xid);
        assert_int_equal(look.status, commit ? DB_STATUS_COMMITTED : DB_STATUS_ABORTED);
    }
    inspection.xid = UINT64_C(1) << 40; /* of no history of this server */
    rig_inspect(rig, &inspection, &look);
    assert_true(look.ok);
    assert_int_equal(look.status, DB_STATUS_UNKNOWN);
    inspection.xid = 3; /* from before initdb's end: long forgotten, or known */
    rig_inspect(rig, &inspection, &look);
    assert_true(look.ok);
    assert_int_equal(look.xid, 3);
    assert_true(look.status == DB_STATUS_UNKNOWN || look.status == DB_STATUS_COMMITTED);
}

static void the_register_and_the_barrier_are_told(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    const struct db_inspection inspection = {.look = DB_LOOK_TRANSACTION, .gtrid = rig_gtrid};
    struct db_register row = registers_row(rig_gtrid, &accepted);
    const uint64_t seq = 1;
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    rig_inspect(rig, &inspection, &look);
    assert_true(look.registered);
    assert_true(register_state_equal(&look.state, &accepted));
    assert_string_equal(look.barrier, "none");
    rig->port->register_settle(rig->port->self, "c1", 7, &seq, 1);
    rig_turn_until_sql(rig, "select count(*) from troth.register", "0");
    rig_inspect(rig, &inspection, &look);
    assert_true(look.registered);
    assert_true(register_state_equal(&look.state, &decided));
}

static void those_who_wait_for_a_row_are_named_with_their_queries(void **state)
{
    struct rig *rig = *state;
    struct sessions sessions = {.rig = rig};
    struct rig_look look;
    prepare(rig);
    int pids[] = {session_begin(&sessions, "update rig set n = n + 1\n  where id = 'a'"),
                  session_begin(&sessions, "update rig set n = n + 2 where id = 'a'"),
                  session_begin(&sessions, "update rig set n = n + 3 where id = 'a'")};
    struct json *report = look_at(rig, &look);
    const struct json *blocked = part(report, "blocked");
    assert_int_equal(blocked->count, 3);
    for (int i = 0; i < 3; i++) {
        const struct json *session = item(blocked, i);
        char *query = xasprintf("update rig set n = n + %d where id = 'a'", i + 1);
        assert_int_equal(number_of(session, "pid"), pids[i]);
        expect_text(session, "user", "postgres");
        expect_text(session, "application", "till");
        expect_text(session, "client", "local");
        expect_text(session, "wants", "public.rig");
        expect_text(session, "query", query);
        assert_true(number_of(session, "waiting_ms") >= 0);
        if (i == 0)
            expect_text(session, "behind", NULL);
        else
            assert_int_equal(number_of(session, "behind"), pids[i - 1]);
        free(query);
    }
    json_free(report);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    sessions_end(&sessions);
}

/* PostgreSQL itself does not tell which of them a session waits for. */
static void of_two_prepared_transactions_each_has_its_own_waiters(void **state)
{
    struct rig *rig = *state;
    struct sessions sessions = {.rig = rig};
    struct rig_look look;
    prepare(rig);
    rig_sql(rig, "begin; update rig set n = n where id = 'b'; prepare transaction 'another'");
    session_begin(&sessions, "update rig set n = n + 1 where id = 'b'");
    int pid = session_begin(&sessions, "update rig set n = n + 1 where id = 'a'");
    struct json *report = look_at(rig, &look);
    assert_int_equal(part(report, "blocked")->count, 1);
    assert_int_equal(number_of(item(part(report, "blocked"), 0), "pid"), pid);
    assert_int_equal(number_of(part(report, "slots"), "used"), 2);
    json_free(report);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    rig_sql(rig, "rollback prepared 'another'");
    sessions_end(&sessions);
}

static void who_waits_for_one_that_waits_is_blocked_too(void **state)
{
    struct rig *rig = *state;
    struct sessions sessions = {.rig = rig};
    struct rig_look look;
    prepare(rig);
    PGconn *holder = session_open(&sessions);
    PQclear(PQexec(holder, "update rig set n = n + 1 where id = 'b'"));
    int first = session_wait(&sessions, holder, "update rig set n = n + 1 where id = 'a'");
    int second = session_begin(&sessions, "delete from rig where id = 'b'");
    struct json *report = look_at(rig, &look);
    const struct json *blocked = part(report, "blocked");
    assert_int_equal(blocked->count, 2);
    assert_int_equal(number_of(item(blocked, 0), "pid"), first);
    assert_int_equal(number_of(item(blocked, 1), "pid"), second);
    assert_int_equal(number_of(item(blocked, 1), "behind"), first);
    json_free(report);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    sessions_end(&sessions);
}

/* A lock that waits for the branch keeps out whoever comes after it, readers too: so nobody counts
 * the rows then. */
static void who_waits_behind_a_lock_table_is_blocked_too(void **state)
{
    struct rig *rig = *state;
    struct sessions sessions = {.rig = rig};
    struct rig_look look;
    prepare(rig);
    int pids[] = {session_begin(&sessions, "lock table rig"),
                  session_begin(&sessions, "select * from rig where id = 'b'")};
    struct json *report = look_at(rig, &look);
    const struct json *blocked = part(report, "blocked");
    assert_int_equal(blocked->count, 2);
    for (int i = 0; i < 2; i++) {
        assert_int_equal(number_of(item(blocked, i), "pid"), pids[i]);
        expect_text(item(blocked, i), "wants", "public.rig");
    }
    expect_text(item(blocked, 0), "query", "lock table rig");
    expect_text(item(blocked, 0), "behind", NULL);
    assert_int_equal(number_of(item(blocked, 1), "behind"), pids[0]);
    assert_int_equal(part(item(part(report, "locks"), 0), "rows")->type, JSON_NULL);
    json_free(report);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    sessions_end(&sessions);
}

static void who_inserts_a_key_that_the_branch_has_inserted_is_blocked(void **state)
{
    struct rig *rig = *state;
    struct sessions sessions = {.rig = rig};
    struct rig_look look;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_plain("insert", "insert into rig values ('c', 1)");
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    session_begin(&sessions, "insert into rig values ('c', 2)");
    struct json *report = look_at(rig, &look);
    assert_int_equal(part(report, "blocked")->count, 1);
    expect_text(item(part(report, "blocked"), 0), "wants", "public.rig");
    assert_int_equal(number_of(item(part(report, "locks"), 0), "rows"), 0);
    json_free(report);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    sessions_end(&sessions);
}

/* Those that lock rows: their names need quotes; one is too big to be read for this, of one the
 * branch has all. */
static void rows_are_counted_where_that_harms_nobody(void **state)
{
    static const char *const expected[][3] = {
        {"public.rig_all", "AccessExclusiveLock", NULL},
        {"public.\"Rig \"\"odd\"\"\"", "RowExclusiveLock", "2"},
        {"public.rig_big", "RowExclusiveLock", NULL},
        {"public.rig", "RowShareLock", "1"},
    };
    struct rig *rig = *state;
    struct rig_look look;
    struct rig_answer answer = {0};
    rig_sql(rig, "create table rig_all (n int); create table \"Rig \"\"odd\"\"\" (n int);"
                 " insert into \"Rig \"\"odd\"\"\" select generate_series(1, 3);"
                 " create unlogged table rig_big (n int, t text);"
                 " alter table rig_big alter t set storage plain; insert into rig_big"
                 "   select n, repeat('x', 6000) from generate_series(1, 8200) n");
    struct db_statement statements[] = {
        rig_plain("all", "lock table rig_all"),
        rig_plain("odd", "delete from \"Rig \"\"odd\"\"\" where n > 1"),
        rig_plain("big", "delete from rig_big where n = 1"),
        rig_plain("row", "select from rig where id = 'a' for update"),
    };
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 4);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    struct json *report = look_at(rig, &look);
    assert_int_equal(part(report, "locks")->count, 4);
    for (int i = 0; i < 4; i++) {
        const struct json *lock = item(part(report, "locks"), i);
        expect_text(lock, "relation", expected[i][0]);
        expect_text(lock, "mode", expected[i][1]);
        if (expected[i][2])
            assert_int_equal(number_of(lock, "rows"), atoi(expected[i][2]));
        else
            assert_int_equal(part(lock, "rows")->type, JSON_NULL);
    }
    json_free(report);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    rig_sql(rig, "drop table rig_all, rig_big, \"Rig \"\"odd\"\"\"");
}

/* ---- all prepared transactions ------------------------------------------------------------- */

static void all_of_the_server_are_listed_with_their_databases(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    const struct db_inspection inspection = {.look = DB_LOOK_PREPARED};
    char *conninfo = xasprintf("%s dbname=template1", rig->conninfo);
    PGconn *other = PQconnectdb(conninfo);
    free(conninfo);
    prepare(rig);
    rig_sql(rig, "begin; update rig set n = 7 where id = 'b'; prepare transaction 'somebody''s'");
    PQclear(PQexec(other, "begin; create table t (); prepare transaction 'elsewhere'"));
    rig_inspect(rig, &inspection, &look);
    PQclear(PQexec(other, "rollback prepared 'elsewhere'"));
    PQfinish(other);
    assert_true(look.ok);
    assert_int_equal(look.held_count, 3);
    assert_string_equal(look.held[0].gid, rig_gid);
    assert_string_equal(look.held[1].gid, "somebody's");
    assert_true(look.held[1].here);
    assert_string_equal(look.held[2].gid, "elsewhere");
    assert_string_equal(look.held[2].database, "template1");
    assert_string_equal(look.held[2].owner, "postgres");
    assert_false(look.held[2].here);
    assert_true(look.held[0].age_xids > look.held[2].age_xids);
    assert_true(look.held[2].xid > look.held[0].xid);
}

/* ---- the server ---------------------------------------------------------------------------- */

static struct json *look_at_server(struct rig *rig, struct rig_look *look)
{
    const struct db_inspection inspection = {.look = DB_LOOK_SERVER};
    rig_inspect(rig, &inspection, look);
    if (!look->ok)
        fail_msg("it could not look: %s", look->problem);
    return parsed(look);
}

static void the_server_is_described(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    prepare(rig);
    struct json *report = look_at_server(rig, &look);
    const struct json *settings = part(report, "settings");
    assert_true(number_of(report, "version_num") >= 130000);
    expect_text(report, "database", "payments");
    expect_text(report, "user", "postgres");
    assert_int_equal(part(report, "superuser")->type, JSON_TRUE);
    assert_int_equal(part(report, "monitor")->type, JSON_TRUE);
    assert_int_equal(part(report, "in_recovery")->type, JSON_FALSE);
    assert_true(number_of(report, "started_us") < look.now_us);
    expect_text(settings, "max_prepared_transactions", "200");
    expect_text(settings, "fsync", "on");
    expect_text(settings, "full_page_writes", "on");
    expect_text(settings, "idle_in_transaction_session_timeout", "0");
    assert_true(number_of(part(report, "connections"), "used") >= 3);
    assert_int_equal(number_of(part(report, "connections"), "max"), 60);
    assert_int_equal(number_of(part(report, "slots"), "used"), 1);
    assert_int_equal(number_of(report, "work_connections"), 2);
    assert_int_equal(number_of(report, "schema_version"), 5);
    assert_int_equal(part(report, "missing_rights")->count, 0);
    assert_int_equal(part(report, "missing_tables")->count, 0);
    assert_true(number_of(report, "oldest_prepared_ms") >= 0);
    assert_true(number_of(report, "oldest_xmin_age") >= 1);
    expect_text(report, "oldest_xmin_of", "prepared troth.rig.c1.7.1.0");
    assert_true(number_of(report, "frozen_age") > 0);
    assert_int_equal(part(report, "standbys")->count, 0);
    json_free(report);
}

/* What is not seen is null; what is counted is still true. */
static void a_role_that_may_see_little_is_told_little_and_nothing_fails(void **state)
{
    struct rig *rig = *state;
    struct sessions sessions = {.rig = rig};
    struct rig_look look;
    rig_sql(rig, "drop role if exists rig_poor; create role rig_poor login;"
                 " grant usage on schema troth to rig_poor;"
                 " grant select, insert, update, delete on all tables in schema troth to rig_poor");
    char *conninfo = xasprintf("%s user=rig_poor", rig->conninfo);
    struct rig poor = {.conninfo = conninfo, .participant = "poor"};
    rig_start(&poor, 1);
    prepare(rig);
    session_begin(&sessions, "update rig set n = n + 1 where id = 'a'");
    struct json *report = look_at(&poor, &look);
    const struct json *session = item(part(report, "blocked"), 0);
    expect_text(session, "user", "postgres");
    expect_text(session, "query", NULL);
    expect_text(session, "client", NULL);
    expect_text(session, "wants", "public.rig");
    assert_int_equal(part(item(part(report, "locks"), 0), "rows")->type, JSON_NULL);
    json_free(report);
    rig_sql(rig, "revoke delete on troth.barrier from rig_poor;"
                 " revoke select on troth.installed from rig_poor");
    report = look_at_server(&poor, &look);
    expect_text(report, "user", "rig_poor");
    assert_int_equal(part(report, "superuser")->type, JSON_FALSE);
    assert_int_equal(part(report, "monitor")->type, JSON_FALSE);
    assert_int_equal(part(report, "schema_version")->type, JSON_NULL);
    assert_int_equal(part(report, "missing_rights")->count, 2);
    assert_string_equal(item(part(report, "missing_rights"), 0)->text, "delete on troth.barrier");
    assert_string_equal(item(part(report, "missing_rights"), 1)->text, "select on troth.installed");
    json_free(report);
    rig_sql(rig, "grant pg_read_all_stats to rig_poor");
    report = look_at(&poor, &look);
    expect_text(item(part(report, "blocked"), 0), "query",
                "update rig set n = n + 1 where id = 'a'");
    json_free(report);
    rig_stop(&poor);
    free(conninfo);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    sessions_end(&sessions);
    rig_sql(rig, "drop owned by rig_poor; drop role rig_poor");
}

/* A server that can't be worked on is looked at all the same. */
static void what_keeps_the_port_down_can_be_looked_at(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    rig_stop(rig);
    rig_sql(rig, "alter schema troth rename to troth_away");
    rig_start(rig, 2);
    rig_until_count(rig, &rig->downs, 1, "the port refuses the database");
    struct json *report = look_at_server(rig, &look);
    rig_sql(rig, "alter schema troth_away rename to troth");
    assert_int_equal(part(report, "schema_version")->type, JSON_NULL);
    assert_int_equal(part(report, "missing_rights")->count, 0);
    assert_int_equal(part(report, "missing_tables")->count, 6);
    json_free(report);
    rig_stop(rig);
    rig_start_again(rig);
}

/* cmocka's setup and teardown: a rig whose server has a standby. */
static int setup_standby(void **state)
{
    char data[300];
    snprintf(data, sizeof(data), "%s-standby", getenv("TROTH_TEST_PG_PAYMENTS_DATA"));
    setenv("TROTH_TEST_PG_PAYMENTS_STANDBY_DATA", data, 1);
    cluster_call("cluster_make_standby", "payments");
    return rig_setup(state);
}

static int teardown_standby(void **state)
{
    cluster_drop("payments_standby");
    return rig_teardown(state);
}

static void what_is_a_standby_and_what_has_one_says_so(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    prepare(rig);
    /* It streams before it has said how far it is. */
    rig_await_sql(rig, "select state from pg_stat_replication where flush_lsn is not null",
                  "streaming");
    struct json *report = look_at_server(rig, &look);
    const struct json *standby = item(part(report, "standbys"), 0);
    expect_text(standby, "name", "payments_standby");
    expect_text(standby, "state", "streaming");
    expect_text(standby, "sync_state", "async");
    assert_true(number_of(standby, "lag_bytes") >= 0);
    assert_int_equal(part(report, "standbys")->count, 1);
    json_free(report);
    char *conninfo = xasprintf("host=%s dbname=payments user=postgres",
                               getenv("TROTH_TEST_PG_PAYMENTS_STANDBY_DATA"));
    struct rig there = {.conninfo = conninfo, .participant = "there"};
    rig_start(&there, 1);
    report = look_at_server(&there, &look);
    assert_int_equal(part(report, "in_recovery")->type, JSON_TRUE);
    assert_int_equal(number_of(report, "schema_version"), 5);
    json_free(report);
    const struct db_inspection inspection = {.look = DB_LOOK_TRANSACTION, .gtrid = rig_gtrid};
    rig_inspect(&there, &inspection, &look);
    assert_true(look.ok);
    rig_stop(&there);
    free(conninfo);
}

/* ---- connections --------------------------------------------------------------------------- */

static void signal_backend(const char *pid, const char *signal)
{
    char *command = xasprintf("kill -%s %s", signal, pid);
    assert_int_equal(system(command), 0);
    free(command);
}

static void a_connection_that_hangs_or_dies_costs_one_look(void **state)
{
    struct rig *rig = *state;
    struct rig_look look;
    const struct db_inspection inspection = {.look = DB_LOOK_SERVER};
    char pid[16], sql[80];
    for (int hangs = 0; hangs < 2; hangs++) {
        struct rig_answer answer = {.look = &look};
        json_free(look_at_server(rig, &look));
        snprintf(pid, sizeof(pid), "%s",
                 rig_sql(rig, "select pid from pg_stat_activity where query ~ 'horizons'"
                              " and pid <> pg_backend_pid()"));
        snprintf(sql, sizeof(sql), "select pg_terminate_backend(%s)", pid);
        signal_backend(pid, "STOP");
        rig_inspect_begin(rig, &inspection, &answer);
        if (hangs)
            rig_until(rig, &answer.done, "it does not wait for ever");
        rig_sql(rig, sql);
        signal_backend(pid, "CONT");
        rig_until(rig, &answer.done, "it is answered without the connection");
        assert_false(look.ok);
        assert_non_null(strstr(look.problem, hangs ? "within 2 s" : "terminating connection"));
    }
    json_free(look_at_server(rig, &look));
    assert_int_equal(rig->downs, 0); /* nobody else has noticed */
}

/* A postmaster that stands still accepts, as far as a client sees, and says nothing. */
static void a_connection_that_comes_late_serves_who_asks_again(void **state)
{
    struct rig *rig = *state;
    struct rig_look first, second;
    struct rig_answer answer = {.look = &second};
    const struct db_inspection inspection = {.look = DB_LOOK_PREPARED};
    uint64_t serial = rig->pg->shared.serial;
    char pid[16];
    snprintf(pid, sizeof(pid), "%s",
             rig_sql(rig, "select split_part(pg_read_file('postmaster.pid'), e'\n', 1)"));
    signal_backend(pid, "STOP");
    rig_inspect(rig, &inspection, &first);
    rig_inspect_begin(rig, &inspection, &answer);
    signal_backend(pid, "CONT");
    rig_until(rig, &answer.done, "the one after it is answered");
    assert_false(first.ok);
    assert_non_null(strstr(first.problem, "within 2 s"));
    if (!second.ok)
        fail_msg("%s", second.problem);
    assert_int_equal(rig->pg->shared.serial, serial + 1); /* one was made, and not given up */
    assert_int_equal(rig->downs, 0);
}

static void a_database_that_is_away_is_the_answer(void **state)
{
    (void)state;
    struct rig rig = {.conninfo = "host=/nonexistent dbname=x"};
    struct rig_look look;
    const struct db_inspection inspection = {.look = DB_LOOK_PREPARED};
    rig_start(&rig, 1);
    for (int i = 0; i < 2; i++) {
        rig_inspect(&rig, &inspection, &look);
        assert_false(look.ok);
        assert_non_null(strstr(look.problem, "/nonexistent"));
    }
    rig_stop(&rig);
}

static void many_looks_at_once_are_each_answered(void **state)
{
    enum { MANY = 70 }; /* more than wait at one time */
    struct rig *rig = *state;
    static struct rig_look looks[MANY];
    struct rig_answer *answers = calloc(MANY, sizeof(*answers));
    const struct db_inspection inspection = {.look = DB_LOOK_PREPARED};
    int refused = 0;
    prepare(rig);
    for (int i = 0; i < MANY; i++) {
        answers[i].look = &looks[i];
        rig_inspect_begin(rig, &inspection, &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each look is answered");
        refused += !looks[i].ok;
        if (looks[i].ok)
            assert_int_equal(looks[i].held_count, 1);
        else
            assert_non_null(strstr(looks[i].problem, "too many questions"));
    }
    assert_int_equal(refused, 6);
    free(answers);
}

/* ---- what operators forced ----------------------------------------------------------------- */

static void an_outcome_that_was_forced_is_kept_until_it_is_forgotten(void **state)
{
    struct rig *rig = *state;
    struct rig_heuristics kept;
    struct db_heuristic row = {.gid = rig_gid,
                               .commit = true,
                               .xid = (UINT64_C(1) << 32) + 5,
                               .reason = "the journal's disk \"burned\"; ada's decision",
                               .by = "ada@desk",
                               .at_us = 1700000000000001};
    struct db_heuristic other = {
        .gid = "troth.rig.c1.7.2.0", .reason = "r", .by = "b", .at_us = 1700000000000002};
    assert_int_equal(rig_heuristic(rig, &row), DB_STORED);
    assert_int_equal(rig_heuristic(rig, &other), DB_STORED);
    row.commit = false;
    assert_int_equal(rig_heuristic(rig, &row), DB_CHANGED);
    uint64_t xid = prepare(rig);
    rig_lose_power(rig);
    rig_heuristics(rig, &kept);
    assert_true(kept.ok);
    assert_int_equal(kept.count, 2);
    assert_string_equal(kept.rows[0].gid, other.gid); /* newest first */
    assert_int_equal(kept.rows[0].xid, 0);
    assert_string_equal(kept.rows[1].gid, rig_gid);
    assert_true(kept.rows[1].commit);
    assert_int_equal(kept.rows[1].xid, row.xid);
    assert_string_equal(kept.rows[1].reason, row.reason);
    assert_string_equal(kept.rows[1].by, row.by);
    assert_int_equal(kept.rows[1].at_us, row.at_us);
    assert_int_equal(rig_forget(rig, rig_gtrid), DB_STORED);
    assert_int_equal(rig_forget(rig, rig_gtrid), DB_STORED);
    rig_heuristics(rig, &kept);
    assert_int_equal(kept.count, 1);
    assert_string_equal(kept.rows[0].gid, other.gid);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.heuristic"), "2");
    /* The branch that was prepared before the server died is known by other names now. */
    struct rig_look look;
    struct json *report = look_at(rig, &look);
    assert_int_equal(look.xid, xid);
    assert_int_equal(number_of(item(part(report, "locks"), 0), "rows"), 1);
    json_free(report);
}

static void another_participants_rows_are_not_mine(void **state)
{
    struct rig *rig = *state;
    struct rig_heuristics kept;
    const struct db_heuristic row = {.gid = rig_gid, .reason = "r", .by = "b", .at_us = 1};
    rig_sql(rig, "insert into troth.heuristic values"
                 " ('troth.rig.c1.7.1.1', 'orders', 'rig.c1.7.1', true, 7, 'r', 'b', 1)");
    assert_int_equal(rig_heuristic(rig, &row), DB_STORED);
    assert_int_equal(rig_forget(rig, rig_gtrid), DB_STORED);
    rig_heuristics(rig, &kept);
    assert_int_equal(kept.count, 0);
    assert_string_equal(
        rig_sql(rig, "select string_agg(gid, ' ') from troth.heuristic where forgotten_at is null"),
        "troth.rig.c1.7.1.1");
}

/* Not stored, or not told: the caller loads and sees. */
static void a_row_that_can_not_be_stored_is_not_told_as_stored(void **state)
{
    struct rig *rig = *state;
    const struct db_heuristic row = {.gid = rig_gid, .reason = "r", .by = "b", .at_us = 1};
    rig_sql(rig, "alter table troth.heuristic rename to heuristic_away");
    enum db_stored stored = rig_heuristic(rig, &row);
    rig_sql(rig, "alter table troth.heuristic_away rename to heuristic");
    assert_int_equal(stored, DB_STORE_FAILED);
    /* Its commit fails: what the statement itself said counts for nothing. */
    rig_sql(rig, "create function rig_no() returns trigger language plpgsql as"
                 " $$begin raise 'no'; end$$; create constraint trigger rig_no after insert on"
                 " troth.heuristic deferrable initially deferred for each row execute function"
                 " rig_no()");
    stored = rig_heuristic(rig, &row);
    rig_sql(rig, "drop function rig_no() cascade");
    assert_int_equal(stored, DB_STORE_FAILED);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.heuristic"), "0");
    assert_int_equal(rig_heuristic(rig, &row), DB_STORED);
}

/* Its connection dies with the question on its way: the answer is that nobody knows. */
static void a_row_whose_connection_dies_is_not_told_as_stored(void **state)
{
    struct rig *rig = *state;
    struct rig_heuristics kept;
    struct rig_answer answer = {0};
    const struct db_heuristic row = {.gid = rig_gid, .reason = "r", .by = "b", .at_us = 1};
    char pid[16], sql[80];
    rig_heuristics(rig, &kept);
    snprintf(pid, sizeof(pid), "%s",
             rig_sql(rig, "select pid from pg_stat_activity where query ~ 'from troth.heuristic'"
                          " and pid <> pg_backend_pid()"));
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%s)", pid);
    signal_backend(pid, "STOP");
    rig_heuristic_begin(rig, &row, &answer);
    rig_sql(rig, sql);
    signal_backend(pid, "CONT");
    rig_until(rig, &answer.done, "it is answered without the connection");
    assert_int_equal(answer.stored, DB_STORE_FAILED);
    time_t limit = time(NULL) + 20;
    for (kept.ok = false; !kept.ok; rig_heuristics(rig, &kept)) /* until the connection is back */
        assert_true(time(NULL) < limit);
    assert_int_equal(kept.count, 0);
    assert_int_equal(rig_heuristic(rig, &row), DB_STORED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_prepared_branch_is_shown_with_what_it_holds),
        WITH_RIG(what_became_of_an_xid_is_told_when_nothing_is_prepared),
        WITH_RIG(the_register_and_the_barrier_are_told),
        WITH_RIG(those_who_wait_for_a_row_are_named_with_their_queries),
        WITH_RIG(of_two_prepared_transactions_each_has_its_own_waiters),
        WITH_RIG(who_waits_for_one_that_waits_is_blocked_too),
        WITH_RIG(who_waits_behind_a_lock_table_is_blocked_too),
        WITH_RIG(who_inserts_a_key_that_the_branch_has_inserted_is_blocked),
        WITH_RIG(rows_are_counted_where_that_harms_nobody),
        WITH_RIG(all_of_the_server_are_listed_with_their_databases),
        WITH_RIG(the_server_is_described),
        WITH_RIG(a_role_that_may_see_little_is_told_little_and_nothing_fails),
        WITH_RIG(what_keeps_the_port_down_can_be_looked_at),
        cmocka_unit_test_setup_teardown(what_is_a_standby_and_what_has_one_says_so, setup_standby,
                                        teardown_standby),
        WITH_RIG(a_connection_that_hangs_or_dies_costs_one_look),
        WITH_RIG(a_connection_that_comes_late_serves_who_asks_again),
        cmocka_unit_test(a_database_that_is_away_is_the_answer),
        WITH_RIG(many_looks_at_once_are_each_answered),
        WITH_RIG(an_outcome_that_was_forced_is_kept_until_it_is_forgotten),
        WITH_RIG(another_participants_rows_are_not_mine),
        WITH_RIG(a_row_whose_connection_dies_is_not_told_as_stored),
        WITH_RIG(a_row_that_can_not_be_stored_is_not_told_as_stored),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
