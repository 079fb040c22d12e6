/* Damage of every kind to a real journal of 1,000 records: what is read is always an exact prefix
 * of what was written, and a loss that is no torn last write is always refused. */
#include "tests/unit/journal_kit.h"

#include <fcntl.h>

#include "io/journal_reader.h"
#include "io/journal_writer.h"
#include "io/log.h"

enum { RECORDS = 1000, FRAME_MAX = 256, SEGMENT_BYTES = 28 * 1024, CHECKPOINT_RECORDS = 150 };

struct place {
    uint32_t segment;
    size_t start, end; /* with the padding */
    unsigned records;  /* up to the end of this frame */
};

/* The journal as it was written. */
static struct {
    char *directory;
    uint32_t first, last; /* segments */
    size_t bytes[8];      /* of the segments, from first on */
    size_t whole;         /* of the base */
    struct place frames[FRAME_MAX];
    int frame_count;
} real;

static size_t encode(uint8_t *out, unsigned from, unsigned count)
{
    size_t size = 0;
    char record[KIT_RECORD_BYTES];
    for (unsigned n = from; n < from + count; n++) {
        size_t record_size = kit_record(record, n);
        size += journal_record_begin(out + size, record_size);
        memcpy(out + size, record, record_size);
        size += record_size;
    }
    return size;
}

static bool note_frame(void *self, const struct journal_visit *visit)
{
    (void)self;
    uint32_t number;
    bool new;
    assert_true(journal_name_parse(visit->file, &number, &new));
    struct place *last = real.frame_count ? &real.frames[real.frame_count - 1] : NULL;
    if (!last || last->segment != number || last->start != visit->offset) {
        assert_true(real.frame_count < FRAME_MAX);
        unsigned before = last ? last->records : 0;
        real.frames[real.frame_count++] =
            (struct place){.segment = number, .start = visit->offset, .records = before};
        last = &real.frames[real.frame_count - 1];
    }
    last->records++;
    return true;
}

static void note_places(void)
{
    struct journal_report report;
    assert_true(journal_read(real.directory, note_frame, NULL, &report, NULL));
    assert_int_equal(report.records, RECORDS);
    real.first = real.frames[0].segment;
    real.last = real.frames[real.frame_count - 1].segment;
    for (uint32_t number = real.first; number <= real.last; number++) {
        uint8_t *bytes = kit_load(real.directory, number, &real.bytes[number - real.first]);
        for (int i = 0; i < real.frame_count; i++) {
            struct journal_frame frame;
            struct place *place = &real.frames[i];
            if (place->segment != number)
                continue;
            assert_true(journal_frame_peek(bytes + place->start, &frame));
            place->end = place->start + journal_frame_bytes(frame.size);
        }
        free(bytes);
    }
}

/* Records 0 to 149 are a checkpoint that replaced others; the rest follows in batches of 30 to 89.
 */
static int write_real(void **state)
{
    (void)state;
    struct journal_writer writer;
    struct error error = {0};
    static uint8_t records[CHECKPOINT_RECORDS * KIT_RECORD_BYTES];
    real.directory = kit_directory();
    int fd = open(real.directory, O_RDONLY | O_DIRECTORY);
    assert_true(
        journal_writer_open(&writer, fd, real.directory, SEGMENT_BYTES, NULL, NULL, &error));
    assert_true(journal_writer_append(&writer, records, encode(records, 5000, 90), &error));
    size_t size = encode(records, 0, CHECKPOINT_RECORDS);
    assert_true(journal_writer_checkpoint(&writer, records, size, &error));
    real.whole = (size_t)writer.end;
    for (unsigned next = CHECKPOINT_RECORDS, batch; next < RECORDS; next += batch) {
        batch = 30 + (next * 31) % 60;
        batch = next + batch > RECORDS ? RECORDS - next : batch;
        assert_true(journal_writer_append(&writer, records, encode(records, next, batch), &error));
    }
    journal_writer_close(&writer);
    close(fd);
    note_places();
    assert_true(real.last - real.first >= 2); /* so there is a middle */
    return 0;
}

