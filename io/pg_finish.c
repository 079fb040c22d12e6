/* Ending prepared branches: COMMIT PREPARED and ROLLBACK PREPARED, each with a Sync of its own, as
 * they refuse to run in a transaction and a failure must not take the next ones with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_private.h"

/* One branch that is being ended. */
struct finishing {
    struct pg_ending ending;
    enum db_finish result;
    char *reason;
};

static struct finishing *finishing_of(struct pg_ending *ending)
{
    return CONTAINER(ending, struct finishing, ending);
}

/* The runner may call in from here: it is off its list by now. */
static void answer(struct pg *pg, struct pg_ending *ending)
{
    struct finishing *finishing = finishing_of(ending);
    pg->events.finished(pg->events.self, ending->tag, finishing->result,
                        finishing->reason ? finishing->reason : "");
    free(finishing->reason);
    free(finishing);
}

static void refuse(struct pg *pg, struct pg_owed *owed)
{
    struct pg_ending *ending = CONTAINER(owed, struct pg_ending, owed);
    struct finishing *finishing = finishing_of(ending);
    finishing->result = DB_UNFINISHED;
    free(finishing->reason);
    finishing->reason = xstrdup(ending->lost     ? "the database connection was lost"
                                : pg->trouble[0] ? pg->trouble
                                                 : "no database connection");
    list_remove(&owed->link);
    answer(pg, ending);
}

/* libpq may show a notice one result early, never late: so the doubt is looked at, and reset, with
 * the command's own result and not with its Sync's. */
static void note(struct pg_finisher *finisher, struct pg_ending *ending, const PGresult *result)
{
    struct finishing *finishing = finishing_of(ending);
    bool standby_doubt = finisher->connection.standby_doubt;
    if (finishing->reason)
        return;
    finisher->connection.standby_doubt = false;
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        finishing->result = standby_doubt ? DB_UNFINISHED : DB_FINISHED;
        if (standby_doubt)
            finishing->reason = xstrdup("the wait for the synchronous standby was cancelled");
        return;
    }
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    /* Nothing of that name is prepared; or somebody has prepared it in another database. */
    bool missing = sqlstate && (strcmp(sqlstate, "42704") == 0 || strcmp(sqlstate, "0A000") == 0);
    finishing->result = missing ? DB_MISSING : DB_UNFINISHED;
    finishing->reason = xstrdup(message ? message : "the connection was lost");
}

void pg_finish(void *self, const char *gid, bool commit, void *tag)
{
    struct pg *pg = self;
    CHECK(pg_gid_valid(gid));
    struct finishing *finishing = xcalloc(1, sizeof(*finishing));
    finishing->ending =
        (struct pg_ending){.owed.refuse = refuse, .tag = tag, .result = note, .answer = answer};
    list_init(&finishing->ending.owed.link);
    struct pg_finisher *finisher = pg_finisher_take(pg);
    if (!finisher) {
        pg_later(pg, &finishing->ending.owed);
        return;
    }
    pg_finisher_end(finisher, gid, commit, &finishing->ending);
}

/* ---- the connections ------------------------------------------------------------------------- */

static struct pg_ending *ending_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_ending, owed);
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    struct pg_finisher *finisher = CONTAINER(connection, struct pg_finisher, connection);
    if (list_empty(&finisher->queue)) {
        pg_connection_fail(connection, "the server sent a result that nobody asked for");
        return;
    }
    struct pg_ending *ending = ending_of(finisher->queue.next);
    if (PQresultStatus(result) != PGRES_PIPELINE_SYNC) {
        ending->result(finisher, ending, result);
        return;
    }
    finisher->queued--;
    list_remove(&ending->owed.link);
    ending->answer(pg, ending);
}

static void on_ready(struct pg_connection *connection)
{
    pg_review(connection->self);
}

static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    struct pg_finisher *finisher = CONTAINER(connection, struct pg_finisher, connection);
    /* Whether these were carried out is not known; asking again tells. */
    struct list queue;
    list_init(&queue);
    while (!list_empty(&finisher->queue)) {
        struct list *link = finisher->queue.next;
        list_remove(link);
        list_append(&queue, link);
    }
    finisher->queued = 0;
    finisher->prepared = false;
    while (!list_empty(&queue)) {
        struct pg_ending *ending = ending_of(queue.next);
        ending->lost = true;
        ending->owed.refuse(pg, &ending->owed);
    }
    pg_not_opened(pg, was_ready, reason);
    pg_review(pg);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

struct pg_finisher *pg_finisher_take(struct pg *pg)
{
    struct pg_finisher *best = NULL;
    for (int i = 0; i < pg->finisher_count; i++) {
        struct pg_finisher *at = &pg->finishers[(pg->finisher_next + i) % pg->finisher_count];
        if (pg_connection_ready(&at->connection) && (!best || at->queued < best->queued))
            best = at;
    }
    pg->finisher_next = (pg->finisher_next + 1) % pg->finisher_count;
    return best;
}

void pg_finisher_end(struct pg_finisher *finisher, const char *gid, bool commit,
                     struct pg_ending *ending)
{
    char sql[LIMIT_GID_BYTES + 32];
    snprintf(sql, sizeof(sql), "%s PREPARED '%s'", commit ? "COMMIT" : "ROLLBACK", gid);
    list_append(&finisher->queue, &ending->owed.link);
    finisher->queued++;
    pg_connection_query(&finisher->connection, sql, 0, NULL);
    pg_connection_sync(&finisher->connection);
}

/* No time limit: the branch must be ended, however long it takes. It waits for no lock, as a
 * prepared transaction holds its own already: the limit is for the row that goes before it, so that
 * others do not wait behind it for a table that somebody keeps. A row that is in the way, or in the
 * way of none, must be told as it is: read committed. */
static const char settings[] =
    "select set_config(v.name, v.value, false) from (values ('statement_timeout', '0'),"
    " ('lock_timeout', '1s'), ('idle_in_transaction_session_timeout', '0'),"
    " ('idle_session_timeout', '0'), ('default_transaction_isolation', 'read committed'),"
    " ('plan_cache_mode', 'force_generic_plan')) v (name, value)"
    " join pg_settings s on lower(s.name) = v.name";

void pg_finishers_init(struct pg *pg, int count)
{
    pg->finisher_count = count;
    pg->finishers = xcalloc((size_t)count, sizeof(*pg->finishers));
    for (int i = 0; i < count; i++) {
        list_init(&pg->finishers[i].queue);
        pg_connection_init(&pg->finishers[i].connection, &pg->shared, &owner, pg, settings);
    }
}

void pg_finishers_fini(struct pg *pg)
{
    for (int i = 0; i < pg->finisher_count; i++) {
        pg_connection_fini(&pg->finishers[i].connection);
        pg_refuse_all(pg, &pg->finishers[i].queue);
    }
    free(pg->finishers);
}
