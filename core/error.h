/* An error with a text for a person: what happened, the detail, and what to do about it. */
#ifndef TROTH_CORE_ERROR_H
#define TROTH_CORE_ERROR_H

#include <stdbool.h>

enum error_kind {
    ERROR_NONE,
    ERROR_USAGE,       /* the caller's words are wrong: a flag, a file, an argument */
    ERROR_UNREACHABLE, /* nobody answers */
    ERROR_REFUSED,     /* not allowed, or it would contradict a decision */
    ERROR_BUSY,        /* a limit is reached; the same request may succeed later */
    ERROR_IO,          /* the operating system or a database said no */
    ERROR_CORRUPT,     /* durable data is damaged */
    ERROR_PROTOCOL,    /* a peer sent what it must not send */
};

/* The caller owns it, usually on the stack. Texts that are too long are cut, never overflowed.
 * message: a short factual line without a full stop. detail: what exactly, where. hint: the setting
 * or the command that helps. detail and hint may be empty. */
struct error {
    enum error_kind kind;
    char message[320];
    char detail[2048];
    char hint[320];
};

/* Each returns false, so that a function can `return error_set(...)`. error may be NULL: then
 * nothing is kept. error_set clears detail and hint. */
bool error_set(struct error *error, enum error_kind kind, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
bool error_detail(struct error *error, const char *format, ...)
    __attribute__((format(printf, 2, 3)));
bool error_hint(struct error *error, const char *format, ...) __attribute__((format(printf, 2, 3)));
void error_clear(struct error *error);

/* One text of up to three lines: "message\n  detail: ...\n  hint: ...", without a last newline.
 * Returns buffer. */
const char *error_format(const struct error *error, char *buffer, int size);

/* The word of `words` (count of them) that a person most likely meant by `typed`, or NULL when none
 * is near. Damerau-Levenshtein distance at most a third of the length. */
const char *error_nearest(const char *typed, const char *const *words, int count);

#endif
