/* --journal DIR: what a journal alone tells, of a coordinator that is away, runs, or never comes
 * back; and what is told of one that is damaged. */
#include "tests/unit/cli_kit.h"
#include "tests/unit/journal_kit.h"

#include "core/json.h"
#include "journal.pb-c.h"

struct desk {
    struct loop *loop;
    char *directory;
    struct file_journal *journal; /* NULL: nobody has it open */
};

enum { BEGUN_S = 1795222861, EPOCH = BEGUN_S };

static bool no_replay(void *self, const void *record, size_t size, struct error *error)
{
    (void)self, (void)record, (void)size, (void)error;
    return true;
}

static void on_durable(void *self, uint64_t position)
{
    (void)position;
    loop_stop(((struct desk *)self)->loop);
}

/* Each record becomes a frame of its own: the next is appended when it is durable. */
static void append(struct desk *desk, const Journal__Record *record)
{
    size_t size = journal__record__get_packed_size(record);
    uint8_t *bytes = xmalloc(size);
    journal__record__pack(record, bytes);
    const struct journal_port *port = file_journal_port(desk->journal);
    port->append(port->self, bytes, size, true);
    free(bytes);
    loop_run(desk->loop);
}

#define APPEND(desk, field, CASE, value)                                                           \
    do {                                                                                           \
        Journal__Record record = JOURNAL__RECORD__INIT;                                            \
        record.body_case = JOURNAL__RECORD__BODY_##CASE;                                           \
        record.field = &(value);                                                                   \
        append(desk, &record);                                                                     \
    } while (0)

static int64_t at_us(int second)
{
    return (BEGUN_S + second) * 1000000ll;
}

static void append_started(struct desk *desk)
{
    Journal__Started started = JOURNAL__STARTED__INIT;
    started.epoch = EPOCH;
    started.cluster = (char *)"shop";
    started.coordinator = (char *)"c1";
    started.at_us = at_us(0);
    started.software = (char *)"troth";
    APPEND(desk, started, STARTED, started);
}

static void append_committed(struct desk *desk, uint64_t seq, int second)
{
    Journal__Branch of[] = {JOURNAL__BRANCH__INIT, JOURNAL__BRANCH__INIT};
    Journal__Branch *branches[] = {&of[0], &of[1]};
    Journal__Committed committed = JOURNAL__COMMITTED__INIT;
    of[0].participant = (char *)"payments";
    of[0].xid = 771;
    of[1].participant = (char *)"inventory";
    of[1].index = 1;
    committed.epoch = EPOCH;
    committed.seq = seq;
    committed.at_us = at_us(second);
    committed.begun_us = at_us(second) - 1000;
    committed.branches = branches;
    committed.n_branches = 2;
    APPEND(desk, committed, COMMITTED, committed);
}

static void append_ended(struct desk *desk, uint64_t seq, int second)
{
    Journal__Ended ended = JOURNAL__ENDED__INIT;
    ended.epoch = EPOCH;
    ended.seq = seq;
    ended.at_us = at_us(second);
    APPEND(desk, ended, ENDED, ended);
}

static void append_proposed(struct desk *desk, uint64_t seq, int second)
{
    char *sites[] = {(char *)"payments", (char *)"inventory"};
    Journal__Branch of[] = {JOURNAL__BRANCH__INIT, JOURNAL__BRANCH__INIT};
    Journal__Branch *branches[] = {&of[0], &of[1]};
    Journal__Committed proposal = JOURNAL__COMMITTED__INIT;
    Journal__Proposed proposed = JOURNAL__PROPOSED__INIT;
    of[0].participant = sites[0];
    of[1].participant = sites[1];
    of[1].index = 1;
    proposal.epoch = EPOCH;
    proposal.seq = seq;
    proposal.begun_us = at_us(second);
    proposal.branches = branches;
    proposal.n_branches = 2;
    proposed.proposal = &proposal;
    proposed.sites = sites;
    proposed.n_sites = 2;
    APPEND(desk, proposed, PROPOSED, proposed);
}

static void open_journal(struct desk *desk)
{
    struct error error = {0};
    struct file_journal_options options = {.directory = desk->directory};
    struct file_journal_events events = {desk, no_replay, on_durable};
    desk->journal = file_journal_open(desk->loop, &options, &events, &error);
    assert_non_null(desk->journal);
}

static void close_journal(struct desk *desk)
{
    file_journal_close(desk->journal);
    desk->journal = NULL;
}

