/* libtroth on real processes and databases: what a caller is told, and by SQL what is true. */
#include "include/troth.h"

#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/library_desk.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/wait.h"

/* The order, and its charge: both or none, and no more. */
static int orders_and_charges(const char *order)
{
    char sql[200];
    snprintf(sql, sizeof(sql), "select count(*) from orders where id = '%s'", order);
    int orders = (int)cluster_value("orders", sql);
    assert_int_equal(desk_charges(order), orders);
    return orders;
}

/* ---- requests ------------------------------------------------------------------------------ */

static void a_purchase_in_one_request(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    struct troth_call calls[] = {
        {"orders.create", "{\"order_id\": \"l-1\"}"},
        {"payments.charge", "{\"order_id\": \"l-1\", \"customer\": \"ada\", \"amount\": 12.50}"},
    };
    struct troth_options options = {.key = "library-1"};
    DESK_OK(&desk, troth_submit(desk.troth, calls, 2, &options, &desk.result));
    assert_true(desk.result.applied);
    assert_false(desk.result.repeated);
    assert_int_equal(desk.result.count, 2);
    assert_null(desk.result.values[0]);
    assert_string_equal(troth_get(&desk.result, 1, 0, "amount"), "12.50");
    assert_int_equal(desk_charges("l-1"), 1);
    char *id = xstrdup(desk.result.id);
    DESK_OK(&desk, troth_submit(desk.troth, calls, 2, &options, &desk.result));
    assert_true(desk.result.repeated);
    assert_string_equal(desk.result.id, id);
    DESK_OK(&desk, troth_outcome(desk.troth, id, 1000, &desk.result));
    free(id);
    calls[1].arguments = "{\"order_id\": \"l-2\", \"customer\": \"ada\", \"amount\": 9999999}";
    calls[0].arguments = "{\"order_id\": \"l-2\"}";
    DESK_FAILS(&desk, troth_submit(desk.troth, calls, 2, NULL, &desk.result), TROTH_ABORTED,
               "insufficient_funds");
    assert_string_equal(desk.result.problem.participant, "payments");
    assert_string_equal(desk.result.problem.operation, "charge");
    assert_false(desk.result.problem.passing);
    calls[0].operation = "orders.crate";
    DESK_FAILS(&desk, troth_submit(desk.troth, calls, 2, NULL, &desk.result), TROTH_REFUSED,
               "unknown_operation");
    desk_close(&desk);
}

static void what_became_of_it_is_told_by_its_id(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    char *id = xstrdup(troth_tx_id(desk.tx));
    DESK_FAILS(&desk, troth_outcome(desk.troth, id, 1, &desk.result), TROTH_PENDING, "");
    DESK_OK(&desk, troth_abort(desk.tx, &desk.result));
    DESK_FAILS(&desk, troth_outcome(desk.troth, id, 4000, &desk.result), TROTH_ABORTED, "aborted");
    free(id);
    DESK_FAILS(&desk, troth_outcome(desk.troth, "shop.c9.1.1", 500, &desk.result), TROTH_UNKNOWN,
               "elsewhere");
    DESK_FAILS(&desk, troth_outcome(desk.troth, "nonsense", 500, &desk.result), TROTH_REFUSED,
               "bad_request");
    /* One phase leaves nothing in the journal: the database knows. */
    struct troth_call note = {"orders.note", "{\"id\": \"alone\"}"};
    DESK_OK(&desk, troth_submit(desk.troth, &note, 1, NULL, &desk.result));
    id = xstrdup(desk.result.id);
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    DESK_OK(&desk, troth_outcome(desk.troth, id, 8000, &desk.result));
    free(id);
    desk_close(&desk);
}

/* ---- step by step -------------------------------------------------------------------------- */

