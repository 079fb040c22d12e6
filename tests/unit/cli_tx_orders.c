/* troth tx resolve and tx forget, with a coordinator that answers as it is told: what is shown,
 * what is asked, what is sent, and the exit codes. */
#include "tests/unit/tx_kit.h"

/* ---- tx resolve and tx forget --------------------------------------------------------------- */

static void an_order_is_shown_before_it_is_given(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    previewed(&world, WIRE__DEED__DEED_HEURISTIC);
    setenv("USER", "ada", 1);
    struct run run = ask(desk, WORDS("tx", "resolve", G, "--abort", "--reason", "c1 is lost",
                                     "--participant", "payments"));
    assert_code(run, 0);
    const Wire__TxOrder *order = desk->request->tx_order;
    assert_int_equal(order->kind, WIRE__TX_ORDER_KIND__RESOLVE);
    assert_string_equal(order->gtrid, G);
    assert_string_equal(order->reason, "c1 is lost");
    assert_string_equal(order->participant, "payments");
    assert_int_equal(strncmp(order->by, "ada@", 4), 0);
    assert_false(order->commit || order->dry_run || order->relayed);
    assert_int_equal(desk->orders, 1);
    assert_out(run, G ": an outcome would be forced\n");
    assert_out(run, "\nwould be done:\n  payments: ROLLBACK PREPARED\n"
                    "can't be known:\n  inventory is not connected: what it holds\n");
    assert_out(run, "\n" G ": an outcome was forced\ndone:\n  payments: ROLLBACK PREPARED\n");
    expect_narrow(&run);
    run_fini(&run);
    expect_json(desk, WORDS("tx", "resolve", G, "--commit", "--reason", "x", "--json"), 0,
                "\"preview\":{\"deed\":\"heuristic\",\"message\":\"an outcome would be forced\"");
    assert_true(desk->request->tx_order->commit);
}

/* Runs troth at a terminal of its own, in which this was typed ahead. */
static struct run ask_on_terminal(struct desk *desk, const char *typed, const char *const *words)
{
    enum { WORDS_MAX = 20, SCREEN_BYTES = 16384 };
    char *argv[WORDS_MAX] = {kit_troth};
    for (int i = 0; words[i]; i++)
        argv[i + 1] = (char *)words[i];
    int ours = posix_openpt(O_RDWR | O_NOCTTY);
    assert_true(ours >= 0 && grantpt(ours) == 0 && unlockpt(ours) == 0);
    int theirs = open(ptsname(ours), O_RDWR | O_NOCTTY);
    assert_true(theirs >= 0 && write(ours, typed, strlen(typed)) == (ssize_t)strlen(typed));
    struct run run = {.code = -1, .loop = desk->loop, .err = xstrdup("")};
    uv_stdio_container_t streams[3];
    for (int i = 0; i < 3; i++)
        streams[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = theirs};
    uv_process_options_t options = {
        .exit_cb = kit_exited, .file = kit_troth, .args = argv, .stdio = streams, .stdio_count = 3};
    uv_process_t process = {.data = &run};
    CHECK(uv_spawn(loop_uv(desk->loop), &process, &options) == 0);
    loop_run(desk->loop);
    uv_run(loop_uv(desk->loop), UV_RUN_NOWAIT);
    run.out = xcalloc(1, SCREEN_BYTES);
    fcntl(ours, F_SETFL, O_NONBLOCK);
    for (ssize_t got, size = 0; (got = read(ours, run.out + size, 4096)) > 0;) {
        size += got;
        assert_true(size < SCREEN_BYTES - 4096);
    }
    close(theirs);
    close(ours);
    return run;
}

static void a_person_is_asked(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    previewed(&world, WIRE__DEED__DEED_HEURISTIC);
    static const char *const words[] = {"tx", "resolve", G, "--abort", "--reason", "x", NULL};
    static const char *const no[] = {"n\n", "\n", "yesterday\n", "\x04"};
    for (size_t i = 0; i < sizeof(no) / sizeof(no[0]); i++) {
        struct run run = ask_on_terminal(desk, no[i], words);
        assert_code(run, 1);
        assert_out(run, "Do it? [y/N] ");
        assert_out(run, "nothing was done");
        assert_int_equal(desk->orders, 0);
        run_fini(&run);
    }
    struct run run = ask_on_terminal(desk, "y\n", words);
    assert_code(run, 0);
    assert_out(run, "an outcome was forced");
    assert_int_equal(desk->orders, 1);
    run_fini(&run);
    run = ask_on_terminal(desk, "", WORDS("tx", "forget", G, "--reason", "x", "--yes"));
    assert_code(run, 0);
    assert_null(strstr(run.out, "Do it?"));
    assert_int_equal(desk->orders, 2);
    run_fini(&run);
    run = ask_on_terminal(desk, "", WORDS("tx", "forget", G, "--reason", "x", "--json"));
    assert_code(run, 2);
    assert_out(run, "--json asks no question: --yes or --dry-run says what is meant");
    run_fini(&run);
}

