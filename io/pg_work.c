/* Who does which work: idle sessions, what waits for one, and what is to be cancelled. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_pool.h"

enum { CANCEL_AGAIN_MS = 200 }; /* a cancel that finds the backend between two commands is lost */

struct pg_queued {
    struct pg_owed owed;
    const struct db_work *work;
    int sites_id;
    void *tag;
    bool cancelled;
};

/* ---- idle sessions --------------------------------------------------------------------------- */

void pg_worker_idle(struct pg *pg, struct pg_worker *worker)
{
    if (worker->stage == PG_RUN_NONE && worker->cancels_pending == 0 &&
        pg_connection_ready(&worker->connection) && list_empty(&worker->idle)) {
        /* In front: the sessions used last have the warm caches. */
        list_append(pg->idle.next, &worker->idle);
    }
}

/* ---- taking and cancelling work ------------------------------------------------------------- */

static struct pg_queued *queued_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_queued, owed);
}

void pg_work_refuse(struct pg *pg, void *tag, const char *sqlstate, const char *reason,
                    const char *detail)
{
    static const char *const no_results[LIMIT_CALLS];
    if (pg->pool && pg_pool_refuse(pg->pool, tag, sqlstate, reason, detail))
        return;
    pg_open_refused(pg, tag);
    const struct db_worked worked = {
        .outcome = DB_FAILED,
        .failed_statement = -1,
        .sqlstate = sqlstate,
        .reason = reason,
        .detail = detail,
        .results = no_results,
    };
    pg->events.worked(pg->events.self, tag, &worked);
}

static void queued_refuse(struct pg *pg, struct pg_owed *owed)
{
    struct pg_queued *queued = CONTAINER(owed, struct pg_queued, owed);
    void *tag = queued->tag;
    bool cancelled = queued->cancelled;
    list_remove(&owed->link);
    free(queued);
    if (cancelled)
        pg_work_refuse(pg, tag, "57014", "cancelled", "");
    else
        pg_work_refuse(pg, tag, "", "the database can't be used", pg->trouble);
}

static void start(struct pg *pg, const struct db_work *work, int sites_id, void *tag)
{
    struct pg_worker *worker = CONTAINER(pg->idle.next, struct pg_worker, idle);
    list_remove(&worker->idle);
    pg_run_begin(worker, work, sites_id, tag);
}

/* A session that broke while it was idle leaves the list before anything is sent on it. */
static bool can_start(struct pg *pg)
{
    while (!list_empty(&pg->idle)) {
        struct pg_worker *worker = CONTAINER(pg->idle.next, struct pg_worker, idle);
        if (pg_connection_ready(&worker->connection))
            return true;
        list_remove(&worker->idle);
    }
    return false;
}

void pg_work_dispatch(struct pg *pg)
{
    while (pg->phase == PG_UP && !list_empty(&pg->queue) && can_start(pg)) {
        struct pg_queued *queued = queued_of(pg->queue.next);
        list_remove(&queued->owed.link);
        start(pg, queued->work, queued->sites_id, queued->tag);
        free(queued);
    }
}

void pg_work_refuse_queued(struct pg *pg)
{
    while (!list_empty(&pg->queue))
        queued_refuse(pg, &queued_of(pg->queue.next)->owed);
}

void pg_work_start(struct pg *pg, const struct db_work *work, int sites_id, void *tag)
{
    if (pg->pool) {
        pg_pool_work(pg->pool, work, sites_id, tag);
        return;
    }
    if (pg_open_take(pg, work, sites_id, tag))
        return;
    if (pg->phase == PG_UP && list_empty(&pg->queue) && can_start(pg)) {
        start(pg, work, sites_id, tag);
        return;
    }
    struct pg_queued *queued = xcalloc(1, sizeof(*queued));
    queued->owed.refuse = queued_refuse;
    queued->work = work;
    queued->sites_id = sites_id;
    queued->tag = tag;
    if (pg->phase == PG_UP)
        list_append(&pg->queue, &queued->owed.link);
    else
        pg_later(pg, &queued->owed);
}

static uint64_t open_xid(struct pg *pg, const void *tag)
{
    return pg->pool ? pg_pool_open_xid(pg->pool, tag) : pg_open_xid(pg, tag);
}

void pg_work(void *self, const struct db_work *work, void *tag)
{
    struct pg *pg = self;
    CHECK(work->call_count >= 0 && work->call_count <= LIMIT_CALLS);
    CHECK(work->mode != DB_PREPARE || pg_gid_valid(work->gid));
    CHECK(work->mode != DB_ONE_PHASE || work->gtrid);
    CHECK(!work->keeps_result || (work->mode == DB_ONE_PHASE && work->call_count == 1));
    CHECK(work->mode == DB_PREPARE || !work->sites);
    /* What wrote nothing is not prepared. */
    if (work->sites && (!work->open || open_xid(pg, tag) != 0))
        pg_sites_work(pg, work, tag);
    else if (!pg_lanes_take(pg, work, tag))
        pg_work_start(pg, work, 0, tag);
}

