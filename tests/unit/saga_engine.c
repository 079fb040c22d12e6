/* The machine of one saga: what it asks for, in which order, and what it records. */
#include "tests/unit/saga_engine_kit.h"

#define HEAD "saga: s\nversion: 1\ninput: {a: {type: any, default: 1}}\n"

static const char three[] =
    HEAD "steps:\n"
         "  - {name: one, call: p.one, with: {a: \"${ .input.a }\"}, compensate: p.undo_one}\n"
         "  - {name: two, call: p.two, with: {x: \"${ .steps.one.id }\"},\n"
         "     output: {y: \"${ .result.y }\"}, compensate: {call: p.undo_two, with: {z: \"${ "
         ".result.z }\"}}}\n"
         "  - {name: book, call: p.book, kind: pivot}\n"
         "  - {name: tell, call: p.tell, kind: retriable}\n"
         "output: {y: \"${ .steps.two.y }\"}\n";

/* ---- forward ------------------------------------------------------------------------------- */

static void test_runs_steps_in_sequence(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":40.00}");
    kit_begin(&kit);
    EXPECT(&kit, "do one {\"a\":40.00}");
    assert_true(kit.last.final);
    assert_int_equal(kit.last.since_us, KIT_BEGUN);
    assert_int_equal(kit.last.timeout_us, SAGA_TIMEOUT_US);
    kit.time.wall_us += SECOND;
    kit_succeed(&kit, "one", "{\"id\":7}");
    EXPECT(&kit, "!done one={\"id\":7}; do two {\"x\":7}");
    assert_int_equal(kit.last.since_us, KIT_BEGUN + SECOND);
    kit_succeed(&kit, "two", "{\"y\":1,\"z\":2}");
    EXPECT(&kit, "!done two={\"y\":1}; do book {}");
    assert_string_equal(kit.journal.list[1].record.result, "{\"y\":1,\"z\":2}");
    assert_null(kit.journal.list[0].record.result);
    assert_false(saga_is_past_pivot(kit.saga));
    kit_succeed(&kit, "book", NULL);
    EXPECT(&kit, "!done book=null; do tell {}");
    assert_false(kit.last.final);
    assert_true(saga_is_past_pivot(kit.saga));
    kit_succeed(&kit, "tell", NULL);
    EXPECT(&kit, "done tell=null; !completed {\"y\":1}; end");
    assert_int_equal(saga_state(kit.saga), SAGA_COMPLETED);
    assert_string_equal(saga_output(kit.saga), "{\"y\":1}");
    assert_int_equal(saga_ended_us(kit.saga), KIT_BEGUN + SECOND);
    assert_true(saga_wake_us(kit.saga, &kit.time) == UINT64_MAX);
    kit_fini(&kit);
}

static void test_a_result_that_is_not_kept_is_awaited(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_reply(&kit, "one", SAGA_SUCCEEDED, "{}", NULL, false);
    EXPECT(&kit, "!done one={}; do two {\"x\":null}");
    kit_fini(&kit);
}

static void test_skips_what_its_condition_refuses(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD
             "steps:\n"
             "  - {name: one, call: p.one, when: \"${ .input.a > 5 }\", compensate: none}\n"
             "  - {name: two, call: p.two, with: {o: \"${ .steps.one }\"}, compensate: none}\n",
             "{\"a\":1}");
    kit_begin(&kit);
    EXPECT(&kit, "do two {\"o\":null}");
    kit_fini(&kit);
    kit_init(&kit,
             HEAD "steps:\n"
                  "  - {name: one, call: p.one, when: \"${ .input.a > 5 }\", compensate: "
                  "none}\n",
             "{\"a\":1}");
    kit_begin(&kit);
    EXPECT(&kit, "!completed null; end");
    kit_fini(&kit);
}

static const char branches[] =
    HEAD "steps:\n"
         "  - name: both\n"
         "    parallel:\n"
         "      - {name: left, call: p.left, compensate: p.undo_left}\n"
         "      - steps:\n"
         "          - {name: r1, call: p.r1, compensate: p.undo_r1}\n"
         "          - {name: r2, call: p.r2, compensate: p.undo_r2}\n"
         "  - {name: last, call: p.last, with: {b: \"${ .steps.both }\"}, compensate: none}\n";

