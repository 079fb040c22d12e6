/* The paths of a definition: what is made up, what each failure comes to, and what ends badly. */
#include "saga/input.h"
#include "saga/simulate.h"
#include "tests/unit/saga_kit.h"

#define HEAD "saga: s\nversion: 1\n"

static struct saga_paths simulate(const char *text, const char *input, const char *results)
{
    struct saga_plan *plan = kit_plan(text);
    struct error error = {0};
    struct json *given = results ? json_parse(results, strlen(results), &error) : NULL;
    char *complete = input ? saga_input_complete(plan, input, strlen(input), &error) : NULL;
    struct saga_paths paths;
    if ((input && !complete) || (results && !given) ||
        !saga_simulate(&(struct saga_simulation){.plan = plan, .input = complete, .results = given},
                       &paths, &error))
        fail_msg("%s\n%s", error.message, error.detail);
    json_free(given);
    free(complete);
    saga_plan_free(plan);
    return paths;
}

static const struct saga_path *path_of(const struct saga_paths *paths, int number, const char *what)
{
    for (int i = 0; i < paths->count; i++) {
        if (paths->list[i].number_of_case == number && strcmp(paths->list[i].what, what) == 0)
            return &paths->list[i];
    }
    for (int i = 0; i < paths->count; i++)
        print_message("%d %s: %s: %s %s\n", paths->list[i].number_of_case, paths->list[i].what,
                      paths->list[i].order, paths->list[i].ending,
                      paths->list[i].bad ? paths->list[i].bad : "");
    fail_msg("there is no path \"%s\"", what);
    return NULL;
}

static void expect(const struct saga_paths *paths, int number, const char *what, const char *order,
                   const char *ending)
{
    const struct saga_path *path = path_of(paths, number, what);
    assert_string_equal(path->order, order);
    assert_string_equal(path->ending, ending);
}

static const char two[] = HEAD "timeout: 1h\nsteps:\n"
                               "  - {name: one, call: p.one, compensate: p.undo_one}\n"
                               "  - parallel:\n"
                               "    - {name: l, call: p.l, compensate: p.undo_l}\n"
                               "    - {name: r, call: p.r, compensate: none}\n"
                               "  - {name: book, call: p.book, kind: pivot}\n"
                               "  - {name: tell, call: p.tell, kind: retriable}\n";

static void test_every_way_to_fail(void **state)
{
    (void)state;
    struct saga_paths paths = simulate(two, NULL, NULL);
    expect(&paths, 0, "nothing fails", "one, l+r, book, tell", "completed");
    expect(&paths, 0, "one fails", "one \u2717", "compensated");
    expect(&paths, 0, "one unknown", "one ?, l+r, book, tell", "completed");
    expect(&paths, 0, "one too late", "one ? -> undo_one", "compensated");
    expect(&paths, 0, "l fails", "one, l \u2717+r -> undo_one", "compensated");
    expect(&paths, 0, "l too late", "one, l ?+r -> undo_l, undo_one", "compensated");
    expect(&paths, 0, "book fails", "one, l+r, book \u2717 -> undo_l, undo_one", "compensated");
    expect(&paths, 0, "book unknown/too late", "one, l+r, book ?, tell", "completed");
    expect(&paths, 0, "book fails, undo too", "one, l+r, book \u2717 -> undo_l, undo_one",
           "compensated");
    expect(&paths, 0, "tell fails", "one, l+r, book, tell \u2717", "completed");
    assert_int_equal(paths.bad, 0);
    assert_int_equal(paths.case_count, 1);
    assert_true(paths.deaths > 100);
    saga_paths_fini(&paths);
}

static void test_conditions_come_out_both_ways(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "input: {a: number, kind: string}\nsteps:\n"
             "  - {name: one, call: p.one, output: {vip: \"${ .result.is.vip }\"}, compensate: "
             "none}\n"
             "  - {name: big, call: p.big, when: \"${ .input.a > 700 }\", compensate: none}\n"
             "  - {name: fast, call: p.f, when: \"${ .input.kind == \\\"express\\\" }\", "
             "compensate: none}\n"
             "  - {name: vip, call: p.v, when: \"${ .steps.one.vip == true }\", compensate: none}\n"
             "  - {name: odd, call: p.o, when: \"${ false }\", compensate: none}\n";
    struct saga_paths paths = simulate(text, NULL, NULL);
    bool all = false;
    for (int i = 0; i < paths.count; i++)
        all = all || strcmp(paths.list[i].order, "one, big, fast, vip") == 0;
    assert_true(all);
    expect(&paths, 0, "nothing fails", "one", "completed");
    assert_int_equal(paths.case_count, 8);
    assert_int_equal(paths.one_way_count, 1);
    assert_string_equal(paths.one_way[0], "line 9: ${ false } was never true");
    saga_paths_fini(&paths);
    /* What is given is not tried otherwise. */
    paths = simulate(text, "{\"a\":1000,\"kind\":\"slow\"}", "{\"one\":{\"is\":{\"vip\":true}}}");
    assert_int_equal(paths.case_count, 1);
    assert_int_equal(paths.one_way_count, 4);
    expect(&paths, 0, "nothing fails", "one, big, vip", "completed");
    saga_paths_fini(&paths);
}

