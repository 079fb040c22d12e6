/* The transport over a link in memory that loses, duplicates and reorders by a seed. */
#include "core/transport.h"

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

static uint64_t world_random(struct world *world)
{
    world->random ^= world->random << 13;
    world->random ^= world->random >> 7;
    world->random ^= world->random << 17;
    return world->random;
}

static uint64_t end_now(void *self)
{
    return ((struct end *)self)->world->now_us;
}

static int64_t end_wall(void *self)
{
    return (int64_t)((struct end *)self)->world->now_us;
}

static void end_random(void *self, void *buffer, size_t size)
{
    struct world *world = ((struct end *)self)->world;
    for (size_t i = 0; i < size; i++)
        ((uint8_t *)buffer)[i] = (uint8_t)(world_random(world) >> 32);
}

static void end_log(void *self, enum log_level level, const char *line)
{
    (void)self;
    (void)level;
    (void)line;
}

static void post(struct world *world, int to, uint64_t route, const void *bytes, size_t size)
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

static bool end_send(void *self, uint64_t route, const void *frame, size_t size)
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

static void end_redial(void *self)
{
    struct end *end = self;
    end->redials++;
    end->route += 100;
}

static void ev_up(void *self, struct peer *peer)
{
    struct end *end = self;
    end->ups++;
    end->last_up = peer;
    end->sent = 0;
    peer_attach(peer, end->counting ? xcalloc(1, sizeof(uint64_t)) : (void *)end);
    if (end->close_on_up)
        peer_close(peer, "closed at once");
}

static bool send_number(struct peer *peer, uint64_t number, size_t extra, bool must)
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

static void ev_message(void *self, struct peer *peer, const Wire__Message *message)
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

static void ev_down(void *self, struct peer *peer, const char *reason)
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

static void ev_refused(void *self, const char *reason, const char *hint)
{
    struct end *end = self;
    end->refusals++;
    snprintf(end->refused_reason, TEXT, "%s", reason);
    snprintf(end->refused_hint, TEXT, "%s", hint);
}

static bool ev_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    struct world *world = ((struct end *)self)->world;
    return !world->admit || world->admit(self, hello, error);
}

/* Makes or, after a crash, makes anew. */
static void start(struct world *world, int index, const char *name, Wire__Role role)
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

static void stop(struct world *world, int index)
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

static struct world *world_new(uint64_t seed)
{
    struct world *world = xcalloc(1, sizeof(*world));
    world->random = seed * 2654435761u + 88172645463325252u;
    world->now_us = 1000000;
    world->order = 1;
    for (int i = 1; i < ENDS; i++)
        world->ends[i].route = UINT64_MAX;
    return world;
}

static void world_free(struct world *world)
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
static void step(struct world *world, uint64_t until_us)
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

static void run(struct world *world, uint64_t for_us)
{
    uint64_t until_us = world->now_us + for_us;
    while (world->now_us < until_us)
        step(world, until_us);
}

static struct peer *only_peer(struct world *world)
{
    return transport_peer(world->ends[0].transport);
}

static struct world *connected(uint64_t seed)
{
    struct world *world = world_new(seed);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 10000);
    assert_non_null(only_peer(world));
    assert_non_null(transport_peer(world->ends[1].transport));
    return world;
}

static void assert_in_order(const struct end *end, uint64_t count)
{
    assert_int_equal(end->seen_count, count);
    for (uint64_t i = 0; i < count; i++)
        assert_int_equal(end->seen[i], i + 1);
}

/* ---- beginnings ------------------------------------------------------------------------------ */

static void a_session_tells_both_ends_who_is_there(void **state)
{
    (void)state;
    struct world *world = connected(1);
    struct peer *agent = only_peer(world), *coordinator = transport_peer(world->ends[1].transport);
    assert_string_equal(peer_name(agent), "payments");
    assert_int_equal(peer_role(agent), WIRE__ROLE__PARTICIPANT);
    assert_true(peer_boot(agent) != 0);
    assert_string_equal(peer_name(coordinator), "c1");
    assert_string_equal(peer_cluster(coordinator), "shop");
    assert_int_equal(peer_boot(coordinator), 7);
    assert_true(strncmp(peer_software(coordinator), "troth ", 6) == 0);
    assert_int_equal(world->ends[0].ups, 1);
    assert_int_equal(world->ends[1].ups, 1);
    assert_null(transport_next_peer(world->ends[0].transport, agent));
    world_free(world);
}

static void a_hello_said_twice_makes_one_session(void **state)
{
    (void)state;
    struct world *world = world_new(2);
    world->duplication = 1000;
    world->delay_us = 400000;
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 5000000);
    assert_int_equal(world->ends[0].ups, 1);
    assert_int_equal(world->ends[1].ups, 1);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    world_free(world);
}

