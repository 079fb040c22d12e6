/* For tests of what operators order of a participant: a client at its door, orders and questions,
 * and a database that says what the test says. */
#ifndef TROTH_TESTS_UNIT_ORDER_KIT_H
#define TROTH_TESTS_UNIT_ORDER_KIT_H

#pragma GCC diagnostic ignored "-Wunused-function" /* not every test needs all of it */
#include "participant/agent_private.h"
#include "tests/unit/neighbour_ports.h"

static const char gid_1[] = "troth.shop.c1.5.1.0", gtrid_1[] = "shop.c1.5.1";

/* ---- the audit log ------------------------------------------------------------------------- */

static struct {
    char lines[64][700];
    int count;
} audited;

static void audit_append(void *self, const struct audit_entry *entry)
{
    (void)self;
    assert_in_range(audited.count, 0, 63);
    snprintf(audited.lines[audited.count++], sizeof(audited.lines[0]), "%s %s|%s|%s|%s|%s|%s|%s",
             entry->stage, entry->action, entry->subject, entry->by, entry->session, entry->reason,
             entry->before ? entry->before : "", entry->after ? entry->after : "");
}

static const struct audit_port audit = {NULL, audit_append};

/* ---- orders -------------------------------------------------------------------------------- */

static void come_in(void)
{
    for (int i = 0; i < 200 && !observer->door; i++)
        pass(50000);
    assert_non_null(observer->door);
}

static void send_at_door(Wire__Message *message)
{
    come_in();
    forget(&observer->answered);
    assert_true(peer_send(observer->door, message, true));
    settle();
}

struct given {
    bool commit, dry_run, door, forget;
    bool turned;       /* `relayed` as it must not be */
    uint64_t request;  /* 0: 7 */
    const char *gtrid; /* NULL: gtrid_1; the others likewise */
    const char *reason, *by, *participant;
};

static void order_of(struct given given)
{
    Wire__TxOrder order = WIRE__TX_ORDER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    order.request = given.request ? given.request : 7;
    order.kind = given.forget ? WIRE__TX_ORDER_KIND__FORGET : WIRE__TX_ORDER_KIND__RESOLVE;
    order.gtrid = (char *)(given.gtrid ? given.gtrid : gtrid_1);
    order.commit = given.commit;
    order.dry_run = given.dry_run;
    order.reason = (char *)(given.reason ? given.reason : "lost its disk");
    order.by = (char *)(given.by ? given.by : "ada@host");
    order.participant = (char *)(given.participant ? given.participant : "payments");
    order.relayed = given.door == given.turned;
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &order;
    if (given.door) {
        send_at_door(&message);
    } else {
        clear_inbox();
        send(&message);
    }
}

#define ORDER(...) order_of((struct given){__VA_ARGS__})

static void ask_what(Wire__What what, const char *gtrid, bool door)
{
    Wire__Query query = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    query.request = 7;
    query.what = what;
    query.gtrid = (char *)gtrid;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &query;
    if (door) {
        send_at_door(&message);
    } else {
        clear_inbox();
        send(&message);
    }
}

/* ---- what the database says ---------------------------------------------------------------- */

/* Of the newest look; it must be about this transaction. */
static void looked(const struct db_inspected *what)
{
    int request = take(INSPECT);
    events->inspected(events->self, database.requests[request].tag, what);
    settle();
}

static struct db_held held_1 = {.gid = gid_1,
                                .owner = "app",
                                .database = "payments",
                                .here = true,
                                .xid = 7,
                                .age_xids = 3,
                                .prepared_at_us = 99};

/* gid: prepared, with xid 7; NULL: nothing is. */
static void looked_prepared(const char *gid)
{
    struct db_held held = held_1;
    held.gid = gid;
    looked(&(struct db_inspected){.ok = true,
                                  .now_us = 4000,
                                  .held = &held,
                                  .held_count = gid != NULL,
                                  .xid = 7,
                                  .status = DB_STATUS_IN_PROGRESS,
                                  .barrier = "",
                                  .report = "{}"});
}

static void looked_gone(enum db_status status)
{
    looked(&(struct db_inspected){
        .ok = true, .now_us = 4000, .xid = 7, .status = status, .barrier = "", .report = ""});
}

static void forced(enum db_stored how)
{
    void *tag = take_tag(FORCE);
    events->heuristic_stored(events->self, tag, how);
    settle();
}

static void forgot(enum db_stored how)
{
    void *tag = take_tag(FORGET);
    events->heuristic_stored(events->self, tag, how);
    settle();
}

