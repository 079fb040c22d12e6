/* A site whose acceptance makes the decision: what it does with it at once, and what when that
 * can't be known to be done. */
#include "tests/unit/neighbour_ports.h"

static const Wire__Reply *granted(void)
{
    const Wire__Reply *reply = got(WIRE__MESSAGE__BODY_REPLY)->reply;
    assert_int_equal(reply->answered, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->value, WIRE__VALUE__COMMIT);
    return reply;
}

static void be_asked(void)
{
    prepare_three_phase(1);
    ASK(participant, PROPOSAL(1));
    assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
}

/* As after a lost connection: the row is loaded a little later. */
static void load_later(enum db_found found, struct register_state row)
{
    assert_int_equal(database.count, 0);
    while (database.count == 0)
        pass(50000);
    loaded(found, row, all_sites);
}

static void expect_finish(bool commit)
{
    int request = take(FINISH);
    assert_string_equal(database.requests[request].text, "troth.shop.c1.5.1.1");
    assert_int_equal(database.requests[request].commit, commit);
    events->finished(events->self, database.requests[request].tag, DB_FINISHED, "");
    settle();
}

static void its_branch_is_committed_with_it_and_one_word_says_both(void **state)
{
    (void)state;
    be_asked();
    assert_int_equal(database.count, 1);
    assert_string_equal(database.requests[0].text, "shop.c1.5.1");
    assert_string_equal(database.requests[0].gid, "troth.shop.c1.5.1.1");
    assert_string_equal(database.requests[0].sites, all_sites);
    assert_true(register_state_equal(&database.requests[0].row.state, &proposed));
    accepted(DB_ACCEPTED);
    assert_true(granted()->applied);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_FINISHED));
    assert_int_equal(database.count, 0);
    clear_inbox();

    ASK(participant, PROPOSAL(1)); /* the word was lost: nothing is kept in memory */
    loaded(DB_FOUND, proposed, all_sites);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
    stored(take(STORE), DB_STORED);
    assert_false(granted()->applied);
    finish_three_phase(1, true); /* and so the coordinator tells it */
    events->finished(events->self, take_tag(FINISH), DB_MISSING, "");
    settle();
    events->status(events->self, take_tag(STATUS), DB_STATUS_COMMITTED);
    settle();
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
}

/* With five sites three have to accept. */
static void where_two_are_not_enough_it_is_only_accepted(void **state)
{
    (void)state;
    static const char *names[] = {"orders", "payments", "inventory", "parcels"};
    static const char *addresses[] = {"tcp://127.0.0.1:7411", "tcp://127.0.0.1:7412",
                                      "tcp://127.0.0.1:7413", "tcp://127.0.0.1:7414"};
    for (size_t participants = 2; participants <= 4; participants++) {
        uint64_t seq = participants;
        send_sites(seq, names, addresses, participants, "charge");
        worked(take_tag(WORK), DB_PREPARED, 7);
        got_vote(WIRE__CHOICE__YES);
        ASK(participant, PROPOSAL(seq));
        take(participants < 4 ? ACCEPT : STORE);
        clear_inbox();
    }
}

static void only_the_coordinators_own_ballot_is_the_decision(void **state)
{
    (void)state;
    prepare_three_phase(1);
    ASK(participant, .seq = 1, .question = WIRE__QUESTION__ACCEPT, .value = WIRE__VALUE__COMMIT,
        .ballot = {1, 0});
    stored(take(STORE), DB_STORED);
    assert_false(granted()->applied);
}

static void a_row_that_is_there_is_answered_for(void **state)
{
    (void)state;
    be_asked();
    accepted(DB_ACCEPT_REFUSED);
    loaded(DB_FOUND, (struct register_state){.promised = {1, 1}}, all_sites);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__OUTBID);
    finish_three_phase(1, false);
    expect_finish(false);
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->commit);
}

/* It may have been inserted without a flush, by this process or another. */
static void what_may_not_be_durable_is_stored_before_it_is_told(void **state)
{
    (void)state;
    be_asked();
    accepted(DB_ACCEPT_UNKNOWN);
    load_later(DB_FOUND, proposed);
    int request = take(STORE);
    assert_false(database.requests[request].insert);
    assert_true(register_state_equal(&database.requests[request].before, &proposed));
    assert_true(register_state_equal(&database.requests[request].row.state, &proposed));
    assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
    stored(request, DB_STORED);
    assert_false(granted()->applied);
    clear_inbox();
    ASK(participant, PROPOSAL(1)); /* by now it is known to be durable */
    granted();
    finish_three_phase(1, true);
    expect_finish(true);
}

static void what_was_not_done_is_done_the_ordinary_way(void **state)
{
    (void)state;
    be_asked();
    accepted(DB_ACCEPT_UNKNOWN);
    load_later(DB_NOT_FOUND, fresh);
    int request = take(STORE);
    assert_true(database.requests[request].insert);
    stored(request, DB_STORED);
    assert_false(granted()->applied);
}

static void a_row_that_was_not_durable_and_is_gone_was_not_deleted(void **state)
{
    (void)state;
    be_asked();
    accepted(DB_ACCEPT_UNKNOWN);
    load_later(DB_FOUND, proposed);
    stored(take(STORE), DB_CHANGED); /* the database crashed */
    loaded(DB_NOT_FOUND, fresh, NULL);
    int request = take(STORE);
    assert_true(database.requests[request].insert);
    stored(request, DB_STORED);
    granted();
}

