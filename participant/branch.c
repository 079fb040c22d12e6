#include "participant/branch.h"

#include "core/check.h"
#include "core/planted.h"

const char *branch_word(enum branch_state state)
{
    static const char *const names[] = {
        [BRANCH_NEW] = "new",           [BRANCH_QUEUED] = "queued",
        [BRANCH_WORKING] = "working",   [BRANCH_OPEN] = "open",
        [BRANCH_CLOSING] = "closing",   [BRANCH_ADOPTING] = "adopting",
        [BRANCH_IN_DOUBT] = "in doubt", [BRANCH_COMMITTING] = "committing",
        [BRANCH_ABORTING] = "aborting", [BRANCH_PROVING] = "proving",
        [BRANCH_UNSURE] = "unsure",     [BRANCH_LOOKING] = "looking",
        [BRANCH_ENDED] = "ended"};
    return names[state];
}

/* ---- moves and actions --------------------------------------------------------------------- */

#define TO(state) (1u << (BRANCH_##state))

/* Every edge of the diagram. */
static const unsigned edges[] = {
    [BRANCH_NEW] =
        TO(QUEUED) | TO(ADOPTING) | TO(IN_DOUBT) | TO(COMMITTING) | TO(ABORTING) | TO(LOOKING),
    [BRANCH_QUEUED] = TO(WORKING) | TO(ENDED),
    [BRANCH_WORKING] =
        TO(OPEN) | TO(CLOSING) | TO(IN_DOUBT) | TO(ABORTING) | TO(UNSURE) | TO(LOOKING) | TO(ENDED),
    [BRANCH_OPEN] = TO(WORKING) | TO(CLOSING),
    [BRANCH_CLOSING] = TO(ENDED),
    [BRANCH_ADOPTING] = TO(IN_DOUBT) | TO(ABORTING),
    [BRANCH_IN_DOUBT] = TO(ADOPTING) | TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_COMMITTING] = TO(PROVING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_ABORTING] = TO(PROVING) | TO(COMMITTING) | TO(ENDED),
    [BRANCH_PROVING] = TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_UNSURE] = TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_LOOKING] = TO(ENDED),
    [BRANCH_ENDED] = 0,
};

static void move(struct branch *branch, enum branch_state to)
{
    CHECK(edges[branch->state] & 1u << to);
    CHECK(to != BRANCH_COMMITTING || branch->decision == BRANCH_COMMIT);
    CHECK(to != BRANCH_ABORTING || branch->decision == BRANCH_ABORT);
    branch->state = to;
    branch->retrying = false;
}

static struct branch_action *add(struct branch_actions *actions, enum branch_action_kind kind)
{
    CHECK(actions->count < BRANCH_ACTIONS);
    struct branch_action *action = &actions->list[actions->count++];
    *action = (struct branch_action){.kind = kind};
    return action;
}

/* A vote is given once, and only to the session that asked for it. */
static void vote(struct branch *branch, Wire__Choice choice, enum branch_cause cause,
                 struct branch_actions *actions)
{
    if (!branch->owes_vote)
        return;
    branch->owes_vote = false;
    struct branch_action *action = add(actions, BRANCH_DO_VOTE);
    action->choice = choice;
    action->cause = cause;
}

/* Likewise what a Work came to. */
static void word(struct branch *branch, enum branch_cause cause, struct branch_actions *actions)
{
    if (branch->owes_word)
        add(actions, BRANCH_DO_WORD)->cause = cause;
    branch->owes_word = false;
}

/* Whichever it owes says no. */
static void refuse(struct branch *branch, enum branch_cause cause, struct branch_actions *actions)
{
    vote(branch, WIRE__CHOICE__NO, cause, actions);
    word(branch, cause, actions);
}

static void tell(bool commit, const char *hazard, struct branch_actions *actions)
{
    struct branch_action *action = add(actions, BRANCH_DO_TELL);
    action->commit = commit;
    action->hazard = hazard;
}

