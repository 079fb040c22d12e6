/* A saga as a coordinator shows it, of as many answers as it takes. */
#ifndef TROTH_CLIENT_SAGA_VIEW_H
#define TROTH_CLIENT_SAGA_VIEW_H

#include "wire.pb-c.h"

/* Takes the steps of a later page, which keeps none. Both are unpacked messages. */
void saga_view_append(Wire__SagaView *saga, Wire__SagaView *page);
/* The outermost steps are those of the first one's depth, whatever number that has: from here on 0.
 */
void saga_view_count_depth(Wire__SagaView *saga);

#endif
