/* The parts of saga/simulate. */
#ifndef TROTH_SAGA_SIMULATE_PRIVATE_H
#define TROTH_SAGA_SIMULATE_PRIVATE_H

#include "saga/simulate.h"

/* ---- simulate_values.c: what is made up ---------------------------------------------------- */

/* One value that a condition looks at: a path below an input (step SAGA_NONE) or a result. */
struct leaf {
    int step;
    const struct saga_reference *path;
};

enum { OVERRIDES = 8 };

/* A case: what is otherwise than made up at first. */
struct made_case {
    struct {
        struct leaf leaf;
        char *value; /* JSON */
    } overrides[OVERRIDES];
    int count;
};

bool leaf_same(const struct saga_plan *plan, const struct leaf *a, const struct leaf *b);
/* Leaves that conditions look at, and may be chosen. The caller frees the list. */
struct leaf *leaves_find(const struct saga_simulation *simulation, int *count);
/* Values worth trying for a leaf, by what the conditions that look at it compare it with. Returns
 * how many; the caller frees each. */
int leaf_candidates(const struct saga_plan *plan, const struct leaf *leaf, char **out, int room);
/* "amount = 0, approval.approved = true". The caller frees it, as the following. */
char *case_words(const struct saga_plan *plan, const struct made_case *made);
char *made_input(const struct saga_simulation *simulation, const struct made_case *made);
char *made_result(const struct saga_simulation *simulation, const struct made_case *made, int step);

/* ---- simulate_run.c: one run --------------------------------------------------------------- */

enum fault {
    FAULT_NONE,
    FAULT_REFUSED,
    FAULT_AWAY,      /* nobody takes the try */
    FAULT_LOST,      /* its answer is lost; it was not done */
    FAULT_LOST_DONE, /* its answer is lost; it was done */
    FAULT_LATE,      /* the saga's timeout is over while it is under way; it was not done */
    FAULT_LATE_DONE, /* likewise; it was */
    FAULT_NO_SIGNAL,
    FAULT_UNDO, /* as REFUSED, and each compensation fails twice */
    FAULTS,
};

struct run {
    /* in */
    const struct saga_simulation *simulation;
    const struct made_case *made;
    enum fault fault;
    struct saga_instance at; /* of what fails */
    int dies_after;          /* the record, from 0; -1: none */
    /* out; run_fini frees it */
    char *order;
    enum saga_state state;
    bool stuck; /* needs an operator, and nothing goes on */
    bool past_pivot;
    char *problem; /* why it failed or is stuck, or NULL */
    bool by_expression, by_timeout;
    char *stays; /* the label of a step that is done and was not undone, and could not be */
    int records;
    struct saga_instance *tried; /* steps that were tried, and waits for signals, in their order */
    int tried_count;
    char *skipped; /* a letter for each step of the plan: s skipped, r not, - never came up */
};

void run_saga(struct run *run);
void run_fini(struct run *run);

#endif
