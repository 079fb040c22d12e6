/* What a participant tells of its operations, and what its coordinator keeps of that. */
#include "tests/unit/agent_ports.h"

#include "coordinator/participants.h"

/* A Status comes when the database does. */
static const Wire__Status *next_status(void)
{
    clear_inbox();
    events->up(events->self, "1/1");
    settle();
    return got(WIRE__MESSAGE__BODY_STATUS)->status;
}

static void an_operation_is_offered_with_its_parameters_and_their_types(void **state)
{
    (void)state;
    const Wire__Status *status = next_status();
    assert_int_equal(status->n_offers, 2);
    assert_string_equal(status->offers[0]->operation, "charge");
    assert_false(status->offers[0]->read_only);
    assert_int_equal(status->offers[0]->n_parameters, 1);
    assert_string_equal(status->offers[0]->parameters[0], "amount");
    assert_string_equal(status->offers[0]->types[0], "numeric");
    assert_string_equal(status->offers[1]->operation, "look");
    assert_true(status->offers[1]->read_only);
    assert_int_equal(status->offers[1]->n_parameters, 0);
}

/* Each takes over 5 KiB: three fit. */
static void add_wide(const char *name)
{
    struct error error = {0};
    struct operation *operation = operation_add(&operations, name, false, &error);
    assert_non_null(operation);
    for (int i = 0; i < 100; i++) {
        char parameter[LIMIT_WORD_BYTES + 1];
        snprintf(parameter, sizeof(parameter), "a_parameter_with_a_long_name_%03d", i);
        assert_true(
            operation_parameter_add(operation, parameter, "timestamp with time zone", &error));
    }
}

static void operations_that_do_not_fit_are_left_out_of_the_offers_only(void **state)
{
    (void)state;
    static const char *const names[] = {"w1", "w2", "w3", "w4"};
    struct error error = {0};
    for (int i = 0; i < 4; i++)
        add_wide(names[i]);
    assert_non_null(operation_add(&operations, "narrow", false, &error));
    const Wire__Status *status = next_status();
    assert_int_equal(status->n_operations, 7);
    assert_true(wire__status__get_packed_size(status) < LIMIT_MESSAGE_BYTES);
    size_t wide = 0;
    for (size_t i = 0; i < status->n_offers; i++)
        wide += status->offers[i]->operation[0] == 'w';
    assert_in_range(wide, 1, 3);
    assert_int_equal(status->n_offers, 3 + wide);
    assert_string_equal(status->offers[status->n_offers - 1]->operation, "narrow");
}

static void the_coordinator_keeps_them_sorted_and_drops_what_makes_no_sense(void **state)
{
    (void)state;
    struct participants participants;
    participants_init(&participants);
    struct participant *payments = participants_meet(&participants, "payments");
    char *one[] = {(char *)"amount"}, *type[] = {(char *)"numeric"};
    Wire__Offer list[3] = {WIRE__OFFER__INIT, WIRE__OFFER__INIT, WIRE__OFFER__INIT};
    Wire__Offer *offers[] = {&list[0], &list[1], &list[2]};
    list[0].operation = (char *)"refund";
    list[1].operation = (char *)"odd";
    list[1].n_parameters = 1;
    list[1].parameters = one;
    list[2].operation = (char *)"charge";
    list[2].read_only = true;
    list[2].n_parameters = list[2].n_types = 1;
    list[2].parameters = one;
    list[2].types = type;
    Wire__Status status = WIRE__STATUS__INIT;
    status.offers = offers;
    status.n_offers = 3;
    for (int i = 0; i < 2; i++) { /* a second report replaces the first */
        participant_report(payments, &status);
        const struct participant_report *report = &payments->report;
        assert_int_equal(report->offer_count, 2);
        assert_string_equal(report->offers[0].operation, "charge");
        assert_true(report->offers[0].read_only);
        assert_int_equal(report->offers[0].parameter_count, 1);
        assert_string_equal(report->offers[0].parameters[0], "amount");
        assert_string_equal(report->offers[0].types[0], "numeric");
        assert_string_equal(report->offers[1].operation, "refund");
    }
    participant_forget_report(payments);
    assert_int_equal(payments->report.offer_count, 0);
    participants_fini(&participants);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define UP(test) cmocka_unit_test_setup_teardown(test, start_with_database, stop)
    const struct CMUnitTest tests[] = {
        UP(an_operation_is_offered_with_its_parameters_and_their_types),
        UP(operations_that_do_not_fit_are_left_out_of_the_offers_only),
        UP(the_coordinator_keeps_them_sorted_and_drops_what_makes_no_sense),
    };
    return cmocka_run_group_tests_name("offers", tests, NULL, NULL);
}
