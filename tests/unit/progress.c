/* The line that shows how far something long is: on a terminal, after a second, and nowhere else.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <pty.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "cli/progress.h"
#include "core/check.h"

static int64_t now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}

/* stderr becomes the file while this goes on; returns how long it took until the line was there. */
static int64_t run_half(int stderr_file, int64_t limit_us)
{
    struct progress progress;
    int kept = dup(STDERR_FILENO);
    CHECK(kept >= 0 && dup2(stderr_file, STDERR_FILENO) >= 0);
    int64_t began_us = now_us();
    progress_begin(&progress, "checking the journal");
    while (!progress.shown && now_us() < began_us + limit_us)
        progress_at(&progress, 50, 100);
    int64_t took_us = now_us() - began_us;
    progress_end(&progress);
    CHECK(dup2(kept, STDERR_FILENO) >= 0);
    close(kept);
    return took_us;
}

static void terminal_sees_it_after_a_second_and_loses_it_at_the_end(void **state)
{
    (void)state;
    int master, slave;
    char seen[400] = "";
    CHECK(openpty(&master, &slave, NULL, NULL, NULL) == 0);
    int64_t took_us = run_half(slave, 20 * 1000000);
    assert_true(took_us >= 1000000 && took_us < 20 * 1000000);
    CHECK(fcntl(master, F_SETFL, O_NONBLOCK) == 0);
    CHECK(read(master, seen, sizeof(seen) - 1) > 0);
    assert_string_equal(seen,
                        "\rchecking the journal [###############...............]  50%\r\x1b[K");
    close(master);
    close(slave);
}

static void file_sees_nothing(void **state)
{
    (void)state;
    char path[] = "/tmp/troth-progress-XXXXXX";
    int file = mkstemp(path);
    CHECK(file >= 0 && unlink(path) == 0);
    run_half(file, 1300000);
    assert_int_equal(lseek(file, 0, SEEK_END), 0);
    close(file);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(terminal_sees_it_after_a_second_and_loses_it_at_the_end),
        cmocka_unit_test(file_sees_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
