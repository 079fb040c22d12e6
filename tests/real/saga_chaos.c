/* Everything at once, with sagas: orders by place-order, by two phases and by three, while
 * processes and databases are killed, paused and left away at random (support/faults.h). Then each
 * saga must be completed or compensated, exactly, and the books balance. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/faults.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/saga_shop.h"
#include "tests/real/support/wait.h"

enum { SECONDS = 25, STEP_SECONDS = 1, STEP_ENDS = 5 };

struct chaos {
    struct shop *shop;
    struct faults faults;
    struct buyers sagas, mixed;
};

/* ---- the load ------------------------------------------------------------------------------ */

static void start_buyers(struct chaos *chaos)
{
    unsigned seed = chaos->faults.first_seed;
    chaos->sagas =
        (struct buyers){.in_flight = 8, .seed = seed + 1, .saga_percent = 100, .timeout_ms = 3000};
    chaos->mixed = (struct buyers){.in_flight = 8,
                                   .seed = seed + 2,
                                   .saga_percent = 50,
                                   .keyed_percent = 50,
                                   .three_phase_percent = 50,
                                   .timeout_ms = 3000};
    buyers_start(chaos->shop, &chaos->sagas);
    buyers_start(chaos->shop, &chaos->mixed);
}

static int count_told(struct chaos *chaos, char told)
{
    return buyers_count(chaos->shop, &chaos->sagas, told) +
           buyers_count(chaos->shop, &chaos->mixed, told);
}

struct progress {
    struct chaos *chaos;
    int least;
};

static bool has_progressed(void *self)
{
    struct progress *progress = self;
    return count_told(progress->chaos, 'S') >= progress->least;
}

/* Some sagas, or as long as none can be completed. */
static void step(struct chaos *chaos)
{
    struct progress progress = {chaos, count_told(chaos, 'S') + STEP_ENDS};
    (void)wait_while_not(has_progressed, &progress, STEP_SECONDS);
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

/* ---- the books ----------------------------------------------------------------------------- */

static void judge_completed(void *self, const char *order, const char *words)
{
    (void)self;
    (void)words;
    deeds_check_completed(order_deeds, order);
}

static void judge_compensated(void *self, const char *order, const char *words)
{
    (void)self;
    (void)words;
    deeds_check_compensated(order_deeds, order);
}

/* create, reserve and charge, and nothing that only a saga does. */
static int count_purchases(const char *order)
{
    int count = deed_count("orders", "create", order);
    assert_int_equal(deed_count("inventory", "reserve", order), count);
    assert_int_equal(deed_count("payments", "charge", order), count);
    assert_int_equal(deed_count("orders", "cancel", order), 0);
    assert_int_equal(deed_count("orders", "confirm", order), 0);
    assert_in_range(count, 0, 1);
    return count;
}

static void judge_committed(void *self, const char *order, const char *words)
{
    (void)self;
    (void)words;
    assert_int_equal(count_purchases(order), 1);
}

static void judge_aborted(void *self, const char *order, const char *words)
{
    (void)self;
    (void)words;
    assert_int_equal(count_purchases(order), 0);
}

static void judge_unknown(void *self, const char *order, const char *words)
{
    (void)self;
    (void)words;
    (void)count_purchases(order);
}

static void judge(struct shop *shop, const struct buyers *buyers)
{
    buyers_visit_told(shop, buyers, 'S', judge_completed, NULL);
    buyers_visit_told(shop, buyers, 'X', judge_compensated, NULL);
    buyers_visit_told(shop, buyers, 'C', judge_committed, NULL);
    buyers_visit_told(shop, buyers, 'A', judge_aborted, NULL);
    buyers_visit_told(shop, buyers, 'U', judge_unknown, NULL);
}

/* ---- the test ------------------------------------------------------------------------------ */

static bool none_runs(void *self)
{
    struct said said = shop_say(self, "--timeout", "2s", "saga", "list", NULL);
    bool none = said.code == 0 && strstr(said.output, "no saga runs");
    said_fini(&said);
    return none;
}

static void after_random_faults_every_saga_is_completed_or_compensated(struct shop *shop)
{
    struct chaos chaos = {.shop = shop};
    char faults[100];
    faults_begin(&chaos.faults, shop, SECONDS);
    start_buyers(&chaos);
    rage(&chaos);
    shop_wait_ready(shop);
    buyers_stop(shop, &chaos.sagas);
    buyers_stop(shop, &chaos.mixed);
    wait_for(none_runs, shop, 30, "no saga runs");
    books_wait_settled(shop);
    judge(shop, &chaos.sagas);
    judge(shop, &chaos.mixed);
    saga_books_check();
    shop_remark("%d sagas completed, %d compensated; %d purchases committed, %d aborted, %d with "
                "an unknown end; %s",
                count_told(&chaos, 'S'), count_told(&chaos, 'X'), count_told(&chaos, 'C'),
                count_told(&chaos, 'A'), count_told(&chaos, 'U'),
                faults_format(&chaos.faults, faults, sizeof(faults)));
    assert_true(count_told(&chaos, 'S') >= 50);
    assert_true(count_told(&chaos, 'X') >= 5);
    assert_true(count_told(&chaos, 'C') >= 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(after_random_faults_every_saga_is_completed_or_compensated)};
    shop_use_sagas();
    return shop_run("saga_chaos", tests, 1);
}
