/* What each kind of look asks, statement by statement, and what its answer says. The statements and
 * the reading of their results are in pg_look.c; pg_inspect.c sends them. */
#ifndef TROTH_IO_PG_LOOK_H
#define TROTH_IO_PG_LOOK_H

#include "core/json.h"
#include "io/pg_private.h"

/* Locks that are told, and tables whose rows are counted: the strongest locks first. */
enum { PG_LOOK_LOCKS = 50, PG_LOOK_COUNTED = 8, PG_LOOK_VALUES = 6 };

struct pg_look_lock {
    char *relation, *mode;
    char *count_sql; /* NULL: its rows can't be counted, or must not be */
    long long rows;  /* -1: not counted */
};

/* One look: what was asked, how far it is, and what was found. */
struct pg_look {
    struct pg_owed owed;
    enum db_look kind;
    char *gtrid; /* TRANSACTION */
    void *tag;
    uint64_t asked_us, begun_us;
    int step; /* of those of its kind */
    /* For the statement of the step. */
    char *values[PG_LOOK_VALUES];
    int value_count;

    struct db_inspected found;
    struct db_held *held;
    int prepared; /* index of the branch that the report is about; -1: none */
    char *problem, *barrier, *report;
    char *schema_version; /* NULL: not readable */
    /* Of the report of a branch: JSON made by PostgreSQL, NULL where it could not be asked. */
    char *blocked, *blocked_more, *vacuum, *slots, *locks_more;
    struct pg_look_lock locks[PG_LOOK_LOCKS];
    int lock_count;
    int counting; /* the lock whose rows are counted, or come next */
    int counted;  /* tables */
};

struct pg_look *pg_look_new(const struct db_inspection *inspection, void *tag);
void pg_look_free(struct pg_look *look);

/* The statement of the step that the look is at, with its values in the look; NULL: it has seen all
 * of them. Steps that have nothing to ask are passed over. */
const char *pg_look_sql(struct pg *pg, struct pg_look *look);
/* The statement's result, of any status. False: the look has failed by that, and says why. */
bool pg_look_result(struct pg_look *look, const PGresult *result);
/* All that was found, for the runner. Lives as long as the look. */
const struct db_inspected *pg_look_found(struct pg_look *look);

#endif
