#include "coordinator/saga_keys.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "core/limits.h"

void saga_keys_init(struct saga_keys *keys)
{
    *keys = (struct saga_keys){0};
    list_init(&keys->aged);
}

static void forget_outcome(struct saga_keys *keys, struct saga_key *key)
{
    if (!key->kept)
        return;
    CHECK(keys->kept_bytes >= key->kept->bytes);
    keys->kept_bytes -= key->kept->bytes;
    free(key->kept);
    key->kept = NULL;
}

void saga_keys_fini(struct saga_keys *keys)
{
    for (struct map_node *node = map_next(&keys->map, NULL), *next; node; node = next) {
        struct saga_key *key = CONTAINER(node, struct saga_key, node);
        next = map_next(&keys->map, node);
        free(key->kept);
        free(key);
    }
    map_fini(&keys->map);
}

static bool match(const struct map_node *node, const void *text)
{
    return strcmp(CONTAINER(node, struct saga_key, node)->text, text) == 0;
}

struct saga_key *saga_keys_find(const struct saga_keys *keys, const char *text)
{
    struct map_node *node = map_find(&keys->map, hash_bytes(text, strlen(text)), match, text);
    return node ? CONTAINER(node, struct saga_key, node) : NULL;
}

struct saga_key *saga_keys_add(struct saga_keys *keys, const char *text, const uint8_t *fingerprint,
                               struct txid id)
{
    CHECK(saga_keys_find(keys, text) == NULL);
    struct saga_key *key = xcalloc(1, sizeof(*key) + strlen(text) + 1);
    strcpy(key->text, text);
    memcpy(key->fingerprint, fingerprint, SAGA_FINGERPRINT_BYTES);
    key->id = id;
    list_init(&key->aged);
    map_insert(&keys->map, &key->node, hash_bytes(text, strlen(text)));
    return key;
}

static const char *put(char **at, const char *text, size_t size)
{
    char *start = *at;
    memcpy(start, text, size);
    start[size] = '\0';
    *at += size + 1;
    return start;
}

void saga_keys_settle(struct saga_keys *keys, struct saga_key *key, const struct saga_kept *how)
{
    enum { MESSAGE_BYTES = 300 };
    CHECK(!key->kept);
    size_t output = strlen(how->output), message = strnlen(how->message, MESSAGE_BYTES);
    while (message > 0 && (how->message[message] & 0xc0) == 0x80)
        message--; /* not within a character */
    size_t bytes = sizeof(*how) + strlen(how->name) + strlen(how->participant) +
                   strlen(how->operation) + strlen(how->code) + message + 6;
    bool dropped = how->output_dropped || output > LIMIT_KEPT_RESULT_BYTES ||
                   keys->kept_bytes + bytes + output > LIMIT_KEPT_RESULTS_BYTES;
    if (dropped)
        output = 0;
    struct saga_kept *kept = xmalloc(bytes + output);
    char *at = (char *)(kept + 1);
    *kept = *how;
    kept->output_dropped = dropped;
    kept->bytes = bytes + output;
    kept->name = put(&at, how->name, strlen(how->name));
    kept->output = put(&at, how->output, output);
    kept->participant = put(&at, how->participant, strlen(how->participant));
    kept->operation = put(&at, how->operation, strlen(how->operation));
    kept->code = put(&at, how->code, strlen(how->code));
    kept->message = put(&at, how->message, message);
    CHECK(at == (char *)kept + kept->bytes);
    keys->kept_bytes += kept->bytes;
    key->kept = kept;
    key->run = NULL;
    list_append(&keys->aged, &key->aged);
}

void saga_keys_remove(struct saga_keys *keys, struct saga_key *key)
{
    list_remove(&key->aged);
    map_remove(&keys->map, &key->node);
    forget_outcome(keys, key);
    free(key);
}

void saga_keys_expire(struct saga_keys *keys, int64_t before_us)
{
    while (!list_empty(&keys->aged)) {
        struct saga_key *oldest = CONTAINER(keys->aged.next, struct saga_key, aged);
        if (oldest->kept->at_us >= before_us)
            break;
        saga_keys_remove(keys, oldest);
    }
}

/* ---- the fingerprint ----------------------------------------------------------------------- */

static int by_name(const void *a, const void *b)
{
    const struct json_member *const *x = a, *const *y = b;
    return strcmp((*x)->name, (*y)->name);
}

static void write_plain(struct json_writer *out, const struct json *value);

static void write_members(struct json_writer *out, const struct json *object)
{
    const struct json_member **sorted = xcalloc((size_t)object->count + 1, sizeof(*sorted));
    for (int i = 0; i < object->count; i++)
        sorted[i] = &object->members[i];
    qsort(sorted, (size_t)object->count, sizeof(*sorted), by_name);
    json_open(out, '{');
    for (int i = 0; i < object->count; i++) {
        json_name(out, sorted[i]->name);
        write_plain(out, &sorted[i]->value);
    }
    json_close(out, '}');
    free(sorted);
}

/* Without blanks, names sorted; numbers as they are written. */
static void write_plain(struct json_writer *out, const struct json *value)
{
    char *raw;
    switch (value->type) {
    case JSON_OBJECT:
        write_members(out, value);
        break;
    case JSON_ARRAY:
        json_open(out, '[');
        for (int i = 0; i < value->count; i++)
            write_plain(out, &value->items[i]);
        json_close(out, ']');
        break;
    case JSON_STRING:
        json_string_sized(out, value->text, value->text_size);
        break;
    default:
        raw = xstrndup(value->raw, value->raw_size);
        json_raw(out, raw);
        free(raw);
        break;
    }
}

void saga_fingerprint(uint8_t *out, const char *name, const char *input)
{
    struct json_writer text = {0};
    struct json *value = json_parse(input, strlen(input), NULL);
    CHECK(value);
    for (int half = 0; half < 2; half++) {
        text.size = 0;
        text.separator = false;
        json_open(&text, '[');
        json_integer(&text, half);
        json_string(&text, name);
        write_plain(&text, value);
        json_close(&text, ']');
        uint64_t hash = hash_bytes(text.text, text.size);
        memcpy(out + 8 * half, &hash, sizeof(hash));
    }
    json_free(value);
    json_writer_fini(&text);
}
