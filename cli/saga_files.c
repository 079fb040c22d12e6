/* troth saga lint, graph: definitions of sagas. A coordinator is asked only for what can be called.
 */
#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "cli/arguments.h"
#include "cli/print.h"
#include "cli/saga_offers.h"
#include "core/check.h"
#include "core/limits.h"
#include "saga/graph.h"
#include "saga/lint.h"

/* ---- files -------------------------------------------------------------------------------- */

struct paths {
    char **items;
    int count;
};

static void paths_add(struct paths *paths, char *path)
{
    paths->items = xrealloc(paths->items, ((size_t)paths->count + 1) * sizeof(char *));
    paths->items[paths->count++] = path;
}

static void paths_fini(struct paths *paths)
{
    for (int i = 0; i < paths->count; i++)
        free(paths->items[i]);
    free(paths->items);
}

static bool is_folder(const char *path)
{
    struct stat facts;
    return stat(path, &facts) == 0 && S_ISDIR(facts.st_mode);
}

static int is_yaml(const struct dirent *entry)
{
    const char *dot = strrchr(entry->d_name, '.');
    return entry->d_name[0] != '.' && dot &&
           (strcmp(dot, ".yaml") == 0 || strcmp(dot, ".yml") == 0);
}

/* A file, or the *.yaml of a folder in the order of their names. */
static bool paths_expand(struct paths *paths, const char *path, struct error *error)
{
    if (!is_folder(path)) {
        paths_add(paths, xstrdup(path));
        return true;
    }
    struct dirent **entries;
    int count = scandir(path, &entries, is_yaml, alphasort);
    if (count < 0)
        return error_set(error, ERROR_USAGE, "%s: can't be read: %s", path, strerror(errno));
    for (int i = 0; i < count; i++) {
        bool slash = path[strlen(path) - 1] == '/';
        paths_add(paths, xasprintf("%s%s%s", path, slash ? "" : "/", entries[i]->d_name));
        free(entries[i]);
    }
    free(entries);
    return count > 0 || error_set(error, ERROR_USAGE, "%s: there is no .yaml file in it", path);
}

/* NULL: a mistake was noted. */
static struct saga_plan *read_plan(const char *path, struct saga_findings *findings)
{
    static char text[LIMIT_SAGA_DEFINITION_BYTES + 1]; /* one more shows what is too large */
    FILE *file = fopen(path, "re");
    size_t size = file ? fread(text, 1, sizeof(text), file) : 0;
    bool good = file && !ferror(file);
    if (!good)
        saga_mistake(findings, path, (struct saga_place){0}, "can't be read: %s", strerror(errno));
    if (file)
        fclose(file);
    return good ? saga_definition_read(path, text, size, findings) : NULL;
}

/* ---- saga lint ---------------------------------------------------------------------------- */

static void print_finding(const struct saga_finding *finding)
{
    bool warning = finding->severity == SAGA_WARNING;
    print_escaped(stdout, finding->file);
    if (finding->place.line)
        printf(":%d:%d", finding->place.line, finding->place.column);
    fputs(warning ? ": warning: " : ": ", stdout);
    print_escaped(stdout, finding->text);
    putchar('\n');
}

static void print_count(int count, const char *word)
{
    printf("%d %s%s", count, word, count == 1 ? "" : "s");
}

static void print_findings(const struct saga_findings *findings, int sagas)
{
    for (int i = 0; i < findings->count; i++)
        print_finding(&findings->items[i]);
    print_count(sagas, "saga");
    fputs(": ", stdout);
    print_count(findings->mistakes, "mistake");
    fputs(", ", stdout);
    print_count(findings->warnings, "warning");
    putchar('\n');
}

static void json_plan(struct json_writer *writer, const struct saga_plan *plan)
{
    digest_text digest;
    json_open(writer, '{');
    json_name(writer, "file");
    json_string(writer, plan->file);
    json_name(writer, "saga");
    json_string(writer, plan->name);
    json_name(writer, "version");
    json_integer(writer, plan->version);
    json_name(writer, "digest");
    json_string(writer, digest_format(digest, &plan->digest));
    json_close(writer, '}');
}

