#include "tests/sim/nemesis.h"

#include "core/check.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/disk.h"
#include "tests/sim/network.h"
#include "tests/sim/workload.h"

static uint32_t mixture; /* one bit a fault */
static uint64_t pace_us;
static struct node *truant; /* it is away until rows of its time have gone */
static bool makes_orphans;  /* with a coordinator that is gone for good all agents die once */

static uint32_t sometimes(struct world *world, uint32_t most_ppm)
{
    return world_chance(world, PPM / 2) ? (uint32_t)world_between(world, 1, most_ppm) : 0;
}

static void draw_weather(struct world *world)
{
    static const uint64_t frame_us[] = {300, 2000, 20000};
    static const uint64_t work_us[] = {500, 3000, 30000};
    static const uint64_t disk_us[] = {500, 4000, 60000};
    struct weather *weather = &world->weather;
    *weather = (struct weather){.frame_max_us = frame_us[world_between(world, 0, 2)],
                                .work_max_us = work_us[world_between(world, 0, 2)],
                                .disk_max_us = disk_us[world_between(world, 0, 2)]};
    if (world->workload->calm)
        return;
    weather->frame_lost = sometimes(world, 60000);
    weather->frame_doubled = sometimes(world, 60000);
    weather->frame_reordered = sometimes(world, 60000);
    weather->frame_stalled = sometimes(world, 8000);
    weather->frame_refused = sometimes(world, 30000);
    weather->work_lost = sometimes(world, 40000);
    weather->work_error = sometimes(world, 30000);
    weather->finish_unknown = sometimes(world, 200000);
    weather->ask_error = sometimes(world, 200000);
    weather->late_effect = sometimes(world, 200000);
    weather->disk_slow = sometimes(world, 60000);
}

/* From a chance of its own, so that a world without any is the same as ever. */
static void draw_torn_acceptances(struct world *world)
{
    struct rng rng = {world->seed * 2 + 0xacce9ed5u};
    if (!world->workload->calm && rng_chance(&rng, PPM / 2))
        world->weather.accept_torn = (uint32_t)rng_between(&rng, 1, 150000);
}

static struct node *any_node(struct world *world)
{
    uint64_t which = world_between(world, 0, 9);
    if (which < 4)
        return world->coordinators[world_between(world, 0, (uint64_t)world->coordinator_count - 1)];
    if (which < 9)
        return world->agents[world_between(world, 0, (uint64_t)world->participant_count - 1)];
    return world->clients[world_between(world, 0, (uint64_t)world->client_count - 1)];
}

static struct node *any_participant(struct world *world)
{
    return world->agents[world_between(world, 0, (uint64_t)world->participant_count - 1)];
}

static struct node *any_coordinator(struct world *world)
{
    return world->coordinators[world_between(world, 0, (uint64_t)world->coordinator_count - 1)];
}

static struct node *any_connector(struct world *world)
{
    if (world_chance(world, PPM * 3 / 4))
        return any_participant(world);
    return world->clients[world_between(world, 0, (uint64_t)world->client_count - 1)];
}

static struct database *any_database(struct world *world)
{
    return world->databases[world_between(world, 0, (uint64_t)world->participant_count - 1)];
}

static uint64_t any_length(struct world *world)
{
    return 1 + world_latency(world, 4 * SECOND_US);
}

/* Long enough, often, that others begin to finish what this one has left. */
static uint64_t any_absence(struct world *world)
{
    return world_chance(world, PPM / 2) ? any_length(world)
                                        : world_between(world, SECOND_US, 8 * SECOND_US);
}

/* Who is on which side of a cut. */
struct sides {
    bool one_way; /* only what goes from the first side to the second is cut */
    int count[2];
    struct node *nodes[2][MAX_NODES];
};

static void change_cuts(struct world *world, const struct sides *sides,
                        void (*change)(struct network *, const struct node *, const struct node *))
{
    for (int i = 0; i < sides->count[0]; i++)
        for (int k = 0; k < sides->count[1]; k++) {
            change(world->network, sides->nodes[0][i], sides->nodes[1][k]);
            if (!sides->one_way)
                change(world->network, sides->nodes[1][k], sides->nodes[0][i]);
        }
}

static void join(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)subject, (void)number;
    if (!world->healed)
        change_cuts(world, data, network_join);
}

