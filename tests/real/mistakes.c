/* What a person asks for wrongly, or at a bad moment: each time a clear answer, and nothing of it
 * in any database. */
#include <libpq-fe.h>
#include <stdio.h>
#include <string.h>

#include "tests/real/support/cluster.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

static void expect_no_notes(struct shop *shop, const char *id)
{
    books_wait_settled(shop);
    for (enum process p = ORDERS; p < PROCESSES; p++)
        assert_int_equal(books_count_notes(process_names[p], id), 0);
}

/* ---- calls --------------------------------------------------------------------------------- */

static void an_unknown_participant_is_named_with_the_nearest_one(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "paiments.note",
                         "{\"id\": \"x\"}", NULL),
                TOLD_MISTAKE, "paiments", "did you mean payments", NULL);
    expect_no_notes(shop, "x");
}

static void an_unknown_operation_is_named_with_the_nearest_one(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.not",
                         "{\"id\": \"x\"}", NULL),
                TOLD_MISTAKE, "payments", "not", "did you mean payments.note");
    expect_no_notes(shop, "x");
}

static void a_missing_argument_is_named(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.charge",
                         "{\"order_id\": \"x\", \"customer\": \"ada\"}", NULL),
                TOLD_ABORTED, "payments.charge", "amount", NULL);
    expect_no_notes(shop, "x");
}

static void an_argument_that_nobody_knows_is_named(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.note",
                         "{\"id\": \"x\", \"colour\": \"red\"}", NULL),
                TOLD_ABORTED, "payments.note", "colour", NULL);
    expect_no_notes(shop, "x");
}

static void an_argument_of_the_wrong_type_is_refused_with_its_value(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.charge",
                         "{\"order_id\": \"x\", \"customer\": \"ada\", \"amount\": \"plenty\"}",
                         NULL),
                TOLD_ABORTED, "payments.charge", "plenty", NULL);
    expect_no_notes(shop, "x");
}

static void arguments_that_are_no_json_are_refused_before_anything_is_sent(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": ", NULL), TOLD_MISTAKE,
                "orders.note", NULL, NULL);
}

static void an_sql_error_names_participant_operation_and_the_text_of_postgresql(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "payments.enrol", "{\"id\": \"m\"}", NULL), TOLD_COMMITTED,
                NULL, NULL, NULL);
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.enrol",
                         "{\"id\": \"m\"}", NULL),
                TOLD_ABORTED, "payments.enrol", "duplicate key value violates unique constraint",
                "Key (id)=(m) already exists");
    expect_no_notes(shop, "x");
}

static void an_expectation_that_fails_names_its_reason(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.charge",
                         "{\"order_id\": \"x\", \"customer\": \"ada\", \"amount\": 1001}", NULL),
                TOLD_ABORTED, "payments.charge", "insufficient_funds", NULL);
    expect_no_notes(shop, "x");
    assert_int_equal(books_check(), 0);
}

static void an_unwell_transaction_of_one_phase_leaves_nothing(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "payments.note", "{\"id\": \"x\"}", "payments.charge",
                         "{\"order_id\": \"x\", \"customer\": \"ada\", \"amount\": 1001}", NULL),
                TOLD_ABORTED, "payments.charge", "insufficient_funds", NULL);
    expect_no_notes(shop, "x");
}

static void reading_in_one_and_writing_in_another_database_commits(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "orders.note", "{\"id\": \"x\"}", "payments.count",
                         "{\"id\": \"x\"}", "--json", NULL),
                TOLD_COMMITTED, "\"notes\":0", NULL, NULL);
    books_wait_settled(shop);
    assert_int_equal(books_count_notes("orders", "x"), 1);
}

/* ---- keys ---------------------------------------------------------------------------------- */

