#include "tests/sim/world.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/node.h"

struct event {
    uint64_t at_us, sequence;
    event_function *run;
    struct node *node;
    uint64_t boot;
    void *subject;
    uint64_t number;
    void *data;
};

void world_init(struct world *world, uint64_t seed, bool tracing)
{
    *world = (struct world){.seed = seed, .rng = {seed * 2 + 1}, .tracing = tracing};
    world->hash = 0xcbf29ce484222325u;
}

void world_fini(struct world *world)
{
    for (size_t i = 0; i < world->event_count; i++)
        free(world->heap[i].data);
    free(world->heap);
    world->heap = NULL;
    world->event_count = 0;
}

static bool earlier(const struct event *a, const struct event *b)
{
    return a->at_us != b->at_us ? a->at_us < b->at_us : a->sequence < b->sequence;
}

static void push(struct world *world, struct event event)
{
    if (world->event_count == world->event_room) {
        world->event_room = world->event_room ? world->event_room * 2 : 256;
        world->heap = xrealloc(world->heap, world->event_room * sizeof(*world->heap));
    }
    event.sequence = ++world->event_sequence;
    size_t i = world->event_count++;
    for (; i > 0 && earlier(&event, &world->heap[(i - 1) / 2]); i = (i - 1) / 2)
        world->heap[i] = world->heap[(i - 1) / 2];
    world->heap[i] = event;
}

static struct event pop(struct world *world)
{
    struct event first = world->heap[0];
    struct event last = world->heap[--world->event_count];
    size_t i = 0;
    for (size_t child; (child = 2 * i + 1) < world->event_count; i = child) {
        if (child + 1 < world->event_count && earlier(&world->heap[child + 1], &world->heap[child]))
            child++;
        if (!earlier(&world->heap[child], &last))
            break;
        world->heap[i] = world->heap[child];
    }
    world->heap[i] = last;
    return first;
}

void world_after(struct world *world, uint64_t delay_us, event_function *run, void *subject,
                 uint64_t number, void *data)
{
    world_deliver(world, delay_us, NULL, 0, run, subject, number, data);
}

void world_deliver(struct world *world, uint64_t delay_us, struct node *node, uint64_t boot,
                   event_function *run, void *subject, uint64_t number, void *data)
{
    push(world, (struct event){.at_us = world->now_us + delay_us,
                               .run = run,
                               .node = node,
                               .boot = boot,
                               .subject = subject,
                               .number = number,
                               .data = data});
}

static void run_one(struct world *world)
{
    struct event event = pop(world);
    world->now_us = event.at_us;
    if (event.node && node_paused(event.node)) {
        event.at_us = node_resumes_us(event.node);
        push(world, event);
        return;
    }
    world->events_run++;
    if (!event.node) {
        event.run(world, event.subject, event.number, event.data);
    } else if (node_up(event.node) && (event.boot == 0 || event.boot == node_boot(event.node))) {
        node_turn_begin(event.node);
        event.run(world, event.subject, event.number, event.data);
        node_turn_end(event.node);
    }
    free(event.data);
}

void world_run(struct world *world, uint64_t until_us)
{
    /* A real loop that never sleeps would not be seen otherwise: virtual time stands still. */
    enum { EVENTS_A_RUN = 2 * 1000 * 1000 };
    while (!world->broken && world->event_count > 0 && world->heap[0].at_us <= until_us) {
        run_one(world);
        if (world->events_run > EVENTS_A_RUN)
            world_violation(world, "no end: more than %d events", EVENTS_A_RUN);
    }
    if (!world->broken && world->now_us < until_us)
        world->now_us = until_us;
}

static void mix(struct world *world, uint64_t value)
{
    world->hash = (world->hash ^ value) * 0x100000001b3u;
    world->hash ^= world->hash >> 29;
}

void world_note(struct world *world, uint64_t value, const char *format, ...)
{
    mix(world, world->now_us);
    mix(world, value);
    if (!world->tracing)
        return;
    va_list arguments;
    va_start(arguments, format);
    printf("%4llu.%06llu ", (unsigned long long)(world->now_us / SECOND_US),
           (unsigned long long)(world->now_us % SECOND_US));
    vprintf(format, arguments);
    putchar('\n');
    va_end(arguments);
}

static void broke(struct world *world, const char *format, va_list arguments)
{
    if (world->broken)
        return;
    world->broken = true;
    vsnprintf(world->violation, sizeof(world->violation), format, arguments);
    world_note(world, 0, "VIOLATION %s", world->violation);
}

void world_violation(struct world *world, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    broke(world, format, arguments);
    va_end(arguments);
}

void world_complaint(struct world *world, const char *format, ...)
{
    if (world->safety_only)
        return;
    va_list arguments;
    va_start(arguments, format);
    broke(world, format, arguments);
    va_end(arguments);
}

uint64_t world_between(struct world *world, uint64_t low, uint64_t high)
{
    return rng_between(&world->rng, low, high);
}

bool world_chance(struct world *world, uint32_t ppm)
{
    return rng_chance(&world->rng, ppm);
}

uint64_t world_latency(struct world *world, uint64_t max_us)
{
    uint64_t a = rng_below(&world->rng, max_us), b = rng_below(&world->rng, max_us);
    return 1 + a * b / max_us;
}
