/* troth bench with a coordinator that answers as it is told: what is counted, shown and returned.
 */
#include "tests/unit/cli_desk.h"

#include "core/json.h"

#define CALL "mix: [{name: charge, branches: [{call: payments.charge}]}]\n"

static Wire__Answer offers;
static Wire__ParticipantView payments, *participants[] = {&payments};

/* What payments offers is not known: every call passes. */
static struct run bench(struct desk *desk, const char *file, const char *const *more)
{
    const char *words[12] = {"bench", "-"};
    wire__answer__init(&offers);
    wire__participant_view__init(&payments);
    payments.name = (char *)"payments";
    offers.participants = participants;
    offers.n_participants = 1;
    desk->answers[WIRE__WHAT__OFFERS] = &offers;
    for (int i = 0; more && more[i]; i++)
        words[i + 2] = more[i];
    return kit_run_on(desk->loop, file, NULL, words);
}

static struct json *bench_json(struct desk *desk, const char *file, int code)
{
    struct error error = {0};
    struct run run = bench(desk, file, WORDS("--json"));
    assert_code(run, code);
    assert_string_equal(run.err, "");
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    if (!json)
        fail_msg("no JSON: %s: %s", error.message, run.out);
    assert_string_equal(json_member(json, "exit")->text, code == 0 ? "0" : code == 1 ? "1" : "5");
    run_fini(&run);
    return json;
}

static double number(const struct json *json, const char *name)
{
    const struct json *member = json_member(json, name);
    assert_non_null(member);
    assert_int_equal(member->type, JSON_NUMBER);
    return atof(member->text);
}

static const struct json *entry(const struct json *json, int index)
{
    const struct json *mix = json_member(json, "mix");
    assert_true(index < mix->count);
    return &mix->items[index];
}

/* The only reason of the only entry. */
static void assert_reason(const struct json *json, const char *ended, const char *code, int count)
{
    const struct json *reasons = json_member(entry(json, 0), "not_done");
    assert_int_equal(reasons->count, 1);
    assert_string_equal(json_member(&reasons->items[0], "ended")->text, ended);
    assert_string_equal(json_member(&reasons->items[0], "code")->text, code);
    if (count)
        assert_int_equal(number(&reasons->items[0], "count"), count);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void what_is_done_is_counted_and_timed(void **state)
{
    struct desk *desk = *state;
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    desk->outcome = &outcome;
    struct run run = bench(desk, "count: 100\nin_flight: 7\n" CALL, NULL);
    assert_code(run, 0);
    assert_out(run, "mix     done  rate/s ");
    assert_out(run, "\ncharge   100 ");
    assert_out(run, ", 7 in flight; run ");
    assert_null(strstr(run.out, "not done"));
    assert_string_equal(run.err, "");
    assert_int_equal(desk->submits, 100);
    expect_narrow(&run);
    run_fini(&run);
}

static void the_mix_is_kept_and_summed_up(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("insufficient_funds", "0 rows instead of 1");
    problem.participant = (char *)"payments";
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__ABORTED, &problem);
    Wire__SagaOutcome saga = WIRE__SAGA_OUTCOME__INIT;
    saga.result = WIRE__SAGA_RESULT__SAGA_COMPLETED;
    desk->outcome = &outcome;
    desk->saga_outcome = &saga;
    static const char file[] =
        "count: 100\nmix:\n"
        "  - {name: charge, weight: 3, branches: [{call: payments.charge}]}\n"
        "  - {saga: place-order, weight: 7}\n"
        "  - {saga: never, weight: 0}\n";
    struct json *json = bench_json(desk, file, 0);
    assert_int_equal(number(entry(json, 0), "done"), 0);
    assert_int_equal(json_member(entry(json, 0), "latency_us")->type, JSON_NULL);
    const struct json *reason = &json_member(entry(json, 0), "not_done")->items[0];
    assert_string_equal(json_member(reason, "participant")->text, "payments");
    assert_string_equal(json_member(reason, "message")->text, "0 rows instead of 1");
    assert_int_equal(number(reason, "count"), 30);
    assert_int_equal(number(entry(json, 1), "done"), 70);
    assert_int_equal(number(entry(json, 2), "done"), 0);
    assert_int_equal(number(json_member(json, "all"), "done"), 70);
    assert_int_equal(number(json_member(json, "all"), "not_done"), 30);
    json_free(json);
    struct run run = bench(desk, file, NULL);
    assert_code(run, 0);
    assert_out(run, "\nall            70 ");
    assert_out(run,
               "\ncharge       30  aborted  payments  insufficient_funds  0 rows instead of 1\n");
    run_fini(&run);
}

