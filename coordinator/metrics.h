/* What the coordinator counts of itself, and how it is read. An event costs an increment; what is
 * a state is counted when it is asked for. Counters begin at 0 with each run of the process; what
 * the journal brought back is a state, and no event of this run. */
#ifndef TROTH_COORDINATOR_METRICS_H
#define TROTH_COORDINATOR_METRICS_H

#include <stdint.h>

#include "coordinator/transaction.h"
#include "core/metrics.h"
#include "saga/engine.h"

struct server;
struct tx;
struct draft;

enum metric_protocol { METRIC_1PC, METRIC_2PC, METRIC_3PC, METRIC_PROTOCOLS };
enum metric_outcome { METRIC_COMMITTED, METRIC_ABORTED, METRIC_OUTCOMES };

/* Why a transaction was aborted or not begun. */
enum metric_reason {
    REASON_REFUSED,      /* the operation's own refusal: an expectation was not met */
    REASON_CONFLICT,     /* a deadlock, or serialization: class 40 */
    REASON_LOCK_TIMEOUT, /* 55P03 */
    REASON_CONSTRAINT,   /* class 23 */
    REASON_DATABASE,     /* any other SQL error */
    REASON_DATABASE_DOWN,
    REASON_DEADLINE,
    REASON_SESSION_LOST,
    REASON_NOT_CONNECTED,
    REASON_BUSY,
    REASON_DRAINING,
    REASON_OVERRULED, /* by the registers */
    REASON_FENCED,    /* another site had begun to finish it */
    REASON_OPERATOR,
    REASON_CLIENT, /* it was built step by step, and its client aborted it */
    REASON_BAD_REQUEST,
    REASON_UNKNOWN,
    METRIC_REASONS
};
enum metric_reason metric_reason_of(const char *code);

struct coordinator_metrics {
    uint64_t transactions[METRIC_PROTOCOLS][METRIC_OUTCOMES];
    struct histogram decided[METRIC_PROTOCOLS]; /* since it was begun */
    struct histogram applied[METRIC_PROTOCOLS]; /* since it was decided */
    uint64_t aborts[METRIC_REASONS], rejections[METRIC_REASONS];
    uint64_t hazards; /* branches */
    uint64_t sagas_started;
    uint64_t steps[SAGA_COMPENSATE + 1][SAGA_UNPROVABLE + 1]; /* tries, by enum saga_how */
    struct histogram step;
};

/* Of a transaction, in this run: monotonic; 0: it was not in this run. */
struct tx_clock {
    uint64_t begun_us, decided_us;
    bool counted; /* its outcome */
};

/* The machine of the transaction has moved. */
void metrics_moved(struct server *server, struct tx *tx);
/* A participant has voted: before the step. */
void metrics_voted(struct server *server, const struct tx *tx, int branch);
/* It has carried out the outcome: after the step. What the branch was before it, and the monotonic
 * time of the decision: 0 when that was not in this run, or came with it. */
void metrics_finished(struct server *server, const struct tx *tx, int branch,
                      enum branch_state before, uint64_t decided_us);

/* Query METRICS. What does not fit a message is counted as `more`; per participant comes last. */
void metrics_view(struct draft *draft);

#endif
