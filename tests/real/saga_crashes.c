/* kill -9 of the coordinator, of each participant and of each PostgreSQL at every named crash point
 * of sagas, at each time that a saga comes by: the first, the second, until it ends without. Then,
 * by SQL: every step is done exactly once, or undone exactly once, and what the client is told is
 * so. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/points.h"
#include "tests/real/support/saga_shop.h"
#include "tests/real/support/saga_start.h"
#include "tests/real/support/wait.h"

/* ---- what runs ----------------------------------------------------------------------------- */

enum { PARTS = 4 };

/* A saga, how it ends when nothing worse than a kill happens, and what it leaves in the books. */
struct story {
    const char *name, *saga;
    const char *input; /* with @ for its id, once */
    bool completes;
    const char *signal; /* the value of the approval that it waits for, or NULL */
    /* What the client must hear of its end; otherwise it went another way, which is as good, and
     * nothing follows from what it did not come by. NULL: there is one way only. */
    const char *why;
    struct {
        const char *suffix; /* of the id */
        const struct deed *deeds;
    } parts[PARTS];
};

static const struct story stories[] = {
    {"an_order",
     "place-order",
     "{\"order_id\": \"@\", \"customer\": \"ada\", \"sku\": \"lamp\", \"quantity\": 1, "
     "\"amount\": 2}",
     true,
     NULL,
     NULL,
     {{"", order_deeds}}},
    {"an_order_that_is_refused",
     "place-order",
     "{\"order_id\": \"@\", \"customer\": \"ada\", \"sku\": \"lamp\", \"quantity\": 1, "
     "\"amount\": 100000}",
     false,
     NULL,
     NULL,
     {{"", order_deeds}}},
    {"a_restock",
     "restock",
     "{\"restock_id\": \"@\", \"supplier\": \"acme\", \"items\": ["
     "{\"sku\": \"lamp\", \"quantity\": 1}, {\"sku\": \"s1\", \"quantity\": 2}]}",
     true,
     NULL,
     NULL,
     {{"", restock_deeds}, {"-0", delivery_deeds}, {"-1", delivery_deeds}}},
    {"a_restock_that_is_refused",
     "restock",
     "{\"restock_id\": \"@\", \"supplier\": \"acme\", \"items\": ["
     "{\"sku\": \"lamp\", \"quantity\": 1}, {\"sku\": \"s1\", \"quantity\": 100000}]}",
     false,
     NULL,
     NULL,
     {{"", restock_deeds}, {"-0", delivery_deeds}, {"-1", delivery_deeds}}},
    {"a_refund",
     "approve-refund",
     "{\"order_id\": \"@\", \"customer\": \"ada\", \"amount\": 60}",
     true,
     "{\"approved\": true}",
     NULL,
     {{"", refund_deeds}}},
    {"a_refund_that_nobody_wants",
     "approve-refund",
     "{\"order_id\": \"@\", \"customer\": \"ada\", \"amount\": 60}",
     true,
     "{\"approved\": false, \"reason\": \"no\"}",
     NULL,
     {{"", refusal_deeds}}},
    /* Its step has the same time at both sides. Mostly the coordinator gives it up before the
     * participant says that the time is up and nothing was done, after which there is nothing to
     * cancel. */
    {"a_step_that_is_given_up",
     "linger",
     "{\"id\": \"@\"}",
     false,
     NULL,
     "payments has not answered in time",
     {{"", linger_deeds}}},
};
enum { ORDER, ORDER_REFUSED, RESTOCK, RESTOCK_REFUSED, REFUND, REFUND_REFUSED, LINGER, STORIES };

/* ---- where it is killed -------------------------------------------------------------------- */

struct crash {
    int story;
    enum process process; /* that dies, or stops while a database is killed */
    const char *point;
    int least;             /* times that its story comes by there, however fast who is */
    enum process database; /* ORDERS ...: kill that instead; COORDINATOR: none */
};

