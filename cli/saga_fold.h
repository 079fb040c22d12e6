/* Which steps of a saga are shown. A for_each may have 10,000 items: those in which nothing is to
 * be seen, because all of it is done or nothing has begun, are counted together. What is inside a
 * block that was skipped, or will never begin, is not shown. */
#ifndef TROTH_CLI_SAGA_FOLD_H
#define TROTH_CLI_SAGA_FOLD_H

#include <stdbool.h>
#include <stddef.h>

#include "wire.pb-c.h"

/* A line of the tree: a step, or items that are folded. */
struct fold_line {
    const Wire__SagaStepView *step; /* NULL: folded items */
    unsigned depth;
    size_t count;      /* of the items */
    const char *state; /* that they are all in */
};

struct fold {
    struct fold_line *lines;
    size_t count;
    bool all_items;
};

/* all_items: nothing is folded. */
void fold_steps(struct fold *fold, const Wire__SagaView *saga, bool all_items);
void fold_fini(struct fold *fold);

#endif
