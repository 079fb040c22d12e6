/* Reads Prometheus' text format as strictly as its documentation is written, and more: what a
 * parser would forgive is a mistake here. */
#ifndef TROTH_TESTS_UNIT_EXPOSITION_H
#define TROTH_TESTS_UNIT_EXPOSITION_H

#include <ctype.h>
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

enum { EXPOSITION_FAMILIES = 200, EXPOSITION_SAMPLES = 5000 };

struct exposition_sample {
    int family;
    char name[128], labels[256];
    double value;
};

struct exposition {
    struct {
        char name[128], type[16], help[256];
    } families[EXPOSITION_FAMILIES];
    int family_count;
    struct exposition_sample samples[EXPOSITION_SAMPLES];
    int sample_count;
    char mistake[512]; /* the first one, or "" */
};

static inline bool exposition_wrong(struct exposition *read, const char *what, const char *line)
{
    if (!read->mistake[0])
        snprintf(read->mistake, sizeof(read->mistake), "%s: %.300s", what, line);
    return false;
}

static inline size_t exposition_word(const char *text)
{
    size_t size = 0;
    if (!islower((unsigned char)text[0]))
        return 0;
    while (islower((unsigned char)text[size]) || isdigit((unsigned char)text[size]) ||
           text[size] == '_')
        size++;
    return size;
}

/* # HELP NAME text, or # TYPE NAME type. */
static inline bool exposition_comment(struct exposition *read, const char *line)
{
    static const char *const types[] = {"counter", "gauge", "histogram", "summary"};
    size_t size = exposition_word(line + 7);
    const char *rest = line + 7 + size;
    if (size == 0 || size >= 128 || *rest != ' ')
        return exposition_wrong(read, "no name", line);
    if (strncmp(line, "# HELP ", 7) == 0) {
        if (read->family_count > 0 && !read->families[read->family_count - 1].type[0])
            return exposition_wrong(read, "a family without a type before", line);
        for (int i = 0; i < read->family_count; i++) {
            if (strlen(read->families[i].name) == size &&
                strncmp(read->families[i].name, line + 7, size) == 0)
                return exposition_wrong(read, "a family twice", line);
        }
        assert_true(read->family_count < EXPOSITION_FAMILIES);
        int family = read->family_count++;
        snprintf(read->families[family].name, 128, "%.*s", (int)size, line + 7);
        snprintf(read->families[family].help, 256, "%s", rest + 1);
        return rest[1] && rest[strlen(rest) - 1] == '.'
                   ? true
                   : exposition_wrong(read, "a help that is no sentence", line);
    }
    if (strncmp(line, "# TYPE ", 7) != 0)
        return exposition_wrong(read, "a strange comment", line);
    int family = read->family_count - 1;
    if (family < 0 || strncmp(read->families[family].name, line + 7, size) != 0 ||
        read->families[family].name[size] || read->families[family].type[0])
        return exposition_wrong(read, "a type that does not follow its help", line);
    for (size_t i = 0; i < sizeof(types) / sizeof(*types); i++) {
        if (strcmp(rest + 1, types[i]) == 0)
            snprintf(read->families[family].type, 16, "%s", types[i]);
    }
    const char *name = read->families[family].name;
    bool total = strlen(name) > 6 && strcmp(name + strlen(name) - 6, "_total") == 0;
    if (total != (strcmp(read->families[family].type, "counter") == 0))
        return exposition_wrong(read, "counters, and only they, end in _total", line);
    return read->families[family].type[0] ? true : exposition_wrong(read, "no such type", line);
}

/* Returns what follows the labels, or NULL. */
static inline const char *exposition_labels(const char *text)
{
    char names[16][64];
    int count = 0;
    for (;;) {
        size_t size = exposition_word(text);
        if (size == 0 || size >= 64 || count == 16 || strncmp(text + size, "=\"", 2) != 0)
            return NULL;
        snprintf(names[count], 64, "%.*s", (int)size, text);
        for (int i = 0; i < count; i++) {
            if (strcmp(names[i], names[count]) == 0)
                return NULL;
        }
        count++;
        for (text += size + 2; *text != '"'; text++) {
            if (*text == '\\' && !strchr("\\\"n", *++text))
                return NULL;
            if (!*text)
                return NULL;
        }
        if (text[1] == '}')
            return text + 2;
        if (text[1] != ',')
            return NULL;
        text += 2;
    }
}

static inline bool exposition_belongs(const char *sample, const char *family, const char *type)
{
    size_t size = strlen(family);
    if (strncmp(sample, family, size) != 0)
        return false;
    const char *rest = sample + size;
    if (strcmp(type, "histogram") == 0 && strcmp(rest, "_bucket") == 0)
        return true;
    if (strcmp(type, "histogram") == 0 || strcmp(type, "summary") == 0)
        return strcmp(rest, "_sum") == 0 || strcmp(rest, "_count") == 0;
    return *rest == '\0';
}

