/* What a participant refuses to do for an operator, and what it leaves to be done by itself: at
 * each state of a branch, at the door, in three phases, and of who means no good. */
#include "tests/unit/order_kit.h"

/* ---- the state of the branch --------------------------------------------------------------- */

static void what_is_not_prepared_here_is_unknown(void **state)
{
    (void)state;
    ORDER(.commit = true);
    looked_gone(DB_STATUS_UNKNOWN);
    resolved(false, WIRE__DEED__DEED_NONE);
    ORDER(.commit = true, .door = true);
    looked_gone(DB_STATUS_UNKNOWN);
    refused(true, "unknown");
    assert_int_equal(database.count, 0);
}

static void an_orphan_that_no_scan_has_found_is_looked_for_first(void **state)
{
    (void)state;
    ORDER(.commit = true);
    looked_prepared(gid_1);
    refused(false, "busy");
    scan_finds(gid_1, false);
    ORDER(.commit = true);
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(true, DB_FINISHED);
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
}

static void what_has_not_voted_is_undecided(void **state)
{
    (void)state;
    send_prepare(1);
    void *work = take_tag(WORK);
    ORDER(.commit = false);
    looked_gone(DB_STATUS_UNKNOWN);
    refused(false, "undecided");
    worked(work, DB_FAILED, 0);
    got_vote(WIRE__CHOICE__NO);
}

static void what_is_decided_is_left_to_be_carried_out(void **state)
{
    (void)state;
    for (int decided = 0; decided <= 1; decided++) {
        be_in_doubt();
        send_finish(1, decided, 7);
        void *tag = take_tag(FINISH);
        for (int commit = 0; commit <= 1; commit++) {
            ORDER(.commit = commit);
            looked_prepared(gid_1);
            if (commit == decided)
                resolved(false, WIRE__DEED__DEED_WAIT);
            else
                refused(false, "contradicts");
        }
        assert_int_equal(database.count, 0);
        events->finished(events->self, tag, DB_FINISHED, "");
        settle();
        stop_orders(state);
        start_orders(state);
    }
}

static void what_somebody_ended_by_hand_is_told_as_it_is(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = true);
    looked_gone(DB_STATUS_ABORTED);
    assert_non_null(strstr(refused(false, "contradicts")->message, "rolled back"));
    scan_finds(NULL, false);
    ORDER(.commit = false);
    looked_gone(DB_STATUS_ABORTED);
    assert_non_null(strstr(resolved(false, WIRE__DEED__DEED_NONE)->message, "by hand"));
    scan_finds(NULL, false);
    ORDER(.commit = true);
    looked_gone(DB_STATUS_UNKNOWN);
    resolved(false, WIRE__DEED__DEED_NONE);
    scan_finds(NULL, false);
    assert_int_equal(database.count, 0);
}

static void a_database_that_can_not_be_asked_does_nothing(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = true);
    looked(&(struct db_inspected){.problem = "connection refused"});
    assert_non_null(strstr(refused(false, "database_down")->message, "connection refused"));
    /* What was forced before is not known. */
    database.mute = true;
    events->down(events->self, "restart");
    events->up(events->self, "1/1");
    settle();
    take(SCAN);
    ORDER(.commit = true);
    looked_prepared(gid_1);
    refused(false, "database_down");
    ORDER(.forget = true);
    refused(false, "database_down");
    assert_int_equal(database.count, 0);
}

/* ---- the door ------------------------------------------------------------------------------ */

static void at_the_door_its_coordinator_is_asked_first(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = true, .door = true);
    looked_prepared(gid_1);
    assert_non_null(strstr(refused(true, "judged")->message, "c1 is connected"));
    lose_coordinator();
    ORDER(.commit = true, .door = true);
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(true, DB_FINISHED);
    resolved(true, WIRE__DEED__DEED_HEURISTIC);
    coordinator_returns();
    assert_true(told_heuristic()->commit);
    assert_string_equal(audited.lines[0],
                        "refused tx resolve --commit|shop.c1.5.1|ada@host|somebody (door)|lost its "
                        "disk|in doubt; prepared at payments|its coordinator c1 is connected to "
                        "participant payments");
    assert_int_equal(audited.count, 3);
}

static void what_is_held_may_be_forced_at_the_door(void **state)
{
    (void)state;
    be_in_doubt();
    send_verdict(1, WIRE__VERDICT__VERDICT_HOLD);
    ORDER(.commit = false, .door = true);
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    resolved(true, WIRE__DEED__DEED_HEURISTIC);
    assert_string_equal(audited.lines[0],
                        "ordered tx resolve --abort|shop.c1.5.1|ada@host|somebody (door)|lost its "
                        "disk|in doubt, held; prepared at payments|");
}

