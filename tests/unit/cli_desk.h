/* A coordinator for the tests of the command line, or a participant's door: it answers as the test
 * says, and keeps what came. */
#ifndef TROTH_TESTS_UNIT_CLI_DESK_H
#define TROTH_TESTS_UNIT_CLI_DESK_H

#include "tests/unit/cli_kit.h"

#include <arpa/inet.h>
#include <sys/socket.h>

#include "core/limits.h"
#include "core/transport.h"

struct desk {
    struct loop *loop;
    struct nano *nano;
    struct transport *transport;
    char *address;
    bool refuse, hang_up, hang_up_submits;
    const Wire__Outcome *outcome;    /* the answer to a submit */
    const Wire__Answer *answers[16]; /* the answer to a query, by what; [0]: to an order */
    const Wire__Answer *ordered; /* to an order about a transaction that is no dry run; or NULL */
    const Wire__SagaOutcome *saga_outcome;
    /* Instead of answers, where it is there; NULL from it: as if it were not. */
    const Wire__Answer *(*page)(struct desk *desk, const Wire__Query *query);
    void *pages;
    Wire__Message *last;    /* the newest message that came */
    Wire__Message *request; /* the newest that is no query */
    int submits, orders;    /* orders: that are no dry runs */
};

static inline bool admit(void *self, const Wire__Hello *hello, struct error *error)
{
    struct desk *desk = self;
    assert_int_equal(strncmp(hello->name, "cli-", 4), 0);
    if (!desk->refuse)
        return true;
    error_set(error, ERROR_REFUSED, "speaks version 2, not 1");
    return error_hint(error, "use the troth of this trothd");
}

static inline void on_up(void *self, struct peer *peer)
{
    (void)self, (void)peer;
}

static inline void on_down(void *self, struct peer *peer, const char *reason)
{
    (void)self, (void)peer, (void)reason;
}

static inline void keep(Wire__Message **kept, const Wire__Message *message)
{
    if (*kept)
        wire__message__free_unpacked(*kept, NULL);
    size_t size = wire__message__get_packed_size(message);
    uint8_t *bytes = xmalloc(size);
    wire__message__pack(message, bytes);
    *kept = wire__message__unpack(NULL, size, bytes);
    free(bytes);
}

static inline const Wire__Answer *desk_answer(struct desk *desk, const Wire__Query *query)
{
    const Wire__Answer *answer = desk->page ? desk->page(desk, query) : NULL;
    if (!answer)
        answer = desk->answers[query->what];
    if (!answer)
        fail_msg("the test has no answer to a query of %d", query->what);
    return answer;
}

static inline uint64_t desk_request(const Wire__Message *message)
{
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_SAGA_ORDER:
        return message->saga_order->request;
    case WIRE__MESSAGE__BODY_TX_ORDER:
        return message->tx_order->request;
    default:
        return message->query->request;
    }
}

/* What is answered by an Answer. */
static inline const Wire__Answer *desk_reply(struct desk *desk, const Wire__Message *message)
{
    if (message->body_case == WIRE__MESSAGE__BODY_QUERY)
        return desk_answer(desk, message->query);
    bool done = message->body_case == WIRE__MESSAGE__BODY_TX_ORDER && !message->tx_order->dry_run;
    desk->orders += done;
    return done && desk->ordered ? desk->ordered : desk->answers[0];
}

static inline void on_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct desk *desk = self;
    Wire__Message reply = WIRE__MESSAGE__INIT;
    Wire__Outcome outcome;
    Wire__SagaOutcome saga_outcome;
    Wire__Answer answer;
    keep(&desk->last, message);
    if (message->body_case != WIRE__MESSAGE__BODY_QUERY)
        keep(&desk->request, message);
    desk->submits += message->body_case == WIRE__MESSAGE__BODY_SUBMIT;
    bool dry = message->body_case == WIRE__MESSAGE__BODY_TX_ORDER && message->tx_order->dry_run;
    bool submit = message->body_case == WIRE__MESSAGE__BODY_SUBMIT;
    if ((desk->hang_up && !dry) || (desk->hang_up_submits && submit)) {
        peer_close(peer, "the test hangs up");
        return;
    }
    if (message->body_case == WIRE__MESSAGE__BODY_SUBMIT) {
        outcome = *desk->outcome;
        outcome.request = message->submit->request;
        reply.body_case = WIRE__MESSAGE__BODY_OUTCOME;
        reply.outcome = &outcome;
    } else if (message->body_case == WIRE__MESSAGE__BODY_START_SAGA) {
        saga_outcome = *desk->saga_outcome;
        saga_outcome.request = message->start_saga->request;
        reply.body_case = WIRE__MESSAGE__BODY_SAGA_OUTCOME;
        reply.saga_outcome = &saga_outcome;
    } else {
        answer = *desk_reply(desk, message);
        answer.request = desk_request(message);
        reply.body_case = WIRE__MESSAGE__BODY_ANSWER;
        reply.answer = &answer;
    }
    assert_true(peer_send(peer, &reply, true));
}