static inline bool exposition_line(struct exposition *read, const char *line)
{
    size_t size = exposition_word(line);
    const char *rest = line + size;
    int family = read->family_count - 1;
    if (size == 0 || size >= 128 || family < 0 || !read->families[family].type[0])
        return exposition_wrong(read, "a sample without a family", line);
    assert_true(read->sample_count < EXPOSITION_SAMPLES);
    struct exposition_sample *sample = &read->samples[read->sample_count++];
    *sample = (struct exposition_sample){.family = family};
    snprintf(sample->name, sizeof(sample->name), "%.*s", (int)size, line);
    if (*rest == '{') {
        const char *end = exposition_labels(rest + 1);
        if (!end || end - rest > 250)
            return exposition_wrong(read, "wrong labels", line);
        snprintf(sample->labels, sizeof(sample->labels), "%.*s", (int)(end - rest) - 2, rest + 1);
        rest = end;
    }
    char *end;
    sample->value = strtod(rest + 1, &end);
    if (*rest != ' ' || end == rest + 1 || *end || !isfinite(sample->value) ||
        isspace((unsigned char)rest[1]))
        return exposition_wrong(read, "wrong value", line);
    if (strcmp(read->families[family].type, "gauge") != 0 && sample->value < 0)
        return exposition_wrong(read, "less than nothing", line);
    if (!exposition_belongs(sample->name, read->families[family].name, read->families[family].type))
        return exposition_wrong(read, "not of the family before it", line);
    for (int i = 0; i < read->sample_count - 1; i++) {
        if (strcmp(read->samples[i].name, sample->name) == 0 &&
            strcmp(read->samples[i].labels, sample->labels) == 0)
            return exposition_wrong(read, "a sample twice", line);
    }
    return true;
}

static inline const struct exposition_sample *exposition_find(const struct exposition *read,
                                                              const char *name, const char *labels)
{
    for (int i = 0; i < read->sample_count; i++) {
        if (strcmp(read->samples[i].name, name) == 0 &&
            strcmp(read->samples[i].labels, labels) == 0)
            return &read->samples[i];
    }
    return NULL;
}

static inline double exposition_value(const struct exposition *read, const char *name,
                                      const char *labels)
{
    const struct exposition_sample *sample = exposition_find(read, name, labels);
    if (!sample)
        fail_msg("no sample %s{%s}", name, labels);
    return sample->value;
}

/* The buckets that lead to a +Inf: bounds and counts grow, and the last is _count. */
static inline bool exposition_histogram(struct exposition *read, int last)
{
    const struct exposition_sample *end = &read->samples[last];
    char labels[256], name[128];
    snprintf(labels, sizeof(labels), "%s", end->labels);
    char *le = strstr(labels, "le=\"+Inf\"");
    *(le > labels ? le - 1 : le) = '\0';
    double bound = -1, count = 0;
    int first = last;
    while (first > 0 && strcmp(read->samples[first - 1].name, end->name) == 0 &&
           !strstr(read->samples[first - 1].labels, "+Inf"))
        first--;
    for (int i = first; i <= last; i++) {
        const char *at = strstr(read->samples[i].labels, "le=\"");
        double next = at ? strtod(at + 4, NULL) : -2;
        if (strncmp(read->samples[i].labels, labels, strlen(labels)) != 0 || next <= bound ||
            read->samples[i].value < count)
            return exposition_wrong(read, "buckets in disorder", read->samples[i].labels);
        bound = next;
        count = read->samples[i].value;
    }
    snprintf(name, sizeof(name), "%.*s_count", (int)strlen(end->name) - 7, end->name);
    const struct exposition_sample *all = exposition_find(read, name, labels);
    if (!all || all->value != count)
        return exposition_wrong(read, "a histogram whose count differs", name);
    return true;
}

/* False: read->mistake tells the first mistake. */
static inline bool exposition_read(struct exposition *read, const char *text)
{
    memset(read, 0, sizeof(*read));
    while (*text) {
        char line[1024];
        size_t size = strcspn(text, "\n");
        if (text[size] != '\n' || size >= sizeof(line))
            return exposition_wrong(read, "a line without an end", text);
        memcpy(line, text, size);
        line[size] = '\0';
        text += size + 1;
        if (!(line[0] == '#' ? exposition_comment(read, line) : exposition_line(read, line)))
            return false;
    }
    for (int i = 0; i < read->sample_count; i++) {
        size_t size = strlen(read->samples[i].name);
        bool bucket = size > 7 && strcmp(read->samples[i].name + size - 7, "_bucket") == 0;
        if (bucket && strstr(read->samples[i].labels, "le=\"+Inf\"") &&
            !exposition_histogram(read, i))
            return false;
    }
    return read->family_count > 0 || exposition_wrong(read, "nothing", "");
}

#endif
