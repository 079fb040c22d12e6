/* Three in the morning: each state in which an operator is needed is made for real. The commands
 * must say what is true, refuse what would break it, and end what can be ended; SQL is the judge.
 */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/doubt.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

struct settled {
    struct shop *shop;
    const char *gtrid;
};

/* Refused as long as its end is not on record everywhere. */
static bool is_forgotten(void *self)
{
    const struct settled *settled = self;
    struct said said = shop_ask(settled->shop, "tx", "forget", settled->gtrid, "--reason",
                                "looked at by a test", NULL);
    bool done = said.code == 0;
    if (!done && !strstr(said.output, "(owed)"))
        fail_msg("exit code %d: %s", said.code, said.output);
    said_fini(&said);
    return done;
}

static void forget(struct shop *shop, const char *gtrid)
{
    wait_for(is_forgotten, &(struct settled){shop, gtrid}, 20, "it can be forgotten");
    struct said said = shop_say(shop, "tx", "list", "--heuristic", "--json", NULL);
    assert_int_equal(said.code, 0);
    assert_null(strstr(said.output, gtrid));
    said_fini(&said);
}

/* ---- the coordinator is dead -------------------------------------------------------------------
 */

static const char *address(const struct shop *shop, enum process process)
{
    return shop->addresses[process];
}

static void
a_dead_coordinator_is_seen_at_a_participant_and_nothing_is_forced_by_a_slip(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    const char *door = address(shop, PAYMENTS);
    said_expect(shop_say_to(shop, door, "tx", "list", "--in-doubt", NULL), 0, gtrid, NULL, NULL);
    said_expect(shop_ask_to(shop, door, "tx", "explain", gtrid, NULL), 0, "prepared", "wait", NULL);
    /* Whose branch is meant must be said, and the right one. */
    said_expect(shop_ask_to(shop, door, "tx", "resolve", gtrid, "--abort", "--reason", "r", NULL),
                2, "--participant", NULL, NULL);
    said_expect(shop_ask_to(shop, door, "tx", "resolve", gtrid, "--abort", "--reason", "r",
                            "--participant", "orders", NULL),
                2, "payments", NULL, NULL);
    said_expect(shop_ask_to(shop, door, "tx", "resolve", gtrid, "--abort", "--reason", "r",
                            "--participant", "payments", "--dry-run", NULL),
                0, "ROLLBACK PREPARED", NULL, NULL);
    assert_int_equal(doubt_prepared("payments"), 1);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

static void what_was_forced_as_it_was_decided_is_heuristic_and_can_be_forgotten(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    said_expect(shop_ask_to(shop, address(shop, PAYMENTS), "tx", "resolve", gtrid, "--commit",
                            "--reason", "ada waits", "--participant", "payments", NULL),
                0, "COMMIT PREPARED", NULL, NULL);
    assert_int_equal(doubt_prepared("payments"), 0);
    assert_int_equal(cluster_value("payments", "select count(*) from troth.heuristic"), 1);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    said_expect(shop_say(shop, "tx", "list", "--heuristic", "--json", NULL), 0, gtrid,
                "\"heuristic\":\"commit\"", NULL);
    forget(shop, gtrid);
}

static bool is_mixed(void *self)
{
    struct said said = shop_say(self, "tx", "list", "--hazard", "--json", NULL);
    bool mixed = strstr(said.output, "\"heuristic\":\"mixed\"") != NULL;
    said_fini(&said);
    return mixed;
}

static void what_was_forced_against_the_decision_ends_as_mixed(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    said_expect(shop_ask_to(shop, address(shop, PAYMENTS), "tx", "resolve", gtrid, "--abort",
                            "--reason", "ada waits", "--participant", "payments", NULL),
                0, "ROLLBACK PREPARED", NULL, NULL);
    shop_start_all(shop);
    wait_for(is_mixed, shop, 20, "the coordinator lists it as mixed");
    books_wait_none_prepared(20);
    said_expect(shop_ask(shop, "tx", "explain", gtrid, NULL), 0, "payments", "mixed", "ada waits");
    said_expect(shop_ask(shop, "tx", "show", gtrid, NULL), 0, "ada waits", NULL, NULL);
    assert_int_equal(cluster_value("orders", "select count(*) from orders"), 1);
    assert_int_equal(cluster_value("payments", "select count(*) from charge"), 0);
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "r", NULL), 4, NULL,
                NULL, NULL);
    forget(shop, gtrid);
}

