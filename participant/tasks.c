/* What sagas want of this participant: an Execute comes in, its task is queued for a connection
 * beside the branches, and is answered in the session that asked last. An agent that is killed
 * loses nothing: the coordinator asks again, and troth.barrier knows what was done. */
#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "core/planted.h"
#include "core/problem.h"
#include "participant/agent_private.h"

static uint64_t now(const struct agent *agent)
{
    return agent->host.now_us(agent->host.self);
}

/* ---- answers ------------------------------------------------------------------------------- */

static void send_executed(struct agent *agent, uint64_t session, Wire__Executed *executed)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_EXECUTED;
    message.executed = executed;
    agent_send_to(agent, session, &message);
}

/* Of one that is not even begun. */
static void refuse(struct agent *agent, const struct link *link, const Wire__Execute *execute,
                   Wire__Execution execution, struct problem *problem)
{
    Wire__Executed executed = WIRE__EXECUTED__INIT;
    executed.task = execute->task;
    executed.how = execute->how;
    executed.try_ = execute->try_;
    executed.execution = execution;
    executed.problem = &problem->wire;
    send_executed(agent, link->session, &executed);
}

static void say_deadline(struct problem *problem, const char *what)
{
    PROBLEM_SAY(problem->code, "deadline");
    PROBLEM_SAY(problem->message, "%s", what);
    PROBLEM_SAY(problem->hint, "allow the step more time (`timeout`), or more work at once "
                               "(postgres.connections)");
}

static const char *operation_of(const struct errand *errand)
{
    if (errand->work)
        return errand->work->operations[0]->name;
    return errand->problem ? errand->problem->operation : "";
}

/* What is told when nothing was said against the work itself. */
static void fill_problem(struct problem *problem, const struct agent *agent,
                         const struct errand *errand, enum task_cause cause)
{
    problem_init(problem, agent, operation_of(errand), "unknown");
    switch (cause) {
    case TASK_CAUSE_NONE:
    case TASK_CAUSE_PROBLEM:
        break;
    case TASK_CAUSE_CANCELLED:
        PROBLEM_SAY(problem->code, "cancelled");
        PROBLEM_SAY(problem->message, "it was not done, and never will be");
        PROBLEM_SAY(problem->detail, "row %s of troth.barrier keeps it from being done",
                    errand->key);
        break;
    case TASK_CAUSE_DEADLINE:
        say_deadline(problem, "the time of this try was up before its work began");
        if (errand->task.worked || errand->how == WIRE__HOW__HOW_CANCEL)
            PROBLEM_SAY(problem->message,
                        "the time of this try was up before troth.barrier was looked up");
        break;
    case TASK_CAUSE_DATABASE_DOWN:
        problem_database(problem, agent, "the database can't be used");
        break;
    case TASK_CAUSE_LOST:
        problem_database(problem, agent,
                         "the connection to the database was lost while the work was committed");
        break;
    case TASK_CAUSE_FORGOTTEN:
        PROBLEM_SAY(problem->code, "forgotten");
        PROBLEM_SAY(problem->message, "whether it was done can't be proved any more");
        PROBLEM_SAY(problem->detail, "troth.barrier has no row %s, which may be gone for its age",
                    errand->key);
        PROBLEM_SAY(problem->hint, "look in the database whether it was done");
        break;
    }
}

static void do_answer(struct agent *agent, struct errand *errand, const struct task_action *action,
                      const char *result)
{
    struct problem problem;
    Wire__Task task = WIRE__TASK__INIT;
    Wire__Executed executed = WIRE__EXECUTED__INIT;
    task.epoch = errand->saga.epoch;
    task.seq = errand->saga.seq;
    task.step = errand->step;
    executed.task = &task;
    executed.how = errand->how;
    executed.try_ = errand->try;
    executed.execution = action->execution;
    executed.empty = action->empty;
    executed.kept = action->kept;
    if (action->execution == WIRE__EXECUTION__SUCCEEDED) {
        executed.result = (char *)(result && !action->empty ? result : "");
    } else if (action->cause == TASK_CAUSE_PROBLEM && errand->problem) {
        executed.problem = &errand->problem->wire;
    } else {
        fill_problem(&problem, agent, errand, action->cause);
        executed.problem = &problem.wire;
    }
    send_executed(agent, errand->session, &executed);
}