static void test_parallel_runs_all_at_once(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, branches, "{\"a\":1}");
    kit_begin(&kit);
    EXPECT(&kit, "do left {}; do r1 {}");
    kit_succeed(&kit, "r1", "1");
    EXPECT(&kit, "!done r1=1; do r2 {}");
    kit_succeed(&kit, "left", "0");
    EXPECT(&kit, "done left=0");
    kit_succeed(&kit, "r2", "2");
    EXPECT(&kit, "!done r2=2; do last {\"b\":{\"left\":0,\"r1\":1,\"r2\":2}}");
    kit_fini(&kit);
}

static void test_choose_takes_the_first_that_is_true(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "steps:\n"
             "  - name: way\n"
             "    choose:\n"
             "      - {when: \"${ .input.a == 1 }\", steps: [{name: x, call: p.x, compensate: "
             "none}]}\n"
             "      - {when: \"${ .input.a < 3 }\", steps: [{name: y, call: p.y, compensate: "
             "none}]}\n"
             "output: {way: \"${ .steps.way }\"}\n";
    struct kit kit;
    kit_init(&kit, text, "{\"a\":1}");
    kit_begin(&kit);
    EXPECT(&kit, "do x {}");
    kit_fini(&kit);
    kit_init(&kit, text, "{\"a\":2}");
    kit_begin(&kit);
    EXPECT(&kit, "do y {}");
    kit_succeed(&kit, "y", "9");
    EXPECT(&kit, "done y=9; !completed {\"way\":{\"x\":null,\"y\":9}}; end");
    kit_fini(&kit);
    kit_init(&kit, text, "{\"a\":3}");
    kit_begin(&kit);
    EXPECT(&kit, "!completed {\"way\":{\"x\":null,\"y\":null}}; end");
    kit_fini(&kit);
}

static const char loop[] =
    HEAD "steps:\n"
         "  - name: all\n"
         "    for_each: \"${ .input.a }\"\n"
         "    parallel: 2\n"
         "    steps:\n"
         "      - {name: item, call: p.item, with: {i: \"${ .item }\", n: \"${ .index }\"},\n"
         "         compensate: {call: p.undo, with: {i: \"${ .item }\", r: \"${ .result }\"}}}\n"
         "  - {name: last, call: p.last, with: {b: \"${ .steps.all }\"}, compensate: none}\n";

static void test_for_each_runs_so_many_at_once(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, loop, "{\"a\":[10,20,30]}");
    kit_begin(&kit);
    EXPECT(&kit, "do item[0] {\"i\":10,\"n\":0}; do item[1] {\"i\":20,\"n\":1}");
    kit_succeed(&kit, "item[1]", "1");
    EXPECT(&kit, "!done item[1]=1; do item[2] {\"i\":30,\"n\":2}");
    kit_succeed(&kit, "item[2]", "2");
    EXPECT(&kit, "done item[2]=2");
    kit_succeed(&kit, "item[0]", "0");
    EXPECT(&kit, "!done item[0]=0; do last {\"b\":[{\"item\":0},{\"item\":1},{\"item\":2}]}");
    kit_miss(&kit, "last", SAGA_REFUSED);
    EXPECT(&kit, "!failed last(why); !fenced last; undo item[2] {\"i\":30,\"r\":2}; undo item[1] "
                 "{\"i\":20,\"r\":1}");
    kit_succeed(&kit, "item[1]", NULL);
    EXPECT(&kit, "!undone item[1]; undo item[0] {\"i\":10,\"r\":0}");
    kit_succeed(&kit, "item[0]", NULL);
    kit_succeed(&kit, "item[2]", NULL);
    EXPECT(&kit, "undone item[2]; !compensated; end");
    kit_fini(&kit);
    kit_init(&kit, loop, "{\"a\":[]}");
    kit_begin(&kit);
    EXPECT(&kit, "do last {\"b\":[]}");
    kit_fini(&kit);
}

static void test_a_transaction_is_forgotten_when_it_is_done(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD "steps:\n"
                  "  - name: t\n"
                  "    transaction: {branches: [{call: p.x, with: {k: 1}}, {call: q.y}]}\n"
                  "    compensate: {call: p.z, with: {r: \"${ .result[1] }\"}}\n"
                  "  - {name: end, call: p.end, compensate: none}\n",
             "{\"a\":1}");
    kit_begin(&kit);
    EXPECT(&kit, "do t {\"k\":1} {}");
    assert_false(kit.last.final);
    kit_succeed(&kit, "t", "[null,5]");
    EXPECT(&kit, "!done t=[null,5]; forget t; do end {}");
    kit_restart(&kit, 1);
    EXPECT(&kit, "forget t; do end {}"); /* the runner may have died in between */
    kit_miss(&kit, "end", SAGA_REFUSED);
    EXPECT(&kit, "!failed end(why); !fenced end; undo t {\"r\":5}");
    kit_fini(&kit);
}

