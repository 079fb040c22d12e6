/* What happens to a cluster that should not: each run draws its own mixture and its own pace. */
#ifndef TROTH_TESTS_SIM_NEMESIS_H
#define TROTH_TESTS_SIM_NEMESIS_H

#include <stdbool.h>

#include "tests/sim/world.h"

enum fault {
    FAULT_CRASH,        /* between two turns */
    FAULT_CRASH_EFFECT, /* between two effects of one turn */
    FAULT_CRASH_POINT,  /* at a named crash point */
    FAULT_CRASH_THREE,  /* at one of those of three phases; away for long */
    FAULT_PAUSE,
    FAULT_CUT,
    FAULT_ONE_WAY,
    FAULT_SPLIT, /* all processes into two sides */
    FAULT_BREAK,
    FAULT_WEDGE,
    FAULT_DB_CRASH,
    FAULT_DB_FAILOVER,
    FAULT_DB_DISCONNECT,
    FAULT_WALL_JUMP,
    FAULT_DRAIN,
    FAULT_RIVAL, /* a second process takes a participant's name */
    FAULT_SLOW_DISK,
    FAULT_MEDDLE,
    FAULT_JOURNAL_LOST, /* in forgetful runs; or replaced by an older copy */
    FAULT_COUNT,
};

/* Draws the weather and the mixture, and schedules the first fault. */
void nemesis_begin(struct world *world);
/* A process is about to start: it may die again at what it does first. */
void nemesis_started(struct node *node);
/* A process is gone. */
void nemesis_gone(struct node *node);
/* The server is about to insert the row of an acceptance: the process may die that asked for it,
 * and be back before the row is there. */
void nemesis_asked_to_accept(struct node *agent);
/* The row of an acceptance was inserted and not flushed; its commit comes next. True: its
 * connection is lost. The server and the coordinator may die soon, too. */
bool nemesis_accepting(struct database *database, const char *gtrid);
/* The world is healed: no fault from now on, everybody is or comes up. */
void nemesis_end(struct world *world);

#endif
