/* The participant's register of a three-phase transaction: fenced, durable, answered. termination.c
 * is about finishing one without its coordinator. */
#include "tests/unit/neighbour_ports.h"

/* It can't be committed with: another row was in the way, and has gone. */
static int propose(void)
{
    ASK(participant, PROPOSAL(1));
    accepted(DB_ACCEPT_REFUSED);
    loaded(DB_NOT_FOUND, fresh, NULL);
    return take(STORE);
}

/* ---- the hot path -------------------------------------------------------------------------- */

static void a_three_phase_branch_accepts_durably_before_it_answers(void **state)
{
    (void)state;
    send_three_phase(1);
    int request = take(WORK);
    assert_string_equal(database.requests[request].work->sites, all_sites);
    worked(database.requests[request].tag, DB_PREPARED, 7);
    got_vote(WIRE__CHOICE__YES);
    assert_int_equal(database.count, 0);

    request = propose();
    assert_string_equal(database.requests[request].text, "shop.c1.5.1");
    assert_string_equal(database.requests[request].sites, all_sites);
    assert_true(database.requests[request].insert);
    assert_in_range(database.requests[request].row.begun_us, 1000000, now_us);
    assert_true(register_state_equal(&database.requests[request].row.state, &proposed));
    assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
    stored(request, DB_STORED);
    const Wire__Reply *reply = got(WIRE__MESSAGE__BODY_REPLY)->reply;
    assert_string_equal(reply->coordinator, "c1");
    assert_int_equal(reply->epoch, 5);
    assert_int_equal(reply->seq, 1);
    assert_int_equal(reply->site, 2);
    assert_int_equal(reply->question, WIRE__QUESTION__ACCEPT);
    assert_int_equal(reply->answered, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->value, WIRE__VALUE__COMMIT);
    clear_inbox();

    ASK(participant, PROPOSAL(1)); /* again: answered again, and stored once */
    assert_int_equal(database.count, 0);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__GRANTED);
    clear_inbox();
    finish_three_phase(1, true);
    events->finished(events->self, take_tag(FINISH), DB_FINISHED, "");
    settle();
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
    clear_inbox();

    ASK(participant, PROPOSAL(1)); /* nothing is kept in memory once the branch has ended */
    loaded(DB_FOUND, proposed, all_sites);
    stored(take(STORE), DB_STORED);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__GRANTED);
}

static void expect_fenced(void *work)
{
    worked(work, DB_PREPARED, 7);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "fenced");
}

static void a_branch_whose_register_was_asked_while_it_worked_votes_no(void **state)
{
    (void)state;
    send_three_phase(1);
    void *work = take_tag(WORK);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    loaded(DB_NOT_FOUND, fresh, NULL);
    int request = take(STORE);
    assert_true(database.requests[request].insert);
    assert_string_equal(database.requests[request].sites, all_sites);
    stored(request, DB_STORED);
    expect_fenced(work);
    assert_false(database.requests[take(FINISH)].commit);
}

static void it_votes_no_before_the_answer_is_stored(void **state)
{
    (void)state;
    send_three_phase(1);
    void *work = take_tag(WORK);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    expect_fenced(work);
    loaded(DB_NOT_FOUND, fresh, NULL);
    assert_false(database.requests[take(FINISH)].commit);
    stored(take(STORE), DB_STORED);
    assert_int_equal(orders->answered.count, 1);
}

/* It has no row, and none was cleaned while it was prepared: so nothing was promised here. */
static void a_prepared_branch_without_a_row_has_a_fresh_register_whatever_its_age(void **state)
{
    (void)state;
    struct db_prepared prepared = {.gid = "troth.shop.c1.5.1.1",
                                   .registered = true,
                                   .sites = all_sites,
                                   .xid = 7,
                                   .prepared_at_us = 99};
    while (database.count == 0 || database.requests[database.count - 1].kind != SCAN)
        pass(50000);
    while (database.requests[0].kind != SCAN)
        take_at(0);
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1},
        .begun_us = (int64_t)now_us - 301000000);
    loaded(DB_NOT_FOUND, fresh, NULL);
    int request = take(STORE);
    assert_true(database.requests[request].insert);
    assert_string_equal(database.requests[request].sites, all_sites);
    assert_int_equal(database.requests[request].row.begun_us, 99);
    stored(request, DB_STORED);
    assert_int_equal(orders->answered.messages[0]->reply->answered, WIRE__ANSWERED__GRANTED);
}

/* Another process of this participant has promised, and this one votes yes: the row is in the way
 * of the coordinator's ballot. */
static void what_was_promised_before_a_vote_outbids_the_proposal(void **state)
{
    (void)state;
    prepare_three_phase(1);
    ASK(participant, PROPOSAL(1));
    accepted(DB_ACCEPT_REFUSED);
    loaded(DB_FOUND, (struct register_state){.promised = {1, 1}}, "");
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__OUTBID);
}

