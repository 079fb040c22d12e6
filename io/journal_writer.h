/* Writes the journal's files: frames, segments, checkpoints. It blocks, so in a coordinator it
 * belongs to the writer thread (io/file_journal.c). docs/journal.md has the rules that it keeps.
 *
 * Every function that returns false leaves the files in a state that only a new start can judge:
 * the caller must end the process, never try again. */
#ifndef TROTH_IO_JOURNAL_WRITER_H
#define TROTH_IO_JOURNAL_WRITER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/metrics.h"
#include "io/journal_reader.h"

struct journal_writer {
    int directory_fd;
    const char *directory;
    uint64_t segment_bytes;
    struct journal_chain chain;
    uint64_t run; /* this one */
    uint32_t first;

    /* The segment that is written now. */
    int fd; /* -1: none */
    uint32_t number;
    uint64_t salt;
    uint64_t file_bytes; /* allocated */
    uint64_t end;        /* of the last frame */
    uint64_t zeroed;     /* zeros were written up to here */

    struct journal_counters counters; /* the writer's own: others see a copy */

    uint8_t *frame; /* room for the largest frame */
    uint8_t *zeros;

    /* Of the frames; read by other threads. */
    atomic_uint_fast64_t checkpoint_bytes, since_checkpoint_bytes;
    /* Of the files; read by other threads. */
    atomic_uint_fast64_t total_bytes, segment_count;
};

/* Goes on behind `tail`, after it has cut a torn tail; tail NULL makes the first segment. The
 * descriptor and the strings are borrowed. False with an error; the caller still calls close. */
bool journal_writer_open(struct journal_writer *writer, int directory_fd, const char *directory,
                         uint64_t segment_bytes, const struct journal_tail *tail,
                         const struct journal_report *report, struct error *error);
/* records: encoded by journal_record_begin. Durable when it returns true. */
bool journal_writer_append(struct journal_writer *writer, const uint8_t *records, size_t size,
                           struct error *error);
/* A new base that holds these records (size may be 0) and nothing from before. */
bool journal_writer_checkpoint(struct journal_writer *writer, const uint8_t *records, size_t size,
                               struct error *error);
void journal_writer_close(struct journal_writer *writer);

#endif
