/* The configuration of a participant, troth-participant or a service: config/participant.yaml shows
 * every key. */
#ifndef TROTH_PARTICIPANT_CONFIG_H
#define TROTH_PARTICIPANT_CONFIG_H

#include <stdint.h>

#include "core/error.h"
#include "core/ports.h"
#include "io/settings.h"
#include "participant/operation.h"

/* Owned by the caller, ended with config_fini. */
struct config {
    char *cluster, *participant;
    char **coordinators; /* addresses */
    int coordinator_count;
    char *listen;  /* NULL: no three-phase commit */
    char *audit;   /* a file; NULL: none */
    char *metrics; /* where HTTP listens; NULL: nowhere */
    char *conninfo;
    int connections;
    uint64_t lock_timeout_us;
    struct operation_set operations;
    struct settings_log log;
};

/* Whose file it is: a service offers functions, and so has no `operations` in its file. */
enum config_of { CONFIG_AGENT, CONFIG_SERVICE, CONFIG_EITHER };

/* False with an error that lists every mistake of the file with its place; nothing to end then. */
bool config_load(const char *path, enum config_of whose, struct config *config,
                 struct error *error);
void config_fini(struct config *config);

#endif
