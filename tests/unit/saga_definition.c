/* Definitions become plans: the tree of steps, what each holds, and the limits. */
#include "tests/unit/saga_kit.h"

#include "saga/keys.h"

static struct saga_plan *example(const char *name)
{
    char *path = xasprintf("examples/sagas/%s.yaml", name), *text = kit_read_file(path);
    struct error error = {0};
    struct saga_plan *plan = saga_definition_load(path, text, strlen(text), &error);
    if (!plan)
        fail_msg("%s\n%s", error.message, error.detail);
    free(text);
    free(path);
    return plan;
}

static const struct saga_step *step_of(const struct saga_plan *plan, const char *name)
{
    int index = saga_step_find(plan, name);
    assert_true(index > 0);
    assert_string_equal(plan->steps[index].name, name);
    return &plan->steps[index];
}

static void the_tree_of_steps_is_walked_by_indices(void **state)
{
    (void)state;
    struct saga_plan *plan = example("place-order");
    static const char *const names[] = {NULL,    "create", NULL,   "reserve",
                                        "quote", "charge", "book", "notify"};
    static const int parents[] = {SAGA_NONE, 0, 0, 2, 2, 0, 0, 0};
    static const enum saga_type types[] = {SAGA_SEQUENCE, SAGA_CALL, SAGA_PARALLEL,    SAGA_CALL,
                                           SAGA_CALL,     SAGA_CALL, SAGA_TRANSACTION, SAGA_CALL};
    assert_int_equal(plan->step_count, 8);
    for (int i = 0; i < plan->step_count; i++) {
        assert_int_equal(plan->steps[i].type, types[i]);
        assert_int_equal(plan->steps[i].parent, parents[i]);
        assert_int_equal(plan->steps[i].loop, SAGA_NONE);
        if (names[i])
            assert_string_equal(plan->steps[i].name, names[i]);
        else
            assert_null(plan->steps[i].name);
    }
    assert_int_equal(plan->steps[0].child_count, 5);
    int child = plan->steps[0].first_child, last = child;
    for (; child != SAGA_NONE; child = plan->steps[child].next_sibling)
        last = child;
    assert_int_equal(last, 7);
    assert_int_equal(plan->steps[2].first_child, 3);
    assert_int_equal(plan->steps[3].next_sibling, 4);
    assert_int_equal(plan->steps[4].next_sibling, SAGA_NONE);
    assert_true(saga_step_within(plan, 4, 2) && saga_step_within(plan, 4, 0));
    assert_true(saga_step_within(plan, 2, 2) && !saga_step_within(plan, 1, 2));
    assert_int_equal(saga_step_find(plan, "nothing"), SAGA_NONE);
    saga_plan_free(plan);
}

static void a_step_holds_what_its_definition_says(void **state)
{
    (void)state;
    struct saga_plan *plan = example("place-order");
    assert_string_equal(plan->name, "place-order");
    assert_int_equal(plan->version, 1);
    assert_int_equal(plan->timeout_us, 300 * 1000 * 1000);
    assert_int_equal(plan->alert_after, SAGA_ALERT_AFTER);
    assert_int_equal(plan->input_count, 5);
    assert_string_equal(plan->inputs[3].name, "quantity");
    assert_int_equal(plan->inputs[3].type, SAGA_INTEGER);
    const struct saga_step *charge = step_of(plan, "charge");
    assert_int_equal(charge->kind, SAGA_COMPENSATABLE);
    assert_string_equal(plan->expressions[charge->when].source, ".input.amount > 0");
    assert_int_equal(charge->timeout_us, 3 * 1000 * 1000);
    assert_int_equal(charge->retry.attempts, 5);
    assert_int_equal(charge->retry.initial_us, 100 * 1000);
    assert_int_equal(charge->retry.max_us, 10 * 1000 * 1000);
    assert_int_equal(charge->retry.factor_permille, 2000);
    assert_int_equal(charge->retry.jitter_permille, 200);
    assert_string_equal(plan->calls[charge->first_call].participant, "payments");
    assert_string_equal(plan->calls[charge->first_call].operation, "charge");
    assert_string_equal(plan->calls[charge->compensation].operation, "refund");
    assert_true(saga_step_keeps_result(plan, saga_step_find(plan, "charge")));
    assert_false(saga_step_keeps_result(plan, saga_step_find(plan, "create")));
    const struct saga_step *book = step_of(plan, "book");
    assert_int_equal(book->kind, SAGA_PIVOT);
    assert_int_equal(book->call_count, 2);
    assert_int_equal(book->protocol, SAGA_2PC);
    assert_string_equal(plan->calls[book->first_call + 1].operation, "ship");
    assert_int_equal(book->retry.attempts, 5);
    assert_int_equal(book->timeout_us, SAGA_TIMEOUT_US);
    assert_int_equal(step_of(plan, "notify")->retry.attempts, 0);
    assert_true(step_of(plan, "quote")->compensation_none);
    saga_plan_free(plan);
}

