/* What the files of the database port share: pg.c (what is up, and what is not), pg_work.c (who
 * does which work), pg_run.c (doing it), pg_steps.c (what it has sent), pg_joined.c (in one round
 * trip), pg_lane.c (steps of sagas together), pg_open.c (what stays open), pg_adopt.c (what others
 * have prepared), pg_pool.c and pg_hand.c (work that is a function of the program), pg_finish.c
 * (ending prepared branches), pg_register.c (registers of three-phase transactions), pg_accept.c
 * (a register's acceptance and the commit of its branch), pg_sites.c (who takes part in them),
 * pg_control.c (asking and fencing), pg_upkeep.c (what is folded and deleted).
 *
 *   control    1             checks the server, fences, scans, asks, cancels
 *   workers    connections   one branch's work at a time each
 *   lanes      2, if any     steps of sagas, many in one round trip
 *   registers  1             loads and stores registers, and lists of sites, many at a time
 *   accepting  1, if any     inserts rows of registers that the commit after them will flush
 *   inspector  1, if any     looks, for an operator
 *   finishers  some more     COMMIT and ROLLBACK PREPARED: never behind a branch's work, which may
 *                            wait for the very lock that a commit would free
 *
 * All answers go to the runner from the loop: what is answered without the database's help waits on
 * `later` for the loop's next round. */
#ifndef TROTH_IO_PG_PRIVATE_H
#define TROTH_IO_PG_PRIVATE_H

#include "core/list.h"
#include "core/map.h"
#include "io/pg.h"
#include "io/pg_batch.h"
#include "io/pg_connection.h"
#include "io/pg_statement.h"
#include "io/pg_steps.h"

struct pg;

enum pg_run_stage {
    PG_RUN_NONE,
    PG_RUN_RESOLVING,   /* the OIDs of type names are asked for; no transaction yet */
    PG_RUN_WORKING,     /* the pipeline of work is under way */
    PG_RUN_COMMITTING,  /* one phase with expectations: they are met, COMMIT is under way */
    PG_RUN_TAKING_BACK, /* a ROLLBACK is under way; then the work is begun again */
    PG_RUN_CLEANING,    /* answered; a ROLLBACK is under way */
    PG_RUN_OPEN,        /* answered; the tag's transaction stays open */
    PG_RUN_GONE,        /* it was open when the session was lost; the tag does not know it yet */
};

/* A work connection and the branch whose work it runs. */
struct pg_worker {
    struct pg_connection connection;
    struct list idle; /* on pg->idle when it can take work */
    enum pg_run_stage stage;
    const struct db_work *work;
    void *tag;
    struct pg_steps steps;
    struct pg_statement *joined; /* does the last statement and inserts the row; NULL: apart */
    bool implicit;               /* without BEGIN and COMMIT: the Sync commits */
    bool apart;                  /* was tried joined */
    bool again;                  /* what was joined is not taken by the server */
    bool decisive;               /* PREPARE or COMMIT was handed to libpq */
    bool sql_failed;             /* the server refused a command and with it all after it */
    bool ended;                  /* the tag PREPARE TRANSACTION or COMMIT came */
    bool duplicate;              /* its barrier row was there before */
    bool too_large;              /* its result can't be kept */
    bool stale;                  /* the session's prepared statement was out of date */
    bool cancel;                 /* wanted by the runner */
    unsigned held_by;            /* lanes, a bit each: what it has read may not be durable yet */
    int cancels_pending; /* asked of the server: until they are through no other work may start */
    bool open;           /* the tag had its transaction open before this work */
    bool wrote_nothing;  /* it ends with COMMIT where PREPARE was wanted */
    uint64_t open_xid;   /* of what is open; 0: it has none by now */
    uint64_t xid;
    int sites_id; /* of the work's sites; 0: it has none, or won't be prepared */
    int failed_statement;
    char sqlstate[6];
    char *reason, *detail;
    char **results; /* call_count of them, or NULL while there is none */
    int result_count;
};

enum { PG_LANES = 2, PG_LANE_MOST = 64 };

struct pg_ride;

/* A session that steps of sagas share, many in one train. */
struct pg_lane {
    struct pg_connection connection;
    struct pg_steps steps;
    struct pg_ride *rides[PG_LANE_MOST]; /* of the train under way; NULL: it failed, and left */
    int count;
    int next;            /* whose results come; those before have ended */
    bool marking;        /* all have ended, and a flush for them is under way */
    int cancels_pending; /* as a worker's */
};

