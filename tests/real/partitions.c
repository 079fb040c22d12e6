/* Three phases on hosts that are cut from each other: the side that has a majority of the sites
 * finishes, the other changes nothing, says so, and ends alike when the cut is healed. Nobody is
 * killed. Each process lives on a host of its own (network.h), PostgreSQL beside each participant:
 * its socket is a file and not cut. */
#include <libpq-fe.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"
#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/network.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* ---- cuts ---------------------------------------------------------------------------------- */

/* trothd, orders, payments, inventory. */
static void cut(struct shop *shop, const char *parts)
{
    network_split(shop->network, parts);
}

static void heal(struct shop *shop)
{
    cut(shop, "0000");
}

/* What runs is stopped, and starts again to stop itself at that point, once. */
static void set_stop(struct shop *shop, enum process process, const char *point)
{
    shop_stop(shop, process);
    shop_start_to_stop(shop, process, point, NULL);
}

static const char stopped_words[] = "stopped as TROTH_STOP_AT says";

struct stop {
    struct shop *shop;
    enum process process;
    const struct purchase *purchase;
};

static bool has_stopped_or_ended(void *self)
{
    const struct stop *stop = self;
    return shop_logged(stop->shop, stop->process, stopped_words) || purchase_ended(stop->purchase);
}

/* Until then nothing is cut. A session that is lost for the processes that were just started
 * aborts a purchase before anybody stops: then it is made again. */
static void begin_until_stopped(struct shop *shop, struct purchase *purchase, enum process process)
{
    struct stop stop = {shop, process, purchase};
    shop_wait_ready(shop);
    for (purchase_begin(shop, purchase);; purchase_begin(shop, purchase)) {
        wait_for(has_stopped_or_ended, &stop, 30, "the purchase comes to the point");
        if (shop_logged(shop, process, stopped_words))
            break;
        struct said said = purchase_end(shop, purchase);
        if (said.code != TOLD_ABORTED)
            fail_msg("told %d before anybody had stopped: %s", said.code, said.output);
        said_fini(&said);
        books_wait_settled(shop);
    }
    shop_wait_stopped(shop, process);
}

/* The coordinator stops at this point of the purchase. */
static void begin_and_stop_at(struct shop *shop, struct purchase *purchase, const char *point)
{
    set_stop(shop, COORDINATOR, point);
    begin_until_stopped(shop, purchase, COORDINATOR);
}

static void cut_and_continue(struct shop *shop, const char *parts)
{
    cut(shop, parts);
    shop_signal(shop, COORDINATOR, SIGCONT);
}

/* ---- what is told -------------------------------------------------------------------------- */

typedef char gtrid[160];

/* What troth says of a transaction beside a process, or the doctor there. */
struct saying {
    struct shop *shop;
    enum process at;
    const char *id; /* NULL: the doctor */
    const char *text;
};

static struct said ask(const struct saying *saying)
{
    if (saying->id)
        return shop_say_at(saying->shop, saying->at, "tx", "show", saying->id, NULL);
    return shop_say_at(saying->shop, saying->at, "--json", "doctor", NULL); /* unbroken lines */
}

static bool is_said(void *self)
{
    const struct saying *saying = self;
    struct said said = ask(saying);
    bool found = strstr(said.output, saying->text) != NULL;
    said_fini(&said);
    return found;
}

/* Fails with what it said last. */
static void wait_said(struct shop *shop, enum process at, const char *id, const char *text)
{
    struct saying saying = {shop, at, id, text};
    if (wait_while_not(is_said, &saying, 20))
        return;
    struct said said = ask(&saying);
    said_has(&said, text);
    said_fini(&said);
}

/* The other words of the same moment are there too; the exit code. */
static int expect_said(struct shop *shop, enum process at, const char *id, const char *text)
{
    struct saying saying = {shop, at, id, NULL};
    struct said said = ask(&saying);
    said_has(&said, text);
    said_fini(&said);
    return said.code;
}

static void wait_minority_doctor(struct shop *shop, enum process participant)
{
    wait_said(shop, participant, NULL,
              "1 transaction waits for a majority of its sites, and rows stay locked");
    assert_int_equal(
        expect_said(shop, participant, NULL, "and tx show GTRID the sites that must come back"), 1);
}

/* The client's answer; what it says, for a minority that can't know, is what to do. */
static void expect_told(struct shop *shop, struct purchase *purchase, int told)
{
    struct said said = purchase_end(shop, purchase);
    if (said.code != told)
        fail_msg("told %d, and not %d: %s", said.code, told, said.output);
    if (told == TOLD_UNKNOWN) {
        said_has(&said, "no_majority");
        said_has(&said, "as soon as a majority");
    }
    said_fini(&said);
}

