/* The agent on the tiny ports of agent_ports.h. */
#include "tests/unit/agent_ports.h"

static void work_is_prepared_voted_and_committed(void **state)
{
    (void)state;
    send_prepare(1);
    int request = take(WORK);
    const struct db_work *work = database.requests[request].work;
    assert_int_equal(work->mode, DB_PREPARE);
    assert_string_equal(work->gid, "troth.shop.c1.5.1.0");
    assert_int_equal(work->statement_count, 1);
    assert_string_equal(work->statements[0].sql, "update a set b = $1");
    assert_string_equal(work->statements[0].values[0], "1");
    assert_int_equal(work->timeout_us, 1000000);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_VOTE));
    worked(database.requests[request].tag, DB_PREPARED, 77);
    const Wire__Vote *vote = got_vote(WIRE__CHOICE__YES);
    assert_int_equal(vote->xid, 77);
    assert_int_equal(vote->n_results, 1);
    assert_string_equal(vote->results[0], "{\"id\":1}");
    send_finish(1, true, 77);
    request = take(FINISH);
    assert_true(database.requests[request].commit);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_FINISHED));
    events->finished(events->self, database.requests[request].tag, DB_FINISHED, "");
    settle();
    const Wire__Finished *finished = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(finished->commit && !finished->hazard);
    assert_int_equal(database.count, 0);
}

static void a_failed_expectation_tells_its_reason(void **state)
{
    (void)state;
    send_prepare(1);
    struct db_worked answer = {.outcome = DB_PREPARED,
                               .failed_statement = 0,
                               .sqlstate = "",
                               .reason = "insufficient_funds",
                               .detail = ""};
    events->worked(events->self, take_tag(WORK), &answer);
    settle();
    const Wire__Vote *vote = got_vote(WIRE__CHOICE__NO);
    assert_string_equal(vote->problem->participant, "payments");
    assert_string_equal(vote->problem->operation, "charge");
    assert_string_equal(vote->problem->code, "insufficient_funds");
    assert_false(database.requests[take(FINISH)].commit);
}

static void an_sql_error_tells_its_code(void **state)
{
    (void)state;
    send_prepare(1);
    struct db_worked answer = {.outcome = DB_FAILED,
                               .failed_statement = 0,
                               .sqlstate = "23505",
                               .reason = "duplicate key",
                               .detail = "Key (id)=(1) already exists."};
    events->worked(events->self, take_tag(WORK), &answer);
    settle();
    const Wire__Vote *vote = got_vote(WIRE__CHOICE__NO);
    assert_string_equal(vote->problem->code, "23505");
    assert_string_equal(vote->problem->message, "duplicate key");
    assert_string_equal(vote->problem->detail, "Key (id)=(1) already exists.");
    assert_int_equal(database.count, 0);
}

static void bad_calls_are_refused_before_the_database_hears_of_them(void **state)
{
    (void)state;
    static const struct {
        const char *operation, *arguments, *code;
    } cases[] = {{"chrage", "{}", "unknown_operation"},
                 {"charge", "{}", "bad_argument"},
                 {"charge", "{\"amount\":\"1\"}", "bad_argument"},
                 {"charge", "nonsense", "bad_argument"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        send_call(i + 1, WIRE__MODE__PREPARE, cases[i].operation, cases[i].arguments);
        assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, cases[i].code);
        clear_inbox();
    }
    assert_int_equal(database.count, 0);
}

static void no_more_works_at_once_than_there_are_connections(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 4; seq++)
        send_prepare(seq);
    assert_int_equal(database.count, 2);
    void *first = take_tag(WORK);
    worked(first, DB_FAILED, 0);
    assert_int_equal(database.count, 2);
    assert_string_equal(database.requests[1].work->gid, "troth.shop.c1.5.3.0");
    send_finish(4, false, 0);
    take_tag(WORK);
    worked(take_tag(WORK), DB_FAILED, 0);
    assert_int_equal(database.count, 0);
}

