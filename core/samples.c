#include "core/samples.h"

#include <string.h>

#include "core/check.h"

struct samples {
    Wire__Answer *answer;
    const struct samples_room *room;
    size_t most;
};

static void skip_family(void *self, const char *name, enum metric_type type, const char *help)
{
    (void)self, (void)name, (void)type, (void)help;
}

static void count_sample(void *self, const char *name, const char *labels, double value)
{
    (void)name, (void)labels, (void)value;
    ((struct samples *)self)->most++;
}

static char *copy(const struct samples *samples, const char *text)
{
    size_t size = strlen(text) + 1;
    return memcpy(samples->room->take(samples->room->self, size), text, size);
}

static void add_sample(void *self, const char *name, const char *labels, double value)
{
    const struct samples *samples = self;
    Wire__Answer *answer = samples->answer;
    Wire__Sample sample = WIRE__SAMPLE__INIT;
    sample.name = (char *)name;
    sample.labels = (char *)labels;
    sample.value = value;
    size_t packed = wire__sample__get_packed_size(&sample);
    if (answer->more > 0 || !samples->room->fits(samples->room->self, packed)) {
        answer->more++;
        return;
    }
    CHECK(answer->n_samples < samples->most);
    sample.name = copy(samples, name);
    sample.labels = copy(samples, labels);
    answer->samples[answer->n_samples] = samples->room->take(samples->room->self, sizeof(sample));
    *answer->samples[answer->n_samples++] = sample;
}

void samples_answer(Wire__Answer *answer, const struct samples_room *room,
                    void (*read)(void *of, struct metrics_sink *sink), void *of)
{
    struct samples samples = {.answer = answer, .room = room};
    struct metrics_sink counting = {&samples, skip_family, count_sample};
    struct metrics_sink adding = {&samples, skip_family, add_sample};
    read(of, &counting);
    answer->samples = room->take(room->self, sizeof(void *) * (samples.most + 1));
    read(of, &adding);
}
