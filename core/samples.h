/* Metrics as the samples of an answer to Query METRICS. */
#ifndef TROTH_CORE_SAMPLES_H
#define TROTH_CORE_SAMPLES_H

#include <stdbool.h>

#include "core/metrics.h"
#include "wire.pb-c.h"

/* Where they lie, and how much a message still takes. */
struct samples_room {
    void *self;
    void *(*take)(void *self, size_t size); /* as long as the answer lives */
    bool (*fits)(void *self, size_t packed);
};

/* read is called twice: what does not fit is counted in answer->more, from the first one that does
 * not. */
void samples_answer(Wire__Answer *answer, const struct samples_room *room,
                    void (*read)(void *of, struct metrics_sink *sink), void *of);

#endif
