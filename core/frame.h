/* The head that every frame starts with; docs/wire.md shows it byte by byte.
 *
 *   0  u32  magic "TRTH"
 *   4  u8   version: 1
 *   5  u8   kind
 *   6  u8   flags
 *   7  u8   seal: 0, the body is plain
 *   8  u64  session: 0 in HELLO and REFUSED
 *  16  u64  number of a DATA frame: 1, 2, 3 ... within its session; else 0
 *  24  u64  ack: the highest number taken in order from the other side
 *  32  u64  counter of the seal: 0, the body is plain
 *  40  u32  size of the body, which is the rest of the frame
 *  44  u32  0
 *
 * All numbers are little-endian. A sealed body will have the head as its associated data, which is
 * why everything that steers a session stands in it. */
#ifndef TROTH_CORE_FRAME_H
#define TROTH_CORE_FRAME_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

enum { FRAME_HEAD_BYTES = 48, FRAME_VERSION = 1 };

enum frame_kind {
    FRAME_HELLO = 1, /* connector: Wire__Hello */
    FRAME_WELCOME,   /* acceptor: Wire__Welcome */
    FRAME_REFUSED,   /* acceptor: Wire__Refused */
    FRAME_DATA,      /* messages, each behind its u32 size */
    FRAME_BEAT,      /* no body: a sign of life and an acknowledgement */
    FRAME_BYE,       /* Wire__Bye */
};

/* In any frame of a session: the sender lacks the number after `ack` and holds or has dropped later
 * ones, so they should come again now instead of when the sender's patience ends. */
enum { FRAME_FLAG_GAP = 1 };

struct frame {
    enum frame_kind kind;
    uint8_t flags;
    uint64_t session, number, ack;
    const uint8_t *body; /* in the bytes that were decoded */
    size_t body_size;
};

/* Writes the head; the body's bytes follow it in the caller's buffer. */
void frame_encode(uint8_t head[FRAME_HEAD_BYTES], const struct frame *frame);
/* False: not a frame of this version, or its size does not agree with its head. */
bool frame_decode(struct frame *frame, const void *bytes, size_t size);

/* The next message of a DATA body: true and moves *at, or false at its end. Only for a body that
 * frame_messages_valid accepted. */
bool frame_message(const struct frame *frame, size_t *at, const uint8_t **message, size_t *size);
/* The sizes add up to the body exactly, and none is 0 or over LIMIT_MESSAGE_BYTES. */
bool frame_messages_valid(const struct frame *frame);

void frame_put_u32(uint8_t *at, uint32_t value);

#endif
