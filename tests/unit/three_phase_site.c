/* The coordinator as a site of a three-phase transaction: what it answers to others, what its
 * journal keeps of it, and what it does not believe. */
#include "core/error.h"
#include "journal.pb-c.h"
#include "three_phase_kit.h"

/* ---- as a site ---- */

static void a_question_is_answered_by_what_is_known(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    shop.branch = asked(shop.orders, WIRE__MODE__PREPARE);
    Wire__Branch branch = asked(shop.payments, WIRE__MODE__PREPARE);
    struct question question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question); /* voting */
    replied(shop.payments, WIRE__ANSWERED__ASK_LATER);
    vote(shop.orders, shop.branch, WIRE__CHOICE__YES);
    vote(shop.payments, branch, WIRE__CHOICE__YES);
    question_it(shop.payments, &question); /* the proposal is not durable */
    replied(shop.payments, WIRE__ANSWERED__ASK_LATER);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    told(shop.payments, true);
    question_it(shop.payments, &question); /* committed */
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    applied(shop.orders);
    finish(shop.payments, branch, true, false);
    question_it(shop.payments, &question); /* and ended */
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    question.seq++;
    question_it(shop.payments, &question); /* never given out */
    replied(shop.payments, WIRE__ANSWERED__CANNOT_TELL);
    world_free(shop.world);
}

static void what_was_never_proposed_is_answered_abort(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote_yes(&shop);
    crash_and_start(shop.world); /* the proposal was not durable */
    open_shop(&shop);
    struct question question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__ABORT);
    /* An abort that is still live. */
    submit(shop.client, 2, &three, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    shop.branch = asked(shop.payments, WIRE__MODE__PREPARE);
    vote(shop.payments, shop.branch, WIRE__CHOICE__NO);
    question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__ABORT);
    world_free(shop.world);
}

static void a_promise_is_durable_before_it_is_told_and_kept_after_a_restart(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    questioned(shop.orders);
    questioned(shop.payments);
    struct question first = of_payments(&shop, 3, REGISTER_PROMISE);
    question_it(shop.payments, &first);
    hear_nothing(shop.payments);
    struct question second = of_payments(&shop, 4, REGISTER_PROMISE);
    question_it(shop.payments, &second); /* the newest is what is answered */
    hear_nothing(shop.payments);
    sync_journal(shop.world);
    const Wire__Reply *reply = replied(shop.payments, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->ballot->round, 4);
    assert_int_equal(reply->promised->round, 4);
    assert_int_equal(reply->accepted->round, 0);
    assert_int_equal(reply->value, WIRE__VALUE__COMMIT);
    hear_nothing(shop.payments);
    question_it(shop.payments, &second); /* again: nothing to write */
    replied(shop.payments, WIRE__ANSWERED__GRANTED);
    question_it(shop.payments, &first);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__OUTBID)->promised->round, 4);
    crash_and_start(shop.world);
    open_shop(&shop);
    sync_journal(shop.world);
    assert_int_equal(questioned(shop.orders).ask.ballot.round, 5);
    assert_int_equal(questioned(shop.payments).ask.ballot.round, 5);
    question_it(shop.payments, &second);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__OUTBID)->promised->round, 5);
    world_free(shop.world);
}

static void what_waits_to_be_durable_is_answered_by_the_decision(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question question = of_payments(&shop, 3, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    granted(shop.orders, &shop.registers[ORDERS]);
    questioned(shop.payments);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    told(shop.payments, true);
    sync_journal(shop.world);
    hear_nothing(shop.payments);
    world_free(shop.world);
}

static void an_acceptance_for_another_outbids_and_survives(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    struct question accept = of_payments(&shop, 1, REGISTER_ACCEPT);
    question_it(shop.payments, &accept);
    sync_journal(shop.world);
    questioned(shop.payments);
    const Wire__Reply *reply = replied(shop.payments, WIRE__ANSWERED__GRANTED);
    assert_int_equal(reply->value, WIRE__VALUE__ABORT);
    assert_int_equal(reply->accepted->round, 1);
    crash_and_start(shop.world);
    open_shop(&shop);
    /* Payments has accepted it too, and is away: orders and the coordinator find out. */
    leave(shop.payments);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    sync_journal(shop.world);
    struct question question = granted(shop.orders, &shop.registers[ORDERS]);
    assert_int_equal(question.ask.question, REGISTER_ACCEPT);
    assert_int_equal(question.ask.value, REGISTER_ABORT);
    told(shop.orders, false);
    world_free(shop.world);
}

/* ---- the journal ---- */

static void a_restart_takes_over_what_was_proposed(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.protocol = WIRE__PROTOCOL__THREE_PHASE, .key = "k-1"};
    propose(&shop, &keyed);
    crash_and_start(shop.world);
    assert_int_equal(server_undecided(shop.world->server), 1);
    open_shop(&shop);
    submit(shop.client, 2, &keyed, "{}", both);
    hear_nothing(shop.client);
    lead_a_round(&shop, REGISTER_COMMIT);
    applied(shop.orders);
    applied(shop.payments);
    const Wire__Outcome *got = outcome(shop.client, 2, WIRE__RESULT__COMMITTED);
    assert_true(got->repeated_key && got->applied);
    assert_string_equal(got->results[1], "{\"id\":7}");
    for (int i = 0; i < 2; i++) {
        sync_journal(shop.world);
        crash_and_start(shop.world);
        open_shop(&shop);
        assert_int_equal(server_undecided(shop.world->server), 0);
        assert_int_equal(server_unapplied(shop.world->server), 0);
        assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
        shop.world->checkpoint_due = true;
        run(shop.world);
    }
    world_free(shop.world);
}

