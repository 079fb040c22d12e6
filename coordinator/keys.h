/* Idempotency keys: a client that did not hear the answer submits again with the same key and gets
 * the answer of the first time. A key belongs to a transaction that runs, or to a commit, and then
 * lives for the time of retention; an aborted attempt leaves nothing.
 *
 * The steps of sagas that are transactions have keys of their own, which begin with a mark that a
 * client's can't have. Their results are always kept, and they stay until they are forgotten. */
#ifndef TROTH_COORDINATOR_KEYS_H
#define TROTH_COORDINATOR_KEYS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/list.h"
#include "core/map.h"

struct tx;

enum { FINGERPRINT_BYTES = 16, KEY_OF_STEP = '\x1f' };

struct key {
    struct map_node node;
    struct list aged; /* committed and ended: by at_us; of a step: in of_steps */
    char *text;
    uint8_t fingerprint[FINGERPRINT_BYTES];
    struct tx *tx; /* while it is live */
    struct txid id;
    int64_t at_us;  /* of the decision */
    char **results; /* kept for duplicates once it is ended; owned, with the texts in one piece */
    int result_count;
    size_t kept_bytes; /* of that piece */
    bool results_dropped;
    bool hazard; /* committed, a branch could not be proved, and an operator has forgotten that */
    bool forgotten; /* of a step: it goes when its transaction is over */
};

struct keys {
    struct map map;
    struct list aged;     /* of clients, oldest first */
    struct list of_steps; /* of steps, committed and ended */
    size_t step_count;    /* keys of steps in the map */
    size_t kept_bytes;    /* of all keys of clients */
};

static inline bool key_of_step(const char *text)
{
    return text[0] == KEY_OF_STEP;
}

void keys_init(struct keys *keys);
void keys_fini(struct keys *keys);
struct key *keys_find(const struct keys *keys, const char *text);
/* The key must not be there. fingerprint: FINGERPRINT_BYTES. */
struct key *keys_add(struct keys *keys, const char *text, const uint8_t *fingerprint, struct tx *tx,
                     struct txid id);
/* Its transaction is gone; the key stays until keys_expire, and that of a step, unless it is
 * forgotten already, until keys_remove. */
void keys_settle(struct keys *keys, struct key *key, int64_t at_us);
void keys_remove(struct keys *keys, struct key *key);
/* Copies what may be kept: results is an array of count strings, NULL for none. */
void keys_keep_results(struct keys *keys, struct key *key, char *const *results, int count,
                       bool dropped);
void keys_expire(struct keys *keys, int64_t before_us);

#endif
