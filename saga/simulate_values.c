#include <ctype.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/simulate_private.h"

/* ---- paths --------------------------------------------------------------------------------- */

static const struct saga_member *member_of(const struct saga_plan *plan,
                                           const struct saga_reference *path, int at)
{
    return &plan->members[path->first_member + at];
}

static bool member_same(const struct saga_member *a, const struct saga_member *b)
{
    if (!a->name || !b->name)
        return !a->name && !b->name && a->index == b->index;
    return strcmp(a->name, b->name) == 0;
}

static bool path_begins_as(const struct saga_plan *plan, const struct saga_reference *path,
                           const struct saga_reference *other, int count)
{
    if (path->member_count < count || other->member_count < count)
        return false;
    for (int i = 0; i < count; i++) {
        if (!member_same(member_of(plan, path, i), member_of(plan, other, i)))
            return false;
    }
    return true;
}

bool leaf_same(const struct saga_plan *plan, const struct leaf *a, const struct leaf *b)
{
    return a->step == b->step && a->path->member_count == b->path->member_count &&
           path_begins_as(plan, a->path, b->path, a->path->member_count);
}

/* Whether the path goes into the result of a step: from its own texts, or, when it has no `output`,
 * from others. */
static bool leads_into(const struct saga_plan *plan, const struct saga_expression *expression,
                       const struct saga_reference *path, int step)
{
    if (step == SAGA_NONE)
        return path->root == SAGA_ROOT_INPUT && path->member_count > 0;
    if (path->root == SAGA_ROOT_RESULT)
        return expression->step == step;
    return path->root == SAGA_ROOT_STEPS && path->step == step &&
           plan->steps[step].output == SAGA_NONE;
}

/* All paths into a value. The caller frees the list. */
static const struct saga_reference **paths_into(const struct saga_plan *plan, int step, int *count)
{
    const struct saga_reference **list = xcalloc((size_t)plan->reference_count + 1, sizeof(*list));
    *count = 0;
    for (int i = 0; i < plan->expression_count; i++) {
        const struct saga_expression *expression = &plan->expressions[i];
        for (int j = 0; j < expression->reference_count; j++) {
            const struct saga_reference *path = &plan->references[expression->first_reference + j];
            if (leads_into(plan, expression, path, step))
                list[(*count)++] = path;
        }
    }
    return list;
}

/* ---- values made of paths ------------------------------------------------------------------ */

struct maker {
    const struct saga_plan *plan;
    const struct made_case *made;
    int step;
    const struct saga_reference **paths;
    int count;
};

static const char *overridden(const struct maker *maker, const struct saga_reference *path,
                              int depth)
{
    for (int i = 0; maker->made && i < maker->made->count; i++) {
        const struct leaf *leaf = &maker->made->overrides[i].leaf;
        if (leaf->step == maker->step && leaf->path->member_count == depth &&
            path_begins_as(maker->plan, leaf->path, path, depth))
            return maker->made->overrides[i].value;
    }
    return NULL;
}

/* The first path that goes on below the first `depth` members of `path`, from index `from` on, to a
 * member that none before it went to. */
static int next_below(const struct maker *maker, const struct saga_reference *path, int depth,
                      int from)
{
    for (int i = from; i < maker->count; i++) {
        const struct saga_reference *other = maker->paths[i];
        bool seen =
            other->member_count <= depth || !path_begins_as(maker->plan, other, path, depth);
        for (int j = 0; j < i && !seen; j++)
            seen = maker->paths[j]->member_count > depth &&
                   path_begins_as(maker->plan, maker->paths[j], other, depth + 1);
        if (!seen)
            return i;
    }
    return -1;
}

static void make(const struct maker *maker, const struct saga_reference *path, int depth,
                 struct json_writer *out);

