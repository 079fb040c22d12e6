/* What a participant says of its database, to a coordinator and at its door: the evidence of one
 * transaction, everything that is prepared, the server. */
#include "tests/unit/order_kit.h"

static const Wire__Testimony *testified(bool door)
{
    const Wire__Answer *answer = answer_to(door);
    assert_null(answer->problem);
    assert_int_equal(answer->request, 7);
    assert_int_equal(answer->n_testimonies, 1);
    assert_string_equal(answer->testimonies[0]->participant, "payments");
    return answer->testimonies[0];
}

static const Wire__Exhibit *only_exhibit(bool door)
{
    const Wire__Testimony *testimony = testified(door);
    assert_int_equal(testimony->n_exhibits, 1);
    return testimony->exhibits[0];
}

static void a_branch_in_doubt_is_described(void **state)
{
    (void)state;
    be_in_doubt();
    for (int door = 0; door <= 1; door++) {
        ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, door);
        assert_int_equal(database.requests[0].look, DB_LOOK_TRANSACTION);
        assert_string_equal(database.requests[0].text, gtrid_1);
        assert_int_equal(database.requests[0].xid, 7);
        looked_prepared(gid_1);
        const Wire__Testimony *testimony = testified(door);
        assert_int_equal(testimony->database_us, 4000);
        assert_in_range(testimony->agent_us, 1, now_us);
        const Wire__Exhibit *exhibit = only_exhibit(door);
        assert_string_equal(exhibit->gid, gid_1);
        assert_int_equal(exhibit->branch, 0);
        assert_true(exhibit->prepared);
        assert_int_equal(exhibit->prepared_us, 99);
        assert_int_equal(exhibit->xid, 7);
        assert_int_equal(exhibit->status, WIRE__XID_STATUS__XID_IN_PROGRESS);
        assert_string_equal(exhibit->state, "in doubt");
        assert_true(exhibit->judged && !exhibit->held && !exhibit->registered);
        assert_string_equal(exhibit->report, "{}");
        assert_null(exhibit->heuristic);
    }
    send_verdict(1, WIRE__VERDICT__VERDICT_HOLD);
    lose_coordinator();
    ask_what(WIRE__WHAT__EVIDENCE, gid_1, true);
    looked_prepared(gid_1);
    assert_true(only_exhibit(true)->held);
    assert_false(only_exhibit(true)->judged);
}

static void what_is_gone_is_proved_by_its_xid(void **state)
{
    (void)state;
    static const struct {
        enum db_status said;
        Wire__XidStatus told;
    } cases[] = {{DB_STATUS_COMMITTED, WIRE__XID_STATUS__XID_COMMITTED},
                 {DB_STATUS_ABORTED, WIRE__XID_STATUS__XID_ABORTED},
                 {DB_STATUS_IN_PROGRESS, WIRE__XID_STATUS__XID_IN_PROGRESS},
                 {DB_STATUS_UNKNOWN, WIRE__XID_STATUS__XID_UNKNOWN}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        Wire__Query query = WIRE__QUERY__INIT;
        Wire__Message message = WIRE__MESSAGE__INIT;
        query.request = 7;
        query.what = WIRE__WHAT__EVIDENCE;
        query.gtrid = (char *)gtrid_1;
        query.xid = 7; /* its journal knows it, this process does not */
        message.body_case = WIRE__MESSAGE__BODY_QUERY;
        message.query = &query;
        clear_inbox();
        send(&message);
        assert_int_equal(database.requests[0].xid, 7);
        looked_gone(cases[i].said);
        const Wire__Exhibit *exhibit = only_exhibit(false);
        assert_false(exhibit->prepared);
        assert_int_equal(exhibit->xid, 7);
        assert_int_equal(exhibit->status, cases[i].told);
        assert_string_equal(exhibit->state, "");
    }
    /* Nothing of it is here. */
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    looked(
        &(struct db_inspected){.ok = true, .status = DB_STATUS_ERROR, .barrier = "", .report = ""});
    assert_int_equal(testified(false)->n_exhibits, 0);
}

static void rows_of_the_barrier_and_the_register_are_told(void **state)
{
    (void)state;
    struct db_inspected what = {.ok = true,
                                .status = DB_STATUS_ERROR,
                                .barrier = "one-phase",
                                .report = "",
                                .registered = true,
                                .state = {.promised = {4, 2}, .accepted = {3, 1}, .value = 2}};
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    looked(&what);
    const Wire__Exhibit *exhibit = only_exhibit(false);
    assert_string_equal(exhibit->barrier, "one-phase");
    assert_true(exhibit->registered && !exhibit->decided);
    assert_int_equal(exhibit->promised->round, 4);
    assert_int_equal(exhibit->accepted->site, 1);
    assert_int_equal(exhibit->value, WIRE__VALUE__COMMIT);
    register_learn(&what.state, REGISTER_COMMIT);
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    looked(&what);
    assert_true(only_exhibit(false)->decided);
    assert_null(only_exhibit(false)->promised);
}

