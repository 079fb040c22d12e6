#include "bench/figures.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"

static _Noreturn void usage(const char *program)
{
    fprintf(stderr,
            "usage: %s [--seconds S] [--in-flight N] [--databases N] [--address tcp://HOST:PORT]\n"
            "       [--protocol 2pc|saga] [--conninfo CONNINFO]...   one a database, in order\n",
            program);
    exit(2);
}

void bench_options_parse(struct bench_options *options, int argc, char **argv)
{
    *options = (struct bench_options){
        .seconds = 3, .in_flight = 32, .databases = 2, .address = "tcp://127.0.0.1:7400"};
    for (int i = 1; i < argc; i += 2) {
        if (i + 1 == argc)
            usage(argv[0]);
        const char *value = argv[i + 1];
        if (!strcmp(argv[i], "--seconds"))
            options->seconds = atof(value);
        else if (!strcmp(argv[i], "--in-flight"))
            options->in_flight = atoi(value);
        else if (!strcmp(argv[i], "--databases"))
            options->databases = atoi(value);
        else if (!strcmp(argv[i], "--address"))
            options->address = value;
        else if (!strcmp(argv[i], "--protocol") &&
                 (!strcmp(value, "2pc") || !strcmp(value, "saga")))
            options->sagas = value[0] == 's';
        else if (!strcmp(argv[i], "--conninfo") && options->conninfo_count < 8)
            options->conninfos[options->conninfo_count++] = value;
        else
            usage(argv[0]);
    }
    if (options->seconds <= 0 || options->in_flight < 1 || options->databases < 1 ||
        options->databases > 8)
        usage(argv[0]);
}

uint64_t bench_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000000 + (uint64_t)now.tv_nsec / 1000;
}

int figures_account(int flight, int in_flight)
{
    int each = FIGURES_ACCOUNTS / in_flight;
    return flight + in_flight * (int)(random() % (each ? each : 1));
}

void figures_add(struct figures *figures, uint64_t started_us, uint64_t now_us)
{
    if (figures->begun_us == 0)
        return;
    if (figures->count == figures->room) {
        figures->room = figures->room ? figures->room * 2 : 4096;
        figures->latencies_us =
            xrealloc(figures->latencies_us, figures->room * sizeof(*figures->latencies_us));
    }
    figures->latencies_us[figures->count++] = now_us - started_us;
}

static int ascending(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

void figures_print(struct figures *figures, uint64_t now_us)
{
    uint64_t p50 = 0, p99 = 0;
    if (figures->count) {
        qsort(figures->latencies_us, figures->count, sizeof(*figures->latencies_us), ascending);
        p50 = figures->latencies_us[figures->count / 2];
        p99 = figures->latencies_us[figures->count * 99 / 100];
    }
    double seconds = (double)(now_us - figures->begun_us) / 1e6;
    printf("{\"done\":%zu,\"per_second\":%.3f,\"latency_us\":{\"p50\":%" PRIu64 ",\"p99\":%" PRIu64
           "}}\n",
           figures->count, (double)figures->count / seconds, p50, p99);
}

void figures_fini(struct figures *figures)
{
    free(figures->latencies_us);
}
