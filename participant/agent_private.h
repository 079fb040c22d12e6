/* What the files of the agent share: agent.c (sessions), messages.c (what comes in), act.c (carries
 * out the actions of a branch, and hears the database), tasks.c (what sagas want), scan.c (scans
 * and what follows from them), site.c (registers), termination.c (finishing without a coordinator),
 * neighbours.c (other participants), heuristics.c (what operators forced), orders.c and judge.c
 * (what they order), evidence.c (what the database is asked for them), views.c (answers to those
 * who look), open.c (branches that are worked at step by step), adoption.c (those that somebody
 * else has prepared).
 */
#ifndef TROTH_PARTICIPANT_AGENT_PRIVATE_H
#define TROTH_PARTICIPANT_AGENT_PRIVATE_H

#include "core/arena.h"
#include "core/id.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "core/ports.h"
#include "core/timers.h"
#include "core/transport.h"
#include "participant/agent.h"
#include "participant/branch.h"
#include "participant/heuristic.h"
#include "participant/metrics.h"
#include "participant/order.h"
#include "participant/problem.h"
#include "participant/site.h"
#include "participant/task.h"
#include "participant/work.h"

/* Held gids, and bytes of operation names and of what they take, in a Status: it must fit a
 * message.
 */
enum { STATUS_HELD = 100, STATUS_OPERATION_BYTES = 16 * 1024, STATUS_OFFER_BYTES = 16 * 1024 };
_Static_assert(STATUS_HELD *(LIMIT_GID_BYTES + 3) + STATUS_OPERATION_BYTES + STATUS_OFFER_BYTES +
                       1024 <
                   LIMIT_MESSAGE_BYTES,
               "a Status fits a message");

/* A branch that the agent knows of. */
struct entry {
    enum tag_kind kind;
    struct branch branch;
    struct map_node node; /* agent->by_gid */
    struct list all;      /* agent->entries, oldest first: the order of every walk */
    struct list queued;   /* agent->queue or open_queue */
    struct gid id;
    gid_text gid;
    uint64_t session; /* of its PREPARE or LOOKUP; 0: neither */
    uint64_t scan;    /* scans begun when it got into its state */
    uint64_t seen;    /* number of the last scan that found its gid */
    uint64_t deadline_us;
    struct timer timer; /* the deadline, or the next try */
    unsigned tries;
    uint32_t number;      /* of its last Work */
    bool holds;           /* a connection, beyond the answer */
    uint64_t claimed_xid; /* to be adopted: as who prepared it says */
    struct work *work;    /* until the database answered */
    struct site *site;    /* of a three-phase transaction */
    bool strange;         /* another participant's, in the same database: its row says so */
    int64_t doubt_us;     /* wall clock: in doubt since then */
    uint64_t finish_us;   /* when the database was told to end it */
};

/* A question of somebody who looks that the database must be asked. */
struct inquiry {
    enum tag_kind kind;
    struct list all; /* agent->inquiries */
    enum db_look look;
    uint64_t session, request;
    struct gid id; /* TRANSACTION */
};

struct link {
    struct agent *agent;
    struct transport *transport;
    struct peer *peer;                      /* NULL while there is no session */
    uint64_t session;                       /* number of the session, unique in this agent */
    uint64_t epoch;                         /* of the last session; 0: there was none */
    uint64_t quiet_since_us;                /* its begin, or its last LOOKUP */
    char coordinator[LIMIT_NAME_BYTES + 1]; /* who answered last; empty: nobody yet */
    char refused[256];                      /* the last refusal, logged once */
};

/* A hazard of an abort, until its coordinator has taken it: unlike a commit, an abort is told in
 * one session only, so that nobody would ask for it again. */
struct untold_hazard {
    struct list all; /* agent->untold */
    struct gid id;
    uint64_t session; /* in which it was told last; 0: none */
    char text[];
};

