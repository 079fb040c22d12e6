/* Small questions to the database, many at a time, over a connection of their own.
 *
 * All that was asked since the last batch goes as the next: one pipeline with one Sync, which is
 * one transaction and one flush, of at most one statement for each kind of question. An answer is
 * given when the Sync has come back, so it is about what is committed.
 *
 * A statement that fails takes its whole batch with it, and nothing of that is stored: then each of
 * them goes again in a batch of its own, so that one that can't be done harms no other. Of a lazy
 * batch all are answered at once: each has another way to go. When the connection is lost, nobody
 * knows what became of what was under way. */
#ifndef TROTH_IO_PG_BATCH_H
#define TROTH_IO_PG_BATCH_H

#include "core/list.h"
#include "io/pg_array.h"
#include "io/pg_connection.h"

struct pg;
struct pg_batch;
struct pg_ask;

/* An answer that is owed to the runner. Lives on at most one list. */
struct pg_owed {
    struct list link;
    /* Gives the answer that nothing was carried out, and frees itself. */
    void (*refuse)(struct pg *pg, struct pg_owed *owed);
};

enum {
    PG_BATCH_MOST = 256, /* so that none waits long for the answer of all */
    PG_BATCH_KINDS = 6,
    PG_BATCH_COLUMNS = 13,
};

/* A kind of question: one statement with an array of values in each of its parameters. */
struct pg_question {
    const char *name;
    const char *sql;
    /* Adds the ask, which is at this index of its batch, to the columns; returns how many they are.
     */
    int (*add)(struct pg_array columns[PG_BATCH_COLUMNS], const struct pg_ask *ask, int index);
    /* A row of the statement's result; NULL: there is none that matters. */
    void (*row)(struct pg_batch *batch, const struct pg_question *question, const PGresult *result,
                int row);
};

/* The beginning of what is asked. */
struct pg_ask {
    struct pg_owed owed;
    const struct pg_question *question;
    bool alone;       /* a batch with it has failed */
    char sqlstate[6]; /* of its own failure, or "" */
    char *problem;    /* likewise; NULL. The batch's */
    /* Back to as it was asked. */
    void (*renew)(struct pg_ask *ask);
    /* known: what the rows of the result said holds. Frees itself. */
    void (*answer)(struct pg *pg, struct pg_ask *ask, bool known);
};

struct pg_batch {
    struct pg_connection connection;
    const struct pg_question *const *questions; /* PG_BATCH_KINDS at most, then NULL */
    const char *name;                           /* of what it uses, for the log */
    uv_idle_t *idle;
    struct list waiting;                /* struct pg_ask: for the batch after the one under way */
    struct pg_ask *asks[PG_BATCH_MOST]; /* under way */
    int count;
    bool lazy;
    bool wanted; /* its connection is to be open whenever the database is up */
    bool was_ready;
    bool preparing; /* the statements, before the first batch */
    bool failed;    /* the server refused a statement of what is under way */
    bool doubt;     /* what can be read here may not be at the synchronous standby */
    /* What was sent before its Sync; NULL for what has no result that matters. */
    const struct pg_question *steps[PG_BATCH_KINDS + 1];
    int step_count, step_next;
    char trouble[256]; /* as logged */
};

/* lazy: what is stored waits for no flush and for no standby. */
void pg_batch_init(struct pg *pg, struct pg_batch *batch, const char *name,
                   const struct pg_question *const *questions, bool lazy);
/* Closes, unless it is ready, and refuses what waits for its first connection. */
void pg_batch_close(struct pg *pg, struct pg_batch *batch);
/* Closes, and refuses all. */
void pg_batch_fini(struct pg *pg, struct pg_batch *batch);
bool pg_batch_ready(const struct pg_batch *batch);
/* Goes with the next batch, or is refused later when there is no connection. The first one of all
 * makes it. */
void pg_batch_ask(struct pg *pg, struct pg_batch *batch, struct pg_ask *ask);

#endif
