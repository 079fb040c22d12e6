/* Transactions that are built step by step, on real processes and databases: operations at orders
 * and payments, and the program's own connection to inventory, by libtroth. Killed at each crash
 * point that only these pass, they end alike everywhere and leave nothing prepared. */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "include/troth.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"

enum { DEADLINE_MS = 10000, OUTCOME_MS = 10000 };

/* A purchase, one step after the other. */
struct buying {
    struct shop *shop;
    struct troth *troth;
    PGconn *inventory;
    enum troth_protocol protocol;
    char order[32], id[160];
    enum troth_status status;
    struct troth_result result; /* of the step that ended it */
};

/* ---- steps --------------------------------------------------------------------------------- */

static void begin(struct buying *buying, struct troth_tx **tx)
{
    const struct troth_options options = {.protocol = buying->protocol, .deadline_ms = DEADLINE_MS};
    snprintf(buying->order, sizeof(buying->order), "s%d", ++buying->shop->orders);
    buying->status = troth_begin(buying->troth, &options, tx, &buying->result);
    if (buying->status == TROTH_OK)
        snprintf(buying->id, sizeof(buying->id), "%s", troth_tx_id(*tx));
}

static bool execute(struct buying *buying, struct troth_tx *tx, const char *operation,
                    const char *more)
{
    char *arguments = xasprintf("{\"order_id\": \"%s\"%s}", buying->order, more);
    buying->status = troth_execute(tx, operation, arguments, &buying->result);
    free(arguments);
    return buying->status == TROTH_OK;
}

static bool sql(PGconn *connection, const char *text)
{
    PGresult *result = PQexec(connection, text);
    bool done = PQresultStatus(result) == PGRES_COMMAND_OK;
    if (!done)
        print_error("%s: %s", text, PQerrorMessage(connection));
    PQclear(result);
    return done;
}

static bool reserve(struct buying *buying, struct troth_tx *tx)
{
    buying->status = troth_join(tx, buying->inventory, "inventory", &buying->result);
    if (buying->status != TROTH_OK)
        return false;
    char *insert = xasprintf("update stock set quantity = quantity - 1 where sku = 'lamp';"
                             "insert into reservation values ('%s', 1)",
                             buying->order);
    if (!sql(buying->inventory, insert))
        buying->status = TROTH_HAZARD; /* what no test expects */
    free(insert);
    return buying->status == TROTH_OK;
}

static const char to_charge[] = ", \"customer\": \"ada\", \"amount\": 10";

/* Until it is committed, or the first step that fails. */
static void buy(struct buying *buying)
{
    struct troth_tx *tx = NULL;
    begin(buying, &tx);
    if (buying->status == TROTH_OK && execute(buying, tx, "orders.create", "") &&
        execute(buying, tx, "payments.charge", to_charge) && reserve(buying, tx))
        buying->status = troth_commit(tx, &buying->result);
    troth_tx_free(tx);
}

static void *buy_beside(void *self)
{
    buy(self);
    return NULL;
}

static void open_buying(struct buying *buying, struct shop *shop)
{
    *buying = (struct buying){.shop = shop};
    buying->troth = troth_open(shop->addresses[COORDINATOR], &buying->result);
    assert_non_null(buying->troth);
    buying->inventory = PQconnectdb(cluster_conninfo("inventory"));
    assert_int_equal(PQstatus(buying->inventory), CONNECTION_OK);
}

static void close_buying(struct buying *buying)
{
    troth_result_clear(&buying->result);
    troth_close(buying->troth);
    PQfinish(buying->inventory);
}

static void expect(struct buying *buying, enum troth_status status, const char *code)
{
    if (buying->status != status || strcmp(buying->result.problem.code, code) != 0)
        fail_msg("%s instead of %s: %s: %s", troth_status_name(buying->status),
                 troth_status_name(status), buying->result.problem.code,
                 buying->result.problem.message);
}

/* ---- the way of one ------------------------------------------------------------------------ */

