/* What participants offer: their operations and the parameters of each. A definition is checked
 * against it where there is one. */
#ifndef TROTH_SAGA_CATALOGUE_H
#define TROTH_SAGA_CATALOGUE_H

#include <stdbool.h>

#include "core/error.h"
#include "saga/finding.h"

struct catalogue_parameter {
    char *name, *type; /* a PostgreSQL type */
};

struct catalogue_operation {
    char *name;
    bool read_only;
    struct catalogue_parameter *parameters;
    int parameter_count;
    bool partial; /* its parameters are not known: arguments are not looked at */
};

struct catalogue_participant {
    char *name;
    struct catalogue_operation *operations;
    int operation_count;
    bool partial; /* it may offer more than is known here */
};

/* Zeros are an empty one. Texts that are added are copied; pointers live until the next add of the
 * same kind. */
struct catalogue {
    struct catalogue_participant *participants;
    int participant_count;
    bool partial; /* there may be participants that are not known here */
};

void catalogue_fini(struct catalogue *catalogue);
/* A participant that is there is returned again. */
struct catalogue_participant *catalogue_add(struct catalogue *catalogue, const char *name);
struct catalogue_operation *catalogue_add_operation(struct catalogue_participant *participant,
                                                    const char *name, bool read_only);
void catalogue_add_parameter(struct catalogue_operation *operation, const char *name,
                             const char *type);

/* NULL when there is none. */
const struct catalogue_participant *catalogue_find(const struct catalogue *catalogue,
                                                   const char *name);
const struct catalogue_operation *
catalogue_find_operation(const struct catalogue_participant *participant, const char *name);
/* The nearest known name, or NULL. */
const char *catalogue_near(const struct catalogue *catalogue, const char *name);
const char *catalogue_near_operation(const struct catalogue_participant *participant,
                                     const char *name);

/* Adds what a participant's configuration offers; the rest of the file is not looked at, so it may
 * be one that is not filled in yet. Notes mistakes. optional: a file that is no participant's, such
 * as the coordinator's beside them, is none. */
void catalogue_read(struct catalogue *catalogue, const char *path, bool optional,
                    struct saga_findings *findings);

#endif
