/* The transport's life, its way of frames and of time. Sessions begin in hello.c, go on in peer.c,
 * and count in session.c. */
#include "core/transport.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/peer.h"

enum {
    CONTROL_BODY_MAX = 2048,
    /* Unpacking an ordinary message takes some 2 KiB; a large one's rest comes from the heap. */
    ARENA_BYTES = 64 * 1024,
};

/* A link that was full may have room before any event says so. */
#define BLOCKED_RETRY_US 1000

uint64_t transport_now(const struct transport *transport)
{
    return transport->host.now_us(transport->host.self);
}

struct transport *transport_new(const struct transport_config *config, const struct host_port *host,
                                const struct link_port *link, const struct transport_events *events)
{
    CHECK(config->heartbeat_us >= 1000 && config->name);
    struct transport *transport = xcalloc(1, sizeof(*transport));
    transport->config = *config;
    transport->host = *host;
    transport->link = *link;
    transport->events = *events;
    transport->cluster = xstrdup(config->cluster ? config->cluster : "");
    transport->name = xstrdup(config->name);
    transport->config.cluster = transport->cluster;
    transport->config.name = transport->name;
    list_init(&transport->peers);
    list_init(&transport->half_open);
    list_init(&transport->dead);
    list_init(&transport->dirty);
    arena_init(&transport->arena, ARENA_BYTES);
    transport->asked_us = UINT64_MAX;
    transport->answer_filled_us = transport_now(transport);
    transport->answer_tokens = LIMIT_PEERS;
    while (transport->boot == 0)
        host->random(host->self, &transport->boot, sizeof(transport->boot));
    if (!config->acceptor)
        hello_begin(transport);
    return transport;
}

static void free_peers(struct list *peers)
{
    while (!list_empty(peers)) {
        struct peer *peer = CONTAINER(peers->next, struct peer, node);
        list_remove(&peer->node);
        peer_free(peer);
    }
}

void transport_free(struct transport *transport)
{
    if (!transport)
        return;
    CHECK(transport->depth == 0);
    free_peers(&transport->peers);
    free_peers(&transport->half_open);
    free_peers(&transport->dead);
    map_fini(&transport->by_session);
    map_fini(&transport->by_attempt);
    timers_fini(&transport->timers);
    arena_fini(&transport->arena);
    free(transport->cluster);
    free(transport->name);
    free(transport);
}

void transport_enter(struct transport *transport)
{
    transport->depth++;
}

void transport_leave(struct transport *transport)
{
    if (--transport->depth == 0)
        free_peers(&transport->dead);
}

void transport_open(struct transport *transport, uint64_t epoch)
{
    transport->config.epoch = epoch;
    transport->open = true;
}

bool transport_send(struct transport *transport, uint64_t route, const void *bytes, size_t size)
{
    if (!transport->link.send(transport->link.self, route, bytes, size))
        return false;
    transport->counters.frames_sent++;
    transport->counters.bytes_sent += size;
    return true;
}

bool transport_control(struct transport *transport, uint64_t route, const struct frame *frame,
                       const ProtobufCMessage *body)
{
    uint8_t bytes[FRAME_HEAD_BYTES + CONTROL_BODY_MAX];
    struct frame sized = *frame;
    sized.body_size = protobuf_c_message_get_packed_size(body);
    CHECK(sized.body_size <= CONTROL_BODY_MAX);
    frame_encode(bytes, &sized);
    protobuf_c_message_pack(body, bytes + FRAME_HEAD_BYTES);
    return transport_send(transport, route, bytes, FRAME_HEAD_BYTES + sized.body_size);
}

static bool session_matches(const struct map_node *node, const void *key)
{
    return CONTAINER(node, struct peer, by_session)->session.id == *(const uint64_t *)key;
}

static struct peer *find_peer(struct transport *transport, uint64_t session)
{
    if (transport->config.acceptor) {
        struct map_node *node =
            map_find(&transport->by_session, hash_u64(session), session_matches, &session);
        return node ? CONTAINER(node, struct peer, by_session) : NULL;
    }
    struct peer *peer = transport_peer(transport);
    return peer && peer->session.id == session ? peer : NULL;
}

/* Somebody believes in a session that is gone: told so, it says HELLO at once and need not wait
 * for three beats. */
static void answer_stranger(struct transport *transport, uint64_t route, const struct frame *frame)
{
    transport->counters.frames_dropped++;
    if (!transport->config.acceptor || !transport->open || frame->kind == FRAME_BYE ||
        !stranger_answerable(transport))
        return;
    Wire__Bye bye = WIRE__BYE__INIT;
    bye.reason = (char *)"the session is not known here";
    transport_control(transport, route,
                      &(struct frame){.kind = FRAME_BYE, .session = frame->session}, &bye.base);
}

static bool same_process(const struct peer *a, const struct peer *b)
{
    return a->boot == b->boot && a->role == b->role && strcmp(a->name, b->name) == 0;
}

static bool same_participant(const struct peer *a, const struct peer *b)
{
    return a->role == WIRE__ROLE__PARTICIPANT && b->role == a->role &&
           strcmp(a->name, b->name) == 0;
}

