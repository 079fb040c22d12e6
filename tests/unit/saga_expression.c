/* Expressions: what they see, what they give, byte for byte, and what they may not do. */
#include "tests/unit/saga_kit.h"

#include <unistd.h>

#include "saga/program.h"
#include "saga/token.h"

/* Renders a template of one step with this input and expects this JSON. */
static void expect_with(const char *with, const char *input, const char *first,
                        const char *expected)
{
    struct saga_plan *plan = kit_plan_of(with);
    struct error error = {0};
    char *rendered = kit_render(plan, input, first, &error);
    if (!rendered)
        fail_msg("%s: %s", with, error.message);
    assert_string_equal(rendered, expected);
    free(rendered);
    saga_plan_free(plan);
}

static void expect(const char *with, const char *input, const char *expected)
{
    expect_with(with, input, NULL, expected);
}

/* Each expression with the same input: all are compiled as one program. */
struct pair {
    const char *expression, *expected;
};

static struct saga_plan *plan_of_all(const struct pair *pairs, int count)
{
    struct json_writer with = {0};
    json_open(&with, '{');
    for (int i = 0; i < count; i++) {
        char name[20], *text = xasprintf("${ %s }", pairs[i].expression);
        snprintf(name, sizeof(name), "x%d", i);
        json_name(&with, name);
        json_string(&with, text);
        free(text);
    }
    json_close(&with, '}');
    struct saga_plan *plan = kit_plan_of(with.text);
    json_writer_fini(&with);
    return plan;
}

/* Evaluates each on its own, and expects its value, or the end of its error's message. */
static void expect_all(const struct pair *pairs, int count, const char *input, const char *first,
                       bool fails)
{
    struct saga_plan *plan = plan_of_all(pairs, count);
    struct kit_scope kit;
    kit_scope_init(&kit, input, first);
    assert_int_equal(plan->expression_count, count);
    for (int i = 0; i < count; i++) {
        struct json_writer out = {0};
        struct error error = {0};
        bool good = saga_evaluate(plan, i, &kit.scope, &out, &error);
        if (good == fails)
            fail_msg("%s: %s", pairs[i].expression, good ? out.text : error.message);
        if (good && strcmp(out.text, pairs[i].expected) != 0)
            fail_msg("%s is %s, not %s", pairs[i].expression, out.text, pairs[i].expected);
        if (!good && !strstr(error.message, pairs[i].expected))
            fail_msg("%s: \"%s\" does not say \"%s\"", pairs[i].expression, error.message,
                     pairs[i].expected);
        json_writer_fini(&out);
    }
    saga_plan_free(plan);
}

#define EXPECT_ALL(pairs, input, first, fails)                                                     \
    expect_all(pairs, (int)(sizeof(pairs) / sizeof((pairs)[0])), input, first, fails)

/* ---- money ---------------------------------------------------------------------------------- */

static void a_path_is_copied_digit_by_digit(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.a", "40.00"},
        {".input.b.deep[1]", "12345678901234567.89"},
        {".input.b.deep[-1]", "1E+2"},
        {".input[\"b\"].deep[0]", "-0.00"},
        {".input.b.\"two words\"", "\"\\u0061\""},
        {".input.b", "{\"deep\": [-0.00, 12345678901234567.89, 1E+2], \"two words\": \"\\u0061\"}"},
        {".input.b.absent.more", "null"},
        {".input.b.deep[3]", "null"},
        {".saga.id", "\"s.1\""},
        {".saga", "{\"id\":\"s.1\"}"},
        {".steps.first.fee", "1.50"},
        {".steps.first", "{\"fee\": 1.50}"},
    };
    EXPECT_ALL(pairs,
               "{\"a\": 40.00, \"b\": {\"deep\": [-0.00, 12345678901234567.89, 1E+2], "
               "\"two words\": \"\\u0061\"}}",
               "{\"fee\": 1.50}", false);
}

