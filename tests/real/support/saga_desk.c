#include "tests/real/support/saga_desk.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/transport.h"
#include "io/loop.h"
#include "io/pg.h"
#include "participant/agent.h"

enum { LIMIT_S = 20, TURN_MS = 2, FRAMES = 64, WAITING = 8 };
static const uint64_t keep_us = UINT64_C(7) * 24 * 3600 * 1000000;
static const uint64_t epoch = 5;

struct frames {
    struct {
        char *bytes;
        size_t size;
    } list[FRAMES];
    int count;
};

struct desk {
    struct pg *pg;
    struct agent *agent;
    struct transport *coordinator;
    struct peer *peer;
    struct frames to_agent, to_coordinator;
    bool ready;
    struct {
        uint64_t saga;
        Wire__How how;
        char step[64];
        struct desk_answer *answer;
    } waiting[WAITING];
};

static struct loop *loop;
static struct desk desks[DESKS];
static struct operation_set operations;
static PGconn *side;
static PGresult *side_result;
static uv_timer_t turns;

/* ---- by hand ------------------------------------------------------------------------------- */

const char *desk_sql(const char *sql)
{
    PQclear(side_result);
    side_result = PQexec(side, sql);
    ExecStatusType status = PQresultStatus(side_result);
    if (status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK)
        fail_msg("%s: %s", sql, PQresultErrorMessage(side_result));
    return PQntuples(side_result) > 0 ? PQgetvalue(side_result, 0, 0) : "";
}

void desk_clean(void)
{
    const struct db_port *port = pg_port(desks[0].pg);
    port->clean(port->self, keep_us);
}

/* ---- operations ---------------------------------------------------------------------------- */

static const struct {
    const char *name;
    bool read_only;
    const char *parameters[3], *types[3];
    struct {
        const char *sql;
        int64_t expect_rows;
        const char *otherwise;
        enum db_shape shape;
    } statements[2];
} catalogue[] = {
    {"charge",
     false,
     {"id", "amount"},
     {"text", "bigint"},
     {{"update rig set n = n - :amount where id = :id and n >= :amount returning n as left", 1,
       "insufficient_funds", DB_ROW}}},
    {"refund",
     false,
     {"id", "amount"},
     {"text", "bigint"},
     {{"update rig set n = n + :amount where id = :id returning n as left", 1, "no_such_account",
       DB_ROW}}},
    /* Nothing to look at before its COMMIT. */
    {"take",
     false,
     {NULL},
     {NULL},
     {{"update rig set n = n - 1 where id = 'a'", -1, NULL, DB_NO_RESULT}}},
    {"take_slowly",
     false,
     {NULL},
     {NULL},
     {{"update rig set n = n - 1 where id = 'a'", -1, NULL, DB_NO_RESULT},
      {"select pg_sleep(60)", -1, NULL, DB_NO_RESULT}}},
    {"add",
     false,
     {"id"},
     {"text"},
     {{"insert into rig values (:id, 7) returning id, n", 1, NULL, DB_ROW}}},
    {"wide",
     false,
     {"size"},
     {"integer"},
     {{"update rig set n = n - 1 where id = 'a' returning repeat('x', :size) as w", 1, NULL,
       DB_ROW}}},
    {"odd",
     false,
     {NULL},
     {NULL},
     {{"update rig set n = n - 1 where id = 'a' returning E'\"\\\\\\n\\t\\u00e9\\u20ac\\U0001f600' "
       "as s,"
       " null as z, 1.50::numeric as n, '{\"a\": [1, 2.50]}'::json as j",
       1, NULL, DB_ROW}}},
    {"all",
     false,
     {NULL},
     {NULL},
     {{"select * from rig where id = 'a' for update", 1, NULL, DB_ROW}}},
    {"look", true, {NULL}, {NULL}, {{"select n from rig where id = 'a'", 1, NULL, DB_ROW}}},
};

static void make_operations(void)
{
    struct error error;
    for (size_t i = 0; i < sizeof(catalogue) / sizeof(*catalogue); i++) {
        struct operation *operation =
            operation_add(&operations, catalogue[i].name, catalogue[i].read_only, &error);
        assert_non_null(operation);
        for (int k = 0; k < 3 && catalogue[i].parameters[k]; k++)
            assert_true(operation_parameter_add(operation, catalogue[i].parameters[k],
                                                catalogue[i].types[k], &error));
        for (int k = 0; k < 2 && catalogue[i].statements[k].sql; k++)
            assert_true(operation_statement_add(
                operation, catalogue[i].statements[k].sql, catalogue[i].statements[k].expect_rows,
                catalogue[i].statements[k].otherwise, catalogue[i].statements[k].shape, &error));
    }
}

/* ---- frames and messages ------------------------------------------------------------------- */

static bool send_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    (void)route;
    struct frames *frames = self;
    if (frames->count == FRAMES)
        return false;
    frames->list[frames->count].bytes = xmalloc(size);
    memcpy(frames->list[frames->count].bytes, frame, size);
    frames->list[frames->count++].size = size;
    return true;
}

