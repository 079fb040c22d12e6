#include "cli/bench_report.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#include "cli/print.h"
#include "cli/table.h"
#include "cli/text.h"
#include "core/check.h"

static const struct {
    const char *header, *name;
    uint32_t per_million;
} quantiles[] = {{"p50", "p50", 500000},
                 {"p90", "p90", 900000},
                 {"p99", "p99", 990000},
                 {"p99.9", "p99_9", 999000}};
enum { QUANTILES = sizeof(quantiles) / sizeof(quantiles[0]) };

static double per_second(uint64_t count, uint64_t us)
{
    return us ? (double)count * 1e6 / (double)us : 0;
}

/* 0.52, 5.2, 52.1, 1234. */
static const char *rate_format(latency_text out, double rate)
{
    snprintf(out, sizeof(latency_text), rate < 1 ? "%.2f" : rate < 100 ? "%.1f" : "%.0f", rate);
    return out;
}

/* ---- the live line ------------------------------------------------------------------------- */

void bench_line_begin(struct bench_line *line)
{
    *line = (struct bench_line){.shown = isatty(STDERR_FILENO)};
}

/* How far it is. */
static void put_progress(char *out, size_t size, const struct bench_line *line,
                         const struct bench_plan *plan)
{
    time_text all;
    bool warm = line->now_us >= line->warm_us;
    if (line->down)
        snprintf(out, size, "the coordinator is away");
    else if (!warm)
        snprintf(out, size, "warming up");
    else if (plan->count)
        snprintf(out, size, "%" PRIu64 " of %" PRIu64, line->measured, plan->count);
    else
        snprintf(out, size, "%" PRIu64 "s of %s", (line->now_us - line->warm_us) / 1000000,
                 age_format(all, (int64_t)plan->duration_us));
}

static size_t columns(void)
{
    struct winsize size = {0};
    bool known = ioctl(STDERR_FILENO, TIOCGWINSZ, &size) == 0 && size.ws_col > 1;
    return known ? size.ws_col : 80;
}

void bench_line_draw(struct bench_line *line, const struct bench_plan *plan)
{
    char progress[80], text[240];
    latency_text p50 = "-", p99 = "-", rate;
    const struct latencies *recent = &line->recent;
    put_progress(progress, sizeof(progress), line, plan);
    if (recent->count) {
        latency_format(p50, latencies_quantile_us(recent, 500000));
        latency_format(p99, latencies_quantile_us(recent, 990000));
    }
    rate_format(rate, per_second(recent->count, line->now_us - line->since_us));
    snprintf(text, sizeof(text),
             "%s  %s/s  p50 %s  p99 %s  %" PRIu64 " in flight  %" PRIu64 " not done", progress,
             rate, p50, p99, line->running, line->missed);
    fprintf(stderr, "\r%.*s\x1b[K", (int)columns() - 1, text);
    fflush(stderr);
    line->drawn = true;
    line->since_us = line->now_us;
    line->recent = (struct latencies){0};
}

void bench_line_end(struct bench_line *line)
{
    if (line->drawn)
        fputs("\r\x1b[K", stderr);
    line->drawn = false;
}

/* ---- sums ---------------------------------------------------------------------------------- */

struct sums {
    struct latencies *done;
    uint64_t missed, open;
};

static struct sums sums_of(const struct bench_load *load)
{
    struct sums sums = {.done = xcalloc(1, sizeof(*sums.done))};
    for (int i = 0; i < load->plan->entry_count; i++) {
        latencies_merge(sums.done, &load->figures[i].done);
        sums.missed += bench_figures_missed(&load->figures[i]);
        sums.open += bench_figures_open(&load->figures[i]);
    }
    return sums;
}

int bench_exit(const struct bench_load *load)
{
    struct sums sums = sums_of(load);
    bool any = sums.done->count > 0;
    free(sums.done);
    if (sums.open || load->away)
        return EXIT_UNKNOWN;
    return any ? EXIT_DONE : EXIT_ABORTED;
}

/* ---- text ---------------------------------------------------------------------------------- */

static void add_row(struct table *table, const char *name, const struct latencies *done,
                    uint64_t measured_us)
{
    latency_text text;
    table_add(table, name);
    table_add_format(table, "%" PRIu64, done->count);
    table_add(table, rate_format(text, per_second(done->count, measured_us)));
    for (int i = 0; i < QUANTILES; i++)
        table_add(table,
                  done->count
                      ? latency_format(text, latencies_quantile_us(done, quantiles[i].per_million))
                      : "-");
    table_add(table, done->count ? latency_format(text, done->max_us) : "-");
}

static void print_done(const struct bench_load *load, const struct sums *sums)
{
    static const char *const headers[] = {"mix", "done",  "rate/s", "p50", "p90",
                                          "p99", "p99.9", "max",    NULL};
    struct table table = {0};
    table_begin(&table, headers);
    table.right = ~1u;
    table.spare = 1u << 4 | 1u << 6;
    table.whole = true;
    for (int i = 0; i < load->plan->entry_count; i++)
        add_row(&table, load->plan->entries[i].name, &load->figures[i].done, load->measured_us);
    if (load->plan->entry_count > 1)
        add_row(&table, "all", sums->done, load->measured_us);
    table_end(&table, stdout, 0);
}

