/* The database port over the model: calls go to the server after a while, answers come back after a
 * while, and connections are lost at every point between. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "participant/agent.h"
#include "tests/sim/backend_private.h"
#include "tests/sim/order_book.h"
#include "tests/sim/own_connection.h"
#include "tests/sim/registers.h"
#include "tests/sim/workload.h"

/* ---- answers to the agent ---- */

enum { SITES_BYTES = 256 }; /* a list of all participants, at most */

struct worked {
    void *tag;
    enum db_outcome outcome;
    bool duplicate;
    uint64_t xid;
    int failed, call_count;
    char sqlstate[6];
    char reason[64];
    char results[BRANCH_CALLS][RESULT_BYTES];
};

struct found {
    gid_text gid;
    bool registered;
    char sites[SITES_BYTES]; /* "": not known, or of two phases */
    uint64_t xid;
    int64_t at_us;
};

struct scanned {
    void *tag;
    bool ok;
    int count;
    struct found found[];
};

const struct db_events *backend_events(void *agent_node)
{
    const struct node *node = agent_node;
    return agent_db_events(node->process);
}

uint64_t backend_latency(struct world *world)
{
    return world_latency(world, 2 * MILLISECOND_US);
}

void backend_answer(struct backend *backend, uint64_t boot, event_function *run, void *data)
{
    struct world *world = backend->database->world;
    world_deliver(world, backend_latency(world), backend->node, boot, run, backend->node, 0, data);
}

static void worked_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct worked *worked = data;
    const char *results[BRANCH_CALLS] = {0};
    for (int i = 0; i < worked->call_count; i++)
        results[i] = worked->results[i][0] ? worked->results[i] : NULL;
    struct db_worked told = {.outcome = worked->outcome,
                             .duplicate = worked->duplicate,
                             .xid = worked->xid,
                             .failed_statement = worked->failed,
                             .sqlstate = worked->sqlstate,
                             .reason = worked->reason,
                             .detail = "",
                             .results = results};
    world_note(world, worked->outcome, "db%d says outcome %d %s", ((struct node *)subject)->index,
               (int)worked->outcome, worked->reason);
    const struct db_events *events = backend_events(subject);
    events->worked(events->self, worked->tag, &told);
}

static void tell_worked(struct backend *backend, uint64_t boot, const struct worked *worked)
{
    struct worked *copy = xmalloc(sizeof(*copy));
    *copy = *worked;
    backend_answer(backend, boot, worked_arrives, copy);
}

void backend_worked(struct local *local, enum db_outcome outcome, const char *sqlstate,
                    const char *reason)
{
    if (!local->tag)
        return;
    struct worked worked = {.tag = local->tag,
                            .outcome = outcome,
                            .duplicate = local->duplicate,
                            .xid = local->xid,
                            .failed = local->failed < 0 ? -1 : local->failed - local->first,
                            .call_count = local->call_count};
    /* Only of an end it is not known whether it was carried out. */
    if (outcome == DB_LOST && (local->mode == DB_STEP || local->mode == DB_ROLLBACK))
        worked.outcome = DB_FAILED;
    if (local->backend->own) {
        own_connection_worked(local, worked.outcome, reason);
        local->tag = NULL;
        return;
    }
    if (outcome == DB_PREPARED && local->failed >= 0)
        reason = local->effects[local->failed].otherwise;
    snprintf(worked.sqlstate, sizeof(worked.sqlstate), "%s", sqlstate);
    snprintf(worked.reason, sizeof(worked.reason), "%s", reason);
    memcpy(worked.results, local->results, sizeof(worked.results));
    tell_worked(local->backend, local->boot, &worked);
    local->tag = NULL;
}

static void up_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number, (void)data;
    const struct db_events *events = backend_events(subject);
    char database[24];
    snprintf(database, sizeof(database), "7/%d", ((struct node *)subject)->index);
    events->up(events->self, database);
}

static void down_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number;
    const struct db_events *events = backend_events(subject);
    events->down(events->self, data);
}

void backend_up(struct backend *backend)
{
    world_deliver(backend->database->world, 3 * MILLISECOND_US, backend->node,
                  backend->connected_boot, up_arrives, backend->node, 0, NULL);
}

