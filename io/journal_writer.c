#include "io/journal_writer.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/crash.h"
#include "io/log.h"

/* How far zeros are written ahead of the frames. A write into space that was allocated and never
 * written changes the file's metadata, which doubles the cost of its flush; over zeros it does not.
 */
enum { ZERO_AHEAD_BYTES = 1024 * 1024 };

/* ---- the operating system ----------------------------------------------------------------- */

static bool failed(struct journal_writer *writer, int code, const char *what, const char *name,
                   struct error *error)
{
    error_set(error, ERROR_IO, "cannot %s %s/%s: %s", what, writer->directory, name,
              strerror(code));
    if (code == ENOSPC || code == EDQUOT) {
        error_detail(error, "a segment of the journal needs %" PRIu64 " bytes",
                     writer->segment_bytes);
        error_hint(error, "make room on the file system of %s (df -h %s), then start again",
                   writer->directory, writer->directory);
    } else if (code == EFBIG) {
        error_hint(error, "raise the limit on the size of files (ulimit -f), then start again");
    } else if (code == EACCES || code == EPERM || code == EROFS) {
        error_hint(error, "give the user of this process write access to %s", writer->directory);
    } else {
        error_hint(error, "look at the disk and at the kernel's log (dmesg), then start again");
    }
    return false;
}

/* 0 or an errno. */
static int write_all(int fd, const uint8_t *bytes, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t written = pwrite(fd, bytes, size, (off_t)offset);
        if (written < 0 && errno == EINTR)
            continue;
        if (written <= 0)
            return written < 0 ? errno : ENOSPC;
        bytes += written;
        size -= (size_t)written;
        offset += (uint64_t)written;
    }
    return 0;
}

/* 0 or an errno. */
static int allocate(int fd, uint64_t bytes)
{
    int code;
    do
        code = posix_fallocate(fd, 0, (off_t)bytes);
    while (code == EINTR);
    return code;
}

static int zero_range(struct journal_writer *writer, int fd, uint64_t from, uint64_t to)
{
    int code = 0;
    for (uint64_t size; code == 0 && from < to; from += size) {
        size = to - from < ZERO_AHEAD_BYTES ? to - from : ZERO_AHEAD_BYTES;
        code = write_all(fd, writer->zeros, (size_t)size, from);
    }
    return code;
}

static bool random_salt(uint64_t *salt)
{
    ssize_t got;
    do
        got = getrandom(salt, sizeof(*salt), 0);
    while (got < 0 && errno == EINTR);
    return got == sizeof(*salt);
}

static bool remove_file(struct journal_writer *writer, uint32_t number, const char *suffix,
                        struct error *error)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, number, suffix);
    if (unlinkat(writer->directory_fd, name, 0) != 0 && errno != ENOENT)
        return failed(writer, errno, "delete", name, error);
    return true;
}

/* ---- frames ------------------------------------------------------------------------------- */

/* As many whole records as one frame takes. Returns their bytes. */
static size_t one_batch(const uint8_t *records, size_t size, uint32_t *count)
{
    const uint8_t *at = records, *end = records + size;
    const void *record;
    size_t record_size, taken = 0;
    *count = 0;
    while (at != end) {
        CHECK(journal_record_take(&at, end, &record, &record_size));
        if ((size_t)(at - records) > LIMIT_BATCH_BYTES)
            break;
        taken = (size_t)(at - records);
        (*count)++;
    }
    return taken;
}

/* Builds the next frame in writer->frame and moves the chain on. Returns its bytes. */
static size_t build_frame(struct journal_writer *writer, const uint8_t *records, size_t size,
                          uint32_t count, uint64_t salt)
{
    struct journal_frame frame = {.size = (uint32_t)size,
                                  .run = writer->run,
                                  .batch = writer->chain.batch,
                                  .records = count,
                                  .previous_crc = writer->chain.crc};
    memcpy(writer->frame + JOURNAL_FRAME_HEADER_BYTES, records, size);
    journal_frame_seal(writer->frame, &frame, salt);
    writer->chain = (struct journal_chain){frame.batch + 1, frame.crc, frame.run};
    return journal_frame_bytes(size);
}

/* ---- segments ----------------------------------------------------------------------------- */

struct new_segment {
    int fd;
    struct journal_header header;
    uint64_t file_bytes;
    uint64_t end;
    char name[JOURNAL_NAME_BYTES], new_name[JOURNAL_NAME_BYTES];
};

