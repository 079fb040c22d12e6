/* The words of an expression, as jq 1.6 takes them apart: enough to see where it ends, what it
 * calls and which values it names. What jq itself refuses may pass here: jq reads it afterwards. */
#ifndef TROTH_SAGA_TOKEN_H
#define TROTH_SAGA_TOKEN_H

#include <stdbool.h>
#include <stddef.h>

#include "core/error.h"
#include "core/limits.h"

enum token_type {
    TOKEN_END,
    TOKEN_BAD,           /* see tokenizer.problem */
    TOKEN_DOT,           /* . */
    TOKEN_FIELD,         /* .name; text without the dot */
    TOKEN_WORD,          /* a function, or a key of an object */
    TOKEN_KEYWORD,       /* if, as, reduce ... */
    TOKEN_VARIABLE,      /* $name; text without the dollar sign */
    TOKEN_NUMBER,        /* 12.5e3 */
    TOKEN_FORMAT,        /* @base64; text without the @ */
    TOKEN_STRING,        /* "text" in which nothing is put in */
    TOKEN_STRING_OPEN,   /* "text\( */
    TOKEN_STRING_MIDDLE, /* )text\( */
    TOKEN_STRING_CLOSE,  /* )text" */
    TOKEN_OPEN,          /* ( [ { */
    TOKEN_CLOSE,         /* ) ] } */
    TOKEN_OPERATOR,      /* | , ; : + // ? .. and so on */
};

struct token {
    enum token_type type;
    const char *text; /* in the expression's text, not terminated */
    size_t size;
    size_t offset; /* where it begins */
};

/* The text is not copied. */
struct tokenizer {
    const char *text;
    size_t size, at;
    char open[LIMIT_SAGA_NESTING]; /* what is open: ( [ { and " for what is put into a string */
    int depth;
    const char *problem; /* of TOKEN_BAD: a text that lives for ever */
};

void tokenizer_init(struct tokenizer *tokenizer, const char *text, size_t size);
/* A closing bracket that nothing opened is TOKEN_BAD unless it is } at the outermost level: there
 * the expression ends (TOKEN_END with offset at the bracket). */
struct token token_next(struct tokenizer *tokenizer);
bool token_is(const struct token *token, enum token_type type, const char *text);

/* The length of the expression that stands in front of a } in text, without it. Negative: it does
 * not end, or has a mistake that *problem tells, at *offset. */
long expression_size(const char *text, size_t size, const char **problem, size_t *offset);

#endif
