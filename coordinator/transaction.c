#include "coordinator/transaction.h"

#include <string.h>

#include "core/check.h"
#include "core/planted.h"

/* clang-format off */
static const char *const transaction_states[TRANSACTION_STATES] = {
    [TRANSACTION_NEW] = "new", [TRANSACTION_VOTING] = "voting",
    [TRANSACTION_DECIDING] = "deciding", [TRANSACTION_COMMITTED] = "committed",
    [TRANSACTION_ABORTED] = "aborted", [TRANSACTION_ALONE] = "one-phase",
    [TRANSACTION_LOST] = "unknown", [TRANSACTION_HAZARD] = "hazard", [TRANSACTION_DONE] = "done",
};

static const char *const transaction_turns[TRANSACTION_TURNS] = {
    [TURN_BEGAN] = "began", [TURN_BEGAN_ALONE] = "began alone",
    [TURN_BRANCH_CHANGED] = "branch changed", [TURN_ALL_YES] = "all yes",
    [TURN_ALL_READ_ONLY] = "all read-only", [TURN_REFUSED] = "refused",
    [TURN_DURABLE] = "durable", [TURN_ALL_FINISHED] = "all finished",
    [TURN_HAZARD_LEFT] = "hazard left", [TURN_CAME_LATE] = "came late",
    [TURN_DONE_ALONE] = "done alone", [TURN_REFUSED_ALONE] = "refused alone",
    [TURN_LOST_ALONE] = "lost alone", [TURN_JOINED] = "joined", [TURN_RECOVERED] = "recovered",
    [TURN_RECOVERED_HAZARD] = "recovered hazard",
};

static const uint8_t transaction_next[TRANSACTION_STATES][TRANSACTION_TURNS] = {
    [TRANSACTION_NEW] = {
        [TURN_BEGAN] = TRANSACTION_VOTING,
        [TURN_BEGAN_ALONE] = TRANSACTION_ALONE,
        [TURN_RECOVERED] = TRANSACTION_COMMITTED,
        [TURN_RECOVERED_HAZARD] = TRANSACTION_HAZARD,
    },
    [TRANSACTION_VOTING] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_VOTING,
        [TURN_ALL_YES] = TRANSACTION_DECIDING,
        [TURN_ALL_READ_ONLY] = TRANSACTION_DONE,
        [TURN_REFUSED] = TRANSACTION_ABORTED,
        [TURN_JOINED] = TRANSACTION_VOTING,
    },
    [TRANSACTION_DECIDING] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_DECIDING,
        [TURN_DURABLE] = TRANSACTION_COMMITTED,
        [TURN_CAME_LATE] = TRANSACTION_DECIDING,
        [TURN_JOINED] = TRANSACTION_DECIDING,
    },
    [TRANSACTION_COMMITTED] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_COMMITTED,
        [TURN_ALL_FINISHED] = TRANSACTION_DONE,
        [TURN_HAZARD_LEFT] = TRANSACTION_HAZARD,
        [TURN_CAME_LATE] = TRANSACTION_COMMITTED,
        [TURN_JOINED] = TRANSACTION_COMMITTED,
    },
    [TRANSACTION_ABORTED] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_ABORTED,
        [TURN_ALL_FINISHED] = TRANSACTION_DONE,
        [TURN_HAZARD_LEFT] = TRANSACTION_HAZARD,
    },
    [TRANSACTION_ALONE] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_ALONE,
        [TURN_DONE_ALONE] = TRANSACTION_DONE,
        [TURN_REFUSED_ALONE] = TRANSACTION_DONE,
        [TURN_LOST_ALONE] = TRANSACTION_LOST,
        [TURN_CAME_LATE] = TRANSACTION_ALONE,
    },
    [TRANSACTION_LOST] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_LOST,
        [TURN_DONE_ALONE] = TRANSACTION_DONE,
        [TURN_REFUSED_ALONE] = TRANSACTION_DONE,
        [TURN_CAME_LATE] = TRANSACTION_LOST,
    },
    [TRANSACTION_HAZARD] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_HAZARD,
        [TURN_JOINED] = TRANSACTION_HAZARD,
    },
};

