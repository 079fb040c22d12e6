/* What a person sees of sagas, what many of them cost, and who offers what. */
#include "sagas_kit.h"

#include <malloc.h>
#include <time.h>

static const char many_saga[] =
    "saga: many\n"
    "version: 3\n"
    "input: {count: integer, note: {type: string, default: \"\"}}\n"
    "steps:\n"
    "  - name: goods\n"
    "    for_each: \"${ [range(0; .input.count)] }\"\n"
    "    parallel: 100\n"
    "    steps:\n"
    "      - {name: pick, call: orders.pick, with: {i: \"${ .item }\"}, compensate: none}\n"
    "  - {name: both, wait: {signal: go, timeout: 1h}}\n"
    "output: {note: \"${ .input.note }\"}\n";

static const char wait_saga[] =
    "saga: patience\n"
    "version: 1\n"
    "input: {order_id: string, customer: string, amount: number}\n"
    "steps:\n"
    "  - {name: create, call: orders.create, compensate: orders.cancel}\n"
    "  - {name: answer, wait: {signal: go, timeout: 30d}}\n"
    "  - {name: charge, call: payments.charge, kind: pivot}\n";

static struct hall *hall_with(const char *text)
{
    struct hall *hall = hall_new();
    hall->texts[3] = text;
    assert_int_equal(hall_define(hall), 0);
    return hall;
}

static Wire__Query ask_for(Wire__What what)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = what;
    return query;
}

static void a_list_shows_the_newest_and_counts_the_rest(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    for (int i = 0; i < 5; i++)
        begin_saga(hall, "approval", NULL);
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    settle_all(hall);
    Wire__Query how = ask_for(WIRE__WHAT__SAGAS);
    const Wire__Answer *answer = query(hall, &how);
    assert_int_equal(answer->n_sagas, 6);
    assert_string_equal(answer->sagas[0]->state, "running");
    assert_string_equal(answer->sagas[0]->name, "approval");
    assert_string_equal(answer->sagas[5]->state, "completed");
    assert_string_equal(answer->sagas[5]->next, "");
    how.limit = 2;
    answer = query(hall, &how);
    assert_int_equal(answer->n_sagas, 2);
    assert_int_equal(answer->more, 4);
    how.limit = 0;
    how.saga = (char *)"order";
    assert_int_equal(query(hall, &how)->n_sagas, 1);
    how.unended = true;
    assert_int_equal(query(hall, &how)->n_sagas, 0);
    how.saga = (char *)"";
    assert_int_equal(query(hall, &how)->n_sagas, 5);
    how.needs_operator = true;
    assert_int_equal(query(hall, &how)->n_sagas, 0);
    hall_free(hall);
}

static void a_saga_that_is_a_step_is_shown_with_its_parent(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    gtrid_text id, child;
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "outer", NULL));
    settle_all(hall);
    Wire__Query how = ask_for(WIRE__WHAT__SAGAS);
    assert_int_equal(query(hall, &how)->n_sagas, 1);
    how.children = true;
    const Wire__Answer *answer = query(hall, &how);
    assert_int_equal(answer->n_sagas, 2);
    snprintf(child, sizeof(child), "%s",
             answer->sagas[0]->parent[0] ? answer->sagas[0]->id : answer->sagas[1]->id);
    how = ask_for(WIRE__WHAT__SAGA);
    how.saga = child;
    answer = query(hall, &how);
    assert_string_equal(answer->sagas[0]->parent, id);
    assert_string_equal(answer->sagas[0]->parent_step, "inner");
    assert_string_equal(answer->sagas[0]->input, "{\"id\":\"o\",\"amount\":1}");
    how.saga = id;
    answer = query(hall, &how);
    assert_int_equal(answer->sagas[0]->n_steps, 3);
    assert_string_equal(answer->sagas[0]->steps[1]->path, "inner");
    assert_string_equal(answer->sagas[0]->steps[1]->what, "saga order");
    assert_string_equal(answer->sagas[0]->steps[1]->gtrid, child);
    assert_string_equal(answer->sagas[0]->steps[1]->state, "done");
    assert_string_equal(answer->sagas[0]->output, "{\"inner\":7}");
    hall_free(hall);
}

