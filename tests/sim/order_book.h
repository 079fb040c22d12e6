/* The oracle of what operators do. It knows every order that was given and how it was answered,
 * sees every row of troth.heuristic and every record of a journal that becomes durable, and how
 * each branch ended. What must hold:
 *
 *  - an order that was refused, or was a dry run, leaves nothing;
 *  - nothing is forced before it is durable: at its coordinator, then in the database;
 *  - an outcome is forced only where nobody is left to decide, against nothing that is proved;
 *  - what was said of a transaction by an answer (aborted, decided so, nothing to be done) is so;
 *  - a branch ends by a decision, or by a row that says so;
 *  - where databases differ in the end, or with what was decided or told, an operator did it, and
 *    it is on a list as mixed or as a hazard, until somebody forgets it. */
#ifndef TROTH_TESTS_SIM_ORDER_BOOK_H
#define TROTH_TESTS_SIM_ORDER_BOOK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/id.h"
#include "core/ports.h"
#include "tests/sim/node.h"
#include "wire.pb-c.h"

struct order_book;

struct order_count {
    int given, dry, refused, aborted, waited, forced, forgotten, nothing, lost;
    int branches; /* that were forced */
    int torn;     /* transactions of which databases differ in the end, or with what was told */
};

/* Where an order is given. */
struct order_place {
    bool door; /* of the participant `index`; else at that coordinator */
    int index;
};

struct order {
    int number; /* from 1; its reason says it */
    struct order_place place;
    gtrid_text gtrid;
    int participant; /* -1: everywhere */
    bool commit, forget, dry_run;
    uint64_t given_us;
    bool open, refused, accepted;
    Wire__Deed deed;
    bool recorded[MAX_COORDINATORS]; /* durably, in that journal, at some time */
    bool left;                       /* anything, anywhere */
};

struct order_book *order_book_new(struct world *world);
void order_book_free(struct order_book *book);

/* ---- what operators do (operators.c) ---- */

/* NULL: there were too many. Valid until the next one. */
struct order *order_book_give(struct order_book *book, struct order_place place, const char *gtrid);
void order_book_answered(struct order_book *book, int number, const Wire__Answer *answer);
/* No answer will come. */
void order_book_lost(struct order_book *book, int number);
/* What a list shows, at the end. */
void order_book_shown(struct order_book *book, const Wire__TransactionView *view);

/* Some transaction that is known: in doubt in some database, or any. NULL: there is none. */
const char *order_book_any(const struct order_book *book, bool in_doubt);

/* ---- what the models see ---- */

/* Work on that gid was begun; token: one of its calls', or 0. */
void order_book_begun(struct world *world, int participant, const char *gid, uint64_t token);
/* The agent asks for the row; then it is there, durably; then it is marked as forgotten. */
void order_book_storing(const struct node *agent, const char *gid, bool commit, const char *reason);
void order_book_stored(struct world *world, int participant, const char *gid, bool commit,
                       const char *reason);
void order_book_row_forgotten(struct world *world, int participant, const char *gtrid);
/* An agent is about to carry this out, on a branch that is prepared. */
void order_book_finishing(struct world *world, int participant, const char *gid, bool commit);
/* A prepared branch was ended, by whomever; or a failover has undone that. */
void order_book_ended(struct world *world, int participant, const char *gid, bool commit);
/* Its own commit is the decision. */
void order_book_committed_alone(struct world *world, int participant, const char *gtrid);
/* Its client has written there, and says that it has not. */
void order_book_denied(struct world *world, const char *gid);
/* By a person, past everybody. */
void order_book_meddled(struct world *world, const char *gid);
void order_book_taken_back(struct world *world, int participant, const char *gid);
void order_book_journaled(struct world *world, int coordinator, const void *record, size_t size);
void order_book_journal_lost(struct world *world, int coordinator);

/* ---- what others ask ---- */

/* An outcome of this transaction was forced somewhere. */
bool order_book_forced(const struct world *world, const char *gtrid);
/* At that participant, so. */
bool order_book_forced_at(const struct world *world, int participant, const char *gtrid,
                          bool commit);
/* Somebody has taken it off a list. */
bool order_book_forgotten(const struct world *world, const char *gtrid);
bool order_book_forced_any(const struct world *world);
/* All that operators have changed so far: equal numbers, nothing changed in between. */
uint64_t order_book_state(const struct world *world);
struct order_count order_book_count(const struct world *world);
/* After everything came to rest and each list was shown. */
void order_book_check(struct world *world);

#endif
