#include "io/pg_connection.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

enum {
    CONNECT_LIMIT_MS = 10000, /* libpq's connect_timeout does not apply to PQconnectPoll */
    SOON_MS = 20,
    BACKOFF_LOW_MS = 250,
    BACKOFF_HIGH_MS = 5000,
    STEADY_US = 5000000, /* ready for so long, the failures before are forgotten */
};

const char *pg_connection_name(const struct pg_connection_shared *shared, uint64_t serial,
                               char buffer[PG_NAME_BYTES])
{
    int size = snprintf(buffer, PG_NAME_BYTES, "%s%" PRIu64, shared->name, serial);
    CHECK(size < PG_NAME_BYTES);
    return buffer;
}

void pg_connection_parameters(const char *conninfo, const char *name,
                              const char *keywords[PG_PARAMETERS],
                              const char *values[PG_PARAMETERS])
{
    /* Later ones win, and "dbname" is expanded into all that the conninfo names. A server that
     * vanishes without a word is noticed within half a minute. */
    const char *const pairs[PG_PARAMETERS][2] = {
        {"keepalives_idle", "10"},
        {"keepalives_interval", "5"},
        {"keepalives_count", "4"},
        {"tcp_user_timeout", "30000"},
        {"connect_timeout", "10"},
        {"dbname", conninfo},
        {"fallback_application_name", "troth"},
        {"client_encoding", "UTF8"},
        {"application_name", name},
        {NULL, NULL},
    };
    for (int i = 0; i < PG_PARAMETERS; i++) {
        keywords[i] = pairs[i][0];
        values[i] = pairs[i][1];
    }
}

bool pg_conninfo_valid(const char *conninfo)
{
    char *problem = NULL;
    PQconninfoOption *options = PQconninfoParse(conninfo, &problem);
    if (problem)
        PQfreemem(problem);
    if (!options)
        return false;
    PQconninfoFree(options);
    return true;
}

const char *pg_first_line(const char *text, char *buffer, int size)
{
    static const char *const severities[] = {"FATAL:  ", "ERROR:  ", "PANIC:  "};
    for (int i = 0; i < 3; i++)
        if (strncmp(text, severities[i], strlen(severities[i])) == 0)
            text += strlen(severities[i]);
    snprintf(buffer, (size_t)size, "%.*s", (int)strcspn(text, "\n"), text);
    return buffer;
}

/* ---- handles of the loop -------------------------------------------------------------------- */

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

/* Must come before libpq closes the socket: the number may be given to another file at once. */
static void poll_stop(struct pg_connection *connection)
{
    if (!connection->poll)
        return;
    uv_poll_stop(connection->poll);
    uv_close((uv_handle_t *)connection->poll, free_handle);
    connection->poll = NULL;
    connection->poll_events = 0;
}

static void on_poll(uv_poll_t *poll, int status, int events);

static void poll_want(struct pg_connection *connection, int events)
{
    if (!connection->poll) {
        connection->poll = xmalloc(sizeof(*connection->poll));
        CHECK(uv_poll_init(connection->shared->uv, connection->poll,
                           PQsocket(connection->handle)) == 0);
        connection->poll->data = connection;
    }
    if (events != connection->poll_events) {
        CHECK(uv_poll_start(connection->poll, events, on_poll) == 0);
        connection->poll_events = events;
    }
}

static void on_timer(uv_timer_t *timer);

static void timer_set(struct pg_connection *connection, uint64_t ms)
{
    CHECK(uv_timer_start(connection->timer, on_timer, ms, 0) == 0);
}

/* ---- closing ------------------------------------------------------------------------------- */

void pg_connection_close(struct pg_connection *connection)
{
    poll_stop(connection);
    uv_timer_stop(connection->timer);
    if (connection->handle)
        PQfinish(connection->handle);
    connection->handle = NULL;
    connection->outstanding = 0;
    connection->broken = false;
    connection->standby_doubt = false;
    connection->state = PG_CONNECTION_CLOSED;
}

/* Closes and tells. Only from the loop; the last thing that a caller does. */
static void shut(struct pg_connection *connection, const char *reason)
{
    char text[sizeof(connection->reason)];
    snprintf(text, sizeof(text), "%s", reason);
    bool was_ready = connection->state == PG_CONNECTION_READY;
    uint64_t now_us = connection->shared->host->now_us(connection->shared->host->self);
    if (was_ready && now_us - connection->ready_at_us > STEADY_US)
        connection->failures = 0;
    else
        connection->failures++;
    pg_connection_close(connection);
    connection->owner->closed(connection, was_ready, text);
}

static void shut_by_libpq(struct pg_connection *connection)
{
    char line[sizeof(connection->reason)];
    const char *text = connection->handle ? PQerrorMessage(connection->handle) : "out of memory";
    pg_first_line(*text ? text : "the connection was closed", line, sizeof(line));
    shut(connection, connection->last_words[0] ? connection->last_words : line);
}

void pg_connection_fail(struct pg_connection *connection, const char *reason)
{
    if (connection->broken || connection->state == PG_CONNECTION_CLOSED ||
        connection->state == PG_CONNECTION_WAITING)
        return;
    pg_first_line(reason, connection->reason, sizeof(connection->reason));
    connection->broken = true;
    poll_stop(connection);
    timer_set(connection, 0);
}

