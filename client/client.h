/* A client of one coordinator, over the ports: requests out, outcomes back. Used by the command
 * line, the benchmark and the simulator. One thread; nothing blocks. */
#ifndef TROTH_CLIENT_CLIENT_H
#define TROTH_CLIENT_CLIENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ports.h"
#include "core/transport.h"
#include "wire.pb-c.h"

struct client;

/* A handler may be NULL: that event is ignored. */
struct client_events {
    void *self;
    void (*up)(void *self);
    /* The session is gone: requests without an answer yet will get none. They are not repeated;
     * whether one was carried out is not known, which is what idempotency keys are for. */
    void (*down)(void *self, const char *reason);
    void (*outcome)(void *self, const Wire__Outcome *outcome);
    void (*answer)(void *self, const Wire__Answer *answer);
    void (*saga_outcome)(void *self, const Wire__SagaOutcome *outcome);
    void (*progress)(void *self, const Wire__Progress *progress);
    /* The coordinator refuses us; the client goes on trying. */
    void (*refused)(void *self, const char *reason, const char *hint);
};

/* cluster may be NULL: any (a command line knows only the address). Strings, ports and events are
 * copied. new/free: the heap; free may be called at any moment and uses no port. */
struct client *client_new(const char *cluster, const char *name, const struct host_port *host,
                          const struct link_port *link, const struct client_events *events);
void client_free(struct client *client);
void client_frame(struct client *client, const void *frame, size_t size);
void client_broken(struct client *client);
uint64_t client_settle(struct client *client);

bool client_connected(const struct client *client);
/* The coordinator's name once connected, else NULL; valid while it is. */
const char *client_coordinator(const struct client *client);
/* Likewise the coordinator's cluster. */
const char *client_cluster(const struct client *client);
/* Connected, and to a participant's door: it answers some queries, and takes no submits. */
bool client_at_participant(const struct client *client);
/* False: not connected, the queue is full, or larger than a message may be; nothing was sent.
 * request numbers are the caller's. */
bool client_submit(struct client *client, const Wire__Submit *submit);
bool client_query(struct client *client, const Wire__Query *query);
/* Answered through saga_outcome; an order through answer. */
bool client_start_saga(struct client *client, const Wire__StartSaga *start);
bool client_order(struct client *client, const Wire__SagaOrder *order);
/* RESOLVE and FORGET of a transaction; answered through answer. */
bool client_tx_order(struct client *client, const Wire__TxOrder *order);
/* The same of a message of any kind that a client may send: of a transaction step by step, which is
 * answered through progress or outcome; AwaitSaga, through saga_outcome. */
bool client_send(struct client *client, const Wire__Message *message);
/* Ends the session politely, so that the coordinator need not miss our beats: call it last, when no
 * answer is awaited, then client_free. */
void client_leave(struct client *client);
/* Everything sent was acknowledged. */
bool client_idle(const struct client *client);

#endif
