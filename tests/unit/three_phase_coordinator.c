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

static void who_was_away_is_asked_in_its_next_session(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    questioned(shop.orders);
    questioned(shop.payments);
    leave(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    hear_nothing(shop.payments);
    open_orders(&shop);
    granted(shop.orders, &shop.registers[ORDERS]);
    told(shop.orders, true);
    told(shop.payments, true);
    world_free(shop.world);
}

static void read_only_sites_are_asked_too(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    questioned(shop.payments);
    applied(shop.payments);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void reading_alone_asks_nobody_unless_a_key_must_be_kept(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = three;
    for (int i = 0; i < 2; i++) {
        keyed.key = i ? "k-1" : NULL;
        submit(shop.client, 1, &keyed, "{}", both);
        vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
        vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
        if (i == 1) {
            sync_journal(shop.world);
            questioned(shop.orders);
            hear_nothing(shop.client);
            granted(shop.payments, &shop.registers[PAYMENTS]);
        }
        assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
        hear_nothing(shop.orders);
    }
    /* It has ended: the restart finds the key and nothing to do. */
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    submit(shop.client, 2, &keyed, "{}", both);
    assert_true(outcome(shop.client, 2, WIRE__RESULT__COMMITTED)->repeated_key);
    assert_int_equal(server_undecided(shop.world->server), 0);
    world_free(shop.world);
}

static void one_branch_without_a_key_stays_in_one_phase(void **unused)
{
    (void)unused;
    struct world *world = world_new();
    const char *const calls[] = {"orders.create", NULL};
    start(world);
    struct visitor *orders = participant(world, 0, "orders"), *cli = client(world, 2);
    submit(cli, 1, &three, "{}", calls);
    vote(orders, asked(orders, WIRE__MODE__ONE_PHASE), WIRE__CHOICE__DONE);
    outcome(cli, 1, WIRE__RESULT__COMMITTED);
    world_free(world);
}

static void what_can_not_be_three_phase_is_rejected(void **unused)
{
    (void)unused;
    struct world *world = world_new();
    const char *calls[LIMIT_SITES + 1] = {NULL};
    char names[LIMIT_SITES][32];
    start(world);
    struct visitor *cli = client(world, LIMIT_SITES);
    for (int i = 0; i < LIMIT_SITES; i++) {
        snprintf(names[i], sizeof(names[i]), "p%d", i);
        struct visitor *visitor = participant(world, i, names[i]);
        strcat(names[i], ".create");
        calls[i] = names[i];
        if (i != 1)
            listen_at(visitor, "tcp://127.0.0.1:7100");
    }
    submit(cli, 1, &three, "{}", calls);
    rejected(cli, 1, "bad_request");
    calls[LIMIT_SITES - 1] = NULL;
    submit(cli, 2, &three, "{}", calls);
    const Wire__Outcome *got = outcome(cli, 2, WIRE__RESULT__REJECTED);
    assert_string_equal(got->problem->code, "no_listen");
    assert_string_equal(got->problem->participant, "p1");
    assert_non_null(strstr(got->problem->hint, "set `listen`"));
    listen_at(&world->visitors[1], "tcp://127.0.0.1:7100");
    submit(cli, 3, &three, "{}", calls);
    assert_int_equal(server_undecided(world->server), 1);
    submit(cli, 4, &(struct submission){.protocol = (Wire__Protocol)7}, "{}", calls);
    rejected(cli, 4, "bad_request");
    world_free(world);
}

/* ---- time ---- */

static void at_the_deadline_the_outcome_is_unknown_and_follows(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    pass(shop.world, 3 * SECOND_US);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__UNKNOWN);
    assert_string_equal(got->problem->code, "no_majority");
    assert_non_null(strstr(got->problem->hint, got->gtrid));
    assert_int_equal(server_undecided(shop.world->server), 1);
    granted(shop.orders, &shop.registers[ORDERS]);
    applied(shop.orders);
    questioned(shop.payments);
    applied(shop.payments);
    hear_nothing(shop.client);
    assert_int_equal(server_undecided(shop.world->server), 0);
    world_free(shop.world);
}

static void each_who_waits_with_the_key_has_its_own_time(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {
        .protocol = WIRE__PROTOCOL__THREE_PHASE, .key = "k-1", .timeout_ms = 2000};
    propose(&shop, &keyed);
    keyed.timeout_ms = 6000;
    submit(shop.client, 2, &keyed, "{}", both);
    keyed.timeout_ms = 1000;
    submit(shop.client, 3, &keyed, "{}", both);
    pass(shop.world, 1200 * 1000);
    outcome(shop.client, 3, WIRE__RESULT__UNKNOWN);
    hear_nothing(shop.client);
    pass(shop.world, SECOND_US);
    assert_false(outcome(shop.client, 1, WIRE__RESULT__UNKNOWN)->repeated_key);
    hear_nothing(shop.client);
    granted(shop.orders, &shop.registers[ORDERS]);
    applied(shop.orders);
    questioned(shop.payments);
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 2, WIRE__RESULT__COMMITTED);
    assert_true(got->repeated_key && got->applied);
    assert_string_equal(got->results[0], "{\"id\":7}");
    world_free(shop.world);
}

