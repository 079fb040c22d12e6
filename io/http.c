#include "io/http.h"

#include <arpa/inet.h>
#include <errno.h>
#include <microhttpd.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "core/check.h"
#include "core/list.h"
#include "io/log.h"

enum {
    CONNECTIONS = 32,
    SPARE_CONNECTIONS = 8, /* that libmicrohttpd takes only to be refused */
    BACKLOG = 16,
    REQUEST_BYTES = 8 * 1024,
    IDLE_S = 5,
};
static const uint64_t life_us = 5 * 1000 * 1000;
static const uint64_t grace_us = 100 * 1000; /* to see the end of one that was cut */
static const uint64_t retry_us = 250 * 1000;

/* One connection. */
struct visitor {
    struct list all; /* http->visitors, oldest first */
    struct MHD_Connection *connection;
    uint64_t until_us;
    bool cut;
};

struct http {
    struct loop *loop;
    char *address;
    struct MHD_Daemon *daemon; /* NULL: the address is taken, and waited for */
    uint64_t retry_at_us;
    uv_poll_t *poll; /* its own memory: libuv frees handles later than we go */
    struct list visitors;
    int visitor_count;
    uint64_t due_us; /* when the library wants to run again */
    void (*get)(void *self, const char *path, struct http_answer *answer);
    void *self;
};

static uint64_t now_us(const struct http *http)
{
    const struct host_port *host = loop_host(http->loop);
    return host->now_us(host->self);
}

/* ---- addresses ----------------------------------------------------------------------------- */

struct address {
    union {
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    } socket;
    socklen_t size;
    bool loopback;
};

static bool parse_host(const char *host, uint16_t port, bool bracketed, struct address *out)
{
    *out = (struct address){.size = sizeof(out->socket.v4)};
    if (!bracketed && inet_pton(AF_INET, host, &out->socket.v4.sin_addr) == 1) {
        out->socket.v4.sin_family = AF_INET;
        out->socket.v4.sin_port = htons(port);
        out->loopback = ntohl(out->socket.v4.sin_addr.s_addr) >> 24 == 127;
        return true;
    }
    if (!bracketed || inet_pton(AF_INET6, host, &out->socket.v6.sin6_addr) != 1)
        return false;
    out->socket.v6.sin6_family = AF_INET6;
    out->socket.v6.sin6_port = htons(port);
    out->size = sizeof(out->socket.v6);
    out->loopback = IN6_IS_ADDR_LOOPBACK(&out->socket.v6.sin6_addr);
    return true;
}

static bool parse_address(const char *text, struct address *out)
{
    char host[INET6_ADDRSTRLEN];
    bool bracketed = text[0] == '[';
    const char *begin = text + bracketed, *end = strchr(begin, bracketed ? ']' : ':');
    const char *colon = end ? end + bracketed : NULL;
    if (!end || *colon != ':' || (size_t)(end - begin) >= sizeof(host))
        return false;
    memcpy(host, begin, (size_t)(end - begin));
    host[end - begin] = '\0';
    size_t digits = strspn(colon + 1, "0123456789");
    long port = digits >= 1 && digits <= 5 ? strtol(colon + 1, NULL, 10) : 0;
    return !colon[1 + digits] && port >= 1 && port <= 65535 &&
           parse_host(host, (uint16_t)port, bracketed, out);
}

static bool check(const char *text, struct address *out, struct error *error)
{
    if (!parse_address(text, out)) {
        error_set(error, ERROR_USAGE, "%s is not an address with a port", text);
        return error_hint(error, "write it as 127.0.0.1:7490 or [::1]:7490");
    }
    if (out->loopback)
        return true;
    error_set(error, ERROR_USAGE, "security: none is for loopback only, and %s is not", text);
    error_detail(error, "everybody in the network could read it");
    return error_hint(error, "use an address of 127.0.0.0/8 or [::1]");
}

bool http_address_check(const char *address, struct error *error)
{
    struct address parsed;
    return check(address, &parsed, error);
}

/* ---- requests ------------------------------------------------------------------------------ */