static void arithmetic_gives_the_decimal_that_is_meant(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.a + .steps.first.fee", "41.3"},
        {".input.a + 0", "40.1"},
        {"0.1 + 0.2", "0.3"},
        {"1.1 * 3", "3.3"},
        {"(10 / 3 * 100 | round) / 100", "3.33"},
        {"19.99 * 3", "59.97"},
        {".input.b - 1", "999999999999998"},
        {"0 - 0", "0"},
        {"-5 % 3", "-2"},
        {"[0.1, 0.2, 0.3] | add", "0.6"},
        {".input.big - 1 + 1", "9007199254740991"},
        {"1 / 8", "0.125"},
        {"4.35 * 100", "435"},
    };
    EXPECT_ALL(pairs, "{\"a\": 40.10, \"b\": 999999999999999, \"big\": 9007199254740991}",
               "{\"fee\": 1.20}", false);
}

static void what_can_not_be_computed_exactly_is_refused(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.a + 1", "12345678901234567.89 has more digits than can be computed with"},
        {"[.input.a]", "12345678901234567.89 has more digits"},
        {"10 / 3", "3.3333333333333335 is not exact; round it"},
        {".input.b * 10", "the number 90071992547409904 has more digits"},
        {".input.c + 1", "1e300 has more digits"},
        {"2 | sqrt", "is not exact; round it"},
    };
    EXPECT_ALL(pairs, "{\"a\": 12345678901234567.89, \"b\": 9007199254740991, \"c\": 1e300}", NULL,
               true);
}

static void a_number_that_is_not_named_does_not_matter(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.b + 1", "3"},
        {".input.list | map(. * 2)", "[2,4]"},
        {".steps.first.n // 0", "7"},
    };
    EXPECT_ALL(pairs, "{\"a\": 12345678901234567.89, \"b\": 2, \"list\": [1, 2]}",
               "{\"n\": 7, \"odd\": 0.12345678901234567890}", false);
}

/* ---- templates ------------------------------------------------------------------------------ */

static void texts_are_filled_in(void **state)
{
    (void)state;
    static const char input[] =
        "{\"a\": 40.00, \"b\": \"ad\\u0061 \\\"x\\\"\", \"c\": [1, {\"k\": null}]}";
    expect("{x: \"${ .input.a }\"}", input, "{\"x\":40.00}");
    expect("{x: \"${ .input.b }\"}", input, "{\"x\":\"ad\\u0061 \\\"x\\\"\"}");
    expect("{x: \"for ${ .input.a } and ${ .input.b }!\"}", input,
           "{\"x\":\"for 40.00 and ad\\u0061 \\\"x\\\"!\"}");
    expect("{x: \"c: ${ .input.c }\"}", input, "{\"x\":\"c: [1, {\\\"k\\\": null}]\"}");
    expect("{x: \"${ .input.a }${ .input.a }\"}", input, "{\"x\":\"40.0040.00\"}");
    expect("{x: \" ${ .input.a }\"}", input, "{\"x\":\" 40.00\"}");
    expect("{x: \"$${ .input.a } costs $5 $\"}", input, "{\"x\":\"${ .input.a } costs $5 $\"}");
    expect("{x: \"$$${ .input.a }\"}", input, "{\"x\":\"$${ .input.a }\"}");
    expect("{x: '${ .input.c[1] | tojson }'}", input, "{\"x\":\"{\\\"k\\\":null}\"}");
    expect("{x: '${ \"}\" + \"${\" }'}", input, "{\"x\":\"}${\"}");
    expect("{x: '${ {a: {b: 1}} }'}", input, "{\"x\":{\"a\":{\"b\":1}}}");
    expect("{x: [1, 1.50, 0x1f, yes, true, ~, \"2\", {k: \"${ .input.a }\"}], y: {}}", input,
           "{\"x\":[1,1.50,31,\"yes\",true,null,\"2\",{\"k\":40.00}],\"y\":{}}");
    expect("\"${ {z: .input.a, b: 1} }\"", input, "{\"b\":1,\"z\":40}");
}

