/* troth-participant: its arguments, and what it can do besides running. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "io/crash.h"
#include "io/log.h"
#include "io/pg.h"
#include "participant/config.h"
#include "participant/host.h"

enum { EXIT_FAILED = 1, EXIT_USAGE = 2 };

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

static int run(const struct config *config)
{
    struct error error = {0};
    struct host_config given = {.config = config, .program = "troth-participant", .stop_fd = -1};
    log_setup(given.program, config->log.format, config->log.level);
    struct host *host = host_new(&given, &error);
    if (!host) {
        log_error(&error);
        return EXIT_FAILED;
    }
    bool stopped = host_run(host);
    host_free(host);
    return stopped ? EXIT_SUCCESS : EXIT_FAILED;
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
    struct pg_config database = host_pg_config(config);
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
    struct pg_config database = host_pg_config(config);
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
    struct config config;
    crash_setup();
    enum action action = parse_arguments(count, arguments, &path);
    if (action == WRONG_USAGE) {
        fputs("Usage: troth-participant --config FILE [--check-config | --install]\n"
              "`troth-participant --help` tells more.\n",
              stderr);
        return EXIT_USAGE;
    }
    if (!config_load(path, action == RUN ? CONFIG_AGENT : CONFIG_EITHER, &config, &error))
        return complain(&error, EXIT_USAGE);
    int code = action == CHECK_CONFIG ? check_config(&config, path)
               : action == INSTALL    ? install(&config)
                                      : run(&config);
    config_fini(&config);
    return code;
}