const struct transition_table transaction_table = {
    "transaction", transaction_states, TRANSACTION_STATES,
    transaction_turns, TRANSACTION_TURNS, &transaction_next[0][0],
};

static const char *const branch_states[BRANCH_STATES] = {
    [BRANCH_NEW] = "new", [BRANCH_ASKED] = "waiting", [BRANCH_YES] = "prepared",
    [BRANCH_NO] = "refused", [BRANCH_READ_ONLY] = "read-only", [BRANCH_COMMITTING] = "committing",
    [BRANCH_APPLIED] = "applied", [BRANCH_ABORTING] = "aborting", [BRANCH_ABORTED] = "aborted",
    [BRANCH_RUNNING] = "running", [BRANCH_LOST] = "unknown", [BRANCH_HAZARD] = "hazard",
};

static const char *const branch_turns[BRANCH_TURNS] = {
    [BRANCH_WAS_ASKED] = "was asked", [BRANCH_WAS_RUN] = "was run",
    [BRANCH_VOTED_YES] = "voted yes", [BRANCH_VOTED_NO] = "voted no",
    [BRANCH_VOTED_READ_ONLY] = "voted read-only", [BRANCH_VOTED_DONE] = "voted done",
    [BRANCH_VOTED_LOST] = "voted lost", [BRANCH_SESSION_LOST] = "session lost",
    [BRANCH_COMMIT_DECIDED] = "commit decided", [BRANCH_ABORT_DECIDED] = "abort decided",
    [BRANCH_DID_COMMIT] = "did commit", [BRANCH_DID_ABORT] = "did abort",
    [BRANCH_UNPROVED_COMMIT] = "unproved commit", [BRANCH_UNPROVED_ABORT] = "unproved abort",
    [BRANCH_GIVEN_UP] = "given up", [BRANCH_FOUND_COMMITTED] = "found committed",
    [BRANCH_FOUND_ABORTED] = "found aborted", [BRANCH_RECOVERED_YES] = "recovered yes",
    [BRANCH_RECOVERED_APPLIED] = "recovered applied",
    [BRANCH_RECOVERED_HAZARD] = "recovered hazard",
};

