/* A branch of a three-phase transaction and the list of who takes part in it: whoever finds the
 * branch finds its list, whatever broke since the branch was voted for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/limits.h"
#include "core/map.h"
#include "io/pg_private.h"
#include "tests/real/support/register_rig.h"

static const char other_sites[] = "payments=tcp://1,orders=tcp://2";
static const char lists[] = "select count(*) from troth.sites";
static const char locks[] = "select count(*) from pg_locks where locktype = 'advisory'";
static const char insert_ours[] = "begin; insert into troth.sites (id, sites) values"
                                  " (1, e'0 c1 \"tcp://1\" \\\\ 1 payments {tcp://2},''')";

static struct db_work branch_of(const char *gid, const char *sites)
{
    struct db_work work = rig_work_of(DB_PREPARE, gid, NULL, 0);
    work.sites = sites;
    return work;
}

/* Prepares it with that list. */
static void prepare(struct rig *rig, const char *gid, const char *sites)
{
    struct rig_answer answer = {0};
    struct db_work work = branch_of(gid, sites);
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.reason, "");
    assert_int_equal(answer.outcome, DB_PREPARED);
    assert_true(answer.xid > 0);
}

/* sites: NULL where none are to be found; "" where there are some, and it is not known which. */
static void expect_found(struct rig *rig, const char *gid, const char *sites)
{
    struct rig_answer scan = {0};
    rig_scan(rig, &scan);
    assert_true(scan.ok);
    for (int i = 0; i < scan.count; i++) {
        if (strcmp(scan.prepared[i].gid, gid) != 0)
            continue;
        assert_int_equal(scan.prepared[i].registered, sites != NULL);
        assert_true(scan.prepared[i].sites_hash ==
                    hash_bytes(sites ? sites : "", sites ? strlen(sites) : 0));
        return;
    }
    fail_msg("%s is not prepared", gid);
}

static void end(struct rig *rig, const char *gid)
{
    assert_int_equal(rig_finish(rig, gid, false), DB_FINISHED);
}

/* The same database, another process. */
static void change_process(struct rig *rig)
{
    rig_stop(rig);
    rig_start_again(rig);
}

/* ---- found again ----------------------------------------------------------------------------- */

static void a_later_process_finds_the_list_of_each_branch(void **state)
{
    struct rig *rig = *state;
    prepare(rig, rig_gid, registers_sites);
    prepare(rig, "troth.rig.c1.7.2.0", other_sites);
    prepare(rig, "troth.rig.c1.7.3.0", registers_sites);
    prepare(rig, "troth.rig.c1.7.4.0", NULL);
    rig_sql(rig,
            "begin; insert into rig values ('c', 1); prepare transaction 'troth.rig.c1.7.5.0'");
    assert_string_equal(rig_sql(rig, lists), "2");
    assert_string_equal(rig_sql(rig, "select count(*) from troth.register"), "0");
    for (int i = 0; i < 3; i++) {
        expect_found(rig, rig_gid, registers_sites);
        expect_found(rig, "troth.rig.c1.7.2.0", other_sites);
        expect_found(rig, "troth.rig.c1.7.3.0", registers_sites);
        expect_found(rig, "troth.rig.c1.7.4.0", NULL);
        expect_found(rig, "troth.rig.c1.7.5.0", NULL);
        if (i == 0)
            change_process(rig);
        else if (i == 1)
            rig_lose_power(rig); /* the locks look different after that: see pg_control.c */
    }
    prepare(rig, "troth.rig.c1.7.6.0", other_sites);
    expect_found(rig, "troth.rig.c1.7.6.0", other_sites);
    expect_found(rig, rig_gid, registers_sites);
    assert_string_equal(rig_sql(rig, lists), "2");
    for (int i = 1; i <= 6; i++) {
        char gid[40];
        snprintf(gid, sizeof(gid), "troth.rig.c1.7.%d.0", i);
        assert_int_equal(rig_finish(rig, gid, i == 1), DB_FINISHED);
    }
    assert_string_equal(rig_sql(rig, locks), "0");
}