static void a_deadline_while_the_proposal_is_written_is_told_after_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote_yes(&shop);
    pass(shop.world, 3 * SECOND_US);
    hear_nothing(shop.client);
    hear_nothing(shop.orders);
    sync_journal(shop.world);
    questioned(shop.orders);
    outcome(shop.client, 1, WIRE__RESULT__UNKNOWN);
    world_free(shop.world);
}

static void who_can_not_answer_yet_is_asked_each_second(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    const struct register_state none = {.value = REGISTER_EMPTY};
    propose(&shop, &three);
    for (int i = 0; i < 3; i++) {
        struct question question = questioned(shop.orders);
        reply_with(shop.orders, &question,
                   i % 2 ? WIRE__ANSWERED__CANNOT_TELL : WIRE__ANSWERED__ASK_LATER, &none);
        pass(shop.world, 800 * 1000);
        hear_nothing(shop.orders);
        pass(shop.world, 400 * 1000);
    }
    granted(shop.orders, &shop.registers[ORDERS]);
    told(shop.orders, true);
    world_free(shop.world);
}

static void a_drain_waits_for_the_clients_and_not_for_a_majority(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    server_drain(shop.world->server);
    run(shop.world);
    sync_journal(shop.world);
    assert_false(server_drained(shop.world->server));
    pass(shop.world, 3 * SECOND_US);
    outcome(shop.client, 1, WIRE__RESULT__UNKNOWN);
    sync_journal(shop.world);
    assert_true(server_drained(shop.world->server));
    world_free(shop.world);
}

/* ---- others finish it ---- */

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

static void outbid_it_takes_what_a_majority_has_accepted(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = three;
    keyed.key = "k-1";
    propose(&shop, &keyed);
    others_abort(&shop);
    answer_both(&shop);
    hear_nothing(shop.orders);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    wait_for_the_round(&shop);
    lead_a_round(&shop, REGISTER_ABORT);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    assert_string_equal(got->problem->code, "overruled");
    finish(shop.orders, told(shop.orders, false), false, false);
    finish(shop.payments, told(shop.payments, false), false, false);
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    /* The key is free again, now and after a restart. */
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    submit(shop.client, 2, &keyed, "{}", both);
    asked(shop.orders, WIRE__MODE__PREPARE);
    world_free(shop.world);
}

static void outbid_by_nobody_who_accepted_it_proposes_commit_again(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct register_ask promise = {REGISTER_PROMISE, {7, 2}, REGISTER_EMPTY};
    propose(&shop, &three);
    register_answer(&shop.registers[ORDERS], &promise);
    register_answer(&shop.registers[PAYMENTS], &promise);
    answer_both(&shop);
    wait_for_the_round(&shop);
    lead_a_round(&shop, REGISTER_COMMIT);
    applied(shop.orders);
    applied(shop.payments);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    world_free(shop.world);
}

static void a_decision_that_others_tell_is_taken(void **unused)
{
    (void)unused;
    for (int i = 0; i < 2; i++) {
        struct shop shop = shop_new();
        propose(&shop, &three);
        questioned(shop.orders);
        struct question question = questioned(shop.payments);
        if (i == 0)
            tell_decision(shop.orders, shop.branch, WIRE__VALUE__COMMIT);
        else
            reply_with(shop.payments, &question, WIRE__ANSWERED__KNOWN,
                       &(struct register_state){.value = REGISTER_ABORT});
        told(shop.orders, i == 0);
        told(shop.payments, i == 0);
        if (i == 1)
            outcome(shop.client, 1, WIRE__RESULT__ABORTED);
        hear_nothing(shop.client);
        world_free(shop.world);
    }
}

