/* What was forced, at a coordinator: the list, what it comes to beside the decision, the journal,
 * and how it is forgotten. */
#pragma GCC diagnostic ignored "-Wunused-function" /* the kit has more than is needed here */
#include "operators_kit.h"

/* ---- told, and mixed ---- */

static void what_a_participant_tells_is_listed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch, .commit = true});
    const Wire__TransactionView *view = shown(desk, gtrid_of(branch));
    assert_string_equal(view->state, "heuristic");
    assert_string_equal(view->heuristic, "commit");
    assert_string_equal(view->decision, "");
    assert_int_equal(view->n_heuristics, 1);
    const Wire__Heuristic *one = view->heuristics[0];
    assert_string_equal(one->participant, "orders"); /* whatever it said */
    assert_string_equal(one->coordinator, "c1");
    assert_string_equal(one->reason, "it blocked the shop");
    assert_string_equal(one->by, "bob@door");
    assert_int_equal(one->at_us, 1700000001000000);
    assert_int_equal(view->n_branches, 1);
    assert_string_equal(view->branches[0]->state, "applied");
    assert_non_null(view->branches[0]->heuristic);
    desk_free(desk);
}

static void what_is_told_again_changes_nothing(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    size_t records = desk->world->journal.count;
    for (int i = 0; i < 3; i++)
        tell_forced(desk->orders, (struct forced){.branch = branch});
    assert_int_equal(desk->world->journal.count, records);
    tell_forced(desk->orders, (struct forced){.branch = branch, .found = "it was committed"});
    assert_int_equal(desk->world->journal.count, records + 1);
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_int_equal(trouble(desk)->transactions[0]->n_heuristics, 1);
    desk_free(desk);
}

static void a_participant_that_takes_it_back_makes_it_mixed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    for (int i = 0; i < 4; i++)
        tell_forced(desk->orders, (struct forced){.branch = branch, .commit = i % 2});
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 2);
    desk_free(desk);
}

static void two_participants_that_differ_are_mixed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch, .commit = true});
    tell_forced(desk->payments, (struct forced){.branch = second(branch), .commit = true});
    listed_as(desk, gtrid_of(branch), "commit");
    Wire__Branch other = branch;
    other.seq += 100;
    tell_forced(desk->orders, (struct forced){.branch = other, .commit = true});
    tell_forced(desk->payments, (struct forced){.branch = second(other)});
    assert_string_equal(shown(desk, gtrid_of(other))->heuristic, "mixed");
    assert_string_equal(shown(desk, gtrid_of(branch))->heuristic, "commit");
    const Wire__Answer *answer = ask(desk->client, WIRE__WHAT__COORDINATOR, "", false);
    assert_int_equal(answer->coordinator->heuristics, 2);
    assert_int_equal(answer->coordinator->mixed, 1);
    desk_free(desk);
}

static void what_was_found_otherwise_is_mixed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch, .found = "it was committed"});
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_string_equal(trouble(desk)->transactions[0]->branches[0]->state, "hazard");
    desk_free(desk);
}

static void a_decision_that_is_known_is_compared(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    told(desk->orders, true);
    tell_forced(desk->payments, (struct forced){.branch = second(branch), .commit = true});
    listed_as(desk, gtrid_of(branch), "commit");
    tell_forced(desk->orders, (struct forced){.branch = branch});
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_string_equal(trouble(desk)->transactions[0]->state, "committed");
    assert_string_equal(trouble(desk)->transactions[0]->decision, "commit");
    desk_free(desk);
}

static void a_decision_that_comes_later_is_compared(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    listed_as(desk, gtrid_of(branch), "abort");
    vote(desk->payments, second(branch), WIRE__CHOICE__YES);
    listed_as(desk, gtrid_of(branch), "abort"); /* not before it is durable */
    sync_journal(desk->world);
    listed_as(desk, gtrid_of(branch), "mixed");
    finish(desk->orders, told(desk->orders, true), true, true);
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__HAZARD);
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_string_equal(trouble(desk)->transactions[0]->state, "hazard");
    assert_true(trouble(desk)->transactions[0]->hazard);
    sync_journal(desk->world);
    desk_crash(desk);
    listed_as(desk, gtrid_of(branch), "mixed");
    desk_checkpoint(desk);
    listed_as(desk, gtrid_of(branch), "mixed");
    desk_free(desk);
}

