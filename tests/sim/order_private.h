/* What the files of the book of orders share. */
#ifndef TROTH_TESTS_SIM_ORDER_PRIVATE_H
#define TROTH_TESTS_SIM_ORDER_PRIVATE_H

#include "core/map.h"
#include "core/register.h"
#include "tests/sim/order_book.h"

enum { ORDERS_MOST = 2000 };

/* What is known of its branches at a participant: a bit each, by abort and by commit. */
struct part {
    bool writes;           /* some call leaves a token */
    uint32_t forced_by[2]; /* rows of troth.heuristic say so */
    uint32_t ended_by[2];
    bool forced;       /* one at least */
    uint64_t since_us; /* likewise */
    bool forgotten;    /* those rows are marked */
    bool again;        /* one was prepared again once, by a failover */
};

/* What a journal holds. */
struct outcome {
    bool known, commit;
    uint64_t since_us;
};

/* A transaction. */
struct affair {
    struct map_node node;
    gtrid_text gtrid;
    struct gid id;
    int coordinator; /* its own; -1: there is none of that name */
    bool denied;     /* a client has written some of it, and says that it has not */
    uint64_t token;  /* of one of its calls; 0: none is known */
    struct part at[MAX_PARTICIPANTS];
    bool committed; /* two phases: durably so, whatever became of that journal */
    struct outcome decided[MAX_COORDINATORS], ordered[MAX_COORDINATORS];
    bool meddled;   /* a person has ended a branch by hand: all may differ */
    bool forgotten; /* and nothing was forced since */
    bool aborted;   /* an operator was told so */
    bool waited[2]; /* an operator was told that it is or will be carried out: abort, commit */
    bool shown, shown_mixed, shown_hazard;
};

struct order_book {
    struct world *world;
    struct map by_gtrid;
    struct affair **affairs; /* the oldest first */
    size_t affair_count, affair_room;
    struct order orders[ORDERS_MOST];
    int order_count;
    uint64_t changes;
    struct order_count count;
};

struct affair *affair_find(const struct order_book *book, const char *gtrid);
bool affair_forced(const struct affair *affair);
/* What is decided, wherever that is known. */
enum register_value affair_decision(const struct order_book *book, const struct affair *affair);

#endif
