#include "participant/task.h"

#include "core/check.h"
#include "core/planted.h"

/* ---- moves and actions --------------------------------------------------------------------- */

#define TO(state) (1u << (TASK_##state))

/* Every edge of the diagram. */
static const unsigned edges[] = {
    [TASK_NEW] = TO(CHECKING) | TO(QUEUED) | TO(LOOKING),
    [TASK_CHECKING] = TO(CHECKING) | TO(QUEUED) | TO(LOOKING) | TO(ENDED),
    [TASK_QUEUED] = TO(WORKING) | TO(LOOKING) | TO(ENDED),
    [TASK_WORKING] = TO(LOOKING) | TO(ENDED),
    [TASK_LOOKING] = TO(LOOKING) | TO(ENDED),
    [TASK_ENDED] = 0,
};

static void move(struct task *task, enum task_state to)
{
    CHECK(edges[task->state] & 1u << to);
    task->state = to;
}

static struct task_action *add(struct task_actions *actions, enum task_action_kind kind)
{
    CHECK(actions->count < TASK_ACTIONS);
    struct task_action *action = &actions->list[actions->count++];
    *action = (struct task_action){.kind = kind};
    return action;
}

static struct task_action *answer(struct task *task, Wire__Execution execution,
                                  enum task_cause cause, struct task_actions *actions)
{
    CHECK(task->owes_answer);
    task->owes_answer = false;
    struct task_action *action = add(actions, TASK_DO_ANSWER);
    action->execution = execution;
    action->cause = cause;
    return action;
}

static void end(struct task *task, Wire__Execution execution, enum task_cause cause,
                struct task_actions *actions)
{
    answer(task, execution, cause, actions);
    move(task, TASK_ENDED);
}

static void succeed(struct task *task, bool kept, bool empty, struct task_actions *actions)
{
    struct task_action *action = answer(task, WIRE__EXECUTION__SUCCEEDED, TASK_CAUSE_NONE, actions);
    action->kept = kept;
    action->empty = empty;
    move(task, TASK_ENDED);
}

static void look(struct task *task, bool fence, struct task_actions *actions)
{
    move(task, TASK_LOOKING);
    task->fencing = fence;
    add(actions, TASK_DO_LOOK_UP)->fence = fence;
}

static void check(struct task *task, bool fence, struct task_actions *actions)
{
    move(task, TASK_CHECKING);
    task->fencing = fence;
    struct task_action *action = add(actions, TASK_DO_LOOK_UP);
    action->of_step = true;
    action->fence = fence;
}

static bool is_cancel(const struct task *task)
{
    return task->how == WIRE__HOW__HOW_CANCEL;
}

/* A row that is left where one was deleted for its age would say that nothing was done. */
static bool cancel_fences(const struct task *task)
{
    return !task->old && !PLANTED(SAGA_LATE_STEP_RUNS);
}

/* A step that nobody will ask for again must not be done by what is still under way. */
static bool refusal_fences(const struct task *task)
{
    return task->how == WIRE__HOW__HOW_STEP && task->final && !task->passing && !task->duplicate &&
           !task->old && !PLANTED(SAGA_REFUSAL_NOT_FENCED);
}

/* ---- asked --------------------------------------------------------------------------------- */

/* Towards the work, unless there is none, or it may have been done already and the proof deleted:
 * then the row decides. */
static void approach(struct task *task, struct task_actions *actions)
{
    if (task->refused) {
        look(task, refusal_fences(task), actions);
    } else if (task->old && !task->read_only) {
        look(task, false, actions);
    } else {
        move(task, TASK_QUEUED);
        add(actions, TASK_DO_ENQUEUE);
    }
}

static void begin(struct task *task, struct task_actions *actions)
{
    if (is_cancel(task))
        look(task, cancel_fences(task), actions);
    else if (task->how == WIRE__HOW__HOW_COMPENSATE)
        check(task, false, actions);
    else
        approach(task, actions);
}

/* The newest Execute is the one that is answered. A cancel stops what the step began; whether that
 * was done all the same is looked up when it has stopped. */
static void take_over(struct task *task, struct task_actions *actions)
{
    if (!is_cancel(task))
        return;
    if (task->state == TASK_QUEUED) {
        add(actions, TASK_DO_DEQUEUE);
        look(task, cancel_fences(task), actions);
    } else if (task->state == TASK_WORKING && !task->cancelling) {
        task->cancelling = true;
        add(actions, TASK_DO_CANCEL);
    }
}

static void asked(struct task *task, const struct task_event *event, struct task_actions *actions)
{
    CHECK(event->how != WIRE__HOW__HOW_NONE);
    task->how = event->how;
    task->final = event->final;
    task->old = event->old;
    task->step_old = event->step_old;
    task->owes_answer = true;
    if (task->state != TASK_NEW) {
        take_over(task, actions);
        return;
    }
    task->refused = event->refused;
    task->read_only = event->read_only;
    begin(task, actions);
}

/* ---- the work ------------------------------------------------------------------------------ */

/* What wrote nothing leaves no row, and nothing that could be done twice. */
static void worked_read_only(struct task *task, struct task_actions *actions)
{
    if (task->lost)
        end(task, WIRE__EXECUTION__NOT_DONE, TASK_CAUSE_LOST, actions);
    else
        end(task, task->passing ? WIRE__EXECUTION__NOT_DONE : WIRE__EXECUTION__FAILED,
            TASK_CAUSE_PROBLEM, actions);
}

