/* The loop, the log and the switch of the crash points: each observed as its user sees it, the last
 * two from a child process. */
#include "io/loop.h"

#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/crash.h"
#include "io/crash.h"
#include "io/log.h"

/* ---- the loop -------------------------------------------------------------------------------- */

struct turns {
    struct loop *loop;
    int settled, stop_after;
    uint64_t wake_in_us;
    uint64_t now_us[64];
    bool given, taken;
    struct turns *other;
};

static uint64_t settle(void *self)
{
    struct turns *turns = self;
    const struct host_port *host = loop_host(turns->loop);
    uint64_t now_us = host->now_us(host->self);
    if (turns->settled < 64)
        turns->now_us[turns->settled] = now_us;
    if (++turns->settled >= turns->stop_after)
        loop_stop(turns->loop);
    return turns->wake_in_us == UINT64_MAX ? UINT64_MAX : now_us + turns->wake_in_us;
}

static void settle_is_called_again_when_it_asked_for_it(void **state)
{
    (void)state;
    struct turns turns = {.loop = loop_new(), .stop_after = 5, .wake_in_us = 2000};
    loop_on_settle(turns.loop, settle, &turns);
    loop_run(turns.loop);
    assert_int_equal(turns.settled, 5);
    for (int i = 1; i < 5; i++)
        assert_true(turns.now_us[i] >= turns.now_us[i - 1] + 1000);
    loop_free(turns.loop);
}

static void a_wish_in_the_past_means_at_once(void **state)
{
    (void)state;
    struct turns turns = {.loop = loop_new(), .stop_after = 1000, .wake_in_us = 0};
    loop_on_settle(turns.loop, settle, &turns);
    loop_run(turns.loop);
    assert_int_equal(turns.settled, 1000);
    loop_free(turns.loop);
}

static uint64_t take(void *self)
{
    struct turns *turns = self;
    turns->taken = turns->given;
    return UINT64_MAX;
}

static uint64_t give(void *self)
{
    struct turns *turns = self;
    turns->other->given = true;
    loop_stop(turns->loop);
    return UINT64_MAX;
}

static void what_a_later_settle_gives_an_earlier_one_is_taken_in_the_same_turn(void **state)
{
    (void)state;
    struct turns taker = {.loop = loop_new()};
    struct turns giver = {.loop = taker.loop, .other = &taker};
    loop_on_settle(taker.loop, take, &taker);
    loop_on_settle(taker.loop, give, &giver);
    loop_run(taker.loop);
    assert_true(taker.taken);
    loop_free(taker.loop);
}

static uint64_t watch_clock(void *self)
{
    struct turns *turns = self;
    const struct host_port *host = loop_host(turns->loop);
    uint64_t first_us = host->now_us(host->self);
    for (uint64_t until = uv_hrtime() + 3000000; uv_hrtime() < until;)
        ;
    assert_true(host->now_us(host->self) == first_us);
    turns->now_us[turns->settled++] = first_us;
    if (turns->settled == 3)
        loop_stop(turns->loop);
    return first_us;
}

static void the_clock_stands_still_within_a_turn_and_moves_between_turns(void **state)
{
    (void)state;
    struct turns turns = {.loop = loop_new()};
    loop_on_settle(turns.loop, watch_clock, &turns);
    loop_run(turns.loop);
    assert_true(turns.now_us[0] < turns.now_us[1] && turns.now_us[1] < turns.now_us[2]);
    const struct host_port *host = loop_host(turns.loop);
    assert_true(host->wall_us(host->self) > 1600000000ll * 1000000);
    loop_free(turns.loop);
}

static void random_bytes_differ(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    const struct host_port *host = loop_host(loop);
    unsigned char first[32] = {0}, second[32] = {0};
    host->random(host->self, first, sizeof(first));
    host->random(host->self, second, sizeof(second));
    assert_memory_not_equal(first, second, sizeof(first));
    loop_free(loop);
}

static void stop_cleanly(void *self)
{
    struct turns *turns = self;
    turns->given = true;
    if (turns->taken)
        raise(SIGTERM); /* somebody loses patience while the first is being served */
    else
        loop_stop(turns->loop);
}

static uint64_t raise_once(void *self)
{
    struct turns *turns = self;
    if (turns->settled++ == 0)
        raise(SIGTERM);
    return UINT64_MAX;
}

