#include "core/arena.h"

#include <stdint.h>
#include <stdlib.h>

#include "core/check.h"

enum { ALIGNMENT = 16 };

struct arena_extra {
    _Alignas(ALIGNMENT) struct arena_extra *next;
};

static void *take(void *data, size_t size)
{
    struct arena *arena = data;
    if (size <= arena->room - arena->used) {
        void *memory = arena->block + arena->used;
        size_t rounded = (size + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
        arena->used += rounded < arena->room - arena->used ? rounded : arena->room - arena->used;
        return memory;
    }
    CHECK(size <= SIZE_MAX - sizeof(struct arena_extra));
    struct arena_extra *extra = xmalloc(sizeof(*extra) + size);
    extra->next = arena->extras;
    arena->extras = extra;
    return extra + 1;
}

static void give_back(void *data, void *memory)
{
    (void)data;
    (void)memory;
}

void arena_init(struct arena *arena, size_t room)
{
    room = (room + ALIGNMENT - 1) / ALIGNMENT * ALIGNMENT;
    *arena = (struct arena){.allocator = {take, give_back, arena}, .room = room};
    arena->block = xmalloc(room);
}

void arena_reset(struct arena *arena)
{
    arena->used = 0;
    while (arena->extras) {
        struct arena_extra *extra = arena->extras;
        arena->extras = extra->next;
        free(extra);
    }
}

void arena_fini(struct arena *arena)
{
    arena_reset(arena);
    free(arena->block);
}
