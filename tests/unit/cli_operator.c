/* The command line for operators, with a coordinator that answers as it is told: what is listed,
 * shown and explained, and what a hostile peer may send. cli_tx_orders.c has what is ordered. */
#include "tests/unit/tx_kit.h"

#include <signal.h>

/* ---- tx list ------------------------------------------------------------------------------ */

static void filters_travel_with_the_query(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.transaction.more = 7;
    struct run run =
        ask(desk, WORDS("tx", "list", "--heuristic", "--hazard", "--state", "committed,hazard",
                        "--older", "5m", "--oldest", "--limit", "20", "--after", "shop.c1.6.9"));
    assert_code(run, 0);
    const Wire__Query *query = desk->last->query;
    assert_true(query->heuristic && query->hazard && query->oldest_first && !query->in_doubt);
    assert_int_equal(query->n_states, 2);
    assert_string_equal(query->states[1], "hazard");
    assert_int_equal(query->older_us, 300000000);
    assert_int_equal(query->limit, 20);
    assert_string_equal(query->from, "shop.c1.6.9");
    assert_out(run, "\nand 7 more: troth tx list --state committed,hazard --heuristic --hazard "
                    "--oldest --older 300s --limit 20 --after " G "\n");
    run_fini(&run);
}

static void wrong_filters_are_told(void **state)
{
    struct desk *desk = *state;
    static const char *const wrong[][3] = {
        {"--state", "a b", "--state: \"a b\" is no list"},
        {"--state", "a,,b", "is no list such as committed,hazard"},
        {"--older", "soon", "--older: \"soon\" is not a duration"},
        {"--limit", "0", "--limit: \"0\" is no number from 1"},
        {"--after", "x", "\"x\" is no GTRID"},
        {"--watch", "1ms", "--watch: \"1ms\" is no duration from 100ms"},
    };
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct run run = ask(desk, WORDS("tx", "list", wrong[i][0], wrong[i][1]));
        assert_code(run, 2);
        assert_err(run, wrong[i][2]);
        run_fini(&run);
    }
}

static void marks_name_what_is_most_serious(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    struct run run = ask(desk, WORDS("tx", "list"));
    assert_out(run, "  in doubt  orders payments\n");
    assert_null(strstr(run.out, "tx explain"));
    run_fini(&run);
    world.tx.heuristic = (char *)"abort";
    run = ask(desk, WORDS("tx", "list"));
    assert_out(run, "  heuristic  orders payments\n");
    assert_out(run, "\nhazard, heuristic, mixed: an operator's: troth tx explain GTRID\n");
    run_fini(&run);
    /* Forced, and nobody knows what was decided. */
    world.tx.hazard = true;
    run = ask(desk, WORDS("tx", "list"));
    assert_out(run, "  heuristic  orders payments\n");
    run_fini(&run);
    world.tx.heuristic = (char *)"";
    run = ask(desk, WORDS("tx", "list"));
    assert_out(run, "  hazard  orders payments\n");
    run_fini(&run);
    world.tx.heuristic = (char *)"mixed";
    run = ask(desk, WORDS("tx", "list"));
    assert_out(run, "  mixed  orders payments\n");
    run_fini(&run);
    expect_json(desk, WORDS("tx", "list", "--json"), 0,
                "\"hazard\":true,\"heuristic\":\"mixed\",\"heuristics\":[]");
}

/* An id is copied, so rather a column goes. */
static void a_narrow_terminal_drops_a_column_and_never_cuts_an_id(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.tx.gtrid = (char *)"shopping-cluster.coordinator-one.1795222861.1234567";
    setenv("COLUMNS", "80", 1);
    struct run run = ask(desk, WORDS("tx", "list"));
    unsetenv("COLUMNS");
    assert_out(run, "\nshopping-cluster.coordinator-one.1795222861.1234567  committed  5m   in d");
    assert_null(strstr(run.out, "2pc"));
    run_fini(&run);
}

/* Ends it after its second page, as Ctrl-C does. */
static const Wire__Answer *second_page_ends_it(struct desk *desk, const Wire__Query *query)
{
    int *pages = desk->pages;
    (void)query;
    if (++*pages == 2)
        uv_kill(kit_running, SIGINT);
    return NULL;
}

