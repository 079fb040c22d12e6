/* A world of one acceptor and some connectors, over a link in memory that loses, duplicates, delays
 * and reorders by a seed. What the tests of the transport share. */
#ifndef TROTH_TESTS_UNIT_TRANSPORT_KIT_H
#define TROTH_TESTS_UNIT_TRANSPORT_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/frame.h"
#include "core/limits.h"
#include "core/transport.h"

enum { ENDS = 4, HEARTBEAT_US = 500000, TEXT = 300, SEEN_MAX = 100000 };

/* ---- a world of one acceptor (end 0) and some connectors ------------------------------------- */

struct parcel {
    struct parcel *next;
    uint64_t at_us, order;
    int to;
    uint64_t route;
    size_t size;
    uint8_t bytes[];
};

struct world;

struct end {
    struct world *world;
    int index;
    struct transport *transport;
    struct host_port host;
    struct link_port link;
    uint64_t route; /* of a connector's present connection, at the acceptor */
    bool full;      /* the link takes nothing */
    int redials, ups, downs, refusals;
    char down_reason[TEXT], refused_reason[TEXT], refused_hint[TEXT];
    uint64_t seen[SEEN_MAX]; /* request numbers of the messages that came */
    size_t seen_count;
    bool close_on_message, close_on_up, answer;
    uint64_t heartbeat_us; /* 0: HEARTBEAT_US */
    /* For runs in which sessions end: a peer's messages are numbered from 1 in each session, and
     * what came of them is counted in memory that hangs on the peer. */
    bool counting;
    uint64_t sent;
    struct peer *last_up;
};

struct world {
    uint64_t now_us, random, order;
    int loss, duplication, delay_us; /* per thousand, and the most */
    bool cut;
    struct parcel *parcels;
    struct end ends[ENDS];
    bool (*admit)(void *self, const Wire__Hello *hello, struct error *error);
};

static inline uint64_t world_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

static inline uint64_t end_now(void *self)
{
    return ((struct end *)self)->world->now_us;
}

static inline int64_t end_wall(void *self)
{
    return (int64_t)((struct end *)self)->world->now_us;
}

static inline void end_random(void *self, void *buffer, size_t size)
{
    struct world *world = ((struct end *)self)->world;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)(world_random(world) >> 32);
}

static inline void end_log(void *self, enum log_level level, const char *line)
{
    (void)self;
    (void)level;
    (void)line;
}

static inline void post(struct world *world, int to, uint64_t route, const void *bytes, size_t size)
{
    struct parcel *parcel = xmalloc(sizeof(*parcel) + size);
    uint64_t delay = world->delay_us ? world_random(world) % (uint64_t)world->delay_us : 0;
    *parcel = (struct parcel){.at_us = world->now_us + 100 + delay,
                              .order = world->order++,
                              .to = to,
                              .route = route,
                              .size = size};
    memcpy(parcel->bytes, bytes, size);
    struct parcel **at = &world->parcels;
    while (*at && (*at)->at_us <= parcel->at_us)
        at = &(*at)->next;
    parcel->next = *at;
    *at = parcel;
}

static inline bool end_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct end *end = self;
    struct world *world = end->world;
    if (end->full)
        return false;
    int to = 0;
    if (end->index == 0)
        for (to = 1; to < ENDS && world->ends[to].route != route;)
            to++;
    if (to == ENDS || world->cut)
        return true; /* nobody is there: lost */
    for (int copy = 0; copy < 2; copy++) {
        if (copy == 1 && (int)(world_random(world) % 1000) >= world->duplication)
            break;
        if ((int)(world_random(world) % 1000) >= world->loss)
            post(world, to, end->index == 0 ? 0 : end->route, frame, size);
    }
    return true;
}

static inline void end_redial(void *self)
{
    struct end *end = self;
    end->redials++;
    end->route += 100;
}

static inline void ev_up(void *self, struct peer *peer)
{
    struct end *end = self;
    end->ups++;
    end->last_up = peer;
    end->sent = 0;
    peer_attach(peer, end->counting ? xcalloc(1, sizeof(uint64_t)) : (void *)end);
    if (end->close_on_up)
        peer_close(peer, "closed at once");
}

static inline bool send_number(struct peer *peer, uint64_t number, size_t extra, bool must)
{
    Wire__Query query = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *text = xmalloc(extra + 1);
    memset(text, 'x', extra);
    text[extra] = '\0';
    query.request = number;
    query.gtrid = text;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    bool sent = peer_send(peer, &message, must);
    free(text);
    return sent;
}