static void what_was_prepared_is_there_after_a_power_cut_with_its_list(void **state)
{
    enum { MANY = 24 };
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(MANY, sizeof(*answers));
    struct db_work works[MANY];
    char gids[MANY][40];
    for (int i = 0; i < MANY; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.7.%d.0", i + 1);
        works[i] = branch_of(gids[i], i % 3 == 0 ? other_sites : registers_sites);
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    rig_lose_power(rig);
    for (int i = 0; i < MANY; i++) {
        expect_found(rig, gids[i], works[i].sites);
        end(rig, gids[i]);
    }
    assert_string_equal(rig_sql(rig, lists), "2");
    free(answers);
}

/* A row says more than the lock, unless it says nothing. */
static void a_branch_that_has_a_row_too_is_found_with_what_both_say(void **state)
{
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &promised);
    row.sites = "";
    prepare(rig, rig_gid, other_sites);
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    expect_found(rig, rig_gid, other_sites);
    rig_sql(rig, "delete from troth.register");
    row.sites = registers_sites;
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    expect_found(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
    /* And one that has a row only, with and without a list. */
    prepare(rig, rig_gid, NULL);
    expect_found(rig, rig_gid, registers_sites);
    rig_sql(rig, "update troth.register set sites = ''");
    expect_found(rig, rig_gid, "");
    end(rig, rig_gid);
}

static void an_adopted_branch_of_another_participant_is_found_with_its_list(void **state)
{
    struct rig *rig = *state;
    struct db_register row = registers_row(rig_gtrid, &promised);
    prepare(rig, rig_gid, NULL);
    rig_sql(rig, "insert into troth.register (participant, gtrid, sites, begun_us)"
                 " select 'another', substring(gid from '^troth\\.(.*)\\.[0-9]+$'),"
                 "   'payments=tcp://1,orders=tcp://2', 1 from pg_prepared_xacts");
    expect_found(rig, rig_gid, NULL);
    row.sites = "";
    assert_int_equal(rig_store(rig, &row, NULL), DB_STORED);
    expect_found(rig, rig_gid, other_sites);
    rig_sql(rig, "delete from troth.register");
    end(rig, rig_gid);
}

static void a_long_list_is_kept_whole(void **state)
{
    struct rig *rig = *state;
    char sites[(LIMIT_SITES - 1) * (LIMIT_NAME_BYTES + LIMIT_ADDRESS_BYTES + 2)];
    for (size_t i = 0; i < sizeof(sites); i++) /* nothing that could be compressed */
        sites[i] = (char)('A' + hash_u64(i) % 58);
    sites[sizeof(sites) - 1] = '\0';
    prepare(rig, rig_gid, sites);
    expect_found(rig, rig_gid, sites);
    change_process(rig);
    prepare(rig, "troth.rig.c1.7.2.0", sites);
    expect_found(rig, "troth.rig.c1.7.2.0", sites);
    expect_found(rig, rig_gid, sites);
    assert_string_equal(rig_sql(rig, lists), "1");
    end(rig, rig_gid);
    end(rig, "troth.rig.c1.7.2.0");
}

/* ---- lists ----------------------------------------------------------------------------------- */

/* The branch fails after its list was inserted, and with it whatever would have flushed that. */
static void a_list_is_durable_before_it_is_used(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement statement = rig_plain("divide", "select 1 / 0");
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &statement, 1);
    work.sites = registers_sites;
    rig_work(rig, &work, &answer);
    assert_string_equal(answer.sqlstate, "22012");
    assert_string_equal(rig_sql(rig, locks), "0");
    rig_lose_power(rig);
    assert_string_equal(rig_sql(rig, lists), "1");
    prepare(rig, rig_gid, registers_sites);
    expect_found(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
}

/* Two processes use the same list for the first time: one waits for how it ends with the other. */
static void a_list_that_another_process_inserts_is_taken_from_it(void **state)
{
    static const char *const ends[] = {"rollback", "commit"};
    struct rig *rig = *state;
    struct db_work work = branch_of(rig_gid, registers_sites);
    for (int i = 0; i < 2; i++) {
        struct rig_answer answer = {0};
        rig_sql(rig, insert_ours);
        rig_work_begin(rig, &work, &answer);
        rig_turn_until_sql(rig, lock_waits, "1");
        rig_sql(rig, ends[i]);
        rig_until(rig, &answer.done, "the work is answered");
        assert_int_equal(answer.outcome, DB_PREPARED);
        assert_string_equal(rig_sql(rig, lists), "1");
        expect_found(rig, rig_gid, registers_sites);
        end(rig, rig_gid);
        rig_sql(rig, "delete from troth.sites");
        change_process(rig);
    }
}

static void many_branches_with_new_lists_at_once_each_get_their_own(void **state)
{
    enum { MANY = 24, DIFFERENT = 5 };
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(MANY, sizeof(*answers));
    struct db_work works[MANY];
    char gids[MANY][40], sites[DIFFERENT][40];
    for (int i = 0; i < MANY; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.rig.c1.7.%d.0", i + 1);
        snprintf(sites[i % DIFFERENT], sizeof(sites[0]), "payments=tcp://%d", i % DIFFERENT);
        works[i] = branch_of(gids[i], sites[i % DIFFERENT]);
        rig_work_begin(rig, &works[i], &answers[i]);
    }
    for (int i = 0; i < MANY; i++) {
        rig_until(rig, &answers[i].done, "each branch is answered");
        assert_int_equal(answers[i].outcome, DB_PREPARED);
    }
    assert_string_equal(rig_sql(rig, lists), "5");
    for (int i = 0; i < MANY; i++) {
        expect_found(rig, gids[i], works[i].sites);
        end(rig, gids[i]);
    }
    free(answers);
}

/* More lists than are remembered: the branches fail, which is faster. */
static void a_list_that_was_forgotten_is_asked_for_again(void **state)
{
    enum { MANY = LIMIT_SITE_LISTS + 1, AT_ONCE = 256 };
    struct rig *rig = *state;
    struct rig_answer *answers = calloc(AT_ONCE, sizeof(*answers));
    struct db_work *works = calloc(AT_ONCE, sizeof(*works));
    struct db_statement fail = rig_plain("divide", "select 1 / 0");
    char sites[AT_ONCE][40];
    prepare(rig, rig_gid, registers_sites);
    for (int next = 0; next < MANY;) {
        int count = MANY - next < AT_ONCE ? MANY - next : AT_ONCE;
        for (int i = 0; i < count; i++) {
            answers[i] = (struct rig_answer){0};
            snprintf(sites[i], sizeof(sites[i]), "payments=tcp://%d", next + i);
            works[i] = rig_work_of(DB_PREPARE, "troth.rig.c1.7.9.0", &fail, 1);
            works[i].sites = sites[i];
            rig_work_begin(rig, &works[i], &answers[i]);
        }
        for (int i = 0; i < count; i++)
            rig_until(rig, &answers[i].done, "each branch is answered");
        next += count;
        assert_true(rig->pg->sites.count <= LIMIT_SITE_LISTS);
    }
    assert_int_equal(rig->pg->sites.count, LIMIT_SITE_LISTS);
    assert_string_equal(rig_sql(rig, lists), "4098");
    prepare(rig, "troth.rig.c1.7.2.0", registers_sites); /* used longest ago, so forgotten */
    prepare(rig, "troth.rig.c1.7.3.0", "payments=tcp://4096");
    assert_string_equal(rig_sql(rig, lists), "4098");
    expect_found(rig, rig_gid, registers_sites);
    expect_found(rig, "troth.rig.c1.7.2.0", registers_sites);
    expect_found(rig, "troth.rig.c1.7.3.0", "payments=tcp://4096");
    end(rig, rig_gid);
    end(rig, "troth.rig.c1.7.2.0");
    end(rig, "troth.rig.c1.7.3.0");
    free(works);
    free(answers);
}

/* Another server answers after a while, one that was restored: there the list has another number,
 * and its own is another one's. */
static void numbers_are_forgotten_with_the_database(void **state)
{
    struct rig *rig = *state;
    prepare(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
    rig_sql(rig, "update troth.sites set sites = 'somebody=tcp://9'");
    rig_lose_power(rig);
    prepare(rig, rig_gid, registers_sites);
    expect_found(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
}

/* Somebody has deleted all lists: what is prepared has lost its own, and takes no other for it. */
static void a_number_never_comes_to_mean_another_list(void **state)
{
    struct rig *rig = *state;
    char gid[LIMIT_GID_BYTES + 1];
    prepare(rig, rig_gid, registers_sites);
    rig_sql(rig, "truncate troth.sites");
    rig_lose_power(rig);
    for (int i = 2; i < 50; i++) {
        char sites[64];
        snprintf(sites, sizeof(sites), "orders=tcp://%d,payments=tcp://1", i);
        snprintf(gid, sizeof(gid), "troth.rig.c1.7.%d.0", i);
        prepare(rig, gid, sites);
        end(rig, gid);
    }
    expect_found(rig, rig_gid, NULL);
    end(rig, rig_gid);
}

/* ---- what goes wrong ------------------------------------------------------------------------- */

static void a_branch_that_fails_leaves_no_lock(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_statement take = rig_take(rig_thousand_of_a);
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, &take, 1);
    work.sites = registers_sites;
    rig_work(rig, &work, &answer); /* prepared, though an expectation failed */
    assert_int_equal(answer.outcome, DB_PREPARED);
    expect_found(rig, rig_gid, registers_sites);
    assert_string_equal(rig_sql(rig, locks), "1");
    work = branch_of(rig_gid, registers_sites);
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer); /* the gid is in use */
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "42710");
    assert_string_equal(rig_sql(rig, locks), "1");
    end(rig, rig_gid);
    assert_string_equal(rig_sql(rig, locks), "0");
}

