/* What a PostgreSQL server must be for a participant to work on it. */
#ifndef TROTH_IO_PG_SERVER_H
#define TROTH_IO_PG_SERVER_H

#include <libpq-fe.h>
#include <stdbool.h>

#include "core/error.h"

/* The version of sql/troth.sql. */
enum { PG_SCHEMA_VERSION = 5 };

/* Two queries without parameters; the second fails where the schema is not installed. */
extern const char pg_server_facts_sql[];
extern const char pg_server_identity_sql[]; /* the server's, and the database's */
extern const char pg_server_version_sql[];

/* Judges the results of the two; version is NULL when the second failed. False with an error that
 * says what to set. */
bool pg_server_judge(const PGresult *facts, const PGresult *version, struct error *error);

#endif