static void worked(struct task *task, const struct task_event *event, struct task_actions *actions)
{
    CHECK(task->state == TASK_WORKING && event->outcome != DB_PREPARED);
    task->worked = true;
    task->cancelling = false;
    task->lost = event->outcome == DB_LOST;
    task->passing = event->passing || task->lost;
    task->duplicate = event->duplicate;
    if (!task->owes_answer)
        move(task, TASK_ENDED); /* what was done is in its row, for whoever asks again */
    else if (event->outcome == DB_COMMITTED && event->met)
        succeed(task, !task->read_only, false, actions);
    else if (is_cancel(task))
        look(task, cancel_fences(task), actions);
    else if (task->read_only)
        worked_read_only(task, actions);
    else
        look(task, refusal_fences(task), actions);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* The step's row. One that was deleted for its age can't be told from one that never was. */
static void checked(struct task *task, enum db_found found, struct task_actions *actions)
{
    if (found == DB_FOUND_ERROR) {
        end(task, WIRE__EXECUTION__NOT_DONE, TASK_CAUSE_DATABASE_DOWN, actions);
    } else if (found == DB_FOUND || (found == DB_NOT_FOUND && task->step_old)) {
        approach(task, actions);
    } else if (found == DB_NOT_FOUND) {
        check(task, true, actions);
    } else {
        if (task->fencing)
            add(actions, TASK_DO_WARN);
        succeed(task, true, true, actions);
    }
}

/* Nothing was begun by this Execute: so nothing can remain of it. */
static Wire__Execution unanswered(const struct task *task)
{
    return task->worked || is_cancel(task) ? WIRE__EXECUTION__UNSURE : WIRE__EXECUTION__NOT_DONE;
}

/* Without a fence, and there was no row. The newest Execute may want one, while the lookup was
 * another one's. */
static void absent(struct task *task, struct task_actions *actions)
{
    if (is_cancel(task) ? cancel_fences(task) : refusal_fences(task))
        look(task, true, actions);
    else if (is_cancel(task) && !task->old)
        end(task, WIRE__EXECUTION__FAILED, TASK_CAUSE_CANCELLED, actions);
    else if (task->old || task->duplicate)
        end(task, WIRE__EXECUTION__UNPROVABLE, TASK_CAUSE_FORGOTTEN, actions);
    else if (task->lost)
        end(task, WIRE__EXECUTION__NOT_DONE, TASK_CAUSE_LOST, actions);
    else
        end(task, task->passing ? WIRE__EXECUTION__NOT_DONE : WIRE__EXECUTION__FAILED,
            TASK_CAUSE_PROBLEM, actions);
}

static void found(struct task *task, enum db_found found, struct task_actions *actions)
{
    /* A row that says `none` may be ours, that a refused step has left just now. */
    bool own = task->fencing && !is_cancel(task) && (task->refused || task->worked);
    switch (found) {
    case DB_FOUND:
        succeed(task, true, false, actions);
        break;
    case DB_FENCED:
        end(task, WIRE__EXECUTION__FAILED, own ? TASK_CAUSE_PROBLEM : TASK_CAUSE_CANCELLED,
            actions);
        break;
    case DB_NOT_FOUND:
        CHECK(!task->fencing);
        absent(task, actions);
        break;
    case DB_FOUND_ERROR:
        end(task, unanswered(task), TASK_CAUSE_DATABASE_DOWN, actions);
        break;
    }
}

static void looked_up(struct task *task, const struct task_event *event,
                      struct task_actions *actions)
{
    CHECK(task->state == TASK_CHECKING || task->state == TASK_LOOKING);
    if (!task->owes_answer)
        move(task, TASK_ENDED);
    else if (task->state == TASK_CHECKING)
        checked(task, event->found, actions);
    else
        found(task, event->found, actions);
}

/* ---- time, sessions, the database ---------------------------------------------------------- */

/* Queued work that never began ends without a trace. */
static void drop(struct task *task, enum task_cause cause, struct task_actions *actions)
{
    add(actions, TASK_DO_DEQUEUE);
    if (task->owes_answer)
        answer(task, WIRE__EXECUTION__NOT_DONE, cause, actions);
    move(task, TASK_ENDED);
}

static void deadline(struct task *task, struct task_actions *actions)
{
    if (!task_bounded(task))
        return;
    if (task->state == TASK_QUEUED) {
        drop(task, TASK_CAUSE_DEADLINE, actions);
    } else if (task->state == TASK_WORKING) {
        /* It may have committed: the answer waits for what the database says. */
        task->cancelling = true;
        add(actions, TASK_DO_CANCEL);
    } else {
        answer(task, unanswered(task), TASK_CAUSE_DEADLINE, actions);
    }
}

/* Work that runs goes on: it is asked for again in the next session, and then it is done. */
static void session_lost(struct task *task, struct task_actions *actions)
{
    task->owes_answer = false;
    if (task->state == TASK_QUEUED)
        drop(task, TASK_CAUSE_NONE, actions);
}

bool task_bounded(const struct task *task)
{
    return task->owes_answer && !task->cancelling;
}

void task_step(struct task *task, const struct task_event *event, struct task_actions *actions)
{
    actions->count = 0;
    CHECK(task->state != TASK_ENDED);
    switch (event->kind) {
    case TASK_ASKED:
        asked(task, event, actions);
        break;
    case TASK_STARTED:
        CHECK(task->state == TASK_QUEUED);
        move(task, TASK_WORKING);
        add(actions, TASK_DO_WORK);
        break;
    case TASK_WORKED:
        worked(task, event, actions);
        break;
    case TASK_LOOKED_UP:
        looked_up(task, event, actions);
        break;
    case TASK_DEADLINE:
        deadline(task, actions);
        break;
    case TASK_SESSION_LOST:
        session_lost(task, actions);
        break;
    case TASK_DATABASE_DOWN:
        if (task->state == TASK_QUEUED)
            drop(task, TASK_CAUSE_DATABASE_DOWN, actions);
        break;
    }
}
