#include "coordinator/resolution.h"

#include <string.h>

#include "core/check.h"

/* What nobody decides any more, or what is not known here: the databases have the last word. Where
 * they differ already, and one branch still holds its locks, it has to be ended one way or the
 * other. */
static enum verdict_on_order undecidable(bool commit, enum forced forced,
                                         const struct weighed *weighed)
{
    bool against = commit ? weighed->aborted : weighed->committed;
    bool with = (commit ? weighed->committed : weighed->aborted) || forced != FORCED_NOT;
    if (against && !(with && weighed->prepared))
        return ORDER_CONTRADICTS;
    return weighed->prepared || weighed->unheard ? ORDER_HEURISTIC : ORDER_NOTHING;
}

/* A register that knows the decision has heard it of a majority. */
static bool registers_say(bool commit, const struct weighed *weighed)
{
    return commit ? weighed->decided_commit : weighed->decided_abort;
}

/* Of two phases and three no record means abort; of one it means nothing. */
static enum verdict_on_order presumable(bool commit, bool known, bool denied,
                                        const struct weighed *weighed)
{
    if (denied || (commit && weighed->prepared))
        return ORDER_CONTRADICTS;
    if (known || weighed->prepared)
        return ORDER_WAIT;
    if (weighed->unheard)
        return ORDER_UNDECIDED;
    return commit && !weighed->committed ? ORDER_CONTRADICTS : ORDER_NOTHING;
}

enum verdict_on_order resolution_of(enum standing standing, bool commit, enum forced forced,
                                    const struct weighed *weighed)
{
    CHECK(standing < STANDINGS);
    bool denied = commit ? weighed->aborted : weighed->committed;
    if (forced == (commit ? FORCED_ABORT : FORCED_COMMIT) || registers_say(!commit, weighed))
        return ORDER_CONTRADICTS;
    bool known = registers_say(commit, weighed);
    switch (standing) {
    case STANDING_VOTING:
        /* A commit needs every vote, and an abort of what somebody committed by hand is a slip. */
        return commit ? ORDER_UNDECIDED : denied ? ORDER_CONTRADICTS : ORDER_ABORT;
    case STANDING_ALONE:
    case STANDING_WRITING:
        return ORDER_UNDECIDED;
    case STANDING_PROPOSED:
        if (known)
            return denied ? ORDER_CONTRADICTS : ORDER_WAIT;
        return weighed->majority ? ORDER_UNDECIDED : undecidable(commit, forced, weighed);
    case STANDING_COMMITTED:
        return commit && !denied ? ORDER_WAIT : ORDER_CONTRADICTS;
    case STANDING_ABORTED:
        return !commit && !denied ? ORDER_WAIT : ORDER_CONTRADICTS;
    case STANDING_PRESUMED:
        return presumable(commit, known, denied, weighed);
    default:
        if (known)
            return denied ? ORDER_CONTRADICTS : ORDER_WAIT;
        return weighed->judged ? ORDER_JUDGED : undecidable(commit, forced, weighed);
    }
}

static void weigh_outcome(struct weighed *weighed, bool commit)
{
    if (commit)
        weighed->committed = true;
    else
        weighed->aborted = true;
}

/* The row of an operator's order is never taken back: what is still prepared will end so, too. What
 * was found otherwise is told by the status of its xid. */
static void weigh_exhibit(struct weighed *weighed, const Wire__Exhibit *exhibit)
{
    weighed->prepared = weighed->prepared || exhibit->prepared;
    /* One that its coordinator holds is judged by nobody. */
    weighed->judged = weighed->judged || (exhibit->judged && !exhibit->held);
    if (exhibit->status == WIRE__XID_STATUS__XID_COMMITTED)
        weigh_outcome(weighed, true);
    else if (exhibit->status == WIRE__XID_STATUS__XID_ABORTED)
        weigh_outcome(weighed, false);
    if (strcmp(exhibit->barrier, "one-phase") == 0)
        weigh_outcome(weighed, true);
    else if (strcmp(exhibit->barrier, "none") == 0)
        weigh_outcome(weighed, false);
    if (exhibit->heuristic && !exhibit->heuristic->found[0])
        weigh_outcome(weighed, exhibit->heuristic->commit);
    if (exhibit->registered && exhibit->decided) {
        weighed->decided_commit |= exhibit->value == WIRE__VALUE__COMMIT;
        weighed->decided_abort |= exhibit->value == WIRE__VALUE__ABORT;
    }
}

void resolution_weigh(struct weighed *weighed, const Wire__Testimony *testimony)
{
    for (size_t i = 0; i < testimony->n_exhibits; i++)
        weigh_exhibit(weighed, testimony->exhibits[i]);
    /* One that could not be asked may hold anything. */
    if (testimony->problem)
        weighed->unheard = true;
}
