/* Which values an expression names, found by walking its words with a notion of what `.` is at each
 * place. It errs on the safe side: what may look at everything is noted as SAGA_ROOT_ALL, and a
 * path that may belong to some other value is noted as not certain.
 *
 * It does not see through variables (. as $all | $all.steps.x) and computed names
 * (.steps[.input.name]): those count as naming everything there. */
#ifndef TROTH_SAGA_REFERENCE_H
#define TROTH_SAGA_REFERENCE_H

#include "saga/definition.h"

/* Adds the references of an expression to the plan and sets is_path. Notes what may not be used in
 * an expression. False when its words make no sense at all, which is noted too. */
bool references_collect(struct saga_plan *plan, int expression, struct saga_findings *findings);
/* When all steps are there: sets the step of each reference that names one. */
void references_resolve(struct saga_plan *plan);

#endif
