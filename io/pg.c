/* The database port as a whole: when it is up, when it is down, and the answers given later. */
#include "io/pg.h"

#include <ctype.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/map.h"
#include "io/pg_inspect.h"
#include "io/pg_pool.h"

/* ---- answers given later -------------------------------------------------------------------- */

void pg_refuse_all(struct pg *pg, struct list *list)
{
    struct list now;
    list_init(&now);
    while (!list_empty(list)) {
        struct list *link = list->next;
        list_remove(link);
        list_append(&now, link);
    }
    while (!list_empty(&now)) {
        struct pg_owed *owed = CONTAINER(now.next, struct pg_owed, link);
        owed->refuse(pg, owed);
    }
}

static void on_later(uv_idle_t *handle)
{
    struct pg *pg = handle->data;
    pg_refuse_all(pg, &pg->later);
    if (list_empty(&pg->later))
        uv_idle_stop(handle);
}

void pg_later(struct pg *pg, struct pg_owed *owed)
{
    list_append(&pg->later, &owed->link);
    CHECK(uv_idle_start(pg->later_handle, on_later) == 0);
}

/* ---- up and down ----------------------------------------------------------------------------- */

static int workers_ready(const struct pg *pg)
{
    int ready = 0;
    for (int i = 0; i < pg->worker_count; i++)
        ready += pg_connection_ready(&pg->workers[i].connection);
    return ready;
}

static int finishers_ready(const struct pg *pg)
{
    int ready = 0;
    for (int i = 0; i < pg->finisher_count; i++)
        ready += pg_connection_ready(&pg->finishers[i].connection);
    return ready;
}

/* Opens whatever is closed; a connection that waits for its next try is left alone. */
static void open_all(struct pg *pg)
{
    for (int i = 0; i < pg->worker_count; i++)
        pg_connection_open(&pg->workers[i].connection);
    for (int i = 0; i < pg->finisher_count; i++)
        pg_connection_open(&pg->finishers[i].connection);
    pg_registers_open(pg);
    pg_accepting_open(pg);
    pg_lanes_open(pg);
}

static void close_all(struct pg *pg)
{
    for (int i = 0; i < pg->worker_count; i++)
        if (pg->workers[i].connection.state != PG_CONNECTION_READY)
            pg_connection_close(&pg->workers[i].connection);
    for (int i = 0; i < pg->finisher_count; i++)
        if (pg->finishers[i].connection.state != PG_CONNECTION_READY)
            pg_connection_close(&pg->finishers[i].connection);
    pg_registers_close(pg);
    pg_accepting_close(pg);
    pg_lanes_close(pg);
}

static void come_up(struct pg *pg)
{
    pg->phase = PG_UP;
    if (pg->pool)
        pg_pool_up(pg->pool, true);
    pg->told_down = false;
    pg->trouble[0] = '\0';
    host_log(pg->shared.host, LOG_INFO, "database: up, PostgreSQL %s, database %s",
             PQparameterStatus(pg->control.handle, "server_version"), PQdb(pg->control.handle));
    pg->events.up(pg->events.self, pg->identity);
}

static void tell_down(struct pg *pg)
{
    if (pg->told_down)
        return;
    pg->told_down = true;
    pg->events.down(pg->events.self, pg->trouble);
}

/* What is wrong now is what an operator has to mend: a server that came back without
 * max_prepared_transactions is not one that is away. */
static bool is_news(struct pg *pg, const char *reason)
{
    if (strcmp(pg->trouble, reason) == 0)
        return false;
    pg->told_down = false;
    snprintf(pg->trouble, sizeof(pg->trouble), "%s", reason);
    return true;
}

static void go_down(struct pg *pg)
{
    pg->phase = PG_DOWN;
    /* Only the control connection tries from now on; the others follow the next fence. */
    close_all(pg);
    tell_down(pg);
    pg_work_refuse_queued(pg);
    if (pg->pool)
        pg_pool_up(pg->pool, false);
}

void pg_trouble(struct pg *pg, const char *reason)
{
    if (is_news(pg, reason))
        host_log(pg->shared.host, LOG_WARNING, "database: %s", reason);
    if (pg->phase != PG_UP || workers_ready(pg) + finishers_ready(pg) == 0)
        go_down(pg);
}

