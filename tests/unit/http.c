/* The HTTP server towards good and hostile clients, which are plain sockets in the same loop. */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "io/log.h"
#include "io/status_pages.h"

enum { CLIENTS = 60, ANSWER_BYTES = 64 * 1024 };

struct client {
    int fd;
    bool ended;
    char answer[ANSWER_BYTES];
    size_t size;
};

struct rig {
    struct loop *loop;
    struct http *http;
    struct status_pages pages;
    const char *reason;
    int port;
    struct client clients[CLIENTS];
    int client_count;
    int wanted; /* ends of clients */
    uint64_t until_us;
};

static void metrics(void *self, struct metrics_sink *sink)
{
    (void)self;
    metrics_gauge(sink, "troth_test", "A test.", 1.5);
}

static const char *unready(void *self)
{
    return ((struct rig *)self)->reason;
}

static uint64_t now_us(struct rig *rig)
{
    const struct host_port *host = loop_host(rig->loop);
    return host->now_us(host->self);
}

static void look(struct client *client)
{
    for (;;) {
        ssize_t size = recv(client->fd, client->answer + client->size,
                            sizeof(client->answer) - 1 - client->size, MSG_DONTWAIT);
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0) {
            client->ended = true;
            return;
        }
        client->size += (size_t)size;
    }
}

static uint64_t settle(void *self)
{
    struct rig *rig = self;
    int ended = 0;
    for (int i = 0; i < rig->client_count; i++) {
        if (!rig->clients[i].ended)
            look(&rig->clients[i]);
        ended += rig->clients[i].ended;
    }
    uint64_t now = now_us(rig);
    if (ended >= rig->wanted || now >= rig->until_us)
        loop_stop(rig->loop);
    return now + 2000;
}

static int free_port(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(address);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&address, size), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&address, &size), 0);
    close(fd);
    return ntohs(address.sin_port);
}

static int setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    struct error error = {0};
    char address[64];
    rig->loop = loop_new();
    rig->pages = (struct status_pages){rig, metrics, unready};
    rig->port = free_port();
    snprintf(address, sizeof(address), "127.0.0.1:%d", rig->port);
    rig->http = http_listen(rig->loop, address, status_pages_get, &rig->pages, &error);
    assert_non_null(rig->http);
    loop_on_settle(rig->loop, settle, rig);
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    http_close(rig->http);
    loop_free(rig->loop);
    for (int i = 0; i < rig->client_count; i++)
        close(rig->clients[i].fd);
    free(rig);
    return 0;
}

static struct client *connect_one(struct rig *rig, const char *request)
{
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_port = htons((uint16_t)rig->port),
                                  .sin_addr.s_addr = htonl(0x7f000001)};
    struct client *client = &rig->clients[rig->client_count++];
    client->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(connect(client->fd, (struct sockaddr *)&address, sizeof(address)), 0);
    assert_int_equal(send(client->fd, request, strlen(request), MSG_NOSIGNAL), strlen(request));
    return client;
}

/* Until so many clients have heard the end, for at most so long. */
static void run(struct rig *rig, int ends, int ms)
{
    rig->wanted = ends;
    rig->until_us = now_us(rig) + (uint64_t)ms * 1000;
    loop_run(rig->loop);
}

static const char *ask(struct rig *rig, const char *request)
{
    struct client *client = connect_one(rig, request);
    int ends = 1;
    for (int i = 0; i < rig->client_count; i++)
        ends += rig->clients[i].ended;
    run(rig, ends, 10000);
    assert_true(client->ended);
    return client->answer;
}

static void expect_begin(const char *answer, const char *begin)
{
    if (strncmp(answer, begin, strlen(begin)) != 0)
        fail_msg("'%.80s' does not begin with '%s'", answer, begin);
}

/* ---- tests --------------------------------------------------------------------------------- */