/* ---- a participant is gone ---------------------------------------------------------------------
 */

static bool is_told_down(void *self)
{
    struct said said = shop_say(self, "participant", "list", "--json", NULL);
    const char *inventory = strstr(said.output, "\"name\":\"inventory\"");
    bool down = inventory && strstr(inventory, "\"connected\":false");
    said_fini(&said);
    return down;
}

static void
a_participant_that_is_gone_is_waited_for_and_nothing_contradicts_the_decision(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {.wait = "decided"};
    shop_stop(shop, INVENTORY);
    shop_start(shop, INVENTORY, "participant.commit-received");
    shop_wait_ready(shop);
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    shop_wait_end(shop, INVENTORY);
    struct gid id;
    PGresult *result = cluster_query("inventory", "select gid from pg_prepared_xacts");
    assert_int_equal(PQntuples(result), 1);
    assert_true(gid_parse(PQgetvalue(result, 0, 0), &id));
    gtrid_format(gtrid, id.cluster, id.coordinator, id.tx);
    PQclear(result);
    wait_for(is_told_down, shop, 10, "inventory is seen to be down");
    said_expect(shop_say(shop, "tx", "list", "--in-doubt", NULL), 0, gtrid, "inventory", NULL);
    said_expect(shop_ask(shop, "tx", "explain", gtrid, NULL), 0, "wait", "inventory",
                "not connected");
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "r", NULL), 4,
                "commit", NULL, NULL);
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--commit", "--reason", "r", NULL), 0, NULL,
                NULL, NULL);
    said_expect(shop_ask(shop, "tx", "forget", gtrid, "--reason", "r", NULL), 2, "neither", NULL,
                NULL);
    assert_int_equal(doubt_prepared("inventory"), 1);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

/* ---- ended by hand -----------------------------------------------------------------------------
 */

static void end_by_hand(const char *participant, const char *how)
{
    char sql[300];
    PGresult *result = cluster_query(participant, "select gid from pg_prepared_xacts");
    assert_int_equal(PQntuples(result), 1);
    snprintf(sql, sizeof(sql), "%s prepared '%s'", how, PQgetvalue(result, 0, 0));
    PQclear(result);
    cluster_do(participant, sql);
}

/* The others are done first, and its xid has to be asked about. */
static bool is_hazard(void *self)
{
    const struct settled *settled = self;
    struct said said = shop_say(settled->shop, "tx", "list", "--hazard", NULL);
    assert_int_equal(said.code, 0);
    bool listed = strstr(said.output, settled->gtrid) && strstr(said.output, "hazard");
    said_fini(&said);
    return listed;
}

static void a_branch_rolled_back_by_hand_is_a_hazard_that_names_what_was_found(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    end_by_hand("payments", "rollback");
    shop_start_all(shop);
    books_wait_none_prepared(20);
    wait_for(is_hazard, &(struct settled){shop, gtrid}, 20, "the coordinator lists it as a hazard");
    said_expect(shop_ask(shop, "tx", "explain", gtrid, NULL), 0, "payments", "rolled back",
                "committed");
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "r", NULL), 4, NULL,
                NULL, NULL);
    assert_int_equal(cluster_value("orders", "select count(*) from orders"), 1);
    forget(shop, gtrid);
    said_expect(shop_say(shop, "tx", "list", "--hazard", "--json", NULL), 0, "\"transactions\":[]",
                NULL, NULL);
}

static void a_branch_committed_by_hand_as_it_was_decided_is_no_hazard(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    end_by_hand("payments", "commit");
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    said_expect(shop_say(shop, "tx", "list", "--hazard", "--json", NULL), 0, "\"transactions\":[]",
                NULL, NULL);
}

/* ---- the journal is lost -----------------------------------------------------------------------
 */