static void a_restart_ends_what_was_decided_with_nothing_to_apply(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.protocol = WIRE__PROTOCOL__THREE_PHASE, .key = "k-1"};
    submit(shop.client, 1, &keyed, "{}", both);
    shop.branch = asked(shop.orders, WIRE__MODE__PREPARE);
    vote(shop.orders, shop.branch, WIRE__CHOICE__READ_ONLY);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__READ_ONLY);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    shop.world->durable = shop.world->journal.count - 1; /* Decided, without its end */
    crash_and_start(shop.world);
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(server_unapplied(shop.world->server), 0);
    open_shop(&shop);
    submit(shop.client, 2, &keyed, "{}", both);
    const Wire__Outcome *got = outcome(shop.client, 2, WIRE__RESULT__COMMITTED);
    assert_true(got->repeated_key && got->applied);
    struct question question = of_payments(&shop, 1, REGISTER_PROMISE);
    question_it(shop.payments, &question);
    assert_int_equal(replied(shop.payments, WIRE__ANSWERED__KNOWN)->value, WIRE__VALUE__COMMIT);
    world_free(shop.world);
}

static void a_restart_learns_an_abort_and_forgets_it(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    crash_and_start(shop.world);
    open_shop(&shop);
    others_abort(&shop);
    answer_both(&shop); /* the first round is below theirs */
    wait_for_the_round(&shop);
    lead_a_round(&shop, REGISTER_ABORT);
    told(shop.orders, false);
    told(shop.payments, false);
    /* While ABORT is not acknowledged it is live; a checkpoint leaves it out. */
    shop.world->checkpoint_due = true;
    run(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(server_undecided(shop.world->server), 0);
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

static void a_checkpoint_keeps_what_was_proposed_with_its_promises(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission keyed = {.protocol = WIRE__PROTOCOL__THREE_PHASE, .key = "k-1"};
    propose(&shop, &keyed);
    struct question promise = of_payments(&shop, 9, REGISTER_PROMISE);
    question_it(shop.payments, &promise); /* not durable when the checkpoint begins */
    shop.world->checkpoint_due = true;
    run(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    submit(shop.client, 2, &keyed, "{}", both);
    sync_journal(shop.world);
    struct question question = questioned(shop.orders);
    assert_int_equal(question.ask.ballot.round, 10);
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    /* Decided, and unapplied at payments: a plain commit from here on. */
    applied(shop.orders);
    shop.world->checkpoint_due = true;
    run(shop.world);
    sync_journal(shop.world);
    drop_what_the_checkpoint_replaced(shop.world);
    crash_and_start(shop.world);
    open_shop(&shop);
    hear_nothing(shop.orders);
    assert_int_equal(told(shop.payments, true).seq, shop.branch.seq);
    world_free(shop.world);
}

static void what_was_proposed_is_not_forgotten_however_old(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission how = three;
    propose(&shop, &how);
    Wire__Branch proposed = shop.branch;
    questioned(shop.orders);
    questioned(shop.payments);
    struct question first;
    how.protocol = WIRE__PROTOCOL__TWO_PHASE;
    propose(&shop, &how);
    applied(shop.orders);
    applied(shop.payments);
    for (int i = 0; i < 2; i++) {
        sync_journal(shop.world);
        crash_and_start(shop.world);
        shop.world->now_us += 8ull * 24 * 3600 * SECOND_US; /* longer than commits are kept */
        pass(shop.world, 20 * SECOND_US);
        open_shop(&shop);
        first = questioned(shop.orders);
        assert_int_equal(inquire(shop.orders, proposed)->verdict, WIRE__VERDICT__VERDICT_WAIT);
        assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_COMMIT);
    }
    others_abort(&shop);
    answer_from(shop.orders, &shop.registers[ORDERS], &first);
    sync_journal(shop.world);
    granted(shop.orders, &shop.registers[ORDERS]);
    told(shop.orders, false);
    assert_int_equal(inquire(shop.orders, proposed)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

/* ---- records that make no sense ---- */

/* A journal of one run, with these records after its first; true: it is taken. */
struct story {
    struct world *world;
    uint64_t seq;
    Journal__Committed proposal;
    Journal__Branch orders, payments, *branches[2];
    Journal__Register own;
    Journal__Proposed proposed;
    char *sites[LIMIT_SITES + 1];
};

static void story_new(struct story *story)
{
    *story = (struct story){.world = world_new(), .seq = 1};
    start(story->world);
    uint64_t epoch = server_epoch(story->world->server);
    server_free(story->world->server);
    make_server(story->world, "shop", "c1");
    assert_true(replay_all(story->world, &(struct error){0}));
    journal__branch__init(&story->orders);
    journal__branch__init(&story->payments);
    story->orders.participant = story->sites[0] = (char *)"orders";
    story->payments.participant = story->sites[1] = (char *)"payments";
    story->payments.index = 1;
    story->branches[0] = &story->orders;
    story->branches[1] = &story->payments;
    journal__committed__init(&story->proposal);
    story->proposal.epoch = epoch;
    story->proposal.seq = 1;
    story->proposal.branches = story->branches;
    story->proposal.n_branches = 2;
    journal__register__init(&story->own);
    story->own.epoch = epoch;
    story->own.seq = 1;
    story->own.promised_round = 3;
    story->own.promised_site = 2;
    story->own.commit = true;
    journal__proposed__init(&story->proposed);
    story->proposed.proposal = &story->proposal;
    story->proposed.sites = story->sites;
    story->proposed.n_sites = 2;
}

static bool replay(struct story *story, Journal__Record__BodyCase kind, void *body)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    struct error error = {0};
    record.body_case = kind;
    record.started = body; /* a union of pointers */
    size_t size = journal__record__get_packed_size(&record);
    uint8_t *packed = xmalloc(size);
    journal__record__pack(&record, packed);
    bool fine = server_replay(story->world->server, packed, size, &error);
    free(packed);
    assert_true(fine || error.kind == ERROR_CORRUPT);
    return fine;
}

static bool replay_proposed(struct story *story)
{
    return replay(story, JOURNAL__RECORD__BODY_PROPOSED, &story->proposed);
}

static bool replay_own(struct story *story)
{
    return replay(story, JOURNAL__RECORD__BODY_REGISTERED, &story->own);
}

static bool replay_decided(struct story *story, bool commit)
{
    Journal__Decided decided = JOURNAL__DECIDED__INIT;
    decided.epoch = story->proposal.epoch;
    decided.seq = story->seq;
    decided.commit = commit;
    return replay(story, JOURNAL__RECORD__BODY_DECIDED, &decided);
}

static bool replay_ended(struct story *story)
{
    Journal__Ended ended = JOURNAL__ENDED__INIT;
    ended.epoch = story->proposal.epoch;
    ended.seq = story->seq;
    return replay(story, JOURNAL__RECORD__BODY_ENDED, &ended);
}

static void a_proposal_that_can_not_be_is_refused(void **unused)
{
    (void)unused;
    enum {
        SOUND,
        NOBODYS,
        TWICE,
        ANOTHERS,
        BEYOND,
        SAME_SITE,
        NO_SITES,
        MANY,
        NAMELESS,
        OWN,
        CASES
    };
    for (int i = 0; i < CASES; i++) {
        struct story story;
        story_new(&story);
        if (i == NOBODYS)
            story.proposed.proposal = NULL;
        else if (i == TWICE)
            story.branches[1] = &story.orders;
        else if (i == ANOTHERS)
            story.orders.participant = (char *)"payments";
        else if (i == BEYOND)
            story.payments.index = 2;
        else if (i == SAME_SITE)
            story.sites[1] = story.payments.participant = story.sites[0];
        else if (i == NO_SITES)
            story.proposed.n_sites = story.proposal.n_branches = 0;
        else if (i == NAMELESS)
            story.sites[1] = story.payments.participant = (char *)"not a name";
        else if (i == OWN)
            story.own.accepted_round = 9; /* above what it promised */
        if (i == MANY) {
            for (int j = 2; j < LIMIT_SITES; j++)
                story.sites[j] = (char *)"another";
            story.proposed.n_sites = LIMIT_SITES;
        }
        story.proposed.own = &story.own;
        assert_int_equal(replay_proposed(&story), i == SOUND);
        if (i == SOUND)
            assert_false(replay_proposed(&story)); /* once more */
        world_free(story.world);
    }
}

static void a_register_without_its_proposal_or_its_promise_is_refused(void **unused)
{
    (void)unused;
    struct story story;
    story_new(&story);
    assert_false(replay_own(&story));
    assert_false(replay_decided(&story, true));
    assert_false(replay_decided(&story, false));
    assert_true(replay_proposed(&story));
    assert_false(replay_ended(&story));
    assert_true(replay_own(&story));
    story.own.promised_round = 2; /* it forgot */
    assert_false(replay_own(&story));
    story.own.promised_round = UINT32_MAX;
    assert_false(replay_own(&story));
    story.own.promised_round = 4;
    story.own.promised_site = story.own.accepted_site = 1;
    story.own.accepted_round = 4;
    story.own.commit = false;
    assert_true(replay_own(&story));
    assert_true(replay_decided(&story, true));
    assert_false(replay_own(&story));
    assert_false(replay_decided(&story, false));
    assert_true(replay_ended(&story));
    assert_false(replay_decided(&story, true));
    world_free(story.world);
}

/* ---- what can't be ---- */

static void who_is_no_site_of_it_is_not_believed(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct visitor *stranger = participant(shop.world, 3, "stranger");
    propose(&shop, &three);
    struct question question = questioned(shop.payments), promise;
    const struct register_state state = {.value = REGISTER_COMMIT};
    reply_with(stranger, &question, WIRE__ANSWERED__GRANTED, &state);
    tell_decision(stranger, shop.branch, WIRE__VALUE__ABORT);
    promise = of_payments(&shop, 5, REGISTER_PROMISE);
    question_it(stranger, &promise);
    promise.ask.ballot.site = 0;
    question_it(stranger, &promise);
    hear_nothing(stranger);
    hear_nothing(shop.client);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    assert_int_equal(shop.world->logged[LOG_WARNING], 4);
    world_free(shop.world);
}

static void a_transaction_of_two_phases_has_no_register(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, NULL, "{}", both);
    vote_yes(&shop);
    struct question promise = of_payments(&shop, 5, REGISTER_PROMISE);
    question_it(shop.payments, &promise);
    replied(shop.payments, WIRE__ANSWERED__ASK_LATER);
    promise.site = 2;
    reply_with(shop.payments, &promise, WIRE__ANSWERED__GRANTED,
               &(struct register_state){.promised = {5, 2}});
    tell_decision(shop.payments, shop.branch, WIRE__VALUE__ABORT);
    hear_nothing(shop.client);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void nonsense_of_a_participant_is_ignored(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    propose(&shop, &three);
    const struct question sound = of_payments(&shop, 1, REGISTER_PROMISE);
    struct question question = questioned(shop.payments);
    const struct register_state state = {.value = REGISTER_COMMIT};
    const struct register_state torn = {.accepted = {1, 1}, .value = REGISTER_COMMIT};
    const struct register_state highest = {.promised = {UINT32_MAX, 1}, .value = REGISTER_COMMIT};
    const struct register_state unknown = {.value = 77}, empty = {.value = REGISTER_EMPTY};
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &torn);
    reply_with(shop.payments, &question, WIRE__ANSWERED__OUTBID, &highest);
    reply_with(shop.payments, &question, WIRE__ANSWERED__OUTBID, &state);
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &unknown);
    reply_with(shop.payments, &question, WIRE__ANSWERED__KNOWN, &empty);
    reply_with(shop.payments, &question, WIRE__ANSWERED__ANSWERED_NONE, &state);
    question.site = 1; /* another's answer */
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &state);
    question.site = 4000;
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &state);
    question.site = 2;
    question.ask.ballot.round = 5; /* to what was not asked */
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED,
               &(struct register_state){.promised = {5, 0}, .value = REGISTER_ABORT});
    question.seq = 4000;
    reply_with(shop.payments, &question, WIRE__ANSWERED__GRANTED, &state);
    struct question strange = sound;
    strange.site = 1;
    question_it(shop.payments, &strange);
    strange = sound;
    strange.ask.ballot.round = UINT32_MAX - 1;
    question_it(shop.payments, &strange);
    strange = sound;
    strange.ask.ballot.site = 1; /* another's ballot */
    question_it(shop.payments, &strange);
    strange.ask.ballot = (struct ballot){0, 2};
    question_it(shop.payments, &strange);
    strange.ask = (struct register_ask){REGISTER_ACCEPT, {1, 2}, REGISTER_EMPTY};
    question_it(shop.payments, &strange);
    tell_decision(shop.payments, shop.branch, WIRE__VALUE__EMPTY);
    assert_int_equal(shop.world->journal.count, shop.world->durable);
    hear_nothing(shop.payments);
    hear_nothing(shop.client);
    question = questioned(shop.orders);
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    world_free(shop.world);
}

