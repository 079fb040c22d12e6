/* A load on a coordinator: begins what a plan says, hears how it ends, counts. */
#ifndef TROTH_CLI_BENCH_LOAD_H
#define TROTH_CLI_BENCH_LOAD_H

#include "cli/bench_figures.h"
#include "cli/bench_plan.h"
#include "cli/cli.h"
#include "core/error.h"

/* What came of it. */
struct bench_load {
    const struct bench_plan *plan;
    struct bench_figures *figures; /* one an entry of the mix */
    uint64_t measured_us;          /* how long it was measured */
    uint64_t begun, running;
    uint64_t late;    /* with a rate: were due and not begun, as in_flight was reached */
    uint64_t left;    /* were in flight when a signal ended it, and are not judged */
    bool interrupted; /* by a signal such as Ctrl-C */
    bool away;        /* the coordinator went away and did not come back */
};

/* Runs to the end, with a live line on a terminal. False with an error: it can't be measured. What
 * is in `load` is valid in both cases, and freed by bench_load_fini. */
bool bench_load_run(struct bench_load *load, struct bench_plan *plan, const struct options *options,
                    struct error *error);
void bench_load_fini(struct bench_load *load);

#endif