static void every_type_of_step_is_read(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan(
        "saga: s\nversion: 7\nalert_after: 3\ninput: {n: integer, list: array}\nsteps:\n"
        "  - {name: a, call: p.q, with: {n: \"${ .input.n }\"}, compensate: p.undo}\n"
        "  - {name: w1, wait: {for: 10m}}\n"
        "  - {name: w2, wait: {until: \"2026-11-21T01:02:03Z\"}}\n"
        "  - {name: w3, wait: {signal: go, timeout: 1h, otherwise: continue}}\n"
        "  - choose:\n"
        "      - {when: \"${ .input.n > 5 }\", steps: [{name: b, call: p.q, compensate: none}]}\n"
        "      - otherwise: [{name: c, call: p.q, compensate: none}]\n"
        "  - name: f\n"
        "    for_each: \"${ .input.list }\"\n"
        "    parallel: 3\n"
        "    steps:\n"
        "      - {name: d, saga: other, input: {i: \"${ .item }\"}}\n"
        "      - {name: g, for_each: \"${ .item }\", steps: [{name: e, call: p.q, compensate: "
        "none}]}\n"
        "  - parallel:\n"
        "      - steps:\n"
        "          - {name: h, call: p.q, compensate: none}\n"
        "          - {name: i, call: p.q, compensate: none}\n"
        "      - {name: j, call: p.q, compensate: none}\n");
    const struct saga_step *a = step_of(plan, "a");
    assert_int_equal(plan->calls[a->compensation].with, plan->calls[a->first_call].with);
    assert_int_equal(a->retry.attempts, saga_retry_default.attempts);
    assert_int_equal(step_of(plan, "w1")->wait, SAGA_WAIT_FOR);
    assert_int_equal(step_of(plan, "w1")->wait_us, 600 * 1000 * 1000);
    assert_int_equal(step_of(plan, "w2")->wait, SAGA_WAIT_UNTIL);
    assert_true(step_of(plan, "w2")->until >= 0);
    assert_int_equal(step_of(plan, "w3")->wait, SAGA_WAIT_SIGNAL);
    assert_string_equal(step_of(plan, "w3")->signal, "go");
    assert_true(step_of(plan, "w3")->or_continue);
    int b = step_of(plan, "b")->parent, choose = plan->steps[b].parent;
    assert_int_equal(plan->steps[choose].type, SAGA_CHOOSE);
    assert_true(plan->steps[b].when >= 0);
    assert_int_equal(plan->steps[step_of(plan, "c")->parent].when, SAGA_NONE);
    int f = saga_step_find(plan, "f"), g = saga_step_find(plan, "g");
    assert_int_equal(plan->steps[f].at_once, 3);
    assert_int_equal(plan->steps[f].child_count, 1);
    assert_int_equal(plan->steps[f].loop, SAGA_NONE);
    assert_int_equal(step_of(plan, "d")->loop, f);
    assert_string_equal(step_of(plan, "d")->saga, "other");
    assert_int_equal(plan->steps[g].loop, f);
    assert_int_equal(step_of(plan, "e")->loop, g);
    int block = step_of(plan, "h")->parent;
    assert_int_equal(plan->steps[block].type, SAGA_SEQUENCE);
    assert_int_equal(plan->steps[plan->steps[block].parent].type, SAGA_PARALLEL);
    assert_int_equal(step_of(plan, "j")->parent, plan->steps[block].parent);
    saga_plan_free(plan);
}

static void a_text_is_its_own_identity(void **state)
{
    (void)state;
    static const char text[] =
        "saga: s\nversion: 1\nsteps: [{name: a, call: p.q, compensate: none}]\n";
    struct saga_plan *one = kit_plan(text), *two = kit_plan(text);
    assert_memory_equal(&one->digest, &two->digest, sizeof(one->digest));
    assert_string_equal(one->text, text);
    assert_int_equal(one->size, strlen(text));
    struct saga_plan *other =
        kit_plan("saga: s\nversion: 1\nsteps: [{name: b, call: p.q, compensate: none}]\n");
    assert_memory_not_equal(&one->digest, &other->digest, sizeof(one->digest));
    saga_plan_free(one);
    saga_plan_free(two);
    saga_plan_free(other);
    saga_plan_free(NULL);
}

