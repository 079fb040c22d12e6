/* RESOLVE at a coordinator: each order in each standing, what is relayed, sessions that are lost in
 * the middle, and that nothing happens where nothing may. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

/* ---- what is undecided is aborted by the protocol ---- */

static void what_collects_votes_is_aborted_by_the_protocol(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    const char *gtrid = gtrid_of(branch);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    order(desk, 5, (struct ordering){.gtrid = gtrid, .reason = "black friday"});
    answer_query(desk->orders, examined(desk->orders, gtrid, 700), is_prepared);
    answer_query(desk->payments, examined(desk->payments, gtrid, 0), has_nothing);
    const Wire__Outcome *told_client = outcome(desk->client, 1, WIRE__RESULT__ABORTED);
    assert_string_equal(told_client->problem->code, "operator");
    assert_string_equal(told_client->problem->message, "an operator aborted it: black friday");
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_ABORT);
    assert_int_equal(resolution->n_steps, 2);
    assert_string_equal(resolution->steps[0], "orders: ROLLBACK PREPARED");
    assert_string_equal(resolution->steps[1], "payments: its work is rolled back");
    finish(desk->orders, told(desk->orders, false), false, false);
    finish(desk->payments, told(desk->payments, false), false, false);
    assert_string_equal(shown(desk, gtrid_of(branch))->state, "aborted");
    assert_string_equal(shown(desk, gtrid_of(branch))->decision, "abort");
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 0);
    nothing_is_listed(desk);
    desk_free(desk);
}

static void what_collects_votes_is_never_committed_by_an_order(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    assert_has(refused(desk, 5, "undecided")->hint, "--abort");
    hear_nothing(desk->orders);
    hear_nothing(desk->payments);
    vote(desk->payments, second(branch), WIRE__CHOICE__YES);
    sync_journal(desk->world);
    applied(desk->orders);
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
    desk_free(desk);
}

static void what_somebody_committed_by_hand_is_not_aborted(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), (struct saying){.status = WIRE__XID_STATUS__XID_COMMITTED},
                 has_nothing);
    assert_has(refused(desk, 5, "contradicts")->message, "orders");
    assert_string_equal(shown(desk, gtrid_of(branch))->state, "voting");
    desk_free(desk);
}

/* ---- what will be decided by itself ---- */

static void a_record_on_its_way_is_waited_for(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    for (int commit = 0; commit < 2; commit++) {
        Wire__Branch branch = begin_deciding(desk, NULL);
        order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = commit});
        both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
        refused(desk, 5, "undecided");
        sync_journal(desk->world);
        applied(desk->orders);
        applied(desk->payments);
        outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
    }
    desk_free(desk);
}

static void one_phase_is_left_to_its_database(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const char *const calls[] = {"payments.charge", NULL};
    submit(desk->client, 1, NULL, "{}", calls);
    Wire__Branch branch = asked(desk->payments, WIRE__MODE__ONE_PHASE);
    for (int commit = 0; commit < 2; commit++) {
        order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = commit});
        testify(desk->payments, gtrid_of(branch), has_nothing);
        refused(desk, 5, "undecided");
    }
    vote(desk->payments, branch, WIRE__CHOICE__DONE);
    outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
    order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch)});
    testify(desk->payments, gtrid_of(branch), (struct saying){.barrier = "one-phase"});
    refused(desk, 6, "contradicts");
    desk_free(desk);
}

/* ---- what is decided ---- */

static void a_commit_is_waited_for_and_never_contradicted(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    finish(desk->orders, told(desk->orders, true), true, false);
    Wire__Branch late = told(desk->payments, true);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
    both_testify(desk, gtrid_of(branch), (struct saying){.status = WIRE__XID_STATUS__XID_COMMITTED},
                 is_prepared);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_WAIT);
    assert_int_equal(resolution->n_steps, 1);
    assert_string_equal(resolution->steps[0], "payments: COMMIT PREPARED, by itself");
    order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), (struct saying){.status = WIRE__XID_STATUS__XID_COMMITTED},
                 is_prepared);
    assert_has(refused(desk, 6, "contradicts")->message, "decided");
    finish(desk->payments, late, true, false);
    outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
    /* In the history, and when only the journal remembers. */
    for (int i = 0; i < 2; i++) {
        order(desk, 7, (struct ordering){.gtrid = gtrid_of(branch)});
        both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
        refused(desk, 7, "contradicts");
        sync_journal(desk->world);
        desk_crash(desk);
    }
    desk_free(desk);
}

