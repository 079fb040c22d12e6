/* A service of include/troth.h: a participant whose operations are functions of its program. It is
 * the same host (participant/host.h) as troth-participant's, with handlers. What its files share.
 */
#ifndef TROTH_PARTICIPANT_SERVICE_H
#define TROTH_PARTICIPANT_SERVICE_H

#include "core/json.h"
#include "include/troth.h"
#include "io/pg_handlers.h"

/* What an operation's db_call.handler points to. */
struct offer {
    troth_handler *handler;
    void *self;
};

/* One call, for as long as its handler runs, on one thread. */
struct troth_request {
    const struct db_call *call;
    const char *id;
    struct json *arguments; /* parsed when one is asked for */
    char **texts;           /* of those that are neither texts nor numbers */
    int text_count;
    bool refused;
    struct pg_handler_answer *answer;
};

/* service_request.c: runs the handler, and fills the answer. */
void service_call(void *self, const struct db_call *call, const char *id, PGconn *connection,
                  struct pg_handler_answer *answer);

#endif