static void answer(struct branch *branch, bool committed, struct branch_actions *actions)
{
    if (branch->asked)
        add(actions, BRANCH_DO_ANSWER)->commit = committed;
    branch->asked = false;
}

static void finish(struct branch *branch, bool commit, struct branch_actions *actions)
{
    branch->decision = commit ? BRANCH_COMMIT : BRANCH_ABORT;
    move(branch, commit ? BRANCH_COMMITTING : BRANCH_ABORTING);
    add(actions, BRANCH_DO_FINISH)->commit = commit;
}

static void retry(struct branch *branch, struct branch_actions *actions)
{
    branch->retrying = true;
    add(actions, BRANCH_DO_RETRY);
}

static const char *against(bool commit)
{
    return commit ? "an operator forced a commit of this branch, and the decision is abort"
                  : "an operator forced a rollback of this branch, and the decision is commit";
}

/* What was forced is what the other decision is compared with, unless the database says that the
 * branch ended as decided all the same. */
static void tell_opposed(bool forced_commit, bool otherwise, struct branch_actions *actions)
{
    tell(!forced_commit, otherwise ? NULL : against(forced_commit), actions);
    actions->list[actions->count - 1].against = !otherwise;
}

/* The decision is carried out, or (hazard) it can't be proved that it is. otherwise: the database
 * says that the other one was. */
static void carried_out(struct branch *branch, const char *hazard, bool otherwise,
                        struct branch_actions *actions)
{
    bool commit = branch->decision == BRANCH_COMMIT;
    if (branch->forced) {
        struct branch_action *action = add(actions, BRANCH_DO_REPORT);
        action->commit = commit;
        action->hazard = hazard;
        action->otherwise = otherwise;
    }
    if (branch->opposed)
        tell_opposed(commit, otherwise, actions);
    else if (branch->told && !(commit && PLANTED(ACK_BEFORE_FINISH)))
        tell(commit, hazard, actions);
    move(branch, BRANCH_ENDED);
}

/* ---- before the vote ----------------------------------------------------------------------- */

static void received(struct branch *branch, const struct branch_event *event,
                     struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_NEW || branch->state == BRANCH_OPEN);
    branch->mode = event->mode;
    branch->one_phase = event->one_phase;
    branch->open = branch->open || event->mode == DB_STEP;
    branch->owes_word = event->mode == DB_STEP;
    branch->owes_vote = !branch->owes_word;
    if (branch->state == BRANCH_OPEN) { /* it has its connection */
        move(branch, BRANCH_WORKING);
        add(actions, BRANCH_DO_WORK);
    } else {
        move(branch, BRANCH_QUEUED);
        add(actions, BRANCH_DO_ENQUEUE);
    }
}

static void started(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_QUEUED);
    move(branch, BRANCH_WORKING);
    add(actions, BRANCH_DO_WORK);
}

/* Queued work that never began ends without a trace. */
static void drop(struct branch *branch, enum branch_cause cause, struct branch_actions *actions)
{
    add(actions, BRANCH_DO_DEQUEUE);
    refuse(branch, cause, actions);
    answer(branch, false, actions);
    move(branch, BRANCH_ENDED);
}

static void prepared(struct branch *branch, const struct branch_event *event,
                     struct branch_actions *actions)
{
    branch->xid = event->xid;
    branch->empty = event->xid == 0;
    if (branch->decision == BRANCH_ABORT && !PLANTED(PREPARE_AFTER_ABORT)) {
        finish(branch, false, actions);
    } else if (event->fenced) {
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_FENCED, actions);
        finish(branch, false, actions);
    } else if (!event->met && !PLANTED(YES_WHEN_EXPECTATION_FAILED)) {
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_WORK, actions);
        finish(branch, false, actions);
    } else {
        vote(branch, WIRE__CHOICE__YES, BRANCH_CAUSE_NONE, actions);
        move(branch, BRANCH_IN_DOUBT);
    }
}

