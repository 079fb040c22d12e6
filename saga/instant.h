/* Times as text (RFC 3339): 2026-11-21T01:02:03Z, with a fraction or an offset such as +02:00. */
#ifndef TROTH_SAGA_INSTANT_H
#define TROTH_SAGA_INSTANT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Microseconds since 1970; what is finer is cut off. False: it is none. */
bool instant_parse(const char *text, size_t size, int64_t *us);

#endif