static void what_was_forced_is_an_exhibit(void **state)
{
    (void)state;
    be_in_doubt();
    force_it(true);
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, true);
    assert_int_equal(database.requests[0].xid, 7); /* of the row: the branch has ended */
    looked_gone(DB_STATUS_COMMITTED);
    const Wire__Exhibit *exhibit = only_exhibit(true);
    assert_int_equal(exhibit->status, WIRE__XID_STATUS__XID_COMMITTED);
    assert_true(exhibit->heuristic->commit);
    assert_string_equal(exhibit->heuristic->by, "ada@host");
}

static void a_database_that_is_down_leaves_what_the_process_knows(void **state)
{
    (void)state;
    be_in_doubt();
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    looked(&(struct db_inspected){.problem = "connection refused"});
    const Wire__Testimony *testimony = testified(false);
    assert_string_equal(testimony->problem->code, "database_down");
    assert_string_equal(testimony->problem->detail, "connection refused");
    assert_int_equal(testimony->database_us, 0);
    assert_string_equal(only_exhibit(false)->state, "in doubt");
    assert_false(only_exhibit(false)->prepared);
    ask_what(WIRE__WHAT__PREPARED, "", false);
    looked(&(struct db_inspected){.problem = "connection refused"});
    assert_non_null(testified(false)->problem);
    ask_what(WIRE__WHAT__DIAGNOSIS, "", false);
    looked(&(struct db_inspected){.problem = "connection refused"});
    assert_non_null(testified(false)->problem);
    assert_int_equal(testified(false)->n_reaches, 3);
}

/* Two participants may share a database: each speaks of its own branch. */
static void another_participants_branch_is_no_exhibit(void **state)
{
    (void)state;
    pass(61000000);
    scan_finds("troth.shop.c1.5.1.2", true);
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    struct db_held held = held_1;
    held.gid = "troth.shop.c1.5.1.2";
    looked(&(struct db_inspected){.ok = true,
                                  .held = &held,
                                  .held_count = 1,
                                  .status = DB_STATUS_ERROR,
                                  .barrier = "",
                                  .report = ""});
    assert_int_equal(testified(false)->n_exhibits, 0);
}

/* Somebody has prepared it, and it was never asked to vote. */
static void a_branch_that_the_list_leaves_out_is_nobody_elses(void **state)
{
    (void)state;
    pass(61000000);
    scan_finds("troth.shop.c1.5.1.3", true);
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    struct db_held held = held_1;
    held.gid = "troth.shop.c1.5.1.3";
    looked(&(struct db_inspected){.ok = true,
                                  .held = &held,
                                  .held_count = 1,
                                  .status = DB_STATUS_ERROR,
                                  .barrier = "",
                                  .report = ""});
    const Wire__Testimony *testimony = testified(false);
    assert_int_equal(testimony->n_exhibits, 1);
    assert_true(testimony->exhibits[0]->prepared);
}

static void all_that_is_prepared_is_listed(void **state)
{
    (void)state;
    struct db_held held[3] = {held_1, held_1, held_1};
    held[1].gid = "somebody else's";
    held[2].gid = gid_1; /* the same name in another database: not this branch */
    held[2].here = false;
    held[2].database = "orders";
    be_in_doubt();
    ask_what(WIRE__WHAT__PREPARED, "", true);
    assert_int_equal(database.requests[0].look, DB_LOOK_PREPARED);
    looked(&(struct db_inspected){.ok = true, .held = held, .held_count = 3});
    const Wire__Testimony *testimony = testified(true);
    assert_int_equal(testimony->n_prepared, 3);
    assert_string_equal(testimony->prepared[0]->state, "in doubt");
    assert_true(testimony->prepared[0]->judged && testimony->prepared[0]->here);
    assert_string_equal(testimony->prepared[0]->owner, "app");
    assert_int_equal(testimony->prepared[0]->age_xids, 3);
    assert_string_equal(testimony->prepared[1]->state, "");
    assert_string_equal(testimony->prepared[2]->state, "");
    assert_int_equal(testimony->more, 0);
}