/* Allocates NUMBER.journal.new. Disk full shows here, before anything is written. */
static bool begin_segment(struct journal_writer *writer, struct new_segment *new, uint64_t bytes,
                          struct error *error)
{
    journal_name_format(new->name, writer->number + 1, JOURNAL_SUFFIX);
    journal_name_format(new->new_name, writer->number + 1, JOURNAL_NEW_SUFFIX);
    new->end = JOURNAL_PAGE_BYTES;
    new->file_bytes = bytes;
    new->header = (struct journal_header){.number = writer->number + 1,
                                          .run = writer->run,
                                          .first_batch = writer->chain.batch,
                                          .previous_crc = writer->chain.crc};
    if (!random_salt(&new->header.salt))
        return failed(writer, errno, "get random bytes for", new->name, error);
    if (!remove_file(writer, new->header.number, JOURNAL_NEW_SUFFIX, error))
        return false;
    new->fd =
        openat(writer->directory_fd, new->new_name, O_RDWR | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (new->fd < 0)
        return failed(writer, errno, "create", new->new_name, error);
    int code = allocate(new->fd, bytes);
    return code == 0 || failed(writer, code, "allocate", new->new_name, error);
}

/* Writes the header, makes all durable, gives the file its name. */
static bool name_segment(struct journal_writer *writer, struct new_segment *new,
                         struct error *error)
{
    uint8_t page[JOURNAL_PAGE_BYTES];
    new->header.whole_bytes = new->end;
    journal_header_encode(&new->header, page);
    int code = write_all(new->fd, page, sizeof(page), 0);
    if (code != 0)
        return failed(writer, code, "write", new->new_name, error);
    if (fsync(new->fd) != 0)
        return failed(writer, errno, "flush", new->new_name, error);
    /* A crash here leaves a .new file that the next start deletes; the log is as it was. */
    CRASH_POINT("journal.checkpoint");
    if (renameat(writer->directory_fd, new->new_name, writer->directory_fd, new->name) != 0)
        return failed(writer, errno, "name", new->name, error);
    if (fsync(writer->directory_fd) != 0)
        return failed(writer, errno, "flush the directory of", new->name, error);
    return true;
}

/* The log goes on in the new segment. */
static void enter_segment(struct journal_writer *writer, const struct new_segment *new)
{
    if (writer->fd >= 0)
        close(writer->fd);
    writer->fd = new->fd;
    writer->number = new->header.number;
    writer->salt = new->header.salt;
    writer->file_bytes = new->file_bytes;
    writer->end = writer->zeroed = new->end;
    writer->total_bytes += new->file_bytes;
    writer->segment_count++;
}

/* Gives the room back, so that a full disk is not made fuller by what is worth nothing. */
static bool drop_segment(struct journal_writer *writer, const struct new_segment *new)
{
    if (new->fd >= 0) {
        close(new->fd);
        unlinkat(writer->directory_fd, new->new_name, 0);
    }
    return false;
}

static bool next_segment(struct journal_writer *writer, uint64_t frame_bytes, struct error *error)
{
    struct new_segment new = {.fd = -1};
    uint64_t bytes = writer->segment_bytes;
    if (bytes < JOURNAL_PAGE_BYTES + frame_bytes)
        bytes = JOURNAL_PAGE_BYTES + frame_bytes;
    if (!begin_segment(writer, &new, bytes, error) || !name_segment(writer, &new, error))
        return drop_segment(writer, &new);
    enter_segment(writer, &new);
    return true;
}

/* ---- writing ------------------------------------------------------------------------------ */

static uint64_t clock_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

static bool write_frame(struct journal_writer *writer, size_t bytes, struct error *error)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, writer->number, JOURNAL_SUFFIX);
    int code = write_all(writer->fd, writer->frame, bytes, writer->end);
    writer->end += bytes;
    if (code == 0 && writer->end > writer->zeroed) {
        uint64_t to = writer->end + ZERO_AHEAD_BYTES;
        writer->zeroed = to < writer->file_bytes ? to : writer->file_bytes;
        code = zero_range(writer, writer->fd, writer->end, writer->zeroed);
    }
    if (code != 0)
        return failed(writer, code, "write", name, error);
    /* A crash here leaves the frame whole, torn or missing; nobody was told of it. */
    CRASH_POINT("journal.written");
    uint64_t began_us = clock_us();
    if (fdatasync(writer->fd) != 0)
        return failed(writer, errno, "flush", name, error);
    histogram_add(&writer->counters.flush, clock_us() - began_us);
    writer->counters.batches++;
    writer->counters.bytes += bytes;
    /* A crash here leaves a durable frame that nobody acted on yet; the next start replays it. */
    CRASH_POINT("journal.synced");
    writer->since_checkpoint_bytes += bytes;
    return true;
}

