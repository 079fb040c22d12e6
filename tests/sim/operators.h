/* People who give orders: mostly slips, at any place and moment, of any transaction, by whim. What
 * they must not be able to do is in order_book.h. When the world is healed they do what is asked of
 * them: end what nobody else will, and read out the lists. */
#ifndef TROTH_TESTS_SIM_OPERATORS_H
#define TROTH_TESTS_SIM_OPERATORS_H

#include <stdbool.h>
#include <stddef.h>

#include "tests/sim/node.h"

extern const struct node_class operator_class;
void operator_frame(struct node *node, const void *frame, size_t size);
void operator_broken(struct node *node);

struct desk *desk_new(struct world *world);
void desk_free(struct desk *desk);
/* No slips from now on. */
void desk_sober(struct desk *desk);
/* Every branch that is prepared is to be ended by an order, each after a dry run that must change
 * nothing. Returns how many there are. */
int desk_clear(struct desk *desk);
/* Every list is to be read. */
void desk_read_lists(struct desk *desk);
/* All that was asked for was done. */
bool desk_empty(const struct desk *desk);

#endif
