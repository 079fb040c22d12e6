/* The command line where no coordinator is needed: help, usage, files, and nobody there. */
#include "tests/unit/cli_kit.h"

#include "core/json.h"
#include "core/limits.h"

/* Port 1 of the loopback: privileged, and nothing listens there. */
#define NOBODY "--coordinator=tcp://127.0.0.1:1", "--timeout=50ms"

/* Runs troth, expects this exit code, and what stdout (or stderr) must contain. */
static void expect(int code, const char *out, const char *err, const char *const *words)
{
    struct run run = kit_run(NULL, words);
    assert_code(run, code);
    if (out)
        assert_out(run, out);
    else
        assert_string_equal(run.out, "");
    if (err)
        assert_err(run, err);
    else
        assert_string_equal(run.err, "");
    run_fini(&run);
}

static void troth_alone_prints_the_commands_and_fails(void **state)
{
    (void)state;
    expect(2, NULL, "troth --help tells more", (const char *const[]){NULL});
}

static void help_lists_every_command_and_the_exit_codes(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("--help"));
    assert_code(run, 0);
    static const char *const parts[] = {
        "submit",       "tx list",           "tx show",          "doctor",     "journal verify",
        "journal dump", "TROTH_COORDINATOR", "participant list", "Exit codes:"};
    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]); i++)
        assert_out(run, parts[i]);
    run_fini(&run);
}

static void every_command_has_a_help_with_an_example(void **state)
{
    (void)state;
    static const char *const commands[][2] = {
        {"submit", NULL},        {"tx", "list"},   {"tx", "show"},
        {"tx", "resolve"},       {"tx", "forget"}, {"tx", "orphans"},
        {"participant", "list"}, {"doctor", NULL}, {"journal", "verify"},
        {"journal", "dump"},     {"top", NULL}};
    for (size_t i = 0; i < sizeof(commands) / sizeof(commands[0]); i++) {
        const char *words[] = {commands[i][0], commands[i][1] ? commands[i][1] : "--help",
                               commands[i][1] ? "--help" : NULL, NULL};
        struct run run = kit_run(NULL, words);
        assert_code(run, 0);
        assert_out(run, "Usage: troth ");
        assert_out(run, "Example");
        assert_string_equal(run.err, "");
        for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"))
            assert_true(strlen(line) <= 80);
        run_fini(&run);
    }
}

static void help_is_found_in_every_place_where_it_is_looked_for(void **state)
{
    (void)state;
    expect(0, "Usage: troth tx list", NULL, WORDS("help", "tx", "list"));
    expect(0, "Usage: troth tx list", NULL, WORDS("tx", "-h", "list"));
    expect(0, "Usage: troth tx list", NULL, WORDS("--help", "tx", "list"));
    expect(0, "Usage: troth tx COMMAND", NULL, WORDS("tx", "--help"));
    expect(0, "Usage: troth submit", NULL, WORDS("submit", "payments.charge", "--help"));
}

static void the_version_is_told(void **state)
{
    (void)state;
    expect(0, "troth " TROTH_VERSION "\n", NULL, WORDS("--version"));
    expect(0, "troth " TROTH_VERSION "\n", NULL, WORDS("tx", "--version"));
    expect(0, "troth " TROTH_VERSION "\n", NULL, WORDS("tx", "list", "--version"));
}

static void an_unknown_command_names_the_nearest(void **state)
{
    (void)state;
    expect(2, NULL, "unknown command \"sumbit\"; did you mean \"submit\"?", WORDS("sumbit"));
    expect(2, NULL, "unknown command \"tx lst\"; did you mean \"tx list\"?", WORDS("tx", "lst"));
    expect(2, NULL, "unknown command \"\\x1b[31m\"\n", WORDS("\x1b[31m"));
    expect(2, NULL, "journal needs to know what to do", WORDS("journal"));
}

static void commands_that_do_not_exist_are_not_accepted(void **state)
{
    (void)state;
    expect(2, NULL, "unknown command", WORDS("saga", "explain"));
    expect(2, NULL, "unknown command", WORDS("tx", "abort", "shop.c1.1.1"));
    expect(2, NULL, "unknown command", WORDS("keygen"));
    expect(2, NULL, "unknown command", WORDS("topp"));
}

static void wrong_flags_are_told(void **state)
{
    (void)state;
    expect(2, NULL, "unknown flag \"--kye\"; did you mean \"--key\"?",
           WORDS("submit", "--kye", "a"));
    expect(2, NULL, "unknown flag \"--jsn\"; did you mean \"--json\"?", WORDS("--jsn", "doctor"));
    expect(2, NULL, "--key needs a value", WORDS("submit", "a.b", "--key"));
    expect(2, NULL, "--json takes no value", WORDS("doctor", "--json=yes"));
    expect(2, NULL, "--timeout: \"5\" is not a duration", WORDS("doctor", "--timeout", "5"));
    expect(2, NULL, "--timeout: 2d is not from 1ms to 1d", WORDS("doctor", "--timeout", "2d"));
    expect(2, NULL, "--coordinator: its value is empty", WORDS("doctor", "--coordinator", ""));
    expect(2, NULL, "--coordinator: not an address: x", WORDS("doctor", "--coordinator", "x"));
    expect(2, NULL, "doctor takes no \"please\"", WORDS("doctor", "please"));
}

