/* Values between our JSON and jq's. jq computes with binary fractions, which money must not notice:
 * a number that they can't hold is refused on the way in, and on the way out one that no decimal of
 * 15 digits is near enough to be meant. Only for what works with libjq. */
#ifndef TROTH_SAGA_VALUE_H
#define TROTH_SAGA_VALUE_H

#include <jv.h>
#include <stdbool.h>

#include "core/json.h"

/* Gives the caller a value in *out. False: a number in it, put into *bad, has more digits than can
 * be computed with. */
bool value_from_json(const struct json *json, jv *out, const char **bad);

/* Takes over the value. NULL when it was written, else why it can't be: a text that lives until the
 * next call. Names in objects are sorted, so that the same value is always the same text. */
const char *value_to_json(jv value, struct json_writer *out);

#endif
