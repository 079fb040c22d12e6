#include "tests/sim/disk.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/map.h"
#include "journal.pb-c.h"
#include "tests/sim/order_book.h"
#include "tests/sim/registers.h"
#include "tests/sim/saga_book.h"

struct record {
    size_t size;
    uint64_t position; /* within the run that appended it */
    bool urgent;
    unsigned char bytes[];
};

/* Records of a checkpoint are one entry: it is durable as a whole or not at all. */
struct entry {
    struct record **records;
    int count;
    bool checkpoint;
};

struct disk {
    struct world *world;
    struct node *node;
    disk_durable *durable;
    int checkpoint_every;
    uint64_t extra_us;

    struct entry *entries; /* durable ones first */
    int count, room, durable_count;
    int since_checkpoint;
    uint64_t position;   /* the last that was given */
    uint64_t generation; /* of the process; a flush of an earlier one means nothing */
    bool in_checkpoint;
    struct entry *copy; /* made after a run that ended in order */
    int copy_count;
    uint64_t flushes_us; /* the flush that is on its way; UINT64_MAX: none */
    bool flushing;       /* it is past its start: what is appended now waits for the next */
    int flushing_to;
};

struct disk *disk_new(struct world *world, struct node *node, int checkpoint_every,
                      disk_durable *durable)
{
    struct disk *disk = xcalloc(1, sizeof(*disk));
    *disk = (struct disk){.world = world,
                          .node = node,
                          .durable = durable,
                          .checkpoint_every = checkpoint_every,
                          .flushes_us = UINT64_MAX};
    return disk;
}

static void entry_fini(struct entry *entry)
{
    for (int i = 0; i < entry->count; i++)
        free(entry->records[i]);
    free(entry->records);
}

static void cut(struct disk *disk, int from, int to)
{
    for (int i = from; i < to; i++)
        entry_fini(&disk->entries[i]);
    memmove(&disk->entries[from], &disk->entries[to],
            (size_t)(disk->count - to) * sizeof(*disk->entries));
    disk->count -= to - from;
}

static void drop_copy(struct disk *disk)
{
    for (int i = 0; i < disk->copy_count; i++)
        entry_fini(&disk->copy[i]);
    free(disk->copy);
    disk->copy = NULL;
    disk->copy_count = 0;
}

void disk_free(struct disk *disk)
{
    if (disk->entries)
        cut(disk, 0, disk->count);
    free(disk->entries);
    drop_copy(disk);
    free(disk);
}

/* Everything before the newest durable checkpoint is replaced by it. */
static void apply_checkpoints(struct disk *disk)
{
    for (int i = disk->durable_count - 1; i > 0; i--) {
        if (!disk->entries[i].checkpoint)
            continue;
        disk->durable_count -= i;
        cut(disk, 0, i);
        return;
    }
}

/* The oracle sees what became durable. */
static void tell_oracle(const struct disk *disk, int from, int to)
{
    for (int i = from; i < to; i++)
        for (int k = 0; k < disk->entries[i].count; k++) {
            const struct record *record = disk->entries[i].records[k];
            registers_journaled(disk->world->registers, disk->node->index, record->bytes,
                                record->size);
            order_book_journaled(disk->world, disk->node->index, record->bytes, record->size);
            saga_book_journaled(disk->world->book, disk->node->index, record->bytes, record->size);
        }
}

static void schedule(struct disk *disk, uint64_t delay_us);

