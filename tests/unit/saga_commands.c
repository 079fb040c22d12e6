/* The commands that speak to a coordinator of sagas: what they send, what they print in 80 columns,
 * and the exit codes; and the mistakes of a tired person. */
#include "tests/unit/saga_desk.h"

/* ---- start -------------------------------------------------------------------------------- */

static void a_start_carries_what_was_asked_for(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    struct run run = ask(desk, WORDS("saga", "start", "place-order", "--key", "k1", "--input",
                                     " {\"amount\": 10.50, \"to\": \"a b\"} "));
    assert_code(run, 0);
    assert_string_equal(run.out, "started " ID "\n");
    assert_int_equal(desk->last->body_case, WIRE__MESSAGE__BODY_START_SAGA);
    const Wire__StartSaga *start = desk->last->start_saga;
    assert_string_equal(start->name, "place-order");
    assert_string_equal(start->key, "k1");
    assert_string_equal(start->input, "{\"amount\":10.50,\"to\":\"a b\"}");
    assert_false(start->wait);
    assert_int_equal(start->timeout_ms, 0);
    run_fini(&run);
    run = ask(desk, WORDS("saga", "start", "place-order", "--wait", "--timeout", "90s"));
    assert_code(run, 5);
    assert_true(desk->request->start_saga->wait);
    assert_int_equal(desk->request->start_saga->timeout_ms, 90000);
    assert_string_equal(desk->request->start_saga->input, "");
    run_fini(&run);
}

static void a_start_from_a_file_says_the_same(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    struct run run = kit_run_on(
        desk->loop, "saga: place-order\nkey: k1\nwait: true\ninput: {amount: 10.50, id: \"17\"}\n",
        NULL, WORDS("saga", "start", "-f", "-", "--key", "k2"));
    assert_code(run, 5);
    const Wire__StartSaga *start = desk->request->start_saga;
    assert_string_equal(start->name, "place-order");
    assert_string_equal(start->key, "k2");
    assert_string_equal(start->input, "{\"amount\":10.50,\"id\":\"17\"}");
    assert_true(start->wait);
    run_fini(&run);
    run = kit_run_on(desk->loop, "sage: place-order\ninput: [1]\nkey: \"\"\n", NULL,
                     WORDS("saga", "start", "-f", "-"));
    assert_code(run, 2);
    assert_err(run, "stdin:1:1: ");
    assert_err(run, "did you mean \"saga\"?");
    assert_err(run, "stdin:2:8: input: expected a map of inputs (name: value)");
    assert_err(run, "stdin:3:6: key: has 0 bytes; 1 to 200 are allowed");
    run_fini(&run);
}

static void what_became_of_it_is_printed_and_is_the_exit_code(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    const char *const *words = WORDS("saga", "start", "place-order", "--wait");
    world.outcome.result = WIRE__SAGA_RESULT__SAGA_COMPLETED;
    world.outcome.output = (char *)"{\"receipt\":\"r-1\"}";
    struct run run = ask(desk, words);
    assert_code(run, 0);
    assert_string_equal(run.out, "completed " ID "\n  {\"receipt\":\"r-1\"}\n");
    run_fini(&run);
    world.outcome.output = (char *)"null";
    world.outcome.repeated_key = true;
    run = ask(desk, words);
    assert_string_equal(run.out, "completed " ID "\n  an earlier start with this key began it; "
                                 "nothing was begun again\n");
    expect_narrow(&run);
    run_fini(&run);
    world_init(&world, desk);
    world.problem.participant = (char *)"payments";
    world.problem.operation = (char *)"charge";
    world.problem.code = (char *)"insufficient_funds";
    world.problem.message = (char *)"ada has 1.50";
    world.outcome.problem = &world.problem;
    world.outcome.result = WIRE__SAGA_RESULT__SAGA_COMPENSATED;
    run = ask(desk, words);
    assert_code(run, 1);
    assert_string_equal(run.out, "compensated " ID ": payments.charge: ada has 1.50 "
                                 "(insufficient_funds)\n");
    run_fini(&run);
}

