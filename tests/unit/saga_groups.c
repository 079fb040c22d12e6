/* Tries of steps that are transactions: one transaction a step, found again by its key. */
#include "task_kit.h"

struct shop {
    struct world *world;
    struct kit_run *kit;
    struct visitor *orders, *payments, *cli;
};

static void enter_shop(struct shop *s)
{
    s->orders = participant(s->world, 0, "orders");
    s->payments = participant(s->world, 1, "payments");
    s->cli = client(s->world, 3);
}

static void open_shop(struct shop *s)
{
    last.count = 0;
    s->world = world_new();
    start(s->world);
    s->kit = kit_run_new(5);
    enter_shop(s);
}

static void close_shop(struct shop *s)
{
    kit_run_free(s->world, s->kit);
    world_free(s->world);
}

static size_t live(const struct shop *s)
{
    return s->world->server->live.count;
}

static size_t keys(const struct shop *s)
{
    return s->world->server->keys.step_count;
}

static void cancel(struct shop *s, const char *step, unsigned try)
{
    struct attempt how = {.step = step, .how = SAGA_CANCEL, .try = try};
    attempt(s->world, s->kit, &how);
    run(s->world);
}

static void forget(struct shop *s, const char *step)
{
    struct saga_instance instance = kit_instance(s->kit, step, 0);
    task_forget(s->world->server, &s->kit->run, &instance);
}

static void vote_with(struct visitor *visitor, Wire__Branch branch, const char *result,
                      const char *code)
{
    Wire__Vote body = WIRE__VOTE__INIT;
    Wire__Problem problem = WIRE__PROBLEM__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    char *results[] = {(char *)result};
    body.branch = &branch;
    body.choice = code ? WIRE__CHOICE__NO : WIRE__CHOICE__YES;
    if (code) {
        problem.code = (char *)code;
        problem.message = (char *)"as the test says";
        body.problem = &problem;
    } else {
        body.xid = 700 + branch.branch;
        body.results = results;
        body.n_results = 1;
    }
    message.body_case = WIRE__MESSAGE__BODY_VOTE;
    message.vote = &body;
    say(visitor, &message);
}

/* Both have voted yes: the decision is in the journal, and not durable. */
static void both_agree(struct shop *s)
{
    vote_with(s->orders, asked(s->orders, WIRE__MODE__PREPARE), "{\"id\":7}", NULL);
    vote_with(s->payments, asked(s->payments, WIRE__MODE__PREPARE), "", NULL);
}

