/* What a participant counts, as it happens, and why it is not ready. */
#include "tests/unit/agent_ports.h"
#include "tests/unit/exposition.h"

static struct exposition told_now;

static double value(const char *name, const char *labels)
{
    struct metrics_text out;
    metrics_text_init(&out);
    agent_metrics(agent, &out.sink);
    bool good = exposition_read(&told_now, out.text);
    free(out.text);
    if (!good)
        fail_msg("%s", told_now.mistake);
    return exposition_value(&told_now, name, labels);
}

static void expect(const char *name, const char *labels, double wanted)
{
    double is = value(name, labels);
    if (is != wanted)
        fail_msg("%s{%s} is %g, not %g", name, labels, is, wanted);
}

static void work_and_its_end_are_counted_and_timed(void **state)
{
    (void)state;
    send_prepare(1);
    expect("troth_branches", "state=\"working\"", 1);
    expect("troth_connections_busy", "", 1);
    void *tag = take_tag(WORK);
    pass(3000);
    worked(tag, DB_PREPARED, 77);
    expect("troth_connections_busy", "", 0);
    expect("troth_work_total", "kind=\"prepare\",outcome=\"prepared\"", 1);
    expect("troth_work_seconds_count", "kind=\"prepare\"", 1);
    assert_true(value("troth_work_seconds_sum", "kind=\"prepare\"") >= 0.003);
    expect("troth_branches", "state=\"in_doubt\"", 1);
    expect("troth_branches_in_doubt", "age=\"under_10s\"", 1);
    pass(12000000);
    expect("troth_branches_in_doubt", "age=\"10s_to_1m\"", 1);
    assert_true(value("troth_branches_in_doubt_oldest_seconds", "") >= 12);
    send_finish(1, true, 77);
    events->finished(events->self, take_tag(FINISH), DB_FINISHED, "");
    settle();
    expect("troth_finish_total", "action=\"commit\",result=\"done\"", 1);
    expect("troth_finish_seconds_count", "action=\"commit\"", 1);
    expect("troth_branches_in_doubt", "age=\"10s_to_1m\"", 0);
    expect("troth_branches_in_doubt_oldest_seconds", "", 0);
}

static void failures_are_counted_by_their_class(void **state)
{
    static const struct {
        const char *sqlstate, *labels;
        int failed_statement;
    } cases[] = {{"23505", "class=\"23\"", 0},
                 {"40001", "class=\"40\"", 0},
                 {"ZZ999", "class=\"other\"", 0},
                 {"", "class=\"expectation\"", 0},
                 {"", "class=\"connection\"", -1}};
    (void)state;
    for (uint64_t i = 0; i < sizeof(cases) / sizeof(*cases); i++) {
        struct db_worked answer = {.outcome = DB_FAILED,
                                   .failed_statement = cases[i].failed_statement,
                                   .sqlstate = cases[i].sqlstate,
                                   .reason = "r",
                                   .detail = ""};
        send_prepare(i + 1);
        events->worked(events->self, take_tag(WORK), &answer);
        settle();
        expect("troth_work_failures_total", cases[i].labels, 1);
    }
    expect("troth_work_total", "kind=\"prepare\",outcome=\"failed\"", 5);
    expect("troth_work_total", "kind=\"prepare\",outcome=\"prepared\"", 0);
}

static void what_waits_for_a_connection_is_told(void **state)
{
    (void)state;
    for (uint64_t seq = 1; seq <= 5; seq++)
        send_prepare(seq);
    expect("troth_connections", "", 2);
    expect("troth_connections_busy", "", 2);
    expect("troth_queue", "kind=\"branch\"", 3);
}

static void a_branch_that_a_scan_finds_is_as_old_as_its_database_says(void **state)
{
    (void)state;
    struct db_prepared prepared = {.gid = "troth.shop.c1.4.9.0",
                                   .xid = 5,
                                   .prepared_at_us = fake_wall(NULL) - 7200ll * 1000000};
    pass(61 * 1000000);
    events->scanned(events->self, take_tag(SCAN), true, &prepared, 1, 64);
    settle();
    expect("troth_prepared", "of=\"cluster\"", 1);
    expect("troth_prepared_slots", "", 64);
    expect("troth_branches_in_doubt", "age=\"over_1h\"", 1);
    assert_true(value("troth_branches_in_doubt_oldest_seconds", "") >= 7200);
    assert_true(value("troth_prepared_oldest_seconds", "") >= 7200);
}

static void why_it_is_not_ready_is_told(void **state)
{
    (void)state;
    assert_null(agent_unready(agent));
    expect("troth_ready", "", 1);
    events->down(events->self, "the server is starting up");
    assert_string_equal(agent_unready(agent), "the server is starting up");
    expect("troth_database_up", "", 0);
    events->up(events->self, "1/1");
    settle();
    lose_session();
    assert_string_equal(agent_unready(agent), "no coordinator has a session with it");
    expect("troth_ready", "", 0);
    expect("troth_coordinators_connected", "", 0);
    reconnect();
    assert_null(agent_unready(agent));
    agent_drain(agent);
    assert_string_equal(agent_unready(agent), "draining: it is being stopped");
    expect("troth_draining", "", 1);
}

int main(void)
{
#define UP(test) cmocka_unit_test_setup_teardown(test, start_with_database, stop)
    const struct CMUnitTest tests[] = {
        UP(work_and_its_end_are_counted_and_timed),
        UP(failures_are_counted_by_their_class),
        UP(what_waits_for_a_connection_is_told),
        UP(a_branch_that_a_scan_finds_is_as_old_as_its_database_says),
        UP(why_it_is_not_ready_is_told),
    };
    return cmocka_run_group_tests_name("agent_metrics", tests, NULL, NULL);
}
