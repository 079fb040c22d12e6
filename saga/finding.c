#include "saga/finding.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"

void saga_findings_fini(struct saga_findings *findings)
{
    for (int i = 0; i < findings->count; i++) {
        free(findings->items[i].file);
        free(findings->items[i].text);
    }
    free(findings->items);
    *findings = (struct saga_findings){0};
}

static bool is_known(const struct saga_findings *findings, const char *file,
                     struct saga_place place, const char *text)
{
    for (int i = 0; i < findings->count; i++) {
        const struct saga_finding *known = &findings->items[i];
        if (known->place.line == place.line && known->place.column == place.column &&
            strcmp(known->text, text) == 0 && strcmp(known->file, file) == 0)
            return true;
    }
    return false;
}

/* Control characters in a quoted value would reach the reader's terminal. */
static void make_printable(char *text)
{
    for (unsigned char *at = (unsigned char *)text; *at; at++) {
        if (*at < 0x20 || *at == 0x7f)
            *at = ' ';
        if (at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f)
            at[0] = at[1] = ' ';
    }
}

static void note(struct saga_findings *findings, enum saga_severity severity, const char *file,
                 struct saga_place place, const char *format, va_list arguments)
{
    char text[400];
    vsnprintf(text, sizeof(text), format, arguments);
    make_printable(text);
    if (is_known(findings, file, place, text))
        return;
    ++*(severity == SAGA_MISTAKE ? &findings->mistakes : &findings->warnings);
    if (findings->count == LIMIT_SAGA_FINDINGS)
        return;
    if (findings->count == findings->room) {
        findings->room = findings->room ? 2 * findings->room : 16;
        findings->items =
            xrealloc(findings->items, (size_t)findings->room * sizeof(*findings->items));
    }
    findings->items[findings->count] = (struct saga_finding){.file = xstrdup(file),
                                                             .place = place,
                                                             .severity = severity,
                                                             .order = findings->count,
                                                             .text = xstrdup(text)};
    findings->count++;
}

void saga_mistake(struct saga_findings *findings, const char *file, struct saga_place place,
                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(findings, SAGA_MISTAKE, file, place, format, arguments);
    va_end(arguments);
}

void saga_warning(struct saga_findings *findings, const char *file, struct saga_place place,
                  const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    note(findings, SAGA_WARNING, file, place, format, arguments);
    va_end(arguments);
}

static int compare(const void *a, const void *b)
{
    const struct saga_finding *x = a, *y = b;
    int files = strcmp(x->file, y->file);
    if (files)
        return files;
    if (x->place.line != y->place.line)
        return x->place.line < y->place.line ? -1 : 1;
    if (x->place.column != y->place.column)
        return x->place.column < y->place.column ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

void saga_findings_sort(struct saga_findings *findings)
{
    if (findings->count)
        qsort(findings->items, (size_t)findings->count, sizeof(*findings->items), compare);
}

char *saga_finding_format(const struct saga_finding *finding)
{
    if (!finding->place.line)
        return xasprintf("%s: %s", finding->file, finding->text);
    return xasprintf("%s:%d:%d: %s", finding->file, finding->place.line, finding->place.column,
                     finding->text);
}

/* One mistake below the other where error_format prints the detail. */
#define BELOW_DETAIL "\n          "

bool saga_findings_check(struct saga_findings *findings, const char *name, struct error *error)
{
    if (!findings->mistakes)
        return true;
    saga_findings_sort(findings);
    char list[sizeof(error->detail)];
    size_t size = 0, reserve = 40; /* for the line that tells how many were left out */
    int shown = 0;
    bool cut = false;
    for (int i = 0; i < findings->count && !cut; i++) {
        if (findings->items[i].severity != SAGA_MISTAKE)
            continue;
        char *line = saga_finding_format(&findings->items[i]);
        if (findings->mistakes == 1)
            error_set(error, ERROR_USAGE, "%s", line);
        cut = size + strlen(BELOW_DETAIL) + strlen(line) + 1 + reserve > sizeof(list);
        if (!cut) {
            size += (size_t)sprintf(list + size, "%s%s", shown ? BELOW_DETAIL : "", line);
            shown++;
        }
        free(line);
    }
    if (findings->mistakes == 1)
        return false;
    if (shown < findings->mistakes)
        sprintf(list + size, BELOW_DETAIL "and %d more", findings->mistakes - shown);
    error_set(error, ERROR_USAGE, "%s: %d mistakes", name, findings->mistakes);
    return error_detail(error, "%s", list);
}
