/* The values that a saga is started with. */
#ifndef TROTH_SAGA_INPUT_H
#define TROTH_SAGA_INPUT_H

#include <stddef.h>

#include "core/error.h"
#include "saga/definition.h"

/* Checks what a client gave (a JSON object) against the plan's inputs, and fills in the defaults.
 * The whole as JSON text, in the order of the definition, values as they were written; the caller
 * frees it. NULL with an error that lists every mistake. */
char *saga_input_complete(const struct saga_plan *plan, const char *text, size_t size,
                          struct error *error);

#endif
