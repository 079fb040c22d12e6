/* troth doctor: what is said of coordinator, participants, sessions and transactions. */
#include "tests/unit/doctor_kit.h"

#include "core/json.h"

/* ---- all is well --------------------------------------------------------------------------- */

static void it_is_content_when_all_is_well(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    struct run run = doctor(desk);
    assert_code(run, 0);
    assert_out(run,
               "coordinator c1\n  ok       cluster shop, epoch 7, troth " TROTH_VERSION ", up -\n");
    assert_out(run, "\njournal\n  ok       0 bytes in 1 segment, 1.0 TiB free\n");
    assert_out(run, "\nparticipant payments\n"
                    "  ok       connected, database up, 0 to be applied\n");
    assert_out(run, "\ndatabase of inventory\n"
                    "  ok       PostgreSQL 15.20, database payments as role payments\n"
                    "  ok       3 of 64 prepared, the oldest for 5ms, 25 of 100 connections, "
                    "vacuum held back by 812 transactions\n");
    assert_out(run, "\nclocks\n  ok       differ by less than a second");
    assert_out(run, "\nin doubt\n  ok       no transaction\n");
    assert_out(run, "\nsecurity\n  info     none: ");
    assert_out(run, "\n\nnothing is wrong\n");
    assert_null(strstr(run.out, "warning"));
    assert_null(strstr(run.out, "problem"));
    run_fini(&run);
}

static void json_holds_the_same_facts(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    health.coordinator.draining = true;
    struct run text = doctor(desk), json = ask(desk, WORDS("doctor", "--json"));
    assert_code(json, 1);
    struct json *parsed = json_parse(json.out, strlen(json.out), NULL);
    assert_non_null(parsed);
    const struct json *findings = json_member(parsed, "findings");
    assert_true(findings->count > 8);
    for (int i = 0; i < findings->count; i++) {
        const struct json *finding = &findings->items[i], *hint = json_member(finding, "hint");
        char *line =
            xasprintf("  %-8s %s%s%s\n", json_member(finding, "level")->text,
                      json_member(finding, "message")->text, hint->type == JSON_NULL ? "" : " -> ",
                      hint->type == JSON_NULL ? "" : hint->text);
        assert_out(text, json_member(finding, "subject")->text);
        assert_out(text, line);
        free(line);
    }
    assert_int_equal(json_member(parsed, "well")->type, JSON_FALSE);
    assert_out(json, "\"answered_by\":{\"role\":\"coordinator\",\"name\":\"c1\"}}");
    json_free(parsed);
    run_fini(&text);
    run_fini(&json);
}

static void findings_of_one_subject_stand_together(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    health.testimonies[HEALTH_DIAGNOSIS][0].agent_us += 3ll * 3600 * 1000000;
    health.participants[0].oldest_prepared_us = 1;
    struct run run = doctor(desk);
    const char *first = strstr(run.out, "\nparticipant payments\n");
    assert_non_null(first);
    const char *clock = strstr(first, "its machine's clock"),
               *next = strstr(first, "\nparticipant inv");
    assert_true(clock && next && clock < next);
    assert_null(strstr(first + 1, "\nparticipant payments\n"));
    run_fini(&run);
}

/* ---- the coordinator ----------------------------------------------------------------------- */

static void it_tells_what_is_wrong_with_the_coordinator(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    health.coordinator.draining = true;
    expect_finding(desk, 1, "  warning  is draining");
    health_init(&health, desk);
    health.coordinator.journal_free_bytes = 500 << 20;
    expect_finding(desk, 1, "  warning  0 bytes in 1 segment, 500 MiB free -> free space on the ");
    health.coordinator.journal_free_bytes = 5 << 20;
    expect_finding(desk, 1, "  problem  0 bytes in 1 segment, 5.0 MiB free");
}

static void it_tells_of_sagas_that_need_an_operator(void **state)
{
    struct desk *desk = *state;
    struct health health;
    char *definitions[] = {(char *)"place-order 1"};
    health_init(&health, desk);
    expect_no(desk, 0, "\nsagas\n");
    health.coordinator.definitions = definitions;
    health.coordinator.n_definitions = 1;
    health.coordinator.sagas_running = 3;
    health.coordinator.sagas_compensating = 1;
    expect_finding(desk, 0,
                   "\nsagas\n  ok       new ones can be of place-order 1\n"
                   "  ok       3 run, 1 is being undone\n");
    health.coordinator.sagas_waiting_for_operator = 1;
    expect_finding(desk, 1,
                   "  problem  1 of 4 needs an operator -> troth saga list --needs-operator names "
                   "them, and troth saga show ID what to do\n");
}