static void arguments_must_be_an_object(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan_of("\"${ .input.a }\"");
    struct error error = {0};
    assert_null(kit_render(plan, "{\"a\": [1]}", NULL, &error));
    assert_string_equal(error.message,
                        "t.yaml:8:15: ${ .input.a }: arguments must be an object, not [1]");
    saga_plan_free(plan);
}

static void conditions_are_true_or_false(void **state)
{
    (void)state;
    static const struct pair pairs[] = {{".input.a > 5", ""}, {".input.a", ""}, {"null", ""}};
    struct saga_plan *plan = plan_of_all(pairs, 3);
    struct kit_scope kit;
    struct error error = {0};
    bool value = false;
    kit_scope_init(&kit, "{\"a\": 6}", NULL);
    assert_true(saga_evaluate_when(plan, 0, &kit.scope, &value, &error));
    assert_true(value);
    kit_scope_init(&kit, "{\"a\": 5}", NULL);
    assert_true(saga_evaluate_when(plan, 0, &kit.scope, &value, &error));
    assert_false(value);
    assert_false(saga_evaluate_when(plan, 1, &kit.scope, &value, &error));
    assert_non_null(strstr(error.message, "a condition must give true or false, not 5"));
    assert_false(saga_evaluate_when(plan, 2, &kit.scope, &value, &error));
    kit_scope_init(&kit, "{\"a\": true}", NULL);
    assert_true(saga_evaluate_when(plan, 1, &kit.scope, &value, &error));
    assert_true(value);
    saga_plan_free(plan);
}

static void items_are_a_list_of_bounded_length(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.list", ""}, {".input.list | map(.a)", ""}, {".input.a", ""}, {".input.b", ""}};
    struct saga_plan *plan = plan_of_all(pairs, 4);
    struct kit_scope kit;
    struct error error = {0};
    char *many = xmalloc(2 * LIMIT_SAGA_ITEMS + 100), *at = many;
    at += sprintf(at, "{\"a\": 1, \"list\": [{\"a\": 1.0}, {}], \"b\": [0");
    for (int i = 0; i < LIMIT_SAGA_ITEMS; i++)
        at += sprintf(at, ",0");
    sprintf(at, "]}");
    kit_scope_init(&kit, many, NULL);
    struct json *items = saga_evaluate_items(plan, 0, &kit.scope, &error);
    assert_int_equal(items->count, 2);
    assert_memory_equal(items->items[0].raw, "{\"a\": 1.0}", items->items[0].raw_size);
    json_free(items);
    items = saga_evaluate_items(plan, 1, &kit.scope, &error);
    assert_int_equal(items->count, 2);
    json_free(items);
    assert_null(saga_evaluate_items(plan, 2, &kit.scope, &error));
    assert_non_null(strstr(error.message, "for_each needs a list, not 1"));
    assert_null(saga_evaluate_items(plan, 3, &kit.scope, &error));
    assert_non_null(strstr(error.message, "10001 items; for_each takes at most 10000"));
    free(many);
    saga_plan_free(plan);
}

/* ---- what an expression sees ----------------------------------------------------------------- */

