/* Connections of the caller that take part in a transaction: a branch each. */
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "client/answers.h"
#include "core/check.h"

/* Beyond the deadline, for what must be done on a connection all the same. */
#define GRACE_US (900 * 1000)
/* Beyond that again: who waits on the connection is told first. */
#define WATCH_US (1000 * 1000)
enum { TOLD_BYTES = 2048 };
/* How often a server looks, while a statement runs, whether its client is there. */
enum { PRESENCE_MS = 1000, PRESENCE_VERSION = 140000 };

/* Before BEGIN, so that the caller may still choose the isolation level. The timeouts in ms. */
static const char facts_sql[] =
    "select (select system_identifier from pg_catalog.pg_control_system())"
    " operator(pg_catalog.||) '/' operator(pg_catalog.||)"
    " (select oid from pg_catalog.pg_database where datname operator(pg_catalog.=)"
    " pg_catalog.current_database()),"
    " (extract(epoch from pg_catalog.current_setting('statement_timeout')::pg_catalog.interval)"
    " operator(pg_catalog.*) 1000)::pg_catalog.int8,"
    " (extract(epoch from pg_catalog.current_setting('idle_in_transaction_session_timeout')"
    "::pg_catalog.interval) operator(pg_catalog.*) 1000)::pg_catalog.int8,"
    " pg_catalog.pg_is_in_recovery(),"
    " pg_catalog.current_setting('max_prepared_transactions')";

struct facts {
    char database[64];
    uint64_t statement_ms, idle_ms; /* the session's; 0: none */
};

static uint64_t due_of(const struct troth_tx *tx)
{
    return library_now_us() + tx_left_ms(tx) * UINT64_C(1000) + GRACE_US;
}

static struct joined *joined_find(const struct troth_tx *tx, const PGconn *connection)
{
    for (struct list *at = tx->joined.next; at != &tx->joined; at = at->next) {
        struct joined *joined = CONTAINER(at, struct joined, node);
        if (joined->connection == connection && !joined->handed_over)
            return joined;
    }
    return NULL;
}

bool joined_pending(const struct troth_tx *tx)
{
    for (struct list *at = tx->joined.next; at != &tx->joined; at = at->next) {
        if (!CONTAINER(at, struct joined, node)->handed_over)
            return true;
    }
    return false;
}

/* ---- a caller that forgets its connection -------------------------------------------------- */

/* PostgreSQL's own limits begin anew with each statement: on a connection that was used just before
 * the deadline they would end as long after it. The descriptor is a copy: the caller may close its
 * own, and the number may be given to another file. */
static void watch_begin(struct troth_tx *tx, struct joined *joined)
{
    struct troth *troth = tx->troth;
    joined->socket = fcntl(PQsocket(joined->connection), F_DUPFD_CLOEXEC, 0);
    if (joined->socket < 0)
        return; /* no files are left: then these limits are what there is */
    pthread_mutex_lock(&troth->lock);
    timers_set(&troth->watches, &joined->watch, tx->due_us + WATCH_US);
    pthread_mutex_unlock(&troth->lock);
    library_wake(troth);
}

static void watch_end(struct troth_tx *tx, struct joined *joined)
{
    if (joined->socket < 0)
        return;
    pthread_mutex_lock(&tx->troth->lock);
    timers_clear(&tx->troth->watches, &joined->watch);
    pthread_mutex_unlock(&tx->troth->lock);
    close(joined->socket);
    joined->socket = -1;
}

uint64_t joined_watch(struct troth *troth)
{
    uint64_t now_us = library_now_us();
    pthread_mutex_lock(&troth->lock);
    for (struct timer *timer; (timer = timers_due(&troth->watches, now_us)) != NULL;)
        shutdown(CONTAINER(timer, struct joined, watch)->socket, SHUT_RDWR);
    uint64_t next_us = timers_next(&troth->watches);
    pthread_mutex_unlock(&troth->lock);
    return next_us;
}

/* The caller may do with the connection what it likes. */
static void joined_let_go(struct troth_tx *tx, struct joined *joined)
{
    watch_end(tx, joined);
    joined->handed_over = true;
}

static void joined_drop(struct troth_tx *tx, struct joined *joined)
{
    watch_end(tx, joined);
    list_remove(&joined->node);
    free(joined->participant);
    free(joined);
}

void joined_free(struct troth_tx *tx)
{
    while (!list_empty(&tx->joined))
        joined_drop(tx, CONTAINER(tx->joined.next, struct joined, node));
}

/* ---- what is handed over, as the coordinator is told --------------------------------------- */

