/* Branches that are worked at step by step, at the agent: what comes in, who gets a connection, and
 * that nothing stays open. */
#include "tests/unit/steps_kit.h"

/* The request for the database that must be there, of that kind. */
static const struct db_work *taken(enum db_mode mode, void **tag)
{
    int request = take(WORK);
    *tag = database.requests[request].tag;
    assert_int_equal(database.requests[request].work->mode, mode);
    return database.requests[request].work;
}

static void open_one(uint64_t seq)
{
    void *tag;
    SEND_WORK(.seq = seq);
    taken(DB_STEP, &tag);
    worked(tag, DB_OPENED, 0);
    got_worked(NULL);
    clear_inbox();
}

static void rolled_back(void)
{
    void *tag;
    assert_int_equal(state_of(gid_1), BRANCH_CLOSING);
    taken(DB_ROLLBACK, &tag);
    worked(tag, DB_FAILED, 0);
    assert_int_equal(state_of(gid_1), BRANCH_ENDED);
    assert_int_equal(database.count, 0);
    assert_int_equal(agent->working, 0);
    assert_int_equal(agent->open, 0);
}

static void calls_come_one_by_one_and_are_prepared_as_one(void **state)
{
    (void)state;
    void *tag, *same;
    SEND_WORK();
    const struct db_work *work = taken(DB_STEP, &tag);
    assert_int_equal(work->statement_count, 1);
    assert_int_equal(work->timeout_us, 1000000);
    assert_string_equal(work->gtrid, "shop.c1.5.1");
    worked(tag, DB_OPENED, 0);
    const Wire__Worked *word = got_worked(NULL);
    assert_int_equal(word->number, 1);
    assert_int_equal(word->branch->seq, 1);
    assert_string_equal(word->result, "{\"id\":1}");
    clear_inbox();
    SEND_WORK(.number = 2, .operation = "look", .arguments = "{}");
    taken(DB_STEP, &same);
    assert_ptr_equal(tag, same);
    worked(tag, DB_OPENED, 0);
    assert_int_equal(got_worked(NULL)->number, 2);
    SEND_CONTINUE();
    work = taken(DB_PREPARE, &same);
    assert_ptr_equal(tag, same);
    assert_true(work->open && !work->sites);
    assert_int_equal(work->statement_count, 0);
    assert_string_equal(work->gid, gid_1);
    worked(tag, DB_PREPARED, 77);
    assert_int_equal(got_vote(WIRE__CHOICE__YES)->xid, 77);
    assert_int_equal(agent->working, 0);
    assert_int_equal(agent->open, 0);
    finish_three_phase(1, true);
    assert_true(database.requests[take(FINISH)].commit);
}

static void what_wrote_nothing_votes_read_only(void **state)
{
    (void)state;
    void *tag;
    open_one(1);
    SEND_CONTINUE(.three_phase = true);
    assert_non_null(taken(DB_PREPARE, &tag)->sites);
    worked(tag, DB_COMMITTED, 0);
    got_vote(WIRE__CHOICE__READ_ONLY);
    assert_int_equal(state_of(gid_1), BRANCH_ENDED);
    assert_int_equal(agent->open, 0);
}

static void with_three_phases_its_list_goes_with_the_prepare(void **state)
{
    (void)state;
    void *tag;
    open_one(1);
    SEND_CONTINUE(.three_phase = true);
    const struct db_work *work = taken(DB_PREPARE, &tag);
    assert_string_equal(work->sites, all_sites);
    worked(tag, DB_PREPARED, 7);
    got_vote(WIRE__CHOICE__YES);
    ASK(participant, PROPOSAL(1));
    accepted(DB_ACCEPT_REFUSED);
    loaded(DB_NOT_FOUND, fresh, NULL);
    stored(take(STORE), DB_STORED);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__GRANTED);
}

/* ---- refused ------------------------------------------------------------------------------- */

