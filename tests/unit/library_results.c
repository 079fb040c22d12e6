/* Results and JSON texts, without any coordinator. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/library.h"
#include "core/check.h"

static struct troth_result result_of(const char *const *values, size_t count)
{
    struct troth_result result = {0};
    result_begin(&result);
    result_values(&result, (char *const *)values, count); /* only read */
    return result;
}

static void expect(struct troth_result *result, size_t call, size_t row, const char *column,
                   const char *expected)
{
    const char *got = troth_get(result, call, row, column);
    if (expected) {
        assert_non_null(got);
        assert_string_equal(got, expected);
    } else {
        assert_null(got);
    }
}

static void rows_are_read_column_by_column(void **state)
{
    (void)state;
    const char *values[] = {"[{\"a\": 1.50, \"b\": \"x \\\"y\\\"\"}, {\"a\": null, \"b\": [1, 2]}]",
                            "{\"id\": 12345678901234567890.10, \"on\": true}",
                            "\"plain\"",
                            "",
                            "null",
                            "[]",
                            "[1, 2]",
                            "{\"\": {\"deep\": 1}}"};
    struct troth_result result = result_of(values, 8);
    static const size_t rows[] = {2, 1, 1, 0, 0, 0, 1, 1};
    for (size_t i = 0; i < 8; i++)
        assert_int_equal(troth_rows(&result, i), rows[i]);
    assert_int_equal(troth_rows(&result, 8), 0);
    expect(&result, 0, 0, "a", "1.50");
    expect(&result, 0, 0, "b", "x \"y\"");
    expect(&result, 0, 1, "a", NULL);
    expect(&result, 0, 1, "b", "[1, 2]");
    expect(&result, 0, 2, "a", NULL);
    expect(&result, 0, 0, "c", NULL);
    expect(&result, 1, 0, "id", "12345678901234567890.10");
    expect(&result, 1, 0, "on", "true");
    expect(&result, 2, 0, "", "plain");
    expect(&result, 2, 0, "a", NULL);
    expect(&result, 3, 0, "", NULL);
    expect(&result, 4, 0, "", NULL);
    expect(&result, 6, 0, "", "[1, 2]");
    expect(&result, 7, 0, "", "{\"deep\": 1}");
    expect(&result, 9, 0, "", NULL);
    troth_result_clear(&result);
    assert_int_equal(troth_rows(&result, 0), 0);
    expect(&result, 0, 0, "a", NULL);
    troth_result_clear(&result);
    troth_result_clear(NULL);
}

static void what_a_peer_sends_need_not_be_json(void **state)
{
    (void)state;
    const char *values[] = {"{\"a\": ", "{\"a\": 1, \"a\": 2}"};
    struct troth_result result = result_of(values, 2);
    assert_int_equal(troth_rows(&result, 0), 0);
    expect(&result, 0, 0, "a", NULL);
    expect(&result, 1, 0, "a", NULL);
    assert_string_equal(result.values[0], "{\"a\": ");
    troth_result_clear(&result);
}

static void texts_are_never_null(void **state)
{
    (void)state;
    struct troth_result result = {0};
    result_begin(&result);
    const char *const texts[] = {result.id,
                                 result.problem.code,
                                 result.problem.message,
                                 result.problem.detail,
                                 result.problem.hint,
                                 result.problem.participant,
                                 result.problem.operation};
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        assert_string_equal(texts[i], "");
    assert_int_equal(result_fail(&result, TROTH_ABORTED, "40001", "could not serialize %s", "it"),
                     TROTH_ABORTED);
    assert_string_equal(result.problem.message, "could not serialize it");
    assert_true(result.problem.passing);
    result_code(&result, "insufficient_funds");
    assert_false(result.problem.passing);
    struct troth_result moved = {0};
    assert_int_equal(result_give(&moved, &result), TROTH_ABORTED);
    assert_null(result.memory);
    assert_string_equal(moved.problem.code, "insufficient_funds");
    assert_int_equal(result_give(NULL, &moved), TROTH_ABORTED);
    assert_null(moved.memory);
}