/* Each slice goes on where the last one ended, and together they are all. */
static void many_steps_come_in_slices(void **unused)
{
    (void)unused;
    enum { ITEMS = 800 };
    struct hall *hall = hall_with(many_saga);
    gtrid_text id;
    char from[80] = "", input[64];
    snprintf(input, sizeof(input), "{\"count\":%d}", ITEMS);
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "many", input));
    settle_all(hall);
    size_t seen = 0, slices = 0;
    for (uint64_t more = 1; more; slices++) {
        Wire__Query how = ask_for(WIRE__WHAT__SAGA);
        how.saga = id;
        how.from = from;
        const Wire__Answer *answer = query(hall, &how);
        assert_null(answer->problem);
        const Wire__SagaView *saga = answer->sagas[0];
        assert_true(saga->n_steps > 0);
        assert_int_equal(saga->input[0] != '\0', slices == 0);
        seen += saga->n_steps;
        more = answer->more;
        snprintf(from, sizeof(from), "%s", saga->steps[saga->n_steps - 1]->path);
    }
    assert_true(slices > 1);
    assert_true(seen >= ITEMS + 2);
    assert_string_equal(from, "both");
    Wire__Query how = ask_for(WIRE__WHAT__SAGA);
    how.saga = id;
    how.from = (char *)"nothing";
    assert_string_equal(query(hall, &how)->problem->code, "bad_request");
    hall_free(hall);
}

static void values_that_are_too_large_are_not_shown(void **unused)
{
    (void)unused;
    struct hall *hall = hall_with(many_saga);
    char *input = xcalloc(1, 32 * 1024);
    size_t size = (size_t)sprintf(input, "{\"count\":0,\"note\":\"");
    memset(input + size, 'x', 30 * 1024);
    strcat(input, "\"}");
    gtrid_text id;
    snprintf(id, sizeof(id), "%s", begin_saga(hall, "many", input));
    Wire__Query how = ask_for(WIRE__WHAT__SAGA);
    how.saga = id;
    const Wire__Answer *answer = query(hall, &how);
    assert_non_null(strstr(answer->sagas[0]->input, "too large"));
    free(input);
    hall_free(hall);
}

static void what_is_not_known_is_said(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    Wire__Query how = ask_for(WIRE__WHAT__SAGA);
    how.saga = (char *)"what";
    assert_string_equal(query(hall, &how)->problem->code, "bad_request");
    how.saga = (char *)"shop.c2.1.1";
    assert_string_equal(query(hall, &how)->problem->code, "bad_request");
    how.saga = (char *)"shop.c1.1.1";
    assert_string_equal(query(hall, &how)->problem->code, "unknown_saga");
    hall_free(hall);
}

static void the_coordinator_counts_them(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    begin_saga(hall, "approval", NULL);
    begin_saga(hall, "order", "{\"id\":\"o\"}");
    settle_all(hall);
    Wire__Query how = ask_for(WIRE__WHAT__COORDINATOR);
    const Wire__CoordinatorView *view = query(hall, &how)->coordinator;
    assert_int_equal(view->sagas_running, 1);
    assert_int_equal(view->sagas_completed, 1);
    assert_int_equal(view->sagas_compensating, 0);
    assert_int_equal(view->n_definitions, 3);
    assert_string_equal(view->definitions[0], "approval 2");
    hall_free(hall);
}