static void without_its_list_nothing_is_prepared(void **state)
{
    struct rig *rig = *state;
    struct rig_answer refused = {0}, lost = {0};
    struct db_work work = branch_of(rig_gid, registers_sites);
    rig_sql(rig, "alter table troth.sites add constraint rig check (sites = '')");
    rig_work(rig, &work, &refused);
    rig_sql(rig, "alter table troth.sites drop constraint rig");
    assert_int_equal(refused.outcome, DB_FAILED);
    assert_string_equal(refused.sqlstate, "23514");
    assert_non_null(strstr(refused.reason, "check constraint"));
    rig_sql(rig, "create function rig_away() returns trigger language plpgsql as"
                 " 'begin return null; end';"
                 " create trigger rig before insert on troth.sites for each row"
                 " execute function rig_away()");
    rig_work(rig, &work, &lost);
    rig_sql(rig, "drop trigger rig on troth.sites; drop function rig_away");
    assert_int_equal(lost.outcome, DB_FAILED);
    assert_non_null(strstr(lost.reason, "troth.sites does not keep"));
    assert_string_equal(rig_prepared_count(rig), "0");
    prepare(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
}

static void a_branch_that_is_cancelled_before_its_list_is_there_never_runs(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_work work = branch_of(rig_gid, registers_sites);
    rig_sql(rig, insert_ours);
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, lock_waits, "1");
    rig->in_call = true;
    rig->port->cancel(rig->port->self, &answer);
    rig->in_call = false;
    rig_sql(rig, "rollback");
    rig_until(rig, &answer.done, "the cancelled work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "57014");
    assert_string_equal(rig_prepared_count(rig), "0");
    prepare(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
}

static void when_the_connection_is_lost_the_branch_has_failed(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_work work = branch_of(rig_gid, registers_sites);
    char sql[100];
    rig_sql(rig, insert_ours);
    rig_work_begin(rig, &work, &answer);
    rig_turn_until_sql(rig, lock_waits, "1");
    snprintf(sql, sizeof(sql), "select pg_terminate_backend(%d)",
             rig->pg->registers.connection.backend_pid);
    rig_sql(rig, sql);
    rig_until(rig, &answer.done, "the work is answered");
    assert_int_equal(answer.outcome, DB_FAILED);
    rig_sql(rig, "rollback");
    assert_string_equal(rig_prepared_count(rig), "0");
    registers_turn_until_ready(rig);
    prepare(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
}

/* ---- other locks ----------------------------------------------------------------------------- */

/* Class and key of the list of the branch that is prepared. */
static void key_of(struct rig *rig, char *key, size_t size)
{
    snprintf(key, size, "%s",
             rig_sql(rig, "select classid || ', ' || objid from pg_locks"
                          " where locktype = 'advisory' and mode = 'ShareLock'"));
}

static void locks_of_others_are_no_list(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    char key[40], own[300];
    prepare(rig, "troth.rig.c1.7.3.0", registers_sites);
    key_of(rig, key, sizeof(key));
    snprintf(own, sizeof(own),
             "select pg_advisory_xact_lock(1953657960, 1000000000),"
             " pg_advisory_xact_lock_shared(1953657960, -1), pg_advisory_xact_lock(1, %s),"
             " pg_advisory_xact_lock_shared((1953657960::bigint << 32) + %s)",
             strchr(key, ' '), strchr(key, ' '));
    struct db_statement statements[] = {
        rig_plain("session", "select pg_advisory_lock(1, 1), pg_advisory_lock_shared(2)"),
        rig_plain("own", own)};
    struct db_work work = rig_work_of(DB_PREPARE, rig_gid, statements, 2);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    expect_found(rig, rig_gid, NULL); /* of two phases */
    work.gid = "troth.rig.c1.7.2.0";
    work.sites = registers_sites;
    statements[1].name = "others";
    statements[1].sql = "select pg_advisory_xact_lock_shared(1953657960, 1000000001)";
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    expect_found(rig, work.gid, registers_sites);
    expect_found(rig, rig_gid, NULL);
    change_process(rig);
    expect_found(rig, work.gid, registers_sites);
    expect_found(rig, rig_gid, NULL);
    end(rig, work.gid);
    end(rig, rig_gid);
    end(rig, "troth.rig.c1.7.3.0");
}

/* Somebody has our key: that is no list less, but two of them make none. */
static void of_two_lists_none_is_believed(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    char key[40], sql[120];
    prepare(rig, rig_gid, registers_sites);
    key_of(rig, key, sizeof(key));
    snprintf(sql, sizeof(sql), "select pg_advisory_xact_lock_shared(%s)", key);
    struct db_statement statement = rig_plain("two", sql);
    struct db_work work = rig_work_of(DB_PREPARE, "troth.rig.c1.7.2.0", &statement, 1);
    work.sites = registers_sites;
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    expect_found(rig, work.gid, registers_sites);
    end(rig, work.gid);
    work.sites = other_sites;
    answer = (struct rig_answer){0};
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_PREPARED);
    expect_found(rig, work.gid, "");
    expect_found(rig, rig_gid, registers_sites);
    end(rig, work.gid);
    end(rig, rig_gid);
}

static void a_key_that_is_locked_exclusively_fails_the_branch_in_time(void **state)
{
    struct rig *rig = *state;
    struct rig_answer answer = {0};
    struct db_work work = branch_of(rig_gid, registers_sites);
    char key[40], sql[120];
    prepare(rig, rig_gid, registers_sites);
    key_of(rig, key, sizeof(key));
    end(rig, rig_gid);
    snprintf(sql, sizeof(sql), "select pg_advisory_lock(%s)", key);
    rig_sql(rig, sql);
    rig_work(rig, &work, &answer);
    assert_int_equal(answer.outcome, DB_FAILED);
    assert_string_equal(answer.sqlstate, "55P03");
    rig_sql(rig, "select pg_advisory_unlock_all()");
    snprintf(sql, sizeof(sql), "select pg_advisory_lock_shared(%s)", key);
    rig_sql(rig, sql);
    prepare(rig, rig_gid, registers_sites);
    expect_found(rig, rig_gid, registers_sites);
    end(rig, rig_gid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        WITH_RIG(a_later_process_finds_the_list_of_each_branch),
        WITH_RIG(what_was_prepared_is_there_after_a_power_cut_with_its_list),
        WITH_RIG(a_branch_that_has_a_row_too_is_found_with_what_both_say),
        WITH_RIG(an_adopted_branch_of_another_participant_is_found_with_its_list),
        WITH_RIG(a_long_list_is_kept_whole),
        WITH_RIG(a_list_is_durable_before_it_is_used),
        WITH_RIG(a_list_that_another_process_inserts_is_taken_from_it),
        WITH_RIG(many_branches_with_new_lists_at_once_each_get_their_own),
        WITH_RIG(a_list_that_was_forgotten_is_asked_for_again),
        WITH_RIG(numbers_are_forgotten_with_the_database),
        WITH_RIG(a_number_never_comes_to_mean_another_list),
        WITH_RIG(a_branch_that_fails_leaves_no_lock),
        WITH_RIG(without_its_list_nothing_is_prepared),
        WITH_RIG(a_branch_that_is_cancelled_before_its_list_is_there_never_runs),
        WITH_RIG(when_the_connection_is_lost_the_branch_has_failed),
        WITH_RIG(locks_of_others_are_no_list),
        WITH_RIG(of_two_lists_none_is_believed),
        WITH_RIG(a_key_that_is_locked_exclusively_fails_the_branch_in_time),
    };
    return registers_run(tests, sizeof(tests) / sizeof(tests[0]));
}
