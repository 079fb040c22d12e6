/* A server on tiny ports: a journal in memory whose flushes the test decides, links that are
 * queues, and guests (participants, clients) that are bare transports and speak only by hand. */
#ifndef TROTH_TESTS_UNIT_SERVER_KIT_H
#define TROTH_TESTS_UNIT_SERVER_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "coordinator/server.h"
#include "core/check.h"
#include "core/limits.h"
#include "core/register.h"
#include "core/transport.h"

enum { GUESTS = 40, SECOND_US = 1000 * 1000 };

struct bytes {
    uint8_t *data;
    size_t size;
};

struct queue {
    struct bytes *items;
    size_t head, count, room;
};

struct world;

struct visitor {
    struct world *world;
    struct transport *transport; /* NULL: not there */
    struct queue inbound;        /* frames */
    struct queue messages;       /* packed, not looked at yet */
    bool cut;                    /* frames are lost in both directions */
    char closed[160];            /* why its last session ended, or it was refused */
};

struct world {
    uint64_t now_us;
    struct host_port host;
    struct server *server;
    struct queue journal;     /* all records, kept */
    size_t durable, run_from; /* records; run_from: those before this run */
    bool checkpoint_due;
    bool moved;                            /* a frame came to the server in this turn */
    struct saga_loader loader;             /* zeros: it runs no sagas */
    const struct audit_port *audit;        /* or NULL */
    const struct alert_port *alerts;       /* or NULL */
    void (*prepare)(struct world *world);  /* a server that has read its journal; or NULL */
    size_t checkpoint_from, checkpoint_to; /* of the last one: it replaces all before it */
    struct visitor visitors[GUESTS];
    Wire__Message *message; /* the last one taken, owned */
    int logged[LOG_ERROR + 1];
};

static inline void push(struct queue *queue, const void *data, size_t size)
{
    if (queue->count == queue->room) {
        queue->room = queue->room ? 2 * queue->room : 16;
        queue->items = xrealloc(queue->items, queue->room * sizeof(*queue->items));
    }
    uint8_t *copy = xmalloc(size);
    memcpy(copy, data, size);
    queue->items[queue->count++] = (struct bytes){copy, size};
}

/* The next one, or NULL; the queue keeps owning it. */
static inline struct bytes *pull(struct queue *queue)
{
    return queue->head < queue->count ? &queue->items[queue->head++] : NULL;
}

static inline void empty_queue(struct queue *queue)
{
    for (size_t i = 0; i < queue->count; i++)
        free(queue->items[i].data);
    free(queue->items);
    *queue = (struct queue){0};
}

/* ---- ports ---- */

static inline uint64_t now_us(void *self)
{
    return ((struct world *)self)->now_us;
}

static inline int64_t wall_us(void *self)
{
    return (int64_t)(1700000000ull * SECOND_US + ((struct world *)self)->now_us);
}

static inline void random_bytes(void *self, void *buffer, size_t size)
{
    static uint32_t state = 7;
    (void)self;
    for (size_t i = 0; i < size; i++) {
        state = state * 1664525 + 1013904223;
        ((uint8_t *)buffer)[i] = (uint8_t)(state >> 24);
    }
}

static inline void log_count(void *self, enum log_level level, const char *line)
{
    struct world *world = self;
    (void)line;
    world->logged[level]++;
}

static inline uint64_t journal_append(void *self, const void *record, size_t size, bool urgent)
{
    struct world *world = self;
    (void)urgent;
    push(&world->journal, record, size);
    return world->journal.count - world->run_from;
}

static inline bool journal_due(void *self)
{
    struct world *world = self;
    bool due = world->checkpoint_due;
    world->checkpoint_due = false;
    return due;
}

static inline void journal_begin(void *self)
{
    struct world *world = self;
    world->checkpoint_from = world->journal.count;
}

static inline void journal_end(void *self)
{
    struct world *world = self;
    world->checkpoint_to = world->journal.count;
}

static inline bool server_link_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct world *world = self;
    struct visitor *visitor = &world->visitors[route - 1];
    if (visitor->transport && !visitor->cut)
        push(&visitor->inbound, frame, size);
    return true;
}

static inline bool visitor_link_send(void *self, uint64_t route, const void *frame, size_t size)
{
    struct visitor *visitor = self;
    struct world *world = visitor->world;
    (void)route;
    world->moved = true;
    if (world->server && !visitor->cut)
        server_frame(world->server, (uint64_t)(visitor - world->visitors) + 1, frame, size);
    return true;
}

static inline void redial(void *self)
{
    (void)self;
}

/* ---- guests ---- */

