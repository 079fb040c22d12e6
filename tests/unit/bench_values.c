/* The generated values of troth bench: what each gives, as what type, and what is told of one that
 * is wrong. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_generator.h"
#include "cli/bench_values.h"
#include "core/check.h"
#include "core/json.h"

/* A file with `values`, and `with`: what is drawn. */
struct desk {
    struct yaml *yaml;
    struct bench_values *values;
    struct bench_template *template;
};

static struct desk desk_open(const char *text)
{
    struct error error = {0};
    struct desk desk = {.yaml = yaml_load_text("t.yaml", text, strlen(text), &error)};
    if (!desk.yaml)
        fail_msg("%s", error.message);
    desk.values = bench_values_new("run1", 5);
    const struct yaml_node *root = yaml_root(desk.yaml);
    if (yaml_get(root, "values"))
        bench_values_read(desk.values, desk.yaml, yaml_get(root, "values"));
    desk.template = bench_template_read(desk.values, desk.yaml, yaml_get(root, "with"));
    return desk;
}

static void desk_close(struct desk *desk)
{
    bench_template_free(desk->template);
    bench_values_free(desk->values);
    yaml_free(desk->yaml);
}

/* Of the first request. */
static void assert_drawn(const char *text, const char *wanted)
{
    struct desk desk = desk_open(text);
    struct error error = {0};
    if (!yaml_check(desk.yaml, &error))
        fail_msg("%s %s", error.message, error.detail);
    bench_values_next(desk.values);
    char *drawn = bench_template_draw(desk.template, desk.values);
    assert_string_equal(drawn, wanted);
    free(drawn);
    desk_close(&desk);
}

static void assert_mistake(const char *text, const char *wanted)
{
    struct desk desk = desk_open(text);
    struct error error = {0};
    assert_false(yaml_check(desk.yaml, &error));
    if (!strstr(error.message, wanted) && !strstr(error.detail, wanted))
        fail_msg("\"%s %s\" does not say \"%s\"", error.message, error.detail, wanted);
    desk_close(&desk);
}

static void what_is_not_generated_stays(void **state)
{
    (void)state;
    assert_drawn("with: {a: 1.50, b: text, c: \"17\", d: true, e: null, f: [1, {g: \"\\\"\"}]}",
                 "{\"a\":1.50,\"b\":\"text\",\"c\":\"17\",\"d\":true,\"e\":null,"
                 "\"f\":[1,{\"g\":\"\\\"\"}]}");
    assert_drawn("with: {a: \"$5\", b: \"{}\", c: \"}\", d: \"$\"}",
                 "{\"a\":\"$5\",\"b\":\"{}\",\"c\":\"}\",\"d\":\"$\"}");
    assert_drawn("with: {a: \"$${ seq }\", b: \"$${x} ${ seq } $${y}\"}",
                 "{\"a\":\"${ seq }\",\"b\":\"${x} 1 ${y}\"}");
    assert_drawn("with: $${x}", "\"${x}\""); /* also without quotes */
}

static void alone_it_keeps_its_type_and_in_a_text_it_is_text(void **state)
{
    (void)state;
    assert_drawn("with: {a: \"${ seq }\", b: \"${seq}\", c: \"o-${ seq }\", d: ' ${ seq }'}",
                 "{\"a\":1,\"b\":1,\"c\":\"o-1\",\"d\":\" 1\"}");
    assert_drawn("with: {a: \"${ text(seq) }\", b: \"x${ text( seq ) }\", c: \"${ text(run) }\"}",
                 "{\"a\":\"1\",\"b\":\"x1\",\"c\":\"run1\"}");
    assert_drawn("with: {a: \"${ pick(7) }\", b: \"${ pick('7') }\", c: \"${ pick(true) }\","
                 " d: \"n${ pick(null) }\", e: \"${ pick(a b) }\"}",
                 "{\"a\":7,\"b\":\"7\",\"c\":true,\"d\":\"nnull\",\"e\":\"a b\"}");
    assert_drawn("with: {a: \"${ random(5, 5) }\", b: \"${ random(1.50, 1.5) }\","
                 " c: \"${ random(-0.05, -0.05) }\", d: \"x${ cycle(3, 9) }y\"}",
                 "{\"a\":5,\"b\":1.50,\"c\":-0.05,\"d\":\"x3y\"}");
    assert_drawn("with:\n  order: o-${ run }-${ seq }\n", "{\"order\":\"o-run1-1\"}");
}

static void what_is_picked_is_escaped(void **state)
{
    (void)state;
    assert_drawn("with: [\"${ pick('it''s \\\"x\\\"') }\", \"<${ pick('}, \\\\') }>\"]",
                 "[\"it's \\\"x\\\"\",\"<}, \\\\>\"]");
    assert_drawn("with: ['${ pick(\"a, b\") }', \"${ pick('') }\"]", "[\"a, b\",\"\"]");
}

