/* What a participant counts of itself, and how it is read. An event costs an increment; what is a
 * state is counted when it is asked for. */
#ifndef TROTH_PARTICIPANT_METRICS_H
#define TROTH_PARTICIPANT_METRICS_H

#include "core/metrics.h"
#include "core/ports.h"

struct agent;
struct entry;
struct work;

enum metric_work {
    METRIC_PREPARE,
    METRIC_ONE_PHASE,
    METRIC_READ_ONLY,
    METRIC_STEP,
    METRIC_CALL,
    METRIC_ROLLBACK,
    METRIC_WORKS
};

/* SQLSTATE's classes that are told apart, and what is none. */
enum { METRIC_CLASSES = 18 };

struct agent_metrics {
    struct histogram work[METRIC_WORKS];
    uint64_t worked[METRIC_WORKS][DB_LOST + 1]; /* by enum db_outcome */
    uint64_t adopted[DB_ADOPT_ERROR + 1];       /* by enum db_adopted */
    uint64_t failures[METRIC_CLASSES];
    struct histogram finish[2];              /* rollback, commit */
    uint64_t finished[2][DB_UNFINISHED + 1]; /* by enum db_finish */
    uint64_t hazards;
};

/* What the database made of work; step: of a saga. */
void measure_work(struct agent *agent, const struct work *work, bool step,
                  const struct db_worked *worked);
void measure_finish(struct agent *agent, const struct entry *entry, bool commit,
                    enum db_finish result);

#endif
