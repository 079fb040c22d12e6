/* Reads a journal from its newest base to its end, by the rules of docs/journal.md, and changes
 * nothing. Opening for use and journal_read (io/file_journal.h) both stand on it. */
#ifndef TROTH_IO_JOURNAL_READER_H
#define TROTH_IO_JOURNAL_READER_H

#include <stdbool.h>
#include <stdint.h>

#include "core/error.h"
#include "io/file_journal.h"
#include "io/journal_format.h"

/* What the next frame must continue. */
struct journal_chain {
    uint64_t batch; /* its number */
    uint32_t crc;   /* of the frame before */
    uint64_t run;   /* of the frame before: it must not go back */
};

/* Where the log ends, and what a writer must know to go on. */
struct journal_tail {
    uint32_t first;               /* number of the base */
    struct journal_header header; /* of the last segment */
    struct journal_chain chain;
    uint64_t last_frame;       /* offset of the last frame in the last segment; 0: it has none */
    uint64_t end;              /* offset behind it */
    uint64_t dirty_end;        /* end of the torn tail; == end when there is none */
    uint64_t file_bytes;       /* of the last segment */
    uint64_t checkpoint_bytes; /* of frames that the base began with */
    uint64_t since_checkpoint_bytes; /* of frames behind them, over all segments */
};

enum journal_scan {
    JOURNAL_DONE,
    JOURNAL_STOPPED, /* by visit */
    JOURNAL_EMPTY,   /* there is no segment at all */
    JOURNAL_FAILED,  /* the error says why */
};

/* directory_fd is the directory; `directory` is its name, for errors. visit may be NULL. report and
 * tail are filled as far as the reading got. */
enum journal_scan journal_scan(int directory_fd, const char *directory,
                               bool (*visit)(void *self, const struct journal_visit *visit),
                               void *self, struct journal_report *report, struct journal_tail *tail,
                               struct error *error);

#endif
