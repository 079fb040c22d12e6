/* The registers of three-phase transactions in a real PostgreSQL: what is answered as stored stays,
 * and nothing is prepared behind the back of a site that finishes without us. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <cmocka.h>

#include "io/pg_private.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/pg_rig.h"

static const char sites[] = "0 c1 \"tcp://1\" \\ 1 payments {tcp://2},'";
static const struct register_state fresh;
static const struct register_state promised = {.promised = {7, 3}};
static const struct register_state accepted = {{7, 3}, {7, 3}, REGISTER_COMMIT};
static const struct register_state decided = {
    {UINT32_MAX, UINT32_MAX}, {UINT32_MAX, UINT32_MAX}, REGISTER_COMMIT};

static struct db_register row_of(const char *gtrid, const struct register_state *state)
{
    return (struct db_register){
        .gtrid = gtrid, .sites = sites, .begun_us = 1700000000000001, .state = *state};
}

static void expect_state(struct rig *rig, const char *gtrid, const struct register_state *state)
{
    struct rig_answer answer = {0};
    rig_load(rig, gtrid, &answer);
    assert_int_equal(answer.found, DB_FOUND);
    assert_true(register_state_equal(&answer.row.state, state));
}

static void expect_nothing(struct rig *rig, const char *gtrid)
{
    struct rig_answer answer = {0};
    rig_load(rig, gtrid, &answer);
    assert_int_equal(answer.found, DB_NOT_FOUND);
}

static void start_again(struct rig *rig)
{
    rig->ups = 0;
    rig_start(rig, 2);
    rig_until_count(rig, &rig->ups, 1, "the port is up again");
}

/* The server dies as if the power went, and comes back; so does the port. */
static void lose_power(struct rig *rig)
{
    int ups = rig->ups;
    PQfinish(rig->side);
    cluster_call("cluster_kill", "payments");
    cluster_call("cluster_start", "payments");
    rig->side = PQconnectdb(rig->conninfo);
    assert_int_equal(PQstatus(rig->side), CONNECTION_OK);
    rig_until_count(rig, &rig->ups, ups + 1, "the port is up again");
}

/* Turns the loop until the server says so. */
static void turn_until_sql(struct rig *rig, const char *sql, const char *value)
{
    time_t limit = time(NULL) + 20;
    while (strcmp(rig_sql(rig, sql), value) != 0) {
        if (time(NULL) > limit)
            fail_msg("not within 20 s: %s gives %s", sql, value);
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    }
}

static const char lock_waits[] = "select count(*) from pg_locks where not granted";

static void turn_until_ready(struct rig *rig)
{
    time_t limit = time(NULL) + 20;
    while (!(pg_registers_ready(rig->pg) == 2)) {
        if (time(NULL) > limit)
            fail_msg("not within 20 s: the register's connection is back");
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    }
}

/* ---- the row of a branch -----------------------------------------------------------------------
 */

static void a_prepared_branch_has_its_row_beside_it(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0}, scan = {0}, load = {0};
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = row_of(rig_gtrid, &fresh);
    work.row = &row;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_false(answer.fenced);
    assert_true(answer.xid > 0);
    /* The row is no part of the branch: it is there before the branch ends, and stays after it. */
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_FOUND);
    assert_string_equal(load.row.sites, sites);
    assert_true(load.row.begun_us == row.begun_us);
    assert_true(register_state_equal(&load.row.state, &fresh));
    rig_sql(rig,
            "begin; insert into rig values ('c', 1); prepare transaction 'troth.rig.c1.7.2.0'");
    rig_scan(rig, &scan);
    assert_int_equal(scan.count, 2);
    for (int i = 0; i < 2; i++) {
        bool ours = strcmp(scan.prepared[i].gid, rig_gid) == 0;
        assert_int_equal(scan.prepared[i].registered, ours);
        assert_string_equal(scan.prepared[i].sites, ours ? sites : "");
    }
    assert_int_equal(rig_finish(rig, "troth.rig.c1.7.2.0", false), DB_FINISHED);
    assert_int_equal(rig_status(rig, answer.xid), DB_STATUS_IN_PROGRESS);
    assert_int_equal(rig_finish(rig, rig_gid, false), DB_FINISHED);
    expect_state(rig, rig_gtrid, &fresh);
}

