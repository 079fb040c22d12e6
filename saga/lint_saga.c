/* Sagas that run other sagas. */
#include <stdio.h>
#include <string.h>

#include "core/limits.h"
#include "saga/lint_parts.h"
#include "saga/type.h"

/* The newest version of a saga among those that are looked at, or NULL. */
static const struct saga_plan *find(const struct saga_lint *lint, const char *name)
{
    const struct saga_plan *found = NULL;
    for (int i = 0; i < lint->plan_count; i++) {
        const struct saga_plan *plan = lint->plans[i];
        if (plan->name && strcmp(plan->name, name) == 0 &&
            (!found || plan->version > found->version))
            found = plan;
    }
    return found;
}

/* Whether `plan` comes to run `name`, through sagas not seen on the way so far. The way is at most
 * as long as there are sagas. */
static bool reaches(const struct saga_lint *lint, const struct saga_plan *plan, const char *name,
                    int left)
{
    for (int i = 0; i < plan->step_count && left > 0; i++) {
        const char *next = plan->steps[i].saga;
        if (!next)
            continue;
        if (strcmp(next, name) == 0)
            return true;
        const struct saga_plan *other = find(lint, next);
        if (other && other != plan && reaches(lint, other, name, left - 1))
            return true;
    }
    return false;
}

static bool has_pivot(const struct saga_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].kind == SAGA_PIVOT)
            return true;
    }
    return false;
}

static const struct saga_argument *argument_of(const struct saga_plan *plan,
                                               const struct saga_step *step, const char *name)
{
    for (int i = 0; i < step->argument_count; i++) {
        const struct saga_argument *argument = &plan->arguments[step->first_argument + i];
        if (strcmp(argument->name, name) == 0)
            return argument;
    }
    return NULL;
}

static void check_unknown(struct linter *linter, const struct saga_step *step,
                          const struct saga_plan *other)
{
    const char *names[LIMIT_SAGA_INPUTS];
    for (int i = 0; i < other->input_count; i++)
        names[i] = other->inputs[i].name;
    for (int i = 0; i < step->argument_count; i++) {
        const struct saga_argument *argument = &linter->plan->arguments[step->first_argument + i];
        bool known = false;
        for (int j = 0; j < other->input_count; j++)
            known = known || strcmp(names[j], argument->name) == 0;
        const char *near = error_nearest(argument->name, names, other->input_count);
        if (!known)
            MISTAKE(linter, argument->place, "the saga %s has no input %.60s%s%s%s", other->name,
                    argument->name, near ? "; did you mean " : "", near ? near : "",
                    near ? "?" : "");
    }
}

static void check_inputs(struct linter *linter, const struct saga_step *step,
                         const struct saga_plan *other)
{
    check_unknown(linter, step, other);
    for (int i = 0; i < other->input_count; i++) {
        const struct saga_input *input = &other->inputs[i];
        const struct saga_argument *argument = argument_of(linter->plan, step, input->name);
        char what[200];
        snprintf(what, sizeof(what), "the input %s of %s", input->name, other->name);
        if (argument)
            lint_argument_type(linter, argument, argument->place, input->type, what);
        else if (!input->fallback)
            MISTAKE(linter, step->place, "%s (%s) is missing", what,
                    saga_value_type_words[input->type]);
    }
}

/* Unknown to a cycle: a saga that is a step of itself through others would never end. */
static void check_step(struct linter *linter, const struct saga_step *step)
{
    const struct saga_lint *lint = linter->lint;
    const char *own = linter->plan->name ? linter->plan->name : "";
    const struct saga_plan *other = find(lint, step->saga);
    if (strcmp(step->saga, own) == 0) {
        MISTAKE(linter, step->place, "the saga %s runs itself: it would never end", own);
        return;
    }
    if (!other) {
        if (lint->whole)
            WARNING(linter, step->place,
                    "the saga %s is not among these files: its inputs are not checked", step->saga);
        return;
    }
    if (reaches(lint, other, own, lint->plan_count))
        MISTAKE(linter, step->place,
                "the saga %s runs %s, which comes to run %s again: it would "
                "never end",
                own, step->saga, own);
    if (has_pivot(other) && step->kind == SAGA_COMPENSATABLE && !step->reason)
        MISTAKE(
            linter, step->place,
            "the saga %s has a pivot, so it can't be undone once it is done: this step must say "
            "kind: pivot",
            step->saga);
    if (!step->input_is_open)
        check_inputs(linter, step, other);
}

void lint_sagas(struct linter *linter)
{
    for (int i = 0; i < linter->plan->step_count; i++) {
        if (linter->plan->steps[i].saga)
            check_step(linter, &linter->plan->steps[i]);
    }
}