static const uint8_t branch_next[BRANCH_STATES][BRANCH_TURNS] = {
    [BRANCH_NEW] = {
        [BRANCH_WAS_ASKED] = BRANCH_ASKED,
        [BRANCH_WAS_RUN] = BRANCH_RUNNING,
        [BRANCH_RECOVERED_YES] = BRANCH_YES,
        [BRANCH_RECOVERED_APPLIED] = BRANCH_APPLIED,
        [BRANCH_RECOVERED_HAZARD] = BRANCH_HAZARD,
    },
    [BRANCH_ASKED] = {
        [BRANCH_VOTED_YES] = BRANCH_YES,
        [BRANCH_VOTED_NO] = BRANCH_NO,
        [BRANCH_VOTED_READ_ONLY] = BRANCH_READ_ONLY,
        [BRANCH_SESSION_LOST] = BRANCH_NO,
        [BRANCH_ABORT_DECIDED] = BRANCH_ABORTING,
    },
    [BRANCH_YES] = {
        [BRANCH_SESSION_LOST] = BRANCH_YES,
        [BRANCH_COMMIT_DECIDED] = BRANCH_COMMITTING,
        [BRANCH_ABORT_DECIDED] = BRANCH_ABORTING,
    },
    [BRANCH_NO] = {
        [BRANCH_SESSION_LOST] = BRANCH_NO,
        [BRANCH_ABORT_DECIDED] = BRANCH_NO,
        [BRANCH_DID_ABORT] = BRANCH_NO,
    },
    [BRANCH_READ_ONLY] = {
        [BRANCH_SESSION_LOST] = BRANCH_READ_ONLY,
        [BRANCH_COMMIT_DECIDED] = BRANCH_READ_ONLY,
        [BRANCH_ABORT_DECIDED] = BRANCH_READ_ONLY,
        [BRANCH_DID_ABORT] = BRANCH_READ_ONLY,
    },
    [BRANCH_COMMITTING] = {
        [BRANCH_SESSION_LOST] = BRANCH_COMMITTING,
        [BRANCH_DID_COMMIT] = BRANCH_APPLIED,
        [BRANCH_UNPROVED_COMMIT] = BRANCH_HAZARD,
    },
    [BRANCH_APPLIED] = {
        [BRANCH_SESSION_LOST] = BRANCH_APPLIED,
        [BRANCH_COMMIT_DECIDED] = BRANCH_APPLIED, /* recovered: acknowledged already */
        [BRANCH_DID_COMMIT] = BRANCH_APPLIED,     /* told twice, by COMMIT and by a verdict */
        [BRANCH_UNPROVED_COMMIT] = BRANCH_APPLIED, /* the second time nothing was there to prove */
    },
    [BRANCH_ABORTING] = {
        /* A vote and our ABORT crossed. */
        [BRANCH_VOTED_YES] = BRANCH_ABORTING,
        [BRANCH_VOTED_NO] = BRANCH_ABORTED,
        [BRANCH_VOTED_READ_ONLY] = BRANCH_ABORTED,
        [BRANCH_SESSION_LOST] = BRANCH_ABORTED,
        [BRANCH_DID_ABORT] = BRANCH_ABORTED,
        [BRANCH_UNPROVED_ABORT] = BRANCH_HAZARD,
        [BRANCH_GIVEN_UP] = BRANCH_ABORTED,
    },
    [BRANCH_ABORTED] = {
        [BRANCH_VOTED_NO] = BRANCH_ABORTED,
        [BRANCH_VOTED_READ_ONLY] = BRANCH_ABORTED,
        [BRANCH_SESSION_LOST] = BRANCH_ABORTED,
        [BRANCH_DID_ABORT] = BRANCH_ABORTED,
        [BRANCH_UNPROVED_ABORT] = BRANCH_HAZARD,
    },
    [BRANCH_RUNNING] = {
        [BRANCH_VOTED_NO] = BRANCH_NO,
        [BRANCH_VOTED_READ_ONLY] = BRANCH_READ_ONLY,
        [BRANCH_VOTED_DONE] = BRANCH_APPLIED,
        [BRANCH_VOTED_LOST] = BRANCH_LOST,
        [BRANCH_SESSION_LOST] = BRANCH_LOST,
    },
    [BRANCH_LOST] = {
        [BRANCH_VOTED_NO] = BRANCH_NO,
        [BRANCH_VOTED_READ_ONLY] = BRANCH_READ_ONLY,
        [BRANCH_VOTED_DONE] = BRANCH_APPLIED,
        [BRANCH_VOTED_LOST] = BRANCH_LOST,
        [BRANCH_SESSION_LOST] = BRANCH_LOST,
        [BRANCH_FOUND_COMMITTED] = BRANCH_APPLIED,
        [BRANCH_FOUND_ABORTED] = BRANCH_ABORTED,
    },
    [BRANCH_HAZARD] = {
        /* Only an operator ends a hazard. */
        [BRANCH_SESSION_LOST] = BRANCH_HAZARD,
        [BRANCH_COMMIT_DECIDED] = BRANCH_HAZARD,
        [BRANCH_DID_COMMIT] = BRANCH_HAZARD,
        [BRANCH_DID_ABORT] = BRANCH_HAZARD,
        [BRANCH_UNPROVED_COMMIT] = BRANCH_HAZARD,
        [BRANCH_UNPROVED_ABORT] = BRANCH_HAZARD,
    },
};