/* ---- tries --------------------------------------------------------------------------------- */

static void test_tries_again_after_a_pause(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    EXPECT(&kit, "");
    uint64_t pause = saga_wake_us(kit.saga, &kit.time) - kit.time.now_us;
    assert_in_range(pause, 80000, 120000);
    kit_wake_at(&kit, kit.time.now_us + pause - 1);
    EXPECT(&kit, "");
    kit_wake(&kit);
    EXPECT(&kit, "do one {\"a\":1}");
    assert_int_equal(kit.last.try, 2);
    assert_int_equal(kit.last.since_us, KIT_BEGUN);
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    pause = saga_wake_us(kit.saga, &kit.time) - kit.time.now_us;
    assert_in_range(pause, 160000, 240000);
    kit_wake(&kit);
    kit_miss(&kit, "one", SAGA_NOT_DONE); /* the third: nothing can have been done */
    EXPECT(&kit, "!failed one(why); fenced one; !compensated; end");
    kit_fini(&kit);
}

static void test_cancels_what_may_have_been_done(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_UNSURE);
    kit_wake(&kit);
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    kit_wake(&kit);
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    EXPECT(&kit, "cancel one");
    kit_miss(&kit, "one", SAGA_UNSURE);
    kit_wake(&kit);
    EXPECT(&kit, "cancel one");
    kit_succeed(&kit, "one", "{\"id\":3}"); /* it had been done all the time */
    EXPECT(&kit, "!done one={\"id\":3}; do two {\"x\":3}");
    kit_miss(&kit, "two", SAGA_UNSURE);
    kit_wake(&kit);
    kit_miss(&kit, "two", SAGA_UNSURE);
    kit_wake(&kit);
    kit_miss(&kit, "two", SAGA_UNSURE);
    kit_miss(&kit, "two", SAGA_REFUSED);
    EXPECT(&kit, "!failed two(why); !fenced two; undo one {\"a\":1}");
    assert_int_equal(kit.last.step_since_us, KIT_BEGUN);
    kit_fini(&kit);
}

static void test_a_refusal_fails_at_once(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_UNSURE);
    kit_wake(&kit);
    kit_miss(&kit, "one", SAGA_REFUSED); /* final: the first try can't be done either */
    EXPECT(&kit, "!failed one(why); fenced one; !compensated; end");
    assert_string_equal(saga_problem(kit.saga)->code, "why");
    kit_fini(&kit);
}

static void test_tries_for_ever_after_the_pivot(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{}");
    kit_succeed(&kit, "two", "{}");
    kit_succeed(&kit, "book", "{}");
    static const enum saga_outcome outcomes[] = {SAGA_REFUSED, SAGA_NOT_DONE, SAGA_UNSURE,
                                                 SAGA_REFUSED};
    for (int i = 0; i < 4; i++) {
        kit_miss(&kit, "tell", outcomes[i]);
        assert_false(saga_needs_operator(kit.saga));
        kit_wake(&kit);
        EXPECT(&kit, "do tell {}");
    }
    kit_miss(&kit, "tell", SAGA_REFUSED);
    assert_true(saga_needs_operator(kit.saga)); /* alert_after: 5 */
    assert_string_equal(saga_problem(kit.saga)->code, "why");
    kit_wake(&kit);
    EXPECT(&kit, "do tell {}"); /* it goes on */
    kit_succeed(&kit, "tell", NULL);
    EXPECT(&kit, "done tell=null; !completed {\"y\":null}; end");
    assert_false(saga_needs_operator(kit.saga));
    kit_fini(&kit);
}

static void test_answers_that_fit_nothing_are_ignored(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    struct saga_event event = {.type = SAGA_EVENT_ANSWERED,
                               .instance = {.step = 1},
                               .how = SAGA_DO,
                               .try = 2,
                               .outcome = SAGA_SUCCEEDED};
    assert_true(kit_event(&kit, &event));
    EXPECT(&kit, "");
    event.try = 1;
    event.how = SAGA_CANCEL;
    assert_true(kit_event(&kit, &event));
    event.how = SAGA_DO;
    event.instance.step = 99;
    assert_true(kit_event(&kit, &event));
    event.instance.step = 2;
    assert_true(kit_event(&kit, &event));
    EXPECT(&kit, "");
    event.instance.step = 1;
    assert_true(kit_event(&kit, &event));
    assert_true(kit_event(&kit, &event)); /* twice */
    EXPECT(&kit, "");
    kit_fini(&kit);
}

