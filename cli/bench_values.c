#include "cli/bench_values.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/bench_generator.h"
#include "core/check.h"
#include "core/id.h"
#include "core/json.h"
#include "io/yaml_node.h"

enum { NAMES_MOST = 200 };
/* As long as any that a run comes to. */
#define SAMPLE_SEQ 1000000000000ull

/* JSON as it stands, and behind it what is made. */
struct piece {
    char *text;
    bool last;   /* nothing is made behind it */
    bool inside; /* a text: what is made stands between its quotes */
    struct generator generator;
};

struct bench_template {
    struct piece *pieces;
    int count;
};

struct bench_values {
    char *run;
    uint64_t seq, chance;
    bool sampling;
    const char *names[NAMES_MOST]; /* owned */
    struct bench_template *templates[NAMES_MOST];
    char *drawn[NAMES_MOST]; /* in this request; NULL: not yet */
    int count;
};

/* ---- writing ------------------------------------------------------------------------------- */

struct text {
    char *bytes;
    size_t size, room;
};

static void put(struct text *text, const char *bytes, size_t size)
{
    if (text->size + size + 1 > text->room) {
        text->room = 2 * (text->room + size) + 64;
        text->bytes = xrealloc(text->bytes, text->room);
    }
    memcpy(text->bytes + text->size, bytes, size);
    text->size += size;
    text->bytes[text->size] = '\0';
}

static void put_text(struct text *text, const char *bytes)
{
    put(text, bytes, strlen(bytes));
}

/* A piece of a JSON string, without its quotes. */
static void put_escaped(struct text *text, const char *bytes, size_t size)
{
    struct json_writer writer = {0};
    json_string_sized(&writer, bytes, size);
    put(text, writer.text + 1, writer.size - 2);
    json_writer_fini(&writer);
}

/* ---- reading ------------------------------------------------------------------------------- */

struct builder {
    struct bench_values *values;
    struct yaml *yaml;
    struct bench_template *template;
    struct text text; /* of the piece that is not ended yet */
};

static struct piece *end_piece(struct builder *builder)
{
    struct bench_template *template = builder->template;
    size_t size = ((size_t) template->count + 1) * sizeof(*template->pieces);
    template->pieces = xrealloc(template->pieces, size);
    struct piece *piece = &template->pieces[template->count++];
    *piece = (struct piece){.text = builder->text.bytes ? builder->text.bytes : xstrdup("")};
    builder->text = (struct text){0};
    return piece;
}

/* The } that ends an expression which begins at text; NULL: there is none. */
static const char *expression_end(const char *text)
{
    char quote = '\0';
    for (; *text; text++) {
        if (quote)
            quote = *text == quote ? '\0' : quote;
        else if (*text == '\'' || *text == '"')
            quote = *text;
        else if (*text == '}')
            return text;
    }
    return NULL;
}

/* The first ${ that is not written $${; NULL: there is none. */
static const char *expression_begin(const char *text)
{
    for (; *text; text++) {
        if (strncmp(text, "$${", 3) == 0)
            text += 2;
        else if (strncmp(text, "${", 2) == 0)
            return text;
    }
    return NULL;
}

/* Text without expressions, each $${ in it as ${. */
static void add_plain(struct builder *builder, const char *text, size_t size)
{
    const char *end = text + size;
    for (const char *at; (at = memmem(text, (size_t)(end - text), "$${", 3)) != NULL;
         text = at + 3) {
        put_escaped(&builder->text, text, (size_t)(at - text));
        put_text(&builder->text, "${");
    }
    put_escaped(&builder->text, text, (size_t)(end - text));
}

/* Adds the expression at begin ("${"). Returns what stands behind it, or NULL with a mistake. */
static const char *add_expression(struct builder *builder, const struct yaml_node *node,
                                  const char *begin, bool inside)
{
    const char *end = expression_end(begin + 2);
    generator_mistake mistake;
    if (!end) {
        yaml_mistake(builder->yaml, node, "${ is not closed by }; a literal ${ is written $${");
        return NULL;
    }
    struct piece *piece = end_piece(builder);
    piece->inside = inside;
    if (generator_parse(&piece->generator, begin + 2, (size_t)(end - begin - 2),
                        builder->values->names, builder->values->count, mistake))
        return end + 1;
    yaml_mistake(builder->yaml, node, "%.*s: %s",
                 (int)(end + 1 - begin > 60 ? 60 : end + 1 - begin), begin, mistake);
    return NULL;
}

/* {{seq}}, as others write it. */
static bool has_braces(const char *text)
{
    const char *begin = strstr(text, "{{");
    char word[40];
    if (!begin || sscanf(begin, "{{ %39[a-z_]", word) != 1)
        return false;
    return generator_word(word);
}

