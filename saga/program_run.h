/* Running a compiled expression, for what works with libjq. */
#ifndef TROTH_SAGA_PROGRAM_RUN_H
#define TROTH_SAGA_PROGRAM_RUN_H

#include <jv.h>

#include "saga/program.h"

/* The first result of an expression with this scope, which it takes over; an invalid value, maybe
 * with a message, when there is none. The caller frees it. */
jv program_run(struct saga_program *program, int expression, jv scope);

#endif