void backend_down(struct backend *backend, const char *reason)
{
    struct world *world = backend->database->world;
    world_deliver(world, backend_latency(world), backend->node, node_boot(backend->node),
                  down_arrives, backend->node, 0, xstrdup(reason));
}

static void finished_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says finish %d of %s",
               ((struct node *)subject)->index, question->result, question->gid);
    const struct db_events *events = backend_events(subject);
    events->finished(events->self, question->tag, (enum db_finish)question->result,
                     question->result == DB_UNFINISHED ? "connection lost" : "");
}

static void status_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says xid %llu is %d",
               ((struct node *)subject)->index, (unsigned long long)question->xid,
               question->result);
    const struct db_events *events = backend_events(subject);
    events->status(events->self, question->tag, (enum db_status)question->result);
}

static void looked_up_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says lookup %d of %s",
               ((struct node *)subject)->index, question->result, question->gid);
    const struct db_events *events = backend_events(subject);
    events->looked_up(events->self, question->tag, (enum db_found)question->result,
                      question->kept[0] ? question->kept : NULL);
}

static void scanned_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct scanned *scanned = data;
    struct db_prepared *rows = xcalloc((size_t)scanned->count, sizeof(*rows));
    for (int i = 0; i < scanned->count; i++)
        rows[i] = (struct db_prepared){.gid = scanned->found[i].gid,
                                       .registered = scanned->found[i].registered,
                                       .sites = scanned->found[i].sites,
                                       .xid = scanned->found[i].xid,
                                       .prepared_at_us = scanned->found[i].at_us};
    world_note(world, (uint64_t)scanned->count, "db%d says %d prepared%s",
               ((struct node *)subject)->index, scanned->count, scanned->ok ? "" : " (failed)");
    const struct db_events *events = backend_events(subject);
    events->scanned(events->self, scanned->tag, scanned->ok, scanned->ok ? rows : NULL,
                    scanned->count, 64);
    free(rows);
}

bool backend_connected(const struct backend *backend, uint64_t boot)
{
    return backend->database->up && backend->connected_boot == boot;
}

struct question *backend_question(struct backend *backend, void *tag)
{
    struct question *question = xcalloc(1, sizeof(*question));
    question->backend = backend;
    question->tag = tag;
    question->boot = node_boot(backend->node);
    question->generation = backend->database->generation;
    return question;
}

struct question *backend_question_again(const struct question *question)
{
    struct question *copy = xmalloc(sizeof(*copy));
    *copy = *question;
    return copy;
}

bool backend_can_answer(struct world *world, const struct question *question)
{
    return backend_connected(question->backend, question->boot) &&
           !world_chance(world, world->weather.ask_error);
}

/* ---- work ---- */

/* The connection breaks while the work runs: the agent hears LOST, the server goes on or not. */
static void work_drops(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)data;
    struct database *database = subject;
    struct local *local = database_find(database, id);
    if (!local || (!local->tag && !local->owner))
        return;
    backend_open_lost(local);
    world_note(world, 4, "db%d loses the connection of %s", database->index, local->gtrid);
    backend_worked(local, DB_LOST, "08006", "connection lost");
    if (world_chance(world, PPM / 2))
        database_rollback(database, local);
}

static void work_starts(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)world, (void)data;
    struct database *database = subject;
    struct local *local = database_find(database, id);
    if (local)
        database_advance(database, local);
}

static void check_room(const struct backend *backend)
{
    const struct database *database = backend->database;
    int running = 0;
    for (struct list *i = database->working.next; i != &database->working; i = i->next)
        running += (LOCAL(i)->tag || LOCAL(i)->owner) && LOCAL(i)->backend == backend;
    if (running > database->connections)
        world_violation(database->world, "%s runs %d pieces of work on %d connections",
                        backend->node->name, running, database->connections);
}

