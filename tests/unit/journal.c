/* The journal in use: group commit, reopening, segments, checkpoints, the lock, and what it says
 * when it can't go on. */
#include "tests/unit/journal_kit.h"

#include <limits.h>
#include <pthread.h>
#include <sched.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/wait.h>

#include "core/crash.h"
#include "io/loop.h"

struct fixture {
    char *directory;
    struct loop *loop;
    struct file_journal *journal;
    const struct journal_port *port;
    struct kit_seen seen; /* what was replayed */
    uint64_t durable;     /* the last that was reported */
    bool went_back;       /* a position was reported that is not higher than the one before */
    unsigned reports;
    struct error error;
};

static void durable(void *self, uint64_t position)
{
    struct fixture *fixture = self;
    if (position <= fixture->durable)
        fixture->went_back = true;
    fixture->durable = position;
    fixture->reports++;
}

static bool replay(void *self, const void *record, size_t size, struct error *error)
{
    struct fixture *fixture = self;
    return kit_replay(&fixture->seen, record, size, error);
}

static bool start_at(struct fixture *fixture, const char *directory, uint64_t segment_bytes)
{
    struct file_journal_options options = {directory, segment_bytes};
    struct file_journal_events events = {fixture, replay, durable};
    fixture->seen = (struct kit_seen){.first = fixture->seen.first};
    fixture->durable = 0;
    fixture->journal = file_journal_open(fixture->loop, &options, &events, &fixture->error);
    fixture->port = fixture->journal ? file_journal_port(fixture->journal) : NULL;
    return fixture->journal != NULL;
}

static void start(struct fixture *fixture, uint64_t segment_bytes)
{
    if (!start_at(fixture, fixture->directory, segment_bytes))
        fail_msg("%s", fixture->error.message);
}

static void stop(struct fixture *fixture)
{
    file_journal_close(fixture->journal);
    fixture->journal = NULL;
}

/* Holds the writer thread between a write and its flush until it is let go. */
static struct {
    pthread_mutex_t mutex;
    pthread_cond_t changed;
    int arrived, let_go;
} gate = {PTHREAD_MUTEX_INITIALIZER, PTHREAD_COND_INITIALIZER, 0, 0};

