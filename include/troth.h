/* libtroth: transactions over several PostgreSQL databases, from C.
 *
 * A client submits transactions and sagas to a coordinator (trothd), or builds a transaction step
 * by step, with operations that participants offer and with SQL on connections of its own. A
 * service offers operations as C functions: it is a participant, as troth-participant is.
 *
 *     struct troth_result result = {0};
 *     struct troth *troth = troth_open("tcp://127.0.0.1:7400", &result);
 *     struct troth_call calls[] = {{"orders.create", "{...}"}, {"payments.charge", "{...}"}};
 *     if (troth_submit(troth, calls, 2, NULL, &result) != TROTH_OK)
 *         fprintf(stderr, "%s\n", result.problem.message);
 *     troth_result_clear(&result);
 *     troth_close(troth);
 *
 * Threads: a `struct troth` is for any number of threads at once. A `struct troth_tx`, a
 * `struct troth_result` and a PGconn are for one thread at a time; so is what is done with
 * different ones, at the same time. There is no state but in these objects: a program may have
 * several. After fork() the child must not use any of them.
 *
 * Time: each deadline and timeout is in milliseconds. Every function that waits ends within its
 * deadline and a second, also when the coordinator or a database does not answer; "waits" below
 * names those that do. The functions on a transaction have the deadline that it was begun with.
 *
 * Memory: texts given to a function are copied unless it says otherwise. Memory that runs out ends
 * the process, as nothing could be promised then. */
#ifndef TROTH_H
#define TROTH_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define TROTH_API __attribute__((visibility("default")))

/* "0.1.0": of the library that runs, not of this header. */
TROTH_API const char *troth_version(void);

/* ---- results ------------------------------------------------------------------------------- */

enum troth_status {
    TROTH_OK = 0,
    /* Nothing of the transaction is, or ever will be, in any database; a saga was compensated.
     * `problem` says why. It may be tried again, as a new one. */
    TROTH_ABORTED = 1,
    /* Refused, and nothing has changed by it: a mistake of the caller, a limit, a coordinator that
     * shuts down. `problem.code` says which. */
    TROTH_REFUSED = 2,
    /* Nobody answered in time, and nothing was begun. */
    TROTH_UNAVAILABLE = 3,
    /* It may have been committed or not: the answer was lost. The same request with the same key
     * tells, as soon as the coordinator is there; so does troth_outcome, if there is an `id`. Never
     * do it anew. */
    TROTH_UNKNOWN = 4,
    /* What became of it in some database can't be proved: a person has to look
     * (`troth tx explain`). */
    TROTH_HAZARD = 5,
    /* Not decided yet, or (a saga) not ended: it goes on. */
    TROTH_PENDING = 6,
};

/* "ok", "aborted", "refused" ...: for logs. */
TROTH_API const char *troth_status_name(enum troth_status status);

/* What is wrong, for a person and for a program. Texts are never NULL; "" when there is none. */
struct troth_problem {
    const char *code; /* insufficient_funds, an SQLSTATE, or a word of Troth's (docs/library.md) */
    const char *message; /* one line: the fact */
    const char *detail;
    const char *hint;        /* what to do: it names the setting or the command */
    const char *participant; /* where; "" when nowhere in particular */
    const char *operation;
    bool passing; /* a lock, time that was up, somebody who is away: another try may fare better */
};

/* Filled by every function that takes one; NULL there means that nobody wants to know more than the
 * status. Start with {0}; each use clears what it held before, troth_result_clear frees the last.
 */
struct troth_result {
    enum troth_status status;
    const char *id;      /* of the transaction or saga; "": none was begun */
    bool applied;        /* committed, and carried out at every participant */
    bool repeated;       /* this is what came of an earlier request with the same key */
    size_t count;        /* of values */
    const char **values; /* JSON; NULL where there is none: one a call, or one */
    struct troth_problem problem;
    void *memory; /* the library's */
};

TROTH_API void troth_result_clear(struct troth_result *result);

