/* kill -9 in the middle of what an operator ordered: after it was recorded, at the coordinator and
 * at a participant, and after it was done and before anybody was told. What is recorded is done by
 * the next run, and the same order a second time does no harm. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/real/support/cluster.h"
#include "tests/real/support/doubt.h"
#include "tests/real/support/wait.h"

static bool is_listed(struct shop *shop, const char *gtrid, const char *word)
{
    struct said said = shop_say(shop, "tx", "list", "--heuristic", "--json", NULL);
    bool listed = strstr(said.output, gtrid) && strstr(said.output, word);
    said_fini(&said);
    return listed;
}

struct listing {
    struct shop *shop;
    const char *gtrid;
};

static bool is_listed_as_commit(void *self)
{
    const struct listing *listing = self;
    return is_listed(listing->shop, listing->gtrid, "\"heuristic\":\"commit\"");
}

/* Once the database is up, its rows are read, and it has said how the branch ended. */
static bool knows_that_it_was_forced(void *self)
{
    const struct listing *listing = self;
    struct said said = shop_ask_to(listing->shop, listing->shop->addresses[PAYMENTS], "tx",
                                   "resolve", listing->gtrid, "--commit", "--reason", "again",
                                   "--participant", "payments", NULL);
    bool knows =
        said.code == 0 && strstr(said.output, "forced before") && strstr(said.output, "it burnt");
    if (!knows && said.code != TOLD_NOBODY && !strstr(said.output, "it is being carried out"))
        fail_msg("%s", said.output);
    said_fini(&said);
    return knows;
}

/* Forced at one of three, and the coordinator comes back with the same decision. */
static void payments_dies(struct shop *shop, const char *point, int prepared_then)
{
    char gtrid[160];
    struct purchase purchase = {0};
    struct listing listing = {shop, gtrid};
    shop_stop(shop, PAYMENTS);
    shop_start(shop, PAYMENTS, point);
    shop_wait_ready(shop);
    doubt_make(shop, &purchase, "coordinator.decided", gtrid, sizeof(gtrid));
    said_expect(shop_ask_to(shop, shop->addresses[PAYMENTS], "tx", "resolve", gtrid, "--commit",
                            "--reason", "it burnt", "--participant", "payments", NULL),
                TOLD_UNKNOWN, "not known whether", NULL, NULL);
    shop_wait_end(shop, PAYMENTS);
    assert_int_equal(cluster_value("payments", "select count(*) from troth.heuristic"), 1);
    assert_int_equal(doubt_prepared("payments"), prepared_then);
    /* Its row alone is enough. */
    shop_start(shop, PAYMENTS, NULL);
    books_wait_prepared("payments", 0);
    assert_int_equal(cluster_value("payments", "select count(*) from charge"), 1);
    wait_for(knows_that_it_was_forced, &listing, 20, "payments knows that it was forced before");
    shop_start_all(shop);
    books_wait_none_prepared(20);
    assert_int_equal(books_check(), 1);
    wait_for(is_listed_as_commit, &listing, 20, "it is told and listed");
}

static void what_a_participant_has_recorded_is_done_by_its_next_run(struct shop *shop)
{
    payments_dies(shop, "participant.heuristic-stored", 1);
}

static void what_a_participant_has_done_is_told_by_its_next_run(struct shop *shop)
{
    payments_dies(shop, "participant.heuristic-ended", 0);
}

static void what_a_coordinator_has_recorded_is_told_to_who_inquires(struct shop *shop)
{
    char gtrid[160];
    struct purchase purchase = {0};
    doubt_hold(shop, &purchase, gtrid, sizeof(gtrid));
    shop_stop(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, "coordinator.heuristic-recorded");
    wait_for(doubt_all_held, shop, 20, "all three branches are held again");
    said_expect(shop_ask(shop, "tx", "resolve", gtrid, "--abort", "--reason", "it burnt", NULL),
                TOLD_UNKNOWN, "not known whether", NULL, NULL);
    shop_wait_end(shop, COORDINATOR);
    for (enum process p = ORDERS; p < PROCESSES; p++)
        assert_int_equal(doubt_prepared(process_names[p]), 1);
    shop_start_all(shop);
    books_wait_none_prepared(20);
    assert_int_equal(books_check(), 0);
    assert_true(is_listed(shop, gtrid, "\"heuristic\":\"abort\""));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(what_a_participant_has_recorded_is_done_by_its_next_run),
        SHOP_TEST(what_a_participant_has_done_is_told_by_its_next_run),
        SHOP_TEST(what_a_coordinator_has_recorded_is_told_to_who_inquires),
    };
    return shop_run("operator_crashes", tests, sizeof(tests) / sizeof(tests[0]));
}
