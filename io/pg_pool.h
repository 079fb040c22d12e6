/* The threads that carry out calls of handlers (io/pg_handlers.h): pg_pool.c is the loop's side,
 * who does what and what came of it; pg_hand.h has the thread's, a session and the work on it.
 *
 * What must hold:
 *  1. The loop alone touches the pool but for what the mutex guards; a thread alone its connection.
 *  2. A hand has one job at a time. It takes another when the last one was answered and no cancel
 * of its session is under way: one that comes late would hit the next job.
 *  3. While a tag has its transaction open, the hand that holds it works for that tag alone.
 *  4. A session that was lost in a transaction is a ghost: its backend may still carry out what it
 *     has read, and is ended before lookups and scans are answered. */
#ifndef TROTH_IO_PG_POOL_H
#define TROTH_IO_PG_POOL_H

#include <pthread.h>

#include "io/pg_handlers.h"
#include "io/pg_private.h"

/* Work, and what came of it. */
struct pg_job {
    struct list link; /* of what waits for a hand, or of what is done */
    const struct db_work *work;
    void *tag;
    struct pg_hand *hand; /* that does it; NULL: none does */
    bool continues;       /* the tag has a transaction open on this hand */
    uint64_t deadline_us; /* uv_hrtime's clock */
    enum db_outcome outcome;
    int sites_id; /* as a worker's */
    bool duplicate, too_large;
    uint64_t xid;
    uint64_t open_xid; /* DB_OPENED: of what is open; 0: it only reads */
    int failed_call;
    char sqlstate[6];
    char *refusal, *reason, *detail; /* reason: NULL as long as nothing has failed */
    char **results;
    uint64_t ghost; /* serial of the session that was lost with it; 0: none */
};

struct pg_pool;

/* A thread and its session. */
struct pg_hand {
    struct pg_pool *pool;
    /* The loop's. */
    pthread_t thread;
    struct list idle;
    struct pg_job *job;        /* under way */
    void *open;                /* the tag whose transaction is open here */
    uint64_t xid;              /* of that; 0: it only reads */
    bool cancel;               /* wanted by the runner */
    bool told;                 /* that its handler goes on after that */
    uint64_t cancel_us;        /* since when */
    uint64_t serial_cancelled; /* the session that the cancel under way is for */
    int cancels_pending;
    /* Under the pool's mutex. */
    pthread_cond_t wake;
    struct pg_job *given;
    bool cancelled, ending;
    uint64_t spare_serial; /* for its next session; 0: to be given with the next job */
    uint64_t serial;       /* of its session; 0: none */
    int backend_pid;
    PGcancel *canceller;
    /* The thread's. */
    PGconn *connection;
    bool in_transaction;
    uint64_t open_xid; /* of what a step left open */
    bool doubt;        /* as pg_connection's standby_doubt */
    char token[32];    /* that marks the transaction */
    uint64_t tokens;
    char *user; /* who prepares, so that the finishers may end it */
};

struct pg_pool {
    struct pg *pg;
    const struct pg_handlers *handlers;
    uint64_t lock_timeout_us;
    struct pg_hand **hands;
    int hand_count, most;
    struct list idle, queue;
    uv_async_t *async; /* their own memory: libuv frees handles later than we go */
    uv_timer_t *cancel_timer;
    pthread_mutex_t mutex;
    bool down;        /* under the mutex: nobody need try to connect */
    struct list done; /* likewise: jobs to be answered */
};

struct pg_pool *pg_pool_new(struct pg *pg, const struct pg_config *config);
/* Cancels what runs and waits for its end; nothing is answered any more. */
void pg_pool_free(struct pg_pool *pool);
void pg_pool_work(struct pg_pool *pool, const struct db_work *work, int sites_id, void *tag);
void pg_pool_cancel(struct pg_pool *pool, const void *tag);
/* Takes back what the tag has open, and answers with that. False: it has nothing open. */
bool pg_pool_refuse(struct pg_pool *pool, void *tag, const char *sqlstate, const char *reason,
                    const char *detail);
/* As pg_open_xid. */
uint64_t pg_pool_open_xid(const struct pg_pool *pool, const void *tag);
/* As pg_work_cancel_done. */
void pg_pool_cancel_done(struct pg_pool *pool, uint64_t serial);
/* The database is up, or down: then all that waits is answered. */
void pg_pool_up(struct pg_pool *pool, bool up);

/* ---- pg_hand.c, on the hand's thread --------------------------------------------------------- */

void *pg_hand_main(void *hand);

#endif
