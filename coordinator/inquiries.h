/* Asking the participants' databases: one question to many, and the testimonies that come back.
 *
 * An inquiry sends a Query (EVIDENCE, PREPARED, DIAGNOSIS), or a relayed TxOrder, to each
 * participant that it concerns, in its present session. It is over when each has answered, lost its
 * session, or 3 s have passed: who did not answer has a testimony with a problem that says why.
 * Nothing of it is durable, and an order that is relayed is not sent again: what must happen is
 * recorded before (coordinator/heuristics.h). */
#ifndef TROTH_COORDINATOR_INQUIRIES_H
#define TROTH_COORDINATOR_INQUIRIES_H

#include <stdbool.h>
#include <stdint.h>

#include "coordinator/participants.h"
#include "core/id.h"
#include "core/list.h"
#include "core/timers.h"
#include "wire.pb-c.h"

struct server;
struct guest;
struct inquiry;

/* What comes back, in the order in which they were asked. Lives for the call only, but the
 * testimonies are heap copies, and who takes one leaves NULL in its place. resolutions: of a
 * relayed order; NULL where there is none. */
struct inquiry_result {
    struct participant *const *participants;
    Wire__Testimony **testimonies;
    Wire__Resolution **resolutions;
    Wire__Problem **problems; /* why one refused the order; NULL: it did not */
    size_t count;
};

/* Why one has neither a resolution nor a problem of its own. */
const char *inquiry_silence(const struct inquiry_result *result, size_t index);

/* result NULL: the process ends; only the context is freed, and no port is used. */
typedef void inquiry_done(struct server *server, void *context,
                          const struct inquiry_result *result);

/* Zeros, then init. */
struct inquiries {
    struct list all;
    size_t count;
    struct timers timers;
    uint64_t last; /* number given out */
};

/* A client that waits for what an inquiry comes to: the first member of the context. */
struct caller {
    struct list in_guest;
    struct guest *guest; /* NULL: it went away */
    uint64_t request;
};

void inquiries_init(struct server *server);
void inquiries_fini(struct server *server);
/* False: as many run as may at once. */
bool inquiries_room(const struct server *server);

/* Asks these participants. `done` is called once, from a later event, and owns context (heap). The
 * question's `request` is overwritten, and of EVIDENCE its `xid`: each is asked about its own. */
void inquiry_ask(struct server *server, struct participant *const *whom, size_t count,
                 const Wire__Message *question, inquiry_done *done, void *context);
/* Query EVIDENCE, PREPARED, DIAGNOSIS of a client: asked of all whom it concerns, then answered. */
void inquiry_query(struct server *server, struct guest *guest, const Wire__Query *query);
/* The participants that may hold something of the transaction: its branches' and those that told of
 * it, or everybody when it is not known here. Heap; in the order of their first appearance. */
struct participant **inquiry_concerned(struct server *server, const struct gid *id, size_t *count);

void inquiries_answered(struct server *server, struct guest *guest, const Wire__Answer *answer);
void inquiries_participant_down(struct server *server, struct participant *participant);
void inquiries_run_due(struct server *server);

void caller_init(struct caller *caller, struct guest *guest, uint64_t request);
/* A client went away: its answers are for nobody. */
void callers_guest_gone(struct guest *guest);
/* Its testimonies are cut to what fits the message; freed by the caller of this. Does nothing when
 * the client is gone. */
void caller_answer(struct server *server, struct caller *caller, Wire__Answer *answer);

#endif
