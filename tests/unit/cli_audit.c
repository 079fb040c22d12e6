/* audit verify and audit show, on a log as a coordinator writes it. */
#include "tests/unit/cli_kit.h"

#include "core/json.h"
#include "io/audit.h"

struct desk {
    char *folder, *path;
};

static int64_t wall_us(void *self)
{
    int64_t *at_us = self;
    return *at_us += 60 * 1000000;
}

static int64_t clock_us;

static void append(struct audit *audit, struct audit_entry entry)
{
    audit_port(audit)->append(audit_port(audit)->self, &entry);
}

static int setup(void **state)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    struct host_port host = {.self = &clock_us, .wall_us = wall_us};
    desk->folder = xstrdup("/tmp/troth-audit-XXXXXX");
    CHECK(mkdtemp(desk->folder) != NULL);
    desk->path = xasprintf("%s/audit.log", desk->folder);
    clock_us = 1795222861000000;
    struct audit *audit = audit_open(desk->path, "trothd c1", &host, NULL);
    assert_non_null(audit);
    append(audit, (struct audit_entry){.action = "tx resolve --abort",
                                       .subject = "shop.c1.1795222861.42",
                                       .by = "ada@host",
                                       .reason = "rows are\x1b[31m locked",
                                       .stage = "ordered",
                                       .before = "held"});
    append(audit, (struct audit_entry){.action = "tx resolve --abort",
                                       .subject = "shop.c1.1795222861.42",
                                       .by = "ada@host",
                                       .stage = "done",
                                       .after = "heuristic abort"});
    append(audit, (struct audit_entry){.action = "saga retry",
                                       .subject = "shop.c1.1795222861.43",
                                       .by = "bob@host",
                                       .stage = "refused",
                                       .after = "saga_ended"});
    audit_close(audit);
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    unlink(desk->path);
    assert_int_equal(rmdir(desk->folder), 0);
    free(desk->folder);
    free(desk->path);
    free(desk);
    return 0;
}

static void change_a_byte(const struct desk *desk, off_t offset)
{
    int fd = open(desk->path, O_RDWR);
    char byte;
    CHECK(fd >= 0 && pread(fd, &byte, 1, offset) == 1);
    byte ^= 1;
    CHECK(pwrite(fd, &byte, 1, offset) == 1);
    close(fd);
}

static void a_sound_log_tells_its_facts(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("audit", "verify", desk->path));
    assert_code(run, 0);
    assert_out(run, ": sound\n  lines      4\n  first      2026-11-21T01:02:01.000Z\n"
                    "  last       2026-11-21T01:05:01.000Z\n  last hash  ");
    run_fini(&run);
}

static void a_hash_of_a_copy_is_looked_for(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("audit", "verify", "--json", desk->path));
    assert_code(run, 0);
    struct json *json = json_parse(run.out, strlen(run.out), NULL);
    assert_non_null(json);
    char *hash = xstrdup(json_member(json, "last_hash")->text);
    json_free(json);
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "verify", desk->path, "--expect", hash));
    assert_code(run, 0);
    assert_out(run, "hash is that of line 4");
    run_fini(&run);
    /* Its last line is cut off: only who knows the hash can tell. */
    FILE *file = fopen(desk->path, "re");
    char line[2000];
    off_t kept = 0;
    for (int i = 0; i < 3; i++) {
        CHECK(fgets(line, sizeof(line), file));
        kept += (off_t)strlen(line);
    }
    fclose(file);
    CHECK(truncate(desk->path, kept) == 0);
    run = kit_run(NULL, WORDS("audit", "verify", desk->path));
    assert_code(run, 0);
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "verify", desk->path, "--expect", hash));
    assert_code(run, 5);
    assert_err(run, "no line has the expected hash");
    run_fini(&run);
    free(hash);
    run = kit_run(NULL, WORDS("audit", "verify", desk->path, "--expect", "12"));
    assert_code(run, 2);
    run_fini(&run);
}

static void a_broken_log_is_exit_code_5_and_names_the_line(void **state)
{
    struct desk *desk = *state;
    change_a_byte(desk, 300); /* in the second line */
    struct run run = kit_run(NULL, WORDS("audit", "verify", desk->path));
    assert_code(run, 5);
    assert_out(run, ": BROKEN; sound before that:\n  lines      1\n");
    assert_err(run, "line 2 is not sound");
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "verify", "--json", desk->path));
    assert_code(run, 5);
    assert_out(run, "{\"sound\":false,\"lines\":1,");
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "show", desk->path));
    assert_code(run, 5);
    assert_err(run, "line 2 is not sound");
    run_fini(&run);
}

static void what_is_not_there_is_exit_code_2(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("audit", "verify", "/nowhere/audit.log"));
    assert_code(run, 2);
    assert_err(run, "cannot open the audit log /nowhere/audit.log");
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "show", "/nowhere/audit.log"));
    assert_code(run, 2);
    run_fini(&run);
}

static void orders_are_listed_newest_last(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("audit", "show", desk->path));
    assert_code(run, 0);
    assert_out(run, "TIME                 STAGE    ACTION               SUBJECT\n");
    assert_out(run, "2026-11-21T01:03:01  ordered  tx resolve --abort   shop.c1.1795222861.42\n"
                    "    ada@host: rows are\\x1b[31m locked\n"
                    "    before: held\n");
    const char *done = strstr(run.out, "heuristic abort"), *last = strstr(run.out, "saga_ended");
    assert_true(done && last && done < last);
    for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"))
        assert_true(strlen(line) <= 80);
    run_fini(&run);
}

static void lines_are_filtered(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("audit", "show", desk->path, "--by", "bob"));
    assert_code(run, 0);
    assert_out(run, "saga retry");
    assert_null(strstr(run.out, "ada"));
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "show", desk->path, "--subject", ".42", "--json"));
    assert_code(run, 0);
    int count = 0;
    for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"), count++)
        assert_non_null(strstr(line, "\"subject\":\"shop.c1.1795222861.42\""));
    assert_int_equal(count, 2);
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "show", desk->path, "--since", "2026-11-21T01:04:00"));
    assert_code(run, 0);
    assert_out(run, "heuristic abort");
    assert_null(strstr(run.out, "ordered"));
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "show", desk->path, "--action", "forget"));
    assert_code(run, 0);
    assert_out(run, "nothing of that kind");
    run_fini(&run);
    run = kit_run(NULL, WORDS("audit", "show", desk->path, "--since", "yesterday"));
    assert_code(run, 2);
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    log_setup("cli_audit", LOG_TEXT, LOG_ERROR);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(a_sound_log_tells_its_facts),
        TEST(a_hash_of_a_copy_is_looked_for),
        TEST(a_broken_log_is_exit_code_5_and_names_the_line),
        TEST(what_is_not_there_is_exit_code_2),
        TEST(orders_are_listed_newest_last),
        TEST(lines_are_filtered),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