static void redial(void *self)
{
    (void)self;
}

static void deliver(struct desk *desk, struct frames *frames, bool agents)
{
    struct frames now = *frames;
    frames->count = 0;
    for (int i = 0; i < now.count; i++) {
        if (agents)
            agent_frame(desk->agent, 0, now.list[i].bytes, now.list[i].size);
        else
            transport_frame(desk->coordinator, 1, now.list[i].bytes, now.list[i].size);
        free(now.list[i].bytes);
    }
}

static void copy_answer(struct desk_answer *answer, const Wire__Executed *executed)
{
    answer->done = true;
    answer->execution = executed->execution;
    answer->kept = executed->kept;
    answer->empty = executed->empty;
    assert_true(strlen(executed->result) < sizeof(answer->result));
    strcpy(answer->result, executed->result);
    if (!executed->problem)
        return;
    snprintf(answer->code, sizeof(answer->code), "%s", executed->problem->code);
    snprintf(answer->message, sizeof(answer->message), "%s", executed->problem->message);
    snprintf(answer->detail, sizeof(answer->detail), "%s", executed->problem->detail);
}

static void on_message(void *self, struct peer *peer, const Wire__Message *message)
{
    struct desk *desk = self;
    (void)peer;
    if (message->body_case != WIRE__MESSAGE__BODY_EXECUTED)
        return;
    const Wire__Executed *executed = message->executed;
    for (int i = 0; i < WAITING; i++) {
        if (!desk->waiting[i].answer || desk->waiting[i].saga != executed->task->seq ||
            desk->waiting[i].how != executed->how ||
            strcmp(desk->waiting[i].step, executed->task->step) != 0)
            continue;
        copy_answer(desk->waiting[i].answer, executed);
        desk->waiting[i].answer = NULL;
        return;
    }
    fail_msg("an answer that nobody waits for");
}

static void on_session(void *self, struct peer *peer)
{
    ((struct desk *)self)->peer = peer;
}

static void on_session_end(void *self, struct peer *peer, const char *reason)
{
    (void)peer;
    (void)reason;
    ((struct desk *)self)->peer = NULL;
}

/* ---- turning ------------------------------------------------------------------------------- */

static void on_turn(uv_timer_t *timer)
{
    (void)timer;
}

static void turn(void)
{
    uv_run(loop_uv(loop), UV_RUN_ONCE);
    for (int i = 0; i < DESKS; i++) {
        agent_settle(desks[i].agent);
        transport_settle(desks[i].coordinator);
        deliver(&desks[i], &desks[i].to_coordinator, false);
        deliver(&desks[i], &desks[i].to_agent, true);
        desks[i].ready = agent_ready(desks[i].agent);
    }
}

static void turn_until(const bool *done, const char *what)
{
    const struct host_port *host = loop_host(loop);
    turn(); /* brings the clock to now */
    uint64_t end_us = host->now_us(host->self) + (uint64_t)LIMIT_S * 1000000;
    while (!*done && host->now_us(host->self) < end_us)
        turn();
    if (!*done)
        fail_msg("not within %d s: %s", LIMIT_S, what);
}

void desk_await_sql(const char *sql, const char *value)
{
    const struct host_port *host = loop_host(loop);
    turn();
    uint64_t end_us = host->now_us(host->self) + (uint64_t)LIMIT_S * 1000000;
    while (strcmp(desk_sql(sql), value) != 0) {
        if (host->now_us(host->self) >= end_us)
            fail_msg("not within %d s: %s = %s", LIMIT_S, sql, value);
        turn();
    }
}

/* ---- asking -------------------------------------------------------------------------------- */

static void note(struct desk *desk, const Wire__Execute *execute, struct desk_answer *answer)
{
    *answer = (struct desk_answer){0};
    for (int i = 0; i < WAITING; i++) {
        if (desk->waiting[i].answer)
            continue;
        desk->waiting[i].saga = execute->task->seq;
        desk->waiting[i].how = execute->how;
        snprintf(desk->waiting[i].step, sizeof(desk->waiting[i].step), "%s", execute->task->step);
        desk->waiting[i].answer = answer;
        return;
    }
    fail_msg("too many are waited for");
}