static void test_unprovable_waits_for_an_operator(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_UNPROVABLE);
    EXPECT(&kit, "");
    assert_true(saga_needs_operator(kit.saga));
    assert_true(saga_wake_us(kit.saga, &kit.time) == UINT64_MAX);
    kit.time.wall_us += 5 * SECOND;
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "!retried; do one {\"a\":1}");
    assert_int_equal(kit.last.since_us, KIT_BEGUN + 5 * SECOND);
    assert_false(saga_needs_operator(kit.saga));
    assert_false(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "refused: nothing of the saga shop.c1.5.17 waits to be tried again");
    kit_restart(&kit, kit.journal.count);
    EXPECT(&kit, "do one {\"a\":1}");
    assert_int_equal(kit.last.since_us, KIT_BEGUN + 5 * SECOND);
    kit_fini(&kit);
}

/* What was not proved away is as old as it is: whether its row may be gone depends on that. */
static void test_retry_vouches_for_nothing_that_only_waits(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_UNSURE);
    kit.time.wall_us += 5 * SECOND;
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "!retried; do one {\"a\":1}");
    assert_int_equal(kit.last.since_us, KIT_BEGUN);
    kit_restart(&kit, kit.journal.count);
    EXPECT(&kit, "do one {\"a\":1}");
    assert_int_equal(kit.last.since_us, KIT_BEGUN);
    kit_miss(&kit, "one", SAGA_UNPROVABLE);
    kit.time.wall_us += 5 * SECOND;
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    assert_int_equal(kit.last.since_us, KIT_BEGUN + 10 * SECOND);
    kit.trace[0] = '\0';
    kit_succeed(&kit, "one", "{}");
    kit_miss(&kit, "two", SAGA_REFUSED);
    assert_int_equal(kit.last.how, SAGA_COMPENSATE);
    assert_int_equal(kit.last.step_since_us, KIT_BEGUN);
    kit_fini(&kit);
}

static void test_retry_ends_pauses(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "!retried; do one {\"a\":1}");
    assert_int_equal(kit.last.try, 2);
    for (int i = 0; i < 2; i++) { /* the count begins anew */
        kit_miss(&kit, "one", SAGA_NOT_DONE);
        kit_wake(&kit);
        EXPECT(&kit, "do one {\"a\":1}");
    }
    kit_miss(&kit, "one", SAGA_NOT_DONE);
    EXPECT(&kit, "!failed one(why); fenced one; !compensated; end");
    kit_fini(&kit);
}

/* ---- backward ------------------------------------------------------------------------------ */

static void test_undoes_in_reverse_order(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":40.00}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{\"id\":7}");
    kit_succeed(&kit, "two", "{\"y\":1,\"z\":2}");
    kit_miss(&kit, "book", SAGA_REFUSED);
    EXPECT(&kit, "!failed book(why); !fenced book; undo two {\"z\":2}");
    assert_int_equal(saga_state(kit.saga), SAGA_COMPENSATING);
    static const enum saga_outcome outcomes[] = {SAGA_NOT_DONE, SAGA_UNSURE, SAGA_REFUSED,
                                                 SAGA_UNSURE, SAGA_UNSURE};
    for (int i = 0; i < 5; i++) {
        assert_false(saga_needs_operator(kit.saga));
        kit_miss(&kit, "two", outcomes[i]);
        kit_wake(&kit);
        EXPECT(&kit, "undo two {\"z\":2}");
    }
    assert_true(saga_needs_operator(kit.saga));
    kit_succeed(&kit, "two", NULL);
    EXPECT(&kit, "!undone two; undo one {\"a\":40.00}"); /* the step's own arguments */
    kit_succeed(&kit, "one", NULL);
    EXPECT(&kit, "undone one; !compensated; end");
    assert_int_equal(saga_state(kit.saga), SAGA_COMPENSATED);
    assert_string_equal(saga_problem(kit.saga)->code, "why");
    kit_fini(&kit);
}