static void a_watch_asks_again_until_it_is_ended(void **state)
{
    struct desk *desk = *state;
    struct world world;
    int pages = 0;
    world_init(&world, desk);
    desk->page = second_page_ends_it;
    desk->pages = &pages;
    struct run run = ask(desk, WORDS("tx", "list", "--watch", "100ms", "--json"));
    assert_code(run, 0);
    assert_int_equal(pages, 2);
    assert_non_null(strchr(run.out, '\n'));
    run_fini(&run);
}

/* ---- tx show ------------------------------------------------------------------------------ */

static void a_timeline_is_in_order_of_time(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    int64_t at_us = world.tx.begun_us = 1795222861123000;
    world.tx.decided_us = at_us + 12000;
    world.branches[0].voted_us = at_us + 9000;
    world.branches[1].voted_us = at_us + 8000;
    world.branches[0].ended_us = at_us + 15000;
    world.branches[1].waits_for = (char *)"payments, which is not connected";
    world.heuristic.participant = (char *)"payments";
    world.heuristic.reason = (char *)"c1 is lost";
    world.heuristic.by = (char *)"ada@host";
    world.heuristic.at_us = at_us + 90000000;
    world.tx.heuristics = world.heuristic_list;
    world.tx.n_heuristics = 1;
    world.tx.heuristic = (char *)"mixed";
    struct run run = ask(desk, WORDS("tx", "show", G));
    assert_code(run, 0);
    assert_out(run, "\nmixed        yes: databases differ, after an operator forced an outcome\n");
    assert_out(run,
               "\n2026-11-21T01:01:01.123Z          begun\n"
               "2026-11-21T01:01:01.131Z    +8ms  payments: voted yes: prepared\n"
               "2026-11-21T01:01:01.132Z    +9ms  orders: voted yes: prepared\n"
               "2026-11-21T01:01:01.135Z   +12ms  decided: commit\n"
               "2026-11-21T01:01:01.138Z   +15ms  orders: applied\n"
               "2026-11-21T01:02:31.123Z    +90s  payments: rolled back by order of ada@host: c1\n"
               "                                  is lost\n");
    assert_out(run, "\nended        not yet\n");
    assert_out(run, "\npayments: waits for payments, which is not connected\n");
    expect_narrow(&run);
    run_fini(&run);
    expect_json(desk, WORDS("tx", "show", G, "--json"), 0,
                "\"heuristics\":[{\"participant\":\"payments\",\"outcome\":\"abort\",\"reason\":"
                "\"c1 is lost\",\"by\":\"ada@host\",\"at\":\"2026-11-21T01:02:31.123Z\","
                "\"found\":null}]");
}

/* ---- tx explain --------------------------------------------------------------------------- */

static void explain_tells_what_is_true_what_is_blocked_and_what_to_do(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    struct run run = ask(desk, WORDS("tx", "explain", G));
    assert_code(run, 0);
    assert_int_equal(strncmp(run.out, G ": committed, not yet applied at payments.\n", 43), 0);
    assert_out(run, "\n  the coordinator c1: committed; decided commit 20");
    assert_out(run, "\n  orders    committed (xid 770)\n"
                    "  payments  prepared for 5m (xid 771)\n");
    assert_out(run, "\n  payments: prepared by payments in database payments\n"
                    "    locks 1 row of public.account (RowExclusiveLock)\n"
                    "    locks public.charge (RowExclusiveLock); how many rows is not known\n"
                    "    blocks 5 sessions:\n"
                    "    pid 4711: app, psql from 127.0.0.1, waits 5s for public.account\n"
                    "      update account set balance = balance - 10 where customer = 'ada' and\n"
                    "        balance >= 10 returning balance\n");
    assert_out(run, "\n    and 3 more (--json has up to 20)\n");
    assert_out(run, "\n    holds vacuum back by 812 (autovacuum_freeze_max_age: 200000000)\n"
                    "    prepared slots of its server: 3 of 64 used\n");
    assert_out(run, "\nWhat to do:\n  wait.\n  It needs payments to run, with its database:");
    expect_narrow(&run);
    run_fini(&run);
    expect_json(desk, WORDS("tx", "explain", G, "--json"), 0, "\"advice\":{\"kind\":\"wait\"");
    expect_json(desk, WORDS("tx", "explain", G, "--json"), 0, "\"pid\":4711,\"user\":\"app\"");
}

static void explain_takes_the_gid_of_a_branch(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    struct run run = ask(desk, WORDS("tx", "explain", "troth." G ".1"));
    assert_code(run, 0);
    assert_out(run, G ": committed");
    run_fini(&run);
}

