/* YAML files: values, places of mistakes, and what is refused. */
#include <inttypes.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/yaml.h"

static struct yaml *load(const char *text)
{
    struct error error = {0};
    struct yaml *yaml = yaml_load_text("t.yaml", text, strlen(text), &error);
    if (!yaml)
        fail_msg("%s", error.message);
    return yaml;
}

static void assert_load_fails(const char *text, size_t size, const char *message)
{
    struct error error = {0};
    assert_null(yaml_load_text("t.yaml", text, size, &error));
    assert_int_equal(error.kind, ERROR_USAGE);
    if (!strstr(error.message, message))
        fail_msg("\"%s\" does not say \"%s\"", error.message, message);
}

/* Loads, and expects exactly one mistake with this text. */
static void assert_one_mistake(const char *text, const char *message)
{
    struct error error = {0};
    struct yaml *yaml = load(text);
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message, message);
    yaml_free(yaml);
}

static void values_are_read_and_missing_ones_fall_back(void **state)
{
    (void)state;
    struct yaml *yaml = load("name: shop\nport: 7400\non: true\nwait: 250ms\nkind: two\n"
                             "quoted: \"a b\"\nlist: [1, 2]\nmap: {a: 1}\n");
    const struct yaml_node *root = yaml_root(yaml);
    static const char *const words[] = {"one", "two", NULL};
    assert_string_equal(yaml_string(yaml, yaml_get(root, "name"), NULL), "shop");
    assert_int_equal(yaml_integer(yaml, yaml_get(root, "port"), 1, 65535, 0), 7400);
    assert_true(yaml_boolean(yaml, yaml_get(root, "on"), false));
    assert_int_equal(yaml_duration_us(yaml, yaml_get(root, "wait"), 0), 250000);
    assert_int_equal(yaml_word(yaml, yaml_get(root, "kind"), words, 0), 1);
    assert_string_equal(yaml_string(yaml, yaml_get(root, "quoted"), NULL), "a b");
    assert_int_equal(yaml_count(yaml_get(root, "list")), 2);
    assert_true(yaml_is_sequence(yaml_get(root, "list")));
    assert_true(yaml_is_map(yaml_get(root, "map")));
    assert_string_equal(yaml_key_at(root, 1), "port");
    assert_int_equal(yaml_line(yaml_get(root, "wait")), 4);
    const struct yaml_node *missing = yaml_get(root, "nothing");
    assert_null(missing);
    assert_string_equal(yaml_string(yaml, missing, "x"), "x");
    assert_int_equal(yaml_integer(yaml, missing, 1, 2, 9), 9);
    assert_int_equal(yaml_duration_us(yaml, missing, 7), 7);
    assert_null(yaml_get(missing, "deeper"));
    assert_null(yaml_item(missing, 0));
    assert_true(yaml_check(yaml, NULL));
    yaml_free(yaml);
}

static void every_unit_of_a_duration_is_known(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t us;
    } cases[] = {{"250us", 250},     {"20ms", 20000},      {"5s", 5000000}, {"3m", 180000000},
                 {"2h", 7200000000}, {"7d", 604800000000}, {"0s", 0}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        uint64_t us = 1;
        assert_true(duration_parse(cases[i].text, &us));
        assert_int_equal(us, cases[i].us);
    }
    static const char *const wrong[] = {
        "", "5", "s", "-5s", "5 s", "1.5s", "5S", "5sec", "99999999999999999999s", "36501d"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        uint64_t us;
        if (duration_parse(wrong[i], &us))
            fail_msg("\"%s\" was taken for a duration", wrong[i]);
    }
}

static void a_duration_without_unit_says_what_to_write(void **state)
{
    (void)state;
    struct error error = {0};
    struct yaml *yaml = load("wait: 5\n");
    assert_int_equal(yaml_duration_us(yaml, yaml_get(yaml_root(yaml), "wait"), 3), 3);
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message, "t.yaml:1:7: wait: 5 has no unit: write 5ms, 5s or 5m");
    yaml_free(yaml);
}

