#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/engine_private.h"

const char *const saga_state_words[] = {"", "running", "compensating", "completed", "compensated"};
const char *const saga_view_words[] = {"waiting", "running",    "retrying", "done",   "skipped",
                                       "failed",  "cancelling", "undoing",  "undone", "cancelled"};

/* ---- the saga ------------------------------------------------------------------------------ */

const struct saga_plan *saga_plan_of(const struct saga *saga)
{
    return saga->plan;
}

enum saga_state saga_state(const struct saga *saga)
{
    return (enum saga_state)saga->state;
}

bool saga_needs_operator(const struct saga *saga)
{
    return saga->attention > 0;
}

bool saga_is_past_pivot(const struct saga *saga)
{
    return saga->past_pivot;
}

const char *saga_input(const struct saga *saga)
{
    return saga->input;
}

const char *saga_output(const struct saga *saga)
{
    return saga->state == SAGA_COMPLETED ? saga->output ? saga->output : "null" : NULL;
}

int64_t saga_begun_us(const struct saga *saga)
{
    return saga->begun_us;
}

int64_t saga_ended_us(const struct saga *saga)
{
    return saga->ended_us;
}

int64_t saga_deadline_us(const struct saga *saga)
{
    uint64_t limit = saga->plan->timeout_us;
    bool counts = limit && saga->state == SAGA_RUNNING && !saga->past_pivot;
    return counts && limit < (uint64_t)(INT64_MAX - saga->begun_us)
               ? saga->begun_us + (int64_t)limit
               : 0;
}

/* The first task that needs an operator, or NULL. */
static const struct task *in_need(const struct saga *saga)
{
    const struct list *const lists[] = {&saga->resting, &saga->paused, &saga->due};
    for (size_t i = 0; saga->attention && i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const struct list *at = lists[i]->next; at != lists[i]; at = at->next) {
            const struct task *task = CONTAINER(at, struct task, link);
            if (task->attention)
                return task;
        }
    }
    return NULL;
}

const struct saga_problem *saga_problem(const struct saga *saga)
{
    const struct task *task = in_need(saga);
    if (task && task->problem)
        return task->problem;
    return saga->failure ? saga->failure->problem : NULL;
}

/* ---- time ---------------------------------------------------------------------------------- */

static uint64_t counting(const struct saga_time *time, int64_t wall_us)
{
    return wall_us <= time->wall_us ? time->now_us
                                    : time->now_us + (uint64_t)(wall_us - time->wall_us);
}

static int64_t wall(const struct saga_time *time, uint64_t now_us)
{
    return now_us <= time->now_us ? time->wall_us
                                  : time->wall_us + (int64_t)(now_us - time->now_us);
}

