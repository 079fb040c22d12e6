/* Agents over a real database, and at each the coordinator's end of a session, all in one loop: a
 * test asks for steps of sagas as a coordinator does, and looks at the truth by a plain connection.
 *
 * Two agents share the database payments under names of their own, so that neither ends the other's
 * sessions: as two processes may that both were asked for one step. */
#ifndef TROTH_TESTS_REAL_SAGA_DESK_H
#define TROTH_TESTS_REAL_SAGA_DESK_H

#include <libpq-fe.h>
#include <stdbool.h>
#include <stdint.h>

#include "wire.pb-c.h"

enum { DESKS = 2, DESK_RESULT_BYTES = 40 * 1024 };

/* What is asked for. Zeros: the step `charge` of saga 1, the operation charge of 10 from a. */
struct desk_wish {
    Wire__How how; /* 0: STEP */
    uint64_t saga;
    const char *step, *operation, *arguments;
    bool final;
    uint32_t timeout_ms;       /* 0: 20 s */
    int64_t age_s, step_age_s; /* how long ago the first try was */
};

/* An answer, copied. */
struct desk_answer {
    bool done;
    Wire__Execution execution;
    char result[DESK_RESULT_BYTES];
    bool kept, empty;
    char code[64], message[400], detail[1000];
};

/* cmocka's setup and teardown: a table rig (id, n) with the rows a and b of 100 each, an empty
 * troth.barrier, and both agents connected. */
int desks_setup(void **state);
int desks_teardown(void **state);

/* Of agent 0 or 1. The answer must live until it is done. One at a time of a task and an agent. */
void desk_ask(int desk, struct desk_wish wish, struct desk_answer *answer);
/* Turns the loop until it is answered; fails the test after 20 s. */
void desk_await(struct desk_answer *answer);
/* Both; the answer is valid until the next call. */
const struct desk_answer *desk_execute(int desk, struct desk_wish wish);
/* Likewise of a statement whose first value is that text. */
void desk_await_sql(const char *sql, const char *value);

/* By the plain connection; fails the test on an error. The value is valid until the next. */
const char *desk_sql(const char *sql);
/* Deletes rows that are older than seven days, as the agent does. */
void desk_clean(void);

#define ASK(desk, answer, ...) desk_ask(desk, (struct desk_wish){__VA_ARGS__}, answer)
#define EXECUTE(desk, ...)     desk_execute(desk, (struct desk_wish){__VA_ARGS__})

#endif