/* Fails the result, at the participant. */
static enum troth_status fail_at(const struct joined *joined, struct troth_result *result,
                                 enum troth_status status)
{
    struct troth_problem problem = result->problem;
    problem.participant = joined->participant;
    result_copy_problem(result, &problem);
    return result_is(result, status);
}

/* It may have been told before a session was lost, and the transaction committed since. What it has
 * refused is no part of it; but what it calls over may be. */
static void conclude_handed(struct request *request, struct troth_result *result)
{
    const Wire__Outcome *outcome = outcome_of(request);
    bool over = outcome && problem_is(outcome->problem, "over");
    if (!tx_took_end(request, result) || (over && request->repeated))
        result_is(result, TROTH_OK);
    else if (over)
        tx_end(request->tx, result);
}

/* PostgreSQL's texts have no limit; what is told has one, and must arrive. */
static char *cut(char room[TOLD_BYTES], const char *text)
{
    size_t size = strnlen(text, TOLD_BYTES - 1);
    while (text[size] && size > 0 && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--; /* not in the middle of a character */
    memcpy(room, text, size);
    room[size] = '\0';
    return room;
}

/* xid 0 with a problem: nothing remains of the branch; without one: it only reads. */
static struct request *make_hand_over(struct troth_tx *tx, const struct joined *joined,
                                      uint64_t xid, const struct troth_problem *problem)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__HandOver hand_over = WIRE__HAND_OVER__INIT;
    Wire__Problem told = WIRE__PROBLEM__INIT;
    char message_room[TOLD_BYTES], detail_room[TOLD_BYTES], hint_room[TOLD_BYTES];
    hand_over.gtrid = tx->id;
    hand_over.branch = joined->branch;
    hand_over.xid = xid;
    if (problem) {
        told.participant = joined->participant;
        told.code = (char *)problem->code;
        told.message = cut(message_room, problem->message);
        told.detail = cut(detail_room, problem->detail);
        told.hint = cut(hint_room, problem->hint);
        hand_over.problem = &told;
    }
    message.body_case = WIRE__MESSAGE__BODY_HAND_OVER;
    message.hand_over = &hand_over;
    struct request *request = tx_request(tx, &message, conclude_handed);
    request->repeat = true;
    return request;
}

/* Nothing remains of the branch, as the result says; so the transaction is aborted. What the
 * coordinator says to that changes nothing: it is told, and the deadline does it otherwise. */
static enum troth_status give_up(struct troth_tx *tx, struct joined *joined,
                                 struct troth_result *result)
{
    struct troth_result told = {0};
    result_begin(&told);
    fail_at(joined, result, TROTH_ABORTED);
    joined_let_go(tx, joined);
    struct request *request = make_hand_over(tx, joined, 0, &result->problem);
    request_wait(request, &told);
    /* It was aborted before, and that is why; or this is the first that the coordinator hears. */
    const char *code = told.problem.code;
    if (told.status == TROTH_ABORTED && *code && strcmp(code, "unknown") != 0 &&
        strcmp(code, result->problem.code) != 0)
        result_copy_problem(result, &told.problem);
    troth_result_clear(&told);
    tx_end(tx, result);
    result_id(result, tx->id);
    return result->status;
}

/* ---- join ---------------------------------------------------------------------------------- */

/* Is the connection as a caller must give it? */
static bool is_idle(PGconn *connection, struct troth_result *result)
{
    if (!connection || PQstatus(connection) != CONNECTION_OK) {
        result_fail(result, TROTH_REFUSED, "connection_bad", "the connection is not open");
        result_hint(result, "PQreset makes a new one");
        return false;
    }
    if (PQpipelineStatus(connection) != PQ_PIPELINE_OFF) {
        result_fail(result, TROTH_REFUSED, "pipeline", "the connection is in pipeline mode");
        result_hint(result, "PQexitPipelineMode ends it");
        return false;
    }
    switch (PQtransactionStatus(connection)) {
    case PQTRANS_IDLE:
        return true;
    case PQTRANS_INTRANS:
        result_fail(result, TROTH_REFUSED, "in_transaction",
                    "a transaction is open on the connection");
        result_hint(result, "end it: troth_join begins the one that takes part");
        return false;
    case PQTRANS_INERROR:
        result_fail(result, TROTH_REFUSED, "in_transaction",
                    "a transaction that has failed is open on the connection");
        result_hint(result, "ROLLBACK ends it");
        return false;
    default:
        result_fail(result, TROTH_REFUSED, "connection_busy",
                    "a statement or COPY is under way on the connection");
        result_hint(result, "read its results to the end (PQgetResult)");
        return false;
    }
}

