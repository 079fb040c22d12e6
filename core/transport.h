/* Sessions over a link: who is there, in-order delivery exactly once within a session, credit, and
 * the news that a peer is gone. Pure: time comes in, frames go out through the link port.
 *
 * A session starts with HELLO (connector), WELCOME (acceptor) and the connector's first frame in
 * it, which proves that the HELLO was no late copy; it ends for both when either misses three
 * beats, says BYE, or makes a new one; nothing survives its session, so what must is sent again by
 * the runner in the next. Within it each DATA frame has a number; the receiver takes them in order,
 * drops duplicates, and acknowledges the highest in every frame it sends; the sender keeps at most
 * LIMIT_WINDOW_* unacknowledged and sends them again when no acknowledgement comes.
 *
 * Messages given to peer_send are collected; transport_settle, called at the end of each turn,
 * sends what is there for a peer as one frame, as far as its window allows. */
#ifndef TROTH_CORE_TRANSPORT_H
#define TROTH_CORE_TRANSPORT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/ports.h"
#include "wire.pb-c.h"

struct transport;
struct peer;

#define TRANSPORT_REPLACED "replaced"

struct transport_events {
    void *self;
    /* Acceptor: may this peer come in? False with an error that is sent to it. Connector: may this
     * acceptor, as its WELCOME describes it, be the peer? False is as if it had refused us; until
     * then the session has pushed out no other. NULL: all may. */
    bool (*admit)(void *self, const Wire__Hello *hello, struct error *error);
    /* A session began. The runner may hang its own state on the peer with peer_attach. */
    void (*up)(void *self, struct peer *peer);
    /* message lives for the call only. The handler may send, and may close peers. */
    void (*message)(void *self, struct peer *peer, const Wire__Message *message);
    /* The session ended; the peer is freed after the call. Not called for transport_free. A reason
     * that starts with TRANSPORT_REPLACED: another process took over our name, and this transport
     * says HELLO no more. */
    void (*down)(void *self, struct peer *peer, const char *reason);
    /* Connector: the acceptor refused us (wrong cluster, unknown, busy). It goes on trying, unless
     * the reason starts with TRANSPORT_REPLACED. */
    void (*refused)(void *self, const char *reason, const char *hint);
};

struct transport_config {
    bool acceptor;
    const char *cluster;
    const char *name;      /* coordinator, participant or client name */
    Wire__Role role;       /* acceptor: NONE for a coordinator, PARTICIPANT for one's door */
    uint64_t epoch;        /* acceptor: told in WELCOME; may be set later with transport_epoch */
    uint64_t heartbeat_us; /* 500 ms by default; three missed end a session */
    size_t frame_bytes;    /* the largest frame that this end sends: LIMIT_*_FRAME_BYTES */
};

/* The strings of config are copied; ports and events are copied too. new/free: the heap. */
struct transport *transport_new(const struct transport_config *config, const struct host_port *host,
                                const struct link_port *link,
                                const struct transport_events *events);
void transport_free(struct transport *transport);
/* Acceptor: from now on HELLOs are answered (before it they are dropped), with this epoch. */
void transport_open(struct transport *transport, uint64_t epoch);

/* A frame came in. Hostile bytes are counted and dropped, never trusted. */
void transport_frame(struct transport *transport, uint64_t route, const void *frame, size_t size);
/* The link noticed that its connection broke (a connector's redial follows by itself). */
void transport_broken(struct transport *transport);
/* Runs what is due, sends what is queued. Returns when it wants to be called again at the latest,
 * monotonic us, UINT64_MAX for never. */
uint64_t transport_settle(struct transport *transport);

/* Connector: the peer, or NULL while there is no session. */
struct peer *transport_peer(struct transport *transport);
/* Acceptor: walks the sessions; start with NULL. */
struct peer *transport_next_peer(struct transport *transport, struct peer *after);

/* Queues a message for the end of the turn. False, and nothing queued, when more than
 * LIMIT_QUEUE_BYTES wait already or the message is larger than LIMIT_MESSAGE_BYTES. `must` messages
 * (decisions, answers: bounded by their transactions) are queued beyond LIMIT_QUEUE_BYTES. */
bool peer_send(struct peer *peer, const Wire__Message *message, bool must);
/* Ends the session: the other side is told the reason. down is called before it returns. */
void peer_close(struct peer *peer, const char *reason);
void peer_attach(struct peer *peer, void *data);
void *peer_attached(const struct peer *peer);
const char *peer_name(const struct peer *peer);
/* Connector's side: PARTICIPANT when the acceptor is one's door, else it is a coordinator. */
Wire__Role peer_role(const struct peer *peer);
/* Acceptor's side: the connector's random id of this run of its process. Connector's side: the
 * acceptor's epoch. */
uint64_t peer_boot(const struct peer *peer);
/* Connector's side: the acceptor's cluster. Acceptor's side: the one that the connector named. */
const char *peer_cluster(const struct peer *peer);
const char *peer_software(const struct peer *peer);
uint64_t peer_since_us(const struct peer *peer);
size_t peer_queued_bytes(const struct peer *peer);
/* Everything sent on this peer was acknowledged: a process may end without losing an answer. */
bool peer_idle(const struct peer *peer);

struct transport_counters {
    uint64_t frames_sent, frames_received, frames_resent, frames_dropped, messages_sent,
        messages_received, bytes_sent, bytes_received, sessions;
};
const struct transport_counters *transport_counters(const struct transport *transport);

#endif
