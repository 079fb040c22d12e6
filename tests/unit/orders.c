/* What operators order of a participant: what is recorded, done, told and answered, in which order,
 * and what of it a crash, a lost session or a decision finds. orders_refused.c: what is refused. */
#include "tests/unit/order_kit.h"

/* ---- resolve ------------------------------------------------------------------------------- */

static void it_is_recorded_then_done_then_told_then_answered(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 2; seq++) {
        bool commit = seq == 2;
        char gtrid[32], gid[48], text[120];
        snprintf(gtrid, sizeof(gtrid), "shop.c1.5.%d", (int)seq);
        snprintf(gid, sizeof(gid), "troth.%s.0", gtrid);
        send_prepare(seq);
        worked(take_tag(WORK), DB_PREPARED, 7);
        ORDER(.commit = commit, .gtrid = gtrid);
        assert_int_equal(database.requests[0].xid, 7);
        assert_string_equal(database.requests[0].text, gtrid);
        assert_int_equal(audited.count, 4 * (seq - 1) / 2);
        looked_prepared(gid);
        assert_int_equal(database.count, 1); /* nothing is done before it is durable */
        assert_string_equal(database.requests[0].text, gid);
        assert_int_equal(database.requests[0].forced.commit, commit);
        assert_int_equal(database.requests[0].forced.xid, 7);
        assert_int_equal(database.requests[0].forced.at_us, now_us - 8000);
        assert_string_equal(database.requests[0].reason, "lost its disk");
        assert_string_equal(database.requests[0].by, "ada@host");
        forced(DB_STORED);
        assert_true(nothing_came(WIRE__MESSAGE__BODY_HEURISTICS));
        finished(commit, DB_FINISHED);
        const Wire__Heuristic *told = told_heuristic();
        assert_string_equal(told->coordinator, "c1");
        assert_int_equal(told->epoch, 5);
        assert_int_equal(told->seq, seq);
        assert_int_equal(told->branch, 0);
        assert_string_equal(told->participant, "payments");
        assert_int_equal(told->commit, commit);
        assert_string_equal(told->reason, "lost its disk");
        assert_string_equal(told->by, "ada@host");
        assert_string_equal(told->found, "");
        const Wire__Resolution *done = resolved(false, WIRE__DEED__DEED_HEURISTIC);
        assert_int_equal(done->n_steps, 1);
        assert_string_equal(done->steps[0],
                            commit ? "payments: COMMIT PREPARED" : "payments: ROLLBACK PREPARED");
        snprintf(text, sizeof(text), "participant payments has %s %s",
                 commit ? "committed" : "rolled back", gid);
        assert_string_equal(done->message, text);
        assert_true(nothing_came(WIRE__MESSAGE__BODY_FINISHED)); /* nobody decided */
    }
    assert_int_equal(audited.count, 4);
    assert_string_equal(audited.lines[0],
                        "ordered tx resolve --abort|shop.c1.5.1|ada@host|c1 (coordinator)|lost its "
                        "disk|in doubt; prepared at payments|");
    assert_string_equal(audited.lines[3],
                        "done tx resolve --commit|shop.c1.5.2|ada@host|c1 (coordinator)|lost its "
                        "disk|in doubt; prepared at payments|participant payments has committed "
                        "troth.shop.c1.5.2.0");
}

static void a_dry_run_tells_what_would_be_done_and_does_nothing(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    ORDER(.commit = true, .dry_run = true, .door = true);
    looked_prepared(gid_1);
    const Wire__Resolution *would = resolved(true, WIRE__DEED__DEED_HEURISTIC);
    assert_string_equal(would->steps[0], "payments: COMMIT PREPARED");
    assert_int_equal(would->n_unknowns, 2);
    assert_string_equal(would->unknowns[0],
                        "c1 is not connected here: whether it has decided is not known");
    assert_int_equal(would->n_testimonies, 1);
    assert_int_equal(would->testimonies[0]->n_exhibits, 1);
    assert_true(would->testimonies[0]->exhibits[0]->prepared);
    assert_string_equal(would->testimonies[0]->exhibits[0]->state, "in doubt");
    assert_int_equal(database.count, 0);
    assert_int_equal(audited.count, 0);
    coordinator_returns();
    clear_inbox();
    send_finish(1, true, 7); /* it is as it was */
    finished(true, DB_FINISHED);
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
}

static void the_session_may_be_lost_before_the_answer(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    lose_coordinator();
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    coordinator_returns();
    assert_true(nothing_came(WIRE__MESSAGE__BODY_ANSWER)); /* of an earlier session */
    assert_false(told_heuristic()->commit);
    assert_int_equal(audited.count, 2);
    assert_memory_equal(audited.lines[1], "done", 4);
}