static void a_step_is_done_when_it_is_applied(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    struct saga_instance instance = kit_instance(s.kit, "both", 0);
    struct txid id = task_transaction(s.world->server, &s.kit->run, &instance);
    assert_int_equal(id.epoch, s.world->server->recovery.epoch);
    both_agree(&s);
    assert_int_equal(last.count, 0);
    sync_journal(s.world);
    applied(s.orders);
    assert_int_equal(last.count, 0);
    applied(s.payments);
    heard(0, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    assert_true(last.kept);
    assert_int_equal(task_transaction(s.world->server, &s.kit->run, &instance).seq, 0);
    assert_int_equal(s.world->server->waiting, 0);
    /* Another try of it is answered with the same. */
    try_step(s.world, s.kit, "both", 2);
    heard(1, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    hear_nothing(s.orders);
    close_shop(&s);
}

/* Nobody must look for what it did before it is there, neither the next step nor what undoes it. */
static void committed_and_not_applied_is_not_enough(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    applied(s.orders);
    pass(s.world, 9 * SECOND_US);
    assert_int_equal(last.count, 0);
    pass(s.world, 2 * SECOND_US);
    heard(0, SAGA_UNSURE, "unapplied");
    try_step(s.world, s.kit, "both", 2);
    assert_int_equal(last.count, 1);
    applied(s.payments);
    heard(1, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    assert_int_equal(live(&s), 0);
    close_shop(&s);
}

static void an_abort_is_refused_or_may_pass(void **state)
{
    static const struct {
        const char *code;
        enum saga_outcome told;
    } of[] = {{"insufficient_funds", SAGA_REFUSED}, {"40P01", SAGA_NOT_DONE}};
    (void)state;
    struct shop s;
    open_shop(&s);
    for (int i = 0; i < 2; i++) {
        try_step(s.world, s.kit, "both", (unsigned)i + 1);
        (void)asked(s.orders, WIRE__MODE__PREPARE);
        vote_with(s.payments, asked(s.payments, WIRE__MODE__PREPARE), "", of[i].code);
        heard(i, of[i].told, of[i].code);
        finish(s.orders, told(s.orders, false), false, false);
        assert_int_equal(keys(&s), 0);
    }
    /* Nothing remains of an abort: the next try is another transaction. */
    try_step(s.world, s.kit, "both", 3);
    both_agree(&s);
    close_shop(&s);
}

static void the_time_of_the_try_is_that_of_its_transaction(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    const Wire__Prepare *prepare = hear(s.orders, WIRE__MESSAGE__BODY_PREPARE)->prepare;
    assert_true(prepare->timeout_ms > 9000 && prepare->timeout_ms <= 10000);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_NOT_DONE, "deadline");
    close_shop(&s);
}

static void it_begins_when_all_are_there(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    leave(s.payments);
    pass(s.world, 3 * SECOND_US);
    try_step(s.world, s.kit, "both", 1);
    assert_int_equal(live(&s), 0);
    hear_nothing(s.orders);
    assert_int_equal(last.count, 0);
    s.payments = participant(s.world, 2, "payments");
    assert_int_equal(live(&s), 1);
    both_agree(&s);
    close_shop(&s);
}

static void who_stays_away_keeps_it_from_beginning(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    leave(s.payments);
    pass(s.world, 3 * SECOND_US);
    try_step(s.world, s.kit, "both", 1);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_NOT_DONE, "not_connected");
    assert_true(list_empty(&s.world->server->tasks.held));
    close_shop(&s);
}

static void a_stranger_may_come_yet(void **state)
{
    (void)state;
    struct shop s;
    last.count = 0;
    s.world = world_new();
    start(s.world);
    s.kit = kit_run_new(5);
    try_step(s.world, s.kit, "both", 1);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_NOT_DONE, "unknown_participant");
    close_shop(&s);
}

static void an_unknown_operation_is_refused(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    offer(s.payments, "charges");
    try_step(s.world, s.kit, "both", 1);
    heard(0, SAGA_REFUSED, "unknown_operation");
    assert_int_equal(live(&s), 0);
    close_shop(&s);
}

static void three_phases_wait_for_the_first_report(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "all", 1);
    assert_int_equal(live(&s), 0);
    listen_at(s.orders, "127.0.0.1:1");
    assert_int_equal(live(&s), 0);
    listen_at(s.payments, "127.0.0.1:2");
    assert_int_equal(live(&s), 1);
    assert_int_equal(last.count, 0);
    both_agree(&s);
    close_shop(&s);
}

/* What was proposed will be decided: the saga asks again, and so calls an operator in the end. */
static void without_a_majority_it_is_not_known(void **state)
{
    (void)state;
    struct shop s;
    struct register_state one = {0};
    open_shop(&s);
    listen_at(s.orders, "127.0.0.1:1");
    listen_at(s.payments, "127.0.0.1:2");
    try_step(s.world, s.kit, "all", 1);
    both_agree(&s);
    sync_journal(s.world);
    pass(s.world, 9 * SECOND_US);
    assert_int_equal(last.count, 0);
    pass(s.world, 2 * SECOND_US);
    heard(0, SAGA_UNSURE, "no_majority");
    for (unsigned try = 2; try < 4; try++) {
        cancel(&s, "all", try);
        assert_int_equal(server_undecided(s.world->server), 1);
        pass(s.world, 11 * SECOND_US);
        heard((int)try - 1, SAGA_UNSURE, "no_majority");
    }
    try_step(s.world, s.kit, "all", 4);
    granted(s.orders, &one);
    sync_journal(s.world);
    assert_int_equal(server_undecided(s.world->server), 0);
    assert_int_equal(last.count, 3);
    pass(s.world, 11 * SECOND_US);
    heard(3, SAGA_UNSURE, "unapplied");
    close_shop(&s);
}

