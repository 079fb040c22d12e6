/* Heuristic outcomes: what operators forced, of this coordinator's transactions and of others', and
 * whether it agrees with what is known otherwise. Each is in the journal until it is forgotten.
 *
 * H1  what is ordered here is durable before any participant is told;
 * H2  a transaction is `mixed` as soon as two of these are known and differ: an outcome forced at a
 *     participant, the decision, a branch that was found otherwise;
 * H3  it leaves the list by Forgotten alone. */
#ifndef TROTH_COORDINATOR_HEURISTICS_H
#define TROTH_COORDINATOR_HEURISTICS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "journal.pb-c.h"
#include "wire.pb-c.h"

struct server;
struct guest;
struct participant;

/* All that was forced in one transaction. */
struct heuristic {
    struct map_node node; /* heuristics.map, by gtrid */
    struct list all;      /* heuristics.all, oldest first */
    gtrid_text gtrid;
    struct gid id;
    bool ordered, commit; /* ordered here for all that are in doubt: so */
    uint64_t position;    /* of the order's record */
    struct list parts;    /* struct heuristic_part: the order, and one a participant that told */
};

struct heuristic_part {
    struct list of;                  /* heuristic.parts */
    struct participant *participant; /* NULL: the order */
    uint32_t branch;
    bool commit;
    int64_t at_us;
    char *reason, *by;
    char *found; /* "": it ended so, or is about to */
};

struct heuristics {
    struct map map;
    struct list all;
    size_t count, parts;
    struct list orders; /* struct tx_order: they wait for their record */
};

void server_heuristics_init(struct server *server);
void server_heuristics_fini(struct server *server);
struct heuristic *heuristics_find(const struct server *server, const char *gtrid);
/* One more may be ordered. */
bool heuristics_room(const struct server *server);
/* H2, with the decision that is known now: "commit", "abort", "mixed". */
const char *heuristic_outcome(const struct server *server, const struct heuristic *heuristic);
/* No decision is known with which it could be compared. */
bool heuristic_unproved(const struct server *server, const struct heuristic *heuristic);
size_t heuristics_mixed(const struct server *server);
/* Texts live as long as the part. */
void heuristic_view(const struct heuristic *heuristic, const struct heuristic_part *part,
                    Wire__Heuristic *out);

/* An outcome for all branches in doubt: listed, and recorded. Nobody may be told before the
 * position that it returns is durable. */
uint64_t heuristics_order(struct server *server, const struct gid *id, const Wire__TxOrder *order);
/* Off the list, with the hazards of this transaction. Returns the record's position. */
uint64_t heuristics_forget(struct server *server, const struct gid *id, const Wire__TxOrder *order);

/* tx_orders.c: RESOLVE and FORGET of a client. */
void server_tx_order(struct server *server, struct guest *guest, const Wire__TxOrder *order);
void tx_orders_durable(struct server *server);
void tx_orders_fini(struct server *server);
/* A participant tells what was forced at it. */
void heuristics_told(struct server *server, struct guest *guest, const Wire__Heuristics *told);
/* A participant asks about a branch that would be held: what was ordered is relayed to it instead.
 * False: nothing was. */
bool heuristics_relay(struct server *server, struct guest *guest, const Wire__Branch *branch);

/* records and replay */
void heuristics_checkpoint(struct server *server);
bool heuristics_replayed(struct server *server, const Journal__Heuristic *record,
                         struct error *error);
bool heuristics_forgotten(struct server *server, const Journal__Forgotten *record,
                          struct error *error);

#endif
