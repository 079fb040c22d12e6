/* Purchases in doubt, made for real, and what the command line says of them. */
#ifndef TROTH_TESTS_REAL_DOUBT_H
#define TROTH_TESTS_REAL_DOUBT_H

#include "tests/real/support/purchase.h"

/* The coordinator is dead, and each database holds a branch: decided or not, as the point at which
 * it died says. */
void doubt_make(struct shop *shop, struct purchase *purchase, const char *point, char *gtrid,
                size_t size);
/* So many transactions are prepared in the database of that participant. */
int doubt_prepared(const char *participant);

void doubt_lose_journal(struct shop *shop);
/* The same with a coordinator that lives and does not know the purchase any more. */
void doubt_hold(struct shop *shop, struct purchase *purchase, char *gtrid, size_t size);
/* Of a shop: each participant reports a branch as held. */
bool doubt_all_held(void *shop);

#endif
