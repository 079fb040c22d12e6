/* A participant's process, or a thread of one: the agent bound to the loop, nanomsg, PostgreSQL,
 * the pages over HTTP and the audit log. troth-participant is this and its arguments; a service
 * (participant/service.h) is this and the handlers that it offers. */
#ifndef TROTH_PARTICIPANT_HOST_H
#define TROTH_PARTICIPANT_HOST_H

#include <stdbool.h>

#include "core/error.h"
#include "io/pg.h"
#include "participant/config.h"

struct host;

struct host_config {
    const struct config *config;     /* its operations are offered; outlives the host */
    const char *program;             /* for the log: "troth-participant" */
    const struct pg_handlers *calls; /* who carries out operations with a handler; NULL: none has */
    int stop_fd; /* readable when it is to stop; -1: SIGTERM and SIGINT say so */
};

/* What the database port needs of a configuration. */
struct pg_config host_pg_config(const struct config *config);

/* Opens all that must be there; NULL with an error that says what is not. */
struct host *host_new(const struct host_config *config, struct error *error);
/* Until it is told to stop, and what runs has ended. False: another process took over its name. */
bool host_run(struct host *host);
void host_free(struct host *host); /* NULL is harmless */

#endif
