/* A process that answers requests and is a participant: what payment-service and inventory-service
 * have in common. */
#ifndef SERVICE_H
#define SERVICE_H

#include "database.h"
#include "exchange.h"

struct service {
    const char *name;
    const struct troth_operation *operations; /* of the participant */
    size_t operation_count;
    exchange_answer *answer; /* its `self` is a struct service_worker */
};

/* What a thread that answers has: all of them one client, each a connection of its own. */
struct service_worker {
    struct troth *troth;
    struct database database;
};

/* Runs until SIGTERM or SIGINT. The status for main. */
int service_main(const struct service *service, int argc, char **argv);

/* What a handler returns when it is done, and when not. The result is of troth_json, and is freed;
 * the problem is cleared. */
bool service_return(struct troth_request *request, char *result);
bool service_refuse(struct troth_request *request, struct problem *problem);

#endif