static void an_abort_that_others_tell_ends_the_voting_too(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    Wire__Branch branch = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, branch, WIRE__CHOICE__YES);
    tell_decision(shop.orders, branch, WIRE__VALUE__COMMIT); /* it can't be */
    hear_nothing(shop.client);
    tell_decision(shop.orders, branch, WIRE__VALUE__ABORT);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    assert_string_equal(got->problem->code, "overruled");
    told(shop.orders, false);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

static void a_decision_that_contradicts_is_a_hazard(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    granted(shop.orders, &shop.registers[ORDERS]);
    applied(shop.orders);
    tell_decision(shop.orders, shop.branch, WIRE__VALUE__ABORT); /* and is too late to matter */
    hear_nothing(shop.client);
    tell_decision(shop.payments, shop.branch, WIRE__VALUE__ABORT);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__HAZARD);
    assert_string_equal(got->problem->participant, "payments");
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    applied(shop.orders); /* that it was applied is not in the journal */
    hear_nothing(shop.payments);
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true);
    assert_int_equal(answer->n_transactions, 1);
    assert_string_equal(answer->transactions[0]->branches[1]->state, "hazard");
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    world_free(shop.world);
}

/* ---- as a site ---- */

static struct question of_payments(const struct shop *shop, uint32_t round,
                                   enum register_question question)
{
    return (struct question){.epoch = shop->branch.epoch,
                             .seq = shop->branch.seq,
                             .ask = {question, {round, 2}, REGISTER_ABORT}};
}

static void a_question_is_answered_by_what_is_known(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    shop.branch = asked(shop.orders, WIRE__MODE__PREPARE);
    Wire__Branch branch = asked(shop.payments, WIRE__MODE__PREPARE);
    struct question question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question); /* voting */
    replied(shop.payments, WIRE__ANSWERED__ASK_LATER);
    vote(shop.orders, shop.branch, WIRE__CHOICE__YES);
    vote(shop.payments, branch, WIRE__CHOICE__YES);
    question_it(shop.payments, &question); /* the proposal is not durable */
    replied(shop.payments, WIRE__ANSWERED__ASK_LATER);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    questioned(shop.payments);
    told(shop.payments, true);
    question_it(shop.payments, &question); /* committed */
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    applied(shop.orders);
    finish(shop.payments, branch, true, false);
    question_it(shop.payments, &question); /* and ended */
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    question.seq++;
    question_it(shop.payments, &question); /* never given out */
    replied(shop.payments, WIRE__ANSWERED__CANNOT_TELL);
    world_free(shop.world);
}

static void what_was_never_proposed_is_answered_abort(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote_yes(&shop);
    crash_and_start(shop.world); /* the proposal was not durable */
    open_shop(&shop);
    struct question question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__ABORT);
    /* An abort that is still live. */
    submit(shop.client, 2, &three, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    shop.branch = asked(shop.payments, WIRE__MODE__PREPARE);
    vote(shop.payments, shop.branch, WIRE__CHOICE__NO);
    question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__ABORT);
    world_free(shop.world);
}

static void a_promise_is_durable_before_it_is_told_and_kept_after_a_restart(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    questioned(shop.orders);
    questioned(shop.payments);
    struct question first = of_payments(&shop, 3, REGISTER_PROMISE);
    question_it(shop.payments, &first);
    hear_nothing(shop.payments);
    struct question second = of_payments(&shop, 4, REGISTER_PROMISE);
    question_it(shop.payments, &second); /* the newest is what is answered */
    hear_nothing(shop.payments);
    sync_journal(shop.world);
    const Wire__Reply *reply = replied(shop.payments, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->ballot->round, 4);
    assert_int_equal(reply->promised->round, 4);
    assert_int_equal(reply->accepted->round, 0);
    assert_int_equal(reply->value, WIRE__VALUE__COMMIT);
    hear_nothing(shop.payments);
    question_it(shop.payments, &second); /* again: nothing to write */
    replied(shop.payments, WIRE__ANSWERED__GRANTED);
    question_it(shop.payments, &first);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__OUTBID)->promised->round, 4);
    crash_and_start(shop.world);
    open_shop(&shop);
    sync_journal(shop.world);
    assert_int_equal(questioned(shop.orders).ask.ballot.round, 5);
    assert_int_equal(questioned(shop.payments).ask.ballot.round, 5);
    question_it(shop.payments, &second);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__OUTBID)->promised->round, 5);
    world_free(shop.world);
}

