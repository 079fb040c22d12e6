/* What lint sees over a whole definition and over several, and what it must not complain about.
 * Single mistakes are in tests/saga/broken. */
#include "tests/unit/saga_kit.h"

#define HEAD "saga: s\nversion: 1\ninput: {n: integer, list: array, id: string}\nsteps:\n"
/* Uses every input, so that nobody tells of that. */
#define USE                                                                                        \
    "  - {name: use, call: p.q, compensate: none, with: {a: \"${ .input.n }\", b: \"${ "           \
    ".input.list }\", c: \"${ .input.id }\"}}\n"

static void expect(const char *text, const char *expected)
{
    char *told = kit_lint(text);
    if (strcmp(told, expected) != 0)
        fail_msg("told:\n%sexpected:\n%s", told, expected);
    free(told);
}

/* ---- several definitions together ------------------------------------------------------------ */

static void expect_together(const char *const *texts, const struct catalogue *catalogue, bool whole,
                            const char *expected)
{
    struct saga_findings findings = {0};
    struct saga_plan *plans[8];
    int count = 0;
    for (; texts[count]; count++) {
        char *name = xasprintf("%d.yaml", count);
        plans[count] = saga_definition_read(name, texts[count], strlen(texts[count]), &findings);
        assert_non_null(plans[count]);
        free(name);
    }
    saga_lint(&(struct saga_lint){plans, count, whole, catalogue}, &findings);
    char *told = kit_findings_of(&findings);
    if (strcmp(told, expected) != 0)
        fail_msg("told:\n%sexpected:\n%s", told, expected);
    free(told);
    for (int i = 0; i < count; i++)
        saga_plan_free(plans[i]);
    saga_findings_fini(&findings);
}

#define TOGETHER(...)                                                                              \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static void sagas_that_run_each_other_are_told(void **state)
{
    (void)state;
    expect_together(
        TOGETHER("saga: a\nversion: 1\nsteps: [{name: x, saga: b}]\n",
                 "saga: b\nversion: 1\nsteps: [{name: x, saga: c}, {name: y, saga: leaf}]\n",
                 "saga: c\nversion: 1\nsteps:\n  - {name: x, saga: a}\n",
                 "saga: leaf\nversion: 1\nsteps: [{name: w, wait: {for: 1s}}]\n"),
        NULL, false,
        "3:9: the saga a runs b, which comes to run a again: it would never end\n"
        "3:9: the saga b runs c, which comes to run b again: it would never end\n"
        "4:5: the saga c runs a, which comes to run c again: it would never end\n");
}

static void a_sub_saga_gets_what_it_needs(void **state)
{
    (void)state;
    static const char other[] =
        "saga: other\nversion: 1\n"
        "input: {id: string, n: {type: integer, default: 1}, amount: number}\n"
        "steps: [{name: a, call: p.q, with: \"${ .input }\", compensate: none}]\n";
    static const char good[] = HEAD USE
        "  - {name: x, saga: other, input: {id: \"${ .input.id }\", amount: 1.5}}\n"
        "  - {name: y, saga: other, input: {id: \"o-${ .input.n }\", amount: \"${ .input.n "
        "}\", n: 2}}\n"
        "  - {name: z, saga: other, input: \"${ {id: .input.id, amount: 1} }\"}\n";
    expect_together(TOGETHER(good, other), NULL, true, "");
    static const char bad[] = HEAD USE
        "  - {name: x, saga: other, input: {id: 5, amuont: 1.5}}\n"
        "  - {name: y, saga: other, input: {id: \"${ .input.n }\", amount: true, n: 1.5}}\n"
        "  - {name: z, saga: stranger}\n";
    expect_together(
        TOGETHER(bad, other), NULL, true,
        "6:5: the input amount of other (number) is missing\n"
        "6:36: the input id of other is a string, not 5\n"
        "6:43: the saga other has no input amuont; did you mean amount?\n"
        "7:36: the input id of other is a string, and ${ .input.n } is an integer\n"
        "7:57: the input amount of other is a number, not true\n"
        "7:71: the input n of other is an integer, not 1.5\n"
        "8:5: warning: the saga stranger is not among these files: its inputs are not checked\n");
}