struct pg_lanes {
    struct pg_lane all[PG_LANES];
    struct list waiting; /* struct pg_ride: for the next train */
    bool wanted;         /* there was a step: their connections are to be open */
    uv_idle_t *idle;
    char *settings;
};

struct pg_finisher {
    struct pg_connection connection;
    struct list queue; /* struct pg_ending, in the order sent */
    int queued;
    uint64_t ready_at; /* pg->acceptances when its session was ready */
};

/* The beginning of what ends a prepared branch. */
struct pg_ending {
    struct pg_owed owed;
    enum db_finish result;
    char *reason; /* NULL: none. pg_finish.c's */
    /* It is on no list any more. Frees itself. */
    void (*answer)(struct pg *pg, struct pg_ending *ending);
};

/* A question to the control connection. */
struct pg_request {
    struct pg_owed owed;
    const char *sql;
    int count;
    char *values[7];
    void *tag;
    uint64_t serial; /* of the connection that a cancel is for */
    bool scan;
    bool commits; /* one row is its result, which is answered when its commit has come back */
    bool answered;
    PGresult *kept; /* the row, until then */
    /* result: NULL when it could not be asked; else of any status. Called once. */
    void (*answer)(struct pg *pg, struct pg_request *request, const PGresult *result);
};

enum pg_control_stage {
    PG_CONTROL_OFF,
    PG_CONTROL_CHECKING, /* is this server fit? */
    PG_CONTROL_FENCING,  /* older backends are being ended, before anything else is done */
    PG_CONTROL_ON,
};

struct pg_pool;

enum pg_phase {
    PG_DOWN,    /* only the control connection tries */
    PG_OPENING, /* fenced; the others are being opened */
    PG_UP,
};

struct pg {
    struct pg_connection_shared shared;
    struct db_port port;
    struct db_events events;
    enum pg_phase phase;
    bool told_down;      /* events.down was called for this trouble */
    char trouble[512];   /* why it is down; what was logged last */
    char elsewhere[512]; /* why another connection than control can't be opened, as logged */
    char *older;         /* the beginning of the names of all our participant's backends */
    char *cluster, *participant;
    char *worker_settings;

    struct pg_connection control;
    enum pg_control_stage control_stage;
    struct list requests; /* struct pg_request, in the order sent */
    struct list waiting;  /* scans and lookups that wait for the fence */
    /* Serials of connections that were lost while they ran work: their backends may still be at it
     * and are fenced like older ones. */
    uint64_t *ghosts;
    int ghost_count, ghost_room;
    bool fencing;     /* a fence query, or the timer before the next, is under way */
    int fence_ghosts; /* how many of the ghosts the query under way names */
    int fence_rounds; /* queries of this fencing that found a backend still there */
    uint64_t fence_since_us;
    uv_timer_t *fence_timer;
    PGresult *facts;   /* of the check under way */
    char identity[64]; /* of the server and the database; "": not known */
    uv_timer_t *cancel_timer;

    struct pg_worker *workers;
    int worker_count;
    struct pg_pool *pool; /* does all work, and there are no workers (io/pg_pool.h); NULL: none */
    struct list idle;     /* of workers; the one used last is taken first */
    struct list queue;    /* struct pg_queued: work that no worker was free for */
    struct pg_lanes lanes;
    struct pg_batch registers;
    struct pg_batch accepting;
    uint64_t acceptances;   /* that were asked for */
    struct map sites;       /* the numbers of lists, by their text; LIMIT_SITE_LISTS at most */
    struct list sites_used; /* the same: the one that was used longest ago is first */
    struct pg_finisher *finishers;
    int finisher_count, finisher_next;
    struct pg_statements statements;
    struct list later; /* struct pg_owed */
    uv_idle_t *later_handle;
    struct pg_inspector *inspector;
};

/* ---- pg.c ---------------------------------------------------------------------------------- */

void pg_later(struct pg *pg, struct pg_owed *owed);
/* Refuses all that is on the list by now. */
void pg_refuse_all(struct pg *pg, struct list *list);
/* A connection became ready or was lost: is the port up or down now? */
void pg_review(struct pg *pg);
void pg_control_is_on(struct pg *pg);
/* The server can't be used; the control connection will try again. */
void pg_trouble(struct pg *pg, const char *reason);
/* Logs, once, why a worker or finisher can't be opened while the database is there. */
void pg_not_opened(struct pg *pg, bool was_ready, const char *reason);
bool pg_gid_valid(const char *gid);

