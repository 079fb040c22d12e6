/* Steps of sagas by the train. What waits for a lane when it is free goes as one train: the steps
 * one after the other in one pipeline, each a transaction of its own, and the last of them alone
 * waits for the disk. A busy backend that is kept busy costs a third of many that are woken for one
 * step each.
 *
 *   Sync    (Parse) statement ..., the joined statement          lazily: it waits for no flush
 *   ...
 *   Sync    the last one likewise, at the server's own level     its flush is all the others'
 *   Sync    mark                          only when the last one was rolled back: then this flushes
 *
 * Nothing is told of a step before the last flush of its train has come back. What a crash of the
 * server takes before that it takes whole, row and work: the step is asked for again.
 *
 * A step that waits for a lock, or takes long, would hold up those behind it. So a lane has short
 * timeouts, and whatever fails in it, for whatever reason, is done again by itself on a worker:
 * that finds out all that there is to say about a failure. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/pg_joined.h"
#include "io/pg_private.h"

enum {
    LOCK_MS = 20,
    STATEMENT_MS = 100,
    ALONE_US = 10 * 1000 * 1000, /* what took too long does not ride again before */
};

static const char mark_sql[] = "select pg_logical_emit_message(true, 'troth', '')";
#define QUERY_CANCELED "57014"

struct pg_ride {
    struct pg_owed owed; /* while it waits */
    const struct db_work *work;
    void *tag;
    struct pg_statement *joined;
    char *result;
    bool failed;    /* rolled back */
    bool cancelled; /* by the runner */
};

static struct pg_ride *ride_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_ride, owed);
}

static void ride_free(struct pg_ride *ride)
{
    list_remove(&ride->owed.link);
    free(ride->result);
    free(ride);
}

/* ---- ends ------------------------------------------------------------------------------------ */

static void refuse_cancelled(struct pg *pg, struct pg_owed *owed)
{
    struct pg_ride *ride = CONTAINER(owed, struct pg_ride, owed);
    void *tag = ride->tag;
    ride_free(ride);
    pg_work_refuse(pg, tag, QUERY_CANCELED, "cancelled", "");
}

/* Nothing of it remains. */
static void go_alone(struct pg *pg, struct pg_ride *ride)
{
    if (ride->cancelled) {
        pg_later(pg, &ride->owed);
        return;
    }
    pg_work_start(pg, ride->work, 0, ride->tag);
    ride_free(ride);
}

static void answer(struct pg *pg, struct pg_ride *ride, enum db_outcome outcome, const char *reason,
                   const char *detail)
{
    const char *results[] = {ride->result};
    const struct db_worked worked = {.outcome = outcome,
                                     .failed_statement = -1,
                                     .sqlstate = "",
                                     .reason = reason,
                                     .detail = detail,
                                     .results = results};
    pg->events.worked(pg->events.self, ride->tag, &worked);
    ride_free(ride);
}

/* Takes the train off before anything is answered: the runner may call in from an answer. */
static int take(struct pg_lane *lane, struct pg_ride *rides[])
{
    int count = 0;
    for (int i = 0; i < lane->count; i++)
        if (lane->rides[i])
            rides[count++] = lane->rides[i];
    lane->count = lane->next = 0;
    lane->marking = false;
    return count;
}

static unsigned bit_of(const struct pg *pg, const struct pg_lane *lane)
{
    return 1u << (lane - pg->lanes.all);
}

/* A step alone is seen by nobody before its flush. */
unsigned pg_lanes_unflushed(const struct pg *pg)
{
    unsigned lanes = 0;
    for (int i = 0; i < PG_LANES; i++)
        if (pg->lanes.all[i].count > 1)
            lanes |= bit_of(pg, &pg->lanes.all[i]);
    return lanes;
}

/* ---- sending --------------------------------------------------------------------------------- */

