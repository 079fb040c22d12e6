/* The alert rules and the dashboard in config/ use metrics that are documented, with labels that
 * they have; that what is documented is what is told, tests/real/metrics compares. */
#include <ctype.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/json.h"
#include "io/yaml.h"
#include "tests/unit/documented.h"

static struct documented coordinator, participant;

static int setup(void **state)
{
    (void)state;
    return documented_read("trothd", &coordinator) &&
                   documented_read("troth-participant", &participant)
               ? 0
               : -1;
}

static bool is_word(char character)
{
    return isalnum((unsigned char)character) || character == '_' || character == ':';
}

static bool is_known(const char *name)
{
    return strcmp(name, "up") == 0 || documented_sample(&coordinator, name) ||
           documented_sample(&participant, name);
}

/* PromQL's own words, and labels, are no metrics: those begin with troth_ or process_. */
static int check_expression(const char *expression)
{
    int found = 0;
    for (const char *at = expression; *at;) {
        size_t size = 0;
        while (is_word(at[size]))
            size++;
        char name[128];
        snprintf(name, sizeof(name), "%.*s", (int)size, at);
        bool metric = strncmp(name, "troth_", 6) == 0 || strncmp(name, "process_", 8) == 0;
        if (metric && !is_known(name))
            fail_msg("%s is not documented, in: %s", name, expression);
        found += metric || strcmp(name, "up") == 0;
        at += size ? size : 1;
    }
    int depth = 0;
    for (const char *at = expression; *at; at++) {
        depth += strchr("([{", *at) != NULL;
        depth -= strchr(")]}", *at) != NULL;
        assert_true(depth >= 0);
    }
    assert_int_equal(depth, 0);
    return found;
}

/* ---- rules --------------------------------------------------------------------------------- */

static void check_rule(struct yaml *yaml, const struct yaml_node *rule)
{
    static const char *const keys[] = {"alert", "expr", "for", "labels", "annotations", NULL};
    static const char *const label_keys[] = {"severity", NULL};
    static const char *const severities[] = {"critical", "warning", "info", NULL};
    static const char *const annotation_keys[] = {"summary", "action", NULL};
    assert_true(yaml_map(yaml, rule, keys));
    const char *name = yaml_string(yaml, yaml_need(yaml, rule, "alert"), "");
    assert_int_equal(strncmp(name, "Troth", 5), 0);
    if (check_expression(yaml_string(yaml, yaml_need(yaml, rule, "expr"), "")) == 0)
        fail_msg("%s looks at nothing", name);
    yaml_duration_us(yaml, yaml_get(rule, "for"), 0);
    const struct yaml_node *labels = yaml_need(yaml, rule, "labels");
    assert_true(yaml_map(yaml, labels, label_keys));
    yaml_word(yaml, yaml_need(yaml, labels, "severity"), severities, 0);
    const struct yaml_node *texts = yaml_need(yaml, rule, "annotations");
    assert_true(yaml_map(yaml, texts, annotation_keys));
    for (int i = 0; i < 2; i++) {
        const char *text = yaml_string(yaml, yaml_need(yaml, texts, annotation_keys[i]), "");
        if (strlen(text) < 20)
            fail_msg("%s says too little: %s", name, text);
    }
}

static void every_rule_is_whole_and_uses_known_metrics(void **state)
{
    struct error error = {0};
    struct yaml *yaml = yaml_load("config/alerts.rules.yaml", &error);
    (void)state;
    if (!yaml)
        fail_msg("%s", error.message);
    const struct yaml_node *groups = yaml_need(yaml, yaml_root(yaml), "groups");
    int rules = 0;
    for (int i = 0; i < yaml_count(groups); i++) {
        const struct yaml_node *list = yaml_need(yaml, yaml_item(groups, i), "rules");
        for (int j = 0; j < yaml_count(list); j++, rules++)
            check_rule(yaml, yaml_item(list, j));
    }
    if (!yaml_check(yaml, &error))
        fail_msg("%s", error.message);
    assert_true(rules >= 15);
    yaml_free(yaml);
}

/* ---- the dashboard ------------------------------------------------------------------------- */

static const char *text_of(const struct json *object, const char *name)
{
    const struct json *member = json_member(object, name);
    if (!member || member->type != JSON_STRING)
        fail_msg("no text %s in: %.200s", name, object->raw);
    return member->text;
}

static int check_panel(const struct json *panel)
{
    const struct json *targets = json_member(panel, "targets");
    int found = 0;
    assert_true(strlen(text_of(panel, "title")) > 1);
    for (int i = 0; targets && i < targets->count; i++)
        found += check_expression(text_of(&targets->items[i], "expr"));
    assert_true(found > 0 || strcmp(text_of(panel, "type"), "row") == 0);
    return found;
}

static void the_dashboard_uses_known_metrics(void **state)
{
    struct error error = {0};
    char *text = xcalloc(1, 1024 * 1024);
    FILE *file = fopen("config/grafana-dashboard.json", "re");
    (void)state;
    assert_non_null(file);
    size_t size = fread(text, 1, 1024 * 1024 - 1, file);
    fclose(file);
    struct json *json = json_parse(text, size, &error);
    if (!json)
        fail_msg("%s: %s", error.message, error.detail);
    const struct json *panels = json_member(json, "panels");
    int found = 0;
    for (int i = 0; i < panels->count; i++)
        found += check_panel(&panels->items[i]);
    assert_true(panels->count > 20 && found > 30);
    json_free(json);
    free(text);
}

/* What is in the tables at all can be read by the other tests. */
static void the_tables_are_sound(void **state)
{
    (void)state;
    for (int i = 0; i < coordinator.count; i++)
        assert_int_equal(documented_find(&coordinator, coordinator.rows[i].name), i);
    for (int i = 0; i < participant.count; i++)
        assert_int_equal(documented_find(&participant, participant.rows[i].name), i);
    assert_true(is_known("troth_transactions_total"));
    assert_true(is_known("troth_transaction_seconds_bucket"));
    assert_false(is_known("troth_transaction_seconds"));
    assert_false(is_known("troth_participant_vote_seconds_bucket"));
    assert_false(is_known("troth_transaction_total"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_tables_are_sound),
        cmocka_unit_test(every_rule_is_whole_and_uses_known_metrics),
        cmocka_unit_test(the_dashboard_uses_known_metrics),
    };
    return cmocka_run_group_tests(tests, setup, NULL);
}
