/* A register accepts commit and its branch is committed, in one flush: what is answered as done is
 * safe, what is refused was never begun, and whatever fails is nobody else's harm. */
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/register_rig.h"

/* Transactions of a test: branch n is prepared as troth.rig.c1.7.<n>.0 and inserts the row x<n>. */
enum { MOST = 120 };

static const struct register_state commit = {.value = REGISTER_COMMIT};

struct branch {
    char gtrid[40], gid[48];
    struct db_register row;
    struct rig_answer answer;
};

struct branches {
    struct rig rig; /* first: what the rig's own setup and teardown see */
    struct branch all[MOST + 1];
};

/* One turn of the loop, for what has no event of its own; it fails the test after 20 s. */
static void turn(struct branches *of, time_t begun, const char *what)
{
    if (time(NULL) > begun + 20)
        fail_msg("not within 20 s: %s", what);
    uv_run(loop_uv(of->rig.loop), UV_RUN_NOWAIT);
}

static void turn_until_ready(struct branches *of)
{
    const struct pg *pg = of->rig.pg;
    time_t begun = time(NULL);
    rig_turn_until_sql(&of->rig,
                       "select count(*) from pg_stat_activity"
                       " where application_name like 'troth:rig:payments:%'",
                       pg->accepting.wanted ? "7" : "6"); /* control, registers, accepting if it
                                                             was used, two for work and for ends */
    while (!pg_connection_ready(&pg->finishers[0].connection) ||
           !pg_connection_ready(&pg->finishers[1].connection) ||
           (pg->accepting.wanted && !pg_batch_ready(&pg->accepting)))
        turn(of, begun, "all sessions are back");
}

static int setup(void **state)
{
    struct branches *of = calloc(1, sizeof(*of));
    for (int i = 1; i <= MOST; i++) {
        struct branch *at = &of->all[i];
        snprintf(at->gtrid, sizeof(at->gtrid), "rig.c1.7.%d", i);
        snprintf(at->gid, sizeof(at->gid), "troth.rig.c1.7.%d.0", i);
        at->row = registers_row(at->gtrid, &commit);
    }
    rig_open(&of->rig, 2);
    turn_until_ready(of);
    *state = of;
    return 0;
}

static void prepare(struct branches *of, int first, int last)
{
    for (int i = first; i <= last; i++) {
        char sql[200];
        snprintf(sql, sizeof(sql), "begin; insert into rig values ('x%d', 1)", i);
        rig_sql(&of->rig, sql);
        snprintf(sql, sizeof(sql), "prepare transaction '%s'", of->all[i].gid);
        rig_sql(&of->rig, sql);
    }
}

static void begin(struct branches *of, int n)
{
    of->all[n].answer = (struct rig_answer){.accepted = -1};
    rig_accept_begin(&of->rig, &of->all[n].row, of->all[n].gid, &of->all[n].answer);
}

static void expect(struct branches *of, int n, enum db_accepted answer)
{
    rig_until(&of->rig, &of->all[n].answer.done, "the acceptance is answered");
    assert_int_equal(of->all[n].answer.accepted, answer);
}

static void expect_now(struct branches *of, int n, enum db_accepted answer)
{
    begin(of, n);
    expect(of, n, answer);
}

/* Rows of the register that say commit at ballot {0,0}, and what of the branches is committed. */
static void expect_counts(struct branches *of, const char *rows, const char *committed)
{
    assert_string_equal(rig_sql(&of->rig, "select count(*) from troth.register where value = 2 and"
                                          " promised_round = 0 and accepted_round = 0"),
                        rows);
    assert_string_equal(rig_sql(&of->rig, "select count(*) from rig where id like 'x%'"),
                        committed);
}

/* ---- what is answered ------------------------------------------------------------------------ */