/* ---- the end ------------------------------------------------------------------------------- */

/* By themselves: 1.5 s until the silence is noticed, 1 to 2 s of patience, and a few round trips,
 * or rounds when two begin at one moment. */
static void wait_none_prepared(uint64_t since_ms)
{
    enum { LIMIT_MS = 5000 };
    (void)books_wait_none_prepared(20);
    int took_ms = (int)(wait_now_ms() - since_ms);
    shop_remark("the participants finished %d ms after the cut", took_ms);
    assert_in_range(took_ms, 0, LIMIT_MS);
}

/* Healed: the coordinator agrees with the books, in each of its words. */
static void expect_agreed(struct shop *shop, const struct purchase *purchase, const char *id,
                          bool committed)
{
    uint64_t begun_ms = wait_now_ms();
    books_wait_settled(shop);
    shop_remark("all was settled %d ms after the cut was healed", (int)(wait_now_ms() - begun_ms));
    books_check();
    assert_int_equal(books_count_purchase(purchase), committed);
    expect_said(shop, COORDINATOR, id, committed ? "applied" : "aborted");
    struct said said = shop_say(shop, "tx", "list", "--json", NULL);
    const char *line = strstr(said.output, id);
    const char *state = line ? strstr(line, "\"state\":") : NULL;
    const char *wanted = committed ? "\"state\":\"applied\"" : "\"state\":\"aborted\"";
    if (!state || strncmp(state, wanted, strlen(wanted)) != 0)
        fail_msg("expected %s for %s in: %s", wanted, id, said.output);
    said_fini(&said);
}

struct repeat {
    struct shop *shop;
    struct purchase *purchase;
    const char *id; /* of the first */
    bool committed; /* it */
};

static bool is_bought(void *self)
{
    struct repeat *repeat = self;
    purchase_begin(repeat->shop, repeat->purchase);
    struct said said = purchase_end(repeat->shop, repeat->purchase);
    bool bought = said.code == TOLD_COMMITTED, same = strstr(said.output, repeat->id) != NULL;
    if (same != repeat->committed || (repeat->committed && !bought))
        fail_msg("the key was answered %d: %s", said.code, said.output);
    said_fini(&said);
    return bought;
}

/* The same purchase with the same key. What was committed is not done again; what was aborted is
 * done now, under a new id, as soon as all are connected. */
static void expect_key_answered(struct shop *shop, struct purchase *purchase, const char *id,
                                bool committed)
{
    struct repeat repeat = {shop, purchase, id, committed};
    purchase->again = true;
    wait_for(is_bought, &repeat, 20, "a purchase with a key commits");
    books_wait_settled(shop);
    assert_int_equal(books_check(), !purchase->pair);
    assert_int_equal(books_count_purchase(purchase), 1);
}

/* ---- a coordinator alone ------------------------------------------------------------------- */

/* Commit is proposed, and no question has left the host. */
struct silence {
    const char *point, *pair;
    const char *answered; /* of its sites */
};

static const struct silence asked = {"coordinator.asked", NULL, "1 of 4 sites has answered"};
/* Two participants are a majority of three sites. */
static const struct silence pair_proposed = {"coordinator.proposed", "inventory",
                                             "1 of 3 sites has answered"};

/* The participants, who know of no proposal, abort. */
static void cut_off_before_it_is_heard_the_coordinator_learns_of_the_abort(struct shop *shop)
{
    const struct silence *silence = shop->argument;
    struct purchase purchase = {
        .timeout = "30s", .key = silence->point, .protocol = "3pc", .pair = silence->pair};
    gtrid id;
    begin_and_stop_at(shop, &purchase, silence->point);
    books_newest_gtrid(id, sizeof(id));
    uint64_t begun_ms = wait_now_ms();
    cut_and_continue(shop, "0111");
    wait_none_prepared(begun_ms);
    assert_int_equal(books_count_purchase(&purchase), 0);
    wait_said(shop, COORDINATOR, id, silence->answered);
    expect_said(shop, COORDINATOR, id, "pre-commit");
    assert_false(purchase_ended(&purchase));
    heal(shop);
    expect_told(shop, &purchase, TOLD_ABORTED);
    expect_agreed(shop, &purchase, id, false);
    expect_key_answered(shop, &purchase, id, false);
}

/* All participants have accepted commit, and their answers are lost: it is decided, and the
 * coordinator alone does not know. */
