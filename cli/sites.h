/* What a transaction in three phases has besides one in two: its phase, its sites and their
 * registers, and who finishes it. */
#ifndef TROTH_CLI_SITES_H
#define TROTH_CLI_SITES_H

#include "core/json.h"
#include "wire.pb-c.h"

bool is_three_phase(const Wire__TransactionView *tx);
/* What some site knows the decision to be: "commit", "abort" or NULL. */
const char *decision_known(const Wire__TransactionView *tx);
/* The one line that says what the phase means. */
const char *phase_meaning(const char *phase);
void print_sites(const Wire__TransactionView *tx);
/* null when it is not known. */
void json_ballot(struct json_writer *writer, const char *name, const Wire__Ballot *ballot,
                 bool known);
/* The members phase, terminator and sites of the open object. */
void json_three_phase(struct json_writer *writer, const Wire__TransactionView *tx);

#endif
