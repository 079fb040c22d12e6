/* The coordinator's runner: carries out the actions of the transaction machine over the ports,
 * journal first, then send. One thread; the host calls in, and nothing here blocks.
 *
 * A host: server_new; server_replay for each record that the journal holds, in order; server_start;
 * then from its loop server_frame and server_durable as they come, and server_settle at the end of
 * each turn. */
#ifndef TROTH_COORDINATOR_SERVER_H
#define TROTH_COORDINATOR_SERVER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/metrics.h"
#include "core/ports.h"

struct server;
struct saga_plan;

/* How the text of a saga's definition becomes a plan (saga/definition.h): the host's, because it
 * takes a YAML library. load: NULL with an error that lists every mistake. */
struct saga_loader {
    void *self;
    struct saga_plan *(*load)(void *self, const char *file, const char *text, size_t size,
                              struct error *error);
    void (*free)(void *self, struct saga_plan *plan);
};

struct server_config {
    const char *cluster;
    const char *coordinator;
    uint64_t transaction_timeout_us; /* for a submit that names none: 30 s */
    uint64_t heartbeat_us;           /* 500 ms */
    uint64_t retain_us;              /* how long ended commits and keys are kept: 7 days */
    struct saga_loader loader;       /* zeros: there are no sagas */
    const struct audit_port *audit;  /* what operators order; NULL: nowhere */
    const struct alert_port *alerts; /* what is parked for an operator; NULL: nobody hears */
};

/* What only the host can know, for Query COORDINATOR and METRICS. */
struct server_host_facts {
    uint64_t journal_bytes, journal_segments, journal_free_bytes;
    struct journal_counters journal;
    struct histogram turns; /* of the loop */
};

/* Strings and ports are copied. new/free: the heap; free may be called at any moment (a crash in
 * the simulator) and uses no port. */
struct server *server_new(const struct server_config *config, const struct host_port *host,
                          const struct link_port *link);
void server_free(struct server *server);

/* One record of an earlier run. False: the record makes no sense here (another cluster's journal,
 * unknown type); the host must not start. */
bool server_replay(struct server *server, const void *record, size_t size, struct error *error);
/* Appends Started with a new epoch; the coordinator takes part when that is durable. The journal is
 * needed from here on only: it was being read before. */
void server_start(struct server *server, const struct journal_port *journal);

/* All definitions that new sagas may begin with, now and each time when one of them changed; after
 * the replay. One with mistakes is logged with all of them, and what was known under its name
 * stays; one that is not among them any more begins no saga. Sagas that run go on with what they
 * began with. Returns how many were refused. Texts live for the call only. */
struct server_definition {
    const char *file, *text;
    size_t size;
};
int server_define(struct server *server, const struct server_definition *definitions, int count);

void server_frame(struct server *server, uint64_t route, const void *frame, size_t size);
/* All records up to this position are durable. */
void server_durable(struct server *server, uint64_t position);
/* Runs due timers and sends what is queued. Returns when to call again at the latest (monotonic
 * us; UINT64_MAX: only after an event). */
uint64_t server_settle(struct server *server);
void server_facts(struct server *server, const struct server_host_facts *facts);

/* Takes no new transactions, lets the undecided be decided and answered. */
void server_drain(struct server *server);
/* True once nothing is undecided or unanswered, and Stopped is durable. */
bool server_drained(const struct server *server);

/* For the host's logs and the tests. */
bool server_ready(const struct server *server); /* Started is durable */
/* Why no transaction is taken now; NULL: they are. */
const char *server_unready(const struct server *server);
/* All of docs/metrics.md that a coordinator has, but for what its process has. */
void server_metrics(const struct server *server, struct metrics_sink *sink);
uint64_t server_epoch(const struct server *server);
size_t server_undecided(const struct server *server);
size_t server_open(const struct server *server); /* built step by step, and not ended */
size_t server_unapplied(const struct server *server);

#endif
