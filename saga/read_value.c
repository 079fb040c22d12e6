/* Values of a definition: texts with expressions, names, durations. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "saga/read.h"
#include "saga/template.h"

struct saga_place read_place(const struct yaml_node *node)
{
    return node ? (struct saga_place){node->line, node->column} : (struct saga_place){1, 1};
}

const char *read_text(struct reader *reader, const struct yaml_node *node)
{
    const char *text = yaml_string(reader->yaml, node, NULL);
    return text ? plan_keep(reader->plan, text, strlen(text)) : NULL;
}

/* jq takes .e1 for a number. */
static bool like_exponent(const char *word)
{
    return (*word == 'e' || *word == 'E') && word[1] && !word[1 + strspn(word + 1, "0123456789")];
}

const char *read_word(struct reader *reader, const struct yaml_node *node, const char *what)
{
    const char *word = read_text(reader, node);
    if (!word)
        return NULL;
    if (word_valid(word) && !like_exponent(word))
        return word;
    if (like_exponent(word))
        yaml_mistake(reader->yaml, node, "\"%.60s\" can't name %s: jq takes .%.60s for a number",
                     word, what, word);
    else
        yaml_mistake(reader->yaml, node,
                     "\"%.60s\" can't name %s: expressions need a letter or _, then letters, "
                     "digits or _, at most %d",
                     word, what, LIMIT_WORD_BYTES);
    return NULL;
}

const char *read_name(struct reader *reader, const struct yaml_node *node)
{
    const char *name = read_text(reader, node);
    if (!name || name_valid(name))
        return name;
    yaml_mistake(reader->yaml, node, "\"%.60s\" can't name a saga: a name is %s", name, name_rule);
    return NULL;
}

uint64_t read_duration(struct reader *reader, const struct yaml_node *node, uint64_t fallback)
{
    uint64_t us = yaml_duration_us(reader->yaml, node, UINT64_MAX);
    if (us == UINT64_MAX)
        return fallback; /* there is none, or its mistake was noted */
    if (us >= 1000)
        return us;
    yaml_mistake(reader->yaml, node, "%.60s: at least 1ms", node->key ? node->key : "value");
    return fallback;
}

uint32_t read_permille(struct reader *reader, const struct yaml_node *node, uint32_t low,
                       uint32_t high, uint32_t fallback)
{
    const char *text = yaml_string(reader->yaml, node, NULL);
    if (!text)
        return fallback;
    size_t whole = strspn(text, "0123456789");
    size_t fraction = text[whole] == '.' ? strspn(text + whole + 1, "0123456789") : 0;
    bool good = whole > 0 && whole < 6 && fraction <= 3 &&
                !text[whole + (text[whole] == '.' ? 1 + fraction : 0)];
    if (good) {
        char digits[4] = "000";
        memcpy(digits, text + whole + 1, fraction);
        unsigned long value = strtoul(text, NULL, 10) * 1000 + strtoul(digits, NULL, 10);
        if (value >= low && value <= high)
            return (uint32_t)value;
    }
    yaml_mistake(reader->yaml, node,
                 "%.60s: expected a number from %u to %u, such as %u.5, not \"%.60s\"",
                 node->key ? node->key : "value", low / 1000, high / 1000, low / 1000, text);
    return fallback;
}

/* ---- templates ----------------------------------------------------------------------------- */

static const char *literal_of(struct reader *reader, const struct yaml_node *node)
{
    char *json = yaml_to_json(node);
    const char *kept = plan_keep(reader->plan, json, strlen(json));
    free(json);
    return kept;
}

/* The index of the expression that a scalar is, or SAGA_NONE. */
static int build_scalar(struct template_builder *builder, const struct yaml_node *node)
{
    if (strstr(node->text, "${"))
        return template_text(builder, node->text, read_place(node));
    char *json = yaml_to_json(node);
    json_raw(&builder->text, json);
    free(json);
    return SAGA_NONE;
}