static void the_row_and_the_branch_are_committed(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    struct rig_answer answer = {0}, load = {0};
    struct db_statement take = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &take, 1);
    work.sites = registers_sites;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    expect_now(of, 1, DB_ACCEPTED);
    assert_string_equal(rig_balance(rig), "90");
    assert_string_equal(rig_prepared_count(rig), "0");
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_COMMITTED);
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_FOUND);
    assert_true(register_state_equal(&load.row.state, &commit));
    assert_true(load.row.begun_us == of->all[1].row.begun_us);
    assert_string_equal(load.row.sites, ""); /* its branch had the list */
    assert_int_equal(rig_finish(rig, rig_gid, true), DB_MISSING);
    expect_now(of, 1, DB_ACCEPT_REFUSED); /* its own row is one, too */
}

/* All of it goes at once. */
static void where_there_is_a_row_nothing_is_done_and_others_feel_nothing(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    struct rig_answer finished[2] = {{0}};
    prepare(of, 1, 6);
    for (int i = 1; i <= 2; i++) {
        struct db_register row = registers_row(of->all[i].gtrid, &promised);
        assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    }
    for (int i = 1; i <= 2; i++)
        begin(of, i);
    for (int i = 3; i <= 4; i++)
        rig_finish_begin(rig, of->all[i].gid, i == 3, &finished[i - 3]);
    for (int i = 5; i <= 6; i++)
        begin(of, i);
    for (int i = 1; i <= 6; i++)
        if (i < 3 || i > 4)
            expect(of, i, i < 3 ? DB_ACCEPT_REFUSED : DB_ACCEPTED);
    for (int i = 0; i < 2; i++)
        assert_int_equal(finished[i].finish, DB_FINISHED);
    assert_string_equal(rig_prepared_count(rig), "2");
    expect_counts(of, "2", "3");
    for (int i = 1; i <= 2; i++) {
        registers_expect(rig, of->all[i].gtrid, &promised);
        expect_now(of, i, DB_ACCEPT_REFUSED);
        assert_int_equal(rig_finish(rig, of->all[i].gid, false), DB_FINISHED);
    }
}

static void a_branch_that_is_not_there_leaves_the_row_alone(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 2, 3);
    begin(of, 1);
    begin(of, 2);
    begin(of, 4);
    begin(of, 3);
    expect(of, 1, DB_ACCEPT_UNKNOWN);
    expect(of, 2, DB_ACCEPTED);
    expect(of, 4, DB_ACCEPT_UNKNOWN);
    expect(of, 3, DB_ACCEPTED);
    expect_counts(of, "4", "2");
    registers_expect(rig, of->all[1].gtrid, &commit);
}

/* A row that is being inserted decides when its transaction ends. */
static void of_a_row_that_is_being_inserted_the_end_decides(void **state)
{
    static const char *const ends[] = {"rollback", "commit"};
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, 2);
    for (int i = 1; i <= 2; i++) {
        char sql[200];
        snprintf(sql, sizeof(sql),
                 "begin; insert into troth.register (participant, gtrid, sites, begun_us)"
                 " values ('payments', '%s', '', 1)",
                 of->all[i].gtrid);
        rig_sql(rig, sql);
        begin(of, i);
        rig_turn_until_sql(rig, lock_waits, "1");
        assert_false(of->all[i].answer.done);
        rig_sql(rig, ends[i - 1]);
        expect(of, i, i == 1 ? DB_ACCEPTED : DB_ACCEPT_REFUSED);
    }
    expect_counts(of, "1", "1");
    assert_string_equal(rig_prepared_count(rig), "1");
}

