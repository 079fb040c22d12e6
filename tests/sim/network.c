#include "tests/sim/network.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/map.h"

enum { LINKS = MAX_COORDINATORS, ROUTES = 1 << 16 };

struct connection {
    struct network *network;
    struct node *connector, *acceptor;
    int link;
    uint64_t connector_boot, acceptor_boot; /* the processes that it joins; 0: not made yet */
    uint64_t route;                         /* its name at the acceptor; 0: not connected */
    uint64_t last_up_us, last_down_us;      /* arrival of the newest frame: what order means */
    bool wedged, cut_up, cut_down;
};

struct acceptor {
    struct network *network;
    struct node *node;
};

struct network {
    struct world *world;
    struct network_events events;
    struct connection connections[MAX_NODES][LINKS];
    struct acceptor acceptors[MAX_COORDINATORS];
    struct connection *routes[ROUTES]; /* by route; they are never used again */
    uint64_t route_count;
};

struct frame {
    size_t size;
    uint64_t route;
    unsigned char bytes[];
};

struct network *network_new(struct world *world, const struct network_events *events)
{
    struct network *network = xcalloc(1, sizeof(*network));
    network->world = world;
    network->events = *events;
    return network;
}

void network_free(struct network *network)
{
    free(network);
}

static int place(const struct node *node)
{
    const struct world *world = node->world;
    for (int i = 0; i < MAX_PARTICIPANTS; i++)
        if (world->agents[i] == node)
            return i;
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (world->clients[i] == node)
            return MAX_PARTICIPANTS + i;
    for (int i = 0; i < MAX_PARTICIPANTS; i++)
        if (world->rivals[i] == node)
            return MAX_PARTICIPANTS + MAX_CLIENTS + i;
    CHECK(!"a connector is an agent or a client");
}

static struct connection *connection_of(struct network *network, const struct node *node, int link)
{
    CHECK(link >= 0 && link < LINKS);
    return &network->connections[place(node)][link];
}

/* A new connection to whoever listens there now. */
static bool join(struct connection *connection)
{
    struct network *network = connection->network;
    if (!node_up(connection->acceptor) || network->route_count + 1 >= ROUTES)
        return false;
    connection->acceptor_boot = node_boot(connection->acceptor);
    connection->route = ++network->route_count;
    network->routes[connection->route] = connection;
    return true;
}

static bool current(const struct connection *connection)
{
    return connection->route != 0 && node_up(connection->acceptor) &&
           connection->acceptor_boot == node_boot(connection->acceptor);
}

static void arrive_up(struct world *world, void *subject, uint64_t boot, void *data)
{
    struct connection *connection = subject;
    struct frame *frame = data;
    /* What waited in the connector's socket goes out on the connection that replaced the old one;
     * what had left already keeps its route as long as that process listens. */
    bool same = connection->acceptor_boot == node_boot(connection->acceptor);
    if (connection->cut_up || (!same && connection->wedged)) {
        world_note(world, 0, "net %s lost on the way", connection->connector->name);
        return;
    }
    if (!same || connection->route == 0) {
        if (boot != connection->connector_boot || !join(connection))
            return;
        frame->route = 0;
    }
    if (frame->route == 0)
        frame->route = connection->route;
    connection->network->events.accepted(connection->acceptor, frame->route, frame->bytes,
                                         frame->size);
}

static void arrive_down(struct world *world, void *subject, uint64_t route, void *data)
{
    struct connection *connection = subject;
    const struct frame *frame = data;
    if (connection->cut_down || connection->route != route || connection->wedged) {
        world_note(world, 0, "net %s lost on the way", connection->connector->name);
        return;
    }
    connection->network->events.connected(connection->connector, connection->link, frame->bytes,
                                          frame->size);
}

static uint64_t delay_of(struct world *world, uint64_t *last_us)
{
    const struct weather *weather = &world->weather;
    uint64_t delay_us = 30 + world_latency(world, weather->frame_max_us);
    if (world_chance(world, weather->frame_stalled))
        delay_us += world_between(world, 100 * MILLISECOND_US, 3 * SECOND_US);
    uint64_t at_us = world->now_us + delay_us;
    if (world_chance(world, weather->frame_reordered))
        return delay_us + world_latency(world, 200 * MILLISECOND_US);
    if (at_us < *last_us)
        at_us = *last_us;
    *last_us = at_us;
    return at_us - world->now_us;
}