static void what_a_lost_journal_leaves_is_held_and_ends_as_an_operator_says(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_hold(shop, &purchase, gtrid, sizeof(gtrid));
    said_expect(shop_ask(shop, "tx", "orphans", NULL), 0, gtrid, "held", NULL);
    said_expect(shop_ask(shop, "tx", "explain", gtrid, NULL), 0, "tx resolve", "prepared", NULL);
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--commit", "--reason", "the shop says so",
                         "--dry-run", NULL),
                0, "COMMIT PREPARED", NULL, NULL);
    for (enum process p = ORDERS; p < PROCESSES; p++)
        assert_int_equal(doubt_prepared(process_names[p]), 1);
    said_expect(
        shop_ask(shop, "tx", "resolve", gtrid, "--commit", "--reason", "the shop says so", NULL), 0,
        "heuristic", NULL, NULL);
    books_wait_none_prepared(10);
    assert_int_equal(books_check(), 1);
    said_expect(shop_say(shop, "tx", "list", "--heuristic", "--json", NULL), 0, gtrid,
                "\"heuristic\":\"commit\"", "the shop says so");
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "r", NULL), 4, NULL,
                NULL, NULL);
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    said_expect(shop_say(shop, "tx", "list", "--heuristic", NULL), 0, gtrid, NULL, NULL);
    forget(shop, gtrid);
}

static void a_participant_that_comes_later_ends_as_the_others_were_made_to(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_hold(shop, &purchase, gtrid, sizeof(gtrid));
    shop_kill(shop, INVENTORY);
    said_expect(
        shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "the shop says so", NULL), 0,
        "inventory", NULL, NULL);
    books_wait_prepared("payments", 0);
    assert_int_equal(doubt_prepared("inventory"), 1);
    shop_start_all(shop);
    books_wait_none_prepared(20);
    assert_int_equal(books_check(), 0);
    forget(shop, gtrid);
}

/* ---- a database is restored --------------------------------------------------------------------
 */

static void
a_branch_that_a_restored_database_has_prepared_again_ends_as_it_was_decided(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    cluster_call("cluster_save", "payments");
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    cluster_call("cluster_go_back", "payments");
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    said_expect(shop_ask(shop, "tx", "show", gtrid, NULL), 0, "applied", NULL, NULL);
}

/* Its coordinator has forgotten it: its journal is lost as well. */
static void one_that_nobody_remembers_is_held_and_never_guessed(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    cluster_call("cluster_save", "payments");
    shop_start_all(shop);
    books_wait_settled(shop);
    shop_kill(shop, COORDINATOR);
    doubt_lose_journal(shop);
    cluster_call("cluster_go_back", "payments");
    shop_start_all(shop);
    books_wait_prepared("payments", 1);
    said_expect(shop_ask(shop, "tx", "explain", gtrid, NULL), 0, "payments", "tx resolve", NULL);
    said_expect(
        shop_ask(shop, "tx", "resolve", gtrid, "--commit", "--reason", "orders has it", NULL), 0,
        NULL, NULL, NULL);
    books_wait_none_prepared(10);
    assert_int_equal(books_check(), 1);
    forget(shop, gtrid);
}

/* ---- foreign ones, and those who are blocked
 * ----------------------------------------------------- */

static void a_foreign_prepared_transaction_is_listed_explained_and_never_touched(struct shop *shop)
{
    cluster_do("payments", "begin; insert into note values ('foreign');"
                           " prepare transaction 'other-system-17'");
    said_expect(shop_ask(shop, "tx", "orphans", NULL), 0, "other-system-17", "foreign", NULL);
    said_expect(shop_ask(shop, "tx", "explain", "other-system-17", NULL), 0, "other-system-17",
                "ROLLBACK PREPARED", NULL);
    said_expect(
        shop_ask(shop, "tx", "resolve", "other-system-17", "--abort", "--reason", "r", NULL), 4,
        NULL, NULL, NULL);
    assert_int_equal(doubt_prepared("payments"), 1);
    cluster_do("payments", "rollback prepared 'other-system-17'");
}

static bool somebody_is_blocked(void *self)
{
    (void)self;
    return cluster_value("payments", "select count(*) from pg_locks where not granted") > 0;
}

static void explain_names_the_blocked_session_and_its_query(struct shop *shop)
{
    char gtrid[160], pid[32];
    struct purchase purchase = {0};
    doubt_hold(shop, &purchase, gtrid, sizeof(gtrid));
    PGconn *blocked = PQconnectdb(cluster_conninfo("payments"));
    PQclear(PQexec(blocked, "set application_name = 'the-till'"));
    assert_int_equal(
        PQsendQuery(blocked, "update account set balance = balance + 1 where customer = 'ada'"), 1);
    snprintf(pid, sizeof(pid), "%d", PQbackendPID(blocked));
    wait_for(somebody_is_blocked, NULL, 10, "the second client waits for the lock");
    said_expect(shop_ask(shop, "tx", "explain", gtrid, NULL), 0, "the-till", pid,
                "update account set balance = balance + 1");
    said_expect(shop_ask(shop, "tx", "explain", gtrid, "--json", NULL), 0, "the-till",
                "update account set balance = balance + 1", "account");
    said_expect(
        shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "the till waits", NULL), 0,
        NULL, NULL, NULL);
    books_wait_none_prepared(10);
    PGresult *result = PQgetResult(blocked);
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    PQclear(PQgetResult(blocked));
    PQclear(PQexec(blocked, "update account set balance = balance - 1 where customer = 'ada'"));
    PQfinish(blocked);
    assert_int_equal(books_check(), 0);
    forget(shop, gtrid);
}

