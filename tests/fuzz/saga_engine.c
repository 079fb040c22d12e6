/* Any bytes as what happens to a saga: records of a journal that it never wrote, answers, signals,
 * orders, time that passes, and restarts from its own records. Each is taken or refused with a
 * reason; whatever is taken, its own records bring a new saga to the same place. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/engine.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static const char *const texts[] = {
    "saga: plain\nversion: 1\ntimeout: 9s\nsteps:\n"
    "  - {name: a, call: p.a, compensate: p.b}\n"
    "  - {name: b, call: p.a, compensate: {call: p.b, with: {n: \"${ .result.n }\"}}}\n"
    "  - {name: c, call: p.a, kind: pivot}\n"
    "  - {name: d, call: p.a, with: {n: \"${ .steps.b.n }\"}, kind: retriable}\n",

    "saga: blocks\nversion: 1\ninput: {list: {type: array, default: [1, 2, 3]}}\nsteps:\n"
    "  - parallel:\n"
    "      - {name: a, call: p.a, compensate: p.b}\n"
    "      - steps:\n"
    "          - {name: b, call: p.a, compensate: none}\n"
    "          - {name: w, wait: {signal: go, timeout: 3s, otherwise: continue}}\n"
    "  - name: loop\n"
    "    for_each: \"${ .input.list }\"\n"
    "    parallel: 2\n"
    "    steps:\n"
    "      - {name: c, call: p.a, with: {n: \"${ .item }\"}, compensate: p.b}\n"
    "      - {name: inner, for_each: \"${ [.item] }\", steps: [{name: e, call: p.a, compensate: "
    "p.b}]}\n"
    "  - choose:\n"
    "      - {when: \"${ .steps.a.n == 1 }\", steps: [{name: f, call: p.a, kind: pivot}]}\n"
    "      - {otherwise: [{name: g, wait: {for: 1s}}]}\n",

    "saga: others\nversion: 1\nalert_after: 1\nsteps:\n"
    "  - {name: a, saga: child, input: {}}\n"
    "  - {name: t, transaction: {branches: [{call: p.a}, {call: q.a}]}, compensate: {call: p.b, "
    "with: {n: \"${ .result[0].n }\"}}}\n"
    "  - {name: w, wait: {signal: go, timeout: 2s}}\n"
    "  - {name: z, call: p.a, when: \"${ .steps.w.n == 1 }\", compensate: none}\n"
    "output: {n: \"${ .steps.z.n // 0 }\"}\n",
};

enum { TEXTS = sizeof(texts) / sizeof(texts[0]), TRIES = 64 };

static const char *const values[] = {NULL, "{\"n\":1}", "{\"n\":2}", "[{\"n\":1},{\"n\":2}]", "7"};

struct bytes {
    const uint8_t *at;
    size_t left;
};

/* A try that waits for its answer. */
struct
try {
    struct saga_instance instance;
    enum saga_how how;
    unsigned try;
};

struct run {
    const struct saga_plan *plan;
    struct saga *saga;
    struct saga_time time;
    bool resumed;
    struct try tries[TRIES];
    int try_count;
};

static unsigned next(struct bytes *bytes, unsigned below)
{
    if (bytes->left == 0)
        return 0;
    bytes->left--;
    return *bytes->at++ % below;
}

static struct saga *begin(const struct saga_plan *plan)
{
    struct saga_begin how = {.plan = plan,
                             .id = "s.c.1.1",
                             .input = plan->input_count ? "{\"list\":[1,2,3]}" : "{}",
                             .begun_us = 1000 * 1000};
    return saga_new(&how);
}

static struct saga_instance any_instance(struct bytes *bytes, const struct saga_plan *plan)
{
    struct saga_instance instance = {.step = (int)next(bytes, (unsigned)plan->step_count + 2) - 1};
    instance.depth = (int)next(bytes, 4);
    for (int i = 0; i < instance.depth; i++)
        instance.items[i] = next(bytes, 5);
    return instance;
}

static struct saga_record any_record(struct bytes *bytes, const struct run *run)
{
    struct saga_record record = {.type = (enum saga_record_type)(1 + next(bytes, 9))};
    record.instance = any_instance(bytes, run->plan);
    record.at_us = run->time.wall_us;
    record.value = values[next(bytes, 5)];
    record.result = values[next(bytes, 5)];
    record.by_signal = next(bytes, 2);
    record.name = record.type == SAGA_RECORD_SIGNALLED ? "go" : NULL;
    if (record.type == SAGA_RECORD_FAILED)
        record.problem = (struct saga_problem){.code = "c", .message = "m"};
    return record;
}

static bool same_instance(const struct saga_instance *a, const struct saga_instance *b)
{
    return a->step == b->step && a->depth == b->depth &&
           memcmp(a->items, b->items, (size_t)a->depth * sizeof(a->items[0])) == 0;
}

static void take_try(struct run *run, const struct saga_action *action)
{
    for (int i = 0; i < run->try_count; i++)
        CHECK(!same_instance(&run->tries[i].instance, &action->instance));
    if (run->try_count < TRIES)
        run->tries[run->try_count++] = (struct try){action->instance, action->how, action->try};
}

