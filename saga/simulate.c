#include "saga/simulate.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/simulate_private.h"

enum { CASES = 32, CANDIDATES = 24 };

struct walker {
    const struct saga_simulation *simulation;
    struct saga_paths *paths;
    struct made_case cases[CASES];
    char *seen[CASES]; /* which steps are skipped when nothing fails */
    int count;
};

/* ---- cases --------------------------------------------------------------------------------- */

static bool is_new(const struct walker *walker, const char *skipped)
{
    for (int i = 0; i < walker->count; i++) {
        if (strcmp(walker->seen[i], skipped) == 0)
            return false;
    }
    return true;
}

static void case_copy(struct made_case *to, const struct made_case *from, const struct leaf *except,
                      const struct saga_plan *plan)
{
    *to = (struct made_case){0};
    for (int i = 0; i < from->count; i++) {
        if (except && leaf_same(plan, except, &from->overrides[i].leaf))
            continue;
        to->overrides[to->count].leaf = from->overrides[i].leaf;
        to->overrides[to->count++].value = xstrdup(from->overrides[i].value);
    }
}

static void case_fini(struct made_case *made)
{
    for (int i = 0; i < made->count; i++)
        free(made->overrides[i].value);
}

/* Keeps a case in which other steps run than in those before; takes it over. */
static void try_case(struct walker *walker, struct made_case *made)
{
    struct run run = {.simulation = walker->simulation, .made = made, .dies_after = -1};
    run_saga(&run);
    bool good = walker->count == 0 || (!run.by_expression && is_new(walker, run.skipped));
    if (good && walker->count < CASES) {
        walker->seen[walker->count] = xstrdup(run.skipped);
        walker->cases[walker->count++] = *made;
    } else {
        case_fini(made);
    }
    run_fini(&run);
}

/* From each case on one value is changed at a time, until nothing new comes of it. */
static void find_cases(struct walker *walker)
{
    const struct saga_plan *plan = walker->simulation->plan;
    int count;
    struct leaf *leaves = leaves_find(walker->simulation, &count);
    try_case(walker, &(struct made_case){0});
    for (int i = 0; i < walker->count; i++) {
        for (int j = 0; j < count; j++) {
            char *values[CANDIDATES];
            int value_count = leaf_candidates(plan, &leaves[j], values, CANDIDATES);
            for (int k = 0; k < value_count; k++) {
                struct made_case made;
                case_copy(&made, &walker->cases[i], &leaves[j], plan);
                if (made.count == OVERRIDES) {
                    case_fini(&made);
                    free(values[k]);
                    continue;
                }
                made.overrides[made.count].leaf = leaves[j];
                made.overrides[made.count++].value = values[k];
                try_case(walker, &made);
            }
        }
    }
    free(leaves);
}

/* ---- paths --------------------------------------------------------------------------------- */

/* What failed, of one step: several ways in one line when they come to the same. */
static char *what_of(const struct saga_plan *plan, const struct saga_path *path)
{
    enum { NOT_DONE = 1 << FAULT_REFUSED | 1 << FAULT_AWAY | 1 << FAULT_LOST };
    static const char *const words[FAULTS] = {[FAULT_REFUSED] = "refused",
                                              [FAULT_AWAY] = "away",
                                              [FAULT_LOST] = "lost",
                                              [FAULT_LOST_DONE] = "unknown",
                                              [FAULT_LATE] = "late",
                                              [FAULT_LATE_DONE] = "too late",
                                              [FAULT_NO_SIGNAL] = "not signalled",
                                              [FAULT_UNDO] = "fails, undo too"};
    unsigned faults = path->faults;
    saga_label label;
    if (faults == 1 << FAULT_NONE)
        return xstrdup("nothing fails");
    saga_label_format(label, plan, &path->at);
    bool all = (faults & NOT_DONE) == NOT_DONE;
    char *what = xasprintf("%s%s", label, all ? " fails" : "");
    if (all)
        faults &= ~(unsigned)(NOT_DONE | 1 << FAULT_LATE);
    for (int i = 1; i < FAULTS; i++) {
        if (!(faults >> i & 1))
            continue;
        char *more = xasprintf("%s%s%s", what, strlen(what) > strlen(label) ? "/" : " ", words[i]);
        free(what);
        what = more;
    }
    return what;
}

