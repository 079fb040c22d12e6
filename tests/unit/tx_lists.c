/* Lists of transactions at a coordinator: filters, order, pages; and what the view of one tells. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

static Wire__Query list_query(void)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    return query;
}

/* The last numbers of the ids that a list has, with a space behind each. */
static void shows(struct desk *desk, Wire__Query query, const char *expected)
{
    char text[512] = "";
    const Wire__Answer *answer = look_at(desk, &query);
    if (answer->problem)
        fail_msg("refused: %s", answer->problem->message);
    for (size_t i = 0; i < answer->n_transactions; i++) {
        const char *gtrid = answer->transactions[i]->gtrid;
        strcat(strcat(text, strrchr(gtrid, '.') + 1), " ");
    }
    assert_string_equal(text, expected);
}

/* Commits one and ends it. */
static void commit(struct desk *desk)
{
    begin_deciding(desk, NULL);
    sync_journal(desk->world);
    applied(desk->orders);
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
}

/* 1 voting, 2 applied, 3 hazard, 4 committed and not applied at payments, 5 aborted. */
static void fill(struct desk *desk)
{
    begin(desk, NULL);
    pass(desk->world, 2 * SECOND_US);
    commit(desk);
    begin_deciding(desk, NULL);
    sync_journal(desk->world);
    finish(desk->orders, told(desk->orders, true), true, true);
    outcome(desk->client, 1, WIRE__RESULT__HAZARD);
    applied(desk->payments);
    begin_deciding(desk, NULL);
    sync_journal(desk->world);
    applied(desk->orders);
    told(desk->payments, true);
    pass(desk->world, 2 * SECOND_US);
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__NO);
    outcome(desk->client, 1, WIRE__RESULT__ABORTED);
    finish(desk->payments, told(desk->payments, false), false, false);
}

static void a_list_is_in_the_order_asked_for(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    fill(desk);
    Wire__Query query = list_query();
    shows(desk, query, "5 4 3 2 1 ");
    query.oldest_first = true;
    shows(desk, query, "1 2 3 4 5 ");
    desk_free(desk);
}

static void filters_leave_what_they_say(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    fill(desk);
    Wire__Query query = list_query();
    query.in_doubt = true;
    shows(desk, query, "4 3 "); /* 1 has no vote */
    query = list_query();
    query.hazard = true;
    shows(desk, query, "3 ");
    query = list_query();
    query.heuristic = true;
    shows(desk, query, "");
    query = list_query();
    char *states[] = {(char *)"applied", (char *)"aborted"};
    query.states = states;
    query.n_states = 2;
    shows(desk, query, "5 2 ");
    states[1] = (char *)"voting";
    shows(desk, query, "2 1 ");
    query = list_query();
    query.older_us = SECOND_US;
    shows(desk, query, "4 3 2 1 ");
    query.older_us = 3 * SECOND_US;
    shows(desk, query, "1 ");
    query = list_query();
    query.participant = (char *)"inventory";
    shows(desk, query, "");
    query.participant = (char *)"orders";
    shows(desk, query, "5 4 3 2 1 ");
    desk_free(desk);
}

static void pages_follow_each_other(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    fill(desk);
    char from[160];
    unsigned long long epoch = server_epoch(desk->world->server);
    Wire__Query query = list_query();
    query.limit = 2;
    shows(desk, query, "5 4 ");
    assert_int_equal(look_at(desk, &query)->more, 3);
    snprintf(from, sizeof(from), "shop.c1.%llu.4", epoch);
    query.from = from;
    shows(desk, query, "3 2 ");
    assert_int_equal(look_at(desk, &query)->more, 1);
    snprintf(from, sizeof(from), "shop.c1.%llu.2", epoch);
    shows(desk, query, "1 ");
    assert_int_equal(look_at(desk, &query)->more, 0);
    query.oldest_first = true;
    shows(desk, query, "3 4 ");
    /* Also after one that is gone, or never was. */
    snprintf(from, sizeof(from), "shop.c1.%llu.99", epoch);
    shows(desk, query, "");
    query.oldest_first = false;
    shows(desk, query, "5 4 ");
    query.from = (char *)"nonsense";
    assert_string_equal(look_at(desk, &query)->problem->code, "bad_request");
    desk_free(desk);
}

/* All pages together are the list, whatever happens between. */
static void many_pages_show_each_row_once(void **unused)
{
    (void)unused;
    enum { ROWS = 300 };
    struct desk *desk = desk_new();
    char from[160] = "";
    int seen = 0, pages = 0;
    for (int i = 0; i < ROWS; i++)
        commit(desk);
    Wire__Query query = list_query();
    query.limit = 1000;
    for (uint64_t more = 1; more > 0; pages++) {
        query.from = from;
        const Wire__Answer *answer = look_at(desk, &query);
        assert_true(answer->n_transactions > 0);
        for (size_t i = 0; i < answer->n_transactions; i++) {
            char expected[32];
            snprintf(expected, sizeof(expected), ".%d", ROWS - seen++);
            assert_string_equal(strrchr(answer->transactions[i]->gtrid, '.'), expected);
        }
        more = answer->more;
        snprintf(from, sizeof(from), "%s", answer->transactions[answer->n_transactions - 1]->gtrid);
    }
    assert_int_equal(seen, ROWS);
    assert_true(pages > 1); /* one message has not room for all */
    desk_free(desk);
}

