/* Sagas through the command line, as a person starts and watches them. */
#ifndef TROTH_TESTS_REAL_SAGA_START_H
#define TROTH_TESTS_REAL_SAGA_START_H

#include "tests/real/support/purchase.h"

/* Exit codes of `troth saga`. */
enum {
    SAGA_SAID_DONE, /* completed; of an order or a start without `wait`: done */
    SAGA_SAID_COMPENSATED,
    SAGA_SAID_MISTAKE,
    SAGA_SAID_NOBODY,
    SAGA_SAID_REFUSED,
    SAGA_SAID_RUNNING,
};

typedef char saga_id[80];

/* `troth saga start NAME`, a process of its own. */
struct saga_start {
    const char *name, *input, *key;
    const char *timeout; /* "20s" */
    bool wait;
    pid_t pid;
    int output;
    char why[200]; /* when it has ended: the problem that it told, or "" */
};
void saga_start_begin(struct shop *shop, struct saga_start *start);
bool saga_start_ended(const struct saga_start *start); /* without waiting; reaps nothing */
/* Its exit code. id: what it was told, or ""; may be NULL. */
int saga_start_end(struct saga_start *start, saga_id id);
/* Both. */
int saga_start(struct shop *shop, struct saga_start *start, saga_id id);
/* Asks with the same key until the end is certain, and returns it: done or compensated. */
int saga_start_until_ended(struct shop *shop, const struct saga_start *start, saga_id id);

/* Waits until `troth saga show ID` says this. */
void saga_wait_shown(struct shop *shop, const char *id, const char *text);
/* Is the id in what `troth saga list` says with this option? */
bool saga_is_listed(struct shop *shop, const char *id, const char *option);
void saga_wait_listed(struct shop *shop, const char *id, const char *option);
/* `troth saga signal`, again as long as nobody answers. */
void saga_signal(struct shop *shop, const char *id, const char *name, const char *value);

#endif
