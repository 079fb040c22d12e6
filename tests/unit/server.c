/* The coordinator's runner, with every other party played by hand. */
#include "server_kit.h"

/* A world with two participants and a client. */
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

/* Up to the point where the record is appended. */
static Wire__Branch vote_yes(struct shop *shop)
{
    Wire__Branch branch = asked(shop->orders, WIRE__MODE__PREPARE);
    vote(shop->orders, branch, WIRE__CHOICE__YES);
    vote(shop->payments, asked(shop->payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    return branch;
}

/* ---- the way of a transaction ---- */

static void nobody_is_told_before_the_record_is_durable(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote_yes(&shop);
    assert_int_equal(shop.world->journal.count, shop.world->durable + 1);
    hear_nothing(shop.orders);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    applied(shop.orders);
    hear_nothing(shop.client);
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    assert_true(got->applied);
    assert_int_equal(got->n_results, 2);
    assert_string_equal(got->results[1], "{\"id\":7}");
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    world_free(shop.world);
}

static void who_waits_for_the_decision_hears_it_before_it_is_applied(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &(struct submission){.wait = WIRE__WAIT__DECIDED}, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    assert_false(got->applied);
    assert_int_equal(got->n_unapplied, 2);
    world_free(shop.world);
}

static void a_no_is_answered_at_once_with_who_and_why(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__NO);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    assert_string_equal(got->problem->participant, "payments");
    assert_string_equal(got->problem->operation, "charge");
    assert_string_equal(got->problem->code, "insufficient_funds");
    hear_nothing(shop.payments);
    finish(shop.orders, told(shop.orders, false), false, false);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

static void a_participant_lost_before_its_vote_aborts(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    leave(shop.payments);
    pass(shop.world, 3 * SECOND_US);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    assert_string_equal(got->problem->code, "session_lost");
    assert_string_equal(got->problem->participant, "payments");
    told(shop.orders, false);
    /* The PREPARE is not sent again. */
    shop.payments = participant(shop.world, 1, "payments");
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void the_deadline_aborts_and_names_who_was_silent(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &(struct submission){.timeout_ms = 2000}, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    pass(shop.world, 1900 * 1000);
    hear_nothing(shop.client);
    pass(shop.world, 200 * 1000);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    assert_string_equal(got->problem->code, "deadline");
    assert_string_equal(got->problem->participant, "payments");
    world_free(shop.world);
}

static void at_the_deadline_a_commit_is_told_with_what_is_not_applied(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &(struct submission){.timeout_ms = 2000}, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    assert_false(got->applied);
    assert_int_equal(got->n_unapplied, 1);
    assert_string_equal(got->unapplied[0], "payments");
    assert_int_equal(server_unapplied(shop.world->server), 1);
    world_free(shop.world);
}

static void a_deadline_while_the_record_is_written_waits_for_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &(struct submission){.timeout_ms = 2000}, "{}", both);
    vote_yes(&shop);
    pass(shop.world, 3 * SECOND_US);
    hear_nothing(shop.client);
    hear_nothing(shop.orders);
    sync_journal(shop.world);
    assert_false(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    told(shop.orders, true);
    world_free(shop.world);
}

static void one_branch_runs_in_one_phase_and_writes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    const char *const calls[] = {"orders.create", "orders.note", NULL};
    submit(shop.client, 1, NULL, "{}", calls);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__ONE_PHASE), WIRE__CHOICE__DONE);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

static void one_phase_lost_is_unknown_until_the_next_session_tells(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    const char *const calls[] = {"orders.create", NULL};
    submit(shop.client, 1, &(struct submission){.timeout_ms = 4000}, "{}", calls);
    Wire__Branch branch = asked(shop.orders, WIRE__MODE__ONE_PHASE);
    leave(shop.orders);
    pass(shop.world, 5 * SECOND_US);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__UNKNOWN);
    char gtrid[LIMIT_GTRID_BYTES + 1];
    snprintf(gtrid, sizeof(gtrid), "%s", got->gtrid);
    assert_string_equal(got->problem->code, "unknown");
    shop.orders = participant(shop.world, 0, "orders");
    const Wire__Lookup *lookup = hear(shop.orders, WIRE__MESSAGE__BODY_LOOKUP)->lookup;
    assert_int_equal(lookup->branch->seq, branch.seq);
    Wire__Found found = WIRE__FOUND__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    found.branch = &branch;
    found.committed = true;
    message.body_case = WIRE__MESSAGE__BODY_FOUND;
    message.found = &found;
    say(shop.orders, &message);
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTION, gtrid, false);
    assert_string_equal(answer->transactions[0]->state, "applied");
    world_free(shop.world);
}