static void test_awaits_and_cancels_what_is_under_way(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, branches, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "r1", SAGA_REFUSED);
    EXPECT(&kit, "!failed r1(why); fenced r1"); /* left is under way: nothing is undone yet */
    kit_succeed(&kit, "left", "0");
    EXPECT(&kit, "!done left=0; undo left {}");
    kit_fini(&kit);

    kit_init(&kit, branches, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "left", SAGA_UNSURE); /* in a pause, and maybe done */
    kit_miss(&kit, "r1", SAGA_REFUSED);
    EXPECT(&kit, "!failed r1(why); !fenced r1; cancel left");
    kit_succeed(&kit, "left", "0");
    EXPECT(&kit, "!done left=0; undo left {}");
    kit_fini(&kit);

    kit_init(&kit, branches, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "left", SAGA_NOT_DONE); /* in a pause, and certainly not done */
    kit_miss(&kit, "r1", SAGA_REFUSED);
    EXPECT(&kit, "!failed r1(why); fenced left; fenced r1; !compensated; end");
    kit_fini(&kit);

    kit_init(&kit, branches, "{\"a\":1}");
    kit_begin(&kit);
    kit_miss(&kit, "r1", SAGA_REFUSED);
    kit_miss(&kit, "left", SAGA_UNSURE);
    EXPECT(&kit, "cancel left");
    kit_miss(&kit, "left", SAGA_NOT_DONE);
    kit_wake(&kit);
    kit_miss(&kit, "left", SAGA_REFUSED);
    EXPECT(&kit, "fenced left; !compensated; end");
    kit_fini(&kit);
}

static void test_branches_are_undone_at_once(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, branches, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "left", "0");
    kit_succeed(&kit, "r1", "1");
    kit_succeed(&kit, "r2", "2");
    kit_miss(&kit, "last", SAGA_REFUSED);
    EXPECT(&kit, "!failed last(why); !fenced last; undo r2 {}; undo left {}");
    kit_succeed(&kit, "r2", NULL);
    EXPECT(&kit, "!undone r2; undo r1 {}");
    kit_succeed(&kit, "r1", NULL);
    EXPECT(&kit, "undone r1");
    kit_succeed(&kit, "left", NULL);
    EXPECT(&kit, "undone left; !compensated; end");
    kit_fini(&kit);
}

static const char limited[] =
    HEAD "timeout: 10s\nsteps:\n"
         "  - {name: one, call: p.one, compensate: p.undo_one}\n"
         "  - {name: book, call: p.book, kind: pivot, retry: {attempts: 100}}\n"
         "  - {name: tell, call: p.tell, kind: retriable}\n";

static void test_timeout_undoes(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, limited, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "0");
    assert_int_equal(saga_deadline_us(kit.saga), KIT_BEGUN + 10 * SECOND);
    assert_int_equal(saga_wake_us(kit.saga, &kit.time), kit.time.now_us + 10 * SECOND);
    kit_wake(&kit);
    EXPECT(&kit, ""); /* E3: the pivot is being tried */
    kit_miss(&kit, "book", SAGA_NOT_DONE);
    EXPECT(&kit, "!failed (timeout); !fenced book; undo one {}");
    kit_fini(&kit);
}

static void test_timeout_cancels_the_pivot_first(void **state)
{
    (void)state;
    for (int done = 0; done < 2; done++) {
        struct kit kit;
        kit_init(&kit, limited, "{\"a\":1}");
        kit_begin(&kit);
        kit_succeed(&kit, "one", "0");
        kit_miss(&kit, "book", SAGA_UNSURE);
        kit_wake_at(&kit, kit.time.now_us + 10 * SECOND);
        EXPECT(&kit, "cancel book");
        kit_miss(&kit, "book", SAGA_UNSURE);
        EXPECT(&kit, "");
        kit_wake(&kit);
        EXPECT(&kit, "cancel book");
        if (done) {
            kit_succeed(&kit, "book", "1");
            EXPECT(&kit, "!done book=1; do tell {}");
            assert_int_equal(saga_deadline_us(kit.saga), 0);
            kit_wake_at(&kit, kit.time.now_us + SECOND);
            EXPECT(&kit, "");
        } else {
            kit_miss(&kit, "book", SAGA_REFUSED);
            EXPECT(&kit, "!failed (timeout); !fenced book; undo one {}");
        }
        kit_fini(&kit);
    }
}

static void test_timeout_when_the_pivot_is_done_all_the_same(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, limited, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "0");
    kit_wake(&kit);
    kit_succeed(&kit, "book", "1");
    EXPECT(&kit, "!done book=1; do tell {}");
    kit_fini(&kit);
}

