/* Running a branch's work: one pipeline from BEGIN to PREPARE TRANSACTION, one round trip.
 *
 *   resolving   select $1::regtype ... Sync         only for type names that were never asked
 *   working     BEGIN, (Parse) statement ..., then
 *                 DB_PREPARE    the xid, PREPARE TRANSACTION, Sync; of three phases the xid and
 *                               the sites (io/pg_sites.c)
 *                 DB_READ_ONLY  COMMIT, Sync
 *                 DB_ONE_PHASE  the barrier row, COMMIT, Sync; but when a number of rows must be
 *                               looked at first, or a result goes into that row, and the last
 *                               statement can't do that itself (io/pg_joined.h): Sync, and then
 *   committing    the barrier row, COMMIT, Sync
 *   cleaning    ROLLBACK, Sync                      when the session was left in a transaction
 *
 * What stays open between requests goes out as io/pg_open.c says.
 *
 * Where nothing can end the transaction before its time, BEGIN and COMMIT are left out: what stands
 * before a Sync is one transaction, which the Sync commits.
 *
 * The server skips everything after a command that failed, up to the Sync: so what stands before
 * PREPARE or COMMIT either succeeded or kept it from being carried out. Once one of these was
 * handed to libpq and the connection is lost, the outcome is not known (DB_LOST), unless the server
 * had refused a command before it.
 *
 * statement_timeout stays off here, as setting it for each branch would cost a message each; the
 * runner cancels at its deadline, and a backend whose client is gone notices it itself
 * (client_connection_check_interval). */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "core/limits.h"
#include "io/pg_joined.h"
#include "io/pg_json.h"
#include "io/pg_private.h"

/* The statements that every branch uses, as if they were the runner's. */
static const struct db_statement begin_statement = {.name = "begin", .sql = "begin"};
static const struct db_statement begin_read_only_statement = {.name = "begin read only",
                                                              .sql = "begin read only"};
static const struct db_statement commit_statement = {.name = "commit", .sql = "commit"};
static const struct db_statement xid_statement = {.name = "xid",
                                                  .sql = "select pg_current_xact_id()::text"};
static const char *const barrier_types[] = {"text", "text"};
static const struct db_statement barrier_statement = {
    .name = "barrier",
    .sql = "insert into troth.barrier (gtrid) values ($1)",
    .parameter_count = 1,
    .types = barrier_types};
static const struct db_statement done_statement = {
    .name = "done",
    .sql = "insert into troth.barrier (gtrid, kind, result) values ($1, 'done', $2)",
    .parameter_count = 2,
    .types = barrier_types};

/* ---- the outcome ----------------------------------------------------------------------------- */

static void failure_set(struct pg_worker *worker, int statement, const char *sqlstate,
                        const char *reason, const char *detail)
{
    if (worker->reason)
        return; /* the first one counts */
    worker->failed_statement = statement;
    snprintf(worker->sqlstate, sizeof(worker->sqlstate), "%s", sqlstate);
    worker->reason = xstrdup(reason);
    worker->detail = xstrdup(detail);
}

static void failure_set_sql(struct pg_worker *worker, int statement, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    char *both = xasprintf("%s%s%s", detail ? detail : "", detail && hint ? "; hint: " : "",
                           hint ? hint : "");
    failure_set(worker, statement, sqlstate ? sqlstate : "", message ? message : "unknown", both);
    free(both);
}

static void reset(struct pg_worker *worker)
{
    worker->work = NULL;
    worker->tag = NULL;
    worker->decisive = worker->sql_failed = worker->ended = worker->cancel = false;
    worker->held_by = 0;
    worker->joined = NULL;
    worker->implicit = worker->apart = worker->again = false;
    worker->open = worker->wrote_nothing = false;
    worker->open_xid = 0;
    worker->duplicate = worker->too_large = worker->stale = false;
    worker->xid = 0;
    worker->sites_id = 0;
    worker->failed_statement = -1;
    worker->sqlstate[0] = '\0';
    worker->reason = worker->detail = NULL;
    worker->results = NULL;
    worker->result_count = 0;
}

