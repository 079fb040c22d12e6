#include "exchange.h"

#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <poll.h>
#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <unistd.h>

/* What arrived is neither terminated nor known to be a text. NULL with errno: it is none. */
static char *text_of(const char *message, int size)
{
    if (memchr(message, '\0', (size_t)size)) {
        errno = EBADMSG;
        return NULL;
    }
    char *text = malloc((size_t)size + 1);
    if (text) {
        memcpy(text, message, (size_t)size);
        text[size] = '\0';
    }
    return text;
}

static int open_socket(int domain, int protocol)
{
    int limit = EXCHANGE_BYTES, socket = nn_socket(domain, protocol);
    if (socket >= 0)
        nn_setsockopt(socket, NN_SOL_SOCKET, NN_RCVMAXSIZE, &limit, sizeof(limit));
    return socket;
}

/* ---- asking -------------------------------------------------------------------------------- */

static char *ask(struct exchange_line *line, const char *request, int timeout_ms)
{
    if (line->socket < 0) {
        line->socket = open_socket(AF_SP, NN_REQ);
        if (line->socket < 0 || nn_connect(line->socket, line->address) < 0)
            return NULL;
    }
    nn_setsockopt(line->socket, NN_SOL_SOCKET, NN_SNDTIMEO, &timeout_ms, sizeof(timeout_ms));
    nn_setsockopt(line->socket, NN_SOL_SOCKET, NN_RCVTIMEO, &timeout_ms, sizeof(timeout_ms));
    char *message = NULL;
    if (nn_send(line->socket, request, strlen(request), 0) < 0)
        return NULL;
    int size = nn_recv(line->socket, &message, NN_MSG, 0);
    if (size < 0)
        return NULL;
    char *answer = text_of(message, size);
    nn_freemsg(message);
    return answer;
}

/* A request that was not answered goes with its socket, which would send it again when the server
 * is back, long after anybody waits. */
char *exchange_ask(struct exchange_line *line, const char *request, int timeout_ms)
{
    char *answer = ask(line, request, timeout_ms);
    int error = errno;
    if (!answer)
        exchange_hang_up(line);
    errno = error;
    return answer;
}

void exchange_hang_up(struct exchange_line *line)
{
    if (line->socket >= 0)
        nn_close(line->socket);
    line->socket = -1;
}

/* ---- answering ----------------------------------------------------------------------------- */

struct exchange_thread {
    struct exchange *exchange;
    void *self;
    pthread_t thread;
};

struct exchange {
    int socket;  /* raw: each request comes with the way back, so all threads can use it at once */
    int arrives; /* readable when there is a request */
    int stop;    /* readable when it is over */
    exchange_answer *answer;
    int count;
    struct exchange_thread threads[];
};

static void answer_one(struct exchange_thread *thread)
{
    struct exchange *exchange = thread->exchange;
    char *body = NULL, *way = NULL;
    struct nn_iovec part = {.iov_base = &body, .iov_len = NN_MSG};
    struct nn_msghdr message = {
        .msg_iov = &part, .msg_iovlen = 1, .msg_control = &way, .msg_controllen = NN_MSG};
    int size = nn_recvmsg(exchange->socket, &message, NN_DONTWAIT);
    if (size < 0)
        return; /* another thread has taken it */
    char *request = text_of(body, size), *answer = NULL;
    const char *text = "{\"status\": \"refused\", \"code\": \"bad_request\"}";
    nn_freemsg(body);
    if (request) {
        answer = exchange->answer(thread->self, request);
        text = answer ? answer : "{\"status\": \"unknown\", \"code\": \"no_words\"}";
    }
    free(request);
    part = (struct nn_iovec){.iov_base = (void *)text, .iov_len = strlen(text)};
    if (nn_sendmsg(exchange->socket, &message, 0) < 0) {
        fprintf(stderr, "an answer was not sent: %s\n", nn_strerror(nn_errno()));
        nn_freemsg(way);
    }
    free(answer);
}

static void *answer_all(void *self)
{
    struct exchange_thread *thread = self;
    struct pollfd events[] = {{.fd = thread->exchange->arrives, .events = POLLIN},
                              {.fd = thread->exchange->stop, .events = POLLIN}};
    for (;;) {
        if (poll(events, 2, -1) < 0)
            continue; /* a signal */
        if (events[1].revents)
            return NULL;
        if (events[0].revents)
            answer_one(thread);
    }
}

static bool start_threads(struct exchange *exchange, int count, void *const selves[])
{
    for (; exchange->count < count; exchange->count++) {
        struct exchange_thread *thread = &exchange->threads[exchange->count];
        *thread = (struct exchange_thread){.exchange = exchange, .self = selves[exchange->count]};
        errno = pthread_create(&thread->thread, NULL, answer_all, thread);
        if (errno)
            return false;
    }
    return true;
}

struct exchange *exchange_serve(const char *address, exchange_answer *answer, int threads,
                                void *const selves[])
{
    struct exchange *exchange =
        calloc(1, sizeof(*exchange) + (size_t)threads * sizeof(exchange->threads[0]));
    if (!exchange)
        return NULL;
    exchange->answer = answer;
    exchange->stop = eventfd(0, EFD_CLOEXEC);
    exchange->socket = open_socket(AF_SP_RAW, NN_REP);
    size_t size = sizeof(exchange->arrives);
    if (exchange->stop >= 0 && exchange->socket >= 0 && nn_bind(exchange->socket, address) >= 0 &&
        nn_getsockopt(exchange->socket, NN_SOL_SOCKET, NN_RCVFD, &exchange->arrives, &size) == 0 &&
        start_threads(exchange, threads, selves))
        return exchange;
    int error = errno;
    exchange_close(exchange);
    errno = error;
    return NULL;
}

void exchange_close(struct exchange *exchange)
{
    if (!exchange)
        return;
    uint64_t one = 1;
    if (exchange->stop >= 0 && write(exchange->stop, &one, sizeof(one)) < 0)
        abort(); /* of an eventfd that is 0: impossible */
    for (int i = 0; i < exchange->count; i++)
        pthread_join(exchange->threads[i].thread, NULL);
    if (exchange->socket >= 0)
        nn_close(exchange->socket);
    if (exchange->stop >= 0)
        close(exchange->stop);
    free(exchange);
}