/* Why a run ends badly; the caller frees it. NULL: it does not. */
static char *badness(const struct saga_plan *plan, const struct run *run)
{
    const char *why = run->problem ? run->problem : "nothing goes on";
    const struct saga_step *at = run->fault == FAULT_NONE ? NULL : &plan->steps[run->at.step];
    if (run->stuck)
        return xasprintf("needs an operator: %s", why);
    if (run->by_expression)
        return xasprintf("an expression fails: %s", why);
    if (run->fault == FAULT_NONE && run->state != SAGA_COMPLETED)
        return xasprintf("it fails although nothing else does: %s", why);
    if (run->stays)
        return xasprintf("%s stays done, and has no compensation", run->stays);
    if (run->fault == FAULT_NO_SIGNAL && at->or_continue && run->state != SAGA_COMPLETED)
        return xasprintf("it should go on without the signal: %s", why);
    return NULL;
}

static const char *ending_of(const struct run *run)
{
    return run->stuck ? "operator" : saga_state_words[run->state];
}

static bool is_same(const struct saga_path *a, const struct saga_path *b)
{
    return strcmp(a->order, b->order) == 0 && strcmp(a->ending, b->ending) == 0 &&
           strcmp(a->bad ? a->bad : "", b->bad ? b->bad : "") == 0 &&
           memcmp(&a->at, &b->at, sizeof(a->at)) == 0;
}

/* A path that another came to already, by the same step, is told together with that. */
static void add_path(struct walker *walker, const struct run *run, int number, char *bad)
{
    struct saga_paths *paths = walker->paths;
    struct saga_path path = {.number_of_case = number,
                             .at = run->at,
                             .faults = 1u << run->fault,
                             .order = xstrdup(run->order),
                             .ending = ending_of(run),
                             .bad = bad};
    for (int i = 0; i < paths->count; i++) {
        struct saga_path *other = &paths->list[i];
        bool undo = run->fault == FAULT_UNDO || other->faults == 1u << FAULT_UNDO;
        if (!is_same(other, &path) || (undo && other->faults != path.faults))
            continue;
        if (other->number_of_case == number)
            other->faults |= path.faults;
        free(path.order);
        free(path.bad);
        return;
    }
    paths->list = xrealloc(paths->list, ((size_t)paths->count + 1) * sizeof(*paths->list));
    paths->list[paths->count++] = path;
    paths->bad += bad != NULL;
}

/* The coordinator dies after each record of the run: it must come to the same end. */
static char *die_everywhere(struct walker *walker, const struct run *run)
{
    char *bad = NULL;
    for (int i = 0; i < run->records && !bad; i++) {
        struct run other = {.simulation = walker->simulation,
                            .made = run->made,
                            .fault = run->fault,
                            .at = run->at,
                            .dies_after = i};
        run_saga(&other);
        walker->paths->deaths++;
        if (strcmp(ending_of(&other), ending_of(run)) != 0)
            bad =
                xasprintf("%s when the coordinator dies after record %d", ending_of(&other), i + 1);
        run_fini(&other);
    }
    return bad;
}

static void walk_path(struct walker *walker, int number, enum fault fault,
                      const struct saga_instance *at)
{
    struct run run = {.simulation = walker->simulation,
                      .made = &walker->cases[number],
                      .fault = fault,
                      .dies_after = -1};
    run.at = at ? *at : (struct saga_instance){.step = SAGA_NONE};
    run_saga(&run);
    char *bad = badness(walker->simulation->plan, &run);
    if (!bad)
        bad = die_everywhere(walker, &run);
    add_path(walker, &run, number, bad);
    run_fini(&run);
}

/* Of a loop the first instance and the last stand for all. */
static bool stands_for_others(const struct run *happy, int which)
{
    bool first = true, last = true;
    for (int i = 0; i < happy->tried_count; i++) {
        bool same = happy->tried[i].step == happy->tried[which].step;
        first = first && !(same && i < which);
        last = last && !(same && i > which);
    }
    return first || last;
}

static void walk_step(struct walker *walker, int number, const struct run *happy, int which,
                      bool before_pivot)
{
    const struct saga_plan *plan = walker->simulation->plan;
    const struct saga_instance *at = &happy->tried[which];
    const struct saga_step *step = &plan->steps[at->step];
    if (step->type == SAGA_WAIT) {
        if (step->wait == SAGA_WAIT_SIGNAL)
            walk_path(walker, number, FAULT_NO_SIGNAL, at);
        return;
    }
    for (enum fault fault = FAULT_REFUSED; fault <= FAULT_LOST_DONE; fault++)
        walk_path(walker, number, fault, at);
    if (!before_pivot)
        return;
    if (plan->timeout_us) {
        walk_path(walker, number, FAULT_LATE, at);
        walk_path(walker, number, FAULT_LATE_DONE, at);
    }
}

