/* Buyers: a process of its own, on the coordinator's host, with a client that keeps many purchases
 * in flight, and writes down what it was told. A purchase with a key is asked for again until it is
 * committed; one without is asked for once. In a shop of sagas some are sagas, which have a key and
 * are asked for until they are completed or compensated. */
#ifndef TROTH_TESTS_REAL_BUYERS_H
#define TROTH_TESTS_REAL_BUYERS_H

#include "tests/real/support/shop.h"

struct buyers {
    int in_flight;
    unsigned seed;     /* of customers, goods and keys; also in the names of the orders */
    int keyed_percent; /* of the orders */
    int three_phase_percent;
    int saga_percent; /* place-order; of these every eighth costs more than anybody has */
    bool refunds;     /* nothing else: approve-refund, begun and not waited for */
    int total;        /* ends after so many orders; 0: when told to */
    int timeout_ms;
    int participants; /* 0: purchases in the shop; else notes at `spread` of p0 ... p(N-1) */
    int spread;
    pid_t pid; /* out */
};

/* No process of the test itself may have opened a nanomsg socket before. */
void buyers_start(struct shop *shop, struct buyers *buyers);
/* Lets what is on its way come to a certain end. */
void buyers_stop(struct shop *shop, struct buyers *buyers);
/* Waits for the end of those with a total, so many seconds. */
void buyers_wait(struct shop *shop, struct buyers *buyers, int seconds);
/* How many they were told so by now: C committed, A aborted or refused, U unknown; of sagas S
 * completed, or begun where that is all that is asked for, and X compensated; 0: any. */
int buyers_count(struct shop *shop, const struct buyers *buyers, char told);
/* Until they were told so of so many more. */
void buyers_wait_committed(struct shop *shop, const struct buyers *buyers, int more);
/* What was told committed is in the books, and what was told aborted is not. */
void buyers_judge(struct shop *shop, const struct buyers *buyers);
/* The id of each order that they were told so of, and with what words: of a saga that is completed
 * or begun, its id. */
typedef void buyers_visit(void *self, const char *order, const char *words);
void buyers_visit_told(struct shop *shop, const struct buyers *buyers, char told,
                       buyers_visit *visit, void *self);

#endif
