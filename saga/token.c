#include "saga/token.h"

#include <string.h>

static const char *const keywords[] = {
    "and", "as",     "break", "catch",  "def", "elif",   "else", "end",     "foreach",
    "if",  "import", "label", "module", "or",  "reduce", "then", "include", "try",
};

/* Longest first. */
static const char *const operators[] = {
    "?//", "//=", "==", "!=", "<=", ">=", "|=", "+=", "-=", "*=", "/=", "%=", "//", "..",
    "|",   ",",   ";",  ":",  "?",  "=",  "+",  "-",  "*",  "/",  "%",  "<",  ">",  "$",
};

enum { OPERATORS = sizeof(operators) / sizeof(operators[0]) };
enum { KEYWORDS = sizeof(keywords) / sizeof(keywords[0]) };

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

void tokenizer_init(struct tokenizer *tokenizer, const char *text, size_t size)
{
    *tokenizer = (struct tokenizer){.text = text, .size = size};
}

bool token_is(const struct token *token, enum token_type type, const char *text)
{
    return token->type == type && strlen(text) == token->size &&
           memcmp(token->text, text, token->size) == 0;
}

static char peek(const struct tokenizer *tokenizer, size_t ahead)
{
    return tokenizer->at + ahead < tokenizer->size ? tokenizer->text[tokenizer->at + ahead] : '\0';
}

static struct token token_make(const struct tokenizer *tokenizer, enum token_type type,
                               size_t offset, size_t skip, size_t size)
{
    return (struct token){type, tokenizer->text + offset + skip, size, offset};
}

static struct token bad(struct tokenizer *tokenizer, size_t offset, const char *problem)
{
    tokenizer->problem = problem;
    return token_make(tokenizer, TOKEN_BAD, offset, 0, 0);
}

static void skip_space(struct tokenizer *tokenizer)
{
    for (; tokenizer->at < tokenizer->size; tokenizer->at++) {
        char c = tokenizer->text[tokenizer->at];
        if (c == '#') {
            while (tokenizer->at < tokenizer->size && tokenizer->text[tokenizer->at] != '\n')
                tokenizer->at++;
            tokenizer->at--;
        } else if (c != ' ' && c != '\t' && c != '\n' && c != '\r') {
            return;
        }
    }
}

static bool push(struct tokenizer *tokenizer, char bracket)
{
    if (tokenizer->depth == LIMIT_SAGA_NESTING)
        return false;
    tokenizer->open[tokenizer->depth++] = bracket;
    return true;
}

static const char too_deep[] = "brackets are nested too deep";

/* After the opening quote or after what was put in. */
static struct token string(struct tokenizer *tokenizer, size_t offset, bool first)
{
    size_t begin = tokenizer->at;
    for (; tokenizer->at < tokenizer->size; tokenizer->at++) {
        char c = tokenizer->text[tokenizer->at];
        size_t size = tokenizer->at - begin;
        if (c == '"') {
            tokenizer->at++;
            return token_make(tokenizer, first ? TOKEN_STRING : TOKEN_STRING_CLOSE, offset,
                              begin - offset, size);
        }
        if (c == '\\' && peek(tokenizer, 1) == '(') {
            tokenizer->at += 2;
            if (!push(tokenizer, '"'))
                return bad(tokenizer, offset, too_deep);
            return token_make(tokenizer, first ? TOKEN_STRING_OPEN : TOKEN_STRING_MIDDLE, offset,
                              begin - offset, size);
        }
        if (c == '\\')
            tokenizer->at++;
    }
    tokenizer->at = tokenizer->size; /* a backslash at the very end stepped over it */
    return bad(tokenizer, offset, "a string does not end; close it with \"");
}

static struct token close(struct tokenizer *tokenizer, char c)
{
    size_t offset = tokenizer->at;
    char open = tokenizer->depth ? tokenizer->open[tokenizer->depth - 1] : '\0';
    if (!open && c == '}')
        return token_make(tokenizer, TOKEN_END, offset, 0, 0);
    tokenizer->at++;
    if (!open)
        return bad(tokenizer, offset,
                   c == ')' ? "a ) that nothing opened" : "a ] that nothing opened");
    if (open == '"' && c == ')') {
        tokenizer->depth--;
        return string(tokenizer, offset, false);
    }
    bool fits = (open == '(' && c == ')') || (open == '[' && c == ']') || (open == '{' && c == '}');
    if (!fits)
        return bad(tokenizer, offset,
                   open == '['   ? "expected ] here"
                   : open == '{' ? "expected } here"
                                 : "expected ) here");
    tokenizer->depth--;
    return token_make(tokenizer, TOKEN_CLOSE, offset, 0, 1);
}