static void a_restart_finds_the_same_transaction(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    kit_crash_and_start(s.world, s.kit);
    enter_shop(&s);
    assert_int_equal(live(&s), 1);
    assert_int_equal(keys(&s), 1);
    try_step(s.world, s.kit, "both", 1);
    assert_int_equal(live(&s), 1);
    applied(s.orders);
    applied(s.payments);
    heard(0, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    hear_nothing(s.orders);
    /* And once more, when it has ended. */
    sync_journal(s.world);
    kit_crash_and_start(s.world, s.kit);
    enter_shop(&s);
    assert_int_equal(live(&s), 0);
    try_step(s.world, s.kit, "both", 1);
    heard(1, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    hear_nothing(s.orders);
    close_shop(&s);
}

static void a_checkpoint_keeps_it(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    applied(s.orders);
    applied(s.payments);
    s.world->checkpoint_due = true;
    run(s.world);
    sync_journal(s.world);
    drop_what_the_checkpoint_replaced(s.world);
    kit_crash_and_start(s.world, s.kit);
    enter_shop(&s);
    try_step(s.world, s.kit, "both", 2);
    heard(1, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    close_shop(&s);
}

static void what_was_not_decided_is_forgotten(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    kit_crash_and_start(s.world, s.kit); /* the record was not durable */
    enter_shop(&s);
    assert_int_equal(keys(&s), 0);
    cancel(&s, "both", 1);
    heard(0, SAGA_REFUSED, "cancelled");
    close_shop(&s);
}

static void a_cancel_waits_for_what_is_under_way(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    cancel(&s, "both", 1);
    heard(0, SAGA_REFUSED, "cancelled");
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    kit_crash_and_start(s.world, s.kit);
    enter_shop(&s);
    cancel(&s, "both", 1);
    assert_int_equal(last.count, 1);
    applied(s.orders);
    applied(s.payments);
    heard(1, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    cancel(&s, "both", 2);
    heard(2, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    close_shop(&s);
}

static void what_is_forgotten_goes(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    applied(s.orders);
    pass(s.world, 11 * SECOND_US);
    heard(0, SAGA_UNSURE, "unapplied");
    forget(&s, "both");
    assert_int_equal(keys(&s), 1); /* it is not over */
    applied(s.payments);
    assert_int_equal(keys(&s), 0);
    forget(&s, "both");
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    applied(s.orders);
    applied(s.payments);
    assert_int_equal(keys(&s), 1);
    forget(&s, "both");
    assert_int_equal(keys(&s), 0);
    close_shop(&s);
}

static bool all_live(const struct server *server, struct txid saga)
{
    (void)server;
    assert_int_equal(saga.epoch, 1);
    assert_int_equal(saga.seq, 5);
    return true;
}

static bool none_lives(const struct server *server, struct txid saga)
{
    return !all_live(server, saga);
}

static void keys_of_sagas_stay_as_long_as_they_live(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    applied(s.orders);
    applied(s.payments);
    const Wire__Answer *answer = ask(s.cli, WIRE__WHAT__COORDINATOR, "", false);
    assert_int_equal(answer->coordinator->keys, 0); /* not a client's */
    struct server *server = s.world->server;
    keys_expire(&server->keys, INT64_MAX);
    __real_tasks_forget_orphans(server, all_live);
    assert_int_equal(keys(&s), 1);
    __real_tasks_forget_orphans(server, none_lives);
    assert_int_equal(keys(&s), 0);
    close_shop(&s);
}

static void results_are_kept_whole(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    size_t size = 3 * LIMIT_KEPT_RESULT_BYTES;
    char *large = xcalloc(1, size + 1);
    memset(large, '1', size);
    try_step(s.world, s.kit, "both", 1);
    vote_with(s.orders, asked(s.orders, WIRE__MODE__PREPARE), large, NULL);
    vote_with(s.payments, asked(s.payments, WIRE__MODE__PREPARE), "2", NULL);
    sync_journal(s.world);
    kit_crash_and_start(s.world, s.kit);
    enter_shop(&s);
    assert_int_equal(s.world->server->keys.kept_bytes, 0); /* not a client's */
    applied(s.orders);
    applied(s.payments);
    try_step(s.world, s.kit, "both", 1);
    assert_int_equal(last.outcome, SAGA_SUCCEEDED);
    assert_memory_equal(last.result, "[1111", 5);
    free(large);
    close_shop(&s);
}

/* An answer that can't be handed on is none: the transaction is not committed. */
static void results_that_are_of_no_use_abort(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    char *large = xcalloc(1, LIMIT_RESULT_BYTES + 1);
    memset(large, '1', LIMIT_RESULT_BYTES);
    const char *const results[] = {"{\"id\"", large};
    const char *const codes[] = {"bad_result", "results_too_large"};
    for (int i = 0; i < 2; i++) {
        try_step(s.world, s.kit, "both", (unsigned)i + 1);
        vote_with(s.orders, asked(s.orders, WIRE__MODE__PREPARE), "7", NULL);
        vote_with(s.payments, asked(s.payments, WIRE__MODE__PREPARE), results[i], NULL);
        heard(i, SAGA_REFUSED, codes[i]);
        finish(s.orders, told(s.orders, false), false, false);
        finish(s.payments, told(s.payments, false), false, false);
        assert_int_equal(live(&s), 0);
    }
    free(large);
    close_shop(&s);
}

static void a_hazard_does_not_change_the_decision(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    both_agree(&s);
    sync_journal(s.world);
    finish(s.orders, told(s.orders, true), true, true);
    heard(0, SAGA_UNSURE, "unapplied"); /* that of payments may still come */
    applied(s.payments);
    assert_int_equal(live(&s), 1);
    try_step(s.world, s.kit, "both", 2);
    heard(1, SAGA_SUCCEEDED, "[{\"id\":7},null]");
    close_shop(&s);
}

static void who_shuts_down_begins_nothing(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    server_drain(s.world->server);
    both_agree(&s);
    sync_journal(s.world);
    /* A saga that waits for it does not hold the end up. */
    run(s.world);
    sync_journal(s.world);
    assert_true(server_drained(s.world->server));
    try_step(s.world, s.kit, "all", 1);
    assert_int_equal(last.count, 0);
    assert_int_equal(live(&s), 1);
    close_shop(&s);
}

static void what_is_dropped_is_not_answered(void **state)
{
    (void)state;
    struct shop s;
    open_shop(&s);
    try_step(s.world, s.kit, "both", 1);
    tasks_drop(s.world->server, &s.kit->run);
    both_agree(&s);
    sync_journal(s.world);
    applied(s.orders);
    applied(s.payments);
    assert_int_equal(last.count, 0);
    assert_int_equal(live(&s), 0);
    close_shop(&s);
}

static void clients_cannot_name_the_key_of_a_step(void **state)
{
    static const char *const keys[] = {"\x1fshop.c1.1.5/both", "a\nb", "\x7f", "a\x1f"};
    (void)state;
    struct shop s;
    open_shop(&s);
    for (unsigned i = 0; i < 4; i++) {
        struct submission how = {.key = keys[i]};
        submit(s.cli, i + 1, &how, "{}", both);
        rejected(s.cli, i + 1, "bad_request");
    }
    struct submission how = {.key = "caf\xc3\xa9"};
    submit(s.cli, 9, &how, "{}", both);
    assert_int_equal(live(&s), 1);
    close_shop(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_step_is_done_when_it_is_applied),
        cmocka_unit_test(committed_and_not_applied_is_not_enough),
        cmocka_unit_test(an_abort_is_refused_or_may_pass),
        cmocka_unit_test(the_time_of_the_try_is_that_of_its_transaction),
        cmocka_unit_test(it_begins_when_all_are_there),
        cmocka_unit_test(who_stays_away_keeps_it_from_beginning),
        cmocka_unit_test(a_stranger_may_come_yet),
        cmocka_unit_test(an_unknown_operation_is_refused),
        cmocka_unit_test(three_phases_wait_for_the_first_report),
        cmocka_unit_test(without_a_majority_it_is_not_known),
        cmocka_unit_test(a_restart_finds_the_same_transaction),
        cmocka_unit_test(a_checkpoint_keeps_it),
        cmocka_unit_test(what_was_not_decided_is_forgotten),
        cmocka_unit_test(a_cancel_waits_for_what_is_under_way),
        cmocka_unit_test(what_is_forgotten_goes),
        cmocka_unit_test(keys_of_sagas_stay_as_long_as_they_live),
        cmocka_unit_test(results_are_kept_whole),
        cmocka_unit_test(results_that_are_of_no_use_abort),
        cmocka_unit_test(a_hazard_does_not_change_the_decision),
        cmocka_unit_test(who_shuts_down_begins_nothing),
        cmocka_unit_test(what_is_dropped_is_not_answered),
        cmocka_unit_test(clients_cannot_name_the_key_of_a_step),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
