/* The definitions of sagas that this coordinator knows: by digest those that some saga runs by, or
 * that the journal has the text of; by name those that new sagas begin with. */
#ifndef TROTH_COORDINATOR_DEFINITIONS_H
#define TROTH_COORDINATOR_DEFINITIONS_H

#include <stdbool.h>
#include <stddef.h>

#include "coordinator/server.h"
#include "core/map.h"
#include "saga/definition.h"

struct definition {
    struct map_node node;
    struct saga_plan *plan; /* with the text, its digest and the file that it came from */
    size_t users;           /* sagas that run by it, and one more while it is current */
    bool current;           /* new sagas begin with it */
    bool journaled;         /* the journal has its text, from the last checkpoint on */
};

/* Zeros and a loader are none. */
struct definitions {
    struct saga_loader loader;
    struct map map;              /* by digest */
    struct definition **current; /* by name, sorted */
    int current_count;
    bool recovering; /* the journal is read: none is forgotten before definitions_sweep */
};

void definitions_fini(struct definitions *definitions);
/* Of new sagas; or NULL. */
struct definition *definitions_current(const struct definitions *definitions, const char *name);
struct definition *definitions_find(const struct definitions *definitions,
                                    const struct digest *digest);
/* The name of a current one that was probably meant, or NULL. */
const char *definitions_nearest(const struct definitions *definitions, const char *typed);

/* As server_define. */
int definitions_set(struct definitions *definitions, const struct server_definition *texts,
                    int count, const struct host_port *host);
/* A text of the journal: known from now on until definitions_sweep finds that nobody uses it. False
 * with an error when it can't be read. */
bool definitions_recover(struct definitions *definitions, const char *file, const char *text,
                         const void *digest, size_t digest_size, struct error *error);
void definition_use(struct definition *definition);
/* It may be gone after this. */
void definitions_release(struct definitions *definitions, struct definition *definition);
/* Forgets what was recovered and is used by nobody. */
void definitions_sweep(struct definitions *definitions);

#endif