static bool take_facts(const PGresult *row, struct facts *facts, struct troth_result *result)
{
    snprintf(facts->database, sizeof(facts->database), "%s", PQgetvalue(row, 0, 0));
    facts->statement_ms = strtoull(PQgetvalue(row, 0, 1), NULL, 10);
    facts->idle_ms = strtoull(PQgetvalue(row, 0, 2), NULL, 10);
    if (*PQgetvalue(row, 0, 3) == 't') {
        result_fail(result, TROTH_REFUSED, "standby", "the connection is to a standby server");
        result_hint(result, "nothing can be prepared there: connect to the primary");
        return false;
    }
    if (strcmp(PQgetvalue(row, 0, 4), "0") == 0) {
        result_fail(result, TROTH_REFUSED, "55000", "prepared transactions are disabled there");
        result_hint(result, "set max_prepared_transactions, and restart PostgreSQL");
        return false;
    }
    return true;
}

/* Does not touch the transaction yet. */
static bool look_at_database(struct troth_tx *tx, PGconn *connection, struct facts *facts,
                             struct troth_result *result)
{
    struct pg_reply reply = pg_do(connection, facts_sql, due_of(tx));
    bool good = reply.done && PQntuples(reply.result) == 1;
    if (good) {
        good = take_facts(reply.result, facts, result);
    } else {
        pg_problem(result, &reply, connection);
        result_is(result, TROTH_REFUSED);
    }
    PQclear(reply.result);
    return good;
}

static void conclude_join(struct request *request, struct troth_result *result)
{
    struct joined *joined = request->more;
    struct troth_tx *tx = request->tx;
    if (tx_took_end(request, result))
        return;
    const Wire__Progress *progress = progress_of(request);
    if (strlen(progress->gid) >= sizeof(joined->gid) || !*progress->gid) {
        answer_is_strange(result);
        return;
    }
    joined->branch = progress->branch;
    strcpy(joined->gid, progress->gid);
    tx->due_us = library_now_us() + progress->timeout_ms * UINT64_C(1000);
    tx->due_known = true;
    result_is(result, TROTH_OK);
    result_detail(result, "%s", progress->database);
}

static enum troth_status ask_to_join(struct troth_tx *tx, struct joined *joined,
                                     struct troth_result *result)
{
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Join join = WIRE__JOIN__INIT;
    join.gtrid = tx->id;
    join.participant = joined->participant;
    message.body_case = WIRE__MESSAGE__BODY_JOIN;
    message.join = &join;
    struct request *request = tx_request(tx, &message, conclude_join);
    request->abort_if_lost = true;
    request->more = joined;
    return request_wait(request, result);
}

static uint64_t lower(uint64_t own_ms, uint64_t left_ms)
{
    return own_ms > 0 && own_ms < left_ms ? own_ms : left_ms;
}

/* PostgreSQL is told how long it may last, for this transaction alone; and it has a mark, by which
 * one that the caller has begun after it is told from it. */
static bool begin_there(struct troth_tx *tx, const struct joined *joined, const struct facts *facts,
                        struct troth_result *result)
{
    char sql[300 + LIMIT_GID_BYTES];
    PGconn *connection = joined->connection;
    uint64_t left_ms = tx_left_ms(tx);
    left_ms = left_ms > INT32_MAX ? INT32_MAX : left_ms;
    int size =
        snprintf(sql, sizeof(sql),
                 "begin; set local idle_in_transaction_session_timeout = %" PRIu64
                 "; set local statement_timeout = %" PRIu64 "; set local troth.branch = '%s'",
                 lower(facts->idle_ms, left_ms), lower(facts->statement_ms, left_ms), joined->gid);
    if (PQserverVersion(connection) >= PRESENCE_VERSION)
        snprintf(sql + size, sizeof(sql) - (size_t)size,
                 "; set local client_connection_check_interval = %d", PRESENCE_MS);
    struct pg_reply reply = pg_do(connection, sql, due_of(tx));
    bool good = reply.done;
    if (!good) {
        pg_problem(result, &reply, connection);
        pg_make_idle(connection, due_of(tx));
    }
    PQclear(reply.result);
    return good;
}

static enum troth_status work_there(struct troth_tx *tx, struct joined *joined,
                                    const struct facts *facts, const char *database,
                                    struct troth_result *result)
{
    if (*database && strcmp(database, facts->database) != 0) {
        result_fail(result, TROTH_ABORTED, "wrong_database",
                    "the connection is to another database than that of %s", joined->participant);
        result_detail(result, "system identifier and oid are %s there, and %s here", database,
                      facts->database);
        return give_up(tx, joined, result);
    }
    if (!begin_there(tx, joined, facts, result))
        return give_up(tx, joined, result);
    watch_begin(tx, joined);
    return TROTH_OK;
}