/* A database that was restored may deny what it had proved. */
static void test_a_pivot_that_is_done_after_all_calls_an_operator(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, limited, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "0");
    kit_miss(&kit, "book", SAGA_REFUSED);
    EXPECT(&kit, "!failed book(why); !fenced book; undo one {}");
    kit_restart(&kit, 2); /* with the failure, and without the fence */
    EXPECT(&kit, "cancel book");
    kit_succeed(&kit, "book", "1");
    EXPECT(&kit, "");
    assert_true(saga_needs_operator(kit.saga));
    assert_string_equal(saga_problem(kit.saga)->code, "contradiction");
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "!retried; cancel book");
    kit_miss(&kit, "book", SAGA_REFUSED);
    EXPECT(&kit, "!fenced book; undo one {}");
    assert_false(saga_needs_operator(kit.saga));
    kit_fini(&kit);
}

static void test_timeout_after_a_restart(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, limited, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "0");
    kit.time.wall_us += 20 * SECOND;
    kit_restart(&kit, 1);
    EXPECT(&kit, "cancel book"); /* it may have been tried before */
    kit_miss(&kit, "book", SAGA_REFUSED);
    EXPECT(&kit, "!failed (timeout); !fenced book; undo one {}");
    kit_fini(&kit);
    kit_init(&kit, limited, "{\"a\":1}");
    kit_begin(&kit);
    kit.time.wall_us += 20 * SECOND;
    kit_restart(&kit, 0);
    EXPECT(&kit, "!failed (timeout); cancel one");
    kit_succeed(&kit, "one", "0");
    EXPECT(&kit, "!done one=0; undo one {}");
    kit_fini(&kit);
}

static void test_compensate(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, three, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{}");
    struct saga_event event = {.type = SAGA_EVENT_COMPENSATE,
                               .problem = {.code = "operator", .message = "a mistake"}};
    assert_true(kit_event(&kit, &event));
    EXPECT(&kit, "!failed (operator)");
    assert_true(kit_event(&kit, &event)); /* twice is once */
    EXPECT(&kit, "");
    kit_succeed(&kit, "two", "{\"z\":3}");
    EXPECT(&kit, "!done two={\"y\":null}; undo two {\"z\":3}");
    kit_fini(&kit);
}

static void test_compensate_cancels_the_pivot_first(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit, limited, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{}");
    kit_miss(&kit, "book", SAGA_UNSURE);
    assert_true(kit_order(&kit, SAGA_EVENT_COMPENSATE));
    EXPECT(&kit, "cancel book");
    kit_succeed(&kit, "book", "{}");
    EXPECT(&kit, "!done book={}; do tell {}");
    assert_false(kit_order(&kit, SAGA_EVENT_COMPENSATE));
    EXPECT(&kit, "refused: the saga shop.c1.5.17 is past its pivot: it can't be undone");
    kit_succeed(&kit, "tell", "{}");
    assert_false(kit_order(&kit, SAGA_EVENT_COMPENSATE));
    kit_fini(&kit);
}

static void test_a_completed_saga_without_a_pivot_can_be_undone(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD "steps:\n  - {name: one, call: p.one, compensate: p.undo}\n"
                  "  - {name: s, saga: other}\n"
                  "output: {x: \"${ .steps.one }\"}\n",
             "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "5");
    EXPECT(&kit, "!done one=5; do s {}");
    kit_succeed(&kit, "s", "6");
    EXPECT(&kit, "!done s=6; !completed {\"x\":5}; end");
    assert_true(kit_order(&kit, SAGA_EVENT_COMPENSATE));
    EXPECT(&kit, "!failed (compensated); undo s");
    assert_null(saga_output(kit.saga));
    kit_restart(&kit, kit.journal.count);
    EXPECT(&kit, "undo s");
    kit_succeed(&kit, "s", NULL);
    EXPECT(&kit, "!undone s; undo one {}");
    kit_succeed(&kit, "one", NULL);
    EXPECT(&kit, "undone one; !compensated; end");
    assert_true(kit_order(&kit, SAGA_EVENT_COMPENSATE));
    EXPECT(&kit, "");
    kit_restart(&kit, kit.journal.count);
    EXPECT(&kit, "end");
    kit_fini(&kit);
}

/* ---- expressions that fail ----------------------------------------------------------------- */