/* A session at the door: another participant, or somebody who looks. */
struct guest {
    struct map_node node; /* agent->guests */
    struct agent *agent;
    struct peer *peer;
    uint64_t session;
};

/* A link to another participant, made when something is to be asked. One an address: a second
 * session of one participant's process would push the first out. */
struct line {
    struct agent *agent;
    int index;
    struct transport *transport;
    struct peer *peer; /* NULL while there is no session */
    uint64_t used_us;  /* when something was last wanted of it */
    uint64_t alone_us; /* since when there is no session, if there is none */
    bool strange;      /* somebody else is there; logged once */
    char address[LIMIT_ADDRESS_BYTES + 1];
    char refused[256]; /* the last refusal, logged once */
};

/* A task of a saga, from its Execute until it is answered and nothing of it is under way. */
struct errand {
    enum tag_kind kind;
    struct task task;
    struct map_node node; /* agent->by_key */
    struct list all;      /* agent->errands, oldest first */
    struct list queued;   /* agent->task_queue */
    struct txid saga;
    saga_step_text step;
    barrier_key key;      /* of its row */
    barrier_key step_key; /* of the step's */
    uint64_t session;     /* of the newest Execute, as the following; 0: lost */
    Wire__How how;
    uint32_t try;
    uint64_t deadline_us;
    struct timer timer;
    struct work *work;       /* NULL: a cancel, or its call was refused */
    struct problem *problem; /* what was said against it; NULL: nothing yet */
};

/* What the last scan found. */
struct scan_facts {
    bool known; /* some scan succeeded since the database came up */
    uint32_t prepared, foreign, slots;
    int64_t oldest_us;
};

/* A Status in the making. */
struct status {
    Wire__Status wire;
    char *held[STATUS_HELD];
    Wire__Offer *offers;
};

struct agent {
    char *cluster, *participant;
    const struct audit_port *audit; /* NULL: none */
    const struct operation_set *operations;
    int connections;
    uint64_t sweep_us, barrier_keep_us;
    char *listen;    /* "": none */
    bool unlistened; /* another process has that address */
    uint64_t heartbeat_us, patience_us;
    int64_t started_us; /* wall clock */
    struct host_port host;
    struct db_port database;
    struct db_events events;
    struct link *links;
    int link_count;
    uint64_t sessions; /* begun so far, those at the door too */

    struct map by_gid;
    struct list entries, queue, open_queue;
    struct list untold;
    int untold_count;
    int working; /* connections that entries and errands have: at work, or held open */
    int open;    /* of these, those of entries that are worked at step by step */
    struct timers timers;

    struct map by_key;
    struct list errands, task_queue;
    int turn; /* the queue that is looked at first for the next free connection */
    struct timers task_timers;

    bool database_up;
    char database_reason[256];
    char database_identity[64]; /* as of the last time that it came up; "": not known */
    struct timer sweep;         /* the next scan */
    bool scanning;
    uint64_t scans; /* begun so far; the one that runs has this number */
    struct scan_facts facts;

    struct map sites; /* registers in memory */
    struct list all_sites, touched;
    struct timers retries, turns;
    struct list rounds, round_queue; /* sites that ask, and that will */
    int active_rounds;
    uint32_t terminating, minority; /* sites that finish by themselves; those without a majority */

    struct transport *door; /* NULL without an address */
    struct map guests;
    struct dial_port dial;
    bool dials;
    struct line *lines[LIMIT_LINES];
    bool crowded;           /* one more line was wanted than there are */
    uint64_t complained_us; /* of an address that is none */

    struct heuristics heuristics;
    struct list orders, inquiries;
    int order_count, inquiry_count;

    struct timer tell; /* a Status is due */
    uint64_t told_us;

    bool draining, replaced;
    uint64_t open_until_us; /* draining: what is open and idle is rolled back then */
    struct agent_metrics metrics;
};