/* ---- actions ------------------------------------------------------------------------------- */

static void do_work(struct agent *agent, struct errand *errand)
{
    uint64_t at = now(agent);
    struct work *work = errand->work;
    list_remove(&errand->queued);
    agent->working++;
    work->given_us = at;
    work->request.timeout_us = errand->deadline_us > at ? errand->deadline_us - at : 1;
    if (PLANTED(BARRIER_IGNORED))
        snprintf(work->gtrid, sizeof(work->gtrid), "%.100s#%08x", errand->key, agent_random(agent));
    agent->database.work(agent->database.self, &work->request, errand);
}

static void act(struct agent *agent, struct errand *errand, const struct task_action *action,
                const char *result)
{
    struct db_port *database = &agent->database;
    switch (action->kind) {
    case TASK_DO_ENQUEUE:
        list_append(&agent->task_queue, &errand->queued);
        break;
    case TASK_DO_DEQUEUE:
        list_remove(&errand->queued);
        break;
    case TASK_DO_WORK:
        do_work(agent, errand);
        break;
    case TASK_DO_CANCEL:
        database->cancel(database->self, errand);
        break;
    case TASK_DO_LOOK_UP:
        database->lookup(database->self, action->of_step ? errand->step_key : errand->key,
                         action->fence, errand);
        break;
    case TASK_DO_ANSWER:
        do_answer(agent, errand, action, result);
        break;
    case TASK_DO_WARN:
        host_log(&agent->host, LOG_WARNING,
                 "%s: nothing to undo: %s was not done, and never will be", errand->key,
                 errand->step_key);
        break;
    }
}

/* ---- errands ------------------------------------------------------------------------------- */

static bool key_matches(const struct map_node *node, const void *key)
{
    return strcmp(CONTAINER(node, struct errand, node)->key, key) == 0;
}

static struct errand *errand_find(const struct agent *agent, const char *key)
{
    struct map_node *node =
        map_find(&agent->by_key, hash_bytes(key, strlen(key)), key_matches, key);
    return node ? CONTAINER(node, struct errand, node) : NULL;
}

static void errand_free(struct errand *errand)
{
    list_remove(&errand->all);
    list_remove(&errand->queued);
    work_free(errand->work);
    free(errand->problem);
    free(errand);
}

/* The errand may be gone afterwards. result: for an answer that has one, or NULL. */
static void step(struct agent *agent, struct errand *errand, const struct task_event *event,
                 const char *result)
{
    struct task_actions actions;
    task_step(&errand->task, event, &actions);
    for (int i = 0; i < actions.count; i++)
        act(agent, errand, &actions.list[i], result);
    if (!task_bounded(&errand->task))
        timers_clear(&agent->task_timers, &errand->timer);
    if (errand->task.state == TASK_ENDED) {
        map_remove(&agent->by_key, &errand->node);
        errand_free(errand);
    }
}

static void event(struct agent *agent, struct errand *errand, enum task_event_kind kind)
{
    step(agent, errand, &(struct task_event){.kind = kind}, NULL);
}

void agent_tasks_init(struct agent *agent)
{
    list_init(&agent->errands);
    list_init(&agent->task_queue);
}

void tasks_free(struct agent *agent)
{
    while (!list_empty(&agent->errands))
        errand_free(CONTAINER(agent->errands.next, struct errand, all));
    map_fini(&agent->by_key);
    timers_fini(&agent->task_timers);
}

/* ---- Execute ------------------------------------------------------------------------------- */

/* Nothing in it can be taken for another part of the key. */
static bool step_sound(const char *step)
{
    size_t size = strnlen(step, LIMIT_SAGA_LABEL_BYTES + 1);
    for (size_t i = 0; i < size; i++) {
        if (!isalnum((unsigned char)step[i]) && !strchr("_-#[]", step[i]))
            return false;
    }
    return size > 0 && size <= LIMIT_SAGA_LABEL_BYTES;
}

