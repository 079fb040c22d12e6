/* What may be asked of transactions that are built step by step, and by whom; their keys and their
 * limits; and what is seen of them. */
#include "open_kit.h"

#include "coordinator/parts.h"

/* ---- requests that make no sense ---- */

static void a_text_that_is_no_id_is_refused(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    static const char *const texts[] = {"", "shop", "shop.c1.5", "shop.c1.5.0x", "shop.c1.1.1.1"};
    for (size_t i = 0; i < sizeof(texts) / sizeof(*texts); i++) {
        say_perform(shop.client, 1, texts[i], "orders.create");
        refused(shop.client, 1, "bad_request");
        say_join(shop.client, 2, texts[i], "orders");
        refused(shop.client, 2, "bad_request");
        say_hand_over(shop.client, 3, texts[i], 0, 1, NULL);
        refused(shop.client, 3, "bad_request");
        say_end(shop.client, 4, texts[i], true);
        refused(shop.client, 4, "bad_request");
    }
    world_free(shop.world);
}

/* Nobody here can say what became of it, so nothing is presumed. */
static void an_id_that_is_not_known_here_is_not_presumed_aborted(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrids[5] = {"other.c1.5.1", "shop.c9.5.1", "shop.c1.3.1"};
    uint64_t epoch = server_epoch(shop.world->server);
    gtrid_format(gtrids[3], "shop", "c1", (struct txid){epoch, 9});
    gtrid_format(gtrids[4], "shop", "c1", (struct txid){epoch + 1, 1});
    for (int i = 0; i < 5; i++) {
        say_end(shop.client, 1, gtrids[i], true);
        outcome(shop.client, 1, WIRE__RESULT__UNKNOWN);
        say_end(shop.client, 2, gtrids[i], false);
        outcome(shop.client, 2, WIRE__RESULT__UNKNOWN);
        say_hand_over(shop.client, 3, gtrids[i], 0, 11, NULL);
        outcome(shop.client, 3, WIRE__RESULT__UNKNOWN);
        say_perform(shop.client, 4, gtrids[i], "orders.create");
        outcome(shop.client, 4, WIRE__RESULT__UNKNOWN);
        say_join(shop.client, 5, gtrids[i], "orders");
        outcome(shop.client, 5, WIRE__RESULT__UNKNOWN);
    }
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void what_nobody_offers_is_refused_and_changes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    say_perform(shop.client, 1, gtrid, "orders.creat");
    assert_non_null(strstr(refused(shop.client, 1, "unknown_operation")->hint, "orders.create"));
    say_perform(shop.client, 2, gtrid, "order.create");
    refused(shop.client, 2, "unknown_participant");
    say_perform(shop.client, 3, gtrid, "or ders.create");
    refused(shop.client, 3, "bad_request");
    say_perform(shop.client, 4, gtrid, "orders.cre ate");
    refused(shop.client, 4, "bad_request");
    say_join(shop.client, 5, gtrid, "order");
    refused(shop.client, 5, "unknown_participant");
    say_join(shop.client, 6, gtrid, "or ders");
    refused(shop.client, 6, "bad_request");
    report(shop.payments, "", "");
    say_join(shop.client, 7, gtrid, "payments");
    refused(shop.client, 7, "database_down");
    leave(shop.payments);
    pass(shop.world, 3 * SECOND_US);
    say_join(shop.client, 8, gtrid, "payments");
    refused(shop.client, 8, "not_connected");
    say_perform(shop.client, 9, gtrid, "payments.charge");
    refused(shop.client, 9, "not_connected");
    shop.payments = participant(shop.world, 1, "payments");
    say_join(shop.client, 10, gtrid, "payments");
    refused(shop.client, 10, "not_connected"); /* its database is not known yet */
    Wire__Perform without = WIRE__PERFORM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    without.request = 11;
    without.gtrid = gtrid;
    message.body_case = WIRE__MESSAGE__BODY_PERFORM;
    message.perform = &without;
    say(shop.client, &message);
    refused(shop.client, 11, "bad_request");
    hear_nothing(shop.orders);
    hear_nothing(shop.payments);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 12, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 12, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void a_begin_that_makes_no_sense_is_rejected(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    char key[LIMIT_KEY_BYTES + 2];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    say_begin(shop.client, 1, &(struct submission){.protocol = (Wire__Protocol)7});
    rejected(shop.client, 1, "bad_request");
    say_begin(shop.client, 2, &(struct submission){.key = key});
    rejected(shop.client, 2, "bad_request");
    say_begin(shop.client, 3, &(struct submission){.key = "a\x1f"});
    rejected(shop.client, 3, "bad_request");
    world_free(shop.world);
}

static void an_observer_may_not(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct visitor *eye = visitor_named(shop.world, 5, "eye", WIRE__ROLE__OBSERVER);
    say_begin(eye, 1, NULL);
    assert_non_null(strstr(eye->closed, "may not send"));
    world_free(shop.world);
}

/* ---- one at a time, and who may ---- */

static void one_operation_is_under_way_at_a_time(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    say_perform(shop.client, 1, gtrid, "orders.create");
    struct work work = worked_at(shop.orders, "create");
    say_perform(shop.service, 2, gtrid, "payments.charge");
    refused(shop.service, 2, "busy");
    say_perform(shop.client, 3, gtrid, "orders.note");
    refused(shop.client, 3, "busy");
    say_end(shop.client, 4, gtrid, true);
    refused(shop.client, 4, "busy");
    join(&shop, shop.service, gtrid, "payments", 11); /* that is nobody's business */
    say_worked(shop.orders, &work, "[1]", NULL);
    assert_string_equal(progress(shop.client, 1)->result, "[1]");
    hear_nothing(shop.service);
    say_perform(shop.service, 5, gtrid, "orders.note");
    work = worked_at(shop.orders, "note");
    say_worked(shop.orders, &work, "", NULL);
    assert_string_equal(progress(shop.service, 5)->result, "");
    world_free(shop.world);
}

static void only_who_began_it_commits(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.service, 4, gtrid, true);
    refused(shop.service, 4, "not_yours");
    hear_nothing(shop.orders);
    perform(&shop, gtrid, shop.orders, "orders.note");
    world_free(shop.world);
}