void desk_ask(int desk, struct desk_wish wish, struct desk_answer *answer)
{
    const struct host_port *host = loop_host(loop);
    Wire__Task task = WIRE__TASK__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    Wire__Execute execute = WIRE__EXECUTE__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    int64_t wall_us = host->wall_us(host->self);
    task.epoch = epoch;
    task.seq = wish.saga ? wish.saga : 1;
    task.step = (char *)(wish.step ? wish.step : "charge");
    call.operation = (char *)(wish.operation ? wish.operation : "charge");
    call.arguments = (char *)(wish.arguments   ? wish.arguments
                              : wish.operation ? "{}"
                                               : "{\"id\":\"a\",\"amount\":10}");
    execute.task = &task;
    execute.how = wish.how ? wish.how : WIRE__HOW__HOW_STEP;
    execute.try_ = 1;
    execute.call = execute.how == WIRE__HOW__HOW_CANCEL ? NULL : &call;
    execute.timeout_ms = wish.timeout_ms ? wish.timeout_ms : 20000;
    execute.since_us = wall_us - wish.age_s * 1000000;
    execute.step_since_us = wall_us - wish.step_age_s * 1000000;
    execute.final = wish.final;
    message.body_case = WIRE__MESSAGE__BODY_EXECUTE;
    message.execute = &execute;
    note(&desks[desk], &execute, answer);
    assert_non_null(desks[desk].peer);
    assert_true(peer_send(desks[desk].peer, &message, true));
}

void desk_await(struct desk_answer *answer)
{
    turn_until(&answer->done, "what was asked for is answered");
}

const struct desk_answer *desk_execute(int desk, struct desk_wish wish)
{
    static struct desk_answer answer;
    desk_ask(desk, wish, &answer);
    desk_await(&answer);
    return &answer;
}

/* ---- setup --------------------------------------------------------------------------------- */

static void open_database(const char *conninfo)
{
    struct error error;
    char text[1024];
    const struct pg_config config = {.conninfo = conninfo, .connections = 2};
    side = PQconnectdb(conninfo);
    assert_int_equal(PQstatus(side), CONNECTION_OK);
    if (!pg_install(&config, &error))
        fail_msg("%s", error_format(&error, text, sizeof(text)));
    desk_sql("set client_min_messages = error; set synchronous_commit = local");
    desk_sql("truncate troth.barrier, troth.register, troth.settled");
    desk_sql("drop table if exists rig; create table rig (id text primary key, n bigint not null"
             " check (n >= 0)); insert into rig values ('a', 100), ('b', 100)");
}

static void open_desk(struct desk *desk, const char *conninfo, const char *name)
{
    *desk = (struct desk){0};
    struct transport_config session = {.acceptor = true,
                                       .cluster = "rig",
                                       .name = "c1",
                                       .heartbeat_us = 5000000,
                                       .frame_bytes = LIMIT_AGENT_FRAME_BYTES};
    struct transport_events up = {
        .self = desk, .up = on_session, .message = on_message, .down = on_session_end};
    struct link_port down_link = {&desk->to_agent, send_frame, NULL};
    struct link_port up_link = {&desk->to_coordinator, send_frame, redial};
    struct pg_config database = {.conninfo = conninfo,
                                 .cluster = "rig",
                                 .participant = name,
                                 .connections = 2,
                                 .lock_timeout_us = 5000000};
    struct agent_config config = {.cluster = "rig",
                                  .participant = name,
                                  .operations = &operations,
                                  .connections = 2,
                                  .heartbeat_us = 5000000,
                                  .sweep_us = UINT64_C(3600) * 1000000,
                                  .barrier_keep_us = keep_us};
    const struct host_port *host = loop_host(loop);
    desk->coordinator = transport_new(&session, host, &down_link, &up);
    transport_open(desk->coordinator, epoch);
    desk->pg = pg_new(loop, &database);
    desk->agent = agent_new(&config, host, pg_port(desk->pg), &up_link, 1, NULL, NULL);
    pg_bind(desk->pg, agent_db_events(desk->agent));
}

int desks_setup(void **state)
{
    (void)state;
    const char *conninfo = getenv("TROTH_TEST_PG_PAYMENTS");
    open_database(conninfo);
    make_operations();
    loop = loop_new();
    uv_timer_init(loop_uv(loop), &turns);
    uv_timer_start(&turns, on_turn, TURN_MS, TURN_MS);
    open_desk(&desks[0], conninfo, "payments");
    open_desk(&desks[1], conninfo, "payments-2");
    for (int i = 0; i < DESKS; i++)
        turn_until(&desks[i].ready, "the agent is ready");
    return 0;
}

static void free_frames(struct frames *frames)
{
    for (int i = 0; i < frames->count; i++)
        free(frames->list[i].bytes);
    frames->count = 0;
}

int desks_teardown(void **state)
{
    (void)state;
    for (int i = 0; i < DESKS; i++) {
        pg_free(desks[i].pg);
        agent_free(desks[i].agent);
        transport_free(desks[i].coordinator);
        free_frames(&desks[i].to_agent);
        free_frames(&desks[i].to_coordinator);
    }
    uv_close((uv_handle_t *)&turns, NULL);
    loop_free(loop);
    operation_set_fini(&operations);
    operations = (struct operation_set){0};
    if (PQtransactionStatus(side) != PQTRANS_IDLE)
        desk_sql("rollback"); /* what a test that failed left */
    desk_sql("alter system reset synchronous_standby_names");
    desk_sql("select pg_reload_conf()");
    PQclear(side_result);
    side_result = NULL;
    PQfinish(side);
    return 0;
}
