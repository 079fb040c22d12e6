/* The loop's side of the threads that carry out calls of handlers. */
#include "io/pg_pool.h"

#include <inttypes.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"
#include "core/limits.h"

enum {
    CANCEL_AGAIN_MS = 200, /* a cancel that finds the backend between two commands is lost */
    SLOW_US = 5 * 1000000, /* a handler that goes on for so long after its cancel is told */
    CANCEL_BYTES = 256,    /* libpq's texts about cancels */
    NANOSECONDS = 1000000000,
};

/* ---- jobs ------------------------------------------------------------------------------------ */

static struct pg_job *job_new(const struct db_work *work, void *tag)
{
    struct pg_job *job = xcalloc(1, sizeof(*job));
    list_init(&job->link);
    job->work = work;
    job->tag = tag;
    job->outcome = DB_FAILED;
    job->failed_call = -1;
    job->deadline_us = uv_hrtime() / 1000 + work->timeout_us;
    return job;
}

static void job_free(struct pg_job *job)
{
    for (int i = 0; job->results && i < job->work->call_count; i++)
        free(job->results[i]);
    free(job->results);
    free(job->refusal);
    free(job->reason);
    free(job->detail);
    free(job);
}

static void job_fail(struct pg_job *job, const char *sqlstate, const char *reason,
                     const char *detail)
{
    job->outcome = DB_FAILED;
    job->failed_call = -1;
    snprintf(job->sqlstate, sizeof(job->sqlstate), "%s", sqlstate);
    free(job->reason);
    free(job->detail);
    job->reason = xstrdup(reason);
    job->detail = xstrdup(detail);
}

/* It is answered in another turn of the loop, as the port promises. */
static void job_done(struct pg_pool *pool, struct pg_job *job)
{
    pthread_mutex_lock(&pool->mutex);
    list_append(&pool->done, &job->link);
    pthread_mutex_unlock(&pool->mutex);
    uv_async_send(pool->async);
}

static void job_answer(struct pg_pool *pool, struct pg_job *job)
{
    static const char *const no_results[LIMIT_CALLS];
    struct pg *pg = pool->pg;
    const struct db_worked worked = {
        .outcome = job->outcome,
        .duplicate = job->duplicate,
        .too_large = job->too_large,
        .xid = job->xid,
        .failed_statement = job->failed_call,
        .sqlstate = job->sqlstate,
        .refusal = job->refusal ? job->refusal : "",
        .reason = job->reason ? job->reason : "",
        .detail = job->detail ? job->detail : "",
        .results = job->results ? (const char *const *)job->results : no_results,
    };
    /* The runner frees the work when it is answered. */
    char **results = job->results;
    int count = job->results ? job->work->call_count : 0;
    job->results = NULL;
    pg->events.worked(pg->events.self, job->tag, &worked);
    for (int i = 0; i < count; i++)
        free(results[i]);
    free(results);
    job_free(job);
}

/* ---- hands ----------------------------------------------------------------------------------- */

static void hand_give(struct pg_hand *hand, struct pg_job *job)
{
    struct pg_pool *pool = hand->pool;
    list_remove(&hand->idle);
    hand->job = job;
    job->hand = hand;
    hand->cancel = hand->told = false;
    job->continues = hand->open != NULL;
    pthread_mutex_lock(&pool->mutex);
    hand->cancelled = false;
    hand->given = job;
    if (hand->spare_serial == 0)
        hand->spare_serial = ++pool->pg->shared.serial;
    pthread_cond_signal(&hand->wake);
    pthread_mutex_unlock(&pool->mutex);
}

