/* What the files of `troth top` share: numbers out of a coordinator's metrics (top_counts.c), the
 * screen as text (top_screen.c, pure), and the same as JSON (top_json.c). */
#ifndef TROTH_CLI_TOP_H
#define TROTH_CLI_TOP_H

#include <stdbool.h>
#include <stdint.h>

#include "core/json.h"
#include "core/metrics.h"
#include "wire.pb-c.h"

/* ---- numbers ------------------------------------------------------------------------------- */

enum top_latency { TOP_DECIDED, TOP_APPLIED, TOP_FLUSH, TOP_STEP, TOP_LATENCIES };
extern const char *const top_latency_words[TOP_LATENCIES];

/* Cumulative, as the metrics are. */
struct top_histogram {
    double buckets[METRIC_BUCKETS], count, sum;
};

/* Of one participant; cumulative. */
struct top_times {
    double vote_count, vote_sum, apply_count, apply_sum;
};

/* What one look at the metrics said. */
struct top_counts {
    uint64_t at_us; /* monotonic */
    double run;     /* differs when the coordinator was started again */
    double committed, aborted, rejected, records, sagas_started, sagas_ended, steps;
    double in_doubt, oldest_s;
    struct top_histogram latencies[TOP_LATENCIES];
};

void top_read(struct top_counts *counts, const Wire__Answer *metrics, uint64_t at_us);
struct top_times top_times_of(const Wire__Answer *metrics, const char *participant);
/* before may be NULL, or of another run: then there is no rate. */
bool top_comparable(const struct top_counts *before, const struct top_counts *now);
double top_seconds(const struct top_counts *before, const struct top_counts *now);
/* The time that this part of those in between took at most, in seconds; negative: there were none.
 * Interpolated within a bucket, as Prometheus does it. */
double top_quantile(const struct top_histogram *before, const struct top_histogram *now,
                    double part);

/* ---- a look -------------------------------------------------------------------------------- */

/* All that is known at one moment. Answers may be NULL, before the first. */
struct top_look {
    int64_t wall_us;
    struct top_counts counts;
    Wire__Answer *coordinator, *metrics, *participants, *slowest;
};

struct top_view {
    const struct top_look *before, *now; /* before: NULL at first; now: NULL: nothing yet */
    const char *address;
    int64_t wall_us;
    int64_t lost_us;    /* wall clock; 0: it answers */
    const char *reason; /* lost */
};

/* As many lines as fit rows, each of at most so many columns and ended by a newline; rows 0: all,
 * columns 0: as wide as it is. The caller frees it. */
char *top_screen(const struct top_view *view, int columns, int rows);
/* The members of one object. */
void top_json(struct json_writer *writer, const struct top_view *view);

#endif