static enum MHD_Result respond(struct MHD_Connection *connection, struct http_answer *answer,
                               bool refuses_method)
{
    struct MHD_Response *response =
        MHD_create_response_from_buffer(answer->size, answer->body, MHD_RESPMEM_MUST_FREE);
    if (!response) {
        free(answer->body);
        return MHD_NO;
    }
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONTENT_TYPE, answer->type);
    MHD_add_response_header(response, MHD_HTTP_HEADER_CONNECTION, "close");
    MHD_add_response_header(response, MHD_HTTP_HEADER_CACHE_CONTROL, "no-store");
    if (refuses_method)
        MHD_add_response_header(response, MHD_HTTP_HEADER_ALLOW, "GET, HEAD");
    enum MHD_Result result = MHD_queue_response(connection, (unsigned int)answer->status, response);
    MHD_destroy_response(response);
    return result;
}

/* Called first when the headers are read, with *context NULL. A body is never waited for. */
static enum MHD_Result requested(void *self, struct MHD_Connection *connection, const char *path,
                                 const char *method, const char *version, const char *upload,
                                 size_t *upload_size, void **context)
{
    struct http *http = self;
    struct http_answer answer = {.status = MHD_HTTP_METHOD_NOT_ALLOWED, .type = "text/plain"};
    bool reads =
        strcmp(method, MHD_HTTP_METHOD_GET) == 0 || strcmp(method, MHD_HTTP_METHOD_HEAD) == 0;
    (void)version, (void)upload, (void)context;
    if (*upload_size > 0)
        return MHD_NO;
    if (reads)
        http->get(http->self, path, &answer);
    else
        answer.body = xstrdup("only GET and HEAD\n");
    if (!reads)
        answer.size = strlen(answer.body);
    return respond(connection, &answer, !reads);
}

/* ---- connections --------------------------------------------------------------------------- */

static enum MHD_Result admit(void *self, const struct sockaddr *from, socklen_t size)
{
    (void)from, (void)size;
    return ((struct http *)self)->visitor_count < CONNECTIONS ? MHD_YES : MHD_NO;
}

static void came_or_went(void *self, struct MHD_Connection *connection, void **context,
                         enum MHD_ConnectionNotificationCode code)
{
    struct http *http = self;
    if (code == MHD_CONNECTION_NOTIFY_STARTED) {
        struct visitor *visitor = xcalloc(1, sizeof(*visitor));
        visitor->connection = connection;
        visitor->until_us = now_us(http) + life_us;
        list_append(&http->visitors, &visitor->all);
        http->visitor_count++;
        *context = visitor;
    } else if (*context) {
        struct visitor *visitor = *context;
        list_remove(&visitor->all);
        http->visitor_count--;
        free(visitor);
        *context = NULL;
    }
}

/* The library sees the end of its socket, and lets it go. */
static void cut(struct visitor *visitor)
{
    const union MHD_ConnectionInfo *info =
        MHD_get_connection_info(visitor->connection, MHD_CONNECTION_INFO_CONNECTION_FD);
    visitor->cut = true;
    if (info)
        shutdown(info->connect_fd, SHUT_RDWR);
}

static void run(struct http *http)
{
    MHD_UNSIGNED_LONG_LONG wait_ms;
    CHECK(MHD_run(http->daemon) == MHD_YES);
    uint64_t now = now_us(http);
    http->due_us = MHD_get_timeout(http->daemon, &wait_ms) == MHD_YES
                       ? now + (uint64_t)wait_ms * 1000
                       : UINT64_MAX;
}

static void readable(uv_poll_t *poll, int status, int events)
{
    (void)events;
    CHECK(status == 0);
    run(poll->data);
}

static bool try_again(struct http *http);

static uint64_t settle(void *self)
{
    struct http *http = self;
    uint64_t now = now_us(http), next;
    if (!http->daemon && (now < http->retry_at_us || !try_again(http)))
        return http->retry_at_us;
    if (http->visitor_count == 0)
        return UINT64_MAX;
    for (struct list *at = http->visitors.next; at != &http->visitors; at = at->next) {
        struct visitor *visitor = CONTAINER(at, struct visitor, all);
        if (visitor->until_us > now)
            break;
        if (!visitor->cut)
            cut(visitor);
        http->due_us = now;
    }
    if (now >= http->due_us)
        run(http);
    if (http->visitor_count == 0)
        return UINT64_MAX;
    next = CONTAINER(http->visitors.next, struct visitor, all)->until_us;
    next = next > now ? next : now + grace_us;
    /* What it wants to do at once waits for the end of the turn. */
    uint64_t due_us = http->due_us > now ? http->due_us : now + 1;
    return due_us < next ? due_us : next;
}