static void the_newest_version_of_a_saga_counts(void **state)
{
    (void)state;
    expect_together(TOGETHER("saga: a\nversion: 1\nsteps: [{name: x, saga: b, input: {k: 1}}]\n",
                             "saga: b\nversion: 2\ninput: {k: integer}\n"
                             "steps: [{name: w, wait: {until: \"${ .input.k | todate }\"}}]\n",
                             "saga: b\nversion: 1\nsteps: [{name: w, wait: {for: 1s}}]\n",
                             "saga: b\nversion: 1\nsteps: [{name: v, wait: {for: 1s}}]\n"),
                    NULL, true, "1:1: b version 1 is defined in 2.yaml, too\n");
}

static void a_sub_saga_with_a_pivot_is_one(void **state)
{
    (void)state;
    static const char other[] =
        "saga: other\nversion: 1\nsteps: [{name: a, call: p.q, kind: pivot}]\n";
    expect_together(TOGETHER("saga: a\nversion: 1\nsteps: [{name: x, saga: other}]\n", other), NULL,
                    true,
                    "3:9: the saga other has a pivot, so it can't be undone once it is done: this "
                    "step must say kind: pivot\n");
    expect_together(
        TOGETHER("saga: a\nversion: 1\nsteps: [{name: x, saga: other, kind: pivot}]\n", other),
        NULL, true, "");
}

/* ---- calls ---------------------------------------------------------------------------------- */

static void fill(struct catalogue *catalogue)
{
    struct catalogue_operation *operation =
        catalogue_add_operation(catalogue_add(catalogue, "payments"), "charge", false);
    catalogue_add_parameter(operation, "customer", "text");
    catalogue_add_parameter(operation, "amount", "numeric");
    operation = catalogue_add_operation(catalogue_add(catalogue, "payments"), "refund", false);
    catalogue_add_parameter(operation, "customer", "text");
    operation = catalogue_add_operation(catalogue_add(catalogue, "payments"), "balance", true);
    catalogue_add_parameter(operation, "customer", "text");
    operation = catalogue_add_operation(catalogue_add(catalogue, "stock"), "take", false);
    catalogue_add_parameter(operation, "pieces", "integer");
    catalogue_add_parameter(operation, "express", "boolean");
    catalogue_add_parameter(operation, "extra", "jsonb");
}

static void calls_are_checked_against_what_is_offered(void **state)
{
    (void)state;
    struct catalogue catalogue = {0};
    fill(&catalogue);
    static const char good[] = HEAD USE
        "  - {name: a, call: payments.charge, with: {customer: \"${ .input.id }\", amount: 1.5},"
        " compensate: {call: payments.refund, with: {customer: \"x ${ .input.id }\"}}}\n"
        "  - {name: b, call: stock.take, with: {pieces: \"${ .input.n }\", express: true,"
        " extra: [1]}, compensate: none}\n"
        "  - {name: c, call: stock.take, with: \"${ .input.list[0] }\", compensate: none}\n";
    expect_together(TOGETHER(good), &catalogue, true, "5:23: there is no participant p\n");
    static const char bad[] = HEAD USE
        "  - {name: a, call: payment.charge, compensate: none}\n"
        "  - {name: b, call: payments.chrage, compensate: none}\n"
        "  - {name: c, call: payments.charge, with: {customer: 5, amont: 1}, compensate: none}\n"
        "  - {name: d, call: stock.take, with: {pieces: 1.5, express: \"${ .input.id }\","
        " extra: 1}, compensate: none}\n"
        "  - {name: e, call: payments.charge, with: {customer: a, amount: \"${ .input.list }\"},"
        " compensate: payments.refund}\n"
        "  - {name: f, call: payments.balance, with: {customer: a}, compensate: payments.refund}\n";
    expect_together(
        TOGETHER(bad), &catalogue, true,
        "5:23: there is no participant p\n"
        "6:21: there is no participant payment; did you mean payments?\n"
        "7:21: payments has no operation chrage; did you mean charge?\n"
        "8:21: payments.charge needs the argument amount (numeric)\n"
        "8:45: payments.charge: customer (text) is a string, not 5\n"
        "8:58: payments.charge takes no argument amont; did you mean amount?\n"
        "9:40: stock.take: pieces (integer) is an integer, not 1.5\n"
        "9:53: stock.take: express (boolean) is true or false, and ${ .input.id } is a string\n"
        "10:58: payments.charge: amount (numeric) is a number, and ${ .input.list } is an array\n"
        "10:99: payments.refund gets the arguments of the step, and takes no amount: give it its "
        "own, as compensate: {call: ..., with: {...}}\n"
        "11:72: warning: f only reads: there is nothing to undo; say compensate: none\n");
    catalogue_fini(&catalogue);
}

