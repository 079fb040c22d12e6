/* A service's own connection to its database, one statement on it, and why something was not done:
 * as the services tell it each other, and their clients. */
#ifndef DATABASE_H
#define DATABASE_H

#include <stdbool.h>
#include <troth.h>

/* Zeros are none. */
struct problem {
    bool passing; /* another try may fare better */
    char code[64];
    char message[256];
    PGresult *said; /* by PostgreSQL, when the error is its own */
};

/* Why a service has no part in a transaction: it is over, somebody is away or does not answer, or
 * this request came before, and what became of that is not known (a second branch is refused by
 * three phases; by two it waits for the locks of the first). None of it is said of the request
 * itself, so a new transaction may fare better, also where problem.passing is false. Only what
 * PostgreSQL finds when it prepares, a deferred constraint, is for ever. */
void problem_of_troth(struct problem *problem, const struct troth_result *result);
/* As an answer: {"status": "refused", "code": ..., "message": ...}, or "failed" when another try
 * may fare better. To be freed with free(); the problem is cleared. */
char *problem_answer(struct problem *problem);
void problem_clear(struct problem *problem);

/* {conninfo, NULL} to begin with; for one thread at a time. */
struct database {
    const char *conninfo;
    PGconn *connection;
};

/* A connection on which nothing is going on, made anew when the last one is lost. NULL with the
 * problem: the database is away. It is the database's. */
PGconn *database_connection(struct database *database, struct problem *problem);
void database_close(struct database *database);

/* One statement, which must change or find exactly one row: else the problem is `otherwise`, "code:
 * message", or what PostgreSQL says. values: NULL after the last one. *row, unless NULL, is the row
 * it returns, to be freed with PQclear. */
bool change_one_row(PGconn *connection, const char *statement, const char *const values[],
                    const char *otherwise, PGresult **row, struct problem *problem);

#endif