static void values_are_drawn_once_a_request(void **state)
{
    (void)state;
    struct desk desk = desk_open("values:\n"
                                 "  id: \"${ uuid }\"\n"
                                 "  both: \"${ id }/${ seq }\"\n"
                                 "with: [\"${ id }\", \"${ both }\", \"${ uuid }\"]");
    struct error error = {0};
    char earlier[40] = "";
    assert_true(yaml_check(desk.yaml, &error));
    for (int i = 1; i <= 50; i++) {
        bench_values_next(desk.values);
        char *drawn = bench_template_draw(desk.template, desk.values), wanted[60];
        struct json *json = json_parse(drawn, strlen(drawn), &error);
        assert_non_null(json);
        assert_int_equal(json->items[0].text_size, 36);
        assert_int_equal(json->items[0].text[14], '4');
        snprintf(wanted, sizeof(wanted), "%s/%d", json->items[0].text, i);
        assert_string_equal(json->items[1].text, wanted);
        assert_string_not_equal(json->items[2].text, json->items[0].text);
        assert_string_not_equal(json->items[0].text, earlier);
        snprintf(earlier, sizeof(earlier), "%s", json->items[0].text);
        json_free(json);
        free(drawn);
    }
    desk_close(&desk);
}

static void chance_reaches_all_and_no_more(void **state)
{
    (void)state;
    struct desk desk =
        desk_open("with: [\"${ random(-3, 3) }\", \"${ pick(0, 1, 2) }\", \"${ cycle(1, 4) }\"]");
    int numbers[7] = {0}, picks[3] = {0};
    for (int i = 0; i < 700; i++) {
        int number, pick, cycle;
        bench_values_next(desk.values);
        char *drawn = bench_template_draw(desk.template, desk.values);
        assert_int_equal(sscanf(drawn, "[%d,%d,%d]", &number, &pick, &cycle), 3);
        assert_in_range(number + 3, 0, 6);
        assert_in_range(pick, 0, 2);
        assert_int_equal(cycle, i % 4 + 1);
        numbers[number + 3]++;
        picks[pick]++;
        free(drawn);
    }
    for (int i = 0; i < 7; i++)
        assert_in_range(numbers[i], 50, 150);
    for (int i = 0; i < 3; i++)
        assert_in_range(picks[i], 150, 320);
    desk_close(&desk);
}

static void looking_uses_nothing_up(void **state)
{
    (void)state;
    struct desk desk = desk_open("with: [\"${ seq }\", \"${ cycle(1, 400) }\"]");
    for (int i = 0; i < 3; i++) {
        bench_values_sample(desk.values);
        char *drawn = bench_template_draw(desk.template, desk.values);
        assert_string_equal(drawn, "[1000000000000,400]");
        free(drawn);
    }
    bench_values_next(desk.values);
    char *drawn = bench_template_draw(desk.template, desk.values);
    assert_string_equal(drawn, "[1,1]");
    free(drawn);
    desk_close(&desk);
}

static void a_key_is_plain_text(void **state)
{
    (void)state;
    struct desk desk = desk_open("with: \"k \\\"${ seq }\\\"\"");
    assert_true(bench_template_varies(desk.template));
    bench_values_next(desk.values);
    char *drawn = bench_template_draw_text(desk.template, desk.values);
    assert_string_equal(drawn, "k \"1\"");
    free(drawn);
    desk_close(&desk);
    desk = desk_open("with: fixed");
    assert_false(bench_template_varies(desk.template));
    desk_close(&desk);
}

