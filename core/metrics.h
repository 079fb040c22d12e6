/* Metrics of a process: counters, gauges and histograms in plain structs of who counts, read
 * through a sink as Prometheus' text format or sample by sample. Names and units follow Prometheus'
 * conventions: troth_ first, base units (seconds, bytes), _total for counters. Counting allocates
 * nothing, and no label has values without bound: names are the configured ones, words are from
 * tables. docs/metrics.md lists them all. */
#ifndef TROTH_CORE_METRICS_H
#define TROTH_CORE_METRICS_H

#include <stddef.h>
#include <stdint.h>

/* A summary here has no quantiles: only _sum and _count. */
enum metric_type { METRIC_COUNTER, METRIC_GAUGE, METRIC_HISTOGRAM, METRIC_SUMMARY };

enum { METRIC_BUCKETS = 16 };

struct histogram {
    uint64_t count, sum_us;
    uint64_t buckets[METRIC_BUCKETS]; /* not cumulative; above the last bound: count only */
};

/* Upper bounds, from 500 us to 16 s. */
extern const uint64_t metric_bounds_us[METRIC_BUCKETS];
void histogram_add(struct histogram *histogram, uint64_t us);

/* How often, and how long together. */
struct metric_sum {
    uint64_t count, sum_us;
};
void metric_sum_add(struct metric_sum *sum, uint64_t us);

/* Collects samples: the caller of metrics_* gives one of these, which prints text or fills a
 * message. `labels` is as in the text format without braces: participant="payments". All samples
 * of a family follow its announcement at once. */
struct metrics_sink {
    void *self;
    void (*family)(void *self, const char *name, enum metric_type type, const char *help);
    void (*sample)(void *self, const char *name, const char *labels, double value);
};

void metrics_family(struct metrics_sink *sink, const char *name, enum metric_type type,
                    const char *help);
void metrics_sample(struct metrics_sink *sink, const char *name, const char *labels, double value);
/* A sample with one label. */
void metrics_labelled(struct metrics_sink *sink, const char *name, const char *label,
                      const char *word, double value);
/* What a process is, and since when. */
void metrics_process(struct metrics_sink *sink, const char *role, const char *cluster,
                     const char *name, int64_t started_us);
/* A family of one sample without labels. */
void metrics_counter(struct metrics_sink *sink, const char *name, const char *help, double value);
void metrics_gauge(struct metrics_sink *sink, const char *name, const char *help, double value);
/* _bucket, _sum and _count; labels may be "". The family is announced by the caller. */
void metrics_histogram(struct metrics_sink *sink, const char *name, const char *labels,
                       const struct histogram *histogram);
/* _sum and _count, of a summary. */
void metrics_sum(struct metrics_sink *sink, const char *name, const char *labels,
                 const struct metric_sum *sum);

/* ---- the journal, and sessions ------------------------------------------------------------- */

/* What a journal has done in this run. */
struct journal_counters {
    uint64_t records, batches, bytes, checkpoints;
    uint64_t pending; /* records that are appended and not durable */
    struct histogram flush;
};

struct transport_counters;
void metrics_transport(struct metrics_sink *sink, const struct transport_counters *counters);

/* ---- what stands in doubt, by age ---------------------------------------------------------- */

enum { METRIC_AGES = 5 };

struct metric_ages {
    uint64_t counts[METRIC_AGES];
    int64_t oldest_us; /* age; 0: there is none */
};
void metric_ages_add(struct metric_ages *ages, int64_t age_us);
/* A gauge with the label age, and one more, NAME_oldest_seconds. */
void metrics_ages(struct metrics_sink *sink, const char *name, const char *help,
                  const struct metric_ages *ages);

/* ---- sinks --------------------------------------------------------------------------------- */

/* Writes the text format to a growing buffer; the caller frees text. */
struct metrics_text {
    struct metrics_sink sink; /* the caller passes &text.sink; self is the struct: don't move it */
    char *text;
    size_t size, room;
};
void metrics_text_init(struct metrics_text *out);

#endif