static void an_abort_that_is_presumed_is_compared(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, NULL);
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    desk_crash(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch, .commit = true});
    listed_as(desk, gtrid_of(branch), "mixed");
    assert_string_equal(shown(desk, gtrid_of(branch))->decision, "abort");
    desk_free(desk);
}

static void a_hazard_beside_what_was_forced_is_mixed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    finish(desk->orders, told(desk->orders, true), true, true);
    outcome(desk->client, 1, WIRE__RESULT__HAZARD);
    tell_forced(desk->payments, (struct forced){.branch = second(branch), .commit = true});
    listed_as(desk, gtrid_of(branch), "mixed");
    desk_free(desk);
}

static void what_another_coordinators_participants_tell_is_listed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = server_epoch(desk->world->server);
    branch.seq = 3;
    tell_forced(desk->orders, (struct forced){.coordinator = "c9", .branch = branch});
    tell_forced(desk->payments,
                (struct forced){.coordinator = "c9", .branch = second(branch), .commit = true});
    char gtrid[80];
    snprintf(gtrid, sizeof(gtrid), "shop.c9.%llu.3", (unsigned long long)branch.epoch);
    listed_as(desk, gtrid, "mixed");
    sync_journal(desk->world);
    desk_crash(desk);
    desk_checkpoint(desk);
    listed_as(desk, gtrid, "mixed");
    desk_free(desk);
}

/* ---- the journal ---- */

static void the_journal_and_its_checkpoint_keep_all_of_it(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(branch), .reason = "why", .by = "eve@x"});
    both_testify(desk, gtrid_of(branch), is_prepared, is_prepared);
    sync_journal(desk->world);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    sync_journal(desk->world);
    for (int i = 0; i < 3; i++) {
        const Wire__TransactionView *view = shown(desk, gtrid_of(branch));
        assert_string_equal(view->heuristic, "abort");
        assert_int_equal(view->n_heuristics, 2);
        assert_string_equal(view->heuristics[0]->participant, "");
        assert_string_equal(view->heuristics[0]->reason, "why");
        assert_string_equal(view->heuristics[0]->by, "eve@x");
        assert_true(view->heuristics[0]->at_us > 0);
        assert_string_equal(view->heuristics[1]->participant, "orders");
        assert_string_equal(view->heuristics[1]->reason, "it blocked the shop");
        if (i == 0)
            desk_crash(desk);
        else
            desk_checkpoint(desk);
    }
    desk_free(desk);
}

static void replay(const Journal__Heuristic *heuristic, const Journal__Forgotten *forgotten)
{
    struct world *world = world_new();
    struct error error = {0};
    Journal__Record record = JOURNAL__RECORD__INIT;
    start(world);
    sync_journal(world);
    server_free(world->server);
    make_server(world, "shop", "c1");
    assert_true(replay_all(world, &error));
    record.body_case =
        heuristic ? JOURNAL__RECORD__BODY_HEURISTIC : JOURNAL__RECORD__BODY_FORGOTTEN;
    if (heuristic)
        record.heuristic = (Journal__Heuristic *)heuristic;
    else
        record.forgotten = (Journal__Forgotten *)forgotten;
    uint8_t bytes[512];
    size_t size = journal__record__pack(&record, bytes);
    assert_false(server_replay(world->server, bytes, size, &error));
    assert_int_equal(error.kind, ERROR_CORRUPT);
    world_free(world);
}

