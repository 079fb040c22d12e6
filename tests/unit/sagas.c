/* The coordinator's side of sagas: who starts them, what is told when, and what a crash leaves. */
#include "sagas_kit.h"

/* ---- the way of a saga ---- */

static void nothing_is_sent_before_its_beginning_is_durable(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    start_saga(hall, &(struct starting){.name = "order", .input = "{\"id\":\"o-1\"}"});
    assert_true(hall->world->durable < hall->world->journal.count);
    hear_nothing(hall->orders);
    hear_nothing(hall->client);
    sync_journal(hall->world);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    assert_int_equal(strncmp(heard->saga, "shop.c1.", 8), 0);
    const Wire__Execute *asked = hear(hall->orders, WIRE__MESSAGE__BODY_EXECUTE)->execute;
    assert_string_equal(asked->task->step, "create");
    assert_int_equal(asked->how, WIRE__HOW__HOW_STEP);
    assert_string_equal(asked->call->operation, "create");
    assert_string_equal(asked->call->arguments, "{\"id\":\"o-1\",\"amount\":1}");
    hear_nothing(hall->payments);
    hall_free(hall);
}

static void who_waits_hears_the_end_when_it_is_durable(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    start_saga(hall, &(struct starting){.name = "order", .input = "{\"id\":\"o\"}", .wait = true});
    sync_journal(hall->world);
    assert_true(serve_one(hall, hall->orders));
    sync_journal(hall->world);
    assert_true(serve_one(hall, hall->payments));
    assert_int_equal(remains(hall, "charge"), 1);
    hear_nothing(hall->client);
    sync_journal(hall->world);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED);
    assert_string_equal(heard->output, "{\"charged\":7}");
    assert_false(heard->repeated_key);
    assert_int_equal(running(hall), 0);
    hall_free(hall);
}

static void who_waits_too_long_hears_that_it_runs(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    start_saga(hall, &(struct starting){.name = "approval", .wait = true, .timeout_ms = 3000});
    settle_all(hall);
    hear_nothing(hall->client);
    pass(hall->world, 4 * SECOND_US);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    assert_int_equal(running(hall), 1);
    hall_free(hall);
}

static void one_that_fails_is_undone_and_says_why(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->refused = "charge";
    start_saga(hall, &(struct starting){.name = "order", .input = "{\"id\":\"o\"}", .wait = true});
    finish_all(hall);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_string_equal(heard->problem->code, "insufficient_funds");
    assert_int_equal(remains(hall, "create"), 0);
    assert_int_equal(remains(hall, "charge"), 0);
    hall_free(hall);
}

/* E2: what is undone waits for the record that says why. */
static void nothing_is_undone_before_its_failure_is_durable(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->refused = "charge";
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    assert_true(serve_one(hall, hall->orders));
    sync_journal(hall->world);
    assert_true(serve_one(hall, hall->payments));
    hear_nothing(hall->orders);
    sync_journal(hall->world);
    const Wire__Execute *asked = hear(hall->orders, WIRE__MESSAGE__BODY_EXECUTE)->execute;
    assert_int_equal(asked->how, WIRE__HOW__HOW_COMPENSATE);
    assert_string_equal(asked->call->operation, "cancel");
    assert_string_equal(asked->call->arguments, "{\"id\":\"o\"}");
    hall_free(hall);
}

/* ---- starting ---- */

static void a_start_that_makes_no_sense_is_refused(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    start_saga(hall, &(struct starting){.name = "oder"});
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_REJECTED);
    assert_string_equal(heard->problem->code, "unknown_saga");
    assert_non_null(strstr(heard->problem->hint, "order"));
    start_saga(hall, &(struct starting){.name = "order"});
    hear_refusal(hall, "bad_input");
    start_saga(hall, &(struct starting){.name = "order", .input = "[]"});
    hear_refusal(hall, "bad_input");
    start_saga(hall, &(struct starting){.name = "order", .input = "{"});
    hear_refusal(hall, "bad_input");
    char key[LIMIT_KEY_BYTES + 2];
    memset(key, 'k', sizeof(key) - 1);
    key[sizeof(key) - 1] = '\0';
    start_saga(hall, &(struct starting){.name = "approval", .key = key});
    hear_refusal(hall, "bad_request");
    hall->texts[0] = NULL;
    hall_define(hall);
    start_saga(hall, &(struct starting){.name = "order"});
    heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_REJECTED);
    assert_non_null(strstr(heard->problem->hint, "`sagas`"));
    assert_int_equal(running(hall), 0);
    hall_free(hall);
}

