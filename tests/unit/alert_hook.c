/* The hook of alerts, with real commands. What the helper logs comes to the test by a pipe. */
#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <setjmp.h>
#include <signal.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <cmocka.h>

#include "core/check.h"
#include "core/json.h"
#include "io/alert_hook.h"

enum { PATIENCE_MS = 20 * 1000 };

struct rig {
    char folder[64];
    struct alert_hook *hook;
    int log; /* what the helper says */
    char said[64 * 1024];
    size_t size;
};

static int setup(void **state)
{
    struct rig *rig = xcalloc(1, sizeof(*rig));
    snprintf(rig->folder, sizeof(rig->folder), "/tmp/troth-alerts-XXXXXX");
    assert_non_null(mkdtemp(rig->folder));
    rig->log = -1;
    *state = rig;
    return 0;
}

static int teardown(void **state)
{
    struct rig *rig = *state;
    alert_hook_stop(rig->hook);
    if (rig->log >= 0)
        close(rig->log);
    char *command = xasprintf("rm -rf %s", rig->folder);
    int status = system(command);
    free(command);
    free(rig);
    return status;
}

/* Its stderr is ours, as it was when it was forked. */
static void start(struct rig *rig, char *const *command, int limit_ms)
{
    struct alert_hook_config config = {command, "trothd c1", limit_ms};
    struct error error = {0};
    int ends[2], keep = dup(STDERR_FILENO);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    dup2(ends[1], STDERR_FILENO);
    rig->hook = alert_hook_start(&config, &error);
    dup2(keep, STDERR_FILENO);
    close(keep);
    close(ends[1]);
    rig->log = ends[0];
    assert_non_null(rig->hook);
}

static void start_shell(struct rig *rig, const char *script, int limit_ms)
{
    char *words[] = {(char *)"sh", (char *)"-c", (char *)script, (char *)"hook", rig->folder, NULL};
    start(rig, words, limit_ms);
}

static void raise_one(struct rig *rig, const char *kind, const char *subject)
{
    const struct alert_port *port = alert_hook_port(rig->hook);
    struct alert alert = {.kind = kind,
                          .subject = subject,
                          .text = "a \"text\"\nwith two lines \xc3\xa4",
                          .command = "troth tx explain shop.c1.5.17"};
    port->raise(port->self, &alert);
}

static void read_log(struct rig *rig)
{
    struct pollfd fd = {.fd = rig->log, .events = POLLIN};
    assert_int_equal(poll(&fd, 1, PATIENCE_MS), 1);
    ssize_t size = read(rig->log, rig->said + rig->size, sizeof(rig->said) - 1 - rig->size);
    assert_true(size > 0);
    rig->size += (size_t)size;
    rig->said[rig->size] = '\0';
}

static void expect_logged(struct rig *rig, const char *text)
{
    while (!strstr(rig->said, text))
        read_log(rig);
}

static int count_logged(const struct rig *rig, const char *text)
{
    int count = 0;
    for (const char *at = rig->said; (at = strstr(at, text)) != NULL; at++)
        count++;
    return count;
}

static char *read_file(const struct rig *rig, const char *name)
{
    char *path = xasprintf("%s/%s", rig->folder, name), *text = xcalloc(1, 4096);
    FILE *file = fopen(path, "re");
    free(path);
    if (file && fread(text, 1, 4095, file) == 0)
        text[0] = '\0';
    if (file)
        fclose(file);
    return text;
}

/* ---- tests --------------------------------------------------------------------------------- */

static void a_command_reads_the_alert_as_json(void **state)
{
    struct rig *rig = *state;
    start_shell(rig, "cat >\"$1/alert\"; echo not of interest", 0);
    raise_one(rig, "hazard", "shop.c1.5.17");
    expect_logged(rig, "info: the command sh was told the alert hazard of shop.c1.5.17");
    char *text = read_file(rig, "alert");
    assert_non_null(strstr(text, "\"kind\":\"hazard\",\"subject\":\"shop.c1.5.17\""));
    assert_non_null(strstr(text, "\"text\":\"a \\\"text\\\"\\nwith two lines \xc3\xa4\""));
    assert_non_null(strstr(text, "\"command\":\"troth tx explain shop.c1.5.17\""));
    assert_non_null(strstr(text, "\"process\":\"trothd c1\",\"at\":"));
    struct error error = {0};
    struct json *json = json_parse(text, strlen(text), &error);
    assert_non_null(json);
    assert_int_equal(json_member(json, "at")->type, JSON_NUMBER);
    json_free(json);
    free(text);
}

