/* Protocol bugs, planted on purpose, that prove the simulator can see. Only the simulator's build
 * defines TROTH_PLANTED; in every other build PLANTED(x) is a constant 0 and leaves no code.
 *
 * Use: `if (votes == needed || PLANTED(COMMIT_ON_MISSING_VOTE))`. Each has a line below that says
 * which rule it breaks; tests/sim shows for each that some seed reports a violation. */
#ifndef TROTH_CORE_PLANTED_H
#define TROTH_CORE_PLANTED_H

/* clang-format off */
#define PLANTED_BUGS(BUG) \
    /* coordinator */ \
    BUG(COMMIT_BEFORE_DURABLE)      /* COMMIT is sent when the record is appended, not durable */ \
    BUG(ANSWER_BEFORE_DURABLE)      /* the client hears committed before the record is durable */ \
    BUG(COMMIT_ON_MISSING_VOTE)     /* one vote short is enough */ \
    BUG(IGNORE_NO_VOTE)             /* a no is taken for read-only */ \
    BUG(ABORT_WHILE_DECIDING)       /* the deadline aborts although the record was appended */ \
    BUG(END_AT_FIRST_ACK)           /* ended when the first participant has applied */ \
    BUG(PRESUME_COMMIT)             /* an unknown gid is judged commit */ \
    BUG(REUSE_EPOCH)                /* a restart goes on in the old epoch from seq 1 */ \
    BUG(KEEP_VOTE_OF_LOST_SESSION)  /* PREPARE is sent again to a new session */ \
    BUG(FORGET_KEYS)                /* idempotency keys are not recovered */ \
    BUG(APPLIED_WHEN_DECIDED)       /* the client hears applied before the acks */ \
    BUG(NO_RECOVERY)                /* committed and not ended is not sent again */ \
    BUG(CHECKPOINT_DROPS_LIVE)      /* a checkpoint leaves out what is not ended */ \
    BUG(CHECKPOINT_DROPS_EPOCHS)    /* a checkpoint leaves out the epochs of earlier runs */ \
    BUG(FORGET_RETAINED)            /* ended commits are not retained, yet not below low-water */ \
    /* participant */ \
    BUG(YES_WHEN_EXPECTATION_FAILED) /* prepared, but an expectation failed: still yes */ \
    BUG(MISSING_IS_SUCCESS)         /* 42704 at COMMIT PREPARED is taken for applied */ \
    BUG(ABORT_IN_DOUBT)             /* an in-doubt branch is rolled back when the session is lost */ \
    BUG(NO_AND_STAY_PREPARED)       /* a lost prepare votes no and is never looked for again */ \
    BUG(ACK_BEFORE_FINISH)          /* Finished goes out before the database answered */ \
    BUG(NO_SCAN)                    /* prepared orphans are never inquired about */ \
    BUG(GUESS_ONE_PHASE)            /* a connection lost in COMMIT is reported as no */ \
    BUG(PREPARE_AFTER_ABORT)        /* an abort that overtakes queued work is forgotten */ \
    /* the register */ \
    BUG(ACCEPT_BELOW_PROMISE)       /* a promise does not fence what comes below it */ \
    BUG(MINORITY_DECIDES)           /* one site less than needed is enough */ \
    BUG(IGNORE_ACCEPTED)            /* a terminator aborts whatever others have accepted */ \
    BUG(TAKE_LOWEST_ACCEPTED)       /* of two accepted values the one at the lower ballot */ \
    BUG(COUNT_STALE_GRANT)          /* a grant of an earlier ballot or phase counts in this one */ \
    BUG(ASK_BEFORE_OWN)             /* others are asked before this site's own register */ \
    BUG(ANSWER_BEFORE_STORED)       /* a site answers before its register is durable */ \
    BUG(PRESUME_ABORT_OF_PROPOSED)  /* a restarted coordinator forgets what it proposed */ \
    BUG(ABORT_AFTER_PROPOSAL)       /* the deadline aborts although commit was proposed */ \
    BUG(DECIDE_ON_OWN_ACCEPTANCE)   /* three-phase commits when only the coordinator accepted */ \
    BUG(GUESS_IN_MINORITY)          /* a participant alone for long rolls back */ \
    BUG(CLEAN_REGISTER_EARLY)       /* a row goes while another site may still ask */ \
    BUG(CLEANED_AS_FRESH)           /* where the row may have gone the register is taken for fresh */ \
    BUG(ACCEPT_OVER_PROMISE)        /* the first acceptance is stored over a row that is there */ \
    BUG(FIRST_OTHER_ALWAYS_DECIDES) /* it commits with its acceptance where that is not enough */ \
    BUG(ACCEPTED_UNFLUSHED)         /* what was inserted without a flush of its own is spoken of */ \
    BUG(UNKNOWN_IS_ACCEPTED)        /* an acceptance that may be lost is carried out all the same */ \
    BUG(LIST_NOT_KEPT)              /* who takes part is known in memory alone */ \
    BUG(LIST_OF_ANOTHER)            /* a scan tells another transaction's list */ \
    /* sagas */ \
    BUG(SAGA_SEND_BEFORE_BEGUN)     /* first tries leave before the beginning is durable */ \
    BUG(SAGA_TELL_BEFORE_ENDED)     /* the client hears the end before it is durable */ \
    BUG(SAGA_FORGET_KEYS)           /* keys of sagas are not recovered */ \
    BUG(SAGA_CHECKPOINT_DROPS)      /* a checkpoint leaves out sagas that have not ended */ \
    BUG(SAGA_NO_RESUME)             /* what was replayed is not gone on with */ \
    BUG(SAGA_CHILD_FORGOTTEN_EARLY) /* what a step's saga has completed is never undone */ \
    /* sessions */ \
    BUG(NO_DEDUPLICATION)           /* a frame sent again is delivered again */ \
    BUG(DELIVER_GAPS)               /* a lost frame is skipped */

