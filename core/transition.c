#include "core/transition.h"

#include <stdio.h>

#include "core/check.h"

int transition_try(const struct transition_table *table, int state, int event)
{
    CHECK(state > 0 && state < table->state_count);
    CHECK(event >= 0 && event < table->event_count);
    return table->next[state * table->event_count + event];
}

int transition_next(const struct transition_table *table, int state, int event)
{
    int next = transition_try(table, state, event);
    if (next == 0) {
        char text[160];
        snprintf(text, sizeof(text), "%s: %s in state %s", table->machine, table->events[event],
                 table->states[state]);
        check_failed(text, __FILE__, __LINE__);
    }
    return next;
}
