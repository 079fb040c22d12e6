/* Types of values: of a saga's inputs, and what a parameter of an operation takes. */
#ifndef TROTH_SAGA_TYPE_H
#define TROTH_SAGA_TYPE_H

#include "core/json.h"
#include "saga/definition.h"

/* A whole number is written without point and exponent. */
bool type_fits(enum saga_value_type type, const struct json *json);
/* "a string", "an integer": for messages. */
const char *type_phrase(enum saga_value_type type);
/* What a participant takes for a parameter of this PostgreSQL type (participant/operation.h). */
enum saga_value_type type_of_parameter(const char *type);
/* Whether a value of the type `from` can be one of the type `to`. */
bool type_may_be(enum saga_value_type from, enum saga_value_type to);

#endif
