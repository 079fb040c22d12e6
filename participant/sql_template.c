#include "participant/sql_template.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "core/check.h"
#include "core/limits.h"

/* PostgreSQL refuses more: the protocol counts parameters in 16 bits, and this is plenty. */
enum { PARAMETERS = 1000 };

struct lexer {
    const char *start, *at, *end;
    struct sql_template *out;
    size_t size, room; /* of out->sql */
    struct error *error;
};

/* ---- characters ---------------------------------------------------------------------------- */

static bool is_space(char c)
{
    return c == ' ' || c == '\t' || c == '\n' || c == '\r' || c == '\f' || c == '\v';
}

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* As in PostgreSQL's lexer: any byte over 127 is a letter. */
static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_' || (unsigned char)c >= 0x80;
}

static bool is_word(char c)
{
    return is_letter(c) || is_digit(c);
}

static char peek(const struct lexer *lexer, int ahead)
{
    return lexer->end - lexer->at > ahead ? lexer->at[ahead] : '\0';
}

static bool word_is(const char *at, size_t size, const char *word)
{
    return strlen(word) == size && strncasecmp(at, word, size) == 0;
}

/* ---- output and mistakes ------------------------------------------------------------------- */

static void put(struct lexer *lexer, const char *bytes, size_t size)
{
    if (lexer->size + size + 1 > lexer->room) {
        lexer->room = 2 * (lexer->size + size + 1);
        lexer->out->sql = xrealloc(lexer->out->sql, lexer->room);
    }
    memcpy(lexer->out->sql + lexer->size, bytes, size);
    lexer->size += size;
    lexer->out->sql[lexer->size] = '\0';
}

/* Copies up to `to` and goes on there. */
static bool copy(struct lexer *lexer, const char *to)
{
    put(lexer, lexer->at, (size_t)(to - lexer->at));
    lexer->at = to;
    return true;
}

