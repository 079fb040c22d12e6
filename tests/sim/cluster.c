#include "tests/sim/cluster.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "coordinator/server.h"
#include "core/check.h"
#include "participant/agent.h"
#include "tests/sim/database.h"
#include "tests/sim/disk.h"
#include "tests/sim/journeys.h"
#include "tests/sim/lookers.h"
#include "tests/sim/network.h"
#include "tests/sim/operators.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"
#include "tests/sim/saga_clients.h"
#include "tests/sim/workload.h"

/* How one run's processes are set up; drawn once, the same for every restart. */
static struct {
    uint64_t transaction_timeout_us, heartbeat_us, sweep_us, lock_timeout_us, retain_us;
    uint64_t patience_us, keep_us;
    int connections, checkpoint_every;
    int deaf; /* a participant that listens nowhere; -1: all do */
    uint64_t reported_us[MAX_COORDINATORS];
} setup;

/* ---- coordinators ---- */

static bool replay(void *self, const void *record, size_t size)
{
    struct node *node = self;
    struct error error = {0};
    if (server_replay(node->process, record, size, &error))
        return true;
    world_violation(node->world, "%s can't read its own journal: %s: %s", node->name, error.message,
                    error.detail);
    return false;
}

static void coordinator_start(struct node *node)
{
    struct world *world = node->world;
    struct disk *disk = world->disks[node->index];
    struct server_config config = {.cluster = CLUSTER_NAME,
                                   .coordinator = node->name,
                                   .transaction_timeout_us = setup.transaction_timeout_us,
                                   .heartbeat_us = setup.heartbeat_us,
                                   .retain_us = setup.retain_us,
                                   .loader = saga_pool_loader()};
    struct journal_port journal = disk_port(disk);
    struct link_port link = network_acceptor(world->network, node);
    node->process = server_new(&config, &node->host, &link);
    if (disk_open(disk, replay, node))
        server_start(node->process, &journal);
    saga_clients_define(node);
}

static void coordinator_stop(struct node *node)
{
    server_free(node->process);
}

static void coordinator_gone(struct node *node)
{
    disk_gone(node->world->disks[node->index]);
    network_gone(node->world->network, node);
}

static uint64_t coordinator_settle(struct node *node)
{
    return server_settle(node->process);
}

static bool coordinator_over(struct node *node)
{
    return node->draining && server_drained(node->process);
}

static const struct node_class coordinator_class = {.start = coordinator_start,
                                                    .stop = coordinator_stop,
                                                    .settle = coordinator_settle,
                                                    .over = coordinator_over,
                                                    .gone = coordinator_gone};

static void durable_arrives(struct world *world, void *subject, uint64_t position, void *data)
{
    (void)world, (void)data;
    struct node *node = subject;
    server_durable(node->process, position);
}

static void report_durable(struct node *node, uint64_t position)
{
    struct world *world = node->world;
    if (!node_up(node))
        return;
    /* Positions are reported in their order. */
    uint64_t *last_us = &setup.reported_us[node->index];
    uint64_t at_us = world->now_us + world_latency(world, MILLISECOND_US);
    if (at_us < *last_us)
        at_us = *last_us;
    *last_us = at_us;
    world_deliver(world, at_us - world->now_us, node, node->boot, durable_arrives, node, position,
                  NULL);
}

/* ---- agents ---- */

static struct backend *backend_of(const struct node *node)
{
    struct database *database = node->world->databases[node->index];
    return &database->backends[node == node->world->agents[node->index] ? BACKEND_AGENT
                                                                        : BACKEND_RIVAL];
}

static void agent_start(struct node *node)
{
    struct world *world = node->world;
    struct agent_config config = {.cluster = CLUSTER_NAME,
                                  .participant = node->name,
                                  .operations = bank_operations(),
                                  .connections = setup.connections,
                                  .heartbeat_us = setup.heartbeat_us,
                                  .sweep_us = setup.sweep_us,
                                  .barrier_keep_us = setup.keep_us,
                                  .patience_us = setup.patience_us};
    char address[64];
    network_address(node->index, address, sizeof(address));
    bool needed = world->protocols != PROTOCOLS_TWO_PHASE || world->operator_count > 0;
    bool listens = needed && node->index != setup.deaf;
    config.listen = listens ? address : NULL;
    struct link_port links[MAX_COORDINATORS];
    struct link_port door = network_acceptor(world->network, node);
    struct dial_port dial = network_dial(world->network, node);
    for (int i = 0; i < world->coordinator_count; i++)
        links[i] = network_connector(world->network, node, i, world->coordinators[i]);
    struct db_port port = backend_port(backend_of(node));
    node->process = agent_new(&config, &node->host, &port, links, world->coordinator_count,
                              listens ? &door : NULL, listens ? &dial : NULL);
    database_agent_started(backend_of(node));
}