static void mistakes_name_their_place_and_what_is_meant(void **state)
{
    (void)state;
    static const char *const cases[][2] = {
        {"\"${ rndom(1, 2) }\"", "there is no \"rndom\"; did you mean \"random\"?"},
        {"\"${ ordr }\"", "there is no \"ordr\"; did you mean \"order\"?"},
        {"\"${ x }\"", "there is no \"x\": seq, run, uuid"},
        {"\"${ seq() }\"", "seq takes nothing in brackets; it is written seq"},
        {"\"${ random }\"", "random needs its values in brackets; it is written random(1, 100)"},
        {"\"${ random 1, 2 }\"", "random needs its values in brackets"},
        {"\"${ random(1) }\"", "random takes the lowest and the highest number"},
        {"\"${ random(1, 2, 3) }\"", "random takes the lowest and the highest number"},
        {"\"${ random(1, b) }\"", "random: \"b\" is not a number such as 100 or 9.99"},
        {"\"${ random(1, '2') }\"", "random: \"2\" is not a number"},
        {"\"${ random(1., 2) }\"", "\"1.\" is not a number"},
        {"\"${ random(.5, 2) }\"", "\".5\" is not a number"},
        {"\"${ random(-, 2) }\"", "\"-\" is not a number"},
        {"\"${ random(0.1234567, 2) }\"", "6 behind the point"},
        {"\"${ random(1, 1234567890123456) }\"", "at most 15 digits"},
        {"\"${ random(1, 99999999999999.999999) }\"", "at most 15 digits"},
        {"\"${ random(-999999999999999, 999999999999999.0) }\"", "at most 15 digits"},
        {"\"${ random(9, 1) }\"", "9 is more than 1; the lower one comes first"},
        {"\"${ pick() }\"", "a value is missing; an empty text is ''"},
        {"\"${ pick(a,, b) }\"", "a value is missing"},
        {"\"${ pick(a, b }\"", "a bracket ) is missing"},
        {"\"${ pick('a', b }\"", "a bracket ) is missing"},
        {"\"${ pick('a }\"", "${ is not closed by }"},
        {"\"${ text(text(seq)) }\"", "text takes one value, as text(seq)"},
        {"\"${ text }\"", "text takes one value"},
        {"\"${ seq run }\"", "\"run \" is too much; one value stands between ${ and }"},
        {"\"${ .input.a }\"", "a path with dots is a saga's"},
        {"\"${ }\"", "expected seq, run, uuid"},
        {"\"a ${ seq\"", "${ is not closed by }; a literal ${ is written $${"},
        {"\"{{seq}}\"", "a generated value is written \"${ seq }\", not {{seq}}"},
        {"\"a {{ uuid }}\"", "a generated value is written"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        char *text = xasprintf("values: {order: 1}\nwith:\n  a: %s\n", cases[i][0]);
        assert_mistake(text, cases[i][1]);
        assert_mistake(text, "t.yaml:3:6: ");
        free(text);
    }
    assert_mistake("with:\n  a: {{seq}}\n",
                   "t.yaml:2:6: a generated value is written \"${ seq }\"");
    assert_mistake("values: {seq: 1}\nwith: 1", "\"seq\" can't be the name of a value: it means");
    assert_mistake("values: {text: 1}\nwith: 1", "\"text\" can't be the name of a value");
    assert_mistake("values: {a-b: 1}\nwith: 1", "\"a-b\" can't be the name of a value: letters");
    assert_mistake("values: {a: [1]}\nwith: 1", "a: expected a text or a number");
    assert_mistake("values: {a: \"${ b }\", b: 1}\nwith: 1", "there is no \"b\"");
    assert_mistake("values: []\nwith: 1", "values: expected a map");
}

/* Whatever stands there: a mistake or JSON, and no more than it. */
static void any_text_is_drawn_or_told(void **state)
{
    (void)state;
    static const char parts[] = "${}{}(),'\". \n\\seqrunpick19-text";
    srandom(11);
    int drawn_count = 0;
    for (int i = 0; i < 20000; i++) {
        struct json_writer writer = {0};
        char text[40] = "${ ";
        size_t size = random() % 2 ? 3 : 0, end = size + (size_t)random() % 20;
        for (; size < end; size++)
            text[size] = parts[(size_t)random() % (sizeof(parts) - 1)];
        snprintf(text + size, sizeof(text) - size, "%s", random() % 2 ? " }" : "");
        json_open(&writer, '{');
        json_name(&writer, "with");
        json_string(&writer, text);
        json_close(&writer, '}');
        struct desk desk = desk_open(writer.text);
        if (yaml_check(desk.yaml, NULL)) {
            bench_values_next(desk.values);
            char *drawn = bench_template_draw(desk.template, desk.values);
            struct json *json = json_parse(drawn, strlen(drawn), NULL);
            if (!json)
                fail_msg("%s gives %s", writer.text, drawn);
            json_free(json);
            free(drawn);
            drawn_count++;
        }
        desk_close(&desk);
        json_writer_fini(&writer);
    }
    assert_true(drawn_count > 1000);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_not_generated_stays),
        cmocka_unit_test(alone_it_keeps_its_type_and_in_a_text_it_is_text),
        cmocka_unit_test(what_is_picked_is_escaped),
        cmocka_unit_test(values_are_drawn_once_a_request),
        cmocka_unit_test(chance_reaches_all_and_no_more),
        cmocka_unit_test(looking_uses_nothing_up),
        cmocka_unit_test(a_key_is_plain_text),
        cmocka_unit_test(mistakes_name_their_place_and_what_is_meant),
        cmocka_unit_test(any_text_is_drawn_or_told),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
