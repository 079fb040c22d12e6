/* Processes that stop for longer than their sessions live, and go on (SIGSTOP, SIGCONT); and two
 * processes with the name of one participant. */
#include <libpq-fe.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* ---- conditions ---------------------------------------------------------------------------- */

static bool is_waiting_for_a_lock(void *self)
{
    return cluster_value(self, "select count(*) from pg_stat_activity where wait_event_type = "
                               "'Lock'") > 0;
}

/* The coordinator has given the session up: at least three heartbeats were missed. */
static bool is_missed(void *self)
{
    const char *words[] = {"participant", "list", "--json", NULL};
    struct said said = shop_command(self, words);
    bool missed = strstr(said.output, "\"connected\":false") != NULL;
    said_fini(&said);
    return missed;
}

static void wait_missed(struct shop *shop, enum process paused)
{
    if (paused == COORDINATOR) {
        for (enum process p = ORDERS; p < PROCESSES; p++)
            shop_wait_logged(shop, p, "lost coordinator");
    } else {
        wait_for(is_missed, shop, 20, "the coordinator misses the participant");
    }
}

/* Somebody who holds Ada's account, until the connection is closed. */
static PGconn *hold_account(void)
{
    PGconn *connection = PQconnectdb(cluster_conninfo("payments"));
    PGresult *result = PQexec(connection, "begin; update account set balance = balance where "
                                          "customer = 'ada'");
    assert_int_equal(PQresultStatus(result), PGRES_COMMAND_OK);
    PQclear(result);
    return connection;
}

/* ---- pauses -------------------------------------------------------------------------------- */

static const enum process all_processes[] = {COORDINATOR, ORDERS, PAYMENTS, INVENTORY};

static void paused_in_the_middle_of_purchases_ends_alike(struct shop *shop)
{
    const enum process *paused = shop->argument;
    struct buyers buyers = {.in_flight = 12,
                            .seed = 3,
                            .keyed_percent = 50,
                            .three_phase_percent = 50,
                            .timeout_ms = 5000};
    buyers_start(shop, &buyers);
    buyers_wait_committed(shop, &buyers, 20);
    shop_mark(shop);
    shop_signal(shop, *paused, SIGSTOP);
    wait_missed(shop, *paused);
    shop_signal(shop, *paused, SIGCONT);
    buyers_wait_committed(shop, &buyers, 20);
    buyers_stop(shop, &buyers);
    books_wait_settled(shop);
    assert_true(books_check() >= 40);
    buyers_judge(shop, &buyers);
}

static bool has_inventorys_vote(void *self)
{
    char gtrid[160];
    books_newest_gtrid(gtrid, sizeof(gtrid));
    struct said said = shop_say(self, "tx", "show", gtrid, NULL);
    bool has = strstr(said.output, "inventory: voted yes") != NULL;
    said_fini(&said);
    return has;
}

/* Its vote is in; it's paused before the others have voted; COMMIT is decided without it. */
static void a_participant_paused_after_its_vote_hears_the_decision_later(struct shop *shop)
{
    struct purchase purchase = {.timeout = "10s", .wait = "decided"};
    PGconn *holder = hold_account();
    purchase_begin(shop, &purchase);
    books_wait_prepared("orders", 1);
    books_wait_prepared("inventory", 1);
    wait_for(has_inventorys_vote, shop, 20, "the coordinator has the vote of inventory");
    wait_for(is_waiting_for_a_lock, (void *)"payments", 10, "payments waits for the account");
    shop_signal(shop, INVENTORY, SIGSTOP);
    PQfinish(holder);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_fini(&said);
    books_wait_prepared("orders", 0);
    wait_missed(shop, INVENTORY);
    assert_int_equal(cluster_value("inventory", "select count(*) from pg_prepared_xacts"), 1);
    shop_signal(shop, INVENTORY, SIGCONT);
    books_wait_settled(shop);
    books_check();
    assert_int_equal(books_count(purchase.order), 1);
}

