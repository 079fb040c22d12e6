/* The shop as sagas use it: all that the definitions of examples/sagas call, with books in which
 * nothing hides. No table has a key and no row is ever changed or deleted but for sums: each
 * operation leaves a row of `deed`, so what is done twice, or undone twice, is seen. */
#ifndef TROTH_TESTS_REAL_SAGA_SHOP_H
#define TROTH_TESTS_REAL_SAGA_SHOP_H

#include "tests/real/support/shop.h"

/* Called by the shop when shop_use_sagas was: tables, configurations, and in FOLDER/sagas the
 * definitions of examples/sagas, and linger: its step is given up while it is carried out. */
void saga_shop_make(struct shop *shop);
void saga_shop_empty(void);

/* ---- the books ----------------------------------------------------------------------------- */

/* How often an operation of a participant was committed for an id. */
int deed_count(const char *participant, const char *step, const char *id);

/* What an id may look like in the books: each step with what undoes it, or NULL. The last has no
 * participant. */
struct deed {
    const char *participant, *step, *undo;
};
extern const struct deed order_deeds[], delivery_deeds[], restock_deeds[], refund_deeds[],
    refusal_deeds[], linger_deeds[];
/* Fails the test unless every step is done exactly once and nothing is undone. */
void deeds_check_completed(const struct deed *deeds, const char *id);
/* Fails the test unless what was done was done once and undone once, and no more. */
void deeds_check_compensated(const struct deed *deeds, const char *id);
/* Money and goods add up; nothing is prepared. */
void saga_books_check(void);

#endif
