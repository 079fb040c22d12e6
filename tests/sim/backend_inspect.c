/* The database port's part for operators: looking, and the rows of what they forced. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "tests/sim/backend_private.h"
#include "tests/sim/order_book.h"

/* ---- looking ---- */

struct inspected {
    void *tag;
    struct db_inspected told;
    char database[16];
    struct db_held *held; /* in this very piece of memory, as the gids behind them */
    gid_text *gids;
};

static void inspected_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct inspected *inspected = data;
    world_note(world, (uint64_t)inspected->told.held_count, "db%d says what it holds%s",
               ((struct node *)subject)->index, inspected->told.ok ? "" : " (failed)");
    const struct db_events *events = backend_events(subject);
    events->inspected(events->self, inspected->tag, &inspected->told);
}

static bool is_asked_for(const struct local *local, const struct question *question)
{
    if (question->look == DB_LOOK_PREPARED)
        return true;
    return question->look == DB_LOOK_TRANSACTION && !local->foreign &&
           strcmp(local->gtrid, question->gid) == 0;
}

static struct inspected *inspected_new(const struct database *database,
                                       const struct question *question)
{
    size_t count = 0;
    for (struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
        count += is_asked_for(LOCAL(i), question);
    struct inspected *inspected = xcalloc(
        1, sizeof(*inspected) + count * (sizeof(*inspected->held) + sizeof(*inspected->gids)));
    inspected->tag = question->tag;
    inspected->held = (struct db_held *)(inspected + 1);
    inspected->gids = (gid_text *)(inspected->held + count);
    inspected->told = (struct db_inspected){.status = DB_STATUS_ERROR,
                                            .problem = "the database can't be asked",
                                            .held = inspected->held,
                                            .barrier = "",
                                            .report = ""};
    snprintf(inspected->database, sizeof(inspected->database), "db%d", database->index);
    return inspected;
}

static void add_held(const struct database *database, struct inspected *inspected,
                     const struct local *local)
{
    int index = inspected->told.held_count++;
    snprintf(inspected->gids[index], sizeof(gid_text), "%s", local->gid);
    inspected->held[index] = (struct db_held){.gid = inspected->gids[index],
                                              .owner = "troth",
                                              .database = inspected->database,
                                              .here = true,
                                              .xid = local->xid,
                                              .age_xids = database_next_xid(database) - local->xid,
                                              .prepared_at_us = local->prepared_at_us};
}

static void look_at_transaction(const struct database *database, struct inspected *inspected,
                                const struct question *question)
{
    struct db_inspected *told = &inspected->told;
    const struct row *row = register_table_find(&database->registers, question->gid);
    const struct barrier *barrier = barrier_table_find(&database->barriers, question->gid);
    told->xid = question->xid;
    if (told->xid == 0 && told->held_count > 0)
        told->xid = told->held[0].xid;
    if (told->xid != 0)
        told->status = database_xid_status(database, told->xid);
    told->registered = true;
    if (register_table_settled(&database->registers, question->gid))
        register_learn(&told->state, REGISTER_COMMIT);
    else if (row)
        told->state = row->state;
    else
        told->registered = false;
    if (barrier)
        told->barrier = barrier->committed ? "one-phase" : "none";
}

static void inspect_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    const struct question *question = data;
    struct inspected *inspected = inspected_new(database, question);
    if (backend_can_answer(world, question)) {
        inspected->told.ok = true;
        inspected->told.now_us = database_wall_us(database);
        for (struct list *i = database->prepared.next; i != &database->prepared; i = i->next)
            if (is_asked_for(LOCAL(i), question))
                add_held(database, inspected, LOCAL(i));
        if (question->look == DB_LOOK_TRANSACTION)
            look_at_transaction(database, inspected, question);
    }
    backend_answer(question->backend, question->boot, inspected_arrives, inspected);
}

