/* This site of a three-phase transaction: its register in memory, in front of its row in
 * troth.register, and the termination of the transaction when its coordinator is gone.
 *
 * What always holds:
 *  1. At most one request of a site is with the database at a time, and it is a compare-and-set:
 *     what is cached here may be wrong, and then nothing is stored.
 *  2. What changes the register is answered when the database has it durable, not before.
 *  3. Nothing of it is needed: all that matters is the row. A site goes as soon as nobody waits and
 *     its branch has ended.
 *
 * Handlers change a site and touch it; what follows happens at the end of the turn, in
 * sites_settle, and only there a site is freed. */
#ifndef TROTH_PARTICIPANT_SITE_H
#define TROTH_PARTICIPANT_SITE_H

#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/ports.h"
#include "core/proposer.h"
#include "core/register.h"
#include "core/timers.h"
#include "participant/sites.h"
#include "wire.pb-c.h"

struct agent;
struct entry;
struct link;

enum {
    /* Asks that wait for the register. Of each asker the newest counts; who is dropped asks again.
     */
    SITE_WAITS = 4,
    /* Sites in memory beyond which none is made to answer a stranger's question. */
    SITES_ANSWERING_MOST = 64 * 1024,
};

/* What is with the database. */
enum site_request {
    SITE_IDLE,
    SITE_LOADING,
    SITE_COMMITTING, /* an answer to `serving` that makes the decision, and its branch's commit */
    SITE_STORING_ANSWER, /* to `serving` */
    SITE_STORING_OWN,    /* an answer to this site's own proposer, likewise */
    SITE_STORING_DECISION,
};

struct site_wait {
    uint64_t session; /* that it came in and is answered in; 0: nobody's any more */
    uint32_t site;    /* what the asker calls this one */
    struct register_ask ask;
};

/* How far this site is with finishing the transaction by itself. */
enum site_course {
    COURSE_NONE,     /* nothing is in doubt */
    COURSE_WATCHING, /* the coordinator may be there: `turn` is when to look */
    COURSE_QUEUED,   /* a round is due, and others go first */
    COURSE_ACTIVE,   /* asks, each second again */
    COURSE_RESTING,  /* outbid, or another has begun: until `turn` */
};

struct site {
    struct map_node node; /* agent->sites */
    struct list all;      /* agent->all_sites, oldest first: the order of every walk */
    struct list touched;  /* agent->touched */
    struct gid id;        /* branch: -1 while it is not known */
    gtrid_text gtrid;
    struct entry *entry; /* its branch, while there is one */
    int64_t begun_us; /* the transaction, by its coordinator's clock; found by a scan, and without
                         a row: its branch was prepared, by the database's */
    char *sites;      /* sites_text, or NULL: not known, or there is none */

    enum site_request request;
    bool known;     /* `exists` and `state` are what the database held last */
    bool exists;    /* it has a row */
    bool unflushed; /* which may not be durable: nothing is said of it before it is stored again */
    bool damaged;   /* which makes no sense, or was set back: it is not answered for */
    struct register_state state, storing;
    struct site_wait serving;
    enum register_reply serving_reply;
    struct site_wait waits[SITE_WAITS];
    int wait_count;
    uint8_t decision; /* enum register_value: known here, from wherever */
    bool keep;        /* the decision should get into the row */
    bool applied;     /* the branch heard of it */
    bool contradicted;
    bool plain; /* its acceptance is not committed with again: something was in the way */
    unsigned tries;
    struct timer retry; /* of the database; agent->retries */

    /* ---- termination.c */
    enum site_course course;
    bool unfit;        /* nothing tells whom to ask: the coordinator's, or an operator's */
    bool minority;     /* a whole second brought no majority */
    bool held;         /* the coordinator's HOLD was noticed */
    unsigned outbid;   /* rounds since somebody came who had not been there */
    struct list round; /* agent->rounds or agent->round_queue */
    struct timer turn; /* agent->turns */
    uint64_t wait_session, wait_until_us; /* the coordinator said WAIT, and is trusted so long */
    uint64_t looked_session;              /* in which it was asked because it took long */
    struct termination *termination;      /* from its first round on */
    char own_sites[];                     /* `sites`, when it came with PREPARE */
};

