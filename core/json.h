/* JSON (RFC 8259), strict, with numbers kept as the text they were written in: an amount of money
 * must not pass through a binary fraction. That is why this is not a library's: those that Debian
 * has turn numbers into doubles. */
#ifndef TROTH_CORE_JSON_H
#define TROTH_CORE_JSON_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"

enum json_type {
    JSON_NULL,
    JSON_FALSE,
    JSON_TRUE,
    JSON_NUMBER,
    JSON_STRING,
    JSON_ARRAY,
    JSON_OBJECT
};

struct json_member;

/* A parsed value. Everything hangs on the document, freed by json_free(root). */
struct json {
    enum json_type type;
    const char *text; /* NUMBER: as written; STRING: unescaped UTF-8; else NULL */
    size_t text_size;
    int count;                         /* ARRAY, OBJECT */
    const struct json *items;          /* ARRAY */
    const struct json_member *members; /* OBJECT, in order, names unique */
    const char *raw; /* the value's own JSON text in the document, raw_size bytes */
    size_t raw_size;
};

struct json_member {
    const char *name;
    struct json value;
};

/* NULL with an error that tells line, column and what was expected. Refuses: trailing text, a name
 * twice in an object, NUL, invalid UTF-8, lone surrogates, nesting over 64. The text is copied. */
struct json *json_parse(const char *text, size_t size, struct error *error);
void json_free(struct json *root);                                           /* NULL is harmless */
const struct json *json_member(const struct json *object, const char *name); /* or NULL */

/* A growing JSON text. Zeros are an empty one. */
struct json_writer {
    char *text; /* NUL-terminated once something was written; owned here */
    size_t size, room;
    bool separator; /* the next value or name needs a comma first */
};

void json_open(struct json_writer *writer, char bracket);  /* '{' or '[' */
void json_close(struct json_writer *writer, char bracket); /* '}' or ']' */
void json_name(struct json_writer *writer, const char *name);
void json_string(struct json_writer *writer, const char *text); /* NULL writes null */
void json_string_sized(struct json_writer *writer, const char *text, size_t size);
void json_raw(struct json_writer *writer, const char *json); /* valid JSON, written as it is */
void json_integer(struct json_writer *writer, long long value);
void json_unsigned(struct json_writer *writer, unsigned long long value);
void json_boolean(struct json_writer *writer, bool value);
void json_writer_fini(struct json_writer *writer);

#endif