/* ---- agent.c */
struct entry *entry_find(struct agent *agent, const char *gid);
struct entry *entry_new(struct agent *agent, const struct gid *id, const char *gid);
/* The session with the coordinator of that name, or NULL. */
struct link *agent_link(struct agent *agent, const char *coordinator);

/* Likewise to the session of that number, with a coordinator or at the door; false: it is gone. */
bool agent_send_to(struct agent *agent, uint64_t session, const Wire__Message *message);
/* Why a session ended or was refused, by a coordinator or at another participant's door: when it is
 * that a newer process has taken over this name, this one must end. */
void agent_note_replaced(struct agent *agent, const char *reason);
uint32_t agent_random(const struct agent *agent);
/* Queues a message whatever waits already: votes, answers and questions are bounded by branches. */
void agent_send(struct agent *agent, struct link *link, const Wire__Message *message);
void agent_branch_fill(Wire__Branch *branch, const struct gid *id);

/* ---- messages.c */
/* Of a coordinator; self is its link. */
void agent_message(void *self, struct peer *peer, const Wire__Message *message);
/* Why no work is taken at the moment, or false. */
bool agent_unwilling(const struct agent *agent, const char *operation, uint32_t timeout_ms,
                     struct work_refusal *refusal);
/* Parts of it, for what has begun. */
bool agent_without_database(const struct agent *agent, const char *operation,
                            struct work_refusal *refusal);
bool agent_too_late(const char *operation, uint32_t timeout_ms, struct work_refusal *refusal);
/* Three phases: is it one that this participant can't take part in? */
bool agent_sites_refused(const struct agent *agent, const struct gid *id,
                         const Wire__Prepare *prepare, struct work_refusal *refusal);
/* Three phases: its row goes into the database with the entry's work. */
void agent_register_work(struct agent *agent, struct entry *entry, const Wire__Prepare *prepare);

/* ---- act.c */
/* Steps the branch and carries out its actions. The entry may be gone afterwards. */
void entry_step(struct agent *agent, struct entry *entry, const struct branch_event *event);
/* Likewise; said: by the database, for a person. */
void entry_step_said(struct agent *agent, struct entry *entry, const struct branch_event *event,
                     const char *said);
/* As entry_step for an event without data. */
void entry_event(struct agent *agent, struct entry *entry, enum branch_event_kind kind);
/* What its site's acceptance and its commit, together, came to. */
void entry_accepted(struct agent *agent, struct entry *entry, enum db_accepted accepted);
/* Hands queued work to the database as far as there are connections. */
void agent_pump(struct agent *agent);
void agent_listen(struct agent *agent); /* fills agent->events */
/* In a session that has just begun: hazards that earlier ones may not have carried. */
void hazards_tell(struct agent *agent, struct link *link);
/* Those whose session has delivered everything are the coordinator's from now on. */
void hazards_forget(struct agent *agent);
/* Until the next try: from 50 ms, doubled up to 5 s. Half of the time is random, so that a thousand
 * branches don't come back at one moment. */
uint64_t agent_backoff_us(const struct agent *agent, unsigned tries);
void vote_refused(struct agent *agent, struct link *link, const Wire__Branch *branch,
                  const struct work_refusal *refusal);

/* ---- open.c */
/* How many connections may be held open at once. */
int open_most(const struct agent *agent);
void open_work(struct agent *agent, struct link *link, const Wire__Work *message,
               const struct gid *id, const char *gid);
void open_continue(struct agent *agent, struct link *link, const Wire__Prepare *prepare,
                   const struct gid *id, const char *gid);
/* Answers the entry's last Work: problem, or what was said. */
void open_word(struct agent *agent, const struct entry *entry, struct link *link,
               Wire__Problem *problem, const struct db_worked *said);
void open_roll_back(struct agent *agent, struct entry *entry);
/* The entry's work is given to the database, and was answered: who has a connection? */
void open_takes(struct agent *agent, struct entry *entry);
void open_leaves(struct agent *agent, struct entry *entry, enum db_outcome outcome);
void open_database_down(struct agent *agent);
void open_drain(struct agent *agent);
/* A step of the entry is done. */
void open_hurry(struct agent *agent, struct entry *entry);

