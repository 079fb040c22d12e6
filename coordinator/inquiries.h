/* Asking the participants' databases: one question to many, and the testimonies that come back.
 *
 * An inquiry sends a Query (EVIDENCE, PREPARED, DIAGNOSIS), or a relayed TxOrder, to each
 * participant that it concerns, in its present session. It is over when each has answered, lost its
 * session, or 3 s have passed: who did not answer has a testimony with a problem that says why.
 * Nothing of it is durable, and an order that is relayed is not sent again: what must happen is
 * recorded before (coordinator/heuristics.h). */
#ifndef TROTH_COORDINATOR_INQUIRIES_H
#define TROTH_COORDINATOR_INQUIRIES_H

#include <stdint.h>

#include "coordinator/participants.h"
#include "core/list.h"
#include "core/timers.h"
#include "wire.pb-c.h"

struct server;
struct guest;
struct inquiry;

/* What comes back, in the order of the participants' first appearance. Lives for the call only.
 * resolutions: of a relayed order; NULL where there is none. */
struct inquiry_result {
    Wire__Testimony **testimonies;
    Wire__Resolution **resolutions;
    Wire__Problem **problems; /* why one refused the order; NULL: it did not */
    size_t count;
};

typedef void inquiry_done(struct server *server, void *context,
                          const struct inquiry_result *result);

/* Zeros, then init. */
struct inquiries {
    struct list all;
    struct timers timers;
    uint64_t last; /* number given out */
};

void inquiries_init(struct server *server);
/* Forgets all of them; calls nobody. context of each is freed with free(). */
void inquiries_fini(struct server *server);

/* Asks these participants. `done` is called once, from a later event, and owns context (heap).
 * The question's `request` is overwritten. */
void inquiry_ask(struct server *server, struct participant *const *whom, size_t count,
                 const Wire__Message *question, inquiry_done *done, void *context);
/* Query EVIDENCE, PREPARED, DIAGNOSIS of a client: asked of all whom it concerns, then answered. */
void inquiry_query(struct server *server, struct guest *guest, const Wire__Query *query);

void inquiries_answered(struct server *server, struct guest *guest, const Wire__Answer *answer);
void inquiries_participant_down(struct server *server, struct participant *participant);
/* A client went away: its answer is for nobody. */
void inquiries_guest_gone(struct server *server, struct guest *guest);
void inquiries_run_due(struct server *server);

#endif