static bool mistake(struct lexer *lexer, const char *at, const char *what)
{
    int line = 1, column = 1;
    for (const char *c = lexer->start; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(lexer->error, ERROR_USAGE, "SQL, line %d, column %d: %s", line, column, what);
}

/* ---- what hides a colon or a semicolon ----------------------------------------------------- */

/* At a quote; it doubles itself inside. With escapes, a backslash takes the next byte along. */
static bool copy_quoted(struct lexer *lexer, char quote, bool escapes)
{
    for (const char *at = lexer->at + 1; at < lexer->end; at++) {
        if (escapes && *at == '\\' && at + 1 < lexer->end)
            at++;
        else if (*at == quote && at + 1 < lexer->end && at[1] == quote)
            at++;
        else if (*at == quote)
            return copy(lexer, at + 1);
    }
    return mistake(lexer, lexer->at,
                   quote == '"' ? "a quoted identifier that does not end"
                                : "a string that does not end");
}

/* The place of a string that continues the one that ended here: SQL joins strings that have a line
 * break between them, and what continues an E'...' has its escapes. NULL when there is none. */
static const char *continuation(const struct lexer *lexer)
{
    bool line_break = false;
    const char *at = lexer->at;
    for (; at < lexer->end; at++) {
        if (at + 1 < lexer->end && at[0] == '-' && at[1] == '-') {
            while (at < lexer->end && *at != '\n' && *at != '\r')
                at++;
            if (at == lexer->end)
                return NULL;
        }
        if (!is_space(*at))
            break;
        line_break = line_break || *at == '\n' || *at == '\r';
    }
    return line_break && at < lexer->end && *at == '\'' ? at : NULL;
}

static bool copy_escape_string(struct lexer *lexer)
{
    if (!copy_quoted(lexer, '\'', true))
        return false;
    for (const char *next; (next = continuation(lexer)) != NULL;) {
        copy(lexer, next);
        if (!copy_quoted(lexer, '\'', true))
            return false;
    }
    return true;
}

static bool copy_block_comment(struct lexer *lexer)
{
    int depth = 0;
    for (const char *at = lexer->at; at + 1 < lexer->end; at++) {
        if (at[0] == '/' && at[1] == '*') {
            depth++;
            at++;
        } else if (at[0] == '*' && at[1] == '/') {
            at++;
            if (--depth == 0)
                return copy(lexer, at + 1);
        }
    }
    return mistake(lexer, lexer->at, "a comment that does not end");
}

static bool copy_line_comment(struct lexer *lexer)
{
    const char *at = lexer->at;
    while (at < lexer->end && *at != '\n' && *at != '\r')
        at++;
    return copy(lexer, at);
}

/* At a $ that is not inside a word: $1, $tag$...$tag$, or a stray one that PostgreSQL refuses. */
static bool copy_dollar(struct lexer *lexer)
{
    if (is_digit(peek(lexer, 1)))
        return mistake(lexer, lexer->at, "a parameter is written :name, not by its number");
    const char *tag_end = lexer->at + 1;
    if (tag_end < lexer->end && is_letter(*tag_end)) {
        while (tag_end < lexer->end && is_word(*tag_end))
            tag_end++;
    }
    if (tag_end == lexer->end || *tag_end != '$')
        return copy(lexer, lexer->at + 1);
    size_t size = (size_t)(tag_end + 1 - lexer->at);
    const char *closing = memmem(tag_end + 1, (size_t)(lexer->end - tag_end - 1), lexer->at, size);
    if (!closing)
        return mistake(lexer, lexer->at, "a dollar-quoted string that does not end");
    return copy(lexer, closing + size);
}

/* A word or a number, as a whole, so that what it ends with is not taken for something else. */
static bool copy_word(struct lexer *lexer)
{
    const char *at = lexer->at;
    while (at < lexer->end && (is_word(*at) || *at == '$'))
        at++;
    if (word_is(lexer->at, (size_t)(at - lexer->at), "returning") && lexer->out->form == DB_CHANGE)
        lexer->out->form = DB_RETURNS;
    bool escapes = at - lexer->at == 1 && (*lexer->at == 'e' || *lexer->at == 'E');
    copy(lexer, at);
    return escapes && peek(lexer, 0) == '\'' ? copy_escape_string(lexer) : true;
}

/* ---- parameters ---------------------------------------------------------------------------- */

static int number_of(struct sql_template *out, const char *name)
{
    for (int i = 0; i < out->count; i++) {
        if (strcmp(out->names[i], name) == 0)
            return i + 1;
    }
    out->names = xrealloc(out->names, (size_t)(out->count + 1) * sizeof(*out->names));
    out->names[out->count++] = xstrdup(name);
    return out->count;
}

/* Right behind an operand no operand can stand: this is the colon of a slice, as in a[1:n]. */
static bool follows_operand(const struct lexer *lexer)
{
    char last = lexer->at > lexer->start ? lexer->at[-1] : ' ';
    return is_word(last) || last == '$' || strchr("]})'\"", last) != NULL;
}

static bool replace_colon(struct lexer *lexer)
{
    char next = peek(lexer, 1);
    if (next == ':' || next == '=')
        return copy(lexer, lexer->at + 2);
    if (!is_letter(next))
        return copy(lexer, lexer->at + 1);
    if (follows_operand(lexer)) {
        mistake(lexer, lexer->at, "put a space before a parameter");
        return error_hint(lexer->error, "in a slice put one behind the colon: [1: n] up to a "
                                        "column, [1: :n] up to a parameter");
    }
    const char *at = lexer->at + 1;
    while (at < lexer->end && is_word(*at))
        at++;
    size_t size = (size_t)(at - lexer->at - 1);
    if (size > LIMIT_WORD_BYTES)
        return mistake(lexer, lexer->at, "a parameter's name is too long");
    if (lexer->out->count == PARAMETERS)
        return mistake(lexer, lexer->at, "too many parameters");
    char name[LIMIT_WORD_BYTES + 1], number[16];
    memcpy(name, lexer->at + 1, size);
    name[size] = '\0';
    put(lexer, number,
        (size_t)snprintf(number, sizeof(number), "$%d", number_of(lexer->out, name)));
    lexer->at = at;
    return true;
}

/* ---- one statement, and one that a branch can hold ----------------------------------------- */

static bool copy_token(struct lexer *lexer)
{
    char c = *lexer->at, next = peek(lexer, 1);
    if (c == '\'' || c == '"')
        return copy_quoted(lexer, c, false);
    if (c == '-' && next == '-')
        return copy_line_comment(lexer);
    if (c == '/' && next == '*')
        return copy_block_comment(lexer);
    if (c == '$')
        return copy_dollar(lexer);
    if (c == ':')
        return replace_colon(lexer);
    if (is_word(c))
        return copy_word(lexer);
    return copy(lexer, lexer->at + 1);
}

/* Passes white space and comments without copying them. */
static bool skip_nothing(struct lexer *lexer)
{
    size_t size = lexer->size;
    while (lexer->at < lexer->end) {
        bool comment = (*lexer->at == '-' && peek(lexer, 1) == '-') ||
                       (*lexer->at == '/' && peek(lexer, 1) == '*');
        if (!comment && !is_space(*lexer->at))
            break;
        if (comment ? !copy_token(lexer) : !copy(lexer, lexer->at + 1))
            return false;
    }
    lexer->size = size;
    if (lexer->out->sql)
        lexer->out->sql[size] = '\0';
    return true;
}

static bool end_statement(struct lexer *lexer)
{
    lexer->at++;
    if (!skip_nothing(lexer))
        return false;
    if (lexer->at == lexer->end)
        return true;
    mistake(lexer, lexer->at, "a second statement after ';'");
    return error_hint(lexer->error, "give each statement an entry of its own under sql");
}

static const struct refusal {
    const char *first, *why;
} refusals[] = {
    {"begin", "the agent begins and ends the local transaction itself"},
    {"start", "the agent begins and ends the local transaction itself"},
    {"commit", "the agent begins and ends the local transaction itself"},
    {"end", "the agent begins and ends the local transaction itself"},
    {"rollback", "the agent begins and ends the local transaction itself"},
    {"abort", "the agent begins and ends the local transaction itself"},
    {"savepoint", "a failed statement always ends the whole branch"},
    {"release", "a failed statement always ends the whole branch"},
    {"prepare", "the agent prepares transactions and statements itself"},
    {"execute", "the agent prepares transactions and statements itself"},
    {"deallocate", "the agent prepares transactions and statements itself"},
    {"discard", "it would undo what the agent keeps on its connections"},
    {"reset", "the connection is shared with other operations; use SET LOCAL"},
    {"listen", "PostgreSQL can't prepare a transaction that used it"},
    {"unlisten", "PostgreSQL can't prepare a transaction that used it"},
    {"notify", "PostgreSQL can't prepare a transaction that used it"},
    {"vacuum", "PostgreSQL can't run it inside a transaction"},
    {"copy", "it takes over the connection"},
};

static size_t word_size(const char *at, const char *end)
{
    size_t size = 0;
    while (at + size < end && is_word(at[size]))
        size++;
    return size;
}

static bool refuse(struct lexer *lexer, const char *at, size_t size, const char *why)
{
    char what[160];
    snprintf(what, sizeof(what), "an operation can't use %.*s", (int)size, at);
    for (char *c = what + strlen(what) - size; *c; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    mistake(lexer, at, what);
    return error_detail(lexer->error, "%s", why);
}

/* SET changes the connection for every later operation, unless it ends with the transaction. */
static bool check_set(struct lexer *lexer, const char *first)
{
    struct lexer ahead = *lexer;
    ahead.at = first + 3;
    while (ahead.at < ahead.end && is_space(*ahead.at))
        ahead.at++;
    size_t size = word_size(ahead.at, ahead.end);
    if (word_is(ahead.at, size, "local") || word_is(ahead.at, size, "constraints") ||
        word_is(ahead.at, size, "transaction"))
        return true;
    return refuse(lexer, first, 3, "the connection is shared with other operations; use SET LOCAL");
}

/* By its first word. RETURNING is a reserved word: where it stands outside of quotes, it is that.
 */
static enum db_form form_of(const char *first, size_t size)
{
    static const char *const changes[] = {"insert", "update", "delete"};
    static const char *const plain[] = {"select", "with", "values", "merge"};
    for (size_t i = 0; i < sizeof(changes) / sizeof(changes[0]); i++)
        if (word_is(first, size, changes[i]))
            return DB_CHANGE;
    for (size_t i = 0; i < sizeof(plain) / sizeof(plain[0]); i++)
        if (word_is(first, size, plain[i]))
            return DB_PLAIN;
    return DB_OTHER;
}

/* At the first thing that is neither white space nor comment. */
static bool check_first(struct lexer *lexer)
{
    const char *at = lexer->at;
    if (at == lexer->end || *at == ';')
        return mistake(lexer, at, "there is no statement");
    size_t size = word_size(at, lexer->end);
    for (size_t i = 0; i < sizeof(refusals) / sizeof(*refusals); i++) {
        if (word_is(at, size, refusals[i].first))
            return refuse(lexer, at, size, refusals[i].why);
    }
    lexer->out->form = form_of(at, size);
    return word_is(at, size, "set") ? check_set(lexer, at) : true;
}

bool sql_template_parse(const char *text, size_t size, struct sql_template *out,
                        struct error *error)
{
    *out = (struct sql_template){0};
    struct lexer lexer = {
        .start = text, .at = text, .end = text + size, .out = out, .error = error};
    put(&lexer, "", 0);
    const char *nul = size > 0 ? memchr(text, '\0', size) : NULL;
    bool good =
        nul ? mistake(&lexer, nul, "a NUL byte") : skip_nothing(&lexer) && check_first(&lexer);
    while (good && lexer.at < lexer.end)
        good = *lexer.at == ';' ? end_statement(&lexer) : copy_token(&lexer);
    if (!good) {
        sql_template_fini(out);
        return false;
    }
    while (lexer.size > 0 && is_space(out->sql[lexer.size - 1]))
        out->sql[--lexer.size] = '\0';
    return true;
}

void sql_template_fini(struct sql_template *sql)
{
    for (int i = 0; i < sql->count; i++)
        free(sql->names[i]);
    free(sql->names);
    free(sql->sql);
    *sql = (struct sql_template){0};
}