static int remove_real(void **state)
{
    (void)state;
    kit_remove(real.directory);
    return 0;
}

static char *copy_real(void)
{
    char *copy = kit_directory();
    for (uint32_t number = real.first; number <= real.last; number++) {
        size_t size;
        uint8_t *bytes = kit_load(real.directory, number, &size);
        kit_store(copy, number, bytes, size);
        free(bytes);
    }
    return copy;
}

static const struct place *last_frame(void)
{
    return &real.frames[real.frame_count - 1];
}

static unsigned records_before_last(void)
{
    return real.frames[real.frame_count - 2].records;
}

static size_t end_of(uint32_t segment)
{
    size_t end = JOURNAL_PAGE_BYTES;
    for (int i = 0; i < real.frame_count; i++) {
        if (real.frames[i].segment == segment)
            end = real.frames[i].end;
    }
    return end;
}

/* ---- what reading must say ---------------------------------------------------------------- */

struct verdict {
    bool accepted, torn;
    unsigned records; /* when accepted */
};

static struct verdict read_copy(const char *directory, struct error *error)
{
    struct kit_seen seen = {0};
    struct journal_report report;
    bool accepted = journal_read(directory, kit_visit, &seen, &report, error);
    /* Whatever the verdict: never a changed record, never one out of order. */
    if (seen.wrong || seen.count > RECORDS)
        fail_msg("a changed record was read");
    if (!accepted)
        assert_int_equal(error->kind, ERROR_CORRUPT);
    return (struct verdict){accepted, report.torn_tail, seen.count};
}

static void expect(struct verdict got, struct verdict wanted, const char *what, uint32_t segment,
                   size_t offset)
{
    if (got.accepted == wanted.accepted &&
        (!wanted.accepted || (got.torn == wanted.torn && got.records == wanted.records)))
        return;
    fail_msg("%s, segment %u, offset %zu: accepted %d torn %d records %u, expected %d %d %u", what,
             segment, offset, got.accepted, got.torn, got.records, wanted.accepted, wanted.torn,
             wanted.records);
}

static const struct verdict refused = {.accepted = false};

static struct verdict expected_of_flip(uint32_t segment, size_t offset)
{
    const struct place *last = last_frame();
    bool newest = segment == real.last;
    if (offset >= end_of(segment)) /* unused: the next segment proves that nothing is missing */
        return (struct verdict){true, newest, RECORDS};
    if (newest && offset >= last->start)
        return (struct verdict){true, true, records_before_last()};
    return refused;
}

static void flip_of_any_byte_is_refused_or_cuts_the_last_frame_alone(void **state)
{
    (void)state;
    char *copy = copy_real();
    for (uint32_t number = real.first; number <= real.last; number++) {
        size_t size;
        uint8_t *bytes = kit_load(copy, number, &size);
        char *path = kit_path(copy, number, JOURNAL_SUFFIX);
        int fd = open(path, O_WRONLY);
        for (size_t offset = 0; offset < size; offset++) {
            struct error error = {0};
            uint8_t flipped = bytes[offset] ^ (uint8_t)(1u << (offset % 8));
            assert_int_equal(pwrite(fd, &flipped, 1, (off_t)offset), 1);
            expect(read_copy(copy, &error), expected_of_flip(number, offset), "flip", number,
                   offset);
            assert_int_equal(pwrite(fd, bytes + offset, 1, (off_t)offset), 1);
        }
        close(fd);
        free(path);
        free(bytes);
    }
    struct error error = {0};
    expect(read_copy(copy, &error), (struct verdict){true, false, RECORDS}, "unchanged", 0, 0);
    kit_remove(copy);
}

static struct verdict expected_of_length(size_t length)
{
    struct verdict verdict = {true, false, 0};
    size_t whole_end = JOURNAL_PAGE_BYTES;
    if (length < JOURNAL_PAGE_BYTES)
        return refused;
    for (int i = 0; i < real.frame_count; i++) {
        const struct place *place = &real.frames[i];
        if (place->segment == real.last && place->end > length)
            continue;
        verdict.records = place->records;
        if (place->segment == real.last)
            whole_end = place->end;
    }
    verdict.torn = length > whole_end && whole_end < end_of(real.last);
    return verdict;
}

