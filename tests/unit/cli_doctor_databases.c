/* troth doctor: what is said of databases, by what they report of themselves, and of what is
 * prepared in them. */
#include "tests/unit/doctor_kit.h"

/* ---- reports that differ in one place ------------------------------------------------------ */

/* The first database's report with this part replaced by that. */
static void report_change(struct health *health, const char *part, const char *by)
{
    const char *report = health->testimonies[HEALTH_DIAGNOSIS][0].report;
    const char *at = strstr(report, part);
    if (!at)
        fail_msg("no %s in the report", part);
    char *changed = xasprintf("%.*s%s%s", (int)(at - report), report, by, at + strlen(part));
    if (health->report != doctor_report)
        free(health->report);
    health->report = health->testimonies[HEALTH_DIAGNOSIS][0].report = changed;
}

struct change {
    const char *part, *by;
    int code;
    const char *text;
};

static void expect_changes(struct desk *desk, const struct change *changes, int count)
{
    for (int i = 0; i < count; i++) {
        struct health health;
        health_init(&health, desk);
        report_change(&health, changes[i].part, changes[i].by);
        expect_finding(desk, changes[i].code, changes[i].text);
        free(health.report);
    }
}

#define EXPECT(changes) expect_changes(*state, changes, sizeof(changes) / sizeof(changes[0]))

/* ---- findings ------------------------------------------------------------------------------ */

static void settings_that_endanger_what_was_committed_are_named(void **state)
{
    static const struct change changes[] = {
        {"\"fsync\":\"on\"", "\"fsync\":\"off\"", 1,
         "  problem  fsync is off: when its machine stops, branches that voted yes and commits "
         "that "
         "were told may be gone, and the database damaged -> as a superuser: ALTER SYSTEM SET "
         "fsync "
         "= on; "},
        {"\"full_page_writes\":\"on\"", "\"full_page_writes\":\"off\"", 1,
         "  problem  full_page_writes is off: "},
        {"\"zero_damaged_pages\":\"off\"", "\"zero_damaged_pages\":\"on\"", 1,
         "  problem  zero_damaged_pages is on: "},
        {"\"default_transaction_read_only\":\"off\"", "\"default_transaction_read_only\":\"on\"", 1,
         "  problem  default_transaction_read_only is on: no branch can write -> "},
        {"\"autovacuum\":\"on\"", "\"autovacuum\":\"off\"", 1, "  warning  autovacuum is off: "},
        {"\"track_activities\":\"on\"", "\"track_activities\":\"off\"", 0,
         "  info     track_activities is off: "},
        {"\"autovacuum\":\"on\"", "\"max_prepared_transaction_timeout\":\"60\"", 1,
         "  problem  max_prepared_transaction_timeout is 60: a branch that voted yes may be rolled "
         "back by a timer -> set it to 0\n"},
        {"\"autovacuum\":\"on\"", "\"transaction_timeout\":\"5000\"", 0,
         "  info     transaction_timeout is 5000 ms: "},
    };
    EXPECT(changes);
}

static void room_for_prepared_transactions_and_sessions_is_looked_at(void **state)
{
    static const struct change changes[] = {
        {"\"used\":3,\"max\":64", "\"used\":0,\"max\":0", 1,
         "  problem  max_prepared_transactions is 0: "},
        {"\"used\":3,\"max\":64", "\"used\":52,\"max\":64", 1,
         "  warning  52 of 64 prepared transactions of its server are in use -> troth tx orphans"},
        {"\"used\":3,\"max\":64", "\"used\":3,\"max\":10", 1,
         "  warning  it has room for 10 prepared transactions, and 16 connections that prepare: "},
        {"\"used\":25,\"max\":100", "\"used\":90,\"max\":100", 1,
         "  warning  90 of 100 connections of its server are in use -> "},
    };
    EXPECT(changes);
}

static void missing_rights_come_with_the_grants_to_run(void **state)
{
    static const struct change changes[] = {
        {"\"missing_rights\":[]",
         "\"missing_rights\":[\"delete on troth.barrier\",\"insert on troth.heuristic\"]", 1,
         "  problem  role payments lacks 2 rights on the schema troth -> as the owner of the "
         "schema "
         "troth: GRANT delete on troth.barrier TO payments; GRANT insert on troth.heuristic TO "
         "payments;\n"},
        {"\"user\":\"payments\",\"superuser\":false,\"monitor\":true",
         "\"user\":\"The \\\"odd\\\"\",\"superuser\":false,\"monitor\":false", 0,
         "  info     role The \"odd\" sees neither other sessions' queries nor standbys: troth tx "
         "explain can't show who is blocked at what -> as a superuser: GRANT pg_read_all_stats TO "
         "\"The \"\"odd\"\"\"\n"},
        {"\"schema_version\":5", "\"schema_version\":4", 1,
         "  warning  the schema troth has version 4; this troth knows 5 -> "},
        {"\"schema_version\":5", "\"schema_version\":6", 0,
         "  info     the schema troth has version 6; this troth knows 5 -> "},
        {"\"schema_version\":5", "\"schema_version\":null", 1,
         "  problem  the schema troth is not installed -> run once: troth-participant --install"},
        {"\"missing_tables\":[]", "\"missing_tables\":[\"troth.register\"]", 1,
         "  problem  troth.register is missing -> "},
    };
    EXPECT(changes);
}

