/* What was found: kept, and printed subject by subject. */
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/doctor.h"
#include "cli/print.h"
#include "cli/wrap.h"
#include "core/check.h"

static const char *const level_words[] = {"ok", "info", "warning", "problem"};

void findings_about(struct findings *findings, const char *format, ...)
{
    va_list list;
    va_start(list, format);
    vsnprintf(findings->subject, sizeof(findings->subject), format, list);
    va_end(list);
}

void found(struct findings *findings, enum level level, const char *hint, const char *format, ...)
{
    char text[1000];
    va_list list;
    va_start(list, format);
    vsnprintf(text, sizeof(text), format, list);
    va_end(list);
    if (findings->count == findings->room) {
        findings->room = findings->room ? 2 * findings->room : 32;
        findings->list = xrealloc(findings->list, findings->room * sizeof(*findings->list));
    }
    findings->list[findings->count++] =
        (struct finding){level, xstrdup(findings->subject), xstrdup(text), xstrdup(hint)};
    findings->counts[level]++;
}

int findings_bad(const struct findings *findings)
{
    return findings->counts[LEVEL_WARNING] + findings->counts[LEVEL_PROBLEM];
}

static void print_finding(const struct finding *finding)
{
    printf("  %-8s ", level_words[finding->level]);
    print_wrapped(stdout, finding->text, 11, "           ");
    putchar('\n');
    if (!*finding->hint)
        return;
    fputs("           -> ", stdout);
    print_wrapped(stdout, finding->hint, 14, "              ");
    putchar('\n');
}

static bool is_first(const struct findings *findings, size_t index)
{
    for (size_t i = 0; i < index; i++) {
        if (strcmp(findings->list[i].subject, findings->list[index].subject) == 0)
            return false;
    }
    return true;
}

void findings_print(const struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        if (!is_first(findings, i))
            continue;
        print_escaped(stdout, findings->list[i].subject);
        putchar('\n');
        for (size_t k = i; k < findings->count; k++) {
            if (strcmp(findings->list[k].subject, findings->list[i].subject) == 0)
                print_finding(&findings->list[k]);
        }
    }
    int problems = findings->counts[LEVEL_PROBLEM], warnings = findings->counts[LEVEL_WARNING];
    if (problems + warnings > 0)
        printf("\n%d problem%s, %d warning%s\n", problems, problems == 1 ? "" : "s", warnings,
               warnings == 1 ? "" : "s");
    else
        printf("\nnothing is wrong\n");
}

void findings_json(struct json_writer *writer, const struct findings *findings)
{
    json_name(writer, "findings");
    json_open(writer, '[');
    for (size_t i = 0; i < findings->count; i++) {
        const struct finding *finding = &findings->list[i];
        json_open(writer, '{');
        json_name(writer, "level");
        json_string(writer, level_words[finding->level]);
        json_name(writer, "subject");
        json_string(writer, finding->subject);
        json_name(writer, "message");
        json_string(writer, finding->text);
        json_name(writer, "hint");
        json_string(writer, *finding->hint ? finding->hint : NULL);
        json_close(writer, '}');
    }
    json_close(writer, ']');
    json_name(writer, "well");
    json_boolean(writer, findings_bad(findings) == 0);
}

void findings_fini(struct findings *findings)
{
    for (size_t i = 0; i < findings->count; i++) {
        free(findings->list[i].subject);
        free(findings->list[i].text);
        free(findings->list[i].hint);
    }
    free(findings->list);
}
