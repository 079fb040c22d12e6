/* Ending prepared branches: COMMIT PREPARED and ROLLBACK PREPARED, each with a Sync of its own, as
 * they refuse to run in a transaction and a failure must not take the next ones with it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_private.h"

struct finishing {
    struct pg_ending ending;
    void *tag;
};

static struct pg_ending *ending_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_ending, owed);
}

/* The runner may call in from here: the ending is off its list by now. */
static void answer(struct pg *pg, struct pg_ending *ending)
{
    char *reason = ending->reason;
    list_remove(&ending->owed.link);
    ending->answer(pg, ending);
    free(reason);
}

static void refuse(struct pg *pg, struct pg_owed *owed)
{
    struct pg_ending *ending = CONTAINER(owed, struct pg_ending, owed);
    ending->result = DB_UNFINISHED;
    if (!ending->reason)
        ending->reason = xstrdup(pg->trouble[0] ? pg->trouble : "no database connection");
    answer(pg, ending);
}

/* libpq may show a notice one result early, never late: so the doubt is looked at, and reset, with
 * the command's own result and not with its Sync's. */
static void note(struct pg_ending *ending, const PGresult *result, bool *doubt)
{
    bool standby_doubt = *doubt;
    *doubt = false;
    if (PQresultStatus(result) == PGRES_COMMAND_OK) {
        ending->result = standby_doubt ? DB_UNFINISHED : DB_FINISHED;
        if (standby_doubt)
            ending->reason = xstrdup("the wait for the synchronous standby was cancelled");
        return;
    }
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    /* Nothing of that name is prepared; or somebody has prepared it in another database. */
    bool missing = sqlstate && (strcmp(sqlstate, "42704") == 0 || strcmp(sqlstate, "0A000") == 0);
    ending->result = missing ? DB_MISSING : DB_UNFINISHED;
    ending->reason = xstrdup(message ? message : "the connection was lost");
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
        if (!ending->reason)
            note(ending, result, &connection->standby_doubt);
        return;
    }
    finisher->queued--;
    answer(pg, ending);
}

static void on_ready(struct pg_connection *connection)
{
    struct pg *pg = connection->self;
    CONTAINER(connection, struct pg_finisher, connection)->ready_at = pg->acceptances;
    pg_review(pg);
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
    while (!list_empty(&queue)) {
        struct pg_ending *ending = ending_of(queue.next);
        free(ending->reason);
        ending->reason = xstrdup("the database connection was lost");
        refuse(pg, &ending->owed);
    }
    pg_not_opened(pg, was_ready, reason);
    pg_review(pg);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

/* What the server had when the acceptance was asked for, it has here, too. */
static bool has_seen(const struct pg *pg, const struct pg_finisher *finisher, uint64_t acceptance)
{
    return acceptance == PG_NO_ACCEPTANCE ||
           (finisher->ready_at <= acceptance &&
            strcmp(finisher->connection.server, pg->accepting.connection.server) == 0);
}

static struct pg_finisher *least_loaded(struct pg *pg, uint64_t acceptance)
{
    struct pg_finisher *best = NULL;
    for (int i = 0; i < pg->finisher_count; i++) {
        struct pg_finisher *at = &pg->finishers[(pg->finisher_next + i) % pg->finisher_count];
        if (pg_connection_ready(&at->connection) && has_seen(pg, at, acceptance) &&
            (!best || at->queued < best->queued))
            best = at;
    }
    pg->finisher_next = (pg->finisher_next + 1) % pg->finisher_count;
    return best;
}

void pg_end(struct pg *pg, struct pg_ending *ending, const char *gid, bool commit,
            uint64_t acceptance)
{
    ending->owed.refuse = refuse;
    struct pg_finisher *finisher = least_loaded(pg, acceptance);
    if (!finisher) {
        pg_later(pg, &ending->owed);
        return;
    }
    char sql[LIMIT_GID_BYTES + 32];
    snprintf(sql, sizeof(sql), "%s PREPARED '%s'", commit ? "COMMIT" : "ROLLBACK", gid);
    list_append(&finisher->queue, &ending->owed.link);
    finisher->queued++;
    pg_connection_query(&finisher->connection, sql, 0, NULL);
    pg_connection_sync(&finisher->connection);
}

static void finished(struct pg *pg, struct pg_ending *ending)
{
    struct finishing *finishing = CONTAINER(ending, struct finishing, ending);
    pg->events.finished(pg->events.self, finishing->tag, ending->result,
                        ending->reason ? ending->reason : "");
    free(finishing);
}

void pg_finish(void *self, const char *gid, bool commit, void *tag)
{
    CHECK(pg_gid_valid(gid));
    struct finishing *finishing = xcalloc(1, sizeof(*finishing));
    finishing->ending.answer = finished;
    finishing->tag = tag;
    pg_end(self, &finishing->ending, gid, commit, PG_NO_ACCEPTANCE);
}

/* What waits for a lock here waits for somebody who ends soon: a prepared transaction holds its own
 * locks already. So no time limit: the branch must be ended, however long it takes. What is told as
 * ended, or as accepted, waits for a synchronous standby whatever the role's default is; a setting
 * that waits for more than that stays. */
static const char settings[] =
    "select set_config('statement_timeout', '0', false), set_config('lock_timeout', '0', false),"
    " set_config('idle_in_transaction_session_timeout', '0', false);"
    "select set_config(name, '0', false) from pg_settings where name = "
    "'idle_session_timeout';"
    "select set_config(name, 'on', false) from pg_settings"
    "   where name = 'synchronous_commit' and setting = 'off';" PG_ASK_SERVER;

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
