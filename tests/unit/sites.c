#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <cmocka.h>

#include "participant/sites.h"

enum { TEXT_BYTES = 8192 };

static void what_is_written_is_read_again(void **state)
{
    (void)state;
    Wire__Site sites[SITES_MOST], *pointers[SITES_MOST];
    char names[SITES_MOST][48], addresses[SITES_MOST][80], text[TEXT_BYTES];
    struct site_address list[SITES_MOST];
    for (int i = 0; i < SITES_MOST; i++) {
        snprintf(names[i], sizeof(names[i]), "%s%02d", "abcdefghijklmnopqrstuvwxyz_-AB", i);
        snprintf(addresses[i], sizeof(addresses[i]), "tcp://[%050d]:%d", i, 1000 + i);
        assert_int_equal(strlen(names[i]), LIMIT_NAME_BYTES);
        assert_int_equal(strlen(addresses[i]), LIMIT_ADDRESS_BYTES);
        wire__site__init(&sites[i]);
        sites[i].participant = names[i];
        sites[i].address = addresses[i];
        pointers[i] = &sites[i];
    }
    for (size_t count = 1; count <= SITES_MOST; count += 15) {
        assert_true(sites_valid(pointers, count));
        size_t size = sites_text_size(pointers, count);
        assert_true(size <= TEXT_BYTES);
        sites_text(text, pointers, count);
        assert_int_equal(strlen(text) + 1, size);
        assert_int_equal(sites_split(text, list), count);
        for (size_t i = 0; i < count; i++) {
            assert_string_equal(list[i].name, names[i]);
            assert_string_equal(list[i].address, addresses[i]);
        }
    }
    assert_false(sites_valid(pointers, 0));
    assert_false(sites_valid(pointers, SITES_MOST + 1));
    sites[1].participant = names[0];
    assert_false(sites_valid(pointers, 2));
    sites[1].participant = (char *)"";
    assert_false(sites_valid(pointers, 2));
    sites[1].participant = names[1];
    sites[1].address = (char *)"tcp://127.0.0.1:1,x=tcp://127.0.0.1:2";
    assert_false(sites_valid(pointers, 2));
    sites[1].address = (char *)"";
    assert_false(sites_valid(pointers, 2));
}

static void a_text_that_nobody_wrote_is_refused_whole(void **state)
{
    (void)state;
    static const char *const wrong[] = {
        "",       "=",     ",",          "a",        "a=",     "=b",    "a=b,",     ",a=b",
        "a=b,,c", "a=b,c", "a=b,a=c",    "a b=c",    "a=b c",  "a=b=c", "a=\x01",   "a=\x7f",
        "a=b\n",  "a.b=c", "a=\xc3\xa9", "a=b,c=d,", "a=b, c", "a=b\t", " a=b,c=d", "a=b,c=d,e=f,=",
    };
    struct site_address list[SITES_MOST];
    char text[TEXT_BYTES];
    for (size_t i = 0; i < sizeof(wrong) / sizeof(*wrong); i++) {
        snprintf(text, sizeof(text), "%s", wrong[i]);
        if (sites_split(text, list) != 0)
            fail_msg("\"%s\" was read", wrong[i]);
    }
    /* One too many, and one byte too many of each. */
    size_t at = 0;
    for (int i = 0; i <= SITES_MOST; i++)
        at += (size_t)snprintf(text + at, sizeof(text) - at, "%sn%d=a", i ? "," : "", i);
    assert_int_equal(sites_split(text, list), 0);
    snprintf(text, sizeof(text), "%0*d=a", LIMIT_NAME_BYTES + 1, 1);
    assert_int_equal(sites_split(text, list), 0);
    snprintf(text, sizeof(text), "a=%0*d", LIMIT_ADDRESS_BYTES + 1, 1);
    assert_int_equal(sites_split(text, list), 0);
    snprintf(text, sizeof(text), "a=%0*d", LIMIT_ADDRESS_BYTES, 1);
    assert_int_equal(sites_split(text, list), 1);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_written_is_read_again),
        cmocka_unit_test(a_text_that_nobody_wrote_is_refused_whole),
    };
    return cmocka_run_group_tests_name("sites", tests, NULL, NULL);
}
