/* What an expression names is found by walking its words, and only that is shown to jq. Random
 * expressions must give the same when jq is shown everything; and what one sees must not depend on
 * what else happens to be done. */
#include "tests/unit/saga_kit.h"

#include "saga/sight.h"

/* jq 1.6 loses some bytes when first(.[]?) breaks off and when a list is indexed by a list, which
 * random expressions do. What we lose ourselves shows in the other tests of expressions. The
 * sanitizer looks for this by its name. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libjq\n";
}

/* ---- random expressions ---------------------------------------------------------------------- */

struct dice {
    uint64_t state;
};

static unsigned roll(struct dice *dice, unsigned sides)
{
    dice->state = dice->state * 6364136223846793005ull + 1442695040888963407ull;
    return (unsigned)(dice->state >> 33) % sides;
}

#define PICK(dice, words) (words)[roll(dice, sizeof(words) / sizeof((words)[0]))]

/* Each E becomes an expression, each V the name of a variable. */
static const char *const leaves[] = {
    ".",
    ".input",
    ".input.a",
    ".input.b",
    ".input.list",
    ".input.list[0]",
    ".input.list[1].item",
    ".input[\"list\"][-1].steps.first",
    ".steps",
    ".steps.first",
    ".steps.first.fee",
    ".steps[\"first\"].list",
    ".steps.first.input.a",
    ".saga.id",
    ".item",
    ".index",
    ".result",
    ".fee",
    ".a",
    ".\"input\".a",
    ".input.list[]?",
    "1",
    "2.5",
    "\"x\"",
    "null",
    "true",
    "empty",
    "length",
    "keys",
    "tojson",
    "not",
    "to_entries",
    "type",
    "add",
    "has(\"input\")",
    "getpath([\"input\", \"a\"])",
    "@text",
    "{input}",
    "{input, steps}",
    "{\"input\"}",
    "first",
    ".[]?",
};

static const char *const branches[] = {
    "(E)",
    "(E | E)",
    "(E | E | E)",
    "(E, E)",
    "((E + E)?)",
    "(E // E)",
    "(E == E)",
    "(E and E)",
    "(E | not)",
    "[E]",
    "[E, E]",
    "{a: (E), input: (E)}",
    "{(\"k\" + (E | tostring)): (E)}",
    "{a: E | E}",
    "(if E then E else E end)",
    "(if E then E elif E then E else E end)",
    "(try E catch E)",
    "(try error(E) catch E)",
    "(E as $v | E)",
    "(E as $v | $v | E)",
    "(. as {input: $v} | E)",
    "(reduce E as $v (E; E))",
    "([foreach E as $v (E; E; E)])",
    "(label $out | E, break $out, E)",
    "first(E)",
    "[limit(2; E)]",
    "(E | map(E)?)",
    "(E | select(E))",
    "any(E; E)",
    "isempty(E)",
    "[range((E | length)?; 3)]",
    "\"a\\(E)b\\(E)\"",
    "@base64 \"\\(E)\"",
    "(E)[E]?",
    "(E).input?",
    ".input.list[E]?",
    ".[E]?",
    ".steps[E]?.fee?",
    "[E][0]",
    "{a: E}.a",
    "(E | with_entries(.value |= E)?)",
    "[path(E)?]",
    "(E | sort_by(E)?)",
    "((E |= E)?)",
    "(del(E)?)",
    "(- (E)?)",
    "(E | in({input: 1})?)",
};

static void grow_text(struct json_writer *out, struct dice *dice, int depth)
{
    const char *form = depth == 0 || roll(dice, 4) == 0 ? PICK(dice, leaves) : PICK(dice, branches);
    for (; *form; form++) {
        char one[2] = {*form, '\0'};
        out->separator = false;
        if (*form == 'E')
            grow_text(out, dice, depth - 1);
        else
            json_raw(out, one);
    }
}

enum { PAIRS = 100 };

/* A definition with PAIRS expressions, each alone and in front of a look at everything. */
static struct saga_plan *random_plan(uint64_t seed)
{
    struct dice dice = {seed};
    struct json_writer with = {0};
    json_open(&with, '{');
    for (int i = 0; i < PAIRS; i++) {
        struct json_writer text = {0};
        grow_text(&text, &dice, 1 + (int)roll(&dice, 4));
        char name[20], *alone = xasprintf("${ %s }", text.text);
        char *all = xasprintf("${ . as $everything | (%s) }", text.text);
        bool short_enough = strlen(all) < LIMIT_SAGA_EXPRESSION_BYTES / 8;
        snprintf(name, sizeof(name), "x%d", i);
        json_name(&with, name);
        json_string(&with, short_enough ? alone : "${ 1 }");
        snprintf(name, sizeof(name), "y%d", i);
        json_name(&with, name);
        json_string(&with, short_enough ? all : "${ . as $everything | 1 }");
        free(alone);
        free(all);
        json_writer_fini(&text);
    }
    json_close(&with, '}');
    char *text = xasprintf("saga: s\nversion: 1\nsteps:\n"
                           "  - {name: first, call: p.q, compensate: none}\n"
                           "  - name: second\n    call: p.q\n    compensate: none\n    with: %s\n",
                           with.text);
    struct saga_findings findings = {0};
    struct saga_plan *plan = saga_definition_read("t.yaml", text, strlen(text), &findings);
    if (findings.mistakes) {
        char *told = kit_findings_of(&findings);
        fail_msg("seed %llu: %s", (unsigned long long)seed, told);
    }
    saga_findings_fini(&findings);
    json_writer_fini(&with);
    free(text);
    return plan;
}

