/* The screen of `troth top` in every size: it never takes more than it is given, and says what is
 * known. And the numbers that it is made of. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "cli/table.h"
#include "cli/top.h"
#include "core/check.h"

enum { PARTICIPANTS = 12, TRANSACTIONS = 30, SAMPLES = 400 };

/* A coordinator with everything, in numbers that the test sets. */
struct rig {
    Wire__Answer answers[4], before_metrics;
    Wire__CoordinatorView coordinator;
    Wire__ParticipantView participants[PARTICIPANTS], *participant_list[PARTICIPANTS];
    Wire__TransactionView transactions[TRANSACTIONS], *transaction_list[TRANSACTIONS];
    Wire__BranchView branch, *branches[1];
    Wire__Sample samples[2][SAMPLES], *sample_list[2][SAMPLES];
    size_t sample_count[2];
    char names[PARTICIPANTS + TRANSACTIONS][100];
    struct top_look before, now;
    struct top_view view;
};

/* Of the look before (0) and of this one (1). */
static void sample(struct rig *rig, int look, const char *name, const char *labels, double value)
{
    size_t index = rig->sample_count[look]++;
    assert_true(index < SAMPLES);
    Wire__Sample *at = &rig->samples[look][index];
    wire__sample__init(at);
    at->name = (char *)name;
    at->labels = (char *)labels;
    at->value = value;
    rig->sample_list[look][index] = at;
}

static void fill_metrics(struct rig *rig)
{
    for (int look = 0; look < 2; look++) {
        double by = look;
        sample(rig, look, "troth_epoch", "", 7);
        sample(rig, look, "troth_transactions_total", "protocol=\"2pc\",outcome=\"committed\"",
               100 + 2000 * by);
        sample(rig, look, "troth_transactions_total", "protocol=\"3pc\",outcome=\"committed\"",
               10 + 468 * by);
        sample(rig, look, "troth_transactions_total", "protocol=\"2pc\",outcome=\"aborted\"",
               3 + 5 * by);
        sample(rig, look, "troth_transaction_seconds_bucket", "protocol=\"2pc\",le=\"0.001\"",
               50 + 500 * by);
        sample(rig, look, "troth_transaction_seconds_bucket", "protocol=\"2pc\",le=\"0.002\"",
               60 + 900 * by);
        sample(rig, look, "troth_transaction_seconds_bucket", "protocol=\"2pc\",le=\"0.004\"",
               60 + 1000 * by);
        sample(rig, look, "troth_transaction_seconds_bucket", "protocol=\"2pc\",le=\"+Inf\"",
               60 + 1000 * by);
        sample(rig, look, "troth_transaction_seconds_count", "protocol=\"2pc\"", 60 + 1000 * by);
        sample(rig, look, "troth_transactions_in_doubt", "age=\"under_10s\"", 4);
        sample(rig, look, "troth_transactions_in_doubt", "age=\"over_1h\"", 1);
        sample(rig, look, "troth_transactions_in_doubt_oldest_seconds", "", 7300);
        sample(rig, look, "troth_participant_vote_seconds_count", "participant=\"p3\"",
               10 + 100 * by);
        sample(rig, look, "troth_participant_vote_seconds_sum", "participant=\"p3\"", 1 + 0.5 * by);
        rig->answers[1].samples = rig->sample_list[1];
        rig->before_metrics.samples = rig->sample_list[0];
    }
    rig->answers[1].n_samples = rig->sample_count[1];
    rig->before_metrics.n_samples = rig->sample_count[0];
    top_read(&rig->before.counts, &rig->before_metrics, 1000000);
    top_read(&rig->now.counts, &rig->answers[1], 3000000);
}

static void fill_people(struct rig *rig, int count)
{
    for (int i = 0; i < count; i++) {
        Wire__ParticipantView *view = rig->participant_list[i] = &rig->participants[i];
        wire__participant_view__init(view);
        snprintf(rig->names[i], sizeof(rig->names[i]), "p%d", i);
        view->name = rig->names[i];
        view->connected = view->database_up = true;
        view->prepared = 3;
        view->prepared_slots = 64;
    }
    rig->answers[2].participants = rig->participant_list;
    rig->answers[2].n_participants = (size_t)count;
}

static void fill_late(struct rig *rig, int count)
{
    wire__branch_view__init(&rig->branch);
    rig->branch.waits_for = (char *)"payments, which is not connected";
    rig->branches[0] = &rig->branch;
    for (int i = 0; i < count; i++) {
        Wire__TransactionView *view = rig->transaction_list[i] = &rig->transactions[i];
        char *name = rig->names[PARTICIPANTS + i];
        wire__transaction_view__init(view);
        snprintf(name, sizeof(rig->names[0]), "shop.c1.1795259537.%d", i + 1);
        view->gtrid = name;
        view->state = (char *)"committed";
        view->begun_us = 1000000000 - i;
        view->branches = rig->branches;
        view->n_branches = 1;
    }
    rig->answers[3].transactions = rig->transaction_list;
    rig->answers[3].n_transactions = (size_t)count;
}

