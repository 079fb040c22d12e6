#include "tests/sim/simulate.h"

#include <string.h>

#include "core/planted.h"
#include "tests/sim/cluster.h"
#include "tests/sim/database.h"
#include "tests/sim/journeys.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/node.h"
#include "tests/sim/operators.h"
#include "tests/sim/order_book.h"
#include "tests/sim/saga_clients.h"
#include "tests/sim/workload.h"
#include "tests/sim/world.h"

enum planted_bug planted_bug;

/* Runs until nothing is owed anywhere, or says what still is when the time is over. */
static void come_to_rest(struct world *world, uint64_t limit_us, const char *after)
{
    uint64_t until_us = world->now_us + limit_us;
    char why[256] = "";
    while (!world->broken && world->now_us < until_us) {
        world_run(world, world->now_us + 250 * MILLISECOND_US);
        if (cluster_at_rest(world, why, sizeof(why)))
            return;
    }
    world_complaint(world, "no rest within %llu s after %s: %s",
                    (unsigned long long)(limit_us / SECOND_US), after, why);
}

/* Where coordinators forget, branches are held for ever: an operator must end them, and the others
 * must find their end without one. */
static void resolve_held(struct world *world)
{
    struct workload *workload = world->workload;
    for (int rounds = 0; rounds < 10 && !world->broken; rounds++) {
        world_run(world, world->now_us + 5 * SECOND_US);
        int prepared = 0;
        for (int i = 0; i < world->participant_count; i++)
            prepared += database_prepared_ours(world->databases[i]);
        if (prepared == 0)
            return;
        workload->resolving = true;
        workload->held_count = 0;
        workload_inspect(workload);
        world_run(world, world->now_us + SECOND_US);
        workload->resolving = false;
        for (int i = 0; i < world->participant_count; i++)
            database_resolve_held(world->databases[i]);
    }
}

/* Three-phase transactions end by themselves when the world is healed, though their coordinator may
 * be gone for good: as long as it and nobody else is missing there is a majority. Only where a site
 * may have cleaned its row, and so can't tell, an operator must look at all registers together. */
static void finish_three_phase(struct world *world, uint64_t limit_us)
{
    uint64_t until_us = world->now_us + limit_us;
    while (!world->broken) {
        int prepared = 0;
        for (int i = 0; i < world->participant_count; i++)
            prepared += database_prepared_three_phase(world->databases[i]);
        if (prepared == 0)
            return;
        if (world->now_us >= until_us && cluster_cleans() && world->operator_count > 0)
            return; /* by orders */
        if (world->now_us >= until_us && cluster_cleans()) {
            for (int i = 0; i < world->participant_count; i++)
                database_end_three_phase(world->databases[i]);
            return;
        }
        if (world->now_us >= until_us) {
            world_complaint(world, "%d three-phase branches are not ended within %llu s", prepared,
                            (unsigned long long)(limit_us / SECOND_US));
            return;
        }
        world_run(world, world->now_us + 250 * MILLISECOND_US);
    }
}

/* What nobody else will end, people do by their orders, and read the lists. */
static void work_off(struct world *world, uint64_t limit_us, const char *what)
{
    uint64_t until_us = world->now_us + limit_us;
    while (!world->broken && !desk_empty(world->desk) && world->now_us < until_us)
        world_run(world, world->now_us + 250 * MILLISECOND_US);
    if (!desk_empty(world->desk))
        world_complaint(world, "operators could not %s within %llu s", what,
                        (unsigned long long)(limit_us / SECOND_US));
}

static void clear(struct world *world)
{
    desk_sober(world->desk);
    for (int rounds = 0; rounds < 8 && !world->broken; rounds++) {
        world_run(world, world->now_us + 5 * SECOND_US);
        for (int i = 0; rounds > 0 && i < world->participant_count; i++)
            database_end_misplaced(world->databases[i]);
        if (desk_clear(world->desk) == 0)
            return;
        work_off(world, 60 * SECOND_US, "end what is prepared");
    }
}

