/* The configurations of the daemons, read by the built programs: the samples with every key, and
 * mistakes in what an operator's tools need, each told with its place. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"

static char *build;
static char folder[] = "/tmp/troth-config-XXXXXX";

static int setup(void **state)
{
    (void)state;
    return mkdtemp(folder) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    char *path = xasprintf("%s/x.yaml", folder);
    unlink(path);
    free(path);
    return rmdir(folder);
}

/* What it says to a configuration of this text; code: its exit code. */
static char *ask(const char *program, const char *option, const char *text, int *code)
{
    char *path = xasprintf("%s/x.yaml", folder), *said = xcalloc(1, 8192);
    FILE *file = fopen(path, "we");
    assert_non_null(file);
    fputs(text, file);
    assert_int_equal(fclose(file), 0);
    char *command =
        xasprintf("cd %s && %s/%s --config x.yaml %s 2>&1", folder, build, program, option);
    FILE *pipe = popen(command, "re");
    assert_non_null(pipe);
    size_t size = fread(said, 1, 8191, pipe);
    said[size] = '\0';
    int status = pclose(pipe);
    assert_true(WIFEXITED(status));
    *code = WEXITSTATUS(status);
    free(command);
    free(path);
    return said;
}

static char *check(const char *program, const char *text, int *code)
{
    return ask(program, "--check-config", text, code);
}

static const char coordinator[] = "cluster: shop\ncoordinator: c1\nlisten: tcp://127.0.0.1:7400\n"
                                  "journal: {store: file, directory: /var/lib/troth}\n"
                                  "security: none\n";

/* Line 6 is the one that is given. */
static void expect(const char *line, const char *mistake)
{
    int code;
    char *text = xasprintf("%s%s\n", coordinator, line), *said = check("trothd", text, &code);
    if ((mistake ? 2 : 0) != code || !strstr(said, mistake ? mistake : "x.yaml: good"))
        fail_msg("%s: exit %d: %s", line, code, said);
    free(said);
    free(text);
}

static void pages_are_on_loopback_only(void **state)
{
    (void)state;
    expect("metrics: {listen: 127.0.0.1:7490}", NULL);
    expect("metrics: {listen: '[::1]:7490'}", NULL);
    expect("metrics: {listen: 0.0.0.0:7490}", "x.yaml:6:19: security: none is for loopback only");
    expect("metrics: {listen: '[::]:7490'}", "x.yaml:6:19: security: none is for loopback only");
    expect("metrics: {listen: 192.168.1.1:80}", "x.yaml:6:19: security: none is for loopback");
    expect("metrics: {listen: localhost:7490}", "x.yaml:6:19: localhost:7490 is not an address");
    expect("metrics: {listen: 7490}", "x.yaml:6:19: 7490 is not an address with a port");
    expect("metrics: {lisen: 127.0.0.1:7490}", "x.yaml:6:11: unknown key \"lisen\"");
    expect("metrics: {}", "x.yaml:6:10: ");
    expect("metrics: 127.0.0.1:7490", "x.yaml:6:10: ");
}

static void the_hook_is_a_list_of_words(void **state)
{
    (void)state;
    expect("alerts: {command: [/bin/true]}", NULL);
    expect("alerts: {command: [/bin/sh, -c, 'cat >>/tmp/x']}", NULL);
    expect("alerts: {command: /bin/true}", "x.yaml:6:19: command: expected a list of 1 to 64");
    expect("alerts: {command: []}", "x.yaml:6:19: command: expected a list of 1 to 64 words");
    expect("alerts: {command: ['']}", "x.yaml:6:20: command: the first word is a program's name");
    expect("alerts: {command: [{a: b}]}", "x.yaml:6:20: ");
    expect("alerts: {}", "x.yaml:6:9: ");
}

/* Keys that the samples show in comments stand at a line's begin: "# metrics: ...". */
static char *sample(const char *path)
{
    char *text = xcalloc(1, 64 * 1024), *out = xcalloc(1, 64 * 1024);
    static const char *const keys[] = {"# metrics: ", "# alerts: ", "# audit: "};
    FILE *file = fopen(path, "re");
    assert_non_null(file);
    assert_true(fread(text, 1, 64 * 1024 - 1, file) > 0);
    fclose(file);
    int found = 0;
    for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
        bool shown = false;
        for (int i = 0; i < 3; i++)
            shown = shown || strncmp(line, keys[i], strlen(keys[i])) == 0;
        found += shown;
        strcat(strcat(out, shown ? line + 2 : line), "\n");
    }
    assert_true(found >= 2);
    free(text);
    return out;
}

static void the_samples_are_good_with_every_key(void **state)
{
    int code;
    (void)state;
    char *text = sample("config/trothd.yaml"), *said = check("trothd", text, &code);
    if (code != 0 || strcmp(said, "x.yaml: good\n") != 0)
        fail_msg("exit %d: %s", code, said);
    free(said);
    free(text);
    /* There is no such database, which is found out next. */
    text = sample("config/participant.yaml");
    said = check("troth-participant", text, &code);
    if (code == 2 || strncmp(said, "x.yaml: good, 2 operations\n", 27) != 0)
        fail_msg("exit %d: %s", code, said);
    free(said);
    free(text);
}

/* A service in C has no operations in its file: what is done for it beforehand does not need them.
 * There is no such database, which is found out next. */
static void a_file_without_operations_is_a_services(void **state)
{
    static const char text[] = "cluster: shop\nparticipant: payments\n"
                               "coordinators: [tcp://127.0.0.1:7400]\n"
                               "postgres: {conninfo: host=/nowhere}\nsecurity: none\n";
    int code;
    (void)state;
    char *said = check("troth-participant", text, &code);
    if (code != 1 || strncmp(said, "x.yaml: good, 0 operations\n", 27) != 0)
        fail_msg("exit %d: %s", code, said);
    free(said);
    said = ask("troth-participant", "--install", text, &code);
    if (code != 1 || !strstr(said, "/nowhere"))
        fail_msg("exit %d: %s", code, said);
    free(said);
    said = ask("troth-participant", "", text, &code);
    if (code != 2 ||
        !strstr(said, "\"operations\" is missing here; write \"operations: {}\" to offer none"))
        fail_msg("exit %d: %s", code, said);
    free(said);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(pages_are_on_loopback_only),
        cmocka_unit_test(the_hook_is_a_list_of_words),
        cmocka_unit_test(the_samples_are_good_with_every_key),
        cmocka_unit_test(a_file_without_operations_is_a_services),
    };
    char *here = realpath("/proc/self/exe", NULL);
    CHECK(here != NULL);
    for (int i = 0; i < 3; i++) /* BUILD/t/unit/NAME.t */
        *strrchr(here, '/') = '\0';
    build = here;
    int failed = cmocka_run_group_tests(tests, setup, teardown);
    free(here);
    return failed;
}