static void every_way_to_name_a_value_finds_it(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {". as $all | $all.input.a", "6"},
        {".[\"input\"].a + 1", "7"},
        {".[\"in\" + \"put\"].a", "6"},
        {".steps[\"first\"].fee", "2"},
        {".steps[.input.b].fee", "2"},
        {"[.steps[]] | length", "1"},
        {"getpath([\"input\", \"a\"])", "6"},
        {"{input} | .input.a", "6"},
        {"{a: .input.a, \"b\": .steps.first.fee}", "{\"a\":6,\"b\":2}"},
        {"[.input.list[] | . + 1]", "[2,3]"},
        {"reduce .input.list[] as $i (.input.a; . + $i)", "9"},
        {"[foreach .input.list[] as $i (0; . + $i; .)]", "[1,3]"},
        {"if .input.a > 5 then .steps.first.fee else .input.b end", "2"},
        {"try error(\"x\") catch .", "\"x\""},
        {"(try error(\"x\") catch .) + .input.b", "\"xfirst\""},
        {"\"\\(.input.a)-\\(.steps.first.fee)\"", "\"6-2\""},
        {"@base64 \"\\(.input.b)\"", "\"Zmlyc3Q=\""},
        {"[limit(1; .input.list[])]", "[1]"},
        {"[range(.input.list | length)]", "[0,1]"},
        {".input.list as [$x, $y] | $x + $y + .input.a", "9"},
        {"label $out | .input.list[] | ., break $out", "1"},
        {"[.input | keys[]] | join(\",\")", "\"a,b,list\""},
        {"to_entries | map(.key)", "[\"input\",\"steps\",\"saga\"]"},
        {".input.list | map({item: .}) | map(.item) | add", "3"},
        {"any(.input.list[]; . > 1)", "true"},
        {".input.c // \"none\"", "\"none\""},
        {".input.a?", "6"},
        {".saga.id + \"!\"", "\"s.1!\""},
        {"[.input.list[] | select(. > 1)] | first", "2"},
        {"{(.input.b): .input.a}", "{\"first\":6}"},
        {"(.input).a", "6"},
        {".input.list[.input.list | length - 1]", "2"},
    };
    EXPECT_ALL(pairs, "{\"a\": 6, \"b\": \"first\", \"list\": [1, 2]}", "{\"fee\": 2}", false);
}

static void only_what_is_named_is_looked_at(void **state)
{
    (void)state;
    struct saga_plan *plan = kit_plan_of("{x: \"${ .input.a + 1 }\"}");
    struct error error = {0};
    char *rendered = kit_render(plan, "{\"a\": 1}", "this is no JSON", &error);
    assert_non_null(rendered);
    free(rendered);
    saga_plan_free(plan);
    plan = kit_plan_of("{x: \"${ .steps.first.a }\"}");
    assert_null(kit_render(plan, "{}", "this is no JSON", &error));
    assert_non_null(strstr(error.message, "the value that it names is damaged"));
    saga_plan_free(plan);
}

static void a_wrong_kind_of_value_is_told_with_the_place(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.a.b", "${ .input.a.b }: a number has no member \"b\""},
        {".input.list.b", "a list has no member \"b\""},
        {".input.list[0].x[1]", "a number has no member \"x\""},
        {".input.a.b + 1", "Cannot index number with string \"b\""},
        {".input.list + 1", "cannot be added"},
        {"error(\"no stock\")", "no stock"},
        {"error({code: 5})", "{\"code\":5}"},
        {"empty", "gives no value"},
        {".input.list[] | select(. > 9)", "gives no value"},
        {"\"a\\u0000b\"", "a text in the result has a zero byte"},
    };
    EXPECT_ALL(pairs, "{\"a\": 1, \"list\": [1]}", NULL, true);
    struct saga_plan *plan = kit_plan_of("{x: \"a ${ .input.a.b } b\"}");
    struct error error = {0};
    assert_null(kit_render(plan, "{\"a\": 1}", NULL, &error));
    assert_string_equal(error.message,
                        "t.yaml:8:21: ${ .input.a.b }: a number has no member \"b\"");
    saga_plan_free(plan);
}

/* ---- what an expression may not do ------------------------------------------------------------
 */

