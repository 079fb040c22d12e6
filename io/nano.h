/* Links over nanomsg: raw REP for the acceptor, raw REQ for a connector, tcp:// only. All the rules
 * of docs/wire.md ("What nanomsg does to you") are kept here and nowhere else. */
#ifndef TROTH_IO_NANO_H
#define TROTH_IO_NANO_H

#include <stddef.h>
#include <stdint.h>

#include "core/error.h"
#include "core/ports.h"
#include "io/loop.h"

struct nano;

struct nano_events {
    void *self;
    void (*frame)(void *self, uint64_t route, const void *frame, size_t size);
    void (*broken)(void *self); /* connector: its connection broke; a new one is being made */
};

/* address: tcp://NUMERIC-HOST:PORT. NULL with an error: malformed, in use, not bindable. The events
 * struct is copied. frame_bytes: the largest frame accepted. */
struct nano *nano_listen(struct loop *loop, const char *address, size_t frame_bytes,
                         const struct nano_events *events, struct error *error);
/* The same, but an address that another process has is waited for: the events begin when it ends.
 */
struct nano *nano_listen_when_free(struct loop *loop, const char *address, size_t frame_bytes,
                                   const struct nano_events *events, struct error *error);
struct nano *nano_connect(struct loop *loop, const char *address, size_t frame_bytes,
                          const struct nano_events *events, struct error *error);
/* Of an acceptor: false while it waits for its address. A turn of the loop follows the change. */
bool nano_listens(const struct nano *nano);
/* Of an acceptor whose runner can't answer yet: what comes waits in its connection, the first frame
 * of each and what its buffers take. Not after nano_close. */
void nano_pause(struct nano *nano, bool pause);
const struct link_port *nano_link(struct nano *nano);
/* Checks the text of an address without opening anything. */
bool nano_address_check(const char *address, bool loopback_only, struct error *error);
/* Ends sending and receiving and frees, once the loop has closed the handles. A connector waits at
 * most linger_ms until the kernel has its last frame; nothing can be waited for at an acceptor, and
 * nanomsg's own NN_LINGER does nothing. So a process that must not lose an answer first waits until
 * peer_idle says that it was acknowledged. */
void nano_close(struct nano *nano, int linger_ms);

#endif