/* Sends one way: up to the acceptor or down to the connector. */
static void carry(struct connection *connection, bool up, const void *bytes, size_t size)
{
    struct world *world = connection->network->world;
    int copies = 1 + world_chance(world, world->weather.frame_doubled);
    if (world_chance(world, world->weather.frame_lost))
        copies = 0;
    uint64_t digest = hash_bytes(bytes, size);
    world_note(world, digest, "net %s %s %s: %zu bytes x %d", connection->connector->name,
               up ? "->" : "<-", connection->acceptor->name, size, copies);
    for (int i = 0; i < copies; i++) {
        struct frame *frame = xmalloc(sizeof(*frame) + size);
        frame->size = size;
        frame->route = connection->route;
        memcpy(frame->bytes, bytes, size);
        uint64_t delay_us =
            delay_of(world, up ? &connection->last_up_us : &connection->last_down_us);
        if (i > 0)
            delay_us += world_latency(world, 2 * SECOND_US);
        if (up)
            world_deliver(world, delay_us, connection->acceptor, 0, arrive_up, connection,
                          connection->connector_boot, frame);
        else
            world_deliver(world, delay_us, connection->connector, connection->connector_boot,
                          arrive_down, connection, connection->route, frame);
    }
}

static bool connector_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct connection *connection = self;
    struct world *world = connection->network->world;
    CHECK(route == 0);
    if (!node_effect(connection->connector))
        return true;
    if (world_chance(world, world->weather.frame_refused))
        return false;
    if (!current(connection) && !connection->wedged)
        join(connection);
    carry(connection, true, frame, size);
    return true;
}

static void connector_redial(void *self)
{
    struct connection *connection = self;
    if (!node_effect(connection->connector))
        return;
    world_note(connection->network->world, 0, "net %s redials %s", connection->connector->name,
               connection->acceptor->name);
    connection->wedged = false;
    connection->route = 0;
    join(connection);
}

static bool acceptor_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct acceptor *acceptor = self;
    struct network *network = acceptor->network;
    if (!node_effect(acceptor->node))
        return true;
    CHECK(route > 0 && route <= network->route_count);
    struct connection *connection = network->routes[route];
    /* A route that is gone swallows frames, as the socket does. */
    if (connection->acceptor == acceptor->node && connection->route == route)
        carry(connection, false, frame, size);
    return true;
}

struct link_port network_acceptor(struct network *network, struct node *node)
{
    struct acceptor *acceptor = &network->acceptors[node->index];
    *acceptor = (struct acceptor){network, node};
    return (struct link_port){.self = acceptor, .send = acceptor_send};
}

struct link_port network_connector(struct network *network, struct node *node, int link,
                                   struct node *acceptor)
{
    struct connection *connection = connection_of(network, node, link);
    bool cut_up = connection->cut_up, cut_down = connection->cut_down;
    *connection = (struct connection){.network = network,
                                      .connector = node,
                                      .acceptor = acceptor,
                                      .link = link,
                                      .connector_boot = node_boot(node),
                                      .cut_up = cut_up,
                                      .cut_down = cut_down};
    return (struct link_port){
        .self = connection, .send = connector_send, .redial = connector_redial};
}

static void notice(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)data;
    struct node *connector = subject;
    world->network->events.broken(connector, (int)number);
}

void network_break(struct network *network, struct node *connector, int link, bool wedged)
{
    struct connection *connection = connection_of(network, connector, link);
    struct world *world = network->world;
    if (!connection->connector)
        return; /* a client dials its own coordinator only */
    connection->route = 0;
    connection->wedged = wedged;
    /* The socket's statistics tell of a break; a wedged one is only missed. */
    if (!wedged && node_up(connector))
        world_deliver(world, world_latency(world, 50 * MILLISECOND_US), connector,
                      node_boot(connector), notice, connector, (uint64_t)link, NULL);
}

void network_gone(struct network *network, struct node *node)
{
    struct world *world = network->world;
    for (int i = 0; i < MAX_NODES; i++)
        for (int link = 0; link < LINKS; link++) {
            struct connection *connection = &network->connections[i][link];
            if (connection->acceptor != node || !node_up(connection->connector))
                continue;
            if (!world->healed && world_chance(world, PPM / 4))
                connection->wedged = true;
            else if (world_chance(world, PPM / 2))
                network_break(network, connection->connector, link, false);
        }
}

void network_cut(struct network *network, struct node *connector, int link, bool up, bool down)
{
    struct connection *connection = connection_of(network, connector, link);
    connection->cut_up = up;
    connection->cut_down = down;
}

void network_join_all(struct network *network)
{
    for (int i = 0; i < MAX_NODES; i++)
        for (int link = 0; link < LINKS; link++) {
            struct connection *connection = &network->connections[i][link];
            connection->cut_up = connection->cut_down = connection->wedged = false;
        }
}
