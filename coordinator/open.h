/* Transactions that are built step by step, until their End. Nothing of an open one is in the
 * journal and nothing of it is decided: it lives in memory, by the session that began it, and no
 * longer than its deadline. What it did lies in local transactions that participants keep open, or
 * that clients have prepared. Whatever loses it here, abort is presumed of it.
 *
 * At its End it becomes a struct tx of the same id, which votes and decides as any other; an
 * aborted one does too, only to tell it. So an open one has no states but what waits in it.
 *
 * What must hold:
 * O1  it commits only on the votes of its participants, never on what a client says;
 * O2  a participant with a branch that it works at itself has had one session since: what was lost
 *     with another one is gone, and so the transaction is aborted with it;
 * O3  whoever asks for something hears of it once: by Progress, or by the outcome;
 * O4  its id is told "wait" to a participant that finds it prepared, and nothing is forgotten that
 *     lies above it. */
#ifndef TROTH_COORDINATOR_OPEN_H
#define TROTH_COORDINATOR_OPEN_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"
#include "wire.pb-c.h"

struct server;
struct guest;
struct peer;
struct asker;
struct participant;
struct refusal;

struct open_branch {
    struct open *open;
    struct participant *participant;
    struct list at_participant; /* of its `opens`; of a joined one: nowhere */
    uint64_t xid;
    uint32_t works; /* asked of it: their numbers are 1, 2, 3 ... */
    bool joined;    /* a client works there, on a connection of its own */
    bool
        handed_over; /* joined: as it says it is prepared (xid), or wrote nothing and is over (0) */
};

struct open_call {
    char *operation;
    uint8_t branch;
};

/* The operation that is under way. */
struct performing {
    bool under_way;
    struct guest *guest; /* who waits for it; NULL: gone */
    struct list in_guest;
    uint64_t request;
    uint32_t number; /* of the Work */
    uint8_t branch;
};

struct open {
    struct txid id;
    struct map_node node;
    struct list all; /* in the order of their ids */
    struct guest *beginner;
    struct list in_guest;
    struct timer timer;
    uint64_t due_us;
    int64_t begun_us; /* wall clock */
    bool three_phase;
    bool hurried; /* its deadline was brought forward, as the coordinator shuts down */
    char *key;    /* or NULL */
    struct performing performing;
    struct open_branch *branches[LIMIT_BRANCHES];
    int branch_count;
    struct open_call *calls; /* owned, grows */
    int call_count, call_room;
};

/* Of the server. */
struct opens {
    struct map map;
    struct list all;
    struct timers timers;
};

/* ---- open.c: their life ---- */

void opens_init(struct server *server);
void opens_fini(struct server *server);
struct open *open_find(const struct server *server, struct txid id);
struct open *open_begin(struct server *server, struct guest *guest, const Wire__Begin *begin);
/* One more; nothing was asked of the participant yet. */
int open_add_branch(struct open *open, struct participant *participant, bool joined);
void open_drop_last_branch(struct open *open);
void open_add_call(struct open *open, int branch, const char *operation);
/* The branch in which the participant's operations are done, or -1. */
int open_find_work(const struct open *open, const struct participant *participant);
/* The operation is over, and who waited for it was answered. */
void open_performed(struct open *open);
/* It is aborted and gone: everybody is told, and who waits is answered. participant: where the
 * problem is, or NULL. also: one more who is answered so, or NULL. */
void open_abort(struct server *server, struct open *open, struct participant *participant,
                const Wire__Problem *problem, const struct asker *also);
/* It is over as an open one: it votes, or is aborted as it can't. */
void open_commit(struct server *server, struct open *open, const struct asker *asker,
                 Wire__Wait wait);
/* Aborts it if its time is up; true. */
bool open_expire(struct server *server, struct open *open);
void opens_expire(struct server *server);
void opens_guest_gone(struct server *server, struct guest *guest);
void opens_participant_down(struct server *server, struct participant *participant);
/* The coordinator shuts down: they may go on, but not for long. */
void opens_drain(struct server *server);
/* Some branch is prepared, as a client says. */
bool open_in_doubt(const struct open *open);

/* ---- open_requests.c: what is asked of them ---- */

void server_begin(struct server *server, struct guest *guest, const Wire__Begin *begin);
void server_perform(struct server *server, struct guest *guest, const Wire__Perform *perform);
void server_join_branch(struct server *server, struct guest *guest, const Wire__Join *join);
void server_hand_over(struct server *server, struct guest *guest, const Wire__HandOver *hand_over);
void server_end(struct server *server, struct guest *guest, const Wire__End *end);
void server_worked(struct server *server, struct guest *guest, const Wire__Worked *worked);
void open_send_progress(struct peer *peer, Wire__Progress *progress);
/* Refused, and nothing has changed. */
void open_refuse(const struct asker *asker, const struct refusal *refusal);

/* ---- open_late.c: what is not open any more ---- */

/* What is asked of it then. */
struct late_request {
    bool end; /* wants the outcome; else to take part */
    Wire__Wait wait;
    const Wire__HandOver *hand_over; /* or NULL */
};
/* Tells what became of it, or waits for that. */
void open_answer_late(struct server *server, const struct asker *asker, const struct gid *id,
                      const struct late_request *late);
/* A client that holds it wants it aborted: that is done if it still votes. */
void open_abort_late(struct server *server, const char *gtrid);

#endif
