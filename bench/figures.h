/* What a measurement gathers and how it is printed: one line of JSON for bench/run. */
#ifndef TROTH_BENCH_FIGURES_H
#define TROTH_BENCH_FIGURES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct figures {
    uint64_t *latencies_us; /* of what succeeded within the measured time */
    size_t count, room;
    uint64_t begun_us; /* set once the warm-up is over; nothing before it counts */
};

/* The options that every program has, with their defaults. */
struct bench_options {
    double seconds; /* measured, after a warm-up of a fifth of it */
    int in_flight;
    int databases;
    bool sagas;               /* a saga of three steps over three databases, not a transaction */
    const char *address;      /* of the coordinator; idle only */
    const char *conninfos[8]; /* of the databases, in order; raw only */
    int conninfo_count;
};

/* Exits with 2 and the usage when the words are wrong. */
void bench_options_parse(struct bench_options *options, int argc, char **argv);
uint64_t bench_now_us(void);

enum { FIGURES_ACCOUNTS = 10000 };
/* A random account of those that only this flight uses: two flights on the same row would wait for
 * each other, in two databases in opposite orders even for ever. */
int figures_account(int flight, int in_flight);

/* A transaction that began at started_us ended now. */
void figures_add(struct figures *figures, uint64_t started_us, uint64_t now_us);
/* {"done":...,"per_second":...,"latency_us":{"p50":...,"p99":...}}: what bench/run reads of the
 * figures of `troth bench`, too. */
void figures_print(struct figures *figures, uint64_t now_us);
void figures_fini(struct figures *figures);

#endif