static void all_mistakes_are_one_error(void **state)
{
    (void)state;
    static const char text[] = "saga: s\nversion: 1\nsteps:\n"
                               "  - {name: a, call: pq, compensate: none}\n"
                               "  - {name: b, call: p.q, with: {x: \"${ .steps.c }\"}}\n";
    struct error error = {0};
    assert_null(saga_definition_load("t.yaml", text, strlen(text), &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    assert_string_equal(error.message, "t.yaml: 3 mistakes");
    assert_non_null(strstr(error.detail, "t.yaml:4:21: \"pq\" is not a call"));
    assert_non_null(strstr(error.detail, "\n          t.yaml:5:5: b has no compensation"));
    assert_non_null(strstr(error.detail, "\n          t.yaml:5:40: unknown step .steps.c"));
    static const char one[] =
        "saga: s\nversion: 1\nsteps: [{name: a, call: p.q, compensat: none}]\n";
    assert_null(saga_definition_load("t.yaml", one, strlen(one), &error));
    assert_string_equal(error.message, "t.yaml: 2 mistakes");
}

static void warnings_do_not_keep_a_definition_from_running(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan("saga: s\nversion: 1\ninput: {unused: string}\n"
                                      "steps: [{name: a, call: p.q, compensate: none}]\n");
    assert_int_equal(plan->input_count, 1);
    saga_plan_free(plan);
}

static void places_are_found_in_folded_and_quoted_texts(void **state)
{
    (void)state;
    char *told = kit_lint("saga: s\nversion: 1\nsteps:\n"
                          "  - name: a\n"
                          "    call: p.q\n"
                          "    with:\n"
                          "      plain: ${ .input.x }\n"
                          "      folded: >-\n"
                          "        some text and\n"
                          "        ${ .input.y } and ${ .input.z }\n"
                          "      ümläut: \"ä ${ .input.ä }\"\n"
                          "      quoted: \"${ .input.u // \\\"x\\\" }\"\n"
                          "      block: |\n"
                          "        first\n"
                          "        ${ {a: 1,\n"
                          "            b: .input.v} }\n"
                          "    compensate: none\n");
    assert_string_equal(told, "7:17: unknown input .input.x: the saga declares none\n"
                              "10:12: unknown input .input.y: the saga declares none\n"
                              "10:30: unknown input .input.z: the saga declares none\n"
                              "11:28: a character that means nothing in an expression\n"
                              "12:16: unknown input .input.u: the saga declares none\n"
                              "15:9: unknown input .input.v: the saga declares none\n");
    free(told);
}

/* ---- limits --------------------------------------------------------------------------------- */

static void expect_mistake(const char *text, const char *mistake)
{
    char *told = kit_lint(text);
    if (!strstr(told, mistake))
        fail_msg("\"%s\" is not told:\n%s", mistake, told);
    free(told);
}

static void too_many_steps_are_refused(void **state)
{
    (void)state;
    char *text = xmalloc(LIMIT_SAGA_DEFINITION_BYTES), *at = text;
    at += sprintf(at, "saga: s\nversion: 1\nsteps:\n");
    for (int i = 0; i < LIMIT_SAGA_STEPS; i++)
        at += sprintf(at, "  - {name: s%d, call: p.q, compensate: none}\n", i);
    expect_mistake(text, "more than 256 steps");
    at = text + sprintf(text, "saga: s\nversion: 1\nsteps:\n  - choose:\n");
    for (int i = 0; i < LIMIT_SAGA_STEPS; i++)
        at +=
            sprintf(at, "    - {when: \"${ true }\", steps: [{name: w%d, wait: {for: 1s}}]}\n", i);
    expect_mistake(text, "more than 256 steps");
    free(text);
}

static void too_deep_steps_are_refused(void **state)
{
    (void)state;
    char text[8192], *at = text;
    at += sprintf(at, "saga: s\nversion: 1\ninput: {list: array}\nsteps: [");
    for (int i = 0; i < LIMIT_SAGA_DEPTH + 2; i++)
        at += sprintf(at, "{name: f%d, for_each: \"${ .input.list }\", steps: [", i);
    at += sprintf(at, "{name: a, call: p.q, compensate: none}");
    for (int i = 0; i < LIMIT_SAGA_DEPTH + 2; i++)
        at += sprintf(at, "]}");
    sprintf(at, "]\n");
    expect_mistake(text, "steps are nested more than 8 deep");
}

static void too_many_and_too_long_expressions_are_refused(void **state)
{
    (void)state;
    char *text = xmalloc(LIMIT_SAGA_DEFINITION_BYTES), *at = text;
    at += sprintf(at, "saga: s\nversion: 1\nsteps:\n  - name: a\n    call: p.q\n"
                      "    compensate: none\n    with:\n      x: \"${ ");
    for (int i = 0; i < LIMIT_SAGA_EXPRESSION_BYTES / 4 + 1; i++)
        at += sprintf(at, "1 + ");
    at += sprintf(at, "1 }\"\n      y: [");
    for (int i = 0; i < LIMIT_SAGA_EXPRESSIONS + 1; i++)
        at += sprintf(at, "\"${ .saga.id }\", ");
    sprintf(at, "1]\n");
    expect_mistake(text, "an expression has at most 2048 bytes");
    expect_mistake(text, "a saga has at most 512 expressions");
    free(text);
}

static void a_large_definition_is_refused(void **state)
{
    (void)state;
    char *text = xmalloc(LIMIT_SAGA_DEFINITION_BYTES + 2);
    memset(text, '#', LIMIT_SAGA_DEFINITION_BYTES + 1);
    text[LIMIT_SAGA_DEFINITION_BYTES + 1] = '\0';
    expect_mistake(text, "0:0: larger than 48 KiB");
    free(text);
}

static void deep_brackets_are_refused(void **state)
{
    (void)state;
    char text[1024], *at = text;
    at += sprintf(at, "saga: s\nversion: 1\nsteps:\n  - name: a\n    call: p.q\n"
                      "    compensate: none\n    with: {x: \"${ ");
    for (int i = 0; i < LIMIT_SAGA_NESTING + 1; i++)
        *at++ = '[';
    for (int i = 0; i < LIMIT_SAGA_NESTING + 1; i++)
        *at++ = ']';
    sprintf(at, " }\"}\n");
    expect_mistake(text, "brackets are nested too deep");
}

static void what_is_no_yaml_is_told_with_its_place(void **state)
{
    (void)state;
    expect_mistake("", "0:0: the file is empty");
    expect_mistake("saga: [\n", "2:1: did not find expected node content");
    expect_mistake("saga: \x01\n", "1:7: a control character");
    expect_mistake("[]\n", "1:1: value: expected a map");
}

/* ---- the schema ----------------------------------------------------------------------------- */

static const struct json *member(const struct json *object, const char *name)
{
    const struct json *found = json_member(object, name);
    if (!found)
        fail_msg("the schema has no \"%s\"", name);
    return found;
}

static void expect_words(const struct json *list, const char *const *words)
{
    int count = 0;
    while (words[count])
        count++;
    assert_int_equal(list->count, count);
    for (int i = 0; i < count; i++)
        assert_string_equal(list->items[i].text, words[i]);
}

static void the_schema_knows_the_same_keys_and_words(void **state)
{
    (void)state;
    char *text = kit_read_file("config/saga.schema.json");
    struct error error = {0};
    struct json *schema = json_parse(text, strlen(text), &error);
    if (!schema)
        fail_msg("%s", error.message);
    const struct json *definitions = member(schema, "definitions");
    for (int map = 0; map < SAGA_MAPS; map++) {
        const struct json *definition = member(definitions, saga_map_words[map]);
        const struct json *properties = member(definition, "properties");
        assert_int_equal(member(definition, "additionalProperties")->type, JSON_FALSE);
        int count = 0;
        for (; saga_keys[map][count]; count++) {
            if (!json_member(properties, saga_keys[map][count]))
                fail_msg("the schema's %s has no \"%s\"", saga_map_words[map],
                         saga_keys[map][count]);
        }
        if (properties->count != count)
            fail_msg("the schema's %s has %d keys, the loader %d", saga_map_words[map],
                     properties->count, count);
    }
    const struct json *step = member(member(definitions, "step"), "properties");
    expect_words(member(member(step, "kind"), "enum"), saga_kind_words);
    expect_words(member(member(definitions, "type"), "enum"), saga_value_type_words);
    const struct json *transaction = member(member(definitions, "transaction"), "properties");
    expect_words(member(member(transaction, "protocol"), "enum"), saga_protocol_words);
    const struct json *wait = member(member(definitions, "wait"), "properties");
    expect_words(member(member(wait, "otherwise"), "enum"), saga_otherwise_words);
    json_free(schema);
    free(text);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tree_of_steps_is_walked_by_indices),
        cmocka_unit_test(a_step_holds_what_its_definition_says),
        cmocka_unit_test(every_type_of_step_is_read),
        cmocka_unit_test(a_text_is_its_own_identity),
        cmocka_unit_test(all_mistakes_are_one_error),
        cmocka_unit_test(warnings_do_not_keep_a_definition_from_running),
        cmocka_unit_test(places_are_found_in_folded_and_quoted_texts),
        cmocka_unit_test(too_many_steps_are_refused),
        cmocka_unit_test(too_deep_steps_are_refused),
        cmocka_unit_test(too_many_and_too_long_expressions_are_refused),
        cmocka_unit_test(a_large_definition_is_refused),
        cmocka_unit_test(deep_brackets_are_refused),
        cmocka_unit_test(what_is_no_yaml_is_told_with_its_place),
        cmocka_unit_test(the_schema_knows_the_same_keys_and_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
