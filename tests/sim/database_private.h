/* What the files of the database's model share. */
#ifndef TROTH_TESTS_SIM_DATABASE_PRIVATE_H
#define TROTH_TESTS_SIM_DATABASE_PRIVATE_H

#include "tests/sim/database.h"

#define LOCAL(position) CONTAINER(position, struct local, node)

/* The next thing that happens to work: a row is free, its wait is over, it ends. */
void database_move_on(struct database *database, struct local *local);
/* Everything that was finished is safe from a failover: something later in the log must be. */
void database_tail_clear(struct database *database);
/* What was finished is prepared again. */
void database_take_back(struct database *database, struct local *local);

#endif
