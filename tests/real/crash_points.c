/* kill -9 of the coordinator and of each participant at every named crash point, with a purchase on
 * its way. Afterwards, by SQL: all or nothing, and what the client was told is so. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/check.h"
#include "tests/real/support/journal_filler.h"
#include "tests/real/support/points.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

enum kind {
    COMMITTED,
    KEYED,   /* committed, with an idempotency key, and asked for again afterwards */
    REFUSED, /* a participant says no: the way to an abort */
    ALONE,   /* one phase */
    KINDS
};

struct crash {
    enum kind kind;
    enum process process;
    const char *point;
};

static const struct crash crashes[] = {
    {COMMITTED, COORDINATOR, "coordinator.submitted"},
    {COMMITTED, COORDINATOR, "coordinator.voted"},
    {COMMITTED, COORDINATOR, "coordinator.deciding"},
    {COMMITTED, COORDINATOR, "journal.written:2"},
    {COMMITTED, COORDINATOR, "journal.synced:2"},
    {COMMITTED, COORDINATOR, "coordinator.decided"},
    {COMMITTED, COORDINATOR, "coordinator.told"},
    {COMMITTED, COORDINATOR, "coordinator.acked"},
    {COMMITTED, COORDINATOR, "coordinator.acked:2"},
    {COMMITTED, COORDINATOR, "coordinator.acked:3"},
    {COMMITTED, COORDINATOR, "coordinator.ended"},
    {COMMITTED, COORDINATOR, "coordinator.settled:31"},
    {COMMITTED, COORDINATOR, "coordinator.settled:47"},
    {COMMITTED, ORDERS, "participant.prepare-received"},
    {COMMITTED, PAYMENTS, "participant.prepare-received"},
    {COMMITTED, INVENTORY, "participant.prepare-received"},
    {COMMITTED, ORDERS, "participant.working"},
    {COMMITTED, PAYMENTS, "participant.working"},
    {COMMITTED, INVENTORY, "participant.working"},
    {COMMITTED, ORDERS, "participant.prepared"},
    {COMMITTED, PAYMENTS, "participant.prepared"},
    {COMMITTED, INVENTORY, "participant.prepared"},
    {COMMITTED, ORDERS, "participant.voted"},
    {COMMITTED, PAYMENTS, "participant.voted"},
    {COMMITTED, INVENTORY, "participant.voted"},
    {COMMITTED, ORDERS, "participant.commit-received"},
    {COMMITTED, PAYMENTS, "participant.commit-received"},
    {COMMITTED, INVENTORY, "participant.commit-received"},
    {COMMITTED, ORDERS, "participant.committed"},
    {COMMITTED, PAYMENTS, "participant.committed"},
    {COMMITTED, INVENTORY, "participant.committed"},
    {COMMITTED, ORDERS, "participant.acked"},
    {COMMITTED, PAYMENTS, "participant.acked"},
    {COMMITTED, INVENTORY, "participant.acked"},
    {COMMITTED, ORDERS, "participant.settled:7"},
    {COMMITTED, PAYMENTS, "participant.settled:19"},
    {COMMITTED, INVENTORY, "participant.settled:29"},
    {KEYED, COORDINATOR, "coordinator.deciding"},
    {KEYED, COORDINATOR, "journal.written:2"},
    {KEYED, COORDINATOR, "journal.synced:2"},
    {KEYED, COORDINATOR, "coordinator.told"},
    {KEYED, COORDINATOR, "coordinator.ended"},
    {REFUSED, COORDINATOR, "coordinator.submitted"},
    {REFUSED, COORDINATOR, "coordinator.aborting"},
    {REFUSED, PAYMENTS, "participant.prepared"},
    {REFUSED, PAYMENTS, "participant.voted"},
    {REFUSED, PAYMENTS, "participant.rolled-back"},
    {REFUSED, ORDERS, "participant.abort-received"},
    {REFUSED, INVENTORY, "participant.abort-received"},
    {REFUSED, ORDERS, "participant.rolled-back"},
    {REFUSED, INVENTORY, "participant.rolled-back"},
    {ALONE, COORDINATOR, "coordinator.submitted"},
    {ALONE, COORDINATOR, "coordinator.settled:37"},
    {ALONE, PAYMENTS, "participant.prepare-received"},
    {ALONE, PAYMENTS, "participant.working"},
    {ALONE, ORDERS, "participant.one-phase-committed"},
    {ALONE, PAYMENTS, "participant.one-phase-committed"},
    {ALONE, INVENTORY, "participant.one-phase-committed"},
    {ALONE, INVENTORY, "participant.voted"},
};
enum { CRASHES = sizeof(crashes) / sizeof(crashes[0]), PURCHASES = 12 };

