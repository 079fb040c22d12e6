/* Binds the agent to the loop, nanomsg and PostgreSQL. */
#include "participant/host.h"

#include <stdlib.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/audit.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/nano.h"
#include "io/status_pages.h"
#include "participant/agent.h"

static const uint64_t heartbeat_us = 500 * 1000;
static const uint64_t sweep_us = 60 * 1000 * 1000;
static const uint64_t barrier_keep_us = 7ull * 24 * 3600 * 1000 * 1000;
/* Without a session with its coordinator (three missed beats end one) a branch in doubt waits once
 * to twice this time before it asks the other participants. */
static const uint64_t patience_us = 1000 * 1000;
static const int linger_ms = 200; /* for the last acknowledgements to leave the socket */

struct host;

/* What nanomsg's events of one coordinator need to find the agent. */
struct coordinator_link {
    struct host *host;
    int index;
    struct nano *nano;
};

/* Likewise of another participant. */
struct line {
    struct host *host;
    int index;
    struct nano *nano; /* NULL: hung up */
};

struct host {
    struct host_config given;
    struct loop *loop;
    uv_poll_t *stop;     /* NULL: signals */
    struct audit *audit; /* NULL: the configuration names none */
    struct pg *pg;
    struct agent *agent;
    struct coordinator_link *links;
    struct nano *door; /* NULL without `listen` */
    struct status_pages pages;
    struct http *http; /* NULL without `metrics` */
    struct line lines[LIMIT_LINES];
    bool ready, stopping;
};

/* ---- events -------------------------------------------------------------------------------- */

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct coordinator_link *link = self;
    (void)route;
    agent_frame(link->host->agent, link->index, frame, size);
}

static void on_broken(void *self)
{
    struct coordinator_link *link = self;
    agent_broken(link->host->agent, link->index);
}

static void on_door_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct host *host = self;
    agent_door_frame(host->agent, route, frame, size);
}

static void on_line_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct line *line = self;
    (void)route;
    agent_line_frame(line->host->agent, line->index, frame, size);
}

static void on_line_broken(void *self)
{
    struct line *line = self;
    agent_line_broken(line->host->agent, line->index);
}

static void on_stop(void *self)
{
    struct host *host = self;
    host->stopping = true;
    log_write(LOG_INFO, "stopping: no new work, what runs is finished");
    agent_drain(host->agent);
}

/* It stays readable, so it is heard once. */
static void on_stop_readable(uv_poll_t *stop, int status, int events)
{
    (void)status, (void)events;
    uv_poll_stop(stop);
    on_stop(stop->data);
}

static void listen_to_stop(struct host *host)
{
    if (host->given.stop_fd < 0) {
        loop_on_stop(host->loop, on_stop, host);
        return;
    }
    host->stop = xmalloc(sizeof(*host->stop));
    CHECK(uv_poll_init(loop_uv(host->loop), host->stop, host->given.stop_fd) == 0);
    host->stop->data = host;
    CHECK(uv_poll_start(host->stop, UV_READABLE, on_stop_readable) == 0);
}

static void tell_metrics(void *self, struct metrics_sink *sink)
{
    struct host *host = self;
    agent_metrics(host->agent, sink);
    metrics_family(sink, "troth_loop_turn_seconds", METRIC_HISTOGRAM,
                   "From what the event loop was woken for to the end of that turn.");
    metrics_histogram(sink, "troth_loop_turn_seconds", "", loop_turns(host->loop));
}

static const char *unready(void *self)
{
    return agent_unready(((struct host *)self)->agent);
}

static uint64_t settle(void *self)
{
    struct host *host = self;
    if (host->door)
        agent_door_listens(host->agent, nano_listens(host->door));
    uint64_t next = agent_settle(host->agent);
    if (!host->ready && agent_ready(host->agent)) {
        host->ready = true;
        int count = host->given.config->operations.count;
        log_write(LOG_INFO, "ready: participant %s of cluster %s offers %d operation%s",
                  host->given.config->participant, host->given.config->cluster, count,
                  count == 1 ? "" : "s");
    }
    if (agent_replaced(host->agent)) {
        loop_stop(host->loop);
    } else if (host->stopping && agent_drained(host->agent)) {
        agent_leave(host->agent);
        agent_settle(host->agent);
        loop_stop(host->loop);
    }
    return next;
}

/* ---- lines --------------------------------------------------------------------------------- */

static bool dial(void *self, int index, const char *address, struct link_port *link)
{
    struct host *host = self;
    struct line *line = &host->lines[index];
    struct nano_events events = {.self = line, .frame = on_line_frame, .broken = on_line_broken};
    struct error error = {0};
    *line = (struct line){.host = host, .index = index};
    /* With security none, also those that other processes name must be on this machine. */
    if (nano_address_check(address, true, &error))
        line->nano = nano_connect(host->loop, address, LIMIT_AGENT_FRAME_BYTES, &events, &error);
    if (!line->nano) {
        log_error(&error);
        return false;
    }
    *link = *nano_link(line->nano);
    return true;
}