static void test_arguments_that_fail(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "steps:\n"
             "  - {name: one, call: p.one, compensate: {call: p.u, with: {x: \"${ .result.a + 1 "
             "}\"}}}\n"
             "  - {name: two, call: p.two, with: {x: \"${ .steps.one.a + 1 }\"}, compensate: "
             "none}\n";
    struct kit kit;
    kit_init(&kit, text, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{\"a\":\"text\"}");
    EXPECT(&kit, "done one={\"a\":\"text\"}; !failed two(expression); fenced two");
    /* The place, and what is wrong; and its compensation can't be called either. */
    assert_non_null(strstr(kit.journal.list[1].record.problem.message, "t.yaml:6:"));
    assert_true(saga_needs_operator(kit.saga));
    assert_true(saga_wake_us(kit.saga, &kit.time) == UINT64_MAX);
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "!retried");
    assert_true(saga_needs_operator(kit.saga));
    kit_fini(&kit);
}

static void test_an_output_that_fails_with_nothing_to_undo(void **state)
{
    (void)state;
    struct kit kit;
    kit_init(&kit,
             HEAD "steps:\n  - {name: one, call: p.one, compensate: none}\n"
                  "output: {x: \"${ .steps.one.a + 1 }\"}\n",
             "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{\"a\":\"text\"}");
    assert_non_null(strstr(kit.trace, "(expression); !compensated; end"));
    kit.trace[0] = '\0';
    kit_restart(&kit, 1); /* and when a crash comes before it has failed, or after */
    assert_non_null(strstr(kit.trace, "(expression); !compensated; end"));
    kit.trace[0] = '\0';
    kit_restart(&kit, 2);
    EXPECT(&kit, "!compensated; end");
    kit_fini(&kit);
}

static void test_a_condition_that_fails(void **state)
{
    (void)state;
    struct kit kit;
    static const char *const blocks[] = {
        "  - {name: two, call: p.two, when: \"${ .steps.one }\", compensate: none}\n",
        "  - choose: [{when: \"${ .steps.one }\", steps: [{name: two, call: p.two, compensate: "
        "none}]}]\n",
        "  - {name: two, for_each: \"${ .steps.one }\", steps: [{name: in, call: p.two, "
        "compensate: none}]}\n",
        "  - {name: two, wait: {until: \"${ .steps.one }\"}}\n"};
    for (size_t i = 0; i < sizeof(blocks) / sizeof(blocks[0]); i++) {
        char *text =
            xasprintf(HEAD "steps:\n  - {name: one, call: p.one, compensate: p.u}\n%s", blocks[i]);
        kit_init(&kit, text, "{\"a\":1}");
        free(text);
        kit_begin(&kit);
        kit_succeed(&kit, "one", "7");
        assert_non_null(strstr(kit.trace, "!done one=7; !failed "));
        assert_non_null(strstr(kit.trace, "(expression); undo one {}"));
        assert_null(strstr(kit.trace, "fenced"));
        kit_restart(&kit, 1); /* FAILED was lost */
        assert_non_null(strstr(kit.trace, "(expression); undo one {}"));
        kit_fini(&kit);
    }
}

static void test_an_output_that_fails_is_undone(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "steps:\n"
             "  - {name: one, call: p.one, output: {x: \"${ .result.a + 1 }\"},\n"
             "     compensate: {call: p.u, with: {x: \"${ .result.a }\"}}}\n";
    struct kit kit;
    kit_init(&kit, text, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "{\"a\":\"text\"}");
    EXPECT(&kit, "!failed one(expression); !done one=null; undo one {\"x\":\"text\"}");
    for (int kept = 0; kept < 3; kept++) { /* whatever is lost, it comes to the same */
        kit_restart(&kit, kept < kit.journal.count ? kept : kit.journal.count);
        if (kept == 0) {
            EXPECT(&kit, "do one {}");
            kit_succeed(&kit, "one", "{\"a\":\"text\"}");
            EXPECT(&kit, "!failed one(expression); !done one=null; undo one {\"x\":\"text\"}");
        } else if (kept == 1) {
            EXPECT(&kit, "cancel one");
            kit_succeed(&kit, "one", "{\"a\":\"text\"}");
            EXPECT(&kit, "!done one=null; undo one {\"x\":\"text\"}");
        } else {
            EXPECT(&kit, "undo one {\"x\":\"text\"}");
        }
    }
    kit_fini(&kit);
}