static void written(struct world *world, void *subject, uint64_t generation, void *data)
{
    struct disk *disk = subject;
    (void)data;
    if (generation != disk->generation)
        return;
    disk->flushing = false;
    disk->flushes_us = UINT64_MAX;
    tell_oracle(disk, disk->durable_count, disk->flushing_to);
    disk->durable_count = disk->flushing_to;
    const struct entry *last = &disk->entries[disk->durable_count - 1];
    uint64_t position = last->records[last->count - 1]->position;
    apply_checkpoints(disk);
    world_note(world, position, "disk %s durable to %llu", disk->node->name,
               (unsigned long long)position);
    disk->durable(disk->node, position);
    bool urgent = false;
    for (int i = disk->durable_count; i < disk->count; i++)
        urgent |= disk->entries[i].checkpoint || disk->entries[i].records[0]->urgent;
    if (disk->durable_count < disk->count)
        schedule(disk, urgent ? 1 : 100 * MILLISECOND_US);
}

static void flush(struct world *world, void *subject, uint64_t generation, void *data)
{
    struct disk *disk = subject;
    (void)data;
    if (generation != disk->generation || disk->flushing || disk->flushes_us != world->now_us)
        return;
    disk->flushing = true;
    disk->flushing_to = disk->count;
    uint64_t length_us = world_latency(world, world->weather.disk_max_us) + disk->extra_us;
    if (world_chance(world, world->weather.disk_slow))
        length_us += world_between(world, 50 * MILLISECOND_US, SECOND_US);
    world_after(world, length_us, written, disk, disk->generation, NULL);
}

static void schedule(struct disk *disk, uint64_t delay_us)
{
    uint64_t at_us = disk->world->now_us + delay_us;
    if (disk->flushing || disk->flushes_us <= at_us)
        return;
    disk->flushes_us = at_us;
    world_after(disk->world, delay_us, flush, disk, disk->generation, NULL);
}

static struct entry *entry_add(struct disk *disk, bool checkpoint)
{
    if (disk->count == disk->room) {
        disk->room = disk->room ? disk->room * 2 : 64;
        disk->entries = xrealloc(disk->entries, (size_t)disk->room * sizeof(*disk->entries));
    }
    disk->entries[disk->count] = (struct entry){.checkpoint = checkpoint};
    return &disk->entries[disk->count++];
}

static uint64_t disk_append(void *self, const void *bytes, size_t size, bool urgent)
{
    struct disk *disk = self;
    uint64_t position = ++disk->position;
    if (!node_effect(disk->node))
        return position;
    struct record *record = xmalloc(sizeof(*record) + size);
    *record = (struct record){.size = size, .position = position, .urgent = urgent};
    memcpy(record->bytes, bytes, size);
    struct entry *entry =
        disk->in_checkpoint ? &disk->entries[disk->count - 1] : entry_add(disk, false);
    entry->records = xrealloc(entry->records, ((size_t)entry->count + 1) * sizeof(record));
    entry->records[entry->count++] = record;
    disk->since_checkpoint++;
    world_note(disk->world, hash_bytes(bytes, size), "disk %s appends %llu, %zu bytes%s",
               disk->node->name, (unsigned long long)position, size, urgent ? ", urgent" : "");
    if (!disk->in_checkpoint)
        schedule(disk, urgent ? 1 : 100 * MILLISECOND_US);
    return position;
}

static bool disk_checkpoint_due(void *self)
{
    const struct disk *disk = self;
    return disk->since_checkpoint >= disk->checkpoint_every;
}

static void disk_checkpoint_begin(void *self)
{
    struct disk *disk = self;
    CHECK(!disk->in_checkpoint);
    if (!node_effect(disk->node))
        return;
    world_note(disk->world, 0, "disk %s begins a checkpoint", disk->node->name);
    disk->in_checkpoint = true;
    entry_add(disk, true);
}

static void disk_checkpoint_end(void *self)
{
    struct disk *disk = self;
    if (!node_effect(disk->node) || !disk->in_checkpoint)
        return;
    disk->in_checkpoint = false;
    disk->since_checkpoint = 0;
    if (disk->entries[disk->count - 1].count == 0)
        world_violation(disk->world, "%s wrote an empty checkpoint", disk->node->name);
    schedule(disk, 1);
}