static void a_hello_is_repeated_until_somebody_answers(void **state)
{
    (void)state;
    struct world *world = world_new(3);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 20 * HEARTBEAT_US);
    assert_true(world->ends[1].redials >= 5);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    run(world, 2 * HEARTBEAT_US);
    assert_int_equal(world->ends[1].ups, 1);
    world_free(world);
}

static void a_full_link_delays_the_hello_only_until_it_takes_it(void **state)
{
    (void)state;
    struct world *world = world_new(4);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    world->ends[1].full = true;
    run(world, 5 * HEARTBEAT_US);
    assert_int_equal(world->ends[1].ups, 0);
    world->ends[1].full = false;
    run(world, 30000);
    assert_int_equal(world->ends[1].ups, 1);
    world_free(world);
}

static void hellos_before_the_acceptor_opened_are_not_answered(void **state)
{
    (void)state;
    struct world *world = world_new(5);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    stop(world, 0);
    struct end *end = &world->ends[0];
    struct transport_events events = {end, ev_admit, ev_up, ev_message, ev_down, ev_refused};
    struct transport_config config = {.acceptor = true,
                                      .cluster = "shop",
                                      .name = "c1",
                                      .heartbeat_us = HEARTBEAT_US,
                                      .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    end->transport = transport_new(&config, &end->host, &end->link, &events);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 4 * HEARTBEAT_US);
    assert_int_equal(transport_counters(end->transport)->frames_sent, 0);
    transport_open(end->transport, 9);
    run(world, 2 * HEARTBEAT_US);
    assert_int_equal(peer_boot(transport_peer(world->ends[1].transport)), 9);
    world_free(world);
}

static bool admit_nobody(void *self, const Wire__Hello *hello, struct error *error)
{
    (void)self;
    error_set(error, ERROR_REFUSED, "%s is not in the list", hello->name);
    return error_hint(error, "add it to `peers:`");
}

static void a_refused_connector_hears_why_and_goes_on_trying(void **state)
{
    (void)state;
    struct world *world = world_new(6);
    world->admit = admit_nobody;
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 4 * HEARTBEAT_US);
    assert_true(world->ends[1].refusals >= 1);
    assert_string_equal(world->ends[1].refused_reason, "payments is not in the list");
    assert_string_equal(world->ends[1].refused_hint, "add it to `peers:`");
    assert_int_equal(world->ends[1].ups, 0);
    assert_int_equal(world->ends[1].redials, 0);
    world->admit = NULL;
    run(world, 11000000);
    assert_int_equal(world->ends[1].ups, 1);
    world_free(world);
}

static void start_in(struct world *world, int index, const char *cluster, const char *name,
                     Wire__Role role)
{
    start(world, index, name, role);
    struct end *end = &world->ends[index];
    transport_free(end->transport);
    struct transport_events events = {end, NULL, ev_up, ev_message, ev_down, ev_refused};
    struct transport_config config = {.cluster = cluster,
                                      .name = name,
                                      .role = role,
                                      .heartbeat_us = HEARTBEAT_US,
                                      .frame_bytes = LIMIT_CLIENT_FRAME_BYTES};
    end->transport = transport_new(&config, &end->host, &end->link, &events);
}

static void the_wrong_cluster_is_refused_and_none_is_any_for_a_client(void **state)
{
    (void)state;
    struct world *world = world_new(7);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start_in(world, 1, "other", "payments", WIRE__ROLE__PARTICIPANT);
    start_in(world, 2, NULL, "orders", WIRE__ROLE__PARTICIPANT);
    start_in(world, 3, NULL, "cli-1", WIRE__ROLE__CLIENT);
    run(world, HEARTBEAT_US);
    assert_string_equal(world->ends[1].refused_reason, "this is cluster shop, not other");
    assert_true(world->ends[2].refusals > 0);
    assert_int_equal(world->ends[3].ups, 1);
    assert_string_equal(peer_cluster(transport_peer(world->ends[3].transport)), "shop");
    world_free(world);
}

static void a_bad_name_or_version_is_refused(void **state)
{
    (void)state;
    struct world *world = world_new(8);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "pay.ments", WIRE__ROLE__PARTICIPANT);
    run(world, HEARTBEAT_US);
    assert_true(strstr(world->ends[1].refused_reason, "valid name") != NULL);
    stop(world, 1);
    uint8_t bytes[512], *body = bytes + FRAME_HEAD_BYTES;
    Wire__Hello hello = WIRE__HELLO__INIT;
    hello.version = 2;
    hello.attempt = 3;
    size_t size = wire__hello__pack(&hello, body);
    frame_encode(bytes, &(struct frame){.kind = FRAME_HELLO, .body_size = size});
    world->ends[2].route = 5;
    transport_frame(world->ends[0].transport, 5, bytes, FRAME_HEAD_BYTES + size);
    assert_non_null(world->parcels);
    while (world->parcels->to != 2) {
        struct parcel *gone = world->parcels;
        world->parcels = gone->next;
        free(gone);
    }
    struct frame answer;
    assert_true(frame_decode(&answer, world->parcels->bytes, world->parcels->size));
    assert_int_equal(answer.kind, FRAME_REFUSED);
    Wire__Refused *refused = wire__refused__unpack(NULL, answer.body_size, answer.body);
    assert_int_equal(refused->attempt, 3);
    assert_true(strstr(refused->reason, "version 2") != NULL);
    wire__refused__free_unpacked(refused, NULL);
    world_free(world);
}

