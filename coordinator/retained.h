/* Which transactions were committed and ended: a bitmap, in blocks of consecutive ids of one epoch.
 * A database that comes back from a failover can hold a finished branch as prepared again; only
 * this memory keeps it from being presumed aborted. Blocks are dropped whole, the oldest ids first.
 */
#ifndef TROTH_COORDINATOR_RETAINED_H
#define TROTH_COORDINATOR_RETAINED_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"

enum { RETAINED_IDS = 4096 }; /* a block: ids first ... first + RETAINED_IDS - 1 */

struct retained_block {
    uint64_t epoch;
    uint64_t first;  /* a multiple of RETAINED_IDS */
    int64_t last_us; /* wall clock of the last end in it */
    uint8_t bits[RETAINED_IDS / 8];
};

/* Sorted by (epoch, first). Zeros are an empty one. */
struct retained {
    struct retained_block **blocks; /* [head, head + count) are in use */
    size_t head, count, room;
};

void retained_fini(struct retained *retained);
void retained_add(struct retained *retained, struct txid id, int64_t at_us);
bool retained_has(const struct retained *retained, struct txid id);
/* From a checkpoint. size: of bits. False when it can't be a block. */
bool retained_restore(struct retained *retained, uint64_t epoch, uint64_t first,
                      const uint8_t *bits, size_t size, int64_t last_us);
/* Drops the oldest block when its last end was before `before_us`, or when there are more than
 * `limit`, unless that would forget an id at or above `floor`, which may still be decided. True:
 * *above is the first id that is not forgotten; call again. */
bool retained_drop(struct retained *retained, int64_t before_us, size_t limit, struct txid floor,
                   struct txid *above);
size_t retained_count(const struct retained *retained);
const struct retained_block *retained_at(const struct retained *retained, size_t index);

#endif