const struct transition_table branch_table = {
    "branch", branch_states, BRANCH_STATES, branch_turns, BRANCH_TURNS, &branch_next[0][0],
};
/* clang-format on */

const char *transaction_state_name(enum transaction_state state)
{
    CHECK(state > 0 && state < TRANSACTION_STATES);
    return transaction_states[state];
}

const char *branch_state_name(enum branch_state state)
{
    CHECK(state > 0 && state < BRANCH_STATES);
    return branch_states[state];
}

void transaction_init(struct transaction *transaction, struct branch *branches, int branch_count,
                      bool alone, bool keyed)
{
    CHECK(branch_count >= 0 && branch_count <= LIMIT_BRANCHES);
    CHECK(!alone || (branch_count == 1 && !keyed));
    *transaction = (struct transaction){.state = TRANSACTION_NEW,
                                        .branch_count = (uint8_t)branch_count,
                                        .alone = alone,
                                        .keyed = keyed,
                                        .branches = branches};
    for (int i = 0; i < branch_count; i++)
        branches[i].state = BRANCH_NEW;
    transaction->in[BRANCH_NEW] = (uint8_t)branch_count;
}

static void act(struct actions *actions, enum action_type type, int branch)
{
    CHECK(actions->count < ACTIONS);
    actions->list[actions->count++] = (struct action){(uint8_t)type, (uint8_t)branch};
}

static void turn(struct transaction *t, enum transaction_turn what)
{
    t->state = (uint8_t)transition_next(&transaction_table, t->state, what);
}

static void place_branch(struct transaction *t, int branch, int state)
{
    t->in[t->branches[branch].state]--;
    t->in[state]++;
    t->branches[branch].state = (uint8_t)state;
}

static void turn_branch(struct transaction *t, int branch, enum branch_turn what)
{
    place_branch(t, branch, transition_next(&branch_table, t->branches[branch].state, what));
}

/* For what a participant sends: its mistake is refused and changes nothing. */
static bool try_branch(struct transaction *t, int branch, enum branch_turn what)
{
    int next = transition_try(&branch_table, t->branches[branch].state, what);
    if (next)
        place_branch(t, branch, next);
    return next != 0;
}

static void end(struct transaction *t, enum transaction_turn how, struct actions *actions)
{
    turn(t, how);
    act(actions, ACTION_DISARM, 0);
    act(actions, ACTION_RELEASE, 0);
}

/* Nothing more is under way at any branch? Then the transaction ends, or rests as a hazard. */
static void finish(struct transaction *t, struct actions *actions)
{
    if (t->in[BRANCH_COMMITTING] + t->in[BRANCH_ABORTING] > 0 &&
        !(PLANTED(END_AT_FIRST_ACK) && t->in[BRANCH_APPLIED] > 0)) {
        turn(t, TURN_BRANCH_CHANGED);
    } else if (t->in[BRANCH_HAZARD] > 0) {
        turn(t, TURN_HAZARD_LEFT);
        act(actions, ACTION_DISARM, 0);
    } else if (t->state == TRANSACTION_COMMITTED) {
        /* T4: END lets the journal forget the branches, so every one must have acknowledged. */
        CHECK(t->in[BRANCH_APPLIED] + t->in[BRANCH_READ_ONLY] == t->branch_count ||
              PLANTED(END_AT_FIRST_ACK));
        act(actions, ACTION_APPEND_ENDED, 0);
        act(actions, ACTION_ANSWER_APPLIED, 0);
        end(t, TURN_ALL_FINISHED, actions);
    } else {
        end(t, TURN_ALL_FINISHED, actions);
    }
}

/* Abort. Nothing is forced: a coordinator that forgets this transaction now will answer "abort" to
 * whoever asks, so the client may hear it at once; ABORT only frees the locks sooner. */
