/* A shop on real processes and real databases: trothd, three participants, three PostgreSQL
 * clusters (tests/run makes the clusters and tells them in the environment). Tests start, stop and
 * kill its processes, place purchases through the command line as a user would, and look at the
 * truth by SQL. Every wait is for a condition, with a limit; a limit that passes fails the test. */
#ifndef TROTH_TESTS_REAL_SHOP_H
#define TROTH_TESTS_REAL_SHOP_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

enum process { COORDINATOR, ORDERS, PAYMENTS, INVENTORY, PROCESSES };

struct shop {
    char folder[64];  /* configurations, logs, the journal */
    char address[64]; /* of the coordinator */
    char build[512];  /* where the programs are */
    pid_t pids[PROCESSES];
    int purchases; /* order ids given out */
};

/* Fresh tables with 1000 in ada's account and 1000 lamps in stock; a fresh journal; configurations;
 * nothing runs yet. fini kills what runs, and removes the folder unless the test failed. */
void shop_init(struct shop *shop);
void shop_fini(struct shop *shop);

/* crash: TROTH_CRASH_AT for it, or NULL. */
void shop_start(struct shop *shop, enum process process, const char *crash);
void shop_start_all(struct shop *shop);
/* All four run and every participant is connected with its database up. */
void shop_wait_ready(struct shop *shop);
void shop_signal(struct shop *shop, enum process process, int signal);
/* Waits until the process has ended; returns its wait status and forgets it. */
int shop_wait_end(struct shop *shop, enum process process);
bool shop_ended(struct shop *shop, enum process process); /* without waiting; reaps nothing */
void shop_kill(struct shop *shop, enum process process);  /* kill -9, and waits for its end */

/* What the command line said: its exit code, and standard output and error, to be freed. */
struct said {
    int code;
    char *output;
};
struct said shop_command(struct shop *shop, const char *const *words); /* words end with NULL */
void said_fini(struct said *said);

/* A purchase of one lamp for 10 by 2PC in all three databases: `troth submit`'s exit code. */
int shop_purchase(struct shop *shop, const char *timeout);
/* The same in the background: returns its process id; shop_purchased waits for its exit code. */
pid_t shop_purchase_begin(struct shop *shop, const char *timeout);
int shop_purchased(pid_t pid);

/* Waits until no database has a prepared transaction and the coordinator owes nothing. */
void shop_wait_settled(struct shop *shop);
/* By SQL: each order is in all three databases or in none, the money and the lamps add up, nothing
 * is prepared. Returns the number of orders. Fails the test otherwise. */
int shop_check_books(struct shop *shop);

/* The only value of a query on the database of a participant; fails the test on an error. */
int64_t shop_sql(enum process participant, const char *sql);
void shop_sql_do(enum process participant, const char *sql);

/* cluster_stop, cluster_start, cluster_restart or cluster_kill of tests/lib/clusters.sh. */
void shop_cluster(const char *what, enum process participant);

/* Waits until condition(self), at most seconds; fails the test with `what` otherwise. */
void wait_for(bool (*condition)(void *self), void *self, int seconds, const char *what);

#endif