/* Nothing remains in the database. */
static void left_nothing(struct branch *branch, bool fenced, struct branch_actions *actions)
{
    enum branch_cause cause = branch->decision == BRANCH_ABORT
                                  ? (branch->told ? BRANCH_CAUSE_TOLD : BRANCH_CAUSE_DEADLINE)
                              : fenced ? BRANCH_CAUSE_FENCED
                                       : BRANCH_CAUSE_WORK;
    refuse(branch, cause, actions);
    answer(branch, false, actions);
    if (branch->told)
        tell(false, NULL, actions);
    move(branch, BRANCH_ENDED);
}

/* Committed, as there was nothing to prepare: whatever is decided, it is so. */
static void wrote_nothing(struct branch *branch, const struct branch_event *event,
                          struct branch_actions *actions)
{
    if (branch->decision == BRANCH_UNDECIDED && event->met)
        vote(branch, WIRE__CHOICE__READ_ONLY, BRANCH_CAUSE_NONE, actions);
    left_nothing(branch, event->fenced, actions);
}

static void worked_prepare(struct branch *branch, const struct branch_event *event,
                           struct branch_actions *actions)
{
    CHECK(event->outcome != DB_OPENED && (event->outcome != DB_COMMITTED || branch->open));
    if (event->outcome == DB_PREPARED) {
        prepared(branch, event, actions);
    } else if (event->outcome == DB_COMMITTED) {
        wrote_nothing(branch, event, actions);
    } else if (event->outcome == DB_FAILED) {
        left_nothing(branch, event->fenced, actions);
    } else {
        /* It may be prepared, or get prepared yet. No yes was given, so it is ours to roll back:
         * when a scan finds it. Unknown means aborted, so the no need not wait for that. */
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_LOST, actions);
        if (branch->told)
            tell(false, NULL, actions);
        branch->told = false;
        branch->decision = BRANCH_ABORT;
        move(branch, BRANCH_UNSURE);
        add(actions, BRANCH_DO_SCAN);
    }
}

static void worked_one_phase(struct branch *branch, const struct branch_event *event,
                             struct branch_actions *actions)
{
    CHECK(event->outcome != DB_PREPARED);
    if (event->outcome == DB_COMMITTED) {
        vote(branch, WIRE__CHOICE__DONE, BRANCH_CAUSE_NONE, actions);
        answer(branch, true, actions);
        move(branch, BRANCH_ENDED);
    } else if (event->outcome == DB_FAILED || PLANTED(GUESS_ONE_PHASE)) {
        left_nothing(branch, event->fenced, actions);
    } else if (!branch->owes_vote && !branch->asked && !branch->told) {
        move(branch, BRANCH_ENDED); /* nobody waits; the coordinator asks with LOOKUP */
    } else {
        move(branch, BRANCH_LOOKING);
        add(actions, BRANCH_DO_LOOK_UP);
    }
}

/* ---- step by step -------------------------------------------------------------------------- */

/* Nobody asked for its yes: it is rolled back without a word. */
static void roll_back(struct branch *branch, struct branch_actions *actions)
{
    branch->decision = BRANCH_ABORT;
    move(branch, BRANCH_CLOSING);
    add(actions, BRANCH_DO_ROLLBACK);
}

static void worked_step(struct branch *branch, const struct branch_event *event,
                        struct branch_actions *actions)
{
    CHECK(event->outcome == DB_OPENED || event->outcome == DB_FAILED);
    if (event->outcome == DB_FAILED) {
        left_nothing(branch, event->fenced, actions);
    } else if (branch->decision == BRANCH_ABORT) {
        roll_back(branch, actions);
    } else if (!event->met) {
        word(branch, BRANCH_CAUSE_WORK, actions);
        roll_back(branch, actions);
    } else {
        word(branch, BRANCH_CAUSE_NONE, actions);
        move(branch, BRANCH_OPEN);
    }
}

