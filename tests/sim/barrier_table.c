#include "tests/sim/barrier_table.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

void barrier_table_fini(struct barrier_table *table)
{
    for (size_t i = 0; i < table->count; i++)
        free(table->rows[i].result);
    free(table->rows);
    *table = (struct barrier_table){0};
}

const struct barrier *barrier_table_find(const struct barrier_table *table, const char *key)
{
    for (size_t i = 0; i < table->count; i++)
        if (strcmp(table->rows[i].key, key) == 0)
            return &table->rows[i];
    return NULL;
}

void barrier_table_add(struct barrier_table *table, const char *key, bool committed,
                       const char *result, uint64_t now_us)
{
    CHECK(!barrier_table_find(table, key));
    if (table->count == table->room) {
        table->room = table->room ? table->room * 2 : 32;
        table->rows = xrealloc(table->rows, table->room * sizeof(*table->rows));
    }
    struct barrier *row = &table->rows[table->count++];
    *row = (struct barrier){
        .committed = committed, .result = result ? xstrdup(result) : NULL, .at_us = now_us};
    CHECK(strlen(key) < sizeof(row->key));
    strcpy(row->key, key);
}

size_t barrier_table_clean(struct barrier_table *table, uint64_t before_us)
{
    size_t kept = 0, count = table->count;
    for (size_t i = 0; i < count; i++) {
        if (table->rows[i].at_us < before_us)
            free(table->rows[i].result);
        else
            table->rows[kept++] = table->rows[i];
    }
    table->count = kept;
    return count - kept;
}
