/* One thread that polls: alerts come on a socket, which ends with the process that made us; each
 * command's stderr is a pipe; SIGCHLD comes as a descriptor. Whoever is told of anything here is
 * told by the log. */
#include "io/alert_helper.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "io/log.h"

enum {
    RUNS = 4,
    WAITING = 100,
    LIMIT_MS = 30 * 1000,
    GRACE_MS = 2000,
    LINE_BYTES = 300,
    EXIT_NOT_RUN = 127,
};

struct alert_text {
    char *name; /* "hazard of shop.c1.5.17" */
    const char *json;
    size_t size;
};

struct run {
    pid_t pid; /* 0: free */
    struct alert_text alert;
    int64_t until_ms;
    bool late;
    int errors;            /* its stderr; -1: ended */
    char line[LINE_BYTES]; /* the first one that it wrote there */
    size_t size;
    bool whole; /* more is not wanted */
};

struct helper {
    const struct alert_hook_config *config;
    int socket; /* -1: ended */
    int signals;
    struct run runs[RUNS];
    struct alert_text waiting[WAITING]; /* oldest first */
    int waiting_count;
};

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* ---- a command ----------------------------------------------------------------------------- */

/* Never returns: the command, or an exit code and a line on stderr. */
static _Noreturn void become(const struct helper *helper, pid_t parent, int input, int errors)
{
    sigset_t none;
    int null = open("/dev/null", O_WRONLY | O_CLOEXEC);
    dup2(input, STDIN_FILENO);
    dup2(null, STDOUT_FILENO);
    dup2(errors, STDERR_FILENO);
    setpgid(0, 0); /* so that what it starts ends with it */
    for (int number = 1; number < NSIG; number++)
        signal(number, SIG_DFL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent) {
        execvp(helper->config->command[0], helper->config->command);
        dprintf(STDERR_FILENO, "it can't be run: %s\n", strerror(errno));
    }
    _exit(EXIT_NOT_RUN);
}

/* All of the alert fits the pipe, so nobody waits for the command to read it. */
static bool make_pipes(const struct alert_text *alert, int input[2], int errors[2])
{
    input[0] = input[1] = errors[0] = errors[1] = -1;
    if (pipe2(input, O_CLOEXEC) != 0 || pipe2(errors, O_CLOEXEC) != 0 ||
        fcntl(errors[0], F_SETFL, O_NONBLOCK) != 0)
        return false;
    ssize_t size = write(input[1], alert->json, alert->size);
    close(input[1]);
    input[1] = -1;
    return size == (ssize_t)alert->size;
}

static void close_all(const int *fds, int count)
{
    for (int i = 0; i < count; i++) {
        if (fds[i] >= 0)
            close(fds[i]);
    }
}

/* Takes the alert over. */
static void begin(struct helper *helper, struct run *run, struct alert_text alert)
{
    int limit_ms = helper->config->limit_ms ? helper->config->limit_ms : LIMIT_MS;
    int fds[4];
    pid_t pid = -1, parent = getpid();
    if (make_pipes(&alert, fds, fds + 2))
        pid = fork();
    if (pid == 0)
        become(helper, parent, fds[0], fds[3]);
    if (pid < 0) {
        log_write(LOG_ERROR, "the command for the alert %s can't be started: %s", alert.name,
                  strerror(errno));
        close_all(fds, 4);
        free(alert.name);
        return;
    }
    setpgid(pid, pid); /* whoever of the two comes first */
    *run =
        (struct run){.pid = pid, .alert = alert, .until_ms = now_ms() + limit_ms, .errors = fds[2]};
    fds[2] = -1;
    close_all(fds, 4);
}

static void read_errors(struct run *run)
{
    char bytes[1024];
    for (;;) {
        ssize_t size = read(run->errors, bytes, sizeof(bytes));
        if (size < 0 && errno == EINTR)
            continue;
        if (size < 0 && errno == EAGAIN)
            return;
        if (size <= 0)
            break;
        for (ssize_t i = 0; i < size && !run->whole; i++) {
            run->whole = bytes[i] == '\n' ? run->size > 0 : run->size == LINE_BYTES - 1;
            if (!run->whole && bytes[i] != '\n')
                run->line[run->size++] = bytes[i];
        }
    }
    close(run->errors);
    run->errors = -1;
}

static void tell(const struct helper *helper, const struct run *run, int status)
{
    const char *command = helper->config->command[0], *said = run->size ? run->line : "nothing";
    const char *name = run->alert.name;
    if (run->late)
        log_write(LOG_ERROR,
                  "the command %s for the alert %s took too long and was killed; it said: %s",
                  command, name, said);
    else if (WIFSIGNALED(status))
        log_write(LOG_ERROR, "the command %s for the alert %s was ended by signal %d; it said: %s",
                  command, name, WTERMSIG(status), said);
    else if (WEXITSTATUS(status) != 0)
        log_write(LOG_ERROR, "the command %s for the alert %s failed with exit code %d: %s",
                  command, name, WEXITSTATUS(status), said);
    else
        log_write(LOG_INFO, "the command %s was told the alert %s", command, name);
}

static void end(struct helper *helper, struct run *run, int status)
{
    if (run->errors >= 0)
        read_errors(run);
    tell(helper, run, status);
    kill(-run->pid, SIGKILL); /* what it left behind */
    if (run->errors >= 0)
        close(run->errors);
    free(run->alert.name);
    *run = (struct run){.errors = -1};
}