static void hold_at_written(const char *point)
{
    if (strcmp(point, "journal.written") != 0)
        return;
    pthread_mutex_lock(&gate.mutex);
    gate.arrived++;
    pthread_cond_broadcast(&gate.changed);
    while (gate.let_go < gate.arrived)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_wait_arrived(int count)
{
    pthread_mutex_lock(&gate.mutex);
    while (gate.arrived < count)
        pthread_cond_wait(&gate.changed, &gate.mutex);
    pthread_mutex_unlock(&gate.mutex);
}

static void gate_let_go(int count)
{
    pthread_mutex_lock(&gate.mutex);
    gate.let_go = count;
    pthread_cond_broadcast(&gate.changed);
    pthread_mutex_unlock(&gate.mutex);
}

static int setup(void **state)
{
    struct fixture *fixture = xcalloc(1, sizeof(*fixture));
    gate.arrived = gate.let_go = 0;
    fixture->directory = kit_directory();
    fixture->loop = loop_new();
    *state = fixture;
    return 0;
}

static int teardown(void **state)
{
    struct fixture *fixture = *state;
    gate_let_go(INT_MAX); /* a test that failed may still hold the thread */
    if (fixture->journal)
        stop(fixture);
    crash_hook = NULL;
    loop_free(fixture->loop);
    kit_remove(fixture->directory);
    free(fixture);
    return 0;
}

static uint64_t append(struct fixture *fixture, unsigned n, bool urgent)
{
    char record[KIT_RECORD_BYTES];
    return fixture->port->append(fixture->port->self, record, kit_record(record, n), urgent);
}

static void append_range(struct fixture *fixture, unsigned from, unsigned count)
{
    for (unsigned n = from; n < from + count; n++)
        append(fixture, n, true);
}

static void checkpoint(struct fixture *fixture, unsigned from, unsigned count)
{
    fixture->port->checkpoint_begin(fixture->port->self);
    append_range(fixture, from, count);
    fixture->port->checkpoint_end(fixture->port->self);
}

/* Turns the loop until everything up to the position is durable. */
static void wait_durable(struct fixture *fixture, uint64_t position)
{
    while (fixture->durable < position)
        uv_run(loop_uv(fixture->loop), UV_RUN_ONCE);
}

/* Starts again and expects exactly these records. */
static void expect_records(struct fixture *fixture, unsigned first, unsigned count)
{
    if (fixture->journal)
        stop(fixture);
    fixture->seen.first = first;
    start(fixture, 0);
    assert_false(fixture->seen.wrong);
    assert_int_equal(fixture->seen.count, count);
    stop(fixture);
}

static struct journal_report report_of(struct fixture *fixture)
{
    struct journal_report report;
    struct error error;
    if (!journal_read(fixture->directory, NULL, NULL, &report, &error))
        fail_msg("%s: %s", error.message, error.detail);
    return report;
}

/* ---- appending ---------------------------------------------------------------------------- */

static void records_come_back_in_order_after_a_start(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    append_range(fixture, 0, 500);
    expect_records(fixture, 0, 500);
    start(fixture, 0);
    append_range(fixture, 500, 1);
    expect_records(fixture, 0, 501);
}

static void positions_count_from_one_in_each_run(void **state)
{
    struct fixture *fixture = *state;
    for (int run = 0; run < 2; run++) {
        start(fixture, 0);
        assert_int_equal(append(fixture, 0, false), 1);
        assert_int_equal(append(fixture, 1, true), 2);
        stop(fixture);
    }
}

static void durable_positions_grow_until_the_last_append(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    for (unsigned turn = 0; turn < 50; turn++) {
        append_range(fixture, turn * 20, 20);
        wait_durable(fixture, turn * 20 + 1);
    }
    wait_durable(fixture, 1000);
    assert_false(fixture->went_back);
    assert_int_equal(fixture->durable, 1000);
    assert_int_equal(report_of(fixture).records, 1000);
}

static void a_reported_position_is_in_the_files(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    for (unsigned n = 0; n < 200; n++) {
        append(fixture, n, true);
        uv_run(loop_uv(fixture->loop), UV_RUN_NOWAIT);
        assert_true(report_of(fixture).records >= fixture->durable);
    }
}

static void position_is_not_reported_before_its_own_flush(void **state)
{
    struct fixture *fixture = *state;
    crash_hook = hold_at_written;
    start(fixture, 0);
    append(fixture, 0, true);
    gate_wait_arrived(1);
    append(fixture, 1, true);
    append(fixture, 2, true);
    uv_run(loop_uv(fixture->loop), UV_RUN_NOWAIT);
    assert_int_equal(fixture->durable, 0); /* written, not flushed */
    gate_let_go(1);
    gate_wait_arrived(2);
    wait_durable(fixture, 1);
    assert_int_equal(fixture->durable, 1); /* what was appended meanwhile is the next batch */
    gate_let_go(2);
    wait_durable(fixture, 3);
    stop(fixture);
    assert_int_equal(report_of(fixture).frames, 2);
}

static void appends_that_wait_together_share_a_flush(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    append_range(fixture, 0, 20000);
    stop(fixture);
    struct journal_report report = report_of(fixture);
    assert_int_equal(report.records, 20000);
    assert_true(report.frames < 10000);
}

static void record_that_nobody_waits_for_becomes_durable_all_the_same(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    wait_durable(fixture, append(fixture, 0, false));
    expect_records(fixture, 0, 1);
}

static void closing_makes_everything_durable(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 0);
    append(fixture, 0, false);
    append(fixture, 1, false);
    expect_records(fixture, 0, 2);
}

static bool count_bytes(void *self, const struct journal_visit *visit)
{
    *(uint64_t *)self += visit->size;
    return true;
}

