/* The control connection: checks the server, ends older backends, and asks what the runner wants to
 * know.
 *
 * The fence. A backend whose client is gone may still carry out what it has read: a PREPARE after
 * the scan that should have found it, a COMMIT after the lookup that did not. So before the port is
 * up every backend of this participant that another process opened is ended, and it is waited for
 * until they are gone; the same holds for a connection of this process that was lost while it ran
 * work (a ghost), before lookups and scans are answered. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/error.h"
#include "io/pg_private.h"
#include "io/pg_server.h"

enum {
    FENCE_LOW_MS = 10,
    FENCE_HIGH_MS = 250,
    SCAN_PATIENCE_US = 5000000, /* a scan need not wait for ever: another one follows it */
};

static struct pg_request *request_of(struct list *link)
{
    return CONTAINER(CONTAINER(link, struct pg_owed, link), struct pg_request, owed);
}

static void request_free(struct pg_request *request)
{
    for (int i = 0; i < request->count; i++)
        free(request->values[i]);
    PQclear(request->kept);
    free(request);
}

static void refuse(struct pg *pg, struct pg_owed *owed)
{
    struct pg_request *request = CONTAINER(owed, struct pg_request, owed);
    list_remove(&owed->link);
    if (!request->answered)
        request->answer(pg, request, NULL);
    request_free(request);
}

struct pg_request *
pg_request_new(const char *sql, void (*answer)(struct pg *, struct pg_request *, const PGresult *),
               void *tag)
{
    struct pg_request *request = xcalloc(1, sizeof(*request));
    request->owed.refuse = refuse;
    request->sql = sql;
    request->answer = answer;
    request->tag = tag;
    return request;
}

void pg_request_value(struct pg_request *request, char *value)
{
    CHECK(request->count < (int)(sizeof(request->values) / sizeof(request->values[0])));
    request->values[request->count++] = value;
}

static void request_send(struct pg *pg, struct pg_request *request)
{
    list_append(&pg->requests, &request->owed.link);
    pg_connection_query(&pg->control, request->sql, request->count,
                        (const char *const *)request->values);
    pg_connection_sync(&pg->control);
}

static bool usable(const struct pg *pg)
{
    return pg->control_stage == PG_CONTROL_ON && pg_connection_ready(&pg->control);
}

void pg_ask(struct pg *pg, struct pg_request *request)
{
    if (usable(pg))
        request_send(pg, request);
    else
        pg_later(pg, &request->owed);
}

/* As ask, but after the fence. */
static void ask_fenced(struct pg *pg, struct pg_request *request)
{
    if (usable(pg) && pg->ghost_count > 0)
        list_append(&pg->waiting, &request->owed.link);
    else
        pg_ask(pg, request);
}

const char *pg_complaint(const PGresult *result)
{
    const char *message = result ? PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    return message ? message : "the connection was lost";
}

/* ---- the fence ----------------------------------------------------------------------------- */

static const char fence_sql[] =
    "select pg_terminate_backend(pid) from pg_stat_activity"
    " where datname = current_database() and pid <> pg_backend_pid()"
    " and (starts_with(application_name, $1) and not starts_with(application_name, $2)"
    "   or application_name = any($3::text[]))";

static void fence(struct pg *pg);

static void waiting_release(struct pg *pg, bool scans_only)
{
    struct list held;
    list_init(&held);
    while (!list_empty(&pg->waiting)) {
        struct pg_request *request = request_of(pg->waiting.next);
        list_remove(&request->owed.link);
        if (scans_only && !request->scan)
            list_append(&held, &request->owed.link);
        else
            pg_ask(pg, request);
    }
    while (!list_empty(&held)) {
        struct list *link = held.next;
        list_remove(link);
        list_append(&pg->waiting, link);
    }
}

static void fence_done(struct pg *pg)
{
    pg->ghost_count -= pg->fence_ghosts;
    if (pg->ghost_count > 0)
        memmove(pg->ghosts, pg->ghosts + pg->fence_ghosts,
                (size_t)pg->ghost_count * sizeof(*pg->ghosts));
    pg->fencing = false;
    if (pg->ghost_count > 0) {
        fence(pg);
        return;
    }
    if (pg->control_stage == PG_CONTROL_FENCING) {
        pg->control_stage = PG_CONTROL_ON;
        pg_control_is_on(pg);
    }
    waiting_release(pg, false);
}

