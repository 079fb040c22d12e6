/* Any bytes as a definition: refused with mistakes that have places, or a plan that is sound, that
 * lint and graph can walk, and that renders valid JSON. */
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "core/check.h"
#include "core/json.h"
#include "core/limits.h"
#include "saga/expression.h"
#include "saga/graph.h"
#include "saga/lint.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static struct saga_text output(void *self, int step)
{
    static const char *const outputs[] = {"{\"fee\": 1.20, \"id\": \"c-1\"}", "[1, 2.50]", NULL};
    const char *text = outputs[step % 3];
    (void)self;
    return (struct saga_text){text, text ? strlen(text) : 0};
}

static bool is_index(int index, int count)
{
    return index >= SAGA_NONE && index < count;
}

static void check_tree(const struct saga_plan *plan)
{
    int children = 0;
    for (int i = 0; i < plan->step_count; i++) {
        const struct saga_step *step = &plan->steps[i];
        CHECK(i == 0 ? step->parent == SAGA_NONE : step->parent >= 0 && step->parent < i);
        CHECK(is_index(step->when, plan->expression_count));
        CHECK(is_index(step->output, plan->template_count));
        CHECK(is_index(step->compensation, plan->call_count));
        CHECK(step->first_call + step->call_count <= plan->call_count);
        int own = 0;
        for (int child = step->first_child; child != SAGA_NONE;
             child = plan->steps[child].next_sibling) {
            CHECK(child > i && child < plan->step_count && plan->steps[child].parent == i);
            own++;
        }
        CHECK(own == step->child_count);
        children += own;
    }
    CHECK(children == plan->step_count - 1 && plan->step_count <= LIMIT_SAGA_STEPS);
}

/* What a plan without mistakes must be fit for. */
static void use(const struct saga_plan *plan)
{
    static const char input[] =
        "{\"amount\": 40.00, \"items\": [{\"sku\": \"lamp\", \"quantity\": 2}]}";
    struct saga_scope scope = {.id = "s.1",
                               .input = {input, sizeof(input) - 1},
                               .output = output,
                               .result = {"{\"fee\": 3}", 10},
                               .item = {"{\"sku\": \"lamp\"}", 15},
                               .index = 1};
    for (int i = 0; i < plan->template_count; i++) {
        struct error error = {0};
        char *text = saga_render(plan, i, &scope, &error);
        CHECK(text || error.message[0]);
        struct json *json = text ? json_parse(text, strlen(text), &error) : NULL;
        CHECK(!text || json);
        json_free(json);
        free(text);
    }
    for (int i = 0; i < plan->step_count; i++) {
        bool value;
        if (plan->steps[i].when != SAGA_NONE)
            saga_evaluate_when(plan, plan->steps[i].when, &scope, &value, NULL);
        if (plan->steps[i].items != SAGA_NONE)
            json_free(saga_evaluate_items(plan, plan->steps[i].items, &scope, NULL));
    }
    free(saga_graph(plan, SAGA_GRAPH_MERMAID));
    free(saga_graph(plan, SAGA_GRAPH_DOT));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct saga_findings findings = {0};
    struct saga_plan *plan = saga_definition_read("fuzz.yaml", (const char *)data, size, &findings);
    CHECK(plan || findings.mistakes);
    if (plan) {
        check_tree(plan);
        saga_lint(&(struct saga_lint){.plans = &plan, .plan_count = 1}, &findings);
        if (!findings.mistakes)
            use(plan);
    }
    struct error error = {0};
    CHECK(saga_findings_check(&findings, "fuzz.yaml", &error) == !findings.mistakes);
    saga_plan_free(plan);
    saga_findings_fini(&findings);
    return 0;
}