/* ---- participants -------------------------------------------------------------------------- */

static void it_tells_what_is_wrong_with_a_participant(void **state)
{
    struct desk *desk = *state;
    struct health health;
    char *held[] = {(char *)"troth.shop.c1.1.1.0"};
    health_init(&health, desk);
    health.participants[0].prepared = 79;
    health.participants[0].prepared_foreign = 1;
    expect_finding(desk, 1, "  warning  80 of 100 prepared transactions are in use -> raise ");
    health.participants[0].prepared_slots = 0;
    expect_finding(desk, 1, "  problem  its PostgreSQL allows no prepared");
    health_init(&health, desk);
    health.participants[0].held = held;
    health.participants[0].n_held = 1;
    expect_finding(desk, 1, "  problem  troth.shop.c1.1.1.0 is held: ");
    expect_finding(desk, 1,
                   " -> troth tx explain troth.shop.c1.1.1.0 tells what the databases know");
    health_init(&health, desk);
    health.participants[0].oldest_prepared_us = 1;
    expect_finding(desk, 1, "  warning  its oldest prepared transaction is ");
    health_init(&health, desk);
    health.participants[0].database_up = false;
    health.participants[0].database_reason = (char *)"connection refused";
    expect_finding(desk, 1, "  problem  its database is down: connection refused");
    health.participants[0].connected = false;
    health.participants[0].unapplied = 4;
    expect_finding(desk, 1, "4 decided branches wait for it");
    health.answers[WIRE__WHAT__PARTICIPANTS].n_participants = 0;
    expect_finding(desk, 1, "participants\n  problem  none has connected");
}

static void it_tells_of_those_who_finish_without_a_coordinator(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    health.participants[0].terminating = 3;
    expect_finding(desk, 1,
                   "  warning  is finishing 3 transactions without the coordinator -> troth "
                   "--coordinator tcp://10.0.0.2:7412 tx list --in-doubt names them\n");
    health.participants[0].minority = 2;
    expect_finding(desk, 1,
                   "  problem  2 transactions wait for a majority of their sites, and rows stay "
                   "locked -> ");
    expect_finding(desk, 1, "  warning  is finishing 1 transaction without the coordinator -> ");
    health.participants[0].terminating = health.participants[0].minority = 1;
    expect_finding(desk, 1,
                   "1 transaction waits for a majority of its sites, and rows stay locked ");
    expect_no(desk, 1, "is finishing");
}

/* ---- sessions ------------------------------------------------------------------------------ */

static void it_tells_who_takes_no_part_in_three_phases(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    expect_no(desk, 0, "3pc");
    health.participants[1].listen = (char *)"";
    expect_finding(desk, 0,
                   "\n3pc\n  info     not with inventory: no address where the other participants "
                   "reach it -> where --protocol 3pc is wanted, set `listen`");
    health.participants[0].listen = (char *)"";
    expect_finding(desk, 0, "  info     not with payments, inventory: no address where the ");
}

static void it_tells_of_coordinators_that_only_some_know(void **state)
{
    struct desk *desk = *state;
    struct health health;
    char *more[] = {(char *)"c1", (char *)"inventory", (char *)"c2"};
    health_init(&health, desk);
    health.testimonies[HEALTH_DIAGNOSIS][0].reaches = more;
    health.testimonies[HEALTH_DIAGNOSIS][0].n_reaches = 3;
    expect_finding(
        desk, 0,
        "\nsessions\n  info     coordinator c2 has a session with payments, and none with "
        "inventory -> ");
}

static void it_tells_of_versions_that_differ(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    expect_no(desk, 0, "\nversions\n");
    health.participants[1].software = (char *)"troth 0.0.9";
    expect_finding(desk, 0,
                   "\nversions\n  info     this command is troth " TROTH_VERSION
                   ", and inventory has troth 0.0.9 -> ");
}