static void another_coordinator_relays_for_one_that_is_gone(void **state)
{
    (void)state;
    pass(61000000);
    scan_finds("troth.shop.c9.5.1.0", false);
    ORDER(.commit = false, .gtrid = "shop.c9.5.1");
    looked_prepared("troth.shop.c9.5.1.0");
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
    assert_string_equal(told_heuristic()->coordinator, "c9");
}

static void orders_that_make_no_sense_are_not_asked_about(void **state)
{
    (void)state;
    char long_reason[LIMIT_REASON_BYTES + 2], long_by[LIMIT_BY_BYTES + 2];
    memset(long_reason, 'r', sizeof(long_reason));
    memset(long_by, 'b', sizeof(long_by));
    long_reason[LIMIT_REASON_BYTES + 1] = long_by[LIMIT_BY_BYTES + 1] = '\0';
    be_in_doubt();
    const struct given cases[] = {
        {.participant = ""},    {.participant = "orders"},  {.gtrid = ""},
        {.gtrid = "shop.c1.5"}, {.gtrid = "other.c1.5.1"},  {.gtrid = "troth.shop.c1.5.1.0.0"},
        {.reason = ""},         {.reason = long_reason},    {.reason = "a\nb"},
        {.reason = "\x1b[2J"},  {.reason = "half \xc3"},    {.by = ""},
        {.by = long_by},        {.by = "ada\x7f"},          {.by = "\xff"},
        {.turned = true},       {.forget = true, .by = ""}, {.forget = true, .turned = true},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        for (int door = 0; door <= 1; door++) {
            struct given given = cases[i];
            given.door = door;
            if (!door && given.participant && !given.participant[0])
                continue; /* of its coordinator's session it is clear who is meant */
            order_of(given);
            assert_string_equal(answer_to(door)->problem->code, "bad_request");
            assert_int_equal(database.count, 0);
        }
    }
    assert_int_equal(audited.count, 0);
    Wire__TxOrder order = WIRE__TX_ORDER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &order;
    clear_inbox();
    send(&message); /* all of it empty */
    assert_string_equal(answer_to(false)->problem->code, "bad_request");
    order.kind = (Wire__TxOrderKind)17;
    clear_inbox();
    send(&message);
    assert_string_equal(answer_to(false)->problem->code, "bad_request");
    assert_int_equal(database.count, 0);
}

/* They ask for registers, and look: that is all. */
static void participants_and_observers_order_nothing(void **state)
{
    (void)state;
    Wire__TxOrder order = WIRE__TX_ORDER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    order.kind = WIRE__TX_ORDER_KIND__RESOLVE;
    order.gtrid = (char *)gtrid_1;
    order.participant = (char *)"payments";
    order.reason = (char *)"why not";
    order.by = (char *)"orders";
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &order;
    be_in_doubt();
    lose_coordinator();
    assert_true(peer_send(orders->door, &message, true));
    settle();
    assert_int_equal(orders->answered.count, 0);
    assert_int_equal(database.count, 0);
}

/* What is not recorded yet may never be. */
static void nothing_is_said_of_an_order_before_it_is_recorded(void **state)
{
    (void)state;
    be_in_doubt();
    lose_coordinator();
    ORDER(.commit = true, .door = true);
    looked_prepared(gid_1);
    void *tag = take_tag(FORCE);
    for (int i = 0; i < 2; i++) {
        ORDER(.commit = i == 0, .door = true, .dry_run = i == 0);
        looked_prepared(gid_1);
        refused(true, "busy");
        forget(&observer->answered);
    }
    assert_int_equal(database.count, 0);
    events->heuristic_stored(events->self, tag, DB_STORED);
    settle();
    finished(true, DB_FINISHED);
    resolved(true, WIRE__DEED__DEED_HEURISTIC);
}

static void only_so_many_orders_are_under_way(void **state)
{
    (void)state;
    enum { MOST = 64 };
    void *tags[MOST];
    for (int i = 0; i < MOST; i++) {
        ORDER(.commit = true, .dry_run = true);
        tags[i] = take_tag(INSPECT);
    }
    ORDER(.commit = true);
    refused(false, "busy");
    assert_int_equal(database.count, 0);
    clear_inbox();
    for (int i = 0; i < MOST; i++)
        events->inspected(events->self, tags[i],
                          &(struct db_inspected){.ok = true, .barrier = "", .report = ""});
    settle();
    assert_int_equal(inbox_count, MOST);
    ORDER(.commit = true);
    looked_gone(DB_STATUS_UNKNOWN);
    resolved(false, WIRE__DEED__DEED_NONE);
}

