/* The command line and three-phase commit: what is printed of phases, sites and their registers, of
 * minorities, and of a participant that is asked in its coordinator's absence. */
#include "tests/unit/cli_desk.h"

#include "core/json.h"

/* ---- one transaction over c1, payments and inventory --------------------------------------- */

enum { SITES = 3 };

struct view {
    Wire__BranchView branches[2], *branch_list[2];
    Wire__SiteView sites[SITES], *site_list[SITES];
    Wire__Ballot promised[SITES], accepted[SITES];
    Wire__TransactionView tx, *tx_list[1];
    Wire__Answer answer;
};

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

static void view_init(struct view *view, const char *phase)
{
    static const char *const names[] = {"c1", "payments", "inventory"};
    static const char *const addresses[] = {"", "tcp://127.0.0.1:7412", "tcp://127.0.0.1:7413"};
    wire__transaction_view__init(&view->tx);
    for (int i = 0; i < SITES; i++) {
        wire__ballot__init(&view->promised[i]);
        wire__ballot__init(&view->accepted[i]);
        wire__site_view__init(&view->sites[i]);
        view->sites[i].site = (uint32_t)i;
        view->sites[i].name = (char *)names[i];
        view->sites[i].address = (char *)addresses[i];
        view->site_list[i] = &view->sites[i];
    }
    for (int i = 0; i < 2; i++) {
        wire__branch_view__init(&view->branches[i]);
        view->branches[i].participant = (char *)names[i + 1];
        view->branches[i].state = (char *)"prepared";
        view->branch_list[i] = &view->branches[i];
    }
    view->tx.gtrid = (char *)"shop.c1.7.1";
    view->tx.state = (char *)"proposed";
    view->tx.protocol = WIRE__PROTOCOL__THREE_PHASE;
    view->tx.begun_us = now_us();
    view->tx.in_doubt = true;
    view->tx.phase = (char *)phase;
    view->tx.sites = view->site_list;
    view->tx.n_sites = SITES;
    view->tx.branches = view->branch_list;
    view->tx.n_branches = 2;
    view->tx_list[0] = &view->tx;
    wire__answer__init(&view->answer);
    view->answer.transactions = view->tx_list;
    view->answer.n_transactions = 1;
}

/* What a site said of its register. Rounds: of its promise, and of what it accepted; who: whose. */
static void hear(struct view *view, int site, uint32_t round, uint32_t who, Wire__Value value,
                 uint32_t accepted_round, uint32_t accepted_who)
{
    Wire__SiteView *at = &view->sites[site];
    at->reachable = at->heard = true;
    view->promised[site].round = round;
    view->promised[site].site = who;
    view->accepted[site].round = accepted_round;
    view->accepted[site].site = accepted_who;
    at->promised = &view->promised[site];
    at->accepted = value ? &view->accepted[site] : NULL;
    at->value = value;
}

static struct run show(struct desk *desk, struct view *view)
{
    desk->answers[WIRE__WHAT__TRANSACTION] = &view->answer;
    return ask(desk, WORDS("tx", "show", "shop.c1.7.1"));
}

/* ---- phases ------------------------------------------------------------------------------- */

static void while_votes_are_gathered_no_site_was_heard(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "can-commit");
    view.tx.state = (char *)"voting";
    view.tx.in_doubt = false;
    struct run run = show(desk, &view);
    assert_code(run, 0);
    assert_out(run, "\nstate        voting\n");
    assert_out(run, "\nprotocol     3pc\n"
                    "phase        can-commit: the votes are gathered; without all of them it "
                    "aborts\n");
    assert_out(run, "\ndecided      not yet\n");
    assert_out(run, "\nterminator   none: it goes its usual way\nwaits for    nothing\n");
    assert_out(run, "\nSITE  NAME       REACHED  REGISTER\n"
                    "0     c1         no       not heard\n"
                    "1     payments   no       not heard\n"
                    "2     inventory  no       not heard\n");
    expect_narrow(&run);
    assert_null(strstr(run.out, "participant payments ("));
    run_fini(&run);
}

