/* sim: runs seeds, says what broke, and shows a run line by line. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "tests/sim/jobs.h"
#include "tests/sim/saga_pool.h"

static const char help[] =
    "Usage: sim [--seeds N] [--from S] [--jobs J] [--protocol P] [--workload W]\n"
    "           [--operators N] [--planted NAME|all] [--safety]\n"
    "       sim --seed S [--trace] [--protocol P] [--workload W] [--operators N]\n"
    "           [--planted NAME]\n"
    "       sim --definitions\n"
    "\n"
    "Runs a whole cluster in one thread on virtual time, once a seed, with faults, and checks "
    "what\n"
    "must hold. The same seed is the same run.\n"
    "\n"
    "  --seeds N         how many seeds (1000)\n"
    "  --from S          the first one (1)\n"
    "  --jobs J          processes (one a processor)\n"
    "  --seed S          this one alone\n"
    "  --trace           with --seed: every event is a line on stdout\n"
    "  --protocol P      the transactions of every world: 2pc, 3pc, or both mixed; without it "
    "each\n"
    "                    seed draws one of these\n"
    "  --workload W      transfers, sagas, or both mixed; steps: most transfers are built step by\n"
    "                    step; without it each seed draws one of these\n"
    "  --operators N     so many people give orders, in worlds of transfers; 0: nobody; without "
    "it\n"
    "                    each seed without sagas says\n"
    "  --planted NAME    with this protocol bug planted: it should be found; all: each in turn\n"
    "  --safety          only wrong data and wrong answers count, not what is late or stuck\n"
    "  --definitions     checks the definitions of sagas and prints them\n";

struct options {
    struct jobs_plan plan;
    bool one, all_planted;
};

static bool planted_by_name(const char *name, enum planted_bug *bug)
{
    for (int i = 0; i < PLANTED_COUNT; i++)
        if (strcmp(name, jobs_planted_name((enum planted_bug)i)) == 0) {
            *bug = (enum planted_bug)i;
            return true;
        }
    fprintf(stderr, "sim: there is no planted bug %s\n  hint: core/planted.h lists them\n", name);
    return false;
}

static bool workloads_by_name(const char *name, enum workloads *workloads)
{
    for (int i = WORKLOADS_TRANSFERS; i <= WORKLOADS_STEPS; i++)
        if (strcmp(name, jobs_workloads[i]) == 0) {
            *workloads = (enum workloads)i;
            return true;
        }
    fprintf(stderr, "sim: %s is no workload\n  hint: transfers, sagas, mixed or steps\n", name);
    return false;
}

static bool protocols_by_name(const char *name, enum protocols *protocols)
{
    for (int i = PROTOCOLS_TWO_PHASE; i <= PROTOCOLS_BOTH; i++)
        if (strcmp(name, jobs_protocols[i]) == 0) {
            *protocols = (enum protocols)i;
            return true;
        }
    fprintf(stderr, "sim: %s is no protocol\n  hint: 2pc, 3pc or mixed\n", name);
    return false;
}

static void print_definitions(void)
{
    saga_pool_prepare();
    for (int family = 0; family < POOL_FAMILIES; family++)
        for (int version = 1; version <= POOL_VERSIONS; version++)
            printf("%s%s", family + version > 1 ? "---\n" : "",
                   saga_pool_get(family, version)->text);
}

static bool read_options(int count, char **words, struct options *options)
{
    static const struct option known[] = {
        {"seeds", required_argument, NULL, 'n'},
        {"from", required_argument, NULL, 'f'},
        {"jobs", required_argument, NULL, 'j'},
        {"seed", required_argument, NULL, 's'},
        {"trace", no_argument, NULL, 't'},
        {"planted", required_argument, NULL, 'p'},
        {"protocol", required_argument, NULL, 'c'},
        {"safety", no_argument, NULL, 'y'},
        {"help", no_argument, NULL, 'h'},
        {"definitions", no_argument, NULL, 'd'},
        {"workload", required_argument, NULL, 'w'},
        {"operators", required_argument, NULL, 'o'},
        {0},
    };
    options->plan = (struct jobs_plan){.from = 1, .count = 1000};
    for (int option; (option = getopt_long(count, words, "h", known, NULL)) != -1;) {
        uint64_t number = optarg ? strtoull(optarg, NULL, 10) : 0;
        switch (option) {
        case 'n':
            options->plan.count = number;
            break;
        case 'f':
            options->plan.from = number;
            break;
        case 'j':
            options->plan.jobs = (int)number;
            break;
        case 's':
            options->plan.from = number;
            options->one = true;
            break;
        case 't':
            options->plan.run.tracing = true;
            break;
        case 'p':
            options->all_planted = strcmp(optarg, "all") == 0;
            if (!options->all_planted && !planted_by_name(optarg, &options->plan.planted))
                return false;
            break;
        case 'c':
            if (!protocols_by_name(optarg, &options->plan.run.protocols))
                return false;
            break;
        case 'w':
            if (!workloads_by_name(optarg, &options->plan.run.workloads))
                return false;
            break;
        case 'o':
            if (number > MAX_OPERATORS) {
                fprintf(stderr, "sim: there is room for %d operators\n", MAX_OPERATORS);
                return false;
            }
            options->plan.run.operators = number ? (int)number : -1;
            break;
        case 'y':
            options->plan.run.safety_only = true;
            break;
        case 'd':
            print_definitions();
            exit(0);
        case 'h':
            fputs(help, stdout);
            exit(0);
        default:
            fputs(help, stderr);
            return false;
        }
    }
    return true;
}

static int run_one(const struct options *options)
{
    struct verdict verdict;
    planted_bug = options->plan.planted;
    simulate(options->plan.from, &options->plan.run, &verdict);
    printf("seed %" PRIu64 ": %s\n", options->plan.from,
           verdict.broken ? verdict.violation : "holds");
    printf("%" PRIu64 " events, %.1f s of virtual time, %d transfers: %d answers committed, %d "
           "aborted, %d rejected, %d unknown, %d hazards, %d lost; %d restarts; hash %016" PRIx64
           "\n",
           verdict.events, (double)verdict.virtual_us / 1e6, verdict.transfers, verdict.committed,
           verdict.aborted, verdict.rejected, verdict.unknown, verdict.hazards, verdict.lost,
           verdict.restarts, verdict.hash);
    const struct registers_count *three = &verdict.three_phase;
    if (three->begun)
        printf(
            "%d three-phase transactions: %d proposed, %d decided commit, %d decided abort; %d of "
            "these by a participant; %d ended somewhere while their coordinator was away, %d of "
            "these orphans; %d coordinators gone for good\n",
            three->begun, three->proposed, three->committed, three->aborted, three->terminated,
            three->alone, three->orphans, verdict.gone);
    if (three->begun)
        printf("%d acceptances committed at once, %d refused, %d unknown; %d rows lost\n",
               three->accepted, three->refused, three->unsure, three->lost);
    const struct saga_count *sagas = &verdict.sagas;
    if (sagas->begun)
        printf("%d sagas: %d completed, %d compensated; %d steps done, %d undone; %d answers, %d "
               "refused\n",
               sagas->begun, sagas->completed, sagas->compensated, sagas->marks, sagas->undone,
               sagas->told, sagas->rejected);
    const struct order_count *orders = &verdict.orders;
    if (orders->given)
        printf("%d orders: %d refused, %d dry runs, %d to abort, %d to wait, %d to force, %d to "
               "forget, %d to do nothing, %d without an answer; %d branches forced, %d "
               "transactions torn\n",
               orders->given, orders->refused, orders->dry, orders->aborted, orders->waited,
               orders->forced, orders->forgotten, orders->nothing, orders->lost, orders->branches,
               orders->torn);
    const struct journey_count *journeys = &verdict.journeys;
    if (journeys->begun)
        printf("%d transactions step by step: %d branches joined, %d lies, %d ends, %d strays, %d "
               "requests without an answer\n",
               journeys->begun, journeys->joined, journeys->lies, journeys->ends, journeys->strays,
               journeys->lost);
    return verdict.broken;
}

static double seconds_now(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (double)now.tv_sec + (double)now.tv_nsec / 1e9;
}

static int run_many(const struct options *options, const char *program)
{
    struct jobs_report report;
    double begun = seconds_now();
    jobs_run(&options->plan, &report);
    double took = seconds_now() - begun;
    char more[64];
    for (uint64_t i = 0; i < report.failures && i < JOBS_FAILURES; i++)
        printf("seed %" PRIu64 ": %s\n  replay: %s --seed %" PRIu64 " --trace%s\n",
               report.failed[i].seed, report.failed[i].text, program, report.failed[i].seed,
               jobs_options(&options->plan.run, more, sizeof(more)));
    printf("%" PRIu64 " seeds, %" PRIu64
           " failures; %.1f s (%.1f seeds/s), %.0f s of virtual time, "
           "%" PRIu64 " events\n",
           report.runs, report.failures, took, (double)report.runs / took,
           (double)report.virtual_us / 1e6, report.events);
    printf("%" PRIu64 " transfers: %" PRIu64 " answers committed, %" PRIu64 " aborted, %" PRIu64
           " rejected, %" PRIu64 " unknown, %" PRIu64 " hazards, %" PRIu64 " lost; %" PRIu64
           " restarts\n",
           report.transfers, report.committed, report.aborted, report.rejected, report.unknown,
           report.hazards, report.lost, report.restarts);
    printf("%" PRIu64 " three-phase transactions: %" PRIu64 " proposed, %" PRIu64
           " decided commit, %" PRIu64 " decided abort; %" PRIu64
           " of these by a participant; %" PRIu64
           " ended somewhere while their coordinator was away, %" PRIu64
           " of these orphans; %" PRIu64 " coordinators gone for good\n",
           report.three_phase.begun, report.three_phase.proposed, report.three_phase.committed,
           report.three_phase.aborted, report.three_phase.terminated, report.three_phase.alone,
           report.three_phase.orphans, report.gone);
    printf("%" PRIu64 " acceptances committed at once, %" PRIu64 " refused, %" PRIu64
           " unknown; %" PRIu64 " rows lost\n",
           report.three_phase.accepted, report.three_phase.refused, report.three_phase.unsure,
           report.three_phase.lost);
    printf("%" PRIu64 " sagas: %" PRIu64 " completed, %" PRIu64 " compensated; %" PRIu64
           " steps done, %" PRIu64 " undone; %" PRIu64 " answers, %" PRIu64 " refused\n",
           report.sagas.begun, report.sagas.completed, report.sagas.compensated, report.sagas.marks,
           report.sagas.undone, report.sagas.told, report.sagas.rejected);
    printf("%" PRIu64 " orders of operators: %" PRIu64 " refused, %" PRIu64 " dry runs, %" PRIu64
           " to abort, %" PRIu64 " to wait, %" PRIu64 " to force, %" PRIu64 " to forget, %" PRIu64
           " to do nothing, %" PRIu64 " without an answer; %" PRIu64 " branches forced, %" PRIu64
           " transactions torn\n",
           report.orders.given, report.orders.refused, report.orders.dry, report.orders.aborted,
           report.orders.waited, report.orders.forced, report.orders.forgotten,
           report.orders.nothing, report.orders.lost, report.orders.branches, report.orders.torn);
    printf("%" PRIu64 " transactions step by step: %" PRIu64 " branches joined, %" PRIu64
           " lies, %" PRIu64 " ends, %" PRIu64 " strays, %" PRIu64 " requests without an answer\n",
           report.journeys.begun, report.journeys.joined, report.journeys.lies,
           report.journeys.ends, report.journeys.strays, report.journeys.lost);
    return report.failures > 0;
}

static int run_planted(const struct options *options)
{
    int missed = 0;
    for (int bug = 1; bug < PLANTED_COUNT; bug++) {
        struct jobs_plan plan = options->plan;
        struct jobs_report report;
        plan.planted = (enum planted_bug)bug;
        plan.stop_at_first = true;
        if (bug >= PLANTED_FIRST_OF_OPEN && plan.run.workloads == WORKLOADS_ANY)
            plan.run.workloads = WORKLOADS_STEPS;
        jobs_run(&plan, &report);
        if (report.failures)
            printf("%-29s caught after %4" PRIu64 " seeds, at %" PRIu64 ": %s\n",
                   jobs_planted_name(plan.planted), report.runs, report.failed[0].seed,
                   report.failed[0].text);
        else
            printf("%-29s NOT CAUGHT in %" PRIu64 " seeds\n", jobs_planted_name(plan.planted),
                   report.runs);
        fflush(stdout);
        missed += report.failures == 0;
    }
    return missed > 0;
}

int main(int count, char **words)
{
    struct options options = {0};
    if (!read_options(count, words, &options))
        return 2;
    if (options.one)
        return run_one(&options);
    return options.all_planted ? run_planted(&options) : run_many(&options, words[0]);
}
