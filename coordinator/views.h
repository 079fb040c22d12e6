/* What the files share that answer queries. Everything that a view points to that does not live in
 * the server comes from one arena, freed when the answer is sent. */
#ifndef TROTH_COORDINATOR_VIEWS_H
#define TROTH_COORDINATOR_VIEWS_H

#include "coordinator/parts.h"

struct draft {
    struct server *server;
    Wire__Answer answer;
    struct arena arena;
    size_t bytes; /* of the rows so far */
    size_t room;  /* rows that the arrays hold */
};

/* Of the arena; not zeroed. */
void *draft_take(struct draft *draft, size_t size);
/* The answer is this problem. */
void draft_fail(struct draft *draft, const char *code, const char *message, const char *hint);
/* Whether a row of this packed size still fits the message; then it is counted as being there. */
bool draft_fits(struct draft *draft, size_t size);
/* Rows that a query wants. */
size_t draft_rows(const Wire__Query *query);

#endif
