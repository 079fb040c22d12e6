/* journal verify and journal dump on real journals: whole, torn, damaged. */
#include "tests/unit/cli_kit.h"
#include "tests/unit/journal_kit.h"

#include "core/json.h"
#include "journal.pb-c.h"

struct desk {
    struct loop *loop;
    char *directory;
    struct file_journal *journal;
};

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

static void append_all(struct desk *desk)
{
    Journal__Record record = JOURNAL__RECORD__INIT;
    Journal__Started started = JOURNAL__STARTED__INIT;
    started.epoch = 7;
    started.cluster = (char *)"shop";
    started.coordinator = (char *)"c1";
    started.at_us = 1795222861123000;
    started.software = (char *)"troth";
    record.body_case = JOURNAL__RECORD__BODY_STARTED;
    record.started = &started;
    append(desk, &record);
    Journal__Branch branch = JOURNAL__BRANCH__INIT, *branches[] = {&branch, &branch};
    branch.participant = (char *)"payments";
    branch.xid = 771;
    Journal__Key key = JOURNAL__KEY__INIT;
    key.key = (char *)"order\x1b-17";
    key.fingerprint = (ProtobufCBinaryData){2, (uint8_t *)"\xab\x01"};
    Journal__Committed committed = JOURNAL__COMMITTED__INIT;
    committed.epoch = 7;
    committed.seq = 1;
    committed.branches = branches;
    committed.n_branches = 2;
    committed.key = &key;
    record.body_case = JOURNAL__RECORD__BODY_COMMITTED;
    record.committed = &committed;
    append(desk, &record);
    Journal__Ended ended = JOURNAL__ENDED__INIT;
    ended.epoch = 7;
    ended.seq = 1;
    record.body_case = JOURNAL__RECORD__BODY_ENDED;
    record.ended = &ended;
    append(desk, &record);
}

#define APPEND(desk, field, CASE, value)                                                           \
    do {                                                                                           \
        Journal__Record record = JOURNAL__RECORD__INIT;                                            \
        record.body_case = JOURNAL__RECORD__BODY_##CASE;                                           \
        record.field = &(value);                                                                   \
        append(desk, &record);                                                                     \
    } while (0)

static void append_three_phase(struct desk *desk)
{
    char *sites[] = {(char *)"payments", (char *)"orders"};
    Journal__Committed proposal = JOURNAL__COMMITTED__INIT;
    Journal__Proposed proposed = JOURNAL__PROPOSED__INIT;
    Journal__Register state = JOURNAL__REGISTER__INIT;
    Journal__Decided decided = JOURNAL__DECIDED__INIT;
    proposal.epoch = state.epoch = decided.epoch = 7;
    proposal.seq = state.seq = decided.seq = 2;
    proposed.proposal = &proposal;
    proposed.sites = sites;
    proposed.n_sites = 2;
    state.promised_round = 3;
    state.promised_site = 1;
    state.commit = decided.commit = true;
    APPEND(desk, proposed, PROPOSED, proposed);
    APPEND(desk, registered, REGISTERED, state);
    APPEND(desk, decided, DECIDED, decided);
}

static void append_saga(struct desk *desk)
{
    uint32_t items[] = {3, 0};
    Journal__SagaDefinition definition = JOURNAL__SAGA_DEFINITION__INIT;
    Journal__SagaBegan began = JOURNAL__SAGA_BEGAN__INIT;
    Journal__SagaEvent done = JOURNAL__SAGA_EVENT__INIT, failed = JOURNAL__SAGA_EVENT__INIT;
    Journal__SagaEvent ended = JOURNAL__SAGA_EVENT__INIT;
    Journal__SagaKept kept = JOURNAL__SAGA_KEPT__INIT;
    definition.digest = began.digest = (ProtobufCBinaryData){2, (uint8_t *)"\xab\x01"};
    definition.file = (char *)"order.yaml";
    definition.text = (char *)"saga: order\n";
    began.epoch = done.epoch = failed.epoch = ended.epoch = kept.epoch = 7;
    began.seq = done.seq = failed.seq = ended.seq = kept.seq = 3;
    began.input = (char *)"{\"a\":1}";
    began.key = kept.key = (char *)"k1";
    began.parent_epoch = 7;
    began.parent_seq = 2;
    began.parent_step = (char *)"goods[3]";
    done.type = JOURNAL__SAGA_EVENT_TYPE__SAGA_STEP_DONE;
    done.step = 5;
    done.items = items;
    done.n_items = 2;
    done.value = (char *)"{\"id\":2}";
    failed.type = JOURNAL__SAGA_EVENT_TYPE__SAGA_FAILED;
    failed.step = 6;
    failed.code = (char *)"insufficient_funds";
    ended.type = JOURNAL__SAGA_EVENT_TYPE__SAGA_COMPENSATED;
    kept.name = (char *)"order";
    kept.version = 1;
    APPEND(desk, saga_definition, SAGA_DEFINITION, definition);
    APPEND(desk, saga_began, SAGA_BEGAN, began);
    APPEND(desk, saga_event, SAGA_EVENT, done);
    APPEND(desk, saga_event, SAGA_EVENT, failed);
    APPEND(desk, saga_event, SAGA_EVENT, ended);
    APPEND(desk, saga_kept, SAGA_KEPT, kept);
}