static void explain_names_the_command(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.transaction.n_transactions = 0;
    world.problem.code = (char *)"held";
    world.problem.message = (char *)"beyond what the journal knows";
    world.transaction.problem = &world.problem;
    world.exhibits[1].held = true;
    desk->answers[WIRE__WHAT__SAGA] = &world.transaction;
    struct run run = ask(desk, WORDS("tx", "explain", G));
    assert_code(run, 0);
    assert_out(run, G ": nobody decides it: committed at orders, prepared at payments.\n");
    assert_out(run, "\n    troth tx resolve " G " --commit --reason 'WHY'\n");
    run_fini(&run);
    run = ask(desk, WORDS("--coordinator", desk->address, "tx", "explain", G));
    char *command =
        xasprintf("\n    troth --coordinator %s tx resolve " G " --commit", desk->address);
    assert_out(run, command);
    free(command);
    run_fini(&run);
}

static void explain_knows_what_nobody_knows(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.transaction.n_transactions = 0;
    world.problem.code = (char *)"unknown";
    world.transaction.problem = &world.problem;
    world.testimonies[0].n_exhibits = world.testimonies[1].n_exhibits = 0;
    desk->answers[WIRE__WHAT__SAGA] = &world.transaction;
    struct run run = ask(desk, WORDS("tx", "explain", G));
    assert_code(run, 5);
    assert_out(run, "\n  orders    nothing of it is here\n");
    run_fini(&run);
}

/* Nothing may be advised then. */
static void explain_without_evidence_says_nothing(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    world.problem.code = (char *)"busy";
    world.problem.message = (char *)"too many questions";
    world.evidence.problem = &world.problem;
    struct run run = ask(desk, WORDS("tx", "explain", G));
    assert_code(run, 5);
    assert_string_equal(run.out, "");
    assert_err(run, "troth: too many questions (busy)\n");
    run_fini(&run);
}

static void explain_says_how_the_owner_ends_a_foreign_one(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    prepared_init(&world, 0, "batch'7", "billing", "ledger");
    world.testimonies[1].prepared = world.prepared_list;
    world.testimonies[1].n_prepared = 1;
    struct run run = ask(desk, WORDS("tx", "explain", "batch'7"));
    assert_code(run, 0);
    assert_out(run, "batch'7: not Troth's: prepared by billing in database ledger");
    assert_out(run, "\n    COMMIT PREPARED 'batch''7';\n    ROLLBACK PREPARED 'batch''7';\n");
    expect_narrow(&run);
    run_fini(&run);
    expect_json(desk, WORDS("tx", "explain", "batch'7", "--json"), 0,
                "\"foreign\":{\"participant\":\"payments\",\"database\":\"ledger\"");
    run = ask(desk, WORDS("tx", "resolve", "batch'7", "--abort", "--reason", "old"));
    assert_code(run, 4);
    assert_err(run, "is not Troth's: its owner ends it\n");
    assert_err(run, "as billing: COMMIT PREPARED 'batch''7'");
    assert_int_equal(desk->orders, 0);
    run_fini(&run);
}

/* ---- tx orphans --------------------------------------------------------------------------- */

static void orphans_are_told_by_kind(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    prepared_init(&world, 0, "troth." G ".0", "payments", "payments");
    prepared_init(&world, 1, "troth.shop.old.5.2.0", "payments", "payments");
    prepared_init(&world, 2, "batch-7", "billing", "payments");
    prepared_init(&world, 3, "elsewhere-1", "billing", "ledger");
    world.prepared[0].held = true;
    world.prepared[3].here = false;
    world.testimonies[1].prepared = world.prepared_list;
    world.testimonies[1].n_prepared = 4;
    world.problem.message = (char *)"not connected";
    world.testimonies[0].problem = &world.problem;
    struct run run = ask(desk, WORDS("tx", "orphans", "--participant", "payments"));
    assert_code(run, 0);
    assert_string_equal(desk->last->query->participant, "payments");
    assert_out(run, "held: Troth's, and their coordinator's journal does not know them\n"
                    "  AT        AGE  OWNER     DATABASE  XIDS  GID\n"
                    "  payments  5m   payments  payments  812   troth." G ".0\n  -> ");
    assert_out(run, "\nabandoned: Troth's, and their coordinator is not connected\n");
    assert_out(run, "\nforeign: not Troth's\n");
    assert_out(run, "\nin other databases of the same servers\n");
    assert_out(run, "\norders was not heard: not connected\n");
    expect_narrow(&run);
    run_fini(&run);
    expect_json(desk, WORDS("tx", "orphans", "--json"), 0,
                "{\"kind\":\"abandoned\",\"participant\":\"payments\",\"gid\":"
                "\"troth.shop.old.5.2.0\"");
}

