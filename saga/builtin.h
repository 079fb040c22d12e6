/* The functions of jq that an expression may call. The rest reads the process or its files, changes
 * with the time or the machine, may not end, or ends the process: a saga that is recovered must
 * compute the same again, and one definition must not stop the others. */
#ifndef TROTH_SAGA_BUILTIN_H
#define TROTH_SAGA_BUILTIN_H

#include <stdbool.h>
#include <stddef.h>

enum builtin_use {
    BUILTIN_UNKNOWN,
    BUILTIN_REFUSED,   /* it exists, and has a reason not to be used */
    BUILTIN_READS_DOT, /* looks at `.`, or gives its arguments another one */
    BUILTIN_PASSES_DOT /* does not look at `.`; its arguments are evaluated on it */
};

/* name is not terminated. *why: of BUILTIN_REFUSED the reason; of BUILTIN_UNKNOWN the nearest name
 * that may be called, or NULL. arguments: whether a ( follows. */
enum builtin_use builtin_look(const char *name, size_t size, bool arguments, const char **why);
/* A word of the language that may not be used (def, import): the reason, else NULL. */
const char *keyword_refused(const char *name, size_t size);
/* $ENV and such: the reason, else NULL. */
const char *variable_refused(const char *name, size_t size);
/* @base64 and such that may be used. */
bool format_known(const char *name, size_t size);

/* What stands before every expression: the functions above that could hold up the process with
 * some value, made safe under their own names. Ends with a newline. */
extern const char builtin_prelude[];

#endif
