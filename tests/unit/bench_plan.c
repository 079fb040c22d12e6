/* The file of troth bench: what it asks for, and every mistake in it at once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_plan.h"
#include "core/check.h"

static struct yaml *yaml;
static struct bench_plan plan;

static void plan_close(void)
{
    bench_plan_fini(&plan);
    yaml_free(yaml);
}

static bool plan_open(const char *text, struct error *error)
{
    yaml = yaml_load_text("t.yaml", text, strlen(text), error);
    if (!yaml)
        fail_msg("%s", error->message);
    bench_plan_read(&plan, yaml, "run1", 3);
    return yaml_check(yaml, error);
}

static void plan_good(const char *text)
{
    struct error error = {0};
    if (!plan_open(text, &error))
        fail_msg("%s %s", error.message, error.detail);
}

static void has(const struct error *error, const char *wanted)
{
    if (!strstr(error->message, wanted) && !strstr(error->detail, wanted))
        fail_msg("\"%s\n%s\" does not say \"%s\"", error->message, error->detail, wanted);
}

static void assert_mistakes(const char *text, const char *const *wanted)
{
    struct error error = {0};
    assert_false(plan_open(text, &error));
    int count = 0;
    for (; wanted[count]; count++)
        has(&error, wanted[count]);
    char all[40];
    snprintf(all, sizeof(all), "%d mistakes", count);
    if (count > 1)
        has(&error, all);
    plan_close();
}
#define MISTAKES(text, ...) assert_mistakes(text, (const char *const[]){__VA_ARGS__, NULL})

#define CALL "branches: [{call: payments.charge, with: {order_id: \"o-${ seq }\"}}]"

static void defaults(void **state)
{
    (void)state;
    plan_good("mix: [{" CALL "}]\n");
    assert_int_equal(plan.in_flight, 16);
    assert_int_equal(plan.duration_us, 10000000);
    assert_int_equal(plan.count, 0);
    assert_int_equal(plan.warm_up_us, 0);
    assert_int_equal(plan.interval_ns, 0);
    assert_int_equal(plan.entry_count, 1);
    assert_string_equal(plan.entries[0].name, "payments.charge");
    assert_int_equal(plan.entries[0].weight, 1);
    assert_int_equal(plan.entries[0].deadline_us, 0);
    assert_null(plan.entries[0].key);
    plan_close();
}

static void all_that_a_transaction_has_is_sent(void **state)
{
    (void)state;
    plan_good("in_flight: 4\ncount: 100\nwarm_up: 2s\nrate: 200/s\n"
              "values: {n: \"${ cycle(1, 5) }\"}\n"
              "mix:\n"
              "  - name: buy\n"
              "    weight: 3\n"
              "    protocol: 3pc\n"
              "    wait: decided\n"
              "    deadline: 1500ms\n"
              "    key: k-${ seq }\n"
              "    branches:\n"
              "      - {call: orders.create, with: {id: \"o-${ n }\", n: \"${ n }\"}}\n"
              "      - call: orders.ping\n");
    assert_int_equal(plan.in_flight, 4);
    assert_int_equal(plan.duration_us, 0);
    assert_int_equal(plan.count, 100);
    assert_int_equal(plan.warm_up_us, 2000000);
    assert_int_equal(plan.interval_ns, 5000000);
    for (int i = 1; i <= 2; i++) {
        char key[20], arguments[40];
        bench_values_next(plan.values);
        Wire__Submit *submit = bench_submit_draw(&plan, &plan.entries[0]);
        snprintf(key, sizeof(key), "k-%d", i);
        snprintf(arguments, sizeof(arguments), "{\"id\":\"o-%d\",\"n\":%d}", i, i);
        assert_string_equal(submit->key, key);
        assert_int_equal(submit->protocol, WIRE__PROTOCOL__THREE_PHASE);
        assert_int_equal(submit->wait, WIRE__WAIT__DECIDED);
        assert_int_equal(submit->timeout_ms, 1500);
        assert_int_equal(submit->n_calls, 2);
        assert_string_equal(submit->calls[0]->participant, "orders");
        assert_string_equal(submit->calls[0]->operation, "create");
        assert_string_equal(submit->calls[0]->arguments, arguments);
        assert_string_equal(submit->calls[1]->arguments, "{}");
        bench_submit_free(submit);
    }
    plan_close();
}

static void all_that_a_saga_has_is_sent(void **state)
{
    (void)state;
    plan_good("mix:\n"
              "  - {saga: place-order, deadline: 2s, key: \"${ run }-${ seq }\","
              " input: {n: \"${ seq }\"}}\n"
              "  - {saga: place-order, name: begin, wait: started, deadline: 2s}\n");
    bench_values_next(plan.values);
    Wire__StartSaga *start = bench_start_draw(&plan, &plan.entries[0]);
    assert_string_equal(plan.entries[0].name, "place-order");
    assert_string_equal(start->name, "place-order");
    assert_string_equal(start->input, "{\"n\":1}");
    assert_string_equal(start->key, "run1-1");
    assert_true(start->wait);
    assert_int_equal(start->timeout_ms, 2000);
    bench_start_free(start);
    start = bench_start_draw(&plan, &plan.entries[1]);
    assert_string_equal(start->input, "{}");
    assert_string_equal(start->key, "");
    assert_false(start->wait);
    assert_int_equal(start->timeout_ms, 0);
    bench_start_free(start);
    plan_close();
}

static void every_mistake_is_told_at_once_with_its_place(void **state)
{
    (void)state;
    MISTAKES("in_fligt: 2\nduration: 20\ncount: 0\nrate: 30\nmix:\n"
             "  - name: a b\n    weight: -1\n    protocol: 4pc\n    wait: aplied\n"
             "    deadline: 2d\n    key: fixed\n"
             "    branches: {}\n",
             "t.yaml:1:1: unknown key \"in_fligt\"; did you mean \"in_flight\"?",
             "t.yaml:2:11: duration: 20 has no unit", "t.yaml:3:8: count: 0 is not from 1",
             "t.yaml:3:8: duration or count tells when it ends, not both",
             "t.yaml:4:7: rate: \"30\" is not a rate such as 200/s",
             "t.yaml:6:11: name: expected 1 to 32", "t.yaml:7:13: weight: -1 is not from 0",
             "t.yaml:8:15: protocol: \"4pc\" is not one of 2pc, 3pc",
             "t.yaml:9:11: wait: \"aplied\" is not one of applied, decided; did you mean",
             "t.yaml:10:15: deadline: is not from 1ms to 1d",
             "t.yaml:11:10: key: is the same for all", "t.yaml:12:15: branches: expected a list");
    MISTAKES("mix:\n"
             "  - branches:\n      - call: payment\n      - {cal: a.b}\n"
             "      - {call: a.b, with: [1]}\n"
             "  - {saga: \"a b\", inputs: {}}\n"
             "  - {name: none}\n"
             "  - 7\n"
             "  - {saga: s, wait: stated, branches: []}\n",
             "t.yaml:3:15: \"payment\" is not a call",
             "t.yaml:4:10: unknown key \"cal\"; did you mean \"call\"?",
             "t.yaml:4:9: the key \"call\" is missing here",
             "t.yaml:5:27: with: expected a map of arguments", "t.yaml:6:12: saga: a name is",
             "t.yaml:6:19: unknown key \"inputs\"; did you mean \"input\"?",
             "t.yaml:7:5: either \"branches\" (a transaction) or \"saga\"",
             "t.yaml:8:5: expected a transaction",
             "t.yaml:9:21: wait: \"stated\" is not one of ended, started; did you mean \"started\"",
             "t.yaml:9:29: unknown key \"branches\"");
}

static void a_mix_must_have_something_to_do(void **state)
{
    (void)state;
    MISTAKES("count: 1\n", "the key \"mix\" is missing here");
    MISTAKES("duration: 0s\nmix: [{" CALL "}]\n", "t.yaml:1:11: duration: is not from 1ms to 1d");
    MISTAKES("warm_up: 25h\nmix: [{" CALL "}]\n", "warm_up: is not from 0s to 1d");
    MISTAKES("mix: []\n", "mix: expected a list");
    MISTAKES("mix: {a: 1}\n", "mix: expected a list");
    MISTAKES("mix: [{weight: 0, " CALL "}]\n", "every weight is 0");
    MISTAKES("mix: [{branches: []}]\n", "branches: is empty");
    MISTAKES("mix: [{name: a, " CALL "}, {name: a, " CALL "}]\n", "another one is called \"a\"");
    MISTAKES("mix: [{" CALL "}, {" CALL "}]\n", "another one is called \"payments.charge\"");
    MISTAKES("7\n", "expected a map");
}

static void what_does_not_fit_a_message_is_told(void **state)
{
    (void)state;
    char *long_text = xmalloc(70001);
    memset(long_text, 'x', 70000);
    long_text[70000] = '\0';
    char *text = xasprintf("mix: [{branches: [{call: a.b, with: {x: %s}}]}]\n", long_text);
    MISTAKES(text, "t.yaml:1:7: it is too large: ");
    free(text);
    text = xasprintf("mix: [{saga: a, input: {x: %.40000s}}]\n", long_text);
    MISTAKES(text, "it is too large: ");
    free(text);
    text = xasprintf("mix: [{key: \"%.180s-${ uuid }\", " CALL "}]\n", long_text);
    MISTAKES(text, "t.yaml:1:13: key: has 217 bytes; 1 to 200 are allowed");
    free(text);
    free(long_text);
}

static void flags_count_more_than_the_file(void **state)
{
    (void)state;
    struct error error = {0};
    plan_good("in_flight: 4\nduration: 5s\nmix: [{deadline: 1s, " CALL "}]\n");
    struct bench_flags flags = {
        .in_flight = "7", .count = "50", .rate = "30/m", .deadline_us = 3000000};
    assert_true(bench_plan_override(&plan, &flags, &error));
    assert_int_equal(plan.in_flight, 7);
    assert_int_equal(plan.count, 50);
    assert_int_equal(plan.duration_us, 0);
    assert_int_equal(plan.interval_ns, 2000000000);
    assert_int_equal(plan.entries[0].deadline_us, 3000000);
    assert_true(bench_plan_override(&plan, &(struct bench_flags){.duration = "1m"}, &error));
    assert_int_equal(plan.count, 0);
    assert_int_equal(plan.duration_us, 60000000);
    static const struct {
        struct bench_flags flags;
        const char *text;
    } wrong[] = {{{.in_flight = "0"}, "--in-flight: \"0\" is not a number from 1 to 10000"},
                 {{.in_flight = "many"}, "--in-flight: \"many\""},
                 {{.count = "-1"}, "--count: \"-1\" is not a number"},
                 {{.count = "1", .duration = "1s"}, "give --duration or --count, not both"},
                 {{.duration = "5"}, "--duration: \"5\" is no duration"},
                 {{.duration = "0s"}, "--duration: \"0s\" is no duration"},
                 {{.rate = "0/s"}, "--rate: \"0/s\" is not a rate such as 200/s"},
                 {{.rate = "9999999/s"}, "up to 1000000/s"}};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        assert_false(bench_plan_override(&plan, &wrong[i].flags, &error));
        has(&error, wrong[i].text);
    }
    plan_close();
}

/* ---- what participants offer --------------------------------------------------------------- */