void backend_inspect(void *self, const struct db_inspection *inspection, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    bool one = inspection->look == DB_LOOK_TRANSACTION;
    world_note(database->world, (uint64_t)inspection->look, "db%d look %d %s?", database->index,
               (int)inspection->look, one ? inspection->gtrid : "");
    struct question *question = backend_question(backend, tag);
    question->look = inspection->look;
    question->xid = inspection->xid;
    if (one) {
        CHECK(strlen(inspection->gtrid) < sizeof(question->gid));
        strcpy(question->gid, inspection->gtrid);
    }
    world_after(database->world, backend_latency(database->world), inspect_asked, database, 0,
                question);
}

/* ---- rows of what was forced ---- */

/* A change of the table that is on its way; nobody sees it before it is durable. */
struct heuristic_store {
    struct list node;
    uint64_t id;
    struct backend *backend;
    uint64_t boot;
    void *tag;
    struct heuristic_row row;
    bool forget; /* of row.gtrid: all are marked */
};

#define STORE(position) CONTAINER(position, struct heuristic_store, node)

static void store_free(struct heuristic_store *store)
{
    list_remove(&store->node);
    free(store);
}

void backend_heuristics_free(struct database *database)
{
    while (!list_empty(&database->heuristic_stores))
        store_free(STORE(database->heuristic_stores.next));
}

static enum db_stored carry_out(struct database *database, const struct heuristic_store *store)
{
    bool stored = true;
    if (store->forget)
        heuristic_table_forget(&database->heuristics, store->row.gtrid);
    else
        stored = heuristic_table_add(&database->heuristics, &store->row);
    world_note(database->world, stored, "db%d heuristic %s of %s%s", database->index,
               store->forget       ? "forgotten:"
               : store->row.commit ? "commit"
                                   : "abort",
               store->forget ? store->row.gtrid : store->row.gid,
               stored ? "" : " - there was a row");
    if (stored)
        database_flushed(database);
    if (store->forget)
        order_book_row_forgotten(database->world, database->index, store->row.gtrid);
    else if (stored)
        order_book_stored(database->world, database->index, store->row.gid, store->row.commit,
                          store->row.reason);
    return stored ? DB_STORED : DB_CHANGED;
}

static void stored_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct question *question = data;
    world_note(world, (uint64_t)question->result, "db%d says heuristic stored %d",
               ((struct node *)subject)->index, question->result);
    const struct db_events *events = backend_events(subject);
    events->heuristic_stored(events->self, question->tag, (enum db_stored)question->result);
}

static void tell_stored(const struct heuristic_store *store, enum db_stored result)
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
    struct heuristic_store *store = NULL;
    for (struct list *i = database->heuristic_stores.next; i != &database->heuristic_stores;
         i = i->next)
        if (STORE(i)->id == id)
            store = STORE(i);
    if (!store)
        return;
    bool fails = world_chance(world, world->weather.work_error);
    if (!backend_connected(store->backend, store->boot)) {
        /* Its connection broke: it had left already, or not. */
        if (database->up && world_chance(world, PPM / 2))
            carry_out(database, store);
        tell_stored(store, DB_STORE_FAILED);
    } else if (fails) {
        tell_stored(store, DB_STORE_FAILED);
    } else {
        enum db_stored result = carry_out(database, store);
        tell_stored(store,
                    world_chance(world, world->weather.work_lost) ? DB_STORE_FAILED : result);
    }
    store_free(store);
}

void backend_heuristics_crash(struct database *database)
{
    while (!list_empty(&database->heuristic_stores)) {
        struct heuristic_store *store = STORE(database->heuristic_stores.next);
        if (world_chance(database->world, PPM / 2))
            carry_out(database, store);
        tell_stored(store, DB_STORE_FAILED);
        store_free(store);
    }
}

