/* Three-phase transactions on real processes: what they leave in the databases, and what becomes of
 * them when participants are killed, or their databases stopped, with the coordinator alive or
 * killed for good. orphans.c kills coordinators alone, partitions.c cuts the network. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/ending.h"
#include "tests/real/support/points.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* Until no branch is in doubt, from the moment at which a majority is there. */
enum { LIMIT_SECONDS = 5 };

/* ---- what is left behind ------------------------------------------------------------------- */

static int64_t count_rows(enum process participant, const char *what)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "select count(*) from troth.register where %s", what);
    return cluster_value(process_names[participant], sql);
}

static int64_t count_settled(enum process participant)
{
    return cluster_value(process_names[participant],
                         "select coalesce(sum(length(replace(bits::text, '0', ''))), 0)"
                         " from troth.settled");
}

static void forget_registers(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++)
        cluster_do(process_names[p], "truncate troth.register, troth.settled");
}

/* Of two purchases the rows are folded into bits. With the coordinator one site is enough to
 * accept: the two that nobody asked have nothing to remember. */
static bool both_are_settled(void *self)
{
    int64_t settled = 0;
    (void)self;
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (count_rows(p, "true") != 0)
            return false;
        settled += count_settled(p);
    }
    return settled >= 2;
}

static void a_purchase_commits_in_all_three_databases(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .key = "once"};
    forget_registers();
    purchase_begin(shop, &purchase);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_has(&said, "committed shop.c1.");
    said_fini(&said);
    assert_true(books_none_prepared());
    assert_int_equal(books_check(), 1);
    assert_int_equal(books_count(purchase.order), 1);
    assert_int_equal(purchase_make(shop, &(struct purchase){.protocol = "3pc"}), TOLD_COMMITTED);
    wait_for(both_are_settled, NULL, 20, "the registers of both are settled");
    purchase.again = true;
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    assert_int_equal(books_check(), 2);
}

/* Nobody is asked for anything, so nobody has a row. */
static void a_refused_purchase_is_in_no_database(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .amount = 100000};
    forget_registers();
    purchase_begin(shop, &purchase);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_ABORTED);
    said_has(&said, "insufficient_funds");
    said_fini(&said);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 0);
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        assert_int_equal(count_rows(p, "true"), 0);
        assert_int_equal(count_settled(p), 0);
    }
}

/* The id that the coordinator gives out next. */
static void guess_next_gtrid(struct shop *shop, char *next, size_t size)
{
    struct purchase purchase = {.protocol = "3pc"};
    char gtrid[160];
    unsigned long long seq;
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    books_newest_gtrid(gtrid, sizeof(gtrid));
    char *dot = strrchr(gtrid, '.');
    assert_int_equal(sscanf(dot + 1, "%llu", &seq), 1);
    snprintf(next, size, "%.*s.%llu", (int)(dot - gtrid), gtrid, seq + 1);
}

/* As when other sites had begun to give the transaction up, and were lost with what they had asked,
 * before it was prepared here: the coordinator's ballot does no harm there. Of one such site it has
 * no need; of more it outbids what they have promised. */
static void registers_that_have_promised_before_are_outbid(struct shop *shop)
{
    for (int count = 1; count <= 3; count++) {
        struct purchase purchase = {.protocol = "3pc"};
        char gtrid[160], sql[500];
        forget_registers();
        guess_next_gtrid(shop, gtrid, sizeof(gtrid));
        for (int i = 0; i < count; i++) {
            snprintf(sql, sizeof(sql),
                     "insert into troth.register (gtrid, participant, sites, begun_us,"
                     " promised_round, promised_site) values ('%s', '%s', '', 0, 1, 1)",
                     gtrid, process_names[ORDERS + i]);
            cluster_do(process_names[ORDERS + i], sql);
        }
        purchase_begin(shop, &purchase);
        struct said said = purchase_end(shop, &purchase);
        assert_int_equal(said.code, TOLD_COMMITTED);
        said_has(&said, gtrid);
        said_fini(&said);
        books_wait_settled(shop);
        assert_int_equal(books_count(purchase.order), 1);
    }
    assert_int_equal(books_check(), 6);
}

/* ---- a participant dies, and its coordinator for good ---------------------------------------- */

/* Both are started to die at a point of their own. */
struct both {
    enum process victim;
    const char *point;
    const char *coordinator; /* NULL: it lives */
    enum ending end;
    const char *pair;     /* two participants: orders and this one */
    const char *answered; /* who is left waits for a majority, and says so with these words */
    bool refused;
    bool
        alone; /* the others are paused until the victim has died, so that it is the first to act */
};

