/* Calls: the participant is there, offers the operation, and takes these arguments. */
#include <stdio.h>
#include <string.h>

#include "core/json.h"
#include "saga/lint_parts.h"
#include "saga/type.h"

/* ---- types --------------------------------------------------------------------------------- */

/* Of a path to an input, to .index or .saga.id; anything else may be any. */
static enum saga_value_type path_type(const struct saga_plan *plan, int expression)
{
    const struct saga_expression *found = &plan->expressions[expression];
    if (!found->is_path)
        return SAGA_ANY;
    const struct saga_reference *path = &plan->references[found->first_reference];
    if (path->root == SAGA_ROOT_INDEX)
        return SAGA_INTEGER;
    if (path->root == SAGA_ROOT_SAGA)
        return path->member_count ? SAGA_STRING : SAGA_OBJECT;
    if (path->root != SAGA_ROOT_INPUT || path->member_count != 1)
        return SAGA_ANY;
    const char *name = plan->members[path->first_member].name;
    for (int i = 0; i < plan->input_count && name; i++) {
        if (strcmp(plan->inputs[i].name, name) == 0)
            return plan->inputs[i].type;
    }
    return SAGA_ANY;
}

void lint_argument_type(struct linter *linter, const struct saga_argument *argument,
                        struct saga_place place, enum saga_value_type type, const char *what)
{
    if (argument->literal) {
        struct json *json = json_parse(argument->literal, strlen(argument->literal), NULL);
        bool fits = !json || json->type == JSON_NULL || type_fits(type, json);
        if (!fits)
            MISTAKE(linter, place, "%s is %s, not %.60s", what, type_phrase(type),
                    argument->literal);
        json_free(json);
    } else if (argument->expression != SAGA_NONE) {
        enum saga_value_type from = path_type(linter->plan, argument->expression);
        if (!type_may_be(from, type))
            MISTAKE(linter, place, "%s is %s, and ${ %.60s } is %s", what, type_phrase(type),
                    linter->plan->expressions[argument->expression].source, type_phrase(from));
    }
}

/* ---- operations ---------------------------------------------------------------------------- */

static void no_participant(struct linter *linter, const struct saga_call *call)
{
    const struct catalogue *catalogue = linter->lint->catalogue;
    const char *near = catalogue_near(catalogue, call->participant);
    const char *hint = near ? "; did you mean " : "", *end = near ? "?" : "";
    near = near ? near : "";
    if (catalogue->partial)
        WARNING(linter, call->place,
                "participant %s has not connected yet: this call is not checked%s%s%s",
                call->participant, hint, near, end);
    else
        MISTAKE(linter, call->place, "there is no participant %s%s%s%s", call->participant, hint,
                near, end);
}

/* What is called; NULL with a note. */
static const struct catalogue_operation *find_operation(struct linter *linter,
                                                        const struct saga_call *call)
{
    const struct catalogue *catalogue = linter->lint->catalogue;
    const struct catalogue_participant *participant = catalogue_find(catalogue, call->participant);
    if (!participant) {
        no_participant(linter, call);
        return NULL;
    }
    const struct catalogue_operation *operation =
        catalogue_find_operation(participant, call->operation);
    if (!operation && participant->partial) {
        WARNING(linter, call->place, "what %s offers is not known yet: this call is not checked",
                call->participant);
    } else if (!operation) {
        const char *near = catalogue_near_operation(participant, call->operation);
        MISTAKE(linter, call->place, "%s has no operation %s%s%s%s", call->participant,
                call->operation, near ? "; did you mean " : "", near ? near : "", near ? "?" : "");
    }
    return operation;
}

static const struct catalogue_parameter *parameter_of(const struct catalogue_operation *operation,
                                                      const char *name)
{
    for (int i = 0; i < operation->parameter_count; i++) {
        if (strcmp(operation->parameters[i].name, name) == 0)
            return &operation->parameters[i];
    }
    return NULL;
}

static const char *nearest_parameter(const struct catalogue_operation *operation, const char *name)
{
    enum { MOST = 64 };
    const char *names[MOST];
    int count = 0;
    for (; count < operation->parameter_count && count < MOST; count++)
        names[count] = operation->parameters[count].name;
    return error_nearest(name, names, count);
}

/* shared: the arguments are those of the step that is undone, so the mistake is at the call. */
static void check_argument(struct linter *linter, const struct saga_call *call,
                           const struct catalogue_operation *operation,
                           const struct saga_argument *argument, bool shared)
{
    struct saga_place place = shared ? call->place : argument->place;
    const struct catalogue_parameter *parameter = parameter_of(operation, argument->name);
    if (!parameter && shared) {
        MISTAKE(linter, place,
                "%s.%s gets the arguments of the step, and takes no %.60s: give it its own, as "
                "compensate: {call: ..., with: {...}}",
                call->participant, call->operation, argument->name);
        return;
    }
    if (!parameter) {
        const char *near = nearest_parameter(operation, argument->name);
        MISTAKE(linter, place, "%s.%s takes no argument %.60s%s%s%s", call->participant,
                call->operation, argument->name, near ? "; did you mean " : "", near ? near : "",
                near ? "?" : "");
        return;
    }
    char what[300];
    snprintf(what, sizeof(what), "%s.%s: %s (%s)", call->participant, call->operation,
             parameter->name, parameter->type);
    lint_argument_type(linter, argument, place, type_of_parameter(parameter->type), what);
}

static void check_missing(struct linter *linter, const struct saga_call *call,
                          const struct catalogue_operation *operation)
{
    for (int i = 0; i < operation->parameter_count; i++) {
        const struct catalogue_parameter *parameter = &operation->parameters[i];
        bool given = false;
        for (int j = 0; j < call->argument_count; j++)
            given = given || strcmp(linter->plan->arguments[call->first_argument + j].name,
                                    parameter->name) == 0;
        if (!given)
            MISTAKE(linter, call->place, "%s.%s needs the argument %s (%s)", call->participant,
                    call->operation, parameter->name, parameter->type);
    }
}

static const struct catalogue_operation *check_call(struct linter *linter, int index, bool shared)
{
    const struct saga_call *call = &linter->plan->calls[index];
    if (!call->participant)
        return NULL;
    const struct catalogue_operation *operation = find_operation(linter, call);
    if (!operation || operation->partial || call->with_is_open)
        return operation;
    for (int i = 0; i < call->argument_count; i++)
        check_argument(linter, call, operation, &linter->plan->arguments[call->first_argument + i],
                       shared);
    check_missing(linter, call, operation);
    return operation;
}

void lint_calls(struct linter *linter)
{
    const struct saga_plan *plan = linter->plan;
    for (int i = 0; i < plan->step_count; i++) {
        const struct saga_step *step = &plan->steps[i];
        bool writes = false;
        for (int j = 0; j < step->call_count; j++) {
            const struct catalogue_operation *operation =
                check_call(linter, step->first_call + j, false);
            writes = writes || !operation || !operation->read_only;
        }
        if (step->compensation == SAGA_NONE)
            continue;
        bool shared = step->call_count && plan->calls[step->compensation].with != SAGA_NONE &&
                      plan->calls[step->compensation].with == plan->calls[step->first_call].with;
        check_call(linter, step->compensation, shared);
        if (!writes)
            WARNING(linter, plan->calls[step->compensation].place,
                    "%s only reads: there is nothing to undo; say compensate: none",
                    lint_step_word(plan, i));
    }
}