static void made(char *json, const char *expected)
{
    if (expected)
        assert_string_equal(json, expected);
    else
        assert_null(json);
    free(json);
}

static void json_is_made_by_a_format(void **state)
{
    (void)state;
    made(troth_json("{\"id\": %s, \"n\": %d}", "a\"b\n\xc3\xa4", -7),
         "{\"id\": \"a\\\"b\\n\xc3\xa4\", \"n\": -7}");
    made(troth_json("[%ld, %lld, %b, %b, %s, %j]", -1L, 9007199254740993LL, true, false, NULL,
                    "12.50"),
         "[-1, 9007199254740993, true, false, null, 12.50]");
    made(troth_json("%j", "{\"a\": [1]}"), "{\"a\": [1]}");
    made(troth_json("{\"percent\": \"5%%\"}"), "{\"percent\": \"5%\"}");
    char *long_text = xcalloc(5000, 1);
    memset(long_text, 'x', 4999);
    char *expected = xasprintf("{\"%s\": [\"%s\"]}", long_text, long_text);
    char *format = xasprintf("{\"%s\": [%%s]}", long_text);
    made(troth_json(format, long_text), expected);
    free(format);
    free(expected);
    free(long_text);
}

static void what_would_be_no_json_is_not_made(void **state)
{
    (void)state;
    made(troth_json("{\"id\": %s", "a"), NULL);
    made(troth_json("%s %s", "a", "b"), NULL);
    made(troth_json("{\"id\": %s}", "\xff"), NULL);
    made(troth_json("{\"id\": %s}", "\xed\xa0\x80"), NULL);
    made(troth_json("{\"id\": %f}", 1.5), NULL);
    made(troth_json("{\"id\": %"), NULL);
    made(troth_json(""), NULL);
    /* JSON that stands for a value is one value: it ends no member and begins none. */
    made(troth_json("{\"amount\": %j}", "1, \"role\": \"admin\""), NULL);
    made(troth_json("{\"amount\": %j}", ""), NULL);
    made(troth_json("{\"amount\": %j}", (char *)NULL), NULL);
    made(troth_json("{\"a\": 1, %s: 2}", "a"), NULL);
}

static void a_member_is_taken_out_of_an_object(void **state)
{
    (void)state;
    const char *object = "{\"a\": \"x\\ny\", \"b\": 1.50, \"c\": null, \"d\": {\"e\": [ ]}, "
                         "\"f\": false}";
    made(troth_json_get(object, "a"), "x\ny");
    made(troth_json_get(object, "b"), "1.50");
    made(troth_json_get(object, "c"), NULL);
    made(troth_json_get(object, "d"), "{\"e\": [ ]}");
    made(troth_json_get(object, "f"), "false");
    made(troth_json_get(object, "e"), NULL);
    made(troth_json_get("[1]", "a"), NULL);
    made(troth_json_get("nonsense", "a"), NULL);
    made(troth_json_get(NULL, "a"), NULL);
}

static void each_status_has_a_name(void **state)
{
    (void)state;
    for (int i = TROTH_OK; i <= TROTH_PENDING; i++)
        assert_string_not_equal(troth_status_name((enum troth_status)i), "?");
    assert_string_equal(troth_status_name((enum troth_status)99), "?");
    assert_string_equal(troth_version(), TROTH_VERSION);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(rows_are_read_column_by_column),
        cmocka_unit_test(what_a_peer_sends_need_not_be_json),
        cmocka_unit_test(texts_are_never_null),
        cmocka_unit_test(json_is_made_by_a_format),
        cmocka_unit_test(what_would_be_no_json_is_not_made),
        cmocka_unit_test(a_member_is_taken_out_of_an_object),
        cmocka_unit_test(each_status_has_a_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
