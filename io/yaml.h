/* YAML with places: every mistake is told as FILE:LINE:COLUMN, all of a file at once. */
#ifndef TROTH_IO_YAML_H
#define TROTH_IO_YAML_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"

struct yaml;      /* a loaded file, and the mistakes found in it */
struct yaml_node; /* a value in it; NULL is "not there" and every reader below accepts it */

/* Reads at most LIMIT_FILE_BYTES. NULL with an error: not readable, empty, not UTF-8, or not YAML
 * (with its place). A key twice in a map, an alias, a tag, a second document are noted as mistakes,
 * which yaml_check tells together with those that the caller notes. */
struct yaml *yaml_load(const char *path, struct error *error);
struct yaml *yaml_load_text(const char *name, const char *text, size_t size, struct error *error);
/* Hidden, because libyaml exports an internal function of this name and would call ours. */
__attribute__((visibility("hidden"))) void yaml_free(struct yaml *yaml); /* NULL is harmless */
const struct yaml_node *yaml_root(const struct yaml *yaml);

/* Notes a mistake at a node (NULL: at the file). */
void yaml_mistake(struct yaml *yaml, const struct yaml_node *at, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* False with an error that lists every mistake, one a line, when there was any. */
bool yaml_check(struct yaml *yaml, struct error *error);

/* Shows the mistakes noted so far, in the order of the file; line and column are 0 for the file as
 * a whole. Returns how many more there are. For those who tell mistakes of other kinds with them.
 */
int yaml_mistakes(struct yaml *yaml, void *self,
                  void (*show)(void *self, int line, int column, const char *text));

/* A map must be a map and know only these keys: an unknown one is a mistake that names the nearest.
 * keys ends with NULL. Returns false (and notes it) when the node is not a map. */
bool yaml_map(struct yaml *yaml, const struct yaml_node *map, const char *const *keys);
const struct yaml_node *yaml_get(const struct yaml_node *map, const char *key);
/* As yaml_get; a missing key is a mistake. */
const struct yaml_node *yaml_need(struct yaml *yaml, const struct yaml_node *map, const char *key);

/* Readers: a missing node gives the fallback, a wrong one a mistake and the fallback. Strings live
 * as long as the yaml. */
const char *yaml_string(struct yaml *yaml, const struct yaml_node *node, const char *fallback);
int64_t yaml_integer(struct yaml *yaml, const struct yaml_node *node, int64_t low, int64_t high,
                     int64_t fallback);
bool yaml_boolean(struct yaml *yaml, const struct yaml_node *node, bool fallback);
/* 250us 20ms 5s 3m 2h 7d, in us. A number without a unit is a mistake that says so. */
uint64_t yaml_duration_us(struct yaml *yaml, const struct yaml_node *node, uint64_t fallback);
/* The same, of a text: a command line's or an environment variable's. */
bool duration_parse(const char *text, uint64_t *us);
/* One of the words (ends with NULL): its index. */
int yaml_word(struct yaml *yaml, const struct yaml_node *node, const char *const *words,
              int fallback);

/* Sequences and maps in order. */
int yaml_count(const struct yaml_node *node);
const struct yaml_node *yaml_item(const struct yaml_node *sequence, int index);
const char *yaml_key_at(const struct yaml_node *map, int index);
const struct yaml_node *yaml_value_at(const struct yaml_node *map, int index);
bool yaml_is_map(const struct yaml_node *node);
bool yaml_is_sequence(const struct yaml_node *node);
bool yaml_is_scalar(const struct yaml_node *node);
int yaml_line(const struct yaml_node *node); /* from 1 */

/* The value as JSON text (plain scalars by YAML's core schema: true, null, numbers with the digits
 * they were written in; quoted ones strings). The caller frees it. */
char *yaml_to_json(const struct yaml_node *node);

#endif
