/* What an operator should do about a transaction: a pure function of what is known of it and of
 * what the databases say. It never advises what an order would be refused for, as it asks the same
 * table (coordinator/resolution.h), and it says what can't be known. */
#ifndef TROTH_CLI_ADVICE_H
#define TROTH_CLI_ADVICE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "wire.pb-c.h"

enum advice_kind {
    ADVICE_NOTHING = 1, /* nothing is to be done */
    ADVICE_WAIT,        /* it ends by itself, once what `why` names has come */
    ADVICE_RUN,         /* command */
    ADVICE_CHOOSE,      /* command or otherwise: why tells by what */
    ADVICE_MEND,        /* data must be set right by hand first, then command, if there is one */
    ADVICE_UNKNOWN,     /* nobody who was asked knows of it */
};

struct advice_facts {
    const char *id;                  /* a gtrid; or the gid of what is not Troth's */
    const char *command;             /* "troth", with --coordinator where it takes that */
    bool at_participant;             /* who was asked; else a coordinator */
    const char *asked;               /* its name */
    const Wire__TransactionView *tx; /* NULL: who was asked has no such row */
    const Wire__Problem *problem;    /* why it has none, or NULL */
    Wire__Testimony *const *testimonies;
    size_t testimony_count;
    const Wire__PreparedView *foreign; /* not Troth's: what it is, and at which participant */
    const char *foreign_at;
};

/* All texts are new ones, not escaped; NULL: none. */
struct advice {
    enum advice_kind kind;
    char *verdict;   /* one sentence: how it stands */
    char *why;       /* what is waited for, or why the command is the right one */
    char *command;   /* on one line */
    char *otherwise; /* another command; when: what must hold for it, a constant, or NULL */
    const char *when;
    char **unknowns; /* what can't be known, a sentence each */
    size_t unknown_count;
};

void advise(const struct advice_facts *facts, struct advice *advice);
void advice_fini(struct advice *advice);
/* "wait", "run", ... */
const char *advice_word(enum advice_kind kind);

#endif
