#include "client/saga_view.h"

#include <string.h>

#include "core/check.h"

void saga_view_append(Wire__SagaView *saga, Wire__SagaView *page)
{
    size_t count = saga->n_steps + page->n_steps;
    saga->steps = xrealloc(saga->steps, (count + 1) * sizeof(saga->steps[0]));
    memcpy(saga->steps + saga->n_steps, page->steps, page->n_steps * sizeof(saga->steps[0]));
    saga->n_steps = count;
    page->n_steps = 0;
}

void saga_view_count_depth(Wire__SagaView *saga)
{
    uint32_t least = saga->n_steps ? saga->steps[0]->depth : 0;
    for (size_t i = 0; i < saga->n_steps; i++) {
        uint32_t depth = saga->steps[i]->depth;
        saga->steps[i]->depth = depth > least ? depth - least : 0;
    }
}
