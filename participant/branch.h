/* One branch at its participant: a pure machine. Events go in, actions come out, and the agent
 * carries the actions out in their order. participant/README.md draws it.
 *
 * What always holds:
 *  1. At most one request of a branch is with the database at a time.
 *  2. A yes is given only while the gid is prepared with every expectation met, and at most once.
 *     Of what somebody else has prepared that is for whoever did it to see to.
 *  3. After a yes the branch ends by the decision and by nothing else: the coordinator's, or in
 * three phases what a majority of the sites' registers holds, which may be made by this site's
 * acceptance. Or by an operator, who records that first and for ever: then what is decided
 * meanwhile or later is compared with it.
 *  4. Finished is told only for what the database proved, or as a hazard. */
#ifndef TROTH_PARTICIPANT_BRANCH_H
#define TROTH_PARTICIPANT_BRANCH_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ports.h"
#include "wire.pb-c.h"

enum branch_state {
    BRANCH_NEW,        /* nothing happened yet */
    BRANCH_QUEUED,     /* waits for a connection; the database knows nothing of it */
    BRANCH_WORKING,    /* its work is with the database */
    BRANCH_OPEN,       /* its transaction is open in the database, and more work may come */
    BRANCH_CLOSING,    /* likewise, and its ROLLBACK is with the database */
    BRANCH_ADOPTING,   /* somebody else has prepared it: the database is asked if it is so */
    BRANCH_IN_DOUBT,   /* prepared, and the decision is not known here */
    BRANCH_ACCEPTING,  /* its site's acceptance, which makes the decision, and COMMIT PREPARED are
                          with the database as one */
    BRANCH_COMMITTING, /* COMMIT PREPARED is with the database, or waits to be tried again */
    BRANCH_ABORTING,   /* ROLLBACK PREPARED likewise */
    BRANCH_PROVING,    /* the gid is gone; what became of its xid is being asked */
    BRANCH_UNSURE,     /* voted no, but it may be prepared: the next scan tells */
    BRANCH_LOOKING,    /* one phase: the barrier row is looked up */
    BRANCH_ENDED,      /* to be forgotten */
};

enum branch_decision { BRANCH_UNDECIDED, BRANCH_COMMIT, BRANCH_ABORT };

/* Fields are read by the agent, and written by the machine alone. Zeros are BRANCH_NEW. */
struct branch {
    enum branch_state state;
    enum branch_decision decision; /* ABORT is also this participant's own, before its yes */
    enum db_mode mode;
    bool one_phase; /* the coordinator waits for a vote whatever it sends meanwhile */
    bool open;      /* worked at step by step: its first work left the transaction open */
    bool owes_vote; /* and the session of its PREPARE lives */
    bool owes_word; /* likewise, of what its Work came to */
    bool told;      /* the decision is the coordinator's: it hears when it is carried out */
    bool asked;     /* LOOKUP waits for its FOUND */
    bool orphan;    /* found by a scan: no vote of this process */
    bool held;      /* the coordinator will not judge it: an operator must */
    bool forced;    /* an operator's row says how it ends: `decision` is that */
    bool opposed;   /* forced, and the coordinator's decision is the other one */
    bool retrying;  /* a timer is set to try again */
    bool empty;     /* prepared here without an xid: it wrote nothing */
    uint64_t xid;   /* 0: not known */
};

enum branch_event_kind {
    BRANCH_RECEIVED,    /* PREPARE or Work: mode, one_phase. Of an open one: more, or its PREPARE */
    BRANCH_HANDED_OVER, /* PREPARE: to be adopted */
    BRANCH_REFUSED,     /* more Work, or its PREPARE, can't be taken; that was answered */
    BRANCH_FOUND,       /* a scan found it and nothing here knows it: xid */
    BRANCH_STARTED,     /* a connection is free */
    BRANCH_WORKED,      /* outcome, met, fenced, xid */
    BRANCH_ADOPTED,     /* adopted, xid */
    BRANCH_TOLD,        /* FINISH: commit, xid */
    BRANCH_JUDGED,      /* verdict, xid */
    BRANCH_DECIDED,     /* by a majority of the sites' registers: commit. Nobody waits to hear */
    BRANCH_ACCEPTS,     /* the site gives its acceptance and the commit to the database */
    BRANCH_ACCEPTED,    /* accepted: what came of it */
    BRANCH_FORCED,      /* an operator's row is durable: commit, xid */
    BRANCH_LOOKED_FOR,  /* LOOKUP */
    BRANCH_SESSION_LOST,  /* of its PREPARE, or of its LOOKUP */
    BRANCH_DEADLINE,      /* of the transaction */
    BRANCH_DATABASE_DOWN, /* no connection works */
    BRANCH_FINISHED,      /* finish */
    BRANCH_STATUS,        /* status */
    BRANCH_LOOKED_UP,     /* found */
    BRANCH_SCANNED,       /* a scan that began after the branch got into its state: present */
    BRANCH_RETRY_DUE,
};

