#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/map.h"
#include "core/planted.h"
#include "saga/engine_private.h"
#include "saga/retry.h"

/* ---- asking -------------------------------------------------------------------------------- */

bool task_is_tried_forever(const struct turn *turn, const struct task *task)
{
    return task->how != SAGA_DO || turn->saga->past_pivot ||
           step_of(turn->saga, task->node)->kind == SAGA_RETRIABLE;
}

void task_turn(struct turn *turn, struct task *task, enum saga_how how)
{
    CHECK(!task->trying);
    task->how = (uint8_t)how;
    task->tried = 0;
    task->stuck = task->unproved = false;
    task_attention(turn->saga, task, false);
    task_move(task, &turn->saga->due);
}

/* Renders what it is called with. False with an error; what is in out must be freed all the same.
 */
static bool render_arguments(struct turn *turn, const struct task *task, struct saga_action *out,
                             struct error *error)
{
    const struct saga_plan *plan = turn->saga->plan;
    struct node *node = task->node;
    const struct saga_step *step = step_of(turn->saga, node);
    bool undo = task->how == SAGA_COMPENSATE;
    if (task->how == SAGA_CANCEL || (undo && step->type == SAGA_SAGA))
        return true;
    int count = step->type == SAGA_TRANSACTION && !undo ? step->call_count : 1;
    out->arguments = xcalloc((size_t)count, sizeof(char *));
    for (int i = 0; i < count; i++) {
        int template = undo                      ? plan->calls[step->compensation].with
                       : step->type == SAGA_SAGA ? step->input
                                                 : plan->calls[step->first_call + i].with;
        char *text = sight_arguments(turn->saga, node, template, undo ? node->result : NULL, error);
        if (!text)
            return false;
        out->arguments[out->argument_count++] = text;
    }
    return true;
}

static void arguments_free(struct saga_action *action)
{
    for (int i = 0; i < action->argument_count; i++)
        free(action->arguments[i]);
    free(action->arguments);
}

/* What E1 to E4 say of a try. */
static void check_try(const struct saga *saga, const struct task *task)
{
    switch ((enum saga_how)task->how) {
    case SAGA_DO:
        CHECK(saga->state == SAGA_RUNNING && !saga->failure); /* E2 */
        CHECK(task->node->state == NODE_OPEN);
        break;
    case SAGA_CANCEL:
        CHECK(task->node->state == NODE_OPEN && (task->unsure || PLANTED(SAGA_GUESS_UNSURE)));
        break;
    case SAGA_COMPENSATE:
        CHECK(saga->state == SAGA_COMPENSATING && saga->open == 0); /* E2, E4 */
        CHECK(!saga->past_pivot || PLANTED(SAGA_UNDO_AFTER_PIVOT)); /* E3 */
        CHECK(task->node->state == NODE_UNDOING);
        break;
    }
}

void task_try(struct turn *turn, struct task *task)
{
    struct error error = {0};
    struct saga_action action = {.type = SAGA_ACT_TRY};
    struct node *node = task->node;
    const struct saga_step *step = step_of(turn->saga, node);
    check_try(turn->saga, task);
    if (!render_arguments(turn, task, &action, &error)) {
        struct saga_problem problem = problem_of_error(&error);
        arguments_free(&action);
        task->gave_up = task->how == SAGA_DO;
        task_stick(turn, task, &problem);
        return;
    }
    node_instance(turn->saga, node, &action.instance);
    action.how = task->how;
    action.try = ++task->try;
    action.timeout_us = step->timeout_us;
    action.since_us = task->since_us;
    action.step_since_us = task->how == SAGA_COMPENSATE ? node->since_us : 0;
    action.final = step->type == SAGA_CALL && !task_is_tried_forever(turn, task);
    task->tried++;
    task->trying = true;
    task_move(task, &turn->saga->resting);
    *action_add(turn) = action;
}

/* ---- when it did not work ------------------------------------------------------------------ */

void task_stick(struct turn *turn, struct task *task, const struct saga_problem *problem)
{
    struct saga *saga = turn->saga;
    task->stuck = true;
    task_problem(task, problem);
    task_move(task, &saga->resting);
    if (task->gave_up && saga->state == SAGA_RUNNING && !saga->past_pivot)
        fail(turn, task->node == &saga->root ? NULL : task->node, problem);
    else
        task_attention(saga, task, true);
}

/* What it has done may be forgotten: only who looks can tell. */
static void task_unproved(struct turn *turn, struct task *task, const struct saga_problem *problem)
{
    task->unproved = true;
    task_stick(turn, task, problem);
}

/* By chance, but always the same for the same try. */
static uint64_t chance(const struct saga *saga, const struct task *task)
{
    struct saga_instance instance;
    saga_label label;
    node_instance(saga, task->node, &instance);
    saga_label_format(label, saga->plan, &instance);
    uint64_t hash = hash_bytes(saga->texts, strlen(saga->texts));
    return hash_u64(hash ^ hash_bytes(label, strlen(label)) ^
                    hash_u64((uint64_t)task->try * 4 + task->how));
}

static void try_later(struct turn *turn, struct task *task)
{
    struct saga *saga = turn->saga;
    uint64_t pause =
        saga_retry_pause(&step_of(saga, task->node)->retry, (int)task->tried, chance(saga, task));
    task->pause_us = turn->time.now_us + pause;
    task_move(task, &saga->paused);
    if (task_is_tried_forever(turn, task) && task->tried >= (unsigned)saga->plan->alert_after)
        task_attention(saga, task, true);
}

/* A step before the pivot is certainly not done, and won't be. */
static void give_up(struct turn *turn, struct task *task)
{
    CHECK(!task->unsure && !task->trying);
    task->gave_up = true;
    fail(turn, task->node, task->problem);
}