static const struct both boths[] = {
    {ORDERS, "participant.prepare-received", "coordinator.aborting", ABORTED},
    {PAYMENTS, "participant.working", "coordinator.aborting", ABORTED},
    {INVENTORY, "participant.prepared", "coordinator.aborting", ABORTED},
    {ORDERS, "participant.voted", "coordinator.aborting", ABORTED},
    {ORDERS, "participant.asked", "coordinator.decided", COMMITTED},
    {ORDERS, "participant.stored", "coordinator.decided", COMMITTED},
    /* Orders is asked, and has committed with its acceptance: the others are told. */
    {PAYMENTS, "participant.commit-received", "coordinator.acked:2", COMMITTED},
    {PAYMENTS, "participant.committed", "coordinator.acked", COMMITTED},
    {ORDERS, "participant.terminating", "coordinator.proposed", ABORTED, .alone = true},
    {PAYMENTS, "participant.rolled-back", "coordinator.voted", ABORTED},
    {PAYMENTS, "participant.stored", "coordinator.decided", COMMITTED, .pair = "payments"},
    {PAYMENTS, "participant.terminating", "coordinator.asked", ABORTED, .pair = "payments",
     .alone = true, .answered = "1 of 3 sites has answered"},
};
/* One dead participant is no obstacle. Those are asked that are needed: in the first transactions
 * of a run the first in its list. */
static const struct both livings[] = {
    {ORDERS, "participant.asked", NULL, COMMITTED},
    {ORDERS, "participant.stored", NULL, COMMITTED},
    {PAYMENTS, "participant.commit-received", NULL, COMMITTED},
    /* A coordinator that dies too may do so before COMMIT has gone out to this one. */
    {INVENTORY, "participant.acked", NULL, COMMITTED},
    {ORDERS, "participant.asked", NULL, COMMITTED, .pair = "payments"},
    {ORDERS, "participant.stored", NULL, COMMITTED, .pair = "payments"},
};
enum {
    BOTHS = sizeof(boths) / sizeof(boths[0]),
    LIVINGS = sizeof(livings) / sizeof(livings[0]),
    ATTEMPTS = 6,
};

static void pause_others(struct shop *shop, enum process victim, int signal)
{
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (p != victim)
            shop_signal(shop, p, signal);
    }
}

static void arm(struct shop *shop, const struct both *both)
{
    shop_stop(shop, both->victim);
    shop_start(shop, both->victim, both->point);
    if (both->coordinator) {
        shop_stop(shop, COORDINATOR);
        shop_start(shop, COORDINATOR, both->coordinator);
    }
    shop_wait_ready(shop);
}

static void ends_alike_when_it_is_back(struct shop *shop)
{
    const struct both *both = shop->argument;
    char key[128];
    snprintf(key, sizeof(key), "%s-%s", both->point, both->pair ? both->pair : "");
    struct purchase purchase = {.protocol = "3pc", .timeout = "8s", .key = key, .pair = both->pair};
    arm(shop, both);
    purchase_begin(shop, &purchase);
    ending_expect_killed(shop, COORDINATOR);
    if (both->alone)
        pause_others(shop, both->victim, SIGSTOP);
    struct said said = purchase_end(shop, &purchase);
    ending_expect_killed(shop, both->victim);
    if (both->alone)
        pause_others(shop, both->victim, SIGCONT);
    if (both->answered)
        ending_expect_waiting(shop, both->answered);
    shop_start(shop, both->victim, NULL);
    int took_ms = books_wait_none_prepared(LIMIT_SECONDS);
    shop_remark("ended %d ms after it was back", took_ms);
    ending_judge(&purchase, said.code, both->end);
    said_fini(&said);
    ending_come_back(shop, &purchase, both->end);
}

static bool others_have_ended(void *self)
{
    const enum process *victim = self;
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (p != *victim &&
            cluster_value(process_names[p], "select count(*) from pg_prepared_xacts") != 0)
            return false;
    }
    return true;
}

static void is_no_obstacle(struct shop *shop)
{
    const struct both *both = shop->argument;
    enum process victim = both->victim;
    struct purchase purchase = {.protocol = "3pc", .wait = "decided", .pair = both->pair};
    arm(shop, both);
    purchase_begin(shop, &purchase);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_fini(&said);
    ending_expect_killed(shop, victim);
    wait_for(others_have_ended, &victim, LIMIT_SECONDS, "the others have committed");
    shop_start(shop, victim, NULL);
    (void)books_wait_none_prepared(LIMIT_SECONDS);
    assert_int_equal(books_count_purchase(&purchase), 1);
    shop_wait_ready(shop);
    books_wait_settled(shop);
    books_check();
}

