/* The registers of three-phase transactions when something breaks: all is answered, and nothing as
 * stored that may get lost. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/register_rig.h"

static void wait_for_register_to_wait(struct rig *rig, const char *event)
{
    char sql[200];
    snprintf(sql, sizeof(sql),
             "select count(*) from pg_stat_activity where pid = %d and wait_event_type = '%s'",
             rig->pg->registers.connection.backend_pid, event);
    rig_turn_until_sql(rig, sql, "1");
}

static void end_register_backend(struct rig *rig, const char *how)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "select %s(%d)", how, rig->pg->registers.connection.backend_pid);
    rig_sql(rig, sql);
}

static void when_the_connection_is_lost_all_is_answered_and_it_comes_back(void **state)
{
    struct rig *rig = *state;
    struct rig_answer under_way = {0}, waiting = {0}, load = {0}, refused = {0};
    struct db_register row = registers_row(rig_gtrid, &fresh),
                       other = registers_row("rig.c1.7.2", &fresh);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    row.state = promised;
    rig_sql(rig, "begin; update troth.register set value = value");
    rig_store_begin(rig, &row, &fresh, &under_way);
    wait_for_register_to_wait(rig, "Lock");
    rig_store_begin(rig, &other, NULL, &waiting);
    rig_load_begin(rig, rig_gtrid, &load);
    end_register_backend(rig, "pg_terminate_backend");
    rig_until(rig, &under_way.done, "the store under way is answered");
    assert_true(waiting.done && load.done);
    assert_int_equal(under_way.stored, DB_STORE_FAILED);
    assert_int_equal(waiting.stored, DB_STORE_FAILED);
    assert_int_equal(load.found, DB_FOUND_ERROR);
    rig_load(rig, rig_gtrid, &refused);
    assert_int_equal(refused.found, DB_FOUND_ERROR);
    rig_sql(rig, "rollback");
    registers_turn_until_ready(rig);
    assert_int_equal(rig->downs, 0);
    registers_expect(rig, rig_gtrid, &fresh);
    registers_expect_none(rig, "rig.c1.7.2");
    assert_int_equal(rig_store(rig, &row, &fresh), DB_STORED);
}

static void while_the_server_is_down_all_is_answered(void **state)
{
    struct rig *rig = *state;
    struct rig_answer load = {0};
    struct db_register row = registers_row(rig_gtrid, &promised);
    const uint64_t seqs[] = {1};
    PQfinish(rig->side);
    cluster_call("cluster_stop", "payments");
    rig_until_count(rig, &rig->downs, 1, "the port is down");
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_FOUND_ERROR);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORE_FAILED);
    assert_int_equal(rig_store(rig, &row, &fresh), DB_STORE_FAILED);
    rig->port->register_settle(rig->port->self, "c1", 7, seqs, 1);
    rig->port->clean(rig->port->self, 0);
    cluster_call("cluster_start", "payments");
    rig_until_count(rig, &rig->ups, 2, "the port is up again");
    rig->side = PQconnectdb(rig->conninfo);
    registers_expect_none(rig, rig_gtrid);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
}

static void a_statement_that_somebody_deallocated_is_prepared_again(void **state)
{
    struct rig *rig = *state;
    struct rig_answer load = {0};
    pg_connection_query(&rig->pg->registers.connection, "deallocate all", 0, NULL);
    rig->pg->registers.steps[0] = NULL;
    rig->pg->registers.step_count = 1;
    rig->pg->registers.step_next = 0;
    rig->pg->registers.preparing = true;
    pg_connection_sync(&rig->pg->registers.connection);
    registers_turn_until_ready(rig);
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_FOUND_ERROR);
    registers_turn_until_ready(rig);
    registers_expect_none(rig, rig_gtrid);
}

/* The wait for the standby is cancelled: what was stored can be read, and yet is not safe. */
static void what_no_standby_has_is_neither_stored_nor_found(void **state)
{
    struct rig *rig = *state;
    struct rig_answer store = {0}, load = {0};
    struct db_register row = registers_row(rig_gtrid, &promised);
    rig_sql(rig, "set synchronous_commit = local");
    rig_sql(rig, "alter system set synchronous_standby_names = 'nobody'");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", "nobody");
    rig_store_begin(rig, &row, NULL, &store);
    wait_for_register_to_wait(rig, "IPC");
    end_register_backend(rig, "pg_cancel_backend");
    rig_until(rig, &store.done, "the store is answered");
    assert_int_equal(store.stored, DB_STORE_FAILED);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register"), "1");
    rig_load_begin(rig, rig_gtrid, &load);
    wait_for_register_to_wait(rig, "IPC");
    assert_false(load.done);
    rig_forget_standby(rig);
    rig_until(rig, &load.done, "the load is answered");
    assert_int_equal(load.found, DB_FOUND);
    assert_true(register_state_equal(&load.row.state, &promised));
}

