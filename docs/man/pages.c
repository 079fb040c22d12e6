/* Makes man pages when Troth is built, from the texts that the programs print themselves:
 *
 *   pages troth                 troth.1, from the table of commands
 *   pages TEMPLATE HELP         TEMPLATE, with what a program's --help printed into the file HELP
 *                               in the place of its lines @SYNOPSIS@ and @HELP@
 *
 * A help is text for 80 columns: paragraphs, lists of "  word  what it is", and under Examples
 * lines that stay as they are. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/commands.h"
#include "cli/print.h"
#include "core/check.h"

/* ---- text --------------------------------------------------------------------------------- */

/* A character beyond ASCII as roff names it; returns its bytes. */
static size_t put_point(const char *text)
{
    uint32_t point = 0;
    int bytes = utf8_next(text, &point);
    CHECK(bytes > 0);
    printf("\\[u%04X]", (unsigned)point);
    return (size_t)bytes;
}

/* With everything that means something to roff made harmless. A - is one that can be typed. */
static void put(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        if (text[i] == '\\')
            fputs("\\e", stdout);
        else if (text[i] == '-')
            fputs("\\-", stdout);
        else if ((unsigned char)text[i] < 0x80)
            putchar(text[i]);
        else
            i += put_point(text + i) - 1;
    }
}

/* As a line of its own, which must not be taken for a request. */
static void put_line(const char *text, size_t size)
{
    if (size && (text[0] == '.' || text[0] == '\''))
        fputs("\\&", stdout);
    put(text, size);
    putchar('\n');
}

static void put_heading(const char *request, const char *text)
{
    printf("%s \"", request);
    for (; *text; text++) {
        if (*text == '"')
            fputs("\\(dq", stdout);
        else
            put(text, 1);
    }
    puts("\"");
}

/* ---- a help ------------------------------------------------------------------------------- */

/* One line of it. */
struct line {
    const char *text; /* without its indentation */
    size_t size, indent;
    size_t tag;  /* bytes before the gap of two spaces or more; 0: there is none */
    size_t rest; /* where the text behind the gap begins */
};

static struct line read_line(const char *at)
{
    struct line line = {.indent = strspn(at, " ")};
    line.text = at + line.indent;
    line.size = strcspn(line.text, "\n");
    const char *gap = memmem(line.text, line.size, "  ", 2);
    if (gap) {
        line.tag = (size_t)(gap - line.text);
        line.rest = line.tag + strspn(gap, " ");
    }
    return line;
}

static const char *next(const char *at)
{
    at += strcspn(at, "\n");
    return *at ? at + 1 : at;
}

static bool is_bullet(const struct line *line)
{
    return line->size > 2 && line->text[0] == '-' && line->text[1] == ' ' && !line->tag;
}

/* The lines of an item, from its own on; returns where they end. */
static const char *put_item(const char *at, const struct line *line)
{
    struct line more;
    if (is_bullet(line)) {
        puts(".IP \\(bu 2");
        put_line(line->text + 2, line->size - 2);
    } else {
        puts(".TP");
        fputs("\\fB", stdout);
        put(line->text, line->tag ? line->tag : line->size);
        puts("\\fR");
    }
    if (line->tag)
        put_line(line->text + line->rest, line->size - line->rest);
    for (at = next(at); *at; at = next(at)) {
        more = read_line(at);
        if (more.size == 0 || more.indent < line->indent + (is_bullet(line) ? 2 : 3))
            break;
        put_line(more.text, more.size);
    }
    return at;
}

/* Lines that stay as they are, up to an empty one. */
static const char *put_verbatim(const char *at)
{
    size_t indent = strspn(at, " ");
    puts(".nf");
    for (; *at && *at != '\n'; at = next(at)) {
        size_t less = strspn(at, " ") < indent ? strspn(at, " ") : indent;
        put_line(at + less, strcspn(at, "\n") - less);
    }
    puts(".fi");
    return at;
}

/* Is it an item of a list? One without a gap is, between items or with its text below it. */
static bool is_item(const char *at, const struct line *line, bool in_list)
{
    struct line below = read_line(next(at));
    if (line->tag || is_bullet(line) || (line->indent && in_list))
        return true;
    return line->indent && below.size && below.indent >= line->indent + 3;
}