static void what_only_operators_know_is_listed_in_its_place(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    fill(desk);
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = 7;
    branch.seq = 70;
    tell_forced(desk->orders, (struct forced){.coordinator = "c9", .branch = branch});
    branch.seq = 71;
    tell_forced(desk->orders, (struct forced){.branch = branch});
    Wire__Query query = list_query();
    shows(desk, query, "5 4 3 2 1 71 70 ");
    query.heuristic = true;
    query.oldest_first = true;
    shows(desk, query, "70 71 ");
    query.hazard = true;
    shows(desk, query, "70 71 3 ");
    query = list_query();
    char *states[] = {(char *)"heuristic"};
    query.states = states;
    query.n_states = 1;
    shows(desk, query, "71 70 ");
    query = list_query();
    query.participant = (char *)"payments";
    shows(desk, query, "5 4 3 2 1 ");
    query.participant = (char *)"orders";
    query.heuristic = true;
    shows(desk, query, "71 70 ");
    desk_free(desk);
}

static void report_held(struct visitor *visitor, const char *gid)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *held[] = {(char *)"not a gid", (char *)gid};
    body.database_up = true;
    body.held = held;
    body.n_held = gid ? 2 : 1;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

static void what_is_held_of_it_is_in_doubt(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = 7;
    branch.seq = 70;
    tell_forced(desk->orders, (struct forced){.coordinator = "c9", .branch = branch});
    Wire__Query query = list_query();
    query.in_doubt = true;
    shows(desk, query, "");
    report_held(desk->payments, "troth.shop.c8.7.70.1");
    shows(desk, query, "");
    report_held(desk->payments, "troth.shop.c9.7.70.1");
    shows(desk, query, "70 ");
    report_held(desk->payments, NULL);
    shows(desk, query, "");
    desk_free(desk);
}

/* ---- one transaction ---- */

static void a_view_tells_when_each_branch_voted_and_ended(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    pass(desk->world, SECOND_US);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    const Wire__TransactionView *view = shown(desk, gtrid_of(branch));
    int64_t begun = view->begun_us;
    assert_in_range(view->branches[0]->voted_us - begun, SECOND_US, 1100 * 1000);
    assert_int_equal(view->branches[0]->ended_us, 0);
    assert_int_equal(view->branches[1]->voted_us, 0);
    assert_string_equal(view->branches[0]->waits_for, "the other votes");
    assert_string_equal(view->branches[1]->waits_for, "payments");
    pass(desk->world, SECOND_US);
    vote(desk->payments, second(branch), WIRE__CHOICE__YES);
    assert_string_equal(shown(desk, gtrid_of(branch))->branches[0]->waits_for,
                        "the coordinator's journal");
    sync_journal(desk->world);
    applied(desk->orders);
    pass(desk->world, SECOND_US);
    view = shown(desk, gtrid_of(branch));
    assert_string_equal(view->decision, "commit");
    assert_in_range(view->branches[1]->voted_us - begun, 2 * SECOND_US, 2300 * 1000);
    assert_in_range(view->branches[0]->ended_us - begun, 2 * SECOND_US, 2300 * 1000);
    assert_int_equal(view->branches[1]->ended_us, 0);
    assert_string_equal(view->branches[0]->waits_for, "");
    assert_string_equal(view->branches[1]->waits_for, "payments");
    leave(desk->payments);
    pass(desk->world, 3 * SECOND_US);
    assert_string_equal(shown(desk, gtrid_of(branch))->branches[1]->waits_for,
                        "payments, which is not connected");
    desk->payments = participant(desk->world, 1, "payments");
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
    view = shown(desk, gtrid_of(branch));
    assert_true(view->branches[1]->ended_us - begun >= 6 * SECOND_US);
    assert_string_equal(view->state, "applied");
    assert_string_equal(view->decision, "commit");
    assert_string_equal(view->branches[1]->waits_for, "");
    desk_free(desk);
}

static void what_only_the_journal_remembers_has_a_decision(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    applied(desk->orders);
    applied(desk->payments);
    sync_journal(desk->world);
    desk_crash(desk);
    assert_string_equal(shown(desk, gtrid_of(branch))->decision, "commit");
    desk_free(desk);
}

static void another_coordinators_is_shown_only_when_something_was_forced(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const Wire__Answer *answer = ask(desk->client, WIRE__WHAT__TRANSACTION, "shop.c9.7.70", false);
    assert_string_equal(answer->problem->code, "bad_request");
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = 7;
    branch.seq = 70;
    tell_forced(desk->orders, (struct forced){.coordinator = "c9", .branch = branch});
    const Wire__TransactionView *view = shown(desk, "shop.c9.7.70");
    assert_string_equal(view->state, "heuristic");
    assert_string_equal(view->branches[0]->gid, "troth.shop.c9.7.70.0");
    assert_string_equal(view->branches[0]->state, "aborted");
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_is_in_the_order_asked_for),
        cmocka_unit_test(filters_leave_what_they_say),
        cmocka_unit_test(pages_follow_each_other),
        cmocka_unit_test(many_pages_show_each_row_once),
        cmocka_unit_test(what_only_operators_know_is_listed_in_its_place),
        cmocka_unit_test(what_is_held_of_it_is_in_doubt),
        cmocka_unit_test(a_view_tells_when_each_branch_voted_and_ended),
        cmocka_unit_test(what_only_the_journal_remembers_has_a_decision),
        cmocka_unit_test(another_coordinators_is_shown_only_when_something_was_forced),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