static void refuse(struct transaction *t, struct actions *actions)
{
    CHECK(!t->appended || PLANTED(ABORT_WHILE_DECIDING)); /* T2 */
    turn(t, TURN_REFUSED);
    act(actions, ACTION_ANSWER_ABORTED, 0);
    for (int i = 0; i < t->branch_count; i++) {
        turn_branch(t, i, BRANCH_ABORT_DECIDED);
        if (t->branches[i].state == BRANCH_ABORTING)
            act(actions, ACTION_SEND_ABORT, i);
    }
    if (t->in[BRANCH_ABORTING] > 0)
        act(actions, ACTION_ARM_PATIENCE, 0);
    else
        finish(t, actions);
}

/* THE decision. The register that decides has one site here: this coordinator's journal. Appending
 * the record proposes commit; its durability is the decision. */
static void decide(struct transaction *t, struct actions *actions)
{
    int missing = t->in[BRANCH_ASKED];
    if (missing > 0 && !(PLANTED(COMMIT_ON_MISSING_VOTE) && missing == 1 && t->branch_count > 1)) {
        turn(t, TURN_BRANCH_CHANGED);
        return;
    }
    if (t->in[BRANCH_READ_ONLY] == t->branch_count && !t->keyed) {
        act(actions, ACTION_ANSWER_APPLIED, 0);
        end(t, TURN_ALL_READ_ONLY, actions);
        return;
    }
    CHECK(t->in[BRANCH_YES] + t->in[BRANCH_READ_ONLY] == t->branch_count ||
          PLANTED(COMMIT_ON_MISSING_VOTE)); /* T1 */
    turn(t, TURN_ALL_YES);
    t->appended = true;
    act(actions, ACTION_APPEND_COMMITTED, 0);
    if (PLANTED(ANSWER_BEFORE_DURABLE))
        act(actions, ACTION_ANSWER_UNAPPLIED, 0);
    for (int i = 0; i < t->branch_count && PLANTED(COMMIT_BEFORE_DURABLE); i++) {
        if (t->branches[i].state == BRANCH_YES)
            act(actions, ACTION_OWE_COMMIT, i);
    }
}

/* The decision is durable: tell it, to the clients first, who wait with nothing else to do. */
static void tell(struct transaction *t, struct actions *actions)
{
    t->durable = true;
    act(actions, ACTION_ANSWER_DECIDED, 0);
    if (PLANTED(APPLIED_WHEN_DECIDED))
        act(actions, ACTION_ANSWER_APPLIED, 0);
    else if (t->late && t->in[BRANCH_YES] > 0) /* else there is nothing to apply */
        act(actions, ACTION_ANSWER_UNAPPLIED, 0);
    for (int i = 0; i < t->branch_count; i++) {
        if (PLANTED(COMMIT_ON_MISSING_VOTE) &&
            (t->branches[i].state == BRANCH_ASKED || t->branches[i].state == BRANCH_NO))
            place_branch(t, i, BRANCH_YES);
        turn_branch(t, i, BRANCH_COMMIT_DECIDED);
        if (t->branches[i].state == BRANCH_COMMITTING)
            act(actions, ACTION_OWE_COMMIT, i);
    }
}

/* One phase: what the only branch came to is the outcome of the transaction. */
static void conclude(struct transaction *t, struct actions *actions)
{
    switch (t->branches[0].state) {
    case BRANCH_APPLIED:
    case BRANCH_READ_ONLY:
        act(actions, ACTION_ANSWER_APPLIED, 0);
        end(t, TURN_DONE_ALONE, actions);
        break;
    case BRANCH_NO:
    case BRANCH_ABORTED:
        act(actions, ACTION_ANSWER_ABORTED, 0);
        end(t, TURN_REFUSED_ALONE, actions);
        break;
    case BRANCH_LOST:
        turn(t, t->state == TRANSACTION_ALONE ? TURN_LOST_ALONE : TURN_BRANCH_CHANGED);
        act(actions, ACTION_OWE_LOOKUP, 0);
        break;
    default:
        turn(t, TURN_BRANCH_CHANGED);
        break;
    }
}

