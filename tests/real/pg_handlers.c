/* The database port whose work is functions of the program: what it says is what happened, also
 * when a function does what it must not. */
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_private.h"
#include "tests/real/support/register_rig.h"

/* ---- handlers ------------------------------------------------------------------------------ */

typedef void handler(PGconn *connection, const char *sql, struct pg_handler_answer *answer);

/* What PostgreSQL says is its answer, and the first value is its result. */
static void obey(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    answer->done = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (PQntuples(result) > 0)
        answer->result = xstrdup(PQgetvalue(result, 0, 0));
    if (!answer->done) {
        const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
        answer->sqlstate = xstrdup(sqlstate ? sqlstate : "08006");
        answer->message = xstrdup(PQresultErrorMessage(result));
        answer->detail = xstrdup("");
    }
    PQclear(result);
}

/* Whatever PostgreSQL says. */
static void insist(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    PQclear(PQexec(connection, sql));
    answer->done = true;
}

static void refuse(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    PQclear(PQexec(connection, sql));
    answer->refusal = xstrdup("no_luck");
    answer->message = xstrdup("not today");
}

static void leave_pipeline(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    PQclear(PQexec(connection, sql));
    PQenterPipelineMode(connection);
    answer->done = true;
}

static void leave_result(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    PQsendQuery(connection, sql);
    answer->done = true;
}

static void hang_up(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    PQreset(connection);
    insist(connection, sql, answer);
}

/* A handler that waits for something that is not PostgreSQL. */
static struct gate {
    pthread_mutex_t mutex;
    pthread_cond_t opened;
    bool waits, open;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, false, false};

static void wait_at_gate(PGconn *connection, const char *sql, struct pg_handler_answer *answer)
{
    insist(connection, sql, answer);
    pthread_mutex_lock(&gate.mutex);
    gate.waits = true;
    while (!gate.open)
        pthread_cond_wait(&gate.opened, &gate.mutex);
    gate.waits = gate.open = false;
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_open(void)
{
    pthread_mutex_lock(&gate.mutex);
    gate.open = true;
    pthread_cond_broadcast(&gate.opened);
    pthread_mutex_unlock(&gate.mutex);
}

static bool gate_has_one(void)
{
    pthread_mutex_lock(&gate.mutex);
    bool waits = gate.waits;
    pthread_mutex_unlock(&gate.mutex);
    return waits;
}

static void call(void *self, const struct db_call *called, const char *id, PGconn *connection,
                 struct pg_handler_answer *answer)
{
    (void)self;
    assert_non_null(id);
    handler *const *known = called->handler;
    (*known)(connection, called->arguments, answer);
}

static const struct pg_handlers handlers = {NULL, call};
static handler *const obeys = obey, *const insists = insist, *const refuses = refuse,
                      *const leaves_pipeline = leave_pipeline, *const leaves_result = leave_result,
                      *const hangs_up = hang_up, *const waits_at_gate = wait_at_gate;

/* ---- work ---------------------------------------------------------------------------------- */

static const char take_ten[] = "update rig set n = n - 10 where id = 'a' returning n";

static struct db_call call_of(handler *const *known, const char *sql)
{
    return (struct db_call){.handler = known, .operation = "operation", .arguments = sql};
}

static struct db_work work_of(enum db_mode mode, const char *id, const struct db_call *calls,
                              int count)
{
    return (struct db_work){.mode = mode,
                            .gid = id,
                            .gtrid = id ? id : "",
                            .calls = calls,
                            .call_count = count,
                            .timeout_us = 10000000};
}

static struct rig_answer answer_to(struct rig *rig, const struct db_work *work)
{
    struct rig_answer answer = {.result_count = work->call_count};
    rig_work(rig, work, &answer);
    return answer;
}

static struct rig_answer ask(struct rig *rig, enum db_mode mode, handler *const *known,
                             const char *sql)
{
    struct db_call one = call_of(known, sql);
    struct db_work work = work_of(mode, mode == DB_PREPARE ? rig_gid : rig_gtrid, &one, 1);
    return answer_to(rig, &work);
}

/* The next work is done as if nothing had been. */
static void works_on(struct rig *rig)
{
    char before[32];
    snprintf(before, sizeof(before), "%s", rig_balance(rig));
    for (int i = 0; i < 3; i++) {
        struct rig_answer answer = ask(rig, DB_PREPARE, &obeys, take_ten);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
    assert_string_equal(rig_balance(rig), before);
    assert_string_equal(rig_prepared_count(rig), "0");
}

static void failed(const struct rig_answer *answer, const char *sqlstate, const char *refusal,
                   const char *reason)
{
    assert_int_equal(answer->outcome, DB_FAILED);
    assert_string_equal(answer->sqlstate, sqlstate);
    assert_string_equal(answer->refusal, refusal);
    if (!strstr(answer->reason, reason))
        fail_msg("\"%s\" does not say \"%s\"", answer->reason, reason);
}

static const char locks_of_ours[] =
    "select count(*) from pg_locks l join pg_stat_activity a using (pid)"
    " where a.application_name like 'troth:rig:payments:%' and l.relation = 'rig'::regclass";

/* ---- modes --------------------------------------------------------------------------------- */

static void a_branch_is_prepared_then_committed_and_its_xid_proves_it(void **state)
{
    struct rig *rig = *state;
    struct db_call calls[] = {call_of(&obeys, take_ten), call_of(&obeys, "select '{\"id\": 1}'")};
    struct db_work work = work_of(DB_PREPARE, rig_gid, calls, 2);
    struct rig_answer answer = answer_to(rig, &work);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_int_equal(answer.failed_statement, -1);
    assert_string_equal(answer.results[0], "90");
    assert_string_equal(answer.results[1], "{\"id\": 1}");
    assert_string_equal(rig_sql(rig, "select gid from pg_prepared_xacts"), rig_gid);
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_IN_PROGRESS);
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "90");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_COMMITTED);
}

