/* troth-participant: binds the agent to the loop, nanomsg and PostgreSQL. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/audit.h"
#include "io/crash.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/nano.h"
#include "io/pg.h"
#include "io/status_pages.h"
#include "participant/agent.h"
#include "participant/config.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const uint64_t heartbeat_us = 500 * 1000;
static const uint64_t sweep_us = 60 * 1000 * 1000;
static const uint64_t barrier_keep_us = 7ull * 24 * 3600 * 1000 * 1000;
/* Without a session with its coordinator (three missed beats end one) a branch in doubt waits once
 * to twice this time before it asks the other participants. */
static const uint64_t patience_us = 1000 * 1000;
static const int linger_ms = 200; /* for the last acknowledgements to leave the socket */

struct daemon;

/* What nanomsg's events of one coordinator need to find the agent. */
struct coordinator_link {
    struct daemon *daemon;
    int index;
    struct nano *nano;
};

/* Likewise of another participant. */
struct line {
    struct daemon *daemon;
    int index;
    struct nano *nano; /* NULL: hung up */
};

struct daemon {
    struct config config;
    struct loop *loop;
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

static const char help[] =
    "Usage: troth-participant --config FILE [--check-config | --install]\n"
    "\n"
    "Runs the branches of distributed transactions in one PostgreSQL database.\n"
    "\n"
    "  --config FILE    the configuration; config/participant.yaml shows every key\n"
    "  --check-config   read it, try the database, say what is wrong, and end\n"
    "  --install        create the schema `troth` in the database, or bring it up\n"
    "                   to date, and end; safe to repeat\n"
    "  -h, --help       this text\n"
    "  --version\n"
    "\n"
    "SIGTERM: takes no new work, finishes what runs, and ends with 0. What is\n"
    "prepared stays in the database and is settled after the next start.\n"
    "Exit codes: 0 ended as asked, 1 failed, 2 wrong usage or a bad file.\n";

static int complain(const struct error *error, int code)
{
    char text[sizeof(*error) + 64];
    fprintf(stderr, "troth-participant: %s\n", error_format(error, text, sizeof(text)));
    return code;
}

/* ---- events -------------------------------------------------------------------------------- */

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct coordinator_link *link = self;
    (void)route;
    agent_frame(link->daemon->agent, link->index, frame, size);
}

static void on_broken(void *self)
{
    struct coordinator_link *link = self;
    agent_broken(link->daemon->agent, link->index);
}

static void on_door_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct daemon *daemon = self;
    agent_door_frame(daemon->agent, route, frame, size);
}

static void on_line_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    struct line *line = self;
    (void)route;
    agent_line_frame(line->daemon->agent, line->index, frame, size);
}

static void on_line_broken(void *self)
{
    struct line *line = self;
    agent_line_broken(line->daemon->agent, line->index);
}

static void on_stop(void *self)
{
    struct daemon *daemon = self;
    daemon->stopping = true;
    log_write(LOG_INFO, "stopping: no new work, what runs is finished");
    agent_drain(daemon->agent);
}

static void tell_metrics(void *self, struct metrics_sink *sink)
{
    struct daemon *daemon = self;
    agent_metrics(daemon->agent, sink);
    metrics_family(sink, "troth_loop_turn_seconds", METRIC_HISTOGRAM,
                   "From what the event loop was woken for to the end of that turn.");
    metrics_histogram(sink, "troth_loop_turn_seconds", "", loop_turns(daemon->loop));
}

static const char *unready(void *self)
{
    return agent_unready(((struct daemon *)self)->agent);
}

static uint64_t settle(void *self)
{
    struct daemon *daemon = self;
    if (daemon->door)
        agent_door_listens(daemon->agent, nano_listens(daemon->door));
    uint64_t next = agent_settle(daemon->agent);
    if (!daemon->ready && agent_ready(daemon->agent)) {
        daemon->ready = true;
        int count = daemon->config.operations.count;
        log_write(LOG_INFO, "ready: participant %s of cluster %s offers %d operation%s",
                  daemon->config.participant, daemon->config.cluster, count, count == 1 ? "" : "s");
    }
    if (agent_replaced(daemon->agent)) {
        loop_stop(daemon->loop);
    } else if (daemon->stopping && agent_drained(daemon->agent)) {
        agent_leave(daemon->agent);
        agent_settle(daemon->agent);
        loop_stop(daemon->loop);
    }
    return next;
}

/* ---- lines --------------------------------------------------------------------------------- */

static bool dial(void *self, int index, const char *address, struct link_port *link)
{
    struct daemon *daemon = self;
    struct line *line = &daemon->lines[index];
    struct nano_events events = {.self = line, .frame = on_line_frame, .broken = on_line_broken};
    struct error error = {0};
    *line = (struct line){.daemon = daemon, .index = index};
    /* With security none, also those that other processes name must be on this machine. */
    if (nano_address_check(address, true, &error))
        line->nano = nano_connect(daemon->loop, address, LIMIT_AGENT_FRAME_BYTES, &events, &error);
    if (!line->nano) {
        log_error(&error);
        return false;
    }
    *link = *nano_link(line->nano);
    return true;
}

