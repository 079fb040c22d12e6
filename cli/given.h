/* What a person gives to more than one command: keys, JSON, files. */
#ifndef TROTH_CLI_GIVEN_H
#define TROTH_CLI_GIVEN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "io/yaml.h"

/* An idempotency key: 1 to LIMIT_KEY_BYTES of UTF-8 without control characters. */
bool key_check(const char *key, struct error *error);
/* Valid JSON without the spaces between its tokens, a new text. A key is bound to the bytes of what
 * it was first used with: who types them again with other spaces, or in a file, repeats the same.
 */
char *json_without_spaces(const char *json, size_t size);
/* "-" is stdin. NULL with an error. */
struct yaml *file_or_stdin(const char *path, struct error *error);

#endif
