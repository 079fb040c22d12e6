#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/json.h"

static struct json *parse(const char *text)
{
    struct error error = {0};
    struct json *root = json_parse(text, strlen(text), &error);
    if (!root)
        fail_msg("%s: %s", text, error.message);
    return root;
}

static void refuses(const char *text, size_t size, const char *part)
{
    struct error error = {0};
    struct json *root = json_parse(text, size, &error);
    if (root) {
        json_free(root);
        fail_msg("accepted: %s", text);
    }
    assert_int_equal(error.kind, ERROR_USAGE);
    if (!strstr(error.message, part))
        fail_msg("\"%s\" does not tell \"%s\"", error.message, part);
}

static void scalars_are_parsed(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        enum json_type type;
    } cases[] = {{"null", JSON_NULL},   {" true ", JSON_TRUE}, {"false\n", JSON_FALSE},
                 {"0", JSON_NUMBER},    {"-0", JSON_NUMBER},   {"-12.50e+3", JSON_NUMBER},
                 {"1E5", JSON_NUMBER},  {"\"\"", JSON_STRING}, {"[]", JSON_ARRAY},
                 {"\t{ }", JSON_OBJECT}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct json *root = parse(cases[i].text);
        assert_int_equal(root->type, cases[i].type);
        json_free(root);
    }
}

static void numbers_keep_their_text(void **state)
{
    (void)state;
    struct json *root = parse("[0.1000000000000000000000000001, 123456789012345678901234567890]");
    assert_string_equal(root->items[0].text, "0.1000000000000000000000000001");
    assert_string_equal(root->items[1].text, "123456789012345678901234567890");
    json_free(root);
}

static void strings_are_unescaped(void **state)
{
    (void)state;
    struct json *root =
        parse("\"a\\\"\\\\\\/\\b\\f\\n\\r\\t\\u0041\\u00e9\\u20ac\\ud83d\\ude00é\"");
    assert_string_equal(root->text, "a\"\\/\b\f\n\r\tAé€😀é");
    assert_int_equal(root->text_size, strlen(root->text));
    json_free(root);
}

static void members_keep_their_order_and_are_found(void **state)
{
    (void)state;
    struct json *root = parse("{\"b\":1,\"a\":{\"c\":[1, 2,{}]},\"\":null}");
    assert_int_equal(root->count, 3);
    assert_string_equal(root->members[0].name, "b");
    assert_string_equal(root->members[1].name, "a");
    assert_string_equal(root->members[2].name, "");
    const struct json *list = json_member(json_member(root, "a"), "c");
    assert_non_null(list);
    assert_int_equal(list->count, 3);
    assert_int_equal(list->items[2].type, JSON_OBJECT);
    assert_null(json_member(root, "c"));
    assert_null(json_member(list, "c"));
    assert_null(json_member(NULL, "c"));
    json_free(root);
}

static void raw_is_the_text_of_the_value_alone(void **state)
{
    (void)state;
    struct json *root = parse("{\"a\" : [1, {\"x\": 2}] , \"b\":\"\\n\"}");
    assert_int_equal(root->members[0].value.raw_size, strlen("[1, {\"x\": 2}]"));
    assert_memory_equal(root->members[0].value.raw, "[1, {\"x\": 2}]", 13);
    assert_memory_equal(root->members[1].value.raw, "\"\\n\"", root->members[1].value.raw_size);
    json_free(root);
}

