#include "saga/program.h"

#include <jq.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/builtin.h"
#include "saga/program_run.h"

struct saga_program {
    jq_state *jq;
};

/* ---- the text ------------------------------------------------------------------------------ */

/* The program while it is put together, and the lines on which each expression stands: that is how
 * a message of jq's finds its expression. */
struct source {
    const struct saga_plan *plan;
    const bool *good;
    char *text;
    size_t size, room;
    int line;
    int *first_line, *last_line; /* of each expression */
};

static void put(struct source *source, const char *text)
{
    size_t size = strlen(text);
    if (source->size + size + 1 > source->room) {
        source->room = 2 * (source->size + size + 1);
        source->text = xrealloc(source->text, source->room);
    }
    memcpy(source->text + source->size, text, size + 1);
    source->size += size;
    for (const char *at = text; *at; at++)
        source->line += *at == '\n';
}

static void put_expression(struct source *source, int index)
{
    put(source, "(.d | (\n");
    source->first_line[index] = source->line;
    put(source, source->good[index] ? source->plan->expressions[index].source : "null");
    put(source, "\n");
    source->last_line[index] = source->line; /* with the ) that jq may stumble over */
    put(source, "))");
}

/* Expressions from low up to high, chosen by halves: the last is as near as the first. */
static void put_choice(struct source *source, int low, int high)
{
    if (high - low == 1) {
        put_expression(source, low);
        return;
    }
    int middle = low + (high - low) / 2;
    char number[40];
    snprintf(number, sizeof(number), "if .i < %d then ", middle);
    put(source, number);
    put_choice(source, low, middle);
    put(source, " else ");
    put_choice(source, middle, high);
    put(source, " end");
}

/* ---- what jq says -------------------------------------------------------------------------- */

/* Messages of one compilation, by expression. */
struct complaints {
    const struct source *source;
    char **texts;  /* one an expression, or NULL */
    char *outside; /* a message that belongs to none */
    bool fresh;    /* this compilation found something new */
};

static int expression_at(const struct source *source, int line)
{
    for (int i = 0; i < source->plan->expression_count; i++) {
        if (line >= source->first_line[i] && line <= source->last_line[i])
            return i;
    }
    return SAGA_NONE;
}

/* What jq says, and how it is told. Longer words first where one is part of another. */
static const char *const plain_words[][2] = {
    {"jq: error: ", ""},
    {" (Unix shell quoting issues?)", ""},
    {"QQSTRING_START", "a text in quotes"},
    {"LITERAL", "a number"},
    {"FIELD", "a path"},
    {"IDENT", "a word"},
    {"FORMAT", "a format"},
    {"INVALID_CHARACTER", "a character that means nothing here"},
};

static void replace(char **text, const char *from, const char *to)
{
    char *at = strstr(*text, from);
    if (!at)
        return;
    char *after = xasprintf("%.*s%s%s", (int)(at - *text), *text, to, at + strlen(from));
    free(*text);
    *text = after;
}

/* "jq: error: syntax error, unexpected IDENT (Unix shell quoting issues?) at <top-level>, line 2:"
 * as a person reads it. closing: it is about the ) that we put behind the expression. A new text.
 */
static char *clean_message(const char *text, const char *end, bool closing)
{
    if (strncmp(text, "jq: error: Possibly unterminated 'if'", 37) == 0)
        return xstrdup("an if needs then, else and end");
    if (closing && strstr(text, "unexpected ')'"))
        return xstrdup("it ends where something is missing");
    char *clean = xstrndup(text, (size_t)(end - text));
    for (size_t i = 0; i < sizeof(plain_words) / sizeof(plain_words[0]); i++)
        replace(&clean, plain_words[i][0], plain_words[i][1]);
    char *cut = strstr(clean, " (while parsing");
    if (cut)
        *cut = '\0';
    return clean;
}

static void on_message(void *self, jv value)
{
    static const char place[] = " at <top-level>, line ";
    struct complaints *complaints = self;
    jv formatted = jq_format_error(value);
    const char *text = jv_string_value(formatted), *at = strstr(text, place);
    if (at) {
        int line = atoi(at + strlen(place)) - 1;
        int index = expression_at(complaints->source, line);
        bool unterminated = strstr(text, "Possibly unterminated") != NULL;
        if (index != SAGA_NONE && (!complaints->texts[index] || unterminated)) {
            free(complaints->texts[index]);
            complaints->texts[index] =
                clean_message(text, at, line == complaints->source->last_line[index]);
            complaints->fresh = true;
        }
    } else if (!complaints->outside && !strstr(text, "compile error")) {
        complaints->outside = clean_message(text, text + strlen(text), false);
    }
    jv_free(formatted);
}

