/* The handle: its thread, its inbox, what it tells the caller's loop. */
#include "client/library.h"

#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"

static const char default_coordinator[] = "tcp://127.0.0.1:7400";

/* troth_close waits so long until what was sent has arrived. */
#define LEAVE_US (900 * 1000)
/* What is closed may ask for more from its `done`, which is closed too; but not without an end. */
enum { LAST_TURNS = 100 };
/* What a handle opens besides its sessions, and a few more: the loop takes it for granted. */
enum { FILES_NEEDED = 24 };

uint64_t library_now_us(void)
{
    return uv_hrtime() / 1000;
}

void library_wake(struct troth *troth)
{
    CHECK(uv_async_send(&troth->wake) == 0);
}

/* ---- the thread ---------------------------------------------------------------------------- */

static void on_wake(uv_async_t *wake)
{
    (void)wake; /* it ends the sleep; the turn that follows looks into the inbox */
}

static bool all_arrived(const struct troth *troth)
{
    for (int i = 0; i < troth->endpoint_count; i++) {
        const struct endpoint *endpoint = &troth->endpoints[i];
        if (client_connected(endpoint->client) && !client_idle(endpoint->client))
            return false;
    }
    return true;
}

/* Nothing is waited for any more: only that it is heard. */
static void leave_when_arrived(struct troth *troth, uint64_t now_us)
{
    if (!all_arrived(troth) && now_us < troth->leave_by_us)
        return;
    for (int i = 0; i < troth->endpoint_count; i++)
        client_leave(troth->endpoints[i].client);
    loop_stop(troth->loop);
}

static void begin_to_leave(struct troth *troth, uint64_t now_us)
{
    pthread_mutex_lock(&troth->lock);
    bool closing = troth->closing;
    pthread_mutex_unlock(&troth->lock);
    if (!closing || troth->leaving)
        return;
    troth->leaving = true;
    troth->leave_by_us = now_us + LEAVE_US;
    requests_end_all(troth);
}

/* Until then the unsent wait for a coordinator that comes before others. */
static uint64_t next_hope(const struct troth *troth, uint64_t now_us)
{
    uint64_t at_us = UINT64_MAX;
    for (int i = 0; i < troth->endpoint_count; i++) {
        uint64_t hoped_us = troth->endpoints[i].hoped_until_us;
        if (hoped_us > now_us && hoped_us < at_us)
            at_us = hoped_us;
    }
    return list_empty(&troth->unsent) ? UINT64_MAX : at_us;
}

static uint64_t least(uint64_t a, uint64_t b)
{
    return a < b ? a : b;
}

static uint64_t settle(void *self)
{
    struct troth *troth = self;
    requests_take(troth);
    begin_to_leave(troth, library_now_us());
    requests_due(troth);
    requests_retry(troth);
    uint64_t wake_us = UINT64_MAX;
    for (int i = 0; i < troth->endpoint_count; i++)
        wake_us = least(wake_us, client_settle(troth->endpoints[i].client));
    uint64_t now_us = library_now_us();
    if (troth->leaving) {
        leave_when_arrived(troth, now_us);
        wake_us = least(wake_us, troth->leave_by_us);
    }
    /* A session that settling has begun or ended changes where the unsent may go. */
    if (troth->routes_changed)
        wake_us = 0;
    wake_us = least(wake_us, joined_watch(troth));
    return least(wake_us, least(timers_next(&troth->timers), next_hope(troth, now_us)));
}

static void *run(void *self)
{
    struct troth *troth = self;
    loop_run(troth->loop);
    /* The goodbyes go out. */
    for (int i = 0; i < troth->endpoint_count; i++)
        client_settle(troth->endpoints[i].client);
    requests_close(troth);
    return NULL;
}

/* Signals are the program's: its own threads get them. */
static void start_thread(struct troth *troth)
{
    sigset_t all, before;
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_BLOCK, &all, &before) == 0);
    int failed = pthread_create(&troth->thread, NULL, run, troth);
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    CHECK(!failed);
}

/* ---- opening and closing ------------------------------------------------------------------- */

/* The loop checks that it gets what it opens, and would end the process. */
static bool files_left(struct troth_result *result)
{
    int files[FILES_NEEDED], count = 0, number = 0;
    while (count < FILES_NEEDED && (files[count] = eventfd(0, EFD_CLOEXEC)) >= 0)
        count++;
    if (count < FILES_NEEDED)
        number = errno;
    for (int i = 0; i < count; i++)
        close(files[i]);
    if (!number)
        return true;
    result_fail(result, TROTH_REFUSED, "no_files", "cannot open the files of a session: %s",
                strerror(number));
    result_hint(result, "raise the limit of open files (`ulimit -n`)");
    return false;
}

