/* What is true of every saga, by what journals hold durably and by what the databases made visible:
 * never by what the engine says. Each rule is checked when something happens that could break it,
 * and saga_walk compares the whole with the definition's tree at the end. */
#ifndef TROTH_TESTS_SIM_SAGA_BOOK_H
#define TROTH_TESTS_SIM_SAGA_BOOK_H

#include "tests/sim/bank.h"
#include "tests/sim/barrier_table.h"
#include "tests/sim/saga_pool.h"
#include "tests/sim/world.h"

enum { SAGAS = 400 };

/* What a saga was started with. */
struct saga_item {
    int64_t amount;
    bool flag;
};

struct saga_facts {
    int64_t amount, ref; /* ref: the number of its start; 0: a step of another saga */
    bool flag;
    int count, counts[TREE_ITEMS];
    struct saga_item items[TREE_ITEMS], inner[TREE_ITEMS][TREE_ITEMS];
};

/* One run of a step. */
struct saga_place_in {
    int node, branch;
    uint32_t items[TREE_LOOPS]; /* as many as the node is deep */
};

/* What it left in a database; of a transaction one each branch. */
struct saga_mark {
    struct saga_place_in place;
    bool done, undone, fenced;
    bool taken_back;             /* by a failover; its decision makes it visible again */
    uint64_t number;             /* what it was answered with */
    int64_t seen;                /* what it brought along */
    uint64_t done_at, undone_at; /* in the order of all marks of the world */
    barrier_key by;
};

/* What a step gave that leaves no mark: as the journal has it, durably. */
struct saga_number {
    struct saga_place_in place;
    int64_t number;
};

struct saga_entry {
    gtrid_text id;
    int coordinator;
    const struct pool_entry *definition;
    struct saga_facts facts;
    char key[24];
    int parent; /* among the entries; -1: none */
    struct saga_place_in parent_place;
    bool failed, completed, compensated; /* durably, once */
    int state;                           /* the newest: 0 runs, else the type of its record */
    bool ordered_to_compensate;          /* an operator was told that this is so */
    struct saga_mark *marks;
    int mark_count, mark_room;
    struct saga_number *numbers;
    int number_count, number_room;
};

struct saga_book;

struct saga_book *saga_book_new(struct world *world);
void saga_book_free(struct saga_book *book);

/* ---- from the models ---- */

/* A record is durable. */
void saga_book_journaled(struct saga_book *book, int coordinator, const void *bytes, size_t size);
/* One that no other row was answered with. */
uint64_t saga_book_next_number(struct saga_book *book);
/* Whether what hesitates is done this time. */
bool saga_book_ready(struct saga_book *book, const struct effect *effect);
/* A mark became visible (change 1), or a failover took it back (-1). by: the local work's key, or
 * the transaction. */
void saga_book_marked(struct saga_book *book, int participant, const char *by,
                      const struct effect *effect, int change, bool expectation_failed);
/* The participants of the transaction that leaves this mark: a bit each. */
uint32_t saga_book_participants(struct saga_book *book, const char *mark);
/* A journal holds it as committed, or something of it is visible as a saga's step. */
bool saga_book_committed(const struct saga_book *book, const char *gtrid);

/* ---- looking ---- */

int saga_book_count(const struct saga_book *book);
struct saga_entry *saga_book_at(struct saga_book *book, int index);
struct saga_entry *saga_book_find(struct saga_book *book, const char *id);
bool saga_facts_read(struct saga_facts *facts, const char *json);
bool saga_facts_equal(const struct saga_facts *a, const struct saga_facts *b);
/* {"n": number}, or null, which is 0. */
bool saga_number_read(const char *json, int64_t *number);
const struct saga_mark *saga_entry_mark(const struct saga_entry *entry,
                                        const struct saga_place_in *place);
/* How the money of a participant changed by what is visible. */
int64_t saga_book_change(const struct saga_book *book, int participant);

/* ---- saga_facts.c: what the definition makes of the facts ---- */

/* How many items the FOR_EACH at this node has, seen from these items. */
int saga_item_count(const struct saga_entry *entry, int node, const uint32_t *items);
const struct saga_item *saga_item_at(const struct saga_entry *entry,
                                     const struct saga_place_in *place);
int64_t saga_amount(const struct saga_entry *entry, const struct tree_call *call,
                    const struct saga_place_in *place);
/* What the step gives to others, in these items. False: not known. A step that was skipped gives 0.
 */
bool saga_value(const struct saga_entry *entry, int node, const uint32_t *items, int64_t *value);
enum saga_truth { SAGA_FALSE, SAGA_TRUE, SAGA_MAYBE };
enum saga_truth saga_condition(const struct saga_entry *entry, int node, const uint32_t *items);

/* ---- saga_walk.c: at the end ---- */

/* Every saga is where its tree lets it be, and has ended unless its coordinator is gone. */
void saga_book_check(struct saga_book *book, struct world *world);
/* How many have not ended, though their coordinator is there. */
int saga_book_unended(const struct saga_book *book, const struct world *world, const char **id);

#endif