static void what_is_handed_over_is_a_joined_branch_and_once(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_hand_over(shop.client, 1, gtrid, 0, 11, NULL);
    refused(shop.client, 1, "bad_request"); /* its participant's own */
    say_hand_over(shop.client, 2, gtrid, 7, 11, NULL);
    refused(shop.client, 2, "bad_request");
    say_hand_over(shop.client, 3, gtrid, UINT32_MAX, 11, "23505");
    refused(shop.client, 3, "bad_request");
    uint32_t branch = join(&shop, shop.service, gtrid, "payments", 4711);
    say_hand_over(shop.client, 4, gtrid, branch, 4711, NULL);
    assert_int_equal(progress(shop.client, 4)->branch, branch); /* the answer was lost */
    say_hand_over(shop.client, 5, gtrid, branch, 4712, NULL);
    refused(shop.client, 5, "bad_request");
    say_hand_over(shop.client, 6, gtrid, branch, 4711, "23505");
    refused(shop.client, 6, "bad_request");
    say_end(shop.client, 7, gtrid, true);
    adopted(shop.payments, 4711);
    world_free(shop.world);
}

/* While it votes, when it is being recorded, told, applied, and over. */
static void after_its_end_everything_hears_what_became_of_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    uint32_t branch = join(&shop, shop.service, gtrid, "payments", 701);
    say_end(shop.client, 50, gtrid, true);
    for (int stage = 0; stage < 5; stage++) {
        uint64_t request = 100 * ((uint64_t)stage + 1);
        if (stage == 1) {
            vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
            vote(shop.payments, adopted(shop.payments, 701), WIRE__CHOICE__YES);
        } else if (stage == 2) {
            sync_journal(shop.world);
        } else if (stage == 3) {
            applied(shop.orders);
        } else if (stage == 4) {
            applied(shop.payments);
        }
        if (stage == 4) {
            outcome(shop.client, 50, WIRE__RESULT__COMMITTED);
            for (uint64_t before = 100; before < request; before += 100)
                outcome(shop.service, before + 4, WIRE__RESULT__COMMITTED);
        }
        say_perform(shop.service, request, gtrid, "orders.note");
        rejected(shop.service, request, "over");
        say_join(shop.service, request + 1, gtrid, "orders");
        rejected(shop.service, request + 1, "over");
        say_hand_over(shop.service, request + 2, gtrid, branch, 701, NULL);
        progress(shop.service, request + 2);
        say_hand_over(shop.service, request + 3, gtrid, branch, 99, NULL);
        rejected(shop.service, request + 3, "over");
        say_end(shop.service, request + 4, gtrid, true);
        if (stage == 4)
            assert_true(outcome(shop.service, request + 4, WIRE__RESULT__COMMITTED)->applied);
        hear_nothing(shop.service);
    }
    world_free(shop.world);
}

