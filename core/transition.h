/* A transition table: what each event makes of each state. A pure machine looks every change of its
 * state up in such a table, so that what is not written there can't happen.
 *
 * States and events are small enums. State 0 is no state: an entry of 0, which is what the entries
 * that nobody wrote are, refuses the event. An event that may come and changes nothing has the
 * state itself as its entry. */
#ifndef TROTH_CORE_TRANSITION_H
#define TROTH_CORE_TRANSITION_H

#include <stdbool.h>
#include <stdint.h>

struct transition_table {
    const char *machine;       /* for messages */
    const char *const *states; /* state_count names; [0] is unused */
    int state_count;
    const char *const *events; /* event_count names */
    int event_count;
    const uint8_t *next; /* next[state * event_count + event] */
};

/* The next state, or 0 when the table refuses the event in this state: for events that a peer
 * causes, whose mistakes must not end this process. */
int transition_try(const struct transition_table *table, int state, int event);
/* The next state. A refusal is a broken invariant and ends the process with the names. */
int transition_next(const struct transition_table *table, int state, int event);

#endif