/* ---- what comes ---------------------------------------------------------------------------- */

static void reap(struct helper *helper)
{
    struct signalfd_siginfo signal;
    int status;
    while (read(helper->signals, &signal, sizeof(signal)) > 0)
        continue;
    for (pid_t pid; (pid = waitpid(-1, &status, WNOHANG)) > 0;) {
        for (int i = 0; i < RUNS; i++) {
            if (helper->runs[i].pid == pid)
                end(helper, &helper->runs[i], status);
        }
    }
}

static void take(struct helper *helper, const char *datagram, size_t size)
{
    char *copy = xmalloc(size + 1);
    memcpy(copy, datagram, size);
    copy[size] = '\0';
    size_t name = strlen(copy) + 1;
    if (name > size) {
        free(copy); /* ours always have both */
    } else if (helper->waiting_count == WAITING) {
        log_write(LOG_ERROR, "the alert %s is dropped: %d wait for %s already", copy, WAITING,
                  helper->config->command[0]);
        free(copy);
    } else {
        helper->waiting[helper->waiting_count++] =
            (struct alert_text){copy, copy + name, size - name};
    }
}

static void start_waiting(struct helper *helper)
{
    for (int i = 0; i < RUNS && helper->waiting_count > 0; i++) {
        if (helper->runs[i].pid)
            continue;
        struct alert_text first = helper->waiting[0];
        memmove(helper->waiting, helper->waiting + 1,
                sizeof(first) * (size_t)--helper->waiting_count);
        begin(helper, &helper->runs[i], first);
    }
}

/* Who made us is gone: what runs has a little time, and nothing more begins. */
static void lose(struct helper *helper)
{
    int64_t until_ms = now_ms() + GRACE_MS;
    close(helper->socket);
    helper->socket = -1;
    for (int i = 0; i < RUNS; i++) {
        if (helper->runs[i].pid && helper->runs[i].until_ms > until_ms)
            helper->runs[i].until_ms = until_ms;
    }
    for (int i = 0; i < helper->waiting_count; i++) {
        log_write(LOG_WARNING, "the alert %s reaches no command: this process ends",
                  helper->waiting[i].name);
        free(helper->waiting[i].name);
    }
    helper->waiting_count = 0;
}

static void receive(struct helper *helper)
{
    char datagram[ALERT_BYTES];
    for (;;) {
        ssize_t size = recv(helper->socket, datagram, sizeof(datagram), MSG_DONTWAIT);
        if (size > 0) {
            take(helper, datagram, (size_t)size);
            start_waiting(helper);
        } else if (size < 0 && errno == EINTR) {
            continue;
        } else if (size < 0 && errno == EAGAIN) {
            return;
        } else {
            break;
        }
    }
    lose(helper);
}

/* Returns how long until the next is late, for poll. */
static int kill_late(struct helper *helper)
{
    int64_t now = now_ms(), wait_ms = -1;
    for (int i = 0; i < RUNS; i++) {
        struct run *run = &helper->runs[i];
        if (!run->pid || run->late)
            continue;
        if (run->until_ms <= now) {
            run->late = true;
            kill(-run->pid, SIGKILL);
        } else if (wait_ms < 0 || run->until_ms - now < wait_ms) {
            wait_ms = run->until_ms - now;
        }
    }
    return (int)wait_ms;
}

static bool is_idle(const struct helper *helper)
{
    for (int i = 0; i < RUNS; i++) {
        if (helper->runs[i].pid)
            return false;
    }
    return true;
}

static void wait_and_look(struct helper *helper, int wait_ms)
{
    struct pollfd fds[2 + RUNS] = {{.fd = helper->socket, .events = POLLIN},
                                   {.fd = helper->signals, .events = POLLIN}};
    for (int i = 0; i < RUNS; i++)
        fds[2 + i] = (struct pollfd){.fd = helper->runs[i].errors, .events = POLLIN};
    if (poll(fds, 2 + RUNS, wait_ms) <= 0)
        return;
    for (int i = 0; i < RUNS; i++) {
        if (fds[2 + i].revents)
            read_errors(&helper->runs[i]);
    }
    if (fds[1].revents)
        reap(helper);
    if (fds[0].revents)
        receive(helper);
}

_Noreturn void alert_helper_run(int socket, const struct alert_hook_config *config)
{
    struct helper helper = {.config = config, .socket = socket};
    sigset_t children;
    prctl(PR_SET_NAME, "troth-alerts");
    /* Signals to all processes of a terminal or a service are its that made us, whose end we see.
     */
    signal(SIGINT, SIG_IGN);
    signal(SIGTERM, SIG_IGN);
    signal(SIGHUP, SIG_IGN);
    signal(SIGPIPE, SIG_IGN);
    sigemptyset(&children);
    sigaddset(&children, SIGCHLD);
    CHECK(sigprocmask(SIG_SETMASK, &children, NULL) == 0);
    helper.signals = signalfd(-1, &children, SFD_NONBLOCK | SFD_CLOEXEC);
    CHECK(helper.signals >= 0);
    for (int i = 0; i < RUNS; i++)
        helper.runs[i].errors = -1;
    while (helper.socket >= 0 || !is_idle(&helper)) {
        start_waiting(&helper);
        wait_and_look(&helper, kill_late(&helper));
    }
    _exit(EXIT_SUCCESS);
}