/* `sides` is on the heap; it ends with the cut. */
static void cut_for_a_while(struct world *world, struct sides *sides)
{
    change_cuts(world, sides, network_cut);
    world_after(world, any_absence(world), join, NULL, 0, sides);
}

static void add_side(struct sides *sides, int side, struct node *node)
{
    sides->nodes[side][sides->count[side]++] = node;
}

/* A connector and a coordinator; or, where participants talk to each other, any two of these. */
static void cut_two(struct world *world, bool one_way)
{
    bool participants = world->protocols != PROTOCOLS_TWO_PHASE && world_chance(world, PPM / 2);
    struct node *a = participants ? any_participant(world) : any_connector(world);
    struct node *b = participants ? any_participant(world) : any_coordinator(world);
    if (a == b)
        return;
    struct sides *sides = xcalloc(1, sizeof(*sides));
    sides->one_way = one_way;
    bool swap = world_chance(world, PPM / 2);
    add_side(sides, 0, swap ? b : a);
    add_side(sides, 1, swap ? a : b);
    world_note(world, one_way, "fault: %s is cut from %s%s", sides->nodes[0][0]->name,
               sides->nodes[1][0]->name, one_way ? ", one way" : "");
    cut_for_a_while(world, sides);
}

static void split(struct world *world)
{
    struct sides *sides = xcalloc(1, sizeof(*sides));
    uint64_t bits = world_between(world, 0, UINT32_MAX);
    world_note(world, bits, "fault: the network is split: %x", (unsigned)bits);
    for (int i = 0; i < world->coordinator_count; i++, bits >>= 1)
        add_side(sides, bits & 1, world->coordinators[i]);
    for (int i = 0; i < world->participant_count; i++, bits >>= 1) {
        add_side(sides, bits & 1, world->agents[i]);
        add_side(sides, bits & 1, world->rivals[i]);
    }
    for (int i = 0; i < world->client_count; i++, bits >>= 1)
        add_side(sides, bits & 1, world->clients[i]);
    cut_for_a_while(world, sides);
}

static const char *any_point(struct world *world, bool coordinator)
{
    /* More often where others have accepted commit, and no majority has. */
    static const char *const at_coordinator[] = {
        "coordinator.voted",    "coordinator.deciding",   "coordinator.proposed",
        "coordinator.asked",    "coordinator.asked",      "coordinator.asked",
        "coordinator.granted",  "coordinator.granted",    "coordinator.granted",
        "coordinator.decided",  "coordinator.decided",    "coordinator.told",
        "coordinator.promised", "coordinator.terminating"};
    static const char *const at_participant[] = {
        "participant.prepared",       "participant.voted",       "participant.asked",
        "participant.stored",         "participant.terminating", "participant.terminated",
        "participant.commit-received"};
    if (coordinator)
        return at_coordinator[world_between(
            world, 0, sizeof(at_coordinator) / sizeof(at_coordinator[0]) - 1)];
    return at_participant[world_between(world, 0,
                                        sizeof(at_participant) / sizeof(at_participant[0]) - 1)];
}

/* A crash at a point leaves what was done before its turn; some effects later it may leave a part
 * of what the point leads to: some of the sites were asked, or told. */
static void arm(struct node *node, bool coordinator, int64_t passings_most)
{
    struct world *world = node->world;
    const char *point = any_point(world, coordinator);
    int64_t effects = world_chance(world, PPM / 2) ? (int64_t)world_between(world, 1, 6) : 0;
    world_note(world, coordinator, "fault: %s will die at %s", node->name, point);
    node_crash_at(node, point, (int64_t)world_between(world, 0, (uint64_t)passings_most), effects);
    node->absence_us = any_absence(world);
}

static void crash_at_a_point_of_three(struct world *world)
{
    bool coordinator = world_chance(world, PPM * 2 / 3);
    struct node *node = coordinator ? any_coordinator(world) : any_participant(world);
    if (node_up(node))
        arm(node, coordinator, 3);
}

