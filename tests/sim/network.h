/* The links: connections from connectors (agents, clients) to acceptors (coordinators, and the
 * doors of agents). A link is there as long as its process; a line is dialled by an agent to the
 * address of another and hung up again. A connection loses, doubles, reorders and delays frames,
 * breaks with or without notice, and may stay wedged until its connector dials again. Between any
 * two nodes it may be cut, in one or both directions, for all connections that they have or make.
 */
#ifndef TROTH_TESTS_SIM_NETWORK_H
#define TROTH_TESTS_SIM_NETWORK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ports.h"
#include "tests/sim/node.h"

/* How frames reach a runner. */
struct network_events {
    void (*accepted)(struct node *acceptor, uint64_t route, const void *frame, size_t size);
    void (*connected)(struct node *connector, int link, const void *frame, size_t size);
    void (*broken)(struct node *connector, int link);
    void (*line_connected)(struct node *connector, int line, const void *frame, size_t size);
    void (*line_broken)(struct node *connector, int line);
};

struct network *network_new(struct world *world, const struct network_events *events);
void network_free(struct network *network);

/* The link of a coordinator or of an agent's door, and the one of a connector to a coordinator
 * (made by this process). */
struct link_port network_acceptor(struct network *network, struct node *node);
struct link_port network_connector(struct network *network, struct node *node, int link,
                                   struct node *acceptor);
/* The lines of an agent. */
struct dial_port network_dial(struct network *network, struct node *node);
/* Where participant `index` is dialled: whichever process of it listens. */
void network_address(int index, char *text, size_t size);

/* The process is gone: what it was connected to notices sooner or later. */
void network_gone(struct network *network, struct node *node);

/* Cuts what goes from one node to another. Cuts add up: as many joins end them. */
void network_cut(struct network *network, const struct node *from, const struct node *to);
void network_join(struct network *network, const struct node *from, const struct node *to);
void network_join_all(struct network *network);
/* One of its connections breaks, as by a reset; wedged: nothing passes until it is dialled again.
 */
void network_break(struct network *network, struct node *connector, bool wedged);

#endif
