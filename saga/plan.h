/* How a plan is put together: what reads a definition appends to its arrays. Each `add` returns the
 * index of a new element of zeros, with SAGA_NONE where an index belongs; elements move when their
 * array grows, so nobody keeps a pointer over an `add`. */
#ifndef TROTH_SAGA_PLAN_H
#define TROTH_SAGA_PLAN_H

#include "saga/definition.h"

struct saga_plan *plan_new(const char *file, const char *text, size_t size);

/* A copy that lives as long as the plan, with a zero behind it. */
const char *plan_keep(struct saga_plan *plan, const char *text, size_t size);

int plan_add_step(struct saga_plan *plan, enum saga_type type, int parent);
int plan_add_call(struct saga_plan *plan);
int plan_add_argument(struct saga_plan *plan);
int plan_add_input(struct saga_plan *plan);
int plan_add_expression(struct saga_plan *plan);
int plan_add_reference(struct saga_plan *plan);
int plan_add_member(struct saga_plan *plan);
int plan_add_template(struct saga_plan *plan);
int plan_add_piece(struct saga_plan *plan);

#endif
