#include "io/journal_reader.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "core/check.h"

enum { READ_AHEAD_BYTES = 256 * 1024 };

struct segment {
    int fd;
    uint64_t bytes;
    struct journal_header header;
};

struct reader {
    int directory_fd;
    const char *directory;
    bool (*visit)(void *self, const struct journal_visit *visit);
    void *self;
    struct journal_report *report;
    struct journal_tail *tail;
    struct error *error;

    uint32_t *numbers; /* of all segment files, ascending */
    size_t number_count;
    struct segment *segments; /* the log: from the base on, ascending */
    size_t segment_count;

    /* A window on the segment that is being read. */
    uint8_t *window;
    size_t window_room, window_bytes;
    uint64_t window_at;
};

/* ---- errors ------------------------------------------------------------------------------- */

static bool damaged(struct reader *reader, uint32_t number, uint64_t offset, const char *detail)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, number, JOURNAL_SUFFIX);
    error_set(reader->error, ERROR_CORRUPT, "the journal is damaged: %s/%s at offset %" PRIu64,
              reader->directory, name, offset);
    error_detail(reader->error, "%s", detail);
    return error_hint(reader->error,
                      "look with `troth journal verify %s`, then bring back an undamaged copy; "
                      "prepared transactions wait for the decisions in it",
                      reader->directory);
}

static bool failed(struct reader *reader, const char *what, const char *name)
{
    int code = errno;
    error_set(reader->error, ERROR_IO, "cannot %s %s/%s: %s", what, reader->directory, name,
              strerror(code));
    return error_hint(reader->error, code == EACCES || code == EPERM
                                         ? "run as the owner of the journal directory"
                                         : "look at the disk and at the kernel's log (dmesg)");
}

/* ---- the files ---------------------------------------------------------------------------- */

static int compare_numbers(const void *a, const void *b)
{
    uint32_t x = *(const uint32_t *)a, y = *(const uint32_t *)b;
    return (x > y) - (x < y);
}

static bool list(struct reader *reader)
{
    int fd = openat(reader->directory_fd, ".", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    if (!stream) {
        failed(reader, "read the directory", "");
        if (fd >= 0)
            close(fd);
        return false;
    }
    size_t room = 0;
    reader->number_count = 0;
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;) {
        uint32_t number;
        bool new;
        if (!journal_name_parse(entry->d_name, &number, &new) || new)
            continue;
        if (reader->number_count == room) {
            room = room ? 2 * room : 16;
            reader->numbers = xrealloc(reader->numbers, room * sizeof(*reader->numbers));
        }
        reader->numbers[reader->number_count++] = number;
    }
    closedir(stream);
    if (reader->number_count > 0)
        qsort(reader->numbers, reader->number_count, sizeof(*reader->numbers), compare_numbers);
    return true;
}

/* *gone: a running coordinator deleted the file after the directory was listed. */
static bool open_segment(struct reader *reader, uint32_t number, struct segment *segment,
                         bool *gone)
{
    char name[JOURNAL_NAME_BYTES];
    uint8_t page[JOURNAL_PAGE_BYTES];
    journal_name_format(name, number, JOURNAL_SUFFIX);
    segment->fd = openat(reader->directory_fd, name, O_RDONLY | O_CLOEXEC);
    *gone = segment->fd < 0 && errno == ENOENT;
    if (segment->fd < 0)
        return failed(reader, "open", name);
    reader->segment_count++; /* from here on close_segments closes it */
    struct stat facts;
    if (fstat(segment->fd, &facts) != 0)
        return failed(reader, "read", name);
    segment->bytes = (uint64_t)facts.st_size;
    ssize_t got = pread(segment->fd, page, sizeof(page), 0);
    if (got < 0)
        return failed(reader, "read", name);
    if (got != sizeof(page))
        return damaged(reader, number, 0, "the file is shorter than its header page");
    const char *wrong = journal_header_decode(page, &segment->header);
    if (wrong)
        return damaged(reader, number, 0, wrong);
    if (segment->header.number != number)
        return damaged(reader, number, 0, "it is another segment's file under this name");
    return true;
}

static void close_segments(struct reader *reader)
{
    for (size_t i = 0; i < reader->segment_count; i++)
        close(reader->segments[i].fd);
    reader->segment_count = 0;
}