static void a_proposal_shows_who_has_accepted_it(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-commit");
    hear(&view, 0, 0, 0, WIRE__VALUE__COMMIT, 0, 0);
    hear(&view, 1, 0, 0, WIRE__VALUE__EMPTY, 0, 0);
    view.tx.waits_for = (char *)"a majority: 1 of 3 sites has answered";
    struct run run = show(desk, &view);
    assert_code(run, 0);
    assert_out(run, "\nphase        pre-commit: all have voted yes; a majority of the sites "
                    "decides\n");
    assert_out(run, "\nwaits for    a majority: 1 of 3 sites has answered\n");
    assert_out(run, "\n0     c1         yes      accepted commit at 0.c1\n"
                    "1     payments   yes      empty\n"
                    "2     inventory  no       not heard\n");
    expect_narrow(&run);
    run_fini(&run);
}

static void a_termination_shows_who_leads_it_and_at_which_ballot(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-commit");
    hear(&view, 0, 2, 1, WIRE__VALUE__COMMIT, 0, 0);
    hear(&view, 1, 2, 1, WIRE__VALUE__EMPTY, 0, 0);
    hear(&view, 2, 2, 1, WIRE__VALUE__ABORT, 2, 1);
    view.sites[2].reachable = false;
    view.tx.state = (char *)"terminating";
    view.tx.terminator = (char *)"payments";
    struct run run = show(desk, &view);
    assert_code(run, 0);
    assert_out(run, "\nterminator   payments\n");
    assert_out(run, "\n0     c1         yes      accepted commit at 0.c1, promised 2.payments\n"
                    "1     payments   yes      promised 2.payments\n"
                    "2     inventory  no       accepted abort at 2.payments\n");
    expect_narrow(&run);
    run_fini(&run);
}

static void a_decision_is_known_also_where_its_time_is_not(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "do-commit");
    for (int i = 0; i < SITES; i++)
        hear(&view, i, 0, 0, WIRE__VALUE__COMMIT, 0, 0);
    view.sites[1].decided = true;
    view.tx.state = (char *)"committing";
    struct run run = show(desk, &view);
    assert_code(run, 0);
    assert_out(run, "\nphase        do-commit: decided; each branch carries it out\n");
    assert_out(run, "\ndecided      commit; when is not known here\n");
    assert_out(run, "\n1     payments   yes      knows commit\n");
    run_fini(&run);
    view.tx.decided_us = view.tx.begun_us + 12000;
    run = show(desk, &view);
    assert_out(run, "   +12ms  decided: commit\n");
    run_fini(&run);
    view.sites[1].value = WIRE__VALUE__ABORT;
    view.tx.phase = (char *)"";
    view.tx.decided_us = 0;
    run = show(desk, &view);
    assert_out(run, "\ndecided      abort; when is not known here\n");
    assert_out(run, "\n1     payments   yes      knows abort\n");
    assert_null(strstr(run.out, "phase"));
    run_fini(&run);
}

static void long_names_and_ballots_stay_in_80_columns(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-commit");
    hear(&view, 0, 12, 2, WIRE__VALUE__COMMIT, 11, 1);
    struct run run = show(desk, &view);
    assert_out(run, "accepted commit at 11.payments, promised 12.inventory\n");
    expect_narrow(&run);
    run_fini(&run);
}

