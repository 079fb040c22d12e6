/* Looking into the database for an operator: evidence of one transaction, all prepared
 * transactions, and what the server is. Read-only, on a connection of its own that is opened when
 * it is first wanted, with 2 s for all statements of a look and lock_timeout 100 ms; it never takes
 * a lock that work could wait for. What this role may not see (pg_read_all_stats), and what there
 * was no time for, is null in the report.
 *
 * The report of DB_LOOK_TRANSACTION, when a branch of it is prepared here, else "". When two are,
 * as two participants share the database, it is about the one of the xid that was asked about:
 *   {"gid": "troth.shop.c1.7.1.0", "owner": "payments", "database": "payments",
 *    "locks": [{"relation": "public.account", "mode": "RowExclusiveLock", "rows": 1}],
 *                        tables, the strongest locks first, at most 50. rows: those that it holds
 *                        locked; null where counting them would take long (tables over 64 MiB, more
 *                        than 8 tables) or would wait (somebody holds or wants
 * AccessExclusiveLock), or is not allowed. Those locked within a savepoint, or by others as well,
 *                        are not among them; its own new rows neither, as nobody else sees them
 *    "locks_more": 0,
 *    "blocked": [{"pid": 4711, "user": "app", "application": "psql", "client": "127.0.0.1",
 *                 "waiting_ms": 5300, "wants": "public.account", "behind": null,
 *                 "query": "update account ..."}],   those that wait for it, and for who waits for
 *                                                    it: behind is the pid that they wait for, the
 *                                                    one before them in the same queue if there is
 *                                                    one; null: for the branch itself. client:
 *                                                    "local" is a Unix socket. query: at most 300
 *                                                    characters. At most 20, the longest waiting
 *                                                    first
 *    "blocked_more": 0,
 *    "vacuum": {"age_xids": 812, "freeze_max_age": 200000000, "oldest": true},
 *                        oldest: nothing on this server holds vacuum back further
 *    "slots": {"used": 3, "max": 64}}
 *
 * The report of DB_LOOK_SERVER, of which the database need not be fit for work:
 *   {"version": "15.20", "version_num": 150020, "database": "payments", "user": "payments",
 *    "superuser": false, "monitor": true, "in_recovery": false, "started_us": 1795222861000000,
 *    "settings": {"max_prepared_transactions": "64", "fsync": "on", "full_page_writes": "on",
 *      "synchronous_commit": "on", "synchronous_standby_names": "", "data_checksums": "on",
 *      "wal_level": "replica", "max_connections": "100",
 *      "idle_in_transaction_session_timeout": "0", "autovacuum": "on"},
 *                        and others; in PostgreSQL's own units; what this version lacks is not
 * there "connections": {"used": 25, "max": 100}, "slots": {"used": 3, "max": 64}, "schema_version":
 * 4,                        null: not installed, or not to be read "missing_rights": ["insert on
 * troth.barrier"], "missing_tables": ["troth.settled"], "oldest_prepared_ms": 5300, of all
 * databases; null: none "oldest_xmin_age": 812, "oldest_xmin_of": "prepared shop...",   else
 * "session 4711 (psql)", "replication slot b"; null: nothing "frozen_age": 1000, the oldest
 * datfrozenxid "freeze_max_age": 200000000, "standbys": [{"name": "b", "state": "streaming",
 * "sync_state": "async", "lag_bytes": 0}]} lag_bytes: not yet flushed there */
#ifndef TROTH_IO_PG_INSPECT_H
#define TROTH_IO_PG_INSPECT_H

#include "io/pg_private.h"

void pg_inspect(void *self, const struct db_inspection *inspection, void *tag);
void pg_heuristic_store(void *self, const struct db_heuristic *row, void *tag);
void pg_heuristics_load(void *self, void *tag);
void pg_heuristics_forget(void *self, const char *gtrid, void *tag);

#endif