static struct heuristic_store *store_new(struct backend *backend, void *tag)
{
    struct database *database = backend->database;
    struct world *world = database->world;
    struct heuristic_store *store = xcalloc(1, sizeof(*store));
    *store = (struct heuristic_store){
        .id = ++database->ticket, .backend = backend, .boot = node_boot(backend->node), .tag = tag};
    list_init(&store->node);
    list_append(&database->heuristic_stores, &store->node);
    uint64_t delay_us = 20 + world_latency(world, world->weather.work_max_us);
    if (world_chance(world, world->weather.late_effect))
        delay_us += world_between(world, 50 * MILLISECOND_US, SECOND_US);
    world_after(world, delay_us, store_ends, database, store->id, NULL);
    return store;
}

void backend_heuristic_store(void *self, const struct db_heuristic *row, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    struct gid id;
    if (!node_effect(backend->node))
        return;
    world_note(database->world, row->commit, "db%d store heuristic %s by %s", database->index,
               row->gid, row->by);
    CHECK(gid_parse(row->gid, &id) && strlen(row->reason) <= LIMIT_REASON_BYTES &&
          strlen(row->by) <= LIMIT_BY_BYTES);
    order_book_storing(backend->node, row->gid, row->commit, row->reason);
    struct heuristic_store *store = store_new(backend, tag);
    store->row =
        (struct heuristic_row){.commit = row->commit, .xid = row->xid, .at_us = row->at_us};
    gid_format(store->row.gid, id.cluster, id.coordinator, id.tx, id.branch);
    gtrid_format(store->row.gtrid, id.cluster, id.coordinator, id.tx);
    strcpy(store->row.reason, row->reason);
    strcpy(store->row.by, row->by);
}

void backend_heuristics_forget(void *self, const char *gtrid, void *tag)
{
    struct backend *backend = self;
    if (!node_effect(backend->node))
        return;
    world_note(backend->database->world, 16, "db%d forget heuristics of %s",
               backend->database->index, gtrid);
    struct heuristic_store *store = store_new(backend, tag);
    store->forget = true;
    CHECK(strlen(gtrid) < sizeof(store->row.gtrid));
    strcpy(store->row.gtrid, gtrid);
}

struct heuristics_found {
    void *tag;
    bool ok;
    int count;
    struct heuristic_row rows[];
};

static void loaded_arrives(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    const struct heuristics_found *found = data;
    struct db_heuristic *rows = xcalloc((size_t)found->count + 1, sizeof(*rows));
    for (int i = 0; i < found->count; i++)
        rows[i] = (struct db_heuristic){.gid = found->rows[i].gid,
                                        .commit = found->rows[i].commit,
                                        .xid = found->rows[i].xid,
                                        .reason = found->rows[i].reason,
                                        .by = found->rows[i].by,
                                        .at_us = found->rows[i].at_us};
    world_note(world, (uint64_t)found->count, "db%d says %d heuristics%s",
               ((struct node *)subject)->index, found->count, found->ok ? "" : " (failed)");
    const struct db_events *events = backend_events(subject);
    events->heuristics_loaded(events->self, found->tag, found->ok, rows, found->count);
    free(rows);
}

static void load_asked(struct world *world, void *subject, uint64_t number, void *data)
{
    (void)number;
    struct database *database = subject;
    const struct question *question = data;
    const struct heuristic_table *table = &database->heuristics;
    struct heuristics_found *found =
        xcalloc(1, sizeof(*found) + table->count * sizeof(found->rows[0]));
    found->tag = question->tag;
    found->ok = backend_can_answer(world, question);
    for (size_t i = table->count; found->ok && i > 0 && found->count < LIMIT_HEURISTICS; i--)
        if (!table->rows[i - 1].forgotten)
            found->rows[found->count++] = table->rows[i - 1];
    backend_answer(question->backend, question->boot, loaded_arrives, found);
}

void backend_heuristics_load(void *self, void *tag)
{
    struct backend *backend = self;
    struct database *database = backend->database;
    if (!node_effect(backend->node))
        return;
    world_note(database->world, 17, "db%d load heuristics?", database->index);
    world_after(database->world, backend_latency(database->world), load_asked, database, 0,
                backend_question(backend, tag));
}
