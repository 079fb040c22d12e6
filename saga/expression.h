/* Evaluating the expressions of a plan against what a saga has so far, and rendering texts with
 * expressions in them. Pure: the same scope gives the same bytes, on every machine.
 *
 * A path alone (${ .input.amount }) is copied as the JSON text that it names, digit by digit. All
 * else is computed by jq, with numbers as doubles: see saga/value.h for what is refused.
 *
 * An error names the place of the expression and what is wrong with it. Nothing here keeps what it
 * is given. One thread at a time may use a plan. */
#ifndef TROTH_SAGA_EXPRESSION_H
#define TROTH_SAGA_EXPRESSION_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/json.h"
#include "saga/definition.h"

/* A JSON text; text NULL is null. */
struct saga_text {
    const char *text;
    size_t size;
};

/* What expressions see. Only what an expression names is looked at, so a scope costs nothing to
 * fill. output: of the instance of `step` that has the loop indices of the one that asks, as far as
 * both are in the same FOR_EACH; null when it was skipped; the text must live until the call that
 * asked for it returns. Which steps an expression sees is decided by its place (saga/sight.h). */
struct saga_scope {
    const char *id;                                   /* .saga.id; NULL: null */
    struct saga_text input;                           /* after saga_input_complete (saga/input.h) */
    struct saga_text (*output)(void *self, int step); /* of a step, seen from here */
    void *self;
    struct saga_text result; /* in `output`, and in a compensation's arguments */
    struct saga_text item;   /* in a for_each */
    long index;
};

/* The value of an expression as JSON, appended to out as it is. */
bool saga_evaluate(const struct saga_plan *plan, int expression, const struct saga_scope *scope,
                   struct json_writer *out, struct error *error);
/* Of `when`: it must be true or false. */
bool saga_evaluate_when(const struct saga_plan *plan, int expression,
                        const struct saga_scope *scope, bool *value, struct error *error);
/* Of `for_each`: a list of at most LIMIT_SAGA_ITEMS, which the caller frees; each item's JSON is
 * its raw text. NULL with an error. */
struct json *saga_evaluate_items(const struct saga_plan *plan, int expression,
                                 const struct saga_scope *scope, struct error *error);
/* A template as JSON text, at most LIMIT_SAGA_VALUE_BYTES. The caller frees it. NULL with an
 * error. template SAGA_NONE: {}. */
char *saga_render(const struct saga_plan *plan, int template, const struct saga_scope *scope,
                  struct error *error);
/* The same for the arguments of a call: it must be an object. */
char *saga_render_object(const struct saga_plan *plan, int template, const struct saga_scope *scope,
                         struct error *error);

/* The result of a PARALLEL, of a CHOOSE, or of one item of a FOR_EACH: {NAME: output, ...} in the
 * order of the definition. The caller frees it. */
char *saga_block_result(const struct saga_plan *plan, int block, const struct saga_scope *scope);

#endif