/* ---- delivery -------------------------------------------------------------------------------- */

static void deliver_over(int loss, int duplication, int delay_us, uint64_t seed)
{
    struct world *world = connected(seed);
    const uint64_t count = 2000;
    world->loss = loss;
    world->duplication = duplication;
    world->delay_us = delay_us;
    uint64_t sent[2] = {0, 0};
    while (sent[0] < count) {
        struct peer *peers[2] = {only_peer(world), transport_peer(world->ends[1].transport)};
        uint64_t burst = world_random(world) % 40;
        for (uint64_t i = 0; i < burst && sent[0] < count; i++)
            for (int end = 0; end < 2; end++)
                assert_true(
                    send_number(peers[end], ++sent[end], world_random(world) % 2000, false));
        run(world, world_random(world) % 5000);
    }
    uint64_t limit_us = world->now_us + 60000000;
    while (world->now_us < limit_us &&
           (world->ends[0].seen_count < count || world->ends[1].seen_count < count))
        run(world, 10000);
    world->loss = 0; /* a link that loses for minutes ends a session, rightly */
    run(world, 5000000);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    assert_in_order(&world->ends[0], count);
    assert_in_order(&world->ends[1], count);
    assert_true(peer_idle(only_peer(world)));
    assert_int_equal(peer_queued_bytes(only_peer(world)), 0);
    world_free(world);
}

static void messages_come_once_and_in_order_over_a_perfect_link(void **state)
{
    (void)state;
    deliver_over(0, 0, 0, 1);
}

static void messages_come_once_and_in_order_whatever_the_link_does(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++) {
        deliver_over(100, 0, 0, seed);
        deliver_over(0, 300, 0, seed);
        deliver_over(0, 0, 20000, seed);
        deliver_over(50, 100, 30000, seed);
    }
}

static void a_turn_sends_one_frame_for_many_messages(void **state)
{
    (void)state;
    struct world *world = connected(9);
    struct peer *peer = only_peer(world);
    const struct transport_counters *counters = transport_counters(world->ends[0].transport);
    uint64_t before = counters->frames_sent;
    for (uint64_t i = 1; i <= 100; i++)
        assert_true(send_number(peer, i, 10, false));
    assert_int_equal(counters->frames_sent, before);
    transport_settle(world->ends[0].transport);
    assert_int_equal(counters->frames_sent, before + 1);
    run(world, 10000);
    assert_in_order(&world->ends[1], 100);
    world_free(world);
}

static void an_acknowledgement_waits_for_a_message_to_travel_with(void **state)
{
    (void)state;
    struct world *world = connected(9);
    struct peer *peer = only_peer(world);
    const struct transport_counters *counters = transport_counters(world->ends[1].transport);
    uint64_t before = counters->frames_sent;
    assert_true(send_number(peer, 1, 10, false));
    run(world, 10000);
    assert_in_order(&world->ends[1], 1);
    assert_int_equal(counters->frames_sent, before);
    assert_false(peer_idle(peer));
    /* ... but not so long that the sender would take the frame for lost. */
    run(world, 100000);
    assert_int_equal(counters->frames_sent, before + 1);
    assert_true(peer_idle(peer));
    assert_int_equal(transport_counters(world->ends[0].transport)->frames_resent, 0);
    world_free(world);
}

static void a_busy_peer_gets_its_messages_in_fewer_frames(void **state)
{
    (void)state;
    struct world *world = connected(9);
    struct peer *peer = only_peer(world);
    const struct transport_counters *counters = transport_counters(world->ends[0].transport);
    run(world, 10000);
    uint64_t before = counters->frames_sent;
    for (uint64_t i = 1; i <= 20; i++) {
        assert_true(send_number(peer, i, 10, false));
        transport_settle(world->ends[0].transport);
    }
    /* The first go out at once; the rest waits for each other, but not for long. */
    assert_int_equal(counters->frames_sent, before + 2);
    run(world, 5000);
    assert_int_equal(counters->frames_sent, before + 3);
    assert_in_order(&world->ends[1], 20);
    world_free(world);
}

static void what_was_paced_still_comes_before_the_end(void **state)
{
    (void)state;
    struct world *world = connected(9);
    struct peer *peer = only_peer(world);
    run(world, 10000);
    for (uint64_t i = 1; i <= 20; i++) {
        assert_true(send_number(peer, i, 10, false));
        transport_settle(world->ends[0].transport);
    }
    peer_close(peer, "enough");
    run(world, 5000);
    assert_in_order(&world->ends[1], 20);
    world_free(world);
}

