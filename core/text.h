/* Texts that people give, and times as people read them. */
#ifndef TROTH_CORE_TEXT_H
#define TROTH_CORE_TEXT_H

#include <stdbool.h>
#include <stdint.h>

/* Valid UTF-8 without control characters: it may lie in a row, a record and a line of a log. */
bool text_plain(const char *text);

/* "2026-11-21T10:11:12Z"; what no year of four digits has is "-". */
typedef char text_time[24];
const char *text_time_format(text_time out, int64_t wall_us);

#endif