static void the_same_order_again_does_it_once(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    ORDER(.commit = false, .request = 8);
    events->inspected(
        events->self, database.requests[take_at(1)].tag,
        &(struct db_inspected){
            .ok = true, .held = &held_1, .held_count = 1, .barrier = "", .report = ""});
    settle();
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    int answers = 0;
    for (int i = 0; i < inbox_count; i++)
        answers += inbox[i]->body_case == WIRE__MESSAGE__BODY_ANSWER &&
                   inbox[i]->answer->resolution->deed == WIRE__DEED__DEED_HEURISTIC;
    assert_int_equal(answers, 2);
    ORDER(.commit = false);
    looked_gone(DB_STATUS_ABORTED);
    const Wire__Resolution *again = resolved(false, WIRE__DEED__DEED_NONE);
    assert_non_null(strstr(again->message, "an operator (ada@host) rolled it back at 1970-"));
    assert_int_equal(database.count, 0);
    ORDER(.commit = true);
    looked_gone(DB_STATUS_ABORTED);
    assert_non_null(strstr(refused(false, "contradicts")->message, "lost its disk"));
    /* Nothing is prepared any more, and nothing is asked about. */
    assert_int_equal(database.count, 0);
}

/* ---- decisions ----------------------------------------------------------------------------- */

static void a_decision_waits_for_the_row_that_is_being_stored(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    send_finish(1, true, 7);
    pass(1000000);
    assert_int_equal(database.count, 1); /* only the row is with the database */
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
    const Wire__Finished *told = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(told->commit && told->hazard);
    assert_non_null(strstr(told->reason, "an operator (ada@host) rolled it back at 1970-01-01T"));
    assert_non_null(strstr(told->reason, ": lost its disk"));
    assert_string_equal(shown()->heuristic, "mixed");
    assert_string_equal(shown()->decision, "commit");
}

static void the_same_decision_meanwhile_is_finished(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = true);
    looked_prepared(gid_1);
    send_finish(1, true, 7);
    forced(DB_STORED);
    pass(1000000);
    finished(true, DB_FINISHED);
    const Wire__Finished *told = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(told->commit && !told->hazard);
    assert_string_equal(shown()->heuristic, "commit");
}

static void a_decision_that_comes_later_is_compared(void **state)
{
    (void)state;
    static const struct {
        bool forced, decided, hazard;
        const char *word;
    } cases[] = {{false, false, false, "abort"},
                 {false, true, true, "mixed"},
                 {true, true, false, "commit"},
                 {true, false, true, "mixed"}};
    for (int i = 0; i < 4; i++) {
        be_in_doubt();
        force_it(cases[i].forced);
        clear_inbox();
        send_finish(1, cases[i].decided, 7);
        finished(cases[i].forced, DB_MISSING);
        status_is(cases[i].forced ? DB_STATUS_COMMITTED : DB_STATUS_ABORTED);
        const Wire__Finished *told = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
        assert_int_equal(told->commit, cases[i].decided);
        assert_int_equal(told->hazard, cases[i].hazard);
        if (cases[i].hazard) {
            assert_memory_equal(told->reason, "an operator (ada@host) ", 23);
            assert_non_null(strstr(last_error, told->reason));
        }
        assert_true(nothing_came(WIRE__MESSAGE__BODY_HEURISTICS)); /* that is no news */
        assert_string_equal(shown()->heuristic, cases[i].word);
        stop_orders(state);
        start_orders(state);
    }
}

/* The hazard of an abort is told in one session only: so it is kept for the next. */
static void the_hazard_of_an_abort_is_told_again_in_the_next_session(void **state)
{
    (void)state;
    be_in_doubt();
    force_it(true);
    send_finish(1, false, 7);
    lose_coordinator();
    finished(true, DB_MISSING);
    status_is(DB_STATUS_COMMITTED);
    clear_inbox();
    coordinator_returns();
    const Wire__Finished *told = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(!told->commit && told->hazard);
    assert_memory_equal(told->reason, "an operator (ada@host) committed it at ", 39);
}

/* ---- crashes ------------------------------------------------------------------------------- */

