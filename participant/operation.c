#include "participant/operation.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"
#include "core/id.h"
#include "core/json.h"
#include "core/map.h"
#include "participant/sql_template.h"

/* PostgreSQL cuts the name of a prepared statement after 63 bytes, so that two could become one. */
enum { STATEMENT_NAME_BYTES = 63 };

/* ---- types --------------------------------------------------------------------------------- */

/* What JSON a type takes. A type that is not known here takes a string, which PostgreSQL reads. */
enum accepts { ACCEPTS_STRING, ACCEPTS_INTEGER, ACCEPTS_NUMBER, ACCEPTS_BOOLEAN, ACCEPTS_ANY };

static const struct type_rule {
    const char *type;
    enum accepts accepts;
    long long low, high; /* ACCEPTS_INTEGER */
} type_rules[] = {
    {"smallint", ACCEPTS_INTEGER, INT16_MIN, INT16_MAX},
    {"int2", ACCEPTS_INTEGER, INT16_MIN, INT16_MAX},
    {"integer", ACCEPTS_INTEGER, INT32_MIN, INT32_MAX},
    {"int", ACCEPTS_INTEGER, INT32_MIN, INT32_MAX},
    {"int4", ACCEPTS_INTEGER, INT32_MIN, INT32_MAX},
    {"bigint", ACCEPTS_INTEGER, INT64_MIN, INT64_MAX},
    {"int8", ACCEPTS_INTEGER, INT64_MIN, INT64_MAX},
    {"numeric", ACCEPTS_NUMBER, 0, 0},
    {"decimal", ACCEPTS_NUMBER, 0, 0},
    {"real", ACCEPTS_NUMBER, 0, 0},
    {"float4", ACCEPTS_NUMBER, 0, 0},
    {"float8", ACCEPTS_NUMBER, 0, 0},
    {"double precision", ACCEPTS_NUMBER, 0, 0},
    {"boolean", ACCEPTS_BOOLEAN, 0, 0},
    {"bool", ACCEPTS_BOOLEAN, 0, 0},
    {"json", ACCEPTS_ANY, 0, 0},
    {"jsonb", ACCEPTS_ANY, 0, 0},
};

/* Names of several words that PostgreSQL knows; all others are one word, maybe with a schema. */
static const char *const long_types[] = {"double precision",
                                         "character varying",
                                         "timestamp with time zone",
                                         "timestamp without time zone",
                                         "time with time zone",
                                         "time without time zone",
                                         "bit varying"};

static const struct type_rule *type_rule(const char *type)
{
    static const struct type_rule text_like = {"", ACCEPTS_STRING, 0, 0};
    for (size_t i = 0; i < sizeof(type_rules) / sizeof(*type_rules); i++) {
        if (strcasecmp(type, type_rules[i].type) == 0)
            return &type_rules[i];
    }
    return &text_like;
}

static bool one_word(const char *type)
{
    const char *dot = strchr(type, '.');
    if (!dot)
        return word_valid(type);
    char schema[LIMIT_WORD_BYTES + 1];
    if (dot - type > LIMIT_WORD_BYTES)
        return false;
    snprintf(schema, sizeof(schema), "%.*s", (int)(dot - type), type);
    return word_valid(schema) && word_valid(dot + 1);
}

static bool check_type(const char *name, const char *type, struct error *error)
{
    if (strchr(type, '[') || strncasecmp(type, "array", 5) == 0) {
        error_set(error, ERROR_USAGE, "parameter %s: array types (%s) are not supported", name,
                  type);
        return error_hint(error, "take a jsonb and unpack it with jsonb_array_elements_text");
    }
    if (strchr(type, '(')) {
        error_set(error, ERROR_USAGE, "parameter %s: a parameter's type has no length: %s", name,
                  type);
        return error_hint(error, "write the bare type, as numeric for numeric(12,2)");
    }
    for (size_t i = 0; i < sizeof(long_types) / sizeof(*long_types); i++) {
        if (strcasecmp(type, long_types[i]) == 0)
            return true;
    }
    if (one_word(type))
        return true;
    error_set(error, ERROR_USAGE, "parameter %s: \"%s\" is not a type's name", name, type);
    return error_hint(error, "examples are text, integer, numeric, boolean, timestamptz, uuid and "
                             "jsonb");
}

