/* troth top as a person and a script run it: against a coordinator in the test, on a terminal that
 * is a pty, into a pipe, with Ctrl-C and SIGTERM, and while the coordinator goes away. */
#include "tests/unit/cli_desk.h"

#include <errno.h>
#include <pty.h>
#include <signal.h>
#include <sys/ioctl.h>

#include "core/json.h"
#include "core/metrics.h"

enum { PATIENCE_US = 20 * 1000 * 1000, SAID_BYTES = 1024 * 1024 };

/* ---- what the coordinator says ------------------------------------------------------------- */

static Wire__CoordinatorView coordinator;
static Wire__ParticipantView payments, *participants[] = {&payments};
static Wire__TransactionView late, *transactions[] = {&late};
static Wire__Sample samples[2], *sample_list[] = {&samples[0], &samples[1]};
static Wire__Answer answers[4];

/* Each look finds a hundred commits more. */
static const Wire__Answer *page(struct desk *desk, const Wire__Query *query)
{
    (void)desk;
    switch (query->what) {
    case WIRE__WHAT__COORDINATOR:
        return &answers[0];
    case WIRE__WHAT__METRICS:
        samples[1].value += 100;
        return &answers[1];
    case WIRE__WHAT__PARTICIPANTS:
        return &answers[2];
    case WIRE__WHAT__TRANSACTIONS:
        assert_true(query->oldest_first && query->n_states > 0);
        return &answers[3];
    default:
        return NULL;
    }
}

static void prepare(struct desk *desk)
{
    for (int i = 0; i < 4; i++)
        wire__answer__init(&answers[i]);
    wire__coordinator_view__init(&coordinator);
    coordinator.name = (char *)"c1";
    coordinator.cluster = (char *)"shop";
    coordinator.hazards = 3;
    wire__participant_view__init(&payments);
    payments.name = (char *)"payments";
    wire__transaction_view__init(&late);
    late.gtrid = (char *)"shop.c1.7.1";
    late.state = (char *)"committed";
    for (int i = 0; i < 2; i++)
        wire__sample__init(&samples[i]);
    samples[0].name = (char *)"troth_epoch";
    samples[0].value = 7;
    samples[1].name = (char *)"troth_transactions_total";
    samples[1].labels = (char *)"protocol=\"2pc\",outcome=\"committed\"";
    answers[0].coordinator = &coordinator;
    answers[1].samples = sample_list;
    answers[1].n_samples = 2;
    answers[2].participants = participants;
    answers[2].n_participants = 1;
    answers[3].transactions = transactions;
    answers[3].n_transactions = 1;
    desk->page = page;
}

/* ---- a run that goes on -------------------------------------------------------------------- */

struct watch {
    struct watch *next; /* of all */
    struct desk *desk;
    uv_process_t process;
    int fd; /* what it writes comes here */
    bool ended;
    int status;
    char said[SAID_BYTES];
    size_t size;
    /* What is waited for. */
    const char *text;
    size_t from;
    uint64_t until_us;
};

static struct watch *watches; /* to be freed when their loops are gone */

static bool has_said(const struct watch *watch)
{
    return watch->text && strstr(watch->said + watch->from, watch->text);
}

static void take(struct watch *watch)
{
    for (ssize_t size;
         (size = read(watch->fd, watch->said + watch->size, SAID_BYTES - 1 - watch->size)) > 0;)
        watch->size += (size_t)size;
}

static uint64_t look(void *self)
{
    struct watch *watch = self;
    const struct host_port *host = loop_host(watch->desk->loop);
    if (watch->fd < 0)
        return UINT64_MAX; /* another one is looked at now */
    take(watch);
    uint64_t now = host->now_us(host->self);
    if (has_said(watch) || watch->ended || now >= watch->until_us)
        loop_stop(watch->desk->loop);
    return now + 5000;
}

static void ended(uv_process_t *process, int64_t status, int signal)
{
    struct watch *watch = process->data;
    watch->status = signal ? 128 + signal : (int)status;
    watch->ended = true;
    uv_close((uv_handle_t *)process, NULL);
}

