/* A coordinator that runs sagas, a client, and two participants that keep their barrier as real
 * ones do, also when the coordinator is killed. */
#ifndef TROTH_TESTS_UNIT_SAGAS_KIT_H
#define TROTH_TESTS_UNIT_SAGAS_KIT_H

#include "server_kit.h"

#include "coordinator/parts.h"
#include "saga/definition.h"

enum { ROWS = 1000, DEFINITIONS = 8 };

/* A row of a barrier. */
struct row {
    char gtrid[160]; /* "5.17/charge", "5.17/charge/undo" */
    bool fenced;
    int done; /* times: more than one is a bug */
};

struct hall {
    struct world *world;
    struct visitor *orders, *payments, *client;
    const char *texts[DEFINITIONS + 1]; /* up to NULL */
    const char *refused;                /* an operation whose work fails, or NULL */
    const char *away;                   /* an operation that is never answered, or NULL */
    struct row rows[ROWS];
    int row_count;
    int executed; /* Executes that came */
    uint64_t request;
};

static const char order_saga[] =
    "saga: order\n"
    "version: 1\n"
    "input: {id: string, amount: {type: integer, default: 1}}\n"
    "steps:\n"
    "  - name: create\n"
    "    call: orders.create\n"
    "    with: {id: \"${ .input.id }\", amount: \"${ .input.amount }\"}\n"
    "    compensate: {call: orders.cancel, with: {id: \"${ .input.id }\"}}\n"
    "  - {name: charge, call: payments.charge, compensate: payments.refund}\n"
    "output: {charged: \"${ .steps.charge.n }\"}\n";

static const char approval_saga[] =
    "saga: approval\n"
    "version: 2\n"
    "steps:\n"
    "  - {name: create, call: orders.create, compensate: orders.cancel}\n"
    "  - {name: answer, wait: {signal: approved, timeout: 1h}}\n"
    "  - {name: charge, call: payments.charge, kind: pivot}\n"
    "  - {name: ship, call: orders.ship, kind: retriable}\n"
    "output: {said: \"${ .steps.answer }\"}\n";

static const char outer_saga[] = "saga: outer\n"
                                 "version: 1\n"
                                 "steps:\n"
                                 "  - {name: open, call: orders.open, compensate: orders.close}\n"
                                 "  - {name: inner, saga: order, input: {id: \"o\"}}\n"
                                 "  - {name: last, call: payments.last, compensate: none}\n"
                                 "output: {inner: \"${ .steps.inner.charged }\"}\n";

/* ---- a hall ---- */

/* To compile a definition takes much longer than to run it, and here it is done at each start: so
 * plans are kept for the next hall. */
static struct {
    struct saga_plan *plans[32];
    int count;
} hall_shelf;

static inline struct saga_plan *hall_load(void *self, const char *file, const char *text,
                                          size_t size, struct error *error)
{
    (void)self;
    for (int i = 0; i < hall_shelf.count; i++) {
        struct saga_plan *plan = hall_shelf.plans[i];
        if (strcmp(plan->file, file) == 0 && plan->size == size &&
            memcmp(plan->text, text, size) == 0)
            return plan;
    }
    struct saga_plan *plan = saga_definition_load(file, text, size, error);
    assert_true(hall_shelf.count < 32);
    if (plan)
        hall_shelf.plans[hall_shelf.count++] = plan;
    return plan;
}

static inline void hall_free_plan(void *self, struct saga_plan *plan)
{
    (void)self;
    (void)plan;
}

/* For the end of a test program. */
static inline int hall_clear_shelf(void **unused)
{
    (void)unused;
    while (hall_shelf.count > 0)
        saga_plan_free(hall_shelf.plans[--hall_shelf.count]);
    return 0;
}

/* The hall of the present test, for the world's `prepare`. */
static struct hall *hall_now;

static inline int hall_define(struct hall *hall)
{
    static const char *const files[] = {"a.yaml", "b.yaml", "c.yaml", "d.yaml",
                                        "e.yaml", "f.yaml", "g.yaml", "h.yaml"};
    struct server_definition all[DEFINITIONS];
    int count = 0;
    for (; hall->texts[count]; count++) {
        all[count].file = files[count];
        all[count].text = hall->texts[count];
        all[count].size = strlen(hall->texts[count]);
    }
    return server_define(hall->world->server, all, count);
}