static void a_row_that_was_there_fences_the_branch(void **state)
{
    struct rig *rig = *state;
    struct db_statement statement = rig_take(rig_ten_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    struct db_register row = row_of(rig_gtrid, &promised);
    row.sites = "";
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    row = row_of(rig_gtrid, &fresh);
    work.row = &row;
    for (int i = 0; i < 3; i++) {
        struct rig_answer answer = {0};
        rig_work(rig, &work, &answer);
        assert_int_equal(answer.outcome, DB_FAILED);
        assert_true(answer.fenced);
        assert_string_equal(answer.sqlstate, "");
        assert_string_equal(rig_prepared_count(rig), "0");
    }
    expect_state(rig, rig_gtrid, &promised);
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
    struct db_register row = row_of(rig_gtrid, &fresh);
    work.row = &row;
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {0};
        rig_sql(rig, "delete from troth.register");
        rig_sql(rig, "begin; insert into troth.register (gtrid, participant, sites, begun_us)"
                     " values ('rig.c1.7.1', 'payments', '', 0)");
        rig_work_begin(rig, &work, &answer);
        turn_until_sql(rig, lock_waits, "1");
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
    struct db_register row = row_of(rig_gtrid, &fresh);
    struct rig_answer answer = {0}, other = {0};
    work.row = &row;
    rig_sql(rig, "begin; insert into troth.register (gtrid, participant, sites, begun_us)"
                 " values ('rig.c1.7.1', 'payments', '', 0)");
    rig_work_begin(rig, &work, &answer);
    turn_until_sql(rig, lock_waits, "1");
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
        rows[i] = row_of(gtrids[i], &fresh);
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
    struct db_register row = row_of(rig_gtrid, &fresh);
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
    struct db_register row = row_of(rig_gtrid, &fresh);
    char sql[100];
    work.row = &row;
    rig_sql(rig, "begin; insert into troth.register (gtrid, participant, sites, begun_us)"
                 " values ('rig.c1.7.1', 'payments', '', 0)");
    rig_work_begin(rig, &work, &answer);
    turn_until_sql(rig, lock_waits, "1");
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d)",
             rig->pg->rows.connection.backend_pid);
    rig_sql(rig, sql);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_false(answer.fenced);
    rig_sql(rig, "rollback");
    assert_string_equal(rig_prepared_count(rig), "0");
    turn_until_ready(rig);
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
        struct db_register row = row_of(gtrid, &fresh);
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
        rows[i] = row_of(gtrids[i], &fresh);
        works[i].row = &rows[i];
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    lose_power(rig);
    rig_scan(rig, &scan);
    assert_int_equal(scan.count, MANY);
    for (int i = 0; i < MANY; i++) {
        assert_true(scan.prepared[i].registered);
        expect_state(rig, gtrids[i], &fresh);
        assert_int_equal(rig_finish(rig, gids[i], false), DB_FINISHED);
    }
    free(answers);
}

/* ---- load and store -------------------------------------------------------------------------- */

static void a_store_changes_only_what_it_was_told_is_there(void **state)
{
    struct rig *rig = *state;
    struct db_register row = row_of(rig_gtrid, &promised);
    struct rig_answer load = {0};
    expect_nothing(rig, rig_gtrid);
    assert_int_equal(rig_store(rig, &row, &fresh), DB_CHANGED); /* no row is not a fresh one */
    expect_nothing(rig, rig_gtrid);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    assert_int_equal(rig_store(rig, &row, NULL), DB_CHANGED);
    rig_load(rig, rig_gtrid, &load);
    assert_string_equal(load.row.sites, sites);
    assert_true(load.row.begun_us == row.begun_us);
    row.state = accepted;
    assert_int_equal(rig_store(rig, &row, &fresh), DB_CHANGED);
    expect_state(rig, rig_gtrid, &promised);
    assert_int_equal(rig_store(rig, &row, &promised), DB_STORED);
    expect_state(rig, rig_gtrid, &accepted);
    assert_int_equal(rig_store(rig, &row, &promised), DB_CHANGED);
    row.state = decided;
    assert_int_equal(rig_store(rig, &row, &accepted), DB_STORED);
    expect_state(rig, rig_gtrid, &decided);
}

