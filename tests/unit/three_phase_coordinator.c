/* Three-phase commit at the coordinator's runner: how it decides, in time and late, alone and with
 * others who finish the transaction at the same time. */
#include "three_phase_kit.h"

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
    wait_for_the_first(&shop);
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

/* ---- whom it asks first ---- */

static void only_a_majority_is_asked_and_the_others_hear_the_decision(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose_to_a_majority(&shop, &three);
    struct question question = questioned(shop.orders);
    pass(shop.world, 90 * 1000);
    hear_nothing(shop.payments);
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    applied(shop.payments);
    applied(shop.orders);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    pass(shop.world, SECOND_US);
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void all_are_asked_when_a_majority_does_not_answer_soon(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose_to_a_majority(&shop, &three);
    questioned(shop.orders);
    hear_nothing(shop.payments);
    wait_for_the_first(&shop);
    hear_nothing(shop.orders); /* once is enough */
    granted(shop.payments, &shop.registers[PAYMENTS]);
    told(shop.orders, true);
    told(shop.payments, true);
    world_free(shop.world);
}

static void who_can_not_be_counted_on_is_not_asked_first(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    /* It has a row already. */
    submit(shop.client, 1, &three, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    hear_nothing(shop.orders);
    granted(shop.payments, &shop.registers[PAYMENTS]);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    /* It did not answer the last one. */
    struct question late = {0};
    shop.registers[PAYMENTS] = (struct register_state){0};
    for (uint64_t i = 2; i < 4; i++) {
        struct register_state fresh = {0};
        submit(shop.client, i, &three, "{}", both);
        vote_yes(&shop);
        sync_journal(shop.world);
        if (i == 2) {
            late = questioned(shop.orders);
            wait_for_the_first(&shop);
        }
        hear_nothing(shop.orders);
        granted(shop.payments, &fresh);
        told(shop.orders, true);
        applied(shop.payments);
    }
    /* It answers, too late for that one, and is asked again. */
    answer_from(shop.orders, &shop.registers[ORDERS], &late);
    submit(shop.client, 4, &three, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    questioned(shop.orders);
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void each_has_its_turn_to_be_asked_first(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    int changes = 0, of_orders = 0;
    bool was_orders = true;
    for (uint64_t i = 1; i < 4 * 64; i++) {
        struct register_state fresh = {0};
        submit(shop.client, i, &three, "{}", both);
        vote_yes(&shop);
        sync_journal(shop.world);
        bool orders = is_silent(shop.payments);
        granted(orders ? shop.orders : shop.payments, &fresh);
        applied(shop.orders);
        applied(shop.payments);
        outcome(shop.client, i, WIRE__RESULT__COMMITTED);
        changes += orders != was_orders;
        of_orders += orders;
        was_orders = orders;
    }
    assert_int_equal(changes, 3);
    assert_in_range(of_orders, 127, 128);
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
    wait_for_the_first(&shop);
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
            wait_for_the_first(&shop);
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
    rejected(cli, 2, "not_connected"); /* it has told nothing of itself yet: a retry may do */
    listen_at(&world->visitors[1], "");
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
        /* Perhaps its database can. */
        if (i % 2)
            hear(shop.orders, WIRE__MESSAGE__BODY_QUERY);
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

static void a_decision_of_what_is_over_changes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    granted(shop.orders, &shop.registers[ORDERS]);
    questioned(shop.payments);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    tell_decision(shop.orders, shop.branch, WIRE__VALUE__COMMIT);
    assert_int_equal(shop.world->logged[LOG_ERROR], 0);
    tell_decision(shop.orders, shop.branch, WIRE__VALUE__ABORT);
    assert_int_equal(shop.world->logged[LOG_ERROR], 1);
    shop.branch.seq = 4000; /* of which nothing is known */
    tell_decision(shop.orders, shop.branch, WIRE__VALUE__ABORT);
    assert_int_equal(shop.world->logged[LOG_ERROR], 1);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    world_free(shop.world);
}

static void read_only_sites_hear_what_others_had_a_part_in(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    shop.branch = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, shop.branch, WIRE__CHOICE__READ_ONLY);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    wait_for_the_first(&shop);
    others_abort(&shop);
    answer_both(&shop);
    wait_for_the_round(&shop);
    lead_a_round(&shop, REGISTER_ABORT);
    const Wire__Decided *decided = hear(shop.orders, WIRE__MESSAGE__BODY_DECIDED)->decided;
    assert_int_equal(decided->seq, shop.branch.seq);
    assert_int_equal(decided->value, WIRE__VALUE__ABORT);
    told(shop.payments, false);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
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
    assert_int_equal(shop.world->logged[LOG_ERROR], 1);
    tell_decision(shop.payments, shop.branch, WIRE__VALUE__ABORT);
    assert_in_range(shop.world->logged[LOG_ERROR], 2, 3);
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

static bool settled_is_next(const struct visitor *visitor)
{
    const struct queue *messages = &visitor->messages;
    if (messages->head == messages->count)
        return false;
    const struct bytes *packed = &messages->items[messages->head];
    Wire__Message *message = wire__message__unpack(NULL, packed->size, packed->data);
    bool settled = message->body_case == WIRE__MESSAGE__BODY_SETTLED;
    wire__message__free_unpacked(message, NULL);
    return settled;
}

enum { MANY = 1100 };

/* Which of the two was asked for its register, and who was told that it is settled, by id. */
struct settlement {
    struct visitor *asked[MANY + 1];
    bool told[MANY + 1];
    int count;
};

/* It may come between any two messages: each id once, to who was asked. */
static void take_settled_of(struct visitor *visitor, struct settlement *settlement)
{
    while (settled_is_next(visitor)) {
        const Wire__Settled *settled = hear(visitor, WIRE__MESSAGE__BODY_SETTLED)->settled;
        assert_in_range(settled->n_seqs, 1, 512);
        for (size_t i = 0; i < settled->n_seqs; i++) {
            assert_in_range(settled->seqs[i], 1, MANY);
            assert_false(settlement->told[settled->seqs[i]]);
            assert_ptr_equal(settlement->asked[settled->seqs[i]], visitor);
            settlement->told[settled->seqs[i]] = true;
            settlement->count++;
        }
    }
}

static void take_settled(struct shop *shop, struct settlement *settlement)
{
    take_settled_of(shop->orders, settlement);
    take_settled_of(shop->payments, settlement);
}

static void what_is_settled_is_told_in_batches_to_who_was_asked_and_is_there(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct settlement settlement = {0};
    int of_payments = 0;
    for (uint64_t i = 1; i <= MANY; i++) {
        struct register_state fresh = {0};
        submit(shop.client, i, &three, "{}", both);
        take_settled(&shop, &settlement);
        vote_yes(&shop);
        sync_journal(shop.world);
        take_settled(&shop, &settlement);
        settlement.asked[i] = is_silent(shop.orders) ? shop.payments : shop.orders;
        of_payments += settlement.asked[i] == shop.payments;
        granted(settlement.asked[i], &fresh);
        take_settled(&shop, &settlement);
        applied(shop.orders);
        take_settled(&shop, &settlement);
        applied(shop.payments);
        outcome(shop.client, i, WIRE__RESULT__COMMITTED);
    }
    assert_in_range(of_payments, MANY / 3, MANY - MANY / 3);
    assert_in_range(settlement.count, 512, MANY);
    /* What was for a session that is gone is forgotten. */
    int untold = of_payments;
    for (int i = 1; i <= MANY; i++)
        untold -= settlement.told[i] && settlement.asked[i] == shop.payments;
    assert_true(untold > 0);
    leave(shop.payments);
    pass(shop.world, 11 * SECOND_US);
    take_settled_of(shop.orders, &settlement);
    assert_int_equal(settlement.count, MANY - untold);
    open_payments(&shop);
    pass(shop.world, 11 * SECOND_US);
    hear_nothing(shop.payments);
    world_free(shop.world);
}

/* ---- the view ---- */

/* The protocol's word for where the only transaction is. */
static void phase_is(struct shop *shop, const char *phase, const char *state)
{
    const Wire__TransactionView *view =
        ask(shop->client, WIRE__WHAT__TRANSACTIONS, "", false)->transactions[0];
    assert_string_equal(view->phase, phase);
    assert_string_equal(view->state, state);
}

static void the_view_follows_the_three_phases(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission how = three;
    how.wait = WIRE__WAIT__DECIDED;
    for (int i = 0; i < 2; i++) {
        submit(shop.client, 1, &how, "{}", both);
        phase_is(&shop, "can-commit", "voting");
        vote_yes(&shop);
        phase_is(&shop, "pre-commit", "deciding");
        sync_journal(shop.world);
        phase_is(&shop, "pre-commit", "pre-committed");
        questioned(shop.orders);
        tell_decision(shop.orders, shop.branch, i ? WIRE__VALUE__ABORT : WIRE__VALUE__COMMIT);
        outcome(shop.client, 1, i ? WIRE__RESULT__ABORTED : WIRE__RESULT__COMMITTED);
        phase_is(&shop, i ? "" : "do-commit", i ? "aborted" : "committed");
        finish(shop.orders, told(shop.orders, i == 0), i == 0, false);
        finish(shop.payments, told(shop.payments, i == 0), i == 0, false);
        phase_is(&shop, i ? "" : "do-commit", i ? "aborted" : "applied");
    }
    world_free(shop.world);
}

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
    const Wire__TransactionView *outbid =
        ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true)->transactions[0];
    assert_string_equal(outbid->waits_for, "a new round: another site was ahead");
    assert_string_equal(outbid->terminator, "orders");
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
        cmocka_unit_test(only_a_majority_is_asked_and_the_others_hear_the_decision),
        cmocka_unit_test(all_are_asked_when_a_majority_does_not_answer_soon),
        cmocka_unit_test(who_can_not_be_counted_on_is_not_asked_first),
        cmocka_unit_test(each_has_its_turn_to_be_asked_first),
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
        cmocka_unit_test(a_decision_of_what_is_over_changes_nothing),
        cmocka_unit_test(read_only_sites_hear_what_others_had_a_part_in),
        cmocka_unit_test(a_decision_that_contradicts_is_a_hazard),
        cmocka_unit_test(what_is_settled_is_told_in_batches_to_who_was_asked_and_is_there),
        cmocka_unit_test(the_view_follows_the_three_phases),
        cmocka_unit_test(the_view_shows_the_sites_and_what_is_waited_for),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
