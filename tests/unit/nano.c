/* Links over real sockets on loopback: both ends in one loop. */
#include "io/nano.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/transport.h"

enum { FRAME_BYTES = LIMIT_AGENT_FRAME_BYTES, LIMIT_US = 20000000 };

/* ---- a loop that runs until something is true ------------------------------------------------ */

struct side {
    struct nano *nano;
    size_t frames, bytes, last_size;
    uint64_t route;
    int broken;
    unsigned char last[64];
    bool echo;
};

struct bench {
    struct loop *loop;
    struct side acceptor, connector;
    char address[64];
    int port;
    bool (*done)(struct bench *bench);
    uint64_t until_us;
    int turns;
    bool happened;
};

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct side *side = self;
    side->frames++;
    side->bytes += size;
    side->last_size = size;
    side->route = route;
    memcpy(side->last, frame, size < sizeof(side->last) ? size : sizeof(side->last));
    if (side->echo) {
        const struct link_port *link = nano_link(side->nano);
        assert_true(link->send(link->self, route, frame, size));
    }
}

static void on_broken(void *self)
{
    ((struct side *)self)->broken++;
}

static uint64_t look(void *self)
{
    struct bench *bench = self;
    const struct host_port *host = loop_host(bench->loop);
    uint64_t now_us = host->now_us(host->self);
    bench->happened = bench->happened || (bench->done && bench->done(bench));
    if (bench->happened || now_us >= bench->until_us)
        loop_stop(bench->loop);
    return now_us + 5000; /* a send that the link did not take is tried again in `done` */
}

static bool happens(struct bench *bench, bool (*done)(struct bench *bench))
{
    const struct host_port *host = loop_host(bench->loop);
    bench->done = done;
    bench->happened = false;
    bench->until_us = host->now_us(host->self) + LIMIT_US;
    loop_run(bench->loop);
    bench->done = NULL;
    return bench->happened;
}

static int free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&name, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&name, &size), 0);
    close(fd);
    return ntohs(name.sin_port);
}

static void listen_now(struct bench *bench)
{
    struct error error = {0};
    struct nano_events events = {&bench->acceptor, on_frame, on_broken};
    bench->acceptor.nano = nano_listen(bench->loop, bench->address, FRAME_BYTES, &events, &error);
    if (!bench->acceptor.nano)
        print_error("%s\n", error.message);
    assert_non_null(bench->acceptor.nano);
}

static struct bench *bench_new(const char *host, bool listening)
{
    struct bench *bench = xcalloc(1, sizeof(*bench));
    bench->loop = loop_new();
    bench->port = free_port();
    snprintf(bench->address, sizeof(bench->address), "tcp://%s:%d", host, bench->port);
    loop_on_settle(bench->loop, look, bench);
    if (listening)
        listen_now(bench);
    struct nano_events events = {&bench->connector, on_frame, on_broken};
    struct error error;
    bench->connector.nano = nano_connect(bench->loop, bench->address, FRAME_BYTES, &events, &error);
    assert_non_null(bench->connector.nano);
    return bench;
}

static void bench_free(struct bench *bench)
{
    nano_close(bench->acceptor.nano, 0);
    nano_close(bench->connector.nano, 0);
    loop_free(bench->loop);
    free(bench);
}

static bool send_from(struct side *side, const void *frame, size_t size)
{
    const struct link_port *link = nano_link(side->nano);
    return link->send(link->self, side->route, frame, size);
}

static bool greeting_came(struct bench *bench)
{
    if (bench->acceptor.frames == 0) {
        send_from(&bench->connector, "hello", 5);
        return false;
    }
    return true;
}

static bool answer_came(struct bench *bench)
{
    return bench->connector.frames > 0;
}

/* Says hello until it comes, so that the acceptor knows the route. */
static void meet(struct bench *bench)
{
    bench->acceptor.frames = bench->connector.frames = 0;
    assert_true(happens(bench, greeting_came));
    assert_true(send_from(&bench->acceptor, "welcome", 7));
    assert_true(happens(bench, answer_came));
    bench->acceptor.frames = bench->connector.frames = 0;
    bench->acceptor.bytes = bench->connector.bytes = 0;
}

/* ---- tests ----------------------------------------------------------------------------------- */