static void what_does_not_fit_a_message_is_counted_or_left_out(void **state)
{
    (void)state;
    enum { MANY = 2000 };
    static struct db_held held[MANY];
    static char report[LIMIT_MESSAGE_BYTES];
    for (int i = 0; i < MANY; i++)
        held[i] = held_1;
    memset(report, 'x', sizeof(report) - 1);
    ask_what(WIRE__WHAT__PREPARED, "", false);
    looked(&(struct db_inspected){.ok = true, .held = held, .held_count = MANY});
    const Wire__Testimony *testimony = testified(false);
    assert_in_range(testimony->n_prepared, 100, MANY - 1);
    assert_int_equal(testimony->n_prepared + testimony->more, MANY);
    be_in_doubt();
    ask_what(WIRE__WHAT__EVIDENCE, gtrid_1, false);
    looked(&(struct db_inspected){.ok = true,
                                  .held = &held_1,
                                  .held_count = 1,
                                  .xid = 7,
                                  .status = DB_STATUS_IN_PROGRESS,
                                  .barrier = "",
                                  .report = report});
    assert_string_equal(only_exhibit(false)->report, "");
    assert_true(only_exhibit(false)->prepared);
    ask_what(WIRE__WHAT__DIAGNOSIS, "", false);
    looked(&(struct db_inspected){.ok = true, .now_us = 5, .report = report});
    assert_string_equal(testified(false)->report, "");
}

static void the_server_is_described_with_whom_it_reaches(void **state)
{
    (void)state;
    ask_what(WIRE__WHAT__DIAGNOSIS, "", true);
    assert_int_equal(database.requests[0].look, DB_LOOK_SERVER);
    looked(&(struct db_inspected){.ok = true, .now_us = 5, .report = "{\"version\": \"15.20\"}"});
    const Wire__Testimony *testimony = testified(true);
    assert_string_equal(testimony->report, "{\"version\": \"15.20\"}");
    assert_int_equal(testimony->n_reaches, 3);
    assert_string_equal(testimony->reaches[0], "c1");
    for (int i = 1; i <= 2; i++)
        assert_true(strcmp(testimony->reaches[i], "orders") == 0 ||
                    strcmp(testimony->reaches[i], "inventory") == 0);
}

static void questions_that_make_no_sense_are_refused(void **state)
{
    (void)state;
    static const char *const ids[] = {"", "shop.c1.5", "other.c1.5.1", "nonsense",
                                      "troth.shop.c1.5.1.0.0"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        for (int door = 0; door <= 1; door++) {
            ask_what(WIRE__WHAT__EVIDENCE, ids[i], door);
            refused(door, "bad_request");
        }
    }
    assert_int_equal(database.count, 0);
    /* A coordinator looks at nothing else here. */
    ask_what(WIRE__WHAT__TRANSACTIONS, "", false);
    assert_int_equal(inbox_count, 0);
}

static void only_so_many_questions_are_under_way(void **state)
{
    (void)state;
    enum { MOST = 64 };
    void *tags[MOST];
    for (int i = 0; i < MOST; i++) {
        ask_what(WIRE__WHAT__PREPARED, "", true);
        tags[i] = take_tag(INSPECT);
    }
    ask_what(WIRE__WHAT__PREPARED, "", true);
    refused(true, "busy");
    /* Who asked is gone: nobody is answered, and there is room again. */
    cut = true;
    pass(3000000);
    cut = false;
    for (int i = 0; i < MOST; i++)
        events->inspected(events->self, tags[i], &(struct db_inspected){.ok = true});
    settle();
    ask_what(WIRE__WHAT__PREPARED, "", true);
    looked(&(struct db_inspected){.ok = true});
    assert_int_equal(testified(true)->n_prepared, 0);
}

#define WITH_DOOR(test) cmocka_unit_test_setup_teardown(test, start_orders, stop_orders)

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        WITH_DOOR(a_branch_in_doubt_is_described),
        WITH_DOOR(what_is_gone_is_proved_by_its_xid),
        WITH_DOOR(rows_of_the_barrier_and_the_register_are_told),
        WITH_DOOR(what_was_forced_is_an_exhibit),
        WITH_DOOR(a_database_that_is_down_leaves_what_the_process_knows),
        WITH_DOOR(another_participants_branch_is_no_exhibit),
        WITH_DOOR(a_branch_that_the_list_leaves_out_is_nobody_elses),
        WITH_DOOR(all_that_is_prepared_is_listed),
        WITH_DOOR(what_does_not_fit_a_message_is_counted_or_left_out),
        WITH_DOOR(the_server_is_described_with_whom_it_reaches),
        WITH_DOOR(questions_that_make_no_sense_are_refused),
        WITH_DOOR(only_so_many_questions_are_under_way),
    };
    return cmocka_run_group_tests_name("evidence", tests, NULL, NULL);
}