static void one_that_still_runs_says_what_it_waits_for(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.saga.next = (char *)"waits for the signal approval";
    struct run run = ask(desk, WORDS("saga", "start", "place-order", "--wait", "--timeout", "1s"));
    assert_code(run, 5);
    assert_string_equal(run.out, "running " ID "\n"
                                 "  next: waits for the signal approval\n"
                                 "  hint: it runs on; troth saga show " ID " shows how far it "
                                 "is\n");
    expect_narrow(&run);
    assert_string_equal(desk->last->query->saga, ID);
    run_fini(&run);
    run = expect_json(
        desk, WORDS("saga", "start", "place-order", "--wait", "--timeout", "1s", "--json"), 5);
    assert_string_equal(run.out,
                        "{\"result\":\"running\",\"saga\":\"" ID "\",\"name\":\"place-order\","
                        "\"repeated_key\":false,\"output\":null,\"output_dropped\":false,"
                        "\"next\":\"waits for the signal approval\",\"problem\":null,"
                        "\"exit\":5}\n");
    run_fini(&run);
}

static void a_rejected_start_has_the_exit_code_of_its_problem(void **state)
{
    struct desk *desk = *state;
    static const struct {
        const char *code;
        int exit;
    } cases[] = {
        {"unknown_saga", 2}, {"bad_input", 2}, {"bad_request", 2},
        {"key_conflict", 4}, {"busy", 1},      {"draining", 1},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        world_init(&world, desk);
        world.problem = problem_of(cases[i].code, "no saga place-oder");
        world.problem.hint = (char *)"did you mean place-order?";
        world.outcome.problem = &world.problem;
        world.outcome.result = WIRE__SAGA_RESULT__SAGA_REJECTED;
        world.outcome.saga = (char *)"";
        struct run run = ask(desk, WORDS("saga", "start", "place-oder"));
        assert_code(run, cases[i].exit);
        assert_string_equal(run.out, "");
        char *expected = xasprintf("troth: rejected: no saga place-oder (%s)\n"
                                   "  hint: did you mean place-order?\n",
                                   cases[i].code);
        assert_string_equal(run.err, expected);
        free(expected);
        run_fini(&run);
    }
}

static void a_session_lost_after_the_start_leaves_it_unknown(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    desk->hang_up = true;
    struct run run = ask(desk, WORDS("saga", "start", "place-order"));
    assert_code(run, 5);
    assert_err(run, "troth: not known whether it began: the session with tcp://");
    assert_err(run, "hint: troth saga list --all --name place-order shows it if it began; with "
                    "--key K a start can be repeated safely");
    run_fini(&run);
    run = ask(desk, WORDS("saga", "start", "place-order", "--key", "k"));
    assert_code(run, 5);
    assert_err(run, "hint: start it again with the same --key: it begins once");
    run_fini(&run);
    run = ask(desk, WORDS("saga", "retry", ID));
    assert_code(run, 5);
    assert_err(run, "troth: not known whether it was done: ");
    run_fini(&run);
}

/* ---- list --------------------------------------------------------------------------------- */

static void sagas_are_listed_in_80_columns(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.saga.state = (char *)"compensating";
    world.saga.needs_operator = true;
    world.saga.next = (char *)"waits for an operator: orders.cancel was tried 5 times";
    world.answer.more = 12;
    setenv("COLUMNS", "80", 1);
    struct run run = ask(desk, WORDS("saga", "list", "--name", "place-order", "--limit", "1"));
    unsetenv("COLUMNS");
    assert_code(run, 0);
    assert_string_equal(run.out,
                        "ID                     NAME         STATE           AGE  NEXT\n" ID
                        "  place-order  compensating !  12s  waits for an operator:\u2026\n"
                        "and 12 more: --limit N lists them\n"
                        "! needs an operator: troth saga show ID tells what to do\n");
    expect_narrow(&run);
    const Wire__Query *query = desk->last->query;
    assert_string_equal(query->saga, "place-order");
    assert_int_equal(query->limit, 1);
    assert_true(query->unended);
    assert_false(query->needs_operator);
    assert_false(query->children);
    run_fini(&run);
    run = ask(desk, WORDS("saga", "list", "--all", "--children", "--name", "x"));
    assert_out(run, "\nand 12 more: --name and --needs-operator list fewer\n");
    query = desk->last->query;
    assert_true(!query->unended && query->children && !query->needs_operator);
    run_fini(&run);
    run = ask(desk, WORDS("saga", "list", "--needs-operator"));
    query = desk->last->query;
    assert_true(query->unended && query->children && query->needs_operator);
    assert_out(run, "waits for an operator: orders.cancel was tried 5 times\n");
    run_fini(&run);
    run = expect_json(desk, WORDS("saga", "list", "--json"), 0);
    assert_out(run, "\"needs_operator\":true,");
    assert_out(run, "\"more\":12,\"answered_by\":{\"role\":\"coordinator\",\"name\":\"c1\"}}\n");
    run_fini(&run);
}