static void nothing_of_the_process_is_read(void **state)
{
    (void)state;
    static const char *const refused[] = {
        "env",
        "$ENV",
        "input",
        "inputs",
        "debug",
        "stderr",
        "now",
        "localtime",
        "input_filename",
        "input_line_number",
        "halt",
        "halt_error",
        "$__loc__",
        "$__prog_args",
        "get_search_list",
        "modulemeta",
        "1 | gmtime",
        "1 | strflocaltime(\"%H\")",
        "import \"a\" as a; 1",
        "include \"a\"; 1",
    };
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++) {
        char *text = xasprintf("saga: s\nversion: 1\nsteps:\n  - name: a\n    call: b.c\n"
                               "    with: {x: '${ %s }'}\n    compensate: none\n",
                               refused[i]);
        char *told = kit_lint(text);
        if (!strstr(told, "6:19: ") && !strstr(told, "6:23: "))
            fail_msg("%s: %s", refused[i], told);
        assert_non_null(strstr(told, " may not be used in an expression: "));
        free(told);
        free(text);
    }
}

static void what_would_not_end_fails_at_once(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"[range(.input.a)] | length", "range() gives more than 10000 numbers"},
        {"[range(0; 1; 0)]", "range() with a step of 0"},
        {"[range(0; .input.a; 0.001)]", "range() gives more than"},
        {"\"x\" * .input.a", "a text is repeated too often"},
        {".input.b | index(\"\")", "an empty text is everywhere"},
        {".input.list | setpath([1000000000]; 1)", "an index over 10000"},
        {".input.list | .[1000000000] = 1", "an index over 10000"},
        {".input.list | .[1000000000] |= 1", "an index over 10000"},
        {".input.big * .input.big * .input.big | . * . * . * . * . * . * . * . | . * . * .",
         "is not a number that can be computed with"},
        {"\"nan\" | tonumber", "is not a number that can be computed with"},
        {"\"[nan]\" | fromjson", "a number in the text can't be computed with"},
        {"-1 | sqrt", "is not a number that can be computed with"},
        {".input.a * 100 % -1", "% needs whole numbers below 2^53"},
        {".input.a | todate", "todate needs seconds since 1970, up to the year 9999"},
        {"reduce range(100) as $i ([1]; [., .])", "nested too deep"},
        {"[range(10000)] | tojson", "larger than 32 KiB"},
    };
    EXPECT_ALL(pairs,
               "{\"a\": 1000000000000000, \"b\": \"abc\", \"list\": [], \"big\": 900000000000000}",
               NULL, true);
}

static void safe_functions_are_still_jqs(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {"[range(3)]", "[0,1,2]"},
        {"[range(0, 1; 3, 4)]", "[0,1,2,0,1,2,3,1,2,1,2,3]"},
        {"[range(5; 0; -2)]", "[5,3,1]"},
        {"\"ab\" * 3", "\"ababab\""},
        {"{a: 1} * {b: 2}", "{\"a\":1,\"b\":2}"},
        {"[(2, 3) * (5, 7)]", "[10,15,14,21]"},
        {"[(6, 8) / (2, 4)]", "[3,4,1.5,2]"},
        {"\"a,b\" / \",\"", "[\"a\",\"b\"]"},
        {"[(7, 8) % (3, 4)]", "[1,2,3,0]"},
        {"\"a,b,c\" | index(\",\"), rindex(\",\")", "1"},
        {"[1, 2, 1] | indices(1)", "[0,2]"},
        {"{a: [1, 2]} | .a[1] = 5 | .b += 1 | .c //= 3", "{\"a\":[1,5],\"b\":1,\"c\":3}"},
        {"[1, 2, 3] | map_values(. + 1) | .[0] |= empty", "[3,4]"},
        {"0 | todate", "\"1970-01-01T00:00:00Z\""},
        {"\"2026-11-21T01:02:03Z\" | fromdate | . + 86400 | todate", "\"2026-11-22T01:02:03Z\""},
        {"pow(2; 10) + (16 | sqrt)", "1028"},
        {"\"[1, {\\\"a\\\": \\\"12.5\\\"}]\" | fromjson | .[1].a | tonumber", "12.5"},
        {"[.input.b | test(\"^a\"), (capture(\"(?<x>b)\") | .x)]", "[true,\"b\"]"},
        {"[3, 1, 2] | sort_by(-.) | group_by(. > 1) | length", "2"},
        {"{b: 1, a: 2} | to_entries | map(.key)", "[\"b\",\"a\"]"},
        {"[{k: 1}, {k: 2}] | max_by(.k) | .k", "2"},
        {"[[1, [2]], 3] | flatten", "[1,2,3]"},
        {"\"%\" | @uri", "\"%25\""},
    };
    EXPECT_ALL(pairs, "{\"a\": 1, \"b\": \"abc\"}", NULL, false);
}

