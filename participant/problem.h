/* Problems in the making: why a vote is a no, or a step of a saga was not done. */
#ifndef TROTH_PARTICIPANT_PROBLEM_H
#define TROTH_PARTICIPANT_PROBLEM_H

#include "core/limits.h"
#include "participant/work.h"
#include "wire.pb-c.h"

struct agent;

/* Its texts are cut: a database's detail may be larger than a message. It must stay where it is, as
 * the message points into it. */
struct problem {
    Wire__Problem wire;
    char operation[LIMIT_WORD_BYTES + 1], code[LIMIT_WORD_BYTES + 1];
    char message[400], detail[1000], hint[320];
};

/* Sets one of the texts. */
#define PROBLEM_SAY(field, ...) problem_say(field, sizeof(field), __VA_ARGS__)
void problem_say(char *field, size_t room, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

void problem_init(struct problem *problem, const struct agent *agent, const char *operation,
                  const char *code);
/* Why work is not even begun. */
void problem_refused(struct problem *problem, const struct agent *agent,
                     const struct work_refusal *refusal);
/* The following fill one that is initialized. */
void problem_database(struct problem *problem, const struct agent *agent, const char *what);
void problem_deadline(struct problem *problem, const char *what);

/* What the database said. */
struct problem_context {
    const struct db_worked *worked; /* of work; else NULL */
    const char *said;               /* of what was to be adopted */
    bool too_large;                 /* its results don't fit a message */
    uint64_t deadline_us; /* of the work: when it was cancelled after that, its time was up */
};
/* A statement failed, an expectation did, or the connection. */
void problem_work(struct problem *problem, const struct agent *agent, const struct work *work,
                  const struct problem_context *context);
/* The operation to which the statement that failed belongs. worked may be NULL. */
const char *problem_operation(const struct work *work, const struct db_worked *worked);

#endif
