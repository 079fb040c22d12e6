/* A caller's connection to PostgreSQL: statements on it that end in time, in whatever state it is
 * found, and its settings left alone. */
#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "client/library.h"
#include "core/check.h"
#include "io/pg_connection.h"

/* The pause between two cancels of one statement. */
#define CANCEL_PAUSE_US (200 * 1000)

/* Once nothing came in time the server can't be talked to, and what it does can't be known. libpq
 * sees the connection end. */
static void break_off(PGconn *connection)
{
    if (PQsocket(connection) >= 0)
        shutdown(PQsocket(connection), SHUT_RDWR);
    (void)!PQconsumeInput(connection);
}

static bool wait_for_server(PGconn *connection, int events, uint64_t due_us)
{
    for (;;) {
        uint64_t now_us = library_now_us();
        if (now_us >= due_us)
            return false;
        struct pollfd file = {.fd = PQsocket(connection), .events = (short)events};
        int ready = poll(&file, 1, (int)((due_us - now_us) / 1000 + 1));
        if (ready > 0)
            return true;
        if (ready < 0 && errno != EINTR)
            return false;
    }
}

/* Until PQgetResult would not block. False: lost, or the time is up. */
static bool wait_for_result(PGconn *connection, uint64_t due_us)
{
    for (;;) {
        int unsent = PQflush(connection);
        if (unsent < 0)
            return false;
        if (!unsent && !PQisBusy(connection))
            return PQstatus(connection) == CONNECTION_OK;
        if (!wait_for_server(connection, unsent ? POLLIN | POLLOUT : POLLIN, due_us) ||
            !PQconsumeInput(connection))
            return false;
    }
}

static bool is_failure(const PGresult *result)
{
    ExecStatusType status = PQresultStatus(result);
    return status != PGRES_COMMAND_OK && status != PGRES_TUPLES_OK;
}

struct pg_reply pg_do(PGconn *connection, const char *sql, uint64_t due_us)
{
    struct pg_reply reply = {0};
    bool failed = false;
    reply.lost = !PQsendQuery(connection, sql);
    while (!reply.lost) {
        if (!wait_for_result(connection, due_us)) {
            reply.lost = true;
            break_off(connection);
            break;
        }
        PGresult *result = PQgetResult(connection);
        if (!result)
            break;
        /* The first failure is what counts. */
        if (failed) {
            PQclear(result);
            continue;
        }
        PQclear(reply.result);
        reply.result = result;
        failed = is_failure(result);
    }
    reply.lost = reply.lost || PQstatus(connection) != CONNECTION_OK;
    reply.done = !reply.lost && !failed;
    return reply;
}

/* ---- whatever was left under way ----------------------------------------------------------- */

/* libpq waits for a server without a limit when it cancels: so another thread does, and is left
 * behind when the time is up. */
struct canceller {
    pthread_mutex_t lock;
    pthread_cond_t ended;
    PGcancel *cancel;
    bool over, left;
};

static void canceller_free(struct canceller *canceller)
{
    PQfreeCancel(canceller->cancel);
    pthread_cond_destroy(&canceller->ended);
    pthread_mutex_destroy(&canceller->lock);
    free(canceller);
}

static void *canceller_run(void *self)
{
    struct canceller *canceller = self;
    char text[256];
    (void)!PQcancel(canceller->cancel, text, sizeof(text)); /* if it fails, the deadline ends it */
    pthread_mutex_lock(&canceller->lock);
    canceller->over = true;
    bool left = canceller->left;
    pthread_cond_signal(&canceller->ended);
    pthread_mutex_unlock(&canceller->lock);
    if (left)
        canceller_free(canceller);
    return NULL;
}

static bool canceller_start(struct canceller *canceller, pthread_t *thread)
{
    pthread_condattr_t attributes;
    sigset_t all, before;
    pthread_condattr_init(&attributes);
    CHECK(pthread_condattr_setclock(&attributes, CLOCK_MONOTONIC) == 0);
    CHECK(pthread_cond_init(&canceller->ended, &attributes) == 0);
    pthread_condattr_destroy(&attributes);
    CHECK(pthread_mutex_init(&canceller->lock, NULL) == 0);
    sigfillset(&all);
    CHECK(pthread_sigmask(SIG_BLOCK, &all, &before) == 0);
    bool started = pthread_create(thread, NULL, canceller_run, canceller) == 0;
    CHECK(pthread_sigmask(SIG_SETMASK, &before, NULL) == 0);
    return started;
}

/* One that comes before the statement has begun does nothing: it is sent again. False: the server
 * has not taken it in time. */
