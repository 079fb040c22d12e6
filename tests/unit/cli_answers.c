/* The command line with a coordinator: what it sends, what it prints of the answers, and the exit
 * codes. cli_three_phase.c has what only three phases have. */
#include "tests/unit/cli_desk.h"

#include "core/json.h"

/* ---- submit ------------------------------------------------------------------------------- */

static void a_submit_carries_what_was_asked_for(void **state)
{
    struct desk *desk = *state;
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    desk->outcome = &outcome;
    struct run run =
        ask(desk, WORDS("submit", "--key", "k1", "--wait=decided", "--timeout", "5s", "--protocol",
                        "3pc", "payments.charge", " {\"amount\": 10.50} ", "inventory.count"));
    assert_code(run, 0);
    assert_int_equal(desk->last->body_case, WIRE__MESSAGE__BODY_SUBMIT);
    const Wire__Submit *submit = desk->last->submit;
    assert_string_equal(submit->key, "k1");
    assert_int_equal(submit->wait, WIRE__WAIT__DECIDED);
    assert_int_equal(submit->timeout_ms, 5000);
    assert_int_equal(submit->protocol, WIRE__PROTOCOL__THREE_PHASE);
    assert_int_equal(submit->n_calls, 2);
    assert_string_equal(submit->calls[0]->participant, "payments");
    assert_string_equal(submit->calls[0]->operation, "charge");
    assert_string_equal(submit->calls[0]->arguments, "{\"amount\":10.50}");
    assert_string_equal(submit->calls[1]->arguments, "{}");
    run_fini(&run);
}

static void a_file_says_the_same_and_a_flag_counts_more(void **state)
{
    struct desk *desk = *state;
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    desk->outcome = &outcome;
    struct run run = kit_run_on(desk->loop,
                                "key: k1\nprotocol: 3pc\nwait: decided\ndeadline: 1500ms\n"
                                "branches:\n"
                                "  - {call: payments.charge, with: {amount: 10.50, to: ada}}\n"
                                "  - call: inventory.count\n",
                                NULL, WORDS("submit", "--key", "k2", "-f", "-"));
    assert_code(run, 0);
    const Wire__Submit *submit = desk->last->submit;
    assert_string_equal(submit->key, "k2");
    assert_int_equal(submit->protocol, WIRE__PROTOCOL__THREE_PHASE);
    assert_int_equal(submit->wait, WIRE__WAIT__DECIDED);
    assert_int_equal(submit->timeout_ms, 1500);
    assert_int_equal(submit->n_calls, 2);
    assert_string_equal(submit->calls[0]->arguments, "{\"amount\":10.50,\"to\":\"ada\"}");
    assert_string_equal(submit->calls[1]->arguments, "{}");
    run_fini(&run);
    run = kit_run_on(desk->loop, "protocol: 3pc\nbranches: [{call: a.b}]\n", NULL,
                     WORDS("submit", "--protocol", "2pc", "-f", "-"));
    assert_code(run, 0);
    assert_int_equal(desk->last->submit->protocol, WIRE__PROTOCOL__TWO_PHASE);
    run_fini(&run);
}

static void a_commit_is_printed_with_its_results(void **state)
{
    struct desk *desk = *state;
    char *results[] = {(char *)"{\"id\": 7}", (char *)"", (char *)"\x1b[31m"};
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    outcome.results = results;
    outcome.n_results = 3;
    desk->outcome = &outcome;
    struct run run = ask(desk, WORDS("submit", "payments.charge", "a.b", "a.c"));
    assert_code(run, 0);
    assert_string_equal(run.out, "committed shop.c1.7.1\n  payments.charge  {\"id\": 7}\n");
    assert_string_equal(run.err, "");
    run_fini(&run);
}

static void a_commit_that_is_not_applied_says_where(void **state)
{
    struct desk *desk = *state;
    char *unapplied[] = {(char *)"payments", (char *)"orders"};
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    outcome.applied = false;
    outcome.repeated_key = true;
    outcome.unapplied = unapplied;
    outcome.n_unapplied = 2;
    desk->outcome = &outcome;
    struct run run = ask(desk, WORDS("submit", "a.b"));
    assert_code(run, 0);
    assert_out(run, "  decided, not yet applied at payments, orders; it will be");
    assert_out(run, "nothing ran again");
    run_fini(&run);
}

static void a_commit_as_json_holds_the_same_facts(void **state)
{
    struct desk *desk = *state;
    char *results[] = {(char *)"{\"id\": 7.10}"}, *unapplied[] = {(char *)"payments"};
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    outcome.results = results;
    outcome.n_results = 1;
    outcome.applied = false;
    outcome.unapplied = unapplied;
    outcome.n_unapplied = 1;
    desk->outcome = &outcome;
    struct run run = ask(desk, WORDS("--json", "submit", "a.b"));
    assert_code(run, 0);
    assert_string_equal(run.out,
                        "{\"result\":\"committed\",\"gtrid\":\"shop.c1.7.1\",\"applied\":false,"
                        "\"unapplied\":[\"payments\"],\"repeated_key\":false,"
                        "\"calls\":[{\"call\":\"a.b\",\"result\":{\"id\": 7.10}}],"
                        "\"results_dropped\":false,\"problem\":null,\"exit\":0}\n");
    run_fini(&run);
}

