/* What the files of the transport share: transport.c (life, frames, time), hello.c (how sessions
 * begin), peer.c (how they go on and end). Nobody else includes it. */
#ifndef TROTH_CORE_PEER_H
#define TROTH_CORE_PEER_H

#include "core/arena.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "core/session.h"
#include "core/timers.h"
#include "core/transport.h"

enum {
    MISSED_BEATS = 3,
    SOFTWARE_BYTES = 63,
    REASON_BYTES = 300,
    /* Sessions that nobody has proved to want yet; beyond it the oldest is forgotten. */
    HALF_OPEN_MAX = 1024,
    /* Processes that were replaced and may not know it yet. */
    REPLACED_MAX = 64,
};

/* A peer is in exactly one list of its transport: half_open, peers or dead. */
enum peer_state { PEER_HALF_OPEN, PEER_UP, PEER_DEAD };

struct peer {
    struct transport *transport;
    struct list node;  /* in half_open, peers (in order of their beginning) or dead */
    struct list dirty; /* in transport->dirty while it has something to send */
    struct map_node by_session, by_attempt; /* acceptor, until it is dead */
    enum peer_state state;
    struct session session;
    struct timer timer; /* the earliest of: beat due, silence too long, patience ends */
    uint64_t route;
    uint64_t boot, attempt;
    uint64_t since_us, heard_us, spoken_us;
    uint64_t ack_due_us; /* an acknowledgement that is owed goes out alone then */
    uint64_t beat_us;    /* the slower end's heartbeat */
    Wire__Role role;
    char name[LIMIT_NAME_BYTES + 1], cluster[LIMIT_NAME_BYTES + 1], software[SOFTWARE_BYTES + 1];
    void *attached;
};

struct transport {
    struct transport_config config;
    char *cluster, *name;
    struct host_port host;
    struct link_port link;
    struct transport_events events;
    bool open; /* acceptor: transport_open was called */
    uint64_t boot;
    struct list peers, half_open, dead, dirty;
    int peer_count, half_open_count;
    struct map by_session, by_attempt;
    struct timers timers;
    uint64_t asked_us; /* when the last settle asked to be called again */
    uint64_t grace_us; /* no silence counts before this: we ourselves were away */
    int depth;         /* calls in progress; the dead are freed when the last one returns */
    struct arena arena;
    struct transport_counters counters;
    /* acceptor: answers to those who have no session, a token each */
    uint64_t answer_tokens, answer_filled_us;
    uint64_t replaced[REPLACED_MAX]; /* boots */
    uint64_t replaced_count;
    /* connector */
    struct timer hello;
    uint64_t attempt, attempt_us;
    uint64_t answered_us; /* when the acceptor last said anything */
    uint64_t hello_pause_us;
    bool hello_blocked; /* the link did not take the HELLO; tried again each turn */
    bool stopped;       /* replaced: says HELLO no more */
};

/* transport.c */
uint64_t transport_now(const struct transport *transport);
bool transport_send(struct transport *transport, uint64_t route, const void *bytes, size_t size);
/* A frame with a small protobuf body. */
bool transport_control(struct transport *transport, uint64_t route, const struct frame *frame,
                       const ProtobufCMessage *body);
void transport_enter(struct transport *transport);
void transport_leave(struct transport *transport);

/* hello.c */
void hello_received(struct transport *transport, uint64_t route, const struct frame *frame);
void welcome_received(struct transport *transport, const struct frame *frame);
void refused_received(struct transport *transport, const struct frame *frame);
/* Connector: says HELLO now, or as soon as the link takes it. */
void hello_say(struct transport *transport);
/* Connector: a new attempt, now or when the last one is a heartbeat old. */
void hello_begin(struct transport *transport);
/* Acceptor: true when an answer to a stranger may be sent. */
bool stranger_answerable(struct transport *transport);

/* peer.c */
struct peer *peer_new(struct transport *transport, uint64_t session, uint64_t route,
                      size_t frame_bytes);
void peer_free(struct peer *peer);
/* From here on the runner sees it. False: the runner closed it at once. */
bool peer_up(struct peer *peer);
void peer_received(struct peer *peer, const struct frame *frame);
void peer_timer_due(struct peer *peer);
void peer_flush(struct peer *peer);
/* Ends it with or without a BYE. */
void peer_end(struct peer *peer, const char *reason, bool tell);
void peer_copy_text(char *to, size_t room, const char *from);

#endif