/* ---- adoption.c */
void adoption_take(struct agent *agent, struct link *link, const Wire__Prepare *prepare,
                   const struct gid *id, const char *gid);
void adoption_ask(struct agent *agent, struct entry *entry);
void adoption_problem(struct problem *problem, const struct agent *agent, const struct entry *entry,
                      bool foreign, const char *reason);
void adoption_answered(void *agent, void *tag, enum db_adopted adopted, const char *reason);

/* ---- tasks.c */
void agent_tasks_init(struct agent *agent);
void tasks_free(struct agent *agent);
void task_execute(struct agent *agent, struct link *link, const Wire__Execute *execute);
void tasks_session_lost(struct agent *agent, uint64_t session);
void tasks_database_down(struct agent *agent);
/* The one that waits longest for a connection gets it. */
void tasks_start(struct agent *agent);
void task_worked(struct agent *agent, struct errand *errand, const struct db_worked *worked);
void task_looked_up(struct agent *agent, struct errand *errand, enum db_found found,
                    const char *result);
void tasks_run_due(struct agent *agent);

/* ---- scan.c */
void scan_start(struct agent *agent);
/* In doubt, and nobody who could judge it will. */
bool branch_is_held(const struct agent *agent, const struct entry *entry);
/* A scan soon, when a branch may be prepared that nobody voted for. */
void scan_soon(struct agent *agent);
void scan_done(struct agent *agent, bool ok, const struct db_prepared *prepared, int count,
               int slots);
/* Asks this session's coordinator about every branch in doubt whose yes was not given in it. */
void scan_inquire(struct agent *agent, struct link *link);
/* About this one again, if its coordinator is there. */
void scan_inquire_one(struct agent *agent, const struct entry *entry);
void status_send(struct agent *agent, struct link *link);
void status_send_all(struct agent *agent);
/* As status_send_all, but soon: what it tells changes often. */
void status_tell_soon(struct agent *agent);
/* Everything that a Status tells; the arrays are the caller's to end with status_fini. */
void status_fill(struct agent *agent, struct status *status);
void status_fini(struct status *status);

/* ---- neighbours.c */
void door_open(struct agent *agent, const struct agent_config *config,
               const struct link_port *link);
/* NULL: the session is gone. */
struct guest *door_guest(const struct agent *agent, uint64_t session);
/* To that participant at that address, over a line that is made when there is none. False: not
 * now. */
bool line_send(struct agent *agent, const char *name, const char *address,
               const Wire__Message *message);
/* Likewise, if there is a session with it already. */
bool line_tell(struct agent *agent, const char *name, const char *address,
               const Wire__Message *message);
bool line_reaches(const struct agent *agent, const char *name, const char *address);
uint64_t neighbours_settle(struct agent *agent);
bool neighbours_idle(const struct agent *agent); /* all that was sent is acknowledged */
void neighbours_leave(struct agent *agent);
void neighbours_free(struct agent *agent);

/* ---- evidence.c */
void inquiries_free(struct agent *agent);
/* EVIDENCE, PREPARED, DIAGNOSIS, of whoever's session that is. */
void inquiry_take(struct agent *agent, uint64_t session, const Wire__Query *query);
void evidence_inspected(void *agent, void *tag, const struct db_inspected *looked);
/* What the database and this process say of a transaction, in the arena's memory. */
Wire__Testimony *evidence_of(struct agent *agent, struct arena *arena, const struct gid *id,
                             const struct db_inspected *looked);
/* A gtrid or a gid of this cluster. */
bool evidence_read_id(const struct agent *agent, const char *text, struct gid *id);

/* ---- views.c */
void view_answer(struct agent *agent, const struct guest *guest, const Wire__Query *query);

#endif
