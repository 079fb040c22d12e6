/* The runner's side of a transaction: the machine, and all that its actions need. One piece of
 * memory, made when it is submitted or replayed, and kept in the history when it is over. */
#ifndef TROTH_COORDINATOR_TX_H
#define TROTH_COORDINATOR_TX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "coordinator/metrics.h"
#include "coordinator/participants.h"
#include "coordinator/transaction.h"
#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"
#include "wire.pb-c.h"

struct key;
struct guest;
struct task;

/* Where a branch waits at its participant. */
enum place {
    PLACE_NONE,
    PLACE_UNVOTED,
    PLACE_ABORTING,
    PLACE_OWED, /* of the participant's finishes */
    PLACE_OUTSTANDING,
    PLACE_ASK_OWED, /* of its asks */
    PLACE_ASK_OUTSTANDING,
};

/* What it counts as at its participant. */
enum burden { BURDEN_NONE, BURDEN_WORKING, BURDEN_UNAPPLIED };

struct tx_branch {
    struct tx *tx;
    struct participant *participant;
    struct list waits; /* in the participant's list that `place` names */
    uint64_t xid;
    /* When it voted, and when it acknowledged the outcome: ms after the transaction began, and one
     * more. 0: not yet, or not known any more. */
    uint32_t voted_ms, ended_ms;
    uint8_t number; /* in the gid */
    uint8_t place, burden;
    bool joined;              /* a client has worked there: it prepared, or wrote nothing */
    uint64_t claimed_xid;     /* as it says; 0: it wrote nothing. xid is what the vote says */
    uint8_t *planted_prepare; /* only the simulator's planted bugs send a PREPARE twice */
    size_t planted_prepare_size;
};

struct tx_call {
    char *operation;
    char *result; /* JSON, owned; NULL: none */
    uint8_t branch;
};

/* Why it did not commit, or what can't be proved. */
struct problem {
    struct participant *participant; /* NULL: none in particular */
    char *operation, *code, *message, *detail, *hint;
};

/* Somebody who waits for the answer. */
struct waiter {
    struct tx *tx;
    struct list in_tx;
    struct list in_guest;
    struct guest *guest; /* a client; or NULL */
    struct task *task;   /* a try of a saga's step; or NULL */
    uint64_t request;
    uint64_t due_us; /* what is committed and not applied by then is answered so */
    bool decided_is_enough, repeated_key;
};

/* A site of a three-phase transaction, as far as this one has heard of it. */
struct tx_site {
    struct register_state state; /* as it last said */
    struct ballot ballot;        /* of its ask that waits for an answer */
    uint8_t question;            /* likewise */
    uint8_t reply;               /* the answer, once it is durable; 0: nothing waits */
    bool heard;                  /* state */
    bool asked;                  /* by this run: it may have a row */
};

/* What only a three-phase transaction has: lies in the same memory as its tx. */
struct tx_sites {
    struct tx *tx;
    struct timer timer;      /* a new round, or asking the others, or again */
    uint64_t prove_again_us; /* proofs.c */
    struct tx_site of[];     /* of each site; [0] is this coordinator */
};

struct tx {
    struct transaction machine;
    struct txid id;
    struct map_node node; /* live: server.live, over: history */
    struct list all;      /* live: in the order of their beginning; over: of their end */
    struct list durable;  /* waits for `position` */
    uint64_t position;
    struct timer timer;
    uint64_t timeout_us;
    struct list waiters;
    int waiter_count;
    struct waiter first; /* the usual one needs no memory of its own */
    struct key *key;     /* while it is live */
    char *key_text;      /* or NULL */
    struct problem *problem;
    int64_t begun_us, decided_us, ended_us; /* wall clock */
    uint64_t proposed_since_us;             /* monotonic, in this run */
    struct tx_clock clock;
    bool results_dropped;
    bool stepwise;    /* it was open (open.h): its results were told, and none is kept */
    bool hazard_only; /* listed again for a hazard after its end: no COMMIT record stands for it */
    bool counted_undecided, counted_lost, counted_proposed, counted_unapplied, counted_hazard;
    int call_count;
    struct tx_call *calls;
    struct tx_branch *branches;
    struct tx_sites *sites; /* NULL: not a three-phase one */
};

/* Room for so many, everything zero or empty; text_bytes: for tx_text. */
struct tx *tx_new(struct txid id, int branch_count, int call_count, bool three_phase,
                  size_t text_bytes);
void tx_free(struct tx *tx);
/* Copies a text into the transaction's own memory, within the text_bytes asked for. */
char *tx_text(struct tx *tx, const char *text);
/* Where the branch stands in its transaction. */
static inline int tx_branch_at(const struct tx_branch *branch)
{
    return (int)(branch - branch->tx->branches);
}
/* The position of the branch with this number in its gid, or -1. */
int tx_branch_index(const struct tx *tx, uint32_t number);
/* The first problem stays. */
void tx_problem(struct tx *tx, struct participant *participant, const Wire__Problem *problem);
/* What can't be proved takes the place of whatever was the problem before. */
void tx_hazard(struct tx *tx, struct participant *participant, const char *reason);
void tx_drop_results(struct tx *tx);
/* For voted_ms and ended_ms. */
uint32_t tx_age_ms(const struct tx *tx, int64_t wall_us);
/* One word for a person: voting, committed, applied, aborted, unknown, hazard, forgotten ... */
const char *tx_state_word(const struct tx *tx);

#endif
