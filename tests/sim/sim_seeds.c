/* Thousands of seeds hold, and so does each that broke once. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#include <cmocka.h>

#include "tests/sim/jobs.h"

enum { BLOCKS = 14, BLOCK = 100, MOST_PAST = 500 };

/* In all of them, as in jobs_report. */
static uint64_t gone, terminated, orphans, accepted, refused, unsure, lost;

static void expect_no_failure(const struct jobs_plan *plan)
{
    struct jobs_report report;
    char more[64];
    jobs_run(plan, &report);
    for (uint64_t i = 0; i < report.failures && i < JOBS_FAILURES; i++)
        print_message("# seed %llu: %s\n#   replay: %s --seed %llu --trace%s\n",
                      (unsigned long long)report.failed[i].seed, report.failed[i].text, SIM_PROGRAM,
                      (unsigned long long)report.failed[i].seed,
                      jobs_options(&plan->run, more, sizeof(more)));
    gone += report.gone;
    terminated += report.three_phase.terminated;
    orphans += report.three_phase.orphans;
    accepted += report.three_phase.accepted;
    refused += report.three_phase.refused;
    unsure += report.three_phase.unsure;
    lost += report.three_phase.lost;
    assert_int_equal(report.runs, plan->count);
    assert_int_equal(report.failures, 0);
}

static void seeds_hold(void **state)
{
    struct jobs_plan plan = {.from = *(uint64_t *)*state, .count = BLOCK};
    expect_no_failure(&plan);
}

static void seeds_of_three_phases_hold(void **state)
{
    (void)state;
    struct run_options run = {.protocols = PROTOCOLS_THREE_PHASE, .workloads = WORKLOADS_TRANSFERS};
    struct jobs_plan plan = {.from = 1, .count = 2 * BLOCK, .run = run};
    expect_no_failure(&plan);
}

/* It is what three phases are for, and it has to be among what held. */
static void transactions_ended_that_only_databases_knew(void **state)
{
    (void)state;
    print_message("# %llu coordinators gone for good, %llu transactions decided by participants, "
                  "%llu orphans\n",
                  (unsigned long long)gone, (unsigned long long)terminated,
                  (unsigned long long)orphans);
    assert_true(gone >= 50 && terminated >= 100 && orphans >= 20);
}

/* Likewise: acceptances that were committed with, and all that may come of them. */
static void acceptances_were_carried_out_and_lost(void **state)
{
    (void)state;
    print_message("# %llu acceptances committed at once, %llu refused, %llu unknown; %llu rows "
                  "lost\n",
                  (unsigned long long)accepted, (unsigned long long)refused,
                  (unsigned long long)unsure, (unsigned long long)lost);
    assert_true(accepted >= 1000 && unsure >= 100 && lost >= 5);
}

static void seeds_that_broke_once_hold(void **state)
{
    (void)state;
    struct past_seed seeds[MOST_PAST];
    int count = jobs_past_seeds(SIM_SEEDS, seeds, MOST_PAST);
    assert_true(count >= 0);
    for (int i = 0; i < count; i++)
        expect_no_failure(&(struct jobs_plan){.from = seeds[i].seed,
                                              .count = 1,
                                              .jobs = 1,
                                              .run = {.protocols = seeds[i].protocols,
                                                      .workloads = seeds[i].workloads,
                                                      .operators = seeds[i].operators}});
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    static uint64_t from[BLOCKS];
    static char names[BLOCKS][64];
    static struct CMUnitTest tests[BLOCKS + 4];
    for (int i = 0; i < BLOCKS; i++) {
        from[i] = 1 + (uint64_t)i * BLOCK;
        snprintf(names[i], sizeof(names[i]), "seeds %d to %d hold", 1 + i * BLOCK, (i + 1) * BLOCK);
        tests[i] = (struct CMUnitTest){
            .name = names[i], .test_func = seeds_hold, .initial_state = &from[i]};
    }
    tests[BLOCKS] = (struct CMUnitTest)cmocka_unit_test(seeds_of_three_phases_hold);
    tests[BLOCKS + 1] =
        (struct CMUnitTest)cmocka_unit_test(transactions_ended_that_only_databases_knew);
    tests[BLOCKS + 2] = (struct CMUnitTest)cmocka_unit_test(acceptances_were_carried_out_and_lost);
    tests[BLOCKS + 3] = (struct CMUnitTest)cmocka_unit_test(seeds_that_broke_once_hold);
    return cmocka_run_group_tests_name("seeds", tests, NULL, NULL);
}
