/* Text for people and scripts. What peers sent is escaped: no control character reaches a
 * terminal. */
#ifndef TROTH_CLI_PRINT_H
#define TROTH_CLI_PRINT_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "cli/cli.h"
#include "core/error.h"
#include "core/json.h"
#include "wire.pb-c.h"

/* The character at text and its bytes (1 to 4); 0 when there is no valid UTF-8 there. */
int utf8_next(const char *text, uint32_t *point);

/* Control characters, marks of direction and bytes that are no UTF-8 as \xNN. The first is a new
 * text that the caller frees. */
char *escaped(const char *text);
void print_escaped(FILE *file, const char *text);
/* JSON text on one line: what may not reach a terminal becomes \uNNNN or a space, so it stays the
 * same JSON. */
void print_json_text(FILE *file, const char *json);

/* "troth: message", detail and hint, on stderr. */
void print_error(const struct error *error);
/* The exit code of an error, and the error printed: as text on stderr or, with --json, as an object
 * {problem, exit} on stdout. */
int print_failure(const struct options *options, const struct error *error);
/* The same for a problem that a peer answered with. */
int print_answer_problem(const struct options *options, const Wire__Problem *problem,
                         enum error_kind kind);
/* The code for an error's kind. */
int exit_of(enum error_kind kind);

/* A problem without anything in it is none. */
bool problem_is_set(const Wire__Problem *problem);
/* "payments.charge: what happened (code)", a new text that the caller frees, not escaped. */
char *problem_line(const Wire__Problem *problem);
/* Its detail and hint, each a line with this indentation. */
void print_problem_rest(FILE *file, const Wire__Problem *problem, int indent);
void json_problem(struct json_writer *writer, const Wire__Problem *problem); /* or null */

typedef char time_text[40];
/* 2026-11-21T01:02:03.456Z, or - for 0. */
const char *time_format(time_text out, int64_t us);
/* An age in one unit that says enough: 250ms, 12s, 5m, 3h, 9d. */
const char *age_format(time_text out, int64_t us);
const char *bytes_format(time_text out, uint64_t bytes);
int64_t wall_now_us(void);
/* "name": an ISO time, or null for 0. */
void json_time(struct json_writer *writer, const char *name, int64_t us);

/* Prints what the writer holds as one line and frees it. */
void print_json(struct json_writer *writer);

#endif
