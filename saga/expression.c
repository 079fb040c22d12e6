#include "saga/expression.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/program_run.h"
#include "saga/sight.h"
#include "saga/value.h"

enum { PIECES = 8 }; /* of a scope that one rendering uses, kept parsed */

/* A scope as one evaluation or rendering sees it: what was parsed once is kept. */
struct view {
    const struct saga_plan *plan;
    const struct saga_scope *scope;
    struct {
        enum saga_root root;
        int step;
        struct json *json;
    } pieces[PIECES];
    int count, next;
    struct error *error;
};

static void view_fini(struct view *view)
{
    for (int i = 0; i < view->count; i++)
        json_free(view->pieces[i].json);
}

/* ${ source }: what is wrong. Long sources are cut. */
static bool fail(struct view *view, int expression, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static bool fail(struct view *view, int expression, const char *format, ...)
{
    const struct saga_expression *failed = &view->plan->expressions[expression];
    char what[200];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(what, sizeof(what), format, arguments);
    va_end(arguments);
    return error_set(view->error, ERROR_USAGE, "%s:%d:%d: ${ %.60s%s }: %s", view->plan->file,
                     failed->place.line, failed->place.column, failed->source,
                     strlen(failed->source) > 60 ? "..." : "", what);
}

/* ---- the pieces of a scope ----------------------------------------------------------------- */

static struct saga_text piece_text(const struct view *view, enum saga_root root, int step)
{
    const struct saga_scope *scope = view->scope;
    switch (root) {
    case SAGA_ROOT_INPUT:
        return scope->input;
    case SAGA_ROOT_STEPS:
        return step != SAGA_NONE && scope->output ? scope->output(scope->self, step)
                                                  : (struct saga_text){0};
    case SAGA_ROOT_RESULT:
        return scope->result;
    default:
        return scope->item;
    }
}

/* .saga and .index are not JSON anywhere yet. */
static char *piece_made(const struct view *view, enum saga_root root)
{
    struct json_writer writer = {0};
    if (root == SAGA_ROOT_INDEX) {
        json_integer(&writer, view->scope->index);
        return writer.text;
    }
    json_open(&writer, '{');
    json_name(&writer, "id");
    json_string(&writer, view->scope->id);
    json_close(&writer, '}');
    return writer.text;
}

/* The value of a root, alive until PIECES others were asked for. NULL with an error. */
static const struct json *piece(struct view *view, int expression, enum saga_root root, int step)
{
    for (int i = 0; i < view->count; i++) {
        if (view->pieces[i].root == root && view->pieces[i].step == step)
            return view->pieces[i].json;
    }
    char *made = NULL;
    struct saga_text text;
    if (root == SAGA_ROOT_INDEX || root == SAGA_ROOT_SAGA) {
        made = piece_made(view, root);
        text = (struct saga_text){made, strlen(made)};
    } else {
        text = piece_text(view, root, step);
    }
    if (!text.text)
        text = (struct saga_text){"null", 4};
    struct error error = {0};
    struct json *json = json_parse(text.text, text.size, &error);
    free(made);
    if (!json) {
        fail(view, expression, "the value that it names is damaged: %s", error.message);
        return NULL;
    }
    int slot = view->next++ % PIECES;
    if (slot < view->count)
        json_free(view->pieces[slot].json);
    else
        view->count++;
    view->pieces[slot].root = root;
    view->pieces[slot].step = step;
    view->pieces[slot].json = json;
    return json;
}

static const struct json null_json = {.type = JSON_NULL, .raw = "null", .raw_size = 4};

static const char *phrase(const struct json *json)
{
    static const char *const words[] = {
        [JSON_NULL] = "null",       [JSON_FALSE] = "false",   [JSON_TRUE] = "true",
        [JSON_NUMBER] = "a number", [JSON_STRING] = "a text", [JSON_ARRAY] = "a list",
        [JSON_OBJECT] = "an object"};
    return words[json->type];
}

/* One member down, as jq does it: null for what is not there. NULL: such a value has no members of
 * this kind. */
static const struct json *down(const struct json *json, const struct saga_member *member)
{
    if (json->type == JSON_NULL)
        return json;
    if (member->name) {
        if (json->type != JSON_OBJECT)
            return NULL;
        const struct json *found = json_member(json, member->name);
        return found ? found : &null_json;
    }
    if (json->type != JSON_ARRAY)
        return NULL;
    long index = member->index < 0 ? json->count + member->index : member->index;
    return index >= 0 && index < json->count ? &json->items[index] : &null_json;
}

/* ---- a path ------------------------------------------------------------------------------- */

/* The value that a path names; NULL with an error. */
static const struct json *follow(struct view *view, int expression)
{
    const struct saga_plan *plan = view->plan;
    const struct saga_reference *path =
        &plan->references[plan->expressions[expression].first_reference];
    const struct json *json = piece(view, expression, path->root, path->step);
    for (int i = 0; json && i < path->member_count; i++) {
        const struct saga_member *member = &plan->members[path->first_member + i];
        const struct json *next = down(json, member);
        if (!next && member->name)
            fail(view, expression, "%s has no member \"%.40s\"", phrase(json), member->name);
        else if (!next)
            fail(view, expression, "%s has no member %ld", phrase(json), member->index);
        json = next;
    }
    return json;
}

/* ---- what jq gets to see ------------------------------------------------------------------- */

/* A value in a scope, under its path. */
static bool place_value(struct view *view, int expression, jv *scope, jv path,
                        const struct json *json)
{
    jv value;
    const char *bad = NULL;
    if (!value_from_json(json, &value, &bad)) {
        jv_free(value);
        jv_free(path);
        return fail(view, expression,
                    "%.40s has more digits than can be computed with; a value is handed on "
                    "unchanged by its path alone",
                    bad);
    }
    *scope = jv_setpath(*scope, path, value);
    return true;
}

/* Puts into the scope what a reference names: down its members by name as far as there are objects,
 * and then the value there with all that is in it. */
static bool place_reference(struct view *view, int expression, jv *scope,
                            const struct saga_reference *reference)
{
    static const char *const words[] = {
        [SAGA_ROOT_INPUT] = "input", [SAGA_ROOT_STEPS] = "steps", [SAGA_ROOT_RESULT] = "result",
        [SAGA_ROOT_ITEM] = "item",   [SAGA_ROOT_INDEX] = "index", [SAGA_ROOT_SAGA] = "saga"};
    const struct json *json = piece(view, expression, reference->root, reference->step);
    if (!json)
        return false;
    jv path = jv_array_append(jv_array(), jv_string(words[reference->root]));
    if (reference->root == SAGA_ROOT_STEPS)
        path = jv_array_append(path, jv_string(view->plan->steps[reference->step].name));
    for (int i = 0; i < reference->member_count; i++) {
        const struct saga_member *member = &view->plan->members[reference->first_member + i];
        if (!member->name || json->type != JSON_OBJECT)
            break;
        json = json_member(json, member->name);
        if (!json) {
            jv_free(path);
            return true; /* what is not there reads as null */
        }
        path = jv_array_append(path, jv_string(member->name));
    }
    return place_value(view, expression, scope, path, json);
}

/* A step's output, where it is there for the expression. */
static bool place_step(struct view *view, int expression, jv *scope,
                       const struct saga_reference *reference)
{
    const struct saga_expression *user = &view->plan->expressions[expression];
    int loop;
    if (sight_blocked(view->plan, user->step, user->role, reference->step, &loop))
        return true;
    return place_reference(view, expression, scope, reference);
}

static bool place_steps(struct view *view, int expression, jv *scope)
{
    struct saga_reference every = {.root = SAGA_ROOT_STEPS};
    jv steps = jv_object_get(jv_copy(*scope), jv_string("steps"));
    if (jv_is_valid(steps))
        jv_free(steps);
    else
        *scope = jv_object_set(*scope, jv_string("steps"), jv_object());
    for (every.step = 0; every.step < view->plan->step_count; every.step++) {
        if (view->plan->steps[every.step].name && !place_step(view, expression, scope, &every))
            return false;
    }
    return true;
}

static bool place_all(struct view *view, int expression, jv *scope)
{
    for (enum saga_root root = SAGA_ROOT_INPUT; root <= SAGA_ROOT_SAGA; root++) {
        struct saga_reference whole = {.root = root, .step = SAGA_NONE};
        bool seen = sight_of_root(view->plan, expression, root);
        if (root == SAGA_ROOT_STEPS ? !place_steps(view, expression, scope)
                                    : seen && !place_reference(view, expression, scope, &whole))
            return false;
    }
    return true;
}

static bool place_one(struct view *view, int expression, jv *scope,
                      const struct saga_reference *reference)
{
    if (reference->root == SAGA_ROOT_UNKNOWN)
        return true;
    if (reference->root == SAGA_ROOT_STEPS) /* of no step: a path in some other value */
        return reference->step == SAGA_NONE || place_step(view, expression, scope, reference);
    return !sight_of_root(view->plan, expression, reference->root) ||
           place_reference(view, expression, scope, reference);
}

/* Whether everything, or every step, is named. */
static bool names_all(const struct saga_plan *plan, const struct saga_expression *expression,
                      enum saga_root root)
{
    for (int i = 0; i < expression->reference_count; i++) {
        const struct saga_reference *reference = &plan->references[expression->first_reference + i];
        if (reference->root == root && !reference->name)
            return true;
    }
    return false;
}

/* The part of the scope that an expression names: it is smaller, and a number that can't be
 * computed with matters only where it is used. What holds others comes first, so that whoever walks
 * over it meets its members in their own order. */
static bool scope_of(struct view *view, int expression, jv *scope)
{
    const struct saga_expression *found = &view->plan->expressions[expression];
    *scope = jv_object();
    if (names_all(view->plan, found, SAGA_ROOT_ALL))
        return place_all(view, expression, scope);
    if (names_all(view->plan, found, SAGA_ROOT_STEPS) && !place_steps(view, expression, scope))
        return false;
    for (int i = 0; i < found->reference_count; i++) {
        if (!place_one(view, expression, scope,
                       &view->plan->references[found->first_reference + i]))
            return false;
    }
    return true;
}

/* ---- evaluating ---------------------------------------------------------------------------- */

/* Puts JSON into the text without a thought for commas. */
static void append(struct json_writer *out, const char *text, size_t size)
{
    char *copy = xstrndup(text, size);
    out->separator = false;
    json_raw(out, copy);
    out->separator = false;
    free(copy);
}

static bool no_result(struct view *view, int expression, jv result)
{
    if (!jv_invalid_has_msg(jv_copy(result))) {
        jv_free(result);
        return fail(view, expression, "gives no value");
    }
    jv message = jv_invalid_get_msg(result);
    if (jv_get_kind(message) != JV_KIND_STRING)
        message = jv_dump_string(message, 0);
    fail(view, expression, "%.150s", jv_string_value(message));
    jv_free(message);
    return false;
}

static bool compute(struct view *view, int expression, struct json_writer *out)
{
    jv scope;
    if (!scope_of(view, expression, &scope)) {
        jv_free(scope);
        return false;
    }
    jv result = program_run(view->plan->program, expression, scope);
    if (!jv_is_valid(result))
        return no_result(view, expression, result);
    struct json_writer value = {0};
    const char *wrong = value_to_json(result, &value);
    if (wrong)
        fail(view, expression, "%s", wrong);
    else
        append(out, value.text, value.size);
    json_writer_fini(&value);
    return !wrong;
}

static bool evaluate(struct view *view, int expression, struct json_writer *out)
{
    if (!view->plan->expressions[expression].is_path)
        return compute(view, expression, out);
    const struct json *json = follow(view, expression);
    if (json)
        append(out, json->raw, json->raw_size);
    return json != NULL;
}

bool saga_evaluate(const struct saga_plan *plan, int expression, const struct saga_scope *scope,
                   struct json_writer *out, struct error *error)
{
    struct view view = {.plan = plan, .scope = scope, .error = error};
    bool good = evaluate(&view, expression, out);
    view_fini(&view);
    return good;
}

bool saga_evaluate_when(const struct saga_plan *plan, int expression,
                        const struct saga_scope *scope, bool *value, struct error *error)
{
    struct view view = {.plan = plan, .scope = scope, .error = error};
    struct json_writer out = {0};
    bool good = evaluate(&view, expression, &out);
    if (good) {
        *value = strcmp(out.text, "true") == 0;
        if (!*value && strcmp(out.text, "false") != 0)
            good =
                fail(&view, expression, "a condition must give true or false, not %.60s", out.text);
    }
    json_writer_fini(&out);
    view_fini(&view);
    return good;
}

struct json *saga_evaluate_items(const struct saga_plan *plan, int expression,
                                 const struct saga_scope *scope, struct error *error)
{
    struct view view = {.plan = plan, .scope = scope, .error = error};
    struct json_writer out = {0};
    struct json *items = NULL;
    if (evaluate(&view, expression, &out)) {
        items = json_parse(out.text, out.size, error);
        CHECK(items != NULL); /* both ways to evaluate give valid JSON */
        bool list = items->type == JSON_ARRAY;
        if (!list)
            fail(&view, expression, "for_each needs a list, not %.60s", out.text);
        else if (items->count > LIMIT_SAGA_ITEMS)
            fail(&view, expression, "%d items; for_each takes at most %d", items->count,
                 LIMIT_SAGA_ITEMS);
        if (!list || items->count > LIMIT_SAGA_ITEMS) {
            json_free(items);
            items = NULL;
        }
    }
    json_writer_fini(&out);
    view_fini(&view);
    return items;
}

/* ---- rendering ----------------------------------------------------------------------------- */

/* The value inside of a string: a string's own characters, anything else as its JSON. */
static bool insert(struct view *view, int expression, struct json_writer *out)
{
    struct json_writer value = {0}, quoted = {0};
    bool good = evaluate(view, expression, &value);
    if (good && value.text[0] == '"') {
        append(out, value.text + 1, value.size - 2);
    } else if (good) {
        json_string_sized(&quoted, value.text, value.size);
        append(out, quoted.text + 1, quoted.size - 2);
    }
    json_writer_fini(&value);
    json_writer_fini(&quoted);
    return good;
}

static bool render_piece(struct view *view, const struct saga_piece *piece, struct json_writer *out)
{
    bool good = true;
    if (piece->type == SAGA_PIECE_TEXT)
        append(out, piece->text, piece->size);
    else if (piece->type == SAGA_PIECE_VALUE)
        good = evaluate(view, piece->expression, out);
    else
        good = insert(view, piece->expression, out);
    if (good && out->size > LIMIT_SAGA_VALUE_BYTES)
        return piece->expression == SAGA_NONE
                   ? error_set(view->error, ERROR_USAGE, "%s: a value is larger than %d KiB",
                               view->plan->file, LIMIT_SAGA_VALUE_BYTES / 1024)
                   : fail(view, piece->expression, "makes a value larger than %d KiB",
                          LIMIT_SAGA_VALUE_BYTES / 1024);
    return good;
}

/* Whoever gets the text parses it with the limits of core/json.h. */
static bool check_rendered(struct view *view, const struct json_writer *out, bool object,
                           int expression)
{
    struct error error = {0};
    struct json *json = json_parse(out->text, out->size, &error);
    bool good = json && (!object || json->type == JSON_OBJECT);
    if (!json)
        fail(view, expression, "%s", error.message);
    else if (!good)
        fail(view, expression, "arguments must be an object, not %.60s", out->text);
    json_free(json);
    return good;
}

static char *render(const struct saga_plan *plan, int template, const struct saga_scope *scope,
                    bool object, struct error *error)
{
    if (template == SAGA_NONE)
        return xstrdup("{}");
    struct view view = {.plan = plan, .scope = scope, .error = error};
    const struct saga_template *found = &plan->templates[template];
    struct json_writer out = {0};
    bool good = true;
    int expression = SAGA_NONE; /* the last one: without any there is nothing left to check */
    for (int i = 0; i < found->piece_count && good; i++) {
        const struct saga_piece *piece = &plan->pieces[found->first_piece + i];
        expression = piece->expression != SAGA_NONE ? piece->expression : expression;
        good = render_piece(&view, piece, &out);
    }
    if (good && expression != SAGA_NONE)
        good = check_rendered(&view, &out, object, expression);
    view_fini(&view);
    if (good)
        return out.text;
    json_writer_fini(&out);
    return NULL;
}

char *saga_render(const struct saga_plan *plan, int template, const struct saga_scope *scope,
                  struct error *error)
{
    return render(plan, template, scope, false, error);
}

char *saga_render_object(const struct saga_plan *plan, int template, const struct saga_scope *scope,
                         struct error *error)
{
    return render(plan, template, scope, true, error);
}

char *saga_block_result(const struct saga_plan *plan, int block, const struct saga_scope *scope)
{
    struct json_writer out = {0};
    json_open(&out, '{');
    for (int step = block + 1; step < plan->step_count; step++) {
        if (!saga_step_is_part(plan, step, block))
            continue;
        struct saga_text text = scope->output(scope->self, step);
        json_name(&out, plan->steps[step].name);
        append(&out, text.text ? text.text : "null", text.text ? text.size : 4);
        out.separator = true;
    }
    json_close(&out, '}');
    return out.text;
}
