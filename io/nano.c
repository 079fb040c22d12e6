#include "io/nano.h"

#include <arpa/inet.h>
#include <errno.h>
#include <nanomsg/nn.h>
#include <nanomsg/reqrep.h>
#include <nanomsg/tcp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"

enum {
    /* The loop's other work gets its turn between so many frames. */
    FRAMES_A_TURN = 256,
    SOCKET_BUFFER_BYTES = 4 * 1024 * 1024,
    RECONNECT_MS = 20,
    /* nanomsg has no event for a broken connection, only a counter. */
    WATCH_MS = 100,
    /* XREP's header is the pipe's key and the request id; REQ's is the id alone. */
    KEY_BYTES = 4,
    ID_BYTES = 4,
    CONNECTOR_HANDLES = 3,
};

enum kind { CONNECTOR, ACCEPTOR, PATIENT_ACCEPTOR /* waits until the address is free */ };

struct nano {
    struct loop *loop;
    struct link_port link;
    struct nano_events events;
    char *address;
    int socket;
    int endpoint; /* -1: could not be made. A connector tries again at the next redial, a patient
                     acceptor at the next look of the watch */
    bool acceptor, writable_watched, closed;
    uint64_t broken; /* NN_STAT_BROKEN_CONNECTIONS when last looked at */
    size_t header_bytes;
    uv_poll_t readable, writable;
    uv_timer_t watch;
    int handles; /* not closed yet */
};

/* ---- addresses ----------------------------------------------------------------------------- */

struct address {
    bool v6, loopback;
};

static bool port_valid(const char *text)
{
    size_t digits = strspn(text, "0123456789");
    return digits > 0 && digits < 6 && text[digits] == '\0' && text[0] != '0' &&
           strtol(text, NULL, 10) <= 65535;
}

static bool parse_host(const char *host, struct address *address)
{
    struct in_addr v4;
    struct in6_addr v6;
    size_t size = strlen(host);
    char bare[64];
    if (inet_pton(AF_INET, host, &v4) == 1) {
        *address = (struct address){.loopback = ntohl(v4.s_addr) >> 24 == 127};
        return true;
    }
    if (size < 4 || size >= sizeof(bare) || host[0] != '[' || host[size - 1] != ']')
        return false;
    memcpy(bare, host + 1, size - 2);
    bare[size - 2] = '\0';
    if (inet_pton(AF_INET6, bare, &v6) != 1)
        return false;
    *address = (struct address){.v6 = true, .loopback = IN6_IS_ADDR_LOOPBACK(&v6)};
    return true;
}

static bool parse_address(const char *text, struct address *address, struct error *error)
{
    static const char scheme[] = "tcp://";
    static const char hint[] = "write tcp://IP-ADDRESS:PORT, for example tcp://127.0.0.1:7400";
    char host[128];
    const char *colon = strrchr(text, ':');
    if (strncmp(text, scheme, strlen(scheme)) != 0 || colon < text + strlen(scheme) ||
        (size_t)(colon - text) - strlen(scheme) >= sizeof(host)) {
        error_set(error, ERROR_USAGE, "not an address: %s", text);
        return error_hint(error, hint);
    }
    size_t size = (size_t)(colon - text) - strlen(scheme);
    memcpy(host, text + strlen(scheme), size);
    host[size] = '\0';
    if (!port_valid(colon + 1)) {
        error_set(error, ERROR_USAGE, "the address %s has no valid port", text);
        error_detail(error, "a port is a number from 1 to 65535");
        return error_hint(error, hint);
    }
    if (!parse_host(host, address)) {
        error_set(error, ERROR_USAGE, "the address %s has no numeric host", text);
        error_detail(error, "names are not looked up: a slow or forged answer of a name server "
                            "must not hold up or redirect a transaction");
        return error_hint(error, hint);
    }
    return true;
}

bool nano_address_check(const char *text, bool loopback_only, struct error *error)
{
    struct address address = {0};
    if (!parse_address(text, &address, error))
        return false;
    if (!loopback_only || address.loopback)
        return true;
    error_set(error, ERROR_USAGE, "security: none is for loopback only, and %s is not", text);
    error_detail(error, "frames would cross the network readable and unauthenticated");
    return error_hint(error, "use an address of 127.0.0.0/8 or [::1]");
}

/* ---- frames -------------------------------------------------------------------------------- */

/* What nn_sendmsg and nn_recvmsg carry beside the body: one property SP_HDR, whose value is a
 * size_t and so many bytes. */
