/* Looking into the database for an operator: evidence of one transaction, all prepared
 * transactions, and what the server is. Read-only, on a connection of its own that is opened when
 * it is first wanted, with 2 s for all statements of a look and lock_timeout 100 ms; it never takes
 * a lock that work could wait for. What this role may not see (pg_read_all_stats), and what there
 * was no time for, is null in the report.
 *
 * The report of DB_LOOK_TRANSACTION, when a branch of it is prepared here, else "". When two are,
 * as two participants share the database, it is about the one of the xid that was asked about:
 *
 *   {"gid": "troth.shop.c1.7.1.0", "owner": "payments", "database": "payments",
 *    "locks": [{"relation": "public.account", "mode": "RowExclusiveLock", "rows": 1}],
 *    "locks_more": 0,
 *    "blocked": [{"pid": 4711, "user": "app", "application": "psql", "client": "127.0.0.1",
 *                 "waiting_ms": 5300, "wants": "public.account", "behind": null,
 *                 "query": "update account ..."}],
 *    "blocked_more": 0,
 *    "vacuum": {"age_xids": 812, "freeze_max_age": 200000000, "oldest": true},
 *    "slots": {"used": 3, "max": 64}}
 *
 *   locks    of tables, the strongest first, at most 50
 *   rows     that it has locked. null where counting them would take long (tables over 64 MiB, more
 *            than 8 tables), would wait (somebody holds or wants AccessExclusiveLock), or is not
 *            allowed. Rows that were locked within a savepoint, or by others as well, are not among
 *            them; nor are those that it inserted, as nobody else sees them
 *   blocked  who waits for it, and who waits for those; the longest waiting first, at most 20. Who
 *            waits for somebody that waits is looked for among the 300 longest waiting
 *   behind   the pid that it waits for, which waits itself: the one before it in the same queue if
 *            there is one. null: it waits for the branch
 *   client   "local": over a Unix socket
 *   query    at most 300 characters
 *   oldest   nothing on this server holds vacuum back further
 *
 * The report of DB_LOOK_SERVER, of which the database need not be fit for work:
 *
 *   {"version": "15.20", "version_num": 150020, "database": "payments", "user": "payments",
 *    "superuser": false, "monitor": true, "in_recovery": false, "started_us": 1795222861000000,
 *    "settings": {"max_prepared_transactions": "64", "fsync": "on", ...},
 *    "connections": {"used": 25, "max": 100}, "slots": {"used": 3, "max": 64},
 *    "work_connections": 16, "schema_version": 4,
 *    "missing_rights": ["insert on troth.barrier"], "missing_tables": ["troth.settled"],
 *    "oldest_prepared_ms": 5300, "oldest_xmin_age": 812, "oldest_xmin_of": "prepared shop...",
 *    "frozen_age": 1000, "freeze_max_age": 200000000,
 *    "standbys": [{"name": "b", "state": "streaming", "sync_state": "async", "lag_bytes": 0}]}
 *
 *   monitor            it has the rights of pg_read_all_stats
 *   settings           as a session of this role begins with them, in PostgreSQL's own units; those
 *                      that its version lacks are not there (pg_look_sql.c has the list)
 *   schema_version     null: not installed, or not to be read
 *   oldest_prepared_ms of all databases; null: nothing is prepared
 *   oldest_xmin_of     "prepared GID", "session 4711 (psql)", "replication slot b"; null: nothing
 *   frozen_age         of the oldest datfrozenxid
 *   lag_bytes          of the log that is not yet flushed there */
#ifndef TROTH_IO_PG_INSPECT_H
#define TROTH_IO_PG_INSPECT_H

#include "io/pg_private.h"

void pg_inspect(void *self, const struct db_inspection *inspection, void *tag);
void pg_heuristic_store(void *self, const struct db_heuristic *row, void *tag);
void pg_heuristics_load(void *self, void *tag);
void pg_heuristics_forget(void *self, const char *gtrid, void *tag);

#endif
