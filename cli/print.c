#include "cli/print.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "core/check.h"

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
        if (bytes > 0 && !text_forbidden(point))
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

void json_error(struct json_writer *writer, const struct error *error)
{
    json_name(writer, "problem");
    json_open(writer, '{');
    json_name(writer, "message");
    json_string(writer, error->message);
    json_name(writer, "detail");
    json_string(writer, error->detail);
    json_name(writer, "hint");
    json_string(writer, error->hint);
    json_close(writer, '}');
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
    json_error(&writer, error);
    json_name(&writer, "exit");
    json_integer(&writer, code);
    json_close(&writer, '}');
    print_json(&writer);
    return code;
}

/* ---- problems ----------------------------------------------------------------------------- */

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

void print_json(struct json_writer *writer)
{
    print_json_text(stdout, writer->text);
    fputc('\n', stdout);
    json_writer_fini(writer);
}