/* A peer can send any number, and any text. */
static void what_a_peer_makes_up_is_printed_harmlessly(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-\x1b[31mcommit");
    hear(&view, 0, 4294967295u, 77, (Wire__Value)9, 0, 0);
    hear(&view, 1, 0, 0, (Wire__Value)9, 0, 0);
    view.sites[1].decided = true;
    view.sites[2].name = (char *)"";
    hear(&view, 2, 3, 2, WIRE__VALUE__COMMIT, 3, 2);
    view.tx.waits_for = (char *)"\x1b]0;title\x07";
    struct run run = show(desk, &view);
    assert_code(run, 0);
    assert_out(run, "\nphase        pre-\\x1b[31mcommit\n");
    assert_out(run, "\nwaits for    \\x1b]0;title\\x07\n");
    assert_out(run, "promised 4294967295.77\n");
    assert_out(run, "knows the decision\n");
    assert_out(run, "2     -         yes      accepted commit at 3.2\n");
    run_fini(&run);
}

static void json_holds_what_the_table_holds(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-commit");
    hear(&view, 0, 2, 1, WIRE__VALUE__COMMIT, 0, 0);
    hear(&view, 1, 2, 1, WIRE__VALUE__EMPTY, 0, 0);
    view.tx.terminator = (char *)"payments";
    view.tx.waits_for = (char *)"a majority: 1 of 3 sites has answered";
    desk->answers[WIRE__WHAT__TRANSACTION] = &view.answer;
    struct run run = ask(desk, WORDS("tx", "show", "shop.c1.7.1", "--json"));
    assert_code(run, 0);
    struct json *json = json_parse(run.out, strlen(run.out), NULL);
    assert_non_null(json);
    assert_string_equal(json_member(json, "protocol")->text, "3pc");
    assert_string_equal(json_member(json, "phase")->text, "pre-commit");
    assert_string_equal(json_member(json, "terminator")->text, "payments");
    assert_string_equal(json_member(json, "waits_for")->text,
                        "a majority: 1 of 3 sites has answered");
    assert_int_equal(json_member(json, "sites")->count, SITES);
    json_free(json);
    assert_out(run, "{\"site\":0,\"name\":\"c1\",\"address\":null,\"reachable\":true,"
                    "\"register\":\"accepted commit at 0.c1, promised 2.payments\",\"heard\":true,"
                    "\"decided\":false,\"value\":\"commit\",\"promised\":{\"round\":2,\"site\":1},"
                    "\"accepted\":{\"round\":0,\"site\":0}}");
    assert_out(run, "\"value\":null,\"promised\":{\"round\":2,\"site\":1},\"accepted\":null}");
    assert_out(run, "{\"site\":2,\"name\":\"inventory\",\"address\":\"tcp://127.0.0.1:7413\","
                    "\"reachable\":false,\"register\":\"not heard\",\"heard\":false,"
                    "\"decided\":false,\"value\":null,\"promised\":null,\"accepted\":null}");
    assert_out(run, "\"answered_by\":{\"role\":\"coordinator\",\"name\":\"c1\"}}");
    run_fini(&run);
}

static void the_list_tells_the_protocol(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-commit");
    desk->answers[WIRE__WHAT__TRANSACTIONS] = &view.answer;
    struct run run = ask(desk, WORDS("tx", "list"));
    assert_code(run, 0);
    assert_out(run, "GTRID        STATE     BY   AGE");
    assert_out(run, "\nshop.c1.7.1  proposed  3pc  ");
    run_fini(&run);
}

/* Of what ended long ago a coordinator keeps a bit: the outcome, and not how it came about. */
static void nothing_is_made_up_about_what_is_not_kept(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "");
    wire__transaction_view__init(&view.tx);
    view.tx.gtrid = (char *)"shop.c1.7.1";
    view.tx.state = (char *)"applied";
    struct run run = show(desk, &view);
    assert_code(run, 0);
    assert_string_equal(run.out, "transaction  shop.c1.7.1\nstate        applied\n"
                                 "the rest     is not kept: it ended long ago, or before the "
                                 "coordinator's start\n");
    run_fini(&run);
    run = ask(desk, WORDS("tx", "show", "shop.c1.7.1", "--json"));
    assert_out(run, "\"protocol\":null");
    run_fini(&run);
}

/* ---- a submit without a majority ----------------------------------------------------------- */

