/* The database port when something breaks: what was lost, what is certain, and what comes back. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/pg_rig.h"

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
    struct db_statement statements[] = {rig_take(rig_ten_of_a),
                                        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    rig->port->cancel(rig->port->self, &answer);
    rig_until(rig, &answer.done, "the cancelled work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    assert_string_equal(rig_prepared_count(rig), "0");
    /* The cancel hits nobody else. */
    for (int i = 0; i < 10; i++) {
        answer = (struct rig_answer){0};
        work.statement_count = 1;
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
}

static void work_that_waits_for_a_session_is_cancelled_without_running(void **state)
{
    struct rig *rig = *state;
    struct rig_answer first = {0}, second = {0}, third = {0};
    struct db_statement sleep = rig_plain("sleep", "select pg_sleep(60)");
    struct db_work works[] = {rig_work_of(DB_READ_ONLY, NULL, &sleep, 1),
                              rig_work_of(DB_READ_ONLY, NULL, &sleep, 1),
                              rig_work_of(DB_PREPARE, rig_gid, &sleep, 1)};
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

static void a_backend_killed_before_prepare_is_lost_with_nothing_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, scan = {0};
    struct db_statement statements[] = {rig_take(rig_ten_of_a),
                                        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 2);
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
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
}

static void a_lost_one_phase_commit_is_found_out_by_lookup(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statements[] = {
        rig_plain("give", "update rig set n = n + 1 where id = 'a'"),
        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, statements, 2);
    rig_sql(rig, "delete from troth.barrier");
    begin_sleeping(rig, &work, &answer);
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_LOST);
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FENCED);
    assert_string_equal(rig_balance(rig), "100");
}

static void work_lost_before_its_commit_was_sent_has_certainly_failed(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    /* The expectation keeps COMMIT back for a second round trip. */
    struct db_statement statements[] = {rig_take(rig_ten_of_a),
                                        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    rig_sql(rig, end_sleeper);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.reason, "database connection lost");
    assert_string_equal(rig_balance(rig), "100");
}

/* The socket breaks under a client whose backend is held: the backend's COMMIT may still come, so
 * the lookup must not say no until it is gone. */
static void a_lookup_waits_until_the_lost_backend_is_gone(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, lookup = {0};
    struct db_statement statements[] = {
        rig_plain("give", "update rig set n = n + 1 where id = 'a'"),
        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_ONE_PHASE, rig_gtrid, statements, 2);
    rig_sql(rig, "delete from troth.barrier");
    begin_sleeping(rig, &work, &answer);
    for (int i = 0; i < rig->pg->worker_count; i++) {
        struct pg_worker *worker = &rig->pg->workers[i];
        if (!worker->work)
            continue;
        assert_int_equal(kill(worker->connection.backend_pid, SIGSTOP), 0);
        assert_int_equal(shutdown(PQsocket(worker->connection.handle), SHUT_RDWR), 0);
    }
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_LOST);
    rig->port->lookup(rig->port->self, rig_gtrid, true, &lookup);
    rig_until_count(rig, &rig->pg->fence_rounds, 3, "the port looks for the lost backend");
    assert_false(lookup.done);
    int pid = atoi(rig_sql(rig, "select pid from pg_stat_activity where application_name like"
                                " 'troth:rig:payments:%' and wait_event = 'PgSleep'"));
    assert_int_equal(kill(pid, SIGCONT), 0);
    rig_until(rig, &lookup.done, "the lookup is answered");
    assert_int_equal(lookup.found, DB_FENCED);
    assert_string_equal(rig_balance(rig), "100");
}

/* PREPARE waits for a standby that is not there; the wait is cancelled with only a WARNING. */
static void a_cancelled_wait_for_the_standby_is_no_yes(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, scan = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_sql(rig, "set synchronous_commit = local");
    rig_sql(rig, "alter system set synchronous_standby_names = 'nobody'");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", "nobody");
    rig_work_begin(rig, &work, &answer);
    bool waits = false;
    while (!answer.done && !waits) {
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
        waits = strcmp(rig_sql(rig, "select count(*) from pg_stat_activity where"
                                    " application_name like 'troth:rig:%' and"
                                    " wait_event = 'SyncRep'"),
                       "1") == 0;
    }
    rig->port->cancel(rig->port->self, &answer);
    rig_until(rig, &answer.done, "the cancelled work is answered");
    rig_sql(rig, "alter system reset synchronous_standby_names");
    rig_sql(rig, "select pg_reload_conf()");
    assert_true(waits);
    assert_int_equal(answer.outcome, DB_LOST);
    rig_scan(rig, &scan);
    assert_int_equal(scan.count, 1);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
}

