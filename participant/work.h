/* The work of one PREPARE: its calls checked, bound, and in the form that the database takes. */
#ifndef TROTH_PARTICIPANT_WORK_H
#define TROTH_PARTICIPANT_WORK_H

#include "core/error.h"
#include "core/id.h"
#include "core/ports.h"
#include "participant/operation.h"
#include "wire.pb-c.h"

struct work {
    struct db_work request; /* points into the rest */
    struct operation_binding *bindings;
    const struct operation **operations; /* of each call */
    struct db_statement *statements;
    struct db_call *calls; /* NULL: statements */
    uint64_t given_us;     /* to the database */
    int bound;             /* bindings that are filled */
    gid_text gid;
    barrier_key gtrid; /* of a step of a saga: the key of its row */
};

/* Why calls were refused: the fields of a Problem. */
struct work_refusal {
    const char *operation, *code;
    struct error error;
};

/* NULL with *refusal when a call names an unknown operation or has wrong arguments; its operation
 * points into the prepare. The mode is read-only when every operation is. */
struct work *work_new(const struct operation_set *set, const Wire__Prepare *prepare,
                      const char *gid, const char *gtrid, struct work_refusal *refusal);
/* Likewise of one call of a saga, which leaves the row of that key with its result. */
struct work *work_new_task(const struct operation_set *set, const Wire__Call *call, const char *key,
                           struct work_refusal *refusal);
/* Likewise of one call that leaves its transaction open. */
struct work *work_new_step(const struct operation_set *set, const Wire__Call *call,
                           const struct gid *id, const char *gid, struct work_refusal *refusal);
/* The end of what is open: DB_PREPARE or DB_ROLLBACK. */
struct work *work_new_end(enum db_mode mode, const struct gid *id, const char *gid);
void work_free(struct work *work); /* NULL is harmless */
/* What it returned does not fit a message. */
bool work_too_large(const struct work *work, const struct db_worked *worked);

#endif
