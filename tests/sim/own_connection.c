#include "tests/sim/own_connection.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "participant/work.h"
#include "tests/sim/backend_private.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"

struct own_connection *own_connection_new(struct database *database, struct node *node,
                                          const char *gid)
{
    struct own_connection *own = xcalloc(1, sizeof(*own));
    own->backend = (struct backend){.database = database, .node = node, .own = own};
    own->boot = node_boot(node);
    CHECK(strlen(gid) < sizeof(own->gid));
    strcpy(own->gid, gid);
    own->next = database->own_connections;
    database->own_connections = own;
    return own;
}

void own_connections_free(struct database *database)
{
    while (database->own_connections) {
        struct own_connection *own = database->own_connections;
        database->own_connections = own->next;
        free(own);
    }
}

/* ---- what it is told ---- */

struct answer {
    enum db_outcome outcome;
    char reason[64];
};

static void answer_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct own_connection *own = subject;
    const struct answer *answer = data;
    world_note(world, answer->outcome, "%s hears of %s: outcome %d %s", own->backend.node->name,
               own->gid, (int)answer->outcome, answer->reason);
    own->told(own, answer->outcome, answer->reason);
}

static void tell(struct own_connection *own, enum db_outcome outcome, const char *reason)
{
    struct world *world = own->backend.database->world;
    struct answer *answer = xcalloc(1, sizeof(*answer));
    answer->outcome = outcome;
    snprintf(answer->reason, sizeof(answer->reason), "%s", reason);
    world_deliver(world, backend_latency(world), own->backend.node, own->boot, answer_arrives, own,
                  0, answer);
}

void own_connection_worked(struct local *local, enum db_outcome outcome, const char *reason)
{
    struct own_connection *own = local->backend->own;
    own->xid = local->xid;
    tell(own, outcome, reason);
}

/* ---- what it asks for ---- */

static struct local *find_local(struct own_connection *own)
{
    struct list *list = &own->backend.database->working;
    for (struct list *i = list->next; i != list; i = i->next)
        if (LOCAL(i)->backend == &own->backend)
            return LOCAL(i);
    return NULL;
}

static void request_arrives(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)world, (void)data;
    struct local *local = database_find(subject, id);
    if (local)
        database_advance(subject, local);
}

/* The connection breaks; what it carried goes on unseen, or ends. */
static void breaks(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)data;
    struct local *local = database_find(subject, id);
    if (!local || (!local->tag && !local->owner))
        return;
    world_note(world, 16, "the connection of %s at %s breaks", local->gid, local->gtrid);
    backend_open_lost(local);
    backend_worked(local, DB_LOST, "08006", "connection lost");
    if (local->mode != DB_PREPARE || world_chance(world, PPM / 2))
        database_rollback(subject, local);
}

static void request(struct own_connection *own, const struct db_work *work)
{
    struct database *database = own->backend.database;
    struct world *world = database->world;
    struct local *local = find_local(own);
    bool fails = !database->up || world_chance(world, world->weather.work_error);
    world_note(world, work->mode, "%s asks db%d for %s, mode %d%s", own->backend.node->name,
               database->index, own->gid, (int)work->mode, fails ? ", fails" : "");
    if (local && fails)
        database_rollback(database, local);
    if (fails || (work->open && !local)) {
        tell(own, DB_FAILED, fails ? "out of memory" : "the connection was lost");
        return;
    }
    if (local)
        database_go_on(database, local, work, own);
    else
        local = database_begin(&own->backend, work, own);
    world_after(world, backend_latency(world), request_arrives, database, local->id, NULL);
    if (world_chance(world, world->weather.work_lost))
        world_after(world, 500 + world_latency(world, 50 * MILLISECOND_US), breaks, database,
                    local->id, NULL);
}

bool own_connection_work(struct own_connection *own, Wire__Call *call, uint64_t timeout_us)
{
    struct work_refusal refusal;
    struct gid id;
    if (!node_effect(own->backend.node))
        return true;
    CHECK(gid_parse(own->gid, &id));
    struct work *work = work_new_step(bank_operations(), call, &id, own->gid, &refusal);
    if (!work)
        return false;
    work->request.open = own->begun;
    own->begun = true;
    work->request.timeout_us = timeout_us;
    request(own, &work->request);
    work_free(work);
    return true;
}

void own_connection_prepare(struct own_connection *own)
{
    struct db_work work = {.mode = DB_PREPARE, .open = true, .gid = own->gid};
    if (node_effect(own->backend.node))
        request(own, &work);
}

static void rollback_arrives(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)world, (void)data;
    struct local *local = database_find(subject, id);
    if (local && !local->tag)
        database_rollback(subject, local);
}

void own_connection_rollback(struct own_connection *own)
{
    struct database *database = own->backend.database;
    struct local *local = find_local(own);
    if (!node_effect(own->backend.node) || !local)
        return;
    local->owner = NULL;
    world_after(database->world, backend_latency(database->world), rollback_arrives, database,
                local->id, NULL);
}

static void undo_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number, (void)data;
    struct own_connection *own = subject;
    struct database *database = own->backend.database;
    struct local *local = database->up ? database_find_prepared(database, own->gid) : NULL;
    if (!local)
        return;
    world_note(world, 17, "%s undoes %s", own->backend.node->name, own->gid);
    if (local->three_phase)
        registers_finishing(world->registers, database->index, local->gtrid, false);
    else
        order_book_finishing(world, database->index, local->gid, false);
    database_finish(database, local, false);
}

void own_connection_undo(struct own_connection *own)
{
    struct world *world = own->backend.database->world;
    if (node_effect(own->backend.node))
        world_after(world, backend_latency(world), undo_arrives, own, 0, NULL);
}

static void part_with(struct database *database, struct local *local)
{
    bool goes_on = local->mode == DB_PREPARE && world_chance(database->world, PPM / 2);
    local->owner = local->tag = NULL;
    if (!goes_on)
        database_rollback(database, local);
}

void own_connections_gone(const struct node *node)
{
    for (int i = 0; i < node->world->participant_count; i++) {
        struct database *database = node->world->databases[i];
        for (struct list *at = database->working.next, *next; at != &database->working; at = next) {
            next = at->next;
            if (LOCAL(at)->backend->own && LOCAL(at)->backend->node == node)
                part_with(database, LOCAL(at));
        }
    }
}
