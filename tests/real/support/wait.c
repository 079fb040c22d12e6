#include "tests/real/support/wait.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

uint64_t wait_now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 + (uint64_t)now.tv_nsec / 1000000;
}

bool wait_while_not(bool (*condition)(void *self), void *self, int seconds)
{
    const struct timespec pause = {.tv_nsec = 10 * 1000 * 1000};
    uint64_t limit = wait_now_ms() + (uint64_t)seconds * 1000;
    while (!condition(self)) {
        if (wait_now_ms() > limit)
            return false;
        nanosleep(&pause, NULL);
    }
    return true;
}

void wait_for(bool (*condition)(void *self), void *self, int seconds, const char *what)
{
    if (!wait_while_not(condition, self, seconds))
        fail_msg("not within %d s: %s", seconds, what);
}