static void frames_travel_both_ways(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    assert_true(happens(bench, greeting_came));
    assert_memory_equal(bench->acceptor.last, "hello", 5);
    assert_int_equal(bench->acceptor.last_size, 5);
    assert_true(send_from(&bench->acceptor, "welcome", 7));
    assert_true(happens(bench, answer_came));
    assert_memory_equal(bench->connector.last, "welcome", 7);
    assert_int_equal(bench->connector.last_size, 7);
    assert_int_equal(bench->connector.route, 0);
    assert_int_equal(bench->connector.broken, 0);
    assert_null(nano_link(bench->acceptor.nano)->redial);
    bench_free(bench);
}

static void ipv6_loopback_works(void **state)
{
    (void)state;
    struct in6_addr loopback = IN6ADDR_LOOPBACK_INIT;
    struct sockaddr_in6 name = {.sin6_family = AF_INET6, .sin6_addr = loopback};
    int fd = socket(AF_INET6, SOCK_STREAM, 0);
    bool possible = fd >= 0 && bind(fd, (struct sockaddr *)&name, sizeof(name)) == 0;
    close(fd);
    if (!possible)
        skip();
    struct bench *bench = bench_new("[::1]", true);
    meet(bench);
    bench_free(bench);
}

static bool all_came(struct bench *bench)
{
    return bench->acceptor.bytes >= 300u * 1000;
}

static void an_early_frame_is_not_taken_and_a_frame_may_be_as_large_as_the_limit(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", false);
    assert_false(send_from(&bench->connector, "early", 5));
    listen_now(bench);
    meet(bench);
    char *large = xcalloc(1, FRAME_BYTES);
    large[0] = 'L';
    assert_true(send_from(&bench->connector, large, FRAME_BYTES));
    bench->acceptor.bytes = 300u * 1000 - FRAME_BYTES;
    assert_true(happens(bench, all_came));
    assert_int_equal(bench->acceptor.last_size, FRAME_BYTES);
    assert_int_equal(bench->acceptor.last[0], 'L');
    free(large);
    bench_free(bench);
}

enum { MANY = 5000 };
static int pushed;

static bool many_came(struct bench *bench)
{
    char frame[200] = {0};
    while (pushed < MANY && send_from(&bench->connector, frame, sizeof(frame)))
        pushed++;
    return bench->acceptor.frames == MANY;
}

static void a_connector_pushes_more_than_the_buffers_hold_and_loses_nothing(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    meet(bench);
    pushed = 0;
    assert_true(happens(bench, many_came));
    assert_int_equal(bench->acceptor.bytes, MANY * 200);
    bench_free(bench);
}

static void a_full_link_says_so(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    meet(bench);
    /* Nobody reads while the loop stands still, so the kernel's and the socket's buffers fill. */
    char *large = xcalloc(1, FRAME_BYTES);
    int taken = 0;
    while (taken < 1000 && send_from(&bench->connector, large, FRAME_BYTES))
        taken++;
    assert_true(taken < 1000);
    free(large);
    pushed = 0;
    bench->acceptor.frames = 0;
    struct side *acceptor = &bench->acceptor;
    acceptor->frames -= (size_t)taken;
    assert_true(happens(bench, many_came));
    bench_free(bench);
}

static bool connector_noticed(struct bench *bench)
{
    return bench->connector.broken > 0;
}

static void a_lost_acceptor_is_noticed_and_found_again(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    meet(bench);
    uint64_t route = bench->acceptor.route;
    nano_close(bench->acceptor.nano, 0);
    bench->acceptor.nano = NULL;
    assert_true(happens(bench, connector_noticed));
    listen_now(bench);
    meet(bench);
    assert_true(bench->acceptor.route != route);
    assert_int_equal(bench->connector.broken, 1);
    bench_free(bench);
}

static bool four_looks_later(struct bench *bench)
{
    const struct host_port *host = loop_host(bench->loop);
    return host->now_us(host->self) + LIMIT_US > bench->until_us + 400000;
}

/* The acceptor is there again before the watch has looked, or after: either way a session of that
 * connection is not ended for the break before it. */
static void what_broke_before_a_session_does_not_end_it(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    for (int i = 0; i < 5; i++) {
        meet(bench);
        nano_close(bench->acceptor.nano, 0);
        listen_now(bench);
        meet(bench);
        const struct link_port *link = nano_link(bench->connector.nano);
        link->renewed(link->self);
        int broken = bench->connector.broken;
        assert_true(happens(bench, four_looks_later));
        assert_int_equal(bench->connector.broken, broken);
    }
    bench_free(bench);
}