/* Of sagas: only a run with sagas can see them. */
#define PLANTED_SAGA_BUGS(BUG) \
    /* coordinator */ \
    BUG(SAGA_UNSURE_IS_NOT_DONE)    /* a try that was sent and not answered counts as not done */ \
    BUG(SAGA_GROUP_WITHOUT_KEY)     /* a step that is committed is submitted once more */ \
    /* engine */ \
    BUG(SAGA_UNDO_IN_ORDER)         /* what was done first is undone first */ \
    BUG(SAGA_SKIP_UNDO)             /* the first step of each block is not undone */ \
    BUG(SAGA_UNDO_AFTER_PIVOT)      /* what fails, or an order, undoes what the pivot decided */ \
    BUG(SAGA_ACT_BEFORE_FAILED_DURABLE) /* FAILED is not awaited */ \
    BUG(SAGA_GUESS_UNSURE)          /* a step of which nothing is known is taken for not done */ \
    BUG(SAGA_GIVE_UP_UNDO)          /* the second failure of a compensation is taken for done */ \
    BUG(SAGA_FIRST_BRANCH_IS_ALL)   /* a parallel is done when one of its branches is */ \
    BUG(SAGA_DONE_NOT_AWAITED)      /* a step is asked for before it is durable that the last is done */ \
    BUG(SAGA_SIGNAL_NOT_AWAITED)    /* a signal, and a wait, are acted upon before they are durable */ \
    /* participant */ \
    BUG(BARRIER_IGNORED)            /* a duplicate runs the work again */ \
    BUG(SAGA_LATE_STEP_RUNS)        /* a cancel leaves no row: a late step is done all the same */ \
    BUG(SAGA_REFUSAL_NOT_FENCED)    /* a step that was refused for good can be done later */

/* Of operators: only a run with operators can see them. */
#define PLANTED_OPERATOR_BUGS(BUG) \
    /* coordinator */ \
    BUG(HEURISTIC_BEFORE_DURABLE)   /* participants are told before the record is durable */ \
    BUG(HEURISTIC_DECIDES)          /* what is forced is taken for the decision */ \
    BUG(HEURISTIC_NOT_COMPARED)     /* what was forced is not compared with a decision that comes later */ \
    BUG(HEURISTIC_CHANGES_ITS_MIND) /* an order with the other value is accepted */ \
    BUG(RESOLVE_IGNORES_EVIDENCE)   /* what the databases prove is not looked at */ \
    BUG(RESOLVE_DRY_RUN_ACTS)       /* a dry run is carried out */ \
    BUG(FORGET_WHILE_OWED)          /* what is to be ended still is forgotten */ \
    /* participant */ \
    BUG(HEURISTIC_ENDS_EARLY)       /* the branch is ended before its row is durable */ \
    BUG(HEURISTIC_THOUGH_JUDGED)    /* another's order is carried out though its coordinator is there */ \
    BUG(HEURISTIC_NOT_TOLD)         /* a session begins without a word of what was forced */

/* Of transactions step by step: only a run that has many can see them. */
#define PLANTED_OPEN_BUGS(BUG) \
    /* coordinator */ \
    BUG(OPEN_HAND_OVER_IS_VOTE)     /* who hands over is believed: its agent need not vote */ \
    BUG(OPEN_NOT_HANDED_OVER_IS_DONE) /* it commits without what was joined and not handed over */ \
    BUG(OPEN_COMMITTED_BY_ANYBODY)  /* another session than its beginner's may commit it */ \
    BUG(OPEN_END_LEAVES_OUT)        /* its last branch is left out when it ends */ \
    BUG(OPEN_KEY_NOT_TAKEN)         /* its key is not kept with its commit */ \
    BUG(OPEN_END_AGAIN_IS_ABORTED)  /* End, asked again, hears aborted as it is not open any more */ \
    BUG(OPEN_HANDED_OVER_IS_OVER)   /* a HandOver that is repeated after the End is told to roll back */ \
    BUG(OPEN_HAS_NO_DEADLINE)       /* its deadline is not looked at */ \
    /* participant */ \
    BUG(OPEN_ADOPT_UNSEEN)          /* what is not in pg_prepared_xacts is adopted */ \
    BUG(OPEN_GONE_IS_EMPTY)         /* work that was lost with its connection is taken for none */
/* clang-format on */

enum planted_bug {
    PLANTED_NONE,
#define BUG(name) PLANTED_##name,
    PLANTED_BUGS(BUG) PLANTED_SAGA_BUGS(BUG) PLANTED_OPERATOR_BUGS(BUG) PLANTED_OPEN_BUGS(BUG)
#undef BUG
        PLANTED_COUNT,
#define BUG(name) +1
    PLANTED_FIRST_OF_SAGAS = 1 PLANTED_BUGS(BUG),
    PLANTED_FIRST_OF_OPERATORS = PLANTED_FIRST_OF_SAGAS PLANTED_SAGA_BUGS(BUG),
    PLANTED_FIRST_OF_OPEN = PLANTED_FIRST_OF_OPERATORS PLANTED_OPERATOR_BUGS(BUG)
#undef BUG
};

#ifdef TROTH_PLANTED
extern enum planted_bug planted_bug; /* the one that is planted now */
#define PLANTED(name) (planted_bug == PLANTED_##name)
#else
#define PLANTED(name) 0
#endif

#endif