static void an_abort_that_is_presumed_is_waited_for_and_never_contradicted(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    desk_crash(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    refused(desk, 5, "contradicts");
    order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    const Wire__Resolution *resolution = resolved(desk, 6, WIRE__DEED__DEED_WAIT);
    assert_string_equal(resolution->steps[0], "orders: ROLLBACK PREPARED, by itself");
    nothing_is_listed(desk);
    desk_free(desk);
}

/* ---- forcing it ---- */

static void what_the_journal_lost_is_forced_when_it_is_durable(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 1);
    pass(desk->world, SECOND_US);
    hear_nothing(desk->orders); /* H1 */
    hear_nothing(desk->payments);
    hear_nothing(desk->client);
    sync_journal(desk->world);
    uint64_t at_orders = relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false);
    uint64_t at_payments = relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    answer_order(desk->orders, at_orders, "orders: ROLLBACK PREPARED", NULL);
    hear_nothing(desk->client);
    answer_order(desk->payments, at_payments, "payments: ROLLBACK PREPARED", NULL);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_steps, 2);
    assert_string_equal(resolution->steps[1], "payments: ROLLBACK PREPARED");
    assert_int_equal(resolution->n_unknowns, 0);
    assert_int_equal(resolution->n_testimonies, 2);
    assert_string_equal(resolution->testimonies[1]->participant, "payments");
    listed_as(desk, gtrid_of(branch), "abort");
    const Wire__TransactionView *view = shown(desk, gtrid_of(branch));
    assert_string_equal(view->state, "heuristic");
    assert_int_equal(view->n_heuristics, 2);
    assert_string_equal(view->heuristics[0]->by, "ada@ops");
    assert_string_equal(view->heuristics[1]->participant, "orders");
    assert_int_equal(desk->audit.count, 2);
    assert_has(desk->audit.texts[0], "ordered tx resolve --abort | shop.c1.");
    assert_has(
        desk->audit.texts[0],
        "by ada@ops in ada (operator) | the disk is gone | held; prepared at orders, payments");
    assert_has(desk->audit.texts[1], "done tx resolve --abort");
    assert_has(desk->audit.texts[1], "payments: ROLLBACK PREPARED");
    desk_free(desk);
}

static void only_who_holds_it_prepared_is_told(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
    both_testify(desk, gtrid_of(branch), is_prepared,
                 (struct saying){.status = WIRE__XID_STATUS__XID_COMMITTED});
    sync_journal(desk->world);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, true),
                 "orders: COMMIT PREPARED", NULL);
    hear_nothing(desk->payments);
    assert_int_equal(resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC)->n_steps, 1);
    desk_free(desk);
}

/* The journal that knew who took part is lost: it may be over there. */
static void who_has_nothing_of_it_is_named(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    struct visitor *inventory = participant(desk->world, 4, "inventory");
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .dry_run = true});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    testify(inventory, gtrid_of(branch), has_nothing);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_unknowns, 1);
    assert_has(resolution->unknowns[0], "payments, inventory: nothing of it is there");
    desk_free(desk);
}

static void evidence_against_it_refuses_the_order(void **unused)
{
    (void)unused;
    static const struct {
        bool commit;
        struct saying saying;
    } rows[] = {
        {true, {.status = WIRE__XID_STATUS__XID_ABORTED}},
        {false, {.status = WIRE__XID_STATUS__XID_COMMITTED}},
        {true, {.barrier = "none"}},
        {false, {.barrier = "one-phase"}},
        {true, {.registered = true, .decided = true, .value = WIRE__VALUE__ABORT}},
        {false, {.registered = true, .decided = true, .value = WIRE__VALUE__COMMIT}},
        {true, {.forced = true}},
        {false, {.forced = true, .forced_commit = true}},
        {false, {.prepared = true, .forced = true, .forced_commit = true}},
    };
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    for (size_t i = 0; i < sizeof(rows) / sizeof(*rows); i++) {
        order(desk, i, (struct ordering){.gtrid = gtrid_of(branch), .commit = rows[i].commit});
        both_testify(desk, gtrid_of(branch), is_prepared, rows[i].saying);
        const Wire__Problem *problem = refused(desk, i, "contradicts");
        assert_has(problem->message, "payments");
        assert_has(problem->hint, "tx explain");
    }
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 0);
    hear_nothing(desk->orders);
    nothing_is_listed(desk);
    assert_has(last_note(&desk->audit), "refused tx resolve --abort");
    desk_free(desk);
}

