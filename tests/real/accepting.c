/* The participant that is asked makes the decision: it writes its acceptance and commits its
 * branch. It, or its database, is killed between any two steps of that, with nobody told and the
 * coordinator dead for good. The others may not decide without it, and must end as it did. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/ending.h"
#include "tests/real/support/wait.h"

/* Until no branch is in doubt, from the moment at which a majority is there. */
enum { LIMIT_SECONDS = 5 };

static int64_t count_prepared(enum process participant)
{
    return cluster_value(process_names[participant], "select count(*) from pg_prepared_xacts");
}

static int64_t count_rows(enum process participant)
{
    return cluster_value(process_names[participant], "select count(*) from troth.register");
}

static void each_other(struct shop *shop, void (*act)(struct shop *, enum process),
                       const struct purchase *purchase)
{
    act(shop, PAYMENTS);
    if (!purchase->pair)
        act(shop, INVENTORY);
}

static void start(struct shop *shop, enum process process)
{
    shop_start(shop, process, NULL);
}

/* The coordinator has accepted, and stands still before it asks orders, the first of the list. The
 * others are dead: whatever comes is between these two. */
static void begin(struct shop *shop, struct purchase *purchase, const char *stop, const char *crash)
{
    for (enum process p = ORDERS; p < PROCESSES; p++)
        cluster_do(process_names[p], "truncate troth.register");
    if (stop || crash) {
        shop_stop(shop, ORDERS);
        shop_start_to_stop(shop, ORDERS, stop, crash);
    }
    shop_stop(shop, COORDINATOR);
    shop_start_to_stop(shop, COORDINATOR, "coordinator.proposed", NULL);
    shop_wait_ready(shop);
    purchase_begin(shop, purchase);
    shop_wait_stopped(shop, COORDINATOR);
    each_other(shop, shop_kill, purchase);
}

static void lose_the_coordinator(struct shop *shop, struct purchase *purchase)
{
    shop_kill(shop, COORDINATOR);
    ending_expect_unknown(shop, purchase);
}

/* The others are back, and can't know. */
static void others_wait(struct shop *shop, const struct purchase *purchase)
{
    each_other(shop, start, purchase);
    ending_expect_waiting(shop, purchase->pair ? "1 of 3 sites has answered"
                                               : "2 of 4 sites have answered");
    assert_int_equal(count_prepared(PAYMENTS), 1);
    assert_int_equal(count_prepared(INVENTORY), purchase->pair ? 0 : 1);
}

static void all_end(struct shop *shop, struct purchase *purchase, enum ending ending)
{
    shop_remark("ended %d ms after it was back", books_wait_none_prepared(LIMIT_SECONDS));
    assert_int_equal(books_count_purchase(purchase), ending == COMMITTED);
    ending_come_back(shop, purchase, ending);
}

/* ---- the participant is killed --------------------------------------------------------------- */

struct death {
    const char *point;
    const char *pair; /* two participants: orders and this one */
    enum ending ending;
};

static const struct death deaths[] = {
    {"participant.asked", NULL, ABORTED},
    {"participant.stored", NULL, COMMITTED},
    {"participant.committed", "payments", COMMITTED},
};
enum { DEATHS = sizeof(deaths) / sizeof(deaths[0]) };

static void who_is_asked_is_killed(struct shop *shop)
{
    const struct death *death = shop->argument;
    bool committed = death->ending == COMMITTED;
    struct purchase purchase = {
        .protocol = "3pc", .key = death->point, .timeout = "20s", .pair = death->pair};
    begin(shop, &purchase, NULL, death->point);
    shop_signal(shop, COORDINATOR, SIGCONT);
    ending_expect_killed(shop, ORDERS);
    lose_the_coordinator(shop, &purchase);
    assert_int_equal(count_rows(ORDERS), committed);
    assert_int_equal(count_prepared(ORDERS), !committed);
    others_wait(shop, &purchase);
    start(shop, ORDERS);
    all_end(shop, &purchase, death->ending);
}

/* ---- between the row and COMMIT PREPARED ----------------------------------------------------- */

/* Those of the agent of orders before it is asked: for control, for registers, eight for work, and
 * four that end branches. The one that it accepts in is made when it is first asked. */
enum { SESSIONS = 14 };
static const char sessions[] =
    "select pid from pg_stat_activity where application_name like 'troth:shop:orders:%'";
static const char flushers[] = "select pid from pg_stat_activity where backend_type in"
                               " ('walwriter', 'background writer', 'checkpointer')";

static int64_t count_sessions(void)
{
    char *sql = xasprintf("select count(*) from (%s) found", sessions);
    int64_t count = cluster_value("orders", sql);
    free(sql);
    return count;
}

static bool its_sessions_are_there(void *self)
{
    (void)self;
    return count_sessions() == SESSIONS;
}

static bool its_sessions_are_gone(void *self)
{
    (void)self;
    return count_sessions() == 0;
}

struct pids {
    pid_t all[SESSIONS];
    int count;
};