/* ---- pg_work.c ------------------------------------------------------------------------------- */

void pg_workers_init(struct pg *pg, int count, uint64_t lock_timeout_us);
void pg_workers_fini(struct pg *pg);
void pg_work(void *self, const struct db_work *work, void *tag);
void pg_cancel(void *self, void *tag);
/* Runs it on an idle worker, or when there is one. sites_id: the number of its sites, or 0. */
void pg_work_start(struct pg *pg, const struct db_work *work, int sites_id, void *tag);
/* Answers that nothing was done. */
void pg_work_refuse(struct pg *pg, void *tag, const char *sqlstate, const char *reason,
                    const char *detail);
/* Starts queued work on idle workers. */
void pg_work_dispatch(struct pg *pg);
/* Answers all queued work: the database is down. */
void pg_work_refuse_queued(struct pg *pg);
/* The server has dealt with the cancel of the backend of this serial. */
void pg_work_cancel_done(struct pg *pg, uint64_t serial);

/* An idle worker takes other work. Harmless while it can't. */
void pg_worker_idle(struct pg *pg, struct pg_worker *worker);

/* The settings of a session that runs work; the caller frees. */
char *pg_session_settings(uint64_t lock_timeout_ms, uint64_t statement_timeout_ms);

/* ---- pg_lane.c ------------------------------------------------------------------------------- */

void pg_lanes_init(struct pg *pg);
void pg_lanes_fini(struct pg *pg);
/* Once they were used. */
void pg_lanes_open(struct pg *pg);
/* Those that are not ready. */
void pg_lanes_close(struct pg *pg);
/* False: it is no work for a lane, or there is none. */
bool pg_lanes_take(struct pg *pg, const struct db_work *work, void *tag);
/* False: it is with no lane. */
bool pg_lanes_cancel(struct pg *pg, const void *tag);
/* Asks the server where that is of use. True: some cancel is not through. */
bool pg_lanes_cancel_due(struct pg *pg);
/* Lanes, a bit each, whose commits can be read here and may not be durable. */
unsigned pg_lanes_unflushed(const struct pg *pg);
/* As pg_work_cancel_done. */
void pg_lanes_cancel_done(struct pg *pg, uint64_t serial);

/* ---- pg_run.c -------------------------------------------------------------------------------- */

void pg_run_init(struct pg *pg, struct pg_worker *worker);
void pg_run_fini(struct pg_worker *worker);
/* On a worker that is ready and idle. */
void pg_run_begin(struct pg_worker *worker, const struct db_work *work, int sites_id, void *tag);

/* Sends a statement of the port's own or of the work, at that index or -1. */
void pg_run_send(struct pg_worker *worker, enum pg_step_kind kind,
                 const struct db_statement *statement, int index, const char *const *values);
/* Leaves its transaction, and what was known of its work. */
void pg_run_roll_back(struct pg_worker *worker);
/* Likewise where there is no transaction. */
void pg_run_reset(struct pg_worker *worker);
/* The commits of this lane's train are durable, or (known false) nobody knows: what has read them
 * is answered. */
void pg_run_release(struct pg *pg, unsigned lane, bool known);
/* Answers without them. False: it is not held. */
bool pg_run_cancel_held(struct pg *pg, struct pg_worker *worker);

/* ---- pg_open.c ------------------------------------------------------------------------------- */

/* True: it is for what the tag has open, or had. */
bool pg_open_take(struct pg *pg, const struct db_work *work, int sites_id, void *tag);
/* Of what the tag has open; 0: it only reads, or is gone. */
uint64_t pg_open_xid(struct pg *pg, const void *tag);
/* The tag's request is answered with a failure: nothing of it stays open. */
void pg_open_refused(struct pg *pg, const void *tag);
/* All of a request but the answers. */
void pg_open_send(struct pg_worker *worker);

/* ---- pg_adopt.c ------------------------------------------------------------------------------ */

void pg_adopt(void *self, const char *gid, uint64_t xid, const struct db_register *row, void *tag);

/* ---- pg_finish.c ----------------------------------------------------------------------------- */

