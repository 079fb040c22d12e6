#include "saga/reference.h"

#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "saga/builtin.h"
#include "saga/plan.h"
#include "saga/token.h"

/* What `.` is. */
enum context {
    CONTEXT_SCOPE, /* the scope of the expression */
    CONTEXT_MAYBE, /* the scope or some other value */
    CONTEXT_OTHER, /* some other value */
};

/* What is open around a word: brackets, a text with something put in, if ... end. */
struct group {
    char open;
    enum context outer, here; /* at its beginning, and at this word */
    bool key;                 /* { : a key comes next */
    bool binds;               /* after `as` or `label`: the next | leaves `.` as it is */
    bool folds;               /* after reduce or foreach: ( after `as` is the body */
    bool body;                /* ( : of reduce or foreach; behind the first ; `.` is another */
};

struct walk {
    struct saga_plan *plan;
    int expression;
    struct saga_findings *findings;
    struct tokenizer tokenizer;
    struct token token, next;
    struct group groups[2 * LIMIT_SAGA_NESTING + 2];
    int depth;
    bool after_term; /* the word before ends a value: .name is a member of it */
    bool guarded;
    bool defines; /* there is a `def`: what it defines is not told as unknown as well */
    bool good;
};

enum { GROUPS = sizeof(((struct walk *)0)->groups) / sizeof(struct group) };

static struct group *top(struct walk *walk)
{
    return &walk->groups[walk->depth];
}

static void advance(struct walk *walk)
{
    walk->token = walk->next;
    if (walk->next.type != TOKEN_END && walk->next.type != TOKEN_BAD)
        walk->next = token_next(&walk->tokenizer);
}

static struct saga_place place_at(const struct walk *walk, size_t offset)
{
    return saga_expression_place(&walk->plan->expressions[walk->expression], offset);
}

#define COMPLAIN(walk, at, ...)                                                                    \
    (saga_mistake((walk)->findings, (walk)->plan->file, place_at(walk, (at).offset), __VA_ARGS__), \
     (walk)->good = false)

static void push(struct walk *walk, char open, enum context context)
{
    if (walk->depth + 1 == GROUPS) {
        COMPLAIN(walk, walk->token, "brackets are nested too deep");
        return;
    }
    walk->groups[++walk->depth] =
        (struct group){.open = open, .outer = context, .here = context, .key = open == '{'};
}

static void pop(struct walk *walk)
{
    if (walk->depth)
        walk->depth--;
}

/* ---- paths --------------------------------------------------------------------------------- */

static int add_reference(struct walk *walk, enum saga_root root, size_t offset)
{
    struct saga_plan *plan = walk->plan;
    int index = plan_add_reference(plan);
    struct saga_reference *reference = &plan->references[index];
    reference->root = root;
    reference->offset = offset;
    reference->first_member = plan->member_count;
    reference->certain = top(walk)->here == CONTEXT_SCOPE;
    plan->expressions[walk->expression].reference_count++;
    return index;
}

/* Something looks at `.` as a whole. */
static void uses_dot(struct walk *walk, size_t offset)
{
    if (top(walk)->here != CONTEXT_OTHER)
        add_reference(walk, SAGA_ROOT_ALL, offset);
}

static enum saga_root root_of(const char *name)
{
    static const struct {
        const char *name;
        enum saga_root root;
    } roots[] = {
        {"input", SAGA_ROOT_INPUT}, {"steps", SAGA_ROOT_STEPS}, {"result", SAGA_ROOT_RESULT},
        {"item", SAGA_ROOT_ITEM},   {"index", SAGA_ROOT_INDEX}, {"saga", SAGA_ROOT_SAGA},
    };
    for (size_t i = 0; i < sizeof(roots) / sizeof(roots[0]); i++) {
        if (strcmp(name, roots[i].name) == 0)
            return roots[i].root;
    }
    return SAGA_ROOT_UNKNOWN;
}

/* A path while it is read. */
struct path {
    struct saga_member members[LIMIT_SAGA_NESTING];
    int count;
    bool cut; /* it goes on with something computed, or with more than is kept */
};

static void path_add(struct path *path, const char *name, long index)
{
    if (path->cut)
        return;
    path->cut = path->count == LIMIT_SAGA_NESTING;
    if (!path->cut)
        path->members[path->count++] = (struct saga_member){name, index};
}

/* A text with escapes is not taken apart here: it counts as computed. */
static bool plain(const struct token *token)
{
    return token->type == TOKEN_STRING && !memchr(token->text, '\\', token->size);
}

static const char *keep(struct walk *walk, const struct token *token)
{
    return plan_keep(walk->plan, token->text, token->size);
}