static size_t word_size(const struct tokenizer *tokenizer, size_t at)
{
    size_t size = 0;
    while (at + size < tokenizer->size && (is_letter(tokenizer->text[at + size]) ||
                                           (size && is_digit(tokenizer->text[at + size]))))
        size++;
    return size;
}

static struct token word(struct tokenizer *tokenizer)
{
    size_t offset = tokenizer->at, size = word_size(tokenizer, offset);
    tokenizer->at += size;
    struct token token = token_make(tokenizer, TOKEN_WORD, offset, 0, size);
    for (int i = 0; i < KEYWORDS; i++) {
        if (token_is(&token, TOKEN_WORD, keywords[i])) {
            token.type = TOKEN_KEYWORD;
            break;
        }
    }
    return token;
}

static struct token number(struct tokenizer *tokenizer)
{
    size_t offset = tokenizer->at;
    while (is_digit(peek(tokenizer, 0)))
        tokenizer->at++;
    if (peek(tokenizer, 0) == '.')
        tokenizer->at++;
    while (is_digit(peek(tokenizer, 0)))
        tokenizer->at++;
    if (peek(tokenizer, 0) == 'e' || peek(tokenizer, 0) == 'E') {
        size_t sign = peek(tokenizer, 1) == '+' || peek(tokenizer, 1) == '-';
        if (is_digit(peek(tokenizer, 1 + sign))) {
            tokenizer->at += 1 + sign;
            while (is_digit(peek(tokenizer, 0)))
                tokenizer->at++;
        }
    }
    return token_make(tokenizer, TOKEN_NUMBER, offset, 0, tokenizer->at - offset);
}

/* A name with one character before it: .name $name @name. */
static struct token prefixed(struct tokenizer *tokenizer, enum token_type type)
{
    size_t offset = tokenizer->at;
    size_t size = 0;
    if (type == TOKEN_FORMAT) {
        while (is_letter(peek(tokenizer, 1 + size)) || is_digit(peek(tokenizer, 1 + size)))
            size++;
    } else {
        size = word_size(tokenizer, offset + 1);
    }
    tokenizer->at += 1 + size;
    return token_make(tokenizer, type, offset, 1, size);
}

static struct token operator_or_bad(struct tokenizer *tokenizer)
{
    size_t offset = tokenizer->at;
    for (int i = 0; i < OPERATORS; i++) {
        size_t size = strlen(operators[i]);
        if (size <= tokenizer->size - offset &&
            memcmp(tokenizer->text + offset, operators[i], size) == 0) {
            tokenizer->at += size;
            return token_make(tokenizer, TOKEN_OPERATOR, offset, 0, size);
        }
    }
    tokenizer->at++;
    return bad(tokenizer, offset, "a character that means nothing in an expression");
}

struct token token_next(struct tokenizer *tokenizer)
{
    skip_space(tokenizer);
    size_t offset = tokenizer->at;
    if (offset >= tokenizer->size) {
        if (tokenizer->depth)
            return bad(tokenizer, offset, "a bracket is not closed");
        return token_make(tokenizer, TOKEN_END, offset, 0, 0);
    }
    char c = tokenizer->text[offset];
    switch (c) {
    case '"':
        tokenizer->at++;
        return string(tokenizer, offset, true);
    case '(':
    case '[':
    case '{':
        tokenizer->at++;
        if (!push(tokenizer, c))
            return bad(tokenizer, offset, too_deep);
        return token_make(tokenizer, TOKEN_OPEN, offset, 0, 1);
    case ')':
    case ']':
    case '}':
        return close(tokenizer, c);
    case '.':
        if (is_letter(peek(tokenizer, 1)))
            return prefixed(tokenizer, TOKEN_FIELD);
        if (is_digit(peek(tokenizer, 1)))
            return number(tokenizer);
        if (peek(tokenizer, 1) == '.')
            return operator_or_bad(tokenizer);
        tokenizer->at++;
        return token_make(tokenizer, TOKEN_DOT, offset, 0, 1);
    default:
        break;
    }
    if (is_letter(c))
        return word(tokenizer);
    if (is_digit(c))
        return number(tokenizer);
    if (c == '$' && is_letter(peek(tokenizer, 1)))
        return prefixed(tokenizer, TOKEN_VARIABLE);
    if (c == '@')
        return prefixed(tokenizer, TOKEN_FORMAT);
    return operator_or_bad(tokenizer);
}

long expression_size(const char *text, size_t size, const char **problem, size_t *offset)
{
    struct tokenizer tokenizer;
    tokenizer_init(&tokenizer, text, size);
    for (;;) {
        struct token token = token_next(&tokenizer);
        *offset = token.offset;
        if (token.type == TOKEN_BAD) {
            *problem = tokenizer.problem;
            return -1;
        }
        if (token.type != TOKEN_END)
            continue;
        if (token.offset < size)
            return (long)token.offset;
        *problem = "an expression does not end; close it with }";
        return -1;
    }
}
