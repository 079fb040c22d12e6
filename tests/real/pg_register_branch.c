/* A branch of a three-phase transaction and the row of its register: nothing is prepared behind the
 * back of a site that finishes without us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/register_rig.h"

static void a_prepared_branch_has_its_row_beside_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, scan = {0}, load = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = registers_row(rig_gtrid, &fresh);
    work.row = &row;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_false(answer.fenced);
    assert_true(answer.xid > 0);
    /* The row is no part of the branch: it is there before the branch ends, and stays after it. */
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_FOUND);
    assert_string_equal(load.row.sites, registers_sites);
    assert_true(load.row.begun_us == row.begun_us);
    assert_true(register_state_equal(&load.row.state, &fresh));
    rig_sql(rig,
            "begin; insert into rig values ('c', 1); prepare transaction 'troth.rig.c1.7.2.0'");
    rig_scan(rig, &scan);
    assert_int_equal(scan.count, 2);
    for (int i = 0; i < 2; i++) {
        bool ours = strcmp(scan.prepared[i].gid, rig_gid) == 0;
        assert_int_equal(scan.prepared[i].registered, ours);
        assert_string_equal(scan.prepared[i].sites, ours ? registers_sites : "");
    }
    assert_int_equal(rig_finish(rig, "troth.rig.c1.7.2.0", false), DB_FINISHED);
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_IN_PROGRESS);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    registers_expect(rig, rig_gtrid, &fresh);
}

static void a_row_that_was_there_fences_the_branch(void **state)
{
    struct rig *rig = *state;
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = registers_row(rig_gtrid, &promised);
    row.sites = "";
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    row = registers_row(rig_gtrid, &fresh);
    work.row = &row;
    for (int i = 0; i < 3; i++) {
        struct rig_answer answer = {0};
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_true(answer.fenced);
        assert_string_equal(answer.sqlstate, "");
        assert_string_equal(rig_prepared_count(rig), "0");
    }
    registers_expect(rig, rig_gtrid, &promised);
    /* The sessions are clean. */
    work.row = NULL;
    for (int i = 0; i < 3; i++) {
        struct rig_answer answer = {0};
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_false(answer.fenced);
        assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    }
}

/* Another site's ask is being stored while the branch comes: the branch waits for how that ends. */
static void a_row_that_is_being_inserted_is_waited_for(void **state)
{
    static const char *const ends[] = {"commit", "rollback"};
    struct rig *rig = *state;
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = registers_row(rig_gtrid, &fresh);
    work.row = &row;
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {0};
        rig_sql(rig, "delete from troth.register");
        rig_sql(rig, "begin; insert into troth.register (gtrid, participant, sites, begun_us)"
                     " values ('rig.c1.7.1', 'payments', '', 0)");
        rig_work_begin(rig, &work, &answer);
        rig_turn_until_sql(rig, lock_waits, "1");
        rig_sql(rig, ends[i]);
        rig_until(rig, &answer.done, "the work is answered");
        assert_int_equal(answer.fenced, i == 0);
        assert_int_equal(answer.outcome, i == 0 ? DB_FAILED : DB_PREPARED);
    }
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
}

static void a_branch_that_is_cancelled_before_its_row_is_there_never_runs(void **state)
{
    struct rig *rig = *state;
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = registers_row(rig_gtrid, &fresh);
    struct rig_answer answer = {0}, other = {0};
    work.row = &row;
    rig_sql(rig, "begin; insert into troth.register (gtrid, participant, sites, begun_us)"
                 " values ('rig.c1.7.1', 'payments', '', 0)");
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, lock_waits, "1");
    rig->in_call = true;
    rig->port->cancel(rig->port->self, &answer);
    rig->in_call = false;
    rig_sql(rig, "rollback");
    rig_until(rig, &answer.done, "the cancelled work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    assert_false(answer.fenced);
    assert_string_equal(rig_prepared_count(rig), "0");
    row.gtrid = "rig.c1.7.2";
    rig_work(rig, &work, &other);
    assert_int_equal(other.outcome, DB_PREPARED);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
}

