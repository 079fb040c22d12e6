/* The command line for operators, with a coordinator that answers as it is told: what is listed,
 * explained, ordered and forgotten, and what a hostile peer may send. */
#include "tests/unit/cli_desk.h"

#include <signal.h>

#include "core/json.h"

#define G "shop.c1.7.1"

/* ---- one transaction at payments and orders -------------------------------------------------- */

struct world {
    Wire__BranchView branches[2], *branch_list[2];
    Wire__Heuristic heuristic, *heuristic_list[1];
    Wire__TransactionView tx, *tx_list[1];
    Wire__Exhibit exhibits[2], *exhibit_list[2];
    Wire__Testimony testimonies[2], *testimony_list[2];
    Wire__PreparedView prepared[4], *prepared_list[4];
    Wire__Problem problem;
    Wire__Resolution preview, done;
    Wire__Answer transaction, evidence, dry, ordered, all;
};

static const char report[] =
    "{\"owner\":\"payments\",\"database\":\"payments\",\"locks\":[{\"relation\":\"public.account\","
    "\"mode\":\"RowExclusiveLock\",\"rows\":1},{\"relation\":\"public.charge\",\"mode\":"
    "\"RowExclusiveLock\",\"rows\":null}],\"blocked\":[{\"pid\":4711,\"user\":\"app\","
    "\"application\":\"psql\",\"client\":\"127.0.0.1\",\"waiting_ms\":5300,\"wants\":"
    "\"public.account\",\"behind\":null,\"query\":\"update account set balance = balance - 10 "
    "where customer = 'ada' and balance >= 10 returning balance\"},{\"pid\":4712,\"user\":null,"
    "\"application\":null,\"client\":null,\"waiting_ms\":null,\"wants\":null,\"behind\":4711,"
    "\"query\":null}],\"blocked_more\":3,\"vacuum\":{\"age_xids\":812,\"freeze_max_age\":200000000,"
    "\"oldest\":true},\"slots\":{\"used\":3,\"max\":64}}";

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void prepared_init(struct world *world, int at, const char *gid, const char *owner,
                          const char *database)
{
    Wire__PreparedView *prepared = world->prepared_list[at] = &world->prepared[at];
    wire__prepared_view__init(prepared);
    prepared->gid = (char *)gid;
    prepared->owner = (char *)owner;
    prepared->database = (char *)database;
    prepared->here = true;
    prepared->prepared_us = now_us() - 310 * 1000000ll;
    prepared->age_xids = 812;
    prepared->xid = 990 + (uint64_t)at;
}

static void world_answers(struct world *world)
{
    wire__answer__init(&world->transaction);
    wire__answer__init(&world->evidence);
    wire__answer__init(&world->dry);
    wire__answer__init(&world->ordered);
    wire__answer__init(&world->all);
    world->transaction.transactions = world->tx_list;
    world->transaction.n_transactions = 1;
    world->evidence.testimonies = world->testimony_list;
    world->evidence.n_testimonies = 2;
    world->dry.resolution = &world->preview;
    world->ordered.resolution = &world->done;
    world->all = world->evidence;
}

static void world_branches(struct world *world)
{
    static const char *const names[] = {"orders", "payments"};
    for (int i = 0; i < 2; i++) {
        wire__branch_view__init(&world->branches[i]);
        wire__testimony__init(&world->testimonies[i]);
        wire__exhibit__init(&world->exhibits[i]);
        world->branch_list[i] = &world->branches[i];
        world->exhibit_list[i] = &world->exhibits[i];
        world->testimony_list[i] = &world->testimonies[i];
        world->branches[i].participant = world->testimonies[i].participant = (char *)names[i];
        world->branches[i].state = (char *)(i ? "committing" : "applied");
        world->testimonies[i].exhibits = &world->exhibit_list[i];
        world->testimonies[i].n_exhibits = 1;
        world->testimonies[i].database_us = now_us();
        world->exhibits[i].xid = 770 + (uint64_t)i;
    }
    world->exhibits[0].status = WIRE__XID_STATUS__XID_COMMITTED;
    world->exhibits[1].status = WIRE__XID_STATUS__XID_IN_PROGRESS;
    world->exhibits[1].prepared = true;
    world->exhibits[1].prepared_us = now_us() - 310 * 1000000ll;
    world->exhibits[1].report = (char *)report;
}