static void cut_at_any_length_leaves_an_exact_prefix(void **state)
{
    (void)state;
    char *copy = copy_real();
    char *path = kit_path(copy, real.last, JOURNAL_SUFFIX);
    for (size_t length = real.bytes[real.last - real.first]; length-- > 0;) {
        struct error error = {0};
        assert_int_equal(truncate(path, (off_t)length), 0);
        expect(read_copy(copy, &error), expected_of_length(length), "cut", real.last, length);
    }
    free(path);
    kit_remove(copy);
}

static void cut_of_a_segment_that_has_a_successor_is_refused(void **state)
{
    (void)state;
    for (uint32_t number = real.first; number < real.last; number++) {
        char *copy = copy_real();
        char *path = kit_path(copy, number, JOURNAL_SUFFIX);
        for (size_t length = end_of(number); length >= 512; length -= 512) {
            struct error error = {0};
            assert_int_equal(truncate(path, (off_t)length - 1), 0);
            expect(read_copy(copy, &error), refused, "cut", number, length - 1);
        }
        free(path);
        kit_remove(copy);
    }
}

static void cut_of_a_checkpoint_is_refused_though_nothing_follows(void **state)
{
    (void)state;
    char *copy = copy_real();
    char *path = kit_path(copy, real.first, JOURNAL_SUFFIX);
    for (uint32_t number = real.first + 1; number <= real.last; number++) {
        char *later = kit_path(copy, number, JOURNAL_SUFFIX);
        assert_int_equal(unlink(later), 0);
        free(later);
    }
    for (size_t length = real.whole + 200; length > JOURNAL_PAGE_BYTES; length--) {
        struct error error = {0};
        assert_int_equal(truncate(path, (off_t)length), 0);
        struct verdict verdict = read_copy(copy, &error);
        assert_int_equal(verdict.accepted, length >= real.whole);
        if (verdict.accepted)
            assert_int_equal(verdict.records, CHECKPOINT_RECORDS);
    }
    free(path);
    kit_remove(copy);
}

/* A disk that acknowledged a write and did not do it. */
static void lost_write_in_the_middle_is_refused(void **state)
{
    (void)state;
    for (int i = 0; i + 1 < real.frame_count; i++) {
        const struct place *place = &real.frames[i];
        struct error error = {0};
        size_t size;
        char *copy = copy_real();
        uint8_t *bytes = kit_load(copy, place->segment, &size);
        memset(bytes + place->start, 0, place->end - place->start);
        kit_store(copy, place->segment, bytes, size);
        expect(read_copy(copy, &error), refused, "lost frame", place->segment, place->start);
        assert_non_null(strstr(error.hint, "troth journal verify"));
        char *name = xasprintf("%08u.journal at offset %zu", place->segment, place->start);
        assert_non_null(strstr(error.message, name));
        free(name);
        free(bytes);
        kit_remove(copy);
    }
}

static void missing_segment_is_refused(void **state)
{
    (void)state;
    for (uint32_t number = real.first; number < real.last; number++) {
        struct error error = {0};
        char *copy = copy_real();
        char *path = kit_path(copy, number, JOURNAL_SUFFIX);
        assert_int_equal(unlink(path), 0);
        expect(read_copy(copy, &error), refused, "missing", number, 0);
        char *name = xasprintf("%08u.journal", number);
        assert_non_null(strstr(error.message, name));
        assert_non_null(strstr(error.detail, "missing"));
        free(name);
        free(path);
        kit_remove(copy);
    }
}