/* A branch has changed: what follows for the whole? */
static void follow(struct transaction *t, int branch, struct actions *actions)
{
    switch (t->state) {
    case TRANSACTION_VOTING:
        if (t->branches[branch].state == BRANCH_NO)
            refuse(t, actions);
        else
            decide(t, actions);
        break;
    case TRANSACTION_COMMITTED:
    case TRANSACTION_ABORTED:
        finish(t, actions);
        break;
    case TRANSACTION_ALONE:
    case TRANSACTION_LOST:
        conclude(t, actions);
        break;
    default:
        turn(t, TURN_BRANCH_CHANGED);
        break;
    }
}

static void submitted(struct transaction *t, struct actions *actions)
{
    CHECK(t->branch_count > 0);
    turn(t, t->alone ? TURN_BEGAN_ALONE : TURN_BEGAN);
    act(actions, ACTION_ARM_DEADLINE, 0);
    for (int i = 0; i < t->branch_count; i++) {
        turn_branch(t, i, t->alone ? BRANCH_WAS_RUN : BRANCH_WAS_ASKED);
        act(actions, ACTION_SEND_PREPARE, i);
    }
}

static bool voted(struct transaction *t, const struct transaction_event *event,
                  struct actions *actions)
{
    static const enum branch_turn turns[] = {
        [CHOSE_YES] = BRANCH_VOTED_YES,   [CHOSE_NO] = BRANCH_VOTED_NO,
        [CHOSE_DONE] = BRANCH_VOTED_DONE, [CHOSE_READ_ONLY] = BRANCH_VOTED_READ_ONLY,
        [CHOSE_LOST] = BRANCH_VOTED_LOST,
    };
    enum branch_turn what = turns[event->choice];
    if (PLANTED(IGNORE_NO_VOTE) && what == BRANCH_VOTED_NO)
        what = BRANCH_VOTED_READ_ONLY;
    if (!try_branch(t, event->branch, what))
        return false;
    follow(t, event->branch, actions);
    return true;
}

static bool finished(struct transaction *t, const struct transaction_event *event,
                     struct actions *actions)
{
    bool was_hazard = t->branches[event->branch].state == BRANCH_HAZARD;
    enum branch_turn what = event->commit
                                ? event->hazard ? BRANCH_UNPROVED_COMMIT : BRANCH_DID_COMMIT
                            : event->hazard ? BRANCH_UNPROVED_ABORT
                                            : BRANCH_DID_ABORT;
    if (!try_branch(t, event->branch, what))
        return false;
    if (!was_hazard && t->branches[event->branch].state == BRANCH_HAZARD) {
        act(actions, ACTION_APPEND_HAZARD, event->branch);
        act(actions, ACTION_ANSWER_HAZARD, 0);
    }
    follow(t, event->branch, actions);
    return true;
}

static void deadline_passed(struct transaction *t, struct actions *actions)
{
    switch (t->state) {
    case TRANSACTION_VOTING:
        refuse(t, actions);
        return;
    case TRANSACTION_ABORTED:
        for (int i = 0; i < t->branch_count; i++) {
            if (t->branches[i].state == BRANCH_ABORTING)
                turn_branch(t, i, BRANCH_GIVEN_UP);
        }
        finish(t, actions);
        return;
    case TRANSACTION_DECIDING:
        /* The record may be durable already: only the journal knows, and it will say. */
        if (PLANTED(ABORT_WHILE_DECIDING)) {
            act(actions, ACTION_ANSWER_ABORTED, 0);
            for (int i = 0; i < t->branch_count; i++)
                act(actions, ACTION_SEND_ABORT, i);
        }
        break;
    case TRANSACTION_COMMITTED:
        act(actions, ACTION_ANSWER_UNAPPLIED, 0);
        break;
    case TRANSACTION_ALONE:
    case TRANSACTION_LOST:
        act(actions, ACTION_ANSWER_UNKNOWN, 0);
        break;
    default:
        break;
    }
    turn(t, TURN_CAME_LATE);
    t->late = true;
}