static void what_a_register_has_decided_is_left_to_it(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
    both_testify(
        desk, gtrid_of(branch), is_prepared,
        (struct saying){.registered = true, .decided = true, .value = WIRE__VALUE__COMMIT});
    resolved(desk, 5, WIRE__DEED__DEED_WAIT);
    nothing_is_listed(desk);
    desk_free(desk);
}

static void where_nothing_is_prepared_there_is_nothing_to_do(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    resolved(desk, 5, WIRE__DEED__DEED_NONE);
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 0);
    desk_free(desk);
}

static void an_id_that_was_never_given_out_is_not_forced(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    char gtrid[64];
    snprintf(gtrid, sizeof(gtrid), "shop.c1.%llu.77",
             (unsigned long long)server_epoch(desk->world->server));
    order(desk, 5, (struct ordering){.gtrid = gtrid});
    testify(desk->orders, gtrid, has_nothing);
    refused(desk, 5, "unknown");
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 0);
    desk_free(desk);
}

static void who_was_not_heard_is_named_and_told_when_it_asks(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    testify(desk->orders, gtrid_of(branch), is_prepared);
    sync_journal(desk->world);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 "orders: ROLLBACK PREPARED", NULL);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_unknowns, 1);
    assert_has(resolution->unknowns[0], "payments: the participant is not connected");
    desk_crash(desk);
    Wire__Inquire inquire_it = WIRE__INQUIRE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Branch asked_about = second(branch), *pointer = &asked_about;
    inquire_it.branches = &pointer;
    inquire_it.n_branches = 1;
    message.body_case = WIRE__MESSAGE__BODY_INQUIRE;
    message.inquire = &inquire_it;
    say(desk->payments, &message);
    answer_order(desk->payments, relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 "payments: ROLLBACK PREPARED", NULL);
    hear_nothing(desk->payments); /* and no verdict */
    hear_nothing(desk->client);
    desk_free(desk);
}

static void what_is_not_durable_yet_is_not_told_to_who_asks(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    assert_int_equal(inquire(desk->orders, branch)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    desk_free(desk);
}

static void an_order_against_an_earlier_one_is_refused(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    sync_journal(desk->world);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false), "x",
                 NULL);
    answer_order(desk->payments, relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 "the database is down", "busy");
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_string_equal(resolution->steps[1], "payments: refused: the database is down");
    for (int i = 0; i < 2; i++) {
        order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
        both_testify(desk, gtrid_of(branch), has_nothing, is_prepared);
        assert_has(refused(desk, 6, "contradicts")->message, "abort");
        desk_crash(desk);
    }
    /* The same again is told again. */
    order(desk, 7, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, is_prepared);
    sync_journal(desk->world);
    answer_order(desk->payments, relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 "payments: ROLLBACK PREPARED", NULL);
    hear_nothing(desk->orders);
    resolved(desk, 7, WIRE__DEED__DEED_HEURISTIC);
    listed_as(desk, gtrid_of(branch), "abort");
    desk_free(desk);
}

static void another_coordinators_is_left_to_it_while_it_is_there(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const char *gtrid = "shop.c9.1700000000.3";
    struct saying judged = is_prepared;
    judged.judged = true;
    order(desk, 5, (struct ordering){.gtrid = gtrid});
    both_testify(desk, gtrid, judged, is_prepared);
    assert_has(refused(desk, 5, "judged")->message, "c9");
    order(desk, 6, (struct ordering){.gtrid = gtrid});
    both_testify(desk, gtrid, is_prepared, is_prepared);
    sync_journal(desk->world);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false), "x",
                 NULL);
    answer_order(desk->payments, relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false), "y",
                 NULL);
    resolved(desk, 6, WIRE__DEED__DEED_HEURISTIC);
    listed_as(desk, gtrid, "abort");
    desk_checkpoint(desk);
    listed_as(desk, gtrid, "abort");
    desk_free(desk);
}

