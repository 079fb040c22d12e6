/* One run of one seed. */
#ifndef TROTH_TESTS_SIM_SIMULATE_H
#define TROTH_TESTS_SIM_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

struct verdict {
    bool broken;
    char violation[1024];
    uint64_t hash; /* of all that happened: the same seed gives the same */
    uint64_t events, virtual_us;
    int transfers, committed, aborted, rejected, unknown, hazards, lost, restarts;
};

/* planted_bug says which bug is planted. tracing: every event is a line on stdout. safety_only:
 * data that is wrong counts, an answer that could be better or comes too late does not. */
void simulate(uint64_t seed, bool tracing, bool safety_only, struct verdict *verdict);

#endif
