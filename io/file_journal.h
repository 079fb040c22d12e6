/* The journal as segment files in a directory; the byte layout is in docs/journal.md. */
#ifndef TROTH_IO_FILE_JOURNAL_H
#define TROTH_IO_FILE_JOURNAL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/metrics.h"
#include "core/ports.h"
#include "io/loop.h"

struct file_journal;

struct file_journal_options {
    const char *directory;  /* created (0700) when missing */
    uint64_t segment_bytes; /* 0: 64 MiB. A checkpoint is due when a segment of it is full */
};

struct file_journal_events {
    void *self;
    /* During open, for each record in order. False stops the opening with *error. */
    bool (*replay)(void *self, const void *record, size_t size, struct error *error);
    /* From the loop: every record up to position is durable. */
    void (*durable)(void *self, uint64_t position);
};

/* Locks the directory, reads everything, cuts a torn tail (with a log line), starts the writer
 * thread. NULL with an error: locked by another process, not writable, disk full, corrupt (names
 * file and offset, points at `troth journal verify`). */
struct file_journal *file_journal_open(struct loop *loop,
                                       const struct file_journal_options *options,
                                       const struct file_journal_events *events,
                                       struct error *error);
const struct journal_port *file_journal_port(struct file_journal *journal);
/* Bytes of its files, number of them, bytes free on its file system. */
void file_journal_facts(struct file_journal *journal, uint64_t *bytes, uint64_t *segments,
                        uint64_t *free_bytes);
/* What it has made durable in this run. */
void file_journal_counters(struct file_journal *journal, struct journal_counters *counters);
/* Makes everything appended durable, stops the thread, unlocks, frees. */
void file_journal_close(struct file_journal *journal);

/* Reading a journal (or a copy of one) without opening it for use: no lock, nothing is changed. */
struct journal_visit {
    const char *file; /* name in the directory */
    uint64_t offset;  /* of the frame */
    uint64_t batch;
    const void *record;
    size_t size;
};

struct journal_report {
    uint64_t segments, frames, records, bytes;
    bool torn_tail; /* the last frame is damaged and nothing valid follows: a start would cut it */
    char torn_file[64];
    uint64_t torn_offset;
};

/* Calls visit (may be NULL) for each record; false from it stops. False with an error when the
 * journal is corrupt or can't be read; report is filled as far as it got. */
bool journal_read(const char *directory, bool (*visit)(void *self, const struct journal_visit *),
                  void *self, struct journal_report *report, struct error *error);

#endif
