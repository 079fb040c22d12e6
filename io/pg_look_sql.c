#include "io/pg_look_sql.h"

#define MICROSECONDS(time) "(extract(epoch from " time ") * 1000000)::bigint"
/* Once, as the snapshot holds every prepared xid. */
#define CLOCK_AND_NEXT                                                                             \
    MICROSECONDS("clock_timestamp()") ", (select pg_snapshot_xmax(pg_current_snapshot()))"
#define HELD                                                                                       \
    "p.gid, p.owner, p.database, p.transaction, age(p.transaction)," MICROSECONDS(                 \
        "p.prepared") ", p.database = current_database()"

const char pg_look_facts_sql[] =
    "select " CLOCK_AND_NEXT ", " HELD ","
    " (select b.kind from troth.barrier b where b.gtrid = $2), r.gtrid is not null,"
    " exists (select from troth.settled s where s.cluster = $3 and s.coordinator = $4"
    "   and s.epoch = $5::bigint and s.block = $6::bigint / 4096"
    "   and get_bit(s.bits, ($6::bigint % 4096)::int) = 1),"
    " r.promised_round, r.promised_site, r.accepted_round, r.accepted_site, r.value"
    " from (values (1)) one left join pg_prepared_xacts p on p.database = current_database()"
    "   and substring(p.gid from '^troth\\.(.*)\\.[0-9]+$') = $2"
    " left join troth.register r on r.gtrid = $2 and r.participant = $1 order by p.gid";

const char pg_look_prepared_sql[] =
    "select " CLOCK_AND_NEXT ", " HELD
    " from (values (1)) one left join pg_prepared_xacts p on true order by p.prepared";

const char pg_look_status_sql[] = "select pg_xact_status($1::text::xid8)";

/* ---- what a branch reaches ------------------------------------------------------------------- */

/* A picture of all locks, taken once; `object` names what is locked. */
#define LOCKS                                                                                      \
    "l as materialized (select *, concat_ws(':', locktype, database, relation, page, tuple,"       \
    "   virtualxid, transactionid, classid, objid, objsubid) as object from pg_locks)"

/* How strong a mode is, and the modes that it conflicts with, a bit each (lock.c of PostgreSQL). */
#define MODES                                                                                      \
    "modes (mode, rank, conflicts) as (values ('AccessShareLock', 1, 128),"                        \
    " ('RowShareLock', 2, 192), ('RowExclusiveLock', 3, 240),"                                     \
    " ('ShareUpdateExclusiveLock', 4, 248), ('ShareLock', 5, 236),"                                \
    " ('ShareRowExclusiveLock', 6, 252), ('ExclusiveLock', 7, 254),"                               \
    " ('AccessExclusiveLock', 8, 255))"

/* Of a prepared transaction no pid is told, and its virtual xid may be the one it had as a session:
 * what is certainly its own is the lock of its xid. */
#define MINE                                                                                       \
    "mine as materialized (select l.*, m.rank, m.conflicts from l join modes m using (mode)"       \
    " where l.pid is null and l.granted and l.virtualtransaction = (select x.virtualtransaction"   \
    "   from l x where x.pid is null and x.granted and x.locktype = 'transactionid'"               \
    "   and x.transactionid = $1::text::xid limit 1))"

#define WAITS                                                                                      \
    "waits as materialized (select l.*, m.rank, (to_jsonb(l) ->> 'waitstart')::timestamptz"        \
    "   as since from l join modes m using (mode) where not l.granted and l.pid is not null)"

/* Who stands before whom, as the server itself sees it: holders, and those who came first to the
 * same queue. A prepared transaction is a 0 in it, whichever it is: those are looked up in `mine`.
 * Each may stand before all others: so not of thousands. */
#define BEHINDS                                                                                    \
    "behinds as materialized (select w.pid, b.pid as before"                                       \
    "   from (select * from waits order by since limit 300) w,"                                    \
    "   unnest(pg_blocking_pids(w.pid)) b (pid) where b.pid <> 0)"
#define BLOCKED                                                                                    \
    "blocked (pid) as (select w.pid from waits w where exists (select from mine m"                 \
    "     where m.object = w.object and m.conflicts & (1 << (w.rank - 1)) <> 0)"                   \
    "   union select b.pid from behinds b join blocked k on k.pid = b.before)"

#define NAMES                                                                                      \
    "names as materialized (select c.oid, c.relkind, c.relnamespace,"                              \
    "   format('%I.%I', n.nspname, c.relname) as name"                                             \
    "   from pg_class c join pg_namespace n on n.oid = c.relnamespace where c.oid in"              \
    "     (select l.relation from l where l.relation is not null and l.database in"                \
    "       (0, (select d.oid from pg_database d where d.datname = current_database()))))"

/* A session that waits for the end of the branch has locked the row, in whose table it is, unless
 * it inserts a key: then it is a table that both write, if there is only one. */
