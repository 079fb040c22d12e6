#include "client/client.h"

#include <stdlib.h>

#include "core/check.h"
#include "core/limits.h"

/* The beat of a client's session: a coordinator that misses three is gone. */
#define HEARTBEAT_US (500 * 1000)

struct client {
    struct transport *transport;
    struct client_events events;
};

static void on_up(void *self, struct peer *peer)
{
    struct client *client = self;
    (void)peer;
    if (client->events.up)
        client->events.up(client->events.self);
}

static void on_down(void *self, struct peer *peer, const char *reason)
{
    struct client *client = self;
    (void)peer;
    if (client->events.down)
        client->events.down(client->events.self, reason);
}

/* Messages of other kinds are none of a client's business: a newer coordinator may send them. */
static void on_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct client *client = self;
    (void)peer;
    if (message->body_case == WIRE__MESSAGE__BODY_OUTCOME && client->events.outcome)
        client->events.outcome(client->events.self, message->outcome);
    else if (message->body_case == WIRE__MESSAGE__BODY_ANSWER && client->events.answer)
        client->events.answer(client->events.self, message->answer);
    else if (message->body_case == WIRE__MESSAGE__BODY_SAGA_OUTCOME && client->events.saga_outcome)
        client->events.saga_outcome(client->events.self, message->saga_outcome);
    else if (message->body_case == WIRE__MESSAGE__BODY_PROGRESS && client->events.progress)
        client->events.progress(client->events.self, message->progress);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    struct client *client = self;
    if (client->events.refused)
        client->events.refused(client->events.self, reason, hint);
}

struct client *client_new(const char *cluster, const char *name, const struct host_port *host,
                          const struct link_port *link, const struct client_events *events)
{
    struct client *client = xcalloc(1, sizeof(*client));
    client->events = *events;
    struct transport_config config = {.cluster = cluster ? cluster : "",
                                      .name = name,
                                      .role = WIRE__ROLE__CLIENT,
                                      .heartbeat_us = HEARTBEAT_US,
                                      .frame_bytes = LIMIT_CLIENT_FRAME_BYTES};
    struct transport_events handlers = {
        .self = client, .up = on_up, .message = on_message, .down = on_down, .refused = on_refused};
    client->transport = transport_new(&config, host, link, &handlers);
    return client;
}

void client_free(struct client *client)
{
    if (!client)
        return;
    transport_free(client->transport);
    free(client);
}

void client_frame(struct client *client, const void *frame, size_t size)
{
    transport_frame(client->transport, 0, frame, size);
}

void client_broken(struct client *client)
{
    transport_broken(client->transport);
}

uint64_t client_settle(struct client *client)
{
    return transport_settle(client->transport);
}

bool client_connected(const struct client *client)
{
    return transport_peer(client->transport) != NULL;
}

const char *client_coordinator(const struct client *client)
{
    struct peer *peer = transport_peer(client->transport);
    return peer ? peer_name(peer) : NULL;
}

const char *client_cluster(const struct client *client)
{
    struct peer *peer = transport_peer(client->transport);
    return peer ? peer_cluster(peer) : NULL;
}

bool client_at_participant(const struct client *client)
{
    struct peer *peer = transport_peer(client->transport);
    return peer && peer_role(peer) == WIRE__ROLE__PARTICIPANT;
}

bool client_send(struct client *client, const Wire__Message *message)
{
    struct peer *peer = transport_peer(client->transport);
    return peer && peer_send(peer, message, false);
}

bool client_submit(struct client *client, const Wire__Submit *submit)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SUBMIT;
    message.submit = (Wire__Submit *)submit; /* only packed, never changed */
    return client_send(client, &message);
}

bool client_query(struct client *client, const Wire__Query *query)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = (Wire__Query *)query; /* only packed, never changed */
    return client_send(client, &message);
}

bool client_start_saga(struct client *client, const Wire__StartSaga *start)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_START_SAGA;
    message.start_saga = (Wire__StartSaga *)start; /* only packed, never changed */
    return client_send(client, &message);
}

bool client_order(struct client *client, const Wire__SagaOrder *order)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_SAGA_ORDER;
    message.saga_order = (Wire__SagaOrder *)order; /* only packed, never changed */
    return client_send(client, &message);
}

bool client_tx_order(struct client *client, const Wire__TxOrder *order)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = (Wire__TxOrder *)order; /* only packed, never changed */
    return client_send(client, &message);
}

void client_leave(struct client *client)
{
    struct peer *peer = transport_peer(client->transport);
    if (peer)
        peer_close(peer, "the client is done");
}

bool client_idle(const struct client *client)
{
    struct peer *peer = transport_peer(client->transport);
    return peer && peer_idle(peer);
}