static void append_operators(struct desk *desk)
{
    Journal__Heuristic ordered = JOURNAL__HEURISTIC__INIT, told = JOURNAL__HEURISTIC__INIT;
    Journal__Forgotten forgotten = JOURNAL__FORGOTTEN__INIT;
    ordered.epoch = told.epoch = forgotten.epoch = 7;
    ordered.seq = told.seq = forgotten.seq = 4;
    ordered.reason = told.reason = (char *)"locks held since noon";
    ordered.by = told.by = forgotten.by = (char *)"ada@host";
    told.coordinator = (char *)"c2";
    told.participant = (char *)"payments";
    told.branch = 1;
    told.commit = true;
    told.found = (char *)"it is rolled back";
    forgotten.reason = (char *)"dealt with";
    APPEND(desk, heuristic, HEURISTIC, ordered);
    APPEND(desk, heuristic, HEURISTIC, told);
    APPEND(desk, forgotten, FORGOTTEN, forgotten);
}

static struct desk *open_desk(void)
{
    struct desk *desk = xcalloc(1, sizeof(*desk));
    struct error error = {0};
    desk->loop = loop_new();
    desk->directory = kit_directory();
    struct file_journal_options options = {.directory = desk->directory};
    struct file_journal_events events = {desk, no_replay, on_durable};
    desk->journal = file_journal_open(desk->loop, &options, &events, &error);
    assert_non_null(desk->journal);
    append_all(desk);
    return desk;
}

static int setup(void **state)
{
    struct desk *desk = open_desk();
    file_journal_close(desk->journal);
    *state = desk;
    return 0;
}

/* With a record of each kind that no plain transaction has. */
static int setup_more(void **state)
{
    struct desk *desk = open_desk();
    append_three_phase(desk);
    append_saga(desk);
    append_operators(desk);
    file_journal_close(desk->journal);
    *state = desk;
    return 0;
}

static int teardown(void **state)
{
    struct desk *desk = *state;
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
    assert_true(offset > 0);
    return offset;
}

static void a_whole_journal_is_sound(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("journal", "verify", desk->directory));
    assert_code(run, 0);
    assert_out(run, ": sound\n  1 segment, ");
    assert_out(run, " 3 records, ");
    assert_null(strstr(run.out, "torn"));
    run_fini(&run);
}

static void records_are_dumped_a_line_each(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("journal", "dump", desk->directory));
    assert_code(run, 0);
    assert_out(run, " started epoch 7 cluster shop coordinator c1 at 2026-11-21T01:01:01.123Z "
                    "software troth\n");
    assert_out(run, " committed 7.1 branches payments #0 xid 771, payments #0 xid 771 "
                    "key order\\x1b-17 fingerprint ab01 results 0\n");
    assert_out(run, " ended 7.1\n");
    assert_string_equal(run.err, "");
    run_fini(&run);
}

static void records_are_dumped_as_json_lines(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("journal", "dump", "--json", desk->directory));
    assert_code(run, 0);
    static const char *const types[] = {"started", "committed", "ended"};
    int count = 0;
    for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"), count++) {
        struct error error = {0};
        struct json *json = json_parse(line, strlen(line), &error);
        if (!json)
            fail_msg("%s: %s", error.message, line);
        assert_true(count < 3);
        assert_string_equal(json_member(json, "type")->text, types[count]);
        if (count == 1) {
            assert_string_equal(json_member(json, "key")->text, "order\x1b-17");
            assert_int_equal(json_member(json, "branches")->count, 2);
        }
        json_free(json);
    }
    assert_int_equal(count, 3);
    run_fini(&run);
}

