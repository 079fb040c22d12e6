/* Named crash points: places where a test kills the process, each beside a comment that says what a
 * crash there leaves. Off, a point costs one load and a branch that is never taken. */
#ifndef TROTH_CORE_CRASH_H
#define TROTH_CORE_CRASH_H

#include <stddef.h>

/* Set by a main function when TROTH_CRASH_AT names a point (io/crash.c), else NULL. */
extern void (*crash_hook)(const char *point);

#define CRASH_POINT(point) (__builtin_expect(crash_hook != NULL, 0) ? crash_hook(point) : (void)0)

#endif