static void agent_stop(struct node *node)
{
    agent_free(node->process);
}

static void agent_gone(struct node *node)
{
    database_agent_gone(backend_of(node));
    network_gone(node->world->network, node);
}

static uint64_t agent_settled(struct node *node)
{
    return agent_settle(node->process);
}

static bool agent_over(struct node *node)
{
    return agent_replaced(node->process) || (node->draining && agent_drained(node->process));
}

static const struct node_class agent_class = {.start = agent_start,
                                              .stop = agent_stop,
                                              .settle = agent_settled,
                                              .over = agent_over,
                                              .gone = agent_gone};

/* ---- frames ---- */

static void accepted(struct node *acceptor, uint64_t route, const void *frame, size_t size)
{
    if (acceptor->class == &agent_class)
        agent_door_frame(acceptor->process, route, frame, size);
    else
        server_frame(acceptor->process, route, frame, size);
}

static void connected(struct node *connector, int link, const void *frame, size_t size)
{
    if (connector->class == &agent_class)
        agent_frame(connector->process, link, frame, size);
    else if (connector->class == &looker_class)
        looker_frame(connector, frame, size);
    else if (connector->class == &operator_class)
        operator_frame(connector, frame, size);
    else
        clients_frame(connector, frame, size);
}

static void broken(struct node *connector, int link)
{
    if (connector->class == &agent_class)
        agent_broken(connector->process, link);
    else if (connector->class == &looker_class)
        looker_broken(connector);
    else if (connector->class == &operator_class)
        operator_broken(connector);
    else
        clients_broken(connector);
}

static void line_connected(struct node *connector, int line, const void *frame, size_t size)
{
    agent_line_frame(connector->process, line, frame, size);
}

static void line_broken(struct node *connector, int line)
{
    agent_line_broken(connector->process, line);
}

/* ---- the cluster ---- */

static struct node *node_new(struct world *world, const struct node_class *class,
                             const char *prefix, int index)
{
    struct node *node = xcalloc(1, sizeof(*node));
    char name[32];
    snprintf(name, sizeof(name), "%s%d", prefix, index);
    node_init(node, world, class, name, index);
    return node;
}

static void draw_setup(struct world *world)
{
    static const int connections[] = {1, 2, 4, 16};
    memset(&setup, 0, sizeof(setup));
    setup.transaction_timeout_us = world_between(world, 1, 4) * SECOND_US;
    setup.heartbeat_us = world_between(world, 2, 5) * 100 * MILLISECOND_US;
    setup.sweep_us = world_between(world, 5, 40) * 100 * MILLISECOND_US;
    setup.lock_timeout_us = world_between(world, 1, 8) * 100 * MILLISECOND_US;
    setup.connections = connections[world_between(world, 0, 3)];
    setup.retain_us = world_chance(world, PPM / 8) ? world_between(world, 1, 5) * SECOND_US
                                                   : 7 * 24 * 3600 * SECOND_US;
    setup.checkpoint_every = (int)world_between(world, 4, 80);
    setup.patience_us = world_between(world, 2, 15) * 100 * MILLISECOND_US;
}

bool cluster_forgetful(void)
{
    return setup.retain_us < 3600 * SECOND_US;
}

bool cluster_cleans(void)
{
    return setup.keep_us < 3600 * SECOND_US;
}

uint64_t cluster_keep_us(void)
{
    return setup.keep_us;
}

bool cluster_deaf(void)
{
    return setup.deaf >= 0;
}

