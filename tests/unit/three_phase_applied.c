/* Three-phase commit at the coordinator's runner: a site commits its branch with its acceptance,
 * and says so; in time, late, again, and where it can't be. */
#include "three_phase_kit.h"

static const char *state_of(struct shop *shop, int branch)
{
    return ask(shop->client, WIRE__WHAT__TRANSACTIONS, "", false)
        ->transactions[0]
        ->branches[branch]
        ->state;
}

static void logged(const struct shop *shop, int warnings, int errors)
{
    assert_int_equal(shop->world->logged[LOG_WARNING], warnings);
    assert_int_equal(shop->world->logged[LOG_ERROR], errors);
}

/* ---- it decides ---- */

static void who_has_committed_with_its_acceptance_hears_nothing_more(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose_to_a_majority(&shop, &three);
    struct question question = questioned(shop.orders);
    reply_applied(shop.orders, &question);
    hear_nothing(shop.client);
    assert_string_equal(state_of(&shop, 0), "applied");
    assert_string_equal(state_of(&shop, 1), "committing");
    const Wire__BranchView *view =
        ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true)->transactions[0]->branches[0];
    assert_true(view->ended_us > 0);
    assert_int_equal(server_unapplied(shop.world->server), 1);
    applied(shop.payments);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    hear_nothing(shop.orders);
    /* Its row may be folded like that of who was told. */
    pass(shop.world, 11 * SECOND_US);
    assert_int_equal(hear(shop.orders, WIRE__MESSAGE__BODY_SETTLED)->settled->seqs[0],
                     shop.branch.seq);
    hear_nothing(shop.orders);
    logged(&shop, 0, 0);
    world_free(shop.world);
}

static void the_only_branch_that_wrote_ends_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
    sync_journal(shop.world);
    struct question question = questioned(shop.orders);
    reply_applied(shop.orders, &question);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    hear_nothing(shop.orders);
    hear_nothing(shop.payments);
    reply_applied(shop.orders, &question); /* it is over */
    logged(&shop, 0, 0);
    /* And stays so. */
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(server_undecided(shop.world->server), 0);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void who_waits_for_the_decision_alone_hears_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission how = three;
    how.wait = WIRE__WAIT__DECIDED;
    propose_to_a_majority(&shop, &how);
    struct question question = questioned(shop.orders);
    reply_applied(shop.orders, &question);
    assert_false(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    applied(shop.payments);
    hear_nothing(shop.client);
    world_free(shop.world);
}

/* ---- it comes late ---- */

static void others_were_enough_and_commit_is_on_its_way(void **unused)
{
    (void)unused;
    for (int acknowledged_first = 0; acknowledged_first < 2; acknowledged_first++) {
        struct shop shop = shop_new();
        propose(&shop, &three);
        struct question question = questioned(shop.orders);
        granted(shop.payments, &shop.registers[PAYMENTS]);
        Wire__Branch branch = told(shop.orders, true);
        if (acknowledged_first)
            finish(shop.orders, branch, true, false);
        reply_applied(shop.orders, &question);
        assert_string_equal(state_of(&shop, 0), "applied");
        if (!acknowledged_first)
            finish(shop.orders, branch, true, false); /* what it finds was its own doing */
        assert_string_equal(state_of(&shop, 0), "applied");
        hear_nothing(shop.client);
        applied(shop.payments);
        assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
        finish(shop.orders, branch, true, false); /* once more, and too late */
        hear_nothing(shop.orders);
        logged(&shop, 0, 0);
        world_free(shop.world);
    }
}

