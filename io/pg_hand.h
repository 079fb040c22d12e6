/* A thread that carries out calls of handlers: what its two files share. pg_hand_session.c has its
 * session, pg_hand.c the work. All of it runs on that thread. */
#ifndef TROTH_IO_PG_HAND_H
#define TROTH_IO_PG_HAND_H

#include "io/pg_pool.h"

/* The job has failed, at that call or -1; the first failure counts. */
void pg_hand_fail(struct pg_job *job, int call, const char *sqlstate, const char *reason,
                  const char *detail);
void pg_hand_refuse(struct pg_job *job, int call, const char *refusal, const char *reason);
void pg_hand_fail_sql(struct pg_job *job, int call, const PGresult *result);

/* Tries until it is connected, or the work is cancelled, or the control connection says that the
 * database is away: then the job has failed. */
bool pg_hand_need(struct pg_hand *hand, struct pg_job *job);
/* What PostgreSQL has to say beside its results comes to us. */
void pg_hand_listen(struct pg_hand *hand);
void pg_hand_close(struct pg_hand *hand);
/* Lost, or given up, in the middle of something: its backend may still be at it. */
void pg_hand_lose(struct pg_hand *hand, struct pg_job *job);
/* The same, and the job has failed by it. last: what was the server's last word; NULL: none. */
void pg_hand_lost(struct pg_hand *hand, struct pg_job *job, const PGresult *last);
/* The runner, or the end of the process, wants no more of the job. */
bool pg_hand_cancelled(struct pg_hand *hand);

/* What the server answered to a text of several statements. */
struct pg_hand_reply {
    PGresult *first; /* of the first one with rows; NULL */
    char tag[32];    /* of the last one */
    int done;        /* how many were carried out */
    PGresult *failed;
    bool lost;
};

/* True: all of it was carried out. */
bool pg_hand_ask(struct pg_hand *hand, const char *sql, struct pg_hand_reply *reply);
void pg_hand_reply_fini(struct pg_hand_reply *reply);
/* The session is over with it: the server said so, or libpq, whose own errors have no SQLSTATE. */
bool pg_hand_reply_is_end(const PGresult *result);
/* The same where only that matters; else the job has failed. Lost: the session is closed. */
bool pg_hand_tell(struct pg_hand *hand, struct pg_job *job, const char *sql);
/* Leaves nothing open, whatever state the transaction is in. */
void pg_hand_take_back(struct pg_hand *hand, struct pg_job *job);

#endif
