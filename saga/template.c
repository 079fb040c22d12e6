#include "saga/template.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/plan.h"
#include "saga/reference.h"
#include "saga/token.h"

/* ---- where an expression stands ------------------------------------------------------------ */

/* The byte of a place in a text, NULL when there is none. */
static const char *byte_at(const char *text, struct saga_place place)
{
    for (int line = 1; line < place.line; line++) {
        text = strchr(text, '\n');
        if (!text)
            return NULL;
        text++;
    }
    for (int column = 1; column < place.column && *text && *text != '\n'; column++) {
        do
            text++;
        while (((unsigned char)*text & 0xc0) == 0x80);
    }
    return text;
}

/* Moves a place over a piece of text. */
static struct saga_place place_after(struct saga_place place, const char *from, const char *to)
{
    for (; from < to; from++) {
        if (*from == '\n') {
            place.line++;
            place.column = 1;
        } else if (((unsigned char)*from & 0xc0) != 0x80) {
            place.column++;
        }
    }
    return place;
}

/* Finds the n-th ${ (from 0) behind the beginning of a scalar, which YAML may have folded and
 * unescaped, and whether the source stands there as it is. */
static void locate(const struct saga_plan *plan, struct saga_expression *expression,
                   struct saga_place scalar, int n)
{
    const char *begin = byte_at(plan->text, scalar);
    expression->place = scalar;
    const char *at = begin ? strstr(begin, "${") : NULL;
    while (at && n-- > 0)
        at = strstr(at + 2, "${");
    if (!at)
        return;
    const char *source = at + 2 + strspn(at + 2, " \t\r\n");
    expression->exact = strncmp(source, expression->source, strlen(expression->source)) == 0;
    expression->place = place_after(scalar, begin, expression->exact ? source : at);
}

/* ---- one expression ------------------------------------------------------------------------ */

/* Where the text is, and which ${ of the scalar this is. */
struct spot {
    struct saga_place scalar;
    int n;
};

static struct saga_place spot_place(const struct saga_plan *plan, struct spot spot)
{
    struct saga_expression probe = {.source = ""};
    locate(plan, &probe, spot.scalar, spot.n);
    return probe.place;
}

/* The place of a byte in an expression that does not end; of its beginning when it is the last. */
static struct saga_place broken_place(const struct saga_plan *plan, struct spot spot,
                                      const char *begin, size_t offset)
{
    if (!begin[offset])
        return spot_place(plan, spot);
    struct saga_expression probe = {.source = xstrndup(begin, offset)};
    locate(plan, &probe, spot.scalar, spot.n);
    struct saga_place place = saga_expression_place(&probe, offset);
    free((char *)probe.source);
    return place;
}

/* From behind ${: adds the expression, and moves *at behind its }. SAGA_NONE with a note. */
static int take_expression(struct saga_plan *plan, const char **at, struct spot spot,
                           struct saga_findings *findings)
{
    const char *problem = NULL;
    size_t offset = 0;
    const char *begin = *at + strspn(*at, " \t\r\n");
    long size = expression_size(begin, strlen(begin), &problem, &offset);
    if (size < 0) {
        saga_mistake(findings, plan->file, broken_place(plan, spot, begin, offset), "%s", problem);
        return SAGA_NONE;
    }
    *at = begin + size + 1;
    while (size > 0 && strchr(" \t\r\n", begin[size - 1]))
        size--;
    if (size > LIMIT_SAGA_EXPRESSION_BYTES || plan->expression_count == LIMIT_SAGA_EXPRESSIONS) {
        saga_mistake(findings, plan->file, spot_place(plan, spot),
                     size > LIMIT_SAGA_EXPRESSION_BYTES ? "an expression has at most %d bytes"
                                                        : "a saga has at most %d expressions",
                     size > LIMIT_SAGA_EXPRESSION_BYTES ? LIMIT_SAGA_EXPRESSION_BYTES
                                                        : LIMIT_SAGA_EXPRESSIONS);
        return SAGA_NONE;
    }
    int index = plan_add_expression(plan);
    plan->expressions[index].source = plan_keep(plan, begin, (size_t)size);
    locate(plan, &plan->expressions[index], spot.scalar, spot.n);
    plan->expressions[index].bad = !references_collect(plan, index, findings);
    return index;
}

