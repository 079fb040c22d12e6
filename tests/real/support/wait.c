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

static void wait_pause(uint64_t ms)
{
    const struct timespec pause = {.tv_sec = (time_t)(ms / 1000),
                                   .tv_nsec = (long)(ms % 1000) * 1000 * 1000};
    nanosleep(&pause, NULL);
}

bool wait_while_not(bool (*condition)(void *self), void *self, int seconds)
{
    enum { LEAST_MS = 10 };
    uint64_t limit = wait_now_ms() + (uint64_t)seconds * 1000;
    for (;;) {
        uint64_t asked_ms = wait_now_ms();
        if (condition(self))
            return true;
        if (wait_now_ms() > limit)
            return false;
        /* A question that starts a program costs what others beside this test need. */
        uint64_t took_ms = wait_now_ms() - asked_ms;
        wait_pause(took_ms > LEAST_MS ? took_ms : LEAST_MS);
    }
}

void wait_for(bool (*condition)(void *self), void *self, int seconds, const char *what)
{
    if (!wait_while_not(condition, self, seconds))
        fail_msg("not within %d s: %s", seconds, what);
}