static void port_work(void *self, const struct db_work *work, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    struct world *world = database->world;
    if (!node_effect(backend->node))
        return;
    uint64_t boot = node_boot(backend->node);
    const char *name = work->mode == DB_PREPARE ? work->gid : work->gtrid;
    bool fails = world_chance(world, world->weather.work_error);
    world_note(world, (uint64_t)work->mode, "db%d work %d %s, %d statements%s", database->index,
               (int)work->mode, name ? name : "", work->statement_count, fails ? ", fails" : "");
    if (backend_open_take(backend, work, tag, fails || !backend_connected(backend, boot)))
        return;
    if (work->mode != DB_READ_ONLY && !work->keeps_result)
        workload_gid_used(world, work->mode == DB_STEP ? work->gid : name);
    if (fails || !backend_connected(backend, boot)) {
        struct worked worked = {
            .tag = tag, .outcome = DB_FAILED, .failed = -1, .call_count = work->call_count};
        snprintf(worked.sqlstate, sizeof(worked.sqlstate), "%s", fails ? "53200" : "");
        snprintf(worked.reason, sizeof(worked.reason), "%s",
                 fails ? "out of memory" : "database is down");
        tell_worked(backend, boot, &worked);
        return;
    }
    struct local *local = database_begin(backend, work, tag);
    check_room(backend);
    world_after(world, world_latency(world, MILLISECOND_US), work_starts, database, local->id,
                NULL);
    if (world_chance(world, world->weather.work_lost))
        world_after(world, 1000 + world_latency(world, 50 * MILLISECOND_US), work_drops, database,
                    local->id, NULL);
}

static void cancel_arrives(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)data;
    struct database *database = subject;
    struct local *local = database_find(database, id);
    /* It may come too late for what is being ended already. */
    if (!local || local->stage == STAGE_OPEN ||
        (local->stage == STAGE_ENDING && world_chance(world, PPM / 2)))
        return;
    backend_worked(local, DB_FAILED, "57014", "canceling statement due to user request");
    database_rollback(database, local);
}

static void port_cancel(void *self, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    const struct local *local = database_find_tag(backend, tag);
    world_note(database->world, 5, "db%d cancel %s", database->index, local ? local->gtrid : "");
    if (local)
        world_after(database->world, world_latency(database->world, 5 * MILLISECOND_US),
                    cancel_arrives, database, local->id, NULL);
}

/* ---- finish ---- */

void backend_finish(struct database *database, struct local *local, bool commit)
{
    if (local->three_phase)
        registers_finishing(database->world->registers, database->index, local->gtrid, commit);
    else
        order_book_finishing(database->world, database->index, local->gid, commit);
    database_finish(database, local, commit);
}

static int carry_out_finish(struct database *database, const struct question *question)
{
    struct local *local = database_find_prepared(database, question->gid);
    if (!local)
        return DB_MISSING;
    backend_finish(database, local, question->commit);
    return DB_FINISHED;
}

static void finish_late(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)world, (void)number;
    struct database *database = subject;
    const struct question *question = data;
    if (database->up && database->generation == question->generation)
        carry_out_finish(database, question);
}

static void finish_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    struct question *question = data;
    question->result = DB_UNFINISHED;
    if (!backend_connected(question->backend, question->boot)) {
        /* The statement may have left before the connection broke. */
        if (database->up && database->generation == question->generation &&
            world_chance(world, PPM / 4))
            carry_out_finish(database, question);
    } else if (world_chance(world, world->weather.finish_unknown)) {
        if (world_chance(world, world->weather.late_effect))
            world_after(world, world_latency(world, 2 * SECOND_US), finish_late, database, 0,
                        backend_question_again(question));
        else if (world_chance(world, PPM / 2))
            carry_out_finish(database, question);
    } else {
        question->result = carry_out_finish(database, question);
    }
    backend_answer(question->backend, question->boot, finished_arrives,
                   backend_question_again(question));
}

static void port_finish(void *self, const char *gid, bool commit, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    struct world *world = database->world;
    if (!node_effect(backend->node))
        return;
    world_note(world, commit, "db%d %s %s", database->index,
               commit ? "COMMIT PREPARED" : "ROLLBACK PREPARED", gid);
    struct question *question = backend_question(backend, tag);
    snprintf(question->gid, sizeof(question->gid), "%s", gid);
    question->commit = commit;
    world_after(world, 20 + world_latency(world, world->weather.work_max_us), finish_arrives,
                database, 0, question);
}

