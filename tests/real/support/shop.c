#include "tests/real/support/shop.h"

#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "core/check.h"
#include "tests/real/support/cluster.h"
#include "tests/real/support/network.h"
#include "tests/real/support/purchase.h"
#include "tests/real/support/saga_shop.h"
#include "tests/real/support/shop_files.h"
#include "tests/real/support/wait.h"

const char *const process_names[PROCESSES] = {"trothd", "orders", "payments", "inventory"};

/* ---- programs ------------------------------------------------------------------------------ */

/* How a program is started. */
struct start {
    enum process host;
    int output;
    const char *crash, *stop; /* TROTH_CRASH_AT, TROTH_STOP_AT, or NULL */
};

static pid_t spawn(struct shop *shop, const char *const *words, const struct start *start)
{
    char program[600];
    pid_t parent = getpid();
    snprintf(program, sizeof(program), "%s/%s", shop->build, words[0]);
    fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid > 0)
        return pid;
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(127);
    int null = open("/dev/null", O_RDONLY);
    dup2(null, STDIN_FILENO);
    dup2(start->output, STDOUT_FILENO);
    dup2(start->output, STDERR_FILENO);
    if (start->crash)
        setenv("TROTH_CRASH_AT", start->crash, 1);
    if (start->stop)
        setenv("TROTH_STOP_AT", start->stop, 1);
    if (shop->network)
        network_enter(shop->network, (int)start->host);
    execv(program, (char *const *)words);
    _exit(127);
}

pid_t shop_spawn_at(struct shop *shop, enum process host, const char *const *words, int output)
{
    const struct start start = {.host = host, .output = output};
    return spawn(shop, words, &start);
}

static pid_t spawn_logged(struct shop *shop, const char *const *words, const char *log,
                          struct start *start)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", shop->folder, log);
    start->output = open(path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    assert_true(start->output >= 0);
    pid_t pid = spawn(shop, words, start);
    close(start->output);
    return pid;
}

pid_t shop_spawn(struct shop *shop, const char *const *words, const char *log, const char *crash)
{
    struct start start = {.host = COORDINATOR, .crash = crash};
    return spawn_logged(shop, words, log, &start);
}

int shop_reap(pid_t pid)
{
    int status;
    while (waitpid(pid, &status, 0) < 0)
        assert_int_equal(errno, EINTR);
    return status;
}

/* Binds it for the life of the test, without listening there. Whoever sets SO_REUSEADDR, as all
 * that listen do, can still bind it and listen; another test that looks for a port does not. */
static bool hold_port(int port)
{
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0), yes = 1;
    struct sockaddr_in address = {.sin_family = AF_INET,
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
                                  .sin_port = htons((uint16_t)port)};
    if (bind(fd, (struct sockaddr *)&address, sizeof(address)) != 0) {
        close(fd);
        return false;
    }
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof(yes)), 0);
    return true;
}

/* A port that nobody else has until the test ends, below the kernel's own range: nobody who dials
 * takes it while its owner is down, not even for a connection to itself. Scripts that start shops
 * beside this one take ports above these (tests/lib/common.sh). */
int shop_free_port(void)
{
    enum { FIRST = 20000, PORTS = 6000, TRIES = 100 };
    static int last;
    if (!last)
        last = (int)((wait_now_ms() * 31 + (uint64_t)getpid() * 101) % PORTS);
    for (int i = 0; i < TRIES; i++) {
        last = (last + 7) % PORTS;
        if (hold_port(FIRST + last))
            return FIRST + last;
    }
    fail_msg("no free port between %d and %d", FIRST, FIRST + PORTS);
    return 0;
}

/* ---- the four processes -------------------------------------------------------------------- */

