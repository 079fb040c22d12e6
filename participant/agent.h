/* The participant's runner: carries out the actions of the branch machine over the ports. One
 * thread; the host calls in, and nothing here blocks. It keeps nothing durable of its own: what the
 * database holds as prepared is the truth, and the coordinator's journal holds the decisions. */
#ifndef TROTH_PARTICIPANT_AGENT_H
#define TROTH_PARTICIPANT_AGENT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/metrics.h"
#include "core/ports.h"
#include "participant/operation.h"

struct agent;

struct agent_config {
    const char *cluster;
    const char *participant;
    const struct operation_set *operations; /* borrowed: outlives the agent */
    int connections;                        /* work that may run at once: 16 */
    uint64_t heartbeat_us;                  /* 500 ms */
    uint64_t sweep_us;                      /* how often prepared gids are listed: 60 s */
    uint64_t barrier_keep_us;               /* age at which barrier and register rows go: 7 days */
    const char *listen;   /* where other participants reach this one; NULL: no three-phase commit */
    uint64_t patience_us; /* without its coordinator before a branch in doubt acts: 1 s */
    const struct audit_port *audit; /* what operators order; NULL: nowhere */
};

/* links: one a coordinator, in the order of the configuration. door: the acceptor's link at
 * config->listen, for other participants and for those who look; NULL without one. dial: NULL
 * without `listen`. Strings, ports and links are copied. free may be called at any moment (a crash
 * in the simulator) and uses no port. */
struct agent *agent_new(const struct agent_config *config, const struct host_port *host,
                        const struct db_port *database, const struct link_port *links,
                        int link_count, const struct link_port *door, const struct dial_port *dial);
void agent_free(struct agent *agent);
/* The handler that the database port calls. Valid as long as the agent. */
const struct db_events *agent_db_events(struct agent *agent);

void agent_frame(struct agent *agent, int link, const void *frame, size_t size);
void agent_broken(struct agent *agent, int link); /* the link noticed a broken connection */
void agent_door_frame(struct agent *agent, uint64_t route, const void *frame, size_t size);
/* Can others come in at the door? So it is at first. While they can't, config->listen is told to
 * nobody: a transaction of three phases that counts on it would have a site that can't be asked. */
void agent_door_listens(struct agent *agent, bool listens);
void agent_line_frame(struct agent *agent, int line, const void *frame, size_t size);
void agent_line_broken(struct agent *agent, int line);
uint64_t agent_settle(struct agent *agent); /* as server_settle */

/* Votes no to new work, lets what is running finish. In-doubt branches stay with the database. */
void agent_drain(struct agent *agent);
bool agent_drained(const struct agent *agent);
/* Ends the sessions: the coordinators are told, and need not wait for missing beats. */
void agent_leave(struct agent *agent);
/* The database is up and some coordinator is connected. */
bool agent_ready(const struct agent *agent);
/* There is a session with that coordinator. */
bool agent_in_session(const struct agent *agent, const char *coordinator);
/* Why no new work is taken now; NULL: it is. */
const char *agent_unready(const struct agent *agent);
/* All of docs/metrics.md that a participant has, but for what its process has. */
void agent_metrics(const struct agent *agent, struct metrics_sink *sink);
/* Another process took over this participant's name: this one must end. */
bool agent_replaced(const struct agent *agent);

#endif