/* A third of the worlds has two-phase transactions only, a third both kinds. */
static void draw_protocols(struct world *world)
{
    static const enum protocols drawn[] = {PROTOCOLS_TWO_PHASE, PROTOCOLS_THREE_PHASE,
                                           PROTOCOLS_BOTH};
    enum protocols protocols = drawn[world_between(world, 0, 2)];
    if (world->protocols == PROTOCOLS_ANY)
        world->protocols = protocols;
    setup.keep_us = 7 * 24 * 3600 * SECOND_US;
    if (world->protocols != PROTOCOLS_TWO_PHASE && !cluster_forgetful() &&
        world_chance(world, PPM / 12))
        setup.keep_us = world_between(world, 4, 16) * SECOND_US;
    setup.deaf = -1;
    if (world->protocols == PROTOCOLS_BOTH && world_chance(world, PPM / 16))
        setup.deaf = (int)world_between(world, 0, (uint64_t)world->participant_count - 1);
}

static void add_foreign(struct world *world)
{
    for (int i = 0; i < world->participant_count; i++) {
        database_add_foreign(world->databases[i], "somebody else's");
        database_add_foreign(world->databases[i], "troth.other.c0.17.4.0");
    }
    world->workload->foreign_count = 2;
}

/* Half of the worlds without sagas have some: of what they tear, no saga could be made whole. They
 * come in at every participant's door. From a chance of its own, so that a world without any is the
 * same as ever. */
static void draw_operators(struct world *world)
{
    struct rng rng = {world->seed * 2 + 0x0be7a70a5u};
    int drawn = rng_chance(&rng, PPM / 2) ? (int)rng_between(&rng, 1, MAX_OPERATORS) : 0;
    if (world->operator_count == 0 && saga_clients_none(world))
        world->operator_count = drawn;
    if (world->operator_count <= 0) {
        world->operator_count = 0;
        return;
    }
    setup.deaf = -1;
    for (int i = 0; i < world->operator_count; i++)
        world->operators[i] = node_new(world, &operator_class, "operator-", i);
}

void cluster_init(struct world *world)
{
    static const struct network_events events = {accepted, connected, broken, line_connected,
                                                 line_broken};
    draw_setup(world);
    world->coordinator_count = world_chance(world, PPM / 4) ? 2 : 1;
    world->participant_count = (int)world_between(world, 2, MAX_PARTICIPANTS);
    world->client_count = (int)world_between(world, 1, MAX_CLIENTS);
    draw_protocols(world);
    world->journeys = journeys_new(world);
    if (!journeys_none(world))
        world->client_count = MAX_CLIENTS; /* some of them as services of others */
    world->registers = registers_new(world);
    world->book = saga_book_new(world);
    world->orders = order_book_new(world);
    world->desk = desk_new(world);
    world->network = network_new(world, &events);
    world->workload = workload_new(world);
    for (int i = 0; i < world->coordinator_count; i++) {
        world->coordinators[i] = node_new(world, &coordinator_class, "c", i);
        world->disks[i] =
            disk_new(world, world->coordinators[i], setup.checkpoint_every, report_durable);
    }
    for (int i = 0; i < world->participant_count; i++) {
        world->agents[i] = node_new(world, &agent_class, "p", i);
        world->rivals[i] = node_new(world, &agent_class, "p", i);
        world->rivals[i]->once = true;
        world->rivals[i]->boot = 100; /* so that a trace tells the two apart */
        world->databases[i] = database_new(world, i, setup.connections, setup.lock_timeout_us);
        world->databases[i]->backends[BACKEND_AGENT].node = world->agents[i];
        world->databases[i]->backends[BACKEND_RIVAL].node = world->rivals[i];
    }
    for (int i = 0; i < world->client_count; i++)
        world->clients[i] = node_new(world, &client_class, "cli-", i);
    if (world->protocols != PROTOCOLS_TWO_PHASE)
        world->looker = node_new(world, &looker_class, "looker", 0);
    world->saga_clients = saga_clients_new(world, !cluster_forgetful() && !cluster_cleans());
    if (world_chance(world, PPM / 3))
        add_foreign(world);
    draw_operators(world);
}

static void node_free(struct node *node)
{
    node_fini(node);
    free(node);
}

