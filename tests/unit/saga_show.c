/* troth saga show: the head, the tree in 80 columns, folded items, and what is to be done. */
#include "tests/unit/saga_desk.h"

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

/* ---- the tree ------------------------------------------------------------------------------ */

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
    assert_out(run, "\nis the step  goods[3] of saga shop.c1.1795224000.16\n");
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

/* The list of those that need an operator is asked for beside the saga. */
static const Wire__Answer *needing_page(struct desk *desk, const Wire__Query *query)
{
    return query->what == WIRE__WHAT__SAGAS ? desk->pages : NULL;
}

static void a_step_that_is_a_saga_tells_that_it_needs_an_operator(void **state)
{
    struct desk *desk = *state;
    struct world world;
    Wire__SagaView child = WIRE__SAGA_VIEW__INIT, *list[] = {&child};
    Wire__Answer needing = WIRE__ANSWER__INIT;
    world_init(&world, desk);
    child.id = (char *)"shop.c1.1795224000.20";
    needing.sagas = list;
    needing.n_sagas = 1;
    desk->page = needing_page;
    desk->pages = &needing;
    add_step(&world, 1, "goods", "saga", "running", "saga order-goods")->gtrid = child.id;
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_string_equal(tree_of(&run),
                        "  STEP   STATE    TRIES   TIME  WHAT\n"
                        "  goods  running                saga order-goods shop.c1.1795224000.20\n"
                        "         needs an operator: troth saga show shop.c1.1795224000.20\n");
    run_fini(&run);
}

static void a_participant_that_is_away_is_named_where_it_is_waited_for(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    static const char *const names[] = {"pay", "payments", "orders"};
    Wire__ParticipantView views[3], *list[3];
    for (int i = 0; i < 3; i++) {
        wire__participant_view__init(&views[i]);
        views[i].name = (char *)names[i];
        list[i] = &views[i];
    }
    views[2].connected = true;
    world.none.participants = list;
    world.none.n_participants = 3;
    add_step(&world, 1, "create", "call", "done", "orders.create");
    add_step(&world, 1, "charge", "call", "running", "payments.charge");
    add_step(&world, 1, "book", "transaction", "cancelling", "2pc orders.confirm payments.book");
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_string_equal(tree_of(&run), "  STEP    STATE       TRIES   TIME  WHAT\n"
                                       "  create  done                      orders.create\n"
                                       "  charge  running                   payments.charge\n"
                                       "          payments is not connected\n"
                                       "  book    cancelling                2pc orders.confirm "
                                       "payments.book\n"
                                       "          payments is not connected\n"
                                       "          orders: its database is down\n");
    run_fini(&run);
}

static void blocks_in_blocks_are_drawn(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    add_step(&world, 1, "all", "steps", "running", "");
    add_step(&world, 2, "parallel#3", "parallel", "running", "");
    add_step(&world, 3, "steps#4", "steps", "running", "");
    Wire__SagaStepView *step =
        add_step(&world, 4, "l\xc3\xa4ger", "call", "retrying", "inventory.reserve");
    world.problem = problem_of(
        "55P03", "lock timeout\x07 while waiting for a row that somebody else has locked");
    world.problem.hint = (char *)"troth tx list --in-doubt";
    step->problem = &world.problem;
    step->tries = 12;
    add_step(&world, 4, "next", "call", "waiting", "a.b");
    step = add_step(&world, 3, "other", "wait", "running", "a time");
    step->next_us = now_us() + 3600 * SECOND_US + SECOND_US / 2;
    add_step(&world, 2, "last", "call", "waiting",
             "a.with_an_operation_name_that_is_much_longer_than_the_column");
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_string_equal(
        tree_of(&run),
        "  STEP            STATE     TRIES   TIME  WHAT\n"
        "  all             running\n"
        "  \u251c\u2500 parallel     running\n"
        "  \u2502  \u251c\u2500 steps     running\n"
        "  \u2502  \u2502  \u251c\u2500 l\u00e4ger  retrying     12         inventory.reserve\n"
        "  \u2502  \u2502  \u2502         lock timeout\\x07 while waiting for a row that somebody "
        "else\n"
        "  \u2502  \u2502  \u2502         has locked (55P03)\n"
        "  \u2502  \u2502  \u2502         hint: troth tx list --in-doubt\n"
        "  \u2502  \u2502  \u2514\u2500 next   waiting                 a.b\n"
        "  \u2502  \u2514\u2500 other     running                 a time\n"
        "  \u2502               in 60m\n"
        "  \u2514\u2500 last         waiting                 "
        "a.with_an_operation_name_that_is_much_\n"
        "                                          longer_than_the_column\n");
    expect_narrow(&run);
    run_fini(&run);
}