/* Every column is compared, not only those that the rules of a register would change. */
static void each_part_of_what_was_there_counts(void **state)
{
    struct rig *rig = *state;
    const struct register_state there = {{9, 8}, {7, 6}, REGISTER_ABORT};
    struct register_state not_there[] = {there, there, there, there, there};
    struct db_register row = row_of(rig_gtrid, &there);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    not_there[0].promised.round++;
    not_there[1].promised.site++;
    not_there[2].accepted.round++;
    not_there[3].accepted.site++;
    not_there[4].value = REGISTER_COMMIT;
    row.state = decided;
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_store(rig, &row, &not_there[i]), DB_CHANGED);
    expect_state(rig, rig_gtrid, &there);
}

/* The hot path has a statement of its own: it is as strict. */
static void the_first_commit_is_accepted_by_a_fresh_register_only(void **state)
{
    struct rig *rig = *state;
    const struct register_state commit = {.value = REGISTER_COMMIT};
    const struct register_state others[] = {{.promised = {1, 0}},
                                            {.promised = {0, 1}},
                                            {{1, 0}, {1, 0}, REGISTER_EMPTY},
                                            {{0, 1}, {0, 1}, REGISTER_EMPTY},
                                            {.value = REGISTER_ABORT},
                                            {.value = REGISTER_COMMIT}};
    for (int i = 0; i < 6; i++) {
        struct db_register row = row_of(rig_gtrid, &others[i]);
        rig_sql(rig, "delete from troth.register");
        assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
        row.state = commit;
        assert_int_equal(rig_store(rig, &row, &fresh), DB_CHANGED);
        expect_state(rig, rig_gtrid, &others[i]);
    }
    rig_sql(rig, "delete from troth.register");
    struct rig_answer answers[3] = {{0}};
    struct db_register rows[] = {row_of(rig_gtrid, &commit), row_of("rig.c1.7.2", &commit),
                                 row_of(rig_gtrid, &fresh)};
    assert_int_equal(rig_store(rig, &rows[0], &fresh), DB_CHANGED);
    assert_int_equal(rig_store(rig, &rows[2], NULL), DB_STORED);
    for (int i = 0; i < 2; i++)
        rig_store_begin(rig, &rows[i], &fresh, &answers[i]);
    rig_store_begin(rig, &rows[0], &fresh, &answers[2]);
    for (int i = 0; i < 3; i++)
        rig_until(rig, &answers[i].done, "the stores are answered");
    assert_int_equal(answers[0].stored, DB_STORED);
    assert_int_equal(answers[1].stored, DB_CHANGED);
    assert_int_equal(answers[2].stored, DB_CHANGED);
    expect_state(rig, rig_gtrid, &commit);
}

/* Two processes at the same register: one holds the row, the other waits and finds it changed. */
static void of_two_stores_at_once_one_finds_the_other(void **state)
{
    static const char *const ends[] = {"rollback", "commit"};
    struct rig *rig = *state;
    struct db_register row = row_of(rig_gtrid, &fresh);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    row.state = promised;
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {0};
        rig_sql(rig, "begin; update troth.register set promised_round = promised_round + 1");
        rig_store_begin(rig, &row, i == 0 ? &fresh : &promised, &answer);
        turn_until_sql(rig, lock_waits, "1");
        rig_sql(rig, ends[i]);
        rig_until(rig, &answer.done, "the store is answered");
        assert_int_equal(answer.stored, i == 0 ? DB_STORED : DB_CHANGED);
    }
    assert_string_equal(rig_sql(rig, "select promised_round from troth.register"), "8");
}

static void two_participants_of_one_database_have_a_register_each(void **state)
{
    struct rig *rig = *state;
    struct db_register row = row_of(rig_gtrid, &promised);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    rig_stop(rig);
    rig->participant = "orders";
    start_again(rig);
    expect_nothing(rig, rig_gtrid);
    row.state = accepted;
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    rig_stop(rig);
    rig->participant = NULL;
    start_again(rig);
    expect_state(rig, rig_gtrid, &promised);
}

enum { CROWD = 600 };

struct crowd {
    char gtrids[CROWD][40];
    struct db_register rows[CROWD];
    struct rig_answer answers[CROWD];
};