static void pages_are_served(void **state)
{
    struct rig *rig = *state;
    const char *answer = ask(rig, "GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_begin(answer, "HTTP/1.1 200 ");
    assert_non_null(strstr(answer, "Content-Type: text/plain; version=0.0.4; charset=utf-8\r\n"));
    assert_non_null(strstr(answer, "# HELP troth_test A test.\n# TYPE troth_test gauge\n"
                                   "troth_test 1.5\n"));
    assert_non_null(strstr(answer, "\nprocess_cpu_seconds_total "));
    assert_non_null(strstr(ask(rig, "GET /healthz HTTP/1.0\r\n\r\n"), "\r\n\r\nok\n"));
    answer = ask(rig, "GET /metrics?name=x HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_begin(answer, "HTTP/1.1 200 ");
    answer = ask(rig, "HEAD /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_begin(answer, "HTTP/1.1 200 ");
    assert_non_null(strstr(answer, "Content-Length: "));
    assert_string_equal(strstr(answer, "\r\n\r\n"), "\r\n\r\n");
    expect_begin(ask(rig, "GET / HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 404 ");
}

static void readiness_has_its_reason(void **state)
{
    struct rig *rig = *state;
    rig->reason = "draining: it is being stopped";
    const char *answer = ask(rig, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_begin(answer, "HTTP/1.1 503 ");
    assert_non_null(strstr(answer, "\r\n\r\ndraining: it is being stopped\n"));
    rig->reason = NULL;
    answer = ask(rig, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n");
    expect_begin(answer, "HTTP/1.1 200 ");
}

static void other_methods_are_refused(void **state)
{
    struct rig *rig = *state;
    const char *answer =
        ask(rig, "POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 4\r\n\r\nabcd");
    expect_begin(answer, "HTTP/1.1 405 ");
    assert_non_null(strstr(answer, "Allow: GET, HEAD\r\n"));
    expect_begin(ask(rig, "DELETE /metrics HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 405 ");
    /* A body that never comes is not waited for. */
    expect_begin(ask(rig, "PUT /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 1000000\r\n\r\n"),
                 "HTTP/1.1 405 ");
}

static void what_is_too_large_or_no_http_is_refused(void **state)
{
    struct rig *rig = *state;
    char *request = xmalloc(40000);
    int head = sprintf(request, "GET /metrics HTTP/1.1\r\nHost: x\r\nX: ");
    memset(request + head, 'a', 30000);
    strcpy(request + head + 30000, "\r\n\r\n");
    expect_begin(ask(rig, request), "HTTP/1.1 431 ");
    head = sprintf(request, "GET /");
    memset(request + head, 'b', 30000);
    strcpy(request + head + 30000, " HTTP/1.1\r\n\r\n");
    expect_begin(ask(rig, request), "HTTP/1.1 414 ");
    free(request);
    /* Whatever is said of it, it ends, and nobody else suffers. */
    const char *answer = ask(rig, "\x16\x03\x01\x02\n\n\n\n\xff\xfe\r\n\r\n\r\n");
    assert_null(strstr(answer, " 200 "));
    expect_begin(ask(rig, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
}

static void one_that_never_ends_its_request_is_cut(void **state)
{
    struct rig *rig = *state;
    uint64_t began_us = now_us(rig);
    struct client *slow = connect_one(rig, "GET /metrics HTTP/1.1\r\nHost: x\r\n");
    /* It says something now and then, so it is never idle for long. */
    while (!slow->ended && now_us(rig) < began_us + 20ull * 1000 * 1000) {
        run(rig, 1, 700);
        send(slow->fd, "X: y\r\n", 6, MSG_NOSIGNAL);
    }
    assert_true(slow->ended);
    assert_true(now_us(rig) - began_us < 8ull * 1000 * 1000);
    assert_true(slow->size == 0 || !strstr(slow->answer, " 200 "));
}

static void beyond_the_32nd_nobody_is_let_in(void **state)
{
    struct rig *rig = *state;
    for (int i = 0; i < 50; i++) {
        connect_one(rig, "GET /metrics");
        if (i % 10 == 9) /* its backlog is short */
            run(rig, CLIENTS, 50);
    }
    run(rig, 18, 3000);
    int ended = 0;
    for (int i = 0; i < 50; i++)
        ended += rig->clients[i].ended;
    assert_int_equal(ended, 18);
    /* They all are cut in time, and then there is room again. */
    run(rig, 50, 10000);
    for (int i = 0; i < 50; i++)
        assert_true(rig->clients[i].ended);
    expect_begin(ask(rig, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
}

static bool was_open[200]; /* what this process was given */

static void sockets_are_not_inherited(void **state)
{
    struct rig *rig = *state;
    connect_one(rig, "GET /metrics");
    run(rig, 1, 100);
    int found = 0;
    for (int fd = 0; fd < 200; fd++) {
        int flags = was_open[fd] ? -1 : fcntl(fd, F_GETFD);
        found += flags >= 0;
        assert_true(flags < 0 || (flags & FD_CLOEXEC));
    }
    assert_true(found >= 5); /* the loop's, and those of three sockets */
}

static void addresses_are_numeric_and_on_loopback(void **state)
{
    static const char *const good[] = {"127.0.0.1:7490", "127.1.2.3:1", "[::1]:65535"};
    static const char *const bad[] = {"",
                                      "127.0.0.1",
                                      "127.0.0.1:",
                                      "127.0.0.1:0",
                                      "localhost:1",
                                      "127.0.0.1:1x",
                                      "[::1]7490",
                                      "::1:7490",
                                      "0.0.0.0:80",
                                      "[::]:80",
                                      "10.0.0.1:80",
                                      "[::1:80",
                                      "127.0.0.1:65536"};
    struct error error = {0};
    (void)state;
    for (size_t i = 0; i < sizeof(good) / sizeof(*good); i++)
        assert_true(http_address_check(good[i], &error));
    for (size_t i = 0; i < sizeof(bad) / sizeof(*bad); i++)
        assert_false(http_address_check(bad[i], &error));
}

static void an_address_that_is_taken_is_told(void **state)
{
    struct rig *rig = *state;
    struct error error = {0};
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1:%d", rig->port);
    assert_null(http_listen(rig->loop, address, status_pages_get, &rig->pages, &error));
    assert_non_null(strstr(error.message, "Address already in use"));
    assert_non_null(strstr(error.hint, "metrics.listen"));
}

static void an_address_that_is_taken_is_waited_for(void **state)
{
    struct rig *rig = *state;
    struct error error = {0};
    char address[64];
    snprintf(address, sizeof(address), "127.0.0.1:%d", rig->port);
    log_setup("http", LOG_TEXT, LOG_ERROR);
    struct http *second =
        http_listen_when_free(rig->loop, address, status_pages_get, &rig->pages, &error);
    assert_non_null(second);
    rig->reason = "the first";
    run(rig, CLIENTS, 400);
    assert_non_null(strstr(ask(rig, "GET /readyz HTTP/1.1\r\nHost: x\r\n\r\n"), "the first\n"));
    http_close(second);
    assert_null(http_listen_when_free(rig->loop, "127.0.0.1", status_pages_get, rig, &error));
}

static void a_second_one_serves_when_the_first_is_gone(void **state)
{
    struct rig *rig = *state;
    struct error error = {0};
    struct sockaddr_in taken = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(0x7f000001)};
    socklen_t size = sizeof(taken);
    char address[64];
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    log_setup("http", LOG_TEXT, LOG_ERROR);
    assert_int_equal(bind(fd, (struct sockaddr *)&taken, size), 0);
    assert_int_equal(listen(fd, 1), 0);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&taken, &size), 0);
    rig->port = ntohs(taken.sin_port);
    snprintf(address, sizeof(address), "127.0.0.1:%d", rig->port);
    struct http *second =
        http_listen_when_free(rig->loop, address, status_pages_get, &rig->pages, &error);
    assert_non_null(second);
    run(rig, CLIENTS, 100);
    close(fd);
    run(rig, CLIENTS, 600);
    expect_begin(ask(rig, "GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n"), "HTTP/1.1 200 ");
    http_close(second);
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(pages_are_served),
        TEST(readiness_has_its_reason),
        TEST(other_methods_are_refused),
        TEST(what_is_too_large_or_no_http_is_refused),
        TEST(one_that_never_ends_its_request_is_cut),
        TEST(beyond_the_32nd_nobody_is_let_in),
        TEST(sockets_are_not_inherited),
        cmocka_unit_test(addresses_are_numeric_and_on_loopback),
        TEST(an_address_that_is_taken_is_told),
        TEST(an_address_that_is_taken_is_waited_for),
        TEST(a_second_one_serves_when_the_first_is_gone),
    };
    for (int fd = 0; fd < 200; fd++)
        was_open[fd] = fcntl(fd, F_GETFD) >= 0;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