static struct pg_hand *hand_new(struct pg_pool *pool)
{
    struct pg_hand *hand = xcalloc(1, sizeof(*hand));
    pthread_condattr_t attributes;
    sigset_t all, before;
    hand->pool = pool;
    list_init(&hand->idle);
    pthread_condattr_init(&attributes);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&hand->wake, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    /* Signals are for the program's threads. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    CHECK(pthread_create(&hand->thread, NULL, pg_hand_main, hand) == 0);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    pool->hands[pool->hand_count++] = hand;
    return hand;
}

/* One that works for nobody, or a new one; NULL: all work. */
static struct pg_hand *hand_take(struct pg_pool *pool)
{
    if (!list_empty(&pool->idle))
        return CONTAINER(pool->idle.next, struct pg_hand, idle);
    return pool->hand_count < pool->most ? hand_new(pool) : NULL;
}

static struct pg_hand *hand_of(const struct pg_pool *pool, const void *open)
{
    for (int i = 0; i < pool->hand_count; i++)
        if (pool->hands[i]->open == open)
            return pool->hands[i];
    return NULL;
}

static void hand_idle(struct pg_pool *pool, struct pg_hand *hand)
{
    if (!hand->job && !hand->open && hand->cancels_pending == 0 && list_empty(&hand->idle))
        list_append(pool->idle.next, &hand->idle); /* in front: its caches are warm */
}

static void dispatch(struct pg_pool *pool)
{
    struct pg_hand *hand;
    while (!list_empty(&pool->queue) && (hand = hand_take(pool)) != NULL) {
        struct pg_job *job = CONTAINER(pool->queue.next, struct pg_job, link);
        list_remove(&job->link);
        hand_give(hand, job);
    }
}

static void hand_done(struct pg_pool *pool, const struct pg_job *job)
{
    struct pg_hand *hand = job->hand;
    hand->job = NULL;
    hand->cancel = false;
    hand->open = job->outcome == DB_OPENED ? job->tag : NULL;
    hand->xid = job->open_xid;
    hand_idle(pool, hand);
}

/* What is answered may come with new work, which finds the hand idle. */
static void on_async(uv_async_t *async)
{
    struct pg_pool *pool = async->data;
    for (;;) {
        struct pg_job *job = NULL;
        pthread_mutex_lock(&pool->mutex);
        if (!list_empty(&pool->done)) {
            job = CONTAINER(pool->done.next, struct pg_job, link);
            list_remove(&job->link);
        }
        pthread_mutex_unlock(&pool->mutex);
        if (!job)
            return;
        if (job->ghost)
            pg_control_ghost(pool->pg, job->ghost);
        if (job->hand)
            hand_done(pool, job);
        job_answer(pool, job);
        dispatch(pool);
    }
}

/* ---- taking work ----------------------------------------------------------------------------- */

void pg_pool_work(struct pg_pool *pool, const struct db_work *work, int sites_id, void *tag)
{
    struct pg_job *job = job_new(work, tag);
    job->sites_id = sites_id;
    struct pg_hand *hand = hand_of(pool, tag);
    CHECK(work->call_count == 0 || work->calls);
    if (hand) {
        CHECK(!hand->job);
        hand_give(hand, job);
    } else if (pool->pg->phase != PG_UP) {
        job_fail(job, "", "the database can't be used", pool->pg->trouble);
        job_done(pool, job);
    } else if (work->open || work->mode == DB_ROLLBACK) {
        job_fail(job, "", "nothing is open", "");
        job_done(pool, job);
    } else {
        list_append(&pool->queue, &job->link);
        dispatch(pool);
    }
}

uint64_t pg_pool_open_xid(const struct pg_pool *pool, const void *tag)
{
    const struct pg_hand *hand = hand_of(pool, tag);
    return hand ? hand->xid : 0;
}

bool pg_pool_refuse(struct pg_pool *pool, void *tag, const char *sqlstate, const char *reason,
                    const char *detail)
{
    static const struct db_work take_back = {.mode = DB_ROLLBACK};
    struct pg_hand *hand = hand_of(pool, tag);
    if (!hand)
        return false;
    CHECK(!hand->job);
    struct pg_job *job = job_new(&take_back, tag);
    job_fail(job, sqlstate, reason, detail);
    hand_give(hand, job);
    return true;
}

void pg_pool_up(struct pg_pool *pool, bool up)
{
    pthread_mutex_lock(&pool->mutex);
    pool->down = !up;
    for (int i = 0; i < pool->hand_count; i++)
        pthread_cond_signal(&pool->hands[i]->wake);
    pthread_mutex_unlock(&pool->mutex);
    while (!up && !list_empty(&pool->queue)) {
        struct pg_job *job = CONTAINER(pool->queue.next, struct pg_job, link);
        list_remove(&job->link);
        job_fail(job, "", "the database can't be used", pool->pg->trouble);
        job_done(pool, job);
    }
}

/* ---- cancelling ------------------------------------------------------------------------------ */

static void hand_cancel(struct pg_pool *pool, struct pg_hand *hand)
{
    pthread_mutex_lock(&pool->mutex);
    uint64_t serial = hand->serial;
    int pid = hand->backend_pid;
    pthread_mutex_unlock(&pool->mutex);
    if (hand->cancels_pending == 0 && serial != 0 && pg_control_cancel(pool->pg, serial, pid))
        hand->cancels_pending++, hand->serial_cancelled = serial;
    if (hand->told || uv_hrtime() / 1000 - hand->cancel_us < SLOW_US)
        return;
    hand->told = true;
    const struct db_work *work = hand->job->work;
    host_log(pool->pg->shared.host, LOG_WARNING,
             "%s: a handler (%s) goes on %d s after its work was cancelled: it does not look at "
             "what PostgreSQL says, or it waits for something else. It keeps a thread of "
             "postgres.connections",
             work->gtrid ? work->gtrid : "", work->call_count > 0 ? work->calls[0].operation : "",
             SLOW_US / 1000000);
}

static void on_cancel_timer(uv_timer_t *timer)
{
    struct pg_pool *pool = timer->data;
    bool wanted = false;
    for (int i = 0; i < pool->hand_count; i++) {
        struct pg_hand *hand = pool->hands[i];
        if (!hand->cancel || !hand->job)
            continue;
        wanted = true;
        hand_cancel(pool, hand);
    }
    if (!wanted)
        uv_timer_stop(timer);
}

void pg_pool_cancel_done(struct pg_pool *pool, uint64_t serial)
{
    for (int i = 0; i < pool->hand_count; i++) {
        struct pg_hand *hand = pool->hands[i];
        if (hand->cancels_pending == 0 || hand->serial_cancelled != serial)
            continue;
        hand->cancels_pending--;
        hand_idle(pool, hand);
    }
    dispatch(pool);
}

static void cancel_begin(struct pg_pool *pool, struct pg_hand *hand)
{
    hand->cancel = true;
    hand->cancel_us = uv_hrtime() / 1000;
    pthread_mutex_lock(&pool->mutex);
    hand->cancelled = true;
    pthread_cond_signal(&hand->wake); /* it may wait for its next try to connect */
    pthread_mutex_unlock(&pool->mutex);
    hand_cancel(pool, hand);
    CHECK(uv_timer_start(pool->cancel_timer, on_cancel_timer, CANCEL_AGAIN_MS, CANCEL_AGAIN_MS) ==
          0);
}

void pg_pool_cancel(struct pg_pool *pool, const void *tag)
{
    for (struct list *at = pool->queue.next; at != &pool->queue; at = at->next) {
        struct pg_job *job = CONTAINER(at, struct pg_job, link);
        if (job->tag != tag)
            continue;
        list_remove(at);
        job_fail(job, "57014", "cancelled", "");
        job_done(pool, job);
        return;
    }
    for (int i = 0; i < pool->hand_count; i++) {
        struct pg_hand *hand = pool->hands[i];
        if (hand->job && hand->job->tag == tag && !hand->cancel)
            cancel_begin(pool, hand);
    }
}

/* ---- life ------------------------------------------------------------------------------------ */

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

struct pg_pool *pg_pool_new(struct pg *pg, const struct pg_config *config)
{
    struct pg_pool *pool = xcalloc(1, sizeof(*pool));
    pool->pg = pg;
    pool->handlers = config->handlers;
    pool->lock_timeout_us = config->lock_timeout_us;
    pool->most = config->connections;
    pool->hands = xcalloc((size_t)pool->most, sizeof(struct pg_hand *));
    list_init(&pool->idle);
    list_init(&pool->queue);
    list_init(&pool->done);
    CHECK(pthread_mutex_init(&pool->mutex, NULL) == 0);
    pool->async = xmalloc(sizeof(*pool->async));
    CHECK(uv_async_init(pg->shared.uv, pool->async, on_async) == 0);
    pool->cancel_timer = xmalloc(sizeof(*pool->cancel_timer));
    CHECK(uv_timer_init(pg->shared.uv, pool->cancel_timer) == 0);
    pool->async->data = pool->cancel_timer->data = pool;
    return pool;
}

/* Its session is told to stop as often as it takes: the loop, which asks the control connection for
 * that, does not run any more. */
static void hand_end(struct pg_pool *pool, struct pg_hand *hand)
{
    char problem[CANCEL_BYTES];
    pthread_mutex_lock(&pool->mutex);
    hand->ending = hand->cancelled = true;
    pthread_cond_signal(&hand->wake);
    while (hand->given) {
        struct timespec until;
        if (hand->canceller)
            PQcancel(hand->canceller, problem, sizeof(problem));
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_nsec += CANCEL_AGAIN_MS * 1000000L;
        until.tv_sec += until.tv_nsec / NANOSECONDS;
        until.tv_nsec %= NANOSECONDS;
        pthread_cond_timedwait(&hand->wake, &pool->mutex, &until);
    }
    pthread_mutex_unlock(&pool->mutex);
    CHECK(pthread_join(hand->thread, NULL) == 0);
    CHECK(pthread_cond_destroy(&hand->wake) == 0);
    free(hand);
}

void pg_pool_free(struct pg_pool *pool)
{
    if (!pool)
        return;
    for (int i = 0; i < pool->hand_count; i++)
        hand_end(pool, pool->hands[i]);
    for (struct list *lists[] = {&pool->queue, &pool->done}, **list = lists; list < lists + 2;
         list++) {
        while (!list_empty(*list)) {
            struct pg_job *job = CONTAINER((*list)->next, struct pg_job, link);
            list_remove(&job->link);
            job_free(job);
        }
    }
    CHECK(pthread_mutex_destroy(&pool->mutex) == 0);
    uv_close((uv_handle_t *)pool->async, free_handle);
    uv_close((uv_handle_t *)pool->cancel_timer, free_handle);
    free(pool->hands);
    free(pool);
}
