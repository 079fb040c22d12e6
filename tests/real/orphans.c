/* Three-phase transactions whose coordinator is killed for good: at every crash point that one
 * passes, a coordinator of its own is killed with a purchase on its way, all of them beside each
 * other at the same three participants. These must end all alike, within seconds, and rightly.
 * Then the coordinators come back, and must have learnt what became of it. */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/points.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* From the death of the coordinator until no branch is in doubt, at default settings. */
enum { LIMIT_MS = 5000 };

enum end {
    ABORTED, /* no participant can have accepted anything */
    COMMITTED,
    EITHER /* the point is passed in every phase */
};

struct death {
    const char *point;
    enum end end;
    const char *next; /* started again at once, to die for good at this point */
    bool refused;
};

static const struct death deaths[] = {
    {"coordinator.submitted", ABORTED},
    {"coordinator.voted", ABORTED},
    {"coordinator.deciding", ABORTED},
    {"journal.written:2", ABORTED},
    {"journal.synced:2", ABORTED},
    {"coordinator.proposed", ABORTED},
    {"coordinator.asked", ABORTED},
    {"coordinator.decided", COMMITTED},
    {"coordinator.told", COMMITTED},
    {"coordinator.acked", COMMITTED},
    {"coordinator.acked:2", COMMITTED},
    {"coordinator.ended", COMMITTED},
    {"coordinator.proposed", EITHER, .next = "coordinator.terminating"},
    {"coordinator.proposed", EITHER, .next = "coordinator.granted"},
    {"coordinator.aborting", ABORTED, .refused = true},
};
static const struct death pair_deaths[] = {
    {"coordinator.submitted", ABORTED},
    {"coordinator.voted", ABORTED},
    {"coordinator.deciding", ABORTED},
    {"journal.synced:2", ABORTED},
    {"coordinator.proposed", ABORTED},
    {"coordinator.asked", ABORTED},
    {"coordinator.decided", COMMITTED},
    {"coordinator.told", COMMITTED},
    {"coordinator.acked", COMMITTED},
    {"coordinator.ended", COMMITTED},
    {"coordinator.settled:37", EITHER},
    {"coordinator.settled:53", EITHER},
    {"coordinator.settled:71", EITHER},
    {"coordinator.settled:97", EITHER},
    {"coordinator.proposed", EITHER, .next = "coordinator.terminating"},
};
enum {
    DEATHS = sizeof(deaths) / sizeof(deaths[0]),
    PAIR_DEATHS = sizeof(pair_deaths) / sizeof(pair_deaths[0]),
    ORPHANS =
        DEATHS > PAIR_DEATHS ? DEATHS : PAIR_DEATHS, /* a participant takes 16, the shop's too */
    ATTEMPTS = 12,
};

/* A coordinator that is to die, and what it was asked for until it did. */
struct orphan {
    const struct death *death;
    const struct purchase *kind;
    char name[16], address[64], prefix[32]; /* of its gids */
    char gtrid[160];                        /* of a transaction of its that was seen in doubt */
    char customer[8], sku[8], keys[ATTEMPTS][24];
    pid_t pid;
    bool dead, buying;
    struct purchase purchases[ATTEMPTS];
    int told[ATTEMPTS], effects[ATTEMPTS];
    int count;                  /* of purchases */
    uint64_t died_ms, ended_ms; /* 0: not yet */
};

/* All of them. */
struct orphanage {
    struct shop *shop;
    struct orphan orphans[ORPHANS];
    int count;
};

/* ---- coordinators -------------------------------------------------------------------------- */

static void start_orphan(struct shop *shop, struct orphan *orphan, const char *crash)
{
    char config[128], log[32];
    snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, orphan->name);
    snprintf(log, sizeof(log), "%s.log", orphan->name);
    const char *words[] = {"trothd", "--config", config, NULL};
    orphan->pid = shop_spawn(shop, words, log, crash);
}

