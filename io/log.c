#include "io/log.h"

#include <errno.h>
#include <fcntl.h>
#include <stdarg.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

/* Set before threads exist, read by all of them. */
static const char *log_name = "troth";
static enum log_format log_format = LOG_TEXT;
static enum log_level log_lowest = LOG_INFO;

static const char *const level_words[] = {"debug", "info", "warning", "error"};

/* One event on the stack, so that logging never allocates. What does not fit is cut. */
struct line {
    char text[8192];
    size_t size;
    bool cut;
};

/* Room is kept for the mark of a cut and the end of the line. */
enum { LINE_ROOM = sizeof(((struct line *)0)->text) - 32 };

static void put(struct line *line, const char *bytes, size_t size)
{
    if (line->cut || line->size + size > LINE_ROOM) {
        line->cut = true;
        return;
    }
    memcpy(line->text + line->size, bytes, size);
    line->size += size;
}

static void put_text(struct line *line, const char *text)
{
    put(line, text, strlen(text));
}

/* Bytes of the valid UTF-8 character at text, 0 when it is none. Overlong forms, surrogates and
 * values over U+10FFFF are not valid; neither are C1 controls, which move a terminal's cursor. */
static int utf8_size(const unsigned char *text)
{
    unsigned char first = text[0];
    if (first < 0x80)
        return 1;
    int size = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : 2;
    if (first < 0xc2 || first > 0xf4)
        return 0;
    for (int i = 1; i < size; i++)
        if ((text[i] & 0xc0) != 0x80)
            return 0;
    if ((first == 0xe0 && text[1] < 0xa0) || (first == 0xed && text[1] > 0x9f) ||
        (first == 0xf0 && text[1] < 0x90) || (first == 0xf4 && text[1] > 0x8f) ||
        (first == 0xc2 && text[1] < 0xa0))
        return 0;
    return size;
}

/* Escapes what would break the line, the JSON or the terminal that it is read on: a peer's text
 * may stand in it. */
static void put_escaped(struct line *line, const char *text)
{
    char escaped[16];
    for (const unsigned char *c = (const unsigned char *)text; *c;) {
        int size = utf8_size(c);
        if (size > 1 || (size == 1 && *c >= 0x20 && *c != 0x7f && *c != '"' && *c != '\\')) {
            put(line, (const char *)c, (size_t)size);
        } else if (size == 0) {
            put_text(line, log_format == LOG_JSON
                               ? "\\ufffd"
                               : (snprintf(escaped, sizeof(escaped), "\\x%02x", *c), escaped));
            size = 1;
        } else if (*c == '"' || *c == '\\') {
            put(line, log_format == LOG_JSON ? "\\" : "", log_format == LOG_JSON);
            put(line, (const char *)c, 1);
        } else if (*c == '\n' || *c == '\t' || *c == '\r') {
            put_text(line, *c == '\n' ? "\\n" : *c == '\t' ? "\\t" : "\\r");
        } else {
            snprintf(escaped, sizeof(escaped), log_format == LOG_JSON ? "\\u%04x" : "\\x%02x", *c);
            put_text(line, escaped);
        }
        c += size;
    }
}

static void put_time(struct line *line)
{
    struct timespec now;
    struct tm utc;
    char text[64];
    clock_gettime(CLOCK_REALTIME, &now);
    gmtime_r(&now.tv_sec, &utc);
    size_t size = strftime(text, sizeof(text), "%Y-%m-%dT%H:%M:%S", &utc);
    snprintf(text + size, sizeof(text) - size, ".%03ldZ", now.tv_nsec / 1000000);
    put_text(line, text);
}

static void put_head(struct line *line, enum log_level level)
{
    line->size = 0;
    line->cut = false;
    if (log_format == LOG_JSON)
        put_text(line, "{\"time\":\"");
    put_time(line);
    put_text(line, log_format == LOG_JSON ? "\",\"program\":\"" : " ");
    put_escaped(line, log_name);
    put_text(line, log_format == LOG_JSON ? "\",\"level\":\"" : " ");
    put_text(line, level_words[level]);
    put_text(line, log_format == LOG_JSON ? "\"" : ": ");
}

/* A member of the JSON object, or a part of the text behind its separator. */
static void put_part(struct line *line, const char *name, const char *separator, const char *text)
{
    if (log_format == LOG_JSON) {
        put_text(line, ",\"");
        put_text(line, name);
        put_text(line, "\":\"");
    } else {
        put_text(line, separator);
    }
    put_escaped(line, text);
    bool cut = line->cut;
    line->cut = false;
    if (cut)
        memcpy(line->text + line->size, "...", 3), line->size += 3;
    if (log_format == LOG_JSON)
        line->text[line->size++] = '"';
    line->cut = cut;
}

static void put_end(struct line *line)
{
    if (log_format == LOG_JSON)
        line->text[line->size++] = '}';
    line->text[line->size++] = '\n';
    ssize_t written;
    do
        written = write(STDERR_FILENO, line->text, line->size);
    while (written < 0 && errno == EINTR);
}

void log_hold_standard_files(void)
{
    static const int wrong_way[] = {O_WRONLY, O_RDONLY, O_RDONLY};
    for (int number = STDIN_FILENO; number <= STDERR_FILENO; number++) {
        /* open takes the lowest number that is free: this one, as those below are not. */
        if (fcntl(number, F_GETFD) < 0 && errno == EBADF &&
            open("/dev/null", wrong_way[number]) < 0)
            abort();
    }
}

void log_setup(const char *name, enum log_format format, enum log_level lowest)
{
    log_hold_standard_files();
    log_name = name;
    log_format = format;
    log_lowest = lowest;
}

void log_line(enum log_level level, const char *text)
{
    if (level < log_lowest)
        return;
    struct line line;
    put_head(&line, level);
    put_part(&line, "message", "", text);
    put_end(&line);
}

void log_write(enum log_level level, const char *format, ...)
{
    if (level < log_lowest)
        return;
    char text[4096];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    log_line(level, text);
}

void log_error(const struct error *error)
{
    if (LOG_ERROR < log_lowest)
        return;
    struct line line;
    put_head(&line, LOG_ERROR);
    put_part(&line, "message", "", error->message);
    if (error->detail[0])
        put_part(&line, "detail", "; ", error->detail);
    if (error->hint[0])
        put_part(&line, "hint", "; hint: ", error->hint);
    put_end(&line);
}

bool log_level_parse(const char *text, enum log_level *level)
{
    for (size_t i = 0; i < sizeof(level_words) / sizeof(level_words[0]); i++)
        if (strcmp(text, level_words[i]) == 0) {
            *level = (enum log_level)i;
            return true;
        }
    return false;
}
