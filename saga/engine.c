#include "saga/engine.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "saga/duration.h"
#include "saga/engine_private.h"

/* ---- life ---------------------------------------------------------------------------------- */

struct saga *saga_new(const struct saga_begin *begin)
{
    size_t id = strlen(begin->id) + 1, input = strlen(begin->input) + 1;
    struct saga *saga = xcalloc(1, sizeof(*saga) + id + input);
    memcpy(saga->texts, begin->id, id);
    memcpy(saga->texts + id, begin->input, input);
    saga->input = saga->texts + id;
    saga->plan = begin->plan;
    saga->begun_us = saga->last_us = begin->begun_us;
    saga->state = SAGA_RUNNING;
    list_init(&saga->due);
    list_init(&saga->paused);
    list_init(&saga->resting);
    return saga;
}

void saga_free(struct saga *saga)
{
    if (!saga)
        return;
    if (saga->begun)
        nodes_free(saga);
    while (saga->signals) {
        struct signal *next = saga->signals->next;
        free(saga->signals->value);
        free(saga->signals);
        saga->signals = next;
    }
    if (saga->failure)
        free(saga->failure->problem);
    free(saga->failure);
    free(saga->output);
    free(saga);
}

/* The tree is begun when the first event comes, at the time at which the saga was. */
static void begin(struct saga *saga)
{
    struct turn turn = {.saga = saga, .at_us = saga->begun_us};
    saga->begun = true;
    if (node_begin(&turn, &saga->root))
        saga->all_done = true;
}

/* ---- what follows from an event ------------------------------------------------------------ */

static void end_compensated(struct turn *turn)
{
    struct saga *saga = turn->saga;
    CHECK(saga->open == 0 && list_empty(&saga->due) && list_empty(&saga->paused) &&
          list_empty(&saga->resting)); /* E6 */
    record(turn, &(struct saga_record){.type = SAGA_RECORD_COMPENSATED,
                                       .awaited = true,
                                       .instance.step = SAGA_NONE,
                                       .at_us = turn->at_us});
    saga->state = SAGA_COMPENSATED;
    saga->ended_us = turn->at_us;
    action_add(turn)->type = SAGA_ACT_END;
}

/* One thing that is to be done now. False: there is nothing left. */
static bool settle_one(struct turn *turn)
{
    struct saga *saga = turn->saga;
    bool running = saga->state == SAGA_RUNNING;
    struct task *due;
    if (running && saga->failure) {
        if (!pivot_is_out(turn))
            return false;
        go_backward(turn);
    } else if (running && saga->all_done && saga->root.state != NODE_BROKEN) {
        complete(turn);
    } else if (saga->state == SAGA_COMPENSATING && saga->all_undone) {
        end_compensated(turn);
    } else if ((due = task_first(&saga->due)) != NULL) {
        task_try(turn, due);
    } else if (running && turn->look_waits) {
        look_at_waits(turn);
    } else {
        return false;
    }
    return true;
}

static bool is_over(const struct saga *saga)
{
    return saga->state == SAGA_COMPLETED || saga->state == SAGA_COMPENSATED;
}

static void settle(struct turn *turn)
{
    while (!is_over(turn->saga) && settle_one(turn))
        continue;
}

static void check_deadline(struct turn *turn)
{
    const struct saga *saga = turn->saga;
    int64_t deadline_us = saga_deadline_us(saga);
    duration_text limit;
    char message[96];
    if (!deadline_us || turn->time.wall_us < deadline_us)
        return;
    snprintf(message, sizeof(message), "the saga's timeout of %s is over",
             duration_format(limit, saga->plan->timeout_us));
    fail(turn, NULL, &(struct saga_problem){.code = "timeout", .message = message});
}

/* ---- events -------------------------------------------------------------------------------- */

static void forget(void *self, struct node *node)
{
    struct turn *turn = self;
    bool done =
        node->state == NODE_DONE || node->state == NODE_UNDOING || node->state == NODE_UNDONE;
    if (!done || step_of(turn->saga, node)->type != SAGA_TRANSACTION)
        return;
    struct saga_action *action = action_add(turn);
    action->type = SAGA_ACT_FORGET;
    node_instance(turn->saga, node, &action->instance);
}

