#include "io/yaml.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <yaml.h>

#include "core/check.h"
#include "core/limits.h"
#include "io/yaml_node.h"

enum {
    DEPTH_MAX = 64,     /* as core/json.h: what is loaded here is often written as JSON there */
    MISTAKES_MAX = 100, /* more than a person reads at once; the rest is counted */
};

struct mistake {
    int line, column; /* line 0: the file as a whole */
    int order;
    char *text;
};

struct yaml {
    char *name;
    struct yaml_node *root;
    struct mistake mistakes[MISTAKES_MAX];
    int mistake_count, mistakes_cut;
    yaml_parser_t parser; /* while loading */
};

/* ---- mistakes ----------------------------------------------------------------------------- */

/* Control characters in a quoted value would reach the reader's terminal. Returns a new text. */
static char *printable(const char *text)
{
    char *out = xmalloc(4 * strlen(text) + 1);
    size_t size = 0;
    for (const unsigned char *at = (const unsigned char *)text; *at; at++) {
        bool c1 = at[0] == 0xc2 && at[1] >= 0x80 && at[1] <= 0x9f;
        if (*at < 0x20 || *at == 0x7f || c1) {
            size += (size_t)sprintf(out + size, "\\x%02x", c1 ? at[1] : at[0]);
            at += c1;
        } else {
            out[size++] = (char)*at;
        }
    }
    out[size] = '\0';
    return out;
}

static void mistake_add(struct yaml *yaml, int line, int column, const char *format,
                        va_list arguments)
{
    if (yaml->mistake_count == MISTAKES_MAX) {
        yaml->mistakes_cut++;
        return;
    }
    char text[400];
    vsnprintf(text, sizeof(text), format, arguments);
    struct mistake *mistake = &yaml->mistakes[yaml->mistake_count];
    mistake->line = line;
    mistake->column = column;
    mistake->order = yaml->mistake_count++;
    mistake->text = printable(text);
}

void yaml_mistake(struct yaml *yaml, const struct yaml_node *at, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    mistake_add(yaml, at ? at->line : 0, at ? at->column : 0, format, arguments);
    va_end(arguments);
}

static void mistake_at_mark(struct yaml *yaml, yaml_mark_t mark, const char *format, ...)
    __attribute__((format(printf, 3, 4)));
static void mistake_at_mark(struct yaml *yaml, yaml_mark_t mark, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    mistake_add(yaml, (int)mark.line + 1, (int)mark.column + 1, format, arguments);
    va_end(arguments);
}

