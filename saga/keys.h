/* The words of the language: which keys each kind of map knows. */
#ifndef TROTH_SAGA_KEYS_H
#define TROTH_SAGA_KEYS_H

#include "saga/definition.h"

enum saga_map {
    SAGA_MAP_SAGA,        /* the definition itself */
    SAGA_MAP_INPUT,       /* an input that is more than a type */
    SAGA_MAP_STEP,        /* a step of any type */
    SAGA_MAP_ALTERNATIVE, /* of choose */
    SAGA_MAP_TRANSACTION,
    SAGA_MAP_BRANCH,
    SAGA_MAP_COMPENSATE,
    SAGA_MAP_RETRY,
    SAGA_MAP_WAIT,
    SAGA_MAPS,
};

/* Ends with NULL. */
extern const char *const *const saga_keys[SAGA_MAPS];
/* What each is called in config/saga.schema.json. */
extern const char *const saga_map_words[SAGA_MAPS];

/* Whether a step of this type may have this key of SAGA_MAP_STEP. */
bool saga_key_fits(enum saga_type type, const char *key);

/* The words that some keys take; each ends with NULL. */
extern const char *const saga_protocol_words[];
extern const char *const saga_otherwise_words[]; /* of a signal: fail, continue */

#endif