static void a_first_call_that_can_not_be_made_begins_nothing(void **state)
{
    (void)state;
    static const struct {
        struct work_sent sent;
        const char *code;
    } cases[] = {{{.operation = "chrage"}, "unknown_operation"},
                 {{.arguments = "{}"}, "bad_argument"},
                 {{.late = true}, "deadline"},
                 {{.number = 2}, "not_open"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        send_work_of(cases[i].sent);
        got_worked(cases[i].code);
        assert_int_equal(state_of(gid_1), BRANCH_ENDED);
        clear_inbox();
    }
    SEND_CONTINUE();
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "not_open");
    clear_inbox();
    agent_drain(agent);
    SEND_WORK();
    got_worked("draining");
    assert_int_equal(database.count, 0);
}

static void more_that_can_not_be_done_rolls_back_what_was(void **state)
{
    (void)state;
    static const struct {
        struct work_sent sent;
        const char *code;
    } cases[] = {{{.number = 2, .operation = "chrage"}, "unknown_operation"},
                 {{.number = 2, .arguments = "{}"}, "bad_argument"},
                 {{.number = 2, .late = true}, "deadline"},
                 {{.number = 1}, "not_open"},
                 {{.number = 3}, "not_open"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        open_one(1);
        send_work_of(cases[i].sent);
        got_worked(cases[i].code);
        rolled_back();
        clear_inbox();
    }
    open_one(1);
    SEND_CONTINUE(.late = true);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "deadline");
    rolled_back();
}

static void a_call_that_failed_tells_why(void **state)
{
    (void)state;
    void *tag;
    struct db_worked answer = {.outcome = DB_FAILED,
                               .failed_statement = 0,
                               .sqlstate = "",
                               .reason = "insufficient_funds",
                               .detail = ""};
    open_one(1);
    SEND_WORK(.number = 2);
    taken(DB_STEP, &tag);
    events->worked(events->self, tag, &answer);
    settle();
    const Wire__Worked *word = got_worked("insufficient_funds");
    assert_int_equal(word->number, 2);
    assert_string_equal(word->problem->operation, "charge");
    assert_int_equal(state_of(gid_1), BRANCH_ENDED);
    assert_int_equal(agent->open, 0);
    /* And so does its PREPARE, of which no operation is to blame. */
    clear_inbox();
    open_one(1);
    SEND_CONTINUE();
    taken(DB_PREPARE, &tag);
    answer = (struct db_worked){.outcome = DB_FAILED,
                                .failed_statement = -1,
                                .sqlstate = "23503",
                                .reason = "still referenced",
                                .detail = ""};
    events->worked(events->self, tag, &answer);
    settle();
    const Wire__Vote *vote = got_vote(WIRE__CHOICE__NO);
    assert_string_equal(vote->problem->code, "23503");
    assert_string_equal(vote->problem->operation, "");
}

static void a_result_that_fits_no_message_is_rolled_back(void **state)
{
    (void)state;
    void *tag;
    char *large = xmalloc(LIMIT_RESULT_BYTES + 2);
    memset(large, '1', LIMIT_RESULT_BYTES + 1);
    large[LIMIT_RESULT_BYTES + 1] = '\0';
    const char *results[] = {large};
    struct db_worked answer = {.outcome = DB_OPENED,
                               .failed_statement = -1,
                               .sqlstate = "",
                               .reason = "",
                               .detail = "",
                               .results = results};
    SEND_WORK();
    taken(DB_STEP, &tag);
    events->worked(events->self, tag, &answer);
    settle();
    assert_string_equal(got_worked("result_too_large")->result, "");
    rolled_back();
    free(large);
}

/* ---- connections --------------------------------------------------------------------------- */

/* Of two connections one. */
static void only_half_of_the_connections_are_held_open(void **state)
{
    (void)state;
    void *first, *second;
    SEND_WORK();
    SEND_WORK(.seq = 2);
    taken(DB_STEP, &first);
    assert_int_equal(database.count, 0);
    worked(first, DB_OPENED, 0);
    assert_int_equal(database.count, 0);
    send_prepare(3); /* has the other one */
    assert_string_equal(database.requests[0].work->gid, "troth.shop.c1.5.3.0");
    worked(take_tag(WORK), DB_FAILED, 0);
    assert_int_equal(database.count, 0);
    SEND_CONTINUE();
    taken(DB_PREPARE, &first);
    assert_int_equal(database.count, 0);
    worked(first, DB_PREPARED, 7);
    taken(DB_STEP, &second);
    worked(second, DB_FAILED, 0);
    assert_int_equal(agent->working, 0);
    assert_int_equal(agent->open, 0);
}