static void crowd_store(struct rig *rig, struct crowd *crowd, const struct register_state *state,
                        const struct register_state *before)
{
    for (int i = 0; i < CROWD; i++) {
        snprintf(crowd->gtrids[i], sizeof(crowd->gtrids[i]), "rig.c1.7.%d", i + 1);
        crowd->rows[i] = row_of(crowd->gtrids[i], state);
        crowd->answers[i] = (struct rig_answer){0};
        rig_store_begin(rig, &crowd->rows[i], before, &crowd->answers[i]);
    }
    for (int i = 0; i < CROWD; i++) {
        rig_until(rig, &crowd->answers[i].done, "each store is answered");
        assert_int_equal(crowd->answers[i].stored, DB_STORED);
    }
}

/* One transaction for many stores, and so one flush; and it is on the disk when it is answered. */
static void many_stores_share_a_transaction_and_survive_a_power_cut(void **state)
{
    struct rig *rig = *state;
    struct crowd *crowd = malloc(sizeof(*crowd));
    crowd_store(rig, crowd, &promised, NULL);
    lose_power(rig);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register"), "600");
    crowd_store(rig, crowd, &accepted, &promised);
    lose_power(rig);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register where value = 2 and"
                                     " promised_round = 7 and accepted_site = 3"),
                        "600");
    /* 256 at most in each of the two times three batches. */
    assert_string_equal(rig_sql(rig, "select count(distinct xmin::text) from troth.register"), "3");
    for (int i = 0; i < CROWD; i++) {
        crowd->answers[i] = (struct rig_answer){0};
        rig_load_begin(rig, crowd->gtrids[i], &crowd->answers[i]);
    }
    for (int i = 0; i < CROWD; i++) {
        rig_until(rig, &crowd->answers[i].done, "each load is answered");
        assert_true(register_state_equal(&crowd->answers[i].row.state, &accepted));
    }
    free(crowd);
}

static void a_store_that_can_not_be_done_fails_alone(void **state)
{
    enum { SOME = 10, BAD = 4 };
    struct rig *rig = *state;
    struct rig_answer answers[SOME + 2] = {{0}};
    char gtrids[SOME][40];
    rig_sql(rig, "alter table troth.register add constraint rig check (sites <> 'poison')");
    for (int i = 0; i < SOME; i++) {
        snprintf(gtrids[i], sizeof(gtrids[i]), "rig.c1.7.%d", i + 1);
        struct db_register row = row_of(gtrids[i], &promised);
        row.sites = i == BAD ? "poison" : sites;
        rig_store_begin(rig, &row, NULL, &answers[i]);
    }
    rig_load_begin(rig, "rig.c1.7.99", &answers[SOME]);
    for (int i = 0; i <= SOME; i++)
        rig_until(rig, &answers[i].done, "each is answered");
    rig_sql(rig, "alter table troth.register drop constraint rig");
    for (int i = 0; i < SOME; i++)
        assert_int_equal(answers[i].stored, i == BAD ? DB_STORE_FAILED : DB_STORED);
    assert_int_equal(answers[SOME].found, DB_NOT_FOUND);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register"), "9");
}

/* Whatever the role's default is: what is answered as stored is flushed. */
static void a_store_waits_for_the_disk_whatever_the_default_of_the_database(void **state)
{
    struct rig *rig = *state;
    char sql[200];
    snprintf(sql, sizeof(sql), "alter database %s set synchronous_commit = off", PQdb(rig->side));
    rig_sql(rig, sql);
    rig_stop(rig);
    start_again(rig);
    snprintf(sql, sizeof(sql), "alter database %s reset synchronous_commit", PQdb(rig->side));
    rig_sql(rig, sql);
    struct db_register row = row_of(rig_gtrid, &promised);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    for (uint32_t i = 8; i < 40; i++) {
        struct register_state before = row.state;
        row.state.promised.round = i;
        snprintf(sql, sizeof(sql), "select pg_current_wal_flush_lsn() > '%.20s'",
                 rig_sql(rig, "select pg_current_wal_insert_lsn()"));
        assert_int_equal(rig_store(rig, &row, &before), DB_STORED);
        assert_string_equal(rig_sql(rig, sql), "t");
    }
}

/* ---- what breaks -------------------------------------------------------------------------------
 */

