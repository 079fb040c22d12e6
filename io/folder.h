/* A folder of YAML files that people edit: read as a whole, and again whenever it changed. */
#ifndef TROTH_IO_FOLDER_H
#define TROTH_IO_FOLDER_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "io/loop.h"

struct folder_file {
    char *path, *text;
    size_t size;
};

/* Zeros are none. */
struct folder_files {
    struct folder_file *items; /* in the order of their names */
    int count;
};

/* The *.yaml and *.yml in it, hidden ones left out. Of a file that is larger than `most` one byte
 * more than that is read, which shows it. False with an error: the folder or a file in it can't be
 * read; nothing to end then. */
bool folder_read(const char *path, size_t most, struct folder_files *files, struct error *error);
void folder_files_fini(struct folder_files *files);

struct folder;

struct folder_events {
    void *self;
    /* Something in it may have changed since the last time. */
    void (*changed)(void *self, const struct folder_files *files);
};

/* Reads it now, within this call, and later whenever it changed: as the kernel tells, and every few
 * seconds in case that it does not (network file systems). While it can't be read nothing is told;
 * the log says so once. new/free: the heap. */
struct folder *folder_watch(struct loop *loop, const char *path, size_t most,
                            const struct folder_events *events);
void folder_free(struct folder *folder); /* NULL is harmless */

#endif
