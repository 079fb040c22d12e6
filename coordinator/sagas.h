/* The sagas of this coordinator: carries out the actions of saga/engine over the journal, the tasks
 * and each other (a saga that is a step of another), and answers the clients that start and order
 * them. Part of the server. */
#ifndef TROTH_COORDINATOR_SAGAS_H
#define TROTH_COORDINATOR_SAGAS_H

#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"
#include "saga/engine.h"
#include "wire.pb-c.h"

struct server;
struct definition;

/* One saga. With its machine and all texts under 1 KiB while it waits. */
struct saga_run {
    struct saga *machine;
    struct txid id;
    struct definition *definition;
    struct map_node node;
    struct list all;
    struct list tasks;    /* of tasks.c */
    struct list children; /* sagas that are steps of this one; struct saga_run, by `sibling` */
    struct list sibling;
    struct saga_run *parent;  /* or NULL */
    struct timer timer;       /* saga_wake_us */
    struct saga_extra *extra; /* what few have at one moment: key, waiters, held actions; or NULL */
};

/* From tasks: a try has gone so. May free the run. */
void sagas_answered(struct server *server, struct saga_run *run, const struct saga_event *event);

#endif