static void a_key_makes_one_saga_of_two_starts(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    struct starting how = {
        .name = "order", .input = "{\"id\":\"o\",\"amount\":2}", .key = "k", .wait = true};
    struct starting again = how, other = how;
    again.input = "{ \"amount\": 2, \"id\": \"o\" }";
    other.input = "{\"id\":\"p\"}";
    start_saga(hall, &how);
    uint64_t first = hall->request;
    start_saga(hall, &other);
    hear_refusal(hall, "key_conflict");
    start_saga(hall, &again);
    finish_all(hall);
    const Wire__SagaOutcome *heard =
        hear(hall->client, WIRE__MESSAGE__BODY_SAGA_OUTCOME)->saga_outcome;
    assert_int_equal(heard->request, first);
    assert_false(heard->repeated_key);
    assert_true(hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED)->repeated_key);
    for (int i = 0; i < 3; i++) { /* kept; replayed; out of a checkpoint */
        start_saga(hall, &again);
        heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED);
        assert_true(heard->repeated_key);
        assert_string_equal(heard->output, "{\"charged\":7}");
        start_saga(hall, &other);
        hear_refusal(hall, "key_conflict");
        if (i == 1) {
            hall->world->checkpoint_due = true;
            run(hall->world);
            drop_what_the_checkpoint_replaced(hall->world);
        }
        hall_crash(hall);
    }
    assert_int_equal(remains(hall, "create"), 1);
    pass(hall->world, 1 * SECOND_US);
    hall->world->now_us += 8ull * 24 * 3600 * SECOND_US;
    pass(hall->world, 20 * SECOND_US);
    leave(hall->client);
    hall->client = client(hall->world, 2);
    start_saga(hall, &other);
    settle_all(hall);
    assert_false(hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED)->repeated_key);
    hall_free(hall);
}

static void a_key_tells_why_it_was_compensated(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    struct starting how = {.name = "order", .input = "{\"id\":\"o\"}", .key = "k"};
    hall->refused = "create";
    start_saga(hall, &how);
    sync_journal(hall->world);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    finish_all(hall);
    hall_crash(hall);
    hall->world->checkpoint_due = true;
    run(hall->world);
    drop_what_the_checkpoint_replaced(hall->world);
    hall_crash(hall);
    how.wait = true;
    start_saga(hall, &how);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_string_equal(heard->problem->code, "insufficient_funds");
    assert_string_equal(heard->problem->operation, "create");
    hall_free(hall);
}

static void a_client_that_is_gone_is_not_answered(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    start_saga(hall, &(struct starting){.name = "approval", .wait = true, .timeout_ms = 60000});
    settle_all(hall);
    gtrid_text id;
    snprintf(id, sizeof(id), "%s", "");
    leave(hall->client);
    pass(hall->world, 5 * SECOND_US);
    hall->client = client(hall->world, 2);
    Wire__Query all = WIRE__QUERY__INIT;
    all.what = WIRE__WHAT__SAGAS;
    snprintf(id, sizeof(id), "%s", query(hall, &all)->sagas[0]->id);
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "approved", "{\"by\":\"ada\"}");
    finish_all(hall);
    hear_order(hall, NULL);
    hear_nothing(hall->client);
    hall_free(hall);
}

static void a_process_that_ends_begins_nothing_and_sends_home_who_waits(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    start_saga(hall, &(struct starting){.name = "approval", .wait = true});
    settle_all(hall);
    server_drain(hall->world->server);
    run(hall->world);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_STARTED);
    start_saga(hall, &(struct starting){.name = "approval"});
    hear_refusal(hall, "draining");
    pass(hall->world, SECOND_US);
    sync_journal(hall->world);
    assert_true(server_drained(hall->world->server));
    hall_crash(hall);
    assert_int_equal(running(hall), 1);
    hall_free(hall);
}

/* ---- orders ---- */

