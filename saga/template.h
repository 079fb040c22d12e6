/* Texts with expressions in them, taken apart into a plan's pieces. */
#ifndef TROTH_SAGA_TEMPLATE_H
#define TROTH_SAGA_TEMPLATE_H

#include "core/json.h"
#include "saga/definition.h"

/* A template that is being written: its fixed text gathers in `text` (as JSON, with json_open and
 * so on) until an expression comes. */
struct template_builder {
    struct saga_plan *plan;
    struct saga_findings *findings;
    struct json_writer text;
    int template;
    bool failed; /* an expression in it has a mistake, which was noted */
};

void template_begin(struct template_builder *builder, struct saga_plan *plan,
                    struct saga_findings *findings);
/* A text that stands in the definition at `place` (the beginning of its scalar). "${ e }" alone is
 * e's value; with other text around it a string; $${ is a literal ${. The expression's index when
 * it is the first of these, else SAGA_NONE. */
int template_text(struct template_builder *builder, const char *text, struct saga_place place);
/* Ends it. Returns the template's index. */
int template_end(struct template_builder *builder);

/* A text that must be one expression: its index, or SAGA_NONE when it is something else, of which
 * nothing is noted, or has a mistake, which is noted and sets *failed. */
int template_expression(struct saga_plan *plan, const char *text, struct saga_place place,
                        bool *failed, struct saga_findings *findings);
/* Whether there is ${ in it that is no $${. */
bool template_has_expression(const char *text);

#endif
