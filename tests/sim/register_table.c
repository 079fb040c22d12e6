#include "tests/sim/register_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/planted.h"

#define ROW(position) CONTAINER(position, struct row, node)

void register_table_init(struct register_table *table)
{
    *table = (struct register_table){0};
    list_init(&table->rows);
    list_init(&table->fresh);
}

static void row_free(struct row *row)
{
    list_remove(&row->node);
    list_remove(&row->fresh);
    free(row->sites);
    free(row);
}

void register_table_fini(struct register_table *table)
{
    while (!list_empty(&table->rows))
        row_free(ROW(table->rows.next));
    free(table->settled);
    for (size_t i = 0; i < table->list_count; i++)
        free(table->lists[i]);
    free(table->lists);
}

static struct row *find(const struct register_table *table, const char *gtrid)
{
    for (struct list *i = table->rows.next; i != &table->rows; i = i->next)
        if (strcmp(ROW(i)->gtrid, gtrid) == 0)
            return ROW(i);
    return NULL;
}

const struct row *register_table_find(const struct register_table *table, const char *gtrid)
{
    return find(table, gtrid);
}

bool register_table_settled(const struct register_table *table, const char *gtrid)
{
    for (size_t i = 0; i < table->settled_count; i++)
        if (strcmp(table->settled[i], gtrid) == 0)
            return true;
    return false;
}

static struct row *row_add(struct register_table *table, const struct db_register *new,
                           uint64_t now_us)
{
    struct row *row = xcalloc(1, sizeof(*row));
    list_init(&row->node);
    list_init(&row->fresh);
    CHECK(strlen(new->gtrid) < sizeof(row->gtrid));
    strcpy(row->gtrid, new->gtrid);
    row->sites = xstrdup(new->sites);
    row->begun_us = new->begun_us;
    row->state = new->state;
    row->at_us = now_us;
    list_append(&table->rows, &row->node);
    return row;
}

bool register_table_store(struct register_table *table, const struct db_register *row,
                          const struct register_state *before, uint64_t now_us)
{
    struct row *old = find(table, row->gtrid);
    if (PLANTED(ACCEPT_OVER_PROMISE) && old && !before)
        before = &old->state;
    if (register_table_settled(table, row->gtrid) || (old == NULL) != (before == NULL) ||
        (old && !register_state_equal(&old->state, before)))
        return false;
    if (!old)
        old = row_add(table, row, now_us);
    old->state = row->state;
    return true;
}

struct row *register_table_insert(struct register_table *table, const struct db_register *new,
                                  uint64_t log, uint64_t now_us)
{
    if (find(table, new->gtrid))
        return NULL;
    struct row *row = row_add(table, new, now_us);
    row->log = log;
    list_append(&table->fresh, &row->fresh);
    return row;
}

void register_table_remove(struct register_table *table, const char *gtrid)
{
    struct row *row = find(table, gtrid);
    if (row)
        row_free(row);
}

bool register_table_settle(struct register_table *table, const char *gtrid)
{
    struct row *row = find(table, gtrid);
    if (!row || row->state.value == REGISTER_ABORT)
        return false;
    row_free(row);
    if (table->settled_count == table->settled_room) {
        table->settled_room = table->settled_room ? table->settled_room * 2 : 32;
        table->settled = xrealloc(table->settled, table->settled_room * sizeof(*table->settled));
    }
    strcpy(table->settled[table->settled_count++], gtrid);
    return true;
}

const char *register_table_list(struct register_table *table, const char *sites)
{
    for (size_t i = 0; i < table->list_count; i++)
        if (strcmp(table->lists[i], sites) == 0)
            return table->lists[i];
    if (table->list_count == table->list_room) {
        table->list_room = table->list_room ? table->list_room * 2 : 8;
        table->lists = xrealloc(table->lists, table->list_room * sizeof(*table->lists));
    }
    return table->lists[table->list_count++] = xstrdup(sites);
}

const char *register_table_other_list(const struct register_table *table, const char *sites)
{
    for (size_t i = table->list_count; i > 0; i--)
        if (strcmp(table->lists[i - 1], sites) != 0)
            return table->lists[i - 1];
    return sites;
}
