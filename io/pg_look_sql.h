/* The statements by which pg_look.c looks into the database. */
#ifndef TROTH_IO_PG_LOOK_SQL_H
#define TROTH_IO_PG_LOOK_SQL_H

/* $1 participant, $2 gtrid, $3 to $6 its place in troth.settled. A row for each of its prepared
 * branches in this database, or one without. */
extern const char pg_look_facts_sql[];
enum {
    PG_FACT_NOW_US,
    PG_FACT_NEXT_XID,
    PG_FACT_GID, /* this and the five below: null where nothing is prepared */
    PG_FACT_OWNER,
    PG_FACT_DATABASE,
    PG_FACT_XID,
    PG_FACT_AGE,
    PG_FACT_PREPARED_US,
    PG_FACT_HERE,
    PG_FACT_BARRIER,
    PG_FACT_REGISTERED,
    PG_FACT_SETTLED,
    PG_FACT_STATE, /* five columns */
};

/* The first columns of that, for all prepared transactions of the server. */
extern const char pg_look_prepared_sql[];

/* $1 xid of 64 bits. Fails with 22023 for one of the future. */
extern const char pg_look_status_sql[];

/* $1 xid of 32 bits of a prepared transaction of this database. A row for each table that it has
 * locked, or one without; the first four columns, the same in all, only in the first row. */
extern const char pg_look_reach_sql[];
enum {
    PG_REACH_BLOCKED,
    PG_REACH_BLOCKED_MORE,
    PG_REACH_VACUUM,
    PG_REACH_SLOTS,
    PG_REACH_RELATION,
    PG_REACH_MODE,
    PG_REACH_OID,       /* null: its rows are not to be counted */
    PG_REACH_LOCKS_MORE /* likewise only in the first row */
};

/* $1 the schema's version, or null; $2 connections for work. One row: the report, and the clock. */
extern const char pg_look_server_sql[];

#endif
