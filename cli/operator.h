/* Who orders, and why: for records, rows and the audit log. */
#ifndef TROTH_CLI_OPERATOR_H
#define TROTH_CLI_OPERATOR_H

#include "core/error.h"
#include "core/limits.h"

typedef char operator_text[LIMIT_BY_BYTES + 1];

/* "ada@host": $USER where it is there and of plain characters, else the number of who runs this. */
const char *operator_name(operator_text out);
/* Not empty, at most LIMIT_REASON_BYTES of UTF-8, no control characters. */
bool operator_reason_check(const char *reason, struct error *error);

#endif
