/* What people order of sagas is in the audit log; and a saga that needs an operator is told to the
 * hook. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kits have more than is needed here */
#include "sagas_kit.h"

enum { LINES = 16, LINE_BYTES = 500 };

static char lines[LINES][LINE_BYTES];
static int line_count;

static const char *text_of(const char *text)
{
    return text ? text : "-";
}

static void write_line(void *self, const struct audit_entry *entry)
{
    (void)self;
    assert_true(line_count < LINES);
    snprintf(lines[line_count++], LINE_BYTES, "%s %s by %s in %s: %s, %s to %s", entry->stage,
             entry->action, entry->by, entry->session, text_of(entry->reason),
             text_of(entry->before), text_of(entry->after));
}

static void write_alert(void *self, const struct alert *alert)
{
    (void)self;
    assert_true(line_count < LINES);
    snprintf(lines[line_count++], LINE_BYTES, "%s %s: %s", alert->kind, alert->subject,
             alert->command);
}

static const struct audit_port audit_port = {NULL, write_line};
static const struct alert_port alert_port = {NULL, write_alert};

static struct hall *audited_hall(const struct audit_port *audit, const struct alert_port *alerts)
{
    struct hall *hall = hall_new();
    line_count = 0;
    hall->world->audit = audit;
    hall->world->alerts = alerts;
    hall_crash(hall); /* the server with these ports */
    return hall;
}

/* From here on nothing else was written. */
static void wrote(int from, const char *first, const char *next)
{
    assert_int_equal(line_count, from + (next ? 2 : 1));
    assert_string_equal(lines[from], first);
    if (next)
        assert_string_equal(lines[from + 1], next);
}

static void orders_are_written_before_and_after(void **unused)
{
    (void)unused;
    struct hall *hall = audited_hall(&audit_port, NULL);
    const char *id = begin_saga(hall, "approval", NULL);
    settle_all(hall);
    give_order(hall, id, WIRE__ORDER__ORDER_RETRY, NULL, NULL); /* it waits for a signal */
    hear_order(hall, "bad_request");
    assert_int_equal(line_count, 2);
    assert_string_equal(lines[0], "ordered saga retry by cli-1 in cli-1 (client): -, running to -");
    assert_non_null(strstr(lines[1], "refused saga retry by cli-1 in cli-1 (client): -, running"));
    Wire__SagaOrder body = WIRE__SAGA_ORDER__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.request = ++hall->request;
    body.saga = (char *)id;
    body.order = WIRE__ORDER__ORDER_COMPENSATE;
    body.reason = (char *)"sold out";
    body.by = (char *)"ada@ops";
    message.body_case = WIRE__MESSAGE__BODY_SAGA_ORDER;
    message.saga_order = &body;
    say(hall->client, &message);
    sync_journal(hall->world);
    hear_order(hall, NULL);
    wrote(2, "ordered saga compensate by ada@ops in cli-1 (client): sold out, running to -",
          "done saga compensate by ada@ops in cli-1 (client): sold out, compensating to "
          "compensating");
    finish_all(hall);
    hall_free(hall);
}

static void a_signal_is_written_once(void **unused)
{
    (void)unused;
    struct hall *hall = audited_hall(&audit_port, NULL);
    const char *id = begin_saga(hall, "approval", NULL);
    settle_all(hall);
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "approved", "1");
    settle_all(hall);
    hear_order(hall, NULL);
    wrote(0, "done saga signal by cli-1 in cli-1 (client): approved, running to running", NULL);
    finish_all(hall);
    hall_free(hall);
}

static void orders_that_fit_no_saga_are_not_written(void **unused)
{
    (void)unused;
    struct hall *hall = audited_hall(&audit_port, NULL);
    give_order(hall, "nonsense", WIRE__ORDER__ORDER_RETRY, NULL, NULL);
    hear_order(hall, "bad_request");
    give_order(hall, "shop.c1.1.999", WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    hear_order(hall, "unknown_saga");
    assert_int_equal(line_count, 0);
    hall_free(hall);
}

static void a_saga_that_needs_an_operator_is_told_once(void **unused)
{
    (void)unused;
    struct hall *hall = audited_hall(NULL, &alert_port);
    char expected[LINE_BYTES], id[120];
    hall->away = "cancel"; /* its compensation is never answered */
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "approval", NULL));
    settle_all(hall);
    give_order(hall, id, WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    for (int i = 0; i < 200 && line_count == 0; i++) {
        settle_all(hall);
        pass(hall->world, 10 * SECOND_US);
    }
    snprintf(expected, sizeof(expected), "saga %s: troth saga show %s", id, id);
    wrote(0, expected, NULL);
    pass(hall->world, 100 * SECOND_US);
    settle_all(hall);
    assert_int_equal(line_count, 1);
    hall_free(hall);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(orders_are_written_before_and_after),
        cmocka_unit_test(a_signal_is_written_once),
        cmocka_unit_test(orders_that_fit_no_saga_are_not_written),
        cmocka_unit_test(a_saga_that_needs_an_operator_is_told_once),
    };
    return cmocka_run_group_tests(tests, NULL, hall_clear_shelf);
}