void pg_not_opened(struct pg *pg, bool was_ready, const char *reason)
{
    if (was_ready || pg->control_stage != PG_CONTROL_ON)
        return;
    if (pg->phase == PG_OPENING) { /* it waits for this connection, or may as well */
        (void)is_news(pg, reason);
        tell_down(pg);
    }
    if (strcmp(pg->elsewhere, reason) == 0)
        return;
    snprintf(pg->elsewhere, sizeof(pg->elsewhere), "%s", reason);
    host_log(pg->shared.host, LOG_WARNING,
             "database: %d of %d connections for work, %d of %d for finishing and %d of %d for"
             " registers are open: %s",
             workers_ready(pg), pg->worker_count, finishers_ready(pg), pg->finisher_count,
             pg_registers_ready(pg) + pg_batch_ready(&pg->accepting),
             pg_registers_wanted(pg) + pg->accepting.wanted, reason);
}

void pg_control_is_on(struct pg *pg)
{
    if (pg->phase == PG_DOWN) {
        pg->phase = PG_OPENING;
        /* Another server may answer now, where types have other OIDs, and lists other numbers. */
        pg_statements_forget_types(&pg->statements);
        pg_sites_forget(pg);
    }
    open_all(pg);
    pg_review(pg);
}

void pg_review(struct pg *pg)
{
    bool on = pg->control_stage == PG_CONTROL_ON && pg_connection_ready(&pg->control);
    int workers = workers_ready(pg), finishers = finishers_ready(pg);
    if (pg->phase == PG_UP && !on && workers + finishers == 0)
        go_down(pg);
    if (pg->phase == PG_DOWN)
        return;
    open_all(pg);
    bool registers = pg_registers_ready(pg) == pg_registers_wanted(pg);
    if (workers == pg->worker_count && finishers == pg->finisher_count && registers)
        pg->elsewhere[0] = '\0';
    if (pg->phase == PG_OPENING && on && (workers > 0 || pg->pool) && finishers > 0 && registers)
        come_up(pg);
}

bool pg_gid_valid(const char *gid)
{
    size_t size = gid ? strlen(gid) : 0;
    if (size == 0 || size > LIMIT_GID_BYTES)
        return false;
    for (const char *at = gid; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("_.-", *at))
            return false;
    return true;
}

/* ---- life ------------------------------------------------------------------------------------ */

/* Stand for the runner before it is bound and while everything is taken apart. */
static void no_up(void *self, const char *database)
{
    (void)self, (void)database;
}

static void no_down(void *self, const char *reason)
{
    (void)self, (void)reason;
}

static void no_worked(void *self, void *tag, const struct db_worked *worked)
{
    (void)self, (void)tag, (void)worked;
}

static void no_adopted(void *self, void *tag, enum db_adopted adopted, const char *reason)
{
    (void)self, (void)tag, (void)adopted, (void)reason;
}

static void no_finished(void *self, void *tag, enum db_finish result, const char *reason)
{
    (void)self, (void)tag, (void)result, (void)reason;
}

static void no_status(void *self, void *tag, enum db_status status)
{
    (void)self, (void)tag, (void)status;
}

static void no_looked_up(void *self, void *tag, enum db_found found, const char *result)
{
    (void)self, (void)tag, (void)found, (void)result;
}

static void no_scanned(void *self, void *tag, bool ok, const struct db_prepared *prepared,
                       int count, int slots)
{
    (void)self, (void)tag, (void)ok, (void)prepared, (void)count, (void)slots;
}

static void no_loaded(void *self, void *tag, enum db_found found, const struct db_register *row)
{
    (void)self, (void)tag, (void)found, (void)row;
}

static void no_stored(void *self, void *tag, enum db_stored stored)
{
    (void)self, (void)tag, (void)stored;
}

static void no_committed(void *self, void *tag, enum db_accepted accepted)
{
    (void)self, (void)tag, (void)accepted;
}

static void no_inspected(void *self, void *tag, const struct db_inspected *inspected)
{
    (void)self, (void)tag, (void)inspected;
}

static void no_heuristics(void *self, void *tag, bool ok, const struct db_heuristic *rows,
                          int count)
{
    (void)self, (void)tag, (void)ok, (void)rows, (void)count;
}

static const struct db_events nobody = {.up = no_up,
                                        .down = no_down,
                                        .worked = no_worked,
                                        .adopted = no_adopted,
                                        .finished = no_finished,
                                        .status = no_status,
                                        .looked_up = no_looked_up,
                                        .register_loaded = no_loaded,
                                        .register_stored = no_stored,
                                        .register_committed = no_committed,
                                        .inspected = no_inspected,
                                        .heuristic_stored = no_stored,
                                        .heuristics_loaded = no_heuristics,
                                        .scanned = no_scanned};

