/* Branches that somebody else has prepared, at the agent. */
#include "tests/unit/steps_kit.h"

static void adopted(enum db_adopted how, const char *reason)
{
    events->adopted(events->self, take_tag(ADOPT), how, reason);
    settle();
}

static void what_is_there_votes_yes_and_is_committed(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    assert_string_equal(database.requests[0].text, gid_1);
    assert_int_equal(database.requests[0].xid, 9);
    assert_false(database.requests[0].insert);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_VOTE));
    adopted(DB_ADOPTED, "");
    assert_int_equal(got_vote(WIRE__CHOICE__YES)->xid, 9);
    pass(3000000); /* after its deadline, too, only the decision ends it */
    assert_int_equal(state_of(gid_1), BRANCH_IN_DOUBT);
    finish_three_phase(1, true);
    assert_true(database.requests[0].commit);
    events->finished(events->self, take_tag(FINISH), DB_FINISHED, "");
    settle();
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
}

static void what_is_not_votes_no_and_is_rolled_back(void **state)
{
    (void)state;
    static const struct {
        enum db_adopted how;
        const char *code;
    } cases[] = {{DB_ADOPT_MISSING, "not_prepared"},
                 {DB_ADOPT_FOREIGN, "not_ours"},
                 {DB_ADOPT_FENCED, "fenced"},
                 {DB_ADOPT_ERROR, "database_down"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        SEND_ADOPT(.xid = 9, .three_phase = true);
        adopted(cases[i].how, "what the database said");
        const Wire__Vote *vote = got_vote(WIRE__CHOICE__NO);
        assert_string_equal(vote->problem->code, cases[i].code);
        if (cases[i].how != DB_ADOPT_FENCED)
            assert_string_equal(vote->problem->detail, "what the database said");
        assert_false(database.requests[0].commit);
        events->finished(events->self, take_tag(FINISH), DB_MISSING, "");
        settle();
        assert_int_equal(state_of(gid_1), BRANCH_ENDED);
        assert_int_equal(database.count, 0);
        clear_inbox();
    }
}

static void with_three_phases_its_row_goes_in_and_it_is_a_site(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9, .three_phase = true);
    assert_true(database.requests[0].insert);
    assert_string_equal(database.requests[0].sites, all_sites);
    adopted(DB_ADOPTED, "");
    got_vote(WIRE__CHOICE__YES);
    ASK(participant, PROPOSAL(1));
    int request = take(STORE);
    assert_false(database.requests[request].insert);
    assert_true(register_state_equal(&database.requests[request].before, &fresh));
    stored(request, DB_STORED);
    assert_int_equal(got(WIRE__MESSAGE__BODY_REPLY)->reply->answered, WIRE__ANSWERED__GRANTED);
}

/* Of two phases, though this one could do three. */
static void without_sites_there_is_no_row(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    assert_false(database.requests[0].insert);
    adopted(DB_ADOPTED, "");
    assert_null(entry_find(agent, gid_1)->site);
}

static void one_that_a_scan_found_before_becomes_ours(void **state)
{
    (void)state;
    pass(61000000);
    scanned(gid_1, 9);
    assert_int_equal(got(WIRE__MESSAGE__BODY_INQUIRE)->inquire->branches[0]->seq, 1);
    assert_true(entry_find(agent, gid_1)->branch.orphan);
    SEND_ADOPT(.xid = 9);
    adopted(DB_ADOPTED, "");
    got_vote(WIRE__CHOICE__YES);
    assert_false(entry_find(agent, gid_1)->branch.orphan);
    /* It is not asked about any more: the decision comes in this session. */
    clear_inbox();
    pass(10000000);
    assert_true(nothing_came(WIRE__MESSAGE__BODY_INQUIRE));
    finish_three_phase(1, false);
    assert_false(database.requests[take(FINISH)].commit);
}

/* Its row was not there when it was found. */
static void it_becomes_a_site_then(void **state)
{
    (void)state;
    pass(61000000);
    scanned(gid_1, 9);
    assert_null(entry_find(agent, gid_1)->site);
    SEND_ADOPT(.xid = 9, .three_phase = true);
    assert_true(database.requests[0].insert);
    adopted(DB_ADOPTED, "");
    got_vote(WIRE__CHOICE__YES);
    assert_non_null(entry_find(agent, gid_1)->site);
}

