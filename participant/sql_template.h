/* SQL with named parameters: finds :name in a statement as PostgreSQL's own lexer would see it, and
 * puts $1, $2 ... in its place. Nothing of a value ever becomes part of the text.
 *
 * Left alone are '...' and E'...' strings, "identifiers", $tag$...$tag$, comments, :: and :=, and a
 * colon that no name follows, as in a[1:2]. a[1:n] is refused, for it could mean two things: write
 * a[1: n] for a column and a[1: :n] for a parameter. In a[:n] the :n is a parameter. */
#ifndef TROTH_PARTICIPANT_SQL_TEMPLATE_H
#define TROTH_PARTICIPANT_SQL_TEMPLATE_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/ports.h"

/* The caller owns it and ends it with sql_template_fini. */
struct sql_template {
    char *sql;
    char **names; /* $n is names[n-1]; each name once, in the order of first use */
    int count;
    enum db_form form;
};

/* False with an error that tells line and column, and nothing to free: unterminated text, a second
 * statement, $1 in the text, no statement at all, or one that a branch can't hold (COMMIT ...). */
bool sql_template_parse(const char *text, size_t size, struct sql_template *out,
                        struct error *error);
void sql_template_fini(struct sql_template *sql);

#endif