static void is_committed_in_all_three_databases(struct shop *shop)
{
    struct buying buying;
    open_buying(&buying, shop);
    for (int protocol = TROTH_2PC; protocol <= TROTH_3PC; protocol++) {
        buying.protocol = (enum troth_protocol)protocol;
        buy(&buying);
        expect(&buying, TROTH_OK, "");
        assert_true(buying.result.applied);
        assert_int_equal(books_count(buying.order), 1);
        buying.status = troth_outcome(buying.troth, buying.id, OUTCOME_MS, &buying.result);
        expect(&buying, TROTH_OK, "");
    }
    books_wait_settled(shop);
    books_check();
    close_buying(&buying);
}

static void what_fails_is_in_none(struct shop *shop)
{
    struct buying buying;
    struct troth_tx *tx;
    open_buying(&buying, shop);
    begin(&buying, &tx);
    assert_true(execute(&buying, tx, "orders.create", ""));
    assert_true(reserve(&buying, tx));
    assert_false(
        execute(&buying, tx, "payments.charge", ", \"customer\": \"ada\", \"amount\": 1000000"));
    expect(&buying, TROTH_ABORTED, "insufficient_funds");
    assert_string_equal(buying.result.problem.participant, "payments");
    troth_tx_free(tx);
    assert_int_equal(PQtransactionStatus(buying.inventory), PQTRANS_IDLE);
    assert_int_equal(books_count(buying.order), 0);
    /* What PostgreSQL says at prepare. */
    begin(&buying, &tx);
    assert_true(execute(&buying, tx, "orders.create", ""));
    assert_int_equal(troth_join(tx, buying.inventory, "inventory", NULL), TROTH_OK);
    assert_true(sql(buying.inventory, "create temporary table passing (n int)"));
    buying.status = troth_commit(tx, &buying.result);
    expect(&buying, TROTH_ABORTED, "0A000");
    troth_tx_free(tx);
    assert_int_equal(PQtransactionStatus(buying.inventory), PQTRANS_IDLE);
    books_wait_settled(shop);
    books_check();
    close_buying(&buying);
}

/* ---- others -------------------------------------------------------------------------------- */

static void is_shown_and_aborted_by_an_operator(struct shop *shop)
{
    struct buying buying;
    struct troth_tx *tx;
    open_buying(&buying, shop);
    begin(&buying, &tx);
    assert_true(execute(&buying, tx, "orders.create", ""));
    assert_true(reserve(&buying, tx));
    assert_int_equal(troth_hand_over(tx, buying.inventory, &buying.result), TROTH_OK);
    said_expect(shop_say(shop, "tx", "list", "--state", "open", NULL), 0, buying.id, NULL, NULL);
    said_expect(shop_ask(shop, "tx", "show", buying.id, NULL), 0, "open", "create", "prepared");
    said_expect(shop_ask(shop, "tx", "resolve", buying.id, "--abort", "--reason", "it hangs",
                         "--yes", NULL),
                0, "aborted", NULL, NULL);
    buying.status = troth_commit(tx, &buying.result);
    expect(&buying, TROTH_ABORTED, "operator");
    troth_tx_free(tx);
    books_wait_settled(shop);
    assert_int_equal(books_count(buying.order), 0);
    close_buying(&buying);
}

/* This program, started again: it holds what it has done open until it is killed. */
static int hold(const char *coordinator)
{
    struct troth_tx *tx;
    struct buying buying = {.order = "held"};
    buying.troth = troth_open(coordinator, NULL);
    buying.inventory = PQconnectdb(cluster_conninfo("inventory"));
    if (!buying.troth || PQstatus(buying.inventory) != CONNECTION_OK ||
        troth_begin(buying.troth, NULL, &tx, NULL) != TROTH_OK || !reserve(&buying, tx) ||
        troth_hand_over(tx, buying.inventory, NULL) != TROTH_OK ||
        !execute(&buying, tx, "payments.charge", to_charge))
        return 1;
    printf("held\n");
    fflush(stdout);
    pause();
    return 1;
}

