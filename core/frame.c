#include "core/frame.h"

#include <string.h>

#include "core/check.h"
#include "core/limits.h"

static const uint8_t magic[4] = {'T', 'R', 'T', 'H'};

void frame_put_u32(uint8_t *at, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static void put_u64(uint8_t *at, uint64_t value)
{
    for (int i = 0; i < 8; i++)
        at[i] = (uint8_t)(value >> (8 * i));
}

static uint32_t get_u32(const uint8_t *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t get_u64(const uint8_t *at)
{
    return get_u32(at) | (uint64_t)get_u32(at + 4) << 32;
}

void frame_encode(uint8_t head[FRAME_HEAD_BYTES], const struct frame *frame)
{
    CHECK(frame->body_size <= UINT32_MAX);
    memcpy(head, magic, sizeof(magic));
    head[4] = FRAME_VERSION;
    head[5] = (uint8_t)frame->kind;
    head[6] = frame->flags;
    head[7] = 0;
    put_u64(head + 8, frame->session);
    put_u64(head + 16, frame->number);
    put_u64(head + 24, frame->ack);
    put_u64(head + 32, 0);
    frame_put_u32(head + 40, (uint32_t)frame->body_size);
    frame_put_u32(head + 44, 0);
}

bool frame_decode(struct frame *frame, const void *bytes, size_t size)
{
    const uint8_t *head = bytes;
    if (size < FRAME_HEAD_BYTES || memcmp(head, magic, sizeof(magic)) != 0 ||
        head[4] != FRAME_VERSION || head[5] < FRAME_HELLO || head[5] > FRAME_BYE || head[7] != 0)
        return false;
    *frame = (struct frame){
        .kind = (enum frame_kind)head[5],
        .flags = head[6],
        .session = get_u64(head + 8),
        .number = get_u64(head + 16),
        .ack = get_u64(head + 24),
        .body = head + FRAME_HEAD_BYTES,
        .body_size = size - FRAME_HEAD_BYTES,
    };
    return get_u64(head + 32) == 0 && get_u32(head + 40) == frame->body_size &&
           get_u32(head + 44) == 0;
}

bool frame_messages_valid(const struct frame *frame)
{
    size_t at = 0;
    while (at < frame->body_size) {
        if (frame->body_size - at < 4)
            return false;
        size_t size = get_u32(frame->body + at);
        at += 4;
        if (size == 0 || size > LIMIT_MESSAGE_BYTES || size > frame->body_size - at)
            return false;
        at += size;
    }
    return frame->body_size > 0;
}

bool frame_message(const struct frame *frame, size_t *at, const uint8_t **message, size_t *size)
{
    if (*at == frame->body_size)
        return false;
    CHECK(frame->body_size - *at >= 4);
    *size = get_u32(frame->body + *at);
    *message = frame->body + *at + 4;
    CHECK(*size <= frame->body_size - *at - 4);
    *at += 4 + *size;
    return true;
}
