/* What an answer of a coordinator means for a caller. */
#ifndef TROTH_CLIENT_ANSWERS_H
#define TROTH_CLIENT_ANSWERS_H

#include "client/library.h"

enum troth_status answer_outcome(const Wire__Outcome *outcome, struct troth_result *result);
/* What was refused, and why. */
enum troth_status answer_refusal(const Wire__Problem *problem, struct troth_result *result);
/* NULL: answered by something else than asked for. */
const Wire__Outcome *outcome_of(const struct request *request);
const Wire__Progress *progress_of(const struct request *request);
const Wire__Answer *answer_of(const struct request *request);
const Wire__SagaOutcome *saga_outcome_of(const struct request *request);
/* A coordinator that answers so speaks another language. */
enum troth_status answer_is_strange(struct troth_result *result);
/* "payments.charge" taken apart, into freshly made texts that the caller frees. False: it is none;
 * the result says so. */
bool operation_split(const char *operation, char **participant, char **name,
                     struct troth_result *result);
/* An idempotency key that a coordinator takes; NULL is none. */
bool key_sound(const char *key, struct troth_result *result);
bool problem_is(const Wire__Problem *problem, const char *code);

#endif
