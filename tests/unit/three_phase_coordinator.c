/* Three-phase commit at the coordinator's runner: the registers of its participants are played by
 * hand. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "server_kit.h"

enum { ORDERS, PAYMENTS, SITES };

/* A world with two participants, their registers of the one transaction, and a client. */
struct shop {
    struct world *world;
    struct visitor *orders, *payments, *client;
    struct register_state registers[SITES];
    Wire__Branch branch; /* of orders */
};

static void open_orders(struct shop *shop)
{
    shop->orders = participant(shop->world, 0, "orders");
    listen_at(shop->orders, "tcp://127.0.0.1:7101");
}

static void open_payments(struct shop *shop)
{
    shop->payments = participant(shop->world, 1, "payments");
    listen_at(shop->payments, "tcp://127.0.0.1:7102");
}

static void open_shop(struct shop *shop)
{
    open_orders(shop);
    open_payments(shop);
    shop->client = client(shop->world, 2);
}

static struct shop shop_new(void)
{
    struct shop shop = {.world = world_new()};
    start(shop.world);
    open_shop(&shop);
    return shop;
}

static const struct submission three = {.protocol = WIRE__PROTOCOL__THREE_PHASE,
                                        .timeout_ms = 2000};

/* Up to the point where the proposal is appended. */
static void vote_yes(struct shop *shop)
{
    shop->branch = asked(shop->orders, WIRE__MODE__PREPARE);
    vote(shop->orders, shop->branch, WIRE__CHOICE__YES);
    vote(shop->payments, asked(shop->payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
}

/* Up to the point where the sites are asked. */
static void propose(struct shop *shop, const struct submission *how)
{
    submit(shop->client, 1, how, "{}", both);
    vote_yes(shop);
    sync_journal(shop->world);
}

/* ---- the way of a transaction ---- */

static void prepare_names_the_sites_and_their_addresses(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    const Wire__Prepare *prepare = hear(shop.payments, WIRE__MESSAGE__BODY_PREPARE)->prepare;
    assert_int_equal(prepare->n_sites, 2);
    assert_string_equal(prepare->sites[0]->participant, "orders");
    assert_string_equal(prepare->sites[0]->address, "tcp://127.0.0.1:7101");
    assert_string_equal(prepare->sites[1]->participant, "payments");
    assert_string_equal(prepare->sites[1]->address, "tcp://127.0.0.1:7102");
    assert_int_equal(prepare->branch->branch, 1);
    assert_in_range(prepare->begun_us, INT64_C(1700000000) * SECOND_US, INT64_MAX);
    world_free(shop.world);
}

static void a_majority_decides_and_each_step_waits_for_the_one_before(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote_yes(&shop);
    assert_int_equal(shop.world->journal.count, shop.world->durable + 1);
    hear_nothing(shop.orders);
    sync_journal(shop.world);
    hear_nothing(shop.client);
    struct question question = granted(shop.payments, &shop.registers[PAYMENTS]);
    assert_int_equal(question.site, 2);
    assert_int_equal(question.ask.question, REGISTER_ACCEPT);
    assert_int_equal(question.ask.value, REGISTER_COMMIT);
    assert_int_equal(question.ask.ballot.round + question.ask.ballot.site, 0);
    /* Two of three. Orders, which has not answered, is told like the other. */
    questioned(shop.orders);
    applied(shop.payments);
    hear_nothing(shop.client);
    applied(shop.orders);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    pass(shop.world, 11 * SECOND_US);
    const Wire__Settled *settled = hear(shop.orders, WIRE__MESSAGE__BODY_SETTLED)->settled;
    assert_int_equal(settled->n_seqs, 1);
    assert_int_equal(settled->seqs[0], shop.branch.seq);
    assert_int_equal(settled->epoch, shop.branch.epoch);
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepare_names_the_sites_and_their_addresses),
        cmocka_unit_test(a_majority_decides_and_each_step_waits_for_the_one_before),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
