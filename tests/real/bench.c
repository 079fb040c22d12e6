/* troth bench on real processes: what it says was done is what the databases hold, of a mix of
 * transactions and sagas, with some that must fail, and while the coordinator is killed. */
#include <signal.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/saga_shop.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

/* ---- figures ------------------------------------------------------------------------------- */

/* What --json printed. */
static struct json *figures_of(struct said *said, int code)
{
    struct error error = {0};
    struct json *json = json_parse(said->output, strlen(said->output), &error);
    if (!json || said->code != code)
        fail_msg("exit code %d, not %d: %s", said->code, code, said->output);
    said_fini(said);
    return json;
}

static int64_t number(const struct json *json, const char *name)
{
    const struct json *member = json_member(json, name);
    assert_non_null(member);
    assert_int_equal(member->type, JSON_NUMBER);
    return atoll(member->text);
}

static const struct json *entry(const struct json *json, const char *name)
{
    const struct json *mix = json_member(json, "mix");
    for (int i = 0; i < mix->count; i++) {
        if (strcmp(json_member(&mix->items[i], "name")->text, name) == 0)
            return &mix->items[i];
    }
    fail_msg("no figures of %s", name);
    return NULL;
}

/* Those of an entry that ended so, at this participant and with this code. */
static int64_t missed(const struct json *entry, const char *ended, const char *participant,
                      const char *code)
{
    const struct json *reasons = json_member(entry, "not_done");
    for (int i = 0; i < reasons->count; i++) {
        const struct json *reason = &reasons->items[i], *at = json_member(reason, "participant");
        if (strcmp(json_member(reason, "ended")->text, ended) == 0 &&
            strcmp(at->text ? at->text : "", participant) == 0 &&
            strcmp(json_member(reason, "code")->text, code) == 0)
            return number(reason, "count");
    }
    return 0;
}

static void latencies_are_in_order(const struct json *entry)
{
    static const char *const names[] = {"p50", "p90", "p99", "p99_9", "max"};
    const struct json *latencies = json_member(entry, "latency_us");
    int64_t before = 1;
    assert_int_equal(latencies->type, JSON_OBJECT);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        assert_true(number(latencies, names[i]) >= before);
        before = number(latencies, names[i]);
    }
}

/* Rows whose id begins with this and the run. */
static int64_t rows(const char *participant, const char *table, const char *id, const char *prefix,
                    const struct json *json)
{
    char *sql = xasprintf("select count(*) from %s where %s like '%s-%s-%%'", table, id, prefix,
                          json_member(json, "run")->text);
    int64_t count = cluster_value(participant, sql);
    free(sql);
    return count;
}

/* ---- tests --------------------------------------------------------------------------------- */

static const char mix[] =
    "in_flight: 8\n"
    "count: 400\n"
    "values: {customer: \"c${ cycle(0, 31) }\", sku: \"s${ cycle(0, 31) }\"}\n"
    "mix:\n"
    "  - name: buy\n"
    "    weight: 5\n"
    "    branches:\n"
    "      - {call: orders.create, with: {order_id: \"a-${ run }-${ seq }\", sku: x,\n"
    "         customer: \"${ customer }\", quantity: 1, amount: 1}}\n"
    "      - {call: payments.charge, with: {order_id: \"a-${ run }-${ seq }\", amount: 1,\n"
    "         customer: \"${ customer }\"}}\n"
    "  - name: buy-3pc\n"
    "    weight: 2\n"
    "    protocol: 3pc\n"
    "    key: \"${ uuid }\"\n"
    "    branches:\n"
    "      - {call: payments.charge, with: {order_id: \"b-${ run }-${ seq }\", amount: 1,\n"
    "         customer: \"${ customer }\"}}\n"
    "      - {call: inventory.reserve, with: {order_id: \"b-${ run }-${ seq }\", quantity: 1,\n"
    "         sku: \"${ sku }\"}}\n"
    "  - name: too-much\n"
    "    branches:\n"
    "      - {call: inventory.reserve, with: {order_id: \"c-${ run }-${ seq }\", quantity: 1,\n"
    "         sku: \"${ sku }\"}}\n"
    "      - {call: payments.charge, with: {order_id: \"c-${ run }-${ seq }\", customer: ada,\n"
    "         amount: \"${ random(5000.00, 9000) }\"}}\n"
    "  - name: same-key\n"
    "    key: \"k-${ run }-${ pick(0) }\"\n"
    "    branches: [{call: payments.hurry, with: {id: \"d-${ run }-1\"}}]\n"
    "  - saga: place-order\n"
    "    input: {order_id: \"e-${ run }-${ seq }\", customer: \"${ customer }\",\n"
    "            sku: \"${ sku }\", quantity: 1, amount: 1}\n";