static void an_abort_names_participant_operation_and_reason(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("insufficient_funds", "0 rows instead of 1");
    problem.participant = (char *)"payments";
    problem.operation = (char *)"charge";
    problem.detail = (char *)"bad \x1b[31m\xff";
    problem.hint = (char *)"try less";
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__ABORTED, &problem);
    desk->outcome = &outcome;
    struct run run = ask(desk, WORDS("submit", "a.b"));
    assert_code(run, 1);
    assert_string_equal(run.out, "aborted shop.c1.7.1: payments.charge: 0 rows instead of 1 "
                                 "(insufficient_funds)\n"
                                 "  detail: bad \\x1b[31m\\xff\n"
                                 "  hint: try less\n");
    run_fini(&run);
}

static void every_result_has_its_exit_code(void **state)
{
    struct desk *desk = *state;
    static const struct {
        Wire__Result result;
        const char *code;
        int exit;
    } cases[] = {
        {WIRE__RESULT__REJECTED, "bad_request", 2},
        {WIRE__RESULT__REJECTED, "unknown_operation", 2},
        {WIRE__RESULT__REJECTED, "bad_argument", 2},
        {WIRE__RESULT__REJECTED, "unknown_participant", 2},
        {WIRE__RESULT__REJECTED, "busy", 1},
        {WIRE__RESULT__REJECTED, "draining", 1},
        {WIRE__RESULT__REJECTED, "not_connected", 1},
        {WIRE__RESULT__REJECTED, "key_conflict", 4},
        {WIRE__RESULT__ABORTED, "deadline", 1},
        {WIRE__RESULT__REJECTED, "no_listen", 2},
        {WIRE__RESULT__UNKNOWN, "unknown", 5},
        {WIRE__RESULT__UNKNOWN, "no_majority", 5},
        {WIRE__RESULT__HAZARD, "hazard", 5},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        Wire__Problem problem = problem_of(cases[i].code, "so it is");
        Wire__Outcome outcome = outcome_of(cases[i].result, &problem);
        desk->outcome = &outcome;
        struct run run = ask(desk, WORDS("submit", "a.b"));
        assert_code(run, cases[i].exit);
        bool rejected = cases[i].result == WIRE__RESULT__REJECTED;
        kit_has(&run, rejected ? "stderr" : "stdout", rejected ? run.err : run.out, "so it is (");
        run_fini(&run);
    }
}

static void a_session_lost_after_the_submit_leaves_the_outcome_unknown(void **state)
{
    struct desk *desk = *state;
    desk->hang_up = true;
    struct run run = ask(desk, WORDS("submit", "a.b"));
    assert_code(run, 5);
    assert_err(run, "troth: outcome unknown: the session with tcp://");
    assert_err(run, "the test hangs up");
    assert_err(run, "it may be committed or aborted");
    assert_err(run, "troth tx list");
    assert_int_equal(desk->submits, 1);
    run_fini(&run);
    run = ask(desk, WORDS("submit", "--key", "k", "a.b"));
    assert_code(run, 5);
    assert_err(run, "submit again with the same --key");
    run_fini(&run);
}

static void a_refused_session_is_exit_code_4(void **state)
{
    struct desk *desk = *state;
    desk->refuse = true;
    struct run run = ask(desk, WORDS("submit", "a.b"));
    assert_code(run, 4);
    assert_err(run, "refuses: speaks version 2, not 1");
    assert_err(run, "hint: use the troth of this trothd");
    assert_int_equal(desk->submits, 0);
    run_fini(&run);
}

/* ---- the views ---------------------------------------------------------------------------- */

/* One transaction with two branches. */
struct view {
    Wire__BranchView branches[2], *branch_list[2];
    Wire__TransactionView tx, *tx_list[1];
    Wire__Problem problem;
    Wire__Answer answer;
};

static void view_init(struct view *view)
{
    view->problem = problem_of("55P03", "lock timeout\x07");
    for (int i = 0; i < 2; i++) {
        wire__branch_view__init(&view->branches[i]);
        view->branch_list[i] = &view->branches[i];
    }
    view->branches[0].participant = (char *)"payments";
    view->branches[0].state = (char *)"prepared";
    view->branches[0].xid = 771;
    view->branches[0].gid = (char *)"troth.shop.c1.7.1.0";
    view->branches[1].participant = (char *)"l\xc3\xa4ger";
    view->branches[1].state = (char *)"refused";
    view->branches[1].problem = &view->problem;
    wire__transaction_view__init(&view->tx);
    view->tx.gtrid = (char *)"shop.c1.7.1";
    view->tx.state = (char *)"committing";
    view->tx.key = (char *)"k1";
    view->tx.begun_us = 1795222861123000;
    view->tx.decided_us = view->tx.begun_us + 12000;
    view->tx.in_doubt = true;
    view->tx.branches = view->branch_list;
    view->tx.n_branches = 2;
    view->tx_list[0] = &view->tx;
    wire__answer__init(&view->answer);
    view->answer.transactions = view->tx_list;
    view->answer.n_transactions = 1;
    view->answer.more = 3;
}