static void reading_alone_writes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
    assert_true(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

/* ---- the door ---- */

static void what_can_not_begin_is_rejected_with_its_reason(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    const char *const unknown[] = {"orders.create", "paymentz.charge", NULL};
    const char *const bad[] = {"or ders.create", NULL};
    const char *const none[] = {NULL};
    const char *many[LIMIT_CALLS + 2] = {NULL};
    submit(shop.client, 1, NULL, "{}", unknown);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__REJECTED);
    assert_string_equal(got->problem->code, "unknown_participant");
    assert_string_equal(got->problem->hint, "did you mean payments?");
    submit(shop.client, 2, NULL, "{}", bad);
    rejected(shop.client, 2, "bad_request");
    submit(shop.client, 3, NULL, "{}", none);
    rejected(shop.client, 3, "bad_request");
    submit(shop.client, 4, &(struct submission){.protocol = WIRE__PROTOCOL__THREE_PHASE}, "{}",
           both);
    rejected(shop.client, 4, "not_connected"); /* where they listen they have not told yet */
    for (int i = 0; i <= LIMIT_CALLS; i++)
        many[i] = "orders.create";
    submit(shop.client, 5, NULL, "{}", many);
    rejected(shop.client, 5, "bad_request");
    offer(shop.payments, "charged");
    submit(shop.client, 6, NULL, "{}", both);
    got = outcome(shop.client, 6, WIRE__RESULT__REJECTED);
    assert_string_equal(got->problem->code, "unknown_operation");
    assert_string_equal(got->problem->hint, "did you mean payments.charged?");
    leave(shop.payments);
    pass(shop.world, 3 * SECOND_US);
    submit(shop.client, 7, NULL, "{}", both);
    rejected(shop.client, 7, "not_connected");
    hear_nothing(shop.orders);
    assert_int_equal(server_undecided(shop.world->server), 0);
    world_free(shop.world);
}

static void another_cluster_is_refused_unless_a_client_names_none(void **unused)
{
    (void)unused;
    struct world *world = world_new();
    make_server(world, "other", "c1");
    start_server(world);
    sync_journal(world);
    struct visitor *visitor = visitor_named(world, 0, "orders", WIRE__ROLE__PARTICIPANT);
    assert_null(transport_peer(visitor->transport));
    assert_non_null(strstr(visitor->closed, "cluster other"));
    world_free(world);
}

static void garbage_and_strange_messages_hurt_nobody(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    uint8_t noise[300];
    for (int i = 0; i < 500; i++) {
        random_bytes(NULL, noise, sizeof(noise));
        server_frame(shop.world->server, 7, noise, (size_t)i % sizeof(noise));
    }
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch branch = asked(shop.orders, WIRE__MODE__PREPARE);
    /* Of another's branch, of none, of nobody's transaction, of what was not asked. */
    Wire__Branch others = branch, beyond = branch, nobodys = branch;
    others.branch = 1;
    beyond.branch = 4000;
    nobodys.seq = 4000;
    vote(shop.orders, others, WIRE__CHOICE__NO);
    vote(shop.orders, beyond, WIRE__CHOICE__NO);
    vote(shop.orders, nobodys, WIRE__CHOICE__NO);
    vote(shop.orders, branch, WIRE__CHOICE__DONE);
    finish(shop.orders, branch, true, false);
    finish(shop.orders, nobodys, true, true);
    hear_nothing(shop.client);
    vote(shop.orders, branch, WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Vote empty = WIRE__VOTE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VOTE;
    message.vote = &empty;
    say(shop.orders, &message);
    assert_non_null(strstr(shop.orders->closed, "may not send"));
    world_free(shop.world);
}

/* ---- keys ---- */

static void the_same_key_gets_the_same_answer_before_and_after_a_restart(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.key = "k-1"};
    submit(shop.client, 1, &keyed, "{\"a\":1}", both);
    submit(shop.client, 2, &keyed, "{\"a\":1}", both);
    submit(shop.client, 3, &keyed, "{\"a\":2}", both);
    rejected(shop.client, 3, "key_conflict");
    vote_yes(&shop);
    hear_nothing(shop.orders);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    assert_false(outcome(shop.client, 1, WIRE__RESULT__COMMITTED)->repeated_key);
    assert_true(outcome(shop.client, 2, WIRE__RESULT__COMMITTED)->repeated_key);
    for (int i = 0; i < 2; i++) {
        submit(shop.client, 4, &keyed, "{\"a\":1}", both);
        const Wire__Outcome *got = outcome(shop.client, 4, WIRE__RESULT__COMMITTED);
        assert_true(got->repeated_key && got->applied);
        assert_int_equal(got->n_results, 2);
        assert_string_equal(got->results[0], "{\"id\":7}");
        hear_nothing(shop.orders);
        sync_journal(shop.world);
        crash_and_start(shop.world);
        open_shop(&shop);
    }
    world_free(shop.world);
}

