/* Writes a journal without a coordinator: one that is nearly full, or one with a past that would
 * take long to make. */
#ifndef TROTH_TESTS_REAL_JOURNAL_FILLER_H
#define TROTH_TESTS_REAL_JOURNAL_FILLER_H

#include "journal.pb-c.h"
#include "tests/real/support/shop.h"

struct journal_filler;

/* Goes on behind what the journal of the shop holds; no coordinator may run. */
struct journal_filler *journal_filler_open(const char *directory);
void journal_filler_add(struct journal_filler *filler, const Journal__Record *record);
/* All is durable then. */
void journal_filler_close(struct journal_filler *filler);

/* Until a checkpoint is due. */
void journal_fill(struct shop *shop);

#endif
