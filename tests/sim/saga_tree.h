/* A saga's definition as its maker knows it: a random tree of steps, and its text in YAML. The
 * oracle judges by this tree, and knows nothing of the engine's plan.
 *
 * Every step that writes leaves a mark, "SAGA/STEP[ITEM]", and is answered with a number that
 * nothing else was ever answered with. Later steps bring along what an earlier one gave (`seen`),
 * so that it shows in the databases what each step had in sight. */
#ifndef TROTH_TESTS_SIM_SAGA_TREE_H
#define TROTH_TESTS_SIM_SAGA_TREE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/rng.h"

enum {
    TREE_NODES = 48,
    TREE_BRANCHES = 3,
    TREE_LOOPS = 2, /* for_each inside each other */
    TREE_ITEMS = 4, /* of a list */
    TREE_SIGNALS = 3,
    TREE_NONE = -1,
};

enum tree_type {
    TREE_SEQUENCE,
    TREE_CALL,
    TREE_TRANSACTION,
    TREE_SAGA,
    TREE_PAUSE,
    TREE_SIGNAL,
    TREE_PARALLEL,
    TREE_CHOOSE,
    TREE_FOR_EACH,
};

enum tree_kind { TREE_COMPENSATABLE, TREE_PIVOT, TREE_RETRIABLE };

/* The operations of the bank that sagas use. */
enum tree_act {
    ACT_WITHDRAW, /* may be refused: insufficient_funds */
    ACT_DEPOSIT,
    ACT_HESITATE, /* a deposit that is refused a few times, and then is done */
    ACT_LOOK,     /* read only: gives another number each time */
    ACT_REFUSE,   /* always refused */
    ACT_GIVE_BACK,
    ACT_TAKE_BACK,
    ACT_GIVE_LATE, /* a give_back that is refused a few times first */
};
extern const char *const tree_act_words[];

enum tree_amount {
    AMOUNT_GIVEN,     /* more */
    AMOUNT_INPUT,     /* .input.amount */
    AMOUNT_INPUT_AND, /* .input.amount + more */
    AMOUNT_ITEM,      /* .item.amount */
    AMOUNT_ITEM_TWICE,
};

struct tree_call {
    int participant;
    enum tree_act act;
    int account;
    enum tree_amount amount;
    int more;
};

enum tree_when {
    WHEN_ALWAYS,
    WHEN_FLAG,     /* .input.flag */
    WHEN_NOT_FLAG, /* */
    WHEN_MORE,     /* .input.amount > limit */
    WHEN_ODD,      /* what `of` gave; 0 when it was skipped */
    WHEN_ITEM_FLAG,
    WHEN_INDEX_EVEN,
};

struct tree_condition {
    enum tree_when when;
    int limit, of;
};

enum tree_undo {
    UNDO_NONE,
    UNDO_SAME,        /* with the arguments of the step */
    UNDO_WITH_RESULT, /* `seen` is what the step gave */
};

struct tree_node {
    enum tree_type type;
    enum tree_kind kind;
    char name[8]; /* "": it has none */
    int parent, first_child, next_sibling;
    int loop, depth; /* the innermost FOR_EACH around it; how many there are */
    struct tree_condition condition;

    struct tree_call calls[TREE_BRANCHES]; /* CALL, TRANSACTION */
    int call_count;
    int seen; /* whose number its calls bring along, or TREE_NONE */
    bool three_phase;
    enum tree_undo undo;
    struct tree_call back; /* what undoes it */
    int shift;             /* its output is its result and so much more */
    bool bare;             /* it says no output: the result is the output */
    bool reasoned;         /* compensatable after the pivot */

    int family;        /* SAGA */
    int amount_more;   /* SAGA: the other's amount is this one's and so much more */
    int wait_ms;       /* PAUSE, SIGNAL */
    int signal;        /* SIGNAL */
    bool or_continue;  /* SIGNAL */
    bool only_flagged; /* FOR_EACH: items with a flag only */
    int at_once;       /* FOR_EACH */

    int timeout_ms;                   /* 0: not said */
    int attempts, initial_ms, max_ms; /* attempts 0: nothing is said of tries */
};

/* Which other sagas may be its steps. */
struct tree_family {
    bool has_pivot;
    bool three_phase; /* some of its transactions */
    int participants; /* it calls p0 ... */
};

struct saga_tree {
    int family, version;
    bool has_pivot;
    int participants;
    int timeout_ms; /* 0: none */
    int alert_after;
    int output_from; /* the step that gives its output, or TREE_NONE */
    struct tree_node nodes[TREE_NODES];
    int node_count;
};

/* families: of which those below `usable` may be steps. */
void saga_tree_make(struct saga_tree *tree, struct rng *rng, int family, int version,
                    const struct tree_family *families, int usable);
/* As YAML; the caller frees it. */
char *saga_tree_text(const struct saga_tree *tree);

/* The step of that name, or TREE_NONE. */
int saga_tree_find(const struct saga_tree *tree, const char *name, size_t length);
/* The parts of a mark's step that a person reads: "s3[0][2]". */
bool tree_writes(enum tree_act act);

#endif