#define WANTED                                                                                     \
    "case when w.locktype = 'transactionid' then coalesce("                                        \
    "  (select min(n.name) from l t join names n on n.oid = t.relation"                            \
    "     where t.pid = w.pid and t.locktype = 'tuple' and t.granted),"                            \
    "  (select case when count(*) = 1 then min(n.name) end from l t"                               \
    "     join names n on n.oid = t.relation and n.relkind = 'r' join mine m on m.object = "       \
    "t.object"                                                                                     \
    "     where t.pid = w.pid and t.locktype = 'relation' and t.granted"                           \
    "     and t.mode = 'RowExclusiveLock' and m.mode = 'RowExclusiveLock'))"                       \
    " when w.locktype = 'advisory' then format('advisory lock %s %s', w.classid, w.objid)"         \
    " else coalesce((select n.name from names n where n.oid = w.relation), w.locktype) end"

/* The pid before it: in the same queue, else any whose end it needs. */
#define VICTIMS                                                                                    \
    "victims as materialized (select w.pid, coalesce(w.since, a.query_start) as since, a.usename," \
    "   a.application_name, case a.client_port when -1 then 'local' else host(a.client_addr) end"  \
    "   as client, left(regexp_replace(nullif(a.query, '<insufficient privilege>'), '\\s+', ' ',"  \
    "   'g'), 300) as query, " WANTED " as wants,"                                                 \
    "   (select b.before from behinds b left join waits v on v.pid = b.before"                     \
    "      and v.object = w.object where b.pid = w.pid and b.before in (select pid from blocked)"  \
    "      order by v.since desc nulls last limit 1) as behind"                                    \
    "   from blocked join waits w using (pid) left join pg_stat_activity a using (pid))"

/* Its rows are counted only where nobody holds or wants a lock that a reader would wait for. */
#define TABLES                                                                                     \
    "tables as materialized (select n.oid, n.name, max(m.rank) as rank, n.relkind in ('r', 'm')"   \
    "   and max(m.rank) between 2 and 7 and has_table_privilege(n.oid, 'select')"                  \
    "   and has_schema_privilege(n.relnamespace, 'usage') and not exists (select from l x"         \
    "     where x.relation = n.oid and x.locktype = 'relation' and x.mode = "                      \
    "'AccessExclusiveLock')"                                                                       \
    "   as countable from mine m join names n on n.oid = m.relation"                               \
    "   where m.locktype = 'relation' and n.relkind in ('r', 'p', 'm', 'f', 'v')"                  \
    "   group by n.oid, n.name, n.relkind, n.relnamespace)"

/* Whatever keeps vacuum from removing rows: xids that are in progress, and snapshots. */
#define HORIZONS                                                                                   \
    "horizons (age, of) as materialized (select age(transaction), 'prepared ' || gid"              \
    "   from pg_prepared_xacts"                                                                    \
    " union all select greatest(age(backend_xid), age(backend_xmin)), format('session %s (%s)',"   \
    "   pid, application_name) from pg_stat_activity where pid <> pg_backend_pid()"                \
    "   and coalesce(backend_xid, backend_xmin) is not null"                                       \
    " union all select greatest(age(xmin), age(catalog_xmin)), 'replication slot ' || slot_name"   \
    "   from pg_replication_slots where coalesce(xmin, catalog_xmin) is not null)"

#define FREEZE_MAX_AGE "current_setting('autovacuum_freeze_max_age')::bigint"
#define PREPARED_SLOTS                                                                             \
    "json_build_object('used', (select count(*) from pg_prepared_xacts),"                          \
    "   'max', current_setting('max_prepared_transactions')::int)"

const char pg_look_reach_sql[] =
    "with recursive " LOCKS ", " MODES ", " MINE ", " WAITS ", " BEHINDS ", " BLOCKED ", " NAMES
    ", " VICTIMS ", " TABLES ", " HORIZONS ","
    " head as materialized (select (select coalesce(json_agg(json_build_object('pid', v.pid,"
    "     'user', v.usename, 'application', v.application_name, 'client', v.client,"
    "     'waiting_ms', greatest(extract(epoch from clock_timestamp() - v.since) * 1000, "
    "0)::bigint,"
    "     'wants', v.wants, 'behind', v.behind, 'query', v.query) order by v.since, v.pid), '[]')"
    "     from (select * from victims order by since, pid limit 20) v) as blocked,"
    "   (select greatest(count(*) - 20, 0) from victims) as blocked_more,"
    "   (select json_build_object('age_xids', age($1::text::xid), 'freeze_max_age', " FREEZE_MAX_AGE
    "     , 'oldest', age($1::text::xid) >= max(h.age)) from horizons h) as vacuum,"
    "   " PREPARED_SLOTS " as slots),"
    " shown as (select *, row_number() over (order by rank desc, name) as number from tables)"
    " select head.blocked, head.blocked_more, head.vacuum, head.slots, s.name, m.mode,"
    "   case when s.countable then s.oid end,"
    "   case when s.number = 1 then (select greatest(count(*) - 50, 0) from tables) end"
    " from (values (1)) one left join shown s on s.number <= 50 left join modes m using (rank)"
    " left join head on coalesce(s.number, 1) = 1 order by s.number";

