#include "tests/real/support/pg_rig.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <uv.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/map.h"
#include "tests/real/support/cluster.h"

enum { LIMIT_S = 20, TICK_MS = 50 };

/* ---- what the port calls ------------------------------------------------------------------- */

static struct rig_answer *answered(void *self, void *tag)
{
    struct rig *rig = self;
    struct rig_answer *answer = tag;
    assert_false(rig->in_call);
    assert_false(answer->done);
    answer->done = true;
    return answer;
}

static void on_up(void *self, const char *database)
{
    struct rig *rig = self;
    rig->ups++;
    snprintf(rig->database, sizeof(rig->database), "%s", database);
}

static void on_down(void *self, const char *reason)
{
    struct rig *rig = self;
    rig->downs++;
    snprintf(rig->down_reason, sizeof(rig->down_reason), "%s", reason);
}

static void on_worked(void *self, void *tag, const struct db_worked *worked)
{
    struct rig_answer *answer = answered(self, tag);
    answer->outcome = worked->outcome;
    answer->duplicate = worked->duplicate;
    answer->too_large = worked->too_large;
    answer->stale = worked->stale;
    answer->xid = worked->xid;
    answer->failed_statement = worked->failed_statement;
    snprintf(answer->sqlstate, sizeof(answer->sqlstate), "%s", worked->sqlstate);
    snprintf(answer->refusal, sizeof(answer->refusal), "%s",
             worked->refusal ? worked->refusal : "");
    snprintf(answer->reason, sizeof(answer->reason), "%s", worked->reason);
    snprintf(answer->detail, sizeof(answer->detail), "%s", worked->detail);
    for (int i = 0; i < answer->result_count; i++)
        snprintf(answer->results[i], sizeof(answer->results[i]), "%s",
                 worked->results[i] ? worked->results[i] : "");
}

static void on_adopted(void *self, void *tag, enum db_adopted adopted, const char *reason)
{
    struct rig_answer *answer = answered(self, tag);
    answer->adopted = adopted;
    snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
}

static void on_finished(void *self, void *tag, enum db_finish result, const char *reason)
{
    struct rig_answer *answer = answered(self, tag);
    answer->finish = result;
    snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
}

static void on_status(void *self, void *tag, enum db_status status)
{
    answered(self, tag)->status = status;
}

static void on_looked_up(void *self, void *tag, enum db_found found, const char *result)
{
    struct rig_answer *answer = answered(self, tag);
    answer->found = found;
    snprintf(answer->kept, sizeof(answer->kept), "%s", result ? result : "");
}

static void on_loaded(void *self, void *tag, enum db_found found, const struct db_register *row)
{
    struct rig_answer *answer = answered(self, tag);
    answer->found = found;
    assert_true((found == DB_FOUND) == (row != NULL));
    if (!row)
        return;
    snprintf(answer->row.sites, sizeof(answer->row.sites), "%s", row->sites);
    answer->row.begun_us = row->begun_us;
    answer->row.state = row->state;
}

static void on_stored(void *self, void *tag, enum db_stored stored)
{
    answered(self, tag)->stored = stored;
}

static void on_committed(void *self, void *tag, enum db_accepted accepted)
{
    answered(self, tag)->accepted = accepted;
}

static void on_scanned(void *self, void *tag, bool ok, const struct db_prepared *prepared,
                       int count, int slots)
{
    struct rig_answer *answer = answered(self, tag);
    answer->ok = ok;
    answer->slots = slots;
    answer->count = count;
    for (int i = 0; i < count && i < RIG_PREPARED; i++) {
        snprintf(answer->prepared[i].gid, sizeof(answer->prepared[i].gid), "%s", prepared[i].gid);
        answer->prepared[i].registered = prepared[i].registered;
        snprintf(answer->prepared[i].sites, sizeof(answer->prepared[i].sites), "%s",
                 prepared[i].sites ? prepared[i].sites : "");
        answer->prepared[i].sites_hash =
            prepared[i].sites ? hash_bytes(prepared[i].sites, strlen(prepared[i].sites))
                              : hash_bytes("", 0);
        answer->prepared[i].xid = prepared[i].xid;
        answer->prepared[i].prepared_at_us = prepared[i].prepared_at_us;
    }
}

