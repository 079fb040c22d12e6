/* A desk that knows one saga, for the tests of the commands of sagas. */
#ifndef TROTH_TESTS_UNIT_SAGA_DESK_H
#define TROTH_TESTS_UNIT_SAGA_DESK_H

#include "tests/unit/cli_desk.h"

#include <time.h>

#include "core/json.h"

#define ID "shop.c1.1795224000.17"

static inline int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

#define SECOND_US 1000000ll

/* ---- a saga that the desk knows ------------------------------------------------------------ */

enum { STEPS = 40 };

struct world {
    Wire__SagaView saga, *sagas[1];
    Wire__SagaStepView steps[STEPS], *step_list[STEPS];
    Wire__Problem problem;
    Wire__Answer answer, order, none;
    Wire__SagaOutcome outcome;
};

static inline void world_init(struct world *world, struct desk *desk)
{
    wire__saga_view__init(&world->saga);
    world->saga.id = (char *)ID;
    world->saga.name = (char *)"place-order";
    world->saga.version = 1;
    world->saga.state = (char *)"running";
    world->saga.begun_us = now_us() - 12 * SECOND_US;
    world->saga.steps = world->step_list;
    world->sagas[0] = &world->saga;
    world->problem = problem_of("", "");
    wire__answer__init(&world->answer);
    world->answer.sagas = world->sagas;
    world->answer.n_sagas = 1;
    wire__answer__init(&world->order);
    wire__answer__init(&world->none);
    wire__saga_outcome__init(&world->outcome);
    world->outcome.saga = (char *)ID;
    world->outcome.result = WIRE__SAGA_RESULT__SAGA_STARTED;
    desk->saga_outcome = &world->outcome;
    desk->answers[0] = &world->order;
    desk->answers[WIRE__WHAT__SAGA] = desk->answers[WIRE__WHAT__SAGAS] = &world->answer;
    desk->answers[WIRE__WHAT__TRANSACTION] = desk->answers[WIRE__WHAT__PARTICIPANTS] = &world->none;
}

static inline struct run expect_json(struct desk *desk, const char *const *words, int code)
{
    struct run run = ask(desk, words);
    struct error error = {0};
    assert_code(run, code);
    assert_string_equal(run.err, "");
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    if (!json)
        fail_msg("no JSON: %s: %s", error.message, run.out);
    json_free(json);
    return run;
}

#endif