/* Over two connections, in whatever order they come: never both, never neither. */
static void of_a_promise_and_an_acceptance_one_comes_first(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    struct rig_answer stores[MOST + 1] = {{0}};
    char count[12];
    int done = 0;
    prepare(of, 1, MOST);
    for (int i = 1; i <= MOST; i++) {
        struct db_register row = registers_row(of->all[i].gtrid, &promised);
        rig_store_begin(rig, &row, NULL, &stores[i]);
        begin(of, i);
        if (i % 10 == 0) /* else all stores were one batch */
            uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    }
    for (int i = 1; i <= MOST; i++) {
        rig_until(rig, &stores[i].done, "the store is answered");
        rig_until(rig, &of->all[i].answer.done, "the acceptance is answered");
        bool was_accepted = of->all[i].answer.accepted == DB_ACCEPTED;
        assert_int_equal(of->all[i].answer.accepted,
                         was_accepted ? DB_ACCEPTED : DB_ACCEPT_REFUSED);
        assert_int_equal(stores[i].stored, was_accepted ? DB_CHANGED : DB_STORED);
        registers_expect(rig, of->all[i].gtrid, was_accepted ? &commit : &promised);
        done += was_accepted;
    }
    snprintf(count, sizeof(count), "%d", done);
    expect_counts(of, count, count);
}

/* ---- the disk -------------------------------------------------------------------------------- */

static void what_was_accepted_survives_a_power_cut(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, MOST);
    for (int i = 1; i < MOST; i++)
        begin(of, i);
    for (int i = 1; i < MOST; i++)
        expect(of, i, DB_ACCEPTED);
    rig_lose_power(rig);
    turn_until_ready(of);
    expect_counts(of, "119", "119");
    expect_now(of, MOST, DB_ACCEPTED);
    rig_lose_power(rig);
    expect_counts(of, "120", "120");
    assert_string_equal(rig_prepared_count(rig), "0");
}

/* What the walwriter does by itself comes too seldom to hide it. */
static void the_row_alone_waits_for_no_flush(void **state)
{
    enum { TIMES = 40 };
    struct rig *rig = *state;
    struct branches *of = *state;
    int unflushed = 0;
    for (int i = 1; i <= TIMES; i++) {
        expect_now(of, i, DB_ACCEPT_UNKNOWN); /* no such branch */
        unflushed += *rig_sql(rig, "select pg_current_wal_flush_lsn()"
                                   " < pg_current_wal_insert_lsn()") == 't';
    }
    expect_counts(of, "40", "0");
    assert_true(unflushed > TIMES / 2);
}

static const char *one_of(const char *how)
{
    static char sql[200];
    snprintf(
        sql, sizeof(sql),
        "select %s(pid) from pg_stat_activity where wait_event = 'SyncRep' order by pid limit 1",
        how);
    return sql;
}

static const char waits_for_standby[] = "select count(*) from pg_stat_activity where wait_event ="
                                        " 'SyncRep' and query like 'COMMIT%'";

/* It is for the commit that is waited, and only for that; a wait that is cancelled leaves a doubt,
 * and that is this branch's alone. */
static void what_no_standby_has_is_not_known(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    rig_sql(rig, "set synchronous_commit = local");
    prepare(of, 1, 4);
    rig_sql(rig, "alter system set synchronous_standby_names = 'nobody'");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", "nobody");
    begin(of, 1);
    begin(of, 2);
    rig_turn_until_sql(rig, waits_for_standby, "2");
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register"), "2");
    rig_sql(rig, one_of("pg_cancel_backend"));
    rig_turn_until_sql(rig, waits_for_standby, "1");
    begin(of, 3); /* on the session that was left alone by its wait */
    rig_turn_until_sql(rig, waits_for_standby, "2");
    rig_sql(rig, one_of("pg_terminate_backend"));
    rig_turn_until_sql(rig, waits_for_standby, "1");
    rig_forget_standby(rig);
    int accepted_count = 0;
    for (int i = 1; i <= 3; i++) {
        rig_until(rig, &of->all[i].answer.done, "each is answered");
        accepted_count += of->all[i].answer.accepted == DB_ACCEPTED;
        assert_int_not_equal(of->all[i].answer.accepted, DB_ACCEPT_REFUSED);
    }
    assert_int_equal(accepted_count, 1);
    expect_counts(of, "3", "3");
    turn_until_ready(of);
    expect_now(of, 4, DB_ACCEPTED);
}

