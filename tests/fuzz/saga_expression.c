/* Any bytes as an expression. What it names is found by walking its words, and only that is shown
 * to jq: so it must give the same as when jq is shown everything. */
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "saga/expression.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* jq 1.6 loses some bytes when first(.[]?) breaks off and when a list is indexed by a list, which
 * random expressions do. What we lose ourselves shows in the other tests of expressions. The
 * sanitizer looks for this by its name. */
__attribute__((visibility("default"))) const char *__lsan_default_suppressions(void);
const char *__lsan_default_suppressions(void)
{
    return "leak:libjq\n";
}

static struct saga_text output(void *self, int step)
{
    static const char first[] = "{\"fee\": 1.25, \"list\": [3, 4], \"input\": {\"a\": 9}}";
    (void)self;
    return step == 1 ? (struct saga_text){first, sizeof(first) - 1} : (struct saga_text){0};
}

/* The definition of a saga whose third step has this text as an argument twice: once as it is, and
 * once in front of a look at everything. NULL: it has a mistake. */
static struct saga_plan *plan_of(const char *expression)
{
    struct json_writer text = {0};
    char *alone = xasprintf("${ %s\n}", expression);
    char *all = xasprintf("${ . as $everything | (%s\n) }", expression);
    json_raw(&text, "{\"saga\": \"s\", \"version\": 1, \"input\": {\"a\": \"any\", \"b\": \"any\", "
                    "\"list\": \"any\"}, \"steps\": [{\"name\": \"first\", \"call\": \"p.q\", "
                    "\"compensate\": \"none\"}, {\"name\": \"second\", \"call\": \"p.q\", "
                    "\"compensate\": \"none\", \"with\": {\"x\": ");
    text.separator = false;
    json_string(&text, alone);
    json_raw(&text, "\"y\": ");
    text.separator = false;
    json_string(&text, all);
    text.separator = false;
    json_raw(&text, "}}]}");
    struct saga_plan *plan = saga_definition_load("fuzz.yaml", text.text, text.size, NULL);
    json_writer_fini(&text);
    free(alone);
    free(all);
    return plan;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static const char input[] =
        "{\"a\": 6, \"b\": \"first\", \"list\": [1, {\"item\": 2, \"steps\": "
        "{\"first\": 7}}]}";
    char *expression = xstrndup((const char *)data, size);
    struct saga_plan *plan = plan_of(expression);
    free(expression);
    if (!plan || plan->expression_count != 2) {
        saga_plan_free(plan);
        return 0;
    }
    struct saga_scope scope = {.id = "s.1", .input = {input, sizeof(input) - 1}, .output = output};
    struct json_writer one = {0}, other = {0};
    struct error error = {0};
    bool good = saga_evaluate(plan, 0, &scope, &one, &error);
    CHECK(saga_evaluate(plan, 1, &scope, &other, &error) == good);
    if (good && !plan->expressions[0].is_path)
        CHECK(strcmp(one.text, other.text) == 0);
    json_writer_fini(&one);
    json_writer_fini(&other);
    saga_plan_free(plan);
    return 0;
}
