/* Work that must be looked at before its COMMIT, in one round trip: its last statement and its row
 * of troth.barrier become one statement, that counts the rows, makes the result and keeps it.
 *
 *   with w (c1) as (<the statement>) insert into troth.barrier (gtrid, kind, result)
 *   values ($3, case (select count(*) from w) when 2 then $4 end, <JSON of c1>) returning result
 *
 * Where the number of rows is not the expected one, kind is null, which the table refuses: so
 * nothing is done. That is the only way to find it out, as the row is committed in the same round
 * trip. */
#ifndef TROTH_IO_PG_JOINED_H
#define TROTH_IO_PG_JOINED_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "core/ports.h"
#include "io/pg_statement.h"
#include "io/pg_steps.h"

/* Its parameters are those of the work's last statement, the key and the kind. NULL: there is
 * nothing to look at, or it can't be done like this (yet). */
struct pg_statement *pg_joined_get(struct pg_statements *statements, const struct db_work *work);

/* The same with a commit that does not wait for the disk: another one must, before anything is told
 * of it. */
struct pg_statement *pg_joined_lazy(struct pg_statements *statements, const struct db_work *work,
                                    struct pg_statement *joined);
/* As STEP_JOINED; joined: one of the two. */
void pg_joined_send(struct pg_steps *steps, struct pg_statement *joined,
                    const struct db_work *work);

/* The columns that the statement returns are known from a result: from now on they can be made into
 * JSON by the server, if they are of types for which that is exactly pg_json's. */
void pg_joined_learn(struct pg_statements *statements, const struct db_statement *statement,
                     const PGresult *result);

/* The server does not take the joined statement, and the work is to be done apart: as a rule of the
 * table keeps it from standing in a WITH, or a column has another type now. What was learned is
 * forgotten; not for ever, unless it comes again and again. False: the failure is another one. */
bool pg_joined_refused(struct pg_statements *statements, const struct db_statement *statement,
                       const char *sqlstate);

/* Errors that the row raises, not the work: another row has its key; the number of rows differs. */
bool pg_joined_is_duplicate(const PGresult *result);
bool pg_joined_is_unexpected(const PGresult *result);

#endif