static void steps_commit(struct shop *shop, enum troth_protocol protocol, const char *order)
{
    struct desk desk = desk_open(shop);
    char *arguments = troth_json("{\"order_id\": %s}", order);
    desk_begin(&desk, protocol, 10000);
    DESK_OK(&desk, troth_execute(desk.tx, "orders.create", arguments, &desk.result));
    free(arguments);
    DESK_OK(&desk, troth_execute(desk.tx, "orders.count", "{\"id\": \"x\"}", &desk.result));
    assert_int_equal(troth_rows(&desk.result, 0), 1);
    assert_string_equal(troth_get(&desk.result, 0, 0, "notes"), "0");
    DESK_FAILS(&desk, troth_execute(desk.tx, "orders.crate", NULL, &desk.result), TROTH_REFUSED,
               "unknown_operation");
    desk_join_and_charge(&desk, order, 10);
    assert_int_equal(desk_charges(order), 0);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_string_equal(desk.result.id, troth_tx_id(desk.tx));
    assert_true(desk.result.applied);
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
    assert_int_equal(desk_charges(order), 1);
    assert_int_equal(orders_and_charges(order), 1);
    DESK_FAILS(&desk, troth_execute(desk.tx, "orders.note", "{\"id\": \"late\"}", &desk.result),
               TROTH_REFUSED, "over");
    DESK_FAILS(&desk, troth_abort(desk.tx, &desk.result), TROTH_REFUSED, "decided");
    DESK_OK(&desk, troth_outcome(desk.troth, troth_tx_id(desk.tx), 1000, &desk.result));
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

static void steps_commit_in_two_phases(struct shop *shop)
{
    steps_commit(shop, TROTH_2PC, "l-3");
}

static void steps_commit_in_three_phases(struct shop *shop)
{
    steps_commit(shop, TROTH_3PC, "l-4");
}

static void a_step_that_fails_aborts_all(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 10000);
    DESK_OK(&desk, troth_execute(desk.tx, "orders.note", "{\"id\": \"n\"}", &desk.result));
    desk_join_and_charge(&desk, "l-5", 10);
    DESK_FAILS(&desk,
               troth_execute(desk.tx, "payments.charge",
                             "{\"order_id\": \"q\", \"customer\": \"nobody\", \"amount\": 1}",
                             &desk.result),
               TROTH_ABORTED, "insufficient_funds");
    /* The caller's connection is the caller's: it is not left without its transaction unasked. */
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_INTRANS);
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "insufficient_funds");
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
    desk_wait_no_locks(1000);
    assert_int_equal(desk_charges("l-5"), 0);
    desk_close(&desk);
}

static void without_work_there_is_nothing_to_commit(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 5000);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    desk_begin(&desk, TROTH_2PC, 5000);
    DESK_OK(&desk, troth_join(desk.tx, desk.connection, "payments", &desk.result));
    desk_do(desk.connection, "select * from account");
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_int_equal(PQtransactionStatus(desk.connection), PQTRANS_IDLE);
    desk_close(&desk);
    desk_wait_no_locks(500);
}

static void the_deadline_ends_it(struct shop *shop)
{
    struct desk desk = desk_open(shop);
    uint64_t begun_ms = wait_now_ms();
    desk_begin(&desk, TROTH_2PC, 800);
    desk_join_and_charge(&desk, "l-6", 10);
    DESK_FAILS(
        &desk,
        troth_execute(desk.tx, "orders.dawdle", "{\"id\": \"d\", \"seconds\": 9}", &desk.result),
        TROTH_ABORTED, "deadline");
    assert_true(wait_now_ms() - begun_ms < 1800);
    /* Nobody asks for an end: PostgreSQL ends the connection by itself. */
    desk_wait_no_locks(1000);
    desk_close(&desk);
}

/* ---- between services ---------------------------------------------------------------------- */

static void another_service_takes_part(struct shop *shop)
{
    struct desk desk = desk_open(shop), service = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 8000);
    DESK_OK(&desk,
            troth_execute(desk.tx, "orders.create", "{\"order_id\": \"l-12\"}", &desk.result));
    const char *context = troth_tx_context(desk.tx);
    assert_true(strlen(context) <= TROTH_CONTEXT_BYTES);
    assert_int_equal(strspn(context, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                     "0123456789._-:"),
                     strlen(context));
    DESK_OK(&service, troth_tx_resume(service.troth, context, &service.tx, &service.result));
    assert_string_equal(troth_tx_id(service.tx), troth_tx_id(desk.tx));
    desk_join_and_charge(&service, "l-12", 10);
    DESK_FAILS(&service, troth_commit(service.tx, &service.result), TROTH_REFUSED, "not_yours");
    DESK_OK(&service, troth_hand_over(service.tx, service.connection, &service.result));
    assert_int_equal(PQtransactionStatus(service.connection), PQTRANS_IDLE);
    DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
    assert_int_equal(orders_and_charges("l-12"), 1);
    /* Used after the decision. */
    DESK_FAILS(&service, troth_join(service.tx, service.connection, "payments", &service.result),
               TROTH_REFUSED, "over");
    assert_int_equal(PQtransactionStatus(service.connection), PQTRANS_IDLE);
    desk_close(&service);
    desk_close(&desk);
    desk_wait_no_locks(1000);
}