static void an_end_may_be_asked_for_again_until_too_many_wait(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 50, gtrid, true);
    for (uint64_t i = 1; i < LIMIT_WAITERS; i++)
        say_end(shop.service, i, gtrid, true);
    hear_nothing(shop.service);
    say_end(shop.service, 99, gtrid, true);
    refused(shop.service, 99, "busy");
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 50, WIRE__RESULT__COMMITTED);
    for (uint64_t i = 1; i < LIMIT_WAITERS; i++)
        outcome(shop.service, i, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void the_end_of_one_that_was_submitted_is_its_outcome(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    static const char *const one[] = {"orders.create", NULL};
    for (int alone = 0; alone < 2; alone++) {
        submit(shop.client, 1, NULL, "{}", alone ? one : both);
        Wire__Branch branch =
            asked(shop.orders, alone ? WIRE__MODE__ONE_PHASE : WIRE__MODE__PREPARE);
        gtrid_format(gtrid, "shop", "c1", (struct txid){branch.epoch, branch.seq});
        say_end(shop.service, 2, gtrid, false); /* not its to abort: it was not begun so */
        say_end(shop.service, 3, gtrid, true);
        hear_nothing(shop.service);
        if (alone) {
            vote(shop.orders, branch, WIRE__CHOICE__DONE);
        } else {
            vote(shop.orders, branch, WIRE__CHOICE__YES);
            vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
            sync_journal(shop.world);
            applied(shop.orders);
            applied(shop.payments);
        }
        for (int i = 0; i < 2; i++) {
            const Wire__Outcome *got =
                outcome(shop.service, 2 + (uint64_t)i, WIRE__RESULT__COMMITTED);
            assert_int_equal(got->n_results, alone ? 1 : 2);
        }
        outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
        say_end(shop.service, 4, gtrid, true);
        assert_true(outcome(shop.service, 4, WIRE__RESULT__COMMITTED)->results_dropped);
    }
    world_free(shop.world);
}

/* ---- keys ---- */

static void commit_orders(struct shop *shop, const char *gtrid, uint64_t request)
{
    say_end(shop->client, request, gtrid, true);
    vote(shop->orders, asked(shop->orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop->world);
    applied(shop->orders);
    assert_false(outcome(shop->client, request, WIRE__RESULT__COMMITTED)->repeated_key);
}

static void a_key_that_was_committed_is_answered_at_begin(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    const struct submission keyed = {.key = "k-1"};
    begin(&shop, &keyed, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    commit_orders(&shop, gtrid, 5);
    for (int crashed = 0; crashed < 2; crashed++) {
        say_begin(shop.client, 6, &keyed);
        const Wire__Outcome *got = outcome(shop.client, 6, WIRE__RESULT__COMMITTED);
        assert_true(got->repeated_key && got->applied);
        assert_string_equal(got->gtrid, gtrid);
        assert_int_equal(got->n_results, 0);
        assert_false(got->results_dropped);
        say_begin(shop.client, 7,
                  &(struct submission){.key = "k-1", .protocol = WIRE__PROTOCOL__THREE_PHASE});
        rejected(shop.client, 7, "key_conflict");
        submit(shop.client, 8, &keyed, "{}", both);
        rejected(shop.client, 8, "key_conflict");
        sync_journal(shop.world);
        crash_and_start(shop.world);
        open_shop(&shop);
    }
    world_free(shop.world);
}

static void a_key_that_is_being_committed_is_waited_for(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    const struct submission keyed = {.key = "k-1"};
    begin(&shop, &keyed, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 5, gtrid, true);
    say_begin(shop.service, 6, &keyed);
    hear_nothing(shop.service);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    outcome(shop.client, 5, WIRE__RESULT__COMMITTED);
    assert_true(outcome(shop.service, 6, WIRE__RESULT__COMMITTED)->repeated_key);
    world_free(shop.world);
}

static void of_two_with_one_key_the_first_to_end_has_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text first, second;
    const struct submission keyed = {.key = "k-1"};
    begin(&shop, &keyed, first);
    begin(&shop, &keyed, second);
    perform(&shop, first, shop.orders, "orders.create");
    perform(&shop, second, shop.orders, "orders.create");
    commit_orders(&shop, second, 5);
    say_end(shop.client, 6, first, true);
    aborted(shop.client, 6, "key_conflict");
    told(shop.orders, false);
    say_begin(shop.client, 7, &keyed);
    assert_string_equal(outcome(shop.client, 7, WIRE__RESULT__COMMITTED)->gtrid, second);
    world_free(shop.world);
}

static void an_aborted_one_leaves_its_key(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    const struct submission keyed = {.key = "k-1"};
    begin(&shop, &keyed, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 5, gtrid, false);
    aborted(shop.client, 5, "aborted");
    told(shop.orders, false);
    begin(&shop, &keyed, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 6, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__NO);
    aborted(shop.client, 6, "insufficient_funds");
    begin(&shop, &keyed, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    commit_orders(&shop, gtrid, 7);
    world_free(shop.world);
}

/* The key is durable though nothing has to be applied. */
static void a_key_without_any_writing_is_kept_and_one_without_anything_refused(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    const struct submission keyed = {.key = "k-1"};
    begin(&shop, &keyed, gtrid);
    say_end(shop.client, 5, gtrid, true);
    refused(shop.client, 5, "bad_request");
    join(&shop, shop.client, gtrid, "orders", 0);
    say_end(shop.client, 6, gtrid, true);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    outcome(shop.client, 6, WIRE__RESULT__COMMITTED);
    crash_and_start(shop.world);
    open_shop(&shop);
    say_begin(shop.client, 7, &keyed);
    assert_true(outcome(shop.client, 7, WIRE__RESULT__COMMITTED)->repeated_key);
    world_free(shop.world);
}

/* ---- limits ---- */

static void operations_and_branches_have_limits(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    for (int i = 0; i < LIMIT_CALLS; i++)
        perform(&shop, gtrid, shop.orders, "orders.create");
    say_perform(shop.client, 5, gtrid, "orders.create");
    refused(shop.client, 5, "bad_request");
    for (uint64_t i = 1; i < LIMIT_BRANCHES; i++) {
        say_join(shop.client, 6, gtrid, "orders");
        assert_int_equal(progress(shop.client, 6)->branch, i);
    }
    say_join(shop.client, 7, gtrid, "orders");
    refused(shop.client, 7, "bad_request");
    hear_nothing(shop.orders);
    for (uint32_t i = 1; i < LIMIT_BRANCHES; i++) {
        say_hand_over(shop.client, 8, gtrid, i, i, NULL);
        progress(shop.client, 8);
    }
    say_end(shop.client, 9, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    for (uint32_t i = 1; i < LIMIT_BRANCHES; i++)
        vote(shop.orders, adopted(shop.orders, i), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    for (int i = 0; i < LIMIT_BRANCHES; i++)
        applied(shop.orders);
    outcome(shop.client, 9, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void so_many_are_open_at_once_and_no_more(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    Wire__Begin body = WIRE__BEGIN__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    body.timeout_ms = 3600 * 1000;
    message.body_case = WIRE__MESSAGE__BODY_BEGIN;
    message.begin = &body;
    for (int i = 0; i < LIMIT_OPEN; i++) {
        assert_true(peer_send(transport_peer(shop.client->transport), &message, true));
        if (i % 1000 == 999)
            run(shop.world);
    }
    assert_int_equal(shop.world->server->opens.map.count, LIMIT_OPEN);
    say_begin(shop.service, 1, NULL);
    rejected(shop.service, 1, "busy");
    gtrid_text gtrid;
    snprintf(gtrid, sizeof(gtrid), "%s", progress(shop.client, 0)->gtrid);
    say_end(shop.service, 2, gtrid, false);
    aborted(shop.service, 2, "aborted");
    say_begin(shop.service, 3, NULL);
    progress(shop.service, 3);
    leave(shop.client);
    pass(shop.world, 3 * SECOND_US);
    assert_int_equal(shop.world->server->opens.map.count, 1);
    world_free(shop.world);
}

static void what_is_open_and_what_is_undecided_share_the_room(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    shop.world->server->undecided += LIMIT_IN_FLIGHT - 1;
    begin(&shop, NULL, gtrid);
    say_begin(shop.client, 2, NULL);
    rejected(shop.client, 2, "busy");
    perform(&shop, gtrid, shop.orders, "orders.create");
    say_end(shop.client, 3, gtrid, true); /* is never refused for lack of room */
    asked(shop.orders, WIRE__MODE__CONTINUE);
    world_free(shop.world);
}

static void a_result_that_fits_no_answer_aborts(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    static char result[LIMIT_RESULT_BYTES + 2];
    memset(result, '7', LIMIT_RESULT_BYTES);
    begin(&shop, NULL, gtrid);
    say_perform(shop.client, 1, gtrid, "orders.create");
    struct work work = worked_at(shop.orders, "create");
    say_worked(shop.orders, &work, result, NULL);
    assert_int_equal(strlen(progress(shop.client, 1)->result), LIMIT_RESULT_BYTES);
    result[LIMIT_RESULT_BYTES] = '7';
    say_perform(shop.client, 2, gtrid, "orders.create");
    work = worked_at(shop.orders, "create");
    say_worked(shop.orders, &work, result, NULL);
    aborted(shop.client, 2, "result_too_large");
    world_free(shop.world);
}

/* ---- participants that say what nobody asked ---- */

static void an_answer_that_was_not_asked_for_changes_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    say_perform(shop.client, 1, gtrid, "orders.create");
    struct work work = worked_at(shop.orders, "create"), wrong = work;
    say_worked(shop.payments, &work, "{}", "mine"); /* it is another's */
    wrong.number = 2;
    say_worked(shop.orders, &wrong, "{}", NULL);
    wrong = work;
    wrong.branch.branch = 1;
    say_worked(shop.orders, &wrong, "{}", "no");
    wrong.branch.branch = UINT32_MAX;
    say_worked(shop.orders, &wrong, "{}", "no");
    wrong = work;
    wrong.branch.seq = 99;
    say_worked(shop.orders, &wrong, "{}", "no");
    vote(shop.orders, work.branch, WIRE__CHOICE__YES);
    vote(shop.orders, work.branch, WIRE__CHOICE__DONE);
    finish(shop.orders, work.branch, true, false);
    finish(shop.orders, work.branch, true, true);
    finish(shop.orders, work.branch, false, true);
    tell_decision(shop.orders, work.branch, WIRE__VALUE__COMMIT);
    hear_nothing(shop.client);
    assert_int_equal(shop.world->server->hazards, 0);
    say_worked(shop.orders, &work, "[1]", NULL);
    assert_string_equal(progress(shop.client, 1)->result, "[1]");
    say_worked(shop.orders, &work, "[2]", NULL);
    hear_nothing(shop.client);
    uint32_t joined = join(&shop, shop.service, gtrid, "payments", 4711);
    wrong = (struct work){.branch = branch_of(gtrid, joined), .number = 0};
    say_worked(shop.payments, &wrong, "", "no");
    say_end(shop.client, 9, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    vote(shop.payments, adopted(shop.payments, 4711), WIRE__CHOICE__YES);
    say_worked(shop.orders, &work, "", "no");
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 9, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void what_says_that_nothing_is_left_of_a_branch_aborts(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, NULL, gtrid);
    struct work work = perform(&shop, gtrid, shop.orders, "orders.create");
    say_worked(shop.orders, &work, "", "database_down");
    finish(shop.orders, told(shop.orders, false), false, false);
    say_perform(shop.client, 3, gtrid, "orders.note");
    aborted(shop.client, 3, "database_down");
    world_free(shop.world);
}

/* A site may ask for the decision only when there can be one. */
static void who_asks_about_its_register_is_told_to_wait(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, &(struct submission){.protocol = WIRE__PROTOCOL__THREE_PHASE}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    Wire__Branch branch = branch_of(gtrid, 0);
    struct question question = {branch.epoch, branch.seq, 0, {0}};
    question.ask.question = REGISTER_PROMISE;
    question.ask.ballot = (struct ballot){1, 1};
    question_it(shop.orders, &question);
    replied(shop.orders, WIRE__ANSWERED__ASK_LATER);
    world_free(shop.world);
}

/* ---- what is seen ---- */

static const Wire__TransactionView *shown(struct shop *shop, const char *gtrid)
{
    const Wire__Answer *answer = ask(shop->service, WIRE__WHAT__TRANSACTION, gtrid, false);
    assert_int_equal(answer->n_transactions, 1);
    return answer->transactions[0];
}

static void it_is_shown_with_its_branches(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text gtrid;
    begin(&shop, &(struct submission){.key = "k-1"}, gtrid);
    perform(&shop, gtrid, shop.orders, "orders.create");
    perform(&shop, gtrid, shop.orders, "orders.note");
    say_join(shop.client, 5, gtrid, "payments");
    progress(shop.client, 5);
    const Wire__TransactionView *view = shown(&shop, gtrid);
    assert_string_equal(view->gtrid, gtrid);
    assert_string_equal(view->state, "open");
    assert_string_equal(view->key, "k-1");
    assert_string_equal(view->decision, "");
    assert_string_equal(view->waits_for, "its client, cli-1, to end it");
    assert_false(view->in_doubt);
    assert_true(view->begun_us > 0);
    assert_int_equal(view->n_branches, 2);
    assert_string_equal(view->branches[0]->participant, "orders");
    assert_string_equal(view->branches[0]->state, "open");
    assert_int_equal(view->branches[0]->n_operations, 2);
    assert_string_equal(view->branches[0]->operations[1], "note");
    assert_string_equal(view->branches[1]->state, "joined");
    assert_string_equal(view->branches[1]->waits_for, "who joined it, to hand over");
    say_perform(shop.client, 6, gtrid, "orders.create");
    struct work work = worked_at(shop.orders, "create");
    assert_string_equal(shown(&shop, gtrid)->branches[0]->state, "working");
    say_worked(shop.orders, &work, "", NULL);
    progress(shop.client, 6);
    say_hand_over(shop.client, 7, gtrid, 1, 4711, NULL);
    progress(shop.client, 7);
    view = shown(&shop, gtrid);
    assert_true(view->in_doubt);
    assert_string_equal(view->branches[1]->state, "prepared");
    assert_int_equal(view->branches[1]->xid, 4711);
    const Wire__Answer *list = ask(shop.service, WIRE__WHAT__TRANSACTIONS, "", true);
    assert_int_equal(list->n_transactions, 1);
    assert_int_equal(ask(shop.service, WIRE__WHAT__COORDINATOR, "", false)->coordinator->open, 1);
    list = ask(shop.service, WIRE__WHAT__PARTICIPANTS, "", false);
    assert_int_equal(list->participants[0]->working + list->participants[1]->working, 2);
    say_end(shop.client, 8, gtrid, true);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__CONTINUE), WIRE__CHOICE__YES);
    view = shown(&shop, gtrid);
    assert_string_equal(view->state, "voting");
    assert_int_equal(view->branches[0]->n_operations, 3);
    assert_int_equal(ask(shop.service, WIRE__WHAT__COORDINATOR, "", false)->coordinator->open, 0);
    vote(shop.payments, adopted(shop.payments, 4711), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    view = shown(&shop, gtrid);
    assert_string_equal(view->state, "applied");
    assert_string_equal(view->key, "k-1");
    assert_int_equal(view->branches[0]->n_operations, 3);
    list = ask(shop.service, WIRE__WHAT__PARTICIPANTS, "", false);
    assert_int_equal(list->participants[0]->working + list->participants[1]->working, 0);
    world_free(shop.world);
}

static const Wire__Answer *listed(struct shop *shop, const char *state, const char *participant,
                                  uint64_t older_us)
{
    Wire__Query body = WIRE__QUERY__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *states[] = {(char *)state};
    body.what = WIRE__WHAT__TRANSACTIONS;
    body.states = states;
    body.n_states = state[0] ? 1 : 0;
    body.participant = (char *)participant;
    body.older_us = older_us;
    message.body_case = WIRE__MESSAGE__BODY_QUERY;
    message.query = &body;
    say(shop->service, &message);
    return hear(shop->service, WIRE__MESSAGE__BODY_ANSWER)->answer;
}

static void lists_have_them_in_their_place(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    gtrid_text first, second, third;
    begin(&shop, NULL, first);
    pass(shop.world, 2 * SECOND_US);
    begin(&shop, NULL, second);
    begin(&shop, NULL, third);
    perform(&shop, second, shop.orders, "orders.create");
    say_end(shop.client, 5, third, false);
    aborted(shop.client, 5, "aborted");
    const Wire__Answer *list = listed(&shop, "", "", 0);
    assert_int_equal(list->n_transactions, 3);
    assert_string_equal(list->transactions[0]->state, "aborted");
    assert_string_equal(list->transactions[0]->gtrid, third);
    assert_string_equal(list->transactions[1]->gtrid, second);
    assert_string_equal(list->transactions[2]->gtrid, first);
    assert_int_equal(listed(&shop, "open", "", 0)->n_transactions, 2);
    assert_int_equal(listed(&shop, "voting", "", 0)->n_transactions, 0);
    list = listed(&shop, "open", "orders", 0);
    assert_int_equal(list->n_transactions, 1);
    assert_string_equal(list->transactions[0]->gtrid, second);
    list = listed(&shop, "", "", SECOND_US);
    assert_int_equal(list->n_transactions, 1);
    assert_string_equal(list->transactions[0]->gtrid, first);
    world_free(shop.world);
}

/* ---- what is forgotten ---- */

/* So many commits that the memory of them is dropped, as they ended long ago. */
static void end_many(struct world *world)
{
    struct recovery *recovery = &world->server->recovery;
    int64_t long_ago_us = wall_us(world) - 8ll * 24 * 3600 * SECOND_US;
    for (int i = 0; i < 3 * 4096; i++)
        recovery_ended(recovery, recovery_next_id(recovery), long_ago_us);
}

static void the_low_water_mark_does_not_pass_what_is_open_or_votes(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    const struct txid *mark = &shop.world->server->recovery.low_water;
    const struct submission hour = {.timeout_ms = 3600 * 1000};
    gtrid_text gtrid, later;
    begin(&shop, &hour, gtrid);
    uint32_t branch = join(&shop, shop.service, gtrid, "payments", 4711);
    end_many(shop.world);
    begin(&shop, &hour, later);
    perform(&shop, later, shop.orders, "orders.create");
    say_end(shop.client, 5, later, true); /* stands before it in the list of what votes */
    asked(shop.orders, WIRE__MODE__CONTINUE);
    pass(shop.world, 20 * SECOND_US);
    assert_int_equal(mark->seq, 0);
    assert_int_equal(inquire(shop.payments, branch_of(gtrid, branch))->verdict,
                     WIRE__VERDICT__VERDICT_WAIT);
    say_end(shop.client, 6, gtrid, true);
    adopted(shop.payments, 4711);
    pass(shop.world, 20 * SECOND_US);
    assert_int_equal(mark->seq, 0);
    vote(shop.payments, branch_of(gtrid, branch), WIRE__CHOICE__NO);
    aborted(shop.client, 6, "insufficient_funds");
    pass(shop.world, 20 * SECOND_US);
    assert_in_range(mark->seq, 2 * 4096, branch_of(later, 0).seq);
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_text_that_is_no_id_is_refused),
        cmocka_unit_test(an_id_that_is_not_known_here_is_not_presumed_aborted),
        cmocka_unit_test(what_nobody_offers_is_refused_and_changes_nothing),
        cmocka_unit_test(a_begin_that_makes_no_sense_is_rejected),
        cmocka_unit_test(an_observer_may_not),
        cmocka_unit_test(one_operation_is_under_way_at_a_time),
        cmocka_unit_test(only_who_began_it_commits),
        cmocka_unit_test(what_is_handed_over_is_a_joined_branch_and_once),
        cmocka_unit_test(after_its_end_everything_hears_what_became_of_it),
        cmocka_unit_test(an_end_may_be_asked_for_again_until_too_many_wait),
        cmocka_unit_test(the_end_of_one_that_was_submitted_is_its_outcome),
        cmocka_unit_test(a_key_that_was_committed_is_answered_at_begin),
        cmocka_unit_test(a_key_that_is_being_committed_is_waited_for),
        cmocka_unit_test(of_two_with_one_key_the_first_to_end_has_it),
        cmocka_unit_test(an_aborted_one_leaves_its_key),
        cmocka_unit_test(a_key_without_any_writing_is_kept_and_one_without_anything_refused),
        cmocka_unit_test(operations_and_branches_have_limits),
        cmocka_unit_test(so_many_are_open_at_once_and_no_more),
        cmocka_unit_test(what_is_open_and_what_is_undecided_share_the_room),
        cmocka_unit_test(a_result_that_fits_no_answer_aborts),
        cmocka_unit_test(an_answer_that_was_not_asked_for_changes_nothing),
        cmocka_unit_test(what_says_that_nothing_is_left_of_a_branch_aborts),
        cmocka_unit_test(who_asks_about_its_register_is_told_to_wait),
        cmocka_unit_test(it_is_shown_with_its_branches),
        cmocka_unit_test(lists_have_them_in_their_place),
        cmocka_unit_test(the_low_water_mark_does_not_pass_what_is_open_or_votes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