/* Passed only while a checkpoint is made: the journal must be nearly full before. */
static const char *const checkpoint_points[] = {"coordinator.checkpoint", "journal.checkpoint",
                                                "journal.replaced"};
enum { CHECKPOINT_POINTS = sizeof(checkpoint_points) / sizeof(checkpoint_points[0]) };

/* ---- one crash ----------------------------------------------------------------------------- */

struct attempt {
    struct shop *shop;
    enum process process;
    struct purchase purchase;
    char key[32];
    int told;
};

static bool something_ended(void *self)
{
    struct attempt *attempt = self;
    return shop_ended(attempt->shop, attempt->process) || purchase_ended(&attempt->purchase);
}

static void ask_for(struct attempt *attempt, const struct crash *crash)
{
    static int keys;
    struct purchase *purchase = &attempt->purchase;
    *purchase = (struct purchase){.timeout = "5s"};
    if (crash->kind == KEYED) {
        snprintf(attempt->key, sizeof(attempt->key), "key-%d", ++keys);
        purchase->key = attempt->key;
    } else if (crash->kind == REFUSED) {
        purchase->amount = 100000;
    } else if (crash->kind == ALONE) {
        purchase->alone = process_names[crash->process == COORDINATOR ? ORDERS : crash->process];
    }
}

/* Buys once; when the process dies of it, it's started again at once, so that the client may hear
 * the end. True: it died. */
static bool buy_until_death(struct attempt *attempt, const struct crash *crash)
{
    struct shop *shop = attempt->shop;
    bool died = shop_ended(shop, crash->process);
    if (!died) {
        ask_for(attempt, crash);
        purchase_begin(shop, &attempt->purchase);
        wait_for(something_ended, attempt, 30, "the purchase or the process has ended");
        died = shop_ended(shop, crash->process);
    }
    if (died) {
        int status = shop_wait_end(shop, crash->process);
        assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
        shop_start(shop, crash->process, NULL);
    }
    if (attempt->purchase.pid) {
        struct said said = purchase_end(shop, &attempt->purchase);
        attempt->told = said.code;
        said_fini(&said);
    }
    return died;
}

static void judge(struct attempt *attempt, const struct crash *crash)
{
    struct purchase *purchase = &attempt->purchase;
    int count = books_count_purchase(purchase);
    if (attempt->told == TOLD_COMMITTED)
        assert_int_equal(count, 1);
    else if (attempt->told == TOLD_ABORTED || attempt->told == TOLD_NOBODY)
        assert_int_equal(count, 0);
    else
        assert_int_equal(attempt->told, TOLD_UNKNOWN);
    assert_in_range(count, 0, 1);
    if (crash->kind == REFUSED)
        assert_int_equal(count, 0);
    if (crash->kind == KEYED) {
        purchase->again = true;
        assert_int_equal(purchase_make(attempt->shop, purchase), TOLD_COMMITTED);
        assert_int_equal(books_count_purchase(purchase), 1);
    }
}

static void die_and_judge(struct shop *shop, const struct crash *crash)
{
    struct attempt attempts[PURCHASES] = {0};
    int count = 0;
    bool died = false;
    for (; !died && count < PURCHASES; count++) {
        attempts[count].shop = shop;
        attempts[count].process = crash->process;
        died = buy_until_death(&attempts[count], crash);
    }
    assert_true(died);
    shop_start_all(shop);
    books_wait_settled(shop);
    books_check();
    for (int i = 0; i < count; i++) {
        if (attempts[i].purchase.pid)
            judge(&attempts[i], crash);
    }
    books_check();
    purchase_wait_possible(shop);
}

static void ends_alike_everywhere(struct shop *shop)
{
    const struct crash *crash = shop->argument;
    shop_stop(shop, crash->process);
    shop_start(shop, crash->process, crash->point);
    shop_wait_ready(shop);
    die_and_judge(shop, crash);
}

static void of_a_checkpoint_loses_nothing(struct shop *shop)
{
    const char *const *point = shop->argument;
    const struct crash crash = {COMMITTED, COORDINATOR, *point};
    struct purchase before = {.key = *point}; /* of its own for each test */
    assert_int_equal(purchase_make(shop, &before), TOLD_COMMITTED);
    shop_stop(shop, COORDINATOR);
    journal_fill(shop);
    shop_start(shop, COORDINATOR, *point);
    shop_wait_ready(shop);
    die_and_judge(shop, &crash);
    /* What the journal held before is still known: the key's answer comes again. */
    before.again = true;
    purchase_begin(shop, &before);
    struct said said = purchase_end(shop, &before);
    assert_int_equal(said.code, TOLD_COMMITTED);
    said_has(&said, "nothing ran again");
    said_fini(&said);
    assert_int_equal(books_count(before.order), 1);
}