static inline void visitor_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct visitor *visitor = self;
    size_t size = wire__message__get_packed_size(message);
    uint8_t *packed = xmalloc(size);
    (void)peer;
    wire__message__pack(message, packed);
    push(&visitor->messages, packed, size);
    free(packed);
}

static inline void visitor_up(void *self, struct peer *peer)
{
    (void)self;
    (void)peer;
}

static inline void visitor_down(void *self, struct peer *peer, const char *reason)
{
    struct visitor *visitor = self;
    (void)peer;
    snprintf(visitor->closed, sizeof(visitor->closed), "%s", reason);
}

static inline void visitor_refused(void *self, const char *reason, const char *hint)
{
    (void)hint;
    visitor_down(self, NULL, reason);
}

/* Delivers and settles until nothing moves, a millisecond a round: frames to a busy peer wait. */
static inline void run(struct world *world)
{
    for (int quiet = 0; quiet < 2;) {
        world->now_us += 1000;
        world->moved = false;
        if (world->server)
            server_settle(world->server);
        for (int i = 0; i < GUESTS; i++) {
            struct visitor *visitor = &world->visitors[i];
            if (!visitor->transport)
                continue;
            for (struct bytes *frame; (frame = pull(&visitor->inbound)) != NULL;) {
                world->moved = true;
                transport_frame(visitor->transport, 0, frame->data, frame->size);
            }
            transport_settle(visitor->transport);
        }
        quiet = world->moved ? 0 : quiet + 1;
    }
}

/* Time goes on in steps that keep the heartbeats alive. */
static inline void pass(struct world *world, uint64_t us)
{
    for (uint64_t until = world->now_us + us; world->now_us < until;) {
        world->now_us += until - world->now_us < 100000 ? until - world->now_us : 100000;
        run(world);
    }
}

