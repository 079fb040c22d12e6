/* The metrics as docs/metrics.md has them, one table a program. */
#ifndef TROTH_TESTS_UNIT_DOCUMENTED_H
#define TROTH_TESTS_UNIT_DOCUMENTED_H

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

enum { DOCUMENTED_MOST = 200 };

struct documented {
    int count;
    struct {
        char name[128], type[16], labels[128], meaning[256];
    } rows[DOCUMENTED_MOST];
};

static inline void documented_cell(const char **at, char *out, size_t room)
{
    const char *begin = *at + strspn(*at, " `"), *end = strstr(begin, " |");
    size_t size = end ? (size_t)(end - begin) : strlen(begin);
    *at = end ? end + 2 : begin + size;
    if (size > 0 && begin[size - 1] == '`')
        size--;
    snprintf(out, room, "%.*s", (int)size, begin);
}

/* The table below "## HEADING". False: there is none. */
static inline bool documented_read(const char *heading, struct documented *out)
{
    char line[1024];
    bool here = false;
    FILE *file = fopen("docs/metrics.md", "re");
    out->count = 0;
    while (file && fgets(line, sizeof(line), file)) {
        line[strcspn(line, "\n")] = '\0';
        if (strncmp(line, "## ", 3) == 0)
            here = strcmp(line + 3, heading) == 0;
        if (!here || strncmp(line, "| `", 3) != 0 || out->count == DOCUMENTED_MOST)
            continue;
        const char *at = line + 1;
        int row = out->count++;
        documented_cell(&at, out->rows[row].name, sizeof(out->rows[row].name));
        documented_cell(&at, out->rows[row].type, sizeof(out->rows[row].type));
        documented_cell(&at, out->rows[row].labels, sizeof(out->rows[row].labels));
        documented_cell(&at, out->rows[row].meaning, sizeof(out->rows[row].meaning));
    }
    if (file)
        fclose(file);
    return out->count > 0;
}

static inline int documented_find(const struct documented *table, const char *name)
{
    for (int i = 0; i < table->count; i++) {
        if (strcmp(table->rows[i].name, name) == 0)
            return i;
    }
    return -1;
}

/* As a sample of it may be named: of a histogram or summary with _bucket, _sum, _count. */
static inline bool documented_sample(const struct documented *table, const char *name)
{
    static const char *const suffixes[] = {"_bucket", "_sum", "_count"};
    int row = documented_find(table, name);
    if (row >= 0)
        return strcmp(table->rows[row].type, "histogram") != 0 &&
               strcmp(table->rows[row].type, "summary") != 0;
    for (int i = 0; i < 3; i++) {
        char family[128];
        size_t size = strlen(name), end = strlen(suffixes[i]);
        if (size <= end || strcmp(name + size - end, suffixes[i]) != 0)
            continue;
        snprintf(family, sizeof(family), "%.*s", (int)(size - end), name);
        row = documented_find(table, family);
        if (row >= 0 && (strcmp(table->rows[row].type, "histogram") == 0 ||
                         (i > 0 && strcmp(table->rows[row].type, "summary") == 0)))
            return true;
    }
    return false;
}

#endif
