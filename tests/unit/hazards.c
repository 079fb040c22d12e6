/* What is left of transactions that are over: hazards of several branches, keys that were taken
 * again, and what participants say of it. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "server_kit.h"

struct shop {
    struct world *world;
    struct visitor *orders, *payments, *client;
};

static void open_shop(struct shop *shop)
{
    shop->orders = participant(shop->world, 0, "orders");
    shop->payments = participant(shop->world, 1, "payments");
    shop->client = client(shop->world, 2);
}

static struct shop shop_new(void)
{
    struct shop shop = {.world = world_new()};
    start(shop.world);
    open_shop(&shop);
    return shop;
}

/* One transaction in the list, with a hazard at both branches. */
static void both_are_listed(struct shop *shop)
{
    const Wire__Answer *answer = ask(shop->client, WIRE__WHAT__TRANSACTIONS, "", true);
    assert_int_equal(answer->n_transactions, 1);
    const Wire__TransactionView *view = answer->transactions[0];
    assert_string_equal(view->state, "hazard");
    assert_int_equal(view->n_branches, 2);
    assert_string_equal(view->branches[0]->participant, "orders");
    assert_string_equal(view->branches[0]->state, "hazard");
    assert_string_equal(view->branches[1]->participant, "payments");
    assert_string_equal(view->branches[1]->state, "hazard");
}

static void are_listed_after_restarts_and_a_checkpoint(struct shop *shop)
{
    both_are_listed(shop);
    sync_journal(shop->world);
    crash_and_start(shop->world);
    open_shop(shop);
    both_are_listed(shop);
    shop->world->checkpoint_due = true;
    run(shop->world);
    sync_journal(shop->world);
    drop_what_the_checkpoint_replaced(shop->world);
    crash_and_start(shop->world);
    open_shop(shop);
    both_are_listed(shop);
}

static void an_abort_can_have_a_hazard_at_every_branch(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &(struct submission){.timeout_ms = 2000}, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    asked(shop.payments, WIRE__MODE__PREPARE);
    pass(shop.world, 2100 * 1000);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    finish(shop.orders, told(shop.orders, false), false, true);
    finish(shop.payments, told(shop.payments, false), false, true);
    are_listed_after_restarts_and_a_checkpoint(&shop);
    world_free(shop.world);
}

static void a_commit_that_ended_can_have_a_hazard_at_every_branch(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch order = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, order, WIRE__CHOICE__YES);
    Wire__Branch payment = asked(shop.payments, WIRE__MODE__PREPARE);
    vote(shop.payments, payment, WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    finish(shop.orders, order, true, true);
    finish(shop.payments, payment, true, true);
    are_listed_after_restarts_and_a_checkpoint(&shop);
    assert_int_equal(inquire(shop.orders, order)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    world_free(shop.world);
}

static void what_a_participant_says_of_the_past_decides_nothing_for_others(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch order = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, order, WIRE__CHOICE__YES);
    Wire__Branch payment = asked(shop.payments, WIRE__MODE__PREPARE);
    leave(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    vote(shop.payments, payment, WIRE__CHOICE__NO);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    finish(shop.payments, payment, true, true);
    shop.orders = participant(shop.world, 0, "orders");
    assert_int_equal(inquire(shop.orders, order)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

static void a_key_that_expired_can_be_taken_again(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    const char *const calls[] = {"payments.charge", NULL};
    const struct submission keyed = {.key = "k-1"};
    for (uint64_t i = 1; i <= 2; i++) {
        submit(shop.client, i, &keyed, "{}", calls);
        vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
        sync_journal(shop.world);
        applied(shop.payments);
        assert_false(outcome(shop.client, i, WIRE__RESULT__COMMITTED)->repeated_key);
        sync_journal(shop.world);
        if (i == 2)
            break;
        leave(shop.orders);
        leave(shop.payments);
        leave(shop.client);
        shop.world->now_us += 8ull * 24 * 3600 * SECOND_US; /* longer than keys are kept */
        pass(shop.world, 20 * SECOND_US);
        open_shop(&shop);
    }
    crash_and_start(shop.world);
    open_shop(&shop);
    submit(shop.client, 3, &keyed, "{}", calls);
    const Wire__Outcome *got = outcome(shop.client, 3, WIRE__RESULT__COMMITTED);
    assert_true(got->repeated_key);
    assert_non_null(strstr(got->gtrid, ".2"));
    hear_nothing(shop.payments);
    world_free(shop.world);
}

/* A transaction that is committed and ended at one participant's end; returns its branch there. */
static Wire__Branch commit(struct shop *shop)
{
    submit(shop->client, 1, NULL, "{}", both);
    Wire__Branch order = asked(shop->orders, WIRE__MODE__PREPARE);
    vote(shop->orders, order, WIRE__CHOICE__YES);
    vote(shop->payments, asked(shop->payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop->world);
    applied(shop->orders);
    applied(shop->payments);
    outcome(shop->client, 1, WIRE__RESULT__COMMITTED);
    return order;
}

static void what_an_older_copy_of_the_journal_never_saw_is_held(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    Wire__Branch seen = commit(&shop);
    sync_journal(shop.world);
    size_t copied = shop.world->durable;
    crash_and_start(shop.world);
    open_shop(&shop);
    Wire__Branch lost = commit(&shop);
    pass(shop.world, 5 * SECOND_US);
    shop.world->durable = copied;
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_true(lost.epoch > seen.epoch && lost.epoch < server_epoch(shop.world->server));
    assert_int_equal(inquire(shop.orders, seen)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    assert_int_equal(inquire(shop.orders, lost)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    world_free(shop.world);
}

static void the_epochs_of_earlier_runs_survive_a_checkpoint(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch undecided = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, undecided, WIRE__CHOICE__YES);
    for (int i = 0; i < 3; i++) {
        crash_and_start(shop.world);
        open_shop(&shop);
        assert_int_equal(inquire(shop.orders, undecided)->verdict, WIRE__VERDICT__VERDICT_ABORT);
        shop.world->checkpoint_due = true;
        sync_journal(shop.world);
        sync_journal(shop.world);
        drop_what_the_checkpoint_replaced(shop.world);
    }
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(an_abort_can_have_a_hazard_at_every_branch),
        cmocka_unit_test(a_commit_that_ended_can_have_a_hazard_at_every_branch),
        cmocka_unit_test(what_a_participant_says_of_the_past_decides_nothing_for_others),
        cmocka_unit_test(a_key_that_expired_can_be_taken_again),
        cmocka_unit_test(what_an_older_copy_of_the_journal_never_saw_is_held),
        cmocka_unit_test(the_epochs_of_earlier_runs_survive_a_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