static void stage_begin(struct pg_worker *worker, enum pg_run_stage stage)
{
    worker->stage = stage;
    pg_steps_begin(&worker->steps);
}

/* Tells the runner, which may call in from here and put new work on this very worker: so all that
 * the answer points at is taken off it before. */
static void answer(struct pg *pg, struct pg_worker *worker, enum db_outcome outcome)
{
    static const char *const no_results[LIMIT_CALLS];
    struct db_worked worked = {
        .outcome = outcome,
        .duplicate = worker->duplicate,
        .too_large = worker->too_large,
        .stale = worker->stale,
        .xid = worker->xid,
        .failed_statement = worker->failed_statement,
        .reason = worker->reason ? worker->reason : "",
        .detail = worker->detail ? worker->detail : "",
        .results = worker->results ? (const char *const *)worker->results : no_results,
    };
    char sqlstate[sizeof(worker->sqlstate)];
    memcpy(sqlstate, worker->sqlstate, sizeof(sqlstate));
    worked.sqlstate = sqlstate;
    int result_count = worker->result_count;
    char **results = worker->results, *reason = worker->reason, *detail = worker->detail;
    void *tag = worker->tag;
    reset(worker);
    if (outcome == DB_OPENED) {
        worker->tag = tag;
        worker->open = true;
        worker->open_xid = worked.xid;
        stage_begin(worker, PG_RUN_OPEN);
    }
    pg->events.worked(pg->events.self, tag, &worked);
    for (int i = 0; results && i < result_count; i++)
        free(results[i]);
    free(results);
    free(reason);
    free(detail);
}

void pg_run_send(struct pg_worker *worker, enum pg_step_kind kind,
                 const struct db_statement *statement, int index, const char *const *values)
{
    struct pg *pg = worker->connection.self;
    pg_step_known(&worker->steps, kind, pg_statement_get(&pg->statements, statement), index,
                  values);
}

/* Leaves a transaction that has failed. */
static void rollback_send(struct pg_worker *worker, enum pg_run_stage stage)
{
    stage_begin(worker, stage);
    pg_step_add(&worker->steps, STEP_ROLLBACK, -1);
    pg_connection_query(&worker->connection, "rollback", 0, NULL);
    pg_step_sync(&worker->steps);
}

void pg_run_reset(struct pg_worker *worker)
{
    free(worker->reason);
    free(worker->detail);
    reset(worker);
    stage_begin(worker, PG_RUN_NONE);
}

void pg_run_roll_back(struct pg_worker *worker)
{
    pg_run_reset(worker);
    rollback_send(worker, PG_RUN_CLEANING);
}

/* Answers, after the session was made ready for the next branch or a ROLLBACK was sent for that. */
static void run_finish(struct pg *pg, struct pg_worker *worker, enum db_outcome outcome)
{
    if (PQtransactionStatus(worker->connection.handle) == PQTRANS_IDLE) {
        stage_begin(worker, PG_RUN_NONE);
        pg_worker_idle(pg, worker);
    } else {
        rollback_send(worker, PG_RUN_CLEANING);
    }
    answer(pg, worker, outcome);
    pg_work_dispatch(pg);
}

/* ---- stages ---------------------------------------------------------------------------------- */

/* Its COMMIT depends on what the statements came to, and the statements don't see to it. */
static bool must_be_looked_at(const struct pg_worker *worker)
{
    const struct db_work *work = worker->work;
    if (worker->joined)
        return false;
    for (int i = 0; i < work->statement_count; i++) {
        const struct db_statement *statement = &work->statements[i];
        if (statement->expect_rows >= 0 || (work->keeps_result && statement->shape != DB_NO_RESULT))
            return true;
    }
    return false;
}

