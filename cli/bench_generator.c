#include "cli/bench_generator.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/error.h"
#include "core/json.h"
#include "core/limits.h"

enum { ITEMS_MOST = 1000, DECIMALS_MOST = 6, DIGITS_MOST = 15 };

/* The text, as far as it was read. */
struct reader {
    const char *at, *end;
    const char *const *names;
    int name_count;
    char *mistake;
};

/* What stands in brackets, between commas. */
struct item {
    char *text;
    bool quoted;
};

static bool wrong(struct reader *reader, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

static bool wrong(struct reader *reader, const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(reader->mistake, sizeof(generator_mistake), format, arguments);
    va_end(arguments);
    return false;
}

static void skip_spaces(struct reader *reader)
{
    while (reader->at < reader->end && isspace((unsigned char)*reader->at))
        reader->at++;
}

static bool take(struct reader *reader, char character)
{
    skip_spaces(reader);
    if (reader->at == reader->end || *reader->at != character)
        return false;
    reader->at++;
    return true;
}

/* ---- words --------------------------------------------------------------------------------- */

static const struct {
    const char *name;
    enum generator_kind kind;
    bool brackets;
    const char *example;
} words[] = {
    {"seq", GENERATOR_SEQ, false, "seq"},
    {"run", GENERATOR_RUN, false, "run"},
    {"uuid", GENERATOR_UUID, false, "uuid"},
    {"random", GENERATOR_RANDOM, true, "random(1, 100)"},
    {"cycle", GENERATOR_CYCLE, true, "cycle(1, 100)"},
    {"pick", GENERATOR_PICK, true, "pick(ada, bob)"},
};
enum { WORDS = sizeof(words) / sizeof(words[0]) };

bool generator_word(const char *name)
{
    for (int i = 0; i < WORDS; i++) {
        if (strcmp(words[i].name, name) == 0)
            return true;
    }
    return strcmp(name, "text") == 0;
}

static bool unknown_word(struct reader *reader, const char *word)
{
    const char **known = xcalloc((size_t)(WORDS + 1 + reader->name_count), sizeof(*known));
    int count = 0;
    for (; count < WORDS; count++)
        known[count] = words[count].name;
    known[count++] = "text";
    for (int i = 0; i < reader->name_count; i++)
        known[count++] = reader->names[i];
    const char *near = error_nearest(word, known, count);
    if (near)
        wrong(reader, "there is no \"%.60s\"; did you mean \"%s\"?", word, near);
    else
        wrong(reader,
              "there is no \"%.60s\": seq, run, uuid, random(1, 100), cycle(1, 100), "
              "pick(ada, bob), text(seq), or a name of `values` above",
              word);
    free(known);
    return false;
}

static bool read_word(struct reader *reader, char word[LIMIT_WORD_BYTES + 1])
{
    skip_spaces(reader);
    const char *from = reader->at;
    while (reader->at < reader->end && (isalnum((unsigned char)*reader->at) || *reader->at == '_'))
        reader->at++;
    size_t size = (size_t)(reader->at - from);
    if (size == 0 && reader->at < reader->end && *reader->at == '.')
        return wrong(reader, "a path with dots is a saga's; here are seq, run, uuid, random, "
                             "cycle, pick, and the names of `values`");
    if (size == 0 || size > LIMIT_WORD_BYTES)
        return wrong(reader, "expected seq, run, uuid, random(1, 100), cycle(1, 100) or "
                             "pick(ada, bob) between ${ and }");
    memcpy(word, from, size);
    word[size] = '\0';
    return true;
}

/* ---- what stands in brackets --------------------------------------------------------------- */

static bool read_quoted(struct reader *reader, struct item *item)
{
    char quote = *reader->at++;
    char *out = xmalloc((size_t)(reader->end - reader->at) + 1);
    size_t size = 0;
    item->text = out;
    item->quoted = true;
    while (reader->at < reader->end) {
        bool doubled =
            reader->at[0] == quote && reader->at + 1 < reader->end && reader->at[1] == quote;
        if (*reader->at == quote && !doubled) {
            reader->at++;
            out[size] = '\0';
            return true;
        }
        out[size++] = *reader->at;
        reader->at += doubled ? 2 : 1;
    }
    out[size] = '\0';
    return wrong(reader, "a quote %c is not closed", quote);
}

static bool read_item(struct reader *reader, struct item *item)
{
    skip_spaces(reader);
    if (reader->at < reader->end && (*reader->at == '\'' || *reader->at == '"'))
        return read_quoted(reader, item);
    const char *from = reader->at;
    while (reader->at < reader->end && *reader->at != ',' && *reader->at != ')')
        reader->at++;
    const char *to = reader->at;
    while (to > from && isspace((unsigned char)to[-1]))
        to--;
    item->text = xstrndup(from, (size_t)(to - from));
    return to > from || wrong(reader, "a value is missing; an empty text is ''");
}

static void free_items(struct item *items, int count)
{
    for (int i = 0; i < count; i++)
        free(items[i].text);
    free(items);
}

/* From behind the opening bracket to behind the closing one. */
static bool read_items(struct reader *reader, struct item **items, int *count)
{
    do {
        if (*count == ITEMS_MOST)
            return wrong(reader, "more than %d values to pick from", ITEMS_MOST);
        *items = xrealloc(*items, ((size_t)*count + 1) * sizeof(**items));
        struct item *item = &(*items)[(*count)++];
        *item = (struct item){0};
        if (!read_item(reader, item))
            return false;
    } while (take(reader, ','));
    return take(reader, ')') || wrong(reader, "a bracket ) is missing");
}

/* ---- bounds -------------------------------------------------------------------------------- */

/* -12.50: its digits as a number, and how many of them stand behind the point. */
static bool read_decimal(const struct item *item, int64_t *digits, int *decimals)
{
    const char *at = item->text;
    bool negative = *at == '-';
    int count = 0, behind = -1;
    *digits = 0;
    for (at += negative; *at; at++) {
        if (*at == '.' && behind < 0 && count) {
            behind = 0;
        } else if (!isdigit((unsigned char)*at) || ++count > DIGITS_MOST) {
            return false;
        } else {
            *digits = *digits * 10 + (*at - '0');
            behind += behind >= 0;
        }
    }
    *decimals = behind > 0 ? behind : 0;
    *digits = negative ? -*digits : *digits;
    return count && behind != 0 && *decimals <= DECIMALS_MOST && !item->quoted;
}

static bool scale(int64_t *value, int by)
{
    while (by-- > 0) {
        if (__builtin_mul_overflow(*value, (int64_t)10, value))
            return false;
    }
    return true;
}

static bool take_bounds(struct reader *reader, struct generator *generator, const char *word,
                        const struct item *items, int count)
{
    int decimals[2];
    int64_t bounds[2];
    if (count != 2)
        return wrong(reader, "%s takes the lowest and the highest number, as %s(1, 100)", word,
                     word);
    for (int i = 0; i < 2; i++) {
        if (!read_decimal(&items[i], &bounds[i], &decimals[i]))
            return wrong(reader,
                         "%s: \"%.40s\" is not a number such as 100 or 9.99, of at most %d digits "
                         "and %d behind the point",
                         word, items[i].text, DIGITS_MOST, DECIMALS_MOST);
    }
    generator->decimals = decimals[0] > decimals[1] ? decimals[0] : decimals[1];
    int64_t span;
    if (!scale(&bounds[0], generator->decimals - decimals[0]) ||
        !scale(&bounds[1], generator->decimals - decimals[1]) ||
        __builtin_sub_overflow(bounds[1], bounds[0], &span) || span == INT64_MAX)
        return wrong(reader, "%s: the numbers have too many digits", word);
    if (span < 0)
        return wrong(reader, "%s: %.40s is more than %.40s; the lower one comes first", word,
                     items[0].text, items[1].text);
    generator->low = bounds[0];
    generator->high = bounds[1];
    return true;
}

/* ---- items --------------------------------------------------------------------------------- */

/* As YAML has it: what looks like a number, true, false or null is that, unless it is quoted. */
static char *json_of(const struct item *item)
{
    struct json_writer writer = {0};
    struct json *json = item->quoted ? NULL : json_parse(item->text, strlen(item->text), NULL);
    if (json && json->type != JSON_STRING)
        json_raw(&writer, item->text);
    else
        json_string(&writer, item->text);
    json_free(json);
    return writer.text;
}

static bool take_items(struct generator *generator, const struct item *items, int count)
{
    generator->items = xcalloc((size_t)count, sizeof(*generator->items));
    for (int i = 0; i < count; i++)
        generator->items[generator->item_count++] = json_of(&items[i]);
    return true;
}

static bool read_brackets(struct reader *reader, struct generator *generator, int word)
{
    struct item *items = NULL;
    int count = 0;
    bool good = read_items(reader, &items, &count);
    if (good && generator->kind == GENERATOR_PICK)
        good = take_items(generator, items, count);
    else if (good)
        good = take_bounds(reader, generator, words[word].name, items, count);
    free_items(items, count);
    return good;
}

/* ---- the whole ----------------------------------------------------------------------------- */

static bool read_generator(struct reader *reader, struct generator *generator);

static bool read_text(struct reader *reader, struct generator *generator)
{
    if (generator->text || !take(reader, '('))
        return wrong(reader, "text takes one value, as text(seq)");
    generator->text = true;
    return read_generator(reader, generator) &&
           (take(reader, ')') || wrong(reader, "a bracket ) is missing"));
}

static bool read_generator(struct reader *reader, struct generator *generator)
{
    char word[LIMIT_WORD_BYTES + 1];
    if (!read_word(reader, word))
        return false;
    if (strcmp(word, "text") == 0)
        return read_text(reader, generator);
    for (int i = 0; i < WORDS; i++) {
        if (strcmp(words[i].name, word) != 0)
            continue;
        generator->kind = words[i].kind;
        bool open = take(reader, '(');
        if (open != words[i].brackets)
            return wrong(reader, "%s %s; it is written %s", word,
                         open ? "takes nothing in brackets" : "needs its values in brackets",
                         words[i].example);
        return !open || read_brackets(reader, generator, i);
    }
    for (int i = 0; i < reader->name_count; i++) {
        if (strcmp(reader->names[i], word) == 0) {
            generator->kind = GENERATOR_NAMED;
            generator->named = i;
            return true;
        }
    }
    return unknown_word(reader, word);
}

bool generator_parse(struct generator *generator, const char *text, size_t size,
                     const char *const *names, int name_count, generator_mistake mistake)
{
    struct reader reader = {text, text + size, names, name_count, mistake};
    if (!read_generator(&reader, generator))
        return false;
    skip_spaces(&reader);
    if (reader.at == reader.end)
        return true;
    return wrong(&reader, "\"%.*s\" is too much; one value stands between ${ and }",
                 (int)(reader.end - reader.at < 60 ? reader.end - reader.at : 60), reader.at);
}

void generator_fini(struct generator *generator)
{
    for (int i = 0; i < generator->item_count; i++)
        free(generator->items[i]);
    free(generator->items);
    *generator = (struct generator){0};
}
