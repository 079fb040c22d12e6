/* What `troth bench` measures: latencies in a histogram of fixed size, and what was not done, by
 * reason. Pure. */
#ifndef TROTH_CLI_BENCH_FIGURES_H
#define TROTH_CLI_BENCH_FIGURES_H

#include <stdint.h>

enum {
    LATENCY_PARTS_BITS = 6, /* of each power of two: 64 buckets, so that none is wider than 1.6 % */
    LATENCY_OCTAVES = 32,   /* up to 2^38 us, three days; what takes longer counts in the last */
    LATENCY_BUCKETS = (LATENCY_OCTAVES + 1) << LATENCY_PARTS_BITS,
};

/* Zeros are an empty one. */
struct latencies {
    uint64_t count, sum_us, max_us;
    uint64_t buckets[LATENCY_BUCKETS];
};

void latencies_add(struct latencies *latencies, uint64_t us);
void latencies_merge(struct latencies *into, const struct latencies *other);
/* At least so many per million of them took at most this long; the largest is exact. 0: none. */
uint64_t latencies_quantile_us(const struct latencies *latencies, uint32_t per_million);

/* 850us, 1.53ms, 15.3ms, 153ms, 1.53s, 153s: three digits. */
typedef char latency_text[24];
const char *latency_format(latency_text out, uint64_t us);

/* How a request ended, but for those that were done. */
enum bench_end {
    BENCH_ABORTED,
    BENCH_COMPENSATED, /* a saga */
    BENCH_REFUSED,     /* not begun: busy, draining, somebody is not there, a key used otherwise */
    BENCH_REPEATED,    /* its key was used before: nothing ran */
    BENCH_UNAPPLIED,   /* committed, and not carried out everywhere when it was answered */
    BENCH_RUNNING,     /* a saga that was not at its end at the deadline */
    BENCH_UNKNOWN,     /* no answer, or none that tells */
    BENCH_HAZARD,
};
extern const char *const bench_end_words[];

struct bench_reason {
    enum bench_end end;
    char *participant, *code, *message; /* message: what was said first */
    uint64_t count;
};

/* Of one entry of the mix. Zeros are an empty one. */
struct bench_figures {
    struct latencies done;
    struct bench_reason *reasons; /* the most frequent first, after bench_figures_sort */
    int reason_count;
};

void bench_figures_fini(struct bench_figures *figures);
/* Texts are copied; what differs in participant or code is another reason. */
void bench_figures_miss(struct bench_figures *figures, enum bench_end end, const char *participant,
                        const char *code, const char *message);
void bench_figures_sort(struct bench_figures *figures);
/* All that were not done. */
uint64_t bench_figures_missed(const struct bench_figures *figures);
/* Those of which nobody can say here how they ended. */
uint64_t bench_figures_open(const struct bench_figures *figures);

#endif