static void orders_that_contradict_are_refused(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    const char *id = begin_saga(hall, "approval", NULL);
    settle_all(hall);
    give_order(hall, "shop.c1.1", WIRE__ORDER__ORDER_RETRY, NULL, NULL);
    hear_order(hall, "bad_request");
    give_order(hall, "shop.c2.1.1", WIRE__ORDER__ORDER_RETRY, NULL, NULL);
    hear_order(hall, "bad_request");
    give_order(hall, "shop.c1.1.999", WIRE__ORDER__ORDER_RETRY, NULL, NULL);
    hear_order(hall, "unknown_saga");
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "aproved", NULL);
    assert_non_null(strstr(hear_order(hall, "unknown_signal")->problem->hint, "approved"));
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "approved", "{");
    hear_order(hall, "bad_request");
    hall->away = "ship";
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "approved", "1");
    hear_nothing(hall->client);
    settle_all(hall);
    hear_order(hall, NULL);
    give_order(hall, id, WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    hear_order(hall, "past_pivot");
    hall->away = NULL;
    finish_all(hall);
    give_order(hall, id, WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    hear_order(hall, "saga_ended");
    assert_int_equal(remains(hall, "ship"), 1);
    hall_free(hall);
}

static void an_operator_may_undo_what_waits(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    const char *id = begin_saga(hall, "approval", NULL);
    settle_all(hall);
    assert_int_equal(remains(hall, "create"), 1);
    give_order(hall, id, WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    hear_nothing(hall->client);
    sync_journal(hall->world);
    hear_order(hall, NULL);
    give_order(hall, id, WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    hear_order(hall, "already_compensating");
    finish_all(hall);
    assert_int_equal(remains(hall, "create"), 0);
    hall_free(hall);
}

static void a_signal_survives(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    gtrid_text id;
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "approval", NULL));
    settle_all(hall);
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "approved", "{\"by\":\"ada\"}");
    sync_journal(hall->world);
    hear_order(hall, NULL);
    hall_crash(hall);
    finish_all(hall);
    Wire__Query one = WIRE__QUERY__INIT;
    one.what = WIRE__WHAT__SAGA;
    one.saga = id;
    assert_string_equal(query(hall, &one)->sagas[0]->output, "{\"said\":{\"by\":\"ada\"}}");
    hall_free(hall);
}

/* ---- what a crash leaves ---- */

/* A client with a key goes on until it hears the outcome. */
static void start_until_known(struct hall *hall, const struct starting *how)
{
    const struct saga_keys *keys = &hall->world->server->sagas.keys;
    if (!saga_keys_find(keys, how->key))
        start_saga(hall, how);
}

struct ending {
    const char *name, *input, *refused;
    bool completed, signal;
};

static void signal_all(struct hall *hall)
{
    Wire__Query all = WIRE__QUERY__INIT;
    gtrid_text id;
    all.what = WIRE__WHAT__SAGAS;
    const Wire__Answer *answer = query(hall, &all);
    if (answer->n_sagas == 0 || answer->sagas[0]->ended_us)
        return;
    snprintf(id, sizeof(id), "%s", answer->sagas[0]->id);
    give_order(hall, id, WIRE__ORDER__ORDER_SIGNAL, "approved", NULL);
    settle_all(hall);
}

