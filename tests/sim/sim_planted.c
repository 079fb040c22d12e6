/* Each protocol bug that can be planted is found within a bounded number of seeds: the simulator
 * can see what it claims to look for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/jobs.h"

enum { MOST_SEEDS = 1000 };

static void is_caught(void **state)
{
    struct jobs_plan plan = {.from = 1,
                             .count = MOST_SEEDS,
                             .stop_at_first = true,
                             .planted = *(enum planted_bug *)*state};
    struct jobs_report report;
    jobs_run(&plan, &report);
    assert_true(report.failures > 0);
    print_message("at seed %llu: %s\n", (unsigned long long)report.failed[0].seed,
                  report.failed[0].text);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define BUG(name) static enum planted_bug name##_bug = PLANTED_##name;
    PLANTED_BUGS(BUG)
#undef BUG
    const struct CMUnitTest tests[] = {
#define BUG(bug) {#bug " is caught", is_caught, NULL, NULL, &bug##_bug},
        PLANTED_BUGS(BUG)
#undef BUG
    };
    return cmocka_run_group_tests_name("planted bugs", tests, NULL, NULL);
}