static void tell_offers(struct visitor *visitor, int count)
{
    Wire__Status body = WIRE__STATUS__INIT;
    Wire__Message message = WIRE__MESSAGE__INIT;
    Wire__Offer offers[300], *pointers[300];
    char names[300][64];
    char *parameters[] = {(char *)"order_id", (char *)"amount"};
    char *types[] = {(char *)"text", (char *)"numeric"};
    for (int i = 0; i < count; i++) {
        wire__offer__init(&offers[i]);
        snprintf(names[i], sizeof(names[i]), "an_operation_with_a_long_name_as_people_like_%d", i);
        offers[i].operation = names[i];
        offers[i].parameters = parameters;
        offers[i].types = types;
        offers[i].n_parameters = offers[i].n_types = 2;
        pointers[i] = &offers[i];
    }
    body.database_up = true;
    body.offers = pointers;
    body.n_offers = (size_t)count;
    message.body_case = WIRE__MESSAGE__BODY_STATUS;
    message.status = &body;
    say(visitor, &message);
}

static void offers_come_by_name_in_slices(void **unused)
{
    (void)unused;
    struct hall *hall = hall_new();
    char name[40], from[40] = "";
    for (int i = 3; i < 10; i++) {
        snprintf(name, sizeof(name), "p-%02d", 10 - i);
        tell_offers(participant(hall->world, i, name), 290);
    }
    size_t seen = 0, slices = 0;
    for (uint64_t more = 1; more; slices++) {
        Wire__Query how = ask_for(WIRE__WHAT__OFFERS);
        how.from = from;
        const Wire__Answer *answer = query(hall, &how);
        assert_true(answer->n_participants > 0);
        for (size_t i = 0; i < answer->n_participants; i++) {
            const Wire__ParticipantView *view = answer->participants[i];
            assert_true(strcmp(from, view->name) < 0);
            assert_true(view->n_offers == 0 || view->n_offers == 290);
            snprintf(from, sizeof(from), "%s", view->name);
            seen += view->n_offers;
        }
        more = answer->more;
    }
    assert_true(slices > 1);
    assert_int_equal(seen, 7 * 290);
    hall_free(hall);
}

/* ---- what many cost ---- */

static size_t memory(void)
{
    return mallinfo2().uordblks + mallinfo2().hblkhd;
}

/* Replayed, gone on with, and waiting for a signal. */
static void many_that_wait_are_small_and_start_soon(void **unused)
{
    (void)unused;
    enum { SAGAS = 20000 };
    struct hall *hall = hall_with(wait_saga);
    struct world *world = hall->world;
    char input[128];
    for (int i = 0; i < SAGAS; i++) {
        snprintf(input, sizeof(input),
                 "{\"order_id\":\"o-%08d\",\"customer\":\"ada lovelace\",\"amount\":40.00}", i);
        struct saga_begin_how how = {
            .definition = definitions_current(&world->server->sagas.definitions, "patience"),
            .input = input};
        sagas_begin(world->server, &how);
    }
    hall->row_count = 0;
    sync_journal(world);
    for (bool going = true; going;) { /* rows are not looked at */
        hall->row_count = 0;
        going = step(hall);
    }
    assert_int_equal(running(hall), SAGAS);
    hall->texts[0] = wait_saga;
    hall->texts[1] = NULL;
    leave(hall->orders);
    leave(hall->payments);
    leave(hall->client);
    server_free(world->server);
    world->server = NULL;
    size_t before = memory();
    clock_t begun = clock();
    start(world);
    double seconds = (double)(clock() - begun) / CLOCKS_PER_SEC;
    size_t each = (memory() - before) / SAGAS;
    print_message("# %d waiting sagas: %zu bytes each, started in %.2f s\n", SAGAS, each, seconds);
    assert_int_equal(running(hall), SAGAS);
    assert_true(each < 1024);
    hall_free(hall);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_list_shows_the_newest_and_counts_the_rest),
        cmocka_unit_test(a_saga_that_is_a_step_is_shown_with_its_parent),
        cmocka_unit_test(many_steps_come_in_slices),
        cmocka_unit_test(values_that_are_too_large_are_not_shown),
        cmocka_unit_test(what_is_not_known_is_said),
        cmocka_unit_test(the_coordinator_counts_them),
        cmocka_unit_test(offers_come_by_name_in_slices),
        cmocka_unit_test(many_that_wait_are_small_and_start_soon),
    };
    return cmocka_run_group_tests(tests, NULL, hall_clear_shelf);
}
