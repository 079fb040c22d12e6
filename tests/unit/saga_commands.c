/* The commands that speak to a coordinator of sagas: what they send, what they print in 80 columns,
 * and the exit codes; and the mistakes of a tired person. */
#include "tests/unit/cli_desk.h"

#include <time.h>

#include "core/json.h"

#define ID "shop.c1.1795224000.17"

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

#define SECOND_US 1000000ll

/* ---- a saga that the desk knows ------------------------------------------------------------ */

enum { STEPS = 40 };

struct world {
    Wire__SagaView saga, *sagas[1];
    Wire__SagaStepView steps[STEPS], *step_list[STEPS];
    Wire__Problem problem;
    Wire__Answer answer, order, none;
    Wire__SagaOutcome outcome;
};

static void world_init(struct world *world, struct desk *desk)
{
    wire__saga_view__init(&world->saga);
    world->saga.id = (char *)ID;
    world->saga.name = (char *)"place-order";
    world->saga.version = 1;
    world->saga.state = (char *)"running";
    world->saga.begun_us = now_us() - 12 * SECOND_US;
    world->saga.steps = world->step_list;
    world->sagas[0] = &world->saga;
    world->problem = problem_of("", "");
    wire__answer__init(&world->answer);
    world->answer.sagas = world->sagas;
    world->answer.n_sagas = 1;
    wire__answer__init(&world->order);
    wire__answer__init(&world->none);
    wire__saga_outcome__init(&world->outcome);
    world->outcome.saga = (char *)ID;
    world->outcome.result = WIRE__SAGA_RESULT__SAGA_STARTED;
    desk->saga_outcome = &world->outcome;
    desk->answers[0] = &world->order;
    desk->answers[WIRE__WHAT__SAGA] = desk->answers[WIRE__WHAT__SAGAS] = &world->answer;
    desk->answers[WIRE__WHAT__TRANSACTION] = &world->none;
}

static Wire__SagaStepView *add_step(struct world *world, uint32_t depth, const char *path,
                                    const char *type, const char *state, const char *what)
{
    assert_true(world->saga.n_steps < STEPS);
    Wire__SagaStepView *step = &world->steps[world->saga.n_steps];
    world->step_list[world->saga.n_steps++] = step;
    wire__saga_step_view__init(step);
    step->depth = depth;
    step->path = (char *)path;
    step->type = (char *)type;
    step->state = (char *)state;
    step->what = (char *)what;
    return step;
}

static void lasted(Wire__SagaStepView *step, int64_t us)
{
    step->begun_us = now_us() - 12 * SECOND_US;
    step->ended_us = step->begun_us + us;
}

/* The order of docs/sagas.md, with a charge that can't be made just now. */
static void order_steps(struct world *world)
{
    lasted(add_step(world, 0, "create", "call", "done", "orders.create"), 12000);
    lasted(add_step(world, 0, "parallel#1", "parallel", "done", ""), 15000);
    lasted(add_step(world, 1, "reserve", "call", "done", "inventory.reserve"), 14000);
    lasted(add_step(world, 1, "quote", "call", "done", "payments.quote"), 3000);
    Wire__SagaStepView *charge =
        add_step(world, 0, "charge", "call", "retrying", "payments.charge");
    charge->tries = 3;
    charge->begun_us = now_us() - 12 * SECOND_US;
    charge->next_us = now_us() + 3600 * SECOND_US + SECOND_US / 2;
    charge->problem = &world->problem;
    Wire__SagaStepView *book =
        add_step(world, 0, "book", "transaction", "waiting", "2pc orders.confirm inventory.ship");
    book->kind = (char *)"pivot";
    add_step(world, 0, "notify", "call", "waiting", "orders.notify");
    world->problem.participant = (char *)"payments";
    world->problem.operation = (char *)"charge";
    world->problem.code = (char *)"not_connected";
    world->problem.message = (char *)"the participant is not connected";
}

static struct run expect_json(struct desk *desk, const char *const *words, int code)
{
    struct run run = ask(desk, words);
    struct error error = {0};
    assert_code(run, code);
    assert_string_equal(run.err, "");
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    if (!json)
        fail_msg("no JSON: %s: %s", error.message, run.out);
    json_free(json);
    return run;
}

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
                        "and 12 more; these are the newest, --limit N lists more\n"
                        "! needs an operator: troth saga show ID tells what to do\n");
    expect_narrow(&run);
    const Wire__Query *query = desk->last->query;
    assert_string_equal(query->saga, "place-order");
    assert_int_equal(query->limit, 1);
    assert_true(query->unended);
    assert_false(query->needs_operator);
    assert_false(query->children);
    run_fini(&run);
    run = ask(desk, WORDS("saga", "list", "--all", "--children", "--needs-operator"));
    query = desk->last->query;
    assert_true(!query->unended && query->children && query->needs_operator);
    assert_out(run, "waits for an operator: orders.cancel was tried 5 times\n");
    run_fini(&run);
    run = expect_json(desk, WORDS("saga", "list", "--json"), 0);
    assert_out(run, "\"needs_operator\":true,");
    assert_out(run, "\"more\":12,\"answered_by\":{\"role\":\"coordinator\",\"name\":\"c1\"}}\n");
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

