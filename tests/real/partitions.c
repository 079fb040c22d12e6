/* The network is cut: the coordinator and each participant live on hosts of their own. Across a cut
 * nothing arrives and nobody is told. A side with a majority of the sites finishes; a minority
 * waits, says so to whoever asks it there, changes nothing, and ends alike when it is healed. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/network.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* From the cut until the side with a majority has ended. */
enum { LIMIT_MS = 5000, HEALED_SECONDS = 10 };

/* Hosts: trothd, orders, payments, inventory. */
static const char whole[] = "0000";

/* ---- what is to be seen ---------------------------------------------------------------------- */

static int64_t count_prepared(enum process participant)
{
    return cluster_value(process_names[participant], "select count(*) from pg_prepared_xacts");
}

/* These have nothing prepared: a bit each. */
struct side {
    struct shop *shop;
    unsigned participants;
};

static bool has_ended(void *self)
{
    const struct side *side = self;
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (side->participants & 1u << p && count_prepared(p) != 0)
            return false;
    }
    return true;
}

enum { OF_ORDERS = 1 << ORDERS, OF_PAYMENTS = 1 << PAYMENTS, OF_INVENTORY = 1 << INVENTORY };
enum { OF_ALL = OF_ORDERS | OF_PAYMENTS | OF_INVENTORY };

static void expect_end(struct shop *shop, unsigned participants, uint64_t cut_ms)
{
    struct side side = {shop, participants};
    wait_for(has_ended, &side, 20, "the side with a majority has ended");
    int took_ms = (int)(wait_now_ms() - cut_ms);
    shop_remark("the majority ended %d ms after the cut", took_ms);
    assert_in_range(took_ms, 0, LIMIT_MS);
}

struct witness {
    struct shop *shop;
    enum process process;
    char gtrid[160], expected[80];
};

static bool is_shown(void *self)
{
    struct witness *witness = self;
    struct said said = shop_say_at(witness->shop, witness->process, "--timeout", "2s", "tx", "show",
                                   witness->gtrid, NULL);
    bool shown = strstr(said.output, witness->expected) != NULL;
    said_fini(&said);
    return shown;
}

static bool doctor_says(void *self)
{
    struct witness *witness = self;
    struct said said =
        shop_say_at(witness->shop, witness->process, "--timeout", "2s", "doctor", NULL);
    bool told = strstr(said.output, "for a majority") != NULL;
    said_fini(&said);
    return told;
}

/* answered: "1 of 4 sites has answered". */
static void expect_waiting(struct shop *shop, enum process process, const char *answered)
{
    struct witness witness = {.shop = shop, .process = process};
    books_newest_gtrid(witness.gtrid, sizeof(witness.gtrid));
    snprintf(witness.expected, sizeof(witness.expected), "a majority: %s", answered);
    wait_for(is_shown, &witness, 20, witness.expected);
    wait_for(doctor_says, &witness, 20, "the doctor says that it waits for a majority");
}

static void expect_shown(struct shop *shop, enum process process, const char *text)
{
    struct witness witness = {.shop = shop, .process = process};
    books_newest_gtrid(witness.gtrid, sizeof(witness.gtrid));
    snprintf(witness.expected, sizeof(witness.expected), "%s", text);
    wait_for(is_shown, &witness, 20, witness.expected);
}

static void expect_told(struct shop *shop, struct purchase *purchase, int expected)
{
    struct said said = purchase_end(shop, purchase);
    assert_int_equal(said.code, expected);
    said_fini(&said);
}

/* ---- cutting and healing --------------------------------------------------------------------- */

/* The coordinator is held at the point while the network is cut, and goes on in its part. Returns
 * the moment of the cut. */
static uint64_t cut_at(struct shop *shop, const char *point, const char *parts,
                       struct purchase *purchase)
{
    shop_stop(shop, COORDINATOR);
    shop_start_to_stop(shop, COORDINATOR, point, NULL);
    shop_wait_ready(shop);
    purchase_begin(shop, purchase);
    shop_wait_stopped(shop, COORDINATOR);
    uint64_t cut_ms = wait_now_ms();
    network_split(shop->network, parts);
    shop_signal(shop, COORDINATOR, SIGCONT);
    return cut_ms;
}

static void heal(struct shop *shop)
{
    uint64_t healed_ms = wait_now_ms();
    network_split(shop->network, whole);
    (void)books_wait_none_prepared(HEALED_SECONDS);
    books_wait_settled(shop);
    shop_remark("all is settled %d ms after the network was healed",
                (int)(wait_now_ms() - healed_ms));
    books_check();
}

/* ---- the coordinator is cut off ----------------------------------------------------------------
 */

struct cut {
    const char *point;
    int committed;        /* in the end */
    const char *pair;     /* two participants only */
    const char *answered; /* what the coordinator says of its sites; NULL: it knows the decision */
};

static const struct cut proposed = {"coordinator.proposed", 0, NULL, "1 of 4 sites has answered"};
static const struct cut asked = {"coordinator.asked", 0, NULL, "1 of 4 sites has answered"};
static const struct cut decided = {"coordinator.decided", 1, NULL, NULL};
static const struct cut pair_proposed = {"coordinator.proposed", 0, "inventory",
                                         "1 of 3 sites has answered"};

