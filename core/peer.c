/* A peer: its session from up to down. */
#include "core/peer.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

/* When the link is full, or a beat could not be sent. */
#define RETRY_US 10000
/* An acknowledgement waits so long for a message to travel with: a fraction of the time after which
 * the other side sends again. */
#define ACK_DELAY_US 40000

/* Cuts, and never in the middle of a UTF-8 character. */
void peer_copy_text(char *to, size_t room, const char *from)
{
    size_t size = strlen(from);
    if (size >= room) {
        size = room - 1;
        while (size > 0 && ((unsigned char)from[size] & 0xc0) == 0x80)
            size--;
    }
    memcpy(to, from, size);
    to[size] = '\0';
}

struct peer *peer_new(struct transport *transport, uint64_t session, uint64_t route,
                      size_t frame_bytes)
{
    struct peer *peer = xcalloc(1, sizeof(*peer));
    peer->transport = transport;
    peer->route = route;
    peer->state = PEER_HALF_OPEN;
    peer->since_us = peer->heard_us = peer->spoken_us = transport_now(transport);
    peer->beat_us = transport->config.heartbeat_us;
    session_init(&peer->session, session, frame_bytes);
    list_init(&peer->dirty);
    list_append(&transport->half_open, &peer->node);
    transport->half_open_count++;
    return peer;
}

void peer_free(struct peer *peer)
{
    session_fini(&peer->session);
    free(peer);
}

static void set_dirty(struct peer *peer)
{
    if (list_empty(&peer->dirty))
        list_append(&peer->transport->dirty, &peer->dirty);
}

static uint64_t silence_ends(const struct peer *peer)
{
    uint64_t at_us = peer->heard_us + MISSED_BEATS * peer->beat_us;
    return at_us > peer->transport->grace_us ? at_us : peer->transport->grace_us;
}

static void set_timer(struct peer *peer)
{
    uint64_t at_us = silence_ends(peer);
    if (peer->state == PEER_UP) {
        uint64_t beat_us = peer->spoken_us + peer->transport->config.heartbeat_us;
        uint64_t patience_us = session_patience_ends(&peer->session);
        at_us = beat_us < at_us ? beat_us : at_us;
        at_us = patience_us < at_us ? patience_us : at_us;
        if (peer->session.ack_owed && peer->ack_due_us < at_us)
            at_us = peer->ack_due_us;
    }
    timers_set(&peer->transport->timers, &peer->timer, at_us);
}

bool peer_up(struct peer *peer)
{
    struct transport *transport = peer->transport;
    CHECK(peer->state == PEER_HALF_OPEN);
    peer->state = PEER_UP;
    peer->since_us = peer->heard_us = transport_now(transport);
    list_remove(&peer->node);
    list_append(&transport->peers, &peer->node);
    transport->half_open_count--;
    transport->peer_count++;
    transport->counters.sessions++;
    /* The connector's first frame is what opens the acceptor's side. */
    peer->session.ack_owed = peer->session.ack_urgent = true;
    set_dirty(peer);
    set_timer(peer);
    if (transport->events.up)
        transport->events.up(transport->events.self, peer);
    return peer->state == PEER_UP;
}

/* The head of any frame of this peer's session. It carries the acknowledgement, so none is owed
 * once it is out. */
static void head_encode(struct peer *peer, uint8_t *head, enum frame_kind kind, uint64_t number,
                        size_t body_size)
{
    frame_encode(head, &(struct frame){.kind = kind,
                                       .flags = peer->session.gap_owed ? FRAME_FLAG_GAP : 0,
                                       .session = peer->session.id,
                                       .number = number,
                                       .ack = peer->session.received,
                                       .body_size = body_size});
}

static bool send_bytes(struct peer *peer, const uint8_t *bytes, size_t size)
{
    if (!transport_send(peer->transport, peer->route, bytes, size))
        return false;
    peer->spoken_us = transport_now(peer->transport);
    session_told(&peer->session);
    return true;
}

