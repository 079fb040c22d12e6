/* A command's conversation with a coordinator, or with a participant that is asked in its absence:
 * connect, ask, wait for the answer. Blocking. */
#ifndef TROTH_CLI_CONNECT_H
#define TROTH_CLI_CONNECT_H

#include "cli/cli.h"
#include "cli/offline.h"
#include "core/error.h"
#include "core/json.h"
#include "core/limits.h"
#include "wire.pb-c.h"

struct connection;

/* Who answered. A participant knows its own branches and what it has heard, and no more. */
struct answerer {
    bool participant; /* else a coordinator */
    char name[LIMIT_NAME_BYTES + 1];
    /* The directory of a coordinator's journal that was read in its place, and what it was like;
     * NULL: somebody answered. */
    const char *journal;
    struct offline_facts offline;
};

/* For text: a participant or a journal is named, so that nobody takes its answer for a
 * coordinator's. */
void print_answerer(const struct answerer *who);
/* The member "answered_by" of the open object. */
void json_answerer(struct json_writer *writer, const struct answerer *who);
/* The exit code of a command that has shown an answer and would end with `code`: when a journal is
 * damaged, that is told on stderr, and it is another one. */
int answerer_exit(const struct answerer *who, int code);

/* With options->journal that is read, and only connection_query can be used, on this "connection".
 * Else waits for a session, at most --timeout (5 s when not given). NULL with an error: nobody
 * answers (ERROR_UNREACHABLE), or the coordinator wants none of us (ERROR_REFUSED); the journal
 * can't be read. */
struct connection *connection_open(const struct options *options, struct error *error);
void connection_close(struct connection *connection);
struct answerer connection_answerer(const struct connection *connection);

/* NULL with an error. The caller frees the answer with wire__answer__free_unpacked. A problem that
 * the coordinator reports is an answer, not an error. */
Wire__Answer *connection_query(struct connection *connection, const Wire__Query *query,
                               struct error *error);
/* Waits wait_us for the outcome; 0: as long as the session lives. NULL with an error; the
 * transaction may be committed or not when *sent is true. The caller frees the outcome with
 * wire__outcome__free_unpacked. */
Wire__Outcome *connection_submit(struct connection *connection, const Wire__Submit *submit,
                                 uint64_t wait_us, bool *sent, struct error *error);
/* The same of the start of a saga, which may have begun when *sent is true. The caller frees the
 * outcome with wire__saga_outcome__free_unpacked. */
Wire__SagaOutcome *connection_start_saga(struct connection *connection,
                                         const Wire__StartSaga *start, uint64_t wait_us, bool *sent,
                                         struct error *error);
/* As connection_query; what was ordered may have been done when *sent is true. */
Wire__Answer *connection_order_saga(struct connection *connection, const Wire__SagaOrder *order,
                                    bool *sent, struct error *error);
/* The same of an order about a transaction; it waits longer, as all participants are asked. */
Wire__Answer *connection_order_tx(struct connection *connection, const Wire__TxOrder *order,
                                  bool *sent, struct error *error);
/* Waits so long, whatever becomes of the session: one that was lost may be there again afterwards.
 * False: a signal ended it. */
bool connection_pause(struct connection *connection, uint64_t pause_us);
/* A signal such as Ctrl-C ended the last wait. */
bool connection_interrupted(const struct connection *connection);

/* For commands that ask one thing: opens, asks, closes. */
Wire__Answer *connect_and_query(const struct options *options, const Wire__Query *query,
                                struct answerer *who, struct error *error);

#endif
