#include "core/json.h"

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"

enum { NESTING = 64 };

/* ---- the document and its memory ----------------------------------------------------------- */

struct chunk {
    struct chunk *next;
    _Alignas(8) char bytes[];
};

/* root is first, so that a pointer to the root value is one to the document. */
struct document {
    struct json root;
    struct chunk *chunks;
    char *free; /* in the newest chunk */
    size_t left;
    char *text; /* the copied JSON text */
};

struct parser {
    struct document *document;
    const char *start, *at, *end;
    /* Members and items of the containers that are still open, innermost last. */
    struct json_member *stack;
    size_t count, room;
    int depth;
    struct error *error;
};

static void *take(struct document *document, size_t size)
{
    if (size == 0)
        return NULL;
    size = (size + 7) & ~(size_t)7;
    if (size > document->left) {
        size_t room = size > 4000 ? size : 4000;
        struct chunk *chunk = xmalloc(sizeof(*chunk) + room);
        chunk->next = document->chunks;
        document->chunks = chunk;
        document->free = chunk->bytes;
        document->left = room;
    }
    void *taken = document->free;
    document->free += size;
    document->left -= size;
    return taken;
}

void json_free(struct json *root)
{
    struct document *document = (struct document *)root;
    if (!document)
        return;
    while (document->chunks) {
        struct chunk *chunk = document->chunks;
        document->chunks = chunk->next;
        free(chunk);
    }
    free(document->text);
    free(document);
}

/* ---- mistakes ------------------------------------------------------------------------------ */

/* Line and column, from 1; columns count characters, not bytes. */
static bool mistake(struct parser *parser, const char *at, const char *what)
{
    int line = 1, column = 1;
    for (const char *c = parser->start; c < at; c++) {
        if (*c == '\n') {
            line++;
            column = 1;
        } else if (((unsigned char)*c & 0xc0) != 0x80) {
            column++;
        }
    }
    return error_set(parser->error, ERROR_USAGE, "not valid JSON at line %d, column %d: %s", line,
                     column, what);
}

static bool unexpected(struct parser *parser, const char *expected)
{
    char what[160];
    unsigned char c = parser->at < parser->end ? (unsigned char)*parser->at : 0;
    if (parser->at == parser->end)
        snprintf(what, sizeof(what), "expected %s, found the end of the text", expected);
    else if (c > ' ' && c < 0x7f)
        snprintf(what, sizeof(what), "expected %s, found '%c'", expected, c);
    else
        snprintf(what, sizeof(what), "expected %s, found the byte 0x%02x", expected, c);
    return mistake(parser, parser->at, what);
}

/* ---- text ---------------------------------------------------------------------------------- */

/* Bytes of the valid UTF-8 character at `at`, 0 when there is none: no overlong forms, no
 * surrogates, nothing over U+10FFFF. */
static int utf8_size(const char *text, const char *end)
{
    const unsigned char *at = (const unsigned char *)text;
    size_t left = (size_t)(end - text);
    if (at[0] < 0x80)
        return 1;
    int size = at[0] >= 0xc2 && at[0] <= 0xdf   ? 2
               : at[0] >= 0xe0 && at[0] <= 0xef ? 3
               : at[0] >= 0xf0 && at[0] <= 0xf4 ? 4
                                                : 0;
    if (size == 0 || left < (size_t)size)
        return 0;
    for (int i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80)
            return 0;
    }
    if ((at[0] == 0xe0 && at[1] < 0xa0) || (at[0] == 0xed && at[1] > 0x9f) ||
        (at[0] == 0xf0 && at[1] < 0x90) || (at[0] == 0xf4 && at[1] > 0x8f))
        return 0;
    return size;
}

static char *utf8_put(char *out, uint32_t point)
{
    if (point < 0x80) {
        *out++ = (char)point;
    } else if (point < 0x800) {
        *out++ = (char)(0xc0 | point >> 6);
        *out++ = (char)(0x80 | (point & 0x3f));
    } else if (point < 0x10000) {
        *out++ = (char)(0xe0 | point >> 12);
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    } else {
        *out++ = (char)(0xf0 | point >> 18);
        *out++ = (char)(0x80 | (point >> 12 & 0x3f));
        *out++ = (char)(0x80 | (point >> 6 & 0x3f));
        *out++ = (char)(0x80 | (point & 0x3f));
    }
    return out;
}

static int hex_digit(char c)
{
    return c >= '0' && c <= '9'   ? c - '0'
           : c >= 'a' && c <= 'f' ? c - 'a' + 10
           : c >= 'A' && c <= 'F' ? c - 'A' + 10
                                  : -1;
}