/* A transaction that is looked at. */
struct waiting {
    struct shop *shop;
    char gtrid[160];
};

/* ---- dead at the end of its own round ----------------------------------------------------------
 */

static bool has_promised_itself(void *self)
{
    const struct waiting *waiting = self;
    char sql[300];
    snprintf(sql, sizeof(sql),
             "select count(*) from troth.register where gtrid = '%s' and promised_round > 0",
             waiting->gtrid);
    return cluster_value("inventory", sql) == 1;
}

static bool is_over(void *self)
{
    return shop_ended(self, INVENTORY) || books_none_prepared();
}

/* Inventory is the first to begin: the others are paused until it has asked itself. True: it
 * brought the decision about, and died before it could carry it out or tell. */
static bool inventory_dies_at_the_end_of_its_round(struct shop *shop, struct purchase *purchase)
{
    struct waiting waiting = {.shop = shop};
    shop_stop(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, "coordinator.proposed");
    shop_wait_ready(shop);
    purchase_begin(shop, purchase);
    ending_expect_killed(shop, COORDINATOR);
    pause_others(shop, INVENTORY, SIGSTOP);
    struct said said = purchase_end(shop, purchase);
    assert_int_equal(said.code, TOLD_UNKNOWN);
    said_fini(&said);
    books_newest_gtrid(waiting.gtrid, sizeof(waiting.gtrid));
    wait_for(has_promised_itself, &waiting, 20, "inventory has begun a round");
    pause_others(shop, INVENTORY, SIGCONT);
    wait_for(is_over, shop, 20, "somebody has brought the decision about");
    if (shop_ended(shop, INVENTORY))
        return true;
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_count(purchase->order), 0);
    return false;
}

static void a_terminator_that_dies_before_it_tells_leaves_a_decision(struct shop *shop)
{
    struct purchase purchase;
    bool died = false;
    shop_stop(shop, INVENTORY);
    shop_start(shop, INVENTORY, "participant.terminated");
    for (int i = 0; i < ATTEMPTS && !died; i++) {
        purchase = (struct purchase){.protocol = "3pc", .timeout = "8s"};
        died = inventory_dies_at_the_end_of_its_round(shop, &purchase);
    }
    assert_true(died);
    ending_expect_killed(shop, INVENTORY);
    /* The two others were asked to accept, too. They are half of the sites, no majority, and see
     * that enough have accepted. */
    books_wait_prepared("orders", 0);
    books_wait_prepared("payments", 0);
    assert_int_equal(cluster_value("inventory", "select count(*) from pg_prepared_xacts"), 1);
    shop_start(shop, INVENTORY, NULL);
    shop_remark("ended %d ms after it was back", books_wait_none_prepared(LIMIT_SECONDS));
    assert_int_equal(books_check(), 0);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 0);
    purchase_wait_possible(shop);
}

/* ---- databases ------------------------------------------------------------------------------- */

/* The coordinator is held at the point until the database of payments is stopped. */
static void hold_without_a_database(struct shop *shop, const char *point, struct purchase *purchase)
{
    shop_stop(shop, COORDINATOR);
    shop_start_to_stop(shop, COORDINATOR, point, NULL);
    shop_wait_ready(shop);
    purchase_begin(shop, purchase);
    shop_wait_stopped(shop, COORDINATOR);
    cluster_call("cluster_stop", "payments");
}

/* With the coordinator, three of four are there. */
static void a_database_that_is_down_is_no_obstacle_while_the_coordinator_lives(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .wait = "decided", .timeout = "20s"};
    hold_without_a_database(shop, "coordinator.proposed", &purchase);
    shop_signal(shop, COORDINATOR, SIGCONT);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_fini(&said);
    books_wait_prepared("orders", 0);
    books_wait_prepared("inventory", 0);
    cluster_call("cluster_start", "payments");
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    assert_int_equal(books_count(purchase.order), 1);
}

static bool payments_waits_for_its_database(void *self)
{
    struct waiting *waiting = self;
    struct said said =
        shop_say_at(waiting->shop, PAYMENTS, "--timeout", "2s", "tx", "show", waiting->gtrid, NULL);
    bool told = strstr(said.output, "its database") != NULL;
    said_fini(&said);
    return told;
}

