/* An intrusive hash map: the node lies in the user's structure, keyed by whatever `match` says. */
#ifndef TROTH_CORE_MAP_H
#define TROTH_CORE_MAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

struct map_node {
    struct map_node *next;
    uint64_t hash;
};

struct map {
    struct map_node **buckets; /* NULL while empty */
    size_t bucket_count;       /* a power of two */
    size_t count;
};

typedef bool map_match(const struct map_node *node, const void *key);

/* A map of zeros is an empty map. fini frees the buckets, not the nodes. */
void map_fini(struct map *map);
struct map_node *map_find(const struct map *map, uint64_t hash, map_match *match, const void *key);
/* The key must not be there yet; the caller keeps the node alive until it is removed. */
void map_insert(struct map *map, struct map_node *node, uint64_t hash);
void map_remove(struct map *map, struct map_node *node);
/* Walks all nodes in no order; start with NULL. The map must not change, but the node that was
 * returned last may be removed after the next was taken. */
struct map_node *map_next(const struct map *map, const struct map_node *after);

uint64_t hash_bytes(const void *bytes, size_t size); /* FNV-1a, then mixed; not for hostile keys */
uint64_t hash_u64(uint64_t value);

#endif
