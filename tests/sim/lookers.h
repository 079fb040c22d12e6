/* Somebody who looks: now at a coordinator, now at a participant's door, all the time. Asking must
 * harm nobody, and what is shown of a three-phase transaction must be so. */
#ifndef TROTH_TESTS_SIM_LOOKERS_H
#define TROTH_TESTS_SIM_LOOKERS_H

#include <stddef.h>

#include "tests/sim/node.h"

extern const struct node_class looker_class;
void looker_frame(struct node *node, const void *frame, size_t size);
void looker_broken(struct node *node);

#endif