static void items_of_several_steps_have_a_line_each(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    add_step(&world, 1, "goods", "for_each", "running", "");
    add_step(&world, 2, "steps#2[0]", "steps", "running", "");
    add_step(&world, 3, "order[0]", "call", "done", "suppliers.order");
    add_step(&world, 3, "choose#4[0]", "choose", "running", "");
    add_step(&world, 4, "pay[0]", "call", "running", "payments.pay");
    add_step(&world, 2, "steps#2[1]", "steps", "waiting", "");
    add_step(&world, 3, "order[1]", "call", "waiting", "suppliers.order");
    add_step(&world, 3, "choose#4[1]", "choose", "waiting", "");
    add_step(&world, 4, "pay[1]", "call", "waiting", "payments.pay");
    struct run run = ask(desk, WORDS("saga", "show", ID));
    assert_string_equal(tree_of(&run),
                        "  STEP             STATE    TRIES   TIME  WHAT\n"
                        "  goods            running\n"
                        "  \u251c\u2500 [0]           running\n"
                        "  \u2502  \u251c\u2500 order[0]   done                   suppliers.order\n"
                        "  \u2502  \u2514\u2500 choose[0]  running\n"
                        "  \u2502     \u2514\u2500 pay[0]  running                payments.pay\n"
                        "  \u2514\u2500 [1]           waiting\n"
                        "     \u251c\u2500 order[1]   waiting                suppliers.order\n"
                        "     \u2514\u2500 choose[1]  waiting\n"
                        "        \u2514\u2500 pay[1]  waiting                payments.pay\n");
    expect_narrow(&run);
    run_fini(&run);
}

/* ---- pages and items ---------------------------------------------------------------------- */

enum { ITEMS = 10000, ROWS = 1 + 2 * ITEMS };

struct pages {
    struct world world;
    Wire__SagaStepView *steps; /* the for_each; then for each item the block and what is in it */
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
        assert_true(from < ROWS);
    world->saga.n_steps = 0;
    while (world->saga.n_steps < STEPS && from < ROWS)
        world->step_list[world->saga.n_steps++] = &pages->steps[from++];
    world->answer.more = ROWS - from;
    pages->queries++;
    return &world->answer;
}

static void item_init(struct pages *pages, int row, const char *name, const char *type)
{
    Wire__SagaStepView *step = &pages->steps[row];
    int item = (row - 1) / 2;
    wire__saga_step_view__init(step);
    snprintf(pages->paths[row], sizeof(pages->paths[row]), "%s[%d]", name, item);
    step->path = pages->paths[row];
    step->depth = 2 - row % 2;
    step->type = (char *)type;
    step->state = (char *)(item < 8999 ? "done" : "waiting");
}

static void items_init(struct pages *pages, struct desk *desk)
{
    world_init(&pages->world, desk);
    pages->queries = 0;
    pages->steps = xcalloc(ROWS, sizeof(pages->steps[0]));
    pages->paths = xcalloc(ROWS, sizeof(pages->paths[0]));
    wire__saga_step_view__init(&pages->steps[0]);
    pages->steps[0].path = (char *)"goods";
    pages->steps[0].type = (char *)"for_each";
    pages->steps[0].state = (char *)"running";
    for (int row = 1; row < ROWS; row += 2) {
        item_init(pages, row, "steps#2", "steps");
        item_init(pages, row + 1, "order", "call");
        pages->steps[row + 1].what = (char *)"suppliers.order";
    }
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
    pages.steps[7].state = pages.steps[8].state = (char *)"running";
    pages.steps[9].state = (char *)"running";
    pages.steps[10].state = (char *)"retrying";
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
    assert_int_equal(pages.queries, (ROWS + STEPS - 1) / STEPS);
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

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(a_saga_is_shown_as_a_tree),
        TEST(who_is_needed_hears_what_to_do),
        TEST(a_signal_that_is_waited_for_is_named),
        TEST(other_sagas_and_transactions_are_named),
        TEST(a_participant_that_is_away_is_named_where_it_is_waited_for),
        TEST(a_step_that_is_a_saga_tells_that_it_needs_an_operator),
        TEST(blocks_in_blocks_are_drawn),
        TEST(items_of_several_steps_have_a_line_each),
        TEST(long_lists_of_items_are_folded),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
