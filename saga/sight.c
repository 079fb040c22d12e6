#include "saga/sight.h"

#include <string.h>

/* ---- where an expression stands ------------------------------------------------------------ */

static void assign(struct saga_plan *plan, int expression, int step, enum saga_role role)
{
    if (expression == SAGA_NONE)
        return;
    plan->expressions[expression].step = step;
    plan->expressions[expression].role = role;
}

static void assign_template(struct saga_plan *plan, int template, int step, enum saga_role role)
{
    if (template == SAGA_NONE)
        return;
    for (int i = 0; i < plan->templates[template].piece_count; i++)
        assign(plan, plan->pieces[plan->templates[template].first_piece + i].expression, step,
               role);
}

void sight_assign(struct saga_plan *plan)
{
    for (int i = 0; i < plan->step_count; i++) {
        const struct saga_step *step = &plan->steps[i];
        /* First: it may share the arguments of the step, which then stand before it. */
        if (step->compensation != SAGA_NONE)
            assign_template(plan, plan->calls[step->compensation].with, i, SAGA_IN_COMPENSATION);
        assign(plan, step->when, i, SAGA_BEFORE_STEP);
        assign(plan, step->items, i, SAGA_BEFORE_STEP);
        assign_template(plan, step->until, i, SAGA_BEFORE_STEP);
        assign_template(plan, step->input, i, SAGA_BEFORE_STEP);
        for (int j = 0; j < step->call_count; j++)
            assign_template(plan, plan->calls[step->first_call + j].with, i, SAGA_BEFORE_STEP);
        assign_template(plan, step->output, i, SAGA_IN_OUTPUT);
    }
    assign_template(plan, plan->output, SAGA_NONE, SAGA_BEFORE_STEP);
}

/* ---- what it sees -------------------------------------------------------------------------- */

/* The lowest block that both are in, or one of the two themselves. */
static int meeting_point(const struct saga_plan *plan, int a, int b)
{
    while (a != b) {
        if (plan->steps[a].depth >= plan->steps[b].depth)
            a = plan->steps[a].parent;
        else
            b = plan->steps[b].parent;
    }
    return a;
}

/* The child of a block in which a step lies. */
static int branch_of(const struct saga_plan *plan, int step, int block)
{
    while (plan->steps[step].parent != block)
        step = plan->steps[step].parent;
    return step;
}

/* The outermost FOR_EACH between a step and a block around it, or SAGA_NONE: the step has many
 * outputs for those outside. */
static int loop_between(const struct saga_plan *plan, int step, int block)
{
    int found = SAGA_NONE;
    for (int at = plan->steps[step].parent; step != block && at != block;
         at = plan->steps[at].parent) {
        if (plan->steps[at].type == SAGA_FOR_EACH)
            found = at;
    }
    return found;
}

const char *sight_blocked(const struct saga_plan *plan, int step, enum saga_role role, int made,
                          int *loop)
{
    static const char many[] = "runs once for every item of";
    int meet = step == SAGA_NONE ? 0 : meeting_point(plan, step, made);
    *loop = loop_between(plan, made, meet);
    if (*loop != SAGA_NONE)
        return many;
    if (made == step)
        return role == SAGA_BEFORE_STEP ? "has not run yet: this is the step itself"
                                        : "is this step: write .result";
    if (made == meet)
        return "is not done before what is in it";
    if (step == SAGA_NONE)
        return NULL;
    if (meet == step && plan->steps[meet].type == SAGA_FOR_EACH) {
        *loop = meet;
        return many;
    }
    if (meet == step) /* a block that looks at what is in it */
        return role == SAGA_IN_OUTPUT ? NULL : "has not run yet";
    if (plan->steps[meet].type == SAGA_PARALLEL)
        return "runs at the same time, in another branch";
    if (plan->steps[meet].type == SAGA_CHOOSE)
        return "is in another alternative";
    return branch_of(plan, made, meet) < branch_of(plan, step, meet) ? NULL : "runs later";
}

bool sight_of_root(const struct saga_plan *plan, int expression, enum saga_root root)
{
    const struct saga_expression *found = &plan->expressions[expression];
    bool loop = found->step != SAGA_NONE && plan->steps[found->step].loop != SAGA_NONE;
    if (root == SAGA_ROOT_RESULT)
        return found->role != SAGA_BEFORE_STEP;
    return loop || (root != SAGA_ROOT_ITEM && root != SAGA_ROOT_INDEX);
}

static bool same_condition(const struct saga_plan *plan, int a, int b)
{
    return a != SAGA_NONE && b != SAGA_NONE &&
           strcmp(plan->expressions[a].source, plan->expressions[b].source) == 0;
}

int sight_skipped(const struct saga_plan *plan, int step, int made)
{
    int meet = step == SAGA_NONE ? 0 : meeting_point(plan, step, made);
    for (int at = made; at != meet; at = plan->steps[at].parent) {
        int when = plan->steps[at].when, parent = plan->steps[at].parent;
        bool alternative = parent != SAGA_NONE && plan->steps[parent].type == SAGA_CHOOSE;
        bool shared = false;
        for (int own = step; own != SAGA_NONE && own != meet; own = plan->steps[own].parent)
            shared = shared || same_condition(plan, plan->steps[own].when, when);
        if ((when != SAGA_NONE || alternative) && !shared)
            return at;
    }
    return SAGA_NONE;
}
