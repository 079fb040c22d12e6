/* Walks every point of failure of a definition, with the engine that runs sagas and participants
 * that are made up. Pure.
 *
 * Nothing is known of what participants return, and expressions look at it. So results are made up
 * of what expressions name of them (.result.id: an object with an id), as numbers, and null where
 * nothing is named; the caller may give those that must be otherwise. Where a condition looks at
 * such a value, or at an input that was made up, values are tried for it until it came out both
 * ways, if they do: each such set of values is a case, with paths of its own. */
#ifndef TROTH_SAGA_SIMULATE_H
#define TROTH_SAGA_SIMULATE_H

#include <stdbool.h>

#include "core/error.h"
#include "core/json.h"
#include "saga/engine.h"

struct saga_simulation {
    const struct saga_plan *plan;
    const char *input; /* after saga_input_complete; NULL: made up */
    const struct json
        *results; /* an object, step names to results (signals' values of waits); NULL */
};

/* What happens when one thing goes wrong. */
struct saga_path {
    int number_of_case;
    struct saga_instance at; /* of what fails; step SAGA_NONE: nothing */
    unsigned faults;         /* bits: in which ways */
    char *what;              /* "charge fails", "charge unknown", "nothing fails" */
    char *order;             /* "create, reserve+quote, charge ✗ -> release, cancel" */
    const char *ending;      /* "completed", "compensated", "operator" */
    char *bad;               /* why it ends badly, or NULL */
};

struct saga_paths {
    struct saga_path *list;
    int count, bad;
    char **cases; /* what was made up: "amount = 0"; the first: "" */
    int case_count;
    char **one_way; /* conditions that always came out the same: "refund is never skipped" */
    int one_way_count;
    int deaths; /* runs in which the coordinator died, after each record of each path */
};

/* False with an error: the definition can't be simulated. */
bool saga_simulate(const struct saga_simulation *simulation, struct saga_paths *paths,
                   struct error *error);
void saga_paths_fini(struct saga_paths *paths);

#endif
