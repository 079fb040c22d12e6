/* A journal of hostile segments: reading it must not crash; what it accepts must be well-formed,
 * and a start on it must keep all of it.
 *
 * The input: a byte of flags (0x80: raw), then segments 1, 2, 3, each
 *   raw:   a u16 size (little-endian) and the bytes of the file
 *   built: a byte of flags (1: base, 2: wrong batch, 4: wrong link, 8: whole to its end, 16: not
 *          there, 32: a number of its own), a byte that is xored into the file, a u16 offset where;
 *          a byte with the number of frames; for each a byte of flags (1: wrong batch, 2: wrong
 *          link, 4: older run, 8: one record fewer, 16: torn), a u16 size and the records' bytes.
 * Built files have right checksums, so that the fuzzer gets behind them. */
#include <dirent.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/check.h"
#include "io/journal_reader.h"
#include "io/journal_writer.h"
#include "io/log.h"

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size);

enum { RAW = 0x80, SEGMENTS = 3, FILE_MAX = 256 * 1024 };
enum { BASE = 1, WRONG_BATCH = 2, WRONG_LINK = 4, WHOLE = 8, ABSENT = 16, OWN_NUMBER = 32 };
enum { FRAME_BATCH = 1, FRAME_LINK = 2, FRAME_RUN = 4, FRAME_FEWER = 8, FRAME_TORN = 16 };

static char directory[64];
static int directory_fd = -1;

struct input {
    const uint8_t *at, *end;
};

static unsigned take(struct input *input)
{
    return input->at < input->end ? *input->at++ : 0;
}

static unsigned take_u16(struct input *input)
{
    unsigned low = take(input);
    return low | take(input) << 8;
}

static const uint8_t *take_bytes(struct input *input, size_t *size)
{
    *size = take_u16(input);
    size_t left = (size_t)(input->end - input->at);
    if (*size > left)
        *size = left;
    input->at += *size;
    return input->at - *size;
}

/* ---- files -------------------------------------------------------------------------------- */

static void clear_directory(void)
{
    DIR *stream = opendir(directory);
    CHECK(stream != NULL);
    for (struct dirent *entry; (entry = readdir(stream)) != NULL;)
        unlinkat(directory_fd, entry->d_name, 0);
    closedir(stream);
}

static void remove_directory(void)
{
    clear_directory();
    rmdir(directory);
}

static void make_directory(void)
{
    if (directory_fd >= 0)
        return;
    strcpy(directory,
           access("/dev/shm", W_OK) == 0 ? "/dev/shm/troth-fuzz-XXXXXX" : "/tmp/troth-fuzz-XXXXXX");
    CHECK(mkdtemp(directory) != NULL);
    directory_fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    CHECK(directory_fd >= 0);
    atexit(remove_directory);
    log_setup("fuzz", LOG_TEXT, LOG_ERROR);
}

