/* Texts for people: what peers sent, made harmless; times, ages and sizes. */
#ifndef TROTH_CLI_TEXT_H
#define TROTH_CLI_TEXT_H

#include <stdbool.h>
#include <stdint.h>

#include "io/wire_json.h"

/* Controls, and the marks that turn the direction of what follows: they would hide or forge text.
 */
bool text_forbidden(uint32_t point);
/* The character at text and its bytes (1 to 4); 0 when there is no valid UTF-8 there. */
int utf8_next(const char *text, uint32_t *point);

/* Control characters, marks of direction and bytes that are no UTF-8 as \xNN. The first is a new
 * text that the caller frees. */
char *escaped(const char *text);

/* An age in one unit that says enough: 250ms, 12s, 5m, 3h, 9d. */
const char *age_format(time_text out, int64_t us);
/* Between two moments, whatever a peer says that they are; 0 when the first is not before. */
const char *age_between(time_text out, int64_t from_us, int64_t to_us);
const char *bytes_format(time_text out, uint64_t bytes);
int64_t wall_now_us(void);

#endif