static void build_name(struct reader *reader, struct template_builder *builder,
                       const struct yaml_node *name)
{
    if (template_has_expression(name->text))
        yaml_mistake(reader->yaml, name,
                     "a name can't be an expression; make the whole map one: "
                     "\"${ {(NAME): VALUE} }\"");
    json_name(&builder->text, name->text);
}

static void build(struct reader *reader, struct template_builder *builder,
                  const struct yaml_node *node)
{
    if (node->type == NODE_SCALAR) {
        build_scalar(builder, node);
        return;
    }
    bool map = node->type == NODE_MAP;
    json_open(&builder->text, map ? '{' : '[');
    for (int i = 0; i < node->count; i++) {
        if (map)
            build_name(reader, builder, node->names[i]);
        build(reader, builder, node->items[i]);
    }
    json_close(&builder->text, map ? '}' : ']');
}

static bool has_expression(const struct yaml_node *node)
{
    if (node->type == NODE_SCALAR)
        return strstr(node->text, "${") != NULL;
    for (int i = 0; i < node->count; i++) {
        if (has_expression(node->items[i]))
            return true;
    }
    return false;
}

/* A map's members, each noted for those who check names and types. */
static void build_members(struct reader *reader, struct template_builder *builder,
                          const struct yaml_node *map, int *first, int *count)
{
    struct saga_plan *plan = reader->plan;
    *first = plan->argument_count;
    *count = map->count;
    json_open(&builder->text, '{');
    for (int i = 0; i < map->count; i++) {
        const struct yaml_node *name = map->names[i], *value = map->items[i];
        int index = plan_add_argument(plan);
        plan->arguments[index].name = plan_keep(plan, name->text, strlen(name->text));
        plan->arguments[index].place = read_place(name);
        if (!has_expression(value))
            plan->arguments[index].literal = literal_of(reader, value);
        build_name(reader, builder, name);
        if (value->type == NODE_SCALAR)
            plan->arguments[index].expression = build_scalar(builder, value);
        else
            build(reader, builder, value);
    }
    json_close(&builder->text, '}');
}

int read_template(struct reader *reader, const struct yaml_node *node)
{
    if (!node)
        return SAGA_NONE;
    struct template_builder builder;
    template_begin(&builder, reader->plan, reader->findings);
    build(reader, &builder, node);
    return template_end(&builder);
}

int read_map_template(struct reader *reader, const struct yaml_node *node, int *first, int *count,
                      bool *open)
{
    *open = false;
    if (!node)
        return SAGA_NONE;
    struct template_builder builder;
    template_begin(&builder, reader->plan, reader->findings);
    if (node->type == NODE_MAP) {
        build_members(reader, &builder, node, first, count);
        return template_end(&builder);
    }
    if (node->type == NODE_SCALAR && strstr(node->text, "${"))
        *open = build_scalar(&builder, node) != SAGA_NONE;
    if (!*open && !builder.failed)
        yaml_mistake(reader->yaml, node,
                     "%.60s: expected a map of names to values, as {id: \"${ .input.id }\"}",
                     node->key ? node->key : "value");
    return template_end(&builder);
}

int read_expression(struct reader *reader, const struct yaml_node *node)
{
    if (!node)
        return SAGA_NONE;
    bool failed = false;
    int index = SAGA_NONE;
    if (node->type == NODE_SCALAR) {
        size_t size = strlen(node->text); /* block scalars end with a newline */
        while (size && strchr(" \t\r\n", node->text[size - 1]))
            size--;
        char *text = xstrndup(node->text, size);
        index =
            template_expression(reader->plan, text, read_place(node), &failed, reader->findings);
        free(text);
    }
    if (index == SAGA_NONE && !failed)
        yaml_mistake(reader->yaml, node, "%.60s: expected one expression, as \"${ .input.name }\"",
                     node->key ? node->key : "value");
    return index;
}
