/* One order of an operator about a transaction, and what tx_orders.c (who may order what, answers,
 * the audit log), tx_resolve.c and tx_forget.c share. Nobody else includes it. */
#ifndef TROTH_COORDINATOR_TX_ORDER_H
#define TROTH_COORDINATOR_TX_ORDER_H

#include "coordinator/inquiries.h"
#include "coordinator/parts.h"
#include "coordinator/resolution.h"

/* Of a resolution: as many as a person reads, and together they fit a message. */
enum { TX_ORDER_LINES = 50, TX_ORDER_LINE_BYTES = 300 };

struct lines {
    char *text[TX_ORDER_LINES + 1];
    size_t count, left_out;
};

/* In memory only: until its record is durable it did not happen, and afterwards what it says is
 * carried out whoever waits for it. */
struct tx_order {
    struct caller caller;
    struct list waiting; /* heuristics.orders */
    uint64_t position;   /* of its record */
    Wire__TxOrderKind kind;
    struct gid id;
    gtrid_text gtrid;
    bool commit, dry_run;
    char *reason, *by;
    char participant[LIMIT_NAME_BYTES + 1]; /* or "" */
    char session[LIMIT_NAME_BYTES + 16];
    char *before; /* for the audit log */

    /* What the databases said, by the participants that were asked. */
    size_t count;
    struct participant **asked;
    Wire__Testimony **testimonies;
    struct lines steps, unknowns;
};

void tx_order_free(struct tx_order *order);
void lines_add(struct lines *lines, const char *format, ...) __attribute__((format(printf, 2, 3)));
const char *tx_order_word(const struct tx_order *order); /* "COMMIT", "ABORT" */
void tx_order_wire(const struct tx_order *order, Wire__TxOrder *out);
/* Of the participant that was asked as number `index`: it holds a branch in doubt. */
bool tx_order_prepared(const struct tx_order *order, size_t index);
void tx_order_audit(struct server *server, const struct tx_order *order, const char *stage,
                    const char *after);
/* Relays it to these, in their present sessions; `done` gets what they say. */
void tx_order_relay(struct server *server, struct tx_order *order, struct participant *const *whom,
                    size_t count, inquiry_done *done);
/* It waits for its record: then tx_resolve_recorded, or its answer. */
void tx_order_await(struct server *server, struct tx_order *order, uint64_t position);

/* Both answer the client, if it is there, and free the order. `done` stands in the audit log unless
 * it was a dry run; refusals do. */
void tx_order_done(struct server *server, struct tx_order *order, Wire__Deed deed,
                   const char *format, ...) __attribute__((format(printf, 4, 5)));
void tx_order_refuse(struct server *server, struct tx_order *order, const char *code,
                     const struct error *why);

/* tx_resolve.c, tx_forget.c: everybody was asked. */
void tx_resolve(struct server *server, struct tx_order *order);
void tx_resolve_recorded(struct server *server, struct tx_order *order);
void tx_forget(struct server *server, struct tx_order *order);
void tx_forget_recorded(struct server *server, struct tx_order *order);

#endif