static void configure_orphan(struct shop *shop, struct orphan *orphan, int index)
{
    char file[32];
    snprintf(orphan->name, sizeof(orphan->name), "k%d", index);
    snprintf(orphan->prefix, sizeof(orphan->prefix), "troth.shop.k%d.", index);
    snprintf(orphan->address, sizeof(orphan->address), "tcp://127.0.0.1:%d", shop_free_port());
    snprintf(orphan->customer, sizeof(orphan->customer), "c%d", index);
    snprintf(orphan->sku, sizeof(orphan->sku), "s%d", index);
    snprintf(file, sizeof(file), "%s.yaml", orphan->name);
    shop_write(shop, file,
               "cluster: shop\ncoordinator: %s\nlisten: %s\n"
               "journal: {store: file, directory: %s/%s}\nsecurity: none\n",
               orphan->name, orphan->address, shop->folder, orphan->name);
}

/* The participants know all of them from their start. */
static void restart_participants(struct shop *shop, const char *more)
{
    shop_files_name_coordinators(shop, more);
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        shop_stop(shop, p);
        shop_start(shop, p, NULL);
    }
}

static bool process_ended(pid_t pid)
{
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return result == 0 && info.si_pid == pid;
}

/* Or dead: the turns that pass coordinator.settled are counted from the start. */
static bool all_are_connected(void *self)
{
    const struct orphanage *orphanage = self;
    char text[64];
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (!shop_logged(orphanage->shop, p, "ready: "))
            return false;
        for (int i = 0; i < orphanage->count; i++) {
            snprintf(text, sizeof(text), "connected to coordinator %s ",
                     orphanage->orphans[i].name);
            if (!shop_logged(orphanage->shop, p, text) && !process_ended(orphanage->orphans[i].pid))
                return false;
        }
    }
    return true;
}

/* One for each death of the list; kind: the purchase that each is asked for. */
static void open_orphanage(struct orphanage *orphanage, const struct death *list, int count,
                           const struct purchase *kind)
{
    struct shop *shop = orphanage->shop;
    char more[ORPHANS * 40] = "";
    static int names; /* each test its own: a journal belongs to one */
    orphanage->count = count;
    for (int i = 0; i < count; i++) {
        struct orphan *orphan = &orphanage->orphans[i];
        *orphan = (struct orphan){.death = &list[i], .kind = kind};
        configure_orphan(shop, orphan, names++);
        snprintf(more + strlen(more), sizeof(more) - strlen(more), ", %s", orphan->address);
    }
    restart_participants(shop, more);
    for (int i = 0; i < count; i++)
        start_orphan(shop, &orphanage->orphans[i], list[i].point);
    wait_for(all_are_connected, orphanage, 30,
             "all participants are connected to all coordinators");
}

static void close_orphanage(struct orphanage *orphanage)
{
    for (int i = 0; i < orphanage->count; i++) {
        assert_int_equal(kill(orphanage->orphans[i].pid, SIGTERM), 0);
        assert_int_equal(shop_reap(orphanage->orphans[i].pid), 0);
    }
    restart_participants(orphanage->shop, "");
}

/* ---- until their deaths -------------------------------------------------------------------- */

static void begin_purchase(struct shop *shop, struct orphan *orphan)
{
    static int keys;
    struct purchase *purchase = &orphan->purchases[orphan->count];
    if (orphan->count == ATTEMPTS)
        fail_msg("%s does not die at %s", orphan->name, orphan->death->point);
    *purchase = *orphan->kind;
    snprintf(orphan->keys[orphan->count], sizeof(orphan->keys[0]), "key-%d", ++keys);
    purchase->coordinator = orphan->address;
    purchase->protocol = "3pc";
    purchase->timeout = "8s";
    purchase->key = orphan->keys[orphan->count];
    purchase->customer = orphan->customer;
    purchase->sku = orphan->sku;
    purchase->amount = orphan->death->refused ? 100000 : 1;
    purchase_begin(shop, purchase);
    orphan->buying = true;
    orphan->count++;
}

static void end_purchase(struct shop *shop, struct orphan *orphan)
{
    struct said said = purchase_end(shop, &orphan->purchases[orphan->count - 1]);
    orphan->told[orphan->count - 1] = said.code;
    said_fini(&said);
    orphan->buying = false;
}