static void what_is_in_flight_is_no_orphan(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    prepared_init(&world, 0, "troth." G ".0", "payments", "payments");
    prepared_init(&world, 1, "troth.shop.c1.8.1.0", "orders", "orders");
    world.prepared[0].judged = true;
    /* The same server: both list it, and it is told where it is. */
    world.prepared[1].judged = true;
    world.testimonies[1].prepared = world.prepared_list;
    world.testimonies[1].n_prepared = 2;
    struct run run = ask(desk, WORDS("tx", "orphans"));
    assert_code(run, 0);
    assert_string_equal(run.out, "no orphans: 2 prepared transactions are in flight, with their "
                                 "coordinator there\n");
    run_fini(&run);
}

/* ---- hostile peers ------------------------------------------------------------------------ */

#define NASTY "\x1b]0;t\x07\xff\n"

static void what_a_peer_makes_up_is_printed_harmlessly(void **state)
{
    struct desk *desk = *state;
    struct world world;
    world_init(&world, desk);
    char *const texts[] = {(char *)NASTY};
    world.tx.state = world.tx.decision = world.tx.heuristic = (char *)"\x1b[31m";
    world.branches[1].state = world.branches[1].waits_for = (char *)"\x1b[31m";
    world.testimonies[0].participant = world.branches[0].participant = (char *)"\x1b[31m";
    world.exhibits[0].state = (char *)"\x1b[31m";
    world.exhibits[1].report = (char *)"{\"owner\": \"\\u001b[31m\", \"locks\": [7, {}], "
                                       "\"blocked\": [null, {\"query\": \"\\u001b[31m\", "
                                       "\"waiting_ms\": 9223372036854775807}], "
                                       "\"blocked_more\": 9223372036854775807}";
    world.heuristic.reason = world.heuristic.found = (char *)"\x1b[31m";
    world.heuristic.at_us = now_us();
    world.tx.heuristics = world.heuristic_list;
    world.tx.n_heuristics = 1;
    prepared_init(&world, 0, "\x1b[31m", "\x1b[31m", "\x1b[31m");
    world.exhibits[1].prepared_us = world.tx.begun_us = world.prepared[0].prepared_us = INT64_MIN;
    world.tx.decided_us = world.branches[0].voted_us = INT64_MAX;
    world.testimonies[1].database_us = INT64_MAX;
    world.testimonies[1].prepared = world.prepared_list;
    world.testimonies[1].n_prepared = 1;
    previewed(&world, (Wire__Deed)77);
    world.preview.message = (char *)"\x1b[31m";
    world.preview.steps = world.preview.unknowns = (char **)texts;
    const char *const *const asked[] = {
        WORDS("tx", "list"),
        WORDS("tx", "show", G),
        WORDS("tx", "explain", G),
        WORDS("tx", "orphans"),
        WORDS("tx", "resolve", G, "--abort", "--reason", "x"),
    };
    for (size_t i = 0; i < sizeof(asked) / sizeof(asked[0]); i++) {
        struct run run = ask(desk, asked[i]);
        assert_code(run, 0);
        assert_null(strpbrk(run.out, "\x1b\x07\xff"));
        assert_out(run, "\\x1b[31m");
        run_fini(&run);
    }
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(filters_travel_with_the_query),
        TEST(wrong_filters_are_told),
        TEST(marks_name_what_is_most_serious),
        TEST(a_narrow_terminal_drops_a_column_and_never_cuts_an_id),
        TEST(a_watch_asks_again_until_it_is_ended),
        TEST(a_timeline_is_in_order_of_time),
        TEST(explain_tells_what_is_true_what_is_blocked_and_what_to_do),
        TEST(explain_takes_the_gid_of_a_branch),
        TEST(explain_names_the_command),
        TEST(explain_knows_what_nobody_knows),
        TEST(explain_without_evidence_says_nothing),
        TEST(explain_says_how_the_owner_ends_a_foreign_one),
        TEST(orphans_are_told_by_kind),
        TEST(what_is_in_flight_is_no_orphan),
        TEST(what_a_peer_makes_up_is_printed_harmlessly),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
