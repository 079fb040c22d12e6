/* What is parked for an operator is told to the hook: once, while it stays so. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

enum { LOOK_US = 5100 * 1000 };

static void report_held(struct visitor *visitor, const char *gid)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *held[] = {(char *)"foreign; rm -rf /", (char *)gid};
    body.database_up = true;
    body.held = held;
    body.n_held = gid ? 2 : 1;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

/* What was told since, which must be this. */
static void raised(struct desk *desk, const char *expected)
{
    pass(desk->world, LOOK_US);
    assert_int_equal(desk->alerts.count, 1);
    assert_string_equal(desk->alerts.texts[0], expected);
    desk->alerts.count = 0;
}

static void nothing_is_raised(struct desk *desk)
{
    pass(desk->world, 2 * LOOK_US);
    assert_int_equal(desk->alerts.count, 0);
}

static void a_hazard_is_told_once(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    char expected[260];
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    finish(desk->orders, told(desk->orders, true), true, true);
    applied(desk->payments);
    snprintf(expected, sizeof(expected), "hazard %s: troth tx explain %s", gtrid_of(branch),
             gtrid_of(branch));
    raised(desk, expected);
    nothing_is_raised(desk);
    sync_journal(desk->world);
    desk_crash(desk);
    raised(desk, expected); /* by the next process once more */
    desk_free(desk);
}

static void a_transaction_that_turns_mixed_is_told(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    char expected[260];
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch, .commit = true});
    nothing_is_raised(desk);
    tell_forced(desk->payments, (struct forced){.branch = second(branch)});
    snprintf(expected, sizeof(expected), "mixed %s: troth tx explain %s", gtrid_of(branch),
             gtrid_of(branch));
    raised(desk, expected);
    nothing_is_raised(desk);
    desk_free(desk);
}

static void what_is_held_is_told_once_while_it_is_reported(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    static const char expected[] =
        "held troth.shop.c9.7.70.1: troth tx explain troth.shop.c9.7.70.1";
    report_held(desk->orders, "troth.shop.c9.7.70.1");
    raised(desk, expected);
    report_held(desk->orders, "troth.shop.c9.7.70.1");
    nothing_is_raised(desk);
    report_held(desk->orders, NULL);
    nothing_is_raised(desk);
    report_held(desk->orders, "troth.shop.c9.7.70.1");
    raised(desk, expected);
    desk_free(desk);
}

static void a_proposal_without_a_majority_is_told_after_ten_seconds(void **unused)
{
    (void)unused;
    const struct submission three = {.protocol = WIRE__PROTOCOL__THREE_PHASE};
    struct desk *desk = desk_new();
    char expected[260];
    listen_at(desk->orders, "tcp://127.0.0.1:7101");
    listen_at(desk->payments, "tcp://127.0.0.1:7102");
    Wire__Branch branch = begin_deciding(desk, &three);
    sync_journal(desk->world);
    pass(desk->world, 4 * SECOND_US);
    assert_int_equal(desk->alerts.count, 0);
    pass(desk->world, 10 * SECOND_US);
    snprintf(expected, sizeof(expected), "majority %s: troth tx explain %s", gtrid_of(branch),
             gtrid_of(branch));
    raised(desk, expected);
    nothing_is_raised(desk);
    desk_free(desk);
}

static void nobody_is_told_where_there_is_no_hook(void **unused)
{
    (void)unused;
    struct world *world = world_new();
    start(world);
    struct visitor *orders = participant(world, 0, "orders");
    report_held(orders, "troth.shop.c9.7.70.1");
    pass(world, 2 * LOOK_US);
    world_free(world);
}

static int raises;

static void count_only(void *self, const struct alert *alert)
{
    (void)self;
    (void)alert;
    raises++;
}

/* Each participant reports as many as a message takes. */
static void only_so_many_are_remembered(void **unused)
{
    (void)unused;
    enum { EACH = 1500 };
    struct desk *desk = desk_new();
    static char gids[EACH][40];
    char *held[EACH];
    desk->alert_port.raise = count_only;
    for (int i = 0; i * EACH <= LIMIT_ALERTS; i++) {
        char name[16];
        snprintf(name, sizeof(name), "p%d", i);
        struct visitor *visitor = participant(desk->world, 3 + i, name);
        Wire__Status body = WIRE__STATUS__INIT;
        Wire__Message message = WIRE__MESSAGE__INIT;
        for (int j = 0; j < EACH; j++) {
            snprintf(gids[j], sizeof(gids[j]), "troth.shop.c9.%d.%d.0", 1 + i, 1 + j);
            held[j] = gids[j];
        }
        body.held = held;
        body.n_held = EACH;
        message.body_case = WIRE__MESSAGE__BODY_STATUS;
        message.status = &body;
        say(visitor, &message);
    }
    pass(desk->world, 2 * LOOK_US);
    assert_int_equal(raises, LIMIT_ALERTS);
    assert_int_equal(desk->world->logged[LOG_ERROR], 1);
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_hazard_is_told_once),
        cmocka_unit_test(a_transaction_that_turns_mixed_is_told),
        cmocka_unit_test(what_is_held_is_told_once_while_it_is_reported),
        cmocka_unit_test(a_proposal_without_a_majority_is_told_after_ten_seconds),
        cmocka_unit_test(nobody_is_told_where_there_is_no_hook),
        cmocka_unit_test(only_so_many_are_remembered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