static void fence_send(struct pg *pg);

static void on_fence_timer(uv_timer_t *timer)
{
    fence_send(timer->data);
}

static void fence_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    (void)request;
    if (!result)
        return; /* the connection is gone; the next one fences again */
    if (PQresultStatus(result) != PGRES_TUPLES_OK) {
        char text[512];
        snprintf(text, sizeof(text), "older sessions of this participant can't be ended: %s",
                 pg_complaint(result));
        pg_connection_fail(&pg->control, text);
        return;
    }
    int left = PQntuples(result);
    if (left == 0) {
        fence_done(pg);
        return;
    }
    if (pg->fence_rounds++ == 0)
        host_log(pg->shared.host, LOG_INFO,
                 "database: ending %d older session%s of this participant", left,
                 left == 1 ? "" : "s");
    if (pg->shared.host->now_us(pg->shared.host->self) - pg->fence_since_us > SCAN_PATIENCE_US &&
        pg->control_stage == PG_CONTROL_ON)
        waiting_release(pg, true);
    uint64_t ms = (uint64_t)FENCE_LOW_MS * (uint64_t)pg->fence_rounds;
    CHECK(uv_timer_start(pg->fence_timer, on_fence_timer, ms < FENCE_HIGH_MS ? ms : FENCE_HIGH_MS,
                         0) == 0);
}

static void fence_send(struct pg *pg)
{
    struct pg_request *request = pg_request_new(fence_sql, fence_answer, NULL);
    size_t size = 3 + (size_t)pg->ghost_count * PG_NAME_BYTES;
    char *ghosts = xmalloc(size), name[PG_NAME_BYTES];
    size_t used = (size_t)snprintf(ghosts, size, "{");
    for (int i = 0; i < pg->ghost_count; i++)
        used += (size_t)snprintf(ghosts + used, size - used, "%s%s", i ? "," : "",
                                 pg_connection_name(&pg->shared, pg->ghosts[i], name));
    snprintf(ghosts + used, size - used, "}");
    pg_request_value(request, xstrdup(pg->older));
    pg_request_value(request, xstrdup(pg->shared.name));
    pg_request_value(request, ghosts);
    pg->fence_ghosts = pg->ghost_count;
    request_send(pg, request);
}

static void fence(struct pg *pg)
{
    if (pg->fencing)
        return;
    pg->fencing = true;
    pg->fence_rounds = 0;
    pg->fence_since_us = pg->shared.host->now_us(pg->shared.host->self);
    fence_send(pg);
}

void pg_control_ghost(struct pg *pg, uint64_t serial)
{
    if (pg->ghost_count == pg->ghost_room) {
        pg->ghost_room = pg->ghost_room ? pg->ghost_room * 2 : 16;
        pg->ghosts = xrealloc(pg->ghosts, (size_t)pg->ghost_room * sizeof(*pg->ghosts));
    }
    pg->ghosts[pg->ghost_count++] = serial;
    if (usable(pg))
        fence(pg);
}

/* ---- the check ------------------------------------------------------------------------------- */

static void facts_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    (void)request;
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK)
        pg->facts = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
    else if (result)
        pg_connection_fail(&pg->control, pg_complaint(result));
}

static void identity_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    (void)request;
    pg->identity[0] = '\0';
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1)
        snprintf(pg->identity, sizeof(pg->identity), "%s", PQgetvalue(result, 0, 0));
    else if (result)
        host_log(pg->shared.host, LOG_WARNING,
                 "database: who joins a transaction here on a connection of its own is not checked"
                 " to be in the right database: %s",
                 pg_complaint(result));
}

static void version_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    (void)request;
    if (!result || !pg->facts)
        return;
    struct error error;
    bool readable = PQresultStatus(result) == PGRES_TUPLES_OK;
    bool fit = pg_server_judge(pg->facts, readable ? result : NULL, &error);
    PQclear(pg->facts);
    pg->facts = NULL;
    if (fit) {
        pg->control_stage = PG_CONTROL_FENCING;
        fence(pg);
        return;
    }
    char text[sizeof(pg->trouble)];
    int size = snprintf(text, sizeof(text), "%s", error.message);
    if (error.hint[0] && size + 4 < (int)sizeof(text))
        snprintf(text + size, sizeof(text) - (size_t)size, "; hint: %s", error.hint);
    pg_connection_fail(&pg->control, text);
}

