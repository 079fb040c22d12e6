/* A thread that carries out calls of handlers: its session, and the work on it.
 *
 *   begin       BEGIN, the limits of the transaction, and a mark that it alone has
 *   calls       each handler in turn, and a look at what it left
 *   the end     the mark is still there, then
 *                 DB_PREPARE    the xid, PREPARE TRANSACTION
 *                 DB_READ_ONLY  no xid was given, COMMIT
 *                 DB_ONE_PHASE  the barrier row, COMMIT
 *                 DB_STEP       nothing: it stays open
 *
 * The end is one message of several statements: the server skips all after one that failed, so
 * either what stands before PREPARE or COMMIT succeeded or nothing of it is carried out. Once it
 * was sent and the connection is lost, the outcome is not known (DB_LOST). */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_joined.h"
#include "io/pg_pool.h"

enum {
    SOON_MS = 20,
    BACKOFF_LOW_MS = 250,
    BACKOFF_HIGH_MS = 5000,
    /* What the server waits beyond the deadline before it ends the work by itself: the agent's
     * cancel comes first, and tells why. */
    MARGIN_MS = 1000,
    NANOSECONDS = 1000000000,
};

/* ---- failures -------------------------------------------------------------------------------- */

static void fail_set(struct pg_job *job, int call, const char *sqlstate, const char *reason,
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

static void fail_refused(struct pg_job *job, int call, const char *refusal, const char *reason)
{
    fail_set(job, call, "", reason, "");
    job->refusal = job->refusal ? job->refusal : xstrdup(refusal);
}

static void fail_sql(struct pg_job *job, int call, const PGresult *result)
{
    const char *sqlstate = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const char *detail = PQresultErrorField(result, PG_DIAG_MESSAGE_DETAIL);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    char *both = xasprintf("%s%s%s", detail ? detail : "", detail && hint ? "; hint: " : "",
                           hint ? hint : "");
    fail_set(job, call, sqlstate ? sqlstate : "", message ? message : "unknown", both);
    free(both);
}

/* ---- the session ----------------------------------------------------------------------------- */

static void on_notice(void *self, const PGresult *notice)
{
    struct pg_hand *hand = self;
    if (pg_notice_doubts_standby(notice))
        hand->doubt = true;
}

static void session_close(struct pg_hand *hand)
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

/* Lost, or given up, in the middle of something: its backend may still be at it. */
static void session_lose(struct pg_hand *hand, struct pg_job *job)
{
    job->ghost = hand->serial;
    session_close(hand);
}

static void session_lost(struct pg_hand *hand, struct pg_job *job, const PGresult *last)
{
    char line[256];
    const char *words = last ? PQresultErrorField(last, PG_DIAG_MESSAGE_PRIMARY) : NULL;
    if (!words)
        words = pg_first_line(PQerrorMessage(hand->connection), line, sizeof(line));
    fail_set(job, -1, "", "database connection lost", words);
    session_lose(hand, job);
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

/* The runner, or the end of the process, wants no more of the job. */
static bool is_cancelled(struct pg_hand *hand)
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

/* Tries until it is connected, or the work is cancelled, or the control connection says that the
 * database is away. */
static bool session_need(struct pg_hand *hand, struct pg_job *job)
{
    char line[256];
    for (long pause_ms = SOON_MS; !hand->connection || PQstatus(hand->connection) != CONNECTION_OK;
         pause_ms = pause_ms < BACKOFF_LOW_MS        ? BACKOFF_LOW_MS
                    : pause_ms * 2 < BACKOFF_HIGH_MS ? pause_ms * 2
                                                     : BACKOFF_HIGH_MS) {
        session_close(hand);
        if (is_cancelled(hand)) {
            fail_set(job, -1, "57014", "cancelled", "");
            return false;
        }
        if (session_open(hand))
            break;
        pg_first_line(PQerrorMessage(hand->connection), line, sizeof(line));
        session_close(hand);
        if (!rest(hand, pause_ms)) {
            fail_set(job, -1, "", "the database can't be used", line);
            return false;
        }
    }
    PQsetNoticeReceiver(hand->connection, on_notice, hand);
    hand->doubt = false;
    return true;
}

/* ---- statements ------------------------------------------------------------------------------ */

/* What the server answered to a text of several statements. */
struct reply {
    PGresult *first; /* of the first one with rows; NULL */
    char tag[32];    /* of the last one */
    int done;        /* how many were carried out */
    PGresult *failed;
    bool lost;
};

static void reply_fini(struct reply *reply)
{
    PQclear(reply->first);
    PQclear(reply->failed);
}

/* The session is over with it: the server said so, or libpq, whose own errors have no SQLSTATE. */
static bool is_end(const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    return !PQresultErrorField(result, PG_DIAG_SQLSTATE) ||
           (severity && (strcmp(severity, "FATAL") == 0 || strcmp(severity, "PANIC") == 0));
}

static void reply_take(struct reply *reply, PGresult *result)
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
        reply->lost = reply->lost || is_end(result);
        if (!reply->failed) {
            reply->failed = result;
            return;
        }
        break;
    }
    PQclear(result);
}