static void the_others_finish_and_it_agrees_when_it_is_healed(struct shop *shop)
{
    const struct cut *cut = shop->argument;
    struct purchase purchase = {
        .protocol = "3pc", .timeout = "3s", .pair = cut->pair, .wait = "decided"};
    uint64_t cut_ms = cut_at(shop, cut->point, "0111", &purchase);
    expect_end(shop, OF_ALL, cut_ms);
    assert_int_equal(books_count_purchase(&purchase), cut->committed);
    if (cut->answered)
        expect_waiting(shop, COORDINATOR, cut->answered);
    expect_told(shop, &purchase, cut->committed ? TOLD_COMMITTED : TOLD_UNKNOWN);
    heal(shop);
    expect_shown(shop, COORDINATOR, cut->committed ? "applied" : "aborted");
    assert_int_equal(books_count_purchase(&purchase), cut->committed);
    purchase_wait_possible(shop);
}

/* ---- a participant is cut off ------------------------------------------------------------------
 */

static void a_participant_cut_off_in_doubt_waits_and_ends_when_it_is_healed(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .timeout = "20s", .wait = "decided"};
    uint64_t cut_ms = cut_at(shop, "coordinator.proposed", "0001", &purchase);
    expect_told(shop, &purchase, TOLD_COMMITTED);
    expect_end(shop, OF_ORDERS | OF_PAYMENTS, cut_ms);
    expect_waiting(shop, INVENTORY, "1 of 4 sites has answered");
    assert_int_equal(count_prepared(INVENTORY), 1);
    heal(shop);
    assert_int_equal(books_count(purchase.order), 1);
    purchase_wait_possible(shop);
}

/* It alone can't speak with its coordinator, and both can with the others: these are enough for the
 * coordinator, and tell the participant what became of it while the cut lasts. */
static void a_participant_that_reaches_the_others_alone_learns_it_from_them(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .timeout = "20s", .wait = "decided"};
    shop_stop(shop, COORDINATOR);
    shop_start_to_stop(shop, COORDINATOR, "coordinator.proposed", NULL);
    shop_wait_ready(shop);
    purchase_begin(shop, &purchase);
    shop_wait_stopped(shop, COORDINATOR);
    uint64_t cut_ms = wait_now_ms();
    network_block(shop->network, COORDINATOR, INVENTORY);
    network_block(shop->network, INVENTORY, COORDINATOR);
    shop_signal(shop, COORDINATOR, SIGCONT);
    expect_told(shop, &purchase, TOLD_COMMITTED);
    expect_end(shop, OF_ALL, cut_ms);
    assert_int_equal(books_count(purchase.order), 1);
    network_unblock(shop->network, COORDINATOR, INVENTORY);
    network_unblock(shop->network, INVENTORY, COORDINATOR);
    heal(shop);
    assert_int_equal(books_count(purchase.order), 1);
}

/* ---- no majority anywhere ----------------------------------------------------------------------
 */

static void without_a_majority_anywhere_nothing_moves_until_it_is_healed(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .timeout = "3s", .key = "nowhere"};
    (void)cut_at(shop, "coordinator.proposed", "0011", &purchase);
    expect_told(shop, &purchase, TOLD_UNKNOWN);
    expect_waiting(shop, COORDINATOR, "2 of 4 sites have answered");
    expect_waiting(shop, PAYMENTS, "2 of 4 sites have answered");
    for (enum process p = ORDERS; p < PROCESSES; p++)
        assert_int_equal(count_prepared(p), 1);
    heal(shop);
    int count = books_count(purchase.order);
    expect_shown(shop, COORDINATOR, count ? "applied" : "aborted");
    purchase.again = true;
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    assert_int_equal(books_count(purchase.order), 1);
}

/* ---- under load
 * ---------------------------------------------------------------------------------- */

struct progress {
    struct shop *shop;
    struct buyers *buyers;
    int least;
};

static bool has_progressed(void *self)
{
    struct progress *progress = self;
    return buyers_count(progress->shop, progress->buyers, 'C') >= progress->least;
}

static void cuts_in_the_middle_of_purchases_leave_all_alike(struct shop *shop)
{
    static const char *const parts[] = {"0111", "0001", "0011", "0120", "0123", "0100"};
    struct buyers buyers = {.in_flight = 12,
                            .seed = 5,
                            .keyed_percent = 60,
                            .three_phase_percent = 80,
                            .timeout_ms = 3000};
    buyers_start(shop, &buyers);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        buyers_wait_committed(shop, &buyers, 10);
        struct progress progress = {shop, &buyers, buyers_count(shop, &buyers, 'C') + 1000};
        network_split(shop->network, parts[i]);
        (void)wait_while_not(has_progressed, &progress, 1); /* some are in the middle */
        network_split(shop->network, whole);
    }
    buyers_wait_committed(shop, &buyers, 10);
    buyers_stop(shop, &buyers);
    books_wait_settled(shop);
    assert_true(books_check() >= 50);
    buyers_judge(shop, &buyers);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test("the_coordinator_cut_off_after_its_proposal",
                  the_others_finish_and_it_agrees_when_it_is_healed, &proposed),
        shop_test("the_coordinator_cut_off_while_it_asks",
                  the_others_finish_and_it_agrees_when_it_is_healed, &asked),
        shop_test("the_coordinator_cut_off_with_the_decision",
                  the_others_finish_and_it_agrees_when_it_is_healed, &decided),
        shop_test("the_coordinator_of_two_participants_cut_off_after_its_proposal",
                  the_others_finish_and_it_agrees_when_it_is_healed, &pair_proposed),
        SHOP_TEST(a_participant_cut_off_in_doubt_waits_and_ends_when_it_is_healed),
        SHOP_TEST(a_participant_that_reaches_the_others_alone_learns_it_from_them),
        SHOP_TEST(without_a_majority_anywhere_nothing_moves_until_it_is_healed),
        SHOP_TEST(cuts_in_the_middle_of_purchases_leave_all_alike),
    };
    shop_use_network();
    return shop_run("partitions", tests, sizeof(tests) / sizeof(tests[0]));
}