static void a_submit_without_a_majority_says_what_will_become_of_it(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("no_majority", "1 of 3 sites has accepted in time");
    Wire__Outcome outcome = outcome_of(WIRE__RESULT__UNKNOWN, &problem);
    desk->outcome = &outcome;
    struct run run = ask(desk, WORDS("submit", "--protocol=3pc", "a.b", "c.d"));
    assert_code(run, 5);
    assert_string_equal(run.out,
                        "unknown shop.c1.7.1: 1 of 3 sites has accepted in time (no_majority)\n"
                        "  it ends by itself, committed or aborted, as soon as a majority of its\n"
                        "  sites can talk to each other; nothing is applied before\n"
                        "  hint: troth tx show shop.c1.7.1 tells which sites are missing\n");
    run_fini(&run);
    problem.hint = (char *)"`troth tx show shop.c1.7.1` tells";
    run = ask(desk, WORDS("submit", "--protocol=3pc", "--key", "k", "a.b", "c.d"));
    assert_code(run, 5);
    assert_out(run,
               "(no_majority)\n  hint: `troth tx show shop.c1.7.1` tells\n  it ends by itself");
    assert_out(run, "\n  hint: a submit with the same --key hears its outcome\n");
    assert_null(strstr(run.out, "which sites"));
    run_fini(&run);
    run = ask(desk, WORDS("submit", "--json", "--protocol=3pc", "a.b", "c.d"));
    assert_code(run, 5);
    assert_out(run, "{\"result\":\"unknown\",");
    assert_out(run, "\"code\":\"no_majority\"");
    assert_out(run, "\"exit\":5}");
    run_fini(&run);
}

static void a_lost_session_sends_the_client_to_the_participants(void **state)
{
    struct desk *desk = *state;
    desk->hang_up = true;
    struct run run = ask(desk, WORDS("submit", "--protocol", "3pc", "a.b"));
    assert_code(run, 5);
    assert_err(run, "its participants finish it without the coordinator");
    assert_null(strstr(run.err, "--key"));
    run_fini(&run);
    run = ask(desk, WORDS("submit", "--protocol", "3pc", "--key", "k", "a.b"));
    assert_err(run, "submit again with the same --key");
    assert_err(run, "at its `listen` address");
    run_fini(&run);
}

/* ---- at a participant's door ---------------------------------------------------------------- */

static const char at_payments[] = "participant payments (no coordinator asked)\n\n";

static void expect_at_payments(const struct run *run)
{
    if (strncmp(run->out, at_payments, strlen(at_payments)) != 0)
        fail_msg("does not say first that a participant answers:\n%s", run->out);
}

static void a_participant_shows_what_it_knows_of_a_transaction(void **state)
{
    struct desk *desk = *state;
    struct view view;
    view_init(&view, "pre-commit");
    hear(&view, 1, 1, 1, WIRE__VALUE__COMMIT, 0, 0);
    view.tx.begun_us = 0;
    view.tx.terminator = (char *)"payments";
    view.tx.waits_for = (char *)"a majority: 1 of 3 sites has answered";
    struct run run = show(desk, &view);
    assert_code(run, 0);
    expect_at_payments(&run);
    assert_out(run, "\nbegun        not known here\ndecided      not known here\n"
                    "ended        not known here\n");
    assert_out(run, "\nwaits for    a majority: 1 of 3 sites has answered\n");
    run_fini(&run);
    run = ask(desk, WORDS("tx", "show", "--json", "shop.c1.7.1"));
    assert_out(run, "\"answered_by\":{\"role\":\"participant\",\"name\":\"payments\"}}");
    run_fini(&run);
    view.tx.protocol = WIRE__PROTOCOL__TWO_PHASE;
    view.tx.n_sites = 0;
    view.tx.waits_for = (char *)"its coordinator";
    run = show(desk, &view);
    assert_out(run, "\nprotocol     2pc\n");
    assert_out(run, "\nwaits for    its coordinator\n");
    assert_null(strstr(run.out, "terminator"));
    run_fini(&run);
    view.answer.n_transactions = 0;
    run = show(desk, &view);
    assert_code(run, 5);
    assert_err(run, "shop.c1.7.1 is not known to participant payments");
    run_fini(&run);
}