static void the_deadline_of_waiting_and_of_running_work_is_a_no(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 3; seq++)
        send_prepare(seq);
    void *first = take_tag(WORK), *second = take_tag(WORK);
    clear_inbox();
    pass(1100000);
    int votes = 0;
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case != WIRE__MESSAGE__BODY_VOTE)
            continue;
        assert_string_equal(inbox[i]->vote->problem->code, "deadline");
        votes++;
    }
    assert_int_equal(votes, 3);
    take(CANCEL);
    take(CANCEL);
    worked(first, DB_FAILED, 0);
    worked(second, DB_PREPARED, 3);
    assert_false(database.requests[take(FINISH)].commit);
}

static void without_a_database_the_answer_is_no_at_once(void **state)
{
    (void)state;
    send_prepare(1);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "database_down");
    clear_inbox();
    events->up(events->self, "1/1");
    for (uint64_t seq = 2; seq <= 4; seq++)
        send_prepare(seq);
    events->down(events->self, "server stopped");
    settle();
    const Wire__Vote *vote = got_vote(WIRE__CHOICE__NO); /* the one that waited */
    assert_int_equal(vote->branch->seq, 4);
    assert_string_equal(vote->problem->detail, "server stopped");
}

static void a_session_that_ends_before_the_vote_undoes_the_work(void **state)
{
    (void)state;
    send_prepare(1);
    void *tag = take_tag(WORK);
    lose_session();
    take(CANCEL);
    worked(tag, DB_PREPARED, 3);
    int request = take(FINISH);
    assert_false(database.requests[request].commit);
    clear_inbox();
    reconnect();
    events->finished(events->self, database.requests[request].tag, DB_FINISHED, "");
    settle();
    assert_true(nothing_came(WIRE__MESSAGE__BODY_VOTE));
    assert_true(nothing_came(WIRE__MESSAGE__BODY_INQUIRE));
}

static void a_yes_of_a_lost_session_is_inquired_about_in_the_next(void **state)
{
    (void)state;
    send_prepare(1);
    worked(take_tag(WORK), DB_PREPARED, 3);
    lose_session();
    assert_int_equal(database.count, 0);
    clear_inbox();
    reconnect();
    const Wire__Inquire *inquire = got(WIRE__MESSAGE__BODY_INQUIRE)->inquire;
    assert_int_equal(inquire->n_branches, 1);
    assert_int_equal(inquire->branches[0]->seq, 1);
    assert_int_equal(inquire->xids[0], 3);
    clear_inbox();
    send_verdict(1, WIRE__VERDICT__VERDICT_WAIT);
    assert_int_equal(database.count, 0);
    pass(100000); /* and again, soon */
    assert_int_equal(got(WIRE__MESSAGE__BODY_INQUIRE)->inquire->branches[0]->seq, 1);
    send_verdict(1, WIRE__VERDICT__VERDICT_COMMIT);
    assert_true(database.requests[take(FINISH)].commit);
}

static void an_orphan_is_found_inquired_about_and_ended(void **state)
{
    (void)state;
    events->up(events->self, "1/1");
    settle();
    clear_inbox();
    scanned("troth.shop.c1.4.17.2", 9);
    const Wire__Inquire *inquire = got(WIRE__MESSAGE__BODY_INQUIRE)->inquire;
    assert_int_equal(inquire->branches[0]->epoch, 4);
    assert_int_equal(inquire->branches[0]->branch, 2);
    const Wire__Status *status = got(WIRE__MESSAGE__BODY_STATUS)->status;
    assert_int_equal(status->prepared, 1);
    assert_int_equal(status->prepared_slots, 64);
    assert_int_equal(status->oldest_prepared_us, 99);
    Wire__Branch branch = branch_of(17);
    branch.epoch = 4;
    branch.branch = 2;
    Wire__Judged judged = WIRE__JUDGED__INIT, *list[] = {&judged};
    judged.branch = &branch;
    judged.verdict = WIRE__VERDICT__VERDICT_ABORT;
    Wire__Verdicts verdicts = WIRE__VERDICTS__INIT;
    verdicts.n_judged = 1;
    verdicts.judged = list;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VERDICTS;
    message.verdicts = &verdicts;
    send(&message);
    int request = take(FINISH);
    assert_string_equal(database.requests[request].text, "troth.shop.c1.4.17.2");
    assert_false(database.requests[request].commit);
}

