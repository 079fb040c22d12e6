/* The session of a thread that carries out calls of handlers: made when it is needed, given up when
 * it is lost or can't be trusted; and what fails on it. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"
#include "io/pg_hand.h"

enum {
    SOON_MS = 20,
    BACKOFF_LOW_MS = 250,
    BACKOFF_HIGH_MS = 5000,
    NANOSECONDS = 1000000000,
};

/* ---- failures -------------------------------------------------------------------------------- */

void pg_hand_fail(struct pg_job *job, int call, const char *sqlstate, const char *reason,
                  const char *detail)
{
    if (job->reason)
        return; /* the first one counts */
    job->outcome = DB_FAILED;
    job->failed_call = call;
    snprintf(job->sqlstate, sizeof(job->sqlstate), "%s", sqlstate);
    job->reason = xstrdup(reason);
    job->detail = xstrdup(detail);
}

void pg_hand_refuse(struct pg_job *job, int call, const char *refusal, const char *reason)
{
    pg_hand_fail(job, call, "", reason, "");
    job->refusal = job->refusal ? job->refusal : xstrdup(refusal);
}

void pg_hand_fail_sql(struct pg_job *job, int call, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    char *both = xasprintf("%s%s%s", detail ? detail : "", detail && hint ? "; hint: " : "",
                           hint ? hint : "");
    pg_hand_fail(job, call, sqlstate ? sqlstate : "", message ? message : "unknown", both);
    free(both);
}

/* ---- the session ----------------------------------------------------------------------------- */

static void on_notice(void *self, const PGresult *notice)
{
    struct pg_hand *hand = self;
    if (pg_notice_doubts_standby(notice))
        hand->doubt = true;
}

void pg_hand_listen(struct pg_hand *hand)
{
    PQsetNoticeReceiver(hand->connection, on_notice, hand);
}

void pg_hand_close(struct pg_hand *hand)
{
    struct pg_pool *pool = hand->pool;
    pthread_mutex_lock(&pool->mutex);
    if (hand->canceller)
        PQfreeCancel(hand->canceller);
    hand->canceller = NULL;
    hand->serial = 0;
    pthread_mutex_unlock(&pool->mutex);
    if (hand->connection)
        PQfinish(hand->connection);
    hand->connection = NULL;
    hand->in_transaction = false;
}

void pg_hand_lose(struct pg_hand *hand, struct pg_job *job)
{
    job->ghost = hand->serial;
    pg_hand_close(hand);
}

void pg_hand_lost(struct pg_hand *hand, struct pg_job *job, const PGresult *last)
{
    char line[256];
    const char *words = last ? PQresultErrorField(last, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!words)
        words = pg_first_line(PQerrorMessage(hand->connection), line, sizeof(line));
    pg_hand_fail(job, -1, "", "database connection lost", words);
    pg_hand_lose(hand, job);
}

/* What its owner and its settings have to be; false: it can't be used. */
static bool session_settle(struct pg_hand *hand)
{
    bool good = false;
    PGresult *result = PQexec(hand->connection, hand->pool->pg->worker_settings);
    if (PQresultStatus(result) == PGRES_TUPLES_OK) {
        PQclear(result);
        result = PQexec(hand->connection, "select current_user");
        good = PQresultStatus(result) == PGRES_TUPLES_OK;
    }
    free(hand->user);
    hand->user = good ? PQescapeLiteral(hand->connection, PQgetvalue(result, 0, 0),
                                        (size_t)PQgetlength(result, 0, 0))
                      : NULL;
    char *user = hand->user ? xstrdup(hand->user) : NULL;
    if (hand->user)
        PQfreemem(hand->user);
    hand->user = user;
    PQclear(result);
    return good && user;
}

static bool session_open(struct pg_hand *hand)
{
    struct pg_pool *pool = hand->pool;
    char name[PG_NAME_BYTES];
    const char *keywords[PG_PARAMETERS], *values[PG_PARAMETERS];
    pthread_mutex_lock(&pool->mutex);
    uint64_t serial = hand->spare_serial;
    pthread_mutex_unlock(&pool->mutex);
    pg_connection_name(&pool->pg->shared, serial, name);
    pg_connection_parameters(pool->pg->shared.conninfo, name, keywords, values);
    hand->connection = PQconnectdbParams(keywords, values, 1);
    CHECK(hand->connection != NULL);
    if (PQstatus(hand->connection) != CONNECTION_OK || !session_settle(hand))
        return false;
    pthread_mutex_lock(&pool->mutex);
    hand->serial = serial;
    hand->spare_serial = 0;
    hand->backend_pid = PQbackendPID(hand->connection);
    hand->canceller = PQgetCancel(hand->connection);
    pthread_mutex_unlock(&pool->mutex);
    return true;
}