static void an_ask_before_the_prepare_makes_a_row_without_a_list(void **state)
{
    (void)state;
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    loaded(DB_NOT_FOUND, fresh, NULL);
    int request = take(STORE);
    assert_true(database.requests[request].insert);
    assert_string_equal(database.requests[request].sites, "");
    assert_int_equal(database.requests[request].row.state.promised.round, 1);
    assert_int_equal(orders->answered.count, 0);
    stored(request, DB_STORED);
    assert_int_equal(orders->answered.count, 1);
    const Wire__Reply *reply = orders->answered.messages[0]->reply;
    assert_int_equal(reply->answered, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->promised->round, 1);
    assert_int_equal(reply->promised->site, 1);
    assert_int_equal(reply->value, WIRE__VALUE__EMPTY);
}

static void a_row_that_may_have_been_cleaned_is_not_invented(void **state)
{
    (void)state;
    /* Longer ago than half of the time that rows are kept. */
    ASK(participant, PROPOSAL(1), .begun_us = (int64_t)now_us - 301000000);
    loaded(DB_NOT_FOUND, fresh, NULL);
    assert_int_equal(database.count, 0);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__CANNOT_TELL);
}

static void what_is_not_stored_is_loaded_and_answered_anew(void **state)
{
    (void)state;
    prepare_three_phase(1);
    stored(propose(), DB_CHANGED);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
    struct register_state promised = {.promised = {4, 1}};
    loaded(DB_FOUND, promised, all_sites);
    const Wire__Reply *reply = got(WIRE__MESSAGE__BODY_REPLY)->reply;
    assert_int_equal(reply->answered, WIRE__ANSWERED__OUTBID);
    assert_int_equal(reply->promised->round, 4);
    assert_int_equal(database.count, 0);
}

/* By hand: what it had accepted may have been counted. */
static void accept_and_load(enum db_found found)
{
    prepare_three_phase(1);
    stored(propose(), DB_STORED);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__GRANTED);
    last_error[0] = '\0';
    for (uint32_t round = 1; round <= 2; round++) {
        ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round, 1});
        if (round == 1) {
            stored(take(STORE), DB_CHANGED);
            loaded(found, fresh, all_sites);
        }
        assert_int_equal(database.count, 0);
        assert_int_equal(orders->answered.count, round);
        assert_int_equal(orders->answered.messages[round - 1]->reply->answered,
                         WIRE__ANSWERED__CANNOT_TELL);
    }
    assert_non_null(strstr(last_error, "deleted or set back"));
}

static void a_row_that_was_deleted_is_not_taken_for_a_fresh_one(void **state)
{
    (void)state;
    accept_and_load(DB_NOT_FOUND);
}

static void a_row_that_was_set_back_is_not_answered_for(void **state)
{
    (void)state;
    accept_and_load(DB_FOUND);
}

static void a_store_that_fails_is_tried_again_and_nothing_is_said_before(void **state)
{
    (void)state;
    prepare_three_phase(1);
    int request = propose();
    for (int i = 0; i < 5; i++) {
        stored(request, DB_STORE_FAILED);
        assert_int_equal(database.count, 0);
        while (database.count == 0)
            pass(50000);
        loaded(DB_FOUND_ERROR, fresh, NULL);
        while (database.count == 0)
            pass(50000);
        loaded(DB_FOUND, fresh, all_sites);
        assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
        request = take(STORE);
    }
    stored(request, DB_STORED);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__GRANTED);
}

static void what_was_settled_is_known(void **state)
{
    (void)state;
    uint64_t seqs[] = {9};
    Wire__Settled settled = WIRE__SETTLED__INIT;
    settled.epoch = 5;
    settled.n_seqs = 1;
    settled.seqs = seqs;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SETTLED;
    message.settled = &settled;
    send(&message);
    assert_int_equal(database.settled_epoch, 5);
    assert_int_equal(database.settled, 9);
    struct register_state known = {0};
    register_learn(&known, REGISTER_COMMIT);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    loaded(DB_FOUND, known, "");
    assert_int_equal(orders->answered.count, 1);
    assert_int_equal(orders->answered.messages[0]->reply->answered, WIRE__ANSWERED__KNOWN);
    assert_int_equal(orders->answered.messages[0]->reply->value, WIRE__VALUE__COMMIT);
    assert_int_equal(database.count, 0);
}

static void the_status_tells_where_it_listens(void **state)
{
    (void)state;
    lose_session();
    clear_inbox();
    reconnect();
    settle();
    const Wire__Status *status = got(WIRE__MESSAGE__BODY_STATUS)->status;
    assert_string_equal(status->listen, "tcp://127.0.0.1:7412");
    assert_int_equal(status->terminating, 0);
}

