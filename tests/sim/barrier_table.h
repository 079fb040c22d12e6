/* The model of troth.barrier in one database. A row becomes visible and durable with the commit
 * that inserts it, or by the lookup that leaves it. */
#ifndef TROTH_TESTS_SIM_BARRIER_TABLE_H
#define TROTH_TESTS_SIM_BARRIER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"

struct barrier {
    barrier_key key;
    bool committed; /* else a lookup has left it, so that no late work of that key can commit */
    char *result;   /* NULL: none was kept */
    uint64_t at_us;
};

struct barrier_table {
    struct barrier *rows;
    size_t count, room;
};

void barrier_table_fini(struct barrier_table *table);
/* NULL: there is none. Valid until the next change. */
const struct barrier *barrier_table_find(const struct barrier_table *table, const char *key);
/* There must be none of that key. result: copied, or NULL. */
void barrier_table_add(struct barrier_table *table, const char *key, bool committed,
                       const char *result, uint64_t now_us);
/* Those that were inserted before that time go. Returns how many. */
size_t barrier_table_clean(struct barrier_table *table, uint64_t before_us);

#endif