/* ---- three phases without a majority
 * ------------------------------------------------------------- */

static bool waits_for_a_majority(void *self)
{
    struct said said =
        shop_say_at(self, ORDERS, "--timeout", "2s", "tx", "list", "--in-doubt", "--json", NULL);
    bool waits = strstr(said.output, "a majority: 2 of 4 sites have answered") != NULL;
    said_fini(&said);
    return waits;
}

struct stuck {
    struct shop *shop;
    const char *gtrid;
};

static bool orders_rolls_back(void *self)
{
    const struct stuck *stuck = self;
    struct said said =
        shop_ask_to(stuck->shop, address(stuck->shop, ORDERS), "tx", "resolve", stuck->gtrid,
                    "--abort", "--reason", "ada waits", "--participant", "orders", NULL);
    bool done = said.code == 0 && strstr(said.output, "ROLLBACK PREPARED");
    if (!done && said.code != 4)
        fail_msg("%s", said.output);
    said_fini(&said);
    return done;
}

static void
a_minority_says_so_and_what_is_forced_there_is_compared_with_the_decision(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {.protocol = "3pc"};
    doubt_make(shop, &purchase, "coordinator.proposed", gtrid, sizeof(gtrid));
    shop_kill(shop, INVENTORY);
    wait_for(waits_for_a_majority, shop, 20, "orders says that it waits for a majority");
    said_expect(shop_ask_to(shop, address(shop, ORDERS), "tx", "explain", gtrid, NULL), 0,
                "majority", "inventory", NULL);
    /* Refused as long as a majority may come. */
    wait_for(orders_rolls_back, &(struct stuck){shop, gtrid}, 20, "orders takes the order");
    assert_int_equal(doubt_prepared("orders"), 0);
    assert_int_equal(doubt_prepared("payments"), 1);
    shop_start_all(shop);
    books_wait_none_prepared(20);
    int charged = (int)cluster_value("payments", "select count(*) from charge");
    if (charged)
        wait_for(is_mixed, shop, 20, "the coordinator lists it as mixed");
    said_expect(shop_say(shop, "tx", "list", "--heuristic", "--json", NULL), 0, gtrid,
                charged ? "\"heuristic\":\"mixed\"" : "\"heuristic\":\"abort\"", NULL);
    assert_int_equal(cluster_value("orders", "select count(*) from orders"), 0);
    forget(shop, gtrid);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(a_dead_coordinator_is_seen_at_a_participant_and_nothing_is_forced_by_a_slip),
        SHOP_TEST(what_was_forced_as_it_was_decided_is_heuristic_and_can_be_forgotten),
        SHOP_TEST(what_was_forced_against_the_decision_ends_as_mixed),
        SHOP_TEST(a_participant_that_is_gone_is_waited_for_and_nothing_contradicts_the_decision),
        SHOP_TEST(a_branch_rolled_back_by_hand_is_a_hazard_that_names_what_was_found),
        SHOP_TEST(a_branch_committed_by_hand_as_it_was_decided_is_no_hazard),
        SHOP_TEST(what_a_lost_journal_leaves_is_held_and_ends_as_an_operator_says),
        SHOP_TEST(a_participant_that_comes_later_ends_as_the_others_were_made_to),
        SHOP_TEST(a_branch_that_a_restored_database_has_prepared_again_ends_as_it_was_decided),
        SHOP_TEST(one_that_nobody_remembers_is_held_and_never_guessed),
        SHOP_TEST(a_foreign_prepared_transaction_is_listed_explained_and_never_touched),
        SHOP_TEST(explain_names_the_blocked_session_and_its_query),
        SHOP_TEST(a_minority_says_so_and_what_is_forced_there_is_compared_with_the_decision),
    };
    return shop_run("operator", tests, sizeof(tests) / sizeof(tests[0]));
}