/* Reads values[call]: an operation's `result: rows` is a list of rows, `result: row` one of them,
 * any other JSON is one row with one column "". rows: their number. get: the column's text, as it
 * would be in SQL (a JSON string without its quotes; everything else as it is written); NULL: null,
 * or no such row or column. It lives as long as the result holds it. */
TROTH_API size_t troth_rows(struct troth_result *result, size_t call);
TROTH_API const char *troth_get(struct troth_result *result, size_t call, size_t row,
                                const char *column);

/* A JSON text, made as by printf: %s is a text, with its quotes and escapes (NULL: null); %d an
 * int, %ld a long, %lld a long long, %b a bool, %j JSON as it stands (an amount of money: "12.50"),
 * %% a percent sign. NULL: what came out is no JSON, a text no UTF-8, or the format has something
 * else. The caller's, to be freed with free(). */
TROTH_API char *troth_json(const char *format, ...);
/* One member of a JSON object, say of a request that was received: its text as troth_get gives that
 * of a column, to be freed with free(). NULL: it is null or not there, or the text is no object. */
TROTH_API char *troth_json_get(const char *object, const char *name);

/* ---- a client ------------------------------------------------------------------------------ */

struct troth;

/* coordinators: one address, or several with commas between; NULL: $TROTH_COORDINATOR, or
 * tcp://127.0.0.1:7400. New work goes to the first that answers, in their order; a transaction
 * stays with the coordinator that began it. Work with a key goes to the first one alone: only who
 * decided it remembers the key. Connects in the background, and again whenever a connection is
 * lost. Does not wait. NULL with the result: an address is none, there are more than 8, or no more
 * files can be opened. */
TROTH_API struct troth *troth_open(const char *coordinators, struct troth_result *result);
/* Ends what still waits in other threads, as TROTH_UNAVAILABLE or TROTH_UNKNOWN, and calls `done`
 * of what was asked for asynchronously; what one of these asks for is ended likewise, at once. Not
 * to be called from a `done`. Transactions must be freed before. Waits up to a second, for what was
 * sent to arrive. NULL is harmless. */
TROTH_API void troth_close(struct troth *troth);

enum troth_protocol {
    TROTH_2PC = 0, /* fewer messages; what is prepared waits for its coordinator */
    TROTH_3PC = 1, /* any majority of the sites can finish it */
};

enum troth_wait {
    TROTH_APPLIED = 0, /* until it is carried out everywhere, or the deadline */
    TROTH_DECIDED = 1, /* until it can't be undone any more */
};

/* Zeros are good defaults; NULL stands for them. */
struct troth_options {
    enum troth_protocol protocol;
    enum troth_wait wait;
    /* Of the whole transaction. 0: the coordinator's timeouts.transaction; the library then waits 5
     * seconds for a coordinator and a minute for an answer. */
    uint32_t deadline_ms;
    /* Idempotency key, at most 200 bytes: requests with one key are one transaction. So a key is
     * what makes it safe to repeat a request, and the library repeats it by itself when the
     * connection is lost. NULL: none. */
    const char *key;
};

/* An operation of a participant. */
struct troth_call {
    const char *operation; /* "payments.charge" */
    const char *arguments; /* a JSON object; NULL: {} */
};

/* All in one: every call in every database, or none. Waits. OK: committed; values has each call's
 * result. */
TROTH_API enum troth_status troth_submit(struct troth *troth, const struct troth_call *calls,
                                         size_t count, const struct troth_options *options,
                                         struct troth_result *result);

/* What became of a transaction, by its id: OK (committed), ABORTED, PENDING (open, or not decided),
 * HAZARD, or UNKNOWN (of a coordinator that is none of ours; so old that it was forgotten; or a
 * database that may have committed it alone can't be asked: nobody knows which there were when the
 * coordinator was started since and has no commit of it). UNAVAILABLE: nobody answers. Waits up to
 * timeout_ms until it is decided; 0: what is known now. */
TROTH_API enum troth_status troth_outcome(struct troth *troth, const char *id, uint32_t timeout_ms,
                                          struct troth_result *result);

