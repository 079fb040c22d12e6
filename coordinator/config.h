/* The configuration of trothd: config/trothd.yaml shows every key. */
#ifndef TROTH_COORDINATOR_CONFIG_H
#define TROTH_COORDINATOR_CONFIG_H

#include <stdint.h>

#include "core/error.h"
#include "io/settings.h"

/* Owned by the caller, ended with config_fini. */
struct config {
    char *cluster, *coordinator;
    char *listen;
    char *journal_directory;
    char *audit;   /* a file */
    char *sagas;   /* the folder of their definitions; NULL: there are none */
    char **alerts; /* the words of the hook's command, NULL-ended; NULL: none */
    char *metrics; /* where HTTP listens; NULL: nowhere */
    uint64_t retain_us;
    uint64_t transaction_timeout_us, heartbeat_us;
    struct settings_log log;
};

/* False with an error that lists every mistake of the file with its place; nothing to end then. */
bool config_load(const char *path, struct config *config, struct error *error);
void config_fini(struct config *config);

#endif