/* ---- show --------------------------------------------------------------------------------- */

/* What stands in it from the tree on. */
static const char *tree_of(const struct run *run)
{
    const char *tree = strstr(run->out, "\n\n");
    if (!tree)
        fail_msg("no tree in\n%s%s", run->out, run->err);
    return tree + 2;
}

static void a_saga_is_shown_as_a_tree(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    order_steps(&world);
    world.saga.begun_us = 1795222861123000;
    world.saga.key = (char *)"order-17";
    world.saga.input = (char *)"{\"order_id\":\"17\"}";
    world.saga.next = (char *)"charge again in 60 min";
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_code(run, 0);
    assert_out(run, "saga         " ID "\n"
                    "name         place-order, version 1\n"
                    "state        running\n"
                    "begun        2026-11-21T01:01:01.123Z (");
    assert_out(run, " ago)\n"
                    "key          order-17\n"
                    "input        {\"order_id\":\"17\"}\n");
    assert_string_equal(
        tree_of(&run),
        "  STEP        STATE     TRIES   TIME  WHAT\n"
        "  create      done              12ms  orders.create\n"
        "  parallel    done              15ms\n"
        "  \u251c\u2500 reserve  done              14ms  inventory.reserve\n"
        "  \u2514\u2500 quote    done               3ms  payments.quote\n"
        "  charge      retrying      3    12s  payments.charge\n"
        "              payments.charge: the participant is not connected (not_connected)\n"
        "              next try in 60m\n"
        "  book        waiting                 2pc orders.confirm inventory.ship (pivot)\n"
        "  notify      waiting                 orders.notify\n"
        "\n"
        "next         charge again in 60 min\n");
    expect_narrow(&run);
    assert_string_equal(desk->last->query->saga, ID);
    run_fini(&run);
    run = expect_json(desk, WORDS("saga", "show", ID, "--json"), 0);
    assert_out(run, "\"begun\":\"2026-11-21T01:01:01.123Z\"");
    assert_out(run,
               "\"input\":{\"order_id\":\"17\"},\"output\":null,\"steps\":[{\"step\":\"create\"");
    assert_out(run, "\"step\":\"charge\",\"depth\":0,\"type\":\"call\",\"state\":\"retrying\","
                    "\"kind\":null,\"what\":\"payments.charge\",\"tries\":3,");
    run_fini(&run);
}

static void who_is_needed_hears_what_to_do(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    order_steps(&world);
    world.saga.needs_operator = world.steps[4].needs_operator = true;
    world.saga.problem = &world.problem;
    world.problem.detail = (char *)"since 02:03";
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_out(run, "\nstate        running, needs an operator\n");
    assert_out(run, "\nproblem      payments.charge: the participant is not connected "
                    "(not_connected)\n  detail     since 02:03\n");
    assert_out(run, "\n! charge      retrying ");
    assert_out(run, "\n\nAn operator is needed. Mend what charge says, then\n"
                    "  troth saga retry " ID "\n"
                    "or have all undone that it did:\n"
                    "  troth saga compensate " ID " --reason '...'\n");
    expect_narrow(&run);
    run_fini(&run);
    world.steps[5].state = (char *)"done";
    run = ask(desk, WORDS("saga", "show", ID));
    assert_out(run, "  troth saga retry " ID "\n"
                    "It is past its pivot: there is only the way forward.\n");
    assert_null(strstr(run.out, "saga compensate"));
    run_fini(&run);
    world.saga.state = (char *)"compensating";
    run = ask(desk, WORDS("saga", "show", ID));
    assert_out(run, "\n  notify      not begun                orders.notify\n");
    assert_out(run, "\nIt is being undone: it goes on trying");
    assert_null(strstr(run.out, "saga compensate"));
    expect_narrow(&run);
    run_fini(&run);
}

static void a_signal_that_is_waited_for_is_named(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    Wire__SagaStepView *step = add_step(&world, 0, "ask", "wait", "running", "signal approval");
    step->begun_us = now_us() - 12 * SECOND_US;
    step->next_us = now_us() + 3600 * SECOND_US + SECOND_US / 2;
    world.saga.next = (char *)"waits for the signal approval";
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_string_equal(tree_of(&run), "  STEP  STATE    TRIES   TIME  WHAT\n"
                                       "  ask   running           12s  signal approval\n"
                                       "        at the latest in 60m\n"
                                       "\n"
                                       "next         waits for the signal approval\n"
                                       "  troth saga signal " ID " approval ['JSON']\n");
    run_fini(&run);
}