/* ---- step by step -------------------------------------------------------------------------- */

struct troth_tx;

/* Begins a transaction, on which nothing is locked yet. Waits. OK: *tx is the caller's, to be ended
 * by troth_tx_free. Otherwise *tx is NULL; also when OK comes with `repeated`: the key's
 * transaction was committed before, and there is nothing to do.
 *
 * Until it is committed it lives by its client: when this process ends, its connection to the
 * coordinator is lost, or the deadline passes, it is aborted everywhere. */
TROTH_API enum troth_status troth_begin(struct troth *troth, const struct troth_options *options,
                                        struct troth_tx **tx, struct troth_result *result);

/* Carries out one operation now, and returns what it returns: values[0]. Its locks are held until
 * the end of the transaction. Waits. REFUSED: nothing was done, and the transaction goes on (there
 * is no such operation, say). Anything else but OK aborts all of it; what is joined stays in its
 * local transaction until troth_commit, troth_abort or troth_tx_free. */
TROTH_API enum troth_status troth_execute(struct troth_tx *tx, const char *operation,
                                          const char *arguments, struct troth_result *result);

/* Commits: hands over what is joined by this object, then has everybody prepare, then decides.
 * Waits. OK: committed. ABORTED: nowhere. Only who began the transaction may (else REFUSED,
 * not_yours, and nothing has changed). Whatever else comes of it, the connections are idle again,
 * or lost. */
TROTH_API enum troth_status troth_commit(struct troth_tx *tx, struct troth_result *result);
/* Aborts: OK when the coordinator has heard it, or the session in which it began is over;
 * connections that are joined are rolled back in any case. Anybody may who holds the transaction.
 * Waits, up to 5 seconds. REFUSED (decided): it is committed. UNAVAILABLE: not heard; the deadline
 * aborts it. */
TROTH_API enum troth_status troth_abort(struct troth_tx *tx, struct troth_result *result);
/* Aborts what was not committed or, if it was resumed, drops what was joined and not handed over,
 * which aborts the transaction too. NULL is harmless. Waits for the database alone. */
TROTH_API void troth_tx_free(struct troth_tx *tx);

/* Its id, as `troth tx show` takes it. Valid as long as tx. */
TROTH_API const char *troth_tx_id(const struct troth_tx *tx);

/* ---- your own connection ------------------------------------------------------------------- */

/* Makes the connection's next statements part of the transaction: runs BEGIN there. `connection`
 * must be idle (no transaction, no pipeline, no COPY) and to the database of that participant,
 * whose agent or service must be running: it finishes the work. Its role must be the one that the
 * agent has, or one whose prepared transactions that one may end. Until it is handed over do not
 * end the transaction on it (COMMIT, ROLLBACK, PREPARE TRANSACTION); savepoints are welcome. Not of
 * use in it: what PostgreSQL can't prepare (temporary tables, LISTEN, NOTIFY, cursors WITH HOLD,
 * exported snapshots, writing to foreign tables). It must stay open until it is handed over, or tx
 * is freed.
 *
 * A service that hangs holds no locks: PostgreSQL is told to end the connection when nothing is
 * done on it for as long as the transaction may live, and to cancel a statement that runs as long;
 * and a second after the deadline the library breaks the connection off, as it does when the
 * database does not answer in time: PQstatus is CONNECTION_BAD then. What is set for that, and all
 * else that is set LOCAL, ends with the transaction.
 *
 * By two phases a participant may be joined again, here or by another process: that is a branch of
 * its own, which does not see what the first has done, and waits for its locks. By three phases
 * that is refused (joined_already). So it goes with a request that arrives twice: see
 * docs/library.md.
 *
 * Waits. REFUSED: nothing has changed. Otherwise than OK the connection is idle as before, and the
 * transaction is aborted. */
TROTH_API enum troth_status troth_join(struct troth_tx *tx, PGconn *connection,
                                       const char *participant, struct troth_result *result);