static void wrong_words_are_told_as_json_when_asked_for(void **state)
{
    (void)state;
    expect(2, "{\"problem\":{\"message\":\"unknown flag \\\"--foo\\\"\"", NULL,
           WORDS("doctor", "--json", "--foo"));
}

static void closed_standard_files_are_not_taken_by_others(void **state)
{
    (void)state;
    char *line = xasprintf("exec '%s' --coordinator tcp://127.0.0.1:1 --timeout 50ms doctor "
                           "<&- >&- 2>&-",
                           kit_troth);
    int status = system(line);
    free(line);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 3);
}

static void the_environment_names_the_coordinator(void **state)
{
    (void)state;
    setenv("TROTH_COORDINATOR", "nonsense", 1);
    expect(2, NULL, "TROTH_COORDINATOR: not an address: nonsense", WORDS("doctor"));
    unsetenv("TROTH_COORDINATOR");
}

static void wrong_calls_are_told_before_anything_is_sent(void **state)
{
    (void)state;
    expect(2, NULL, "submit needs calls, or -f FILE", WORDS("submit"));
    expect(2, NULL, "\"charge\" is not a call", WORDS("submit", "charge"));
    expect(2, NULL, "the participant's name must be 1 to 32 of", WORDS("submit", ".charge"));
    expect(2, NULL, "the operation's name must be letters", WORDS("submit", "payments.2x"));
    expect(2, NULL, "arguments of a.b: not valid JSON at line 1, column 7: a number",
           WORDS("submit", "a.b", "{\"a\": 01}"));
    expect(2, NULL, "arguments of a.b: expected a JSON object, not [1]",
           WORDS("submit", "a.b", "[1]"));
    expect(2, NULL, "arguments of a.b: not valid JSON", WORDS("submit", "a.b", "x=5"));
    expect(2, NULL, "arguments without a call before them", WORDS("submit", "{}"));
    expect(2, NULL, "protocol: \"three\" is not one of 2pc, 3pc",
           WORDS("submit", "--protocol", "three", "a.b"));
    expect(2, NULL, "protocol: \"3PC\" is not one of 2pc, 3pc; did you mean \"3pc\"?",
           WORDS("submit", "--protocol", "3PC", "a.b"));
    expect(2, NULL, "wait: \"ever\" is not one of applied, decided",
           WORDS("submit", "--wait", "ever", "a.b"));
    expect(2, NULL, "--key: its value is empty", WORDS("submit", "--key=", "a.b"));
    expect(2, NULL, "key: byte 2 is a control character", WORDS("submit", "--key=a\n", "a.b"));
}

static void too_many_calls_and_too_large_ones_are_told(void **state)
{
    (void)state;
    const char *words[LIMIT_CALLS + 3] = {"submit"};
    for (int i = 0; i <= LIMIT_CALLS; i++)
        words[i + 1] = "a.b";
    expect(2, NULL, "257 calls; one transaction may have 256", words);
    char *large = xmalloc(LIMIT_MESSAGE_BYTES + 1);
    memset(large, 'x', LIMIT_MESSAGE_BYTES);
    large[LIMIT_MESSAGE_BYTES] = '\0';
    char *arguments = xasprintf("{\"a\": \"%s\"}", large);
    expect(2, NULL, "the transaction is too large", WORDS("submit", "a.b", arguments));
    free(arguments);
    free(large);
}

/* Runs submit -f - with this file, which must be refused with the text. */
static void refuse_file(const char *file, const char *err)
{
    struct run run = kit_run(file, WORDS("submit", "-f", "-"));
    assert_code(run, 2);
    assert_err(run, err);
    run_fini(&run);
}

static void all_mistakes_of_a_file_are_told_at_once(void **state)
{
    (void)state;
    refuse_file("protocl: 2pc\nwait: never\ndeadline: 5\nbranches:\n  - {call: payments}\n"
                "  - {cal: a.b}\n  - call: a.b\n    with: [1]\n",
                "troth: stdin: 7 mistakes\n"
                "  detail: stdin:1:1: unknown key \"protocl\"; did you mean \"protocol\"?\n"
                "          stdin:2:7: wait: \"never\" is not one of applied, decided\n"
                "          stdin:3:11: deadline: 5 has no unit: write 5ms, 5s or 5m\n"
                "          stdin:5:12: \"payments\" is not a call\n"
                "          stdin:6:5: the key \"call\" is missing here\n"
                "          stdin:6:6: unknown key \"cal\"; did you mean \"call\"?\n"
                "          stdin:8:11: with: expected a map of arguments (name: value)\n");
    refuse_file("branches: []\n", "stdin:1:11: branches: is empty; nothing would be done");
    refuse_file("branches: 5\n", "stdin:1:11: branches: expected a list");
    refuse_file("key: a\n", "stdin:1:1: the key \"branches\" is missing here");
    refuse_file("", "stdin: the file is empty");
    refuse_file("- a\n", "stdin:1:1: value: expected a map");
}

