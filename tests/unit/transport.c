/* How sessions begin and end. */
#include "tests/unit/transport_kit.h"

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

static void a_connector_learns_whose_door_it_is(void **state)
{
    (void)state;
    static const Wire__Role roles[] = {WIRE__ROLE__ROLE_NONE, WIRE__ROLE__PARTICIPANT};
    for (int i = 0; i < 2; i++) {
        struct world *world = world_new(5);
        start(world, 0, "c1", WIRE__ROLE__ROLE_NONE);
        stop(world, 0);
        struct end *end = &world->ends[0];
        struct transport_events events = {end, ev_admit, ev_up, ev_message, ev_down, ev_refused};
        struct transport_config config = {.acceptor = true,
                                          .cluster = "shop",
                                          .name = "inventory",
                                          .role = roles[i],
                                          .heartbeat_us = HEARTBEAT_US,
                                          .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
        end->transport = transport_new(&config, &end->host, &end->link, &events);
        transport_open(end->transport, 9);
        start(world, 1, "payments", WIRE__ROLE__PARTICIPANT);
        run(world, 2 * HEARTBEAT_US);
        struct peer *peer = transport_peer(world->ends[1].transport);
        assert_non_null(peer);
        assert_string_equal(peer_name(peer), "inventory");
        assert_int_equal(peer_role(peer), roles[i]);
        world_free(world);
    }
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

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_session_tells_both_ends_who_is_there),
        cmocka_unit_test(a_hello_said_twice_makes_one_session),
        cmocka_unit_test(a_hello_is_repeated_until_somebody_answers),
        cmocka_unit_test(a_full_link_delays_the_hello_only_until_it_takes_it),
        cmocka_unit_test(hellos_before_the_acceptor_opened_are_not_answered),
        cmocka_unit_test(a_connector_learns_whose_door_it_is),
        cmocka_unit_test(a_refused_connector_hears_why_and_goes_on_trying),
        cmocka_unit_test(the_wrong_cluster_is_refused_and_none_is_any_for_a_client),
        cmocka_unit_test(a_bad_name_or_version_is_refused),
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
        cmocka_unit_test(a_session_lives_at_the_pace_of_its_slower_end),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
