/* What the files of libtroth share. include/troth.h is what its users see; nobody else includes
 * this.
 *
 * One thread a `struct troth` runs the loop with the sessions; it alone touches loop, endpoints and
 * what is under "the loop's". A call makes a request, gives it to that thread through the inbox,
 * and waits for its end, or is told by troth_dispatch. What the end means (a status, a problem, the
 * state of a struct troth_tx) is concluded in the thread of the caller. */
#ifndef TROTH_CLIENT_LIBRARY_H
#define TROTH_CLIENT_LIBRARY_H

#include <pthread.h>
#include <stdatomic.h>
#include <uv.h>

#include "client/client.h"
#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"
#include "include/troth.h"
#include "io/loop.h"
#include "io/nano.h"

enum {
    ENDPOINTS_MAX = 8,
    /* The coordinator's answer to a deadline comes after it. */
    ANSWER_MARGIN_US = 700 * 1000,
    /* Where no deadline is given: for an answer (the coordinator's own deadline is 30 s, if not set
     * otherwise), and before that for a coordinator. */
    PATIENCE_MS = 60 * 1000,
    CONNECT_PATIENCE_MS = 5 * 1000,
    REASON_ROOM = 300,
};

/* ---- results (result.c) -------------------------------------------------------------------- */

/* Clears it, and makes it one without anything: every text "". */
void result_begin(struct troth_result *result);
enum troth_status result_is(struct troth_result *result, enum troth_status status);
void result_id(struct troth_result *result, const char *id);
void result_problem(struct troth_result *result, const Wire__Problem *problem);
void result_copy_problem(struct troth_result *result, const struct troth_problem *problem);
/* count texts, "" for none. */
void result_values(struct troth_result *result, char *const *values, size_t count);
void result_code(struct troth_result *result, const char *code);
void result_message(struct troth_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void result_detail(struct troth_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
void result_hint(struct troth_result *result, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
/* Status, code and message at once. */
enum troth_status result_fail(struct troth_result *result, enum troth_status status,
                              const char *code, const char *format, ...)
    __attribute__((format(printf, 4, 5)));
/* Moves what was made to the caller's, which may be NULL. Returns its status. */
enum troth_status result_give(struct troth_result *wanted, struct troth_result *made);

/* ---- requests (requests.c) ----------------------------------------------------------------- */

/* How a request ended. */
enum request_end {
    REQUEST_ANSWERED = 1,
    REQUEST_NOBODY,    /* time was up, and it was never sent */
    REQUEST_LATE,      /* time was up */
    REQUEST_LOST,      /* its session was lost, and it may not be repeated */
    REQUEST_GONE,      /* the session that it belongs to is over */
    REQUEST_ELSEWHERE, /* no coordinator of ours has that id */
    REQUEST_TOO_LARGE,
    REQUEST_CLOSED /* by troth_close */
};

enum { ANY_ENDPOINT = -1 };

struct request;
struct endpoint;
/* Makes the result of an ended request. In the thread of the caller. */
typedef void request_conclude(struct request *request, struct troth_result *result);
/* In the loop's thread, when an answer came: 0 takes it; else the request is sent once more so many
 * us later, as it then is, unless its time is up by then. */
typedef uint64_t request_judge(struct request *request, const Wire__Message *answer);

struct request {
    struct list node; /* in inbox, unsent, an endpoint's sent, or finished */
    struct map_node by_number;
    struct timer timer;
    struct troth *troth;
    uint64_t number;
    Wire__Message *message; /* owned */
    uint64_t due_us;        /* an end comes by then */
    uint64_t pause_us;      /* not sent before */
    bool patient;           /* no deadline was given: what is sent may take its time */

    /* Where to. */
    int endpoint; /* or ANY_ENDPOINT */
    bool at_home; /* to the coordinator whose id `home` is */
    struct gid home;
    uint64_t session;   /* only in that session of the endpoint; 0: in any */
    bool session_once;  /* once it was sent, in any */
    bool repeat;        /* may be sent again in a later session */
    bool abort_if_lost; /* then it becomes an End{commit false}, which is repeated */

    /* What came of it. */
    bool ever_sent, repeated, turned;
    enum request_end end;
    Wire__Message *answer; /* owned; NULL: none */
    int answered_by;
    uint64_t answered_session;
    char reason[REASON_ROOM + 300]; /* why there is no session; "" */

    request_conclude *conclude;
    request_judge *judge; /* NULL: takes every answer */
    struct troth_tx *tx;
    void *more; /* a request's own; freed with free_more */
    void (*free_more)(void *more);
    size_t calls; /* of a submit */

    /* Who waits. */
    bool orphan;   /* nobody */
    bool blocking; /* a thread, on `over` */
    bool over;
    pthread_cond_t ended;
    troth_done *done;
    void *done_self;
};

/* message is copied; its number and times are set when it is sent. timeout_ms 0: patience. */
struct request *request_new(struct troth *troth, const Wire__Message *message, uint32_t timeout_ms,
                            request_conclude *conclude);
void request_free(struct request *request);
/* Gives it to the loop, waits for its end, concludes and frees it. */
enum troth_status request_wait(struct request *request, struct troth_result *result);
/* Gives it to the loop; `done` is called by troth_dispatch. */
void request_later(struct request *request, troth_done *done, void *self);
/* The same for what was concluded already: made is moved. tx may be NULL. */
void request_later_made(struct troth *troth, struct troth_result *made, troth_done *done,
                        void *self);
/* Gives it to the loop, and nobody wants to know. */
void request_forget(struct request *request);
/* The result of one that was not answered, except for what only its kind knows. */
enum troth_status request_unanswered(struct request *request, struct troth_result *result);
uint64_t library_now_us(void);
Wire__Message *message_copy(const Wire__Message *message);

/* In the loop's thread. */
void requests_take(struct troth *troth);  /* from the inbox */
void requests_retry(struct troth *troth); /* those that wait for a session */
void requests_due(struct troth *troth);   /* time */
void requests_lost(struct endpoint *endpoint);
void requests_answered(struct endpoint *endpoint, uint64_t number, const Wire__Message *answer);
void requests_end_all(struct troth *troth); /* closed; but for orphans, which still are to arrive */
void requests_close(struct troth *troth); /* after the loop's end, and all that come from then on */
void requests_free_all(struct troth *troth); /* these, after the loop's end */

/* ---- the handle (library.c, endpoints.c) --------------------------------------------------- */

struct endpoint {
    struct troth *troth;
    int index;
    char *address;
    struct nano *nano;
    struct client *client;
    uint64_t sessions;       /* begun until now: the number of the present one */
    uint64_t hoped_until_us; /* until then new work rather waits for it than goes to a later one */
    struct list sent;        /* requests without an answer */
    char reason[REASON_ROOM];
};

struct troth {
    pthread_mutex_t lock;
    struct list inbox;    /* requests */
    struct list finished; /* requests of which `done` is to be called */
    bool closing;
    bool ended;  /* the loop: what is asked for from here on is closed at once */
    int callers; /* threads inside of a blocking call */
    pthread_cond_t left;
    int ready_fd;          /* an eventfd: something is finished */
    struct timers watches; /* of struct joined */
    atomic_uint_fast64_t numbers;
    pthread_t thread;

    /* The loop's. */
    struct loop *loop;
    uv_async_t wake;
    struct endpoint endpoints[ENDPOINTS_MAX];
    int endpoint_count;
    struct list unsent;
    struct map by_number;
    struct timers timers;
    bool routes_changed; /* the unsent are worth another try */
    bool leaving;
    uint64_t leave_by_us;
    char name[LIMIT_NAME_BYTES + 1];
};

void library_wake(struct troth *troth);
bool endpoints_open(struct troth *troth, const char *addresses, struct troth_result *result);
void endpoints_close(struct troth *troth);
bool endpoint_usable(const struct endpoint *endpoint);

/* ---- a transaction (tx.c, join.c) ---------------------------------------------------------- */

struct joined {
    struct list node;
    PGconn *connection;
    char *participant;
    uint32_t branch;
    gid_text gid;
    bool handed_over;
    bool prepared; /* by us, under gid */
    /* Until it is handed over: past the deadline the connection is broken off, so that the locks of
     * a caller that is busy elsewhere go. */
    struct timer watch; /* under the handle's lock */
    int socket;         /* a descriptor of our own for that; -1: none */
};

struct troth_tx {
    struct troth *troth;
    bool beginner;
    bool open; /* begun, or resumed; and not known to be over */
    int endpoint;
    uint64_t session;
    gtrid_text id;
    struct gid gid;
    uint64_t due_us; /* its deadline on our clock */
    bool due_known;
    enum troth_wait wait;
    bool asked_commit;         /* so it may be committed */
    struct troth_result ended; /* of what ended it; when not open */
    struct list joined;
    char context[TROTH_CONTEXT_BYTES + 1];
};

/* A message about the transaction, to where it lives, until its deadline. */
struct request *tx_request(struct troth_tx *tx, const Wire__Message *message,
                           request_conclude *conclude);
/* Takes the answers that all of these have in common: an Outcome, a refusal, nobody. False: it is
 * a Progress without a problem. */
bool tx_took_end(struct request *request, struct troth_result *result);
uint32_t tx_left_ms(const struct troth_tx *tx);
/* It is over, as this result says. */
void tx_end(struct troth_tx *tx, const struct troth_result *result);
/* The end of it was told before: the result of any further call. */
enum troth_status tx_ended_before(const struct troth_tx *tx, struct troth_result *result);
/* join.c: rolls back what is joined and not handed over; with `prepared` also what this object has
 * prepared (it is aborted for certain). */
void joined_roll_back(struct troth_tx *tx, bool prepared);
/* What was handed over is the agent's, and its connections are the caller's again, who may have
 * closed them. */
void joined_forget_prepared(struct troth_tx *tx);
void joined_free(struct troth_tx *tx);
bool joined_pending(const struct troth_tx *tx);
/* In the loop's thread: breaks off what is due. Returns when it wants to be called again. */
uint64_t joined_watch(struct troth *troth);
/* Hands over all. Otherwise than OK the result says why. */
enum troth_status joined_hand_over(struct troth_tx *tx, struct troth_result *result);

/* ---- your own connection (connection.c)
 * ------------------------------------------------------------ */

/* What came of a statement. */
struct pg_reply {
    bool done;        /* all of it was carried out */
    bool lost;        /* the connection is; no answer in time counts as that */
    PGresult *result; /* of the last statement, or of the one that failed; NULL: lost */
};

/* Waits until due_us at most: a connection on which nothing comes by then is broken off. */
struct pg_reply pg_do(PGconn *connection, const char *sql, uint64_t due_us);
/* Makes it idle, whatever is under way on it: COPY, a pipeline, a failed transaction. False: it is
 * lost. */
bool pg_make_idle(PGconn *connection, uint64_t due_us);
/* What PostgreSQL said, or that the connection is lost. */
void pg_problem(struct troth_result *result, const struct pg_reply *reply, PGconn *connection);

#endif
