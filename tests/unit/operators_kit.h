/* An operator's desk at a server of server_kit.h: orders, what the participants' databases say of
 * it, the audit log and the alert hook as lists. */
#ifndef TROTH_TESTS_UNIT_OPERATORS_KIT_H
#define TROTH_TESTS_UNIT_OPERATORS_KIT_H

#include "core/id.h"
#include "journal.pb-c.h"
#include "server_kit.h"

enum { ENTRIES_MOST = 64, ENTRY_BYTES = 600 };

/* What was written or told, each as one text. */
struct notes {
    char texts[ENTRIES_MOST][ENTRY_BYTES];
    int count;
};

struct desk {
    struct world *world;
    struct visitor *orders, *payments, *client;
    struct notes audit, alerts;
    struct audit_port audit_port;
    struct alert_port alert_port;
};

/* ---- ports ---- */

static inline const char *text_of(const char *text)
{
    return text ? text : "";
}

static inline void audit_note(void *self, const struct audit_entry *entry)
{
    struct notes *notes = self;
    assert_true(notes->count < ENTRIES_MOST);
    snprintf(notes->texts[notes->count++], ENTRY_BYTES, "%s %s | %s | by %s in %s | %s | %s | %s",
             entry->stage, entry->action, entry->subject, entry->by, entry->session,
             text_of(entry->reason), text_of(entry->before), text_of(entry->after));
}

static inline void alert_note(void *self, const struct alert *alert)
{
    struct notes *notes = self;
    assert_true(notes->count < ENTRIES_MOST);
    assert_true(strlen(alert->text) > 0);
    snprintf(notes->texts[notes->count++], ENTRY_BYTES, "%s %s: %s", alert->kind, alert->subject,
             alert->command);
}

static inline void desk_open(struct desk *desk)
{
    desk->orders = participant(desk->world, 0, "orders");
    desk->payments = participant(desk->world, 1, "payments");
    desk->client = visitor_named(desk->world, 2, "ada", WIRE__ROLE__OPERATOR);
    assert_non_null(transport_peer(desk->client->transport));
}

static inline struct desk *desk_new(void)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    desk->world = world_new();
    desk->audit_port = (struct audit_port){&desk->audit, audit_note};
    desk->alert_port = (struct alert_port){&desk->alerts, alert_note};
    desk->world->audit = &desk->audit_port;
    desk->world->alerts = &desk->alert_port;
    start(desk->world);
    desk_open(desk);
    return desk;
}

static inline void desk_free(struct desk *desk)
{
    world_free(desk->world);
    free(desk);
}

static inline void desk_crash(struct desk *desk)
{
    crash_and_start(desk->world);
    desk_open(desk);
}

/* A checkpoint, and a start that has nothing else. */
static inline void desk_checkpoint(struct desk *desk)
{
    desk->world->checkpoint_due = true;
    run(desk->world);
    sync_journal(desk->world);
    drop_what_the_checkpoint_replaced(desk->world);
    desk_crash(desk);
}

static inline const char *last_note(const struct notes *notes)
{
    return notes->count ? notes->texts[notes->count - 1] : "";
}

static inline void assert_has(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("\"%s\" is not in \"%s\"", part, text);
}

/* ---- transactions ---- */

static inline const char *gtrid_of(Wire__Branch branch)
{
    static gtrid_text text;
    gtrid_format(text, "shop", "c1", (struct txid){branch.epoch, branch.seq});
    return text;
}

/* Both are asked to prepare; nobody has voted. Returns the first branch; the second's is 1. */
static inline Wire__Branch begin(struct desk *desk, const struct submission *how)
{
    submit(desk->client, 1, how, "{}", both);
    Wire__Branch branch = asked(desk->orders, WIRE__MODE__PREPARE);
    (void)asked(desk->payments, WIRE__MODE__PREPARE);
    return branch;
}

static inline Wire__Branch second(Wire__Branch branch)
{
    branch.branch = 1;
    return branch;
}

/* Both have voted yes, and the record waits for the disk. */
static inline Wire__Branch begin_deciding(struct desk *desk, const struct submission *how)
{
    Wire__Branch branch = begin(desk, how);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    vote(desk->payments, second(branch), WIRE__CHOICE__YES);
    return branch;
}

/* One that is committed and ended in a run that the journal of now never saw: an older copy of it
 * was put back. */
static inline Wire__Branch begin_held(struct desk *desk)
{
    size_t copied = desk->world->durable;
    desk_crash(desk);
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    pass(desk->world, 2 * SECOND_US);
    desk->world->durable = copied;
    desk_crash(desk);
    return branch;
}

