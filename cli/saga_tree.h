/* The steps of a saga as a tree, drawn in the width of a page. */
#ifndef TROTH_CLI_SAGA_TREE_H
#define TROTH_CLI_SAGA_TREE_H

#include <stdbool.h>
#include <stdint.h>

#include "wire.pb-c.h"

/* participants: those of the coordinator, to tell which of them is waited for; or NULL.
 * all_items: else the items of a long for_each in which nothing is to be seen are counted. */
void print_saga_tree(const Wire__SagaView *saga, const Wire__Answer *participants, bool all_items,
                     int64_t now_us);

#endif
