/* troth saga simulate: what becomes of a saga when anything in it fails. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/print.h"
#include "cli/table.h"
#include "cli/wrap.h"
#include "core/check.h"
#include "core/limits.h"
#include "saga/input.h"
#include "saga/simulate.h"

enum { ENDING_COLUMNS = 11, GAP = 2, WHAT_AT_MOST = 28 };

/* ---- reading ------------------------------------------------------------------------------ */

/* The whole file with a zero behind it; the caller frees it. NULL with an error. */
static char *read_file(const char *path, size_t *size, struct error *error)
{
    FILE *file = fopen(path, "re");
    char *text = xmalloc(LIMIT_FILE_BYTES + 1);
    *size = file ? fread(text, 1, LIMIT_FILE_BYTES, file) : 0;
    bool good = file && !ferror(file);
    if (!good)
        error_set(error, ERROR_USAGE, "%s: can't be read: %s", path, strerror(errno));
    else if (fgetc(file) != EOF)
        good = error_set(error, ERROR_USAGE, "%s: is larger than %d KiB", path,
                         LIMIT_FILE_BYTES / 1024);
    if (file)
        fclose(file);
    text[*size] = '\0';
    if (good)
        return text;
    free(text);
    return NULL;
}

static struct saga_plan *read_definition(const char *path, struct error *error)
{
    size_t size;
    char *text = read_file(path, &size, error);
    struct saga_plan *plan = text ? saga_definition_load(path, text, size, error) : NULL;
    free(text);
    return plan;
}

static struct json *read_results(const char *path, struct error *error)
{
    size_t size;
    char *text = read_file(path, &size, error);
    struct json *results = text ? json_parse(text, size, error) : NULL;
    free(text);
    if (!results || results->type == JSON_OBJECT)
        return results;
    json_free(results);
    error_set(error, ERROR_USAGE, "%s: results are an object: {\"STEP\": RESULT, ...}", path);
    return NULL;
}

/* ---- text --------------------------------------------------------------------------------- */

static void print_padded(const char *text, int columns)
{
    char *safe = escaped(text);
    int width = text_width(safe);
    printf("%s%*s", safe, width < columns ? columns - width : 0, "");
    free(safe);
}

/* Up to so many columns of the text, to a space if there is one. Returns what is left. */
static const char *print_part(const char *text, int columns, bool padded)
{
    const char *end = text, *space = NULL;
    char part[400];
    size_t size;
    do {
        if (*end == ' ')
            space = end;
        end += *end != '\0';
        while (((unsigned char)*end & 0xc0) == 0x80)
            end++;
        size = (size_t)(end - text);
        snprintf(part, sizeof(part), "%.*s", (int)size, text);
    } while (*end && size + 8 < sizeof(part) && text_width(part) < columns);
    if (*end && *end != ' ' && space)
        size = (size_t)(space - text);
    snprintf(part, sizeof(part), "%.*s", (int)size, text);
    print_padded(part, padded ? columns : 0);
    text += size;
    return text + strspn(text, " ");
}

static void print_bad(const char *text, const char *rail)
{
    printf("  ! ");
    print_wrapped(stdout, text, 4, rail);
    putchar('\n');
}

static void print_path(const struct saga_path *path, int what_columns)
{
    int order_columns = PAGE_COLUMNS - what_columns - ENDING_COLUMNS - 2 * GAP;
    print_padded(path->what, what_columns);
    if (text_width(path->what) > what_columns)
        printf("\n%*s", what_columns, "");
    printf("%*s", GAP, "");
    const char *rest = print_part(path->order, order_columns, true);
    printf("%*s%s\n", GAP, "", path->ending);
    while (*rest) {
        printf("%*s", what_columns + GAP, "");
        rest = print_part(rest, order_columns, false);
        putchar('\n');
    }
    if (path->bad)
        print_bad(path->bad, "    ");
}

static int what_width(const struct saga_paths *paths)
{
    int width = 0;
    for (int i = 0; i < paths->count; i++) {
        int own = text_width(paths->list[i].what);
        width = own > width ? own : width;
    }
    return width < WHAT_AT_MOST ? width : WHAT_AT_MOST;
}

static void print_count(int count, const char *word)
{
    printf("%d %s%s", count, word, count == 1 ? "" : "s");
}

static void print_paths(const struct saga_plan *plan, const struct saga_paths *paths)
{
    int width = what_width(paths), last = -1;
    for (int i = 0; i < paths->count; i++) {
        int number = paths->list[i].number_of_case;
        if (number != last && number > 0) {
            printf("\nwith ");
            print_wrapped(stdout, paths->cases[number], 5, "     ");
            printf(":\n");
        }
        last = number;
        print_path(&paths->list[i], width);
    }
    if (paths->one_way_count)
        printf("\nconditions that came out one way only (see --input and --results):\n");
    for (int i = 0; i < paths->one_way_count; i++)
        print_bad(paths->one_way[i], "    ");
    printf("\n%s %lld: ", plan->name, (long long)plan->version);
    print_count(paths->count, "path");
    printf(", %d end%s badly; ", paths->bad, paths->bad == 1 ? "s" : "");
    print_count(paths->deaths, "death");
    printf(" of the coordinator\n");
}