bool journal_writer_append(struct journal_writer *writer, const uint8_t *records, size_t size,
                           struct error *error)
{
    while (size > 0) {
        uint32_t count;
        size_t taken = one_batch(records, size, &count);
        size_t bytes = journal_frame_bytes(taken);
        if (writer->end + bytes > writer->file_bytes && !next_segment(writer, bytes, error))
            return false;
        build_frame(writer, records, taken, count, writer->salt);
        if (!write_frame(writer, bytes, error))
            return false;
        writer->counters.records += count;
        records += taken;
        size -= taken;
    }
    return true;
}

/* The frames of a checkpoint need no flush of their own: until the rename the file is worth
 * nothing.
 */
static bool fill_checkpoint(struct journal_writer *writer, struct new_segment *new,
                            const uint8_t *records, size_t size, struct error *error)
{
    while (size > 0) {
        uint32_t count;
        size_t taken = one_batch(records, size, &count);
        size_t bytes = build_frame(writer, records, taken, count, new->header.salt);
        int code = write_all(new->fd, writer->frame, bytes, new->end);
        if (code != 0)
            return failed(writer, code, "write", new->new_name, error);
        new->end += bytes;
        records += taken;
        size -= taken;
    }
    if (new->file_bytes < new->end)
        new->file_bytes = new->end;
    return true;
}

/* They are not part of the log any more: a new base is durable. */
static bool remove_older(struct journal_writer *writer, uint64_t total_bytes, struct error *error)
{
    for (; writer->first < writer->number; writer->first++) {
        if (!remove_file(writer, writer->first, JOURNAL_SUFFIX, error))
            return false;
    }
    writer->total_bytes = total_bytes;
    writer->segment_count = 1;
    return true;
}

bool journal_writer_checkpoint(struct journal_writer *writer, const uint8_t *records, size_t size,
                               struct error *error)
{
    struct new_segment new = {.fd = -1};
    if (!begin_segment(writer, &new, writer->segment_bytes, error))
        return drop_segment(writer, &new);
    new.header.base = true;
    if (!fill_checkpoint(writer, &new, records, size, error) || !name_segment(writer, &new, error))
        return drop_segment(writer, &new);
    /* A crash here leaves a new base beside the old log: the next start begins at the new base and
     * deletes the older segments. */
    CRASH_POINT("journal.replaced");
    enter_segment(writer, &new);
    writer->checkpoint_bytes = new.end - JOURNAL_PAGE_BYTES;
    writer->since_checkpoint_bytes = 0;
    writer->counters.checkpoints++;
    return remove_older(writer, new.file_bytes, error);
}

/* ---- opening ------------------------------------------------------------------------------ */

static bool cut_torn_tail(struct journal_writer *writer, const struct journal_tail *tail,
                          const char *name, struct error *error)
{
    if (tail->dirty_end == tail->end)
        return true;
    int code = zero_range(writer, writer->fd, tail->end, tail->dirty_end);
    if (code != 0)
        return failed(writer, code, "cut the torn tail of", name, error);
    log_write(LOG_WARNING,
              "journal: cut a torn write of at most %" PRIu64 " bytes at offset %" PRIu64
              " of %s/%s; it was the last before the process ended, and nobody was told of it",
              tail->dirty_end - tail->end, tail->end, writer->directory, name);
    return true;
}

/* The run before may have ended because the flush of its last frame failed. Then the page cache
 * shows the frame, and the disk may not have it, and another flush of clean pages would not write
 * it: so it is written again. */
static int write_last_again(struct journal_writer *writer, const struct journal_tail *tail)
{
    if (tail->last_frame == 0)
        return 0;
    size_t bytes = (size_t)(tail->end - tail->last_frame);
    ssize_t got;
    do
        got = pread(writer->fd, writer->frame, bytes, (off_t)tail->last_frame);
    while (got < 0 && errno == EINTR);
    if (got != (ssize_t)bytes)
        return got < 0 ? errno : EIO;
    return write_all(writer->fd, writer->frame, bytes, tail->last_frame);
}

