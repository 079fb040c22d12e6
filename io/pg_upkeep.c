/* What keeps the tables small: registers that nobody needs any more are folded into bits, and rows
 * that are too old for any question are deleted. It goes over the control connection, a slice at a
 * time, and waits for no flush and no lock. Nothing is told of it: a slice that fails comes again
 * with the next clean.
 *
 * No row goes while a branch of its transaction is prepared: it is what ends that branch. */
#include <inttypes.h>
#include <stdlib.h>

#include "core/check.h"
#include "core/id.h"
#include "io/pg_array.h"
#include "io/pg_private.h"

enum { SLICE = 10000, SETTLE_SLICE = 1000 };

/* gtrids of the branches that are prepared in this database. */
#define PREPARED                                                                                   \
    "prepared as materialized (select substring(gid from '^troth\\.(.*)\\.[0-9]+$') as gtrid"      \
    "   from pg_prepared_xacts where database = current_database())"
#define NOT_PREPARED "not exists (select from prepared p where p.gtrid = r.gtrid)"
#define LAZY         "lazy as materialized (select set_config('synchronous_commit', 'off', true))"

/* ---- cleaning ------------------------------------------------------------------------------ */

/* Of age $1, at most $2 rows, of the participant or cluster $3. */
#define TOO_OLD "at < now() - $1 * interval '1 microsecond'"

static const char barrier_sql[] =
    "delete from troth.barrier where gtrid in (select gtrid from troth.barrier where " TOO_OLD
    " limit $2::bigint)";

static const char register_sql[] =
    "with " LAZY ", " PREPARED ", old as materialized (select gtrid from troth.register r"
    "   where r.participant = $3 and r." TOO_OLD " and " NOT_PREPARED
    "   limit $2::bigint for update of r skip locked)"
    " delete from troth.register r using old, lazy"
    "   where r.participant = $3 and r.gtrid = old.gtrid";

static const char settled_sql[] =
    "delete from troth.settled where (cluster, coordinator, epoch, block) in"
    " (select cluster, coordinator, epoch, block from troth.settled where " TOO_OLD
    "   and cluster = $3 limit $2::bigint)";

static void clean_answer(struct pg *pg, struct pg_request *request, const PGresult *result);

static void clean(struct pg *pg, const char *sql, const char *age_us, const char *name)
{
    struct pg_request *request = pg_request_new(sql, clean_answer, NULL);
    pg_request_value(request, xstrdup(age_us));
    pg_request_value(request, xasprintf("%d", SLICE));
    if (name)
        pg_request_value(request, xstrdup(name));
    pg_ask(pg, request);
}

static void clean_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    if (!result)
        return;
    if (PQresultStatus(result) != PGRES_COMMAND_OK)
        host_log(pg->shared.host, LOG_WARNING, "database: old rows of the schema troth stay: %s",
                 pg_complaint(result));
    else if (atoi(PQcmdTuples((PGresult *)result)) == SLICE)
        clean(pg, request->sql, request->values[0], request->values[2]);
}

void pg_clean(void *self, uint64_t age_us)
{
    struct pg *pg = self;
    char *age = xasprintf("%" PRIu64, age_us);
    clean(pg, barrier_sql, age, NULL);
    clean(pg, register_sql, age, pg->participant);
    clean(pg, settled_sql, age, pg->cluster);
    free(age);
}

/* ---- settling -------------------------------------------------------------------------------- */

/* A row that is not there or says abort: no bit of it. One that has accepted nothing is as good as
 * one that has: this site was told COMMIT without being asked. What is being stored at this
 * moment, which nobody needs any more, is not waited for long: all of the slice stays then. */
static const char settle_sql[] =
    "with lazy as materialized (select set_config('synchronous_commit', 'off', true),"
    "   set_config('lock_timeout', '50ms', true)), " PREPARED
    ", gone as (delete from troth.register r using lazy where r.participant = $1"
    "   and r.gtrid = any($5::text[]) and r.value <> 1 and " NOT_PREPARED
    "   returning split_part(r.gtrid, '.', 4)::bigint as seq)"
    " insert into troth.settled as s (cluster, coordinator, epoch, block, bits)"
    "   select $2, $3, $4::bigint, seq / 4096,"
    "     bit_or(set_bit(0::bit(4096), (seq % 4096)::int, 1)) from gone group by seq / 4096"
    " on conflict (cluster, coordinator, epoch, block)"
    "   do update set bits = s.bits | excluded.bits, at = excluded.at";

static void settle_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    (void)request;
    if (result && PQresultStatus(result) != PGRES_COMMAND_OK)
        host_log(pg->shared.host, LOG_WARNING, "database: settled rows of troth.register stay: %s",
                 pg_complaint(result));
}

static void settle(struct pg *pg, const char *coordinator, uint64_t epoch, const uint64_t *seqs,
                   size_t count)
{
    struct pg_request *request = pg_request_new(settle_sql, settle_answer, NULL);
    struct pg_array array = {0};
    gtrid_text gtrid;
    for (size_t i = 0; i < count; i++) {
        gtrid_format(gtrid, pg->cluster, coordinator, (struct txid){epoch, seqs[i]});
        pg_array_text(&array, gtrid);
    }
    pg_request_value(request, xstrdup(pg->participant));
    pg_request_value(request, xstrdup(pg->cluster));
    pg_request_value(request, xstrdup(coordinator));
    pg_request_value(request, xasprintf("%" PRIu64, epoch));
    pg_request_value(request, xstrdup(pg_array_end(&array)));
    pg_array_fini(&array);
    pg_ask(pg, request);
}

void pg_register_settle(void *self, const char *coordinator, uint64_t epoch, const uint64_t *seqs,
                        size_t count)
{
    for (size_t at = 0; at < count; at += SETTLE_SLICE)
        settle(self, coordinator, epoch, seqs + at,
               count - at < SETTLE_SLICE ? count - at : SETTLE_SLICE);
}