/* True when the orphan is dead for good. */
static bool look_at_death(struct shop *shop, struct orphan *orphan)
{
    if (orphan->dead || !process_ended(orphan->pid))
        return orphan->dead;
    int status = shop_reap(orphan->pid);
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("%s ended otherwise than by its crash point: 0x%x", orphan->name,
                 (unsigned)status);
    if (orphan->death->next && !orphan->died_ms) {
        start_orphan(shop, orphan, orphan->death->next);
        orphan->died_ms = wait_now_ms();
        return false;
    }
    orphan->died_ms = wait_now_ms();
    orphan->dead = true;
    return true;
}

/* ---- until all have ended -------------------------------------------------------------------- */

/* What is at work may still become a prepared transaction. */
static bool is_quiet(void)
{
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (cluster_value(process_names[p], "select count(*) from pg_stat_activity where state = "
                                            "'active' and application_name like 'troth%'") > 0)
            return false;
    }
    return true;
}

static bool is_lost_everywhere(struct shop *shop, const struct orphan *orphan)
{
    char text[64];
    snprintf(text, sizeof(text), "lost coordinator %s:", orphan->name);
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (!shop_logged(shop, p, text))
            return false;
    }
    return true;
}

static void note_gtrid(struct orphan *orphan, const char *gid)
{
    const char *gtrid = gid + strlen("troth."), *branch = strrchr(gid, '.');
    snprintf(orphan->gtrid, sizeof(orphan->gtrid), "%.*s", (int)(branch - gtrid), gtrid);
}

/* Which coordinators have a branch in doubt somewhere: a bit each. */
static uint32_t find_doubts(struct orphanage *orphanage)
{
    uint32_t doubts = 0;
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        PGresult *result = cluster_query(process_names[p], "select gid from pg_prepared_xacts");
        for (int row = 0; row < PQntuples(result); row++) {
            for (int i = 0; i < orphanage->count; i++) {
                struct orphan *orphan = &orphanage->orphans[i];
                const char *gid = PQgetvalue(result, row, 0);
                if (strncmp(gid, orphan->prefix, strlen(orphan->prefix)) != 0)
                    continue;
                doubts |= UINT32_C(1) << i;
                note_gtrid(orphan, gid);
            }
        }
        PQclear(result);
    }
    return doubts;
}

static bool look_at_end(struct shop *shop, struct orphan *orphan, bool in_doubt)
{
    if (!look_at_death(shop, orphan) && orphan->death->next && orphan->died_ms)
        return false;
    if (!orphan->dead && !orphan->buying)
        begin_purchase(shop, orphan);
    if (orphan->buying && purchase_ended(&orphan->purchases[orphan->count - 1]))
        end_purchase(shop, orphan);
    if (in_doubt || !orphan->dead)
        orphan->ended_ms = 0;
    else if (!orphan->ended_ms)
        orphan->ended_ms = wait_now_ms();
    return orphan->ended_ms && !orphan->buying &&
           (orphan->count == 0 || is_lost_everywhere(shop, orphan));
}

static bool all_have_ended(void *self)
{
    struct orphanage *orphanage = self;
    uint32_t doubts = find_doubts(orphanage);
    bool ended = true;
    for (int i = 0; i < orphanage->count; i++)
        ended = look_at_end(orphanage->shop, &orphanage->orphans[i], doubts & UINT32_C(1) << i) &&
                ended;
    return ended && is_quiet() && find_doubts(orphanage) == 0;
}

/* ---- judgement ----------------------------------------------------------------------------- */

static void judge_last(const struct orphan *orphan, int effects)
{
    const struct death *death = orphan->death;
    int took_ms = (int)(orphan->ended_ms - orphan->died_ms);
    shop_remark("killed for good at %s: %s everywhere %d ms later",
                death->next ? death->next : death->point, effects ? "committed" : "aborted",
                took_ms);
    if (death->end != EITHER && effects != (death->end == COMMITTED))
        fail_msg("after %s it was %s", death->point, effects ? "committed" : "aborted");
    if (took_ms > LIMIT_MS)
        fail_msg("after %s it took %d ms until all had ended", death->point, took_ms);
}

static void judge(struct orphan *orphan)
{
    for (int i = 0; i < orphan->count; i++) {
        int effects = orphan->effects[i] = books_count_purchase(&orphan->purchases[i]);
        assert_in_range(effects, 0, 1);
        if (orphan->told[i] == TOLD_COMMITTED)
            assert_int_equal(effects, 1);
        else if (orphan->told[i] == TOLD_ABORTED || orphan->told[i] == TOLD_NOBODY)
            assert_int_equal(effects, 0);
        else
            assert_int_equal(orphan->told[i], TOLD_UNKNOWN);
    }
    if (orphan->count > 0)
        judge_last(orphan, orphan->effects[orphan->count - 1]);
    else
        shop_remark("killed at %s before anybody asked it", orphan->death->point);
}

