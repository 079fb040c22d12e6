/* A whole cluster made from a seed: which processes there are, how they are set up, and how the
 * real runners are bound to the models. */
#ifndef TROTH_TESTS_SIM_CLUSTER_H
#define TROTH_TESTS_SIM_CLUSTER_H

#include "tests/sim/world.h"

#define CLUSTER_NAME "shop"

/* Makes everything in `world`, which is initialized; nothing has started yet. */
void cluster_init(struct world *world);
void cluster_fini(struct world *world);
/* Coordinators keep what they know for seconds only. */
bool cluster_forgetful(void);
/* Participants keep registers for seconds only: what is older may be nobody's to finish any more.
 */
bool cluster_cleans(void);
/* For how long they are kept. */
uint64_t cluster_keep_us(void);
/* A participant listens nowhere, and so takes no part in three phases. */
bool cluster_deaf(void);
void cluster_start(struct world *world);

/* Whose transaction it is; -1: nobody's here. */
int cluster_coordinator_of(const struct world *world, const char *gtrid);
/* This coordinator has died, and nobody starts it again. */
bool cluster_gone(const struct world *world, int coordinator);

/* Nothing is owed, held, locked or awaited anywhere. why says what still is. */
bool cluster_at_rest(const struct world *world, char *why, size_t size);

/* SIGTERM: it ends once it has drained, and is started again. */
void cluster_drain(struct node *node);

#endif
