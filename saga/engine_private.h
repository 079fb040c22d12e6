/* The parts of the saga engine. See engine.h for what it promises, README.md for how it goes.
 *
 * The tree has a node for each instance that was begun, and they stay. What is under way has a task
 * besides, from the moment on at which it is enabled: a node has one exactly as long as it is OPEN
 * and a step that is tried, UNDOING, or BROKEN and nobody else's business yet. Replaying builds the
 * same nodes and tasks, and tries nothing. */
#ifndef TROTH_SAGA_ENGINE_PRIVATE_H
#define TROTH_SAGA_ENGINE_PRIVATE_H

#include "core/json.h"
#include "core/list.h"
#include "saga/engine.h"
#include "saga/expression.h"

enum node_state {
    NODE_OPEN = 1, /* enabled: a block goes on, a step is tried, a wait waits */
    NODE_DONE,
    NODE_SKIPPED,
    NODE_BROKEN,  /* an expression failed before it could begin */
    NODE_FENCED,  /* after FAILED: not done, and never will be; of a wait: given up */
    NODE_UNDOING, /* it was done, and its compensation is tried */
    NODE_UNDONE,  /* of a block: all in it is */
};

struct task;
struct children;

struct node {
    struct node *parent;
    uint16_t step;
    uint8_t state;
    bool late;        /* it turned out to be done after FAILED */
    uint32_t index;   /* among its parent's children; in a FOR_EACH the item */
    int64_t since_us; /* when it was enabled. UNDONE: when it was undone */
    int64_t ended_us; /* DONE, FENCED, SKIPPED */
    struct task *task;
    union {
        struct {
            char *output, *result; /* of a step that is done; NULL: null */
        };
        struct children *children; /* of a block that was begun */
        struct {
            struct node *next_wait; /* of a WAIT that is open */
            int64_t due_us;         /* INT64_MAX: never */
        };
    };
};

struct children {
    struct json *items; /* FOR_EACH, while they are needed; they can be had again */
    uint32_t count;
    uint32_t next; /* forward: the next to begin. Backward: those from here on are undone */
    uint32_t open; /* PARALLEL, FOR_EACH: children under way */
    struct node *list[];
};

/* What only runs. */
struct task {
    struct list link;
    struct list *in; /* one of the three lists of the saga */
    struct node *node;
    struct saga_problem *problem; /* of the last try */
    char *result;                 /* it is done, but its output failed: recorded after FAILED */
    uint64_t pause_us;            /* counting clock: when the next try is due */
    int64_t since_us;             /* no try that counts was made before */
    unsigned try;                 /* the number of the last try; none is used twice */
    unsigned tried;               /* in a row, with this `how` */
    uint8_t how;
    bool trying;    /* a try is under way */
    bool unsure;    /* some try of it may have done it, or may do it yet */
    bool stuck;     /* not tried again before an operator says so */
    bool unproved;  /* that is: before he has looked what it has done */
    bool retried;   /* he has, at since_us */
    bool attention; /* it needs an operator */
    bool gave_up;   /* it has failed, for certain */
    bool done;      /* with result */
    bool kept;
};

struct signal {
    struct signal *next;
    int64_t at_us;
    char *value; /* or NULL */
    char name[];
};

/* Why it goes backward, or will as soon as the pivot is known not to be done. */
struct failure {
    struct saga_instance instance;
    struct saga_problem *problem;
    int64_t at_us;
};

struct saga {
    const struct saga_plan *plan;
    const char *input; /* behind the id, in texts */
    int64_t begun_us, ended_us;
    int64_t last_us; /* of its last record: its records never go back in time */
    struct failure *failure;
    char *output;
    struct signal *signals;
    struct node *pivot;  /* the one that was enabled last, or NULL */
    struct node *waits;  /* those that are open, by next_wait */
    struct list due;     /* tasks to be tried now */
    struct list paused;  /* tasks that wait for their pause_us */
    struct list resting; /* tasks that are tried, or wait for something else */
    uint32_t open;       /* steps that are OPEN and are tried: known to be neither done nor not */
    uint32_t attention;  /* tasks that need an operator */
    uint8_t state;
    bool begun; /* the tree is */
    bool resumed;
    bool past_pivot;
    bool all_done;   /* the root is */
    bool all_undone; /* likewise */
    struct node root;
    char texts[]; /* id, input */
};

/* One event, as it is carried out. */
struct turn {
    struct saga *saga;
    struct saga_actions *actions;
    struct saga_time time;
    int64_t at_us;   /* of the records that it makes, or that is replayed */
    bool live;       /* not replaying */
    bool look_waits; /* a wait may be over */
};

/* ---- engine_tree.c: what runs and ran ------------------------------------------------------ */

static inline const struct saga_step *step_of(const struct saga *saga, const struct node *node)
{
    return &saga->plan->steps[node->step];
}
bool type_is_block(enum saga_type type);
bool type_is_tried(enum saga_type type); /* CALL, TRANSACTION, SAGA */
struct node *node_add(struct node *parent, int step, uint32_t index);
void node_open_block(struct node *node, uint32_t count, struct json *items);
/* The node below `top` (itself, perhaps) of this step; items: of the loops in between, or NULL:
 * there is none. NULL: it was not begun. */
