/* The machine of one global transaction: two-phase and three-phase commit with presumed abort, and
 * one phase when there is a single branch. Pure: an event goes in, ordered actions come out; the
 * runner carries them out in that order, journal first, then send.
 *
 * There is one place where commit is proposed (decide, in transaction.c), and one engine that makes
 * a decision of it (core/proposer.h). In two phases this coordinator is the only site: its own
 * acceptance, the COMMIT record, is the decision as soon as it is durable. In three phases the
 * participants are sites too; then it is what half of them have accepted, and may be another's
 * doing.
 *
 * Invariants, checked at each step:
 * T1  the record is appended only when every branch voted yes or read-only;
 * T2  after the record was appended nothing aborts, but the registers of a majority of the sites;
 * T3  a branch is told commit, and a client committed, only after half of the sites have
 *     accepted it durably: with two phases after the record is durable;
 * T4  the transaction ends only when every branch that was told commit has carried it out, or an
 *     operator has forgotten that one could not prove it;
 * T5  another site is asked only when this one has granted the same itself, durably.
 *
 * Where this site's acceptance and one more are enough, a participant's at ballot {0,0} makes the
 * decision, and it may commit its branch with it: a reply that is `applied`. That is a decision
 * told and the acknowledgement of a branch in one, whenever it comes. T3 holds, as T5 says that
 * this site's own acceptance was durable before; T4, as that branch has carried out what it was
 * never told. */
#ifndef TROTH_COORDINATOR_TRANSACTION_H
#define TROTH_COORDINATOR_TRANSACTION_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"
#include "core/proposer.h"
#include "core/register.h"
#include "core/transition.h"

/* How the transaction commits. */
enum transaction_way {
    IN_ONE_PHASE, /* one branch without a key: its own commit is the decision */
    IN_TWO_PHASES,
    IN_THREE_PHASES,
};

enum transaction_state {
    TRANSACTION_NEW = 1,   /* nothing was sent */
    TRANSACTION_VOTING,    /* PREPARE is out; not every branch has voted */
    TRANSACTION_DECIDING,  /* the COMMIT or PROPOSED record is appended, not yet durable */
    TRANSACTION_PROPOSED,  /* three-phase: the record is durable; only the registers decide now */
    TRANSACTION_COMMITTED, /* decided; some branch has not acknowledged COMMIT */
    TRANSACTION_ABORTED,   /* decided; some branch has not acknowledged ABORT */
    TRANSACTION_ALONE,     /* one phase: the only branch is at work; its outcome is the decision */
    TRANSACTION_LOST,      /* one phase: the outcome is not known and has to be looked up */
    TRANSACTION_HAZARD,    /* nothing is under way, and some branch can't be proved */
    TRANSACTION_DONE,
    TRANSACTION_STATES
};

/* What the events of the outside come to for the transaction as a whole. */
enum transaction_turn {
    TURN_BEGAN,          /* submitted, two-phase */
    TURN_BEGAN_ALONE,    /* submitted, one-phase */
    TURN_BRANCH_CHANGED, /* a vote or an acknowledgement, and others are still missing */
    TURN_ALL_YES,
    TURN_ALL_READ_ONLY, /* nothing to commit anywhere, and no key to keep */
    TURN_REFUSED,       /* a no, a lost session or the deadline, before the record; withdrawn */
    TURN_ACCEPTED,      /* three-phase: this site's own acceptance is durable */
    TURN_ASKED_AGAIN,   /* what is asked of the sites, or answered for this one, has changed */
    TURN_DECIDED,       /* commit */
    TURN_OVERRULED,     /* abort, by the registers: other sites have finished it */
    TURN_ALL_FINISHED,
    TURN_HAZARD_LEFT, /* all are finished or can't be proved */
    TURN_CAME_LATE,   /* the deadline passed where it decides nothing */
    TURN_DONE_ALONE,
    TURN_REFUSED_ALONE,
    TURN_LOST_ALONE,
    TURN_JOINED,
    TURN_FORGOTTEN, /* an operator has dealt with the hazard */
    TURN_RECOVERED,
    TURN_RECOVERED_PROPOSED,
    TURN_RECOVERED_HAZARD,
    TRANSACTION_TURNS
};

