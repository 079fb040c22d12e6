/* What the databases say of one transaction, and of all that is prepared in them. */
#ifndef TROTH_CLI_EVIDENCE_H
#define TROTH_CLI_EVIDENCE_H

#include "cli/arguments.h"
#include "cli/connect.h"
#include "core/json.h"
#include "wire.pb-c.h"

/* ---- of one transaction ------------------------------------------------------------------- */

/* A line or more each, below the title (NULL: none); nothing when there is none. */
void print_evidence(Wire__Testimony *const *testimonies, size_t count, const char *title);
void json_evidence(struct json_writer *writer, const char *name,
                   Wire__Testimony *const *testimonies, size_t count);

/* ---- of all that is prepared -------------------------------------------------------------- */

enum prepared_kind {
    PREPARED_IN_FLIGHT, /* its coordinator is there, and ends it */
    PREPARED_HELD,      /* Troth's: its coordinator doesn't know it, and so never ends it */
    PREPARED_ABANDONED, /* Troth's: its coordinator has no session with its participant */
    PREPARED_FOREIGN,   /* not Troth's */
    PREPARED_ELSEWHERE, /* in a database of which no participant is asked */
    PREPARED_KINDS
};

enum prepared_kind prepared_kind(const Wire__PreparedView *prepared);
/* With that gid, of the participant whose database it is in, if there is such a one; or NULL. */
const Wire__PreparedView *prepared_find(const Wire__Answer *answer, const char *gid,
                                        const Wire__Testimony **from);
/* All that is prepared, everywhere or at one participant. As connection_query. */
Wire__Answer *prepared_ask(struct connection *connection, const char *participant,
                           struct error *error);

/* A text as an SQL literal, a new text. */
char *sql_literal(const char *text);
/* An order about an id that is not Troth's: it is refused, with what its owner runs when it is a
 * prepared transaction. Returns the exit code. */
int foreign_refuse(const struct command *command, const struct options *options, const char *gid);

#endif
