/* The small things of core: map, timers, list, ids, errors. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/error.h"
#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"

/* ---- map ---------------------------------------------------------------------------------- */

struct entry {
    struct map_node node;
    uint64_t key;
    bool visited;
};

static bool match_entry(const struct map_node *node, const void *key)
{
    return CONTAINER(node, struct entry, node)->key == *(const uint64_t *)key;
}

static struct entry *find(struct map *map, uint64_t key, uint64_t hash)
{
    struct map_node *node = map_find(map, hash, match_entry, &key);
    return node ? CONTAINER(node, struct entry, node) : NULL;
}

static void map_finds_what_was_inserted_and_not_removed(void **state)
{
    (void)state;
    enum { COUNT = 5000 };
    struct map map = {0};
    struct entry *entries = xcalloc(COUNT, sizeof(*entries));
    assert_null(find(&map, 1, hash_u64(1)));
    for (uint64_t key = 0; key < COUNT; key++) {
        entries[key].key = key;
        map_insert(&map, &entries[key].node, hash_u64(key));
    }
    for (uint64_t key = 0; key < COUNT; key += 3)
        map_remove(&map, &entries[key].node);
    assert_int_equal(map.count, COUNT - (COUNT + 2) / 3);
    for (uint64_t key = 0; key < COUNT; key++)
        assert_ptr_equal(find(&map, key, hash_u64(key)), key % 3 ? &entries[key] : NULL);
    map_fini(&map);
    free(entries);
}

static void map_tells_keys_of_one_hash_apart(void **state)
{
    (void)state;
    struct map map = {0};
    struct entry entries[40] = {0};
    for (uint64_t key = 0; key < 40; key++) {
        entries[key].key = key;
        map_insert(&map, &entries[key].node, 7);
    }
    map_remove(&map, &entries[20].node);
    for (uint64_t key = 0; key < 40; key++)
        assert_ptr_equal(find(&map, key, 7), key == 20 ? NULL : &entries[key]);
    map_fini(&map);
}

static void map_walks_each_entry_once_even_while_they_are_removed(void **state)
{
    (void)state;
    struct map map = {0};
    struct entry entries[300] = {0};
    for (uint64_t key = 0; key < 300; key++)
        map_insert(&map, &entries[key].node, hash_u64(key % 100));
    size_t walked = 0;
    for (struct map_node *node = map_next(&map, NULL), *next; node; node = next) {
        struct entry *entry = CONTAINER(node, struct entry, node);
        assert_false(entry->visited);
        entry->visited = true;
        walked++;
        next = map_next(&map, node);
        map_remove(&map, node);
    }
    assert_int_equal(walked, 300);
    assert_int_equal(map.count, 0);
    assert_null(map_next(&map, NULL));
    map_fini(&map);
}

static void hashes_differ_where_inputs_do(void **state)
{
    (void)state;
    assert_int_not_equal(hash_bytes("a", 1), hash_bytes("b", 1));
    assert_int_not_equal(hash_bytes("a", 1), hash_bytes("a\0", 2));
    /* The low bits choose the bucket: numbers in a row must not share them. */
    size_t used[64] = {0}, full = 0;
    for (uint64_t i = 0; i < 640; i++)
        used[hash_u64(i) % 64]++;
    for (int i = 0; i < 64; i++)
        full += used[i] > 0;
    assert_true(full > 56);
}

/* ---- timers ------------------------------------------------------------------------------- */

static void timers_come_due_in_order(void **state)
{
    (void)state;
    enum { COUNT = 500 };
    struct timers timers = {0};
    struct timer list[COUNT] = {0};
    for (uint64_t i = 0; i < COUNT; i++)
        timers_set(&timers, &list[i], 1000 + i * 7919 % 257);
    for (size_t i = 0; i < COUNT; i += 5)
        timers_clear(&timers, &list[i]);
    for (size_t i = 1; i < COUNT; i += 5)
        timers_set(&timers, &list[i], 5000 - i); /* moved back */
    for (size_t i = 2; i < COUNT; i += 5)
        timers_set(&timers, &list[i], i); /* moved forward */
    uint64_t last_us = 0;
    size_t count = 0;
    for (struct timer *timer; (timer = timers_due(&timers, UINT64_MAX - 1)) != NULL; count++) {
        assert_true(timer->at_us >= last_us);
        assert_int_equal(timer->place, 0);
        assert_int_not_equal((timer - list) % 5, 0);
        last_us = timer->at_us;
    }
    assert_int_equal(count, COUNT - COUNT / 5);
    timers_fini(&timers);
}