static void expect_found(struct rig *rig, const char *sites)
{
    struct rig_answer scan = {0};
    rig_scan(rig, &scan);
    assert_int_equal(scan.count, 1);
    assert_int_equal(scan.prepared[0].registered, sites[0] != '\0');
    assert_string_equal(scan.prepared[0].sites, sites);
}

static void a_branch_of_three_phases_has_its_list(void **state)
{
    struct rig *rig = *state;
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work work = work_of(DB_PREPARE, rig_gid, &one, 1);
    for (int i = 0; i < 3; i++) { /* the second time its number is known */
        work.sites = i < 2 ? registers_sites : NULL;
        struct rig_answer answer = answer_to(rig, &work);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_true(answer.xid > 0);
        expect_found(rig, i < 2 ? registers_sites : "");
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
    rig_sql(rig, "truncate troth.sites; alter table troth.sites add constraint rig check"
                 " (sites = '')");
    work.sites = "payments=tcp://3";
    struct rig_answer answer = answer_to(rig, &work);
    rig_sql(rig, "alter table troth.sites drop constraint rig");
    failed(&answer, "23514", "", "check constraint");
    assert_string_equal(rig_prepared_count(rig), "0");
    works_on(rig);
}

static void one_phase_leaves_its_row_and_is_not_done_twice(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = ask(rig, DB_ONE_PHASE, &obeys, take_ten);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FOUND);
    answer = ask(rig, DB_ONE_PHASE, &obeys, take_ten);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_true(answer.duplicate);
    assert_string_equal(answer.sqlstate, "23505");
    assert_string_equal(rig_balance(rig), "90");
    works_on(rig);
}

static void a_step_keeps_its_result_byte_for_byte(void **state)
{
    static const char made[] = "select E'{\"s\":\"\\'\\\\\\\\ %s $1 \\u20ac\"}'";
    struct rig *rig = *state;
    struct rig_answer found = {0};
    struct db_call one = call_of(&obeys, made);
    struct db_work work = work_of(DB_ONE_PHASE, rig_gtrid, &one, 1);
    work.keeps_result = true;
    struct rig_answer answer = answer_to(rig, &work);
    assert_int_equal(answer.outcome, DB_COMMITTED);
    rig_look(rig, rig_gtrid, &found);
    assert_int_equal(found.found, DB_FOUND);
    assert_string_equal(found.kept, answer.results[0]);
    assert_string_equal(found.kept, "{\"s\":\"'\\\\ %s $1 \u20ac\"}");
}

static void a_result_that_is_too_large_to_keep_is_not_done(void **state)
{
    struct rig *rig = *state;
    struct db_call calls[] = {call_of(&obeys,
                                      "update rig set n = 1 where id = 'a' returning '\"' ||"
                                      " repeat('x', 32768) || '\"'")};
    struct db_work work = work_of(DB_ONE_PHASE, rig_gtrid, calls, 1);
    work.keeps_result = true;
    struct rig_answer answer = answer_to(rig, &work);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_true(answer.too_large);
    assert_string_equal(rig_balance(rig), "100");
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
}