static void wait_for_register_to_wait(struct rig *rig, const char *event)
{
    char sql[200];
    snprintf(sql, sizeof(sql),
             "select count(*) from pg_stat_activity where pid = %d and wait_event_type = '%s'",
             rig->pg->registers.connection.backend_pid, event);
    turn_until_sql(rig, sql, "1");
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
    struct db_register row = row_of(rig_gtrid, &fresh), other = row_of("rig.c1.7.2", &fresh);
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
    turn_until_ready(rig);
    assert_int_equal(rig->downs, 0);
    expect_state(rig, rig_gtrid, &fresh);
    expect_nothing(rig, "rig.c1.7.2");
    assert_int_equal(rig_store(rig, &row, &fresh), DB_STORED);
}

static void while_the_server_is_down_all_is_answered(void **state)
{
    struct rig *rig = *state;
    struct rig_answer load = {0};
    struct db_register row = row_of(rig_gtrid, &promised);
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
    expect_nothing(rig, rig_gtrid);
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
    turn_until_ready(rig);
    rig_load(rig, rig_gtrid, &load);
    assert_int_equal(load.found, DB_FOUND_ERROR);
    turn_until_ready(rig);
    expect_nothing(rig, rig_gtrid);
}

static void forget_standby(struct rig *rig)
{
    rig_sql(rig, "alter system reset synchronous_standby_names");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", "");
}

static int forget_standby_and_close(void **state)
{
    forget_standby(*state);
    return rig_teardown(state);
}

/* The wait for the standby is cancelled: what was stored can be read, and yet is not safe. */
static void what_no_standby_has_is_neither_stored_nor_found(void **state)
{
    struct rig *rig = *state;
    struct rig_answer store = {0}, load = {0};
    struct db_register row = row_of(rig_gtrid, &promised);
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
    forget_standby(rig);
    rig_until(rig, &load.done, "the load is answered");
    assert_int_equal(load.found, DB_FOUND);
    assert_true(register_state_equal(&load.row.state, &promised));
}

static void freeing_the_port_with_stores_under_way_is_clean(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answers[3] = {{0}};
    struct db_register row = row_of(rig_gtrid, &fresh);
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
    struct db_register row = row_of(rig_gtrid, &fresh);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    char conninfo[512];
    snprintf(conninfo, sizeof(conninfo), "%s application_name=%s1", rig->conninfo,
             rig->pg->shared.name);
    rig_stop(rig);
    PGconn *older = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(older), CONNECTION_OK);
    PQclear(PQexec(older, "begin; update troth.register set promised_round = 99"));
    start_again(rig);
    expect_state(rig, rig_gtrid, &fresh);
    PQclear(PQexec(older, "commit"));
    assert_int_equal(PQstatus(older), CONNECTION_BAD);
    PQfinish(older);
    row.state = promised;
    assert_int_equal(rig_store(rig, &row, &fresh), DB_STORED);
}

static void connections_for_registers_are_opened_when_they_are_needed_first(void **state)
{
    enum { SOME = 5 };
    static const char open[] = "select count(*) from pg_stat_activity where application_name like"
                               " 'troth:rig:payments:%'";
    struct rig *rig = *state;
    struct rig_answer answers[SOME] = {{0}}, load = {0};
    struct db_work works[SOME];
    struct db_register rows[SOME];
    char gids[SOME][40], gtrids[SOME][40];
    rig_stop(rig);
    rig->two_phase = true;
    start_again(rig);
    rig_await_sql(rig, open, "5"); /* control, two for work, two for finishing */
    for (int i = 0; i < SOME; i++) {
        snprintf(gtrids[i], sizeof(gtrids[i]), "rig.c1.7.%d", i + 1);
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.7.%d.0", i + 1);
        works[i] = rig_work_of(DB_PREPARE, gids[i], NULL, 0);
        rows[i] = row_of(gtrids[i], &fresh);
        works[i].row = &rows[i];
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < SOME; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    assert_string_equal(rig_sql(rig, open), "6");
    rig_load(rig, gtrids[0], &load);
    assert_int_equal(load.found, DB_FOUND);
    assert_string_equal(rig_sql(rig, open), "7");
    for (int i = 0; i < SOME; i++)
        assert_int_equal(rig_finish(rig, gids[i], false), DB_FINISHED);
}

static void what_waits_for_its_first_connection_is_answered_when_the_server_stops(void **state)
{
    struct rig *rig = *state;
    struct rig_answer load = {0}, answer = {0};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, NULL, 0);
    struct db_register row = row_of(rig_gtrid, &fresh);
    work.row = &row;
    rig_stop(rig);
    rig->two_phase = true;
    start_again(rig);
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
    expect_nothing(rig, rig_gtrid);
}

