#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "saga/engine_private.h"

/* ---- actions ------------------------------------------------------------------------------- */

struct saga_action *action_add(struct turn *turn)
{
    struct saga_actions *actions = turn->actions;
    if (actions->count == actions->room) {
        actions->room = actions->room ? actions->room * 2 : 8;
        actions->list = xrealloc(actions->list, (size_t)actions->room * sizeof(struct saga_action));
    }
    struct saga_action *action = &actions->list[actions->count++];
    *action = (struct saga_action){0};
    return action;
}

static void release(const char *text)
{
    free((char *)text);
}

static void record_release(struct saga_record *record)
{
    release(record->value);
    release(record->result);
    release(record->name);
    release(record->problem.participant);
    release(record->problem.operation);
    release(record->problem.code);
    release(record->problem.message);
    release(record->problem.detail);
    release(record->problem.hint);
}

void saga_actions_clear(struct saga_actions *actions)
{
    for (int i = 0; i < actions->count; i++) {
        struct saga_action *action = &actions->list[i];
        record_release(&action->record);
        for (int j = 0; j < action->argument_count; j++)
            free(action->arguments[j]);
        free(action->arguments);
    }
    actions->count = 0;
}

void saga_actions_fini(struct saga_actions *actions)
{
    saga_actions_clear(actions);
    free(actions->list);
    *actions = (struct saga_actions){0};
}

static const char *copy(const char *text)
{
    return text ? xstrdup(text) : NULL;
}

struct saga_record record_of(const struct turn *turn, enum saga_record_type type,
                             const struct node *node)
{
    struct saga_record made = {.type = type, .at_us = turn->at_us};
    node_instance(turn->saga, node, &made.instance);
    return made;
}

void record(struct turn *turn, const struct saga_record *made)
{
    CHECK(turn->live);
    struct saga_action *action = action_add(turn);
    action->type = SAGA_ACT_RECORD;
    action->instance = made->instance;
    action->record = *made;
    action->record.value = copy(made->value);
    action->record.result = copy(made->result);
    action->record.name = copy(made->name);
    action->record.problem = (struct saga_problem){.participant = copy(made->problem.participant),
                                                   .operation = copy(made->problem.operation),
                                                   .code = copy(made->problem.code),
                                                   .message = copy(made->problem.message),
                                                   .detail = copy(made->problem.detail),
                                                   .hint = copy(made->problem.hint)};
}

/* ---- replaying ----------------------------------------------------------------------------- */

static bool replay_done(struct turn *turn, const struct saga_record *record, struct node *node)
{
    enum saga_type type = step_of(turn->saga, node)->type;
    bool pivot = step_of(turn->saga, node)->kind == SAGA_PIVOT;
    if (node->state != NODE_OPEN || type_is_block(type))
        return false;
    if (pivot && turn->saga->state != SAGA_RUNNING && !PLANTED(SAGA_GUESS_UNSURE))
        return false; /* E3 */
    struct signal *taken;
    if (record->by_signal && type == SAGA_WAIT &&
        signal_take(turn->saga, step_of(turn->saga, node)->signal, &taken)) {
        free(taken->value);
        free(taken);
    }
    apply_done(turn, node, (char *)copy(record->value), (char *)copy(record->result));
    return true;
}

static bool replay_of_step(struct turn *turn, const struct saga_record *record)
{
    struct saga *saga = turn->saga;
    struct node *node = node_find(saga, &record->instance);
    if (!node)
        return false;
    if (record->type == SAGA_RECORD_STEP_DONE)
        return replay_done(turn, record, node);
    if (saga->state != SAGA_COMPENSATING)
        return false;
    if (record->type == SAGA_RECORD_STEP_FENCED) {
        if (node->state != NODE_OPEN || !node->task)
            return false;
        apply_fenced(turn, node);
    } else {
        if (node->state != NODE_UNDOING)
            return false;
        apply_undone(turn, node);
    }
    return true;
}

