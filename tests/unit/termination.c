/* A participant finishes three-phase transactions without their coordinator: when, with whom, and
 * what it never does. The registers of its neighbours answer as theirs would. */
#include "tests/unit/neighbour_ports.h"

static void all_answer(bool answer)
{
    orders->answers = inventory->answers = answer;
}

/* Prepared, voted yes; the row is there and the database answers. */
static void be_in_doubt(void)
{
    prepare_three_phase(1);
    table.serves = table.exists = true;
    snprintf(table.sites, sizeof(table.sites), "%s", all_sites);
}

static void accept_the_proposal(void)
{
    ASK(participant, PROPOSAL(1));
    assert_true(register_state_equal(&table.state, &proposed));
}

static void lose_coordinator(void)
{
    coordinator_away = true;
    for (int i = 0; i < 100 && participant; i++)
        pass(50000);
    assert_null(participant);
    pass(1000000); /* this side notices, too */
}

/* The branch is finished so within the time; nothing else was asked of the database. */
static void expect_finish(bool commit, uint64_t within_us)
{
    for (uint64_t end = now_us + within_us; now_us < end && database.count == 0;)
        pass(50000);
    assert_int_equal(database.count, 1);
    int request = take(FINISH);
    assert_string_equal(database.requests[request].text, "troth.shop.c1.5.1.1");
    assert_int_equal(database.requests[request].commit, commit);
    events->finished(events->self, database.requests[request].tag, DB_FINISHED, "");
    settle();
}

static void expect_nothing(uint64_t for_us)
{
    pass(for_us);
    assert_int_equal(database.count, 0);
}

static void judge(Wire__Verdict verdict)
{
    Wire__Branch branch = three_phase_branch(1);
    Wire__Judged judged = WIRE__JUDGED__INIT, *list[] = {&judged};
    judged.branch = &branch;
    judged.verdict = verdict;
    judged.xid = 7;
    Wire__Verdicts verdicts = WIRE__VERDICTS__INIT;
    verdicts.n_judged = 1;
    verdicts.judged = list;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VERDICTS;
    message.verdicts = &verdicts;
    send(&message);
}

static const Wire__Status *last_status(int *count)
{
    const Wire__Status *status = NULL;
    *count = 0;
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case != WIRE__MESSAGE__BODY_STATUS)
            continue;
        status = inbox[i]->status;
        ++*count;
    }
    assert_non_null(status);
    return status;
}

static const Wire__Decided *told(const struct neighbour *neighbour)
{
    const Wire__Decided *decided = NULL;
    for (int i = 0; i < neighbour->asked.count; i++) {
        if (neighbour->asked.messages[i]->body_case == WIRE__MESSAGE__BODY_DECIDED)
            decided = neighbour->asked.messages[i]->decided;
    }
    return decided;
}

/* ---- with a majority ----------------------------------------------------------------------- */

static void nothing_accepted_by_a_majority_is_abort(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    lose_coordinator();
    expect_finish(false, 4000000);
    assert_int_equal(table.state.value, REGISTER_ABORT);
    assert_int_equal(table.state.accepted.round, 1);
    assert_int_equal(table.state.accepted.site, 2);
    assert_non_null(told(orders));
    assert_int_equal(told(orders)->value, WIRE__VALUE__ABORT);
    assert_int_equal(told(inventory)->value, WIRE__VALUE__ABORT);
    expect_nothing(5000000);
}

static void what_somebody_accepted_is_the_decision(void **state)
{
    (void)state;
    be_in_doubt();
    orders->own = proposed;
    all_answer(true);
    lose_coordinator();
    expect_finish(true, 4000000);
    assert_int_equal(table.state.value, REGISTER_COMMIT);
    assert_int_equal(orders->own.accepted.round, 1);
    assert_int_equal(told(inventory)->value, WIRE__VALUE__COMMIT);
}

static void what_this_site_accepted_is_the_decision(void **state)
{
    (void)state;
    be_in_doubt();
    accept_the_proposal();
    all_answer(true);
    lose_coordinator();
    expect_finish(true, 4000000);
}

static void its_own_register_is_asked_first(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(true);
    table.serves = false;
    lose_coordinator();
    for (int i = 0; i < 100 && database.count == 0; i++)
        pass(50000);
    pass(3000000);
    assert_int_equal(orders->asked.count + inventory->asked.count, 0);
    int request = take(STORE);
    assert_int_equal(database.requests[request].row.state.promised.round, 1);
    table.state.promised = (struct ballot){1, 2};
    table.serves = true;
    stored(request, DB_STORED);
    expect_finish(false, 4000000);
}

static void two_of_four_are_no_majority_and_three_are(void **state)
{
    (void)state;
    be_in_doubt();
    orders->answers = true;
    inventory->away = true;
    lose_coordinator();
    expect_nothing(40000000);
    assert_null(told(orders));
    assert_int_equal(table.state.value, REGISTER_EMPTY);
    assert_int_equal(table.stores, 1);
    inventory->away = false;
    inventory->answers = true;
    expect_finish(false, 6000000);
}

static void a_minority_says_so(void **state)
{
    (void)state;
    be_in_doubt();
    all_answer(false);
    orders->away = inventory->away = true;
    clear_inbox();
    judge(WIRE__VERDICT__VERDICT_HOLD);
    pass(5000000);
    int count;
    const Wire__Status *status = last_status(&count);
    assert_in_range(count, 1, 10); /* not more than two a second */
    assert_int_equal(status->terminating, 1);
    assert_int_equal(status->minority, 1);
    clear_inbox();
    orders->away = inventory->away = false;
    all_answer(true);
    expect_finish(false, 6000000);
    pass(1000000);
    status = last_status(&count);
    assert_int_equal(status->terminating + status->minority, 0);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(test) cmocka_unit_test_setup_teardown(test, start_three_phase, stop_three_phase)
    const struct CMUnitTest tests[] = {
        TEST(nothing_accepted_by_a_majority_is_abort),
        TEST(what_somebody_accepted_is_the_decision),
        TEST(what_this_site_accepted_is_the_decision),
        TEST(its_own_register_is_asked_first),
        TEST(two_of_four_are_no_majority_and_three_are),
        TEST(a_minority_says_so),
    };
    return cmocka_run_group_tests_name("termination", tests, NULL, NULL);
}