static const Wire__Answer *needing_page(struct desk *desk, const Wire__Query *query)
{
    return query->needs_operator ? desk->pages : NULL;
}

static void a_list_tells_of_those_that_it_does_not_show(void **state)
{
    struct desk *desk = *state;
    struct world world;
    Wire__SagaView child = WIRE__SAGA_VIEW__INIT, *list[] = {&child};
    Wire__Answer needing = WIRE__ANSWER__INIT;
    world_init(&world, desk);
    needing.sagas = list;
    needing.n_sagas = 1;
    needing.more = 1;
    desk->page = needing_page;
    desk->pages = &needing;
    struct run run = ask(desk, WORDS("saga", "list"));
    assert_out(run, "\n2 not listed here need an operator: troth saga list --needs-operator\n");
    run_fini(&run);
}

static void an_empty_list_says_of_what(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.answer.n_sagas = 0;
    struct run run = ask(desk, WORDS("saga", "list"));
    assert_code(run, 0);
    assert_string_equal(run.out, "no saga runs; --all lists those that have ended, too\n");
    run_fini(&run);
    run = ask(desk, WORDS("saga", "list", "--needs-operator"));
    assert_string_equal(run.out, "no saga needs an operator\n");
    run_fini(&run);
    run = ask(desk, WORDS("saga", "list", "--all", "--name", "restock"));
    assert_string_equal(run.out, "no saga restock is known\n");
    run_fini(&run);
}

/* ---- orders ------------------------------------------------------------------------------- */

static void orders_carry_what_was_said(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.saga.next = (char *)"tries charge";
    struct run run = ask(desk, WORDS("saga", "retry", ID));
    assert_code(run, 0);
    assert_string_equal(run.out, ID " is tried again\n  next: tries charge\n");
    assert_int_equal(desk->request->saga_order->order, WIRE__ORDER__ORDER_RETRY);
    assert_string_equal(desk->request->saga_order->saga, ID);
    run_fini(&run);
    run = ask(desk, WORDS("saga", "compensate", "--reason", "ordered twice", ID));
    assert_string_equal(run.out, ID " is undone now\n  next: tries charge\n");
    assert_int_equal(desk->request->saga_order->order, WIRE__ORDER__ORDER_COMPENSATE);
    assert_string_equal(desk->request->saga_order->reason, "ordered twice");
    run_fini(&run);
    run = ask(desk, WORDS("saga", "signal", ID, "approval", "{\"by\": \"ada\"}"));
    assert_string_equal(run.out, ID " has the signal approval\n  next: tries charge\n");
    assert_int_equal(desk->request->saga_order->order, WIRE__ORDER__ORDER_SIGNAL);
    assert_string_equal(desk->request->saga_order->signal, "approval");
    assert_string_equal(desk->request->saga_order->value, "{\"by\":\"ada\"}");
    run_fini(&run);
    run = expect_json(desk, WORDS("saga", "signal", ID, "approval", "--json"), 0);
    assert_string_equal(run.out, "{\"result\":\"signalled\",\"saga\":\"" ID
                                 "\",\"next\":\"tries charge\",\"exit\":0}\n");
    assert_string_equal(desk->request->saga_order->value, "");
    run_fini(&run);
}

