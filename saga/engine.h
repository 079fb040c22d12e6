/* The machine of one saga. Pure: an event goes in, ordered actions come out; the runner carries
 * them out in that order. All that it must remember are its records: the same records, put in again
 * after a restart, bring it to where it was.
 *
 * What is recorded, and what need not be. Every try of a step goes under one name, (saga, step,
 * items), and a participant does it at most once under that name and keeps its result
 * (troth.barrier). So neither an intent nor the number of tries is recorded: after a restart what
 * is under way is asked for again, and is answered with what it came to the first time. What a step
 * sees, and so what it is called with, follows from the records before it.
 *
 * What is asked for because of a record waits until that is durable (saga_record.awaited): so what
 * may have been done is never more than what the records say is under way. A saga that had lost the
 * end of its records, and then failed by its timeout before it came there again, would leave as it
 * is what it has forgotten.
 *
 *   awaited   FAILED, SIGNALLED, RETRIED, COMPLETED, COMPENSATED;
 *             STEP_DONE, STEP_FENCED and STEP_UNDONE when something is asked for after them in the
 *             same event;
 *             STEP_DONE of a wait (time and signals pass only once), of a sub-saga, of a
 *             transaction (its key is forgotten then), and of a call whose result is not kept (a
 *             read-only operation, which another time may say something else);
 *   lazy      the others: as of the first branch of a parallel that is done.
 *
 * Invariants, checked at each step:
 * E1  a step is tried only when all before it in its sequence are done or skipped, durably where
 *     that is awaited;
 * E2  FAILED is durable before anything is cancelled or undone, and after it no step is begun;
 * E3  FAILED is never recorded while the pivot may still be done, or when it is done;
 * E4  nothing is undone unless it is known to be done: what may have been done is cancelled first,
 *     which makes it done or never done;
 * E5  a step is undone before all that were done before it (branches of a parallel at once);
 * E6  it ends only as completed (all steps done or skipped) or compensated (every step that was
 *     done is undone, or needs not be); else it goes on trying, and calls an operator.
 *
 * Tries. A step of kind compensatable or pivot has retry.attempts; when they are used up and one of
 * them may have been done, it is cancelled, else it has failed. A retriable one, any step after the
 * pivot, a cancel and a compensation are tried for ever; after plan->alert_after tries in a row, or
 * when it can't be tried at all (an expression fails, UNPROVABLE), the saga needs an operator until
 * the step succeeds or an operator lets it try again. The others of its steps go on meanwhile.
 *
 * In memory a saga that waits takes less than 1 KiB with its texts; what only runs (tries, timers,
 * problems) is allocated while it runs. */
#ifndef TROTH_SAGA_ENGINE_H
#define TROTH_SAGA_ENGINE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/id.h"
#include "core/limits.h"
#include "saga/definition.h"

struct saga;

/* One run of a step: the step, and for each FOR_EACH around it the index of the item, outermost
 * first. */
struct saga_instance {
    int step;
    int depth; /* items that count */
    uint32_t items[LIMIT_SAGA_DEPTH];
};

typedef char saga_label[LIMIT_SAGA_LABEL_BYTES + 1];
/* "charge", "goods[3]"; of a step without a name its type and index: "parallel#4". Returns out. */
const char *saga_label_format(saga_label out, const struct saga_plan *plan,
                              const struct saga_instance *instance);

/* Two clocks: one that only counts, for tries and pauses, and the wall's, for what outlives this
 * process. */
struct saga_time {
    uint64_t now_us;
    int64_t wall_us;
};

/* Texts live for the call only, and may be NULL. */
struct saga_problem {
    const char *participant, *operation, *code, *message, *detail, *hint;
};

/* ---- records ------------------------------------------------------------------------------- */

/* With the numbers of journal.proto's SagaEventType. */
enum saga_record_type {
    SAGA_RECORD_STEP_DONE = 1, /* value: its output; result where saga_step_keeps_result */
    SAGA_RECORD_STEP_FENCED,   /* after FAILED: it was not done, and never will be */
    SAGA_RECORD_STEP_UNDONE,   /* its compensation is done, or there was nothing to undo */
    SAGA_RECORD_SIGNALLED,     /* name, value */
    SAGA_RECORD_FAILED,    /* from here on backward. instance.step: why, or SAGA_NONE; problem */
    SAGA_RECORD_RETRIED,   /* an operator has looked. instance.step: this one was UNPROVABLE and is
                              tried as if for the first time, at at_us; or SAGA_NONE */
    SAGA_RECORD_COMPLETED, /* value: the saga's output */
    SAGA_RECORD_COMPENSATED,
};

