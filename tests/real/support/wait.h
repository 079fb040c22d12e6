/* Waiting for a condition, with a limit: how the tests on real processes pass time. */
#ifndef TROTH_TESTS_REAL_WAIT_H
#define TROTH_TESTS_REAL_WAIT_H

#include <stdbool.h>
#include <stdint.h>

/* Monotonic, without what passes while the machine stands still: the time that others had. */
uint64_t wait_now_ms(void);
/* Asks again and again until condition(self), for at most so many seconds of that time; fails the
 * test with `what` otherwise. */
void wait_for(bool (*condition)(void *self), void *self, int seconds, const char *what);
/* The same with the answer: false when the time is over. */
bool wait_while_not(bool (*condition)(void *self), void *self, int seconds);

#endif
