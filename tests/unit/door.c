/* The door of a participant: who may come in, what they may ask, and what is told of what is in
 * doubt while the coordinator is gone. */
#include "participant/agent_private.h"
#include "tests/unit/neighbour_ports.h"

static const Wire__Answer *query(Wire__What what, const char *gtrid, bool in_doubt)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.request = 17;
    query.what = what;
    query.gtrid = (char *)gtrid;
    query.in_doubt = in_doubt;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    forget(&observer->answered);
    assert_true(peer_send(observer->door, &message, true));
    settle();
    assert_int_equal(observer->answered.count, 1);
    const Wire__Answer *answer = observer->answered.messages[0]->answer;
    assert_int_equal(answer->request, 17);
    return answer;
}

static const Wire__TransactionView *only_transaction(void)
{
    const Wire__Answer *answer = query(WIRE__WHAT__TRANSACTION, "shop.c1.5.1", false);
    assert_null(answer->problem);
    assert_int_equal(answer->n_transactions, 1);
    return answer->transactions[0];
}

static void be_in_doubt(void)
{
    prepare_three_phase(1);
    table.serves = table.exists = true;
    snprintf(table.sites, sizeof(table.sites), "%s", all_sites);
}

static void what_is_in_doubt_is_told_with_all_that_is_known(void **state)
{
    (void)state;
    assert_int_equal(query(WIRE__WHAT__TRANSACTIONS, "", false)->n_transactions, 0);
    be_in_doubt();
    const Wire__TransactionView *view = only_transaction();
    assert_string_equal(view->gtrid, "shop.c1.5.1");
    assert_string_equal(view->state, "in-doubt");
    assert_int_equal(view->protocol, WIRE__PROTOCOL__THREE_PHASE);
    assert_true(view->in_doubt);
    assert_string_equal(view->phase, "can-commit");
    assert_string_equal(view->waits_for, "its coordinator");
    assert_string_equal(view->terminator, "");
    assert_int_equal(view->n_branches, 1);
    assert_string_equal(view->branches[0]->participant, "payments");
    assert_string_equal(view->branches[0]->state, "prepared");
    assert_string_equal(view->branches[0]->gid, "troth.shop.c1.5.1.1");
    assert_int_equal(view->branches[0]->xid, 7);
    assert_int_equal(view->n_sites, 4);
    assert_string_equal(view->sites[0]->name, "c1");
    assert_true(view->sites[0]->reachable);
    assert_string_equal(view->sites[1]->name, "orders");
    assert_string_equal(view->sites[1]->address, "tcp://127.0.0.1:7411");
    assert_false(view->sites[1]->reachable || view->sites[1]->heard);
    assert_true(view->sites[2]->reachable && view->sites[2]->heard);
    assert_int_equal(view->sites[2]->value, WIRE__VALUE__EMPTY);
    ASK(participant, PROPOSAL(1));
    view = only_transaction();
    assert_string_equal(view->phase, "pre-commit");
    assert_int_equal(view->sites[2]->value, WIRE__VALUE__COMMIT);
    const Wire__Answer *answer = query(WIRE__WHAT__TRANSACTIONS, "", true);
    assert_int_equal(answer->n_transactions, 1);
    assert_string_equal(answer->transactions[0]->gtrid, "shop.c1.5.1");
}

static void a_minority_is_told_with_what_it_waits_for(void **state)
{
    (void)state;
    be_in_doubt();
    coordinator_away = true;
    inventory->away = true;
    orders->answers = true;
    pass(8000000);
    const Wire__TransactionView *view = only_transaction();
    assert_string_equal(view->state, "terminating");
    assert_string_equal(view->terminator, "payments");
    assert_string_equal(view->waits_for, "a majority: 2 of 4 sites have answered");
    assert_false(view->sites[0]->reachable || view->sites[0]->heard);
    assert_true(view->sites[1]->reachable && view->sites[1]->heard);
    assert_int_equal(view->sites[1]->promised->round, 1);
    assert_int_equal(view->sites[1]->promised->site, 2);
    assert_false(view->sites[3]->reachable);
    const Wire__Answer *answer = query(WIRE__WHAT__PARTICIPANTS, "", false);
    assert_int_equal(answer->n_participants, 1);
    const Wire__ParticipantView *self = answer->participants[0];
    assert_string_equal(self->name, "payments");
    assert_string_equal(self->listen, "tcp://127.0.0.1:7412");
    assert_true(self->connected && self->database_up);
    assert_int_equal(self->terminating, 1);
    assert_int_equal(self->minority, 1);
    assert_int_equal(self->working, 1);
    assert_int_equal(self->n_operations, 2);
    /* Nobody else either. */
    orders->away = true;
    orders->answers = false;
    inventory->away = false;
    pass(3000000);
    assert_string_equal(only_transaction()->waits_for, "a majority: 2 of 4 sites have answered");
}

