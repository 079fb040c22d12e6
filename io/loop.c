#include "io/loop.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/random.h>
#include <sys/timerfd.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "io/log.h"

enum { SETTLE_MAX = 16 };

struct settler {
    uint64_t (*settle)(void *self);
    void *self;
};

struct loop {
    uv_loop_t uv;
    uv_prepare_t prepare; /* runs the settle functions just before the loop sleeps */
    /* Ends the sleep in time. Not uv_timer_t, which counts in milliseconds: frames are paced in
     * fractions of one. */
    int wake_fd;
    uv_poll_t wake;
    uint64_t wake_at_us; /* what wake_fd is set to; UINT64_MAX: nothing */
    uv_signal_t terminate, interrupt;
    struct host_port host;
    struct settler settlers[SETTLE_MAX];
    int settler_count;
    void (*stop)(void *self);
    void *stop_self;
    bool stopping; /* a first signal came */
    bool turning;  /* inside loop_run: the clock stands still within a turn */
    bool clock_read;
    uint64_t now_us;
    struct histogram turns;
};

static uint64_t now_us(void *self)
{
    struct loop *loop = self;
    if (!loop->turning)
        return uv_hrtime() / 1000;
    if (!loop->clock_read) {
        loop->now_us = uv_hrtime() / 1000;
        loop->clock_read = true;
    }
    return loop->now_us;
}

static int64_t wall_us(void *self)
{
    (void)self;
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void random_bytes(void *self, void *buffer, size_t size)
{
    (void)self;
    for (char *at = buffer; size > 0;) {
        ssize_t got = getrandom(at, size, 0);
        CHECK(got >= 0 || errno == EINTR);
        if (got > 0) {
            at += got;
            size -= (size_t)got;
        }
    }
}

static void log_to_stderr(void *self, enum log_level level, const char *line)
{
    (void)self;
    log_line(level, line);
}

static void log_nowhere(void *self, enum log_level level, const char *line)
{
    (void)self, (void)level, (void)line;
}

/* It only ends the sleep; the settle functions see what is due. */
static void woken(uv_poll_t *wake, int status, int events)
{
    struct loop *loop = wake->data;
    uint64_t expirations;
    (void)events;
    CHECK(status == 0);
    ssize_t size = read(loop->wake_fd, &expirations, sizeof(expirations));
    CHECK(size == sizeof(expirations) || errno == EAGAIN);
    loop->wake_at_us = UINT64_MAX;
}

/* A wake that is set earlier than needed stays: mostly it is moved again before it comes. */
static void set_wake(struct loop *loop, uint64_t at_us)
{
    if (at_us >= loop->wake_at_us)
        return;
    if (at_us == 0)
        at_us = 1; /* zeros would clear the timer */
    struct itimerspec when = {.it_value = {.tv_sec = (time_t)(at_us / 1000000),
                                           .tv_nsec = (long)(at_us % 1000000) * 1000}};
    CHECK(timerfd_settime(loop->wake_fd, TFD_TIMER_ABSTIME, &when, NULL) == 0);
    loop->wake_at_us = at_us;
}

/* A settle function may give work to one that ran before it in this pass, so with several a second
 * pass follows. What is left after it asks for an immediate turn by its return value. */
static void settle_turn(uv_prepare_t *prepare)
{
    struct loop *loop = prepare->data;
    uint64_t wake_us = UINT64_MAX;
    for (int pass = 0; pass < (loop->settler_count > 1 ? 2 : 1); pass++) {
        wake_us = UINT64_MAX;
        for (int i = 0; i < loop->settler_count; i++) {
            uint64_t at_us = loop->settlers[i].settle(loop->settlers[i].self);
            if (at_us < wake_us)
                wake_us = at_us;
        }
    }
    /* The clock was read when something first happened in this turn. */
    if (loop->turning && loop->clock_read)
        histogram_add(&loop->turns, uv_hrtime() / 1000 - loop->now_us);
    loop->clock_read = false;
    set_wake(loop, wake_us);
}

struct loop *loop_new(void)
{
    struct loop *loop = xcalloc(1, sizeof(*loop));
    CHECK(uv_loop_init(&loop->uv) == 0);
    CHECK(uv_prepare_init(&loop->uv, &loop->prepare) == 0);
    loop->wake_at_us = UINT64_MAX;
    loop->wake_fd = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
    CHECK(loop->wake_fd >= 0);
    CHECK(uv_poll_init(&loop->uv, &loop->wake, loop->wake_fd) == 0);
    CHECK(uv_signal_init(&loop->uv, &loop->terminate) == 0);
    CHECK(uv_signal_init(&loop->uv, &loop->interrupt) == 0);
    loop->prepare.data = loop->wake.data = loop->terminate.data = loop->interrupt.data = loop;
    CHECK(uv_poll_start(&loop->wake, UV_READABLE, woken) == 0);
    CHECK(uv_prepare_start(&loop->prepare, settle_turn) == 0);
    loop->host = (struct host_port){loop, now_us, wall_us, random_bytes, log_to_stderr};
    return loop;
}

void loop_free(struct loop *loop)
{
    uv_close((uv_handle_t *)&loop->prepare, NULL);
    uv_close((uv_handle_t *)&loop->wake, NULL);
    uv_close((uv_handle_t *)&loop->terminate, NULL);
    uv_close((uv_handle_t *)&loop->interrupt, NULL);
    /* Close callbacks, also those of handles closed before. The first run may only take back a stop
     * that came while the loop did not run. */
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    uv_run(&loop->uv, UV_RUN_NOWAIT);
    CHECK(uv_loop_close(&loop->uv) == 0);
    close(loop->wake_fd);
    free(loop);
}

uv_loop_t *loop_uv(struct loop *loop)
{
    return &loop->uv;
}

const struct host_port *loop_host(struct loop *loop)
{
    return &loop->host;
}

const struct histogram *loop_turns(const struct loop *loop)
{
    return &loop->turns;
}

void loop_be_silent(struct loop *loop)
{
    loop->host.log = log_nowhere;
}

void loop_on_settle(struct loop *loop, uint64_t (*settle)(void *self), void *self)
{
    CHECK(loop->settler_count < SETTLE_MAX);
    loop->settlers[loop->settler_count++] = (struct settler){settle, self};
}

static void signalled(uv_signal_t *handle, int number)
{
    struct loop *loop = handle->data;
    /* Somebody who asks twice does not want to wait; what is durable is safe, as after a crash. */
    if (loop->stopping)
        _exit(128 + number);
    loop->stopping = true;
    loop->stop(loop->stop_self);
}

void loop_on_stop(struct loop *loop, void (*stop)(void *self), void *self)
{
    loop->stop = stop;
    loop->stop_self = self;
    /* A reader of our stderr that goes away must not end a coordinator. */
    signal(SIGPIPE, SIG_IGN);
    CHECK(uv_signal_start(&loop->terminate, signalled, SIGTERM) == 0);
    CHECK(uv_signal_start(&loop->interrupt, signalled, SIGINT) == 0);
}

void loop_run(struct loop *loop)
{
    loop->turning = true;
    loop->clock_read = false;
    uv_run(&loop->uv, UV_RUN_DEFAULT);
    loop->turning = false;
}

void loop_stop(struct loop *loop)
{
    uv_stop(&loop->uv);
}
