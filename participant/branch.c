#include "core/check.h"
#include "core/planted.h"
#include "participant/branch_private.h"

const char *branch_word(enum branch_state state)
{
    static const char *const names[] = {[BRANCH_NEW] = "new",
                                        [BRANCH_QUEUED] = "queued",
                                        [BRANCH_WORKING] = "working",
                                        [BRANCH_OPEN] = "open",
                                        [BRANCH_CLOSING] = "closing",
                                        [BRANCH_ADOPTING] = "adopting",
                                        [BRANCH_IN_DOUBT] = "in doubt",
                                        [BRANCH_ACCEPTING] = "accepting",
                                        [BRANCH_COMMITTING] = "committing",
                                        [BRANCH_ABORTING] = "aborting",
                                        [BRANCH_PROVING] = "proving",
                                        [BRANCH_UNSURE] = "unsure",
                                        [BRANCH_LOOKING] = "looking",
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
    [BRANCH_IN_DOUBT] = TO(ADOPTING) | TO(ACCEPTING) | TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_ACCEPTING] = TO(IN_DOUBT) | TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_COMMITTING] = TO(PROVING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_ABORTING] = TO(PROVING) | TO(COMMITTING) | TO(ENDED),
    [BRANCH_PROVING] = TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_UNSURE] = TO(COMMITTING) | TO(ABORTING) | TO(ENDED),
    [BRANCH_LOOKING] = TO(ENDED),
    [BRANCH_ENDED] = 0,
};

void branch_move(struct branch *branch, enum branch_state to)
{
    CHECK(edges[branch->state] & 1u << to);
    CHECK(to != BRANCH_COMMITTING || branch->decision == BRANCH_COMMIT);
    CHECK(to != BRANCH_ABORTING || branch->decision == BRANCH_ABORT);
    branch->state = to;
    branch->retrying = false;
}

struct branch_action *branch_add(struct branch_actions *actions, enum branch_action_kind kind)
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
    struct branch_action *action = branch_add(actions, BRANCH_DO_VOTE);
    action->choice = choice;
    action->cause = cause;
}

/* Likewise what a Work came to. */
static void word(struct branch *branch, enum branch_cause cause, struct branch_actions *actions)
{
    if (branch->owes_word)
        branch_add(actions, BRANCH_DO_WORD)->cause = cause;
    branch->owes_word = false;
}

/* Whichever it owes says no. */
static void refuse(struct branch *branch, enum branch_cause cause, struct branch_actions *actions)
{
    vote(branch, WIRE__CHOICE__NO, cause, actions);
    word(branch, cause, actions);
}

void branch_tell(bool commit, const char *hazard, struct branch_actions *actions)
{
    struct branch_action *action = branch_add(actions, BRANCH_DO_TELL);
    action->commit = commit;
    action->hazard = hazard;
}

static void answer(struct branch *branch, bool committed, struct branch_actions *actions)
{
    if (branch->asked)
        branch_add(actions, BRANCH_DO_ANSWER)->commit = committed;
    branch->asked = false;
}

void branch_finish(struct branch *branch, bool commit, struct branch_actions *actions)
{
    branch->decision = commit ? BRANCH_COMMIT : BRANCH_ABORT;
    branch_move(branch, commit ? BRANCH_COMMITTING : BRANCH_ABORTING);
    branch_add(actions, BRANCH_DO_FINISH)->commit = commit;
}

void branch_retry(struct branch *branch, struct branch_actions *actions)
{
    branch->retrying = true;
    branch_add(actions, BRANCH_DO_RETRY);
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
        branch_move(branch, BRANCH_WORKING);
        branch_add(actions, BRANCH_DO_WORK);
    } else {
        branch_move(branch, BRANCH_QUEUED);
        branch_add(actions, BRANCH_DO_ENQUEUE);
    }
}

static void started(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_QUEUED);
    branch_move(branch, BRANCH_WORKING);
    branch_add(actions, BRANCH_DO_WORK);
}

/* Queued work that never began ends without a trace. */
void branch_drop(struct branch *branch, enum branch_cause cause, struct branch_actions *actions)
{
    branch_add(actions, BRANCH_DO_DEQUEUE);
    refuse(branch, cause, actions);
    answer(branch, false, actions);
    branch_move(branch, BRANCH_ENDED);
}