/* ---- what is there, and what may be missing ---------------------------------------------------
 */

static void what_is_made_before_may_be_used(void **state)
{
    (void)state;
    expect(
        HEAD USE
        "  - {name: a, call: p.q, compensate: none}\n"
        "  - name: both\n"
        "    parallel:\n"
        "      - steps:\n"
        "          - {name: b, call: p.q, with: {x: \"${ .steps.a.x }\"}, compensate: none}\n"
        "          - {name: c, call: p.q, with: {x: \"${ .steps.b.x }\"}, compensate: none}\n"
        "      - {name: d, call: p.q, with: {x: \"${ .steps.a.x }\"}, compensate: none}\n"
        "    output: {b: \"${ .result.b.x }\", d: \"${ .steps.d }\"}\n"
        "  - name: each\n"
        "    for_each: \"${ .input.list }\"\n"
        "    steps:\n"
        "      - {name: e, call: p.q, with: {x: \"${ .item.x }\", n: \"${ .index }\"}, compensate: "
        "none}\n"
        "      - {name: f, call: p.q, with: {x: \"${ .steps.e.x }\"}, compensate:"
        " {call: p.r, with: {id: \"${ .result.id }\", e: \"${ .steps.e.id }\"}}}\n"
        "  - {name: g, call: p.q, with: {x: \"${ .steps.both.b + .steps.both.d.x }\","
        " y: \"${ .steps.each | map(.e.x) | add }\", z: \"${ .steps.c.x }\"}, compensate: none}\n"
        "output: {all: \"${ .steps | keys }\", g: \"${ .steps.g }\"}\n",
        "");
}

static void what_may_be_skipped_needs_a_test_or_a_default(void **state)
{
    (void)state;
    expect(
        HEAD USE
        "  - {name: a, when: \"${ .input.n > 1 }\", call: p.q, compensate: none}\n"
        "  - {name: w, wait: {signal: go, timeout: 1s, otherwise: continue}}\n"
        "  - {name: same, when: \"${ .input.n > 1 }\", call: p.q,"
        " with: {x: \"${ .steps.a.x }\"}, compensate: none}\n"
        "  - {name: other, when: \"${ .input.n > 2 }\", call: p.q,"
        " with: {x: \"${ .steps.a.x }\"}, compensate: none}\n"
        "  - {name: guard, call: p.q, compensate: none, with: {a: \"${ .steps.a.x // 0 }\","
        " b: \"${ if .steps.a then .steps.a.x else 1 end }\", c: \"${ .steps.a.x? }\","
        " d: \"${ .steps.a == null }\", w: \"${ .steps.w.x // 1 }\", v: \"${ .steps.w.x }\"}}\n"
        "  - choose:\n"
        "      - when: \"${ .input.n > 3 }\"\n"
        "        steps:\n"
        "          - {name: b, call: p.q, compensate: none}\n"
        "          - {name: c, call: p.q, with: {x: \"${ .steps.b.x }\"}, compensate: none}\n"
        "  - {name: d, call: p.q, with: {x: \"${ .steps.c.x }\"}, compensate: none}\n"
        "  - when: \"${ .input.n > 4 }\"\n"
        "    steps:\n"
        "      - {name: e, call: p.q, compensate: none}\n"
        "      - {name: f, call: p.q, with: {x: \"${ .steps.e.x }\"}, compensate: none}\n"
        "  - {name: g, call: p.q, with: {x: \"${ .steps.f.x }\"}, compensate: none}\n",
        "9:71: warning: .steps.a is null when it is skipped (line 6); test it, or give a default "
        "with //\n"
        "10:217: warning: .steps.w is null when the signal stays away; test it, or give a default "
        "with //\n"
        "16:40: warning: .steps.c is null when it is skipped (line 12); test it, or give a "
        "default with //\n"
        "21:40: warning: .steps.f is null when it is skipped (line 17); test it, or give a "
        "default with //\n");
}

