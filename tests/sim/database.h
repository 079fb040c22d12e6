/* The model of one participant's PostgreSQL: accounts with row locks, transactions at work,
 * prepared ones, transaction ids and their fate, barrier rows, registers, heuristics. It outlives
 * the agent that uses it. */
#ifndef TROTH_TESTS_SIM_DATABASE_H
#define TROTH_TESTS_SIM_DATABASE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/list.h"
#include "core/ports.h"
#include "tests/sim/bank.h"
#include "tests/sim/barrier_table.h"
#include "tests/sim/heuristic_table.h"
#include "tests/sim/node.h"
#include "tests/sim/register_table.h"

enum { ACCOUNTS = 6, OPENING_BALANCE = 1000, BRANCH_CALLS = 8, RESULT_BYTES = 64 };

enum stage {
    STAGE_STARTING,
    STAGE_WAITING, /* for a row that another transaction holds */
    STAGE_ENDING,  /* PREPARE or COMMIT is on its way to the disk */
    STAGE_OPEN,    /* idle: its owner may go on with it */
    STAGE_PREPARED,
    STAGE_FINISHED, /* kept for a failover that may undo it */
};

struct database;
struct own_connection;

/* The sessions of one agent process. */
struct backend {
    struct database *database;
    struct node *node;
    uint64_t connected_boot;    /* the process that has working connections; 0: none */
    struct own_connection *own; /* it is no agent's, but that of a service (own_connection.h) */
};

/* The agent, and now and then a second process that took over its participant's name. */
enum { BACKEND_AGENT, BACKEND_RIVAL, BACKENDS };

/* A local transaction. */
struct local {
    struct list node;
    enum stage stage;
    uint64_t id;
    uint64_t ticket; /* the event that moves it on; others are stale */
    struct backend *backend;
    uint64_t boot; /* of the agent's process */
    void *tag;     /* NULL: nobody waits for it; if it has no owner, its connection is gone */
    void *owner;   /* has its transaction open; NULL: nobody */
    enum db_mode mode;
    gid_text gid;
    barrier_key gtrid; /* of work in one phase: the key of its barrier row */
    bool keeps_result; /* a step of a saga: that row has the result */
    struct effect *effects;
    int effect_count, next;
    int first; /* of the effects, those of the present work */
    uint64_t timeout_us;
    int call_count;
    char results[BRANCH_CALLS][RESULT_BYTES];
    uint64_t xid;
    int failed; /* the statement whose expectation failed; -1 */
    int waits_for;
    bool foreign;
    bool three_phase;
    const char
        *sites;     /* of troth.sites, with whom it is prepared; NULL: of two phases, or adopted */
    bool duplicate; /* its barrier row was there before */
    bool by_commit; /* FINISHED: how */
    uint64_t log;   /* FINISHED: its place in the log */
    int64_t prepared_at_us;
};

struct account {
    int64_t balance;
    struct local *holder;
};

struct database {
    struct world *world;
    struct backend backends[BACKENDS];
    int index;
    int connections; /* what the agent was told it may use at once */
    uint64_t lock_timeout_us;

    bool up;
    uint64_t generation; /* grows when the server dies: late effects die with it */
    uint64_t ticket;

    struct account accounts[ACCOUNTS];
    struct list working, prepared;
    struct list tail;      /* finished since the last thing that a failover must not lose */
    uint64_t log, flushed; /* the end of the log, and up to where a crash loses nothing */
    unsigned char *xids;   /* enum db_status by xid - FIRST_XID */
    size_t xid_count, xid_room;
    struct barrier_table barriers;
    struct register_table registers;
    struct heuristic_table heuristics;
    struct own_connection *own_connections;
    struct list gone;             /* struct gone (backend_open.c) */
    struct list stores;           /* changes of registers that are on their way to the disk */
    struct list accepts;          /* acceptances that are carried out at once (backend_accept.c) */
    struct list heuristic_stores; /* likewise of heuristics */
};

struct database *database_new(struct world *world, int index, int connections,
                              uint64_t lock_timeout_us);
void database_free(struct database *database);

/* A prepared transaction that is not Troth's, or another cluster's: nobody may touch it. */
void database_add_foreign(struct database *database, const char *gid);

/* ---- what happens to it ---- */