/* None of its statements can end the transaction that a Sync commits, or is refused in it. */
static bool can_be_implicit(const struct pg_worker *worker)
{
    const struct db_work *work = worker->work;
    if (work->mode != DB_ONE_PHASE || must_be_looked_at(worker) || !pg_connection_tells_of_sync())
        return false;
    for (int i = 0; i < work->statement_count; i++)
        if (work->statements[i].form == DB_OTHER)
            return false;
    return true;
}

/* The row is last, so that it can hold the result; work that was done before fails on its key, and
 * all of it is rolled back. */
static void commit_send(struct pg_worker *worker)
{
    const struct db_work *work = worker->work;
    const char *done[] = {work->gtrid, worker->results ? worker->results[0] : NULL};
    if (worker->joined)
        ;
    else if (work->keeps_result)
        pg_run_send(worker, STEP_BARRIER, &done_statement, -1, done);
    else
        pg_run_send(worker, STEP_BARRIER, &barrier_statement, -1, &work->gtrid);
    if (!worker->implicit)
        pg_run_send(worker, STEP_END, &commit_statement, -1, NULL);
    worker->decisive = true;
}

static void prepare_send(struct pg_worker *worker)
{
    char sql[LIMIT_GID_BYTES + 32];
    if (worker->work->sites)
        pg_sites_send(worker, STEP_XID);
    else
        pg_run_send(worker, STEP_XID, &xid_statement, -1, NULL);
    snprintf(sql, sizeof(sql), "PREPARE TRANSACTION '%s'", worker->work->gid);
    pg_step_add(&worker->steps, STEP_END, -1);
    pg_connection_query(&worker->connection, sql, 0, NULL);
    worker->decisive = true;
}

static void working_begin(struct pg_worker *worker)
{
    const struct db_work *work = worker->work;
    int apart = work->statement_count - (worker->joined != NULL);
    stage_begin(worker, PG_RUN_WORKING);
    if (work->mode == DB_STEP || work->mode == DB_ROLLBACK || work->open) {
        pg_open_send(worker);
        return;
    }
    worker->implicit = can_be_implicit(worker);
    if (!worker->implicit)
        pg_run_send(worker, STEP_BEGIN,
                    work->mode == DB_READ_ONLY ? &begin_read_only_statement : &begin_statement, -1,
                    NULL);
    for (int i = 0; i < apart; i++)
        pg_run_send(worker, STEP_STATEMENT, &work->statements[i], i, work->statements[i].values);
    if (worker->joined)
        pg_joined_send(&worker->steps, worker->joined, work);
    if (work->mode == DB_PREPARE)
        prepare_send(worker);
    else if (work->mode == DB_READ_ONLY)
        pg_run_send(worker, STEP_END, &commit_statement, -1, NULL);
    else if (!must_be_looked_at(worker))
        commit_send(worker);
    pg_step_sync(&worker->steps);
}

static void resolve_send(struct pg_worker *worker, const struct pg_statement *known, int index)
{
    for (int i = 0; i < known->parameter_count; i++) {
        if (known->types[i]->oid)
            continue;
        const char *name = known->types[i]->name;
        pg_step_add(&worker->steps, STEP_RESOLVE, index)->type = known->types[i];
        pg_connection_query(&worker->connection, "select $1::text::regtype::oid", 1, &name);
    }
}

/* Asks the server for the OIDs of type names that it was never asked for; mostly there are none. */
static void begin(struct pg_worker *worker)
{
    struct pg *pg = worker->connection.self;
    struct pg_statements *known = &pg->statements;
    const struct db_work *work = worker->work;
    stage_begin(worker, PG_RUN_RESOLVING);
    worker->connection.standby_doubt = false;
    worker->joined = worker->apart ? NULL : pg_joined_get(known, work);
    if (worker->joined)
        resolve_send(worker, worker->joined, work->statement_count - 1);
    else if (work->mode == DB_ONE_PHASE)
        resolve_send(
            worker,
            pg_statement_get(known, work->keeps_result ? &done_statement : &barrier_statement), -1);
    for (int i = 0; i < work->statement_count - (worker->joined != NULL); i++)
        resolve_send(worker, pg_statement_get(known, &work->statements[i]), i);
    if (worker->steps.count > 0)
        pg_step_sync(&worker->steps);
    else
        working_begin(worker);
}

