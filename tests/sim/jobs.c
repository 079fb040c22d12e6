#include "tests/sim/jobs.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/sim/saga_pool.h"

enum { MOST_JOBS = 64 };

/* What a process shares with its parent. */
struct slot {
    pid_t pid;
    FILE *words; /* its stderr: the reason when it ends by itself */
    uint64_t next, last_plus_one, step;
    bool running; /* at seed `next`, not between two */
    struct jobs_report report;
};

static void add_failure(struct jobs_report *report, uint64_t seed, const char *text)
{
    if (report->failures < JOBS_FAILURES) {
        report->failed[report->failures].seed = seed;
        snprintf(report->failed[report->failures].text, sizeof(report->failed[0].text), "%s", text);
    }
    report->failures++;
}

static void add_verdict(struct jobs_report *report, const struct verdict *verdict)
{
    report->runs++;
    report->events += verdict->events;
    report->virtual_us += verdict->virtual_us;
    report->transfers += (uint64_t)verdict->transfers;
    report->committed += (uint64_t)verdict->committed;
    report->aborted += (uint64_t)verdict->aborted;
    report->rejected += (uint64_t)verdict->rejected;
    report->unknown += (uint64_t)verdict->unknown;
    report->hazards += (uint64_t)verdict->hazards;
    report->lost += (uint64_t)verdict->lost;
    report->restarts += (uint64_t)verdict->restarts;
    report->gone += (uint64_t)verdict->gone;
    report->three_phase.begun += (uint64_t)verdict->three_phase.begun;
    report->three_phase.proposed += (uint64_t)verdict->three_phase.proposed;
    report->three_phase.committed += (uint64_t)verdict->three_phase.committed;
    report->three_phase.aborted += (uint64_t)verdict->three_phase.aborted;
    report->three_phase.terminated += (uint64_t)verdict->three_phase.terminated;
    report->three_phase.alone += (uint64_t)verdict->three_phase.alone;
    report->three_phase.orphans += (uint64_t)verdict->three_phase.orphans;
    report->three_phase.accepted += (uint64_t)verdict->three_phase.accepted;
    report->three_phase.refused += (uint64_t)verdict->three_phase.refused;
    report->three_phase.unsure += (uint64_t)verdict->three_phase.unsure;
    report->three_phase.lost += (uint64_t)verdict->three_phase.lost;
    report->sagas.begun += (uint64_t)verdict->sagas.begun;
    report->sagas.completed += (uint64_t)verdict->sagas.completed;
    report->sagas.compensated += (uint64_t)verdict->sagas.compensated;
    report->sagas.marks += (uint64_t)verdict->sagas.marks;
    report->sagas.undone += (uint64_t)verdict->sagas.undone;
    report->sagas.told += (uint64_t)verdict->sagas.told;
    report->sagas.rejected += (uint64_t)verdict->sagas.rejected;
    report->orders.given += (uint64_t)verdict->orders.given;
    report->orders.dry += (uint64_t)verdict->orders.dry;
    report->orders.refused += (uint64_t)verdict->orders.refused;
    report->orders.aborted += (uint64_t)verdict->orders.aborted;
    report->orders.waited += (uint64_t)verdict->orders.waited;
    report->orders.forced += (uint64_t)verdict->orders.forced;
    report->orders.forgotten += (uint64_t)verdict->orders.forgotten;
    report->orders.nothing += (uint64_t)verdict->orders.nothing;
    report->orders.lost += (uint64_t)verdict->orders.lost;
    report->orders.branches += (uint64_t)verdict->orders.branches;
    report->orders.torn += (uint64_t)verdict->orders.torn;
    report->journeys.begun += (uint64_t)verdict->journeys.begun;
    report->journeys.joined += (uint64_t)verdict->journeys.joined;
    report->journeys.lies += (uint64_t)verdict->journeys.lies;
    report->journeys.ends += (uint64_t)verdict->journeys.ends;
    report->journeys.strays += (uint64_t)verdict->journeys.strays;
    report->journeys.lost += (uint64_t)verdict->journeys.lost;
}

static _Noreturn void work(const struct jobs_plan *plan, struct slot *slot)
{
    dup2(fileno(slot->words), STDERR_FILENO);
    planted_bug = plan->planted;
    for (; slot->next < slot->last_plus_one; slot->next += slot->step) {
        struct verdict verdict;
        slot->running = true;
        simulate(slot->next, &plan->run, &verdict);
        slot->running = false;
        add_verdict(&slot->report, &verdict);
        if (verdict.broken) {
            add_failure(&slot->report, slot->next, verdict.violation);
            if (plan->stop_at_first)
                _exit(0);
        }
    }
    _exit(0);
}

