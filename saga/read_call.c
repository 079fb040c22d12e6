/* Calls of operations: what a step calls, what undoes it, and how often both are tried. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "saga/keys.h"
#include "saga/read.h"

/* participant.operation. NULL participant: a mistake was noted. */
static void read_operation(struct reader *reader, const struct yaml_node *node,
                           struct saga_call *call)
{
    const char *text = yaml_string(reader->yaml, node, NULL);
    const char *dot = text ? strchr(text, '.') : NULL;
    if (!text)
        return;
    char *participant = xstrndup(text, dot ? (size_t)(dot - text) : 0);
    if (!dot)
        yaml_mistake(reader->yaml, node,
                     "\"%.60s\" is not a call: write PARTICIPANT.OPERATION, as payments.charge",
                     text);
    else if (!name_valid(participant))
        yaml_mistake(reader->yaml, node, "\"%.60s\": the participant's name must be %s", text,
                     name_rule);
    else if (!word_valid(dot + 1))
        yaml_mistake(reader->yaml, node,
                     "\"%.60s\": the operation's name must be letters, digits or _, at most %d",
                     text, LIMIT_WORD_BYTES);
    else {
        call->participant = plan_keep(reader->plan, participant, strlen(participant));
        call->operation = plan_keep(reader->plan, dot + 1, strlen(dot + 1));
    }
    free(participant);
}

int read_call(struct reader *reader, const struct yaml_node *call, const struct yaml_node *with)
{
    struct saga_plan *plan = reader->plan;
    struct saga_call read = {.place = read_place(call)};
    read_operation(reader, call, &read);
    read.with = read_map_template(reader, with, &read.first_argument, &read.argument_count,
                                  &read.with_is_open);
    int index = plan_add_call(plan);
    plan->calls[index] = read;
    return index;
}

/* The compensation gets the arguments of the step that it undoes. */
static void take_arguments(struct reader *reader, const struct yaml_node *node, int step,
                           int compensation)
{
    struct saga_plan *plan = reader->plan;
    const struct saga_step *undone = &plan->steps[step];
    if (undone->call_count > 1) {
        yaml_mistake(reader->yaml, node,
                     "a transaction of %d branches has no arguments that a compensation could get: "
                     "write compensate: {call: ..., with: {...}}",
                     undone->call_count);
        return;
    }
    if (undone->call_count == 0)
        return;
    const struct saga_call *from = &plan->calls[undone->first_call];
    struct saga_call *to = &plan->calls[compensation];
    to->with = from->with;
    to->with_is_open = from->with_is_open;
    to->first_argument = from->first_argument;
    to->argument_count = from->argument_count;
}

void read_compensation(struct reader *reader, const struct yaml_node *node, int step)
{
    if (!node)
        return;
    if (node->type == NODE_SCALAR && strcmp(node->text, "none") == 0) {
        reader->plan->steps[step].compensation_none = true;
        return;
    }
    const struct yaml_node *call = node, *with = NULL;
    if (node->type != NODE_SCALAR) {
        if (!yaml_map(reader->yaml, node, saga_keys[SAGA_MAP_COMPENSATE]))
            return;
        call = yaml_need(reader->yaml, node, "call");
        with = yaml_get(node, "with");
    }
    if (!call)
        return;
    int index = read_call(reader, call, with);
    if (!with)
        take_arguments(reader, node, step, index);
    reader->plan->steps[step].compensation = index;
}

void read_transaction(struct reader *reader, const struct yaml_node *node, int step)
{
    struct saga_plan *plan = reader->plan;
    if (!yaml_map(reader->yaml, node, saga_keys[SAGA_MAP_TRANSACTION]))
        return;
    plan->steps[step].protocol = (enum saga_protocol)yaml_word(
        reader->yaml, yaml_get(node, "protocol"), saga_protocol_words, SAGA_2PC);
    const struct yaml_node *branches = yaml_need(reader->yaml, node, "branches");
    if (!branches)
        return;
    if (branches->type != NODE_SEQUENCE || branches->count < 1 ||
        branches->count > LIMIT_BRANCHES) {
        yaml_mistake(reader->yaml, branches,
                     "branches: expected a list of 1 to %d calls, as [{call: orders.confirm}]",
                     LIMIT_BRANCHES);
        return;
    }
    plan->steps[step].first_call = plan->call_count;
    for (int i = 0; i < branches->count; i++) {
        const struct yaml_node *branch = branches->items[i];
        if (!yaml_map(reader->yaml, branch, saga_keys[SAGA_MAP_BRANCH]))
            continue;
        const struct yaml_node *call = yaml_need(reader->yaml, branch, "call");
        if (!call)
            continue;
        read_call(reader, call, yaml_get(branch, "with"));
        plan->steps[step].call_count++;
    }
}

void read_retry(struct reader *reader, const struct yaml_node *node, int step)
{
    struct saga_step *read = &reader->plan->steps[step];
    struct saga_retry *retry = &read->retry;
    bool retriable = read->kind == SAGA_RETRIABLE;
    if (retriable)
        retry->attempts = 0;
    if (!node || !yaml_map(reader->yaml, node, saga_keys[SAGA_MAP_RETRY]))
        return;
    read->retry_given = true;
    const struct yaml_node *attempts = yaml_get(node, "attempts");
    if (attempts && retriable)
        yaml_mistake(reader->yaml, attempts,
                     "attempts: a retriable step is tried until it is done; leave this out");
    else
        retry->attempts =
            (int)yaml_integer(reader->yaml, attempts, 1, LIMIT_SAGA_ATTEMPTS, retry->attempts);
    retry->initial_us = read_duration(reader, yaml_get(node, "initial"), retry->initial_us);
    const struct yaml_node *max = yaml_get(node, "max");
    retry->max_us = read_duration(reader, max, retry->max_us);
    retry->factor_permille =
        read_permille(reader, yaml_get(node, "factor"), 1000, 100 * 1000, retry->factor_permille);
    retry->jitter_permille =
        read_permille(reader, yaml_get(node, "jitter"), 0, 1000, retry->jitter_permille);
    if (retry->max_us >= retry->initial_us)
        return;
    if (max)
        yaml_mistake(reader->yaml, max, "max: less than initial");
    else
        retry->max_us = retry->initial_us;
}