static void hang_up(void *self, int index)
{
    struct line *line = &((struct daemon *)self)->lines[index];
    nano_close(line->nano, 0);
    line->nano = NULL;
}

/* ---- life ---------------------------------------------------------------------------------- */

static struct pg_config pg_config(const struct config *config)
{
    return (struct pg_config){.conninfo = config->conninfo,
                              .cluster = config->cluster,
                              .participant = config->participant,
                              .connections = config->connections,
                              .three_phase = config->listen != NULL,
                              .lock_timeout_us = config->lock_timeout_us};
}

static bool connect_links(struct daemon *daemon, struct link_port *ports, struct error *error)
{
    for (int i = 0; i < daemon->config.coordinator_count; i++) {
        struct coordinator_link *link = &daemon->links[i];
        struct nano_events events = {.self = link, .frame = on_frame, .broken = on_broken};
        *link = (struct coordinator_link){.daemon = daemon, .index = i};
        link->nano = nano_connect(daemon->loop, daemon->config.coordinators[i],
                                  LIMIT_AGENT_FRAME_BYTES, &events, error);
        if (!link->nano)
            return false;
        ports[i] = *nano_link(link->nano);
    }
    return true;
}

/* True without `listen`, too: then there is no door. An older process of this participant may still
 * have the address: this one takes over first, and that ends the older one. */
static bool open_door(struct daemon *daemon, struct error *error)
{
    struct nano_events events = {.self = daemon, .frame = on_door_frame};
    if (!daemon->config.listen)
        return true;
    daemon->door = nano_listen_when_free(daemon->loop, daemon->config.listen,
                                         LIMIT_AGENT_FRAME_BYTES, &events, error);
    return daemon->door != NULL;
}

/* True without `audit`, too: what operators force is kept in the database in any case. */
static bool open_audit(struct daemon *daemon, struct error *error)
{
    const struct config *config = &daemon->config;
    if (!config->audit)
        return true;
    char *process = xasprintf("troth-participant %s", config->participant);
    daemon->audit = audit_open(config->audit, process, loop_host(daemon->loop), error);
    free(process);
    return daemon->audit != NULL;
}

/* True without `metrics`, too. */
static bool open_pages(struct daemon *daemon, struct error *error)
{
    daemon->pages = (struct status_pages){daemon, tell_metrics, unready};
    if (!daemon->config.metrics)
        return true;
    daemon->http = http_listen_when_free(daemon->loop, daemon->config.metrics, status_pages_get,
                                         &daemon->pages, error);
    return daemon->http != NULL;
}

static bool open_all(struct daemon *daemon, struct error *error)
{
    const struct config *config = &daemon->config;
    const struct dial_port dials = {.self = daemon, .dial = dial, .hang_up = hang_up};
    size_t count = (size_t)config->coordinator_count;
    struct link_port *ports = xcalloc(count, sizeof(*ports));
    daemon->links = xcalloc(count, sizeof(*daemon->links));
    daemon->loop = loop_new();
    bool opened = open_audit(daemon, error) && open_door(daemon, error) &&
                  open_pages(daemon, error) && connect_links(daemon, ports, error);
    if (opened) {
        struct pg_config database = pg_config(config);
        struct agent_config agent = {.cluster = config->cluster,
                                     .participant = config->participant,
                                     .operations = &config->operations,
                                     .connections = config->connections,
                                     .heartbeat_us = heartbeat_us,
                                     .sweep_us = sweep_us,
                                     .barrier_keep_us = barrier_keep_us,
                                     .listen = config->listen,
                                     .patience_us = patience_us,
                                     .audit = daemon->audit ? audit_port(daemon->audit) : NULL};
        daemon->pg = pg_new(daemon->loop, &database);
        daemon->agent = agent_new(
            &agent, loop_host(daemon->loop), pg_port(daemon->pg), ports, config->coordinator_count,
            daemon->door ? nano_link(daemon->door) : NULL, daemon->door ? &dials : NULL);
        pg_bind(daemon->pg, agent_db_events(daemon->agent));
        loop_on_settle(daemon->loop, settle, daemon);
        loop_on_stop(daemon->loop, on_stop, daemon);
    }
    free(ports);
    return opened;
}

static void close_all(struct daemon *daemon)
{
    for (int i = 0; i < daemon->config.coordinator_count; i++) {
        if (daemon->links[i].nano)
            nano_close(daemon->links[i].nano, linger_ms);
    }
    for (int i = 0; i < LIMIT_LINES; i++) {
        if (daemon->lines[i].nano)
            nano_close(daemon->lines[i].nano, 0);
    }
    if (daemon->door)
        nano_close(daemon->door, linger_ms);
    http_close(daemon->http);
    if (daemon->pg)
        pg_free(daemon->pg);
    agent_free(daemon->agent);
    audit_close(daemon->audit);
    loop_free(daemon->loop);
    free(daemon->links);
}