/* The coordinator is dead, and the database of payments away. */
static void begin_without_both(struct shop *shop, const char *point, struct purchase *purchase,
                               struct waiting *waiting)
{
    *purchase = (struct purchase){.protocol = "3pc", .key = point, .timeout = "20s"};
    *waiting = (struct waiting){.shop = shop};
    hold_without_a_database(shop, point, purchase);
    shop_kill(shop, COORDINATOR);
    ending_expect_unknown(shop, purchase);
    books_newest_gtrid(waiting->gtrid, sizeof(waiting->gtrid));
}

static void end_with_the_database(struct shop *shop, struct purchase *purchase, enum ending end)
{
    shop_mark(shop);
    cluster_call("cluster_start", "payments");
    shop_wait_logged(shop, PAYMENTS, "database: up");
    shop_remark("ended %d ms after the database was back", books_wait_none_prepared(LIMIT_SECONDS));
    assert_int_equal(books_count(purchase->order), end == COMMITTED);
    ending_come_back(shop, purchase, end);
}

/* Two of four are no majority, and nobody was asked: the others might have decided anything. */
static void a_database_that_is_down_without_the_coordinator_is_waited_for(struct shop *shop)
{
    struct purchase purchase;
    struct waiting waiting;
    begin_without_both(shop, "coordinator.proposed", &purchase, &waiting);
    ending_expect_waiting(shop, "2 of 4 sites have answered");
    wait_for(payments_waits_for_its_database, &waiting, 20, "payments waits for its database");
    assert_int_equal(cluster_value("orders", "select count(*) from pg_prepared_xacts"), 1);
    assert_int_equal(cluster_value("inventory", "select count(*) from pg_prepared_xacts"), 1);
    end_with_the_database(shop, &purchase, ABORTED);
}

/* Orders has accepted, which the coordinator had before it: inventory needs no third to know. */
static void a_database_that_is_down_is_no_obstacle_where_one_has_accepted(struct shop *shop)
{
    struct purchase purchase;
    struct waiting waiting;
    begin_without_both(shop, "coordinator.decided", &purchase, &waiting);
    books_wait_prepared("orders", 0);
    books_wait_prepared("inventory", 0);
    wait_for(payments_waits_for_its_database, &waiting, 20, "payments waits for its database");
    end_with_the_database(shop, &purchase, COMMITTED);
}

/* A fourth participant, with a database beside that of inventory. */
static pid_t start_ledger(struct shop *shop)
{
    char config[128], data[300];
    const char *inventory = getenv("TROTH_TEST_PG_INVENTORY_DATA");
    snprintf(data, sizeof(data), "host=%s dbname=ledger user=postgres", inventory);
    setenv("TROTH_TEST_PG_LEDGER", data, 1);
    cluster_do("inventory", "set client_min_messages = warning");
    cluster_do("inventory", "drop database if exists ledger");
    cluster_do("inventory", "create database ledger");
    cluster_do("ledger", "create table note (id text not null)");
    shop_write(shop, "ledger.yaml",
               "cluster: shop\nparticipant: ledger\ncoordinators: [%s]\n"
               "listen: tcp://127.0.0.1:%d\n"
               "postgres: {conninfo: \"%s\", connections: 4}\nsecurity: none\n"
               "operations:\n  note:\n    params: {id: text}\n    sql:\n"
               "      - statement: insert into note values (:id)\n",
               shop->addresses[COORDINATOR], shop_free_port(), data);
    snprintf(config, sizeof(config), "%s/ledger.yaml", shop->folder);
    const char *install[] = {"troth-participant", "--config", config, "--install", NULL};
    assert_int_equal(shop_reap(shop_spawn(shop, install, "install.log", NULL)), 0);
    const char *words[] = {"troth-participant", "--config", config, NULL};
    return shop_spawn(shop, words, "ledger.log", NULL);
}

static bool ledger_is_connected(void *self)
{
    struct said said = shop_say(self, "participant", "list", "--json", NULL);
    int up = 0;
    for (const char *at = said.output; (at = strstr(at, "\"database_up\":true")); at++)
        up++;
    said_fini(&said);
    return up == PROCESSES;
}

static bool three_have_ended(void *self)
{
    (void)self;
    return cluster_value("orders", "select count(*) from pg_prepared_xacts") == 0 &&
           cluster_value("inventory", "select count(*) from pg_prepared_xacts") == 0;
}