static void json_finding(struct json_writer *writer, const struct saga_finding *finding)
{
    json_open(writer, '{');
    json_name(writer, "file");
    json_string(writer, finding->file);
    json_name(writer, "line");
    json_integer(writer, finding->place.line);
    json_name(writer, "column");
    json_integer(writer, finding->place.column);
    json_name(writer, "severity");
    json_string(writer, finding->severity == SAGA_WARNING ? "warning" : "mistake");
    json_name(writer, "message");
    json_string(writer, finding->text);
    json_close(writer, '}');
}

static void print_findings_json(const struct saga_findings *findings, const struct saga_lint *lint,
                                int code)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "sagas");
    json_open(&writer, '[');
    for (int i = 0; i < lint->plan_count; i++)
        json_plan(&writer, lint->plans[i]);
    json_close(&writer, ']');
    json_name(&writer, "findings");
    json_open(&writer, '[');
    for (int i = 0; i < findings->count; i++)
        json_finding(&writer, &findings->items[i]);
    json_close(&writer, ']');
    json_name(&writer, "mistakes");
    json_integer(&writer, findings->mistakes);
    json_name(&writer, "warnings");
    json_integer(&writer, findings->warnings);
    json_name(&writer, "exit");
    json_integer(&writer, code);
    json_close(&writer, '}');
    print_json(&writer);
}

/* list: paths with commas between. */
static bool read_catalogue(struct catalogue *catalogue, const char *list,
                           struct saga_findings *findings, struct error *error)
{
    char *copy = xstrdup(list), *rest = NULL;
    bool good = true;
    for (char *path = strtok_r(copy, ",", &rest); path && good; path = strtok_r(NULL, ",", &rest)) {
        struct paths paths = {0};
        good = paths_expand(&paths, path, error);
        for (int i = 0; i < paths.count && good; i++)
            catalogue_read(catalogue, paths.items[i], is_folder(path), findings);
        paths_fini(&paths);
    }
    free(copy);
    return good;
}

/* When a coordinator is named. *known: it told. One that only the environment names need not be
 * there: who lints may not be where it runs. */
static bool ask_catalogue(const struct options *options, struct catalogue *catalogue, bool *known,
                          struct saga_findings *findings, struct error *error)
{
    if (options->coordinator_from == NAMED_BY_NOBODY)
        return true;
    *known = saga_offers(options, catalogue, error);
    if (*known || options->coordinator_from == NAMED_BY_FLAG)
        return *known;
    saga_warning(findings, "TROTH_COORDINATOR", (struct saga_place){0},
                 "%s: calls are not checked against what participants offer", error->message);
    return true;
}

static int lint(const struct paths *paths, const struct catalogue *catalogue, bool as_json,
                struct saga_findings *findings)
{
    struct saga_plan **plans = xcalloc((size_t)paths->count, sizeof(*plans));
    struct saga_lint all = {.plans = plans, .whole = paths->count > 1, .catalogue = catalogue};
    for (int i = 0; i < paths->count; i++) {
        struct saga_plan *plan = read_plan(paths->items[i], findings);
        if (plan)
            plans[all.plan_count++] = plan;
    }
    saga_lint(&all, findings);
    saga_findings_sort(findings);
    int code = findings->mistakes ? EXIT_USAGE : EXIT_DONE;
    if (as_json)
        print_findings_json(findings, &all, code);
    else
        print_findings(findings, paths->count);
    for (int i = 0; i < all.plan_count; i++)
        saga_plan_free(plans[i]);
    free(plans);
    return code;
}