static void batch_beyond_the_limit_becomes_several_frames(void **state)
{
    struct fixture *fixture = *state;
    char *record = xcalloc(1, LIMIT_RECORD_BYTES);
    uint64_t bytes = 0;
    struct journal_report report;
    start(fixture, 0);
    for (int i = 0; i < 200; i++)
        fixture->port->append(fixture->port->self, record, LIMIT_RECORD_BYTES, i == 199);
    stop(fixture);
    assert_true(journal_read(fixture->directory, count_bytes, &bytes, &report, NULL));
    assert_int_equal(bytes, 200ull * LIMIT_RECORD_BYTES);
    assert_true(report.frames >= 200ull * LIMIT_RECORD_BYTES / LIMIT_BATCH_BYTES);
    free(record);
}

/* More than one read takes in, so that the reader sees old zeros and then new frames. */
static bool append_while_reading(void *self, const struct journal_visit *visit)
{
    struct fixture *fixture = self;
    kit_visit(&fixture->seen, visit);
    if (fixture->seen.count == 1) {
        for (unsigned n = 1; n <= 150; n++)
            wait_durable(fixture, append(fixture, n, true));
    }
    return true;
}

static bool gate_arrives_within_ms(int count, long ms)
{
    struct timespec at;
    clock_gettime(CLOCK_REALTIME, &at);
    at.tv_nsec += ms * 1000000;
    at.tv_sec += at.tv_nsec / 1000000000;
    at.tv_nsec %= 1000000000;
    pthread_mutex_lock(&gate.mutex);
    for (int code = 0; gate.arrived < count && code == 0;)
        code = pthread_cond_timedwait(&gate.changed, &gate.mutex, &at);
    bool arrived = gate.arrived >= count;
    pthread_mutex_unlock(&gate.mutex);
    return arrived;
}

static void append_in_a_turn(uv_timer_t *timer)
{
    struct fixture *fixture = timer->data;
    append(fixture, 1, true);
    assert_false(gate_arrives_within_ms(2, 30)); /* the turn may have more */
    append(fixture, 2, true);
}

static void appends_of_one_turn_share_a_flush(void **state)
{
    struct fixture *fixture = *state;
    uv_timer_t timer;
    start(fixture, 0);
    assert_int_equal(uv_timer_init(loop_uv(fixture->loop), &timer), 0);
    timer.data = fixture;
    gate_let_go(INT_MAX);
    crash_hook = hold_at_written;
    append(fixture, 0, true);
    while (fixture->durable < 1) /* now the thread has nothing to do */
        uv_run(loop_uv(fixture->loop), UV_RUN_ONCE);
    assert_int_equal(uv_timer_start(&timer, append_in_a_turn, 0, 0), 0);
    while (fixture->durable < 3)
        uv_run(loop_uv(fixture->loop), UV_RUN_ONCE);
    assert_int_equal(gate.arrived, 2);
    uv_close((uv_handle_t *)&timer, NULL);
    uv_run(loop_uv(fixture->loop), UV_RUN_NOWAIT);
}

static void reading_a_journal_in_use_does_not_take_new_frames_for_damage(void **state)
{
    struct fixture *fixture = *state;
    struct journal_report report;
    start(fixture, 1024 * 1024);
    wait_durable(fixture, append(fixture, 0, true));
    if (!journal_read(fixture->directory, append_while_reading, fixture, &report, &fixture->error))
        fail_msg("%s: %s", fixture->error.message, fixture->error.detail);
    assert_false(fixture->seen.wrong || report.torn_tail);
    assert_int_equal(fixture->seen.count, 151);
}

static void reading_while_checkpoints_replace_segments_finds_a_whole_log(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 8 * 1024);
    for (unsigned round = 0; round < 100; round++) {
        struct kit_seen seen = {0};
        struct error error;
        checkpoint(fixture, 0, 10);
        append_range(fixture, 10, 40);
        uint64_t position = append(fixture, 50, true);
        if (!journal_read(fixture->directory, kit_visit, &seen, NULL, &error))
            fail_msg("%s: %s", error.message, error.detail);
        assert_false(seen.wrong);
        if (round % 10 == 9)
            wait_durable(fixture, position);
    }
}

static bool refuse_second(void *self, const void *record, size_t size, struct error *error)
{
    (void)record;
    (void)size;
    return ++*(int *)self < 2 || error_set(error, ERROR_CORRUPT, "the second record is refused");
}

