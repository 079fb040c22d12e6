/* A client over a link that the test holds in its hands, with an acceptor's transport behind it. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "client/client.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/transport.h"

enum { QUEUE = 64 };

struct frame {
    void *bytes;
    size_t size;
};

/* Frames on their way in one direction. */
struct pipe {
    struct frame frames[QUEUE];
    int count;
    bool cut; /* frames are lost */
};

struct world {
    uint64_t now_us;
    struct host_port host;
    struct pipe to_server, to_client;
    struct link_port client_link, server_link;
    struct client *client;
    struct transport *server;
    struct peer *peer; /* the client, as the server sees it */
    bool refuse;
    int ups, downs, refusals, outcomes, answers;
    char text[200]; /* of the last event that has one */
    uint64_t last_request;
    uint64_t submits, queries;
};

static uint64_t now_us(void *self)
{
    return ((struct world *)self)->now_us;
}

static int64_t wall_us(void *self)
{
    return (int64_t)((struct world *)self)->now_us;
}

static void random_bytes(void *self, void *buffer, size_t size)
{
    static unsigned char next = 1;
    (void)self;
    for (size_t i = 0; i < size; i++)
        ((unsigned char *)buffer)[i] = next++;
}

static void no_log(void *self, enum log_level level, const char *line)
{
    (void)self, (void)level, (void)line;
}

static bool pipe_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct pipe *pipe = self;
    (void)route;
    if (pipe->cut)
        return true;
    assert_true(pipe->count < QUEUE);
    pipe->frames[pipe->count].bytes = memcpy(xmalloc(size), frame, size);
    pipe->frames[pipe->count++].size = size;
    return true;
}

static void no_redial(void *self)
{
    (void)self;
}

static void client_up(void *self)
{
    ((struct world *)self)->ups++;
}

static void client_down(void *self, const char *reason)
{
    struct world *world = self;
    world->downs++;
    snprintf(world->text, sizeof(world->text), "%s", reason);
}

static void client_outcome(void *self, const Wire__Outcome *outcome)
{
    struct world *world = self;
    world->outcomes++;
    world->last_request = outcome->request;
    snprintf(world->text, sizeof(world->text), "%s", outcome->gtrid);
}

static void client_answer(void *self, const Wire__Answer *answer)
{
    struct world *world = self;
    world->answers++;
    world->last_request = answer->request;
}

static void client_refused(void *self, const char *reason, const char *hint)
{
    struct world *world = self;
    world->refusals++;
    snprintf(world->text, sizeof(world->text), "%s|%s", reason, hint);
}

static bool server_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    struct world *world = self;
    assert_int_equal(hello->role, WIRE__ROLE__CLIENT);
    assert_string_equal(hello->cluster, "");
    if (!world->refuse)
        return true;
    error_set(error, ERROR_REFUSED, "not today");
    return error_hint(error, "come back");
}

static void server_up(void *self, struct peer *peer)
{
    ((struct world *)self)->peer = peer;
}

static void server_down(void *self, struct peer *peer, const char *reason)
{
    (void)peer, (void)reason;
    ((struct world *)self)->peer = NULL;
}

static void server_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct world *world = self;
    Wire__Message reply = WIRE__MESSAGE__INIT;
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    if (message->body_case == WIRE__MESSAGE__BODY_SUBMIT) {
        world->submits++;
        outcome.request = message->submit->request;
        outcome.gtrid = (char *)"shop.c1.1.1";
        outcome.result = WIRE__RESULT__COMMITTED;
        reply.body_case = WIRE__MESSAGE__BODY_OUTCOME;
        reply.outcome = &outcome;
    } else {
        assert_int_equal(message->body_case, WIRE__MESSAGE__BODY_QUERY);
        world->queries++;
        answer.request = message->query->request;
        reply.body_case = WIRE__MESSAGE__BODY_ANSWER;
        reply.answer = &answer;
    }
    assert_true(peer_send(peer, &reply, true));
}

static void deliver(struct world *world, struct pipe *pipe, bool to_server)
{
    struct pipe taken = *pipe;
    pipe->count = 0;
    for (int i = 0; i < taken.count; i++) {
        if (to_server)
            transport_frame(world->server, 5, taken.frames[i].bytes, taken.frames[i].size);
        else
            client_frame(world->client, taken.frames[i].bytes, taken.frames[i].size);
        free(taken.frames[i].bytes);
    }
}

/* Both sides take turns for this long. */
static void run(struct world *world, uint64_t us)
{
    for (uint64_t end = world->now_us + us; world->now_us < end; world->now_us += 10000) {
        client_settle(world->client);
        deliver(world, &world->to_server, true);
        transport_settle(world->server);
        deliver(world, &world->to_client, false);
    }
}