static void what_a_service_has_not_handed_over_aborts_all(struct shop *shop)
{
    struct desk desk = desk_open(shop), service = desk_open(shop);
    struct troth_tx *late;
    desk_begin(&desk, TROTH_2PC, 8000);
    const char *context = troth_tx_context(desk.tx);
    DESK_OK(&service, troth_tx_resume(service.troth, context, &service.tx, &service.result));
    desk_join_and_charge(&service, "l-13", 10);
    DESK_FAILS(&desk, troth_commit(desk.tx, &desk.result), TROTH_ABORTED, "not_handed_over");
    /* The service is late: the transaction is over. */
    DESK_FAILS(&service, troth_hand_over(service.tx, service.connection, &service.result),
               TROTH_ABORTED, "not_handed_over");
    assert_int_equal(PQtransactionStatus(service.connection), PQTRANS_IDLE);
    desk_wait_no_locks(1000);
    assert_int_equal(desk_charges("l-13"), 0);
    DESK_OK(&service, troth_tx_resume(service.troth, context, &late, &service.result));
    DESK_FAILS(&service, troth_execute(late, "orders.note", "{\"id\": \"n\"}", &service.result),
               TROTH_ABORTED, "not_handed_over");
    troth_tx_free(late);
    DESK_FAILS(&desk, troth_tx_resume(desk.troth, "1:shop", &late, &desk.result), TROTH_REFUSED,
               "bad_context");
    desk_close(&service);
    desk_close(&desk);
}

/* ---- who is killed ------------------------------------------------------------------------- */

/* This program again, as another process. */
static pid_t start_again(struct shop *shop, const char *as, const char *context)
{
    const char *words[] = {"t/real/library.t", as, shop->addresses[COORDINATOR], context, NULL};
    return shop_spawn(shop, words, "again.log", NULL);
}

/* It has come so far that it waits to be killed. */
static bool has_said_ready(void *self)
{
    (void)self;
    return cluster_value("payments", "select count(*) from pg_stat_activity where application_name"
                                     " = 'ready'") > 0;
}

static void be_killed(PGconn *connection)
{
    desk_do(connection, "set application_name = ready");
    for (;;)
        pause();
}

/* A client that joined, executed, and is killed before its commit. */
static int run_client(const char *address)
{
    struct troth *troth = troth_open(address, NULL);
    struct troth_options options = {.deadline_ms = 20000};
    struct troth_tx *tx;
    PGconn *payments = PQconnectdb(cluster_conninfo("payments"));
    PGconn *inventory = PQconnectdb(cluster_conninfo("inventory"));
    PGconn *signal = PQconnectdb(cluster_conninfo("payments"));
    if (troth_begin(troth, &options, &tx, NULL) != TROTH_OK ||
        troth_execute(tx, "orders.create", "{\"order_id\": \"l-14\"}", NULL) != TROTH_OK ||
        troth_join(tx, payments, "payments", NULL) != TROTH_OK ||
        troth_join(tx, inventory, "inventory", NULL) != TROTH_OK)
        return 1;
    desk_do(payments, "insert into charge values ('l-14', 1)");
    desk_do(inventory, "update stock set quantity = quantity - 1 where sku = 'lamp'");
    if (troth_hand_over(tx, inventory, NULL) != TROTH_OK)
        return 1;
    be_killed(signal);
    return 0;
}

static void a_client_that_is_killed_leaves_no_lock(struct shop *shop)
{
    pid_t client = start_again(shop, "client", "");
    wait_for(has_said_ready, NULL, 10, "the client has joined");
    kill(client, SIGKILL);
    shop_reap(client);
    desk_wait_no_locks(4000);
    assert_int_equal(orders_and_charges("l-14"), 0);
}

/* A service that prepared, and is killed before it answers. */
static int run_service(const char *address, const char *context)
{
    struct troth *troth = troth_open(address, NULL);
    struct troth_tx *tx;
    PGconn *payments = PQconnectdb(cluster_conninfo("payments"));
    PGconn *signal = PQconnectdb(cluster_conninfo("payments"));
    if (troth_tx_resume(troth, context, &tx, NULL) != TROTH_OK ||
        troth_join(tx, payments, "payments", NULL) != TROTH_OK)
        return 1;
    desk_do(payments, "insert into charge values ('l-15', 1)");
    if (troth_hand_over(tx, payments, NULL) != TROTH_OK)
        return 1;
    be_killed(signal);
    return 0;
}

