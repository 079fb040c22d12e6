/* Tries, and those that are calls: who they wait for, what is sent, what comes back. */
#include "coordinator/tasks.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/parts.h"
#include "coordinator/sagas.h"
#include "core/check.h"
#include "core/json.h"
#include "core/planted.h"

enum { PROBLEM_TEXT_BYTES = 2048 };

/* ---- one try ---- */

void tries_init(struct tasks *tasks)
{
    *tasks = (struct tasks){0};
    list_init(&tasks->answered);
    list_init(&tasks->held);
    list_init(&tasks->congested);
    list_init(&tasks->mark);
}

void tries_fini(struct tasks *tasks)
{
    CHECK(tasks->calls.count == 0 && list_empty(&tasks->answered) && list_empty(&tasks->held));
    map_fini(&tasks->calls);
    timers_fini(&tasks->timers);
}

struct name {
    struct txid saga;
    const char *label;
};

static uint64_t name_hash(const struct name *name)
{
    return hash_bytes(name->label, strlen(name->label)) ^ txid_hash(name->saga);
}

static bool match(const struct map_node *node, const void *key)
{
    const struct task *task = CONTAINER(node, struct task, node);
    const struct name *name = key;
    return txid_equal(task->run->id, name->saga) && strcmp(task->label, name->label) == 0;
}

uint64_t task_left_us(const struct server *server, const struct task *task)
{
    uint64_t now_us = server->host.now_us(server->host.self);
    return task->due_us > now_us ? task->due_us - now_us : 0;
}

/* There is room for another one at its participant: not now, while a list may be walked. */
static void make_room(struct server *server, struct participant *participant)
{
    list_remove(&participant->tries_ready);
    list_append(&server->tasks.congested, &participant->tries_ready);
}

void task_leave(struct server *server, struct task *task)
{
    struct participant *participant = task->participant;
    if (task->place == TASK_OWED || task->place == TASK_OUTSTANDING) {
        CHECK(participant->tries > 0);
        participant->tries--;
        map_remove(&server->tasks.calls, &task->node);
    }
    if (task->place == TASK_OUTSTANDING) {
        CHECK(participant->tries_sent > 0);
        participant->tries_sent--;
        if (!list_empty(&participant->tries_owed))
            make_room(server, participant);
    }
    if (task->waiter)
        server_stop_waiting(server, task->waiter);
    task->place = TASK_NOWHERE;
    list_remove(&task->waits);
    timers_clear(&server->tasks.timers, &task->timer);
}

static void free_task(struct task *task)
{
    for (int i = 0; i < task->argument_count; i++)
        free(task->arguments[i]);
    free(task->arguments);
    if (task->answer)
        free(task->answer->result);
    free(task->answer);
    free(task);
}

static void drop(struct server *server, struct task *task)
{
    task_leave(server, task);
    list_remove(&task->in_run);
    free_task(task);
}

void tasks_drop(struct server *server, struct saga_run *run)
{
    while (!list_empty(&run->tasks))
        drop(server, CONTAINER(run->tasks.next, struct task, in_run));
}

/* ---- answers ---- */

static const char *put(char **at, const char *text)
{
    if (!text)
        return NULL;
    const char *copy = *at;
    *at = stpcpy(*at, text) + 1;
    return copy;
}

static size_t room_of(const char *text)
{
    return text ? strlen(text) + 1 : 0;
}

void task_answer(struct server *server, struct task *task, enum saga_outcome outcome, char *result,
                 const struct saga_problem *problem)
{
    static const struct saga_problem none = {0};
    const struct saga_problem *p = problem ? problem : &none;
    size_t room = room_of(p->participant) + room_of(p->operation) + room_of(p->code) +
                  room_of(p->message) + room_of(p->detail) + room_of(p->hint);
    struct task_answer *answer = xcalloc(1, sizeof(*answer) + room);
    char *at = answer->texts;
    answer->outcome = outcome;
    answer->result = result;
    answer->kept = true;
    answer->problem = (struct saga_problem){
        .participant = put(&at, p->participant),
        .operation = put(&at, p->operation),
        .code = put(&at, p->code),
        .message = put(&at, p->message),
        .detail = put(&at, p->detail),
        .hint = put(&at, p->hint),
    };
    CHECK(!task->answer);
    task->answer = answer;
    task_leave(server, task);
    task->place = TASK_ANSWERED;
    list_append(&server->tasks.answered, &task->waits);
}