/* With that default nobody would wait, and a failover could forget what was told as accepted. */
static void a_standby_is_waited_for_whatever_the_default_of_the_database(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    char sql[160];
    rig_sql(rig, "set synchronous_commit = local");
    prepare(of, 1, 1);
    snprintf(sql, sizeof(sql), "alter database %s set synchronous_commit = off", PQdb(rig->side));
    rig_sql(rig, sql);
    rig_stop(rig);
    rig_start_again(rig);
    turn_until_ready(of);
    snprintf(sql, sizeof(sql), "alter database %s reset synchronous_commit", PQdb(rig->side));
    rig_sql(rig, sql);
    rig_sql(rig, "alter system set synchronous_standby_names = 'nobody'");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", "nobody");
    begin(of, 1);
    rig_turn_until_sql(rig, waits_for_standby, "1");
    rig_forget_standby(rig);
    expect(of, 1, DB_ACCEPTED);
}

/* ---- what fails ------------------------------------------------------------------------------ */

static void allow_sessions(struct rig *rig)
{
    rig_sql(rig, "update pg_database set datallowconn = true where datname = current_database()");
}

static int allow_sessions_and_close(void **state)
{
    allow_sessions(*state);
    return rig_teardown(state);
}

/* As where the server has too few connections: then each acceptance goes the ordinary way at once,
 * and waits for none of the tries, which come ever later. */
static void where_no_session_can_be_had_nobody_waits_for_one(void **state)
{
    enum { TRIES_FAILED = 3 }; /* the next one is half a second away at least */
    struct rig *rig = *state;
    struct branches *of = *state;
    const struct pg_connection *accepting = &rig->pg->accepting.connection;
    prepare(of, 1, 3);
    rig_sql(rig, "update pg_database set datallowconn = false where datname = current_database()");
    expect_now(of, 1, DB_ACCEPT_UNKNOWN);
    time_t begun = time(NULL);
    while (accepting->failures < TRIES_FAILED || accepting->state != PG_CONNECTION_WAITING)
        turn(of, begun, "it is tried again");
    expect_now(of, 2, DB_ACCEPT_UNKNOWN);
    assert_int_equal(accepting->failures, TRIES_FAILED);
    allow_sessions(rig);
    turn_until_ready(of);
    for (int i = 1; i <= 3; i++)
        expect_now(of, i, DB_ACCEPTED);
}

/* Whatever keeps a row out: others are ended meanwhile, and those asked for later come after it. */
static void what_keeps_the_row_out_keeps_no_end_out(void **state)
{
    enum { CANCELLED, TIMED_OUT, WAYS };
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, 5);
    expect_now(of, 5, DB_ACCEPTED); /* the session is there from now on */
    for (int way = CANCELLED; way < WAYS; way++) {
        int first = 1 + 2 * way;
        rig_sql(rig, "begin; lock table troth.register");
        begin(of, first);
        rig_turn_until_sql(rig, lock_waits, "1");
        assert_int_equal(rig_finish(rig, of->all[first + 1].gid, true), DB_FINISHED);
        if (way == CANCELLED)
            rig_sql(rig, "select pg_cancel_backend(pid) from pg_locks where not granted");
        expect(of, first, DB_ACCEPT_UNKNOWN);
        rig_sql(rig, "rollback");
    }
    expect_counts(of, "1", "3");
    time_t begun = time(NULL);
    rig_sql(rig, "begin; lock table troth.register");
    for (int i = 6; i <= MOST; i++)
        begin(of, i);
    for (int i = 6; i <= MOST; i++) /* together, and not one second after the other */
        expect(of, i, DB_ACCEPT_UNKNOWN);
    assert_in_range(time(NULL) - begun, 0, 20);
    rig_sql(rig, "rollback");
    assert_int_equal(rig->downs, 0);
    expect_now(of, 1, DB_ACCEPTED);
    expect_now(of, 3, DB_ACCEPTED);
    expect_counts(of, "3", "5");
}