static void on_ready(struct pg_connection *connection)
{
    struct pg *pg = connection->self;
    if (pg->phase == PG_UP) {
        /* The others went on without it: the server is the one that was checked. */
        pg->control_stage = PG_CONTROL_ON;
        pg->trouble[0] = '\0';
        if (pg->ghost_count > 0)
            fence(pg);
        return;
    }
    pg->control_stage = PG_CONTROL_CHECKING;
    request_send(pg, pg_request_new(pg_server_facts_sql, facts_answer, NULL));
    request_send(pg, pg_request_new(pg_server_identity_sql, identity_answer, NULL));
    request_send(pg, pg_request_new(pg_server_version_sql, version_answer, NULL));
}

static void on_result(struct pg_connection *connection, PGresult *result)
{
    struct pg *pg = connection->self;
    if (list_empty(&pg->requests)) {
        pg_connection_fail(connection, "the server sent a result that nobody asked for");
        return;
    }
    struct pg_request *request = request_of(pg->requests.next);
    if (PQresultStatus(result) == PGRES_PIPELINE_SYNC) {
        if (request->kept && !request->answered)
            request->answer(pg, request, request->kept);
        list_remove(&request->owed.link);
        request_free(request);
    } else if (request->commits && PQresultStatus(result) == PGRES_TUPLES_OK) {
        request->kept = PQcopyResult(result, PG_COPYRES_ATTRS | PG_COPYRES_TUPLES);
        CHECK(request->kept != NULL);
    } else if (!request->answered) {
        request->answered = true;
        request->answer(pg, request, result);
    }
}

static void on_closed(struct pg_connection *connection, bool was_ready, const char *reason)
{
    struct pg *pg = connection->self;
    (void)was_ready;
    pg->control_stage = PG_CONTROL_OFF;
    pg->fencing = false;
    uv_timer_stop(pg->fence_timer);
    PQclear(pg->facts);
    pg->facts = NULL;
    pg_refuse_all(pg, &pg->requests);
    pg_refuse_all(pg, &pg->waiting);
    pg_trouble(pg, reason);
    pg_connection_open(connection);
}

static const struct pg_connection_owner owner = {on_ready, on_result, on_closed};

/* ---- what the runner asks ------------------------------------------------------------------ */

enum db_status pg_status_of(const PGresult *result)
{
    const char *sqlstate = result ? PQresultErrorField(result, PG_DIAG_SQLSTATE) : NULL;
    if (result && PQresultStatus(result) == PGRES_TUPLES_OK) {
        const char *word = PQgetvalue(result, 0, 0);
        return strcmp(word, "committed") == 0     ? DB_STATUS_COMMITTED
               : strcmp(word, "aborted") == 0     ? DB_STATUS_ABORTED
               : strcmp(word, "in progress") == 0 ? DB_STATUS_IN_PROGRESS
                                                  : DB_STATUS_UNKNOWN; /* null: too old */
    }
    /* "transaction ID is in the future": not of this history */
    return sqlstate && strcmp(sqlstate, "22023") == 0 ? DB_STATUS_UNKNOWN : DB_STATUS_ERROR;
}

static void status_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    pg->events.status(pg->events.self, request->tag, pg_status_of(result));
}

void pg_status(void *self, uint64_t xid, void *tag)
{
    struct pg_request *request =
        pg_request_new("select pg_xact_status($1::text::xid8)", status_answer, tag);
    pg_request_value(request, xasprintf("%" PRIu64, xid));
    pg_ask(self, request);
}

