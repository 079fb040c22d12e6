/* What the journal has told this coordinator about the past: the epochs it ran in, the commits that
 * were ended, and how far back that memory goes; and the verdict on a branch that a participant
 * found prepared, which follows from nothing else. Pure. */
#ifndef TROTH_COORDINATOR_RECOVERY_H
#define TROTH_COORDINATOR_RECOVERY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/retained.h"
#include "core/id.h"

/* What is known of the transaction now, in memory. */
enum presence {
    PRESENCE_NONE, /* not live */
    PRESENCE_UNDECIDED,
    PRESENCE_DECIDING, /* the record is appended, not durable */
    PRESENCE_COMMITTED,
    PRESENCE_ABORTED,
    PRESENCES
};

/* Where its id lies. */
enum reach {
    /* Below the low-water mark, so that a commit of it may have been dropped; or of an epoch that
     * this journal never saw: then it is an older copy of the one that held the commits. */
    REACH_FORGOTTEN,
    REACH_KNOWN,
    REACH_FUTURE, /* not given out by this coordinator, as far as its journal knows */
    REACHES
};

enum verdict { VERDICT_IS_COMMIT = 1, VERDICT_IS_ABORT, VERDICT_IS_WAIT, VERDICT_IS_HOLD };

/* The whole rule. retained: the bitmap says committed and ended. */
enum verdict recovery_verdict(enum presence presence, bool retained, enum reach reach);

struct recovery {
    uint64_t epoch;        /* of this run, or while replaying the highest so far */
    uint64_t last_seq;     /* given out in it */
    bool low_water_known;  /* false: nothing of the journal was read yet and it may be fresh */
    struct txid low_water; /* ids below it are REACH_FORGOTTEN */
    uint64_t *epochs;      /* of which a Started record is known: ascending, none below the mark */
    size_t epoch_count, epoch_room;
    struct retained retained;
};

void recovery_fini(struct recovery *recovery);
/* A Started record of the past. */
void recovery_started(struct recovery *recovery, uint64_t epoch);
void recovery_low_water(struct recovery *recovery, struct txid id);
/* Begins this run. The epoch is higher than any in the journal, and than any that a journal which
 * was lost can have had: it is the time in milliseconds, and no start takes less than one. */
uint64_t recovery_begin(struct recovery *recovery, int64_t wall_us);
struct txid recovery_next_id(struct recovery *recovery);
/* A commit ended: remembered, unless its block is gone already. */
void recovery_ended(struct recovery *recovery, struct txid id, int64_t at_us);
/* Forgets what ended more than retain_us ago and raises the low-water mark over it, but not over
 * floor: the oldest id that is undecided or not given out. */
void recovery_forget(struct recovery *recovery, int64_t wall_us, uint64_t retain_us,
                     struct txid floor);
enum reach recovery_reach(const struct recovery *recovery, struct txid id);
enum verdict recovery_judge(const struct recovery *recovery, struct txid id,
                            enum presence presence);

#endif
