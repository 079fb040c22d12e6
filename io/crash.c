#include "io/crash.h"

#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "core/crash.h"
#include "io/log.h"

static char wanted[64];
static atomic_long left; /* passings until the kill: the journal's thread passes points too */

static void passed(const char *point)
{
    if (strcmp(point, wanted) != 0 || atomic_fetch_sub(&left, 1) != 1)
        return;
    log_write(LOG_WARNING, "crash point %s: killed as TROTH_CRASH_AT says", point);
    kill(getpid(), SIGKILL);
    for (;;) /* the signal may reach another thread first; nothing more may happen here */
        pause();
}

static bool parse(const char *text)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz0123456789.-";
    size_t size = strspn(text, letters);
    if (size == 0 || size >= sizeof(wanted) || !memchr(text, '.', size))
        return false;
    memcpy(wanted, text, size);
    wanted[size] = '\0';
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
    atomic_store(&left, count);
    return count > 0;
}

void crash_setup(void)
{
    const char *text = getenv("TROTH_CRASH_AT");
    if (!text || !text[0])
        return;
    if (!parse(text)) {
        struct error error;
        error_set(&error, ERROR_USAGE, "TROTH_CRASH_AT is not a crash point: %s", text);
        error_hint(&error, "write POINT or POINT:N, for example coordinator.decided:3, "
                           "or unset TROTH_CRASH_AT");
        log_error(&error);
        exit(2);
    }
    crash_hook = passed;
}