static void held_and_foreign_gids_are_reported_and_never_touched(void **state)
{
    (void)state;
    events->up(events->self, "1/1");
    settle();
    struct db_prepared prepared[] = {{.gid = "troth.shop.c1.4.1.0", .xid = 1},
                                     {.gid = "troth.other.c1.4.1.0", .xid = 2},
                                     {.gid = "troth.shop.c9.4.1.0", .xid = 3},
                                     {.gid = "somebody's", .xid = 4}};
    events->scanned(events->self, take_tag(SCAN), true, prepared, 4, 64);
    settle();
    Wire__Branch branch = branch_of(1);
    branch.epoch = 4;
    Wire__Judged judged = WIRE__JUDGED__INIT, *list[] = {&judged};
    judged.branch = &branch;
    judged.verdict = WIRE__VERDICT__VERDICT_HOLD;
    Wire__Verdicts verdicts = WIRE__VERDICTS__INIT;
    verdicts.n_judged = 1;
    verdicts.judged = list;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VERDICTS;
    message.verdicts = &verdicts;
    clear_inbox();
    send(&message);
    settle();
    assert_int_equal(got(WIRE__MESSAGE__BODY_STATUS)->status->n_held, 2);
    pass(59500000);
    clear_inbox();
    pass(1000000);
    events->scanned(events->self, take_tag(SCAN), true, prepared, 4, 64);
    settle();
    const Wire__Status *status = got(WIRE__MESSAGE__BODY_STATUS)->status;
    assert_int_equal(status->prepared, 2);
    assert_int_equal(status->prepared_foreign, 2);
    assert_int_equal(status->n_held, 2);
    assert_string_equal(status->held[0], "troth.shop.c1.4.1.0");
    assert_string_equal(status->held[1], "troth.shop.c9.4.1.0");
    assert_int_equal(database.count, 0);
}

static void a_prepare_of_unknown_result_is_looked_for_and_rolled_back(void **state)
{
    (void)state;
    send_prepare(1);
    worked(take_tag(WORK), DB_LOST, 0);
    got_vote(WIRE__CHOICE__NO);
    pass(600000);
    scanned("troth.shop.c1.5.1.0", 3);
    assert_false(database.requests[take(FINISH)].commit);
}

static void a_branch_that_gets_prepared_after_the_scan_is_found_by_the_next(void **state)
{
    (void)state;
    send_prepare(1);
    worked(take_tag(WORK), DB_LOST, 0);
    pass(600000);
    scanned(NULL, 0);
    clear_inbox();
    pass(61000000);
    scanned("troth.shop.c1.5.1.0", 3);
    assert_int_equal(got(WIRE__MESSAGE__BODY_INQUIRE)->inquire->n_branches, 1);
    send_verdict(1, WIRE__VERDICT__VERDICT_ABORT);
    assert_false(database.requests[take(FINISH)].commit);
}

static void a_finish_of_an_unknown_branch_is_answered_from_the_database(void **state)
{
    (void)state;
    send_finish(1, true, 77);
    void *tag = take_tag(FINISH);
    events->finished(events->self, tag, DB_MISSING, "");
    settle();
    int request = take(STATUS);
    assert_int_equal(database.requests[request].xid, 77);
    events->status(events->self, database.requests[request].tag, DB_STATUS_COMMITTED);
    settle();
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
    clear_inbox();
    send_finish(2, true, 78);
    events->finished(events->self, take_tag(FINISH), DB_MISSING, "");
    events->status(events->self, take_tag(STATUS), DB_STATUS_ABORTED);
    settle();
    const Wire__Finished *finished = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(finished->hazard);
    assert_string_not_equal(finished->reason, "");
}

/* What clients have prepared it is asked about soon, not with the next sweep. */
static void is_asked_about_soon(void)
{
    struct db_prepared prepared = {.gid = "troth.shop.c1.5.9.0", .xid = 78};
    pass(1000000);
    clear_inbox();
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
    const Wire__Inquire *asked = got(WIRE__MESSAGE__BODY_INQUIRE)->inquire;
    assert_int_equal(asked->n_branches, 1);
    assert_int_equal(asked->branches[0]->seq, 9);
    assert_int_equal(asked->xids[0], 78);
}

