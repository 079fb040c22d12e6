/* troth saga simulate, as a person and a script see it. */
#include "core/json.h"
#include "tests/unit/cli_kit.h"

static const char *const examples[] = {
    "examples/sagas/approve-refund.yaml", "examples/sagas/order-goods.yaml",
    "examples/sagas/place-order.yaml", "examples/sagas/restock.yaml"};

static void examples_are_told_in_80_columns(void **state)
{
    (void)state;
    for (size_t i = 0; i < sizeof(examples) / sizeof(examples[0]); i++) {
        struct run run = kit_run(NULL, WORDS("saga", "simulate", examples[i]));
        assert_code(run, 0);
        int lines = 0;
        for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"), lines++) {
            int columns = 0;
            for (const char *at = line; *at; at++)
                columns += ((unsigned char)*at & 0xc0) != 0x80;
            if (columns > 80 || line[strlen(line) - 1] == ' ')
                fail_msg("%s: %s", examples[i], line);
        }
        assert_true(lines > 5);
        run_fini(&run);
    }
}

static void a_script_gets_json(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("saga", "simulate", examples[0], "--json"));
    assert_code(run, 0);
    struct error error = {0};
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    assert_non_null(json);
    assert_string_equal(json_member(json, "bad")->text, "0");
    assert_int_equal(json_member(json, "cases")->count, 3);
    assert_true(json_member(json, "paths")->count > 20);
    json_free(json);
    run_fini(&run);
}

static void mistakes_are_exit_code_2(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("saga", "simulate", "nowhere.yaml"));
    assert_code(run, 2);
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "simulate", examples[1], "--input", "{}"));
    assert_code(run, 2);
    assert_non_null(strstr(run.err, "the input \"delivery_id\" (string) is missing"));
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "simulate", examples[1], "--results", "README.md"));
    assert_code(run, 2);
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "simulate"));
    assert_code(run, 2);
    run_fini(&run);
}

static void a_bad_path_is_exit_code_1(void **state)
{
    (void)state;
    char path[] = "/tmp/troth-simulate.XXXXXX";
    int file = mkstemp(path);
    static const char text[] = "{\"order\": {\"price\": []}}";
    assert_int_equal(write(file, text, sizeof(text) - 1), sizeof(text) - 1);
    close(file);
    struct run run = kit_run(NULL, WORDS("saga", "simulate", examples[1], "--results", path));
    assert_code(run, 0); /* a list as a price: handed on as it is */
    run_fini(&run);
    FILE *more = fopen(path, "w");
    assert_true(fputs("{\"order\": 7}", more) >= 0);
    fclose(more);
    run = kit_run(NULL, WORDS("saga", "simulate", examples[1], "--results", path));
    assert_code(run, 1);
    assert_non_null(strstr(run.out, "! an expression fails: examples/sagas/order-goods.yaml:"));
    assert_non_null(strstr(run.out, " end badly; "));
    run_fini(&run);
    unlink(path);
}

int main(int argc, char **argv)
{
    (void)argc;
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(examples_are_told_in_80_columns),
        cmocka_unit_test(a_script_gets_json),
        cmocka_unit_test(mistakes_are_exit_code_2),
        cmocka_unit_test(a_bad_path_is_exit_code_1),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
