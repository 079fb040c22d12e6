/* Memory that is given out by moving a pointer and taken back all at once: unpacking a message
 * makes a dozen small allocations that all live for one call. */
#ifndef TROTH_CORE_ARENA_H
#define TROTH_CORE_ARENA_H

#include <protobuf-c/protobuf-c.h>
#include <stddef.h>

struct arena_extra;

struct arena {
    ProtobufCAllocator allocator; /* its free does nothing */
    char *block;
    size_t used, room;
    struct arena_extra *extras; /* what did not fit the block */
};

void arena_init(struct arena *arena, size_t room);
void arena_fini(struct arena *arena);
/* Takes back everything that was given out. */
void arena_reset(struct arena *arena);

#endif