static void only_so_many_outcomes_are_listed(void **state)
{
    (void)state;
    static struct db_heuristic rows[LIMIT_HEURISTICS];
    static char gids[LIMIT_HEURISTICS][40];
    for (int i = 0; i < LIMIT_HEURISTICS; i++) {
        snprintf(gids[i], sizeof(gids[i]), "troth.shop.c8.5.%d.0", i + 1);
        rows[i] = (struct db_heuristic){.gid = gids[i], .xid = 7, .reason = "r", .by = "b"};
    }
    be_in_doubt();
    struct db_port silent = agent->database;
    silent.finish = ignore_finish;
    agent->database = silent;
    database.heuristics = rows;
    database.heuristic_count = LIMIT_HEURISTICS;
    events->down(events->self, "restart");
    events->up(events->self, "1/1");
    settle();
    scan_finds(gid_1, false);
    agent->database = db;
    ORDER(.commit = true);
    looked_prepared(gid_1);
    refused(false, "busy");
    assert_int_equal(database.count, 0);
}

static void no_order_is_taken_while_it_is_being_stopped(void **state)
{
    (void)state;
    be_in_doubt();
    ORDER(.commit = true);
    agent_drain(agent);
    assert_false(agent_drained(agent)); /* one is under way */
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(true, DB_FINISHED);
    pass(1000000);
    assert_true(agent_drained(agent));
    ORDER(.commit = true);
    refused(false, "busy");
}

/* ---- two participants in one database ------------------------------------------------------- */

static void another_participants_branch_is_not_forced(void **state)
{
    (void)state;
    pass(61000000);
    scan_finds("troth.shop.c1.5.1.2", true); /* inventory's */
    lose_coordinator();
    ORDER(.commit = true, .door = true);
    looked_prepared("troth.shop.c1.5.1.2");
    refused(true, "unknown");
    ORDER(.commit = true, .door = true, .gtrid = "troth.shop.c1.5.1.2");
    looked_prepared("troth.shop.c1.5.1.2");
    refused(true, "unknown");
    assert_int_equal(database.count, 0);
}

static void two_branches_must_be_told_apart(void **state)
{
    (void)state;
    struct db_prepared prepared[] = {{.gid = gid_1, .xid = 7, .prepared_at_us = 99},
                                     {.gid = "troth.shop.c1.5.1.2", .xid = 8}};
    pass(61000000);
    void *tag = take_tag(SCAN);
    events->scanned(events->self, tag, true, prepared, 2, 64);
    settle();
    ORDER(.commit = true);
    looked_prepared(gid_1);
    refused(false, "bad_request");
    ORDER(.commit = true, .gtrid = gid_1);
    looked_prepared(gid_1);
    assert_string_equal(database.requests[0].text, gid_1);
    forced(DB_STORED);
    finished(true, DB_FINISHED);
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
}

/* ---- three phases -------------------------------------------------------------------------- */

static const char gid_3[] = "troth.shop.c1.5.1.1";

static void be_in_doubt_of_three(void)
{
    prepare_three_phase(1);
    table.serves = table.exists = true;
    snprintf(table.sites, sizeof(table.sites), "%s", all_sites);
}

/* The registers are what decides: an order neither changes one nor waits for the others. */
static void a_register_that_knows_the_decision_is_obeyed(void **state)
{
    (void)state;
    struct db_held held = held_1;
    held.gid = gid_3;
    struct db_inspected knows = {.ok = true,
                                 .held = &held,
                                 .held_count = 1,
                                 .barrier = "",
                                 .report = "",
                                 .registered = true};
    be_in_doubt_of_three();
    register_learn(&knows.state, REGISTER_COMMIT);
    ORDER(.commit = false);
    looked(&knows);
    assert_non_null(strstr(refused(false, "contradicts")->message, "register"));
    ORDER(.commit = true);
    looked(&knows);
    resolved(false, WIRE__DEED__DEED_WAIT);
    assert_int_equal(database.count, 0);
}

