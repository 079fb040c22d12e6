/* Tiny ports for tests of the agent: time that moves when told, a link of two queues, a database
 * that answers when the test says so, and a coordinator that is one end of a real session. */
#ifndef TROTH_TESTS_UNIT_AGENT_PORTS_H
#define TROTH_TESTS_UNIT_AGENT_PORTS_H

#pragma GCC diagnostic ignored "-Wunused-function" /* not every test needs all of it */

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/id.h"
#include "core/limits.h"
#include "core/transport.h"
#include "participant/agent.h"
#include "wire.pb-c.h"

/* ---- host: time that moves when told ------------------------------------------------------- */

static uint64_t now_us;
static uint64_t random_state;

static uint64_t fake_now(void *self)
{
    (void)self;
    return now_us;
}

static int64_t fake_wall(void *self)
{
    (void)self;
    return (int64_t)now_us;
}

static void fake_random(void *self, void *buffer, size_t size)
{
    (void)self;
    for (size_t i = 0; i < size; i++) {
        random_state = random_state * 6364136223846793005u + 1442695040888963407u;
        ((unsigned char *)buffer)[i] = (unsigned char)(random_state >> 56);
    }
}

static char last_error[1024]; /* logged */

static void fake_log(void *self, enum log_level level, const char *line)
{
    (void)self;
    if (level == LOG_ERROR)
        snprintf(last_error, sizeof(last_error), "%s", line);
}

static const struct host_port host = {NULL, fake_now, fake_wall, fake_random, fake_log};

/* ---- the link: two queues of frames -------------------------------------------------------- */

struct frame_queue {
    struct {
        char *bytes;
        size_t size;
    } frames[256];
    int count;
};

static struct frame_queue to_agent, to_coordinator;
static bool cut;              /* frames are lost */
static bool coordinator_away; /* its frames are */

static bool queue_frame(struct frame_queue *queue, const void *frame, size_t size)
{
    if (cut)
        return true;
    assert_in_range(queue->count, 0, 255);
    queue->frames[queue->count].bytes = xmalloc(size);
    memcpy(queue->frames[queue->count].bytes, frame, size);
    queue->frames[queue->count++].size = size;
    return true;
}

static bool send_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    return queue_frame(self, frame, size);
}

static void redial(void *self)
{
    (void)self;
}

/* ---- the database: keeps what it was asked for --------------------------------------------- */

enum asked {
    WORK,
    CANCEL,
    ADOPT,
    FINISH,
    STATUS,
    LOOKUP,
    SCAN,
    LOAD,
    STORE,
    ACCEPT, /* a row, and the commit of `gid` with it */
    INSPECT,
    FORCE,
    FORGET
};

static struct {
    struct {
        enum asked kind;
        void *tag;
        const struct db_work *work;
        char text[256]; /* the gid or gtrid */
        gid_text gid;   /* of ACCEPT */
        bool commit, fence;
        uint64_t xid;
        struct db_register row; /* of a store: gtrid and sites as `text` and `sites` */
        char sites[256];
        struct register_state before;
        bool insert; /* no row was there */
        enum db_look look;
        struct db_heuristic forced; /* of FORCE: its texts as `text`, `reason` and `by` */
        char reason[256], by[128];
    } requests[64];
    int count, cleaned;
    uint64_t settled_epoch, settled;
    /* What troth.heuristic holds. It is told as soon as it is asked for, unless `mute`. */
    const struct db_heuristic *heuristics;
    int heuristic_count, loads;
    bool mute, loading;
    void *load_tag;
} database;

static int ask(enum asked kind, void *tag)
{
    assert_in_range(database.count, 0, 63);
    int index = database.count++;
    memset(&database.requests[index], 0, sizeof(database.requests[index]));
    database.requests[index].kind = kind;
    database.requests[index].tag = tag;
    return index;
}

static void db_work(void *self, const struct db_work *work, void *tag)
{
    (void)self;
    int index = ask(WORK, tag);
    database.requests[index].work = work;
}

static void db_cancel(void *self, void *tag)
{
    (void)self;
    ask(CANCEL, tag);
}

static void db_adopt(void *self, const char *gid, uint64_t xid, const struct db_register *row,
                     void *tag)
{
    (void)self;
    int index = ask(ADOPT, tag);
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s", gid);
    database.requests[index].xid = xid;
    database.requests[index].insert = row != NULL;
    if (row)
        snprintf(database.requests[index].sites, sizeof(database.requests[index].sites), "%s",
                 row->sites);
}

static void db_finish(void *self, const char *gid, bool commit, void *tag)
{
    (void)self;
    int index = ask(FINISH, tag);
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s", gid);
    database.requests[index].commit = commit;
}

