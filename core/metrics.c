#include "core/metrics.h"

#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/transport.h"

enum { LABELS_BYTES = 256, NAME_BYTES = 128 };

const uint64_t metric_bounds_us[METRIC_BUCKETS] = {
    500,    1000,   2000,   4000,    8000,    16000,   32000,   64000,
    125000, 250000, 500000, 1000000, 2000000, 4000000, 8000000, 16000000};
/* As text, so that they are the same to the last digit in every scrape. */
static const char *const bound_texts[METRIC_BUCKETS] = {
    "0.0005", "0.001", "0.002", "0.004", "0.008", "0.016", "0.032", "0.064",
    "0.125",  "0.25",  "0.5",   "1",     "2",     "4",     "8",     "16"};

void histogram_add(struct histogram *histogram, uint64_t us)
{
    histogram->count++;
    histogram->sum_us += us;
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        if (us <= metric_bounds_us[i]) {
            histogram->buckets[i]++;
            return;
        }
    }
}

void metrics_family(struct metrics_sink *sink, const char *name, enum metric_type type,
                    const char *help)
{
    sink->family(sink->self, name, type, help);
}

void metrics_sample(struct metrics_sink *sink, const char *name, const char *labels, double value)
{
    sink->sample(sink->self, name, labels, value);
}

void metrics_counter(struct metrics_sink *sink, const char *name, const char *help, double value)
{
    metrics_family(sink, name, METRIC_COUNTER, help);
    metrics_sample(sink, name, "", value);
}

void metrics_gauge(struct metrics_sink *sink, const char *name, const char *help, double value)
{
    metrics_family(sink, name, METRIC_GAUGE, help);
    metrics_sample(sink, name, "", value);
}

static void bucket(struct metrics_sink *sink, const char *name, const char *labels,
                   const char *bound, uint64_t value)
{
    char text[LABELS_BYTES];
    snprintf(text, sizeof(text), "%s%sle=\"%s\"", labels, labels[0] ? "," : "", bound);
    metrics_sample(sink, name, text, (double)value);
}

void metrics_labelled(struct metrics_sink *sink, const char *name, const char *label,
                      const char *word, double value)
{
    char labels[LABELS_BYTES];
    snprintf(labels, sizeof(labels), "%s=\"%s\"", label, word);
    metrics_sample(sink, name, labels, value);
}

void metrics_process(struct metrics_sink *sink, const char *role, const char *cluster,
                     const char *name, int64_t started_us)
{
    char labels[LABELS_BYTES];
    snprintf(labels, sizeof(labels),
             "version=\"" TROTH_VERSION "\",role=\"%s\",cluster=\"%s\",name=\"%s\"", role, cluster,
             name);
    metrics_family(sink, "troth_build_info", METRIC_GAUGE, "Always 1; what this process is.");
    metrics_sample(sink, "troth_build_info", labels, 1);
    metrics_gauge(sink, "process_start_time_seconds", "When this process began, unix time.",
                  (double)started_us / 1e6);
}

void metrics_histogram(struct metrics_sink *sink, const char *name, const char *labels,
                       const struct histogram *histogram)
{
    struct metric_sum sum = {histogram->count, histogram->sum_us};
    char sample[NAME_BYTES];
    uint64_t below = 0;
    snprintf(sample, sizeof(sample), "%s_bucket", name);
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        below += histogram->buckets[i];
        bucket(sink, sample, labels, bound_texts[i], below);
    }
    bucket(sink, sample, labels, "+Inf", histogram->count);
    metrics_sum(sink, name, labels, &sum);
}

void metric_sum_add(struct metric_sum *sum, uint64_t us)
{
    sum->count++;
    sum->sum_us += us;
}

void metrics_sum(struct metrics_sink *sink, const char *name, const char *labels,
                 const struct metric_sum *sum)
{
    char sample[NAME_BYTES];
    snprintf(sample, sizeof(sample), "%s_sum", name);
    metrics_sample(sink, sample, labels, (double)sum->sum_us / 1e6);
    snprintf(sample, sizeof(sample), "%s_count", name);
    metrics_sample(sink, sample, labels, (double)sum->count);
}

