/* What operators order: RESOLVE and FORGET, relayed by a coordinator that has looked at the
 * evidence, or at the door while the coordinator is gone.
 *
 * Each order asks the database first what is true, and is judged by that and by what this process
 * knows. An order never makes a decision: what is decided, or will be by itself, is refused or left
 * to be carried out. What is forced is recorded before it is done (participant/heuristic.h). */
#ifndef TROTH_PARTICIPANT_ORDER_H
#define TROTH_PARTICIPANT_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/id.h"
#include "core/limits.h"
#include "core/list.h"
#include "core/ports.h"
#include "participant/heuristic.h"
#include "wire.pb-c.h"

struct agent;
struct entry;
struct guest;
struct link;

/* What a piece of work, a lookup or a look is for: the first member of what the database's answer
 * brings back. */
enum tag_kind { TAG_BRANCH, TAG_TASK, TAG_ORDER, TAG_INQUIRY };

/* What an operator orders, from its message until it is answered. */
struct order {
    enum tag_kind kind;
    struct list all; /* agent->orders, oldest first */
    enum order_stage {
        ORDER_LOOKING,    /* the database is asked what is true */
        ORDER_STORING,    /* the row is with the database */
        ORDER_RELOADING,  /* whether it was stored is not known: the rows are loaded */
        ORDER_ENDING,     /* of `row`: until the branch has ended */
        ORDER_FORGETTING, /* that is with the database */
    } stage;
    uint64_t session, request;
    bool forget, commit, dry_run, relayed;
    bool changed;  /* RELOADING: there was a row of this gid */
    struct gid id; /* branch: -1 when a gtrid was named */
    gtrid_text gtrid;
    char from[LIMIT_NAME_BYTES + 16];       /* for the audit log: "c1 (coordinator)" */
    char coordinator[LIMIT_NAME_BYTES + 1]; /* of its session; "": it came in at the door */
    char reason[LIMIT_REASON_BYTES + 1], by[LIMIT_BY_BYTES + 1];
    char before[160];      /* for the audit log: the state then */
    struct heuristic *row; /* NULL: none yet */
};

/* What is answered beside the deed and its sentence. */
struct particulars {
    const char *step; /* what is done at this participant; NULL: nothing */
    char *unknowns[3];
    size_t unknown_count;
    Wire__Testimony *testimony;
};

enum { ORDER_TEXT_BYTES = HEURISTIC_TEXT_BYTES + LIMIT_GID_BYTES + 160 };

/* ---- orders.c */
void orders_free(struct agent *agent);
/* Nothing of an order is with the database. */
bool orders_idle(const struct agent *agent);
/* link: a coordinator's, or NULL for a guest at the door. */
void order_take(struct agent *agent, const struct link *link, const struct guest *guest,
                const Wire__TxOrder *wire);
void order_stored(void *agent, void *tag, enum db_stored stored);
/* The rows were loaded, or could not be. */
void orders_reloaded(struct agent *agent, bool ok);
/* proved false: nobody can tell how it ended. */
void orders_ended(struct agent *agent, const struct heuristic *row, bool proved);
void orders_row_gone(struct agent *agent, const struct heuristic *row);
/* In the audit log, unless it is only asked what would be done. */
void order_audit(const struct agent *agent, const struct order *order, const char *stage,
                 const char *after);
/* Answers; the order is gone afterwards. */
void order_refuse(struct agent *agent, struct order *order, const char *code, const char *hint,
                  const char *format, ...) __attribute__((format(printf, 5, 6)));
void order_conclude(struct agent *agent, struct order *order, Wire__Deed deed, const char *message,
                    const struct particulars *particulars);
void order_conclude_plainly(struct agent *agent, struct order *order, Wire__Deed deed,
                            const char *format, ...) __attribute__((format(printf, 4, 5)));
/* COMMIT PREPARED or ROLLBACK PREPARED */
const char *order_statement(bool commit);
/* Records it, and then does it. */
void order_force(struct agent *agent, struct order *order, struct entry *entry);
/* What was recorded is being done, or has been. */
void order_await(struct agent *agent, struct order *order, struct heuristic *row);

/* ---- judge.c */
void judge_resolve(struct agent *agent, struct order *order, const struct db_inspected *looked);
void judge_forget(struct agent *agent, struct order *order);
/* The branch that is meant: not another participant's in the same database. NULL: there is none.
 * `more`: there are two, as such two share a database and nothing tells whose is which. */
struct entry *judge_pick(const struct agent *agent, const struct gid *id, bool *more);

#endif
