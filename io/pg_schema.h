/* sql/troth.sql, taken into the program when it is built. */
#ifndef TROTH_IO_PG_SCHEMA_H
#define TROTH_IO_PG_SCHEMA_H

extern const char pg_schema_sql[]; /* NUL-terminated */

#endif