static struct catalogue offers(void)
{
    struct catalogue catalogue = {.partial = true};
    struct catalogue_operation *charge =
        catalogue_add_operation(catalogue_add(&catalogue, "payments"), "charge", false);
    catalogue_add_parameter(charge, "order_id", "text");
    catalogue_add_parameter(charge, "amount", "numeric");
    catalogue_add_parameter(charge, "quantity", "integer");
    catalogue_add(&catalogue, "mute")->partial = true;
    return catalogue;
}

static bool check(struct error *error)
{
    struct catalogue catalogue = offers();
    bench_plan_check(&plan, yaml, &catalogue);
    catalogue_fini(&catalogue);
    return yaml_check(yaml, error);
}

static void calls_that_nobody_takes_are_told(void **state)
{
    (void)state;
    struct error error = {0};
    plan_good("mix:\n"
              "  - branches:\n"
              "      - call: paymens.charge\n"
              "      - call: payments.chrge\n"
              "      - {call: payments.charge, with: {order_id: \"${ seq }\", amuont: 1,\n"
              "         quantity: \"${ random(0.5, 1) }\"}}\n");
    assert_false(check(&error));
    has(&error, "t.yaml: 6 mistakes");
    has(&error, "t.yaml:3:15: no participant paymens has connected; did you mean payments?");
    has(&error, "t.yaml:4:15: payments has no operation chrge; did you mean charge?");
    has(&error, "t.yaml:5:16: payments.charge needs the argument amount (numeric)");
    has(&error, "t.yaml:5:50: payments.charge: order_id (text) takes a string, not "
                "1000000000000: write \"${ text(...) }\"");
    has(&error, "t.yaml:5:62: payments.charge takes no argument amuont; did you mean amount?");
    has(&error, "t.yaml:6:20: payments.charge: quantity (integer) takes an integer, not 1.0");
    plan_close();
}

static void calls_that_are_taken_pass(void **state)
{
    (void)state;
    struct error error = {0};
    plan_good("values: {n: \"${ random(1, 9) }\"}\n"
              "mix:\n"
              "  - branches:\n"
              "      - {call: payments.charge, with: {order_id: \"${ text(seq) }\","
              " amount: \"${ random(0.01, 5) }\", quantity: \"${ n }\"}}\n"
              "      - {call: payments.charge, with: {order_id: null, amount: 1, quantity: 1}}\n"
              "      - {call: mute.anything, with: {x: 1}}\n");
    if (!check(&error))
        fail_msg("%s %s", error.message, error.detail);
    plan_close();
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(defaults),
        cmocka_unit_test(all_that_a_transaction_has_is_sent),
        cmocka_unit_test(all_that_a_saga_has_is_sent),
        cmocka_unit_test(every_mistake_is_told_at_once_with_its_place),
        cmocka_unit_test(a_mix_must_have_something_to_do),
        cmocka_unit_test(what_does_not_fit_a_message_is_told),
        cmocka_unit_test(flags_count_more_than_the_file),
        cmocka_unit_test(calls_that_nobody_takes_are_told),
        cmocka_unit_test(calls_that_are_taken_pass),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
