/* The last finished transactions, for people who ask. In memory only, a bounded ring. */
#ifndef TROTH_COORDINATOR_HISTORY_H
#define TROTH_COORDINATOR_HISTORY_H

#include "coordinator/tx.h"

struct history {
    struct map map;
    struct list all; /* oldest first */
};

void history_init(struct history *history);
void history_fini(struct history *history);
/* Takes the transaction over; frees the oldest beyond LIMIT_HISTORY. */
void history_add(struct history *history, struct tx *tx);
struct tx *history_find(const struct history *history, struct txid id);

#endif
