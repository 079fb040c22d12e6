/* What a coordinator would answer, told by its journal: no coordinator is asked. The journal may be
 * a copy, or the one of a coordinator that runs; it is read, and nothing of it is locked or
 * changed. It is replayed into the coordinator's own runner, so an answer shows what a restart
 * would find: what was undecided is gone, or waits for the registers. */
#ifndef TROTH_CLI_OFFLINE_H
#define TROTH_CLI_OFFLINE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/id.h"
#include "wire.pb-c.h"

struct offline;

struct offline_facts {
    char cluster[LIMIT_NAME_BYTES + 1], coordinator[LIMIT_NAME_BYTES + 1]; /* whose journal it is */
    int64_t as_of_us;    /* wall clock of the last record that says when it was written */
    bool in_use;         /* a coordinator has it locked */
    struct error damage; /* where the reading stopped; its kind is ERROR_NONE when it did not */
};

/* NULL with an error: nothing of it can be read. */
struct offline *offline_open(const char *directory, struct error *error);
void offline_close(struct offline *offline);
const struct offline_facts *offline_facts(const struct offline *offline);

/* The caller frees the answer with wire__answer__free_unpacked. */
Wire__Answer *offline_query(struct offline *offline, const Wire__Query *query);

#endif