/* An index that a list can have, exactly as written. */
static bool index_of(const struct token *token, bool negative, long *index)
{
    if (token->type != TOKEN_NUMBER || token->size > 9 || memchr(token->text, '.', token->size) ||
        memchr(token->text, 'e', token->size) || memchr(token->text, 'E', token->size))
        return false;
    *index = strtol(token->text, NULL, 10) * (negative ? -1 : 1);
    return true;
}

/* [ is walk->next. When what it holds is fixed, takes it and the ]; else it stays, and the path is
 * cut. */
static bool take_brackets(struct walk *walk, struct path *path)
{
    struct walk before = *walk;
    advance(walk);
    bool negative = token_is(&walk->next, TOKEN_OPERATOR, "-");
    if (negative)
        advance(walk);
    advance(walk);
    long index = 0;
    bool name = !negative && plain(&walk->token), number = index_of(&walk->token, negative, &index);
    if ((name || number) && token_is(&walk->next, TOKEN_CLOSE, "]")) {
        path_add(path, name ? keep(walk, &walk->token) : NULL, index);
        advance(walk);
        return true;
    }
    *walk = before;
    path->cut = true;
    return false;
}

/* The members that follow the word just taken. */
static void take_members(struct walk *walk, struct path *path, bool dot_before)
{
    for (;; dot_before = false) {
        if (walk->next.type == TOKEN_FIELD) {
            advance(walk);
            path_add(path, keep(walk, &walk->token), 0);
        } else if (token_is(&walk->next, TOKEN_OPEN, "[")) {
            if (!take_brackets(walk, path))
                return;
        } else if (dot_before && plain(&walk->next)) {
            advance(walk);
            path_add(path, keep(walk, &walk->token), 0);
        } else if (walk->next.type == TOKEN_DOT) {
            struct walk before = *walk;
            advance(walk);
            if (!plain(&walk->next)) {
                *walk = before;
                path->cut = true;
                return;
            }
            advance(walk);
            path_add(path, keep(walk, &walk->token), 0);
        } else {
            path->cut = path->cut || token_is(&walk->next, TOKEN_OPERATOR, "?") ||
                        walk->next.type == TOKEN_STRING_OPEN;
            return;
        }
    }
}

/* Notes a whole path: its root, the step's name, and the members below. */
static void note_path(struct walk *walk, const struct path *path, size_t offset)
{
    struct saga_plan *plan = walk->plan;
    const char *first = path->count ? path->members[0].name : NULL;
    if (!first) {
        uses_dot(walk, offset);
        return;
    }
    enum saga_root root = root_of(first);
    if (root == SAGA_ROOT_UNKNOWN && top(walk)->here != CONTEXT_SCOPE)
        return;
    int index = add_reference(walk, root, offset), used = 1;
    const char *name = root == SAGA_ROOT_STEPS ? NULL : first;
    if (root == SAGA_ROOT_STEPS && path->count > 1 && path->members[1].name) {
        name = path->members[1].name;
        used = 2;
    }
    plan->references[index].name = name;
    for (int i = used; i < path->count && name; i++) {
        int member = plan_add_member(plan);
        plan->members[member] = path->members[i];
        plan->references[index].member_count++;
    }
}

/* At . or .name where a value begins. */
static void take_path(struct walk *walk)
{
    size_t offset = walk->token.offset;
    struct path path = {0};
    if (walk->token.type == TOKEN_FIELD)
        path_add(&path, keep(walk, &walk->token), 0);
    bool whole = offset == 0;
    take_members(walk, &path, walk->token.type == TOKEN_DOT);
    note_path(walk, &path, offset);
    walk->after_term = true;
    struct saga_expression *expression = &walk->plan->expressions[walk->expression];
    if (!whole || path.cut || walk->next.type != TOKEN_END || expression->reference_count != 1)
        return;
    const struct saga_reference *only = &walk->plan->references[expression->first_reference];
    expression->is_path =
        only->root != SAGA_ROOT_ALL && only->root != SAGA_ROOT_UNKNOWN && only->name;
}

/* ---- words --------------------------------------------------------------------------------- */

static void take_function(struct walk *walk)
{
    const struct token *token = &walk->token;
    bool arguments = token_is(&walk->next, TOKEN_OPEN, "(");
    const char *why;
    enum builtin_use use = builtin_look(token->text, token->size, arguments, &why);
    int size = token->size < 60 ? (int)token->size : 60;
    if (use == BUILTIN_REFUSED)
        COMPLAIN(walk, *token, "%.*s may not be used in an expression: %s", size, token->text, why);
    if (use == BUILTIN_UNKNOWN && walk->defines)
        walk->good = false;
    else if (use == BUILTIN_UNKNOWN && why)
        COMPLAIN(walk, *token, "there is no function %.*s; did you mean %s?", size, token->text,
                 why);
    else if (use == BUILTIN_UNKNOWN)
        COMPLAIN(walk, *token,
                 "there is no function %.*s; a text needs quotes, a path begins with a dot", size,
                 token->text);
    walk->guarded = walk->guarded || token_is(token, TOKEN_WORD, "select");
    walk->after_term = true;
    enum context here = top(walk)->here;
    if (use != BUILTIN_PASSES_DOT)
        uses_dot(walk, token->offset);
    if (!arguments)
        return;
    advance(walk);
    push(walk, '(', use == BUILTIN_PASSES_DOT || here == CONTEXT_OTHER ? here : CONTEXT_MAYBE);
    walk->after_term = false;
}