/* Opens backwards from the newest segment to the newest base. */
static bool open_log(struct reader *reader, bool *gone)
{
    size_t count = reader->number_count;
    reader->segments = xrealloc(reader->segments, (count + 1) * sizeof(*reader->segments));
    for (size_t i = count; i-- > 0;) {
        uint32_t number = reader->numbers[i];
        if (i + 1 < count && reader->numbers[i + 1] != number + 1)
            return damaged(reader, number + 1, 0, "this segment is missing");
        struct segment *segment = &reader->segments[reader->segment_count];
        if (!open_segment(reader, number, segment, gone))
            return false;
        if (segment->header.base) {
            for (size_t a = 0, b = reader->segment_count - 1; a < b; a++, b--) {
                struct segment other = reader->segments[a];
                reader->segments[a] = reader->segments[b];
                reader->segments[b] = other;
            }
            return true;
        }
    }
    return damaged(reader, reader->numbers[0] > 1 ? reader->numbers[0] - 1 : 1, 0,
                   "the segment that the log starts with is missing");
}

/* A journal in use may delete what was just listed; each time it did, a newer base is there. */
static bool find_log(struct reader *reader)
{
    bool found = false, gone = true;
    for (int tries = 0; !found && gone && tries < 100; tries++) {
        gone = false;
        close_segments(reader);
        if (!list(reader))
            return false;
        found = reader->number_count == 0 || open_log(reader, &gone);
    }
    return found;
}

/* ---- frames ------------------------------------------------------------------------------- */

/* size bytes of the file at offset, which must lie in it; NULL with an error. */
static const uint8_t *look(struct reader *reader, const struct segment *segment, uint64_t offset,
                           size_t size)
{
    CHECK(offset + size <= segment->bytes);
    if (offset >= reader->window_at && offset + size <= reader->window_at + reader->window_bytes)
        return reader->window + (offset - reader->window_at);
    uint64_t left = segment->bytes - offset;
    size_t want = left < READ_AHEAD_BYTES ? (size_t)left : READ_AHEAD_BYTES;
    if (want < size)
        want = size;
    if (want > reader->window_room) {
        reader->window = xrealloc(reader->window, want);
        reader->window_room = want;
    }
    reader->window_at = offset;
    reader->window_bytes = 0;
    while (reader->window_bytes < size) {
        ssize_t got = pread(segment->fd, reader->window + reader->window_bytes,
                            want - reader->window_bytes, (off_t)(offset + reader->window_bytes));
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0) {
            char name[JOURNAL_NAME_BYTES];
            journal_name_format(name, segment->header.number, JOURNAL_SUFFIX);
            if (got == 0)
                errno = EIO; /* it became shorter while we read */
            failed(reader, "read", name);
            return NULL;
        }
        reader->window_bytes += (size_t)got;
    }
    return reader->window;
}

static void forget_window(struct reader *reader)
{
    reader->window_bytes = 0;
}

enum found { FOUND_FRAME, FOUND_NONE, FOUND_ERROR };

/* Is there a valid frame of this segment at offset? */
static enum found frame_at(struct reader *reader, const struct segment *segment, uint64_t offset,
                           struct journal_frame *frame, const uint8_t **bytes)
{
    if (offset + JOURNAL_PAGE_BYTES > segment->bytes)
        return FOUND_NONE;
    *bytes = look(reader, segment, offset, JOURNAL_PAGE_BYTES);
    if (!*bytes)
        return FOUND_ERROR;
    if (!journal_frame_peek(*bytes, frame))
        return FOUND_NONE;
    size_t total = journal_frame_bytes(frame->size);
    if (offset + total > segment->bytes)
        return FOUND_NONE;
    *bytes = look(reader, segment, offset, total);
    if (!*bytes)
        return FOUND_ERROR;
    return journal_frame_valid(*bytes, frame, segment->header.salt) ? FOUND_FRAME : FOUND_NONE;
}

/* What is wrong with a valid frame at this place, or NULL. */
static const char *misplaced(const struct journal_chain *chain, const struct journal_frame *frame,
                             const uint8_t *bytes)
{
    if (frame->batch != chain->batch)
        return "a batch has the wrong number: one before it is missing, or it was moved";
    if (frame->previous_crc != chain->crc)
        return "a batch does not continue the one before it";
    if (frame->run < chain->run)
        return "a batch is of an older run than the one before it";
    if (!journal_records_valid(bytes + JOURNAL_FRAME_HEADER_BYTES, frame->size, frame->records))
        return "a batch has a good checksum, and records that are malformed";
    return NULL;
}