/* ---- orders ---- */

struct ordering {
    bool forget, commit, dry_run, relayed;
    const char *gtrid, *reason, *by, *participant;
};

static inline void order(struct desk *desk, uint64_t request, struct ordering how)
{
    Wire__TxOrder body = WIRE__TX_ORDER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = request;
    body.kind = how.forget ? WIRE__TX_ORDER_KIND__FORGET : WIRE__TX_ORDER_KIND__RESOLVE;
    body.gtrid = (char *)how.gtrid;
    body.commit = how.commit;
    body.reason = (char *)(how.reason ? how.reason : "the disk is gone");
    body.by = (char *)(how.by ? how.by : "ada@ops");
    body.participant = (char *)(how.participant ? how.participant : "");
    body.dry_run = how.dry_run;
    body.relayed = how.relayed;
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &body;
    say(desk->client, &message);
}

/* What a database says of the branch. */
struct saying {
    bool prepared, judged, registered, decided;
    Wire__XidStatus status;
    uint64_t xid;
    Wire__Value value;
    const char *barrier, *report;
    bool nothing; /* no exhibit at all */
    bool forced;  /* by an operator: */
    bool forced_commit;
    const char *found;
};

static inline void answer_query(struct visitor *visitor, uint64_t request, struct saying saying)
{
    Wire__Answer body = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Testimony testimony = WIRE__TESTIMONY__INIT, *testimonies = &testimony;
    Wire__Exhibit exhibit = WIRE__EXHIBIT__INIT, *exhibits = &exhibit;
    Wire__Heuristic heuristic = WIRE__HEURISTIC__INIT;
    exhibit.gid = (char *)"troth.shop.c1.1.1.0";
    exhibit.prepared = saying.prepared;
    exhibit.judged = saying.judged;
    exhibit.registered = saying.registered;
    exhibit.decided = saying.decided;
    exhibit.status = saying.status;
    exhibit.xid = saying.xid;
    exhibit.value = saying.value;
    exhibit.barrier = (char *)text_of(saying.barrier);
    exhibit.report = (char *)text_of(saying.report);
    heuristic.commit = saying.forced_commit;
    heuristic.found = (char *)text_of(saying.found);
    if (saying.forced)
        exhibit.heuristic = &heuristic;
    testimony.participant = (char *)"somebody else";
    testimony.exhibits = &exhibits;
    testimony.n_exhibits = saying.nothing ? 0 : 1;
    body.request = request;
    body.testimonies = &testimonies;
    body.n_testimonies = 1;
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &body;
    say(visitor, &message);
}

/* It is asked for evidence; returns the number of the request. */
static inline uint64_t examined(struct visitor *visitor, const char *gtrid, uint64_t xid)
{
    const Wire__Query *query = hear(visitor, WIRE__MESSAGE__BODY_QUERY)->query;
    assert_int_equal(query->what, WIRE__WHAT__EVIDENCE);
    assert_string_equal(query->gtrid, gtrid);
    assert_int_equal(query->xid, xid);
    return query->request;
}

/* It is asked for evidence, whatever its xid, and gives it. */
static inline void testify(struct visitor *visitor, const char *gtrid, struct saying saying)
{
    const Wire__Query *query = hear(visitor, WIRE__MESSAGE__BODY_QUERY)->query;
    assert_int_equal(query->what, WIRE__WHAT__EVIDENCE);
    assert_string_equal(query->gtrid, gtrid);
    answer_query(visitor, query->request, saying);
}

static const struct saying is_prepared = {.prepared = true,
                                          .status = WIRE__XID_STATUS__XID_IN_PROGRESS};
static const struct saying has_nothing = {.nothing = true};

static inline void both_testify(struct desk *desk, const char *gtrid, struct saying orders,
                                struct saying payments)
{
    testify(desk->orders, gtrid, orders);
    testify(desk->payments, gtrid, payments);
}

/* An order is relayed to it; returns the number of the request. */
static inline uint64_t relayed(struct visitor *visitor, Wire__TxOrderKind kind, bool commit)
{
    const Wire__TxOrder *body = hear(visitor, WIRE__MESSAGE__BODY_TX_ORDER)->tx_order;
    assert_true(body->relayed);
    assert_false(body->dry_run);
    assert_int_equal(body->kind, kind);
    assert_int_equal(body->commit, commit);
    assert_true(body->reason[0] && body->by[0]);
    return body->request;
}