struct journal_port disk_port(struct disk *disk)
{
    return (struct journal_port){.self = disk,
                                 .append = disk_append,
                                 .checkpoint_due = disk_checkpoint_due,
                                 .checkpoint_begin = disk_checkpoint_begin,
                                 .checkpoint_end = disk_checkpoint_end};
}

static struct record *record_copy(const struct record *record)
{
    struct record *copy = xmalloc(sizeof(*copy) + record->size);
    memcpy(copy, record, sizeof(*copy) + record->size);
    return copy;
}

static struct entry *entries_copy(const struct entry *entries, int count)
{
    struct entry *copies = xcalloc((size_t)count + 1, sizeof(*copies));
    for (int i = 0; i < count; i++) {
        copies[i] = entries[i];
        copies[i].records = xcalloc((size_t)entries[i].count + 1, sizeof(struct record *));
        for (int k = 0; k < entries[i].count; k++)
            copies[i].records[k] = record_copy(entries[i].records[k]);
    }
    return copies;
}

static bool ended_in_order(const struct disk *disk)
{
    if (disk->count == 0)
        return false;
    const struct entry *entry = &disk->entries[disk->count - 1];
    const struct record *last = entry->records[entry->count - 1];
    Journal__Record *record = journal__record__unpack(NULL, last->size, last->bytes);
    CHECK(record != NULL);
    bool stopped = record->body_case == JOURNAL__RECORD__BODY_STOPPED;
    journal__record__free_unpacked(record, NULL);
    return stopped;
}

/* A person copies it, as a person may, while no process writes. */
static void keep_copy(struct disk *disk)
{
    if (disk->copy_count > 0 || !ended_in_order(disk))
        return;
    disk->copy = entries_copy(disk->entries, disk->count);
    disk->copy_count = disk->count;
    world_note(disk->world, (uint64_t)disk->count, "disk %s is copied", disk->node->name);
}

void disk_gone(struct disk *disk)
{
    /* A checkpoint that was not ended can't have survived; of the others, a first part may. */
    if (disk->in_checkpoint)
        cut(disk, disk->count - 1, disk->count);
    int kept =
        (int)world_between(disk->world, (uint64_t)disk->durable_count, (uint64_t)disk->count);
    world_note(disk->world, (uint64_t)kept, "disk %s keeps %d of %d, %d were durable",
               disk->node->name, kept, disk->count, disk->durable_count);
    tell_oracle(disk, disk->durable_count, kept);
    if (disk->entries)
        cut(disk, kept, disk->count);
    disk->durable_count = kept;
    apply_checkpoints(disk);
    disk->generation++;
    disk->in_checkpoint = disk->flushing = false;
    disk->flushes_us = UINT64_MAX;
    disk->extra_us = 0;
    keep_copy(disk);
}

void disk_lose(struct disk *disk)
{
    world_note(disk->world, 11, "disk %s is lost", disk->node->name);
    if (disk->entries)
        cut(disk, 0, disk->count);
    disk->durable_count = disk->since_checkpoint = 0;
    order_book_journal_lost(disk->world, disk->node->index);
}

void disk_restore(struct disk *disk)
{
    int count = disk->copy_count;
    disk_lose(disk);
    world_note(disk->world, (uint64_t)count, "disk %s is what it was, %d entries", disk->node->name,
               count);
    free(disk->entries);
    disk->entries = entries_copy(disk->copy, count);
    disk->count = disk->durable_count = count;
    disk->room = count + 1;
}

bool disk_open(struct disk *disk, disk_replay *replay, void *self)
{
    disk->position = 0;
    for (int i = 0; i < disk->count; i++)
        for (int k = 0; k < disk->entries[i].count; k++)
            if (!replay(self, disk->entries[i].records[k]->bytes,
                        disk->entries[i].records[k]->size))
                return false;
    return true;
}

void disk_slow(struct disk *disk, uint64_t extra_us)
{
    disk->extra_us = extra_us;
}