static void closed(struct branch *branch, struct branch_actions *actions)
{
    if (branch->told)
        tell(false, NULL, actions);
    move(branch, BRANCH_ENDED);
}

static void worked(struct branch *branch, const struct branch_event *event,
                   struct branch_actions *actions)
{
    if (branch->state == BRANCH_CLOSING) {
        CHECK(event->outcome == DB_FAILED);
        closed(branch, actions);
        return;
    }
    CHECK(branch->state == BRANCH_WORKING);
    if (branch->mode == DB_PREPARE) {
        worked_prepare(branch, event, actions);
    } else if (branch->mode == DB_ONE_PHASE) {
        worked_one_phase(branch, event, actions);
    } else if (branch->mode == DB_STEP) {
        worked_step(branch, event, actions);
    } else if (event->outcome == DB_COMMITTED && event->met) {
        vote(branch, WIRE__CHOICE__READ_ONLY, BRANCH_CAUSE_NONE, actions);
        left_nothing(branch, event->fenced, actions);
    } else {
        CHECK(event->outcome != DB_PREPARED);
        left_nothing(branch, event->fenced, actions);
    }
}

/* ---- what somebody else has prepared --------------------------------------------------------- */

/* A scan may have been faster: then it was asked about, and not decided yet. */
static void handed_over(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_NEW || (branch->state == BRANCH_IN_DOUBT && branch->orphan));
    branch->mode = DB_PREPARE;
    branch->owes_vote = true;
    branch->orphan = branch->held = false;
    move(branch, BRANCH_ADOPTING);
    add(actions, BRANCH_DO_ADOPT);
}

/* No yes was given, so whatever is there of it is rolled back. */
static void adopted(struct branch *branch, const struct branch_event *event,
                    struct branch_actions *actions)
{
    static const enum branch_cause causes[] = {
        [DB_ADOPTED] = BRANCH_CAUSE_NONE,
        [DB_ADOPT_MISSING] = BRANCH_CAUSE_NOT_PREPARED,
        [DB_ADOPT_FOREIGN] = BRANCH_CAUSE_FOREIGN,
        [DB_ADOPT_FENCED] = BRANCH_CAUSE_FENCED,
        [DB_ADOPT_ERROR] = BRANCH_CAUSE_NOT_ADOPTED,
    };
    CHECK(branch->state == BRANCH_ADOPTING);
    if (event->adopted == DB_ADOPTED)
        branch->xid = event->xid;
    if (event->adopted == DB_ADOPTED && branch->decision == BRANCH_UNDECIDED) {
        vote(branch, WIRE__CHOICE__YES, BRANCH_CAUSE_NONE, actions);
        move(branch, BRANCH_IN_DOUBT);
    } else {
        vote(branch, WIRE__CHOICE__NO, causes[event->adopted], actions);
        finish(branch, false, actions);
    }
}

/* ---- one phase, after a lost connection ---------------------------------------------------- */

static void looked_up(struct branch *branch, enum db_found found, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_LOOKING);
    if (found == DB_FOUND_ERROR) {
        vote(branch, WIRE__CHOICE__LOST, BRANCH_CAUSE_LOST, actions);
        if (branch->asked)
            retry(branch, actions);
        else
            move(branch, BRANCH_ENDED); /* the coordinator asks again, with LOOKUP */
        return;
    }
    CHECK(found == DB_FOUND || found == DB_FENCED);
    bool committed = found == DB_FOUND;
    vote(branch, committed ? WIRE__CHOICE__DONE : WIRE__CHOICE__NO,
         committed ? BRANCH_CAUSE_NONE : BRANCH_CAUSE_LOST, actions);
    answer(branch, committed, actions);
    if (branch->told && !committed)
        tell(false, NULL, actions);
    move(branch, BRANCH_ENDED);
}

static void looked_for(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_NEW || branch->one_phase);
    branch->asked = true; /* QUEUED, WORKING, LOOKING: answered when it is known */
    if (branch->state == BRANCH_NEW) {
        branch->mode = DB_ONE_PHASE;
        branch->one_phase = true;
        move(branch, BRANCH_LOOKING);
        add(actions, BRANCH_DO_LOOK_UP);
    }
}

