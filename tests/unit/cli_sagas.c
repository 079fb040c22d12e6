/* What other commands know of sagas: tx show, participant list, and lint that asks a
 * coordinator what can be called. */
#include "tests/unit/saga_desk.h"

/* ---- lint --------------------------------------------------------------------------------- */

static const char definition[] = "saga: refund\n"
                                 "version: 1\n"
                                 "input: {amount: number}\n"
                                 "steps:\n"
                                 "  - name: pay\n"
                                 "    call: payments.refund\n"
                                 "    with: {amont: \"${ .input.amount }\"}\n"
                                 "    compensate: none\n"
                                 "  - {name: tell, call: mail.send, compensate: none}\n"
                                 "  - {name: post, call: post.send, compensate: none}\n"
                                 "  - {name: note, call: orders.note, with: {x: 1}, compensate: "
                                 "none}\n";

struct offers {
    Wire__Offer refund, *refund_list[1];
    Wire__ParticipantView views[3], *first[2], *second[1];
    Wire__Answer pages[2];
    char *parameters[1], *types[1], *operations[1];
    int queries;
};

/* mail has told nothing, of orders only names are known, and post has never connected. */
static void offers_init(struct offers *offers)
{
    static const char *const names[] = {"mail", "orders", "payments"};
    wire__offer__init(&offers->refund);
    offers->parameters[0] = (char *)"amount";
    offers->types[0] = (char *)"numeric";
    offers->operations[0] = (char *)"note";
    offers->refund.operation = (char *)"refund";
    offers->refund.parameters = offers->parameters;
    offers->refund.types = offers->types;
    offers->refund.n_parameters = offers->refund.n_types = 1;
    offers->refund_list[0] = &offers->refund;
    for (int i = 0; i < 3; i++) {
        wire__participant_view__init(&offers->views[i]);
        offers->views[i].name = (char *)names[i];
    }
    offers->views[1].operations = offers->operations;
    offers->views[1].n_operations = 1;
    offers->views[2].offers = offers->refund_list;
    offers->views[2].n_offers = 1;
    offers->first[0] = &offers->views[0];
    offers->first[1] = &offers->views[1];
    offers->second[0] = &offers->views[2];
    wire__answer__init(&offers->pages[0]);
    wire__answer__init(&offers->pages[1]);
    offers->pages[0].participants = offers->first;
    offers->pages[0].n_participants = 2;
    offers->pages[0].more = 1;
    offers->pages[1].participants = offers->second;
    offers->pages[1].n_participants = 1;
    offers->queries = 0;
}

static const Wire__Answer *offers_page(struct desk *desk, const Wire__Query *query)
{
    struct offers *offers = desk->pages;
    assert_int_equal(query->what, WIRE__WHAT__OFFERS);
    assert_string_equal(query->from, offers->queries ? "orders" : "");
    return &offers->pages[offers->queries++];
}

static char *definition_file(void)
{
    char *path = xstrdup("/tmp/troth-cli-sagas-XXXXXX");
    int file = mkstemp(path);
    assert_true(file >= 0);
    assert_true(write(file, definition, sizeof(definition) - 1) == (ssize_t)sizeof(definition) - 1);
    close(file);
    return path;
}

static void lint_asks_a_coordinator_that_is_named(void **state)
{
    struct desk *desk = *state;
    struct offers offers;
    offers_init(&offers);
    desk->page = offers_page;
    desk->pages = &offers;
    char *path = definition_file();
    struct run run = ask(desk, WORDS("saga", "lint", path));
    assert_code(run, 2);
    assert_out(run, ":7:12: payments.refund takes no argument amont; did you mean amount?\n");
    assert_out(run, ":6:11: payments.refund needs the argument amount (numeric)\n");
    assert_out(run, ": warning: what mail offers is not known yet: this call is not checked\n");
    assert_out(run,
               ": warning: participant post has not connected yet: this call is not checked\n");
    assert_null(strstr(run.out, "orders"));
    assert_int_equal(offers.queries, 2);
    run_fini(&run);
    unlink(path);
    free(path);
}

