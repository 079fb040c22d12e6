/* The port's part for transactions that stay open between requests, and for branches that somebody
 * else has prepared. */
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/backend_private.h"
#include "tests/sim/registers.h"
#include "tests/sim/workload.h"

enum { GRACE_US = 1000 * 1000 }; /* as io/pg_open.c: then the server ends an idle session */

/* ---- whose is which ---- */

/* A tag that does not know yet that what it had open is gone. */
struct gone {
    struct list node; /* database->gone */
    struct backend *backend;
    uint64_t boot;
    void *tag;
};

#define GONE(position) CONTAINER(position, struct gone, node)

static struct gone *find_gone(struct backend *backend, const void *tag)
{
    struct list *list = &backend->database->gone;
    for (struct list *i = list->next; i != list; i = i->next)
        if (GONE(i)->backend == backend && GONE(i)->boot == node_boot(backend->node) &&
            GONE(i)->tag == tag)
            return GONE(i);
    return NULL;
}

static void gone_free(struct gone *gone)
{
    list_remove(&gone->node);
    free(gone);
}

void backend_gone_free(struct database *database)
{
    while (!list_empty(&database->gone))
        gone_free(GONE(database->gone.next));
}

static struct local *find_open(struct backend *backend, const void *tag)
{
    struct list *list = &backend->database->working;
    for (struct list *i = list->next; i != list; i = i->next) {
        struct local *local = CONTAINER(i, struct local, node);
        if (local->owner == tag && local->backend == backend &&
            local->boot == node_boot(backend->node))
            return local;
    }
    return NULL;
}

void backend_open_lost(struct local *local)
{
    if (local->owner && !local->tag && !local->backend->own) {
        struct gone *gone = xcalloc(1, sizeof(*gone));
        *gone = (struct gone){.backend = local->backend, .boot = local->boot, .tag = local->owner};
        list_append(&local->backend->database->gone, &gone->node);
    }
    local->owner = NULL;
}

/* ---- requests ---- */

static void told_gone(struct backend *backend, const struct db_work *work, void *tag)
{
    struct local answer = {.backend = backend,
                           .boot = node_boot(backend->node),
                           .tag = tag,
                           .mode = work->mode,
                           .call_count = work->call_count,
                           .failed = -1};
    backend_worked(&answer, DB_FAILED, "", "database connection lost");
}

static void step_arrives(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)world, (void)data;
    struct database *database = subject;
    struct local *local = database_find(database, id);
    if (!local)
        return;
    /* Its connection may be lost by now: what has arrived is carried out all the same. */
    if (local->mode == DB_ROLLBACK || (!local->tag && local->mode == DB_STEP)) {
        backend_worked(local, DB_FAILED, "", "");
        database_rollback(database, local);
    } else {
        database_advance(database, local);
    }
}

bool backend_open_take(struct backend *backend, const struct db_work *work, void *tag, bool fails)
{
    struct database *database = backend->database;
    struct gone *gone = find_gone(backend, tag);
    struct local *local = find_open(backend, tag);
    bool more = work->mode == DB_ROLLBACK || work->open;
    CHECK(!gone || !local);
    if (!more && !gone && !local)
        return false;
    if (gone)
        gone_free(gone);
    if (local && fails)
        database_rollback(database, local); /* an error in it */
    if (!local || fails) {
        told_gone(backend, work, tag);
        return true;
    }
    database_go_on(database, local, work, tag);
    world_after(database->world, backend_latency(database->world), step_arrives, database,
                local->id, NULL);
    return true;
}

/* The server has done the step; it gives up an idle session when nobody ends the transaction. */
void backend_opened(struct database *database, struct local *local)
{
    void *owner = local->tag;
    if (owner && world_chance(database->world, database->world->weather.work_lost)) {
        backend_worked(local, DB_FAILED, "", "database connection lost");
        owner = NULL;
    }
    if (!owner) { /* its connection is gone */
        database_rollback(database, local);
        return;
    }
    backend_worked(local, DB_OPENED, "", "");
    local->owner = owner;
    local->stage = STAGE_OPEN;
    database_ticket_after(database, local, local->timeout_us + GRACE_US);
}

void backend_open_expired(struct database *database, struct local *local)
{
    world_note(database->world, 8, "db%d ends the idle session of %s", database->index,
               local->gtrid);
    backend_open_lost(local);
    database_rollback(database, local);
}

/* ---- adoption ---- */

struct claim {
    struct question question;
    uint64_t xid;
    bool three_phase;
    struct db_register row;
    gtrid_text gtrid;
    char sites[];
};

static void adopted_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says adoption %d of %s",
               ((struct node *)subject)->index, question->result, question->gid);
    const struct db_events *events = backend_events(subject);
    events->adopted(events->self, question->tag, (enum db_adopted)question->result,
                    question->result == DB_ADOPTED ? "" : "as the model says");
}

static enum db_adopted adopt(struct world *world, struct database *database,
                             const struct claim *claim)
{
    struct local *local = database_find_prepared(database, claim->question.gid);
    if (!local || local->xid != claim->xid)
        return DB_ADOPT_MISSING;
    if (local->foreign)
        return DB_ADOPT_FOREIGN;
    if (!claim->three_phase)
        return DB_ADOPTED;
    if (!register_table_store(&database->registers, &claim->row, NULL, world->now_us))
        return DB_ADOPT_FENCED;
    database_flushed(database);
    local->three_phase = true;
    registers_begun(world->registers, claim->gtrid, 0);
    registers_prepared(world->registers, database->index, claim->gtrid, claim->sites);
    return DB_ADOPTED;
}

static void adoption_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct claim *claim = data;
    struct question *question = &claim->question;
    bool answers = backend_can_answer(world, question);
    /* What it stored may be there though the answer is lost. */
    bool done = answers || (question->backend->database->up && world_chance(world, PPM / 2));
    enum db_adopted adopted = done ? adopt(world, subject, claim) : DB_ADOPT_ERROR;
    question->result = (int)(answers ? adopted : DB_ADOPT_ERROR);
    backend_answer(question->backend, question->boot, adopted_arrives,
                   backend_question_again(question));
}

void backend_adopt(void *self, const char *gid, uint64_t xid, const struct db_register *row,
                   void *tag)
{
    struct backend *backend = self;
    struct world *world = backend->database->world;
    size_t size = row ? strlen(row->sites) + 1 : 1;
    if (!node_effect(backend->node))
        return;
    world_note(world, xid, "db%d adopt %s?", backend->database->index, gid);
    struct claim *claim = xcalloc(1, sizeof(*claim) + size);
    struct question *question = backend_question(backend, tag);
    claim->question = *question;
    free(question);
    CHECK(strlen(gid) < sizeof(claim->question.gid));
    strcpy(claim->question.gid, gid);
    claim->xid = xid;
    if (row) {
        claim->three_phase = true;
        claim->row = *row;
        strcpy(claim->gtrid, row->gtrid);
        strcpy(claim->sites, row->sites);
        claim->row.gtrid = claim->gtrid;
        claim->row.sites = claim->sites;
    }
    world_after(world, backend_latency(world), adoption_asked, backend->database, 0, claim);
}