static void test_the_output_of_a_pivot_that_fails(void **state)
{
    (void)state;
    static const char text[] =
        HEAD "timeout: 10s\nsteps:\n"
             "  - {name: one, call: p.one, compensate: p.u}\n"
             "  - {name: book, call: p.book, kind: pivot, output: {x: \"${ .result.a + 1 }\"}}\n";
    struct kit kit;
    kit_init(&kit, text, "{\"a\":1}");
    kit_begin(&kit);
    kit_succeed(&kit, "one", "0");
    kit_succeed(&kit, "book", "{\"a\":\"text\"}");
    EXPECT(&kit, "");
    assert_true(saga_needs_operator(kit.saga));
    assert_true(saga_is_past_pivot(kit.saga));
    assert_true(saga_wake_us(kit.saga, &kit.time) == UINT64_MAX);
    assert_false(kit_order(&kit, SAGA_EVENT_COMPENSATE));
    assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
    EXPECT(&kit, "!retried; do book {}");
    kit_succeed(&kit, "book", "{\"a\":\"text\"}");
    assert_true(saga_needs_operator(kit.saga));
    kit.time.wall_us += 60 * SECOND;
    kit_restart(&kit, kit.journal.count);
    EXPECT(&kit, "cancel book"); /* the timeout is over: is it done? */
    kit_succeed(&kit, "book", "{\"a\":\"text\"}");
    EXPECT(&kit, ""); /* it is */
    assert_true(saga_needs_operator(kit.saga));
    assert_int_equal(saga_state(kit.saga), SAGA_RUNNING);
    kit_fini(&kit);
}

static void test_the_output_of_the_saga_that_fails(void **state)
{
    (void)state;
    struct kit kit;
    static const char *const kinds[] = {"compensate: p.u", "kind: pivot"};
    for (int pivot = 0; pivot < 2; pivot++) {
        char *text = xasprintf(HEAD "steps:\n  - {name: one, call: p.one, %s}\n"
                                    "output: {x: \"${ .steps.one + 1 }\"}\n",
                               kinds[pivot]);
        kit_init(&kit, text, "{\"a\":1}");
        free(text);
        kit_begin(&kit);
        kit_succeed(&kit, "one", "\"text\"");
        if (pivot) {
            EXPECT(&kit, "done one=\"text\"");
            assert_true(saga_needs_operator(kit.saga));
            assert_true(kit_order(&kit, SAGA_EVENT_RETRY));
            EXPECT(&kit, "!retried");
            assert_true(saga_needs_operator(kit.saga));
        } else {
            EXPECT(&kit, "!done one=\"text\"; !failed (expression); undo one {}");
        }
        kit_fini(&kit);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_runs_steps_in_sequence),
        cmocka_unit_test(test_a_result_that_is_not_kept_is_awaited),
        cmocka_unit_test(test_skips_what_its_condition_refuses),
        cmocka_unit_test(test_parallel_runs_all_at_once),
        cmocka_unit_test(test_choose_takes_the_first_that_is_true),
        cmocka_unit_test(test_for_each_runs_so_many_at_once),
        cmocka_unit_test(test_a_transaction_is_forgotten_when_it_is_done),
        cmocka_unit_test(test_tries_again_after_a_pause),
        cmocka_unit_test(test_cancels_what_may_have_been_done),
        cmocka_unit_test(test_a_refusal_fails_at_once),
        cmocka_unit_test(test_tries_for_ever_after_the_pivot),
        cmocka_unit_test(test_answers_that_fit_nothing_are_ignored),
        cmocka_unit_test(test_unprovable_waits_for_an_operator),
        cmocka_unit_test(test_retry_vouches_for_nothing_that_only_waits),
        cmocka_unit_test(test_retry_ends_pauses),
        cmocka_unit_test(test_undoes_in_reverse_order),
        cmocka_unit_test(test_awaits_and_cancels_what_is_under_way),
        cmocka_unit_test(test_branches_are_undone_at_once),
        cmocka_unit_test(test_timeout_undoes),
        cmocka_unit_test(test_timeout_cancels_the_pivot_first),
        cmocka_unit_test(test_timeout_when_the_pivot_is_done_all_the_same),
        cmocka_unit_test(test_a_pivot_that_is_done_after_all_calls_an_operator),
        cmocka_unit_test(test_timeout_after_a_restart),
        cmocka_unit_test(test_compensate),
        cmocka_unit_test(test_compensate_cancels_the_pivot_first),
        cmocka_unit_test(test_a_completed_saga_without_a_pivot_can_be_undone),
        cmocka_unit_test(test_arguments_that_fail),
        cmocka_unit_test(test_an_output_that_fails_with_nothing_to_undo),
        cmocka_unit_test(test_a_condition_that_fails),
        cmocka_unit_test(test_an_output_that_fails_is_undone),
        cmocka_unit_test(test_the_output_of_a_pivot_that_fails),
        cmocka_unit_test(test_the_output_of_the_saga_that_fails),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