/* Killed with its locks held, and with a branch prepared: nobody waits for them for long. */
static void ends_with_its_client(struct shop *shop)
{
    int said[2];
    char text[8] = "";
    const char *words[] = {"t/real/steps.t", "--hold", shop->addresses[COORDINATOR], NULL};
    assert_int_equal(pipe(said), 0);
    pid_t pid = shop_spawn_at(shop, COORDINATOR, words, said[1]);
    close(said[1]);
    assert_true(read(said[0], text, sizeof(text) - 1) > 0);
    close(said[0]);
    assert_string_equal(text, "held\n");
    books_wait_prepared("inventory", 1);
    kill(pid, SIGKILL);
    shop_reap(pid);
    books_wait_none_prepared(5);
    struct buying buying;
    open_buying(&buying, shop);
    buy(&buying); /* the same rows */
    expect(&buying, TROTH_OK, "");
    close_buying(&buying);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

/* ---- crashes ------------------------------------------------------------------------------- */

struct crash {
    enum process process;
    const char *point;
    bool committed; /* it may be */
};

static const struct crash crashes[] = {
    {COORDINATOR, "coordinator.opened", true}, /* it is begun again by the library */
    {COORDINATOR, "coordinator.worked:2", false},
    {COORDINATOR, "coordinator.handed-over", false},
    {COORDINATOR, "coordinator.ending", false},
    {COORDINATOR, "coordinator.deciding", true},
    {COORDINATOR, "coordinator.told", true},
    {ORDERS, "participant.work-received", false},
    {PAYMENTS, "participant.opened", false},
    {ORDERS, "participant.step-answered", false},
    {PAYMENTS, "participant.voted", true},
    {INVENTORY, "participant.adopted", false},
    {INVENTORY, "participant.commit-received", true},
};
enum { CRASHES = sizeof(crashes) / sizeof(crashes[0]) };

static void judge(struct buying *buying, const struct crash *crash)
{
    int count = books_count(buying->order);
    enum troth_status outcome = buying->status;
    if (outcome == TROTH_UNKNOWN || outcome == TROTH_PENDING)
        outcome = troth_outcome(buying->troth, buying->id, OUTCOME_MS, &buying->result);
    if (outcome == TROTH_OK)
        assert_int_equal(count, 1);
    else if (outcome == TROTH_ABORTED || outcome == TROTH_UNAVAILABLE || outcome == TROTH_REFUSED)
        assert_int_equal(count, 0);
    else if (outcome == TROTH_UNKNOWN && crash->process == COORDINATOR)
        /* Its next run knows no commit; and not whether a database has made one alone. */
        assert_int_equal(count, 0);
    else
        fail_msg("it was told %s: %s", troth_status_name(outcome), buying->result.problem.message);
    assert_true(count == 0 || crash->committed);
}

static void ends_alike_everywhere(struct shop *shop)
{
    const struct crash *crash = shop->argument;
    struct buying buying;
    shop_stop(shop, crash->process);
    shop_start(shop, crash->process, crash->point);
    shop_wait_ready(shop);
    pthread_t buyer;
    open_buying(&buying, shop);
    assert_int_equal(pthread_create(&buyer, NULL, buy_beside, &buying), 0);
    int status = shop_wait_end(shop, crash->process);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
    shop_start_all(shop);
    assert_int_equal(pthread_join(buyer, NULL), 0);
    books_wait_settled(shop);
    books_check();
    judge(&buying, crash);
    close_buying(&buying);
    purchase_wait_possible(shop);
}

int main(int argc, char **argv)
{
    if (argc == 3 && strcmp(argv[1], "--hold") == 0)
        return hold(argv[2]);
    static char names[CRASHES][128];
    enum { WAYS = 4 };
    struct CMUnitTest tests[WAYS + CRASHES] = {
        SHOP_TEST(is_committed_in_all_three_databases), SHOP_TEST(what_fails_is_in_none),
        SHOP_TEST(is_shown_and_aborted_by_an_operator), SHOP_TEST(ends_with_its_client)};
    for (int i = 0; i < CRASHES; i++) {
        snprintf(names[i], sizeof(names[i]), "with_%s_killed_at_%s_ends_alike_everywhere",
                 process_names[crashes[i].process], crashes[i].point);
        tests[WAYS + i] = shop_test(names[i], ends_alike_everywhere, &crashes[i]);
    }
    return shop_run("steps", tests, WAYS + CRASHES);
}
