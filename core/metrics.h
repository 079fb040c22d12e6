/* Metrics of a process: counters, gauges and histograms in one table, read as Prometheus' text
 * format or sample by sample. Names and units follow Prometheus' conventions: troth_ first, base
 * units (seconds, bytes), _total for counters. No allocation after init; bounded. */
#ifndef TROTH_CORE_METRICS_H
#define TROTH_CORE_METRICS_H

#include <stddef.h>
#include <stdint.h>

enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM };

enum { METRIC_BUCKETS = 16 };

struct histogram {
    uint64_t count;
    double sum;                       /* seconds */
    uint64_t buckets[METRIC_BUCKETS]; /* not cumulative; bounds: metric_bounds */
};

/* Upper bounds in seconds, from 0.0005 to 16; above the last is +Inf. */
extern const double metric_bounds[METRIC_BUCKETS];
void histogram_add(struct histogram *histogram, uint64_t us);

/* Collects samples: the caller of metrics_* gives one of these, which prints text or fills a
 * message. `labels` is as in the text format without braces: participant="payments". */
struct metrics_sink {
    void *self;
    void (*family)(void *self, const char *name, enum metric_type type, const char *help);
    void (*sample)(void *self, const char *name, const char *labels, double value);
};

void metrics_counter(struct metrics_sink *sink, const char *name, const char *help, double value);
void metrics_gauge(struct metrics_sink *sink, const char *name, const char *help, double value);
/* _bucket, _sum and _count; labels may be "". The family is announced by the caller. */
void metrics_histogram(struct metrics_sink *sink, const char *name, const char *labels,
                       const struct histogram *histogram);

/* A sink that writes the text format to a growing buffer; the caller frees text. */
struct metrics_text {
    struct metrics_sink sink;
    char *text;
    size_t size, room;
};
void metrics_text_init(struct metrics_text *out);

#endif