enum branch_state {
    BRANCH_NEW = 1,
    BRANCH_ASKED,      /* PREPARE was sent in the participant's present session */
    BRANCH_YES,        /* prepared and durable there, whatever becomes of the session */
    BRANCH_NO,         /* nothing remains, or it will be rolled back whatever comes */
    BRANCH_READ_ONLY,  /* dropped out */
    BRANCH_COMMITTING, /* COMMIT is owed until it is acknowledged */
    BRANCH_APPLIED,
    BRANCH_ABORTING, /* ABORT was sent in the participant's present session */
    BRANCH_ABORTED,  /* acknowledged, or left to the participant, which asks and is told abort */
    BRANCH_RUNNING,  /* one phase: at work */
    BRANCH_LOST,     /* one phase: LOOKUP is owed until it is answered */
    BRANCH_HAZARD,   /* the database does not hold what was decided, or can't say */
    BRANCH_STATES
};

enum branch_turn {
    BRANCH_WAS_ASKED,
    BRANCH_WAS_RUN,
    BRANCH_VOTED_YES,
    BRANCH_VOTED_NO,
    BRANCH_VOTED_READ_ONLY,
    BRANCH_VOTED_DONE,
    BRANCH_VOTED_LOST,
    BRANCH_SESSION_LOST,
    BRANCH_COMMIT_DECIDED,
    BRANCH_ABORT_DECIDED,
    BRANCH_DID_COMMIT,
    BRANCH_DID_ABORT,
    BRANCH_MADE_COMMIT,     /* committed with the acceptance that made the decision */
    BRANCH_UNPROVED_COMMIT, /* told commit, and the database can't prove it */
    BRANCH_UNPROVED_ABORT,
    BRANCH_GIVEN_UP, /* no acknowledgement of ABORT within the time given */
    BRANCH_FOUND_COMMITTED,
    BRANCH_FOUND_ABORTED,
    BRANCH_RECOVERED_YES,
    BRANCH_RECOVERED_READ_ONLY,
    BRANCH_RECOVERED_APPLIED,
    BRANCH_RECOVERED_HAZARD,
    BRANCH_TURNS
};

extern const struct transition_table transaction_table, branch_table;
const char *transaction_state_name(enum transaction_state state);
const char *branch_state_name(enum branch_state state);

enum transaction_event_type {
    EVENT_SUBMITTED,
    EVENT_WITHDRAWN,        /* aborted while it was open, before anybody was asked to prepare */
    EVENT_VOTED,            /* branch, choice */
    EVENT_RECORD_DURABLE,   /* all that was appended of this site's register */
    EVENT_REPLIED,          /* site, ask, reply (GRANTED or OUTBID), state, applied */
    EVENT_ASKED,            /* site (that asks), ask */
    EVENT_TOLD,             /* value: a site knows the decision */
    EVENT_ROUND_DUE,        /* the time after being outbid is over */
    EVENT_FINISHED,         /* branch, commit, hazard */
    EVENT_PARTICIPANT_LOST, /* branch: the session in which it was sent something ended */
    EVENT_DEADLINE_PASSED,
    EVENT_FOUND,     /* branch, commit: the answer to a lookup */
    EVENT_JOINED,    /* one more client waits for the same answer */
    EVENT_FORGOTTEN, /* an operator has dealt with the hazard that is left of it */
    /* From the journal: */
    EVENT_BRANCH_RECOVERED,   /* branch, commit (the decision), hazard, applied, read_only */
    EVENT_RECOVERED,          /* after every branch was */
    EVENT_RECOVERED_PROPOSED, /* likewise, of what was proposed and not decided; state */
    EVENT_REGISTER_RECOVERED, /* state */
    EVENT_DECISION_RECOVERED, /* commit, of what was proposed */
    EVENT_RESUMED,            /* all of the journal is replayed */
};

enum transaction_choice { CHOSE_YES, CHOSE_NO, CHOSE_READ_ONLY, CHOSE_DONE, CHOSE_LOST };

