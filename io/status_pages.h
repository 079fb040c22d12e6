/* The pages that both daemons serve over HTTP: /metrics, /healthz (the loop turns) and /readyz (new
 * work is taken; else 503 and the reason). */
#ifndef TROTH_IO_STATUS_PAGES_H
#define TROTH_IO_STATUS_PAGES_H

#include "core/metrics.h"
#include "io/http.h"

struct status_pages {
    void *self;
    void (*metrics)(void *self, struct metrics_sink *sink);
    const char *(*unready)(void *self); /* why; NULL: ready */
};

/* For http_listen: self is a struct status_pages. */
void status_pages_get(void *self, const char *path, struct http_answer *answer);

#endif