/* Four hex digits at the parser's place, or -1. */
static int32_t hex4(struct parser *parser)
{
    if (parser->end - parser->at < 4)
        return -1;
    int32_t value = 0;
    for (int i = 0; i < 4; i++) {
        int digit = hex_digit(parser->at[i]);
        if (digit < 0)
            return -1;
        value = value << 4 | digit;
    }
    parser->at += 4;
    return value;
}

/* After "\u". */
static bool parse_unicode(struct parser *parser, char **out)
{
    const char *escape = parser->at - 2;
    int32_t point = hex4(parser);
    if (point < 0)
        return mistake(parser, escape, "expected four hexadecimal digits after \\u");
    if (point == 0)
        return mistake(parser, escape, "the character NUL can't be stored by a database");
    if (point >= 0xdc00 && point <= 0xdfff)
        return mistake(parser, escape, "half of a surrogate pair");
    if (point >= 0xd800 && point <= 0xdbff) {
        if (parser->end - parser->at < 2 || parser->at[0] != '\\' || parser->at[1] != 'u')
            return mistake(parser, escape, "half of a surrogate pair");
        parser->at += 2;
        int32_t low = hex4(parser);
        if (low < 0xdc00 || low > 0xdfff)
            return mistake(parser, escape, "half of a surrogate pair");
        point = 0x10000 + ((point - 0xd800) << 10) + (low - 0xdc00);
    }
    *out = utf8_put(*out, (uint32_t)point);
    return true;
}

static bool parse_escape(struct parser *parser, char **out)
{
    static const char from[] = "\"\\/bfnrt", to[] = "\"\\/\b\f\n\r\t";
    const char *escape = parser->at++;
    if (parser->at == parser->end)
        return unexpected(parser, "the rest of a string");
    char c = *parser->at++;
    if (c == 'u')
        return parse_unicode(parser, out);
    const char *known = c ? strchr(from, c) : NULL;
    if (!known)
        return mistake(parser, escape,
                       "unknown escape; known are \\\" \\\\ \\/ \\b \\f \\n \\r "
                       "\\t \\uXXXX");
    *(*out)++ = to[known - from];
    return true;
}

/* At the opening quote. An unescaped text is never longer than the escaped one. */
static bool parse_text(struct parser *parser, const char **text, size_t *size)
{
    const char *opening = parser->at++, *closing = parser->at;
    while (closing < parser->end && *closing != '"')
        closing += *closing == '\\' && closing + 1 < parser->end ? 2 : 1;
    if (closing == parser->end)
        return mistake(parser, opening, "a string that does not end");
    char *begin = take(parser->document, (size_t)(closing - opening)), *out = begin;
    while (*parser->at != '"') {
        unsigned char c = (unsigned char)*parser->at;
        if (c == '\\') {
            if (!parse_escape(parser, &out))
                return false;
            continue;
        }
        if (c < 0x20)
            return mistake(parser, parser->at,
                           "a control character in a string; write it as an escape, as \\n");
        int bytes = utf8_size(parser->at, parser->end);
        if (bytes == 0)
            return mistake(parser, parser->at, "the text is not valid UTF-8");
        memcpy(out, parser->at, (size_t)bytes);
        out += bytes;
        parser->at += bytes;
    }
    parser->at++;
    *out = '\0';
    *text = begin;
    *size = (size_t)(out - begin);
    return true;
}

/* ---- values -------------------------------------------------------------------------------- */

static bool parse_value(struct parser *parser, struct json *value);

static void skip_space(struct parser *parser)
{
    while (parser->at < parser->end && (*parser->at == ' ' || *parser->at == '\t' ||
                                        *parser->at == '\n' || *parser->at == '\r'))
        parser->at++;
}

static bool next_is(struct parser *parser, char c)
{
    return parser->at < parser->end && *parser->at == c;
}