static void other_sagas_and_transactions_are_named(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.saga.parent = (char *)"shop.c1.1795224000.16";
    world.saga.parent_step = (char *)"goods[3]";
    world.saga.timeout_us = now_us() + 3600 * SECOND_US + SECOND_US / 2;
    Wire__SagaStepView *step = add_step(&world, 0, "a_step_with_a_name_that_is_much_too_long",
                                        "transaction", "done", "2pc orders.confirm inventory.ship");
    lasted(step, 12000);
    step->gtrid = (char *)"shop.c1.1795224000.19";
    step->kind = (char *)"pivot";
    step = add_step(&world, 0, "goods", "saga", "running", "saga order-goods");
    step->begun_us = now_us() - 12 * SECOND_US;
    step->gtrid = (char *)"shop.c1.1795224000.20";
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_out(run, "\nis the step  goods[3] of shop.c1.1795224000.16\n");
    assert_out(run, " (in 60m), unless it is past its pivot\n");
    assert_string_equal(
        tree_of(&run), "  STEP   STATE    TRIES   TIME  WHAT\n"
                       "  a_step_with_a_name_that_is_much_too_long\n"
                       "         done             12ms  2pc orders.confirm inventory.ship (pivot)\n"
                       "                                shop.c1.1795224000.19\n"
                       "  goods  running           12s  saga order-goods shop.c1.1795224000.20"
                       "\n");
    expect_narrow(&run);
    run_fini(&run);
}

/* ---- pages and items ---------------------------------------------------------------------- */

enum { ITEMS = 10000, PAGE_STEPS = 150 };

struct pages {
    struct world world;
    Wire__SagaStepView *steps; /* the block, then one for each item */
    char (*paths)[24];
    int queries;
};

static const Wire__Answer *next_page(struct desk *desk, const Wire__Query *query)
{
    struct pages *pages = desk->pages;
    struct world *world = &pages->world;
    size_t from = 0;
    if (query->what != WIRE__WHAT__SAGA)
        return NULL;
    while (*query->from && strcmp(pages->steps[from++].path, query->from) != 0)
        assert_true(from <= ITEMS);
    world->saga.n_steps = 0;
    while (world->saga.n_steps < STEPS && from <= ITEMS)
        world->step_list[world->saga.n_steps++] = &pages->steps[from++];
    world->answer.more = ITEMS + 1 - from;
    pages->queries++;
    return &world->answer;
}

static void items_init(struct pages *pages, struct desk *desk)
{
    world_init(&pages->world, desk);
    pages->queries = 0;
    pages->steps = xcalloc(ITEMS + 1, sizeof(pages->steps[0]));
    pages->paths = xcalloc(ITEMS + 1, sizeof(pages->paths[0]));
    for (int i = 0; i <= ITEMS; i++) {
        Wire__SagaStepView *step = &pages->steps[i];
        wire__saga_step_view__init(step);
        if (i == 0)
            snprintf(pages->paths[i], sizeof(pages->paths[i]), "goods");
        else
            snprintf(pages->paths[i], sizeof(pages->paths[i]), "order[%d]", i - 1);
        step->path = pages->paths[i];
        step->depth = i > 0;
        step->type = (char *)(i ? "call" : "for_each");
        step->state = (char *)(i < 9000 ? "done" : "waiting");
        step->what = (char *)(i ? "suppliers.order" : "");
    }
    pages->steps[0].state = (char *)"running";
    desk->pages = pages;
    desk->page = next_page;
}

static void items_fini(struct pages *pages)
{
    free(pages->steps);
    free(pages->paths);
}

static void long_lists_of_items_are_folded(void **state)
{
    struct desk *desk = *state;
    struct pages pages;
    items_init(&pages, desk);
    pages.steps[4].state = (char *)"running";
    pages.steps[5].state = (char *)"retrying";
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_code(run, 0);
    assert_string_equal(tree_of(&run),
                        "  STEP         STATE     TRIES   TIME  WHAT\n"
                        "  goods        running\n"
                        "  \u251c\u2500 \u2026 3 items done\n"
                        "  \u251c\u2500 order[3]  running                 suppliers.order\n"
                        "  \u251c\u2500 order[4]  retrying                suppliers.order\n"
                        "  \u251c\u2500 \u2026 8,994 items done\n"
                        "  \u2514\u2500 \u2026 1,001 items waiting\n");
    assert_int_equal(pages.queries, (ITEMS + 1 + STEPS - 1) / STEPS);
    expect_narrow(&run);
    run_fini(&run);
    run = ask(desk, WORDS("saga", "show", ID, "--items"));
    assert_out(run, "\n  \u251c\u2500 order[0]     done                    suppliers.order\n");
    assert_out(run, "\n  \u2514\u2500 order[9999]  waiting                 suppliers.order\n");
    run_fini(&run);
    run = expect_json(desk, WORDS("saga", "show", ID, "--json"), 0);
    assert_out(run, "\"step\":\"order[9999]\"");
    run_fini(&run);
    items_fini(&pages);
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
        TEST(an_empty_list_says_of_what),
        TEST(a_saga_is_shown_as_a_tree),
        TEST(who_is_needed_hears_what_to_do),
        TEST(a_signal_that_is_waited_for_is_named),
        TEST(other_sagas_and_transactions_are_named),
        TEST(long_lists_of_items_are_folded),
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