static void what_waits_to_be_durable_is_answered_by_the_decision(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question question = of_payments(&shop, 3, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    granted(shop.orders, &shop.registers[ORDERS]);
    questioned(shop.payments);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    told(shop.payments, true);
    sync_journal(shop.world);
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void an_acceptance_for_another_outbids_and_survives(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question accept = of_payments(&shop, 1, REGISTER_ACCEPT);
    question_it(shop.payments, &accept);
    sync_journal(shop.world);
    questioned(shop.payments);
    const Wire__Reply *reply = replied(shop.payments, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->value, WIRE__VALUE__ABORT);
    assert_int_equal(reply->accepted->round, 1);
    crash_and_start(shop.world);
    open_shop(&shop);
    /* Payments has accepted it too, and is away: orders and the coordinator find out. */
    leave(shop.payments);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    sync_journal(shop.world);
    struct question question = granted(shop.orders, &shop.registers[ORDERS]);
    assert_int_equal(question.ask.question, REGISTER_ACCEPT);
    assert_int_equal(question.ask.value, REGISTER_ABORT);
    told(shop.orders, false);
    world_free(shop.world);
}

/* ---- the journal ---- */

static void a_restart_takes_over_what_was_proposed(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.protocol = WIRE__PROTOCOL__THREE_PHASE, .key = "k-1"};
    propose(&shop, &keyed);
    crash_and_start(shop.world);
    assert_int_equal(server_undecided(shop.world->server), 1);
    open_shop(&shop);
    submit(shop.client, 2, &keyed, "{}", both);
    hear_nothing(shop.client);
    lead_a_round(&shop, REGISTER_COMMIT);
    applied(shop.orders);
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 2, WIRE__RESULT__COMMITTED);
    assert_true(got->repeated_key && got->applied);
    assert_string_equal(got->results[1], "{\"id\":7}");
    for (int i = 0; i < 2; i++) {
        sync_journal(shop.world);
        crash_and_start(shop.world);
        open_shop(&shop);
        assert_int_equal(server_undecided(shop.world->server), 0);
        assert_int_equal(server_unapplied(shop.world->server), 0);
        assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
        shop.world->checkpoint_due = true;
        run(shop.world);
    }
    world_free(shop.world);
}

