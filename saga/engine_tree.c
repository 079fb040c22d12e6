#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/engine_private.h"

/* The way from the root to a step: a block and the sequence in it for each level, at most. */
enum { LEVELS = 2 * LIMIT_SAGA_DEPTH + 4 };

bool type_is_block(enum saga_type type)
{
    return type == SAGA_SEQUENCE || type == SAGA_PARALLEL || type == SAGA_CHOOSE ||
           type == SAGA_FOR_EACH;
}

bool type_is_tried(enum saga_type type)
{
    return type == SAGA_CALL || type == SAGA_TRANSACTION || type == SAGA_SAGA;
}

/* ---- nodes --------------------------------------------------------------------------------- */

struct node *node_add(struct node *parent, int step, uint32_t index)
{
    struct node *node = xcalloc(1, sizeof(*node));
    node->parent = parent;
    node->step = (uint16_t)step;
    node->index = index;
    CHECK(index < parent->children->count && !parent->children->list[index]);
    parent->children->list[index] = node;
    return node;
}

void node_open_block(struct node *node, uint32_t count, struct json *items)
{
    CHECK(!node->children);
    node->children = xcalloc(1, sizeof(struct children) + count * sizeof(struct node *));
    node->children->count = count;
    node->children->items = items;
}

/* The place of a step among its siblings. */
static uint32_t position(const struct saga_plan *plan, int step)
{
    uint32_t at = 0;
    for (int other = plan->steps[plan->steps[step].parent].first_child; other != step;
         other = plan->steps[other].next_sibling)
        at++;
    return at;
}

static struct node *child_of(const struct saga *saga, const struct node *node, int step,
                             const uint32_t **items)
{
    enum saga_type type = step_of(saga, node)->type;
    uint32_t at = 0;
    if (!node->children)
        return NULL;
    if (type == SAGA_FOR_EACH) {
        if (!*items)
            return NULL;
        at = *(*items)++;
    } else if (type != SAGA_CHOOSE) {
        at = position(saga->plan, step);
    }
    struct node *child = at < node->children->count ? node->children->list[at] : NULL;
    return child && child->step == step ? child : NULL;
}

struct node *node_below(const struct saga *saga, const struct node *top, int step,
                        const uint32_t *items)
{
    int way[LEVELS], levels = 0;
    for (int at = step; at != top->step; at = saga->plan->steps[at].parent) {
        CHECK(levels < LEVELS && at != SAGA_NONE);
        way[levels++] = at;
    }
    struct node *node = (struct node *)top;
    while (node && levels > 0)
        node = child_of(saga, node, way[--levels], &items);
    return node;
}

static int loops_around(const struct saga_plan *plan, int step)
{
    int count = 0;
    for (int loop = plan->steps[step].loop; loop != SAGA_NONE; loop = plan->steps[loop].loop)
        count++;
    return count;
}

struct node *node_find(const struct saga *saga, const struct saga_instance *instance)
{
    if (instance->step < 0 || instance->step >= saga->plan->step_count || !saga->begun ||
        instance->depth != loops_around(saga->plan, instance->step))
        return NULL;
    return node_below(saga, &saga->root, instance->step, instance->items);
}

void node_instance(const struct saga *saga, const struct node *node, struct saga_instance *out)
{
    *out =
        (struct saga_instance){.step = node->step, .depth = loops_around(saga->plan, node->step)};
    int at = out->depth;
    for (; node->parent; node = node->parent) {
        if (step_of(saga, node->parent)->type == SAGA_FOR_EACH)
            out->items[--at] = node->index;
    }
    CHECK(at == 0);
}

/* All that it has, and not itself: the root is part of its saga. */
static void node_fini(struct saga *saga, struct node *node)
{
    if (node->task)
        task_drop(saga, node);
    if (!type_is_block(step_of(saga, node)->type)) {
        if (node->state != NODE_OPEN) {
            free(node->output);
            free(node->result);
        }
    } else if (node->children) {
        for (uint32_t i = 0; i < node->children->count; i++) {
            if (node->children->list[i])
                node_fini(saga, node->children->list[i]);
            free(node->children->list[i]);
        }
        json_free(node->children->items);
        free(node->children);
    }
}

