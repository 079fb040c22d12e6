/* What was sent on a worker's connection and is to be answered, in order: a result each. */
#ifndef TROTH_IO_PG_STEPS_H
#define TROTH_IO_PG_STEPS_H

#include "io/pg_private.h"

enum pg_step_kind {
    STEP_RESOLVE,
    STEP_BEGIN,
    STEP_PARSE,
    STEP_STATEMENT,
    STEP_XID,
    STEP_BARRIER,
    STEP_JOINED, /* the last statement and the barrier row */
    STEP_END,    /* PREPARE TRANSACTION or COMMIT */
    STEP_ROLLBACK,
    STEP_SYNC,
};

struct pg_step {
    enum pg_step_kind kind;
    int statement; /* index in the work; -1 */
    struct pg_statement *prepared;
    struct pg_type *type; /* STEP_RESOLVE */
};

/* Forgets the steps: those of another stage follow. */
void pg_steps_begin(struct pg_worker *worker, enum pg_run_stage stage);
/* Of what the caller sends by itself. statement: its index in the work, or -1. */
struct pg_step *pg_step_add(struct pg_worker *worker, enum pg_step_kind kind, int statement);
/* Sends a statement, after its Parse where this session does not know it yet. */
void pg_step_known(struct pg_worker *worker, enum pg_step_kind kind, struct pg_statement *known,
                   int index, const char *const *values);
void pg_step_statement(struct pg_worker *worker, enum pg_step_kind kind,
                       const struct db_statement *statement, int index, const char *const *values);
void pg_step_sync(struct pg_worker *worker);
/* This session has prepared the statement of this id, or not any more. */
void pg_step_set_prepared(struct pg_worker *worker, int id, bool prepared);

#endif