struct control {
    _Alignas(struct nn_cmsghdr) unsigned char bytes[64];
};

static size_t control_pack(struct control *control, const void *header, size_t size)
{
    memset(control, 0, sizeof(*control));
    struct nn_cmsghdr *property = (struct nn_cmsghdr *)(void *)control->bytes;
    property->cmsg_len = NN_CMSG_SPACE(sizeof(size_t) + size);
    property->cmsg_level = PROTO_SP;
    property->cmsg_type = SP_HDR;
    unsigned char *value = NN_CMSG_DATA(property);
    CHECK(value + sizeof(size_t) + size <= control->bytes + sizeof(control->bytes));
    memcpy(value, &size, sizeof(size));
    memcpy(value + sizeof(size), header, size);
    return property->cmsg_len;
}

/* False: the header is not of the size that our peers' frames have here. */
static bool control_unpack(const struct control *control, void *header, size_t size)
{
    const struct nn_cmsghdr *property = (const struct nn_cmsghdr *)(const void *)control->bytes;
    size_t told;
    if (property->cmsg_level != PROTO_SP || property->cmsg_type != SP_HDR)
        return false;
    const unsigned char *value = NN_CMSG_DATA(property);
    memcpy(&told, value, sizeof(told));
    if (told != size)
        return false;
    memcpy(header, value + sizeof(told), size);
    return true;
}

static void watch_writable(struct nano *nano, bool watch);

static bool send_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct nano *nano = self;
    unsigned char header[KEY_BYTES + ID_BYTES];
    struct control control;
    /* A larger one would make the other side close the connection. */
    CHECK(size <= LIMIT_AGENT_FRAME_BYTES);
    if (nano->closed)
        return false;
    if (nano->acceptor)
        memcpy(header, &route, sizeof(header));
    else
        memcpy(header, "\x80\0\0\1", ID_BYTES); /* the high bit ends a header */
    struct nn_iovec body = {(void *)frame, size};
    struct nn_msghdr message = {.msg_iov = &body, .msg_iovlen = 1, .msg_control = &control};
    message.msg_controllen = control_pack(&control, header, nano->header_bytes);
    int sent;
    do
        sent = nn_sendmsg(nano->socket, &message, NN_DONTWAIT);
    while (sent < 0 && errno == EINTR);
    if (sent >= 0)
        return true;
    CHECK(errno == EAGAIN);
    if (!nano->acceptor)
        watch_writable(nano, true);
    return false;
}

/* One frame to the events. False: none is there now. */
static bool receive_frame(struct nano *nano)
{
    void *bytes = NULL;
    struct control control;
    memset(&control, 0, sizeof(control));
    struct nn_iovec body = {&bytes, NN_MSG};
    struct nn_msghdr message = {.msg_iov = &body,
                                .msg_iovlen = 1,
                                .msg_control = &control,
                                .msg_controllen = sizeof(control)};
    int size = nn_recvmsg(nano->socket, &message, NN_DONTWAIT);
    if (size < 0) {
        CHECK(errno == EAGAIN || errno == EINTR);
        return false;
    }
    uint64_t route = 0;
    unsigned char header[KEY_BYTES + ID_BYTES] = {0};
    if (control_unpack(&control, header, nano->header_bytes)) {
        if (nano->acceptor)
            memcpy(&route, header, sizeof(route));
        nano->events.frame(nano->events.self, route, bytes, (size_t)size);
    }
    nn_freemsg(bytes);
    return true;
}

/* NN_RCVFD stays readable while frames are left, so what this turn leaves comes in the next. */
static void on_readable(uv_poll_t *handle, int status, int events)
{
    struct nano *nano = handle->data;
    (void)events;
    CHECK(status == 0);
    for (int i = 0; i < FRAMES_A_TURN && !nano->closed; i++)
        if (!receive_frame(nano))
            break;
}

/* Ending the sleep is all: the settle of this turn sends what was held back. */
static void on_writable(uv_poll_t *handle, int status, int events)
{
    (void)status;
    (void)events;
    watch_writable(handle->data, false);
}

static void watch_writable(struct nano *nano, bool watch)
{
    if (watch == nano->writable_watched)
        return;
    nano->writable_watched = watch;
    if (watch)
        CHECK(uv_poll_start(&nano->writable, UV_READABLE, on_writable) == 0);
    else
        CHECK(uv_poll_stop(&nano->writable) == 0);
}