static void transactions_are_listed_in_a_table(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view);
    desk->answers[WIRE__WHAT__TRANSACTIONS] = &view.answer;
    struct run run = ask(desk, WORDS("tx", "list", "--in-doubt", "--participant", "payments"));
    assert_code(run, 0);
    assert_out(run, "GTRID        STATE       BY   AGE  MARK      PARTICIPANTS\n");
    assert_out(run, "\nshop.c1.7.1  committing  2pc  ");
    assert_out(run, "  in doubt  payments l\xc3\xa4ger\n");
    assert_out(run, "and 3 more: troth tx list --in-doubt --participant payments --after "
                    "shop.c1.7.1\n");
    assert_true(desk->last->query->in_doubt);
    assert_string_equal(desk->last->query->participant, "payments");
    run_fini(&run);
}

static void an_empty_list_says_so(void **state)
{
    struct desk *desk = *state;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    desk->answers[WIRE__WHAT__TRANSACTIONS] = &answer;
    desk->answers[WIRE__WHAT__PARTICIPANTS] = &answer;
    struct run run = ask(desk, WORDS("tx", "list", "--in-doubt"));
    assert_code(run, 0);
    assert_string_equal(run.out, "no transactions in doubt\n");
    run_fini(&run);
    run = ask(desk, WORDS("participant", "list"));
    assert_code(run, 0);
    assert_out(run, "no participant has connected\n");
    run_fini(&run);
    run = ask(desk, WORDS("tx", "list", "--json"));
    assert_string_equal(run.out, "{\"transactions\":[],\"more\":0,\"answered_by\":"
                                 "{\"role\":\"coordinator\",\"name\":\"c1\"}}\n");
    run_fini(&run);
}

static void a_transaction_is_shown_with_times_and_branches(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view);
    desk->answers[WIRE__WHAT__TRANSACTION] = &view.answer;
    struct run run = ask(desk, WORDS("tx", "show", "shop.c1.7.1"));
    assert_code(run, 0);
    assert_string_equal(desk->last->query->gtrid, "shop.c1.7.1");
    assert_out(run, "\nkey          k1\n");
    assert_out(run, "\n2026-11-21T01:01:01.123Z          begun\n"
                    "2026-11-21T01:01:01.135Z   +12ms  decided\n");
    assert_out(run, "\nended        not yet\n");
    assert_out(run, "\nPARTICIPANT  STATE     XID  OPERATIONS  GID\n"
                    "payments     prepared  771  -           troth.shop.c1.7.1.0\n"
                    "l\xc3\xa4ger        refused   -    -           -\n");
    assert_out(run, "\nl\xc3\xa4ger: lock timeout\\x07 (55P03)\n");
    run_fini(&run);
}

static void a_transaction_as_json_is_valid_and_whole(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view);
    desk->answers[WIRE__WHAT__TRANSACTION] = &view.answer;
    struct run run = ask(desk, WORDS("tx", "show", "shop.c1.7.1", "--json"));
    assert_code(run, 0);
    struct error error = {0};
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    assert_non_null(json);
    assert_string_equal(json_member(json, "begun")->text, "2026-11-21T01:01:01.123Z");
    assert_int_equal(json_member(json, "ended")->type, JSON_NULL);
    const struct json *branches = json_member(json, "branches");
    assert_int_equal(branches->count, 2);
    assert_string_equal(json_member(&branches->items[0], "xid")->text, "771");
    const struct json *problem = json_member(&branches->items[1], "problem");
    assert_string_equal(json_member(problem, "message")->text, "lock timeout\x07");
    json_free(json);
    run_fini(&run);
}

static void a_transaction_that_is_not_known_is_exit_code_5(void **state)
{
    struct desk *desk = *state;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    desk->answers[WIRE__WHAT__TRANSACTION] = desk->answers[WIRE__WHAT__SAGA] = &answer;
    struct run run = ask(desk, WORDS("tx", "show", "shop.c1.7.9"));
    assert_code(run, 5);
    assert_err(run, "shop.c1.7.9 is not known to coordinator c1");
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(a_submit_carries_what_was_asked_for),
        TEST(a_file_says_the_same_and_a_flag_counts_more),
        TEST(a_commit_is_printed_with_its_results),
        TEST(a_commit_that_is_not_applied_says_where),
        TEST(a_commit_as_json_holds_the_same_facts),
        TEST(an_abort_names_participant_operation_and_reason),
        TEST(every_result_has_its_exit_code),
        TEST(a_session_lost_after_the_submit_leaves_the_outcome_unknown),
        TEST(a_refused_session_is_exit_code_4),
        TEST(transactions_are_listed_in_a_table),
        TEST(an_empty_list_says_so),
        TEST(a_transaction_is_shown_with_times_and_branches),
        TEST(a_transaction_as_json_is_valid_and_whole),
        TEST(a_transaction_that_is_not_known_is_exit_code_5),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
