/* How a database lives: processes connect and are expelled, connections are lost, the server dies,
 * comes back, or fails over to a copy. */
#include "core/check.h"
#include "tests/sim/database_private.h"

/* What no connection belongs to any more ends, when a process of this participant connects. */
static void end_orphans(struct database *database)
{
    for (struct list *i = database->working.next, *next; i != &database->working; i = next) {
        next = i->next;
        if (LOCAL(i)->backend->own)
            continue; /* not of this participant's processes */
        /* A backend that is being ended may finish its PREPARE all the same, after a scan. */
        bool late = LOCAL(i)->mode == DB_PREPARE &&
                    world_chance(database->world, database->world->weather.late_effect);
        if (!LOCAL(i)->tag && !late)
            database_rollback(database, LOCAL(i));
    }
}

/* The connections of all that works are gone. Some of it ends with them, some goes on unseen, and
 * what was just being ended may have been carried out. */
static void orphan_all(struct database *database, const struct backend *of, bool server_died)
{
    struct world *world = database->world;
    struct list moved;
    list_init(&moved);
    for (struct list *i = database->working.next, *next; i != &database->working; i = next) {
        next = i->next;
        if (of && LOCAL(i)->backend != of)
            continue;
        list_remove(i);
        list_append(&moved, i);
    }
    while (!list_empty(&moved)) {
        struct local *local = LOCAL(moved.next);
        list_remove(&local->node);
        list_append(&database->working, &local->node);
        backend_open_lost(local);
        backend_worked(local, DB_LOST, "57P01", "the connection was lost");
        local->tag = NULL;
        bool ends = local->stage == STAGE_ENDING && world_chance(world, PPM / 2);
        if (server_died && ends)
            database_move_on(database, local);
        else if (server_died || world_chance(world, PPM / 2))
            database_rollback(database, local);
    }
}

static void connect_after(struct backend *backend, uint64_t delay_us);

/* Its sessions are ended; it makes new ones. */
static void expel(struct backend *backend)
{
    backend->connected_boot = 0;
    orphan_all(backend->database, backend, false);
    backend_down(backend, "terminating connection due to administrator command");
    connect_after(backend,
                  10 * MILLISECOND_US + world_latency(backend->database->world, SECOND_US));
}

/* A process connects: it ends the sessions of every older one of its participant first. */
static void connect_agent(struct world *world, void *subject, uint64_t boot, void *data)
{
    (void)data;
    struct backend *backend = subject;
    struct database *database = backend->database;
    if (!database->up || !node_up(backend->node) || node_boot(backend->node) != boot ||
        backend->connected_boot == boot)
        return;
    if (node_paused(backend->node)) {
        world_after(world, node_resumes_us(backend->node) - world->now_us + MILLISECOND_US,
                    connect_agent, backend, boot, NULL);
        return;
    }
    for (int i = 0; i < BACKENDS; i++)
        if (&database->backends[i] != backend && database->backends[i].connected_boot)
            expel(&database->backends[i]);
    end_orphans(database);
    backend->connected_boot = boot;
    world_note(world, boot, "db%d is connected to %s", database->index, backend->node->name);
    backend_up(backend);
}

static void connect_after(struct backend *backend, uint64_t delay_us)
{
    if (backend->node && node_up(backend->node))
        world_after(backend->database->world, delay_us, connect_agent, backend,
                    node_boot(backend->node), NULL);
}

void database_agent_started(struct backend *backend)
{
    struct world *world = backend->database->world;
    if (backend->database->up)
        connect_after(backend, 5 * MILLISECOND_US + world_latency(world, 100 * MILLISECOND_US));
    else
        backend_down(backend, "connection refused");
}

void database_agent_gone(struct backend *backend)
{
    backend->connected_boot = 0;
    orphan_all(backend->database, backend, false);
}

static void server_back(struct world *world, void *subject, uint64_t generation, void *data)
{
    (void)data;
    struct database *database = subject;
    if (generation != database->generation || database->up)
        return;
    database->up = true;
    world_note(world, generation, "db%d is back", database->index);
    for (int i = 0; i < BACKENDS; i++)
        connect_after(&database->backends[i], 5 * MILLISECOND_US + world_latency(world, SECOND_US));
}

void database_crash(struct database *database, uint64_t length_us)
{
    struct world *world = database->world;
    if (!database->up)
        return;
    world_note(world, length_us, "db%d dies", database->index);
    orphan_all(database, NULL, true);
    backend_stores_crash(database);
    backend_heuristics_crash(database);
    backend_accepts_crash(database);
    database_lose_unflushed(database);
    database->up = false;
    database->generation++;
    for (int i = 0; i < BACKENDS; i++) {
        struct backend *backend = &database->backends[i];
        if (backend->connected_boot && node_up(backend->node))
            backend_down(backend, "server closed the connection unexpectedly");
        backend->connected_boot = 0;
    }
    world_after(world, length_us, server_back, database, database->generation, NULL);
}

/* Only what was finished last is lost. Of registers nothing is that was told to be durable: with
 * three phases the databases keep the decision, so its promise is made only where a copy has all
 * that (docs/failure-model.md); a change of a register, like PREPARE, is waited for on the copy,
 * and with it all that is before it in the log. */
void database_failover(struct database *database, uint64_t length_us)
{
    if (!database->up)
        return;
    database_crash(database, length_us);
    database_lose_uncopied(database);
}

void database_disconnect(struct backend *backend, uint64_t length_us)
{
    struct database *database = backend->database;
    if (!database->up || backend->connected_boot == 0)
        return;
    world_note(database->world, length_us, "db%d loses its connections", database->index);
    backend->connected_boot = 0;
    orphan_all(database, backend, false);
    backend_down(backend, "could not receive data from server");
    connect_after(backend, 5 * MILLISECOND_US + length_us);
}

void database_reconnect_now(struct database *database)
{
    if (!database->up)
        server_back(database->world, database, database->generation, NULL);
    for (int i = 0; i < BACKENDS; i++)
        if (database->backends[i].connected_boot == 0)
            connect_after(&database->backends[i], 10 * MILLISECOND_US);
}