static void a_restart_learns_an_abort_and_forgets_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    crash_and_start(shop.world);
    open_shop(&shop);
    others_abort(&shop);
    answer_both(&shop); /* the first round is below theirs */
    wait_for_the_round(&shop);
    lead_a_round(&shop, REGISTER_ABORT);
    told(shop.orders, false);
    told(shop.payments, false);
    /* While ABORT is not acknowledged it is live; a checkpoint leaves it out. */
    shop.world->checkpoint_due = true;
    run(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void a_checkpoint_keeps_what_was_proposed_with_its_promises(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.protocol = WIRE__PROTOCOL__THREE_PHASE, .key = "k-1"};
    propose(&shop, &keyed);
    struct question promise = of_payments(&shop, 9, REGISTER_PROMISE);
    question_it(shop.payments, &promise); /* not durable when the checkpoint begins */
    shop.world->checkpoint_due = true;
    run(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    submit(shop.client, 2, &keyed, "{}", both);
    sync_journal(shop.world);
    struct question question = questioned(shop.orders);
    assert_int_equal(question.ask.ballot.round, 10);
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    /* Decided, and unapplied at payments: a plain commit from here on. */
    applied(shop.orders);
    shop.world->checkpoint_due = true;
    run(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    hear_nothing(shop.orders);
    assert_int_equal(told(shop.payments, true).seq, shop.branch.seq);
    world_free(shop.world);
}

static void what_was_proposed_is_not_forgotten_however_old(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission how = three;
    propose(&shop, &how);
    Wire__Branch proposed = shop.branch;
    questioned(shop.orders);
    questioned(shop.payments);
    struct question first;
    how.protocol = WIRE__PROTOCOL__TWO_PHASE;
    propose(&shop, &how);
    applied(shop.orders);
    applied(shop.payments);
    for (int i = 0; i < 2; i++) {
        sync_journal(shop.world);
        crash_and_start(shop.world);
        shop.world->now_us += 8ull * 24 * 3600 * SECOND_US; /* longer than commits are kept */
        pass(shop.world, 20 * SECOND_US);
        open_shop(&shop);
        first = questioned(shop.orders);
        assert_int_equal(inquire(shop.orders, proposed)->verdict, WIRE__VERDICT__VERDICT_WAIT);
        assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    }
    others_abort(&shop);
    answer_from(shop.orders, &shop.registers[ORDERS], &first);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    told(shop.orders, false);
    assert_int_equal(inquire(shop.orders, proposed)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

/* ---- what can't be ---- */

static void nonsense_of_a_participant_is_ignored(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    const struct question sound = of_payments(&shop, 1, REGISTER_PROMISE);
    struct question question = questioned(shop.payments);
    const struct register_state state = {.value = REGISTER_COMMIT};
    const struct register_state torn = {.accepted = {1, 1}, .value = REGISTER_COMMIT};
    const struct register_state highest = {.promised = {UINT32_MAX, 1}, .value = REGISTER_COMMIT};
    const struct register_state unknown = {.value = 77}, empty = {.value = REGISTER_EMPTY};
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &torn);
    reply_with(shop.payments, &question, WIRE__ANSWERED__OUTBID, &highest);
    reply_with(shop.payments, &question, WIRE__ANSWERED__OUTBID, &state);
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &unknown);
    reply_with(shop.payments, &question, WIRE__ANSWERED__KNOWN, &empty);
    reply_with(shop.payments, &question, WIRE__ANSWERED__ANSWERED_NONE, &state);
    question.site = 1; /* another's answer */
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &state);
    question.site = 4000;
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &state);
    question.site = 2;
    question.ask.ballot.round = 5; /* to what was not asked */
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED,
               &(struct register_state){.promised = {5, 0}, .value = REGISTER_ABORT});
    question.seq = 4000;
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &state);
    struct question strange = sound;
    strange.site = 1;
    question_it(shop.payments, &strange);
    strange = sound;
    strange.ask.ballot.round = UINT32_MAX - 1;
    question_it(shop.payments, &strange);
    strange = sound;
    strange.ask.ballot.site = 1; /* another's ballot */
    question_it(shop.payments, &strange);
    strange.ask.ballot = (struct ballot){0, 2};
    question_it(shop.payments, &strange);
    strange.ask = (struct register_ask){REGISTER_ACCEPT, {1, 2}, REGISTER_EMPTY};
    question_it(shop.payments, &strange);
    tell_decision(shop.payments, shop.branch, WIRE__VALUE__EMPTY);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    hear_nothing(shop.payments);
    hear_nothing(shop.client);
    question = questioned(shop.orders);
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void an_answer_before_the_question_counts_for_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote_yes(&shop);
    struct question early = {.epoch = shop.branch.epoch,
                             .seq = shop.branch.seq,
                             .site = 2,
                             .ask = {REGISTER_ACCEPT, {0, 0}, REGISTER_COMMIT}};
    const struct register_state state = {.value = REGISTER_COMMIT};
    reply_with(shop.payments, &early, WIRE__ANSWERED__GRANTED, &state);
    hear_nothing(shop.payments);
    hear_nothing(shop.client);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

