/* How purchases in three phases end whose processes were killed: who waits for a majority and says
 * so, what came out, and what a coordinator that comes back makes of it. */
#ifndef TROTH_TESTS_REAL_ENDING_H
#define TROTH_TESTS_REAL_ENDING_H

#include "tests/real/support/purchase.h"

enum ending { ABORTED, COMMITTED };

/* It was killed by its crash point, or is about to be. */
void ending_expect_killed(struct shop *shop, enum process process);

/* The client of the purchase can't know. */
void ending_expect_unknown(struct shop *shop, struct purchase *purchase);

/* The participants that are there wait for a majority: one says so of the newest transaction with
 * these words, and its doctor too, after a whole second without one. */
void ending_expect_waiting(struct shop *shop, const char *answered);

/* What a client was told is so, and it is what must have come out. */
void ending_judge(const struct purchase *purchase, int told, enum ending ending);

/* The coordinator comes back and has learnt it: nothing changes, and a repeated submit, for which
 * the purchase needs a key, hears it. */
void ending_come_back(struct shop *shop, struct purchase *purchase, enum ending ending);

#endif
