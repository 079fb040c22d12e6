/* Text for people and scripts. What peers sent is escaped: no control character reaches a
 * terminal. */
#ifndef TROTH_CLI_PRINT_H
#define TROTH_CLI_PRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "cli/text.h"
#include "core/error.h"
#include "core/json.h"
#include "wire.pb-c.h"

void print_escaped(FILE *file, const char *text);
/* JSON text on one line: what may not reach a terminal becomes \uNNNN or a space, so it stays the
 * same JSON. */
void print_json_text(FILE *file, const char *json);

/* "troth: message", detail and hint, on stderr. */
void print_error(const struct error *error);
/* The member "problem" of the open object. */
void json_error(struct json_writer *writer, const struct error *error);
/* The exit code of an error, and the error printed: as text on stderr or, with --json, as an object
 * {problem, exit} on stdout. */
int print_failure(const struct options *options, const struct error *error);
/* The same for a problem that a peer answered with. */
int print_answer_problem(const struct options *options, const Wire__Problem *problem,
                         enum error_kind kind);
/* The code for an error's kind. */
int exit_of(enum error_kind kind);

/* "payments.charge: what happened (code)", a new text that the caller frees, not escaped. */
char *problem_line(const Wire__Problem *problem);
/* Its detail and hint, each a line with this indentation. */
void print_problem_rest(FILE *file, const Wire__Problem *problem, int indent);

/* Prints what the writer holds as one line and frees it. */
void print_json(struct json_writer *writer);

#endif
