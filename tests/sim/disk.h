/* The journal's model: what is appended becomes durable later and in order; a crash keeps what is
 * durable and some first part of the rest. */
#ifndef TROTH_TESTS_SIM_DISK_H
#define TROTH_TESTS_SIM_DISK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/ports.h"
#include "tests/sim/node.h"

typedef void disk_durable(struct node *node, uint64_t position);
typedef bool disk_replay(void *self, const void *record, size_t size);

struct disk *disk_new(struct world *world, struct node *node, int checkpoint_every,
                      disk_durable *durable);
void disk_free(struct disk *disk);
/* A new process opens the journal: each record in order, then positions count from 1 again. */
bool disk_open(struct disk *disk, disk_replay *replay, void *self);
struct journal_port disk_port(struct disk *disk);
/* The process is gone. */
void disk_gone(struct disk *disk);
/* All of it is lost, while no process uses it. */
void disk_lose(struct disk *disk);
/* What is left of it is the copy that was made after some earlier run had ended in order; if there
 * was none, nothing. While no process uses it. */
void disk_restore(struct disk *disk);
/* Writes take so long from now on. */
void disk_slow(struct disk *disk, uint64_t extra_us);

#endif