static void a_commit_is_on_the_disk_whatever_the_handler_has_set(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = ask(rig, DB_ONE_PHASE, &obeys,
                                   "create table seen (v text);"
                                   "create function look() returns trigger language plpgsql as $$"
                                   " begin insert into seen values"
                                   " (current_setting('synchronous_commit')); return null; end $$;"
                                   "create constraint trigger at_end after update on rig"
                                   " deferrable initially deferred for each row"
                                   " execute function look();"
                                   "set synchronous_commit = off; update rig set n = 1");
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(rig_sql(rig, "select distinct v from seen"), "on");
    rig_sql(rig, "drop table seen; drop trigger at_end on rig; drop function look()");
}

static void read_only_work_reads_and_that_is_all(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = ask(rig, DB_READ_ONLY, &obeys, "select n from rig where id = 'b'");
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(answer.results[0], "100");
    answer = ask(rig, DB_READ_ONLY, &obeys, take_ten);
    failed(&answer, "25006", "", "read-only");
    answer = ask(rig, DB_READ_ONLY, &obeys, "set transaction read write; select 1");
    assert_int_equal(answer.outcome, DB_COMMITTED);
    answer = ask(rig, DB_READ_ONLY, &obeys,
                 "set transaction read write; update rig set n = 0 returning n");
    failed(&answer, "", "handler_wrote", "read-only");
    assert_string_equal(rig_balance(rig), "100");
    works_on(rig);
}

static void a_handler_may_choose_how_its_transaction_is_isolated(void **state)
{
    struct rig_answer answer =
        ask(*state, DB_READ_ONLY, &obeys,
            "set transaction isolation level serializable;"
            " select '\"' || current_setting('transaction_isolation') || '\"'");
    assert_int_equal(answer.outcome, DB_COMMITTED);
    assert_string_equal(answer.results[0], "\"serializable\"");
}

/* ---- step by step -------------------------------------------------------------------------- */

/* One request of a branch that stays open: the answer is the tag, so it is used again. */
static void step(struct rig *rig, struct rig_answer *tag, const struct db_work *work)
{
    *tag = (struct rig_answer){.result_count = work->call_count};
    rig_work(rig, work, tag);
}

static void steps_are_one_transaction_that_is_prepared_in_the_end(void **state)
{
    struct rig *rig = *state;
    struct rig_answer first, second;
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work take = work_of(DB_STEP, rig_gid, &one, 1);
    struct db_call other = call_of(&obeys, "update rig set n = n - 1 where id = 'b' returning n");
    struct db_work take_b = work_of(DB_STEP, rig_gid, &other, 1);
    struct db_work prepare = work_of(DB_PREPARE, rig_gid, NULL, 0);
    struct db_work take_back = work_of(DB_ROLLBACK, NULL, NULL, 0);
    prepare.open = true;
    prepare.sites = registers_sites;
    for (int i = 0; i < 3; i++) {
        step(rig, &first, &take);
        assert_int_equal(first.outcome, DB_OPENED);
        step(rig, &second, &take_b);
        assert_int_equal(second.outcome, DB_OPENED);
    }
    assert_string_equal(first.results[0], "70");
    assert_string_equal(second.results[0], "97");
    assert_string_equal(rig_balance(rig), "100");
    step(rig, &first, &prepare);
    assert_int_equal(first.outcome, DB_PREPARED);
    assert_int_equal(rig_status(rig, first.xid), DB_STATUS_IN_PROGRESS);
    expect_found(rig, registers_sites);
    step(rig, &second, &take_back);
    assert_int_equal(second.outcome, DB_FAILED);
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "70");
    assert_string_equal(rig_sql(rig, "select n from rig where id = 'b'"), "100");
    works_on(rig);
}

static void steps_that_only_read_are_committed(void **state)
{
    struct rig *rig = *state;
    struct rig_answer tag;
    struct db_call one =
        call_of(&obeys, "set transaction read only; select n from rig where id = 'a'");
    struct db_work look = work_of(DB_STEP, rig_gid, &one, 1);
    struct db_work prepare = work_of(DB_PREPARE, rig_gid, NULL, 0);
    prepare.open = true;
    prepare.sites = registers_sites;
    step(rig, &tag, &look);
    assert_int_equal(tag.outcome, DB_OPENED);
    step(rig, &tag, &prepare);
    assert_int_equal(tag.outcome, DB_COMMITTED);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.sites"), "0");
    assert_string_equal(rig_prepared_count(rig), "0");
    assert_string_equal(rig_sql(rig, locks_of_ours), "0");
    works_on(rig);
}

