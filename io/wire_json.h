/* What the messages show to people, as JSON: the command line and the library print the same. */
#ifndef TROTH_IO_WIRE_JSON_H
#define TROTH_IO_WIRE_JSON_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "wire.pb-c.h"

typedef char time_text[40];
/* 2026-11-21T01:02:03.456Z, or - for 0. */
const char *time_format(time_text out, int64_t us);

/* A problem without anything in it is none. */
bool problem_is_set(const Wire__Problem *problem);

/* "name": an ISO time, or null for 0. */
void json_time(struct json_writer *writer, const char *name, int64_t us);
void json_problem(struct json_writer *writer, const Wire__Problem *problem); /* or null */
/* Valid JSON as a value, or else null: what comes from a peer is believed to be JSON only when it
 * is. */
void json_value(struct json_writer *writer, const char *json);
/* The members of the open object that a list has; those that only one that is shown has. */
void json_saga_row(struct json_writer *writer, const Wire__SagaView *saga);
void json_saga_rest(struct json_writer *writer, const Wire__SagaView *saga);

#endif