static void store(uint32_t number, const uint8_t *bytes, size_t size)
{
    char name[JOURNAL_NAME_BYTES];
    journal_name_format(name, number, JOURNAL_SUFFIX);
    int fd = openat(directory_fd, name, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    CHECK(fd >= 0 && write(fd, bytes, size) == (ssize_t)size);
    close(fd);
}

/* ---- building ----------------------------------------------------------------------------- */

static uint32_t count_records(const uint8_t *at, size_t size)
{
    const uint8_t *end = at + size;
    const void *record;
    size_t record_size;
    uint32_t count = 0;
    while (at != end && journal_record_take(&at, end, &record, &record_size))
        count++;
    return count ? count : 1;
}

/* Returns the bytes of the frame, 0 when it has no records or does not fit. */
static size_t build_frame(struct input *input, uint8_t *out, size_t room, uint64_t salt,
                          struct journal_chain *chain)
{
    size_t size;
    unsigned flags = take(input);
    const uint8_t *records = take_bytes(input, &size);
    size_t total = journal_frame_bytes(size);
    if (size == 0 || total > room)
        return 0;
    struct journal_frame frame = {.size = (uint32_t)size,
                                  .run = chain->run - !!(flags & FRAME_RUN),
                                  .batch = chain->batch + !!(flags & FRAME_BATCH),
                                  .records = count_records(records, size),
                                  .previous_crc = chain->crc ^ !!(flags & FRAME_LINK)};
    if ((flags & FRAME_FEWER) && frame.records > 1)
        frame.records--;
    memcpy(out + JOURNAL_FRAME_HEADER_BYTES, records, size);
    journal_frame_seal(out, &frame, salt);
    if (flags & FRAME_TORN)
        memset(out, 0, total / 2);
    *chain = (struct journal_chain){chain->batch + 1, frame.crc, chain->run};
    return total;
}

static void build_segment(struct input *input, uint32_t number, struct journal_chain *chain)
{
    static uint8_t file[FILE_MAX];
    unsigned flags = take(input), flip = take(input), flip_at = take_u16(input);
    unsigned frames = take(input);
    memset(file, 0, sizeof(file));
    struct journal_header header = {.number = number + !!(flags & OWN_NUMBER),
                                    .base = flags & BASE,
                                    .run = chain->run,
                                    .salt = 1000 + number,
                                    .first_batch = chain->batch + !!(flags & WRONG_BATCH),
                                    .whole_bytes = JOURNAL_PAGE_BYTES,
                                    .previous_crc = chain->crc ^ !!(flags & WRONG_LINK)};
    size_t end = JOURNAL_PAGE_BYTES;
    for (unsigned i = 0; i < frames && input->at < input->end; i++)
        end += build_frame(input, file + end, sizeof(file) - end, header.salt, chain);
    if (flags & WHOLE)
        header.whole_bytes = end;
    journal_header_encode(&header, file);
    file[flip_at] ^= (uint8_t)flip;
    size_t size = end + 4 * JOURNAL_PAGE_BYTES;
    if (!(flags & ABSENT))
        store(number, file, size < sizeof(file) ? size : sizeof(file));
}

static void build(const uint8_t *bytes, size_t size)
{
    struct input input = {bytes, bytes + size};
    struct journal_chain chain = {.batch = 1, .run = 1};
    unsigned flags = take(&input);
    for (uint32_t number = 1; number <= SEGMENTS && input.at < input.end; number++) {
        if (flags & RAW) {
            size_t file_size;
            const uint8_t *file = take_bytes(&input, &file_size);
            store(number, file, file_size);
        } else {
            build_segment(&input, number, &chain);
        }
    }
}

/* ---- reading ------------------------------------------------------------------------------ */

struct seen {
    uint64_t records, bytes, batch;
};

static bool see(void *self, const struct journal_visit *visit)
{
    struct seen *seen = self;
    CHECK(visit->size > 0 && visit->size <= LIMIT_RECORD_BYTES);
    CHECK(visit->batch >= seen->batch && visit->offset >= JOURNAL_PAGE_BYTES);
    seen->batch = visit->batch;
    seen->records++;
    for (size_t i = 0; i < visit->size; i++) /* a sanitizer sees a record that is not all there */
        seen->bytes += ((const uint8_t *)visit->record)[i];
    return true;
}

static void start_on_it(const struct seen *before)
{
    static const uint8_t record[] = {3, 'e', 'n', 'd'};
    struct journal_report report;
    struct journal_tail tail;
    struct journal_writer writer;
    struct error error = {0};
    struct seen after = {0};
    CHECK(journal_scan(directory_fd, directory, NULL, NULL, &report, &tail, &error) ==
          JOURNAL_DONE);
    CHECK(journal_writer_open(&writer, directory_fd, directory, 32 * 1024, &tail, &report, &error));
    CHECK(journal_writer_append(&writer, record, sizeof(record), &error));
    journal_writer_close(&writer);
    CHECK(journal_read(directory, see, &after, &report, &error));
    CHECK(!report.torn_tail);
    CHECK(after.records == before->records + 1);
    CHECK(after.bytes == before->bytes + 'e' + 'n' + 'd');
}

int LLVMFuzzerTestOneInput(const uint8_t *bytes, size_t size)
{
    struct seen seen = {0};
    struct journal_report report;
    struct error error = {0};
    make_directory();
    clear_directory();
    build(bytes, size);
    if (journal_read(directory, see, &seen, &report, &error)) {
        CHECK(report.records == seen.records);
        start_on_it(&seen);
    } else {
        CHECK(error.kind == ERROR_CORRUPT || report.segments == 0);
        CHECK(error.message[0] != '\0');
    }
    return 0;
}
