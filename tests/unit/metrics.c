/* Metrics: what counts, how it is told, and that a coordinator counts what happens. */
#include "core/metrics.h"

#include "tests/unit/exposition.h"

#include "coordinator/metrics.h"
#include "tests/unit/server_kit.h"

static struct exposition told_now;

static const struct exposition *scrape(const struct server *server)
{
    struct metrics_text out;
    metrics_text_init(&out);
    server_metrics(server, &out.sink);
    bool good = exposition_read(&told_now, out.text);
    free(out.text);
    if (!good)
        fail_msg("%s", told_now.mistake);
    return &told_now;
}

static double value(const struct world *world, const char *name, const char *labels)
{
    return exposition_value(scrape(world->server), name, labels);
}

/* ---- the text ------------------------------------------------------------------------------ */

static void a_histogram_counts_up_to_and_with_its_bounds(void **state)
{
    struct histogram histogram = {0};
    (void)state;
    histogram_add(&histogram, 0);
    histogram_add(&histogram, 500);
    histogram_add(&histogram, 501);
    histogram_add(&histogram, 16000000);
    histogram_add(&histogram, 16000001);
    assert_int_equal(histogram.count, 5);
    assert_int_equal(histogram.sum_us, 32001002);
    assert_int_equal(histogram.buckets[0], 2);
    assert_int_equal(histogram.buckets[1], 1);
    assert_int_equal(histogram.buckets[METRIC_BUCKETS - 1], 1);
}

static void the_text_is_as_documented(void **state)
{
    struct metrics_text out;
    struct histogram histogram = {0};
    struct metric_ages ages = {0};
    struct metric_sum sum = {0};
    (void)state;
    metrics_text_init(&out);
    metrics_counter(&out.sink, "troth_a_total", "A.", 12345678901);
    metrics_gauge(&out.sink, "troth_b", "B.", 0.25);
    histogram_add(&histogram, 700);
    metrics_family(&out.sink, "troth_c_seconds", METRIC_HISTOGRAM, "C.");
    metrics_histogram(&out.sink, "troth_c_seconds", "kind=\"x\"", &histogram);
    metric_sum_add(&sum, 1500000);
    metrics_family(&out.sink, "troth_d_seconds", METRIC_SUMMARY, "D.");
    metrics_sum(&out.sink, "troth_d_seconds", "", &sum);
    metric_ages_add(&ages, 9999999);
    metric_ages_add(&ages, 10000000);
    metric_ages_add(&ages, -5);
    metric_ages_add(&ages, INT64_C(90000) * 1000000);
    metrics_ages(&out.sink, "troth_e", "E.", &ages);
    const char *begin = "# HELP troth_a_total A.\n# TYPE troth_a_total counter\n"
                        "troth_a_total 12345678901\n"
                        "# HELP troth_b B.\n# TYPE troth_b gauge\ntroth_b 0.25\n"
                        "# HELP troth_c_seconds C.\n# TYPE troth_c_seconds histogram\n"
                        "troth_c_seconds_bucket{kind=\"x\",le=\"0.0005\"} 0\n"
                        "troth_c_seconds_bucket{kind=\"x\",le=\"0.001\"} 1\n";
    assert_int_equal(strncmp(out.text, begin, strlen(begin)), 0);
    assert_non_null(strstr(out.text, "le=\"+Inf\"} 1\ntroth_c_seconds_sum{kind=\"x\"} 0.0007\n"
                                     "troth_c_seconds_count{kind=\"x\"} 1\n"));
    assert_non_null(strstr(out.text, "troth_d_seconds_sum 1.5\ntroth_d_seconds_count 1\n"));
    assert_non_null(strstr(out.text, "troth_e{age=\"under_10s\"} 2\n"
                                     "troth_e{age=\"10s_to_1m\"} 1\n"));
    assert_non_null(strstr(out.text, "troth_e{age=\"over_1h\"} 1\n"));
    assert_non_null(strstr(out.text, "troth_e_oldest_seconds 90000\n"));
    assert_true(exposition_read(&told_now, out.text));
    free(out.text);
}