/* Three of five are a majority, and one of them at least has accepted commit. */
static void three_of_five_sites_finish_and_the_last_when_its_database_is_back(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .also = "ledger", .timeout = "20s"};
    pid_t ledger = start_ledger(shop);
    shop_stop(shop, COORDINATOR);
    shop_start_to_stop(shop, COORDINATOR, "coordinator.decided", NULL);
    wait_for(ledger_is_connected, shop, 30, "all four participants are connected");
    purchase_begin(shop, &purchase);
    shop_wait_stopped(shop, COORDINATOR);
    cluster_call("cluster_stop", "payments");
    uint64_t died_ms = wait_now_ms();
    shop_kill(shop, COORDINATOR);
    ending_expect_unknown(shop, &purchase);
    wait_for(three_have_ended, NULL, LIMIT_SECONDS, "the three with a database have ended");
    shop_remark("three of five ended %d ms after the coordinator was killed",
                (int)(wait_now_ms() - died_ms));
    assert_int_equal(books_count_notes("ledger", purchase.order), 1);
    cluster_call("cluster_start", "payments");
    (void)books_wait_none_prepared(LIMIT_SECONDS);
    assert_int_equal(books_check(), 1);
    assert_int_equal(books_count(purchase.order), 1);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    assert_int_equal(kill(ledger, SIGTERM), 0);
    assert_int_equal(shop_reap(ledger), 0);
}

/* ---- is every point tried? ------------------------------------------------------------------- */

static void every_crash_point_of_a_participant_is_tried(void **state)
{
    /* The same in every protocol: crash_points.c kills there. Those of sagas: saga_crashes.c;
     * of operators: operator_crashes.c; step by step: steps.c. */
    static const char *const elsewhere[] = {"participant.one-phase-committed",
                                            "participant.abort-received",
                                            "participant.settled",
                                            "participant.execute",
                                            "participant.executed",
                                            "participant.cancelled",
                                            "participant.heuristic-stored",
                                            "participant.heuristic-ended",
                                            "participant.work-received",
                                            "participant.opened",
                                            "participant.step-answered",
                                            "participant.adopted"};
    const char *tried[BOTHS + LIVINGS + 1] = {"participant.terminated"};
    (void)state;
    for (int i = 0; i < BOTHS; i++)
        tried[1 + i] = boths[i].point;
    for (int i = 0; i < LIVINGS; i++)
        tried[1 + BOTHS + i] = livings[i].point;
    points_check("participant.", (struct points){tried, BOTHS + LIVINGS + 1},
                 (struct points){elsewhere, sizeof(elsewhere) / sizeof(elsewhere[0])});
}

static struct CMUnitTest test_of(const struct both *both, char name[200])
{
    snprintf(name, 200, "%s_killed_at_%s_%s%s%s", process_names[both->victim], both->point,
             both->coordinator ? "and_trothd_for_good_at_" : "is_no_obstacle",
             both->coordinator ? both->coordinator : "", both->pair ? "_of_two_participants" : "");
    return shop_test(name, both->coordinator ? ends_alike_when_it_is_back : is_no_obstacle, both);
}

int main(void)
{
    static char names[BOTHS + LIVINGS][200];
    const struct CMUnitTest others[] = {
        SHOP_TEST(a_purchase_commits_in_all_three_databases),
        SHOP_TEST(a_refused_purchase_is_in_no_database),
        SHOP_TEST(registers_that_have_promised_before_are_outbid),
        SHOP_TEST(a_terminator_that_dies_before_it_tells_leaves_a_decision),
        SHOP_TEST(a_database_that_is_down_is_no_obstacle_while_the_coordinator_lives),
        SHOP_TEST(a_database_that_is_down_without_the_coordinator_is_waited_for),
        SHOP_TEST(a_database_that_is_down_is_no_obstacle_where_one_has_accepted),
        SHOP_TEST(three_of_five_sites_finish_and_the_last_when_its_database_is_back),
    };
    enum { OTHERS = sizeof(others) / sizeof(others[0]) };
    struct CMUnitTest tests[1 + OTHERS + BOTHS + LIVINGS] = {
        cmocka_unit_test(every_crash_point_of_a_participant_is_tried)};
    memcpy(tests + 1, others, sizeof(others));
    for (int i = 0; i < LIVINGS; i++)
        tests[1 + OTHERS + i] = test_of(&livings[i], names[i]);
    for (int i = 0; i < BOTHS; i++)
        tests[1 + OTHERS + LIVINGS + i] = test_of(&boths[i], names[LIVINGS + i]);
    return shop_run("three_phase", tests, sizeof(tests) / sizeof(tests[0]));
}