/* ---- loading ------------------------------------------------------------------------------- */

const struct operation *operation_find(const struct operation_set *set, const char *name)
{
    for (int i = 0; i < set->count; i++) {
        if (strcmp(set->operations[i].name, name) == 0)
            return &set->operations[i];
    }
    return NULL;
}

struct operation *operation_add(struct operation_set *set, const char *name, bool read_only,
                                struct error *error)
{
    if (!word_valid(name)) {
        error_set(error, ERROR_USAGE, "\"%s\" can't be the name of an operation", name);
        error_hint(error, "a letter or _, then letters, digits and _, at most %d",
                   LIMIT_WORD_BYTES);
        return NULL;
    }
    if (operation_find(set, name)) {
        error_set(error, ERROR_USAGE, "operation %s is defined twice", name);
        return NULL;
    }
    set->operations =
        xrealloc(set->operations, (size_t)(set->count + 1) * sizeof(*set->operations));
    struct operation *operation = &set->operations[set->count++];
    *operation = (struct operation){.name = xstrdup(name), .read_only = read_only};
    return operation;
}

static int parameter_index(const struct operation *operation, const char *name)
{
    for (int i = 0; i < operation->parameter_count; i++) {
        if (strcmp(operation->parameters[i].name, name) == 0)
            return i;
    }
    return -1;
}

bool operation_parameter_add(struct operation *operation, const char *name, const char *type,
                             struct error *error)
{
    CHECK(operation->statement_count == 0);
    if (!word_valid(name)) {
        error_set(error, ERROR_USAGE, "\"%s\" can't be the name of a parameter", name);
        return error_hint(error, "a letter or _, then letters, digits and _, at most %d",
                          LIMIT_WORD_BYTES);
    }
    if (parameter_index(operation, name) >= 0)
        return error_set(error, ERROR_USAGE, "parameter %s is declared twice", name);
    if (!check_type(name, type, error))
        return false;
    int count = operation->parameter_count + 1;
    operation->parameters =
        xrealloc(operation->parameters, (size_t)count * sizeof(*operation->parameters));
    operation->parameters[operation->parameter_count++] =
        (struct operation_parameter){.name = xstrdup(name), .type = xstrdup(type)};
    return true;
}

/* The declared parameter that a person most likely meant, or NULL. */
static const char *nearest_parameter(const struct operation *operation, const char *typed)
{
    const char **names = xcalloc((size_t)operation->parameter_count + 1, sizeof(*names));
    for (int i = 0; i < operation->parameter_count; i++)
        names[i] = operation->parameters[i].name;
    const char *nearest = error_nearest(typed, names, operation->parameter_count);
    free(names);
    return nearest;
}

static char *statement_name(const struct operation *operation, int number)
{
    char *name = xasprintf("troth_%s_%d", operation->name, number);
    if (strlen(name) <= STATEMENT_NAME_BYTES)
        return name;
    free(name);
    return xasprintf("troth_%.30s_%016llx_%d", operation->name,
                     (unsigned long long)hash_bytes(operation->name, strlen(operation->name)),
                     number);
}

static void statement_fini(struct operation_statement *statement)
{
    free(statement->name);
    free(statement->sql);
    free(statement->parameters);
    free(statement->otherwise);
    free(statement->types);
}