void shop_start_to_stop(struct shop *shop, enum process process, const char *stop,
                        const char *crash)
{
    char config[128], log[64];
    assert_int_equal(shop->processes[process].pid, 0);
    snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, process_names[process]);
    snprintf(log, sizeof(log), "%s.log", process_names[process]);
    const char *program = process == COORDINATOR    ? "trothd"
                          : shop->services[process] ? shop->services[process]
                                                    : "troth-participant";
    const char *words[] = {program, "--config", config, NULL};
    struct start start = {.host = process, .crash = crash, .stop = stop};
    shop->processes[process].log_offset = shop_file_size(shop, log);
    shop->processes[process].mark = shop->processes[process].log_offset;
    shop->processes[process].pid = spawn_logged(shop, words, log, &start);
    shop->processes[process].doomed = crash || stop;
}

void shop_start(struct shop *shop, enum process process, const char *crash)
{
    shop_start_to_stop(shop, process, NULL, crash);
}

void shop_start_all(struct shop *shop)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop->processes[p].pid == 0)
            shop_start(shop, p, NULL);
    }
    shop_wait_ready(shop);
}

void shop_signal(struct shop *shop, enum process process, int signal)
{
    assert_true(shop->processes[process].pid > 0);
    assert_int_equal(kill(shop->processes[process].pid, signal), 0);
}

bool shop_ended(struct shop *shop, enum process process)
{
    pid_t pid = shop->processes[process].pid;
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)pid, &info, WEXITED | WNOHANG | WNOWAIT);
    return pid > 0 && result == 0 && info.si_pid == pid;
}

struct place {
    struct shop *shop;
    enum process process;
    const char *text;
};

static bool has_ended(void *self)
{
    struct place *place = self;
    return shop_ended(place->shop, place->process);
}

bool shop_stopped(struct shop *shop, enum process process)
{
    pid_t pid = shop->processes[process].pid;
    siginfo_t info = {0};
    int result = waitid(P_PID, (id_t)pid, &info, WSTOPPED | WNOHANG | WNOWAIT);
    return pid > 0 && result == 0 && info.si_pid == pid;
}

static bool has_stopped(void *self)
{
    const struct place *place = self;
    return shop_stopped(place->shop, place->process);
}

void shop_wait_stopped(struct shop *shop, enum process process)
{
    struct place place = {shop, process, NULL};
    char what[64];
    snprintf(what, sizeof(what), "%s has stopped itself", process_names[process]);
    wait_for(has_stopped, &place, 30, what);
}

int shop_wait_end(struct shop *shop, enum process process)
{
    struct place place = {shop, process, NULL};
    char what[64];
    assert_true(shop->processes[process].pid > 0);
    snprintf(what, sizeof(what), "%s has ended", process_names[process]);
    wait_for(has_ended, &place, 30, what);
    int status = shop_reap(shop->processes[process].pid);
    shop->processes[process].pid = 0;
    return status;
}

void shop_kill(struct shop *shop, enum process process)
{
    shop_signal(shop, process, SIGKILL);
    shop_reap(shop->processes[process].pid);
    shop->processes[process].pid = 0;
}

void shop_stop(struct shop *shop, enum process process)
{
    shop_signal(shop, process, SIGTERM);
    int status = shop_wait_end(shop, process);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s did not end with 0 after SIGTERM (wait status 0x%x)", process_names[process],
                 (unsigned)status);
}

/* ---- conditions ---------------------------------------------------------------------------- */

static bool logged_since(struct shop *shop, enum process process, long offset, const char *text)
{
    char log[64];
    snprintf(log, sizeof(log), "%s.log", process_names[process]);
    char *said = shop_file_read(shop, log, offset);
    bool found = strstr(said, text) != NULL;
    free(said);
    return found;
}

bool shop_logged(struct shop *shop, enum process process, const char *text)
{
    return logged_since(shop, process, shop->processes[process].mark, text);
}

void shop_mark(struct shop *shop)
{
    char log[64];
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        snprintf(log, sizeof(log), "%s.log", process_names[p]);
        shop->processes[p].mark = shop_file_size(shop, log);
    }
}

static bool has_logged(void *self)
{
    struct place *place = self;
    return shop_logged(place->shop, place->process, place->text);
}