static bool deliver(struct reader *reader, const struct segment *segment, uint64_t offset,
                    const struct journal_frame *frame, const uint8_t *bytes)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, segment->header.number, JOURNAL_SUFFIX);
    struct journal_visit visit = {.file = name, .offset = offset, .batch = frame->batch};
    const uint8_t *at = bytes + JOURNAL_FRAME_HEADER_BYTES, *end = at + frame->size;
    reader->report->frames++;
    while (at != end) {
        CHECK(journal_record_take(&at, end, &visit.record, &visit.size));
        reader->report->records++;
        if (reader->visit && !reader->visit(reader->self, &visit))
            return false;
    }
    return true;
}

/* ---- the end ------------------------------------------------------------------------------ */

static uint64_t page_up(uint64_t offset)
{
    return (offset + JOURNAL_PAGE_BYTES - 1) / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES;
}

/* The next offset at or behind this one where the file may hold anything but zeros: files are
 * allocated far ahead, and holes and unwritten parts need no reading. */
static uint64_t skip_hole(const struct segment *segment, uint64_t offset)
{
    off_t data = lseek(segment->fd, (off_t)offset, SEEK_DATA);
    if (data < 0)
        return errno == ENXIO ? segment->bytes : offset;
    uint64_t page = (uint64_t)data / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES;
    return page > offset ? page : offset;
}

/* Looks behind the end of the valid frames. *dirty_end: where the last page that is not all zeros
 * ends. *later: the offset of a valid frame that is still to come, or 0. */
static bool search_rest(struct reader *reader, const struct segment *segment, uint64_t end,
                        uint64_t *dirty_end, uint64_t *later)
{
    *dirty_end = end;
    *later = 0;
    uint64_t hole_checked = end;
    for (uint64_t offset = end; offset < segment->bytes; offset += JOURNAL_PAGE_BYTES) {
        if (offset >= hole_checked) {
            offset = skip_hole(segment, offset);
            hole_checked = offset + READ_AHEAD_BYTES;
            if (offset >= segment->bytes)
                break;
        }
        uint64_t left = segment->bytes - offset;
        size_t size = left < JOURNAL_PAGE_BYTES ? (size_t)left : JOURNAL_PAGE_BYTES;
        const uint8_t *bytes = look(reader, segment, offset, size);
        if (!bytes)
            return false;
        if (journal_all_zero(bytes, size))
            continue;
        *dirty_end = offset + size;
        struct journal_frame frame;
        enum found found =
            offset == end ? FOUND_NONE : frame_at(reader, segment, offset, &frame, &bytes);
        if (found == FOUND_ERROR)
            return false;
        if (found == FOUND_FRAME && frame.batch >= reader->tail->chain.batch) {
            *later = offset;
            return true;
        }
    }
    *dirty_end = page_up(*dirty_end);
    return true;
}

/* No valid frame at tail->end of the newest segment: a clean end, a torn tail, or corruption.
 * *again: a running coordinator has just written it; read on. */
static bool judge_end(struct reader *reader, const struct segment *segment, bool *again)
{
    struct journal_tail *tail = reader->tail;
    uint64_t later = 0;
    char detail[256];
    if (!search_rest(reader, segment, tail->end, &tail->dirty_end, &later))
        return false;
    if (later != 0 && !*again) {
        forget_window(reader);
        *again = true;
        return true;
    }
    *again = false;
    if (later != 0) {
        snprintf(detail, sizeof(detail),
                 "batch %" PRIu64 " is unreadable, and a valid one that is newer follows at offset "
                 "%" PRIu64 ": this is no torn last write",
                 tail->chain.batch, later);
        return damaged(reader, segment->header.number, tail->end, detail);
    }
    if (tail->end < segment->header.whole_bytes) {
        snprintf(detail, sizeof(detail), "batch %" PRIu64 " of a checkpoint is unreadable",
                 tail->chain.batch);
        return damaged(reader, segment->header.number, tail->end, detail);
    }
    if (tail->dirty_end - tail->end > journal_frame_bytes(LIMIT_BATCH_BYTES))
        return damaged(reader, segment->header.number, tail->end,
                       "more is unreadable than one write can leave");
    if (tail->dirty_end > tail->end) {
        reader->report->torn_tail = true;
        reader->report->torn_offset = tail->end;
        journal_name_format(reader->report->torn_file, segment->header.number, JOURNAL_SUFFIX);
    }
    return true;
}

/* ---- the log ------------------------------------------------------------------------------ */

static bool header_continues(const struct journal_chain *chain, const struct journal_header *header)
{
    return header->first_batch == chain->batch && header->previous_crc == chain->crc &&
           header->run >= chain->run;
}