static void check_end(struct hall *hall, const struct ending *ending, const struct starting *how)
{
    static const char *const steps[] = {"create", "charge", "ship", "open", "last"};
    bool outer = strcmp(ending->name, "outer") == 0, approval = ending->signal;
    const int expected[] = {1, 1, approval, outer, outer};
    while (!is_silent(hall->client)) /* of earlier starts */
        pull(&hall->client->messages);
    start_saga(hall, how);
    const Wire__SagaOutcome *heard =
        hear_saga(hall, ending->completed ? WIRE__SAGA_RESULT__SAGA_COMPLETED
                                          : WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_true(heard->repeated_key);
    for (size_t i = 0; i < sizeof(steps) / sizeof(steps[0]); i++)
        assert_int_equal(remains(hall, steps[i]), ending->completed ? expected[i] : 0);
}

/* One run that is killed after so many of the smallest things, and perhaps writes a checkpoint just
 * before. False: it was over by then. */
static bool crash_after(const struct ending *ending, int steps, bool checkpoint)
{
    struct hall *hall = hall_new();
    struct starting how = {.name = ending->name, .input = ending->input, .key = "k", .wait = true};
    hall->refused = ending->refused;
    start_until_known(hall, &how);
    bool going = true;
    for (int i = 0; i < steps && going; i++) {
        going = step(hall);
        if (!going && ending->signal && running(hall)) {
            signal_all(hall);
            going = true;
        }
    }
    if (checkpoint) {
        hall->world->checkpoint_due = true;
        run(hall->world);
        hall->world->durable = hall->world->journal.count;
        drop_what_the_checkpoint_replaced(hall->world);
    }
    hall_crash(hall);
    start_until_known(hall, &how);
    settle_all(hall);
    if (ending->signal)
        signal_all(hall);
    finish_all(hall);
    check_end(hall, ending, &how);
    hall_free(hall);
    return going;
}

static void crash_everywhere(const struct ending *ending)
{
    for (int checkpoint = 0; checkpoint < 2; checkpoint++) {
        int steps = 0;
        while (crash_after(ending, steps, checkpoint))
            steps++;
        assert_true(steps > 4);
    }
}

static void a_crash_anywhere_loses_nothing_of_a_saga_that_is_completed(void **unused)
{
    (void)unused;
    crash_everywhere(
        &(struct ending){.name = "order", .input = "{\"id\":\"o\"}", .completed = true});
}

static void a_crash_anywhere_leaves_nothing_of_a_saga_that_fails(void **unused)
{
    (void)unused;
    crash_everywhere(
        &(struct ending){.name = "order", .input = "{\"id\":\"o\"}", .refused = "charge"});
}

static void a_crash_anywhere_loses_no_signal(void **unused)
{
    (void)unused;
    crash_everywhere(&(struct ending){.name = "approval", .completed = true, .signal = true});
}

static void a_crash_anywhere_finds_the_sagas_that_are_steps(void **unused)
{
    (void)unused;
    crash_everywhere(&(struct ending){.name = "outer", .completed = true});
    crash_everywhere(&(struct ending){.name = "outer", .refused = "charge"});
    crash_everywhere(&(struct ending){.name = "outer", .refused = "last"});
}

/* ---- sagas that are steps ---- */

static const char forked_saga[] =
    "saga: forked\n"
    "version: 1\n"
    "steps:\n"
    "  - parallel:\n"
    "      - {name: long, saga: patient, timeout: 2d}\n"
    "      - {name: charge, call: payments.charge, compensate: payments.refund}\n";

static const char patient_saga[] =
    "saga: patient\n"
    "version: 1\n"
    "steps:\n"
    "  - {name: create, call: orders.create, compensate: orders.cancel}\n"
    "  - {name: answer, wait: {signal: approved, timeout: 1d}}\n";

static struct hall *forked_hall(void)
{
    struct hall *hall = hall_new();
    hall->texts[3] = forked_saga;
    hall->texts[4] = patient_saga;
    assert_int_equal(hall_define(hall), 0);
    return hall;
}

static void a_saga_that_runs_is_undone_when_its_parent_fails(void **unused)
{
    (void)unused;
    struct hall *hall = forked_hall();
    hall->away = "charge";
    begin_saga(hall, "forked", NULL);
    settle_all(hall);
    assert_int_equal(remains(hall, "create"), 1);
    hall->away = NULL;
    hall->refused = "charge";
    uint64_t begun_us = hall->world->now_us;
    finish_all(hall);
    assert_true(hall->world->now_us - begun_us < 300ull * SECOND_US);
    assert_int_equal(remains(hall, "create"), 0);
    hall_free(hall);
}

static const char racing_saga[] =
    "saga: racing\n"
    "version: 1\n"
    "steps:\n"
    "  - parallel:\n"
    "      - {name: quick, saga: quick}\n"
    "      - {name: charge, call: payments.charge, compensate: payments.refund}\n";

static const char quick_saga[] =
    "saga: quick\n"
    "version: 1\n"
    "steps: [{name: create, call: orders.create, compensate: orders.cancel}]\n";

/* Both become durable at once: the failure of the parent, and the end of a step's saga. */
static void a_saga_that_completes_while_its_parent_fails_is_undone(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[3] = racing_saga;
    hall->texts[4] = quick_saga;
    assert_int_equal(hall_define(hall), 0);
    hall->refused = "charge";
    start_saga(hall, &(struct starting){.name = "racing", .wait = true});
    sync_journal(hall->world);
    sync_journal(hall->world);
    assert_true(serve_one(hall, hall->payments));
    assert_true(serve_one(hall, hall->orders));
    assert_int_equal(remains(hall, "create"), 1);
    finish_all(hall);
    (void)hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_int_equal(remains(hall, "create"), 0);
    hall_free(hall);
}

static void one_that_takes_too_long_is_undone_and_tried_again(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[3] = "saga: hasty\nversion: 1\nsteps:\n"
                     "  - {name: short, saga: patient, timeout: 5s, retry: {attempts: 2}}\n";
    hall->texts[4] = patient_saga;
    assert_int_equal(hall_define(hall), 0);
    start_saga(hall, &(struct starting){.name = "hasty", .wait = true});
    settle_all(hall);
    assert_int_equal(running(hall), 2);
    finish_all(hall);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_string_equal(heard->problem->code, "deadline");
    int begun = 0;
    for (int i = 0; i < hall->row_count; i++)
        begun += strstr(hall->rows[i].gtrid, "/create") && !strstr(hall->rows[i].gtrid, "/undo");
    assert_int_equal(begun, 2);
    assert_int_equal(remains(hall, "create"), 0);
    hall_free(hall);
}

static void a_step_that_no_saga_can_be_fails(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[0] = "saga: outer\nversion: 2\nsteps:\n"
                     "  - {name: open, call: orders.open, compensate: orders.close}\n"
                     "  - {name: inner, saga: ordre}\n";
    hall->texts[1] = NULL;
    assert_int_equal(hall_define(hall), 0);
    start_saga(hall, &(struct starting){.name = "outer", .wait = true});
    finish_all(hall);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_string_equal(heard->problem->code, "unknown_saga");
    assert_int_equal(remains(hall, "open"), 0);
    hall_free(hall);
}

/* Each runs the next; the last one would be one too deep. */
static void sagas_lie_inside_each_other_only_so_deep(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    char *texts[LIMIT_SAGA_GENERATIONS + 1];
    struct server_definition all[LIMIT_SAGA_GENERATIONS + 1];
    for (int i = 0; i <= LIMIT_SAGA_GENERATIONS; i++) {
        texts[i] = xasprintf("saga: s%d\nversion: 1\nsteps:\n"
                             "  - {name: create, call: orders.create, compensate: orders.cancel}\n",
                             i);
        if (i < LIMIT_SAGA_GENERATIONS) {
            char *more = xasprintf("%s  - {name: next, saga: s%d}\n", texts[i], i + 1);
            free(texts[i]);
            texts[i] = more;
        }
        all[i] = (struct server_definition){texts[i], texts[i], strlen(texts[i])};
    }
    assert_int_equal(server_define(hall->world->server, all, LIMIT_SAGA_GENERATIONS + 1), 0);
    start_saga(hall, &(struct starting){.name = "s1", .wait = true});
    finish_all(hall);
    hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPLETED);
    assert_int_equal(remains(hall, "create"), LIMIT_SAGA_GENERATIONS);
    start_saga(hall, &(struct starting){.name = "s0", .wait = true});
    finish_all(hall);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_string_equal(heard->problem->code, "too_deep");
    assert_int_equal(remains(hall, "create"), LIMIT_SAGA_GENERATIONS);
    for (int i = 0; i <= LIMIT_SAGA_GENERATIONS; i++)
        free(texts[i]);
    hall_free(hall);
}

