/* One run of one seed. */
#ifndef TROTH_TESTS_SIM_SIMULATE_H
#define TROTH_TESTS_SIM_SIMULATE_H

#include <stdbool.h>
#include <stdint.h>

#include "tests/sim/journeys.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"
#include "tests/sim/saga_clients.h"
#include "tests/sim/world.h"

struct run_options {
    bool tracing;             /* every event is a line on stdout */
    bool safety_only;         /* data that is wrong counts, an answer that could be better or comes
                                 too late does not */
    enum protocols protocols; /* PROTOCOLS_ANY: the seed says */
    enum workloads workloads; /* likewise */
    int operators;            /* so many, in a world of transfers; 0: the seed says; -1: none */
};

struct verdict {
    bool broken;
    char violation[1024];
    uint64_t hash; /* of all that happened: the same seed gives the same */
    uint64_t events, virtual_us;
    int transfers, committed, aborted, rejected, unknown, hazards, lost, restarts;
    int gone; /* coordinators that never came back */
    struct registers_count three_phase;
    struct saga_count sagas;
    struct order_count orders;
    struct journey_count journeys;
};

/* planted_bug says which bug is planted. options NULL: zeros. */
void simulate(uint64_t seed, const struct run_options *options, struct verdict *verdict);

#endif
