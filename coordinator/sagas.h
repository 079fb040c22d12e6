/* The sagas of this coordinator: carries out the actions of saga/engine over the journal, the tasks
 * and each other (a saga that is a step of another), and answers the clients that start and order
 * them. Part of the server: sagas.c (life), saga_children.c (sagas that are steps), saga_clients.c
 * and saga_orders.c (who starts, waits and orders), saga_records.c and saga_replay.c (the journal),
 * saga_views.c (queries). */
#ifndef TROTH_COORDINATOR_SAGAS_H
#define TROTH_COORDINATOR_SAGAS_H

#include "coordinator/definitions.h"
#include "coordinator/saga_keys.h"
#include "core/id.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"
#include "journal.pb-c.h"
#include "saga/engine.h"
#include "wire.pb-c.h"

struct server;
struct guest;
struct draft;

/* One saga. With its machine and all texts under 1 KiB while it waits. */
struct saga_run {
    struct saga *machine;
    struct txid id;
    struct definition *definition;
    struct map_node node;
    struct list all;          /* in the order of their beginning; over: of their end */
    struct list tasks;        /* of tasks.c */
    struct list children;     /* sagas that are steps of this one; struct saga_run, by `sibling` */
    struct list sibling;      /* of a saga that is no step: in sagas.over */
    struct saga_run *parent;  /* or NULL */
    struct saga_child *child; /* NULL: it is no other's step */
    struct timer timer;       /* saga_wake_us */
    struct saga_extra *extra; /* what few have at one moment; or NULL */
    char *old_key;            /* in the history; or NULL */
    bool recovered;           /* from the journal */
    bool resumed;             /* it runs: its beginning is durable */
    bool ended; /* SAGA_ACT_END was carried out, and it was not taken up again since */
    bool counted_operator;
    uint8_t counted_state;
};

struct saga_extra {
    struct saga_key *key; /* the client's, or NULL */
    uint64_t position;    /* of the last record that must be durable before anything else leaves */
    struct list held;     /* struct saga_held: what waits for that */
    struct list waiters;  /* struct saga_waiter */
    int waiter_count;
};

/* What a saga has that is a step of another. */
struct saga_child {
    struct saga_run *run;
    struct map_node node; /* by parent and instance */
    struct txid parent;
    struct saga_instance instance;
    /* The parent's try that waits for it. */
    bool waits;
    enum saga_how how;
    unsigned try;
    struct timer timer;   /* its time, of a DO */
    bool late;            /* that is up: it is compensated for that */
    bool told;            /* its end was told; a new DO begins it anew when it was compensated */
    bool undo_when_begun; /* it is to be compensated as soon as it runs */
};

enum saga_held_type {
    HELD_BEGINNING,
    HELD_ACTION,
    HELD_ANSWER,  /* to an order */
    HELD_FAILURE, /* those of its steps that are sagas, and run, are to be undone */
};

/* Waits until a position of the journal is durable. */
struct saga_held {
    struct list all; /* of all sagas, in their order */
    struct list in_run;
    struct saga_run *run;
    uint64_t position;
    enum saga_held_type type;
    struct saga_action action;  /* owned */
    struct saga_waiter *waiter; /* ANSWER: or NULL, when it is gone */
};

enum saga_wait_type { WAITS_FOR_BEGINNING, WAITS_FOR_END, WAITS_FOR_ORDER };

struct saga_waiter {
    struct list in_run, in_guest;
    struct saga_run *run;
    struct guest *guest;
    uint64_t request;
    enum saga_wait_type type;
    bool repeated_key;
    struct timer timer;     /* of the client's patience */
    struct saga_held *held; /* ORDER: its answer; or NULL */
};

/* Of the server. Zeros, then sagas_init. */
struct sagas {
    struct definitions definitions;
    struct map map;      /* of all that are not over, by id */
    struct list all;     /* the same */
    struct map children; /* by parent and instance, those in the history too */
    struct list held;
    struct list replies;  /* of saga_children.c: tries of parents that are to be answered */
    struct list over;     /* they are told, and leave at the end of this turn */
    struct timers wakes;  /* of runs */
    struct timers waits;  /* of waiters */
    struct timers limits; /* of children */
    struct saga_keys keys;
    struct map ended; /* the last ones, with those that were their steps */
    struct list history;
    size_t history_bytes;
    struct saga_actions spare; /* empty, with room */
    size_t running, compensating, need_operator;
    uint64_t completed, compensated; /* in this run of the coordinator */
    uint64_t looked_us;              /* when the two clocks were compared last */
    int64_t looked_wall_us;
};

/* ---- sagas.c ---- */

void sagas_init(struct server *server);
void sagas_fini(struct server *server);
struct saga_run *sagas_find(const struct server *server, struct txid id);
struct saga_run *sagas_find_ended(const struct server *server, struct txid id);