static void what_waits_for_a_connection_ends_at_its_deadline(void **state)
{
    (void)state;
    void *tag;
    SEND_WORK(.seq = 2);
    SEND_WORK();
    taken(DB_STEP, &tag);
    worked(tag, DB_OPENED, 0);
    clear_inbox();
    pass(1100000); /* of the other one, too */
    assert_int_equal(got_worked("deadline")->branch->seq, 1);
    taken(DB_ROLLBACK, &tag);
    worked(tag, DB_FAILED, 0);
    assert_int_equal(database.count, 0);
}

/* ---- its end ------------------------------------------------------------------------------- */

static void what_is_open_ends_with_the_deadline(void **state)
{
    (void)state;
    open_one(1);
    pass(900000);
    assert_int_equal(state_of(gid_1), BRANCH_OPEN);
    pass(200000);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_WORKED));
    /* More, or its end, finds it closing. */
    SEND_WORK(.number = 2);
    got_worked("not_open");
    SEND_CONTINUE();
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "not_open");
    rolled_back();
}

static void more_work_puts_the_deadline_off(void **state)
{
    (void)state;
    void *tag;
    open_one(1);
    pass(900000);
    SEND_WORK(.number = 2);
    taken(DB_STEP, &tag);
    worked(tag, DB_OPENED, 0);
    pass(900000);
    assert_int_equal(state_of(gid_1), BRANCH_OPEN);
}

static void work_that_runs_ends_with_the_deadline(void **state)
{
    (void)state;
    void *tag;
    open_one(1);
    SEND_WORK(.number = 2);
    taken(DB_STEP, &tag);
    pass(1100000);
    assert_int_equal(got_worked("deadline")->number, 2);
    take(CANCEL);
    worked(tag, DB_OPENED, 0);
    rolled_back();
}

static void what_is_open_ends_with_the_session(void **state)
{
    (void)state;
    open_one(1);
    lose_session();
    rolled_back();
    clear_inbox();
    reconnect();
    SEND_WORK(.number = 2);
    got_worked("not_open");
}

static void what_is_open_ends_with_the_database(void **state)
{
    (void)state;
    void *tag;
    SEND_WORK();
    SEND_WORK(.seq = 2);
    taken(DB_STEP, &tag);
    worked(tag, DB_OPENED, 0);
    clear_inbox();
    events->down(events->self, "server stopped");
    settle();
    assert_int_equal(got_worked("database_down")->branch->seq, 2); /* it waited */
    rolled_back();
}

static void an_abort_is_told_when_it_is_rolled_back(void **state)
{
    (void)state;
    void *tag;
    open_one(1);
    finish_three_phase(1, false);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_FINISHED));
    rolled_back();
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->commit);
    clear_inbox();
    /* While it works. */
    SEND_WORK();
    taken(DB_STEP, &tag);
    finish_three_phase(1, false);
    take(CANCEL);
    worked(tag, DB_FAILED, 0);
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->commit);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_WORKED));
    clear_inbox();
    /* Of what is not here. */
    finish_three_phase(1, false);
    events->finished(events->self, take_tag(FINISH), DB_MISSING, "");
    events->status(events->self, take_tag(STATUS), DB_STATUS_ABORTED);
    settle();
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
}

static void a_participant_that_is_stopped_lets_it_end(void **state)
{
    (void)state;
    void *tag;
    open_one(1);
    agent_drain(agent);
    assert_false(agent_drained(agent));
    SEND_WORK(.number = 2);
    taken(DB_STEP, &tag);
    worked(tag, DB_OPENED, 0);
    got_worked(NULL);
    SEND_CONTINUE();
    taken(DB_PREPARE, &tag);
    worked(tag, DB_PREPARED, 7);
    got_vote(WIRE__CHOICE__YES);
    pass(1000000); /* and it is acknowledged */
    assert_true(agent_drained(agent));
}

