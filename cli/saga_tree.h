/* The steps of a saga as a tree, drawn in the width of a page. */
#ifndef TROTH_CLI_SAGA_TREE_H
#define TROTH_CLI_SAGA_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.pb-c.h"

/* What is known of others than the saga, to tell which of them it waits for. NULL: nothing. */
struct saga_others {
    Wire__Answer *participants;
    Wire__Answer *needing; /* sagas that need an operator */
};

/* all_items: else the items of a long for_each in which nothing is to be seen are counted. */
void print_saga_tree(const Wire__SagaView *saga, const struct saga_others *others, bool all_items,
                     int64_t now_us);

#endif
