/* The links: one connection from each connector to each coordinator. It loses, doubles, reorders
 * and delays frames, is cut in one or both directions, breaks with or without notice, and may stay
 * wedged until its connector dials again. */
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
};

struct network *network_new(struct world *world, const struct network_events *events);
void network_free(struct network *network);

/* The link of a coordinator, and the one of a connector to a coordinator (made by this process). */
struct link_port network_acceptor(struct network *network, struct node *node);
struct link_port network_connector(struct network *network, struct node *node, int link,
                                   struct node *acceptor);

/* The process is gone: what it was connected to notices sooner or later. */
void network_gone(struct network *network, struct node *node);

/* Cuts what goes up (to the coordinator) and down between two nodes; both false joins them. */
void network_cut(struct network *network, struct node *connector, int link, bool up, bool down);
void network_join_all(struct network *network);
/* The connection breaks, as by a reset; wedged: nothing passes until it is dialled again. */
void network_break(struct network *network, struct node *connector, int link, bool wedged);

#endif