static void records_of_every_other_kind_are_dumped(void **state)
{
    struct desk *desk = *state;
    struct run run = kit_run(NULL, WORDS("journal", "dump", desk->directory));
    assert_code(run, 0);
    assert_string_equal(run.err, "");
    assert_out(run, " proposed 7.2 sites payments, orders\n");
    assert_out(run, " register 7.2 promised 3.1 accepted 0.0 commit\n");
    assert_out(run, " decided 7.2 commit\n");
    assert_out(run, " saga_definition digest ab01 definition order.yaml bytes 12\n");
    assert_out(run,
               " saga_began 7.3 digest ab01 input {\"a\":1} key k1 parent_epoch 7 parent_seq 2 "
               "parent_step goods[3]\n");
    assert_out(run, " saga_event 7.3 event step_done step 5[3][0] value {\"id\":2}\n");
    assert_out(run, " saga_event 7.3 event failed step 6 code insufficient_funds\n");
    assert_out(run, " saga_event 7.3 event compensated\n");
    assert_out(run, " heuristic 7.4 abort reason locks held since noon by ada@host\n");
    assert_out(run, " heuristic coordinator c2 7.4 commit participant payments branch 1 "
                    "reason locks held since noon by ada@host found it is rolled back\n");
    assert_out(run, " forgotten 7.4 reason dealt with by ada@host\n");
    assert_out(run, " saga_kept 7.3 name order version 1 key k1 fingerprint \"\" ended "
                    "compensated\n");
    run_fini(&run);
    run = kit_run(NULL, WORDS("journal", "dump", "--json", desk->directory));
    assert_code(run, 0);
    assert_out(run, "\"event\":\"step_done\",\"at\":null,\"step\":\"5[3][0]\","
                    "\"value\":{\"id\":2}}");
    assert_out(run, "\"text\":\"saga: order\\n\"}");
    int count = 0;
    for (char *line = strtok(run.out, "\n"); line; line = strtok(NULL, "\n"), count++) {
        struct error error = {0};
        struct json *json = json_parse(line, strlen(line), &error);
        if (!json)
            fail_msg("%s: %s", error.message, line);
        json_free(json);
    }
    assert_int_equal(count, 15);
    run_fini(&run);
}

static void a_torn_tail_is_told_and_is_no_damage(void **state)
{
    struct desk *desk = *state;
    uint64_t last = offset_of(desk, 2);
    size_t size;
    uint8_t *bytes = kit_load(desk->directory, 1, &size);
    bytes[last + 8] ^= 1;
    kit_store(desk->directory, 1, bytes, size);
    free(bytes);
    struct run run = kit_run(NULL, WORDS("journal", "verify", desk->directory));
    assert_code(run, 0);
    assert_out(run, ": sound\n");
    assert_out(run, " 2 records, ");
    char *told =
        xasprintf("at offset %llu: the last write was cut short", (unsigned long long)last);
    assert_out(run, told);
    free(told);
    run_fini(&run);
    run = kit_run(NULL, WORDS("journal", "dump", desk->directory));
    assert_code(run, 0);
    assert_err(run, "torn tail in ");
    run_fini(&run);
}

static void damage_in_front_of_something_valid_is_exit_code_5(void **state)
{
    struct desk *desk = *state;
    uint64_t middle = offset_of(desk, 1);
    size_t size;
    uint8_t *bytes = kit_load(desk->directory, 1, &size);
    bytes[middle + 40] ^= 1;
    kit_store(desk->directory, 1, bytes, size);
    free(bytes);
    char *place = xasprintf("at offset %llu", (unsigned long long)middle);
    struct run run = kit_run(NULL, WORDS("journal", "verify", desk->directory));
    assert_code(run, 5);
    assert_out(run, "DAMAGED; read so far:");
    assert_err(run, "the journal is damaged: ");
    assert_err(run, place);
    run_fini(&run);
    run = kit_run(NULL, WORDS("journal", "verify", "--json", desk->directory));
    assert_code(run, 5);
    assert_out(run, "{\"sound\":false,");
    assert_out(run, place);
    run_fini(&run);
    run = kit_run(NULL, WORDS("journal", "dump", desk->directory));
    assert_code(run, 5);
    assert_out(run, " started ");
    assert_err(run, place);
    run_fini(&run);
    free(place);
}

#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)

int main(int argc, char **argv)
{
    (void)argc;
    cmocka_set_message_output(CM_OUTPUT_TAP);
    kit_find(argv[0]);
    const struct CMUnitTest tests[] = {
        TEST(a_whole_journal_is_sound),
        TEST(records_are_dumped_a_line_each),
        TEST(records_are_dumped_as_json_lines),
        cmocka_unit_test_setup_teardown(records_of_every_other_kind_are_dumped, setup_more,
                                        teardown),
        TEST(a_torn_tail_is_told_and_is_no_damage),
        TEST(damage_in_front_of_something_valid_is_exit_code_5),
    };
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    return failed;
}