static void test_signals(void **state)
{
    (void)state;
    struct saga_paths paths = simulate(
        HEAD "steps:\n"
             "  - {name: one, call: p.one, compensate: p.undo}\n"
             "  - {name: w, wait: {signal: go, timeout: 1h}}\n"
             "  - {name: v, wait: {signal: on, timeout: 1h, otherwise: continue}}\n"
             "  - {name: two, call: p.two, with: {x: \"${ .steps.w.x + 1 }\"}, compensate: none}\n",
        NULL, NULL);
    expect(&paths, 0, "nothing fails", "one, w, v, two", "completed");
    expect(&paths, 0, "w not signalled", "one, w \u2717 -> undo", "compensated");
    expect(&paths, 0, "v not signalled", "one, w, v \u2717, two", "completed");
    assert_int_equal(paths.bad, 0);
    saga_paths_fini(&paths);
}

static void expect_bad(const char *text, const char *results, const char *what, const char *ending,
                       const char *why)
{
    struct saga_paths paths = simulate(text, NULL, results);
    const struct saga_path *path = path_of(&paths, 0, what);
    assert_non_null(path->bad);
    if (!strstr(path->bad, why))
        fail_msg("%s: %s", what, path->bad);
    assert_string_equal(path->ending, ending);
    assert_true(paths.bad > 0);
    saga_paths_fini(&paths);
}

static void test_what_ends_badly(void **state)
{
    (void)state;
    expect_bad(HEAD "steps:\n"
                    "  - {name: one, call: p.one, compensate: {call: p.u, with: {x: \"${ .result.n "
                    "+ 1 }\"}}}\n"
                    "  - {name: two, call: p.two, compensate: none}\n",
               "{\"one\":{\"n\":\"text\"}}", "two fails", "operator",
               "needs an operator: t.yaml:4:");
    expect_bad(HEAD
               "steps:\n"
               "  - {name: one, call: p.one, compensate: none}\n"
               "  - {name: two, call: p.two, with: {x: \"${ .steps.one.n + 1 }\"}, compensate: "
               "none}\n",
               "{\"one\":{\"n\":\"text\"}}", "nothing fails", "compensated", "an expression fails");
    expect_bad(HEAD "steps:\n"
                    "  - {name: book, call: p.book, kind: pivot, output: {x: \"${ .result.n + 1 "
                    "}\"}}\n",
               "{\"book\":{\"n\":\"text\"}}", "nothing fails", "operator", "needs an operator");
    expect_bad(HEAD "steps:\n"
                    "  - {name: one, call: p.one, kind: retriable}\n"
                    "  - {name: two, call: p.two, compensate: none}\n",
               NULL, "two fails", "compensated", "one stays done");
    expect_bad(HEAD "input: {t: {type: string, default: \"2999-01-01T00:00:00Z\"}}\n"
                    "timeout: 1h\nsteps:\n"
                    "  - {name: w, wait: {until: \"${ .input.t }\"}}\n"
                    "  - {name: one, call: p.one, compensate: none}\n",
               NULL, "nothing fails", "compensated", "it fails although nothing else does");
}

static void test_results_of_no_step(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan(two);
    struct error error = {0};
    struct json *results = json_parse("{\"tow\":1}", 9, &error);
    struct saga_paths paths;
    assert_false(
        saga_simulate(&(struct saga_simulation){.plan = plan, .results = results}, &paths, &error));
    assert_string_equal(error.message, "s has no step tow, for which a result is given");
    json_free(results);
    saga_plan_free(plan);
}

static void test_examples_have_no_bad_path(void **state)
{
    (void)state;
    static const char *const names[] = {"approve-refund", "order-goods", "place-order", "restock"};
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        char *file = xasprintf("examples/sagas/%s.yaml", names[i]);
        char *text = kit_read_file(file);
        struct saga_paths paths = simulate(text, NULL, NULL);
        for (int j = 0; j < paths.count; j++) {
            if (paths.list[j].bad)
                fail_msg("%s: %s: %s", names[i], paths.list[j].what, paths.list[j].bad);
        }
        assert_true(paths.count >= 5);
        assert_int_equal(paths.one_way_count, 0);
        saga_paths_fini(&paths);
        free(text);
        free(file);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_every_way_to_fail),
        cmocka_unit_test(test_conditions_come_out_both_ways),
        cmocka_unit_test(test_signals),
        cmocka_unit_test(test_what_ends_badly),
        cmocka_unit_test(test_results_of_no_step),
        cmocka_unit_test(test_examples_have_no_bad_path),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
