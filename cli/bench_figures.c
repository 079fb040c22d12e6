#include "cli/bench_figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* Reasons come from participants: one that makes up codes must not eat the memory. */
enum { REASONS_MOST = 200 };

const char *const bench_end_words[] = {"aborted",   "compensated", "refused", "repeated",
                                       "unapplied", "running",     "unknown", "hazard"};

/* ---- latencies ----------------------------------------------------------------------------- */

enum { PARTS = 1 << LATENCY_PARTS_BITS };

/* Below 2 * PARTS a bucket a microsecond; above, PARTS buckets for each power of two. */
static int bucket_of(uint64_t us)
{
    if (us < 2 * PARTS)
        return (int)us;
    int octave = 63 - __builtin_clzll(us) - LATENCY_PARTS_BITS;
    int bucket = (octave << LATENCY_PARTS_BITS) + (int)(us >> octave);
    return bucket < LATENCY_BUCKETS ? bucket : LATENCY_BUCKETS - 1;
}

/* The largest value that falls into it. */
static uint64_t bucket_end_us(int bucket)
{
    if (bucket < 2 * PARTS)
        return (uint64_t)bucket;
    int octave = (bucket >> LATENCY_PARTS_BITS) - 1;
    uint64_t part = (uint64_t)(bucket & (PARTS - 1)) + PARTS;
    return ((part + 1) << octave) - 1;
}

void latencies_add(struct latencies *latencies, uint64_t us)
{
    latencies->count++;
    latencies->sum_us += us;
    latencies->max_us = us > latencies->max_us ? us : latencies->max_us;
    latencies->buckets[bucket_of(us)]++;
}

void latencies_merge(struct latencies *into, const struct latencies *other)
{
    into->count += other->count;
    into->sum_us += other->sum_us;
    into->max_us = other->max_us > into->max_us ? other->max_us : into->max_us;
    for (int i = 0; i < LATENCY_BUCKETS; i++)
        into->buckets[i] += other->buckets[i];
}

uint64_t latencies_quantile_us(const struct latencies *latencies, uint32_t per_million)
{
    uint64_t seen = 0;
    uint64_t rank = (uint64_t)(((__uint128_t)latencies->count * per_million + 999999) / 1000000);
    for (int i = 0; latencies->count && i < LATENCY_BUCKETS - 1; i++) {
        seen += latencies->buckets[i];
        if (seen >= rank && seen > 0)
            return bucket_end_us(i) < latencies->max_us ? bucket_end_us(i) : latencies->max_us;
    }
    return latencies->max_us;
}

const char *latency_format(latency_text out, uint64_t us)
{
    static const struct {
        double below_us, unit_us;
        const char *format;
    } forms[] = {{9995, 1e3, "%.2fms"},
                 {99950, 1e3, "%.1fms"},
                 {999500, 1e3, "%.0fms"},
                 {9995e3, 1e6, "%.2fs"},
                 {99950e3, 1e6, "%.1fs"}};
    if (us < 1000) {
        snprintf(out, sizeof(latency_text), "%" PRIu64 "us", us);
        return out;
    }
    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        if ((double)us < forms[i].below_us) {
            snprintf(out, sizeof(latency_text), forms[i].format, (double)us / forms[i].unit_us);
            return out;
        }
    }
    snprintf(out, sizeof(latency_text), "%.0fs", (double)us / 1e6);
    return out;
}

/* ---- what was not done --------------------------------------------------------------------- */

void bench_figures_fini(struct bench_figures *figures)
{
    for (int i = 0; i < figures->reason_count; i++) {
        free(figures->reasons[i].participant);
        free(figures->reasons[i].code);
        free(figures->reasons[i].message);
    }
    free(figures->reasons);
    *figures = (struct bench_figures){0};
}

static struct bench_reason *find(struct bench_figures *figures, enum bench_end end,
                                 const char *participant, const char *code)
{
    for (int i = 0; i < figures->reason_count; i++) {
        struct bench_reason *reason = &figures->reasons[i];
        if (reason->end == end && strcmp(reason->participant, participant) == 0 &&
            strcmp(reason->code, code) == 0)
            return reason;
    }
    return NULL;
}

void bench_figures_miss(struct bench_figures *figures, enum bench_end end, const char *participant,
                        const char *code, const char *message)
{
    struct bench_reason *reason = find(figures, end, participant, code);
    if (!reason && figures->reason_count >= REASONS_MOST) {
        participant = "";
        code = "other reasons";
        message = "";
        reason = find(figures, end, participant, code);
    }
    if (!reason) {
        size_t size = ((size_t)figures->reason_count + 1) * sizeof(*figures->reasons);
        figures->reasons = xrealloc(figures->reasons, size);
        reason = &figures->reasons[figures->reason_count++];
        *reason = (struct bench_reason){.end = end,
                                        .participant = xstrdup(participant),
                                        .code = xstrdup(code),
                                        .message = xstrdup(message)};
    }
    reason->count++;
}

static int by_count(const void *a, const void *b)
{
    const struct bench_reason *x = a, *y = b;
    if (x->count != y->count)
        return x->count > y->count ? -1 : 1;
    if (x->end != y->end)
        return x->end < y->end ? -1 : 1;
    int order = strcmp(x->participant, y->participant);
    return order ? order : strcmp(x->code, y->code);
}

void bench_figures_sort(struct bench_figures *figures)
{
    if (figures->reason_count)
        qsort(figures->reasons, (size_t)figures->reason_count, sizeof(*figures->reasons), by_count);
}

uint64_t bench_figures_missed(const struct bench_figures *figures)
{
    uint64_t count = 0;
    for (int i = 0; i < figures->reason_count; i++)
        count += figures->reasons[i].count;
    return count;
}

uint64_t bench_figures_open(const struct bench_figures *figures)
{
    uint64_t count = 0;
    for (int i = 0; i < figures->reason_count; i++) {
        enum bench_end end = figures->reasons[i].end;
        if (end == BENCH_RUNNING || end == BENCH_UNKNOWN || end == BENCH_HAZARD)
            count += figures->reasons[i].count;
    }
    return count;
}