static void freeing_the_port_with_stores_under_way_is_clean(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answers[3] = {{0}};
    struct db_register row = registers_row(rig_gtrid, &fresh);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    rig_sql(rig, "begin; update troth.register set value = value");
    rig_store_begin(rig, &row, &fresh, &answers[0]);
    wait_for_register_to_wait(rig, "Lock");
    rig_store_begin(rig, &row, &fresh, &answers[1]);
    rig_load_begin(rig, rig_gtrid, &answers[2]);
    rig_stop(rig);
    rig_sql(rig, "rollback");
    assert_false(answers[0].done || answers[1].done || answers[2].done);
    rig_start(rig, 2);
}

/* The next process ends the session of this one that would still store. */
static void a_store_of_an_older_process_is_ended_before_up(void **state)
{
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &fresh);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    char conninfo[512];
    snprintf(conninfo, sizeof(conninfo), "%s application_name=%s1", rig->conninfo,
             rig->pg->shared.name);
    rig_stop(rig);
    PGconn *older = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(older), CONNECTION_OK);
    PQclear(PQexec(older, "begin; update troth.register set promised_round = 99"));
    rig_start_again(rig);
    registers_expect(rig, rig_gtrid, &fresh);
    PQclear(PQexec(older, "commit"));
    assert_int_equal(PQstatus(older), CONNECTION_BAD);
    PQfinish(older);
    row.state = promised;
    assert_int_equal(rig_store(rig, &row, &fresh), DB_STORED);
}

static void the_connection_for_registers_is_opened_when_it_is_needed_first(void **state)
{
    enum { SOME = 5 };
    static const char open[] = "select count(*) from pg_stat_activity where application_name like"
                               " 'troth:rig:payments:%'";
    struct rig *rig = *state;
    struct rig_answer answers[SOME] = {{0}}, load = {0};
    struct db_work works[SOME];
    char gids[SOME][40];
    rig_stop(rig);
    rig->two_phase = true;
    rig_start_again(rig);
    rig_await_sql(rig, open, "5"); /* control, two for work, two for finishing */
    for (int i = 0; i < SOME; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.7.%d.0", i + 1);
        works[i] = rig_work_of(DB_PREPARE, gids[i], NULL, 0);
        works[i].sites = registers_sites;
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < SOME; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    assert_string_equal(rig_sql(rig, open), "6");
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_NOT_FOUND);
    assert_string_equal(rig_sql(rig, open), "6");
    for (int i = 0; i < SOME; i++)
        assert_int_equal(rig_finish(rig, gids[i], false), DB_FINISHED);
}

static void what_waits_for_its_first_connection_is_answered_when_the_server_stops(void **state)
{
    struct rig *rig = *state;
    struct rig_answer load = {0}, answer = {0};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, NULL, 0);
    work.sites = registers_sites;
    rig_stop(rig);
    rig->two_phase = true;
    rig_start_again(rig);
    int ups = rig->ups;
    PQfinish(rig->side);
    cluster_call("cluster_kill", "payments");
    rig_work_begin(rig, &work, &answer);
    rig_load_begin(rig, rig_gtrid, &load);
    rig_until(rig, &answer.done, "the work is answered");
    rig_until(rig, &load.done, "the load is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_int_equal(load.found, DB_FOUND_ERROR);
    cluster_call("cluster_start", "payments");
    rig->side = PQconnectdb(rig->conninfo);
    rig_until_count(rig, &rig->ups, ups + 1, "the port is up again");
    registers_expect_none(rig, rig_gtrid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(when_the_connection_is_lost_all_is_answered_and_it_comes_back),
        WITH_RIG(while_the_server_is_down_all_is_answered),
        WITH_RIG(a_statement_that_somebody_deallocated_is_prepared_again),
        cmocka_unit_test_setup_teardown(what_no_standby_has_is_neither_stored_nor_found, rig_setup,
                                        rig_forget_standby_and_teardown),
        WITH_RIG(freeing_the_port_with_stores_under_way_is_clean),
        WITH_RIG(a_store_of_an_older_process_is_ended_before_up),
        WITH_RIG(the_connection_for_registers_is_opened_when_it_is_needed_first),
        WITH_RIG(what_waits_for_its_first_connection_is_answered_when_the_server_stops),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