void cluster_fini(struct world *world)
{
    if (world->looker)
        node_free(world->looker);
    for (int i = 0; i < world->operator_count; i++)
        node_free(world->operators[i]);
    for (int i = 0; i < world->client_count; i++)
        node_free(world->clients[i]);
    for (int i = 0; i < world->participant_count; i++) {
        node_free(world->agents[i]);
        node_free(world->rivals[i]);
        database_free(world->databases[i]);
    }
    for (int i = 0; i < world->coordinator_count; i++) {
        node_free(world->coordinators[i]);
        disk_free(world->disks[i]);
    }
    network_free(world->network);
    workload_free(world->workload);
    registers_free(world->registers);
    saga_book_free(world->book);
    order_book_free(world->orders);
    desk_free(world->desk);
    saga_clients_free(world->saga_clients);
    journeys_free(world->journeys);
}

void cluster_start(struct world *world)
{
    for (int i = 0; i < world->coordinator_count; i++)
        node_start(world->coordinators[i]);
    for (int i = 0; i < world->participant_count; i++)
        node_start(world->agents[i]);
    for (int i = 0; i < world->client_count; i++)
        node_start(world->clients[i]);
    if (world->looker)
        node_start(world->looker);
    for (int i = 0; i < world->operator_count; i++)
        node_start(world->operators[i]);
}

static bool not_yet(char *why, size_t size, const char *name, const char *what, size_t count)
{
    snprintf(why, size, "%s: %zu %s", name, count, what);
    return false;
}

int cluster_coordinator_of(const struct world *world, const char *gtrid)
{
    struct gid gid;
    for (int i = 0; gtrid_parse(gtrid, &gid) && i < world->coordinator_count; i++)
        if (strcmp(world->coordinators[i]->name, gid.coordinator) == 0)
            return i;
    return -1;
}

bool cluster_gone(const struct world *world, int coordinator)
{
    return world->coordinators[coordinator]->once && !node_up(world->coordinators[coordinator]);
}

static bool coordinators_at_rest(const struct world *world, char *why, size_t size)
{
    for (int i = 0; i < world->coordinator_count; i++) {
        const struct node *node = world->coordinators[i];
        if (cluster_gone(world, i))
            continue;
        if (!node_up(node) || !server_ready(node->process))
            return not_yet(why, size, node->name, "times not ready", 1);
        if (server_undecided(node->process) && !cluster_cleans())
            return not_yet(why, size, node->name, "undecided", server_undecided(node->process));
        /* What a person's hand has ended otherwise is never applied. */
        if (server_unapplied(node->process) && !world->workload->meddling &&
            !order_book_forced_any(world))
            return not_yet(why, size, node->name, "unapplied", server_unapplied(node->process));
        if (node->draining)
            return not_yet(why, size, node->name, "drains that do not end", 1);
    }
    return true;
}

bool cluster_at_rest(const struct world *world, char *why, size_t size)
{
    if (!coordinators_at_rest(world, why, size))
        return false;
    for (int i = 0; i < world->participant_count; i++) {
        const struct node *node = world->agents[i];
        const struct database *database = world->databases[i];
        if (!node_up(node) || database->backends[BACKEND_AGENT].connected_boot != node->boot)
            return not_yet(why, size, node->name, "times down", 1);
        if (node_up(world->rivals[i]))
            return not_yet(why, size, node->name, "rival that does not end", 1);
        if (database_prepared_ours(database))
            return not_yet(why, size, node->name, "prepared transactions left",
                           (size_t)database_prepared_ours(database));
        if (database_locked(database))
            return not_yet(why, size, node->name, "times work or locks left", 1);
        if (node->draining)
            return not_yet(why, size, node->name, "drains that do not end", 1);
    }
    for (int i = 0; i < world->client_count; i++)
        if (!clients_connected(world->clients[i]) && !clients_abandoned(world->clients[i]))
            return not_yet(why, size, world->clients[i]->name, "times not connected", 1);
    const char *id = NULL;
    if (saga_book_unended(world->book, world, &id))
        return not_yet(why, size, id, "times not ended", 1);
    if (!workload_answered(world->workload))
        return not_yet(why, size, "clients", "times no answer", 1);
    return true;
}

static void drain(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct node *node = subject;
    if (node->class != &coordinator_class && node->class != &agent_class)
        return;
    world_note(world, 9, "%s drains", node->name);
    node->draining = true;
    if (node->class == &coordinator_class)
        server_drain(node->process);
    else
        agent_drain(node->process);
}

void cluster_drain(struct node *node)
{
    world_deliver(node->world, 1, node, node->boot, drain, node, 0, NULL);
}
