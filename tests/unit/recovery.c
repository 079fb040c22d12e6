/* The verdict table, the memory of the journal behind it, and the idempotency keys. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/keys.h"
#include "coordinator/recovery.h"

static const int64_t ms_us = 1000; /* of an epoch */
static const int64_t second_us = 1000 * 1000;

/* The rule once more, in words instead of a table. */
static enum verdict expected(enum presence presence, bool retained, enum reach reach)
{
    if (reach == REACH_FUTURE)
        return VERDICT_IS_HOLD;
    switch (presence) {
    case PRESENCE_NONE:
        if (retained)
            return VERDICT_IS_COMMIT;
        return reach == REACH_KNOWN ? VERDICT_IS_ABORT : VERDICT_IS_HOLD;
    case PRESENCE_COMMITTED:
        return VERDICT_IS_COMMIT;
    case PRESENCE_ABORTED:
        return retained ? VERDICT_IS_HOLD : VERDICT_IS_ABORT;
    default:
        return retained ? VERDICT_IS_HOLD : VERDICT_IS_WAIT;
    }
}

static void every_verdict_follows_the_rule(void **unused)
{
    (void)unused;
    int told[5] = {0};
    for (int presence = 0; presence < PRESENCES; presence++) {
        for (int retained = 0; retained < 2; retained++) {
            for (int reach = 0; reach < REACHES; reach++) {
                enum verdict verdict =
                    recovery_verdict((enum presence)presence, retained, (enum reach)reach);
                assert_in_range(verdict, VERDICT_IS_COMMIT, VERDICT_IS_HOLD);
                assert_int_equal(verdict,
                                 expected((enum presence)presence, retained, (enum reach)reach));
                told[verdict]++;
            }
        }
    }
    /* Abort is presumed in one case alone; the other aborts were decided. */
    assert_int_equal(told[VERDICT_IS_ABORT], 3);
}

static void a_fresh_journal_holds_everything_older_than_itself(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    uint64_t epoch = recovery_begin(&recovery, 1700 * ms_us);
    assert_int_equal(epoch, 1700);
    struct txid id = recovery_next_id(&recovery);
    assert_int_equal(id.seq, 1);
    assert_int_equal(recovery_judge(&recovery, id, PRESENCE_NONE), VERDICT_IS_ABORT);
    assert_int_equal(recovery_judge(&recovery, (struct txid){1699, 1}, PRESENCE_NONE),
                     VERDICT_IS_HOLD);
    recovery_fini(&recovery);
}

static void ids_that_were_not_given_out_are_held(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    recovery_begin(&recovery, 1700 * ms_us);
    recovery_next_id(&recovery);
    assert_int_equal(recovery_reach(&recovery, (struct txid){1700, 0}), REACH_FUTURE);
    assert_int_equal(recovery_reach(&recovery, (struct txid){1700, 1}), REACH_KNOWN);
    assert_int_equal(recovery_reach(&recovery, (struct txid){1700, 2}), REACH_FUTURE);
    assert_int_equal(recovery_reach(&recovery, (struct txid){1701, 1}), REACH_FUTURE);
    recovery_fini(&recovery);
}

static void an_epoch_is_never_used_twice(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    recovery_started(&recovery, 1800);
    /* A clock that went back. */
    assert_int_equal(recovery_begin(&recovery, 1700 * ms_us), 1801);
    assert_int_equal(recovery.low_water.epoch, 1800);
    recovery_fini(&recovery);
    recovery = (struct recovery){0};
    recovery_started(&recovery, 1600);
    assert_int_equal(recovery_begin(&recovery, 1700 * ms_us), 1700);
    /* An older epoch that is within the journal's memory: not known there is never decided. */
    assert_int_equal(recovery_judge(&recovery, (struct txid){1600, 7}, PRESENCE_NONE),
                     VERDICT_IS_ABORT);
    recovery_fini(&recovery);
}