static void runner_that_refuses_a_record_stops_the_start(void **state)
{
    struct fixture *fixture = *state;
    struct file_journal_options options = {fixture->directory, 0};
    int count = 0;
    struct file_journal_events events = {&count, refuse_second, NULL};
    start(fixture, 0);
    append_range(fixture, 0, 3);
    stop(fixture);
    assert_null(file_journal_open(fixture->loop, &options, &events, &fixture->error));
    assert_string_equal(fixture->error.message, "the second record is refused");
    assert_int_equal(count, 2);
    expect_records(fixture, 0, 3);
}

/* ---- segments and checkpoints ------------------------------------------------------------- */

static void log_longer_than_a_segment_goes_on_in_the_next(void **state)
{
    struct fixture *fixture = *state;
    uint64_t bytes, segments, free_bytes;
    start(fixture, 16 * 1024);
    for (unsigned n = 0; n < 10; n++)
        wait_durable(fixture, append(fixture, n, true));
    file_journal_facts(fixture->journal, &bytes, &segments, &free_bytes);
    assert_int_equal(segments, 4); /* three frames of a page each fit into one */
    assert_int_equal(bytes, 4 * 16 * 1024);
    assert_true(free_bytes > 0);
    assert_int_equal(report_of(fixture).segments, 4);
    stop(fixture);
    fixture->seen.first = 0;
    start(fixture, 16 * 1024);
    append_range(fixture, 10, 5);
    expect_records(fixture, 0, 15);
}

/* Asked from the loop while the thread writes. */
static void what_was_made_durable_is_counted(void **state)
{
    struct fixture *fixture = *state;
    struct journal_counters counters;
    start(fixture, 0);
    file_journal_counters(fixture->journal, &counters);
    assert_int_equal(counters.records, 0);
    for (unsigned n = 0; n < 20; n++) {
        uint64_t position = append(fixture, n, true);
        file_journal_counters(fixture->journal, &counters);
        assert_true(counters.records + counters.pending == position);
        if (n % 3 == 0)
            wait_durable(fixture, position);
    }
    wait_durable(fixture, 20);
    file_journal_counters(fixture->journal, &counters);
    assert_int_equal(counters.records, 20);
    assert_int_equal(counters.pending, 0);
    assert_true(counters.batches >= 7 && counters.batches <= 20);
    assert_int_equal(counters.flush.count, counters.batches);
    assert_int_equal(counters.bytes, counters.batches * 4096);
    stop(fixture);
}

static void checkpoint_replaces_what_was_before(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 16 * 1024);
    for (unsigned n = 0; n < 8; n++)
        wait_durable(fixture, append(fixture, 900 + n, true));
    append(fixture, 999, false); /* in the queue when the checkpoint begins */
    checkpoint(fixture, 100, 30);
    append_range(fixture, 130, 4);
    wait_durable(fixture, 8 + 1 + 30 + 4);
    assert_false(fixture->went_back);
    for (uint32_t number = 1; number <= 3; number++)
        assert_false(kit_exists(fixture->directory, number, JOURNAL_SUFFIX));
    expect_records(fixture, 100, 34);
}

static void checkpoint_may_be_empty_or_larger_than_a_segment(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 16 * 1024);
    append_range(fixture, 0, 3);
    checkpoint(fixture, 0, 0);
    stop(fixture);
    fixture->seen.first = 0;
    start(fixture, 16 * 1024);
    assert_int_equal(fixture->seen.count, 0);
    checkpoint(fixture, 0, 1500);
    append_range(fixture, 1500, 100);
    expect_records(fixture, 0, 1600);
}