/* Prepares what was done on the connection (PREPARE TRANSACTION), and the coordinator knows it:
 * from here on the agent finishes it, and the connection is free for other use. troth_commit does
 * it for the connections of its own object; a service that resumed a transaction does it before it
 * answers its caller. Waits. ABORTED: PostgreSQL refused it, `problem` has its SQLSTATE and text;
 * or the transaction is over. The connection is idle then, whatever was under way on it. UNKNOWN:
 * it is prepared, and whether the coordinator knows that is not known; it ends as the rest does. */
TROTH_API enum troth_status troth_hand_over(struct troth_tx *tx, PGconn *connection,
                                            struct troth_result *result);

/* The transaction as a text of at most TROTH_CONTEXT_BYTES, of letters, digits and "._-:" alone,
 * for a header or a field of the request to another service. Valid as long as tx. */
#define TROTH_CONTEXT_BYTES 160
TROTH_API const char *troth_tx_context(const struct troth_tx *tx);

/* The same transaction in another process, whose handle has the address of the same coordinator.
 * Does not wait, so it does not tell whether that transaction still is open; the first use does:
 * ABORTED, REFUSED (over: it is committed), or UNKNOWN (elsewhere: no coordinator of this handle's
 * has it). REFUSED (bad_context): the text is none. OK: *tx is the caller's, to be ended by
 * troth_tx_free; otherwise it is NULL. */
TROTH_API enum troth_status troth_tx_resume(struct troth *troth, const char *context,
                                            struct troth_tx **tx, struct troth_result *result);

/* ---- sagas --------------------------------------------------------------------------------- */

/* Starts a saga of that name. input: a JSON object; NULL: {}. key: as of options. Waits up to
 * timeout_ms (0: 30 s) until it has durably begun: OK, `id`. It goes on whatever becomes of this
 * process. With `repeated` an earlier start with the key is told: OK (it goes on, or is completed)
 * or ABORTED (compensated). */
TROTH_API enum troth_status troth_saga_start(struct troth *troth, const char *name,
                                             const char *input, const char *key,
                                             uint32_t timeout_ms, struct troth_result *result);
/* Waits up to timeout_ms for its end. OK: completed, values[0] is its output; ABORTED: compensated;
 * PENDING: it goes on, and `problem` is set if it needs an operator; REFUSED (unknown_saga). */
TROTH_API enum troth_status troth_saga_wait(struct troth *troth, const char *id,
                                            uint32_t timeout_ms, struct troth_result *result);
/* Gives it a signal for a `wait` step. value: JSON; NULL: null. Waits, up to timeout_ms. UNKNOWN:
 * it may have been given. */
TROTH_API enum troth_status troth_saga_signal(struct troth *troth, const char *id,
                                              const char *signal, const char *value,
                                              uint32_t timeout_ms, struct troth_result *result);
/* How it stands: values[0] is the object that `troth saga show --json` prints. Waits likewise. */
TROTH_API enum troth_status troth_saga_query(struct troth *troth, const char *id,
                                             uint32_t timeout_ms, struct troth_result *result);

/* ---- in your own event loop ---------------------------------------------------------------- */

/* As the functions without _async, but they return at once. `done` is called with the result, once
 * and from within troth_dispatch; the result lives for the call. */
typedef void troth_done(void *self, struct troth_result *result);

/* Readable when troth_dispatch has something to do: for poll, epoll, libuv ... The library's. */
TROTH_API int troth_fd(struct troth *troth);
/* Calls `done` of all that has ended. Does not wait. One thread at a time. */
TROTH_API void troth_dispatch(struct troth *troth);

TROTH_API void troth_submit_async(struct troth *troth, const struct troth_call *calls, size_t count,
                                  const struct troth_options *options, troth_done *done,
                                  void *self);
TROTH_API void troth_outcome_async(struct troth *troth, const char *id, uint32_t timeout_ms,
                                   troth_done *done, void *self);
/* The transaction may be used when `done` said OK; it is the caller's to free also otherwise, not
 * before. One request of it may be under way at a time. */
