/* The live line of troth bench: on a terminal, never wider than it, and gone at the end; nowhere
 * else. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/bench_report.h"
#include "core/check.h"

enum { SECOND_US = 1000000 };

static int master, slave, kept;

/* stderr becomes a terminal of this width until terminal_close. */
static void terminal_open(unsigned short columns)
{
    struct winsize size = {.ws_row = 24, .ws_col = columns};
    CHECK(openpty(&master, &slave, NULL, NULL, &size) == 0);
    CHECK(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
    kept = dup(STDERR_FILENO);
    CHECK(kept >= 0 && dup2(slave, STDERR_FILENO) >= 0);
}

static void terminal_close(void)
{
    CHECK(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    close(master);
    close(slave);
}

static void assert_seen(const char *wanted)
{
    char seen[400] = "";
    ssize_t size = read(master, seen, sizeof(seen) - 1);
    assert_true(size >= 0 || !*wanted);
    assert_string_equal(seen, wanted);
}

static void it_tells_how_far_it_is_and_how_it_goes(void **state)
{
    (void)state;
    struct bench_line *line = xcalloc(1, sizeof(*line));
    struct bench_plan plan = {.duration_us = 60 * (uint64_t)SECOND_US};
    terminal_open(100);
    bench_line_begin(line);
    assert_true(line->shown);
    line->warm_us = 5 * SECOND_US;
    line->since_us = 4 * SECOND_US;
    line->now_us = 4 * SECOND_US + SECOND_US / 2;
    bench_line_draw(line, &plan);
    assert_seen("\rwarming up  0.00/s  p50 -  p99 -  0 in flight  0 not done\x1b[K");
    for (int i = 0; i < 50; i++)
        latencies_add(&line->recent, i < 49 ? 1500 : 80000);
    line->now_us = 7 * SECOND_US;
    line->running = 16;
    line->missed = 3;
    bench_line_draw(line, &plan);
    assert_seen("\r2s of 60s  20.0/s  p50 1.50ms  p99 80.0ms  16 in flight  3 not done\x1b[K");
    plan.count = 700;
    line->measured = 70;
    line->now_us = 8 * SECOND_US;
    bench_line_draw(line, &plan);
    assert_seen("\r70 of 700  0.00/s  p50 -  p99 -  16 in flight  3 not done\x1b[K");
    line->down = true;
    bench_line_draw(line, &plan);
    assert_seen("\rthe coordinator is away  0.00/s  p50 -  p99 -  16 in flight  3 not done\x1b[K");
    bench_line_end(line);
    assert_seen("\r\x1b[K");
    bench_line_end(line);
    assert_seen("");
    terminal_close();
    free(line);
}

static void it_is_cut_where_the_terminal_ends(void **state)
{
    (void)state;
    struct bench_line *line = xcalloc(1, sizeof(*line));
    struct bench_plan plan = {.count = 700};
    terminal_open(20);
    bench_line_begin(line);
    line->now_us = SECOND_US;
    bench_line_draw(line, &plan);
    assert_seen("\r0 of 700  0.00/s  p\x1b[K");
    bench_line_end(line);
    terminal_close();
    free(line);
}

static void without_a_terminal_there_is_none(void **state)
{
    (void)state;
    struct bench_line *line = xcalloc(1, sizeof(*line));
    int null = open("/dev/null", O_WRONLY);
    kept = dup(STDERR_FILENO);
    CHECK(null >= 0 && kept >= 0 && dup2(null, STDERR_FILENO) >= 0);
    bench_line_begin(line);
    CHECK(dup2(kept, STDERR_FILENO) >= 0);
    assert_false(line->shown);
    close(kept);
    close(null);
    free(line);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_tells_how_far_it_is_and_how_it_goes),
        cmocka_unit_test(it_is_cut_where_the_terminal_ends),
        cmocka_unit_test(without_a_terminal_there_is_none),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