static void checkpoint_is_due_after_a_segment_and_no_sooner_than_twice_the_last(void **state)
{
    struct fixture *fixture = *state;
    start(fixture, 16 * 1024);
    const struct journal_port *port = fixture->port;
    for (unsigned n = 0; n < 4; n++)
        wait_durable(fixture, append(fixture, n, true));
    assert_false(port->checkpoint_due(port->self));
    wait_durable(fixture, append(fixture, 4, true));
    assert_true(port->checkpoint_due(port->self));
    checkpoint(fixture, 0, 400); /* four pages: due after more than eight */
    assert_false(port->checkpoint_due(port->self));
    unsigned more = 0;
    wait_durable(fixture, 5 + 400);
    for (; !port->checkpoint_due(port->self); more++)
        wait_durable(fixture, append(fixture, 400 + more, true));
    assert_int_equal(more, 9);
    stop(fixture);
    start(fixture, 16 * 1024);
    assert_true(fixture->port->checkpoint_due(fixture->port->self)); /* known after a start too */
}

static const char *dying_point;

static void die_there(const char *point)
{
    if (strcmp(point, dying_point) == 0)
        _exit(77);
}

/* A process of its own appends 0 to 9, then makes a checkpoint of 100 to 119, and dies at the
 * point.
 */
static void crash_in_checkpoint(struct fixture *fixture, const char *point)
{
    pid_t child = fork();
    if (child == 0) {
        start(fixture, 16 * 1024);
        for (unsigned n = 0; n < 10; n++)
            wait_durable(fixture, append(fixture, n, true));
        dying_point = point;
        crash_hook = die_there;
        checkpoint(fixture, 100, 20);
        wait_durable(fixture, 30);
        _exit(0);
    }
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
}

static void crash_before_a_checkpoint_has_its_name_leaves_the_old_log(void **state)
{
    struct fixture *fixture = *state;
    crash_in_checkpoint(fixture, "journal.checkpoint");
    assert_true(kit_exists(fixture->directory, 5, JOURNAL_NEW_SUFFIX));
    assert_int_equal(report_of(fixture).records, 10);
    expect_records(fixture, 0, 10);
    assert_false(kit_exists(fixture->directory, 5, JOURNAL_NEW_SUFFIX));
}

static void crash_before_the_old_segments_are_gone_leaves_the_checkpoint(void **state)
{
    struct fixture *fixture = *state;
    crash_in_checkpoint(fixture, "journal.replaced");
    assert_true(kit_exists(fixture->directory, 1, JOURNAL_SUFFIX));
    assert_int_equal(report_of(fixture).records, 20);
    expect_records(fixture, 100, 20);
    for (uint32_t number = 1; number <= 4; number++)
        assert_false(kit_exists(fixture->directory, number, JOURNAL_SUFFIX));
    assert_true(kit_exists(fixture->directory, 5, JOURNAL_SUFFIX));
}

static void crash_after_a_write_leaves_all_that_was_reported(void **state)
{
    struct fixture *fixture = *state;
    const char *points[] = {"journal.written", "journal.synced"};
    for (unsigned i = 0; i < 2; i++) {
        pid_t child = fork();
        if (child == 0) {
            start(fixture, 0);
            if (i == 0)
                wait_durable(fixture, append(fixture, 0, true));
            dying_point = points[i];
            crash_hook = die_there;
            wait_durable(fixture, append(fixture, i + 1, true) + 1);
            _exit(0);
        }
        int status;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status) && WEXITSTATUS(status) == 77);
    }
    expect_records(fixture, 0, 3);
}

/* ---- refusals ----------------------------------------------------------------------------- */

static void second_coordinator_on_the_same_journal_is_refused(void **state)
{
    struct fixture *fixture = *state;
    struct fixture other = {.loop = fixture->loop};
    start(fixture, 0);
    assert_false(start_at(&other, fixture->directory, 0));
    assert_int_equal(other.error.kind, ERROR_REFUSED);
    char *expected = xasprintf("the journal %s is in use by another process (pid %ld)",
                               fixture->directory, (long)getpid());
    assert_string_equal(other.error.message, expected);
    free(expected);
    stop(fixture);
    assert_true(start_at(&other, fixture->directory, 0));
    stop(&other);
}

