/* How sessions begin: HELLO, WELCOME, and the connector's first frame in the session, which alone
 * makes it one: a HELLO may be a late copy of a process that is gone, and such a one must not push
 * out a living session of the same name. */
#include "core/peer.h"

#include <stdio.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"

#define SOFTWARE "troth " TROTH_VERSION

enum {
    WIRE_VERSION = 1,
    HELLO_BODY_MAX = 1024,
    /* A restarted coordinator meets all its peers at once; after that strangers are rare. */
    ANSWERS_AT_ONCE = LIMIT_PEERS,
    ANSWERS_PER_SECOND = 2000,
};

#define HELLO_PAUSE_MAX_US 5000000
#define BEAT_MAX_US        10000000

static uint64_t random_id(struct transport *transport)
{
    uint64_t id;
    do
        transport->host.random(transport->host.self, &id, sizeof(id));
    while (id == 0);
    return id;
}

/* The session lives at the pace of its slower end, within reason. */
static uint64_t beat_of(const struct transport *transport, uint32_t told_ms)
{
    uint64_t told_us = (uint64_t)told_ms * 1000;
    if (told_us > BEAT_MAX_US)
        told_us = BEAT_MAX_US;
    return told_us > transport->config.heartbeat_us ? told_us : transport->config.heartbeat_us;
}

static uint32_t heartbeat_ms(const struct transport *transport)
{
    return (uint32_t)(transport->config.heartbeat_us / 1000);
}

/* ---- acceptor ------------------------------------------------------------------------------ */

bool stranger_answerable(struct transport *transport)
{
    uint64_t now_us = transport_now(transport);
    uint64_t gained =
        (now_us - transport->answer_filled_us) * (uint64_t)ANSWERS_PER_SECOND / 1000000;
    if (gained > 0) {
        transport->answer_filled_us = now_us;
        transport->answer_tokens += gained;
        if (transport->answer_tokens > ANSWERS_AT_ONCE)
            transport->answer_tokens = ANSWERS_AT_ONCE;
    }
    if (transport->answer_tokens == 0)
        return false;
    transport->answer_tokens--;
    return true;
}

static void refuse(struct transport *transport, uint64_t route, const Wire__Hello *hello,
                   const struct error *error)
{
    if (!stranger_answerable(transport))
        return;
    char reason[sizeof(error->message) + sizeof(error->detail) + 2];
    snprintf(reason, sizeof(reason), "%s%s%s", error->message, error->detail[0] ? ": " : "",
             error->detail);
    Wire__Refused refused = WIRE__REFUSED__INIT;
    refused.attempt = hello->attempt;
    refused.reason = reason;
    refused.hint = (char *)error->hint;
    transport_control(transport, route, &(struct frame){.kind = FRAME_REFUSED}, &refused.base);
}

static bool was_replaced(const struct transport *transport, uint64_t boot)
{
    uint64_t count = transport->replaced_count;
    for (uint64_t i = count > REPLACED_MAX ? count - REPLACED_MAX : 0; i < count; i++)
        if (transport->replaced[i % REPLACED_MAX] == boot)
            return true;
    return false;
}

static bool check_hello(struct transport *transport, const Wire__Hello *hello, struct error *error)
{
    const char *cluster = transport->cluster;
    if (hello->version != WIRE_VERSION) {
        error_set(error, ERROR_PROTOCOL, "protocol version %u is not spoken here", hello->version);
        return error_hint(error, "%s speaks version %d; install the same release on both ends",
                          SOFTWARE, WIRE_VERSION),
               false;
    }
    if (!name_valid(hello->name) || hello->role < WIRE__ROLE__PARTICIPANT ||
        hello->role > WIRE__ROLE__OPERATOR || hello->boot == 0 || hello->attempt == 0)
        return error_set(error, ERROR_PROTOCOL, "a HELLO without a valid name, role and boot");
    bool any = hello->cluster[0] == '\0' && hello->role != WIRE__ROLE__PARTICIPANT;
    if (!any && strcmp(hello->cluster, cluster) != 0) {
        error_set(error, ERROR_REFUSED, "this is cluster %s, not %.*s", cluster, LIMIT_NAME_BYTES,
                  hello->cluster);
        return error_hint(error, "compare `cluster:` and the addresses in both configurations"),
               false;
    }
    if (hello->role == WIRE__ROLE__PARTICIPANT && was_replaced(transport, hello->boot))
        return error_set(error, ERROR_REFUSED,
                         TRANSPORT_REPLACED " by a newer process of participant %s", hello->name);
    if (transport->peer_count >= LIMIT_PEERS)
        return error_set(error, ERROR_BUSY, "%d sessions are open, the limit", LIMIT_PEERS);
    return !transport->events.admit ||
           transport->events.admit(transport->events.self, hello, error);
}

