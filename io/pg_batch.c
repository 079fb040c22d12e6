#include "io/pg_batch.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/pg_private.h"

/* Writes to the log what waits for all that a commit waits for. */
static const char mark_sql[] = "select pg_logical_emit_message(true, 'troth', '')";

static struct pg_ask *ask_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_ask, owed);
}

static void answer(struct pg *pg, struct pg_ask *ask, bool known)
{
    char *problem = ask->problem;
    list_remove(&ask->owed.link);
    ask->answer(pg, ask, known);
    free(problem);
}

static void refuse(struct pg *pg, struct pg_owed *owed)
{
    answer(pg, CONTAINER(owed, struct pg_ask, owed), false);
}

/* Takes the batch off before anything is answered: the runner may call in from an answer. */
static int take(struct pg_batch *batch, struct pg_ask *asks[])
{
    int count = batch->count;
    memcpy(asks, batch->asks, (size_t)count * sizeof(*asks));
    batch->count = 0;
    return count;
}

static void answer_all(struct pg *pg, struct pg_batch *batch, bool known)
{
    struct pg_ask *asks[PG_BATCH_MOST];
    int count = take(batch, asks);
    for (int i = 0; i < count; i++)
        answer(pg, asks[i], known);
}

/* ---- sending --------------------------------------------------------------------------------- */

/* One statement for all of the batch that ask the same; none when nobody does. */
static void question_send(struct pg *pg, struct pg_batch *batch, const struct pg_question *question)
{
    struct pg_array columns[PG_BATCH_COLUMNS] = {{0}};
    const char *values[1 + PG_BATCH_COLUMNS] = {pg->participant};
    int count = 0;
    for (int i = 0; i < batch->count; i++)
        if (batch->asks[i]->question == question)
            count = question->add(columns, batch->asks[i], i);
    if (count == 0)
        return;
    for (int i = 0; i < count; i++)
        values[1 + i] = pg_array_end(&columns[i]);
    batch->steps[batch->step_count++] = question;
    pg_connection_execute(&batch->connection, question->name, 1 + count, values);
    for (int i = 0; i < count; i++)
        pg_array_fini(&columns[i]);
}

static void fill(struct pg_batch *batch)
{
    while (!list_empty(&batch->waiting) && batch->count < PG_BATCH_MOST) {
        struct pg_ask *ask = ask_of(batch->waiting.next);
        if (ask->alone && batch->count > 0)
            return;
        list_remove(&ask->owed.link);
        batch->asks[batch->count++] = ask;
        if (ask->alone)
            return;
    }
}

static void steps_begin(struct pg_batch *batch)
{
    batch->failed = false;
    batch->step_count = batch->step_next = 0;
}

static void batch_send(struct pg *pg, struct pg_batch *batch)
{
    if (batch->count > 0 || !pg_batch_ready(batch) || list_empty(&batch->waiting))
        return;
    fill(batch);
    steps_begin(batch);
    batch->connection.standby_doubt = false;
    if (batch->doubt) {
        batch->steps[batch->step_count++] = NULL;
        pg_connection_query(&batch->connection, mark_sql, 0, NULL);
    }
    for (int i = 0; i < PG_BATCH_KINDS && batch->questions[i]; i++)
        question_send(pg, batch, batch->questions[i]);
    pg_connection_sync(&batch->connection);
}

/* Once the turn is over: what else is asked in it goes along. */
static void on_idle(uv_idle_t *idle)
{
    struct pg_batch *batch = idle->data;
    uv_idle_stop(idle);
    batch_send(batch->connection.self, batch);
}

static void send_soon(struct pg_batch *batch)
{
    if (!list_empty(&batch->waiting))
        CHECK(uv_idle_start(batch->idle, on_idle) == 0);
}

/* ---- results --------------------------------------------------------------------------------- */

static void step_failed(struct pg *pg, struct pg_batch *batch, const PGresult *result)
{
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    batch->failed = true;
    if (batch->preparing) {
        snprintf(batch->trouble, sizeof(batch->trouble), "%s: %s", batch->name, message);
        return; /* why its connection can't be used */
    }
    if (strcmp(sqlstate, "26000") == 0) /* somebody deallocated it */
        pg_connection_fail(&batch->connection, message);
    if (batch->count > 1 && !batch->lazy)
        return; /* each is tried again */
    if (batch->count == 1) {
        snprintf(batch->asks[0]->sqlstate, sizeof(batch->asks[0]->sqlstate), "%s", sqlstate);
        batch->asks[0]->problem = xstrdup(message);
    }
    if (strcmp(batch->trouble, message) == 0)
        return;
    snprintf(batch->trouble, sizeof(batch->trouble), "%s", message);
    host_log(pg->shared.host, LOG_WARNING, "database: %s: %s", batch->name, batch->trouble);
}

/* Nothing of it was stored. */
static void try_each(struct pg_batch *batch)
{
    struct pg_ask *asks[PG_BATCH_MOST];
    int count = take(batch, asks);
    for (int i = 0; i < count; i++) {
        asks[i]->renew(asks[i]);
        asks[i]->alone = true;
        list_append(&batch->waiting, &asks[i]->owed.link);
    }
}

/* What a cancelled wait for a standby left can be read here, and not there: so until a later wait
 * has ended well nothing is answered that may rest on it. */
