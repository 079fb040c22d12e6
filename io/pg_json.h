/* Rows as JSON, by the type of each column: integers, floats and numeric as numbers exactly as
 * PostgreSQL wrote them (NaN and Infinity, which JSON lacks, as strings), boolean, json and jsonb
 * as they are, null, and everything else as a string of PostgreSQL's text. */
#ifndef TROTH_IO_PG_JSON_H
#define TROTH_IO_PG_JSON_H

#include <libpq-fe.h>

#include "core/ports.h"

/* DB_ROW: the first row as an object, or null when there is none. DB_ROWS: an array of objects.
 * DB_NO_RESULT: NULL. A column name that comes again gets a number: id, id_2. The caller frees it.
 */
char *pg_json(const PGresult *result, enum db_shape shape);

#endif