/* ---- when it worked ------------------------------------------------------------------------ */

/* It is done, but its output can't be made. Before the pivot the saga fails, and the step is
 * undone: FAILED comes first, so that whoever replays does not go on without the output. From the
 * pivot on nothing may fail: an operator. */
static void output_failed(struct turn *turn, struct task *task, const struct saga_event *event,
                          const struct error *error)
{
    struct saga *saga = turn->saga;
    struct saga_problem problem = problem_of_error(error);
    bool pivot = step_of(saga, task->node)->kind == SAGA_PIVOT;
    task->unsure = true;
    if (!saga->past_pivot && !pivot) {
        task->done = true;
        task->kept = event->kept;
        task->result = event->result ? xstrdup(event->result) : NULL;
    }
    task->gave_up = !pivot;
    if (pivot)
        pass_pivot(turn);
    task_stick(turn, task, &problem);
}

/* FAILED is recorded because the pivot was proved not to be done, and now it is: a database has
 * forgotten what it had told. Neither way is right by itself (E3): an operator. */
static bool contradicts(struct turn *turn, struct task *task)
{
    static const struct saga_problem problem = {
        .code = "contradiction",
        .message = "the pivot is done, after it had been proved that it never would be",
        .detail = "the steps before it wait to be undone: the participant's database does not hold "
                  "what it has told",
        .hint = "was it restored? When the pivot's work is taken back there by hand, let the saga "
                "try again"};
    bool pivot = step_of(turn->saga, task->node)->kind == SAGA_PIVOT;
    if (!pivot || turn->saga->state == SAGA_RUNNING || PLANTED(SAGA_GUESS_UNSURE))
        return false;
    task_stick(turn, task, &problem);
    return true;
}

static void succeeded(struct turn *turn, struct task *task, const struct saga_event *event)
{
    if (contradicts(turn, task))
        return;
    struct node *node = task->node;
    int template = step_of(turn->saga, node)->output;
    struct error error = {0};
    char *output = event->result && template == SAGA_NONE ? xstrdup(event->result) : NULL;
    if (template != SAGA_NONE)
        output = sight_render(turn->saga, node, template, event->result, &error);
    if (template != SAGA_NONE && !output && turn->saga->state == SAGA_RUNNING)
        output_failed(turn, task, event, &error);
    else
        record_done(turn, node, output, event->result, event->kept, false);
}

/* ---- answers ------------------------------------------------------------------------------- */

/* The saga fails, or has: no step is tried on. While it can't fail yet they rest. */
static bool is_failing(const struct saga *saga)
{
    return saga->state != SAGA_RUNNING || saga->failure;
}

static void done_or_not(struct turn *turn, struct task *task)
{
    if (turn->saga->state != SAGA_RUNNING)
        task_resolve(turn, task);
}

static void do_answered(struct turn *turn, struct task *task, const struct saga_event *event)
{
    const struct saga_step *step = step_of(turn->saga, task->node);
    bool forever = task_is_tried_forever(turn, task);
    bool last = event->outcome == SAGA_REFUSED || task->tried >= (unsigned)step->retry.attempts;
    if (event->outcome == SAGA_UNSURE || event->outcome == SAGA_UNPROVABLE)
        task->unsure = !PLANTED(SAGA_GUESS_UNSURE);
    if (event->outcome == SAGA_REFUSED && !forever && step->type != SAGA_TRANSACTION)
        task->unsure = false; /* final: no other try will do it either */
    if (is_failing(turn->saga))
        done_or_not(turn, task);
    else if (event->outcome == SAGA_UNPROVABLE)
        task_unproved(turn, task, &event->problem);
    else if (forever || !last)
        try_later(turn, task);
    else if (task->unsure)
        task_turn(turn, task, SAGA_CANCEL);
    else
        give_up(turn, task);
}

static void cancel_answered(struct turn *turn, struct task *task, const struct saga_event *event)
{
    if (event->outcome == SAGA_UNPROVABLE) {
        task_unproved(turn, task, &event->problem);
    } else if (event->outcome != SAGA_REFUSED) {
        try_later(turn, task);
    } else {
        task->unsure = false;
        if (is_failing(turn->saga))
            done_or_not(turn, task);
        else
            give_up(turn, task);
    }
}

static void undo_answered(struct turn *turn, struct task *task, const struct saga_event *event)
{
    struct saga_record made = record_of(turn, SAGA_RECORD_STEP_UNDONE, task->node);
    bool enough = PLANTED(SAGA_GIVE_UP_UNDO) && task->tried > 1;
    if (event->outcome == SAGA_SUCCEEDED || enough) {
        record(turn, &made);
        apply_undone(turn, task->node);
    } else if (event->outcome == SAGA_UNPROVABLE) {
        task_unproved(turn, task, &event->problem);
    } else {
        try_later(turn, task);
    }
}

void answered(struct turn *turn, const struct saga_event *event)
{
    struct node *node = node_find(turn->saga, &event->instance);
    struct task *task = node ? node->task : NULL;
    if (!task || !task->trying || task->how != event->how || task->try != event->try)
        return;
    task->trying = false;
    /* A cancel's refusal is no news: why the step did not work is. */
    if (event->outcome != SAGA_SUCCEEDED &&
        !(event->how == SAGA_CANCEL && event->outcome == SAGA_REFUSED && task->problem))
        task_problem(task, &event->problem);
    if (event->how == SAGA_COMPENSATE)
        undo_answered(turn, task, event);
    else if (event->outcome == SAGA_SUCCEEDED)
        succeeded(turn, task, event);
    else if (event->how == SAGA_DO)
        do_answered(turn, task, event);
    else
        cancel_answered(turn, task, event);
}
