/* The database port's acceptance that is carried out at once: a row is inserted without a flush,
 * and then COMMIT PREPARED flushes both. Its connection, and its server, may be lost before the
 * row, between the two, and after both. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/backend_private.h"
#include "tests/sim/nemesis.h"
#include "tests/sim/registers.h"

struct accept {
    struct list node;
    uint64_t id;
    struct backend *backend;
    uint64_t boot;
    void *tag;
    bool told;     /* nobody waits for it: its backend goes on */
    bool inserted; /* its row is there; COMMIT PREPARED is next */
    gtrid_text gtrid;
    gid_text gid;
    int64_t begun_us;
    struct register_state state;
};

#define ACCEPT(position) CONTAINER(position, struct accept, node)

static void accept_free(struct accept *accept)
{
    list_remove(&accept->node);
    free(accept);
}

void backend_accepts_free(struct database *database)
{
    while (!list_empty(&database->accepts))
        accept_free(ACCEPT(database->accepts.next));
}

bool backend_accepts(const struct backend *backend, const char *gtrid)
{
    const struct list *all = &backend->database->accepts;
    for (const struct list *i = all->next; i != all; i = i->next)
        if (ACCEPT(i)->backend == backend && ACCEPT(i)->boot == node_boot(backend->node) &&
            !ACCEPT(i)->told && strcmp(ACCEPT(i)->gtrid, gtrid) == 0)
            return true;
    return false;
}

/* ---- answers ---- */

static void accepted_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says accepted %d",
               ((struct node *)subject)->index, question->result);
    registers_committed(world->registers, (enum db_accepted)question->result);
    const struct db_events *events = backend_events(subject);
    events->register_committed(events->self, question->tag, (enum db_accepted)question->result);
}

static void tell(struct accept *accept, enum db_accepted result)
{
    if (accept->told)
        return;
    accept->told = true;
    struct question *question = xcalloc(1, sizeof(*question));
    question->tag = accept->tag;
    question->result = (int)result;
    backend_answer(accept->backend, accept->boot, accepted_arrives, question);
}

/* ---- its two steps ---- */

static bool insert(struct database *database, const struct accept *accept)
{
    /* The list is with the branch, as in backend_register.c. */
    struct db_register row = {
        .gtrid = accept->gtrid, .sites = "", .begun_us = accept->begun_us, .state = accept->state};
    bool inserted = database_insert_unflushed(database, &row);
    world_note(database->world, inserted, "db%d accepts %s%s%s", database->index, accept->gtrid,
               accept->told ? " (nobody waits)" : "", inserted ? "" : " - there is a row");
    return inserted;
}

/* The row is before it in the log: a copy that lacks the commit has the row, or neither. */
static enum db_accepted commit(struct database *database, const struct accept *accept)
{
    struct world *world = database->world;
    struct local *local = database_find_prepared(database, accept->gid);
    if (!local)
        return DB_ACCEPT_UNKNOWN;
    database_flushed(database);
    backend_finish(database, local, true);
    if (world_chance(world, world->weather.finish_unknown))
        return DB_ACCEPT_UNKNOWN;
    database_flushed(database);
    return DB_ACCEPTED;
}

static void goes_on(struct world *world, void *subject, uint64_t id, void *data);

static void move_on_later(struct database *database, const struct accept *accept, bool late)
{
    struct world *world = database->world;
    uint64_t delay_us = 20 + world_latency(world, world->weather.work_max_us);
    if (late || world_chance(world, world->weather.late_effect))
        delay_us += world_between(world, 50 * MILLISECOND_US, 2 * SECOND_US);
    world_after(world, delay_us, goes_on, database, accept->id, NULL);
}

/* Its connection is lost. What its backend had got already it carries out, or not, or later. */
static void lose_connection(struct database *database, struct accept *accept)
{
    struct world *world = database->world;
    tell(accept, DB_ACCEPT_UNKNOWN);
    if (world_chance(world, PPM / 2))
        accept_free(accept);
    else
        move_on_later(database, accept, world_chance(world, PPM / 2));
}

static void step(struct database *database, struct accept *accept)
{
    if (accept->inserted) {
        tell(accept, commit(database, accept));
        accept_free(accept);
    } else if (!insert(database, accept)) {
        tell(accept, DB_ACCEPT_REFUSED);
        accept_free(accept);
    } else {
        accept->inserted = true;
        if (!accept->told && nemesis_accepting(database, accept->gtrid))
            lose_connection(database, accept);
        else
            move_on_later(database, accept, false);
    }
}

void backend_late_accept(struct database *database, const char *gtrid)
{
    struct accept *late = NULL;
    for (struct list *i = database->accepts.next; i != &database->accepts; i = i->next)
        if (ACCEPT(i)->told && strcmp(ACCEPT(i)->gtrid, gtrid) == 0)
            late = ACCEPT(i);
    if (late && world_chance(database->world, PPM / 2))
        step(database, late);
}

static void goes_on(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)data;
    struct database *database = subject;
    struct accept *accept = NULL;
    for (struct list *i = database->accepts.next; i != &database->accepts; i = i->next)
        if (ACCEPT(i)->id == id)
            accept = ACCEPT(i);
    if (!accept)
        return;
    if (!accept->inserted && !accept->told)
        nemesis_asked_to_accept(accept->backend->node);
    if (!accept->told)
        backend_late_accept(database, accept->gtrid);
    if (accept->told) {
        step(database, accept);
    } else if (!backend_connected(accept->backend, accept->boot) ||
               world_chance(world, world->weather.work_lost)) {
        lose_connection(database, accept);
    } else if (world_chance(world, world->weather.work_error)) {
        tell(accept, DB_ACCEPT_UNKNOWN);
        accept_free(accept);
    } else {
        step(database, accept);
    }
}

void backend_accepts_crash(struct database *database)
{
    while (!list_empty(&database->accepts)) {
        struct accept *accept = ACCEPT(database->accepts.next);
        if (world_chance(database->world, PPM / 2)) {
            if (accept->inserted)
                commit(database, accept);
            else
                insert(database, accept);
        }
        tell(accept, DB_ACCEPT_UNKNOWN);
        accept_free(accept);
    }
}

void backend_register_commit(void *self, const struct db_register *row, const char *gid, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    backend_check_alone(backend, row->gtrid);
    world_note(database->world, 20, "db%d accept and commit %s", database->index, gid);
    struct accept *accept = xcalloc(1, sizeof(*accept));
    *accept = (struct accept){.id = ++database->ticket,
                              .backend = backend,
                              .boot = node_boot(backend->node),
                              .tag = tag,
                              .begun_us = row->begun_us,
                              .state = row->state};
    CHECK(strlen(row->gtrid) < sizeof(accept->gtrid) && strlen(gid) < sizeof(accept->gid));
    strcpy(accept->gtrid, row->gtrid);
    strcpy(accept->gid, gid);
    list_init(&accept->node);
    list_append(&database->accepts, &accept->node);
    move_on_later(database, accept, false);
}
