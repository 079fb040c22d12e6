#include "saga/instant.h"

/* What is left to read. */
struct cursor {
    const char *at, *end;
};

static bool take(struct cursor *cursor, char c)
{
    if (cursor->at == cursor->end || *cursor->at != c)
        return false;
    cursor->at++;
    return true;
}

static bool take_digits(struct cursor *cursor, int count, int low, int high, int *value)
{
    *value = 0;
    for (int i = 0; i < count; i++, cursor->at++) {
        if (cursor->at == cursor->end || *cursor->at < '0' || *cursor->at > '9')
            return false;
        *value = 10 * *value + (*cursor->at - '0');
    }
    return *value >= low && *value <= high;
}

static int days_in(int year, int month)
{
    static const int days[] = {31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31};
    bool leap = year % 4 == 0 && (year % 100 != 0 || year % 400 == 0);
    return days[month - 1] + (month == 2 && leap);
}

/* Days since 1970-01-01, of the calendar that RFC 3339 has for all years. */
static int64_t days_since_1970(int year, int month, int day)
{
    int64_t y = year - (month <= 2), era = (y >= 0 ? y : y - 399) / 400;
    int64_t of_era = y - era * 400;
    int64_t of_year = (153 * (month + (month > 2 ? -3 : 9)) + 2) / 5 + day - 1;
    return era * 146097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719468;
}

static bool take_date(struct cursor *cursor, int64_t *days)
{
    int year, month, day;
    if (!take_digits(cursor, 4, 0, 9999, &year) || !take(cursor, '-') ||
        !take_digits(cursor, 2, 1, 12, &month) || !take(cursor, '-') ||
        !take_digits(cursor, 2, 1, days_in(year, month), &day))
        return false;
    *days = days_since_1970(year, month, day);
    return true;
}

/* .123456: in us; true when there is none. */
static bool take_fraction(struct cursor *cursor, int64_t *us)
{
    *us = 0;
    if (!take(cursor, '.'))
        return true;
    int digits = 0;
    for (; cursor->at < cursor->end && *cursor->at >= '0' && *cursor->at <= '9'; cursor->at++) {
        if (digits++ < 6)
            *us = 10 * *us + (*cursor->at - '0');
    }
    for (int i = digits; i < 6; i++)
        *us *= 10;
    return digits > 0;
}

/* Z or +02:00: what it is ahead of UTC, in minutes. */
static bool take_offset(struct cursor *cursor, int *minutes)
{
    *minutes = 0;
    if (take(cursor, 'Z') || take(cursor, 'z'))
        return true;
    int hour, minute, sign = take(cursor, '+') ? 1 : take(cursor, '-') ? -1 : 0;
    if (!sign || !take_digits(cursor, 2, 0, 23, &hour) || !take(cursor, ':') ||
        !take_digits(cursor, 2, 0, 59, &minute))
        return false;
    *minutes = sign * (60 * hour + minute);
    return true;
}

bool instant_parse(const char *text, size_t size, int64_t *us)
{
    struct cursor cursor = {text, text + size};
    int64_t days, fraction;
    int hour, minute, second, offset;
    if (!take_date(&cursor, &days) || !(take(&cursor, 'T') || take(&cursor, 't')) ||
        !take_digits(&cursor, 2, 0, 23, &hour) || !take(&cursor, ':') ||
        !take_digits(&cursor, 2, 0, 59, &minute) || !take(&cursor, ':') ||
        !take_digits(&cursor, 2, 0, 60, &second) || !take_fraction(&cursor, &fraction) ||
        !take_offset(&cursor, &offset) || cursor.at != cursor.end)
        return false;
    int64_t seconds = days * 86400 + hour * 3600 + minute * 60 + second - offset * 60;
    *us = seconds * 1000000 + fraction;
    return true;
}
