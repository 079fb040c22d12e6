/* A value of a loaded file as JSON. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "io/yaml_node.h"

/* -?int frac? exp?, where JSON's int has no leading zero; `loose` allows what YAML's core schema
 * has beyond JSON: a plus, leading zeros, a point without digits on one side. */
static bool is_number(const char *at, bool loose)
{
    if (*at == '-' || (loose && *at == '+'))
        at++;
    size_t whole = strspn(at, "0123456789");
    if (!loose && (!whole || (whole > 1 && at[0] == '0')))
        return false;
    at += whole;
    size_t fraction = 0;
    if (*at == '.') {
        fraction = strspn(++at, "0123456789");
        at += fraction;
        if (!loose && !fraction)
            return false;
    }
    if (!whole && !fraction)
        return false;
    if (*at == 'e' || *at == 'E') {
        at++;
        at += *at == '+' || *at == '-';
        size_t digits = strspn(at, "0123456789");
        if (!digits)
            return false;
        at += digits;
    }
    return !*at;
}

/* The number in JSON's spelling; the digits that carry the value stay as they were written. */
static void write_loose_number(struct json_writer *writer, const char *text)
{
    char *out = xmalloc(strlen(text) + 3);
    size_t size = 0;
    if (*text == '-')
        out[size++] = '-';
    text += *text == '-' || *text == '+';
    while (*text == '0' && text[1] >= '0' && text[1] <= '9')
        text++;
    if (*text == '.')
        out[size++] = '0';
    while (*text) {
        bool lone_point = *text == '.' && !(text[1] >= '0' && text[1] <= '9');
        if (!lone_point)
            out[size++] = *text;
        text++;
    }
    out[size] = '\0';
    json_raw(writer, out);
    free(out);
}

/* 0x1f and 0o17, as YAML's core schema has them. */
static bool based_number(const char *text, unsigned long long *value)
{
    if (text[0] != '0' || (text[1] != 'x' && text[1] != 'o'))
        return false;
    const char *digits = text[1] == 'x' ? "0123456789abcdefABCDEF" : "01234567";
    size_t count = strspn(text + 2, digits);
    if (!count || text[2 + count])
        return false;
    errno = 0;
    *value = strtoull(text + 2, NULL, text[1] == 'x' ? 16 : 8);
    return errno == 0;
}

static bool one_of(const char *text, const char *a, const char *b, const char *c)
{
    return !strcmp(text, a) || !strcmp(text, b) || !strcmp(text, c);
}

static void write_scalar(struct json_writer *writer, const struct yaml_node *node)
{
    unsigned long long value;
    if (!node->plain)
        json_string(writer, node->text);
    else if (yaml_is_null(node))
        json_string(writer, NULL);
    else if (one_of(node->text, "true", "True", "TRUE"))
        json_boolean(writer, true);
    else if (one_of(node->text, "false", "False", "FALSE"))
        json_boolean(writer, false);
    else if (is_number(node->text, false))
        json_raw(writer, node->text);
    else if (is_number(node->text, true))
        write_loose_number(writer, node->text);
    else if (based_number(node->text, &value))
        json_unsigned(writer, value);
    else
        json_string(writer, node->text);
}

static void write_node(struct json_writer *writer, const struct yaml_node *node)
{
    if (node->type == NODE_SCALAR) {
        write_scalar(writer, node);
        return;
    }
    bool map = node->type == NODE_MAP;
    json_open(writer, map ? '{' : '[');
    for (int i = 0; i < node->count; i++) {
        if (map)
            json_name(writer, node->names[i]->text);
        write_node(writer, node->items[i]);
    }
    json_close(writer, map ? '}' : ']');
}

char *yaml_to_json(const struct yaml_node *node)
{
    struct json_writer writer = {0};
    if (node)
        write_node(&writer, node);
    else
        json_string(&writer, NULL);
    return writer.text;
}
