/* Before the pivot all can be undone, after it nothing. */
#include "saga/lint_parts.h"

static struct saga_place place_of(const struct linter *linter, int step)
{
    return linter->plan->steps[step].place;
}

static bool acts(const struct saga_step *step)
{
    return step->type == SAGA_CALL || step->type == SAGA_TRANSACTION || step->type == SAGA_SAGA;
}

static void check_compensation(struct linter *linter, int index)
{
    const struct saga_step *step = &linter->plan->steps[index];
    bool said = step->compensation != SAGA_NONE || step->compensation_none;
    if (step->kind != SAGA_COMPENSATABLE && said)
        MISTAKE(linter, step->place, "the %s step %s is never undone: leave compensate out",
                saga_kind_words[step->kind], lint_step_word(linter->plan, index));
    if (step->kind == SAGA_COMPENSATABLE && !said && step->type != SAGA_SAGA)
        MISTAKE(linter, step->place,
                "%s has no compensation: say what undoes it, as compensate: orders.cancel, or "
                "compensate: none",
                lint_step_word(linter->plan, index));
}

/* A step that does something, behind the pivot `after` or SAGA_NONE. Returns itself when it is one.
 */
static int check_action(struct linter *linter, int index, int after)
{
    const struct saga_plan *plan = linter->plan;
    const struct saga_step *step = &plan->steps[index];
    const char *word = lint_step_word(plan, index);
    check_compensation(linter, index);
    if (step->reason && (after == SAGA_NONE || step->kind != SAGA_COMPENSATABLE))
        WARNING(linter, step->place,
                "reason: is for a compensatable step behind a pivot; %s is none", word);
    if (step->kind == SAGA_RETRIABLE && after == SAGA_NONE)
        WARNING(
            linter, step->place,
            "%s is retriable and no pivot is before it: what comes later may still fail, and %s "
            "is never undone",
            word, word);
    if (step->kind == SAGA_COMPENSATABLE && after != SAGA_NONE && !step->reason)
        MISTAKE(linter, step->place,
                "%s comes after the pivot %s: when it fails nothing is undone any more. Make it "
                "kind: retriable, move it before the pivot, or say why it may fail: reason: ...",
                word, lint_step_word(plan, after));
    if (step->kind == SAGA_PIVOT && after != SAGA_NONE)
        MISTAKE(linter, step->place,
                "a second pivot: %s in line %d is the point of no return already",
                lint_step_word(plan, after), plan->steps[after].place.line);
    return step->kind == SAGA_PIVOT ? index : SAGA_NONE;
}

static int walk(struct linter *linter, int index, int after);

/* All children at once, or one of them. Returns a pivot in them, or SAGA_NONE. */
static int walk_branches(struct linter *linter, int index, int after)
{
    int pivot = SAGA_NONE;
    const struct saga_plan *plan = linter->plan;
    for (int child = plan->steps[index].first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        int found = walk(linter, child, after);
        pivot = found != SAGA_NONE ? found : pivot;
    }
    return pivot;
}

static int walk_sequence(struct linter *linter, int index, int after)
{
    int pivot = SAGA_NONE;
    const struct saga_plan *plan = linter->plan;
    for (int child = plan->steps[index].first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        int found = walk(linter, child, after);
        if (pivot == SAGA_NONE && found != SAGA_NONE)
            pivot = found;
        if (after == SAGA_NONE)
            after = found;
    }
    return pivot;
}

/* Returns a pivot in it, or SAGA_NONE. Depth is bounded by LIMIT_SAGA_DEPTH. */
static int walk(struct linter *linter, int index, int after)
{
    const struct saga_plan *plan = linter->plan;
    const struct saga_step *step = &plan->steps[index];
    if (acts(step))
        return check_action(linter, index, after);
    if (step->type == SAGA_WAIT) {
        if (after != SAGA_NONE && step->wait == SAGA_WAIT_SIGNAL && step->signal &&
            !step->or_continue)
            MISTAKE(linter, step->place,
                    "%s comes after the pivot %s, where nothing may fail: say otherwise: continue",
                    lint_step_word(plan, index), lint_step_word(plan, after));
        return SAGA_NONE;
    }
    int pivot = step->type == SAGA_SEQUENCE ? walk_sequence(linter, index, after)
                                            : walk_branches(linter, index, after);
    if (pivot != SAGA_NONE && step->type == SAGA_PARALLEL && step->child_count > 1)
        MISTAKE(
            linter, place_of(linter, pivot),
            "the pivot %s runs in parallel with others, which may fail when it is done already; "
            "move it behind them",
            lint_step_word(plan, pivot));
    if (pivot != SAGA_NONE && step->type == SAGA_FOR_EACH)
        MISTAKE(
            linter, place_of(linter, pivot),
            "the pivot %s is in the for_each %s: after its first item nothing can be undone, and "
            "the second may fail",
            lint_step_word(plan, pivot), lint_step_word(plan, index));
    return pivot;
}

void lint_order(struct linter *linter)
{
    walk(linter, 0, SAGA_NONE);
}
