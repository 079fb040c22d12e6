/* Work that is done by functions of the program, not by statements: on threads of the port's own,
 * each with a blocking session. Everything else of the port stays with the loop.
 *
 * Between the function's return and PREPARE TRANSACTION or COMMIT the session is looked at: it must
 * be in the transaction that was begun for the function, and as it was. What a function has
 * committed by itself can't be taken back; it is refused and logged, and the session is closed. */
#ifndef TROTH_IO_PG_HANDLERS_H
#define TROTH_IO_PG_HANDLERS_H

#include <libpq-fe.h>

#include "core/ports.h"

/* What came of a call. Texts are allocated by who fills it, and freed by the port; NULL: none. */
struct pg_handler_answer {
    bool done;
    char *result;   /* JSON */
    char *refusal;  /* !done: a word; NULL when PostgreSQL refused */
    char *sqlstate; /* !done: PostgreSQL's; NULL when the function itself refused */
    char *message, *detail;
};

struct pg_handlers {
    void *self;
    /* On any thread of the port, several at once. id: of the transaction, or of the saga's step. */
    void (*call)(void *self, const struct db_call *call, const char *id, PGconn *connection,
                 struct pg_handler_answer *answer);
};

#endif
