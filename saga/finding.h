/* What is wrong or doubtful in definitions: told all at once, each with its place. */
#ifndef TROTH_SAGA_FINDING_H
#define TROTH_SAGA_FINDING_H

#include <stdbool.h>

#include "core/error.h"

enum saga_severity {
    SAGA_MISTAKE, /* such a definition is not run */
    SAGA_WARNING, /* it may be meant */
};

/* A place in a definition's text. Both from 1, columns count characters; line 0 is the text as a
 * whole. */
struct saga_place {
    int line, column;
};

struct saga_finding {
    char *file;
    struct saga_place place;
    enum saga_severity severity;
    int order; /* of noting */
    char *text;
};

/* Zeros are an empty list. Beyond LIMIT_SAGA_FINDINGS they are only counted. */
struct saga_findings {
    struct saga_finding *items;
    int count, room;
    int mistakes, warnings; /* all that were noted, also those that found no room */
};

void saga_findings_fini(struct saga_findings *findings);

/* Notes one; the texts are copied. The same text at the same place is noted once. */
void saga_mistake(struct saga_findings *findings, const char *file, struct saga_place place,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));
void saga_warning(struct saga_findings *findings, const char *file, struct saga_place place,
                  const char *format, ...) __attribute__((format(printf, 4, 5)));

/* By file, line, column, then as they were noted. */
void saga_findings_sort(struct saga_findings *findings);
/* "FILE:LINE:COLUMN: text", a new text that the caller frees. */
char *saga_finding_format(const struct saga_finding *finding);
/* False with an error that lists every mistake, one a line, when there is any. Warnings are not
 * told. name: of the definition. */
bool saga_findings_check(struct saga_findings *findings, const char *name, struct error *error);

#endif
