/* What somebody else has prepared: is it there, and may it be finished on these connections? */
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/pg_private.h"

/* One row, always. PostgreSQL lists what is prepared only once it is on the disk, so it needs no
 * flush of ours; and lets nobody finish it but its owner, as whom it was prepared, and superusers.
 */
#define ASK                                                                                        \
    "with p as materialized (select transaction, owner, owner = current_user"                      \
    "   or (select rolsuper from pg_roles where rolname = current_user) as ours"                   \
    "   from pg_prepared_xacts where gid = $1 and database = current_database())"
#define TELL                                                                                       \
    " select p.transaction::text, p.owner, p.ours, current_user,"                                  \
    "   (select pg_snapshot_xmax(pg_current_snapshot())::text)"
#define ONE " from (values (1)) one left join p on true"

static const char ask_sql[] = ASK TELL ", true" ONE;

/* Three phases: the row goes in where the branch is as it was said to be. */
static const char ask_and_register_sql[] =
    ASK ", i as (insert into troth.register (participant, gtrid, sites, begun_us)"
        "   select $3, $4, $5, $6::bigint from p where p.ours and p.transaction = $2::text::xid"
        "   on conflict do nothing returning 1)" TELL ", exists (select from i)" ONE;

enum { XID, OWNER, OURS, USER, NEXT_XID, REGISTERED };

struct claim {
    void *tag;
    uint64_t xid;
};

static void answer(struct pg *pg, void *tag, enum db_adopted adopted, const char *format, ...)
    __attribute__((format(printf, 4, 5)));

static void answer(struct pg *pg, void *tag, enum db_adopted adopted, const char *format, ...)
{
    char reason[400];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reason, sizeof(reason), format, arguments);
    va_end(arguments);
    pg->events.adopted(pg->events.self, tag, adopted, reason);
}

static void judge(struct pg *pg, const struct claim *claim, const PGresult *result)
{
    if (PQgetisnull(result, 0, XID)) {
        answer(pg, claim->tag, DB_ADOPT_MISSING,
               "pg_prepared_xacts does not have it in database %s", PQdb(pg->control.handle));
        return;
    }
    uint64_t next = strtoull(PQgetvalue(result, 0, NEXT_XID), NULL, 10);
    uint64_t xid = pg_xid_widen((uint32_t)strtoul(PQgetvalue(result, 0, XID), NULL, 10), next);
    if (xid != claim->xid)
        answer(pg, claim->tag, DB_ADOPT_MISSING,
               "it was handed over with xid %" PRIu64 ", and is prepared with %" PRIu64, claim->xid,
               xid);
    else if (strcmp(PQgetvalue(result, 0, OURS), "t") != 0)
        answer(pg, claim->tag, DB_ADOPT_FOREIGN, "its owner is %s, and this is %s",
               PQgetvalue(result, 0, OWNER), PQgetvalue(result, 0, USER));
    else if (strcmp(PQgetvalue(result, 0, REGISTERED), "t") != 0)
        answer(pg, claim->tag, DB_ADOPT_FENCED, "its row in troth.register was there before");
    else
        answer(pg, claim->tag, DB_ADOPTED, "%s", "");
}

static void on_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    struct claim *claim = request->tag;
    bool doubt = request->commits && pg->control.standby_doubt;
    if (doubt)
        pg->control.standby_doubt = false;
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK && !doubt)
        judge(pg, claim, result);
    else if (doubt)
        answer(pg, claim->tag, DB_ADOPT_ERROR, "%s",
               "the wait for the synchronous standby was cancelled");
    else
        answer(pg, claim->tag, DB_ADOPT_ERROR, "%s", pg_complaint(result));
    free(claim);
}

void pg_adopt(void *self, const char *gid, uint64_t xid, const struct db_register *row, void *tag)
{
    struct pg *pg = self;
    CHECK(pg_gid_valid(gid));
    struct claim *claim = xcalloc(1, sizeof(*claim));
    *claim = (struct claim){.tag = tag, .xid = xid};
    struct pg_request *request =
        pg_request_new(row ? ask_and_register_sql : ask_sql, on_answer, claim);
    pg_request_value(request, xstrdup(gid));
    if (row) {
        request->commits = true;
        pg_request_value(request, xasprintf("%" PRIu32, (uint32_t)xid));
        pg_request_value(request, xstrdup(pg->participant));
        pg_request_value(request, xstrdup(row->gtrid));
        pg_request_value(request, xstrdup(row->sites));
        pg_request_value(request, xasprintf("%" PRId64, row->begun_us));
    }
    pg_ask(pg, request);
}