/* What an earlier run tried is not known: it may have done anything that it was able to. */
static void resume(struct turn *turn, bool began)
{
    struct saga *saga = turn->saga;
    saga->resumed = true;
    for (struct list *at = saga->due.next; at != &saga->due && !began; at = at->next) {
        struct task *task = CONTAINER(at, struct task, link);
        task->unsure = task->how != SAGA_DO || !PLANTED(SAGA_GUESS_UNSURE);
    }
    if (is_over(saga)) { /* whoever waits for it may not have heard */
        action_add(turn)->type = SAGA_ACT_END;
        return;
    }
    if (!began) /* likewise, who keeps what answers another try */
        nodes_each_leaf(saga, &saga->root, forget, turn);
    check_deadline(turn);
    turn->look_waits = true;
}

static void wake(struct turn *turn)
{
    struct saga *saga = turn->saga;
    struct list *next;
    for (struct list *at = saga->paused.next; at != &saga->paused; at = next) {
        struct task *task = CONTAINER(at, struct task, link);
        next = at->next;
        if (task->pause_us <= turn->time.now_us)
            task_move(task, &saga->due);
    }
    check_deadline(turn);
    turn->look_waits = true;
}

static bool knows_signal(const struct saga_plan *plan, const char *name, struct error *error)
{
    const char *names[LIMIT_SAGA_STEPS];
    int count = 0;
    for (int i = 0; i < plan->step_count && count < LIMIT_SAGA_STEPS; i++) {
        if (plan->steps[i].type != SAGA_WAIT || plan->steps[i].wait != SAGA_WAIT_SIGNAL)
            continue;
        if (strcmp(plan->steps[i].signal, name) == 0)
            return true;
        names[count++] = plan->steps[i].signal;
    }
    const char *near = error_nearest(name, names, count);
    error_set(error, ERROR_REFUSED, "no step of %s waits for the signal %.63s", plan->name, name);
    return near ? error_hint(error, "did you mean %s?", near) : false;
}

static bool signalled(struct turn *turn, const struct saga_event *event, struct error *error)
{
    struct saga *saga = turn->saga;
    int count = 0;
    if (!event->name || !knows_signal(saga->plan, event->name, error))
        return false;
    if (saga->state != SAGA_RUNNING)
        return error_set(error, ERROR_REFUSED, "the saga %s is %s: nothing waits for a signal",
                         saga->texts, saga_state_words[saga->state]);
    for (const struct signal *at = saga->signals; at; at = at->next)
        count++;
    if (count >= LIMIT_SAGA_SIGNALS)
        return error_set(error, ERROR_BUSY, "%d signals wait in the saga %s already", count,
                         saga->texts);
    record(turn, &(struct saga_record){.type = SAGA_RECORD_SIGNALLED,
                                       .awaited = !PLANTED(SAGA_SIGNAL_NOT_AWAITED),
                                       .instance.step = SAGA_NONE,
                                       .at_us = turn->at_us,
                                       .name = event->name,
                                       .value = event->value});
    signal_keep(turn, event->name, event->value);
    turn->look_waits = true;
    return true;
}

/* What could not begin begins now. */
static void begin_again(struct turn *turn, struct node *node)
{
    struct saga *saga = turn->saga;
    task_drop(saga, node);
    if (node == &saga->root)
        node->state = NODE_OPEN; /* only the saga's own output was broken */
    else if (node_begin(turn, node))
        node_finished(turn, node);
}

static void try_anew(struct turn *turn, struct task *task)
{
    if (task->node->state == NODE_BROKEN) {
        begin_again(turn, task->node);
        return;
    }
    task->gave_up = false;
    task_turn(turn, task, (enum saga_how)task->how);
}

/* He vouches for what could not be proved, and for nothing else: what only waits for a participant
 * may have been done long ago, and must still be known as that old. */
static void record_retried(struct turn *turn, const struct list *waiting)
{
    struct saga_record looked = {.type = SAGA_RECORD_RETRIED,
                                 .awaited = true,
                                 .instance.step = SAGA_NONE,
                                 .at_us = turn->at_us};
    bool any = false;
    for (struct list *at = waiting->next; at != waiting; at = at->next) {
        struct task *task = CONTAINER(at, struct task, link);
        if (!task->unproved)
            continue;
        struct saga_record made = record_of(turn, SAGA_RECORD_RETRIED, task->node);
        made.awaited = any = true;
        record(turn, &made);
        apply_retried(turn, task);
    }
    if (!any)
        record(turn, &looked);
}