static enum troth_status join(struct troth_tx *tx, PGconn *connection, const char *participant,
                              struct troth_result *result)
{
    struct facts facts;
    struct troth_result asked = {0};
    if (!tx->open)
        return tx_ended_before(tx, result);
    if (!participant || !name_valid(participant))
        return result_fail(result, TROTH_REFUSED, "bad_request",
                           "\"%.100s\" is not a participant's name",
                           participant ? participant : "");
    if (!is_idle(connection, result) || !look_at_database(tx, connection, &facts, result))
        return result->status;
    struct joined *joined = xcalloc(1, sizeof(*joined));
    joined->connection = connection;
    joined->socket = -1;
    joined->participant = xstrdup(participant);
    list_append(&tx->joined, &joined->node);
    result_begin(&asked);
    if (ask_to_join(tx, joined, &asked) != TROTH_OK) {
        joined_drop(tx, joined);
        return result_give(result, &asked);
    }
    work_there(tx, joined, &facts, asked.problem.detail, result);
    troth_result_clear(&asked);
    return result->status;
}

enum troth_status troth_join(struct troth_tx *tx, PGconn *connection, const char *participant,
                             struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    result_id(&made, tx->id);
    join(tx, connection, participant, &made);
    return result_give(result, &made);
}

/* ---- hand over ----------------------------------------------------------------------------- */

static void say_ended(struct troth_result *result)
{
    result_message(result, "the transaction on the connection was ended by the caller");
    result_detail(result, "what it committed there is no part of this transaction");
    result_hint(result, "no COMMIT, ROLLBACK, PREPARE TRANSACTION or RESET ALL between join and "
                        "hand over");
    result_code(result, "transaction_ended");
}

static void say_state(PGconn *connection, struct troth_result *result)
{
    switch (PQtransactionStatus(connection)) {
    case PQTRANS_IDLE:
        say_ended(result);
        return;
    case PQTRANS_INERROR:
        result_message(result, "a statement has failed on the connection");
        result_detail(result, "PostgreSQL can only roll back what stands before it");
        result_code(result, "25P02");
        return;
    case PQTRANS_ACTIVE:
        result_message(result, "a statement or COPY is under way on the connection");
        result_hint(result, "read its results to the end (PQgetResult) before it is handed over");
        result_code(result, "connection_busy");
        return;
    default:
        result_message(result, "the connection to the database is lost");
        result_code(result, "connection_lost");
    }
}

/* Can it be prepared as it stands? A pipeline in which nothing is under way is none. */
static bool is_in_transaction(PGconn *connection, struct troth_result *result)
{
    if (PQstatus(connection) == CONNECTION_OK && PQpipelineStatus(connection) != PQ_PIPELINE_OFF &&
        !PQexitPipelineMode(connection)) {
        result_message(result, "the connection is in pipeline mode, with results to be read");
        result_code(result, "connection_busy");
        return false;
    }
    if (PQstatus(connection) == CONNECTION_OK && PQtransactionStatus(connection) == PQTRANS_INTRANS)
        return true;
    say_state(connection, result);
    return false;
}

/* *xid 0: it only reads, and has said so. Else one is given now: without one it may yet have done
 * what PostgreSQL can't prepare, and has to say so: NOTIFY, foreign tables. */
static bool ask_xid(const struct joined *joined, uint64_t due_us, uint64_t *xid,
                    struct troth_result *result)
{
    struct pg_reply reply = pg_do(joined->connection,
                                  "select case when pg_catalog.current_setting("
                                  "'transaction_read_only') = 'on'"
                                  " then pg_catalog.pg_current_xact_id_if_assigned()"
                                  " else pg_catalog.pg_current_xact_id() end,"
                                  " pg_catalog.current_setting('troth.branch', true)",
                                  due_us);
    bool good = reply.done && PQntuples(reply.result) == 1;
    if (!good) {
        pg_problem(result, &reply, joined->connection);
    } else if (strcmp(PQgetvalue(reply.result, 0, 1), joined->gid) != 0) {
        say_ended(result);
        good = false;
    } else {
        *xid = strtoull(PQgetvalue(reply.result, 0, 0), NULL, 10);
    }
    PQclear(reply.result);
    return good;
}

