/* The machine of one saga: waits and signals, memory, and what is shown of it. */
#include "tests/unit/saga_engine_kit.h"

#define HEAD "saga: s\nversion: 1\ninput: {a: {type: any, default: 1}}\n"
#define LAST "  - {name: last, call: p.last, with: {w: \"${ .steps.w }\"}, compensate: none}\n"

static void wait_for(struct kit *kit, const char *step)
{
    char *text = xasprintf(HEAD "steps:\n  - {name: one, call: p.one, compensate: p.u}\n"
                                "  - {name: w, %s}\n" LAST,
                           step);
    kit_init(kit, text, "{\"a\":\"1970-01-01T01:00:00Z\"}");
    free(text);
    kit_begin(kit);
}

static void test_waits_for_a_time(void **state)
{
    (void)state;
    struct kit kit;
    wait_for(&kit, "wait: {for: 10m}");
    kit.time.wall_us += SECOND;
    kit_succeed(&kit, "one", NULL);
    EXPECT(&kit, "done one=null");
    assert_int_equal(saga_wake_us(kit.saga, &kit.time), kit.time.now_us + 600 * SECOND);
    kit_wake_at(&kit, kit.time.now_us + 600 * SECOND - 1);
    EXPECT(&kit, "");
    kit_restart(&kit, 1); /* it is measured from what is recorded */
    EXPECT(&kit, "");
    assert_int_equal(saga_wake_us(kit.saga, &kit.time), kit.time.now_us + 1);
    kit_wake(&kit);
    EXPECT(&kit, "!done w=null; do last {\"w\":null}");
    kit_fini(&kit);
}

static void test_waits_until_a_time(void **state)
{
    (void)state;
    struct kit kit;
    wait_for(&kit, "wait: {until: \"${ .input.a }\"}");
    kit_succeed(&kit, "one", NULL);
    assert_int_equal(saga_wake_us(kit.saga, &kit.time),
                     kit.time.now_us + 3600 * SECOND - KIT_BEGUN);
    kit_wake(&kit);
    EXPECT(&kit, "!done w=null; do last {\"w\":null}");
    kit_fini(&kit);
    wait_for(&kit, "wait: {until: \"${ .steps.one }\"}");
    kit_succeed(&kit, "one", "\"1970-01-01T00:00:01Z\""); /* over already */
    EXPECT(&kit, "!done one=\"1970-01-01T00:00:01Z\"; !done w=null; do last {\"w\":null}");
    kit_fini(&kit);
    wait_for(&kit, "wait: {until: \"${ .steps.one }\"}");
    kit_succeed(&kit, "one", "\"tomorrow\"");
    EXPECT(&kit, "!done one=\"tomorrow\"; !failed w(expression); undo one {}");
    kit_fini(&kit);
}

static void test_a_signal(void **state)
{
    (void)state;
    struct kit kit;
    wait_for(&kit, "wait: {signal: go, timeout: 9h}, output: {v: \"${ .result.v }\"}");
    kit_succeed(&kit, "one", NULL);
    assert_int_equal(saga_wake_us(kit.saga, &kit.time), kit.time.now_us + 9 * 3600 * SECOND);
    assert_false(kit_signal(&kit, "og", "1"));
    EXPECT(&kit, "refused: no step of s waits for the signal og");
    assert_true(kit_signal(&kit, "go", "{\"v\":3}"));
    EXPECT(&kit, "!signalled go={\"v\":3}; !done w={\"v\":3} by signal; do last {\"w\":{\"v\":3}}");
    kit_restart(&kit, 2); /* the signal is durable, what it did is not */
    EXPECT(&kit, "!done w={\"v\":3} by signal; do last {\"w\":{\"v\":3}}");
    kit_fini(&kit);
}

static void test_a_signal_that_comes_early_is_kept(void **state)
{
    (void)state;
    struct kit kit;
    wait_for(&kit, "wait: {signal: go, timeout: 1h}");
    assert_true(kit_signal(&kit, "go", "1"));
    EXPECT(&kit, "!signalled go=1");
    for (int i = 1; i < LIMIT_SAGA_SIGNALS; i++)
        assert_true(kit_signal(&kit, "go", NULL));
    assert_false(kit_signal(&kit, "go", "2"));
    EXPECT(&kit, "refused: 16 signals wait in the saga shop.c1.5.17 already");
    assert_int_equal(kit.error.kind, ERROR_BUSY);
    kit_succeed(&kit, "one", NULL);
    EXPECT(&kit, "!done one=null; !done w=1 by signal; do last {\"w\":1}");
    kit_succeed(&kit, "last", NULL);
    assert_false(kit_signal(&kit, "go", "2"));
    EXPECT(&kit, "refused: the saga shop.c1.5.17 is completed: nothing waits for a signal");
    kit_fini(&kit);
}