/* The parent runs by the definition of its beginning, and its step by the one of today. */
static void one_that_has_got_a_pivot_is_no_step_that_must_be_undone(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->away = "open";
    start_saga(hall, &(struct starting){.name = "outer", .wait = true});
    settle_all(hall);
    hall->texts[0] = "saga: order\nversion: 2\ninput: {id: string}\nsteps:\n"
                     "  - {name: charge, call: payments.charge, kind: pivot}\n"
                     "output: {charged: \"${ .input.id }\"}\n";
    hall->texts[2] = NULL;
    assert_int_equal(hall_define(hall), 0);
    hall->away = NULL;
    finish_all(hall);
    const Wire__SagaOutcome *heard = hear_saga(hall, WIRE__SAGA_RESULT__SAGA_COMPENSATED);
    assert_string_equal(heard->problem->code, "has_pivot");
    assert_int_equal(remains(hall, "open"), 0);
    assert_int_equal(remains(hall, "charge"), 0);
    hall_free(hall);
}

static void an_operator_may_undo_the_saga_of_a_step(void **unused)
{
    (void)unused;
    struct hall *hall = forked_hall();
    begin_saga(hall, "forked", NULL);
    settle_all(hall);
    Wire__Query all = WIRE__QUERY__INIT;
    all.what = WIRE__WHAT__SAGAS;
    all.saga = (char *)"patient";
    all.children = true;
    gtrid_text id;
    snprintf(id, sizeof(id), "%s", query(hall, &all)->sagas[0]->id);
    give_order(hall, id, WIRE__ORDER__ORDER_COMPENSATE, NULL, NULL);
    sync_journal(hall->world);
    hear_order(hall, NULL);
    finish_all(hall);
    assert_int_equal(remains(hall, "create"), 0);
    assert_int_equal(remains(hall, "charge"), 0);
    hall_free(hall);
}

