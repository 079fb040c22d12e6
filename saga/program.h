/* All expressions of a plan as one jq program, compiled once. To compile is slow, because jq reads
 * its own library each time, and does not get much slower with the number of expressions; to run
 * one of them takes microseconds. Used by one thread at a time. */
#ifndef TROTH_SAGA_PROGRAM_H
#define TROTH_SAGA_PROGRAM_H

#include <stdbool.h>

#include "saga/definition.h"

struct saga_program;

/* NULL when a mistake was noted, or when there is nothing to compile. An expression that is bad
 * already is left out, so that jq's word on the others is heard too. */
struct saga_program *saga_program_compile(const struct saga_plan *plan,
                                          struct saga_findings *findings);
void saga_program_free(struct saga_program *program); /* NULL is harmless */

#endif