static void an_epoch_that_the_journal_never_saw_is_held(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    recovery_started(&recovery, 1600);
    recovery_started(&recovery, 1600);
    recovery_started(&recovery, 1650);
    recovery_begin(&recovery, 1700 * ms_us);
    assert_int_equal(recovery.epoch_count, 3);
    for (uint64_t epoch = 1600; epoch < 1700; epoch++) {
        struct txid id = {epoch, 7};
        bool seen = epoch == 1600 || epoch == 1650;
        assert_int_equal(recovery_reach(&recovery, id), seen ? REACH_KNOWN : REACH_FORGOTTEN);
        assert_int_equal(recovery_judge(&recovery, id, PRESENCE_NONE),
                         seen ? VERDICT_IS_ABORT : VERDICT_IS_HOLD);
    }
    assert_int_equal(recovery_reach(&recovery, (struct txid){1701, 1}), REACH_FUTURE);
    recovery_fini(&recovery);
}

static void epochs_below_the_mark_and_beyond_the_limit_are_forgotten(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    for (uint64_t epoch = 1; epoch <= LIMIT_EPOCHS; epoch++)
        recovery_started(&recovery, epoch);
    assert_int_equal(recovery.low_water.epoch, 1);
    assert_int_equal(recovery_judge(&recovery, (struct txid){1, 1}, PRESENCE_NONE),
                     VERDICT_IS_ABORT);
    recovery_started(&recovery, LIMIT_EPOCHS + 1);
    assert_int_equal(recovery.epoch_count, LIMIT_EPOCHS);
    assert_int_equal(recovery.low_water.epoch, 2);
    assert_int_equal(recovery_judge(&recovery, (struct txid){1, 1}, PRESENCE_NONE),
                     VERDICT_IS_HOLD);
    assert_int_equal(recovery_judge(&recovery, (struct txid){2, 1}, PRESENCE_NONE),
                     VERDICT_IS_ABORT);
    recovery_low_water(&recovery, (struct txid){LIMIT_EPOCHS, 4096});
    assert_int_equal(recovery.epoch_count, 2);
    recovery_started(&recovery, 3);
    assert_int_equal(recovery.epoch_count, 2);
    recovery_fini(&recovery);
}

static void an_ended_commit_is_told_until_it_is_forgotten_and_held_from_then_on(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    recovery_begin(&recovery, 1700 * ms_us);
    struct txid ended = recovery_next_id(&recovery), aborted = recovery_next_id(&recovery);
    for (int i = 0; i < RETAINED_IDS; i++)
        recovery_next_id(&recovery);
    struct txid floor = {1700, recovery.last_seq + 1};
    recovery_ended(&recovery, ended, 1700 * second_us);
    uint64_t retain_us = 100 * (uint64_t)second_us;
    recovery_forget(&recovery, 1800 * second_us, retain_us, floor);
    assert_int_equal(recovery_judge(&recovery, ended, PRESENCE_NONE), VERDICT_IS_COMMIT);
    assert_int_equal(recovery_judge(&recovery, aborted, PRESENCE_NONE), VERDICT_IS_ABORT);
    recovery_forget(&recovery, 1801 * second_us, retain_us, floor);
    assert_int_equal(recovery_judge(&recovery, ended, PRESENCE_NONE), VERDICT_IS_HOLD);
    assert_int_equal(recovery_judge(&recovery, aborted, PRESENCE_NONE), VERDICT_IS_HOLD);
    assert_int_equal(recovery.low_water.seq, RETAINED_IDS);
    /* What ends later below the mark is not remembered: it would be told only by chance. */
    recovery_ended(&recovery, (struct txid){1700, 3}, 1801 * second_us);
    assert_int_equal(recovery_judge(&recovery, (struct txid){1700, 3}, PRESENCE_NONE),
                     VERDICT_IS_HOLD);
    recovery_fini(&recovery);
}