/* True: all of it was carried out. */
static bool ask(struct pg_hand *hand, const char *sql, struct reply *reply)
{
    *reply = (struct reply){0};
    reply->lost = !PQsendQuery(hand->connection, sql);
    for (PGresult *result; !reply->lost && (result = PQgetResult(hand->connection)) != NULL;)
        reply_take(reply, result);
    if (PQstatus(hand->connection) != CONNECTION_OK)
        reply->lost = true;
    return !reply->lost && !reply->failed;
}

/* The same where only that matters. Lost: the session is closed. */
static bool tell(struct pg_hand *hand, struct pg_job *job, const char *sql)
{
    struct reply reply;
    bool good = ask(hand, sql, &reply);
    if (reply.lost)
        session_lost(hand, job, reply.failed);
    else if (!good)
        fail_sql(job, -1, reply.failed);
    reply_fini(&reply);
    return good;
}

/* Leaves nothing open, whatever state the transaction is in. */
static void take_back(struct pg_hand *hand, struct pg_job *job)
{
    struct reply reply;
    if (!hand->connection)
        return;
    if (PQtransactionStatus(hand->connection) != PQTRANS_IDLE) {
        if (!ask(hand, "rollback", &reply) || PQtransactionStatus(hand->connection) != PQTRANS_IDLE)
            session_lose(hand, job);
        reply_fini(&reply);
    }
    hand->in_transaction = false;
}

/* ---- the beginning --------------------------------------------------------------------------- */

static unsigned long long left_ms(const struct pg_job *job)
{
    uint64_t now_us = uv_hrtime() / 1000;
    uint64_t left_us = job->deadline_us > now_us ? job->deadline_us - now_us : 0;
    unsigned long long ms = left_us / 1000 + MARGIN_MS;
    return ms < INT32_MAX ? ms : INT32_MAX;
}

/* Utility statements alone: so a handler may still choose how its transaction is isolated. The idle
 * limit frees the locks when a handler hangs, or this process does. */
static char *limits_sql(const struct pg_hand *hand, const struct pg_job *job, const char *before)
{
    unsigned long long ms = left_ms(job);
    return xasprintf("%sset local statement_timeout = %llu; set local lock_timeout = %llu;"
                     " set local idle_in_transaction_session_timeout = %llu;"
                     " set local troth.transaction = '%s'",
                     before, ms, (unsigned long long)(hand->pool->lock_timeout_us + 999) / 1000, ms,
                     hand->token);
}

/* A session that broke while it was idle is made anew, once. */
static bool begin(struct pg_hand *hand, struct pg_job *job)
{
    bool good = false;
    for (int try = 0; try < 2 && !good && !job->reason; try++) {
        bool fresh = !hand->connection;
        if (!session_need(hand, job))
            return false;
        snprintf(hand->token, sizeof(hand->token), "%" PRIu64, ++hand->tokens);
        char *sql = limits_sql(hand, job,
                               job->work->mode == DB_READ_ONLY ? "begin read only; " : "begin; ");
        struct reply reply;
        good = ask(hand, sql, &reply);
        if (reply.lost && !fresh && try == 0)
            session_close(hand);
        else if (reply.lost)
            session_lost(hand, job, reply.failed);
        else if (!good)
            fail_sql(job, -1, reply.failed);
        reply_fini(&reply);
        free(sql);
    }
    hand->in_transaction = good;
    return good;
}

