/* JSON texts for callers: made by a format, and taken apart. */
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "include/troth.h"

/* A piece of the format, up to the next sign, and what stands for the sign. json_raw would put
 * commas: the text is put together as it is. */
static void put(struct json_writer *writer, const char *text)
{
    writer->separator = false;
    json_raw(writer, text);
}

static void put_sized(struct json_writer *writer, const char *text, size_t size)
{
    char piece[256];
    while (size > 0) {
        size_t part = size < sizeof(piece) ? size : sizeof(piece) - 1;
        memcpy(piece, text, part);
        piece[part] = '\0';
        put(writer, piece);
        text += part;
        size -= part;
    }
}

/* False: it is no UTF-8. The writer would have mended it, and nobody would know. */
static bool put_text(struct json_writer *writer, const char *text)
{
    struct json_writer quoted = {0};
    json_string(&quoted, text);
    struct json *back = json_parse(quoted.text, quoted.size, NULL);
    bool same = back && (!text || (back->type == JSON_STRING && strcmp(back->text, text) == 0));
    if (same)
        put(writer, quoted.text);
    json_free(back);
    json_writer_fini(&quoted);
    return same;
}

/* It is one value: it can't smuggle in a member or an end. */
static bool put_json(struct json_writer *writer, const char *json)
{
    struct json *value = json ? json_parse(json, strlen(json), NULL) : NULL;
    if (value)
        put(writer, json);
    json_free(value);
    return value != NULL;
}

static void put_integer(struct json_writer *writer, long long value)
{
    writer->separator = false;
    json_integer(writer, value);
}

/* The sign after a %; returns what follows it, NULL: it is none of ours. */
static const char *put_sign(struct json_writer *writer, const char *sign, va_list *arguments)
{
    bool good = true;
    if (strncmp(sign, "lld", 3) == 0) {
        put_integer(writer, va_arg(*arguments, long long));
        return sign + 3;
    }
    if (strncmp(sign, "ld", 2) == 0) {
        put_integer(writer, va_arg(*arguments, long));
        return sign + 2;
    }
    switch (*sign) {
    case 's':
        good = put_text(writer, va_arg(*arguments, const char *));
        break;
    case 'd':
        put_integer(writer, va_arg(*arguments, int));
        break;
    case 'b':
        put(writer, va_arg(*arguments, int) ? "true" : "false");
        break;
    case 'j':
        good = put_json(writer, va_arg(*arguments, const char *));
        break;
    case '%':
        put(writer, "%");
        break;
    default:
        good = false;
    }
    return good ? sign + 1 : NULL;
}

static bool put_all(struct json_writer *writer, const char *format, va_list *arguments)
{
    for (const char *at = format; at;) {
        size_t size = strcspn(at, "%");
        put_sized(writer, at, size);
        at += size;
        if (*at == '\0')
            return true;
        at = put_sign(writer, at + 1, arguments);
    }
    return false;
}

char *troth_json(const char *format, ...)
{
    struct json_writer writer = {0};
    va_list arguments;
    va_start(arguments, format);
    bool good = put_all(&writer, format, &arguments);
    va_end(arguments);
    struct json *value = good && writer.text ? json_parse(writer.text, writer.size, NULL) : NULL;
    if (!value) {
        json_writer_fini(&writer);
        return NULL;
    }
    json_free(value);
    return writer.text;
}

char *troth_json_get(const char *object, const char *name)
{
    struct json *parsed = object ? json_parse(object, strlen(object), NULL) : NULL;
    const struct json *value = parsed ? json_member(parsed, name) : NULL;
    char *text = NULL;
    if (value && (value->type == JSON_STRING || value->type == JSON_NUMBER))
        text = xstrdup(value->text);
    else if (value && value->type != JSON_NULL)
        text = xstrndup(value->raw, value->raw_size);
    json_free(parsed);
    return text;
}
