/* The audit log: whatever is done to a file of it is found, and nothing that a crash leaves keeps
 * the next start from going on. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "core/json.h"
#include "io/audit.h"
#include "io/log.h"

enum { ENTRIES = 5, LINES = ENTRIES + 1 };

struct desk {
    char *folder, *path;
};

static int64_t wall_us(void *self)
{
    int64_t *at_us = self;
    return *at_us += 1000001;
}

static int64_t clock_us = 1795222861123456;

static struct host_port host(void)
{
    return (struct host_port){.self = &clock_us, .wall_us = wall_us};
}

static struct audit *open_log(const char *path, struct error *error)
{
    struct host_port port = host();
    return audit_open(path, "trothd c1", &port, error);
}

static struct audit *open_sound(const char *path)
{
    struct error error = {0};
    struct audit *audit = open_log(path, &error);
    if (!audit)
        fail_msg("%s: %s", error.message, error.detail);
    return audit;
}

static void append(struct audit *audit, const char *reason)
{
    const struct audit_entry entry = {.action = "tx resolve --abort",
                                      .subject = "shop.c1.7.1",
                                      .by = "ada@host",
                                      .session = "cli-1 operator",
                                      .reason = reason,
                                      .stage = "ordered",
                                      .before = "held; prepared at payments"};
    audit_port(audit)->append(audit_port(audit)->self, &entry);
}

static int setup(void **state)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    /* Memory, where there is such a file system: a test of every bit writes the file very often. */
    desk->folder =
        xasprintf("%s/troth-audit-XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    CHECK(mkdtemp(desk->folder) != NULL);
    desk->path = xasprintf("%s/audit.log", desk->folder);
    struct audit *audit = open_sound(desk->path);
    for (int i = 0; i < ENTRIES; i++)
        append(audit, i % 2 ? "the \"pump\" failed\x1b\n" : "it is late");
    audit_close(audit);
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    char *moved = xasprintf("%s.1", desk->path);
    unlink(desk->path);
    unlink(moved);
    assert_int_equal(rmdir(desk->folder), 0);
    free(moved);
    free(desk->folder);
    free(desk->path);
    free(desk);
    return 0;
}

static char *load(const char *path, size_t *size)
{
    FILE *file = fopen(path, "re");
    CHECK(file != NULL);
    CHECK(fseek(file, 0, SEEK_END) == 0);
    *size = (size_t)ftell(file);
    rewind(file);
    char *bytes = xcalloc(1, *size + 1);
    CHECK(fread(bytes, 1, *size, file) == *size);
    fclose(file);
    return bytes;
}

static void store(const char *path, const char *bytes, size_t size)
{
    FILE *file = fopen(path, "we");
    CHECK(file != NULL && fwrite(bytes, 1, size, file) == size);
    CHECK(fclose(file) == 0);
}

static struct error verify_error(const char *path)
{
    struct audit_facts facts;
    struct error error = {0};
    if (audit_verify(path, &facts, NULL, NULL, &error))
        fail_msg("%s is taken for sound", path);
    assert_int_equal(error.kind, ERROR_CORRUPT);
    return error;
}

static void expect_lines(const char *path, uint64_t lines)
{
    struct audit_facts facts;
    struct error error = {0};
    if (!audit_verify(path, &facts, NULL, NULL, &error))
        fail_msg("%s: %s", error.message, error.detail);
    assert_int_equal(facts.lines, lines);
}

/* The file's lines, each with its newline. */
struct lines {
    char *of[LINES];
    size_t sizes[LINES];
    char *bytes;
};

static struct lines split(const char *path)
{
    struct lines lines = {0};
    size_t size;
    lines.bytes = load(path, &size);
    char *at = lines.bytes;
    for (int i = 0; i < LINES; i++) {
        char *end = strchr(at, '\n');
        CHECK(end != NULL);
        lines.of[i] = at;
        lines.sizes[i] = (size_t)(end - at) + 1;
        at = end + 1;
    }
    CHECK(at == lines.bytes + size);
    return lines;
}

/* Stores the lines of these numbers, -1 ends them. */
static void store_order(const char *path, const struct lines *lines, const int *order)
{
    FILE *file = fopen(path, "we");
    CHECK(file != NULL);
    for (; *order >= 0; order++)
        CHECK(fwrite(lines->of[*order], 1, lines->sizes[*order], file) == lines->sizes[*order]);
    CHECK(fclose(file) == 0);
}

/* ---- what is written ---------------------------------------------------------------------- */

static bool take_line(void *self, const char *line)
{
    struct json **into = self;
    while (*into)
        into++;
    *into = json_parse(line, strlen(line), NULL);
    assert_non_null(*into);
    return true;
}