static void prepared(struct branch *branch, const struct branch_event *event,
                     struct branch_actions *actions)
{
    branch->xid = event->xid;
    branch->empty = event->xid == 0;
    if (branch->decision == BRANCH_ABORT && !PLANTED(PREPARE_AFTER_ABORT)) {
        branch_finish(branch, false, actions);
    } else if (event->fenced) {
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_FENCED, actions);
        branch_finish(branch, false, actions);
    } else if (!event->met && !PLANTED(YES_WHEN_EXPECTATION_FAILED)) {
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_WORK, actions);
        branch_finish(branch, false, actions);
    } else {
        vote(branch, WIRE__CHOICE__YES, BRANCH_CAUSE_NONE, actions);
        branch_move(branch, BRANCH_IN_DOUBT);
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
        branch_tell(false, NULL, actions);
    branch_move(branch, BRANCH_ENDED);
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
        if (PLANTED(OPEN_GONE_IS_EMPTY) && branch->open && branch->decision == BRANCH_UNDECIDED)
            vote(branch, WIRE__CHOICE__READ_ONLY, BRANCH_CAUSE_NONE, actions);
        left_nothing(branch, event->fenced, actions);
    } else {
        /* It may be prepared, or get prepared yet. No yes was given, so it is ours to roll back:
         * when a scan finds it. Unknown means aborted, so the no need not wait for that. */
        vote(branch, WIRE__CHOICE__NO, BRANCH_CAUSE_LOST, actions);
        if (branch->told)
            branch_tell(false, NULL, actions);
        branch->told = false;
        branch->decision = BRANCH_ABORT;
        branch_move(branch, BRANCH_UNSURE);
        branch_add(actions, BRANCH_DO_SCAN);
    }
}

static void worked_one_phase(struct branch *branch, const struct branch_event *event,
                             struct branch_actions *actions)
{
    CHECK(event->outcome != DB_PREPARED);
    if (event->outcome == DB_COMMITTED) {
        vote(branch, WIRE__CHOICE__DONE, BRANCH_CAUSE_NONE, actions);
        answer(branch, true, actions);
        branch_move(branch, BRANCH_ENDED);
    } else if (event->outcome == DB_FAILED || PLANTED(GUESS_ONE_PHASE)) {
        left_nothing(branch, event->fenced, actions);
    } else if (!branch->owes_vote && !branch->asked && !branch->told) {
        branch_move(branch, BRANCH_ENDED); /* nobody waits; the coordinator asks with LOOKUP */
    } else {
        branch_move(branch, BRANCH_LOOKING);
        branch_add(actions, BRANCH_DO_LOOK_UP);
    }
}

/* ---- step by step -------------------------------------------------------------------------- */

/* Nobody asked for its yes: it is rolled back without a word. */
void branch_roll_back(struct branch *branch, struct branch_actions *actions)
{
    branch->decision = BRANCH_ABORT;
    branch_move(branch, BRANCH_CLOSING);
    branch_add(actions, BRANCH_DO_ROLLBACK);
}

static void worked_step(struct branch *branch, const struct branch_event *event,
                        struct branch_actions *actions)
{
    CHECK(event->outcome == DB_OPENED || event->outcome == DB_FAILED);
    if (event->outcome == DB_FAILED) {
        left_nothing(branch, event->fenced, actions);
    } else if (branch->decision == BRANCH_ABORT) {
        branch_roll_back(branch, actions);
    } else if (!event->met) {
        word(branch, BRANCH_CAUSE_WORK, actions);
        branch_roll_back(branch, actions);
    } else {
        word(branch, BRANCH_CAUSE_NONE, actions);
        branch_move(branch, BRANCH_OPEN);
    }
}

static void closed(struct branch *branch, struct branch_actions *actions)
{
    if (branch->told)
        branch_tell(false, NULL, actions);
    branch_move(branch, BRANCH_ENDED);
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
    branch_move(branch, BRANCH_ADOPTING);
    branch_add(actions, BRANCH_DO_ADOPT);
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
        branch_move(branch, BRANCH_IN_DOUBT);
    } else {
        vote(branch, WIRE__CHOICE__NO, causes[event->adopted], actions);
        branch_finish(branch, false, actions);
    }
}

/* ---- one phase, after a lost connection ---------------------------------------------------- */

static void looked_up(struct branch *branch, enum db_found found, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_LOOKING);
    if (found == DB_FOUND_ERROR) {
        vote(branch, WIRE__CHOICE__LOST, BRANCH_CAUSE_LOST, actions);
        if (branch->asked)
            branch_retry(branch, actions);
        else
            branch_move(branch, BRANCH_ENDED); /* the coordinator asks again, with LOOKUP */
        return;
    }
    CHECK(found == DB_FOUND || found == DB_FENCED);
    bool committed = found == DB_FOUND;
    vote(branch, committed ? WIRE__CHOICE__DONE : WIRE__CHOICE__NO,
         committed ? BRANCH_CAUSE_NONE : BRANCH_CAUSE_LOST, actions);
    answer(branch, committed, actions);
    if (branch->told && !committed)
        branch_tell(false, NULL, actions);
    branch_move(branch, BRANCH_ENDED);
}

