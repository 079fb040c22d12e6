/* Transactions that are built step by step: their life, from Begin to what became of them. */
#include "open_kit.h"

/* ---- the way of one ---- */

static void operations_are_performed_and_then_continued(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    perform(&shop, gtrid, shop.payments, "payments.charge");
    struct work again = perform(&shop, gtrid, shop.orders, "orders.note");
    assert_int_equal(again.branch.branch, 0);
    assert_int_equal(again.number, 2);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    say_end(shop.client, 9, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 9, WIRE__RESULT__COMMITTED);
    assert_true(got->applied);
    assert_string_equal(got->gtrid, gtrid);
    assert_int_equal(got->n_results, 0);
    assert_false(got->results_dropped);
    world_free(shop.world);
}

static void what_was_joined_is_adopted(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    gid_text gid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_join(shop.service, 3, gtrid, "payments");
    const Wire__Progress *joined = progress(shop.service, 3);
    snprintf(gid, sizeof(gid), "troth.%s.1", gtrid);
    assert_int_equal(joined->branch, 1);
    assert_string_equal(joined->gid, gid);
    assert_string_equal(joined->database, "71/16385");
    assert_in_range(joined->timeout_ms, 29000, 30000);
    say_hand_over(shop.service, 4, gtrid, 1, 4711, NULL);
    progress(shop.service, 4);
    hear_nothing(shop.payments);
    say_end(shop.client, 9, gtrid, true);
    vote(shop.payments, adopted(shop.payments, 4711), WIRE__CHOICE__YES);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    assert_true(outcome(shop.client, 9, WIRE__RESULT__COMMITTED)->applied);
    hear_nothing(shop.service);
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(operations_are_performed_and_then_continued),
        cmocka_unit_test(what_was_joined_is_adopted),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