static void paths_in_other_values_are_no_steps(void **state)
{
    (void)state;
    expect(HEAD USE "  - {name: a, call: p.q, compensate: none, with: {"
                    "a: \"${ .input.list | map(.item) }\","
                    "b: \"${ .input.list | map(.steps.nowhere.x) }\","
                    "c: \"${ reduce .input.list[] as $x (0; . + .unknown) }\","
                    "d: \"${ .input.list[] | {result} }\","
                    "e: \"${ {item: 1} | .item }\","
                    "f: \"${ try error({index: 1}) catch .index }\","
                    "g: \"${ .input.list | sort_by(.inputs) | .[0].saga }\","
                    "h: \"${ . as {input: {list: $l}} | $l }\"}}\n",
           "");
}

static void places_are_those_of_the_paths(void **state)
{
    (void)state;
    expect(HEAD USE "  - name: a\n"
                    "    call: p.q\n"
                    "    compensate: none\n"
                    "    with:\n"
                    "      x: \"${ if .input.x then [.steps.b, {c: .input.y}] else .item end }\"\n"
                    "      y: \"a ${ .input.n } b ${ .input.m }\"\n",
           "10:17: unknown input .input.x\n"
           "10:32: unknown step .steps.b\n"
           "10:46: unknown input .input.y\n"
           "10:62: .item is known in the steps of a for_each only\n"
           "11:32: unknown input .input.m\n");
}

/* ---- order ---------------------------------------------------------------------------------- */

static void a_way_has_one_pivot(void **state)
{
    (void)state;
    /* One in each alternative is one on each way. */
    expect(HEAD USE "  - choose:\n"
                    "      - when: \"${ .input.n > 1 }\"\n"
                    "        steps:\n"
                    "          - {name: a, call: p.q, kind: pivot}\n"
                    "          - {name: b, call: p.q, kind: retriable}\n"
                    "      - otherwise:\n"
                    "          - {name: c, call: p.q, kind: pivot}\n"
                    "  - {name: d, call: p.q, kind: retriable}\n"
                    "  - {name: e, call: p.q, compensate: p.r, reason: it may be missing}\n"
                    "  - {name: f, wait: {signal: go, timeout: 1s, otherwise: continue}}\n"
                    "  - {name: g, wait: {for: 1s}}\n",
           "");
    expect(
        HEAD USE
        "  - {name: a, call: p.q, compensate: p.r, reason: none needed}\n"
        "  - choose:\n"
        "      - {when: \"${ .input.n > 1 }\", steps: [{name: b, call: p.q, kind: pivot}]}\n"
        "  - {name: c, call: p.q, compensate: p.r}\n"
        "  - parallel:\n"
        "      - {name: d, call: p.q, kind: pivot}\n",
        "6:5: warning: reason: is for a compensatable step behind a pivot; a is none\n"
        "9:5: c comes after the pivot b: when it fails nothing is undone any more. Make it kind: "
        "retriable, move it before the pivot, or say why it may fail: reason: ...\n"
        "11:9: a second pivot: b in line 8 is the point of no return already\n");
}

static void a_saga_timeout_ends_at_the_pivot(void **state)
{
    (void)state;
    expect("saga: s\nversion: 1\ntimeout: 10s\nsteps:\n"
           "  - {name: a, call: p.q, compensate: none, timeout: 4s}\n"
           "  - parallel:\n"
           "      - {name: b, call: p.q, compensate: none, timeout: 3s}\n"
           "      - {name: c, wait: {for: 5s}}\n"
           "  - {name: p, call: p.q, kind: pivot, timeout: 1s}\n"
           "  - {name: d, call: p.q, kind: retriable, timeout: 1m}\n"
           "  - {name: e, wait: {for: 1h}}\n",
           "");
    expect(
        "saga: s\nversion: 1\ntimeout: 10s\nsteps:\n"
        "  - {name: a, call: p.q, compensate: none, timeout: 1s, retry: {attempts: 4, initial: 2s,"
        " factor: 1}}\n"
        "  - {name: p, call: p.q, kind: pivot, timeout: 1ms}\n",
        "3:10: warning: timeout: the steps up to the pivot may take 10001ms by their own timeouts "
        "and retries, more than the 10s of the saga\n");
}

