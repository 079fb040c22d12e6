/* Idempotency keys of sagas: who starts again with the same key hears of the saga that the first
 * start began, while it runs and for the time of retention after its end. */
#ifndef TROTH_COORDINATOR_SAGA_KEYS_H
#define TROTH_COORDINATOR_SAGA_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/list.h"
#include "core/map.h"

struct saga_run;
struct saga_problem;

enum { SAGA_FINGERPRINT_BYTES = 16 };

/* How it ended. The texts lie behind it, in the same memory. */
struct saga_kept {
    int64_t version, at_us, begun_us;
    bool completed, output_dropped;
    const char *name;
    const char *output; /* JSON; "": none */
    /* Why it was compensated: each may be "". */
    const char *participant, *operation, *code, *message;
    size_t bytes;
};

struct saga_key {
    struct map_node node;
    struct list aged;     /* ended: by at_us */
    struct saga_run *run; /* while it is there */
    struct txid id;
    struct saga_kept *kept; /* once it is ended */
    uint8_t fingerprint[SAGA_FINGERPRINT_BYTES];
    char text[];
};

/* Zeros, then saga_keys_init. */
struct saga_keys {
    struct map map;
    struct list aged; /* oldest first */
    size_t kept_bytes;
};

void saga_keys_init(struct saga_keys *keys);
void saga_keys_fini(struct saga_keys *keys);
struct saga_key *saga_keys_find(const struct saga_keys *keys, const char *text);
/* The key must not be there. */
struct saga_key *saga_keys_add(struct saga_keys *keys, const char *text, const uint8_t *fingerprint,
                               struct txid id);
/* Its saga has ended; what may be kept of `how` is copied. */
void saga_keys_settle(struct saga_keys *keys, struct saga_key *key, const struct saga_kept *how);
void saga_keys_remove(struct saga_keys *keys, struct saga_key *key);
void saga_keys_expire(struct saga_keys *keys, int64_t before_us);
/* Of a name and an input, however the JSON is written: blanks and the order of names do not count.
 * The input must be valid JSON. */
void saga_fingerprint(uint8_t *out, const char *name, const char *input);

#endif
