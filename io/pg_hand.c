/* A thread that carries out calls of handlers: its session, and the work on it.
 *
 *   begin       BEGIN, the limits of the transaction, and a mark that it alone has
 *   calls       each handler in turn, and a look at what it left
 *   the end     the mark is still there, then
 *                 DB_PREPARE    the xid, the sites if it has any, PREPARE TRANSACTION
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

#include "core/check.h"
#include "core/limits.h"
#include "io/pg_hand.h"
#include "io/pg_joined.h"

enum {
    /* What the server waits beyond the deadline before it ends the work by itself: the agent's
     * cancel comes first, and tells why. */
    MARGIN_MS = 1000,
};

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
        if (!pg_hand_need(hand, job))
            return false;
        snprintf(hand->token, sizeof(hand->token), "%" PRIu64, ++hand->tokens);
        char *sql = limits_sql(hand, job,
                               job->work->mode == DB_READ_ONLY ? "begin read only; " : "begin; ");
        struct pg_hand_reply reply;
        good = pg_hand_ask(hand, sql, &reply);
        if (reply.lost && !fresh && try == 0)
            pg_hand_close(hand);
        else if (reply.lost)
            pg_hand_lost(hand, job, reply.failed);
        else if (!good)
            pg_hand_fail_sql(job, -1, reply.failed);
        pg_hand_reply_fini(&reply);
        free(sql);
    }
    hand->in_transaction = good;
    return good;
}

/* The tag's transaction is open here, if its session lives. */
static bool go_on(struct pg_hand *hand, struct pg_job *job)
{
    if (!hand->in_transaction) {
        pg_hand_fail(job, -1, "", "database connection lost", "");
        return false;
    }
    char *sql = limits_sql(hand, job, "");
    bool good = pg_hand_tell(hand, job, sql);
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
    pg_hand_refuse(job, call, refusal, message);
    pg_hand_lose(hand, job);
}

#define LEFT_TRANSACTION "handler_left_transaction"
#define LEFT_SESSION     "handler_left_session"
#define WROTE            "handler_wrote"

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
        pg_hand_lost(hand, job, NULL);
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
    if (pg_hand_cancelled(hand))
        pg_hand_fail(job, call, "57014", "cancelled", "");
    else if (!answer->done && answer->sqlstate)
        pg_hand_fail(job, call, answer->sqlstate, answer->message, answer->detail);
    else if (!answer->done)
        pg_hand_refuse(job, call, answer->refusal, answer->message);
    else if (status == PQTRANS_INERROR)
        pg_hand_fail(job, call, "25P02",
                     "its handler said that all is well after a statement failed",
                     pg_first_line(PQerrorMessage(hand->connection), line, sizeof(line)));
    return !job->reason;
}

static bool call_one(struct pg_hand *hand, struct pg_job *job, int index)
{
    const struct db_work *work = job->work;
    const struct pg_handlers *handlers = hand->pool->handlers;
    struct pg_handler_answer answer = {0};
    if (pg_hand_cancelled(hand)) {
        pg_hand_fail(job, index, "57014", "cancelled", "");
        return false;
    }
    handlers->call(handlers->self, &work->calls[index], work->gtrid ? work->gtrid : "",
                   hand->connection, &answer);
    pg_hand_listen(hand);
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
        pg_hand_fail(job, -1, "", "the result is too large", "");
    }
    return !job->reason;
}

/* ---- the end --------------------------------------------------------------------------------- */

/* Fails, with one of these words in its text, unless the session is in the transaction that was
 * begun and has the role that it had: a gid of another one may be out of the finishers' reach. It
 * depends on the session, so it is not computed beforehand. */
#define GUARD_WITH(more)                                                                           \
    "(case when current_setting('troth.transaction', true) is distinct from '%s'"                  \
    " then '" LEFT_TRANSACTION "' when current_user <> %s then '" LEFT_SESSION "'" more            \
    " else '0' end)::int"
#define GUARD GUARD_WITH("")
#define READ_ONLY_GUARD                                                                            \
    GUARD_WITH(" when pg_current_xact_id_if_assigned() is not null then '" WROTE "'")

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

static void end_failed(struct pg_hand *hand, struct pg_job *job, const struct pg_hand_reply *reply)
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
    if (reply->done == 0 && message && strstr(message, WROTE)) {
        pg_hand_refuse(job, last, WROTE,
                       "it is read-only, and its handler made the transaction one that writes");
        return;
    }
    job->duplicate = job->work->mode == DB_ONE_PHASE && pg_joined_is_duplicate(reply->failed);
    pg_hand_fail_sql(job, -1, reply->failed);
}