static void what_it_counts_is_in_the_databases(struct shop *shop)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/mix.yaml", shop->folder);
    shop_write(shop, "mix.yaml", "%s", mix);
    struct said said = shop_say(shop, "bench", path, "--json", NULL);
    struct json *json = figures_of(&said, 0);
    const struct json *same = entry(json, "same-key");
    assert_int_equal(number(json, "begun"), 400);
    assert_int_equal(number(entry(json, "buy"), "done"), 200);
    assert_int_equal(rows("orders", "orders", "id", "a", json), 200);
    assert_int_equal(rows("payments", "charge", "order_id", "a", json), 200);
    assert_int_equal(number(entry(json, "buy-3pc"), "done"), 80);
    assert_int_equal(rows("inventory", "reservation", "order_id", "b", json), 80);
    assert_int_equal(number(entry(json, "too-much"), "done"), 0);
    assert_int_equal(missed(entry(json, "too-much"), "aborted", "payments", "insufficient_funds"),
                     40);
    assert_int_equal(rows("inventory", "reservation", "order_id", "c", json), 0);
    assert_int_equal(number(same, "done"), 1);
    assert_int_equal(missed(same, "repeated", "", "repeated_key"), 39);
    assert_int_equal(rows("payments", "deed", "id", "d", json), 1);
    assert_int_equal(number(entry(json, "place-order"), "done"), 40);
    assert_int_equal(rows("orders", "deed", "step = 'confirm' and id", "e", json), 40);
    assert_int_equal(number(json_member(json, "all"), "done"), 321);
    assert_int_equal(number(json_member(json, "all"), "not_done"), 79);
    latencies_are_in_order(entry(json, "buy"));
    latencies_are_in_order(json_member(json, "all"));
    json_free(json);
}

/* The sample, shorter: as text. */
static void the_sample_runs(struct shop *shop)
{
    cluster_do("payments", "insert into account values ('eve', 1000), ('joe', 1000)");
    struct said said = shop_say(shop, "bench", TROTH_SOURCE "/examples/bench.yaml", "--count", "55",
                                "--in-flight", "4", NULL);
    assert_int_equal(said.code, 0);
    said_has(&said, "purchase        30");
    said_has(&said, "purchase-3pc    10");
    said_has(&said, "quote           10");
    said_has(&said, "place-order      5");
    said_has(&said, "all             55");
    said_fini(&said);
    cluster_do("payments", "delete from account where customer in ('eve', 'joe')");
}

struct loaded {
    struct shop *shop;
    int64_t least;
};

static bool has_orders(void *self)
{
    const struct loaded *loaded = self;
    return cluster_value("orders", "select count(*) from orders") >= loaded->least;
}

static pid_t begin_load(struct shop *shop, int *output, const char *more)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/load.yaml", shop->folder);
    shop_write(shop, "load.yaml",
               "in_flight: 4\n"
               "mix:\n"
               "  - branches:\n"
               "      - {call: orders.create, with: {order_id: \"a-${ run }-${ seq }\", sku: x,\n"
               "         customer: ada, quantity: 1, amount: 1}}\n"
               "      - {call: inventory.ship, with: {order_id: \"a-${ run }-${ seq }\"}}\n");
    const char *words[] = {"bench", path, "--json", "--duration", "60s", more, NULL};
    return shop_command_begin(shop, words, output);
}

