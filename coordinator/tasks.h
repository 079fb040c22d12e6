/* Tries of saga steps that are calls or transactions: asks participants, submits transactions, and
 * tells the saga how each try went. What a saga is, it does not know.
 *
 * A try of a call waits in its participant's queue until there is a session and room
 * (LIMIT_EXECUTING), is sent again in each new session, and is answered when the participant has
 * answered or its time is up: NOT_DONE when it was never handed to a session, else UNSURE. A try of
 * a transaction is a submit with a key of its own, which no client can name: so another try, and
 * another run of the coordinator, finds the same transaction again, decided or not. */
#ifndef TROTH_COORDINATOR_TASKS_H
#define TROTH_COORDINATOR_TASKS_H

#include "coordinator/participants.h"
#include "saga/engine.h"

struct server;
struct saga_run;
struct guest;

/* A SAGA_ACT_TRY of a CALL or a TRANSACTION; its arguments are taken over. It is answered once,
 * with sagas_answered, and never from within this call. At most one of (run, instance) is there. */
void task_start(struct server *server, struct saga_run *run, struct saga_action *action);
/* SAGA_ACT_FORGET. */
void task_forget(struct server *server, struct saga_run *run, const struct saga_instance *instance);
/* The saga is over, or this process is: nothing of it is answered any more. */
void tasks_drop(struct server *server, struct saga_run *run);
/* Forgets what was kept for steps of sagas that are not there any more: their keys come back with
 * the journal. For server_start, and each look through the keys. */
void tasks_forget_orphans(struct server *server,
                          bool (*lives)(const struct server *server, struct txid saga));

/* From the server. */
void tasks_participant_up(struct server *server, struct participant *participant);
void tasks_participant_down(struct server *server, struct participant *participant);
void server_executed(struct server *server, struct guest *guest, const Wire__Executed *executed);
/* Due times, and answers that were kept back. Returns when to call again at the latest. */
uint64_t tasks_settle(struct server *server);
/* The gtrid of the transaction that a try under way has submitted, or {0, 0}. For views. */
struct txid task_transaction(struct server *server, const struct saga_run *run,
                             const struct saga_instance *instance);

#endif