/* ---- the server ------------------------------------------------------------------------------ */

#define SETTINGS                                                                                   \
    "'max_prepared_transactions', 'fsync', 'full_page_writes', 'synchronous_commit',"              \
    " 'synchronous_standby_names', 'data_checksums', 'wal_level', 'max_connections',"              \
    " 'superuser_reserved_connections', 'idle_in_transaction_session_timeout',"                    \
    " 'idle_session_timeout', 'transaction_timeout', 'autovacuum', 'track_activities',"            \
    " 'default_transaction_read_only', 'zero_damaged_pages', 'ignore_checksum_failure'"

#define NEEDED                                                                                     \
    "needed (tab, action) as (values ('installed', 'select'), ('barrier', 'select'),"              \
    " ('barrier', 'insert'), ('barrier', 'update'), ('barrier', 'delete'),"                        \
    " ('register', 'select'), ('register', 'insert'), ('register', 'update'),"                     \
    " ('register', 'delete'), ('settled', 'select'), ('settled', 'insert'),"                       \
    " ('settled', 'update'), ('settled', 'delete'), ('sites', 'select'), ('sites', 'insert'), "    \
    "('heuristic', 'select'),"                                                                     \
    " ('heuristic', 'insert'), ('heuristic', 'update')),"                                          \
    " there as materialized (select c.oid, c.relname, n.oid as schema from pg_namespace n"         \
    "   left join pg_class c on c.relnamespace = n.oid and c.relkind in ('r', 'p')"                \
    "   where n.nspname = 'troth'),"                                                               \
    " rights (missing) as (select 'usage on schema troth' from there"                              \
    "     where not has_schema_privilege(schema, 'usage') union"                                   \
    "   select format('%s on troth.%s', action, tab) from needed join there on relname = tab"      \
    "     where not has_table_privilege(there.oid, action))"

const char pg_look_server_sql[] =
    "with " HORIZONS ", " NEEDED ","
    " oldest as (select age, of from horizons order by age desc limit 1)"
    " select json_build_object('version', current_setting('server_version'),"
    " 'version_num', current_setting('server_version_num')::int,"
    " 'database', current_database(), 'user', current_user,"
    " 'superuser', (select rolsuper from pg_roles where rolname = current_user),"
    " 'monitor', pg_has_role('pg_read_all_stats', 'usage'),"
    " 'in_recovery', pg_is_in_recovery(),"
    " 'started_us', " MICROSECONDS(
        "pg_postmaster_start_time()") ","
                                      " 'settings', (select json_object_agg(name, reset_val order "
                                      "by name) from pg_settings"
                                      "   where name in (" SETTINGS
                                      ") or name ~ 'prepared.*timeout'),"
                                      " 'connections', json_build_object('used', (select "
                                      "sum(numbackends) from pg_stat_database),"
                                      "   'max', current_setting('max_connections')::int),"
                                      " 'slots', " PREPARED_SLOTS
                                      ", 'work_connections', $2::text::int, 'schema_version', "
                                      "$1::text::int,"
                                      " 'missing_rights', (select coalesce(json_agg(missing order "
                                      "by missing), '[]') from rights),"
                                      " 'missing_tables', (select coalesce(json_agg(distinct "
                                      "'troth.' || tab), '[]') from needed"
                                      "   where not exists (select from there where relname = "
                                      "tab)),"
                                      " 'oldest_prepared_ms', (select (extract(epoch from "
                                      "clock_timestamp() - min(prepared)) * 1000)"
                                      "   ::bigint from pg_prepared_xacts),"
                                      " 'oldest_xmin_age', (select age from oldest), "
                                      "'oldest_xmin_of', (select of from oldest),"
                                      " 'frozen_age', (select max(age(datfrozenxid)) from "
                                      "pg_database),"
                                      " 'freeze_max_age', " FREEZE_MAX_AGE ","
                                      " 'standbys', (select "
                                      "coalesce(json_agg(json_build_object('name', "
                                      "application_name,"
                                      "     'state', state, 'sync_state', sync_state, 'lag_bytes', "
                                      "case when not pg_is_in_recovery()"
                                      "     then pg_wal_lsn_diff(pg_current_wal_lsn(), flush_lsn) "
                                      "end) order by application_name), '[]')"
                                      "   from (select * from pg_stat_replication order by "
                                      "application_name limit 20) standby)),"
                                      " " MICROSECONDS("clock_timestamp()");