void pg_run_begin(struct pg_worker *worker, const struct db_work *work, int sites_id, void *tag)
{
    worker->work = work;
    worker->sites_id = sites_id;
    worker->tag = tag;
    begin(worker);
}

/* The server did not take what was joined, and rolled all of it back: the same, as it was written.
 */
static void begin_apart(struct pg_worker *worker)
{
    worker->apart = true;
    worker->again = worker->implicit = worker->sql_failed = false;
    worker->decisive = worker->stale = false;
    begin(worker);
}

/* What nobody could be answered with a second time, or could use, is not done. */
static void result_check(struct pg_worker *worker)
{
    const char *result = worker->results ? worker->results[0] : NULL;
    struct error error = {0};
    if (worker->reason || !result)
        return;
    if (strlen(result) > LIMIT_RESULT_BYTES) {
        worker->too_large = true;
        failure_set(worker, -1, "", "the result is too large", "");
        return;
    }
    struct json *json = json_parse(result, strlen(result), &error);
    if (!json) /* invalid_json_text: of a json column, in which PostgreSQL allows more */
        failure_set(worker, -1, "22032", "the result is no JSON that a saga can use",
                    error.message);
    json_free(json);
}

static void take_back(struct pg_worker *worker)
{
    if (PQtransactionStatus(worker->connection.handle) == PQTRANS_IDLE)
        begin_apart(worker);
    else
        rollback_send(worker, PG_RUN_TAKING_BACK);
}

/* A Sync came back: everything before it has its result. */
static void stage_ended(struct pg *pg, struct pg_worker *worker)
{
    const struct db_work *work = worker->work;
    enum pg_run_stage stage = worker->stage;
    if (stage == PG_RUN_CLEANING || stage == PG_RUN_TAKING_BACK) {
        if (PQtransactionStatus(worker->connection.handle) != PQTRANS_IDLE) {
            pg_connection_fail(&worker->connection, "the session does not leave its transaction");
            return;
        }
        if (stage == PG_RUN_TAKING_BACK) {
            begin_apart(worker);
            return;
        }
        stage_begin(worker, PG_RUN_NONE);
        pg_worker_idle(pg, worker);
        pg_work_dispatch(pg);
        return;
    }
    if (worker->again && !worker->cancel) {
        take_back(worker);
        return;
    }
    if (worker->cancel && (worker->again || !worker->decisive))
        failure_set(worker, -1, "57014", "cancelled", "");
    if (stage == PG_RUN_WORKING && !worker->decisive && work->keeps_result)
        result_check(worker);
    bool failed =
        worker->sql_failed || (worker->reason && !worker->decisive) || work->mode == DB_ROLLBACK;
    if (failed) {
        run_finish(pg, worker, DB_FAILED);
    } else if (stage == PG_RUN_RESOLVING) {
        working_begin(worker);
    } else if (work->mode == DB_ONE_PHASE && !worker->decisive) {
        stage_begin(worker, PG_RUN_COMMITTING);
        commit_send(worker);
        pg_step_sync(&worker->steps);
    } else if (work->mode == DB_STEP &&
               PQtransactionStatus(worker->connection.handle) == PQTRANS_INTRANS) {
        answer(pg, worker, DB_OPENED);
    } else if (work->mode == DB_STEP) {
        failure_set(worker, -1, "", "the work ended its transaction itself", "");
        run_finish(pg, worker, DB_FAILED);
    } else if (!worker->ended && !worker->implicit) {
        failure_set(worker, -1, "", "the database rolled the work back", "");
        run_finish(pg, worker, DB_FAILED);
    } else if (worker->connection.standby_doubt && work->mode != DB_READ_ONLY) {
        failure_set(worker, -1, "", "the wait for the synchronous standby was cancelled", "");
        run_finish(pg, worker, DB_LOST);
    } else if ((work->mode == DB_READ_ONLY || worker->wrote_nothing) && pg_lanes_unflushed(pg) &&
               !worker->cancel) {
        worker->held_by = pg_lanes_unflushed(pg);
    } else {
        bool prepared = work->mode == DB_PREPARE && !worker->wrote_nothing;
        run_finish(pg, worker, prepared ? DB_PREPARED : DB_COMMITTED);
    }
}