static int run(struct daemon *daemon)
{
    struct error error = {0};
    log_setup("troth-participant", daemon->config.log.format, daemon->config.log.level);
    log_write(LOG_INFO, "troth-participant %s: participant %s of cluster %s", TROTH_VERSION,
              daemon->config.participant, daemon->config.cluster);
    log_write(LOG_WARNING, "security: none. Everybody on this machine can speak for anybody; only "
                           "loopback addresses are used");
    int code = EXIT_SUCCESS;
    if (open_all(daemon, &error)) {
        loop_run(daemon->loop);
        if (agent_replaced(daemon->agent)) {
            log_write(LOG_ERROR,
                      "another process took over the name %s: this one ends. Only one "
                      "agent may run for a database",
                      daemon->config.participant);
            code = EXIT_FAILED;
        } else {
            log_write(LOG_INFO, "stopped");
        }
    } else {
        log_error(&error);
        code = EXIT_FAILED;
    }
    close_all(daemon);
    return code;
}

/* Every statement of every operation, as the database would get it. The names are to be freed. */
static struct db_statement *list_statements(const struct operation_set *set, int *count)
{
    struct db_statement *list = NULL;
    *count = 0;
    for (int i = 0; i < set->count; i++) {
        const struct operation *operation = &set->operations[i];
        for (int j = 0; j < operation->statement_count; j++) {
            const struct operation_statement *statement = &operation->statements[j];
            list = xrealloc(list, (size_t)(*count + 1) * sizeof(*list));
            list[(*count)++] = (struct db_statement){
                .name = xasprintf("%s, statement %d", operation->name, j + 1),
                .sql = statement->sql,
                .parameter_count = statement->parameter_count,
                .types = statement->types,
            };
        }
    }
    return list;
}

static int check_config(const struct config *config, const char *path)
{
    struct error error = {0};
    struct pg_config database = pg_config(config);
    printf("%s: good, %d operation%s\n", path, config->operations.count,
           config->operations.count == 1 ? "" : "s");
    fflush(stdout);
    int count;
    struct db_statement *statements = list_statements(&config->operations, &count);
    bool good = pg_check(&database, statements, count, &error);
    for (int i = 0; i < count; i++)
        free((char *)statements[i].name);
    free(statements);
    if (!good)
        return complain(&error, EXIT_FAILED);
    printf("the database can be used, and understands every statement\n");
    return EXIT_SUCCESS;
}

static int install(const struct config *config)
{
    struct error error = {0};
    struct pg_config database = pg_config(config);
    if (!pg_install(&database, &error))
        return complain(&error, EXIT_FAILED);
    printf("the schema troth is in place\n");
    return EXIT_SUCCESS;
}

enum action { RUN, CHECK_CONFIG, INSTALL, WRONG_USAGE };

static enum action parse_arguments(int count, char **arguments, const char **path)
{
    static const struct option options[] = {
        {"config", required_argument, NULL, 'c'}, {"check-config", no_argument, NULL, 'k'},
        {"install", no_argument, NULL, 'i'},      {"help", no_argument, NULL, 'h'},
        {"version", no_argument, NULL, 'v'},      {0}};
    enum action action = RUN;
    for (int option; (option = getopt_long(count, arguments, "h", options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            exit(EXIT_SUCCESS);
        } else if (option == 'v') {
            puts("troth-participant " TROTH_VERSION);
            exit(EXIT_SUCCESS);
        } else if (option == 'c') {
            *path = optarg;
        } else if (option == '?' || action != RUN) {
            return WRONG_USAGE;
        } else {
            action = option == 'k' ? CHECK_CONFIG : INSTALL;
        }
    }
    if (optind < count)
        fprintf(stderr, "troth-participant: \"%s\" is one word too many\n", arguments[optind]);
    return *path && optind == count ? action : WRONG_USAGE;
}

int main(int count, char **arguments)
{
    const char *path = NULL;
    struct error error = {0};
    struct daemon daemon = {0};
    crash_setup();
    enum action action = parse_arguments(count, arguments, &path);
    if (action == WRONG_USAGE) {
        fputs("Usage: troth-participant --config FILE [--check-config | --install]\n"
              "`troth-participant --help` tells more.\n",
              stderr);
        return EXIT_USAGE;
    }
    if (!config_load(path, &daemon.config, &error))
        return complain(&error, EXIT_USAGE);
    int code = action == CHECK_CONFIG ? check_config(&daemon.config, path)
               : action == INSTALL    ? install(&daemon.config)
                                      : run(&daemon);
    config_fini(&daemon.config);
    return code;
}
