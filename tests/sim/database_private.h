/* What the files of the database's model share. */
#ifndef TROTH_TESTS_SIM_DATABASE_PRIVATE_H
#define TROTH_TESTS_SIM_DATABASE_PRIVATE_H

#include "tests/sim/database.h"

#define LOCAL(position) CONTAINER(position, struct local, node)

/* The next thing that happens to work: a row is free, its wait is over, it ends. */
void database_move_on(struct database *database, struct local *local);
/* What was finished is prepared again. */
void database_take_back(struct database *database, struct local *local);
/* It has ended, and nothing needs to be known of it any more. */
void database_local_free(struct local *local);
/* The server died: of what was not flushed a first part is there. */
void database_lose_unflushed(struct database *database);
/* A copy takes over that has what was flushed and a first part of the rest. */
void database_lose_uncopied(struct database *database);

#endif