static void add_scalar(struct builder *builder, const struct yaml_node *node)
{
    const char *text = node->text, *begin = expression_begin(text);
    if (has_braces(text)) {
        yaml_mistake(builder->yaml, node, "a generated value is written \"${ seq }\", not {{seq}}");
        return;
    }
    if (!begin && !strstr(text, "$${")) {
        char *json = yaml_to_json(node);
        put_text(&builder->text, json);
        free(json);
        return;
    }
    const char *end = begin == text ? expression_end(begin + 2) : NULL;
    if (end && !end[1 + strspn(end + 1, " \n")]) { /* nothing else */
        add_expression(builder, node, begin, false);
        return;
    }
    put_text(&builder->text, "\"");
    for (; begin; begin = expression_begin(text)) {
        add_plain(builder, text, (size_t)(begin - text));
        text = add_expression(builder, node, begin, true);
        if (!text)
            return;
    }
    add_plain(builder, text, strlen(text));
    put_text(&builder->text, "\"");
}

/* {{seq}} without quotes is a map of a map to YAML, which it has told already; here is why. */
static bool is_braces(const struct yaml_node *map)
{
    return map->type == NODE_MAP && map->count == 1 && map->names[0]->type == NODE_MAP;
}

static void add_node(struct builder *builder, const struct yaml_node *node)
{
    if (node->type == NODE_SCALAR) {
        add_scalar(builder, node);
        return;
    }
    if (is_braces(node)) {
        yaml_mistake(builder->yaml, node, "a generated value is written \"${ seq }\", in quotes");
        return;
    }
    bool map = node->type == NODE_MAP;
    put_text(&builder->text, map ? "{" : "[");
    for (int i = 0; i < node->count; i++) {
        put_text(&builder->text, i ? "," : "");
        if (map) {
            put_text(&builder->text, "\"");
            put_escaped(&builder->text, node->names[i]->text, strlen(node->names[i]->text));
            put_text(&builder->text, "\":");
        }
        add_node(builder, node->items[i]);
    }
    put_text(&builder->text, map ? "}" : "]");
}

struct bench_template *bench_template_read(struct bench_values *values, struct yaml *yaml,
                                           const struct yaml_node *node)
{
    struct builder builder = {values, yaml, xcalloc(1, sizeof(struct bench_template)), {0}};
    add_node(&builder, node);
    end_piece(&builder)->last = true;
    return builder.template;
}

void bench_template_free(struct bench_template *template)
{
    for (int i = 0; template && i < template->count; i++) {
        free(template->pieces[i].text);
        generator_fini(&template->pieces[i].generator);
    }
    if (template)
        free(template->pieces);
    free(template);
}

bool bench_template_varies(const struct bench_template *template)
{
    return template->count > 1;
}

/* ---- the values of a file ------------------------------------------------------------------ */

struct bench_values *bench_values_new(const char *run, uint64_t seed)
{
    struct bench_values *values = xcalloc(1, sizeof(*values));
    values->run = xstrdup(run);
    values->chance = seed;
    return values;
}

static void forget_drawn(struct bench_values *values)
{
    for (int i = 0; i < values->count; i++) {
        free(values->drawn[i]);
        values->drawn[i] = NULL;
    }
}

void bench_values_free(struct bench_values *values)
{
    forget_drawn(values);
    for (int i = 0; i < values->count; i++) {
        bench_template_free(values->templates[i]);
        free((char *)values->names[i]);
    }
    free(values->run);
    free(values);
}

static void add_value(struct bench_values *values, struct yaml *yaml, const struct yaml_node *name,
                      const struct yaml_node *value)
{
    if (!word_valid(name->text) || generator_word(name->text)) {
        yaml_mistake(yaml, name, "\"%.60s\" can't be the name of a value%s", name->text,
                     generator_word(name->text) ? ": it means something already"
                                                : ": letters, digits and _");
        return;
    }
    if (value->type != NODE_SCALAR) {
        yaml_mistake(yaml, value, "%s: expected a text or a number, which may hold ${ }",
                     name->text);
        return;
    }
    struct bench_template *template = bench_template_read(values, yaml, value);
    values->names[values->count] = xstrdup(name->text);
    values->templates[values->count++] = template;
}

void bench_values_read(struct bench_values *values, struct yaml *yaml, const struct yaml_node *map)
{
    if (map->type != NODE_MAP) {
        yaml_mistake(yaml, map, "values: expected a map (name: value)");
        return;
    }
    for (int i = 0; i < map->count; i++) {
        if (values->count == NAMES_MOST) {
            yaml_mistake(yaml, map->names[i], "more than %d values", NAMES_MOST);
            return;
        }
        if (map->names[i]->type == NODE_SCALAR)
            add_value(values, yaml, map->names[i], map->items[i]);
    }
}