TROTH_API struct troth_tx *troth_begin_async(struct troth *troth,
                                             const struct troth_options *options, troth_done *done,
                                             void *self);
TROTH_API void troth_execute_async(struct troth_tx *tx, const char *operation,
                                   const char *arguments, troth_done *done, void *self);
/* REFUSED (joined) when a connection is joined and not handed over: that waits for its database. */
TROTH_API void troth_commit_async(struct troth_tx *tx, troth_done *done, void *self);
TROTH_API void troth_abort_async(struct troth_tx *tx, troth_done *done, void *self);
TROTH_API void troth_saga_start_async(struct troth *troth, const char *name, const char *input,
                                      const char *key, uint32_t timeout_ms, troth_done *done,
                                      void *self);
TROTH_API void troth_saga_wait_async(struct troth *troth, const char *id, uint32_t timeout_ms,
                                     troth_done *done, void *self);

/* ---- a service: operations in C ------------------------------------------------------------ */

struct troth_service;
struct troth_request;

/* Does the work of one operation on `connection`, inside of a transaction that the service has
 * begun and ends: no BEGIN, COMMIT or PREPARE TRANSACTION here; savepoints are welcome. True: done.
 * False: refused, and the whole transaction is aborted, or the step of the saga has failed; return
 * what troth_refuse or troth_sql_failed returns. It may be called by several threads at once, each
 * with a connection of its own, and again with the same arguments after it was rolled back: its
 * only effects must be those on the connection, which it leaves as it was: nothing under way, the
 * same role, the same application_name. After the transaction's deadline its statement is
 * cancelled, and it is refused whatever it returns. */
typedef bool troth_handler(struct troth_request *request, PGconn *connection, void *self);

struct troth_operation {
    const char *name;
    const char
        *parameters; /* "order_id text, amount numeric": what a caller has to give; NULL: nothing */
    bool read_only;  /* in a READ ONLY transaction: it votes read-only */
    troth_handler *handler;
    void *self; /* given to it; lives longer than the service */
};

/* A participant of this configuration (participant.yaml, without `operations`). Its postgres.
 * connections are the threads on which handlers run. NULL with the result: the file is bad. */
TROTH_API struct troth_service *troth_service_open(const char *config, struct troth_result *result);
/* Before troth_service_run. REFUSED: a name is taken or none, a parameter makes no sense. */
TROTH_API enum troth_status troth_service_offer(struct troth_service *service,
                                                const struct troth_operation *operation,
                                                struct troth_result *result);
/* Runs it on the calling thread until troth_service_stop, and then lets what is running end (OK).
 * It waits for every handler, so one that never returns keeps it.
 * REFUSED: it could not start, or another process has taken over its name. Logs to stderr. */
TROTH_API enum troth_status troth_service_run(struct troth_service *service,
                                              struct troth_result *result);
/* From any thread, and from a signal's handler. */
TROTH_API void troth_service_stop(struct troth_service *service);
/* After troth_service_run has returned. NULL is harmless. */
TROTH_API void troth_service_close(struct troth_service *service);

/* All arguments, a JSON object; or one of them as troth_get gives a column. They are checked
 * against the parameters before the handler is called. Valid until it returns, as the following. */
TROTH_API const char *troth_arguments(const struct troth_request *request);
TROTH_API const char *troth_argument(struct troth_request *request, const char *name);
/* Who asks: "shop.c1.5.17", of a saga's step "shop.c1.5.17/charge". The same when it is tried
 * again. */
TROTH_API const char *troth_request_id(const struct troth_request *request);
/* The result, JSON; true. The last one counts. */
TROTH_API bool troth_return(struct troth_request *request, const char *json);
/* Why not; false. code: a word for programs, insufficient_funds. */
TROTH_API bool troth_refuse(struct troth_request *request, const char *code, const char *message);
/* What PostgreSQL said; false. The result is not freed. */
TROTH_API bool troth_sql_failed(struct troth_request *request, const PGresult *failed);

#ifdef __cplusplus
}
#endif

#endif
