/* A connection that a service has of its own to a participant's database, past its agent: it works
 * there in one local transaction and prepares that under a name that it was given. It dies with its
 * process, and breaks as any other. */
#ifndef TROTH_TESTS_SIM_OWN_CONNECTION_H
#define TROTH_TESTS_SIM_OWN_CONNECTION_H

#include "tests/sim/database.h"
#include "wire.pb-c.h"

struct own_connection {
    struct own_connection *next; /* of the database */
    struct backend backend;
    uint64_t boot; /* of its process */
    gid_text gid;
    uint64_t xid;   /* of what was worked; 0: it has written nothing */
    bool begun;     /* a local transaction was */
    bool misplaced; /* its branch is another participant's */
    void (*told)(struct own_connection *own, enum db_outcome outcome, const char *reason);
    void *user;
};

/* told is called in a turn of the node, once for each of the following. */
struct own_connection *own_connection_new(struct database *database, struct node *node,
                                          const char *gid);
void own_connections_free(struct database *database);

/* False: it was refused, and nothing is told. timeout_us: then the server gives up an idle one. */
bool own_connection_work(struct own_connection *own, Wire__Call *call, uint64_t timeout_us);
/* DB_COMMITTED: nothing was written. */
void own_connection_prepare(struct own_connection *own);
/* ---- these tell nothing ---- */
void own_connection_rollback(struct own_connection *own);
/* ROLLBACK PREPARED. */
void own_connection_undo(struct own_connection *own);

/* The process is gone. What it was about to prepare may be prepared all the same. */
void own_connections_gone(const struct node *node);

/* ---- for the model ---- */

void own_connection_worked(struct local *local, enum db_outcome outcome, const char *reason);

#endif
