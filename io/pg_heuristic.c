/* The rows of troth.heuristic: what an operator made of branches here. Asked over the control
 * connection. A row is told as stored when its commit has come back: then it is on the disk, and at
 * the synchronous standby where there is one. What is done because of it comes later in the log. */
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/id.h"
#include "io/pg_inspect.h"

/* A statement that changes rows, which counts as done when this many were. */
static void changed(struct pg *pg, struct pg_request *request, const PGresult *result, int least)
{
    enum db_stored stored = DB_STORE_FAILED;
    /* Told with the commit, never after it. */
    bool doubt = pg->control.standby_doubt;
    pg->control.standby_doubt = false;
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK && !doubt)
        stored = atoi(PQgetvalue(result, 0, 0)) >= least ? DB_STORED : DB_CHANGED;
    if (doubt)
        host_log(pg->shared.host, LOG_WARNING,
                 "database: troth.heuristic: the wait for the synchronous standby was cancelled");
    else if (result && PQresultStatus(result) != PGRES_TUPLES_OK)
        host_log(pg->shared.host, LOG_WARNING, "database: troth.heuristic: %s",
                 pg_complaint(result));
    pg->events.heuristic_stored(pg->events.self, request->tag, stored);
}

static void stored_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    changed(pg, request, result, 1);
}

static void forgotten_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    changed(pg, request, result, 0);
}

static const char store_sql[] =
    "with stored as (insert into troth.heuristic"
    "   (gid, participant, gtrid, commit, xid, reason, \"by\", at_us)"
    " values ($1, $2, substring($1 from '^troth\\.(.*)\\.[0-9]+$'), $3::boolean,"
    "   nullif($4::bigint, 0), $5, $6, $7::bigint) on conflict do nothing returning gid)"
    " select count(*) from stored";

void pg_heuristic_store(void *self, const struct db_heuristic *row, void *tag)
{
    struct pg *pg = self;
    struct gid gid;
    CHECK(gid_parse(row->gid, &gid));
    struct pg_request *request = pg_request_new(store_sql, stored_answer, tag);
    request->commits = true;
    pg_request_value(request, xstrdup(row->gid));
    pg_request_value(request, xstrdup(pg->participant));
    pg_request_value(request, xstrdup(row->commit ? "true" : "false"));
    pg_request_value(request, xasprintf("%" PRId64, (int64_t)row->xid));
    pg_request_value(request, xstrdup(row->reason));
    pg_request_value(request, xstrdup(row->by));
    pg_request_value(request, xasprintf("%" PRId64, row->at_us));
    pg_ask(pg, request);
}

/* Done again it changes nothing, and is done. */
static const char forget_sql[] =
    "with forgotten as (update troth.heuristic set forgotten_at = now()"
    " where participant = $1 and gtrid = $2 and forgotten_at is null returning gid)"
    " select count(*) from forgotten";

void pg_heuristics_forget(void *self, const char *gtrid, void *tag)
{
    struct pg *pg = self;
    struct pg_request *request = pg_request_new(forget_sql, forgotten_answer, tag);
    request->commits = true;
    pg_request_value(request, xstrdup(pg->participant));
    pg_request_value(request, xstrdup(gtrid));
    pg_ask(pg, request);
}

static const char load_sql[] =
    "select gid, commit, coalesce(xid, 0), reason, \"by\", at_us from troth.heuristic"
    " where participant = $1 and forgotten_at is null order by at_us desc, gid limit $2::int";

enum { LOADED_GID, LOADED_COMMIT, LOADED_XID, LOADED_REASON, LOADED_BY, LOADED_AT };

static void loaded_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg->events.heuristics_loaded(pg->events.self, request->tag, false, NULL, 0);
        return;
    }
    int count = PQntuples(result);
    struct db_heuristic *rows = xcalloc((size_t)count + 1, sizeof(*rows));
    for (int i = 0; i < count; i++)
        rows[i] = (struct db_heuristic){
            .gid = PQgetvalue(result, i, LOADED_GID),
            .commit = *PQgetvalue(result, i, LOADED_COMMIT) == 't',
            .xid = strtoull(PQgetvalue(result, i, LOADED_XID), NULL, 10),
            .reason = PQgetvalue(result, i, LOADED_REASON),
            .by = PQgetvalue(result, i, LOADED_BY),
            .at_us = strtoll(PQgetvalue(result, i, LOADED_AT), NULL, 10),
        };
    pg->events.heuristics_loaded(pg->events.self, request->tag, true, rows, count);
    free(rows);
}

void pg_heuristics_load(void *self, void *tag)
{
    struct pg *pg = self;
    struct pg_request *request = pg_request_new(load_sql, loaded_answer, tag);
    pg_request_value(request, xstrdup(pg->participant));
    pg_request_value(request, xasprintf("%d", LIMIT_HEURISTICS));
    pg_ask(pg, request);
}
