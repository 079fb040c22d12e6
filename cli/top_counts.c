/* Numbers out of a coordinator's samples: rates and quantiles come from two looks. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/top.h"

const char *const top_latency_words[TOP_LATENCIES] = {"decided", "applied", "flush", "step"};

static const char *const latency_names[TOP_LATENCIES] = {
    "troth_transaction_seconds", "troth_applied_seconds", "troth_journal_flush_seconds",
    "troth_saga_step_seconds"};

/* The value of a label, copied; false: it has none. */
static bool label_of(const char *labels, const char *name, char *value, size_t room)
{
    size_t size = strlen(name);
    for (const char *at = labels; (at = strstr(at, name)) != NULL; at += size) {
        const char *end;
        bool whole = (at == labels || at[-1] == ',') && strncmp(at + size, "=\"", 2) == 0;
        if (!whole || (end = strchr(at + size + 2, '"')) == NULL)
            continue;
        snprintf(value, room, "%.*s", (int)(end - at - (long)size - 2), at + size + 2);
        return true;
    }
    return false;
}

static void add_bucket(struct top_histogram *histogram, const Wire__Sample *sample)
{
    char bound[32];
    if (!label_of(sample->labels, "le", bound, sizeof(bound)))
        return;
    double us = strtod(bound, NULL) * 1e6;
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        double off = us - (double)metric_bounds_us[i];
        if (off > -0.5 && off < 0.5)
            histogram->buckets[i] += sample->value;
    }
}

/* Of all protocols together. */
static void add_latency(struct top_counts *counts, const Wire__Sample *sample)
{
    for (int i = 0; i < TOP_LATENCIES; i++) {
        size_t size = strlen(latency_names[i]);
        const char *rest = sample->name + size;
        if (strncmp(sample->name, latency_names[i], size) != 0)
            continue;
        if (strcmp(rest, "_bucket") == 0)
            add_bucket(&counts->latencies[i], sample);
        else if (strcmp(rest, "_count") == 0)
            counts->latencies[i].count += sample->value;
        else if (strcmp(rest, "_sum") == 0)
            counts->latencies[i].sum += sample->value;
    }
}

static void add_total(struct top_counts *counts, const Wire__Sample *sample)
{
    const char *name = sample->name;
    char outcome[32] = "";
    if (strcmp(name, "troth_transactions_total") == 0) {
        label_of(sample->labels, "outcome", outcome, sizeof(outcome));
        *(strcmp(outcome, "committed") == 0 ? &counts->committed : &counts->aborted) +=
            sample->value;
    } else if (strcmp(name, "troth_rejections_total") == 0) {
        counts->rejected += sample->value;
    } else if (strcmp(name, "troth_journal_records_total") == 0) {
        counts->records += sample->value;
    } else if (strcmp(name, "troth_sagas_started_total") == 0) {
        counts->sagas_started += sample->value;
    } else if (strcmp(name, "troth_sagas_ended_total") == 0) {
        counts->sagas_ended += sample->value;
    } else if (strcmp(name, "troth_saga_steps_total") == 0) {
        counts->steps += sample->value;
    } else if (strcmp(name, "troth_transactions_in_doubt") == 0) {
        counts->in_doubt += sample->value;
    } else if (strcmp(name, "troth_transactions_in_doubt_oldest_seconds") == 0) {
        counts->oldest_s = sample->value;
    } else if (strcmp(name, "troth_epoch") == 0) {
        counts->run = sample->value;
    }
}

void top_read(struct top_counts *counts, const Wire__Answer *metrics, uint64_t at_us)
{
    *counts = (struct top_counts){.at_us = at_us};
    for (size_t i = 0; i < metrics->n_samples; i++) {
        add_total(counts, metrics->samples[i]);
        add_latency(counts, metrics->samples[i]);
    }
}

struct top_times top_times_of(const Wire__Answer *metrics, const char *participant)
{
    struct top_times times = {0};
    for (size_t i = 0; metrics && i < metrics->n_samples; i++) {
        const Wire__Sample *sample = metrics->samples[i];
        const char *name = sample->name;
        char of[64];
        if (strncmp(name, "troth_participant_", 18) != 0 ||
            !label_of(sample->labels, "participant", of, sizeof(of)) ||
            strcmp(of, participant) != 0)
            continue;
        if (strcmp(name + 18, "vote_seconds_sum") == 0)
            times.vote_sum = sample->value;
        else if (strcmp(name + 18, "vote_seconds_count") == 0)
            times.vote_count = sample->value;
        else if (strcmp(name + 18, "apply_seconds_sum") == 0)
            times.apply_sum = sample->value;
        else if (strcmp(name + 18, "apply_seconds_count") == 0)
            times.apply_count = sample->value;
    }
    return times;
}

bool top_comparable(const struct top_counts *before, const struct top_counts *now)
{
    return before && before->run == now->run && before->at_us < now->at_us;
}

double top_seconds(const struct top_counts *before, const struct top_counts *now)
{
    return (double)(now->at_us - before->at_us) / 1e6;
}

double top_quantile(const struct top_histogram *before, const struct top_histogram *now,
                    double part)
{
    double all = now->count - before->count, below = 0, from = 0;
    if (all <= 0)
        return -1;
    for (int i = 0; i < METRIC_BUCKETS; i++) {
        double upto = now->buckets[i] - before->buckets[i];
        double bound = (double)metric_bounds_us[i] / 1e6;
        if (upto >= part * all && upto > below)
            return from + (bound - from) * (part * all - below) / (upto - below);
        below = upto;
        from = bound;
    }
    return from; /* above the last bound: at least that */
}