static const char calm_saga[] = "saga: calm\nversion: 1\nsteps:\n  - {name: long, saga: patient}\n";

/* What it waits for may take days: only a timeout that somebody has given undoes it. */
static void the_saga_of_a_step_may_take_its_time(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[3] = calm_saga;
    hall->texts[4] = patient_saga;
    assert_int_equal(hall_define(hall), 0);
    begin_saga(hall, "calm", NULL);
    settle_all(hall);
    pass(hall->world, UINT64_C(3600) * SECOND_US);
    Wire__Query all = WIRE__QUERY__INIT;
    all.what = WIRE__WHAT__SAGAS;
    all.saga = (char *)"patient";
    all.children = true;
    assert_string_equal(query(hall, &all)->sagas[0]->state, "running");
    assert_int_equal(remains(hall, "create"), 1);
    hall_free(hall);
}

/* ---- definitions of the past ---- */

static const char hasty_saga[] =
    "saga: hasty\nversion: 1\nsteps:\n"
    "  - {name: short, saga: patient, timeout: 5s, retry: {attempts: 2}}\n";

/* Of two sagas by one definition the first is forgotten before the second is read. */
static void the_definition_of_a_step_tried_again_is_found_after_a_restart(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[3] = hasty_saga;
    hall->texts[4] = patient_saga;
    assert_int_equal(hall_define(hall), 0);
    begin_saga(hall, "hasty", NULL);
    for (int i = 0; i < 8; i++) {
        settle_all(hall);
        pass(hall->world, SECOND_US);
    }
    settle_all(hall);
    assert_int_equal(running(hall), 2);
    hall_crash(hall);
    assert_int_equal(running(hall), 2);
    finish_all(hall);
    assert_int_equal(remains(hall, "create"), 0);
    hall_free(hall);
}

static const char brief_saga[] = "saga: brief\nversion: 1\nsteps:\n"
                                 "  - {name: never, when: \"${ false }\", wait: {for: 1s}}\n";

/* The history, which alone knew it, has let it go by then. */
static void a_definition_outlives_the_history_while_the_journal_is_read(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    hall->texts[3] = brief_saga;
    assert_int_equal(hall_define(hall), 0);
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    finish_all(hall);
    for (int i = 0; i < LIMIT_SAGA_HISTORY + 1; i++)
        begin_saga(hall, "brief", NULL);
    begin_saga(hall, "order", "{\"id\":\"p\"}");
    hall_crash(hall);
    finish_all(hall);
    assert_int_equal(remains(hall, "charge"), 2);
    hall_free(hall);
}

static void what_has_ended_is_shown_so_after_a_restart(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    Wire__Query one = WIRE__QUERY__INIT;
    gtrid_text id;
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "outer", NULL));
    finish_all(hall);
    hall_crash(hall);
    one.what = WIRE__WHAT__SAGA;
    one.saga = id;
    const Wire__SagaView *view = query(hall, &one)->sagas[0];
    assert_string_equal(view->state, "completed");
    assert_true(view->ended_us > 0);
    for (size_t i = 0; i < view->n_steps; i++) {
        if (strcmp(view->steps[i]->path, "inner") == 0)
            snprintf(id, sizeof(id), "%s", view->steps[i]->gtrid);
    }
    assert_string_equal(query(hall, &one)->sagas[0]->name, "order");
    assert_string_equal(query(hall, &one)->sagas[0]->state, "completed");
    hall_free(hall);
}

/* ---- journals that can't be ---- */

static bool replays(struct hall *hall, struct error *error)
{
    struct world *world = hall->world;
    server_free(world->server);
    make_server(world, "shop", "c1");
    world->run_from = world->journal.count;
    return replay_all(world, error);
}