static void timer_is_due_at_its_time_and_not_before(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct timer timer = {0};
    assert_int_equal(timers_next(&timers), UINT64_MAX);
    timers_set(&timers, &timer, 100);
    assert_int_equal(timers_next(&timers), 100);
    assert_null(timers_due(&timers, 99));
    assert_ptr_equal(timers_due(&timers, 100), &timer);
    assert_null(timers_due(&timers, 100));
    timers_fini(&timers);
}

static void clearing_a_timer_that_is_not_set_is_harmless(void **state)
{
    (void)state;
    struct timers timers = {0};
    struct timer timer = {0}, other = {0};
    timers_clear(&timers, &timer);
    timers_set(&timers, &timer, 1);
    timers_set(&timers, &other, 2);
    timers_clear(&timers, &timer);
    timers_clear(&timers, &timer);
    assert_int_equal(timers_next(&timers), 2);
    timers_fini(&timers);
}

/* ---- list --------------------------------------------------------------------------------- */

static void list_keeps_the_order_of_appends(void **state)
{
    (void)state;
    struct list list, nodes[4];
    list_init(&list);
    assert_true(list_empty(&list));
    for (int i = 0; i < 4; i++)
        list_append(&list, &nodes[i]);
    list_remove(&nodes[1]);
    list_remove(&nodes[1]); /* harmless */
    assert_true(list_empty(&nodes[1]));
    assert_ptr_equal(list.next, &nodes[0]);
    assert_ptr_equal(list.next->next, &nodes[2]);
    assert_ptr_equal(list.previous, &nodes[3]);
    list_remove(&nodes[0]);
    list_remove(&nodes[2]);
    list_remove(&nodes[3]);
    assert_true(list_empty(&list));
}

/* ---- ids ---------------------------------------------------------------------------------- */

static void gid_comes_back_from_its_text(void **state)
{
    (void)state;
    struct gid gid;
    gid_text text;
    gid_format(text, "shop", "c-1_A", (struct txid){UINT64_MAX, 42}, 63);
    assert_string_equal(text, "troth.shop.c-1_A.18446744073709551615.42.63");
    assert_true(gid_parse(text, &gid));
    assert_string_equal(gid.cluster, "shop");
    assert_string_equal(gid.coordinator, "c-1_A");
    assert_true(txid_equal(gid.tx, (struct txid){UINT64_MAX, 42}));
    assert_int_equal(gid.branch, 63);
    assert_true(gtrid_parse("shop.c1.7.1", &gid));
    assert_int_equal(gid.branch, -1);
}

static void text_that_no_formatter_prints_is_no_gid(void **state)
{
    (void)state;
    struct gid gid;
    static const char *const wrong[] = {"",
                                        "troth",
                                        "troth.",
                                        "Troth.shop.c1.1.1.0",
                                        "troth.shop.c1.1.1",
                                        "troth.shop.c1.1.1.",
                                        "troth.shop.c1.1.1.0 ",
                                        " troth.shop.c1.1.1.0",
                                        "troth.shop.c1.01.1.0",
                                        "troth.shop.c1.1.1.00",
                                        "troth.shop.c1.1.1.64",
                                        "troth.shop.c1.1.-1.0",
                                        "troth.shop.c1.+1.1.0",
                                        "troth.shop.c1.18446744073709551616.1.0",
                                        "troth.shop.c1.1.1.0.0",
                                        "troth..c1.1.1.0",
                                        "troth.sh op.c1.1.1.0",
                                        "troth.shop.c'1.1.1.0",
                                        "troth.123456789012345678901234567890123.c1.1.1.0"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        if (gid_parse(wrong[i], &gid))
            fail_msg("taken for a gid: %s", wrong[i]);
    }
    assert_false(gtrid_parse("shop.c1.7", &gid));
    assert_false(gtrid_parse("shop.c1.7.1.0", &gid));
}

static void longest_gid_fits_postgresql(void **state)
{
    (void)state;
    struct gid gid;
    gid_text text;
    const char *name = "12345678901234567890123456789012";
    gid_format(text, name, name, (struct txid){UINT64_MAX, UINT64_MAX}, LIMIT_BRANCHES - 1);
    assert_true(strlen(text) <= LIMIT_GID_BYTES);
    assert_true(gid_parse(text, &gid));
}

