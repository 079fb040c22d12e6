/* What the files of journeys share. */
#ifndef TROTH_TESTS_SIM_JOURNEY_PRIVATE_H
#define TROTH_TESTS_SIM_JOURNEY_PRIVATE_H

#include "tests/sim/journeys.h"
#include "tests/sim/own_connection.h"

enum { JOURNEYS_MOST = 600 };

/* What a service makes of its part. */
enum manner {
    HONEST,
    HASTY,       /* says that it is done before its HandOver is answered, and says that twice */
    EARLY,       /* hands over before it prepares */
    SILENT,      /* never hands over, and says that it did */
    FORGETFUL,   /* rolls back, and says that it wrote nothing */
    DENIES,      /* prepares, and says that it wrote nothing */
    UNPREPARED,  /* says that it prepared, and rolls back */
    WRONG_XID,   /* prepares, and tells another xid */
    WRONG_PLACE, /* works and prepares in another participant's database */
};

/* One thing that is done in it: an operation, or what a service does with a connection of its own.
 */
struct step {
    struct journey *journey;
    int number;
    uint8_t calls; /* of the transfer: a bit each */
    int participant;
    bool joins;
    enum manner manner;
    struct node *by; /* the process that does it */
    uint64_t boot;   /* 0: not begun */
    bool reported;
    /* joins: */
    int branch;
    int doing; /* the call that is under way */
    uint64_t timeout_us, told_xid;
    bool handing_over, answered, failed; /* failed: with a problem */
    bool prepared;
    bool ended;  /* it has heard that it is over */
    bool undoes; /* and rolls back what it prepared, or will prepare */
    struct own_connection *own;
};

enum course {
    BEGINNING,
    STEPPING,
    ENDING,   /* End was asked, and will be answered unless the session is lost */
    FORSAKEN, /* the session is lost; it may be asked for again in the next one */
    OVER,
};

/* One attempt at a transfer. */
struct journey {
    struct world *world;
    struct transfer *transfer;
    struct attempt *attempt; /* its gtrid is the transaction's */
    struct node *beginner;
    uint64_t boot;
    enum course course;
    struct step steps[TRANSFER_CALLS];
    int step_count, at;
    uint8_t asked, done, joined; /* calls: may be part of it, must be, must be unless given up */
    bool commits;                /* what it wants at the End */
    bool commit_asked;
    bool rightful; /* in the session that began it: else it can't be committed */
    bool doomed;   /* a branch of it was joined that nobody hands over */
    bool given_up; /* it wants an abort since */
    bool told_committed, told_aborted;
};

enum ask_kind { ASK_BEGIN, ASK_PERFORM, ASK_JOIN, ASK_HAND_OVER, ASK_COMMIT, ASK_ABORT };

/* A request. */
struct ask {
    enum ask_kind kind;
    struct journey *journey;
    struct step *step;
    int client;
    uint64_t boot, session;
    bool open;
    bool stray; /* by somebody who has no part in it any more: whatever comes */
    uint64_t asked_us;
};

struct journeys {
    struct world *world;
    bool active, mortal;
    uint32_t journeys_ppm, joins_ppm, lies_ppm, whims_ppm;
    struct journey *journeys[JOURNEYS_MOST];
    int journey_count;
    struct ask *asks;
    size_t ask_count, ask_room;
    struct journey_count count;
};

static inline struct journeys *journeys_of(const struct world *world)
{
    return world->journeys;
}

/* ---- journeys.c ---- */

/* NULL: it can't be sent. */
struct ask *journey_ask(struct journey *journey, enum ask_kind kind, struct step *step,
                        struct node *node, Wire__Message *message);
/* The step is over, well or not, and its service tells who asked for it. */
void step_report(struct step *step, bool well);
/* Somebody's whim, in this world. */
bool journey_whim(struct journey *journey);
/* The process that has its turn may die of this now. */
void journey_moment(struct journey *journey, struct node *node);

/* ---- journey_steps.c ---- */

/* In a turn of step->by. */
void step_begin(struct step *step);
void step_progress(struct step *step, const struct ask *ask, const Wire__Progress *progress);
/* It was told that it is over: undo: so that nothing of it may stay. */
void step_over(struct step *step, bool undo);
void step_hand_over_again(struct step *step);
void journey_draw_steps(struct journey *journey);
/* Once more, or too late, or by somebody who may not: whatever is answered has to be true. */
void journey_stray(struct journey *journey, struct node *node);

/* ---- journey_check.c ---- */

void journey_told(struct journey *journey, const struct ask *ask, const Wire__Outcome *outcome);

#endif
