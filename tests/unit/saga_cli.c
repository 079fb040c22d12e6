/* troth saga: what a person and an editor see of a definition. */
#include "tests/unit/cli_kit.h"

#include <sys/stat.h>

#include "core/json.h"

/* Files in a folder of their own. */
struct desk {
    char *folder;
};

static int setup(void **state)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    desk->folder = xstrdup("/tmp/troth-sagas.XXXXXX");
    assert_non_null(mkdtemp(desk->folder));
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    char *command = xasprintf("rm -rf '%s'", desk->folder);
    int status = system(command);
    free(command);
    free(desk->folder);
    free(desk);
    return status;
}

/* The path; the caller frees it. */
static char *put(const struct desk *desk, const char *name, const char *text)
{
    char *path = xasprintf("%s/%s", desk->folder, name);
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
    return path;
}

static const char good[] =
    "saga: good\nversion: 1\ninput: {id: string}\nsteps:\n"
    "  - {name: a, call: p.q, with: {id: \"${ .input.id }\"}, compensate: p.u}\n"
    "  - {name: b, saga: other}\n";
static const char bad[] = "saga: other\nversion: 1\nsteps:\n"
                          "  - {name: a, call: p.q, with: {id: \"${ .input.id }\"}}\n"
                          "  - {name: w, cal: x}\n";
static const char participant[] = "participant: p\ncoordinators: [\"@ADDRESS@\"]\noperations:\n"
                                  "  q: {params: {id: text}, sql: [{statement: select 1}]}\n"
                                  "  u: {params: {id: integer}, sql: []}\n";

static void a_good_definition_is_exit_code_0(void **state)
{
    char *path = put(*state, "good.yaml", good);
    struct run run = kit_run(NULL, WORDS("saga", "lint", path));
    assert_code(run, 0);
    assert_string_equal(run.out, "1 saga: 0 mistakes, 0 warnings\n");
    assert_string_equal(run.err, "");
    run_fini(&run);
    free(path);
}

static void mistakes_have_places_and_exit_code_2(void **state)
{
    const struct desk *desk = *state;
    free(put(desk, "good.yaml", good));
    free(put(desk, "other.yaml", bad));
    free(put(desk, "notes.txt", "this is not looked at"));
    struct run run = kit_run(NULL, WORDS("saga", "lint", desk->folder));
    assert_code(run, 2);
    char *expected =
        xasprintf("%s/other.yaml:4:5: a has no compensation: say what undoes it, as compensate: "
                  "orders.cancel, or compensate: none\n"
                  "%s/other.yaml:4:41: unknown input .input.id: the saga declares none\n"
                  "%s/other.yaml:5:5: a step needs one of call, parallel, choose, for_each, saga, "
                  "transaction, wait\n"
                  "%s/other.yaml:5:15: unknown key \"cal\"; did you mean \"call\"?\n"
                  "2 sagas: 4 mistakes, 0 warnings\n",
                  desk->folder, desk->folder, desk->folder, desk->folder);
    assert_string_equal(run.out, expected);
    free(expected);
    run_fini(&run);
}

static void findings_come_as_json(void **state)
{
    const struct desk *desk = *state;
    char *path = put(desk, "other.yaml", bad);
    struct run run = kit_run(NULL, WORDS("saga", "lint", "--json", path));
    assert_code(run, 2);
    struct error error = {0};
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    assert_non_null(json);
    const struct json *findings = json_member(json, "findings"),
                      *sagas = json_member(json, "sagas");
    assert_int_equal(findings->count, 4);
    const struct json *second = &findings->items[1];
    assert_string_equal(json_member(second, "file")->text, path);
    assert_string_equal(json_member(second, "line")->text, "4");
    assert_string_equal(json_member(second, "column")->text, "41");
    assert_string_equal(json_member(second, "severity")->text, "mistake");
    assert_string_equal(json_member(second, "message")->text,
                        "unknown input .input.id: the saga declares none");
    assert_string_equal(json_member(&sagas->items[0], "saga")->text, "other");
    assert_int_equal(strlen(json_member(&sagas->items[0], "digest")->text), 64);
    assert_string_equal(json_member(json, "mistakes")->text, "4");
    assert_string_equal(json_member(json, "exit")->text, "2");
    json_free(json);
    run_fini(&run);
    free(path);
}

