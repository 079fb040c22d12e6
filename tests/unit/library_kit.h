/* A coordinator that does what a test tells it, over real sockets in a thread of its own, and a
 * handle to it. It knows transactions by their numbers and keys by their texts, and no databases:
 * the operation's name says what comes of a call.
 *
 *   echo    the result is the arguments
 *   fail    aborted: insufficient_funds
 *   refuse  refused: unknown_operation
 *   silent  is not answered */
#ifndef TROTH_TESTS_UNIT_LIBRARY_KIT_H
#define TROTH_TESTS_UNIT_LIBRARY_KIT_H

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/id.h"
#include "core/limits.h"
#include "core/transport.h"
#include "include/troth.h"
#include "io/loop.h"
#include "io/nano.h"

enum { FAKE_KEYS = 64, FAKE_TXS = 1 << 17 };

/* What the next message of a kind comes to. */
enum fake_fate {
    FATE_ANSWER,
    FATE_LOSE,        /* carried out, and the session ends without the answer */
    FATE_LOSE_BEFORE, /* the session ends, and nothing was carried out */
    FATE_SILENT,      /* carried out, not answered */
    FATE_STRANGE,     /* answered by something else */
};

enum fake_state { FAKE_NONE, FAKE_OPEN, FAKE_COMMITTED, FAKE_ABORTED };

struct fake {
    pthread_t thread;
    struct loop *loop;
    uv_async_t wake;
    struct nano *nano;
    struct transport *transport;
    char name[16], address[64];
    int port;
    atomic_int fate;    /* enum fake_fate of the next message of the kind below, then ANSWER */
    atomic_int fate_of; /* body case; 0: of any */
    atomic_bool stop, hang, refuse_all;
    atomic_int submits, begins, ends, performs, sessions;
    atomic_int epoch; /* of its run, as it tells; ids have 1 */
    atomic_int busy;  /* so many submits and starts are refused: not_connected */
    uint32_t timeout_ms;
    uint64_t last;
    unsigned char *states;
    char keys[FAKE_KEYS][40];
    int key_count;
};

static void fake_gtrid(const struct fake *fake, uint64_t number, gtrid_text out)
{
    gtrid_format(out, "shop", fake->name, (struct txid){1, number});
}

static void fake_send(struct peer *peer, Wire__Message *message)
{
    CHECK(peer_send(peer, message, true));
}

static void fake_outcome(struct peer *peer, Wire__Outcome *outcome)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_OUTCOME;
    message.outcome = outcome;
    fake_send(peer, &message);
}

static void fake_progress(struct peer *peer, Wire__Progress *progress)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PROGRESS;
    message.progress = progress;
    fake_send(peer, &message);
}

static Wire__Problem fake_problem(const char *code, const char *text)
{
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    problem.code = (char *)code;
    problem.message = (char *)text;
    return problem;
}

static void fake_reject(struct peer *peer, uint64_t request, const char *code)
{
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    Wire__Problem problem = fake_problem(code, "refused");
    outcome.request = request;
    outcome.result = WIRE__RESULT__REJECTED;
    outcome.problem = &problem;
    fake_outcome(peer, &outcome);
}

static bool fake_knows_key(struct fake *fake, const char *key)
{
    for (int i = 0; i < fake->key_count; i++) {
        if (strcmp(fake->keys[i], key) == 0)
            return true;
    }
    if (fake->key_count < FAKE_KEYS)
        snprintf(fake->keys[fake->key_count++], sizeof(fake->keys[0]), "%s", key);
    return false;
}

static bool fake_says(const Wire__Call *call, const char *word)
{
    return strcmp(call->operation, word) == 0;
}