/* jq ends the process when it is stopped in the middle of path(). */
static void only_the_first_result_counts_and_the_rest_does_no_harm(void **state)
{
    (void)state;
    static const struct pair pairs[] = {
        {".input.list[]", "1"},
        {".input | paths", "[\"a\"]"},
        {"path(.input.list[])", "[\"input\",\"list\",0]"},
        {"first(path(.input.list[]))", "[\"input\",\"list\",0]"},
        {".input.list[] | if . > 1 then error(\"too late to matter\") else . end", "1"},
        {"[.input.list[] | . + 1] | .[1], error(\"the same\")", "3"},
    };
    EXPECT_ALL(pairs, "{\"a\": 5, \"list\": [1, 2]}", NULL, false);
}

static void a_catastrophic_pattern_gives_up(void **state)
{
    (void)state;
    static const struct pair pairs[] = {{".input.a | test(\"^(a+)+$\")", "retry-limit-in-match"}};
    EXPECT_ALL(pairs, "{\"a\": \"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa!\"}", NULL, true);
}

/* jq reads ~/.jq into every program, and so would compute whatever somebody keeps there. */
static void the_home_of_whoever_runs_it_is_not_read(void **state)
{
    (void)state;
    char folder[] = "/tmp/troth-home.XXXXXX";
    assert_non_null(mkdtemp(folder));
    char *path = xasprintf("%s/.jq", folder), *old = getenv("HOME"),
         *kept = old ? xstrdup(old) : NULL;
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    fputs("def map(f): \"somebody else's\";\n", file);
    fclose(file);
    setenv("HOME", folder, 1);
    expect("{x: \"${ .input.list | map(. + 1) }\"}", "{\"list\": [1]}", "{\"x\":[2]}");
    assert_string_equal(getenv("HOME"), folder);
    if (kept)
        setenv("HOME", kept, 1);
    else
        unsetenv("HOME");
    unlink(path);
    rmdir(folder);
    free(kept);
    free(path);
}

/* ---- many -------------------------------------------------------------------------------------
 */

static void each_of_many_expressions_is_chosen_by_its_index(void **state)
{
    (void)state;
    enum { MANY = 300 };
    struct pair pairs[MANY];
    for (int i = 0; i < MANY; i++)
        pairs[i] = (struct pair){xasprintf(".input.a + %d", i), xasprintf("%d", i + 1)};
    expect_all(pairs, MANY, "{\"a\": 1}", NULL, false);
    for (int i = 0; i < MANY; i++) {
        free((char *)pairs[i].expression);
        free((char *)pairs[i].expected);
    }
}

static void a_value_that_is_too_large_is_refused(void **state)
{
    (void)state;
    size_t size = LIMIT_SAGA_VALUE_BYTES - 100;
    char *text = xmalloc(size + 1);
    memset(text, 'x', size);
    text[size] = '\0';
    char *input = xasprintf("{\"a\": \"%s\"}", text);
    struct error error = {0};
    struct saga_plan *plan = kit_plan_of("{x: \"${ .input.a }\"}");
    char *rendered = kit_render(plan, input, NULL, &error);
    assert_non_null(rendered);
    free(rendered);
    saga_plan_free(plan);
    plan = kit_plan_of("{x: \"${ .input.a } and ${ .input.a }\"}");
    assert_null(kit_render(plan, input, NULL, &error));
    assert_non_null(strstr(error.message, "makes a value larger than 32 KiB"));
    saga_plan_free(plan);
    plan = kit_plan_of("{x: \"${ .input.a + .input.a }\"}");
    assert_null(kit_render(plan, input, NULL, &error));
    assert_non_null(strstr(error.message, "the result is larger than 32 KiB"));
    saga_plan_free(plan);
    free(input);
    free(text);
}