static void a_step_that_fails_leaves_nothing_open(void **state)
{
    struct rig *rig = *state;
    struct rig_answer tag;
    struct db_call good = call_of(&obeys, take_ten), bad = call_of(&refuses, take_ten);
    struct db_work take = work_of(DB_STEP, rig_gid, &good, 1);
    struct db_work fail = work_of(DB_STEP, rig_gid, &bad, 1);
    struct db_work prepare = work_of(DB_PREPARE, rig_gid, NULL, 0);
    prepare.open = true;
    step(rig, &tag, &take);
    step(rig, &tag, &fail);
    failed(&tag, "", "no_luck", "not today");
    assert_string_equal(rig_sql(rig, locks_of_ours), "0");
    step(rig, &tag, &prepare);
    assert_int_equal(tag.outcome, DB_FAILED);
    assert_string_equal(rig_prepared_count(rig), "0");
    works_on(rig);
}

static void what_is_open_and_has_no_list_is_rolled_back(void **state)
{
    struct rig *rig = *state;
    struct rig_answer tag;
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work take = work_of(DB_STEP, rig_gid, &one, 1);
    struct db_work prepare = work_of(DB_PREPARE, rig_gid, NULL, 0);
    prepare.open = true;
    prepare.sites = registers_sites;
    rig_sql(rig, "alter table troth.sites add constraint rig check (sites = '')");
    step(rig, &tag, &take);
    step(rig, &tag, &prepare);
    rig_sql(rig, "alter table troth.sites drop constraint rig");
    failed(&tag, "23514", "", "check constraint");
    assert_string_equal(rig_sql(rig, locks_of_ours), "0");
    works_on(rig);
}

static void what_is_open_is_lost_with_its_session(void **state)
{
    struct rig *rig = *state;
    struct rig_answer tag;
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work take = work_of(DB_STEP, rig_gid, &one, 1);
    step(rig, &tag, &take);
    rig_sql(rig, "select pg_terminate_backend(pid) from pg_stat_activity where application_name"
                 " like 'troth:rig:payments:%' and state = 'idle in transaction'");
    rig_await_sql(rig, locks_of_ours, "0");
    step(rig, &tag, &take);
    failed(&tag, "", "", "connection lost");
    /* A tag that has nothing open begins anew. */
    step(rig, &tag, &take);
    assert_int_equal(tag.outcome, DB_OPENED);
    struct db_work take_back = work_of(DB_ROLLBACK, NULL, NULL, 0);
    step(rig, &tag, &take_back);
    assert_string_equal(rig_balance(rig), "100");
    works_on(rig);
}

/* ---- refusals ------------------------------------------------------------------------------ */

static void a_refusal_is_told_with_its_word_and_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct db_call calls[] = {call_of(&obeys, take_ten), call_of(&refuses, take_ten),
                              call_of(&obeys, "update rig set n = 0")};
    struct db_work work = work_of(DB_PREPARE, rig_gid, calls, 3);
    struct rig_answer answer = answer_to(rig, &work);
    failed(&answer, "", "no_luck", "not today");
    assert_int_equal(answer.failed_statement, 1);
    assert_string_equal(rig_prepared_count(rig), "0");
    works_on(rig);
}

static void an_sql_error_is_told_as_postgresql_says_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = ask(rig, DB_PREPARE, &obeys, "insert into rig values ('a', 1)");
    failed(&answer, "23505", "", "duplicate key");
    assert_int_equal(answer.failed_statement, 0);
    works_on(rig);
}

static void an_error_that_a_handler_passes_over_is_found(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = ask(rig, DB_PREPARE, &insists, "select no_such_thing");
    failed(&answer, "25P02", "", "after a statement failed");
    assert_non_null(strstr(answer.detail, "no_such_thing"));
    works_on(rig);
}