struct transaction_event {
    enum transaction_event_type type;
    int branch;
    enum transaction_choice choice;
    bool commit, hazard, applied, read_only;
    int site;
    enum register_reply reply;
    enum register_value value;
    struct register_ask ask;
    struct register_state state;
};

enum action_type {
    ACTION_SEND_PREPARE, /* branch; in one phase when the transaction is alone */
    ACTION_OWE_COMMIT,   /* branch; send now or in a later session, until it is acknowledged */
    ACTION_SEND_ABORT,   /* branch; in this session only */
    ACTION_OWE_LOOKUP,   /* branch; as OWE_COMMIT */
    ACTION_OWE_ASK,      /* branch; its site is asked, until it answers or is not wanted any more */
    ACTION_APPEND_COMMITTED,
    ACTION_APPEND_PROPOSED, /* this site accepts commit */
    ACTION_APPEND_REGISTER, /* this site's register has changed */
    ACTION_APPEND_DECIDED,
    ACTION_APPEND_ENDED,
    ACTION_APPEND_HAZARD,    /* branch */
    ACTION_REPLY_GRANTED,    /* branch: the site that asked; when all that is appended is durable */
    ACTION_REPLY_OUTBID,     /* likewise */
    ACTION_ANSWER_DECIDED,   /* to those who wait for the decision only */
    ACTION_ANSWER_APPLIED,   /* this and the following: to all who wait */
    ACTION_ANSWER_UNAPPLIED, /* committed, not everywhere applied yet */
    ACTION_ANSWER_ABORTED,
    ACTION_ANSWER_UNKNOWN,
    ACTION_ANSWER_HAZARD,
    ACTION_ARM_DEADLINE,
    ACTION_ARM_PATIENCE, /* for the acknowledgements of ABORT */
    ACTION_ARM_ROUND,    /* outbid: EVENT_ROUND_DUE after a random time */
    ACTION_DISARM,
    ACTION_RELEASE, /* always the last */
};

struct action {
    uint8_t type;
    uint8_t branch;
};

/* At most one action a branch and these: two records, ended, two answers, a timer, release. */
enum { ACTIONS = LIMIT_BRANCHES + 8 };

struct actions {
    int count;
    struct action list[ACTIONS];
};

/* Of the runner, one a branch; changed by the machine only. */
struct branch {
    uint8_t state;
};

struct transaction {
    uint8_t state;
    uint8_t branch_count;
    bool alone; /* one phase */
    bool keyed; /* a client's key must be durable with the decision, even with nothing to apply */
    bool appended;  /* the COMMIT or PROPOSED record is; this site aborts nothing from here on */
    bool committed; /* decided, and durable: at half of the sites */
    bool late;      /* the deadline passed: nobody waits for applied any more */
    bool granting;  /* this site's own register grants the proposer's ask when it is durable */
    uint8_t in[BRANCH_STATES]; /* how many branches are in each state */
    struct proposer proposer;
    struct register_state own; /* this site's register, as it was appended */
    struct branch *branches;
};

/* What the transaction is for who asks from outside. */
enum transaction_phase { PHASE_UNDECIDED, PHASE_DECIDING, PHASE_COMMITTED, PHASE_ABORTED };

/* branches: the caller's array of branch_count, alive as long as the transaction. */
void transaction_init(struct transaction *transaction, struct branch *branches, int branch_count,
                      enum transaction_way way, bool keyed);
/* False, and nothing changed: a participant sent what it must not send in this state. Events that
 * the runner itself makes are never refused. */
bool transaction_step(struct transaction *transaction, const struct transaction_event *event,
                      struct actions *actions);
enum transaction_phase transaction_phase(const struct transaction *transaction);
/* This site of the transaction's register is the coordinator's, and branch i's is i + 1. */
bool transaction_three_phase(const struct transaction *transaction);
/* The proposer still wants an answer of this branch's site. */
bool transaction_wants(const struct transaction *transaction, int branch);
/* The client must still hear the decision, so a drain waits for it. */
bool transaction_undecided(const struct transaction *transaction);

#endif
