/* The registers of three-phase transactions in a real PostgreSQL: what is answered as stored stays,
 * and of what is over a bit stays, or nothing. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "tests/real/support/register_rig.h"

/* ---- load and store -------------------------------------------------------------------------- */

static void a_store_changes_only_what_it_was_told_is_there(void **state)
{
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &promised);
    struct rig_answer load = {0};
    registers_expect_none(rig, rig_gtrid);
    assert_int_equal(rig_store(rig, &row, &fresh), DB_CHANGED); /* no row is not a fresh one */
    registers_expect_none(rig, rig_gtrid);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    assert_int_equal(rig_store(rig, &row, NULL), DB_CHANGED);
    rig_load(rig, rig_gtrid, &load);
    assert_string_equal(load.row.sites, registers_sites);
    assert_true(load.row.begun_us == row.begun_us);
    row.state = accepted;
    assert_int_equal(rig_store(rig, &row, &fresh), DB_CHANGED);
    registers_expect(rig, rig_gtrid, &promised);
    assert_int_equal(rig_store(rig, &row, &promised), DB_STORED);
    registers_expect(rig, rig_gtrid, &accepted);
    assert_int_equal(rig_store(rig, &row, &promised), DB_CHANGED);
    row.state = decided;
    assert_int_equal(rig_store(rig, &row, &accepted), DB_STORED);
    registers_expect(rig, rig_gtrid, &decided);
}

/* Every column is compared, not only those that the rules of a register would change. */
static void each_part_of_what_was_there_counts(void **state)
{
    struct rig *rig = *state;
    const struct register_state there = {{9, 8}, {7, 6}, REGISTER_ABORT};
    struct register_state not_there[] = {there, there, there, there, there};
    struct db_register row = registers_row(rig_gtrid, &there);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    not_there[0].promised.round++;
    not_there[1].promised.site++;
    not_there[2].accepted.round++;
    not_there[3].accepted.site++;
    not_there[4].value = REGISTER_COMMIT;
    row.state = decided;
    for (int i = 0; i < 5; i++)
        assert_int_equal(rig_store(rig, &row, &not_there[i]), DB_CHANGED);
    registers_expect(rig, rig_gtrid, &there);
}

/* Nothing in the table keeps a hand from writing what no register holds: it must not load as one.
 */
static void a_value_that_is_none_loads_as_none(void **state)
{
    static const char *const values[] = {"3", "257", "258", "-1", "-254"};
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &fresh);
    struct rig_answer load = {0};
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    for (int i = 0; i < 5; i++) {
        char sql[64];
        snprintf(sql, sizeof(sql), "update troth.register set value = %s", values[i]);
        rig_sql(rig, sql);
        rig_load(rig, rig_gtrid, &load);
        assert_false(register_state_sound(&load.row.state));
    }
}

/* What nearly every transaction stores: it has a statement of its own, which is as strict. */
static void the_first_commit_makes_a_row_where_there_is_none(void **state)
{
    struct rig *rig = *state;
    const struct register_state commit = {.value = REGISTER_COMMIT};
    const uint64_t settled[] = {5};
    struct rig_answer answers[4] = {{0}}, load = {0};
    struct db_register rows[] = {
        registers_row(rig_gtrid, &commit), registers_row("rig.c1.7.2", &commit),
        registers_row(rig_gtrid, &commit), registers_row("rig.c1.7.3", &promised)};
    for (int i = 0; i < 4; i++) /* in one batch, the third for the second time */
        rig_store_begin(rig, &rows[i], NULL, &answers[i]);
    for (int i = 0; i < 4; i++) {
        rig_until(rig, &answers[i].done, "the stores are answered");
        assert_int_equal(answers[i].stored, i == 2 ? DB_CHANGED : DB_STORED);
    }
    rig_load(rig, rig_gtrid, &load);
    assert_true(register_state_equal(&load.row.state, &commit));
    assert_string_equal(load.row.sites, ""); /* its branch has the list */
    assert_true(load.row.begun_us == rows[0].begun_us);
    registers_expect(rig, "rig.c1.7.2", &commit);
    rows[3].state = commit;
    assert_int_equal(rig_store(rig, &rows[3], NULL), DB_CHANGED);
    registers_expect(rig, "rig.c1.7.3", &promised);
    /* One that was settled was committed: the same once more contradicts nothing; else it is not
     * taken for new. */
    struct db_register row = registers_row("rig.c1.7.5", &commit);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    rig->port->register_settle(rig->port->self, "c1", 7, settled, 1);
    rig_status(rig, 1000); /* asked after it, on the same session */
    row.state = promised;
    assert_int_equal(rig_store(rig, &row, NULL), DB_CHANGED);
    registers_expect(rig, "rig.c1.7.5", &decided);
    row.state = commit;
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    registers_expect(rig, "rig.c1.7.5", &commit);
}

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
        struct db_register row = registers_row(rig_gtrid, &others[i]);
        rig_sql(rig, "delete from troth.register");
        assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
        row.state = commit;
        assert_int_equal(rig_store(rig, &row, &fresh), DB_CHANGED);
        registers_expect(rig, rig_gtrid, &others[i]);
    }
    rig_sql(rig, "delete from troth.register");
    struct rig_answer answers[3] = {{0}};
    struct db_register rows[] = {registers_row(rig_gtrid, &commit),
                                 registers_row("rig.c1.7.2", &commit),
                                 registers_row(rig_gtrid, &fresh)};
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
    registers_expect(rig, rig_gtrid, &commit);
}

