/* Many seeds over several processes. A run that ends its process (a broken invariant, a sanitizer)
 * is a failure of the seed that it was at, not the end of the others. */
#ifndef TROTH_TESTS_SIM_JOBS_H
#define TROTH_TESTS_SIM_JOBS_H

#include <stdbool.h>
#include <stdint.h>

#include "core/planted.h"
#include "tests/sim/simulate.h"

struct jobs_plan {
    uint64_t from, count;
    int jobs; /* processes; 0: as many as there are processors */
    bool stop_at_first;
    struct run_options run;
    enum planted_bug planted;
};

enum { JOBS_FAILURES = 16 };

struct jobs_report {
    uint64_t runs, failures;
    struct {
        uint64_t seed;
        char text[1024];
    } failed[JOBS_FAILURES]; /* the first ones found */
    uint64_t events, virtual_us, transfers, committed, aborted, rejected, unknown, hazards, lost,
        restarts, gone;
    struct {
        uint64_t begun, proposed, committed, aborted, terminated, alone, orphans, accepted, refused,
            unsure, lost; /* as in registers.h */
    } three_phase;
    struct {
        uint64_t begun, completed, compensated, marks, undone, told, rejected;
    } sagas; /* as in saga_clients.h */
    struct {
        uint64_t given, dry, refused, aborted, waited, forced, forgotten, nothing, lost, branches,
            torn;
    } orders; /* as in order_book.h */
    struct {
        uint64_t begun, joined, lies, ends, strays, lost;
    } journeys; /* as in journeys.h */
};

void jobs_run(const struct jobs_plan *plan, struct jobs_report *report);

/* A seed that broke once, and in which worlds. */
struct past_seed {
    uint64_t seed;
    enum protocols protocols;
    enum workloads workloads;
    int operators; /* as in struct run_options */
};

/* Each line of the file is a number, the options that were given, and why. Returns how many, at
 * most `room`; -1: the file can't be read. */
int jobs_past_seeds(const char *path, struct past_seed *seeds, int room);
/* The words of the options, by value; NULL: the seed says. */
extern const char *const jobs_protocols[], *const jobs_workloads[];
/* " --protocol 3pc --workload sagas": what makes these runs again, besides the seed. Returns out.
 */
const char *jobs_options(const struct run_options *run, char *out, size_t room);
const char *jobs_planted_name(enum planted_bug bug);

#endif