static void a_redial_makes_a_new_connection(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    meet(bench);
    for (int i = 0; i < 5; i++) {
        uint64_t route = bench->acceptor.route;
        const struct link_port *link = nano_link(bench->connector.nano);
        link->redial(link->self);
        meet(bench);
        assert_true(bench->acceptor.route != route);
    }
    assert_int_equal(bench->connector.broken, 0);
    bench_free(bench);
}

static bool echoed(struct bench *bench)
{
    return bench->connector.frames == 1;
}

static void a_frame_to_a_connection_that_is_gone_harms_nobody(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    meet(bench);
    uint64_t route = bench->acceptor.route;
    bench->acceptor.route ^= 0x10; /* another key */
    assert_true(send_from(&bench->acceptor, "lost", 4));
    bench->acceptor.route = route;
    bench->acceptor.echo = true;
    assert_true(send_from(&bench->connector, "ping", 4));
    assert_true(happens(bench, echoed));
    assert_memory_equal(bench->connector.last, "ping", 4);
    bench_free(bench);
}

static int raw_connection(const struct bench *bench)
{
    struct sockaddr_in name = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                               .sin_port = htons((uint16_t)bench->port)};
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(connect(fd, (struct sockaddr *)&name, sizeof(name)), 0);
    return fd;
}

static void garbage_on_the_port_reaches_nobody(void **state)
{
    (void)state;
    /* SP's greeting of a REQ, then: 8 bytes of size and the message. */
#define GREETING "\0SP\0\0\x30\0\0"
    static const struct {
        const char *bytes;
        size_t size;
    } garbage[] = {
        {"GET / HTTP/1.0\r\n\r\n", 18},
        {"\0SP\0\0\x31\0\0", 8},                                   /* a REP */
        {GREETING "\0\0\0\0\0\0\0\0", 16},                         /* empty */
        {GREETING "\0\0\0\0\0\0\0\1x", 17},                        /* no header */
        {GREETING "\0\0\0\0\0\0\0\10\0\0\0\1\0\0\0\2", 24},        /* without an end */
        {GREETING "\0\0\0\0\0\0\0\15\0\0\0\1\x80\0\0\1hello", 29}, /* one hop too many */
        {GREETING "\0\0\0\0\0\0\0\21\0\0\0\1\0\0\0\1\x80\0\0\1hello", 33},
        {GREETING "\377\377\377\377\377\377\377\377", 16}, /* larger than all */
        {GREETING "\0\0\0\0\0\20\0\0", 16},                /* over the limit */
        {GREETING "\0\0\0\0\0\0\0\11\x80\0", 18},          /* cut off */
    };
    struct bench *bench = bench_new("127.0.0.1", true);
    meet(bench);
    int fds[sizeof(garbage) / sizeof(garbage[0])];
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++) {
        fds[i] = raw_connection(bench);
        assert_int_equal(send(fds[i], garbage[i].bytes, garbage[i].size, MSG_NOSIGNAL),
                         garbage[i].size);
    }
    bench->acceptor.echo = true;
    for (int i = 0; i < 10; i++) {
        bench->connector.frames = 0;
        assert_true(send_from(&bench->connector, "ping", 4));
        assert_true(happens(bench, echoed));
    }
    assert_int_equal(bench->acceptor.frames, 10);
    for (size_t i = 0; i < sizeof(garbage) / sizeof(garbage[0]); i++)
        close(fds[i]);
    bench_free(bench);
}

static void a_port_in_use_is_told_with_its_address(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    struct nano_events events = {bench, on_frame, on_broken};
    struct error error = {0};
    assert_null(nano_listen(bench->loop, bench->address, FRAME_BYTES, &events, &error));
    assert_int_equal(error.kind, ERROR_IO);
    assert_non_null(strstr(error.message, bench->address));
    assert_non_null(strstr(error.message, "in use"));
    assert_non_null(strstr(error.hint, "listen:"));
    assert_null(nano_listen(bench->loop, "tcp://192.0.2.1:7400", FRAME_BYTES, &events, &error));
    assert_non_null(strstr(error.message, "tcp://192.0.2.1:7400"));
    bench_free(bench);
}

static bool greeting_taken(struct bench *bench)
{
    return send_from(&bench->connector, "hello", 5);
}

