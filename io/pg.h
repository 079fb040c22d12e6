/* The database port over libpq: non-blocking connections in pipeline mode. */
#ifndef TROTH_IO_PG_H
#define TROTH_IO_PG_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/ports.h"
#include "io/loop.h"

struct pg;
struct pg_handlers;

struct pg_config {
    const char *conninfo;
    const char *cluster;
    const char *participant;
    int connections; /* for work; those that finish branches are extra */
    uint64_t lock_timeout_us;
    /* Registers will be used: their connection is opened with the others, and not only when the
     * first is asked for. */
    bool three_phase;
    /* Who does work that has calls instead of statements (io/pg_handlers.h), on as many threads as
     * there are connections; outlives the port. NULL: no work has. */
    const struct pg_handlers *handlers;
};

/* Starts connecting; events->up comes from the loop when the database is ready. Copies all. */
struct pg *pg_new(struct loop *loop, const struct pg_config *config);
/* Must be called before the loop runs. The events struct is copied. */
void pg_bind(struct pg *pg, const struct db_events *events);
const struct db_port *pg_port(struct pg *pg);
void pg_free(struct pg *pg);

/* Blocking, for --install and --check-config: creates or brings up to date the schema troth. */
bool pg_install(const struct pg_config *config, struct error *error);
/* Blocking: can this participant work here? max_prepared_transactions, rights, schema, settings;
 * and does the server understand these statements? name: how the error calls one; values are not
 * used. The error lists all that it does not. */
bool pg_check(const struct pg_config *config, const struct db_statement *statements, int count,
              struct error *error);

#endif
