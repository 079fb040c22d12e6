/* The participants that this coordinator has ever met: their session, and which branches wait for
 * what at each, in lists, so that the loss or the return of one costs its own branches only. */
#ifndef TROTH_COORDINATOR_PARTICIPANTS_H
#define TROTH_COORDINATOR_PARTICIPANTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/metrics.h"
#include "wire.pb-c.h"

struct peer;

/* An operation as a caller sees it. */
struct offer {
    char *operation;
    bool read_only;
    char **parameters, **types; /* names, and their PostgreSQL types */
    size_t parameter_count;
};

/* What it said of itself last. */
struct participant_report {
    bool known; /* since the present session began */
    bool database_up;
    char *database_reason;
    uint32_t prepared, prepared_foreign, prepared_slots;
    int64_t oldest_prepared_us;
    char **held;
    size_t held_count;
    char **operations; /* sorted */
    size_t operation_count;
    struct offer *offers; /* sorted by operation; those that did not fit its report are missing */
    size_t offer_count;
    char *database; /* which one it is; NULL: not known */
    char *listen;   /* for other participants; NULL: none, or not a sound one */
    uint32_t terminating, minority;
};

/* What is sent in every session until it is answered. Of struct tx_branch. */
struct debt {
    struct list owed;        /* not sent in this session */
    struct list outstanding; /* sent in this session, not answered */
    size_t outstanding_count;
};

enum { SETTLED_BATCH = 512 };

/* Ended three-phase commits that the participant was not told of yet. */
struct settled {
    uint64_t epoch;
    size_t count;
    uint64_t seqs[SETTLED_BATCH];
};

struct participant {
    struct map_node node;
    struct list all; /* in the order of their first appearance */
    char name[LIMIT_NAME_BYTES + 1];
    struct peer *peer;  /* NULL: not connected */
    int64_t changed_us; /* wall clock of the last change of `peer` */
    char *software;
    struct participant_report report;

    /* Of struct tx_branch. */
    struct list unvoted;  /* PREPARE was sent in this session, the vote is missing */
    struct list aborting; /* ABORT was sent in this session, not acknowledged */
    struct list opens; /* struct open_branch: what operations have done here is not prepared yet */
    struct debt finishes; /* COMMIT and LOOKUP */
    struct debt asks;     /* of its register: apart, so that neither waits for the other */
    bool tardy;           /* it let others be asked in its place, and has not answered since */
    size_t working, unapplied;
    struct metric_sum votes, applies; /* how long it takes for them */

    /* Of struct task: calls of sagas' steps. */
    struct list tries_owed;        /* in the order in which they became due */
    struct list tries_outstanding; /* sent in this session, not answered: at most LIMIT_EXECUTING */
    struct list tries_ready;       /* in tasks.congested */
    size_t tries, tries_sent;      /* both lists; the second */
    bool leaving;                  /* it said that it is being stopped: tries wait for the next */
    bool never_seen;               /* only sagas have named it */
    struct settled *settled;       /* NULL: nothing */
};

struct participants {
    struct map map;
    struct list all;
};

void participants_init(struct participants *participants);
void participants_fini(struct participants *participants);
struct participant *participants_find(const struct participants *participants, const char *name);
/* Finds or makes. NULL: more than LIMIT_PEERS names. */
struct participant *participants_meet(struct participants *participants, const char *name);
/* The connected name that was probably meant, or NULL. For error messages: walks all. */
const char *participants_nearest(const struct participants *participants, const char *typed);

void participant_report(struct participant *participant, const Wire__Status *status);
void participant_forget_report(struct participant *participant);
/* False only when it told its operations and this is none of them. */
bool participant_offers(const struct participant *participant, const char *operation);

#endif
