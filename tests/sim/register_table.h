/* The model of troth.register, troth.settled and troth.sites in one database. Rows are separate
 * from the prepared transactions, and survive a crash: each is durable before anybody sees it, but
 * those that were inserted without a flush (database_log.c). */
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
    uint64_t at_us;    /* when it was inserted */
    struct list fresh; /* inserted without a flush, and perhaps not in every copy yet; else empty */
    uint64_t log;      /* its place in the log then */
};

struct register_table {
    struct list rows;
    struct list fresh; /* by their places in the log */
    gtrid_text *settled;
    size_t settled_count, settled_room;
    char **lists; /* of sites, each once */
    size_t list_count, list_room;
};

void register_table_init(struct register_table *table);
void register_table_fini(struct register_table *table);

const struct row *register_table_find(const struct register_table *table, const char *gtrid);
bool register_table_settled(const struct register_table *table, const char *gtrid);
/* Compare and set; what it sets is durable. before NULL: there must be no row. */
bool register_table_store(struct register_table *table, const struct db_register *row,
                          const struct register_state *before, uint64_t now_us);
/* A plain INSERT without a flush, at that place in the log; what was settled is not looked at.
 * NULL: there is a row. */
struct row *register_table_insert(struct register_table *table, const struct db_register *row,
                                  uint64_t log, uint64_t now_us);
/* A row that holds commit becomes a bit. False: there is none, or it holds something else. */
bool register_table_settle(struct register_table *table, const char *gtrid);
/* As it lies there from now on. */
const char *register_table_list(struct register_table *table, const char *sites);
/* For a planted bug: not this one, if there is another. */
const char *register_table_other_list(const struct register_table *table, const char *sites);
void register_table_remove(struct register_table *table, const char *gtrid);

#endif