static void directory_that_cannot_be_made_is_refused_with_its_name(void **state)
{
    struct fixture *fixture = *state;
    char *file = xasprintf("%s/file", fixture->directory);
    close(open(file, O_CREAT | O_WRONLY, 0600));
    char *below_file = xasprintf("%s/journal", file);
    char *below_nothing = xasprintf("%s/missing/journal", fixture->directory);
    const char *cases[] = {file, below_file, below_nothing};
    for (int i = 0; i < 3; i++) {
        assert_false(start_at(fixture, cases[i], 0));
        assert_int_equal(fixture->error.kind, ERROR_IO);
        assert_non_null(strstr(fixture->error.message, cases[i]));
        assert_non_null(strstr(fixture->error.hint, "journal.directory"));
        assert_false(journal_read(cases[i], NULL, NULL, NULL, &fixture->error));
    }
    free(file);
    free(below_file);
    free(below_nothing);
}

static void directory_is_made_private(void **state)
{
    struct fixture *fixture = *state;
    struct stat facts;
    char *below = xasprintf("%s/journal", fixture->directory);
    assert_true(start_at(fixture, below, 0));
    stop(fixture);
    assert_int_equal(stat(below, &facts), 0);
    assert_int_equal(facts.st_mode & 0777, 0700);
    kit_remove(below);
}

static void damaged_journal_is_refused_and_left_alone(void **state)
{
    struct fixture *fixture = *state;
    size_t size, again_size;
    start(fixture, 16 * 1024);
    for (unsigned n = 0; n < 3; n++)
        wait_durable(fixture, append(fixture, n, true));
    stop(fixture);
    uint8_t *bytes = kit_load(fixture->directory, 1, &size);
    bytes[JOURNAL_PAGE_BYTES + 50] ^= 1;
    kit_store(fixture->directory, 1, bytes, size);
    assert_false(start_at(fixture, fixture->directory, 16 * 1024));
    assert_int_equal(fixture->error.kind, ERROR_CORRUPT);
    assert_non_null(strstr(fixture->error.message, "00000001.journal at offset 4096"));
    assert_non_null(strstr(fixture->error.hint, "troth journal verify"));
    uint8_t *again = kit_load(fixture->directory, 1, &again_size);
    assert_int_equal(again_size, size);
    assert_memory_equal(again, bytes, size);
    free(again);
    free(bytes);
}

static void reading_an_empty_directory_says_that_there_is_no_journal(void **state)
{
    struct fixture *fixture = *state;
    assert_false(journal_read(fixture->directory, NULL, NULL, NULL, &fixture->error));
    assert_non_null(strstr(fixture->error.message, "there is no journal in"));
}

/* ---- no room ------------------------------------------------------------------------------ */

/* Runs work in a process of its own. Returns its exit code; *said is its stderr, for free(). */
static int in_child(void (*work)(struct fixture *), struct fixture *fixture, char **said)
{
    int ends[2];
    assert_int_equal(pipe(ends), 0);
    pid_t child = fork();
    if (child == 0) {
        dup2(ends[1], STDERR_FILENO);
        close(ends[0]);
        work(fixture);
        _exit(0);
    }
    close(ends[1]);
    size_t size = 0;
    *said = xcalloc(1, 64 * 1024);
    for (ssize_t got; (got = read(ends[0], *said + size, 64 * 1024 - 1 - size)) > 0;)
        size += (size_t)got;
    close(ends[0]);
    int status;
    assert_int_equal(waitpid(child, &status, 0), child);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status);
}

static void append_until_the_end(struct fixture *fixture)
{
    for (unsigned n = 0; n < 1000; n++)
        wait_durable(fixture, append(fixture, n, true));
}

static void run_into_a_file_limit(struct fixture *fixture)
{
    start(fixture, 64 * 1024);
    struct rlimit limit = {32 * 1024, 32 * 1024};
    CHECK(setrlimit(RLIMIT_FSIZE, &limit) == 0);
    append_until_the_end(fixture);
}

