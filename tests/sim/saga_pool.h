/* The definitions that simulated sagas run by: made once a program from a constant, compiled once
 * (that takes some 30 ms each), and then the same for every run and every process in it. Some are
 * families of two versions that have nothing in common but name and inputs. */
#ifndef TROTH_TESTS_SIM_SAGA_POOL_H
#define TROTH_TESTS_SIM_SAGA_POOL_H

#include "coordinator/server.h"
#include "tests/sim/saga_tree.h"

enum { POOL_FAMILIES = 12, POOL_VERSIONS = 2, POOL_SIZE = POOL_FAMILIES * POOL_VERSIONS };

struct pool_entry {
    struct saga_tree tree;
    char *text;
    size_t size;
    char file[24];
    struct saga_plan *plan; /* NULL: nobody needed it yet */
};

/* Compiles them all: before a program has children that share them. */
void saga_pool_prepare(void);
const struct pool_entry *saga_pool_get(int family, int version); /* version from 1 */
/* By its digest, as a journal has it; NULL: none of ours. */
const struct pool_entry *saga_pool_find(const void *digest, size_t size);
/* Whether a saga of this family runs in a cluster of so many participants, which take part in three
 * phases or do not. */
bool saga_pool_fits(int family, int participants, bool three_phase);
/* The families that this one may run as steps, itself included: a bit each. */
uint32_t saga_pool_needs(int family);
struct saga_loader saga_pool_loader(void);

#endif