/* The other tests trust the reader. */
static void the_reader_sees_mistakes(void **state)
{
    static const char *const bad[] = {
        "",
        "troth_a 1\n",
        "# HELP troth_a A.\ntroth_a 1\n",
        "# HELP troth_a A.\n# TYPE troth_b gauge\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a 1",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a 1\ntroth_a 2\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a one\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a NaN\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a{x=1} 1\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a{x=\"1\",} 1\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a{x=\"1\",x=\"2\"} 1\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_b 1\n",
        "# HELP troth_a A.\n# TYPE troth_a counter\ntroth_a 1\n",
        "# HELP troth_a_total A.\n# TYPE troth_a_total gauge\ntroth_a_total 1\n",
        "# HELP troth_a_total A.\n# TYPE troth_a_total counter\ntroth_a_total -1\n",
        "# HELP troth_a A.\n# TYPE troth_a gauge\ntroth_a 1\n# HELP troth_a A.\n",
        "# HELP troth_a A.\n# TYPE troth_a histogram\ntroth_a_bucket{le=\"1\"} 2\n"
        "troth_a_bucket{le=\"+Inf\"} 1\ntroth_a_sum 1\ntroth_a_count 1\n",
        "# HELP troth_a A.\n# TYPE troth_a histogram\ntroth_a_bucket{le=\"1\"} 1\n"
        "troth_a_bucket{le=\"+Inf\"} 1\ntroth_a_sum 1\ntroth_a_count 2\n",
    };
    (void)state;
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++) {
        if (exposition_read(&told_now, bad[i]))
            fail_msg("nothing is wrong with: %s", bad[i]);
    }
}

/* ---- a coordinator ------------------------------------------------------------------------- */

struct shop {
    struct world *world;
    struct visitor *orders, *payments, *client;
};

static struct shop shop_new(void)
{
    struct shop shop = {.world = world_new()};
    start(shop.world);
    shop.orders = participant(shop.world, 0, "orders");
    shop.payments = participant(shop.world, 1, "payments");
    shop.client = client(shop.world, 2);
    offer(shop.orders, "create");
    offer(shop.payments, "charge");
    return shop;
}

static void commits_are_counted_and_timed(void **state)
{
    struct shop shop = shop_new();
    struct world *world = shop.world;
    (void)state;
    submit(shop.client, 1, NULL, "{}", both);
    Wire__Branch branch = asked(shop.orders, WIRE__MODE__PREPARE);
    assert_true(value(world, "troth_transactions_in_flight", "state=\"undecided\"") == 1);
    pass(world, 3000);
    vote(shop.orders, branch, WIRE__CHOICE__YES);
    assert_true(value(world, "troth_transactions_in_doubt", "age=\"under_10s\"") == 1);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    assert_true(
        value(world, "troth_transactions_total", "protocol=\"2pc\",outcome=\"committed\"") == 0);
    sync_journal(world);
    assert_true(
        value(world, "troth_transactions_total", "protocol=\"2pc\",outcome=\"committed\"") == 1);
    assert_true(value(world, "troth_transaction_seconds_count", "protocol=\"2pc\"") == 1);
    assert_true(value(world, "troth_transaction_seconds_sum", "protocol=\"2pc\"") >= 0.003);
    assert_true(value(world, "troth_transactions_in_flight", "state=\"unapplied\"") == 1);
    assert_true(value(world, "troth_applied_seconds_count", "protocol=\"2pc\"") == 0);
    pass(world, 5000);
    applied(shop.orders);
    applied(shop.payments);
    outcome(shop.client, 1, WIRE__RESULT__COMMITTED);
    assert_true(value(world, "troth_applied_seconds_count", "protocol=\"2pc\"") == 1);
    assert_true(value(world, "troth_applied_seconds_sum", "protocol=\"2pc\"") >= 0.005);
    assert_true(value(world, "troth_participant_vote_seconds_count", "participant=\"orders\"") ==
                1);
    assert_true(value(world, "troth_participant_apply_seconds_sum", "participant=\"payments\"") >=
                0.005);
    assert_true(value(world, "troth_participant_connected", "participant=\"orders\"") == 1);
    assert_true(value(world, "troth_sessions", "role=\"client\"") == 1);
    world_free(world);
}

static void a_commit_with_the_decision_took_no_time(void **state)
{
    static const char orders[] = "participant=\"orders\"";
    struct submission three = {.protocol = WIRE__PROTOCOL__THREE_PHASE};
    struct shop shop = shop_new();
    (void)state;
    listen_at(shop.orders, "tcp://127.0.0.1:7101");
    listen_at(shop.payments, "tcp://127.0.0.1:7102");
    submit(shop.client, 1, &three, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    struct question question = questioned(shop.orders);
    pass(shop.world, 5000);
    reply_applied(shop.orders, &question);
    assert_true(value(shop.world, "troth_participant_apply_seconds_count", orders) == 1);
    assert_true(value(shop.world, "troth_participant_apply_seconds_sum", orders) == 0);
    assert_true(value(shop.world, "troth_participant_unapplied", orders) == 0);
    assert_true(value(shop.world, "troth_applied_seconds_count", "protocol=\"3pc\"") == 0);
    applied(shop.payments);
    assert_true(value(shop.world, "troth_applied_seconds_count", "protocol=\"3pc\"") == 1);
    reply_applied(shop.orders, &question);
    assert_true(value(shop.world, "troth_participant_apply_seconds_count", orders) == 1);
    world_free(shop.world);
}

static void aborts_and_rejections_have_their_reason(void **state)
{
    struct shop shop = shop_new();
    static const char *const nobody[] = {"nobody.create", NULL};
    (void)state;
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__NO);
    outcome(shop.client, 1, WIRE__RESULT__ABORTED);
    assert_true(
        value(shop.world, "troth_transactions_total", "protocol=\"2pc\",outcome=\"aborted\"") == 1);
    assert_true(value(shop.world, "troth_aborts_total", "reason=\"refused\"") == 1);
    submit(shop.client, 2, NULL, "{}", nobody);
    rejected(shop.client, 2, "unknown_participant");
    assert_true(value(shop.world, "troth_rejections_total", "reason=\"bad_request\"") == 1);
    world_free(shop.world);
}

