/* Values that expressions name: they exist, they are made before they are used, and what is made is
 * used. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/lint_parts.h"
#include "saga/sight.h"
#include "saga/type.h"

struct marks {
    struct linter *linter;
    bool *outputs; /* used: by argument */
    bool *inputs;  /* used */
};

static struct saga_place reference_place(const struct linter *linter, int expression,
                                         const struct saga_reference *reference)
{
    return saga_expression_place(&linter->plan->expressions[expression], reference->offset);
}

/* ---- marking ------------------------------------------------------------------------------- */

static void mark_outputs(struct marks *marks, int step, const char *name)
{
    const struct saga_plan *plan = marks->linter->plan;
    const struct saga_step *made = &plan->steps[step];
    for (int i = 0; i < made->output_count; i++) {
        int argument = made->first_output + i;
        if (!name || strcmp(plan->arguments[argument].name, name) == 0)
            marks->outputs[argument] = true;
    }
}

/* Everything that the steps in a block give is part of its result. */
static void mark_within(struct marks *marks, int block)
{
    const struct saga_plan *plan = marks->linter->plan;
    for (int i = block + 1; i < plan->step_count; i++) {
        if (saga_step_within(plan, i, block))
            mark_outputs(marks, i, NULL);
    }
}

static void mark_step(struct marks *marks, int step, const char *name)
{
    mark_outputs(marks, step, name);
    if (marks->linter->plan->steps[step].first_child != SAGA_NONE &&
        marks->linter->plan->steps[step].output == SAGA_NONE)
        mark_within(marks, step);
}

static void mark_input(struct marks *marks, const char *name)
{
    const struct saga_plan *plan = marks->linter->plan;
    for (int i = 0; i < plan->input_count; i++) {
        if (!name || strcmp(plan->inputs[i].name, name) == 0)
            marks->inputs[i] = true;
    }
}

static void mark_all_steps(struct marks *marks)
{
    for (int i = 0; i < marks->linter->plan->step_count; i++)
        mark_outputs(marks, i, NULL);
}

/* ---- inputs -------------------------------------------------------------------------------- */

static void check_input(struct marks *marks, int expression, const struct saga_reference *reference,
                        const char *name)
{
    const struct linter *linter = marks->linter;
    const struct saga_plan *plan = linter->plan;
    const char *names[LIMIT_SAGA_INPUTS];
    for (int i = 0; i < plan->input_count; i++) {
        names[i] = plan->inputs[i].name;
        if (strcmp(names[i], name) != 0)
            continue;
        enum saga_value_type type = plan->inputs[i].type;
        bool deep = type == SAGA_OBJECT || type == SAGA_ARRAY || type == SAGA_ANY;
        if (reference->member_count > 1 && !deep && reference->certain)
            MISTAKE(linter, reference_place(linter, expression, reference),
                    ".input.%s is %s and has no members", name, type_phrase(type));
        return;
    }
    if (!reference->certain)
        return;
    const char *near = error_nearest(name, names, plan->input_count);
    if (near)
        MISTAKE(linter, reference_place(linter, expression, reference),
                "unknown input .input.%.60s; did you mean .input.%s?", name, near);
    else
        MISTAKE(linter, reference_place(linter, expression, reference),
                "unknown input .input.%.60s%s", name,
                plan->input_count ? "" : ": the saga declares none");
}

/* ---- steps -------------------------------------------------------------------------------- */

/* A member of what `output` gives. */
static void check_output(struct marks *marks, int expression,
                         const struct saga_reference *reference)
{
    const struct linter *linter = marks->linter;
    const struct saga_plan *plan = linter->plan;
    const struct saga_step *made = &plan->steps[reference->step];
    if (!made->output_count || !reference->member_count)
        return;
    const char *name = plan->members[reference->first_member].name;
    const char *names[LIMIT_SAGA_INPUTS];
    int count = 0;
    for (int i = 0; i < made->output_count && name; i++) {
        const char *known = plan->arguments[made->first_output + i].name;
        if (strcmp(known, name) == 0)
            return;
        if (count < LIMIT_SAGA_INPUTS)
            names[count++] = known;
    }
    const char *near = name ? error_nearest(name, names, count) : NULL;
    if (near)
        MISTAKE(linter, reference_place(linter, expression, reference),
                "the output of %s has no \"%.60s\"; did you mean .steps.%s.%s?", made->name, name,
                made->name, near);
    else
        MISTAKE(linter, reference_place(linter, expression, reference),
                "the output of %s has no \"%.60s\"", made->name, name ? name : "[number]");
}

static void unknown_step(const struct linter *linter, int expression,
                         const struct saga_reference *reference)
{
    const struct saga_plan *plan = linter->plan;
    const char *names[LIMIT_SAGA_STEPS + LIMIT_SAGA_DEPTH];
    int count = 0;
    for (int i = 0; i < plan->step_count && i < LIMIT_SAGA_STEPS; i++) {
        if (plan->steps[i].name)
            names[count++] = plan->steps[i].name;
    }
    const char *near = error_nearest(reference->name, names, count);
    if (near)
        MISTAKE(linter, reference_place(linter, expression, reference),
                "unknown step .steps.%.60s; did you mean .steps.%s?", reference->name, near);
    else
        MISTAKE(linter, reference_place(linter, expression, reference), "unknown step .steps.%.60s",
                reference->name);
}