static inline void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct desk *desk = self;
    transport_frame(desk->transport, route, frame, size);
}

static inline uint64_t settle(void *self)
{
    return transport_settle(((struct desk *)self)->transport);
}

/* An address that was free a moment ago. */
static inline char *free_address(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int number = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(number >= 0 && bind(number, (struct sockaddr *)&address, size) == 0);
    CHECK(getsockname(number, (struct sockaddr *)&address, &size) == 0);
    close(number);
    return xasprintf("tcp://127.0.0.1:%d", ntohs(address.sin_port));
}

static inline int setup_desk(void **state, const char *name, Wire__Role role)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    struct nano_events frames = {desk, on_frame, NULL};
    log_setup("cli_desk", LOG_TEXT, LOG_ERROR);
    desk->loop = loop_new();
    for (int tries = 0; !desk->nano && tries < 20; tries++) {
        free(desk->address);
        desk->address = free_address();
        desk->nano =
            nano_listen(desk->loop, desk->address, LIMIT_CLIENT_FRAME_BYTES, &frames, NULL);
    }
    assert_non_null(desk->nano);
    struct transport_config config = {.acceptor = true,
                                      .cluster = "shop",
                                      .name = name,
                                      .role = role,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_CLIENT_FRAME_BYTES};
    struct transport_events events = {
        .self = desk, .admit = admit, .up = on_up, .message = on_message, .down = on_down};
    desk->transport = transport_new(&config, loop_host(desk->loop), nano_link(desk->nano), &events);
    transport_open(desk->transport, 1);
    loop_on_settle(desk->loop, settle, desk);
    setenv("TROTH_COORDINATOR", desk->address, 1);
    *state = desk;
    return 0;
}

static inline int setup(void **state)
{
    return setup_desk(state, "c1", WIRE__ROLE__ROLE_NONE);
}

static inline int setup_door(void **state)
{
    return setup_desk(state, "payments", WIRE__ROLE__PARTICIPANT);
}

static inline int teardown(void **state)
{
    struct desk *desk = *state;
    unsetenv("TROTH_COORDINATOR");
    transport_free(desk->transport);
    nano_close(desk->nano, 0);
    loop_free(desk->loop);
    if (desk->last)
        wire__message__free_unpacked(desk->last, NULL);
    if (desk->request)
        wire__message__free_unpacked(desk->request, NULL);
    free(desk->address);
    free(desk);
    return 0;
}

static inline struct run ask(struct desk *desk, const char *const *words)
{
    return kit_run_on(desk->loop, NULL, NULL, words);
}

static inline Wire__Outcome outcome_of(Wire__Result result, Wire__Problem *problem)
{
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    outcome.gtrid = (char *)"shop.c1.7.1";
    outcome.result = result;
    outcome.applied = result == WIRE__RESULT__COMMITTED;
    outcome.problem = problem;
    return outcome;
}

static inline Wire__Problem problem_of(const char *code, const char *message)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)code;
    problem.message = (char *)message;
    return problem;
}

/* Every line fits a terminal. */
static inline void expect_narrow(const struct run *run)
{
    char *text = xasprintf("%s%s", run->out, run->err);
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        size_t columns = 0;
        for (const char *at = line; *at; at++)
            columns += ((unsigned char)*at & 0xc0) != 0x80;
        if (columns > 80)
            fail_msg("wider than a terminal: %s", line);
    }
    free(text);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

#endif