/* ---- the decision -------------------------------------------------------------------------- */

static void told_working(struct branch *branch, bool commit, struct branch_actions *actions)
{
    if (commit) {
        tell(true, "a commit came for a branch that has not voted", actions);
        return;
    }
    bool undecided = branch->decision == BRANCH_UNDECIDED;
    branch->decision = BRANCH_ABORT;
    branch->told = true;
    branch->owes_vote = branch->owes_vote && branch->one_phase;
    branch->owes_word = false;
    if (branch->state == BRANCH_OPEN)
        roll_back(branch, actions);
    else if (branch->state == BRANCH_WORKING && undecided)
        add(actions, BRANCH_DO_CANCEL);
}

static void told_queued(struct branch *branch, bool commit, struct branch_actions *actions)
{
    if (commit) {
        tell(true, "a commit came for a branch that has not voted", actions);
        return;
    }
    tell(false, NULL, actions);
    branch->decision = BRANCH_ABORT;
    if (PLANTED(PREPARE_AFTER_ABORT))
        return;
    branch->owes_vote = branch->owes_vote && branch->one_phase;
    branch->owes_word = false;
    drop(branch, BRANCH_CAUSE_TOLD, actions);
}

static void told(struct branch *branch, bool commit, uint64_t xid, struct branch_actions *actions)
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
            tell(true, NULL, actions);
        finish(branch, commit, actions);
        break;
    case BRANCH_COMMITTING:
    case BRANCH_ABORTING:
    case BRANCH_PROVING:
    case BRANCH_UNSURE:
        if (branch->forced) {
            branch->told = true;
            branch->opposed = commit != (branch->decision == BRANCH_COMMIT);
        } else if (commit != (branch->decision == BRANCH_COMMIT))
            tell(commit,
                 commit ? "a commit came for a branch that is being rolled back"
                        : "an abort came for a branch that is being committed",
                 actions);
        else if (branch->state == BRANCH_UNSURE)
            tell(false, NULL, actions);
        else
            branch->told = true;
        break;
    case BRANCH_ENDED:
        CHECK(!"an ended branch is forgotten");
    }
}

static void judged(struct branch *branch, const struct branch_event *event,
                   struct branch_actions *actions)
{
    if (branch->state != BRANCH_IN_DOUBT)
        return;
    branch->held = event->verdict == WIRE__VERDICT__VERDICT_HOLD;
    /* Not decided yet. An abort is not announced to a session that did not vote, so it is asked for
     * again before the next sweep: a branch in doubt holds locks. */
    if (event->verdict == WIRE__VERDICT__VERDICT_WAIT && !branch->retrying)
        retry(branch, actions);
    else if (event->verdict == WIRE__VERDICT__VERDICT_COMMIT)
        told(branch, true, event->xid, actions);
    else if (event->verdict == WIRE__VERDICT__VERDICT_ABORT)
        told(branch, false, event->xid, actions);
}

/* The registers' decision, brought about or heard by this site. What contradicts it here was done
 * against the protocol by somebody, and a branch that ends stays ended. */