static void ride_send(struct pg *pg, struct pg_lane *lane, const struct pg_ride *ride, bool last)
{
    const struct db_work *work = ride->work;
    int apart = work->statement_count - 1;
    for (int i = 0; i < apart; i++)
        pg_step_known(&lane->steps, STEP_STATEMENT,
                      pg_statement_get(&pg->statements, &work->statements[i]), i,
                      work->statements[i].values);
    pg_joined_send(&lane->steps,
                   last ? ride->joined : pg_joined_lazy(&pg->statements, work, ride->joined), work);
    pg_step_sync(&lane->steps);
}

static void train_send(struct pg *pg, struct pg_lane *lane)
{
    struct list *waiting = &pg->lanes.waiting;
    while (!list_empty(waiting) && lane->count < PG_LANE_MOST) {
        struct pg_ride *ride = ride_of(waiting->next);
        list_remove(&ride->owed.link);
        lane->rides[lane->count++] = ride;
    }
    pg_steps_begin(&lane->steps);
    lane->connection.standby_doubt = false;
    for (int i = 0; i < lane->count; i++)
        ride_send(pg, lane, lane->rides[i], i + 1 == lane->count);
}

static bool can_go(const struct pg_lane *lane)
{
    return pg_connection_ready(&lane->connection) && lane->count == 0 && lane->cancels_pending == 0;
}

static void pump(struct pg *pg)
{
    for (int i = 0; i < PG_LANES && !list_empty(&pg->lanes.waiting); i++)
        if (can_go(&pg->lanes.all[i]))
            train_send(pg, &pg->lanes.all[i]);
}

/* Once the turn is over: what else is asked in it rides along. */
static void on_idle(uv_idle_t *idle)
{
    uv_idle_stop(idle);
    pump(idle->data);
}

static void pump_soon(struct pg *pg)
{
    if (!list_empty(&pg->lanes.waiting))
        CHECK(uv_idle_start(pg->lanes.idle, on_idle) == 0);
}

/* ---- taking and cancelling work ----------------------------------------------------------------
 */

static bool types_known(const struct pg_statement *statement)
{
    for (int i = 0; i < statement->parameter_count; i++)
        if (!statement->types[i]->oid)
            return false;
    return true;
}

/* All in one round trip, and nothing in it ends the transaction that a Sync commits. */
static struct pg_statement *rideable(struct pg *pg, const struct db_work *work)
{
    const struct host_port *host = pg->shared.host;
    struct pg_statement *joined = pg_joined_get(&pg->statements, work);
    if (!joined || !types_known(joined) || joined->alone_until_us > host->now_us(host->self))
        return NULL;
    for (int i = 0; i < work->statement_count - 1; i++)
        if (work->statements[i].form == DB_OTHER ||
            !types_known(pg_statement_get(&pg->statements, &work->statements[i])))
            return NULL;
    return joined;
}

static bool is_any_ready(const struct pg *pg)
{
    for (int i = 0; i < PG_LANES; i++)
        if (pg_connection_ready(&pg->lanes.all[i].connection))
            return true;
    return false;
}

bool pg_lanes_take(struct pg *pg, const struct db_work *work, void *tag)
{
    if (!work->keeps_result || pg->pool || pg->phase != PG_UP || !pg_connection_tells_of_sync())
        return false;
    struct pg_statement *joined = rideable(pg, work);
    if (!joined)
        return false;
    pg->lanes.wanted = true;
    pg_lanes_open(pg);
    if (!is_any_ready(pg))
        return false;
    struct pg_ride *ride = xcalloc(1, sizeof(*ride));
    ride->owed.refuse = refuse_cancelled;
    ride->work = work;
    ride->tag = tag;
    ride->joined = joined;
    list_append(&pg->lanes.waiting, &ride->owed.link);
    pump_soon(pg);
    return true;
}

static bool cancel_waiting(struct pg *pg, const void *tag)
{
    for (struct list *at = pg->lanes.waiting.next; at != &pg->lanes.waiting; at = at->next) {
        struct pg_ride *ride = ride_of(at);
        if (ride->tag != tag)
            continue;
        list_remove(at);
        pg_later(pg, &ride->owed);
        return true;
    }
    return false;
}