/* Its output: the other end of fd, which is closed here. */
static struct watch *begin(struct desk *desk, int fd, int output, const char *const *words)
{
    struct watch *watch = xcalloc(1, sizeof(*watch));
    char *argv[16] = {kit_troth};
    for (int i = 0; words[i]; i++)
        argv[i + 1] = (char *)words[i];
    uv_stdio_container_t streams[3] = {
        {.flags = UV_IGNORE},
        {.flags = UV_INHERIT_FD, .data.fd = output},
        {.flags = UV_INHERIT_FD, .data.fd = output},
    };
    uv_process_options_t options = {
        .exit_cb = ended, .file = kit_troth, .args = argv, .stdio = streams, .stdio_count = 3};
    watch->next = watches;
    watches = watch;
    watch->desk = desk;
    watch->fd = fd;
    watch->process.data = watch;
    /* Were it inherited, nobody's end would be seen by the one that is watched. */
    CHECK(fcntl(fd, F_SETFD, FD_CLOEXEC) == 0);
    CHECK(fcntl(fd, F_SETFL, O_NONBLOCK) == 0);
    CHECK(uv_spawn(loop_uv(desk->loop), &watch->process, &options) == 0);
    close(output);
    loop_on_settle(desk->loop, look, watch);
    return watch;
}

static void wait_for(struct watch *watch, const char *text)
{
    const struct host_port *host = loop_host(watch->desk->loop);
    watch->text = text;
    watch->until_us = host->now_us(host->self) + PATIENCE_US;
    loop_run(watch->desk->loop);
    if (text && !has_said(watch))
        fail_msg("it never says \"%s\" but: %s", text, watch->said + watch->from);
    watch->from = watch->size;
}

/* Also what it says last. Its memory stays, as the loop knows of it. */
static void end(struct watch *watch, int signal)
{
    assert_false(watch->ended);
    assert_int_equal(uv_process_kill(&watch->process, signal), 0);
    wait_for(watch, NULL);
    assert_true(watch->ended);
    take(watch);
    close(watch->fd);
    watch->fd = -1;
}

static struct watch *begin_terminal(struct desk *desk, unsigned short columns, unsigned short rows)
{
    int ours, theirs;
    struct winsize size = {.ws_col = columns, .ws_row = rows};
    assert_int_equal(openpty(&ours, &theirs, NULL, NULL, &size), 0);
    return begin(desk, ours, theirs, WORDS("top", "--interval", "100ms"));
}

/* ---- tests --------------------------------------------------------------------------------- */

static void one_screen_has_the_rates_of_its_interval(void **state)
{
    struct desk *desk = *state;
    prepare(desk);
    struct run run = ask(desk, WORDS("top", "--once", "--interval", "200ms"));
    assert_code(run, 0);
    assert_out(run, "c1 of shop");
    assert_out(run, "hazards 3 ");
    assert_out(run, "payments     DOWN");
    assert_out(run, "shop.c1.7.1  committed");
    const char *commits = strstr(run.out, "commits ");
    assert_non_null(commits);
    double rate = strtod(commits + 8, NULL);
    assert_true(rate > 100 && rate <= 500);
    assert_null(strchr(run.out, '\x1b'));
    expect_narrow(&run);
    run_fini(&run);
}

static void the_json_has_the_same(void **state)
{
    struct desk *desk = *state;
    struct error error = {0};
    prepare(desk);
    struct run run = ask(desk, WORDS("top", "--once", "--interval", "200ms", "--json"));
    assert_code(run, 0);
    struct json *json = json_parse(run.out, strlen(run.out), &error);
    assert_non_null(json);
    assert_string_equal(json_member(json, "hazards")->text, "3");
    assert_int_equal(json_member(json, "reachable")->type, JSON_TRUE);
    assert_int_equal(json_member(json, "participants")->count, 1);
    assert_int_equal(json_member(json, "slowest")->count, 1);
    double rate = strtod(json_member(json_member(json, "per_second"), "commits")->text, NULL);
    assert_true(rate > 100 && rate <= 500);
    json_free(json);
    run_fini(&run);
}

