#include "saga/duration.h"

#include <inttypes.h>
#include <stdio.h>

const char *duration_format(duration_text out, uint64_t us)
{
    static const struct {
        const char *name;
        uint64_t us;
    } units[] = {{"d", 86400000000ull}, {"h", 3600000000ull}, {"m", 60000000ull},
                 {"s", 1000000ull},     {"ms", 1000ull},      {"us", 1}};
    int unit = 0;
    while (unit < 5 && (us < units[unit].us || us % units[unit].us != 0))
        unit++;
    snprintf(out, sizeof(duration_text), "%" PRIu64 "%s", us / units[unit].us, units[unit].name);
    return out;
}
