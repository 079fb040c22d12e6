#include "tests/real/support/cluster.h"

#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"

/* TROTH_TEST_PG_PAYMENTS, TROTH_TEST_PG_PAYMENTS_DATA */
static void variable_name(char *variable, size_t size, const char *name, const char *suffix)
{
    snprintf(variable, size, "TROTH_TEST_PG_%s%s", name, suffix);
    for (char *at = variable; *at; at++)
        *at = (char)toupper((unsigned char)*at);
}

static const char *read_variable(const char *name, const char *suffix)
{
    char variable[64];
    variable_name(variable, sizeof(variable), name, suffix);
    const char *value = getenv(variable);
    if (!value)
        fail_msg("%s is not set: run it by tests/run", variable);
    return value;
}

const char *cluster_conninfo(const char *name)
{
    return read_variable(name, "");
}

/* ---- SQL ----------------------------------------------------------------------------------- */

/* One for each cluster, kept: a test asks often. */
static struct {
    char name[32];
    PGconn *connection;
} kept[8];

static PGconn *connect_to(const char *name)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (!kept[i].connection) {
            snprintf(kept[i].name, sizeof(kept[i].name), "%s", name);
            kept[i].connection = PQconnectdb(cluster_conninfo(name));
            PQclear(PQexec(kept[i].connection, "set lock_timeout = '20s'"));
        }
        if (strcmp(kept[i].name, name) == 0)
            return kept[i].connection;
    }
    fail_msg("more clusters than expected");
    return NULL;
}

static void disconnect_from(const char *name)
{
    for (size_t i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        if (kept[i].connection && strcmp(kept[i].name, name) == 0) {
            PQfinish(kept[i].connection);
            kept[i].connection = NULL;
        }
    }
}

static bool has_failed(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status != PGRES_TUPLES_OK && status != PGRES_COMMAND_OK;
}

PGresult *cluster_query(const char *name, const char *sql)
{
    PGconn *connection = connect_to(name);
    PGresult *result = PQexec(connection, sql);
    if (has_failed(result)) {
        PQclear(result);
        fail_msg("%s: %s: %s", name, sql, PQerrorMessage(connection));
    }
    return result;
}

void cluster_do(const char *name, const char *sql)
{
    PQclear(cluster_query(name, sql));
}

int64_t cluster_value(const char *name, const char *sql)
{
    PGresult *result = cluster_query(name, sql);
    int rows = PQntuples(result);
    int64_t value = rows == 1 ? strtoll(PQgetvalue(result, 0, 0), NULL, 10) : 0;
    PQclear(result);
    assert_int_equal(rows, 1);
    return value;
}

void cluster_end_prepared(const char *name)
{
    cluster_do(name, "select pg_terminate_backend(pid, 10000) from pg_stat_activity"
                     " where application_name like 'troth%'");
    PGresult *result = cluster_query(name, "select format('rollback prepared %L', gid) from "
                                           "pg_prepared_xacts where database = current_database()");
    for (int i = 0; i < PQntuples(result); i++)
        cluster_do(name, PQgetvalue(result, i, 0));
    PQclear(result);
}

/* ---- servers ------------------------------------------------------------------------------- */

/* Runs a line of shell, without single quotes in it, that knows tests/lib/clusters.sh. */
static bool run_shell(const char *line)
{
    char *command = xasprintf("cd '%s' && bash -c 'set -euo pipefail; . tests/lib/common.sh;"
                              " . tests/lib/clusters.sh; %s' </dev/null",
                              TROTH_SOURCE, line);
    bool done = system(command) == 0;
    free(command);
    return done;
}

void cluster_call(const char *function, const char *name)
{
    char line[128];
    disconnect_from(name);
    snprintf(line, sizeof(line), "%s %s", function, name);
    if (!run_shell(line))
        fail_msg("failed: %s", line);
}

void cluster_mend(const char *name)
{
    disconnect_from(name);
    if (PQping(cluster_conninfo(name)) != PQPING_OK)
        cluster_call("cluster_restart", name);
}

void cluster_make(const char *name, const char *settings)
{
    char variable[64], data[300], conninfo[400];
    const char *payments = read_variable("payments", "_DATA");
    snprintf(data, sizeof(data), "%.*s/%s", (int)(strrchr(payments, '/') - payments), payments,
             name);
    variable_name(variable, sizeof(variable), name, "_DATA");
    setenv(variable, data, 1);
    snprintf(conninfo, sizeof(conninfo), "host=%s dbname=%s user=postgres", data, name);
    variable_name(variable, sizeof(variable), name, "");
    setenv(variable, conninfo, 1);
    char *line = xasprintf(
        "data=$(cluster_data %s); rm -rf $data;"
        " as_postgres $TROTH_TEST_PG_BIN/initdb -D $data -U postgres --auth=trust --no-sync"
        "   --encoding=UTF8 --locale=C.UTF-8 >/dev/null;"
        " printf \"%%s = \\x27%%s\\x27\\n\" listen_addresses \"\" unix_socket_directories $data"
        "   fsync off full_page_writes off >>$data/postgresql.conf;"
        " printf \"%%s\\n\" \"%s\" >>$data/postgresql.conf;"
        " cluster_start %s; as_postgres $TROTH_TEST_PG_BIN/createdb -h $data -U postgres %s",
        name, settings, name, name);
    bool done = run_shell(line);
    free(line);
    if (!done)
        fail_msg("the cluster %s could not be made", name);
}

void cluster_drop(const char *name)
{
    char line[200], variable[64];
    variable_name(variable, sizeof(variable), name, "_DATA");
    disconnect_from(name);
    snprintf(line, sizeof(line), "cluster_stop %s; rm -rf $(cluster_data %s)", name, name);
    if (getenv(variable) && !run_shell(line))
        print_error("the cluster %s could not be removed\n", name);
}
