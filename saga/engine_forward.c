#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "saga/engine_private.h"
#include "saga/instant.h"

/* ---- enabling ------------------------------------------------------------------------------ */

/* An expression failed: it can't begin. Before the pivot that fails the saga. */
static void break_node(struct turn *turn, struct node *node, const struct error *error)
{
    struct saga_problem problem = problem_of_error(error);
    node->state = NODE_BROKEN;
    struct task *task = task_add(turn->saga, node, SAGA_DO);
    task->gave_up = true;
    task_stick(turn, task, &problem);
}

/* A wait is measured from what is recorded. False: `until` is no time. */
static bool wait_due(struct turn *turn, struct node *node, int64_t *due_us, struct error *error)
{
    const struct saga_step *step = step_of(turn->saga, node);
    *due_us = INT64_MAX;
    if (step->wait != SAGA_WAIT_UNTIL) {
        bool limited = step->wait == SAGA_WAIT_FOR || step->wait_us > 0;
        if (limited && step->wait_us < (uint64_t)(INT64_MAX - node->since_us))
            *due_us = node->since_us + (int64_t)step->wait_us;
        return true;
    }
    char *text = sight_render(turn->saga, node, step->until, NULL, error);
    if (!text)
        return false;
    struct json *json = json_parse(text, strlen(text), error);
    CHECK(json != NULL); /* rendering gives valid JSON */
    bool good = json->type == JSON_STRING && instant_parse(json->text, json->text_size, due_us);
    if (!good)
        error_set(error, ERROR_USAGE,
                  "%s:%d:%d: until needs a time such as 2026-11-21T01:02:03Z, not %.60s",
                  turn->saga->plan->file, step->place.line, step->place.column, text);
    json_free(json);
    free(text);
    return good;
}

static void begin_wait(struct turn *turn, struct node *node)
{
    struct error error = {0};
    int64_t due_us;
    if (!wait_due(turn, node, &due_us, &error)) {
        break_node(turn, node, &error);
        return;
    }
    node->due_us = due_us;
    struct node **end = &turn->saga->waits; /* the oldest gets a signal first */
    while (*end)
        end = &(*end)->next_wait;
    *end = node;
    turn->look_waits = true;
}

static void begin_step(struct turn *turn, struct node *node)
{
    struct saga *saga = turn->saga;
    CHECK(saga->state == SAGA_RUNNING); /* E2 */
    task_add(saga, node, SAGA_DO)->since_us = node->since_us;
    saga->open++;
    if (step_of(saga, node)->kind == SAGA_PIVOT)
        saga->pivot = node;
}

/* The alternative that is taken, or SAGA_NONE. False with an error. */
static bool choose(struct turn *turn, struct node *node, int *chosen, struct error *error)
{
    const struct saga_plan *plan = turn->saga->plan;
    for (int child = step_of(turn->saga, node)->first_child; child != SAGA_NONE;
         child = plan->steps[child].next_sibling) {
        bool taken = true;
        if (plan->steps[child].when != SAGA_NONE &&
            !sight_when(turn->saga, node, plan->steps[child].when, &taken, error))
            return false;
        *chosen = child;
        if (taken)
            return true;
    }
    *chosen = SAGA_NONE;
    return true;
}

static bool block_go_on(struct turn *turn, struct node *node);

static bool begin_choose(struct turn *turn, struct node *node)
{
    struct error error = {0};
    int chosen;
    if (!choose(turn, node, &chosen, &error)) {
        break_node(turn, node, &error);
        return false;
    }
    node_open_block(node, chosen != SAGA_NONE, NULL);
    return chosen == SAGA_NONE || node_begin(turn, node_add(node, chosen, 0));
}

static bool begin_block(struct turn *turn, struct node *node)
{
    const struct saga_step *step = step_of(turn->saga, node);
    if (step->type == SAGA_CHOOSE)
        return begin_choose(turn, node);
    if (step->type == SAGA_FOR_EACH) {
        struct error error = {0};
        struct json *items = sight_items(turn->saga, node, &error);
        if (!items) {
            break_node(turn, node, &error);
            return false;
        }
        node_open_block(node, (uint32_t)items->count, items);
    } else {
        node_open_block(node, (uint32_t)step->child_count, NULL);
    }
    return block_go_on(turn, node);
}

static void block_done(struct turn *turn, struct node *node)
{
    node->state = NODE_DONE;
    node->ended_us = turn->at_us;
    if (node->children->items) {
        json_free(node->children->items);
        node->children->items = NULL;
    }
}

