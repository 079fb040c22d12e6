/* Several clients that wait for one transaction, by its key: each within its own time. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "server_kit.h"

struct shop {
    struct world *world;
    struct visitor *orders, *payments, *client;
    uint64_t submitted_us;
};

static struct shop shop_new(void)
{
    struct shop shop = {.world = world_new()};
    start(shop.world);
    shop.orders = participant(shop.world, 0, "orders");
    shop.payments = participant(shop.world, 1, "payments");
    shop.client = client(shop.world, 2);
    shop.submitted_us = shop.world->now_us;
    return shop;
}

static void ask_again(struct shop *shop, uint64_t request, uint32_t timeout_ms)
{
    struct submission keyed = {.key = "k-1", .timeout_ms = timeout_ms};
    submit(shop->client, request, &keyed, "{}", both);
}

static void vote_yes(struct shop *shop)
{
    vote(shop->orders, asked(shop->orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    vote(shop->payments, asked(shop->payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
}

/* Committed, and applied at orders only. */
static void commit_half(struct shop *shop)
{
    vote_yes(shop);
    sync_journal(shop->world);
    applied(shop->orders);
}

/* So long after the first submit. */
static void wait_until(struct shop *shop, uint64_t ms)
{
    uint64_t until_us = shop->submitted_us + ms * 1000;
    assert_true(until_us > shop->world->now_us);
    pass(shop->world, until_us - shop->world->now_us);
}

static void answered(struct shop *shop, uint64_t request, bool applied)
{
    const Wire__Outcome *got = outcome(shop->client, request, WIRE__RESULT__COMMITTED);
    assert_int_equal(got->applied, applied);
    assert_int_equal(got->n_unapplied, applied ? 0 : 1);
}

static void who_joins_a_commit_does_not_postpone_the_answer_of_others(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    ask_again(&shop, 1, 2000);
    commit_half(&shop);
    wait_until(&shop, 1000);
    ask_again(&shop, 2, 2000);
    wait_until(&shop, 1800);
    ask_again(&shop, 3, 9000);
    hear_nothing(shop.client);
    wait_until(&shop, 2300);
    answered(&shop, 1, false);
    hear_nothing(shop.client);
    wait_until(&shop, 3300);
    answered(&shop, 2, false);
    hear_nothing(shop.client);
    applied(shop.payments);
    answered(&shop, 3, true);
    world_free(shop.world);
}

static void who_joined_before_the_decision_has_its_own_time_too(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    ask_again(&shop, 1, 2000);
    ask_again(&shop, 2, 6000);
    ask_again(&shop, 3, 1000);
    commit_half(&shop);
    hear_nothing(shop.client);
    wait_until(&shop, 1300);
    answered(&shop, 3, false);
    wait_until(&shop, 2300);
    answered(&shop, 1, false);
    hear_nothing(shop.client);
    applied(shop.payments);
    answered(&shop, 2, true);
    world_free(shop.world);
}

static void a_record_that_comes_late_answers_only_those_whose_time_is_up(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    ask_again(&shop, 1, 2000);
    vote_yes(&shop);
    wait_until(&shop, 3000);
    ask_again(&shop, 2, 2000);
    sync_journal(shop.world);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    assert_int_equal(got->n_unapplied, 2);
    hear_nothing(shop.client);
    applied(shop.orders);
    wait_until(&shop, 5300);
    answered(&shop, 2, false);
    world_free(shop.world);
}

static void the_deadline_of_the_first_submit_aborts_for_all(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    ask_again(&shop, 1, 2000);
    ask_again(&shop, 2, 9000);
    wait_until(&shop, 2300);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    outcome(shop.client, 2, WIRE__RESULT__ABORTED);
    world_free(shop.world);
}

static void more_than_may_wait_are_rejected_and_hurt_nobody(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    for (uint64_t i = 1; i <= LIMIT_WAITERS; i++)
        ask_again(&shop, i, 2000);
    hear_nothing(shop.client);
    ask_again(&shop, 1000, 2000);
    rejected(shop.client, 1000, "busy");
    commit_half(&shop);
    ask_again(&shop, 1001, 2000);
    rejected(shop.client, 1001, "busy");
    applied(shop.payments);
    for (uint64_t i = 1; i <= LIMIT_WAITERS; i++)
        answered(&shop, i, true);
    ask_again(&shop, 1002, 2000);
    answered(&shop, 1002, true);
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_joins_a_commit_does_not_postpone_the_answer_of_others),
        cmocka_unit_test(who_joined_before_the_decision_has_its_own_time_too),
        cmocka_unit_test(a_record_that_comes_late_answers_only_those_whose_time_is_up),
        cmocka_unit_test(the_deadline_of_the_first_submit_aborts_for_all),
        cmocka_unit_test(more_than_may_wait_are_rejected_and_hurt_nobody),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
