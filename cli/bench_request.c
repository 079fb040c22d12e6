/* The requests of a load, drawn one by one; and whether anybody takes what they ask for. */
#include <stdlib.h>
#include <string.h>

#include "cli/bench_plan.h"
#include "core/check.h"
#include "core/json.h"
#include "io/yaml_node.h"
#include "saga/type.h"

static char *draw_key(struct bench_plan *plan, const struct bench_entry *entry)
{
    return entry->key ? bench_template_draw_text(entry->key, plan->values)
                      : (char *)protobuf_c_empty_string;
}

static void free_key(char *key)
{
    if (key != (char *)protobuf_c_empty_string)
        free(key);
}

static char *draw_arguments(struct bench_plan *plan, struct bench_template *template)
{
    return template ? bench_template_draw(template, plan->values) : xstrdup("{}");
}

Wire__Submit *bench_submit_draw(struct bench_plan *plan, const struct bench_entry *entry)
{
    Wire__Submit *submit = xmalloc(sizeof(*submit));
    Wire__Call *calls = xcalloc((size_t)entry->call_count, sizeof(*calls));
    wire__submit__init(submit);
    submit->calls = xcalloc((size_t)entry->call_count, sizeof(*submit->calls));
    submit->n_calls = (size_t)entry->call_count;
    for (int i = 0; i < entry->call_count; i++) {
        wire__call__init(&calls[i]);
        calls[i].participant = entry->calls[i].participant;
        calls[i].operation = entry->calls[i].operation;
        calls[i].arguments = draw_arguments(plan, entry->calls[i].arguments);
        submit->calls[i] = &calls[i];
    }
    submit->protocol = entry->protocol;
    submit->wait = entry->early ? WIRE__WAIT__DECIDED : WIRE__WAIT__APPLIED;
    submit->timeout_ms = (uint32_t)(entry->deadline_us / 1000);
    submit->key = draw_key(plan, entry);
    return submit;
}

void bench_submit_free(Wire__Submit *submit)
{
    for (size_t i = 0; i < submit->n_calls; i++)
        free(submit->calls[i]->arguments);
    free(submit->calls[0]);
    free(submit->calls);
    free_key(submit->key);
    free(submit);
}

Wire__StartSaga *bench_start_draw(struct bench_plan *plan, const struct bench_entry *entry)
{
    Wire__StartSaga *start = xmalloc(sizeof(*start));
    wire__start_saga__init(start);
    start->name = entry->saga;
    start->input = draw_arguments(plan, entry->input);
    start->wait = !entry->early;
    start->timeout_ms = start->wait ? (uint32_t)(entry->deadline_us / 1000) : 0;
    start->key = draw_key(plan, entry);
    return start;
}

void bench_start_free(Wire__StartSaga *start)
{
    free(start->input);
    free_key(start->key);
    free(start);
}

/* ---- what participants offer --------------------------------------------------------------- */

static const struct catalogue_operation *
find_operation(struct yaml *yaml, const struct catalogue *catalogue, const struct bench_call *call)
{
    const struct catalogue_participant *participant = catalogue_find(catalogue, call->participant);
    if (!participant) {
        const char *near = catalogue_near(catalogue, call->participant);
        yaml_mistake(yaml, call->place, "no participant %s has connected%s%s%s", call->participant,
                     near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
        return NULL;
    }
    const struct catalogue_operation *operation =
        catalogue_find_operation(participant, call->operation);
    if (!operation && !participant->partial) {
        const char *near = catalogue_near_operation(participant, call->operation);
        yaml_mistake(yaml, call->place, "%s has no operation %s%s%s%s", call->participant,
                     call->operation, near ? "; did you mean " : "", near ? near : "",
                     near ? "?" : "");
    }
    return operation;
}

static const struct catalogue_parameter *find_parameter(const struct catalogue_operation *operation,
                                                        const char *name)
{
    for (int i = 0; i < operation->parameter_count; i++) {
        if (strcmp(operation->parameters[i].name, name) == 0)
            return &operation->parameters[i];
    }
    return NULL;
}

static void unknown_argument(struct yaml *yaml, const struct yaml_node *name,
                             const struct bench_call *call,
                             const struct catalogue_operation *operation)
{
    const char **names = xcalloc((size_t)operation->parameter_count + 1, sizeof(*names));
    for (int i = 0; i < operation->parameter_count; i++)
        names[i] = operation->parameters[i].name;
    const char *near = error_nearest(name->text, names, operation->parameter_count);
    yaml_mistake(yaml, name, "%s.%s takes no argument %.60s%s%s%s", call->participant,
                 call->operation, name->text, near ? "; did you mean " : "", near ? near : "",
                 near ? "?" : "");
    free(names);
}

/* value: as it would be sent. */
static void check_argument(struct yaml *yaml, const struct yaml_node *node,
                           const struct bench_call *call,
                           const struct catalogue_parameter *parameter, const struct json *value)
{
    enum saga_value_type type = type_of_parameter(parameter->type);
    if (!value || value->type == JSON_NULL || type_fits(type, value))
        return;
    bool generated = node->type == NODE_SCALAR && strstr(node->text, "${");
    yaml_mistake(yaml, node, "%s.%s: %s (%s) takes %s, not %.*s%s", call->participant,
                 call->operation, parameter->name, parameter->type, type_phrase(type),
                 (int)(value->raw_size < 60 ? value->raw_size : 60), value->raw,
                 generated && value->type == JSON_NUMBER && type == SAGA_STRING
                     ? ": write \"${ text(...) }\", or text before it"
                     : "");
}

static void check_call(struct bench_plan *plan, struct yaml *yaml, const struct bench_call *call,
                       const struct catalogue_operation *operation)
{
    char *drawn = draw_arguments(plan, call->arguments);
    struct json *arguments = json_parse(drawn, strlen(drawn), NULL);
    CHECK(arguments);
    for (int i = 0; i < yaml_count(call->with); i++) {
        const struct yaml_node *name = call->with->names[i];
        const struct catalogue_parameter *parameter = find_parameter(operation, name->text);
        if (parameter)
            check_argument(yaml, call->with->items[i], call, parameter,
                           json_member(arguments, name->text));
        else
            unknown_argument(yaml, name, call, operation);
    }
    for (int i = 0; i < operation->parameter_count; i++) {
        const struct catalogue_parameter *parameter = &operation->parameters[i];
        if (!json_member(arguments, parameter->name))
            yaml_mistake(yaml, call->place, "%s.%s needs the argument %s (%s)", call->participant,
                         call->operation, parameter->name, parameter->type);
    }
    json_free(arguments);
    free(drawn);
}

void bench_plan_check(struct bench_plan *plan, struct yaml *yaml, const struct catalogue *catalogue)
{
    bench_values_sample(plan->values);
    for (int i = 0; i < plan->entry_count; i++) {
        for (int j = 0; j < plan->entries[i].call_count; j++) {
            const struct bench_call *call = &plan->entries[i].calls[j];
            const struct catalogue_operation *operation = find_operation(yaml, catalogue, call);
            if (operation && !operation->partial)
                check_call(plan, yaml, call, operation);
        }
    }
}
