/* The report of a participant's database, as doctor reads it: io/pg_inspect.h says what is in it.
 * Anything may be missing, as a role may not see all and versions differ. */
#ifndef TROTH_CLI_DOCTOR_REPORT_H
#define TROTH_CLI_DOCTOR_REPORT_H

#include "cli/doctor.h"

/* NULL where it is not there, or no text. */
const char *report_text(const struct json *object, const char *name);
/* False where it is not there, or no number. */
bool report_number(const struct json *object, const char *name, int64_t *value);
bool report_is(const struct json *object, const char *name, enum json_type type);
/* Items of a list, 0 where there is none. */
int report_count(const struct json *object, const char *name);

/* Parts of what is looked at; each says what it found and nothing when that is well. */
void check_settings(struct findings *findings, const struct json *report);
void check_rights(struct findings *findings, const struct json *report);
void check_standbys(struct findings *findings, const struct json *report);
void check_vacuum(struct findings *findings, const struct json *report);

#endif