/* ---- the connection ------------------------------------------------------------------------ */

static uint64_t broken_count(const struct nano *nano)
{
    return nn_get_statistic(nano->socket, NN_STAT_BROKEN_CONNECTIONS);
}

static void redial(void *self)
{
    struct nano *nano = self;
    if (nano->closed)
        return;
    if (nano->endpoint >= 0)
        nn_shutdown(nano->socket, nano->endpoint);
    nano->endpoint = nn_connect(nano->socket, nano->address);
    if (nano->endpoint < 0)
        host_log(loop_host(nano->loop), LOG_WARNING, "cannot connect to %s: %s; trying again",
                 nano->address, nn_strerror(errno));
    nano->broken = broken_count(nano);
}

/* nanomsg connects again by itself, often before the watch looks: a session that has begun since
 * must not be ended for the break before it. */
static void renewed(void *self)
{
    struct nano *nano = self;
    nano->broken = broken_count(nano);
}

static void on_watch_address(uv_timer_t *timer)
{
    struct nano *nano = timer->data;
    nano->endpoint = nn_bind(nano->socket, nano->address);
    if (nano->endpoint < 0)
        return;
    host_log(loop_host(nano->loop), LOG_INFO, "%s is free: listening on it", nano->address);
    CHECK(uv_timer_stop(timer) == 0);
}

/* A socket whose peer died can stay wedged for ever, so a break always makes a new endpoint. */
static void on_watch(uv_timer_t *timer)
{
    struct nano *nano = timer->data;
    if (nano->endpoint >= 0 && broken_count(nano) == nano->broken)
        return;
    redial(nano);
    nano->events.broken(nano->events.self);
}

