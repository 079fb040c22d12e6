/* Looking into the database for an operator: evidence of one transaction, all prepared
 * transactions, and what the server is. Read-only, on a connection of its own that is opened when
 * it is first wanted, with statement_timeout 2 s and lock_timeout 100 ms; it never takes a lock
 * that work could wait for. What this role may not see (pg_read_all_stats) is null in the report.
 *
 * The report of DB_LOOK_TRANSACTION, when its branch is prepared here, else "":
 *   {"owner": "payments", "database": "payments",
 *    "locks": [{"relation": "public.account", "mode": "RowExclusiveLock", "rows": 1}],
 *                        rows: held by it, of tables up to 64 MiB; else null
 *    "blocked": [{"pid": 4711, "user": "app", "application": "psql", "client": "127.0.0.1",
 *                 "waiting_ms": 5300, "wants": "public.account", "behind": null,
 *                 "query": "update account ..."}],   behind: the pid before it in the same queue;
 *                                                    at most 20, the longest waiting first
 *    "blocked_more": 0,
 *    "vacuum": {"age_xids": 812, "freeze_max_age": 200000000, "oldest": true},
 *    "slots": {"used": 3, "max": 64}}
 *
 * The report of DB_LOOK_SERVER:
 *   {"version": "15.20", "version_num": 150020, "database": "payments", "user": "payments",
 *    "superuser": false, "monitor": true, "in_recovery": false, "started_us": 1795222861000000,
 *    "settings": {"max_prepared_transactions": "64", "fsync": "on", "full_page_writes": "on",
 *                 "synchronous_commit": "on", "synchronous_standby_names": "", "data_checksums":
 * "on", "wal_level": "replica", "max_connections": "100", "idle_in_transaction_session_timeout":
 * "0", "autovacuum": "on"}, "connections": {"used": 25, "max": 100}, "slots": {"used": 3, "max":
 * 64}, "schema_version": 4, "missing_rights": ["insert on troth.barrier"], "oldest_prepared_ms":
 * 5300, "oldest_xmin_age": 812, "oldest_xmin_of": "prepared shop...", "freeze_max_age": 200000000,
 *    "standbys": [{"name": "b", "state": "streaming", "sync_state": "async", "lag_bytes": 0}]} */
#ifndef TROTH_IO_PG_INSPECT_H
#define TROTH_IO_PG_INSPECT_H

#include "io/pg_private.h"

void pg_inspect(void *self, const struct db_inspection *inspection, void *tag);
void pg_heuristic_store(void *self, const struct db_heuristic *row, void *tag);
void pg_heuristics_load(void *self, void *tag);
void pg_heuristics_forget(void *self, const char *gtrid, void *tag);

#endif