static void joined(struct transaction *t, struct actions *actions)
{
    turn(t, TURN_JOINED);
    if (t->state == TRANSACTION_HAZARD || t->in[BRANCH_HAZARD] > 0) {
        act(actions, ACTION_ANSWER_HAZARD, 0);
    } else if (t->state == TRANSACTION_COMMITTED) {
        /* The new one waits for applied within its own time. */
        t->late = false;
        act(actions, ACTION_ANSWER_DECIDED, 0);
        act(actions, ACTION_ARM_DEADLINE, 0);
    }
}

static void branch_recovered(struct transaction *t, const struct transaction_event *event)
{
    turn_branch(t, event->branch,
                event->hazard    ? BRANCH_RECOVERED_HAZARD
                : event->applied ? BRANCH_RECOVERED_APPLIED
                                 : BRANCH_RECOVERED_YES);
    t->appended = t->durable = event->commit;
}

static void recovered(struct transaction *t, struct actions *actions)
{
    t->late = true;
    if (t->in[BRANCH_HAZARD] > 0) {
        /* A hazard whose transaction was ended or aborted: only the hazard itself is left of it. */
        CHECK(t->in[BRANCH_HAZARD] == t->branch_count);
        turn(t, TURN_RECOVERED_HAZARD);
    } else {
        turn(t, TURN_RECOVERED);
        t->appended = true;
        tell(t, actions);
    }
}

bool transaction_step(struct transaction *t, const struct transaction_event *event,
                      struct actions *actions)
{
    actions->count = 0;
    CHECK(event->branch >= 0 && (event->branch == 0 || event->branch < t->branch_count));
    switch (event->type) {
    case EVENT_SUBMITTED:
        submitted(t, actions);
        return true;
    case EVENT_VOTED:
        return voted(t, event, actions);
    case EVENT_RECORD_DURABLE:
        turn(t, TURN_DURABLE);
        tell(t, actions);
        if (t->in[BRANCH_COMMITTING] == 0)
            finish(t, actions);
        return true;
    case EVENT_FINISHED:
        return finished(t, event, actions);
    case EVENT_PARTICIPANT_LOST:
        turn_branch(t, event->branch, BRANCH_SESSION_LOST);
        follow(t, event->branch, actions);
        return true;
    case EVENT_DEADLINE_PASSED:
        deadline_passed(t, actions);
        return true;
    case EVENT_FOUND:
        if (!try_branch(t, event->branch,
                        event->commit ? BRANCH_FOUND_COMMITTED : BRANCH_FOUND_ABORTED))
            return false;
        follow(t, event->branch, actions);
        return true;
    case EVENT_JOINED:
        joined(t, actions);
        return true;
    case EVENT_BRANCH_RECOVERED:
        branch_recovered(t, event);
        return true;
    case EVENT_RECOVERED:
        recovered(t, actions);
        return true;
    case EVENT_RESUMED:
        if (t->state == TRANSACTION_COMMITTED && t->in[BRANCH_COMMITTING] == 0)
            finish(t, actions);
        return true;
    }
    return false;
}

enum transaction_phase transaction_phase(const struct transaction *t)
{
    switch (t->state) {
    case TRANSACTION_DECIDING:
        return PHASE_DECIDING;
    case TRANSACTION_COMMITTED:
        return PHASE_COMMITTED;
    case TRANSACTION_ABORTED:
        return PHASE_ABORTED;
    case TRANSACTION_HAZARD:
        return t->durable ? PHASE_COMMITTED : PHASE_ABORTED;
    default:
        return PHASE_UNDECIDED;
    }
}

bool transaction_undecided(const struct transaction *t)
{
    return t->state == TRANSACTION_NEW || t->state == TRANSACTION_VOTING ||
           t->state == TRANSACTION_DECIDING || t->state == TRANSACTION_ALONE;
}