static int compare_mistakes(const void *a, const void *b)
{
    const struct mistake *x = a, *y = b;
    if (x->line != y->line)
        return x->line < y->line ? -1 : 1;
    if (x->column != y->column)
        return x->column < y->column ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

/* One mistake below the other where error_format prints the detail. */
#define BELOW_DETAIL "\n          "

static int mistake_format(const struct yaml *yaml, const struct mistake *mistake, char *out,
                          size_t size)
{
    if (mistake->line)
        return snprintf(out, size, "%s:%d:%d: %s", yaml->name, mistake->line, mistake->column,
                        mistake->text);
    return snprintf(out, size, "%s: %s", yaml->name, mistake->text);
}

bool yaml_check(struct yaml *yaml, struct error *error)
{
    if (!yaml->mistake_count)
        return true;
    qsort(yaml->mistakes, (size_t)yaml->mistake_count, sizeof(struct mistake), compare_mistakes);
    char line[600];
    if (yaml->mistake_count == 1) {
        mistake_format(yaml, &yaml->mistakes[0], line, sizeof(line));
        return error_set(error, ERROR_USAGE, "%s", line);
    }
    int all = yaml->mistake_count + yaml->mistakes_cut, shown = 0;
    char list[sizeof(error->detail)];
    size_t size = 0, reserve = 40; /* for the line that tells how many were left out */
    for (; shown < yaml->mistake_count; shown++) {
        mistake_format(yaml, &yaml->mistakes[shown], line, sizeof(line));
        size_t needed = strlen(BELOW_DETAIL) + strlen(line) + 1;
        if (size + needed + reserve > sizeof(list))
            break;
        size += (size_t)sprintf(list + size, "%s%s", shown ? BELOW_DETAIL : "", line);
    }
    if (shown < all)
        sprintf(list + size, BELOW_DETAIL "and %d more", all - shown);
    error_set(error, ERROR_USAGE, "%s: %d mistakes", yaml->name, all);
    return error_detail(error, "%s", list);
}

int yaml_mistakes(struct yaml *yaml, void *self,
                  void (*show)(void *self, int line, int column, const char *text))
{
    qsort(yaml->mistakes, (size_t)yaml->mistake_count, sizeof(struct mistake), compare_mistakes);
    for (int i = 0; i < yaml->mistake_count; i++)
        show(self, yaml->mistakes[i].line, yaml->mistakes[i].column, yaml->mistakes[i].text);
    return yaml->mistakes_cut;
}

/* ---- loading ------------------------------------------------------------------------------ */

static struct yaml_node *node_new(enum node_type type, yaml_mark_t mark)
{
    struct yaml_node *node = xcalloc(1, sizeof(*node));
    node->type = type;
    node->line = (int)mark.line + 1;
    node->column = (int)mark.column + 1;
    return node;
}

/* Depth is bounded by DEPTH_MAX, so recursion is. */
static void node_free(struct yaml_node *node)
{
    if (!node)
        return;
    for (int i = 0; i < node->count; i++) {
        node_free(node->items[i]);
        if (node->names)
            node_free(node->names[i]);
    }
    free(node->items);
    free(node->names);
    free(node->text);
    free(node);
}

/* Takes over name (NULL in a sequence) and value. */
static void node_add(struct yaml_node *parent, struct yaml_node *name, struct yaml_node *value)
{
    if (parent->count == parent->room) {
        parent->room = parent->room ? 2 * parent->room : 4;
        size_t size = (size_t)parent->room * sizeof(parent->items[0]);
        parent->items = xrealloc(parent->items, size);
        if (parent->type == NODE_MAP)
            parent->names = xrealloc(parent->names, size);
    }
    parent->items[parent->count] = value;
    if (name) {
        CHECK(parent->type == NODE_MAP);
        parent->names[parent->count] = name;
        value->key = name->text;
    }
    parent->count++;
}

static int compare_names(const void *a, const void *b)
{
    const struct yaml_node *x = *(struct yaml_node *const *)a, *y = *(struct yaml_node *const *)b;
    int order = strcmp(x->text, y->text);
    if (order)
        return order;
    return x->line != y->line ? x->line - y->line : x->column - y->column;
}

static void check_duplicates(struct yaml *yaml, const struct yaml_node *map)
{
    if (map->count < 2)
        return;
    size_t size = (size_t)map->count * sizeof(map->names[0]);
    struct yaml_node **sorted = xmalloc(size);
    memcpy(sorted, map->names, size);
    qsort(sorted, (size_t)map->count, sizeof(sorted[0]), compare_names);
    for (int i = 1; i < map->count; i++) {
        if (strcmp(sorted[i - 1]->text, sorted[i]->text) == 0)
            yaml_mistake(yaml, sorted[i], "key \"%.60s\" is given twice; the first is in line %d",
                         sorted[i]->text, sorted[i - 1]->line);
    }
    free(sorted);
}

static struct yaml_node *scalar_from(struct yaml *yaml, const yaml_event_t *event)
{
    struct yaml_node *node = node_new(NODE_SCALAR, event->start_mark);
    const char *value = (const char *)event->data.scalar.value;
    size_t size = event->data.scalar.length;
    if (memchr(value, '\0', size))
        yaml_mistake(yaml, node, "a value may not contain a zero byte");
    node->plain = event->data.scalar.style == YAML_PLAIN_SCALAR_STYLE;
    node->text = xstrndup(value, size);
    return node;
}

static void refuse_anchor_and_tag(struct yaml *yaml, const yaml_event_t *event,
                                  const yaml_char_t *anchor, const yaml_char_t *tag)
{
    if (anchor)
        mistake_at_mark(yaml, event->start_mark,
                        "anchors and aliases (&%.40s) are not supported: write the value out",
                        (const char *)anchor);
    if (tag)
        mistake_at_mark(yaml, event->start_mark, "tags (%.40s) are not supported: leave it out",
                        (const char *)tag);
}

static struct yaml_node *parse_node(struct yaml *yaml, const yaml_event_t *event, int depth);

/* The rest of a sequence or a map, up to its end. False: the parser failed. */
static bool parse_children(struct yaml *yaml, struct yaml_node *parent, int depth)
{
    struct yaml_node *name = NULL;
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&yaml->parser, &event)) {
            node_free(name);
            return false;
        }
        if (event.type == YAML_SEQUENCE_END_EVENT || event.type == YAML_MAPPING_END_EVENT) {
            CHECK(!name);
            yaml_event_delete(&event);
            return true;
        }
        struct yaml_node *child = parse_node(yaml, &event, depth + 1);
        yaml_event_delete(&event);
        if (!child) {
            node_free(name);
            return false;
        }
        if (parent->type == NODE_MAP && !name) {
            name = child;
            if (name->type != NODE_SCALAR) {
                yaml_mistake(yaml, name, "a key must be a plain word");
                name->text = xstrdup("");
            }
        } else {
            node_add(parent, name, child);
            name = NULL;
        }
    }
}