static void put_record(struct hall *hall, const Journal__Record *record)
{
    uint8_t bytes[4096];
    push(&hall->world->journal, bytes, journal__record__pack(record, bytes));
}

static void a_record_that_makes_no_sense_is_refused(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    struct error error = {0};
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__SagaEvent event = JOURNAL__SAGA_EVENT__INIT;
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    settle_all(hall);
    assert_true(replays(hall, &error));
    record.body_case = JOURNAL__RECORD__BODY_SAGA_EVENT;
    record.saga_event = &event;
    event.epoch = 1;
    event.seq = 99;
    event.type = JOURNAL__SAGA_EVENT_TYPE__SAGA_COMPLETED;
    put_record(hall, &record);
    assert_false(replays(hall, &error));
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_non_null(strstr(error.detail, "never began"));
    hall_free(hall);
}

static void a_definition_that_can_not_be_read_any_more_is_named(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    struct error error = {0};
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__SagaDefinition definition = JOURNAL__SAGA_DEFINITION__INIT;
    const char *text = "# a comment\nsaga: tomorrow\nversion: 1\nmagic: true\n";
    struct digest digest = digest_of(text, strlen(text));
    definition.file = (char *)"tomorrow.yaml";
    definition.text = (char *)text;
    definition.digest.data = digest.bytes;
    definition.digest.len = DIGEST_BYTES;
    record.body_case = JOURNAL__RECORD__BODY_SAGA_DEFINITION;
    record.saga_definition = &definition;
    put_record(hall, &record);
    assert_false(replays(hall, &error));
    assert_non_null(strstr(error.message, "tomorrow, from tomorrow.yaml"));
    digest.bytes[0] ^= 1;
    hall->world->journal.count--;
    free(hall->world->journal.items[hall->world->journal.count].data);
    put_record(hall, &record);
    assert_false(replays(hall, &error));
    assert_int_equal(error.kind, ERROR_CORRUPT);
    hall_free(hall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(nothing_is_sent_before_its_beginning_is_durable),
        cmocka_unit_test(who_waits_hears_the_end_when_it_is_durable),
        cmocka_unit_test(who_waits_too_long_hears_that_it_runs),
        cmocka_unit_test(one_that_fails_is_undone_and_says_why),
        cmocka_unit_test(nothing_is_undone_before_its_failure_is_durable),
        cmocka_unit_test(a_start_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_key_makes_one_saga_of_two_starts),
        cmocka_unit_test(a_key_tells_why_it_was_compensated),
        cmocka_unit_test(a_client_that_is_gone_is_not_answered),
        cmocka_unit_test(a_process_that_ends_begins_nothing_and_sends_home_who_waits),
        cmocka_unit_test(orders_that_contradict_are_refused),
        cmocka_unit_test(an_operator_may_undo_what_waits),
        cmocka_unit_test(a_signal_survives),
        cmocka_unit_test(a_crash_anywhere_loses_nothing_of_a_saga_that_is_completed),
        cmocka_unit_test(a_crash_anywhere_leaves_nothing_of_a_saga_that_fails),
        cmocka_unit_test(a_crash_anywhere_loses_no_signal),
        cmocka_unit_test(a_crash_anywhere_finds_the_sagas_that_are_steps),
        cmocka_unit_test(a_saga_that_runs_is_undone_when_its_parent_fails),
        cmocka_unit_test(a_saga_that_completes_while_its_parent_fails_is_undone),
        cmocka_unit_test(one_that_takes_too_long_is_undone_and_tried_again),
        cmocka_unit_test(a_step_that_no_saga_can_be_fails),
        cmocka_unit_test(sagas_lie_inside_each_other_only_so_deep),
        cmocka_unit_test(one_that_has_got_a_pivot_is_no_step_that_must_be_undone),
        cmocka_unit_test(an_operator_may_undo_the_saga_of_a_step),
        cmocka_unit_test(the_saga_of_a_step_may_take_its_time),
        cmocka_unit_test(the_definition_of_a_step_tried_again_is_found_after_a_restart),
        cmocka_unit_test(a_definition_outlives_the_history_while_the_journal_is_read),
        cmocka_unit_test(what_has_ended_is_shown_so_after_a_restart),
        cmocka_unit_test(a_record_that_makes_no_sense_is_refused),
        cmocka_unit_test(a_definition_that_can_not_be_read_any_more_is_named),
    };
    return cmocka_run_group_tests(tests, NULL, hall_clear_shelf);
}