/* Runs until an acceptance waits for its row. */
static void hold(struct branches *of, int n)
{
    rig_sql(&of->rig, "begin; lock table troth.register");
    begin(of, n);
    rig_turn_until_sql(&of->rig, lock_waits, "1");
}

static void a_lost_session_for_the_row_tells_nothing(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, 4);
    hold(of, 1);
    for (int i = 2; i <= 4; i++)
        begin(of, i);
    rig_sql(rig, "select pg_terminate_backend(pid) from pg_locks where not granted");
    for (int i = 1; i <= 4; i++)
        expect(of, i, DB_ACCEPT_UNKNOWN);
    rig_sql(rig, "rollback");
    turn_until_ready(of);
    assert_int_equal(rig->downs, 0);
    expect_counts(of, "0", "0");
    for (int i = 1; i <= 4; i++)
        expect_now(of, i, DB_ACCEPTED);
}

static void end_finishers(struct branches *of, int count)
{
    const struct pg *pg = of->rig.pg;
    time_t begun = time(NULL);
    for (int i = 0; i < count; i++) {
        char sql[100];
        uint64_t before = pg->finishers[i].connection.serial;
        snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d)",
                 pg->finishers[i].connection.backend_pid);
        rig_sql(&of->rig, sql);
        while (pg->finishers[i].connection.serial == before ||
               !pg_connection_ready(&pg->finishers[i].connection))
            turn(of, begun, "the finisher has another session");
    }
}

/* The server may have crashed between the row and the commit, and lost the row: a session that was
 * made since does not know. */
static void a_branch_is_committed_by_a_session_that_is_older_than_its_row(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, 4);
    expect_now(of, 1, DB_ACCEPTED);
    int backend = rig->pg->accepting.connection.backend_pid;
    for (int i = 1; i <= 2; i++) {
        assert_int_equal(kill(backend, SIGSTOP), 0);
        begin(of, 1 + i);
        time_t begun = time(NULL);
        while (rig->pg->accepting.count == 0)
            turn(of, begun, "the row is asked for");
        end_finishers(of, i);
        assert_false(of->all[1 + i].answer.done);
        assert_int_equal(kill(backend, SIGCONT), 0);
        /* The first by the session that was left alone. */
        expect(of, 1 + i, i == 1 ? DB_ACCEPTED : DB_ACCEPT_UNKNOWN);
    }
    expect_counts(of, "3", "2");
    assert_string_equal(rig_prepared_count(rig), "2");
    expect_now(of, 4, DB_ACCEPTED);
    assert_int_equal(rig_finish(rig, of->all[3].gid, true), DB_FINISHED);
}

/* As after a failover, when some sessions are at the old server. */
static void a_branch_is_committed_at_the_server_that_has_the_row(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    char server[32];
    prepare(of, 1, 4);
    expect_now(of, 1, DB_ACCEPTED);
    memcpy(server, rig->pg->finishers[0].connection.server, sizeof(server));
    assert_string_equal(rig_sql(rig, "select extract(epoch from pg_postmaster_start_time())"),
                        server);
    for (int i = 0; i < 2; i++) {
        rig->pg->finishers[i].connection.server[0] = '-';
        expect_now(of, 2 + i, i == 0 ? DB_ACCEPTED : DB_ACCEPT_UNKNOWN);
    }
    expect_counts(of, "3", "2");
    memcpy(rig->pg->finishers[0].connection.server, server, sizeof(server));
    expect_now(of, 4, DB_ACCEPTED);
}