static void another_coordinators_is_forced_only_where_it_is(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const char *gtrid = "shop.c9.1700000000.3";
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    order(desk, 5, (struct ordering){.gtrid = gtrid});
    testify(desk->orders, gtrid, has_nothing);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_NONE);
    assert_int_equal(resolution->n_unknowns, 2);
    assert_has(resolution->unknowns[0], "payments: the participant is not connected");
    assert_has(resolution->unknowns[1], "orders: nothing of it is there");
    nothing_is_listed(desk);
    desk_free(desk);
}

/* ---- at one participant alone ---- */

static void one_participant_alone_is_told_and_tells_of_it(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    size_t records = desk->world->journal.count;
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .participant = "payments"});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    assert_int_equal(desk->world->journal.count, records);
    hear_nothing(desk->orders);
    uint64_t request = relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false);
    tell_forced(desk->payments, (struct forced){.branch = second(branch)});
    answer_order(desk->payments, request, "payments: ROLLBACK PREPARED", NULL);
    resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    listed_as(desk, gtrid_of(branch), "abort");
    assert_int_equal(inquire(desk->orders, branch)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    desk_free(desk);
}

static void a_participants_refusal_is_the_answer(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .participant = "payments"});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    answer_order(desk->payments, relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 "its register knows", "contradicts");
    assert_string_equal(refused(desk, 5, "contradicts")->message, "its register knows");
    nothing_is_listed(desk);
    desk_free(desk);
}

static void a_participant_that_can_not_be_told_is_named(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 4, (struct ordering){.gtrid = gtrid_of(branch), .participant = "paymnts"});
    assert_has(refused(desk, 4, "unknown")->hint, "payments");
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .participant = "orders"});
    both_testify(desk, gtrid_of(branch), has_nothing, is_prepared);
    resolved(desk, 5, WIRE__DEED__DEED_NONE);
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch), .participant = "payments"});
    testify(desk->orders, gtrid_of(branch), is_prepared);
    assert_has(refused(desk, 6, "not_connected")->hint, "door");
    desk_free(desk);
}

/* An answer with evidence where one of an order was wanted. */
static void an_answer_that_says_nothing_of_the_order_is_not_known(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    sync_journal(desk->world);
    answer_query(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 is_prepared);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_steps, 0);
    assert_int_equal(resolution->n_unknowns, 2);
    assert_has(resolution->unknowns[1], "orders: its answer says nothing of the order");
    tell_forced(desk->orders, (struct forced){.branch = branch});
    order(desk, 6, (struct ordering){.forget = true, .gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    answer_query(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false),
                 has_nothing);
    assert_has(refused(desk, 6, "owed")->detail, "says nothing of the order");
    desk_free(desk);
}

/* ---- sessions that are lost in the middle ---- */

static void a_participant_lost_before_its_evidence_is_not_heard(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .dry_run = true});
    testify(desk->orders, gtrid_of(branch), is_prepared);
    hear_nothing(desk->client);
    leave(desk->payments);
    pass(desk->world, 2 * SECOND_US);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_unknowns, 1);
    assert_has(resolution->unknowns[0], "payments");
    assert_string_equal(resolution->testimonies[1]->problem->code, "session_lost");
    desk_free(desk);
}

static void a_participant_lost_before_it_answers_the_order_is_not_known(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    leave(desk->orders); /* before the record is durable: it can't be told */
    pass(desk->world, 3 * SECOND_US);
    sync_journal(desk->world);
    relayed(desk->payments, WIRE__TX_ORDER_KIND__RESOLVE, false);
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_steps, 0);
    assert_int_equal(resolution->n_unknowns, 2);
    assert_has(resolution->message, "by 0 of 2 participants");
    listed_as(desk, gtrid_of(branch), "abort");
    desk_free(desk);
}

static void a_participant_that_is_silent_is_waited_for_three_seconds(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .dry_run = true});
    testify(desk->orders, gtrid_of(branch), is_prepared);
    uint64_t request = examined(desk->payments, gtrid_of(branch), 0);
    pass(desk->world, 2800 * 1000);
    hear_nothing(desk->client);
    pass(desk->world, 400 * 1000);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_string_equal(resolution->testimonies[1]->problem->code, "deadline");
    assert_int_equal(resolution->testimonies[0]->round_trip_us / SECOND_US, 0);
    assert_true(resolution->testimonies[0]->round_trip_us > 0);
    assert_true(resolution->testimonies[0]->heard_us > 0);
    answer_query(desk->payments, request, is_prepared); /* too late, and no harm */
    hear_nothing(desk->client);
    desk_free(desk);
}

