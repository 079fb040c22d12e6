/* What is parked for an operator, and was told to the host's hook: once while it stays parked. In
 * memory only: after a restart it is told once more. */
#ifndef TROTH_COORDINATOR_ALERTS_H
#define TROTH_COORDINATOR_ALERTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/list.h"
#include "core/map.h"

struct server;
struct saga_run;

struct alerts {
    struct map map;  /* struct raised, by kind and subject */
    struct list all; /* in the order in which they were raised */
    uint64_t look;   /* number of the last look */
    uint64_t due_us; /* of the next one */
    bool full;       /* logged */
};

void alerts_init(struct server *server);
void alerts_fini(struct server *server);
/* Every few seconds: looks at what is parked now. Returns when it wants to be called again. */
uint64_t alerts_settle(struct server *server);
/* A saga has come to need an operator, or does no more. */
void alerts_saga(struct server *server, const struct saga_run *run, bool needed);

#endif
