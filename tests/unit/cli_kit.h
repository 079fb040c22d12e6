/* What the tests of the command line share: they run the built `troth` as a person would, and read
 * what it prints; some with a coordinator in the test that answers as it is told. */
#ifndef TROTH_TESTS_UNIT_CLI_KIT_H
#define TROTH_TESTS_UNIT_CLI_KIT_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/check.h"
#include "io/log.h"
#include "io/loop.h"
#include "io/nano.h"

static char *kit_troth; /* path of the program */
static int kit_running; /* its process, while kit_run_on waits for it */

/* From TROTH_BUILD, or from where this test lies: BUILD/t/unit/NAME.t. */
static inline void kit_find(const char *argv0)
{
    const char *build = getenv("TROTH_BUILD");
    if (build) {
        kit_troth = xasprintf("%s/troth", build);
    } else {
        const char *slash = strrchr(argv0, '/');
        int size = slash ? (int)(slash - argv0) : 1;
        kit_troth = xasprintf("%.*s/../../troth", size, slash ? argv0 : ".");
    }
    if (access(kit_troth, X_OK) != 0) {
        printf("Bail out! %s is not built (TROTH_BUILD names the folder)\n", kit_troth);
        exit(1);
    }
    unsetenv("TROTH_COORDINATOR");
    unsetenv("COLUMNS");
}

/* What a run of troth left. */
struct run {
    int code;
    char *out, *err;
    struct loop *loop; /* while it runs */
};

static inline void run_fini(struct run *run)
{
    free(run->out);
    free(run->err);
}

/* An open file that is in no directory, holding the text. */
static inline int kit_file(const char *text)
{
    FILE *file = tmpfile();
    CHECK(file != NULL);
    if (text)
        CHECK(fputs(text, file) >= 0);
    CHECK(fflush(file) == 0);
    int number = dup(fileno(file));
    CHECK(number >= 0 && lseek(number, 0, SEEK_SET) == 0);
    fclose(file);
    return number;
}

static inline char *kit_slurp(int file)
{
    off_t size = lseek(file, 0, SEEK_END);
    char *text = xcalloc(1, (size_t)size + 1);
    CHECK(pread(file, text, (size_t)size, 0) == size);
    close(file);
    return text;
}

static inline void kit_exited(uv_process_t *process, int64_t status, int signal)
{
    struct run *run = process->data;
    run->code = signal ? 128 + signal : (int)status;
    loop_stop(run->loop);
    uv_close((uv_handle_t *)process, NULL);
}

/* Runs troth with these words (NULL-ended) and this stdin (NULL: empty), on a loop that may serve
 * it meanwhile. out_path: where stdout goes instead of into run->out, or NULL. */
static inline struct run kit_run_on(struct loop *loop, const char *in, const char *out_path,
                                    const char *const *words)
{
    enum { WORDS_MAX = 300 };
    char *argv[WORDS_MAX] = {kit_troth};
    int count = 1;
    for (; words[count - 1]; count++) {
        CHECK(count < WORDS_MAX - 1);
        argv[count] = (char *)words[count - 1];
    }
    struct run run = {.code = -1, .loop = loop};
    int files[3] = {kit_file(in), out_path ? open(out_path, O_WRONLY) : kit_file(NULL),
                    kit_file(NULL)};
    uv_stdio_container_t streams[3];
    for (int i = 0; i < 3; i++) {
        CHECK(files[i] >= 0);
        streams[i] = (uv_stdio_container_t){.flags = UV_INHERIT_FD, .data.fd = files[i]};
    }
    uv_process_options_t options = {
        .exit_cb = kit_exited, .file = kit_troth, .args = argv, .stdio = streams, .stdio_count = 3};
    uv_process_t process = {.data = &run};
    CHECK(uv_spawn(loop_uv(loop), &process, &options) == 0);
    kit_running = process.pid;
    loop_run(loop);
    uv_run(loop_uv(loop), UV_RUN_NOWAIT); /* the close callback, before process goes */
    close(files[0]);
    if (out_path)
        close(files[1]);
    run.out = out_path ? xstrdup("") : kit_slurp(files[1]);
    run.err = kit_slurp(files[2]);
    return run;
}

static inline struct run kit_run(const char *in, const char *const *words)
{
    struct loop *loop = loop_new();
    struct run run = kit_run_on(loop, in, NULL, words);
    loop_free(loop);
    return run;
}

#define WORDS(...)                                                                                 \
    (const char *const[])                                                                          \
    {                                                                                              \
        __VA_ARGS__, NULL                                                                          \
    }

static inline void kit_has(const struct run *run, const char *name, const char *text,
                           const char *part)
{
    if (!strstr(text, part))
        fail_msg("%s has no \"%s\"; exit %d, stdout:\n%s\nstderr:\n%s", name, part, run->code,
                 run->out, run->err);
}

#define assert_out(run, part) kit_has(&(run), "stdout", (run).out, part)
#define assert_err(run, part) kit_has(&(run), "stderr", (run).err, part)
#define assert_code(run, number)                                                                   \
    do {                                                                                           \
        if ((run).code != (number))                                                                \
            fail_msg("exit code %d, not %d; stdout:\n%s\nstderr:\n%s", (run).code, number,         \
                     (run).out, (run).err);                                                        \
    } while (0)

#endif