/* What only reads waits for no flush of its own, but for theirs whose commits it may have read. */
void pg_run_release(struct pg *pg, unsigned lane, bool known)
{
    for (int i = 0; i < pg->worker_count; i++) {
        struct pg_worker *worker = &pg->workers[i];
        if (!(worker->held_by & lane))
            continue;
        worker->held_by &= ~lane;
        if (!known)
            failure_set(worker, -1, "", "what was read may not be durable", "");
        if (!worker->held_by)
            run_finish(pg, worker, worker->reason ? DB_FAILED : DB_COMMITTED);
    }
}

bool pg_run_cancel_held(struct pg *pg, struct pg_worker *worker)
{
    if (!worker->held_by)
        return false;
    failure_set(worker, -1, "57014", "cancelled", "");
    run_finish(pg, worker, DB_FAILED);
    return true;
}

/* ---- results --------------------------------------------------------------------------------- */

static void result_set(struct pg_worker *worker, int call, char *json)
{
    CHECK(call >= 0 && call < worker->work->call_count);
    if (!worker->results) {
        worker->results = xcalloc((size_t)worker->work->call_count, sizeof(char *));
        worker->result_count = worker->work->call_count;
    }
    free(worker->results[call]);
    worker->results[call] = json;
}

static void statement_result(struct pg_worker *worker, int index, const PGresult *result)
{
    struct pg *pg = worker->connection.self;
    const struct db_work *work = worker->work;
    const struct db_statement *statement = &work->statements[index];
    if (work->keeps_result)
        pg_joined_learn(&pg->statements, statement, result);
    if (statement->expect_rows >= 0 &&
        strtoll(PQcmdTuples((PGresult *)result), NULL, 10) != statement->expect_rows)
        failure_set(worker, index, "", statement->otherwise ? statement->otherwise : "", "");
    if (statement->shape != DB_NO_RESULT && !worker->reason)
        result_set(worker, statement->call, pg_json(result, statement->shape));
}

static void joined_result(struct pg_worker *worker, int index, const PGresult *result)
{
    if (PQnfields(result) > 0)
        result_set(worker, worker->work->statements[index].call, xstrdup(PQgetvalue(result, 0, 0)));
}

/* Of the statement with the row. */
static void joined_failed(struct pg_worker *worker, const struct pg_step *step,
                          const PGresult *result)
{
    struct pg *pg = worker->connection.self;
    const struct db_statement *statement = &worker->work->statements[step->statement];
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    worker->duplicate = pg_joined_is_duplicate(result);
    if (pg_joined_is_unexpected(result))
        failure_set(worker, step->statement, "", statement->otherwise ? statement->otherwise : "",
                    "");
    else if (sqlstate && pg_joined_refused(&pg->statements, statement, sqlstate))
        worker->again = true;
    else
        failure_set_sql(worker, worker->duplicate ? -1 : step->statement, result);
}

static void step_failed(struct pg *pg, struct pg_worker *worker, const struct pg_step *step,
                        const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (worker->stage == PG_RUN_CLEANING || worker->stage == PG_RUN_TAKING_BACK)
        return;
    worker->sql_failed = true;
    if (worker->joined && step->prepared == worker->joined) {
        joined_failed(worker, step, result);
    } else {
        worker->duplicate =
            step->kind == STEP_BARRIER && sqlstate && strcmp(sqlstate, "23505") == 0;
        failure_set_sql(worker, step->statement, result);
    }
    if (pg_step_refused(&worker->steps, &pg->statements, step, result))
        worker->stale = true;
}