/* ---- life ---------------------------------------------------------------------------------- */

/* 0 or an errno. */
static int open_socket(const struct address *address, int *fd)
{
    int yes = 1;
    *fd = socket(address->socket.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (*fd >= 0 && setsockopt(*fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)) == 0 &&
        bind(*fd, &address->socket.any, address->size) == 0 && listen(*fd, BACKLOG) == 0)
        return 0;
    int code = errno;
    if (*fd >= 0)
        close(*fd);
    return code;
}

static struct MHD_Daemon *start(struct http *http, int fd)
{
    struct MHD_OptionItem options[] = {
        {MHD_OPTION_LISTEN_SOCKET, fd, NULL},
        {MHD_OPTION_CONNECTION_LIMIT, CONNECTIONS + SPARE_CONNECTIONS, NULL},
        {MHD_OPTION_CONNECTION_TIMEOUT, IDLE_S, NULL},
        {MHD_OPTION_CONNECTION_MEMORY_LIMIT, REQUEST_BYTES, NULL},
        {MHD_OPTION_NOTIFY_CONNECTION, (intptr_t)came_or_went, http},
        {MHD_OPTION_END, 0, NULL}};
    return MHD_start_daemon(MHD_USE_EPOLL, 0, admit, http, requested, http, MHD_OPTION_ARRAY,
                            options, MHD_OPTION_END);
}

/* 0 or an errno; EADDRINUSE: the address is taken. */
static int serve(struct http *http)
{
    struct address address;
    int fd, code;
    CHECK(parse_address(http->address, &address));
    if ((code = open_socket(&address, &fd)) != 0)
        return code;
    http->daemon = start(http, fd);
    if (!http->daemon) {
        code = errno ? errno : ENOMEM;
        close(fd);
        return code;
    }
    const union MHD_DaemonInfo *info = MHD_get_daemon_info(http->daemon, MHD_DAEMON_INFO_EPOLL_FD);
    CHECK(info != NULL);
    http->poll = xcalloc(1, sizeof(*http->poll));
    CHECK(uv_poll_init(loop_uv(http->loop), http->poll, info->epoll_fd) == 0);
    http->poll->data = http;
    CHECK(uv_poll_start(http->poll, UV_READABLE, readable) == 0);
    return 0;
}

static bool try_again(struct http *http)
{
    if (serve(http) == 0) {
        log_write(LOG_INFO, "metrics: %s is free now, and serves /metrics", http->address);
        return true;
    }
    http->retry_at_us = now_us(http) + retry_us;
    return false;
}

static void drop(struct http *http)
{
    free(http->address);
    free(http);
}

static struct http *listen_at(const struct http *like, const char *address, bool waits,
                              struct error *error)
{
    struct address parsed;
    if (!check(address, &parsed, error))
        return NULL;
    struct http *http = xcalloc(1, sizeof(*http));
    *http = *like;
    http->address = xstrdup(address);
    http->due_us = UINT64_MAX;
    list_init(&http->visitors);
    int code = serve(http);
    if (code != 0 && !(waits && code == EADDRINUSE)) {
        error_set(error, ERROR_IO, "cannot listen on %s: %s", address, strerror(code));
        error_hint(error, "set `metrics.listen` to an address that is free");
        drop(http);
        return NULL;
    }
    if (code != 0)
        log_write(LOG_WARNING, "metrics: another process has %s: it is waited for", address);
    loop_on_settle(http->loop, settle, http);
    return http;
}

struct http *http_listen(struct loop *loop, const char *address,
                         void (*get)(void *self, const char *path, struct http_answer *answer),
                         void *self, struct error *error)
{
    return listen_at(&(struct http){.loop = loop, .get = get, .self = self}, address, false, error);
}

struct http *http_listen_when_free(struct loop *loop, const char *address,
                                   void (*get)(void *self, const char *path,
                                               struct http_answer *answer),
                                   void *self, struct error *error)
{
    return listen_at(&(struct http){.loop = loop, .get = get, .self = self}, address, true, error);
}

static void free_poll(uv_handle_t *handle)
{
    free(handle);
}

void http_close(struct http *http)
{
    if (!http)
        return;
    if (http->daemon) {
        uv_close((uv_handle_t *)http->poll, free_poll);
        MHD_stop_daemon(http->daemon);
    }
    CHECK(http->visitor_count == 0);
    drop(http);
}
