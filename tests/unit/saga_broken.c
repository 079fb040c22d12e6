/* Definitions with a mistake that a person would make: tests/saga/broken/NN-what.yaml, and beside
 * each in NN-what.txt all that is told of it, with the places. */
#include "tests/unit/saga_kit.h"

#include <dirent.h>

#define FOLDER "tests/saga/broken"

static int is_definition(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return dot && strcmp(dot, ".yaml") == 0;
}

static void every_mistake_is_told_at_its_place(void **state)
{
    (void)state;
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, is_definition, alphasort);
    assert_true(count >= 60);
    for (int i = 0; i < count; i++) {
        char *path = xasprintf(FOLDER "/%s", entries[i]->d_name);
        char *beside =
            xasprintf(FOLDER "/%.*s.txt", (int)strlen(entries[i]->d_name) - 5, entries[i]->d_name);
        char *text = kit_read_file(path), *expected = kit_read_file(beside), *told = kit_lint(text);
        if (strcmp(told, expected) != 0)
            fail_msg("%s: told\n%sand not\n%s", path, told, expected);
        free(told);
        free(expected);
        free(text);
        free(beside);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

/* What is told is not only told: such a definition is never run. */
static void what_has_a_mistake_is_not_loaded(void **state)
{
    (void)state;
    struct dirent **entries;
    int count = scandir(FOLDER, &entries, is_definition, alphasort);
    for (int i = 0; i < count; i++) {
        char *path = xasprintf(FOLDER "/%s", entries[i]->d_name);
        char *beside =
            xasprintf(FOLDER "/%.*s.txt", (int)strlen(entries[i]->d_name) - 5, entries[i]->d_name);
        char *text = kit_read_file(path), *expected = kit_read_file(beside);
        struct error error = {0};
        struct saga_plan *plan = saga_definition_load(path, text, strlen(text), &error);
        bool only_warnings = true;
        for (char *line = strtok(expected, "\n"); line; line = strtok(NULL, "\n"))
            only_warnings = only_warnings && strstr(line, ": warning: ");
        if ((plan != NULL) != only_warnings)
            fail_msg("%s: %s", path, plan ? "loaded with mistakes" : error.message);
        assert_true(plan || error.kind == ERROR_USAGE);
        saga_plan_free(plan);
        free(expected);
        free(text);
        free(beside);
        free(path);
        free(entries[i]);
    }
    free(entries);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_mistake_is_told_at_its_place),
        cmocka_unit_test(what_has_a_mistake_is_not_loaded),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