static void bad_text_is_refused_with_its_place(void **state)
{
    (void)state;
    static const struct {
        const char *text, *part;
    } cases[] = {
        {"", "line 1, column 1: expected a value, found the end"},
        {"{\"a\":1,\n  \"b\":}", "line 2, column 7: expected a value, found '}'"},
        {"{\"é\":x}", "line 1, column 6: expected a value, found 'x'"},
        {"{\"a\" 1}", "expected ':'"},
        {"{a:1}", "expected a name in double quotes, found 'a'"},
        {"{\"a\":1,}", "expected a name in double quotes, found '}'"},
        {"[1,]", "expected a value, found ']'"},
        {"[1 2]", "expected ',' or ']', found '2'"},
        {"[1", "expected ',' or ']', found the end"},
        {"{\"a\":1", "expected ',' or '}'"},
        {"1 2", "column 3: expected nothing more after the value, found '2'"},
        {"01", "must not begin with 0"},
        {"+1", "expected a value, found '+'"},
        {"1.", "expected a digit"},
        {".5", "expected a value"},
        {"-", "expected a digit"},
        {"1e", "expected a digit"},
        {"NaN", "expected a value"},
        {"nul", "expected a value"},
        {"'a'", "expected a value, found '''"},
        {"\"a", "column 1: a string that does not end"},
        {"\"a\\\"", "a string that does not end"},
        {"\"a\\", "a string that does not end"},
        {"\"a\nb\"", "column 3: a control character"},
        {"\"\\x\"", "unknown escape"},
        {"\"\\u12g4\"", "four hexadecimal digits"},
        {"\"\\u12\"", "four hexadecimal digits"},
        {"\"\\u0000\"", "NUL"},
        {"\"\\ud800\"", "surrogate"},
        {"\"\\ud800\\n\"", "surrogate"},
        {"\"\\ud800\\u0041\"", "surrogate"},
        {"\"\\ude00\"", "surrogate"},
        {"\"\xff\"", "UTF-8"},
        {"\"\xc0\xaf\"", "UTF-8"},
        {"\"\xed\xa0\x80\"", "UTF-8"},
        {"\"\xf4\x90\x80\x80\"", "UTF-8"},
        {"\"\xe2\x82\"", "UTF-8"},
        {"{\"a\":1,\"b\":2,\"a\":3}", "line 1, column 18: the name \"a\" is in the object twice"},
        {"{\"a\":1,\"\\u0061\":3}", "twice"},
        {"\xc2\xa0 1", "found the byte 0xc2"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        refuses(cases[i].text, strlen(cases[i].text), cases[i].part);
    refuses("1\0", 2, "found the byte 0x00");
    refuses("\"\0\"", 3, "a control character");
}

static void nesting_ends_at_64(void **state)
{
    (void)state;
    char text[2 * 65 + 1];
    for (int depth = 64; depth <= 65; depth++) {
        memset(text, '[', (size_t)depth);
        memset(text + depth, ']', (size_t)depth);
        text[2 * depth] = '\0';
        if (depth == 64)
            json_free(parse(text));
        else
            refuses(text, strlen(text), "column 65: more than 64 levels");
    }
}

static void a_written_text_is_parsed_back(void **state)
{
    (void)state;
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "a \"b\"\n");
    json_string(&writer, "\x01\t\\é");
    json_name(&writer, "list");
    json_open(&writer, '[');
    json_integer(&writer, INT64_MIN);
    json_unsigned(&writer, UINT64_MAX);
    json_boolean(&writer, true);
    json_string(&writer, NULL);
    json_open(&writer, '{');
    json_close(&writer, '}');
    json_raw(&writer, "1.50");
    json_close(&writer, ']');
    json_name(&writer, "bytes");
    json_string_sized(&writer, "x\xffy", 3);
    json_close(&writer, '}');
    assert_string_equal(writer.text,
                        "{\"a \\\"b\\\"\\n\":\"\\u0001\\t\\\\é\",\"list\":[-9223372036854775808,"
                        "18446744073709551615,true,null,{},1.50],\"bytes\":\"x\xef\xbf\xbdy\"}");
    struct json *root = parse(writer.text);
    assert_string_equal(root->members[0].value.text, "\x01\t\\é");
    assert_string_equal(json_member(root, "list")->items[5].text, "1.50");
    json_free(root);
    json_writer_fini(&writer);
}

static void many_names_are_checked_for_duplicates(void **state)
{
    (void)state;
    struct json_writer writer = {0};
    char name[16];
    json_open(&writer, '{');
    for (int i = 0; i < 5000; i++) {
        snprintf(name, sizeof(name), "n%d", i);
        json_name(&writer, name);
        json_integer(&writer, i);
    }
    json_name(&writer, "n17");
    json_integer(&writer, 0);
    json_close(&writer, '}');
    refuses(writer.text, writer.size, "the name \"n17\" is in the object twice");
    json_writer_fini(&writer);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(scalars_are_parsed),
        cmocka_unit_test(numbers_keep_their_text),
        cmocka_unit_test(strings_are_unescaped),
        cmocka_unit_test(members_keep_their_order_and_are_found),
        cmocka_unit_test(raw_is_the_text_of_the_value_alone),
        cmocka_unit_test(bad_text_is_refused_with_its_place),
        cmocka_unit_test(nesting_ends_at_64),
        cmocka_unit_test(a_written_text_is_parsed_back),
        cmocka_unit_test(many_names_are_checked_for_duplicates),
    };
    return cmocka_run_group_tests_name("json", tests, NULL, NULL);
}
