/* trothd: binds the server to the loop, nanomsg and the journal's files. */
#include <getopt.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>

#include "coordinator/config.h"
#include "coordinator/definition_files.h"
#include "coordinator/server.h"
#include "core/check.h"
#include "core/limits.h"
#include "io/alert_hook.h"
#include "io/audit.h"
#include "io/crash.h"
#include "io/file_journal.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/nano.h"
#include "io/status_pages.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

static const int linger_ms = 200; /* for the last answers to leave the socket */
static const uint64_t facts_us = 1000 * 1000;

struct daemon {
    struct config config;
    struct loop *loop;
    struct nano *nano;
    struct file_journal *journal;
    struct audit *audit;
    /* What the server is told of the audit log, which opens later: its file may lie in the
     * journal's directory, which is made and locked first. */
    struct audit_port orders;
    struct server *server;
    struct folder *sagas;
    struct alert_hook *alerts; /* NULL without `alerts` */
    struct status_pages pages;
    struct http *http; /* NULL without `metrics` */
    uint64_t replayed;
    uint64_t facts_due_us;
    uint64_t stop_by_us; /* 0: not stopping */
    bool ready;
};

static const char help[] =
    "Usage: trothd --config FILE [--check-config]\n"
    "\n"
    "Coordinates transactions over several PostgreSQL databases: decides them, keeps\n"
    "the decisions in its journal, and goes on with them after a crash.\n"
    "\n"
    "  --config FILE    the configuration; config/trothd.yaml shows every key\n"
    "  --check-config   read it, and the sagas of the folder that it names, say what is\n"
    "                   wrong, and end\n"
    "  -h, --help       this text\n"
    "  --version\n"
    "\n"
    "SIGTERM: takes no new transactions, decides and answers those that run, and ends\n"
    "with 0. What is decided and not yet applied everywhere goes on after the next\n"
    "start; sagas that run go on then, too.\n"
    "Exit codes: 0 ended as asked, 1 failed, 2 wrong usage or a bad file.\n";

static int complain(const struct error *error, int code)
{
    char text[sizeof(*error) + 64];
    fprintf(stderr, "trothd: %s\n", error_format(error, text, sizeof(text)));
    return code;
}

/* ---- events -------------------------------------------------------------------------------- */

static void on_frame(void *self, uint64_t route, const void *frame, size_t size)
{
    server_frame(((struct daemon *)self)->server, route, frame, size);
}

static void on_durable(void *self, uint64_t position)
{
    server_durable(((struct daemon *)self)->server, position);
}

static uint64_t now_us(const struct daemon *daemon)
{
    const struct host_port *host = loop_host(daemon->loop);
    return host->now_us(host->self);
}

static void on_stop(void *self)
{
    struct daemon *daemon = self;
    log_write(LOG_INFO, "stopping: no new transactions; %zu are to be decided, %zu are open",
              server_undecided(daemon->server), server_open(daemon->server));
    daemon->stop_by_us = now_us(daemon) + daemon->config.transaction_timeout_us;
    server_drain(daemon->server);
}

static void on_sagas(void *self, const struct folder_files *files)
{
    definition_files_changed(((struct daemon *)self)->server, files);
}

static void tell_facts(struct daemon *daemon, uint64_t now)
{
    struct server_host_facts facts;
    file_journal_facts(daemon->journal, &facts.journal_bytes, &facts.journal_segments,
                       &facts.journal_free_bytes);
    file_journal_counters(daemon->journal, &facts.journal);
    facts.turns = *loop_turns(daemon->loop);
    server_facts(daemon->server, &facts);
    daemon->facts_due_us = now + facts_us;
}

static void tell_metrics(void *self, struct metrics_sink *sink)
{
    struct daemon *daemon = self;
    tell_facts(daemon, now_us(daemon));
    server_metrics(daemon->server, sink);
}

static const char *unready(void *self)
{
    return server_unready(((struct daemon *)self)->server);
}

static uint64_t settle(void *self)
{
    struct daemon *daemon = self;
    uint64_t next = server_settle(daemon->server), now = now_us(daemon);
    if (!daemon->ready && server_ready(daemon->server)) {
        daemon->ready = true;
        nano_pause(daemon->nano, false);
        log_write(LOG_INFO, "ready: %s, epoch %" PRIu64 ", %zu transactions to be carried out",
                  daemon->config.listen, server_epoch(daemon->server),
                  server_unapplied(daemon->server));
    }
    if (now >= daemon->facts_due_us)
        tell_facts(daemon, now);
    if (daemon->stop_by_us && (server_drained(daemon->server) || now >= daemon->stop_by_us))
        loop_stop(daemon->loop);
    if (daemon->stop_by_us && daemon->stop_by_us < next)
        next = daemon->stop_by_us;
    return daemon->facts_due_us < next ? daemon->facts_due_us : next;
}

/* ---- life ---------------------------------------------------------------------------------- */

static bool replay(void *self, const void *record, size_t size, struct error *error)
{
    struct daemon *daemon = self;
    daemon->replayed++;
    return server_replay(daemon->server, record, size, error);
}

static void record_order(void *self, const struct audit_entry *entry)
{
    const struct audit_port *port = audit_port(((struct daemon *)self)->audit);
    port->append(port->self, entry);
}

static bool open_audit(struct daemon *daemon, struct error *error)
{
    const struct config *config = &daemon->config;
    char *process = xasprintf("trothd %s", config->coordinator);
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
    daemon->http =
        http_listen(daemon->loop, daemon->config.metrics, status_pages_get, &daemon->pages, error);
    return daemon->http != NULL;
}