/* Sends the end. tag: that of its last statement. */
static bool end(struct pg_hand *hand, struct pg_job *job, const char *sql, const char *tag,
                struct pg_hand_reply *reply)
{
    bool read_only = job->work->mode == DB_READ_ONLY;
    bool good = pg_hand_ask(hand, sql, reply);
    if (reply->failed && !pg_hand_reply_is_end(reply->failed)) {
        end_failed(hand, job, reply);
    } else if (reply->lost) {
        /* Of what only reads nothing can remain, whatever became of its COMMIT. */
        pg_hand_lost(hand, job, reply->failed);
        job->outcome = read_only ? DB_FAILED : DB_LOST;
    } else if (strcmp(reply->tag, tag) != 0) {
        pg_hand_fail(job, -1, "", "the database rolled the work back", "");
    } else if (hand->doubt && !read_only) {
        pg_hand_fail(job, -1, "", "the wait for the synchronous standby was cancelled", "");
        job->outcome = DB_LOST;
    }
    return good && !job->reason;
}

static void commit(struct pg_hand *hand, struct pg_job *job, char *sql)
{
    struct pg_hand_reply reply;
    if (end(hand, job, sql, "COMMIT", &reply))
        job->outcome = DB_COMMITTED;
    pg_hand_reply_fini(&reply);
    free(sql);
}

static void prepare(struct pg_hand *hand, struct pg_job *job)
{
    struct pg_hand_reply reply;
    char sites[80] = "";
    CHECK(!job->work->sites || job->sites_id > 0);
    if (job->work->sites)
        snprintf(sites, sizeof(sites), ", " PG_SITES_LOCK("%d"), job->sites_id);
    char *sql =
        xasprintf("select " GUARD ", pg_current_xact_id()::text%s; PREPARE TRANSACTION '%s'",
                  hand->token, hand->user, sites, job->work->gid);
    if (end(hand, job, sql, "PREPARE TRANSACTION", &reply))
        job->outcome = DB_PREPARED;
    /* Also when it is lost: if it comes up again, this is what it is known by. */
    if (reply.first)
        job->xid = strtoull(PQgetvalue(reply.first, 0, 1), NULL, 10);
    pg_hand_reply_fini(&reply);
    free(sql);
}

/* It stays open: with its xid; 0: none, as it only reads and has said so. Else it gets one now:
 * what PostgreSQL can't prepare (NOTIFY, foreign tables) must come to a PREPARE, to be refused. */
static void leave_open(struct pg_hand *hand, struct pg_job *job)
{
    struct pg_hand_reply reply;
    char *sql =
        xasprintf("select " GUARD ", case when current_setting('transaction_read_only') = 'on'"
                  " then pg_current_xact_id_if_assigned() else pg_current_xact_id() end::text",
                  hand->token, hand->user);
    bool good = pg_hand_ask(hand, sql, &reply);
    free(sql);
    if (reply.lost) {
        pg_hand_lost(hand, job, reply.failed);
    } else if (!good) {
        end_failed(hand, job, &reply);
    } else {
        job->outcome = DB_OPENED;
        job->open_xid = strtoull(PQgetvalue(reply.first, 0, 1), NULL, 10); /* null is "" */
        hand->open_xid = job->open_xid;
    }
    pg_hand_reply_fini(&reply);
}

static void finish(struct pg_hand *hand, struct pg_job *job)
{
    const struct db_work *work = job->work;
    if (work->mode == DB_STEP)
        leave_open(hand, job);
    else if (work->mode == DB_PREPARE && work->open && hand->open_xid == 0)
        commit(hand, job, xstrdup("commit"));
    else if (work->mode == DB_PREPARE)
        prepare(hand, job);
    else if (work->mode == DB_ONE_PHASE)
        commit(hand, job, one_phase_sql(hand, job));
    else
        commit(hand, job, xasprintf("select " READ_ONLY_GUARD "; commit", hand->token, hand->user));
}

/* ---- jobs ------------------------------------------------------------------------------------ */

static void run(struct pg_hand *hand, struct pg_job *job)
{
    if (job->work->mode == DB_ROLLBACK) {
        job->outcome = DB_FAILED;
        pg_hand_take_back(hand, job);
        return;
    }
    if ((job->continues ? go_on(hand, job) : begin(hand, job)) && calls(hand, job))
        finish(hand, job);
    if (job->outcome != DB_OPENED)
        pg_hand_take_back(hand, job);
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
    pg_hand_close(hand);
    free(hand->user);
    return NULL;
}
