/* Sagas that wait, for an operator, for a person or for a new definition, while processes come and
 * go. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/real/support/buyers.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/saga_shop.h"
#include "tests/real/support/saga_start.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

#define ORDER(id, amount)                                                                          \
    "{\"order_id\": \"" id "\", \"customer\": \"ada\", \"sku\": \"lamp\", \"quantity\": 1, "       \
    "\"amount\": " amount "}"
#define REFUND(id) "{\"order_id\": \"" id "\", \"customer\": \"ada\", \"amount\": 60}"

static int order_saga(struct shop *shop, const char *verb, const char *id)
{
    struct said said = shop_say(shop, "saga", verb, id, NULL);
    int code = said.code;
    said_fini(&said);
    return code;
}

/* ---- an operator --------------------------------------------------------------------------- */

/* Nobody can cancel an order. */
static void break_cancel(void)
{
    cluster_do("orders",
               "create or replace function deed_refuse() returns trigger language plpgsql as $$"
               "begin raise exception 'the ledger is closed'; end $$;"
               "create trigger deed_refuse before insert on deed for each row"
               "  when (new.step = 'cancel') execute function deed_refuse()");
}

static void mend_cancel(void)
{
    cluster_do("orders", "drop trigger deed_refuse on deed; drop function deed_refuse()");
}

static void expect_order_completes(struct shop *shop, const char *key, const char *input)
{
    struct saga_start start = {.name = "place-order", .input = input, .key = key, .wait = true};
    assert_int_equal(saga_start(shop, &start, NULL), SAGA_SAID_DONE);
}

static void a_compensation_that_fails_waits_for_an_operator_and_holds_nobody_up(struct shop *shop)
{
    struct saga_start start = {
        .name = "place-order", .input = ORDER("stuck", "100000"), .key = "stuck"};
    saga_id id;
    break_cancel();
    assert_int_equal(saga_start(shop, &start, id), SAGA_SAID_DONE);
    saga_wait_listed(shop, id, "--needs-operator");
    saga_wait_shown(shop, id, "the ledger is closed");
    saga_wait_shown(shop, id, "An operator is needed");
    expect_order_completes(shop, "beside-1", ORDER("beside-1", "1"));
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    saga_wait_listed(shop, id, "--needs-operator");
    expect_order_completes(shop, "beside-2", ORDER("beside-2", "1"));
    assert_int_equal(deed_count("orders", "cancel", "stuck"), 0);
    mend_cancel();
    assert_int_equal(order_saga(shop, "retry", id), SAGA_SAID_DONE);
    assert_int_equal(saga_start_until_ended(shop, &start, NULL), SAGA_SAID_COMPENSATED);
    assert_false(saga_is_listed(shop, id, "--needs-operator"));
    deeds_check_compensated(order_deeds, "stuck");
    assert_int_equal(deed_count("orders", "cancel", "stuck"), 1);
    deeds_check_completed(order_deeds, "beside-1");
    deeds_check_completed(order_deeds, "beside-2");
    saga_books_check();
}