static void a_message_may_be_as_large_as_the_limit_and_no_larger(void **state)
{
    (void)state;
    struct world *world = connected(10);
    struct peer *peer = transport_peer(world->ends[1].transport);
    assert_true(send_number(peer, 1, LIMIT_MESSAGE_BYTES - 16, false));
    assert_false(send_number(peer, 2, LIMIT_MESSAGE_BYTES, true));
    assert_true(send_number(peer, 2, 0, false));
    run(world, 10000);
    assert_in_order(&world->ends[0], 2);
    world_free(world);
}

static void frames_to_a_client_fit_its_socket(void **state)
{
    (void)state;
    struct world *world = world_new(11);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "cli-1", WIRE__ROLE__CLIENT);
    run(world, 10000);
    for (uint64_t i = 1; i <= 200; i++)
        assert_true(send_number(only_peer(world), i, 5000, false));
    transport_settle(world->ends[0].transport);
    for (struct parcel *parcel = world->parcels; parcel; parcel = parcel->next)
        assert_true(parcel->size <= LIMIT_CLIENT_FRAME_BYTES);
    run(world, 100000);
    assert_in_order(&world->ends[1], 200);
    world_free(world);
}

static void the_window_bounds_what_is_unacknowledged(void **state)
{
    (void)state;
    struct world *world = connected(12);
    struct peer *peer = only_peer(world);
    world->cut = true;
    uint64_t before = transport_counters(world->ends[0].transport)->bytes_sent;
    for (uint64_t i = 1; i <= 1000; i++)
        assert_true(send_number(peer, i, 5000, false));
    transport_settle(world->ends[0].transport);
    transport_settle(world->ends[0].transport);
    uint64_t sent = transport_counters(world->ends[0].transport)->bytes_sent - before;
    assert_true(sent <= LIMIT_WINDOW_BYTES && sent > LIMIT_WINDOW_BYTES / 2);
    assert_true(peer_queued_bytes(peer) > 5000000);
    world->cut = false;
    run(world, 1400000);
    assert_in_order(&world->ends[1], 1000);
    world_free(world);
}

static void a_full_queue_takes_only_what_must(void **state)
{
    (void)state;
    struct world *world = connected(13);
    struct peer *peer = only_peer(world);
    world->ends[0].full = true;
    uint64_t queued = 0;
    while (send_number(peer, queued + 1, 60000, false))
        queued++;
    assert_true(peer_queued_bytes(peer) <= LIMIT_QUEUE_BYTES);
    assert_true(peer_queued_bytes(peer) > LIMIT_QUEUE_BYTES - 100000);
    assert_true(send_number(peer, queued + 1, 60000, true));
    world->ends[0].full = false;
    run(world, 1000000);
    assert_in_order(&world->ends[1], queued + 1);
    world_free(world);
}

static void a_link_that_is_full_is_tried_again(void **state)
{
    (void)state;
    struct world *world = connected(14);
    world->ends[0].full = true;
    assert_true(send_number(only_peer(world), 1, 0, false));
    run(world, 100000);
    assert_int_equal(world->ends[1].seen_count, 0);
    world->ends[0].full = false;
    run(world, 20000);
    assert_in_order(&world->ends[1], 1);
    world_free(world);
}

static void an_idle_session_lives_on_beats_alone(void **state)
{
    (void)state;
    struct world *world = connected(15);
    uint64_t before = transport_counters(world->ends[0].transport)->frames_sent;
    run(world, 600ull * 1000000);
    uint64_t beats = transport_counters(world->ends[0].transport)->frames_sent - before;
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    assert_in_range(beats, 1100, 1210);
    world_free(world);
}

static void an_answer_from_a_handler_goes_out_in_the_same_turn(void **state)
{
    (void)state;
    struct world *world = connected(16);
    world->ends[0].answer = true;
    assert_true(send_number(transport_peer(world->ends[1].transport), 1, 0, false));
    run(world, 1000);
    assert_in_order(&world->ends[1], 1);
    world_free(world);
}

/* ---- endings --------------------------------------------------------------------------------- */

static void three_missed_beats_end_the_session_and_redial(void **state)
{
    (void)state;
    struct world *world = connected(17);
    world->cut = true;
    run(world, 2 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    run(world, 3 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].downs, 1);
    assert_int_equal(world->ends[1].downs, 1);
    assert_true(strstr(world->ends[1].down_reason, "no sign of life for 1") != NULL);
    assert_true(world->ends[1].redials >= 1);
    world->cut = false;
    run(world, 2 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 2);
    assert_int_equal(world->ends[1].ups, 2);
    assert_true(send_number(only_peer(world), 1, 0, false));
    run(world, 10000);
    assert_in_order(&world->ends[1], 1);
    world_free(world);
}

static void nothing_of_a_session_reaches_the_next(void **state)
{
    (void)state;
    struct world *world = connected(18);
    world->cut = true;
    assert_true(send_number(only_peer(world), 99, 0, false));
    run(world, 6 * HEARTBEAT_US);
    world->cut = false;
    run(world, 6 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 2);
    assert_int_equal(world->ends[1].seen_count, 0);
    world_free(world);
}