static void a_record_that_makes_no_sense_is_refused(void **unused)
{
    (void)unused;
    Journal__Heuristic sound = JOURNAL__HEURISTIC__INIT, record;
    Journal__Forgotten forgotten = JOURNAL__FORGOTTEN__INIT;
    sound.epoch = sound.seq = 5;
    record = sound;
    record.seq = 0;
    replay(&record, NULL);
    record = sound;
    record.branch = LIMIT_BRANCHES;
    replay(&record, NULL);
    record = sound;
    record.participant = (char *)"no name";
    replay(&record, NULL);
    record = sound;
    record.coordinator = (char *)"no name";
    replay(&record, NULL);
    replay(NULL, &forgotten);
}

/* ---- forgetting ---- */

static void what_is_forgotten_leaves_the_list_for_good(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    order(desk, 5, (struct ordering){.forget = true, .gtrid = gtrid_of(branch), .dry_run = true});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    size_t records = desk->world->journal.count;
    assert_int_equal(resolved(desk, 5, WIRE__DEED__DEED_FORGET)->n_steps, 1);
    assert_int_equal(desk->world->journal.count, records);
    order(desk, 6, (struct ordering){.forget = true, .gtrid = gtrid_of(branch), .reason = "paid"});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    hear_nothing(desk->payments);
    uint64_t request = relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false);
    listed_as(desk, gtrid_of(branch), "abort");
    answer_order(desk->orders, request, "done", NULL);
    hear_nothing(desk->client); /* not before it is durable */
    sync_journal(desk->world);
    resolved(desk, 6, WIRE__DEED__DEED_FORGET);
    nothing_is_listed(desk);
    assert_has(desk->audit.texts[0], "ordered tx forget | shop.c1.");
    assert_has(desk->audit.texts[0], "paid | abort");
    assert_has(desk->audit.texts[1], "done tx forget");
    desk_crash(desk);
    nothing_is_listed(desk);
    desk_checkpoint(desk);
    nothing_is_listed(desk);
    desk_free(desk);
}

static void what_is_told_again_before_it_was_forgotten_there_does_not_stay(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    order(desk, 6, (struct ordering){.forget = true, .gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    uint64_t request = relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false);
    tell_forced(desk->orders, (struct forced){.branch = branch}); /* they crossed */
    answer_order(desk->orders, request, "done", NULL);
    sync_journal(desk->world);
    resolved(desk, 6, WIRE__DEED__DEED_FORGET);
    nothing_is_listed(desk);
    /* A participant that lost it tells it once more: back it is. */
    tell_forced(desk->orders, (struct forced){.branch = branch});
    listed_as(desk, gtrid_of(branch), "abort");
    desk_free(desk);
}

static void a_participant_that_has_forgotten_already_is_fine(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    order(desk, 6, (struct ordering){.forget = true, .gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false),
                 "nothing of it is here", "unknown");
    sync_journal(desk->world);
    resolved(desk, 6, WIRE__DEED__DEED_FORGET);
    nothing_is_listed(desk);
    desk_free(desk);
}

static void nothing_is_forgotten_that_is_owed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_held(desk);
    struct ordering forget = {.forget = true, .gtrid = gtrid_of(branch)};
    gtrid_text gtrid;
    snprintf(gtrid, sizeof(gtrid), "%s", gtrid_of(branch));
    forget.gtrid = gtrid;
    order(desk, 4, forget);
    both_testify(desk, gtrid, has_nothing, has_nothing);
    refused(desk, 4, "unknown"); /* nothing of it is listed */
    tell_forced(desk->orders, (struct forced){.branch = branch});
    order(desk, 5, forget);
    both_testify(desk, gtrid, has_nothing, is_prepared);
    assert_has(refused(desk, 5, "owed")->message, "payments");
    order(desk, 6, forget);
    both_testify(desk, gtrid, has_nothing, has_nothing);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false),
                 "its database is down", "busy");
    assert_has(refused(desk, 6, "owed")->detail, "database is down");
    listed_as(desk, gtrid, "abort");
    order(desk, 7, forget);
    both_testify(desk, gtrid, has_nothing, has_nothing);
    relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false);
    leave(desk->orders);
    pass(desk->world, 3 * SECOND_US);
    refused(desk, 7, "owed");
    order(desk, 8, forget);
    testify(desk->payments, gtrid, has_nothing);
    assert_has(refused(desk, 8, "owed")->message, "orders");
    listed_as(desk, gtrid, "abort");
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_FORGOTTEN), 0);
    desk_free(desk);
}