static void one_that_fails_is_logged_with_its_code_and_its_first_line(void **state)
{
    struct rig *rig = *state;
    start_shell(rig, "echo >&2; echo no such pager >&2; echo more >&2; exit 3", 0);
    raise_one(rig, "held", "x");
    expect_logged(rig, "error: the command sh for the alert held of x failed with exit code 3: no "
                       "such pager\n");
    assert_null(strstr(rig->said, "more"));
}

static void a_program_is_looked_for_before_it_is_needed(void **state)
{
    (void)state;
    assert_true(alert_hook_can_run("sh"));
    assert_true(alert_hook_can_run("/bin/sh"));
    assert_false(alert_hook_can_run("/nonexistent/page"));
    assert_false(alert_hook_can_run("no-such-program-is-there"));
    assert_false(alert_hook_can_run("/etc/passwd"));
}

static void one_that_dies_is_logged_with_its_signal(void **state)
{
    struct rig *rig = *state;
    start_shell(rig, "kill -9 $$", 0);
    raise_one(rig, "mixed", "x");
    expect_logged(rig, "for the alert mixed of x was ended by signal 9; it said: nothing");
}

static void one_that_can_not_be_run_is_logged(void **state)
{
    struct rig *rig = *state;
    char *words[] = {(char *)"/nonexistent/page", NULL};
    start(rig, words, 0);
    raise_one(rig, "saga", "x");
    expect_logged(rig, "the command /nonexistent/page for the alert saga of x failed with exit "
                       "code 127: it can't be run: No such file or directory");
}

/* Gone, or a zombie of somebody who does not look. */
static bool is_gone(pid_t pid)
{
    char path[64], line[256] = "";
    snprintf(path, sizeof(path), "/proc/%d/stat", (int)pid);
    FILE *file = fopen(path, "re");
    if (!file)
        return true;
    const char *got = fgets(line, sizeof(line), file);
    fclose(file);
    const char *end = got ? strrchr(line, ')') : NULL;
    return !end || end[2] == 'Z';
}

static void one_that_hangs_is_killed_with_what_it_started(void **state)
{
    struct rig *rig = *state;
    start_shell(rig, "sleep 1000 & echo $! >\"$1/child\"; echo waiting >&2; wait", 300);
    raise_one(rig, "hazard", "x");
    expect_logged(rig, "for the alert hazard of x took too long and was killed; it said: waiting");
    char *text = read_file(rig, "child");
    pid_t child = atoi(text);
    free(text);
    assert_true(child > 1);
    int fd = pidfd_open(child, 0);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    if (fd >= 0) {
        assert_int_equal(poll(&end, 1, PATIENCE_MS), 1);
        close(fd);
    }
    assert_true(is_gone(child));
}

static void four_run_at_once_and_a_hundred_wait(void **state)
{
    struct rig *rig = *state;
    enum { ALERTS = 110, TAKEN = 104 };
    /* All that run wait for the reader of the fifo, which is us. */
    char *fifo = xasprintf("mkfifo %s/go", rig->folder);
    assert_int_equal(system(fifo), 0);
    free(fifo);
    start_shell(rig, "echo $$ >>\"$1/running\"; echo >\"$1/go\"", 0);
    for (int i = 0; i < ALERTS; i++) {
        char subject[16];
        snprintf(subject, sizeof(subject), "%d", i);
        raise_one(rig, "hazard", subject);
    }
    while (count_logged(rig, "is dropped: 100 wait for sh already") < ALERTS - TAKEN)
        read_log(rig);
    char *running = read_file(rig, "running");
    int lines = 0;
    for (const char *at = running; *at; at++)
        lines += *at == '\n';
    free(running);
    assert_true(lines <= 4);
    char *path = xasprintf("%s/go", rig->folder);
    int go = open(path, O_RDWR | O_CLOEXEC);
    free(path);
    assert_true(go >= 0);
    while (count_logged(rig, "was told the alert") < TAKEN)
        read_log(rig);
    assert_int_equal(count_logged(rig, "is dropped"), ALERTS - TAKEN);
    close(go);
}