static int setup(void **state)
{
    struct world *world = xcalloc(1, sizeof(*world));
    *state = world;
    world->now_us = 1000000;
    world->host = (struct host_port){world, now_us, wall_us, random_bytes, no_log};
    world->client_link = (struct link_port){&world->to_server, pipe_send, no_redial};
    world->server_link = (struct link_port){&world->to_client, pipe_send, NULL};
    struct client_events client_events = {.self = world,
                                          .up = client_up,
                                          .down = client_down,
                                          .outcome = client_outcome,
                                          .answer = client_answer,
                                          .refused = client_refused};
    world->client = client_new(NULL, "cli-1", &world->host, &world->client_link, &client_events);
    struct transport_config config = {.acceptor = true,
                                      .cluster = "shop",
                                      .name = "c1",
                                      .role = WIRE__ROLE__ROLE_NONE,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_CLIENT_FRAME_BYTES};
    struct transport_events events = {.self = world,
                                      .admit = server_admit,
                                      .up = server_up,
                                      .message = server_message,
                                      .down = server_down};
    world->server = transport_new(&config, &world->host, &world->server_link, &events);
    transport_open(world->server, 7);
    return 0;
}

static int teardown(void **state)
{
    struct world *world = *state;
    client_free(world->client);
    transport_free(world->server);
    for (int i = 0; i < world->to_server.count; i++)
        free(world->to_server.frames[i].bytes);
    for (int i = 0; i < world->to_client.count; i++)
        free(world->to_client.frames[i].bytes);
    free(world);
    return 0;
}

static void nothing_is_sent_before_the_session_is_up(void **state)
{
    struct world *world = *state;
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    Wire__Query query = WIRE__QUERY__INIT;
    assert_false(client_connected(world->client));
    assert_null(client_coordinator(world->client));
    assert_false(client_submit(world->client, &submit));
    assert_false(client_query(world->client, &query));
    assert_false(client_idle(world->client));
}

static void a_session_tells_the_name_of_the_coordinator(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    assert_int_equal(world->ups, 1);
    assert_true(client_connected(world->client));
    assert_string_equal(client_coordinator(world->client), "c1");
}

static void a_submit_is_carried_once_and_its_outcome_comes_back(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    submit.request = 41;
    assert_true(client_submit(world->client, &submit));
    run(world, 1000000);
    assert_int_equal(world->submits, 1);
    assert_int_equal(world->outcomes, 1);
    assert_int_equal(world->last_request, 41);
    assert_string_equal(world->text, "shop.c1.1.1");
    assert_true(client_idle(world->client));
}

static void a_query_is_answered(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    Wire__Query query = WIRE__QUERY__INIT;
    query.request = 42;
    assert_true(client_query(world->client, &query));
    run(world, 1000000);
    assert_int_equal(world->queries, 1);
    assert_int_equal(world->answers, 1);
    assert_int_equal(world->last_request, 42);
}

static void a_submit_that_is_too_large_is_refused_here(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    char *arguments = xmalloc(LIMIT_MESSAGE_BYTES + 1);
    memset(arguments, ' ', LIMIT_MESSAGE_BYTES);
    arguments[LIMIT_MESSAGE_BYTES] = '\0';
    Wire__Call call = WIRE__CALL__INIT, *calls[] = {&call};
    call.participant = (char *)"payments";
    call.operation = (char *)"charge";
    call.arguments = arguments;
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    submit.calls = calls;
    submit.n_calls = 1;
    assert_false(client_submit(world->client, &submit));
    run(world, 1000000);
    assert_int_equal(world->submits, 0);
    free(arguments);
}

static void a_coordinator_that_falls_silent_ends_the_session(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    world->to_client.cut = true;
    run(world, 5000000);
    assert_int_equal(world->downs, 1);
    assert_false(client_connected(world->client));
    assert_null(client_coordinator(world->client));
    world->to_client.cut = false;
    run(world, 5000000);
    assert_true(client_connected(world->client));
    assert_int_equal(world->ups, 2);
}

static void a_request_of_a_lost_session_is_not_repeated(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    world->to_server.cut = true;
    Wire__Submit submit = WIRE__SUBMIT__INIT;
    assert_true(client_submit(world->client, &submit));
    client_settle(world->client);
    world->to_client.cut = true;
    run(world, 5000000);
    assert_int_equal(world->downs, 1);
    world->to_server.cut = world->to_client.cut = false;
    run(world, 5000000);
    assert_true(client_connected(world->client));
    assert_int_equal(world->submits, 0);
    assert_int_equal(world->outcomes, 0);
}

static void a_client_that_leaves_ends_its_session_at_once(void **state)
{
    struct world *world = *state;
    run(world, 1000000);
    assert_non_null(world->peer);
    client_leave(world->client);
    assert_false(client_connected(world->client));
    deliver(world, &world->to_server, true);
    assert_null(world->peer);
}

static void a_refusal_is_told_with_its_reason(void **state)
{
    struct world *world = *state;
    world->refuse = true;
    run(world, 1000000);
    assert_true(world->refusals >= 1);
    assert_string_equal(world->text, "not today|come back");
    assert_false(client_connected(world->client));
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        TEST(nothing_is_sent_before_the_session_is_up),
        TEST(a_session_tells_the_name_of_the_coordinator),
        TEST(a_submit_is_carried_once_and_its_outcome_comes_back),
        TEST(a_query_is_answered),
        TEST(a_submit_that_is_too_large_is_refused_here),
        TEST(a_coordinator_that_falls_silent_ends_the_session),
        TEST(a_request_of_a_lost_session_is_not_repeated),
        TEST(a_client_that_leaves_ends_its_session_at_once),
        TEST(a_refusal_is_told_with_its_reason),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