void shop_wait_logged(struct shop *shop, enum process process, const char *text)
{
    struct place place = {shop, process, text};
    char what[200];
    snprintf(what, sizeof(what), "%s logs: %s", process_names[process], text);
    wait_for(has_logged, &place, 30, what);
}

/* In the answer to `participant list --json`. */
static bool is_up(const char *list, const char *participant)
{
    char name[64];
    snprintf(name, sizeof(name), "\"name\":\"%s\"", participant);
    const char *view = strstr(list, name);
    if (!view)
        return false;
    const char *next = strstr(view + 1, "\"name\":");
    char *own = next ? strndup(view, (size_t)(next - view)) : strdup(view);
    bool up = strstr(own, "\"connected\":true") && strstr(own, "\"database_up\":true");
    free(own);
    return up;
}

static bool is_connected(void *self)
{
    struct shop *shop = self;
    const char *words[] = {"--timeout", "2s", "participant", "list", "--json", NULL};
    struct said said = shop_command(shop, words);
    bool connected = true;
    for (enum process p = ORDERS; p < PROCESSES; p++)
        connected = connected && is_up(said.output, process_names[p]);
    said_fini(&said);
    return connected;
}

void shop_wait_connected(struct shop *shop)
{
    wait_for(is_connected, shop, 30, "all participants are connected with their databases up");
}

static bool is_ready(void *self)
{
    struct shop *shop = self;
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop_ended(shop, p) && shop->processes[p].doomed)
            return true;
        if (shop_ended(shop, p))
            fail_msg("%s ended, and nobody had asked it to", process_names[p]);
        if (!logged_since(shop, p, shop->processes[p].log_offset, "ready: "))
            return false;
    }
    return is_connected(shop);
}

void shop_wait_ready(struct shop *shop)
{
    wait_for(is_ready, shop, 30, "all participants are connected with their databases up");
}

/* ---- a shop -------------------------------------------------------------------------------- */

static void find_build(struct shop *shop)
{
    ssize_t size = readlink("/proc/self/exe", shop->build, sizeof(shop->build) - 1);
    assert_true(size > 0);
    shop->build[size] = '\0';
    /* The test is BUILD/t/real/NAME.t. */
    for (int i = 0; i < 3; i++)
        *strrchr(shop->build, '/') = '\0';
}

static void install(struct shop *shop, enum process participant)
{
    char config[128];
    snprintf(config, sizeof(config), "%s/%s.yaml", shop->folder, process_names[participant]);
    const char *words[] = {"troth-participant", "--config", config, "--install", NULL};
    int status = shop_reap(shop_spawn(shop, words, "install.log", NULL));
    if (status != 0)
        fail_msg("troth-participant --install failed: see %s/install.log", shop->folder);
}

static bool network_wanted, sagas_wanted, armed_wanted;
static const char *services_wanted[PROCESSES];

void shop_use_service(enum process participant, const char *program)
{
    services_wanted[participant] = program;
}

void shop_use_sagas(void)
{
    sagas_wanted = true;
}

void shop_use_armed(void)
{
    armed_wanted = true;
}

void shop_use_network(void)
{
    network_wanted = true;
}

static void open_network(struct shop *shop)
{
    const char *why;
    shop->network = network_open(PROCESSES, &why);
    if (!shop->network)
        shop_skip(shop, why);
}

static void open_shop(struct shop *shop)
{
    if (network_wanted)
        open_network(shop);
    for (enum process p = COORDINATOR; p < PROCESSES; p++)
        snprintf(shop->addresses[p], sizeof(shop->addresses[p]), "tcp://%s:%d",
                 shop->network ? network_address(shop->network, (int)p) : "127.0.0.1",
                 shop_free_port());
    strcpy(shop->folder, "/tmp/troth-shop.XXXXXX");
    assert_non_null(mkdtemp(shop->folder));
    find_build(shop);
    for (enum process p = ORDERS; p < PROCESSES; p++) {
        cluster_mend(process_names[p]);
        cluster_end_prepared(process_names[p]);
    }
    memcpy(shop->services, services_wanted, sizeof(shop->services));
    shop_files_make(shop);
    shop->sagas = sagas_wanted;
    if (shop->sagas)
        saga_shop_make(shop);
    for (enum process p = ORDERS; p < PROCESSES; p++)
        install(shop, p);
}

