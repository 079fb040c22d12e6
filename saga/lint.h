/* What a definition's form does not show: values that are not there yet, steps that can't be undone
 * any more, calls that nobody offers, times that can't be kept. Mistakes are what a saga would fail
 * at, or what would leave something that is never undone; warnings are what may be meant.
 *
 * It walks what expressions name (saga/reference.h), so it can't see what goes through a variable
 * or a computed name; it never says that something is wrong there. */
#ifndef TROTH_SAGA_LINT_H
#define TROTH_SAGA_LINT_H

#include "saga/catalogue.h"
#include "saga/definition.h"

struct saga_lint {
    struct saga_plan *const *plans; /* looked at together: they may run each other */
    int plan_count;
    bool whole;                        /* these are all sagas: one that runs another is told */
    const struct catalogue *catalogue; /* NULL: calls are not looked at */
};

/* Notes what it finds, in no order (saga_findings_sort). */
void saga_lint(const struct saga_lint *lint, struct saga_findings *findings);

#endif