static inline void hall_prepare(struct world *world)
{
    (void)world;
    (void)hall_define(hall_now);
}

static inline void hall_visit(struct hall *hall)
{
    hall->orders = participant(hall->world, 0, "orders");
    hall->payments = participant(hall->world, 1, "payments");
    hall->client = client(hall->world, 2);
}

static inline struct hall *hall_new(void)
{
    struct hall *hall = xcalloc(1, sizeof(*hall));
    hall_now = hall;
    hall->texts[0] = order_saga;
    hall->texts[1] = approval_saga;
    hall->texts[2] = outer_saga;
    hall->world = world_new();
    hall->world->loader = (struct saga_loader){NULL, hall_load, hall_free_plan};
    hall->world->prepare = hall_prepare;
    start(hall->world);
    hall_visit(hall);
    return hall;
}

static inline void hall_free(struct hall *hall)
{
    world_free(hall->world);
    free(hall);
}

/* Kill -9: what was not durable is lost. The databases keep what they have. */
static inline void hall_crash(struct hall *hall)
{
    crash_and_start(hall->world);
    hall_visit(hall);
}

static inline size_t running(const struct hall *hall)
{
    return hall->world->server->sagas.map.count;
}

/* ---- the client ---- */

struct starting {
    const char *name, *input, *key;
    bool wait;
    uint32_t timeout_ms;
};

static inline uint64_t start_saga(struct hall *hall, const struct starting *how)
{
    Wire__StartSaga body = WIRE__START_SAGA__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = ++hall->request;
    body.name = (char *)how->name;
    body.input = (char *)(how->input ? how->input : "");
    body.key = (char *)(how->key ? how->key : "");
    body.wait = how->wait;
    body.timeout_ms = how->timeout_ms;
    message.body_case = WIRE__MESSAGE__BODY_START_SAGA;
    message.start_saga = &body;
    say(hall->client, &message);
    return body.request;
}

/* What is heard next, which must be of the last start and say this. */
static inline const Wire__SagaOutcome *hear_saga(struct hall *hall, Wire__SagaResult result)
{
    const Wire__SagaOutcome *heard =
        hear(hall->client, WIRE__MESSAGE__BODY_SAGA_OUTCOME)->saga_outcome;
    assert_int_equal(heard->request, hall->request);
    assert_int_equal(heard->result, result);
    return heard;
}

static inline void hear_refusal(struct hall *hall, const char *code)
{
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_REJECTED);
    assert_non_null(heard->problem);
    assert_string_equal(heard->problem->code, code);
}

/* One that has durably begun; its id lives until the next call. */
static inline const char *begin_saga(struct hall *hall, const char *name, const char *input)
{
    static char id[sizeof(gtrid_text)];
    start_saga(hall, &(struct starting){.name = name, .input = input});
    sync_journal(hall->world);
    snprintf(id, sizeof(id), "%s", hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED)->saga);
    return id;
}

static inline void give_order(struct hall *hall, const char *id, Wire__Order order,
                              const char *signal, const char *value)
{
    Wire__SagaOrder body = WIRE__SAGA_ORDER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = ++hall->request;
    body.saga = (char *)id;
    body.order = order;
    body.signal = (char *)(signal ? signal : "");
    body.value = (char *)(value ? value : "");
    message.body_case = WIRE__MESSAGE__BODY_SAGA_ORDER;
    message.saga_order = &body;
    say(hall->client, &message);
}

