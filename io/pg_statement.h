/* The statements that work uses, each known to the server under a short name of its own, and the
 * type names of their parameters with the OIDs that the server gave for them. Shared by all
 * connections of one database port; which connection has prepared what, the connection keeps.
 *
 * The names of the runner are not used at the server: PostgreSQL cuts them at 63 bytes, and a
 * statement whose plan became invalid for good gets a new name, and with it a new plan everywhere.
 */
#ifndef TROTH_IO_PG_STATEMENT_H
#define TROTH_IO_PG_STATEMENT_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "core/list.h"
#include "core/map.h"
#include "core/ports.h"

struct pg_type {
    char *name;
    Oid oid; /* 0: not asked yet */
};

struct pg_statement {
    struct map_node node;
    struct list link; /* of all that were ever made */
    char *name;       /* the runner's */
    char *sql;
    int id;               /* 0, 1, 2 ... */
    char server_name[16]; /* s<id> */
    int parameter_count;
    struct pg_type **types;
    bool retired;
    /* With its barrier row (io/pg_joined.h). */
    struct pg_statement *joined; /* NULL: not made */
    struct pg_statement
        *lazy;               /* of one that is joined: the same, and its commit waits for no disk */
    uint64_t alone_until_us; /* likewise: it took too long for a lane */
    char *kept;              /* SQL of the JSON of its result; NULL: none, or not learned */
    int kept_columns;
    bool learned; /* its result was looked at for that */
    int refusals; /* of what was joined */
};

struct pg_statements {
    struct map map;
    struct list all;
    struct pg_type **types;
    int type_count;
    int last_id;
};

void pg_statements_init(struct pg_statements *statements);
void pg_statements_fini(struct pg_statements *statements);
/* Finds or makes. Valid until fini. */
struct pg_statement *pg_statement_get(struct pg_statements *statements,
                                      const struct db_statement *statement);
/* The next get makes a new one. Its memory stays until fini: work may still point at it. */
void pg_statement_retire(struct pg_statements *statements, struct pg_statement *statement);
/* The OIDs may be wrong: they are asked again before the next use. */
void pg_statement_forget_types(struct pg_statement *statement);
void pg_statements_forget_types(struct pg_statements *statements);

#endif
