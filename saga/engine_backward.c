#include <stdlib.h>

#include "core/check.h"
#include "core/planted.h"
#include "saga/engine_private.h"

/* ---- failing ------------------------------------------------------------------------------- */

void fail(struct turn *turn, struct node *node, const struct saga_problem *problem)
{
    struct saga *saga = turn->saga;
    static const struct saga_problem unknown = {.code = "failed", .message = "the step failed"};
    if (saga->failure || (saga->past_pivot && !PLANTED(SAGA_UNDO_AFTER_PIVOT)))
        return;
    struct failure *failure = xcalloc(1, sizeof(*failure));
    failure->instance.step = SAGA_NONE;
    if (node)
        node_instance(saga, node, &failure->instance);
    failure->problem = problem_keep(problem ? problem : &unknown);
    saga->failure = failure;
}

bool pivot_is_out(struct turn *turn)
{
    struct node *pivot = turn->saga->pivot;
    if (!pivot || pivot->state != NODE_OPEN)
        return true;
    struct task *task = pivot->task;
    if (!task->trying && task->unsure && task->how == SAGA_DO)
        task_turn(turn, task, SAGA_CANCEL);
    if (task->in == &turn->saga->due && task->how == SAGA_CANCEL)
        task_try(turn, task);
    return !task->trying && !task->unsure;
}

void go_backward(struct turn *turn)
{
    struct saga *saga = turn->saga;
    CHECK(!saga->past_pivot || PLANTED(SAGA_UNDO_AFTER_PIVOT)); /* E3 */
    CHECK(!saga->pivot || saga->pivot->state != NODE_OPEN ||
          !(saga->pivot->task->trying || saga->pivot->task->unsure));
    struct saga_record made = {.type = SAGA_RECORD_FAILED,
                               .awaited = !PLANTED(SAGA_ACT_BEFORE_FAILED_DURABLE),
                               .instance = saga->failure->instance,
                               .at_us = turn->at_us,
                               .problem = *saga->failure->problem};
    record(turn, &made);
    apply_failed(turn);
}

/* A wait is given up without a record: nobody else knows of it. */
static void give_up_waits(struct turn *turn)
{
    struct saga *saga = turn->saga;
    while (saga->waits) {
        struct node *node = saga->waits;
        waits_drop(saga, node);
        node->state = NODE_FENCED;
        node->ended_us = turn->at_us;
    }
}

static void take_all(struct list *from, struct list *to)
{
    while (!list_empty(from)) {
        struct list *first = from->next;
        list_remove(first);
        list_append(to, first);
    }
}

static void drop_broken(struct saga *saga, struct list *tasks)
{
    for (struct list *at = tasks->next, *next; at != tasks; at = next) {
        struct task *task = CONTAINER(at, struct task, link);
        next = at->next;
        if (task->node->state == NODE_BROKEN)
            task_drop(saga, task->node);
    }
}

void apply_failed(struct turn *turn)
{
    struct saga *saga = turn->saga;
    struct list all;
    list_init(&all);
    saga->failure->at_us = turn->at_us;
    saga->state = SAGA_COMPENSATING;
    saga->ended_us = 0;
    free(saga->output);
    saga->output = NULL;
    give_up_waits(turn);
    take_all(&saga->due, &all);
    take_all(&saga->paused, &all);
    take_all(&saga->resting, &all);
    drop_broken(saga, &all); /* before what they are of is undone, and so not broken any more */
    if (saga->open == 0)
        resolved(turn);
    for (struct task *task = task_first(&all); task; task = task_first(&all)) {
        task_move(task, &saga->resting);
        if (!task->trying)
            task_resolve(turn, task);
    }
}

/* ---- what is under way when it fails ------------------------------------------------------- */

