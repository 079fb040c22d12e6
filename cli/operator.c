#include "cli/operator.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/print.h"

/* Words that need no quoting wherever they are written down. */
static bool is_plain(const char *word)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.";
    return *word && word[strspn(word, plain)] == '\0';
}

const char *operator_name(operator_text out)
{
    enum { USER_BYTES = 32 };
    char host[65] = "", number[24];
    const char *user = getenv("USER");
    if (gethostname(host, sizeof(host) - 1) != 0 || !is_plain(host))
        snprintf(host, sizeof(host), "unknown");
    snprintf(number, sizeof(number), "uid-%lu", (unsigned long)getuid());
    if (!user || !is_plain(user) || strlen(user) > USER_BYTES)
        user = number;
    snprintf(out, sizeof(operator_text), "%s@%s", user, host);
    return out;
}

bool operator_reason_check(const char *reason, struct error *error)
{
    size_t size = strlen(reason);
    if (reason[strspn(reason, " ")] == '\0')
        return error_set(error, ERROR_USAGE, "--reason: says nothing");
    if (size > LIMIT_REASON_BYTES)
        return error_set(error, ERROR_USAGE, "--reason: has %zu bytes; %d are allowed", size,
                         LIMIT_REASON_BYTES);
    for (const char *at = reason; *at;) {
        uint32_t point = 0;
        int bytes = utf8_next(at, &point);
        if (bytes == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0))
            return error_set(error, ERROR_USAGE,
                             "--reason: byte %zu is a control character or not UTF-8",
                             (size_t)(at - reason) + 1);
        at += bytes;
    }
    return true;
}
