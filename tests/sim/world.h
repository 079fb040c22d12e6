/* One simulated world: virtual time, the events to come in a fixed order, chance from one seed, the
 * trace, and the first thing that went wrong. Everything in it happens in one thread. */
#ifndef TROTH_TESTS_SIM_WORLD_H
#define TROTH_TESTS_SIM_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sim/rng.h"

enum {
    MAX_COORDINATORS = 2,
    MAX_PARTICIPANTS = 5,
    MAX_CLIENTS = 3,
    MAX_OPERATORS = 3,
    /* A participant may have a second process for a while. */
    MAX_NODES = MAX_COORDINATORS + 2 * MAX_PARTICIPANTS + MAX_CLIENTS + MAX_OPERATORS + 1,
};

#define SECOND_US      UINT64_C(1000000)
#define MILLISECOND_US UINT64_C(1000)

/* What can go wrong on its own, as chances in ppm, and how slow things are. heal() clears it. */
struct weather {
    uint32_t frame_lost, frame_doubled, frame_reordered, frame_stalled, frame_refused;
    uint32_t work_lost, work_error, finish_unknown, ask_error, late_effect;
    uint32_t accept_torn; /* after the row of an acceptance, before its commit */
    uint32_t disk_slow;
    uint64_t frame_max_us, work_max_us, disk_max_us;
};

struct node;
struct network;
struct disk;
struct database;
struct workload;
struct registers;
struct saga_book;
struct saga_clients;
struct journeys;
struct order_book;
struct desk;
struct event;

/* Which protocols the transfers of a world ask for. */
enum protocols { PROTOCOLS_ANY, PROTOCOLS_TWO_PHASE, PROTOCOLS_THREE_PHASE, PROTOCOLS_BOTH };

/* What the clients of a world ask for. */
enum workloads {
    WORKLOADS_ANY,
    WORKLOADS_TRANSFERS,
    WORKLOADS_SAGAS,
    WORKLOADS_MIXED, /* transfers and sagas */
    WORKLOADS_STEPS, /* transfers, most of them built step by step */
};

struct world {
    uint64_t seed;
    struct rng rng;
    uint64_t now_us;
    uint64_t hash; /* of everything that happened, in order */
    bool tracing, safety_only;
    bool healed; /* no new faults; everybody is up */
    enum protocols protocols;
    enum workloads workloads;
    int operator_count;
    struct weather weather;

    struct event *heap;
    size_t event_count, event_room;
    uint64_t event_sequence, events_run;

    struct node *coordinators[MAX_COORDINATORS];
    struct node *agents[MAX_PARTICIPANTS];
    struct node *rivals[MAX_PARTICIPANTS];
    struct node *clients[MAX_CLIENTS];
    struct node *looker; /* NULL where participants have no doors */
    struct node *operators[MAX_OPERATORS];
    struct disk *disks[MAX_COORDINATORS];
    struct database *databases[MAX_PARTICIPANTS];
    int coordinator_count, participant_count, client_count;
    struct network *network;
    struct workload *workload;
    struct registers *registers;
    struct saga_book *book;
    struct saga_clients *saga_clients;
    struct journeys *journeys;
    struct order_book *orders;
    struct desk *desk; /* what operators have to do */

    bool broken; /* a violation was found; the run stops */
    char violation[1024];
};

/* `data` is on the heap and is freed by the world after the event, whether it ran or not. */
typedef void event_function(struct world *world, void *subject, uint64_t number, void *data);

void world_init(struct world *world, uint64_t seed, bool tracing);
void world_fini(struct world *world);

/* An event of the world itself. */
void world_after(struct world *world, uint64_t delay_us, event_function *run, void *subject,
                 uint64_t number, void *data);
/* An event of a node: it waits while the node is paused, is dropped when the node is down or, with
 * boot not 0, when its process is not that one any more; afterwards the node's turn ends. */
void world_deliver(struct world *world, uint64_t delay_us, struct node *node, uint64_t boot,
                   event_function *run, void *subject, uint64_t number, void *data);
/* Runs events until the time is reached or something broke. */
void world_run(struct world *world, uint64_t until_us);

/* Everything that happens goes through here: into the hash, and as a line into the trace. */
void world_note(struct world *world, uint64_t value, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
/* Data is wrong, or a client was told what is not so. The first one counts and stops the run. */
void world_violation(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* The same for what is only slow, stuck or badly said; nothing in a run that looks for safety. */
void world_complaint(struct world *world, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

uint64_t world_between(struct world *world, uint64_t low, uint64_t high);
bool world_chance(struct world *world, uint32_t ppm);
/* 1 ... max, mostly small: the shape of latencies. */
uint64_t world_latency(struct world *world, uint64_t max_us);

#endif