void database_agent_started(struct backend *backend);
void database_agent_gone(struct backend *backend);
/* The server dies and comes back: work is lost, what is prepared stays. */
void database_crash(struct database *database, uint64_t length_us);
/* A copy takes over that had not got the last COMMIT and ROLLBACK PREPARED yet. */
void database_failover(struct database *database, uint64_t length_us);
/* The agent loses all its connections; the server's processes may go on for a while. */
void database_disconnect(struct backend *backend, uint64_t length_us);
void database_reconnect_now(struct database *database);
/* Somebody ends a prepared transaction by hand. False: there is none. */
bool database_meddle(struct database *database);

/* An operator ends the branches that the coordinator holds, as the others of theirs were ended.
 * Those that end by themselves are left alone. */
void database_resolve_held(struct database *database);
/* Likewise those of a coordinator that is gone for good. */
void database_bury(struct database *database, const char *coordinator);
/* By hand: what somebody has prepared here under another participant's name, of three phases. The
 * list says that it is that one's, who does not have it: no order reaches it. */
void database_end_misplaced(struct database *database);
/* Three-phase branches as the registers say, all of them together. */
void database_end_three_phase(struct database *database);

/* ---- what it holds ---- */

int database_prepared_ours(const struct database *database);
/* Of these, those that must end by themselves, also without their coordinator: of three phases, at
 * two participants or more. */
int database_prepared_three_phase(const struct database *database);
/* The transaction of its k-th prepared branch that is not foreign; NULL: there are not so many. */
const char *database_prepared_gtrid(const struct database *database, int k);
/* Of a transaction that has several branches prepared here, one; else NULL. */
const char *database_prepared_of_several(const struct database *database, const char *gtrid);
/* Some branch of that transaction is prepared. */
bool database_has_prepared(const struct database *database, const char *gtrid);
bool database_locked(const struct database *database);
int64_t database_money(const struct database *database);

/* ---- for the port (backend.c) ---- */

struct local *database_begin(struct backend *backend, const struct db_work *work, void *tag);
/* More work, or the end, of what is open. */
void database_go_on(struct database *database, struct local *local, const struct db_work *work,
                    void *tag);
void database_ticket_after(struct database *database, struct local *local, uint64_t delay_us);
struct local *database_find_tag(struct backend *backend, const void *tag);
/* At work still; NULL: it has ended. */
struct local *database_find(struct database *database, uint64_t id);
struct local *database_find_prepared(struct database *database, const char *gid);
/* The server has got it: goes on with the statements until it waits, fails, or may be ended. */
void database_advance(struct database *database, struct local *local);
void database_rollback(struct database *database, struct local *local);
/* COMMIT PREPARED or ROLLBACK PREPARED. */
void database_finish(struct database *database, struct local *local, bool commit);
/* The row of that key, or NULL. With a fence there is one afterwards: if it is not committed, from
 * now on it can't be. */
const struct barrier *database_look_up(struct database *database, const char *key, bool fence);
enum db_status database_xid_status(const struct database *database, uint64_t xid);
uint64_t database_next_xid(const struct database *database);
int64_t database_wall_us(const struct database *database);
/* Ends the work of that key whose connection is gone. */
void database_fence(struct database *database, const char *key);

/* ---- the log (database_log.c) ---- */

/* What was written to the log before now is durable, and no failover loses it. */
void database_flushed(struct database *database);
/* Something is written to the log, and all up to it is flushed here. Returns its place. */
uint64_t database_log_flush(struct database *database);
/* A row is inserted and not flushed: anybody sees it, and a crash may lose it. False: there is one
 * already. */
bool database_insert_unflushed(struct database *database, const struct db_register *row);

/* ---- the port ---- */

struct db_port backend_port(struct backend *backend);
void backend_up(struct backend *backend);
void backend_down(struct backend *backend, const char *reason);
/* Changes of registers that were on their way when the server died: some are there. */
void backend_stores_crash(struct database *database);
void backend_stores_free(struct database *database);
/* Acceptances that are carried out at once, likewise. */
void backend_accepts_crash(struct database *database);
void backend_accepts_free(struct database *database);
/* Likewise of heuristics. */
void backend_heuristics_crash(struct database *database);
void backend_heuristics_free(struct database *database);
/* A step is done: its transaction stays open, unless its connection is gone. */
void backend_opened(struct database *database, struct local *local);
/* Nobody ended it. */
void backend_open_expired(struct database *database, struct local *local);
/* Its connection is lost: who had it open hears it with the next request. */
void backend_open_lost(struct local *local);
void backend_gone_free(struct database *database);
/* The outcome of a piece of work is told, unless nobody waits for it. */
void backend_worked(struct local *local, enum db_outcome outcome, const char *sqlstate,
                    const char *reason);

#endif