/* An agent votes, and is away until what the others kept of that transaction may have gone. */
static void play_truant(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    if (world->healed || !node_up(node))
        return;
    world_note(world, 19, "fault: %s will be away for long", node->name);
    node_crash_at(node, "participant.voted", (int64_t)world_between(world, 0, 3),
                  (int64_t)world_between(world, 1, 6));
    node->absence_us = cluster_keep_us() + world_between(world, 0, 3 * SECOND_US);
    truant = node;
}

/* The truant is back: and who could tell it how all ended is away. */
static void hide_coordinator(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    if (!world->healed && node_up(subject))
        node_crash(subject, world_between(world, 2 * SECOND_US, 8 * SECOND_US));
}

static void truant_started(struct node *node)
{
    struct world *world = node->world;
    truant = NULL;
    for (int i = 0; i < world->coordinator_count; i++)
        world_after(world, 1, hide_coordinator, world->coordinators[i], 0, NULL);
}

void nemesis_started(struct node *node)
{
    struct world *world = node->world;
    if (node == truant)
        truant_started(node);
    if (!world->workload->besieged || world->healed || !world_chance(world, PPM / 4))
        return;
    for (int i = 0; i < world->coordinator_count; i++)
        if (world->coordinators[i] == node)
            arm(node, true, 0);
    for (int i = 0; i < world->participant_count; i++)
        if (world->agents[i] == node)
            arm(node, false, 0);
}

static void kill_agent(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    if (!world->healed && node_up(node))
        node_crash(node, any_length(world));
}

/* Before any of them begins to finish what is left: then only the databases know of it. */
void nemesis_gone(struct node *node)
{
    struct world *world = node->world;
    if (!node->once || !makes_orphans || world->healed)
        return;
    makes_orphans = false;
    world_note(world, 18, "fault: all agents will die");
    for (int i = 0; i < world->participant_count; i++)
        world_after(world, world_latency(world, 100 * MILLISECOND_US), kill_agent, world->agents[i],
                    0, NULL);
}

static void quicken(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    disk_slow(subject, 0);
}

static void trouble_node(struct world *world, enum fault fault)
{
    struct node *node = any_node(world);
    if (!node_up(node))
        return;
    world_note(world, fault, "fault %d for %s", (int)fault, node->name);
    if (fault == FAULT_CRASH)
        node_crash(node, any_absence(world));
    else if (fault == FAULT_CRASH_EFFECT)
        node->effects_left = (int64_t)world_between(world, 0, 15);
    else if (fault == FAULT_CRASH_POINT)
        node_crash_at_point(node, (int64_t)world_between(world, 0, 10),
                            world_chance(world, PPM / 4));
    else if (fault == FAULT_PAUSE)
        node_pause(node, any_length(world));
    else if (fault == FAULT_DRAIN)
        cluster_drain(node);
    else
        node->wall_skew_us +=
            (int64_t)world_between(world, 0, 200 * SECOND_US) - 100 * (int64_t)SECOND_US;
    if (node->wall_skew_us > node->wall_peak_us)
        node->wall_peak_us = node->wall_skew_us;
}

/* Somebody believes that the agent is dead and starts another; the first may only be stopped. */
static void rival(struct world *world)
{
    uint64_t which = world_between(world, 0, (uint64_t)world->participant_count - 1);
    struct node *agent = world->agents[which], *second = world->rivals[which];
    if (!node_up(agent) || node_up(second))
        return;
    if (world_chance(world, PPM / 2))
        node_pause(agent, any_length(world));
    node_start(second);
}

/* A new journal begins after the time in which the old one ran: that is what makes its ids new. */
static void lose_journal(struct world *world)
{
    struct node *node = world->coordinators[0];
    if (!node_up(node) || !world->workload->forgetful)
        return;
    node_crash(node, any_length(world));
    /* What was proposed and not decided when the copy was made, its journal promised more about
     * later: no copy may be used then (docs/failure-model.md). */
    if (world->protocols == PROTOCOLS_TWO_PHASE && world_chance(world, PPM / 2))
        disk_restore(world->disks[0]);
    else
        disk_lose(world->disks[0]);
    node->wall_skew_us += 10000 * (int64_t)SECOND_US;
}

static void trouble_database(struct world *world, enum fault fault)
{
    struct database *database = any_database(world);
    if (fault == FAULT_DB_CRASH)
        database_crash(database, any_length(world));
    else if (fault == FAULT_DB_FAILOVER)
        database_failover(database, any_length(world));
    else if (fault == FAULT_DB_DISCONNECT)
        database_disconnect(&database->backends[BACKEND_AGENT], any_length(world));
    else
        database_meddle(database);
}

