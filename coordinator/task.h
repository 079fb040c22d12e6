/* One try, and what tasks.c (calls) and groups.c (transactions) share. Nobody else includes it but
 * for struct tasks. */
#ifndef TROTH_COORDINATOR_TASK_H
#define TROTH_COORDINATOR_TASK_H

#include "coordinator/tasks.h"
#include "core/list.h"
#include "core/map.h"
#include "core/timers.h"

struct key;
struct waiter;

enum task_place {
    TASK_NOWHERE,     /* nothing but its time ends it */
    TASK_OWED,        /* a call: in its participant's queue */
    TASK_OUTSTANDING, /* a call: handed to the present session */
    TASK_HELD,        /* a transaction that can't begin yet: in tasks.held */
    TASK_JOINED,      /* a transaction: `waiter` waits for its outcome */
    TASK_ANSWERED,    /* in tasks.answered */
};

/* How it went, with texts of its own. */
struct task_answer {
    enum saga_outcome outcome;
    char *result; /* owned, or NULL */
    bool kept;
    struct saga_problem problem;
    char texts[];
};

struct task {
    struct saga_run *run;
    struct saga_instance instance;
    enum saga_how how;
    unsigned try;
    bool final;
    bool sent;  /* handed to some session */
    bool twice; /* to one that was lost, too: what a later one says is not all */
    uint8_t place;
    struct list in_run;   /* run->tasks */
    struct list waits;    /* where `place` says */
    struct map_node node; /* a call: in tasks.calls */
    struct timer timer;   /* its time is up */
    uint64_t begun_us, due_us;
    int64_t since_us, step_since_us;
    struct participant *participant; /* a call's; NULL: none more can be met */
    const struct saga_call *call;    /* of the plan; NULL: CANCEL */
    char **arguments;                /* owned */
    int argument_count;
    struct waiter *waiter;
    struct task_answer *answer;
    char label[];
};

struct tasks {
    struct map calls;      /* struct task, by saga and label */
    struct timers timers;  /* of struct task */
    struct list answered;  /* to be told in tasks_settle */
    struct list held;      /* transactions that wait for participants */
    struct list congested; /* struct participant, by tries_ready: sent to in tasks_settle */
    struct list mark;      /* in one of these lists, while what is there now is gone through */
};

void tries_init(struct tasks *tasks);
void tries_fini(struct tasks *tasks);

/* The answer is told in tasks_settle; result: owned by it from now on. */
void task_answer(struct server *server, struct task *task, enum saga_outcome outcome, char *result,
                 const struct saga_problem *problem);
/* It waits in no list, and for no time. */
void task_leave(struct server *server, struct task *task);
uint64_t task_left_us(const struct server *server, const struct task *task);

/* groups.c */
/* Finds its transaction, or begins it, or holds it until that may be possible. last: its time is
 * up. */
void group_try(struct server *server, struct task *task, bool last);
/* The participants have changed: those that are held may begin now. */
void groups_again(struct server *server);
void group_joined(struct server *server, struct task *task, struct waiter *waiter);
/* What a client would have been told. */
void group_told(struct server *server, struct task *task, const Wire__Outcome *outcome);
/* Before the vote of a branch counts: aborts the transaction of a step whose results could not be
 * handed on. */
void group_check_results(struct server *server, struct tx *tx, const Wire__Vote *vote);

#endif
