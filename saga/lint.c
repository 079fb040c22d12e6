#include "saga/lint.h"

#include <string.h>

#include "saga/lint_parts.h"

const char *lint_step_word(const struct saga_plan *plan, int step)
{
    const struct saga_step *found = &plan->steps[step];
    return found->name ? found->name : saga_type_words[found->type];
}

/* One name and version, two definitions. */
static void lint_names(struct linter *linter, int index)
{
    const struct saga_plan *plan = linter->plan;
    for (int i = 0; i < index; i++) {
        const struct saga_plan *other = linter->lint->plans[i];
        if (plan->name && other->name && strcmp(plan->name, other->name) == 0 &&
            plan->version == other->version)
            MISTAKE(linter, plan->place, "%s version %lld is defined in %s, too", plan->name,
                    (long long)plan->version, other->file);
    }
}

void saga_lint(const struct saga_lint *lint, struct saga_findings *findings)
{
    for (int i = 0; i < lint->plan_count; i++) {
        struct linter linter = {lint, lint->plans[i], findings};
        lint_names(&linter, i);
        lint_references(&linter);
        lint_order(&linter);
        lint_sagas(&linter);
        lint_times(&linter);
        if (lint->catalogue)
            lint_calls(&linter);
    }
}