static uint64_t earlier(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

uint64_t saga_wake_us(const struct saga *saga, const struct saga_time *time)
{
    uint64_t wake_us = UINT64_MAX;
    int64_t deadline_us = saga_deadline_us(saga);
    for (const struct list *at = saga->paused.next; at != &saga->paused; at = at->next)
        wake_us = earlier(wake_us, CONTAINER(at, struct task, link)->pause_us);
    if (saga->failure || saga->state != SAGA_RUNNING)
        return wake_us;
    if (deadline_us)
        wake_us = earlier(wake_us, counting(time, deadline_us));
    for (const struct node *node = saga->waits; node; node = node->next_wait) {
        if (node->due_us != INT64_MAX)
            wake_us = earlier(wake_us, counting(time, node->due_us));
    }
    return wake_us;
}

/* ---- a sentence ---------------------------------------------------------------------------- */

static void write_span(char *out, size_t room, int64_t us)
{
    int64_t seconds = us > 0 ? (us + 999999) / 1000000 : 0;
    if (us < 1000000)
        snprintf(out, room, "%" PRId64 " ms", us > 0 ? (us + 999) / 1000 : 0);
    else if (seconds < 120)
        snprintf(out, room, "%" PRId64 " s", seconds);
    else if (seconds < 7200)
        snprintf(out, room, "%" PRId64 " min", seconds / 60);
    else if (seconds < 172800)
        snprintf(out, room, "%" PRId64 " h", seconds / 3600);
    else
        snprintf(out, room, "%" PRId64 " d", seconds / 86400);
}

static const char *node_label(const struct saga *saga, const struct node *node, saga_label out)
{
    struct saga_instance instance;
    node_instance(saga, node, &instance);
    return saga_label_format(out, saga->plan, &instance);
}

static const char *verb(enum saga_how how)
{
    return how == SAGA_CANCEL ? "cancel " : how == SAGA_COMPENSATE ? "undo " : "";
}

static void say_task(const struct saga *saga, const struct task *task, const struct saga_time *time,
                     char *out, size_t room)
{
    saga_label label;
    char span[32];
    node_label(saga, task->node, label);
    if (task->node == &saga->root)
        snprintf(out, room, "its output can't be made: an operator must look");
    else if (task->stuck)
        snprintf(out, room, "%s%s: an operator must look", verb(task->how), label);
    else if (task->in == &saga->paused) {
        write_span(span, sizeof(span), (int64_t)(task->pause_us - time->now_us));
        if (task->pause_us < time->now_us)
            write_span(span, sizeof(span), 0);
        snprintf(out, room, "%s%s again in %s", verb(task->how), label, span);
    } else {
        snprintf(out, room, "%s%s", verb(task->how), label);
    }
}

static void say_wait(const struct saga *saga, const struct node *node, const struct saga_time *time,
                     char *out, size_t room)
{
    const struct saga_step *step = step_of(saga, node);
    saga_label label;
    char span[32];
    node_label(saga, node, label);
    write_span(span, sizeof(span), node->due_us - time->wall_us);
    if (step->wait != SAGA_WAIT_SIGNAL)
        snprintf(out, room, "%s: waits for %s", label, span);
    else if (node->due_us == INT64_MAX)
        snprintf(out, room, "waits for the signal %s", step->signal);
    else
        snprintf(out, room, "waits for the signal %s, at most %s", step->signal, span);
}

const char *saga_next(const struct saga *saga, const struct saga_time *time, char *out, size_t room)
{
    const struct list *const lists[] = {&saga->resting, &saga->paused, &saga->due};
    const struct task *task = in_need(saga);
    for (size_t i = 0; !task && i < sizeof(lists) / sizeof(lists[0]); i++)
        task = list_empty(lists[i]) ? NULL : task_first(lists[i]);
    if (saga->state == SAGA_COMPLETED || saga->state == SAGA_COMPENSATED)
        snprintf(out, room, "nothing");
    else if (task)
        say_task(saga, task, time, out, room);
    else if (saga->waits)
        say_wait(saga, saga->waits, time, out, room);
    else
        snprintf(out, room, "begins");
    return out;
}

/* ---- memory -------------------------------------------------------------------------------- */

/* As glibc gives it out: 8 bytes before each, in steps of 16, 32 at least. */
static size_t chunk(size_t size)
{
    size_t whole = (size + 8 + 15) & ~(size_t)15;
    return whole < 32 ? 32 : whole;
}

static size_t text_bytes(const char *text)
{
    return text ? chunk(strlen(text) + 1) : 0;
}

static size_t problem_bytes(const struct saga_problem *problem)
{
    if (!problem)
        return 0;
    const char *const texts[] = {problem->participant, problem->operation, problem->code,
                                 problem->message,     problem->detail,    problem->hint};
    size_t size = sizeof(*problem);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        size += texts[i] ? strlen(texts[i]) + 1 : 0;
    return chunk(size);
}

static size_t node_bytes(const struct saga *saga, const struct node *node)
{
    size_t size = node->parent ? chunk(sizeof(*node)) : 0;
    if (node->task)
        size += chunk(sizeof(*node->task)) + problem_bytes(node->task->problem) +
                text_bytes(node->task->result);
    if (!type_is_block(step_of(saga, node)->type))
        return node->state == NODE_OPEN
                   ? size
                   : size + text_bytes(node->output) + text_bytes(node->result);
    if (!node->children)
        return size;
    size += chunk(sizeof(struct children) + node->children->count * sizeof(struct node *));
    if (node->children->items)
        size += chunk(node->children->items->raw_size +
                      (size_t)node->children->items->count * sizeof(struct json));
    for (uint32_t i = 0; i < node->children->count; i++)
        size += node->children->list[i] ? node_bytes(saga, node->children->list[i]) : 0;
    return size;
}

size_t saga_bytes(const struct saga *saga)
{
    size_t size = chunk(sizeof(*saga) + strlen(saga->texts) + strlen(saga->input) + 2);
    size += text_bytes(saga->output);
    if (saga->failure)
        size += chunk(sizeof(*saga->failure)) + problem_bytes(saga->failure->problem);
    for (const struct signal *at = saga->signals; at; at = at->next)
        size += chunk(sizeof(*at) + strlen(at->name) + 1) + text_bytes(at->value);
    return saga->begun ? size + node_bytes(saga, &saga->root) : size;
}

/* ---- the tree ------------------------------------------------------------------------------ */

struct visitor {
    struct saga *saga;
    const struct saga_time *time;
    saga_visit *visit;
    void *self;
};

static enum saga_view_state task_view(const struct saga *saga, const struct task *task)
{
    if (task->node->state == NODE_BROKEN || task->gave_up)
        return SAGA_VIEW_FAILED;
    if (task->how == SAGA_COMPENSATE)
        return SAGA_VIEW_UNDOING;
    if (task->how == SAGA_CANCEL)
        return SAGA_VIEW_CANCELLING;
    return task->in == &saga->paused || task->stuck ? SAGA_VIEW_RETRYING : SAGA_VIEW_RUNNING;
}

static enum saga_view_state node_view(const struct saga *saga, const struct node *node)
{
    if (!node)
        return SAGA_VIEW_WAITING;
    if (node->task)
        return task_view(saga, node->task);
    switch ((enum node_state)node->state) {
    case NODE_OPEN:
        return saga->state == SAGA_COMPENSATING ? SAGA_VIEW_UNDOING : SAGA_VIEW_RUNNING;
    case NODE_SKIPPED:
        return SAGA_VIEW_SKIPPED;
    case NODE_UNDONE:
        return SAGA_VIEW_UNDONE;
    case NODE_BROKEN:
    case NODE_FENCED:
        return SAGA_VIEW_FAILED;
    default:
        return SAGA_VIEW_DONE;
    }
}

static void fill_times(const struct visitor *visitor, const struct node *node,
                       struct saga_view *view)
{
    const struct saga *saga = visitor->saga;
    bool leaf = !type_is_block(step_of(saga, node)->type);
    bool undone = node->state == NODE_UNDONE && leaf;
    view->begun_us = undone ? 0 : node->since_us;
    if (node->state != NODE_OPEN && node->state != NODE_UNDOING && node->state != NODE_BROKEN)
        view->ended_us = undone ? node->since_us : node->ended_us;
    if (node->task && node->task->in == &saga->paused)
        view->next_us = wall(visitor->time, node->task->pause_us);
    else if (leaf && node->state == NODE_OPEN && !node->task && node->due_us != INT64_MAX)
        view->next_us = node->due_us;
}

/* passed: what it stands in was skipped, or went another way. */
static bool visit_one(const struct visitor *visitor, struct node *node,
                      const struct saga_instance *instance, bool passed)
{
    struct saga_view view = {.instance = *instance, .state = node_view(visitor->saga, node)};
    const struct failure *failure = visitor->saga->failure;
    bool to_blame = failure && memcmp(&failure->instance, instance, sizeof(*instance)) == 0;
    if (!node && passed)
        view.state = SAGA_VIEW_SKIPPED;
    else if (node && node->state == NODE_FENCED && !to_blame)
        view.state = SAGA_VIEW_CANCELLED;
    char *output = NULL;
    if (node) {
        fill_times(visitor, node, &view);
        view.output = output = sight_output(visitor->saga, node);
    }
    if (node && node->task) {
        view.tries = node->task->tried;
        view.problem = node->task->problem;
        view.needs_operator = node->task->attention;
    } else if (view.state == SAGA_VIEW_FAILED && to_blame) {
        view.problem = failure->problem;
    }
    bool more = visitor->visit(visitor->self, &view);
    free(output);
    return more;
}

static bool visit_step(const struct visitor *visitor, int step, struct node *node,
                       struct saga_instance instance, bool passed);

static bool visit_items(const struct visitor *visitor, int child, struct node *node,
                        struct saga_instance instance)
{
    int level = instance.depth++;
    for (uint32_t i = 0; node && node->children && i < node->children->count; i++) {
        instance.items[level] = i;
        if (!visit_step(visitor, child, node->children->list[i], instance, false))
            return false;
    }
    return true;
}

/* Of a block that has begun: the node of a child, or NULL. */
static struct node *child_below(const struct saga_step *block, const struct node *node, int child,
                                uint32_t at)
{
    if (!node || !node->children)
        return NULL;
    if (block->type != SAGA_CHOOSE)
        return node->children->list[at];
    return node->children->count && node->children->list[0]->step == child ? node->children->list[0]
                                                                           : NULL;
}

/* What is inside it and has not begun will not begin any more. */
static bool is_passed(const struct saga *saga, const struct saga_step *block,
                      const struct node *node)
{
    if (!node)
        return false;
    bool chosen = block->type == SAGA_CHOOSE && node->children && node->children->count;
    enum saga_view_state state = node_view(saga, node);
    return chosen || state == SAGA_VIEW_SKIPPED || state == SAGA_VIEW_DONE;
}

/* The root is the saga itself, and is not told. */
static bool visit_step(const struct visitor *visitor, int step, struct node *node,
                       struct saga_instance instance, bool passed)
{
    const struct saga_plan *plan = visitor->saga->plan;
    const struct saga_step *found = &plan->steps[step];
    instance.step = step;
    if (step != 0 && !visit_one(visitor, node, &instance, passed))
        return false;
    if (found->type == SAGA_FOR_EACH)
        return visit_items(visitor, found->first_child, node, instance);
    passed = passed || is_passed(visitor->saga, found, node);
    uint32_t at = 0;
    for (int child = found->first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling, at++) {
        if (!visit_step(visitor, child, child_below(found, node, child, at), instance, passed))
            return false;
    }
    return true;
}

void saga_visit_all(const struct saga *saga, const struct saga_time *time, saga_visit *visit,
                    void *self)
{
    struct visitor visitor = {
        .saga = (struct saga *)saga, .time = time, .visit = visit, .self = self};
    visit_step(&visitor, 0, saga->begun ? (struct node *)&saga->root : NULL,
               (struct saga_instance){0}, false);
}
