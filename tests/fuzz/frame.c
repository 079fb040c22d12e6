/* Frames from a hostile wire, into an acceptor and a connector that have a session.
 *
 * The input is a row of parcels: a byte of flags, a u16 size (little-endian), that many bytes.
 *   flag 1: to the connector, else to the acceptor    flag 2: put the session's id into the head
 *   flag 4: from a stranger's connection              flag 8: 600 ms pass first
 *   flag 16: put magic, version and the body's size into the head */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/frame.h"
#include "core/limits.h"
#include "core/transport.h"

enum { ROUTE = 1, STRANGER = 2, WIRE_MAX = 64 };
enum { TO_CONNECTOR = 1, SESSION = 2, FROM_STRANGER = 4, LATER = 8, HEAD = 16 };

struct wire {
    uint64_t now_us, random, session;
    struct transport *acceptor, *connector;
    struct {
        bool to_acceptor;
        size_t size;
        uint8_t bytes[4096];
    } frames[WIRE_MAX];
    int count;
};

static uint64_t now_us(void *self)
{
    return ((struct wire *)self)->now_us;
}

static int64_t wall_us(void *self)
{
    return (int64_t)((struct wire *)self)->now_us;
}

static void random_bytes(void *self, void *buffer, size_t size)
{
    struct wire *wire = self;
    for (size_t i = 0; i < size; i++) {
        wire->random = wire->random * 6364136223846793005u + 1442695040888963407u;
        ((uint8_t *)buffer)[i] = (uint8_t)(wire->random >> 56);
    }
}

static void ignore_log(void *self, enum log_level level, const char *line)
{
    (void)self;
    (void)level;
    (void)line;
}

static bool keep(struct wire *wire, bool to_acceptor, const void *frame, size_t size)
{
    if (wire->count == WIRE_MAX || size > sizeof(wire->frames[0].bytes))
        return false;
    wire->frames[wire->count].to_acceptor = to_acceptor;
    wire->frames[wire->count].size = size;
    memcpy(wire->frames[wire->count++].bytes, frame, size);
    return true;
}

static bool send_to_connector(void *self, uint64_t route, const void *frame, size_t size)
{
    return route != ROUTE || keep(self, false, frame, size);
}

static bool send_to_acceptor(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    return keep(self, true, frame, size);
}

static void redial(void *self)
{
    (void)self;
}

/* Answers, so that what comes in also makes something go out; closes now and then. */
static void message_came(void *self, struct peer *peer, const Wire__Message *message)
{
    (void)self;
    CHECK(wire__message__get_packed_size(message) > 0);
    peer_send(peer, message, false);
    if (message->body_case == WIRE__MESSAGE__BODY_INQUIRE)
        peer_close(peer, "asked to");
}

static void carry(struct wire *wire)
{
    for (int round = 0; round < 4; round++) {
        transport_settle(wire->connector);
        transport_settle(wire->acceptor);
        int count = wire->count;
        for (int i = 0; i < count; i++) {
            struct frame frame;
            if (frame_decode(&frame, wire->frames[i].bytes, wire->frames[i].size) &&
                frame.kind == FRAME_WELCOME)
                wire->session = frame.session;
            transport_frame(wire->frames[i].to_acceptor ? wire->acceptor : wire->connector,
                            wire->frames[i].to_acceptor ? ROUTE : 0, wire->frames[i].bytes,
                            wire->frames[i].size);
        }
        memmove(wire->frames, wire->frames + count,
                (size_t)(wire->count - count) * sizeof(wire->frames[0]));
        wire->count -= count;
    }
}

static void parcel(struct wire *wire, uint8_t flags, const uint8_t *data, size_t size)
{
    uint8_t *bytes = xmalloc(size ? size : 1); /* of its own, so that a sanitizer sees its end */
    if (size)
        memcpy(bytes, data, size);
    if ((flags & HEAD) && size >= FRAME_HEAD_BYTES) {
        memcpy(bytes, "TRTH\1", 5);
        bytes[7] = 0;
        memset(bytes + 32, 0, 16);
        frame_put_u32(bytes + 40, (uint32_t)(size - FRAME_HEAD_BYTES));
    }
    if ((flags & SESSION) && size >= FRAME_HEAD_BYTES)
        memcpy(bytes + 8, &wire->session, sizeof(wire->session));
    if (flags & LATER)
        wire->now_us += 600000;
    if (flags & TO_CONNECTOR)
        transport_frame(wire->connector, 0, bytes, size);
    else
        transport_frame(wire->acceptor, flags & FROM_STRANGER ? STRANGER : ROUTE, bytes, size);
    free(bytes);
    carry(wire);
}

static struct transport *make(struct wire *wire, bool acceptor)
{
    struct host_port host = {wire, now_us, wall_us, random_bytes, ignore_log};
    struct link_port link = {wire, acceptor ? send_to_connector : send_to_acceptor,
                             acceptor ? NULL : redial};
    struct transport_events events = {.self = wire, .message = message_came};
    struct transport_config config = {.acceptor = acceptor,
                                      .cluster = "shop",
                                      .name = acceptor ? "c1" : "payments",
                                      .role = WIRE__ROLE__PARTICIPANT,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct transport *transport = transport_new(&config, &host, &link, &events);
    if (acceptor)
        transport_open(transport, 1);
    return transport;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct wire *wire = xcalloc(1, sizeof(*wire));
    wire->now_us = 1000000;
    wire->acceptor = make(wire, true);
    wire->connector = make(wire, false);
    carry(wire);
    CHECK(transport_peer(wire->connector) && wire->session != 0);
    while (size >= 3) {
        size_t told = (size_t)data[1] | (size_t)data[2] << 8;
        size_t taken = told < size - 3 ? told : size - 3;
        parcel(wire, data[0], data + 3, taken);
        data += 3 + taken;
        size -= 3 + taken;
    }
    transport_free(wire->acceptor);
    transport_free(wire->connector);
    free(wire);
    return 0;
}
