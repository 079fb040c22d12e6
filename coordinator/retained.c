#include "coordinator/retained.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"

void retained_fini(struct retained *retained)
{
    for (size_t i = 0; i < retained->count; i++)
        free(retained->blocks[retained->head + i]);
    free(retained->blocks);
    *retained = (struct retained){0};
}

/* The index of the first block that is not before (epoch, first). */
static size_t lower_bound(const struct retained *retained, struct txid start)
{
    size_t low = 0, high = retained->count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        const struct retained_block *block = retained->blocks[retained->head + middle];
        if (txid_compare((struct txid){block->epoch, block->first}, start) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static struct retained_block *find(const struct retained *retained, struct txid start, size_t *at)
{
    *at = lower_bound(retained, start);
    if (*at == retained->count)
        return NULL;
    struct retained_block *block = retained->blocks[retained->head + *at];
    return block->epoch == start.epoch && block->first == start.seq ? block : NULL;
}

static void make_room(struct retained *retained)
{
    if (retained->head + retained->count < retained->room)
        return;
    if (retained->head > retained->room / 2) {
        memmove(retained->blocks, retained->blocks + retained->head,
                retained->count * sizeof(*retained->blocks));
        retained->head = 0;
        return;
    }
    retained->room = retained->room ? retained->room * 2 : 16;
    retained->blocks = xrealloc(retained->blocks, retained->room * sizeof(*retained->blocks));
}

static struct retained_block *find_or_add(struct retained *retained, struct txid start)
{
    size_t at;
    struct retained_block *block = find(retained, start, &at);
    if (block)
        return block;
    make_room(retained);
    struct retained_block **place = retained->blocks + retained->head + at;
    memmove(place + 1, place, (retained->count - at) * sizeof(*place));
    retained->count++;
    block = *place = xcalloc(1, sizeof(*block));
    block->epoch = start.epoch;
    block->first = start.seq;
    block->last_us = INT64_MIN;
    return block;
}

static struct txid block_start(struct txid id)
{
    return (struct txid){id.epoch, id.seq - id.seq % RETAINED_IDS};
}

void retained_add(struct retained *retained, struct txid id, int64_t at_us)
{
    struct retained_block *block = find_or_add(retained, block_start(id));
    block->bits[id.seq % RETAINED_IDS / 8] |= (uint8_t)(1u << id.seq % 8);
    if (at_us > block->last_us)
        block->last_us = at_us;
}

bool retained_has(const struct retained *retained, struct txid id)
{
    size_t at;
    const struct retained_block *block = find(retained, block_start(id), &at);
    return block && (block->bits[id.seq % RETAINED_IDS / 8] >> id.seq % 8 & 1);
}

bool retained_restore(struct retained *retained, uint64_t epoch, uint64_t first,
                      const uint8_t *bits, size_t size, int64_t last_us)
{
    if (size != RETAINED_IDS / 8 || first % RETAINED_IDS != 0)
        return false;
    struct retained_block *block = find_or_add(retained, (struct txid){epoch, first});
    for (size_t i = 0; i < size; i++)
        block->bits[i] |= bits[i];
    if (last_us > block->last_us)
        block->last_us = last_us;
    return true;
}

bool retained_drop(struct retained *retained, int64_t before_us, size_t limit, struct txid floor,
                   struct txid *above)
{
    if (retained->count == 0)
        return false;
    struct retained_block *oldest = retained->blocks[retained->head];
    if (oldest->last_us >= before_us && retained->count <= limit)
        return false;
    struct txid next = {oldest->epoch, oldest->first + RETAINED_IDS};
    if (txid_compare(next, floor) > 0)
        return false;
    *above = next;
    free(oldest);
    retained->head++;
    retained->count--;
    return true;
}

size_t retained_count(const struct retained *retained)
{
    return retained->count;
}

const struct retained_block *retained_at(const struct retained *retained, size_t index)
{
    CHECK(index < retained->count);
    return retained->blocks[retained->head + index];
}
