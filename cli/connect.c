#include "cli/connect.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/print.h"
#include "client/client.h"
#include "core/check.h"
#include "core/limits.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/nano.h"

#define ANSWER_TIMEOUT_US (5 * 1000 * 1000ull)
/* An order about a transaction: all participants are asked, up to 3 s, then told, likewise. */
#define ORDER_TIMEOUT_US (20 * 1000 * 1000ull)

struct connection {
    const char *journal;     /* not NULL: this is read, and all else is zeros */
    struct offline *offline; /* of the journal */
    const char *address;
    uint64_t timeout_us, order_timeout_us;
    struct loop *loop;
    struct nano *nano;
    struct client *client;
    uint64_t until_us; /* of what is being waited for now */
    uint64_t request;  /* its number */
    bool lost, refused, interrupted, timed_out, leaving;
    char reason[300], hint[300]; /* of lost or refused */
    Wire__Answer *answer;
    Wire__Outcome *outcome;
    Wire__SagaOutcome *saga_outcome;
};

static void on_up(void *self)
{
    struct connection *connection = self;
    loop_stop(connection->loop);
}

static void on_down(void *self, const char *reason)
{
    struct connection *connection = self;
    if (connection->leaving)
        return;
    connection->lost = true;
    snprintf(connection->reason, sizeof(connection->reason), "%s", reason);
    loop_stop(connection->loop);
}

static void on_refused(void *self, const char *reason, const char *hint)
{
    struct connection *connection = self;
    connection->refused = true;
    snprintf(connection->reason, sizeof(connection->reason), "%s", reason);
    snprintf(connection->hint, sizeof(connection->hint), "%s", hint);
    loop_stop(connection->loop);
}

/* The message lives for the call only: it is copied through its bytes. */
static void on_answer(void *self, const Wire__Answer *answer)
{
    struct connection *connection = self;
    if (answer->request != connection->request || connection->answer)
        return;
    size_t size = wire__answer__get_packed_size(answer);
    uint8_t *bytes = xmalloc(size + 1);
    wire__answer__pack(answer, bytes);
    connection->answer = wire__answer__unpack(NULL, size, bytes);
    CHECK(connection->answer);
    free(bytes);
    loop_stop(connection->loop);
}

static void on_outcome(void *self, const Wire__Outcome *outcome)
{
    struct connection *connection = self;
    if (outcome->request != connection->request || connection->outcome)
        return;
    size_t size = wire__outcome__get_packed_size(outcome);
    uint8_t *bytes = xmalloc(size + 1);
    wire__outcome__pack(outcome, bytes);
    connection->outcome = wire__outcome__unpack(NULL, size, bytes);
    CHECK(connection->outcome);
    free(bytes);
    loop_stop(connection->loop);
}

static void on_saga_outcome(void *self, const Wire__SagaOutcome *outcome)
{
    struct connection *connection = self;
    if (outcome->request != connection->request || connection->saga_outcome)
        return;
    size_t size = wire__saga_outcome__get_packed_size(outcome);
    uint8_t *bytes = xmalloc(size + 1);
    wire__saga_outcome__pack(outcome, bytes);
    connection->saga_outcome = wire__saga_outcome__unpack(NULL, size, bytes);
    CHECK(connection->saga_outcome);
    free(bytes);
    loop_stop(connection->loop);
}

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct connection *connection = self;
    (void)route;
    client_frame(connection->client, frame, size);
}

static void on_broken(void *self)
{
    struct connection *connection = self;
    client_broken(connection->client);
}

static void on_stop(void *self)
{
    struct connection *connection = self;
    connection->interrupted = true;
    loop_stop(connection->loop);
}

static uint64_t settle(void *self)
{
    struct connection *connection = self;
    uint64_t wake_us = client_settle(connection->client);
    const struct host_port *host = loop_host(connection->loop);
    if (host->now_us(host->self) >= connection->until_us) {
        connection->timed_out = true;
        loop_stop(connection->loop);
    }
    return wake_us < connection->until_us ? wake_us : connection->until_us;
}

/* Runs the loop until something above stops it. */
static void wait_for_event(struct connection *connection, uint64_t wait_us)
{
    const struct host_port *host = loop_host(connection->loop);
    connection->timed_out = false;
    connection->until_us = wait_us ? host->now_us(host->self) + wait_us : UINT64_MAX;
    loop_run(connection->loop);
}

static bool no_session(const struct connection *connection, struct error *error)
{
    if (connection->refused) {
        error_set(error, ERROR_REFUSED, "the coordinator at %s refuses: %s", connection->address,
                  connection->reason);
        return error_hint(error, "%s", connection->hint);
    }
    if (connection->interrupted)
        return error_set(error, ERROR_UNREACHABLE, "interrupted before %s answered",
                         connection->address);
    time_text age;
    error_set(error, ERROR_UNREACHABLE, "nobody answers at %s", connection->address);
    error_detail(error, "waited %s for a coordinator",
                 age_format(age, (int64_t)connection->timeout_us));
    return error_hint(error, "is trothd running there? --coordinator or TROTH_COORDINATOR names "
                             "another address; while it is away, that of a participant (its "
                             "`listen`) shows what waits for it");
}

