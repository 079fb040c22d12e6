/* A shop whose client builds transactions step by step, with every other party played by hand. */
#ifndef TROTH_TESTS_UNIT_OPEN_KIT_H
#define TROTH_TESTS_UNIT_OPEN_KIT_H

#include "server_kit.h"

#include "core/id.h"

/* client began what is open; service is another session that takes part. */
struct shop {
    struct world *world;
    struct visitor *orders, *payments, *client, *service;
};

/* As a real one says it when its session begins. */
static inline void report(struct visitor *visitor, const char *database, const char *listen)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *operations[] = {(char *)"charge", (char *)"create", (char *)"note"};
    body.database_up = database[0] != '\0';
    body.database_reason = (char *)(database[0] ? "" : "it starts up");
    body.database = (char *)database;
    body.listen = (char *)listen;
    body.operations = operations;
    body.n_operations = 3;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

static inline void open_shop(struct shop *shop)
{
    shop->orders = participant(shop->world, 0, "orders");
    shop->payments = participant(shop->world, 1, "payments");
    report(shop->orders, "71/16384", "tcp://127.0.0.1:7501");
    report(shop->payments, "71/16385", "tcp://127.0.0.1:7502");
    shop->client = client(shop->world, 2);
    shop->service = client(shop->world, 3);
}

static inline struct shop shop_new(void)
{
    struct shop shop = {.world = world_new()};
    start(shop.world);
    open_shop(&shop);
    return shop;
}

/* ---- what clients say ---- */

static inline void say_begin(struct visitor *visitor, uint64_t request,
                             const struct submission *how)
{
    Wire__Begin body = WIRE__BEGIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = request;
    if (how) {
        body.key = (char *)(how->key ? how->key : "");
        body.timeout_ms = how->timeout_ms;
        body.protocol = how->protocol;
    }
    message.body_case = WIRE__MESSAGE__BODY_BEGIN;
    message.begin = &body;
    say(visitor, &message);
}

/* operation: "payments.charge". */
static inline void say_perform(struct visitor *visitor, uint64_t request, const char *gtrid,
                               const char *operation)
{
    Wire__Perform body = WIRE__PERFORM__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char name[64];
    snprintf(name, sizeof(name), "%s", operation);
    call.participant = name;
    call.operation = strchr(name, '.') + 1;
    call.operation[-1] = '\0';
    call.arguments = (char *)"{\"amount\":12}";
    body.request = request;
    body.gtrid = (char *)gtrid;
    body.call = &call;
    message.body_case = WIRE__MESSAGE__BODY_PERFORM;
    message.perform = &body;
    say(visitor, &message);
}

static inline void say_join(struct visitor *visitor, uint64_t request, const char *gtrid,
                            const char *name)
{
    Wire__Join body = WIRE__JOIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = request;
    body.gtrid = (char *)gtrid;
    body.participant = (char *)name;
    message.body_case = WIRE__MESSAGE__BODY_JOIN;
    message.join = &body;
    say(visitor, &message);
}

/* code: of what PostgreSQL said; NULL: it is prepared, or (xid 0) over. */
static inline void say_hand_over(struct visitor *visitor, uint64_t request, const char *gtrid,
                                 uint32_t branch, uint64_t xid, const char *code)
{
    Wire__HandOver body = WIRE__HAND_OVER__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = request;
    body.gtrid = (char *)gtrid;
    body.branch = branch;
    body.xid = xid;
    if (code) {
        problem.code = (char *)code;
        problem.message = (char *)"it could not be prepared";
        body.problem = &problem;
    }
    message.body_case = WIRE__MESSAGE__BODY_HAND_OVER;
    message.hand_over = &body;
    say(visitor, &message);
}

static inline void say_end(struct visitor *visitor, uint64_t request, const char *gtrid,
                           bool commit)
{
    Wire__End body = WIRE__END__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = request;
    body.gtrid = (char *)gtrid;
    body.commit = commit;
    message.body_case = WIRE__MESSAGE__BODY_END;
    message.end = &body;
    say(visitor, &message);
}

/* ---- what clients hear ---- */

static inline const Wire__Progress *progress(struct visitor *visitor, uint64_t request)
{
    const Wire__Progress *body = hear(visitor, WIRE__MESSAGE__BODY_PROGRESS)->progress;
    assert_int_equal(body->request, request);
    assert_null(body->problem);
    return body;
}