static bool retry(struct turn *turn, struct error *error)
{
    struct saga *saga = turn->saga;
    struct list waiting, *next;
    list_init(&waiting);
    for (struct list *at = saga->resting.next; at != &saga->resting; at = next) {
        struct task *task = CONTAINER(at, struct task, link);
        next = at->next;
        if (!task->trying && task->stuck)
            task_move(task, &waiting);
    }
    while (!list_empty(&saga->paused))
        task_move(task_first(&saga->paused), &waiting);
    if (list_empty(&waiting))
        return error_set(error, ERROR_REFUSED, "nothing of the saga %s waits to be tried again",
                         saga->texts);
    record_retried(turn, &waiting);
    while (!list_empty(&waiting)) {
        struct task *task = task_first(&waiting);
        task_move(task, &saga->resting);
        try_anew(turn, task);
    }
    for (struct list *at = saga->resting.next; at != &saga->resting; at = at->next) {
        struct task *task = CONTAINER(at, struct task, link);
        task->tried = task->trying ? 1 : task->tried;
        if (task->trying)
            task_attention(saga, task, false);
    }
    return true;
}

static bool compensate(struct turn *turn, const struct saga_event *event, struct error *error)
{
    struct saga *saga = turn->saga;
    static const struct saga_problem ordered = {.code = "compensated",
                                                .message = "it was ordered to be undone"};
    if (saga->state == SAGA_COMPENSATING || saga->state == SAGA_COMPENSATED)
        return true;
    if (saga->past_pivot && !PLANTED(SAGA_UNDO_AFTER_PIVOT))
        return error_set(error, ERROR_REFUSED, "the saga %s is past its pivot: it can't be undone",
                         saga->texts);
    fail(turn, NULL, event->problem.code || event->problem.message ? &event->problem : &ordered);
    if (saga->state == SAGA_COMPLETED)
        go_backward(turn);
    return true;
}

static bool live(struct turn *turn, const struct saga_event *event, struct error *error)
{
    struct saga *saga = turn->saga;
    switch (event->type) {
    case SAGA_EVENT_REPLAYED:
        return error_set(error, ERROR_CORRUPT, "saga %s: a record after it was resumed",
                         saga->texts);
    case SAGA_EVENT_RESUMED:
        resume(turn, event->began);
        return true;
    case SAGA_EVENT_ANSWERED:
        answered(turn, event);
        return true;
    case SAGA_EVENT_SIGNALLED:
        return signalled(turn, event, error);
    case SAGA_EVENT_WOKEN:
        wake(turn);
        return true;
    case SAGA_EVENT_RETRY:
        return retry(turn, error);
    case SAGA_EVENT_COMPENSATE:
        return compensate(turn, event, error);
    }
    return false;
}

static bool replay_event(struct saga *saga, const struct saga_event *event, struct error *error)
{
    struct turn turn = {.saga = saga, .at_us = event->record->at_us};
    if (!replay(&turn, event->record, error))
        return false;
    if (event->record->at_us > saga->last_us)
        saga->last_us = event->record->at_us;
    return true;
}

static bool may_be_lost(const struct saga_record *record)
{
    bool done = record->type == SAGA_RECORD_STEP_DONE;
    return (PLANTED(SAGA_DONE_NOT_AWAITED) && done) ||
           (PLANTED(SAGA_SIGNAL_NOT_AWAITED) &&
            (record->type == SAGA_RECORD_SIGNALLED || record->by_signal)) ||
           (PLANTED(SAGA_ACT_BEFORE_FAILED_DURABLE) && record->type == SAGA_RECORD_FAILED);
}

/* A step is asked for because of the records before it, so they must not get lost: a saga that
 * knows less the next time, and then fails, would leave undone what it has forgotten. */
static void await(struct saga_actions *actions, int first)
{
    bool asked = false;
    for (int i = actions->count; i-- > first;) {
        struct saga_action *action = &actions->list[i];
        asked = asked || action->type == SAGA_ACT_TRY;
        if (asked && action->type == SAGA_ACT_RECORD && !may_be_lost(&action->record))
            action->record.awaited = true;
    }
}

bool saga_advance(struct saga *saga, const struct saga_event *event, struct saga_actions *actions,
                  struct error *error)
{
    if (!saga->begun)
        begin(saga);
    if (event->type == SAGA_EVENT_REPLAYED && !saga->resumed)
        return replay_event(saga, event, error);
    if (!saga->resumed && event->type != SAGA_EVENT_RESUMED)
        return error_set(error, ERROR_BUSY, "the saga %s has not begun yet", saga->texts);
    if (saga->resumed && event->type == SAGA_EVENT_RESUMED)
        return true;
    struct turn turn = {.saga = saga, .actions = actions, .time = event->time, .live = true};
    turn.at_us = event->time.wall_us > saga->last_us ? event->time.wall_us : saga->last_us;
    int before = actions->count;
    if (!live(&turn, event, error))
        return false;
    settle(&turn);
    await(actions, before);
    if (actions->count > before)
        saga->last_us = turn.at_us;
    return true;
}
