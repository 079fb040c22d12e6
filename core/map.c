#include "core/map.h"

#include <stdlib.h>

#include "core/check.h"

void map_fini(struct map *map)
{
    free(map->buckets);
    *map = (struct map){0};
}

struct map_node *map_find(const struct map *map, uint64_t hash, map_match *match, const void *key)
{
    if (map->bucket_count == 0)
        return NULL;
    struct map_node *node = map->buckets[hash & (map->bucket_count - 1)];
    while (node && !(node->hash == hash && match(node, key)))
        node = node->next;
    return node;
}

static void grow(struct map *map)
{
    size_t count = map->bucket_count ? map->bucket_count * 2 : 16;
    struct map_node **buckets = xcalloc(count, sizeof(*buckets));
    for (size_t i = 0; i < map->bucket_count; i++) {
        for (struct map_node *node = map->buckets[i], *next; node; node = next) {
            next = node->next;
            node->next = buckets[node->hash & (count - 1)];
            buckets[node->hash & (count - 1)] = node;
        }
    }
    free(map->buckets);
    map->buckets = buckets;
    map->bucket_count = count;
}

void map_insert(struct map *map, struct map_node *node, uint64_t hash)
{
    if (map->count >= map->bucket_count)
        grow(map);
    struct map_node **bucket = &map->buckets[hash & (map->bucket_count - 1)];
    node->hash = hash;
    node->next = *bucket;
    *bucket = node;
    map->count++;
}

void map_remove(struct map *map, struct map_node *node)
{
    struct map_node **at = &map->buckets[node->hash & (map->bucket_count - 1)];
    while (*at != node) {
        CHECK(*at != NULL);
        at = &(*at)->next;
    }
    *at = node->next;
    node->next = NULL;
    map->count--;
}

struct map_node *map_next(const struct map *map, const struct map_node *after)
{
    if (after && after->next)
        return after->next;
    size_t i = after ? (after->hash & (map->bucket_count - 1)) + 1 : 0;
    for (; i < map->bucket_count; i++) {
        if (map->buckets[i])
            return map->buckets[i];
    }
    return NULL;
}

uint64_t hash_u64(uint64_t value)
{
    /* The finalizer of splitmix64: every input bit reaches every output bit. */
    value ^= value >> 30;
    value *= 0xbf58476d1ce4e5b9u;
    value ^= value >> 27;
    value *= 0x94d049bb133111ebu;
    return value ^ (value >> 31);
}

uint64_t hash_bytes(const void *bytes, size_t size)
{
    const unsigned char *at = bytes;
    uint64_t hash = 0xcbf29ce484222325u;
    for (size_t i = 0; i < size; i++)
        hash = (hash ^ at[i]) * 0x100000001b3u;
    return hash_u64(hash);
}