/* The loop turns every 5 ms: a frame over loopback takes less than one. */
static bool many_turns(struct bench *bench)
{
    return ++bench->turns == 20;
}

static bool frame_came(struct bench *bench)
{
    return bench->acceptor.frames > 0;
}

static void what_comes_to_a_paused_acceptor_waits(void **state)
{
    (void)state;
    struct bench *bench = bench_new("127.0.0.1", true);
    nano_pause(bench->acceptor.nano, true);
    assert_true(happens(bench, greeting_taken));
    assert_true(happens(bench, many_turns));
    assert_int_equal(bench->acceptor.frames, 0);
    nano_pause(bench->acceptor.nano, false);
    assert_true(happens(bench, frame_came));
    assert_int_equal(bench->acceptor.frames, 1);
    assert_true(send_from(&bench->acceptor, "welcome", 7));
    assert_true(happens(bench, answer_came));
    bench_free(bench);
}

static void a_port_in_use_can_be_waited_for(void **state)
{
    (void)state;
    struct error error = {0};
    struct bench *bench = bench_new("127.0.0.1", true);
    struct nano_events events = {&bench->acceptor, on_frame, on_broken};
    meet(bench);
    struct nano *next =
        nano_listen_when_free(bench->loop, bench->address, FRAME_BYTES, &events, &error);
    assert_non_null(next);
    assert_false(nano_listens(next));
    assert_true(nano_listens(bench->acceptor.nano));
    assert_true(send_from(&bench->acceptor, "welcome", 7)); /* still its holder's */
    assert_true(happens(bench, answer_came));
    nano_close(bench->acceptor.nano, 0);
    bench->acceptor.nano = next;
    meet(bench);
    assert_true(nano_listens(next));
    assert_null(
        nano_listen_when_free(bench->loop, "tcp://192.0.2.1:7400", FRAME_BYTES, &events, &error));
    bench_free(bench);
}

static void only_numeric_addresses_are_taken(void **state)
{
    (void)state;
    static const struct {
        const char *address, *word; /* NULL: fine */
    } cases[] = {
        {"tcp://127.0.0.1:7400", NULL},
        {"tcp://127.8.9.10:1", NULL},
        {"tcp://[::1]:65535", NULL},
        {"tcp://localhost:7400", "numeric host"},
        {"tcp://*:7400", "numeric host"},
        {"tcp://::1:7400", "numeric host"},
        {"tcp://[::1:7400", "numeric host"},
        {"tcp://[]:7400", "numeric host"},
        {"tcp://127.0.0.1", "not an address"},
        {"tcp://127.0.0.1:", "valid port"},
        {"tcp://127.0.0.1:0", "valid port"},
        {"tcp://127.0.0.1:65536", "valid port"},
        {"tcp://127.0.0.1:74x0", "valid port"},
        {"tcp://127.0.0.1:99999999999", "valid port"},
        {"ipc:///tmp/x", "not an address"},
        {"127.0.0.1:7400", "not an address"},
        {"", "not an address"},
        {"tcp://10.0.0.1:7400", "loopback"},
        {"tcp://0.0.0.0:7400", "loopback"},
        {"tcp://[::]:7400", "loopback"},
        {"tcp://128.0.0.1:7400", "loopback"},
    };
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        bool fine = nano_address_check(cases[i].address, true, &error);
        assert_int_equal(fine, cases[i].word == NULL);
        if (!fine) {
            assert_non_null(strstr(error.message, cases[i].word));
            assert_true(error.hint[0] != '\0');
        }
    }
    assert_true(nano_address_check("tcp://10.0.0.1:7400", false, NULL));
}

/* ---- transport and nanomsg together ---------------------------------------------------------- */

struct node {
    struct transport *transport;
    struct nano *nano;
    uint64_t received;
    int ups, downs;
};

static void node_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    transport_frame(((struct node *)self)->transport, route, frame, size);
}

static void node_broken(void *self)
{
    transport_broken(((struct node *)self)->transport);
}

static uint64_t node_settle(void *self)
{
    struct node *node = self;
    return node->transport ? transport_settle(node->transport) : UINT64_MAX;
}

static void node_up(void *self, struct peer *peer)
{
    (void)peer;
    ((struct node *)self)->ups++;
}