bool pg_hand_cancelled(struct pg_hand *hand)
{
    pthread_mutex_lock(&hand->pool->mutex);
    bool cancelled = hand->cancelled;
    pthread_mutex_unlock(&hand->pool->mutex);
    return cancelled;
}

/* False: nobody wants to wait any longer. */
static bool rest(struct pg_hand *hand, long milliseconds)
{
    struct pg_pool *pool = hand->pool;
    struct timespec until;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_nsec += milliseconds % 1000 * 1000000L;
    until.tv_sec += milliseconds / 1000 + until.tv_nsec / NANOSECONDS;
    until.tv_nsec %= NANOSECONDS;
    pthread_mutex_lock(&pool->mutex);
    int waited = 0;
    while (!hand->cancelled && !pool->down && waited == 0)
        waited = pthread_cond_timedwait(&hand->wake, &pool->mutex, &until);
    bool wanted = !hand->cancelled && !pool->down;
    pthread_mutex_unlock(&pool->mutex);
    return wanted;
}

static bool is_usable(const struct pg_hand *hand)
{
    return hand->connection && PQstatus(hand->connection) == CONNECTION_OK;
}

static long longer(long pause_ms)
{
    if (pause_ms < BACKOFF_LOW_MS)
        return BACKOFF_LOW_MS;
    return pause_ms * 2 < BACKOFF_HIGH_MS ? pause_ms * 2 : BACKOFF_HIGH_MS;
}

bool pg_hand_need(struct pg_hand *hand, struct pg_job *job)
{
    char line[256];
    for (long pause_ms = SOON_MS; !is_usable(hand); pause_ms = longer(pause_ms)) {
        pg_hand_close(hand);
        if (pg_hand_cancelled(hand)) {
            pg_hand_fail(job, -1, "57014", "cancelled", "");
            return false;
        }
        if (session_open(hand))
            break;
        pg_first_line(PQerrorMessage(hand->connection), line, sizeof(line));
        pg_hand_close(hand);
        if (pause_ms == SOON_MS)
            host_log(hand->pool->pg->shared.host, LOG_WARNING,
                     "database: no session for a handler: %s; trying again", line);
        if (!rest(hand, pause_ms)) {
            pg_hand_fail(job, -1, "", "the database can't be used", line);
            return false;
        }
    }
    pg_hand_listen(hand);
    hand->doubt = false;
    return true;
}

/* ---- statements ------------------------------------------------------------------------------ */

void pg_hand_reply_fini(struct pg_hand_reply *reply)
{
    PQclear(reply->first);
    PQclear(reply->failed);
}

bool pg_hand_reply_is_end(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return !PQresultErrorField(result, PG_DIAG_SQLSTATE) ||
           (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0));
}

static void reply_take(struct pg_hand_reply *reply, PGresult *result)
{
    switch (PQresultStatus(result)) {
    case PGRES_TUPLES_OK:
    case PGRES_COMMAND_OK:
        reply->done++;
        snprintf(reply->tag, sizeof(reply->tag), "%s", PQcmdStatus(result));
        if (PQresultStatus(result) == PGRES_TUPLES_OK && !reply->first) {
            reply->first = result;
            return;
        }
        break;
    default:
        reply->lost = reply->lost || pg_hand_reply_is_end(result);
        if (!reply->failed) {
            reply->failed = result;
            return;
        }
        break;
    }
    PQclear(result);
}

bool pg_hand_ask(struct pg_hand *hand, const char *sql, struct pg_hand_reply *reply)
{
    *reply = (struct pg_hand_reply){0};
    reply->lost = !PQsendQuery(hand->connection, sql);
    for (PGresult *result; !reply->lost && (result = PQgetResult(hand->connection)) != NULL;)
        reply_take(reply, result);
    if (PQstatus(hand->connection) != CONNECTION_OK)
        reply->lost = true;
    return !reply->lost && !reply->failed;
}

bool pg_hand_tell(struct pg_hand *hand, struct pg_job *job, const char *sql)
{
    struct pg_hand_reply reply;
    bool good = pg_hand_ask(hand, sql, &reply);
    if (reply.lost)
        pg_hand_lost(hand, job, reply.failed);
    else if (!good)
        pg_hand_fail_sql(job, -1, reply.failed);
    pg_hand_reply_fini(&reply);
    return good;
}

void pg_hand_take_back(struct pg_hand *hand, struct pg_job *job)
{
    struct pg_hand_reply reply;
    if (!hand->connection)
        return;
    if (PQtransactionStatus(hand->connection) != PQTRANS_IDLE) {
        if (!pg_hand_ask(hand, "rollback", &reply) ||
            PQtransactionStatus(hand->connection) != PQTRANS_IDLE)
            pg_hand_lose(hand, job);
        pg_hand_reply_fini(&reply);
    }
    hand->in_transaction = false;
}
