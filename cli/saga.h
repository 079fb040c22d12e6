/* What the commands of sagas share. */
#ifndef TROTH_CLI_SAGA_H
#define TROTH_CLI_SAGA_H

#include <stdbool.h>

#include "cli/connect.h"
#include "core/error.h"
#include "core/json.h"
#include "wire.pb-c.h"

/* A saga's id has the form of a gtrid. Else an error that says what the word may have been. */
bool saga_id_check(const char *word, struct error *error);

/* As connection_open, to a coordinator: a participant knows no sagas. */
struct connection *saga_connect(const struct options *options, struct error *error);

/* The saga with all its steps, from as many answers as it takes. NULL with an error, which names
 * what else the id may be when no saga has it. The caller frees it with
 * wire__saga_view__free_unpacked. */
Wire__SagaView *saga_ask(struct connection *connection, const char *id, struct error *error);
/* The sagas that need an operator, at most so many, those that are steps of others too. NULL: it
 * can't be had. The caller frees it with wire__answer__free_unpacked. */
Wire__Answer *saga_ask_needing(struct connection *connection, uint32_t limit);
/* The error for an id that no saga has: it may be a transaction's. */
void saga_not_known(struct connection *connection, const char *id, struct error *error);
/* The other way round. False also when nobody answers. */
bool saga_is_known(struct connection *connection, const char *id);
/* What it does next, for who has just ordered or started it; NULL when that can't be had. The
 * caller frees it. */
char *saga_ask_next(struct connection *connection, const char *id);

/* A saga that is undone comes to no further step: those that wait will never be. */
bool saga_goes_back(const Wire__SagaView *saga);

/* Whose fault it is that a start or an order is refused, by the problem's code. */
enum error_kind saga_refusal(const Wire__Problem *problem);

#endif