static void on_cancel_timer(uv_timer_t *timer)
{
    struct pg *pg = timer->data;
    bool wanted = pg_lanes_cancel_due(pg);
    for (int i = 0; i < pg->worker_count; i++) {
        struct pg_worker *worker = &pg->workers[i];
        if (!worker->cancel || !worker->work || pg_run_cancel_held(pg, worker))
            continue;
        wanted = true;
        if (worker->cancels_pending == 0 && pg_connection_ready(&worker->connection) &&
            pg_control_cancel(pg, worker->connection.serial, worker->connection.backend_pid))
            worker->cancels_pending++;
    }
    if (!wanted)
        uv_timer_stop(timer);
}

void pg_work_cancel_done(struct pg *pg, uint64_t serial)
{
    if (pg->pool)
        pg_pool_cancel_done(pg->pool, serial);
    for (int i = 0; i < pg->worker_count; i++) {
        struct pg_worker *worker = &pg->workers[i];
        if (worker->connection.serial != serial || worker->cancels_pending == 0)
            continue;
        worker->cancels_pending--;
        pg_worker_idle(pg, worker);
        pg_work_dispatch(pg);
    }
    pg_lanes_cancel_done(pg, serial);
}

/* From the loop, as an answer may come of it. */
static void cancel_begin(struct pg *pg)
{
    CHECK(uv_timer_start(pg->cancel_timer, on_cancel_timer, 0, CANCEL_AGAIN_MS) == 0);
}

void pg_cancel(void *self, void *tag)
{
    struct pg *pg = self;
    if (pg_sites_cancel(pg, tag))
        return;
    if (pg->pool) {
        pg_pool_cancel(pg->pool, tag);
        return;
    }
    if (pg_lanes_cancel(pg, tag)) {
        cancel_begin(pg);
        return;
    }
    for (struct list *at = pg->queue.next; at != &pg->queue; at = at->next) {
        struct pg_queued *queued = queued_of(at);
        if (queued->tag != tag)
            continue;
        list_remove(at);
        queued->cancelled = true;
        pg_later(pg, &queued->owed);
        return;
    }
    for (int i = 0; i < pg->worker_count; i++) {
        struct pg_worker *worker = &pg->workers[i];
        if (!worker->work || worker->tag != tag || worker->cancel)
            continue;
        worker->cancel = true;
        cancel_begin(pg);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

/* lock_timeout: a deadlock over two databases is seen by neither of them. The idle limit frees the
 * locks of a branch whose participant stopped in the middle. A COMMIT in one phase is told as done,
 * so it must be on the disk whatever the role's default is; a setting that waits for more than that
 * stays. A setting that this version of PostgreSQL lacks is left out. */
static const char settings_format[] =
    "select set_config(v.name, v.value, false) from (values ('lock_timeout', '%" PRIu64 "ms'),"
    " ('statement_timeout', '%" PRIu64 "ms'), ('idle_in_transaction_session_timeout', '60s'),"
    " ('idle_session_timeout', '0'), ('client_connection_check_interval', '1s'),"
    " ('datestyle', 'ISO'), ('intervalstyle', 'postgres'), ('bytea_output', 'hex'),"
    " ('extra_float_digits', '1'), ('standard_conforming_strings', 'on'),"
    " ('synchronous_commit', 'on')) v (name, value) join pg_settings s on lower(s.name) = v.name"
    " where v.name <> 'synchronous_commit' or s.setting = 'off'";

char *pg_session_settings(uint64_t lock_timeout_ms, uint64_t statement_timeout_ms)
{
    return xasprintf(settings_format, lock_timeout_ms, statement_timeout_ms);
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_workers_init(struct pg *pg, int count, uint64_t lock_timeout_us)
{
    list_init(&pg->idle);
    list_init(&pg->queue);
    pg->worker_settings = pg_session_settings((lock_timeout_us + 999) / 1000, 0);
    pg->worker_count = count;
    pg->workers = xcalloc((size_t)count, sizeof(*pg->workers));
    for (int i = 0; i < count; i++) {
        list_init(&pg->workers[i].idle);
        pg_run_init(pg, &pg->workers[i]);
    }
    pg->cancel_timer = xmalloc(sizeof(*pg->cancel_timer));
    CHECK(uv_timer_init(pg->shared.uv, pg->cancel_timer) == 0);
    pg->cancel_timer->data = pg;
}

void pg_workers_fini(struct pg *pg)
{
    for (int i = 0; i < pg->worker_count; i++)
        pg_run_fini(&pg->workers[i]);
    free(pg->workers);
    /* What is refused from here on, also while it waits for its list, asks whether one of them has
     * it open. */
    pg->workers = NULL;
    pg->worker_count = 0;
    free(pg->worker_settings);
    pg_work_refuse_queued(pg);
    uv_close((uv_handle_t *)pg->cancel_timer, free_handle);
}