static void a_participant_lists_transactions_and_itself(void **state)
{
    struct desk *desk = *state;
    Wire__Answer empty = WIRE__ANSWER__INIT, answer = WIRE__ANSWER__INIT;
    Wire__ParticipantView view = WIRE__PARTICIPANT_VIEW__INIT, *list[] = {&view};
    view.name = (char *)"payments";
    view.connected = true;
    view.listen = (char *)"tcp://127.0.0.1:7412";
    view.terminating = 2;
    view.minority = 1;
    answer.participants = list;
    answer.n_participants = 1;
    desk->answers[WIRE__WHAT__TRANSACTIONS] = &empty;
    desk->answers[WIRE__WHAT__PARTICIPANTS] = &answer;
    struct run run = ask(desk, WORDS("tx", "list", "--in-doubt"));
    assert_code(run, 0);
    expect_at_payments(&run);
    assert_out(run, "\nno transactions in doubt\n");
    run_fini(&run);
    run = ask(desk, WORDS("participant", "list"));
    assert_code(run, 0);
    expect_at_payments(&run);
    assert_out(run, "HELD  3PC\npayments ");
    assert_out(run, "\npayments: finishing without the coordinator: 2, of which wait for a "
                    "majority: 1\n");
    expect_narrow(&run);
    run_fini(&run);
    run = ask(desk, WORDS("participant", "list", "--json"));
    assert_out(
        run,
        "\"listen\":\"tcp://127.0.0.1:7412\",\"terminating\":2,\"minority\":1,\"executing\":0}],"
        "\"answered_by\":{\"role\":\"participant\",\"name\":\"payments\"}}");
    run_fini(&run);
}

static void a_participant_that_can_not_answer_says_so(void **state)
{
    struct desk *desk = *state;
    Wire__Problem problem = problem_of("not_here", "only a coordinator knows that");
    Wire__Answer answer = WIRE__ANSWER__INIT;
    answer.problem = &problem;
    desk->answers[WIRE__WHAT__PARTICIPANTS] = &answer;
    struct run run = ask(desk, WORDS("participant", "list"));
    assert_code(run, 5);
    assert_string_equal(run.out, "");
    assert_err(run, "troth: only a coordinator knows that (not_here)\n");
    run_fini(&run);
}

static void no_submit_goes_to_a_participant(void **state)
{
    struct desk *desk = *state;
    struct run run = ask(desk, WORDS("submit", "a.b"));
    assert_code(run, 2);
    assert_err(run, "is where participant payments listens for others\n");
    assert_err(run, "hint: a transaction is submitted to a coordinator");
    assert_int_equal(desk->submits, 0);
    run_fini(&run);
}

static void who_asks_an_absent_coordinator_is_told_of_the_participants(void **state)
{
    struct desk *desk = *state;
    char *address = free_address();
    struct run run = ask(desk, WORDS("--coordinator", address, "--timeout", "100ms", "tx", "list"));
    assert_code(run, 3);
    assert_err(run, "nobody answers at tcp://127.0.0.1:");
    assert_err(run, "that of a participant (its `listen`) shows what waits for it");
    run_fini(&run);
    free(address);
}

#define DOOR_TEST(name) cmocka_unit_test_setup_teardown(name, setup_door, teardown)

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(while_votes_are_gathered_no_site_was_heard),
        TEST(a_proposal_shows_who_has_accepted_it),
        TEST(a_termination_shows_who_leads_it_and_at_which_ballot),
        TEST(a_decision_is_known_also_where_its_time_is_not),
        TEST(long_names_and_ballots_stay_in_80_columns),
        TEST(what_a_peer_makes_up_is_printed_harmlessly),
        TEST(json_holds_what_the_table_holds),
        TEST(the_list_tells_the_protocol),
        TEST(nothing_is_made_up_about_what_is_not_kept),
        TEST(a_submit_without_a_majority_says_what_will_become_of_it),
        TEST(a_lost_session_sends_the_client_to_the_participants),
        DOOR_TEST(a_participant_shows_what_it_knows_of_a_transaction),
        DOOR_TEST(a_participant_lists_transactions_and_itself),
        DOOR_TEST(a_participant_that_can_not_answer_says_so),
        DOOR_TEST(no_submit_goes_to_a_participant),
        TEST(who_asks_an_absent_coordinator_is_told_of_the_participants),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
