#include "io/alert_hook.h"

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/pidfd.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "core/check.h"
#include "core/json.h"
#include "io/alert_helper.h"
#include "io/log.h"

enum {
    STOP_MS = 4000, /* the helper gives what runs 2 s */
    TEXT_BYTES = 1000,
};

struct alert_hook {
    struct alert_port port;
    char *process;
    int socket;
    pid_t pid;
};

bool alert_hook_can_run(const char *program)
{
    const char *folders = getenv("PATH");
    if (strchr(program, '/') || !folders)
        return access(program, X_OK) == 0;
    for (const char *at = folders; *at;) {
        int size = (int)strcspn(at, ":");
        char *path = xasprintf("%.*s/%s", size ? size : 1, size ? at : ".", program);
        bool found = access(path, X_OK) == 0;
        free(path);
        if (found)
            return true;
        at += size + (at[size] == ':');
    }
    return false;
}

static void put(struct json_writer *json, const char *name, const char *text)
{
    size_t size = text ? strnlen(text, TEXT_BYTES) : 0;
    /* Not in the middle of a UTF-8 character. */
    while (size > 0 && text[size] && ((unsigned char)text[size] & 0xc0) == 0x80)
        size--;
    json_name(json, name);
    json_string_sized(json, text ? text : "", size);
}

static char *make_json(const struct alert_hook *hook, const struct alert *alert)
{
    struct json_writer json = {0};
    struct timespec now;
    char seconds[40];
    clock_gettime(CLOCK_REALTIME, &now);
    snprintf(seconds, sizeof(seconds), "%lld.%06ld", (long long)now.tv_sec, now.tv_nsec / 1000);
    json_open(&json, '{');
    put(&json, "kind", alert->kind);
    put(&json, "subject", alert->subject);
    put(&json, "text", alert->text);
    put(&json, "command", alert->command);
    put(&json, "process", hook->process);
    json_name(&json, "at");
    json_raw(&json, seconds);
    json_close(&json, '}');
    return json.text;
}

static void tell_lost(const struct alert *alert, int code)
{
    bool full = code == EAGAIN || code == EWOULDBLOCK || code == ENOBUFS;
    log_write(LOG_ERROR, "the alert %s of %s reaches no command: %s", alert->kind, alert->subject,
              full ? "too many wait for it"
                   : "the process that runs them is gone; a restart makes a new one");
}

static void raise_alert(void *self, const struct alert *alert)
{
    struct alert_hook *hook = self;
    char *json = make_json(hook, alert), datagram[ALERT_BYTES];
    int name = snprintf(datagram, TEXT_BYTES, "%s of %s", alert->kind, alert->subject);
    size_t size = (size_t)(name < TEXT_BYTES ? name : TEXT_BYTES - 1) + 1;
    /* Each byte of a text is at most six in JSON, and then there are the names. */
    if (strlen(json) >= sizeof(datagram) - size) {
        log_write(LOG_ERROR, "the alert %s of %s is too long for its command", alert->kind,
                  alert->subject);
    } else {
        memcpy(datagram + size, json, strlen(json));
        size += strlen(json);
        if (send(hook->socket, datagram, size, MSG_DONTWAIT | MSG_NOSIGNAL) < 0)
            tell_lost(alert, errno);
    }
    free(json);
}

struct alert_hook *alert_hook_start(const struct alert_hook_config *config, struct error *error)
{
    int ends[2] = {-1, -1};
    pid_t pid = -1;
    if (socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends) == 0)
        pid = fork();
    if (pid == 0) {
        close(ends[0]);
        alert_helper_run(ends[1], config);
    }
    if (pid < 0) {
        error_set(error, ERROR_IO, "no process can be made for the hook of alerts: %s",
                  strerror(errno));
        error_hint(error, "see the limits of this user (ulimit -a), or leave `alerts` out");
        for (int i = 0; i < 2; i++) {
            if (ends[i] >= 0)
                close(ends[i]);
        }
        return NULL;
    }
    close(ends[1]);
    struct alert_hook *hook = xcalloc(1, sizeof(*hook));
    hook->port = (struct alert_port){hook, raise_alert};
    hook->process = xstrdup(config->process);
    hook->socket = ends[0];
    hook->pid = pid;
    return hook;
}

const struct alert_port *alert_hook_port(struct alert_hook *hook)
{
    return &hook->port;
}

pid_t alert_hook_process(const struct alert_hook *hook)
{
    return hook->pid;
}

void alert_hook_stop(struct alert_hook *hook)
{
    if (!hook)
        return;
    close(hook->socket); /* which is its end */
    struct pollfd end = {.fd = pidfd_open(hook->pid, 0), .events = POLLIN};
    if (end.fd >= 0 && poll(&end, 1, STOP_MS) == 0)
        kill(hook->pid, SIGKILL); /* it was stopped */
    if (end.fd >= 0)
        close(end.fd);
    while (waitpid(hook->pid, NULL, 0) < 0 && errno == EINTR)
        continue;
    free(hook->process);
    free(hook);
}