/* 1 has ended, 2 is committed and not applied, 3 is proposed. */
static int setup(void **state)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    desk->loop = loop_new();
    desk->directory = kit_directory();
    open_journal(desk);
    append_started(desk);
    append_committed(desk, 1, 1);
    append_ended(desk, 1, 2);
    append_committed(desk, 2, 3);
    append_proposed(desk, 3, 4);
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
    if (desk->journal)
        close_journal(desk);
    loop_free(desk->loop);
    kit_remove(desk->directory);
    free(desk);
    return 0;
}

/* Offset of the frame of record n (from 0), as dump tells it. */
static uint64_t offset_of(const struct desk *desk, int n)
{
    struct run run = kit_run(NULL, WORDS("journal", "dump", desk->directory));
    assert_code(run, 0);
    const char *line = run.out;
    for (int i = 0; i < n; i++)
        line = strchr(line, '\n') + 1;
    unsigned long long offset = 0;
    assert_int_equal(sscanf(strchr(line, ':'), ":%llu", &offset), 1);
    run_fini(&run);
    return offset;
}

static void damage(const struct desk *desk, int n)
{
    uint64_t offset = offset_of(desk, n);
    size_t size;
    uint8_t *bytes = kit_load(desk->directory, 1, &size);
    bytes[offset + 40] ^= 1;
    kit_store(desk->directory, 1, bytes, size);
    free(bytes);
}