static bool send_beat(struct peer *peer)
{
    uint8_t head[FRAME_HEAD_BYTES];
    head_encode(peer, head, FRAME_BEAT, 0, 0);
    return send_bytes(peer, head, sizeof(head));
}

/* Stays in the dirty list when the link is full. */
void peer_flush(struct peer *peer)
{
    struct session *session = &peer->session;
    struct transport *transport = peer->transport;
    uint64_t now_us = transport_now(transport);
    bool had_flight = session->flight_frames > 0;
    for (struct session_frame *frame; (frame = session_next(session));) {
        head_encode(peer, frame->bytes, FRAME_DATA, frame->number, frame->size - FRAME_HEAD_BYTES);
        if (!send_bytes(peer, frame->bytes, frame->size))
            return;
        if (session_sent(session, frame, now_us))
            transport->counters.frames_resent++;
    }
    if (session->ack_urgent && !send_beat(peer))
        return;
    list_remove(&peer->dirty);
    bool sooner = (!had_flight && session_patience_ends(session) < peer->timer.at_us) ||
                  (session->ack_owed && peer->ack_due_us < peer->timer.at_us);
    if (sooner)
        set_timer(peer);
}

/* Ends early when the peer is gone, by what it sent or by the runner. */
static void deliver(struct peer *peer, const struct frame *frame)
{
    struct transport *transport = peer->transport;
    const uint8_t *bytes;
    size_t size;
    for (size_t at = 0; frame_message(frame, &at, &bytes, &size);) {
        arena_reset(&transport->arena);
        Wire__Message *message = wire__message__unpack(&transport->arena.allocator, size, bytes);
        if (!message) {
            peer_end(peer, "a message that can't be read", true);
            return;
        }
        if (message->body_case == WIRE__MESSAGE__BODY__NOT_SET) /* of a newer version */
            continue;
        transport->counters.messages_received++;
        if (transport->events.message)
            transport->events.message(transport->events.self, peer, message);
        if (peer->state == PEER_DEAD)
            return;
    }
}

static void bye_received(struct peer *peer, const struct frame *frame)
{
    struct transport *transport = peer->transport;
    char reason[REASON_BYTES] = "the other side ended the session";
    arena_reset(&transport->arena);
    Wire__Bye *bye = wire__bye__unpack(&transport->arena.allocator, frame->body_size, frame->body);
    if (bye && bye->reason[0])
        peer_copy_text(reason, sizeof(reason), bye->reason);
    peer_end(peer, reason, false);
}

void peer_received(struct peer *peer, const struct frame *frame)
{
    struct transport *transport = peer->transport;
    struct session *session = &peer->session;
    uint64_t now_us = transport_now(transport);
    bool valid = frame->kind == FRAME_BYE ||
                 (frame->kind == FRAME_BEAT && frame->body_size == 0 && frame->number == 0) ||
                 (frame->kind == FRAME_DATA && frame->number > 0 && frame_messages_valid(frame));
    if (!valid ||
        !session_acknowledged(session, frame->ack, frame->flags & FRAME_FLAG_GAP, now_us)) {
        transport->counters.frames_dropped++;
        peer_end(peer, "a frame that makes no sense", true);
        return;
    }
    peer->heard_us = now_us;
    if (session->cursor != &session->frames)
        set_dirty(peer);
    if (frame->kind == FRAME_BYE) {
        bye_received(peer, frame);
        return;
    }
    if (frame->kind != FRAME_DATA)
        return;
    if (!session->ack_owed)
        peer->ack_due_us = now_us + ACK_DELAY_US;
    bool take = session_take(session, frame->number, frame->body_size);
    set_dirty(peer);
    if (take)
        deliver(peer, frame);
    else
        transport->counters.frames_dropped++;
}

/* The timer is set for the earliest that may be due and not moved by every frame, so here most of
 * the time it only finds out when to look again. */