static void the_mark_never_rises_over_what_may_still_be_decided(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    recovery_begin(&recovery, 1700 * ms_us);
    recovery_ended(&recovery, recovery_next_id(&recovery), 1700 * second_us);
    struct txid floor = {1700, recovery.last_seq + 1};
    recovery_forget(&recovery, 9000 * second_us, 1, floor);
    assert_int_equal(recovery.low_water.seq, 0);
    assert_int_equal(recovery_judge(&recovery, (struct txid){1700, 1}, PRESENCE_NONE),
                     VERDICT_IS_COMMIT);
    recovery_fini(&recovery);
}

static void a_low_water_mark_of_a_checkpoint_outlives_the_start_beside_it(void **unused)
{
    (void)unused;
    struct recovery recovery = {0};
    recovery_low_water(&recovery, (struct txid){1500, 4096});
    recovery_started(&recovery, 1700);
    assert_int_equal(recovery.low_water.epoch, 1500);
    assert_int_equal(recovery.low_water.seq, 4096);
    recovery_fini(&recovery);
}

static void retained_ids_survive_a_checkpoint_bit_by_bit(void **unused)
{
    (void)unused;
    struct retained retained = {0}, restored = {0};
    /* Out of order, over three blocks of two epochs. */
    const struct txid ids[] = {{8, 5000}, {7, 1}, {8, 4096}, {8, 4095}, {7, 4095}};
    for (size_t i = 0; i < 5; i++)
        retained_add(&retained, ids[i], (int64_t)i);
    assert_int_equal(retained_count(&retained), 3);
    for (size_t i = 0; i < 3; i++) {
        const struct retained_block *block = retained_at(&retained, i);
        assert_true(retained_restore(&restored, block->epoch, block->first, block->bits,
                                     sizeof(block->bits), block->last_us));
    }
    for (size_t i = 0; i < 5; i++)
        assert_true(retained_has(&restored, ids[i]));
    assert_false(retained_has(&restored, (struct txid){7, 5000}));
    assert_false(retained_has(&restored, (struct txid){8, 4097}));
    assert_false(retained_has(&restored, (struct txid){9, 1}));
    assert_false(retained_restore(&restored, 7, 1, restored.blocks[0]->bits, 512, 0));
    assert_false(retained_restore(&restored, 7, 0, restored.blocks[0]->bits, 511, 0));
    retained_fini(&retained);
    retained_fini(&restored);
}

static void too_many_blocks_drop_the_oldest_ids_first(void **unused)
{
    (void)unused;
    struct retained retained = {0};
    struct txid above, floor = {100, 1};
    for (uint64_t epoch = 30; epoch > 20; epoch--)
        retained_add(&retained, (struct txid){epoch, 1}, 1000);
    assert_false(retained_drop(&retained, 0, 10, floor, &above));
    assert_true(retained_drop(&retained, 0, 9, floor, &above));
    assert_int_equal(above.epoch, 21);
    assert_int_equal(above.seq, RETAINED_IDS);
    assert_false(retained_has(&retained, (struct txid){21, 1}));
    assert_true(retained_has(&retained, (struct txid){22, 1}));
    retained_fini(&retained);
}

static void keys_expire_by_age_once_their_transaction_is_over(void **unused)
{
    (void)unused;
    struct keys keys;
    const uint8_t print[FINGERPRINT_BYTES] = {1};
    char *results[] = {(char *)"{\"id\":1}", NULL};
    keys_init(&keys);
    struct key *first = keys_add(&keys, "first", print, NULL, (struct txid){1, 1});
    struct key *second = keys_add(&keys, "second", print, NULL, (struct txid){1, 2});
    keys_add(&keys, "running", print, NULL, (struct txid){1, 3});
    keys_keep_results(&keys, first, results, 2, false);
    assert_string_equal(first->results[0], "{\"id\":1}");
    assert_string_equal(first->results[1], "");
    keys_settle(&keys, first, 100);
    keys_settle(&keys, second, 200);
    keys_expire(&keys, 150);
    assert_null(keys_find(&keys, "first"));
    assert_ptr_equal(keys_find(&keys, "second"), second);
    keys_expire(&keys, INT64_MAX);
    assert_null(keys_find(&keys, "second"));
    assert_non_null(keys_find(&keys, "running"));
    keys_fini(&keys);
}