static void cut_off_from_the_answers_the_coordinator_learns_of_the_commit(struct shop *shop)
{
    struct purchase purchase = {.timeout = "3s", .key = "answers", .protocol = "3pc"};
    gtrid id;
    for (enum process p = ORDERS; p < PROCESSES; p++)
        set_stop(shop, p, "participant.stored");
    begin_until_stopped(shop, &purchase, ORDERS);
    shop_wait_stopped(shop, PAYMENTS);
    shop_wait_stopped(shop, INVENTORY);
    books_newest_gtrid(id, sizeof(id));
    uint64_t begun_ms = wait_now_ms();
    cut(shop, "0111");
    for (enum process p = ORDERS; p < PROCESSES; p++)
        shop_signal(shop, p, SIGCONT);
    wait_none_prepared(begun_ms);
    assert_int_equal(books_count(purchase.order), 1);
    expect_told(shop, &purchase, TOLD_UNKNOWN);
    expect_said(shop, COORDINATOR, id, "a majority: 1 of 4 sites has answered");
    expect_said(shop, COORDINATOR, id, "pre-commit");
    wait_said(shop, COORDINATOR, NULL, "it waits for a majority: 1 of 4 sites has answered");
    assert_int_equal(expect_said(shop, COORDINATOR, NULL, id), 1);
    heal(shop);
    expect_agreed(shop, &purchase, id, true);
    expect_key_answered(shop, &purchase, id, true);
}

/* A majority has answered and the client is told; the participants come to the same by
 * themselves. */
static void cut_off_with_the_decision_the_coordinator_is_not_contradicted(struct shop *shop)
{
    struct purchase purchase = {
        .timeout = "30s", .key = "decision", .protocol = "3pc", .wait = "decided"};
    gtrid id;
    begin_and_stop_at(shop, &purchase, "coordinator.decided");
    books_newest_gtrid(id, sizeof(id));
    uint64_t begun_ms = wait_now_ms();
    cut_and_continue(shop, "0111");
    expect_told(shop, &purchase, TOLD_COMMITTED);
    wait_none_prepared(begun_ms);
    assert_int_equal(books_count(purchase.order), 1);
    heal(shop);
    expect_agreed(shop, &purchase, id, true);
    expect_key_answered(shop, &purchase, id, true);
}

/* ---- others -------------------------------------------------------------------------------- */

/* The others and the coordinator are three of four sites. It was asked for its vote alone. */
static void a_participant_cut_off_in_doubt_waits_and_ends_as_the_others(struct shop *shop)
{
    struct purchase purchase = {.timeout = "30s", .protocol = "3pc", .wait = "decided"};
    gtrid id;
    begin_and_stop_at(shop, &purchase, "coordinator.proposed");
    books_newest_gtrid(id, sizeof(id));
    cut_and_continue(shop, "0001");
    expect_told(shop, &purchase, TOLD_COMMITTED);
    books_wait_prepared("orders", 0);
    books_wait_prepared("payments", 0);
    wait_said(shop, INVENTORY, id, "a majority: 1 of 4 sites has answered");
    wait_minority_doctor(shop, INVENTORY);
    assert_int_equal(cluster_value("inventory", "select count(*) from pg_prepared_xacts"), 1);
    heal(shop);
    expect_agreed(shop, &purchase, id, true);
    assert_int_equal(books_check(), 1);
}

/* It alone can't speak with its coordinator, and both can with the others: they are enough for the
 * coordinator, and tell the participant what became of it while the cut lasts. */
static void a_participant_that_reaches_the_others_alone_learns_it_from_them(struct shop *shop)
{
    struct purchase purchase = {.timeout = "30s", .protocol = "3pc", .wait = "decided"};
    gtrid id;
    begin_and_stop_at(shop, &purchase, "coordinator.proposed");
    books_newest_gtrid(id, sizeof(id));
    uint64_t begun_ms = wait_now_ms();
    network_block(shop->network, COORDINATOR, INVENTORY);
    network_block(shop->network, INVENTORY, COORDINATOR);
    shop_signal(shop, COORDINATOR, SIGCONT);
    expect_told(shop, &purchase, TOLD_COMMITTED);
    wait_none_prepared(begun_ms);
    assert_int_equal(books_count(purchase.order), 1);
    network_unblock(shop->network, COORDINATOR, INVENTORY);
    network_unblock(shop->network, INVENTORY, COORDINATOR);
    expect_agreed(shop, &purchase, id, true);
}

/* The coordinator has the votes: half of the sites are enough to accept what it proposes, and the
 * other half is no majority that could find anything else. */