/* Of many rows that go together one was there: it alone is fenced. */
static void a_fenced_branch_takes_no_other_with_it(void **state)
{
    enum { SOME = 8, FENCED = 5 };
    struct rig *rig = *state;
    struct rig_answer answers[SOME] = {{0}};
    struct db_work works[SOME];
    struct db_register rows[SOME];
    char gids[SOME][40], gtrids[SOME][40];
    for (int i = 0; i < SOME; i++) {
        snprintf(gtrids[i], sizeof(gtrids[i]), "rig.c1.7.%d", i + 1);
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.7.%d.0", i + 1);
        works[i] = rig_work_of(DB_PREPARE, gids[i], NULL, 0);
        rows[i] = registers_row(gtrids[i], &fresh);
        works[i].row = &rows[i];
    }
    assert_int_equal(rig_store(rig, &rows[FENCED], NULL), DB_STORED);
    for (int i = 0; i < SOME; i++)
        rig_work_begin(rig, &works[i], &answers[i]);
    for (int i = 0; i < SOME; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].fenced, i == FENCED);
        assert_int_equal(answers[i].outcome, i == FENCED ? DB_FAILED : DB_PREPARED);
        if (i != FENCED)
            assert_int_equal(rig_finish(rig, gids[i], false), DB_FINISHED);
    }
}

static void without_its_row_nothing_is_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = registers_row(rig_gtrid, &fresh);
    work.row = &row;
    rig_sql(rig, "alter table troth.register add constraint rig check (sites = '')");
    rig_work(rig, &work, &answer);
    rig_sql(rig, "alter table troth.register drop constraint rig");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_false(answer.fenced);
    assert_string_equal(answer.sqlstate, "23514");
    assert_non_null(strstr(answer.reason, "check constraint"));
    assert_string_equal(rig_prepared_count(rig), "0");
}

static void when_the_row_connection_is_lost_the_branch_has_failed(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, again = {0};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, NULL, 0);
    struct db_register row = registers_row(rig_gtrid, &fresh);
    char sql[100];
    work.row = &row;
    rig_sql(rig, "begin; insert into troth.register (gtrid, participant, sites, begun_us)"
                 " values ('rig.c1.7.1', 'payments', '', 0)");
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, lock_waits, "1");
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d)",
             rig->pg->rows.connection.backend_pid);
    rig_sql(rig, sql);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_false(answer.fenced);
    rig_sql(rig, "rollback");
    assert_string_equal(rig_prepared_count(rig), "0");
    registers_turn_until_ready(rig);
    rig_work(rig, &work, &again);
    assert_int_equal(again.outcome, DB_PREPARED);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
}

/* The branch fails after its row, so there is no PREPARE to flush it: the log's end on the disk
 * stays where it was. PostgreSQL's own writer may move it at any time, so one quiet try is enough.
 */
static void the_row_waits_for_no_flush(void **state)
{
    struct rig *rig = *state;
    struct db_statement statement = rig_plain("divide", "select 1 / 0");
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    char gtrid[40], before[40];
    bool quiet = false;
    for (int i = 0; i < 100 && !quiet; i++) {
        struct rig_answer answer = {0};
        snprintf(gtrid, sizeof(gtrid), "rig.c1.9.%d", i + 1);
        struct db_register row = registers_row(gtrid, &fresh);
        work.row = &row;
        snprintf(before, sizeof(before), "%s", rig_sql(rig, "select pg_current_wal_flush_lsn()"));
        rig_work(rig, &work, &answer);
        quiet = strcmp(before, rig_sql(rig, "select pg_current_wal_flush_lsn()")) == 0;
        assert_string_equal(answer.sqlstate, "22012");
        char sql[100];
        snprintf(sql, sizeof(sql), "select count(*) from troth.register where gtrid = '%s'", gtrid);
        assert_string_equal(rig_sql(rig, sql), "1");
    }
    assert_true(quiet);
}