static void results_too_large_to_keep_are_told_to_be_dropped(void **unused)
{
    (void)unused;
    struct keys keys;
    const uint8_t print[FINGERPRINT_BYTES] = {1};
    static char large[LIMIT_KEPT_RESULT_BYTES + 2];
    char *results[] = {large};
    keys_init(&keys);
    struct key *key = keys_add(&keys, "k", print, NULL, (struct txid){1, 1});
    memset(large, 'x', LIMIT_KEPT_RESULT_BYTES);
    keys_keep_results(&keys, key, results, 1, false);
    assert_false(key->results_dropped);
    large[LIMIT_KEPT_RESULT_BYTES] = 'x';
    keys_keep_results(&keys, key, results, 1, false);
    assert_true(key->results_dropped);
    assert_int_equal(key->result_count, 0);
    keys_fini(&keys);
}

static void results_of_all_keys_together_are_bounded(void **unused)
{
    (void)unused;
    struct keys keys;
    const uint8_t print[FINGERPRINT_BYTES] = {1};
    static char large[LIMIT_KEPT_RESULT_BYTES + 1];
    char *results[] = {large}, *nothing[LIMIT_CALLS] = {NULL};
    const size_t others = LIMIT_KEPT_RESULTS_BYTES - 5 * LIMIT_KEPT_RESULT_BYTES / 2;
    struct key *made[4];
    const char *const names[] = {"a", "b", "c", "d"};
    memset(large, 'x', LIMIT_KEPT_RESULT_BYTES);
    keys_init(&keys);
    keys.kept_bytes = others; /* as if many other keys had come before */
    for (int i = 0; i < 4; i++) {
        made[i] = keys_add(&keys, names[i], print, NULL, (struct txid){1, (uint64_t)i + 1});
        keys_keep_results(&keys, made[i], results, 1, false);
        assert_true(made[i]->results_dropped == (i >= 2));
        assert_int_equal(made[i]->result_count, i < 2);
    }
    /* Empty results take memory, too. */
    keys_keep_results(&keys, made[2], nothing, LIMIT_CALLS, false);
    assert_true(made[2]->results_dropped);
    /* What expires and what is removed makes room. */
    keys_settle(&keys, made[0], 1);
    keys_expire(&keys, 2);
    keys_keep_results(&keys, made[2], results, 1, false);
    assert_false(made[2]->results_dropped);
    keys_remove(&keys, made[1]);
    keys_keep_results(&keys, made[3], results, 1, false);
    assert_string_equal(made[3]->results[0], large);
    keys_remove(&keys, made[2]);
    keys_remove(&keys, made[3]);
    assert_int_equal(keys.kept_bytes, others);
    keys_fini(&keys);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_verdict_follows_the_rule),
        cmocka_unit_test(a_fresh_journal_holds_everything_older_than_itself),
        cmocka_unit_test(ids_that_were_not_given_out_are_held),
        cmocka_unit_test(an_epoch_is_never_used_twice),
        cmocka_unit_test(an_epoch_that_the_journal_never_saw_is_held),
        cmocka_unit_test(epochs_below_the_mark_and_beyond_the_limit_are_forgotten),
        cmocka_unit_test(an_ended_commit_is_told_until_it_is_forgotten_and_held_from_then_on),
        cmocka_unit_test(the_mark_never_rises_over_what_may_still_be_decided),
        cmocka_unit_test(a_low_water_mark_of_a_checkpoint_outlives_the_start_beside_it),
        cmocka_unit_test(retained_ids_survive_a_checkpoint_bit_by_bit),
        cmocka_unit_test(too_many_blocks_drop_the_oldest_ids_first),
        cmocka_unit_test(keys_expire_by_age_once_their_transaction_is_over),
        cmocka_unit_test(results_too_large_to_keep_are_told_to_be_dropped),
        cmocka_unit_test(results_of_all_keys_together_are_bounded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