static bool set_options(struct nano *nano, size_t frame_bytes, bool v6)
{
    struct {
        int level, option, value;
    } options[] = {
        {NN_TCP, NN_TCP_NODELAY, 1},
        {NN_SOL_SOCKET, NN_RCVMAXSIZE, (int)frame_bytes + KEY_BYTES + ID_BYTES},
        {NN_SOL_SOCKET, NN_SNDBUF, SOCKET_BUFFER_BYTES},
        {NN_SOL_SOCKET, NN_RCVBUF, SOCKET_BUFFER_BYTES},
        {NN_SOL_SOCKET, NN_RECONNECT_IVL, RECONNECT_MS},
        {NN_SOL_SOCKET, NN_RECONNECT_IVL_MAX, 0},
        {NN_SOL_SOCKET, NN_MAXTTL, 1},
        {NN_SOL_SOCKET, NN_IPV4ONLY, !v6},
    };
    for (size_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        if (nn_setsockopt(nano->socket, options[i].level, options[i].option, &options[i].value,
                          sizeof(options[i].value)) < 0)
            return false;
    return true;
}

static int socket_fd(const struct nano *nano, int option)
{
    int fd;
    size_t size = sizeof(fd);
    CHECK(nn_getsockopt(nano->socket, NN_SOL_SOCKET, option, &fd, &size) == 0);
    return fd;
}

static void watch_socket(struct nano *nano)
{
    uv_loop_t *uv = loop_uv(nano->loop);
    nano->readable.data = nano->writable.data = nano->watch.data = nano;
    CHECK(uv_timer_init(uv, &nano->watch) == 0);
    CHECK(uv_poll_init(uv, &nano->readable, socket_fd(nano, NN_RCVFD)) == 0);
    CHECK(uv_poll_start(&nano->readable, UV_READABLE, on_readable) == 0);
    nano->handles = nano->acceptor ? CONNECTOR_HANDLES - 1 : CONNECTOR_HANDLES;
    if (!nano->acceptor)
        CHECK(uv_poll_init(uv, &nano->writable, socket_fd(nano, NN_SNDFD)) == 0);
    if (!nano->acceptor || nano->endpoint < 0)
        CHECK(uv_timer_start(&nano->watch, nano->acceptor ? on_watch_address : on_watch, WATCH_MS,
                             WATCH_MS) == 0);
}

static bool bind_or_connect(struct nano *nano, enum kind kind, struct error *error)
{
    nano->endpoint = nano->acceptor ? nn_bind(nano->socket, nano->address)
                                    : nn_connect(nano->socket, nano->address);
    if (nano->endpoint >= 0)
        return true;
    int number = errno;
    if (kind == PATIENT_ACCEPTOR && number == EADDRINUSE) {
        host_log(
            loop_host(nano->loop), LOG_WARNING,
            "another process listens on %s: waiting for its end. Until then nobody comes in here",
            nano->address);
        return true;
    }
    error_set(error, ERROR_IO, "cannot %s %s: %s", nano->acceptor ? "listen on" : "connect to",
              nano->address, nn_strerror(number));
    if (number == EADDRINUSE)
        error_hint(error, "another process listens there (see `ss -ltnp`); stop it, or choose "
                          "another port in `listen:`");
    else if (number == EACCES)
        error_hint(error, "ports below 1024 need a right of their own; choose a higher one");
    else
        error_hint(error, "the address must be one of this machine's: compare `ip address`");
    return false;
}

static struct nano *nano_open(struct loop *loop, const char *text, enum kind kind,
                              size_t frame_bytes, const struct nano_events *events,
                              struct error *error)
{
    struct address address = {0};
    bool acceptor = kind != CONNECTOR;
    CHECK(frame_bytes <= LIMIT_AGENT_FRAME_BYTES);
    if (!parse_address(text, &address, error))
        return NULL;
    struct nano *nano = xcalloc(1, sizeof(*nano));
    *nano = (struct nano){.loop = loop, .events = *events, .acceptor = acceptor};
    nano->link = (struct link_port){.self = nano, .send = send_frame};
    if (!acceptor) {
        nano->link.redial = redial;
        nano->link.renewed = renewed;
    }
    nano->header_bytes = acceptor ? KEY_BYTES + ID_BYTES : ID_BYTES;
    nano->address = xstrdup(text);
    nano->socket = nn_socket(AF_SP_RAW, acceptor ? NN_REP : NN_REQ);
    if (nano->socket < 0) {
        error_set(error, ERROR_IO, "cannot make a socket for %s: %s", text, nn_strerror(errno));
        error_hint(error, "raise the limit of open files (`ulimit -n`)");
    } else if (!set_options(nano, frame_bytes, address.v6)) {
        error_set(error, ERROR_IO, "cannot set up the socket for %s: %s", text, nn_strerror(errno));
        error_hint(error, "nanomsg 1.1.5 or a later 1.x is needed");
    } else if (bind_or_connect(nano, kind, error)) {
        watch_socket(nano);
        return nano;
    }
    if (nano->socket >= 0)
        nn_close(nano->socket);
    free(nano->address);
    free(nano);
    return NULL;
}

struct nano *nano_listen(struct loop *loop, const char *address, size_t frame_bytes,
                         const struct nano_events *events, struct error *error)
{
    return nano_open(loop, address, ACCEPTOR, frame_bytes, events, error);
}

struct nano *nano_listen_when_free(struct loop *loop, const char *address, size_t frame_bytes,
                                   const struct nano_events *events, struct error *error)
{
    return nano_open(loop, address, PATIENT_ACCEPTOR, frame_bytes, events, error);
}

struct nano *nano_connect(struct loop *loop, const char *address, size_t frame_bytes,
                          const struct nano_events *events, struct error *error)
{
    return nano_open(loop, address, CONNECTOR, frame_bytes, events, error);
}

bool nano_listens(const struct nano *nano)
{
    return nano->acceptor && nano->endpoint >= 0;
}

void nano_pause(struct nano *nano, bool pause)
{
    CHECK(nano->acceptor && !nano->closed);
    if (pause)
        CHECK(uv_poll_stop(&nano->readable) == 0);
    else
        CHECK(uv_poll_start(&nano->readable, UV_READABLE, on_readable) == 0);
}

const struct link_port *nano_link(struct nano *nano)
{
    return &nano->link;
}

static void on_closed(uv_handle_t *handle)
{
    struct nano *nano = handle->data;
    if (--nano->handles > 0)
        return;
    free(nano->address);
    free(nano);
}

void nano_close(struct nano *nano, int linger_ms)
{
    if (!nano || nano->closed)
        return;
    /* NN_SNDFD is readable again once the kernel has the last frame. */
    if (!nano->acceptor && linger_ms > 0)
        poll(&(struct pollfd){.fd = socket_fd(nano, NN_SNDFD), .events = POLLIN}, 1, linger_ms);
    nano->closed = true;
    uv_close((uv_handle_t *)&nano->readable, on_closed);
    uv_close((uv_handle_t *)&nano->watch, on_closed);
    if (!nano->acceptor)
        uv_close((uv_handle_t *)&nano->writable, on_closed);
    while (nn_close(nano->socket) < 0 && errno == EINTR)
        ;
}