static void where_nothing_is_done_it_fails(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("serialization_failure", "");
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__ABORTED, &problem);
    desk->outcome = &outcome;
    struct json *json = bench_json(desk, "count: 20\n" CALL, 1);
    assert_reason(json, "aborted", "serialization_failure", 20);
    json_free(json);
}

static void ends_that_nobody_knows_are_another_exit_code(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("no_majority", "");
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__UNKNOWN, &problem);
    desk->outcome = &outcome;
    struct json *json = bench_json(desk, "count: 20\n" CALL, 5);
    assert_reason(json, "unknown", "no_majority", 20);
    json_free(json);
    outcome = outcome_of(WIRE__RESULT__HAZARD, NULL);
    json = bench_json(desk, "count: 5\n" CALL, 5);
    assert_reason(json, "hazard", "hazard", 5);
    json_free(json);
    Wire__SagaOutcome saga = WIRE__SAGA_OUTCOME__INIT;
    saga.result = WIRE__SAGA_RESULT__SAGA_STARTED;
    desk->saga_outcome = &saga;
    json = bench_json(desk, "count: 5\nmix: [{saga: s, deadline: 1s}]\n", 5);
    assert_reason(json, "running", "not_ended_in_time", 5);
    json_free(json);
    json = bench_json(desk, "count: 5\nmix: [{saga: s, wait: started}]\n", 0);
    assert_int_equal(number(entry(json, 0), "done"), 5);
    json_free(json);
}

static void what_was_not_done_now_is_not_counted_as_done(void **state)
{
    struct desk *desk = *state;
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    desk->outcome = &outcome;
    outcome.repeated_key = true;
    struct json *json = bench_json(desk, "count: 5\n" CALL, 1);
    assert_reason(json, "repeated", "repeated_key", 5);
    json_free(json);
    outcome.repeated_key = outcome.applied = false;
    json = bench_json(desk, "count: 5\n" CALL, 1);
    assert_reason(json, "unapplied", "not_applied_in_time", 5);
    json_free(json);
    json = bench_json(desk,
                      "count: 5\nmix: [{wait: decided, branches: [{call: payments.charge}]}]\n", 0);
    json_free(json);
    Wire__Problem problem = problem_of("out_of_stock", "");
    Wire__SagaOutcome saga = WIRE__SAGA_OUTCOME__INIT;
    saga.result = WIRE__SAGA_RESULT__SAGA_COMPENSATED;
    saga.problem = &problem;
    desk->saga_outcome = &saga;
    json = bench_json(desk, "count: 5\nmix: [{saga: s}]\n", 1);
    assert_reason(json, "compensated", "out_of_stock", 5);
    json_free(json);
}

/* Three rounds of refusals take two pauses of 10 ms. */
static void who_is_refused_waits_before_the_next(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("busy", "20000 are in flight");
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__REJECTED, &problem);
    desk->outcome = &outcome;
    struct json *json = bench_json(desk, "count: 12\nin_flight: 4\n" CALL, 1);
    assert_reason(json, "refused", "busy", 12);
    assert_true(number(json, "measured_s") >= 0.02);
    json_free(json);
}

/* As after a start of the coordinator, which knows only who has connected since. */
static void who_is_not_known_any_more_is_waited_for(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("unknown_participant", "there is no participant payments");
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__REJECTED, &problem);
    desk->outcome = &outcome;
    struct json *json = bench_json(desk, "count: 5\n" CALL, 1);
    assert_reason(json, "refused", "unknown_participant", 5);
    json_free(json);
}

