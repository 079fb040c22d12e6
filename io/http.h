/* A small HTTP server on loopback, for metrics and health: libmicrohttpd on the loop, no threads.
 * GET and HEAD only; a request larger than 8 KiB or a connection beyond the 32nd is refused. */
#ifndef TROTH_IO_HTTP_H
#define TROTH_IO_HTTP_H

#include "core/error.h"
#include "io/loop.h"

struct http;

struct http_answer {
    int status;
    const char *type; /* constant: "text/plain; version=0.0.4" */
    char *body;       /* heap; http frees it */
    size_t size;
};

/* address: "127.0.0.1:7490" or "[::1]:7490". path: without the query. Called from the loop. */
struct http *http_listen(struct loop *loop, const char *address,
                         void (*get)(void *self, const char *path, struct http_answer *answer),
                         void *self, struct error *error);
void http_close(struct http *http);

#endif