/* Its abort was told to nobody while there was no session. */
static void the_next_session_hears_what_is_prepared_now(void **state)
{
    (void)state;
    lose_session();
    reconnect();
    is_asked_about_soon();
}

static void the_next_process_of_a_coordinator_hears_what_is_prepared_now(void **state)
{
    (void)state;
    transport_free(coordinator);
    participant = NULL;
    start_coordinator(6);
    pass(3000000);
    reconnect();
    is_asked_about_soon();
}

/* Of what was refused as the database is down: as many may come as there is work. */
static void an_abort_without_a_database_leaves_nothing_but_a_scan(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 40; seq++)
        send_finish(seq, false, 0);
    send_finish(41, false, 77); /* of a vote: what became of it can be proved */
    send_finish(42, true, 0);   /* owed for ever */
    pass(10000000);
    clear_inbox();
    events->up(events->self, "1/1");
    settle();
    struct db_prepared prepared = {.gid = "troth.shop.c1.5.7.0", .xid = 78};
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
    const Wire__Inquire *asked = got(WIRE__MESSAGE__BODY_INQUIRE)->inquire;
    assert_int_equal(asked->n_branches, 1);
    assert_int_equal(asked->branches[0]->seq, 7);
    pass(10000000);
    for (int i = 0; i < 2; i++) {
        int kept = take(FINISH);
        assert_string_equal(database.requests[kept].text, database.requests[kept].commit
                                                              ? "troth.shop.c1.5.42.0"
                                                              : "troth.shop.c1.5.41.0");
    }
    assert_int_equal(database.count, 0);
    send_verdict(7, WIRE__VERDICT__VERDICT_ABORT);
    int request = take(FINISH);
    assert_string_equal(database.requests[request].text, "troth.shop.c1.5.7.0");
    assert_false(database.requests[request].commit);
    /* With a database each is carried out. */
    send_finish(8, false, 0);
    assert_string_equal(database.requests[take(FINISH)].text, "troth.shop.c1.5.8.0");
}

static void a_hazard_of_an_abort_is_told_until_the_coordinator_has_it(void **state)
{
    (void)state;
    send_finish(1, false, 77);
    events->finished(events->self, take_tag(FINISH), DB_MISSING, "");
    lose_session();
    events->status(events->self, take_tag(STATUS), DB_STATUS_COMMITTED);
    settle();
    clear_inbox();
    reconnect();
    settle();
    const Wire__Finished *finished = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(finished->hazard && !finished->commit);
    assert_int_equal(finished->branch->seq, 1);
    pass(1000000);
    scanned(NULL, 0);
    /* This one goes out, and its session with it. */
    send_finish(2, false, 78);
    events->finished(events->self, take_tag(FINISH), DB_MISSING, "");
    cut = true;
    events->status(events->self, take_tag(STATUS), DB_STATUS_COMMITTED);
    lose_session();
    clear_inbox();
    reconnect();
    settle();
    finished = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(finished->hazard);
    assert_int_equal(finished->branch->seq, 2);
    /* Taken: not told again. */
    pass(1000000);
    lose_session();
    clear_inbox();
    reconnect();
    settle();
    assert_true(nothing_came(WIRE__MESSAGE__BODY_FINISHED));
}

static void what_cannot_be_finished_is_tried_again_and_holds_up_nothing_else(void **state)
{
    (void)state;
    send_finish(1, true, 77);
    for (int i = 0; i < 10; i++) {
        events->finished(events->self, take_tag(FINISH), DB_UNFINISHED, "no connection");
        settle();
        assert_int_equal(database.count, 0);
        pass(5100000);
        assert_int_equal(database.count, 1);
    }
    send_finish(2, true, 78);
    take(FINISH);
    events->finished(events->self, take_tag(FINISH), DB_FINISHED, "");
    settle();
    assert_int_equal(got(WIRE__MESSAGE__BODY_FINISHED)->finished->branch->seq, 2);
}

static void one_phase_work_votes_done(void **state)
{
    (void)state;
    send_call(1, WIRE__MODE__ONE_PHASE, "charge", "{\"amount\":1}");
    int request = take(WORK);
    assert_int_equal(database.requests[request].work->mode, DB_ONE_PHASE);
    assert_string_equal(database.requests[request].work->gtrid, "shop.c1.5.1");
    worked(database.requests[request].tag, DB_COMMITTED, 0);
    assert_string_equal(got_vote(WIRE__CHOICE__DONE)->results[0], "{\"id\":1}");
}