static void make_list(const struct maker *maker, const struct saga_reference *path, int depth,
                      struct json_writer *out)
{
    long last = 0;
    for (int i = next_below(maker, path, depth, 0); i >= 0;
         i = next_below(maker, path, depth, i + 1)) {
        long index = member_of(maker->plan, maker->paths[i], depth)->index;
        last = index > last && index < 100 ? index : last;
    }
    json_open(out, '[');
    for (long at = 0; at <= last; at++) {
        const struct saga_reference *found = NULL;
        for (int i = next_below(maker, path, depth, 0); i >= 0 && !found;
             i = next_below(maker, path, depth, i + 1)) {
            const struct saga_member *member = member_of(maker->plan, maker->paths[i], depth);
            if (!member->name && (member->index == at || member->index < 0))
                found = maker->paths[i];
        }
        if (found)
            make(maker, found, depth + 1, out);
        else
            json_raw(out, "null");
    }
    json_close(out, ']');
}

/* The value at the first `depth` members of the path. */
static void make(const struct maker *maker, const struct saga_reference *path, int depth,
                 struct json_writer *out)
{
    const char *value = overridden(maker, path, depth);
    int first = next_below(maker, path, depth, 0);
    if (value || first < 0) {
        json_raw(out, value ? value : "1");
        return;
    }
    if (!member_of(maker->plan, maker->paths[first], depth)->name) {
        make_list(maker, path, depth, out);
        return;
    }
    json_open(out, '{');
    for (int i = first; i >= 0; i = next_below(maker, path, depth, i + 1)) {
        const struct saga_member *member = member_of(maker->plan, maker->paths[i], depth);
        if (!member->name)
            continue;
        json_name(out, member->name);
        make(maker, maker->paths[i], depth + 1, out);
    }
    json_close(out, '}');
}

char *made_result(const struct saga_simulation *simulation, const struct made_case *made, int step)
{
    const struct saga_plan *plan = simulation->plan;
    const char *name = plan->steps[step].name;
    const struct json *given =
        simulation->results && name ? json_member(simulation->results, name) : NULL;
    if (given)
        return xstrndup(given->raw, given->raw_size);
    struct maker maker = {.plan = plan, .made = made, .step = step};
    maker.paths = paths_into(plan, step, &maker.count);
    struct json_writer out = {0};
    static const struct saga_reference whole = {.root = SAGA_ROOT_RESULT};
    if (maker.count > 0)
        make(&maker, &whole, 0, &out);
    else
        json_raw(&out, "null");
    free(maker.paths);
    return out.text;
}

/* ---- inputs -------------------------------------------------------------------------------- */

/* Two items, with every name that is looked at in any item or any value whose place is not known.
 */
static void make_items(const struct saga_plan *plan, struct json_writer *out)
{
    struct json_writer item = {0};
    const char *names[64];
    int count = 0;
    for (int i = 0; i < plan->reference_count && count < 64; i++) {
        const struct saga_reference *path = &plan->references[i];
        const char *name = path->root == SAGA_ROOT_ITEM && path->member_count
                               ? member_of(plan, path, 0)->name
                           : path->root == SAGA_ROOT_UNKNOWN ? path->name
                                                             : NULL;
        bool known = !name;
        for (int j = 0; j < count && !known; j++)
            known = strcmp(names[j], name) == 0;
        if (!known)
            names[count++] = name;
    }
    json_open(&item, '{');
    for (int i = 0; i < count; i++) {
        json_name(&item, names[i]);
        json_raw(&item, "1");
    }
    json_close(&item, '}');
    json_open(out, '[');
    json_raw(out, count ? item.text : "1");
    json_raw(out, count ? item.text : "2");
    json_close(out, ']');
    json_writer_fini(&item);
}

static void make_input(const struct maker *maker, const struct saga_input *input,
                       struct json_writer *out)
{
    const struct saga_reference *path = NULL;
    for (int i = 0; i < maker->count && !path; i++) {
        const char *name = member_of(maker->plan, maker->paths[i], 0)->name;
        if (name && strcmp(name, input->name) == 0)
            path = maker->paths[i];
    }
    bool open = input->type == SAGA_OBJECT || input->type == SAGA_ANY;
    const char *value = path ? overridden(maker, path, 1) : NULL;
    if (value || input->fallback)
        json_raw(out, value ? value : input->fallback);
    else if (open && path)
        make(maker, path, 1, out);
    else if (input->type == SAGA_ARRAY)
        make_items(maker->plan, out);
    else
        json_raw(out, input->type == SAGA_STRING    ? "\"text\""
                      : input->type == SAGA_BOOLEAN ? "true"
                      : input->type == SAGA_OBJECT  ? "{}"
                                                    : "1");
}