static void the_helper_has_nothing_of_ours_open(void **state)
{
    struct rig *rig = *state;
    char path[64];
    start_shell(rig, "cat >/dev/null", 0);
    int later = open(rig->folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(later >= 0);
    raise_one(rig, "hazard", "x");
    expect_logged(rig, "was told");
    snprintf(path, sizeof(path), "/proc/%d/fd", (int)alert_hook_process(rig->hook));
    DIR *folder = opendir(path);
    assert_non_null(folder);
    for (struct dirent *entry; (entry = readdir(folder)) != NULL;) {
        char target[128] = "";
        if (entry->d_name[0] == '.')
            continue;
        assert_true(readlinkat(dirfd(folder), entry->d_name, target, sizeof(target) - 1) > 0);
        assert_null(strstr(target, "/tmp/troth-alerts-"));
    }
    closedir(folder);
    close(later);
}

static void the_helper_ends_with_who_made_it(void **state)
{
    struct rig *rig = *state;
    int ends[2];
    pid_t helper = 0;
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    pid_t maker = fork();
    if (maker == 0) {
        start_shell(rig, "sleep 1000", 0);
        raise_one(rig, "hazard", "x");
        pid_t pid = alert_hook_process(rig->hook);
        if (write(ends[1], &pid, sizeof(pid)) != sizeof(pid))
            _exit(1);
        for (;;)
            pause();
    }
    close(ends[1]);
    assert_int_equal(read(ends[0], &helper, sizeof(helper)), sizeof(helper));
    close(ends[0]);
    int fd = pidfd_open(helper, 0);
    assert_true(fd >= 0);
    kill(maker, SIGKILL);
    assert_int_equal(waitpid(maker, NULL, 0), maker);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, PATIENCE_MS), 1);
    close(fd);
    assert_int_equal(waitpid(helper, NULL, 0), helper); /* we are its parent now: main says so */
}

static void it_is_said_when_the_helper_is_gone(void **state)
{
    struct rig *rig = *state;
    start_shell(rig, "true", 0);
    pid_t pid = alert_hook_process(rig->hook);
    int fd = pidfd_open(pid, 0), ends[2], keep = dup(STDERR_FILENO);
    kill(pid, SIGKILL);
    struct pollfd end = {.fd = fd, .events = POLLIN};
    assert_int_equal(poll(&end, 1, PATIENCE_MS), 1);
    close(fd);
    close(rig->log);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    rig->log = ends[0];
    dup2(ends[1], STDERR_FILENO);
    raise_one(rig, "hazard", "x");
    dup2(keep, STDERR_FILENO);
    close(keep);
    close(ends[1]);
    expect_logged(rig, "error: the alert hazard of x reaches no command: the process that runs "
                       "them is gone");
}

int main(void)
{
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(a_command_reads_the_alert_as_json),
        TEST(one_that_fails_is_logged_with_its_code_and_its_first_line),
        cmocka_unit_test(a_program_is_looked_for_before_it_is_needed),
        TEST(one_that_dies_is_logged_with_its_signal),
        TEST(one_that_can_not_be_run_is_logged),
        TEST(one_that_hangs_is_killed_with_what_it_started),
        TEST(four_run_at_once_and_a_hundred_wait),
        TEST(the_helper_has_nothing_of_ours_open),
        TEST(the_helper_ends_with_who_made_it),
        TEST(it_is_said_when_the_helper_is_gone),
    };
    prctl(PR_SET_CHILD_SUBREAPER, 1);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