static void what_is_used_as_a_whole_is_used(void **state)
{
    (void)state;
    expect(HEAD USE
           "  - name: each\n"
           "    for_each: \"${ .input.list }\"\n"
           "    steps: [{name: a, call: p.q, output: {x: \"${ .result.x }\"}, compensate: none}]\n"
           "  - {name: b, call: p.q, output: {y: \"${ .result.y }\", z: 1}, compensate: none}\n"
           "  - {name: c, call: p.q, output: {y: \"${ .result.y }\", z: 1}, compensate: none}\n"
           "output: {each: \"${ .steps.each }\", b: \"${ .steps.b }\", c: \"${ .steps.c.y }\"}\n",
           "10:56: warning: the output z of c is not used\n");
}

/* ---- the examples ---------------------------------------------------------------------------- */

static struct saga_plan *example(const char *name, struct saga_findings *findings)
{
    char *path = xasprintf("examples/sagas/%s.yaml", name), *text = kit_read_file(path);
    struct saga_plan *plan = saga_definition_read(path, text, strlen(text), findings);
    assert_non_null(plan);
    free(text);
    free(path);
    return plan;
}

static void the_examples_fit_each_other_and_the_shop(void **state)
{
    (void)state;
    static const char *const names[] = {"approve-refund", "order-goods", "place-order", "restock"};
    struct saga_findings findings = {0};
    struct catalogue catalogue = {0};
    struct saga_plan *plans[4];
    for (int i = 0; i < 4; i++)
        plans[i] = example(names[i], &findings);
    saga_lint(&(struct saga_lint){plans, 4, true, NULL}, &findings);
    assert_int_equal(findings.count, 0);
    static const char *const participants[] = {"orders", "payments", "inventory"};
    for (int i = 0; i < 3; i++) {
        char *path = xasprintf("examples/shop/%s.yaml", participants[i]);
        catalogue_read(&catalogue, path, false, &findings);
        free(path);
    }
    assert_int_equal(findings.count, 0);
    assert_non_null(catalogue_find(&catalogue, "payments"));
    saga_lint(&(struct saga_lint){plans, 4, true, &catalogue}, &findings);
    if (findings.count)
        fail_msg("%s", findings.items[0].text);
    for (int i = 0; i < 4; i++)
        saga_plan_free(plans[i]);
    catalogue_fini(&catalogue);
    saga_findings_fini(&findings);
}

static void a_participant_that_is_none_is_told(void **state)
{
    (void)state;
    struct catalogue catalogue = {0};
    struct saga_findings findings = {0};
    catalogue_read(&catalogue, "examples/shop/trothd.yaml", true, &findings);
    assert_int_equal(findings.count, 0);
    catalogue_read(&catalogue, "examples/shop/trothd.yaml", false, &findings);
    char *told = kit_findings_of(&findings);
    assert_non_null(strstr(told, "the key \"participant\" is missing here"));
    assert_non_null(strstr(told, "the key \"operations\" is missing here"));
    free(told);
    catalogue_read(&catalogue, "/nowhere.yaml", true, &findings);
    assert_int_equal(findings.mistakes, 3);
    catalogue_fini(&catalogue);
    saga_findings_fini(&findings);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sagas_that_run_each_other_are_told),
        cmocka_unit_test(a_sub_saga_gets_what_it_needs),
        cmocka_unit_test(the_newest_version_of_a_saga_counts),
        cmocka_unit_test(a_sub_saga_with_a_pivot_is_one),
        cmocka_unit_test(calls_are_checked_against_what_is_offered),
        cmocka_unit_test(what_is_made_before_may_be_used),
        cmocka_unit_test(what_may_be_skipped_needs_a_test_or_a_default),
        cmocka_unit_test(paths_in_other_values_are_no_steps),
        cmocka_unit_test(places_are_those_of_the_paths),
        cmocka_unit_test(a_way_has_one_pivot),
        cmocka_unit_test(a_saga_timeout_ends_at_the_pivot),
        cmocka_unit_test(what_is_used_as_a_whole_is_used),
        cmocka_unit_test(the_examples_fit_each_other_and_the_shop),
        cmocka_unit_test(a_participant_that_is_none_is_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