/* ---- the coordinators come back -------------------------------------------------------------- */

/* It is connected to all again, and owes nothing. */
static bool has_learnt(struct shop *shop, const struct orphan *orphan)
{
    struct said said = shop_say_to(shop, orphan->address, "--timeout", "2s", "tx", "list",
                                   "--in-doubt", "--json", NULL);
    bool learnt = said.code == 0 && !strstr(said.output, "\"gtrid\"");
    said_fini(&said);
    if (!learnt)
        return false;
    said = shop_say_to(shop, orphan->address, "--timeout", "2s", "participant", "list", "--json",
                       NULL);
    int up = 0;
    for (const char *at = said.output; (at = strstr(at, "\"database_up\":true")); at++)
        up++;
    learnt = said.code == 0 && up == PROCESSES - 1 && !strstr(said.output, "\"connected\":false");
    said_fini(&said);
    return learnt;
}

static bool all_have_learnt(void *self)
{
    struct orphanage *orphanage = self;
    for (int i = 0; i < orphanage->count; i++) {
        struct orphan *orphan = &orphanage->orphans[i];
        orphan->dead = orphan->dead && !has_learnt(orphanage->shop, orphan);
        if (orphan->dead)
            return false;
    }
    return true;
}

static void expect_shown(struct shop *shop, const struct orphan *orphan)
{
    if (orphan->count != 1 || !orphan->gtrid[0])
        return;
    struct said said =
        shop_say_to(shop, orphan->address, "tx", "show", orphan->gtrid, "--json", NULL);
    if (orphan->effects[0]) {
        assert_int_equal(said.code, 0);
        said_has(&said, "\"state\":\"applied\"");
    } else if (said.code == 0) {
        said_has(&said, "\"state\":\"aborted\"");
    } else {
        said_has(&said, "it was not committed");
    }
    said_fini(&said);
}

/* What was committed is told again and does not run again; what was not, may be tried again. */
static void ask_again(struct shop *shop, struct orphan *orphan)
{
    struct purchase *purchase = &orphan->purchases[orphan->count - 1];
    bool committed = orphan->effects[orphan->count - 1] == 1;
    assert_int_equal(books_count_purchase(purchase), committed);
    purchase->again = true;
    purchase_begin(shop, purchase);
    struct said said = purchase_end(shop, purchase);
    if (committed)
        said_has(&said, "nothing ran again");
    assert_int_equal(said.code, orphan->death->refused ? TOLD_ABORTED : TOLD_COMMITTED);
    said_fini(&said);
    assert_int_equal(books_count_purchase(purchase), !orphan->death->refused);
}

static void come_back(struct orphanage *orphanage)
{
    for (int i = 0; i < orphanage->count; i++)
        start_orphan(orphanage->shop, &orphanage->orphans[i], NULL);
    wait_for(all_have_learnt, orphanage, 30, "the coordinators have learnt what became of it");
    for (int i = 0; i < orphanage->count; i++) {
        expect_shown(orphanage->shop, &orphanage->orphans[i]);
        if (orphanage->orphans[i].count > 0)
            ask_again(orphanage->shop, &orphanage->orphans[i]);
    }
}

/* ---- tests --------------------------------------------------------------------------------- */

static void die_and_judge(struct shop *shop, const struct death *list, int count,
                          const struct purchase *kind)
{
    struct orphanage orphanage = {.shop = shop};
    open_orphanage(&orphanage, list, count, kind);
    wait_for(all_have_ended, &orphanage, 60, "all are dead, and their transactions have ended");
    books_check();
    for (int i = 0; i < count; i++)
        judge(&orphanage.orphans[i]);
    come_back(&orphanage);
    books_wait_settled(shop);
    books_check();
    close_orphanage(&orphanage);
}

static void three_participants_end_alike_without_their_coordinator(struct shop *shop)
{
    die_and_judge(shop, deaths, DEATHS, &(struct purchase){0});
}

