/* What an operator's order comes to: one table, from what is decided and what the databases say.
 * Pure, and walked whole by a test.
 *
 * An operator never makes a decision. What is undecided and can be aborted by the protocol is; what
 * is decided, or will be by itself, is left to it; and what contradicts a decision or an outcome
 * that is proved is refused. Only where there is no decision, and nobody left to make one, an
 * outcome is forced on the branches that are in doubt: that is recorded as heuristic, and stays on
 * the list until an operator forgets it. */
#ifndef TROTH_COORDINATOR_RESOLUTION_H
#define TROTH_COORDINATOR_RESOLUTION_H

#include <stdbool.h>

#include "wire.pb-c.h"

/* What this coordinator knows. */
enum standing {
    STANDING_VOTING,    /* undecided: it may abort */
    STANDING_ALONE,     /* one phase: its participant decides */
    STANDING_WRITING,   /* its record is on the way to the disk */
    STANDING_PROPOSED,  /* three phases: a majority of the sites decides */
    STANDING_COMMITTED, /* decided, also when ended and remembered */
    STANDING_ABORTED,   /* likewise */
    /* Its journal does not know it, and would: so what is prepared is rolled back. But a commit in
     * one phase leaves no record. */
    STANDING_PRESUMED,
    STANDING_HELD, /* its journal does not know, or it is another coordinator's */
    STANDINGS
};

/* What the testimonies come to, over all participants that were heard. */
struct weighed {
    bool prepared;  /* somewhere */
    bool committed; /* somewhere: by the xid's status, a barrier row, or a heuristic that was
                       carried out */
    bool aborted;   /* likewise; an xid that is not known proves nothing */
    bool decided_commit, decided_abort; /* a register says so */
    bool judged;   /* another coordinator's: that one has a session with a participant */
    bool unheard;  /* somebody whom it may concern did not answer */
    bool majority; /* three phases: enough sites can be reached to decide by themselves */
};

/* What was ordered for all branches before. It will be carried out where it is not yet, so nothing
 * else may be ordered. What was forced at one participant is evidence (resolution_weigh). */
enum forced { FORCED_NOT, FORCED_COMMIT, FORCED_ABORT };

enum verdict_on_order {
    ORDER_ABORT = 1,   /* by the protocol */
    ORDER_NOTHING,     /* there is nothing to resolve */
    ORDER_WAIT,        /* decided so: it is or will be carried out by itself */
    ORDER_UNDECIDED,   /* refused: it will be decided by itself */
    ORDER_CONTRADICTS, /* refused: decided, proved or forced otherwise */
    ORDER_JUDGED,      /* refused: ask its own coordinator */
    ORDER_HEURISTIC,
};

enum verdict_on_order resolution_of(enum standing standing, bool commit, enum forced forced,
                                    const struct weighed *weighed);
/* Adds what one participant says. */
void resolution_weigh(struct weighed *weighed, const Wire__Testimony *testimony);

#endif