/* ---- scan, fence, down and up -------------------------------------------------------------- */

static void a_scan_lists_foreign_transactions_too_with_their_xids(void **state)
{
    struct rig *rig = *state;
    struct rig_answer scan = {0}, answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    rig_work(rig, &work, &answer);
    rig_sql(rig, "begin; insert into rig values ('c', 1); prepare transaction 'somebody else''s'");
    rig_scan(rig, &scan);
    assert_true(scan.ok);
    assert_int_equal(scan.slots, atoi(rig_sql(rig, "show max_prepared_transactions")));
    assert_int_equal(scan.count, 2);
    int ours = strcmp(scan.prepared[0].gid, rig_gid) == 0 ? 0 : 1;
    assert_string_equal(scan.prepared[ours].gid, rig_gid);
    assert_string_equal(scan.prepared[!ours].gid, "somebody else's");
    assert_true(scan.prepared[ours].xid == answer.xid);
    int64_t wall_us =
        strtoll(rig_sql(rig, "select (extract(epoch from now()) * 1000000)::bigint"), NULL, 10);
    assert_true(scan.prepared[ours].prepared_at_us <= wall_us);
    assert_true(scan.prepared[ours].prepared_at_us > wall_us - 60 * 1000000);
    rig_sql(rig, "rollback prepared 'somebody else''s'");
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
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
    assert_string_equal(rig_prepared_count(rig), "0");
    assert_string_equal(rig_balance(rig), "100");
}

static void when_the_server_stops_all_is_answered_and_it_comes_up_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, refused = {0}, after = {0};
    struct db_statement statements[] = {rig_take(rig_ten_of_a),
                                        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 2);
    begin_sleeping(rig, &work, &answer);
    PQfinish(rig->side);
    cluster_call("cluster_stop", "payments");
    rig_until_count(rig, &rig->downs, 1, "the port is down");
    assert_true(answer.done);
    assert_int_equal(answer.outcome, DB_LOST);
    rig_work(rig, &work, &refused);
    assert_int_equal(refused.outcome, DB_FAILED);
    assert_non_null(strstr(refused.reason, "can't be used"));
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_UNFINISHED);
    assert_int_equal(rig_status(rig, 1000), DB_STATUS_ERROR);
    assert_int_equal(rig_lookup(rig, rig_gtrid), DB_FOUND_ERROR);
    cluster_call("cluster_start", "payments");
    rig_until_count(rig, &rig->ups, 2, "the port is up again");
    rig->side = PQconnectdb(rig->conninfo);
    assert_string_equal(rig_prepared_count(rig), "0");
    work.statement_count = 1;
    rig_work(rig, &work, &after);
    assert_int_equal(after.outcome, DB_PREPARED);
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_FINISHED);
    assert_string_equal(rig_balance(rig), "90");
}

static void freeing_the_port_with_work_under_way_is_clean(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answers[4] = {{0}};
    struct db_statement statements[] = {rig_take(rig_ten_of_a),
                                        rig_plain("sleep", "select pg_sleep(60)")};
    struct db_work work = rig_work_of(DB_READ_ONLY, NULL, statements + 1, 1);
    for (int i = 0; i < 4; i++)
        rig_work_begin(rig, &work, &answers[i]);
    rig->port->finish(rig->port->self, rig_gid, true, &answers[0]);
    rig->port->scan(rig->port->self, &answers[0]);
    rig_stop(rig);
    assert_false(answers[0].done);
    rig_sql(rig, end_sleeper);
    rig_start(rig, 2);
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(cancelled_work_fails_and_holds_nothing),
        WITH_RIG(work_that_waits_for_a_session_is_cancelled_without_running),
        WITH_RIG(a_backend_killed_before_prepare_is_lost_with_nothing_prepared),
        WITH_RIG(a_lost_one_phase_commit_is_found_out_by_lookup),
        WITH_RIG(work_lost_before_its_commit_was_sent_has_certainly_failed),
        WITH_RIG(a_lookup_waits_until_the_lost_backend_is_gone),
        WITH_RIG(a_cancelled_wait_for_the_standby_is_no_yes),
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
