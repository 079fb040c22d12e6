/* The sample services (examples/services), which are copied: what they answer when something goes
 * wrong between them. `refused` is final, so it must only be said of what would be refused again.
 */
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>

#include "core/check.h"
#include "examples/services/exchange.h"
#include "include/troth.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/library_desk.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

enum { ANSWER_MS = 10000 };

/* A sample that runs, and who asks it. */
struct sample {
    struct desk desk;
    pid_t pid;
    char address[64];
    struct exchange_line line;
};

static void free_address(char address[64])
{
    snprintf(address, 64, "tcp://127.0.0.1:%d", shop_free_port());
}

static void sample_start(struct sample *sample, const char *const *words, const char *log)
{
    setenv("TROTH_COORDINATOR", sample->desk.shop->addresses[COORDINATOR], 1);
    sample->pid = shop_spawn(sample->desk.shop, words, log, NULL);
    sample->line = (struct exchange_line){sample->address, -1};
}

static void sample_stop(struct sample *sample)
{
    exchange_hang_up(&sample->line);
    assert_int_equal(kill(sample->pid, SIGTERM), 0);
    int status = shop_reap(sample->pid);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 0);
    desk_close(&sample->desk);
}

static char *sample_ask(struct sample *sample, const char *request)
{
    char *answer = exchange_ask(&sample->line, request, ANSWER_MS);
    assert_non_null(answer);
    return answer;
}

static void expect_answer(char *answer, const char *status, const char *code)
{
    char *said = troth_json_get(answer, "status"), *why = troth_json_get(answer, "code");
    if (!said || strcmp(said, status) != 0 || strcmp(why ? why : "", code) != 0)
        fail_msg("%s\n  expected %s %s", answer, status, code);
    free(said);
    free(why);
    free(answer);
}

/* ---- payment-service ----------------------------------------------------------------------- */

/* Takes the place of the agent. */
static void payments_start(struct sample *sample, struct shop *shop)
{
    char config[128];
    *sample = (struct sample){.desk = desk_open(shop)};
    /* The sample notes who has paid. */
    cluster_do("payments", "set client_min_messages = error;"
                           "alter table charge add column if not exists customer text");
    snprintf(config, sizeof(config), "%s/service.yaml", shop->folder);
    shop_write(shop, "service.yaml",
               "cluster: shop\nparticipant: payments\ncoordinators: [%s]\nlisten: %s\n"
               "postgres: {conninfo: \"%s\"}\nsecurity: none\n",
               shop->addresses[COORDINATOR], shop->addresses[PAYMENTS],
               cluster_conninfo("payments"));
    free_address(sample->address);
    const char *words[] = {"examples/services/payment-service",
                           "--config",
                           config,
                           "--listen",
                           sample->address,
                           "--postgres",
                           cluster_conninfo("payments"),
                           NULL};
    shop_stop(shop, PAYMENTS);
    sample_start(sample, words, "payment-service.log");
    shop_wait_connected(shop);
}

static void payments_stop(struct sample *sample)
{
    sample_stop(sample);
    cluster_do("payments", "alter table charge drop column customer");
}

/* Within the transaction of the desk. */
static void expect_charge(struct sample *sample, const char *amount, const char *status,
                          const char *code)
{
    char *request =
        troth_json("{\"context\": %s, \"order_id\": \"x\", \"customer\": \"ada\", \"amount\": %s}",
                   troth_tx_context(sample->desk.tx), amount);
    expect_answer(sample_ask(sample, request), status, code);
    free(request);
}

/* As when the first answer was lost with a connection. */
static void the_same_question_twice_has_failed_and_a_new_transaction_does_it(struct shop *shop)
{
    static const struct {
        enum troth_protocol protocol;
        const char *code;
    } cases[] = {{TROTH_2PC, "55P03"}, {TROTH_3PC, "joined_already"}};
    struct sample sample;
    struct desk *desk = &sample.desk;
    payments_start(&sample, shop);
    for (int i = 0; i < 2; i++) {
        desk_begin(desk, cases[i].protocol, 20000);
        expect_charge(&sample, "10", "done", "");
        expect_charge(&sample, "10", "failed", cases[i].code);
        DESK_OK(desk, troth_abort(desk->tx, &desk->result));
        desk_wait_no_locks(5000);
        assert_int_equal(desk_charges("x"), i);
        desk_begin(desk, cases[i].protocol, 20000);
        expect_charge(&sample, "10", "done", "");
        DESK_OK(desk, troth_commit(desk->tx, &desk->result));
        assert_int_equal(desk_charges("x"), i + 1);
    }
    payments_stop(&sample);
}