static void a_lost_one_phase_commit_is_found_by_its_barrier_row(void **state)
{
    (void)state;
    send_call(1, WIRE__MODE__ONE_PHASE, "charge", "{\"amount\":1}");
    worked(take_tag(WORK), DB_LOST, 0);
    int request = take(LOOKUP);
    assert_string_equal(database.requests[request].text, "shop.c1.5.1");
    assert_true(database.requests[request].fence);
    events->looked_up(events->self, database.requests[request].tag, DB_FOUND_ERROR, NULL);
    settle();
    got_vote(WIRE__CHOICE__LOST);
    send_lookup(1);
    events->looked_up(events->self, take_tag(LOOKUP), DB_FOUND, NULL);
    settle();
    assert_true(got(WIRE__MESSAGE__BODY_FOUND)->found->committed);
}

/* To the next sweep and through it: a minute after the last one. */
static void sweep(void)
{
    while (database.count == 0)
        pass(50000);
    scanned(NULL, 0);
}

static void barrier_rows_stay_until_every_lookup_had_its_time(void **state)
{
    (void)state;
    assert_int_equal(database.cleaned, 0); /* the first scan: the session has just begun */
    sweep();
    assert_int_equal(database.cleaned, 1);
    /* While the coordinator is away it can't ask. */
    lose_session();
    cut = true;
    sweep();
    assert_int_equal(database.cleaned, 1);
    cut = false;
    reconnect();
    sweep();
    assert_int_equal(database.cleaned, 1);
    /* More may follow the one that it asks now. */
    pass(10000000);
    send_lookup(1);
    assert_true(database.requests[0].fence);
    events->looked_up(events->self, take_tag(LOOKUP), DB_FENCED, NULL);
    sweep();
    assert_int_equal(database.cleaned, 1);
    sweep();
    assert_int_equal(database.cleaned, 2);
    /* This one is not answered yet. */
    send_lookup(2);
    take_tag(LOOKUP);
    sweep();
    sweep();
    sweep();
    assert_int_equal(database.cleaned, 2);
}

static void read_only_work_votes_read_only_in_either_mode(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        send_call(seq, seq == 1 ? WIRE__MODE__PREPARE : WIRE__MODE__ONE_PHASE, "look", "{}");
        int request = take(WORK);
        assert_int_equal(database.requests[request].work->mode, DB_READ_ONLY);
        worked(database.requests[request].tag, DB_COMMITTED, 0);
        got_vote(WIRE__CHOICE__READ_ONLY);
        clear_inbox();
    }
}

static void a_problem_always_fits_a_message(void **state)
{
    (void)state;
    send_prepare(1);
    char *large = xmalloc(LIMIT_MESSAGE_BYTES + 1);
    for (int i = 0; i + 1 < LIMIT_MESSAGE_BYTES; i += 2)
        memcpy(large + i, "\xc3\xa9", 2);
    large[LIMIT_MESSAGE_BYTES] = '\0';
    struct db_worked answer = {.outcome = DB_FAILED,
                               .failed_statement = 0,
                               .sqlstate = "23505",
                               .reason = large,
                               .detail = large + 1};
    events->worked(events->self, take_tag(WORK), &answer);
    settle();
    free(large);
    const Wire__Vote *vote = got_vote(WIRE__CHOICE__NO);
    assert_int_equal(strlen(vote->problem->message) % 2, 0); /* no half character */
    assert_in_range(strlen(vote->problem->detail), 900, 1000);
    clear_inbox();
    char *name = xmalloc(LIMIT_MESSAGE_BYTES - 100);
    memset(name, 'x', LIMIT_MESSAGE_BYTES - 101);
    name[LIMIT_MESSAGE_BYTES - 101] = '\0';
    send_call(2, WIRE__MODE__PREPARE, name, "{}");
    free(name);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "unknown_operation");
}