static void node_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct node *node = self;
    (void)peer;
    assert_int_equal(message->lookup->branch->seq, ++node->received);
}

static void node_down(void *self, struct peer *peer, const char *reason)
{
    (void)peer;
    (void)reason;
    ((struct node *)self)->downs++;
}

static void node_open(struct bench *bench, struct node *node, bool acceptor)
{
    struct error error;
    struct nano_events events = {node, node_frame, node_broken};
    node->nano = acceptor ? nano_listen(bench->loop, bench->address, FRAME_BYTES, &events, &error)
                          : nano_connect(bench->loop, bench->address, FRAME_BYTES, &events, &error);
    assert_non_null(node->nano);
    struct transport_config config = {.acceptor = acceptor,
                                      .cluster = "shop",
                                      .name = acceptor ? "c1" : "payments",
                                      .role = WIRE__ROLE__PARTICIPANT,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = FRAME_BYTES};
    struct transport_events up = {node, NULL, node_up, node_message, node_down, NULL};
    node->transport = transport_new(&config, loop_host(bench->loop), nano_link(node->nano), &up);
    if (acceptor)
        transport_open(node->transport, 3);
}

static void node_close(struct node *node)
{
    transport_free(node->transport);
    nano_close(node->nano, 0);
    node->transport = NULL;
}

static struct node one, two;

static bool both_up(struct bench *bench)
{
    (void)bench;
    return transport_peer(one.transport) && transport_peer(two.transport);
}

static bool all_delivered(struct bench *bench)
{
    return both_up(bench) && one.received == 20000 && two.received == 20000 &&
           peer_idle(transport_peer(one.transport)) && peer_idle(transport_peer(two.transport));
}

static bool came_up_again(struct bench *bench)
{
    return two.ups == 2 && both_up(bench);
}

static void a_session_runs_over_sockets_and_survives_a_restart(void **state)
{
    (void)state;
    struct bench *bench = xcalloc(1, sizeof(*bench));
    bench->loop = loop_new();
    snprintf(bench->address, sizeof(bench->address), "tcp://127.0.0.1:%d", free_port());
    loop_on_settle(bench->loop, look, bench);
    one = two = (struct node){0};
    node_open(bench, &two, false);
    node_open(bench, &one, true);
    loop_on_settle(bench->loop, node_settle, &one);
    loop_on_settle(bench->loop, node_settle, &two);
    assert_true(happens(bench, both_up));
    for (uint64_t i = 1; i <= 20000; i++) {
        Wire__Branch branch = WIRE__BRANCH__INIT;
        Wire__Lookup lookup = WIRE__LOOKUP__INIT;
        Wire__Message message = WIRE__MESSAGE__INIT;
        branch.seq = i;
        lookup.branch = &branch;
        message.body_case = WIRE__MESSAGE__BODY_LOOKUP;
        message.lookup = &lookup;
        assert_true(peer_send(transport_peer(one.transport), &message, false));
        assert_true(peer_send(transport_peer(two.transport), &message, false));
    }
    assert_true(happens(bench, all_delivered));
    node_close(&one);
    node_open(bench, &one, true);
    assert_true(happens(bench, came_up_again));
    node_close(&one);
    node_close(&two);
    loop_free(bench->loop);
    free(bench);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_travel_both_ways),
        cmocka_unit_test(ipv6_loopback_works),
        cmocka_unit_test(an_early_frame_is_not_taken_and_a_frame_may_be_as_large_as_the_limit),
        cmocka_unit_test(a_connector_pushes_more_than_the_buffers_hold_and_loses_nothing),
        cmocka_unit_test(a_full_link_says_so),
        cmocka_unit_test(a_lost_acceptor_is_noticed_and_found_again),
        cmocka_unit_test(what_broke_before_a_session_does_not_end_it),
        cmocka_unit_test(a_redial_makes_a_new_connection),
        cmocka_unit_test(a_frame_to_a_connection_that_is_gone_harms_nobody),
        cmocka_unit_test(garbage_on_the_port_reaches_nobody),
        cmocka_unit_test(a_port_in_use_is_told_with_its_address),
        cmocka_unit_test(what_comes_to_a_paused_acceptor_waits),
        cmocka_unit_test(a_port_in_use_can_be_waited_for),
        cmocka_unit_test(only_numeric_addresses_are_taken),
        cmocka_unit_test(a_session_runs_over_sockets_and_survives_a_restart),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