static void swapped_segments_are_refused(void **state)
{
    (void)state;
    struct error error = {0};
    size_t size_a, size_b;
    char *copy = copy_real();
    uint8_t *a = kit_load(copy, real.first + 1, &size_a), *b = kit_load(copy, real.last, &size_b);
    kit_store(copy, real.first + 1, b, size_b);
    kit_store(copy, real.last, a, size_a);
    expect(read_copy(copy, &error), refused, "swapped", real.last, 0);
    free(a);
    free(b);
    kit_remove(copy);
}

/* With a header checksum made right again, so that only the rule under test is left to see it. */
static void rewrite_header(const char *directory, uint32_t number,
                           void (*change)(struct journal_header *))
{
    size_t size;
    struct journal_header header;
    uint8_t *bytes = kit_load(directory, number, &size);
    assert_null(journal_header_decode(bytes, &header));
    change(&header);
    journal_header_encode(&header, bytes);
    kit_store(directory, number, bytes, size);
    free(bytes);
}

static void change_salt(struct journal_header *header)
{
    header->salt++;
}

static void change_batch(struct journal_header *header)
{
    header->first_batch++;
}

static void change_previous(struct journal_header *header)
{
    header->previous_crc++;
}

static void change_number(struct journal_header *header)
{
    header->number++;
}

static void change_base(struct journal_header *header)
{
    header->base = false;
}

static void changed_headers_are_refused(void **state)
{
    (void)state;
    const struct {
        uint32_t number;
        void (*change)(struct journal_header *);
    } cases[] = {{real.first, change_salt},      {real.first + 1, change_salt},
                 {real.first + 1, change_batch}, {real.last, change_batch},
                 {real.last, change_previous},   {real.last, change_number},
                 {real.first, change_base}};
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct error error = {0};
        char *copy = copy_real();
        rewrite_header(copy, cases[i].number, cases[i].change);
        expect(read_copy(copy, &error), refused, "header", cases[i].number, i);
        kit_remove(copy);
    }
}

/* ---- starting on it ----------------------------------------------------------------------- */

/* Opens for use, appends records, reads all again. */
static void start_and_append(const char *directory, unsigned survived)
{
    struct kit_seen seen = {0};
    struct error error = {0};
    struct journal_report report;
    struct journal_tail tail;
    struct journal_writer writer;
    uint8_t records[3 * KIT_RECORD_BYTES];
    int fd = open(directory, O_RDONLY | O_DIRECTORY);
    assert_int_equal(journal_scan(fd, directory, kit_visit, &seen, &report, &tail, &error),
                     JOURNAL_DONE);
    assert_int_equal(seen.count, survived);
    assert_true(journal_writer_open(&writer, fd, directory, SEGMENT_BYTES, &tail, &report, &error));
    assert_true(journal_writer_append(&writer, records, encode(records, survived, 2), &error));
    assert_true(journal_writer_append(&writer, records, encode(records, survived + 2, 1), &error));
    journal_writer_close(&writer);
    close(fd);

    seen = (struct kit_seen){0};
    assert_true(journal_read(directory, kit_visit, &seen, &report, &error));
    assert_false(seen.wrong || report.torn_tail);
    assert_int_equal(seen.count, survived + 3);
}

/* ---- torn writes of a frame of many pages ------------------------------------------------- */

/* The real journal and one more frame of eight pages, of which only those in `pages` were written.
 */
enum { TORN_PAGES = 8 };

struct torn {
    uint8_t *bytes; /* of the newest segment */
    size_t size, at;
    struct journal_frame frame;
    uint64_t salt;
};

static void torn_begin(struct torn *torn)
{
    struct journal_header header;
    struct journal_frame last;
    torn->bytes = kit_load(real.directory, real.last, &torn->size);
    torn->at = end_of(real.last);
    assert_null(journal_header_decode(torn->bytes, &header));
    assert_true(journal_frame_peek(torn->bytes + last_frame()->start, &last));
    torn->salt = header.salt;
    torn->frame =
        (struct journal_frame){.run = last.run, .batch = last.batch + 1, .previous_crc = last.crc};
    size_t needed = torn->at + (TORN_PAGES + 4) * JOURNAL_PAGE_BYTES;
    torn->bytes = xrealloc(torn->bytes, needed);
    memset(torn->bytes + torn->at, 0, needed - torn->at);
    torn->size = needed;
}