static struct rig *make(int people, int late)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    for (int i = 0; i < 4; i++)
        wire__answer__init(&rig->answers[i]);
    wire__answer__init(&rig->before_metrics);
    wire__coordinator_view__init(&rig->coordinator);
    rig->coordinator.name = (char *)"c1";
    rig->coordinator.cluster = (char *)"shop";
    rig->coordinator.started_us = 1000000;
    rig->coordinator.journal_bytes = 64 << 20;
    rig->coordinator.journal_segments = 1;
    rig->answers[0].coordinator = &rig->coordinator;
    fill_people(rig, people);
    fill_late(rig, late);
    fill_metrics(rig);
    rig->now.wall_us = 1012000000;
    rig->now.coordinator = &rig->answers[0];
    rig->now.metrics = &rig->answers[1];
    rig->now.participants = &rig->answers[2];
    rig->now.slowest = &rig->answers[3];
    rig->before = (struct top_look){.counts = rig->before.counts, .metrics = &rig->before_metrics};
    rig->view = (struct top_view){.before = &rig->before,
                                  .now = &rig->now,
                                  .address = "tcp://127.0.0.1:7400",
                                  .wall_us = 1012000000};
    return rig;
}

/* It is as large as it may be, at most. */
static char *draw(struct rig *rig, int columns, int rows)
{
    char *text = top_screen(&rig->view, columns, rows);
    int lines = 0;
    for (const char *at = text; *at; lines++) {
        size_t size = strcspn(at, "\n");
        char *one = xstrndup(at, size);
        assert_int_equal(at[size], '\n');
        assert_true(size == 0 || at[size - 1] != ' ');
        if (columns && text_width(one) > columns)
            fail_msg("%d columns, not %d: %s", text_width(one), columns, one);
        free(one);
        at += size + 1;
    }
    if (rows && lines > rows)
        fail_msg("%d lines, not %d:\n%s", lines, rows, text);
    return text;
}

static void expect(const char *text, const char *part)
{
    if (!strstr(text, part))
        fail_msg("no \"%s\" in:\n%s", part, text);
}