static bool cancel_riding(struct pg_lane *lane, const void *tag)
{
    for (int i = 0; i < lane->count; i++) {
        if (!lane->rides[i] || lane->rides[i]->tag != tag)
            continue;
        lane->rides[i]->cancelled = true;
        return true;
    }
    return false;
}

bool pg_lanes_cancel(struct pg *pg, const void *tag)
{
    if (cancel_waiting(pg, tag))
        return true;
    for (int i = 0; i < PG_LANES; i++)
        if (cancel_riding(&pg->lanes.all[i], tag))
            return true;
    return false;
}

static bool has_cancelled(const struct pg_lane *lane)
{
    for (int i = 0; i < lane->count; i++)
        if (lane->rides[i] && lane->rides[i]->cancelled)
            return true;
    return false;
}

/* What is not the last ends soon by itself, and the server would cancel another one. The last may
 * wait for a standby: that wait is cancelled, for all of the train. */
bool pg_lanes_cancel_due(struct pg *pg)
{
    bool wanted = false;
    for (int i = 0; i < PG_LANES; i++) {
        struct pg_lane *lane = &pg->lanes.all[i];
        if (!has_cancelled(lane))
            continue;
        wanted = true;
        if (lane->next + 1 >= lane->count && lane->cancels_pending == 0 &&
            pg_connection_ready(&lane->connection) &&
            pg_control_cancel(pg, lane->connection.serial, lane->connection.backend_pid))
            lane->cancels_pending++;
    }
    return wanted;
}

void pg_lanes_cancel_done(struct pg *pg, uint64_t serial)
{
    for (int i = 0; i < PG_LANES; i++) {
        struct pg_lane *lane = &pg->lanes.all[i];
        if (lane->connection.serial == serial && lane->cancels_pending > 0)
            lane->cancels_pending--;
    }
    pump_soon(pg);
}

/* ---- results --------------------------------------------------------------------------------- */

static void train_ended(struct pg *pg, struct pg_lane *lane)
{
    struct pg_ride *rides[PG_LANE_MOST];
    int count = take(lane, rides);
    bool doubt = lane->connection.standby_doubt;
    pump(pg);
    pg_run_release(pg, bit_of(pg, lane), !doubt);
    for (int i = 0; i < count; i++)
        answer(pg, rides[i], doubt ? DB_LOST : DB_COMMITTED,
               doubt ? "the wait for the synchronous standby was cancelled" : "", "");
}

static void mark_send(struct pg_lane *lane)
{
    lane->marking = true;
    pg_step_add(&lane->steps, STEP_MARK, -1);
    pg_connection_query(&lane->connection, mark_sql, 0, NULL);
    pg_step_sync(&lane->steps);
}

static bool needs_mark(const struct pg_lane *lane)
{
    if (lane->rides[lane->count - 1])
        return false;
    for (int i = 0; i < lane->count; i++)
        if (lane->rides[i])
            return true;
    return false;
}

static void synced(struct pg *pg, struct pg_lane *lane)
{
    if (lane->marking) {
        train_ended(pg, lane);
        return;
    }
    struct pg_ride *ride = lane->rides[lane->next];
    if (ride->failed) {
        lane->rides[lane->next] = NULL;
        go_alone(pg, ride);
    }
    if (++lane->next < lane->count)
        return;
    if (needs_mark(lane))
        mark_send(lane);
    else
        train_ended(pg, lane);
}

static void failed(struct pg *pg, struct pg_lane *lane, const struct pg_step *step,
                   const PGresult *result)
{
    const struct host_port *host = pg->shared.host;
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    if (lane->marking) {
        pg_connection_fail(&lane->connection, pg_complaint(result));
        return;
    }
    struct pg_ride *ride = lane->rides[lane->next];
    ride->failed = true;
    if (!step || !sqlstate)
        return;
    if (strcmp(sqlstate, QUERY_CANCELED) == 0)
        ride->joined->alone_until_us = host->now_us(host->self) + ALONE_US;
    if (!pg_step_refused(&lane->steps, &pg->statements, step, result) || step->kind == STEP_JOINED)
        pg_joined_refused(&pg->statements, &ride->work->statements[ride->work->statement_count - 1],
                          sqlstate);
}