static void trouble(struct world *world, enum fault fault)
{
    switch (fault) {
    case FAULT_CRASH:
    case FAULT_CRASH_EFFECT:
    case FAULT_CRASH_POINT:
    case FAULT_PAUSE:
    case FAULT_WALL_JUMP:
    case FAULT_DRAIN:
        trouble_node(world, fault);
        break;
    case FAULT_CRASH_THREE:
        crash_at_a_point_of_three(world);
        break;
    case FAULT_CUT:
    case FAULT_ONE_WAY:
        cut_two(world, fault == FAULT_ONE_WAY);
        break;
    case FAULT_SPLIT:
        split(world);
        break;
    case FAULT_BREAK:
    case FAULT_WEDGE:
        network_break(world->network, any_connector(world), fault == FAULT_WEDGE);
        break;
    case FAULT_RIVAL:
        rival(world);
        break;
    case FAULT_JOURNAL_LOST:
        lose_journal(world);
        break;
    case FAULT_SLOW_DISK: {
        struct disk *disk = world->disks[0];
        disk_slow(disk, world_between(world, 10, 800) * MILLISECOND_US);
        world_after(world, any_length(world), quicken, disk, 0, NULL);
        break;
    }
    default:
        trouble_database(world, fault);
    }
}

/* One coordinator dies and never comes back, now or at a point that it may reach soon. */
static void lose_coordinator(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    static const char *const with_all_votes[] = {"coordinator.voted", "coordinator.deciding",
                                                 "coordinator.proposed", "coordinator.asked",
                                                 "coordinator.granted"};
    struct node *node = subject;
    if (world->healed)
        return;
    node->once = true;
    if (!node_up(node))
        return;
    world_note(world, 14, "fault: %s will be gone for good", node->name);
    if (makes_orphans)
        node_crash_at(node, with_all_votes[world_between(world, 0, 4)],
                      (int64_t)world_between(world, 0, 2), (int64_t)world_between(world, 0, 6));
    else if (world_chance(world, PPM / 2))
        node_crash(node, 0);
    else
        arm(node, true, 3);
}

static void kill_server(struct world *world, void *subject, uint64_t generation, void *data)
{
    (void)data;
    struct database *database = subject;
    if (world->healed || database->generation != generation)
        return;
    if (mixture & 1u << FAULT_DB_FAILOVER && world_chance(world, PPM / 2))
        database_failover(database, any_length(world));
    else
        database_crash(database, any_length(world));
}

static void kill_coordinator(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    if (!world->healed && node_up(subject))
        node_crash(subject, any_absence(world));
}

void nemesis_asked_to_accept(struct node *agent)
{
    struct world *world = agent->world;
    if (node_up(agent) && world_chance(world, world->weather.accept_torn / 4))
        node_crash(agent, world_latency(world, 50 * MILLISECOND_US));
}

/* Whoever is to take what is seen for what is durable has to see it before it is gone, and the one
 * that was to hear of it must not come to his help. */
bool nemesis_accepting(struct database *database, const char *gtrid)
{
    struct world *world = database->world;
    if (!world_chance(world, world->weather.accept_torn))
        return false;
    static const uint64_t dies_within_us[] = {1, 1000, 30000, 500000};
    bool lost = world_chance(world, PPM / 2);
    world_note(world, lost, "fault: an acceptance at db%d is torn", database->index);
    if (!lost || world_chance(world, PPM / 2))
        world_after(world, world_latency(world, dies_within_us[world_between(world, 0, 3)]),
                    kill_server, database, database->generation, NULL);
    int coordinator = cluster_coordinator_of(world, gtrid);
    if (coordinator >= 0 && world_chance(world, PPM / 2))
        world_after(world, world_latency(world, 100 * MILLISECOND_US), kill_coordinator,
                    world->coordinators[coordinator], 0, NULL);
    return lost;
}