/* The segment ends at tail->end: is that the end of the log, or does the next segment go on? */
static bool leave(struct reader *reader, size_t index, bool *again)
{
    const struct segment *segment = &reader->segments[index];
    if (index + 1 == reader->segment_count)
        return judge_end(reader, segment, again);
    *again = false;
    if (reader->tail->end >= segment->header.whole_bytes &&
        header_continues(&reader->tail->chain, &reader->segments[index + 1].header))
        return true;
    char detail[256];
    snprintf(detail, sizeof(detail),
             "batch %" PRIu64 " is unreadable or missing, yet the log goes on in segment %" PRIu32,
             reader->tail->chain.batch, segment->header.number + 1);
    return damaged(reader, segment->header.number, reader->tail->end, detail);
}

static enum journal_scan read_segment(struct reader *reader, size_t index)
{
    const struct segment *segment = &reader->segments[index];
    struct journal_tail *tail = reader->tail;
    tail->header = segment->header;
    tail->file_bytes = segment->bytes;
    tail->last_frame = 0;
    tail->end = tail->dirty_end = JOURNAL_PAGE_BYTES;
    forget_window(reader);
    for (bool again = false;;) {
        struct journal_frame frame;
        const uint8_t *bytes;
        enum found found = frame_at(reader, segment, tail->end, &frame, &bytes);
        if (found == FOUND_ERROR)
            return JOURNAL_FAILED;
        if (found == FOUND_NONE) {
            if (!leave(reader, index, &again))
                return JOURNAL_FAILED;
            if (!again)
                return JOURNAL_DONE;
            continue;
        }
        again = false;
        const char *wrong = misplaced(&tail->chain, &frame, bytes);
        if (wrong) {
            damaged(reader, segment->header.number, tail->end, wrong);
            return JOURNAL_FAILED;
        }
        if (!deliver(reader, segment, tail->end, &frame, bytes))
            return JOURNAL_STOPPED;
        uint64_t total = journal_frame_bytes(frame.size);
        if (index == 0 && tail->end < segment->header.whole_bytes)
            tail->checkpoint_bytes += total;
        else
            tail->since_checkpoint_bytes += total;
        tail->last_frame = tail->end;
        tail->end += total;
        tail->chain = (struct journal_chain){frame.batch + 1, frame.crc, frame.run};
    }
}

static enum journal_scan read_log(struct reader *reader)
{
    if (!find_log(reader))
        return JOURNAL_FAILED;
    if (reader->segment_count == 0)
        return JOURNAL_EMPTY;
    const struct journal_header *base = &reader->segments[0].header;
    reader->tail->first = base->number;
    reader->tail->chain = (struct journal_chain){base->first_batch, base->previous_crc, base->run};
    for (size_t i = 0; i < reader->segment_count; i++) {
        reader->report->segments++;
        reader->report->bytes += reader->segments[i].bytes;
        enum journal_scan result = read_segment(reader, i);
        if (result != JOURNAL_DONE)
            return result;
    }
    return JOURNAL_DONE;
}

enum journal_scan journal_scan(int directory_fd, const char *directory,
                               bool (*visit)(void *self, const struct journal_visit *visit),
                               void *self, struct journal_report *report, struct journal_tail *tail,
                               struct error *error)
{
    *report = (struct journal_report){0};
    *tail = (struct journal_tail){0};
    struct reader reader = {.directory_fd = directory_fd,
                            .directory = directory,
                            .visit = visit,
                            .self = self,
                            .report = report,
                            .tail = tail,
                            .error = error};
    enum journal_scan result = read_log(&reader);
    close_segments(&reader);
    free(reader.segments);
    free(reader.numbers);
    free(reader.window);
    return result;
}

bool journal_read(const char *directory, bool (*visit)(void *self, const struct journal_visit *),
                  void *self, struct journal_report *report, struct error *error)
{
    struct journal_report unused;
    struct journal_tail tail;
    int fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (fd < 0) {
        error_set(error, ERROR_IO, "cannot open the journal directory %s: %s", directory,
                  strerror(errno));
        return error_hint(error, "name the directory of `journal.directory` in trothd.yaml");
    }
    enum journal_scan result =
        journal_scan(fd, directory, visit, self, report ? report : &unused, &tail, error);
    close(fd);
    if (result == JOURNAL_EMPTY) {
        error_set(error, ERROR_USAGE, "there is no journal in %s", directory);
        return error_hint(error, "name the directory of `journal.directory` in trothd.yaml");
    }
    return result == JOURNAL_DONE || result == JOURNAL_STOPPED;
}