/* Two processes at the same register: one holds the row, the other waits and finds it changed. */
static void of_two_stores_at_once_one_finds_the_other(void **state)
{
    static const char *const ends[] = {"rollback", "commit"};
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &fresh);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    row.state = promised;
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {0};
        rig_sql(rig, "begin; update troth.register set promised_round = promised_round + 1");
        rig_store_begin(rig, &row, i == 0 ? &fresh : &promised, &answer);
        rig_turn_until_sql(rig, lock_waits, "1");
        rig_sql(rig, ends[i]);
        rig_until(rig, &answer.done, "the store is answered");
        assert_int_equal(answer.stored, i == 0 ? DB_STORED : DB_CHANGED);
    }
    assert_string_equal(rig_sql(rig, "select promised_round from troth.register"), "8");
}

static void two_participants_of_one_database_have_a_register_each(void **state)
{
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &promised);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    rig_stop(rig);
    rig->participant = "orders";
    rig_start_again(rig);
    registers_expect_none(rig, rig_gtrid);
    row.state = accepted;
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    rig_stop(rig);
    rig->participant = NULL;
    rig_start_again(rig);
    registers_expect(rig, rig_gtrid, &promised);
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
        crowd->rows[i] = registers_row(crowd->gtrids[i], state);
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
    rig_lose_power(rig);
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register"), "600");
    crowd_store(rig, crowd, &accepted, &promised);
    rig_lose_power(rig);
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
        struct db_register row = registers_row(gtrids[i], &promised);
        row.sites = i == BAD ? "poison" : registers_sites;
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
    rig_start_again(rig);
    snprintf(sql, sizeof(sql), "alter database %s reset synchronous_commit", PQdb(rig->side));
    rig_sql(rig, sql);
    struct db_register row = registers_row(rig_gtrid, &promised);
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
        struct db_register row = registers_row(committed[i], &accepted);
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
        struct db_register row = registers_row(committed[i], &promised);
        registers_expect(rig, committed[i], &decided);
        assert_int_equal(rig_store(rig, &row, NULL), DB_CHANGED);
        assert_int_equal(rig_store(rig, &row, &accepted), DB_CHANGED);
    }
    assert_string_equal(rig_sql(rig, rows_left), "");
    /* 77 had no row; the others are of another epoch, coordinator or cluster. */
    registers_expect_none(rig, "rig.c1.7.77");
    registers_expect_none(rig, "rig.c1.8.1");
    registers_expect_none(rig, "rig.c2.7.1");
    registers_expect_none(rig, "gir.c1.7.1");
    registers_expect_none(rig, "rig.c1.7.18446744073709551615");
}

static void what_says_abort_or_is_prepared_is_not_settled(void **state)
{
    struct rig *rig = *state;
    const uint64_t all[] = {1, 2, 3, 4};
    const struct register_state aborted = {{7, 3}, {7, 3}, REGISTER_ABORT};
    struct db_register rows[] = {
        registers_row("rig.c1.7.1", &promised), registers_row("rig.c1.7.2", &aborted),
        registers_row("rig.c1.7.3", &accepted), registers_row("rig.c1.7.4", &accepted)};
    for (int i = 0; i < 4; i++)
        assert_int_equal(rig_store(rig, &rows[i], NULL), DB_STORED);
    rig_sql(rig,
            "begin; insert into rig values ('c', 1); prepare transaction 'troth.rig.c1.7.3.5'");
    settle(rig, 7, all, 4);
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.2 rig.c1.7.3");
    assert_int_equal(rig_finish(rig, "troth.rig.c1.7.3.5", true), DB_FINISHED);
    settle(rig, 7, all, 4);
    assert_string_equal(rig_sql(rig, rows_left), "rig.c1.7.2");
    registers_expect(rig, "rig.c1.7.1", &decided); /* it was not asked, and told */
    registers_expect(rig, "rig.c1.7.3", &decided);
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
                 "insert into troth.register (gtrid, participant, sites, begun_us, "
                 "value) select"
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_store_changes_only_what_it_was_told_is_there),
        WITH_RIG(each_part_of_what_was_there_counts),
        WITH_RIG(a_value_that_is_none_loads_as_none),
        WITH_RIG(the_first_commit_makes_a_row_where_there_is_none),
        WITH_RIG(the_first_commit_is_accepted_by_a_fresh_register_only),
        WITH_RIG(of_two_stores_at_once_one_finds_the_other),
        WITH_RIG(two_participants_of_one_database_have_a_register_each),
        WITH_RIG(many_stores_share_a_transaction_and_survive_a_power_cut),
        WITH_RIG(a_store_that_can_not_be_done_fails_alone),
        WITH_RIG(a_store_waits_for_the_disk_whatever_the_default_of_the_database),
        WITH_RIG(what_is_settled_is_a_bit_and_loads_as_decided),
        WITH_RIG(what_says_abort_or_is_prepared_is_not_settled),
        WITH_RIG(many_are_settled_in_slices_without_a_flush),
        WITH_RIG(cleaning_keeps_what_is_prepared_and_what_is_young),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