/* A word in an object where a key stands: {name: value}, or {name} for {name: .name}. */
static void take_key(struct walk *walk)
{
    top(walk)->key = false;
    walk->after_term = true;
    if (token_is(&walk->next, TOKEN_OPERATOR, ":"))
        return;
    struct path path = {0};
    path_add(&path, keep(walk, &walk->token), 0);
    note_path(walk, &path, walk->token.offset);
}

static void take_keyword(struct walk *walk)
{
    const struct token *token = &walk->token;
    struct group *group = top(walk);
    const char *why = keyword_refused(token->text, token->size);
    if (why)
        COMPLAIN(walk, *token, "%.*s may not be used in an expression: %s", (int)token->size,
                 token->text, why);
    walk->defines = walk->defines || token_is(token, TOKEN_KEYWORD, "def");
    walk->after_term = false;
    if (token_is(token, TOKEN_KEYWORD, "if")) {
        walk->guarded = true;
        push(walk, 'i', group->here);
    } else if (token_is(token, TOKEN_KEYWORD, "then") || token_is(token, TOKEN_KEYWORD, "else") ||
               token_is(token, TOKEN_KEYWORD, "elif")) {
        group->here = group->outer;
        group->binds = false;
    } else if (token_is(token, TOKEN_KEYWORD, "end")) {
        if (group->open == 'i')
            pop(walk);
        walk->after_term = true;
    } else if (token_is(token, TOKEN_KEYWORD, "reduce") ||
               token_is(token, TOKEN_KEYWORD, "foreach")) {
        group->folds = true;
    } else if (token_is(token, TOKEN_KEYWORD, "as") || token_is(token, TOKEN_KEYWORD, "label")) {
        group->binds = true;
    } else if (token_is(token, TOKEN_KEYWORD, "try")) {
        walk->guarded = true;
    } else if (token_is(token, TOKEN_KEYWORD, "catch")) {
        /* The value after it sees the error as `.`; where that value ends is not looked for. */
        uses_dot(walk, token->offset);
        if (group->here == CONTEXT_SCOPE)
            group->here = CONTEXT_MAYBE;
    }
}

static void take_open(struct walk *walk)
{
    struct group *group = top(walk);
    char open = *walk->token.text;
    enum context here = group->here;
    bool body = open == '(' && group->folds && group->binds;
    if (body)
        group->folds = group->binds = false;
    if (group->key)
        group->key = false;
    push(walk, open, here);
    top(walk)->body = body;
    walk->after_term = false;
}

static bool is_comparison(const struct token *token)
{
    return token->size == 2 && strchr("=!<>", token->text[0]) && token->text[1] == '=';
}

static void take_operator(struct walk *walk)
{
    const struct token *token = &walk->token;
    struct group *group = top(walk);
    walk->after_term = false;
    if (token_is(token, TOKEN_OPERATOR, "|")) {
        if (!group->binds)
            group->here = CONTEXT_OTHER;
        group->binds = false;
    } else if (token_is(token, TOKEN_OPERATOR, ";")) {
        group->here = group->body ? CONTEXT_OTHER : group->outer;
        group->binds = group->folds = false;
    } else if (token_is(token, TOKEN_OPERATOR, ",")) {
        if (group->open == '{') {
            group->here = group->outer;
            group->key = true;
        }
    } else if (token_is(token, TOKEN_OPERATOR, ":")) {
        group->here = group->outer;
    } else if (token->text[token->size - 1] == '=' && !is_comparison(token)) {
        uses_dot(walk, token->offset); /* an assignment gives all of `.`, changed */
    } else if (token_is(token, TOKEN_OPERATOR, "..")) {
        COMPLAIN(walk, *token,
                 ".. may not be used in an expression: it visits everything; name the "
                 "path");
        walk->after_term = true;
    } else if (token_is(token, TOKEN_OPERATOR, "?")) {
        walk->guarded = walk->after_term = true;
    } else if (token_is(token, TOKEN_OPERATOR, "//") || token_is(token, TOKEN_OPERATOR, "==") ||
               token_is(token, TOKEN_OPERATOR, "!=")) {
        walk->guarded = true;
    }
}

