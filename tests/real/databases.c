/* PostgreSQL itself is killed, stopped, restarted, or throws Troth's sessions out. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* ---- killed in the middle ------------------------------------------------------------------ */

static const char *const killed_orders = "orders", *const killed_payments = "payments",
                         *const killed_inventory = "inventory";

static void killed_in_the_middle_of_purchases_ends_alike(struct shop *shop)
{
    const char *const *cluster = shop->argument;
    struct buyers buyers = {.in_flight = 12,
                            .seed = 1,
                            .keyed_percent = 50,
                            .three_phase_percent = 50,
                            .timeout_ms = 5000};
    buyers_start(shop, &buyers);
    buyers_wait_committed(shop, &buyers, 20);
    cluster_call("cluster_kill", *cluster);
    cluster_call("cluster_start", *cluster);
    buyers_wait_committed(shop, &buyers, 20);
    buyers_stop(shop, &buyers);
    books_wait_settled(shop);
    assert_true(books_check() >= 40);
    buyers_judge(shop, &buyers);
}

/* All three have voted yes and nobody was told when the database goes. */
static void prepared_branches_survive_the_death_of_their_database(struct shop *shop)
{
    struct purchase purchase = {.timeout = "5s"};
    shop_stop(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, "coordinator.decided");
    shop_wait_ready(shop);
    assert_int_equal(purchase_make(shop, &purchase), TOLD_UNKNOWN);
    shop_wait_end(shop, COORDINATOR);
    assert_int_equal(cluster_value("payments", "select count(*) from pg_prepared_xacts"), 1);
    cluster_call("cluster_kill", "payments");
    shop_start(shop, COORDINATOR, NULL);
    cluster_call("cluster_start", "payments");
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
    assert_int_equal(books_count(purchase.order), 1);
}

/* ---- down ---------------------------------------------------------------------------------- */

/* A transaction over these two alone; exit code. */
static struct said submit_notes(struct shop *shop, const char *one, const char *other,
                                const char *id)
{
    char first[64], second[64], argument[64];
    snprintf(first, sizeof(first), "%s.note", one);
    snprintf(second, sizeof(second), "%s.note", other);
    snprintf(argument, sizeof(argument), "{\"id\": \"%s\"}", id);
    const char *words[] = {"submit", "--timeout", "60s", first, argument, second, argument, NULL};
    return shop_command(shop, words);
}

static void expect_others_go_on(struct shop *shop)
{
    struct said said = submit_notes(shop, "orders", "inventory", "others");
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_fini(&said);
    assert_int_equal(books_count_notes("orders", "others"), 1);
    assert_int_equal(books_count_notes("inventory", "others"), 1);
}

/* Refused long before its deadline, with the name of who is missing and why. */
static void expect_refused_at_once(struct shop *shop, const char *why)
{
    uint64_t begun = wait_now_ms();
    struct said said = submit_notes(shop, "orders", "payments", "refused");
    assert_true(wait_now_ms() - begun < 30000);
    assert_int_equal(said.code, TOLD_ABORTED);
    said_has(&said, "payments");
    said_has(&said, why);
    said_fini(&said);
    assert_int_equal(books_count_notes("orders", "refused"), 0);
}

static bool is_told_down(void *self)
{
    const char *words[] = {"participant", "list", "--json", NULL};
    struct said said = shop_command(self, words);
    const char *payments = strstr(said.output, "\"name\":\"payments\"");
    bool down = payments && (strstr(payments, "\"connected\":false") ||
                             strstr(payments, "\"database_up\":false"));
    said_fini(&said);
    return down;
}

static void a_participant_that_is_down_holds_up_only_its_own_transactions(struct shop *shop)
{
    shop_kill(shop, PAYMENTS);
    expect_others_go_on(shop);
    wait_for(is_told_down, shop, 10, "payments is seen to be down");
    expect_refused_at_once(shop, "not connected");
    shop_start_all(shop);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    books_wait_settled(shop);
}

static void a_database_that_is_down_holds_up_only_its_own_transactions(struct shop *shop)
{
    cluster_call("cluster_stop", "payments");
    expect_others_go_on(shop);
    wait_for(is_told_down, shop, 10, "the database of payments is seen to be down");
    expect_refused_at_once(shop, "database");
    cluster_call("cluster_start", "payments");
    shop_wait_ready(shop);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    books_wait_settled(shop);
}

static void a_participant_waits_for_a_database_that_starts_later(struct shop *shop)
{
    shop_stop(shop, PAYMENTS);
    cluster_call("cluster_stop", "payments");
    shop_start(shop, PAYMENTS, NULL);
    shop_wait_logged(shop, PAYMENTS, "database: connection to server");
    assert_false(shop_logged(shop, PAYMENTS, "ready: "));
    cluster_call("cluster_start", "payments");
    shop_wait_ready(shop);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
    books_wait_settled(shop);
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void sessions_that_an_administrator_ends_cost_no_decision(struct shop *shop)
{
    struct buyers buyers = {.in_flight = 12,
                            .seed = 2,
                            .keyed_percent = 50,
                            .three_phase_percent = 50,
                            .timeout_ms = 5000};
    buyers_start(shop, &buyers);
    for (int i = 0; i < 4; i++) {
        buyers_wait_committed(shop, &buyers, 5);
        for (enum process p = ORDERS; p < PROCESSES; p++)
            cluster_do(process_names[p], "select pg_terminate_backend(pid) from pg_stat_activity"
                                         " where application_name like 'troth%'");
    }
    buyers_stop(shop, &buyers);
    books_wait_settled(shop);
    assert_true(books_check() >= 20);
    buyers_judge(shop, &buyers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test("the_database_of_orders_killed_in_the_middle_of_purchases_ends_alike",
                  killed_in_the_middle_of_purchases_ends_alike, &killed_orders),
        shop_test("the_database_of_payments_killed_in_the_middle_of_purchases_ends_alike",
                  killed_in_the_middle_of_purchases_ends_alike, &killed_payments),
        shop_test("the_database_of_inventory_killed_in_the_middle_of_purchases_ends_alike",
                  killed_in_the_middle_of_purchases_ends_alike, &killed_inventory),
        SHOP_TEST(prepared_branches_survive_the_death_of_their_database),
        SHOP_TEST(a_participant_that_is_down_holds_up_only_its_own_transactions),
        SHOP_TEST(a_database_that_is_down_holds_up_only_its_own_transactions),
        SHOP_TEST(a_participant_waits_for_a_database_that_starts_later),
        SHOP_TEST(sessions_that_an_administrator_ends_cost_no_decision),
    };
    return shop_run("databases", tests, sizeof(tests) / sizeof(tests[0]));
}