static void only_what_is_wrong_with_the_payment_is_refused(struct shop *shop)
{
    struct sample sample;
    struct desk *desk = &sample.desk;
    payments_start(&sample, shop);
    desk_begin(desk, TROTH_2PC, 20000);
    expect_charge(&sample, "1000000", "refused", "insufficient_funds");
    /* That has aborted it. */
    expect_charge(&sample, "10", "failed", "aborted");
    /* PostgreSQL repeats it in its message, which is cut: one of the two within a character. */
    for (size_t shift = 0; shift < 2; shift++) {
        char amount[401] = "x";
        for (size_t at = shift; at + 2 < sizeof(amount); at += 2)
            memcpy(amount + at, "\xc3\xa9", 2);
        desk_begin(desk, TROTH_2PC, 20000);
        expect_charge(&sample, amount, "refused", "22P02");
    }
    payments_stop(&sample);
}

/* ---- order-service ------------------------------------------------------------------------- */

/* In place of the two others: the warehouse has no part, and payments joins and never hands over,
 * as one that was killed and asked again. */
static char *forget(void *self, const char *request)
{
    struct desk *desk = self;
    char *context = troth_json_get(request, "context"), *customer;
    customer = troth_json_get(request, "customer");
    bool joined = !customer ||
                  (troth_tx_resume(desk->troth, context, &desk->tx, &desk->result) == TROTH_OK &&
                   troth_join(desk->tx, desk->connection, "payments", &desk->result) == TROTH_OK);
    free(context);
    free(customer);
    return troth_json("{\"status\": %s}", joined ? "done" : "refused");
}

static void an_order_whose_part_was_not_handed_over_has_failed(struct shop *shop)
{
    struct sample sample = {.desk = desk_open(shop)};
    struct desk forgetful = desk_open(shop);
    void *const selves[] = {&forgetful};
    char others[64];
    cluster_do("orders", "create table purchase (order_id text primary key, customer text,"
                         " sku text, quantity integer, amount numeric)");
    free_address(sample.address);
    free_address(others);
    struct exchange *exchange = exchange_serve(others, forget, 1, selves);
    assert_non_null(exchange);
    const char *words[] = {"examples/services/order-service",
                           "--listen",
                           sample.address,
                           "--postgres",
                           cluster_conninfo("orders"),
                           "--payments",
                           others,
                           "--inventory",
                           others,
                           NULL};
    sample_start(&sample, words, "order-service.log");
    expect_answer(sample_ask(&sample, "{\"request_id\": \"y\", \"customer\": \"ada\", \"sku\":"
                                      " \"lamp\", \"quantity\": 1, \"amount\": 10,"
                                      " \"protocol\": \"2pc\"}"),
                  "failed", "not_handed_over");
    exchange_close(exchange);
    desk_close(&forgetful);
    sample_stop(&sample);
    cluster_do("orders", "drop table purchase");
}

/* ---- place-order --------------------------------------------------------------------------- */

/* First that it is not known, then that it has failed. */
static char *waver(void *self, const char *request)
{
    int *count = self;
    (void)request;
    return troth_json("{\"status\": %s}", (*count)++ == 0 ? "unknown" : "failed");
}

static void a_try_that_failed_does_not_tell_what_became_of_one_before(struct shop *shop)
{
    int count = 0;
    void *const selves[] = {&count};
    char address[64];
    free_address(address);
    struct exchange *exchange = exchange_serve(address, waver, 1, selves);
    assert_non_null(exchange);
    const char *words[] = {"examples/services/place-order",
                           "--at",
                           address,
                           "--timeout",
                           "2",
                           "ada",
                           "lamp",
                           "1",
                           "10",
                           NULL};
    int status = shop_reap(shop_spawn(shop, words, "place-order.log", NULL));
    exchange_close(exchange);
    char *said = shop_file_read(shop, "place-order.log", 0);
    assert_true(count >= 2);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 5);
    assert_non_null(strstr(said, "\"status\": \"unknown\""));
    assert_null(strstr(said, "failed"));
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(the_same_question_twice_has_failed_and_a_new_transaction_does_it),
        SHOP_TEST(only_what_is_wrong_with_the_payment_is_refused),
        SHOP_TEST(an_order_whose_part_was_not_handed_over_has_failed),
        SHOP_TEST(a_try_that_failed_does_not_tell_what_became_of_one_before),
    };
    return shop_run("sample_services", tests, sizeof(tests) / sizeof(tests[0]));
}