static void lookup_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    enum db_found found = DB_FOUND_ERROR;
    const char *kept = NULL;
    bool doubt = pg->control.standby_doubt;
    pg->control.standby_doubt = false;
    if (doubt)
        ; /* what was found may not be at the standby */
    else if (result && PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1) {
        found = strcmp(PQgetvalue(result, 0, 0), "none") == 0 ? DB_FENCED : DB_FOUND;
        kept = PQgetisnull(result, 0, 1) ? NULL : PQgetvalue(result, 0, 1);
    } else if (result && PQresultStatus(result) == PGRES_TUPLES_OK) {
        found = DB_NOT_FOUND;
    }
    pg->events.looked_up(pg->events.self, request->tag, found, kept);
}

/* The row may be that of a commit that has not waited for the disk (io/pg_lane.c): so the look
 * waits for all that a commit waits for, and is answered after that. With a fence, a look that
 * finds nothing leaves a row behind, so that "not committed" stays true: a COMMIT of the same key
 * that comes late, from wherever, then fails on the primary key. It waits for one that is under
 * way. */
static const char exclude_sql[] = "insert into troth.barrier as b (gtrid, kind) values ($1, 'none')"
                                  " on conflict (gtrid) do update set kind = b.kind"
                                  " returning kind, result";
static const char look_sql[] = "select kind, result, pg_logical_emit_message(true, 'troth', '')"
                               " from troth.barrier where gtrid = $1";

void pg_lookup(void *self, const char *gtrid, bool fence, void *tag)
{
    struct pg_request *request = pg_request_new(fence ? exclude_sql : look_sql, lookup_answer, tag);
    request->commits = true;
    pg_request_value(request, xstrdup(gtrid));
    ask_fenced(self, request);
}

/* The sites of prepared branches, by the locks that they hold (io/pg_sites.c). All locks are read
 * once, in one picture, and after the list of what is prepared: a branch that is in the list has
 * its locks, unless it was ended between the two. It is known by the lock on its xid: the
 * documentation of pg_locks calls its virtualtransaction '-1/<xid>', but that is so only after a
 * restart; until then it is the one that it had as a session (MarkAsPreparingGuts in twophase.c of
 * PostgreSQL, since 13.5 and 14.1). It is the same in all its locks, also while they go over from
 * the session to what is prepared, when some have a pid still; and no other transaction has it, as
 * a session counts on. Locks of somebody else of the same class are no list, or make it unknown.
 *
 * The conditions are cases so that the planner takes them for likely ones: from its own idea, a
 * handful of rows, it would compare ten thousand branches with ten thousand locks one by one. */
#define KEPT                                                                                       \
    "l as materialized (select virtualtransaction, transactionid, objid::bigint as id"             \
    "   from pg_locks where (select count(*) from p) > 0 and case when not granted then false"     \
    "     when locktype = 'transactionid' then true when locktype <> 'advisory' then false"        \
    "     else classid = " PG_SITES_LOCK_CLASS " and objsubid = 2 end),"                           \
    " kept as materialized (select unnest(array_agg(l.transactionid)"                              \
    "     filter (where l.transactionid is not null)) as xid,"                                     \
    "   case when min(s.id) = max(s.id) then min(s.sites) else '' end as sites"                    \
    "   from l left join troth.sites s on s.id = l.id"                                             \
    "   group by l.virtualtransaction having min(s.id) is not null)"

/* A branch that was adopted has its list in its participant's row. Another participant of this
 * database, whose own row of the transaction has none, must not take the branch for its own.
 *
 * One row even when nothing is prepared, for what is the same in all. The snapshot is looked at
 * once: it holds every prepared xid, and ten thousand times ten thousand of them took longer than
 * the statement may. */
static const char scan_sql[] =
    "with p as materialized (select gid, transaction, prepared from pg_prepared_xacts"
    "   where case when database = current_database() then true else false end), " KEPT
    " select current_setting('max_prepared_transactions'),"
    " (select pg_snapshot_xmax(pg_current_snapshot())::text), p.gid, p.transaction::text,"
    " (extract(epoch from p.prepared) * 1000000)::bigint::text,"
    " coalesce(nullif(r.sites, ''), kept.sites, case when r.sites = '' then"
    "   (select o.sites from troth.register o where o.gtrid = r.gtrid and o.sites <> '' limit 1)"
    "   end, r.sites)"
    " from (values (1)) one left join p on true left join kept on kept.xid = p.transaction"
    " left join lateral (select r.gtrid, r.sites from troth.register r where r.participant = $1"
    "   and r.gtrid = substring(p.gid from '^troth\\.(.*)\\.[0-9]+$') limit 1) r on true";

