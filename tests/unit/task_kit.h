/* A server, and sagas that are nothing but their plans: what tries come to is heard here, where the
 * linker sends it (--wrap), and not by coordinator/sagas. */
#ifndef TROTH_TESTS_UNIT_TASK_KIT_H
#define TROTH_TESTS_UNIT_TASK_KIT_H

#include "saga_kit.h"
#include "server_kit.h"

#include "coordinator/parts.h"
#include "coordinator/sagas.h"

static const char kit_definition[] =
    "saga: shop\n"
    "version: 1\n"
    "steps:\n"
    "  - {name: create, call: orders.create, compensate: orders.cancel}\n"
    "  - {name: charge, call: payments.charge, compensate: payments.refund}\n"
    "  - name: goods\n"
    "    for_each: ${ [range(0; 300)] }\n"
    "    parallel: 200\n"
    "    steps:\n"
    "      - {name: pick, call: orders.pick, compensate: orders.put}\n"
    "  - name: both\n"
    "    transaction: {protocol: 2pc, branches: [{call: orders.create}, {call: payments.charge}]}\n"
    "    compensate: {call: orders.cancel, with: {}}\n"
    "  - name: all\n"
    "    transaction: {protocol: 3pc, branches: [{call: orders.create}, {call: payments.charge}]}\n"
    "    compensate: none\n"
    "  - {name: elsewhere, call: orders.create, compensate: payments.refund}\n";

/* What was heard last. Texts live until the next one. */
static struct {
    int count;
    struct saga_run *run;
    enum saga_outcome outcome;
    enum saga_how how;
    unsigned try;
    bool kept;
    char result[256], code[64], message[256], detail[256], hint[256];
} last;

static inline void keep(char *out, size_t room, const char *text)
{
    snprintf(out, room, "%s", text ? text : "");
}

void __wrap_sagas_answered(struct server *server, struct saga_run *run,
                           const struct saga_event *event);
void __wrap_sagas_answered(struct server *server, struct saga_run *run,
                           const struct saga_event *event)
{
    (void)server;
    assert_int_equal(event->type, SAGA_EVENT_ANSWERED);
    last.count++;
    last.run = run;
    last.outcome = event->outcome;
    last.how = event->how;
    last.try = event->try;
    last.kept = event->kept;
    keep(last.result, sizeof(last.result), event->result ? event->result : "null");
    keep(last.code, sizeof(last.code), event->problem.code);
    keep(last.message, sizeof(last.message), event->problem.message);
    keep(last.detail, sizeof(last.detail), event->problem.detail);
    keep(last.hint, sizeof(last.hint), event->problem.hint);
}

typedef bool kit_lives(const struct server *server, struct txid saga);

/* The sagas of the library know none of these here: they would forget their keys. */
void __real_tasks_forget_orphans(struct server *server, kit_lives *lives);
void __wrap_tasks_forget_orphans(struct server *server, kit_lives *lives);
void __wrap_tasks_forget_orphans(struct server *server, kit_lives *lives)
{
    (void)server;
    (void)lives;
}

/* ---- sagas ---- */

struct kit_run {
    struct saga_run run;
    struct saga_plan *plan;
};

static inline struct kit_run *kit_run_new(uint64_t seq)
{
    struct kit_run *kit = xcalloc(1, sizeof(*kit));
    kit->plan = kit_plan(kit_definition);
    struct saga_begin begin = {.plan = kit->plan, .id = "shop.c1.1.1", .input = "{}"};
    kit->run.machine = saga_new(&begin);
    kit->run.id = (struct txid){1, seq};
    list_init(&kit->run.tasks);
    return kit;
}

static inline void kit_run_free(struct world *world, struct kit_run *kit)
{
    if (world->server)
        tasks_drop(world->server, &kit->run);
    saga_free(kit->run.machine);
    saga_plan_free(kit->plan);
    free(kit);
}

/* The world ends, or its server crashes: what was under way is not answered any more. */
static inline void kit_crash_and_start(struct world *world, struct kit_run *kit)
{
    tasks_drop(world->server, &kit->run);
    crash_and_start(world);
}

struct attempt {
    const char *step;
    enum saga_how how;
    unsigned try;
    uint64_t timeout_us;
    bool final;
    int item;
};

static inline struct saga_instance kit_instance(const struct kit_run *kit, const char *step,
                                                int item)
{
    struct saga_instance instance = {.step = saga_step_find(kit->plan, step)};
    assert_true(instance.step >= 0);
    if (kit->plan->steps[instance.step].loop != SAGA_NONE) {
        instance.depth = 1;
        instance.items[0] = (uint32_t)item;
    }
    return instance;
}

/* Begins it and does not let time pass: nothing may have been heard of it yet. */
static inline void attempt(struct world *world, struct kit_run *kit, const struct attempt *how)
{
    int before = last.count;
    struct saga_action action = {.type = SAGA_ACT_TRY,
                                 .instance = kit_instance(kit, how->step, how->item),
                                 .how = how->how,
                                 .try = how->try,
                                 .final = how->final,
                                 .timeout_us = how->timeout_us ? how->timeout_us : 10 * SECOND_US,
                                 .since_us = 1111,
                                 .step_since_us = 2222};
    const struct saga_step *step = &kit->plan->steps[action.instance.step];
    if (how->how == SAGA_DO)
        action.argument_count = step->call_count;
    else if (how->how == SAGA_COMPENSATE)
        action.argument_count = 1;
    action.arguments = xcalloc((size_t)action.argument_count, sizeof(*action.arguments));
    for (int i = 0; i < action.argument_count; i++)
        action.arguments[i] = xstrdup("{\"a\":1}");
    task_start(world->server, &kit->run, &action);
    assert_int_equal(last.count, before);
    assert_null(action.arguments);
}

static inline void try_step(struct world *world, struct kit_run *kit, const char *step,
                            unsigned try)
{
    struct attempt how = {.step = step, .how = SAGA_DO, .try = try};
    attempt(world, kit, &how);
    run(world);
}

/* Exactly one answer came since `before`, and this. */
static inline void heard(int before, enum saga_outcome outcome, const char *text)
{
    assert_int_equal(last.count, before + 1);
    assert_int_equal(last.outcome, outcome);
    assert_string_equal(outcome == SAGA_SUCCEEDED ? last.result : last.code, text);
}

#endif