static void a_mistake_that_only_the_coordinator_sees_ends_it(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("unknown_operation", "payments has no operation charge");
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__REJECTED, &problem);
    desk->outcome = &outcome;
    struct run run = bench(desk, "count: 1000\nin_flight: 3\n" CALL, NULL);
    assert_code(run, 2);
    assert_err(run, "troth: charge: payments has no operation charge (unknown_operation)");
    assert_string_equal(run.out, "");
    assert_true(desk->submits <= 3);
    run_fini(&run);
}

static void a_rate_is_kept(void **state)
{
    struct desk *desk = *state;
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    desk->outcome = &outcome;
    struct json *json = bench_json(desk, "count: 11\nrate: 50/s\n" CALL, 0);
    assert_true(number(json, "measured_s") >= 0.2);
    assert_int_equal(number(json, "due_and_not_begun"), 0);
    json_free(json);
    json = bench_json(desk, "duration: 100ms\nrate: 1000000/s\nin_flight: 1\n" CALL, 0);
    double begun = number(json, "begun"), late = number(json, "due_and_not_begun");
    assert_int_equal(begun + late, 100000);
    assert_true(late > 0);
    /* Those that were begun had been due long before. */
    assert_true(number(json_member(json_member(json, "all"), "latency_us"), "max") > 50000);
    json_free(json);
}

static void the_warm_up_is_not_counted(void **state)
{
    struct desk *desk = *state;
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__COMMITTED, NULL);
    desk->outcome = &outcome;
    struct json *json = bench_json(desk, "count: 5\nwarm_up: 50ms\nrate: 200/s\n" CALL, 0);
    assert_int_equal(number(entry(json, 0), "done"), 5);
    assert_int_equal(desk->submits, 15);
    json_free(json);
}

static void a_session_that_is_lost_leaves_unknown_ends(void **state)
{
    struct desk *desk = *state;
    desk->hang_up_submits = true;
    struct json *json = bench_json(desk, "duration: 300ms\nin_flight: 2\n" CALL, 5);
    assert_reason(json, "unknown", "session_lost", 0);
    json_free(json);
}

static void what_participants_say_is_escaped_and_cut(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem =
        problem_of("\x1b[31m", "a text that is so long that no terminal has it in one line, and "
                               "is cut where it ends");
    problem.participant = (char *)"payments";
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__ABORTED, &problem);
    desk->outcome = &outcome;
    setenv("COLUMNS", "80", 1);
    struct run run = bench(desk, "count: 3\n" CALL, NULL);
    unsetenv("COLUMNS");
    assert_code(run, 1);
    assert_out(run, "\\x1b[31m");
    assert_null(strchr(run.out, '\x1b'));
    expect_narrow(&run);
    run_fini(&run);
}

static void a_participant_s_door_takes_no_load(void **state)
{
    struct desk *desk = *state;
    struct run run = bench(desk, CALL, NULL);
    assert_code(run, 2);
    assert_err(run, "is where participant payments listens for others");
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    kit_find(argv[0]);
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        TEST(what_is_done_is_counted_and_timed),
        TEST(the_mix_is_kept_and_summed_up),
        TEST(where_nothing_is_done_it_fails),
        TEST(ends_that_nobody_knows_are_another_exit_code),
        TEST(what_was_not_done_now_is_not_counted_as_done),
        TEST(who_is_refused_waits_before_the_next),
        TEST(who_is_not_known_any_more_is_waited_for),
        TEST(a_mistake_that_only_the_coordinator_sees_ends_it),
        TEST(a_rate_is_kept),
        TEST(the_warm_up_is_not_counted),
        TEST(a_session_that_is_lost_leaves_unknown_ends),
        TEST(what_participants_say_is_escaped_and_cut),
        cmocka_unit_test_setup_teardown(a_participant_s_door_takes_no_load, setup_door, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
