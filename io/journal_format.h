/* The bytes of the journal: header pages, frames, records. docs/journal.md is the layout. Nothing
 * here reads or writes a file. */
#ifndef TROTH_IO_JOURNAL_FORMAT_H
#define TROTH_IO_JOURNAL_FORMAT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/limits.h"

enum {
    /* No disk tears a write within a sector of at most this size. */
    JOURNAL_PAGE_BYTES = 4096,
    JOURNAL_FRAME_HEADER_BYTES = 36,
    /* The varint of LIMIT_RECORD_BYTES. */
    JOURNAL_VARINT_BYTES = 3,
};
_Static_assert(LIMIT_RECORD_BYTES < 1 << (7 * JOURNAL_VARINT_BYTES), "a record's size fits");

#define JOURNAL_SUFFIX        ".journal"
#define JOURNAL_NEW_SUFFIX    ".journal.new"
#define JOURNAL_NAME_BYTES    24
#define JOURNAL_NUMBER_LIMIT  99999999u
#define JOURNAL_SEGMENT_BYTES (64ull * 1024 * 1024)

struct journal_header {
    uint32_t number;
    bool base;
    uint64_t run;
    uint64_t salt;
    uint64_t first_batch;
    uint64_t whole_bytes; /* durable before the segment got its name */
    uint32_t previous_crc;
};

/* page has JOURNAL_PAGE_BYTES. */
void journal_header_encode(const struct journal_header *header, uint8_t *page);
/* NULL when the page is a good header, else what is wrong with it. */
const char *journal_header_decode(const uint8_t *page, struct journal_header *header);

struct journal_frame {
    uint32_t size; /* of the records */
    uint64_t run;
    uint64_t batch;
    uint32_t records;
    uint32_t previous_crc;
    uint32_t crc;
};

bool journal_all_zero(const uint8_t *bytes, size_t size);

/* What a frame with so many bytes of records takes in the file. */
size_t journal_frame_bytes(size_t size);
/* Completes a frame whose records lie at bytes + JOURNAL_FRAME_HEADER_BYTES: header, padding and
 * frame->crc. bytes has journal_frame_bytes(frame->size). */
void journal_frame_seal(uint8_t *bytes, struct journal_frame *frame, uint64_t salt);
/* Reads a header of JOURNAL_FRAME_HEADER_BYTES; false when it can't be one. */
bool journal_frame_peek(const uint8_t *bytes, struct journal_frame *frame);
/* CRC and padding of a frame that was peeked: bytes has journal_frame_bytes(frame->size). */
bool journal_frame_valid(const uint8_t *bytes, const struct journal_frame *frame, uint64_t salt);

/* Writes the size of a record, at most JOURNAL_VARINT_BYTES; the record follows. Returns how many
 * bytes it took. */
size_t journal_record_begin(uint8_t *at, size_t size);
/* Takes one record from *at, and moves *at behind it. False: malformed, or nothing is left. */
bool journal_record_take(const uint8_t **at, const uint8_t *end, const void **record, size_t *size);
/* Are these exactly `records` well-formed records? */
bool journal_records_valid(const uint8_t *bytes, size_t size, uint32_t records);

/* name: JOURNAL_NAME_BYTES. */
void journal_name_format(char *name, uint32_t number, const char *suffix);
/* False when the name is no segment's. *new tells a .new file. */
bool journal_name_parse(const char *name, uint32_t *number, bool *new);

#endif
