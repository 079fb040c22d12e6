#include "cli/print.h"

#include <inttypes.h>
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

/* Controls, and the marks that turn the direction of what follows: they would hide or forge text.
 */
static bool forbidden(uint32_t point)
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
        if (bytes > 0 && !forbidden(point)) {
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

void print_escaped(FILE *file, const char *text)
{
    char *safe = escaped(text);
    fputs(safe, file);
    free(safe);
}

void print_json_text(FILE *file, const char *json)
{
    while (*json) {
        uint32_t point;
        int bytes = utf8_next(json, &point);
        if (bytes > 0 && !forbidden(point))
            fwrite(json, 1, (size_t)bytes, file);
        else if (bytes > 0 && point >= 0x7f)
            fprintf(file, "\\u%04x", (unsigned)point);
        else
            fputc(' ', file); /* between tokens: within a string JSON has it escaped */
        json += bytes > 0 ? bytes : 1;
    }
}

void print_error(const struct error *error)
{
    char text[sizeof(*error) + 100];
    fputs("troth: ", stderr);
    error_format(error, text, sizeof(text));
    /* Line by line: the line breaks are ours, what is between them may not be. */
    for (char *line = text; line;) {
        char *end = strchr(line, '\n');
        if (end)
            *end++ = '\0';
        print_escaped(stderr, line);
        fputc('\n', stderr);
        line = end;
    }
}

int exit_of(enum error_kind kind)
{
    switch (kind) {
    case ERROR_NONE:
        return EXIT_DONE;
    case ERROR_UNREACHABLE:
        return EXIT_UNREACHABLE;
    case ERROR_REFUSED:
        return EXIT_REFUSED;
    case ERROR_BUSY:
        return EXIT_ABORTED;
    case ERROR_CORRUPT:
    case ERROR_PROTOCOL:
        return EXIT_UNKNOWN;
    case ERROR_USAGE:
    case ERROR_IO:
        break;
    }
    return EXIT_USAGE;
}

int print_failure(const struct options *options, const struct error *error)
{
    int code = exit_of(error->kind);
    if (!options->json) {
        print_error(error);
        return code;
    }
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "problem");
    json_open(&writer, '{');
    json_name(&writer, "message");
    json_string(&writer, error->message);
    json_name(&writer, "detail");
    json_string(&writer, error->detail);
    json_name(&writer, "hint");
    json_string(&writer, error->hint);
    json_close(&writer, '}');
    json_name(&writer, "exit");
    json_integer(&writer, code);
    json_close(&writer, '}');
    print_json(&writer);
    return code;
}

/* ---- problems ----------------------------------------------------------------------------- */

bool problem_is_set(const Wire__Problem *problem)
{
    return problem && (*problem->code || *problem->message || *problem->participant);
}

char *problem_line(const Wire__Problem *problem)
{
    bool both = *problem->participant && *problem->operation;
    bool place = *problem->participant || *problem->operation;
    bool same = strcmp(problem->message, problem->code) == 0;
    const char *message = *problem->message ? problem->message : problem->code;
    bool code = *problem->code && *problem->message && !same;
    return xasprintf("%s%s%s%s%s%s%s%s", problem->participant, both ? "." : "", problem->operation,
                     place ? ": " : "", message, code ? " (" : "", code ? problem->code : "",
                     code ? ")" : "");
}

/* Line by line, below each other: the line breaks are ours, what is between them may not be. */
static void print_rest(FILE *file, const char *label, const char *text, int indent)
{
    if (!*text)
        return;
    char *copy = xstrdup(text), *rest = NULL;
    const char *before = label;
    for (char *line = strtok_r(copy, "\n", &rest); line; line = strtok_r(NULL, "\n", &rest)) {
        fprintf(file, "%*s%-*s%s", indent, "", (int)strlen(label), before, *before ? ": " : "  ");
        print_escaped(file, line + strspn(line, " "));
        fputc('\n', file);
        before = "";
    }
    free(copy);
}

void print_problem_rest(FILE *file, const Wire__Problem *problem, int indent)
{
    print_rest(file, "detail", problem->detail, indent);
    print_rest(file, "hint", problem->hint, indent);
}

void json_problem(struct json_writer *writer, const Wire__Problem *problem)
{
    if (!problem_is_set(problem)) {
        json_string(writer, NULL);
        return;
    }
    const char *const facts[][2] = {
        {"participant", problem->participant},
        {"operation", problem->operation},
        {"code", problem->code},
        {"message", problem->message},
        {"detail", problem->detail},
        {"hint", problem->hint},
    };
    json_open(writer, '{');
    for (size_t i = 0; i < sizeof(facts) / sizeof(facts[0]); i++) {
        json_name(writer, facts[i][0]);
        json_string(writer, facts[i][1]);
    }
    json_close(writer, '}');
}

int print_answer_problem(const struct options *options, const Wire__Problem *problem,
                         enum error_kind kind)
{
    struct error error = {0};
    char *line = problem_line(problem);
    error_set(&error, kind, "%s", line);
    error_detail(&error, "%s", problem->detail);
    error_hint(&error, "%s", problem->hint);
    free(line);
    return print_failure(options, &error);
}

/* ---- times and sizes ---------------------------------------------------------------------- */

const char *time_format(time_text out, int64_t us)
{
    time_t seconds = us / 1000000;
    struct tm parts;
    if (us <= 0 || us / 1000000 > 253402300799ll || !gmtime_r(&seconds, &parts)) {
        snprintf(out, sizeof(time_text), "-");
        return out;
    }
    size_t size = strftime(out, sizeof(time_text), "%Y-%m-%dT%H:%M:%S", &parts);
    snprintf(out + size, sizeof(time_text) - size, ".%03dZ", (int)(us / 1000 % 1000));
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

void json_time(struct json_writer *writer, const char *name, int64_t us)
{
    time_text text;
    json_name(writer, name);
    json_string(writer, us > 0 ? time_format(text, us) : NULL);
}

void print_json(struct json_writer *writer)
{
    print_json_text(stdout, writer->text);
    fputc('\n', stdout);
    json_writer_fini(writer);
}
