#include "saga/plan.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/program.h"

enum { CHUNK_BYTES = 4000 };

struct chunk {
    struct chunk *next;
    char bytes[];
};

struct saga_memory {
    struct chunk *chunks;
    size_t used, room; /* of the newest */
};

const struct saga_retry saga_retry_default = {3, 100 * 1000, 10 * 1000 * 1000, 2000, 200};

const char *const saga_type_words[] = {"steps", "call",     "transaction", "saga",
                                       "wait",  "parallel", "choose",      "for_each"};
const char *const saga_kind_words[] = {"compensatable", "pivot", "retriable", NULL};
const char *const saga_value_type_words[] = {"string", "integer", "number", "boolean",
                                             "object", "array",   "any",    NULL};

const char *plan_keep(struct saga_plan *plan, const char *text, size_t size)
{
    struct saga_memory *memory = plan->memory;
    if (!memory->chunks || memory->room - memory->used < size + 1) {
        size_t room = size + 1 > CHUNK_BYTES ? size + 1 : CHUNK_BYTES;
        struct chunk *chunk = xmalloc(sizeof(*chunk) + room);
        chunk->next = memory->chunks;
        memory->chunks = chunk;
        memory->used = 0;
        memory->room = room;
    }
    char *kept = memory->chunks->bytes + memory->used;
    if (size)
        memcpy(kept, text, size);
    kept[size] = '\0';
    memory->used += size + 1;
    return kept;
}

struct saga_plan *plan_new(const char *file, const char *text, size_t size)
{
    struct saga_plan *plan = xcalloc(1, sizeof(*plan));
    plan->memory = xcalloc(1, sizeof(*plan->memory));
    plan->file = plan_keep(plan, file, strlen(file));
    plan->text = plan_keep(plan, text, size);
    plan->size = size;
    plan->digest = digest_of(text, size);
    plan->alert_after = SAGA_ALERT_AFTER;
    plan->output = SAGA_NONE;
    return plan;
}

void saga_plan_free(struct saga_plan *plan)
{
    if (!plan)
        return;
    saga_program_free(plan->program);
    free(plan->steps);
    free(plan->calls);
    free(plan->arguments);
    free(plan->inputs);
    free(plan->expressions);
    free(plan->references);
    free(plan->members);
    free(plan->templates);
    free(plan->pieces);
    while (plan->memory->chunks) {
        struct chunk *chunk = plan->memory->chunks;
        plan->memory->chunks = chunk->next;
        free(chunk);
    }
    free(plan->memory);
    free(plan);
}

/* Room for one more, zeroed. An array of a power of two elements from 8 on is full. */
static void *grow(void *array, int count, size_t size)
{
    bool full = count == 0 || (count >= 8 && (count & (count - 1)) == 0);
    if (full)
        array = xrealloc(array, (count ? 2 * (size_t)count : 8) * size);
    memset((char *)array + (size_t)count * size, 0, size);
    return array;
}

#define ADD(array, count)                                                                          \
    ((array) = grow((array), (count), sizeof((array)[0])), (array) + (count)++, (count)-1)

/* At the end of its parent's children: they are few. */
static void link_child(struct saga_plan *plan, int parent, int child)
{
    plan->steps[parent].child_count++;
    int last = plan->steps[parent].first_child;
    if (last == SAGA_NONE) {
        plan->steps[parent].first_child = child;
        return;
    }
    while (plan->steps[last].next_sibling != SAGA_NONE)
        last = plan->steps[last].next_sibling;
    plan->steps[last].next_sibling = child;
}

int plan_add_step(struct saga_plan *plan, enum saga_type type, int parent)
{
    int index = ADD(plan->steps, plan->step_count);
    struct saga_step *step = &plan->steps[index];
    step->type = type;
    step->parent = parent;
    step->first_child = step->next_sibling = step->loop = step->when = step->output = SAGA_NONE;
    step->compensation = step->input = step->items = step->until = SAGA_NONE;
    step->at_once = 1;
    step->timeout_us = SAGA_TIMEOUT_US;
    step->retry = saga_retry_default;
    if (parent == SAGA_NONE)
        return index;
    const struct saga_step *above = &plan->steps[parent];
    step->depth = above->depth + 1;
    step->loop = above->type == SAGA_FOR_EACH ? parent : above->loop;
    link_child(plan, parent, index);
    return index;
}

int plan_add_call(struct saga_plan *plan)
{
    int index = ADD(plan->calls, plan->call_count);
    plan->calls[index].with = SAGA_NONE;
    return index;
}

int plan_add_argument(struct saga_plan *plan)
{
    int index = ADD(plan->arguments, plan->argument_count);
    plan->arguments[index].expression = SAGA_NONE;
    return index;
}

int plan_add_input(struct saga_plan *plan)
{
    return ADD(plan->inputs, plan->input_count);
}

int plan_add_expression(struct saga_plan *plan)
{
    int index = ADD(plan->expressions, plan->expression_count);
    plan->expressions[index].step = SAGA_NONE;
    return index;
}

int plan_add_reference(struct saga_plan *plan)
{
    int index = ADD(plan->references, plan->reference_count);
    plan->references[index].step = SAGA_NONE;
    return index;
}

int plan_add_member(struct saga_plan *plan)
{
    return ADD(plan->members, plan->member_count);
}

int plan_add_template(struct saga_plan *plan)
{
    return ADD(plan->templates, plan->template_count);
}

int plan_add_piece(struct saga_plan *plan)
{
    int index = ADD(plan->pieces, plan->piece_count);
    plan->pieces[index].expression = SAGA_NONE;
    return index;
}

/* ---- looking at a plan --------------------------------------------------------------------- */

int saga_step_find(const struct saga_plan *plan, const char *name)
{
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].name && strcmp(plan->steps[i].name, name) == 0)
            return i;
    }
    return SAGA_NONE;
}

bool saga_step_within(const struct saga_plan *plan, int step, int block)
{
    while (step != SAGA_NONE && step != block)
        step = plan->steps[step].parent;
    return step == block;
}

bool saga_step_is_part(const struct saga_plan *plan, int step, int block)
{
    if (!plan->steps[step].name || step == block)
        return false;
    int at = plan->steps[step].parent;
    while (at != SAGA_NONE && at != block && plan->steps[at].type != SAGA_FOR_EACH)
        at = plan->steps[at].parent;
    return at == block;
}

static bool template_needs_result(const struct saga_plan *plan, int template)
{
    if (template == SAGA_NONE)
        return false;
    const struct saga_template *found = &plan->templates[template];
    for (int i = 0; i < found->piece_count; i++) {
        int index = plan->pieces[found->first_piece + i].expression;
        if (index == SAGA_NONE)
            continue;
        const struct saga_expression *expression = &plan->expressions[index];
        for (int j = 0; j < expression->reference_count; j++) {
            enum saga_root root = plan->references[expression->first_reference + j].root;
            if (root == SAGA_ROOT_RESULT || root == SAGA_ROOT_ALL)
                return true;
        }
    }
    return false;
}

bool saga_step_keeps_result(const struct saga_plan *plan, int step)
{
    int compensation = plan->steps[step].compensation;
    return compensation != SAGA_NONE && template_needs_result(plan, plan->calls[compensation].with);
}

struct saga_place saga_expression_place(const struct saga_expression *expression, size_t offset)
{
    struct saga_place place = expression->place;
    for (size_t i = 0; expression->exact && i < offset; i++) {
        if (expression->source[i] == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)expression->source[i] & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}