char *made_input(const struct saga_simulation *simulation, const struct made_case *made)
{
    const struct saga_plan *plan = simulation->plan;
    if (simulation->input)
        return xstrdup(simulation->input);
    struct maker maker = {.plan = plan, .made = made, .step = SAGA_NONE};
    maker.paths = paths_into(plan, SAGA_NONE, &maker.count);
    struct json_writer out = {0};
    json_open(&out, '{');
    for (int i = 0; i < plan->input_count; i++) {
        json_name(&out, plan->inputs[i].name);
        make_input(&maker, &plan->inputs[i], &out);
    }
    json_close(&out, '}');
    free(maker.paths);
    return out.text;
}

/* ---- what conditions look at --------------------------------------------------------------- */

static const struct saga_input *input_of(const struct saga_plan *plan, const struct leaf *leaf)
{
    const char *name = member_of(plan, leaf->path, 0)->name;
    for (int i = 0; name && i < plan->input_count; i++) {
        if (strcmp(plan->inputs[i].name, name) == 0)
            return &plan->inputs[i];
    }
    return NULL;
}

/* The path into the result that a member of `output` hands on as it is, or NULL. */
static const struct saga_reference *path_of_output(const struct saga_plan *plan,
                                                   const struct saga_step *step,
                                                   const struct saga_reference *path)
{
    const char *name = path->member_count == 1 ? member_of(plan, path, 0)->name : NULL;
    for (int i = 0; name && i < step->output_count; i++) {
        const struct saga_argument *member = &plan->arguments[step->first_output + i];
        if (strcmp(member->name, name) != 0 || member->expression == SAGA_NONE ||
            !plan->expressions[member->expression].is_path)
            continue;
        const struct saga_reference *found =
            &plan->references[plan->expressions[member->expression].first_reference];
        return found->root == SAGA_ROOT_RESULT ? found : NULL;
    }
    return NULL;
}

/* Whether the value that a condition looks at is one that was made up. */
static bool is_made_up(const struct saga_simulation *simulation, const struct saga_reference *path,
                       struct leaf *leaf)
{
    const struct saga_plan *plan = simulation->plan;
    *leaf = (struct leaf){.step = SAGA_NONE, .path = path};
    if (path->root == SAGA_ROOT_INPUT && path->member_count > 0) {
        const struct saga_input *input = input_of(plan, leaf);
        return !simulation->input && input && input->type != SAGA_ARRAY &&
               (path->member_count == 1 || input->type == SAGA_OBJECT || input->type == SAGA_ANY);
    }
    if (path->root != SAGA_ROOT_STEPS || path->step == SAGA_NONE)
        return false;
    const struct saga_step *step = &plan->steps[path->step];
    bool leaf_type = step->type == SAGA_CALL || step->type == SAGA_TRANSACTION ||
                     step->type == SAGA_SAGA ||
                     (step->type == SAGA_WAIT && step->wait == SAGA_WAIT_SIGNAL);
    bool given = simulation->results && json_member(simulation->results, step->name);
    leaf->step = path->step;
    if (step->output != SAGA_NONE)
        leaf->path = path_of_output(plan, step, path);
    return leaf_type && !given && leaf->path;
}

struct leaf *leaves_find(const struct saga_simulation *simulation, int *count)
{
    const struct saga_plan *plan = simulation->plan;
    struct leaf *list = xcalloc((size_t)plan->reference_count + 1, sizeof(*list));
    *count = 0;
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].when == SAGA_NONE)
            continue;
        const struct saga_expression *when = &plan->expressions[plan->steps[i].when];
        for (int j = 0; j < when->reference_count; j++) {
            struct leaf leaf;
            bool known =
                !is_made_up(simulation, &plan->references[when->first_reference + j], &leaf);
            for (int k = 0; k < *count && !known; k++)
                known = leaf_same(plan, &list[k], &leaf);
            if (!known)
                list[(*count)++] = leaf;
        }
    }
    return list;
}