static void what_is_live_is_not_forgotten(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    finish(desk->orders, told(desk->orders, true), true, true);
    outcome(desk->client, 1, WIRE__RESULT__HAZARD);
    told(desk->payments, true);
    order(desk, 5, (struct ordering){.forget = true, .gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    assert_has(refused(desk, 5, "owed")->message, "committed");
    desk_free(desk);
}

/* ---- hazards ---- */

static void forget(struct desk *desk, const char *gtrid)
{
    order(desk, 9, (struct ordering){.forget = true, .gtrid = gtrid});
    both_testify(desk, gtrid, has_nothing, has_nothing);
    sync_journal(desk->world);
    resolved(desk, 9, WIRE__DEED__DEED_FORGET);
}

static void a_hazard_that_rests_becomes_history(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    const struct submission keyed = {.key = "k-1"};
    Wire__Branch branch = begin_deciding(desk, &keyed);
    sync_journal(desk->world);
    finish(desk->orders, told(desk->orders, true), true, true);
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__HAZARD);
    const Wire__Answer *answer = trouble(desk);
    assert_int_equal(answer->n_transactions, 1);
    assert_true(answer->transactions[0]->hazard);
    assert_string_equal(answer->transactions[0]->heuristic, "");
    forget(desk, gtrid_of(branch));
    nothing_is_listed(desk);
    assert_int_equal(server_unapplied(desk->world->server), 0);
    submit(desk->client, 2, &keyed, "{}", both);
    assert_string_equal(outcome(desk->client, 2, WIRE__RESULT__HAZARD)->problem->code, "hazard");
    const Wire__TransactionView *view = shown(desk, gtrid_of(branch));
    assert_string_equal(view->state, "forgotten");
    assert_string_equal(view->decision, "commit");
    assert_false(view->hazard || view->in_doubt);
    for (int i = 0; i < 2; i++) {
        desk_crash(desk);
        nothing_is_listed(desk);
        assert_int_equal(server_unapplied(desk->world->server), 0);
        /* What was decided is still known; and to the key that it is not applied everywhere. */
        assert_int_equal(inquire(desk->orders, branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
        submit(desk->client, 2, &keyed, "{}", both);
        const Wire__Outcome *again = outcome(desk->client, 2, WIRE__RESULT__HAZARD);
        assert_true(again->repeated_key);
        assert_false(again->applied);
        desk_checkpoint(desk);
    }
    desk_free(desk);
}

static void a_hazard_of_an_abort_is_forgotten(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin(desk, &(struct submission){.timeout_ms = 1000});
    vote(desk->orders, branch, WIRE__CHOICE__YES);
    pass(desk->world, 1100 * 1000);
    outcome(desk->client, 1, WIRE__RESULT__ABORTED);
    finish(desk->orders, told(desk->orders, false), false, true);
    finish(desk->payments, told(desk->payments, false), false, false);
    forget(desk, gtrid_of(branch));
    nothing_is_listed(desk);
    assert_string_equal(shown(desk, gtrid_of(branch))->state, "forgotten");
    assert_string_equal(shown(desk, gtrid_of(branch))->decision, "abort");
    desk_crash(desk);
    nothing_is_listed(desk);
    desk_free(desk);
}

static void a_hazard_that_was_listed_again_is_forgotten(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    applied(desk->orders);
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__COMMITTED);
    finish(desk->orders, branch, true, true);
    assert_int_equal(trouble(desk)->n_transactions, 1);
    /* The list has it once, though the history has it, too. */
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__TRANSACTIONS;
    assert_int_equal(look_at(desk, &query)->n_transactions, 1);
    forget(desk, gtrid_of(branch));
    nothing_is_listed(desk);
    assert_string_equal(shown(desk, gtrid_of(branch))->state, "forgotten");
    assert_int_equal(look_at(desk, &query)->n_transactions, 1);
    desk_crash(desk);
    nothing_is_listed(desk);
    assert_int_equal(inquire(desk->orders, branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    /* And found once more. */
    finish(desk->orders, branch, true, true);
    assert_int_equal(trouble(desk)->n_transactions, 1);
    sync_journal(desk->world);
    desk_crash(desk);
    assert_int_equal(trouble(desk)->n_transactions, 1);
    desk_free(desk);
}

static void a_hazard_and_what_was_forced_are_forgotten_together(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = begin_deciding(desk, NULL);
    sync_journal(desk->world);
    tell_forced(desk->orders, (struct forced){.branch = branch});
    finish(desk->orders, told(desk->orders, true), true, true);
    applied(desk->payments);
    outcome(desk->client, 1, WIRE__RESULT__HAZARD);
    order(desk, 9, (struct ordering){.forget = true, .gtrid = gtrid_of(branch)});
    both_testify(desk, gtrid_of(branch), has_nothing, has_nothing);
    answer_order(desk->orders, relayed(desk->orders, WIRE__TX_ORDER_KIND__FORGET, false), "x",
                 NULL);
    sync_journal(desk->world);
    resolved(desk, 9, WIRE__DEED__DEED_FORGET);
    nothing_is_listed(desk);
    desk_crash(desk);
    nothing_is_listed(desk);
    desk_free(desk);
}

/* ---- bounds and hostile messages ---- */

static void only_so_many_are_listed(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch held = begin_held(desk);
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = 5;
    for (branch.seq = 1; branch.seq <= LIMIT_HEURISTICS; branch.seq++)
        tell_forced(desk->orders, (struct forced){.branch = branch});
    branch.seq = 1;
    int errors = desk->world->logged[LOG_ERROR];
    tell_forced(desk->payments, (struct forced){.branch = second(branch), .commit = true});
    tell_forced(desk->payments, (struct forced){.branch = held});
    assert_int_equal(desk->world->logged[LOG_ERROR], errors + 2);
    tell_forced(desk->orders, (struct forced){.branch = branch}); /* known */
    assert_int_equal(desk->world->logged[LOG_ERROR], errors + 2);
    const Wire__Answer *answer = ask(desk->client, WIRE__WHAT__COORDINATOR, "", false);
    assert_int_equal(answer->coordinator->heuristics, LIMIT_HEURISTICS);
    order(desk, 5, (struct ordering){.gtrid = gtrid_of(held)});
    both_testify(desk, gtrid_of(held), is_prepared, is_prepared);
    assert_has(refused(desk, 5, "busy")->hint, "tx forget");
    desk_free(desk);
}

static void what_can_not_be_told_is_ignored(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Branch branch = WIRE__BRANCH__INIT;
    branch.epoch = 5;
    tell_forced(desk->orders, (struct forced){.branch = branch});
    branch.seq = 1;
    tell_forced(desk->orders, (struct forced){.branch = branch, .coordinator = "no name"});
    tell_forced(desk->orders, (struct forced){.branch = branch, .coordinator = ""});
    branch.branch = LIMIT_BRANCHES;
    tell_forced(desk->orders, (struct forced){.branch = branch});
    nothing_is_listed(desk);
    assert_string_equal(desk->orders->closed, "");
    desk_free(desk);
}

static void long_texts_are_cut(void **unused)
{
    (void)unused;
    struct desk *desk = desk_new();
    Wire__Heuristics body = WIRE__HEURISTICS__INIT;
    Wire__Heuristic one = WIRE__HEURISTIC__INIT, *all = &one;
    Wire__Message message = WIRE__MESSAGE__INIT;
    static char text[20000];
    for (size_t i = 0; i + 2 < sizeof(text); i += 2)
        memcpy(text + i, "\xc3\xa4", 2); /* never cut in the middle of a letter */
    one.coordinator = (char *)"c1";
    one.epoch = one.seq = 1;
    one.reason = one.by = text;
    one.found = text;
    body.heuristics = &all;
    body.n_heuristics = 1;
    message.body_case = WIRE__MESSAGE__BODY_HEURISTICS;
    message.heuristics = &body;
    say(desk->orders, &message);
    say(desk->orders, &message);
    assert_int_equal(records_of(desk, JOURNAL__RECORD__BODY_HEURISTIC), 1);
    const Wire__Heuristic *view = shown(desk, "shop.c1.1.1")->heuristics[0];
    assert_int_equal(strlen(view->reason), LIMIT_REASON_BYTES);
    assert_int_equal(strlen(view->by), LIMIT_BY_BYTES);
    assert_int_equal(strlen(view->found) % 2, 0);
    desk_free(desk);
}

static void closed_for(struct visitor *visitor, const Wire__Message *message)
{
    say(visitor, message);
    assert_has(visitor->closed, "may not send");
}

static void messages_of_the_wrong_side_end_the_session(void **unused)
{
    (void)unused;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Heuristics heuristics = WIRE__HEURISTICS__INIT;
    Wire__Answer answer = WIRE__ANSWER__INIT;
    Wire__TxOrder tx_order = WIRE__TX_ORDER__INIT;
    struct desk *desk = desk_new();
    message.body_case = WIRE__MESSAGE__BODY_HEURISTICS;
    message.heuristics = &heuristics;
    closed_for(desk->client, &message);
    struct visitor *other = client(desk->world, 4);
    message.body_case = WIRE__MESSAGE__BODY_ANSWER;
    message.answer = &answer;
    closed_for(other, &message);
    message.body_case = WIRE__MESSAGE__BODY_TX_ORDER;
    message.tx_order = &tx_order;
    closed_for(desk->orders, &message);
    struct visitor *looker = visitor_named(desk->world, 5, "looker", WIRE__ROLE__OBSERVER);
    closed_for(looker, &message);
    desk_free(desk);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_a_participant_tells_is_listed),
        cmocka_unit_test(what_is_told_again_changes_nothing),
        cmocka_unit_test(a_participant_that_takes_it_back_makes_it_mixed),
        cmocka_unit_test(two_participants_that_differ_are_mixed),
        cmocka_unit_test(what_was_found_otherwise_is_mixed),
        cmocka_unit_test(a_decision_that_is_known_is_compared),
        cmocka_unit_test(a_decision_that_comes_later_is_compared),
        cmocka_unit_test(an_abort_that_is_presumed_is_compared),
        cmocka_unit_test(a_hazard_beside_what_was_forced_is_mixed),
        cmocka_unit_test(what_another_coordinators_participants_tell_is_listed),
        cmocka_unit_test(the_journal_and_its_checkpoint_keep_all_of_it),
        cmocka_unit_test(a_record_that_makes_no_sense_is_refused),
        cmocka_unit_test(what_is_forgotten_leaves_the_list_for_good),
        cmocka_unit_test(what_is_told_again_before_it_was_forgotten_there_does_not_stay),
        cmocka_unit_test(a_participant_that_has_forgotten_already_is_fine),
        cmocka_unit_test(nothing_is_forgotten_that_is_owed),
        cmocka_unit_test(what_is_live_is_not_forgotten),
        cmocka_unit_test(a_hazard_that_rests_becomes_history),
        cmocka_unit_test(a_hazard_of_an_abort_is_forgotten),
        cmocka_unit_test(a_hazard_that_was_listed_again_is_forgotten),
        cmocka_unit_test(a_hazard_and_what_was_forced_are_forgotten_together),
        cmocka_unit_test(only_so_many_are_listed),
        cmocka_unit_test(what_can_not_be_told_is_ignored),
        cmocka_unit_test(long_texts_are_cut),
        cmocka_unit_test(messages_of_the_wrong_side_end_the_session),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