/* The answer to a call, or to the transaction when it is over. */
static void fake_submit(struct fake *fake, struct peer *peer, const Wire__Submit *submit,
                        bool answer)
{
    gtrid_text gtrid;
    char *results[LIMIT_CALLS];
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    Wire__Problem problem = fake_problem("insufficient_funds", "ada has 3");
    if (fake->busy > 0) {
        fake->busy--;
        fake_reject(peer, submit->request, "not_connected");
        return;
    }
    outcome.repeated_key = *submit->key && fake_knows_key(fake, submit->key);
    fake_gtrid(fake, ++fake->last, gtrid);
    outcome.request = submit->request;
    outcome.gtrid = gtrid;
    outcome.result = WIRE__RESULT__COMMITTED;
    outcome.applied = submit->wait == WIRE__WAIT__APPLIED;
    outcome.results = results;
    for (size_t i = 0; i < submit->n_calls; i++) {
        results[outcome.n_results++] = submit->calls[i]->arguments;
        if (fake_says(submit->calls[i], "silent"))
            answer = false;
        if (!fake_says(submit->calls[i], "fail"))
            continue;
        outcome.result = WIRE__RESULT__ABORTED;
        problem.participant = submit->calls[i]->participant;
        problem.operation = submit->calls[i]->operation;
        outcome.problem = &problem;
    }
    if (answer)
        fake_outcome(peer, &outcome);
}

static void fake_begin(struct fake *fake, struct peer *peer, const Wire__Begin *begin, bool answer)
{
    gtrid_text gtrid;
    Wire__Progress progress = WIRE__PROGRESS__INIT;
    CHECK(++fake->last < FAKE_TXS);
    fake_gtrid(fake, fake->last, gtrid);
    fake->states[fake->last] = FAKE_OPEN;
    progress.request = begin->request;
    progress.gtrid = gtrid;
    progress.timeout_ms = begin->timeout_ms ? begin->timeout_ms : fake->timeout_ms;
    if (answer)
        fake_progress(peer, &progress);
}

static unsigned char *fake_state(struct fake *fake, const char *gtrid)
{
    struct gid gid;
    CHECK(gtrid_parse(gtrid, &gid) && gid.tx.seq < FAKE_TXS);
    return &fake->states[gid.tx.seq];
}

/* Over, as whoever asks is told. */
static void fake_over(struct peer *peer, uint64_t request, char *gtrid, enum fake_state state,
                      bool end)
{
    Wire__Outcome outcome = WIRE__OUTCOME__INIT;
    Wire__Problem problem = fake_problem("over", "it is committed");
    outcome.request = request;
    outcome.gtrid = gtrid;
    outcome.result = state != FAKE_COMMITTED ? WIRE__RESULT__ABORTED
                     : end                   ? WIRE__RESULT__COMMITTED
                                             : WIRE__RESULT__REJECTED;
    outcome.applied = end;
    outcome.problem = state == FAKE_COMMITTED && !end ? &problem : NULL;
    fake_outcome(peer, &outcome);
}

static void fake_perform(struct fake *fake, struct peer *peer, const Wire__Perform *perform,
                         bool answer)
{
    unsigned char *state = fake_state(fake, perform->gtrid);
    Wire__Progress progress = WIRE__PROGRESS__INIT;
    Wire__Problem problem = fake_problem("unknown_operation", "there is no such operation");
    progress.request = perform->request;
    progress.gtrid = perform->gtrid;
    progress.timeout_ms = fake->timeout_ms;
    if (fake_says(perform->call, "fail"))
        *state = FAKE_ABORTED;
    else if (fake_says(perform->call, "refuse"))
        progress.problem = &problem;
    else
        progress.result = perform->call->arguments;
    if (!answer || fake_says(perform->call, "silent"))
        return;
    if (*state != FAKE_OPEN)
        fake_over(peer, perform->request, perform->gtrid, *state, false);
    else
        fake_progress(peer, &progress);
}

static void fake_end(struct fake *fake, struct peer *peer, const Wire__End *end, bool answer)
{
    unsigned char *state = fake_state(fake, end->gtrid);
    if (*state == FAKE_OPEN)
        *state = end->commit ? FAKE_COMMITTED : FAKE_ABORTED;
    if (answer)
        fake_over(peer, end->request, end->gtrid, *state, true);
}

