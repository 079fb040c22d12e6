/* What the commands about transactions share. */
#ifndef TROTH_CLI_TX_H
#define TROTH_CLI_TX_H

#include <stdbool.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "core/id.h"
#include "core/json.h"
#include "wire.pb-c.h"

/* ---- words -------------------------------------------------------------------------------- */

/* Of what ended long ago only the outcome is kept. */
bool tx_is_retained(const Wire__TransactionView *tx);
/* "2pc", "3pc"; "": not known. */
const char *tx_protocol(const Wire__TransactionView *tx);
/* Since when it is known of: its begin, or what a participant knows instead. 0: not known. */
int64_t tx_since_us(const Wire__TransactionView *tx);
/* What an operator looks for, the most serious first: "mixed", "hazard", "heuristic", "in doubt";
 * "": nothing of that. */
const char *tx_mark(const Wire__TransactionView *tx);
/* Of "shop.c1.5.17/book" the saga, a new text; NULL: it is no step of a saga. And the step. */
char *tx_saga(const Wire__TransactionView *tx);
const char *tx_step(const Wire__TransactionView *tx);
/* "payments: committed by order of ada@host: the reason", a new text, not escaped. */
char *heuristic_line(const Wire__Heuristic *heuristic);

/* ---- JSON --------------------------------------------------------------------------------- */

/* null when it is empty. */
void json_text(struct json_writer *writer, const char *name, const char *text);
void json_texts(struct json_writer *writer, const char *name, char *const *texts, size_t count);
void json_heuristic(struct json_writer *writer, const Wire__Heuristic *heuristic); /* or null */
/* The members of the open object. */
void json_transaction(struct json_writer *writer, const Wire__TransactionView *tx);

/* ---- answers ------------------------------------------------------------------------------ */

/* What was got, wherever it comes from, is printed by these, with --json as JSON. Each returns the
 * exit code. */
int tx_list_print(const struct options *options, const Wire__Query *query,
                  const Wire__Answer *answer, const struct answerer *who);
int tx_show_print(const struct options *options, const char *gtrid, const Wire__Answer *answer,
                  const struct answerer *who);

/* ---- words of the command line ------------------------------------------------------------ */

/* A GTRID, or a mistake is printed that says what the word is instead. */
bool tx_gtrid_check(const struct command *command, const char *word);

#endif
