/* The database port's registers: loads, compare-and-set stores that share nothing but the log,
 * settling and cleaning. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"
#include "tests/sim/backend_private.h"
#include "tests/sim/cluster.h"
#include "tests/sim/registers.h"

/* ---- loads ---- */

struct loaded {
    void *tag;
    enum db_found found;
    gtrid_text gtrid;
    int64_t begun_us;
    struct register_state state;
    char sites[];
};

static void loaded_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct loaded *loaded = data;
    struct db_register row = {.gtrid = loaded->gtrid,
                              .sites = loaded->sites,
                              .begun_us = loaded->begun_us,
                              .state = loaded->state};
    world_note(world, (uint64_t)loaded->found, "db%d says load %d of %s",
               ((struct node *)subject)->index, (int)loaded->found, loaded->gtrid);
    const struct db_events *events = backend_events(subject);
    events->register_loaded(events->self, loaded->tag, loaded->found,
                            loaded->found == DB_FOUND ? &row : NULL);
}

static void load_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    const struct question *question = data;
    const struct register_table *table = &database->registers;
    const struct row *row = register_table_find(table, question->gid);
    const char *sites = row ? row->sites : "";
    struct loaded *loaded = xcalloc(1, sizeof(*loaded) + strlen(sites) + 1);
    loaded->tag = question->tag;
    snprintf(loaded->gtrid, sizeof(loaded->gtrid), "%.*s", LIMIT_GTRID_BYTES, question->gid);
    strcpy(loaded->sites, sites);
    loaded->found = DB_FOUND;
    if (!backend_can_answer(world, question)) {
        loaded->found = DB_FOUND_ERROR;
    } else if (row) {
        loaded->begun_us = row->begun_us;
        loaded->state = row->state;
    } else if (register_table_settled(table, question->gid)) {
        register_learn(&loaded->state, REGISTER_COMMIT);
    } else {
        loaded->found = DB_NOT_FOUND;
    }
    backend_answer(question->backend, question->boot, loaded_arrives, loaded);
}

void backend_register_load(void *self, const char *gtrid, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    world_note(database->world, 12, "db%d load %s?", database->index, gtrid);
    struct question *question = backend_question(backend, tag);
    snprintf(question->gid, sizeof(question->gid), "%s", gtrid);
    world_after(database->world, backend_latency(database->world), load_asked, database, 0,
                question);
}

/* ---- stores ---- */

/* On its way; nobody sees it before it is durable. */
struct store {
    struct list node;
    uint64_t id;
    struct backend *backend;
    uint64_t boot;
    void *tag;
    gtrid_text gtrid;
    char *sites;
    int64_t begun_us;
    struct register_state state, before;
    bool had_row;
};

#define STORE(position) CONTAINER(position, struct store, node)

static void store_free(struct store *store)
{
    list_remove(&store->node);
    free(store->sites);
    free(store);
}

void backend_stores_free(struct database *database)
{
    while (!list_empty(&database->stores))
        store_free(STORE(database->stores.next));
}

static bool carry_out_store(struct database *database, const struct store *store)
{
    backend_late_accept(database, store->gtrid);
    struct db_register row = {.gtrid = store->gtrid,
                              .sites = store->sites,
                              .begun_us = store->begun_us,
                              .state = store->state};
    bool stored =
        register_table_store(&database->registers, &row, store->had_row ? &store->before : NULL,
                             database->world->now_us);
    world_note(database->world, stored, "db%d register of %s: promised %u.%u, accepted %u.%u %s%s",
               database->index, store->gtrid, row.state.promised.round, row.state.promised.site,
               row.state.accepted.round, row.state.accepted.site, registers_word(row.state.value),
               stored ? "" : " - it was another by then");
    if (stored) {
        database_flushed(database);
        registers_stored(database->world->registers, database->index, store->gtrid, &row.state);
    }
    return stored;
}

static void stored_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says stored %d",
               ((struct node *)subject)->index, question->result);
    const struct db_events *events = backend_events(subject);
    events->register_stored(events->self, question->tag, (enum db_stored)question->result);
}

static void tell_stored(const struct store *store, enum db_stored result)
{
    struct question *question = xcalloc(1, sizeof(*question));
    question->tag = store->tag;
    question->result = (int)result;
    backend_answer(store->backend, store->boot, stored_arrives, question);
}

static void store_ends(struct world *world, void *subject, uint64_t id, void *data)
{
    (void)data;
    struct database *database = subject;
    struct store *store = NULL;
    for (struct list *i = database->stores.next; i != &database->stores; i = i->next)
        if (STORE(i)->id == id)
            store = STORE(i);
    if (!store)
        return;
    bool fails = world_chance(world, world->weather.work_error);
    if (!backend_connected(store->backend, store->boot)) {
        /* Its connection broke: it had left already, or not. */
        if (database->up && world_chance(world, PPM / 2))
            carry_out_store(database, store);
        tell_stored(store, DB_STORE_FAILED);
    } else if (fails) {
        tell_stored(store, DB_STORE_FAILED);
    } else {
        bool stored = carry_out_store(database, store);
        bool lost = world_chance(world, world->weather.work_lost);
        tell_stored(store, lost ? DB_STORE_FAILED : stored ? DB_STORED : DB_CHANGED);
    }
    store_free(store);
}

