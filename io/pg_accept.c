/* An acceptance that decides, carried out with it: the row of the register goes in, and then the
 * branch is committed, one after the other in one pipeline with one Sync and one flush.
 *
 *   insert           its commit waits for no flush
 *   begin
 *   commit           ends the insert's transaction
 *   COMMIT PREPARED  flushes the log up to its own record, and so the row's before it
 *
 * The row is durable whenever the branch is committed: its record is the earlier one in the same
 * log. A crash in between leaves both, or the row, or neither; never the branch committed without
 * the row.
 *
 * The insert stands before the begin, in the transaction that the server starts for it, so that
 * where it fails (there is a row, mostly) no transaction is left in a failed state: the server
 * rolls back and skips everything up to the Sync, COMMIT PREPARED with it, and what others have
 * sent behind that Sync finds the session as it was. BEGIN makes a block of a transaction under
 * way; the commit then ends a block, where without one it would put a warning into the server's log
 * each time. COMMIT PREPARED is refused where commands before it in the pipeline are not committed
 * yet: what the server looks at are flags of the transaction, and after a commit that is a new one.
 * All of this is the same in PostgreSQL 13 to 17. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/pg_private.h"

enum step {
    PREPARE_INSERT, /* of a session's first only, like the next two */
    PREPARE_BEGIN,
    PREPARE_COMMIT,
    INSERT,
    BEGIN,
    COMMIT,
    COMMIT_PREPARED,
    DONE
};

struct accepting {
    struct pg_ending ending;
    unsigned statements; /* what they were called when it was sent */
    enum step step;      /* whose result comes next */
    enum db_accepted accepted;
};

/* No list of sites: the branch has it. No look at what was settled, either: that was decided as
 * commit, which this is, too. */
static const struct register_state first_commit = {.value = REGISTER_COMMIT};

static const char insert_sql[] =
    "insert into troth.register (participant, gtrid, sites, begun_us, value)"
    " select $1::text, $2::text, '', $3::bigint, 2"
    " where set_config('synchronous_commit', 'off', true) = 'off'";

static void answer(struct pg *pg, struct pg_ending *ending)
{
    struct accepting *accepting = CONTAINER(ending, struct accepting, ending);
    pg->events.register_committed(pg->events.self, ending->tag, accepting->accepted);
    free(accepting);
}

/* Also of what was never sent: there is a row, or not, for which nothing was done here. */
static void refuse(struct pg *pg, struct pg_owed *owed)
{
    struct pg_ending *ending = CONTAINER(owed, struct pg_ending, owed);
    CONTAINER(ending, struct accepting, ending)->accepted = DB_ACCEPT_UNKNOWN;
    list_remove(&owed->link);
    answer(pg, ending);
}

static void log_once(struct pg *pg, const char *message)
{
    if (strcmp(pg->accept_trouble, message) == 0)
        return;
    snprintf(pg->accept_trouble, sizeof(pg->accept_trouble), "%s", message);
    host_log(pg->shared.host, LOG_WARNING, "database: troth.register, before a commit: %s",
             pg->accept_trouble);
}

/* All after it was skipped. */
static void failed(struct pg_finisher *finisher, struct accepting *accepting, enum step step,
                   const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (step == INSERT && strcmp(sqlstate, "23505") == 0) {
        accepting->accepted = DB_ACCEPT_REFUSED;
        return;
    }
    if (step == COMMIT_PREPARED)
        return; /* whoever ends the branch next is told */
    log_once(finisher->connection.self, message);
    /* They could not be prepared, or somebody has deallocated them: others will be. */
    if ((step < INSERT || strcmp(sqlstate, "26000") == 0) &&
        accepting->statements == finisher->statements)
        finisher->prepared = false;
    /* Nobody knows whether a transaction is open. */
    if (step == BEGIN || step == COMMIT)
        pg_connection_fail(&finisher->connection, message);
}

static void note(struct pg_finisher *finisher, struct pg_ending *ending, const PGresult *result)
{
    struct accepting *accepting = CONTAINER(ending, struct accepting, ending);
    if (accepting->step == DONE) {
        pg_connection_fail(&finisher->connection, "the server sent a result that nobody asked for");
        return;
    }
    enum step step = accepting->step++;
    ExecStatusType status = PQresultStatus(result);
    if (status == PGRES_FATAL_ERROR)
        failed(finisher, accepting, step, result);
    if (step != COMMIT_PREPARED)
        return;
    /* A notice may come one result early: it is this one's, as nothing before it waits. */
    bool standby_doubt = finisher->connection.standby_doubt;
    finisher->connection.standby_doubt = false;
    if (status == PGRES_COMMAND_OK && !standby_doubt)
        accepting->accepted = DB_ACCEPTED;
}

/* A name that was used is not used again, as what was sent before may still ask for it. */
static const char *name(const struct pg_finisher *finisher, const char *what, char buffer[32])
{
    snprintf(buffer, 32, "%s_%u", what, finisher->statements);
    return buffer;
}

static void prepare(struct pg_finisher *finisher)
{
    struct pg_connection *connection = &finisher->connection;
    char buffer[32];
    finisher->prepared = true;
    finisher->statements++;
    pg_connection_prepare(connection, name(finisher, "insert", buffer), insert_sql, 0, NULL);
    pg_connection_prepare(connection, name(finisher, "begin", buffer), "begin", 0, NULL);
    pg_connection_prepare(connection, name(finisher, "commit", buffer), "commit", 0, NULL);
}

static void execute(struct pg_finisher *finisher, const struct db_register *row)
{
    struct pg_connection *connection = &finisher->connection;
    const struct pg *pg = connection->self;
    char buffer[32], begun_us[24];
    snprintf(begun_us, sizeof(begun_us), "%" PRId64, row->begun_us);
    const char *const values[] = {pg->participant, row->gtrid, begun_us};
    pg_connection_execute(connection, name(finisher, "insert", buffer), 3, values);
    pg_connection_execute(connection, name(finisher, "begin", buffer), 0, NULL);
    pg_connection_execute(connection, name(finisher, "commit", buffer), 0, NULL);
}

void pg_register_commit(void *self, const struct db_register *row, const char *gid, void *tag)
{
    struct pg *pg = self;
    CHECK(pg_gid_valid(gid));
    CHECK(register_state_equal(&row->state, &first_commit));
    struct accepting *accepting = xcalloc(1, sizeof(*accepting));
    accepting->ending =
        (struct pg_ending){.owed.refuse = refuse, .tag = tag, .result = note, .answer = answer};
    accepting->accepted = DB_ACCEPT_UNKNOWN;
    accepting->step = INSERT;
    list_init(&accepting->ending.owed.link);
    struct pg_finisher *finisher = pg_finisher_take(pg);
    if (!finisher) {
        pg_later(pg, &accepting->ending.owed);
        return;
    }
    if (!finisher->prepared) {
        accepting->step = PREPARE_INSERT;
        prepare(finisher);
    }
    accepting->statements = finisher->statements;
    execute(finisher, row);
    pg_finisher_end(finisher, gid, true, &accepting->ending);
}
