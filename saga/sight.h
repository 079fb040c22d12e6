/* What an expression sees of the other steps: decided by where it stands, not by what happens to be
 * done at that moment, so that a saga that is recovered sees the same again. */
#ifndef TROTH_SAGA_SIGHT_H
#define TROTH_SAGA_SIGHT_H

#include "saga/definition.h"

/* When all is read: notes for each expression where it stands. */
void sight_assign(struct saga_plan *plan);

/* NULL: the output of `made` is there for an expression that stands at `step` (SAGA_NONE: in the
 * saga's own output). Else why not, for a message. *loop: the FOR_EACH that is the reason, else
 * SAGA_NONE. */
const char *sight_blocked(const struct saga_plan *plan, int step, enum saga_role role, int made,
                          int *loop);
/* Whether .result, .item and the others are there for an expression. */
bool sight_of_root(const struct saga_plan *plan, int expression, enum saga_root root);
/* Of what is there: the step that may have been skipped, so that the output is null, unless the
 * expression itself stands under the same condition; or SAGA_NONE. */
int sight_skipped(const struct saga_plan *plan, int step, int made);

#endif
