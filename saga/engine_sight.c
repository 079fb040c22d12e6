#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/engine_private.h"
#include "saga/sight.h"

/* The view from one node. Texts that are made for it live until it is closed. */
struct looker {
    struct saga *saga;
    struct node *node;
    struct json_writer *made; /* count of them */
    int count;
};

static void looker_close(struct looker *looker)
{
    for (int i = 0; i < looker->count; i++)
        json_writer_fini(&looker->made[i]);
    free(looker->made);
}

static struct saga_text text_of(const char *text)
{
    return (struct saga_text){text, text ? strlen(text) : 0};
}

static struct saga_text output_seen(void *self, int step);

/* ---- the results of blocks ----------------------------------------------------------------- */

/* The list of a FOR_EACH, an object for each item. */
static void write_items(struct saga *saga, struct node *node, struct json_writer *out)
{
    json_open(out, '[');
    for (uint32_t i = 0; i < node->children->count; i++) {
        struct looker item = {.saga = saga, .node = node->children->list[i]};
        struct saga_scope scope = {.output = output_seen, .self = &item};
        char *object = saga_block_result(saga->plan, node->step, &scope);
        json_raw(out, object);
        free(object);
        looker_close(&item);
    }
    json_close(out, ']');
}

static void write_block(struct saga *saga, struct node *node, struct json_writer *out)
{
    if (step_of(saga, node)->type == SAGA_FOR_EACH) {
        write_items(saga, node, out);
        return;
    }
    struct looker inside = {.saga = saga, .node = node};
    struct saga_scope scope = {.output = output_seen, .self = &inside};
    char *object = saga_block_result(saga->plan, node->step, &scope);
    json_raw(out, object);
    free(object);
    looker_close(&inside);
}

/* ---- outputs ------------------------------------------------------------------------------- */

/* A block may be undone that was never done: not all in it had begun. */
static bool has_output(const struct saga *saga, const struct node *node)
{
    if (type_is_block(step_of(saga, node)->type) && node->state == NODE_UNDONE)
        return node->ended_us > 0;
    return node->state == NODE_DONE || node->state == NODE_UNDOING || node->state == NODE_UNDONE;
}

/* Of the instance of the step that shares the loops of the one that looks. Which steps are asked
 * for is decided by saga/sight.h alone: by the place, not by what is done by now. */
static struct saga_text output_seen(void *self, int step)
{
    struct looker *looker = self;
    struct saga *saga = looker->saga;
    const struct node *top = looker->node;
    while (!saga_step_within(saga->plan, step, top->step))
        top = top->parent;
    struct node *node = node_below(saga, top, step, NULL);
    if (!node || !has_output(saga, node))
        return (struct saga_text){0};
    if (!type_is_block(step_of(saga, node)->type))
        return text_of(node->output);
    looker->made = xrealloc(looker->made, ((size_t)looker->count + 1) * sizeof(struct json_writer));
    struct json_writer *made = &looker->made[looker->count++];
    *made = (struct json_writer){0};
    write_block(saga, node, made);
    return (struct saga_text){made->text, made->size};
}

/* A block that was undone before it was done gave nothing. */
static bool is_complete(const struct node *block)
{
    for (uint32_t i = 0; block->children && i < block->children->count; i++)
        if (!block->children->list[i])
            return false;
    return true;
}

char *sight_output(struct saga *saga, struct node *node)
{
    if (!has_output(saga, node))
        return NULL;
    if (!type_is_block(step_of(saga, node)->type))
        return node->output ? xstrdup(node->output) : NULL;
    if (!step_of(saga, node)->name || !is_complete(node))
        return NULL;
    struct json_writer out = {0};
    write_block(saga, node, &out);
    return out.text;
}

/* ---- scopes -------------------------------------------------------------------------------- */

static void scope_of(struct looker *looker, const char *result, struct saga_scope *scope);

/* The list is dropped when all of its items are through, and had again when they are undone: the
 * same expression over the same outputs. */
static const struct json *items_of(struct saga *saga, struct node *loop)
{
    if (!loop->children->items) {
        struct error error = {0};
        loop->children->items = sight_items(saga, loop, &error);
        CHECK(loop->children->items != NULL &&
              (uint32_t)loop->children->items->count == loop->children->count);
    }
    return loop->children->items;
}

static void see_item(struct looker *looker, struct saga_scope *scope)
{
    struct saga *saga = looker->saga;
    int loop = step_of(saga, looker->node)->loop;
    if (loop == SAGA_NONE)
        return;
    struct node *item = looker->node;
    while (item->parent->step != loop)
        item = item->parent;
    const struct json *json = &items_of(saga, item->parent)->items[item->index];
    scope->item = (struct saga_text){json->raw, json->raw_size};
    scope->index = item->index;
}

static void scope_of(struct looker *looker, const char *result, struct saga_scope *scope)
{
    *scope = (struct saga_scope){.id = looker->saga->texts,
                                 .input = text_of(looker->saga->input),
                                 .output = output_seen,
                                 .self = looker,
                                 .result = text_of(result)};
    see_item(looker, scope);
}

bool sight_when(struct saga *saga, struct node *node, int expression, bool *value,
                struct error *error)
{
    struct looker looker = {.saga = saga, .node = node};
    struct saga_scope scope;
    scope_of(&looker, NULL, &scope);
    bool good = saga_evaluate_when(saga->plan, expression, &scope, value, error);
    looker_close(&looker);
    return good;
}

struct json *sight_items(struct saga *saga, struct node *node, struct error *error)
{
    struct looker looker = {.saga = saga, .node = node};
    struct saga_scope scope;
    scope_of(&looker, NULL, &scope);
    struct json *items = saga_evaluate_items(saga->plan, step_of(saga, node)->items, &scope, error);
    looker_close(&looker);
    return items;
}

char *sight_render(struct saga *saga, struct node *node, int template, const char *result,
                   struct error *error)
{
    struct looker looker = {.saga = saga, .node = node};
    struct saga_scope scope;
    scope_of(&looker, result, &scope);
    char *text = saga_render(saga->plan, template, &scope, error);
    looker_close(&looker);
    return text;
}

char *sight_arguments(struct saga *saga, struct node *node, int template, const char *result,
                      struct error *error)
{
    struct looker looker = {.saga = saga, .node = node};
    struct saga_scope scope;
    scope_of(&looker, result, &scope);
    char *text = saga_render_object(saga->plan, template, &scope, error);
    looker_close(&looker);
    return text;
}
