/* A small HTTP server on loopback, for metrics and health: libmicrohttpd on the loop, no threads.
 * GET and HEAD only; a request larger than 8 KiB or a connection beyond the 32nd is refused, each
 * connection carries one request and is cut after 5 s, whatever it does. */
#ifndef TROTH_IO_HTTP_H
#define TROTH_IO_HTTP_H

#include <stdbool.h>

#include "core/error.h"
#include "io/loop.h"

struct http;

struct http_answer {
    int status;
    const char *type; /* constant: "text/plain; version=0.0.4" */
    char *body;       /* heap; http frees it */
    size_t size;
};

/* "127.0.0.1:7490" or "[::1]:7490": numeric, and on loopback. False with an error. */
bool http_address_check(const char *address, struct error *error);
/* path: without the query; method GET or HEAD. Called from the loop. NULL with an error. */
struct http *http_listen(struct loop *loop, const char *address,
                         void (*get)(void *self, const char *path, struct http_answer *answer),
                         void *self, struct error *error);
/* The same, but while another process has the address this one waits for it, and says so once: an
 * older process of the same participant goes only when the newer one has taken over. */
struct http *http_listen_when_free(struct loop *loop, const char *address,
                                   void (*get)(void *self, const char *path,
                                               struct http_answer *answer),
                                   void *self, struct error *error);
/* After the loop has stopped; NULL is harmless. */
void http_close(struct http *http);

#endif
