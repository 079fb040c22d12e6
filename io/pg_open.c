/* Transactions that stay open between requests of the runner.
 *
 *   the first DB_STEP   BEGIN, limits, the work, its xid unless it only reads, Sync
 *   another one         limits, the work, its xid unless it only reads, Sync
 *   its DB_PREPARE      the sites if it has any, PREPARE TRANSACTION, Sync; or, as nothing was
 *                       written, COMMIT, Sync
 *   DB_ROLLBACK         ROLLBACK, Sync
 *
 * A worker belongs to its tag from the first DB_STEP until the answer that leaves nothing open.
 * When its session is lost meanwhile, everything is rolled back by the server; the tag is told with
 * its next request.
 *
 * The limits are the server's own: it ends a statement when the time is up, and the whole session
 * soon after that, in case that nobody here lives to do so. They are SET LOCAL, which takes no
 * snapshot, so an operation may still begin with SET TRANSACTION. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_private.h"

/* What an agent that lives has until it ends the transaction itself, which costs no session. */
enum { GRACE_MS = 1000 };

static const struct db_statement begin_statement = {.name = "begin", .sql = "begin"};
static const struct db_statement commit_statement = {.name = "commit", .sql = "commit"};
/* None of what only reads and says so; without one the rest may yet have done what PostgreSQL can't
 * prepare and has to refuse: NOTIFY, foreign tables. */
static const struct db_statement xid_statement = {
    .name = "xid, unless it only reads",
    .sql = "select case when current_setting('transaction_read_only') = 'on'"
           " then pg_current_xact_id_if_assigned() else pg_current_xact_id() end::text"};

/* ---- what is sent ---------------------------------------------------------------------------- */

static void set_send(struct pg_worker *worker, const char *name, uint64_t ms)
{
    char sql[100];
    snprintf(sql, sizeof(sql), "set local %s = %" PRIu64, name, ms < INT32_MAX ? ms : INT32_MAX);
    pg_step_add(&worker->steps, STEP_BEGIN, -1);
    pg_connection_query(&worker->connection, sql, 0, NULL);
}

static void work_send(struct pg_worker *worker)
{
    const struct db_work *work = worker->work;
    uint64_t left_ms = (work->timeout_us + 999) / 1000;
    if (!worker->open)
        pg_run_send(worker, STEP_BEGIN, &begin_statement, -1, NULL);
    set_send(worker, "statement_timeout", left_ms > 0 ? left_ms : 1);
    set_send(worker, "idle_in_transaction_session_timeout", left_ms + GRACE_MS);
    for (int i = 0; i < work->statement_count; i++)
        pg_run_send(worker, STEP_STATEMENT, &work->statements[i], i, work->statements[i].values);
    pg_run_send(worker, STEP_XID, &xid_statement, -1, NULL);
}

/* Nothing can remain of what wrote nothing, so what becomes of its COMMIT does not matter. */
static void end_send(struct pg_worker *worker)
{
    char sql[LIMIT_GID_BYTES + 32];
    worker->xid = worker->open_xid;
    worker->wrote_nothing = worker->xid == 0;
    if (worker->wrote_nothing) {
        pg_run_send(worker, STEP_END, &commit_statement, -1, NULL);
        return;
    }
    if (worker->work->sites)
        pg_sites_send(worker, STEP_SITES);
    snprintf(sql, sizeof(sql), "PREPARE TRANSACTION '%s'", worker->work->gid);
    pg_step_add(&worker->steps, STEP_END, -1);
    pg_connection_query(&worker->connection, sql, 0, NULL);
    worker->decisive = true;
}

void pg_open_send(struct pg_worker *worker)
{
    switch (worker->work->mode) {
    case DB_STEP:
        work_send(worker);
        break;
    case DB_ROLLBACK:
        pg_step_add(&worker->steps, STEP_ROLLBACK, -1);
        pg_connection_query(&worker->connection, "rollback", 0, NULL);
        break;
    default:
        end_send(worker);
    }
    pg_step_sync(&worker->steps);
}

/* ---- whose is which -------------------------------------------------------------------------- */

static struct pg_worker *find(struct pg *pg, const void *tag)
{
    for (int i = 0; i < pg->worker_count; i++) {
        struct pg_worker *worker = &pg->workers[i];
        if ((worker->stage == PG_RUN_OPEN || worker->stage == PG_RUN_GONE) && worker->tag == tag)
            return worker;
    }
    return NULL;
}

uint64_t pg_open_xid(struct pg *pg, const void *tag)
{
    const struct pg_worker *worker = find(pg, tag);
    return worker && worker->stage == PG_RUN_OPEN ? worker->open_xid : 0;
}

/* Owed to a tag whose transaction is gone. */
struct gone {
    struct pg_owed owed;
    void *tag;
    char *reason;
};

static void gone_tell(struct pg *pg, struct pg_owed *owed)
{
    struct gone *gone = CONTAINER(owed, struct gone, owed);
    list_remove(&owed->link);
    pg_work_refuse(pg, gone->tag, "", "database connection lost", gone->reason);
    free(gone->reason);
    free(gone);
}

static void tell_later(struct pg *pg, void *tag, const char *reason)
{
    struct gone *gone = xcalloc(1, sizeof(*gone));
    gone->owed.refuse = gone_tell;
    gone->tag = tag;
    gone->reason = xstrdup(reason);
    pg_later(pg, &gone->owed);
}

/* The worker is nobody's any more. */
static void leave(struct pg *pg, struct pg_worker *worker)
{
    if (worker->stage == PG_RUN_OPEN) {
        pg_run_roll_back(worker);
    } else {
        pg_run_reset(worker);
        pg_worker_idle(pg, worker);
    }
}

bool pg_open_take(struct pg *pg, const struct db_work *work, int sites_id, void *tag)
{
    bool first = work->mode == DB_STEP;
    if (!first && work->mode != DB_ROLLBACK && !work->open)
        return false;
    struct pg_worker *worker = find(pg, tag);
    if (!worker && first)
        return false;
    if (worker && worker->stage == PG_RUN_OPEN && pg_connection_ready(&worker->connection)) {
        pg_run_begin(worker, work, sites_id, tag);
        return true;
    }
    tell_later(pg, tag, worker && worker->reason ? worker->reason : "");
    if (worker)
        leave(pg, worker);
    pg_work_dispatch(pg);
    return true;
}

void pg_open_refused(struct pg *pg, const void *tag)
{
    struct pg_worker *worker = find(pg, tag);
    if (worker)
        leave(pg, worker);
}
