/* RESOLVE of three-phase transactions: while a majority of the sites can be reached the registers
 * decide, and what they decide later is compared with what was forced. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

static const struct submission three = {.protocol = WIRE__PROTOCOL__THREE_PHASE,
                                        .timeout_ms = 2000};

static void listen_both(struct desk *desk)
{
    listen_at(desk->orders, "tcp://127.0.0.1:7101");
    listen_at(desk->payments, "tcp://127.0.0.1:7102");
}

/* Commit is proposed, and no other site has answered. */
static Wire__Branch propose(struct desk *desk)
{
    listen_both(desk);
    Wire__Branch branch = begin_deciding(desk, &three);
    sync_journal(desk->world);
    pass(desk->world, 150 * 1000);
    questioned(desk->orders);
    questioned(desk->payments);
    return branch;
}

/* Both are gone, the coordinator starts again, and orders alone comes back: no majority, as its
 * database is down. */
static Wire__Branch lose_the_majority(struct desk *desk)
{
    Wire__Branch branch = propose(desk);
    sync_journal(desk->world);
    crash_and_start(desk->world);
    desk->orders = participant(desk->world, 0, "orders");
    desk->client = visitor_named(desk->world, 2, "ada", WIRE__ROLE__OPERATOR);
    sync_journal(desk->world);
    while (!is_silent(desk->orders))
        questioned(desk->orders);
    return branch;
}

static void votes_are_aborted_before_the_proposal(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    listen_both(desk);
    Wire__Branch branch = begin(desk, &three);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), is_prepared, has_nothing);
    outcome(desk->client, 1, WIRE__RESULT__ABORTED);
    resolved(desk, 5, WIRE__DEED__DEED_ABORT);
    desk_free(desk);
}

static void a_majority_that_can_be_reached_decides(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = propose(desk);
    for (int commit = 0; commit < 2; commit++) {
        order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = commit});
        both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
        assert_has(refused(desk, 5, "undecided")->detail, "majority");
    }
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 0);
    desk_free(desk);
}

static void without_a_majority_it_is_forced_and_compared_later(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = lose_the_majority(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch)});
    testify(desk->orders, gtrid_of(branch), is_prepared);
    sync_journal(desk->world);
    uint64_t request = relayed(desk->orders, WIRE__TX_ORDER_KIND__RESOLVE, false);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    answer_order(desk->orders, request, "orders: ROLLBACK PREPARED", NULL);
    assert_int_equal(resolved(desk, 5, WIRE__DEED__DEED_HEURISTIC)->n_unknowns, 1);
    listed_as(desk, gtrid_of(branch), "abort");
    const Wire__TransactionView *view = shown(desk, gtrid_of(branch));
    assert_string_equal(view->state, "pre-committed");
    assert_string_equal(view->decision, "");
    assert_string_equal(view->branches[1]->waits_for, "a majority of the sites");
    /* The registers go on. */
    tell_decision(desk->orders, branch, WIRE__VALUE__COMMIT);
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_string_equal(shown(desk, gtrid_of(branch))->decision, "commit");
    desk_free(desk);
}

static void a_decision_that_agrees_is_not_mixed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = lose_the_majority(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch, .commit = true});
    tell_decision(desk->orders, branch, WIRE__VALUE__COMMIT);
    listed_as(desk, gtrid_of(branch), "commit");
    desk_free(desk);
}

static void a_register_that_knows_is_waited_for(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = lose_the_majority(desk);
    const struct saying knows = {
        .prepared = true, .registered = true, .decided = true, .value = WIRE__VALUE__COMMIT};
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .commit = true});
    testify(desk->orders, gtrid_of(branch), knows);
    resolved(desk, 5, WIRE__DEED__DEED_WAIT);
    order(desk, 6, (struct ordering){.gtrid = gtrid_of(branch)});
    testify(desk->orders, gtrid_of(branch), knows);
    refused(desk, 6, "contradicts");
    desk_free(desk);
}

static void what_is_proposed_is_not_forgotten(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = lose_the_majority(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    order(desk, 5, (struct ordering){.forget = true, .gtrid = gtrid_of(branch)});
    testify(desk->orders, gtrid_of(branch), has_nothing);
    assert_has(refused(desk, 5, "owed")->message, "pre-committed");
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(votes_are_aborted_before_the_proposal),
        cmocka_unit_test(a_majority_that_can_be_reached_decides),
        cmocka_unit_test(without_a_majority_it_is_forced_and_compared_later),
        cmocka_unit_test(a_decision_that_agrees_is_not_mixed),
        cmocka_unit_test(a_register_that_knows_is_waited_for),
        cmocka_unit_test(what_is_proposed_is_not_forgotten),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
