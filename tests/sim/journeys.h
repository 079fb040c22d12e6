/* Transactions that clients build step by step: they begin one, have operations performed, ask
 * services that do their part on connections of their own, and end it; while all of them may die,
 * forget, say what is not so, and go on where they are not wanted any more. A journey is one such
 * transaction; what it wants is a transfer. */
#ifndef TROTH_TESTS_SIM_JOURNEYS_H
#define TROTH_TESTS_SIM_JOURNEYS_H

#include "tests/sim/workload.h"

struct journeys;

/* Requests from here on, and below those of sagas, are of journeys. */
#define JOURNEY_REQUESTS (UINT64_C(1) << 36)

/* The seed says, unless the world's workload does. From a
 * chance of its own, so that a world without any is the same as ever. */
struct journeys *journeys_new(struct world *world);
void journeys_free(struct journeys *journeys);
/* No journey in this world. */
bool journeys_none(const struct world *world);

/* ---- from a client's process ---- */

/* A turn of its own will. False: nothing step by step is wanted now. */
bool journeys_act(struct node *node);
void journeys_up(struct node *node);
void journeys_progress(struct node *node, const Wire__Progress *progress);
void journeys_outcome(struct node *node, const Wire__Outcome *outcome);
/* What its session has asked for is not answered any more. */
void journeys_lose(struct node *node);
/* The process is dead. */
void journeys_gone(struct node *node);

/* ---- from the run ---- */

/* Whoever does not know how his ended asks once more. */
void journeys_ask_again(struct world *world);
/* Each client has one that must commit. */
void journeys_probe(struct world *world);
bool journeys_answered(const struct world *world);

/* ---- the oracle (journey_check.c) ---- */

/* After everything came to rest. */
void journeys_check(const struct world *world, const struct transfer *transfer);

struct journey_count {
    int begun, lost;
    int joined; /* branches on connections of services */
    int lies;   /* of them, that were handed over otherwise than they are */
    int strays; /* requests that came after the end */
    int ends;   /* End, asked once more */
};
struct journey_count journeys_count(const struct world *world);

#endif