static void read_only_work_needs_no_list(void **state)
{
    (void)state;
    const char *names[] = {"orders", "payments"};
    const char *addresses[] = {"tcp://127.0.0.1:7411", "tcp://127.0.0.1:7412"};
    send_sites(1, names, addresses, 2, "look");
    int request = take(WORK);
    assert_null(database.requests[request].work->sites);
    worked(database.requests[request].tag, DB_COMMITTED, 0);
    got_vote(WIRE__CHOICE__READ_ONLY);
}

static void sites_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *names[3], *addresses[3];
        size_t count;
    } wrong[] = {
        {{"payments"}, {"tcp://127.0.0.1:1"}, 1},
        {{"payments", "orders"}, {"tcp://127.0.0.1:1", "tcp://127.0.0.1:2"}, 2},
        {{"payments", "payments"}, {"tcp://127.0.0.1:1", "tcp://127.0.0.1:2"}, 2},
        {{"orders", "payments"}, {"tcp://127.0.0.1:1,x=y", "tcp://127.0.0.1:2"}, 2},
        {{"orders", "payments"}, {"", "tcp://127.0.0.1:2"}, 2},
        {{"no name", "payments"}, {"tcp://127.0.0.1:1", "tcp://127.0.0.1:2"}, 2},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        send_sites(i + 1, (const char **)wrong[i].names, (const char **)wrong[i].addresses,
                   wrong[i].count, "charge");
        assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "bad_request");
        assert_int_equal(database.count, 0);
        clear_inbox();
    }
}

static void a_second_branch_of_the_same_transaction_has_no_register(void **state)
{
    (void)state;
    prepare_three_phase(1);
    /* By a list in which this participant stands first. */
    Wire__Site site = WIRE__SITE__INIT, *sites[] = {&site};
    site.participant = (char *)"payments";
    site.address = (char *)"tcp://127.0.0.1:7412";
    Wire__Branch branch = branch_of(1);
    Wire__Call call = WIRE__CALL__INIT, *calls[] = {&call};
    call.operation = (char *)"charge";
    call.arguments = (char *)"{\"amount\":1}";
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    prepare.branch = &branch;
    prepare.timeout_ms = 1000;
    prepare.n_calls = prepare.n_sites = 1;
    prepare.calls = calls;
    prepare.sites = sites;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PREPARE;
    message.prepare = &prepare;
    send(&message);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "bad_request");
    /* In the database of a row for both, as a scan says. */
    pass(59500000);
    struct db_prepared prepared[] = {
        {.gid = "troth.shop.c1.5.1.1", .registered = true, .xid = 7, .prepared_at_us = 99},
        {.gid = "troth.shop.c1.5.1.2", .registered = true, .xid = 8, .prepared_at_us = 99}};
    while (database.count == 0 || database.requests[database.count - 1].kind != SCAN)
        pass(50000);
    while (database.requests[0].kind != SCAN)
        take_at(0);
    events->scanned(events->self, take_tag(SCAN), true, prepared, 2, 64);
    settle();
    finish_three_phase(1, true);
    while (database.requests[0].kind != FINISH)
        take_at(0);
    events->finished(events->self, take_tag(FINISH), DB_FINISHED, "");
    pass(1000000);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(test) cmocka_unit_test_setup_teardown(test, start_three_phase, stop_three_phase)
    const struct CMUnitTest tests[] = {
        TEST(a_three_phase_branch_accepts_durably_before_it_answers),
        TEST(a_branch_whose_register_was_asked_while_it_worked_votes_no),
        TEST(it_votes_no_before_the_answer_is_stored),
        TEST(a_prepared_branch_without_a_row_has_a_fresh_register_whatever_its_age),
        TEST(what_was_promised_before_a_vote_outbids_the_proposal),
        TEST(an_ask_before_the_prepare_makes_a_row_without_a_list),
        TEST(a_row_that_may_have_been_cleaned_is_not_invented),
        TEST(what_is_not_stored_is_loaded_and_answered_anew),
        TEST(a_row_that_was_deleted_is_not_taken_for_a_fresh_one),
        TEST(a_row_that_was_set_back_is_not_answered_for),
        TEST(a_store_that_fails_is_tried_again_and_nothing_is_said_before),
        TEST(what_was_settled_is_known),
        TEST(the_status_tells_where_it_listens),
        TEST(read_only_work_needs_no_list),
        TEST(sites_that_make_no_sense_are_refused),
        TEST(a_second_branch_of_the_same_transaction_has_no_register),
    };
    return cmocka_run_group_tests_name("three_phase_participant", tests, NULL, NULL);
}
