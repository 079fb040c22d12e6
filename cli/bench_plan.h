/* The load that `troth bench` makes, as its file tells it. */
#ifndef TROTH_CLI_BENCH_PLAN_H
#define TROTH_CLI_BENCH_PLAN_H

#include <stdbool.h>
#include <stdint.h>

#include "cli/bench_values.h"
#include "io/yaml.h"
#include "saga/catalogue.h"
#include "wire.pb-c.h"

struct bench_call {
    char *participant, *operation;
    struct bench_template *arguments; /* NULL: {} */
    const struct yaml_node *place, *with;
};

/* Transactions of one kind, or sagas. */
struct bench_entry {
    char *name;
    uint32_t weight;
    uint64_t deadline_us; /* 0: the coordinator's; of a saga: for ever */
    struct bench_template *key;
    bool early; /* wait: decided, or of a saga started */
    Wire__Protocol protocol;
    struct bench_call *calls;
    int call_count;
    char *saga; /* else NULL */
    struct bench_template *input;
};

struct bench_plan {
    int in_flight;
    uint64_t duration_us; /* 0: count tells when it ends */
    uint64_t count;
    uint64_t warm_up_us;
    uint64_t interval_ns; /* between the beginnings of two; 0: as soon as one has ended */
    struct bench_values *values;
    struct bench_entry *entries;
    int entry_count;
};

/* Words of the command line that count more than the file; NULL: not given. */
struct bench_flags {
    const char *in_flight, *duration, *count, *rate;
    uint64_t deadline_us; /* 0: not given */
};

/* Notes every mistake in yaml, which must live as long as the plan. */
void bench_plan_read(struct bench_plan *plan, struct yaml *yaml, const char *run, uint64_t seed);
void bench_plan_fini(struct bench_plan *plan);
/* False with an error. */
bool bench_plan_override(struct bench_plan *plan, const struct bench_flags *flags,
                         struct error *error);
/* Notes calls that nobody offers and arguments that they do not take; only of a plan without
 * mistakes. */
void bench_plan_check(struct bench_plan *plan, struct yaml *yaml,
                      const struct catalogue *catalogue);

/* ---- requests ------------------------------------------------------------------------------ */

/* One request of an entry, with the values that are drawn now; to be freed. */
Wire__Submit *bench_submit_draw(struct bench_plan *plan, const struct bench_entry *entry);
void bench_submit_free(Wire__Submit *submit);
Wire__StartSaga *bench_start_draw(struct bench_plan *plan, const struct bench_entry *entry);
void bench_start_free(Wire__StartSaga *start);

#endif
