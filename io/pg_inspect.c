/* One look after the other, over a connection that is opened for the first of them and closed when
 * nobody has looked for a while. It is not needed for the port to be up, nor the port for it: what
 * is wrong with a server that can't be worked on is just what somebody wants to know.
 *
 * A look has 2 s: each of its statements is sent with what is left of them as its
 * statement_timeout. One that fails is left out of the report, unless there is none without it.
 *
 * A connection that takes longer goes on being made for whoever asks next: begun anew for each, a
 * server that needs seconds for a session would never be looked into. */
#include "io/pg_inspect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/pg_look.h"

enum {
    LOOK_LIMIT_US = 2000000,
    GUARD_MS = 2400,       /* for a server that does not keep to it */
    PATIENCE_US = 3000000, /* whoever asked longer ago waits no more */
    LEAST_TIMEOUT_MS = 10, /* 0 would be no limit */
    IDLE_CLOSE_MS = 60000,
    QUEUE_MOST = 64,
};

struct pg_inspector {
    struct pg_connection connection;
    struct list queue; /* struct pg_look: waiting; the first of them is under way if `busy` */
    int queued;
    bool busy;         /* a statement of the first is under way */
    int results;       /* of what was sent for it, and came: the limit's, its own */
    uv_timer_t *timer; /* busy or connecting: of the look; else of the idle connection */
};

static struct pg_look *look_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_look, owed);
}

static struct pg_look *first(struct pg_inspector *inspector)
{
    return list_empty(&inspector->queue) ? NULL : look_of(inspector->queue.next);
}

static uint64_t now_us(const struct pg *pg)
{
    return pg->shared.host->now_us(pg->shared.host->self);
}

/* The runner may call in from here: the look is off its list by now. */
static void answer(struct pg *pg, struct pg_look *look)
{
    list_remove(&look->owed.link);
    pg->events.inspected(pg->events.self, look->tag, pg_look_found(look));
    pg_look_free(look);
}

static void refuse(struct pg *pg, struct pg_owed *owed)
{
    answer(pg, CONTAINER(owed, struct pg_look, owed));
}

static void refuse_later(struct pg *pg, struct pg_look *look, const char *problem)
{
    look->problem = xstrdup(problem);
    pg_later(pg, &look->owed);
}

/* ---- asking ---------------------------------------------------------------------------------- */

static void on_timer(uv_timer_t *timer);

static void timer_set(struct pg_inspector *inspector, uint64_t ms)
{
    CHECK(uv_timer_start(inspector->timer, on_timer, ms, 0) == 0);
}

static const char limit_sql[] = "select set_config('statement_timeout', $1, false)";

static void statement_send(struct pg *pg, struct pg_look *look, const char *sql)
{
    struct pg_inspector *inspector = pg->inspector;
    uint64_t spent_us = now_us(pg) - look->begun_us;
    uint64_t left_ms = spent_us < LOOK_LIMIT_US ? (LOOK_LIMIT_US - spent_us) / 1000 : 0;
    char limit[24];
    const char *const limit_value = limit;
    snprintf(limit, sizeof(limit), "%d",
             left_ms > LEAST_TIMEOUT_MS ? (int)left_ms : LEAST_TIMEOUT_MS);
    inspector->busy = true;
    inspector->results = 0;
    pg_connection_query(&inspector->connection, limit_sql, 1, &limit_value);
    pg_connection_query(&inspector->connection, sql, look->value_count,
                        (const char *const *)look->values);
    pg_connection_sync(&inspector->connection);
}

static void finish(struct pg *pg, struct pg_look *look)
{
    pg->inspector->queued--;
    answer(pg, look);
}

static const char no_time[] = "the database did not answer within 2 s";

/* The next statement of the first look, or the first of the next one. */
static void go_on(struct pg *pg)
{
    struct pg_inspector *inspector = pg->inspector;
    struct pg_look *look;
    while (!inspector->busy && pg_connection_ready(&inspector->connection) &&
           (look = first(inspector))) {
        if (look->begun_us == 0) {
            look->begun_us = now_us(pg);
            timer_set(inspector, GUARD_MS);
            if (look->begun_us - look->asked_us > PATIENCE_US)
                look->problem = xstrdup("the database is slow: other questions were before this");
        }
        bool late = now_us(pg) - look->begun_us >= LOOK_LIMIT_US;
        if (late && !look->found.ok && !look->problem)
            look->problem = xstrdup(no_time);
        const char *sql = look->problem || late ? NULL : pg_look_sql(pg, look);
        if (sql)
            statement_send(pg, look, sql);
        else
            finish(pg, look);
    }
    if (!first(inspector) && inspector->connection.state != PG_CONNECTION_CLOSED)
        timer_set(inspector, IDLE_CLOSE_MS);
}

