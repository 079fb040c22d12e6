/* Results: what they hold, and how their values are read. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "client/library.h"
#include "core/check.h"
#include "core/json.h"
#include "core/problem.h"

struct piece {
    struct piece *next;
    char text[];
};

/* All that a result's texts lie in. */
struct memory {
    struct piece *pieces;
    struct json **documents; /* of the values, as far as they were looked at */
};

const char *troth_version(void)
{
    return TROTH_VERSION;
}

const char *troth_status_name(enum troth_status status)
{
    static const char *const names[] = {
        [TROTH_OK] = "ok",           [TROTH_ABORTED] = "aborted",
        [TROTH_REFUSED] = "refused", [TROTH_UNAVAILABLE] = "unavailable",
        [TROTH_UNKNOWN] = "unknown", [TROTH_HAZARD] = "hazard",
        [TROTH_PENDING] = "pending",
    };
    return (unsigned)status < sizeof(names) / sizeof(names[0]) ? names[status] : "?";
}

/* ---- memory -------------------------------------------------------------------------------- */

static char *keep(struct troth_result *result, const char *text, size_t size)
{
    struct memory *memory = result->memory;
    struct piece *piece = xmalloc(sizeof(*piece) + size + 1);
    memcpy(piece->text, text, size);
    piece->text[size] = '\0';
    piece->next = memory->pieces;
    memory->pieces = piece;
    return piece->text;
}

static const char *keep_text(struct troth_result *result, const char *text)
{
    return text && *text ? keep(result, text, strlen(text)) : "";
}

void troth_result_clear(struct troth_result *result)
{
    struct memory *memory = result ? result->memory : NULL;
    if (memory) {
        for (size_t i = 0; memory->documents && i < result->count; i++)
            json_free(memory->documents[i]);
        free(memory->documents);
        for (struct piece *piece = memory->pieces, *next; piece; piece = next) {
            next = piece->next;
            free(piece);
        }
        free(result->values);
        free(memory);
    }
    if (result)
        *result = (struct troth_result){0};
}

void result_begin(struct troth_result *result)
{
    troth_result_clear(result);
    *result = (struct troth_result){.id = "", .problem = {"", "", "", "", "", "", false}};
    result->memory = xcalloc(1, sizeof(struct memory));
}

enum troth_status result_is(struct troth_result *result, enum troth_status status)
{
    return result->status = status;
}

void result_id(struct troth_result *result, const char *id)
{
    result->id = keep_text(result, id);
}

void result_problem(struct troth_result *result, const Wire__Problem *problem)
{
    if (!problem)
        return;
    result->problem = (struct troth_problem){.code = keep_text(result, problem->code),
                                             .message = keep_text(result, problem->message),
                                             .detail = keep_text(result, problem->detail),
                                             .hint = keep_text(result, problem->hint),
                                             .participant = keep_text(result, problem->participant),
                                             .operation = keep_text(result, problem->operation),
                                             .passing = problem_is_passing(problem->code)};
}

void result_values(struct troth_result *result, char *const *values, size_t count)
{
    result->values = xcalloc(count ? count : 1, sizeof(*result->values));
    result->count = count;
    for (size_t i = 0; i < count; i++)
        result->values[i] = *values[i] ? keep_text(result, values[i]) : NULL;
}

static const char *keep_format(struct troth_result *result, const char *format, va_list arguments)
{
    char *text = NULL;
    CHECK(vasprintf(&text, format, arguments) >= 0);
    const char *kept = keep_text(result, text);
    free(text);
    return kept;
}

void result_code(struct troth_result *result, const char *code)
{
    result->problem.code = keep_text(result, code);
    result->problem.passing = problem_is_passing(code);
}

void result_message(struct troth_result *result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    result->problem.message = keep_format(result, format, arguments);
    va_end(arguments);
}

void result_detail(struct troth_result *result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    result->problem.detail = keep_format(result, format, arguments);
    va_end(arguments);
}

void result_hint(struct troth_result *result, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    result->problem.hint = keep_format(result, format, arguments);
    va_end(arguments);
}

enum troth_status result_fail(struct troth_result *result, enum troth_status status,
                              const char *code, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    result->problem.message = keep_format(result, format, arguments);
    va_end(arguments);
    result_code(result, code);
    return result_is(result, status);
}

enum troth_status result_give(struct troth_result *wanted, struct troth_result *made)
{
    enum troth_status status = made->status;
    if (!wanted) {
        troth_result_clear(made);
        return status;
    }
    troth_result_clear(wanted);
    *wanted = *made;
    *made = (struct troth_result){0};
    return status;
}

void result_copy_problem(struct troth_result *to, const struct troth_problem *from)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.participant = (char *)from->participant;
    problem.operation = (char *)from->operation;
    problem.code = (char *)from->code;
    problem.message = (char *)from->message;
    problem.detail = (char *)from->detail;
    problem.hint = (char *)from->hint;
    result_problem(to, &problem);
}

/* ---- rows ---------------------------------------------------------------------------------- */

/* The value, parsed once; NULL: there is none, or a peer sent what is no JSON. */
static const struct json *document(struct troth_result *result, size_t call)
{
    if (!result || !result->memory || call >= result->count || !result->values[call])
        return NULL;
    struct memory *memory = result->memory;
    if (!memory->documents)
        memory->documents = xcalloc(result->count, sizeof(*memory->documents));
    if (!memory->documents[call])
        memory->documents[call] =
            json_parse(result->values[call], strlen(result->values[call]), NULL);
    return memory->documents[call];
}

static bool is_rows(const struct json *value)
{
    if (value->type != JSON_ARRAY)
        return false;
    for (int i = 0; i < value->count; i++) {
        if (value->items[i].type != JSON_OBJECT)
            return false;
    }
    return true;
}

static size_t row_count(const struct json *value)
{
    if (!value || value->type == JSON_NULL)
        return 0;
    return is_rows(value) ? (size_t)value->count : 1;
}

size_t troth_rows(struct troth_result *result, size_t call)
{
    return row_count(document(result, call));
}

static const char *text_of(struct troth_result *result, const struct json *value)
{
    if (!value || value->type == JSON_NULL)
        return NULL;
    if (value->type == JSON_STRING || value->type == JSON_NUMBER)
        return value->text;
    return keep(result, value->raw, value->raw_size);
}

const char *troth_get(struct troth_result *result, size_t call, size_t row, const char *column)
{
    const struct json *value = document(result, call);
    if (row >= row_count(value))
        return NULL;
    if (is_rows(value))
        value = &value->items[row];
    if (value->type == JSON_OBJECT)
        return text_of(result, json_member(value, column));
    return *column ? NULL : text_of(result, value);
}