static void a_file_that_can_not_be_read_is_told(void **state)
{
    (void)state;
    expect(2, NULL, "/: is a directory, not a file", WORDS("submit", "-f", "/"));
    expect(2, NULL, "/nowhere.yaml: can't be read: No such file",
           WORDS("submit", "--file", "/nowhere.yaml"));
    expect(2, NULL, "give calls or -f FILE, not both", WORDS("submit", "a.b", "-f", "-"));
}

static void a_gtrid_is_checked(void **state)
{
    (void)state;
    expect(2, NULL, "tx show needs one GTRID", WORDS("tx", "show"));
    expect(2, NULL, "\"shop.c1.01.5\" is no GTRID", WORDS("tx", "show", "shop.c1.01.5"));
    expect(2, NULL, "is the gid of one branch; the GTRID is shop.c1.5.6",
           WORDS("tx", "show", "troth.shop.c1.5.6.1"));
    expect(2, NULL, "--participant: a name is 1 to 32",
           WORDS("tx", "list", "--participant", "a b"));
}

static void a_journal_that_is_not_there_is_told(void **state)
{
    (void)state;
    expect(2, NULL, "journal verify needs one DIR", WORDS("journal", "verify"));
    expect(2, NULL, "/nowhere: No such file", WORDS("journal", "verify", "/nowhere"));
    expect(2, NULL, "there is no journal in", WORDS("journal", "dump", "/proc/self/fd"));
}

static void nobody_there_is_exit_code_3(void **state)
{
    (void)state;
    expect(3, NULL, "nobody answers at tcp://127.0.0.1:1\n", WORDS(NOBODY, "doctor"));
    expect(3, NULL, "nobody answers", WORDS("tx", "list", NOBODY));
    expect(3, NULL, "nobody answers", WORDS("participant", NOBODY, "list"));
    expect(3, NULL, "nobody answers", WORDS("tx", "show", "shop.c1.5.6", NOBODY));
    expect(3, NULL, "nobody answers", WORDS("submit", NOBODY, "a.b", "{}", "a.c"));
}

static void a_failure_is_one_json_object_when_asked_for(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("doctor", "--json", NOBODY));
    assert_code(run, 3);
    assert_string_equal(run.err, "");
    struct error error = {0};
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    assert_non_null(json);
    const struct json *message = json_member(json_member(json, "problem"), "message");
    assert_non_null(message);
    assert_string_equal(message->text, "nobody answers at tcp://127.0.0.1:1");
    assert_string_equal(json_member(json, "exit")->text, "3");
    json_free(json);
    run_fini(&run);
}

static void an_answer_that_can_not_be_written_is_a_failure(void **state)
{
    (void)state;
    struct loop *loop = loop_new();
    struct run run = kit_run_on(loop, NULL, "/dev/full", WORDS("--help"));
    assert_code(run, 5);
    assert_err(run, "the answer can't be written");
    run_fini(&run);
    loop_free(loop);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(troth_alone_prints_the_commands_and_fails),
        cmocka_unit_test(help_lists_every_command_and_the_exit_codes),
        cmocka_unit_test(every_command_has_a_help_with_an_example),
        cmocka_unit_test(help_is_found_in_every_place_where_it_is_looked_for),
        cmocka_unit_test(the_version_is_told),
        cmocka_unit_test(an_unknown_command_names_the_nearest),
        cmocka_unit_test(commands_that_do_not_exist_are_not_accepted),
        cmocka_unit_test(wrong_flags_are_told),
        cmocka_unit_test(wrong_words_are_told_as_json_when_asked_for),
        cmocka_unit_test(closed_standard_files_are_not_taken_by_others),
        cmocka_unit_test(the_environment_names_the_coordinator),
        cmocka_unit_test(wrong_calls_are_told_before_anything_is_sent),
        cmocka_unit_test(too_many_calls_and_too_large_ones_are_told),
        cmocka_unit_test(all_mistakes_of_a_file_are_told_at_once),
        cmocka_unit_test(a_file_that_can_not_be_read_is_told),
        cmocka_unit_test(a_gtrid_is_checked),
        cmocka_unit_test(a_journal_that_is_not_there_is_told),
        cmocka_unit_test(nobody_there_is_exit_code_3),
        cmocka_unit_test(a_failure_is_one_json_object_when_asked_for),
        cmocka_unit_test(an_answer_that_can_not_be_written_is_a_failure),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