static void read_lists(struct world *world)
{
    desk_read_lists(world->desk);
    work_off(world, 30 * SECOND_US, "read the lists");
    if (!world->broken)
        order_book_check(world);
}

/* Two-phase branches of a coordinator that is gone are blocked, as they must be. Somebody who looks
 * at its journal ends them. */
static void bury(struct world *world)
{
    for (int i = 0; i < world->coordinator_count; i++)
        for (int k = 0; k < world->participant_count && cluster_gone(world, i); k++)
            database_bury(world->databases[k], world->coordinators[i]->name);
}

static void count(const struct world *world, struct verdict *verdict)
{
    const struct workload *workload = world->workload;
    verdict->events = world->events_run;
    verdict->virtual_us = world->now_us;
    verdict->transfers = workload->transfer_count;
    verdict->committed = workload->committed;
    verdict->aborted = workload->aborted;
    verdict->rejected = workload->rejected;
    verdict->unknown = workload->unknown;
    verdict->hazards = workload->hazards;
    verdict->lost = workload->lost;
    verdict->three_phase = registers_count(world->registers);
    verdict->sagas = saga_clients_count(world);
    verdict->orders = order_book_count(world);
    verdict->journeys = journeys_count(world);
    for (int i = 0; i < world->coordinator_count; i++) {
        verdict->restarts += (int)world->coordinators[i]->boot - 1;
        verdict->gone += cluster_gone(world, i);
    }
    for (int i = 0; i < world->participant_count; i++)
        verdict->restarts += (int)world->agents[i]->boot - 1;
}

static void run(struct world *world)
{
    struct workload *workload = world->workload;
    workload->transfer_limit = (int)world_between(world, 20, 120);
    uint64_t faults_us = world_between(world, 5, 20) * SECOND_US;
    workload->think_us =
        faults_us * 3 * (uint64_t)world->client_count / (uint64_t)workload->transfer_limit;
    nemesis_begin(world);
    cluster_start(world);
    workload_begin(workload);
    saga_clients_begin(world);
    world_run(world, faults_us);
    nemesis_end(world);
    saga_clients_heal(world);
    /* Sessions are made again, and what was paused or down comes back. */
    world_run(world, world->now_us + 8 * SECOND_US);
    finish_three_phase(world, 4 * SECOND_US);
    if (world->operator_count > 0) {
        clear(world);
    } else {
        if (workload->forgetful)
            resolve_held(world);
        bury(world);
    }
    come_to_rest(world, 40 * SECOND_US, "the faults");
    workload_ask_again(workload);
    come_to_rest(world, 10 * SECOND_US, "what was unknown");
    workload_probe(workload);
    come_to_rest(world, 15 * SECOND_US, "the probes");
    saga_clients_probe(world);
    come_to_rest(world, 40 * SECOND_US, "the sagas that were begun last");
    /* A sweep later every participant has told how things are. */
    world_run(world, world->now_us + 5 * SECOND_US);
    workload->resting = !world->broken && !cluster_cleans();
    workload_inspect(workload);
    come_to_rest(world, 5 * SECOND_US, "the questions");
    if (!world->broken && world->operator_count > 0)
        read_lists(world);
    if (!world->broken)
        workload_check(workload);
    if (!world->broken)
        saga_clients_check(world);
}

void simulate(uint64_t seed, const struct run_options *options, struct verdict *verdict)
{
    static const struct run_options plain;
    struct world world;
    if (!options)
        options = &plain;
    memset(verdict, 0, sizeof(*verdict));
    world_init(&world, seed, options->tracing);
    world.safety_only = options->safety_only;
    world.protocols = options->protocols;
    world.workloads = options->workloads;
    if (options->operators > 0 && options->workloads != WORKLOADS_STEPS)
        world.workloads = WORKLOADS_TRANSFERS;
    world.operator_count = options->operators;
    cluster_init(&world);
    run(&world);
    count(&world, verdict);
    verdict->broken = world.broken;
    verdict->hash = world.hash ^ rng_next(&world.rng);
    memcpy(verdict->violation, world.violation, sizeof(verdict->violation));
    cluster_fini(&world);
    world_fini(&world);
}
