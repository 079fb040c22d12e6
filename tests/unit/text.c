#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "core/text.h"

static void plain_texts_are_utf8_without_control_characters(void **state)
{
    (void)state;
    static const char *const plain[] = {"",
                                        "a",
                                        "lost its disk",
                                        "Grüße, 世界 \xf0\x9f\x98\x80",
                                        "\xc2\xa0",
                                        "\xef\xbf\xbf",
                                        "\xf4\x8f\xbf\xbf"};
    static const char *const other[] = {"\n",
                                        "a\tb",
                                        "\x1b[31mred",
                                        "\x7f",
                                        "\xc2\x80",
                                        "\xc2\x9f",
                                        "\xff",
                                        "\x80",
                                        "a\xc3",
                                        "\xc0\xaf",
                                        "\xed\xa0\x80",
                                        "\xe0\x80\x80",
                                        "\xe2\x82",
                                        "\xf0\x80\x80\x80",
                                        "\xf4\x90\x80\x80",
                                        "\xf8\x88\x80\x80\x80"};
    for (size_t i = 0; i < sizeof(plain) / sizeof(*plain); i++) {
        if (!text_plain(plain[i]))
            fail_msg("\"%s\" is plain", plain[i]);
    }
    for (size_t i = 0; i < sizeof(other) / sizeof(*other); i++) {
        if (text_plain(other[i]))
            fail_msg("text %zu is not plain", i);
    }
}

static void times_are_those_of_the_calendar(void **state)
{
    (void)state;
    static const struct {
        int64_t us;
        const char *text;
    } cases[] = {{0, "1970-01-01T00:00:00Z"},
                 {INT64_C(951782399999999), "2000-02-28T23:59:59Z"},
                 {INT64_C(951782400000000), "2000-02-29T00:00:00Z"},
                 {INT64_C(951868800000000), "2000-03-01T00:00:00Z"},
                 {INT64_C(1700000000000000), "2023-11-14T22:13:20Z"},
                 {INT64_C(4107542400000000), "2100-03-01T00:00:00Z"},
                 {INT64_C(253402300799000000), "9999-12-31T23:59:59Z"},
                 {INT64_C(253402300800000000), "-"},
                 {-1, "-"},
                 {INT64_MIN, "-"},
                 {INT64_MAX, "-"}};
    text_time text;
    for (size_t i = 0; i < sizeof(cases) / sizeof(*cases); i++)
        assert_string_equal(text_time_format(text, cases[i].us), cases[i].text);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(plain_texts_are_utf8_without_control_characters),
        cmocka_unit_test(times_are_those_of_the_calendar),
    };
    return cmocka_run_group_tests_name("text", tests, NULL, NULL);
}
