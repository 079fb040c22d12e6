#include "core/timers.h"

#include <stdlib.h>

#include "core/check.h"

void timers_fini(struct timers *timers)
{
    free(timers->heap);
    *timers = (struct timers){0};
}

static void put(struct timers *timers, size_t index, struct timer *timer)
{
    timers->heap[index] = timer;
    timer->place = index + 1;
}

static void sift(struct timers *timers, size_t index, struct timer *timer)
{
    for (; index > 0; index = (index - 1) / 2) {
        struct timer *parent = timers->heap[(index - 1) / 2];
        if (parent->at_us <= timer->at_us)
            break;
        put(timers, index, parent);
    }
    for (size_t child; (child = 2 * index + 1) < timers->count; index = child) {
        if (child + 1 < timers->count &&
            timers->heap[child + 1]->at_us < timers->heap[child]->at_us)
            child++;
        if (timer->at_us <= timers->heap[child]->at_us)
            break;
        put(timers, index, timers->heap[child]);
    }
    put(timers, index, timer);
}

void timers_set(struct timers *timers, struct timer *timer, uint64_t at_us)
{
    timer->at_us = at_us;
    if (timer->place == 0) {
        if (timers->count == timers->room) {
            timers->room = timers->room ? timers->room * 2 : 64;
            timers->heap = xrealloc(timers->heap, timers->room * sizeof(*timers->heap));
        }
        put(timers, timers->count++, timer);
    }
    sift(timers, timer->place - 1, timer);
}

void timers_clear(struct timers *timers, struct timer *timer)
{
    if (timer->place == 0)
        return;
    size_t index = timer->place - 1;
    CHECK(index < timers->count && timers->heap[index] == timer);
    struct timer *last = timers->heap[--timers->count];
    timer->place = 0;
    if (last != timer) {
        put(timers, index, last);
        sift(timers, index, last);
    }
}

uint64_t timers_next(const struct timers *timers)
{
    return timers->count ? timers->heap[0]->at_us : UINT64_MAX;
}

struct timer *timers_due(struct timers *timers, uint64_t now_us)
{
    if (timers_next(timers) > now_us)
        return NULL;
    struct timer *timer = timers->heap[0];
    timers_clear(timers, timer);
    return timer;
}
