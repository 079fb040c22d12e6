/* CRC32C: the published values, and the tables against the processor's instruction. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <string.h>

#include "core/crc32c.h"

/* RFC 3720, B.4, and the check value of the catalogue of CRCs. */
static void published_values_come_out(void **state)
{
    (void)state;
    uint8_t bytes[32] = {0};
    assert_int_equal(crc32c(0, "", 0), 0);
    assert_int_equal(crc32c(0, "123456789", 9), 0xe3069283);
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x8a9136aa);
    memset(bytes, 0xff, sizeof(bytes));
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x62a8ab43);
    for (int i = 0; i < 32; i++)
        bytes[i] = (uint8_t)i;
    assert_int_equal(crc32c(0, bytes, sizeof(bytes)), 0x46dd794e);
    assert_int_equal(crc32c_tables(0, bytes, sizeof(bytes)), 0x46dd794e);
}

static void instruction_and_tables_agree_at_any_size_and_alignment(void **state)
{
    (void)state;
    uint8_t bytes[300];
    uint32_t random = 1;
    for (size_t i = 0; i < sizeof(bytes); i++) {
        random = random * 1664525u + 1013904223u;
        bytes[i] = (uint8_t)(random >> 24);
    }
    for (size_t from = 0; from < 9; from++) {
        for (size_t size = 0; size + from <= sizeof(bytes); size++) {
            uint32_t start = (uint32_t)(size * 2654435761u);
            assert_int_equal(crc32c(start, bytes + from, size),
                             crc32c_tables(start, bytes + from, size));
        }
    }
}

static void pieces_give_the_same_as_the_whole(void **state)
{
    (void)state;
    const char text[] = "a decision is made once, durable, and never changed";
    uint32_t whole = crc32c(0, text, sizeof(text));
    for (size_t cut = 0; cut <= sizeof(text); cut++) {
        assert_int_equal(crc32c(crc32c(0, text, cut), text + cut, sizeof(text) - cut), whole);
        assert_int_equal(crc32c_tables(crc32c_tables(0, text, cut), text + cut, sizeof(text) - cut),
                         whole);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(published_values_come_out),
        cmocka_unit_test(instruction_and_tables_agree_at_any_size_and_alignment),
        cmocka_unit_test(pieces_give_the_same_as_the_whole),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
