/* How far something long is: one line on stderr, only on a terminal, only after a second. */
#ifndef TROTH_CLI_PROGRESS_H
#define TROTH_CLI_PROGRESS_H

#include <stdbool.h>
#include <stdint.h>

#include "io/file_journal.h"

struct progress {
    const char *what;
    bool off, shown;
    int64_t due_us; /* when the line is drawn next */
    uint64_t calls;
    uint64_t before, total; /* bytes: of the files before the one that is read, and of all */
    char file[64];
};

void progress_begin(struct progress *progress, const char *what);
/* So much of `total` is done. */
void progress_at(struct progress *progress, uint64_t done, uint64_t total);
/* The same, of a journal whose reading has come to this record. */
void progress_journal(struct progress *progress, const char *directory,
                      const struct journal_visit *visit);
/* Takes the line away. */
void progress_end(struct progress *progress);

#endif