static void half_with_the_coordinator_commits_and_the_other_half_waits(struct shop *shop)
{
    struct purchase purchase = {.timeout = "3s", .key = "two", .protocol = "3pc"};
    gtrid id;
    begin_and_stop_at(shop, &purchase, "coordinator.proposed");
    books_newest_gtrid(id, sizeof(id));
    cut_and_continue(shop, "0011");
    books_wait_prepared("orders", 0);
    for (enum process p = PAYMENTS; p < PROCESSES; p++)
        wait_minority_doctor(shop, p);
    wait_said(shop, PAYMENTS, id, "terminating");
    wait_said(shop, INVENTORY, id, "terminating");
    expect_told(shop, &purchase, TOLD_COMMITTED);
    books_wait_prepared("payments", 1);
    books_wait_prepared("inventory", 1);
    heal(shop);
    expect_agreed(shop, &purchase, id, true);
    expect_key_answered(shop, &purchase, id, true);
}

/* Prepared, it votes yes, unheard. Without its vote nothing is proposed, and the coordinator aborts
 * alone. */
static void a_participant_cut_off_before_its_vote_means_abort(struct shop *shop)
{
    struct purchase purchase = {.timeout = "30s", .key = "vote", .protocol = "3pc"};
    gtrid id;
    set_stop(shop, PAYMENTS, "participant.prepared");
    begin_until_stopped(shop, &purchase, PAYMENTS);
    books_wait_prepared("orders", 1);
    books_wait_prepared("inventory", 1);
    books_newest_gtrid(id, sizeof(id));
    cut(shop, "0010");
    shop_signal(shop, PAYMENTS, SIGCONT);
    expect_told(shop, &purchase, TOLD_ABORTED);
    books_wait_prepared("orders", 0);
    books_wait_prepared("inventory", 0);
    wait_said(shop, PAYMENTS, id, "a majority: 1 of 4 sites has answered");
    assert_int_equal(cluster_value("payments", "select count(*) from pg_prepared_xacts"), 1);
    heal(shop);
    expect_agreed(shop, &purchase, id, false);
    expect_key_answered(shop, &purchase, id, false);
}

/* ---- at random ----------------------------------------------------------------------------- */

enum { STORM_SECONDS = 6, STEP_TOLD = 40, ENOUGH = 10, MAJORITY = 3 };

/* All by three phases. Keyed ones ask until they have bought; the others are told something by
 * each deadline, so that every cut comes to an end. */
struct storm {
    struct shop *shop;
    struct buyers keyed, once;
    unsigned seed;
    int cuts, with_majority, finished; /* finished: branches, by a majority under a cut */
};

static unsigned draw(struct storm *storm, unsigned bound)
{
    return (unsigned)rand_r(&storm->seed) % bound;
}

static unsigned read_setting(const char *name, unsigned fallback)
{
    const char *text = getenv(name);
    return text && *text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

static int count_committed(const struct storm *storm)
{
    return buyers_count(storm->shop, &storm->keyed, 'C') +
           buyers_count(storm->shop, &storm->once, 'C');
}

struct progress {
    struct storm *storm;
    int least;
};

static bool is_told(void *self)
{
    const struct progress *progress = self;
    return buyers_count(progress->storm->shop, &progress->storm->once, 0) >= progress->least;
}

static void wait_told(struct storm *storm)
{
    struct progress progress = {storm, buyers_count(storm->shop, &storm->once, 0) + 1 +
                                           (int)draw(storm, STEP_TOLD)};
    wait_for(is_told, &progress, 30, "purchases come to an end");
}

/* The branches that a participant has prepared at one moment. */
struct branches {
    const char *participant;
    char *ended; /* SQL: none of them is prepared */
    int count;
};

static void read_branches(struct branches *branches, const char *participant)
{
    PGresult *result =
        cluster_query(participant, "select coalesce(array_agg(gid), '{}'), count(*) from "
                                   "pg_prepared_xacts");
    branches->participant = participant;
    branches->count = atoi(PQgetvalue(result, 0, 1));
    branches->ended = xasprintf("select count(*) from pg_prepared_xacts where gid = any('%s')",
                                PQgetvalue(result, 0, 0));
    PQclear(result);
}

static bool have_ended(void *self)
{
    const struct branches *branches = self;
    return cluster_value(branches->participant, branches->ended) == 0;
}

/* Whoever is in a majority ends all that it holds, whether the coordinator is there or not. */
static void wait_majority_finished(struct storm *storm, const char *parts, char majority)
{
    struct branches branches[PROCESSES] = {0};
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (parts[p] == majority)
            read_branches(&branches[p], process_names[p]);
    }
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        if (!branches[p].ended)
            continue;
        wait_for(have_ended, &branches[p], 20, "a majority finishes what it holds");
        storm->finished += branches[p].count;
        free(branches[p].ended);
    }
}