/* The value that begins with this event. NULL: the parser failed, or it nests too deeply (then a
 * mistake is noted). */
static struct yaml_node *parse_node(struct yaml *yaml, const yaml_event_t *event, int depth)
{
    if (depth > DEPTH_MAX) {
        mistake_at_mark(yaml, event->start_mark, "nested more than %d deep", DEPTH_MAX);
        return NULL;
    }
    struct yaml_node *node;
    switch (event->type) {
    case YAML_ALIAS_EVENT:
        mistake_at_mark(yaml, event->start_mark,
                        "anchors and aliases (*%.40s) are not supported: write the value out",
                        (const char *)event->data.alias.anchor);
        node = node_new(NODE_SCALAR, event->start_mark);
        node->text = xstrdup("");
        return node;
    case YAML_SCALAR_EVENT:
        refuse_anchor_and_tag(yaml, event, event->data.scalar.anchor, event->data.scalar.tag);
        return scalar_from(yaml, event);
    case YAML_SEQUENCE_START_EVENT:
        refuse_anchor_and_tag(yaml, event, event->data.sequence_start.anchor,
                              event->data.sequence_start.tag);
        node = node_new(NODE_SEQUENCE, event->start_mark);
        break;
    default:
        CHECK(event->type == YAML_MAPPING_START_EVENT);
        refuse_anchor_and_tag(yaml, event, event->data.mapping_start.anchor,
                              event->data.mapping_start.tag);
        node = node_new(NODE_MAP, event->start_mark);
        break;
    }
    if (!parse_children(yaml, node, depth)) {
        node_free(node);
        return NULL;
    }
    if (node->type == NODE_MAP)
        check_duplicates(yaml, node);
    return node;
}

/* The stream: one document, or a mistake at the second. False: the parser failed. */
static bool parse_stream(struct yaml *yaml)
{
    for (;;) {
        yaml_event_t event;
        if (!yaml_parser_parse(&yaml->parser, &event))
            return false;
        yaml_event_type_t type = event.type;
        bool second = type == YAML_DOCUMENT_START_EVENT && yaml->root;
        if (second)
            mistake_at_mark(yaml, event.start_mark,
                            "a second document begins here; one file holds one");
        bool is_node = type == YAML_ALIAS_EVENT || type == YAML_SCALAR_EVENT ||
                       type == YAML_SEQUENCE_START_EVENT || type == YAML_MAPPING_START_EVENT;
        if (is_node)
            yaml->root = parse_node(yaml, &event, 1);
        yaml_event_delete(&event);
        if (is_node && !yaml->root)
            return false;
        if (type == YAML_STREAM_END_EVENT || second)
            return true;
    }
}

/* libyaml tells a byte that is no text by its offset only. */
static void place_of_offset(const char *text, size_t offset, int *line, int *column)
{
    *line = *column = 1;
    for (size_t i = 0; i < offset; i++) {
        if (text[i] == '\n') {
            ++*line;
            *column = 1;
        } else if (((unsigned char)text[i] & 0xc0) != 0x80) {
            ++*column;
        }
    }
}

/* Does the line hold ${ without a quote before it? In braces or brackets it ends a plain scalar. */
static bool has_bare_expression(const char *text, size_t size, size_t line)
{
    const char *at = text, *end = text + size;
    while (line-- > 0 && at < end) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        at = newline ? newline + 1 : end;
    }
    const char *newline = memchr(at, '\n', (size_t)(end - at));
    const char *found = memmem(at, (size_t)((newline ? newline : end) - at), "${", 2);
    return found && found > at && found[-1] != '"' && found[-1] != '\'';
}

