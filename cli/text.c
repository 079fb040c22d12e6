#include "cli/text.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"

int utf8_next(const char *text, uint32_t *point)
{
    const unsigned char *at = (const unsigned char *)text;
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    if (at[0] < 0x80) {
        *point = at[0];
        return at[0] ? 1 : 0;
    }
    int size = at[0] >= 0xf0 ? 4 : at[0] >= 0xe0 ? 3 : at[0] >= 0xc0 ? 2 : 0;
    if (size == 0 || at[0] > 0xf4)
        return 0;
    uint32_t value = at[0] & (0x7fu >> size);
    for (int i = 1; i < size; i++) {
        if ((at[i] & 0xc0) != 0x80) /* also stops at the end of the text */
            return 0;
        value = value << 6 | (at[i] & 0x3f);
    }
    if (value < least[size] || value > 0x10ffff || (value >= 0xd800 && value <= 0xdfff))
        return 0;
    *point = value;
    return size;
}

bool text_forbidden(uint32_t point)
{
    return point < 0x20 || (point >= 0x7f && point < 0xa0) ||
           (point >= 0x2028 && point <= 0x202e) || (point >= 0x2066 && point <= 0x2069);
}

char *escaped(const char *text)
{
    char *out = xmalloc(4 * strlen(text) + 1);
    size_t size = 0;
    while (*text) {
        uint32_t point;
        int bytes = utf8_next(text, &point);
        if (bytes > 0 && !text_forbidden(point)) {
            memcpy(out + size, text, (size_t)bytes);
            size += (size_t)bytes;
        } else {
            bytes = bytes > 0 ? bytes : 1;
            for (int i = 0; i < bytes; i++)
                size += (size_t)sprintf(out + size, "\\x%02x", (unsigned char)text[i]);
        }
        text += bytes;
    }
    out[size] = '\0';
    return out;
}

const char *age_format(time_text out, int64_t us)
{
    int64_t ms = us < 0 ? 0 : us / 1000;
    if (ms < 1000)
        snprintf(out, sizeof(time_text), "%" PRId64 "ms", ms);
    else if (ms < 120 * 1000)
        snprintf(out, sizeof(time_text), "%" PRId64 "s", ms / 1000);
    else if (ms < 120 * 60 * 1000)
        snprintf(out, sizeof(time_text), "%" PRId64 "m", ms / 60000);
    else if (ms < 48ll * 3600 * 1000)
        snprintf(out, sizeof(time_text), "%" PRId64 "h", ms / 3600000);
    else
        snprintf(out, sizeof(time_text), "%" PRId64 "d", ms / 86400000);
    return out;
}

const char *age_between(time_text out, int64_t from_us, int64_t to_us)
{
    return age_format(out, from_us > 0 && to_us > from_us ? to_us - from_us : 0);
}

const char *bytes_format(time_text out, uint64_t bytes)
{
    static const char *const units[] = {"bytes", "KiB", "MiB", "GiB", "TiB"};
    int unit = 0;
    double value = (double)bytes;
    for (; value >= 1024 && unit < 4; unit++)
        value /= 1024;
    snprintf(out, sizeof(time_text), unit && value < 10 ? "%.1f %s" : "%.0f %s", value,
             units[unit]);
    return out;
}

int64_t wall_now_us(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return (int64_t)now.tv_sec * 1000000 + now.tv_nsec / 1000;
}