/* Finds each name of the template among the declared parameters. */
static bool resolve(const struct operation *operation, const struct sql_template *sql,
                    struct operation_statement *statement, struct error *error)
{
    statement->parameters = xcalloc((size_t)sql->count + 1, sizeof(*statement->parameters));
    statement->types = xcalloc((size_t)sql->count + 1, sizeof(*statement->types));
    statement->parameter_count = sql->count;
    for (int i = 0; i < sql->count; i++) {
        int index = parameter_index(operation, sql->names[i]);
        if (index < 0) {
            error_set(error, ERROR_USAGE, "the SQL uses :%s, which params does not declare",
                      sql->names[i]);
            const char *nearest = nearest_parameter(operation, sql->names[i]);
            if (nearest)
                return error_hint(error, "did you mean :%s?", nearest);
            return error_hint(error,
                              "declare %s under params; a slice up to a column is written "
                              "with a space, as [1: n]",
                              sql->names[i]);
        }
        statement->parameters[i] = index;
        statement->types[i] = operation->parameters[index].type;
    }
    return true;
}

bool operation_statement_add(struct operation *operation, const char *sql, int64_t expect_rows,
                             const char *otherwise, enum db_shape shape, struct error *error)
{
    if (otherwise && !word_valid(otherwise)) {
        error_set(error, ERROR_USAGE, "\"%s\" can't be a reason", otherwise);
        return error_hint(error, "a reason is one word, as insufficient_funds: programs read it");
    }
    if (otherwise && expect_rows < 0)
        return error_set(error, ERROR_USAGE, "else says why, but no number of rows is expected");
    struct sql_template parsed;
    if (!sql_template_parse(sql, strlen(sql), &parsed, error))
        return false;
    struct operation_statement statement = {.expect_rows = expect_rows, .shape = shape};
    bool resolved = resolve(operation, &parsed, &statement, error);
    if (resolved) {
        int count = operation->statement_count + 1;
        statement.name = statement_name(operation, count);
        statement.sql = xstrdup(parsed.sql);
        statement.form = parsed.form;
        if (expect_rows >= 0)
            statement.otherwise = xstrdup(otherwise ? otherwise : "unexpected_rows");
        operation->statements =
            xrealloc(operation->statements, (size_t)count * sizeof(*operation->statements));
        operation->statements[operation->statement_count++] = statement;
    } else {
        statement_fini(&statement);
    }
    sql_template_fini(&parsed);
    return resolved;
}

static bool is_used(const struct operation *operation, int parameter)
{
    for (int i = 0; i < operation->statement_count; i++) {
        const struct operation_statement *statement = &operation->statements[i];
        for (int j = 0; j < statement->parameter_count; j++) {
            if (statement->parameters[j] == parameter)
                return true;
        }
    }
    return false;
}

void operation_handler_set(struct operation *operation, const void *handler)
{
    CHECK(operation->statement_count == 0);
    operation->handler = handler;
}

bool operation_check(const struct operation *operation, struct error *error)
{
    if (operation->handler)
        return true;
    if (operation->statement_count == 0)
        return error_set(error, ERROR_USAGE, "operation %s has no statement", operation->name);
    for (int i = 0; i < operation->parameter_count; i++) {
        if (!is_used(operation, i))
            return error_set(error, ERROR_USAGE,
                             "parameter %s is declared, but no statement uses it",
                             operation->parameters[i].name);
    }
    return true;
}

void operation_set_fini(struct operation_set *set)
{
    for (int i = 0; i < set->count; i++) {
        struct operation *operation = &set->operations[i];
        for (int j = 0; j < operation->parameter_count; j++) {
            free(operation->parameters[j].name);
            free(operation->parameters[j].type);
        }
        for (int j = 0; j < operation->statement_count; j++)
            statement_fini(&operation->statements[j]);
        free(operation->parameters);
        free(operation->statements);
        free(operation->name);
    }
    free(set->operations);
    *set = (struct operation_set){0};
}

/* ---- binding ------------------------------------------------------------------------------- */

