/* The files and tables of a shop: its configurations, its books, and what its logs must not say. */
#ifndef TROTH_TESTS_REAL_SHOP_FILES_H
#define TROTH_TESTS_REAL_SHOP_FILES_H

#include "tests/real/support/shop.h"

/* What the books begin with: so much for each of ada and c0 ... c31, and of each of lamp and s0 ...
 * s31. */
enum { SHOP_MONEY = 1000, SHOP_LAMPS = 1000, SHOP_CUSTOMERS = 32 };

/* Tables in the three databases, and the configurations of the four processes. */
void shop_files_make(struct shop *shop);
/* Those of the participants again, with more coordinators than the shop's: ", ADDRESS, ADDRESS". */
void shop_files_name_coordinators(struct shop *shop, const char *more);
void shop_empty_tables(void);
/* Fails the test when a log in the folder has a broken invariant or a sanitizer's report. */
void shop_files_judge(struct shop *shop);

long shop_file_size(struct shop *shop, const char *name); /* 0: not there */
/* From an offset on; "" when it is not there. To be freed. */
char *shop_file_read(struct shop *shop, const char *name, long offset);

#endif