/* But not for as long as its client may think. */
static void a_participant_that_is_stopped_waits_for_idle_clients_for_a_while(void **state)
{
    (void)state;
    void *tag;
    SEND_WORK(.long_time = true);
    taken(DB_STEP, &tag);
    agent_drain(agent);
    pass(11000000); /* work that runs may go on */
    assert_int_equal(database.count, 0);
    worked(tag, DB_OPENED, 0);
    rolled_back();
    clear_inbox();
    SEND_WORK(.number = 2);
    got_worked("not_open");
}

static void a_client_that_thinks_has_ten_seconds_then(void **state)
{
    (void)state;
    void *tag;
    SEND_WORK(.long_time = true);
    taken(DB_STEP, &tag);
    worked(tag, DB_OPENED, 0);
    agent_drain(agent);
    pass(9000000);
    assert_int_equal(state_of(gid_1), BRANCH_OPEN);
    pass(2000000);
    rolled_back();
}

/* ---- looked at ----------------------------------------------------------------------------- */

static void it_is_shown_at_the_door(void **state)
{
    (void)state;
    void *tag;
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    open_one(1);
    SEND_WORK(.number = 2);
    for (int idle = 0; idle <= 1; idle++) {
        if (idle) {
            taken(DB_STEP, &tag);
            worked(tag, DB_OPENED, 0);
        }
        forget(&observer->answered);
        assert_true(peer_send(observer->door, &message, true));
        settle();
        const Wire__Answer *answer = observer->answered.messages[0]->answer;
        assert_int_equal(answer->n_transactions, 1);
        assert_string_equal(answer->transactions[0]->gtrid, "shop.c1.5.1");
        assert_string_equal(answer->transactions[0]->state, "open");
        assert_string_equal(answer->transactions[0]->branches[0]->state, idle ? "open" : "working");
        assert_false(answer->transactions[0]->in_doubt);
    }
}

static void which_database_it_is_is_told(void **state)
{
    (void)state;
    events->down(events->self, "restart");
    settle();
    clear_inbox();
    events->up(events->self, "7312345678901234567/16384");
    settle();
    assert_string_equal(got(WIRE__MESSAGE__BODY_STATUS)->status->database,
                        "7312345678901234567/16384");
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        WITH_AGENT(calls_come_one_by_one_and_are_prepared_as_one),
        WITH_AGENT(what_wrote_nothing_votes_read_only),
        WITH_AGENT(with_three_phases_its_list_goes_with_the_prepare),
        WITH_AGENT(a_first_call_that_can_not_be_made_begins_nothing),
        WITH_AGENT(more_that_can_not_be_done_rolls_back_what_was),
        WITH_AGENT(a_call_that_failed_tells_why),
        WITH_AGENT(a_result_that_fits_no_message_is_rolled_back),
        WITH_AGENT(only_half_of_the_connections_are_held_open),
        WITH_AGENT(what_waits_for_a_connection_ends_at_its_deadline),
        WITH_AGENT(what_is_open_ends_with_the_deadline),
        WITH_AGENT(more_work_puts_the_deadline_off),
        WITH_AGENT(work_that_runs_ends_with_the_deadline),
        WITH_AGENT(what_is_open_ends_with_the_session),
        WITH_AGENT(what_is_open_ends_with_the_database),
        WITH_AGENT(an_abort_is_told_when_it_is_rolled_back),
        WITH_AGENT(a_participant_that_is_stopped_lets_it_end),
        WITH_AGENT(a_participant_that_is_stopped_waits_for_idle_clients_for_a_while),
        WITH_AGENT(a_client_that_thinks_has_ten_seconds_then),
        WITH_AGENT(it_is_shown_at_the_door),
        WITH_AGENT(which_database_it_is_is_told),
    };
    return cmocka_run_group_tests_name("agent_open", tests, NULL, NULL);
}