void backend_stores_crash(struct database *database)
{
    while (!list_empty(&database->stores)) {
        struct store *store = STORE(database->stores.next);
        if (world_chance(database->world, PPM / 2))
            carry_out_store(database, store);
        tell_stored(store, DB_STORE_FAILED);
        store_free(store);
    }
}

void backend_check_alone(const struct backend *backend, const char *gtrid)
{
    const struct database *database = backend->database;
    bool alone = !backend_accepts(backend, gtrid);
    for (struct list *i = database->stores.next; i != &database->stores; i = i->next)
        if (STORE(i)->backend == backend && STORE(i)->boot == node_boot(backend->node) &&
            strcmp(STORE(i)->gtrid, gtrid) == 0)
            alone = false;
    if (!alone)
        world_violation(database->world, "%s stores the register of %s twice at a time",
                        backend->node->name, gtrid);
}

static bool is_first_commit(const struct register_state *state)
{
    static const struct register_state first = {.value = REGISTER_COMMIT};
    return register_state_equal(state, &first);
}

void backend_register_store(void *self, const struct db_register *row,
                            const struct register_state *before, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    struct world *world = database->world;
    if (!node_effect(backend->node))
        return;
    backend_check_alone(backend, row->gtrid);
    world_note(world, 13, "db%d store %s, sites %s", database->index, row->gtrid, row->sites);
    struct store *store = xcalloc(1, sizeof(*store));
    *store =
        (struct store){.id = ++database->ticket,
                       .backend = backend,
                       .boot = node_boot(backend->node),
                       .tag = tag,
                       /* io/pg_register.c: the first acceptance leaves the list to the branch */
                       .sites = xstrdup(!before && is_first_commit(&row->state) ? "" : row->sites),
                       .begun_us = row->begun_us,
                       .state = row->state,
                       .had_row = before != NULL};
    CHECK(strlen(row->gtrid) < sizeof(store->gtrid));
    strcpy(store->gtrid, row->gtrid);
    if (before)
        store->before = *before;
    list_init(&store->node);
    list_append(&database->stores, &store->node);
    uint64_t delay_us = 20 + world_latency(world, world->weather.work_max_us);
    if (world_chance(world, world->weather.late_effect))
        delay_us += world_between(world, 50 * MILLISECOND_US, SECOND_US);
    world_after(world, delay_us, store_ends, database, store->id, NULL);
}

/* ---- settling and cleaning ---- */

struct settlement {
    uint64_t generation;
    size_t count;
    gtrid_text gtrids[];
};

static void settled_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    const struct settlement *settlement = data;
    if (!database->up || database->generation != settlement->generation ||
        world_chance(world, world->weather.ask_error))
        return;
    /* In the log it comes after what it speaks of, and it is a copy's together with that. */
    database_flushed(database);
    for (size_t i = 0; i < settlement->count; i++) {
        const char *gtrid = settlement->gtrids[i];
        registers_settling(world->registers, gtrid);
        if (!database_has_prepared(database, gtrid) &&
            register_table_settle(&database->registers, gtrid))
            world_note(world, i, "db%d settles %s", database->index, gtrid);
    }
}

void backend_register_settle(void *self, const char *coordinator, uint64_t epoch,
                             const uint64_t *seqs, size_t count)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    struct world *world = database->world;
    if (!node_effect(backend->node) || !backend_connected(backend, node_boot(backend->node)))
        return;
    struct settlement *settlement =
        xcalloc(1, sizeof(*settlement) + count * sizeof(settlement->gtrids[0]));
    settlement->generation = database->generation;
    settlement->count = count;
    for (size_t i = 0; i < count; i++)
        gtrid_format(settlement->gtrids[i], CLUSTER_NAME, coordinator,
                     (struct txid){epoch, seqs[i]});
    world_note(world, count, "db%d settle %zu of %s", database->index, count, coordinator);
    world_after(world, backend_latency(world), settled_asked, database, 0, settlement);
}

void backend_clean(void *self, uint64_t age_us)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    struct world *world = database->world;
    if (!node_effect(backend->node))
        return;
    world_note(world, age_us, "db%d clean", database->index);
    if (!backend_connected(backend, node_boot(backend->node)))
        return;
    if (world->now_us > age_us) {
        size_t gone = barrier_table_clean(&database->barriers, world->now_us - age_us);
        world_note(world, gone, "db%d cleans %zu rows of the barrier", database->index, gone);
    }
    const struct register_table *table = &database->registers;
    for (struct list *i = table->rows.next, *next; i != &table->rows; i = next) {
        const struct row *row = CONTAINER(i, struct row, node);
        next = i->next;
        bool old = row->at_us + age_us < world->now_us || PLANTED(CLEAN_REGISTER_EARLY);
        if (!old || database_has_prepared(database, row->gtrid))
            continue;
        world_note(world, row->at_us, "db%d cleans the row of %s", database->index, row->gtrid);
        register_table_remove(&database->registers, row->gtrid);
    }
}
