/* Faults at random: processes and databases that are killed, paused and left away, in the order
 * that a seed draws.
 *
 *   TROTH_CHAOS_SEED=17      a seed again: the same faults in the same order, though not at the
 *                            same moments
 *   TROTH_CHAOS_SECONDS=600  for longer than usual */
#ifndef TROTH_TESTS_REAL_FAULTS_H
#define TROTH_TESTS_REAL_FAULTS_H

#include "tests/real/support/shop.h"

struct faults {
    struct shop *shop;
    unsigned first_seed, seed;
    uint64_t end_ms;
    bool paused[PROCESSES], database_away[PROCESSES];
    int kills, points, pauses, databases;
};

/* The seed and the time are those of the environment, else a new seed and so many seconds. */
void faults_begin(struct faults *faults, struct shop *shop, unsigned seconds);
bool faults_are_over(const struct faults *faults); /* the time is */
unsigned faults_draw(struct faults *faults, unsigned below);
void faults_strike(struct faults *faults); /* one */
void faults_heal(struct faults *faults);
/* Heals, and starts anew what was started to die and did not: the books are checked in peace. */
void faults_end(struct faults *faults);
/* "12 kills, ..." Returns out. */
const char *faults_format(const struct faults *faults, char *out, size_t room);

#endif