/* It has done what was relayed; code: or refuses. */
static inline void answer_order(struct visitor *visitor, uint64_t request, const char *step,
                                const char *code)
{
    Wire__Answer body = WIRE__ANSWER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Resolution resolution = WIRE__RESOLUTION__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    char *steps = (char *)step;
    body.request = request;
    if (code) {
        problem.code = (char *)code;
        problem.message = (char *)step;
        body.problem = &problem;
    } else {
        resolution.deed = WIRE__DEED__DEED_HEURISTIC;
        resolution.message = (char *)"done";
        resolution.steps = &steps;
        resolution.n_steps = 1;
        body.resolution = &resolution;
    }
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &body;
    say(visitor, &message);
}

static inline const Wire__Resolution *resolved(struct desk *desk, uint64_t request, Wire__Deed deed)
{
    const Wire__Answer *answer = hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_int_equal(answer->request, request);
    if (answer->problem)
        fail_msg("refused: %s: %s", answer->problem->code, answer->problem->message);
    assert_non_null(answer->resolution);
    assert_int_equal(answer->resolution->deed, deed);
    assert_true(answer->resolution->message[0]);
    return answer->resolution;
}

static inline const Wire__Problem *refused(struct desk *desk, uint64_t request, const char *code)
{
    const Wire__Answer *answer = hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_int_equal(answer->request, request);
    assert_non_null(answer->problem);
    assert_string_equal(answer->problem->code, code);
    assert_true(answer->problem->message[0]);
    return answer->problem;
}

/* ---- what participants tell ---- */

struct forced {
    const char *coordinator; /* NULL: c1 */
    Wire__Branch branch;
    bool commit;
    const char *found;
};

static inline void tell_forced(struct visitor *visitor, struct forced forced)
{
    Wire__Heuristics body = WIRE__HEURISTICS__INIT;
    Wire__Heuristic one = WIRE__HEURISTIC__INIT, *all = &one;
    Wire__Message message = WIRE__MESSAGE__INIT;
    one.coordinator = (char *)(forced.coordinator ? forced.coordinator : "c1");
    one.epoch = forced.branch.epoch;
    one.seq = forced.branch.seq;
    one.branch = forced.branch.branch;
    one.participant = (char *)"somebody else";
    one.commit = forced.commit;
    one.reason = (char *)"it blocked the shop";
    one.by = (char *)"bob@door";
    one.at_us = 1700000001000000;
    one.found = (char *)text_of(forced.found);
    body.heuristics = &all;
    body.n_heuristics = 1;
    message.body_case = WIRE__MESSAGE__BODY_HEURISTICS;
    message.heuristics = &body;
    say(visitor, &message);
}

/* ---- lists ---- */

static inline const Wire__Answer *look_at(struct desk *desk, Wire__Query *query)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    query->request = 98;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = query;
    say(desk->client, &message);
    return hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
}

static inline const Wire__TransactionView *shown(struct desk *desk, const char *gtrid)
{
    const Wire__Answer *answer = ask(desk->client, WIRE__WHAT__TRANSACTION, gtrid, false);
    assert_null(answer->problem);
    assert_int_equal(answer->n_transactions, 1);
    assert_string_equal(answer->transactions[0]->gtrid, gtrid);
    return answer->transactions[0];
}

/* The list of heuristic outcomes and hazards. */
static inline const Wire__Answer *trouble(struct desk *desk)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    query.heuristic = query.hazard = true;
    return look_at(desk, &query);
}

/* It is the only one there, and this is what it came to. */
static inline void listed_as(struct desk *desk, const char *gtrid, const char *word)
{
    const Wire__Answer *answer = trouble(desk);
    assert_int_equal(answer->n_transactions, 1);
    assert_string_equal(answer->transactions[0]->gtrid, gtrid);
    assert_string_equal(answer->transactions[0]->heuristic, word);
}

static inline void nothing_is_listed(struct desk *desk)
{
    assert_int_equal(trouble(desk)->n_transactions, 0);
}

/* Records of this kind that the journal holds. */
static inline int records_of(const struct desk *desk, Journal__Record__BodyCase kind)
{
    int count = 0;
    for (size_t i = 0; i < desk->world->journal.count; i++) {
        const struct bytes *bytes = &desk->world->journal.items[i];
        Journal__Record *record = journal__record__unpack(NULL, bytes->size, bytes->data);
        assert_non_null(record);
        count += record->body_case == kind;
        journal__record__free_unpacked(record, NULL);
    }
    return count;
}

#endif
