#include "tests/sim/heuristic_table.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

void heuristic_table_fini(struct heuristic_table *table)
{
    free(table->rows);
}

const struct heuristic_row *heuristic_table_find(const struct heuristic_table *table,
                                                 const char *gid)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].gid, gid) == 0)
            return &table->rows[i];
    return NULL;
}

bool heuristic_table_add(struct heuristic_table *table, const struct heuristic_row *row)
{
    if (heuristic_table_find(table, row->gid))
        return false;
    if (table->count == table->room) {
        table->room = table->room ? table->room * 2 : 16;
        table->rows = xrealloc(table->rows, table->room * sizeof(*table->rows));
    }
    table->rows[table->count++] = *row;
    return true;
}

void heuristic_table_forget(struct heuristic_table *table, const char *gtrid)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].gtrid, gtrid) == 0)
            table->rows[i].forgotten = true;
}
