#include "io/pg_server.h"

#include <stdlib.h>
#include <string.h>

enum { OLDEST_SERVER = 130000 }; /* pg_current_xact_id() and pg_xact_status(xid8) came with 13 */

const char pg_server_facts_sql[] =
    "select current_setting('server_version_num'), current_setting('server_version'),"
    " current_setting('max_prepared_transactions'), pg_is_in_recovery(),"
    " current_database(), current_user,"
    " (select string_agg(name || ' = ' || setting, ', ') from pg_settings"
    "   where name ~ 'prepared.*timeout' and setting not in ('0', '-1', 'off', '')),"
    " coalesce((select has_schema_privilege(n.oid, 'usage') and"
    "   bool_and(has_table_privilege(c.oid, 'select') and (c.relname = 'installed' or"
    "     has_table_privilege(c.oid, 'insert') and (c.relname = 'sites' or"
    "     has_table_privilege(c.oid, 'update') and (c.relname = 'heuristic' or"
    "     has_table_privilege(c.oid, 'delete')))))"
    "   from pg_namespace n left join pg_class c on c.relnamespace = n.oid"
    "   and c.relname in ('installed', 'barrier', 'register', 'settled', 'sites', 'heuristic')"
    "   where n.nspname = 'troth' group by n.oid), true),"
    " (select string_agg('troth.' || t, ', ')"
    "   from unnest(array['barrier', 'register', 'settled', 'sites', 'heuristic']) t"
    "   where not exists (select from pg_class c join pg_namespace n on n.oid = c.relnamespace"
    "     where n.nspname = 'troth' and c.relname = t))";

/* By itself: everybody may ask this by default, and who may not gets along without it. */
const char pg_server_identity_sql[] =
    "select (select system_identifier from pg_control_system())::text || '/' || oid::text"
    " from pg_database where datname = current_database()";

const char pg_server_version_sql[] = "select max(version) from troth.installed";

enum { VERSION_NUMBER, VERSION, SLOTS, STANDBY, DATABASE, USER, TIMEOUTS, RIGHTS, MISSING };

static const char *fact(const PGresult *facts, int column)
{
    return PQgetvalue(facts, 0, column);
}

static bool judge_server(const PGresult *facts, struct error *error)
{
    if (atoi(fact(facts, VERSION_NUMBER)) < OLDEST_SERVER) {
        error_set(error, ERROR_IO, "PostgreSQL %s is too old", fact(facts, VERSION));
        return error_hint(error, "Troth needs PostgreSQL 13 or newer");
    }
    if (strcmp(fact(facts, STANDBY), "t") == 0) {
        error_set(error, ERROR_IO, "the PostgreSQL server is a standby");
        error_detail(error, "database %s: pg_is_in_recovery() is true", fact(facts, DATABASE));
        return error_hint(error, "point postgres.conninfo at the primary, or name all hosts there "
                                 "with target_session_attrs=read-write");
    }
    if (atoi(fact(facts, SLOTS)) == 0) {
        error_set(error, ERROR_IO,
                  "PostgreSQL has max_prepared_transactions = 0: it can't prepare transactions");
        error_detail(error, "database %s, as %s", fact(facts, DATABASE), fact(facts, USER));
        return error_hint(error,
                          "as a superuser: ALTER SYSTEM SET max_prepared_transactions = 100; "
                          "then restart PostgreSQL, a reload is not enough");
    }
    if (!PQgetisnull(facts, 0, TIMEOUTS)) {
        error_set(error, ERROR_IO, "PostgreSQL ends prepared transactions by a timer");
        error_detail(error,
                     "%s: a branch that voted yes could be rolled back behind its "
                     "coordinator's back",
                     fact(facts, TIMEOUTS));
        return error_hint(error, "set it to 0");
    }
    return true;
}

bool pg_server_judge(const PGresult *facts, const PGresult *version, struct error *error)
{
    if (!judge_server(facts, error))
        return false;
    if (strcmp(fact(facts, RIGHTS), "t") != 0) {
        error_set(error, ERROR_IO, "role %s has no right to use the schema troth",
                  fact(facts, USER));
        error_detail(error, "database %s", fact(facts, DATABASE));
        return error_hint(error, "install the schema as this role, or grant it USAGE on schema "
                                 "troth; SELECT, INSERT and UPDATE on its tables; and DELETE on "
                                 "troth.barrier, troth.register and troth.settled");
    }
    if (!version || PQntuples(version) == 0 || PQgetisnull(version, 0, 0)) {
        error_set(error, ERROR_IO, "the schema troth is not installed in database %s",
                  fact(facts, DATABASE));
        return error_hint(error, "run once: troth-participant --install --config FILE");
    }
    int installed = atoi(PQgetvalue(version, 0, 0));
    if (installed != PG_SCHEMA_VERSION) {
        error_set(error, ERROR_IO, "the schema troth in database %s has version %d, not %d",
                  fact(facts, DATABASE), installed, PG_SCHEMA_VERSION);
        return installed < PG_SCHEMA_VERSION
                   ? error_hint(error, "bring it up to date: troth-participant --install "
                                       "--config FILE")
                   : error_hint(error, "a newer Troth works on this database: run that version");
    }
    if (!PQgetisnull(facts, 0, MISSING)) {
        error_set(error, ERROR_IO, "%s is missing in database %s", fact(facts, MISSING),
                  fact(facts, DATABASE));
        error_detail(error, "the schema troth was installed there; what is missing was dropped "
                            "since, and what it knew of transactions in doubt is lost");
        return error_hint(error, "restore it from where it went; or, when nothing is in doubt "
                                 "there, make it anew: troth-participant --install --config FILE");
    }
    return true;
}
