/* The decision: heard, compared with what is carried out here, carried out and proved. */
#include "core/check.h"
#include "core/planted.h"
#include "participant/branch_private.h"

/* ---- its end --------------------------------------------------------------------------------- */

static const char *against(bool commit)
{
    return commit ? "an operator forced a commit of this branch, and the decision is abort"
                  : "an operator forced a rollback of this branch, and the decision is commit";
}

/* What was forced is what the other decision is compared with, unless the database says that the
 * branch ended as decided all the same. */
static void tell_opposed(bool forced_commit, bool otherwise, struct branch_actions *actions)
{
    branch_tell(!forced_commit, otherwise ? NULL : against(forced_commit), actions);
    actions->list[actions->count - 1].against = !otherwise;
}

/* The decision is carried out, or (hazard) it can't be proved that it is. otherwise: the database
 * says that the other one was. */
static void carried_out(struct branch *branch, const char *hazard, bool otherwise,
                        struct branch_actions *actions)
{
    bool commit = branch->decision == BRANCH_COMMIT;
    if (branch->forced) {
        struct branch_action *action = branch_add(actions, BRANCH_DO_REPORT);
        action->commit = commit;
        action->hazard = hazard;
        action->otherwise = otherwise;
    }
    if (branch->opposed)
        tell_opposed(commit, otherwise, actions);
    else if (branch->told && !(commit && PLANTED(ACK_BEFORE_FINISH)))
        branch_tell(commit, hazard, actions);
    branch_move(branch, BRANCH_ENDED);
}

/* ---- heard ----------------------------------------------------------------------------------- */

static void told_working(struct branch *branch, bool commit, struct branch_actions *actions)
{
    if (commit) {
        branch_tell(true, "a commit came for a branch that has not voted", actions);
        return;
    }
    bool undecided = branch->decision == BRANCH_UNDECIDED;
    branch->decision = BRANCH_ABORT;
    branch->told = true;
    branch->owes_vote = branch->owes_vote && branch->one_phase;
    branch->owes_word = false;
    if (branch->state == BRANCH_OPEN)
        branch_roll_back(branch, actions);
    else if (branch->state == BRANCH_WORKING && undecided)
        branch_add(actions, BRANCH_DO_CANCEL);
}

static void told_queued(struct branch *branch, bool commit, struct branch_actions *actions)
{
    if (commit) {
        branch_tell(true, "a commit came for a branch that has not voted", actions);
        return;
    }
    branch_tell(false, NULL, actions);
    branch->decision = BRANCH_ABORT;
    if (PLANTED(PREPARE_AFTER_ABORT))
        return;
    branch->owes_vote = branch->owes_vote && branch->one_phase;
    branch->owes_word = false;
    branch_drop(branch, BRANCH_CAUSE_TOLD, actions);
}

/* What is with the database can't be called back: it is compared when that has answered. */
static void told_accepting(struct branch *branch, bool commit, struct branch_actions *actions)
{
    if (branch->decision != BRANCH_UNDECIDED && commit != (branch->decision == BRANCH_COMMIT)) {
        branch_tell(commit, "the opposite was decided as well", actions);
        return;
    }
    branch->decision = commit ? BRANCH_COMMIT : BRANCH_ABORT;
    branch->told = true;
}

void branch_told(struct branch *branch, bool commit, uint64_t xid, struct branch_actions *actions)
{
    if (xid != 0)
        branch->xid = xid;
    switch (branch->state) {
    case BRANCH_QUEUED:
        told_queued(branch, commit, actions);
        break;
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_LOOKING:
        told_working(branch, commit, actions);
        break;
    case BRANCH_NEW:
    case BRANCH_IN_DOUBT:
        branch->told = true;
        if (commit && PLANTED(ACK_BEFORE_FINISH))
            branch_tell(true, NULL, actions);
        branch_finish(branch, commit, actions);
        break;
    case BRANCH_ACCEPTING:
        told_accepting(branch, commit, actions);
        break;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_UNSURE:
        if (branch->forced) {
            branch->told = true;
            branch->opposed = commit != (branch->decision == BRANCH_COMMIT);
        } else if (commit != (branch->decision == BRANCH_COMMIT))
            branch_tell(commit,
                        commit ? "a commit came for a branch that is being rolled back"
                               : "an abort came for a branch that is being committed",
                        actions);
        else if (branch->state == BRANCH_UNSURE)
            branch_tell(false, NULL, actions);
        else
            branch->told = true;
        break;
    case BRANCH_ENDED:
        CHECK(!"an ended branch is forgotten");
    }
}

void branch_judged(struct branch *branch, const struct branch_event *event,
                   struct branch_actions *actions)
{
    if (branch->state != BRANCH_IN_DOUBT)
        return; /* also ACCEPTING: what is left in doubt is asked about again */
    branch->held = event->verdict == WIRE__VERDICT__VERDICT_HOLD;
    /* Not decided yet. An abort is not announced to a session that did not vote, so it is asked for
     * again before the next sweep: a branch in doubt holds locks. */
    if (event->verdict == WIRE__VERDICT__VERDICT_WAIT && !branch->retrying)
        branch_retry(branch, actions);
    else if (event->verdict == WIRE__VERDICT__VERDICT_COMMIT)
        branch_told(branch, true, event->xid, actions);
    else if (event->verdict == WIRE__VERDICT__VERDICT_ABORT)
        branch_told(branch, false, event->xid, actions);
}

/* The registers' decision, brought about or heard by this site. What contradicts it here was done
 * against the protocol by somebody, and a branch that ends stays ended. */