void task_resolve(struct turn *turn, struct task *task)
{
    struct node *node = task->node;
    CHECK(turn->saga->state == SAGA_COMPENSATING && !task->trying); /* E2 */
    if (!turn->live)
        task->unsure = true;
    if (task->done) {
        char *result = task->result;
        task->result = NULL;
        record_done(turn, node, NULL, result, task->kept, false);
        free(result);
    } else if (task->unsure) {
        if (task->how != SAGA_CANCEL)
            task_turn(turn, task, SAGA_CANCEL);
        else if (task->stuck)
            return;
        else
            task_move(task, task->tried && turn->live ? &turn->saga->paused : &turn->saga->due);
    } else {
        struct saga_record made = record_of(turn, SAGA_RECORD_STEP_FENCED, node);
        record(turn, &made);
        apply_fenced(turn, node);
    }
}

void apply_fenced(struct turn *turn, struct node *node)
{
    node->state = NODE_FENCED;
    node->ended_us = turn->at_us;
    task_drop(turn->saga, node);
    turn->saga->open--;
    resolved(turn);
}

void apply_retried(struct turn *turn, struct task *task)
{
    task->since_us = turn->at_us;
    task->retried = true;
}

/* ---- undoing ------------------------------------------------------------------------------- */

static bool is_undone_by_something(const struct saga *saga, const struct node *node)
{
    const struct saga_step *step = step_of(saga, node);
    if (PLANTED(SAGA_SKIP_UNDO) && node->index == 0)
        return false;
    return step->kind == SAGA_COMPENSATABLE &&
           (step->type == SAGA_SAGA || step->compensation != SAGA_NONE);
}

static bool undo_block(struct turn *turn, struct node *node);

/* True: there is nothing to undo, or nothing any more. */
static bool undo(struct turn *turn, struct node *node)
{
    struct saga *saga = turn->saga;
    const struct saga_step *step = step_of(saga, node);
    if (type_is_block(step->type)) {
        struct children *children = node->children;
        if (!children ||
            (node->state != NODE_OPEN && node->state != NODE_DONE && node->state != NODE_BROKEN))
            return true;
        children->next = children->count;
        children->open = 0;
        return undo_block(turn, node);
    }
    if (node->state != NODE_DONE || !is_undone_by_something(saga, node))
        return true;
    CHECK(step->kind != SAGA_PIVOT); /* E3 */
    struct task *task = task_add(saga, node, SAGA_COMPENSATE);
    task->since_us = turn->at_us;
    node->state = NODE_UNDOING;
    return false;
}

static uint32_t undo_width(const struct saga_step *step, const struct children *children)
{
    return step->type == SAGA_PARALLEL   ? children->count
           : step->type == SAGA_FOR_EACH ? (uint32_t)step->at_once
                                         : 1;
}

/* E5: the last first. True: all in it is undone. */
static bool undo_block(struct turn *turn, struct node *node)
{
    struct children *children = node->children;
    uint32_t width = undo_width(step_of(turn->saga, node), children);
    while (children->next > 0 && children->open < width) {
        uint32_t at = --children->next;
        if (PLANTED(SAGA_UNDO_IN_ORDER))
            at = children->count - 1 - at;
        if (children->list[at] && !undo(turn, children->list[at]))
            children->open++;
    }
    if (children->open > 0)
        return false;
    node->state = NODE_UNDONE;
    json_free(children->items);
    children->items = NULL;
    return true;
}

void resolved(struct turn *turn)
{
    struct saga *saga = turn->saga;
    if (saga->open == 0 && undo(turn, &saga->root))
        saga->all_undone = true;
}

void apply_undone(struct turn *turn, struct node *node)
{
    CHECK(node->state == NODE_UNDOING);
    task_drop(turn->saga, node);
    node->state = NODE_UNDONE;
    node->since_us = turn->at_us;
    for (struct node *parent = node->parent; parent; parent = parent->parent) {
        parent->children->open--;
        if (!undo_block(turn, parent))
            return;
    }
    turn->saga->all_undone = true;
}