/* ---- settling and cleaning ------------------------------------------------------------------- */

static void settle(struct rig *rig, uint64_t epoch, const uint64_t *seqs, size_t count)
{
    rig->port->register_settle(rig->port->self, "c1", epoch, seqs, count);
    rig_status(rig, 1000); /* asked after it, on the same session */
}

static const char rows_left[] =
    "select coalesce(string_agg(gtrid, ' ' order by gtrid), '') from troth.register";

static void what_is_settled_is_a_bit_and_loads_as_decided(void **state)
{
    struct rig *rig = *state;
    const uint64_t first[] = {1, 2, 4095, 4096, 77}, second[] = {2, 3};
    static const char *const committed[] = {"rig.c1.7.1", "rig.c1.7.2", "rig.c1.7.3",
                                            "rig.c1.7.4095", "rig.c1.7.4096"};
    for (int i = 0; i < 5; i++) {
        struct db_register row = row_of(committed[i], &accepted);
        assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    }
    settle(rig, 7, first, 5);
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.3");
    assert_string_equal(rig_sql(rig, "select string_agg(block || ':' || length(replace(bits::text,"
                                     " '0', '')), ' ' order by block) from troth.settled"),
                        "0:3 1:1");
    settle(rig, 7, second, 2);
    settle(rig, 7, first, 5);
    assert_string_equal(rig_sql(rig, rows_left), "");
    assert_string_equal(rig_sql(rig, "select string_agg(block || ':' || length(replace(bits::text,"
                                     " '0', '')), ' ' order by block) from troth.settled"),
                        "0:4 1:1");
    for (int i = 0; i < 5; i++) {
        struct db_register row = row_of(committed[i], &promised);
        expect_state(rig, committed[i], &decided);
        assert_int_equal(rig_store(rig, &row, NULL), DB_CHANGED);
        assert_int_equal(rig_store(rig, &row, &accepted), DB_CHANGED);
    }
    assert_string_equal(rig_sql(rig, rows_left), "");
    /* 77 had no row; the others are of another epoch, coordinator or cluster. */
    expect_nothing(rig, "rig.c1.7.77");
    expect_nothing(rig, "rig.c1.8.1");
    expect_nothing(rig, "rig.c2.7.1");
    expect_nothing(rig, "gir.c1.7.1");
    expect_nothing(rig, "rig.c1.7.18446744073709551615");
}

static void what_says_abort_or_is_prepared_is_not_settled(void **state)
{
    struct rig *rig = *state;
    const uint64_t all[] = {1, 2, 3, 4};
    const struct register_state aborted = {{7, 3}, {7, 3}, REGISTER_ABORT};
    struct db_register rows[] = {row_of("rig.c1.7.1", &promised), row_of("rig.c1.7.2", &aborted),
                                 row_of("rig.c1.7.3", &accepted), row_of("rig.c1.7.4", &accepted)};
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_store(rig, &rows[i], NULL), DB_STORED);
    rig_sql(rig,
            "begin; insert into rig values ('c', 1); prepare transaction 'troth.rig.c1.7.3.5'");
    settle(rig, 7, all, 4);
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.2 rig.c1.7.3");
    assert_int_equal(rig_finish(rig, "troth.rig.c1.7.3.5", true), DB_FINISHED);
    settle(rig, 7, all, 4);
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.2");
    expect_state(rig, "rig.c1.7.1", &decided); /* it was not asked, and told */
    expect_state(rig, "rig.c1.7.3", &decided);
}