static void who_may_not_read_the_version_is_not_told_to_install(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    report_change(&health, "\"schema_version\":5,\"missing_rights\":[]",
                  "\"schema_version\":null,\"missing_rights\":[\"select on troth.installed\"]");
    expect_finding(desk, 1, "  problem  role payments lacks 1 right on the schema troth -> ");
    expect_no(desk, 1, "not installed");
    free(health.report);
}

#define STANDBY(state, sync, lag)                                                                  \
    "\"standbys\":[{\"name\":\"b\",\"state\":\"" state "\",\"sync_state\":\"" sync                 \
    "\",\"lag_bytes\":" lag "}]"

static void standbys_are_told_with_what_they_mean(void **state)
{
    static const struct change changes[] = {
        {"\"in_recovery\":false", "\"in_recovery\":true", 1,
         "  problem  it is a standby (in recovery): nothing can be prepared or ended there -> "},
        {"\"standbys\":[]", STANDBY("streaming", "async", "0"), 0,
         "  info     its standby is asynchronous: after a failover branches that were finished can "
         "be prepared again "},
        {"\"standbys\":[]", STANDBY("streaming", "async", "100000000"), 1,
         "  warning  its standby b is 95 MiB behind -> "},
        {"\"standbys\":[]", STANDBY("catchup", "sync", "0"), 1,
         "  warning  its standby b does not stream: catchup -> "},
        {"\"synchronous_standby_names\":\"\"", "\"synchronous_standby_names\":\"b\"", 1,
         "  problem  it waits for a synchronous standby (b) and none is there: nothing commits "
         "-> "},
    };
    struct health health;
    struct desk *desk = *state;
    EXPECT(changes);
    health_init(&health, desk);
    report_change(&health, "\"synchronous_standby_names\":\"\"",
                  "\"synchronous_standby_names\":\"b\"");
    report_change(&health, "\"standbys\":[]", STANDBY("streaming", "sync", "0"));
    expect_no(desk, 0, "standby");
    report_change(&health, "\"fsync\":\"on\"", "\"synchronous_commit\":\"local\"");
    expect_finding(desk, 0, "  info     its standby is asynchronous: ");
    free(health.report);
}

static void what_holds_vacuum_back_is_named(void **state)
{
    static const struct change changes[] = {
        {"\"oldest_xmin_age\":812", "\"oldest_xmin_age\":20000000", 0,
         "  info     session 1 (psql) holds vacuum back by 20000000 transactions "
         "(autovacuum_freeze_max_age is 200000000) -> see what it does: "},
        {"\"oldest_xmin_age\":812,\"oldest_xmin_of\":\"session 1 (psql)\"",
         "\"oldest_xmin_age\":100000000,\"oldest_xmin_of\":\"prepared troth.shop.c1.7.1.0\"", 1,
         "  warning  prepared troth.shop.c1.7.1.0 holds vacuum back by 100000000 transactions "
         "(autovacuum_freeze_max_age is 200000000) -> troth tx explain troth.shop.c1.7.1.0 tells "},
        {"\"oldest_xmin_age\":812,\"oldest_xmin_of\":\"session 1 (psql)\"",
         "\"oldest_xmin_age\":200000000,\"oldest_xmin_of\":\"replication slot b\"", 1,
         "  problem  replication slot b holds vacuum back by 200000000 transactions "},
        {"\"frozen_age\":1000", "\"frozen_age\":1000000000", 1,
         "  warning  its oldest transaction id is 1000000000 old: "},
        {"\"frozen_age\":1000", "\"frozen_age\":1600000000", 1,
         "  problem  its oldest transaction "},
    };
    EXPECT(changes);
}

/* A role that sees little, and versions before and after this one. */
static void a_report_may_lack_anything_and_be_anything(void **state)
{
    static const char *const reports[] = {
        "{}", "{\"settings\":[],\"slots\":7,\"standbys\":[1,{}],\"missing_rights\":[1,null]}",
        "{\"monitor\":true,\"standbys\":[[],{\"name\":1}],\"connections\":null,\"user\":7}", "[]",
        "nonsense"};
    struct desk *desk = *state;
    struct health health;
    for (size_t i = 0; i < sizeof(reports) / sizeof(reports[0]); i++) {
        health_init(&health, desk);
        health.testimonies[HEALTH_DIAGNOSIS][0].report = (char *)reports[i];
        expect_finding(desk, 1,
                       i < 3 ? "database of payments\n  ok       PostgreSQL ?"
                             : "  warning  its report can't be read: ");
    }
}

/* ---- databases that do not answer ----------------------------------------------------------- */