/* Afterwards the lists of actions and of tries are in order again. */
static bool advance(struct run *run, const struct saga_event *event)
{
    struct saga_actions actions = {0};
    struct error error = {0};
    bool taken = saga_advance(run->saga, event, &actions, &error);
    CHECK(taken || error.message[0]);
    CHECK(taken || actions.count == 0);
    CHECK(event->type != SAGA_EVENT_REPLAYED || actions.count == 0);
    for (int i = 0; i < actions.count; i++)
        if (actions.list[i].type == SAGA_ACT_TRY)
            take_try(run, &actions.list[i]);
    saga_actions_fini(&actions);
    return taken;
}

static void put_in(void *self, const struct saga_record *record)
{
    struct run *run = self;
    struct saga_event event = {.type = SAGA_EVENT_REPLAYED, .time = run->time, .record = record};
    CHECK(advance(run, &event));
}

/* A new process, with what this one would have written into a checkpoint. */
static void restart(struct run *run)
{
    struct run again = {.plan = run->plan, .saga = begin(run->plan), .time = run->time};
    saga_records(run->saga, put_in, &again);
    CHECK(saga_state(again.saga) == saga_state(run->saga));
    CHECK(saga_is_past_pivot(again.saga) == saga_is_past_pivot(run->saga));
    const char *before = saga_output(run->saga), *after = saga_output(again.saga);
    CHECK(strcmp(before ? before : "", after ? after : "") == 0);
    saga_free(run->saga);
    *run = again;
}

static void answer(struct run *run, struct bytes *bytes)
{
    struct saga_event event = {.type = SAGA_EVENT_ANSWERED, .time = run->time};
    int which = (int)next(bytes, TRIES);
    if (run->try_count == 0)
        return;
    which %= run->try_count;
    event.instance = run->tries[which].instance;
    event.how = run->tries[which].how;
    event.try = run->tries[which].try;
    run->tries[which] = run->tries[--run->try_count];
    event.outcome = (enum saga_outcome)(1 + next(bytes, 5));
    event.result = values[next(bytes, 5)];
    event.kept = next(bytes, 2);
    event.problem = (struct saga_problem){.code = "c", .message = "m"};
    advance(run, &event);
}

static bool check_view(void *self, const struct saga_view *view)
{
    const struct run *run = self;
    CHECK(view->instance.step >= 0 && view->instance.step < run->plan->step_count);
    CHECK(view->state <= SAGA_VIEW_CANCELLED && saga_view_words[view->state][0]);
    return true;
}

static void look(const struct run *run)
{
    char text[200];
    saga_next(run->saga, &run->time, text, sizeof(text));
    saga_visit_all(run->saga, &run->time, check_view, (void *)run);
    CHECK(saga_bytes(run->saga) > 0);
    CHECK(saga_state(run->saga) >= SAGA_RUNNING && saga_state(run->saga) <= SAGA_COMPENSATED);
}

static void pass(struct run *run, struct bytes *bytes)
{
    uint64_t by_us = (next(bytes, 256) + 1ull) * 50 * 1000;
    uint64_t due_us = saga_wake_us(run->saga, &run->time);
    if (due_us != UINT64_MAX && due_us > run->time.now_us && next(bytes, 2))
        by_us = due_us - run->time.now_us;
    run->time.now_us += by_us;
    run->time.wall_us += (int64_t)by_us;
    advance(run, &(struct saga_event){.type = SAGA_EVENT_WOKEN, .time = run->time});
}

static void go_on(struct run *run, struct bytes *bytes)
{
    struct saga_event event = {.time = run->time};
    switch (next(bytes, 12)) {
    case 0:
        restart(run);
        break;
    case 1:
        event.type = SAGA_EVENT_SIGNALLED;
        event.name = next(bytes, 4) ? "go" : "gone";
        event.value = values[next(bytes, 5)];
        advance(run, &event);
        break;
    case 2:
        event.type = SAGA_EVENT_RETRY;
        advance(run, &event);
        break;
    case 3:
        event.type = SAGA_EVENT_COMPENSATE;
        event.problem = (struct saga_problem){.code = "c", .message = "m"};
        advance(run, &event);
        break;
    case 4:
    case 5:
        pass(run, bytes);
        break;
    default:
        answer(run, bytes);
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct saga_plan *plans[TEXTS];
    struct bytes bytes = {data, size};
    unsigned which = next(&bytes, TEXTS);
    if (!plans[which])
        plans[which] = saga_definition_load("f.yaml", texts[which], strlen(texts[which]), NULL);
    CHECK(plans[which] != NULL);
    struct run run = {
        .plan = plans[which], .saga = begin(plans[which]), .time = {1000 * 1000, 1000 * 1000}};
    for (int left = 400; bytes.left > 0 && left > 0; left--) {
        if (run.resumed) {
            go_on(&run, &bytes);
        } else if (next(&bytes, 8) == 0) {
            run.resumed = true;
            advance(&run, &(struct saga_event){.type = SAGA_EVENT_RESUMED, .time = run.time});
        } else {
            struct saga_record record = any_record(&bytes, &run);
            struct saga_event event = {
                .type = SAGA_EVENT_REPLAYED, .time = run.time, .record = &record};
            advance(&run, &event);
        }
        look(&run);
    }
    restart(&run);
    saga_free(run.saga);
    return 0;
}