struct saga_record {
    enum saga_record_type type;
    bool awaited; /* what comes after it must not leave before it is durable */
    struct saga_instance instance;
    int64_t at_us;      /* wall clock */
    const char *value;  /* JSON; NULL: null. Of a record in an action: owned by the action */
    const char *result; /* JSON or NULL */
    const char *name;   /* of the signal */
    bool by_signal;     /* STEP_DONE of a wait: it has used up a signal */
    struct saga_problem problem;
};

/* ---- events -------------------------------------------------------------------------------- */

enum saga_event_type {
    /* A record of an earlier run, or of a checkpoint. No actions. */
    SAGA_EVENT_REPLAYED,
    /* Its beginning is durable, or all its records are replayed: whatever is to be done is begun,
     * or asked for again. */
    SAGA_EVENT_RESUMED,
    SAGA_EVENT_ANSWERED,  /* a try's outcome */
    SAGA_EVENT_SIGNALLED, /* name, value */
    SAGA_EVENT_WOKEN,     /* saga_wake_us has come. Harmless when it has not */
    SAGA_EVENT_RETRY,     /* an operator: what waits for a pause, or for him, is tried now */
    /* Undo it, by an operator or by the saga of which it is a step (then also when it has
     * completed). Refused from the pivot on. With a problem: why. */
    SAGA_EVENT_COMPENSATE,
};

enum saga_how {
    SAGA_DO = 1,     /* the step */
    SAGA_CANCEL,     /* has it been done? If not, it never will be */
    SAGA_COMPENSATE, /* undo it */
};

enum saga_outcome {
    SAGA_SUCCEEDED = 1, /* done; CANCEL: it had been done. With the result */
    SAGA_REFUSED,       /* not done, and would be refused again. Of a DO that is `final`, and of a
                           CANCEL: it never will be done */
    SAGA_NOT_DONE,      /* certainly nothing remains of this try; another may fare better */
    SAGA_UNSURE,        /* not known */
    SAGA_UNPROVABLE,    /* what was done may have been forgotten: an operator's */
};

struct saga_event {
    enum saga_event_type type;
    struct saga_time time;
    const struct saga_record *record; /* REPLAYED */
    struct saga_instance instance;    /* ANSWERED: as in the action, with how and try */
    enum saga_how how;
    unsigned try;
    enum saga_outcome outcome;
    const char *result; /* ANSWERED, SUCCEEDED: JSON; NULL: null */
    bool kept;          /* ANSWERED: another try would be answered with the same result */
    bool began;         /* RESUMED: it has just begun, in this run: nothing of it was ever sent */
    const char *name;   /* SIGNALLED */
    const char *value;  /* SIGNALLED: JSON; NULL: null */
    struct saga_problem problem;
};

/* ---- actions ------------------------------------------------------------------------------- */

enum saga_action_type {
    SAGA_ACT_RECORD, /* to the journal */
    /* One try, which is answered once, within its time: with NOT_DONE when it was certainly never
     * sent. At most one try of an instance is under way. What it does depends on the type of the
     * step:
     *   CALL         DO, CANCEL, COMPENSATE: arguments[0] for calls[first_call] or, to undo, for
     *                calls[compensation]; CANCEL has none
     *   TRANSACTION  DO: argument_count arguments, for the calls from first_call on; its result is
     *                the list of theirs. CANCEL as well: what was decided, or, when it is not
     *                committed, nothing. COMPENSATE: as of a CALL
     *   SAGA         DO: arguments[0] is the input. Done when the other saga is completed, and
     *                REFUSED when that is compensated. CANCEL: the other is told to compensate;
     *                SUCCEEDED when it completed all the same, REFUSED when it is compensated or
     *                never began. COMPENSATE: it is told to compensate what it has completed */
    SAGA_ACT_TRY,
    /* The completion of a TRANSACTION is durable: what was kept to answer another try may go. */
    SAGA_ACT_FORGET,
    /* Completed or compensated, and recorded so: whoever waits is told. When it is a step of
     * another saga it may still have to compensate; else it is over, with all sagas that are its
     * steps. */
    SAGA_ACT_END,
};