static void what_prepare_refuses_is_told(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = ask(rig, DB_PREPARE, &obeys, "create temporary table t (n int)");
    failed(&answer, "0A000", "", "temporary");
    rig_sql(rig, "create table child (id text references rig deferrable initially deferred)");
    answer = ask(rig, DB_PREPARE, &obeys, "insert into child values ('nobody')");
    failed(&answer, "23503", "", "foreign key");
    answer = ask(rig, DB_ONE_PHASE, &obeys, "insert into child values ('nobody')");
    failed(&answer, "23503", "", "foreign key");
    assert_string_equal(rig_sql(rig, "select count(*) from child"), "0");
    rig_sql(rig, "drop table child");
    works_on(rig);
}

/* ---- misuse -------------------------------------------------------------------------------- */

static void a_handler_that_ends_the_transaction_is_refused(void **state)
{
    static const char *const ends[] = {"commit",
                                       "rollback",
                                       "commit; begin",
                                       "rollback; begin",
                                       "commit and chain",
                                       "prepare transaction 'troth.rig.c1.7.5.0'",
                                       "commit; begin; update rig set n = 5",
                                       "commit; begin; set local troth.transaction = '0'"};
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof(ends) / sizeof(*ends); i++) {
        for (enum db_mode mode = DB_PREPARE; mode <= DB_READ_ONLY; mode++) {
            struct rig_answer answer = ask(rig, mode, &insists, ends[i]);
            failed(&answer, "", "handler_left_transaction", "ended the transaction");
        }
    }
    assert_int_equal(rig_finish(rig, "troth.rig.c1.7.5.0", false), DB_FINISHED);
    works_on(rig);
}

static void a_handler_that_leaves_the_session_otherwise_is_refused(void **state)
{
    static const struct {
        handler *const *known;
        const char *sql;
    } leaves[] = {
        {&leaves_pipeline, "select 1"},
        {&leaves_result, "select 1"},
        {&insists, "copy rig to stdout"},
        {&insists, "copy rig from stdin"},
        {&insists, "set application_name = 'mine'"},
        {&insists, "set local application_name = 'mine'"},
    };
    struct rig *rig = *state;
    for (size_t i = 0; i < sizeof(leaves) / sizeof(*leaves); i++) {
        struct rig_answer answer = ask(rig, DB_PREPARE, leaves[i].known, leaves[i].sql);
        failed(&answer, "", "handler_left_session", "left");
    }
    struct rig_answer answer = ask(rig, DB_PREPARE, &hangs_up, "select 1");
    failed(&answer, "", "handler_left_transaction", "ended the transaction");
    rig_sql(rig, "drop role if exists rig_other; create role rig_other");
    answer = ask(rig, DB_PREPARE, &insists, "set local role rig_other");
    failed(&answer, "", "handler_left_session", "another role");
    rig_sql(rig, "drop role rig_other");
    works_on(rig);
}

/* ---- time ---------------------------------------------------------------------------------- */

static const char sleeper_runs[] =
    "select count(*) from pg_stat_activity where application_name like 'troth:rig:payments:%'"
    " and state = 'active' and wait_event = 'PgSleep'";
static const char end_sleeper[] =
    "select pg_terminate_backend(pid) from pg_stat_activity where application_name like"
    " 'troth:rig:payments:%' and state = 'active' and wait_event = 'PgSleep'";

static void cancelled_work_fails_and_the_cancel_hits_nobody_else(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&obeys, "update rig set n = 0; select pg_sleep(60)");
    struct db_work work = work_of(DB_PREPARE, rig_gid, &one, 1);
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, sleeper_runs, "1");
    rig->port->cancel(rig->port->self, &answer);
    rig_until(rig, &answer.done, "the cancelled work is answered");
    failed(&answer, "57014", "", "cancelled");
    for (int i = 0; i < 5; i++)
        works_on(rig);
}

static bool is_at_gate(struct rig *rig)
{
    for (int i = 0; i < 2000 && !gate_has_one(); i++) {
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
        uv_sleep(1);
    }
    return gate_has_one();
}

static void a_handler_that_comes_back_after_its_cancel_is_refused(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&waits_at_gate, "update rig set n = 0 where id = 'b'");
    struct db_work work = work_of(DB_ONE_PHASE, rig_gtrid, &one, 1);
    rig_work_begin(rig, &work, &answer);
    assert_true(is_at_gate(rig));
    rig->port->cancel(rig->port->self, &answer);
    /* Others work on beside it. */
    works_on(rig);
    assert_false(answer.done);
    gate_open();
    rig_until(rig, &answer.done, "the cancelled work is answered");
    failed(&answer, "57014", "", "cancelled");
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    works_on(rig);
}