static bool skip_digits(struct parser *parser)
{
    const char *first = parser->at;
    while (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
        parser->at++;
    return parser->at > first || unexpected(parser, "a digit");
}

static bool parse_number(struct parser *parser, struct json *value)
{
    const char *first = parser->at;
    if (next_is(parser, '-'))
        parser->at++;
    if (next_is(parser, '0')) {
        parser->at++;
        if (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')
            return mistake(parser, first, "a number must not begin with 0 and another digit");
    } else if (!skip_digits(parser)) {
        return false;
    }
    if (next_is(parser, '.')) {
        parser->at++;
        if (!skip_digits(parser))
            return false;
    }
    if (next_is(parser, 'e') || next_is(parser, 'E')) {
        parser->at++;
        if (next_is(parser, '+') || next_is(parser, '-'))
            parser->at++;
        if (!skip_digits(parser))
            return false;
    }
    value->type = JSON_NUMBER;
    value->text_size = (size_t)(parser->at - first);
    char *text = take(parser->document, value->text_size + 1);
    memcpy(text, first, value->text_size);
    text[value->text_size] = '\0';
    value->text = text;
    return true;
}

static bool parse_word(struct parser *parser, struct json *value)
{
    static const struct {
        const char *word;
        size_t size;
        enum json_type type;
    } words[] = {{"null", 4, JSON_NULL}, {"false", 5, JSON_FALSE}, {"true", 4, JSON_TRUE}};
    for (size_t i = 0; i < sizeof(words) / sizeof(*words); i++) {
        if ((size_t)(parser->end - parser->at) >= words[i].size &&
            memcmp(parser->at, words[i].word, words[i].size) == 0) {
            parser->at += words[i].size;
            value->type = words[i].type;
            return true;
        }
    }
    return unexpected(parser, "a value");
}

static void push(struct parser *parser, const struct json_member *member)
{
    if (parser->count == parser->room) {
        parser->room = parser->room ? parser->room * 2 : 32;
        parser->stack = xrealloc(parser->stack, parser->room * sizeof(*parser->stack));
    }
    parser->stack[parser->count++] = *member;
}

static int by_name(const void *a, const void *b)
{
    const struct json_member *x = *(const struct json_member *const *)a;
    const struct json_member *y = *(const struct json_member *const *)b;
    int order = strcmp(x->name, y->name);
    return order ? order : (x->value.raw > y->value.raw) - (x->value.raw < y->value.raw);
}

/* Sorted, so that a hostile object with thousands of names costs no quadratic time. */
static bool names_unique(struct parser *parser, const struct json_member *members, int count)
{
    if (count < 2)
        return true;
    const struct json_member **sorted = xmalloc((size_t)count * sizeof(const struct json_member *));
    for (int i = 0; i < count; i++)
        sorted[i] = &members[i];
    qsort(sorted, (size_t)count, sizeof(*sorted), by_name);
    bool unique = true;
    for (int i = 1; i < count && unique; i++) {
        if (strcmp(sorted[i - 1]->name, sorted[i]->name) == 0) {
            char what[160];
            snprintf(what, sizeof(what), "the name \"%.80s\" is in the object twice",
                     sorted[i]->name);
            unique = mistake(parser, sorted[i]->value.raw, what);
        }
    }
    free(sorted);
    return unique;
}

/* Moves what the container pushed from the stack to the document. */
static bool close_container(struct parser *parser, struct json *value, size_t first)
{
    const struct json_member *from = parser->stack ? parser->stack + first : NULL;
    int count = (int)(parser->count - first);
    value->count = count;
    parser->count = first;
    if (value->type == JSON_ARRAY) {
        struct json *items = take(parser->document, (size_t)count * sizeof(*items));
        for (int i = 0; i < count; i++)
            items[i] = from[i].value;
        value->items = items;
        return true;
    }
    struct json_member *members = take(parser->document, (size_t)count * sizeof(*members));
    if (count > 0)
        memcpy(members, from, (size_t)count * sizeof(*members));
    value->members = members;
    return names_unique(parser, members, count);
}

static bool parse_member(struct parser *parser, struct json_member *member)
{
    size_t size;
    if (!next_is(parser, '"'))
        return unexpected(parser, "a name in double quotes");
    if (!parse_text(parser, &member->name, &size))
        return false;
    skip_space(parser);
    if (!next_is(parser, ':'))
        return unexpected(parser, "':' after a name");
    parser->at++;
    return parse_value(parser, &member->value);
}

static bool parse_container(struct parser *parser, struct json *value)
{
    bool object = *parser->at++ == '{';
    char closing = object ? '}' : ']';
    size_t first = parser->count;
    value->type = object ? JSON_OBJECT : JSON_ARRAY;
    if (++parser->depth > NESTING)
        return mistake(parser, parser->at - 1, "more than 64 levels of nesting");
    skip_space(parser);
    for (bool more = !next_is(parser, closing); more;) {
        struct json_member member = {0};
        skip_space(parser);
        if (object ? !parse_member(parser, &member) : !parse_value(parser, &member.value))
            return false;
        push(parser, &member);
        skip_space(parser);
        more = next_is(parser, ',');
        if (!more && !next_is(parser, closing))
            return unexpected(parser, object ? "',' or '}'" : "',' or ']'");
        if (more)
            parser->at++;
    }
    parser->at++;
    parser->depth--;
    return close_container(parser, value, first);
}

static bool parse_value(struct parser *parser, struct json *value)
{
    skip_space(parser);
    *value = (struct json){.raw = parser->at};
    bool parsed;
    if (next_is(parser, '{') || next_is(parser, '[')) {
        parsed = parse_container(parser, value);
    } else if (next_is(parser, '"')) {
        value->type = JSON_STRING;
        parsed = parse_text(parser, &value->text, &value->text_size);
    } else if (next_is(parser, '-') ||
               (parser->at < parser->end && *parser->at >= '0' && *parser->at <= '9')) {
        parsed = parse_number(parser, value);
    } else {
        parsed = parse_word(parser, value);
    }
    value->raw_size = (size_t)(parser->at - value->raw);
    return parsed;
}

struct json *json_parse(const char *text, size_t size, struct error *error)
{
    struct document *document = xcalloc(1, sizeof(*document));
    document->text = xmalloc(size + 1);
    if (size > 0)
        memcpy(document->text, text, size);
    document->text[size] = '\0';
    struct parser parser = {.document = document,
                            .start = document->text,
                            .at = document->text,
                            .end = document->text + size,
                            .error = error};
    bool parsed = parse_value(&parser, &document->root);
    if (parsed) {
        skip_space(&parser);
        if (parser.at < parser.end)
            parsed = unexpected(&parser, "nothing more after the value");
    }
    free(parser.stack);
    if (parsed)
        return &document->root;
    json_free(&document->root);
    return NULL;
}

const struct json *json_member(const struct json *object, const char *name)
{
    if (!object || object->type != JSON_OBJECT)
        return NULL;
    for (int i = 0; i < object->count; i++) {
        if (strcmp(object->members[i].name, name) == 0)
            return &object->members[i].value;
    }
    return NULL;
}

/* ---- writing ------------------------------------------------------------------------------- */

static void put(struct json_writer *writer, const char *bytes, size_t size)
{
    if (writer->size + size + 1 > writer->room) {
        size_t room = writer->room ? writer->room : 128;
        while (room < writer->size + size + 1)
            room *= 2;
        writer->text = xrealloc(writer->text, room);
        writer->room = room;
    }
    memcpy(writer->text + writer->size, bytes, size);
    writer->size += size;
    writer->text[writer->size] = '\0';
}

static void comma(struct json_writer *writer)
{
    if (writer->separator)
        put(writer, ",", 1);
    writer->separator = true;
}

void json_open(struct json_writer *writer, char bracket)
{
    CHECK(bracket == '{' || bracket == '[');
    comma(writer);
    put(writer, &bracket, 1);
    writer->separator = false;
}

void json_close(struct json_writer *writer, char bracket)
{
    CHECK(bracket == '}' || bracket == ']');
    put(writer, &bracket, 1);
    writer->separator = true;
}

void json_name(struct json_writer *writer, const char *name)
{
    json_string(writer, name);
    put(writer, ":", 1);
    writer->separator = false;
}

void json_string(struct json_writer *writer, const char *text)
{
    if (text)
        json_string_sized(writer, text, strlen(text));
    else
        json_raw(writer, "null");
}

static void put_character(struct json_writer *writer, const char *at, int size)
{
    static const char short_from[] = "\"\\\b\f\n\r\t", short_to[] = "\"\\bfnrt";
    const char *known = *at ? strchr(short_from, *at) : NULL;
    char escape[8];
    if (size == 0) {
        put(writer, "\xef\xbf\xbd", 3); /* not UTF-8: the replacement character keeps it JSON */
    } else if (known) {
        escape[0] = '\\';
        escape[1] = short_to[known - short_from];
        put(writer, escape, 2);
    } else if ((unsigned char)*at < 0x20) {
        put(writer, escape, (size_t)snprintf(escape, sizeof(escape), "\\u%04x", *at));
    } else {
        put(writer, at, (size_t)size);
    }
}

void json_string_sized(struct json_writer *writer, const char *text, size_t size)
{
    comma(writer);
    put(writer, "\"", 1);
    for (const char *at = text, *end = text + size; at < end;) {
        int bytes = utf8_size(at, end);
        put_character(writer, at, bytes);
        at += bytes ? bytes : 1;
    }
    put(writer, "\"", 1);
}

void json_raw(struct json_writer *writer, const char *json)
{
    comma(writer);
    put(writer, json, strlen(json));
}

void json_integer(struct json_writer *writer, long long value)
{
    char text[24];
    snprintf(text, sizeof(text), "%lld", value);
    json_raw(writer, text);
}

void json_unsigned(struct json_writer *writer, unsigned long long value)
{
    char text[24];
    snprintf(text, sizeof(text), "%llu", value);
    json_raw(writer, text);
}

void json_boolean(struct json_writer *writer, bool value)
{
    json_raw(writer, value ? "true" : "false");
}

void json_writer_fini(struct json_writer *writer)
{
    free(writer->text);
    *writer = (struct json_writer){0};
}