static void a_service_that_is_killed_after_it_prepared(struct shop *shop)
{
    for (int commit = 0; commit < 2; commit++) {
        struct desk desk = desk_open(shop);
        desk_begin(&desk, TROTH_2PC, 10000);
        pid_t service = start_again(shop, "service", troth_tx_context(desk.tx));
        wait_for(has_said_ready, NULL, 10, "the service has handed over");
        kill(service, SIGKILL);
        shop_reap(service);
        /* It did not answer; the caller may take it either way. */
        if (commit)
            DESK_OK(&desk, troth_commit(desk.tx, &desk.result));
        else
            DESK_OK(&desk, troth_abort(desk.tx, &desk.result));
        desk_wait_no_locks(2000);
        assert_int_equal(desk_charges("l-15"), commit);
        desk_close(&desk);
    }
}

struct told {
    bool called;
    enum troth_status status;
};

static void on_told(void *self, struct troth_result *result)
{
    struct told *told = self;
    told->called = true;
    told->status = result->status;
}

static void dispatch_until(struct desk *desk, const struct told *told, int limit_ms)
{
    uint64_t end_ms = wait_now_ms() + (uint64_t)limit_ms;
    while (!told->called) {
        struct pollfd file = {.fd = troth_fd(desk->troth), .events = POLLIN};
        if (wait_now_ms() >= end_ms)
            fail_msg("`done` was not called within %d ms", limit_ms);
        poll(&file, 1, 100);
        troth_dispatch(desk->troth);
    }
}

/* The decision is durable and the answer lost: the same End in the next session tells. */
static void a_commit_whose_answer_is_lost_is_resolved(struct shop *shop, const char *point,
                                                      enum troth_status expected)
{
    struct told told = {0};
    shop_kill(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, point);
    shop_wait_connected(shop);
    struct desk desk = desk_open(shop);
    desk_begin(&desk, TROTH_2PC, 15000);
    desk_join_and_charge(&desk, "l-16", 10);
    DESK_OK(&desk,
            troth_execute(desk.tx, "orders.create", "{\"order_id\": \"l-16\"}", &desk.result));
    DESK_OK(&desk, troth_hand_over(desk.tx, desk.connection, &desk.result));
    troth_commit_async(desk.tx, on_told, &told);
    shop_wait_end(shop, COORDINATOR);
    shop_start_all(shop);
    dispatch_until(&desk, &told, 16000);
    assert_int_equal(told.status, expected);
    desk_close(&desk);
    desk_wait_no_locks(3000);
    assert_int_equal(desk_charges("l-16"), expected == TROTH_OK);
    assert_int_equal(orders_and_charges("l-16"), expected == TROTH_OK);
}

static void a_coordinator_that_dies_after_it_decided(struct shop *shop)
{
    a_commit_whose_answer_is_lost_is_resolved(shop, "coordinator.decided", TROTH_OK);
}

static void a_coordinator_that_dies_before_it_decides(struct shop *shop)
{
    a_commit_whose_answer_is_lost_is_resolved(shop, "coordinator.ending", TROTH_ABORTED);
}

int main(int argc, char **argv)
{
    if (argc >= 3 && strcmp(argv[1], "client") == 0)
        return run_client(argv[2]);
    if (argc >= 4 && strcmp(argv[1], "service") == 0)
        return run_service(argv[2], argv[3]);
    const struct CMUnitTest tests[] = {
        SHOP_TEST(a_purchase_in_one_request),
        SHOP_TEST(what_became_of_it_is_told_by_its_id),
        SHOP_TEST(steps_commit_in_two_phases),
        SHOP_TEST(steps_commit_in_three_phases),
        SHOP_TEST(a_step_that_fails_aborts_all),
        SHOP_TEST(without_work_there_is_nothing_to_commit),
        SHOP_TEST(the_deadline_ends_it),
        SHOP_TEST(another_service_takes_part),
        SHOP_TEST(what_a_service_has_not_handed_over_aborts_all),
        SHOP_TEST(a_client_that_is_killed_leaves_no_lock),
        SHOP_TEST(a_service_that_is_killed_after_it_prepared),
        SHOP_TEST(a_coordinator_that_dies_after_it_decided),
        SHOP_TEST(a_coordinator_that_dies_before_it_decides),
    };
    return shop_run("library", tests, sizeof(tests) / sizeof(tests[0]));
}