static bool replay_failed(struct turn *turn, const struct saga_record *record)
{
    struct saga *saga = turn->saga;
    if ((saga->state != SAGA_RUNNING && saga->state != SAGA_COMPLETED) ||
        (saga->past_pivot && !PLANTED(SAGA_UNDO_AFTER_PIVOT)))
        return false;
    if (saga->failure) { /* what replaying came to itself; the record knows better */
        free(saga->failure->problem);
        free(saga->failure);
    }
    saga->failure = xcalloc(1, sizeof(*saga->failure));
    saga->failure->instance = record->instance;
    saga->failure->problem = problem_keep(&record->problem);
    apply_failed(turn);
    return true;
}

static bool replay_retried(struct turn *turn, const struct saga_record *record)
{
    if (turn->saga->state != SAGA_RUNNING && turn->saga->state != SAGA_COMPENSATING)
        return false;
    if (record->instance.step == SAGA_NONE)
        return true;
    struct node *node = node_find(turn->saga, &record->instance);
    if (!node || !node->task)
        return false;
    apply_retried(turn, node->task);
    return true;
}

static bool replay_completed(struct turn *turn, const struct saga_record *record)
{
    struct saga *saga = turn->saga;
    if (saga->state != SAGA_RUNNING || !saga->all_done)
        return false;
    saga->output = (char *)copy(record->value);
    saga->state = SAGA_COMPLETED;
    saga->ended_us = turn->at_us;
    return true;
}

static bool replay_compensated(struct turn *turn)
{
    struct saga *saga = turn->saga;
    if (saga->state != SAGA_COMPENSATING || !saga->all_undone)
        return false;
    saga->state = SAGA_COMPENSATED;
    saga->ended_us = turn->at_us;
    return true;
}

static bool replay_one(struct turn *turn, const struct saga_record *record)
{
    switch (record->type) {
    case SAGA_RECORD_STEP_DONE:
    case SAGA_RECORD_STEP_FENCED:
    case SAGA_RECORD_STEP_UNDONE:
        return replay_of_step(turn, record);
    case SAGA_RECORD_SIGNALLED:
        if (!record->name)
            return false;
        signal_keep(turn, record->name, record->value);
        return true;
    case SAGA_RECORD_FAILED:
        return replay_failed(turn, record);
    case SAGA_RECORD_RETRIED:
        return replay_retried(turn, record);
    case SAGA_RECORD_COMPLETED:
        return replay_completed(turn, record);
    case SAGA_RECORD_COMPENSATED:
        return replay_compensated(turn);
    }
    return false;
}

bool replay(struct turn *turn, const struct saga_record *record, struct error *error)
{
    saga_label label = "";
    if (replay_one(turn, record))
        return true;
    if (record->instance.step >= 0 && record->instance.step < turn->saga->plan->step_count)
        saga_label_format(label, turn->saga->plan, &record->instance);
    error_set(error, ERROR_CORRUPT, "saga %s: a record of type %d makes no sense here",
              turn->saga->texts, (int)record->type);
    if (label[0])
        error_detail(error, "step %s", label);
    return false;
}

/* ---- for a checkpoint ---------------------------------------------------------------------- */

/* What is known of one leaf. They stand in the order of their records: by phase, then by time; the
 * order of the definition decides between equal times, in which all can have happened, and its
 * reverse when they were undone. */
struct fact {
    enum saga_record_type type;
    int phase; /* 0: before FAILED, 1: until all was resolved, 2: undone */
    int64_t at_us;
    long place;
    struct node *node;
};

struct facts {
    const struct saga *saga;
    struct fact *list;
    size_t count, room;
};

static void add_fact(struct facts *facts, enum saga_record_type type, int phase, int64_t at_us,
                     struct node *node)
{
    if (facts->count == facts->room) {
        facts->room = facts->room ? facts->room * 2 : 16;
        facts->list = xrealloc(facts->list, facts->room * sizeof(struct fact));
    }
    long place = (long)facts->count;
    facts->list[facts->count++] =
        (struct fact){type, phase, at_us, phase == 2 ? -place : place, node};
}

static void gather(void *self, struct node *node)
{
    struct facts *facts = self;
    bool undone = node->state == NODE_UNDONE;
    bool wait = step_of(facts->saga, node)->type == SAGA_WAIT;
    if (node->state == NODE_DONE || node->state == NODE_UNDOING || undone)
        add_fact(facts, SAGA_RECORD_STEP_DONE, node->late, node->ended_us, node);
    if (node->state == NODE_FENCED && !wait)
        add_fact(facts, SAGA_RECORD_STEP_FENCED, 1, node->ended_us, node);
    if (undone)
        add_fact(facts, SAGA_RECORD_STEP_UNDONE, 2, node->since_us, node);
}

