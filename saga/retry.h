/* How long to wait before the next try. */
#ifndef TROTH_SAGA_RETRY_H
#define TROTH_SAGA_RETRY_H

#include "saga/definition.h"

/* The pause in us after try number `tried` (from 1): initial * factor^(tried-1), at most max, and
 * then up to `jitter` of it more or less. random: any number; the same gives the same pause. */
uint64_t saga_retry_pause(const struct saga_retry *retry, int tried, uint64_t random);

#endif