static int count_lines(const char *text)
{
    int lines = 0;
    for (; *text; text++)
        lines += *text == '\n';
    return lines;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void a_usual_screen_says_it_all_in_80_columns(void **state)
{
    (void)state;
    struct rig *rig = make(3, 3);
    rig->participants[1].connected = false;
    rig->participants[2].n_held = 2;
    char *text = draw(rig, 80, 24);
    expect(text, "c1 of shop  up 16m");
    expect(text, "commits 1234/s  aborts 2.5/s  rejected 0/s  sagas 0/s\n");
    /* Half of a thousand took a millisecond or less, nine tenths two, all four. */
    expect(text, "decided           1.0ms    3.0ms    3.8ms    500/s\n");
    expect(text, "journal flush         -        -        -      0/s\n");
    expect(text, "in doubt 5, the oldest 2h\n");
    expect(text, "journal: 64 MiB in 1 segment, 0 bytes free\n");
    expect(text, "PARTICIPANT  SESSION  DB    PREPARED   WORKING  UNAPPLIED  HELD  VOTE    APPLY");
    expect(text, "p1           DOWN     -     3/64       0        0          0     -       -\n");
    /* Those in trouble first. */
    assert_true(strstr(text, "\np1 ") < strstr(text, "\np2 "));
    assert_true(strstr(text, "\np2 ") < strstr(text, "\np0 "));
    expect(text, "SLOWEST               STATE      AGE  WAITS FOR\n");
    free(text);
    text = draw(rig, 66, 24);
    expect(text, "shop.c1.1795259537.1  committed  12s  payments, which is not conn\u2026\n");
    free(text);
    text = draw(rig, 100, 24);
    expect(text, "shop.c1.1795259537.1  committed  12s  payments, which is not connected\n");
    free(text);
    free(rig);
}

static void the_mean_times_are_of_the_time_in_between(void **state)
{
    (void)state;
    struct rig *rig = make(5, 0);
    char *text = draw(rig, 80, 40);
    expect(text, "p3           up       up    3/64       0        0          0     5.0ms   -\n");
    free(text);
    free(rig);
}

static void a_narrow_one_leaves_columns_out(void **state)
{
    (void)state;
    struct rig *rig = make(3, 3);
    char *text = draw(rig, 60, 24);
    expect(text, "PARTICIPANT  SESSION  DB    PREPARED   WORKING  UNAPPLIED\n");
    assert_null(strstr(text, "HELD"));
    expect(text, "SLOWEST               STATE      AGE  WAITS FOR\n");
    free(text);
    free(rig);
}

static void no_size_is_too_small_and_more_room_is_used(void **state)
{
    (void)state;
    struct rig *rig = make(PARTICIPANTS, TRANSACTIONS);
    rig->answers[3].more = 17;
    for (int columns = 20; columns <= 200; columns += 7) {
        for (int rows = 1; rows <= 70; rows++)
            free(draw(rig, columns, rows));
    }
    char *text = draw(rig, 80, 24);
    assert_int_equal(count_lines(text), 24);
    expect(text, "more: troth participant list\n");
    expect(text, "more: troth tx list --oldest\n");
    free(text);
    text = draw(rig, 80, 200);
    expect(text, "\np11 ");
    expect(text, "shop.c1.1795259537.30 ");
    expect(text, "and 17 more: troth tx list --oldest\n");
    free(text);
    text = draw(rig, 0, 0);
    expect(text, "\np11 ");
    free(text);
    free(rig);
}

static void huge_numbers_and_long_names_keep_their_places(void **state)
{
    (void)state;
    struct rig *rig = make(3, 2);
    rig->participants[0].name = (char *)"a-participant-with-a-name-of-32-c";
    rig->participants[0].working = rig->participants[0].unapplied = UINT32_MAX;
    rig->participants[0].prepared = rig->participants[0].prepared_slots = UINT32_MAX;
    rig->participants[0].n_held = 99999;
    rig->transactions[0].gtrid = (char *)"a-cluster-with-a-name-of-32-chars.a-coordinator-likewise-"
                                         "of-32-ch.18446744073709551615.18446744073709551615";
    rig->coordinator.undecided = rig->coordinator.unapplied = UINT64_MAX;
    rig->coordinator.hazards = rig->coordinator.heuristics = rig->coordinator.mixed = UINT64_MAX;
    rig->coordinator.journal_bytes = UINT64_MAX;
    rig->coordinator.sagas_running = UINT64_MAX;
    rig->now.counts.committed = 1e18;
    for (int columns = 40; columns <= 160; columns += 20) {
        char *text = draw(rig, columns, 24);
        if (columns >= 80) {
            expect(text, "4.3G/4.3G");
            expect(text, "  4.3G     4.3G");
        }
        free(text);
    }
    free(rig);
}

static void what_peers_send_reaches_no_terminal_as_it_is(void **state)
{
    (void)state;
    struct rig *rig = make(1, 1);
    rig->participants[0].name = (char *)"x\x1b[2J";
    rig->branch.waits_for = (char *)"\x1b]0;title\x07";
    rig->transactions[0].state = (char *)"a\nb";
    char *text = draw(rig, 80, 24);
    assert_null(strchr(text, '\x1b'));
    assert_null(strchr(text, '\x07'));
    expect(text, "x\\x1b[2J");
    free(text);
    free(rig);
}

static void without_a_coordinator_it_says_so_and_what_was(void **state)
{
    (void)state;
    struct rig *rig = make(2, 1);
    rig->view.lost_us = rig->now.wall_us + 1000000;
    rig->view.wall_us = rig->now.wall_us + 30 * 1000000;
    rig->view.reason = "the session was lost: the connection broke";
    char *text = draw(rig, 80, 24);
    expect(text, "not reachable since 1970-01-01T00:16:53.000Z; trying again\n"
                 "tcp://127.0.0.1:7400: the session was lost: the connection broke\n"
                 "as it was 30s ago:\n");
    expect(text, "\np1 ");
    free(text);
    rig->view.now = rig->view.before = NULL;
    text = draw(rig, 80, 24);
    expect(text, "not reachable since");
    free(text);
    free(rig);
}

static void another_run_has_no_rates(void **state)
{
    (void)state;
    struct rig *rig = make(1, 0);
    rig->now.counts.run = 8;
    char *text = draw(rig, 80, 24);
    expect(text, "commits -  aborts -  rejected -  sagas -\n");
    expect(text, "decided               -        -        -        -\n");
    free(text);
    rig->view.before = NULL;
    text = draw(rig, 80, 24);
    expect(text, "commits -  ");
    free(text);
    free(rig);
}

static void quantiles_are_interpolated(void **state)
{
    (void)state;
    struct top_histogram before = {0}, now = {.count = 100};
    assert_true(top_quantile(&before, &before, 0.5) < 0);
    for (int i = 0; i < METRIC_BUCKETS; i++)
        now.buckets[i] = i < 1 ? 0 : i < 2 ? 50 : 100;
    /* 50 from 0.5 to 1 ms, 50 from 1 to 2 ms. */
    assert_true(top_quantile(&before, &now, 0.25) > 0.00074);
    assert_true(top_quantile(&before, &now, 0.25) < 0.00076);
    assert_true(top_quantile(&before, &now, 0.75) > 0.00149);
    assert_true(top_quantile(&before, &now, 0.75) < 0.00151);
    /* What is above the last bound is at least that. */
    now.count = 300;
    assert_true(top_quantile(&before, &now, 0.99) == 16);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_usual_screen_says_it_all_in_80_columns),
        cmocka_unit_test(the_mean_times_are_of_the_time_in_between),
        cmocka_unit_test(a_narrow_one_leaves_columns_out),
        cmocka_unit_test(no_size_is_too_small_and_more_room_is_used),
        cmocka_unit_test(huge_numbers_and_long_names_keep_their_places),
        cmocka_unit_test(what_peers_send_reaches_no_terminal_as_it_is),
        cmocka_unit_test(without_a_coordinator_it_says_so_and_what_was),
        cmocka_unit_test(another_run_has_no_rates),
        cmocka_unit_test(quantiles_are_interpolated),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