/* ---- ages ---- */

static const struct {
    int64_t below_us;
    const char *labels;
} age_buckets[METRIC_AGES] = {{10ll * 1000000, "age=\"under_10s\""},
                              {60ll * 1000000, "age=\"10s_to_1m\""},
                              {600ll * 1000000, "age=\"1m_to_10m\""},
                              {3600ll * 1000000, "age=\"10m_to_1h\""},
                              {INT64_MAX, "age=\"over_1h\""}};

void metric_ages_add(struct metric_ages *ages, int64_t age_us)
{
    int i = 0;
    if (age_us < 1)
        age_us = 1; /* the clock was set back; and 0 says that there is none */
    while (i < METRIC_AGES - 1 && age_us >= age_buckets[i].below_us)
        i++;
    ages->counts[i]++;
    if (age_us > ages->oldest_us)
        ages->oldest_us = age_us;
}

void metrics_ages(struct metrics_sink *sink, const char *name, const char *help,
                  const struct metric_ages *ages)
{
    char oldest[NAME_BYTES], oldest_help[LABELS_BYTES];
    metrics_family(sink, name, METRIC_GAUGE, help);
    for (int i = 0; i < METRIC_AGES; i++)
        metrics_sample(sink, name, age_buckets[i].labels, (double)ages->counts[i]);
    snprintf(oldest, sizeof(oldest), "%s_oldest_seconds", name);
    snprintf(oldest_help, sizeof(oldest_help), "Age of the oldest one of %s; 0: there is none.",
             name);
    metrics_gauge(sink, oldest, oldest_help, (double)ages->oldest_us / 1e6);
}

/* ---- sessions ---- */

static void directions(struct metrics_sink *sink, const char *name, const char *help, uint64_t in,
                       uint64_t out)
{
    metrics_family(sink, name, METRIC_COUNTER, help);
    metrics_sample(sink, name, "direction=\"in\"", (double)in);
    metrics_sample(sink, name, "direction=\"out\"", (double)out);
}

void metrics_transport(struct metrics_sink *sink, const struct transport_counters *counters)
{
    metrics_counter(sink, "troth_sessions_total", "Sessions begun in this run.",
                    (double)counters->sessions);
    directions(sink, "troth_frames_total", "Frames received and sent.", counters->frames_received,
               counters->frames_sent);
    directions(sink, "troth_messages_total", "Messages received and sent, many in a frame.",
               counters->messages_received, counters->messages_sent);
    directions(sink, "troth_bytes_total", "Bytes of frames received and sent.",
               counters->bytes_received, counters->bytes_sent);
    metrics_counter(sink, "troth_frames_resent_total", "Frames sent once more.",
                    (double)counters->frames_resent);
    metrics_counter(sink, "troth_frames_dropped_total",
                    "Frames that were no sound ones, or of no session.",
                    (double)counters->frames_dropped);
}

/* ---- text ---- */

static void print(struct metrics_text *out, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static void print(struct metrics_text *out, const char *format, ...)
{
    for (;;) {
        va_list arguments;
        va_start(arguments, format);
        size_t left = out->room - out->size;
        int size = vsnprintf(out->text ? out->text + out->size : NULL, left, format, arguments);
        va_end(arguments);
        CHECK(size >= 0);
        if ((size_t)size < left) {
            out->size += (size_t)size;
            return;
        }
        out->room = 2 * out->room + (size_t)size + 4096;
        out->text = xrealloc(out->text, out->room);
    }
}

static void text_family(void *self, const char *name, enum metric_type type, const char *help)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary"};
    print(self, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, types[type]);
}

static void text_sample(void *self, const char *name, const char *labels, double value)
{
    print(self, labels[0] ? "%s{%s} " : "%s%s ", name, labels);
    if (value > -1e15 && value < 1e15 && value == (double)(int64_t)value)
        print(self, "%" PRId64 "\n", (int64_t)value);
    else
        print(self, "%.15g\n", value);
}

void metrics_text_init(struct metrics_text *out)
{
    *out = (struct metrics_text){.sink = {out, text_family, text_sample}};
}