static void looked_for(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->state == BRANCH_NEW || branch->one_phase);
    branch->asked = true; /* QUEUED, WORKING, LOOKING: answered when it is known */
    if (branch->state == BRANCH_NEW) {
        branch->mode = DB_ONE_PHASE;
        branch->one_phase = true;
        branch_move(branch, BRANCH_LOOKING);
        branch_add(actions, BRANCH_DO_LOOK_UP);
    }
}

/* ---- time, sessions, scans ----------------------------------------------------------------- */

static void session_lost(struct branch *branch, struct branch_actions *actions)
{
    branch->owes_vote = branch->owes_word = branch->asked = false;
    if (branch->state == BRANCH_QUEUED) {
        branch_drop(branch, BRANCH_CAUSE_NONE, actions);
    } else if (branch->state == BRANCH_OPEN) {
        branch_roll_back(branch, actions);
    } else if (branch->state == BRANCH_ADOPTING) {
        branch->decision = BRANCH_ABORT;
    } else if (branch->state == BRANCH_WORKING && branch->decision == BRANCH_UNDECIDED) {
        branch->decision = BRANCH_ABORT;
        branch_add(actions, BRANCH_DO_CANCEL);
    } else if (branch->state == BRANCH_LOOKING && branch->retrying) {
        branch_move(branch, BRANCH_ENDED);
    } else if (branch->state == BRANCH_IN_DOUBT && PLANTED(ABORT_IN_DOUBT)) {
        branch_finish(branch, false, actions);
    }
}

static void deadline(struct branch *branch, struct branch_actions *actions)
{
    if (branch->state == BRANCH_QUEUED) {
        branch_drop(branch, BRANCH_CAUSE_DEADLINE, actions);
    } else if (branch->state == BRANCH_WORKING && branch->decision == BRANCH_UNDECIDED) {
        /* A one-phase branch may have committed: its vote waits for what the database says. */
        if (branch->mode != DB_ONE_PHASE)
            refuse(branch, BRANCH_CAUSE_DEADLINE, actions);
        branch->decision = BRANCH_ABORT;
        branch_add(actions, BRANCH_DO_CANCEL);
    } else if (branch->state == BRANCH_OPEN) {
        branch_roll_back(branch, actions);
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
            branch_finish(branch, false, actions);
        else
            branch_move(branch, BRANCH_ENDED);
    } else if (branch->state == BRANCH_IN_DOUBT && (branch->orphan || branch->held) && !present) {
        /* An operator ended it. Should a decision come after all, it finds the gid gone and the xid
         * proves or disproves what was done. */
        branch_move(branch, BRANCH_ENDED);
    }
}

static void retry_due(struct branch *branch, struct branch_actions *actions)
{
    CHECK(branch->retrying);
    branch->retrying = false;
    if (branch->state == BRANCH_IN_DOUBT)
        branch_add(actions, BRANCH_DO_ASK);
    else if (branch->state == BRANCH_LOOKING)
        branch_add(actions, BRANCH_DO_LOOK_UP);
    else if (branch->state == BRANCH_PROVING)
        branch_finish(branch, branch->decision == BRANCH_COMMIT, actions);
    else
        branch_add(actions, BRANCH_DO_FINISH)->commit = branch->decision == BRANCH_COMMIT;
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
        branch_roll_back(branch, actions);
        break;
    case BRANCH_FOUND:
        CHECK(branch->state == BRANCH_NEW);
        branch->orphan = true;
        branch->xid = event->xid;
        branch_move(branch, BRANCH_IN_DOUBT);
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
        branch_told(branch, event->commit, event->xid, actions);
        break;
    case BRANCH_JUDGED:
        branch_judged(branch, event, actions);
        break;
    case BRANCH_DECIDED:
        branch_decided(branch, event->commit, actions);
        break;
    case BRANCH_ACCEPTS:
        branch_accepts(branch);
        break;
    case BRANCH_ACCEPTED:
        branch_accepted(branch, event->accepted, actions);
        break;
    case BRANCH_FORCED:
        branch_forced(branch, event->commit, event->xid, actions);
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
            branch_drop(branch, BRANCH_CAUSE_DATABASE_DOWN, actions);
        else if (branch->state == BRANCH_OPEN)
            branch_roll_back(branch, actions);
        break;
    case BRANCH_FINISHED:
        branch_finished(branch, event->finish, actions);
        break;
    case BRANCH_STATUS:
        branch_proved(branch, event->status, actions);
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