static void a_crash_between_the_row_and_the_finish_is_made_good(void **state)
{
    (void)state;
    lose_coordinator();
    table_holds(gid_1, false);
    restart();
    settle();
    scan_finds(gid_1, false);
    finished(false, DB_UNFINISHED);
    pass(200000);
    coordinator_returns();
    assert_string_equal(told_heuristic()->found, "");
    assert_true(nothing_came(WIRE__MESSAGE__BODY_INQUIRE)); /* nobody needs to judge it */
    clear_inbox();
    finished(false, DB_FINISHED);
    assert_int_equal(inbox_count, 0); /* it was told when the session began */
    assert_string_equal(shown()->state, "heuristic");
    assert_string_equal(shown()->branches[0]->state, "aborted");
}

static void no_decision_is_carried_out_before_the_rows_are_known(void **state)
{
    (void)state;
    lose_coordinator();
    table_holds(gid_1, false);
    database.mute = true;
    restart();
    coordinator_returns();
    scan_finds(gid_1, false);
    clear_inbox();
    send_finish(1, true, 7);
    pass(2000000);
    assert_int_equal(database.count, 0);
    tell_heuristics(false);
    pass(600000);
    assert_int_equal(database.count, 0);
    tell_heuristics(true);
    settle();
    finished(false, DB_FINISHED);
    const Wire__Finished *told = got(WIRE__MESSAGE__BODY_FINISHED)->finished;
    assert_true(told->commit && told->hazard);
    assert_string_equal(told->reason, "an operator (ada@host) rolled it back at "
                                      "2023-11-14T22:13:20Z: lost its disk");
    assert_string_equal(shown()->heuristic, "mixed");
    assert_string_equal(shown()->decision, "commit");
}

static void what_an_earlier_run_forced_is_compared_with_the_database(void **state)
{
    (void)state;
    static const struct {
        enum db_status status;
        const char *found, *state;
    } cases[] = {{DB_STATUS_ABORTED, "", "aborted"},
                 {DB_STATUS_COMMITTED, "its database says that it was committed", "committed"},
                 {DB_STATUS_UNKNOWN, "", "aborted"}};
    for (int i = 0; i < 3; i++) {
        table_holds(gid_1, false);
        restart();
        settle();
        scan_finds(NULL, false);
        finished(false, DB_MISSING);
        status_is(cases[i].status);
        reconnect();
        clear_inbox();
        lose_session();
        reconnect();
        assert_string_equal(told_heuristic()->found, cases[i].found);
        assert_string_equal(shown()->heuristic, cases[i].found[0] ? "mixed" : "abort");
        assert_string_equal(shown()->branches[0]->state, cases[i].state);
        stop_orders(state);
        start_orders(state);
    }
}

static void the_database_may_be_down_meanwhile(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(false, DB_UNFINISHED);
    events->down(events->self, "connection refused");
    pass(7000000);
    assert_int_equal(database.count, 0); /* its rows may have changed before it is back */
    assert_true(nothing_came(WIRE__MESSAGE__BODY_ANSWER));
    table_holds(gid_1, false);
    events->up(events->self, "1/1");
    settle();
    assert_int_equal(database.loads, 2);
    scan_finds(gid_1, false);
    finished(false, DB_FINISHED);
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
}

/* A failover that lost the last of what was done, or an older base backup. */
static void what_is_prepared_again_is_ended_again(void **state)
{
    (void)state;
    be_in_doubt();
    force_it(true);
    clear_inbox();
    pass(61000000);
    scan_finds(gid_1, false);
    finished(true, DB_FINISHED);
    assert_int_equal(database.count, 0);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_INQUIRE));
    assert_string_equal(shown()->heuristic, "commit");
}

static void somebody_else_was_faster(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(false, DB_MISSING);
    status_is(DB_STATUS_COMMITTED);
    assert_string_equal(told_heuristic()->found, "its database says that it was committed");
    /* Its row stays: so it is on the list, and not refused. */
    const Wire__Resolution *late = resolved(false, WIRE__DEED__DEED_HEURISTIC);
    assert_non_null(strstr(late->message, "was committed"));
    ORDER(.commit = false);
    looked_gone(DB_STATUS_COMMITTED);
    assert_non_null(strstr(refused(false, "contradicts")->message, "was committed"));
    /* The decision was the same as what that somebody did. */
    send_finish(1, true, 7);
    finished(false, DB_MISSING);
    status_is(DB_STATUS_COMMITTED);
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
    assert_string_equal(shown()->heuristic, "mixed");
}

/* ---- storing ------------------------------------------------------------------------------- */

static void a_store_of_which_nothing_is_known_is_looked_for(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    table_holds(gid_1, false);
    forced(DB_STORE_FAILED);
    finished(false, DB_FINISHED); /* it was there */
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
    told_heuristic();
}

