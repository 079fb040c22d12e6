/* What a problem's code says beyond itself: whether another try may fare better. */
#ifndef TROTH_CORE_PROBLEM_H
#define TROTH_CORE_PROBLEM_H

#include <stdbool.h>

/* True for what may pass by itself: a participant or a database that is away, a lock, a deadlock,
 * too many connections, time that was up. code: one of Troth's words, or an SQLSTATE (PostgreSQL's
 * documentation, appendix A). What an operation refuses, and what it can't do, is not passing. */
bool problem_is_passing(const char *code);

#endif