static int in_order(const void *left, const void *right)
{
    const struct fact *a = left, *b = right;
    if (a->phase != b->phase)
        return a->phase - b->phase;
    if (a->at_us != b->at_us)
        return a->at_us < b->at_us ? -1 : 1;
    return a->place < b->place ? -1 : a->place > b->place;
}

struct emitter {
    const struct saga *saga;
    saga_emit *emit;
    void *self;
};

static void emit_one(const struct emitter *emitter, const struct saga_record *made)
{
    emitter->emit(emitter->self, made);
}

/* Of what is still under way. */
static void emit_retried(struct emitter *emitter)
{
    const struct saga *saga = emitter->saga;
    const struct list *const lists[] = {&saga->due, &saga->paused, &saga->resting};
    for (size_t i = 0; i < sizeof(lists) / sizeof(lists[0]); i++) {
        for (const struct list *at = lists[i]->next; at != lists[i]; at = at->next) {
            const struct task *task = CONTAINER(at, struct task, link);
            if (!task->retried)
                continue;
            struct saga_record made = {
                .type = SAGA_RECORD_RETRIED, .awaited = true, .at_us = task->since_us};
            node_instance(saga, task->node, &made.instance);
            emit_one(emitter, &made);
        }
    }
}

static void emit_failed(struct emitter *emitter)
{
    const struct failure *failure = emitter->saga->failure;
    emit_one(emitter, &(struct saga_record){.type = SAGA_RECORD_FAILED,
                                            .awaited = true,
                                            .instance = failure->instance,
                                            .at_us = failure->at_us,
                                            .problem = *failure->problem});
}

static void emit_fact(struct emitter *emitter, const struct fact *fact)
{
    struct saga_record made = {.type = fact->type, .at_us = fact->at_us};
    node_instance(emitter->saga, fact->node, &made.instance);
    if (fact->type == SAGA_RECORD_STEP_DONE) {
        made.value = fact->node->output;
        made.result = fact->node->result;
    }
    emit_one(emitter, &made);
}

/* Signals that no wait has taken. They come last: no wait that is replayed takes them. */
static void emit_signals(struct emitter *emitter)
{
    for (const struct signal *at = emitter->saga->signals; at; at = at->next)
        emitter->emit(emitter->self, &(struct saga_record){.type = SAGA_RECORD_SIGNALLED,
                                                           .awaited = true,
                                                           .instance.step = SAGA_NONE,
                                                           .at_us = at->at_us,
                                                           .name = at->name,
                                                           .value = at->value});
}

static void emit_end(struct emitter *emitter)
{
    const struct saga *saga = emitter->saga;
    bool completed = saga->state == SAGA_COMPLETED;
    emit_retried(emitter);
    if (completed || saga->state == SAGA_COMPENSATED)
        emitter->emit(emitter->self,
                      &(struct saga_record){.type = completed ? SAGA_RECORD_COMPLETED
                                                              : SAGA_RECORD_COMPENSATED,
                                            .awaited = true,
                                            .instance.step = SAGA_NONE,
                                            .at_us = saga->ended_us,
                                            .value = saga->output});
}

void saga_records(const struct saga *saga, saga_emit *emit, void *self)
{
    struct emitter emitter = {.saga = saga, .emit = emit, .self = self};
    struct facts facts = {.saga = saga};
    bool backward = saga->state == SAGA_COMPENSATING || saga->state == SAGA_COMPENSATED;
    if (!saga->begun)
        return;
    nodes_each_leaf(saga, &saga->root, gather, &facts);
    if (facts.count)
        qsort(facts.list, facts.count, sizeof(struct fact), in_order);
    size_t at = 0;
    for (; at < facts.count && facts.list[at].phase == 0; at++)
        emit_fact(&emitter, &facts.list[at]);
    if (backward)
        emit_failed(&emitter);
    for (; at < facts.count; at++)
        emit_fact(&emitter, &facts.list[at]);
    emit_signals(&emitter);
    emit_end(&emitter);
    free(facts.list);
}