static void the_same_scope_gives_the_same_bytes(void **state)
{
    (void)state;
    struct saga_plan *one = kit_plan_of("{x: \"${ {z: .input.a, y: [.input.list[] | {k: .}]} }\"}");
    struct saga_plan *two = kit_plan_of("{x: \"${ {z: .input.a, y: [.input.list[] | {k: .}]} }\"}");
    static const char input[] = "{\"a\": 1.5, \"list\": [1, \"x\"]}";
    for (int i = 0; i < 100; i++) {
        char *first = kit_render(one, input, NULL, NULL),
             *second = kit_render(two, input, NULL, NULL);
        assert_string_equal(first, "{\"x\":{\"y\":[{\"k\":1},{\"k\":\"x\"}],\"z\":1.5}}");
        assert_string_equal(first, second);
        free(first);
        free(second);
    }
    assert_memory_equal(&one->digest, &two->digest, sizeof(one->digest));
    saga_plan_free(one);
    saga_plan_free(two);
}

static void where_an_expression_ends_is_seen(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        long size;
        const char *problem;
    } cases[] = {
        {".a } rest", 3, NULL},
        {"{a: {b: 1}}} x", 11, NULL},
        {"\"}\" + \"\\(\"}\")\" }", 15, NULL},
        {"\"\\\"}\" }", 6, NULL},
        {"1 # } \n }", 8, NULL},
        {".a", -1, "an expression does not end; close it with }"},
        {"(1 }", -1, "expected ) here"},
        {"1) }", -1, "a ) that nothing opened"},
        {"\"abc }", -1, "a string does not end; close it with \""},
        {"\"\\", -1, "a string does not end; close it with \""},
        {"`ls` }", -1, "a character that means nothing in an expression"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *problem = NULL;
        size_t offset = 0;
        long size = expression_size(cases[i].text, strlen(cases[i].text), &problem, &offset);
        if (size != cases[i].size)
            fail_msg("%s: %ld, not %ld", cases[i].text, size, cases[i].size);
        if (cases[i].problem)
            assert_string_equal(problem, cases[i].problem);
        assert_true(offset <= strlen(cases[i].text));
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_path_is_copied_digit_by_digit),
        cmocka_unit_test(arithmetic_gives_the_decimal_that_is_meant),
        cmocka_unit_test(what_can_not_be_computed_exactly_is_refused),
        cmocka_unit_test(a_number_that_is_not_named_does_not_matter),
        cmocka_unit_test(texts_are_filled_in),
        cmocka_unit_test(arguments_must_be_an_object),
        cmocka_unit_test(conditions_are_true_or_false),
        cmocka_unit_test(items_are_a_list_of_bounded_length),
        cmocka_unit_test(every_way_to_name_a_value_finds_it),
        cmocka_unit_test(only_what_is_named_is_looked_at),
        cmocka_unit_test(a_wrong_kind_of_value_is_told_with_the_place),
        cmocka_unit_test(nothing_of_the_process_is_read),
        cmocka_unit_test(what_would_not_end_fails_at_once),
        cmocka_unit_test(safe_functions_are_still_jqs),
        cmocka_unit_test(only_the_first_result_counts_and_the_rest_does_no_harm),
        cmocka_unit_test(a_catastrophic_pattern_gives_up),
        cmocka_unit_test(the_home_of_whoever_runs_it_is_not_read),
        cmocka_unit_test(each_of_many_expressions_is_chosen_by_its_index),
        cmocka_unit_test(a_value_that_is_too_large_is_refused),
        cmocka_unit_test(the_same_scope_gives_the_same_bytes),
        cmocka_unit_test(where_an_expression_ends_is_seen),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
