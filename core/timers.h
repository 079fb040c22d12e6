/* Timers of a runner: a binary heap of intrusive entries on the runner's monotonic clock. */
#ifndef TROTH_CORE_TIMERS_H
#define TROTH_CORE_TIMERS_H

#include <stddef.h>
#include <stdint.h>

/* Zeros mean: not set. The owner keeps it alive while it is set. */
struct timer {
    uint64_t at_us;
    size_t place; /* 1 + index in the heap; 0: not set */
};

struct timers {
    struct timer **heap;
    size_t count, room;
};

void timers_fini(struct timers *timers); /* frees the heap, not the entries */
/* Sets or moves. */
void timers_set(struct timers *timers, struct timer *timer, uint64_t at_us);
void timers_clear(struct timers *timers, struct timer *timer); /* harmless when not set */
/* The earliest at_us, UINT64_MAX when none is set. */
uint64_t timers_next(const struct timers *timers);
/* Takes out and returns one timer that is due, or NULL. */
struct timer *timers_due(struct timers *timers, uint64_t now_us);

#endif
