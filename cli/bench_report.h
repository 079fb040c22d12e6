/* What `troth bench` shows: a live line while it runs, figures at the end. */
#ifndef TROTH_CLI_BENCH_REPORT_H
#define TROTH_CLI_BENCH_REPORT_H

#include "cli/bench_figures.h"
#include "cli/bench_load.h"
#include "cli/bench_plan.h"

/* On stderr, where that is a terminal. */
struct bench_line {
    bool shown, drawn;
    uint64_t now_us, since_us, warm_us; /* since_us: the line before; warm_us: when it is warm */
    uint64_t running, measured;         /* in flight; how many were begun that count */
    uint64_t missed;                    /* since the beginning */
    bool down;                          /* without a session */
    struct latencies recent;            /* since the line before */
};
void bench_line_begin(struct bench_line *line);
void bench_line_draw(struct bench_line *line, const struct bench_plan *plan);
void bench_line_end(struct bench_line *line);

/* 0; 1: not one was done; 5: of some nobody can say how they ended. */
int bench_exit(const struct bench_load *load);
void bench_report(const struct bench_load *load);
void bench_report_json(const struct bench_load *load);

#endif