static void db_status(void *self, uint64_t xid, void *tag)
{
    (void)self;
    int index = ask(STATUS, tag);
    database.requests[index].xid = xid;
}

static void db_lookup(void *self, const char *gtrid, bool fence, void *tag)
{
    (void)self;
    int index = ask(LOOKUP, tag);
    database.requests[index].fence = fence;
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s", gtrid);
}

static void db_scan(void *self, void *tag)
{
    (void)self;
    ask(SCAN, tag);
}

static void db_clean(void *self, uint64_t age_us)
{
    (void)self;
    (void)age_us;
    database.cleaned++;
}

static void db_register_load(void *self, const char *gtrid, void *tag)
{
    (void)self;
    int index = ask(LOAD, tag);
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s", gtrid);
}

static void db_register_store(void *self, const struct db_register *row,
                              const struct register_state *before, void *tag)
{
    (void)self;
    int index = ask(STORE, tag);
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s",
             row->gtrid);
    snprintf(database.requests[index].sites, sizeof(database.requests[index].sites), "%s",
             row->sites);
    database.requests[index].row = *row;
    database.requests[index].row.gtrid = database.requests[index].row.sites = NULL;
    database.requests[index].insert = before == NULL;
    if (before)
        database.requests[index].before = *before;
}

static void db_register_commit(void *self, const struct db_register *row, const char *gid,
                               void *tag)
{
    db_register_store(self, row, NULL, tag);
    database.requests[database.count - 1].kind = ACCEPT;
    snprintf(database.requests[database.count - 1].gid, sizeof(gid_text), "%s", gid);
}

static void db_register_settle(void *self, const char *coordinator, uint64_t epoch,
                               const uint64_t *seqs, size_t count)
{
    (void)self;
    assert_string_equal(coordinator, "c1");
    assert_int_equal(count, 1);
    database.settled_epoch = epoch;
    database.settled = seqs[0];
}

static void db_inspect(void *self, const struct db_inspection *inspection, void *tag)
{
    (void)self;
    int index = ask(INSPECT, tag);
    database.requests[index].look = inspection->look;
    database.requests[index].xid = inspection->xid;
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s",
             inspection->look == DB_LOOK_TRANSACTION ? inspection->gtrid : "");
}

static void db_heuristic_store(void *self, const struct db_heuristic *row, void *tag)
{
    (void)self;
    int index = ask(FORCE, tag);
    database.requests[index].forced = *row;
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s", row->gid);
    snprintf(database.requests[index].reason, sizeof(database.requests[index].reason), "%s",
             row->reason);
    snprintf(database.requests[index].by, sizeof(database.requests[index].by), "%s", row->by);
    database.requests[index].forced.gid = database.requests[index].forced.reason =
        database.requests[index].forced.by = NULL;
}

static void db_heuristics_load(void *self, void *tag)
{
    (void)self;
    assert_false(database.loading);
    database.loading = true;
    database.load_tag = tag;
    database.loads++;
}

static void db_heuristics_forget(void *self, const char *gtrid, void *tag)
{
    (void)self;
    int index = ask(FORGET, tag);
    snprintf(database.requests[index].text, sizeof(database.requests[index].text), "%s", gtrid);
}

static const struct db_port db = {.work = db_work,
                                  .cancel = db_cancel,
                                  .adopt = db_adopt,
                                  .finish = db_finish,
                                  .status = db_status,
                                  .lookup = db_lookup,
                                  .scan = db_scan,
                                  .clean = db_clean,
                                  .register_load = db_register_load,
                                  .register_store = db_register_store,
                                  .register_commit = db_register_commit,
                                  .register_settle = db_register_settle,
                                  .inspect = db_inspect,
                                  .heuristic_store = db_heuristic_store,
                                  .heuristics_load = db_heuristics_load,
                                  .heuristics_forget = db_heuristics_forget};

/* ---- the coordinator: keeps what it is told ------------------------------------------------ */

static struct transport *coordinator;
static struct peer *participant;
static Wire__Message *inbox[256];
static int inbox_count;
static struct agent *agent;
static const struct db_events *events;
static struct operation_set operations;

static void coordinator_up(void *self, struct peer *peer)
{
    (void)self;
    participant = peer;
}

static void coordinator_message(void *self, struct peer *peer, const Wire__Message *message)
{
    (void)self;
    (void)peer;
    size_t size = wire__message__get_packed_size(message);
    uint8_t *bytes = xmalloc(size);
    wire__message__pack(message, bytes);
    assert_in_range(inbox_count, 0, 255);
    inbox[inbox_count++] = wire__message__unpack(NULL, size, bytes);
    free(bytes);
}