static void the_same_key_twice_is_one_purchase_and_the_same_answer(struct shop *shop)
{
    struct purchase purchase = {.key = "mistakes-1"};
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    purchase.again = true;
    purchase_begin(shop, &purchase);
    said_expect(purchase_end(shop, &purchase), TOLD_COMMITTED, "nothing ran again", NULL, NULL);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

static void the_same_key_at_the_same_time_is_one_purchase(struct shop *shop)
{
    enum { TIMES = 4 };
    struct purchase purchases[TIMES];
    for (int i = 0; i < TIMES; i++) {
        purchases[i] = (struct purchase){.key = "mistakes-2", .again = true};
        strcpy(purchases[i].order, "at-once");
        purchase_begin(shop, &purchases[i]);
    }
    for (int i = 0; i < TIMES; i++)
        said_expect(purchase_end(shop, &purchases[i]), TOLD_COMMITTED, NULL, NULL, NULL);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

static void the_same_key_with_other_arguments_is_refused(struct shop *shop)
{
    struct purchase purchase = {.key = "mistakes-3"};
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    purchase.again = true;
    purchase.amount = 11;
    purchase_begin(shop, &purchase);
    said_expect(purchase_end(shop, &purchase), TOLD_REFUSED, "this idempotency key was used", NULL,
                NULL);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

static void a_key_outlives_the_coordinator(struct shop *shop)
{
    struct purchase purchase = {.key = "mistakes-4"};
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    shop_kill(shop, COORDINATOR);
    shop_start_all(shop);
    purchase.again = true;
    purchase_begin(shop, &purchase);
    said_expect(purchase_end(shop, &purchase), TOLD_COMMITTED, "nothing ran again", NULL, NULL);
    purchase.amount = 11;
    purchase_begin(shop, &purchase);
    said_expect(purchase_end(shop, &purchase), TOLD_REFUSED, NULL, NULL, NULL);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

static void a_key_of_a_refused_purchase_can_be_used_again(struct shop *shop)
{
    struct purchase purchase = {.key = "mistakes-5", .amount = 1500};
    assert_int_equal(purchase_make(shop, &purchase), TOLD_ABORTED);
    cluster_do("payments", "update account set balance = 2000 where customer = 'ada'");
    purchase.again = true;
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    books_wait_settled(shop);
    assert_int_equal(books_count(purchase.order), 1);
}

/* ---- time ---------------------------------------------------------------------------------- */

static bool nobody_sleeps(void *self)
{
    return cluster_value(self, "select count(*) from pg_stat_activity where state = 'active' and "
                               "query like '%pg_sleep%' and pid <> pg_backend_pid()") == 0;
}

static void work_longer_than_the_deadline_is_aborted_and_cancelled(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "--timeout", "1s", "orders.note", "{\"id\": \"x\"}",
                         "payments.dawdle", "{\"id\": \"x\", \"seconds\": 600}", NULL),
                TOLD_ABORTED, "payments", "deadline", NULL);
    wait_for(nobody_sleeps, (void *)"payments", 10, "the work is cancelled in the database");
    expect_no_notes(shop, "x");
}

static void work_of_one_phase_longer_than_the_deadline_is_aborted_and_cancelled(struct shop *shop)
{
    said_expect(shop_say(shop, "submit", "--timeout", "1s", "payments.dawdle",
                         "{\"id\": \"x\", \"seconds\": 600}", NULL),
                TOLD_ABORTED, "payments.dawdle", "time", NULL);
    wait_for(nobody_sleeps, (void *)"payments", 10, "the work is cancelled in the database");
    expect_no_notes(shop, "x");
}

static void waiting_for_a_lock_longer_than_its_timeout_is_aborted_with_the_reason(struct shop *shop)
{
    struct purchase purchase = {.timeout = "60s"};
    PGconn *holder = PQconnectdb(cluster_conninfo("payments"));
    PQclear(PQexec(holder, "begin; update account set balance = balance where customer = 'ada'"));
    purchase_begin(shop, &purchase);
    said_expect(purchase_end(shop, &purchase), TOLD_ABORTED, "payments.charge", "lock timeout",
                NULL);
    PQfinish(holder);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 0);
}

static void answered_when_decided_is_applied_all_the_same(struct shop *shop)
{
    struct purchase purchase = {.wait = "decided"};
    assert_int_equal(purchase_make(shop, &purchase), TOLD_COMMITTED);
    books_wait_settled(shop);
    assert_int_equal(books_check(), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        SHOP_TEST(an_unknown_participant_is_named_with_the_nearest_one),
        SHOP_TEST(an_unknown_operation_is_named_with_the_nearest_one),
        SHOP_TEST(a_missing_argument_is_named),
        SHOP_TEST(an_argument_that_nobody_knows_is_named),
        SHOP_TEST(an_argument_of_the_wrong_type_is_refused_with_its_value),
        SHOP_TEST(arguments_that_are_no_json_are_refused_before_anything_is_sent),
        SHOP_TEST(an_sql_error_names_participant_operation_and_the_text_of_postgresql),
        SHOP_TEST(an_expectation_that_fails_names_its_reason),
        SHOP_TEST(an_unwell_transaction_of_one_phase_leaves_nothing),
        SHOP_TEST(reading_in_one_and_writing_in_another_database_commits),
        SHOP_TEST(the_same_key_twice_is_one_purchase_and_the_same_answer),
        SHOP_TEST(the_same_key_at_the_same_time_is_one_purchase),
        SHOP_TEST(the_same_key_with_other_arguments_is_refused),
        SHOP_TEST(a_key_outlives_the_coordinator),
        SHOP_TEST(a_key_of_a_refused_purchase_can_be_used_again),
        SHOP_TEST(work_longer_than_the_deadline_is_aborted_and_cancelled),
        SHOP_TEST(work_of_one_phase_longer_than_the_deadline_is_aborted_and_cancelled),
        SHOP_TEST(waiting_for_a_lock_longer_than_its_timeout_is_aborted_with_the_reason),
        SHOP_TEST(answered_when_decided_is_applied_all_the_same),
    };
    return shop_run("mistakes", tests, sizeof(tests) / sizeof(tests[0]));
}
