/* The crash points in the sources: a test that kills at them looks whether it kills at all. */
#ifndef TROTH_TESTS_REAL_POINTS_H
#define TROTH_TESTS_REAL_POINTS_H

#include <stddef.h>

/* Names as TROTH_CRASH_AT takes them: POINT or POINT:N. */
struct points {
    const char *const *names;
    size_t count;
};

/* Fails the test unless every point of the sources that begins so is killed at here or elsewhere,
 * and each of these is there. */
void points_check(const char *prefix, struct points here, struct points elsewhere);

#endif