static void done(struct pg_lane *lane, const struct pg_step *step, const PGresult *result)
{
    if (step->kind == STEP_PARSE)
        pg_step_parsed(&lane->steps, step);
    else if (step->kind == STEP_JOINED && PQnfields(result) > 0)
        lane->rides[lane->next]->result = xstrdup(PQgetvalue(result, 0, 0));
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    struct pg_lane *lane = CONTAINER(connection, struct pg_lane, connection);
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR && pg_step_at_sync(&lane->steps)) {
        failed(pg, lane, NULL, result); /* its commit; the Sync's own result follows */
        return;
    }
    const struct pg_step *step = pg_step_next(&lane->steps, result);
    if (!step)
        return;
    if (step->kind == STEP_SYNC)
        synced(pg, lane);
    else if (status == PGRES_FATAL_ERROR)
        failed(pg, lane, step, result);
    else if (status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK)
        done(lane, step, result);
    else if (status != PGRES_PIPELINE_ABORTED)
        pg_connection_fail(connection, "a statement began a COPY, which no operation may");
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_ready(struct pg_connection *connection)
{
    pump_soon(connection->self);
}

static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    struct pg_lane *lane = CONTAINER(connection, struct pg_lane, connection);
    struct pg_ride *rides[PG_LANE_MOST];
    lane->cancels_pending = 0;
    pg_steps_lost(&lane->steps);
    if (lane->count > 0)
        pg_control_ghost(pg, connection->serial);
    int count = take(lane, rides);
    pg_run_release(pg, bit_of(pg, lane), false);
    for (int i = 0; i < count; i++) {
        if (rides[i]->failed)
            go_alone(pg, rides[i]);
        else
            answer(pg, rides[i], DB_LOST, "database connection lost", reason);
    }
    while (!is_any_ready(pg) && !list_empty(&pg->lanes.waiting)) {
        struct pg_ride *ride = ride_of(pg->lanes.waiting.next);
        list_remove(&ride->owed.link);
        go_alone(pg, ride);
    }
    pg_not_opened(pg, was_ready, reason);
    pg_review(pg);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

/* ---- life ------------------------------------------------------------------------------------ */

void pg_lanes_open(struct pg *pg)
{
    for (int i = 0; i < PG_LANES && pg->lanes.wanted; i++)
        pg_connection_open(&pg->lanes.all[i].connection);
}

void pg_lanes_close(struct pg *pg)
{
    for (int i = 0; i < PG_LANES; i++)
        if (pg->lanes.all[i].connection.state != PG_CONNECTION_READY)
            pg_connection_close(&pg->lanes.all[i].connection);
}

void pg_lanes_init(struct pg *pg)
{
    struct pg_lanes *lanes = &pg->lanes;
    list_init(&lanes->waiting);
    lanes->settings = pg_session_settings(LOCK_MS, STATEMENT_MS);
    for (int i = 0; i < PG_LANES; i++) {
        struct pg_lane *lane = &lanes->all[i];
        pg_connection_init(&lane->connection, &pg->shared, &owner, pg, lanes->settings);
        pg_steps_init(&lane->steps, &lane->connection);
    }
    lanes->idle = xmalloc(sizeof(*lanes->idle));
    CHECK(uv_idle_init(pg->shared.uv, lanes->idle) == 0);
    lanes->idle->data = pg;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_lanes_fini(struct pg *pg)
{
    struct pg_lanes *lanes = &pg->lanes;
    for (int i = 0; i < PG_LANES; i++) {
        struct pg_ride *rides[PG_LANE_MOST];
        int count = take(&lanes->all[i], rides);
        for (int j = 0; j < count; j++)
            ride_free(rides[j]);
        pg_connection_fini(&lanes->all[i].connection);
        pg_steps_fini(&lanes->all[i].steps);
    }
    while (!list_empty(&lanes->waiting))
        ride_free(ride_of(lanes->waiting.next));
    free(lanes->settings);
    uv_close((uv_handle_t *)lanes->idle, free_handle);
}