static void coordinator_down(void *self, struct peer *peer, const char *reason)
{
    (void)self;
    (void)peer;
    (void)reason;
    participant = NULL;
}

static void deliver(struct frame_queue *queue, bool agents)
{
    for (int i = 0; i < queue->count; i++) {
        if (coordinator_away)
            ;
        else if (agents)
            agent_frame(agent, 0, queue->frames[i].bytes, queue->frames[i].size);
        else
            transport_frame(coordinator, 1, queue->frames[i].bytes, queue->frames[i].size);
        free(queue->frames[i].bytes);
    }
    queue->count = 0;
}

static void tell_heuristics(bool ok)
{
    assert_true(database.loading);
    database.loading = false;
    events->heuristics_loaded(events->self, database.load_tag, ok, database.heuristics,
                              ok ? database.heuristic_count : 0);
}

/* Of tests that have other participants: what they do in one turn. */
static void (*neighbours_turn)(void);

/* Until nothing moves any more, a millisecond a round: frames to a busy peer wait. */
static void settle(void)
{
    for (int i = 0; i < 8; i++) {
        now_us += 1000;
        if (database.loading && !database.mute)
            tell_heuristics(true);
        agent_settle(agent);
        transport_settle(coordinator);
        deliver(&to_coordinator, false);
        deliver(&to_agent, true);
        if (neighbours_turn)
            neighbours_turn();
    }
}

static void pass(uint64_t us)
{
    for (uint64_t end = now_us + us; now_us < end; settle())
        now_us += end - now_us < 50000 ? end - now_us : 50000;
}

static void send(Wire__Message *message)
{
    assert_non_null(participant);
    assert_true(peer_send(participant, message, true));
    settle();
}

static Wire__Branch branch_of(uint64_t seq)
{
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = 5;
    branch.seq = seq;
    return branch;
}

static void send_call(uint64_t seq, Wire__Mode mode, const char *operation, const char *arguments)
{
    Wire__Branch branch = branch_of(seq);
    Wire__Call call = WIRE__CALL__INIT, *calls[] = {&call};
    call.operation = (char *)operation;
    call.arguments = (char *)arguments;
    Wire__Prepare prepare = WIRE__PREPARE__INIT;
    prepare.branch = &branch;
    prepare.mode = mode;
    prepare.timeout_ms = 1000;
    prepare.n_calls = 1;
    prepare.calls = calls;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_PREPARE;
    message.prepare = &prepare;
    send(&message);
}

static void send_prepare(uint64_t seq)
{
    send_call(seq, WIRE__MODE__PREPARE, "charge", "{\"amount\":1}");
}

static void send_finish(uint64_t seq, bool commit, uint64_t xid)
{
    Wire__Branch branch = branch_of(seq);
    Wire__Finish finish = WIRE__FINISH__INIT;
    finish.branch = &branch;
    finish.commit = commit;
    finish.xid = xid;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_FINISH;
    message.finish = &finish;
    send(&message);
}

static void send_verdict(uint64_t seq, Wire__Verdict verdict)
{
    Wire__Branch branch = branch_of(seq);
    Wire__Judged judged = WIRE__JUDGED__INIT, *list[] = {&judged};
    judged.branch = &branch;
    judged.verdict = verdict;
    Wire__Verdicts verdicts = WIRE__VERDICTS__INIT;
    verdicts.n_judged = 1;
    verdicts.judged = list;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_VERDICTS;
    message.verdicts = &verdicts;
    send(&message);
}

static void send_lookup(uint64_t seq)
{
    Wire__Branch branch = branch_of(seq);
    Wire__Lookup lookup = WIRE__LOOKUP__INIT;
    lookup.branch = &branch;
    Wire__Message message = WIRE__MESSAGE__INIT;
    message.body_case = WIRE__MESSAGE__BODY_LOOKUP;
    message.lookup = &lookup;
    send(&message);
}

/* ---- looking at what came ------------------------------------------------------------------ */

/* Takes a request out. Its place is good until the next. */
static int take_at(int index)
{
    static int last = 63;
    database.requests[last] = database.requests[index];
    database.count--;
    memmove(&database.requests[index], &database.requests[index + 1],
            (size_t)(database.count - index) * sizeof(database.requests[0]));
    return last;
}

/* The oldest one; it must be of that kind. */
static int take(enum asked kind)
{
    assert_true(database.count > 0);
    assert_int_equal(database.requests[0].kind, kind);
    return take_at(0);
}

static void *take_tag(enum asked kind)
{
    return database.requests[take(kind)].tag;
}

static void clear_inbox(void)
{
    for (int i = 0; i < inbox_count; i++)
        wire__message__free_unpacked(inbox[i], NULL);
    inbox_count = 0;
}