static void results_that_fit_no_message_are_refused(void **state)
{
    (void)state;
    send_prepare(1);
    char *large = xmalloc(LIMIT_RESULT_BYTES + 2);
    memset(large, '1', LIMIT_RESULT_BYTES + 1);
    large[LIMIT_RESULT_BYTES + 1] = '\0';
    const char *results[] = {large};
    struct db_worked answer = {.outcome = DB_PREPARED,
                               .failed_statement = -1,
                               .sqlstate = "",
                               .reason = "",
                               .detail = "",
                               .results = results};
    events->worked(events->self, take_tag(WORK), &answer);
    settle();
    free(large);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "result_too_large");
    assert_false(database.requests[take(FINISH)].commit);
}

static void draining_refuses_new_work_and_ends_when_votes_are_out(void **state)
{
    (void)state;
    send_prepare(1);
    agent_drain(agent);
    send_prepare(2);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "draining");
    assert_false(agent_drained(agent));
    clear_inbox();
    worked(take_tag(WORK), DB_PREPARED, 3);
    got_vote(WIRE__CHOICE__YES);
    pass(500000);
    assert_true(agent_drained(agent));
}

static void impossible_messages_change_nothing(void **state)
{
    (void)state;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Finish finish = WIRE__FINISH__INIT;
    message.body_case = WIRE__MESSAGE__BODY_FINISH;
    message.finish = &finish;
    send(&message);
    Wire__Branch branch = branch_of(1);
    branch.branch = LIMIT_BRANCHES;
    finish.branch = &branch;
    send(&message);
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PREPARE;
    message.prepare = &prepare;
    send(&message);
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SUBMIT;
    message.submit = &submit;
    send(&message);
    assert_int_equal(database.count, 0);
    send_prepare(1);
    send_prepare(1);
    assert_int_equal(database.count, 1);
}

static void an_agent_that_is_replaced_says_so(void **state)
{
    (void)state;
    assert_false(agent_replaced(agent));
    peer_close(participant, "replaced by another process");
    settle();
    assert_true(agent_replaced(agent));
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define UP(test)   cmocka_unit_test_setup_teardown(test, start_with_database, stop)
#define DOWN(test) cmocka_unit_test_setup_teardown(test, start, stop)
    const struct CMUnitTest tests[] = {
        UP(work_is_prepared_voted_and_committed),
        UP(a_failed_expectation_tells_its_reason),
        UP(an_sql_error_tells_its_code),
        UP(bad_calls_are_refused_before_the_database_hears_of_them),
        UP(no_more_works_at_once_than_there_are_connections),
        UP(the_deadline_of_waiting_and_of_running_work_is_a_no),
        DOWN(without_a_database_the_answer_is_no_at_once),
        UP(a_session_that_ends_before_the_vote_undoes_the_work),
        UP(a_yes_of_a_lost_session_is_inquired_about_in_the_next),
        DOWN(an_orphan_is_found_inquired_about_and_ended),
        DOWN(an_abort_without_a_database_leaves_nothing_but_a_scan),
        DOWN(held_and_foreign_gids_are_reported_and_never_touched),
        UP(a_prepare_of_unknown_result_is_looked_for_and_rolled_back),
        UP(a_branch_that_gets_prepared_after_the_scan_is_found_by_the_next),
        UP(a_finish_of_an_unknown_branch_is_answered_from_the_database),
        UP(the_next_session_hears_what_is_prepared_now),
        UP(the_next_process_of_a_coordinator_hears_what_is_prepared_now),
        UP(a_hazard_of_an_abort_is_told_until_the_coordinator_has_it),
        UP(what_cannot_be_finished_is_tried_again_and_holds_up_nothing_else),
        UP(one_phase_work_votes_done),
        UP(a_lost_one_phase_commit_is_found_by_its_barrier_row),
        UP(barrier_rows_stay_until_every_lookup_had_its_time),
        UP(read_only_work_votes_read_only_in_either_mode),
        UP(a_problem_always_fits_a_message),
        UP(results_that_fit_no_message_are_refused),
        UP(draining_refuses_new_work_and_ends_when_votes_are_out),
        UP(impossible_messages_change_nothing),
        UP(an_agent_that_is_replaced_says_so),
    };
    return cmocka_run_group_tests_name("agent", tests, NULL, NULL);
}