/* Whether its condition lets it begin. False: it is skipped or broken. */
static bool admitted(struct turn *turn, struct node *node)
{
    const struct saga_step *step = step_of(turn->saga, node);
    bool alternative = node->parent && step_of(turn->saga, node->parent)->type == SAGA_CHOOSE;
    if (step->when == SAGA_NONE || alternative)
        return true;
    struct error error = {0};
    bool value;
    if (!sight_when(turn->saga, node, step->when, &value, &error)) {
        break_node(turn, node, &error);
    } else if (!value) {
        node->state = NODE_SKIPPED;
        node->ended_us = turn->at_us;
    }
    return node->state == NODE_OPEN;
}

bool node_begin(struct turn *turn, struct node *node)
{
    enum saga_type type = step_of(turn->saga, node)->type;
    node->state = NODE_OPEN;
    node->since_us = turn->at_us;
    if (!admitted(turn, node))
        return node->state == NODE_SKIPPED;
    if (type == SAGA_WAIT)
        begin_wait(turn, node);
    else if (type_is_tried(type))
        begin_step(turn, node);
    else if (begin_block(turn, node)) {
        block_done(turn, node);
        return true;
    }
    return false;
}

/* ---- blocks -------------------------------------------------------------------------------- */

static int next_child(const struct saga *saga, const struct node *node)
{
    uint32_t next = node->children->next;
    if (next == 0 || step_of(saga, node)->type == SAGA_FOR_EACH)
        return step_of(saga, node)->first_child;
    return saga->plan->steps[node->children->list[next - 1]->step].next_sibling;
}

static bool begin_next(struct turn *turn, struct node *node)
{
    int step = next_child(turn->saga, node);
    return node_begin(turn, node_add(node, step, node->children->next++));
}

/* How many of its children may be under way at once. */
static uint32_t width(const struct saga_step *step, const struct children *children)
{
    return step->type == SAGA_PARALLEL   ? children->count
           : step->type == SAGA_FOR_EACH ? (uint32_t)step->at_once
                                         : 1;
}

/* Begins what may begin now. True: the block is done. */
static bool block_go_on(struct turn *turn, struct node *node)
{
    const struct saga_step *step = step_of(turn->saga, node);
    struct children *children = node->children;
    while (children->next < children->count && children->open < width(step, children)) {
        if (!begin_next(turn, node))
            children->open++;
    }
    if (PLANTED(SAGA_FIRST_BRANCH_IS_ALL) && step->type == SAGA_PARALLEL)
        return children->open < children->count;
    return children->open == 0;
}

void node_finished(struct turn *turn, struct node *node)
{
    for (struct node *parent = node->parent; parent; parent = parent->parent) {
        if (parent->state == NODE_DONE) { /* only of SAGA_FIRST_BRANCH_IS_ALL */
            CHECK(PLANTED(SAGA_FIRST_BRANCH_IS_ALL));
            return;
        }
        if (step_of(turn->saga, parent)->type != SAGA_CHOOSE) {
            CHECK(parent->children->open > 0);
            parent->children->open--;
            if (!block_go_on(turn, parent))
                return;
        }
        block_done(turn, parent);
    }
    turn->saga->all_done = true;
}

/* ---- what is done -------------------------------------------------------------------------- */

void pass_pivot(struct turn *turn)
{
    struct saga *saga = turn->saga;
    saga->past_pivot = true;
    if (saga->failure) {
        free(saga->failure->problem);
        free(saga->failure);
        saga->failure = NULL;
    }
    struct list *next;
    for (struct list *at = saga->resting.next; at != &saga->resting; at = next) {
        struct task *task = CONTAINER(at, struct task, link);
        next = at->next;
        if (!task->gave_up)
            continue;
        if (task->node->state == NODE_BROKEN || task->done) {
            task_attention(saga, task, true);
        } else {
            task->gave_up = false;
            task_turn(turn, task, SAGA_DO);
        }
    }
    turn->look_waits = true;
}

void apply_done(struct turn *turn, struct node *node, char *output, char *result)
{
    struct saga *saga = turn->saga;
    const struct saga_step *step = step_of(saga, node);
    CHECK(node->state == NODE_OPEN);
    if (step->type == SAGA_WAIT) {
        waits_drop(saga, node);
    } else {
        task_drop(saga, node);
        saga->open--;
    }
    node->state = NODE_DONE;
    node->late = saga->state != SAGA_RUNNING;
    node->ended_us = turn->at_us;
    node->output = output;
    node->result = result;
    if (step->kind == SAGA_PIVOT) {
        CHECK(saga->state == SAGA_RUNNING || PLANTED(SAGA_GUESS_UNSURE)); /* E3 */
        pass_pivot(turn);
    }
    if (saga->state == SAGA_RUNNING)
        node_finished(turn, node);
    else
        resolved(turn);
}