static void a_handler_that_hangs_holds_no_lock_after_its_time(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&waits_at_gate, take_ten);
    struct db_work work = work_of(DB_PREPARE, rig_gid, &one, 1);
    work.timeout_us = 1000;
    rig_work_begin(rig, &work, &answer);
    assert_true(is_at_gate(rig));
    rig_await_sql(rig, locks_of_ours, "0");
    gate_open();
    rig_until(rig, &answer.done, "the work is answered");
    assert_true(answer.outcome == DB_FAILED || answer.outcome == DB_LOST);
    assert_string_equal(rig_prepared_count(rig), "0");
    works_on(rig);
}

static void a_statement_is_stopped_by_the_server_when_the_agent_does_not(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&obeys, "select pg_sleep(60)");
    struct db_work work = work_of(DB_PREPARE, rig_gid, &one, 1);
    work.timeout_us = 1000;
    rig_work(rig, &work, &answer);
    failed(&answer, "57014", "", "statement timeout");
    works_on(rig);
}

static void what_waits_for_a_thread_is_cancelled_without_running(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answers[3] = {0};
    struct db_call sleep = call_of(&obeys, "select pg_sleep(60)");
    struct db_work work = work_of(DB_READ_ONLY, "", &sleep, 1);
    for (int i = 0; i < 3; i++)
        rig_work_begin(rig, &work, &answers[i]);
    for (int i = 2; i >= 0; i--) {
        rig->in_call = true;
        rig->port->cancel(rig->port->self, &answers[i]);
        rig->in_call = false;
        rig_until(rig, &answers[i].done, "the cancelled work is answered");
        assert_int_equal(answers[i].outcome, DB_FAILED);
        assert_string_equal(answers[i].sqlstate, "57014");
    }
    works_on(rig);
}

static void many_pieces_of_work_are_each_answered(void **state)
{
    enum { MANY = 60 };
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(MANY, sizeof(*answers));
    struct db_call one = call_of(&obeys, "select n from rig where id = 'b'");
    struct db_work works[MANY];
    char gids[MANY][40];
    for (int i = 0; i < MANY; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.8.%d.0", i + 1);
        works[i] = work_of(i % 2 ? DB_PREPARE : DB_READ_ONLY, gids[i], &one, 1);
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each is answered");
        assert_int_equal(answers[i].outcome, i % 2 ? DB_PREPARED : DB_COMMITTED);
        if (i % 2)
            assert_int_equal(rig_finish(rig, gids[i], true), DB_FINISHED);
    }
    assert_string_equal(rig_prepared_count(rig), "0");
    free(answers);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void a_session_that_is_lost_in_a_handler_leaves_nothing(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&obeys, "update rig set n = 0; select pg_sleep(60)");
    struct db_work work = work_of(DB_ONE_PHASE, rig_gtrid, &one, 1);
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, sleeper_runs, "1");
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    failed(&answer, "", "", "connection lost");
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    works_on(rig);
}

static void a_session_that_is_lost_in_its_commit_leaves_it_open(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work work = work_of(DB_ONE_PHASE, rig_gtrid, &one, 1);
    rig_sql(rig, "create function linger() returns trigger language plpgsql as $$ begin perform"
                 " pg_sleep(60); return null; end $$; create constraint trigger linger after"
                 " update on rig deferrable initially deferred for each row execute function"
                 " linger()");
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, sleeper_runs, "1");
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_LOST);
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    rig_sql(rig, "drop trigger linger on rig; drop function linger()");
    works_on(rig);
}

static void sessions_that_ended_while_they_were_idle_are_made_anew(void **state)
{
    struct rig *rig = *state;
    works_on(rig);
    rig_sql(rig, "select pg_terminate_backend(pid) from pg_stat_activity where application_name"
                 " like 'troth:rig:payments:%' and query like '%PREPARE TRANSACTION%'");
    works_on(rig);
}

/* The sessions that are there stay; no other can be opened. */
static void allow_connections(struct rig *rig, bool allowed)
{
    char *conninfo = xasprintf("%s dbname=postgres", rig->conninfo);
    PGconn *beside = PQconnectdb(conninfo);
    PGresult *result = PQexec(beside, allowed ? "alter database payments allow_connections true"
                                              : "alter database payments allow_connections false");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQfinish(beside);
    free(conninfo);
}