/* Deletes what a crash left: unfinished segments, and those older than the base. */
static bool sweep(struct journal_writer *writer, struct error *error)
{
    int fd = openat(writer->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        failed(writer, errno, "read the directory", ".", error);
        if (fd >= 0)
            close(fd);
        return false;
    }
    bool done = true;
    for (struct dirent *entry; done && (entry = readdir(stream)) != NULL;) {
        uint32_t number;
        bool new;
        if (journal_name_parse(entry->d_name, &number, &new) && (new || number < writer->first))
            done = remove_file(writer, number, new ? JOURNAL_NEW_SUFFIX : JOURNAL_SUFFIX, error);
    }
    closedir(stream);
    return done;
}

static bool go_on(struct journal_writer *writer, const struct journal_tail *tail,
                  const struct journal_report *report, struct error *error)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, tail->header.number, JOURNAL_SUFFIX);
    writer->chain = tail->chain;
    writer->run = tail->chain.run > tail->header.run ? tail->chain.run : tail->header.run;
    writer->run++;
    writer->first = tail->first;
    writer->number = tail->header.number;
    writer->salt = tail->header.salt;
    writer->end = writer->zeroed = tail->end;
    writer->file_bytes = tail->file_bytes;
    writer->checkpoint_bytes = tail->checkpoint_bytes;
    writer->since_checkpoint_bytes = tail->since_checkpoint_bytes;
    writer->segment_count = report->segments;

    writer->fd = openat(writer->directory_fd, name, O_RDWR | O_CLOEXEC);
    if (writer->fd < 0)
        return failed(writer, errno, "open", name, error);
    if (!cut_torn_tail(writer, tail, name, error))
        return false;
    int code = write_last_again(writer, tail);
    if (code != 0)
        return failed(writer, code, "write", name, error);
    /* A copy made without its zeros, or one that was cut, is allocated anew. */
    uint64_t bytes = writer->segment_bytes > writer->end ? writer->segment_bytes : writer->end;
    if (bytes > writer->file_bytes) {
        code = allocate(writer->fd, bytes);
        if (code != 0)
            return failed(writer, code, "allocate", name, error);
        writer->file_bytes = bytes;
    }
    if (fsync(writer->fd) != 0)
        return failed(writer, errno, "flush", name, error);
    writer->total_bytes = report->bytes - tail->file_bytes + writer->file_bytes;
    /* The run before may have ended between a rename and the flush of the directory. */
    if (fsync(writer->directory_fd) != 0)
        return failed(writer, errno, "flush the directory of", name, error);
    return sweep(writer, error);
}

static bool begin_log(struct journal_writer *writer, struct error *error)
{
    writer->chain = (struct journal_chain){.batch = 1};
    writer->run = 1;
    writer->first = 1;
    if (!sweep(writer, error))
        return false;
    return journal_writer_checkpoint(writer, NULL, 0, error);
}

bool journal_writer_open(struct journal_writer *writer, int directory_fd, const char *directory,
                         uint64_t segment_bytes, const struct journal_tail *tail,
                         const struct journal_report *report, struct error *error)
{
    *writer =
        (struct journal_writer){.directory_fd = directory_fd, .directory = directory, .fd = -1};
    segment_bytes = segment_bytes ? segment_bytes : JOURNAL_SEGMENT_BYTES;
    writer->segment_bytes = segment_bytes / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES;
    if (writer->segment_bytes < 2 * JOURNAL_PAGE_BYTES)
        writer->segment_bytes = 2 * JOURNAL_PAGE_BYTES; /* a header and a frame */
    writer->frame = xmalloc(journal_frame_bytes(LIMIT_BATCH_BYTES));
    writer->zeros = xcalloc(1, ZERO_AHEAD_BYTES);
    return tail ? go_on(writer, tail, report, error) : begin_log(writer, error);
}

void journal_writer_close(struct journal_writer *writer)
{
    if (writer->fd >= 0)
        close(writer->fd);
    free(writer->frame);
    free(writer->zeros);
    *writer = (struct journal_writer){.fd = -1};
}