void nodes_free(struct saga *saga)
{
    node_fini(saga, &saga->root);
}

void nodes_each_leaf(const struct saga *saga, const struct node *top, visit_leaf *visit, void *self)
{
    if (!type_is_block(step_of(saga, top)->type)) {
        visit(self, (struct node *)top);
        return;
    }
    for (uint32_t i = 0; top->children && i < top->children->count; i++) {
        if (top->children->list[i])
            nodes_each_leaf(saga, top->children->list[i], visit, self);
    }
}

const char *saga_label_format(saga_label out, const struct saga_plan *plan,
                              const struct saga_instance *instance)
{
    const struct saga_step *step = &plan->steps[instance->step];
    size_t room = sizeof(saga_label), size;
    if (step->name)
        size = (size_t)snprintf(out, room, "%s", step->name);
    else
        size = (size_t)snprintf(out, room, "%s#%d", saga_type_words[step->type], instance->step);
    for (int i = 0; i < instance->depth && size < room; i++)
        size += (size_t)snprintf(out + size, room - size, "[%u]", instance->items[i]);
    CHECK(size < room);
    return out;
}

/* ---- tasks --------------------------------------------------------------------------------- */

struct task *task_add(struct saga *saga, struct node *node, enum saga_how how)
{
    CHECK(!node->task);
    struct task *task = xcalloc(1, sizeof(*task));
    task->node = node;
    task->how = (uint8_t)how;
    node->task = task;
    task->in = &saga->due;
    list_append(&saga->due, &task->link);
    return task;
}

void task_drop(struct saga *saga, struct node *node)
{
    struct task *task = node->task;
    task_attention(saga, task, false);
    list_remove(&task->link);
    free(task->problem);
    free(task->result);
    free(task);
    node->task = NULL;
}

void task_move(struct task *task, struct list *list)
{
    list_remove(&task->link);
    list_append(list, &task->link);
    task->in = list;
}

void task_problem(struct task *task, const struct saga_problem *problem)
{
    struct saga_problem *kept = problem ? problem_keep(problem) : NULL;
    free(task->problem);
    task->problem = kept;
}

void task_attention(struct saga *saga, struct task *task, bool needed)
{
    if (task->attention == needed)
        return;
    task->attention = needed;
    saga->attention += needed ? 1u : -1u;
}

struct task *task_first(const struct list *list)
{
    return list_empty(list) ? NULL : CONTAINER(list->next, struct task, link);
}

/* ---- problems ------------------------------------------------------------------------------ */

enum { TEXTS = 6 };

static void texts_of(struct saga_problem *problem, const char **texts[TEXTS])
{
    texts[0] = &problem->participant;
    texts[1] = &problem->operation;
    texts[2] = &problem->code;
    texts[3] = &problem->message;
    texts[4] = &problem->detail;
    texts[5] = &problem->hint;
}

struct saga_problem *problem_keep(const struct saga_problem *problem)
{
    struct saga_problem copy = *problem;
    const char **texts[TEXTS];
    size_t size = sizeof(copy);
    texts_of(&copy, texts);
    for (int i = 0; i < TEXTS; i++)
        size += *texts[i] ? strlen(*texts[i]) + 1 : 0;
    struct saga_problem *kept = xmalloc(size);
    char *to = (char *)(kept + 1);
    for (int i = 0; i < TEXTS; i++) {
        if (!*texts[i])
            continue;
        size_t length = strlen(*texts[i]) + 1;
        memcpy(to, *texts[i], length);
        *texts[i] = to;
        to += length;
    }
    *kept = copy;
    return kept;
}

struct saga_problem problem_of_error(const struct error *error)
{
    return (struct saga_problem){.code = "expression",
                                 .message = error->message,
                                 .detail = error->detail[0] ? error->detail : NULL,
                                 .hint = error->hint[0] ? error->hint : NULL};
}