struct node *node_below(const struct saga *saga, const struct node *top, int step,
                        const uint32_t *items);
struct node *node_find(const struct saga *saga, const struct saga_instance *instance);
void node_instance(const struct saga *saga, const struct node *node, struct saga_instance *out);
void nodes_free(struct saga *saga);
/* Every leaf that was begun, in the order of the definition. */
typedef void visit_leaf(void *self, struct node *node);
void nodes_each_leaf(const struct saga *saga, const struct node *top, visit_leaf *visit,
                     void *self);

struct task *task_add(struct saga *saga, struct node *node, enum saga_how how);
void task_drop(struct saga *saga, struct node *node);
void task_move(struct task *task, struct list *list);
void task_problem(struct task *task, const struct saga_problem *problem); /* keeps a copy */
void task_attention(struct saga *saga, struct task *task, bool needed);
struct task *task_first(const struct list *list); /* or NULL */

/* One block of memory: free() it. */
struct saga_problem *problem_keep(const struct saga_problem *problem);
struct saga_problem problem_of_error(const struct error *error);

/* ---- engine_sight.c: what its expressions see ---------------------------------------------- */

bool sight_when(struct saga *saga, struct node *node, int expression, bool *value,
                struct error *error);
struct json *sight_items(struct saga *saga, struct node *node, struct error *error);
/* result: of the step, or NULL. The caller frees it. */
char *sight_render(struct saga *saga, struct node *node, int template, const char *result,
                   struct error *error);
char *sight_arguments(struct saga *saga, struct node *node, int template, const char *result,
                      struct error *error);
/* The output of any node that is done, for looking at; the caller frees it. NULL: null. */
char *sight_output(struct saga *saga, struct node *node);

/* ---- engine_records.c: to the journal and from it ------------------------------------------ */

/* Appends the record, with copies of its texts. */
void record(struct turn *turn, const struct saga_record *made);
/* One about a node, with its instance and the time of the turn. */
struct saga_record record_of(const struct turn *turn, enum saga_record_type type,
                             const struct node *node);
bool replay(struct turn *turn, const struct saga_record *record, struct error *error);
struct saga_action *action_add(struct turn *turn); /* of zeros */

/* ---- engine_forward.c ---------------------------------------------------------------------- */

/* Enables it. True: it is done or skipped already. */
bool node_begin(struct turn *turn, struct node *node);
/* It is done or skipped: what comes after it is enabled. */
void node_finished(struct turn *turn, struct node *node);
/* What a STEP_DONE means; live, it was just recorded. output, result: taken over. */
void apply_done(struct turn *turn, struct node *node, char *output, char *result);
/* The same, recorded first. output: taken over. */
void record_done(struct turn *turn, struct node *node, char *output, const char *result, bool kept,
                 bool by_signal);
/* The pivot is done: nothing fails any more. */
void pass_pivot(struct turn *turn);
void waits_drop(struct saga *saga, struct node *node); /* it is no more open */
bool signal_take(struct saga *saga, const char *name, struct signal **out);
void signal_keep(struct turn *turn, const char *name, const char *value);
void look_at_waits(struct turn *turn);
/* All is done: COMPLETED, or an expression that fails. */
void complete(struct turn *turn);

/* ---- engine_try.c: tries and their answers ------------------------------------------------- */

void task_try(struct turn *turn, struct task *task);
void answered(struct turn *turn, const struct saga_event *event);
/* It can't be tried, or its answer can't be used, before an operator has looked. */
void task_stick(struct turn *turn, struct task *task, const struct saga_problem *problem);
void task_turn(struct turn *turn, struct task *task, enum saga_how how); /* from now on */
bool task_is_tried_forever(const struct turn *turn, const struct task *task);

/* ---- engine_backward.c --------------------------------------------------------------------- */

/* The saga is to fail, as soon as that may be. node NULL: as a whole. Nothing, when it is to fail
 * already or the pivot is done. */
void fail(struct turn *turn, struct node *node, const struct saga_problem *problem);
/* The pivot is known not to be done, and never will be by a try under way. Asks, if need be. */
bool pivot_is_out(struct turn *turn);
void go_backward(struct turn *turn);
/* An operator has looked what it has done: its tries count from here on. */
void apply_retried(struct turn *turn, struct task *task);
/* In what FAILED, STEP_FENCED and STEP_UNDONE mean; live, they were just recorded. */
void apply_failed(struct turn *turn);
void apply_fenced(struct turn *turn, struct node *node);
void apply_undone(struct turn *turn, struct node *node);
/* A step is no more under way, after FAILED. */
void resolved(struct turn *turn);
/* A task of which no try is under way, after FAILED: what becomes of it. */
void task_resolve(struct turn *turn, struct task *task);

#endif
