/* Transactions that are built step by step: their life, from Begin to what became of them. */
#include "open_kit.h"

/* ---- the way of one ---- */

static void operations_are_performed_and_then_continued(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    perform(&shop, gtrid, shop.payments, "payments.charge");
    struct work again = perform(&shop, gtrid, shop.orders, "orders.note");
    assert_int_equal(again.branch.branch, 0);
    assert_int_equal(again.number, 2);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    say_end(shop.client, 9, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 9, WIRE__RESULT__COMMITTED);
    assert_true(got->applied);
    assert_string_equal(got->gtrid, gtrid);
    assert_int_equal(got->n_results, 0);
    assert_false(got->results_dropped);
    world_free(shop.world);
}

static void what_was_joined_is_adopted(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    gid_text gid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_join(shop.service, 3, gtrid, "payments");
    const Wire__Progress *joined = progress(shop.service, 3);
    snprintf(gid, sizeof(gid), "troth.%s.1", gtrid);
    assert_int_equal(joined->branch, 1);
    assert_string_equal(joined->gid, gid);
    assert_string_equal(joined->database, "71/16385");
    assert_in_range(joined->timeout_ms, 29000, 30000);
    say_hand_over(shop.service, 4, gtrid, 1, 4711, NULL);
    progress(shop.service, 4);
    hear_nothing(shop.payments);
    say_end(shop.client, 9, gtrid, true);
    vote(shop.payments, adopted(shop.payments, 4711), WIRE__CHOICE__YES);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    hear_nothing(shop.service);
    world_free(shop.world);
}