static void ids_are_ordered_by_epoch_then_seq(void **state)
{
    (void)state;
    assert_int_equal(txid_compare((struct txid){1, 9}, (struct txid){2, 1}), -1);
    assert_int_equal(txid_compare((struct txid){2, 1}, (struct txid){1, 9}), 1);
    assert_int_equal(txid_compare((struct txid){2, 1}, (struct txid){2, 2}), -1);
    assert_int_equal(txid_compare((struct txid){2, 2}, (struct txid){2, 2}), 0);
}

static void names_and_words_follow_their_rules(void **state)
{
    (void)state;
    assert_true(name_valid("a") && name_valid("A-b_9") && name_valid("9"));
    assert_true(name_valid("12345678901234567890123456789012"));
    assert_false(name_valid("") || name_valid("a.b") || name_valid("a b") ||
                 name_valid("\xc3\xa4"));
    assert_false(name_valid("123456789012345678901234567890123"));
    assert_true(word_valid("a") && word_valid("_a9"));
    assert_false(word_valid("") || word_valid("9a") || word_valid("a-b") || word_valid("a.b"));
    char word[LIMIT_WORD_BYTES + 2];
    memset(word, 'w', sizeof(word));
    word[LIMIT_WORD_BYTES + 1] = '\0';
    assert_false(word_valid(word));
    word[LIMIT_WORD_BYTES] = '\0';
    assert_true(word_valid(word));
}

/* ---- errors ------------------------------------------------------------------------------- */

static void error_has_up_to_three_lines(void **state)
{
    (void)state;
    struct error error = {0};
    char text[256];
    assert_false(error_set(&error, ERROR_IO, "no %s", "luck"));
    assert_string_equal(error_format(&error, text, sizeof(text)), "no luck");
    error_detail(&error, "detail %d", 1);
    error_hint(&error, "hint");
    assert_string_equal(error_format(&error, text, sizeof(text)),
                        "no luck\n  detail: detail 1\n  hint: hint");
    error_set(&error, ERROR_USAGE, "other");
    assert_string_equal(error_format(&error, text, sizeof(text)), "other");
    assert_int_equal(error.kind, ERROR_USAGE);
    error_clear(&error);
    assert_int_equal(error.kind, ERROR_NONE);
}

static void error_text_that_is_too_long_is_cut(void **state)
{
    (void)state;
    struct error error = {0};
    char longest[2048];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    error_set(&error, ERROR_IO, "%s", longest);
    assert_int_equal(strlen(error.message), sizeof(error.message) - 1);
    assert_false(error_set(NULL, ERROR_IO, "nobody wants to know"));
}

static void nearest_word_is_what_a_person_most_likely_meant(void **state)
{
    (void)state;
    static const char *const words[] = {"listen", "journal", "timeouts", "security"};
    assert_string_equal(error_nearest("lisetn", words, 4), "listen");
    assert_string_equal(error_nearest("Journal", words, 4), "journal");
    assert_string_equal(error_nearest("timeout", words, 4), "timeouts");
    assert_null(error_nearest("postgres", words, 4));
    assert_null(error_nearest("", words, 4));
    char longest[200];
    memset(longest, 'x', sizeof(longest) - 1);
    longest[sizeof(longest) - 1] = '\0';
    assert_null(error_nearest(longest, words, 4));
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(map_finds_what_was_inserted_and_not_removed),
        cmocka_unit_test(map_tells_keys_of_one_hash_apart),
        cmocka_unit_test(map_walks_each_entry_once_even_while_they_are_removed),
        cmocka_unit_test(hashes_differ_where_inputs_do),
        cmocka_unit_test(timers_come_due_in_order),
        cmocka_unit_test(timer_is_due_at_its_time_and_not_before),
        cmocka_unit_test(clearing_a_timer_that_is_not_set_is_harmless),
        cmocka_unit_test(list_keeps_the_order_of_appends),
        cmocka_unit_test(gid_comes_back_from_its_text),
        cmocka_unit_test(text_that_no_formatter_prints_is_no_gid),
        cmocka_unit_test(longest_gid_fits_postgresql),
        cmocka_unit_test(ids_are_ordered_by_epoch_then_seq),
        cmocka_unit_test(names_and_words_follow_their_rules),
        cmocka_unit_test(error_has_up_to_three_lines),
        cmocka_unit_test(error_text_that_is_too_long_is_cut),
        cmocka_unit_test(nearest_word_is_what_a_person_most_likely_meant),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