/* Refused, and nothing has changed. */
static inline const Wire__Problem *refused(struct visitor *visitor, uint64_t request,
                                           const char *code)
{
    const Wire__Progress *body = hear(visitor, WIRE__MESSAGE__BODY_PROGRESS)->progress;
    assert_int_equal(body->request, request);
    assert_non_null(body->problem);
    assert_string_equal(body->problem->code, code);
    assert_string_not_equal(body->problem->message, "");
    return body->problem;
}

static inline const Wire__Problem *aborted(struct visitor *visitor, uint64_t request,
                                           const char *code)
{
    const Wire__Outcome *body = outcome(visitor, request, WIRE__RESULT__ABORTED);
    assert_non_null(body->problem);
    assert_string_equal(body->problem->code, code);
    return body->problem;
}

/* ---- whole steps ---- */

static inline void begin(struct shop *shop, const struct submission *how, gtrid_text gtrid)
{
    say_begin(shop->client, 1, how);
    snprintf(gtrid, sizeof(gtrid_text), "%s", progress(shop->client, 1)->gtrid);
}

/* What a participant was asked to do. */
struct work {
    Wire__Branch branch;
    uint32_t number;
};

static inline struct work worked_at(struct visitor *visitor, const char *operation)
{
    const Wire__Work *body = hear(visitor, WIRE__MESSAGE__BODY_WORK)->work;
    struct work work = {.branch = WIRE__BRANCH__INIT, .number = body->number};
    assert_string_equal(body->call->operation, operation);
    assert_string_equal(body->call->participant, "");
    work.branch.epoch = body->branch->epoch;
    work.branch.seq = body->branch->seq;
    work.branch.branch = body->branch->branch;
    return work;
}

static inline void say_worked(struct visitor *visitor, const struct work *work, const char *result,
                              const char *code)
{
    Wire__Worked body = WIRE__WORKED__INIT;
    Wire__Branch branch = work->branch;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.branch = &branch;
    body.number = work->number;
    body.result = (char *)result;
    if (code) {
        problem.operation = (char *)"charge";
        problem.code = (char *)code;
        problem.message = (char *)"the account has not enough";
        body.problem = &problem;
    }
    message.body_case = WIRE__MESSAGE__BODY_WORKED;
    message.worked = &body;
    say(visitor, &message);
}

/* Performs it, and hears its result. */
static inline struct work perform(struct shop *shop, const char *gtrid, struct visitor *worker,
                                  const char *operation)
{
    say_perform(shop->client, 2, gtrid, operation);
    struct work work = worked_at(worker, strchr(operation, '.') + 1);
    say_worked(worker, &work, "{\"id\":7}", NULL);
    assert_string_equal(progress(shop->client, 2)->result, "{\"id\":7}");
    return work;
}

/* Joins there, and hands it over; returns the branch. */
static inline uint32_t join(struct shop *shop, struct visitor *who, const char *gtrid,
                            const char *name, uint64_t xid)
{
    (void)shop;
    say_join(who, 3, gtrid, name);
    uint32_t branch = progress(who, 3)->branch;
    say_hand_over(who, 4, gtrid, branch, xid, NULL);
    progress(who, 4);
    return branch;
}

/* The one that is asked to prepare: its xid is the one that was handed over. */
static inline Wire__Branch adopted(struct visitor *visitor, uint64_t xid)
{
    const Wire__Prepare *body = hear(visitor, WIRE__MESSAGE__BODY_PREPARE)->prepare;
    Wire__Branch branch = WIRE__BRANCH__INIT;
    assert_int_equal(body->mode, WIRE__MODE__ADOPT);
    assert_int_equal(body->xid, xid);
    assert_int_equal(body->n_calls, 0);
    branch.epoch = body->branch->epoch;
    branch.seq = body->branch->seq;
    branch.branch = body->branch->branch;
    return branch;
}

static inline Wire__Branch branch_of(const char *gtrid, uint32_t number)
{
    struct gid id;
    Wire__Branch branch = WIRE__BRANCH__INIT;
    assert_true(gtrid_parse(gtrid, &id));
    branch.epoch = id.tx.epoch;
    branch.seq = id.tx.seq;
    branch.branch = number;
    return branch;
}

#endif
