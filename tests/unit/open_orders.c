/* What an operator may do with a transaction that is still built. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

static void tell_database(struct visitor *visitor)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.database_up = true;
    body.database = (char *)"71/16384";
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

static void hear_progress(struct desk *desk)
{
    const Wire__Progress *progress = hear(desk->client, WIRE__MESSAGE__BODY_PROGRESS)->progress;
    assert_null(progress->problem);
}

/* Open: orders works at it, and what was joined at payments is prepared. */
static const char *open_one(struct desk *desk)
{
    static gtrid_text gtrid;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Begin begun = WIRE__BEGIN__INIT;
    Wire__Join join = WIRE__JOIN__INIT;
    Wire__HandOver hand_over = WIRE__HAND_OVER__INIT;
    Wire__Perform perform = WIRE__PERFORM__INIT;
    Wire__Call call = WIRE__CALL__INIT;
    tell_database(desk->payments);
    message.body_case = WIRE__MESSAGE__BODY_BEGIN;
    message.begin = &begun;
    say(desk->client, &message);
    snprintf(gtrid, sizeof(gtrid), "%s",
             hear(desk->client, WIRE__MESSAGE__BODY_PROGRESS)->progress->gtrid);
    join.gtrid = hand_over.gtrid = perform.gtrid = gtrid;
    join.participant = (char *)"payments";
    message.body_case = WIRE__MESSAGE__BODY_JOIN;
    message.join = &join;
    say(desk->client, &message);
    hear_progress(desk);
    hand_over.xid = 4711;
    message.body_case = WIRE__MESSAGE__BODY_HAND_OVER;
    message.hand_over = &hand_over;
    say(desk->client, &message);
    hear_progress(desk);
    call.participant = (char *)"orders";
    call.operation = (char *)"create";
    perform.request = 7;
    perform.call = &call;
    message.body_case = WIRE__MESSAGE__BODY_PERFORM;
    message.perform = &perform;
    say(desk->client, &message);
    hear(desk->orders, WIRE__MESSAGE__BODY_WORK);
    return gtrid;
}

static void what_is_open_is_aborted_by_the_protocol(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const char *gtrid = open_one(desk);
    order(desk, 4, (struct ordering){.gtrid = gtrid, .dry_run = true});
    both_testify(desk, gtrid, has_nothing, is_prepared);
    assert_int_equal(resolved(desk, 4, WIRE__DEED__DEED_ABORT)->n_steps, 2);
    assert_string_equal(shown(desk, gtrid)->state, "open");
    order(desk, 5, (struct ordering){.gtrid = gtrid, .reason = "a client hangs"});
    both_testify(desk, gtrid, has_nothing, is_prepared);
    const Wire__Outcome *waiting = outcome(desk->client, 7, WIRE__RESULT__ABORTED);
    assert_string_equal(waiting->problem->code, "operator");
    assert_string_equal(waiting->problem->message, "an operator aborted it: a client hangs");
    const Wire__Resolution *resolution = resolved(desk, 5, WIRE__DEED__DEED_ABORT);
    assert_int_equal(resolution->n_steps, 2);
    assert_string_equal(resolution->steps[0], "payments: ROLLBACK PREPARED");
    assert_string_equal(resolution->steps[1], "orders: its work is rolled back");
    assert_has(last_note(&desk->audit), "open; prepared at payments");
    finish(desk->orders, told(desk->orders, false), false, false);
    finish(desk->payments, told(desk->payments, false), false, false);
    assert_string_equal(shown(desk, gtrid)->state, "aborted");
    assert_string_equal(shown(desk, gtrid)->decision, "abort");
    nothing_is_listed(desk);
    desk_free(desk);
}

static void what_is_open_is_never_committed_by_an_order(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const char *gtrid = open_one(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid, .commit = true});
    both_testify(desk, gtrid, has_nothing, is_prepared);
    assert_has(refused(desk, 5, "undecided")->detail, "only that one can commit");
    order(desk, 6, (struct ordering){.gtrid = gtrid, .forget = true});
    both_testify(desk, gtrid, has_nothing, is_prepared);
    assert_non_null(hear(desk->client, WIRE__MESSAGE__BODY_ANSWER)->answer->problem);
    assert_string_equal(shown(desk, gtrid)->state, "open");
    hear_nothing(desk->payments);
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_open_is_aborted_by_the_protocol),
        cmocka_unit_test(what_is_open_is_never_committed_by_an_order),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
