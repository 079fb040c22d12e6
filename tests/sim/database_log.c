/* The log, as far as it matters in which order things get to the disk and to a copy: most changes
 * are durable when they happen. A row of a register that was inserted without a flush is seen at
 * once, and durable with whatever is flushed next, or when the server writes its log by itself; a
 * COMMIT PREPARED is on the disk at once, and on a copy with whatever is waited for there next.
 * What is lost is always the end of it. */
#include "core/check.h"
#include "tests/sim/database_private.h"
#include "tests/sim/registers.h"

/* wal_writer_delay, and as PostgreSQL has it up to three times that. */
enum { WRITTEN_WITHIN_US = 600 * 1000 };

#define FRESH(position) CONTAINER(position, struct row, fresh)

uint64_t database_log_flush(struct database *database)
{
    return database->flushed = ++database->log;
}

static void written(struct world *world, void *subject, uint64_t log, void *data)
{
    (void)world, (void)data;
    struct database *database = subject;
    if (database->up && database->flushed < log)
        database->flushed = log;
}

bool database_insert_unflushed(struct database *database, const struct db_register *row)
{
    struct world *world = database->world;
    if (!register_table_insert(&database->registers, row, database->log + 1, world->now_us))
        return false;
    world_after(world, world_latency(world, WRITTEN_WITHIN_US), written, database, ++database->log,
                NULL);
    return true;
}

void database_flushed(struct database *database)
{
    struct list *fresh = &database->registers.fresh;
    database_log_flush(database);
    while (!list_empty(&database->tail))
        database_local_free(LOCAL(database->tail.next));
    while (!list_empty(fresh)) {
        struct row *row = FRESH(fresh->next);
        list_remove(&row->fresh);
        registers_stored(database->world->registers, database->index, row->gtrid, &row->state);
    }
}

static void lose_row(struct database *database, struct row *row)
{
    struct world *world = database->world;
    world_note(world, row->log, "db%d loses the row of %s", database->index, row->gtrid);
    registers_row_lost(world->registers);
    register_table_remove(&database->registers, row->gtrid);
}

void database_lose_unflushed(struct database *database)
{
    const struct list *fresh = &database->registers.fresh;
    uint64_t count = 0;
    for (const struct list *i = fresh->next; i != fresh; i = i->next)
        count += FRESH(i)->log > database->flushed;
    if (count > 0)
        for (count = world_between(database->world, 0, count); count > 0; count--)
            lose_row(database, FRESH(fresh->previous));
    database->flushed = database->log;
}

static uint64_t list_length(const struct list *list)
{
    uint64_t length = 0;
    for (const struct list *i = list->next; i != list; i = i->next)
        length++;
    return length;
}

void database_lose_uncopied(struct database *database)
{
    const struct list *tail = &database->tail, *fresh = &database->registers.fresh;
    uint64_t count = world_between(database->world, 0, list_length(tail) + list_length(fresh));
    for (; count > 0; count--) {
        bool is_row = list_empty(tail) || (!list_empty(fresh) && FRESH(fresh->previous)->log >
                                                                     LOCAL(tail->previous)->log);
        if (is_row)
            lose_row(database, FRESH(fresh->previous));
        else
            database_take_back(database, LOCAL(tail->previous));
    }
    database_flushed(database);
}
