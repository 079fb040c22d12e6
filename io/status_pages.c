#include "io/status_pages.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <unistd.h>

#include "core/check.h"

static double count_descriptors(void)
{
    DIR *folder = opendir("/proc/self/fd");
    int count = -3; /* itself, and the two folders that every folder has */
    if (!folder)
        return 0;
    while (readdir(folder))
        count++;
    closedir(folder);
    return count;
}

/* As every Prometheus client library names them. 0 where /proc is not there. */
static void read_process(struct metrics_sink *sink)
{
    struct rusage usage = {0};
    unsigned long pages = 0;
    FILE *file = fopen("/proc/self/statm", "re");
    if (file && fscanf(file, "%*u %lu", &pages) != 1)
        pages = 0;
    if (file)
        fclose(file);
    getrusage(RUSAGE_SELF, &usage);
    double seconds = (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
                     (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec) / 1e6;
    metrics_counter(sink, "process_cpu_seconds_total", "CPU time of this process, all threads.",
                    seconds);
    struct rlimit limit = {0};
    getrlimit(RLIMIT_NOFILE, &limit);
    metrics_gauge(sink, "process_open_fds", "Descriptors that this process has open.",
                  count_descriptors());
    metrics_gauge(sink, "process_max_fds", "Descriptors that it may have.", (double)limit.rlim_cur);
    metrics_gauge(sink, "process_resident_memory_bytes", "Memory of this process.",
                  (double)pages * (double)sysconf(_SC_PAGESIZE));
}

static void answer_text(struct http_answer *answer, int status, const char *text)
{
    answer->status = status;
    answer->type = "text/plain; charset=utf-8";
    answer->body = xasprintf("%.*s\n", (int)strcspn(text, "\n"), text); /* one line */
    answer->size = strlen(answer->body);
}

void status_pages_get(void *self, const char *path, struct http_answer *answer)
{
    const struct status_pages *pages = self;
    if (strcmp(path, "/metrics") == 0) {
        struct metrics_text out;
        metrics_text_init(&out);
        pages->metrics(pages->self, &out.sink);
        read_process(&out.sink);
        *answer = (struct http_answer){200, "text/plain; version=0.0.4; charset=utf-8", out.text,
                                       out.size};
    } else if (strcmp(path, "/readyz") == 0) {
        const char *reason = pages->unready(pages->self);
        answer_text(answer, reason ? 503 : 200, reason ? reason : "ready");
    } else if (strcmp(path, "/healthz") == 0) {
        answer_text(answer, 200, "ok");
    } else {
        answer_text(answer, 404, "there are /metrics, /healthz and /readyz");
    }
}