static bool cancel(PGconn *connection, uint64_t due_us)
{
    pthread_t thread;
    struct canceller *canceller = xcalloc(1, sizeof(*canceller));
    struct timespec until = {.tv_sec = (time_t)(due_us / 1000000),
                             .tv_nsec = (long)(due_us % 1000000) * 1000};
    canceller->cancel = PQgetCancel(connection);
    bool over = !canceller_start(canceller, &thread);
    bool started = !over;
    pthread_mutex_lock(&canceller->lock);
    for (int waited = 0; !over && waited == 0; over = canceller->over)
        waited = pthread_cond_timedwait(&canceller->ended, &canceller->lock, &until);
    canceller->left = !over;
    pthread_mutex_unlock(&canceller->lock);
    if (started)
        CHECK((over ? pthread_join(thread, NULL) : pthread_detach(thread)) == 0);
    if (over)
        canceller_free(canceller);
    return over;
}

/* All rows of a COPY that sends to us. */
static bool drain_copy(PGconn *connection, uint64_t due_us)
{
    for (;;) {
        char *row = NULL;
        int size = PQgetCopyData(connection, &row, true);
        if (row)
            PQfreemem(row);
        if (size < 0)
            return true;
        if (size == 0 &&
            (!wait_for_server(connection, POLLIN, due_us) || !PQconsumeInput(connection)))
            return false;
    }
}

static bool drain_one(PGconn *connection, PGresult *result, uint64_t due_us)
{
    ExecStatusType status = PQresultStatus(result);
    PQclear(result);
    if (status == PGRES_COPY_IN || status == PGRES_COPY_BOTH)
        return PQputCopyEnd(connection, "the transaction is handed over or rolled back") >= 0;
    return status != PGRES_COPY_OUT || drain_copy(connection, due_us);
}

/* Waits for it, and cancels what is under way, until there is a result. */
static bool press_for_result(PGconn *connection, uint64_t due_us)
{
    for (;;) {
        uint64_t soon_us = library_now_us() + CANCEL_PAUSE_US;
        if (wait_for_result(connection, soon_us < due_us ? soon_us : due_us))
            return true;
        if (PQstatus(connection) != CONNECTION_OK || library_now_us() >= due_us)
            return false;
        if (!cancel(connection, due_us))
            return false;
    }
}

static bool drain(PGconn *connection, uint64_t due_us)
{
    for (;;) {
        if (!press_for_result(connection, due_us))
            return false;
        PGresult *result = PQgetResult(connection);
        if (!result)
            return true;
        if (!drain_one(connection, result, due_us))
            return false;
    }
}

static bool leave_pipeline(PGconn *connection, uint64_t due_us)
{
    if (PQpipelineStatus(connection) == PQ_PIPELINE_OFF)
        return true;
    /* What was queued without a sync would never be answered. */
    if (!PQexitPipelineMode(connection) && !PQpipelineSync(connection))
        return false;
    while (PQpipelineStatus(connection) != PQ_PIPELINE_OFF && !PQexitPipelineMode(connection)) {
        if (!press_for_result(connection, due_us))
            return false;
        PQclear(PQgetResult(connection));
    }
    return true;
}

bool pg_make_idle(PGconn *connection, uint64_t due_us)
{
    if (PQstatus(connection) != CONNECTION_OK)
        return false;
    bool alive = PQtransactionStatus(connection) != PQTRANS_ACTIVE || cancel(connection, due_us);
    alive = alive && leave_pipeline(connection, due_us) && drain(connection, due_us);
    /* A cancel of before may still hit the first one. */
    for (int i = 0; i < 2 && alive && PQtransactionStatus(connection) != PQTRANS_IDLE; i++) {
        struct pg_reply reply = pg_do(connection, "rollback", due_us);
        PQclear(reply.result);
        alive = !reply.lost;
    }
    alive = alive && PQtransactionStatus(connection) == PQTRANS_IDLE;
    if (!alive && PQstatus(connection) == CONNECTION_OK)
        break_off(connection);
    return alive;
}

static const char *field(const PGresult *result, int code)
{
    const char *text = PQresultErrorField(result, code);
    return text ? text : "";
}

void pg_problem(struct troth_result *result, const struct pg_reply *reply, PGconn *connection)
{
    char line[300];
    if (reply->lost || !reply->result) {
        pg_first_line(PQerrorMessage(connection), line, sizeof(line));
        result_message(result, "the connection to the database was lost%s%s", *line ? ": " : "",
                       line);
        result_code(result, "connection_lost");
        return;
    }
    result_message(result, "%s", field(reply->result, PG_DIAG_MESSAGE_PRIMARY));
    result_detail(result, "%s", field(reply->result, PG_DIAG_MESSAGE_DETAIL));
    result_hint(result, "%s", field(reply->result, PG_DIAG_MESSAGE_HINT));
    result_code(result, field(reply->result, PG_DIAG_SQLSTATE));
}