/* The session's end counts as its no; what it did in the meantime is undone. */
static void a_participant_paused_before_its_vote_means_abort(struct shop *shop)
{
    struct purchase purchase = {.timeout = "30s"};
    PGconn *holder = hold_account();
    purchase_begin(shop, &purchase);
    books_wait_prepared("orders", 1);
    wait_for(is_waiting_for_a_lock, (void *)"payments", 10, "payments waits for the account");
    shop_signal(shop, PAYMENTS, SIGSTOP);
    PQfinish(holder);
    books_wait_prepared("payments", 1);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_ABORTED);
    said_has(&said, "payments");
    said_fini(&said);
    shop_signal(shop, PAYMENTS, SIGCONT);
    books_wait_settled(shop);
    books_check();
    assert_int_equal(books_count(purchase.order), 0);
    shop_wait_ready(shop);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
}

/* ---- two of one name ----------------------------------------------------------------------- */

static pid_t start_second(struct shop *shop, enum process participant)
{
    char config[128];
    snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, process_names[participant]);
    const char *words[] = {"troth-participant", "--config", config, NULL};
    return shop_spawn(shop, words, "second.log", NULL);
}

static void expect_replaced(struct shop *shop, enum process participant, pid_t second)
{
    int status = shop_wait_end(shop, participant);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 1);
    assert_true(shop_logged(shop, participant, "another process took over"));
    shop->processes[participant].pid = second;
}

static void a_newer_process_of_a_participant_takes_over_and_the_older_ends(struct shop *shop)
{
    struct buyers buyers = {.in_flight = 12,
                            .seed = 4,
                            .keyed_percent = 50,
                            .three_phase_percent = 50,
                            .timeout_ms = 5000};
    buyers_start(shop, &buyers);
    buyers_wait_committed(shop, &buyers, 20);
    pid_t second = start_second(shop, PAYMENTS);
    expect_replaced(shop, PAYMENTS, second);
    buyers_wait_committed(shop, &buyers, 20);
    buyers_stop(shop, &buyers);
    books_wait_settled(shop);
    assert_true(books_check() >= 40);
    buyers_judge(shop, &buyers);
}

static void an_older_process_that_wakes_up_finds_itself_replaced(struct shop *shop)
{
    struct purchase purchase = {.timeout = "30s"};
    PGconn *holder = hold_account();
    purchase_begin(shop, &purchase);
    books_wait_prepared("orders", 1);
    wait_for(is_waiting_for_a_lock, (void *)"payments", 10, "payments waits for the account");
    shop_signal(shop, PAYMENTS, SIGSTOP);
    pid_t second = start_second(shop, PAYMENTS);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_ABORTED);
    said_fini(&said);
    PQfinish(holder);
    shop_signal(shop, PAYMENTS, SIGCONT);
    expect_replaced(shop, PAYMENTS, second);
    shop_wait_connected(shop); /* from then on the older one's database sessions are ended */
    books_wait_settled(shop);
    books_check();
    assert_int_equal(books_count(purchase.order), 0);
    purchase_wait_possible(shop);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test("the_coordinator_paused_in_the_middle_of_purchases_ends_alike",
                  paused_in_the_middle_of_purchases_ends_alike, &all_processes[COORDINATOR]),
        shop_test("orders_paused_in_the_middle_of_purchases_ends_alike",
                  paused_in_the_middle_of_purchases_ends_alike, &all_processes[ORDERS]),
        shop_test("payments_paused_in_the_middle_of_purchases_ends_alike",
                  paused_in_the_middle_of_purchases_ends_alike, &all_processes[PAYMENTS]),
        shop_test("inventory_paused_in_the_middle_of_purchases_ends_alike",
                  paused_in_the_middle_of_purchases_ends_alike, &all_processes[INVENTORY]),
        SHOP_TEST(a_participant_paused_after_its_vote_hears_the_decision_later),
        SHOP_TEST(a_participant_paused_before_its_vote_means_abort),
        SHOP_TEST(a_newer_process_of_a_participant_takes_over_and_the_older_ends),
        SHOP_TEST(an_older_process_that_wakes_up_finds_itself_replaced),
    };
    return shop_run("pauses", tests, sizeof(tests) / sizeof(tests[0]));
}
