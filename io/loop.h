/* The process's event loop: libuv, the clock, the log, signals, and one settle call a turn. */
#ifndef TROTH_IO_LOOP_H
#define TROTH_IO_LOOP_H

#include <stdbool.h>
#include <stdint.h>
#include <uv.h>

#include "core/metrics.h"
#include "core/ports.h"

struct loop;

/* One loop a thread. new/free: the heap; free closes what the loop itself opened, and expects the
 * users' handles to be closed already. */
struct loop *loop_new(void);
void loop_free(struct loop *loop);
uv_loop_t *loop_uv(struct loop *loop);
/* Clock, random (the kernel's) and log (io/log.h). Valid as long as the loop. */
const struct host_port *loop_host(struct loop *loop);
/* For a library: its process's stderr is not ours. Called before the loop has users. */
void loop_be_silent(struct loop *loop);

/* Called once a turn, after the turn's events and before the loop sleeps; returns when it wants to
 * be called again at the latest (monotonic us, UINT64_MAX: only after an event). Several may be
 * added; each is called every turn. */
void loop_on_settle(struct loop *loop, uint64_t (*settle)(void *self), void *self);
/* SIGTERM and SIGINT; from here on SIGPIPE is ignored. A second one while the first is being served
 * ends the process with 128+n. */
void loop_on_stop(struct loop *loop, void (*stop)(void *self), void *self);
/* Each turn, from its first event to the end of what settles it: what everybody else waited. */
const struct histogram *loop_turns(const struct loop *loop);
/* Runs until loop_stop. */
void loop_run(struct loop *loop);
void loop_stop(struct loop *loop);

#endif