static void an_operator_may_undo_what_waits_and_not_what_is_decided(struct shop *shop)
{
    struct saga_start start = {
        .name = "approve-refund", .input = REFUND("undone"), .key = "undone"};
    struct saga_start order = {
        .name = "place-order", .input = ORDER("decided", "1"), .key = "decided", .wait = true};
    saga_id id;
    assert_int_equal(saga_start(shop, &start, id), SAGA_SAID_DONE);
    saga_wait_shown(shop, id, "signal approval");
    struct said said = shop_say(shop, "saga", "compensate", id, "--reason", "a mistake", NULL);
    assert_int_equal(said.code, SAGA_SAID_DONE);
    said_fini(&said);
    assert_int_equal(saga_start_until_ended(shop, &start, NULL), SAGA_SAID_COMPENSATED);
    deeds_check_compensated(refund_deeds, "undone");
    assert_int_equal(deed_count("orders", "drop_refund_request", "undone"), 1);
    assert_int_equal(saga_start(shop, &order, id), SAGA_SAID_DONE);
    said = shop_say(shop, "saga", "compensate", id, "--reason", "too late", NULL);
    assert_int_equal(said.code, SAGA_SAID_REFUSED);
    said_fini(&said);
    deeds_check_completed(order_deeds, "decided");
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void a_saga_started_twice_with_one_key_is_one_saga(struct shop *shop)
{
    struct saga_start start = {.name = "approve-refund", .input = REFUND("once"), .key = "once"};
    struct saga_start other = {.name = "approve-refund", .input = REFUND("other"), .key = "once"};
    saga_id first, again;
    assert_int_equal(saga_start(shop, &start, first), SAGA_SAID_DONE);
    assert_int_equal(saga_start(shop, &start, again), SAGA_SAID_DONE);
    assert_string_equal(again, first);
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    assert_int_equal(saga_start(shop, &start, again), SAGA_SAID_DONE);
    assert_string_equal(again, first);
    assert_int_equal(saga_start(shop, &other, NULL), SAGA_SAID_REFUSED);
    saga_signal(shop, first, "approval", "{\"approved\": true}");
    assert_int_equal(saga_start_until_ended(shop, &start, again), SAGA_SAID_DONE);
    assert_string_equal(again, first);
    shop_stop(shop, COORDINATOR);
    shop_start_all(shop);
    assert_int_equal(saga_start_until_ended(shop, &start, again), SAGA_SAID_DONE);
    assert_string_equal(again, first);
    deeds_check_completed(refund_deeds, "once");
    assert_int_equal(deed_count("orders", "request_refund", "other"), 0);
    saga_books_check();
}

/* ---- definitions --------------------------------------------------------------------------- */

/* A saga that waits, then leaves the number of its version in the books. */
static void define(struct shop *shop, int version)
{
    shop_write(shop, "sagas/.versioned.new",
               "saga: versioned\nversion: %d\ninput: {id: string}\nsteps:\n"
               "  - {name: go, wait: {signal: go, timeout: 1h}}\n"
               "  - {name: tell, call: orders.notify, kind: pivot,\n"
               "     with: {order_id: \"${ .input.id }\", message: version %d}}\n",
               version, version);
    /* At once, as an editor would: a half of it is never there. */
    char *command = xasprintf("mv '%s/sagas/.versioned.new' '%s/sagas/versioned.yaml'",
                              shop->folder, shop->folder);
    assert_int_equal(system(command), 0);
    free(command);
}

static void begin_versioned(struct shop *shop, const char *key, saga_id id)
{
    char input[64];
    snprintf(input, sizeof(input), "{\"id\": \"%s\"}", key);
    struct saga_start start = {.name = "versioned", .input = input, .key = key};
    assert_int_equal(saga_start(shop, &start, id), SAGA_SAID_DONE);
}

static void expect_version(struct shop *shop, const char *key, const char *id, int version)
{
    char input[64], sql[128];
    snprintf(input, sizeof(input), "{\"id\": \"%s\"}", key);
    struct saga_start start = {.name = "versioned", .input = input, .key = key};
    saga_signal(shop, id, "go", "null");
    assert_int_equal(saga_start_until_ended(shop, &start, NULL), SAGA_SAID_DONE);
    snprintf(sql, sizeof(sql),
             "select count(*) from deed where id = '%s' and step = 'notify'"
             " and detail = 'version %d'",
             key, version);
    assert_int_equal(cluster_value("orders", sql), 1);
    assert_int_equal(deed_count("orders", "notify", key), 1);
}

static void sagas_keep_the_definition_that_they_began_with(struct shop *shop)
{
    saga_id first, second, third, fourth;
    define(shop, 1);
    shop_wait_logged(shop, COORDINATOR, "saga versioned: version 1");
    begin_versioned(shop, "v-first", first);
    begin_versioned(shop, "v-second", second);
    define(shop, 2);
    shop_wait_logged(shop, COORDINATOR, "saga versioned: version 2");
    begin_versioned(shop, "v-third", third);
    expect_version(shop, "v-first", first, 1);
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    expect_version(shop, "v-second", second, 1);
    shop_write(shop, "sagas/versioned.yaml", "saga: versioned\nversion: 3\nsteps: [{}]\n");
    shop_wait_logged(shop, COORDINATOR, "versioned.yaml is refused");
    begin_versioned(shop, "v-fourth", fourth);
    expect_version(shop, "v-third", third, 2);
    expect_version(shop, "v-fourth", fourth, 2);
}

/* ---- many ---------------------------------------------------------------------------------- */

enum { WAITING = 5000 };

static bool all_have_asked(void *self)
{
    (void)self;
    return cluster_value("orders", "select count(*) from deed where step = 'request_refund'") ==
           WAITING;
}

/* The first two of all. */
struct picked {
    char order[2][32];
    saga_id id[2];
    int count;
};

static void pick(void *self, const char *order, const char *id)
{
    struct picked *picked = self;
    if (picked->count == 2)
        return;
    snprintf(picked->order[picked->count], sizeof(picked->order[0]), "%s", order);
    snprintf(picked->id[picked->count++], sizeof(saga_id), "%s", id);
}

static void thousands_that_wait_survive_the_coordinator_and_hold_nobody_up(struct shop *shop)
{
    struct buyers asking = {.in_flight = 64, .seed = 1, .refunds = true, .total = WAITING};
    struct picked picked = {0};
    buyers_start(shop, &asking);
    buyers_wait(shop, &asking, 60);
    assert_int_equal(buyers_count(shop, &asking, 'S'), WAITING);
    wait_for(all_have_asked, NULL, 60, "every refund is asked for");
    expect_order_completes(shop, "crowd-1", ORDER("crowd-1", "1"));
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    expect_order_completes(shop, "crowd-2", ORDER("crowd-2", "1"));
    buyers_visit_told(shop, &asking, 'S', pick, &picked);
    assert_int_equal(picked.count, 2);
    for (int i = 0; i < picked.count; i++) {
        saga_signal(shop, picked.id[i], "approval", "{\"approved\": true}");
        saga_wait_shown(shop, picked.id[i], "completed");
        deeds_check_completed(refund_deeds, picked.order[i]);
    }
    assert_true(all_have_asked(NULL)); /* none of them again */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(a_compensation_that_fails_waits_for_an_operator_and_holds_nobody_up),
        SHOP_TEST(an_operator_may_undo_what_waits_and_not_what_is_decided),
        SHOP_TEST(a_saga_started_twice_with_one_key_is_one_saga),
        SHOP_TEST(sagas_keep_the_definition_that_they_began_with),
        SHOP_TEST(thousands_that_wait_survive_the_coordinator_and_hold_nobody_up),
    };
    shop_use_sagas();
    return shop_run("sagas", tests, sizeof(tests) / sizeof(tests[0]));
}