static void an_unknown_key_is_told_with_its_place_and_the_nearest_known_one(void **state)
{
    (void)state;
    static const char *const keys[] = {"cluster", "journal", NULL};
    struct error error = {0};
    struct yaml *yaml = load("cluster: a\n  \njornal: b\n");
    assert_true(yaml_map(yaml, yaml_root(yaml), keys));
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message,
                        "t.yaml:3:1: unknown key \"jornal\"; did you mean \"journal\"?");
    yaml_free(yaml);
}

static void all_mistakes_are_told_at_once_in_the_order_of_the_file(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", "b", "c", NULL};
    struct error error = {0};
    struct yaml *yaml = load("a: x\nb: [1]\nb: 2\nzzzzzzz: 1\n");
    const struct yaml_node *root = yaml_root(yaml);
    yaml_map(yaml, root, keys);
    yaml_need(yaml, root, "c");
    yaml_string(yaml, yaml_get(root, "b"), NULL);
    yaml_integer(yaml, yaml_get(root, "a"), 0, 9, 0);
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message, "t.yaml: 5 mistakes");
    assert_string_equal(error.detail,
                        "t.yaml:1:1: the key \"c\" is missing here"
                        "\n          t.yaml:1:4: a: expected a whole number, not \"x\""
                        "\n          t.yaml:2:4: b: expected text, not a list"
                        "\n          t.yaml:3:1: key \"b\" is given twice; the first is in line 2"
                        "\n          t.yaml:4:1: unknown key \"zzzzzzz\"");
    yaml_free(yaml);
}

static void more_mistakes_than_fit_are_counted(void **state)
{
    (void)state;
    struct error error = {0};
    struct yaml *yaml = load("a: 1\n");
    for (int i = 0; i < 500; i++)
        yaml_mistake(yaml, yaml_root(yaml), "mistake %d", i);
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message, "t.yaml: 500 mistakes");
    const char *last = strrchr(error.detail, '\n');
    assert_non_null(last);
    int more = 0;
    assert_int_equal(sscanf(last, "\n          and %d more", &more), 1);
    assert_true(more > 400 && more < 500);
    yaml_free(yaml);
}

static void wrong_types_are_told(void **state)
{
    (void)state;
    struct error error = {0};
    static const char *const words[] = {"text", "json", NULL};
    struct yaml *yaml = load("a:\nb: yes\nc: 70000\nd: jsn\ne: '5'\nf: 99999999999999999999\n");
    const struct yaml_node *root = yaml_root(yaml);
    assert_string_equal(yaml_string(yaml, yaml_get(root, "a"), "was"), "was");
    assert_true(yaml_boolean(yaml, yaml_get(root, "b"), true));
    assert_int_equal(yaml_integer(yaml, yaml_get(root, "c"), 1, 65535, 3), 3);
    assert_int_equal(yaml_word(yaml, yaml_get(root, "d"), words, 0), 0);
    assert_int_equal(yaml_integer(yaml, yaml_get(root, "e"), 0, 9, 4), 4);
    assert_int_equal(yaml_integer(yaml, yaml_get(root, "f"), 0, INT64_MAX, 4), 4);
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.detail,
                        "t.yaml:1:3: a: has no value; expected text"
                        "\n          t.yaml:2:4: b: expected true or false, not \"yes\""
                        "\n          t.yaml:3:4: c: 70000 is not from 1 to 65535"
                        "\n          t.yaml:4:4: d: \"jsn\" is not one of text, json; did you mean "
                        "\"json\"?"
                        "\n          t.yaml:5:4: e: expected a whole number, not \"5\""
                        "\n          t.yaml:6:4: f: 99999999999999999999 is not from 0 to "
                        "9223372036854775807");
    yaml_free(yaml);
}