static void who_asks_meanwhile_hears_the_decision(void **state)
{
    (void)state;
    be_asked();
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    assert_int_equal(orders->answered.count, 0);
    accepted(DB_ACCEPTED);
    assert_int_equal(orders->answered.messages[0]->reply->answered, WIRE__ANSWERED__KNOWN);
    assert_int_equal(orders->answered.messages[0]->reply->value, WIRE__VALUE__COMMIT);
}

static void or_is_promised_what_the_row_allows(void **state)
{
    (void)state;
    be_asked();
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    accepted(DB_ACCEPT_UNKNOWN);
    load_later(DB_FOUND, proposed);
    /* The promise's flush is the row's, too. */
    int request = take(STORE);
    assert_int_equal(database.requests[request].row.state.promised.round, 1);
    assert_int_equal(database.requests[request].row.state.value, REGISTER_COMMIT);
    stored(request, DB_STORED);
    assert_int_equal(orders->answered.messages[0]->reply->answered, WIRE__ANSWERED__GRANTED);
    assert_int_equal(orders->answered.messages[0]->reply->value, WIRE__VALUE__COMMIT);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__OUTBID);
}

static void a_commit_that_is_told_meanwhile_is_acknowledged(void **state)
{
    (void)state;
    be_asked();
    finish_three_phase(1, true);
    assert_int_equal(database.count, 1);
    accepted(DB_ACCEPTED);
    const Wire__Finished *finished = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(finished->commit && !finished->hazard);
}

static void a_commit_that_is_told_meanwhile_is_carried_out_if_that_is_not_known(void **state)
{
    (void)state;
    be_asked();
    finish_three_phase(1, true);
    accepted(DB_ACCEPT_UNKNOWN);
    expect_finish(true);
    assert_true(got(WIRE__MESSAGE__BODY_FINISHED)->finished->commit);
}

static void an_abort_that_is_told_meanwhile_is_a_hazard_if_it_was_committed(void **state)
{
    (void)state;
    be_asked();
    finish_three_phase(1, false);
    assert_int_equal(database.count, 1);
    accepted(DB_ACCEPTED);
    const Wire__Finished *finished = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_false(finished->commit);
    assert_non_null(finished->hazard);
}

static void nothing_else_ends_it_meanwhile(void **state)
{
    (void)state;
    be_asked();
    lose_session();
    pass(3000000); /* and its deadline */
    assert_int_equal(database.requests[0].kind, ACCEPT);
    for (int i = 1; i < database.count; i++)
        assert_int_not_equal(database.requests[i].kind, FINISH);
    while (database.count > 1)
        take_at(1);
    accepted(DB_ACCEPTED);
    assert_int_equal(database.count, 0);
}

/* Another process of this participant had it while this one's database was away. */
static void load_an_order_to_abort(void)
{
    static const struct db_heuristic row = {.gid = "troth.shop.c1.5.1.1",
                                            .commit = false,
                                            .xid = 7,
                                            .reason = "locks",
                                            .by = "ann",
                                            .at_us = 1};
    be_asked();
    events->down(events->self, "gone");
    settle();
    database.heuristics = &row;
    database.heuristic_count = 1;
    events->up(events->self, "1/1");
    settle();
    assert_int_equal(database.requests[0].kind, ACCEPT);
    for (int i = 1; i < database.count; i++)
        assert_int_not_equal(database.requests[i].kind, FINISH);
    while (database.count > 1) /* a scan */
        take_at(1);
    clear_inbox();
}

static void an_order_that_is_found_meanwhile_is_compared_with_what_was_done(void **state)
{
    (void)state;
    load_an_order_to_abort();
    accepted(DB_ACCEPTED);
    assert_true(granted()->applied);
    int request = take(FINISH);
    assert_false(database.requests[request].commit);
    events->finished(events->self, database.requests[request].tag, DB_MISSING, "");
    settle();
    clear_inbox();
    events->status(events->self, take_tag(STATUS), DB_STATUS_COMMITTED);
    settle();
    const Wire__Heuristics *told = got(WIRE__MESSAGE__BODY_HEURISTICS)->heuristics;
    assert_string_equal(told->heuristics[0]->found, "its database says that it was committed");
}

static void an_order_that_is_found_meanwhile_is_carried_out_if_it_was_not(void **state)
{
    (void)state;
    load_an_order_to_abort();
    accepted(DB_ACCEPT_UNKNOWN);
    expect_finish(false);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_FINISHED)); /* nobody was told an outcome yet */
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(test) cmocka_unit_test_setup_teardown(test, start_three_phase, stop_three_phase)
    const struct CMUnitTest tests[] = {
        TEST(its_branch_is_committed_with_it_and_one_word_says_both),
        TEST(where_two_are_not_enough_it_is_only_accepted),
        TEST(only_the_coordinators_own_ballot_is_the_decision),
        TEST(a_row_that_is_there_is_answered_for),
        TEST(what_may_not_be_durable_is_stored_before_it_is_told),
        TEST(what_was_not_done_is_done_the_ordinary_way),
        TEST(a_row_that_was_not_durable_and_is_gone_was_not_deleted),
        TEST(who_asks_meanwhile_hears_the_decision),
        TEST(or_is_promised_what_the_row_allows),
        TEST(a_commit_that_is_told_meanwhile_is_acknowledged),
        TEST(a_commit_that_is_told_meanwhile_is_carried_out_if_that_is_not_known),
        TEST(an_abort_that_is_told_meanwhile_is_a_hazard_if_it_was_committed),
        TEST(nothing_else_ends_it_meanwhile),
        TEST(an_order_that_is_found_meanwhile_is_compared_with_what_was_done),
        TEST(an_order_that_is_found_meanwhile_is_carried_out_if_it_was_not),
    };
    return cmocka_run_group_tests_name("three_phase_accept", tests, NULL, NULL);
}
