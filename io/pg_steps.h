/* What was sent on a connection and is to be answered, in order, a result each; and which
 * statements its session has prepared. */
#ifndef TROTH_IO_PG_STEPS_H
#define TROTH_IO_PG_STEPS_H

#include "io/pg_connection.h"
#include "io/pg_statement.h"

enum pg_step_kind {
    STEP_RESOLVE,
    STEP_BEGIN,
    STEP_PARSE,
    STEP_STATEMENT,
    STEP_XID,
    STEP_SITES,
    STEP_BARRIER,
    STEP_JOINED, /* the last statement and the barrier row */
    STEP_MARK,   /* what waits for the disk, and with it for all that was committed before */
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

struct pg_steps {
    struct pg_connection *connection;
    struct pg_step *list;
    int count, next, room;
    uint8_t *prepared; /* by statement id: this session has prepared it */
    int prepared_room;
};

void pg_steps_init(struct pg_steps *steps, struct pg_connection *connection);
void pg_steps_fini(struct pg_steps *steps);
/* All have come back: others follow. */
void pg_steps_begin(struct pg_steps *steps);
/* The session is gone, and what it had prepared. */
void pg_steps_lost(struct pg_steps *steps);

/* Of what the caller sends by itself. statement: its index in the work, or -1. */
struct pg_step *pg_step_add(struct pg_steps *steps, enum pg_step_kind kind, int statement);
/* Sends a statement, after its Parse where this session does not know it yet. */
void pg_step_known(struct pg_steps *steps, enum pg_step_kind kind, struct pg_statement *known,
                   int index, const char *const *values);
void pg_step_sync(struct pg_steps *steps);

/* The step whose result this is; NULL: nobody asked for it. */
const struct pg_step *pg_step_next(struct pg_steps *steps, const PGresult *result);
static inline bool pg_step_at_sync(const struct pg_steps *steps)
{
    return steps->next < steps->count && steps->list[steps->next].kind == STEP_SYNC;
}
void pg_step_parsed(struct pg_steps *steps, const struct pg_step *step);
/* What the server's error says about the session's prepared statement. True: it was out of date,
 * and is not any more when the work is tried again. */
bool pg_step_refused(struct pg_steps *steps, struct pg_statements *statements,
                     const struct pg_step *step, const PGresult *result);

#endif
