/* What the files of saga/lint share. Each looks at one plan for one kind of mistake. */
#ifndef TROTH_SAGA_LINT_PARTS_H
#define TROTH_SAGA_LINT_PARTS_H

#include "saga/lint.h"

struct linter {
    const struct saga_lint *lint;
    const struct saga_plan *plan;
    struct saga_findings *findings;
};

#define MISTAKE(linter, place, ...)                                                                \
    saga_mistake((linter)->findings, (linter)->plan->file, place, __VA_ARGS__)
#define WARNING(linter, place, ...)                                                                \
    saga_warning((linter)->findings, (linter)->plan->file, place, __VA_ARGS__)

/* lint_reference.c: values are there where they are used, and used where they are made. */
void lint_references(struct linter *linter);
/* lint_order.c: pivots, and what can be undone. */
void lint_order(struct linter *linter);
/* lint_call.c: operations and their arguments. */
void lint_calls(struct linter *linter);
/* lint_saga.c: sagas that run others. */
void lint_sagas(struct linter *linter);
/* lint_time.c: timeouts. */
void lint_times(struct linter *linter);

/* Of a step, for messages: its name, or its type. */
const char *lint_step_word(const struct saga_plan *plan, int step);
/* Checks that an argument can be of a type; `what` names who takes it. place: where to tell. */
void lint_argument_type(struct linter *linter, const struct saga_argument *argument,
                        struct saga_place place, enum saga_value_type type, const char *what);

#endif