void bench_values_next(struct bench_values *values)
{
    forget_drawn(values);
    values->sampling = false;
    values->seq++;
}

void bench_values_sample(struct bench_values *values)
{
    forget_drawn(values);
    values->sampling = true;
}

const char *bench_values_run(const struct bench_values *values)
{
    return values->run;
}

/* ---- drawing ------------------------------------------------------------------------------- */

/* splitmix64. */
static uint64_t chance(struct bench_values *values)
{
    uint64_t bits = values->chance += 0x9e3779b97f4a7c15ull;
    bits = (bits ^ (bits >> 30)) * 0xbf58476d1ce4e5b9ull;
    bits = (bits ^ (bits >> 27)) * 0x94d049bb133111ebull;
    return bits ^ (bits >> 31);
}

/* Version 4: by chance. */
static void put_uuid(struct text *out, struct bench_values *values)
{
    char text[40];
    uint64_t a = chance(values), b = chance(values);
    snprintf(text, sizeof(text), "%08x-%04x-4%03x-%04x-%012" PRIx64, (unsigned)(a >> 32),
             (unsigned)(a >> 16 & 0xffff), (unsigned)(a & 0xfff),
             (unsigned)(0x8000 | (b >> 48 & 0x3fff)), b & 0xffffffffffff);
    put_text(out, text);
}

static void put_number(struct text *out, int64_t number, int decimals)
{
    char text[48];
    int64_t unit = 1;
    for (int i = 0; i < decimals; i++)
        unit *= 10;
    uint64_t size = number < 0 ? 0 - (uint64_t)number : (uint64_t)number;
    snprintf(text, sizeof(text), "%s%" PRIu64, number < 0 ? "-" : "", size / (uint64_t)unit);
    put_text(out, text);
    if (decimals) {
        snprintf(text, sizeof(text), ".%0*" PRIu64, decimals, size % (uint64_t)unit);
        put_text(out, text);
    }
}

static int64_t number_of(struct bench_values *values, struct generator *generator)
{
    uint64_t span = (uint64_t)(generator->high - generator->low) + 1;
    bool cycle = generator->kind == GENERATOR_CYCLE;
    uint64_t step = cycle ? generator->next % span : chance(values) % span;
    if (values->sampling)
        step = span - 1;
    else
        generator->next += cycle;
    return generator->low + (int64_t)step;
}

static const char *named_of(struct bench_values *values, int index)
{
    if (!values->drawn[index])
        values->drawn[index] = bench_template_draw(values->templates[index], values);
    return values->drawn[index];
}

/* As JSON. */
static void make(struct text *out, struct bench_values *values, struct generator *generator)
{
    switch (generator->kind) {
    case GENERATOR_SEQ:
        put_number(out, (int64_t)(values->sampling ? SAMPLE_SEQ : values->seq), 0);
        break;
    case GENERATOR_RUN:
        put_text(out, "\"");
        put_text(out, values->run);
        put_text(out, "\"");
        break;
    case GENERATOR_UUID:
        put_text(out, "\"");
        put_uuid(out, values);
        put_text(out, "\"");
        break;
    case GENERATOR_RANDOM:
    case GENERATOR_CYCLE:
        put_number(out, number_of(values, generator), generator->decimals);
        break;
    case GENERATOR_PICK:
        put_text(out, generator->items[chance(values) % (uint64_t)generator->item_count]);
        break;
    case GENERATOR_NAMED:
        put_text(out, named_of(values, generator->named));
        break;
    }
}

static void put_made(struct text *out, struct bench_values *values, struct piece *piece)
{
    struct text made = {0};
    make(&made, values, &piece->generator);
    bool is_text = made.bytes[0] == '"';
    bool quotes = piece->generator.text && !piece->inside && !is_text;
    put_text(out, quotes ? "\"" : "");
    if (is_text && piece->inside)
        put(out, made.bytes + 1, made.size - 2);
    else
        put(out, made.bytes, made.size);
    put_text(out, quotes ? "\"" : "");
    free(made.bytes);
}

char *bench_template_draw(struct bench_template *template, struct bench_values *values)
{
    struct text out = {0};
    for (int i = 0; i < template->count; i++) {
        put_text(&out, template->pieces[i].text);
        if (!template->pieces[i].last)
            put_made(&out, values, &template->pieces[i]);
    }
    return out.bytes;
}

char *bench_template_draw_text(struct bench_template *template, struct bench_values *values)
{
    char *drawn = bench_template_draw(template, values);
    struct json *json = json_parse(drawn, strlen(drawn), NULL);
    char *text = xstrdup(json && json->text ? json->text : drawn);
    json_free(json);
    free(drawn);
    return text;
}
