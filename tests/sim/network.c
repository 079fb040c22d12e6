#include "tests/sim/network.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/map.h"

enum { ROUTES = 1 << 17 };

/* Made by one process of its connector; late frames of it may arrive after that one has died. */
struct connection {
    struct connection *older; /* all of them, newest first */
    struct network *network;
    struct node *connector, *acceptor;
    int link;     /* as its connector calls it */
    bool line;    /* it leads to an address: `listener` */
    int listener; /* the participant whose door it is */
    bool over;    /* hung up, or its connector has died */
    bool wedged;
    uint64_t connector_boot, acceptor_boot; /* the processes that it joins; 0: not made yet */
    uint64_t route;                         /* its name at the acceptor; 0: not connected */
    uint64_t last_up_us, last_down_us;      /* arrival of the newest frame: what order means */
};

/* A node that others connect to, and its lines to others. */
struct station {
    struct network *network;
    struct node *node;
    struct connection *lines[LIMIT_LINES];
};

struct network {
    struct world *world;
    struct network_events events;
    struct connection *newest;
    struct station stations[MAX_NODES];
    uint8_t cuts[MAX_NODES][MAX_NODES]; /* from, to: how many cuts there are */
    struct connection *routes[ROUTES];  /* by route; they are never used again */
    uint64_t route_count;
};

struct frame {
    struct node *acceptor;
    uint64_t acceptor_boot, route; /* when it left */
    size_t size;
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
    while (network->newest) {
        struct connection *connection = network->newest;
        network->newest = connection->older;
        free(connection);
    }
    free(network);
}

static int place(const struct node *node)
{
    const struct world *world = node->world;
    for (int i = 0; i < MAX_COORDINATORS; i++)
        if (world->coordinators[i] == node)
            return i;
    for (int i = 0; i < MAX_PARTICIPANTS; i++)
        if (world->agents[i] == node)
            return MAX_COORDINATORS + i;
    for (int i = 0; i < MAX_PARTICIPANTS; i++)
        if (world->rivals[i] == node)
            return MAX_COORDINATORS + MAX_PARTICIPANTS + i;
    for (int i = 0; i < MAX_CLIENTS; i++)
        if (world->clients[i] == node)
            return MAX_COORDINATORS + 2 * MAX_PARTICIPANTS + i;
    for (int i = 0; i < MAX_OPERATORS; i++)
        if (world->operators[i] == node)
            return MAX_COORDINATORS + 2 * MAX_PARTICIPANTS + MAX_CLIENTS + i;
    CHECK(world->looker == node);
    return MAX_NODES - 1;
}

static bool is_cut(const struct connection *connection, bool up)
{
    int a = place(connection->connector), b = place(connection->acceptor);
    return connection->network->cuts[up ? a : b][up ? b : a] > 0;
}

/* An address leads to one of the processes that listen there, if any does. */
static void choose_listener(struct connection *connection)
{
    struct world *world = connection->network->world;
    struct node *agent = world->agents[connection->listener];
    struct node *rival = world->rivals[connection->listener];
    connection->acceptor = agent;
    if (node_up(rival) && (!node_up(agent) || world_chance(world, PPM / 2)))
        connection->acceptor = rival;
}