static void spawn(const struct jobs_plan *plan, struct slot *slot)
{
    fflush(NULL);
    pid_t pid = fork();
    CHECK(pid >= 0);
    if (pid == 0)
        work(plan, slot);
    slot->pid = pid; /* the child shares the slot and must not write its 0 here */
}

/* The line of its last words that says what broke. */
static void last_words(struct slot *slot, char *text, int size)
{
    char line[512];
    snprintf(text, (size_t)size, "the process ended without a word");
    rewind(slot->words);
    while (fgets(line, sizeof(line), slot->words))
        if (strstr(line, "broken invariant") || strstr(line, "ERROR: ") ||
            strstr(line, "runtime error")) {
            line[strcspn(line, "\n")] = 0;
            snprintf(text, (size_t)size, "%s", line);
            break;
        }
    rewind(slot->words);
    CHECK(ftruncate(fileno(slot->words), 0) == 0);
}

/* True when it was started again, at the seed after the one that ended it. */
static bool reap(const struct jobs_plan *plan, struct slot *slot)
{
    if (!slot->running)
        return false;
    char text[1024];
    last_words(slot, text, sizeof(text));
    slot->report.runs++;
    add_failure(&slot->report, slot->next, text);
    slot->running = false;
    slot->next += slot->step;
    if (plan->stop_at_first || slot->next >= slot->last_plus_one)
        return false;
    spawn(plan, slot);
    return true;
}

static void wait_for_all(const struct jobs_plan *plan, struct slot *slots, int jobs)
{
    for (int left = jobs; left > 0;) {
        int status;
        pid_t pid = wait(&status);
        CHECK(pid > 0);
        for (int i = 0; i < jobs; i++) {
            if (slots[i].pid != pid)
                continue;
            if (reap(plan, &slots[i]))
                break;
            slots[i].pid = 0;
            left--;
            /* The others may stop as well: their part is not needed any more. */
            for (int k = 0; plan->stop_at_first && slots[i].report.failures && k < jobs; k++)
                slots[k].last_plus_one = 0;
        }
    }
}

static void gather(struct jobs_report *report, const struct jobs_report *part)
{
    for (uint64_t i = 0; i < part->failures; i++)
        add_failure(report, i < JOBS_FAILURES ? part->failed[i].seed : 0,
                    i < JOBS_FAILURES ? part->failed[i].text : "");
    report->runs += part->runs;
    report->events += part->events;
    report->virtual_us += part->virtual_us;
    report->transfers += part->transfers;
    report->committed += part->committed;
    report->aborted += part->aborted;
    report->rejected += part->rejected;
    report->unknown += part->unknown;
    report->hazards += part->hazards;
    report->lost += part->lost;
    report->restarts += part->restarts;
    report->gone += part->gone;
    report->three_phase.begun += part->three_phase.begun;
    report->three_phase.proposed += part->three_phase.proposed;
    report->three_phase.committed += part->three_phase.committed;
    report->three_phase.aborted += part->three_phase.aborted;
    report->three_phase.terminated += part->three_phase.terminated;
    report->three_phase.alone += part->three_phase.alone;
    report->three_phase.orphans += part->three_phase.orphans;
    report->three_phase.accepted += part->three_phase.accepted;
    report->three_phase.refused += part->three_phase.refused;
    report->three_phase.unsure += part->three_phase.unsure;
    report->three_phase.lost += part->three_phase.lost;
    report->sagas.begun += part->sagas.begun;
    report->sagas.completed += part->sagas.completed;
    report->sagas.compensated += part->sagas.compensated;
    report->sagas.marks += part->sagas.marks;
    report->sagas.undone += part->sagas.undone;
    report->sagas.told += part->sagas.told;
    report->sagas.rejected += part->sagas.rejected;
    report->orders.given += part->orders.given;
    report->orders.dry += part->orders.dry;
    report->orders.refused += part->orders.refused;
    report->orders.aborted += part->orders.aborted;
    report->orders.waited += part->orders.waited;
    report->orders.forced += part->orders.forced;
    report->orders.forgotten += part->orders.forgotten;
    report->orders.nothing += part->orders.nothing;
    report->orders.lost += part->orders.lost;
    report->orders.branches += part->orders.branches;
    report->orders.torn += part->orders.torn;
    report->journeys.begun += part->journeys.begun;
    report->journeys.joined += part->journeys.joined;
    report->journeys.lies += part->journeys.lies;
    report->journeys.ends += part->journeys.ends;
    report->journeys.strays += part->journeys.strays;
    report->journeys.lost += part->journeys.lost;
}