static struct connection *read_journal(const char *directory, struct error *error)
{
    struct offline *offline = offline_open(directory, error);
    if (!offline)
        return NULL;
    struct connection *connection = xcalloc(1, sizeof(*connection));
    connection->journal = directory;
    connection->offline = offline;
    return connection;
}

struct connection *connection_open(const struct options *options, struct error *error)
{
    if (options->journal)
        return read_journal(options->journal, error);
    struct connection *connection = xcalloc(1, sizeof(*connection));
    connection->address = options->coordinator;
    connection->timeout_us = options->timeout_us ? options->timeout_us : ANSWER_TIMEOUT_US;
    connection->order_timeout_us = options->timeout_us ? options->timeout_us : ORDER_TIMEOUT_US;
    log_setup("troth", LOG_TEXT, LOG_ERROR);
    connection->loop = loop_new();
    struct nano_events link_events = {connection, on_frame, on_broken};
    connection->nano = nano_connect(connection->loop, connection->address, LIMIT_CLIENT_FRAME_BYTES,
                                    &link_events, error);
    if (!connection->nano) {
        loop_free(connection->loop);
        free(connection);
        return NULL;
    }
    struct client_events events = {.self = connection,
                                   .up = on_up,
                                   .down = on_down,
                                   .outcome = on_outcome,
                                   .answer = on_answer,
                                   .refused = on_refused,
                                   .saga_outcome = on_saga_outcome};
    char name[32];
    snprintf(name, sizeof(name), "cli-%d", (int)getpid());
    connection->client =
        client_new(NULL, name, loop_host(connection->loop), nano_link(connection->nano), &events);
    loop_on_settle(connection->loop, settle, connection);
    loop_on_stop(connection->loop, on_stop, connection);
    wait_for_event(connection, connection->timeout_us);
    if (client_connected(connection->client))
        return connection;
    no_session(connection, error);
    connection_close(connection);
    return NULL;
}

void connection_close(struct connection *connection)
{
    if (connection->offline) {
        offline_close(connection->offline);
        free(connection);
        return;
    }
    connection->leaving = true;
    client_leave(connection->client);
    client_free(connection->client);
    nano_close(connection->nano, 100);
    loop_free(connection->loop);
    if (connection->answer)
        wire__answer__free_unpacked(connection->answer, NULL);
    if (connection->outcome)
        wire__outcome__free_unpacked(connection->outcome, NULL);
    if (connection->saga_outcome)
        wire__saga_outcome__free_unpacked(connection->saga_outcome, NULL);
    free(connection);
}

struct answerer connection_answerer(const struct connection *connection)
{
    if (connection->offline) {
        struct answerer journal = {.journal = connection->journal,
                                   .offline = *offline_facts(connection->offline)};
        memcpy(journal.name, journal.offline.coordinator, sizeof(journal.name));
        return journal;
    }
    const char *name = client_coordinator(connection->client);
    struct answerer who = {.participant = client_at_participant(connection->client)};
    snprintf(who.name, sizeof(who.name), "%s", name ? name : "");
    return who;
}

static void print_journal(const struct answerer *who)
{
    const struct offline_facts *facts = &who->offline;
    time_text text;
    fputs("journal ", stdout);
    print_escaped(stdout, who->journal);
    printf(" of coordinator %s, cluster %s,\nas of %s: not the present; nobody was asked\n",
           facts->coordinator, facts->cluster, time_format(text, facts->as_of_us));
    if (facts->in_use)
        puts("a coordinator runs on it: this is what it held at this moment");
    if (facts->damage.kind != ERROR_NONE)
        puts("it is DAMAGED: this is what stands before the damage");
    putchar('\n');
}

void print_answerer(const struct answerer *who)
{
    if (who->journal)
        print_journal(who);
    else if (who->participant)
        printf("participant %s (no coordinator asked)\n\n", who->name);
}

int answerer_exit(const struct answerer *who, int code)
{
    if (!who->journal || who->offline.damage.kind == ERROR_NONE)
        return code;
    fflush(stdout);
    print_error(&who->offline.damage);
    return EXIT_USAGE;
}

static void json_journal(struct json_writer *writer, const struct answerer *who)
{
    const struct offline_facts *facts = &who->offline;
    json_name(writer, "journal");
    json_string(writer, who->journal);
    json_time(writer, "as_of", facts->as_of_us);
    json_name(writer, "in_use");
    json_boolean(writer, facts->in_use);
    json_name(writer, "damage");
    if (facts->damage.kind == ERROR_NONE) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    json_name(writer, "message");
    json_string(writer, facts->damage.message);
    json_name(writer, "detail");
    json_string(writer, facts->damage.detail);
    json_close(writer, '}');
}

