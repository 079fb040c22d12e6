#include "coordinator/recovery.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/planted.h"

/* [presence][retained][reach]. A commit that is known is told whatever the mark says; abort is
 * presumed only within the reach of the memory, where "not known" means "was never decided". A
 * live transaction that is retained too, or of the future, was never made by this code: hold, for
 * an operator. */
/* clang-format off */
static const uint8_t verdicts[PRESENCES][2][REACHES] = {
    [PRESENCE_NONE] = {
        {VERDICT_IS_HOLD, VERDICT_IS_ABORT, VERDICT_IS_HOLD},
        {VERDICT_IS_COMMIT, VERDICT_IS_COMMIT, VERDICT_IS_HOLD},
    },
    [PRESENCE_UNDECIDED] = {
        {VERDICT_IS_WAIT, VERDICT_IS_WAIT, VERDICT_IS_HOLD},
        {VERDICT_IS_HOLD, VERDICT_IS_HOLD, VERDICT_IS_HOLD},
    },
    /* The record may reach the disk or not: nobody may be told either. */
    [PRESENCE_DECIDING] = {
        {VERDICT_IS_WAIT, VERDICT_IS_WAIT, VERDICT_IS_HOLD},
        {VERDICT_IS_HOLD, VERDICT_IS_HOLD, VERDICT_IS_HOLD},
    },
    /* Retained as well: never made by this code, but both say the same. */
    [PRESENCE_COMMITTED] = {
        {VERDICT_IS_COMMIT, VERDICT_IS_COMMIT, VERDICT_IS_HOLD},
        {VERDICT_IS_COMMIT, VERDICT_IS_COMMIT, VERDICT_IS_HOLD},
    },
    [PRESENCE_ABORTED] = {
        {VERDICT_IS_ABORT, VERDICT_IS_ABORT, VERDICT_IS_HOLD},
        {VERDICT_IS_HOLD, VERDICT_IS_HOLD, VERDICT_IS_HOLD},
    },
};
/* clang-format on */

enum verdict recovery_verdict(enum presence presence, bool retained, enum reach reach)
{
    CHECK(presence < PRESENCES && reach < REACHES);
    enum verdict verdict = verdicts[presence][retained][reach];
    if (PLANTED(PRESUME_COMMIT) && presence == PRESENCE_NONE && verdict == VERDICT_IS_ABORT)
        verdict = VERDICT_IS_COMMIT;
    return verdict;
}

void recovery_fini(struct recovery *recovery)
{
    retained_fini(&recovery->retained);
    free(recovery->epochs);
    recovery->epochs = NULL;
    recovery->epoch_count = recovery->epoch_room = 0;
}

/* The index of the first known epoch that is not before this one. */
static size_t lower_bound(const struct recovery *recovery, uint64_t epoch)
{
    size_t low = 0, high = recovery->epoch_count;
    while (low < high) {
        size_t middle = (low + high) / 2;
        if (recovery->epochs[middle] < epoch)
            low = middle + 1;
        else
            high = middle;
    }
    return low;
}

static bool knows_epoch(const struct recovery *recovery, uint64_t epoch)
{
    size_t at = lower_bound(recovery, epoch);
    return at < recovery->epoch_count && recovery->epochs[at] == epoch;
}

static void add_epoch(struct recovery *recovery, uint64_t epoch)
{
    size_t at = lower_bound(recovery, epoch);
    if (recovery->epoch_count == recovery->epoch_room) {
        recovery->epoch_room = recovery->epoch_room ? 2 * recovery->epoch_room : 16;
        recovery->epochs =
            xrealloc(recovery->epochs, recovery->epoch_room * sizeof(*recovery->epochs));
    }
    uint64_t *place = recovery->epochs + at;
    memmove(place + 1, place, (recovery->epoch_count - at) * sizeof(*place));
    recovery->epoch_count++;
    *place = epoch;
}

static void drop_epochs(struct recovery *recovery)
{
    size_t gone = lower_bound(recovery, recovery->low_water.epoch);
    if (gone == 0)
        return;
    recovery->epoch_count -= gone;
    memmove(recovery->epochs, recovery->epochs + gone,
            recovery->epoch_count * sizeof(*recovery->epochs));
}

void recovery_started(struct recovery *recovery, uint64_t epoch)
{
    if (epoch > recovery->epoch)
        recovery->epoch = epoch;
    if (!recovery->low_water_known)
        recovery_low_water(recovery, (struct txid){epoch, 0});
    if (epoch < recovery->low_water.epoch || knows_epoch(recovery, epoch))
        return;
    add_epoch(recovery, epoch);
    /* Also when something of an older run is undecided, a proposal: that is live, and judged by its
     * presence; when it has ended nothing is known of it any more. */
    if (recovery->epoch_count > LIMIT_EPOCHS)
        recovery_low_water(recovery, (struct txid){recovery->epochs[1], 0});
}

void recovery_low_water(struct recovery *recovery, struct txid id)
{
    if (!recovery->low_water_known || txid_compare(id, recovery->low_water) > 0)
        recovery->low_water = id;
    recovery->low_water_known = true;
    drop_epochs(recovery);
}

uint64_t recovery_begin(struct recovery *recovery, int64_t wall_us)
{
    uint64_t ms = wall_us > 0 ? (uint64_t)wall_us / 1000 : 0;
    uint64_t next = recovery->epoch + 1;
    if (PLANTED(REUSE_EPOCH) && recovery->epoch > 0)
        next = recovery->epoch;
    else if (ms > next)
        next = ms;
    recovery_started(recovery, next);
    recovery->last_seq = 0;
    return next;
}

struct txid recovery_next_id(struct recovery *recovery)
{
    return (struct txid){recovery->epoch, ++recovery->last_seq};
}

void recovery_ended(struct recovery *recovery, struct txid id, int64_t at_us)
{
    if (PLANTED(FORGET_RETAINED))
        return;
    if (txid_compare(id, recovery->low_water) >= 0)
        retained_add(&recovery->retained, id, at_us);
}

void recovery_forget(struct recovery *recovery, int64_t wall_us, uint64_t retain_us,
                     struct txid floor)
{
    int64_t before = retain_us < INT64_MAX ? wall_us - (int64_t)retain_us : INT64_MIN;
    struct txid above;
    while (retained_drop(&recovery->retained, before, LIMIT_RETAINED_BLOCKS, floor, &above))
        recovery_low_water(recovery, above);
}

enum reach recovery_reach(const struct recovery *recovery, struct txid id)
{
    if (id.seq == 0 || id.epoch > recovery->epoch ||
        (id.epoch == recovery->epoch && id.seq > recovery->last_seq))
        return REACH_FUTURE;
    if (txid_compare(id, recovery->low_water) < 0 || !knows_epoch(recovery, id.epoch))
        return REACH_FORGOTTEN;
    return REACH_KNOWN;
}

enum verdict recovery_judge(const struct recovery *recovery, struct txid id, enum presence presence)
{
    return recovery_verdict(presence, retained_has(&recovery->retained, id),
                            recovery_reach(recovery, id));
}
