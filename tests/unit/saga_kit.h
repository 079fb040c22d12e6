/* What the tests of sagas share: definitions read from texts, what was found in them, and scopes to
 * evaluate in. */
#ifndef TROTH_TESTS_UNIT_SAGA_KIT_H
#define TROTH_TESTS_UNIT_SAGA_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/limits.h"
#include "saga/definition.h"
#include "saga/expression.h"
#include "saga/lint.h"

/* A file of the repository, from whose root tests run. The caller frees it. */
static inline char *kit_read_file(const char *path)
{
    FILE *file = fopen(path, "rb");
    if (!file)
        fail_msg("%s can't be read: tests run in the root of the repository", path);
    char *text = xcalloc(1, LIMIT_FILE_BYTES + 1);
    size_t size = fread(text, 1, LIMIT_FILE_BYTES, file);
    assert_true(size > 0);
    fclose(file);
    return text;
}

/* A definition without mistakes. */
static inline struct saga_plan *kit_plan(const char *text)
{
    struct error error = {0};
    struct saga_plan *plan = saga_definition_load("t.yaml", text, strlen(text), &error);
    if (!plan)
        fail_msg("%s\n%s", error.message, error.detail);
    return plan;
}

/* A definition of one step that renders this (one line of YAML flow) as its arguments. */
static inline struct saga_plan *kit_plan_of(const char *with)
{
    char *text = xasprintf("saga: s\nversion: 1\n"
                           "input: {a: any, b: any, c: any, big: any, list: any}\n"
                           "steps:\n"
                           "  - {name: first, call: p.q, compensate: none}\n"
                           "  - name: second\n"
                           "    call: p.q\n"
                           "    with: %s\n"
                           "    compensate: none\n",
                           with);
    struct saga_plan *plan = kit_plan(text);
    free(text);
    return plan;
}

/* What is wrong with a text, a line each: "LINE:COLUMN: text", warnings with "warning: " before the
 * text. The caller frees it. */
static inline char *kit_findings_of(struct saga_findings *findings)
{
    char *all = xstrdup("");
    saga_findings_sort(findings);
    for (int i = 0; i < findings->count; i++) {
        const struct saga_finding *finding = &findings->items[i];
        char *more = xasprintf("%s%d:%d: %s%s\n", all, finding->place.line, finding->place.column,
                               finding->severity == SAGA_WARNING ? "warning: " : "", finding->text);
        free(all);
        all = more;
    }
    return all;
}

static inline char *kit_lint(const char *text)
{
    struct saga_findings findings = {0};
    struct saga_plan *plan = saga_definition_read("t.yaml", text, strlen(text), &findings);
    if (plan)
        saga_lint(&(struct saga_lint){.plans = &plan, .plan_count = 1}, &findings);
    char *all = kit_findings_of(&findings);
    saga_plan_free(plan);
    saga_findings_fini(&findings);
    return all;
}

/* A scope with this input, in which the step `first` gave this output. Both may be NULL. */
struct kit_scope {
    struct saga_scope scope;
    const char *first;
};

static inline struct saga_text kit_output(void *self, int step)
{
    const struct kit_scope *kit = self;
    if (step != 1 || !kit->first)
        return (struct saga_text){0};
    return (struct saga_text){kit->first, strlen(kit->first)};
}

static inline struct saga_text kit_text(const char *text)
{
    return (struct saga_text){text, text ? strlen(text) : 0};
}

static inline void kit_scope_init(struct kit_scope *kit, const char *input, const char *first)
{
    *kit = (struct kit_scope){.first = first};
    kit->scope = (struct saga_scope){
        .id = "s.1", .input = kit_text(input), .output = kit_output, .self = kit};
}

/* The arguments of the second step; NULL with an error. */
static inline char *kit_render(const struct saga_plan *plan, const char *input, const char *first,
                               struct error *error)
{
    struct kit_scope kit;
    kit_scope_init(&kit, input, first);
    return saga_render_object(plan, plan->calls[plan->steps[2].first_call].with, &kit.scope, error);
}

#endif