/* A step of a saga that runs here, and what sagas can call. */
static void what_sagas_want_here_is_told(void **state)
{
    (void)state;
    Wire__Task task = WIRE__TASK__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    Wire__Execute execute = WIRE__EXECUTE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    task.epoch = 5;
    task.seq = 9;
    task.step = (char *)"charge";
    call.operation = (char *)"charge";
    call.arguments = (char *)"{\"amount\":1}";
    execute.task = &task;
    execute.how = WIRE__HOW__HOW_STEP;
    execute.call = &call;
    execute.timeout_ms = 60000;
    execute.since_us = (int64_t)now_us;
    message.body_case = WIRE__MESSAGE__BODY_EXECUTE;
    message.execute = &execute;
    send(&message);
    const Wire__Answer *answer = query(WIRE__WHAT__PARTICIPANTS, "", false);
    assert_int_equal(answer->participants[0]->executing, 1);
    assert_int_equal(answer->participants[0]->n_offers, 0);
    worked(take_tag(WORK), DB_COMMITTED, 0);
    answer = query(WIRE__WHAT__OFFERS, "", false);
    assert_int_equal(answer->n_participants, 1);
    assert_int_equal(answer->participants[0]->executing, 0);
    assert_int_equal(answer->participants[0]->n_offers, 2);
    assert_string_equal(answer->participants[0]->offers[0]->types[0], "numeric");
    assert_string_equal(query(WIRE__WHAT__SAGAS, "", false)->problem->code, "participant");
    assert_string_equal(query(WIRE__WHAT__SAGA, "", false)->problem->code, "participant");
}

static void its_metrics_are_told_as_samples(void **state)
{
    (void)state;
    be_in_doubt();
    const Wire__Answer *answer = query(WIRE__WHAT__METRICS, "", false);
    int found = 0;
    assert_true(answer->n_samples > 50);
    assert_int_equal(answer->more, 0);
    for (size_t i = 0; i < answer->n_samples; i++) {
        const Wire__Sample *sample = answer->samples[i];
        if (strcmp(sample->name, "troth_branches_in_doubt") == 0 &&
            strcmp(sample->labels, "age=\"under_10s\"") == 0)
            found += sample->value == 1;
    }
    assert_int_equal(found, 1);
}

static void a_two_phase_branch_is_told_too(void **state)
{
    (void)state;
    send_prepare(1);
    worked(take_tag(WORK), DB_PREPARED, 7);
    const Wire__TransactionView *view = only_transaction();
    assert_int_equal(view->protocol, WIRE__PROTOCOL__TWO_PHASE);
    assert_string_equal(view->state, "in-doubt");
    assert_string_equal(view->waits_for, "its coordinator");
    assert_int_equal(view->n_sites, 0);
}

static void what_it_does_not_know_is_a_problem_that_says_so(void **state)
{
    (void)state;
    const Wire__Problem *problem = query(WIRE__WHAT__COORDINATOR, "", false)->problem;
    assert_non_null(problem);
    assert_string_equal(problem->message, "this is participant payments, not a coordinator");
    problem = query(WIRE__WHAT__TRANSACTION, "shop.c1.5.99", false)->problem;
    assert_string_equal(problem->code, "unknown");
    assert_non_null(strstr(problem->message, "payments"));
    problem = query(WIRE__WHAT__TRANSACTION, "what?", false)->problem;
    assert_string_equal(problem->code, "bad_request");
    assert_string_equal(query((Wire__What)99, "", false)->problem->code, "bad_request");
}

static void who_looks_may_only_look(void **state)
{
    (void)state;
    be_in_doubt();
    ASK(observer->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    Wire__Decided decided = WIRE__DECIDED__INIT;
    decided.coordinator = (char *)"c1";
    decided.epoch = 5;
    decided.seq = 1;
    decided.value = WIRE__VALUE__ABORT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &decided;
    assert_true(peer_send(observer->door, &message, true));
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SUBMIT;
    message.submit = &submit;
    assert_true(peer_send(observer->door, &message, true));
    pass(500000);
    assert_int_equal(observer->answered.count, 0);
    assert_int_equal(table.stores, 0);
    assert_int_equal(database.count, 0);
}

static void hostile_asks_change_nothing(void **state)
{
    (void)state;
    be_in_doubt();
    static const struct ask wrong[] = {
        {.question = WIRE__QUESTION__PROMISE, .ballot = {UINT32_MAX, UINT32_MAX}},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {UINT32_MAX - 1, 1}},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 77}},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 2}}, /* this site's own */
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 3}}, /* inventory's */
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 0}}, /* the coordinator's */
        {.question = WIRE__QUESTION__PROMISE, .ballot = {0, 1}},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 1}, .site = 1},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 1}, .site = 3},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 1}, .site = UINT32_MAX},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 1}, .coordinator = ""},
        {.question = WIRE__QUESTION__PROMISE, .ballot = {1, 1}, .coordinator = "no name"},
        {.question = WIRE__QUESTION__ACCEPT, .ballot = {1, 1}, .value = WIRE__VALUE__EMPTY},
        {.question = WIRE__QUESTION__ACCEPT, .ballot = {1, 1}, .value = (Wire__Value)9},
        {.question = WIRE__QUESTION__ACCEPT, .ballot = {0, 0}, .value = WIRE__VALUE__ABORT},
        {.question = (Wire__Question)9, .ballot = {1, 1}},
        {.question = WIRE__QUESTION__QUESTION_NONE, .ballot = {1, 1}},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        struct ask ask = wrong[i];
        ask.seq = 1;
        ask_of(orders->door, ask);
        assert_int_equal(orders->answered.count, 0);
        assert_int_equal(table.stores, 0);
    }
    /* The coordinator has its own ballots, and its own transactions. */
    ASK(participant, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    ASK(participant, PROPOSAL(1), .coordinator = "c2");
    ASK(participant, .seq = 1, .question = WIRE__QUESTION__ACCEPT, .value = WIRE__VALUE__ABORT);
    ASK(participant, .seq = 0, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 0});
    Wire__Ask empty_ask = WIRE__ASK__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_ASK;
    message.ask = &empty_ask;
    assert_true(peer_send(orders->door, &message, true));
    Wire__Decided empty_decided = WIRE__DECIDED__INIT;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &empty_decided;
    assert_true(peer_send(orders->door, &message, true));
    assert_true(peer_send(participant, &message, true));
    pass(500000);
    assert_int_equal(table.stores, 0);
    assert_int_equal(database.count, 0);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_REPLY));
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    assert_int_equal(orders->answered.count, 1);
}