static void an_order_of_a_client_that_left_before_is_dropped(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    size_t records = desk->world->journal.count;
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    leave(desk->client);
    pass(desk->world, 2 * SECOND_US);
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    assert_int_equal(desk->world->journal.count, records);
    hear_nothing(desk->orders);
    assert_int_equal(desk->audit.count, 0);
    desk_free(desk);
}

static void an_order_of_a_client_that_left_after_it_was_recorded_goes_on(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    leave(desk->client);
    pass(desk->world, 2 * SECOND_US);
    sync_journal(desk->world);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false),
                 "orders: ROLLBACK PREPARED", NULL);
    assert_has(last_note(&desk->audit), "done tx resolve --abort");
    desk_free(desk);
}

static void a_crash_before_it_is_durable_leaves_nothing(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    desk_crash(desk);
    nothing_is_listed(desk);
    assert_int_equal(inquire(desk->orders, branch)->verdict, WIRE__VERDICT__VERDICT_HOLD);
    desk_free(desk);
}

/* The server is freed while inquiries and orders wait. */
static void a_process_may_end_at_any_moment(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch)});
    Wire__Query query = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    query.what = WIRE__WHAT__DIAGNOSIS;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    say(desk->client, &message);
    desk_free(desk);
}

/* ---- dry runs ---- */

static void a_dry_run_changes_nothing(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch held = begin_held(desk);
    Wire__Branch voting = begin(desk, NULL);
    gtrid_text held_gtrid, voting_gtrid;
    snprintf(held_gtrid, sizeof(held_gtrid), "%s", gtrid_of(held));
    snprintf(voting_gtrid, sizeof(voting_gtrid), "%s", gtrid_of(voting));
    vote(desk->orders, voting, WIRE__CHOICE__YES);
    size_t records = desk->world->journal.count;
    order(desk, 5, (struct ordering){.gtrid = held_gtrid, .commit = true, .dry_run = true});
    both_testify(desk, held_gtrid, is_prepared, has_nothing);
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(resolution->n_steps, 1);
    assert_string_equal(resolution->steps[0], "orders: COMMIT PREPARED");
    order(desk, 6, (struct ordering){.gtrid = voting_gtrid, .dry_run = true});
    both_testify(desk, voting_gtrid, is_prepared, has_nothing);
    resolved(desk, 6, WIRE__DEED__DEED_ABORT);
    order(desk, 7,
          (struct ordering){.gtrid = held_gtrid, .participant = "orders", .dry_run = true});
    both_testify(desk, held_gtrid, is_prepared, is_prepared);
    assert_int_equal(resolved(desk, 7, WIRE__DEED__DEED_HEURISTIC)->n_steps, 1);
    assert_int_equal(desk->world->journal.count, records);
    assert_int_equal(desk->audit.count, 0);
    hear_nothing(desk->orders);
    hear_nothing(desk->payments);
    assert_string_equal(shown(desk, voting_gtrid)->state, "voting");
    nothing_is_listed(desk);
    desk_free(desk);
}

/* ---- orders that make no sense ---- */

static void an_order_that_makes_no_sense_is_refused(void **unused)
{
    (void)unused;
    char long_reason[LIMIT_REASON_BYTES + 2], long_by[LIMIT_BY_BYTES + 2];
    memset(long_reason, 'r', sizeof(long_reason));
    long_reason[sizeof(long_reason) - 1] = '\0';
    memset(long_by, 'b', sizeof(long_by));
    long_by[sizeof(long_by) - 1] = '\0';
    const struct ordering orders[] = {
        {.gtrid = "nonsense"},
        {.gtrid = ""},
        {.gtrid = "other.c1.5.1"},
        {.gtrid = "shop.c1.5.1", .reason = ""},
        {.gtrid = "shop.c1.5.1", .reason = "two\nlines"},
        {.gtrid = "shop.c1.5.1", .reason = "half a letter \xc3"},
        {.gtrid = "shop.c1.5.1", .reason = long_reason},
        {.gtrid = "shop.c1.5.1", .by = long_by},
        {.gtrid = "shop.c1.5.1", .relayed = true},
        {.gtrid = "shop.c1.5.1", .forget = true, .participant = "orders"},
    };
    struct desk *desk = desk_new();
    for (size_t i = 0; i < sizeof(orders) / sizeof(*orders); i++) {
        order(desk, i, orders[i]);
        refused(desk, i, "bad_request");
    }
    hear_nothing(desk->orders);
    hear_nothing(desk->payments);
    desk_free(desk);
}