/* The tag tells: in a failed transaction PREPARE and COMMIT succeed, and are a ROLLBACK. */
static bool prepare(struct joined *joined, uint64_t xid, uint64_t due_us,
                    struct troth_result *result)
{
    char sql[LIMIT_GID_BYTES + 40];
    const char *tag = xid ? "PREPARE TRANSACTION" : "COMMIT";
    snprintf(sql, sizeof(sql), xid ? "prepare transaction '%s'" : "commit", joined->gid);
    struct pg_reply reply = pg_do(joined->connection, sql, due_us);
    bool good = reply.done && strcmp(PQcmdStatus(reply.result), tag) == 0;
    joined->prepared = good && xid;
    if (!good && reply.done) {
        result_message(result, "PostgreSQL has rolled back instead");
        result_code(result, "25P02");
    } else if (!good) {
        pg_problem(result, &reply, joined->connection);
        if (reply.lost)
            result_detail(result, "it may have been prepared: the agent finds it, and aborts it");
    }
    PQclear(reply.result);
    return good;
}

/* What this connection has prepared goes at once; the agent would do it, too, and may have. */
static void roll_back_prepared(struct joined *joined, uint64_t due_us)
{
    char sql[LIMIT_GID_BYTES + 40];
    if (!joined->prepared || !pg_make_idle(joined->connection, due_us))
        return;
    snprintf(sql, sizeof(sql), "rollback prepared '%s'", joined->gid);
    struct pg_reply reply = pg_do(joined->connection, sql, due_us);
    PQclear(reply.result);
    joined->prepared = false;
}

/* The branch is prepared, or over: now the coordinator hears of it. */
static enum troth_status tell_handed_over(struct troth_tx *tx, struct joined *joined, uint64_t xid,
                                          struct troth_result *result)
{
    struct request *request = make_hand_over(tx, joined, xid, NULL);
    joined_let_go(tx, joined);
    request_wait(request, result);
    bool refused = result->status == TROTH_REFUSED && tx->open;
    if (result->status == TROTH_ABORTED || refused)
        roll_back_prepared(joined, due_of(tx));
    return refused ? give_up(tx, joined, result) : result->status;
}

static enum troth_status hand_over(struct troth_tx *tx, struct joined *joined,
                                   struct troth_result *result)
{
    uint64_t due_us = due_of(tx), xid = 0;
    PGconn *connection = joined->connection;
    if (!is_in_transaction(connection, result) || !ask_xid(joined, due_us, &xid, result) ||
        !prepare(joined, xid, due_us, result)) {
        pg_make_idle(connection, due_of(tx));
        roll_back_prepared(joined, due_of(tx));
        return give_up(tx, joined, result);
    }
    return tell_handed_over(tx, joined, xid, result);
}

enum troth_status joined_hand_over(struct troth_tx *tx, struct troth_result *result)
{
    for (struct list *at = tx->joined.next; at != &tx->joined; at = at->next) {
        struct joined *joined = CONTAINER(at, struct joined, node);
        if (joined->handed_over || hand_over(tx, joined, result) == TROTH_OK)
            continue;
        joined_roll_back(tx, result->status == TROTH_ABORTED);
        return result->status;
    }
    return result_is(result, TROTH_OK);
}

enum troth_status troth_hand_over(struct troth_tx *tx, PGconn *connection,
                                  struct troth_result *result)
{
    struct troth_result made = {0};
    result_begin(&made);
    result_id(&made, tx->id);
    struct joined *joined = joined_find(tx, connection);
    if (!joined) {
        result_fail(&made, TROTH_REFUSED, "not_joined",
                    "the connection is not joined, or was handed over");
    } else if (!tx->open) {
        pg_make_idle(connection, due_of(tx));
        joined_let_go(tx, joined);
        tx_ended_before(tx, &made);
    } else {
        hand_over(tx, joined, &made);
    }
    joined_forget_prepared(tx);
    return result_give(result, &made);
}

void joined_forget_prepared(struct troth_tx *tx)
{
    for (struct list *at = tx->joined.next; at != &tx->joined; at = at->next)
        CONTAINER(at, struct joined, node)->prepared = false;
}

void joined_roll_back(struct troth_tx *tx, bool prepared)
{
    uint64_t due_us = due_of(tx);
    for (struct list *at = tx->joined.next; at != &tx->joined; at = at->next) {
        struct joined *joined = CONTAINER(at, struct joined, node);
        if (!joined->handed_over)
            pg_make_idle(joined->connection, due_us);
        else if (prepared)
            roll_back_prepared(joined, due_us);
        joined_let_go(tx, joined);
    }
}