static inline void ev_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct end *end = self;
    assert_int_equal(message->body_case, WIRE__MESSAGE__BODY_QUERY);
    if (end->counting) {
        uint64_t *came = peer_attached(peer);
        assert_int_equal(message->query->request, ++*came);
        return;
    }
    assert_ptr_equal(peer_attached(peer), end);
    assert_true(end->seen_count < SEEN_MAX);
    end->seen[end->seen_count++] = message->query->request;
    if (end->answer)
        assert_true(send_number(peer, message->query->request, 0, true));
    if (end->close_on_message) {
        peer_close(peer, "enough");
        assert_false(send_number(peer, 1, 0, true));
        peer_close(peer, "twice is harmless");
    }
}

static inline void ev_down(void *self, struct peer *peer, const char *reason)
{
    struct end *end = self;
    end->downs++;
    snprintf(end->down_reason, TEXT, "%s", reason);
    if (end->counting)
        free(peer_attached(peer));
    assert_false(send_number(peer, 1, 0, true));
    if (end->last_up == peer)
        end->last_up = NULL;
}

static inline void ev_refused(void *self, const char *reason, const char *hint)
{
    struct end *end = self;
    end->refusals++;
    snprintf(end->refused_reason, TEXT, "%s", reason);
    snprintf(end->refused_hint, TEXT, "%s", hint);
}

static inline bool ev_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    struct world *world = ((struct end *)self)->world;
    return !world->admit || world->admit(self, hello, error);
}

/* Makes or, after a crash, makes anew. */
static inline void start(struct world *world, int index, const char *name, Wire__Role role)
{
    struct end *end = &world->ends[index];
    end->world = world;
    end->index = index;
    end->route = index ? world->order++ * 1000 + (uint64_t)index : 0;
    end->host = (struct host_port){end, end_now, end_wall, end_random, end_log};
    end->link = (struct link_port){end, end_send, index ? end_redial : NULL};
    struct transport_events events = {end, ev_admit, ev_up, ev_message, ev_down, ev_refused};
    struct transport_config config = {
        .acceptor = index == 0,
        .cluster = "shop",
        .name = name,
        .role = role,
        .heartbeat_us = HEARTBEAT_US,
        .frame_bytes =
            role == WIRE__ROLE__CLIENT ? LIMIT_CLIENT_FRAME_BYTES : LIMIT_AGENT_FRAME_BYTES,
    };
    end->transport = transport_new(&config, &end->host, &end->link, &events);
    if (index == 0)
        transport_open(end->transport, 7);
}

static inline void stop(struct world *world, int index)
{
    if (world->ends[index].counting)
        for (struct peer *peer = NULL;
             (peer = transport_next_peer(world->ends[index].transport, peer));)
            free(peer_attached(peer));
    transport_free(world->ends[index].transport);
    world->ends[index].transport = NULL;
    world->ends[index].last_up = NULL;
    world->ends[index].route = UINT64_MAX;
}

static inline struct world *world_new(uint64_t seed)
{
    struct world *world = xcalloc(1, sizeof(*world));
    world->random = seed * 2654435761u + 88172645463325252u;
    world->now_us = 1000000;
    world->order = 1;
    for (int i = 1; i < ENDS; i++)
        world->ends[i].route = UINT64_MAX;
    return world;
}

static inline void world_free(struct world *world)
{
    for (int i = 0; i < ENDS; i++)
        transport_free(world->ends[i].transport);
    for (struct parcel *parcel; (parcel = world->parcels);) {
        world->parcels = parcel->next;
        free(parcel);
    }
    free(world);
}

/* One step of virtual time: the next parcel or the next wish of an end, then everybody settles. */
static inline void step(struct world *world, uint64_t until_us)
{
    uint64_t next_us = until_us;
    for (int i = 0; i < ENDS; i++)
        if (world->ends[i].transport) {
            uint64_t at_us = transport_settle(world->ends[i].transport);
            next_us = at_us < next_us ? at_us : next_us;
        }
    if (world->parcels && world->parcels->at_us < next_us)
        next_us = world->parcels->at_us;
    if (next_us > world->now_us)
        world->now_us = next_us;
    struct parcel *parcel = world->parcels;
    if (!parcel || parcel->at_us > world->now_us)
        return;
    world->parcels = parcel->next;
    struct end *end = &world->ends[parcel->to];
    if (end->transport)
        transport_frame(end->transport, parcel->route, parcel->bytes, parcel->size);
    free(parcel);
}

static inline void run(struct world *world, uint64_t for_us)
{
    uint64_t until_us = world->now_us + for_us;
    while (world->now_us < until_us)
        step(world, until_us);
}

static inline struct peer *only_peer(struct world *world)
{
    return transport_peer(world->ends[0].transport);
}

static inline struct world *connected(uint64_t seed)
{
    struct world *world = world_new(seed);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 10000);
    assert_non_null(only_peer(world));
    assert_non_null(transport_peer(world->ends[1].transport));
    return world;
}

static inline void assert_in_order(const struct end *end, uint64_t count)
{
    assert_int_equal(end->seen_count, count);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(end->seen[i], i + 1);
}

#endif