static inline struct visitor *visitor_named(struct world *world, int index, const char *name,
                                            Wire__Role role)
{
    struct visitor *visitor = &world->visitors[index];
    assert_null(visitor->transport);
    visitor->world = world;
    visitor->cut = false;
    visitor->closed[0] = '\0';
    struct transport_config config = {.cluster = "shop",
                                      .name = name,
                                      .role = role,
                                      .heartbeat_us = SECOND_US / 2,
                                      .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct link_port link = {visitor, visitor_link_send, redial};
    struct transport_events events = {.self = visitor,
                                      .up = visitor_up,
                                      .message = visitor_message,
                                      .down = visitor_down,
                                      .refused = visitor_refused};
    visitor->transport = transport_new(&config, &world->host, &link, &events);
    run(world);
    if (!transport_peer(visitor->transport))
        pass(world, 2 * SECOND_US);
    return visitor;
}

static inline struct visitor *participant(struct world *world, int index, const char *name)
{
    struct visitor *visitor = visitor_named(world, index, name, WIRE__ROLE__PARTICIPANT);
    assert_non_null(transport_peer(visitor->transport));
    return visitor;
}

static inline struct visitor *client(struct world *world, int index)
{
    struct visitor *visitor = visitor_named(world, index, "cli-1", WIRE__ROLE__CLIENT);
    assert_non_null(transport_peer(visitor->transport));
    return visitor;
}

/* Its process is gone; the server hears of it when its beats are missing. */
static inline void leave(struct visitor *visitor)
{
    transport_free(visitor->transport);
    visitor->transport = NULL;
    empty_queue(&visitor->inbound);
    empty_queue(&visitor->messages);
}

static inline void say(struct visitor *visitor, const Wire__Message *message)
{
    assert_true(peer_send(transport_peer(visitor->transport), message, true));
    run(visitor->world);
}

/* The next message, which must be of this kind. It lives until the next one is taken. */
static inline const Wire__Message *hear(struct visitor *visitor, Wire__Message__BodyCase kind)
{
    struct world *world = visitor->world;
    struct bytes *packed = pull(&visitor->messages);
    assert_non_null(packed);
    if (world->message)
        wire__message__free_unpacked(world->message, NULL);
    world->message = wire__message__unpack(NULL, packed->size, packed->data);
    assert_non_null(world->message);
    assert_int_equal(world->message->body_case, kind);
    return world->message;
}

static inline bool is_silent(const struct visitor *visitor)
{
    return visitor->messages.head == visitor->messages.count;
}

static inline void hear_nothing(struct visitor *visitor)
{
    assert_true(is_silent(visitor));
}

/* ---- the server's life ---- */

/* Everything appended so far is durable now. */
static inline void sync_journal(struct world *world)
{
    world->durable = world->journal.count;
    server_durable(world->server, world->durable - world->run_from);
    run(world);
}

static inline bool replay_all(struct world *world, struct error *error)
{
    for (size_t i = 0; i < world->journal.count; i++) {
        if (!server_replay(world->server, world->journal.items[i].data,
                           world->journal.items[i].size, error))
            return false;
    }
    return true;
}

static inline void make_server(struct world *world, const char *cluster, const char *coordinator)
{
    struct server_config config = {.cluster = cluster,
                                   .coordinator = coordinator,
                                   .transaction_timeout_us = 30 * SECOND_US,
                                   .heartbeat_us = SECOND_US / 2,
                                   .retain_us = 7ull * 24 * 3600 * SECOND_US,
                                   .loader = world->loader,
                                   .audit = world->audit,
                                   .alerts = world->alerts};
    struct link_port link = {world, server_link_send, NULL};
    world->server = server_new(&config, &world->host, &link);
}

static inline void start_server(struct world *world)
{
    struct journal_port journal = {world, journal_append, journal_due, journal_begin, journal_end};
    server_start(world->server, &journal);
}

static inline void start(struct world *world)
{
    struct error error = {0};
    make_server(world, "shop", "c1");
    world->run_from = world->journal.count;
    assert_true(replay_all(world, &error));
    if (world->prepare)
        world->prepare(world);
    start_server(world);
    assert_false(server_ready(world->server));
    sync_journal(world);
    assert_true(server_ready(world->server));
}

/* Kill -9 and a new start: what was not durable is lost, and so is every session. */
static inline void crash_and_start(struct world *world)
{
    server_free(world->server);
    world->server = NULL;
    for (int i = 0; i < GUESTS; i++) {
        if (world->visitors[i].transport)
            leave(&world->visitors[i]);
    }
    while (world->journal.count > world->durable)
        free(world->journal.items[--world->journal.count].data);
    start(world);
}

/* As the journal does once a checkpoint is durable: the records before it go. */
static inline void drop_what_the_checkpoint_replaced(struct world *world)
{
    size_t kept = world->journal.count - world->checkpoint_from;
    assert_true(world->checkpoint_to > world->checkpoint_from);
    for (size_t i = 0; i < world->checkpoint_from; i++)
        free(world->journal.items[i].data);
    memmove(world->journal.items, world->journal.items + world->checkpoint_from,
            kept * sizeof(*world->journal.items));
    world->journal.count = world->durable = kept;
}

static inline struct world *world_new(void)
{
    struct world *world = xcalloc(1, sizeof(*world));
    world->now_us = 5 * SECOND_US;
    world->host = (struct host_port){world, now_us, wall_us, random_bytes, log_count};
    return world;
}

static inline void world_free(struct world *world)
{
    for (int i = 0; i < GUESTS; i++) {
        if (world->visitors[i].transport)
            leave(&world->visitors[i]);
    }
    server_free(world->server);
    empty_queue(&world->journal);
    if (world->message)
        wire__message__free_unpacked(world->message, NULL);
    free(world);
}

/* ---- messages ---- */

struct submission {
    const char *key;
    Wire__Wait wait;
    uint32_t timeout_ms;
    Wire__Protocol protocol;
};

/* calls: "orders.create", "payments.charge" ... up to NULL; each with the same arguments. */
static inline void submit(struct visitor *visitor, uint64_t request, const struct submission *how,
                          const char *arguments, const char *const *calls)
{
    Wire__Submit body = WIRE__SUBMIT__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Call call[LIMIT_CALLS + 1], *pointers[LIMIT_CALLS + 1];
    char names[LIMIT_CALLS + 1][64];
    for (; calls[body.n_calls]; body.n_calls++) {
        size_t i = body.n_calls;
        snprintf(names[i], sizeof(names[i]), "%s", calls[i]);
        wire__call__init(&call[i]);
        call[i].participant = names[i];
        call[i].operation = strchr(names[i], '.') + 1;
        call[i].operation[-1] = '\0';
        call[i].arguments = (char *)arguments;
        pointers[i] = &call[i];
    }
    body.request = request;
    body.calls = pointers;
    if (how) {
        body.key = (char *)(how->key ? how->key : "");
        body.wait = how->wait;
        body.timeout_ms = how->timeout_ms;
        body.protocol = how->protocol;
    }
    message.body_case = WIRE__MESSAGE__BODY_SUBMIT;
    message.submit = &body;
    say(visitor, &message);
}

static const char *const both[] = {"orders.create", "payments.charge", NULL};

/* Takes the Prepare and remembers its branch. */
static inline Wire__Branch asked(struct visitor *visitor, Wire__Mode mode)
{
    const Wire__Prepare *prepare = hear(visitor, WIRE__MESSAGE__BODY_PREPARE)->prepare;
    assert_int_equal(prepare->mode, mode);
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = prepare->branch->epoch;
    branch.seq = prepare->branch->seq;
    branch.branch = prepare->branch->branch;
    return branch;
}

static inline void vote(struct visitor *visitor, Wire__Branch branch, Wire__Choice choice)
{
    Wire__Vote body = WIRE__VOTE__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *result = (char *)"{\"id\":7}";
    body.branch = &branch;
    body.choice = choice;
    if (choice == WIRE__CHOICE__YES)
        body.xid = 700 + branch.branch;
    if (choice == WIRE__CHOICE__NO) {
        problem.operation = (char *)"charge";
        problem.code = (char *)"insufficient_funds";
        problem.message = (char *)"the account has not enough";
        body.problem = &problem;
    } else {
        body.results = &result;
        body.n_results = 1;
    }
    message.body_case = WIRE__MESSAGE__BODY_VOTE;
    message.vote = &body;
    say(visitor, &message);
}

static inline Wire__Branch told(struct visitor *visitor, bool commit)
{
    const Wire__Finish *finish = hear(visitor, WIRE__MESSAGE__BODY_FINISH)->finish;
    assert_int_equal(finish->commit, commit);
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = finish->branch->epoch;
    branch.seq = finish->branch->seq;
    branch.branch = finish->branch->branch;
    return branch;
}

static inline void finish(struct visitor *visitor, Wire__Branch branch, bool commit, bool hazard)
{
    Wire__Finished body = WIRE__FINISHED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.branch = &branch;
    body.commit = commit;
    body.hazard = hazard;
    body.reason = (char *)(hazard ? "it was rolled back by hand" : "");
    message.body_case = WIRE__MESSAGE__BODY_FINISHED;
    message.finished = &body;
    say(visitor, &message);
}

static inline void applied(struct visitor *visitor)
{
    finish(visitor, told(visitor, true), true, false);
}

static inline const Wire__Outcome *outcome(struct visitor *visitor, uint64_t request,
                                           Wire__Result result)
{
    const Wire__Outcome *body = hear(visitor, WIRE__MESSAGE__BODY_OUTCOME)->outcome;
    assert_int_equal(body->request, request);
    assert_int_equal(body->result, result);
    return body;
}

static inline void rejected(struct visitor *visitor, uint64_t request, const char *code)
{
    assert_string_equal(outcome(visitor, request, WIRE__RESULT__REJECTED)->problem->code, code);
}

static inline void offer(struct visitor *visitor, const char *operation)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *operations[] = {(char *)operation, (char *)"another"};
    body.database_up = true;
    body.operations = operations;
    body.n_operations = 2;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

/* Others reach the participant there. */
static inline void listen_at(struct visitor *visitor, const char *address)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.database_up = true;
    body.listen = (char *)address;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

static inline const Wire__Judged *inquire(struct visitor *visitor, Wire__Branch branch)
{
    Wire__Inquire body = WIRE__INQUIRE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Branch *branches[] = {&branch};
    uint64_t xid = 4711;
    body.branches = branches;
    body.n_branches = 1;
    body.xids = &xid;
    body.n_xids = 1;
    message.body_case = WIRE__MESSAGE__BODY_INQUIRE;
    message.inquire = &body;
    say(visitor, &message);
    const Wire__Verdicts *verdicts = hear(visitor, WIRE__MESSAGE__BODY_VERDICTS)->verdicts;
    assert_int_equal(verdicts->n_judged, 1);
    return verdicts->judged[0];
}

/* ---- registers ---- */

/* An Ask that came, with what an answer to it needs. */
struct question {
    uint64_t epoch, seq;
    uint32_t site;
    struct register_ask ask;
};

static inline struct question questioned(struct visitor *visitor)
{
    const Wire__Ask *body = hear(visitor, WIRE__MESSAGE__BODY_ASK)->ask;
    assert_string_equal(body->coordinator, "c1");
    struct question question = {body->epoch, body->seq, body->site, {0}};
    question.ask.question =
        body->question == WIRE__QUESTION__ACCEPT ? REGISTER_ACCEPT : REGISTER_PROMISE;
    question.ask.ballot = (struct ballot){body->ballot->round, body->ballot->site};
    question.ask.value = (enum register_value)body->value;
    return question;
}

static inline void reply_so(struct visitor *visitor, const struct question *question,
                            Wire__Answered answered, const struct register_state *state,
                            bool is_applied)
{
    Wire__Reply body = WIRE__REPLY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Ballot ballot = WIRE__BALLOT__INIT, promised = ballot, accepted = ballot;
    ballot.round = question->ask.ballot.round;
    ballot.site = question->ask.ballot.site;
    promised.round = state->promised.round;
    promised.site = state->promised.site;
    accepted.round = state->accepted.round;
    accepted.site = state->accepted.site;
    body.coordinator = (char *)"c1";
    body.epoch = question->epoch;
    body.seq = question->seq;
    body.site = question->site;
    body.question = question->ask.question == REGISTER_ACCEPT ? WIRE__QUESTION__ACCEPT
                                                              : WIRE__QUESTION__PROMISE;
    body.ballot = &ballot;
    body.answered = answered;
    body.promised = &promised;
    body.accepted = &accepted;
    body.value = (Wire__Value)state->value;
    body.applied = is_applied;
    message.body_case = WIRE__MESSAGE__BODY_REPLY;
    message.reply = &body;
    say(visitor, &message);
}

static inline void reply_with(struct visitor *visitor, const struct question *question,
                              Wire__Answered answered, const struct register_state *state)
{
    reply_so(visitor, question, answered, state, false);
}

/* Its branch is committed with its acceptance. */
static inline void reply_applied(struct visitor *visitor, const struct question *question)
{
    reply_so(visitor, question, WIRE__ANSWERED__GRANTED,
             &(struct register_state){.value = REGISTER_COMMIT}, true);
}

/* As a real site answers, out of its register. */
static inline enum register_reply answer_from(struct visitor *visitor, struct register_state *state,
                                              const struct question *question)
{
    static const Wire__Answered words[] = {[REGISTER_GRANTED] = WIRE__ANSWERED__GRANTED,
                                           [REGISTER_OUTBID] = WIRE__ANSWERED__OUTBID,
                                           [REGISTER_DECIDED] = WIRE__ANSWERED__KNOWN};
    enum register_reply reply = register_answer(state, &question->ask);
    struct register_state told = *state;
    if (reply == REGISTER_DECIDED)
        told = (struct register_state){.value = state->value};
    reply_with(visitor, question, words[reply], &told);
    return reply;
}

/* Takes the next question and grants it. */
static inline struct question granted(struct visitor *visitor, struct register_state *state)
{
    struct question question = questioned(visitor);
    assert_int_equal(answer_from(visitor, state, &question), REGISTER_GRANTED);
    return question;
}

/* Another site's question to the coordinator. */
static inline void question_it(struct visitor *visitor, const struct question *question)
{
    Wire__Ask body = WIRE__ASK__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Ballot ballot = WIRE__BALLOT__INIT;
    ballot.round = question->ask.ballot.round;
    ballot.site = question->ask.ballot.site;
    body.coordinator = (char *)"c1";
    body.epoch = question->epoch;
    body.seq = question->seq;
    body.site = question->site;
    body.question = question->ask.question == REGISTER_ACCEPT ? WIRE__QUESTION__ACCEPT
                                                              : WIRE__QUESTION__PROMISE;
    body.ballot = &ballot;
    body.value = (Wire__Value)question->ask.value;
    message.body_case = WIRE__MESSAGE__BODY_ASK;
    message.ask = &body;
    say(visitor, &message);
}

/* The coordinator's answer, which must be this. */
static inline const Wire__Reply *replied(struct visitor *visitor, Wire__Answered answered)
{
    const Wire__Reply *body = hear(visitor, WIRE__MESSAGE__BODY_REPLY)->reply;
    assert_string_equal(body->coordinator, "c1");
    assert_int_equal(body->site, 0);
    assert_int_equal(body->answered, answered);
    return body;
}

static inline void tell_decision(struct visitor *visitor, Wire__Branch branch, Wire__Value value)
{
    Wire__Decided body = WIRE__DECIDED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.coordinator = (char *)"c1";
    body.epoch = branch.epoch;
    body.seq = branch.seq;
    body.value = value;
    message.body_case = WIRE__MESSAGE__BODY_DECIDED;
    message.decided = &body;
    say(visitor, &message);
}

static inline const Wire__Answer *ask(struct visitor *visitor, Wire__What what, const char *gtrid,
                                      bool in_doubt)
{
    Wire__Query body = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = 99;
    body.what = what;
    body.gtrid = (char *)gtrid;
    body.in_doubt = in_doubt;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &body;
    say(visitor, &message);
    return hear(visitor, WIRE__MESSAGE__BODY_ANSWER)->answer;
}

#endif
