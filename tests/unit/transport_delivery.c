/* What a session delivers: once and in order, within its window, whatever the link does. */
#include "tests/unit/transport_kit.h"

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

static void nothing_waits_longer_than_its_turn(void **state)
{
    (void)state;
    struct world *world = connected(9);
    const struct transport_counters *counters = transport_counters(world->ends[0].transport);
    run(world, 10000);
    uint64_t before = counters->frames_sent;
    for (uint64_t i = 1; i <= 20; i++) {
        assert_true(send_number(only_peer(world), i, 10, false));
        transport_settle(world->ends[0].transport);
        assert_int_equal(counters->frames_sent, before + i);
    }
    run(world, 1000);
    assert_in_order(&world->ends[1], 20);
    world_free(world);
}

static void what_was_not_sent_yet_still_comes_before_the_end(void **state)
{
    (void)state;
    struct world *world = connected(9);
    struct peer *peer = only_peer(world);
    run(world, 10000);
    for (uint64_t i = 1; i <= 20; i++)
        assert_true(send_number(peer, i, 10, false));
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
        cmocka_unit_test(messages_come_once_and_in_order_over_a_perfect_link),
        cmocka_unit_test(messages_come_once_and_in_order_whatever_the_link_does),
        cmocka_unit_test(a_turn_sends_one_frame_for_many_messages),
        cmocka_unit_test(an_acknowledgement_waits_for_a_message_to_travel_with),
        cmocka_unit_test(nothing_waits_longer_than_its_turn),
        cmocka_unit_test(what_was_not_sent_yet_still_comes_before_the_end),
        cmocka_unit_test(a_message_may_be_as_large_as_the_limit_and_no_larger),
        cmocka_unit_test(frames_to_a_client_fit_its_socket),
        cmocka_unit_test(the_window_bounds_what_is_unacknowledged),
        cmocka_unit_test(a_full_queue_takes_only_what_must),
        cmocka_unit_test(a_link_that_is_full_is_tried_again),
        cmocka_unit_test(an_idle_session_lives_on_beats_alone),
        cmocka_unit_test(an_answer_from_a_handler_goes_out_in_the_same_turn),
        cmocka_unit_test(order_holds_and_everybody_is_back_whatever_happened),
        cmocka_unit_test(the_same_seed_gives_the_same_run),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
