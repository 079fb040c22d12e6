/* Everything at once: under a load of purchases by both protocols, processes and databases are
 * killed, paused and left away at random (support/faults.h). Then the books are checked. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/buyers.h"
#include "tests/real/support/faults.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

enum { SECONDS = 20, STEP_SECONDS = 1, STEP_COMMITS = 5 };

struct chaos {
    struct shop *shop;
    struct faults faults;
    struct buyers keyed, mixed;
};

struct progress {
    struct chaos *chaos;
    int least;
};

static int count_committed(struct chaos *chaos)
{
    return buyers_count(chaos->shop, &chaos->keyed, 'C') +
           buyers_count(chaos->shop, &chaos->mixed, 'C');
}

static bool has_progressed(void *self)
{
    struct progress *progress = self;
    return count_committed(progress->chaos) >= progress->least;
}

/* Some purchases, or as long as nothing can be bought. */
static void step(struct chaos *chaos)
{
    struct progress progress = {chaos, count_committed(chaos) + STEP_COMMITS};
    (void)wait_while_not(has_progressed, &progress, STEP_SECONDS);
}

static void start_buyers(struct chaos *chaos)
{
    unsigned seed = chaos->faults.first_seed;
    chaos->keyed = (struct buyers){.in_flight = 8,
                                   .seed = seed + 1,
                                   .keyed_percent = 100,
                                   .three_phase_percent = 50,
                                   .timeout_ms = 3000};
    chaos->mixed = (struct buyers){.in_flight = 8,
                                   .seed = seed + 2,
                                   .keyed_percent = 20,
                                   .three_phase_percent = 50,
                                   .timeout_ms = 3000};
    buyers_start(chaos->shop, &chaos->keyed);
    buyers_start(chaos->shop, &chaos->mixed);
}

static void rage(struct chaos *chaos)
{
    while (!faults_are_over(&chaos->faults)) {
        step(chaos);
        for (unsigned count = 1 + faults_draw(&chaos->faults, 2); count > 0; count--)
            faults_strike(&chaos->faults);
        step(chaos);
        faults_heal(&chaos->faults);
    }
    faults_end(&chaos->faults);
}

static void after_random_faults_the_books_balance_and_what_was_told_is_so(struct shop *shop)
{
    struct chaos chaos = {.shop = shop};
    char faults[100];
    faults_begin(&chaos.faults, shop, SECONDS);
    start_buyers(&chaos);
    rage(&chaos);
    shop_wait_ready(shop);
    buyers_stop(shop, &chaos.keyed);
    buyers_stop(shop, &chaos.mixed);
    books_wait_settled(shop);
    int orders = books_check();
    buyers_judge(shop, &chaos.keyed);
    buyers_judge(shop, &chaos.mixed);
    shop_remark("%d purchases committed, %d aborted, %d with an unknown end; %s",
                count_committed(&chaos), buyers_count(shop, &chaos.mixed, 'A'),
                buyers_count(shop, &chaos.mixed, 'U'),
                faults_format(&chaos.faults, faults, sizeof(faults)));
    /* With a key every purchase ends in the books, and only those of unknown end may add to them.
     */
    assert_in_range(orders, count_committed(&chaos),
                    count_committed(&chaos) + buyers_count(shop, &chaos.mixed, 'U'));
    assert_true(orders >= 50);
    assert_int_equal(purchase_make(shop, &(struct purchase){0}), TOLD_COMMITTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(after_random_faults_the_books_balance_and_what_was_told_is_so)};
    return shop_run("chaos", tests, 1);
}