void peer_timer_due(struct peer *peer)
{
    struct transport *transport = peer->transport;
    uint64_t now_us = transport_now(transport);
    if (now_us >= silence_ends(peer)) {
        char reason[REASON_BYTES];
        snprintf(reason, sizeof(reason), "no sign of life for %llu ms",
                 (unsigned long long)((now_us - peer->heard_us) / 1000));
        peer_end(peer, reason, true);
        if (!transport->config.acceptor && transport->link.redial)
            transport->link.redial(transport->link.self);
        return;
    }
    if (peer->state == PEER_UP) {
        if (now_us >= session_patience_ends(&peer->session)) {
            session_rewind(&peer->session, now_us);
            set_dirty(peer);
        }
        bool due = now_us >= peer->spoken_us + transport->config.heartbeat_us ||
                   (peer->session.ack_owed && now_us >= peer->ack_due_us);
        if (due && !send_beat(peer)) {
            timers_set(&transport->timers, &peer->timer, now_us + RETRY_US);
            return;
        }
    }
    set_timer(peer);
}

static void unlink_peer(struct peer *peer)
{
    struct transport *transport = peer->transport;
    if (peer->state == PEER_UP)
        transport->peer_count--;
    else
        transport->half_open_count--;
    list_remove(&peer->node);
    list_remove(&peer->dirty);
    timers_clear(&transport->timers, &peer->timer);
    if (transport->config.acceptor) {
        map_remove(&transport->by_session, &peer->by_session);
        map_remove(&transport->by_attempt, &peer->by_attempt);
    }
}

void peer_end(struct peer *peer, const char *reason, bool tell)
{
    struct transport *transport = peer->transport;
    if (peer->state == PEER_DEAD)
        return;
    transport_enter(transport);
    bool was_up = peer->state == PEER_UP;
    if (tell && was_up) {
        char text[REASON_BYTES];
        peer_copy_text(text, sizeof(text), reason);
        Wire__Bye bye = WIRE__BYE__INIT;
        bye.reason = text;
        peer_flush(peer); /* what was said before comes before it, if it comes */
        transport_control(transport, peer->route,
                          &(struct frame){.kind = FRAME_BYE,
                                          .session = peer->session.id,
                                          .ack = peer->session.received},
                          &bye.base);
    }
    unlink_peer(peer);
    peer->state = PEER_DEAD;
    list_append(&transport->dead, &peer->node);
    if (!transport->config.acceptor) {
        if (strncmp(reason, TRANSPORT_REPLACED, strlen(TRANSPORT_REPLACED)) == 0 && !tell)
            transport->stopped = true;
        hello_begin(transport);
    }
    if (was_up && transport->events.down)
        transport->events.down(transport->events.self, peer, reason);
    transport_leave(transport);
}

void peer_close(struct peer *peer, const char *reason)
{
    peer_end(peer, reason, true);
}

bool peer_send(struct peer *peer, const Wire__Message *message, bool must)
{
    size_t size = wire__message__get_packed_size(message);
    CHECK(size > 0);
    if (peer->state != PEER_UP || size > LIMIT_MESSAGE_BYTES ||
        (!must && peer->session.queued_bytes + size > LIMIT_QUEUE_BYTES))
        return false;
    session_queue(&peer->session, message, size);
    peer->transport->counters.messages_sent++;
    set_dirty(peer);
    return true;
}

void peer_attach(struct peer *peer, void *data)
{
    peer->attached = data;
}

void *peer_attached(const struct peer *peer)
{
    return peer->attached;
}

const char *peer_name(const struct peer *peer)
{
    return peer->name;
}

Wire__Role peer_role(const struct peer *peer)
{
    return peer->role;
}

uint64_t peer_boot(const struct peer *peer)
{
    return peer->boot;
}

const char *peer_cluster(const struct peer *peer)
{
    return peer->cluster;
}

const char *peer_software(const struct peer *peer)
{
    return peer->software;
}

uint64_t peer_since_us(const struct peer *peer)
{
    return peer->since_us;
}

size_t peer_queued_bytes(const struct peer *peer)
{
    return peer->session.queued_bytes;
}

bool peer_idle(const struct peer *peer)
{
    return session_idle(&peer->session);
}