/* application_name: troth:<cluster>:<participant>:<boot>:<serial> within PostgreSQL's 63 bytes.
 * Long names are told apart by a hash; '#' is in no name, so that nothing is mistaken for another.
 */
static void names_init(struct pg *pg, const struct pg_config *config)
{
    enum { NAMES_MAX = 63 - 13 - 10 }; /* the boot with its colon, and a serial */
    uint64_t boot;
    pg->shared.host->random(pg->shared.host->self, &boot, sizeof(boot));
    pg->older = xasprintf("troth:%s:%s:", config->cluster, config->participant);
    if (strlen(pg->older) > NAMES_MAX) {
        uint64_t hash = hash_bytes(pg->older, strlen(pg->older));
        free(pg->older);
        pg->older = xasprintf("troth:#%016" PRIx64 ":", hash);
    }
    pg->shared.name = xasprintf("%s%012" PRIx64 ":", pg->older, boot & 0xffffffffffff);
}

struct pg *pg_new(struct loop *loop, const struct pg_config *config)
{
    struct pg *pg = xcalloc(1, sizeof(*pg));
    pg->shared.uv = loop_uv(loop);
    pg->shared.host = loop_host(loop);
    pg->shared.conninfo = xstrdup(config->conninfo);
    pg->cluster = xstrdup(config->cluster);
    pg->participant = xstrdup(config->participant);
    names_init(pg, config);
    pg->port = (struct db_port){.self = pg,
                                .work = pg_work,
                                .cancel = pg_cancel,
                                .adopt = pg_adopt,
                                .finish = pg_finish,
                                .status = pg_status,
                                .lookup = pg_lookup,
                                .scan = pg_scan,
                                .clean = pg_clean,
                                .register_load = pg_register_load,
                                .register_store = pg_register_store,
                                .register_commit = pg_register_commit,
                                .register_settle = pg_register_settle,
                                .inspect = pg_inspect,
                                .heuristic_store = pg_heuristic_store,
                                .heuristics_load = pg_heuristics_load,
                                .heuristics_forget = pg_heuristics_forget};
    pg->events = nobody;
    list_init(&pg->later);
    list_init(&pg->sites_used);
    pg_statements_init(&pg->statements);
    pg->later_handle = xmalloc(sizeof(*pg->later_handle));
    CHECK(uv_idle_init(pg->shared.uv, pg->later_handle) == 0);
    pg->later_handle->data = pg;
    CHECK(config->connections > 0);
    /* Each waits for its own flush, so they are what the server's group commit gathers: with half
     * as many as workers PREPAREs and COMMITs keep pace, with a quarter a third less gets through.
     */
    int finishers = config->connections / 2;
    pg_workers_init(pg, config->handlers ? 0 : config->connections, config->lock_timeout_us);
    pg->pool = config->handlers ? pg_pool_new(pg, config) : NULL;
    pg_finishers_init(pg, finishers > 2 ? finishers : 2);
    pg_lanes_init(pg);
    pg_registers_init(pg, config->three_phase);
    pg_accepting_init(pg);
    pg_inspector_init(pg);
    pg_control_init(pg);
    pg_connection_open(&pg->control);
    return pg;
}

void pg_bind(struct pg *pg, const struct db_events *events)
{
    pg->events = *events;
}

const struct db_port *pg_port(struct pg *pg)
{
    return &pg->port;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void pg_free(struct pg *pg)
{
    pg->events = nobody;
    pg->phase = PG_DOWN; /* so that nothing that is answered now starts anything */
    pg_pool_free(pg->pool);
    pg->pool = NULL;
    pg_refuse_all(pg, &pg->later);
    pg_inspector_fini(pg);
    pg_control_fini(pg);
    pg_workers_fini(pg);
    pg_lanes_fini(pg);
    pg_finishers_fini(pg);
    pg_registers_fini(pg);
    pg_accepting_fini(pg);
    pg_sites_forget(pg);
    map_fini(&pg->sites);
    pg_statements_fini(&pg->statements);
    uv_close((uv_handle_t *)pg->later_handle, free_handle);
    free(pg->shared.conninfo);
    free(pg->shared.name);
    free(pg->older);
    free(pg->cluster);
    free(pg->participant);
    free(pg);
}