/* A new one, which runs when its beginning is durable. key, parent and instance: or NULL. */
struct saga_begin_how {
    struct definition *definition;
    const char *input; /* complete */
    struct saga_key *key;
    struct saga_run *parent;
    const struct saga_instance *instance;
};
struct saga_run *sagas_begin(struct server *server, const struct saga_begin_how *how);
/* The same without any record, for the replay. */
struct saga_run *sagas_make(struct server *server, const struct saga_begin_how *how, struct txid id,
                            int64_t begun_us);
/* Takes the machine through an event, and carries its actions out. False: it refused. */
bool sagas_advance(struct server *server, struct saga_run *run, struct saga_event *event,
                   struct error *error);
/* From tasks: a try has gone so. */
void sagas_answered(struct server *server, struct saga_run *run, const struct saga_event *event);
/* What must be durable already is not, for this saga. */
bool sagas_holds(const struct server *server, const struct saga_run *run);
struct saga_held *sagas_hold(struct server *server, struct saga_run *run, enum saga_held_type type);
struct saga_extra *sagas_extra(struct saga_run *run);
/* A saga that is no step is over: its key is kept, it goes into the history with all its steps. */
void sagas_leave(struct server *server, struct saga_run *run);
/* What is kept of its end with a key; the texts are the machine's. */
void sagas_describe_end(const struct saga_run *run, struct saga_kept *out);
/* A step's saga is forgotten, with its own. */
void sagas_drop(struct server *server, struct saga_run *run);

/* From the server. */
void sagas_started(struct server *server); /* Started is durable: what was replayed goes on */
void sagas_durable(struct server *server);
void sagas_guest_gone(struct server *server, struct guest *guest);
void sagas_keep_house(struct server *server);
/* Due times, and answers that were kept back. */
void sagas_settle(struct server *server);
/* When to settle again at the latest. */
uint64_t sagas_next(const struct server *server);

/* ---- saga_children.c ---- */

/* A SAGA_ACT_TRY of a SAGA. */
void sagas_try_child(struct server *server, struct saga_run *parent, struct saga_action *action);
void sagas_child_begun(struct server *server, struct saga_run *run);
void sagas_child_ended(struct server *server, struct saga_run *run);
/* It has failed, durably. */
void sagas_undo_children(struct server *server, struct saga_run *run);
struct saga_run *sagas_find_child(const struct server *server, struct txid parent,
                                  const struct saga_instance *instance);
void sagas_list_child(struct server *server, struct saga_run *run, struct saga_run *parent,
                      const struct saga_instance *instance);
/* Tells parents what their tries came to. */
void sagas_send_replies(struct server *server);
void sagas_drop_replies(struct server *server);
void sagas_pass_limits(struct server *server, uint64_t now_us);

/* ---- saga_clients.c ---- */

void server_start_saga(struct server *server, struct guest *guest, const Wire__StartSaga *start);
void server_await_saga(struct server *server, struct guest *guest, const Wire__AwaitSaga *await);
void sagas_answer_beginning(struct server *server, struct saga_run *run);
void sagas_answer_end(struct server *server, struct saga_run *run);
void sagas_pass_waits(struct server *server, uint64_t now_us);
/* The process ends: who waits for an end hears that it goes on. */
void sagas_send_home(struct server *server);
struct saga_waiter *sagas_wait(struct server *server, struct saga_run *run, struct guest *guest,
                               uint64_t request, enum saga_wait_type type);
void sagas_stop_waiting(struct server *server, struct saga_waiter *waiter);

/* ---- saga_orders.c ---- */

void server_order_saga(struct server *server, struct guest *guest, const Wire__SagaOrder *order);
void sagas_answer_order(struct server *server, struct saga_waiter *waiter);

/* ---- saga_records.c ---- */

/* Each returns the position. */
uint64_t sagas_append_began(struct server *server, struct saga_run *run);
uint64_t sagas_append_event(struct server *server, const struct saga_run *run,
                            const struct saga_record *record);
void sagas_checkpoint(struct server *server);

/* ---- saga_replay.c ---- */

bool sagas_replay_definition(struct server *server, const Journal__SagaDefinition *record,
                             struct error *error);
bool sagas_replay_began(struct server *server, const Journal__SagaBegan *record,
                        struct error *error);
bool sagas_replay_event(struct server *server, const Journal__SagaEvent *record,
                        struct error *error);
bool sagas_replay_kept(struct server *server, const Journal__SagaKept *record, struct error *error);

/* ---- saga_views.c ---- */

void sagas_view_list(struct draft *draft, const Wire__Query *query);
void sagas_view_one(struct draft *draft, const Wire__Query *query);
void sagas_view_offers(struct draft *draft, const Wire__Query *query);
void sagas_view_coordinator(struct draft *draft, Wire__CoordinatorView *view);

#endif