/* A new connection to whoever listens there now. */
static bool join(struct connection *connection)
{
    struct network *network = connection->network;
    if (connection->line)
        choose_listener(connection);
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

static void lost_on_the_way(const struct connection *connection)
{
    world_note(connection->network->world, 0, "net %s lost on the way",
               connection->connector->name);
}

static void arrive_up(struct world *world, void *subject, uint64_t boot, void *data)
{
    (void)world, (void)boot;
    struct connection *connection = subject;
    struct frame *frame = data;
    struct node *acceptor = frame->acceptor;
    /* What waited in the connector's socket goes out on the connection that replaced the old one;
     * what had left already keeps its route as long as that process listens. */
    bool same = frame->route != 0 && frame->acceptor_boot == node_boot(acceptor);
    if (is_cut(connection, true) || (!same && connection->wedged)) {
        lost_on_the_way(connection);
        return;
    }
    if (!same) {
        if (connection->over || (!current(connection) && !join(connection)) ||
            connection->acceptor != acceptor)
            return;
        frame->route = connection->route;
    }
    connection->network->events.accepted(acceptor, frame->route, frame->bytes, frame->size);
}

static void arrive_down(struct world *world, void *subject, uint64_t route, void *data)
{
    (void)world;
    struct connection *connection = subject;
    const struct frame *frame = data;
    if (connection->over)
        return;
    if (is_cut(connection, false) || connection->route != route || connection->wedged) {
        lost_on_the_way(connection);
        return;
    }
    const struct network_events *events = &connection->network->events;
    (connection->line ? events->line_connected : events->connected)(
        connection->connector, connection->link, frame->bytes, frame->size);
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
        *frame = (struct frame){.acceptor = connection->acceptor,
                                .acceptor_boot = connection->acceptor_boot,
                                .route = connection->route,
                                .size = size};
        memcpy(frame->bytes, bytes, size);
        uint64_t delay_us =
            delay_of(world, up ? &connection->last_up_us : &connection->last_down_us);
        if (i > 0)
            delay_us += world_latency(world, 2 * SECOND_US);
        if (up)
            world_deliver(world, delay_us, connection->acceptor, 0, arrive_up, connection, 0,
                          frame);
        else
            world_deliver(world, delay_us, connection->connector, connection->connector_boot,
                          arrive_down, connection, connection->route, frame);
    }
}

static bool connector_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct connection *connection = self;
    struct world *world = connection->network->world;
    CHECK(route == 0 && !connection->over);
    if (!node_effect(connection->connector))
        return true;
    if (world_chance(world, world->weather.frame_refused))
        return false;
    if (!current(connection) && !connection->wedged) {
        connection->route = 0;
        join(connection);
    }
    carry(connection, true, frame, size);
    return true;
}

static void connector_redial(void *self)
{
    struct connection *connection = self;
    CHECK(!connection->over);
    if (!node_effect(connection->connector))
        return;
    connection->wedged = false;
    connection->route = 0;
    join(connection);
    world_note(connection->network->world, 0, "net %s redials %s", connection->connector->name,
               connection->acceptor->name);
}

static bool acceptor_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct station *station = self;
    struct network *network = station->network;
    if (!node_effect(station->node))
        return true;
    CHECK(route > 0 && route <= network->route_count);
    struct connection *connection = network->routes[route];
    /* A route that is gone swallows frames, as the socket does. */
    if (connection->acceptor == station->node && connection->route == route && !connection->over)
        carry(connection, false, frame, size);
    return true;
}

static struct station *station_of(struct network *network, struct node *node)
{
    struct station *station = &network->stations[place(node)];
    station->network = network;
    station->node = node;
    return station;
}

struct link_port network_acceptor(struct network *network, struct node *node)
{
    return (struct link_port){.self = station_of(network, node), .send = acceptor_send};
}

static struct connection *connection_new(struct network *network, struct node *node, int link)
{
    struct connection *connection = xcalloc(1, sizeof(*connection));
    *connection = (struct connection){.older = network->newest,
                                      .network = network,
                                      .connector = node,
                                      .link = link,
                                      .connector_boot = node_boot(node)};
    network->newest = connection;
    return connection;
}

static struct link_port port_of(struct connection *connection)
{
    return (struct link_port){
        .self = connection, .send = connector_send, .redial = connector_redial};
}

struct link_port network_connector(struct network *network, struct node *node, int link,
                                   struct node *acceptor)
{
    struct connection *connection = connection_new(network, node, link);
    connection->acceptor = acceptor;
    return port_of(connection);
}

/* ---- lines ---- */

static const char address_format[] = "tcp://sim:%d";

void network_address(int index, char *text, size_t size)
{
    snprintf(text, size, address_format, 7000 + index);
}

