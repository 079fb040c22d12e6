/* What the two files of the machine of a branch share: branch.c (until its vote, and time), and
 * branch_decision.c (its end). */
#ifndef TROTH_PARTICIPANT_BRANCH_PRIVATE_H
#define TROTH_PARTICIPANT_BRANCH_PRIVATE_H

#include "participant/branch.h"

/* ---- branch.c */
/* Only along an edge of the diagram. */
void branch_move(struct branch *branch, enum branch_state to);
struct branch_action *branch_add(struct branch_actions *actions, enum branch_action_kind kind);
void branch_tell(bool commit, const char *hazard, struct branch_actions *actions);
/* Gives it to the database. */
void branch_finish(struct branch *branch, bool commit, struct branch_actions *actions);
void branch_retry(struct branch *branch, struct branch_actions *actions);
/* Queued work that never began ends without a trace. */
void branch_drop(struct branch *branch, enum branch_cause cause, struct branch_actions *actions);
/* What is open. */
void branch_roll_back(struct branch *branch, struct branch_actions *actions);

/* ---- branch_decision.c: events */
void branch_told(struct branch *branch, bool commit, uint64_t xid, struct branch_actions *actions);
void branch_judged(struct branch *branch, const struct branch_event *event,
                   struct branch_actions *actions);
void branch_decided(struct branch *branch, bool commit, struct branch_actions *actions);
void branch_accepts(struct branch *branch);
void branch_accepted(struct branch *branch, enum db_accepted accepted,
                     struct branch_actions *actions);
void branch_forced(struct branch *branch, bool commit, uint64_t xid,
                   struct branch_actions *actions);
void branch_finished(struct branch *branch, enum db_finish result, struct branch_actions *actions);
void branch_proved(struct branch *branch, enum db_status status, struct branch_actions *actions);

#endif
