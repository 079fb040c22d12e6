/* The model of troth.register and troth.settled in one database. Rows are separate from the
 * prepared transactions, and survive a crash. Only a row that PREPARE inserts waits for no flush:
 * it is seen at once, and lost in a crash before anything later was flushed. */
#ifndef TROTH_TESTS_SIM_REGISTER_TABLE_H
#define TROTH_TESTS_SIM_REGISTER_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/list.h"
#include "core/ports.h"
#include "tests/sim/world.h"

struct row {
    struct list node; /* in the order in which they were inserted */
    gtrid_text gtrid;
    char *sites;
    int64_t begun_us;
    struct register_state state;
    uint64_t at_us; /* when it was inserted */
    bool flushed;
};

struct register_table {
    struct list rows;
    gtrid_text *settled;
    size_t settled_count, settled_room;
};

void register_table_init(struct register_table *table);
void register_table_fini(struct register_table *table);

const struct row *register_table_find(const struct register_table *table, const char *gtrid);
bool register_table_settled(const struct register_table *table, const char *gtrid);
/* PREPARE's own. False: there was one. */
bool register_table_insert(struct register_table *table, const struct db_register *row,
                           uint64_t now_us);
/* Compare and set; what it sets is durable. before NULL: there must be no row. */
bool register_table_store(struct register_table *table, const struct db_register *row,
                          const struct register_state *before, uint64_t now_us);
/* A row that holds commit becomes a bit. False: there is none, or it holds something else. */
bool register_table_settle(struct register_table *table, const char *gtrid);
void register_table_remove(struct register_table *table, const char *gtrid);
/* Everything that was inserted is durable: something later in the log was flushed. */
void register_table_flush(struct register_table *table);
/* The server died: of what was not flushed, some last part is gone. */
void register_table_crash(struct register_table *table, struct world *world);

#endif