static int listener_of(const struct world *world, const char *address)
{
    char known[64];
    for (int i = 0; i < world->participant_count; i++) {
        network_address(i, known, sizeof(known));
        if (strcmp(known, address) == 0)
            return i;
    }
    return -1;
}

static bool line_dial(void *self, int line, const char *address, struct link_port *link)
{
    struct station *station = self;
    struct network *network = station->network;
    CHECK(line >= 0 && line < LIMIT_LINES && !station->lines[line]);
    int listener = listener_of(network->world, address);
    if (listener < 0) {
        world_violation(network->world, "%s dials %s, which nobody gave it", station->node->name,
                        address);
        return false;
    }
    struct connection *connection = connection_new(network, station->node, line);
    connection->line = true;
    connection->listener = listener;
    connection->acceptor = network->world->agents[listener];
    station->lines[line] = connection;
    *link = port_of(connection);
    if (!node_effect(station->node))
        return true;
    world_note(network->world, (uint64_t)line, "net %s dials %s on line %d", station->node->name,
               address, line);
    join(connection);
    return true;
}

static void line_hang_up(void *self, int line)
{
    struct station *station = self;
    CHECK(line >= 0 && line < LIMIT_LINES && station->lines[line]);
    world_note(station->network->world, (uint64_t)line, "net %s hangs up line %d",
               station->node->name, line);
    station->lines[line]->over = true;
    station->lines[line] = NULL;
}

struct dial_port network_dial(struct network *network, struct node *node)
{
    return (struct dial_port){
        .self = station_of(network, node), .dial = line_dial, .hang_up = line_hang_up};
}

/* ---- what goes wrong ---- */

static void notice(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct connection *connection = subject;
    const struct network_events *events = &world->network->events;
    if (!connection->over)
        (connection->line ? events->line_broken : events->broken)(connection->connector,
                                                                  connection->link);
}

static void break_one(struct connection *connection, bool wedged)
{
    struct world *world = connection->network->world;
    connection->route = 0;
    connection->wedged = wedged;
    /* The socket's statistics tell of a break; a wedged one is only missed. */
    if (!wedged)
        world_deliver(world, world_latency(world, 50 * MILLISECOND_US), connection->connector,
                      connection->connector_boot, notice, connection, 0, NULL);
}

void network_break(struct network *network, struct node *connector, bool wedged)
{
    uint64_t count = 0;
    for (struct connection *i = network->newest; i; i = i->older)
        count += i->connector == connector && !i->over;
    if (count == 0)
        return;
    uint64_t which = world_between(network->world, 0, count - 1);
    for (struct connection *i = network->newest; i; i = i->older) {
        if (i->connector != connector || i->over || which-- > 0)
            continue;
        world_note(network->world, wedged, "fault: the connection of %s to %s %s", connector->name,
                   i->acceptor->name, wedged ? "is wedged" : "breaks");
        break_one(i, wedged);
        return;
    }
}

void network_gone(struct network *network, struct node *node)
{
    struct world *world = network->world;
    struct station *station = &network->stations[place(node)];
    memset(station->lines, 0, sizeof(station->lines));
    for (struct connection *i = network->newest; i; i = i->older) {
        if (i->connector == node)
            i->over = true;
        if (i->acceptor != node || i->over)
            continue;
        if (!world->healed && world_chance(world, PPM / 4))
            i->wedged = true;
        else if (world_chance(world, PPM / 2))
            break_one(i, false);
    }
}

void network_cut(struct network *network, const struct node *from, const struct node *to)
{
    network->cuts[place(from)][place(to)]++;
}

void network_join(struct network *network, const struct node *from, const struct node *to)
{
    uint8_t *cuts = &network->cuts[place(from)][place(to)];
    if (*cuts > 0)
        --*cuts;
}

void network_join_all(struct network *network)
{
    memset(network->cuts, 0, sizeof(network->cuts));
    for (struct connection *i = network->newest; i; i = i->older)
        i->wedged = false;
}
