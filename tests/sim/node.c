#include "tests/sim/node.h"

#include <stdio.h>
#include <string.h>

#include "core/check.h"
#include "core/crash.h"
#include "tests/sim/nemesis.h"

/* Whose turn it is; the crash hook has no argument for it. */
static struct node *turning;

static uint64_t host_now_us(void *self)
{
    struct node *node = self;
    return node->world->now_us + node->clock_base_us;
}

static int64_t host_wall_us(void *self)
{
    struct node *node = self;
    int64_t wall_at_start_us = INT64_C(1700000000) * 1000000;
    return wall_at_start_us + (int64_t)node->world->now_us + node->wall_skew_us;
}

static void host_random(void *self, void *buffer, size_t size)
{
    struct node *node = self;
    unsigned char *bytes = buffer;
    for (size_t i = 0; i < size; i++)
        bytes[i] = (unsigned char)rng_next(&node->world->rng);
}

static void host_log_line(void *self, enum log_level level, const char *line)
{
    static const char *const words[] = {"debug", "info", "warning", "error"};
    struct node *node = self;
    world_note(node->world, level, "%s#%llu %s: %s", node->name, (unsigned long long)node->boot,
               words[level], line);
}

void node_init(struct node *node, struct world *world, const struct node_class *class,
               const char *name, int index)
{
    *node = (struct node){.world = world, .class = class, .index = index, .wakes_us = UINT64_MAX};
    snprintf(node->name, sizeof(node->name), "%s", name);
    node_spare(node);
    node->host = (struct host_port){.self = node,
                                    .now_us = host_now_us,
                                    .wall_us = host_wall_us,
                                    .random = host_random,
                                    .log = host_log_line};
}

void node_fini(struct node *node)
{
    if (node->process)
        node->class->stop(node);
    node->process = NULL;
}

/* A named crash point counts as a boundary of its own: from here on the process is dead. */
static void crash_point_passed(const char *point)
{
    struct node *node = turning;
    if (!node || node->dying || node->crash_points_left < 0)
        return;
    if (node->crash_point ? strcmp(point, node->crash_point) != 0
                          : node->skip_settled && strstr(point, ".settled"))
        return;
    if (node->crash_points_left-- > 0)
        return;
    if (node->effects_after > 0) {
        node->effects_left = node->effects_after;
        world_note(node->world, 1, "%s dies soon after %s", node->name, point);
        return;
    }
    node->dying = true;
    world_note(node->world, 1, "%s dies at %s", node->name, point);
}

void node_start(struct node *node)
{
    CHECK(!node->process);
    node->boot++;
    node->draining = false;
    node->wakes_us = UINT64_MAX;
    node->resumes_us = 0;
    node->clock_base_us = world_between(node->world, 1, 1000 * SECOND_US);
    node_spare(node);
    world_note(node->world, node->boot, "%s#%llu starts", node->name,
               (unsigned long long)node->boot);
    crash_hook = crash_point_passed;
    nemesis_started(node);
    node_turn_begin(node);
    node->class->start(node);
    node_turn_end(node);
}

static void restart(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    struct node *node = subject;
    if (!node->process)
        node_start(node);
}

void node_crash(struct node *node, uint64_t restart_us)
{
    CHECK(node->process && turning != node);
    world_note(node->world, node->boot, "%s#%llu is gone, back in %llu ms", node->name,
               (unsigned long long)node->boot, (unsigned long long)(restart_us / 1000));
    node->class->stop(node);
    node->process = NULL;
    node->dying = false;
    if (node->class->gone)
        node->class->gone(node);
    nemesis_gone(node);
    if (!node->once)
        world_after(node->world, restart_us, restart, node, 0, NULL);
}

void node_crash_at_point(struct node *node, int64_t passings, bool all)
{
    node->crash_points_left = passings;
    node->crash_point = NULL;
    node->effects_after = 0;
    node->skip_settled = !all;
}

void node_crash_at(struct node *node, const char *point, int64_t passings, int64_t effects)
{
    node->crash_points_left = passings;
    node->crash_point = point;
    node->effects_after = effects;
}

void node_spare(struct node *node)
{
    node->effects_left = node->crash_points_left = -1;
    node->absence_us = 0;
}

void node_pause(struct node *node, uint64_t length_us)
{
    /* One pause at a time: what waits for its end must stay in its order. */
    if (!node_paused(node))
        node->resumes_us = node->world->now_us + length_us;
}

bool node_up(const struct node *node)
{
    return node->process != NULL;
}

bool node_paused(const struct node *node)
{
    return node->process && node->resumes_us > node->world->now_us;
}

uint64_t node_resumes_us(const struct node *node)
{
    return node->resumes_us;
}

uint64_t node_boot(const struct node *node)
{
    return node->boot;
}

void node_turn_begin(struct node *node)
{
    CHECK(!turning);
    turning = node;
    node->dying = false;
}

static void wake(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)data;
    struct node *node = subject;
    if (node->wakes_us == number)
        node->wakes_us = UINT64_MAX;
}

static void schedule_wake(struct node *node, uint64_t at_us)
{
    struct world *world = node->world;
    if (at_us == UINT64_MAX)
        return;
    at_us = at_us > node->clock_base_us ? at_us - node->clock_base_us : 0;
    /* A loop can't be called again within the same microsecond; it would not end. */
    if (at_us <= world->now_us)
        at_us = world->now_us + 1;
    if (at_us >= node->wakes_us)
        return;
    node->wakes_us = at_us;
    world_deliver(world, at_us - world->now_us, node, node->boot, wake, node, at_us, NULL);
}

void node_return(struct node *node, uint64_t delay_us)
{
    if (!node->process && !node->once)
        world_after(node->world, delay_us, restart, node, 0, NULL);
}

/* For how long a process that died in its turn is away. */
static uint64_t absence_of(struct node *node)
{
    if (node->absence_us)
        return node->absence_us;
    return world_latency(node->world, node->world->healed ? 100 * MILLISECOND_US : 3 * SECOND_US);
}

void node_turn_end(struct node *node)
{
    CHECK(turning == node);
    uint64_t next_us = node->class->settle(node);
    turning = NULL;
    if (node->dying || (node->class->over && node->class->over(node)))
        node_crash(node, absence_of(node));
    else
        schedule_wake(node, next_us);
}

bool node_effect(struct node *node)
{
    CHECK(turning == node);
    if (node->dying)
        return false;
    if (node->effects_left >= 0 && node->effects_left-- == 0) {
        node->dying = true;
        world_note(node->world, 2, "%s dies before its next effect", node->name);
        return false;
    }
    return true;
}