static void many_are_settled_in_slices_without_a_flush(void **state)
{
    enum { MANY = 2500 };
    struct rig *rig = *state;
    uint64_t *seqs = calloc(MANY, sizeof(*seqs));
    char before[40];
    bool quiet = false;
    for (size_t i = 0; i < MANY; i++)
        seqs[i] = i + 1;
    for (int epoch = 1; epoch < 50 && !quiet; epoch++) {
        char sql[300];
        snprintf(sql, sizeof(sql),
                 "insert into troth.register (gtrid, participant, sites, begun_us, value) select"
                 " 'rig.c1.%d.' || i, 'payments', '', 0, 2 from generate_series(1, 2500) i",
                 epoch);
        rig_sql(rig, sql);
        snprintf(before, sizeof(before), "%s", rig_sql(rig, "select pg_current_wal_flush_lsn()"));
        settle(rig, (uint64_t)epoch, seqs, 1);
        quiet = strcmp(before, rig_sql(rig, "select pg_current_wal_flush_lsn()")) == 0;
        settle(rig, (uint64_t)epoch, seqs, MANY);
        assert_string_equal(rig_sql(rig, rows_left), "");
    }
    assert_true(quiet);
    free(seqs);
}

static void cleaning_keeps_what_is_prepared_and_what_is_young(void **state)
{
    struct rig *rig = *state;
    const uint64_t week_us = UINT64_C(7) * 24 * 3600 * 1000000;
    rig_sql(rig, "insert into troth.register (gtrid, participant, sites, begun_us, value, at)"
                 " select g, p, '', 0, v, now() - d * interval '1 day' from (values"
                 " ('rig.c1.7.1', 'payments', 0, 8), ('rig.c1.7.2', 'payments', 2, 8),"
                 " ('rig.c1.7.3', 'payments', 0, 6), ('rig.c1.7.4', 'payments', 1, 8),"
                 " ('rig.c1.7.5', 'another', 0, 8)) x (g, p, v, d)");
    rig_sql(rig, "insert into troth.settled select 'rig', 'c1', 7, b, 0::bit(4096),"
                 " now() - d * interval '1 day' from (values (1, 8), (2, 6)) x (b, d)");
    rig_sql(rig,
            "begin; insert into rig values ('c', 1); prepare transaction 'troth.rig.c1.7.1.31'");
    rig->port->clean(rig->port->self, week_us);
    rig_status(rig, 1000); /* asked after it, on the same session */
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.1 rig.c1.7.3 rig.c1.7.5");
    assert_string_equal(rig_sql(rig, "select string_agg(block::text, ' ') from troth.settled"),
                        "2");
    assert_int_equal(rig_finish(rig, "troth.rig.c1.7.1.31", false), DB_FINISHED);
    rig->port->clean(rig->port->self, week_us);
    rig_status(rig, 1000);
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.3 rig.c1.7.5");
}

#define WITH_RIG(test) cmocka_unit_test_setup_teardown(test, rig_setup, rig_teardown)

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
        WITH_RIG(what_was_prepared_is_there_after_a_power_cut_and_its_row_too),
        WITH_RIG(a_store_changes_only_what_it_was_told_is_there),
        WITH_RIG(each_part_of_what_was_there_counts),
        WITH_RIG(the_first_commit_is_accepted_by_a_fresh_register_only),
        WITH_RIG(of_two_stores_at_once_one_finds_the_other),
        WITH_RIG(two_participants_of_one_database_have_a_register_each),
        WITH_RIG(many_stores_share_a_transaction_and_survive_a_power_cut),
        WITH_RIG(a_store_that_can_not_be_done_fails_alone),
        WITH_RIG(a_store_waits_for_the_disk_whatever_the_default_of_the_database),
        WITH_RIG(when_the_connection_is_lost_all_is_answered_and_it_comes_back),
        WITH_RIG(while_the_server_is_down_all_is_answered),
        WITH_RIG(a_statement_that_somebody_deallocated_is_prepared_again),
        cmocka_unit_test_setup_teardown(what_no_standby_has_is_neither_stored_nor_found, rig_setup,
                                        forget_standby_and_close),
        WITH_RIG(freeing_the_port_with_stores_under_way_is_clean),
        WITH_RIG(a_store_of_an_older_process_is_ended_before_up),
        WITH_RIG(connections_for_registers_are_opened_when_they_are_needed_first),
        WITH_RIG(what_waits_for_its_first_connection_is_answered_when_the_server_stops),
        WITH_RIG(what_is_settled_is_a_bit_and_loads_as_decided),
        WITH_RIG(what_says_abort_or_is_prepared_is_not_settled),
        WITH_RIG(many_are_settled_in_slices_without_a_flush),
        WITH_RIG(cleaning_keeps_what_is_prepared_and_what_is_young),
    };
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