/* The tag's transaction is open here, if its session lives. */
static bool go_on(struct pg_hand *hand, struct pg_job *job)
{
    if (!hand->in_transaction) {
        fail_set(job, -1, "", "database connection lost", "");
        return false;
    }
    char *sql = limits_sql(hand, job, "");
    bool good = tell(hand, job, sql);
    free(sql);
    return good;
}

/* ---- calls ----------------------------------------------------------------------------------- */

static void answer_fini(struct pg_handler_answer *answer)
{
    free(answer->result);
    free(answer->refusal);
    free(answer->sqlstate);
    free(answer->message);
    free(answer->detail);
}

/* What is there can't be trusted any more, and what the handler has committed stays committed. */
static void misuse(struct pg_hand *hand, struct pg_job *job, int call, const char *refusal,
                   const char *message)
{
    host_log(hand->pool->pg->shared.host, LOG_ERROR, "%s: operation %s: %s",
             job->work->gtrid ? job->work->gtrid : "",
             call >= 0 ? job->work->calls[call].operation : "", message);
    fail_refused(job, call, refusal, message);
    session_lose(hand, job);
}

#define LEFT_TRANSACTION "handler_left_transaction"
#define LEFT_SESSION     "handler_left_session"

static void left_transaction(struct pg_hand *hand, struct pg_job *job, int call)
{
    misuse(hand, job, call, LEFT_TRANSACTION,
           "its handler ended the transaction, which is not its own: what it committed stays, and "
           "belongs to nothing");
}

/* The session is one on which the next command can be sent, and that the fence knows. */
static bool session_sound(struct pg_hand *hand)
{
    char name[PG_NAME_BYTES];
    const char *now = PQparameterStatus(hand->connection, "application_name");
    pg_connection_name(&hand->pool->pg->shared, hand->serial, name);
    return PQpipelineStatus(hand->connection) == PQ_PIPELINE_OFF &&
           PQsetnonblocking(hand->connection, 0) == 0 && now && strcmp(now, name) == 0;
}

/* What it left, whatever it said. False: the work ends here. */
static bool judge(struct pg_hand *hand, struct pg_job *job, int call,
                  const struct pg_handler_answer *answer)
{
    PGTransactionStatusType status = PQtransactionStatus(hand->connection);
    char line[256];
    if (PQstatus(hand->connection) != CONNECTION_OK) {
        session_lost(hand, job, NULL);
        return false;
    }
    if (status == PQTRANS_IDLE) {
        left_transaction(hand, job, call);
        return false;
    }
    if (status == PQTRANS_ACTIVE || !session_sound(hand)) {
        misuse(hand, job, call, LEFT_SESSION,
               "its handler left a command, a pipeline or another application_name behind");
        return false;
    }
    if (is_cancelled(hand))
        fail_set(job, call, "57014", "cancelled", "");
    else if (!answer->done && answer->sqlstate)
        fail_set(job, call, answer->sqlstate, answer->message, answer->detail);
    else if (!answer->done)
        fail_refused(job, call, answer->refusal, answer->message);
    else if (status == PQTRANS_INERROR)
        fail_set(job, call, "25P02", "its handler said that all is well after a statement failed",
                 pg_first_line(PQerrorMessage(hand->connection), line, sizeof(line)));
    return !job->reason;
}