/* "charge takes order_id (text), amount (numeric)" */
static void hint_parameters(const struct operation *operation, struct error *error)
{
    char list[sizeof(error->hint)];
    size_t size = 0;
    list[0] = '\0';
    for (int i = 0; i < operation->parameter_count && size < sizeof(list); i++)
        size += (size_t)snprintf(list + size, sizeof(list) - size, "%s%s (%s)", i ? ", " : "",
                                 operation->parameters[i].name, operation->parameters[i].type);
    error_hint(error, "%.60s takes %.200s", operation->name,
               operation->parameter_count ? list : "no arguments");
}

/* At most `most` bytes of a valid UTF-8 text, and no half character. */
static int whole_characters(const char *text, int most)
{
    int size = (int)strnlen(text, (size_t)most + 1);
    if (size <= most)
        return size;
    for (size = most; size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80;)
        size--;
    return size;
}

/* A string "12", the number 1.5, an array: as a person reads it. */
static const char *describe(const struct json *value, char *buffer, size_t size)
{
    static const char *const words[] = {
        [JSON_NULL] = "null",       [JSON_FALSE] = "false",   [JSON_TRUE] = "true",
        [JSON_NUMBER] = "number",   [JSON_STRING] = "string", [JSON_ARRAY] = "an array",
        [JSON_OBJECT] = "an object"};
    if (value->type == JSON_NUMBER)
        snprintf(buffer, size, "the number %.40s", value->text);
    else if (value->type == JSON_STRING)
        snprintf(buffer, size, "a string \"%.*s%s", whole_characters(value->text, 40), value->text,
                 value->text_size > 40 ? "..." : "\"");
    else
        snprintf(buffer, size, "%s", words[value->type]);
    return buffer;
}

static bool fits_integer(const struct operation_parameter *parameter, const struct type_rule *rule,
                         const struct json *value, struct error *error)
{
    if (strpbrk(value->text, ".eE"))
        return error_set(error, ERROR_USAGE,
                         "argument %s: expected a whole number (%s), got the number %.40s",
                         parameter->name, parameter->type, value->text);
    errno = 0;
    long long number = strtoll(value->text, NULL, 10);
    if (errno != 0 || number < rule->low || number > rule->high)
        return error_set(error, ERROR_USAGE, "argument %s: %.40s is out of the range of %s",
                         parameter->name, value->text, parameter->type);
    return true;
}

/* The text that PostgreSQL reads; *text stays NULL for SQL's null. */
static bool bind_value(const struct operation_parameter *parameter, const struct json *value,
                       char **text, struct error *error)
{
    static const char *const expected[] = {[ACCEPTS_STRING] = "a string",
                                           [ACCEPTS_INTEGER] = "a whole number",
                                           [ACCEPTS_NUMBER] = "a number",
                                           [ACCEPTS_BOOLEAN] = "true or false",
                                           [ACCEPTS_ANY] = "any JSON"};
    const struct type_rule *rule = type_rule(parameter->type);
    bool fits = rule->accepts == ACCEPTS_ANY ? true
                : value->type == JSON_NUMBER
                    ? rule->accepts == ACCEPTS_INTEGER || rule->accepts == ACCEPTS_NUMBER
                : value->type == JSON_STRING ? rule->accepts == ACCEPTS_STRING
                : value->type == JSON_TRUE || value->type == JSON_FALSE
                    ? rule->accepts == ACCEPTS_BOOLEAN
                    : false;
    if (value->type == JSON_NULL)
        return true;
    if (!fits) {
        char got[80];
        return error_set(error, ERROR_USAGE, "argument %s: expected %s (%s), got %s",
                         parameter->name, expected[rule->accepts], parameter->type,
                         describe(value, got, sizeof(got)));
    }
    if (rule->accepts == ACCEPTS_INTEGER && !fits_integer(parameter, rule, value, error))
        return false;
    if (rule->accepts == ACCEPTS_ANY)
        *text = xstrndup(value->raw, value->raw_size);
    else if (rule->accepts == ACCEPTS_BOOLEAN)
        *text = xstrdup(value->type == JSON_TRUE ? "true" : "false");
    else
        *text = xstrdup(value->text);
    return true;
}