static void decided(struct branch *branch, bool commit, struct branch_actions *actions)
{
    const char *hazard = NULL;
    switch (branch->state) {
    case BRANCH_IN_DOUBT:
        finish(branch, commit, actions);
        return;
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
        add(actions, BRANCH_DO_WARN)->hazard = hazard;
}

/* An operator's row is durable: by this process, or by an earlier one, or by another that had taken
 * over its name. A decision that is known already and not carried out yet has to give way. */
static void forced(struct branch *branch, bool commit, uint64_t xid, struct branch_actions *actions)
{
    if (xid != 0 && branch->xid == 0)
        branch->xid = xid;
    switch (branch->state) {
    case BRANCH_NEW:
    case BRANCH_IN_DOUBT:
    case BRANCH_UNSURE:
        branch->forced = true;
        finish(branch, commit, actions);
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
            add(actions, BRANCH_DO_WARN)->hazard = against(commit);
        finish(branch, commit, actions);
        break;
    case BRANCH_QUEUED:
    case BRANCH_WORKING:
    case BRANCH_OPEN:
    case BRANCH_CLOSING:
    case BRANCH_ADOPTING:
    case BRANCH_LOOKING:
        break; /* when it turns out to be prepared, a scan finds it and the row */
    case BRANCH_ENDED:
        CHECK(!"an ended branch is forgotten");
    }
}

static void finished(struct branch *branch, enum db_finish result, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_COMMITTING || branch->state == BRANCH_ABORTING);
    bool commit = branch->decision == BRANCH_COMMIT;
    if (result == DB_FINISHED || (commit && PLANTED(MISSING_IS_SUCCESS) && result == DB_MISSING)) {
        carried_out(branch, NULL, false, actions);
    } else if (result == DB_UNFINISHED) {
        retry(branch, actions);
    } else if (branch->xid != 0) {
        move(branch, BRANCH_PROVING);
        add(actions, BRANCH_DO_STATUS);
    } else {
        /* What wrote nothing is the same committed and rolled back. */
        const char *hazard = "the prepared transaction is gone, and its xid is not known";
        carried_out(branch, commit && !branch->empty ? hazard : NULL, false, actions);
    }
}

/* The gid is gone: somebody else ended it, or an answer of the database was lost. */
static void proved(struct branch *branch, enum db_status status, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_PROVING);
    bool commit = branch->decision == BRANCH_COMMIT, otherwise = false;
    const char *hazard = NULL;
    switch (status) {
    case DB_STATUS_IN_PROGRESS:
    case DB_STATUS_ERROR:
        retry(branch, actions);
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

/* ---- time, sessions, scans ----------------------------------------------------------------- */

static void session_lost(struct branch *branch, struct branch_actions *actions)
{
    branch->owes_vote = branch->owes_word = branch->asked = false;
    if (branch->state == BRANCH_QUEUED) {
        drop(branch, BRANCH_CAUSE_NONE, actions);
    } else if (branch->state == BRANCH_OPEN) {
        roll_back(branch, actions);
    } else if (branch->state == BRANCH_ADOPTING) {
        branch->decision = BRANCH_ABORT;
    } else if (branch->state == BRANCH_WORKING && branch->decision == BRANCH_UNDECIDED) {
        branch->decision = BRANCH_ABORT;
        add(actions, BRANCH_DO_CANCEL);
    } else if (branch->state == BRANCH_LOOKING && branch->retrying) {
        move(branch, BRANCH_ENDED);
    } else if (branch->state == BRANCH_IN_DOUBT && PLANTED(ABORT_IN_DOUBT)) {
        finish(branch, false, actions);
    }
}

static void deadline(struct branch *branch, struct branch_actions *actions)
{
    if (branch->state == BRANCH_QUEUED) {
        drop(branch, BRANCH_CAUSE_DEADLINE, actions);
    } else if (branch->state == BRANCH_WORKING && branch->decision == BRANCH_UNDECIDED) {
        /* A one-phase branch may have committed: its vote waits for what the database says. */
        if (branch->mode != DB_ONE_PHASE)
            refuse(branch, BRANCH_CAUSE_DEADLINE, actions);
        branch->decision = BRANCH_ABORT;
        add(actions, BRANCH_DO_CANCEL);
    } else if (branch->state == BRANCH_OPEN) {
        roll_back(branch, actions);
    } else if (branch->state == BRANCH_ADOPTING) {
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_DEADLINE, actions);
        branch->decision = BRANCH_ABORT;
    } else if (branch->state == BRANCH_LOOKING) {
        vote(branch, WIRE__CHOICE__LOST, BRANCH_CAUSE_LOST, actions);
    }
}

