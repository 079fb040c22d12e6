/* A definition as a whole: its head, its inputs, and what becomes of its mistakes. */
#include "saga/read.h"

#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/keys.h"
#include "saga/lint.h"
#include "saga/program.h"
#include "saga/reference.h"
#include "saga/sight.h"
#include "saga/template.h"
#include "saga/type.h"

/* ---- the head ------------------------------------------------------------------------------ */

static const char *read_default(struct reader *reader, const struct yaml_node *node,
                                enum saga_value_type type)
{
    if (!node)
        return NULL;
    char *text = yaml_to_json(node);
    const char *kept = plan_keep(reader->plan, text, strlen(text));
    struct json *json = json_parse(text, strlen(text), NULL);
    if (strstr(text, "${"))
        yaml_mistake(reader->yaml, node, "default: is taken as it is; it can't be an expression");
    else if (json && !type_fits(type, json))
        yaml_mistake(reader->yaml, node, "default: expected %s, not %.60s", type_phrase(type),
                     text);
    json_free(json);
    free(text);
    return kept;
}

static void read_input(struct reader *reader, const struct yaml_node *name,
                       const struct yaml_node *node)
{
    struct saga_input input = {.name = read_word(reader, name, "an input"),
                               .place = read_place(name)};
    const struct yaml_node *type = node;
    if (node->type == NODE_MAP) {
        yaml_map(reader->yaml, node, saga_keys[SAGA_MAP_INPUT]);
        type = yaml_need(reader->yaml, node, "type");
        input.description = read_text(reader, yaml_get(node, "description"));
    }
    input.type =
        (enum saga_value_type)yaml_word(reader->yaml, type, saga_value_type_words, SAGA_ANY);
    input.fallback = read_default(reader, yaml_get(node, "default"), input.type);
    if (!input.name)
        return;
    int index = plan_add_input(reader->plan);
    reader->plan->inputs[index] = input;
}

static void read_inputs(struct reader *reader, const struct yaml_node *map)
{
    if (!map)
        return;
    if (map->type != NODE_MAP) {
        yaml_mistake(reader->yaml, map,
                     "input: expected a map of names to types, as {order_id: string}");
        return;
    }
    if (map->count > LIMIT_SAGA_INPUTS)
        yaml_mistake(reader->yaml, map, "input: more than %d values", LIMIT_SAGA_INPUTS);
    for (int i = 0; i < map->count && i < LIMIT_SAGA_INPUTS; i++)
        read_input(reader, map->names[i], map->items[i]);
}

static void read_head(struct reader *reader, const struct yaml_node *root)
{
    struct saga_plan *plan = reader->plan;
    plan->place = read_place(root);
    plan->name = read_name(reader, yaml_need(reader->yaml, root, "saga"));
    plan->version =
        yaml_integer(reader->yaml, yaml_need(reader->yaml, root, "version"), 1, INT32_MAX, 1);
    plan->description = read_text(reader, yaml_get(root, "description"));
    const struct yaml_node *timeout = yaml_get(root, "timeout");
    plan->timeout_place = read_place(timeout);
    plan->timeout_us = read_duration(reader, timeout, 0);
    plan->alert_after = (int)yaml_integer(reader->yaml, yaml_get(root, "alert_after"), 1,
                                          LIMIT_SAGA_ATTEMPTS, SAGA_ALERT_AFTER);
}

static void read_all(struct reader *reader)
{
    const struct yaml_node *root = yaml_root(reader->yaml);
    struct saga_plan *plan = reader->plan;
    int all = plan_add_step(plan, SAGA_SEQUENCE, SAGA_NONE);
    plan->steps[all].place = read_place(root);
    if (!yaml_map(reader->yaml, root, saga_keys[SAGA_MAP_SAGA]))
        return;
    read_head(reader, root);
    read_inputs(reader, yaml_get(root, "input"));
    read_steps(reader, yaml_need(reader->yaml, root, "steps"), all);
    int first = 0, count = 0;
    bool open;
    int output = read_map_template(reader, yaml_get(root, "output"), &first, &count, &open);
    plan->output = output;
    plan->first_output = first;
    plan->output_count = count;
}

/* ---- mistakes ------------------------------------------------------------------------------ */

struct transfer {
    struct saga_findings *findings;
    const char *file;
};

static void transfer_mistake(void *self, int line, int column, const char *text)
{
    struct transfer *transfer = self;
    saga_mistake(transfer->findings, transfer->file, (struct saga_place){line, column}, "%s", text);
}

/* What is no YAML at all: the place stands in front of the message. */
static void not_yaml(struct saga_findings *findings, const char *file, const struct error *error)
{
    struct saga_place place = {0};
    const char *text = error->message;
    size_t size = strlen(file);
    int used = 0;
    if (strncmp(text, file, size) == 0 &&
        sscanf(text + size, ":%d:%d: %n", &place.line, &place.column, &used) == 2 && used)
        text += size + (size_t)used;
    else if (strncmp(text, file, size) == 0 && strncmp(text + size, ": ", 2) == 0)
        text += size + 2;
    saga_mistake(findings, file, place, "%s%s%s%s%s", text, *error->detail ? "; " : "",
                 error->detail, *error->hint ? "; " : "", error->hint);
}

struct saga_plan *saga_definition_read(const char *name, const char *text, size_t size,
                                       struct saga_findings *findings)
{
    struct error error = {0};
    if (size > LIMIT_SAGA_DEFINITION_BYTES) {
        saga_mistake(findings, name, (struct saga_place){0}, "larger than %d KiB",
                     LIMIT_SAGA_DEFINITION_BYTES / 1024);
        return NULL;
    }
    struct yaml *yaml = yaml_load_text(name, text, size, &error);
    if (!yaml) {
        not_yaml(findings, name, &error);
        return NULL;
    }
    struct reader reader = {.yaml = yaml, .plan = plan_new(name, text, size), .findings = findings};
    read_all(&reader);
    struct transfer transfer = {findings, reader.plan->file};
    int cut = yaml_mistakes(yaml, &transfer, transfer_mistake);
    if (cut)
        saga_mistake(findings, name, (struct saga_place){0}, "and %d more mistakes", cut);
    yaml_free(yaml);
    references_resolve(reader.plan);
    sight_assign(reader.plan);
    reader.plan->program = saga_program_compile(reader.plan, findings);
    return reader.plan;
}

struct saga_plan *saga_definition_load(const char *name, const char *text, size_t size,
                                       struct error *error)
{
    struct saga_findings findings = {0};
    struct saga_plan *plan = saga_definition_read(name, text, size, &findings);
    if (plan)
        saga_lint(&(struct saga_lint){.plans = &plan, .plan_count = 1}, &findings);
    bool good = saga_findings_check(&findings, name, error);
    saga_findings_fini(&findings);
    if (good)
        return plan;
    saga_plan_free(plan);
    return NULL;
}
