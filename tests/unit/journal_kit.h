/* What the journal's tests share: a directory of its own for each test, records that tell their
 * number, and a loop that runs until a condition holds. */
#ifndef TROTH_TESTS_UNIT_JOURNAL_KIT_H
#define TROTH_TESTS_UNIT_JOURNAL_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <dirent.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/check.h"
#include "io/file_journal.h"
#include "io/journal_format.h"

/* Memory, where there is such a file system: a test of every byte opens a file very often. */
static inline char *kit_directory(void)
{
    char *path =
        xasprintf("%s/troth-journal-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(path) != NULL);
    return path;
}

static inline void kit_remove(char *directory)
{
    DIR *stream = opendir(directory);
    CHECK(stream != NULL);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        unlinkat(dirfd(stream), entry->d_name, 0);
    closedir(stream);
    CHECK(rmdir(directory) == 0);
    free(directory);
}

static inline char *kit_path(const char *directory, uint32_t number, const char *suffix)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, number, suffix);
    return xasprintf("%s/%s", directory, name);
}

static inline bool kit_exists(const char *directory, uint32_t number, const char *suffix)
{
    char *path = kit_path(directory, number, suffix);
    bool exists = access(path, F_OK) == 0;
    free(path);
    return exists;
}

/* A whole file; the caller frees it. */
static inline uint8_t *kit_load(const char *directory, uint32_t number, size_t *size)
{
    char *path = kit_path(directory, number, JOURNAL_SUFFIX);
    int fd = open(path, O_RDONLY);
    CHECK(fd >= 0);
    struct stat facts;
    CHECK(fstat(fd, &facts) == 0);
    *size = (size_t)facts.st_size;
    uint8_t *bytes = xmalloc(*size);
    CHECK(read(fd, bytes, *size) == (ssize_t)*size);
    close(fd);
    free(path);
    return bytes;
}

static inline void kit_store(const char *directory, uint32_t number, const void *bytes, size_t size)
{
    char *path = kit_path(directory, number, JOURNAL_SUFFIX);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
    free(path);
}

enum { KIT_RECORD_BYTES = 200 };

/* Record number n: 20 to 56 bytes that differ from those of any other number. */
static inline size_t kit_record(char *record, unsigned n)
{
    int size = snprintf(record, KIT_RECORD_BYTES, "record %08u ", n);
    size_t total = (size_t)size + 4 + (n * 7919u) % 37;
    for (size_t i = (size_t)size; i < total; i++)
        record[i] = (char)('a' + (n + i) % 26);
    return total;
}

/* What came back: how many records, and whether they are first, first + 1, ... without a change. */
struct kit_seen {
    unsigned first;
    unsigned count;
    bool wrong;
};

/* The records are made once: a test of every byte looks at each of them very often. */
static inline void kit_see(struct kit_seen *seen, const void *record, size_t size)
{
    enum { KEPT = 2048 };
    static char kept[KEPT][KIT_RECORD_BYTES];
    static size_t sizes[KEPT];
    char made[KIT_RECORD_BYTES];
    unsigned n = seen->first + seen->count;
    if (n < KEPT && sizes[n] == 0)
        sizes[n] = kit_record(kept[n], n);
    const char *expected = n < KEPT ? kept[n] : made;
    size_t expected_size = n < KEPT ? sizes[n] : kit_record(made, n);
    if (size != expected_size || memcmp(record, expected, size) != 0)
        seen->wrong = true;
    seen->count++;
}

static inline bool kit_visit(void *self, const struct journal_visit *visit)
{
    kit_see(self, visit->record, visit->size);
    return true;
}

static inline bool kit_replay(void *self, const void *record, size_t size, struct error *error)
{
    (void)error;
    kit_see(self, record, size);
    return true;
}

#endif