void jobs_run(const struct jobs_plan *plan, struct jobs_report *report)
{
    int jobs = plan->jobs > 0 ? plan->jobs : (int)sysconf(_SC_NPROCESSORS_ONLN);
    if (jobs < 1 || jobs > MOST_JOBS)
        jobs = jobs < 1 ? 1 : MOST_JOBS;
    saga_pool_prepare();
    struct slot *slots = mmap(NULL, sizeof(*slots) * (size_t)jobs, PROT_READ | PROT_WRITE,
                              MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    CHECK(slots != MAP_FAILED);
    for (int i = 0; i < jobs; i++) {
        slots[i].next = plan->from + (uint64_t)i;
        slots[i].last_plus_one = plan->from + plan->count;
        slots[i].step = (uint64_t)jobs;
        slots[i].words = tmpfile();
        CHECK(slots[i].words != NULL);
        spawn(plan, &slots[i]);
    }
    wait_for_all(plan, slots, jobs);
    *report = (struct jobs_report){0};
    for (int i = 0; i < jobs; i++) {
        gather(report, &slots[i].report);
        fclose(slots[i].words);
    }
    munmap(slots, sizeof(*slots) * (size_t)jobs);
}

const char *const jobs_protocols[] = {[PROTOCOLS_ANY] = NULL,
                                      [PROTOCOLS_TWO_PHASE] = "2pc",
                                      [PROTOCOLS_THREE_PHASE] = "3pc",
                                      [PROTOCOLS_BOTH] = "mixed"};
const char *const jobs_workloads[] = {[WORKLOADS_ANY] = NULL,
                                      [WORKLOADS_TRANSFERS] = "transfers",
                                      [WORKLOADS_SAGAS] = "sagas",
                                      [WORKLOADS_MIXED] = "mixed",
                                      [WORKLOADS_STEPS] = "steps"};

const char *jobs_options(const struct run_options *run, char *out, size_t room)
{
    const char *protocols = jobs_protocols[run->protocols];
    const char *workloads = jobs_workloads[run->workloads];
    char operators[24] = "";
    if (run->operators)
        snprintf(operators, sizeof(operators), " --operators %d",
                 run->operators > 0 ? run->operators : 0);
    snprintf(out, room, "%s%s%s%s%s", protocols ? " --protocol " : "", protocols ? protocols : "",
             workloads ? " --workload " : "", workloads ? workloads : "", operators);
    return out;
}

/* "13004 transfers 3pc Why": the workload, or nothing, and behind it the protocol, or nothing. With
 * operators: "13004 2 operators 3pc Why". */
static struct past_seed read_past_seed(const char *line)
{
    struct past_seed past = {.operators = -1};
    char first[16] = "", second[16] = "";
    if (sscanf(line, "%" SCNu64 " %d operators %15s", &past.seed, &past.operators, second) >= 2)
        strcpy(first, "transfers");
    else
        sscanf(line, "%" SCNu64 " %15s %15s", &past.seed, first, second);
    for (int i = 1; i <= WORKLOADS_STEPS; i++)
        if (strcmp(first, jobs_workloads[i]) == 0)
            past.workloads = (enum workloads)i;
    for (int i = 1; i < PROTOCOLS_BOTH && past.workloads; i++)
        if (strcmp(second, jobs_protocols[i]) == 0)
            past.protocols = (enum protocols)i;
    return past;
}

int jobs_past_seeds(const char *path, struct past_seed *seeds, int room)
{
    FILE *file = fopen(path, "r");
    if (!file)
        return -1;
    int count = 0;
    char line[512];
    while (count < room && fgets(line, sizeof(line), file))
        if (line[0] >= '0' && line[0] <= '9')
            seeds[count++] = read_past_seed(line);
    fclose(file);
    return count;
}

const char *jobs_planted_name(enum planted_bug bug)
{
    static const char *const names[] = {"NONE",
#define BUG(name) #name,
                                        PLANTED_BUGS(BUG) PLANTED_SAGA_BUGS(BUG)
                                            PLANTED_OPERATOR_BUGS(BUG) PLANTED_OPEN_BUGS(BUG)
#undef BUG
    };
    return names[bug];
}