/* One of the sites as a terminator sees it. */
struct termination_site {
    const char *name, *address;    /* "" for the coordinator's address */
    bool answered, heard, decided; /* answered: it was there once, though it could not tell */
    struct register_state state;   /* what it last said */
};

struct termination {
    struct proposer proposer;
    uint64_t since_us;
    uint32_t asked;       /* in this phase and this second, a bit each */
    struct ballot ballot; /* what `asked` belongs to */
    uint8_t phase;
    char *text;
    struct termination_site sites[]; /* proposer.sites of them */
};

/* ---- site.c */
/* A site has one branch. Another of the same transaction is a mistake of somebody, and goes
 * without: it is the coordinator's to decide. */
bool site_taken(const struct agent *agent, const struct gid *id);
/* Of the branch's transaction, which is not taken: found or made. prepare: names the sites, or NULL
 * where the database does. */
struct site *site_attach(struct agent *agent, struct entry *entry, int64_t begun_us,
                         const Wire__Prepare *prepare);
/* The entry is forgotten after this. */
void site_detach(struct agent *agent, struct entry *entry);
void site_touch(struct agent *agent, struct site *site);
/* A scan has found its branch, of three phases. */
void site_found(struct agent *agent, struct entry *entry, const struct db_prepared *prepared);
/* Somebody has begun to finish the transaction, as far as this process knows: its branch may not
 * vote yes any more. (If it does, another process of this participant having been asked, that is no
 * danger: the row refuses the coordinator's ballot.) */
bool site_was_asked(const struct site *site);
/* The database has prepared the branch, or it was adopted, with a fresh row: nothing was asked of
 * its register as far as this process knows. */
void site_prepared(struct agent *agent, struct site *site, bool has_row);
void site_ask(struct agent *agent, const char *from, bool coordinator, uint64_t session,
              const Wire__Ask *ask);
void site_hear_decided(struct agent *agent, const char *from, const Wire__Decided *decided);
void site_learn(struct agent *agent, struct site *site, enum register_value value,
                const char *from);
void sites_settle(struct agent *agent);
void sites_database_up(struct agent *agent);
void sites_free(struct agent *agent);
struct site *site_find(const struct agent *agent, const char *coordinator, struct txid tx);
/* Somebody knows another decision: said once. */
void site_contradicted(struct agent *agent, struct site *site, const char *from);

/* ---- site_register.c */
/* An ask waits for its answer; of each asker the newest. */
void site_add_wait(struct site *site, const struct site_wait *wait);
/* One step with the database or without it. False: there is none now. */
bool site_step(struct agent *agent, struct site *site);
void site_loaded(void *agent, void *tag, enum db_found found, const struct db_register *row);
void site_stored(void *agent, void *tag, enum db_stored stored);
void site_committed(void *agent, void *tag, enum db_accepted accepted);

/* ---- termination.c */
/* Keeps the course what the site's state says it should be. */
void termination_turn(struct agent *agent, struct site *site);
void termination_due(struct agent *agent, struct timer *turn);
/* Begins rounds as far as there is room. */
void termination_pump(struct agent *agent);
void termination_stop(struct agent *agent, struct site *site);
void termination_free(struct termination *termination);
/* The row must be loaded for it. */
bool termination_needs_row(const struct site *site);
/* What this site's own register is to be asked; false: nothing. */
bool termination_own_ask(const struct site *site, struct register_ask *ask);
void termination_own_reply(struct agent *agent, struct site *site, const struct register_ask *ask,
                           enum register_reply reply);
/* Another site's ballot was promised here. */
void termination_yield(struct agent *agent, struct site *site);
/* from: a participant's name, or NULL for the coordinator. */
void termination_reply(struct agent *agent, const char *from, const char *coordinator,
                       const Wire__Reply *reply);
/* The coordinator says WAIT: it is there, and will decide. */
void termination_wait(struct agent *agent, struct site *site, const struct link *link);
void termination_link_up(struct agent *agent, const struct link *link);
void termination_link_down(struct agent *agent, const struct link *link);
/* A session with that participant began. */
void termination_line_up(struct agent *agent, const char *participant);
bool termination_runs(const struct site *site); /* QUEUED, ACTIVE or RESTING */

#endif