/* Where a participant says that it listens somebody else answers, or nobody. */
static void it_knocks_at_the_doors_on_its_own_machine(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    health.participants[1].listen = desk->address;
    char *text = xasprintf("\nparticipant inventory\n  ok       connected, database up, 0 to be "
                           "applied\n  problem  at its address %s answers "
                           "coordinator c1 -> ",
                           desk->address);
    expect_finding(desk, 1, text);
    free(text);
    health.participants[1].listen = (char *)"tcp://127.0.0.1:1";
    expect_finding(desk, 1, "  warning  nobody answers at its address tcp://127.0.0.1:1 -> ");
    health.participants[1].connected = false; /* which says it all */
    expect_no(desk, 1, "at its address");
}

/* ---- clocks -------------------------------------------------------------------------------- */

static void expect_clock(struct desk *desk, int64_t agent_us, int64_t database_us,
                         uint64_t round_trip_us, int code, const char *text)
{
    struct health health;
    health_init(&health, desk);
    Wire__Testimony *testimony = &health.testimonies[HEALTH_DIAGNOSIS][1];
    testimony->agent_us = testimony->heard_us + agent_us;
    testimony->database_us = testimony->heard_us + database_us;
    testimony->round_trip_us = round_trip_us;
    if (text)
        expect_finding(desk, code, text);
    else
        expect_finding(desk, code, "\nclocks\n  ok       differ by less than a second");
}

static void clocks_are_compared_as_far_as_can_be_measured(void **state)
{
    enum { SECOND = 1000000 };
    struct desk *desk = *state;
    expect_clock(desk, 0, SECOND - 1, 0, 0, NULL);
    expect_clock(desk, -2 * SECOND, SECOND, 4 * SECOND, 0, NULL); /* it may be the wire */
    expect_clock(desk, 0, 5 * SECOND, 0, 0,
                 "  info     its database's clock is 5s ahead of the coordinator's -> run NTP");
    expect_clock(desk, -90ll * SECOND, 0, 0, 1,
                 "  warning  its machine's clock is 90s behind the coordinator's -> set it");
    expect_clock(
        desk, 3 * 3600ll * SECOND, 0, 0, 1,
        "  problem  its machine's clock is 3h ahead of the coordinator's -> set it, and run "
        "NTP: rows of troth.barrier and troth.register are kept for seven days");
}

/* ---- transactions -------------------------------------------------------------------------- */

struct waiting {
    Wire__TransactionView tx, *list[1];
    Wire__SiteView site, *sites[1];
};

static void waiting_init(struct waiting *waiting, struct health *health)
{
    wire__transaction_view__init(&waiting->tx);
    wire__site_view__init(&waiting->site);
    waiting->list[0] = &waiting->tx;
    waiting->sites[0] = &waiting->site;
    waiting->tx.gtrid = (char *)"shop.c1.7.1";
    waiting->tx.begun_us = doctor_now_us();
    health->answers[WIRE__WHAT__TRANSACTIONS].transactions = waiting->list;
    health->answers[WIRE__WHAT__TRANSACTIONS].n_transactions = 1;
}

static void it_tells_what_is_in_doubt_for_long(void **state)
{
    struct desk *desk = *state;
    struct health health;
    struct waiting waiting;
    health_init(&health, desk);
    waiting_init(&waiting, &health);
    expect_finding(desk, 0, "\nin doubt\n  ok       1 transaction, none for more than a minute\n");
    waiting.tx.begun_us -= 330 * 1000000ll;
    health.answers[WIRE__WHAT__TRANSACTIONS].more = 6;
    expect_finding(
        desk, 1, "  warning  7 transactions, the oldest for 5m -> troth tx explain shop.c1.7.1\n");
}

static void it_tells_what_lacks_a_majority(void **state)
{
    struct desk *desk = *state;
    struct health health;
    struct waiting waiting;
    health_init(&health, desk);
    waiting_init(&waiting, &health);
    waiting.tx.protocol = WIRE__PROTOCOL__THREE_PHASE;
    waiting.tx.phase = (char *)"pre-commit";
    waiting.tx.waits_for = (char *)"a majority: 1 of 3 sites has answered";
    waiting.tx.sites = waiting.sites;
    waiting.tx.n_sites = 1;
    expect_no(desk, 0, "3pc"); /* it has just begun: its sites may be answering now */
    waiting.tx.begun_us -= 330 * 1000000ll;
    expect_finding(desk, 1,
                   "\n3pc\n  warning  shop.c1.7.1 is undecided for 5m: it waits for a majority: 1 "
                   "of 3 sites has answered -> troth tx show shop.c1.7.1 names the sites");
    waiting.site.heard = waiting.site.decided = true;
    waiting.site.value = WIRE__VALUE__COMMIT;
    expect_no(desk, 1, "3pc");
}