struct branch_event {
    enum branch_event_kind kind;
    enum db_mode mode;
    bool one_phase;
    enum db_outcome outcome;
    enum db_adopted adopted;
    bool met;    /* every expectation held */
    bool fenced; /* another site has begun to finish the transaction: no yes may be given */
    bool commit, present;
    Wire__Verdict verdict;
    enum db_accepted accepted;
    enum db_finish finish;
    enum db_status status;
    enum db_found found;
    uint64_t xid;
};

enum branch_action_kind {
    BRANCH_DO_ENQUEUE,
    BRANCH_DO_DEQUEUE,
    BRANCH_DO_WORK,
    BRANCH_DO_CANCEL,
    BRANCH_DO_ROLLBACK, /* of what is open */
    BRANCH_DO_ADOPT,
    BRANCH_DO_VOTE,    /* choice, cause */
    BRANCH_DO_WORD,    /* what a Work came to: cause (NONE: done) */
    BRANCH_DO_FINISH,  /* commit */
    BRANCH_DO_STATUS,  /* of xid */
    BRANCH_DO_LOOK_UP, /* of the gtrid */
    BRANCH_DO_TELL,    /* FINISHED: commit, hazard (NULL: proved), against */
    BRANCH_DO_REPORT,  /* what was forced has ended: commit, hazard, otherwise */
    BRANCH_DO_ANSWER,  /* FOUND: commit */
    BRANCH_DO_ASK,     /* INQUIRE about this branch alone */
    BRANCH_DO_RETRY,   /* set a timer, later each time */
    BRANCH_DO_SCAN,    /* soon */
    BRANCH_DO_WARN,    /* hazard: of a decision that contradicts what is carried out here */
};

/* Why a vote is not what was asked for. */
enum branch_cause {
    BRANCH_CAUSE_NONE,
    BRANCH_CAUSE_WORK,          /* what the database said */
    BRANCH_CAUSE_DEADLINE,      /* the time was up */
    BRANCH_CAUSE_DATABASE_DOWN, /* there is no database */
    BRANCH_CAUSE_TOLD,          /* the coordinator said abort */
    BRANCH_CAUSE_LOST,          /* the connection was lost in PREPARE TRANSACTION or COMMIT */
    BRANCH_CAUSE_FENCED,        /* another site finishes the transaction without the coordinator */
    BRANCH_CAUSE_NOT_PREPARED,  /* what is to be adopted is not there */
    BRANCH_CAUSE_FOREIGN,       /* it is, but its owner's alone to finish */
    BRANCH_CAUSE_NOT_ADOPTED,   /* the database could not be asked */
};

struct branch_action {
    enum branch_action_kind kind;
    Wire__Choice choice;
    enum branch_cause cause;
    bool commit;
    const char *hazard; /* a constant text */
    bool against;       /* the hazard is that an operator forced the other outcome */
    bool otherwise;     /* the database says that it ended the other way */
};

enum { BRANCH_ACTIONS = 4 };

struct branch_actions {
    struct branch_action list[BRANCH_ACTIONS];
    int count;
};

/* actions is overwritten. An event that means nothing in a state changes nothing; one that can't
 * happen there ends the process. */
void branch_step(struct branch *branch, const struct branch_event *event,
                 struct branch_actions *actions);
/* The transaction's deadline still matters to it. */
bool branch_bounded(const struct branch *branch);
const char *branch_word(enum branch_state state);

#endif