/* ---- compiling ----------------------------------------------------------------------------- */

/* jq loads the file .jq of $HOME into every program. What a saga computes must not depend on whose
 * home it is, so there is none meanwhile: the variable is hidden, not removed, which leaves the
 * environment in one piece for other threads. */
static char **hide_home(void)
{
    extern char **environ;
    for (char **at = environ; at && *at; at++) {
        if (strncmp(*at, "HOME=", 5) == 0)
            return at;
    }
    return NULL;
}

static bool compile(jq_state *jq, const char *text)
{
    static char nothing[] = "TROTH_HOME=";
    char **home = hide_home(), *kept = home ? *home : NULL;
    if (home)
        *home = nothing;
    bool compiled = jq_compile(jq, text) != 0;
    if (home)
        *home = kept;
    return compiled;
}

/* One attempt, with the expressions that are good as far as is known. */
static jq_state *attempt(const struct saga_plan *plan, const bool *good,
                         struct complaints *complaints)
{
    struct source source = {.plan = plan, .good = good};
    size_t count = (size_t)plan->expression_count;
    source.first_line = xcalloc(count, sizeof(int));
    source.last_line = xcalloc(count, sizeof(int));
    put(&source, builtin_prelude);
    put_choice(&source, 0, plan->expression_count);
    complaints->source = &source;
    complaints->fresh = false;
    jq_state *jq = jq_init();
    CHECK(jq != NULL);
    jq_set_error_cb(jq, on_message, complaints);
    if (!compile(jq, source.text))
        jq_teardown(&jq);
    else
        jq_set_error_cb(jq, NULL, NULL);
    complaints->source = NULL;
    free(source.text);
    free(source.first_line);
    free(source.last_line);
    return jq;
}

/* Notes what was found, and frees it. */
static void report(const struct saga_plan *plan, struct complaints *complaints, bool compiled,
                   struct saga_findings *findings)
{
    for (int i = 0; i < plan->expression_count; i++) {
        if (complaints->texts[i])
            saga_mistake(findings, plan->file, plan->expressions[i].place,
                         "not a jq expression: %s", complaints->texts[i]);
        free(complaints->texts[i]);
    }
    if (!compiled)
        saga_mistake(findings, plan->file, plan->place, "the expressions can't be compiled: %s",
                     complaints->outside ? complaints->outside : "jq does not say why");
    free(complaints->texts);
    free(complaints->outside);
}

struct saga_program *saga_program_compile(const struct saga_plan *plan,
                                          struct saga_findings *findings)
{
    size_t count = (size_t)plan->expression_count;
    if (!count)
        return NULL;
    struct complaints complaints = {.texts = xcalloc(count, sizeof(char *))};
    bool *good = xcalloc(count, sizeof(bool)), all_good = true;
    for (size_t i = 0; i < count; i++) {
        good[i] = !plan->expressions[i].bad;
        all_good = all_good && good[i];
    }
    /* jq stops at the first kind of mistake: without those the next kind shows. */
    jq_state *jq = attempt(plan, good, &complaints);
    while (!jq && complaints.fresh) {
        for (size_t i = 0; i < count; i++)
            good[i] = good[i] && !complaints.texts[i];
        all_good = false;
        jq = attempt(plan, good, &complaints);
    }
    report(plan, &complaints, jq != NULL, findings);
    free(good);
    if (jq && !all_good)
        jq_teardown(&jq);
    if (!jq)
        return NULL;
    struct saga_program *program = xcalloc(1, sizeof(*program));
    program->jq = jq;
    return program;
}

void saga_program_free(struct saga_program *program)
{
    if (!program)
        return;
    jq_teardown(&program->jq);
    free(program);
}

/* ---- running ------------------------------------------------------------------------------- */

/* jq must not be stopped while there may be further results: in the middle of path() that would end
 * the process. So all are asked for; there is an end to them, and all but the first are dropped. */
jv program_run(struct saga_program *program, int expression, jv scope)
{
    jv input = jv_object_set(jv_object(), jv_string("i"), jv_number(expression));
    jq_start(program->jq, jv_object_set(input, jv_string("d"), scope), 0);
    jv result = jq_next(program->jq);
    for (bool more = jv_is_valid(result); more;) {
        jv dropped = jq_next(program->jq);
        more = jv_is_valid(dropped);
        jv_free(dropped);
    }
    jq_start(program->jq, jv_null(), 0); /* so that it keeps nothing of this scope */
    return result;
}