static void it_tells_what_was_forced_and_what_can_not_be_proved(void **state)
{
    struct desk *desk = *state;
    struct health health;
    Wire__TransactionView mixed = WIRE__TRANSACTION_VIEW__INIT, *list[] = {&mixed};
    health_init(&health, desk);
    health.coordinator.hazards = 2; /* also where the list has none */
    expect_finding(desk, 1, "\nhazards\n  problem  2 hazards: a database does not hold ");
    health_init(&health, desk);
    mixed.heuristic = (char *)"commit";
    health.forced.transactions = list;
    health.forced.n_transactions = 1;
    health.forced.more = 2;
    expect_finding(
        desk, 1,
        "\nforced\n  warning  an operator forced the outcome of 3 transactions, which are "
        "not forgotten -> troth tx list --heuristic names them");
    mixed.heuristic = (char *)"mixed";
    health.hazards = health.forced;
    health.hazards.more = 0;
    expect_finding(desk, 1, "  problem  1 transaction is mixed: committed in one database and ");
    expect_finding(desk, 1, "  warning  an operator forced the outcome of 2 transactions");
}

/* ---- a participant's door ------------------------------------------------------------------ */

static void at_a_participant_it_vouches_for_no_coordinator(void **state)
{
    struct desk *desk = *state;
    struct health health;
    struct waiting waiting;
    Wire__Problem problem = problem_of("not_here", "only a coordinator knows that");
    health_init(&health, desk);
    health.answers[WIRE__WHAT__COORDINATOR].problem = &problem;
    struct run run = doctor(desk);
    assert_code(run, 1);
    assert_out(run, "participant payments (no coordinator asked)");
    assert_out(run, "\ncoordinator\n  warning  not asked: participant payments has answered -> ");
    assert_out(run, "\nparticipant payments\n  ok       connected");
    assert_out(run, "\ndatabase of payments\n  ok       PostgreSQL");
    assert_out(run, "\n0 problems, 1 warning\n");
    assert_null(strstr(run.out, "only a coordinator knows"));
    run_fini(&run);
    run = ask(desk, WORDS("doctor", "--json"));
    assert_code(run, 1);
    assert_out(run, "\"well\":false,"
                    "\"answered_by\":{\"role\":\"participant\",\"name\":\"payments\"}}");
    run_fini(&run);
    waiting_init(&waiting, &health);
    waiting.tx.begun_us = 0;
    expect_finding(desk, 1, "  ok       1 transaction; since when is not known here\n");
    /* It does not say when it was heard: its clock and its database's can be compared. */
    health.testimonies[HEALTH_DIAGNOSIS][0].heard_us = 0;
    health.testimonies[HEALTH_DIAGNOSIS][0].database_us -= 100 * 1000000ll;
    expect_finding(desk, 1, "  warning  its database's clock is 98s behind the participant's own ");
    health.answers[WIRE__WHAT__PARTICIPANTS].problem = &problem;
    expect_finding(desk, 1, "  problem  only a coordinator knows that (not_here)\n");
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(it_is_content_when_all_is_well),
        TEST(json_holds_the_same_facts),
        TEST(findings_of_one_subject_stand_together),
        TEST(it_tells_what_is_wrong_with_the_coordinator),
        TEST(it_tells_of_sagas_that_need_an_operator),
        TEST(it_tells_what_is_wrong_with_a_participant),
        TEST(it_tells_of_those_who_finish_without_a_coordinator),
        TEST(it_tells_who_takes_no_part_in_three_phases),
        TEST(it_tells_of_coordinators_that_only_some_know),
        TEST(it_tells_of_versions_that_differ),
        TEST(it_knocks_at_the_doors_on_its_own_machine),
        TEST(clocks_are_compared_as_far_as_can_be_measured),
        TEST(it_tells_what_is_in_doubt_for_long),
        TEST(it_tells_what_lacks_a_majority),
        TEST(it_tells_what_was_forced_and_what_can_not_be_proved),
        DOOR_TEST(at_a_participant_it_vouches_for_no_coordinator),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