static void what_is_shown_is_all_that_is_named(void **state)
{
    (void)state;
    const char *most = getenv("TROTH_SIGHT_SEEDS");
    int seeds = most ? atoi(most) : 12, compared = 0, good = 0;
    for (int seed = 1; seed <= seeds; seed++) {
        struct saga_plan *plan = random_plan((uint64_t)seed);
        struct kit_scope kit;
        kit_scope_init(&kit,
                       "{\"a\": 6, \"b\": \"first\", \"list\": [1, {\"item\": 2, \"steps\": "
                       "{\"first\": 7}}]}",
                       "{\"fee\": 1.25, \"list\": [3, 4], \"input\": {\"a\": 9}}");
        assert_int_equal(plan->expression_count, 2 * PAIRS);
        for (int i = 0; i < 2 * PAIRS; i += 2, compared++) {
            struct json_writer one = {0}, other = {0};
            bool alone = saga_evaluate(plan, i, &kit.scope, &one, NULL);
            bool all = saga_evaluate(plan, i + 1, &kit.scope, &other, NULL);
            bool copied = plan->expressions[i].is_path;
            if (alone != all || (alone && !copied && strcmp(one.text, other.text) != 0))
                fail_msg("seed %d: %s gives %s, and with all in sight %s", seed,
                         plan->expressions[i].source, alone ? one.text : "an error",
                         all ? other.text : "an error");
            good += alone;
            json_writer_fini(&one);
            json_writer_fini(&other);
        }
        saga_plan_free(plan);
    }
    assert_true(compared == seeds * PAIRS && good > compared / 4); /* not only errors agree */
}

/* ---- what is done meanwhile ------------------------------------------------------------------ */

static const char tree[] =
    "saga: s\nversion: 1\ninput: {list: array}\nsteps:\n"
    "  - {name: a, call: p.q, compensate: none}\n"
    "  - parallel:\n"
    "      - {name: b, call: p.q, compensate: none}\n"
    "      - {name: c, call: p.q, with: {x: \"${ [.steps | keys] }\"},"
    " output: {y: \"${ [.steps | keys] }\"}, compensate:"
    " {call: p.u, with: {z: \"${ . as $all | $all | [.steps, .result] }\"}}}\n"
    "  - name: f\n"
    "    for_each: \"${ .input.list }\"\n"
    "    steps:\n"
    "      - {name: d, call: p.q, compensate: none}\n"
    "      - {name: e, call: p.q, with: {x: \"${ [.steps | keys, 1] }\"}, compensate: none}\n"
    "  - {name: g, call: p.q, with: {x: \"${ [.steps | keys] }\"},"
    " compensate: none}\n"
    "output: {x: \"${ .steps | keys }\"}\n";

static struct saga_text everything_is_done(void *self, int step)
{
    (void)self, (void)step;
    return kit_text("1");
}

static void expect_render(const struct saga_plan *plan, int template, const char *expected)
{
    struct error error = {0};
    struct saga_scope scope = {.input = kit_text("{\"list\": []}"),
                               .output = everything_is_done,
                               .result = kit_text("7"),
                               .item = kit_text("8"),
                               .index = 9};
    char *text = saga_render(plan, template, &scope, &error);
    if (!text)
        fail_msg("%s", error.message);
    assert_string_equal(text, expected);
    free(text);
}

static void what_is_seen_is_decided_by_the_place(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan(tree);
    const struct saga_step *c = &plan->steps[saga_step_find(plan, "c")];
    const struct saga_step *e = &plan->steps[saga_step_find(plan, "e")];
    const struct saga_step *g = &plan->steps[saga_step_find(plan, "g")];
    expect_render(plan, plan->calls[c->first_call].with, "{\"x\":[[\"a\"]]}");
    expect_render(plan, c->output, "{\"y\":[[\"a\"]]}");
    expect_render(plan, plan->calls[c->compensation].with, "{\"z\":[{\"a\":1},7]}");
    expect_render(plan, plan->calls[e->first_call].with, "{\"x\":[[\"a\",\"b\",\"c\",\"d\"],1]}");
    expect_render(plan, plan->calls[g->first_call].with, "{\"x\":[[\"a\",\"b\",\"c\",\"f\"]]}");
    expect_render(plan, plan->output, "{\"x\":[\"a\",\"b\",\"c\",\"f\",\"g\"]}");
    saga_plan_free(plan);
}

/* Every other step was skipped. */
static struct saga_text odd_is_done(void *self, int step)
{
    (void)self;
    return kit_text(step % 2 ? "[1.50]" : NULL);
}

static void the_result_of_a_block_has_the_outputs_of_its_steps(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan(tree);
    struct saga_scope scope = {.output = odd_is_done};
    char *parallel = saga_block_result(plan, plan->steps[saga_step_find(plan, "b")].parent, &scope);
    assert_string_equal(parallel, "{\"b\":[1.50],\"c\":null}");
    char *item = saga_block_result(plan, saga_step_find(plan, "f"), &scope);
    assert_string_equal(item, "{\"d\":[1.50],\"e\":null}");
    /* What is in the loop belongs to the loop. */
    char *all = saga_block_result(plan, 0, &scope);
    assert_string_equal(all, "{\"a\":[1.50],\"b\":[1.50],\"c\":null,\"f\":[1.50],\"g\":[1.50]}");
    free(parallel);
    free(item);
    free(all);
    saga_plan_free(plan);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_shown_is_all_that_is_named),
        cmocka_unit_test(what_is_seen_is_decided_by_the_place),
        cmocka_unit_test(the_result_of_a_block_has_the_outputs_of_its_steps),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