/* Ctrl-C: the figures so far; what they count is there. */
static void a_signal_ends_it_with_the_figures_so_far(struct shop *shop)
{
    int output;
    struct loaded loaded = {shop, 20};
    pid_t pid = begin_load(shop, &output, "--rate=100/s");
    wait_for(has_orders, &loaded, 20, "the load has begun");
    assert_int_equal(kill(pid, SIGINT), 0);
    struct said said = shop_command_end(pid, output);
    struct json *json = figures_of(&said, 0);
    assert_int_equal(json_member(json, "interrupted")->type, JSON_TRUE);
    assert_int_equal(number(json, "left_in_flight"), 0);
    assert_true(number(entry(json, "orders.create"), "done") >= 20);
    assert_int_equal(rows("orders", "orders", "id", "a", json),
                     number(entry(json, "orders.create"), "done"));
    json_free(json);
}

/* The coordinator dies and comes back: what was in flight is unknown, the rest goes on. */
static void a_lost_coordinator_is_told_and_waited_for(struct shop *shop)
{
    int output;
    struct loaded loaded = {shop, 20};
    pid_t pid = begin_load(shop, &output, NULL);
    wait_for(has_orders, &loaded, 20, "the load has begun");
    shop_kill(shop, COORDINATOR);
    shop_start(shop, COORDINATOR, NULL);
    shop_wait_ready(shop);
    loaded.least = cluster_value("orders", "select count(*) from orders") + 20;
    wait_for(has_orders, &loaded, 20, "the load goes on");
    assert_int_equal(kill(pid, SIGINT), 0);
    struct said said = shop_command_end(pid, output);
    struct json *json = figures_of(&said, 5);
    const struct json *figures = entry(json, "orders.create");
    int64_t unknown = missed(figures, "unknown", "", "session_lost");
    assert_in_range(unknown, 1, 4);
    books_wait_settled(shop);
    int64_t there = rows("orders", "orders", "id", "a", json);
    assert_in_range(there, number(figures, "done"), number(figures, "done") + unknown);
    json_free(json);
}

static void mistakes_are_told_before_anything_is_sent(struct shop *shop)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/wrong.yaml", shop->folder);
    shop_write(shop, "wrong.yaml",
               "mix:\n"
               "  - branches: [{call: orders.crate}]\n"
               "  - branches: [{call: payments.refund, with: {order_id: \"${ seq }\"}}]\n");
    said_expect(shop_say(shop, "bench", path, NULL), 2,
                "wrong.yaml:2:23: orders has no operation crate; did you mean create?",
                "wrong.yaml:3:23: payments.refund needs the argument amount (numeric)",
                "wrong.yaml:3:57: payments.refund: order_id (text) takes a string");
    shop_write(shop, "wrong.yaml", "mix: [{saga: place-orders}]\n");
    said_expect(shop_say(shop, "bench", path, NULL), 2, "unknown_saga", "place-order", NULL);
    shop_write(
        shop, "wrong.yaml",
        "count: 5\n"
        "mix: [{branches: [{call: payments.quote, with: {customer: nobody, amount: 1}}]}]\n");
    said_expect(shop_say(shop, "bench", path, NULL), 1, "no_such_account", "payments", NULL);
    said_expect(shop_say_to(shop, shop->addresses[ORDERS], "bench", path, NULL), 2,
                "is where participant orders listens", NULL, NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(what_it_counts_is_in_the_databases),
        SHOP_TEST(the_sample_runs),
        SHOP_TEST(a_signal_ends_it_with_the_figures_so_far),
        SHOP_TEST(a_lost_coordinator_is_told_and_waited_for),
        SHOP_TEST(mistakes_are_told_before_anything_is_sent),
    };
    shop_use_sagas();
    return shop_run("bench", tests, sizeof(tests) / sizeof(tests[0]));
}