static void what_was_prepared_is_there_after_a_power_cut_and_its_row_too(void **state)
{
    enum { MANY = 24 };
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(MANY, sizeof(*answers)), scan = {0};
    struct db_statement statement = rig_plain("nothing", "select 1");
    struct db_work works[MANY];
    struct db_register rows[MANY];
    char gids[MANY][40], gtrids[MANY][40];
    for (int i = 0; i < MANY; i++) {
        snprintf(gtrids[i], sizeof(gtrids[i]), "rig.c1.7.%d", i + 1);
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.7.%d.0", i + 1);
        works[i] = rig_work_of(DB_PREPARE, gids[i], &statement, 1);
        rows[i] = registers_row(gtrids[i], &fresh);
        works[i].row = &rows[i];
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    rig_lose_power(rig);
    rig_scan(rig, &scan);
    assert_int_equal(scan.count, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_true(scan.prepared[i].registered);
        registers_expect(rig, gtrids[i], &fresh);
        assert_int_equal(rig_finish(rig, gids[i], false), DB_FINISHED);
    }
    free(answers);
}

/* While the database is busy: the first row waits for others, and not for ever. */
static void rows_of_branches_that_come_one_after_the_other_share_a_statement(void **state)
{
    enum { BUSY = PG_BATCH_BUSY, ROWS = 3 };
    struct rig *rig = *state;
    struct rig_answer busy[BUSY] = {0}, answers[ROWS] = {0};
    struct db_statement wait = rig_plain("wait", "select pg_advisory_xact_lock_shared(77)");
    struct db_work works[BUSY], branches[ROWS];
    struct db_register rows[ROWS];
    char gids[ROWS][40], gtrids[ROWS][40];
    rig_close(rig);
    rig_open(rig, BUSY + ROWS);
    works[0] = rig_work_of(DB_PREPARE, rig_gid, NULL, 0);
    works[0].row = &(struct db_register){.gtrid = "rig.c1.7.90", .sites = registers_sites};
    rig_work(rig, &works[0], &answers[0]); /* the first one ever makes the connection */
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    answers[0] = (struct rig_answer){0};
    rig_sql(rig, "select pg_advisory_lock(77)");
    for (int i = 0; i < BUSY; i++) {
        works[i] = rig_work_of(DB_READ_ONLY, NULL, &wait, 1);
        rig_work_begin(rig, &works[i], &busy[i]);
    }
    for (int i = 0; i < ROWS; i++) {
        snprintf(gids[i], sizeof(gids[0]), "troth.rig.c1.9.%d.0", i + 1);
        snprintf(gtrids[i], sizeof(gtrids[i]), "rig.c1.9.%d", i + 1);
        rows[i] = registers_row(gtrids[i], &fresh);
        branches[i] = rig_work_of(DB_PREPARE, gids[i], NULL, 0);
        branches[i].row = &rows[i];
        rig_work_begin(rig, &branches[i], &answers[i]);
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT); /* turns of their own */
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    }
    for (int i = 0; i < ROWS; i++) {
        rig_until(rig, &answers[i].done, "the branch is prepared");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
        assert_int_equal(rig_finish(rig, gids[i], false), DB_FINISHED);
    }
    rig_sql(rig, "select pg_advisory_unlock(77)");
    assert_string_equal(rig_sql(rig, "select count(distinct xmin::text) from troth.register"
                                     " where gtrid like 'rig.c1.9.%'"),
                        "1");
    for (int i = 0; i < BUSY; i++)
        rig_until(rig, &busy[i].done, "the work is answered");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_prepared_branch_has_its_row_beside_it),
        WITH_RIG(a_row_that_was_there_fences_the_branch),
        WITH_RIG(a_row_that_is_being_inserted_is_waited_for),
        WITH_RIG(a_branch_that_is_cancelled_before_its_row_is_there_never_runs),
        WITH_RIG(a_fenced_branch_takes_no_other_with_it),
        WITH_RIG(without_its_row_nothing_is_prepared),
        WITH_RIG(when_the_row_connection_is_lost_the_branch_has_failed),
        WITH_RIG(the_row_waits_for_no_flush),
        WITH_RIG(rows_of_branches_that_come_one_after_the_other_share_a_statement),
        WITH_RIG(what_was_prepared_is_there_after_a_power_cut_and_its_row_too),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
