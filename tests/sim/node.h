/* A process of the simulated cluster: it is up or down, may be paused, dies between any two of its
 * effects on the outside, and comes back as a new process (another boot). */
#ifndef TROTH_TESTS_SIM_NODE_H
#define TROTH_TESTS_SIM_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include "core/ports.h"
#include "tests/sim/world.h"

/* What a kind of process does. */
struct node_class {
    void (*start)(struct node *node); /* makes node->process */
    void (*stop)(struct node *node);  /* frees it, as a crash does: no effect on the outside */
    uint64_t (*settle)(struct node *node);
    bool (*over)(struct node *node); /* it wants to end by itself; may be NULL */
    void (*gone)(struct node *node); /* what the world sees of its death */
};

struct node {
    struct world *world;
    const struct node_class *class;
    char name[32];
    int index;     /* among its kind */
    void *process; /* struct server, agent or client; NULL while down */
    struct host_port host;

    uint64_t boot; /* 1, 2, ...; the number of the running or last process */
    uint64_t resumes_us;
    uint64_t wakes_us;      /* the earliest wake-up that is on its way; UINT64_MAX: none */
    uint64_t clock_base_us; /* monotonic clocks of two processes have nothing in common */
    int64_t wall_skew_us, wall_peak_us; /* peak: the furthest ahead that it was */
    int64_t effects_left;      /* dies instead of the next effect when 0; negative: lives on */
    int64_t crash_points_left; /* likewise for the named crash points */
    const char *crash_point;   /* only passings of this one count; NULL: of all */
    int64_t effects_after;     /* it dies so many effects later than at that point */
    bool skip_settled;         /* the points that every turn passes do not count */
    uint64_t absence_us;       /* for how long it is away when it dies next; 0: by chance */
    bool dying;                /* the rest of this turn has no effect on the outside */
    bool draining;             /* was told to end by itself */
    bool once;                 /* nobody starts it again */
};

void node_init(struct node *node, struct world *world, const struct node_class *class,
               const char *name, int index);
void node_fini(struct node *node);

void node_start(struct node *node);
/* Now, between two turns. It comes back after restart_us. */
void node_crash(struct node *node, uint64_t restart_us);
/* If it is away it comes back by then. */
void node_return(struct node *node, uint64_t delay_us);
/* At the n-th named crash point from now; of all, or of those that not every turn passes. */
void node_crash_at_point(struct node *node, int64_t passings, bool all);
/* At the n-th passing of this one, or so many effects later. */
void node_crash_at(struct node *node, const char *point, int64_t passings, int64_t effects);
/* No crash is to come any more. */
void node_spare(struct node *node);
void node_pause(struct node *node, uint64_t length_us);

bool node_up(const struct node *node);
bool node_paused(const struct node *node);
uint64_t node_resumes_us(const struct node *node);
uint64_t node_boot(const struct node *node);

void node_turn_begin(struct node *node);
/* Settles, schedules the wake-up, and lets a dying process die. */
void node_turn_end(struct node *node);

/* Each port call asks this first. False: the process is dead already, nothing may happen. */
bool node_effect(struct node *node);

#endif