static int add_candidate(char **out, int count, int room, const char *text, size_t size)
{
    for (int i = 0; i < count; i++) {
        if (strlen(out[i]) == size && memcmp(out[i], text, size) == 0)
            return count;
    }
    if (count < room)
        out[count++] = xstrndup(text, size);
    return count;
}

/* Texts and numbers that stand in a condition. */
static int literals(const char *source, char **out, int count, int room)
{
    for (const char *at = source; *at; at++) {
        if (*at == '"') {
            const char *end = strchr(at + 1, '"');
            if (!end)
                break;
            if (!memchr(at, '\\', (size_t)(end - at)))
                count = add_candidate(out, count, room, at, (size_t)(end - at) + 1);
            at = end;
        } else if (isdigit((unsigned char)*at) &&
                   (at == source || !(isalnum((unsigned char)at[-1]) || at[-1] == '_'))) {
            size_t size = strspn(at, "0123456789.");
            char more[40];
            double number = strtod(at, NULL);
            count = add_candidate(out, count, room, at, size);
            int length = snprintf(more, sizeof(more), "%.15g", number + 1);
            count = add_candidate(out, count, room, more, (size_t)length);
            at += size - 1;
        }
    }
    return count;
}

static bool fits(const struct saga_plan *plan, const struct leaf *leaf, const char *value)
{
    if (leaf->step != SAGA_NONE || leaf->path->member_count > 1)
        return true;
    switch (input_of(plan, leaf)->type) {
    case SAGA_STRING:
        return value[0] == '"';
    case SAGA_INTEGER:
    case SAGA_NUMBER:
        return isdigit((unsigned char)value[0]);
    case SAGA_BOOLEAN:
        return strcmp(value, "true") == 0 || strcmp(value, "false") == 0;
    default:
        return true;
    }
}

int leaf_candidates(const struct saga_plan *plan, const struct leaf *leaf, char **out, int room)
{
    static const char *const usual[] = {"true", "false", "0", "1", "1000000", "\"\"", "null"};
    char *all[64];
    int count = 0, kept = 0;
    for (int i = 0; i < plan->step_count; i++) {
        if (plan->steps[i].when != SAGA_NONE)
            count = literals(plan->expressions[plan->steps[i].when].source, all, count, 48);
    }
    for (size_t i = 0; i < sizeof(usual) / sizeof(usual[0]); i++)
        count = add_candidate(all, count, 64, usual[i], strlen(usual[i]));
    for (int i = 0; i < count; i++) {
        if (kept < room && fits(plan, leaf, all[i]))
            out[kept++] = all[i];
        else
            free(all[i]);
    }
    return kept;
}

char *case_words(const struct saga_plan *plan, const struct made_case *made)
{
    char *words = xstrdup("");
    for (int i = 0; i < made->count; i++) {
        const struct leaf *leaf = &made->overrides[i].leaf;
        char path[256] = "";
        size_t size = leaf->step == SAGA_NONE ? 0
                                              : (size_t)snprintf(path, sizeof(path), "%s",
                                                                 plan->steps[leaf->step].name);
        for (int j = 0; j < leaf->path->member_count && size < sizeof(path); j++) {
            const struct saga_member *member = member_of(plan, leaf->path, j);
            size += (size_t)(member->name ? snprintf(path + size, sizeof(path) - size, "%s%s",
                                                     size ? "." : "", member->name)
                                          : snprintf(path + size, sizeof(path) - size, "[%ld]",
                                                     member->index));
        }
        char *more = xasprintf("%s%s%s = %s", words, i ? ", " : "", path, made->overrides[i].value);
        free(words);
        words = more;
    }
    return words;
}