static void fake_query(struct fake *fake, struct peer *peer, const Wire__Query *query)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__TransactionView view = WIRE__TRANSACTION_VIEW__INIT, *views[] = {&view};
    Wire__Problem problem = fake_problem("unknown", "no such transaction");
    Wire__Testimony testimony = WIRE__TESTIMONY__INIT, *testimonies[] = {&testimony};
    Wire__CoordinatorView run = WIRE__COORDINATOR_VIEW__INIT;
    unsigned char state = *fake_state(fake, query->gtrid);
    answer.request = query->request;
    view.gtrid = query->gtrid;
    view.state = (char *)(state == FAKE_OPEN ? "open" : "applied");
    view.decision = (char *)(state == FAKE_COMMITTED ? "commit" : "");
    if (query->what == WIRE__WHAT__EVIDENCE) {
        answer.testimonies = testimonies;
        answer.n_testimonies = 1;
        run.epoch = (uint64_t)atomic_load(&fake->epoch);
        answer.coordinator = &run;
    } else if (state == FAKE_OPEN || state == FAKE_COMMITTED) {
        answer.transactions = views;
        answer.n_transactions = 1;
    } else {
        answer.problem = &problem;
    }
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &answer;
    fake_send(peer, &message);
}

static void fake_saga(struct fake *fake, struct peer *peer, uint64_t request, const char *id,
                      bool known, Wire__SagaResult result)
{
    gtrid_text gtrid;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__SagaOutcome outcome = WIRE__SAGA_OUTCOME__INIT;
    fake_gtrid(fake, 7, gtrid);
    outcome.request = request;
    outcome.saga = (char *)(id ? id : gtrid);
    outcome.repeated_key = known;
    outcome.result = result;
    outcome.output = (char *)(result == WIRE__SAGA_RESULT__SAGA_COMPLETED ? "{\"total\": 3}" : "");
    message.body_case = WIRE__MESSAGE__BODY_SAGA_OUTCOME;
    message.saga_outcome = &outcome;
    fake_send(peer, &message);
}

static bool fake_fated(struct fake *fake, const Wire__Message *message, enum fake_fate *fate)
{
    int of = fake->fate_of;
    *fate = (enum fake_fate)fake->fate;
    if (*fate == FATE_ANSWER || (of && of != (int)message->body_case))
        return false;
    fake->fate = FATE_ANSWER;
    return true;
}

static void fake_take(struct fake *fake, struct peer *peer, const Wire__Message *message,
                      bool answer)
{
    switch (message->body_case) {
    case WIRE__MESSAGE__BODY_SUBMIT:
        fake->submits++;
        fake_submit(fake, peer, message->submit, answer);
        break;
    case WIRE__MESSAGE__BODY_BEGIN:
        fake->begins++;
        fake_begin(fake, peer, message->begin, answer);
        break;
    case WIRE__MESSAGE__BODY_PERFORM:
        fake->performs++;
        fake_perform(fake, peer, message->perform, answer);
        break;
    case WIRE__MESSAGE__BODY_END:
        fake->ends++;
        fake_end(fake, peer, message->end, answer);
        break;
    case WIRE__MESSAGE__BODY_QUERY:
        fake_query(fake, peer, message->query);
        break;
    case WIRE__MESSAGE__BODY_START_SAGA:
        if (answer)
            fake_saga(fake, peer, message->start_saga->request, NULL,
                      *message->start_saga->key && fake_knows_key(fake, message->start_saga->key),
                      WIRE__SAGA_RESULT__SAGA_STARTED);
        break;
    case WIRE__MESSAGE__BODY_AWAIT_SAGA:
        if (answer)
            fake_saga(fake, peer, message->await_saga->request, message->await_saga->saga, false,
                      WIRE__SAGA_RESULT__SAGA_COMPLETED);
        break;
    default:
        fail_msg("a message of kind %d", (int)message->body_case);
    }
}

static void fake_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct fake *fake = self;
    enum fake_fate fate;
    if (!fake_fated(fake, message, &fate)) {
        fake_take(fake, peer, message, true);
        return;
    }
    if (fate == FATE_STRANGE) {
        fake_reject(peer, message->submit->request, "strange");
        return;
    }
    if (fate != FATE_LOSE_BEFORE)
        fake_take(fake, peer, message, false);
    if (fate != FATE_SILENT)
        peer_close(peer, "the test says so");
}

