/* What participants testify, kept for a client and cut to one message: a report that does not fit
 * is left out as a whole, never cut in its middle, and a list of prepared transactions is cut at
 * its end; each testimony says of itself what is missing. */
#ifndef TROTH_COORDINATOR_TESTIMONIES_H
#define TROTH_COORDINATOR_TESTIMONIES_H

#include <stddef.h>

#include "wire.pb-c.h"

/* Heap copies; NULL stays NULL. Freed with protobuf's free_unpacked. */
Wire__Testimony *testimony_copy(const Wire__Testimony *testimony);
Wire__Resolution *resolution_copy(const Wire__Resolution *resolution);
Wire__Problem *problem_copy(const Wire__Problem *problem);
/* Of somebody who could not be asked; heap. */
Wire__Testimony *testimony_missing(const char *participant, const char *code, const char *message);

/* Cuts them so that together they pack into `room` bytes. Returns how many are left, the first
 * ones: only beyond some hundred participants others go as a whole. The testimonies are heap
 * copies. */
size_t testimonies_fit(Wire__Testimony **testimonies, size_t count, size_t room);

#endif