static void on_inspected(void *self, void *tag, const struct db_inspected *inspected)
{
    struct rig_look *look = answered(self, tag)->look;
    *look = (struct rig_look){.ok = inspected->ok,
                              .now_us = inspected->now_us,
                              .held_count = inspected->held_count,
                              .xid = inspected->xid,
                              .status = inspected->status,
                              .registered = inspected->registered,
                              .state = inspected->state};
    snprintf(look->problem, sizeof(look->problem), "%s", inspected->problem);
    snprintf(look->barrier, sizeof(look->barrier), "%s", inspected->barrier);
    assert_true((size_t)snprintf(look->report, sizeof(look->report), "%s", inspected->report) <
                sizeof(look->report));
    for (int i = 0; i < inspected->held_count && i < RIG_HELD; i++) {
        const struct db_held *held = &inspected->held[i];
        snprintf(look->held[i].gid, sizeof(look->held[i].gid), "%s", held->gid);
        snprintf(look->held[i].owner, sizeof(look->held[i].owner), "%s", held->owner);
        snprintf(look->held[i].database, sizeof(look->held[i].database), "%s", held->database);
        look->held[i].here = held->here;
        look->held[i].xid = held->xid;
        look->held[i].age_xids = held->age_xids;
        look->held[i].prepared_at_us = held->prepared_at_us;
    }
}

static void on_heuristic_stored(void *self, void *tag, enum db_stored stored)
{
    answered(self, tag)->stored = stored;
}

static void on_heuristics_loaded(void *self, void *tag, bool ok, const struct db_heuristic *rows,
                                 int count)
{
    struct rig_heuristics *kept = answered(self, tag)->heuristics;
    *kept = (struct rig_heuristics){.ok = ok, .count = count};
    for (int i = 0; i < count && i < RIG_HEURISTICS; i++) {
        snprintf(kept->rows[i].gid, sizeof(kept->rows[i].gid), "%s", rows[i].gid);
        snprintf(kept->rows[i].reason, sizeof(kept->rows[i].reason), "%s", rows[i].reason);
        snprintf(kept->rows[i].by, sizeof(kept->rows[i].by), "%s", rows[i].by);
        kept->rows[i].commit = rows[i].commit;
        kept->rows[i].xid = rows[i].xid;
        kept->rows[i].at_us = rows[i].at_us;
    }
}

/* ---- driving ------------------------------------------------------------------------------- */