static void a_dry_run_gives_no_order(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    previewed(&world, WIRE__DEED__DEED_ABORT);
    struct run run = ask(desk, WORDS("tx", "resolve", G, "--abort", "--reason", "x", "--dry-run"));
    assert_code(run, 0);
    assert_int_equal(desk->orders, 0);
    assert_true(desk->request->tx_order->dry_run);
    run_fini(&run);
    expect_json(desk, WORDS("tx", "forget", G, "--reason", "x", "--dry-run", "--json"), 0,
                "\"done\":null");
    assert_int_equal(desk->request->tx_order->kind, WIRE__TX_ORDER_KIND__FORGET);
}

static void where_nothing_is_to_be_done_no_order_is_given(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    previewed(&world, WIRE__DEED__DEED_WAIT);
    world.preview.n_steps = 0;
    struct run run = ask(desk, WORDS("tx", "resolve", G, "--commit", "--reason", "x"));
    assert_code(run, 0);
    assert_int_equal(desk->orders, 0);
    run_fini(&run);
}

static void a_refusal_has_its_exit_code(void **state)
{
    struct desk *desk = *state;
    struct world world;
    static const struct {
        const char *code;
        int exit;
    } cases[] = {{"contradicts", 4}, {"undecided", 4}, {"judged", 4},      {"owed", 4},
                 {"busy", 1},        {"unknown", 2},   {"bad_request", 2}, {"else", 2}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        world_init(&world, desk);
        world.problem.code = (char *)cases[i].code;
        world.problem.message = (char *)"so it is";
        world.dry.problem = &world.problem;
        struct run run = ask(desk, WORDS("tx", "resolve", G, "--commit", "--reason", "x"));
        assert_code(run, cases[i].exit);
        assert_err(run, "troth: so it is (");
        assert_int_equal(desk->orders, 0);
        run_fini(&run);
    }
}

static void an_order_without_an_answer_is_exit_code_5(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    previewed(&world, WIRE__DEED__DEED_HEURISTIC);
    desk->hang_up = true;
    struct run run = ask(desk, WORDS("tx", "resolve", G, "--commit", "--reason", "x"));
    assert_code(run, 5);
    assert_err(run, "troth: not known whether it was done: ");
    assert_err(run, "hint: troth tx explain " G " tells");
    run_fini(&run);
}

static void wrong_orders_are_told(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    const char *const *const wrong[] = {
        WORDS("tx", "resolve", G, "--reason", "x"),
        WORDS("tx", "resolve", G, "--commit", "--abort", "--reason", "x"),
        WORDS("tx", "resolve", "--commit", "--reason", "x"),
        WORDS("tx", "resolve", G, "--commit"),
        WORDS("tx", "resolve", G, "--commit", "--reason", " "),
        WORDS("tx", "resolve", G, "--commit", "--reason", "a\nb"),
        WORDS("tx", "resolve", G, "--commit", "--reason", "c1", "is", "lost"),
        WORDS("tx", "resolve", "troth." G ".1", "--commit", "--reason", "x"),
        WORDS("tx", "resolve", "shop.c1.01.5", "--commit", "--reason", "x"),
        WORDS("tx", "forget", G, "--reason", "x", "--participant", "a b"),
        WORDS("tx", "forget", G, "--commit", "--reason", "x"),
    };
    static const char *const told[] = {
        "tx resolve needs one of --commit and --abort",
        "tx resolve needs one of --commit and --abort",
        "tx resolve needs a GTRID",
        "tx resolve needs --reason 'why'",
        "--reason: says nothing",
        "--reason: byte 2 is a control character",
        "\"is\": a reason of several words stands in quotes",
        "is the gid of one branch; the GTRID is " G,
        "\"shop.c1.01.5\" is no GTRID",
        "--participant: a name is",
        "unknown flag \"--commit\"",
    };
    for (size_t i = 0; i < sizeof(told) / sizeof(told[0]); i++) {
        struct run run = ask(desk, wrong[i]);
        assert_code(run, 2);
        assert_err(run, told[i]);
        run_fini(&run);
    }
    assert_int_equal(desk->orders, 0);
}

static void a_name_that_is_not_plain_is_not_sent(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    previewed(&world, WIRE__DEED__DEED_FORGET);
    setenv("USER", "ada\x1b[31m", 1);
    struct run run = ask(desk, WORDS("tx", "forget", G, "--reason", "x"));
    assert_code(run, 0);
    assert_int_equal(strncmp(desk->request->tx_order->by, "uid-", 4), 0);
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(an_order_is_shown_before_it_is_given),
        TEST(a_person_is_asked),
        TEST(a_dry_run_gives_no_order),
        TEST(where_nothing_is_to_be_done_no_order_is_given),
        TEST(a_refusal_has_its_exit_code),
        TEST(an_order_without_an_answer_is_exit_code_5),
        TEST(wrong_orders_are_told),
        TEST(a_name_that_is_not_plain_is_not_sent),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