void pg_finishers_init(struct pg *pg, int count);
void pg_finishers_fini(struct pg *pg);
void pg_finish(void *self, const char *gid, bool commit, void *tag);
/* After an acceptance: on a session of the server that holds its row, ready before that was asked
 * for. */
#define PG_NO_ACCEPTANCE UINT64_MAX
void pg_end(struct pg *pg, struct pg_ending *ending, const char *gid, bool commit,
            uint64_t acceptance);

/* ---- pg_register.c --------------------------------------------------------------------------- */

void pg_registers_init(struct pg *pg, bool wanted);
void pg_registers_fini(struct pg *pg);
void pg_registers_open(struct pg *pg);
/* Unless it is ready. */
void pg_registers_close(struct pg *pg);
/* Connections. */
int pg_registers_wanted(const struct pg *pg);
int pg_registers_ready(const struct pg *pg);
void pg_register_load(void *self, const char *gtrid, void *tag);
void pg_register_store(void *self, const struct db_register *row,
                       const struct register_state *before, void *tag);

/* Inserts rows that say commit at ballot {0,0}: the participant, gtrids, when they began. */
extern const char pg_register_first_sql[];

/* ---- pg_accept.c ----------------------------------------------------------------------------- */

void pg_accepting_init(struct pg *pg);
void pg_accepting_fini(struct pg *pg);
/* Once it was used. */
void pg_accepting_open(struct pg *pg);
/* Unless it is ready. */
void pg_accepting_close(struct pg *pg);
void pg_register_commit(void *self, const struct db_register *row, const char *gid, void *tag);

/* ---- pg_sites.c ------------------------------------------------------------------------------ */

/* The lock that a branch holds on the number of its list, and what it is known by in pg_locks: the
 * class is 'trth'. Lists are numbered from 1. */
#define PG_SITES_LOCK_CLASS "1953657960"
#define PG_SITES_LOCK(id)   "pg_advisory_xact_lock_shared(" PG_SITES_LOCK_CLASS ", " id ")"

/* Starts the work when its sites have a number; or refuses it. */
void pg_sites_work(struct pg *pg, const struct db_work *work, void *tag);
/* Its work will not start; false: it is not one that waits for that. */
bool pg_sites_cancel(struct pg *pg, const void *tag);
/* Another database may answer now; also for the end. */
void pg_sites_forget(struct pg *pg);
/* Sends what keeps the sites beside the worker's transaction. STEP_XID: asks for its xid as well.
 */
void pg_sites_send(struct pg_worker *worker, enum pg_step_kind kind);
/* Asked of the registers' connection. */
extern const struct pg_question pg_sites_question;

/* ---- pg_upkeep.c ----------------------------------------------------------------------------- */

void pg_clean(void *self, uint64_t age_us);
void pg_register_settle(void *self, const char *coordinator, uint64_t epoch, const uint64_t *seqs,
                        size_t count);

/* ---- pg_inspect.c; what the port calls is in pg_inspect.h --------------------------------------
 */

void pg_inspector_init(struct pg *pg);
void pg_inspector_fini(struct pg *pg);

/* ---- pg_control.c ---------------------------------------------------------------------------- */

void pg_control_init(struct pg *pg);
void pg_control_fini(struct pg *pg);
void pg_status(void *self, uint64_t xid, void *tag);
void pg_lookup(void *self, const char *gtrid, bool fence, void *tag);
void pg_scan(void *self, void *tag);
struct pg_request *
pg_request_new(const char *sql, void (*answer)(struct pg *, struct pg_request *, const PGresult *),
               void *tag);
/* The request owns the value. */
void pg_request_value(struct pg_request *request, char *value);
/* Sends it, or answers it later with NULL when nobody can be asked. */
void pg_ask(struct pg *pg, struct pg_request *request);
/* The 64 bits of an xid of 32: all xids in use lie within 2^31 of the next one. */
uint64_t pg_xid_widen(uint32_t xid, uint64_t next);
/* Of a result of pg_xact_status(); NULL: it could not be asked. */
enum db_status pg_status_of(const PGresult *result);
/* What the server said against it; result may be NULL. */
const char *pg_complaint(const PGresult *result);
/* Sends a cancel for the backend of a session; false: can't be asked now. */
bool pg_control_cancel(struct pg *pg, uint64_t serial, int backend_pid);
/* The connection of this serial was lost while it ran work. */
void pg_control_ghost(struct pg *pg, uint64_t serial);

#endif
