/* What clients want of sagas, and what they are told: they start them, with keys and without, start
 * them again, send signals, and order like an operator. And the folders of definitions that the
 * coordinators read. All their chance comes from a stream of its own, so that a world without sagas
 * is the same as ever. */
#ifndef TROTH_TESTS_SIM_SAGA_CLIENTS_H
#define TROTH_TESTS_SIM_SAGA_CLIENTS_H

#include "tests/sim/saga_book.h"
#include "wire.pb-c.h"

/* Requests from here on are queries and orders about sagas. */
#define SAGA_REQUESTS (UINT64_C(1) << 40)

struct saga_clients;

/* workload: of the world; ANY: the seed says. `possible` false: there are no sagas. */
struct saga_clients *saga_clients_new(struct world *world, bool possible);
void saga_clients_free(struct saga_clients *clients);

/* ---- from a client's process ---- */

/* A turn of its own will. False: nothing about sagas is wanted now. */
bool saga_clients_act(struct node *node);
void saga_clients_outcome(struct node *node, const Wire__SagaOutcome *outcome);
void saga_clients_answer(struct node *node, const Wire__Answer *answer);
/* What its session has asked for is not answered any more. */
void saga_clients_lose(struct node *node);

/* ---- from a coordinator's ---- */

/* It reads its folder. */
void saga_clients_define(struct node *node);

/* ---- from the run ---- */

/* Folders change from now on, and processes die where sagas are at work. */
void saga_clients_begin(struct world *world);
/* All definitions are there again. */
void saga_clients_heal(struct world *world);
/* Each client starts a saga that must end. */
void saga_clients_probe(struct world *world);
/* No saga begins in this world. */
bool saga_clients_none(const struct world *world);
bool saga_clients_answered(const struct world *world);
void saga_clients_check(struct world *world);

struct saga_count {
    int begun, completed, compensated, marks, undone, told, rejected;
};
struct saga_count saga_clients_count(const struct world *world);

#endif