static void two_participants_end_alike_without_their_coordinator(struct shop *shop)
{
    die_and_judge(shop, pair_deaths, PAIR_DEATHS, &(struct purchase){.pair = "payments"});
}

/* ---- a promise ------------------------------------------------------------------------------- */

static bool says_that_it_waits(struct shop *shop, enum process process)
{
    struct said said =
        shop_say_at(shop, process, "--timeout", "2s", "tx", "list", "--in-doubt", "--json", NULL);
    bool waits = strstr(said.output, "\"waits_for\":\"a majority: 2 of 4 sites have answered\"");
    said_fini(&said);
    return waits;
}

/* Of the two one may rest for many seconds while the other asks, and says it. */
static bool one_waits_for_a_majority(void *self)
{
    return says_that_it_waits(self, ORDERS) || says_that_it_waits(self, PAYMENTS);
}

/* It has proposed, and the participants without it are no majority, as one is dead: they ask for
 * its promise. With that given it dies. */
static void a_coordinator_killed_after_its_promise_ends_alike(struct shop *shop)
{
    struct purchase purchase = {.protocol = "3pc", .timeout = "10s", .key = "promise"};
    shop_stop(shop, COORDINATOR);
    shop_start_to_stop(shop, COORDINATOR, "coordinator.proposed", "coordinator.promised");
    shop_wait_ready(shop);
    purchase_begin(shop, &purchase);
    shop_wait_stopped(shop, COORDINATOR);
    shop_kill(shop, INVENTORY);
    wait_for(one_waits_for_a_majority, shop, 20, "one says that it waits for a majority");
    shop_signal(shop, COORDINATOR, SIGCONT);
    int status = shop_wait_end(shop, COORDINATOR);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    struct said said = purchase_end(shop, &purchase);
    assert_int_equal(said.code, TOLD_UNKNOWN);
    said_fini(&said);
    shop_start(shop, INVENTORY, NULL);
    int took_ms = books_wait_none_prepared(LIMIT_MS / 1000);
    int count = books_count(purchase.order);
    shop_remark("%s %d ms after the third was back", count ? "committed" : "aborted", took_ms);
    shop_start_all(shop);
    books_wait_settled(shop);
    assert_int_equal(books_check(), count);
    purchase.again = true;
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    assert_int_equal(books_count(purchase.order), 1);
}

/* ---- is every point tried? ------------------------------------------------------------------- */

static void every_crash_point_of_a_coordinator_is_tried(void **state)
{
    /* The checkpoint's: crash_points.c kills there, and it knows no protocol. Those of sagas:
     * saga_crashes.c kills there; of operators: operator_crashes.c; of what is built step by step:
     * steps.c. */
    static const char *const elsewhere[] = {
        "coordinator.checkpoint",    "coordinator.saga-begun",    "coordinator.saga-sent",
        "coordinator.saga-answered", "coordinator.saga-recorded", "coordinator.saga-failed",
        "coordinator.saga-undone",   "coordinator.saga-ended",    "coordinator.heuristic-recorded",
        "coordinator.opened",        "coordinator.worked",        "coordinator.handed-over",
        "coordinator.ending"};
    enum { OTHERS = 3 };
    const char *tried[OTHERS + DEATHS + PAIR_DEATHS] = {
        "coordinator.promised", "coordinator.terminating", "coordinator.granted"};
    (void)state;
    for (int i = 0; i < DEATHS; i++)
        tried[OTHERS + i] = deaths[i].point;
    for (int i = 0; i < PAIR_DEATHS; i++)
        tried[OTHERS + DEATHS + i] = pair_deaths[i].point;
    points_check("coordinator.", (struct points){tried, OTHERS + DEATHS + PAIR_DEATHS},
                 (struct points){elsewhere, sizeof(elsewhere) / sizeof(elsewhere[0])});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_crash_point_of_a_coordinator_is_tried),
        SHOP_TEST(three_participants_end_alike_without_their_coordinator),
        SHOP_TEST(two_participants_end_alike_without_their_coordinator),
        SHOP_TEST(a_coordinator_killed_after_its_promise_ends_alike),
    };
    return shop_run("orphans", tests, sizeof(tests) / sizeof(tests[0]));
}