static void print_missed(const struct bench_load *load)
{
    static const char *const headers[] = {"not done", "count",      "ended", "at",
                                          "reason",   "said first", NULL};
    struct table table = {0};
    table_begin(&table, headers);
    table.right = 1u << 1;
    for (int i = 0; i < load->plan->entry_count; i++) {
        const struct bench_figures *figures = &load->figures[i];
        for (int j = 0; j < figures->reason_count; j++) {
            const struct bench_reason *reason = &figures->reasons[j];
            table_add(&table, load->plan->entries[i].name);
            table_add_format(&table, "%" PRIu64, reason->count);
            table_add(&table, bench_end_words[reason->end]);
            table_add(&table, reason->participant);
            table_add(&table, reason->code);
            table_add(&table, reason->message);
        }
    }
    putchar('\n');
    table_end(&table, stdout, 0);
}

static void print_head(const struct bench_load *load)
{
    const struct bench_plan *plan = load->plan;
    latency_text text;
    time_text age;
    printf("measured %s", latency_format(text, load->measured_us));
    if (plan->warm_up_us)
        printf(" after %s of warm-up", age_format(age, (int64_t)plan->warm_up_us));
    if (plan->interval_ns)
        printf(", %s/s asked for", rate_format(text, 1e9 / (double)plan->interval_ns));
    printf(", %s%d in flight; run %s\n", plan->interval_ns ? "up to " : "", plan->in_flight,
           bench_values_run(plan->values));
    if (load->interrupted)
        puts("ended by a signal");
    if (load->away)
        puts("ended, as the coordinator went away and did not come back");
    putchar('\n');
}

void bench_report(const struct bench_load *load)
{
    struct sums sums = sums_of(load);
    print_head(load);
    print_done(load, &sums);
    if (sums.missed)
        print_missed(load);
    if (load->late || load->left)
        putchar('\n');
    if (load->late)
        printf("%" PRIu64 " were due and not begun: all %d places were taken; more in_flight, or a "
               "lower rate\n",
               load->late, load->plan->in_flight);
    if (load->left)
        printf("%" PRIu64 " were in flight at the end, and are not judged\n", load->left);
    free(sums.done);
}

/* ---- JSON ---------------------------------------------------------------------------------- */

static void json_count(struct json_writer *writer, const char *name, uint64_t value)
{
    json_name(writer, name);
    json_unsigned(writer, value);
}

static void json_double(struct json_writer *writer, const char *name, double value)
{
    char text[40];
    snprintf(text, sizeof(text), "%.3f", value);
    json_name(writer, name);
    json_raw(writer, text);
}

static void json_done(struct json_writer *writer, const struct latencies *done,
                      uint64_t measured_us)
{
    json_count(writer, "done", done->count);
    json_double(writer, "per_second", per_second(done->count, measured_us));
    json_name(writer, "latency_us");
    if (!done->count) {
        json_string(writer, NULL);
        return;
    }
    json_open(writer, '{');
    for (int i = 0; i < QUANTILES; i++)
        json_count(writer, quantiles[i].name,
                   latencies_quantile_us(done, quantiles[i].per_million));
    json_count(writer, "max", done->max_us);
    json_count(writer, "mean", done->sum_us / done->count);
    json_close(writer, '}');
}

static void json_missed(struct json_writer *writer, const struct bench_figures *figures)
{
    json_name(writer, "not_done");
    json_open(writer, '[');
    for (int i = 0; i < figures->reason_count; i++) {
        const struct bench_reason *reason = &figures->reasons[i];
        json_open(writer, '{');
        json_count(writer, "count", reason->count);
        json_name(writer, "ended");
        json_string(writer, bench_end_words[reason->end]);
        json_name(writer, "participant");
        json_string(writer, *reason->participant ? reason->participant : NULL);
        json_name(writer, "code");
        json_string(writer, reason->code);
        json_name(writer, "message");
        json_string(writer, reason->message);
        json_close(writer, '}');
    }
    json_close(writer, ']');
}

static void json_entries(struct json_writer *writer, const struct bench_load *load)
{
    json_name(writer, "mix");
    json_open(writer, '[');
    for (int i = 0; i < load->plan->entry_count; i++) {
        const struct bench_entry *entry = &load->plan->entries[i];
        json_open(writer, '{');
        json_name(writer, "name");
        json_string(writer, entry->name);
        json_name(writer, "saga");
        json_string(writer, entry->saga);
        json_done(writer, &load->figures[i].done, load->measured_us);
        json_missed(writer, &load->figures[i]);
        json_close(writer, '}');
    }
    json_close(writer, ']');
}

void bench_report_json(const struct bench_load *load)
{
    struct json_writer writer = {0};
    struct sums sums = sums_of(load);
    json_open(&writer, '{');
    json_name(&writer, "run");
    json_string(&writer, bench_values_run(load->plan->values));
    json_double(&writer, "measured_s", (double)load->measured_us / 1e6);
    json_count(&writer, "in_flight", (uint64_t)load->plan->in_flight);
    json_count(&writer, "begun", load->begun);
    json_entries(&writer, load);
    json_name(&writer, "all");
    json_open(&writer, '{');
    json_done(&writer, sums.done, load->measured_us);
    json_count(&writer, "not_done", sums.missed);
    json_close(&writer, '}');
    json_count(&writer, "due_and_not_begun", load->late);
    json_count(&writer, "left_in_flight", load->left);
    json_name(&writer, "interrupted");
    json_boolean(&writer, load->interrupted);
    json_name(&writer, "exit");
    json_integer(&writer, bench_exit(load));
    json_close(&writer, '}');
    print_json(&writer);
    free(sums.done);
}