/* ---- questions ---- */

static void status_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    struct question *question = data;
    question->result = backend_can_answer(world, question)
                           ? (int)database_xid_status(database, question->xid)
                           : DB_STATUS_ERROR;
    backend_answer(question->backend, question->boot, status_arrives,
                   backend_question_again(question));
}

static void port_status(void *self, uint64_t xid, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    world_note(database->world, xid, "db%d status of xid %llu?", database->index,
               (unsigned long long)xid);
    struct question *question = backend_question(backend, tag);
    question->xid = xid;
    world_after(database->world, backend_latency(database->world), status_asked, database, 0,
                question);
}

static void lookup_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    struct question *question = data;
    question->result = DB_FOUND_ERROR;
    if (backend_can_answer(world, question)) {
        database_fence(database, question->gid);
        const struct barrier *row = database_look_up(database, question->gid, question->fence);
        question->result = !row ? DB_NOT_FOUND : row->committed ? DB_FOUND : DB_FENCED;
        snprintf(question->kept, sizeof(question->kept), "%s",
                 row && row->result ? row->result : "");
    }
    backend_answer(question->backend, question->boot, looked_up_arrives,
                   backend_question_again(question));
}

static void port_lookup(void *self, const char *gtrid, bool fence, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    world_note(database->world, 6, "db%d lookup %s%s?", database->index, gtrid,
               fence ? "" : " without a fence");
    struct question *question = backend_question(backend, tag);
    question->fence = fence;
    CHECK(strlen(gtrid) < sizeof(question->gid));
    snprintf(question->gid, sizeof(question->gid), "%s", gtrid);
    world_after(database->world, backend_latency(database->world), lookup_asked, database, 0,
                question);
}

static void find(const struct database *database, const struct local *local, struct found *found)
{
    const struct row *row =
        local->foreign ? NULL : register_table_find(&database->registers, local->gtrid);
    const char *list = local->sites;
    if (PLANTED(LIST_OF_ANOTHER) && list)
        list = register_table_other_list(&database->registers, list);
    const char *sites = row && row->sites[0] ? row->sites : list ? list : "";
    *found = (struct found){
        .registered = row || list, .xid = local->xid, .at_us = local->prepared_at_us};
    strcpy(found->gid, local->gid);
    CHECK(strlen(sites) < sizeof(found->sites));
    strcpy(found->sites, sites);
}

static void scan_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    const struct question *question = data;
    bool ok = backend_can_answer(world, question);
    int count = 0;
    for (struct list *i = database->prepared.next; ok && i != &database->prepared; i = i->next)
        count++;
    struct scanned *scanned = xcalloc(1, sizeof(*scanned) + (size_t)count * sizeof(struct found));
    *scanned = (struct scanned){.tag = question->tag, .ok = ok, .count = count};
    struct list *at = database->prepared.next;
    for (int i = 0; i < count; i++, at = at->next)
        find(database, LOCAL(at), &scanned->found[i]);
    backend_answer(question->backend, question->boot, scanned_arrives, scanned);
}

static void port_scan(void *self, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    world_note(database->world, 7, "db%d scan?", database->index);
    world_after(database->world, backend_latency(database->world), scan_asked, database, 0,
                backend_question(backend, tag));
}

struct db_port backend_port(struct backend *backend)
{
    return (struct db_port){.self = backend,
                            .work = port_work,
                            .cancel = port_cancel,
                            .adopt = backend_adopt,
                            .finish = port_finish,
                            .status = port_status,
                            .lookup = port_lookup,
                            .scan = port_scan,
                            .clean = backend_clean,
                            .register_load = backend_register_load,
                            .register_store = backend_register_store,
                            .register_commit = backend_register_commit,
                            .register_settle = backend_register_settle,
                            .inspect = backend_inspect,
                            .heuristic_store = backend_heuristic_store,
                            .heuristics_load = backend_heuristics_load,
                            .heuristics_forget = backend_heuristics_forget};
}
