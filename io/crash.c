#include "io/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash.h"
#include "io/log.h"

/* What one of the two variables says. */
struct mark {
    const char *variable;
    char point[64];   /* "": none */
    atomic_long left; /* passings until then: the journal's thread passes points too */
};
static struct mark crash = {.variable = "TROTH_CRASH_AT"}, stop = {.variable = "TROTH_STOP_AT"};

static bool is_due(struct mark *mark, const char *point)
{
    return strcmp(point, mark->point) == 0 && atomic_fetch_sub(&mark->left, 1) == 1;
}

static void passed(const char *point)
{
    if (is_due(&stop, point)) {
        log_write(LOG_WARNING, "crash point %s: stopped as TROTH_STOP_AT says", point);
        raise(SIGSTOP);
    }
    if (!is_due(&crash, point))
        return;
    log_write(LOG_WARNING, "crash point %s: killed as TROTH_CRASH_AT says", point);
    kill(getpid(), SIGKILL);
    for (;;) /* the signal may reach another thread first; nothing more may happen here */
        pause();
}

static bool parse(struct mark *mark, const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    size_t size = strspn(text, letters);
    if (size == 0 || size >= sizeof(mark->point) || !memchr(text, '.', size))
        return false;
    memcpy(mark->point, text, size);
    mark->point[size] = '\0';
    long count = 1;
    if (text[size] == ':') {
        const char *digits = text + size + 1;
        size_t digit_count = strspn(digits, "0123456789");
        if (digit_count == 0 || digit_count > 9 || digits[digit_count])
            return false;
        count = strtol(digits, NULL, 10);
    } else if (text[size]) {
        return false;
    }
    atomic_store(&mark->left, count);
    return count > 0;
}

static void read_mark(struct mark *mark)
{
    const char *text = getenv(mark->variable);
    if (!text || !text[0])
        return;
    if (!parse(mark, text)) {
        struct error error;
        error_set(&error, ERROR_USAGE, "%s is not a crash point: %s", mark->variable, text);
        error_hint(&error, "write POINT or POINT:N, for example coordinator.decided:3, or unset %s",
                   mark->variable);
        log_error(&error);
        exit(2);
    }
    crash_hook = passed;
}

void crash_setup(void)
{
    read_mark(&crash);
    read_mark(&stop);
}