static void kill_all(struct shop *shop)
{
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop->processes[p].pid) {
            kill(shop->processes[p].pid, SIGCONT);
            shop_kill(shop, p);
        }
    }
}

static void free_shop(struct shop *shop)
{
    if (shop->network)
        network_close(shop->network);
    free(shop);
}

/* ---- tests --------------------------------------------------------------------------------- */

struct test {
    void (*body)(struct shop *shop);
    const void *argument;
};

static struct shop *kept; /* of the tests that passed */

void shop_remark(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    printf("# ");
    vprintf(format, arguments);
    printf("\n");
    va_end(arguments);
    fflush(stdout);
}

void shop_skip(struct shop *shop, const char *reason)
{
    shop_remark("skipped: %s", reason);
    shop->passed = true;
    skip();
    abort(); /* skip() jumps */
}

/* What can go wrong is left to the test itself: after a setup that fails there is no teardown. */
static int setup(void **state)
{
    const struct test *test = *state;
    if (!kept)
        kept = xcalloc(1, sizeof(*kept));
    kept->body = test->body;
    kept->argument = test->argument;
    kept->passed = false;
    *state = kept;
    return 0;
}

static void prepare(struct shop *shop)
{
    if (!shop->folder[0])
        open_shop(shop);
    shop_empty_tables();
    if (shop->sagas)
        saga_shop_empty();
    for (enum process p = COORDINATOR; p < PROCESSES; p++) {
        if (shop->processes[p].pid && shop->processes[p].doomed && !armed_wanted)
            shop_stop(shop, p);
    }
    shop_start_all(shop);
}

static void run(void **state)
{
    struct shop *shop = *state;
    prepare(shop);
    shop->body(shop);
    shop->passed = true;
}

static int teardown(void **state)
{
    struct shop *shop = *state;
    if (shop->passed)
        return 0;
    kept = NULL;
    kill_all(shop);
    shop_remark("logs, journal and configurations of what failed: %s", shop->folder);
    for (enum process p = ORDERS; p < PROCESSES; p++)
        cluster_mend(process_names[p]);
    free_shop(shop);
    return 0;
}

/* A clean end of every process: nothing was asked of them that they could not finish. */
static int end_group(void **state)
{
    struct shop *shop = kept;
    (void)state;
    if (!shop || !shop->folder[0]) { /* all were skipped */
        free(shop);
        kept = NULL;
        return 0;
    }
    for (enum process p = PROCESSES; p-- > COORDINATOR;) {
        if (shop->processes[p].pid)
            shop_stop(shop, p);
    }
    shop_files_judge(shop);
    char *command = xasprintf("rm -rf '%s'", shop->folder);
    assert_int_equal(system(command), 0);
    free(command);
    free_shop(shop);
    kept = NULL;
    return 0;
}

struct CMUnitTest shop_test(const char *name, void (*body)(struct shop *shop), const void *argument)
{
    enum { TESTS = 200 };
    static struct test tests[TESTS];
    static int count;
    CHECK(count < TESTS);
    tests[count] = (struct test){body, argument};
    return (struct CMUnitTest){name, run, setup, teardown, &tests[count++]};
}

int shop_run(const char *program, const struct CMUnitTest *tests, size_t count)
{
    cmocka_set_message_output(CM_OUTPUT_TAP);
    if (!getenv("TROTH_TEST_PG_PAYMENTS") || !getenv("TROTH_TEST_PG_PAYMENTS_DATA")) {
        puts("Bail out! TROTH_TEST_PG_PAYMENTS is not set: run it by tests/run");
        return 1;
    }
    signal(SIGPIPE, SIG_IGN);
    int failed = _cmocka_run_group_tests(program, tests, count, NULL, end_group);
    if (kept) {
        kill_all(kept);
        shop_remark("logs, journal and configurations: %s", kept->folder);
        failed++;
    }
    return failed;
}
