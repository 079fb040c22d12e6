#include "core/text.h"

#include <stdio.h>
#include <string.h>

/* The character at text and its bytes; 0: none of UTF-8 begins there. */
static int character(const unsigned char *text, uint32_t *point)
{
    static const uint32_t least[] = {0, 0, 0x80, 0x800, 0x10000};
    int size = text[0] < 0x80             ? 1
               : (text[0] & 0xe0) == 0xc0 ? 2
               : (text[0] & 0xf0) == 0xe0 ? 3
               : (text[0] & 0xf8) == 0xf0 ? 4
                                          : 0;
    *point = size == 1 ? text[0] : text[0] & (0x7fu >> size);
    for (int i = 1; i < size; i++) {
        if ((text[i] & 0xc0) != 0x80)
            return 0;
        *point = *point << 6 | (text[i] & 0x3f);
    }
    bool surrogate = *point >= 0xd800 && *point <= 0xdfff;
    return *point < least[size] || *point > 0x10ffff || surrogate ? 0 : size;
}

bool text_plain(const char *text)
{
    const unsigned char *at = (const unsigned char *)text;
    while (*at) {
        uint32_t point = 0;
        int size = character(at, &point);
        if (size == 0 || point < 0x20 || (point >= 0x7f && point < 0xa0))
            return false;
        at += size;
    }
    return true;
}

/* Days since 1970-01-01 as a date of the Gregorian calendar: Howard Hinnant's civil_from_days. */
static void civil(int64_t days, int64_t *year, int *month, int *day)
{
    days += 719468; /* since 0000-03-01, so that a leap day is the last of its year */
    int64_t era = days / 146097, of_era = days % 146097;
    int64_t year_of_era = (of_era - of_era / 1460 + of_era / 36524 - of_era / 146096) / 365;
    int of_year = (int)(of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100));
    int from_march = (5 * of_year + 2) / 153;
    *day = of_year - (153 * from_march + 2) / 5 + 1;
    *month = from_march < 10 ? from_march + 3 : from_march - 9;
    *year = year_of_era + era * 400 + (*month <= 2);
}

const char *text_time_format(text_time out, int64_t wall_us)
{
    static const int64_t day_s = 86400, last_s = INT64_C(253402300799); /* of the year 9999 */
    int64_t seconds = wall_us / 1000000, year;
    int month, day;
    if (wall_us < 0 || seconds > last_s)
        return strcpy(out, "-");
    civil(seconds / day_s, &year, &month, &day);
    int rest = (int)(seconds % day_s);
    snprintf(out, sizeof(text_time), "%04u-%02u-%02uT%02u:%02u:%02uZ", (unsigned)year % 10000,
             (unsigned)month % 100, (unsigned)day % 100, (unsigned)rest / 3600 % 100,
             (unsigned)rest / 60 % 60, (unsigned)rest % 60);
    return out;
}