/* frame has TORN_PAGES pages. */
static void torn_fill(struct torn *torn, uint8_t *frame)
{
    uint8_t *records = frame + JOURNAL_FRAME_HEADER_BYTES;
    size_t room = TORN_PAGES * JOURNAL_PAGE_BYTES - JOURNAL_FRAME_HEADER_BYTES, size = 0;
    unsigned count = 0;
    char record[KIT_RECORD_BYTES];
    for (size_t next; size + (next = kit_record(record, RECORDS + count)) + 1 <= room; count++) {
        size += journal_record_begin(records + size, next);
        memcpy(records + size, record, next);
        size += next;
    }
    torn->frame.records = count;
    torn->frame.size = (uint32_t)size;
    journal_frame_seal(frame, &torn->frame, torn->salt);
    assert_int_equal(journal_frame_bytes(size), TORN_PAGES * JOURNAL_PAGE_BYTES);
}

static void write_in_part_is_cut_whatever_part_it_was(void **state)
{
    (void)state;
    struct torn torn;
    torn_begin(&torn);
    char *copy = copy_real();
    uint8_t frame[TORN_PAGES * JOURNAL_PAGE_BYTES];
    torn_fill(&torn, frame);
    for (unsigned pages = 0; pages < (1u << TORN_PAGES) - 1; pages++) {
        struct error error = {0};
        for (int i = 0; i < TORN_PAGES; i++) {
            size_t offset = (size_t)i * JOURNAL_PAGE_BYTES;
            if (pages & (1u << i))
                memcpy(torn.bytes + torn.at + offset, frame + offset, JOURNAL_PAGE_BYTES);
            else
                memset(torn.bytes + torn.at + offset, 0, JOURNAL_PAGE_BYTES);
        }
        kit_store(copy, real.last, torn.bytes, torn.size);
        expect(read_copy(copy, &error), (struct verdict){true, pages != 0, RECORDS}, "torn",
               real.last, pages);
        if (pages % 8 != 6)
            continue;
        start_and_append(copy, RECORDS); /* nothing of it may lie behind the new frames */
        kit_remove(copy);
        copy = copy_real();
    }
    free(torn.bytes);
    kit_remove(copy);
}

/* A torn frame whose record holds, on a page of its own, something that looks like a frame. */
static struct verdict read_with_embedded(uint64_t salt_change, int64_t batch_change)
{
    struct torn torn;
    struct error error = {0};
    torn_begin(&torn);
    struct journal_frame embedded = {.run = torn.frame.run,
                                     .batch = (uint64_t)((int64_t)torn.frame.batch + batch_change),
                                     .previous_crc = 1,
                                     .records = 1,
                                     .size = 101};
    uint8_t *page = torn.bytes + torn.at + JOURNAL_PAGE_BYTES;
    page[JOURNAL_FRAME_HEADER_BYTES] = 100;
    memset(page + JOURNAL_FRAME_HEADER_BYTES + 1, 'x', 100);
    journal_frame_seal(page, &embedded, torn.salt + salt_change);
    /* One record over three pages, with a good header: only its last page was not written. */
    torn.frame.records = 1;
    torn.frame.size = 3 * JOURNAL_PAGE_BYTES;
    uint8_t whole[4 * JOURNAL_PAGE_BYTES] = {0};
    memcpy(whole + JOURNAL_PAGE_BYTES, page, JOURNAL_PAGE_BYTES);
    memset(whole + 2 * JOURNAL_PAGE_BYTES, 'y', JOURNAL_PAGE_BYTES);
    journal_frame_seal(whole, &torn.frame, torn.salt);
    memcpy(torn.bytes + torn.at, whole, 2 * JOURNAL_PAGE_BYTES);
    char *copy = copy_real();
    kit_store(copy, real.last, torn.bytes, torn.size);
    struct verdict verdict = read_copy(copy, &error);
    free(torn.bytes);
    kit_remove(copy);
    return verdict;
}