static void hang_up(void *self, int index)
{
    struct line *line = &((struct host *)self)->lines[index];
    nano_close(line->nano, 0);
    line->nano = NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

struct pg_config host_pg_config(const struct config *config)
{
    return (struct pg_config){.conninfo = config->conninfo,
                              .cluster = config->cluster,
                              .participant = config->participant,
                              .connections = config->connections,
                              .three_phase = config->listen != NULL,
                              .lock_timeout_us = config->lock_timeout_us};
}

static bool connect_links(struct host *host, struct link_port *ports, struct error *error)
{
    for (int i = 0; i < host->given.config->coordinator_count; i++) {
        struct coordinator_link *link = &host->links[i];
        struct nano_events events = {.self = link, .frame = on_frame, .broken = on_broken};
        *link = (struct coordinator_link){.host = host, .index = i};
        link->nano = nano_connect(host->loop, host->given.config->coordinators[i],
                                  LIMIT_AGENT_FRAME_BYTES, &events, error);
        if (!link->nano)
            return false;
        ports[i] = *nano_link(link->nano);
    }
    return true;
}

/* True without `listen`, too: then there is no door. An older process of this participant may still
 * have the address: this one takes over first, and that ends the older one. */
static bool open_door(struct host *host, struct error *error)
{
    struct nano_events events = {.self = host, .frame = on_door_frame};
    if (!host->given.config->listen)
        return true;
    host->door = nano_listen_when_free(host->loop, host->given.config->listen,
                                       LIMIT_AGENT_FRAME_BYTES, &events, error);
    return host->door != NULL;
}

/* True without `audit`, too: what operators force is kept in the database in any case. */
static bool open_audit(struct host *host, struct error *error)
{
    const struct config *config = host->given.config;
    if (!config->audit)
        return true;
    char *process = xasprintf("%s %s", host->given.program, config->participant);
    host->audit = audit_open(config->audit, process, loop_host(host->loop), error);
    free(process);
    return host->audit != NULL;
}

/* True without `metrics`, too. */
static bool open_pages(struct host *host, struct error *error)
{
    host->pages = (struct status_pages){host, tell_metrics, unready};
    if (!host->given.config->metrics)
        return true;
    host->http = http_listen_when_free(host->loop, host->given.config->metrics, status_pages_get,
                                       &host->pages, error);
    return host->http != NULL;
}

static bool open_all(struct host *host, struct error *error)
{
    const struct config *config = host->given.config;
    const struct dial_port dials = {.self = host, .dial = dial, .hang_up = hang_up};
    size_t count = (size_t)config->coordinator_count;
    struct link_port *ports = xcalloc(count, sizeof(*ports));
    host->links = xcalloc(count, sizeof(*host->links));
    host->loop = loop_new();
    bool opened = open_audit(host, error) && open_door(host, error) && open_pages(host, error) &&
                  connect_links(host, ports, error);
    if (opened) {
        struct pg_config database = host_pg_config(config);
        database.handlers = host->given.calls;
        struct agent_config agent = {.cluster = config->cluster,
                                     .participant = config->participant,
                                     .operations = &config->operations,
                                     .connections = config->connections,
                                     .heartbeat_us = heartbeat_us,
                                     .sweep_us = sweep_us,
                                     .barrier_keep_us = barrier_keep_us,
                                     .listen = config->listen,
                                     .patience_us = patience_us,
                                     .audit = host->audit ? audit_port(host->audit) : NULL};
        host->pg = pg_new(host->loop, &database);
        host->agent = agent_new(
            &agent, loop_host(host->loop), pg_port(host->pg), ports, config->coordinator_count,
            host->door ? nano_link(host->door) : NULL, host->door ? &dials : NULL);
        pg_bind(host->pg, agent_db_events(host->agent));
        loop_on_settle(host->loop, settle, host);
        listen_to_stop(host);
    }
    free(ports);
    return opened;
}

struct host *host_new(const struct host_config *config, struct error *error)
{
    struct host *host = xcalloc(1, sizeof(*host));
    host->given = *config;
    log_write(LOG_INFO, "%s %s: participant %s of cluster %s", config->program, TROTH_VERSION,
              config->config->participant, config->config->cluster);
    log_write(LOG_WARNING, "security: none. Everybody on this machine can speak for anybody; only "
                           "loopback addresses are used");
    if (open_all(host, error))
        return host;
    host_free(host);
    return NULL;
}

bool host_run(struct host *host)
{
    loop_run(host->loop);
    bool replaced = agent_replaced(host->agent);
    if (replaced)
        log_write(LOG_ERROR,
                  "another process took over the name %s: this one ends. Only one "
                  "agent may run for a database",
                  host->given.config->participant);
    else
        log_write(LOG_INFO, "stopped");
    return !replaced;
}

static void free_handle(uv_handle_t *handle)
{
    free(handle);
}

void host_free(struct host *host)
{
    if (!host)
        return;
    for (int i = 0; i < host->given.config->coordinator_count; i++) {
        if (host->links[i].nano)
            nano_close(host->links[i].nano, linger_ms);
    }
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (host->lines[i].nano)
            nano_close(host->lines[i].nano, 0);
    }
    if (host->door)
        nano_close(host->door, linger_ms);
    http_close(host->http);
    if (host->pg)
        pg_free(host->pg);
    agent_free(host->agent);
    audit_close(host->audit);
    if (host->stop)
        uv_close((uv_handle_t *)host->stop, free_handle);
    loop_free(host->loop);
    free(host->links);
    free(host);
}
