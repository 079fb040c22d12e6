/* troth saga list: the sagas of a coordinator. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "cli/table.h"
#include "core/check.h"
#include "core/id.h"

enum { DEFAULT_ROWS = 100, LIMIT_ROWS = 10000 };

/* Why it was undone, of one that has ended; else what it waits for. */
static void add_next(struct table *table, const Wire__SagaView *saga)
{
    char *line = !*saga->next && problem_is_set(saga->problem) ? problem_line(saga->problem)
                                                               : xstrdup(saga->next);
    table_add(table, line);
    free(line);
}

static void print_empty(const Wire__Query *query)
{
    printf("no saga%s", *query->saga ? " " : "");
    print_escaped(stdout, query->saga);
    puts(query->needs_operator ? " needs an operator"
         : query->unended      ? " runs; --all lists those that have ended, too"
                               : " is known");
}

/* needing: how many need an operator, whether they are listed or not. */
static void print_marks(size_t marked, uint64_t needing)
{
    if (marked)
        printf("! needs an operator: troth saga show ID tells what to do\n");
    if (needing > marked)
        printf("%" PRIu64 " not listed here need%s an operator: troth saga list --needs-operator\n",
               needing - marked, needing - marked == 1 ? "s" : "");
}

static void print_list(const Wire__Answer *answer, const Wire__Query *query, uint64_t needing)
{
    static const char *const headers[] = {"ID", "NAME", "STATE", "AGE", "NEXT", NULL};
    struct table table = {0};
    time_text age;
    size_t marked = 0;
    if (answer->n_sagas == 0) {
        print_empty(query);
        return;
    }
    table_begin(&table, headers);
    for (size_t i = 0; i < answer->n_sagas; i++) {
        const Wire__SagaView *saga = answer->sagas[i];
        marked += saga->needs_operator;
        table_add(&table, saga->id);
        table_add(&table, saga->name);
        table_add_format(&table, "%.40s%s", saga->state, saga->needs_operator ? " !" : "");
        table_add(&table, age_format(age, wall_now_us() - saga->begun_us));
        add_next(&table, saga);
    }
    table_end(&table, stdout, 0);
    /* One answer holds some hundred rows, whatever the limit. */
    bool at_limit = answer->n_sagas == (query->limit ? query->limit : DEFAULT_ROWS);
    if (answer->more)
        printf("and %" PRIu64 " more: --%s\n", answer->more,
               at_limit ? "limit N lists them" : "name and --needs-operator list fewer");
    print_marks(marked, needing);
}

static void print_list_json(const Wire__Answer *answer, const struct answerer *who)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "sagas");
    json_open(&writer, '[');
    for (size_t i = 0; i < answer->n_sagas; i++) {
        json_open(&writer, '{');
        json_saga_row(&writer, answer->sagas[i]);
        json_close(&writer, '}');
    }
    json_close(&writer, ']');
    json_name(&writer, "more");
    json_unsigned(&writer, answer->more);
    json_answerer(&writer, who);
    json_close(&writer, '}');
    print_json(&writer);
}

/* Of all that run; 0 also when that can't be had. */
static uint64_t count_needing(struct connection *connection)
{
    Wire__Answer *answer = saga_ask_needing(connection, 1);
    uint64_t count = answer ? answer->n_sagas + answer->more : 0;
    if (answer)
        wire__answer__free_unpacked(answer, NULL);
    return count;
}

static int list_sagas(const struct options *options, const Wire__Query *query)
{
    struct error error = {0};
    struct connection *connection = saga_connect(options, &error);
    if (!connection)
        return print_failure(options, &error);
    struct answerer who = connection_answerer(connection);
    Wire__Answer *answer = connection_query(connection, query, &error);
    bool whole = answer && !options->json && !query->needs_operator && !*query->saga;
    uint64_t needing = whole ? count_needing(connection) : 0;
    connection_close(connection);
    if (!answer)
        return print_failure(options, &error);
    int code = EXIT_DONE;
    if (problem_is_set(answer->problem))
        code = print_answer_problem(options, answer->problem, saga_refusal(answer->problem));
    else if (options->json)
        print_list_json(answer, &who);
    else {
        print_answerer(&who);
        print_list(answer, query, needing);
    }
    wire__answer__free_unpacked(answer, NULL);
    return answerer_exit(&who, code);
}

static bool read_limit(const char *text, uint32_t *limit)
{
    char *end;
    unsigned long number = strtoul(text, &end, 10);
    *limit = (uint32_t)number;
    return *text >= '0' && *text <= '9' && !*end && number >= 1 && number <= LIMIT_ROWS;
}

static int run_list(const struct command *self, int argc, char **argv)
{
    bool needs_operator = false, all = false, children = false;
    const char *name = NULL, *limit = NULL, *journal = NULL;
    const struct flag flags[] = {{"--needs-operator", NULL, NULL, &needs_operator},
                                 {"--all", NULL, NULL, &all},
                                 {"--children", NULL, NULL, &children},
                                 {"--name", NULL, &name, NULL},
                                 {"--limit", NULL, &limit, NULL},
                                 {"--journal", NULL, &journal, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self,
                                "saga list takes no \"%.60s\"; one name is listed with "
                                "--name",
                                arguments.words[0]);
    if (name && !name_valid(name))
        return arguments_refuse(self, "--name: a name is %s", name_rule);
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__SAGAS;
    query.needs_operator = needs_operator;
    query.unended = !all;
    query.children = children || needs_operator; /* who waits for one is not to be overlooked */
    if (name)
        query.saga = (char *)name; /* only packed */
    if (limit && !read_limit(limit, &query.limit))
        return arguments_refuse(self, "--limit: \"%.60s\" is no number from 1 to %d", limit,
                                LIMIT_ROWS);
    arguments.options.journal = journal;
    return list_sagas(&arguments.options, &query);
}

const struct command saga_list_command = {
    .name = "saga list",
    .usage = "[--needs-operator | --all] [--name NAME] [flags]",
    .summary = "list the sagas that run, newest first",
    .help = "Lists the sagas that run or are undone: for how long, and what each waits for.\n"
            "One with a ! waits for an operator.\n"
            "\n"
            "  --needs-operator     only those that an operator must look after, also where\n"
            "                       they are a step of another\n"
            "  --all                after them also the newest of those that have ended\n"
            "  --name NAME          only those of this definition\n"
            "  --children           also those that are a step of another\n"
            "  --limit N            at most N rows (default 100)\n"
            "  --journal DIR        asks nobody: reads the journal in DIR, which may be a\n"
            "                       copy; what a restart would find is listed\n"
            "\n"
            "Examples:\n"
            "  troth saga list --needs-operator\n"
            "  troth saga list --all --name place-order --json\n",
    .run = run_list,
};