static void a_list_where_a_map_is_needed_is_one_mistake(void **state)
{
    (void)state;
    static const char *const keys[] = {"a", NULL};
    struct error error = {0};
    struct yaml *yaml = load("- a\n- b\n");
    assert_false(yaml_map(yaml, yaml_root(yaml), keys));
    assert_null(yaml_need(yaml, yaml_root(yaml), "a"));
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message, "t.yaml:1:1: value: expected a map (key: value)");
    yaml_free(yaml);
}

static void what_is_yaml_but_not_supported_is_a_mistake(void **state)
{
    (void)state;
    assert_one_mistake("a: 1\na: 2\n",
                       "t.yaml:2:1: key \"a\" is given twice; the first is in line 1");
    assert_one_mistake("a: &x 1\n", "t.yaml:1:4: anchors and aliases (&x) are not supported: "
                                    "write the value out");
    assert_one_mistake("a: *x\n", "t.yaml:1:4: anchors and aliases (*x) are not supported: "
                                  "write the value out");
    assert_one_mistake("a: !!str 1\n", "t.yaml:1:4: tags (tag:yaml.org,2002:str) are not "
                                       "supported: leave it out");
    assert_one_mistake("a: 1\n---\nb: 2\n",
                       "t.yaml:2:1: a second document begins here; one file holds one");
    assert_one_mistake("? [a]\n: 1\n", "t.yaml:1:3: a key must be a plain word");
    assert_one_mistake("a: \"x\\0y\"\n", "t.yaml:1:4: a value may not contain a zero byte");
}

static void what_is_not_yaml_is_refused_with_its_place(void **state)
{
    (void)state;
    assert_load_fails("", 0, "t.yaml: the file is empty");
    assert_load_fails("# only words\n", 13, "t.yaml: the file is empty");
    assert_load_fails("a: 1\n\tb: 2\n", 11, "t.yaml:2:1: found a tab character");
    assert_load_fails("\ta: 1\n", 6, "t.yaml:1:1: found character that cannot start any token");
    assert_load_fails("a: b: c\n", 8, "t.yaml:1:5: mapping values are not allowed");
    assert_load_fails("a: [1, 2\n", 9, "t.yaml:2:1: ");
    assert_load_fails("a: 1\nb: \xff\xfe\n", 11, "t.yaml:2:4: not UTF-8 (byte 0xff)");
    assert_load_fails("a: \x01\n", 5, "t.yaml:1:4: a control character (byte 0x01)");
}

static void a_bare_expression_in_braces_is_explained(void **state)
{
    (void)state;
    static const char *const texts[] = {"a: {b: ${ x }}\n", "\xc3\xa4: 1\na: [1, ${ x }]\n"};
    for (int i = 0; i < 2; i++) {
        struct error error = {0};
        assert_null(yaml_load_text("t.yaml", texts[i], strlen(texts[i]), &error));
        assert_string_equal(error.hint, "what holds ${ } stands in quotes here: \"${ ... }\"");
    }
    struct error error = {0};
    static const char other[] = "a: \"${ x }\"\nb: {c: {d}\n";
    assert_null(yaml_load_text("t.yaml", other, sizeof(other) - 1, &error));
    assert_string_equal(error.hint, "");
}

static void deep_nesting_is_refused(void **state)
{
    (void)state;
    char text[200];
    memset(text, '[', 100);
    memset(text + 100, ']', 100);
    assert_load_fails(text, sizeof(text), "t.yaml:1:65: nested more than 64 deep");
}

static void a_large_file_is_refused(void **state)
{
    (void)state;
    size_t size = LIMIT_FILE_BYTES + 1;
    char *text = xmalloc(size);
    memset(text, '#', size);
    assert_load_fails(text, size, "larger than 1024 KiB");
    free(text);
}