static void check_step(struct marks *marks, int expression, const struct saga_reference *reference)
{
    const struct linter *linter = marks->linter;
    const struct saga_plan *plan = linter->plan;
    const struct saga_expression *user = &plan->expressions[expression];
    struct saga_place place = reference_place(linter, expression, reference);
    if (!reference->certain)
        return;
    if (reference->step == SAGA_NONE) {
        unknown_step(linter, expression, reference);
        return;
    }
    int loop;
    const char *why = sight_blocked(plan, user->step, user->role, reference->step, &loop);
    if (why && loop != SAGA_NONE)
        MISTAKE(linter, place, ".steps.%s %s %s; .steps.%s is the list of what they gave",
                reference->name, why, lint_step_word(plan, loop), lint_step_word(plan, loop));
    else if (why)
        MISTAKE(linter, place, ".steps.%s %s", reference->name, why);
    if (why)
        return;
    check_output(marks, expression, reference);
    const struct saga_step *made = &plan->steps[reference->step];
    int skipped = sight_skipped(plan, user->step, reference->step);
    if (skipped != SAGA_NONE && !reference->guarded)
        WARNING(
            linter, place,
            ".steps.%s is null when it is skipped (line %d); test it, or give a default with //",
            reference->name, plan->steps[skipped].place.line);
    else if (made->type == SAGA_WAIT && made->or_continue && !reference->guarded)
        WARNING(linter, place,
                ".steps.%s is null when the signal stays away; test it, or give a default with //",
                reference->name);
}

/* ---- one expression ------------------------------------------------------------------------ */

static void check_root(struct marks *marks, int expression, const struct saga_reference *reference)
{
    static const char *const roots[] = {"input", "steps", "result", "item", "index", "saga"};
    const struct linter *linter = marks->linter;
    struct saga_place place = reference_place(linter, expression, reference);
    bool seen = sight_of_root(linter->plan, expression, reference->root);
    const char *near;
    if (!reference->certain)
        return;
    switch (reference->root) {
    case SAGA_ROOT_UNKNOWN:
        near = error_nearest(reference->name, roots, sizeof(roots) / sizeof(roots[0]));
        if (near)
            MISTAKE(linter, place, "unknown value .%.60s; did you mean .%s?", reference->name,
                    near);
        else
            MISTAKE(linter, place,
                    "unknown value .%.60s; there are .input, .steps, .saga.id, and in places "
                    ".result, .item and .index",
                    reference->name);
        break;
    case SAGA_ROOT_RESULT:
        if (!seen)
            MISTAKE(linter, place,
                    ".result is known in output and in the arguments of compensate; elsewhere "
                    "write .steps.NAME");
        break;
    case SAGA_ROOT_ITEM:
    case SAGA_ROOT_INDEX:
        if (!seen)
            MISTAKE(linter, place, ".%s is known in the steps of a for_each only", reference->name);
        break;
    case SAGA_ROOT_SAGA:
        if (reference->member_count &&
            (!linter->plan->members[reference->first_member].name ||
             strcmp(linter->plan->members[reference->first_member].name, "id") != 0))
            MISTAKE(linter, place, "of .saga there is .saga.id only");
        break;
    default:
        break;
    }
}

static void mark(struct marks *marks, int expression, const struct saga_reference *reference)
{
    const struct saga_plan *plan = marks->linter->plan;
    const char *first =
        reference->member_count ? plan->members[reference->first_member].name : NULL;
    bool everything = reference->root == SAGA_ROOT_ALL;
    if (everything || reference->root == SAGA_ROOT_INPUT)
        mark_input(marks, everything ? NULL : first);
    if (everything || (reference->root == SAGA_ROOT_STEPS && !reference->name))
        mark_all_steps(marks);
    else if (reference->root == SAGA_ROOT_STEPS && reference->step != SAGA_NONE)
        mark_step(marks, reference->step, first);
    int own = plan->expressions[expression].step;
    if ((everything || reference->root == SAGA_ROOT_RESULT) && own != SAGA_NONE)
        mark_within(marks, own);
}

static void check_expression(struct marks *marks, int expression)
{
    const struct saga_plan *plan = marks->linter->plan;
    const struct saga_expression *found = &plan->expressions[expression];
    for (int i = 0; i < found->reference_count; i++) {
        const struct saga_reference *reference = &plan->references[found->first_reference + i];
        mark(marks, expression, reference);
        check_root(marks, expression, reference);
        if (reference->root == SAGA_ROOT_STEPS && reference->name)
            check_step(marks, expression, reference);
        if (reference->root == SAGA_ROOT_INPUT && reference->member_count &&
            plan->members[reference->first_member].name)
            check_input(marks, expression, reference, plan->members[reference->first_member].name);
    }
}

static void check_unused(struct marks *marks)
{
    const struct linter *linter = marks->linter;
    const struct saga_plan *plan = linter->plan;
    for (int i = 0; i < plan->input_count; i++) {
        if (!marks->inputs[i])
            WARNING(linter, plan->inputs[i].place, "the input %s is not used",
                    plan->inputs[i].name);
    }
    for (int i = 0; i < plan->step_count; i++) {
        for (int j = 0; j < plan->steps[i].output_count; j++) {
            int argument = plan->steps[i].first_output + j;
            if (!marks->outputs[argument])
                WARNING(linter, plan->arguments[argument].place, "the output %s of %s is not used",
                        plan->arguments[argument].name, lint_step_word(plan, i));
        }
    }
}

void lint_references(struct linter *linter)
{
    const struct saga_plan *plan = linter->plan;
    struct marks marks = {.linter = linter,
                          .outputs = xcalloc((size_t)plan->argument_count + 1, sizeof(bool)),
                          .inputs = xcalloc((size_t)plan->input_count + 1, sizeof(bool))};
    for (int i = 0; i < plan->expression_count; i++)
        check_expression(&marks, i);
    check_unused(&marks);
    free(marks.outputs);
    free(marks.inputs);
}
