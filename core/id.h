/* Names and ids: gtrid, gid, and the pair (epoch, seq) that makes both unique.
 *
 *   gtrid  <cluster>.<coordinator>.<epoch>.<seq>
 *   gid    troth.<gtrid>.<branch>
 *
 * A name is 1 to LIMIT_NAME_BYTES of [A-Za-z0-9_-], so a dot always separates. Numbers are decimal
 * without leading zeros. The epoch grows at each start of a coordinator and seq within an epoch, so
 * an id is never used twice. */
#ifndef TROTH_CORE_ID_H
#define TROTH_CORE_ID_H

#include <stdbool.h>
#include <stdint.h>

#include "core/limits.h"

/* A transaction of one coordinator. Ordered by epoch, then seq. seq starts at 1; {0,0} is no id. */
struct txid {
    uint64_t epoch;
    uint64_t seq;
};

/* A gtrid or a gid taken apart. branch is -1 for a gtrid. */
struct gid {
    char cluster[LIMIT_NAME_BYTES + 1];
    char coordinator[LIMIT_NAME_BYTES + 1];
    struct txid tx;
    int branch;
};

typedef char gtrid_text[LIMIT_GTRID_BYTES + 1];
typedef char gid_text[LIMIT_GID_BYTES + 1];
/* A step of a saga: its name, with the numbers of its items. */
typedef char saga_step_text[LIMIT_SAGA_LABEL_BYTES + 1];
/* Of a row of troth.barrier: a gtrid, or what a saga's step or its compensation is known by. */
typedef char barrier_key[LIMIT_BARRIER_KEY_BYTES + 1];

int txid_compare(struct txid a, struct txid b);
bool txid_equal(struct txid a, struct txid b);
uint64_t txid_hash(struct txid id);

bool name_valid(const char *name);
/* The rule for a name, for error messages: "1 to 32 of A-Z a-z 0-9 _ -". */
extern const char name_rule[];
/* Operation and parameter names: a letter or _, then letters, digits, _; at most LIMIT_WORD_BYTES.
 */
bool word_valid(const char *word);

void gtrid_format(gtrid_text out, const char *cluster, const char *coordinator, struct txid tx);
void gid_format(gid_text out, const char *cluster, const char *coordinator, struct txid tx,
                int branch);
/* Strict: exactly what the formatters print, or false. */
bool gtrid_parse(const char *text, struct gid *out);
bool gid_parse(const char *text, struct gid *out);

#endif
