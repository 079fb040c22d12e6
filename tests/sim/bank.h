/* The operations of the simulated participants, declared as a real agent's are, and what each of
 * their statements does to the model of the database. */
#ifndef TROTH_TESTS_SIM_BANK_H
#define TROTH_TESTS_SIM_BANK_H

#include <stdint.h>

#include "core/ports.h"
#include "participant/operation.h"

enum effect_kind {
    EFFECT_DEBIT,  /* needs the money */
    EFFECT_CREDIT, /* needs the account */
    EFFECT_TOKEN,  /* a row that proves that this very call was carried out */
    EFFECT_READ,
    EFFECT_ERROR, /* an SQL error */
    /* of sagas: */
    EFFECT_TAKE,     /* a debit that needs no money */
    EFFECT_MARK,     /* a row that proves that this very step was carried out */
    EFFECT_UNMARK,   /* likewise, that it was undone */
    EFFECT_LOOK,     /* a read that gives another number each time */
    EFFECT_HESITATE, /* finds nothing the first few times */
    EFFECT_REFUSE,   /* never finds anything */
};

enum { MARK_BYTES = 96 };

struct effect {
    enum effect_kind kind;
    int account;
    int64_t amount;
    uint64_t token;
    int call;
    int64_t expect_rows;
    const char *otherwise; /* of the operation set */
    bool result;
    bool done; /* it changed a row of a transaction that is not ended yet */
    char mark[MARK_BYTES];
    int64_t seen;
    uint64_t number; /* MARK, UNMARK, LOOK: what it was answered with */
};

/* The same set for every participant; made once, kept for the whole program. */
const struct operation_set *bank_operations(void);
/* What the statement does, found by its name; the values are those that were bound. */
struct effect bank_effect(const struct db_statement *statement);

#endif
