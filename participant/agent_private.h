/* What the files of the agent share: agent.c (sessions and messages), act.c (carries out the
 * actions of a branch, and hears the database), scan.c (scans and what follows from them). */
#ifndef TROTH_PARTICIPANT_AGENT_PRIVATE_H
#define TROTH_PARTICIPANT_AGENT_PRIVATE_H

#include "core/id.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/map.h"
#include "core/ports.h"
#include "core/timers.h"
#include "core/transport.h"
#include "participant/agent.h"
#include "participant/branch.h"
#include "participant/work.h"

/* Held gids, and bytes of operation names, in a Status: it must fit a message. */
enum { STATUS_HELD = 200, STATUS_OPERATION_BYTES = 16 * 1024 };
_Static_assert(STATUS_HELD *(LIMIT_GID_BYTES + 3) + STATUS_OPERATION_BYTES + 1024 <
                   LIMIT_MESSAGE_BYTES,
               "a Status fits a message");

/* A branch that the agent knows of. */
struct entry {
    struct branch branch;
    struct map_node node; /* agent->by_gid */
    struct list all;      /* agent->entries, oldest first: the order of every walk */
    struct list queued;   /* agent->queue */
    struct gid id;
    gid_text gid;
    uint64_t session; /* of its PREPARE or LOOKUP; 0: neither */
    uint64_t scan;    /* scans begun when it got into its state */
    uint64_t seen;    /* number of the last scan that found its gid */
    uint64_t deadline_us;
    struct timer timer; /* the deadline, or the next try */
    unsigned tries;
    struct work *work; /* until the database answered */
};

struct link {
    struct agent *agent;
    struct transport *transport;
    struct peer *peer;                      /* NULL while there is no session */
    uint64_t session;                       /* number of the session, unique in this agent */
    uint64_t quiet_since_us;                /* its begin, or its last LOOKUP */
    char coordinator[LIMIT_NAME_BYTES + 1]; /* who answered last; empty: nobody yet */
    char refused[256];                      /* the last refusal, logged once */
};

/* A hazard of an abort, until its coordinator has taken it: unlike a commit, an abort is told in
 * one session only, so that nobody would ask for it again. */
struct untold_hazard {
    struct list all; /* agent->untold */
    struct gid id;
    const char *text; /* constant */
    uint64_t session; /* in which it was told last; 0: none */
};

/* What the last scan found. */
struct scan_facts {
    bool known; /* some scan succeeded since the database came up */
    uint32_t prepared, foreign, slots;
    int64_t oldest_us;
};

struct agent {
    char *cluster, *participant;
    const struct operation_set *operations;
    int connections;
    uint64_t sweep_us, barrier_keep_us;
    struct host_port host;
    struct db_port database;
    struct db_events events;
    struct link *links;
    int link_count;
    uint64_t sessions; /* begun so far */

    struct map by_gid;
    struct list entries, queue;
    struct list untold;
    int untold_count;
    int working; /* entries whose work is with the database */
    struct timers timers;

    bool database_up;
    char database_reason[256];
    struct timer sweep; /* the next scan */
    bool scanning;
    uint64_t scans; /* begun so far; the one that runs has this number */
    struct scan_facts facts;

    bool draining, replaced;
};

/* ---- agent.c */
struct entry *entry_find(struct agent *agent, const char *gid);
struct entry *entry_new(struct agent *agent, const struct gid *id, const char *gid);
/* The session with the coordinator of that name, or NULL. */
struct link *agent_link(struct agent *agent, const char *coordinator);

/* Queues a message whatever waits already: votes, answers and questions are bounded by branches. */
void agent_send(struct agent *agent, struct link *link, const Wire__Message *message);

/* ---- act.c */
/* Steps the branch and carries out its actions. The entry may be gone afterwards. */
void entry_step(struct agent *agent, struct entry *entry, const struct branch_event *event);
/* As entry_step for an event without data. */
void entry_event(struct agent *agent, struct entry *entry, enum branch_event_kind kind);
/* Hands queued work to the database as far as there are connections. */
void agent_pump(struct agent *agent);
void agent_listen(struct agent *agent); /* fills agent->events */
/* In a session that has just begun: hazards that earlier ones may not have carried. */
void hazards_tell(struct agent *agent, struct link *link);
/* Those whose session has delivered everything are the coordinator's from now on. */
void hazards_forget(struct agent *agent);
void vote_refused(struct agent *agent, struct link *link, const Wire__Branch *branch,
                  const struct work_refusal *refusal);

/* ---- scan.c */
void scan_start(struct agent *agent);
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

#endif