static struct pids stop_processes(const char *sql)
{
    struct pids pids = {0};
    PGresult *result = cluster_query("orders", sql);
    assert_in_range(PQntuples(result), 1, SESSIONS);
    for (; pids.count < PQntuples(result); pids.count++) {
        pid_t pid = atoi(PQgetvalue(result, pids.count, 0));
        assert_int_equal(kill(pid, SIGSTOP), 0);
        pids.all[pids.count] = pid;
    }
    PQclear(result);
    return pids;
}

static bool the_row_is_there(void *self)
{
    (void)self;
    return count_rows(ORDERS) == 1;
}

/* The row is there, its branch is prepared, and the coordinator dead. */
static struct pids hold_the_commit(struct shop *shop, struct purchase *purchase)
{
    shop_stop(shop, ORDERS);
    start(shop, ORDERS);
    wait_for(its_sessions_are_there, NULL, 20, "orders has its sessions");
    begin(shop, purchase, NULL, NULL);
    struct pids pids = stop_processes(sessions);
    shop_signal(shop, COORDINATOR, SIGCONT);
    wait_for(the_row_is_there, NULL, 20, "orders has accepted");
    assert_int_equal(count_prepared(ORDERS), 1);
    shop_kill(shop, COORDINATOR);
    return pids;
}

/* The server may carry out what it was sent when nobody listens any more. */
static void who_is_asked_is_killed_between_its_row_and_the_commit(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .key = "late", .timeout = "20s"};
    struct pids pids = hold_the_commit(shop, &purchase);
    shop_kill(shop, ORDERS);
    ending_expect_unknown(shop, &purchase);
    others_wait(shop, &purchase);
    for (int i = 0; i < pids.count; i++)
        assert_int_equal(kill(pids.all[i], SIGCONT), 0);
    wait_for(its_sessions_are_gone, NULL, 20, "the server has noticed that nobody listens");
    shop_remark("its branch was %s by then", count_prepared(ORDERS) ? "prepared" : "committed");
    assert_int_equal(count_prepared(PAYMENTS), 1);
    start(shop, ORDERS);
    all_end(shop, &purchase, COMMITTED);
}

/* Its row was inserted without a flush. lost: nothing has flushed the log until the server dies,
 * and the agent with it, as when the power fails. An agent that lives remembers that it was asked.
 */
static void kill_the_server(struct shop *shop, bool lost)
{
    struct purchase purchase = {.protocol = "3pc", .key = lost ? "lost" : "kept", .timeout = "20s"};
    if (lost)
        stop_processes(flushers);
    hold_the_commit(shop, &purchase);
    if (!lost)
        cluster_do("orders", "select pg_switch_wal()"); /* which flushes what was before it */
    cluster_call("cluster_kill", "orders");
    if (lost)
        shop_kill(shop, ORDERS);
    ending_expect_unknown(shop, &purchase);
    others_wait(shop, &purchase);
    shop_mark(shop);
    cluster_call("cluster_start", "orders");
    if (lost)
        start(shop, ORDERS);
    shop_wait_logged(shop, ORDERS, "database: up");
    all_end(shop, &purchase, lost ? ABORTED : COMMITTED);
}

static void a_server_that_dies_after_the_row_and_has_kept_it_commits(struct shop *shop)
{
    kill_the_server(shop, false);
}

/* A decision that nobody was told and nobody remembers is none. */
static void a_server_that_dies_after_the_row_and_has_lost_it_aborts(struct shop *shop)
{
    kill_the_server(shop, true);
}

/* Nothing else has flushed the log: the commit did, and the row before it. */
static void a_server_that_dies_after_the_commit_has_the_row_too(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .key = "both", .timeout = "20s"};
    stop_processes(flushers);
    begin(shop, &purchase, "participant.stored", NULL);
    shop_signal(shop, COORDINATOR, SIGCONT);
    shop_wait_stopped(shop, ORDERS);
    shop_kill(shop, COORDINATOR);
    cluster_call("cluster_kill", "orders");
    shop_kill(shop, ORDERS);
    ending_expect_unknown(shop, &purchase);
    cluster_call("cluster_start", "orders");
    assert_int_equal(count_rows(ORDERS), 1);
    assert_int_equal(count_prepared(ORDERS), 0);
    others_wait(shop, &purchase);
    start(shop, ORDERS);
    all_end(shop, &purchase, COMMITTED);
}

int main(void)
{
    static char names[DEATHS][120];
    const struct CMUnitTest others[] = {
        SHOP_TEST(who_is_asked_is_killed_between_its_row_and_the_commit),
        SHOP_TEST(a_server_that_dies_after_the_row_and_has_kept_it_commits),
        SHOP_TEST(a_server_that_dies_after_the_row_and_has_lost_it_aborts),
        SHOP_TEST(a_server_that_dies_after_the_commit_has_the_row_too),
    };
    enum { OTHERS = sizeof(others) / sizeof(others[0]) };
    struct CMUnitTest tests[DEATHS + OTHERS];
    for (int i = 0; i < DEATHS; i++) {
        snprintf(names[i], sizeof(names[i]), "who_is_asked_is_killed_at_%s%s", deaths[i].point,
                 deaths[i].pair ? "_of_two_participants" : "");
        tests[i] = shop_test(names[i], who_is_asked_is_killed, &deaths[i]);
    }
    memcpy(tests + DEATHS, others, sizeof(others));
    return shop_run("accepting", tests, DEATHS + OTHERS);
}