/* ---- JSON --------------------------------------------------------------------------------- */

static void json_path(struct json_writer *writer, const struct saga_path *path)
{
    json_open(writer, '{');
    json_name(writer, "case");
    json_integer(writer, path->number_of_case);
    json_name(writer, "what");
    json_string(writer, path->what);
    json_name(writer, "order");
    json_string(writer, path->order);
    json_name(writer, "ending");
    json_string(writer, path->ending);
    json_name(writer, "bad");
    json_string(writer, path->bad);
    json_close(writer, '}');
}

static void json_texts(struct json_writer *writer, const char *name, char **texts, int count)
{
    json_name(writer, name);
    json_open(writer, '[');
    for (int i = 0; i < count; i++)
        json_string(writer, texts[i]);
    json_close(writer, ']');
}

static void print_paths_json(const struct saga_plan *plan, const struct saga_paths *paths, int code)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "saga");
    json_string(&writer, plan->name);
    json_name(&writer, "version");
    json_integer(&writer, plan->version);
    json_texts(&writer, "cases", paths->cases, paths->case_count);
    json_name(&writer, "paths");
    json_open(&writer, '[');
    for (int i = 0; i < paths->count; i++)
        json_path(&writer, &paths->list[i]);
    json_close(&writer, ']');
    json_texts(&writer, "one_way", paths->one_way, paths->one_way_count);
    json_name(&writer, "bad");
    json_integer(&writer, paths->bad);
    json_name(&writer, "deaths");
    json_integer(&writer, paths->deaths);
    json_name(&writer, "exit");
    json_integer(&writer, code);
    json_close(&writer, '}');
    print_json(&writer);
}

/* ---- saga simulate ------------------------------------------------------------------------ */

static int simulate(const struct saga_simulation *simulation, const struct options *options)
{
    struct saga_paths paths;
    struct error error = {0};
    if (!saga_simulate(simulation, &paths, &error))
        return print_failure(options, &error);
    int code = paths.bad ? EXIT_ABORTED : EXIT_DONE;
    if (options->json)
        print_paths_json(simulation->plan, &paths, code);
    else
        print_paths(simulation->plan, &paths);
    saga_paths_fini(&paths);
    return code;
}

static int run_simulate(const struct command *self, int argc, char **argv)
{
    const char *input = NULL, *results = NULL;
    const struct flag flags[] = {
        {"--input", NULL, &input, NULL}, {"--results", NULL, &results, NULL}, {0}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "saga simulate needs one FILE");
    struct error error = {0};
    struct saga_plan *plan = read_definition(arguments.words[0], &error);
    char *complete = plan && input ? saga_input_complete(plan, input, strlen(input), &error) : NULL;
    bool good = plan && (!input || complete);
    struct json *given = good && results ? read_results(results, &error) : NULL;
    good = good && (!results || given);
    struct saga_simulation simulation = {.plan = plan, .input = complete, .results = given};
    int code = good ? simulate(&simulation, &arguments.options)
                    : print_failure(&arguments.options, &error);
    json_free(given);
    free(complete);
    saga_plan_free(plan);
    return code;
}

const struct command saga_simulate_command = {
    .name = "saga simulate",
    .usage = "FILE [--input JSON] [--results FILE]",
    .summary = "see what becomes of a saga when anything fails",
    .help = "Runs a definition with participants that are made up, once for each thing that\n"
            "can fail: a step is refused, away, or its answer is lost; the timeout comes, a\n"
            "signal does not; compensations fail; and in each of these the coordinator dies\n"
            "after each record. Nobody is asked, nothing is stored.\n"
            "\n"
            "A line says what failed, what ran in what order, and how it ended:\n"
            "  a+b  at once          \u2717  fails: it is refused, away, or its answer is lost\n"
            "  ->   what is undone   ?  it is done, and its answer is lost or late\n"
            "  !    why it is bad\n"
            "\n"
            "Inputs and results are made up of what expressions name, as numbers, or null\n"
            "where nothing is named. Where a condition looks at one, values are tried until\n"
            "it came out both ways, if they do.\n"
            "\n"
            "Flags:\n"
            "  --input JSON    the inputs\n"
            "  --results FILE  JSON: {\"STEP\": RESULT, ...}, of a wait what its signal carries\n"
            "\n"
            "Exit code: 0 no path ends badly; 1 one does; 2 the definition has a mistake.\n"
            "\n"
            "Example:\n"
            "  troth saga simulate place-order.yaml\n",
    .run = run_simulate,
};