static void test_a_signal_that_stays_away(void **state)
{
    (void)state;
    struct kit kit;
    wait_for(&kit, "wait: {signal: go, timeout: 1h}");
    kit_succeed(&kit, "one", NULL);
    kit_wake(&kit);
    EXPECT(&kit, "!failed w(timeout); undo one {}");
    assert_false(kit_signal(&kit, "go", "2"));
    kit_restart(&kit, 2);
    EXPECT(&kit, "undo one {}");
    kit_fini(&kit);
    wait_for(&kit, "wait: {signal: go, timeout: 1h, otherwise: continue}");
    kit_succeed(&kit, "one", NULL);
    kit_wake(&kit);
    EXPECT(&kit, "!done w=null; do last {\"w\":null}");
    kit_fini(&kit);
}

static void test_the_oldest_wait_gets_the_signal(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD "steps:\n"
                  "  - name: all\n"
                  "    for_each: \"${ .input.a }\"\n"
                  "    parallel: 2\n"
                  "    steps: [{name: w, wait: {signal: go, timeout: 9h}}]\n",
             "{\"a\":[1,2,3]}");
    kit_begin(&kit);
    assert_true(kit_signal(&kit, "go", "1"));
    EXPECT(&kit, "!signalled go=1; !done w[0]=1 by signal");
    assert_true(kit_signal(&kit, "go", "2"));
    EXPECT(&kit, "!signalled go=2; !done w[1]=2 by signal");
    assert_true(kit_signal(&kit, "go", "3"));
    EXPECT(&kit, "!signalled go=3; !done w[2]=3 by signal; !completed null; end");
    kit_fini(&kit);
}

static void test_a_failure_drops_waits(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD "steps:\n  - parallel:\n"
                  "    - {name: w, wait: {signal: go, timeout: 9h}}\n"
                  "    - {name: one, call: p.one, compensate: p.u}\n",
             "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_REFUSED);
    EXPECT(&kit, "!failed one(why); fenced one; !compensated; end");
    kit_fini(&kit);
}

static void test_wall_clock_that_goes_back(void **state)
{
    (void)state;
    struct kit kit;
    wait_for(&kit, "wait: {for: 1s}");
    kit.time.wall_us += 10 * SECOND;
    kit_succeed(&kit, "one", NULL);
    kit.time.wall_us -= 20 * SECOND;
    kit_wake_at(&kit, kit.time.now_us + SECOND);
    EXPECT(&kit, "");
    kit_wake(&kit);
    EXPECT(&kit, "!done w=null; do last {\"w\":null}");
    for (int i = 1; i < kit.journal.count; i++)
        assert_true(kit.journal.list[i].record.at_us >= kit.journal.list[i - 1].record.at_us);
    kit_fini(&kit);
}

/* ---- memory -------------------------------------------------------------------------------- */

static void test_a_saga_that_waits_is_small(void **state)
{
    (void)state;
    struct kit kit;
    char *text = kit_read_file("examples/sagas/approve-refund.yaml");
    char input[256];
    snprintf(input, sizeof(input),
             "{\"order_id\":\"order-2026-11-21-000017\",\"customer\":\"Ada Lovelace, 12 St James's "
             "Square, London\",\"amount\":120.00,\"limit\":50,\"more\":\"%020d\"}",
             1);
    assert_in_range(strlen(input), 140, 160);
    kit_init(&kit, text, input);
    free(text);
    kit_begin(&kit);
    kit_succeed(&kit, "request", "{\"request\":17,\"state\":\"open\"}");
    char next[100];
    assert_string_equal(saga_next(kit.saga, &kit.time, next, sizeof(next)),
                        "waits for the signal approval, at most 24 h");
    print_message("# a saga that waits takes %zu bytes\n", saga_bytes(kit.saga));
    assert_true(saga_bytes(kit.saga) < 680);
    kit_fini(&kit);
}

/* 4,000 items: no step may look at all of them. */
static void test_many_items(void **state)
{
    (void)state;
    struct kit kit;
    char input[20100] = "{\"a\":[0";
    for (int i = 1; i < 4000; i++)
        strcat(input, ",0");
    strcat(input, "]}");
    kit_init(&kit,
             HEAD "steps:\n"
                  "  - name: all\n"
                  "    for_each: \"${ .input.a }\"\n"
                  "    parallel: 100\n"
                  "    steps: [{name: item, call: p.item, with: {i: \"${ .item }\"}, compensate: "
                  "p.u}]\n"
                  "  - {name: last, call: p.last, with: {n: \"${ .steps.all | length }\"}, "
                  "compensate: none}\n",
             input);
    kit_begin(&kit);
    for (int i = 0; i < 4000; i++) {
        kit.time.wall_us++;
        kit_succeed(&kit, kit.tries[0].label, NULL);
    }
    assert_non_null(strstr(kit.trace, "do last {\"n\":4000}"));
    print_message("# with 4,000 items that are done: %zu bytes\n", saga_bytes(kit.saga));
    assert_true(saga_bytes(kit.saga) < 4000 * 250);
    kit_restart(&kit, kit.journal.count);
    assert_string_equal(kit.trace, "do last {\"n\":4000}");
    kit_miss(&kit, "last", SAGA_REFUSED);
    while (kit.try_count)
        kit_succeed(&kit, kit.tries[0].label, NULL);
    assert_int_equal(saga_state(kit.saga), SAGA_COMPENSATED);
    kit_fini(&kit);
}