static void a_store_that_did_not_happen_leaves_the_branch_as_it_was(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    database.mute = true;
    forced(DB_STORE_FAILED);
    send_finish(1, true, 7); /* still waits */
    pass(1000000);
    assert_int_equal(database.count, 0);
    tell_heuristics(true);
    settle();
    refused(false, "unsure");
    finished(true, DB_FINISHED);
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_HEURISTICS));
    assert_non_null(strstr(audited.lines[1], "refused tx resolve --abort"));
}

static void another_process_was_first(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    table_holds(gid_1, true);
    forced(DB_CHANGED);
    assert_non_null(strstr(refused(false, "contradicts")->message, "committed it at 2023-11-14"));
    finished(true, DB_FINISHED); /* its row counts */
    assert_true(told_heuristic()->commit);
}

static void a_row_that_was_forgotten_keeps_its_branch_from_being_forced_again(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = false);
    looked_prepared(gid_1);
    forced(DB_CHANGED);
    assert_non_null(strstr(refused(false, "contradicts")->message, "forgotten"));
    assert_int_equal(database.count, 0);
}

static void a_row_that_is_gone_is_not_listed_any_more(void **state)
{
    (void)state;
    be_in_doubt();
    force_it(true);
    table_holds(NULL, false);
    events->down(events->self, "restart");
    events->up(events->self, "1/1");
    settle();
    ask_what(WIRE__WHAT__TRANSACTION, gtrid_1, true);
    refused(true, "unknown");
}

/* ---- forget -------------------------------------------------------------------------------- */

static void what_has_ended_is_forgotten(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = true);
    looked_prepared(gid_1);
    forced(DB_STORED);
    ORDER(.forget = true);
    refused(false, "owed");
    ORDER(.forget = true, .door = true);
    refused(true, "owed");
    finished(true, DB_FINISHED);
    ORDER(.forget = true, .dry_run = true);
    resolved(false, WIRE__DEED__DEED_FORGET);
    assert_int_equal(database.count, 0);
    audited.count = 0;
    ORDER(.forget = true, .door = true, .reason = "dealt with");
    assert_string_equal(database.requests[0].text, gtrid_1);
    forgot(DB_STORED);
    resolved(true, WIRE__DEED__DEED_FORGET);
    assert_string_equal(audited.lines[0],
                        "ordered tx forget|shop.c1.5.1|ada@host|somebody (door)|dealt with||");
    assert_int_equal(audited.count, 2);
    ORDER(.forget = true);
    resolved(false, WIRE__DEED__DEED_NONE);
    ORDER(.forget = true, .door = true);
    refused(true, "unknown");
}

static void forgetting_that_may_have_failed_is_looked_for(void **state)
{
    (void)state;
    be_in_doubt();
    force_it(true);
    table_holds(gid_1, true);
    ORDER(.forget = true);
    forgot(DB_STORE_FAILED);
    refused(false, "unsure");
    assert_string_equal(shown()->state, "heuristic");
    events->down(events->self, "restart");
    settle();
    ORDER(.forget = true);
    refused(false, "database_down");
}

/* ---- what is listed ------------------------------------------------------------------------ */

static const Wire__Answer *list(Wire__Query query)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    send_at_door(&message);
    return answer_to(true);
}

static void what_was_forced_is_listed_beside_what_is_in_doubt(void **state)
{
    (void)state;
    Wire__Query query = WIRE__QUERY__INIT;
    char *states[] = {(char *)"heuristic"};
    be_in_doubt();
    force_it(false);
    send_prepare(2);
    worked(take_tag(WORK), DB_PREPARED, 8);
    assert_int_equal(list(query)->n_transactions, 2);
    assert_string_equal(list(query)->transactions[0]->gtrid, "shop.c1.5.2");
    query.oldest_first = true;
    assert_string_equal(list(query)->transactions[0]->gtrid, gtrid_1);
    query.from = (char *)gtrid_1;
    const Wire__Answer *rest = list(query);
    assert_int_equal(rest->n_transactions, 1);
    assert_string_equal(rest->transactions[0]->gtrid, "shop.c1.5.2");
    query.from = (char *)"";
    query.heuristic = true;
    const Wire__Answer *answer = list(query);
    assert_int_equal(answer->n_transactions, 1);
    const Wire__TransactionView *view = answer->transactions[0];
    assert_string_equal(view->state, "heuristic");
    assert_string_equal(view->heuristic, "abort");
    assert_int_equal(view->n_heuristics, 1);
    assert_string_equal(view->heuristics[0]->reason, "lost its disk");
    assert_string_equal(view->branches[0]->heuristic->by, "ada@host");
    assert_string_equal(view->branches[0]->gid, gid_1);
    assert_int_equal(view->branches[0]->xid, 7);
    query.heuristic = false;
    query.in_doubt = true;
    assert_string_equal(list(query)->transactions[0]->gtrid, "shop.c1.5.2");
    assert_int_equal(list(query)->n_transactions, 1);
    query.in_doubt = false;
    query.states = states;
    query.n_states = 1;
    assert_string_equal(list(query)->transactions[0]->gtrid, gtrid_1);
    assert_int_equal(list(query)->n_transactions, 1);
    query.n_states = 0;
    query.older_us = 60000000;
    assert_int_equal(list(query)->n_transactions, 0);
    query.older_us = 0;
    query.hazard = true;
    assert_true(list(query)->transactions[0]->hazard); /* nothing proves it right as yet */
    send_finish(1, true, 7);
    assert_string_equal(list(query)->transactions[0]->heuristic, "mixed");
    query.limit = 1;
    query.hazard = false;
    assert_int_equal(list(query)->more, 1);
}