static void step_done(struct pg_worker *worker, const struct pg_step *step, PGresult *result)
{
    switch (step->kind) {
    case STEP_RESOLVE:
        step->type->oid = (Oid)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
        break;
    case STEP_PARSE:
        pg_step_parsed(&worker->steps, step);
        break;
    case STEP_STATEMENT:
        statement_result(worker, step->statement, result);
        break;
    case STEP_JOINED:
        joined_result(worker, step->statement, result);
        break;
    case STEP_XID:
        worker->xid = strtoull(PQgetvalue(result, 0, 0), NULL, 10);
        break;
    case STEP_END:
        /* A transaction that had failed ends "successfully" with the tag ROLLBACK. */
        worker->ended =
            strcmp(PQcmdStatus(result), worker->work->mode == DB_PREPARE && !worker->wrote_nothing
                                            ? "PREPARE TRANSACTION"
                                            : "COMMIT") == 0;
        break;
    case STEP_BEGIN:
    case STEP_SITES:
    case STEP_BARRIER:
    case STEP_MARK:
    case STEP_ROLLBACK:
    case STEP_SYNC:
        break;
    }
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    struct pg_worker *worker = CONTAINER(connection, struct pg_worker, connection);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && worker->implicit && pg_step_at_sync(&worker->steps)) {
        /* Its commit failed: of a deferred constraint, say. The Sync's own result follows. */
        worker->sql_failed = true;
        failure_set_sql(worker, -1, result);
        return;
    }
    const struct pg_step *step = pg_step_next(&worker->steps, result);
    if (!step)
        return;
    if (step->kind == STEP_SYNC)
        stage_ended(pg, worker);
    else if (status == PGRES_FATAL_ERROR)
        step_failed(pg, worker, step, result);
    else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        step_done(worker, step, result);
    else if (status != PGRES_PIPELINE_ABORTED)
        pg_connection_fail(connection, "a statement began a COPY, which no operation may");
}

/* ---- the connection ------------------------------------------------------------------------- */

static void on_ready(struct pg_connection *connection)
{
    struct pg *pg = connection->self;
    pg_worker_idle(pg, CONTAINER(connection, struct pg_worker, connection));
    pg_review(pg);
    pg_work_dispatch(pg);
}

static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    struct pg_worker *worker = CONTAINER(connection, struct pg_worker, connection);
    list_remove(&worker->idle);
    worker->cancels_pending = 0;
    pg_steps_lost(&worker->steps);
    bool running = worker->work != NULL, gone = worker->stage == PG_RUN_GONE;
    if (worker->stage != PG_RUN_NONE && !gone)
        pg_control_ghost(pg, connection->serial);
    if (worker->stage == PG_RUN_OPEN)
        worker->reason = xstrdup(reason);
    stage_begin(worker, gone || worker->stage == PG_RUN_OPEN ? PG_RUN_GONE : PG_RUN_NONE);
    if (running) {
        /* Read only: nothing can remain of it, whatever became of its COMMIT. */
        bool lost = worker->decisive && !worker->sql_failed;
        if (lost || !worker->reason) {
            free(worker->reason);
            free(worker->detail);
            worker->reason = worker->detail = NULL;
            failure_set(worker, -1, "", "database connection lost", reason);
        }
        answer(pg, worker, lost ? DB_LOST : DB_FAILED);
    }
    pg_not_opened(pg, was_ready, reason);
    pg_review(pg);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

/* ---- life ------------------------------------------------------------------------------------ */

void pg_run_init(struct pg *pg, struct pg_worker *worker)
{
    reset(worker);
    pg_steps_init(&worker->steps, &worker->connection);
    pg_connection_init(&worker->connection, &pg->shared, &owner, pg, pg->worker_settings);
}

void pg_run_fini(struct pg_worker *worker)
{
    pg_connection_fini(&worker->connection);
    for (int i = 0; i < worker->result_count; i++)
        free(worker->results[i]);
    free(worker->results);
    free(worker->reason);
    free(worker->detail);
    pg_steps_fini(&worker->steps);
}
