/* What the clients want, and what they were told: transfers of money between accounts of several
 * databases. It is the oracle too: it keeps its own truth from the outcomes that clients saw and
 * from what the databases made visible, and compares the two. */
#ifndef TROTH_TESTS_SIM_WORKLOAD_H
#define TROTH_TESTS_SIM_WORKLOAD_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"
#include "tests/sim/node.h"
#include "wire.pb-c.h"

enum { TRANSFER_CALLS = 8, TRANSFER_ATTEMPTS = 12, TRANSFERS = 400 };

struct call {
    int participant; /* -1: there is none of that name */
    const char *operation;
    char arguments[96];
    uint64_t token;  /* 0: it writes nothing that could be seen */
    int64_t change;  /* of the money in that database */
    int applied;     /* how often it is visible now: 0 or 1 */
    int applied_at;  /* the participant where it is */
    bool taken_back; /* by a failover; its decision makes it visible again */
    gtrid_text by;
};

/* One submit of it. */
struct attempt {
    int client;
    uint64_t boot, session;
    bool open; /* an answer may come */
    uint64_t submitted_us;
    Wire__Result result;
    char gtrid[LIMIT_GTRID_BYTES + 1];
};

struct transfer {
    uint64_t number;
    int coordinator;
    char key[24]; /* "": none */
    bool three_phase;
    bool stepwise; /* not submitted, but built step by step (journeys.h) */
    struct call calls[TRANSFER_CALLS];
    int call_count;
    Wire__Wait wait;
    uint32_t timeout_ms;
    bool must_fail, must_commit;
    bool too_much; /* must fail because nobody has that much */
    bool meddled;  /* a person ended a branch by hand: it may be torn, but never unnoticed */
    bool forced;   /* an operator has forced an outcome of a branch: likewise */
    bool never;    /* without a key, and told that it was not done */
    struct attempt attempts[TRANSFER_ATTEMPTS];
    int attempt_count;
    char committed[LIMIT_GTRID_BYTES + 1]; /* by which id the clients were told so; "": not told */
};

struct workload {
    struct world *world;
    struct transfer transfers[TRANSFERS];
    int transfer_count, transfer_limit;
    uint64_t *gids; /* hashes of the ids that were used for work */
    int gid_count, gid_room;
    bool meddling, calm;
    bool besieged;  /* coordinators are away often and for long: others must end what they began */
    bool forgetful; /* coordinators keep little, or lose their journals: branches get held */
    bool resting;   /* everything has ended */
    bool asked_again;   /* after everything came to rest: nothing may be unknown any more */
    bool operated;      /* an operator has ended some branch */
    bool hollow;        /* an operator has committed work that had not found what it expected */
    bool windfall;      /* and gave somebody so much by it that nothing is too much any more */
    bool resolving;     /* what is held is only noted down now */
    uint64_t held[256]; /* hashes of their gids */
    int held_count;
    uint64_t think_us;
    uint64_t hazards_shown[MAX_COORDINATORS]; /* what they answered at the end */
    int inspections;                          /* answers that are still awaited */
    int foreign_count;
    int committed, aborted, rejected, unknown, hazards, lost;
};

struct workload *workload_new(struct world *world);
void workload_free(struct workload *workload);

/* ---- making (transfers.c) ---- */

struct transfer *workload_make(struct workload *workload, int coordinator);
/* Touches every participant, needs no row that another one needs, and so must commit. */
struct transfer *workload_make_probe(struct workload *workload, int client, int coordinator);

/* ---- the clients' side (clients.c) ---- */

extern const struct node_class client_class;
void workload_begin(struct workload *workload);
/* Each client submits its probes. */
void workload_probe(struct workload *workload);
/* Each client asks how its coordinator sees the world, and compares. */
void workload_inspect(struct workload *workload);
bool workload_answered(const struct workload *workload);
/* Each client submits again what has a key and was told to be unknown. */
void workload_ask_again(struct workload *workload);
void clients_frame(struct node *node, const void *frame, size_t size);
void clients_broken(struct node *node);
bool clients_connected(const struct node *node);
struct client *clients_client(const struct node *node);
/* Counts up; answers belong to one. */
uint64_t clients_session(const struct node *node);
/* Its coordinator is gone for good. */
bool clients_abandoned(const struct node *node);

/* ---- the oracle (oracle.c) ---- */

void workload_gid_used(struct world *world, const char *gid);
/* A call became visible (change 1), or a failover took it back (-1). */
void workload_applied(struct world *world, int participant, uint64_t token, const char *gtrid,
                      int change, bool expectation_failed);
void workload_meddled(struct world *world, uint64_t token);
/* An operator has forced an outcome of a branch of the transfer that has this call. */
void workload_forced(struct world *world, uint64_t token);
bool workload_told_aborted(const struct world *world, uint64_t token, const char *gtrid);
/* The participants of the transfer that has this call: a bit each. */
uint32_t workload_participants(struct world *world, uint64_t token);
void workload_outcome(struct workload *workload, struct transfer *transfer, struct attempt *attempt,
                      const Wire__Outcome *outcome);
/* The coordinator showed this branch as held. */
bool workload_held(const struct workload *workload, const char *gid);
/* What an operator would decide about a branch: as others of it were, or were told, else abort. */
bool workload_verdict(const struct workload *workload, const char *gtrid);
/* After everything was healed and came to rest. */
void workload_check(struct workload *workload);
bool transfer_one_phase(const struct transfer *transfer);
/* A person's hand may have torn it. */
bool transfer_excused(const struct transfer *transfer);

#endif
