/* The ports: everything that a runner (coordinator/server, participant/agent, client/client) can do
 * to the world. The daemons bind them to io/; the simulator binds them to models on virtual time.
 *
 * Nothing here blocks. No port calls back into its runner from inside a call that the runner makes:
 * answers come later, from the host's loop. Time is microseconds. */
#ifndef TROTH_CORE_PORTS_H
#define TROTH_CORE_PORTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/register.h"

/* ---- host: clock, random, log ------------------------------------------------------------- */

enum log_level { LOG_DEBUG, LOG_INFO, LOG_WARNING, LOG_ERROR };

struct host_port {
    void *self;
    uint64_t (*now_us)(void *self); /* monotonic; the same value within one turn of the loop */
    int64_t (*wall_us)(void *self); /* since 1970, for people and records; may jump */
    void (*random)(void *self, void *buffer, size_t size);
    void (*log)(void *self, enum log_level level, const char *line); /* line is not kept */
};

/* host->log with printf's formats; lines longer than 1 KiB are cut. */
void host_log(const struct host_port *host, enum log_level level, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* ---- audit: what people ordered ----------------------------------------------------------- */

/* One line of the audit log. Texts live for the call only; NULL is left out. */
struct audit_entry {
    const char *action;  /* "tx resolve --abort", "saga retry" */
    const char *subject; /* the gtrid or the saga's id */
    const char *by;      /* who says so: "ada@host" */
    const char *session; /* the name and role of the session that it came in */
    const char *reason;
    const char *stage;  /* "ordered" before anything is done, "done", "refused" */
    const char *before; /* the state then: "held; prepared at payments" */
    const char *after;  /* done, refused: what came of it */
};

/* Durable when it returns: it blocks for a flush, as orders are rare. A port that can't write ends
 * the process. NULL where there is none. */
struct audit_port {
    void *self;
    void (*append)(void *self, const struct audit_entry *entry);
};

/* ---- alert: something is parked for an operator --------------------------------------------- */

struct alert {
    const char *kind;    /* hazard, mixed, held, saga, majority */
    const char *subject; /* the gtrid, gid or saga's id */
    const char *text;    /* one line */
    const char *command; /* what to look at: "troth tx explain ..." */
};

/* Starts the hook of the configuration and forgets it; told once while it stays parked. NULL: none.
 */
struct alert_port {
    void *self;
    void (*raise)(void *self, const struct alert *alert);
};

/* ---- journal ------------------------------------------------------------------------------ */

/* An append-only log with group commit. Records come back in order at the next start, through the
 * host, which calls the runner's replay function before it starts the runner. A port that can't
 * write ends the process: it never reports a failure. */
struct journal_port {
    void *self;
    /* Queues one record (copied) and returns its position: 1, 2, 3 ... within this run. The host
     * reports the highest durable position through the runner's durable function. A record is made
     * durable whether or not anybody waits; `urgent` false lets it wait for the next urgent one
     * (bounded by some 100 ms) so that it costs no flush of its own. */
    uint64_t (*append)(void *self, const void *record, size_t size, bool urgent);
    /* True when enough was appended since the last checkpoint that the runner should write one. */
    bool (*checkpoint_due)(void *self);
    /* All appended between begin and end is a checkpoint: it replaces, atomically and in order with
     * the other records, everything appended before begin. A crash before it is durable leaves the
     * log as it was without it. Called within one turn. */
    void (*checkpoint_begin)(void *self);
    void (*checkpoint_end)(void *self);
};

/* ---- link: unreliable frames -------------------------------------------------------------- */

/* A link loses, and after a reconnection can duplicate or reorder, frames; it never damages one.
 * The acceptor's link has many routes: a route names a connection, never an identity. A connector's
 * link has the one route 0. Frames come in through the runner's frame function. */
struct link_port {
    void *self;
    /* Best effort; the bytes are copied. False: certainly not sent (full; try again later). */
    bool (*send)(void *self, uint64_t route, const void *frame, size_t size);
    /* Connector: throw the connection away and make a new one. Acceptor: NULL. */
    void (*redial)(void *self);
    /* Connector: a session has begun over it, so what broke before that is over. NULL: it does not
     * watch. */
    void (*renewed)(void *self);
};

/* ---- dial: links to other participants ---------------------------------------------------- */

/* Makes a participant's links to others when it needs them. The runner chooses the line, 0 ...
 * LIMIT_LINES - 1; what comes on it comes back with it. */
struct dial_port {
    void *self;
    /* A connector's link to the address, at which nobody need be yet. False: it is no address. */
    bool (*dial)(void *self, int line, const char *address, struct link_port *link);
    /* Nothing comes on that line any more; its link must not be used again. */
    void (*hang_up)(void *self, int line);
};

/* ---- database: one participant's PostgreSQL ----------------------------------------------- */

enum db_mode {
    DB_PREPARE,   /* BEGIN; work; PREPARE TRANSACTION gid */
    DB_ONE_PHASE, /* BEGIN; work; insert the key into troth.barrier; COMMIT */
    DB_READ_ONLY, /* BEGIN READ ONLY; work; COMMIT */
    DB_STEP,      /* BEGIN, unless the tag has a transaction open; work; it stays open */
    DB_ROLLBACK,  /* of what the tag has open, if it has; no work. Answered by DB_FAILED */
};

enum db_shape { DB_NO_RESULT, DB_ROW, DB_ROWS };

/* What the text of a statement is known to be. */
enum db_form {
    DB_OTHER,   /* nothing is known of it */
    DB_PLAIN,   /* SELECT, INSERT ...: it runs inside of any transaction, and ends none */
    DB_CHANGE,  /* INSERT, UPDATE or DELETE, without WITH in front and without RETURNING */
    DB_RETURNS, /* likewise, with RETURNING at its end */
};

/* One SQL statement with its values bound. Owned by the runner, unchanged until the completion. */
struct db_statement {
    const char *name; /* stable name: the port prepares the statement once a connection */
    const char *sql;  /* with $1 ... $n */
    enum db_form form;
    int parameter_count;
    const char *const *types;  /* PostgreSQL type names, one a parameter */
    const char *const *values; /* text format; NULL is SQL's null */
    int64_t expect_rows;       /* -1: any number */
    const char *otherwise;     /* reason when the number of rows differs, e.g. insufficient_funds */
    enum db_shape shape;
    int call; /* index of the call this statement belongs to */
};

/* A row of troth.register: this site's register of a three-phase transaction. */
struct db_register {
    const char *gtrid;
    const char *sites; /* who to ask; "": not told, as the branch was never prepared here */
    int64_t begun_us;  /* the transaction's, by its coordinator's wall clock */
    struct register_state state;
};

/* A call that the host itself carries out, not statements: a service's handler. */
struct db_call {
    const void *handler; /* the host's, from the operation */
    const char *operation;
    const char *arguments; /* a JSON object, checked against the operation's parameters */
};

struct db_work {
    enum db_mode mode;
    /* DB_PREPARE: of what the tag has open since its first DB_STEP, on the same connection. */
    bool open;
    /* DB_PREPARE of three phases: who takes part (participant/sites.h). Kept beside the prepared
     * transaction: durable with it, and told by every scan that finds it. NULL: two phases. */
    const char *sites;
    const char *gid;   /* the prepared transaction's name; DB_PREPARE */
    const char *gtrid; /* the barrier row's key; DB_ONE_PHASE */
    bool keeps_result; /* DB_ONE_PHASE: the row has the result of call 0, for lookup */
    const struct db_statement *statements;
    int statement_count;
    const struct db_call *calls; /* call_count of them, instead of statements; NULL: none */
    int call_count;
    uint64_t timeout_us; /* what is left of the transaction's deadline, for statement_timeout */
};

enum db_outcome {
    DB_PREPARED,  /* the gid is prepared. With failed_statement >= 0 an expectation failed though:
                     the  branch must be rolled back, never voted yes */
    DB_COMMITTED, /* DB_ONE_PHASE and DB_READ_ONLY: committed. DB_PREPARE of an open one that
                     only reads, and said so: likewise, as there is nothing to prepare */
    DB_OPENED,    /* DB_STEP: done, and the tag has its transaction open */
    DB_FAILED,    /* certain: nothing remains */
    DB_LOST,      /* the connection was lost after PREPARE or COMMIT may have been carried out */
};

struct db_worked {
    enum db_outcome outcome;
    /* DB_FAILED of DB_ONE_PHASE: a row of its key was there before. This very work was done by
     * somebody, or never will be: lookup tells which. */
    bool duplicate;
    /* DB_FAILED of work that keeps its result: that is over LIMIT_RESULT_BYTES. */
    bool too_large;
    /* DB_FAILED: only because what this session had prepared was out of date. It has not any more.
     */
    bool stale;
    uint64_t xid;         /* 64 bits, as pg_current_xact_id() gives it; DB_PREPARED */
    int failed_statement; /* of work with calls: which of them; -1: none */
    const char *sqlstate; /* "" when not an SQL error */
    const char *refusal;  /* a call's own word for why it was refused; NULL or "": it has none */
    const char *reason;   /* insufficient_funds, an SQL error's text, why the connection failed */
    const char *detail;   /* PostgreSQL's DETAIL/HINT or "" */
    const char *const *results; /* call_count of them: JSON text or NULL */
};

enum db_finish {
    DB_FINISHED,
    DB_MISSING,   /* 42704: no prepared transaction of that gid. Never success by itself */
    DB_UNFINISHED /* not carried out, or not known: lost connection, busy, no right; try again */
};

enum db_status {
    DB_STATUS_COMMITTED,
    DB_STATUS_ABORTED,
    DB_STATUS_IN_PROGRESS,
    DB_STATUS_UNKNOWN,
    DB_STATUS_ERROR /* could not ask; try again */
};

enum db_found {
    DB_FOUND,
    DB_NOT_FOUND,
    DB_FENCED, /* lookup: it is not committed, and never will be */
    DB_FOUND_ERROR
};

enum db_adopted {
    DB_ADOPTED,       /* prepared in this database with that xid, and this port may finish it */
    DB_ADOPT_MISSING, /* not prepared in this database, or with another xid */
    DB_ADOPT_FOREIGN, /* prepared by a role whose transactions this port can't finish */
    DB_ADOPT_FENCED,  /* a row of the register was there before: no yes may be given */
    DB_ADOPT_ERROR,   /* could not ask; nothing was changed, or a row was left that nobody needs */
};

enum db_stored {
    DB_STORED,      /* durable */
    DB_CHANGED,     /* the row is not what `before` says: load it */
    DB_STORE_FAILED /* not known whether it was stored: load it */
};

enum db_accepted {
    DB_ACCEPTED,       /* durable: the row, and that the gid is committed */
    DB_ACCEPT_REFUSED, /* certain: nothing was done, as there is a row. Load it */
    DB_ACCEPT_UNKNOWN  /* all of it was done, or the row alone, or nothing, or it will be yet. What
                          load says of the row need not be durable */
};

struct db_prepared {
    const char *gid;   /* any text: foreign ones too */
    bool registered;   /* three phases: it was prepared with `sites`, or has a row */
    const char *sites; /* as it was prepared, or adopted, with them; NULL or "": not known */
    uint64_t xid;
    int64_t prepared_at_us; /* wall clock of the database */
};

/* A row of troth.heuristic: what an operator made of a branch of this participant. The port keeps
 * its rows apart from those of another participant in the same database. */
struct db_heuristic {
    const char *gid;
    bool commit;
    uint64_t xid; /* 0: not known */
    const char *reason, *by;
    int64_t at_us; /* wall clock */
};

enum db_look { DB_LOOK_TRANSACTION, DB_LOOK_PREPARED, DB_LOOK_SERVER };

/* What the database is asked about. Lives for the call only. */
struct db_inspection {
    enum db_look look;
    const char *gtrid; /* TRANSACTION */
    uint64_t xid;      /* TRANSACTION: of the branch here; 0: that of a prepared one, if any */
};

/* A prepared transaction as its server lists it. */
struct db_held {
    const char *gid, *owner, *database;
    bool here; /* in this database */
    uint64_t xid, age_xids;
    int64_t prepared_at_us;
};

struct db_inspected {
    bool ok;
    const char *problem; /* !ok: why it could not be asked */
    int64_t now_us;      /* the database's wall clock */
    /* TRANSACTION: its prepared branches here. PREPARED: all of the server. */
    const struct db_held *held;
    int held_count;
    /* TRANSACTION: */
    uint64_t xid;          /* that was asked about; 0: none */
    enum db_status status; /* of xid; DB_STATUS_ERROR: there was none to ask about */
    bool registered;
    struct register_state state; /* registered */
    const char *barrier;         /* the kind of its row; "": none */
    /* TRANSACTION, SERVER: JSON for a person; io/pg_inspect.h says of what. "": none. */
    const char *report;
};

struct db_port {
    void *self;
    /* Each is answered exactly once through the handler below, with the same tag, also when the
     * database is down. work: at most db_events.connections at once, those that tags hold open
     * among them; the runner queues. A failed DB_STEP, DB_PREPARE or DB_ROLLBACK leaves nothing
     * open; so does an open one whose connection is lost, which the next request tells. */
    void (*work)(void *self, const struct db_work *work, void *tag);
    /* Asks the server to cancel what `tag` is doing; its completion still comes, either way. */
    void (*cancel)(void *self, void *tag);
    /* Somebody else has prepared it: may it be taken for ours? With row (three phases) the row is
     * inserted first, and durable when the answer comes. */
    void (*adopt)(void *self, const char *gid, uint64_t xid, const struct db_register *row,
                  void *tag);
    void (*finish)(void *self, const char *gid, bool commit, void *tag);
    void (*status)(void *self, uint64_t xid, void *tag);
    /* Is there a barrier row of that key? The port answers only after the backend that may have
     * been committing it is gone, and says FOUND and FENCED when that is durable. With `fence` it
     * leaves a row of its own where there is none, that lets no later work of that key commit, not
     * even another process's: so the answer is FOUND or FENCED, for ever. Without it NOT_FOUND
     * holds only as long as nobody tries. */
    void (*lookup)(void *self, const char *gtrid, bool fence, void *tag);
    /* All prepared transactions of this database, foreign ones too. */
    void (*scan)(void *self, void *tag);
    /* Deletes rows older than age: of the barrier, and of the register where nothing of theirs is
     * prepared. Answered by nothing. */
    void (*clean)(void *self, uint64_t age_us);

    /* The register of a transaction. One that was settled is found as decided commit. */
    void (*register_load)(void *self, const char *gtrid, void *tag);
    /* Makes row->state durable if what the table holds now is `before` (NULL: no row). Many of them
     * share one flush. row and before live for the call only. */
    void (*register_store)(void *self, const struct db_register *row,
                           const struct register_state *before, void *tag);
    /* Inserts the row, which is register_first_commit, and then commits the gid, in one flush:
     * whoever finds the gid committed after whatever crash finds the row, too. Nothing is done
     * where there is a row already, also one that is just being inserted: so of what this does and
     * what a register_store does one comes first. */
    void (*register_commit)(void *self, const struct db_register *row, const char *gid, void *tag);
    /* These are committed and applied at every site: their rows are folded into a bit each. Lazy;
     * answered by nothing. */
    void (*register_settle)(void *self, const char *coordinator, uint64_t epoch,
                            const uint64_t *seqs, size_t count);

    /* Looks, and changes nothing. Bounded in time by the port (2 s); what could not be found out
     * within it is left out of the report. */
    void (*inspect)(void *self, const struct db_inspection *inspection, void *tag);
    /* Makes the row durable. One of that gid that is there already stays as it is: DB_CHANGED. */
    void (*heuristic_store)(void *self, const struct db_heuristic *row, void *tag);
    /* This participant's rows that are not forgotten, at most LIMIT_HEURISTICS, newest first. */
    void (*heuristics_load)(void *self, void *tag);
    /* Durably: its rows of this transaction are forgotten (marked, not deleted). */
    void (*heuristics_forget)(void *self, const char *gtrid, void *tag);
};

/* What the port calls, from the host's loop. Pointers in arguments live for the call only. */
struct db_events {
    void *self;
    /* The database can be used: the server was checked, older sessions of this participant were
     * ended. Also after each reconnection that followed `down`. database: which one it is,
     * "<system identifier>/<oid>". */
    void (*up)(void *self, const char *database);
    /* No connection works; again when the reason changes. reason is for a person. Pending answers
     * come as FAILED, LOST, ... */
    void (*down)(void *self, const char *reason);
    void (*worked)(void *self, void *tag, const struct db_worked *worked);
    /* reason: for a person; "" when adopted. */
    void (*adopted)(void *self, void *tag, enum db_adopted adopted, const char *reason);
    void (*finished)(void *self, void *tag, enum db_finish result, const char *reason);
    void (*status)(void *self, void *tag, enum db_status status);
    /* result: FOUND, and it was kept; else NULL. */
    void (*looked_up)(void *self, void *tag, enum db_found found, const char *result);
    /* row: NULL unless found; its gtrid is the one asked for. */
    void (*register_loaded)(void *self, void *tag, enum db_found found,
                            const struct db_register *row);
    void (*register_stored)(void *self, void *tag, enum db_stored stored);
    void (*register_committed)(void *self, void *tag, enum db_accepted accepted);
    void (*inspected)(void *self, void *tag, const struct db_inspected *inspected);
    /* Of heuristic_store and heuristics_forget. */
    void (*heuristic_stored)(void *self, void *tag, enum db_stored stored);
    void (*heuristics_loaded)(void *self, void *tag, bool ok, const struct db_heuristic *rows,
                              int count);
    /* ok false: could not ask (prepared is NULL). slots: max_prepared_transactions. */
    void (*scanned)(void *self, void *tag, bool ok, const struct db_prepared *prepared, int count,
                    int slots);
};

#endif
