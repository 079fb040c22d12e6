#include "core/session.h"

#include <stdlib.h>

#include "core/check.h"
#include "core/limits.h"
#include "core/planted.h"

/* Without an acknowledgement for this long, a frame is taken for lost: a loopback round trip takes
 * 1 ms, a busy peer some 10. Doubled each time, as the peer may only be slow. */
#define PATIENCE_FIRST_US 250000
#define PATIENCE_LAST_US  2000000
/* Frames sent again at once, before any acknowledgement proves that somebody listens. */
#define RECOVERY_FRAMES 8
#define FRAME_ROOM      1024

void session_init(struct session *session, uint64_t id, size_t frame_bytes)
{
    CHECK(frame_bytes >= FRAME_HEAD_BYTES + 4 + LIMIT_MESSAGE_BYTES);
    *session =
        (struct session){.id = id, .frame_bytes = frame_bytes, .patience_us = PATIENCE_FIRST_US};
    list_init(&session->frames);
    session->cursor = &session->frames;
}

static void frame_free(struct session *session, struct session_frame *frame)
{
    session->queued_bytes -= frame->size;
    list_remove(&frame->node);
    free(frame->bytes);
    free(frame);
}

void session_fini(struct session *session)
{
    while (!list_empty(&session->frames))
        frame_free(session, CONTAINER(session->frames.next, struct session_frame, node));
    CHECK(session->queued_bytes == 0);
}

static struct session_frame *frame_open(struct session *session, size_t size)
{
    struct session_frame *last = CONTAINER(session->frames.previous, struct session_frame, node);
    if (!list_empty(&session->frames) && last->number == 0 &&
        last->size + size <= session->frame_bytes)
        return last;
    struct session_frame *frame = xcalloc(1, sizeof(*frame));
    frame->size = FRAME_HEAD_BYTES;
    session->queued_bytes += frame->size;
    list_append(&session->frames, &frame->node);
    if (session->cursor == &session->frames)
        session->cursor = &frame->node;
    return frame;
}

void session_queue(struct session *session, const Wire__Message *message, size_t size)
{
    CHECK(size > 0 && size <= LIMIT_MESSAGE_BYTES);
    struct session_frame *frame = frame_open(session, 4 + size);
    size_t end = frame->size + 4 + size;
    if (end > frame->room) {
        size_t room = frame->room ? frame->room * 2 : FRAME_ROOM;
        while (room < end)
            room *= 2;
        frame->room = room < session->frame_bytes ? room : session->frame_bytes;
        frame->bytes = xrealloc(frame->bytes, frame->room);
    }
    frame_put_u32(frame->bytes + frame->size, (uint32_t)size);
    CHECK(wire__message__pack(message, frame->bytes + frame->size + 4) == size);
    frame->size = end;
    session->queued_bytes += 4 + size;
}

struct session_frame *session_next(struct session *session)
{
    if (session->cursor == &session->frames)
        return NULL;
    struct session_frame *frame = CONTAINER(session->cursor, struct session_frame, node);
    int frames = session->recovering ? RECOVERY_FRAMES : LIMIT_WINDOW_FRAMES;
    if (session->flight_frames >= frames ||
        (session->flight_frames > 0 && session->flight_bytes + frame->size > LIMIT_WINDOW_BYTES))
        return NULL;
    if (frame->number == 0)
        frame->number = ++session->numbered;
    return frame;
}

bool session_sent(struct session *session, struct session_frame *frame, uint64_t now_us)
{
    CHECK(session->cursor == &frame->node && frame->number > 0);
    session->cursor = frame->node.next;
    if (session->flight_frames++ == 0)
        session->progress_us = now_us;
    session->flight_bytes += frame->size;
    if (frame->number <= session->sent)
        return true;
    session->sent = frame->number;
    return false;
}

static void rewind_cursor(struct session *session)
{
    session->cursor = session->frames.next;
    session->flight_bytes = 0;
    session->flight_frames = 0;
}

bool session_acknowledged(struct session *session, uint64_t ack, bool gap, uint64_t now_us)
{
    if (ack > session->sent)
        return false;
    bool moved = ack > session->acked;
    while (!list_empty(&session->frames)) {
        struct session_frame *frame = CONTAINER(session->frames.next, struct session_frame, node);
        if (frame->number == 0 || frame->number > ack)
            break;
        if (session->cursor == &frame->node) {
            session->cursor = frame->node.next;
        } else {
            CHECK(session->flight_frames > 0);
            session->flight_frames--;
            session->flight_bytes -= frame->size;
        }
        frame_free(session, frame);
    }
    if (moved) {
        session->acked = ack;
        session->progress_us = now_us;
        session->patience_us = PATIENCE_FIRST_US;
        session->recovering = false;
    }
    if (gap && ack >= session->acked)
        rewind_cursor(session);
    return true;
}

uint64_t session_patience_ends(const struct session *session)
{
    return session->flight_frames ? session->progress_us + session->patience_us : UINT64_MAX;
}

void session_rewind(struct session *session, uint64_t now_us)
{
    rewind_cursor(session);
    session->recovering = true;
    session->progress_us = now_us;
    session->patience_us *= 2;
    if (session->patience_us > PATIENCE_LAST_US)
        session->patience_us = PATIENCE_LAST_US;
}

/* An acknowledgement of its own costs as much as a message, so it waits for one to travel with,
 * unless the sender may soon run out of window or evidently missed the last one. */
#define ACK_FRAMES 32
#define ACK_BYTES  (LIMIT_WINDOW_BYTES / 4)
_Static_assert(ACK_FRAMES * 4 <= LIMIT_WINDOW_FRAMES, "a steady sender never waits for an ack");

bool session_take(struct session *session, uint64_t number, size_t size)
{
    session->ack_owed = true;
    session->untold_bytes += size;
    if (number != session->received + 1 || number - session->told >= ACK_FRAMES ||
        session->untold_bytes >= ACK_BYTES)
        session->ack_urgent = true;
    if (number == session->received + 1 || (number > session->received && PLANTED(DELIVER_GAPS))) {
        session->received = number;
        session->gap_told = session->gap_owed = false;
        return true;
    }
    /* Told once a gap: the frames that follow it would ask for the same again and again. Should the
     * answer be lost, the sender's patience ends instead. */
    if (number > session->received && !session->gap_told)
        session->gap_owed = session->gap_told = true;
    return number <= session->received && PLANTED(NO_DEDUPLICATION);
}

void session_told(struct session *session)
{
    session->told = session->received;
    session->untold_bytes = 0;
    session->ack_owed = session->ack_urgent = session->gap_owed = false;
}

bool session_idle(const struct session *session)
{
    return list_empty(&session->frames);
}
