/* Bytes that nobody should send: counted and dropped, never trusted. */
#include "tests/unit/transport_kit.h"

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

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(garbage_is_counted_and_dropped),
        cmocka_unit_test(frames_of_a_session_from_another_connection_are_dropped),
        cmocka_unit_test(a_session_ends_when_its_own_peer_talks_nonsense),
        cmocka_unit_test(messages_of_a_newer_version_are_skipped),
        cmocka_unit_test(a_flood_of_hellos_is_bounded),
        cmocka_unit_test(strangers_are_answered_at_a_bounded_rate),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
