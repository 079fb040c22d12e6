#include "core/error.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

bool error_set(struct error *error, enum error_kind kind, const char *format, ...)
{
    if (!error)
        return false;
    error_clear(error);
    error->kind = kind;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->message, sizeof(error->message), format, arguments);
    va_end(arguments);
    return false;
}

bool error_detail(struct error *error, const char *format, ...)
{
    if (!error)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->detail, sizeof(error->detail), format, arguments);
    va_end(arguments);
    return false;
}

bool error_hint(struct error *error, const char *format, ...)
{
    if (!error)
        return false;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(error->hint, sizeof(error->hint), format, arguments);
    va_end(arguments);
    return false;
}

void error_clear(struct error *error)
{
    error->kind = ERROR_NONE;
    error->message[0] = error->detail[0] = error->hint[0] = '\0';
}

const char *error_format(const struct error *error, char *buffer, int size)
{
    snprintf(buffer, (size_t)size, "%s%s%s%s%s", error->message,
             error->detail[0] ? "\n  detail: " : "", error->detail,
             error->hint[0] ? "\n  hint: " : "", error->hint);
    return buffer;
}

enum { WORD = 64 };

/* Damerau-Levenshtein (optimal string alignment), case folded. Words over WORD are never near. */
static int distance(const char *a, const char *b)
{
    int rows[3][WORD + 1];
    int *before = rows[0], *last = rows[1], *now = rows[2];
    int a_size = (int)strlen(a), b_size = (int)strlen(b);
    if (a_size > WORD || b_size > WORD)
        return WORD;
    for (int j = 0; j <= b_size; j++)
        last[j] = j;
    for (int i = 1; i <= a_size; i++) {
        now[0] = i;
        for (int j = 1; j <= b_size; j++) {
            int x = tolower((unsigned char)a[i - 1]), y = tolower((unsigned char)b[j - 1]);
            int best = last[j - 1] + (x != y);
            if (last[j] + 1 < best)
                best = last[j] + 1;
            if (now[j - 1] + 1 < best)
                best = now[j - 1] + 1;
            if (i > 1 && j > 1 && x == tolower((unsigned char)b[j - 2]) &&
                y == tolower((unsigned char)a[i - 2]) && before[j - 2] + 1 < best)
                best = before[j - 2] + 1;
            now[j] = best;
        }
        int *free_row = before;
        before = last;
        last = now;
        now = free_row;
    }
    return last[b_size];
}

const char *error_nearest(const char *typed, const char *const *words, int count)
{
    const char *nearest = NULL;
    int best = WORD;
    for (int i = 0; i < count; i++) {
        int d = distance(typed, words[i]);
        int longest = (int)(strlen(typed) > strlen(words[i]) ? strlen(typed) : strlen(words[i]));
        if (d < best && 3 * d <= longest + 1) {
            best = d;
            nearest = words[i];
        }
    }
    return nearest;
}