static const struct crash crashes[] = {
    {ORDER, COORDINATOR, "coordinator.saga-begun", 1, 0},
    {ORDER, COORDINATOR, "coordinator.saga-sent", 4, 0},
    {ORDER, COORDINATOR, "coordinator.saga-answered", 4, 0},
    {ORDER, COORDINATOR, "coordinator.saga-recorded", 6, 0},
    {ORDER, COORDINATOR, "coordinator.saga-ended", 1, 0},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-sent", 4, 0},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-answered", 4, 0},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-failed", 1, 0},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-undone", 2, 0},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-ended", 1, 0},
    {RESTOCK, COORDINATOR, "coordinator.saga-begun", 3, 0},
    {RESTOCK, COORDINATOR, "coordinator.saga-sent", 4, 0},
    {RESTOCK, COORDINATOR, "coordinator.saga-answered", 4, 0},
    {RESTOCK, COORDINATOR, "coordinator.saga-recorded", 5, 0},
    {RESTOCK, COORDINATOR, "coordinator.saga-ended", 3, 0},
    /* Once: the delivery that is refused. The other one may be on its way still, and what undoes
     * it then waits for its answer, not for a record. */
    {RESTOCK_REFUSED, COORDINATOR, "coordinator.saga-failed", 1, 0},
    {RESTOCK_REFUSED, COORDINATOR, "coordinator.saga-undone", 2, 0},
    {RESTOCK_REFUSED, COORDINATOR, "coordinator.saga-ended", 2, 0},
    {REFUND, COORDINATOR, "coordinator.saga-sent", 3, 0},
    {REFUND, COORDINATOR, "coordinator.saga-recorded", 3, 0},
    {REFUND_REFUSED, COORDINATOR, "coordinator.saga-answered", 3, 0},
    {LINGER, COORDINATOR, "coordinator.saga-answered", 3, 0},
    {LINGER, COORDINATOR, "coordinator.saga-failed", 1, 0},
    {ORDER, ORDERS, "participant.execute", 2, 0},
    {ORDER, ORDERS, "participant.executed", 2, 0},
    {ORDER, PAYMENTS, "participant.execute", 2, 0},
    {ORDER, PAYMENTS, "participant.executed", 1, 0},
    {ORDER, INVENTORY, "participant.execute", 1, 0},
    {ORDER, INVENTORY, "participant.executed", 1, 0},
    {ORDER_REFUSED, ORDERS, "participant.execute", 2, 0},
    {ORDER_REFUSED, ORDERS, "participant.executed", 2, 0},
    {ORDER_REFUSED, PAYMENTS, "participant.execute", 2, 0},
    {ORDER_REFUSED, INVENTORY, "participant.execute", 2, 0},
    {ORDER_REFUSED, INVENTORY, "participant.executed", 2, 0},
    {RESTOCK, PAYMENTS, "participant.executed", 2, 0},
    {RESTOCK, INVENTORY, "participant.executed", 3, 0},
    {RESTOCK_REFUSED, PAYMENTS, "participant.execute", 1, 0}, /* likewise */
    {RESTOCK_REFUSED, INVENTORY, "participant.executed", 4, 0},
    {REFUND, ORDERS, "participant.executed", 2, 0},
    {REFUND, PAYMENTS, "participant.executed", 1, 0},
    {REFUND_REFUSED, ORDERS, "participant.executed", 3, 0},
    {LINGER, PAYMENTS, "participant.execute", 2, 0},
    {LINGER, PAYMENTS, "participant.cancelled", 1, 0},
    {ORDER, ORDERS, "participant.execute", 2, ORDERS},
    {ORDER, ORDERS, "participant.executed", 2, ORDERS},
    {ORDER, PAYMENTS, "participant.execute", 1, PAYMENTS},
    {ORDER, PAYMENTS, "participant.executed", 1, PAYMENTS},
    {ORDER_REFUSED, INVENTORY, "participant.executed", 2, INVENTORY},
    {RESTOCK_REFUSED, INVENTORY, "participant.execute", 2, INVENTORY},
    {LINGER, PAYMENTS, "participant.cancelled", 1, PAYMENTS},
    {ORDER, COORDINATOR, "coordinator.saga-sent", 1, ORDERS},
    {ORDER, COORDINATOR, "coordinator.saga-answered", 1, INVENTORY},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-failed", 1, INVENTORY},
    {ORDER_REFUSED, COORDINATOR, "coordinator.saga-undone", 1, ORDERS},
};
enum { CRASHES = sizeof(crashes) / sizeof(crashes[0]) };

