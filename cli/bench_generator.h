/* What stands between ${ and } in the file of `troth bench`: how one value is made. */
#ifndef TROTH_CLI_BENCH_GENERATOR_H
#define TROTH_CLI_BENCH_GENERATOR_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum generator_kind {
    GENERATOR_SEQ,
    GENERATOR_RUN,
    GENERATOR_UUID,
    GENERATOR_RANDOM,
    GENERATOR_CYCLE,
    GENERATOR_PICK,
    GENERATOR_NAMED,
};

/* Zeros, then generator_parse, and whatever it says generator_fini. */
struct generator {
    enum generator_kind kind;
    bool text;         /* text(...): a number becomes a text */
    int64_t low, high; /* RANDOM, CYCLE: in units of the last decimal */
    int decimals;
    uint64_t next; /* CYCLE: how often it was drawn */
    char **items;  /* PICK: each as JSON */
    int item_count;
    int named; /* NAMED: its index */
};

typedef char generator_mistake[300];

/* names: of the values that this one may use. False: why, in mistake. */
bool generator_parse(struct generator *generator, const char *text, size_t size,
                     const char *const *names, int name_count, generator_mistake mistake);
void generator_fini(struct generator *generator);
/* Is it a word that a value of one's own can't have as its name? */
bool generator_word(const char *name);

#endif
