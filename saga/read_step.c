/* The tree of steps. */
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/keys.h"
#include "saga/read.h"

/* ---- what kind of step it is --------------------------------------------------------------- */

/* The keys that say what a step does. With for_each, `steps` and `parallel` are its own. */
static const struct {
    const char *key;
    enum saga_type type;
} doing[] = {
    {"for_each", SAGA_FOR_EACH}, {"call", SAGA_CALL},      {"transaction", SAGA_TRANSACTION},
    {"saga", SAGA_SAGA},         {"wait", SAGA_WAIT},      {"parallel", SAGA_PARALLEL},
    {"choose", SAGA_CHOOSE},     {"steps", SAGA_SEQUENCE},
};
enum { DOING = sizeof(doing) / sizeof(doing[0]) };

/* The type; SAGA_NONE with a mistake noted. */
static int find_type(struct reader *reader, const struct yaml_node *map)
{
    int found = SAGA_NONE;
    for (int i = 0; i < DOING; i++) {
        bool own = found == SAGA_FOR_EACH &&
                   (doing[i].type == SAGA_PARALLEL || doing[i].type == SAGA_SEQUENCE);
        if (!yaml_get(map, doing[i].key) || own)
            continue;
        if (found != SAGA_NONE) {
            yaml_mistake(reader->yaml, map,
                         "\"%s\" and \"%s\" in one step: each step does one thing",
                         saga_type_words[found], doing[i].key);
            return SAGA_NONE;
        }
        found = (int)doing[i].type;
    }
    if (found == SAGA_NONE)
        yaml_mistake(
            reader->yaml, map,
            "a step needs one of call, parallel, choose, for_each, saga, transaction, wait");
    return found;
}

/* Keys that a step may have, but not one of this type. */
static void check_keys(struct reader *reader, const struct yaml_node *map, enum saga_type type)
{
    for (int i = 0; i < map->count; i++) {
        const char *key = map->names[i]->text;
        bool known = false;
        for (const char *const *at = saga_keys[SAGA_MAP_STEP]; *at; at++)
            known = known || strcmp(*at, key) == 0;
        if (known && !saga_key_fits(type, key))
            yaml_mistake(reader->yaml, map->names[i], "\"%s\" does not belong to a step with %s%s",
                         key, saga_type_words[type],
                         strcmp(key, "compensate") != 0 || type == SAGA_WAIT ? ""
                         : type == SAGA_SAGA ? ": all that the other saga did is undone"
                                             : ": the steps in it have compensations of their own");
    }
}

/* Whether one more step fits. */
static bool room_for(struct reader *reader, const struct yaml_node *node, int parent)
{
    if (reader->full)
        return false;
    bool deep = reader->plan->steps[parent].depth >= 2 * LIMIT_SAGA_DEPTH;
    reader->full = reader->plan->step_count + 2 > LIMIT_SAGA_STEPS;
    if (deep)
        yaml_mistake(reader->yaml, node,
                     "steps are nested more than %d deep; make the inner ones a "
                     "saga of their own",
                     LIMIT_SAGA_DEPTH);
    else if (reader->full)
        yaml_mistake(reader->yaml, node,
                     "more than %d steps; make some of them a saga of their own", LIMIT_SAGA_STEPS);
    return !deep && !reader->full;
}

/* ---- the parts of a step ------------------------------------------------------------------- */

static void read_step_name(struct reader *reader, const struct yaml_node *map, int step)
{
    enum saga_type type = reader->plan->steps[step].type;
    const struct yaml_node *node = yaml_get(map, "name");
    if (!node) {
        if (type != SAGA_PARALLEL && type != SAGA_CHOOSE && type != SAGA_SEQUENCE)
            yaml_mistake(reader->yaml, map, "the step has no name");
        return;
    }
    const char *name = read_word(reader, node, "a step");
    int known = name ? saga_step_find(reader->plan, name) : SAGA_NONE;
    if (known != SAGA_NONE)
        yaml_mistake(reader->yaml, node, "there is another step %s, in line %d; names are unique",
                     name, reader->plan->steps[known].place.line);
    else
        reader->plan->steps[step].name = name;
}

