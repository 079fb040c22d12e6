/* The model of troth.heuristic in one database. A row is durable with the commit that inserts it,
 * which is also when others see it; one that is forgotten stays, marked. */
#ifndef TROTH_TESTS_SIM_HEURISTIC_TABLE_H
#define TROTH_TESTS_SIM_HEURISTIC_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/limits.h"
#include "core/ports.h"

struct heuristic_row {
    gid_text gid;
    gtrid_text gtrid;
    bool commit, forgotten;
    uint64_t xid;
    int64_t at_us;
    char reason[LIMIT_REASON_BYTES + 1], by[LIMIT_BY_BYTES + 1];
};

struct heuristic_table {
    struct heuristic_row *rows; /* oldest first */
    size_t count, room;
};

void heuristic_table_fini(struct heuristic_table *table);
/* NULL: there is none. Forgotten ones too. Valid until the next change. */
const struct heuristic_row *heuristic_table_find(const struct heuristic_table *table,
                                                 const char *gid);
/* False: one of that gid is there, and stays as it is. */
bool heuristic_table_add(struct heuristic_table *table, const struct heuristic_row *row);
void heuristic_table_forget(struct heuristic_table *table, const char *gtrid);

#endif