static bool is_sound(const Wire__Execute *execute)
{
    switch (execute->how) {
    case WIRE__HOW__HOW_STEP:
    case WIRE__HOW__HOW_COMPENSATE:
        return execute->call && step_sound(execute->task->step);
    case WIRE__HOW__HOW_CANCEL:
        return step_sound(execute->task->step);
    default:
        return false;
    }
}

static void format_keys(const struct link *link, const Wire__Execute *execute, barrier_key key,
                        barrier_key step_key)
{
    gtrid_text saga;
    const Wire__Task *task = execute->task;
    gtrid_format(saga, link->agent->cluster, link->coordinator,
                 (struct txid){task->epoch, task->seq});
    snprintf(step_key, sizeof(barrier_key), "%s/%s", saga, task->step);
    snprintf(key, sizeof(barrier_key), "%s/%s%s", saga, task->step,
             execute->how == WIRE__HOW__HOW_COMPENSATE ? "/undo" : "");
}

/* Rows are deleted for their age; half of that is left to clocks that differ. */
static bool is_old(const struct agent *agent, int64_t since_us)
{
    int64_t age_us = agent->host.wall_us(agent->host.self) - since_us;
    return age_us > (int64_t)(agent->barrier_keep_us / 2);
}

static struct errand *errand_new(struct agent *agent, const struct link *link,
                                 const Wire__Execute *execute)
{
    struct work_refusal refusal;
    struct errand *errand = xcalloc(1, sizeof(*errand));
    errand->kind = TAG_TASK;
    errand->saga = (struct txid){execute->task->epoch, execute->task->seq};
    snprintf(errand->step, sizeof(errand->step), "%s", execute->task->step);
    format_keys(link, execute, errand->key, errand->step_key);
    list_init(&errand->queued);
    list_append(&agent->errands, &errand->all);
    map_insert(&agent->by_key, &errand->node, hash_bytes(errand->key, strlen(errand->key)));
    if (execute->how == WIRE__HOW__HOW_CANCEL)
        return errand;
    errand->work = work_new_task(agent->operations, execute->call, errand->key, &refusal);
    if (!errand->work) {
        errand->problem = xcalloc(1, sizeof(*errand->problem));
        problem_refused(errand->problem, agent, &refusal);
    }
    return errand;
}

/* It can't be begun now: whatever is asked, another try may fare better. */
static bool is_untimely(struct agent *agent, const struct link *link, const Wire__Execute *execute)
{
    struct problem problem;
    struct work_refusal refusal;
    const char *operation = execute->call ? execute->call->operation : "";
    if (execute->timeout_ms == 0) {
        problem_init(&problem, agent, operation, "deadline");
        say_deadline(&problem, "the time of this try was up before it arrived");
    } else if (agent_unwilling(agent, operation, execute->timeout_ms, &refusal)) {
        problem_refused(&problem, agent, &refusal);
    } else {
        return false;
    }
    refuse(agent, link, execute, WIRE__EXECUTION__NOT_DONE, &problem);
    return true;
}

static void ask(struct agent *agent, const struct link *link, struct errand *errand,
                const Wire__Execute *execute)
{
    /* A cancel is of the same row as the step: its age is that of the older one. */
    bool step_old = execute->step_since_us != 0 && is_old(agent, execute->step_since_us);
    bool cancel = execute->how == WIRE__HOW__HOW_CANCEL;
    errand->session = link->session;
    errand->how = execute->how;
    errand->try = execute->try_;
    errand->deadline_us = now(agent) + (uint64_t)execute->timeout_ms * 1000;
    timers_set(&agent->task_timers, &errand->timer, errand->deadline_us);
    step(agent, errand,
         &(struct task_event){.kind = TASK_ASKED,
                              .how = execute->how,
                              .final = execute->final,
                              .old = is_old(agent, execute->since_us) || (cancel && step_old),
                              .step_old = step_old,
                              .refused = !cancel && !errand->work,
                              .read_only =
                                  errand->work && errand->work->request.mode == DB_READ_ONLY},
         NULL);
}