/* ---- connecting ---------------------------------------------------------------------------- */

/* A server that ends a session says why, then closes it; libpq tells only the second. */
static bool last_words_note(struct pg_connection *connection, const PGresult *result)
{
    const char *severity = PQresultErrorField(result, PG_DIAG_SEVERITY_NONLOCALIZED);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    if (!severity || !message || (strcmp(severity, "FATAL") != 0 && strcmp(severity, "PANIC") != 0))
        return false;
    snprintf(connection->last_words, sizeof(connection->last_words), "%s", message);
    return true;
}

bool pg_notice_doubts_standby(const PGresult *notice)
{
    /* The function's name does not depend on the language of the server's messages. */
    const char *function = PQresultErrorField(notice, PG_DIAG_SOURCE_FUNCTION);
    const char *message = PQresultErrorField(notice, PG_DIAG_MESSAGE_PRIMARY);
    return (function && strcmp(function, "SyncRepWaitForLSN") == 0) ||
           (message && strstr(message, "wait for synchronous replication"));
}

static void on_notice(void *self, const PGresult *notice)
{
    struct pg_connection *connection = self;
    last_words_note(connection, notice);
    if (pg_notice_doubts_standby(notice))
        connection->standby_doubt = true;
}

static void connect_begin(struct pg_connection *connection)
{
    struct pg_connection_shared *shared = connection->shared;
    if (!pg_conninfo_valid(shared->conninfo)) {
        shut(connection, "postgres.conninfo is not a connection string");
        return;
    }
    char name[PG_NAME_BYTES];
    const char *keywords[PG_PARAMETERS], *values[PG_PARAMETERS];
    connection->serial = ++shared->serial;
    pg_connection_name(shared, connection->serial, name);
    pg_connection_parameters(shared->conninfo, name, keywords, values);
    connection->handle = PQconnectStartParams(keywords, values, 1);
    connection->last_words[0] = '\0';
    connection->state = PG_CONNECTION_CONNECTING;
    if (!connection->handle || PQstatus(connection->handle) == CONNECTION_BAD) {
        shut_by_libpq(connection);
        return;
    }
    PQsetNoticeReceiver(connection->handle, on_notice, connection);
    timer_set(connection, CONNECT_LIMIT_MS);
    poll_want(connection, UV_WRITABLE);
}

static void flush(struct pg_connection *connection)
{
    int left = PQflush(connection->handle);
    if (left < 0)
        pg_connection_fail(connection, PQerrorMessage(connection->handle));
    else
        poll_want(connection, left ? UV_READABLE | UV_WRITABLE : UV_READABLE);
}

static void settle_begin(struct pg_connection *connection)
{
    connection->state = PG_CONNECTION_SETTLING;
    connection->backend_pid = PQbackendPID(connection->handle);
    if (PQsetnonblocking(connection->handle, 1) != 0 ||
        !PQsendQuery(connection->handle, connection->settings))
        pg_connection_fail(connection, PQerrorMessage(connection->handle));
    else
        flush(connection);
}

static void connect_step(struct pg_connection *connection)
{
    /* libpq may close its socket and open another with the same number within this call. */
    poll_stop(connection);
    switch (PQconnectPoll(connection->handle)) {
    case PGRES_POLLING_READING:
        poll_want(connection, UV_READABLE);
        break;
    case PGRES_POLLING_WRITING:
        poll_want(connection, UV_WRITABLE);
        break;
    case PGRES_POLLING_OK:
        settle_begin(connection);
        break;
    default:
        shut_by_libpq(connection);
    }
}

static void server_note(struct pg_connection *connection, const PGresult *result)
{
    int column = PQfnumber(result, "server");
    if (column >= 0 && PQntuples(result) == 1)
        snprintf(connection->server, sizeof(connection->server), "%s",
                 PQgetvalue(result, 0, column));
}

static void settle_step(struct pg_connection *connection)
{
    PGresult *result;
    while (!PQisBusy(connection->handle)) {
        if (!(result = PQgetResult(connection->handle))) {
            if (!PQenterPipelineMode(connection->handle)) {
                shut_by_libpq(connection);
                return;
            }
            uv_timer_stop(connection->timer);
            connection->state = PG_CONNECTION_READY;
            connection->standby_doubt = false;
            connection->ready_at_us =
                connection->shared->host->now_us(connection->shared->host->self);
            connection->owner->ready(connection);
            return;
        }
        bool failed = PQresultStatus(result) == PGRES_FATAL_ERROR;
        server_note(connection, result);
        PQclear(result);
        if (failed) {
            shut_by_libpq(connection);
            return;
        }
    }
}

/* ---- using --------------------------------------------------------------------------------- */

/* The session is over: the server said so, or libpq, whose own errors have no SQLSTATE. What libpq
 * makes up after that for the commands that are still to come tells nothing about them. */