static void calls_are_checked_against_participants(void **state)
{
    const struct desk *desk = *state;
    char *path = put(desk, "good.yaml", good), *folder = xasprintf("%s/p", desk->folder);
    assert_int_equal(mkdir(folder, 0700), 0);
    free(put(desk, "p/p.yaml", participant));
    free(put(desk, "p/trothd.yaml", "coordinator: c1\n"));
    struct run run = kit_run(NULL, WORDS("saga", "lint", path, "--participants", folder));
    assert_code(run, 2);
    assert_out(run,
               "good.yaml:5:68: p.u: id (integer) is an integer, and ${ .input.id } is a string\n");
    assert_out(run, "1 saga: 1 mistake, 0 warnings\n");
    run_fini(&run);
    char *list = xasprintf("%s/p.yaml,%s/trothd.yaml", folder, folder);
    run = kit_run(NULL, WORDS("saga", "lint", path, "--participants", list));
    assert_code(run, 2);
    assert_out(run, "trothd.yaml:1:1: the key \"participant\" is missing here\n");
    run_fini(&run);
    free(list);
    free(folder);
    free(path);
}

static void wrong_words_and_files_are_told(void **state)
{
    const struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("saga", "lint"));
    assert_code(run, 2);
    assert_err(run, "saga lint needs a FILE or a folder");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "lint", desk->folder));
    assert_code(run, 2);
    assert_err(run, "there is no .yaml file in it");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "lint", "/nowhere.yaml"));
    assert_code(run, 2);
    assert_out(run, "/nowhere.yaml: can't be read: No such file or directory\n");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "graph"));
    assert_code(run, 2);
    assert_err(run, "saga graph needs one FILE");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "graph", "x", "--format", "svg"));
    assert_code(run, 2);
    assert_err(run, "--format: \"svg\" is neither mermaid nor dot");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "lnit"));
    assert_code(run, 2);
    assert_err(run, "did you mean \"saga lint\"?");
    run_fini(&run);
}

static void what_could_move_a_terminal_is_escaped(void **state)
{
    char *path = put(*state, "evil.yaml", "saga: \"a\\e[31mb\\u202Ec\"\nversion: 1\nsteps: []\n");
    struct run run = kit_run(NULL, WORDS("saga", "lint", path));
    assert_code(run, 2);
    for (const char *at = run.out; *at; at++)
        assert_true(*at == '\n' || (unsigned char)*at >= ' ');
    assert_null(strstr(run.out, "\xe2\x80\xae"));
    run_fini(&run);
    free(path);
}

static void a_graph_is_drawn_of_a_good_definition_only(void **state)
{
    const struct desk *desk = *state;
    char *path = put(desk, "good.yaml", good), *wrong = put(desk, "bad.yaml", bad);
    struct run run = kit_run(NULL, WORDS("saga", "graph", path));
    assert_code(run, 0);
    assert_out(run, "flowchart TD\n");
    assert_out(run, "[/\"p.u\"/]:::undo\n");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "graph", path, "--format=dot"));
    assert_code(run, 0);
    assert_out(run, "digraph saga {\n");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "graph", path, "--json"));
    assert_code(run, 0);
    assert_out(run, "{\"format\":\"mermaid\",\"graph\":\"flowchart TD\\n");
    run_fini(&run);
    run = kit_run(NULL, WORDS("saga", "graph", wrong));
    assert_code(run, 2);
    assert_string_equal(run.out, "");
    assert_err(run, "unknown key \"cal\"");
    run_fini(&run);
    free(wrong);
    free(path);
}

static void the_help_shows_how(void **state)
{
    (void)state;
    static const char *const verbs[] = {"lint", "graph"};
    for (int i = 0; i < 2; i++) {
        struct run run = kit_run(NULL, WORDS("saga", verbs[i], "--help"));
        assert_code(run, 0);
        assert_out(run, "Usage: troth saga ");
        assert_out(run, "Example");
        for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"))
            assert_true(strlen(line) <= 80);
        run_fini(&run);
    }
    struct run run = kit_run(NULL, WORDS("--help"));
    assert_out(run, "saga lint");
    assert_out(run, "saga graph");
    run_fini(&run);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(a_good_definition_is_exit_code_0),
        TEST(mistakes_have_places_and_exit_code_2),
        TEST(findings_come_as_json),
        TEST(calls_are_checked_against_participants),
        TEST(wrong_words_and_files_are_told),
        TEST(what_could_move_a_terminal_is_escaped),
        TEST(a_graph_is_drawn_of_a_good_definition_only),
        TEST(the_help_shows_how),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