static bool call_one(struct pg_hand *hand, struct pg_job *job, int index)
{
    const struct db_work *work = job->work;
    const struct pg_handlers *handlers = hand->pool->handlers;
    struct pg_handler_answer answer = {0};
    if (is_cancelled(hand)) {
        fail_set(job, index, "57014", "cancelled", "");
        return false;
    }
    handlers->call(handlers->self, &work->calls[index], work->gtrid ? work->gtrid : "",
                   hand->connection, &answer);
    PQsetNoticeReceiver(hand->connection, on_notice, hand);
    bool good = judge(hand, job, index, &answer);
    if (good) {
        job->results[index] = answer.result;
        answer.result = NULL;
    }
    answer_fini(&answer);
    return good;
}

static bool calls(struct pg_hand *hand, struct pg_job *job)
{
    const struct db_work *work = job->work;
    job->results = xcalloc((size_t)work->call_count + 1, sizeof(char *));
    for (int i = 0; i < work->call_count; i++)
        if (!call_one(hand, job, i))
            return false;
    const char *kept = work->keeps_result ? job->results[0] : NULL;
    if (kept && strlen(kept) > LIMIT_RESULT_BYTES) {
        job->too_large = true;
        fail_set(job, -1, "", "the result is too large", "");
    }
    return !job->reason;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Fails, with one of the two words in its text, unless the session is in the transaction that was
 * begun and has the role that it had: a gid of another one may be out of the finishers' reach. It
 * depends on the session, so it is not computed beforehand. */
#define GUARD                                                                                      \
    "(case when current_setting('troth.transaction', true) is distinct from '%s'"                  \
    " then '" LEFT_TRANSACTION "' when current_user <> %s then '" LEFT_SESSION "' else '0' end)"   \
    "::int"

/* COMMIT is told as done, so it must be on the disk whatever the handler has set. */
#define DURABLY                                                                                    \
    ", case when current_setting('synchronous_commit') = 'off'"                                    \
    " then set_config('synchronous_commit', 'on', true) end"

static char *literal(struct pg_hand *hand, const char *text)
{
    if (!text)
        return xstrdup("null");
    char *escaped = PQescapeLiteral(hand->connection, text, strlen(text));
    CHECK(escaped != NULL);
    char *copy = xstrdup(escaped);
    PQfreemem(escaped);
    return copy;
}

static char *one_phase_sql(struct pg_hand *hand, const struct pg_job *job)
{
    const struct db_work *work = job->work;
    char *key = literal(hand, work->gtrid);
    char *result = literal(hand, work->keeps_result ? job->results[0] : NULL);
    char *sql =
        xasprintf("select " GUARD DURABLY
                  "; insert into troth.barrier (gtrid, kind, result) values (%s, '%s', %s)"
                  "; commit",
                  hand->token, hand->user, key, work->keeps_result ? "done" : "one-phase", result);
    free(key);
    free(result);
    return sql;
}

static void end_failed(struct pg_hand *hand, struct pg_job *job, const struct reply *reply)
{
    const char *message = PQresultErrorField(reply->failed, PG_DIAG_MESSAGE_PRIMARY);
    int last = job->work->call_count - 1;
    if (reply->done == 0 && message && strstr(message, LEFT_TRANSACTION)) {
        left_transaction(hand, job, last);
        return;
    }
    if (reply->done == 0 && message && strstr(message, LEFT_SESSION)) {
        misuse(hand, job, last, LEFT_SESSION, "its handler left the session with another role");
        return;
    }
    job->duplicate = job->work->mode == DB_ONE_PHASE && pg_joined_is_duplicate(reply->failed);
    fail_sql(job, -1, reply->failed);
}

/* Sends the end. tag: that of its last statement. */
static bool end(struct pg_hand *hand, struct pg_job *job, const char *sql, const char *tag,
                struct reply *reply)
{
    bool read_only = job->work->mode == DB_READ_ONLY;
    bool good = ask(hand, sql, reply);
    if (reply->failed && !is_end(reply->failed)) {
        end_failed(hand, job, reply);
    } else if (reply->lost) {
        /* Of what only reads nothing can remain, whatever became of its COMMIT. */
        session_lost(hand, job, reply->failed);
        job->outcome = read_only ? DB_FAILED : DB_LOST;
    } else if (strcmp(reply->tag, tag) != 0) {
        fail_set(job, -1, "", "the database rolled the work back", "");
    } else if (hand->doubt && !read_only) {
        fail_set(job, -1, "", "the wait for the synchronous standby was cancelled", "");
        job->outcome = DB_LOST;
    }
    return good && !job->reason;
}

static void commit(struct pg_hand *hand, struct pg_job *job, char *sql)
{
    struct reply reply;
    if (end(hand, job, sql, "COMMIT", &reply))
        job->outcome = DB_COMMITTED;
    reply_fini(&reply);
    free(sql);
}

static void prepare(struct pg_hand *hand, struct pg_job *job)
{
    struct reply reply;
    char *sql = xasprintf("select " GUARD ", pg_current_xact_id()::text; PREPARE TRANSACTION '%s'",
                          hand->token, hand->user, job->work->gid);
    if (end(hand, job, sql, "PREPARE TRANSACTION", &reply))
        job->outcome = DB_PREPARED;
    /* Also when it is lost: if it comes up again, this is what it is known by. */
    if (reply.first)
        job->xid = strtoull(PQgetvalue(reply.first, 0, 1), NULL, 10);
    reply_fini(&reply);
    free(sql);
}

/* The xid that the transaction has by now; 0: none. Nothing was written then. */
static bool xid_get(struct pg_hand *hand, struct pg_job *job, uint64_t *xid)
{
    struct reply reply;
    char *sql = xasprintf("select " GUARD ", pg_current_xact_id_if_assigned()::text", hand->token,
                          hand->user);
    bool good = ask(hand, sql, &reply);
    free(sql);
    *xid = 0;
    if (reply.lost)
        session_lost(hand, job, reply.failed);
    else if (!good)
        end_failed(hand, job, &reply);
    else if (!PQgetisnull(reply.first, 0, 1))
        *xid = strtoull(PQgetvalue(reply.first, 0, 1), NULL, 10);
    reply_fini(&reply);
    return good;
}

static void finish(struct pg_hand *hand, struct pg_job *job)
{
    const struct db_work *work = job->work;
    uint64_t xid;
    if (work->mode == DB_STEP) {
        job->outcome = DB_OPENED;
        return;
    }
    if (work->mode == DB_PREPARE && !work->open) {
        prepare(hand, job);
    } else if (work->mode == DB_PREPARE) {
        if (!xid_get(hand, job, &xid))
            return;
        if (xid != 0)
            prepare(hand, job);
        else
            commit(hand, job, xstrdup("commit"));
    } else if (work->mode == DB_ONE_PHASE) {
        commit(hand, job, one_phase_sql(hand, job));
    } else if (xid_get(hand, job, &xid)) {
        if (xid == 0)
            commit(hand, job, xstrdup("commit"));
        else
            fail_refused(job, work->call_count - 1, "handler_wrote",
                         "it is read-only, and its handler made the transaction one that writes");
    }
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void run(struct pg_hand *hand, struct pg_job *job)
{
    if (job->work->mode == DB_ROLLBACK) {
        job->outcome = DB_FAILED;
        take_back(hand, job);
        return;
    }
    if ((job->continues ? go_on(hand, job) : begin(hand, job)) && calls(hand, job))
        finish(hand, job);
    if (job->outcome != DB_OPENED)
        take_back(hand, job);
}

void *pg_hand_main(void *self)
{
    struct pg_hand *hand = self;
    struct pg_pool *pool = hand->pool;
    pthread_mutex_lock(&pool->mutex);
    for (;;) {
        while (!hand->given && !hand->ending)
            pthread_cond_wait(&hand->wake, &pool->mutex);
        if (!hand->given)
            break;
        struct pg_job *job = hand->given;
        pthread_mutex_unlock(&pool->mutex);
        run(hand, job);
        pthread_mutex_lock(&pool->mutex);
        hand->given = NULL;
        list_append(&pool->done, &job->link);
        uv_async_send(pool->async);
        pthread_cond_signal(&hand->wake); /* of who waits for its end */
    }
    pthread_mutex_unlock(&pool->mutex);
    session_close(hand);
    free(hand->user);
    return NULL;
}