/* The last step that can fail the saga: then most is undone. */
static int last_before_pivot(const struct saga_plan *plan, const struct run *happy)
{
    int last = -1;
    for (int i = 0; i < happy->tried_count; i++) {
        const struct saga_step *step = &plan->steps[happy->tried[i].step];
        if (step->type != SAGA_WAIT && step->kind != SAGA_RETRIABLE)
            last = i;
        if (step->kind == SAGA_PIVOT)
            break;
    }
    return last;
}

static void walk_case(struct walker *walker, int number)
{
    const struct saga_plan *plan = walker->simulation->plan;
    struct run happy = {
        .simulation = walker->simulation, .made = &walker->cases[number], .dies_after = -1};
    run_saga(&happy);
    walk_path(walker, number, FAULT_NONE, NULL);
    bool before_pivot = true;
    int last = last_before_pivot(plan, &happy);
    for (int i = 0; i < happy.tried_count; i++) {
        if (stands_for_others(&happy, i))
            walk_step(walker, number, &happy, i, before_pivot);
        before_pivot = before_pivot && plan->steps[happy.tried[i].step].kind != SAGA_PIVOT;
        if (i == last)
            walk_path(walker, number, FAULT_UNDO, &happy.tried[i]);
    }
    run_fini(&happy);
}

/* ---- conditions ---------------------------------------------------------------------------- */

static void note_one_way(struct walker *walker)
{
    const struct saga_plan *plan = walker->simulation->plan;
    struct saga_paths *paths = walker->paths;
    for (int i = 0; i < plan->step_count; i++) {
        bool skipped = false, ran = false;
        if (plan->steps[i].when == SAGA_NONE)
            continue;
        for (int j = 0; j < walker->count; j++) {
            skipped = skipped || walker->seen[j][i] == 's' || walker->seen[j][i] == 'b';
            ran = ran || walker->seen[j][i] == 'r' || walker->seen[j][i] == 'b';
        }
        if (skipped && ran)
            continue;
        const struct saga_place *place = &plan->expressions[plan->steps[i].when].place;
        paths->one_way =
            xrealloc(paths->one_way, ((size_t)paths->one_way_count + 1) * sizeof(char *));
        paths->one_way[paths->one_way_count++] = xasprintf(
            "line %d: ${ %.60s } %s", place->line, plan->expressions[plan->steps[i].when].source,
            ran       ? "was always true"
            : skipped ? "was never true"
                      : "was never looked at");
    }
}

/* ---- all ----------------------------------------------------------------------------------- */

bool saga_simulate(const struct saga_simulation *simulation, struct saga_paths *paths,
                   struct error *error)
{
    *paths = (struct saga_paths){0};
    for (int i = 0; simulation->results && i < simulation->results->count; i++) {
        const char *name = simulation->results->members[i].name;
        if (saga_step_find(simulation->plan, name) == SAGA_NONE)
            return error_set(error, ERROR_USAGE,
                             "%s has no step %.63s, for which a result is given",
                             simulation->plan->name, name);
    }
    struct walker *walker = xcalloc(1, sizeof(*walker));
    walker->simulation = simulation;
    walker->paths = paths;
    find_cases(walker);
    for (int i = 0; i < walker->count; i++)
        walk_case(walker, i);
    note_one_way(walker);
    for (int i = 0; i < paths->count; i++)
        paths->list[i].what = what_of(simulation->plan, &paths->list[i]);
    paths->cases = xcalloc((size_t)walker->count, sizeof(char *));
    paths->case_count = walker->count;
    for (int i = 0; i < walker->count; i++) {
        paths->cases[i] = case_words(simulation->plan, &walker->cases[i]);
        case_fini(&walker->cases[i]);
        free(walker->seen[i]);
    }
    free(walker);
    return true;
}

void saga_paths_fini(struct saga_paths *paths)
{
    for (int i = 0; i < paths->count; i++) {
        free(paths->list[i].what);
        free(paths->list[i].order);
        free(paths->list[i].bad);
    }
    for (int i = 0; i < paths->case_count; i++)
        free(paths->cases[i]);
    for (int i = 0; i < paths->one_way_count; i++)
        free(paths->one_way[i]);
    free(paths->list);
    free(paths->cases);
    free(paths->one_way);
    *paths = (struct saga_paths){0};
}