static void a_gid_names_its_transaction(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    char gid[120];
    snprintf(gid, sizeof(gid), "troth.%s.1", gtrid_of(branch));
    order(desk, 5, (struct ordering){.gtrid = gid, .dry_run = true});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC);
    desk_free(desk);
}

static void only_so_many_inquiries_run_at_once(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    for (uint64_t i = 0; i <= LIMIT_INQUIRIES; i++)
        order(desk, i, (struct ordering){.gtrid = "shop.c9.5.1", .dry_run = true});
    refused(desk, LIMIT_INQUIRIES, "busy");
    pass(desk->world, 4 * SECOND_US);
    for (uint64_t i = 0; i < LIMIT_INQUIRIES; i++)
        assert_int_equal(resolved(desk, i, WIRE__DEED__DEED_NONE)->n_unknowns, 2);
    desk_free(desk);
}

static void a_server_that_drains_takes_no_orders(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    server_drain(desk->world->server);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    refused(desk, 5, "busy");
    desk_free(desk);
}

static void a_server_that_begins_to_drain_does_not_begin_an_order(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    server_drain(desk->world->server);
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    refused(desk, 5, "busy");
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 0);
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_collects_votes_is_aborted_by_the_protocol),
        cmocka_unit_test(what_collects_votes_is_never_committed_by_an_order),
        cmocka_unit_test(what_somebody_committed_by_hand_is_not_aborted),
        cmocka_unit_test(a_record_on_its_way_is_waited_for),
        cmocka_unit_test(one_phase_is_left_to_its_database),
        cmocka_unit_test(a_commit_is_waited_for_and_never_contradicted),
        cmocka_unit_test(an_abort_that_is_presumed_is_waited_for_and_never_contradicted),
        cmocka_unit_test(what_the_journal_lost_is_forced_when_it_is_durable),
        cmocka_unit_test(only_who_holds_it_prepared_is_told),
        cmocka_unit_test(who_has_nothing_of_it_is_named),
        cmocka_unit_test(evidence_against_it_refuses_the_order),
        cmocka_unit_test(what_a_register_has_decided_is_left_to_it),
        cmocka_unit_test(where_nothing_is_prepared_there_is_nothing_to_do),
        cmocka_unit_test(an_id_that_was_never_given_out_is_not_forced),
        cmocka_unit_test(who_was_not_heard_is_named_and_told_when_it_asks),
        cmocka_unit_test(what_is_not_durable_yet_is_not_told_to_who_asks),
        cmocka_unit_test(an_order_against_an_earlier_one_is_refused),
        cmocka_unit_test(another_coordinators_is_left_to_it_while_it_is_there),
        cmocka_unit_test(another_coordinators_is_forced_only_where_it_is),
        cmocka_unit_test(one_participant_alone_is_told_and_tells_of_it),
        cmocka_unit_test(a_participants_refusal_is_the_answer),
        cmocka_unit_test(a_participant_that_can_not_be_told_is_named),
        cmocka_unit_test(an_answer_that_says_nothing_of_the_order_is_not_known),
        cmocka_unit_test(a_participant_lost_before_its_evidence_is_not_heard),
        cmocka_unit_test(a_participant_lost_before_it_answers_the_order_is_not_known),
        cmocka_unit_test(a_participant_that_is_silent_is_waited_for_three_seconds),
        cmocka_unit_test(an_order_of_a_client_that_left_before_is_dropped),
        cmocka_unit_test(an_order_of_a_client_that_left_after_it_was_recorded_goes_on),
        cmocka_unit_test(a_crash_before_it_is_durable_leaves_nothing),
        cmocka_unit_test(a_process_may_end_at_any_moment),
        cmocka_unit_test(a_dry_run_changes_nothing),
        cmocka_unit_test(an_order_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_gid_names_its_transaction),
        cmocka_unit_test(only_so_many_inquiries_run_at_once),
        cmocka_unit_test(a_server_that_drains_takes_no_orders),
        cmocka_unit_test(a_server_that_begins_to_drain_does_not_begin_an_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
