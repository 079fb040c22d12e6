/* The figures of troth bench: quantiles that are near the true ones, reasons that are counted. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_figures.h"
#include "core/check.h"

enum { SAMPLES = 20000 };

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

/* Never below the true one, and never more than a bucket above it. */
static void quantiles_are_the_true_ones_rounded_up(void **state)
{
    (void)state;
    static const uint32_t parts[] = {1, 100000, 500000, 900000, 990000, 999000, 999999, 1000000};
    struct latencies *latencies = xcalloc(1, sizeof(*latencies));
    uint64_t *all = xcalloc(SAMPLES, sizeof(*all));
    srandom(7);
    for (int i = 0; i < SAMPLES; i++) {
        all[i] = (uint64_t)random() >> (random() % 31);
        latencies_add(latencies, all[i]);
    }
    qsort(all, SAMPLES, sizeof(*all), ascending);
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++) {
        uint64_t rank = ((uint64_t)SAMPLES * parts[i] + 999999) / 1000000;
        uint64_t wanted = all[rank - 1], got = latencies_quantile_us(latencies, parts[i]);
        if (got < wanted || got > wanted + wanted / 64)
            fail_msg("%u: %llu for %llu", parts[i], (unsigned long long)got,
                     (unsigned long long)wanted);
    }
    assert_int_equal(latencies_quantile_us(latencies, 1000000), all[SAMPLES - 1]);
    assert_int_equal(latencies->max_us, all[SAMPLES - 1]);
    assert_int_equal(latencies->count, SAMPLES);
    free(all);
    free(latencies);
}

static void small_ones_are_exact(void **state)
{
    (void)state;
    struct latencies *latencies = xcalloc(1, sizeof(*latencies));
    assert_int_equal(latencies_quantile_us(latencies, 500000), 0);
    for (uint64_t us = 1; us <= 100; us++)
        latencies_add(latencies, us);
    assert_int_equal(latencies_quantile_us(latencies, 500000), 50);
    assert_int_equal(latencies_quantile_us(latencies, 990000), 99);
    assert_int_equal(latencies_quantile_us(latencies, 999000), 100);
    assert_int_equal(latencies->sum_us, 5050);
    free(latencies);
}

static void no_latency_is_too_long(void **state)
{
    (void)state;
    struct latencies *latencies = xcalloc(2, sizeof(*latencies)), *sum = latencies + 1;
    latencies_add(latencies, 5);
    latencies_add(latencies, UINT64_MAX / 2);
    assert_int_equal(latencies_quantile_us(latencies, 500000), 5);
    assert_int_equal(latencies_quantile_us(latencies, 500001), UINT64_MAX / 2);
    latencies_add(sum, 7);
    latencies_merge(sum, latencies);
    assert_int_equal(sum->count, 3);
    assert_int_equal(sum->max_us, UINT64_MAX / 2);
    assert_int_equal(latencies_quantile_us(sum, 600000), 7);
    free(latencies);
}

static void reasons_are_told_apart_and_sorted(void **state)
{
    (void)state;
    struct bench_figures figures = {0};
    bench_figures_miss(&figures, BENCH_ABORTED, "payments", "insufficient_funds", "first");
    for (int i = 0; i < 3; i++)
        bench_figures_miss(&figures, BENCH_ABORTED, "inventory", "out_of_stock", "none");
    bench_figures_miss(&figures, BENCH_ABORTED, "payments", "insufficient_funds", "second");
    bench_figures_miss(&figures, BENCH_UNKNOWN, "", "session_lost", "");
    bench_figures_sort(&figures);
    assert_int_equal(figures.reason_count, 3);
    assert_string_equal(figures.reasons[0].code, "out_of_stock");
    assert_int_equal(figures.reasons[0].count, 3);
    assert_string_equal(figures.reasons[1].participant, "payments");
    assert_string_equal(figures.reasons[1].message, "first");
    assert_int_equal(figures.reasons[1].count, 2);
    assert_int_equal(bench_figures_missed(&figures), 6);
    assert_int_equal(bench_figures_open(&figures), 1);
    bench_figures_fini(&figures);
}

/* Whatever participants make up, no more is kept than a person reads; all are counted. */
static void reasons_are_bounded(void **state)
{
    (void)state;
    struct bench_figures figures = {0};
    for (int i = 0; i < 5000; i++) {
        char code[20];
        snprintf(code, sizeof(code), "code_%d", i);
        bench_figures_miss(&figures, BENCH_ABORTED, "payments", code, "");
    }
    assert_true(figures.reason_count < 300);
    assert_int_equal(bench_figures_missed(&figures), 5000);
    bench_figures_sort(&figures);
    assert_string_equal(figures.reasons[0].code, "other reasons");
    bench_figures_fini(&figures);
}

static void latencies_have_three_digits(void **state)
{
    (void)state;
    static const struct {
        uint64_t us;
        const char *text;
    } cases[] = {{0, "0us"},        {999, "999us"},      {1000, "1.00ms"},   {9994, "9.99ms"},
                 {9995, "10.0ms"},  {99949, "99.9ms"},   {99950, "100ms"},   {999499, "999ms"},
                 {999500, "1.00s"}, {12345678, "12.3s"}, {99950000, "100s"}, {3600000000, "3600s"}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        latency_text text;
        assert_string_equal(latency_format(text, cases[i].us), cases[i].text);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(quantiles_are_the_true_ones_rounded_up),
        cmocka_unit_test(small_ones_are_exact),
        cmocka_unit_test(no_latency_is_too_long),
        cmocka_unit_test(reasons_are_told_apart_and_sorted),
        cmocka_unit_test(reasons_are_bounded),
        cmocka_unit_test(latencies_have_three_digits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