static void who_does_not_answer_is_a_finding(void **state)
{
    struct desk *desk = *state;
    struct health health;
    Wire__Problem problem = problem_of("timeout", "no answer within 3 s");
    health_init(&health, desk);
    Wire__Testimony *testimony = &health.testimonies[HEALTH_DIAGNOSIS][0];
    testimony->problem = &problem;
    testimony->report = (char *)"";
    testimony->agent_us = testimony->database_us = 0;
    expect_finding(
        desk, 1,
        "\ndatabase of payments\n  warning  it could not be looked at: no answer within 3 s -> ");
    expect_finding(desk, 1, "\ndatabase of inventory\n  ok       PostgreSQL");
    /* It has been told of already. */
    health.participants[0].connected = false;
    expect_no(desk, 1, "could not be looked at");
    health_init(&health, desk);
    health.answers[WIRE__WHAT__DIAGNOSIS].problem = &problem;
    expect_finding(desk, 1, "  problem  no answer within 3 s (timeout)\n");
}

static const Wire__Answer *then_hang_up(struct desk *desk, const Wire__Query *query)
{
    desk->hang_up = query->what == WIRE__WHAT__PREPARED;
    return doctor_page(desk, query);
}

static void what_was_told_is_not_lost_when_the_session_is(void **state)
{
    struct desk *desk = *state;
    struct health health;
    health_init(&health, desk);
    desk->page = then_hang_up;
    struct run run = doctor(desk);
    assert_code(run, 1);
    assert_out(run, "\nparticipant payments\n  ok       connected");
    assert_out(run, "\nin doubt\n  ok       no transaction\n");
    assert_out(run, "\ndatabases\n  warning  they could not be looked at: ");
    assert_out(run, "\n0 problems, 1 warning\n");
    run_fini(&run);
}

/* ---- what is prepared ----------------------------------------------------------------------- */

enum { PREPARED_MOST = 3 };

struct prepared {
    Wire__PreparedView views[PREPARED_MOST], *list[PREPARED_MOST];
};

static Wire__PreparedView *prepared_init(struct prepared *prepared, struct health *health)
{
    for (int i = 0; i < PREPARED_MOST; i++) {
        wire__prepared_view__init(&prepared->views[i]);
        prepared->views[i].gid = (char *)"troth.shop.c2.5.17.0";
        prepared->views[i].owner = prepared->views[i].database = (char *)"payments";
        prepared->views[i].here = prepared->views[i].judged = true;
        prepared->views[i].prepared_us = doctor_now_us();
        prepared->list[i] = &prepared->views[i];
    }
    health->testimonies[HEALTH_PREPARED][0].prepared = prepared->list;
    health->testimonies[HEALTH_PREPARED][0].n_prepared = PREPARED_MOST;
    return prepared->views;
}

static void what_nobody_looks_after_is_told(void **state)
{
    struct desk *desk = *state;
    struct health health;
    struct prepared prepared;
    health_init(&health, desk);
    Wire__PreparedView *views = prepared_init(&prepared, &health);
    expect_finding(desk, 0, "nothing is wrong");
    views[1].judged = false; /* its coordinator may just be starting */
    expect_finding(desk, 0,
                   "  info     a branch of coordinator c2, which has no session with it, is "
                   "prepared for ");
    views[1].prepared_us -= 330 * 1000000ll;
    expect_finding(desk, 1, "is prepared for 5m -> start that coordinator: ");
    views[2].judged = false;
    expect_finding(
        desk, 1,
        "  problem  2 branches of coordinators that have no session with it are prepared, "
        "the oldest, of c2, for 5m -> ");
    views[1].gid = (char *)"troth.stock.c2.5.17.0"; /* somebody else's coordinator */
    views[2].gid = (char *)"theirs";
    expect_finding(
        desk, 1,
        "  warning  2 prepared transactions in it are not this cluster's, the oldest for "
        "5m -> troth tx orphans names them");
    expect_no(desk, 1, "start that coordinator");
    views[2].here = views[1].here = false;
    expect_finding(
        desk, 0,
        "  info     2 of the prepared transactions of its server are in other databases, "
        "the oldest for 5m -> troth tx orphans names them");
}

static void who_prepared_a_branch_must_end_it(void **state)
{
    struct desk *desk = *state;
    struct health health;
    struct prepared prepared;
    health_init(&health, desk);
    prepared_init(&prepared, &health)[2].owner = (char *)"ada";
    expect_finding(
        desk, 1,
        "  problem  1 of its branches was prepared by role ada: role payments may not end "
        "it -> let the participant work as that role");
    report_change(&health, "\"superuser\":false", "\"superuser\":true");
    expect_no(desk, 0, "role ada");
    free(health.report);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(settings_that_endanger_what_was_committed_are_named),
        TEST(room_for_prepared_transactions_and_sessions_is_looked_at),
        TEST(missing_rights_come_with_the_grants_to_run),
        TEST(who_may_not_read_the_version_is_not_told_to_install),
        TEST(standbys_are_told_with_what_they_mean),
        TEST(what_holds_vacuum_back_is_named),
        TEST(a_report_may_lack_anything_and_be_anything),
        TEST(who_does_not_answer_is_a_finding),
        TEST(what_was_told_is_not_lost_when_the_session_is),
        TEST(what_nobody_looks_after_is_told),
        TEST(who_prepared_a_branch_must_end_it),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
