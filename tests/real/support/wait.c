#include "tests/real/support/wait.h"

#include <pthread.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stddef.h>
#include <time.h>

#include <cmocka.h>

static uint64_t clock_ms(void)
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

/* ---- standstills ---------------------------------------------------------------------------- */

/* Time in which nobody ran: a virtual machine may be stopped for seconds, and with it all that a
 * test waits for. A thread that wants a moment's sleep sees how much longer it took. */
static atomic_uint_least64_t stood_still_ms;

static void *watch(void *self)
{
    enum { SLEEP_MS = 20, LATE_MS = 200 };
    (void)self;
    for (uint64_t before = clock_ms();;) {
        wait_pause(SLEEP_MS);
        uint64_t now = clock_ms(), took_ms = now - before;
        before = now;
        if (took_ms > SLEEP_MS + LATE_MS)
            stood_still_ms += took_ms - SLEEP_MS;
    }
    return NULL;
}

static void start_watch(void)
{
    pthread_t thread;
    if (pthread_create(&thread, NULL, watch, NULL) != 0 || pthread_detach(thread) != 0)
        fail_msg("no thread");
}

uint64_t wait_now_ms(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;
    static atomic_uint_least64_t last;
    pthread_once(&once, start_watch);
    /* It may have been read after a standstill and before the thread saw that. */
    uint64_t now = clock_ms() - stood_still_ms, before = last;
    while (now > before && !atomic_compare_exchange_weak(&last, &before, now))
        ;
    return now > before ? now : before;
}

/* ---- waiting -------------------------------------------------------------------------------- */

bool wait_while_not(bool (*condition)(void *self), void *self, int seconds)
{
    enum { LEAST_MS = 10 };
    uint64_t limit = wait_now_ms() + (uint64_t)seconds * 1000;
    for (;;) {
        uint64_t asked_ms = clock_ms();
        if (condition(self))
            return true;
        if (wait_now_ms() > limit)
            return false;
        /* A question that starts a program costs what others beside this test need. */
        uint64_t took_ms = clock_ms() - asked_ms;
        wait_pause(took_ms > LEAST_MS ? took_ms : LEAST_MS);
    }
}

void wait_for(bool (*condition)(void *self), void *self, int seconds, const char *what)
{
    if (!wait_while_not(condition, self, seconds))
        fail_msg("not within %d s: %s", seconds, what);
}