static void a_directory_and_a_missing_file_are_told_apart(void **state)
{
    (void)state;
    struct error error = {0};
    assert_null(yaml_load("/", &error));
    assert_string_equal(error.message, "/: is a directory, not a file");
    assert_null(yaml_load("/nowhere/x.yaml", &error));
    assert_string_equal(error.message, "/nowhere/x.yaml: can't be read: No such file or directory");
}

static void a_file_on_disk_is_loaded(void **state)
{
    (void)state;
    char path[] = "/tmp/troth-yaml-XXXXXX";
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_int_equal(write(file, "a: 1\n", 5), 5);
    close(file);
    struct error error = {0};
    struct yaml *yaml = yaml_load(path, &error);
    unlink(path);
    assert_non_null(yaml);
    assert_int_equal(yaml_integer(yaml, yaml_get(yaml_root(yaml), "a"), 0, 9, 0), 1);
    yaml_free(yaml);
}

static void control_characters_of_a_value_are_escaped_in_its_mistake(void **state)
{
    (void)state;
    struct error error = {0};
    struct yaml *yaml = load("a: \"\\e[31m\\u009b\"\n");
    yaml_integer(yaml, yaml_get(yaml_root(yaml), "a"), 0, 9, 0);
    assert_false(yaml_check(yaml, &error));
    assert_string_equal(error.message,
                        "t.yaml:1:4: a: expected a whole number, not \"\\x1b[31m\\x9b\"");
    yaml_free(yaml);
}

static void values_become_json_with_the_digits_that_were_written(void **state)
{
    (void)state;
    struct yaml *yaml =
        load("{s: abc, q: '5', n: 10.50, neg: -3e2, plus: +7, zeros: 007, half: .5, point: 5.,\n"
             " hex: 0x1F, oct: 0o17, t: true, f: False, z: ~, none: , l: [1, 'x\"y', {}],\n"
             " inf: .inf, date: 2026-11-21, u: \"\\u00e9\"}\n");
    char *json = yaml_to_json(yaml_root(yaml));
    assert_string_equal(json, "{\"s\":\"abc\",\"q\":\"5\",\"n\":10.50,\"neg\":-3e2,\"plus\":7,"
                              "\"zeros\":7,\"half\":0.5,\"point\":5,\"hex\":31,\"oct\":15,"
                              "\"t\":true,\"f\":false,\"z\":null,\"none\":null,"
                              "\"l\":[1,\"x\\\"y\",{}],\"inf\":\".inf\",\"date\":\"2026-11-21\","
                              "\"u\":\"\xc3\xa9\"}");
    free(json);
    yaml_free(yaml);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values_are_read_and_missing_ones_fall_back),
        cmocka_unit_test(every_unit_of_a_duration_is_known),
        cmocka_unit_test(a_duration_without_unit_says_what_to_write),
        cmocka_unit_test(an_unknown_key_is_told_with_its_place_and_the_nearest_known_one),
        cmocka_unit_test(all_mistakes_are_told_at_once_in_the_order_of_the_file),
        cmocka_unit_test(more_mistakes_than_fit_are_counted),
        cmocka_unit_test(wrong_types_are_told),
        cmocka_unit_test(a_list_where_a_map_is_needed_is_one_mistake),
        cmocka_unit_test(what_is_yaml_but_not_supported_is_a_mistake),
        cmocka_unit_test(what_is_not_yaml_is_refused_with_its_place),
        cmocka_unit_test(a_bare_expression_in_braces_is_explained),
        cmocka_unit_test(deep_nesting_is_refused),
        cmocka_unit_test(a_large_file_is_refused),
        cmocka_unit_test(a_directory_and_a_missing_file_are_told_apart),
        cmocka_unit_test(a_file_on_disk_is_loaded),
        cmocka_unit_test(control_characters_of_a_value_are_escaped_in_its_mistake),
        cmocka_unit_test(values_become_json_with_the_digits_that_were_written),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
