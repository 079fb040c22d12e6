/* The two blocking errands: --install and --check-config. They use no loop. */
#include <libpq-fe.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/pg.h"
#include "io/pg_connection.h"
#include "io/pg_schema.h"
#include "io/pg_server.h"

static void be_quiet(void *self, const PGresult *notice)
{
    (void)self;
    (void)notice;
}

static PGconn *reach(const struct pg_config *config, struct error *error)
{
    if (!pg_conninfo_valid(config->conninfo)) {
        error_set(error, ERROR_USAGE, "postgres.conninfo is not a connection string");
        error_hint(error,
                   "write keyword=value pairs, as in \"host=/run/postgresql dbname=orders\", "
                   "or a postgresql:// address");
        return NULL;
    }
    const char *keywords[PG_PARAMETERS], *values[PG_PARAMETERS];
    pg_connection_parameters(config->conninfo, "troth-participant", keywords, values);
    PGconn *connection = PQconnectdbParams(keywords, values, 1);
    if (connection && PQstatus(connection) == CONNECTION_OK) {
        PQsetNoticeReceiver(connection, be_quiet, NULL);
        return connection;
    }
    char line[512];
    error_set(error, ERROR_UNREACHABLE, "can't connect to PostgreSQL");
    error_detail(error, "%s",
                 pg_first_line(connection ? PQerrorMessage(connection) : "out of memory", line,
                               sizeof(line)));
    error_hint(error, "check that the server runs, and postgres.conninfo");
    PQfinish(connection);
    return NULL;
}

/* error from the connection's last command. */
static bool refused(PGconn *connection, const char *what, struct error *error)
{
    char line[512];
    error_set(error, ERROR_IO, "%s", what);
    return error_detail(error, "%s", pg_first_line(PQerrorMessage(connection), line, sizeof(line)));
}

static bool check(PGconn *connection, struct error *error)
{
    PGresult *facts = PQexec(connection, pg_server_facts_sql), *version = NULL;
    bool ok = PQresultStatus(facts) == PGRES_TUPLES_OK;
    if (!ok) {
        refused(connection, "PostgreSQL does not tell its settings", error);
    } else {
        version = PQexec(connection, pg_server_version_sql);
        bool readable = PQresultStatus(version) == PGRES_TUPLES_OK;
        ok = pg_server_judge(facts, readable ? version : NULL, error);
    }
    PQclear(version);
    PQclear(facts);
    return ok;
}

/* ---- statements ---------------------------------------------------------------------------- */

/* The first line of what the server says against the result, or NULL; ends the result. */
static const char *against(PGresult *result, char *buffer, int size)
{
    ExecStatusType status = PQresultStatus(result);
    bool good = status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
    if (!good)
        pg_first_line(PQresultErrorMessage(result), buffer, size);
    PQclear(result);
    return good ? NULL : buffer;
}

/* The server parses and analyses a statement when it is prepared, and does not run it. */
static const char *statement_problem(PGconn *connection, const struct db_statement *statement,
                                     char *buffer, int size)
{
    Oid *types = xcalloc((size_t)statement->parameter_count, sizeof(*types));
    const char *problem = NULL;
    for (int i = 0; i < statement->parameter_count && !problem; i++) {
        PGresult *result = PQexecParams(connection, "select $1::text::regtype::oid", 1, NULL,
                                        &statement->types[i], NULL, NULL, 0);
        if (PQresultStatus(result) == PGRES_TUPLES_OK)
            types[i] = (Oid)strtoul(PQgetvalue(result, 0, 0), NULL, 10);
        problem = against(result, buffer, size);
    }
    if (!problem)
        problem =
            against(PQprepare(connection, "", statement->sql, statement->parameter_count, types),
                    buffer, size);
    free(types);
    return problem;
}

static bool check_statements(PGconn *connection, const struct db_statement *statements, int count,
                             struct error *error)
{
    char all[sizeof(error->detail)] = "", problem[256];
    size_t used = 0;
    int bad = 0;
    for (int i = 0; i < count; i++) {
        if (!statement_problem(connection, &statements[i], problem, sizeof(problem)))
            continue;
        int wrote = snprintf(all + used, sizeof(all) - used, "%s%s: %s",
                             bad++ ? "\n          " : "", statements[i].name, problem);
        used = used + (size_t)wrote < sizeof(all) ? used + (size_t)wrote : sizeof(all) - 1;
    }
    if (bad == 0)
        return true;
    error_set(error, ERROR_REFUSED, "the database %s refuses %d statement%s", PQdb(connection), bad,
              bad == 1 ? "" : "s");
    error_detail(error, "%s", all);
    return error_hint(error, "mend them under `operations`, or create what they need");
}

bool pg_check(const struct pg_config *config, const struct db_statement *statements, int count,
              struct error *error)
{
    PGconn *connection = reach(config, error);
    if (!connection)
        return false;
    bool ok = check(connection, error) && check_statements(connection, statements, count, error);
    PQfinish(connection);
    return ok;
}

static bool run(PGconn *connection, const char *sql)
{
    PGresult *result = PQexec(connection, sql);
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    return status == PGRES_COMMAND_OK || status == PGRES_TUPLES_OK;
}

/* A newer Troth's schema is left alone. */
static bool not_newer(PGconn *connection, struct error *error)
{
    PGresult *result = PQexec(connection, pg_server_version_sql);
    int installed = PQresultStatus(result) == PGRES_TUPLES_OK && PQntuples(result) == 1
                        ? atoi(PQgetvalue(result, 0, 0))
                        : 0;
    PQclear(result);
    if (installed <= PG_SCHEMA_VERSION)
        return true;
    error_set(error, ERROR_REFUSED, "the schema troth in database %s has the newer version %d",
              PQdb(connection), installed);
    return error_hint(error, "a newer Troth works on this database: run that version");
}

static bool install(PGconn *connection, struct error *error)
{
    if (!not_newer(connection, error))
        return false;
    /* The lock: two participants that share a database may be installed at the same time. */
    if (run(connection, "begin; select pg_advisory_xact_lock(hashtext('troth install'))") &&
        run(connection, pg_schema_sql) && run(connection, "commit"))
        return true;
    refused(connection, "the schema troth can't be created", error);
    error_hint(error,
               "the role needs the right to create: as the database's owner, GRANT CREATE "
               "ON DATABASE %s TO %s",
               PQdb(connection), PQuser(connection));
    return false;
}

bool pg_install(const struct pg_config *config, struct error *error)
{
    PGconn *connection = reach(config, error);
    if (!connection)
        return false;
    bool ok = install(connection, error);
    PQfinish(connection);
    return ok;
}
