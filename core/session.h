/* One session's numbers: what waits to be sent, what is on its way, what came in.
 *
 * Invariants:
 * - frames lie in the order of their numbers; those without a number yet are at the end;
 * - the frames before the cursor are on their way (flight_*), the rest waits to be sent or to be
 *   sent again;
 * - acked <= every number that is held < sent + 1. */
#ifndef TROTH_CORE_SESSION_H
#define TROTH_CORE_SESSION_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "core/frame.h"
#include "core/list.h"
#include "wire.pb-c.h"

struct session_frame {
    struct list node;
    uint64_t number; /* 0: still open for more messages */
    size_t size, room;
    uint8_t *bytes; /* head and body; the head is written when it is sent */
};

struct session {
    uint64_t id;
    size_t frame_bytes; /* the largest frame to make */
    struct list frames;
    struct list *cursor; /* the next frame to send; &frames: none */
    size_t queued_bytes; /* of all frames */
    size_t flight_bytes;
    int flight_frames;
    uint64_t numbered; /* the last number given */
    uint64_t sent;     /* the last number handed to the link */
    uint64_t acked;
    uint64_t received;    /* the highest number taken in order */
    uint64_t progress_us; /* when the oldest frame was sent, or an acknowledgement moved */
    uint64_t patience_us; /* without progress for so long, the flight is sent again */
    bool recovering;      /* after that: a small flight only, until an acknowledgement moves */
    uint64_t told;        /* the ack of the last frame that went out */
    size_t untold_bytes;  /* taken since then */
    bool ack_owed, gap_owed, gap_told;
    bool ack_urgent; /* ... and can't wait for a frame that goes out anyway */
};

void session_init(struct session *session, uint64_t id, size_t frame_bytes);
void session_fini(struct session *session);

/* Packs the message into the open frame or a new one. The size is wire__message__get_packed_size's,
 * at most LIMIT_MESSAGE_BYTES. */
void session_queue(struct session *session, const Wire__Message *message, size_t size);
/* The frame to send now, numbered, or NULL when there is none or the window is full. */
struct session_frame *session_next(struct session *session);
/* The link took what session_next returned. True: it was sent before, too. */
bool session_sent(struct session *session, struct session_frame *frame, uint64_t now_us);
/* The other side's acknowledgement. False: of a number that was never sent. */
bool session_acknowledged(struct session *session, uint64_t ack, bool gap, uint64_t now_us);
/* When session_rewind is due; UINT64_MAX: nothing is on its way. */
uint64_t session_patience_ends(const struct session *session);
/* No acknowledgement came: everything on its way waits to be sent again. */
void session_rewind(struct session *session, uint64_t now_us);
/* A DATA frame came: true when its messages are to be delivered. */
bool session_take(struct session *session, uint64_t number, size_t size);
/* A frame with our ack went out. */
void session_told(struct session *session);
bool session_idle(const struct session *session); /* all that was queued is acknowledged */

#endif