/* ---- one run ------------------------------------------------------------------------------- */

struct attempt {
    struct shop *shop;
    const struct crash *crash;
    const struct story *story;
    char id[32], key[40], input[300]; /* of its books, and how it is started */
    struct saga_start start;
    saga_id saga;
    int code;
    bool struck;
};

/* When the process has died of its point it is started again at once. */
static void tend_process(struct attempt *attempt)
{
    struct shop *shop = attempt->shop;
    enum process process = attempt->crash->process;
    if (attempt->struck || !shop_ended(shop, process))
        return;
    int status = shop_wait_end(shop, process);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    shop_start(shop, process, NULL);
    attempt->struck = true;
}

/* When the process has stopped the database is killed; both go on. */
static void tend_database(struct attempt *attempt)
{
    struct shop *shop = attempt->shop;
    const char *database = process_names[attempt->crash->database];
    if (attempt->struck || !shop_stopped(shop, attempt->crash->process))
        return;
    cluster_call("cluster_kill", database);
    shop_signal(shop, attempt->crash->process, SIGCONT);
    cluster_call("cluster_start", database);
    attempt->struck = true;
}

static void tend(struct attempt *attempt)
{
    if (attempt->crash->database)
        tend_database(attempt);
    else
        tend_process(attempt);
}

/* Asks again as long as nothing certain is said. */
static bool has_said(struct attempt *attempt)
{
    tend(attempt);
    if (attempt->start.pid == 0) {
        saga_start_begin(attempt->shop, &attempt->start);
        return false;
    }
    if (!saga_start_ended(&attempt->start))
        return false;
    attempt->code = saga_start_end(&attempt->start, attempt->saga);
    attempt->start.pid = 0;
    return attempt->code == SAGA_SAID_DONE || attempt->code == SAGA_SAID_COMPENSATED;
}

static bool has_begun(void *self)
{
    return has_said(self);
}

static bool has_ended(void *self)
{
    return has_said(self);
}

static bool is_signalled(void *self)
{
    struct attempt *attempt = self;
    tend(attempt);
    struct said said = shop_say(attempt->shop, "--timeout", "1s", "saga", "signal", attempt->saga,
                                "approval", attempt->story->signal, NULL);
    bool signalled = said.code == SAGA_SAID_DONE || said.code == SAGA_SAID_REFUSED;
    said_fini(&said);
    return signalled;
}

static void write_input(struct attempt *attempt)
{
    const char *input = attempt->story->input, *at = strchr(input, '@');
    snprintf(attempt->input, sizeof(attempt->input), "%.*s%s%s", (int)(at - input), input,
             attempt->id, at + 1);
}

static void run_story(struct attempt *attempt)
{
    static int ids;
    const struct story *story = attempt->story;
    snprintf(attempt->id, sizeof(attempt->id), "s%d", ++ids);
    snprintf(attempt->key, sizeof(attempt->key), "key-%s", attempt->id);
    write_input(attempt);
    attempt->start = (struct saga_start){.name = story->saga,
                                         .input = attempt->input,
                                         .key = attempt->key,
                                         .timeout = "10s",
                                         .wait = !story->signal};
    if (story->signal) {
        wait_for(has_begun, attempt, 60, "the saga has begun");
        wait_for(is_signalled, attempt, 60, "the signal is taken");
        attempt->start.wait = true;
    }
    wait_for(has_ended, attempt, 60, "the saga has ended");
    tend(attempt);
}

/* Kills by themselves change nothing of how it ends; a database that is away may use up the tries
 * of a step. */
static void judge(const struct attempt *attempt)
{
    const struct story *story = attempt->story;
    bool completed = attempt->code == SAGA_SAID_DONE;
    if (completed != story->completes && (completed || !attempt->crash->database))
        fail_msg("%s (%s) is %s", attempt->id, attempt->saga,
                 completed ? "completed" : "compensated");
    for (int i = 0; i < PARTS && story->parts[i].deeds; i++) {
        char id[48];
        snprintf(id, sizeof(id), "%s%s", attempt->id, story->parts[i].suffix);
        if (completed)
            deeds_check_completed(story->parts[i].deeds, id);
        else
            deeds_check_compensated(story->parts[i].deeds, id);
    }
    saga_books_check();
}