/* ---- is every point tried? ----------------------------------------------------------------- */

/* Passed by three phases alone: orphans.c and three_phase.c kill at these. */
static const char *const three_phase_points[] = {
    "coordinator.proposed", "coordinator.asked",       "coordinator.granted",
    "coordinator.promised", "coordinator.terminating", "participant.asked",
    "participant.stored",   "participant.terminating", "participant.terminated",
};
enum { THREE_PHASE_POINTS = sizeof(three_phase_points) / sizeof(three_phase_points[0]) };

/* Passed by sagas alone: saga_crashes.c kills at these. */
static const char *const saga_points[] = {
    "coordinator.saga-begun",    "coordinator.saga-sent",   "coordinator.saga-answered",
    "coordinator.saga-recorded", "coordinator.saga-failed", "coordinator.saga-undone",
    "coordinator.saga-ended",    "participant.execute",     "participant.executed",
    "participant.cancelled",
};
enum { SAGA_POINTS = sizeof(saga_points) / sizeof(saga_points[0]) };

/* Passed where operators order alone: operator_crashes.c kills at these. */
static const char *const operator_points[] = {
    "coordinator.heuristic-recorded",
    "participant.heuristic-stored",
    "participant.heuristic-ended",
};
enum { OPERATOR_POINTS = sizeof(operator_points) / sizeof(operator_points[0]) };

/* Passed by transactions that are built step by step alone: steps.c kills at these. */
static const char *const step_points[] = {
    "coordinator.opened",        "coordinator.worked",  "coordinator.handed-over",
    "coordinator.ending",        "participant.opened",  "participant.work-received",
    "participant.step-answered", "participant.adopted",
};
enum { STEP_POINTS = sizeof(step_points) / sizeof(step_points[0]) };

static void every_crash_point_of_the_sources_is_tried(void **state)
{
    const char *tried[CRASHES + CHECKPOINT_POINTS];
    const char *elsewhere[THREE_PHASE_POINTS + SAGA_POINTS + OPERATOR_POINTS + STEP_POINTS];
    size_t count = 0;
    (void)state;
    for (int i = 0; i < CRASHES; i++)
        tried[i] = crashes[i].point;
    memcpy(tried + CRASHES, checkpoint_points, sizeof(checkpoint_points));
    for (int i = 0; i < THREE_PHASE_POINTS; i++)
        elsewhere[count++] = three_phase_points[i];
    for (int i = 0; i < SAGA_POINTS; i++)
        elsewhere[count++] = saga_points[i];
    for (int i = 0; i < OPERATOR_POINTS; i++)
        elsewhere[count++] = operator_points[i];
    for (int i = 0; i < STEP_POINTS; i++)
        elsewhere[count++] = step_points[i];
    points_check("", (struct points){tried, CRASHES + CHECKPOINT_POINTS},
                 (struct points){elsewhere, count});
}

int main(void)
{
    static const char *const kinds[KINDS] = {"a_purchase", "a_purchase_with_a_key",
                                             "a_refused_purchase", "a_transaction_of_one_phase"};
    static char names[CRASHES + CHECKPOINT_POINTS][160];
    struct CMUnitTest tests[1 + CRASHES + CHECKPOINT_POINTS] = {
        cmocka_unit_test(every_crash_point_of_the_sources_is_tried)};
    int count = 1;
    for (int i = 0; i < CRASHES; i++, count++) {
        snprintf(names[count - 1], sizeof(names[0]),
                 "%s_with_%s_killed_at_%s_ends_alike_everywhere", kinds[crashes[i].kind],
                 process_names[crashes[i].process], crashes[i].point);
        tests[count] = shop_test(names[count - 1], ends_alike_everywhere, &crashes[i]);
    }
    for (int i = 0; i < CHECKPOINT_POINTS; i++, count++) {
        snprintf(names[count - 1], sizeof(names[0]), "a_crash_at_%s_of_a_checkpoint_loses_nothing",
                 checkpoint_points[i]);
        tests[count] =
            shop_test(names[count - 1], of_a_checkpoint_loses_nothing, &checkpoint_points[i]);
    }
    return shop_run("crash_points", tests, (size_t)count);
}