void record_done(struct turn *turn, struct node *node, char *output, const char *result, bool kept,
                 bool by_signal)
{
    enum saga_type type = step_of(turn->saga, node)->type;
    struct saga_record made = record_of(turn, SAGA_RECORD_STEP_DONE, node);
    bool keeps = result && saga_step_keeps_result(turn->saga->plan, node->step);
    made.value = output;
    made.result = keeps ? result : NULL;
    made.by_signal = by_signal;
    made.awaited =
        (type != SAGA_CALL || !kept) && !(type == SAGA_WAIT && PLANTED(SAGA_SIGNAL_NOT_AWAITED));
    record(turn, &made);
    if (type == SAGA_TRANSACTION) {
        struct saga_action *forget = action_add(turn);
        forget->type = SAGA_ACT_FORGET;
        forget->instance = made.instance;
    }
    apply_done(turn, node, output, keeps ? xstrdup(result) : NULL);
}

void complete(struct turn *turn)
{
    struct saga *saga = turn->saga;
    struct error error = {0};
    char *output = NULL;
    CHECK(saga->open == 0 || PLANTED(SAGA_FIRST_BRANCH_IS_ALL)); /* E6 */
    if (saga->plan->output != SAGA_NONE) {
        output = sight_render(saga, &saga->root, saga->plan->output, NULL, &error);
        if (!output) {
            break_node(turn, &saga->root, &error);
            return;
        }
    }
    struct saga_record made = {.type = SAGA_RECORD_COMPLETED,
                               .awaited = true,
                               .instance.step = SAGA_NONE,
                               .at_us = turn->at_us,
                               .value = output};
    record(turn, &made);
    saga->output = output;
    saga->state = SAGA_COMPLETED;
    saga->ended_us = turn->at_us;
    action_add(turn)->type = SAGA_ACT_END;
}

/* ---- waits --------------------------------------------------------------------------------- */

void waits_drop(struct saga *saga, struct node *node)
{
    struct node **at = &saga->waits;
    while (*at != node) {
        CHECK(*at != NULL);
        at = &(*at)->next_wait;
    }
    *at = node->next_wait;
    node->output = node->result = NULL;
}

bool signal_take(struct saga *saga, const char *name, struct signal **out)
{
    for (struct signal **at = &saga->signals; *at; at = &(*at)->next) {
        if (strcmp((*at)->name, name) != 0)
            continue;
        *out = *at;
        *at = (*at)->next;
        return true;
    }
    return false;
}

void signal_keep(struct turn *turn, const char *name, const char *value)
{
    struct signal *kept = xcalloc(1, sizeof(*kept) + strlen(name) + 1);
    strcpy(kept->name, name);
    kept->at_us = turn->at_us;
    kept->value = value ? xstrdup(value) : NULL;
    struct signal **end = &turn->saga->signals;
    while (*end)
        end = &(*end)->next;
    *end = kept;
}

/* value: what the signal carried, or NULL. */
static void wait_over(struct turn *turn, struct node *node, const char *value, bool by_signal)
{
    struct error error = {0};
    const struct saga_step *step = step_of(turn->saga, node);
    char *output = value ? xstrdup(value) : NULL;
    if (step->output != SAGA_NONE) {
        free(output);
        output = sight_render(turn->saga, node, step->output, value, &error);
        if (!output) {
            waits_drop(turn->saga, node);
            break_node(turn, node, &error);
            return;
        }
    }
    record_done(turn, node, output, NULL, true, by_signal);
}

static void signal_missed(struct turn *turn, struct node *node)
{
    const struct saga_step *step = step_of(turn->saga, node);
    if (step->or_continue || turn->saga->past_pivot) { /* where nothing may fail */
        wait_over(turn, node, NULL, false);
        return;
    }
    char message[160];
    snprintf(message, sizeof(message), "the signal %.63s did not come in time", step->signal);
    fail(turn, node, &(struct saga_problem){.code = "timeout", .message = message});
}

/* True: it was over. */
static bool look_at_wait(struct turn *turn, struct node *node)
{
    const struct saga_step *step = step_of(turn->saga, node);
    struct signal *taken;
    if (step->wait == SAGA_WAIT_SIGNAL && signal_take(turn->saga, step->signal, &taken)) {
        wait_over(turn, node, taken->value, true);
        free(taken->value);
        free(taken);
        return true;
    }
    if (node->due_us > turn->time.wall_us)
        return false;
    if (step->wait == SAGA_WAIT_SIGNAL)
        signal_missed(turn, node);
    else
        wait_over(turn, node, NULL, false);
    return true;
}

void look_at_waits(struct turn *turn)
{
    struct saga *saga = turn->saga;
    turn->look_waits = false;
    struct node *node = saga->waits;
    while (node && saga->state == SAGA_RUNNING && !saga->failure)
        node = look_at_wait(turn, node) ? saga->waits : node->next_wait;
}