static void strike(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)subject, (void)number, (void)data;
    if (world->healed)
        return;
    static const enum fault sieges[] = {FAULT_CRASH_THREE, FAULT_CRASH_THREE, FAULT_CRASH_THREE,
                                        FAULT_SPLIT,       FAULT_CUT,         FAULT_DB_CRASH};
    enum fault fault = (enum fault)world_between(world, 0, FAULT_COUNT - 1);
    if (world->workload->besieged && world_chance(world, PPM / 2))
        trouble(world, sieges[world_between(world, 0, 5)]);
    else if (mixture & 1u << fault)
        trouble(world, fault);
    world_after(world, world_latency(world, pace_us), strike, NULL, 0, NULL);
}

void nemesis_begin(struct world *world)
{
    static const uint64_t paces_us[] = {100000, 400000, 1500000, 5000000};
    struct workload *workload = world->workload;
    workload->calm = !cluster_forgetful() && world_chance(world, PPM / 16);
    draw_weather(world);
    draw_torn_acceptances(world);
    mixture = (uint32_t)world_between(world, 0, (1u << FAULT_COUNT) - 1);
    /* A person's hand excuses much: few runs have it, and there it comes often enough to count. */
    mixture &= ~(1u << FAULT_MEDDLE);
    if (world_chance(world, PPM / 8))
        mixture |= 1u << FAULT_MEDDLE;
    if (workload->calm)
        mixture = 0;
    /* The rule for rows that may have gone holds while clocks are right to half of their age. What
     * nobody can decide by it keeps its coordinator from ending. */
    if (cluster_cleans())
        mixture &= ~(1u << FAULT_WALL_JUMP | 1u << FAULT_DRAIN);
    workload->forgetful = cluster_forgetful();
    workload->meddling = mixture & 1u << FAULT_MEDDLE;
    pace_us = paces_us[world_between(world, 0, 3)];
    workload->besieged =
        !workload->calm && world->protocols != PROTOCOLS_TWO_PHASE && world_chance(world, PPM / 3);
    if (workload->besieged)
        pace_us = paces_us[world_between(world, 1, 2)];
    makes_orphans = false;
    truant = NULL;
    if (cluster_cleans() && !workload->calm)
        world_after(world, world_between(world, 0, 4 * SECOND_US), play_truant,
                    any_participant(world), 0, NULL);
    world_note(world, mixture, "mixture of faults %x, pace %llu us%s", mixture,
               (unsigned long long)pace_us, workload->calm ? ", calm" : "");
    world_after(world, world_latency(world, 3 * SECOND_US), strike, NULL, 0, NULL);
    /* What nobody but it could decide then waits for it in vain: not where anything else needs an
     * operator. */
    if (!workload->calm && !workload->forgetful && !workload->meddling &&
        world->protocols != PROTOCOLS_TWO_PHASE && world_chance(world, PPM / 4)) {
        makes_orphans = world_chance(world, PPM * 2 / 3);
        world_after(world, SECOND_US + world_between(world, 0, 12 * SECOND_US), lose_coordinator,
                    any_coordinator(world), 0, NULL);
    }
}

/* It is a coordinator that tells the older of two processes to end. Where there is none they take
 * the database from each other for ever, until somebody stops one. */
static void stop_rivals(struct world *world)
{
    for (int i = 0; i < world->coordinator_count; i++)
        if (!cluster_gone(world, i))
            return;
    for (int i = 0; i < world->participant_count; i++)
        if (node_up(world->rivals[i]))
            node_crash(world->rivals[i], 0);
}

static void heal(struct node *node)
{
    node_spare(node);
    node_return(node, world_latency(node->world, SECOND_US));
}

void nemesis_end(struct world *world)
{
    world_note(world, 10, "the world is healed");
    world->healed = true;
    world->weather = (struct weather){.frame_max_us = 300, .work_max_us = 500, .disk_max_us = 500};
    network_join_all(world->network);
    for (int i = 0; i < world->coordinator_count; i++) {
        struct node *node = world->coordinators[i];
        heal(node);
        disk_slow(world->disks[i], 0);
        if (node->once && node_up(node))
            node_crash(node, 0);
    }
    stop_rivals(world);
    for (int i = 0; i < world->participant_count; i++) {
        heal(world->agents[i]);
        heal(world->rivals[i]);
        database_reconnect_now(world->databases[i]);
    }
    for (int i = 0; i < world->client_count; i++)
        heal(world->clients[i]);
}