/* ---- looking ------------------------------------------------------------------------------- */

static bool list_view(void *self, const struct saga_view *view)
{
    struct kit *kit = self;
    saga_label label;
    saga_label_format(label, kit->plan, &view->instance);
    kit_add(kit, "%s %s%s%s%s", label, saga_view_words[view->state], view->output ? "=" : "",
            view->output ? view->output : "", view->problem ? "!" : "");
    return true;
}

static const char *look(struct kit *kit)
{
    kit->trace[0] = '\0';
    saga_visit_all(kit->saga, &kit->time, list_view, kit);
    return kit->trace;
}

static void test_views(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD "steps:\n"
                  "  - {name: one, call: p.one, compensate: p.u}\n"
                  "  - {name: skip, call: p.one, when: \"${ false }\", compensate: p.u}\n"
                  "  - name: all\n"
                  "    for_each: \"${ .input.a }\"\n"
                  "    steps: [{name: item, call: p.item, compensate: p.u}]\n"
                  "  - parallel:\n"
                  "    - {name: l, call: p.l, compensate: none}\n"
                  "    - {name: w, wait: {for: 1h}}\n",
             "{\"a\":[1,2]}");
    assert_string_equal(look(&kit), "one waiting; skip waiting; all waiting; parallel#6 waiting; l "
                                    "waiting; w waiting");
    kit_begin(&kit);
    assert_string_equal(look(&kit), "one running; skip waiting; all waiting; parallel#6 waiting; l "
                                    "waiting; w waiting");
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    char next[100];
    assert_non_null(strstr(saga_next(kit.saga, &kit.time, next, sizeof(next)), "one again in "));
    assert_non_null(strstr(look(&kit), "one retrying!; "));
    kit_wake(&kit);
    kit_succeed(&kit, "one", "1");
    assert_string_equal(look(&kit),
                        "one done=1; skip skipped; all running; steps#4[0] running; item[0] "
                        "running; steps#4[1] waiting; item[1] waiting; parallel#6 waiting; l "
                        "waiting; w waiting");
    kit_succeed(&kit, "item[0]", "2");
    kit_succeed(&kit, "item[1]", "3");
    assert_string_equal(look(&kit),
                        "one done=1; skip skipped; all done=[{\"item\":2},{\"item\":3}]; "
                        "steps#4[0] done; item[0] done=2; steps#4[1] done; item[1] done=3; "
                        "parallel#6 running; l running; w running");
    assert_string_equal(saga_next(kit.saga, &kit.time, next, sizeof(next)), "l");
    kit_miss(&kit, "l", SAGA_REFUSED);
    assert_string_equal(look(&kit),
                        "one done=1; skip skipped; all done=[{\"item\":2},{\"item\":3}]; "
                        "steps#4[0] done; item[0] done=2; steps#4[1] done; item[1] undoing=3; "
                        "parallel#6 undone; l failed!; w cancelled");
    assert_string_equal(saga_next(kit.saga, &kit.time, next, sizeof(next)), "undo item[1]");
    kit_succeed(&kit, "item[1]", NULL);
    kit_succeed(&kit, "item[0]", NULL);
    assert_non_null(strstr(look(&kit), "item[1] undone=3"));
    kit_succeed(&kit, "one", NULL);
    assert_non_null(strstr(look(&kit), "one undone=1"));
    assert_string_equal(saga_next(kit.saga, &kit.time, next, sizeof(next)), "nothing");
    kit_fini(&kit);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_waits_for_a_time),
        cmocka_unit_test(test_waits_until_a_time),
        cmocka_unit_test(test_a_signal),
        cmocka_unit_test(test_a_signal_that_comes_early_is_kept),
        cmocka_unit_test(test_a_signal_that_stays_away),
        cmocka_unit_test(test_the_oldest_wait_gets_the_signal),
        cmocka_unit_test(test_a_failure_drops_waits),
        cmocka_unit_test(test_wall_clock_that_goes_back),
        cmocka_unit_test(test_a_saga_that_waits_is_small),
        cmocka_unit_test(test_many_items),
        cmocka_unit_test(test_views),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