static void finished(bool commit, enum db_finish how)
{
    int request = take(FINISH);
    assert_int_equal(database.requests[request].commit, commit);
    events->finished(events->self, database.requests[request].tag, how, "");
    settle();
}

static void status_is(enum db_status status)
{
    int request = take(STATUS);
    assert_int_equal(database.requests[request].xid, 7);
    events->status(events->self, database.requests[request].tag, status);
    settle();
}

static void scan_finds(const char *gid, bool registered)
{
    struct db_prepared prepared = {.gid = gid,
                                   .xid = 7,
                                   .prepared_at_us = 99,
                                   .registered = registered,
                                   .sites = registered ? all_sites : NULL};
    void *tag = take_tag(SCAN);
    events->scanned(events->self, tag, true, gid ? &prepared : NULL, gid != NULL, 64);
    settle();
}

/* Of a test in which more is asked for at once than requests has room for. */
static void ignore_finish(void *self, const char *gid, bool commit, void *tag)
{
    (void)self, (void)gid, (void)commit, (void)tag;
}

/* What the table holds: this one row, or none. */
static void table_holds(const char *gid, bool commit)
{
    static struct db_heuristic row;
    row = (struct db_heuristic){.gid = gid,
                                .commit = commit,
                                .xid = 7,
                                .reason = "lost its disk",
                                .by = "ada@host",
                                .at_us = INT64_C(1700000000000000)};
    database.heuristics = &row;
    database.heuristic_count = gid != NULL;
}

/* ---- what is told -------------------------------------------------------------------------- */

/* The only answer since the order, of the coordinator's session or at the door. */
static const Wire__Answer *answer_to(bool door)
{
    if (!door)
        return got(WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_int_equal(observer->answered.count, 1);
    assert_int_equal(observer->answered.messages[0]->body_case, WIRE__MESSAGE__BODY_ANSWER);
    return observer->answered.messages[0]->answer;
}

static const Wire__Resolution *resolved(bool door, Wire__Deed deed)
{
    const Wire__Answer *answer = answer_to(door);
    if (answer->problem)
        fail_msg("%s: %s", answer->problem->code, answer->problem->message);
    assert_int_equal(answer->request, 7);
    assert_non_null(answer->resolution);
    assert_int_equal(answer->resolution->deed, deed);
    return answer->resolution;
}

static const Wire__Problem *refused(bool door, const char *code)
{
    const Wire__Answer *answer = answer_to(door);
    assert_non_null(answer->problem);
    assert_string_equal(answer->problem->code, code);
    assert_string_equal(answer->problem->participant, "payments");
    assert_true(answer->problem->message[0] != '\0');
    return answer->problem;
}

static const Wire__Heuristic *told_heuristic(void)
{
    const Wire__Heuristics *told = got(WIRE__MESSAGE__BODY_HEURISTICS)->heuristics;
    assert_int_equal(told->n_heuristics, 1);
    return told->heuristics[0];
}

static const Wire__TransactionView *shown(void)
{
    ask_what(WIRE__WHAT__TRANSACTION, gtrid_1, true);
    const Wire__Answer *answer = answer_to(true);
    assert_null(answer->problem);
    assert_int_equal(answer->n_transactions, 1);
    return answer->transactions[0];
}

/* ---- set-up -------------------------------------------------------------------------------- */

static int start_orders(void **state)
{
    visitor = WIRE__ROLE__CLIENT;
    agent_audit = &audit;
    audited.count = 0;
    start_three_phase(state);
    come_in();
    clear_inbox();
    return 0;
}

static int stop_orders(void **state)
{
    visitor = WIRE__ROLE__OBSERVER;
    agent_audit = NULL;
    return stop_three_phase(state);
}

/* Of two phases, prepared, with a yes. */
static void be_in_doubt(void)
{
    send_prepare(1);
    worked(take_tag(WORK), DB_PREPARED, 7);
    got_vote(WIRE__CHOICE__YES);
    clear_inbox();
}

static void lose_coordinator(void)
{
    coordinator_away = true;
    pass(3000000);
    assert_null(participant);
}

static void coordinator_returns(void)
{
    coordinator_away = false;
    reconnect();
}

/* All the way, by its own coordinator. */
static void force_it(bool commit)
{
    ORDER(.commit = commit);
    looked_prepared(gid_1);
    forced(DB_STORED);
    finished(commit, DB_FINISHED);
}

/* A new process of the participant: what the old one knew is gone. */
static void restart(void)
{
    agent_free(agent);
    database.count = 0;
    database.loading = false;
    for (int i = 0; i < NEIGHBOURS; i++)
        neighbours[i].dialed = 0;
    start_agent();
    events->up(events->self, "1/1");
}

#endif