/* The answer to the last order. code: NULL when it was obeyed. */
static inline const Wire__Answer *hear_order(struct hall *hall, const char *code)
{
    const Wire__Answer *heard = hear(hall->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
    assert_int_equal(heard->request, hall->request);
    assert_int_equal(heard->problem == NULL, code == NULL);
    if (code)
        assert_string_equal(heard->problem->code, code);
    return heard;
}

static inline const Wire__Answer *query(struct hall *hall, const Wire__Query *how)
{
    Wire__Query body = *how;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = ++hall->request;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &body;
    say(hall->client, &message);
    return hear(hall->client, WIRE__MESSAGE__BODY_ANSWER)->answer;
}

/* ---- participants ---- */

static inline struct row *find_row(struct hall *hall, const Wire__Task *task, const char *end)
{
    char gtrid[160];
    snprintf(gtrid, sizeof(gtrid), "%llu.%llu/%s%s", (unsigned long long)task->epoch,
             (unsigned long long)task->seq, task->step, end);
    for (int i = 0; i < hall->row_count; i++) {
        if (strcmp(hall->rows[i].gtrid, gtrid) == 0)
            return &hall->rows[i];
    }
    assert_true(hall->row_count < ROWS);
    struct row *row = &hall->rows[hall->row_count++];
    snprintf(row->gtrid, sizeof(row->gtrid), "%s", gtrid);
    return row;
}

static inline void execute(struct hall *hall, const Wire__Execute *asked, Wire__Executed *out)
{
    static Wire__Problem problem;
    struct row *step = find_row(hall, asked->task, "");
    bool refused =
        asked->call && hall->refused && strcmp(asked->call->operation, hall->refused) == 0;
    wire__problem__init(&problem);
    problem.code = (char *)(refused ? "insufficient_funds" : "cancelled");
    problem.message = (char *)"it can't be done";
    out->task = asked->task;
    out->how = asked->how;
    out->try_ = asked->try_;
    out->kept = true;
    out->execution = WIRE__EXECUTION__SUCCEEDED;
    if (asked->how == WIRE__HOW__HOW_COMPENSATE) {
        struct row *undo = find_row(hall, asked->task, "/undo");
        assert_true(step->done || step->fenced);
        undo->done += step->done && !undo->done ? 1 : 0;
        return;
    }
    if (asked->how == WIRE__HOW__HOW_CANCEL)
        step->fenced = step->fenced || !step->done;
    else if (refused && !step->done)
        step->fenced = step->fenced || asked->final;
    else if (!step->fenced && !step->done)
        step->done++;
    if (step->done) {
        out->result = (char *)"{\"n\":7}";
    } else {
        out->execution = WIRE__EXECUTION__FAILED;
        out->problem = &problem;
    }
}

/* Answers one Execute that has come; false: there is none. */
static inline bool serve_one(struct hall *hall, struct visitor *visitor)
{
    Wire__Executed executed = WIRE__EXECUTED__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    if (is_silent(visitor))
        return false;
    const Wire__Execute *asked = hear(visitor, WIRE__MESSAGE__BODY_EXECUTE)->execute;
    hall->executed++;
    if (asked->call && hall->away && strcmp(asked->call->operation, hall->away) == 0)
        return true;
    execute(hall, asked, &executed);
    message.body_case = WIRE__MESSAGE__BODY_EXECUTED;
    message.executed = &executed;
    say(visitor, &message);
    return true;
}

/* The smallest thing that can happen now; false: nothing but time. */
static inline bool step(struct hall *hall)
{
    if (serve_one(hall, hall->orders) || serve_one(hall, hall->payments))
        return true;
    if (hall->world->durable < hall->world->journal.count) {
        sync_journal(hall->world);
        return true;
    }
    return false;
}

static inline void settle_all(struct hall *hall)
{
    while (step(hall))
        continue;
}

/* Until no saga is left. */
static inline void finish_all(struct hall *hall)
{
    for (int i = 0; i < 2000 && running(hall) > 0; i++) {
        if (!step(hall))
            pass(hall->world, SECOND_US);
    }
    assert_int_equal(running(hall), 0);
}

/* How often it was done and not undone: of all sagas that ever had this step. */
static inline int remains(const struct hall *hall, const char *step)
{
    int count = 0;
    char undo[80];
    snprintf(undo, sizeof(undo), "%s/undo", step);
    for (int i = 0; i < hall->row_count; i++) {
        const char *name = strchr(hall->rows[i].gtrid, '/') + 1;
        assert_true(hall->rows[i].done <= 1);
        if (strcmp(name, step) == 0)
            count += hall->rows[i].done;
        else if (strcmp(name, undo) == 0)
            count -= hall->rows[i].done;
    }
    return count;
}

#endif