static void lines_hold_what_was_ordered(void **state)
{
    struct desk *desk = *state;
    struct json *lines[LINES + 1] = {0};
    struct audit_facts facts;
    struct error error = {0};
    assert_true(audit_verify(desk->path, &facts, take_line, lines, &error));
    assert_int_equal(facts.lines, LINES);
    assert_true(facts.last_us > facts.first_us && facts.first_us > 1795222861000000);
    assert_string_equal(json_member(lines[0], "action")->text, "begin");
    assert_int_equal(json_member(lines[0], "previous")->type, JSON_NULL);
    const char *const expected[][2] = {{"process", "trothd c1"},
                                       {"action", "tx resolve --abort"},
                                       {"subject", "shop.c1.7.1"},
                                       {"stage", "ordered"},
                                       {"by", "ada@host"},
                                       {"session", "cli-1 operator"},
                                       {"reason", "the \"pump\" failed\x1b\n"},
                                       {"before", "held; prepared at payments"}};
    for (size_t i = 0; i < sizeof(expected) / sizeof(expected[0]); i++)
        assert_string_equal(json_member(lines[2], expected[i][0])->text, expected[i][1]);
    assert_null(json_member(lines[2], "after"));
    assert_string_equal(json_member(lines[LINES - 1], "hash")->text, facts.last_hash);
    for (int i = 0; i < LINES; i++)
        json_free(lines[i]);
}