static void wrong_words_are_told(void **state)
{
    struct desk *desk = *state;
    struct run run = ask(desk, WORDS("top", "--interval", "5ms"));
    assert_code(run, 2);
    assert_err(run, "--interval: \"5ms\" is no duration from 100ms to 1h");
    run_fini(&run);
    run = ask(desk, WORDS("top", "payments"));
    assert_code(run, 2);
    run_fini(&run);
}

static const char taken[] = "\x1b[?1049h\x1b[?25l", given_back[] = "\x1b[?25h\x1b[?1049l";

static void a_terminal_is_drawn_in_place_and_given_back(void **state)
{
    static const int signals[] = {SIGINT, SIGTERM};
    struct desk *desk = *state;
    prepare(desk);
    for (int i = 0; i < 2; i++) {
        struct watch *watch = begin_terminal(desk, 80, 24);
        wait_for(watch, "committed"); /* the last line of the first screen */
        assert_non_null(strstr(watch->said, taken));
        wait_for(watch, "\x1b[H");
        wait_for(watch, "\x1b[H");
        assert_null(strstr(watch->said, given_back));
        end(watch, signals[i]);
        assert_int_equal(watch->status, 0);
        const char *last = strstr(watch->said, given_back);
        assert_non_null(last);
        assert_int_equal(strlen(last), strlen(given_back));
    }
}

static void a_small_terminal_is_not_scrolled(void **state)
{
    struct desk *desk = *state;
    prepare(desk);
    struct watch *watch = begin_terminal(desk, 40, 6);
    wait_for(watch, "p50");
    wait_for(watch, "\x1b[H");
    end(watch, SIGINT);
    const char *screen = strstr(watch->said, "\x1b[H");
    int lines = 0;
    for (const char *at = screen; at && at < strstr(screen + 1, "\x1b[H"); at++)
        lines += *at == '\n';
    assert_int_equal(lines, 5);
}

static void a_terminal_that_goes_away_ends_it(void **state)
{
    struct desk *desk = *state;
    prepare(desk);
    struct watch *watch = begin_terminal(desk, 80, 24);
    wait_for(watch, "committed");
    int gone = watch->fd;
    watch->fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
    close(gone);
    wait_for(watch, NULL);
    assert_true(watch->ended);
    close(watch->fd);
    watch->fd = -1;
}

static void a_coordinator_that_goes_away_is_waited_for(void **state)
{
    struct desk *desk = *state;
    int ends[2];
    prepare(desk);
    assert_int_equal(pipe2(ends, O_CLOEXEC), 0);
    struct watch *watch =
        begin(desk, ends[0], ends[1], WORDS("top", "--interval", "100ms", "--json"));
    wait_for(watch, "\"reachable\":true");
    desk->hang_up = true;
    wait_for(watch, "\"reachable\":false,\"since\":\"20");
    desk->hang_up = false;
    wait_for(watch, "\"reachable\":true");
    end(watch, SIGINT);
    assert_int_equal(watch->status, 0);
}

static void nobody_at_first_is_a_failure(void **state)
{
    (void)state;
    struct run run =
        kit_run(NULL, WORDS("--coordinator", "tcp://127.0.0.1:1", "--timeout", "300ms", "top"));
    assert_code(run, 3);
    assert_err(run, "nobody answers at tcp://127.0.0.1:1");
    run_fini(&run);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        TEST(one_screen_has_the_rates_of_its_interval),
        TEST(the_json_has_the_same),
        TEST(wrong_words_are_told),
        TEST(a_terminal_is_drawn_in_place_and_given_back),
        TEST(a_small_terminal_is_not_scrolled),
        TEST(a_terminal_that_goes_away_ends_it),
        TEST(a_coordinator_that_goes_away_is_waited_for),
        cmocka_unit_test(nobody_at_first_is_a_failure),
    };
    (void)argc;
    kit_find(argv[0]);
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    free(kit_troth);
    for (struct watch *watch; (watch = watches) != NULL; free(watch))
        watches = watch->next;
    return failed;
}