static void ended(struct pg *pg, struct pg_batch *batch)
{
    if (batch->preparing) {
        batch->preparing = batch->failed;
        batch->was_ready = true;
        if (batch->failed)
            pg_connection_fail(&batch->connection, batch->trouble);
        pg_review(pg);
    } else if (batch->failed && batch->count > 1 && !batch->lazy) {
        try_each(batch);
    } else {
        if (!batch->failed)
            batch->doubt = batch->connection.standby_doubt;
        answer_all(pg, batch, !batch->failed && !batch->doubt);
    }
    send_soon(batch);
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    struct pg_batch *batch = CONTAINER(connection, struct pg_batch, connection);
    ExecStatusType status = PQresultStatus(result);
    if ((status == PGRES_PIPELINE_SYNC) != (batch->step_next == batch->step_count)) {
        pg_connection_fail(connection, "the server sent a result that nobody asked for");
        return;
    }
    if (status == PGRES_PIPELINE_SYNC) {
        ended(pg, batch);
        return;
    }
    const struct pg_question *question = batch->steps[batch->step_next++];
    if (status == PGRES_FATAL_ERROR)
        step_failed(pg, batch, result);
    else if (question && question->row)
        for (int row = 0; row < PQntuples(result); row++)
            question->row(batch, question, result, row);
}

/* ---- the connection -------------------------------------------------------------------------- */

static void on_ready(struct pg_connection *connection)
{
    struct pg_batch *batch = CONTAINER(connection, struct pg_batch, connection);
    steps_begin(batch);
    batch->preparing = true;
    batch->doubt = true;
    for (int i = 0; i < PG_BATCH_KINDS && batch->questions[i]; i++) {
        batch->steps[batch->step_count++] = NULL;
        pg_connection_prepare(connection, batch->questions[i]->name, batch->questions[i]->sql, 0,
                              NULL);
    }
    pg_connection_sync(connection);
}

static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    struct pg_batch *batch = CONTAINER(connection, struct pg_batch, connection);
    bool was_prepared = was_ready && !batch->preparing;
    batch->preparing = false;
    answer_all(pg, batch, false);
    pg_refuse_all(pg, &batch->waiting);
    pg_not_opened(pg, was_prepared, reason);
    pg_review(pg);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

bool pg_batch_ready(const struct pg_batch *batch)
{
    return pg_connection_ready(&batch->connection) && !batch->preparing;
}

void pg_batch_ask(struct pg *pg, struct pg_batch *batch, struct pg_ask *ask)
{
    ask->owed.refuse = refuse;
    list_init(&ask->owed.link);
    if (!batch->wanted && pg->phase == PG_UP) {
        batch->wanted = true;
        pg_connection_open(&batch->connection);
    }
    /* After its first failure the next try may be seconds away. */
    bool is_coming =
        batch->wanted && !batch->was_ready && pg->phase == PG_UP && batch->connection.failures == 0;
    if (pg_batch_ready(batch) || is_coming)
        list_append(&batch->waiting, &ask->owed.link);
    else
        pg_later(pg, &ask->owed);
    send_soon(batch);
}

/* The plans are those of few rows asked of a big table, whatever the statistics say; and nobody
 * holds a row for long. */
#define SETTINGS                                                                                   \
    "select set_config(v.name, v.value, false) from (values ('lock_timeout', '1s'),"               \
    " ('statement_timeout', '10s'), ('idle_in_transaction_session_timeout', '60s'),"               \
    " ('idle_session_timeout', '0'), ('client_connection_check_interval', '1s'),"                  \
    " ('default_transaction_isolation', 'read committed'),"                                        \
    " ('standard_conforming_strings', 'on'), ('plan_cache_mode', 'force_generic_plan'),"           \
    " ('enable_seqscan', 'off'), ('enable_bitmapscan', 'off'), ('enable_hashjoin', 'off'),"        \
    " ('enable_mergejoin', 'off'), ('jit', 'off'), ('synchronous_commit', '"
#define SETTINGS_END "')) v (name, value) join pg_settings s on lower(s.name) = v.name"

/* What is answered as stored must be on the disk whatever the role's default is; a setting that
 * waits for more than that stays. */
static const char settings[] =
    SETTINGS "on" SETTINGS_END " where v.name <> 'synchronous_commit' or s.setting = 'off'";
static const char lazy_settings[] = SETTINGS "off" SETTINGS_END ";" PG_ASK_SERVER;

/* ---- life ------------------------------------------------------------------------------------ */

void pg_batch_init(struct pg *pg, struct pg_batch *batch, const char *name,
                   const struct pg_question *const *questions, bool lazy)
{
    list_init(&batch->waiting);
    batch->name = name;
    batch->questions = questions;
    batch->lazy = lazy;
    pg_connection_init(&batch->connection, &pg->shared, &owner, pg,
                       lazy ? lazy_settings : settings);
    batch->idle = xmalloc(sizeof(*batch->idle));
    CHECK(uv_idle_init(pg->shared.uv, batch->idle) == 0);
    batch->idle->data = batch;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_batch_close(struct pg *pg, struct pg_batch *batch)
{
    if (batch->connection.state == PG_CONNECTION_READY)
        return;
    pg_connection_close(&batch->connection);
    pg_refuse_all(pg, &batch->waiting);
}

void pg_batch_fini(struct pg *pg, struct pg_batch *batch)
{
    pg_connection_fini(&batch->connection);
    answer_all(pg, batch, false);
    pg_refuse_all(pg, &batch->waiting);
    uv_close((uv_handle_t *)batch->idle, free_handle);
}