static void an_aborted_attempt_leaves_no_key(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.key = "k-1"};
    const char *const calls[] = {"payments.charge", NULL};
    submit(shop.client, 1, &keyed, "{}", calls);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__NO);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    submit(shop.client, 2, &keyed, "{}", calls);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.payments);
    assert_false(outcome(shop.client, 2, WIRE__RESULT__COMMITTED)->repeated_key);
    world_free(shop.world);
}

static void a_key_of_a_recovered_commit_waits_until_it_is_applied(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.key = "k-1", .timeout_ms = 5000};
    submit(shop.client, 1, &keyed, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    shop.orders = participant(shop.world, 0, "orders");
    shop.client = client(shop.world, 2);
    applied(shop.orders);
    submit(shop.client, 9, &keyed, "{}", both);
    hear_nothing(shop.client);
    shop.payments = participant(shop.world, 1, "payments");
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 9, WIRE__RESULT__COMMITTED);
    assert_true(got->applied && got->repeated_key);
    assert_string_equal(got->results[1], "{\"id\":7}");
    world_free(shop.world);
}

/* ---- recovery ---- */

static void a_commit_is_told_again_after_a_crash_and_an_undurable_one_is_aborted(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    submit(shop.client, 2, NULL, "{}", both);
    told(shop.orders, true);
    told(shop.payments, true);
    Wire__Branch undurable = vote_yes(&shop);
    uint64_t epoch = server_epoch(shop.world->server);
    crash_and_start(shop.world);
    assert_true(server_epoch(shop.world->server) > epoch);
    assert_int_equal(server_unapplied(shop.world->server), 1);
    open_shop(&shop);
    applied(shop.orders);
    applied(shop.payments);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    assert_int_equal(inquire(shop.orders, undurable)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

static void what_is_owed_goes_out_in_slices(void **unused)
{
    (void)unused;
    enum { MANY = 3000 };
    struct shop shop = shop_new();
    for (uint64_t i = 0; i < MANY; i++) {
        submit(shop.client, i, &(struct submission){.wait = WIRE__WAIT__DECIDED}, "{}", both);
        vote_yes(&shop);
    }
    sync_journal(shop.world);
    crash_and_start(shop.world);
    assert_int_equal(server_unapplied(shop.world->server), MANY);
    open_shop(&shop);
    size_t first = shop.orders->messages.count;
    assert_int_equal(first, LIMIT_OUTSTANDING);
    uint64_t last = 0;
    for (int i = 0; i < MANY; i++) {
        Wire__Branch branch = told(shop.orders, true);
        assert_true(branch.seq > last);
        last = branch.seq;
        finish(shop.orders, branch, true, false);
        applied(shop.payments);
    }
    hear_nothing(shop.orders);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    world_free(shop.world);
}

static void what_was_sent_to_a_lost_session_is_sent_again_in_order(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    for (uint64_t i = 0; i < 3; i++) {
        submit(shop.client, i, NULL, "{}", both);
        vote_yes(&shop);
        sync_journal(shop.world);
        told(shop.orders, true);
        told(shop.payments, true);
    }
    leave(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    shop.orders = participant(shop.world, 0, "orders");
    for (uint64_t i = 1; i <= 3; i++)
        assert_int_equal(told(shop.orders, true).seq, i);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void verdicts_follow_what_is_known(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch branch = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, branch, WIRE__CHOICE__YES);
    assert_int_equal(inquire(shop.orders, branch)->verdict, WIRE__VERDICT__VERDICT_WAIT);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    assert_int_equal(inquire(shop.orders, branch)->verdict, WIRE__VERDICT__VERDICT_WAIT);
    sync_journal(shop.world);
    told(shop.orders, true);
    const Wire__Judged *judged = inquire(shop.orders, branch);
    assert_int_equal(judged->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    assert_int_equal(judged->xid, 700);
    finish(shop.orders, branch, true, false);
    applied(shop.payments);
    /* Ended, and remembered: a database that went back in time may ask. */
    assert_int_equal(inquire(shop.orders, branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    Wire__Branch future = branch, old = branch;
    future.seq = 50;
    old.epoch = 1;
    assert_int_equal(inquire(shop.orders, future)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    assert_int_equal(inquire(shop.orders, old)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(inquire(shop.orders, branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    world_free(shop.world);
}

static void a_checkpoint_alone_recovers_everything(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &(struct submission){.key = "done"}, "{}", both);
    Wire__Branch ended = vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    submit(shop.client, 2, &(struct submission){.key = "half"}, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    told(shop.payments, true);
    submit(shop.client, 3, NULL, "{}", both);
    vote_yes(&shop); /* appended, and not durable when the checkpoint begins */
    shop.world->checkpoint_due = true;
    sync_journal(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    assert_int_equal(server_unapplied(shop.world->server), 2);
    open_shop(&shop);
    /* Of "half" only payments is owed, of the third both. */
    assert_int_equal(told(shop.orders, true).seq, 3);
    assert_int_equal(told(shop.payments, true).seq, 2);
    assert_int_equal(told(shop.payments, true).seq, 3);
    assert_int_equal(inquire(shop.orders, ended)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    Wire__Branch before = ended;
    before.epoch--;
    assert_int_equal(inquire(shop.orders, before)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    submit(shop.client, 4, &(struct submission){.key = "done"}, "{}", both);
    assert_true(outcome(shop.client, 4, WIRE__RESULT__COMMITTED)->repeated_key);
    world_free(shop.world);
}

static void a_hazard_is_told_and_listed_also_after_a_restart(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    finish(shop.orders, told(shop.orders, true), true, true);
    const Wire__Outcome *got = outcome(shop.client, 1, WIRE__RESULT__HAZARD);
    assert_string_equal(got->problem->participant, "orders");
    applied(shop.payments);
    for (int i = 0; i < 3; i++) {
        const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true);
        assert_int_equal(answer->n_transactions, 1);
        assert_string_equal(answer->transactions[0]->state, i == 1 ? "committed" : "hazard");
        assert_string_equal(answer->transactions[0]->branches[0]->state, "hazard");
        assert_string_equal(answer->transactions[0]->problem->detail, "it was rolled back by hand");
        if (i == 1) { /* that the other one is applied was in memory only: told again */
            hear_nothing(shop.orders);
            applied(shop.payments);
            continue;
        }
        sync_journal(shop.world);
        if (i == 0)
            crash_and_start(shop.world);
        if (i == 0)
            open_shop(&shop);
    }
    world_free(shop.world);
}

static void a_hazard_of_an_ended_transaction_is_listed_again(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch branch = vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    finish(shop.orders, branch, true, true);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true);
    assert_int_equal(answer->n_transactions, 1);
    assert_string_equal(answer->transactions[0]->state, "hazard");
    assert_int_equal(inquire(shop.orders, branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void two_hazards_of_an_ended_transaction_are_listed_as_one(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch branch = vote_yes(&shop), other = branch;
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    finish(shop.orders, branch, true, true);
    other.branch = 1;
    finish(shop.payments, other, true, true);
    sync_journal(shop.world);
    for (int i = 0; i < 2; i++) {
        const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true);
        assert_int_equal(answer->n_transactions, 1);
        assert_int_equal(answer->transactions[0]->n_branches, 2);
        assert_string_equal(answer->transactions[0]->state, "hazard");
        if (i == 0)
            crash_and_start(shop.world);
        if (i == 0)
            open_shop(&shop);
    }
    world_free(shop.world);
}

static void a_journal_of_another_coordinator_is_refused(void **unused)
{
    (void)unused;
    struct world *world = world_new();
    struct error error = {0};
    start(world);
    server_free(world->server);
    make_server(world, "shop", "c2");
    assert_false(replay_all(world, &error));
    assert_string_equal(error.message, "the journal belongs to another coordinator");
    assert_non_null(strstr(error.detail, "c1"));
    server_free(world->server);
    make_server(world, "shop", "c1");
    assert_false(server_replay(world->server, "\xff\xff\xff", 3, &error));
    assert_int_equal(error.kind, ERROR_CORRUPT);
    world_free(world);
}

/* ---- the end, and the view ---- */

static void a_drain_lets_the_undecided_end_and_rejects_the_new(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    server_drain(shop.world->server);
    submit(shop.client, 2, NULL, "{}", both);
    rejected(shop.client, 2, "draining");
    vote_yes(&shop);
    sync_journal(shop.world);
    assert_false(server_drained(shop.world->server));
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    assert_false(server_drained(shop.world->server));
    pass(shop.world, SECOND_US);
    sync_journal(shop.world);
    assert_true(server_drained(shop.world->server));
    world_free(shop.world);
}

static void a_client_that_is_gone_stops_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    leave(shop.client);
    pass(shop.world, 3 * SECOND_US);
    vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    world_free(shop.world);
}

static void the_view_shows_who_is_there_and_what_is_in_doubt(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", true);
    assert_int_equal(answer->n_transactions, 1);
    const Wire__TransactionView *view = answer->transactions[0];
    assert_string_equal(view->state, "voting");
    assert_string_equal(view->branches[0]->state, "prepared");
    assert_int_equal(view->branches[0]->xid, 700);
    assert_string_equal(view->branches[0]->operations[0], "create");
    assert_string_equal(view->branches[1]->state, "waiting");
    answer = ask(shop.client, WIRE__WHAT__PARTICIPANTS, "", false);
    assert_int_equal(answer->n_participants, 2);
    assert_string_equal(answer->participants[0]->name, "orders");
    assert_true(answer->participants[0]->connected);
    assert_int_equal(answer->participants[1]->working, 1);
    answer = ask(shop.client, WIRE__WHAT__COORDINATOR, "", false);
    assert_int_equal(answer->coordinator->undecided, 1);
    assert_string_equal(answer->coordinator->name, "c1");
    answer = ask(shop.client, WIRE__WHAT__TRANSACTION, "shop.c1.1700000005.77", false);
    assert_string_equal(answer->problem->code, "held");
    answer = ask(shop.client, WIRE__WHAT__TRANSACTION, "nonsense", false);
    assert_string_equal(answer->problem->code, "bad_request");
    world_free(shop.world);
}

static void a_long_list_is_cut_and_the_rest_counted(void **unused)
{
    (void)unused;
    enum { MANY = 150 };
    struct shop shop = shop_new();
    for (uint64_t i = 0; i < MANY; i++)
        submit(shop.client, i, NULL, "{}", both);
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__TRANSACTIONS, "", false);
    assert_in_range(answer->n_transactions, 50, 100);
    assert_int_equal(answer->n_transactions + answer->more, MANY);
    assert_non_null(strstr(answer->transactions[0]->gtrid, ".150"));
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nobody_is_told_before_the_record_is_durable),
        cmocka_unit_test(who_waits_for_the_decision_hears_it_before_it_is_applied),
        cmocka_unit_test(a_no_is_answered_at_once_with_who_and_why),
        cmocka_unit_test(a_participant_lost_before_its_vote_aborts),
        cmocka_unit_test(the_deadline_aborts_and_names_who_was_silent),
        cmocka_unit_test(at_the_deadline_a_commit_is_told_with_what_is_not_applied),
        cmocka_unit_test(a_deadline_while_the_record_is_written_waits_for_it),
        cmocka_unit_test(one_branch_runs_in_one_phase_and_writes_nothing),
        cmocka_unit_test(one_phase_lost_is_unknown_until_the_next_session_tells),
        cmocka_unit_test(reading_alone_writes_nothing),
        cmocka_unit_test(what_can_not_begin_is_rejected_with_its_reason),
        cmocka_unit_test(another_cluster_is_refused_unless_a_client_names_none),
        cmocka_unit_test(garbage_and_strange_messages_hurt_nobody),
        cmocka_unit_test(the_same_key_gets_the_same_answer_before_and_after_a_restart),
        cmocka_unit_test(an_aborted_attempt_leaves_no_key),
        cmocka_unit_test(a_key_of_a_recovered_commit_waits_until_it_is_applied),
        cmocka_unit_test(a_commit_is_told_again_after_a_crash_and_an_undurable_one_is_aborted),
        cmocka_unit_test(what_is_owed_goes_out_in_slices),
        cmocka_unit_test(what_was_sent_to_a_lost_session_is_sent_again_in_order),
        cmocka_unit_test(verdicts_follow_what_is_known),
        cmocka_unit_test(a_checkpoint_alone_recovers_everything),
        cmocka_unit_test(a_hazard_is_told_and_listed_also_after_a_restart),
        cmocka_unit_test(a_hazard_of_an_ended_transaction_is_listed_again),
        cmocka_unit_test(two_hazards_of_an_ended_transaction_are_listed_as_one),
        cmocka_unit_test(a_journal_of_another_coordinator_is_refused),
        cmocka_unit_test(a_drain_lets_the_undecided_end_and_rejects_the_new),
        cmocka_unit_test(a_client_that_is_gone_stops_nothing),
        cmocka_unit_test(the_view_shows_who_is_there_and_what_is_in_doubt),
        cmocka_unit_test(a_long_list_is_cut_and_the_rest_counted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