/* The only message of that kind since the inbox was cleared. */
static const Wire__Message *got(Wire__Message__BodyCase body)
{
    const Wire__Message *found = NULL;
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case != body)
            continue;
        assert_null(found);
        found = inbox[i];
    }
    assert_non_null(found);
    return found;
}

static bool nothing_came(Wire__Message__BodyCase body)
{
    for (int i = 0; i < inbox_count; i++) {
        if (inbox[i]->body_case == body)
            return false;
    }
    return true;
}

static const Wire__Vote *got_vote(Wire__Choice choice)
{
    const Wire__Vote *vote = got(WIRE__MESSAGE__BODY_VOTE)->vote;
    assert_int_equal(vote->choice, choice);
    return vote;
}

static void worked(void *tag, enum db_outcome outcome, uint64_t xid)
{
    const char *results[] = {"{\"id\":1}"};
    struct db_worked answer = {.outcome = outcome,
                               .xid = xid,
                               .failed_statement = -1,
                               .sqlstate = "",
                               .reason = "",
                               .detail = "",
                               .results = results};
    events->worked(events->self, tag, &answer);
    settle();
}

static void scanned(const char *gid, uint64_t xid)
{
    struct db_prepared prepared = {.gid = gid, .xid = xid, .prepared_at_us = 99};
    void *tag = take_tag(SCAN);
    events->scanned(events->self, tag, true, gid ? &prepared : NULL, gid != NULL, 64);
    settle();
}

/* ---- set-up -------------------------------------------------------------------------------- */

static void load_operations(void)
{
    struct error error = {0};
    struct operation *charge = operation_add(&operations, "charge", false, &error);
    assert_true(operation_parameter_add(charge, "amount", "numeric", &error));
    assert_true(operation_statement_add(charge, "update a set b = :amount", 1, "insufficient_funds",
                                        DB_ROW, &error));
    struct operation *look = operation_add(&operations, "look", true, &error);
    assert_true(operation_statement_add(look, "select 1", -1, NULL, DB_ROW, &error));
}

/* Of tests of three phases. */
static const struct link_port *agent_door;
static const struct dial_port *agent_dial;
/* Of tests of orders. */
static const struct audit_port *agent_audit;

static void start_agent(void)
{
    struct agent_config config = {.cluster = "shop",
                                  .participant = "payments",
                                  .operations = &operations,
                                  .connections = 2,
                                  .heartbeat_us = 500000,
                                  .sweep_us = 60000000,
                                  .barrier_keep_us = 600000000,
                                  .listen = "tcp://127.0.0.1:7412",
                                  .patience_us = 1000000,
                                  .audit = agent_audit};
    struct link_port link = {&to_coordinator, send_frame, redial};
    agent = agent_new(&config, &host, &db, &link, 1, agent_door, agent_dial);
    events = agent_db_events(agent);
    settle();
}

static void start_coordinator(uint64_t epoch)
{
    struct transport_config config = {.acceptor = true,
                                      .cluster = "shop",
                                      .name = "c1",
                                      .heartbeat_us = 500000,
                                      .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct link_port link = {&to_agent, send_frame, NULL};
    struct transport_events up = {
        .up = coordinator_up, .message = coordinator_message, .down = coordinator_down};
    coordinator = transport_new(&config, &host, &link, &up);
    transport_open(coordinator, epoch);
}

static int start(void **state)
{
    (void)state;
    now_us = 1000000;
    random_state = 1;
    cut = coordinator_away = false;
    last_error[0] = '\0';
    memset(&database, 0, sizeof(database));
    load_operations();
    start_coordinator(5);
    start_agent();
    return 0;
}

static int start_with_database(void **state)
{
    start(state);
    events->up(events->self, "1/1");
    settle();
    scanned(NULL, 0);
    clear_inbox();
    return 0;
}

static int stop(void **state)
{
    (void)state;
    agent_free(agent);
    transport_free(coordinator);
    participant = NULL;
    for (int i = 0; i < to_agent.count; i++)
        free(to_agent.frames[i].bytes);
    for (int i = 0; i < to_coordinator.count; i++)
        free(to_coordinator.frames[i].bytes);
    to_agent.count = to_coordinator.count = 0;
    clear_inbox();
    operation_set_fini(&operations);
    return 0;
}

/* The session ends for the agent; what is under way is lost. */
static void lose_session(void)
{
    cut = true;
    pass(3000000);
    assert_null(participant);
    cut = false;
}

static void reconnect(void)
{
    for (int i = 0; i < 200 && !participant; i++)
        pass(50000);
    assert_non_null(participant);
}

#endif