static bool is_connected(void *self)
{
    struct shop *shop = self;
    return shop_logged(shop, COORDINATOR, "participant orders is connected") &&
           shop_logged(shop, COORDINATOR, "participant payments is connected") &&
           shop_logged(shop, COORDINATOR, "participant inventory is connected");
}

/* By its log, as a command asks at more cost and this is done hundreds of times. */
static void wait_back(struct shop *shop, enum process process)
{
    shop_wait_logged(shop, process, "ready: ");
    if (process == COORDINATOR)
        wait_for(is_connected, shop, 30, "every participant is connected");
    else
        shop_wait_logged(shop, process, "connected to coordinator");
}

/* What the case before this one has armed and not struck. The process of this one is killed
 * anyway. */
static void disarm_others(struct shop *shop, enum process process)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (p == process || !shop->processes[p].doomed)
            continue;
        shop_stop(shop, p);
        shop_start(shop, p, NULL);
        wait_back(shop, p);
    }
}

/* How one run went: the saga came by so often; or it did not, as its story goes; or it went another
 * way. */
enum run { STRUCK, PASSED, STRAYED };

static enum run strike(struct shop *shop, const struct crash *crash, int time)
{
    char point[64];
    struct attempt attempt = {.shop = shop, .crash = crash, .story = &stories[crash->story]};
    snprintf(point, sizeof(point), "%s:%d", crash->point, time);
    disarm_others(shop, crash->process);
    shop_kill(shop, crash->process);
    if (crash->database)
        shop_start_to_stop(shop, crash->process, point, NULL);
    else
        shop_start(shop, crash->process, point);
    wait_back(shop, crash->process);
    run_story(&attempt);
    judge(&attempt);
    if (attempt.struck)
        return STRUCK;
    const char *why = attempt.story->why;
    return !why || strstr(attempt.start.why, why) ? PASSED : STRAYED;
}

static void is_done_once_or_undone_once(struct shop *shop)
{
    enum { MOST = 40, MOST_OF_DATABASE = 2, MOST_STRAYED = 10 };
    const struct crash *crash = shop->argument;
    int most = crash->database ? MOST_OF_DATABASE : MOST, times = 0, strayed = 0;
    enum run run = STRUCK;
    while (times < most && run != PASSED) {
        run = strike(shop, crash, times + 1);
        times += run == STRUCK ? 1 : 0;
        strayed += run == STRAYED ? 1 : 0;
        if (strayed > MOST_STRAYED)
            fail_msg("it went another way %d times, and came by %d times", strayed, times);
    }
    shop_remark("%d times", times);
    if (strayed)
        shop_remark("%d runs went another way", strayed);
    if (times < crash->least)
        fail_msg("it was killed %d times only, not %d", times, crash->least);
}

/* ---- is every point tried? ----------------------------------------------------------------- */

static void every_crash_point_of_sagas_is_tried(void **state)
{
    const char *tried[CRASHES];
    (void)state;
    for (int i = 0; i < CRASHES; i++)
        tried[i] = crashes[i].point;
    static const char *const prefixes[] = {"coordinator.saga-", "participant.execute",
                                           "participant.cancelled"};
    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        points_check(prefixes[i], (struct points){tried, CRASHES}, (struct points){NULL, 0});
}

int main(void)
{
    static char names[CRASHES][160];
    struct CMUnitTest tests[1 + CRASHES] = {cmocka_unit_test(every_crash_point_of_sagas_is_tried)};
    for (int i = 0; i < CRASHES; i++) {
        const struct crash *crash = &crashes[i];
        snprintf(names[i], sizeof(names[0]), "%s_with_%s%s_killed_at_each_%s",
                 stories[crash->story].name, crash->database ? "the_database_of_" : "",
                 process_names[crash->database ? crash->database : crash->process], crash->point);
        tests[1 + i] = shop_test(names[i], is_done_once_or_undone_once, crash);
    }
    shop_use_sagas();
    shop_use_armed();
    return shop_run("saga_crashes", tests, 1 + CRASHES);
}