/* The try is over and the saga hears of it, and begins what follows. */
static void tell(struct server *server, struct task *task, struct saga_event *event)
{
    struct saga_run *run = task->run;
    event->type = SAGA_EVENT_ANSWERED;
    event->time = (struct saga_time){.now_us = server->host.now_us(server->host.self),
                                     .wall_us = server->host.wall_us(server->host.self)};
    event->instance = task->instance;
    event->how = task->how;
    event->try = task->try;
    server->metrics.steps[task->how][event->outcome]++;
    histogram_add(&server->metrics.step, event->time.now_us - task->begun_us);
    task_leave(server, task);
    list_remove(&task->in_run);
    sagas_answered(server, run, event);
    free_task(task);
}

static void tell_answer(struct server *server, struct task *task)
{
    const struct task_answer *answer = task->answer;
    struct saga_event event = {.outcome = answer->outcome,
                               .result = answer->result,
                               .kept = answer->kept,
                               .problem = answer->problem};
    tell(server, task, &event);
}

/* ---- what is sent ---- */

static const Wire__How how_words[] = {[SAGA_DO] = WIRE__HOW__HOW_STEP,
                                      [SAGA_CANCEL] = WIRE__HOW__HOW_CANCEL,
                                      [SAGA_COMPENSATE] = WIRE__HOW__HOW_COMPENSATE};

static const char *operation_of(const struct task *task)
{
    return task->call ? task->call->operation : "";
}

static bool send_execute(struct server *server, struct task *task)
{
    Wire__Task name = WIRE__TASK__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    Wire__Execute execute = WIRE__EXECUTE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    uint64_t left_ms = task_left_us(server, task) / 1000;
    name.epoch = task->run->id.epoch;
    name.seq = task->run->id.seq;
    name.step = task->label;
    if (task->call) {
        call.operation = (char *)task->call->operation;
        call.arguments = task->argument_count ? task->arguments[0] : (char *)"{}";
        execute.call = &call;
    }
    execute.task = &name;
    execute.how = how_words[task->how];
    execute.try_ = task->try;
    execute.timeout_ms = left_ms > UINT32_MAX ? UINT32_MAX : left_ms ? (uint32_t)left_ms : 1;
    execute.since_us = task->since_us;
    execute.step_since_us = task->step_since_us;
    execute.final = task->final;
    message.body_case = WIRE__MESSAGE__BODY_EXECUTE;
    message.execute = &execute;
    return peer_send(task->participant->peer, &message, false);
}

static struct saga_problem problem_of(const struct task *task, const char *code,
                                      const char *message)
{
    return (struct saga_problem){.participant =
                                     task->call ? task->call->participant : task->participant->name,
                                 .operation = operation_of(task),
                                 .code = code,
                                 .message = message};
}

/* In the order in which they became due, as many as the participant may have at once. An operation
 * that it does not offer is sent, too: whether an earlier try has done the step all the same, only
 * its database knows. What its
 * queue does not take now is sent when a turn has made room: only its acknowledgements do, and each
 * is a turn. */
static void pump(struct server *server, struct participant *participant)
{
    while (participant->peer && !participant->leaving && !list_empty(&participant->tries_owed) &&
           participant->tries_sent < LIMIT_EXECUTING) {
        struct task *task = CONTAINER(participant->tries_owed.next, struct task, waits);
        if (!send_execute(server, task)) {
            make_room(server, participant);
            break;
        }
        task->sent = true;
        task->place = TASK_OUTSTANDING;
        list_remove(&task->waits);
        list_append(&participant->tries_outstanding, &task->waits);
        participant->tries_sent++;
    }
}

/* ---- beginnings ---- */

/* A step's row is at the participant that did it. When another one undoes it, or it was a
 * transaction, there is none to look for, and the step is known to be done: that is said as of a
 * row that was deleted for its age, whose absence says nothing. */
