#include "coordinator/keys.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"

void keys_init(struct keys *keys)
{
    *keys = (struct keys){0};
    list_init(&keys->aged);
    list_init(&keys->of_steps);
}

static void drop_results(struct keys *keys, struct key *key)
{
    if (!key_of_step(key->text)) {
        CHECK(keys->kept_bytes >= key->kept_bytes);
        keys->kept_bytes -= key->kept_bytes;
    }
    free(key->results);
    key->results = NULL;
    key->result_count = 0;
    key->kept_bytes = 0;
}

static void free_key(struct keys *keys, struct key *key)
{
    drop_results(keys, key);
    free(key->text);
    free(key);
}

void keys_fini(struct keys *keys)
{
    for (struct map_node *node = map_next(&keys->map, NULL), *next; node; node = next) {
        next = map_next(&keys->map, node);
        free_key(keys, CONTAINER(node, struct key, node));
    }
    map_fini(&keys->map);
}

static bool match(const struct map_node *node, const void *text)
{
    return strcmp(CONTAINER(node, struct key, node)->text, text) == 0;
}

struct key *keys_find(const struct keys *keys, const char *text)
{
    struct map_node *node = map_find(&keys->map, hash_bytes(text, strlen(text)), match, text);
    return node ? CONTAINER(node, struct key, node) : NULL;
}

struct key *keys_add(struct keys *keys, const char *text, const uint8_t *fingerprint, struct tx *tx,
                     struct txid id)
{
    CHECK(keys_find(keys, text) == NULL);
    struct key *key = xcalloc(1, sizeof(*key));
    key->text = xstrdup(text);
    memcpy(key->fingerprint, fingerprint, FINGERPRINT_BYTES);
    key->tx = tx;
    key->id = id;
    list_init(&key->aged);
    map_insert(&keys->map, &key->node, hash_bytes(text, strlen(text)));
    keys->step_count += key_of_step(text);
    return key;
}

void keys_settle(struct keys *keys, struct key *key, int64_t at_us)
{
    CHECK(list_empty(&key->aged));
    key->tx = NULL;
    key->at_us = at_us;
    if (key->forgotten)
        keys_remove(keys, key);
    else
        list_append(key_of_step(key->text) ? &keys->of_steps : &keys->aged, &key->aged);
}

void keys_remove(struct keys *keys, struct key *key)
{
    list_remove(&key->aged);
    map_remove(&keys->map, &key->node);
    keys->step_count -= key_of_step(key->text);
    free_key(keys, key);
}

void keys_keep_results(struct keys *keys, struct key *key, char *const *results, int count,
                       bool dropped)
{
    size_t size = 0, bytes = (size_t)count * sizeof(*key->results);
    drop_results(keys, key);
    for (int i = 0; i < count; i++)
        size += results[i] ? strlen(results[i]) : 0;
    bytes += size + (size_t)count;
    bool of_client = !key_of_step(key->text);
    key->results_dropped =
        dropped || (of_client && (size > LIMIT_KEPT_RESULT_BYTES ||
                                  keys->kept_bytes + bytes > LIMIT_KEPT_RESULTS_BYTES));
    if (key->results_dropped || count == 0)
        return;
    key->results = xmalloc(bytes);
    key->result_count = count;
    key->kept_bytes = bytes;
    if (of_client)
        keys->kept_bytes += bytes;
    char *text = (char *)(key->results + count);
    for (int i = 0; i < count; i++) {
        const char *result = results[i] ? results[i] : "";
        key->results[i] = text;
        text = stpcpy(text, result) + 1;
    }
}

void keys_expire(struct keys *keys, int64_t before_us)
{
    while (!list_empty(&keys->aged)) {
        struct key *oldest = CONTAINER(keys->aged.next, struct key, aged);
        if (oldest->at_us >= before_us)
            break;
        keys_remove(keys, oldest);
    }
}