static void a_commit_of_the_row_that_fails_is_not_known(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, 2);
    rig_sql(rig, "create or replace function rig_fail() returns trigger language plpgsql as"
                 " $$ begin raise unique_violation; end $$;"
                 "create constraint trigger rig after insert on troth.register deferrable"
                 " initially deferred for each row execute function rig_fail()");
    expect_now(of, 1, DB_ACCEPT_UNKNOWN); /* and not refused */
    rig_sql(rig, "drop function rig_fail cascade");
    turn_until_ready(of);
    expect_counts(of, "0", "0");
    for (int i = 1; i <= 2; i++)
        expect_now(of, i, DB_ACCEPTED);
    assert_int_equal(rig->downs, 0);
}

static void while_the_server_is_down_all_is_answered(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    int ups = rig->ups;
    prepare(of, 1, 1);
    PQfinish(rig->side);
    cluster_call("cluster_stop", "payments");
    expect_now(of, 1, DB_ACCEPT_UNKNOWN); /* on sessions that are not known to be lost yet */
    rig_until_count(rig, &rig->downs, 1, "the port is down");
    expect_now(of, 1, DB_ACCEPT_UNKNOWN); /* on none */
    cluster_call("cluster_start", "payments");
    rig->side = PQconnectdb(rig->conninfo);
    rig_until_count(rig, &rig->ups, ups + 1, "the port is up again");
    turn_until_ready(of);
    expect_counts(of, "0", "0");
    expect_now(of, 1, DB_ACCEPTED);
}

static void freeing_the_port_with_acceptances_under_way_is_clean(void **state)
{
    struct rig *rig = *state;
    struct branches *of = *state;
    prepare(of, 1, 4);
    begin(of, 1); /* before there is a connection for it */
    rig_stop(rig);
    rig_start_again(rig);
    hold(of, 2);
    for (int i = 3; i <= 4; i++)
        begin(of, i);
    rig_stop(rig);
    rig_sql(rig, "rollback");
    rig_start_again(rig); /* which ends those sessions, if they have not ended */
    for (int i = 1; i <= 4; i++)
        assert_false(of->all[i].answer.done);
    assert_string_equal(rig_prepared_count(rig), "4");
}

#define WITH_BRANCHES(test) cmocka_unit_test_setup_teardown(test, setup, rig_teardown)

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_BRANCHES(the_row_and_the_branch_are_committed),
        WITH_BRANCHES(where_there_is_a_row_nothing_is_done_and_others_feel_nothing),
        WITH_BRANCHES(a_branch_that_is_not_there_leaves_the_row_alone),
        WITH_BRANCHES(of_a_row_that_is_being_inserted_the_end_decides),
        WITH_BRANCHES(of_a_promise_and_an_acceptance_one_comes_first),
        WITH_BRANCHES(what_was_accepted_survives_a_power_cut),
        WITH_BRANCHES(the_row_alone_waits_for_no_flush),
        cmocka_unit_test_setup_teardown(what_no_standby_has_is_not_known, setup,
                                        rig_forget_standby_and_teardown),
        cmocka_unit_test_setup_teardown(
            a_standby_is_waited_for_whatever_the_default_of_the_database, setup,
            rig_forget_standby_and_teardown),
        cmocka_unit_test_setup_teardown(where_no_session_can_be_had_nobody_waits_for_one, setup,
                                        allow_sessions_and_close),
        WITH_BRANCHES(what_keeps_the_row_out_keeps_no_end_out),
        WITH_BRANCHES(a_lost_session_for_the_row_tells_nothing),
        WITH_BRANCHES(a_branch_is_committed_by_a_session_that_is_older_than_its_row),
        WITH_BRANCHES(a_branch_is_committed_at_the_server_that_has_the_row),
        WITH_BRANCHES(a_commit_of_the_row_that_fails_is_not_known),
        WITH_BRANCHES(while_the_server_is_down_all_is_answered),
        WITH_BRANCHES(freeing_the_port_with_acceptances_under_way_is_clean),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