static void a_pause_of_our_own_is_not_the_others_silence(void **state)
{
    (void)state;
    struct world *world = connected(19);
    /* Both stood still, as on a machine that was suspended. */
    world->now_us += 60ull * 1000000;
    run(world, 10 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    world_free(world);
}

static void a_restarted_acceptor_tells_strangers_at_once(void **state)
{
    (void)state;
    struct world *world = connected(20);
    stop(world, 0);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    assert_true(send_number(transport_peer(world->ends[1].transport), 99, 0, false));
    run(world, HEARTBEAT_US);
    assert_int_equal(world->ends[1].downs, 1);
    assert_string_equal(world->ends[1].down_reason, "the session is not known here");
    run(world, HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 2);
    assert_int_equal(world->ends[0].seen_count, 0);
    world_free(world);
}

static void a_broken_connection_ends_the_session_and_another_begins(void **state)
{
    (void)state;
    struct world *world = connected(21);
    run(world, 2 * HEARTBEAT_US);
    world->ends[1].route += 100;
    transport_broken(world->ends[1].transport);
    assert_int_equal(world->ends[1].downs, 1);
    run(world, 10000);
    assert_int_equal(world->ends[1].ups, 2);
    assert_int_equal(world->ends[0].ups, 2);
    assert_int_equal(world->ends[0].downs, 1);
    assert_string_equal(world->ends[0].down_reason, "a newer session of the same process");
    assert_null(transport_next_peer(world->ends[0].transport, only_peer(world)));
    world_free(world);
}

static void a_closed_session_tells_the_other_side_why(void **state)
{
    (void)state;
    struct world *world = connected(22);
    assert_true(send_number(only_peer(world), 1, 0, false));
    peer_close(only_peer(world), "told to");
    assert_int_equal(world->ends[0].downs, 1);
    assert_null(only_peer(world));
    run(world, 10000);
    assert_in_order(&world->ends[1], 1);
    assert_string_equal(world->ends[1].down_reason, "told to");
    world_free(world);
}

static void a_handler_may_close_its_peer(void **state)
{
    (void)state;
    struct world *world = connected(23);
    world->ends[0].close_on_message = true;
    for (uint64_t i = 1; i <= 5; i++)
        assert_true(send_number(transport_peer(world->ends[1].transport), i, 0, false));
    run(world, 10000);
    assert_int_equal(world->ends[0].seen_count, 1);
    assert_string_equal(world->ends[1].down_reason, "enough");
    world_free(world);
}

static void a_peer_closed_as_it_comes_up_is_not_asked_for_in_a_fast_loop(void **state)
{
    (void)state;
    struct world *world = world_new(24);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    world->ends[0].close_on_up = true;
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 10 * HEARTBEAT_US);
    assert_in_range(world->ends[0].ups, 5, 11);
    world_free(world);
}

static void the_newest_process_of_a_participant_wins(void **state)
{
    (void)state;
    struct world *world = connected(25);
    start(world, 2, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 20 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 2);
    assert_int_equal(world->ends[0].downs, 1);
    assert_int_equal(world->ends[1].downs, 1);
    assert_int_equal(world->ends[1].ups, 1);
    assert_true(
        strncmp(world->ends[1].down_reason, TRANSPORT_REPLACED, strlen(TRANSPORT_REPLACED)) == 0);
    assert_int_equal(world->ends[2].ups, 1);
    assert_int_equal(world->ends[2].downs, 0);
    world_free(world);
}

static void a_replaced_process_that_missed_the_news_is_refused(void **state)
{
    (void)state;
    struct world *world = connected(26);
    uint64_t route = world->ends[1].route;
    world->ends[1].route = 55; /* its BYE gets lost */
    start(world, 2, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 10000);
    world->ends[1].route = route;
    run(world, 20 * HEARTBEAT_US);
    assert_int_equal(world->ends[2].downs, 0);
    assert_int_equal(world->ends[1].refusals, 1);
    assert_true(strncmp(world->ends[1].refused_reason, TRANSPORT_REPLACED,
                        strlen(TRANSPORT_REPLACED)) == 0);
    world_free(world);
}

static void clients_of_one_name_live_side_by_side(void **state)
{
    (void)state;
    struct world *world = world_new(27);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "cli-1", WIRE__ROLE__CLIENT);
    start(world, 2, "cli-1", WIRE__ROLE__CLIENT);
    run(world, 10 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 2);
    assert_int_equal(world->ends[0].downs, 0);
    struct peer *first = transport_next_peer(world->ends[0].transport, NULL);
    struct peer *second = transport_next_peer(world->ends[0].transport, first);
    assert_non_null(second);
    assert_null(transport_next_peer(world->ends[0].transport, second));
    world_free(world);
}

/* A process says HELLO and dies; its successor is up; then copies of what the dead one said come.
 */