static void fake_up(void *self, struct peer *peer)
{
    (void)peer;
    ((struct fake *)self)->sessions++;
}

static void fake_down(void *self, struct peer *peer, const char *reason)
{
    (void)self, (void)peer, (void)reason;
}

static bool fake_admit(void *self, const Wire__Hello *hello, struct error *error)
{
    (void)hello;
    if (!((struct fake *)self)->refuse_all)
        return true;
    return error_set(error, ERROR_REFUSED, "nobody comes in here");
}

static void fake_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    transport_frame(((struct fake *)self)->transport, route, frame, size);
}

static void fake_broken(void *self)
{
    (void)self;
}

static void fake_woken(uv_async_t *wake)
{
    (void)wake;
}

static uint64_t fake_settle(void *self)
{
    struct fake *fake = self;
    while (fake->hang && !fake->stop)
        nanosleep(&(struct timespec){.tv_nsec = 1000000}, NULL);
    if (fake->stop)
        loop_stop(fake->loop);
    return transport_settle(fake->transport);
}

static void *fake_run(void *self)
{
    loop_run(((struct fake *)self)->loop);
    return NULL;
}

static int fake_free_port(void)
{
    struct sockaddr_in name = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(name);
    int fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(fd, (struct sockaddr *)&name, size) == 0);
    CHECK(getsockname(fd, (struct sockaddr *)&name, &size) == 0);
    close(fd);
    return ntohs(name.sin_port);
}

static void fake_start(struct fake *fake)
{
    struct error error = {0};
    struct nano_events link = {fake, fake_frame, fake_broken};
    struct transport_config config = {.acceptor = true,
                                      .cluster = "shop",
                                      .name = fake->name,
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_CLIENT_FRAME_BYTES};
    struct transport_events events = {.self = fake,
                                      .admit = fake_admit,
                                      .up = fake_up,
                                      .message = fake_message,
                                      .down = fake_down};
    fake->stop = fake->hang = false;
    fake->loop = loop_new();
    loop_be_silent(fake->loop);
    CHECK(uv_async_init(loop_uv(fake->loop), &fake->wake, fake_woken) == 0);
    fake->nano = nano_listen(fake->loop, fake->address, LIMIT_AGENT_FRAME_BYTES, &link, &error);
    if (!fake->nano)
        fail_msg("%s", error.message);
    fake->transport = transport_new(&config, loop_host(fake->loop), nano_link(fake->nano), &events);
    transport_open(fake->transport, 1);
    loop_on_settle(fake->loop, fake_settle, fake);
    CHECK(pthread_create(&fake->thread, NULL, fake_run, fake) == 0);
}

/* As a crash: nothing is said. What it remembers stays. */
static void fake_stop(struct fake *fake)
{
    fake->stop = true;
    CHECK(uv_async_send(&fake->wake) == 0);
    CHECK(pthread_join(fake->thread, NULL) == 0);
    transport_free(fake->transport);
    nano_close(fake->nano, 0);
    uv_close((uv_handle_t *)&fake->wake, NULL);
    loop_free(fake->loop);
}

static struct fake *fake_new(const char *name)
{
    struct fake *fake = xcalloc(1, sizeof(*fake));
    fake->states = xcalloc(FAKE_TXS, 1);
    fake->timeout_ms = 2000;
    atomic_init(&fake->epoch, 1);
    snprintf(fake->name, sizeof(fake->name), "%s", name);
    fake->port = fake_free_port();
    snprintf(fake->address, sizeof(fake->address), "tcp://127.0.0.1:%d", fake->port);
    fake_start(fake);
    return fake;
}

static void fake_free(struct fake *fake)
{
    fake_stop(fake);
    free(fake->states);
    free(fake);
}

static inline void fake_next(struct fake *fake, int kind, enum fake_fate fate)
{
    fake->fate_of = kind;
    fake->fate = (int)fate;
}

static inline uint64_t kit_now_ms(void)
{
    return uv_hrtime() / 1000000;
}

#endif
