/* Other participants for tests of the agent: each is one end of real sessions, one at the agent's
 * door and one on a line that the agent dials. Tests answer for them. */
#ifndef TROTH_TESTS_UNIT_NEIGHBOUR_PORTS_H
#define TROTH_TESTS_UNIT_NEIGHBOUR_PORTS_H

#pragma GCC diagnostic ignored "-Wunused-function" /* not every test needs all of it */
#include "tests/unit/agent_ports.h"

enum { NEIGHBOURS = 3, SEEN = 64 };

static const char all_sites[] = "orders=tcp://127.0.0.1:7411,payments=tcp://127.0.0.1:7412,"
                                "inventory=tcp://127.0.0.1:7413";

/* What it saw, with the session that it came in. */
struct seen {
    Wire__Message *messages[SEEN];
    int count;
};

struct neighbour {
    const char *name, *address;
    bool away; /* frames to and from it are lost */
    bool bystander;
    struct transport *home; /* where the agent's line comes in */
    struct peer *line;
    int dialed; /* the line on which, + 1 */
    struct frame_queue to_line, to_home;
    struct transport *visit; /* its session at the agent's door */
    struct peer *door;
    struct frame_queue to_visit, to_door;
    struct seen asked, answered; /* on the line; at the door */
};

static struct neighbour neighbours[NEIGHBOURS];
static struct neighbour *const orders = &neighbours[0], *const inventory = &neighbours[1],
                               *const observer = &neighbours[2];

static void keep(struct seen *seen, const Wire__Message *message)
{
    size_t size = wire__message__get_packed_size(message);
    uint8_t *bytes = xmalloc(size);
    wire__message__pack(message, bytes);
    assert_in_range(seen->count, 0, SEEN - 1);
    seen->messages[seen->count++] = wire__message__unpack(NULL, size, bytes);
    free(bytes);
}

static void forget(struct seen *seen)
{
    for (int i = 0; i < seen->count; i++)
        wire__message__free_unpacked(seen->messages[i], NULL);
    seen->count = 0;
}

static void home_up(void *self, struct peer *peer)
{
    ((struct neighbour *)self)->line = peer;
}

static void home_message(void *self, struct peer *peer, const Wire__Message *message)
{
    (void)peer;
    keep(&((struct neighbour *)self)->asked, message);
}

static void home_down(void *self, struct peer *peer, const char *reason)
{
    (void)reason;
    struct neighbour *neighbour = self;
    if (neighbour->line == peer)
        neighbour->line = NULL;
}

static void visit_up(void *self, struct peer *peer)
{
    ((struct neighbour *)self)->door = peer;
}

static void visit_message(void *self, struct peer *peer, const Wire__Message *message)
{
    (void)peer;
    keep(&((struct neighbour *)self)->answered, message);
}

static void visit_down(void *self, struct peer *peer, const char *reason)
{
    (void)peer, (void)reason;
    ((struct neighbour *)self)->door = NULL;
}

static bool neighbour_send(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    return queue_frame(self, frame, size);
}

/* Frames from the agent's door carry the neighbour in the route. */
static bool door_send(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)self;
    assert_in_range(route, 1, NEIGHBOURS);
    return queue_frame(&neighbours[route - 1].to_visit, frame, size);
}

static bool dial(void *self, int line, const char *address, struct link_port *link)
{
    (void)self;
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct neighbour *neighbour = &neighbours[i];
        if (neighbour->bystander || strcmp(neighbour->address, address) != 0)
            continue;
        assert_int_equal(neighbour->dialed, 0);
        neighbour->dialed = line + 1;
        *link = (struct link_port){&neighbour->to_home, neighbour_send, redial};
        return true;
    }
    return false;
}

static void hang_up(void *self, int line)
{
    (void)self;
    for (int i = 0; i < NEIGHBOURS; i++) {
        if (neighbours[i].dialed == line + 1)
            neighbours[i].dialed = 0;
    }
}

static void empty(struct frame_queue *queue)
{
    for (int i = 0; i < queue->count; i++)
        free(queue->frames[i].bytes);
    queue->count = 0;
}

static void neighbour_turn(struct neighbour *neighbour, uint64_t route)
{
    struct frame_queue *queues[] = {&neighbour->to_home, &neighbour->to_line, &neighbour->to_door,
                                    &neighbour->to_visit};
    for (int i = 0; i < 4; i++) {
        struct frame_queue *queue = queues[i];
        for (int j = 0; j < queue->count && !neighbour->away; j++) {
            const void *bytes = queue->frames[j].bytes;
            size_t size = queue->frames[j].size;
            if (i == 0)
                transport_frame(neighbour->home, 1, bytes, size);
            else if (i == 1 && neighbour->dialed)
                agent_line_frame(agent, neighbour->dialed - 1, bytes, size);
            else if (i == 2)
                agent_door_frame(agent, route, bytes, size);
            else if (i == 3)
                transport_frame(neighbour->visit, 0, bytes, size);
        }
        empty(queue);
    }
    transport_settle(neighbour->home);
    transport_settle(neighbour->visit);
}

static void all_neighbours_turn(void)
{
    for (int i = 0; i < NEIGHBOURS; i++)
        neighbour_turn(&neighbours[i], (uint64_t)i + 1);
}

static void neighbour_start(struct neighbour *neighbour, const char *name, const char *address,
                            Wire__Role role)
{
    struct link_port home = {&neighbour->to_line, neighbour_send, NULL},
                     visit = {&neighbour->to_door, neighbour_send, redial};
    struct transport_config config = {.cluster = "shop",
                                      .name = name,
                                      .role = role,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct transport_events at_home = {neighbour, NULL, home_up, home_message, home_down, NULL};
    struct transport_events at_door = {neighbour, NULL, visit_up, visit_message, visit_down, NULL};
    *neighbour = (struct neighbour){
        .name = name, .address = address, .bystander = role != WIRE__ROLE__PARTICIPANT};
    neighbour->visit = transport_new(&config, &host, &visit, &at_door);
    config.acceptor = true;
    neighbour->home = transport_new(&config, &host, &home, &at_home);
    transport_open(neighbour->home, 1);
}

static int start_three_phase(void **state)
{
    static const struct link_port door = {NULL, door_send, NULL};
    static const struct dial_port dials = {NULL, dial, hang_up};
    agent_door = &door;
    agent_dial = &dials;
    neighbours_turn = all_neighbours_turn;
    now_us = 1000000;
    neighbour_start(orders, "orders", "tcp://127.0.0.1:7411", WIRE__ROLE__PARTICIPANT);
    neighbour_start(inventory, "inventory", "tcp://127.0.0.1:7413", WIRE__ROLE__PARTICIPANT);
    neighbour_start(observer, "somebody", "", WIRE__ROLE__OBSERVER);
    return start_with_database(state);
}

static int stop_three_phase(void **state)
{
    stop(state);
    for (int i = 0; i < NEIGHBOURS; i++) {
        struct neighbour *neighbour = &neighbours[i];
        transport_free(neighbour->home);
        transport_free(neighbour->visit);
        empty(&neighbour->to_home);
        empty(&neighbour->to_line);
        empty(&neighbour->to_door);
        empty(&neighbour->to_visit);
        forget(&neighbour->asked);
        forget(&neighbour->answered);
    }
    neighbours_turn = NULL;
    agent_door = NULL;
    agent_dial = NULL;
    return 0;
}

#endif