static void a_dead_process_s_late_frames_push_nobody_out(void **state)
{
    (void)state;
    struct world *world = world_new(28);
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    transport_settle(world->ends[1].transport);
    struct parcel *hello = world->parcels;
    assert_non_null(hello);
    world->parcels = NULL;
    stop(world, 1);
    start(world, 2, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 10000);
    transport_frame(world->ends[0].transport, hello->route, hello->bytes, hello->size);
    run(world, 10 * HEARTBEAT_US);
    transport_frame(world->ends[0].transport, hello->route, hello->bytes, hello->size);
    run(world, 10 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 1);
    assert_int_equal(world->ends[0].downs, 0);
    assert_int_equal(world->ends[2].downs, 0);
    free(hello);
    world_free(world);
}

/* ---- hostile bytes --------------------------------------------------------------------------- */

static void garbage_is_counted_and_dropped(void **state)
{
    (void)state;
    struct world *world = connected(29);
    struct transport *transport = world->ends[0].transport;
    uint8_t bytes[256];
    for (int i = 0; i < 20000; i++) {
        size_t size = world_random(world) % sizeof(bytes);
        for (size_t j = 0; j < size; j++)
            bytes[j] = (uint8_t)world_random(world);
        if (i % 2 && size >= FRAME_HEAD_BYTES) {
            struct frame frame = {.kind = 1 + world_random(world) % 6,
                                  .flags = (uint8_t)world_random(world),
                                  .session = world_random(world),
                                  .number = world_random(world) % 4,
                                  .ack = world_random(world) % 4,
                                  .body_size = size - FRAME_HEAD_BYTES};
            frame_encode(bytes, &frame);
        }
        transport_frame(transport, world_random(world) % 3, bytes, size);
        transport_frame(world->ends[1].transport, 0, bytes, size);
    }
    assert_true(transport_counters(transport)->frames_dropped >= 19000);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    assert_true(send_number(only_peer(world), 1, 0, false));
    run(world, 10 * HEARTBEAT_US);
    assert_in_order(&world->ends[1], 1);
    world_free(world);
}

static size_t forge(uint8_t *bytes, uint64_t session, uint64_t number, uint64_t ack,
                    const void *body, size_t size)
{
    frame_encode(bytes, &(struct frame){.kind = FRAME_DATA,
                                        .session = session,
                                        .number = number,
                                        .ack = ack,
                                        .body_size = size});
    memcpy(bytes + FRAME_HEAD_BYTES, body, size);
    return FRAME_HEAD_BYTES + size;
}

/* The session's id, from a frame on the wire. */
static uint64_t spy_session(struct world *world)
{
    assert_true(send_number(only_peer(world), 1, 0, false));
    transport_settle(world->ends[0].transport);
    struct frame frame;
    assert_true(frame_decode(&frame, world->parcels->bytes, world->parcels->size));
    uint64_t session = frame.session;
    run(world, 10000);
    return session;
}

static void frames_of_a_session_from_another_connection_are_dropped(void **state)
{
    (void)state;
    struct world *world = connected(30);
    uint64_t session = spy_session(world);
    uint8_t bytes[128];
    uint64_t dropped = transport_counters(world->ends[0].transport)->frames_dropped;
    size_t size = forge(bytes, session, 1, 0, "\2\0\0\0\22\0", 6);
    transport_frame(world->ends[0].transport, world->ends[1].route + 1, bytes, size);
    assert_int_equal(transport_counters(world->ends[0].transport)->frames_dropped, dropped + 1);
    assert_int_equal(world->ends[0].seen_count, 0);
    assert_int_equal(world->ends[0].downs, 0);
    world_free(world);
}

static void a_session_ends_when_its_own_peer_talks_nonsense(void **state)
{
    (void)state;
    static const struct {
        const char *body;
        size_t size;
        uint64_t number, ack;
    } cases[] = {
        {"", 0, 1, 0},                      /* DATA without a message */
        {"\1\0\0", 3, 1, 0},                /* a size that is cut off */
        {"\5\0\0\0\22\0", 6, 1, 0},         /* a message that is cut off */
        {"\0\0\0\0\22\0", 6, 1, 0},         /* an empty message */
        {"\377\377\377\377\22\0", 6, 1, 0}, /* a size beyond everything */
        {"\2\0\0\0\377\377", 6, 1, 0},      /* not a message */
        {"\2\0\0\0\32\0", 6, 0, 0},         /* DATA without a number */
        {"\2\0\0\0\32\0", 6, 1, 1000},      /* an ack of what was never sent */
        {"\2\0\0\0\32\0", 6, 1, UINT64_MAX},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct world *world = connected(31 + i);
        uint64_t session = spy_session(world);
        uint8_t bytes[128];
        size_t size =
            forge(bytes, session, cases[i].number, cases[i].ack, cases[i].body, cases[i].size);
        transport_frame(world->ends[0].transport, world->ends[1].route, bytes, size);
        assert_int_equal(world->ends[0].downs, 1);
        assert_int_equal(world->ends[0].seen_count, 0);
        world_free(world);
    }
}

