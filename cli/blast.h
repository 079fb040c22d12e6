/* The blast radius of a prepared branch: what it locks, whom it blocks, how far it holds vacuum
 * back, and the slots of its server. io/pg_inspect.h has the report that this is read from. */
#ifndef TROTH_CLI_BLAST_H
#define TROTH_CLI_BLAST_H

#include <stddef.h>

#include "wire.pb-c.h"

/* Nothing when no branch is prepared anywhere. */
void print_blast(Wire__Testimony *const *testimonies, size_t count);

#endif