static void a_refused_order_has_the_exit_code_of_its_problem(void **state)
{
    struct desk *desk = *state;
    static const struct {
        const char *code;
        int exit;
    } cases[] = {{"saga_ended", 4},     {"past_pivot", 4}, {"already_compensating", 4},
                 {"unknown_signal", 4}, {"busy", 1},       {"bad_request", 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world world;
        world_init(&world, desk);
        world.problem = problem_of(cases[i].code, "it is so");
        world.problem.hint = (char *)"do that";
        world.order.problem = &world.problem;
        struct run run = ask(desk, WORDS("saga", "retry", ID));
        assert_code(run, cases[i].exit);
        char *expected = xasprintf("troth: it is so (%s)\n  hint: do that\n", cases[i].code);
        assert_string_equal(run.err, expected);
        free(expected);
        run_fini(&run);
    }
}

static void an_id_that_no_saga_has_may_be_a_transaction(void **state)
{
    struct desk *desk = *state;
    struct world world;
    Wire__TransactionView tx = WIRE__TRANSACTION_VIEW__INIT, *list[] = {&tx};
    Wire__Answer found = WIRE__ANSWER__INIT;
    world_init(&world, desk);
    world.problem = problem_of("unknown_saga", "there is none");
    world.order.problem = world.answer.problem = &world.problem;
    world.answer.n_sagas = 0;
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_code(run, 5);
    assert_string_equal(run.err, "troth: " ID " is not known to coordinator c1\n"
                                 "  hint: what ended long ago is forgotten; troth saga list --all "
                                 "shows what is known\n");
    run_fini(&run);
    run = ask(desk, WORDS("saga", "retry", ID));
    assert_code(run, 2);
    assert_err(run, ID " is not known to coordinator c1\n");
    run_fini(&run);
    tx.gtrid = (char *)ID;
    found.transactions = list;
    found.n_transactions = 1;
    desk->answers[WIRE__WHAT__TRANSACTION] = &found;
    static const char *const verbs[] = {"show", "retry"};
    for (size_t i = 0; i < 2; i++) {
        run = ask(desk, WORDS("saga", verbs[i], ID));
        assert_code(run, 2);
        assert_string_equal(run.err, "troth: " ID " is a transaction, not a saga\n"
                                     "  hint: troth tx show " ID "\n");
        run_fini(&run);
    }
}

/* ---- a tired person ----------------------------------------------------------------------- */

/* Nothing of this reaches a coordinator: there is none. */
static void expect_mistake(const char *const *words, const char *message, const char *hint)
{
    struct run run = kit_run(NULL, words);
    assert_code(run, 2);
    assert_string_equal(run.out, "");
    char *expected = hint ? xasprintf("troth: %s\n  hint: %s", message, hint)
                          : xasprintf("troth: %s\n", message);
    assert_err(run, expected);
    free(expected);
    run_fini(&run);
}

static void mistakes_are_told_before_anything_is_sent(void **state)
{
    (void)state;
    char key[202];
    memset(key, 'k', 201);
    key[201] = '\0';
    setenv("TROTH_COORDINATOR", "tcp://127.0.0.1:1", 1);
    expect_mistake(WORDS("saga", "start"), "saga start needs the NAME of a saga, or -f FILE",
                   "troth saga start --help tells more");
    expect_mistake(WORDS("saga", "start", "place-order", "{\"a\":1}"),
                   "{\"a\":1}: the input is given with --input",
                   "troth saga start place-order --input '{...}'");
    expect_mistake(WORDS("saga", "start", "{\"a\":1}", "place-order"),
                   "{\"a\":1}: the input is given with --input",
                   "troth saga start place-order --input '{...}'");
    expect_mistake(WORDS("saga", "start", "place-order", "--input", "{order_id:", "17}"),
                   "--input: not valid JSON at line 1, column 2: expected a name in double "
                   "quotes, found 'o'",
                   "the input is a JSON object in single quotes");
    expect_mistake(WORDS("saga", "start", "place-order", "--input", "[1]"),
                   "--input: expected a JSON object, not [1]",
                   "inputs have names, as '{\"amount\": 10.50}'");
    expect_mistake(WORDS("saga", "start", "a", "b"), "saga start takes one NAME; \"b\" is too much",
                   "JSON stands in single quotes");
    expect_mistake(WORDS("saga", "start", "sagas/place-order.yaml"),
                   "\"sagas/place-order.yaml\" is not the name of a saga",
                   "a saga is started by the name that its file gives it");
    expect_mistake(WORDS("saga", "start", ID), "\"" ID "\" is not the name of a saga",
                   "it is the ID of one that was started: troth saga show " ID);
    expect_mistake(WORDS("saga", "start", "a", "--key", key),
                   "key: has 201 bytes; 1 to 200 are allowed", NULL);
    expect_mistake(WORDS("saga", "show", "place-order"),
                   "\"place-order\" is no ID: cluster.coordinator.epoch.number",
                   "troth saga list --all --name place-order shows the sagas of this name");
    expect_mistake(WORDS("saga", "show"), "saga show needs one ID", "troth saga show --help");
    expect_mistake(WORDS("saga", "retry"), "saga retry needs one ID", "troth saga retry --help");
    expect_mistake(WORDS("saga", "compensate", ID),
                   "saga compensate needs --reason 'why it is undone', for the record", "troth");
    expect_mistake(WORDS("saga", "compensate", ID, "--reason", "ordered", "twice"),
                   "\"twice\": a reason of several words stands in quotes", "troth");
    expect_mistake(WORDS("saga", "signal", ID), "saga signal needs an ID and the signal's NAME",
                   "troth saga signal --help");
    expect_mistake(WORDS("saga", "signal", "approval", ID, "true"),
                   "the ID comes before the signal's name",
                   "troth saga signal " ID " approval 'JSON'");
    expect_mistake(
        WORDS("saga", "signal", ID, "approval", "yes"),
        "the signal's value: not valid JSON at line 1, column 1: expected a value, found 'y'",
        "JSON stands in single quotes: 'true'");
    expect_mistake(WORDS("saga", "list", "place-order"),
                   "saga list takes no \"place-order\"; one name is listed with --name", "troth");
    expect_mistake(WORDS("saga", "list", "--limit", "0"),
                   "--limit: \"0\" is no number from 1 to 10000", "troth");
    unsetenv("TROTH_COORDINATOR");
}

static void words_in_the_wrong_order_name_the_right_one(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("start", "place-order"));
    assert_code(run, 2);
    assert_err(run, "unknown command \"start\"; did you mean \"saga start\"?");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "strat", "place-order"));
    assert_code(run, 2);
    assert_err(run, "unknown command \"saga strat\"; did you mean \"saga start\"?");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "start", "--imput", "{}"));
    assert_code(run, 2);
    assert_err(run, "did you mean \"--input\"?");
    run_fini(&run);
}

