/* Deaths at the crash points of sagas, of coordinators and participants, and participants that stop
 * and are replaced while they have something to do: in some of the worlds that have sagas. Their
 * chance comes from a stream of its own. */
#ifndef TROTH_TESTS_SIM_SAGA_FAULTS_H
#define TROTH_TESTS_SIM_SAGA_FAULTS_H

#include "tests/sim/world.h"

struct saga_faults {
    struct rng rng;
    uint64_t pace_us;
};

/* Draws how often, and schedules the first. */
void saga_faults_begin(struct saga_faults *faults, struct world *world);

#endif