static void welcome(struct peer *peer)
{
    struct transport *transport = peer->transport;
    if (!stranger_answerable(transport))
        return;
    Wire__Welcome body = WIRE__WELCOME__INIT;
    body.version = WIRE_VERSION;
    body.cluster = transport->cluster;
    body.coordinator = transport->name;
    body.epoch = transport->config.epoch;
    body.attempt = peer->attempt;
    body.software = (char *)SOFTWARE;
    body.heartbeat_ms = heartbeat_ms(transport);
    body.role = transport->config.role;
    transport_control(transport, peer->route,
                      &(struct frame){.kind = FRAME_WELCOME, .session = peer->session.id},
                      &body.base);
}

struct attempt_key {
    uint64_t boot, attempt;
};

static bool attempt_matches(const struct map_node *node, const void *key)
{
    const struct peer *peer = CONTAINER(node, struct peer, by_attempt);
    const struct attempt_key *attempt = key;
    return peer->boot == attempt->boot && peer->attempt == attempt->attempt;
}

/* Room for what one end takes: a client's socket refuses what an agent's takes. */
static size_t frame_bytes_for(const struct transport *transport, Wire__Role role)
{
    size_t limit =
        role == WIRE__ROLE__PARTICIPANT ? LIMIT_AGENT_FRAME_BYTES : LIMIT_CLIENT_FRAME_BYTES;
    return transport->config.frame_bytes < limit ? transport->config.frame_bytes : limit;
}

static void half_open(struct transport *transport, uint64_t route, const Wire__Hello *hello)
{
    if (transport->half_open_count >= HALF_OPEN_MAX)
        peer_end(CONTAINER(transport->half_open.next, struct peer, node), "", false);
    struct peer *peer =
        peer_new(transport, random_id(transport), route, frame_bytes_for(transport, hello->role));
    peer->boot = hello->boot;
    peer->attempt = hello->attempt;
    peer->role = hello->role;
    peer->beat_us = beat_of(transport, hello->heartbeat_ms);
    peer_copy_text(peer->name, sizeof(peer->name), hello->name);
    peer_copy_text(peer->cluster, sizeof(peer->cluster), hello->cluster);
    peer_copy_text(peer->software, sizeof(peer->software), hello->software);
    map_insert(&transport->by_session, &peer->by_session, hash_u64(peer->session.id));
    map_insert(&transport->by_attempt, &peer->by_attempt, hash_u64(peer->boot ^ peer->attempt));
    timers_set(&transport->timers, &peer->timer, peer->heard_us + MISSED_BEATS * peer->beat_us);
    welcome(peer);
}

void hello_received(struct transport *transport, uint64_t route, const struct frame *frame)
{
    if (!transport->config.acceptor || !transport->open || frame->body_size > HELLO_BODY_MAX) {
        transport->counters.frames_dropped++;
        return;
    }
    arena_reset(&transport->arena);
    Wire__Hello *hello =
        wire__hello__unpack(&transport->arena.allocator, frame->body_size, frame->body);
    if (!hello) {
        transport->counters.frames_dropped++;
        return;
    }
    struct attempt_key key = {hello->boot, hello->attempt};
    struct map_node *node =
        map_find(&transport->by_attempt, hash_u64(key.boot ^ key.attempt), attempt_matches, &key);
    if (node) {
        struct peer *peer = CONTAINER(node, struct peer, by_attempt);
        /* Once up, the connector has its WELCOME: this HELLO is a late copy. */
        if (peer->state == PEER_HALF_OPEN) {
            peer->route = route;
            welcome(peer);
        }
        return;
    }
    struct error error = {0};
    if (check_hello(transport, hello, &error))
        half_open(transport, route, hello);
    else
        refuse(transport, route, hello, &error);
}

/* ---- connector ----------------------------------------------------------------------------- */

void hello_say(struct transport *transport)
{
    uint64_t now_us = transport_now(transport);
    if (transport->stopped || !list_empty(&transport->peers))
        return;
    /* Nobody answers: the connection may be wedged rather than the acceptor gone. */
    if (now_us - transport->answered_us >= MISSED_BEATS * transport->config.heartbeat_us) {
        transport->answered_us = now_us;
        if (transport->link.redial)
            transport->link.redial(transport->link.self);
    }
    Wire__Hello hello = WIRE__HELLO__INIT;
    hello.version = WIRE_VERSION;
    hello.cluster = transport->cluster;
    hello.name = transport->name;
    hello.role = transport->config.role;
    hello.boot = transport->boot;
    hello.attempt = transport->attempt;
    hello.software = (char *)SOFTWARE;
    hello.heartbeat_ms = heartbeat_ms(transport);
    transport->hello_blocked =
        !transport_control(transport, 0, &(struct frame){.kind = FRAME_HELLO}, &hello.base);
    timers_set(&transport->timers, &transport->hello, now_us + transport->hello_pause_us);
}

