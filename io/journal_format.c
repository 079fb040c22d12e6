#include "io/journal_format.h"

#include <stdio.h>
#include <string.h>

#include "core/check.h"
#include "core/crc32c.h"

static const char segment_magic[8] = {'T', 'R', 'O', 'T', 'H', 'J', 'N', 'L'};
static const char frame_magic[4] = {'T', 'J', 'F', 'R'};

enum { VERSION = 1, FLAG_BASE = 1 };

/* Places in the header page and in a frame. */
enum {
    AT_VERSION = 8,
    AT_FLAGS = 12,
    AT_NUMBER = 16,
    AT_SEGMENT_RUN = 24,
    AT_SALT = 32,
    AT_FIRST_BATCH = 40,
    AT_WHOLE_BYTES = 48,
    AT_SEGMENT_PREVIOUS = 56,
    AT_SEGMENT_CRC = JOURNAL_PAGE_BYTES - 4,

    AT_SIZE = 4,
    AT_RUN = 8,
    AT_BATCH = 16,
    AT_RECORDS = 24,
    AT_PREVIOUS = 28,
    AT_CRC = 32,
};
_Static_assert(AT_CRC + 4 == JOURNAL_FRAME_HEADER_BYTES, "the CRC is a frame header's last field");

static void put(uint8_t *at, uint64_t value, int bytes)
{
    for (int i = 0; i < bytes; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint64_t get(const uint8_t *at, int bytes)
{
    uint64_t value = 0;
    for (int i = 0; i < bytes; i++)
        value |= (uint64_t)at[i] << (8 * i);
    return value;
}

void journal_header_encode(const struct journal_header *header, uint8_t *page)
{
    memset(page, 0, JOURNAL_PAGE_BYTES);
    memcpy(page, segment_magic, sizeof(segment_magic));
    put(page + AT_VERSION, VERSION, 4);
    put(page + AT_FLAGS, header->base ? FLAG_BASE : 0, 4);
    put(page + AT_NUMBER, header->number, 8);
    put(page + AT_SEGMENT_RUN, header->run, 8);
    put(page + AT_SALT, header->salt, 8);
    put(page + AT_FIRST_BATCH, header->first_batch, 8);
    put(page + AT_WHOLE_BYTES, header->whole_bytes, 8);
    put(page + AT_SEGMENT_PREVIOUS, header->previous_crc, 4);
    put(page + AT_SEGMENT_CRC, crc32c(0, page, AT_SEGMENT_CRC), 4);
}

const char *journal_header_decode(const uint8_t *page, struct journal_header *header)
{
    if (memcmp(page, segment_magic, sizeof(segment_magic)) != 0)
        return "its first page is not the header of a journal segment";
    if (get(page + AT_SEGMENT_CRC, 4) != crc32c(0, page, AT_SEGMENT_CRC))
        return "its header page fails its checksum";
    if (get(page + AT_VERSION, 4) != VERSION)
        return "its format is of another version of Troth";
    uint64_t flags = get(page + AT_FLAGS, 4), number = get(page + AT_NUMBER, 8);
    *header = (struct journal_header){
        .number = (uint32_t)number,
        .base = flags & FLAG_BASE,
        .run = get(page + AT_SEGMENT_RUN, 8),
        .salt = get(page + AT_SALT, 8),
        .first_batch = get(page + AT_FIRST_BATCH, 8),
        .whole_bytes = get(page + AT_WHOLE_BYTES, 8),
        .previous_crc = (uint32_t)get(page + AT_SEGMENT_PREVIOUS, 4),
    };
    if ((flags & ~(uint64_t)FLAG_BASE) != 0 || number == 0 || number > JOURNAL_NUMBER_LIMIT ||
        header->first_batch == 0 || header->whole_bytes < JOURNAL_PAGE_BYTES ||
        header->whole_bytes % JOURNAL_PAGE_BYTES != 0)
        return "its header holds values that no Troth writes";
    return NULL;
}

bool journal_all_zero(const uint8_t *bytes, size_t size)
{
    return size == 0 || (bytes[0] == 0 && memcmp(bytes, bytes + 1, size - 1) == 0);
}

size_t journal_frame_bytes(size_t size)
{
    size_t bytes = JOURNAL_FRAME_HEADER_BYTES + size;
    return (bytes + JOURNAL_PAGE_BYTES - 1) / JOURNAL_PAGE_BYTES * JOURNAL_PAGE_BYTES;
}

static uint32_t checksum(const uint8_t *bytes, size_t size, uint64_t salt)
{
    uint8_t salt_bytes[8];
    put(salt_bytes, salt, 8);
    uint32_t crc = crc32c(0, salt_bytes, sizeof(salt_bytes));
    crc = crc32c(crc, bytes, AT_CRC);
    return crc32c(crc, bytes + JOURNAL_FRAME_HEADER_BYTES, size);
}

void journal_frame_seal(uint8_t *bytes, struct journal_frame *frame, uint64_t salt)
{
    CHECK(frame->size > 0 && frame->size <= LIMIT_BATCH_BYTES && frame->records > 0);
    memcpy(bytes, frame_magic, sizeof(frame_magic));
    put(bytes + AT_SIZE, frame->size, 4);
    put(bytes + AT_RUN, frame->run, 8);
    put(bytes + AT_BATCH, frame->batch, 8);
    put(bytes + AT_RECORDS, frame->records, 4);
    put(bytes + AT_PREVIOUS, frame->previous_crc, 4);
    frame->crc = checksum(bytes, frame->size, salt);
    put(bytes + AT_CRC, frame->crc, 4);
    size_t used = JOURNAL_FRAME_HEADER_BYTES + frame->size;
    memset(bytes + used, 0, journal_frame_bytes(frame->size) - used);
}

bool journal_frame_peek(const uint8_t *bytes, struct journal_frame *frame)
{
    *frame = (struct journal_frame){
        .size = (uint32_t)get(bytes + AT_SIZE, 4),
        .run = get(bytes + AT_RUN, 8),
        .batch = get(bytes + AT_BATCH, 8),
        .records = (uint32_t)get(bytes + AT_RECORDS, 4),
        .previous_crc = (uint32_t)get(bytes + AT_PREVIOUS, 4),
        .crc = (uint32_t)get(bytes + AT_CRC, 4),
    };
    return memcmp(bytes, frame_magic, sizeof(frame_magic)) == 0 && frame->size > 0 &&
           frame->size <= LIMIT_BATCH_BYTES && frame->records > 0 && frame->batch > 0;
}

bool journal_frame_valid(const uint8_t *bytes, const struct journal_frame *frame, uint64_t salt)
{
    if (checksum(bytes, frame->size, salt) != frame->crc)
        return false;
    size_t used = JOURNAL_FRAME_HEADER_BYTES + frame->size;
    return journal_all_zero(bytes + used, journal_frame_bytes(frame->size) - used);
}

size_t journal_record_begin(uint8_t *at, size_t size)
{
    CHECK(size > 0 && size <= LIMIT_RECORD_BYTES);
    size_t taken = 0;
    for (; size >= 0x80; size >>= 7)
        at[taken++] = (uint8_t)(size | 0x80);
    at[taken++] = (uint8_t)size;
    return taken;
}

bool journal_record_take(const uint8_t **at, const uint8_t *end, const void **record, size_t *size)
{
    const uint8_t *next = *at;
    size_t value = 0;
    for (int i = 0;; i++) {
        if (i == JOURNAL_VARINT_BYTES || next == end)
            return false;
        uint8_t group = *next++;
        value |= (size_t)(group & 0x7f) << (7 * i);
        if (group & 0x80)
            continue;
        if (group == 0) /* size 0, or not the shortest form */
            return false;
        break;
    }
    if (value > LIMIT_RECORD_BYTES || value > (size_t)(end - next))
        return false;
    *record = next;
    *size = value;
    *at = next + value;
    return true;
}

bool journal_records_valid(const uint8_t *bytes, size_t size, uint32_t records)
{
    const uint8_t *at = bytes, *end = bytes + size;
    const void *record;
    size_t record_size;
    uint32_t count = 0;
    for (; at != end; count++) {
        if (!journal_record_take(&at, end, &record, &record_size))
            return false;
    }
    return count == records;
}

void journal_name_format(char *name, uint32_t number, const char *suffix)
{
    CHECK(number > 0 && number <= JOURNAL_NUMBER_LIMIT);
    snprintf(name, JOURNAL_NAME_BYTES, "%08u%s", number, suffix);
}

bool journal_name_parse(const char *name, uint32_t *number, bool *new)
{
    *number = 0;
    for (int i = 0; i < 8; i++) {
        if (name[i] < '0' || name[i] > '9')
            return false;
        *number = *number * 10 + (uint32_t)(name[i] - '0');
    }
    *new = strcmp(name + 8, JOURNAL_NEW_SUFFIX) == 0;
    return *number > 0 && (*new || strcmp(name + 8, JOURNAL_SUFFIX) == 0);
}