void task_execute(struct agent *agent, struct link *link, const Wire__Execute *execute)
{
    barrier_key key, step_key;
    struct problem problem;
    /* A crash here: nothing happened. It comes again in the next session. */
    CRASH_POINT("participant.execute");
    if (!execute->task || execute->task->seq == 0) {
        host_log(&agent->host, LOG_WARNING,
                 "coordinator %s sent a message about an impossible saga", link->coordinator);
        return;
    }
    if (!is_sound(execute)) {
        problem_init(&problem, agent, "", "bad_request");
        PROBLEM_SAY(problem.message, "what a saga asks for makes no sense");
        refuse(agent, link, execute, WIRE__EXECUTION__FAILED, &problem);
        return;
    }
    format_keys(link, execute, key, step_key);
    struct errand *errand = errand_find(agent, key);
    if (!errand && is_untimely(agent, link, execute))
        return;
    if (!errand)
        errand = errand_new(agent, link, execute);
    ask(agent, link, errand, execute);
    agent_pump(agent);
}

/* ---- what happens to them ------------------------------------------------------------------ */

void tasks_start(struct agent *agent)
{
    event(agent, CONTAINER(agent->task_queue.next, struct errand, queued), TASK_STARTED);
}

static void note_problem(struct agent *agent, struct errand *errand,
                         const struct problem_context *context)
{
    if (!errand->problem)
        errand->problem = xcalloc(1, sizeof(*errand->problem));
    problem_init(errand->problem, agent, operation_of(errand), "unknown");
    problem_work(errand->problem, agent, errand->work, context);
    if (strcmp(errand->problem->code, "deadline") == 0)
        say_deadline(errand->problem, "the time of this try was up while its work ran");
}

void task_worked(struct agent *agent, struct errand *errand, const struct db_worked *worked)
{
    struct problem_context context = {.worked = worked,
                                      .too_large = work_too_large(errand->work, worked),
                                      .deadline_us = errand->deadline_us};
    bool met = worked->failed_statement < 0 && !context.too_large;
    bool done = worked->outcome == DB_COMMITTED && met;
    if (worked->outcome == DB_COMMITTED && errand->work->request.mode == DB_ONE_PHASE) {
        /* A crash here: committed with its row, and nobody was told. It comes again in the next
         * session, and the row has the answer. */
        CRASH_POINT("participant.executed");
    }
    if (!done)
        note_problem(agent, errand, &context);
    step(agent, errand,
         &(struct task_event){
             .kind = TASK_WORKED,
             .outcome = worked->outcome,
             .met = met,
             .passing = !done && (worked->stale || problem_is_passing(errand->problem->code)),
             .duplicate = worked->duplicate},
         done && worked->results ? worked->results[0] : NULL);
}

void task_looked_up(struct agent *agent, struct errand *errand, enum db_found found,
                    const char *result)
{
    if (found == DB_FENCED && errand->task.fencing) {
        /* A crash here: it never will be done, and nobody was told. It comes again in the next
         * session, and finds the row. */
        CRASH_POINT("participant.cancelled");
    }
    step(agent, errand, &(struct task_event){.kind = TASK_LOOKED_UP, .found = found}, result);
    agent_pump(agent);
}

void tasks_session_lost(struct agent *agent, uint64_t session)
{
    for (struct list *node = agent->errands.next, *next; node != &agent->errands; node = next) {
        struct errand *errand = CONTAINER(node, struct errand, all);
        next = node->next;
        if (errand->session != session)
            continue;
        errand->session = 0;
        event(agent, errand, TASK_SESSION_LOST);
    }
}

void tasks_database_down(struct agent *agent)
{
    while (!list_empty(&agent->task_queue))
        event(agent, CONTAINER(agent->task_queue.next, struct errand, queued), TASK_DATABASE_DOWN);
}

void tasks_run_due(struct agent *agent)
{
    uint64_t at = now(agent);
    for (struct timer *timer; (timer = timers_due(&agent->task_timers, at)) != NULL;)
        event(agent, CONTAINER(timer, struct errand, timer), TASK_DEADLINE);
}