void branch_decided(struct branch *branch, bool commit, struct branch_actions *actions)
{
    const char *hazard = NULL;
    switch (branch->state) {
    case BRANCH_IN_DOUBT:
        branch_finish(branch, commit, actions);
        return;
    case BRANCH_ACCEPTING:
        if (branch->decision == BRANCH_UNDECIDED)
            branch->decision = commit ? BRANCH_COMMIT : BRANCH_ABORT;
        else if (commit != (branch->decision == BRANCH_COMMIT))
            hazard = "the opposite was decided as well";
        break;
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
        hazard = commit ? "commit was decided, but this branch has not voted" : NULL;
        break;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_UNSURE:
        if (commit != (branch->decision == BRANCH_COMMIT))
            hazard = branch->forced ? against(!commit)
                     : commit       ? "commit was decided, but this branch is being rolled back"
                                    : "abort was decided, but this branch is being committed";
        break;
    case BRANCH_NEW:
    case BRANCH_LOOKING:
    case BRANCH_ENDED:
        break;
    }
    if (hazard)
        branch_add(actions, BRANCH_DO_WARN)->hazard = hazard;
}

/* Two acceptances decide, the coordinator's is durable, and this site's is on its way to the
 * database, with the commit that follows from it. */
void branch_accepts(struct branch *branch)
{
    CHECK(branch->decision == BRANCH_UNDECIDED);
    branch_move(branch, BRANCH_ACCEPTING);
    branch->held = false;
}

void branch_accepted(struct branch *branch, enum db_accepted accepted,
                     struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_ACCEPTING);
    bool aborted = branch->decision == BRANCH_ABORT;
    if (accepted == DB_ACCEPTED) {
        const char *hazard = aborted ? "abort was decided, but this branch is committed" : NULL;
        branch->decision = BRANCH_COMMIT;
        if (hazard && !branch->told)
            branch_add(actions, BRANCH_DO_WARN)->hazard = hazard;
        else if (branch->told)
            branch_tell(!aborted, hazard, actions);
        branch_move(branch, BRANCH_ENDED);
    } else if (branch->decision != BRANCH_UNDECIDED ||
               (accepted == DB_ACCEPT_UNKNOWN && PLANTED(UNKNOWN_IS_ACCEPTED))) {
        branch_finish(branch, !aborted, actions);
    } else {
        branch_move(branch, BRANCH_IN_DOUBT);
        if (branch->orphan) /* a verdict that came meanwhile was not heard */
            branch_add(actions, BRANCH_DO_ASK);
    }
}

/* An operator's row is durable: by this process, or by an earlier one, or by another that had taken
 * over its name. A decision that is known already and not carried out yet has to give way. */
void branch_forced(struct branch *branch, bool commit, uint64_t xid, struct branch_actions *actions)
{
    if (xid != 0 && branch->xid == 0)
        branch->xid = xid;
    switch (branch->state) {
    case BRANCH_NEW:
    case BRANCH_IN_DOUBT:
    case BRANCH_UNSURE:
        branch->forced = true;
        branch_finish(branch, commit, actions);
        break;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
        branch->forced = true;
        if (commit == (branch->decision == BRANCH_COMMIT))
            break;
        CHECK(branch->retrying); /* else the database is just ending it */
        branch->opposed = branch->told;
        if (!branch->told)
            branch_add(actions, BRANCH_DO_WARN)->hazard = against(commit);
        branch_finish(branch, commit, actions);
        break;
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_ACCEPTING:
    case BRANCH_LOOKING:
        break; /* when it turns out to be prepared, a scan finds it and the row */
    case BRANCH_ENDED:
        CHECK(!"an ended branch is forgotten");
    }
}

void branch_finished(struct branch *branch, enum db_finish result, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_COMMITTING || branch->state == BRANCH_ABORTING);
    bool commit = branch->decision == BRANCH_COMMIT;
    if (result == DB_FINISHED || (commit && PLANTED(MISSING_IS_SUCCESS) && result == DB_MISSING)) {
        carried_out(branch, NULL, false, actions);
    } else if (result == DB_UNFINISHED) {
        branch_retry(branch, actions);
    } else if (branch->xid != 0) {
        branch_move(branch, BRANCH_PROVING);
        branch_add(actions, BRANCH_DO_STATUS);
    } else {
        /* What wrote nothing is the same committed and rolled back. */
        const char *hazard = "the prepared transaction is gone, and its xid is not known";
        carried_out(branch, commit && !branch->empty ? hazard : NULL, false, actions);
    }
}

/* The gid is gone: somebody else ended it, or an answer of the database was lost. */
void branch_proved(struct branch *branch, enum db_status status, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_PROVING);
    bool commit = branch->decision == BRANCH_COMMIT, otherwise = false;
    const char *hazard = NULL;
    switch (status) {
    case DB_STATUS_IN_PROGRESS:
    case DB_STATUS_ERROR:
        branch_retry(branch, actions);
        return;
    case DB_STATUS_COMMITTED:
        otherwise = !commit;
        hazard = commit ? NULL : "the decision is abort, but the database says committed";
        break;
    case DB_STATUS_ABORTED:
        otherwise = commit;
        hazard = commit ? "the decision is commit, but the database says rolled back" : NULL;
        break;
    case DB_STATUS_UNKNOWN:
        hazard = commit ? "the prepared transaction is gone, and the database no longer knows what "
                          "became of it"
                        : NULL;
        break;
    }
    carried_out(branch, hazard, otherwise, actions);
}