static void read_wait(struct reader *reader, const struct yaml_node *node, int step)
{
    if (!yaml_map(reader->yaml, node, saga_keys[SAGA_MAP_WAIT]))
        return;
    const struct yaml_node *time = yaml_get(node, "for"), *until = yaml_get(node, "until");
    const struct yaml_node *signal = yaml_get(node, "signal"), *limit = yaml_get(node, "timeout");
    const struct yaml_node *otherwise = yaml_get(node, "otherwise");
    if (!time + !until + !signal != 2) {
        yaml_mistake(reader->yaml, node, "wait: expected one of for, until and signal");
        return;
    }
    for (int i = 0; i < 2; i++) {
        const struct yaml_node *stray = i ? otherwise : limit;
        if (stray && !signal)
            yaml_mistake(reader->yaml, stray, "%s: only a signal can stay away", stray->key);
    }
    int template = read_template(reader, until);
    const char *word = signal ? read_word(reader, signal, "a signal") : NULL;
    if (signal && !limit)
        yaml_mistake(reader->yaml, node,
                     "a signal may never come: say how long to wait for it, as timeout: 1h");
    struct saga_step *read = &reader->plan->steps[step];
    read->wait = time ? SAGA_WAIT_FOR : until ? SAGA_WAIT_UNTIL : SAGA_WAIT_SIGNAL;
    read->wait_us = read_duration(reader, time ? time : signal ? limit : NULL, 0);
    read->until = template;
    read->signal = word;
    read->or_continue = yaml_word(reader->yaml, otherwise, saga_otherwise_words, 0) == 1;
}

static void read_alternatives(struct reader *reader, const struct yaml_node *list, int step)
{
    if (list->type != NODE_SEQUENCE || !list->count) {
        yaml_mistake(reader->yaml, list,
                     "choose: expected a list of alternatives, as [{when: ..., steps: [...]}]");
        return;
    }
    for (int i = 0; i < list->count; i++) {
        const struct yaml_node *item = list->items[i];
        if (!yaml_map(reader->yaml, item, saga_keys[SAGA_MAP_ALTERNATIVE]))
            continue;
        const struct yaml_node *otherwise = yaml_get(item, "otherwise");
        bool last = i == list->count - 1;
        if (otherwise && (item->count > 1 || !last))
            yaml_mistake(reader->yaml, item,
                         last ? "otherwise stands alone: without when and steps"
                              : "otherwise is the last alternative");
        const struct yaml_node *when = otherwise ? NULL : yaml_need(reader->yaml, item, "when");
        const struct yaml_node *steps =
            otherwise ? otherwise : yaml_need(reader->yaml, item, "steps");
        if (!steps || !room_for(reader, item, step))
            continue;
        int block = plan_add_step(reader->plan, SAGA_SEQUENCE, step);
        reader->plan->steps[block].place = read_place(item);
        int expression = read_expression(reader, when);
        reader->plan->steps[block].when = expression;
        read_steps(reader, steps, block);
    }
}

static void read_parallel(struct reader *reader, const struct yaml_node *list, int step)
{
    if (list->type != NODE_SEQUENCE || !list->count) {
        yaml_mistake(reader->yaml, list, "parallel: expected a list of steps");
        return;
    }
    for (int i = 0; i < list->count; i++)
        read_step(reader, list->items[i], step);
}

static void read_for_each(struct reader *reader, const struct yaml_node *map, int step)
{
    int items = read_expression(reader, yaml_get(map, "for_each"));
    reader->plan->steps[step].items = items;
    reader->plan->steps[step].at_once =
        (int)yaml_integer(reader->yaml, yaml_get(map, "parallel"), 1, LIMIT_SAGA_AT_ONCE, 1);
    const struct yaml_node *steps = yaml_need(reader->yaml, map, "steps");
    if (!steps || !room_for(reader, steps, step))
        return;
    int block = plan_add_step(reader->plan, SAGA_SEQUENCE, step);
    reader->plan->steps[block].place = read_place(steps);
    read_steps(reader, steps, block);
}