static void what_the_journal_brings_back_is_no_event_of_this_run(void **state)
{
    struct shop shop = shop_new();
    (void)state;
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    crash_and_start(shop.world);
    assert_true(value(shop.world, "troth_transactions_in_flight", "state=\"unapplied\"") == 1);
    assert_true(value(shop.world, "troth_transactions_total",
                      "protocol=\"2pc\",outcome=\"committed\"") == 0);
    shop.orders = participant(shop.world, 0, "orders");
    shop.payments = participant(shop.world, 1, "payments");
    applied(shop.orders);
    applied(shop.payments);
    assert_true(value(shop.world, "troth_transactions_in_flight", "state=\"unapplied\"") == 0);
    assert_true(value(shop.world, "troth_transactions_total",
                      "protocol=\"2pc\",outcome=\"committed\"") == 0);
    assert_true(value(shop.world, "troth_applied_seconds_count", "protocol=\"2pc\"") == 0);
    world_free(shop.world);
}

static void a_hazard_is_counted(void **state)
{
    struct shop shop = shop_new();
    (void)state;
    submit(shop.client, 1, NULL, "{}", both);
    vote(shop.orders, asked(shop.orders, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    vote(shop.payments, asked(shop.payments, WIRE__MODE__PREPARE), WIRE__CHOICE__YES);
    sync_journal(shop.world);
    applied(shop.orders);
    finish(shop.payments, told(shop.payments, true), true, true);
    outcome(shop.client, 1, WIRE__RESULT__HAZARD);
    assert_true(value(shop.world, "troth_hazards", "") == 1);
    assert_true(value(shop.world, "troth_hazards_total", "") == 1);
    assert_true(value(shop.world, "troth_transactions_total",
                      "protocol=\"2pc\",outcome=\"committed\"") == 1);
    world_free(shop.world);
}

static void reasons_are_told_apart_and_bounded(void **state)
{
    static const struct {
        const char *code;
        enum metric_reason reason;
    } codes[] = {{"40001", REASON_CONFLICT},
                 {"40P01", REASON_CONFLICT},
                 {"55P03", REASON_LOCK_TIMEOUT},
                 {"55006", REASON_DATABASE},
                 {"23505", REASON_CONSTRAINT},
                 {"XX000", REASON_DATABASE},
                 {"out_of_stock", REASON_REFUSED},
                 {"FALSE", REASON_REFUSED},
                 {"operator", REASON_OPERATOR},
                 {"deadline", REASON_DEADLINE},
                 {"", REASON_UNKNOWN},
                 {"bad_argument", REASON_BAD_REQUEST},
                 {"40001x", REASON_REFUSED}};
    (void)state;
    for (size_t i = 0; i < sizeof(codes) / sizeof(*codes); i++)
        assert_int_equal(metric_reason_of(codes[i].code), codes[i].reason);
}

static void the_answer_has_the_same_samples(void **state)
{
    struct shop shop = shop_new();
    (void)state;
    const Wire__Answer *answer = ask(shop.client, WIRE__WHAT__METRICS, "", false);
    const struct exposition *read = scrape(shop.world->server);
    assert_int_equal(answer->n_samples, read->sample_count);
    assert_int_equal(answer->more, 0);
    for (int i = 0; i < read->sample_count; i++) {
        assert_string_equal(answer->samples[i]->name, read->samples[i].name);
        assert_string_equal(answer->samples[i]->labels, read->samples[i].labels);
    }
    world_free(shop.world);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_histogram_counts_up_to_and_with_its_bounds),
        cmocka_unit_test(the_text_is_as_documented),
        cmocka_unit_test(the_reader_sees_mistakes),
        cmocka_unit_test(commits_are_counted_and_timed),
        cmocka_unit_test(a_commit_with_the_decision_took_no_time),
        cmocka_unit_test(aborts_and_rejections_have_their_reason),
        cmocka_unit_test(what_the_journal_brings_back_is_no_event_of_this_run),
        cmocka_unit_test(a_hazard_is_counted),
        cmocka_unit_test(reasons_are_told_apart_and_bounded),
        cmocka_unit_test(the_answer_has_the_same_samples),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