/* More digits than are exact change while jq reads them. */
static void take_number(struct walk *walk)
{
    const struct token *token = &walk->token;
    int digits = 0;
    for (size_t i = 0; i < token->size && token->text[i] != 'e' && token->text[i] != 'E'; i++)
        digits +=
            token->text[i] >= '0' && token->text[i] <= '9' && (digits || token->text[i] != '0');
    if (digits > 15 || memchr(token->text, 'e', token->size) ||
        memchr(token->text, 'E', token->size))
        COMPLAIN(walk, *token, "a number in an expression has at most 15 digits, and no exponent");
    walk->after_term = true;
}

static void take_string(struct walk *walk)
{
    bool key = top(walk)->key;
    switch (walk->token.type) {
    case TOKEN_STRING:
        if (key && !token_is(&walk->next, TOKEN_OPERATOR, ":"))
            uses_dot(walk, walk->token.offset);
        top(walk)->key = false;
        walk->after_term = true;
        break;
    case TOKEN_STRING_OPEN:
        if (key)
            uses_dot(walk, walk->token.offset);
        top(walk)->key = false;
        push(walk, '"', top(walk)->here);
        walk->after_term = false;
        break;
    case TOKEN_STRING_MIDDLE:
        top(walk)->here = top(walk)->outer;
        walk->after_term = false;
        break;
    default:
        pop(walk);
        walk->after_term = true;
        break;
    }
}

static void take_name(struct walk *walk)
{
    const struct token *token = &walk->token;
    bool variable = token->type == TOKEN_VARIABLE;
    const char *why = variable ? variable_refused(token->text, token->size) : NULL;
    if (why)
        COMPLAIN(walk, *token, "$%.*s may not be used in an expression: %s", (int)token->size,
                 token->text, why);
    if (!variable && !format_known(token->text, token->size))
        COMPLAIN(walk, *token,
                 "there is no @%.*s; known are @text @json @html @uri @csv @tsv @sh @base64",
                 token->size < 60 ? (int)token->size : 60, token->text);
    bool string = walk->next.type == TOKEN_STRING || walk->next.type == TOKEN_STRING_OPEN;
    if (!variable && !string)
        uses_dot(walk, token->offset);
    walk->after_term = variable || !string;
    if (variable)
        top(walk)->key = false;
}

static void take_token(struct walk *walk)
{
    bool key = top(walk)->open == '{' && top(walk)->key;
    switch (walk->token.type) {
    case TOKEN_DOT:
    case TOKEN_FIELD:
        if (!walk->after_term)
            take_path(walk);
        break;
    case TOKEN_WORD:
        if (key)
            take_key(walk);
        else
            take_function(walk);
        break;
    case TOKEN_KEYWORD:
        if (key)
            take_key(walk);
        else
            take_keyword(walk);
        break;
    case TOKEN_NUMBER:
        take_number(walk);
        break;
    case TOKEN_VARIABLE:
    case TOKEN_FORMAT:
        take_name(walk);
        break;
    case TOKEN_OPEN:
        take_open(walk);
        break;
    case TOKEN_CLOSE:
        while (walk->depth && top(walk)->open == 'i') /* an if without end: jq tells it */
            pop(walk);
        pop(walk);
        walk->after_term = true;
        break;
    case TOKEN_OPERATOR:
        take_operator(walk);
        break;
    default:
        take_string(walk);
        break;
    }
}

bool references_collect(struct saga_plan *plan, int expression, struct saga_findings *findings)
{
    struct walk *walk = xcalloc(1, sizeof(*walk));
    *walk =
        (struct walk){.plan = plan, .expression = expression, .findings = findings, .good = true};
    const char *source = plan->expressions[expression].source;
    plan->expressions[expression].first_reference = plan->reference_count;
    tokenizer_init(&walk->tokenizer, source, strlen(source));
    walk->next = token_next(&walk->tokenizer);
    if (walk->next.type == TOKEN_END)
        COMPLAIN(walk, walk->next, "an empty expression");
    for (advance(walk); walk->token.type != TOKEN_END && walk->token.type != TOKEN_BAD;
         advance(walk))
        take_token(walk);
    if (walk->token.type == TOKEN_BAD)
        COMPLAIN(walk, walk->token, "%s", walk->tokenizer.problem);
    const struct saga_expression *done = &plan->expressions[expression];
    for (int i = 0; i < done->reference_count; i++)
        plan->references[done->first_reference + i].guarded = walk->guarded;
    bool good = walk->good;
    free(walk);
    return good;
}

void references_resolve(struct saga_plan *plan)
{
    for (int i = 0; i < plan->reference_count; i++) {
        struct saga_reference *reference = &plan->references[i];
        if (reference->root == SAGA_ROOT_STEPS && reference->name)
            reference->step = saga_step_find(plan, reference->name);
    }
}