static void messages_of_a_newer_version_are_skipped(void **state)
{
    (void)state;
    struct world *world = connected(50);
    uint64_t session = spy_session(world);
    uint8_t bytes[128];
    /* Field 500 with an empty body, which nobody knows, then a Query with request 1. */
    static const char body[] = "\3\0\0\0\242\37\0\4\0\0\0\32\2\10\1";
    size_t size = forge(bytes, session, 1, 0, body, sizeof(body) - 1);
    transport_frame(world->ends[0].transport, world->ends[1].route, bytes, size);
    assert_int_equal(world->ends[0].downs, 0);
    assert_in_order(&world->ends[0], 1);
    world_free(world);
}

static void a_flood_of_hellos_is_bounded(void **state)
{
    (void)state;
    struct world *world = connected(51);
    struct transport *transport = world->ends[0].transport;
    uint64_t before = transport_counters(transport)->frames_sent;
    for (uint64_t i = 1; i <= 20000; i++) {
        uint8_t bytes[256];
        Wire__Hello hello = WIRE__HELLO__INIT;
        hello.version = 1;
        hello.cluster = (char *)"shop";
        hello.name = (char *)"flood";
        hello.role = WIRE__ROLE__CLIENT;
        hello.boot = i;
        hello.attempt = i;
        size_t size = wire__hello__pack(&hello, bytes + FRAME_HEAD_BYTES);
        frame_encode(bytes, &(struct frame){.kind = FRAME_HELLO, .body_size = size});
        transport_frame(transport, 12345, bytes, FRAME_HEAD_BYTES + size);
    }
    assert_int_equal(transport_counters(transport)->frames_sent - before, LIMIT_PEERS);
    assert_int_equal(world->ends[0].ups, 1);
    run(world, 20 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    world_free(world);
}

static void strangers_are_answered_at_a_bounded_rate(void **state)
{
    (void)state;
    struct world *world = connected(52);
    struct transport *transport = world->ends[0].transport;
    uint8_t bytes[FRAME_HEAD_BYTES];
    uint64_t before = transport_counters(transport)->frames_sent;
    for (uint64_t i = 1; i <= 20000; i++) {
        frame_encode(bytes, &(struct frame){.kind = FRAME_BEAT, .session = i});
        transport_frame(transport, 12345, bytes, sizeof(bytes));
    }
    assert_true(transport_counters(transport)->frames_sent - before <= LIMIT_PEERS);
    world_free(world);
}

static void a_session_lives_at_the_pace_of_its_slower_end(void **state)
{
    (void)state;
    struct world *world = world_new(60);
    world->ends[1].heartbeat_us = 20 * HEARTBEAT_US;
    start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
    start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
    run(world, 200 * HEARTBEAT_US);
    assert_int_equal(world->ends[0].ups, 1);
    assert_int_equal(world->ends[0].downs + world->ends[1].downs, 0);
    world_free(world);
}

static const char *const chaos_names[ENDS] = {"c1", "orders", "payments", "stock"};

/* Crashes, restarts, cut cables and sessions closed on purpose, over a bad link. */
static void chaos_strike(struct world *world)
{
    int index = (int)(world_random(world) % ENDS);
    struct end *end = &world->ends[index];
    switch (world_random(world) % 8) {
    case 0:
        if (end->transport)
            stop(world, index);
        break;
    case 1:
        world->cut = !world->cut;
        break;
    case 2:
        if (end->transport && index > 0) {
            end->route += 100;
            transport_broken(end->transport);
        }
        break;
    case 3:
        if (end->transport && transport_peer(end->transport))
            peer_close(transport_peer(end->transport), "chaos");
        break;
    default:
        if (!end->transport)
            start(world, index, chaos_names[index],
                  index ? WIRE__ROLE__PARTICIPANT : WIRE__ROLE__ROLE_NONE);
    }
}

static void chaos_talk(struct world *world, struct end *end)
{
    struct peer *peer = end->transport ? transport_peer(end->transport) : NULL;
    for (uint64_t i = world_random(world) % 5; peer && i > 0; i--)
        assert_true(send_number(peer, ++end->sent, world_random(world) % 3000, true));
}

static void order_holds_and_everybody_is_back_whatever_happened(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 40; seed++) {
        struct world *world = world_new(seed * 7919);
        world->loss = (int)(seed % 3) * 40;
        world->duplication = (int)(seed % 4) * 60;
        world->delay_us = (int)(seed % 5) * 20000;
        world->ends[0].counting = true;
        for (int strike = 0; strike < 150; strike++) {
            chaos_strike(world);
            for (int i = 1; i < ENDS; i++)
                chaos_talk(world, &world->ends[i]);
            run(world, world_random(world) % 700000);
        }
        world->cut = false;
        world->loss = world->duplication = world->delay_us = 0;
        for (int i = 0; i < ENDS; i++)
            if (!world->ends[i].transport)
                start(world, i, chaos_names[i],
                      i ? WIRE__ROLE__PARTICIPANT : WIRE__ROLE__ROLE_NONE);
        run(world, 30 * HEARTBEAT_US);
        int peers = 0;
        for (struct peer *peer = NULL;
             (peer = transport_next_peer(world->ends[0].transport, peer));)
            peers++;
        assert_int_equal(peers, ENDS - 1);
        stop(world, 0);
        for (int i = 1; i < ENDS; i++)
            assert_non_null(transport_peer(world->ends[i].transport));
        world_free(world);
    }
}

