#include "service.h"

#include <errno.h>
#include <getopt.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { THREADS = 4 };

/* The one thing of a process that a signal's handler needs. */
static struct troth_service *participant;

static void end(int signal)
{
    (void)signal;
    troth_service_stop(participant);
}

bool service_return(struct troth_request *request, char *result)
{
    bool done = troth_return(request, result);
    free(result);
    return done;
}

bool service_refuse(struct troth_request *request, struct problem *problem)
{
    bool done = problem->said ? troth_sql_failed(request, problem->said)
                              : troth_refuse(request, problem->code, problem->message);
    problem_clear(problem);
    return done;
}

struct words {
    const char *config, *listen, *postgres;
};

static bool read_words(const struct service *service, int argc, char **argv, struct words *words)
{
    static const struct option options[] = {{"config", required_argument, NULL, 'c'},
                                            {"listen", required_argument, NULL, 'l'},
                                            {"postgres", required_argument, NULL, 'p'},
                                            {0}};
    for (int word; (word = getopt_long(argc, argv, "", options, NULL)) != -1;) {
        if (word == 'c')
            words->config = optarg;
        else if (word == 'l')
            words->listen = optarg;
        else if (word == 'p')
            words->postgres = optarg;
        else
            return false;
    }
    if (words->config && words->listen && words->postgres && optind == argc)
        return true;
    fprintf(stderr, "usage: %s --config FILE --listen tcp://127.0.0.1:PORT --postgres CONNINFO\n",
            service->name);
    return false;
}

static bool open_participant(const struct service *service, const char *config,
                             struct troth_result *result)
{
    participant = troth_service_open(config, result);
    for (size_t i = 0; participant && i < service->operation_count; i++)
        if (troth_service_offer(participant, &service->operations[i], result) != TROTH_OK)
            return false;
    return participant;
}

/* Answers requests while the participant runs. */
static bool run(const struct service *service, const struct words *words, struct troth *troth,
                struct troth_result *result)
{
    struct service_worker workers[THREADS];
    void *selves[THREADS];
    for (int i = 0; i < THREADS; i++) {
        workers[i] = (struct service_worker){troth, {.conninfo = words->postgres}};
        selves[i] = &workers[i];
    }
    struct exchange *exchange = exchange_serve(words->listen, service->answer, THREADS, selves);
    if (!exchange) {
        fprintf(stderr, "%s: can't listen at %s: %s\n", service->name, words->listen,
                strerror(errno));
        return false;
    }
    struct sigaction action = {.sa_handler = end, .sa_flags = SA_RESTART};
    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    fprintf(stderr, "%s: answers at %s\n", service->name, words->listen);
    bool ended = troth_service_run(participant, result) == TROTH_OK;
    exchange_close(exchange);
    for (int i = 0; i < THREADS; i++)
        database_close(&workers[i].database);
    return ended;
}

int service_main(const struct service *service, int argc, char **argv)
{
    struct words words = {0};
    if (!read_words(service, argc, argv, &words))
        return 2;
    struct troth_result result = {0};
    struct troth *troth = NULL;
    bool ended = open_participant(service, words.config, &result) &&
                 (troth = troth_open(NULL, &result)) && run(service, &words, troth, &result);
    if (result.status != TROTH_OK)
        fprintf(stderr, "%s: %s%s%s\n", service->name, result.problem.message,
                result.problem.hint[0] ? "\n  " : "", result.problem.hint);
    troth_close(troth);
    troth_service_close(participant);
    troth_result_clear(&result);
    return ended ? 0 : 1;
}