static void sigterm_asks_to_stop(void **state)
{
    (void)state;
    struct turns turns = {.loop = loop_new()};
    loop_on_stop(turns.loop, stop_cleanly, &turns);
    loop_on_settle(turns.loop, raise_once, &turns);
    loop_run(turns.loop);
    assert_true(turns.given);
    loop_free(turns.loop);
}

/* ---- in a child ------------------------------------------------------------------------------ */

struct ending {
    int status;
    char stderr_text[16384];
};

static struct ending run_child(void (*body)(void))
{
    struct ending ending = {0};
    int pipe_ends[2];
    assert_int_equal(pipe(pipe_ends), 0);
    pid_t child = fork();
    assert_true(child >= 0);
    if (child == 0) {
        dup2(pipe_ends[1], STDERR_FILENO);
        body();
        _exit(0);
    }
    close(pipe_ends[1]);
    size_t size = 0;
    for (ssize_t got; (got = read(pipe_ends[0], ending.stderr_text + size,
                                  sizeof(ending.stderr_text) - 1 - size)) > 0;)
        size += (size_t)got;
    close(pipe_ends[0]);
    assert_int_equal(waitpid(child, &ending.status, 0), child);
    return ending;
}

static void be_asked_twice(void)
{
    struct turns turns = {.loop = loop_new(), .taken = true};
    loop_on_stop(turns.loop, stop_cleanly, &turns);
    loop_on_settle(turns.loop, raise_once, &turns);
    loop_run(turns.loop);
}

static void a_second_sigterm_ends_the_process_at_once(void **state)
{
    (void)state;
    struct ending ending = run_child(be_asked_twice);
    assert_true(WIFEXITED(ending.status));
    assert_int_equal(WEXITSTATUS(ending.status), 128 + SIGTERM);
}

static void log_as_text(void)
{
    log_setup("trothd", LOG_TEXT, LOG_INFO);
    log_write(LOG_DEBUG, "not seen");
    log_write(LOG_INFO, "%s", "one\ntwo \033[31m\x80 \"three\" \xc3\xa9");
}

static void a_text_line_can_be_neither_forged_nor_coloured(void **state)
{
    (void)state;
    struct ending ending = run_child(log_as_text);
    char *text = ending.stderr_text;
    assert_non_null(strchr(text, '\n'));
    assert_string_equal(strchr(text, '\n'), "\n");
    assert_non_null(strstr(text, "Z trothd info: one\\ntwo \\x1b[31m\\x80 \"three\" \xc3\xa9\n"));
}

static void log_as_json(void)
{
    log_setup("trothd", LOG_JSON, LOG_WARNING);
    log_write(LOG_INFO, "not seen");
    log_write(LOG_ERROR, "%s", "a \"b\" \\ \n \001 \xff \xed\xa0\x80");
    struct error error;
    error_set(&error, ERROR_IO, "cannot listen");
    error_detail(&error, "port 7400");
    error_hint(&error, "choose another");
    log_error(&error);
}

static void a_json_line_is_escaped(void **state)
{
    (void)state;
    struct ending ending = run_child(log_as_json);
    char *text = ending.stderr_text;
    assert_true(strncmp(text, "{\"time\":\"2", 10) == 0);
    assert_non_null(
        strstr(text, "\",\"program\":\"trothd\",\"level\":\"error\",\"message\":\"a \\\"b\\\" \\\\ "
                     "\\n \\u0001 \\ufffd \\ufffd\\ufffd\\ufffd\"}\n"));
    assert_non_null(strstr(text, "\"message\":\"cannot listen\",\"detail\":\"port 7400\","
                                 "\"hint\":\"choose another\"}\n"));
    assert_null(strstr(text, "not seen"));
}

static void log_very_much(void)
{
    static char text[20000];
    memset(text, '\\', sizeof(text) - 1);
    log_setup("trothd", LOG_JSON, LOG_INFO);
    log_line(LOG_INFO, text);
}

static void a_line_too_long_is_cut_and_stays_json(void **state)
{
    (void)state;
    struct ending ending = run_child(log_very_much);
    size_t size = strlen(ending.stderr_text);
    assert_true(size > 8000 && size < 8300);
    assert_string_equal(ending.stderr_text + size - 6, "...\"}\n");
}

static void levels_are_known_by_their_words(void **state)
{
    (void)state;
    enum log_level level;
    assert_true(log_level_parse("debug", &level) && level == LOG_DEBUG);
    assert_true(log_level_parse("error", &level) && level == LOG_ERROR);
    assert_false(log_level_parse("warn", &level));
}