static void what_it_was_told_is_owed_no_more_in_its_next_session(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question question = questioned(shop.orders);
    granted(shop.payments, &shop.registers[PAYMENTS]);
    told(shop.orders, true);
    reply_applied(shop.orders, &question);
    leave(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    assert_false(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    open_orders(&shop);
    hear_nothing(shop.orders);
    applied(shop.payments);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    world_free(shop.world);
}

static void its_word_decides_after_the_client_has_heard_unknown(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question question = questioned(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    outcome(shop.client, 1, WIRE__RESULT__UNKNOWN);
    reply_applied(shop.orders, &question);
    questioned(shop.payments);
    applied(shop.payments);
    hear_nothing(shop.client);
    hear_nothing(shop.orders);
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    world_free(shop.world);
}

static void a_restarted_coordinator_takes_it_in_the_middle_of_its_round(void **unused)
{
    (void)unused;
    /* While it gathers promises; while its own acceptance is not durable; while it asks for more.
     */
    for (int stage = 0; stage < 3; stage++) {
        struct shop shop = shop_new();
        propose(&shop, &three);
        struct question question = questioned(shop.orders);
        crash_and_start(shop.world);
        open_shop(&shop);
        assert_int_equal(questioned(shop.orders).ask.question, REGISTER_PROMISE);
        struct question other = questioned(shop.payments);
        if (stage > 0)
            answer_from(shop.payments, &shop.registers[PAYMENTS], &other);
        if (stage > 1) {
            sync_journal(shop.world);
            assert_int_equal(questioned(shop.orders).ask.question, REGISTER_ACCEPT);
            questioned(shop.payments);
        }
        hear_nothing(shop.orders);
        reply_applied(shop.orders, &question);
        applied(shop.payments);
        assert_int_equal(server_undecided(shop.world->server), 0);
        assert_int_equal(server_unapplied(shop.world->server), 0);
        sync_journal(shop.world);
        hear_nothing(shop.orders);
        hear_nothing(shop.payments);
        logged(&shop, 0, 0);
        world_free(shop.world);
    }
}

static void outbid_it_takes_it_too(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question question = questioned(shop.orders), other = questioned(shop.payments);
    struct register_ask promise = {REGISTER_PROMISE, {4, 2}, REGISTER_EMPTY};
    register_answer(&shop.registers[PAYMENTS], &promise);
    answer_from(shop.payments, &shop.registers[PAYMENTS], &other);
    reply_applied(shop.orders, &question);
    applied(shop.payments);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    pass(shop.world, 2 * SECOND_US);
    hear_nothing(shop.payments); /* no round follows */
    world_free(shop.world);
}

/* A crash loses that it is applied: it is told once more, and has it. */
static void a_crash_forgets_it_and_nothing_is_wrong(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose_to_a_majority(&shop, &three);
    struct question question = questioned(shop.orders);
    reply_applied(shop.orders, &question);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    applied(shop.orders);
    applied(shop.payments);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    logged(&shop, 0, 0);
    world_free(shop.world);
}

/* ---- it can't be ---- */

static void what_makes_no_sense_changes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct visitor *stranger = participant(shop.world, 3, "stranger");
    const struct register_state accepted = {.value = REGISTER_COMMIT};
    propose(&shop, &three);
    struct question question = questioned(shop.orders), other = question;
    const struct register_state outbid = {{3, 2}, {0, 0}, REGISTER_COMMIT},
                                rounds = {{1, 0}, {1, 0}, REGISTER_COMMIT}, empty = {{0}},
                                aborted = {{3, 2}, {3, 2}, REGISTER_ABORT};
    reply_so(shop.orders, &question, WIRE__ANSWERED__OUTBID, &outbid, true);
    logged(&shop, 1, 0);
    reply_so(shop.orders, &question, WIRE__ANSWERED__KNOWN, &accepted, true);
    logged(&shop, 2, 0);
    reply_so(shop.orders, &question, WIRE__ANSWERED__ASK_LATER, &accepted, true);
    logged(&shop, 3, 0);
    reply_so(shop.orders, &question, WIRE__ANSWERED__GRANTED, &empty, true);
    logged(&shop, 4, 0);
    reply_so(shop.orders, &question, WIRE__ANSWERED__GRANTED, &aborted, true);
    logged(&shop, 5, 0);
    other.ask.ballot = (struct ballot){1, 0};
    reply_so(shop.orders, &other, WIRE__ANSWERED__GRANTED, &rounds, true);
    logged(&shop, 6, 0);
    other.ask.question = REGISTER_PROMISE;
    reply_so(shop.orders, &other, WIRE__ANSWERED__GRANTED, &rounds, true);
    logged(&shop, 7, 0);
    other = question;
    other.site = 2; /* payments' */
    reply_applied(shop.orders, &other);
    logged(&shop, 8, 0);
    reply_applied(stranger, &question);
    logged(&shop, 9, 0);
    hear_nothing(shop.orders);
    hear_nothing(stranger);
    hear_nothing(shop.client);
    assert_string_equal(state_of(&shop, 0), "prepared");
    assert_int_equal(server_undecided(shop.world->server), 1);
    reply_applied(shop.orders, &question);
    assert_string_equal(state_of(&shop, 0), "applied");
    logged(&shop, 9, 0);
    world_free(shop.world);
}

static void nobody_has_committed_what_was_not_proposed(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    struct question question = {.site = 1, .ask = {REGISTER_ACCEPT, {0, 0}, REGISTER_COMMIT}};
    Wire__Branch branch = asked(shop.orders, WIRE__MODE__PREPARE);
    question.epoch = branch.epoch;
    question.seq = branch.seq;
    vote(shop.orders, branch, WIRE__CHOICE__YES);
    reply_applied(shop.orders, &question); /* payments has not voted */
    logged(&shop, 1, 0);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    reply_applied(shop.orders, &question); /* the proposal is not durable */
    logged(&shop, 2, 0);
    hear_nothing(shop.orders);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    reply_applied(shop.orders, &question);
    logged(&shop, 2, 0);
    assert_string_equal(state_of(&shop, 0), "applied");
    world_free(shop.world);
}

/* Payments was not asked as orders came first. What it holds durably counts, whoever asked for it.
 */
static void who_was_not_asked_and_has_it_all_the_same_is_believed(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose_to_a_majority(&shop, &three);
    struct question question = questioned(shop.orders);
    question.site = 2;
    reply_applied(shop.payments, &question);
    assert_string_equal(state_of(&shop, 1), "applied");
    applied(shop.orders);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    world_free(shop.world);
}

/* ---- somebody broke the protocol ---- */

static void what_is_aborted_and_committed_there_is_a_hazard(void **unused)
{
    (void)unused;
    for (int acknowledged = 0; acknowledged < 2; acknowledged++) {
        struct shop shop = shop_new();
        propose(&shop, &three);
        struct question question = questioned(shop.orders);
        questioned(shop.payments);
        tell_decision(shop.payments, shop.branch, WIRE__VALUE__ABORT);
        outcome(shop.client, 1, WIRE__RESULT__ABORTED);
        Wire__Branch branch = told(shop.orders, false);
        if (acknowledged)
            finish(shop.orders, branch, false, false);
        int warnings = shop.world->logged[LOG_WARNING];
        reply_applied(shop.orders, &question);
        logged(&shop, warnings, 2); /* that it contradicts, and the hazard */
        assert_string_equal(state_of(&shop, 0), "hazard");
        reply_applied(shop.orders, &question); /* listed once */
        logged(&shop, warnings, 3);
        finish(shop.payments, told(shop.payments, false), false, false);
        /* For an operator, also after a restart. */
        sync_journal(shop.world);
        crash_and_start(shop.world);
        open_shop(&shop);
        const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true);
        assert_int_equal(answer->n_transactions, 1);
        assert_string_equal(answer->transactions[0]->branches[0]->state, "hazard");
        assert_string_equal(answer->transactions[0]->branches[0]->participant, "orders");
        world_free(shop.world);
    }
}

static void of_what_is_over_a_contradiction_is_logged(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question question = questioned(shop.orders);
    questioned(shop.payments);
    tell_decision(shop.payments, shop.branch, WIRE__VALUE__ABORT);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    finish(shop.orders, told(shop.orders, false), false, false);
    finish(shop.payments, told(shop.payments, false), false, false);
    int warnings = shop.world->logged[LOG_WARNING];
    reply_applied(shop.orders, &question);
    logged(&shop, warnings, 1);
    question.seq = 4000; /* of which nothing is known */
    reply_applied(shop.orders, &question);
    logged(&shop, warnings, 1);
    world_free(shop.world);
}

/* Four participants and the coordinator: three of them have to accept. */
enum { FIVE = 4 };

struct five {
    struct world *world;
    struct visitor *sites[FIVE], *client;
    struct question questions[FIVE];
    int warnings;
};

static struct five propose_to_five(void)
{
    static const char *const calls[] = {"p0.create", "p1.create", "p2.create", "p3.create", NULL};
    struct five five = {.world = world_new()};
    start(five.world);
    for (int i = 0; i < FIVE; i++) {
        char name[8];
        snprintf(name, sizeof(name), "p%d", i);
        five.sites[i] = participant(five.world, i, name);
        listen_at(five.sites[i], "tcp://127.0.0.1:7100");
    }
    five.client = client(five.world, FIVE);
    submit(five.client, 1, &three, "{}", calls);
    for (int i = 0; i < FIVE; i++)
        vote(five.sites[i], asked(five.sites[i], WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(five.world);
    wait_for_the_first(&(struct shop){.world = five.world});
    for (int i = 0; i < FIVE; i++)
        five.questions[i] = questioned(five.sites[i]);
    five.warnings = five.world->logged[LOG_WARNING];
    return five;
}

static void among_five_sites_it_is_loud_and_counts_as_an_acceptance(void **unused)
{
    (void)unused;
    struct five five = propose_to_five();
    struct register_state fresh = {0};
    reply_applied(five.sites[0], &five.questions[0]);
    assert_int_equal(five.world->logged[LOG_ERROR], 1);
    assert_int_equal(server_undecided(five.world->server), 1);
    hear_nothing(five.sites[1]);
    hear_nothing(five.client);
    answer_from(five.sites[1], &fresh, &five.questions[1]);
    reply_applied(five.sites[2], &five.questions[2]); /* late: that is no better */
    assert_int_equal(five.world->logged[LOG_ERROR], 2);
    for (int i = 0; i < FIVE; i++) {
        hear_nothing(five.client);
        applied(five.sites[i]); /* they are told, and prove it */
    }
    assert_true(outcome(five.client, 1, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(five.world->logged[LOG_WARNING], five.warnings);
    world_free(five.world);
}

static void among_five_sites_an_abort_shows_what_it_has_done(void **unused)
{
    (void)unused;
    struct five five = propose_to_five();
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = five.questions[0].epoch;
    branch.seq = five.questions[0].seq;
    reply_applied(five.sites[0], &five.questions[0]);
    tell_decision(five.sites[1], branch, WIRE__VALUE__ABORT);
    outcome(five.client, 1, WIRE__RESULT__ABORTED);
    /* Its database proves the contrary by the xid. */
    finish(five.sites[0], told(five.sites[0], false), false, true);
    for (int i = 1; i < FIVE; i++)
        finish(five.sites[i], told(five.sites[i], false), false, false);
    const Wire__TransactionView *view =
        ask(five.client, WIRE__WHAT__TRANSACTIONS, "", true)->transactions[0];
    assert_string_equal(view->branches[0]->state, "hazard");
    world_free(five.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_has_committed_with_its_acceptance_hears_nothing_more),
        cmocka_unit_test(the_only_branch_that_wrote_ends_it),
        cmocka_unit_test(who_waits_for_the_decision_alone_hears_it),
        cmocka_unit_test(others_were_enough_and_commit_is_on_its_way),
        cmocka_unit_test(what_it_was_told_is_owed_no_more_in_its_next_session),
        cmocka_unit_test(its_word_decides_after_the_client_has_heard_unknown),
        cmocka_unit_test(a_restarted_coordinator_takes_it_in_the_middle_of_its_round),
        cmocka_unit_test(outbid_it_takes_it_too),
        cmocka_unit_test(a_crash_forgets_it_and_nothing_is_wrong),
        cmocka_unit_test(what_makes_no_sense_changes_nothing),
        cmocka_unit_test(nobody_has_committed_what_was_not_proposed),
        cmocka_unit_test(who_was_not_asked_and_has_it_all_the_same_is_believed),
        cmocka_unit_test(what_is_aborted_and_committed_there_is_a_hazard),
        cmocka_unit_test(of_what_is_over_a_contradiction_is_logged),
        cmocka_unit_test(among_five_sites_it_is_loud_and_counts_as_an_acceptance),
        cmocka_unit_test(among_five_sites_an_abort_shows_what_it_has_done),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