/* Sessions are told apart by more than the process, which may have several. */
static void make_name(struct troth *troth)
{
    uint32_t random;
    CHECK(getrandom(&random, sizeof(random), 0) == sizeof(random));
    snprintf(troth->name, sizeof(troth->name), "lib-%d-%08x", (int)getpid(), (unsigned)random);
}

static void make_sync(struct troth *troth)
{
    CHECK(pthread_mutex_init(&troth->lock, NULL) == 0);
    CHECK(pthread_cond_init(&troth->left, NULL) == 0);
    list_init(&troth->inbox);
    list_init(&troth->finished);
    list_init(&troth->unsent);
    troth->ready_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    CHECK(troth->ready_fd >= 0);
}

static void library_free(struct troth *troth)
{
    requests_free_all(troth);
    while (!list_empty(&troth->finished)) {
        struct request *request = CONTAINER(troth->finished.next, struct request, node);
        list_remove(&request->node);
        request_free(request);
    }
    endpoints_close(troth);
    uv_close((uv_handle_t *)&troth->wake, NULL);
    loop_free(troth->loop);
    timers_fini(&troth->timers);
    timers_fini(&troth->watches);
    map_fini(&troth->by_number);
    close(troth->ready_fd);
    pthread_cond_destroy(&troth->left);
    pthread_mutex_destroy(&troth->lock);
    free(troth);
}

static struct troth *library_new(const char *coordinators, struct troth_result *result)
{
    if (!files_left(result))
        return NULL;
    struct troth *troth = xcalloc(1, sizeof(*troth));
    make_sync(troth);
    make_name(troth);
    troth->loop = loop_new();
    loop_be_silent(troth->loop);
    CHECK(uv_async_init(loop_uv(troth->loop), &troth->wake, on_wake) == 0);
    if (!endpoints_open(troth, coordinators, result)) {
        library_free(troth);
        return NULL;
    }
    loop_on_settle(troth->loop, settle, troth);
    start_thread(troth);
    return troth;
}

struct troth *troth_open(const char *coordinators, struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    const char *named = coordinators ? coordinators : getenv("TROTH_COORDINATOR");
    struct troth *troth = library_new(named && *named ? named : default_coordinator, &made);
    result_give(result, &made);
    return troth;
}

void troth_close(struct troth *troth)
{
    if (!troth)
        return;
    pthread_mutex_lock(&troth->lock);
    troth->closing = true;
    library_wake(troth);
    while (troth->callers > 0)
        pthread_cond_wait(&troth->left, &troth->lock);
    pthread_mutex_unlock(&troth->lock);
    CHECK(pthread_join(troth->thread, NULL) == 0);
    for (int i = 0; i < LAST_TURNS && !list_empty(&troth->finished); i++)
        troth_dispatch(troth);
    library_free(troth);
}

/* ---- the caller's loop --------------------------------------------------------------------- */

int troth_fd(struct troth *troth)
{
    return troth->ready_fd;
}

/* All that has finished by now: what `done` asks for, and finishes meanwhile, waits for the next
 * call. */
static void take_finished(struct troth *troth, struct list *finished)
{
    list_init(finished);
    pthread_mutex_lock(&troth->lock);
    while (!list_empty(&troth->finished)) {
        struct list *node = troth->finished.next;
        list_remove(node);
        list_append(finished, node);
    }
    pthread_mutex_unlock(&troth->lock);
}

/* The descriptor is emptied first: what finishes from then on makes it readable again. */
void troth_dispatch(struct troth *troth)
{
    uint64_t count;
    struct list finished;
    ssize_t size = read(troth->ready_fd, &count, sizeof(count));
    CHECK(size == sizeof(count) || errno == EAGAIN || errno == EINTR);
    take_finished(troth, &finished);
    while (!list_empty(&finished)) {
        struct request *request = CONTAINER(finished.next, struct request, node);
        struct troth_result result = {0};
        list_remove(&request->node);
        result_begin(&result);
        request->conclude(request, &result);
        request->done(request->done_self, &result);
        troth_result_clear(&result);
        request_free(request);
    }
}
