/* The PostgreSQL clusters of a test, by name: orders, payments and inventory, which tests/run
 * starts and tells in the environment, and others of a test's own. Everything here fails the test
 * when it goes wrong. */
#ifndef TROTH_TESTS_REAL_CLUSTER_H
#define TROTH_TESTS_REAL_CLUSTER_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

const char *cluster_conninfo(const char *name);

/* One statement or several. The result is the caller's, to be cleared. */
PGresult *cluster_query(const char *name, const char *sql);
void cluster_do(const char *name, const char *sql);
int64_t cluster_value(const char *name, const char *sql); /* the only one */
/* Ends what an earlier test left prepared in the database, or may still prepare: it would hold
 * locks for ever. */
void cluster_end_prepared(const char *name);

/* A function of tests/lib/clusters.sh: cluster_stop, cluster_start, cluster_restart, cluster_kill,
 * cluster_save, cluster_go_back. */
void cluster_call(const char *function, const char *name);
/* Stops and starts those that don't answer; for the end of a test that failed. */
void cluster_mend(const char *name);

/* A cluster of the test's own with a database of the same name, beside the others; settings: lines
 * for postgresql.conf, without quotes. Nothing of it is flushed. */
void cluster_make(const char *name, const char *settings);
/* Called outside of tests, so that it goes also when one fails; fine if there is none. */
void cluster_drop(const char *name);

#endif