static void scanned(struct branch *branch, bool present, struct branch_actions *actions)
{
    if (branch->state == BRANCH_UNSURE && !PLANTED(NO_AND_STAY_PREPARED)) {
        /* Absent now, it can still get prepared by a backend that nobody hears any more: then a
         * later scan finds an orphan, and the coordinator says abort. */
        if (present)
            finish(branch, false, actions);
        else
            move(branch, BRANCH_ENDED);
    } else if (branch->state == BRANCH_IN_DOUBT && (branch->orphan || branch->held) && !present) {
        /* An operator ended it. Should a decision come after all, it finds the gid gone and the xid
         * proves or disproves what was done. */
        move(branch, BRANCH_ENDED);
    }
}

static void retry_due(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->retrying);
    branch->retrying = false;
    if (branch->state == BRANCH_IN_DOUBT)
        add(actions, BRANCH_DO_ASK);
    else if (branch->state == BRANCH_LOOKING)
        add(actions, BRANCH_DO_LOOK_UP);
    else if (branch->state == BRANCH_PROVING)
        finish(branch, branch->decision == BRANCH_COMMIT, actions);
    else
        add(actions, BRANCH_DO_FINISH)->commit = branch->decision == BRANCH_COMMIT;
}

bool branch_bounded(const struct branch *branch)
{
    switch (branch->state) {
    case BRANCH_QUEUED:
    case BRANCH_OPEN:
        return true;
    case BRANCH_WORKING:
    case BRANCH_ADOPTING:
    case BRANCH_LOOKING:
        return branch->owes_vote || branch->owes_word;
    default:
        return false;
    }
}

void branch_step(struct branch *branch, const struct branch_event *event,
                 struct branch_actions *actions)
{
    actions->count = 0;
    CHECK(branch->state != BRANCH_ENDED);
    switch (event->kind) {
    case BRANCH_RECEIVED:
        received(branch, event, actions);
        break;
    case BRANCH_HANDED_OVER:
        handed_over(branch, actions);
        break;
    case BRANCH_REFUSED:
        CHECK(branch->state == BRANCH_OPEN);
        roll_back(branch, actions);
        break;
    case BRANCH_FOUND:
        CHECK(branch->state == BRANCH_NEW);
        branch->orphan = true;
        branch->xid = event->xid;
        move(branch, BRANCH_IN_DOUBT);
        break;
    case BRANCH_STARTED:
        started(branch, actions);
        break;
    case BRANCH_WORKED:
        worked(branch, event, actions);
        break;
    case BRANCH_ADOPTED:
        adopted(branch, event, actions);
        break;
    case BRANCH_TOLD:
        told(branch, event->commit, event->xid, actions);
        break;
    case BRANCH_JUDGED:
        judged(branch, event, actions);
        break;
    case BRANCH_DECIDED:
        decided(branch, event->commit, actions);
        break;
    case BRANCH_FORCED:
        forced(branch, event->commit, event->xid, actions);
        break;
    case BRANCH_LOOKED_FOR:
        looked_for(branch, actions);
        break;
    case BRANCH_SESSION_LOST:
        session_lost(branch, actions);
        break;
    case BRANCH_DEADLINE:
        deadline(branch, actions);
        break;
    case BRANCH_DATABASE_DOWN:
        if (branch->state == BRANCH_QUEUED)
            drop(branch, BRANCH_CAUSE_DATABASE_DOWN, actions);
        else if (branch->state == BRANCH_OPEN)
            roll_back(branch, actions);
        break;
    case BRANCH_FINISHED:
        finished(branch, event->finish, actions);
        break;
    case BRANCH_STATUS:
        proved(branch, event->status, actions);
        break;
    case BRANCH_LOOKED_UP:
        looked_up(branch, event->found, actions);
        break;
    case BRANCH_SCANNED:
        scanned(branch, event->present, actions);
        break;
    case BRANCH_RETRY_DUE:
        retry_due(branch, actions);
        break;
    }
}
