/* The tables of the transaction machine: what every event makes of every state. */
#include "coordinator/transaction.h"
#include "core/check.h"

/* clang-format off */
static const char *const transaction_states[TRANSACTION_STATES] = {
    [TRANSACTION_NEW] = "new", [TRANSACTION_VOTING] = "voting",
    [TRANSACTION_DECIDING] = "deciding", [TRANSACTION_PROPOSED] = "pre-committed",
    [TRANSACTION_COMMITTED] = "committed",
    [TRANSACTION_ABORTED] = "aborted", [TRANSACTION_ALONE] = "one-phase",
    [TRANSACTION_LOST] = "unknown", [TRANSACTION_HAZARD] = "hazard", [TRANSACTION_DONE] = "done",
};

static const char *const transaction_turns[TRANSACTION_TURNS] = {
    [TURN_BEGAN] = "began", [TURN_BEGAN_ALONE] = "began alone",
    [TURN_BRANCH_CHANGED] = "branch changed", [TURN_ALL_YES] = "all yes",
    [TURN_ALL_READ_ONLY] = "all read-only", [TURN_REFUSED] = "refused",
    [TURN_ACCEPTED] = "accepted", [TURN_ASKED_AGAIN] = "asked again",
    [TURN_DECIDED] = "decided", [TURN_OVERRULED] = "overruled",
    [TURN_ALL_FINISHED] = "all finished",
    [TURN_HAZARD_LEFT] = "hazard left", [TURN_CAME_LATE] = "came late",
    [TURN_DONE_ALONE] = "done alone", [TURN_REFUSED_ALONE] = "refused alone",
    [TURN_LOST_ALONE] = "lost alone", [TURN_JOINED] = "joined",
    [TURN_FORGOTTEN] = "forgotten", [TURN_RECOVERED] = "recovered",
    [TURN_RECOVERED_PROPOSED] = "recovered proposed",
    [TURN_RECOVERED_HAZARD] = "recovered hazard",
};

static const uint8_t transaction_next[TRANSACTION_STATES][TRANSACTION_TURNS] = {
    [TRANSACTION_NEW] = {
        [TURN_BEGAN] = TRANSACTION_VOTING,
        [TURN_BEGAN_ALONE] = TRANSACTION_ALONE,
        [TURN_REFUSED] = TRANSACTION_ABORTED, /* built step by step, and never ended */
        [TURN_RECOVERED] = TRANSACTION_COMMITTED,
        [TURN_RECOVERED_PROPOSED] = TRANSACTION_PROPOSED,
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
        [TURN_ACCEPTED] = TRANSACTION_PROPOSED,
        [TURN_DECIDED] = TRANSACTION_COMMITTED,
        [TURN_OVERRULED] = TRANSACTION_ABORTED,
        [TURN_CAME_LATE] = TRANSACTION_DECIDING,
        [TURN_JOINED] = TRANSACTION_DECIDING,
    },
    [TRANSACTION_PROPOSED] = {
        [TURN_BRANCH_CHANGED] = TRANSACTION_PROPOSED,
        [TURN_ASKED_AGAIN] = TRANSACTION_PROPOSED,
        [TURN_DECIDED] = TRANSACTION_COMMITTED,
        [TURN_OVERRULED] = TRANSACTION_ABORTED,
        [TURN_CAME_LATE] = TRANSACTION_PROPOSED,
        [TURN_JOINED] = TRANSACTION_PROPOSED,
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
        [TURN_FORGOTTEN] = TRANSACTION_DONE,
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
    [BRANCH_MADE_COMMIT] = "made commit",
    [BRANCH_UNPROVED_COMMIT] = "unproved commit", [BRANCH_UNPROVED_ABORT] = "unproved abort",
    [BRANCH_GIVEN_UP] = "given up", [BRANCH_FOUND_COMMITTED] = "found committed",
    [BRANCH_FOUND_ABORTED] = "found aborted", [BRANCH_RECOVERED_YES] = "recovered yes",
    [BRANCH_RECOVERED_READ_ONLY] = "recovered read-only",
    [BRANCH_RECOVERED_APPLIED] = "recovered applied",
    [BRANCH_RECOVERED_HAZARD] = "recovered hazard",
};

static const uint8_t branch_next[BRANCH_STATES][BRANCH_TURNS] = {
    [BRANCH_NEW] = {
        [BRANCH_WAS_ASKED] = BRANCH_ASKED,
        [BRANCH_WAS_RUN] = BRANCH_RUNNING,
        [BRANCH_ABORT_DECIDED] = BRANCH_ABORTING,
        [BRANCH_RECOVERED_YES] = BRANCH_YES,
        [BRANCH_RECOVERED_READ_ONLY] = BRANCH_READ_ONLY,
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
        [BRANCH_MADE_COMMIT] = BRANCH_APPLIED,
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
        [BRANCH_MADE_COMMIT] = BRANCH_READ_ONLY, /* a client prepared what it called read-only */
    },
    [BRANCH_COMMITTING] = {
        [BRANCH_SESSION_LOST] = BRANCH_COMMITTING,
        [BRANCH_DID_COMMIT] = BRANCH_APPLIED,
        [BRANCH_MADE_COMMIT] = BRANCH_APPLIED, /* others were enough, and COMMIT is owed already */
        [BRANCH_UNPROVED_COMMIT] = BRANCH_HAZARD,
    },
    [BRANCH_APPLIED] = {
        [BRANCH_SESSION_LOST] = BRANCH_APPLIED,
        [BRANCH_COMMIT_DECIDED] = BRANCH_APPLIED, /* acknowledged already: recovered, or made */
        [BRANCH_DID_COMMIT] = BRANCH_APPLIED,     /* told twice, by COMMIT and by a verdict */
        [BRANCH_MADE_COMMIT] = BRANCH_APPLIED,    /* and told by COMMIT, which crossed it */
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
        [BRANCH_MADE_COMMIT] = BRANCH_HAZARD,
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
