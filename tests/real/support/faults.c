#include "tests/real/support/faults.h"

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <time.h>

#include "tests/real/support/cluster.h"
#include "tests/real/support/wait.h"

/* Those that only sagas pass come last. */
static const char *const coordinator_points[] = {
    "coordinator.submitted",
    "coordinator.voted",
    "coordinator.deciding",
    "coordinator.decided",
    "coordinator.told",
    "coordinator.acked",
    "coordinator.ended",
    "coordinator.aborting",
    "coordinator.settled",
    "journal.written",
    "journal.synced",
    "coordinator.proposed",
    "coordinator.asked",
    "coordinator.granted",
    "coordinator.promised",
    "coordinator.terminating",
    "coordinator.saga-begun",
    "coordinator.saga-sent",
    "coordinator.saga-answered",
    "coordinator.saga-recorded",
    "coordinator.saga-failed",
    "coordinator.saga-undone",
    "coordinator.saga-ended",
};
static const char *const participant_points[] = {
    "participant.prepare-received",
    "participant.working",
    "participant.prepared",
    "participant.voted",
    "participant.commit-received",
    "participant.committed",
    "participant.acked",
    "participant.settled",
    "participant.asked",
    "participant.stored",
    "participant.terminating",
    "participant.terminated",
    "participant.execute",
    "participant.executed",
    "participant.cancelled",
};

enum {
    OF_COORDINATOR = sizeof(coordinator_points) / sizeof(coordinator_points[0]),
    OF_PARTICIPANT = sizeof(participant_points) / sizeof(participant_points[0]),
    SAGAS_OF_COORDINATOR = 7,
    SAGAS_OF_PARTICIPANT = 3,
};

unsigned faults_draw(struct faults *faults, unsigned below)
{
    return (unsigned)rand_r(&faults->seed) / 7 % below;
}

static unsigned read_setting(const char *name, unsigned fallback)
{
    const char *text = getenv(name);
    return text && *text ? (unsigned)strtoul(text, NULL, 10) : fallback;
}

void faults_begin(struct faults *faults, struct shop *shop, unsigned seconds)
{
    *faults = (struct faults){.shop = shop};
    faults->seed = faults->first_seed =
        read_setting("TROTH_CHAOS_SEED", (unsigned)time(NULL) % 1000000);
    faults->end_ms = wait_now_ms() + 1000 * (uint64_t)read_setting("TROTH_CHAOS_SECONDS", seconds);
    shop_remark("TROTH_CHAOS_SEED=%u", faults->first_seed);
}

bool faults_are_over(const struct faults *faults)
{
    return wait_now_ms() >= faults->end_ms;
}

const char *faults_format(const struct faults *faults, char *out, size_t room)
{
    snprintf(out, room, "%d kills, %d crash points, %d pauses, %d databases killed", faults->kills,
             faults->points, faults->pauses, faults->databases);
    return out;
}

/* ---- faults -------------------------------------------------------------------------------- */

static void expect_killed(int status)
{
    if (!WIFSIGNALED(status) || WTERMSIG(status) != SIGKILL)
        fail_msg("a process ended otherwise than by kill -9: wait status 0x%x", (unsigned)status);
}

/* Kills it, unless it died at its crash point. */
static void put_down(struct faults *faults, enum process process)
{
    struct shop *shop = faults->shop;
    if (shop->processes[process].pid == 0)
        return;
    if (shop_ended(shop, process))
        expect_killed(shop_wait_end(shop, process));
    else
        shop_kill(shop, process);
    faults->paused[process] = false;
}

static void start_to_die(struct faults *faults, enum process process)
{
    unsigned of_coordinator = OF_COORDINATOR - (faults->shop->sagas ? 0 : SAGAS_OF_COORDINATOR);
    unsigned of_participant = OF_PARTICIPANT - (faults->shop->sagas ? 0 : SAGAS_OF_PARTICIPANT);
    char crash[64];
    const char *point = process == COORDINATOR
                            ? coordinator_points[faults_draw(faults, of_coordinator)]
                            : participant_points[faults_draw(faults, of_participant)];
    snprintf(crash, sizeof(crash), "%s:%u", point, 1 + faults_draw(faults, 20));
    shop_start(faults->shop, process, crash);
    faults->points++;
}

static void strike_process(struct faults *faults, enum process process)
{
    put_down(faults, process);
    faults->kills++;
    unsigned how = faults_draw(faults, 4);
    if (how == 0)
        return; /* away until the next step */
    if (how == 1)
        start_to_die(faults, process);
    else
        shop_start(faults->shop, process, NULL);
}

static void strike_database(struct faults *faults, enum process participant)
{
    if (faults->database_away[participant])
        return;
    cluster_call("cluster_kill", process_names[participant]);
    faults->databases++;
    if (faults_draw(faults, 3) == 0)
        faults->database_away[participant] = true;
    else
        cluster_call("cluster_start", process_names[participant]);
}

static void pause_process(struct faults *faults, enum process process)
{
    struct shop *shop = faults->shop;
    if (shop->processes[process].pid == 0 || shop_ended(shop, process))
        return;
    shop_signal(shop, process, SIGSTOP);
    faults->paused[process] = true;
    faults->pauses++;
}

void faults_strike(struct faults *faults)
{
    unsigned what = faults_draw(faults, 10);
    if (what < 6)
        strike_process(faults, (enum process)faults_draw(faults, PROCESSES));
    else if (what < 8)
        strike_database(faults, (enum process)(ORDERS + faults_draw(faults, PROCESSES - ORDERS)));
    else
        pause_process(faults, (enum process)faults_draw(faults, PROCESSES));
}

void faults_heal(struct faults *faults)
{
    struct shop *shop = faults->shop;
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (faults->database_away[p])
            cluster_call("cluster_start", process_names[p]);
        faults->database_away[p] = false;
        if (shop->processes[p].pid && shop_ended(shop, p))
            expect_killed(shop_wait_end(shop, p));
        if (shop->processes[p].pid == 0)
            shop_start(shop, p, NULL);
        else if (faults->paused[p])
            shop_signal(shop, p, SIGCONT);
        faults->paused[p] = false;
    }
}

void faults_end(struct faults *faults)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (faults->shop->processes[p].doomed)
            put_down(faults, p);
    }
    faults_heal(faults);
}