static void its_own_coordinator_may_force_it(void **state)
{
    (void)state;
    be_in_doubt_of_three();
    ORDER(.commit = false);
    looked_prepared(gid_3);
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    resolved(false, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(told_heuristic()->branch, 1);
    assert_int_equal(table.stores, 0); /* the register is as it was */
}

static void a_minority_may_be_forced_at_the_door_and_a_majority_may_not(void **state)
{
    (void)state;
    be_in_doubt_of_three();
    lose_coordinator();
    ORDER(.commit = false, .door = true);
    looked_prepared(gid_3);
    refused(true, "undecided"); /* the others may answer yet */
    inventory->away = true;
    orders->answers = true;
    pass(8000000);
    assert_string_equal(shown()->state, "terminating");
    struct register_state before = table.state;
    ORDER(.commit = false, .door = true, .dry_run = true);
    looked_prepared(gid_3);
    const Wire__Resolution *would = resolved(true, WIRE__DEED__DEED_HEURISTIC);
    assert_int_equal(would->n_unknowns, 3);
    assert_non_null(strstr(would->unknowns[1], "no majority"));
    ORDER(.commit = false, .door = true);
    looked_prepared(gid_3);
    forced(DB_STORED);
    int stores = table.stores;
    assert_string_equal(shown()->state, "aborting");
    assert_string_equal(shown()->heuristic, "abort");
    /* It wants no decision any more, but goes on answering those who do. */
    forget(&orders->asked);
    ASK(orders->door, .seq = 1, .question = WIRE__QUESTION__PROMISE,
        .ballot = {before.promised.round + 1, 1});
    assert_int_equal(orders->answered.messages[orders->answered.count - 1]->reply->answered,
                     WIRE__ANSWERED__GRANTED);
    assert_int_equal(table.stores, stores + 1);
    forget(&observer->answered);
    finished(false, DB_FINISHED);
    resolved(true, WIRE__DEED__DEED_HEURISTIC);
    pass(5000000);
    assert_int_equal(orders->asked.count, 0);
}

static void tell_decided(struct neighbour *from, Wire__Value value)
{
    Wire__Decided decided = WIRE__DECIDED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    decided.coordinator = (char *)"c1";
    decided.epoch = 5;
    decided.seq = 1;
    decided.value = value;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &decided;
    for (int i = 0; i < 200 && !from->door; i++)
        pass(50000);
    assert_true(peer_send(from->door, &message, true));
    settle();
}

static void what_the_other_sites_decide_is_compared_with_it(void **state)
{
    (void)state;
    be_in_doubt_of_three();
    ORDER(.commit = false);
    looked_prepared(gid_3);
    forced(DB_STORED);
    tell_decided(orders, WIRE__VALUE__COMMIT);
    assert_non_null(strstr(last_error, "hazard"));
    finished(false, DB_FINISHED);
    assert_string_equal(shown()->heuristic, "mixed");
    assert_string_equal(shown()->decision, "commit");
    stop_orders(state);
    start_orders(state);
    /* Or later, when nothing of it is in memory but the row. */
    be_in_doubt_of_three();
    ORDER(.commit = false);
    looked_prepared(gid_3);
    forced(DB_STORED);
    finished(false, DB_FINISHED);
    tell_decided(orders, WIRE__VALUE__ABORT);
    assert_string_equal(shown()->heuristic, "abort");
    finish_three_phase(1, true);
    finished(false, DB_MISSING);
    status_is(DB_STATUS_ABORTED);
    assert_true(got(WIRE__MESSAGE__BODY_FINISHED)->finished->hazard);
    assert_string_equal(shown()->heuristic, "mixed");
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, start_orders, stop_orders)

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        WITH_DOOR(what_is_not_prepared_here_is_unknown),
        WITH_DOOR(an_orphan_that_no_scan_has_found_is_looked_for_first),
        WITH_DOOR(what_has_not_voted_is_undecided),
        WITH_DOOR(what_is_decided_is_left_to_be_carried_out),
        WITH_DOOR(what_somebody_ended_by_hand_is_told_as_it_is),
        WITH_DOOR(a_database_that_can_not_be_asked_does_nothing),
        WITH_DOOR(at_the_door_its_coordinator_is_asked_first),
        WITH_DOOR(what_is_held_may_be_forced_at_the_door),
        WITH_DOOR(another_coordinator_relays_for_one_that_is_gone),
        WITH_DOOR(orders_that_make_no_sense_are_not_asked_about),
        WITH_DOOR(participants_and_observers_order_nothing),
        WITH_DOOR(only_so_many_orders_are_under_way),
        WITH_DOOR(nothing_is_said_of_an_order_before_it_is_recorded),
        WITH_DOOR(only_so_many_outcomes_are_listed),
        WITH_DOOR(no_order_is_taken_while_it_is_being_stopped),
        WITH_DOOR(another_participants_branch_is_not_forced),
        WITH_DOOR(two_branches_must_be_told_apart),
        WITH_DOOR(a_register_that_knows_the_decision_is_obeyed),
        WITH_DOOR(its_own_coordinator_may_force_it),
        WITH_DOOR(a_minority_may_be_forced_at_the_door_and_a_majority_may_not),
        WITH_DOOR(what_the_other_sites_decide_is_compared_with_it),
    };
    return cmocka_run_group_tests_name("orders_refused", tests, NULL, NULL);
}