static int64_t step_since(const struct saga_plan *plan, const struct saga_action *action)
{
    static const int64_t long_ago_us = 1;
    const struct saga_step *step = &plan->steps[action->instance.step];
    if (action->how != SAGA_COMPENSATE)
        return action->step_since_us;
    bool elsewhere =
        step->type != SAGA_CALL || strcmp(plan->calls[step->first_call].participant,
                                          plan->calls[step->compensation].participant) != 0;
    return elsewhere ? long_ago_us : action->step_since_us;
}

static struct task *make_task(struct server *server, struct saga_run *run,
                              struct saga_action *action)
{
    const struct saga_plan *plan = saga_plan_of(run->machine);
    saga_label label;
    size_t size = strlen(saga_label_format(label, plan, &action->instance)) + 1;
    struct task *task = xcalloc(1, sizeof(*task) + size);
    memcpy(task->label, label, size);
    task->run = run;
    task->instance = action->instance;
    task->how = action->how;
    task->try = action->try;
    task->final = action->final;
    task->begun_us = server->host.now_us(server->host.self);
    task->due_us = task->begun_us + action->timeout_us;
    task->since_us = action->since_us;
    task->step_since_us = step_since(plan, action);
    task->arguments = action->arguments;
    task->argument_count = action->argument_count;
    action->arguments = NULL;
    action->argument_count = 0;
    list_init(&task->waits);
    list_append(&run->tasks, &task->in_run);
    timers_set(&server->tasks.timers, &task->timer, task->due_us);
    return task;
}

/* A name that nobody has ever had may belong to a participant that is only just being set up. */
static struct participant *meet(struct server *server, const char *name)
{
    bool known = participants_find(&server->participants, name) != NULL;
    struct participant *participant = participants_meet(&server->participants, name);
    if (participant && !known)
        participant->never_seen = true;
    return participant;
}

static void start_call(struct server *server, struct task *task, const struct saga_call *call)
{
    struct name name = {task->run->id, task->label};
    task->call = task->how == SAGA_CANCEL ? NULL : call;
    task->participant = meet(server, call->participant);
    if (!task->participant)
        return;
    task->place = TASK_OWED;
    task->participant->tries++;
    CHECK(!map_find(&server->tasks.calls, name_hash(&name), match, &name));
    map_insert(&server->tasks.calls, &task->node, name_hash(&name));
    list_append(&task->participant->tries_owed, &task->waits);
    pump(server, task->participant);
}

void task_start(struct server *server, struct saga_run *run, struct saga_action *action)
{
    struct task *task = make_task(server, run, action);
    const struct saga_plan *plan = saga_plan_of(run->machine);
    const struct saga_step *step = &plan->steps[task->instance.step];
    if (task->how == SAGA_COMPENSATE)
        start_call(server, task, &plan->calls[step->compensation]);
    else if (step->type == SAGA_CALL)
        start_call(server, task, &plan->calls[step->first_call]);
    else
        group_try(server, task, false);
}

/* ---- sessions ---- */

void tasks_participant_up(struct server *server, struct participant *participant)
{
    CHECK(list_empty(&participant->tries_outstanding) && participant->tries_sent == 0);
    participant->never_seen = false;
    pump(server, participant);
    groups_again(server);
}

/* What was sent and not answered goes first in the next session, in the same order. */
void tasks_participant_down(struct server *server, struct participant *participant)
{
    (void)server;
    while (!list_empty(&participant->tries_outstanding)) {
        struct list *last = participant->tries_outstanding.previous;
        struct task *task = CONTAINER(last, struct task, waits);
        task->place = TASK_OWED;
        task->twice = true;
        list_remove(last);
        list_append(participant->tries_owed.next, last); /* before the first: in front */
    }
    participant->tries_sent = 0;
}

/* ---- what comes back ---- */

static void stray(const struct server *server, const struct guest *guest,
                  const Wire__Executed *executed, const char *why)
{
    host_log(&server->host, LOG_WARNING,
             "an answer about step %.*s of saga %" PRIu64 ".%" PRIu64 " from %s was ignored: %s",
             LIMIT_SAGA_LABEL_BYTES, executed->task->step, executed->task->epoch,
             executed->task->seq, guest->participant->name, why);
}