/* What was found until then is told. */
static void answer_all(struct pg *pg, const char *problem)
{
    struct pg_inspector *inspector = pg->inspector;
    inspector->queued = 0;
    for (struct list *at = inspector->queue.next; at != &inspector->queue; at = at->next)
        if (!look_of(at)->found.ok && !look_of(at)->problem)
            look_of(at)->problem = xstrdup(problem);
    pg_refuse_all(pg, &inspector->queue);
}

static void on_timer(uv_timer_t *timer)
{
    struct pg *pg = timer->data;
    struct pg_inspector *inspector = pg->inspector;
    if (!first(inspector))
        pg_connection_close(&inspector->connection);
    else if (inspector->connection.state != PG_CONNECTION_READY)
        answer_all(pg, no_time);
    else
        pg_connection_fail(&inspector->connection, no_time);
}

static void on_ready(struct pg_connection *connection)
{
    go_on(connection->self);
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    struct pg_inspector *inspector = pg->inspector;
    struct pg_look *look = first(inspector);
    if (!look || !inspector->busy) {
        pg_connection_fail(connection, "the server sent a result that nobody asked for");
        return;
    }
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        inspector->busy = false;
        go_on(pg);
    } else if (++inspector->results == 2 && !pg_look_result(look, result)) {
        look->problem = xstrdup(pg_complaint(result));
    }
}

/* It is made again when somebody wants it. */
static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    struct pg_inspector *inspector = pg->inspector;
    (void)was_ready;
    inspector->busy = false;
    uv_timer_stop(inspector->timer);
    answer_all(pg, reason);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

void pg_inspect(void *self, const struct db_inspection *inspection, void *tag)
{
    struct pg *pg = self;
    struct pg_inspector *inspector = pg->inspector;
    struct pg_look *look = pg_look_new(inspection, tag);
    look->owed.refuse = refuse;
    look->asked_us = now_us(pg);
    if (inspector->queued == QUEUE_MOST) {
        refuse_later(pg, look, "too many questions at once");
        return;
    }
    bool is_first = list_empty(&inspector->queue);
    list_append(&inspector->queue, &look->owed.link);
    inspector->queued++;
    if (inspector->connection.state == PG_CONNECTION_CLOSED) {
        /* One try for those who ask now: no waiting for the time of a next one. */
        inspector->connection.failures = 0;
        pg_connection_open(&inspector->connection);
    }
    if (is_first && inspector->connection.state != PG_CONNECTION_READY)
        timer_set(inspector, GUARD_MS);
    go_on(pg);
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Nothing is written here, whatever is called. No row is hidden from a count: where row security
 * would hide some the statement fails, and nothing is told. */
static const char settings[] =
    "select set_config(v.name, v.value, false) from (values ('statement_timeout', '2s'),"
    " ('lock_timeout', '100ms'), ('default_transaction_read_only', 'on'), ('row_security', 'off'),"
    " ('idle_in_transaction_session_timeout', '10s'), ('idle_session_timeout', '0'),"
    " ('max_parallel_workers_per_gather', '0'), ('jit', 'off'), ('datestyle', 'ISO'),"
    " ('timezone', 'UTC'), ('standard_conforming_strings', 'on'),"
    " ('default_transaction_isolation', 'read committed')) v (name, value)"
    " join pg_settings s on lower(s.name) = lower(v.name)";

void pg_inspector_init(struct pg *pg)
{
    struct pg_inspector *inspector = pg->inspector = xcalloc(1, sizeof(*inspector));
    list_init(&inspector->queue);
    pg_connection_init(&inspector->connection, &pg->shared, &owner, pg, settings);
    inspector->timer = xmalloc(sizeof(*inspector->timer));
    CHECK(uv_timer_init(pg->shared.uv, inspector->timer) == 0);
    inspector->timer->data = pg;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_inspector_fini(struct pg *pg)
{
    struct pg_inspector *inspector = pg->inspector;
    pg_connection_fini(&inspector->connection);
    uv_close((uv_handle_t *)inspector->timer, free_handle);
    pg_refuse_all(pg, &inspector->queue);
    free(inspector);
}
