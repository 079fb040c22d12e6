/* Three-phase commit at the coordinator's runner: a shop whose participants' registers are played
 * by hand. */
#ifndef TROTH_TESTS_UNIT_THREE_PHASE_KIT_H
#define TROTH_TESTS_UNIT_THREE_PHASE_KIT_H

#pragma GCC diagnostic ignored "-Wunused-function" /* the kits have more than each test needs */
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

/* Until the coordinator has no patience any more with those whom it asked first. */
static void wait_for_the_first(struct shop *shop)
{
    pass(shop->world, 100 * 1000);
}

/* Up to the point where a majority is asked. */
static void propose_to_a_majority(struct shop *shop, const struct submission *how)
{
    submit(shop->client, 1, how, "{}", both);
    vote_yes(shop);
    sync_journal(shop->world);
}

/* Up to the point where all sites are asked. */
static void propose(struct shop *shop, const struct submission *how)
{
    propose_to_a_majority(shop, how);
    wait_for_the_first(shop);
}

/* The sites answer an Ask of each, until the coordinator asks no more in this turn. */
static void answer_both(struct shop *shop)
{
    struct question of_orders = questioned(shop->orders), of_payments = questioned(shop->payments);
    answer_from(shop->orders, &shop->registers[ORDERS], &of_orders);
    answer_from(shop->payments, &shop->registers[PAYMENTS], &of_payments);
}

/* Payments has finished it with orders: abort, accepted at a ballot of its own. */
static void others_abort(struct shop *shop)
{
    struct register_ask accept = {REGISTER_ACCEPT, {1, 2}, REGISTER_ABORT};
    register_answer(&shop->registers[ORDERS], &accept);
    register_answer(&shop->registers[PAYMENTS], &accept);
}

/* Some time after it was outbid; nobody is asked before the own promise is durable. */
static void wait_for_the_round(struct shop *shop)
{
    assert_int_equal(shop->world->journal.count, shop->world->durable);
    pass(shop->world, 1100 * 1000);
    assert_int_equal(shop->world->journal.count, shop->world->durable + 1);
    hear_nothing(shop->orders);
    sync_journal(shop->world);
}

/* Both sites promise, at a ballot above all, and then accept what they brought. */
static void lead_a_round(struct shop *shop, enum register_value value)
{
    size_t appended = shop->world->journal.count;
    assert_int_equal(appended, shop->world->durable);
    struct question question = questioned(shop->payments);
    assert_int_equal(question.ask.question, REGISTER_PROMISE);
    answer_from(shop->payments, &shop->registers[PAYMENTS], &question);
    questioned(shop->orders);
    hear_nothing(shop->payments); /* the own acceptance is not durable */
    assert_int_equal(shop->world->journal.count, appended + 1);
    sync_journal(shop->world);
    question = questioned(shop->orders);
    assert_int_equal(question.ask.question, REGISTER_ACCEPT);
    assert_int_equal(question.ask.value, value);
    answer_from(shop->orders, &shop->registers[ORDERS], &question);
    questioned(shop->payments);
}

static struct question of_payments(const struct shop *shop, uint32_t round,
                                   enum register_question question)
{
    return (struct question){.epoch = shop->branch.epoch,
                             .seq = shop->branch.seq,
                             .ask = {question, {round, 2}, REGISTER_ABORT}};
}

#endif