static void many_rows_are_told_in_several_messages(void **state)
{
    (void)state;
    enum { ROWS = 250 };
    static struct db_heuristic rows[ROWS];
    static char gids[ROWS][40];
    char reason[LIMIT_REASON_BYTES + 1], by[LIMIT_BY_BYTES + 1];
    memset(reason, 'r', sizeof(reason));
    memset(by, 'b', sizeof(by));
    reason[LIMIT_REASON_BYTES] = by[LIMIT_BY_BYTES] = '\0';
    for (int i = 0; i < ROWS; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.shop.c1.5.%d.0", i + 1);
        rows[i] = (struct db_heuristic){
            .gid = gids[i], .xid = 7, .reason = reason, .by = by, .at_us = 1000 - i};
    }
    rows[7].gid = "troth.other.c1.5.1.0";
    rows[8].gid = "not ours";
    lose_coordinator();
    database.mute = true;
    restart();
    scan_finds(NULL, false);
    database.heuristics = rows;
    database.heuristic_count = ROWS;
    /* What it asks of the database in this turn, 248 rows, is more than this one keeps. */
    struct db_port silent = agent->database;
    silent.finish = ignore_finish;
    agent->database = silent;
    coordinator_returns();
    clear_inbox();
    tell_heuristics(true);
    settle();
    size_t told = 0, messages = 0;
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case != WIRE__MESSAGE__BODY_HEURISTICS)
            continue;
        messages++;
        told += inbox[i]->heuristics->n_heuristics;
    }
    assert_int_equal(told, ROWS - 2);
    assert_int_equal(messages, 3);
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, start_orders, stop_orders)

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        WITH_DOOR(it_is_recorded_then_done_then_told_then_answered),
        WITH_DOOR(a_dry_run_tells_what_would_be_done_and_does_nothing),
        WITH_DOOR(the_session_may_be_lost_before_the_answer),
        WITH_DOOR(the_same_order_again_does_it_once),
        WITH_DOOR(a_decision_waits_for_the_row_that_is_being_stored),
        WITH_DOOR(the_same_decision_meanwhile_is_finished),
        WITH_DOOR(a_decision_that_comes_later_is_compared),
        WITH_DOOR(the_hazard_of_an_abort_is_told_again_in_the_next_session),
        WITH_DOOR(a_crash_between_the_row_and_the_finish_is_made_good),
        WITH_DOOR(no_decision_is_carried_out_before_the_rows_are_known),
        WITH_DOOR(what_an_earlier_run_forced_is_compared_with_the_database),
        WITH_DOOR(the_database_may_be_down_meanwhile),
        WITH_DOOR(what_is_prepared_again_is_ended_again),
        WITH_DOOR(somebody_else_was_faster),
        WITH_DOOR(a_store_of_which_nothing_is_known_is_looked_for),
        WITH_DOOR(a_store_that_did_not_happen_leaves_the_branch_as_it_was),
        WITH_DOOR(another_process_was_first),
        WITH_DOOR(a_row_that_was_forgotten_keeps_its_branch_from_being_forced_again),
        WITH_DOOR(a_row_that_is_gone_is_not_listed_any_more),
        WITH_DOOR(what_has_ended_is_forgotten),
        WITH_DOOR(forgetting_that_may_have_failed_is_looked_for),
        WITH_DOOR(what_was_forced_is_listed_beside_what_is_in_doubt),
        WITH_DOOR(many_rows_are_told_in_several_messages),
    };
    return cmocka_run_group_tests_name("orders", tests, NULL, NULL);
}
