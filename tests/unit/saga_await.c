/* Waiting for a saga that has begun, by its id. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "sagas_kit.h"

static void await(struct hall *hall, const char *id, uint32_t timeout_ms)
{
    Wire__AwaitSaga body = WIRE__AWAIT_SAGA__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = ++hall->request;
    body.saga = (char *)id;
    body.timeout_ms = timeout_ms;
    message.body_case = WIRE__MESSAGE__BODY_AWAIT_SAGA;
    message.await_saga = &body;
    say(hall->client, &message);
}

static void who_waits_hears_the_end_and_later_at_once(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    char id[sizeof(gtrid_text)];
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "order", "{\"id\":\"o\"}"));
    await(hall, id, 60000);
    hear_nothing(hall->client);
    finish_all(hall);
    assert_string_equal(hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED)->output,
                        "{\"charged\":7}");
    await(hall, id, 60000);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED);
    assert_string_equal(heard->output, "{\"charged\":7}");
    assert_string_equal(heard->saga, id);
    assert_false(heard->repeated_key);
    hall_free(hall);
}

static void one_that_is_undone_says_why(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    char id[sizeof(gtrid_text)];
    hall->refused = "charge";
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "order", "{\"id\":\"o\"}"));
    await(hall, id, 0);
    finish_all(hall);
    for (int later = 0; later < 2; later++) {
        const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
        assert_string_equal(heard->problem->code, "insufficient_funds");
        await(hall, id, 0);
    }
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    hall_free(hall);
}

static void patience_ends_and_the_saga_goes_on(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    char id[sizeof(gtrid_text)];
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "approval", NULL));
    settle_all(hall);
    await(hall, id, 3000);
    pass(hall->world, 2 * SECOND_US);
    hear_nothing(hall->client);
    pass(hall->world, 2 * SECOND_US);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    assert_int_equal(running(hall), 1);
    /* After a restart it is the same saga. */
    hall_crash(hall);
    await(hall, id, 600 * 1000);
    settle_all(hall);
    hear_nothing(hall->client);
    server_drain(hall->world->server);
    run(hall->world);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    await(hall, id, 0);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    hall_free(hall);
}

static void an_id_that_is_none_is_refused(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    static const char *const ids[] = {
        "", "order", "shop.c1.5", "shop.c2.5.1", "other.c1.5.1", "shop.c1.5.1"};
    for (size_t i = 0; i < sizeof(ids) / sizeof(*ids); i++) {
        await(hall, ids[i], 1000);
        hear_refusal(hall, "unknown_saga");
    }
    hall_free(hall);
}

static void so_many_wait_and_no_more(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    char id[sizeof(gtrid_text)];
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "approval", NULL));
    settle_all(hall);
    for (int i = 0; i < LIMIT_WAITERS; i++)
        await(hall, id, 0);
    hear_nothing(hall->client);
    await(hall, id, 0);
    hear_refusal(hall, "busy");
    leave(hall->client);
    pass(hall->world, 3 * SECOND_US);
    hall->client = client(hall->world, 2);
    await(hall, id, 0);
    hear_nothing(hall->client);
    hall_free(hall);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_waits_hears_the_end_and_later_at_once),
        cmocka_unit_test(one_that_is_undone_says_why),
        cmocka_unit_test(patience_ends_and_the_saga_goes_on),
        cmocka_unit_test(an_id_that_is_none_is_refused),
        cmocka_unit_test(so_many_wait_and_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, hall_clear_shelf);
}