uint64_t pg_xid_widen(uint32_t xid, uint64_t next)
{
    return next + (uint64_t)(int64_t)(int32_t)(xid - (uint32_t)next);
}

static void scan_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    if (!result || PQresultStatus(result) != PGRES_TUPLES_OK) {
        pg->events.scanned(pg->events.self, request->tag, false, NULL, 0, 0);
        return;
    }
    int rows = PQntuples(result), count = 0;
    struct db_prepared *prepared = xcalloc((size_t)rows + 1, sizeof(*prepared));
    for (int row = 0; row < rows; row++) {
        if (PQgetisnull(result, row, 2))
            continue;
        uint64_t next = strtoull(PQgetvalue(result, row, 1), NULL, 10);
        uint32_t xid = (uint32_t)strtoul(PQgetvalue(result, row, 3), NULL, 10);
        prepared[count++] = (struct db_prepared){
            .gid = PQgetvalue(result, row, 2),
            .registered = !PQgetisnull(result, row, 5),
            .sites = PQgetisnull(result, row, 5) ? NULL : PQgetvalue(result, row, 5),
            .xid = pg_xid_widen(xid, next),
            .prepared_at_us = strtoll(PQgetvalue(result, row, 4), NULL, 10),
        };
    }
    int slots = rows > 0 ? atoi(PQgetvalue(result, 0, 0)) : 0;
    pg->events.scanned(pg->events.self, request->tag, true, prepared, count, slots);
    free(prepared);
}

void pg_scan(void *self, void *tag)
{
    struct pg_request *request = pg_request_new(scan_sql, scan_answer, tag);
    request->scan = true;
    pg_request_value(request, xstrdup(((struct pg *)self)->participant));
    ask_fenced(self, request);
}

static void cancel_answer(struct pg *pg, struct pg_request *request, const PGresult *result)
{
    (void)result;
    pg_work_cancel_done(pg, request->serial);
}

bool pg_control_cancel(struct pg *pg, uint64_t serial, int backend_pid)
{
    if (!usable(pg))
        return false;
    char name[PG_NAME_BYTES];
    /* By name as well: the pid may belong to another session by now. */
    struct pg_request *request =
        pg_request_new("select pg_cancel_backend(pid) from pg_stat_activity"
                       " where pid = $1::int and application_name = $2",
                       cancel_answer, NULL);
    request->serial = serial;
    pg_request_value(request, xasprintf("%d", backend_pid));
    pg_request_value(request, xstrdup(pg_connection_name(&pg->shared, request->serial, name)));
    request_send(pg, request);
    return true;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* A row that a lookup leaves must be on the disk before it is told, whatever the role's default is.
 * No statement here is worth compiling, though the planner may think so of a scan: that took it a
 * tenth of a second. */
static const char settings[] =
    "select set_config('statement_timeout', '10s', false), set_config('lock_timeout', '5s', false),"
    " set_config('datestyle', 'ISO', false), set_config('standard_conforming_strings', 'on', "
    "false), set_config('default_transaction_isolation', 'read committed', false);"
    "select set_config(name, '0', false) from pg_settings where name = 'idle_session_timeout';"
    "select set_config(name, 'off', false) from pg_settings where name = 'jit';"
    "select set_config(name, 'on', false) from pg_settings"
    "   where name = 'synchronous_commit' and setting = 'off'";

void pg_control_init(struct pg *pg)
{
    list_init(&pg->requests);
    list_init(&pg->waiting);
    pg_connection_init(&pg->control, &pg->shared, &owner, pg, settings);
    pg->fence_timer = xmalloc(sizeof(*pg->fence_timer));
    CHECK(uv_timer_init(pg->shared.uv, pg->fence_timer) == 0);
    pg->fence_timer->data = pg;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_control_fini(struct pg *pg)
{
    pg_connection_fini(&pg->control);
    uv_close((uv_handle_t *)pg->fence_timer, free_handle);
    PQclear(pg->facts);
    pg_refuse_all(pg, &pg->requests);
    pg_refuse_all(pg, &pg->waiting);
    free(pg->ghosts);
}