static void put_help(const char *at)
{
    bool in_list = false, examples = false, open = true;
    bool first = true; /* a heading begins a paragraph */
    while (*at) {
        struct line line = read_line(at);
        if (line.size == 0) {
            in_list = false;
            open = open && first;
            at = next(at);
        } else if (line.indent && examples) {
            puts(".PP");
            at = put_verbatim(at);
        } else if (is_item(at, &line, in_list)) {
            at = put_item(at, &line);
            in_list = true;
            open = false;
        } else if (line.indent) {
            puts(".PP");
            at = put_verbatim(at);
        } else {
            if (!open)
                puts(".PP");
            put_line(line.text, line.size);
            open = true;
            in_list = false;
            examples = strncmp(line.text, "Example", 7) == 0;
            first = false;
            at = next(at);
        }
    }
}

/* ---- pages -------------------------------------------------------------------------------- */

static void put_command(const struct command *command)
{
    char *heading = xasprintf("troth %s %s", command->name, command->usage);
    put_heading(".SS", heading);
    free(heading);
    put_help(command->help);
}

static void put_troth(void)
{
    printf(".TH TROTH 1 2026-11-21 \"Troth %s\" \"Troth\"\n", TROTH_VERSION);
    puts(".SH NAME\n"
         "troth \\- one business action over several PostgreSQL databases, all or nothing\n"
         ".SH SYNOPSIS\n"
         ".B troth\n"
         "[flags] COMMAND ...\n"
         ".SH DESCRIPTION\n"
         "Submits transactions and starts sagas, and shows an operator what is in doubt, why, and\n"
         "what can safely be done about it. It asks a coordinator,\n"
         ".BR trothd (8),\n"
         "or while that is away a participant,\n"
         ".BR troth\\-participant (8).\n"
         ".SH OPTIONS\n"
         "Before or after a command:");
    put_help(help_flags);
    puts(".SH COMMANDS");
    for (int i = 0; i < command_count; i++)
        put_command(commands[i]);
    puts(".SH \"EXIT STATUS\"");
    put_help(help_exit_codes);
    puts(".SH ENVIRONMENT\n"
         ".TP\n"
         "\\fBTROTH_COORDINATOR\\fR\n"
         "The address of the coordinator, where\n"
         ".B \\-\\-coordinator\n"
         "does not name one.\n"
         ".TP\n"
         "\\fBCOLUMNS\\fR\n"
         "How wide tables may be.\n"
         ".SH EXAMPLES");
    put_verbatim(help_examples);
    puts(".SH \"SEE ALSO\"\n"
         ".BR trothd (8),\n"
         ".BR troth\\-participant (8),\n"
         ".BR trothd.yaml (5),\n"
         ".BR participant.yaml (5)");
}

static char *load(const char *path)
{
    FILE *file = fopen(path, "re");
    if (!file || fseek(file, 0, SEEK_END) != 0) {
        perror(path);
        exit(1);
    }
    size_t size = (size_t)ftell(file);
    rewind(file);
    char *text = xcalloc(1, size + 1);
    CHECK(fread(text, 1, size, file) == size);
    fclose(file);
    return text;
}

/* "Usage: trothd --config FILE": what is behind the program's name. */
static void put_synopsis(const char *help)
{
    size_t size = strcspn(help, "\n");
    const char *name = memchr(help, ' ', size);
    const char *rest = name ? memchr(name + 1, ' ', size - (size_t)(name + 1 - help)) : NULL;
    CHECK(rest != NULL);
    put_line(rest + 1, size - (size_t)(rest + 1 - help));
}

static void put_template(const char *text, const char *help)
{
    for (const char *at = text; *at; at = next(at)) {
        size_t size = strcspn(at, "\n");
        const char *version = memmem(at, size, "@VERSION@", 9);
        if (strncmp(at, "@SYNOPSIS@", size) == 0 && size)
            put_synopsis(help);
        else if (strncmp(at, "@HELP@", size) == 0 && size)
            put_help(next(help));
        else if (version)
            printf("%.*s" TROTH_VERSION "%.*s\n", (int)(version - at), at,
                   (int)(size - (size_t)(version + 9 - at)), version + 9);
        else
            printf("%.*s\n", (int)size, at);
    }
}

int main(int count, char **arguments)
{
    if (count == 2 && strcmp(arguments[1], "troth") == 0) {
        put_troth();
    } else if (count == 3) {
        char *text = load(arguments[1]), *help = load(arguments[2]);
        put_template(text, help);
        free(text);
        free(help);
    } else {
        fputs("Usage: pages troth | pages TEMPLATE HELP\n", stderr);
        return 2;
    }
    return fflush(stdout) == 0 && !ferror(stdout) ? 0 : 1;
}