void json_answerer(struct json_writer *writer, const struct answerer *who)
{
    json_name(writer, "answered_by");
    json_open(writer, '{');
    json_name(writer, "role");
    json_string(writer, who->journal       ? "journal"
                        : who->participant ? "participant"
                                           : "coordinator");
    json_name(writer, "name");
    json_string(writer, who->name);
    if (who->journal)
        json_journal(writer, who);
    json_close(writer, '}');
}

/* Why no answer came, once the request was sent. */
static bool no_answer(const struct connection *connection, struct error *error)
{
    if (connection->interrupted)
        return error_set(error, ERROR_UNREACHABLE, "interrupted before the answer came");
    if (connection->lost)
        return error_set(error, ERROR_UNREACHABLE,
                         "the session with %s was lost before the answer came: %s",
                         connection->address, connection->reason);
    return error_set(error, ERROR_UNREACHABLE, "%s did not answer in time", connection->address);
}

static bool answered(const struct connection *connection)
{
    return connection->answer || connection->outcome || connection->saga_outcome;
}

/* After a request: its answer is in the connection afterwards, or there is an error. */
static void await_answer(struct connection *connection, bool sent, uint64_t wait_us,
                         struct error *error)
{
    connection->lost = connection->lost || !sent;
    while (!answered(connection) && !connection->lost && !connection->interrupted) {
        wait_for_event(connection, wait_us);
        if (connection->timed_out)
            break;
    }
    if (!answered(connection))
        no_answer(connection, error);
}

static Wire__Answer *take_answer(struct connection *connection)
{
    Wire__Answer *answer = connection->answer;
    connection->answer = NULL;
    return answer;
}

Wire__Answer *connection_query(struct connection *connection, const Wire__Query *query,
                               struct error *error)
{
    if (connection->offline)
        return offline_query(connection->offline, query);
    Wire__Query numbered = *query;
    numbered.request = ++connection->request;
    await_answer(connection, client_query(connection->client, &numbered), connection->timeout_us,
                 error);
    return take_answer(connection);
}

Wire__Outcome *connection_submit(struct connection *connection, const Wire__Submit *submit,
                                 uint64_t wait_us, bool *sent, struct error *error)
{
    Wire__Submit numbered = *submit;
    numbered.request = ++connection->request;
    *sent = client_submit(connection->client, &numbered);
    await_answer(connection, *sent, wait_us, error);
    Wire__Outcome *outcome = connection->outcome;
    connection->outcome = NULL;
    return outcome;
}

Wire__SagaOutcome *connection_start_saga(struct connection *connection,
                                         const Wire__StartSaga *start, uint64_t wait_us, bool *sent,
                                         struct error *error)
{
    Wire__StartSaga numbered = *start;
    numbered.request = ++connection->request;
    *sent = client_start_saga(connection->client, &numbered);
    await_answer(connection, *sent, wait_us, error);
    Wire__SagaOutcome *outcome = connection->saga_outcome;
    connection->saga_outcome = NULL;
    return outcome;
}

Wire__Answer *connection_order_saga(struct connection *connection, const Wire__SagaOrder *order,
                                    bool *sent, struct error *error)
{
    Wire__SagaOrder numbered = *order;
    numbered.request = ++connection->request;
    *sent = client_order(connection->client, &numbered);
    await_answer(connection, *sent, connection->timeout_us, error);
    return take_answer(connection);
}

Wire__Answer *connection_order_tx(struct connection *connection, const Wire__TxOrder *order,
                                  bool *sent, struct error *error)
{
    Wire__TxOrder numbered = *order;
    numbered.request = ++connection->request;
    *sent = client_tx_order(connection->client, &numbered);
    await_answer(connection, *sent, connection->order_timeout_us, error);
    return take_answer(connection);
}

bool connection_pause(struct connection *connection, uint64_t pause_us)
{
    const struct host_port *host = loop_host(connection->loop);
    uint64_t until_us = host->now_us(host->self) + pause_us;
    for (;;) {
        uint64_t now_us = host->now_us(host->self);
        if (connection->interrupted)
            return false;
        if (now_us >= until_us)
            break;
        wait_for_event(connection, until_us - now_us);
    }
    connection->lost = !client_connected(connection->client);
    return true;
}

bool connection_interrupted(const struct connection *connection)
{
    return connection->interrupted;
}

Wire__Answer *connect_and_query(const struct options *options, const Wire__Query *query,
                                struct answerer *who, struct error *error)
{
    struct connection *connection = connection_open(options, error);
    if (!connection)
        return NULL;
    *who = connection_answerer(connection);
    Wire__Answer *answer = connection_query(connection, query, error);
    connection_close(connection);
    return answer;
}