/* Committed, and not yet applied at payments. */
static void world_init(struct world *world, struct desk *desk)
{
    *world = (struct world){0};
    world_branches(world);
    wire__problem__init(&world->problem);
    wire__transaction_view__init(&world->tx);
    world->tx.gtrid = (char *)G;
    world->tx.state = (char *)"committed";
    world->tx.decision = (char *)"commit";
    world->tx.begun_us = now_us() - 301 * 1000000ll;
    world->tx.decided_us = world->tx.begun_us + 12000;
    world->tx.in_doubt = true;
    world->tx.branches = world->branch_list;
    world->tx.n_branches = 2;
    world->tx_list[0] = &world->tx;
    wire__heuristic__init(&world->heuristic);
    world->heuristic_list[0] = &world->heuristic;
    wire__resolution__init(&world->preview);
    wire__resolution__init(&world->done);
    world_answers(world);
    desk->answers[0] = &world->dry;
    desk->ordered = &world->ordered;
    desk->answers[WIRE__WHAT__TRANSACTIONS] = &world->transaction;
    desk->answers[WIRE__WHAT__TRANSACTION] = &world->transaction;
    desk->answers[WIRE__WHAT__EVIDENCE] = &world->evidence;
    desk->answers[WIRE__WHAT__PREPARED] = &world->all;
}

static void expect_json(struct desk *desk, const char *const *words, int code, const char *part)
{
    struct run run = ask(desk, words);
    assert_code(run, code);
    struct json *json = json_parse(run.out, strlen(run.out), NULL);
    if (!json)
        fail_msg("no JSON: %s", run.out);
    json_free(json);
    assert_out(run, part);
    run_fini(&run);
}

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
    world.tx.hazard = true;
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
    assert_out(run, "\n    vacuum is held back by 812 transactions: under 0.1% of\n"
                    "      autovacuum_freeze_max_age; nothing holds it back further\n"
                    "    prepared slots of its server: 3 of 64 used\n");
    assert_out(run, "\nWhat to do:\n  wait.\n  It needs payments to run, each");
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
    run = ask(desk, WORDS("tx", "resolve", "batch'7", "--abort", "--reason", "old"));
    assert_code(run, 4);
    assert_err(run, "is not Troth's: its owner ends it\n");
    assert_err(run, "as billing: COMMIT PREPARED 'batch''7'");
    assert_int_equal(desk->orders, 0);
    run_fini(&run);
}

/* ---- tx resolve and tx forget --------------------------------------------------------------- */

static void previewed(struct world *world, Wire__Deed deed)
{
    static char *const steps[] = {(char *)"payments: ROLLBACK PREPARED"};
    static char *const unknowns[] = {(char *)"inventory is not connected: what it holds"};
    world->preview.deed = world->done.deed = deed;
    world->preview.message = (char *)"an outcome would be forced";
    world->done.message = (char *)"an outcome was forced";
    world->preview.steps = world->done.steps = (char **)steps;
    world->preview.n_steps = world->done.n_steps = 1;
    world->preview.unknowns = (char **)unknowns;
    world->preview.n_unknowns = 1;
    world->preview.testimonies = world->testimony_list;
    world->preview.n_testimonies = 2;
}

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
                                       "\"blocked\": [null, {\"query\": \"\\u001b[31m\"}]}";
    world.heuristic.reason = world.heuristic.found = (char *)"\x1b[31m";
    world.heuristic.at_us = now_us();
    world.tx.heuristics = world.heuristic_list;
    world.tx.n_heuristics = 1;
    prepared_init(&world, 0, "\x1b[31m", "\x1b[31m", "\x1b[31m");
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
        TEST(explain_says_how_the_owner_ends_a_foreign_one),
        TEST(an_order_is_shown_before_it_is_given),
        TEST(a_dry_run_gives_no_order),
        TEST(where_nothing_is_to_be_done_no_order_is_given),
        TEST(a_refusal_has_its_exit_code),
        TEST(an_order_without_an_answer_is_exit_code_5),
        TEST(wrong_orders_are_told),
        TEST(a_name_that_is_not_plain_is_not_sent),
        TEST(orphans_are_told_by_kind),
        TEST(what_is_in_flight_is_no_orphan),
        TEST(what_a_peer_makes_up_is_printed_harmlessly),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