static void of_each_asker_the_newest_question_is_answered(void **state)
{
    (void)state;
    prepare_three_phase(1);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    int request = take(STORE);
    void *tag = database.requests[request].tag;
    for (uint32_t round = 2; round < 10; round++) {
        ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round, 1});
        ASK(inventory->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round, 3});
        ASK(participant, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {round, 0});
    }
    assert_int_equal(database.count, 0); /* one at a time */
    table.serves = table.exists = true;
    table.state.promised = (struct ballot){1, 1};
    events->register_stored(events->self, tag, DB_STORED);
    settle();
    assert_int_equal(orders->answered.count, 2);
    assert_int_equal(orders->answered.messages[1]->reply->ballot->round, 9);
    assert_int_equal(inventory->answered.count, 1);
    assert_int_equal(table.state.promised.round, 9);
    assert_int_equal(table.state.promised.site, 3);
}

/* As rounds without a majority ask, each second again. */
static void addresses_at_which_nobody_is_leave_room_for_others(void **state)
{
    (void)state;
    Wire__Decided decided = WIRE__DECIDED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    decided.coordinator = (char *)"c1";
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &decided;
    for (int second = 0; second < 10; second++) {
        for (int i = 0; i < 2 * LIMIT_LINES; i++) {
            char address[LIMIT_ADDRESS_BYTES + 1];
            snprintf(address, sizeof(address), "%s%d", nowhere, 7500 + i);
            assert_false(line_send(agent, "nobody", address, &message));
            pass(5000);
        }
        bool sent = line_send(agent, "orders", orders->address, &message);
        assert_true(sent || second < 5);
        pass(360000);
    }
    assert_non_null(orders->line);
}

static void an_answer_to_a_session_that_is_gone_is_dropped(void **state)
{
    (void)state;
    prepare_three_phase(1);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    int request = take(STORE);
    void *tag = database.requests[request].tag;
    peer_close(orders->door, "gone");
    pass(600000); /* it is there again, in another session */
    assert_non_null(orders->door);
    events->register_stored(events->self, tag, DB_STORED);
    settle();
    assert_int_equal(orders->answered.count, 0);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    assert_int_equal(orders->answered.count, 1);
    assert_int_equal(orders->answered.messages[0]->reply->answered, WIRE__ANSWERED__GRANTED);
    assert_int_equal(database.count, 0);
}

static void leaving_waits_for_what_is_being_stored(void **state)
{
    (void)state;
    prepare_three_phase(1);
    pass(500000);
    agent_drain(agent);
    assert_true(agent_drained(agent));
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE, .ballot = {1, 1});
    assert_false(agent_drained(agent));
    stored(take(STORE), DB_STORED);
    pass(500000);
    assert_true(agent_drained(agent));
    assert_int_equal(orders->answered.count, 1);
    agent_leave(agent);
    settle();
    assert_int_equal(orders->ends, 1);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(test) cmocka_unit_test_setup_teardown(test, start_three_phase, stop_three_phase)
    const struct CMUnitTest tests[] = {
        TEST(what_is_in_doubt_is_told_with_all_that_is_known),
        TEST(a_minority_is_told_with_what_it_waits_for),
        TEST(what_sagas_want_here_is_told),
        TEST(its_metrics_are_told_as_samples),
        TEST(a_two_phase_branch_is_told_too),
        TEST(what_it_does_not_know_is_a_problem_that_says_so),
        TEST(who_looks_may_only_look),
        TEST(hostile_asks_change_nothing),
        TEST(of_each_asker_the_newest_question_is_answered),
        TEST(addresses_at_which_nobody_is_leave_room_for_others),
        TEST(an_answer_to_a_session_that_is_gone_is_dropped),
        TEST(leaving_waits_for_what_is_being_stored),
    };
    return cmocka_run_group_tests_name("door", tests, NULL, NULL);
}