static void an_answer_before_the_question_counts_for_nothing(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    submit(shop.client, 1, &three, "{}", both);
    vote_yes(&shop);
    struct question early = {.epoch = shop.branch.epoch,
                             .seq = shop.branch.seq,
                             .site = 2,
                             .ask = {REGISTER_ACCEPT, {0, 0}, REGISTER_COMMIT}};
    const struct register_state state = {.value = REGISTER_COMMIT};
    reply_with(shop.payments, &early, WIRE__ANSWERED__GRANTED, &state);
    hear_nothing(shop.payments);
    hear_nothing(shop.client);
    crash_and_start(shop.world);
    open_shop(&shop);
    assert_int_equal(inquire(shop.orders, shop.branch)->verdict, WIRE__VERDICT__VERDICT_ABORT);
    world_free(shop.world);
}

static void questions_do_not_stand_in_front_of_commits(void **unused)
{
    (void)unused;
    struct shop shop = shop_new();
    struct submission how = three;
    how.timeout_ms = 60000;
    for (uint64_t i = 0; i < LIMIT_OUTSTANDING + 10; i++) {
        submit(shop.client, i, &how, "{}", both);
        vote_yes(&shop);
    }
    sync_journal(shop.world);
    wait_for_the_first(&shop);
    /* Orders answers none of them; it is sent no more than it can bear. */
    assert_int_equal(shop.orders->messages.count - shop.orders->messages.head, LIMIT_OUTSTANDING);
    struct question question = {0};
    for (int i = 0; i < LIMIT_OUTSTANDING; i++) {
        question = questioned(shop.orders);
        questioned(shop.payments);
    }
    how.protocol = WIRE__PROTOCOL__TWO_PHASE;
    submit(shop.client, 4000, &how, "{}", both);
    vote_yes(&shop);
    sync_journal(shop.world);
    applied(shop.orders);
    applied(shop.payments);
    assert_true(outcome(shop.client, 4000, WIRE__RESULT__COMMITTED)->applied);
    /* An answer makes room for the next. */
    answer_from(shop.orders, &shop.registers[ORDERS], &question);
    told(shop.orders, true);
    questioned(shop.orders);
    hear_nothing(shop.orders);
    world_free(shop.world);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_is_answered_by_what_is_known),
        cmocka_unit_test(what_was_never_proposed_is_answered_abort),
        cmocka_unit_test(a_promise_is_durable_before_it_is_told_and_kept_after_a_restart),
        cmocka_unit_test(what_waits_to_be_durable_is_answered_by_the_decision),
        cmocka_unit_test(an_acceptance_for_another_outbids_and_survives),
        cmocka_unit_test(a_restart_takes_over_what_was_proposed),
        cmocka_unit_test(a_restart_ends_what_was_decided_with_nothing_to_apply),
        cmocka_unit_test(a_restart_learns_an_abort_and_forgets_it),
        cmocka_unit_test(a_checkpoint_keeps_what_was_proposed_with_its_promises),
        cmocka_unit_test(what_was_proposed_is_not_forgotten_however_old),
        cmocka_unit_test(a_proposal_that_can_not_be_is_refused),
        cmocka_unit_test(a_register_without_its_proposal_or_its_promise_is_refused),
        cmocka_unit_test(who_is_no_site_of_it_is_not_believed),
        cmocka_unit_test(a_transaction_of_two_phases_has_no_register),
        cmocka_unit_test(nonsense_of_a_participant_is_ignored),
        cmocka_unit_test(an_answer_before_the_question_counts_for_nothing),
        cmocka_unit_test(questions_do_not_stand_in_front_of_commits),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