struct saga_action {
    enum saga_action_type type;
    struct saga_record record; /* RECORD */
    struct saga_instance instance;
    enum saga_how how;
    unsigned try;
    char **arguments; /* JSON objects */
    int argument_count;
    uint64_t timeout_us;   /* of this try; of a SAGA perhaps 0: none */
    int64_t since_us;      /* wall clock: no try of (instance, how) that counts was made before */
    int64_t step_since_us; /* COMPENSATE: no try at all of the step was made before */
    bool final;            /* DO of a CALL: a refusal must make it impossible for ever */
};

/* A growing list, which the caller empties and uses again. Zeros are an empty one. It owns the
 * texts in its actions. */
struct saga_actions {
    struct saga_action *list;
    int count, room;
};
void saga_actions_clear(struct saga_actions *actions);
void saga_actions_fini(struct saga_actions *actions);

/* ---- the machine --------------------------------------------------------------------------- */

struct saga_begin {
    const struct saga_plan *plan; /* must outlive the saga */
    const char *id;               /* as text; copied */
    const char *input;            /* JSON after saga_input_complete; copied */
    int64_t begun_us;             /* wall clock */
};

/* Nothing happens before RESUMED. new/free: the heap. */
struct saga *saga_new(const struct saga_begin *begin);
void saga_free(struct saga *saga);

/* Appends to actions. False: refused, with an error (an order that comes too late, a signal that no
 * step waits for, a record that makes no sense here); nothing has changed then. An answer that fits
 * nothing under way is ignored. */
bool saga_advance(struct saga *saga, const struct saga_event *event, struct saga_actions *actions,
                  struct error *error);
/* When WOKEN is due on the counting clock; UINT64_MAX: it waits for events only. */
uint64_t saga_wake_us(const struct saga *saga, const struct saga_time *time);

/* The records that bring a new saga to where this one is, in an order that replays; texts live for
 * the call only. For a checkpoint. */
typedef void saga_emit(void *self, const struct saga_record *record);
void saga_records(const struct saga *saga, saga_emit *emit, void *self);

/* ---- looking at it ------------------------------------------------------------------------- */

enum saga_state { SAGA_RUNNING = 1, SAGA_COMPENSATING, SAGA_COMPLETED, SAGA_COMPENSATED };
extern const char *const saga_state_words[]; /* by state; [0] is "" */

const struct saga_plan *saga_plan_of(const struct saga *saga);
enum saga_state saga_state(const struct saga *saga);
bool saga_needs_operator(const struct saga *saga);
bool saga_is_past_pivot(const struct saga *saga);
const char *saga_input(const struct saga *saga);
const char *saga_output(const struct saga *saga); /* COMPLETED: JSON; else NULL */
int64_t saga_begun_us(const struct saga *saga);
int64_t saga_ended_us(const struct saga *saga);    /* 0: not yet */
int64_t saga_deadline_us(const struct saga *saga); /* wall clock; 0: none, or past it */
/* Why it failed, or what an operator is needed for, as long as that is so; NULL: nothing. Lives
 * until the next event. */
const struct saga_problem *saga_problem(const struct saga *saga);
/* A sentence for a person: what it waits for now. Returns out. */
const char *saga_next(const struct saga *saga, const struct saga_time *time, char *out,
                      size_t room);
/* Bytes of memory that it takes. */
size_t saga_bytes(const struct saga *saga);

enum saga_view_state {
    SAGA_VIEW_WAITING,
    SAGA_VIEW_RUNNING,  /* a try is under way; of a block: something in it is */
    SAGA_VIEW_RETRYING, /* a pause before the next one */
    SAGA_VIEW_DONE,
    SAGA_VIEW_SKIPPED,
    SAGA_VIEW_FAILED,
    SAGA_VIEW_CANCELLING,
    SAGA_VIEW_UNDOING,
    SAGA_VIEW_UNDONE,
    SAGA_VIEW_CANCELLED, /* it was not done, and never will be, because another one failed */
};
extern const char *const saga_view_words[];

struct saga_view {
    struct saga_instance instance;
    enum saga_view_state state;
    unsigned tries;
    int64_t begun_us, ended_us; /* wall clock; 0: not yet, or not known any more */
    int64_t next_us;            /* wall clock: of the next try, or of the end of a wait; 0: none */
    const struct saga_problem *problem; /* of the last try, or NULL */
    const char *output;                 /* JSON or NULL */
    bool needs_operator;
};
/* Every instance that there is or that is still to come, in the order of the definition, blocks
 * before what is in them, the items of a for_each in their order. false from visit ends it. */
typedef bool saga_visit(void *self, const struct saga_view *view);
void saga_visit_all(const struct saga *saga, const struct saga_time *time, saga_visit *visit,
                    void *self);

#endif