/* '\0': no part is one. */
static char find_majority(const char *parts)
{
    for (int i = 0; i < PROCESSES; i++) {
        int same = 0;
        for (int k = 0; k < PROCESSES; k++)
            same += parts[k] == parts[i];
        if (same >= MAJORITY)
            return parts[i];
    }
    return '\0';
}

/* Into two parts mostly, or three. */
static void strike(struct storm *storm)
{
    char parts[PROCESSES + 1] = "";
    unsigned most = 2 + (draw(storm, 3) == 0);
    for (int i = 0; i < PROCESSES; i++)
        parts[i] = (char)('0' + draw(storm, most));
    cut(storm->shop, parts);
    storm->cuts++;
    wait_told(storm);
    char majority = find_majority(parts);
    if (majority && draw(storm, 2)) {
        storm->with_majority++;
        wait_majority_finished(storm, parts, majority);
    }
}

static void judge(struct storm *storm)
{
    books_wait_settled(storm->shop);
    int orders = books_check(), committed = count_committed(storm);
    int unknown = buyers_count(storm->shop, &storm->once, 'U');
    buyers_judge(storm->shop, &storm->keyed);
    buyers_judge(storm->shop, &storm->once);
    shop_remark("%d cuts; under %d of them a majority finished %d branches", storm->cuts,
                storm->with_majority, storm->finished);
    shop_remark("%d purchases committed, %d aborted, %d with an unknown end", committed,
                buyers_count(storm->shop, &storm->once, 'A'), unknown);
    /* With a key every purchase ends in the books; only those of unknown end may add to them. */
    assert_in_range(orders, committed, committed + unknown);
    assert_true(orders >= 2 * ENOUGH);
}

static void after_cuts_at_random_the_books_balance_and_what_was_told_is_so(struct shop *shop)
{
    unsigned seed = read_setting("TROTH_CHAOS_SEED", (unsigned)time(NULL) % 1000000);
    uint64_t seconds = read_setting("TROTH_CHAOS_SECONDS", STORM_SECONDS);
    struct buyers buyers = {.in_flight = 6, .timeout_ms = 2000, .three_phase_percent = 100};
    struct storm storm = {.shop = shop, .keyed = buyers, .once = buyers, .seed = seed};
    shop_remark("TROTH_CHAOS_SEED=%u", seed);
    storm.keyed.seed = seed + 1;
    storm.keyed.keyed_percent = 100;
    storm.once.seed = seed + 2;
    buyers_start(shop, &storm.keyed);
    buyers_start(shop, &storm.once);
    buyers_wait_committed(shop, &storm.once, ENOUGH);
    for (uint64_t end = wait_now_ms() + 1000 * seconds; wait_now_ms() < end;)
        strike(&storm);
    heal(shop);
    buyers_wait_committed(shop, &storm.once, ENOUGH);
    buyers_stop(shop, &storm.keyed);
    buyers_stop(shop, &storm.once);
    judge(&storm);
    assert_int_equal(purchase_make(shop, &(struct purchase){.protocol = "3pc"}), TOLD_COMMITTED);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        shop_test("cut_off_before_it_is_heard_the_coordinator_learns_of_the_abort",
                  cut_off_before_it_is_heard_the_coordinator_learns_of_the_abort, &asked),
        shop_test("cut_off_before_it_is_heard_the_coordinator_of_two_learns_of_the_abort",
                  cut_off_before_it_is_heard_the_coordinator_learns_of_the_abort, &pair_proposed),
        SHOP_TEST(cut_off_from_the_answers_the_coordinator_learns_of_the_commit),
        SHOP_TEST(cut_off_with_the_decision_the_coordinator_is_not_contradicted),
        SHOP_TEST(a_participant_cut_off_in_doubt_waits_and_ends_as_the_others),
        SHOP_TEST(a_participant_that_reaches_the_others_alone_learns_it_from_them),
        SHOP_TEST(half_with_the_coordinator_commits_and_the_other_half_waits),
        SHOP_TEST(a_participant_cut_off_before_its_vote_means_abort),
        SHOP_TEST(after_cuts_at_random_the_books_balance_and_what_was_told_is_so),
    };
    shop_use_network();
    return shop_run("partitions", tests, sizeof(tests) / sizeof(tests[0]));
}