void hello_begin(struct transport *transport)
{
    timers_clear(&transport->timers, &transport->hello);
    transport->hello_blocked = false;
    if (transport->stopped)
        return;
    uint64_t now_us = transport_now(transport);
    /* An acceptor that ends each session at once is not asked more often than a silent one. */
    uint64_t at_us =
        transport->attempt ? transport->attempt_us + transport->config.heartbeat_us : 0;
    at_us = at_us > now_us ? at_us : now_us;
    transport->attempt = random_id(transport);
    transport->attempt_us = transport->answered_us = at_us;
    transport->hello_pause_us = transport->config.heartbeat_us;
    timers_set(&transport->timers, &transport->hello, at_us);
}

static void refused(struct transport *transport, const char *reason, const char *hint)
{
    transport->answered_us = transport_now(transport);
    transport->hello_pause_us *= 2;
    if (transport->hello_pause_us > HELLO_PAUSE_MAX_US)
        transport->hello_pause_us = HELLO_PAUSE_MAX_US;
    timers_set(&transport->timers, &transport->hello,
               transport->answered_us + transport->hello_pause_us);
    if (strncmp(reason, TRANSPORT_REPLACED, strlen(TRANSPORT_REPLACED)) == 0) {
        transport->stopped = true;
        timers_clear(&transport->timers, &transport->hello);
    }
    if (transport->events.refused)
        transport->events.refused(transport->events.self, reason, hint);
}

static bool hello_pending(const struct transport *transport)
{
    return !transport->config.acceptor && !transport->stopped && list_empty(&transport->peers);
}

/* The runner's say comes before the first frame, as that is what pushes out other sessions. */
static bool check_welcome(struct transport *transport, const Wire__Welcome *body,
                          struct error *error)
{
    if (body->version != WIRE_VERSION || !name_valid(body->cluster) ||
        !name_valid(body->coordinator) ||
        (transport->cluster[0] && strcmp(body->cluster, transport->cluster) != 0)) {
        error_set(error, ERROR_REFUSED, "the coordinator is of another cluster or version");
        return error_hint(error, "compare `cluster:` and the addresses in both configurations");
    }
    Wire__Hello hello = WIRE__HELLO__INIT;
    hello.version = body->version;
    hello.cluster = body->cluster;
    hello.name = body->coordinator;
    hello.role = body->role;
    hello.boot = body->epoch;
    hello.software = body->software;
    return !transport->events.admit ||
           transport->events.admit(transport->events.self, &hello, error);
}

void welcome_received(struct transport *transport, const struct frame *frame)
{
    arena_reset(&transport->arena);
    Wire__Welcome *body =
        hello_pending(transport) && frame->session != 0 && frame->body_size <= HELLO_BODY_MAX
            ? wire__welcome__unpack(&transport->arena.allocator, frame->body_size, frame->body)
            : NULL;
    if (!body || body->attempt != transport->attempt) {
        transport->counters.frames_dropped++;
        return;
    }
    struct error error = {0};
    if (!check_welcome(transport, body, &error)) {
        refused(transport, error.message, error.hint);
        return;
    }
    timers_clear(&transport->timers, &transport->hello);
    transport->hello_blocked = false;
    if (transport->link.renewed)
        transport->link.renewed(transport->link.self);
    struct peer *peer = peer_new(transport, frame->session, 0, transport->config.frame_bytes);
    peer->boot = body->epoch;
    peer->role = body->role;
    peer->beat_us = beat_of(transport, body->heartbeat_ms);
    peer_copy_text(peer->name, sizeof(peer->name), body->coordinator);
    peer_copy_text(peer->cluster, sizeof(peer->cluster), body->cluster);
    peer_copy_text(peer->software, sizeof(peer->software), body->software);
    peer_up(peer);
}

void refused_received(struct transport *transport, const struct frame *frame)
{
    arena_reset(&transport->arena);
    Wire__Refused *body =
        hello_pending(transport) && frame->body_size <= 2 * HELLO_BODY_MAX
            ? wire__refused__unpack(&transport->arena.allocator, frame->body_size, frame->body)
            : NULL;
    if (!body || body->attempt != transport->attempt) {
        transport->counters.frames_dropped++;
        return;
    }
    char reason[sizeof(((struct error *)0)->message)], hint[sizeof(reason)];
    peer_copy_text(reason, sizeof(reason), body->reason);
    peer_copy_text(hint, sizeof(hint), body->hint);
    refused(transport, reason, hint);
}