/* True without `alerts`, too. First of all: it forks. */
static bool open_alerts(struct daemon *daemon, struct error *error)
{
    const struct config *config = &daemon->config;
    if (!config->alerts)
        return true;
    char *process = xasprintf("trothd %s", config->coordinator);
    daemon->alerts = alert_hook_start(
        &(struct alert_hook_config){.command = config->alerts, .process = process}, error);
    free(process);
    if (!alert_hook_can_run(config->alerts[0]))
        log_write(LOG_WARNING, "alerts: %s can't be run here: nobody would hear of an alert",
                  config->alerts[0]);
    return daemon->alerts != NULL;
}

static bool open_all(struct daemon *daemon, struct error *error)
{
    const struct config *config = &daemon->config;
    struct nano_events nano_events = {.self = daemon, .frame = on_frame};
    struct file_journal_options options = {.directory = config->journal_directory};
    struct file_journal_events journal_events = {
        .self = daemon, .replay = replay, .durable = on_durable};
    struct server_config server = {.cluster = config->cluster,
                                   .coordinator = config->coordinator,
                                   .transaction_timeout_us = config->transaction_timeout_us,
                                   .heartbeat_us = config->heartbeat_us,
                                   .retain_us = config->retain_us,
                                   .loader = definition_files_loader(),
                                   .audit = &daemon->orders,
                                   .alerts =
                                       daemon->alerts ? alert_hook_port(daemon->alerts) : NULL};
    daemon->orders = (struct audit_port){daemon, record_order};
    daemon->nano =
        nano_listen(daemon->loop, config->listen, LIMIT_AGENT_FRAME_BYTES, &nano_events, error);
    if (!daemon->nano || !open_pages(daemon, error))
        return false;
    /* A HELLO that comes before this run is ready is answered when it is, and need not be said
     * again a heartbeat later: who waits for this coordinator holds locks. A crash here: the
     * connection ends with the HELLO in it, and it is said to the next run. */
    nano_pause(daemon->nano, true);
    daemon->server = server_new(&server, loop_host(daemon->loop), nano_link(daemon->nano));
    daemon->journal = file_journal_open(daemon->loop, &options, &journal_events, error);
    if (!daemon->journal || !open_audit(daemon, error))
        return false;
    log_write(LOG_INFO, "journal %s: %" PRIu64 " records read", config->journal_directory,
              daemon->replayed);
    if (config->sagas)
        daemon->sagas = folder_watch(daemon->loop, config->sagas, LIMIT_SAGA_DEFINITION_BYTES,
                                     &(struct folder_events){daemon, on_sagas});
    server_start(daemon->server, file_journal_port(daemon->journal));
    loop_on_settle(daemon->loop, settle, daemon);
    loop_on_stop(daemon->loop, on_stop, daemon);
    return true;
}

static void close_all(struct daemon *daemon)
{
    folder_free(daemon->sagas);
    http_close(daemon->http);
    if (daemon->nano)
        nano_close(daemon->nano, linger_ms);
    if (daemon->journal)
        file_journal_close(daemon->journal);
    if (daemon->server)
        server_free(daemon->server);
    audit_close(daemon->audit);
    loop_free(daemon->loop);
    alert_hook_stop(daemon->alerts);
}

static int run(struct daemon *daemon)
{
    struct error error = {0};
    log_setup("trothd", daemon->config.log.format, daemon->config.log.level);
    log_write(LOG_INFO, "trothd %s: coordinator %s of cluster %s", TROTH_VERSION,
              daemon->config.coordinator, daemon->config.cluster);
    log_write(LOG_WARNING, "security: none. Everybody on this machine can speak for anybody; only "
                           "loopback addresses are used");
    int code = EXIT_SUCCESS;
    bool opened = open_alerts(daemon, &error);
    daemon->loop = loop_new();
    if (opened && open_all(daemon, &error)) {
        loop_run(daemon->loop);
        log_write(LOG_INFO, "stopped");
    } else {
        log_error(&error);
        code = EXIT_FAILED;
    }
    close_all(daemon);
    return code;
}

enum action { RUN, CHECK_CONFIG, WRONG_USAGE };

static enum action parse_arguments(int count, char **arguments, const char **path)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"check-config", no_argument, NULL, 'k'},
                                            {"help", no_argument, NULL, 'h'},
                                            {"version", no_argument, NULL, 'v'},
                                            {0}};
    enum action action = RUN;
    for (int option; (option = getopt_long(count, arguments, "h", options, NULL)) != -1;) {
        if (option == 'h') {
            fputs(help, stdout);
            exit(EXIT_SUCCESS);
        } else if (option == 'v') {
            puts("trothd " TROTH_VERSION);
            exit(EXIT_SUCCESS);
        } else if (option == 'c') {
            *path = optarg;
        } else if (option == 'k') {
            action = CHECK_CONFIG;
        } else {
            return WRONG_USAGE;
        }
    }
    if (optind < count)
        fprintf(stderr, "trothd: \"%s\" is one word too many\n", arguments[optind]);
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
        fputs("Usage: trothd --config FILE [--check-config]\n"
              "`trothd --help` tells more.\n",
              stderr);
        return EXIT_USAGE;
    }
    if (!config_load(path, &daemon.config, &error))
        return complain(&error, EXIT_USAGE);
    int code = EXIT_SUCCESS;
    if (action == CHECK_CONFIG && daemon.config.sagas &&
        !definition_files_check(daemon.config.sagas, &error))
        code = complain(&error, EXIT_USAGE);
    else if (action == CHECK_CONFIG)
        printf("%s: good\n", path);
    else
        code = run(&daemon);
    config_fini(&daemon.config);
    return code;
}
