/* Each protocol bug that can be planted is found within a bounded number of seeds: the simulator
 * can see what it claims to look for. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/sim/jobs.h"

/* The rare one is looked for near a seed that finds it: from 1 on that alone takes minutes. */
enum { MOST_SEEDS = 2000, FIRST_OF_RARE = 11201 };

/* It takes a second process of a participant, and a message that is late by seconds. */
static bool is_rare(enum planted_bug bug)
{
    return bug == PLANTED_SAGA_LATE_STEP_RUNS;
}

/* These leave something stuck or prepared for ever, and no data wrong. All others must be seen in
 * the data or in what a client was told. */
static bool only_hinders(enum planted_bug bug)
{
    return bug == PLANTED_NO_AND_STAY_PREPARED || bug == PLANTED_PREPARE_AFTER_ABORT ||
           bug == PLANTED_CHECKPOINT_DROPS_EPOCHS || bug == PLANTED_LIST_NOT_KEPT ||
           bug == PLANTED_SAGA_NO_RESUME || bug == PLANTED_OPEN_HAS_NO_DEADLINE;
}

/* Only three phases have one. */
static bool is_of_register(enum planted_bug bug)
{
    return bug >= PLANTED_ACCEPT_BELOW_PROMISE && bug <= PLANTED_LIST_OF_ANOTHER;
}

static enum workloads workloads_for(enum planted_bug bug)
{
    if (is_of_register(bug))
        return WORKLOADS_TRANSFERS;
    if (bug >= PLANTED_FIRST_OF_OPEN)
        return WORKLOADS_STEPS;
    return bug >= PLANTED_FIRST_OF_SAGAS ? WORKLOADS_SAGAS : WORKLOADS_ANY;
}

static void is_caught(void **state)
{
    enum planted_bug bug = *(enum planted_bug *)*state;
    bool of_open = bug >= PLANTED_FIRST_OF_OPEN;
    bool of_operators = bug >= PLANTED_FIRST_OF_OPERATORS && !of_open;
    struct jobs_plan plan = {
        .from = is_rare(bug) ? FIRST_OF_RARE : 1,
        .count = MOST_SEEDS,
        .stop_at_first = true,
        .run = {.safety_only = !only_hinders(bug),
                .operators = of_operators ? MAX_OPERATORS : 0,
                .protocols = is_of_register(bug) ? PROTOCOLS_THREE_PHASE : PROTOCOLS_ANY,
                .workloads = workloads_for(bug)},
        .planted = bug};
    struct jobs_report report;
    jobs_run(&plan, &report);
    assert_true(report.failures > 0);
    print_message("# at seed %llu: %s\n", (unsigned long long)report.failed[0].seed,
                  report.failed[0].text);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define BUG(name) static enum planted_bug name##_bug = PLANTED_##name;
    PLANTED_BUGS(BUG)
    PLANTED_SAGA_BUGS(BUG)
    PLANTED_OPERATOR_BUGS(BUG)
    PLANTED_OPEN_BUGS(BUG)
#undef BUG
    const struct CMUnitTest tests[] = {
#define BUG(bug) {#bug " is caught", is_caught, NULL, NULL, &bug##_bug},
        PLANTED_BUGS(BUG) PLANTED_SAGA_BUGS(BUG) PLANTED_OPERATOR_BUGS(BUG) PLANTED_OPEN_BUGS(BUG)
#undef BUG
    };
    return cmocka_run_group_tests_name("planted bugs", tests, NULL, NULL);
}