static bool is_end(struct pg_connection *connection, const PGresult *result)
{
    return PQresultStatus(result) == PGRES_FATAL_ERROR &&
           (last_words_note(connection, result) || !PQresultErrorField(result, PG_DIAG_SQLSTATE));
}

static void results_take(struct pg_connection *connection)
{
    bool separated = false;
    while (connection->outstanding > 0 && !connection->broken && !PQisBusy(connection->handle)) {
        PGresult *result = PQgetResult(connection->handle);
        if (!result) {
            /* NULL ends each command's results; twice in a row there is nothing more yet. */
            if (separated)
                return;
            separated = true;
            continue;
        }
        separated = false;
        if (PQresultStatus(result) == PGRES_PIPELINE_SYNC)
            connection->outstanding--;
        if (is_end(connection, result))
            pg_connection_fail(connection, connection->last_words[0]
                                               ? connection->last_words
                                               : PQresultErrorMessage(result));
        else
            connection->owner->result(connection, result);
        PQclear(result);
    }
}

static void read_step(struct pg_connection *connection)
{
    bool alive = PQconsumeInput(connection->handle);
    if (connection->state == PG_CONNECTION_SETTLING) {
        if (alive)
            settle_step(connection);
        else
            shut_by_libpq(connection);
        return;
    }
    /* What came before the end of the connection counts. */
    results_take(connection);
    if (!alive && !connection->broken)
        shut_by_libpq(connection);
}

static void on_poll(uv_poll_t *poll, int status, int events)
{
    struct pg_connection *connection = poll->data;
    if (connection->state == PG_CONNECTION_CONNECTING) {
        connect_step(connection);
        return;
    }
    if (status == 0 && events & UV_WRITABLE) {
        flush(connection);
        if (connection->broken)
            return;
    }
    if (status != 0 || events & ~UV_WRITABLE)
        read_step(connection);
}

static void on_timer(uv_timer_t *timer)
{
    struct pg_connection *connection = timer->data;
    if (connection->broken)
        shut(connection, connection->reason);
    else if (connection->state == PG_CONNECTION_WAITING)
        connect_begin(connection);
    else
        shut(connection, "no answer from the server within 10 s");
}

void pg_connection_open(struct pg_connection *connection)
{
    if (connection->state != PG_CONNECTION_CLOSED)
        return;
    uint32_t random;
    const struct host_port *host = connection->shared->host;
    host->random(host->self, &random, sizeof(random));
    uint64_t ms = 0;
    if (connection->failures == 1) {
        ms = random % SOON_MS;
    } else if (connection->failures > 1) {
        unsigned doublings = connection->failures - 2 < 5 ? connection->failures - 2 : 5;
        ms = (uint64_t)BACKOFF_LOW_MS << doublings;
        if (ms > BACKOFF_HIGH_MS)
            ms = BACKOFF_HIGH_MS;
        ms = ms / 2 + random % (ms / 2 + 1);
    }
    connection->state = PG_CONNECTION_WAITING;
    timer_set(connection, ms);
}

static bool may_send(struct pg_connection *connection)
{
    CHECK(connection->state == PG_CONNECTION_READY);
    return !connection->broken;
}

static void sent(struct pg_connection *connection, int ok)
{
    if (!ok)
        pg_connection_fail(connection, PQerrorMessage(connection->handle));
}

void pg_connection_query(struct pg_connection *connection, const char *sql, int count,
                         const char *const *values)
{
    if (may_send(connection))
        sent(connection,
             PQsendQueryParams(connection->handle, sql, count, NULL, values, NULL, NULL, 0));
}

void pg_connection_prepare(struct pg_connection *connection, const char *name, const char *sql,
                           int count, const Oid *types)
{
    if (may_send(connection))
        sent(connection, PQsendPrepare(connection->handle, name, sql, count, types));
}

void pg_connection_execute(struct pg_connection *connection, const char *name, int count,
                           const char *const *values)
{
    if (may_send(connection))
        sent(connection,
             PQsendQueryPrepared(connection->handle, name, count, values, NULL, NULL, 0));
}

void pg_connection_sync(struct pg_connection *connection)
{
    if (!may_send(connection))
        return;
    /* PQpipelineSync itself flushes as far as the socket takes it. */
    sent(connection, PQpipelineSync(connection->handle));
    if (connection->broken)
        return;
    connection->outstanding++;
    flush(connection);
}

/* Since 14.11, 15.6 and 16.2. */
bool pg_connection_tells_of_sync(void)
{
    int version = PQlibVersion();
    return version >= 160002 || (version >= 150006 && version < 160000) ||
           (version >= 140011 && version < 150000);
}

void pg_connection_init(struct pg_connection *connection, struct pg_connection_shared *shared,
                        const struct pg_connection_owner *owner, void *self, const char *settings)
{
    *connection = (struct pg_connection){
        .shared = shared, .owner = owner, .self = self, .settings = settings};
    connection->timer = xmalloc(sizeof(*connection->timer));
    CHECK(uv_timer_init(shared->uv, connection->timer) == 0);
    connection->timer->data = connection;
}

void pg_connection_fini(struct pg_connection *connection)
{
    pg_connection_close(connection);
    uv_close((uv_handle_t *)connection->timer, free_handle);
}