static void read_sub_saga(struct reader *reader, const struct yaml_node *map, int step)
{
    const char *name = read_name(reader, yaml_get(map, "saga"));
    int first = 0, count = 0;
    bool open;
    int input = read_map_template(reader, yaml_get(map, "input"), &first, &count, &open);
    struct saga_step *read = &reader->plan->steps[step];
    read->saga = name;
    read->input = input;
    read->input_is_open = open;
    read->first_argument = first;
    read->argument_count = count;
}

/* What the step does. */
static void read_doing(struct reader *reader, const struct yaml_node *map, int step)
{
    enum saga_type type = reader->plan->steps[step].type;
    if (type == SAGA_CALL) {
        int call = read_call(reader, yaml_get(map, "call"), yaml_get(map, "with"));
        reader->plan->steps[step].first_call = call;
        reader->plan->steps[step].call_count = 1;
    } else if (type == SAGA_TRANSACTION) {
        read_transaction(reader, yaml_get(map, "transaction"), step);
    } else if (type == SAGA_SAGA) {
        read_sub_saga(reader, map, step);
    } else if (type == SAGA_WAIT) {
        read_wait(reader, yaml_get(map, "wait"), step);
    } else if (type == SAGA_PARALLEL) {
        read_parallel(reader, yaml_get(map, "parallel"), step);
    } else if (type == SAGA_CHOOSE) {
        read_alternatives(reader, yaml_get(map, "choose"), step);
    } else if (type == SAGA_FOR_EACH) {
        read_for_each(reader, map, step);
    } else {
        read_steps(reader, yaml_get(map, "steps"), step);
    }
}

static void read_output(struct reader *reader, const struct yaml_node *map, int step)
{
    int first = 0, count = 0;
    bool open;
    int output = read_map_template(reader, yaml_get(map, "output"), &first, &count, &open);
    struct saga_step *read = &reader->plan->steps[step];
    read->output = output;
    read->first_output = first;
    read->output_count = count;
}

/* ---- the step ------------------------------------------------------------------------------ */

void read_step(struct reader *reader, const struct yaml_node *node, int parent)
{
    if (!room_for(reader, node, parent) || !yaml_map(reader->yaml, node, saga_keys[SAGA_MAP_STEP]))
        return;
    int type = find_type(reader, node);
    if (type == SAGA_NONE)
        return;
    check_keys(reader, node, (enum saga_type)type);
    struct saga_plan *plan = reader->plan;
    int step = plan_add_step(plan, (enum saga_type)type, parent);
    plan->steps[step].place = read_place(node);
    read_step_name(reader, node, step);
    int when = read_expression(reader, yaml_get(node, "when"));
    plan->steps[step].when = when;
    plan->steps[step].kind = (enum saga_kind)yaml_word(reader->yaml, yaml_get(node, "kind"),
                                                       saga_kind_words, SAGA_COMPENSATABLE);
    const struct yaml_node *timeout = yaml_get(node, "timeout");
    plan->steps[step].timeout_given = timeout != NULL;
    /* Another saga may wait for days: its own timeout is its limit. */
    plan->steps[step].timeout_us =
        read_duration(reader, timeout, type == SAGA_SAGA ? 0 : SAGA_TIMEOUT_US);
    plan->steps[step].reason = read_text(reader, yaml_get(node, "reason"));
    read_retry(reader, yaml_get(node, "retry"), step);
    read_doing(reader, node, step);
    if (type == SAGA_CALL || type == SAGA_TRANSACTION)
        read_compensation(reader, yaml_get(node, "compensate"), step);
    read_output(reader, node, step);
}

void read_steps(struct reader *reader, const struct yaml_node *list, int parent)
{
    if (!list)
        return;
    if (list->type != NODE_SEQUENCE || !list->count) {
        yaml_mistake(reader->yaml, list, "%.60s: expected a list of steps",
                     list->key ? list->key : "value");
        return;
    }
    for (int i = 0; i < list->count; i++)
        read_step(reader, list->items[i], parent);
}