/* The try that this answers. NULL: it is over, which is no mistake: the answer came late. */
static struct task *find_task(struct server *server, const struct guest *guest,
                              const Wire__Executed *executed)
{
    struct name name = {{executed->task->epoch, executed->task->seq}, executed->task->step};
    struct map_node *node = map_find(&server->tasks.calls, name_hash(&name), match, &name);
    struct task *task = node ? CONTAINER(node, struct task, node) : NULL;
    if (!task || task->participant != guest->participant || task->try != executed->try_ ||
        how_words[task->how] != executed->how)
        return NULL;
    if (task->place == TASK_OUTSTANDING)
        return task;
    stray(server, guest, executed, "it was not sent in this session");
    return NULL;
}

/* NULL: it is sound. */
static const char *result_mistake(const char *result)
{
    struct error error = {0};
    size_t size = strlen(result);
    if (size == 0)
        return NULL;
    if (size > LIMIT_RESULT_BYTES)
        return "it is larger than a result may be";
    struct json *json = json_parse(result, size, &error);
    json_free(json);
    return json ? NULL : "it is not JSON";
}

static const char *or_null(const char *text)
{
    return text[0] ? text : NULL;
}

/* Of a participant's text, as much as goes into a record beside others. */
static const char *cut(char *text)
{
    size_t size = strnlen(text, PROBLEM_TEXT_BYTES);
    if (text[size] == '\0')
        return text;
    while (size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a UTF-8 character */
    text[size] = '\0';
    return text;
}

static void take_problem(const struct task *task, const Wire__Problem *problem,
                         struct saga_problem *out)
{
    *out = problem_of(task, "unknown", "the participant gave no reason");
    if (!problem)
        return;
    if (problem->operation[0])
        out->operation = cut(problem->operation);
    if (problem->code[0])
        out->code = cut(problem->code);
    if (problem->message[0])
        out->message = cut(problem->message);
    out->detail = or_null(cut(problem->detail));
    out->hint = or_null(cut(problem->hint));
}

/* An earlier session's agent may be at work on the same try, while this one says that it is not
 * done: only what can't be otherwise any more is believed then. */
static enum saga_outcome believed(const struct task *task, enum saga_outcome outcome)
{
    bool passing = outcome == SAGA_NOT_DONE || (outcome == SAGA_REFUSED && !task->final);
    return task->twice && task->how == SAGA_DO && passing ? SAGA_UNSURE : outcome;
}

static void take_success(const struct task *task, const Wire__Executed *executed,
                         struct saga_event *event)
{
    const char *mistake = result_mistake(executed->result);
    if (!mistake) {
        event->outcome = SAGA_SUCCEEDED;
        event->result = or_null(executed->result);
        event->kept = executed->kept;
        return;
    }
    /* It is done, and of no use: the saga can't go on from it, nor undo it. */
    event->outcome = SAGA_UNSURE;
    event->problem = problem_of(task, "bad_result", "the participant's result can't be used");
    event->problem.detail = mistake;
}

void server_executed(struct server *server, struct guest *guest, const Wire__Executed *executed)
{
    static const enum saga_outcome words[] = {
        [WIRE__EXECUTION__FAILED] = SAGA_REFUSED,
        [WIRE__EXECUTION__NOT_DONE] = SAGA_NOT_DONE,
        [WIRE__EXECUTION__UNSURE] = SAGA_UNSURE,
        [WIRE__EXECUTION__UNPROVABLE] = SAGA_UNPROVABLE,
    };
    struct saga_event event = {0};
    struct task *task = find_task(server, guest, executed);
    if (!task)
        return;
    if (executed->execution < WIRE__EXECUTION__SUCCEEDED ||
        executed->execution > WIRE__EXECUTION__UNPROVABLE) {
        stray(server, guest, executed, "it says nothing");
        return;
    }
    if (executed->execution == WIRE__EXECUTION__SUCCEEDED) {
        take_success(task, executed, &event);
    } else {
        event.outcome = believed(task, words[executed->execution]);
        take_problem(task, executed->problem, &event.problem);
        /* To be asked again and again would keep it from its end. */
        if (strcmp(event.problem.code, "draining") == 0)
            task->participant->leaving = true;
    }
    if (event.outcome == SAGA_UNSURE && executed->execution == WIRE__EXECUTION__SUCCEEDED)
        stray(server, guest, executed, event.problem.detail);
    tell(server, task, &event);
}

/* ---- time ---- */

static void time_out_unsent(struct server *server, struct task *task, const char *name)
{
    bool leaving = task->participant && task->participant->leaving;
    bool connected = task->participant && task->participant->peer && !leaving;
    char message[160], detail[160];
    struct saga_problem problem = {
        .participant = name,
        .operation = operation_of(task),
        .code = connected ? "busy" : "not_connected",
        .message = message,
        .detail = detail,
        .hint = connected ? "see `troth participant list`; what is under way there takes long"
                          : "see `troth participant list`, and start it",
    };
    snprintf(message, sizeof(message),
             connected ? "participant %s is busy"
             : leaving ? "participant %s is being stopped"
                       : "participant %s is not connected",
             name);
    if (!connected && (!task->participant || task->participant->never_seen))
        snprintf(detail, sizeof(detail),
                 "none of that name has ever connected to this coordinator");
    else if (connected)
        snprintf(detail, sizeof(detail), "%zu tries of steps are under way there, before this one",
                 task->participant->tries_sent);
    else
        snprintf(detail, sizeof(detail), "it was not all the time of this try; nothing was sent");
    task_answer(server, task, SAGA_NOT_DONE, NULL, &problem);
}

static void time_out_sent(struct server *server, struct task *task)
{
    char message[160] = "";
    struct saga_problem problem = problem_of(task, "timeout", message);
    snprintf(message, sizeof(message), "%s has not answered in time", task->participant->name);
    problem.detail = task->participant->peer
                         ? "it was sent; the participant may still be at it"
                         : "it was sent, and the connection was lost; it may have been done";
    problem.hint = "see `troth participant list`; `timeout` of the step is the time of one try";
    task_answer(server, task, PLANTED(SAGA_UNSURE_IS_NOT_DONE) ? SAGA_NOT_DONE : SAGA_UNSURE, NULL,
                &problem);
}

static const char *participant_of(const struct task *task)
{
    const struct saga_plan *plan = saga_plan_of(task->run->machine);
    const struct saga_step *step = &plan->steps[task->instance.step];
    return plan->calls[task->how == SAGA_COMPENSATE ? step->compensation : step->first_call]
        .participant;
}

static void time_out(struct server *server, struct task *task)
{
    if (task->place == TASK_HELD)
        group_try(server, task, true);
    else if (task->sent)
        time_out_sent(server, task);
    else
        time_out_unsent(server, task, participant_of(task));
}

uint64_t tasks_settle(struct server *server)
{
    struct tasks *tasks = &server->tasks;
    uint64_t now_us = server->host.now_us(server->host.self);
    for (struct timer *timer; (timer = timers_due(&tasks->timers, now_us)) != NULL;)
        time_out(server, CONTAINER(timer, struct task, timer));
    /* Those that are there now: what they begin may be answered at once, too. */
    list_append(&tasks->answered, &tasks->mark);
    while (tasks->answered.next != &tasks->mark)
        tell_answer(server, CONTAINER(tasks->answered.next, struct task, waits));
    list_remove(&tasks->mark);
    list_append(&tasks->congested, &tasks->mark);
    while (tasks->congested.next != &tasks->mark) {
        struct participant *participant =
            CONTAINER(tasks->congested.next, struct participant, tries_ready);
        list_remove(&participant->tries_ready);
        pump(server, participant);
    }
    list_remove(&tasks->mark);
    return list_empty(&tasks->answered) ? timers_next(&tasks->timers) : now_us;
}

struct txid task_transaction(struct server *server, const struct saga_run *run,
                             const struct saga_instance *instance)
{
    (void)server;
    size_t items = (size_t)instance->depth * sizeof(*instance->items);
    for (const struct list *at = run->tasks.next; at != &run->tasks; at = at->next) {
        const struct task *task = CONTAINER(at, struct task, in_run);
        if (task->place == TASK_JOINED && task->instance.step == instance->step &&
            task->instance.depth == instance->depth &&
            memcmp(task->instance.items, instance->items, items) == 0)
            return task->waiter->tx->id;
    }
    return (struct txid){0, 0};
}