/* values[i] belongs to parameter i. */
static bool bind_values(const struct operation *operation, const struct json *arguments,
                        char **values, struct error *error)
{
    for (int i = 0; i < arguments->count; i++) {
        const char *name = arguments->members[i].name;
        if (parameter_index(operation, name) >= 0)
            continue;
        error_set(error, ERROR_USAGE, "unknown argument \"%.*s\"", whole_characters(name, 80),
                  name);
        const char *nearest = nearest_parameter(operation, name);
        if (nearest)
            error_hint(error, "did you mean %s?", nearest);
        else
            hint_parameters(operation, error);
        return false;
    }
    for (int i = 0; i < operation->parameter_count; i++) {
        const struct operation_parameter *parameter = &operation->parameters[i];
        const struct json *value = json_member(arguments, parameter->name);
        if (!value) {
            error_set(error, ERROR_USAGE, "argument %s (%s) is missing", parameter->name,
                      parameter->type);
            hint_parameters(operation, error);
            return false;
        }
        if (!bind_value(parameter, value, &values[i], error))
            return false;
    }
    return true;
}

/* The statements in the form that the database takes. */
static void bind_statements(const struct operation *operation, int call,
                            struct operation_binding *binding)
{
    size_t pointers = 0;
    for (int i = 0; i < operation->statement_count; i++)
        pointers += (size_t)operation->statements[i].parameter_count;
    binding->value_pointers = xcalloc(pointers + 1, sizeof(*binding->value_pointers));
    binding->statements =
        xcalloc((size_t)operation->statement_count + 1, sizeof(*binding->statements));
    binding->count = operation->statement_count;
    const char **next = binding->value_pointers;
    for (int i = 0; i < operation->statement_count; i++) {
        const struct operation_statement *statement = &operation->statements[i];
        binding->statements[i] = (struct db_statement){
            .name = statement->name,
            .sql = statement->sql,
            .form = statement->form,
            .parameter_count = statement->parameter_count,
            .types = statement->types,
            .values = next,
            .expect_rows = statement->expect_rows,
            .otherwise = statement->otherwise,
            .shape = statement->shape,
            .call = call,
        };
        for (int j = 0; j < statement->parameter_count; j++)
            *next++ = binding->values[statement->parameters[j]];
    }
}

/* It reads the arguments itself. */
static void bind_handler(const struct operation *operation, const char *arguments, size_t size,
                         struct operation_binding *binding)
{
    binding->arguments = xstrndup(arguments, size);
    binding->call = (struct db_call){.handler = operation->handler,
                                     .operation = operation->name,
                                     .arguments = binding->arguments};
}

bool operation_bind(const struct operation *operation, const char *arguments, size_t size, int call,
                    struct operation_binding *binding, struct error *error)
{
    *binding = (struct operation_binding){.value_count = operation->parameter_count};
    struct json *root = json_parse(arguments, size, error);
    if (!root) {
        hint_parameters(operation, error);
        return false;
    }
    bool bound;
    if (root->type != JSON_OBJECT) {
        char got[80];
        bound = error_set(error, ERROR_USAGE, "the arguments must be a JSON object, got %s",
                          describe(root, got, sizeof(got)));
        hint_parameters(operation, error);
    } else {
        binding->values = xcalloc((size_t)operation->parameter_count + 1, sizeof(char *));
        bound = bind_values(operation, root, binding->values, error);
    }
    json_free(root);
    if (!bound)
        operation_binding_fini(binding);
    else if (operation->handler)
        bind_handler(operation, arguments, size, binding);
    else
        bind_statements(operation, call, binding);
    return bound;
}

void operation_binding_fini(struct operation_binding *binding)
{
    for (int i = 0; binding->values && i < binding->value_count; i++)
        free(binding->values[i]);
    free(binding->values);
    free(binding->value_pointers);
    free(binding->statements);
    free(binding->arguments);
    *binding = (struct operation_binding){0};
}