static int run_lint(const struct command *self, int argc, char **argv)
{
    const char *participants = NULL;
    const struct flag flags[] = {{"--participants", NULL, &participants, NULL}, {0}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (!arguments.word_count)
        return arguments_refuse(self, "saga lint needs a FILE or a folder");
    struct error error = {0};
    struct paths paths = {0};
    struct catalogue catalogue = {0};
    struct saga_findings findings = {0};
    bool good = true;
    for (int i = 0; i < arguments.word_count && good; i++)
        good = paths_expand(&paths, arguments.words[i], &error);
    bool known = participants != NULL;
    if (good && participants)
        good = read_catalogue(&catalogue, participants, &findings, &error);
    else if (good)
        good = ask_catalogue(&arguments.options, &catalogue, &known, &findings, &error);
    int code = good ? lint(&paths, known ? &catalogue : NULL, arguments.options.json, &findings)
                    : print_failure(&arguments.options, &error);
    saga_findings_fini(&findings);
    catalogue_fini(&catalogue);
    paths_fini(&paths);
    return code;
}

const struct command saga_lint_command = {
    .name = "saga lint",
    .usage = "FILE... [--participants FILE,...]",
    .summary = "find the mistakes of saga definitions",
    .help = "Checks definitions of sagas: their form, their expressions, what each step may\n"
            "use, what can be undone and what not. All mistakes are told at once, as\n"
            "FILE:LINE:COLUMN. A folder means the .yaml files in it; files given together\n"
            "may run each other.\n"
            "\n"
            "Flags:\n"
            "  --participants FILE,...  participants' configurations, or a folder of them:\n"
            "                           calls and their arguments are checked, too\n"
            "\n"
            "Without it and with --coordinator or TROTH_COORDINATOR, calls are checked\n"
            "against what the participants of that coordinator offer. Where only the\n"
            "variable names it and nobody answers, that is a warning.\n"
            "\n"
            "Exit code: 0 no mistake, maybe warnings; 2 a mistake; 3 the coordinator that\n"
            "--coordinator names does not answer.\n"
            "\n"
            "Examples:\n"
            "  troth saga lint place-order.yaml\n"
            "  troth saga lint sagas/ --participants participants/\n"
            "  troth saga lint sagas/ --coordinator tcp://127.0.0.1:7400\n",
    .run = run_lint,
};

/* ---- saga graph --------------------------------------------------------------------------- */

static int print_graph(const struct saga_plan *plan, const char *format, bool as_json)
{
    bool dot = strcmp(format, "dot") == 0;
    char *text = saga_graph(plan, dot ? SAGA_GRAPH_DOT : SAGA_GRAPH_MERMAID);
    if (as_json) {
        struct json_writer writer = {0};
        json_open(&writer, '{');
        json_name(&writer, "format");
        json_string(&writer, format);
        json_name(&writer, "graph");
        json_string(&writer, text);
        json_name(&writer, "exit");
        json_integer(&writer, EXIT_DONE);
        json_close(&writer, '}');
        print_json(&writer);
    } else {
        fputs(text, stdout);
    }
    free(text);
    return EXIT_DONE;
}

static int run_graph(const struct command *self, int argc, char **argv)
{
    const char *format = "mermaid";
    const struct flag flags[] = {{"--format", NULL, &format, NULL}, {0}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "saga graph needs one FILE");
    if (strcmp(format, "mermaid") != 0 && strcmp(format, "dot") != 0)
        return arguments_refuse(self, "--format: \"%.60s\" is neither mermaid nor dot", format);
    struct saga_findings findings = {0};
    struct error error = {0};
    struct saga_plan *plan = read_plan(arguments.words[0], &findings);
    int code = saga_findings_check(&findings, arguments.words[0], &error)
                   ? print_graph(plan, format, arguments.options.json)
                   : print_failure(&arguments.options, &error);
    saga_findings_fini(&findings);
    saga_plan_free(plan);
    return code;
}

const struct command saga_graph_command = {
    .name = "saga graph",
    .usage = "FILE [--format mermaid|dot]",
    .summary = "draw a saga definition",
    .help = "Prints a definition as a picture: the steps in their order, what undoes each\n"
            "(dashed), and the pivot (bold).\n"
            "\n"
            "Flags:\n"
            "  --format mermaid  a flowchart for Markdown (the default)\n"
            "  --format dot      for Graphviz\n"
            "\n"
            "Exit code: 0 done; 2 the definition has a mistake.\n"
            "\n"
            "Example:\n"
            "  troth saga graph place-order.yaml --format dot | dot -Tsvg >place-order.svg\n",
    .run = run_graph,
};