/* Often, as an answer that comes from a timer ends no wait of the loop. */
static void on_limit(uv_timer_t *timer)
{
    --*(int *)timer->data;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

static void turn_until(struct rig *rig, const bool *done, const int *count, int least,
                       const char *what)
{
    int ticks = LIMIT_S * 1000 / TICK_MS;
    uv_loop_t *uv = loop_uv(rig->loop);
    uv_timer_t *limit = xmalloc(sizeof(*limit));
    uv_timer_init(uv, limit);
    limit->data = &ticks;
    uv_update_time(uv);
    uv_timer_start(limit, on_limit, TICK_MS, TICK_MS);
    while (ticks > 0 && !(done ? *done : *count >= least))
        uv_run(uv, UV_RUN_ONCE);
    uv_close((uv_handle_t *)limit, free_handle);
    if (ticks == 0)
        fail_msg("not within %d s: %s", LIMIT_S, what);
}

void rig_until(struct rig *rig, const bool *done, const char *what)
{
    turn_until(rig, done, NULL, 0, what);
}

void rig_until_count(struct rig *rig, const int *count, int least, const char *what)
{
    turn_until(rig, NULL, count, least, what);
}

const struct pg_handlers *rig_handlers;

void rig_start(struct rig *rig, int connections)
{
    const struct pg_config config = {.conninfo = rig->conninfo,
                                     .cluster = "rig",
                                     .participant =
                                         rig->participant ? rig->participant : "payments",
                                     .connections = connections,
                                     .lock_timeout_us = 300000,
                                     .three_phase = !rig->two_phase,
                                     .handlers = rig_handlers};
    const struct db_events events = {.self = rig,
                                     .up = on_up,
                                     .down = on_down,
                                     .worked = on_worked,
                                     .adopted = on_adopted,
                                     .finished = on_finished,
                                     .status = on_status,
                                     .looked_up = on_looked_up,
                                     .register_loaded = on_loaded,
                                     .register_stored = on_stored,
                                     .register_committed = on_committed,
                                     .inspected = on_inspected,
                                     .heuristic_stored = on_heuristic_stored,
                                     .heuristics_loaded = on_heuristics_loaded,
                                     .scanned = on_scanned};
    rig->loop = loop_new();
    rig->pg = pg_new(rig->loop, &config);
    pg_bind(rig->pg, &events);
    rig->port = pg_port(rig->pg);
}

void rig_stop(struct rig *rig)
{
    pg_free(rig->pg);
    loop_free(rig->loop);
}

void rig_start_again(struct rig *rig)
{
    rig->ups = 0;
    rig_start(rig, 2);
    rig_until_count(rig, &rig->ups, 1, "the port is up again");
}

void rig_lose_power(struct rig *rig)
{
    int ups = rig->ups;
    PQfinish(rig->side);
    cluster_call("cluster_kill", "payments");
    cluster_call("cluster_start", "payments");
    rig->side = PQconnectdb(rig->conninfo);
    assert_int_equal(PQstatus(rig->side), CONNECTION_OK);
    rig_until_count(rig, &rig->ups, ups + 1, "the port is up again");
}

void rig_turn_until_sql(struct rig *rig, const char *sql, const char *value)
{
    time_t limit = time(NULL) + 20;
    while (strcmp(rig_sql(rig, sql), value) != 0) {
        if (time(NULL) > limit)
            fail_msg("not within 20 s: %s gives %s", sql, value);
        uv_run(loop_uv(rig->loop), UV_RUN_NOWAIT);
    }
}

static void end_prepared(struct rig *rig)
{
    const char *sql;
    while (*(sql = rig_sql(rig, "select format('rollback prepared %L', gid) from pg_prepared_xacts"
                                " where database = current_database() limit 1"))) {
        char copy[300];
        snprintf(copy, sizeof(copy), "%s", sql);
        rig_sql(rig, copy);
    }
}

void rig_open(struct rig *rig, int connections)
{
    struct error error;
    char text[1024];
    *rig = (struct rig){.conninfo = getenv("TROTH_TEST_PG_PAYMENTS")};
    rig->side = PQconnectdb(rig->conninfo);
    assert_int_equal(PQstatus(rig->side), CONNECTION_OK);
    const struct pg_config config = {.conninfo = rig->conninfo, .connections = connections};
    if (!pg_install(&config, &error))
        fail_msg("%s", error_format(&error, text, sizeof(text)));
    rig_sql(rig, "set client_min_messages = error");
    end_prepared(rig);
    rig_sql(rig, "truncate troth.barrier, troth.register, troth.settled, troth.sites,"
                 " troth.heuristic");
    rig_sql(rig, "drop table if exists rig; create table rig (id text primary key, n bigint not "
                 "null check (n >= 0)); insert into rig values ('a', 100), ('b', 100)");
    rig_start(rig, connections);
    rig_until_count(rig, &rig->ups, 1, "the database port is up");
}

void rig_close(struct rig *rig)
{
    rig_stop(rig);
    if (PQtransactionStatus(rig->side) != PQTRANS_IDLE)
        rig_sql(rig, "rollback"); /* what a test that failed left */
    end_prepared(rig);
    rig_sql(rig, "drop table if exists rig");
    PQfinish(rig->side);
}

/* ---- asking -------------------------------------------------------------------------------- */

void rig_work_begin(struct rig *rig, const struct db_work *work, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->work(rig->port->self, work, answer);
    rig->in_call = false;
}

void rig_work(struct rig *rig, const struct db_work *work, struct rig_answer *answer)
{
    rig_work_begin(rig, work, answer);
    rig_until(rig, &answer->done, "the work is answered");
}

void rig_adopt_begin(struct rig *rig, const char *gid, uint64_t xid, const struct db_register *row,
                     struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->adopt(rig->port->self, gid, xid, row, answer);
    rig->in_call = false;
}

enum db_adopted rig_adopt(struct rig *rig, const char *gid, uint64_t xid,
                          const struct db_register *row)
{
    struct rig_answer answer = {0};
    rig_adopt_begin(rig, gid, xid, row, &answer);
    rig_until(rig, &answer.done, "it is adopted or not");
    assert_int_equal(answer.adopted == DB_ADOPTED, answer.reason[0] == '\0');
    return answer.adopted;
}

void rig_finish_begin(struct rig *rig, const char *gid, bool commit, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->finish(rig->port->self, gid, commit, answer);
    rig->in_call = false;
}

enum db_finish rig_finish(struct rig *rig, const char *gid, bool commit)
{
    struct rig_answer answer = {0};
    rig_finish_begin(rig, gid, commit, &answer);
    rig_until(rig, &answer.done, "the branch is ended");
    return answer.finish;
}

enum db_status rig_status(struct rig *rig, uint64_t xid)
{
    struct rig_answer answer = {0};
    rig->in_call = true;
    rig->port->status(rig->port->self, xid, &answer);
    rig->in_call = false;
    rig_until(rig, &answer.done, "the status is told");
    return answer.status;
}

enum db_found rig_lookup(struct rig *rig, const char *gtrid)
{
    struct rig_answer answer = {0};
    rig->in_call = true;
    rig->port->lookup(rig->port->self, gtrid, true, &answer);
    rig->in_call = false;
    rig_until(rig, &answer.done, "the barrier row is looked up");
    return answer.found;
}

void rig_look(struct rig *rig, const char *key, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->lookup(rig->port->self, key, false, answer);
    rig->in_call = false;
    rig_until(rig, &answer->done, "the barrier row is looked at");
}

void rig_scan(struct rig *rig, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->scan(rig->port->self, answer);
    rig->in_call = false;
    rig_until(rig, &answer->done, "the scan is answered");
}

void rig_load_begin(struct rig *rig, const char *gtrid, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->register_load(rig->port->self, gtrid, answer);
    rig->in_call = false;
}

void rig_load(struct rig *rig, const char *gtrid, struct rig_answer *answer)
{
    rig_load_begin(rig, gtrid, answer);
    rig_until(rig, &answer->done, "the register is loaded");
}

void rig_store_begin(struct rig *rig, const struct db_register *row,
                     const struct register_state *before, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->register_store(rig->port->self, row, before, answer);
    rig->in_call = false;
}

enum db_stored rig_store(struct rig *rig, const struct db_register *row,
                         const struct register_state *before)
{
    struct rig_answer answer = {0};
    rig_store_begin(rig, row, before, &answer);
    rig_until(rig, &answer.done, "the register is stored");
    return answer.stored;
}

void rig_accept_begin(struct rig *rig, const struct db_register *row, const char *gid,
                      struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->register_commit(rig->port->self, row, gid, answer);
    rig->in_call = false;
}

enum db_accepted rig_accept(struct rig *rig, const struct db_register *row, const char *gid)
{
    struct rig_answer answer = {0};
    rig_accept_begin(rig, row, gid, &answer);
    rig_until(rig, &answer.done, "the acceptance with its commit is answered");
    return answer.accepted;
}

void rig_inspect_begin(struct rig *rig, const struct db_inspection *inspection,
                       struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->inspect(rig->port->self, inspection, answer);
    rig->in_call = false;
}

void rig_inspect(struct rig *rig, const struct db_inspection *inspection, struct rig_look *look)
{
    struct rig_answer answer = {.look = look};
    rig_inspect_begin(rig, inspection, &answer);
    rig_until(rig, &answer.done, "the look is answered");
}

void rig_heuristic_begin(struct rig *rig, const struct db_heuristic *row, struct rig_answer *answer)
{
    rig->in_call = true;
    rig->port->heuristic_store(rig->port->self, row, answer);
    rig->in_call = false;
}

enum db_stored rig_heuristic(struct rig *rig, const struct db_heuristic *row)
{
    struct rig_answer answer = {0};
    rig_heuristic_begin(rig, row, &answer);
    rig_until(rig, &answer.done, "the heuristic outcome is stored");
    return answer.stored;
}

void rig_heuristics(struct rig *rig, struct rig_heuristics *heuristics)
{
    struct rig_answer answer = {.heuristics = heuristics};
    rig->in_call = true;
    rig->port->heuristics_load(rig->port->self, &answer);
    rig->in_call = false;
    rig_until(rig, &answer.done, "the heuristic outcomes are loaded");
}

enum db_stored rig_forget(struct rig *rig, const char *gtrid)
{
    struct rig_answer answer = {0};
    rig->in_call = true;
    rig->port->heuristics_forget(rig->port->self, gtrid, &answer);
    rig->in_call = false;
    rig_until(rig, &answer.done, "the heuristic outcomes are forgotten");
    return answer.stored;
}

const char *rig_sql(struct rig *rig, const char *sql)
{
    static char value[4096];
    PGresult *result = PQexec(rig->side, sql);
    ExecStatusType status = PQresultStatus(result);
    if (status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK)
        fail_msg("%s: %s", sql, PQerrorMessage(rig->side));
    snprintf(value, sizeof(value), "%s",
             PQntuples(result) > 0 && PQnfields(result) > 0 ? PQgetvalue(result, 0, 0) : "");
    PQclear(result);
    return value;
}

void rig_await_sql(struct rig *rig, const char *sql, const char *value)
{
    time_t limit = time(NULL) + LIMIT_S;
    while (strcmp(rig_sql(rig, sql), value) != 0)
        if (time(NULL) > limit)
            fail_msg("not within %d s: %s gives %s", LIMIT_S, sql, value);
}

/* ---- what is done ---------------------------------------------------------------------------- */

static const char *const numeric_text[] = {"numeric", "text"};

struct db_statement rig_take(const char *const values[2])
{
    return (struct db_statement){
        .name = "take",
        .sql = "update rig set n = n - $1 where id = $2 and n >= $1",
        .parameter_count = 2,
        .types = numeric_text,
        .values = values,
        .expect_rows = 1,
        .otherwise = "insufficient_funds",
    };
}

struct db_statement rig_plain(const char *name, const char *sql)
{
    return (struct db_statement){.name = name, .sql = sql, .expect_rows = -1};
}

struct db_work rig_work_of(enum db_mode mode, const char *id, const struct db_statement *statements,
                           int count)
{
    return (struct db_work){.mode = mode,
                            .gid = id,
                            .gtrid = id,
                            .statements = statements,
                            .statement_count = count,
                            .call_count = 1,
                            .timeout_us = 10000000};
}

const char *const rig_ten_of_a[] = {"10", "a"};
const char *const rig_thousand_of_a[] = {"1000", "a"};
const char rig_gid[] = "troth.rig.c1.7.1.0";
const char rig_gtrid[] = "rig.c1.7.1";

int rig_setup(void **state)
{
    struct rig *rig = malloc(sizeof(*rig));
    rig_open(rig, 2);
    *state = rig;
    return 0;
}

int rig_teardown(void **state)
{
    rig_close(*state);
    free(*state);
    return 0;
}

void rig_forget_standby(struct rig *rig)
{
    rig_sql(rig, "alter system reset synchronous_standby_names");
    rig_sql(rig, "select pg_reload_conf()");
    rig_await_sql(rig, "show synchronous_standby_names", "");
}

int rig_forget_standby_and_teardown(void **state)
{
    rig_forget_standby(*state);
    return rig_teardown(state);
}

const char *rig_balance(struct rig *rig)
{
    return rig_sql(rig, "select n from rig where id = 'a'");
}

const char *rig_prepared_count(struct rig *rig)
{
    return rig_sql(rig, "select count(*) from pg_prepared_xacts");
}