static void who_wrote_nothing_is_not_asked(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    join(&shop, shop.service, gtrid, "payments", 0);
    join(&shop, shop.client, gtrid, "orders", 4711);
    say_end(shop.client, 9, gtrid, true);
    hear_nothing(shop.payments);
    vote(shop.orders, adopted(shop.orders, 4711), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void reading_alone_writes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    join(&shop, shop.service, gtrid, "payments", 0);
    perform(&shop, gtrid, shop.orders, "orders.note");
    say_end(shop.client, 9, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__READ_ONLY);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    /* All of them joined, and none wrote. */
    begin(&shop, NULL, gtrid);
    join(&shop, shop.client, gtrid, "orders", 0);
    say_end(shop.client, 9, gtrid, true);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void one_in_which_nobody_took_part_is_committed_at_once(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    for (int i = 0; i < 2; i++) {
        begin(&shop, &(struct submission){.protocol = (Wire__Protocol)i}, gtrid);
        say_end(shop.client, 2, gtrid, true);
        assert_true(outcome(shop.client, 2, WIRE__RESULT__COMMITTED)->applied);
        say_end(shop.service, 3, gtrid, true);
        assert_string_equal(outcome(shop.service, 3, WIRE__RESULT__COMMITTED)->gtrid, gtrid);
    }
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

static void one_branch_takes_both_phases(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 9, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 9, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void in_two_phases_each_join_is_a_branch_and_all_operations_of_one_are_one(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    assert_int_equal(join(&shop, shop.service, gtrid, "orders", 11), 0);
    assert_int_equal(perform(&shop, gtrid, shop.orders, "orders.create").branch.branch, 1);
    assert_int_equal(join(&shop, shop.client, gtrid, "orders", 12), 2);
    assert_int_equal(perform(&shop, gtrid, shop.orders, "orders.note").branch.branch, 1);
    say_end(shop.client, 9, gtrid, true);
    Wire__Branch first = adopted(shop.orders, 11);
    assert_int_equal(first.branch, 0);
    Wire__Branch second = asked(shop.orders, WIRE__MODE__CONTINUE);
    assert_int_equal(second.branch, 1);
    vote(shop.orders, adopted(shop.orders, 12), WIRE__CHOICE__YES);
    vote(shop.orders, second, WIRE__CHOICE__YES);
    vote(shop.orders, first, WIRE__CHOICE__YES);
    sync_journal(shop.world);
    for (int i = 0; i < 3; i++)
        applied(shop.orders);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    world_free(shop.world);
}

/* ---- three phases ---- */

static const Wire__Prepare *prepare_of_site(struct visitor *visitor, Wire__Mode mode)
{
    const Wire__Prepare *body = hear(visitor, WIRE__MESSAGE__BODY_PREPARE)->prepare;
    assert_int_equal(body->mode, mode);
    assert_int_equal(body->n_sites, 2);
    assert_string_equal(body->sites[0]->participant, "orders");
    assert_string_equal(body->sites[0]->address, "tcp://127.0.0.1:7501");
    assert_string_equal(body->sites[1]->participant, "payments");
    return body;
}

static void in_three_phases_both_kinds_of_branches_are_sites(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    struct register_state registers[1] = {0};
    begin(&shop, &(struct submission){.protocol = WIRE__PROTOCOL__THREE_PHASE}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    join(&shop, shop.service, gtrid, "payments", 4711);
    say_end(shop.client, 9, gtrid, true);
    assert_int_equal(prepare_of_site(shop.orders, WIRE__MODE__CONTINUE)->xid, 0);
    assert_int_equal(prepare_of_site(shop.payments, WIRE__MODE__ADOPT)->xid, 4711);
    vote(shop.orders, branch_of(gtrid, 0), WIRE__CHOICE__YES);
    vote(shop.payments, branch_of(gtrid, 1), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    /* One of the two makes a majority with the coordinator; the other one is spared. */
    granted(is_silent(shop.orders) ? shop.payments : shop.orders, registers);
    assert_string_equal(
        ask(shop.client, WIRE__WHAT__TRANSACTION, gtrid, false)->transactions[0]->decision,
        "commit");
    applied(shop.orders);
    applied(shop.payments);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    world_free(shop.world);
}

static void in_three_phases_a_participant_has_one_branch_and_is_reachable(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, &(struct submission){.protocol = WIRE__PROTOCOL__THREE_PHASE}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    perform(&shop, gtrid, shop.orders, "orders.note"); /* the same branch */
    say_join(shop.client, 5, gtrid, "orders");
    assert_string_equal(refused(shop.client, 5, "joined_already")->participant, "orders");
    report(shop.payments, "71/16385", "");
    say_join(shop.client, 6, gtrid, "payments");
    refused(shop.client, 6, "no_listen");
    say_perform(shop.client, 7, gtrid, "payments.charge");
    refused(shop.client, 7, "no_listen");
    report(shop.payments, "71/16385", "tcp://127.0.0.1:7502");
    say_join(shop.client, 8, gtrid, "payments");
    progress(shop.client, 8);
    say_join(shop.client, 9, gtrid, "payments");
    refused(shop.client, 9, "joined_already");
    say_perform(shop.client, 10, gtrid, "payments.charge");
    refused(shop.client, 10, "joined_already");
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void a_site_that_nobody_reaches_any_more_can_not_vote(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, &(struct submission){.protocol = WIRE__PROTOCOL__THREE_PHASE}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    join(&shop, shop.service, gtrid, "payments", 4711);
    report(shop.payments, "71/16385", "");
    say_end(shop.client, 9, gtrid, true);
    assert_string_equal(aborted(shop.client, 9, "no_listen")->participant, "payments");
    told(shop.orders, false);
    told(shop.payments, false);
    world_free(shop.world);
}

/* ---- what aborts it ---- */

static void an_operation_that_fails_aborts_all_of_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    join(&shop, shop.service, gtrid, "orders", 4711);
    say_perform(shop.client, 5, gtrid, "payments.charge");
    struct work work = worked_at(shop.payments, "charge");
    say_worked(shop.payments, &work, "", "insufficient_funds");
    const Wire__Problem *problem = aborted(shop.client, 5, "insufficient_funds");
    assert_string_equal(problem->participant, "payments");
    assert_string_equal(problem->operation, "charge");
    finish(shop.orders, told(shop.orders, false), false, false);
    finish(shop.orders, told(shop.orders, false), false, false);
    finish(shop.payments, told(shop.payments, false), false, false);
    /* Everybody who asks later hears the same. */
    say_perform(shop.service, 6, gtrid, "orders.note");
    aborted(shop.service, 6, "insufficient_funds");
    say_join(shop.service, 7, gtrid, "orders");
    aborted(shop.service, 7, "insufficient_funds");
    say_hand_over(shop.service, 8, gtrid, 1, 4711, NULL);
    aborted(shop.service, 8, "insufficient_funds");
    say_end(shop.client, 9, gtrid, true);
    aborted(shop.client, 9, "insufficient_funds");
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

static void what_postgresql_said_at_prepare_reaches_everybody(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    say_join(shop.service, 3, gtrid, "payments");
    progress(shop.service, 3);
    say_hand_over(shop.service, 4, gtrid, 0, 0, "23505");
    assert_string_equal(aborted(shop.service, 4, "23505")->participant, "payments");
    told(shop.payments, false); /* it may be prepared all the same */
    say_end(shop.client, 9, gtrid, true);
    assert_string_equal(aborted(shop.client, 9, "23505")->message, "it could not be prepared");
    world_free(shop.world);
}

/* A participant that misses the branch would look what became of that xid, and take it for ours. */
static void an_xid_that_only_a_client_has_told_is_told_to_nobody_but_who_adopts(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    join(&shop, shop.service, gtrid, "payments", 4711);
    say_end(shop.client, 8, gtrid, false);
    aborted(shop.client, 8, "aborted");
    assert_int_equal(hear(shop.payments, WIRE__MESSAGE__BODY_FINISH)->finish->xid, 0);
    begin(&shop, NULL, gtrid);
    join(&shop, shop.service, gtrid, "payments", 4711);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 9, gtrid, true);
    adopted(shop.payments, 4711);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__NO);
    aborted(shop.client, 9, "insufficient_funds");
    assert_int_equal(hear(shop.payments, WIRE__MESSAGE__BODY_FINISH)->finish->xid, 0);
    world_free(shop.world);
}

static void why_a_participant_does_not_adopt_reaches_the_client(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    join(&shop, shop.service, gtrid, "payments", 4711);
    say_end(shop.client, 9, gtrid, true);
    vote(shop.payments, adopted(shop.payments, 4711), WIRE__CHOICE__NO);
    assert_string_equal(aborted(shop.client, 9, "insufficient_funds")->participant, "payments");
    asked(shop.orders, WIRE__MODE__CONTINUE);
    told(shop.orders, false);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    world_free(shop.world);
}

static void anybody_who_holds_it_may_abort_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_join(shop.client, 5, gtrid, "payments"); /* and nothing was handed over */
    progress(shop.client, 5);
    say_perform(shop.client, 6, gtrid, "orders.note");
    worked_at(shop.orders, "note");
    say_end(shop.service, 7, gtrid, false);
    aborted(shop.service, 7, "aborted");
    aborted(shop.client, 6, "aborted");
    told(shop.orders, false);
    told(shop.payments, false);
    say_end(shop.client, 8, gtrid, false);
    aborted(shop.client, 8, "aborted");
    world_free(shop.world);
}

static void one_that_votes_may_be_aborted_and_one_that_is_decided_not(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 8, gtrid, true);
    asked(shop.orders, WIRE__MODE__CONTINUE);
    say_end(shop.service, 9, gtrid, false);
    aborted(shop.client, 8, "aborted");
    aborted(shop.service, 9, "aborted");
    told(shop.orders, false);
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 8, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    say_end(shop.service, 9, gtrid, false);
    hear_nothing(shop.service);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 8, WIRE__RESULT__COMMITTED);
    outcome(shop.service, 9, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void it_ends_with_the_session_that_began_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    join(&shop, shop.service, gtrid, "payments", 4711);
    say_perform(shop.service, 5, gtrid, "orders.note");
    worked_at(shop.orders, "note");
    leave(shop.client);
    pass(shop.world, 3 * SECOND_US);
    aborted(shop.service, 5, "session_lost");
    told(shop.orders, false);
    told(shop.payments, false);
    shop.client = client(shop.world, 2);
    say_end(shop.client, 6, gtrid, true);
    aborted(shop.client, 6, "session_lost");
    world_free(shop.world);
}

static void another_session_that_goes_ends_only_its_own_waiting(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    say_perform(shop.service, 5, gtrid, "orders.create");
    struct work work = worked_at(shop.orders, "create");
    leave(shop.service);
    pass(shop.world, 3 * SECOND_US);
    hear_nothing(shop.orders);
    say_end(shop.client, 6, gtrid, true);
    refused(shop.client, 6, "busy");
    say_worked(shop.orders, &work, "{}", NULL);
    say_end(shop.client, 7, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 7, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void a_participant_that_is_lost_takes_what_it_worked_at_with_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    join(&shop, shop.service, gtrid, "payments", 4711);
    leave(shop.payments); /* what is prepared there stays */
    pass(shop.world, 3 * SECOND_US);
    hear_nothing(shop.client);
    shop.payments = participant(shop.world, 1, "payments");
    report(shop.payments, "71/16385", "");
    hear_nothing(shop.payments);
    say_perform(shop.client, 5, gtrid, "orders.note");
    worked_at(shop.orders, "note");
    leave(shop.orders);
    pass(shop.world, 3 * SECOND_US);
    assert_string_equal(aborted(shop.client, 5, "session_lost")->participant, "orders");
    told(shop.payments, false);
    world_free(shop.world);
}

static void what_was_joined_where_nobody_is_now_can_not_be_committed(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    uint32_t branch = join(&shop, shop.service, gtrid, "payments", 4711);
    leave(shop.payments);
    pass(shop.world, 3 * SECOND_US);
    say_end(shop.client, 9, gtrid, true);
    assert_string_equal(aborted(shop.client, 9, "not_connected")->participant, "payments");
    told(shop.orders, false);
    shop.payments = participant(shop.world, 1, "payments");
    assert_int_equal(inquire(shop.payments, branch_of(gtrid, branch))->verdict,
                     WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

static void a_commit_without_what_was_joined_aborts(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_join(shop.service, 3, gtrid, "payments");
    uint32_t branch = progress(shop.service, 3)->branch;
    say_end(shop.client, 9, gtrid, true);
    assert_string_equal(aborted(shop.client, 9, "not_handed_over")->participant, "payments");
    told(shop.orders, false);
    told(shop.payments, false);
    say_hand_over(shop.service, 4, gtrid, branch, 4711, NULL);
    aborted(shop.service, 4, "not_handed_over");
    world_free(shop.world);
}

/* ---- time ---- */

static void the_deadline_aborts_it_idle_or_at_work(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    for (int at_work = 0; at_work < 2; at_work++) {
        begin(&shop, &(struct submission){.timeout_ms = 2000}, gtrid);
        perform(&shop, gtrid, shop.orders, "orders.create");
        pass(shop.world, 1500 * 1000);
        say_perform(shop.client, 5, gtrid, "payments.charge");
        const Wire__Work *asked_for = hear(shop.payments, WIRE__MESSAGE__BODY_WORK)->work;
        assert_in_range(asked_for->timeout_ms, 300, 500);
        struct work work = {.branch = branch_of(gtrid, 1), .number = 1};
        if (!at_work) {
            say_worked(shop.payments, &work, "{}", NULL);
            assert_in_range(progress(shop.client, 5)->timeout_ms, 300, 500);
        }
        pass(shop.world, SECOND_US);
        if (at_work) {
            const Wire__Problem *problem = aborted(shop.client, 5, "deadline");
            assert_string_equal(problem->participant, "payments");
            assert_string_equal(problem->operation, "charge");
        }
        told(shop.orders, false);
        told(shop.payments, false);
        say_end(shop.client, 6, gtrid, true);
        aborted(shop.client, 6, "deadline");
    }
    world_free(shop.world);
}

static void what_is_left_of_the_deadline_is_all_that_the_vote_has(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, &(struct submission){.timeout_ms = 3000}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    pass(shop.world, 2 * SECOND_US);
    say_end(shop.client, 6, gtrid, true);
    assert_in_range(hear(shop.orders, WIRE__MESSAGE__BODY_PREPARE)->prepare->timeout_ms, 700, 1000);
    pass(shop.world, 1200 * 1000);
    assert_string_equal(aborted(shop.client, 6, "deadline")->participant, "orders");
    told(shop.orders, false);
    world_free(shop.world);
}

static void a_drain_lets_them_end_for_a_while(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text ended, slow;
    const struct submission hour = {.timeout_ms = 3600 * 1000};
    begin(&shop, &hour, ended);
    begin(&shop, &hour, slow);
    server_drain(shop.world->server);
    say_begin(shop.client, 3, NULL);
    rejected(shop.client, 3, "draining");
    perform(&shop, ended, shop.orders, "orders.create");
    say_end(shop.client, 4, ended, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 4, WIRE__RESULT__COMMITTED);
    say_perform(shop.client, 4, slow, "orders.create");
    struct work work = worked_at(shop.orders, "create");
    say_worked(shop.orders, &work, "", NULL);
    assert_in_range(progress(shop.client, 4)->timeout_ms, 14000, 15000);
    pass(shop.world, 14 * SECOND_US);
    hear_nothing(shop.orders);
    sync_journal(shop.world);
    assert_false(server_drained(shop.world->server));
    pass(shop.world, 2 * SECOND_US);
    finish(shop.orders, told(shop.orders, false), false, false);
    say_end(shop.client, 5, slow, true);
    aborted(shop.client, 5, "draining");
    sync_journal(shop.world);
    pass(shop.world, SECOND_US);
    assert_true(server_drained(shop.world->server));
    world_free(shop.world);
}

/* Before the clock is looked at again: a commit that comes too late is none. */
static void what_comes_after_the_deadline_is_too_late(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    Wire__End end = WIRE__END__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    begin(&shop, &(struct submission){.timeout_ms = 1000}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    end.request = 6;
    end.gtrid = gtrid;
    end.commit = true;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &end;
    shop.world->now_us += 1000 * 1000;
    assert_true(peer_send(transport_peer(shop.client->transport), &message, true));
    transport_settle(shop.client->transport); /* it goes out, and in */
    run(shop.world);
    aborted(shop.client, 6, "deadline");
    told(shop.orders, false);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

/* ---- what is known of it ---- */

static void its_branches_wait_while_it_is_open_and_abort_after_a_crash(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    uint32_t branch = join(&shop, shop.service, gtrid, "payments", 4711);
    assert_int_equal(inquire(shop.payments, branch_of(gtrid, branch))->verdict,
                     WIRE__VERDICT__VERDICT_WAIT);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(inquire(shop.payments, branch_of(gtrid, branch))->verdict,
                     WIRE__VERDICT__VERDICT_ABORT);
    say_end(shop.client, 9, gtrid, true);
    aborted(shop.client, 9, "unknown");
    say_hand_over(shop.service, 10, gtrid, branch, 4711, NULL);
    aborted(shop.service, 10, "unknown");
    say_perform(shop.service, 11, gtrid, "orders.create");
    aborted(shop.service, 11, "unknown");
    world_free(shop.world);
}

static void one_that_was_committed_is_known_after_a_crash(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    uint32_t branch = join(&shop, shop.service, gtrid, "payments", 4711);
    say_end(shop.client, 8, gtrid, true);
    vote(shop.payments, adopted(shop.payments, 4711), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    /* Handed over before, and not rolled back now. */
    say_hand_over(shop.service, 9, gtrid, branch, 700, NULL);
    hear(shop.service, WIRE__MESSAGE__BODY_PROGRESS);
    say_end(shop.client, 10, gtrid, true);
    applied(shop.payments);
    assert_true(outcome(shop.client, 10, WIRE__RESULT__COMMITTED)->applied);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    say_end(shop.client, 11, gtrid, true);
    outcome(shop.client, 11, WIRE__RESULT__COMMITTED);
    say_hand_over(shop.service, 12, gtrid, branch, 700, NULL);
    outcome(shop.service, 12, WIRE__RESULT__COMMITTED);
    say_join(shop.service, 13, gtrid, "orders");
    rejected(shop.service, 13, "over");
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_performed_and_then_continued),
        cmocka_unit_test(what_was_joined_is_adopted),
        cmocka_unit_test(who_wrote_nothing_is_not_asked),
        cmocka_unit_test(reading_alone_writes_nothing),
        cmocka_unit_test(one_in_which_nobody_took_part_is_committed_at_once),
        cmocka_unit_test(one_branch_takes_both_phases),
        cmocka_unit_test(in_two_phases_each_join_is_a_branch_and_all_operations_of_one_are_one),
        cmocka_unit_test(in_three_phases_both_kinds_of_branches_are_sites),
        cmocka_unit_test(in_three_phases_a_participant_has_one_branch_and_is_reachable),
        cmocka_unit_test(a_site_that_nobody_reaches_any_more_can_not_vote),
        cmocka_unit_test(an_operation_that_fails_aborts_all_of_it),
        cmocka_unit_test(what_postgresql_said_at_prepare_reaches_everybody),
        cmocka_unit_test(an_xid_that_only_a_client_has_told_is_told_to_nobody_but_who_adopts),
        cmocka_unit_test(why_a_participant_does_not_adopt_reaches_the_client),
        cmocka_unit_test(anybody_who_holds_it_may_abort_it),
        cmocka_unit_test(one_that_votes_may_be_aborted_and_one_that_is_decided_not),
        cmocka_unit_test(it_ends_with_the_session_that_began_it),
        cmocka_unit_test(another_session_that_goes_ends_only_its_own_waiting),
        cmocka_unit_test(a_participant_that_is_lost_takes_what_it_worked_at_with_it),
        cmocka_unit_test(what_was_joined_where_nobody_is_now_can_not_be_committed),
        cmocka_unit_test(a_commit_without_what_was_joined_aborts),
        cmocka_unit_test(the_deadline_aborts_it_idle_or_at_work),
        cmocka_unit_test(what_is_left_of_the_deadline_is_all_that_the_vote_has),
        cmocka_unit_test(what_comes_after_the_deadline_is_too_late),
        cmocka_unit_test(a_drain_lets_them_end_for_a_while),
        cmocka_unit_test(its_branches_wait_while_it_is_open_and_abort_after_a_crash),
        cmocka_unit_test(one_that_was_committed_is_known_after_a_crash),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