static void a_participant_knows_no_sagas(void **state)
{
    struct desk *desk = *state;
    const char *const *const commands[] = {WORDS("saga", "list"), WORDS("saga", "show", ID),
                                           WORDS("saga", "start", "a"), WORDS("saga", "retry", ID)};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        struct run run = ask(desk, commands[i]);
        assert_code(run, 2);
        assert_err(run, " is where participant payments listens for others\n"
                        "  hint: sagas are a coordinator's: --coordinator names it\n");
        run_fini(&run);
    }
}

static void the_help_fits_a_terminal(void **state)
{
    (void)state;
    static const char *const verbs[] = {"start",      "list",   "show", "retry",
                                        "compensate", "signal", "lint", "graph"};
    for (size_t i = 0; i < sizeof(verbs) / sizeof(verbs[0]); i++) {
        struct run run = kit_run(NULL, WORDS("saga", verbs[i], "--help"));
        assert_code(run, 0);
        expect_narrow(&run);
        run_fini(&run);
    }
    struct run run = kit_run(NULL, WORDS("--help"));
    expect_narrow(&run);
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(a_start_carries_what_was_asked_for),
        TEST(a_start_from_a_file_says_the_same),
        TEST(what_became_of_it_is_printed_and_is_the_exit_code),
        TEST(one_that_still_runs_says_what_it_waits_for),
        TEST(a_rejected_start_has_the_exit_code_of_its_problem),
        TEST(a_session_lost_after_the_start_leaves_it_unknown),
        TEST(sagas_are_listed_in_80_columns),
        TEST(a_list_tells_of_those_that_it_does_not_show),
        TEST(an_empty_list_says_of_what),
        TEST(orders_carry_what_was_said),
        TEST(a_refused_order_has_the_exit_code_of_its_problem),
        TEST(an_id_that_no_saga_has_may_be_a_transaction),
        cmocka_unit_test(mistakes_are_told_before_anything_is_sent),
        cmocka_unit_test(words_in_the_wrong_order_name_the_right_one),
        cmocka_unit_test_setup_teardown(a_participant_knows_no_sagas, setup_door, teardown),
        cmocka_unit_test(the_help_fits_a_terminal),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
