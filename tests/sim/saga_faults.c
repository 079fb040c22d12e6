#include "tests/sim/saga_faults.h"

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

/* Somebody believes that a participant is dead, and starts another: what the first was asked for it
 * may still do, later. */
static void replace(struct saga_faults *faults, struct world *world)
{
    struct rng *rng = &faults->rng;
    uint64_t which = rng_below(rng, (uint64_t)world->participant_count);
    uint64_t length_us = rng_between(rng, 1, 5 * SECOND_US);
    struct node *agent = world->agents[which], *second = world->rivals[which];
    if (!node_up(agent) || node_up(second))
        return;
    world_note(world, length_us, "fault: %s stops, and another is started", agent->name);
    node_pause(agent, length_us);
    node_start(second);
}

static void strike(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct saga_faults *faults = subject;
    if (world->healed)
        return;
    if (rng_below(&faults->rng, 3))
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