static void what_a_restart_would_find_is_listed(void **state)
{
    struct desk *desk = *state;
    close_journal(desk);
    struct run run = kit_run(NULL, WORDS("tx", "list", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, " of coordinator c1, cluster shop,\n"
                    "as of 2026-11-21T01:01:05.000Z: not the present; nobody was asked\n\n");
    assert_out(run, "shop.c1.1795222861.3 ");
    assert_out(run, "shop.c1.1795222861.2 ");
    assert_null(strstr(run.out, "shop.c1.1795222861.1 ")); /* it owes nothing to anybody */
    assert_null(strstr(run.out, "a coordinator runs on it"));
    assert_string_equal(run.err, "");
    run_fini(&run);
}

static void one_is_shown_as_its_coordinator_would(void **state)
{
    struct desk *desk = *state;
    close_journal(desk);
    struct run run =
        kit_run(NULL, WORDS("tx", "show", "shop.c1.1795222861.2", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, "troth.shop.c1.1795222861.2.0");
    assert_out(run, "771");
    assert_out(run, "commit");
    run_fini(&run);
    run = kit_run(NULL, WORDS("tx", "show", "shop.c1.1795222861.3", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, "pre-commit");
    assert_out(run, "accepted commit at 0.c1");
    assert_out(run, "not heard");
    run_fini(&run);
    run = kit_run(NULL, WORDS("tx", "show", "shop.c1.1795222861.1", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, "applied");
    run_fini(&run);
    run = kit_run(NULL, WORDS("tx", "show", "shop.c1.1795222861.9", "--journal", desk->directory));
    assert_code(run, 5);
    assert_err(run, "the coordinator remembers no such transaction");
    run_fini(&run);
}

/* A decision may stand behind the damage: nothing is presumed. */
static void what_damage_may_hide_is_not_called_aborted(void **state)
{
    struct desk *desk = *state;
    append_committed(desk, 4, 5);
    close_journal(desk);
    damage(desk, 4);
    struct run run =
        kit_run(NULL, WORDS("tx", "show", "shop.c1.1795222861.4", "--journal", desk->directory));
    assert_code(run, 2);
    assert_err(run, "beyond what the coordinator's journal knows");
    run_fini(&run);
}

static void json_says_where_it_is_from(void **state)
{
    struct desk *desk = *state;
    close_journal(desk);
    struct run run = kit_run(NULL, WORDS("tx", "list", "--json", "--journal", desk->directory));
    assert_code(run, 0);
    struct json *json = json_parse(run.out, strlen(run.out), NULL);
    assert_non_null(json);
    assert_int_equal(json_member(json, "transactions")->count, 2);
    const struct json *by = json_member(json, "answered_by");
    assert_string_equal(json_member(by, "role")->text, "journal");
    assert_string_equal(json_member(by, "name")->text, "c1");
    assert_string_equal(json_member(by, "as_of")->text, "2026-11-21T01:01:05.000Z");
    assert_int_equal(json_member(by, "in_use")->type, JSON_FALSE);
    assert_int_equal(json_member(by, "damage")->type, JSON_NULL);
    json_free(json);
    run_fini(&run);
}

/* The coordinator neither notices nor is held up, and what it writes next is seen the next time. */
static void journal_in_use_is_read_as_it_is_at_the_moment(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("tx", "list", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, "a coordinator runs on it: this is what it held at this moment\n");
    assert_null(strstr(run.out, "shop.c1.1795222861.4 "));
    run_fini(&run);
    append_committed(desk, 4, 5);
    run = kit_run(NULL, WORDS("tx", "list", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, "shop.c1.1795222861.4 ");
    run_fini(&run);
}

static void nothing_of_it_is_changed(void **state)
{
    struct desk *desk = *state;
    close_journal(desk);
    size_t before_size, after_size;
    uint8_t *before = kit_load(desk->directory, 1, &before_size);
    char *path = kit_path(desk->directory, 1, JOURNAL_SUFFIX);
    assert_int_equal(chmod(path, 0400), 0);
    struct run run = kit_run(NULL, WORDS("tx", "list", "--journal", desk->directory));
    assert_code(run, 0);
    run_fini(&run);
    uint8_t *after = kit_load(desk->directory, 1, &after_size);
    assert_int_equal(before_size, after_size);
    assert_memory_equal(before, after, before_size);
    free(before);
    free(after);
    free(path);
}

static void damage_is_told_after_what_stands_before_it(void **state)
{
    struct desk *desk = *state;
    append_committed(desk, 4, 5);
    close_journal(desk);
    damage(desk, 4); /* the proposal, between two commits */
    struct run run = kit_run(NULL, WORDS("tx", "list", "--journal", desk->directory));
    assert_code(run, 2);
    assert_out(run, "as of 2026-11-21T01:01:04.000Z");
    assert_out(run, "it is DAMAGED: this is what stands before the damage\n");
    assert_out(run, "shop.c1.1795222861.2 ");
    assert_null(strstr(run.out, "shop.c1.1795222861.4 "));
    assert_err(run, "the journal is damaged: ");
    assert_err(run, "00000001.journal at offset ");
    run_fini(&run);
    run = kit_run(NULL, WORDS("tx", "list", "--json", "--journal", desk->directory));
    assert_code(run, 2);
    assert_out(run, "\"damage\":{\"message\":\"the journal is damaged: ");
    run_fini(&run);
}

static void record_that_makes_no_sense_is_told_with_its_place(void **state)
{
    struct desk *desk = *state;
    append_ended(desk, 77, 6); /* the end of what never was */
    close_journal(desk);
    struct run run = kit_run(NULL, WORDS("tx", "list", "--journal", desk->directory));
    assert_code(run, 2);
    assert_out(run, "shop.c1.1795222861.3 ");
    assert_err(run, "a record that makes no sense here");
    assert_err(run, "/00000001.journal, the frame at offset ");
    run_fini(&run);
}

static void sagas_of_a_journal_are_listed_too(void **state)
{
    struct desk *desk = *state;
    close_journal(desk);
    struct run run = kit_run(NULL, WORDS("saga", "list", "--journal", desk->directory));
    assert_code(run, 0);
    assert_out(run, "not the present");
    assert_out(run, "no saga runs");
    run_fini(&run);
    run =
        kit_run(NULL, WORDS("saga", "show", "shop.c1.1795222861.2", "--journal", desk->directory));
    assert_code(run, 2);
    assert_err(run, "is a transaction, not a saga");
    run_fini(&run);
}

static void what_is_no_journal_is_a_mistake_in_the_words(void **state)
{
    (void)state;
    struct run run = kit_run(NULL, WORDS("tx", "list", "--journal", "/nowhere"));
    assert_code(run, 2);
    assert_err(run, "cannot open the journal directory /nowhere");
    run_fini(&run);
    run = kit_run(NULL, WORDS("tx", "list", "--journal", "/"));
    assert_code(run, 2);
    assert_err(run, "there is no journal in /");
    run_fini(&run);
    run = kit_run(NULL, WORDS("tx", "list", "--watch", "--journal", "/"));
    assert_code(run, 2);
    run_fini(&run);
}

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
        TEST(what_a_restart_would_find_is_listed),
        TEST(one_is_shown_as_its_coordinator_would),
        TEST(what_damage_may_hide_is_not_called_aborted),
        TEST(json_says_where_it_is_from),
        TEST(journal_in_use_is_read_as_it_is_at_the_moment),
        TEST(nothing_of_it_is_changed),
        TEST(damage_is_told_after_what_stands_before_it),
        TEST(record_that_makes_no_sense_is_told_with_its_place),
        TEST(sagas_of_a_journal_are_listed_too),
        cmocka_unit_test(what_is_no_journal_is_a_mistake_in_the_words),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