/* Nothing but one expression, or one that does not end: that is told when it is taken. */
static bool is_one_expression(const char *text)
{
    const char *problem;
    size_t offset;
    if (strncmp(text, "${", 2) != 0)
        return false;
    long size = expression_size(text + 2, strlen(text + 2), &problem, &offset);
    return size < 0 || !text[2 + size + 1];
}

int template_expression(struct saga_plan *plan, const char *text, struct saga_place place,
                        bool *failed, struct saga_findings *findings)
{
    if (!is_one_expression(text))
        return SAGA_NONE;
    const char *at = text + 2;
    int index = take_expression(plan, &at, (struct spot){place, 0}, findings);
    *failed = index == SAGA_NONE;
    return index;
}

bool template_has_expression(const char *text)
{
    for (const char *at = strstr(text, "${"); at; at = strstr(at + 2, "${")) {
        if (at == text || at[-1] != '$')
            return true;
    }
    return false;
}

/* ---- building ------------------------------------------------------------------------------ */

void template_begin(struct template_builder *builder, struct saga_plan *plan,
                    struct saga_findings *findings)
{
    *builder = (struct template_builder){.plan = plan, .findings = findings};
    builder->template = plan_add_template(plan);
    plan->templates[builder->template].first_piece = plan->piece_count;
}

static int add_piece(struct template_builder *builder, enum saga_piece_type type)
{
    int index = plan_add_piece(builder->plan);
    builder->plan->pieces[index].type = type;
    builder->plan->templates[builder->template].piece_count++;
    return index;
}

/* What was written so far becomes a piece. The writer goes on as if it were still there. */
static void flush(struct template_builder *builder)
{
    struct json_writer *text = &builder->text;
    if (!text->size)
        return;
    int index = add_piece(builder, SAGA_PIECE_TEXT);
    struct saga_piece *piece = &builder->plan->pieces[index];
    piece->text = plan_keep(builder->plan, text->text, text->size);
    piece->size = text->size;
    text->size = 0;
    text->text[0] = '\0';
}

int template_end(struct template_builder *builder)
{
    flush(builder);
    json_writer_fini(&builder->text);
    return builder->template;
}

/* Raw bytes, without a thought for commas. */
static void put(struct template_builder *builder, const char *text)
{
    builder->text.separator = false;
    json_raw(&builder->text, text);
}

/* Characters inside of a string. */
static void put_characters(struct template_builder *builder, const char *text, size_t size)
{
    struct json_writer quoted = {0};
    json_string_sized(&quoted, text, size);
    quoted.text[quoted.size - 1] = '\0';
    put(builder, quoted.text + 1);
    json_writer_fini(&quoted);
}

static void put_expression(struct template_builder *builder, enum saga_piece_type type, int index)
{
    flush(builder);
    int piece = add_piece(builder, type);
    builder->plan->pieces[piece].expression = index;
}

/* A string of text and expressions. */
static void build_string(struct template_builder *builder, const char *text,
                         struct saga_place place)
{
    int n = 0; /* ${ passed, in strings of expressions too */
    put(builder, "\"");
    while (*text) {
        const char *hole = strstr(text, "${");
        if (!hole) {
            put_characters(builder, text, strlen(text));
            break;
        }
        bool escaped = hole > text && hole[-1] == '$';
        put_characters(builder, text, (size_t)(hole - text) - escaped);
        const char *after = hole + 2;
        if (escaped) {
            put_characters(builder, "${", 2);
        } else {
            int index =
                take_expression(builder->plan, &after, (struct spot){place, n}, builder->findings);
            if (index == SAGA_NONE) {
                builder->failed = true;
                break;
            }
            put_expression(builder, SAGA_PIECE_INSERT, index);
        }
        for (const char *at = hole; at && at < after; at = strstr(at + 2, "${"))
            n++;
        text = after;
    }
    put(builder, "\"");
}

/* The comma that json_raw would write before a value. */
static void put_comma(struct template_builder *builder)
{
    if (builder->text.separator)
        put(builder, ",");
}

int template_text(struct template_builder *builder, const char *text, struct saga_place place)
{
    if (!strstr(text, "${")) {
        json_string(&builder->text, text);
        return SAGA_NONE;
    }
    put_comma(builder);
    bool failed = false;
    int index = template_expression(builder->plan, text, place, &failed, builder->findings);
    if (index != SAGA_NONE)
        put_expression(builder, SAGA_PIECE_VALUE, index);
    else if (!failed)
        build_string(builder, text, place);
    builder->failed = builder->failed || failed;
    builder->text.separator = true;
    return index;
}
