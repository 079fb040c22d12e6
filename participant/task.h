/* One thing that a saga wants of this participant: a pure machine. Events go in, actions come out,
 * and tasks.c carries the actions out in their order. participant/README.md draws it.
 *
 * A step and its cancel are one task, of the row <saga>/<step> of troth.barrier; the compensation
 * is another one, of the row <saga>/<step>/undo. The row is inserted with the work, as its last
 * statement, and keeps its result: so the work is done at most once, and whoever asks again is
 * answered from the row.
 *
 * What always holds:
 *  1. At most one request of a task is with the database at a time.
 *  2. Each Execute is answered once, unless its session ends or a newer one of the same task takes
 *     its place.
 *  3. SUCCEEDED is said when the work's commit or a row of the work was seen, or, of a
 *     compensation, a row that says that the step never will be done.
 *  4. FAILED of a cancel or of a `final` step is said only when a row keeps the step from being
 *     done; of other tries only when the row was looked for and was not there.
 *  5. What may have been forgotten with age is never taken for undone: no work is begun then. */
#ifndef TROTH_PARTICIPANT_TASK_H
#define TROTH_PARTICIPANT_TASK_H

#include <stdbool.h>

#include "core/ports.h"
#include "wire.pb-c.h"

enum task_state {
    TASK_NEW,
    TASK_CHECKING, /* a compensation: the step's row is looked up */
    TASK_QUEUED,   /* waits for a connection; nothing was begun */
    TASK_WORKING,  /* its work is with the database */
    TASK_LOOKING,  /* its own row is looked up */
    TASK_ENDED,    /* to be forgotten */
};

/* Fields are read by tasks.c, and written by task.c alone. Zeros are TASK_NEW. */
struct task {
    enum task_state state;
    Wire__How how;        /* of the newest Execute, as the following */
    bool final;           /* a refusal must make it impossible for ever */
    bool old;             /* its row may have been deleted for its age */
    bool step_old;        /* a compensation: the step's row likewise */
    bool owes_answer;     /* and the session of its Execute lives */
    bool refused;         /* its call can't be made into work */
    bool read_only;       /* its work leaves no row */
    bool cancelling;      /* its work was told to stop */
    bool fencing;         /* the lookup under way leaves a row where there is none */
    bool worked;          /* its work was begun and has ended; then: */
    bool passing;         /* what kept it from being done may pass by itself */
    bool lost, duplicate; /* its connection was lost in COMMIT; a row was there before */
};

enum task_event_kind {
    TASK_ASKED,         /* how, final, old, step_old; of a new one refused, read_only too */
    TASK_STARTED,       /* a connection is free */
    TASK_WORKED,        /* outcome, met, passing, duplicate */
    TASK_LOOKED_UP,     /* found */
    TASK_DEADLINE,      /* of the newest Execute */
    TASK_SESSION_LOST,  /* likewise */
    TASK_DATABASE_DOWN, /* no connection works */
};

struct task_event {
    enum task_event_kind kind;
    Wire__How how;
    bool final, old, step_old, refused, read_only;
    enum db_outcome outcome;
    bool met; /* every expectation held, and the result is not too large */
    bool passing, duplicate;
    enum db_found found;
};

enum task_action_kind {
    TASK_DO_ENQUEUE,
    TASK_DO_DEQUEUE,
    TASK_DO_WORK,
    TASK_DO_CANCEL,  /* the work that is with the database */
    TASK_DO_LOOK_UP, /* of its own row, or of_step; fence */
    TASK_DO_ANSWER,  /* execution, cause, empty, kept */
    TASK_DO_WARN,    /* a compensation of a step that never was done */
};

/* Why an answer is not SUCCEEDED. */
enum task_cause {
    TASK_CAUSE_NONE,
    TASK_CAUSE_PROBLEM, /* what was said against its call, or its work came to */
    TASK_CAUSE_CANCELLED,
    TASK_CAUSE_DEADLINE,      /* the time was up */
    TASK_CAUSE_DATABASE_DOWN, /* it could not be asked */
    TASK_CAUSE_LOST,          /* the connection was lost in COMMIT */
    TASK_CAUSE_FORGOTTEN,     /* its row may have been deleted */
};

struct task_action {
    enum task_action_kind kind;
    bool of_step, fence;
    Wire__Execution execution;
    enum task_cause cause;
    bool empty, kept;
};

enum { TASK_ACTIONS = 3 };

struct task_actions {
    struct task_action list[TASK_ACTIONS];
    int count;
};

/* actions is overwritten. An event that means nothing in a state changes nothing; one that can't
 * happen there ends the process. */
void task_step(struct task *task, const struct task_event *event, struct task_actions *actions);
/* The deadline of its Execute still matters to it. */
bool task_bounded(const struct task *task);

#endif
