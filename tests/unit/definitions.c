/* The definitions that a coordinator knows, as the folder with them changes. */
#include "sagas_kit.h"

static const char broken_order[] =
    "saga: order\nversion: 2\nsteps:\n  - {name: a, calls: orders.x}\n";
static const char other_order[] =
    "saga: order\nversion: 2\nsteps:\n  - {name: ship, call: orders.ship, compensate: none}\n";
static const char wrong_order[] =
    "saga: order\nversion: 2\nsteps:\n"
    "  - {name: a, call: orders.x, with: {b: \"${ .steps.c }\"}, compensate: none}\n";
static const char nobody[] = "saga: [\n";

static struct definition *current(const struct hall *hall, const char *name)
{
    return definitions_current(&hall->world->server->sagas.definitions, name);
}

static int errors(const struct hall *hall)
{
    return hall->world->logged[LOG_ERROR];
}

static void what_is_refused_leaves_what_was_known(void **unused)
{
    (void)unused;
    static const char *const bad[] = {broken_order, wrong_order, nobody};
    struct hall *hall = hall_new();
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        int before = errors(hall);
        hall->texts[0] = bad[i];
        assert_int_equal(hall_define(hall), 1);
        assert_true(errors(hall) > before);
        assert_int_equal(current(hall, "order")->plan->version, 1);
        assert_non_null(current(hall, "outer")); /* it needs the one that stayed */
    }
    hall->texts[0] = order_saga;
    assert_int_equal(hall_define(hall), 0);
    hall_free(hall);
}

static void a_change_is_logged_once(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    int before = hall->world->logged[LOG_INFO];
    assert_int_equal(hall_define(hall), 0);
    assert_int_equal(hall->world->logged[LOG_INFO], before);
    hall->texts[0] = "saga: order\nversion: 2\ninput: {id: string}\nsteps:\n"
                     "  - {name: ship, call: orders.ship, with: {id: \"${ .input.id }\"}, "
                     "compensate: none}\n"
                     "output: {charged: 1}\n";
    assert_int_equal(hall_define(hall), 0);
    assert_int_equal(hall->world->logged[LOG_INFO], before + 1);
    assert_int_equal(current(hall, "order")->plan->version, 2);
    hall_free(hall);
}

static void one_that_is_gone_begins_no_saga_and_those_that_run_go_on(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    hall->texts[0] = NULL;
    assert_int_equal(hall_define(hall), 0);
    assert_null(current(hall, "order"));
    start_saga(hall, &(struct starting){.name = "order", .input = "{\"id\":\"o\"}"});
    hear_refusal(hall, "unknown_saga");
    settle_all(hall);
    hall_crash(hall);
    finish_all(hall);
    assert_int_equal(remains(hall, "charge"), 1);
    hall_free(hall);
}

static void a_saga_goes_on_with_what_it_began_with(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[2] = NULL;
    hall->away = "charge";
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    settle_all(hall);
    hall->texts[0] = other_order;
    assert_int_equal(hall_define(hall), 0);
    hall->away = NULL;
    hall_crash(hall);
    begin_saga(hall, "order", NULL);
    finish_all(hall);
    assert_int_equal(remains(hall, "charge"), 1);
    assert_int_equal(remains(hall, "ship"), 1);
    assert_int_equal(hall->world->server->sagas.definitions.map.count, 3); /* in the history */
    hall_free(hall);
}

static void of_two_files_with_one_name_the_second_is_refused(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[3] = other_order;
    assert_int_equal(hall_define(hall), 1);
    assert_int_equal(current(hall, "order")->plan->version, 1);
    hall->texts[3] = order_saga;
    assert_int_equal(hall_define(hall), 1);
    hall_free(hall);
}

static void one_that_needs_a_refused_one_is_refused_too(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[0] = "saga: order\nversion: 2\ninput: {id: string, more: integer}\nsteps:\n"
                     "  - {name: a, call: orders.x, with: {b: \"${ .steps.c }\"}}\n";
    hall->texts[2] = "saga: outer\nversion: 2\nsteps:\n"
                     "  - {name: inner, saga: order, input: {id: \"o\", more: 1}}\n";
    assert_int_equal(hall_define(hall), 2);
    assert_int_equal(current(hall, "order")->plan->version, 1);
    assert_int_equal(current(hall, "outer")->plan->version, 1);
    hall_free(hall);
}

static void a_definition_is_journaled_once_and_in_each_checkpoint(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    size_t before = hall->world->journal.count;
    begin_saga(hall, "approval", NULL);
    begin_saga(hall, "approval", NULL);
    assert_int_equal(hall->world->journal.count, before + 3);
    hall->world->checkpoint_due = true;
    run(hall->world);
    hall->world->durable = hall->world->journal.count;
    drop_what_the_checkpoint_replaced(hall->world);
    hall_crash(hall);
    assert_int_equal(running(hall), 2);
    before = hall->world->journal.count;
    begin_saga(hall, "approval", NULL);
    assert_int_equal(hall->world->journal.count, before + 1);
    hall_free(hall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_refused_leaves_what_was_known),
        cmocka_unit_test(a_change_is_logged_once),
        cmocka_unit_test(one_that_is_gone_begins_no_saga_and_those_that_run_go_on),
        cmocka_unit_test(a_saga_goes_on_with_what_it_began_with),
        cmocka_unit_test(of_two_files_with_one_name_the_second_is_refused),
        cmocka_unit_test(one_that_needs_a_refused_one_is_refused_too),
        cmocka_unit_test(a_definition_is_journaled_once_and_in_each_checkpoint),
    };
    return cmocka_run_group_tests(tests, NULL, hall_clear_shelf);
}