static void failed_write_ends_the_process_with_one_clear_line(void **state)
{
    struct fixture *fixture = *state;
    char *said;
    assert_int_equal(in_child(run_into_a_file_limit, fixture, &said), 1);
    assert_non_null(strstr(said, "error: cannot write "));
    assert_non_null(strstr(said, "00000001.journal: File too large"));
    assert_non_null(strstr(said, "ulimit -f"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    free(said);
    struct journal_report report = report_of(fixture);
    assert_in_range(report.records, 1, 7); /* all that was reported, and nothing is damaged */
    expect_records(fixture, 0, (unsigned)report.records);
}

enum { NO_MOUNT = 99 };

/* A file system with room for two segments, seen by this process alone. */
static void mount_small(struct fixture *fixture)
{
    if (unshare(CLONE_NEWNS) != 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) != 0 ||
        mount("tmpfs", fixture->directory, "tmpfs", 0, "size=176k") != 0)
        _exit(NO_MOUNT);
}

static void run_out_of_disk(struct fixture *fixture)
{
    mount_small(fixture);
    start(fixture, 64 * 1024);
    append_until_the_end(fixture);
}

static void start_without_room(struct fixture *fixture)
{
    char text[1024];
    mount_small(fixture);
    if (!start_at(fixture, fixture->directory, 1024 * 1024)) {
        dprintf(STDERR_FILENO, "%s\n", error_format(&fixture->error, text, sizeof(text)));
        _exit(2);
    }
}

static void full_disk_ends_the_process_with_one_clear_line(void **state)
{
    char *said;
    int code = in_child(run_out_of_disk, *state, &said);
    if (code == NO_MOUNT) {
        free(said);
        print_message("needs the right to mount a file system\n");
        skip();
    }
    assert_int_equal(code, 1);
    assert_non_null(strstr(said, "error: cannot allocate "));
    assert_non_null(strstr(said, "No space left on device"));
    assert_non_null(strstr(said, "make room on the file system"));
    assert_ptr_equal(strchr(said, '\n'), said + strlen(said) - 1);
    free(said);
}

static void start_on_a_full_disk_is_refused(void **state)
{
    char *said;
    int code = in_child(start_without_room, *state, &said);
    if (code == NO_MOUNT) {
        free(said);
        print_message("needs the right to mount a file system\n");
        skip();
    }
    assert_int_equal(code, 2);
    assert_non_null(strstr(said, "cannot allocate "));
    assert_non_null(strstr(said, "No space left on device"));
    assert_non_null(strstr(said, "make room"));
    free(said);
}

int main(void)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
#define TEST(name) cmocka_unit_test_setup_teardown(name, setup, teardown)
    const struct CMUnitTest tests[] = {
        TEST(records_come_back_in_order_after_a_start),
        TEST(positions_count_from_one_in_each_run),
        TEST(durable_positions_grow_until_the_last_append),
        TEST(a_reported_position_is_in_the_files),
        TEST(position_is_not_reported_before_its_own_flush),
        TEST(appends_that_wait_together_share_a_flush),
        TEST(appends_of_one_turn_share_a_flush),
        TEST(reading_a_journal_in_use_does_not_take_new_frames_for_damage),
        TEST(reading_while_checkpoints_replace_segments_finds_a_whole_log),
        TEST(record_that_nobody_waits_for_becomes_durable_all_the_same),
        TEST(closing_makes_everything_durable),
        TEST(batch_beyond_the_limit_becomes_several_frames),
        TEST(runner_that_refuses_a_record_stops_the_start),
        TEST(log_longer_than_a_segment_goes_on_in_the_next),
        TEST(what_was_made_durable_is_counted),
        TEST(checkpoint_replaces_what_was_before),
        TEST(checkpoint_may_be_empty_or_larger_than_a_segment),
        TEST(checkpoint_is_due_after_a_segment_and_no_sooner_than_twice_the_last),
        TEST(crash_before_a_checkpoint_has_its_name_leaves_the_old_log),
        TEST(crash_before_the_old_segments_are_gone_leaves_the_checkpoint),
        TEST(crash_after_a_write_leaves_all_that_was_reported),
        TEST(second_coordinator_on_the_same_journal_is_refused),
        TEST(directory_that_cannot_be_made_is_refused_with_its_name),
        TEST(directory_is_made_private),
        TEST(damaged_journal_is_refused_and_left_alone),
        TEST(reading_an_empty_directory_says_that_there_is_no_journal),
        TEST(failed_write_ends_the_process_with_one_clear_line),
        TEST(full_disk_ends_the_process_with_one_clear_line),
        TEST(start_on_a_full_disk_is_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
