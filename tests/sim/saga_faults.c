#include "tests/sim/saga_faults.h"

#include "tests/sim/network.h"
#include "tests/sim/node.h"

static const char *const at_coordinator[] = {
    "coordinator.saga-begun",    "coordinator.saga-sent",   "coordinator.saga-answered",
    "coordinator.saga-recorded", "coordinator.saga-failed", "coordinator.saga-undone",
    "coordinator.saga-ended"};
static const char *const at_participant[] = {"participant.execute", "participant.executed",
                                             "participant.cancelled"};

#define COUNT(list) (sizeof(list) / sizeof((list)[0]))

/* Right at the point, or in the middle of what it leads to. */
static void arm(struct saga_faults *faults, struct world *world)
{
    struct rng *rng = &faults->rng;
    bool coordinator = rng_below(rng, 3) < 2;
    uint64_t count = (uint64_t)(coordinator ? world->coordinator_count : world->participant_count);
    struct node *node = (coordinator ? world->coordinators : world->agents)[rng_below(rng, count)];
    const char *point = coordinator ? at_coordinator[rng_below(rng, COUNT(at_coordinator))]
                                    : at_participant[rng_below(rng, COUNT(at_participant))];
    int64_t passings = (int64_t)rng_below(rng, 5);
    int64_t effects = rng_below(rng, 2) ? (int64_t)rng_between(rng, 1, 5) : 0;
    uint64_t absence_us = rng_between(rng, 1, 3 * SECOND_US);
    if (!node_up(node))
        return;
    world_note(world, coordinator, "fault: %s will die at %s", node->name, point);
    node_crash_at(node, point, passings, effects);
    node->absence_us = absence_us;
}

static void change_cuts(struct world *world, struct node *agent,
                        void (*change)(struct network *, const struct node *, const struct node *))
{
    for (int i = 0; i < world->coordinator_count; i++) {
        change(world->network, agent, world->coordinators[i]);
        change(world->network, world->coordinators[i], agent);
    }
}

static void join(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    if (!world->healed)
        change_cuts(world, subject, network_join);
}

static void speed_up(struct world *world, void *subject, uint64_t stalled, void *data)
{
    (void)subject, (void)data;
    if (!world->healed)
        world->weather.frame_stalled = (uint32_t)stalled;
}

/* What was asked of one may come when another has been asked meanwhile, and has answered. */
static void stall(struct world *world, uint64_t length_us)
{
    enum { STALLED = PPM / 4 };
    if (world->weather.frame_stalled == STALLED)
        return;
    world_after(world, length_us, speed_up, NULL, world->weather.frame_stalled, NULL);
    world->weather.frame_stalled = STALLED;
}

/* Somebody believes that a participant is dead, and starts another: what the first was asked for it
 * may still do, later. It has stopped, or no coordinator can tell it that it is replaced, or all is
 * slow. */
static void replace(struct saga_faults *faults, struct world *world)
{
    struct rng *rng = &faults->rng;
    uint64_t which = rng_below(rng, (uint64_t)world->participant_count);
    uint64_t length_us = rng_between(rng, 1, 5 * SECOND_US);
    struct node *agent = world->agents[which], *second = world->rivals[which];
    if (!node_up(agent) || node_up(second))
        return;
    static const char *const words[] = {"is cut off", "stops", "is slow", "is slow"};
    uint64_t how = rng_below(rng, 4);
    world_note(world, length_us, "fault: %s %s, and another is started", agent->name, words[how]);
    if (how == 0) {
        change_cuts(world, agent, network_cut);
        world_after(world, length_us, join, agent, 0, NULL);
    } else if (how == 1) {
        node_pause(agent, length_us);
    } else {
        stall(world, length_us);
    }
    node_start(second);
}

static void strike(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct saga_faults *faults = subject;
    if (world->healed)
        return;
    if (rng_below(&faults->rng, 2))
        arm(faults, world);
    else
        replace(faults, world);
    world_after(world, rng_between(&faults->rng, 1, faults->pace_us), strike, faults, 0, NULL);
}

void saga_faults_begin(struct saga_faults *faults, struct world *world)
{
    static const uint64_t paces_us[] = {0, SECOND_US, 3 * SECOND_US};
    faults->rng = (struct rng){world->seed * 2 + 0x7ea27ea27ea2u};
    faults->pace_us = paces_us[rng_below(&faults->rng, 3)];
    if (faults->pace_us)
        world_after(world, SECOND_US, strike, faults, 0, NULL);
}