static void work_waits_for_a_session_that_can_not_be_opened_yet(void **state)
{
    struct rig *rig = *state;
    struct rig_answer first = {0}, second = {0};
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work work = work_of(DB_PREPARE, rig_gid, &one, 1);
    allow_connections(rig, false);
    rig_work_begin(rig, &work, &first);
    rig_work_begin(rig, &work, &second);
    rig_turn_until_sql(rig,
                       "select count(*) > 0 from pg_stat_activity where application_name like"
                       " 'troth:rig:payments:%'",
                       "t");
    rig->port->cancel(rig->port->self, &first);
    rig_until(rig, &first.done, "the cancelled work is answered");
    assert_int_equal(first.outcome, DB_FAILED);
    assert_false(second.done);
    allow_connections(rig, true);
    rig_until(rig, &second.done, "the work is done");
    assert_int_equal(second.outcome, DB_PREPARED);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    works_on(rig);
}

static void a_server_that_restarts_is_used_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer tag;
    struct db_call one = call_of(&obeys, take_ten);
    struct db_work take = work_of(DB_STEP, rig_gid, &one, 1);
    works_on(rig);
    step(rig, &tag, &take);
    assert_int_equal(tag.outcome, DB_OPENED);
    rig_lose_power(rig);
    step(rig, &tag, &take);
    failed(&tag, "", "", "connection lost");
    works_on(rig);
}

static void a_stop_ends_what_runs(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_call one = call_of(&obeys, "update rig set n = 0; select pg_sleep(60)");
    struct db_work work = work_of(DB_PREPARE, rig_gid, &one, 1);
    time_t begun = time(NULL);
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, sleeper_runs, "1");
    rig_stop(rig);
    assert_true(time(NULL) - begun < 10);
    assert_false(answer.done);
    rig_await_sql(rig, sleeper_runs, "0");
    assert_string_equal(rig_prepared_count(rig), "0");
    rig_start_again(rig);
    works_on(rig);
}

/* Nobody stays at the gate when a test has failed. */
static int teardown(void **state)
{
    gate_open();
    int code = rig_teardown(state);
    gate.waits = gate.open = false;
    return code;
}

#define TEST(test) cmocka_unit_test_setup_teardown(test, rig_setup, teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        TEST(a_branch_is_prepared_then_committed_and_its_xid_proves_it),
        TEST(a_branch_of_three_phases_has_its_list),
        TEST(one_phase_leaves_its_row_and_is_not_done_twice),
        TEST(a_step_keeps_its_result_byte_for_byte),
        TEST(a_result_that_is_too_large_to_keep_is_not_done),
        TEST(a_commit_is_on_the_disk_whatever_the_handler_has_set),
        TEST(read_only_work_reads_and_that_is_all),
        TEST(a_handler_may_choose_how_its_transaction_is_isolated),
        TEST(steps_are_one_transaction_that_is_prepared_in_the_end),
        TEST(steps_that_only_read_are_committed),
        TEST(a_step_that_fails_leaves_nothing_open),
        TEST(what_is_open_and_has_no_list_is_rolled_back),
        TEST(what_is_open_is_lost_with_its_session),
        TEST(a_refusal_is_told_with_its_word_and_leaves_nothing),
        TEST(an_sql_error_is_told_as_postgresql_says_it),
        TEST(an_error_that_a_handler_passes_over_is_found),
        TEST(what_prepare_refuses_is_told),
        TEST(a_handler_that_ends_the_transaction_is_refused),
        TEST(a_handler_that_leaves_the_session_otherwise_is_refused),
        TEST(cancelled_work_fails_and_the_cancel_hits_nobody_else),
        TEST(a_handler_that_comes_back_after_its_cancel_is_refused),
        TEST(a_handler_that_hangs_holds_no_lock_after_its_time),
        TEST(a_statement_is_stopped_by_the_server_when_the_agent_does_not),
        TEST(what_waits_for_a_thread_is_cancelled_without_running),
        TEST(many_pieces_of_work_are_each_answered),
        TEST(a_session_that_is_lost_in_a_handler_leaves_nothing),
        TEST(a_session_that_is_lost_in_its_commit_leaves_it_open),
        TEST(sessions_that_ended_while_they_were_idle_are_made_anew),
        TEST(work_waits_for_a_session_that_can_not_be_opened_yet),
        TEST(a_server_that_restarts_is_used_again),
        TEST(a_stop_ends_what_runs),
    };
    rig_handlers = &handlers;
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