static void lint_asks_nobody_when_configurations_are_given(void **state)
{
    struct desk *desk = *state;
    char *path = definition_file();
    struct run run =
        ask(desk, WORDS("saga", "lint", path, "--participants", "examples/shop/payments.yaml"));
    assert_code(run, 2);
    assert_null(desk->last);
    run_fini(&run);
    unlink(path);
    free(path);
}

static void a_coordinator_that_is_away_is_a_warning_or_an_error(void **state)
{
    (void)state;
    char *path = definition_file();
    setenv("TROTH_COORDINATOR", "tcp://127.0.0.1:1", 1);
    struct run run = kit_run(NULL, WORDS("saga", "lint", path, "--timeout", "100ms"));
    assert_code(run, 0);
    assert_out(run, "TROTH_COORDINATOR: warning: nobody answers at tcp://127.0.0.1:1: calls are "
                    "not checked against what participants offer\n");
    assert_out(run, "1 saga: 0 mistakes, 1 warning\n");
    run_fini(&run);
    unsetenv("TROTH_COORDINATOR");
    run = kit_run(NULL, WORDS("saga", "lint", path, "--timeout", "100ms", "--coordinator",
                              "tcp://127.0.0.1:1"));
    assert_code(run, 3);
    assert_err(run, "nobody answers at tcp://127.0.0.1:1\n");
    run_fini(&run);
    unlink(path);
    free(path);
}

/* ---- participant list, tx show ----------------------------------------------------- */

static void participants_tell_how_many_steps_they_have_to_do(void **state)
{
    struct desk *desk = *state;
    Wire__ParticipantView view = WIRE__PARTICIPANT_VIEW__INIT, *list[] = {&view};
    Wire__Answer answer = WIRE__ANSWER__INIT;
    view.name = (char *)"payments";
    view.executing = 12;
    answer.participants = list;
    answer.n_participants = 1;
    desk->answers[WIRE__WHAT__PARTICIPANTS] = &answer;
    struct run run = ask(desk, WORDS("participant", "list"));
    assert_code(run, 0);
    assert_out(run, "\npayments: steps of sagas that are sent or wait to be: 12\n");
    expect_narrow(&run);
    run_fini(&run);
    run = expect_json(desk, WORDS("participant", "list", "--json"), 0);
    assert_out(run, "\"executing\":12}");
    run_fini(&run);
}

static void a_saga_is_no_transaction(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    struct run run = ask(desk, WORDS("tx", "show", ID));
    assert_code(run, 2);
    assert_string_equal(run.err, "troth: " ID " is a saga, not a transaction\n"
                                 "  hint: troth saga show " ID "\n");
    run_fini(&run);
}

static void a_transaction_names_the_saga_of_which_it_is_a_step(void **state)
{
    struct desk *desk = *state;
    Wire__TransactionView tx = WIRE__TRANSACTION_VIEW__INIT, *list[] = {&tx};
    Wire__Answer answer = WIRE__ANSWER__INIT;
    tx.gtrid = (char *)"shop.c1.1795224000.19";
    tx.saga_step = (char *)ID "/book[3]";
    tx.begun_us = now_us();
    answer.transactions = list;
    answer.n_transactions = 1;
    desk->answers[WIRE__WHAT__TRANSACTION] = &answer;
    struct run run = ask(desk, WORDS("tx", "show", tx.gtrid));
    assert_code(run, 0);
    assert_out(run, "\nis the step  book[3] of saga " ID "\n");
    assert_null(strstr(run.out, "\nkey "));
    expect_narrow(&run);
    run_fini(&run);
    run = expect_json(desk, WORDS("tx", "show", tx.gtrid, "--json"), 0);
    assert_out(run, "\"saga\":\"" ID "\",\"step\":\"book[3]\"");
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(lint_asks_a_coordinator_that_is_named),
        TEST(lint_asks_nobody_when_configurations_are_given),
        cmocka_unit_test(a_coordinator_that_is_away_is_a_warning_or_an_error),
        TEST(participants_tell_how_many_steps_they_have_to_do),
        TEST(a_saga_is_no_transaction),
        TEST(a_transaction_names_the_saga_of_which_it_is_a_step),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