static uint64_t digest_of_a_run(uint64_t seed)
{
    struct world *world = connected(seed);
    world->loss = 100;
    world->duplication = 100;
    world->delay_us = 10000;
    start(world, 2, "orders", WIRE__ROLE__PARTICIPANT);
    uint64_t digest = 0;
    for (uint64_t i = 1; i <= 300; i++) {
        if (only_peer(world))
            send_number(only_peer(world), i, 100, false);
        run(world, 3000);
        const struct transport_counters *counters = transport_counters(world->ends[0].transport);
        digest = digest * 31 + counters->bytes_sent + counters->frames_received * 7 + world->order;
    }
    world_free(world);
    return digest;
}

static void the_same_seed_gives_the_same_run(void **state)
{
    (void)state;
    assert_true(digest_of_a_run(1) == digest_of_a_run(1));
    assert_false(digest_of_a_run(1) == digest_of_a_run(2));
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_tells_both_ends_who_is_there),
        cmocka_unit_test(a_hello_said_twice_makes_one_session),
        cmocka_unit_test(a_hello_is_repeated_until_somebody_answers),
        cmocka_unit_test(a_full_link_delays_the_hello_only_until_it_takes_it),
        cmocka_unit_test(hellos_before_the_acceptor_opened_are_not_answered),
        cmocka_unit_test(a_refused_connector_hears_why_and_goes_on_trying),
        cmocka_unit_test(the_wrong_cluster_is_refused_and_none_is_any_for_a_client),
        cmocka_unit_test(a_bad_name_or_version_is_refused),
        cmocka_unit_test(messages_come_once_and_in_order_over_a_perfect_link),
        cmocka_unit_test(messages_come_once_and_in_order_whatever_the_link_does),
        cmocka_unit_test(a_turn_sends_one_frame_for_many_messages),
        cmocka_unit_test(an_acknowledgement_waits_for_a_message_to_travel_with),
        cmocka_unit_test(a_busy_peer_gets_its_messages_in_fewer_frames),
        cmocka_unit_test(what_was_paced_still_comes_before_the_end),
        cmocka_unit_test(a_message_may_be_as_large_as_the_limit_and_no_larger),
        cmocka_unit_test(frames_to_a_client_fit_its_socket),
        cmocka_unit_test(the_window_bounds_what_is_unacknowledged),
        cmocka_unit_test(a_full_queue_takes_only_what_must),
        cmocka_unit_test(a_link_that_is_full_is_tried_again),
        cmocka_unit_test(an_idle_session_lives_on_beats_alone),
        cmocka_unit_test(an_answer_from_a_handler_goes_out_in_the_same_turn),
        cmocka_unit_test(three_missed_beats_end_the_session_and_redial),
        cmocka_unit_test(nothing_of_a_session_reaches_the_next),
        cmocka_unit_test(a_pause_of_our_own_is_not_the_others_silence),
        cmocka_unit_test(a_restarted_acceptor_tells_strangers_at_once),
        cmocka_unit_test(a_broken_connection_ends_the_session_and_another_begins),
        cmocka_unit_test(a_closed_session_tells_the_other_side_why),
        cmocka_unit_test(a_handler_may_close_its_peer),
        cmocka_unit_test(a_peer_closed_as_it_comes_up_is_not_asked_for_in_a_fast_loop),
        cmocka_unit_test(the_newest_process_of_a_participant_wins),
        cmocka_unit_test(a_replaced_process_that_missed_the_news_is_refused),
        cmocka_unit_test(clients_of_one_name_live_side_by_side),
        cmocka_unit_test(a_dead_process_s_late_frames_push_nobody_out),
        cmocka_unit_test(garbage_is_counted_and_dropped),
        cmocka_unit_test(frames_of_a_session_from_another_connection_are_dropped),
        cmocka_unit_test(a_session_ends_when_its_own_peer_talks_nonsense),
        cmocka_unit_test(messages_of_a_newer_version_are_skipped),
        cmocka_unit_test(a_flood_of_hellos_is_bounded),
        cmocka_unit_test(strangers_are_answered_at_a_bounded_rate),
        cmocka_unit_test(a_session_lives_at_the_pace_of_its_slower_end),
        cmocka_unit_test(order_holds_and_everybody_is_back_whatever_happened),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
