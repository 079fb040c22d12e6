/* Durations as a person writes them. */
#ifndef TROTH_SAGA_DURATION_H
#define TROTH_SAGA_DURATION_H

#include <stdint.h>

typedef char duration_text[32];

/* In the largest unit that says it without loss: 250us, 1500ms, 90s, 5m, 36h, 7d. Returns out. */
const char *duration_format(duration_text out, uint64_t us);

#endif