static void pass_points(void)
{
    crash_setup();
    for (int i = 1; i <= 5; i++) {
        CRASH_POINT("coordinator.other");
        dprintf(STDERR_FILENO, "pass %d;", i);
        CRASH_POINT("coordinator.decided");
    }
}

static struct ending pass_with(const char *variable, const char *text)
{
    setenv(variable, text, 1);
    struct ending ending = run_child(pass_points);
    unsetenv(variable);
    return ending;
}

static struct ending crash_at(const char *text)
{
    return pass_with("TROTH_CRASH_AT", text);
}

static void a_crash_point_kills_at_the_passing_that_was_asked_for(void **state)
{
    (void)state;
    struct ending ending = crash_at("coordinator.decided:3");
    assert_true(WIFSIGNALED(ending.status) && WTERMSIG(ending.status) == SIGKILL);
    assert_non_null(strstr(ending.stderr_text, "pass 3;"));
    assert_null(strstr(ending.stderr_text, "pass 4;"));
    ending = crash_at("coordinator.decided");
    assert_true(WIFSIGNALED(ending.status));
    assert_null(strstr(ending.stderr_text, "pass 2;"));
    ending = crash_at("coordinator.voted");
    assert_true(WIFEXITED(ending.status) && WEXITSTATUS(ending.status) == 0);
}

/* Says what its child does: the child's standard error is the same. */
static void watch_a_child_that_stops(void)
{
    int status;
    pid_t child = fork();
    if (child == 0) {
        pass_points();
        _exit(0);
    }
    waitpid(child, &status, WUNTRACED);
    dprintf(STDERR_FILENO, WIFSTOPPED(status) ? "stopped;" : "not stopped;");
    kill(child, SIGCONT);
    waitpid(child, &status, 0);
    dprintf(STDERR_FILENO, "ended %d;", status);
}

static void a_process_stops_at_a_point_and_goes_on_from_there(void **state)
{
    (void)state;
    setenv("TROTH_STOP_AT", "coordinator.decided:2", 1);
    struct ending ending = run_child(watch_a_child_that_stops);
    unsetenv("TROTH_STOP_AT");
    const char *stopped = strstr(ending.stderr_text, "stopped;");
    const char *third = strstr(ending.stderr_text, "pass 3;");
    assert_true(strstr(ending.stderr_text, "pass 2;") < stopped);
    assert_true(stopped < third);
    assert_true(third < strstr(ending.stderr_text, "ended 0;"));
    assert_null(strstr(ending.stderr_text, "not stopped;"));
}

static void a_crash_point_that_makes_no_sense_is_refused(void **state)
{
    (void)state;
    struct ending stop = pass_with("TROTH_STOP_AT", "decided");
    assert_true(WIFEXITED(stop.status) && WEXITSTATUS(stop.status) == 2);
    assert_non_null(strstr(stop.stderr_text, "TROTH_STOP_AT is not a crash point"));
    const char *const wrong[] = {"decided",
                                 "coordinator.decided:",
                                 "coordinator.decided:0",
                                 "coordinator.decided:x",
                                 "coordinator.decided:1x",
                                 "coordinator.decided:-1",
                                 "Coordinator.Decided",
                                 "coordinator decided.",
                                 ":3"};
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        struct ending ending = crash_at(wrong[i]);
        assert_true(WIFEXITED(ending.status));
        assert_int_equal(WEXITSTATUS(ending.status), 2);
        assert_non_null(strstr(ending.stderr_text, "not a crash point"));
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(settle_is_called_again_when_it_asked_for_it),
        cmocka_unit_test(a_wish_in_the_past_means_at_once),
        cmocka_unit_test(what_a_later_settle_gives_an_earlier_one_is_taken_in_the_same_turn),
        cmocka_unit_test(the_clock_stands_still_within_a_turn_and_moves_between_turns),
        cmocka_unit_test(random_bytes_differ),
        cmocka_unit_test(sigterm_asks_to_stop),
        cmocka_unit_test(a_second_sigterm_ends_the_process_at_once),
        cmocka_unit_test(a_text_line_can_be_neither_forged_nor_coloured),
        cmocka_unit_test(a_json_line_is_escaped),
        cmocka_unit_test(a_line_too_long_is_cut_and_stays_json),
        cmocka_unit_test(levels_are_known_by_their_words),
        cmocka_unit_test(a_crash_point_kills_at_the_passing_that_was_asked_for),
        cmocka_unit_test(a_process_stops_at_a_point_and_goes_on_from_there),
        cmocka_unit_test(a_crash_point_that_makes_no_sense_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