static void it_is_asked_for_once(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    SEND_ADOPT(.xid = 9);
    adopted(DB_ADOPTED, "");
    got_vote(WIRE__CHOICE__YES);
    SEND_ADOPT(.xid = 9);
    got_vote(WIRE__CHOICE__YES); /* still the only one */
    assert_int_equal(database.count, 0);
}

/* ---- refused ------------------------------------------------------------------------------- */

/* What may be prepared is found by a scan, and its coordinator says abort. */
static void refused(const char *code)
{
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, code);
    clear_inbox();
    pass(600000);
    take(SCAN);
    assert_int_equal(database.count, 0);
}

static void what_can_not_be_adopted_is_looked_for(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 0);
    refused("bad_request");
}

static void one_that_comes_too_late_is_looked_for(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9, .late = true);
    refused("deadline");
}

static void without_a_database_it_is_refused(void **state)
{
    (void)state;
    events->down(events->self, "server stopped");
    SEND_ADOPT(.xid = 9);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "database_down");
    events->up(events->self, "1/1");
    settle();
    take(SCAN);
}

/* Its row may be the promise of this site, or a yes of an earlier run: it is left as it is. */
static void one_whose_row_was_found_is_fenced(void **state)
{
    (void)state;
    struct db_prepared prepared = {
        .gid = gid_1, .xid = 9, .prepared_at_us = 99, .registered = true, .sites = all_sites};
    pass(61000000);
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
    SEND_ADOPT(.xid = 9, .three_phase = true);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "fenced");
    assert_int_equal(state_of(gid_1), BRANCH_IN_DOUBT);
}

static void one_that_is_being_ended_is_refused(void **state)
{
    (void)state;
    finish_three_phase(1, false);
    SEND_ADOPT(.xid = 9);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "not_prepared");
    take(FINISH);
}

/* ---- given up meanwhile -------------------------------------------------------------------- */

static void an_abort_meanwhile_rolls_it_back(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    finish_three_phase(1, false);
    assert_int_equal(database.count, 1);
    adopted(DB_ADOPTED, "");
    assert_false(database.requests[0].commit);
    events->finished(events->self, take_tag(FINISH), DB_FINISHED, "");
    settle();
    assert_true(nothing_came(WIRE__MESSAGE__BODY_VOTE));
    assert_false(got(WIRE__MESSAGE__BODY_FINISHED)->finished->commit);
}

static void its_deadline_meanwhile_is_a_no(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    pass(1100000);
    assert_string_equal(got_vote(WIRE__CHOICE__NO)->problem->code, "deadline");
    adopted(DB_ADOPTED, "");
    assert_false(database.requests[take(FINISH)].commit);
}

static void a_session_that_ends_meanwhile_rolls_it_back(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    lose_session();
    adopted(DB_ADOPTED, "");
    assert_false(database.requests[take(FINISH)].commit);
}

static void a_yes_of_a_lost_session_is_inquired_about(void **state)
{
    (void)state;
    SEND_ADOPT(.xid = 9);
    adopted(DB_ADOPTED, "");
    lose_session();
    clear_inbox();
    reconnect();
    assert_int_equal(got(WIRE__MESSAGE__BODY_INQUIRE)->inquire->xids[0], 9);
    assert_int_equal(state_of(gid_1), BRANCH_IN_DOUBT);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        WITH_AGENT(what_is_there_votes_yes_and_is_committed),
        WITH_AGENT(what_is_not_votes_no_and_is_rolled_back),
        WITH_AGENT(with_three_phases_its_row_goes_in_and_it_is_a_site),
        WITH_AGENT(without_sites_there_is_no_row),
        WITH_AGENT(one_that_a_scan_found_before_becomes_ours),
        WITH_AGENT(it_becomes_a_site_then),
        WITH_AGENT(it_is_asked_for_once),
        WITH_AGENT(what_can_not_be_adopted_is_looked_for),
        WITH_AGENT(one_that_comes_too_late_is_looked_for),
        WITH_AGENT(without_a_database_it_is_refused),
        WITH_AGENT(one_whose_row_was_found_is_fenced),
        WITH_AGENT(one_that_is_being_ended_is_refused),
        WITH_AGENT(an_abort_meanwhile_rolls_it_back),
        WITH_AGENT(its_deadline_meanwhile_is_a_no),
        WITH_AGENT(a_session_that_ends_meanwhile_rolls_it_back),
        WITH_AGENT(a_yes_of_a_lost_session_is_inquired_about),
    };
    return cmocka_run_group_tests_name("adoption", tests, NULL, NULL);
}