static void frame_inside_a_record_is_no_frame_of_the_log(void **state)
{
    (void)state;
    const struct verdict cut = {true, true, RECORDS};
    /* Of another segment or journal: its salt is another. */
    expect(read_with_embedded(1, 0), cut, "embedded, other salt", real.last, 0);
    expect(read_with_embedded(1, 1), cut, "embedded, other salt", real.last, 1);
    /* A copy of an earlier one of this very segment. */
    expect(read_with_embedded(0, -3), cut, "embedded, earlier", real.last, 2);
    /* The same with this salt and a batch still to come is what a lost write leaves. */
    expect(read_with_embedded(0, 1), refused, "a later frame", real.last, 3);
}

static void damage_longer_than_a_write_is_refused(void **state)
{
    (void)state;
    struct error error = {0};
    char *copy = copy_real();
    char *path = kit_path(copy, real.last, JOURNAL_SUFFIX);
    int fd = open(path, O_WRONLY);
    off_t end = (off_t)end_of(real.last);
    off_t longest = (off_t)journal_frame_bytes(LIMIT_BATCH_BYTES);
    assert_int_equal(pwrite(fd, "x", 1, end), 1);
    assert_int_equal(pwrite(fd, "x", 1, end + longest - 1), 1);
    expect(read_copy(copy, &error), (struct verdict){true, true, RECORDS}, "longest", real.last, 0);
    assert_int_equal(pwrite(fd, "x", 1, end + longest), 1);
    expect(read_copy(copy, &error), refused, "longer", real.last, 0);
    assert_int_equal(ftruncate(fd, end + longest), 0);
    start_and_append(copy, RECORDS); /* which cuts all of it */
    close(fd);
    free(path);
    kit_remove(copy);
}

static void start_after_any_torn_tail_goes_on_behind_what_survived(void **state)
{
    (void)state;
    const struct place *last = last_frame();
    for (size_t offset = last->start; offset < last->end; offset += 61) {
        size_t size;
        char *copy = copy_real();
        uint8_t *bytes = kit_load(copy, real.last, &size);
        bytes[offset] ^= 0x55;
        kit_store(copy, real.last, bytes, size);
        start_and_append(copy, records_before_last());
        free(bytes);
        kit_remove(copy);
    }
}

static void start_after_a_cut_goes_on_behind_what_survived(void **state)
{
    (void)state;
    for (size_t length = JOURNAL_PAGE_BYTES; length < end_of(real.last) + 5000; length += 997) {
        char *copy = copy_real();
        char *path = kit_path(copy, real.last, JOURNAL_SUFFIX);
        assert_int_equal(truncate(path, (off_t)length), 0);
        start_and_append(copy, expected_of_length(length).records);
        free(path);
        kit_remove(copy);
    }
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    log_setup("journal_damage", LOG_TEXT, LOG_ERROR); /* each start here cuts a torn tail */
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(flip_of_any_byte_is_refused_or_cuts_the_last_frame_alone),
        cmocka_unit_test(cut_at_any_length_leaves_an_exact_prefix),
        cmocka_unit_test(cut_of_a_segment_that_has_a_successor_is_refused),
        cmocka_unit_test(cut_of_a_checkpoint_is_refused_though_nothing_follows),
        cmocka_unit_test(lost_write_in_the_middle_is_refused),
        cmocka_unit_test(missing_segment_is_refused),
        cmocka_unit_test(swapped_segments_are_refused),
        cmocka_unit_test(changed_headers_are_refused),
        cmocka_unit_test(write_in_part_is_cut_whatever_part_it_was),
        cmocka_unit_test(frame_inside_a_record_is_no_frame_of_the_log),
        cmocka_unit_test(damage_longer_than_a_write_is_refused),
        cmocka_unit_test(start_after_any_torn_tail_goes_on_behind_what_survived),
        cmocka_unit_test(start_after_a_cut_goes_on_behind_what_survived),
    };
    return cmocka_run_group_tests(tests, write_real, remove_real);
}