static void parser_error(const struct yaml *yaml, const char *text, size_t size,
                         struct error *error)
{
    const yaml_parser_t *parser = &yaml->parser;
    const char *problem = parser->problem ? parser->problem : "not YAML";
    int line = (int)parser->problem_mark.line + 1, column = (int)parser->problem_mark.column + 1;
    if (parser->error == YAML_READER_ERROR) {
        size_t offset = parser->problem_offset < size ? parser->problem_offset : size;
        place_of_offset(text, offset, &line, &column);
        bool control = strstr(problem, "control") != NULL;
        error_set(error, ERROR_USAGE, "%s:%d:%d: %s (byte 0x%02x)", yaml->name, line, column,
                  control ? "a control character" : "not UTF-8",
                  offset < size ? (unsigned char)text[offset] : 0);
        error_hint(error, "save the file as UTF-8 text");
        return;
    }
    error_set(error, ERROR_USAGE, "%s:%d:%d: %s", yaml->name, line, column, problem);
    if (parser->context)
        error_detail(error, "%s that begins at %d:%d", parser->context,
                     (int)parser->context_mark.line + 1, (int)parser->context_mark.column + 1);
    if (strstr(problem, "expected ',' or") &&
        has_bare_expression(text, size, parser->problem_mark.line))
        error_hint(error, "what holds ${ } stands in quotes here: \"${ ... }\"");
    else if (strstr(problem, "tab") || strstr(problem, "cannot start any token"))
        error_hint(error, "indent by spaces, not tabs; put text that begins with a special "
                          "character in quotes");
}

struct yaml *yaml_load_text(const char *name, const char *text, size_t size, struct error *error)
{
    if (size > LIMIT_FILE_BYTES) {
        error_set(error, ERROR_USAGE, "%s: larger than %d KiB", name, LIMIT_FILE_BYTES / 1024);
        return NULL;
    }
    struct yaml *yaml = xcalloc(1, sizeof(*yaml));
    yaml->name = printable(name);
    CHECK(yaml_parser_initialize(&yaml->parser));
    yaml_parser_set_encoding(&yaml->parser, YAML_UTF8_ENCODING);
    yaml_parser_set_input_string(&yaml->parser, (const unsigned char *)text, size);
    bool good = parse_stream(yaml);
    if (!good && yaml->parser.error != YAML_NO_ERROR)
        parser_error(yaml, text, size, error);
    else if (!good)
        yaml_check(yaml, error); /* what stopped us is noted as a mistake */
    else if (!yaml->root) {
        error_set(error, ERROR_USAGE, "%s: the file is empty", name);
        good = false;
    }
    yaml_parser_delete(&yaml->parser);
    if (good)
        return yaml;
    yaml_free(yaml);
    return NULL;
}

/* Reads one byte more than allowed, so that yaml_load_text sees what is too large. */
static bool read_all(const char *path, int file, char *text, size_t *size, struct error *error)
{
    *size = 0;
    while (*size <= LIMIT_FILE_BYTES) {
        ssize_t got = read(file, text + *size, LIMIT_FILE_BYTES + 1 - *size);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return error_set(error, ERROR_USAGE, "%s: can't be read: %s", path, strerror(errno));
        if (got == 0)
            break;
        *size += (size_t)got;
    }
    return true;
}

struct yaml *yaml_load(const char *path, struct error *error)
{
    int file = open(path, O_RDONLY | O_CLOEXEC);
    if (file < 0) {
        error_set(error, ERROR_USAGE, "%s: can't be read: %s", path, strerror(errno));
        return NULL;
    }
    struct stat facts;
    if (fstat(file, &facts) == 0 && S_ISDIR(facts.st_mode)) {
        error_set(error, ERROR_USAGE, "%s: is a directory, not a file", path);
        close(file);
        return NULL;
    }
    char *text = xmalloc(LIMIT_FILE_BYTES + 1);
    size_t size;
    struct yaml *yaml = NULL;
    if (read_all(path, file, text, &size, error))
        yaml = yaml_load_text(path, text, size, error);
    free(text);
    close(file);
    return yaml;
}

void yaml_free(struct yaml *yaml)
{
    if (!yaml)
        return;
    for (int i = 0; i < yaml->mistake_count; i++)
        free(yaml->mistakes[i].text);
    node_free(yaml->root);
    free(yaml->name);
    free(yaml);
}

const struct yaml_node *yaml_root(const struct yaml *yaml)
{
    return yaml->root;
}