static void questions_do_not_stand_in_front_of_commits(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission how = three;
    how.timeout_ms = 60000;
    for (uint64_t i = 0; i < LIMIT_OUTSTANDING + 10; i++) {
        submit(shop.client, i, &how, "{}", both);
        vote_yes(&shop);
    }
    sync_journal(shop.world);
    /* Orders answers none of them; it is sent no more than it can bear. */
    assert_int_equal(shop.orders->messages.count - shop.orders->messages.head, LIMIT_OUTSTANDING);
    struct question question = {0};
    for (int i = 0; i < LIMIT_OUTSTANDING; i++) {
        question = questioned(shop.orders);
        questioned(shop.payments);
    }
    how.protocol = WIRE__PROTOCOL__TWO_PHASE;
    submit(shop.client, 4000, &how, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    assert_true(outcome(shop.client, 4000, WIRE__RESULT__COMMITTED)->applied);
    /* An answer makes room for the next. */
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    told(shop.orders, true);
    questioned(shop.orders);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

/* ---- the view ---- */

static void the_view_shows_the_sites_and_what_is_waited_for(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &(struct submission){.protocol = WIRE__PROTOCOL__THREE_PHASE});
    const Wire__TransactionView *view =
        ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true)->transactions[0];
    assert_int_equal(view->protocol, WIRE__PROTOCOL__THREE_PHASE);
    assert_string_equal(view->state, "pre-committed");
    assert_string_equal(view->phase, "pre-commit");
    assert_string_equal(view->waits_for, "a majority: 1 of 3 sites has answered");
    assert_string_equal(view->terminator, "");
    assert_int_equal(view->n_sites, 3);
    assert_string_equal(view->sites[0]->name, "c1");
    assert_true(view->sites[0]->heard);
    assert_int_equal(view->sites[0]->value, WIRE__VALUE__COMMIT);
    assert_string_equal(view->sites[2]->name, "payments");
    assert_string_equal(view->sites[2]->address, "tcp://127.0.0.1:7102");
    assert_true(view->sites[2]->reachable);
    assert_false(view->sites[2]->heard);
    assert_int_equal(view->decided_us, 0);
    struct register_ask promise = {REGISTER_PROMISE, {4, 1}, REGISTER_EMPTY};
    register_answer(&shop.registers[PAYMENTS], &promise);
    struct question question = questioned(shop.payments);
    answer_from(shop.payments, &shop.registers[PAYMENTS], &question);
    leave(shop.orders);
    pass(shop.world, 1900 * 1000); /* orders is missed, the round waits for its own record */
    view = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true)->transactions[0];
    assert_true(view->sites[2]->heard);
    assert_int_equal(view->sites[2]->promised->round, 4);
    assert_string_equal(view->terminator, "c1"); /* at round 5 */
    assert_false(view->sites[1]->reachable);
    assert_string_equal(view->waits_for, "a majority: 0 of 3 sites have answered");
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__PARTICIPANTS, "", false);
    assert_string_equal(answer->participants[1]->listen, "tcp://127.0.0.1:7102");
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(prepare_names_the_sites_and_their_addresses),
        cmocka_unit_test(a_majority_decides_and_each_step_waits_for_the_one_before),
        cmocka_unit_test(who_was_away_is_asked_in_its_next_session),
        cmocka_unit_test(read_only_sites_are_asked_too),
        cmocka_unit_test(reading_alone_asks_nobody_unless_a_key_must_be_kept),
        cmocka_unit_test(one_branch_without_a_key_stays_in_one_phase),
        cmocka_unit_test(what_can_not_be_three_phase_is_rejected),
        cmocka_unit_test(at_the_deadline_the_outcome_is_unknown_and_follows),
        cmocka_unit_test(each_who_waits_with_the_key_has_its_own_time),
        cmocka_unit_test(a_deadline_while_the_proposal_is_written_is_told_after_it),
        cmocka_unit_test(who_can_not_answer_yet_is_asked_each_second),
        cmocka_unit_test(a_drain_waits_for_the_clients_and_not_for_a_majority),
        cmocka_unit_test(outbid_it_takes_what_a_majority_has_accepted),
        cmocka_unit_test(outbid_by_nobody_who_accepted_it_proposes_commit_again),
        cmocka_unit_test(a_decision_that_others_tell_is_taken),
        cmocka_unit_test(an_abort_that_others_tell_ends_the_voting_too),
        cmocka_unit_test(a_decision_that_contradicts_is_a_hazard),
        cmocka_unit_test(a_question_is_answered_by_what_is_known),
        cmocka_unit_test(what_was_never_proposed_is_answered_abort),
        cmocka_unit_test(a_promise_is_durable_before_it_is_told_and_kept_after_a_restart),
        cmocka_unit_test(what_waits_to_be_durable_is_answered_by_the_decision),
        cmocka_unit_test(an_acceptance_for_another_outbids_and_survives),
        cmocka_unit_test(a_restart_takes_over_what_was_proposed),
        cmocka_unit_test(a_restart_learns_an_abort_and_forgets_it),
        cmocka_unit_test(a_checkpoint_keeps_what_was_proposed_with_its_promises),
        cmocka_unit_test(what_was_proposed_is_not_forgotten_however_old),
        cmocka_unit_test(nonsense_of_a_participant_is_ignored),
        cmocka_unit_test(an_answer_before_the_question_counts_for_nothing),
        cmocka_unit_test(questions_do_not_stand_in_front_of_commits),
        cmocka_unit_test(the_view_shows_the_sites_and_what_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