static void supersede(struct peer *other)
{
    struct transport *transport = other->transport;
    transport->replaced[transport->replaced_count++ % REPLACED_MAX] = other->boot;
    peer_end(other, TRANSPORT_REPLACED " by a newer process of the same participant", true);
}

/* The connector's first frame proves the session. Half-open ones of the same participant go, too: a
 * frame of theirs that comes late must not push this one out. False: the runner closed it at once.
 */
static bool establish(struct peer *peer)
{
    struct transport *transport = peer->transport;
    for (struct list *node = transport->half_open.next; node != &transport->half_open;) {
        struct peer *other = CONTAINER(node, struct peer, node);
        node = node->next;
        if (other != peer && (same_process(peer, other) || same_participant(peer, other)))
            peer_end(other, "", false);
    }
    for (struct list *node = transport->peers.next; node != &transport->peers;) {
        struct peer *other = CONTAINER(node, struct peer, node);
        node = node->next;
        if (same_process(peer, other))
            peer_end(other, "a newer session of the same process", false);
        else if (same_participant(peer, other))
            supersede(other);
        else
            continue;
        node = transport->peers.next; /* the runner may have closed others meanwhile */
    }
    return peer_up(peer);
}

static void session_frame_received(struct transport *transport, uint64_t route,
                                   const struct frame *frame)
{
    struct peer *peer = find_peer(transport, frame->session);
    if (!peer) {
        answer_stranger(transport, route, frame);
        return;
    }
    if (peer->state == PEER_HALF_OPEN) {
        peer->route = route;
        if (frame->kind == FRAME_BYE) {
            peer_end(peer, "", false);
            return;
        }
        if (!establish(peer))
            return;
    }
    if (peer->route != route) {
        transport->counters.frames_dropped++;
        return;
    }
    peer_received(peer, frame);
}

void transport_frame(struct transport *transport, uint64_t route, const void *bytes, size_t size)
{
    struct frame frame;
    transport->counters.frames_received++;
    transport->counters.bytes_received += size;
    if (!frame_decode(&frame, bytes, size)) {
        transport->counters.frames_dropped++;
        return;
    }
    transport_enter(transport);
    switch (frame.kind) {
    case FRAME_HELLO:
        hello_received(transport, route, &frame);
        break;
    case FRAME_WELCOME:
        welcome_received(transport, &frame);
        break;
    case FRAME_REFUSED:
        refused_received(transport, &frame);
        break;
    case FRAME_DATA:
    case FRAME_BEAT:
    case FRAME_BYE:
        session_frame_received(transport, route, &frame);
        break;
    }
    transport_leave(transport);
}

void transport_broken(struct transport *transport)
{
    if (transport->config.acceptor)
        return;
    struct peer *peer = transport_peer(transport);
    if (peer) {
        peer_end(peer, "the connection broke", false);
    } else if (!transport->stopped) {
        /* The HELLO may have gone down with it; the same attempt goes on. */
        transport->answered_us = transport_now(transport);
        timers_set(&transport->timers, &transport->hello, transport->answered_us);
    }
}

/* A host that could not run us, for a debugger or a full disk, has not read our frames either: the
 * silence was ours. */
static void notice_absence(struct transport *transport, uint64_t now_us)
{
    uint64_t beat_us = transport->config.heartbeat_us;
    if (transport->asked_us != UINT64_MAX && now_us > transport->asked_us + beat_us)
        transport->grace_us = now_us + beat_us;
}

uint64_t transport_settle(struct transport *transport)
{
    uint64_t now_us = transport_now(transport);
    transport_enter(transport);
    notice_absence(transport, now_us);
    for (struct timer *timer; (timer = timers_due(&transport->timers, now_us));) {
        if (timer == &transport->hello)
            hello_say(transport);
        else
            peer_timer_due(CONTAINER(timer, struct peer, timer));
    }
    if (transport->hello_blocked)
        hello_say(transport);
    struct list *node = transport->dirty.next;
    while (node != &transport->dirty) {
        struct peer *peer = CONTAINER(node, struct peer, dirty);
        node = node->next;
        peer_flush(peer);
    }
    transport->asked_us = timers_next(&transport->timers);
    bool blocked = transport->hello_blocked || !list_empty(&transport->dirty);
    if (blocked && transport->asked_us > now_us + BLOCKED_RETRY_US)
        transport->asked_us = now_us + BLOCKED_RETRY_US;
    transport_leave(transport);
    return transport->asked_us;
}

struct peer *transport_peer(struct transport *transport)
{
    return list_empty(&transport->peers) ? NULL
                                         : CONTAINER(transport->peers.next, struct peer, node);
}

struct peer *transport_next_peer(struct transport *transport, struct peer *after)
{
    struct list *next = after ? after->node.next : transport->peers.next;
    return next == &transport->peers ? NULL : CONTAINER(next, struct peer, node);
}

const struct transport_counters *transport_counters(const struct transport *transport)
{
    return &transport->counters;
}
