/* A transaction as a person asks for it, on the command line or in a file, and as a message. */
#ifndef TROTH_CLI_ORDER_H
#define TROTH_CLI_ORDER_H

#include "core/error.h"
#include "wire.pb-c.h"

/* Zeros are an empty order. */
struct order {
    Wire__Submit submit; /* its strings and calls are owned here */
    uint64_t timeout_us; /* 0: the coordinator's */
};

void order_init(struct order *order);
void order_fini(struct order *order);

/* Splits participant.operation; both are new texts on success. */
bool order_split_call(const char *call, char **participant, char **operation, struct error *error);
/* Whose fault it is that a transaction was not begun, by the problem's code. */
enum error_kind order_refusal(const Wire__Problem *problem);

/* Words: a call, its arguments as a JSON object (left out: {}), and so on. */
bool order_from_words(struct order *order, char **words, int count, struct error *error);
/* A YAML file {protocol, key, wait, deadline, branches: [{call, with}]}; "-" reads stdin. */
bool order_from_file(struct order *order, const char *path, struct error *error);

/* The values of flags and of the file's keys. */
bool order_protocol(struct order *order, const char *word, struct error *error);
bool order_wait(struct order *order, const char *word, struct error *error);
bool order_key(struct order *order, const char *key, struct error *error);
/* What no single part can see: no call at all, too many, too large. */
bool order_check(const struct order *order, struct error *error);

#endif