static void only_its_owner_may_read_it(void **state)
{
    struct desk *desk = *state;
    struct stat facts;
    assert_int_equal(stat(desk->path, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0600);
}

static void next_start_goes_on(void **state)
{
    struct desk *desk = *state;
    struct audit *audit = open_sound(desk->path);
    append(audit, "again");
    audit_close(audit);
    expect_lines(desk->path, LINES + 1);
}

static void text_that_is_no_utf8_stays_json(void **state)
{
    struct desk *desk = *state;
    struct audit *audit = open_sound(desk->path);
    append(audit, "\xff\xfe\x80");
    audit_close(audit);
    expect_lines(desk->path, LINES + 1);
}

static void second_writer_is_refused(void **state)
{
    struct desk *desk = *state;
    struct error error = {0};
    struct audit *audit = open_sound(desk->path);
    assert_null(open_log(desk->path, &error));
    assert_int_equal(error.kind, ERROR_REFUSED);
    assert_non_null(strstr(error.message, "in use by another process"));
    audit_close(audit);
}

static void file_that_is_moved_away_is_whole_and_a_new_one_begins(void **state)
{
    struct desk *desk = *state;
    char *moved = xasprintf("%s.1", desk->path);
    struct audit *audit = open_sound(desk->path);
    append(audit, "before");
    assert_int_equal(rename(desk->path, moved), 0);
    append(audit, "after");
    audit_close(audit);
    expect_lines(moved, LINES + 1);
    expect_lines(desk->path, 2); /* its first one, and this */
    free(moved);
}

/* ---- what is found ------------------------------------------------------------------------ */

static void flip_of_any_byte_is_found(void **state)
{
    struct desk *desk = *state;
    size_t size;
    char *bytes = load(desk->path, &size);
    for (size_t i = 0; i < size; i++) {
        for (int bit = 0; bit < 8; bit++) {
            bytes[i] ^= (char)(1 << bit);
            store(desk->path, bytes, size);
            verify_error(desk->path);
            bytes[i] ^= (char)(1 << bit);
        }
    }
    store(desk->path, bytes, size);
    expect_lines(desk->path, LINES);
    free(bytes);
}

static void cut_at_any_byte_but_a_line_s_end_is_found(void **state)
{
    struct desk *desk = *state;
    size_t size;
    char *bytes = load(desk->path, &size);
    for (size_t length = 0; length < size; length++) {
        store(desk->path, bytes, length);
        /* Whole lines that are missing at the end can be seen only by who knows the last hash. */
        if (length == 0 || bytes[length - 1] != '\n')
            verify_error(desk->path);
    }
    free(bytes);
}

static void cut_at_the_end_has_another_last_hash(void **state)
{
    struct desk *desk = *state;
    struct lines lines = split(desk->path);
    struct audit_facts whole, cut;
    assert_true(audit_verify(desk->path, &whole, NULL, NULL, NULL));
    store_order(desk->path, &lines, (int[]){0, 1, 2, 3, 4, -1});
    assert_true(audit_verify(desk->path, &cut, NULL, NULL, NULL));
    assert_string_not_equal(whole.last_hash, cut.last_hash);
    free(lines.bytes);
}

static void line_that_is_removed_is_found(void **state)
{
    struct desk *desk = *state;
    struct lines lines = split(desk->path);
    for (int gone = 0; gone < LINES - 1; gone++) {
        int order[LINES + 1], count = 0;
        for (int i = 0; i < LINES; i++) {
            if (i != gone)
                order[count++] = i;
        }
        order[count] = -1;
        store_order(desk->path, &lines, order);
        struct error error = verify_error(desk->path);
        char *place = xasprintf("line %d is not sound", gone + 1);
        assert_non_null(strstr(error.message, place));
        assert_non_null(strstr(error.detail, "missing"));
        free(place);
    }
    free(lines.bytes);
}

static void lines_that_are_swapped_are_found(void **state)
{
    struct desk *desk = *state;
    struct lines lines = split(desk->path);
    for (int a = 0; a < LINES; a++) {
        for (int b = a + 1; b < LINES; b++) {
            int order[LINES + 1] = {0, 1, 2, 3, 4, 5, -1};
            order[a] = b;
            order[b] = a;
            store_order(desk->path, &lines, order);
            verify_error(desk->path);
        }
    }
    free(lines.bytes);
}

static void line_that_is_doubled_is_found(void **state)
{
    struct desk *desk = *state;
    struct lines lines = split(desk->path);
    for (int from = 0; from < LINES; from++) {
        for (int to = 0; to <= LINES; to++) {
            int order[LINES + 2], count = 0;
            for (int i = 0; i <= LINES; i++) {
                if (i == to)
                    order[count++] = from;
                if (i < LINES)
                    order[count++] = i;
            }
            order[count] = -1;
            store_order(desk->path, &lines, order);
            verify_error(desk->path);
        }
    }
    free(lines.bytes);
}

/* Two logs of the same process, both sound: a line of one is none of the other. */
static void line_of_another_log_is_found(void **state)
{
    struct desk *desk = *state;
    char *other = xasprintf("%s.1", desk->path);
    struct audit *audit = open_sound(other);
    for (int i = 0; i < ENTRIES; i++)
        append(audit, "other");
    audit_close(audit);
    struct lines ours = split(desk->path), theirs = split(other);
    for (int i = 0; i < LINES; i++) {
        struct lines mixed = ours;
        mixed.of[i] = theirs.of[i];
        mixed.sizes[i] = theirs.sizes[i];
        store_order(desk->path, &mixed, (int[]){0, 1, 2, 3, 4, 5, -1});
        verify_error(desk->path);
    }
    free(ours.bytes);
    free(theirs.bytes);
    free(other);
}

static void file_that_is_not_there_is_no_broken_one(void **state)
{
    (void)state;
    struct audit_facts facts;
    struct error error = {0};
    assert_false(audit_verify("/nowhere/audit.log", &facts, NULL, NULL, &error));
    assert_int_equal(error.kind, ERROR_IO);
}

/* ---- what crashes leave ------------------------------------------------------------------- */

/* A crash may leave any beginning of the last line; nobody was answered. */
static void torn_line_is_closed_off_and_its_rest_is_guarded(void **state)
{
    struct desk *desk = *state;
    struct lines lines = split(desk->path);
    size_t whole = (size_t)(lines.of[LINES - 1] - lines.bytes);
    for (size_t left = 1; left < lines.sizes[LINES - 1]; left += left < 12 ? 1 : 41) {
        store(desk->path, lines.bytes, whole + left);
        struct audit *audit = open_sound(desk->path);
        append(audit, "after the crash");
        audit_close(audit);
        expect_lines(desk->path, LINES + 1); /* one torn, one that says so, one more */
        size_t size;
        char *bytes = load(desk->path, &size);
        for (size_t i = whole; i < whole + left; i++) {
            bytes[i] ^= 1;
            store(desk->path, bytes, size);
            verify_error(desk->path);
            bytes[i] ^= 1;
        }
        memmove(bytes + whole, bytes + whole + left + 1, size - whole - left - 1);
        store(desk->path, bytes, size - left - 1); /* without the torn line */
        verify_error(desk->path);
        free(bytes);
    }
    free(lines.bytes);
}

static void zeros_that_a_power_loss_left_are_closed_off(void **state)
{
    struct desk *desk = *state;
    size_t size;
    char *bytes = load(desk->path, &size);
    bytes = xrealloc(bytes, size + 300);
    memset(bytes + size, 0, 300);
    store(desk->path, bytes, size + 300);
    verify_error(desk->path);
    audit_close(open_sound(desk->path));
    expect_lines(desk->path, LINES + 1);
    free(bytes);
}

static void log_whose_last_line_was_changed_is_not_gone_on_with(void **state)
{
    struct desk *desk = *state;
    struct error error = {0};
    size_t size;
    char *bytes = load(desk->path, &size);
    bytes[size - 90] ^= 1;
    store(desk->path, bytes, size);
    assert_null(open_log(desk->path, &error));
    assert_int_equal(error.kind, ERROR_CORRUPT);
    assert_non_null(strstr(error.message, "is not sound"));
    free(bytes);
}

static void file_of_something_else_is_not_written_to(void **state)
{
    struct desk *desk = *state;
    static const char *const others[] = {"cluster: shop", "cluster: shop\n", "a\nb\nc"};
    for (size_t i = 0; i < sizeof(others) / sizeof(others[0]); i++) {
        struct error error = {0};
        size_t size;
        store(desk->path, others[i], strlen(others[i]));
        assert_null(open_log(desk->path, &error));
        char *bytes = load(desk->path, &size);
        assert_string_equal(bytes, others[i]);
        free(bytes);
    }
}

static void kill_at_any_moment_leaves_a_log_to_go_on_with(void **state)
{
    enum { KILLS = 25 };
    struct desk *desk = *state;
    uint64_t lines = LINES;
    for (int i = 0; i < KILLS; i++) {
        int pipes[2];
        CHECK(pipe(pipes) == 0);
        pid_t child = fork();
        CHECK(child >= 0);
        if (child == 0) {
            struct audit *audit = open_log(desk->path, NULL);
            for (char answer = audit ? 'a' : 'x';; append(audit, "under fire"))
                CHECK(write(pipes[1], &answer, 1) == 1); /* this many were answered */
        }
        close(pipes[1]);
        char answers[64];
        ssize_t answered = 0;
        while (answered < 3 + i) {
            ssize_t got = read(pipes[0], answers, (size_t)(3 + i - answered));
            CHECK(got > 0 && answers[0] == 'a');
            answered += got;
        }
        CHECK(kill(child, SIGKILL) == 0 && waitpid(child, NULL, 0) == child);
        for (ssize_t got; (got = read(pipes[0], answers, sizeof(answers))) > 0;)
            answered += got;
        close(pipes[0]);
        lines += (uint64_t)answered - 1;
        struct audit_facts facts;
        audit_close(open_sound(desk->path));
        assert_true(audit_verify(desk->path, &facts, NULL, NULL, NULL));
        assert_true(facts.lines >= lines && facts.lines <= lines + 1);
        lines = facts.lines;
    }
}

static void full_disk_ends_the_process_and_says_why(void **state)
{
    struct desk *desk = *state;
    size_t size;
    free(load(desk->path, &size));
    int pipes[2];
    CHECK(pipe(pipes) == 0);
    pid_t child = fork();
    CHECK(child >= 0);
    if (child == 0) {
        struct rlimit limit = {size + 100, size + 100}; /* room for a part of a line */
        CHECK(dup2(pipes[1], STDERR_FILENO) >= 0 && setrlimit(RLIMIT_FSIZE, &limit) == 0);
        struct audit *audit = open_log(desk->path, NULL);
        append(audit, "no room");
        _exit(0);
    }
    close(pipes[1]);
    char said[2000] = "";
    for (size_t got = 0; got < sizeof(said) - 1;) {
        ssize_t more = read(pipes[0], said + got, sizeof(said) - 1 - got);
        if (more <= 0)
            break;
        got += (size_t)more;
    }
    close(pipes[0]);
    int status;
    CHECK(waitpid(child, &status, 0) == child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 1);
    assert_non_null(strstr(said, "cannot write to the audit log"));
    expect_lines(desk->path, LINES); /* nothing of the line stayed */
    struct audit *audit = open_sound(desk->path);
    append(audit, "room again");
    audit_close(audit);
    expect_lines(desk->path, LINES + 1);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    log_setup("audit", LOG_TEXT, LOG_ERROR);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(lines_hold_what_was_ordered),
        TEST(only_its_owner_may_read_it),
        TEST(next_start_goes_on),
        TEST(text_that_is_no_utf8_stays_json),
        TEST(second_writer_is_refused),
        TEST(file_that_is_moved_away_is_whole_and_a_new_one_begins),
        TEST(flip_of_any_byte_is_found),
        TEST(cut_at_any_byte_but_a_line_s_end_is_found),
        TEST(cut_at_the_end_has_another_last_hash),
        TEST(line_that_is_removed_is_found),
        TEST(lines_that_are_swapped_are_found),
        TEST(line_that_is_doubled_is_found),
        TEST(line_of_another_log_is_found),
        TEST(file_that_is_not_there_is_no_broken_one),
        TEST(torn_line_is_closed_off_and_its_rest_is_guarded),
        TEST(zeros_that_a_power_loss_left_are_closed_off),
        TEST(log_whose_last_line_was_changed_is_not_gone_on_with),
        TEST(file_of_something_else_is_not_written_to),
        TEST(kill_at_any_moment_leaves_a_log_to_go_on_with),
        TEST(full_disk_ends_the_process_and_says_why),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
