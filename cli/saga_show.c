/* troth saga show: one saga, how far it is, and what is to be done about it. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/arguments.h"
#include "cli/print.h"
#include "cli/saga.h"
#include "cli/saga_tree.h"
#include "cli/wrap.h"
#include "core/check.h"

enum {
    FACT_COLUMNS = 13,
    VALUE_SHOWN_BYTES = 300, /* of an input or output: --json has all of it */
};

/* ---- the head ----------------------------------------------------------------------------- */

static void print_fact(const char *name, const char *value)
{
    char rail[FACT_COLUMNS + 1];
    snprintf(rail, sizeof(rail), "%*s", FACT_COLUMNS, "");
    printf("%-*s ", FACT_COLUMNS - 1, name);
    print_wrapped(stdout, value, FACT_COLUMNS, rail);
    putchar('\n');
}

/* JSON from the saga's definition or its participants, as long as a person reads. */
static void print_value(const char *name, const char *json)
{
    if (!*json || strcmp(json, "null") == 0)
        return;
    size_t size = strlen(json), shown = size < VALUE_SHOWN_BYTES ? size : VALUE_SHOWN_BYTES;
    while (shown < size && ((unsigned char)json[shown] & 0xc0) == 0x80)
        shown--; /* not in the middle of a character */
    char *text = xasprintf("%.*s%s", (int)shown, json,
                           shown < size ? "\u2026 (--json shows all of it)" : "");
    print_fact(name, text);
    free(text);
}

static void print_moments(const Wire__SagaView *saga, int64_t now_us)
{
    time_text moment, age;
    printf("%-*s %s (%s ago)\n", FACT_COLUMNS - 1, "begun", time_format(moment, saga->begun_us),
           age_format(age, now_us - saga->begun_us));
    if (saga->ended_us)
        printf("%-*s %s (after %s)\n", FACT_COLUMNS - 1, "ended",
               time_format(moment, saga->ended_us),
               age_format(age, saga->ended_us - saga->begun_us));
    else if (saga->timeout_us)
        printf("%-*s %s (%s%s), unless it is past its pivot\n", FACT_COLUMNS - 1, "undone at",
               time_format(moment, saga->timeout_us), saga->timeout_us > now_us ? "in " : "now",
               saga->timeout_us > now_us ? age_format(age, saga->timeout_us - now_us) : "");
}

static void print_head(const Wire__SagaView *saga, int64_t now_us)
{
    char *name = xasprintf("%s, version %" PRId64, saga->name, saga->version);
    char *state = xasprintf("%s%s", saga->state, saga->needs_operator ? ", needs an operator" : "");
    print_fact("saga", saga->id);
    print_fact("name", name);
    print_fact("state", state);
    print_moments(saga, now_us);
    if (*saga->key)
        print_fact("key", saga->key);
    if (*saga->parent) {
        char *parent = xasprintf("%s of saga %s", saga->parent_step, saga->parent);
        print_fact("is the step", parent);
        free(parent);
    }
    print_value("input", saga->input);
    print_value("output", saga->output);
    if (problem_is_set(saga->problem)) {
        char *line = problem_line(saga->problem);
        print_fact("problem", line);
        free(line);
        if (*saga->problem->detail)
            print_fact("  detail", saga->problem->detail);
        if (*saga->problem->hint)
            print_fact("  hint", saga->problem->hint);
    }
    free(state);
    free(name);
}

/* ---- the end ------------------------------------------------------------------------------ */

static bool step_is(const Wire__SagaStepView *step, const char *state)
{
    return strcmp(step->state, state) == 0;
}

static bool past_pivot(const Wire__SagaView *saga)
{
    for (size_t i = 0; i < saga->n_steps; i++) {
        if (strcmp(saga->steps[i]->kind, "pivot") == 0 && step_is(saga->steps[i], "done"))
            return true;
    }
    return false;
}

/* For who must mend something: what, and the commands. */
static void print_advice(const Wire__SagaView *saga)
{
    const Wire__SagaStepView *step = NULL;
    for (size_t i = 0; i < saga->n_steps && !step; i++)
        step = saga->steps[i]->needs_operator ? saga->steps[i] : NULL;
    fputs("\nAn operator is needed. Mend what ", stdout);
    print_escaped(stdout, step ? step->path : "the problem");
    fputs(" says, then\n  troth saga retry ", stdout);
    print_escaped(stdout, saga->id);
    putchar('\n');
    if (saga_goes_back(saga)) {
        puts("It is being undone: it goes on trying, and can't be left half done.");
    } else if (past_pivot(saga)) {
        puts("It is past its pivot: there is only the way forward.");
    } else {
        fputs("or have all undone that it did:\n  troth saga compensate ", stdout);
        print_escaped(stdout, saga->id);
        puts(" --reason '...'");
    }
}

/* "signal approval" as what of a step that waits. */
static void print_signals(const Wire__SagaView *saga)
{
    static const char prefix[] = "signal ";
    for (size_t i = 0; i < saga->n_steps; i++) {
        const Wire__SagaStepView *step = saga->steps[i];
        if (!step_is(step, "running") || strcmp(step->type, "wait") != 0 ||
            strncmp(step->what, prefix, strlen(prefix)) != 0)
            continue;
        fputs("  troth saga signal ", stdout);
        print_escaped(stdout, saga->id);
        putchar(' ');
        print_escaped(stdout, step->what + strlen(prefix));
        puts(" ['JSON']");
        return;
    }
}

static void print_saga(const Wire__SagaView *saga, const struct saga_others *others, bool all_items)
{
    int64_t now_us = wall_now_us();
    print_head(saga, now_us);
    putchar('\n');
    print_saga_tree(saga, others, all_items, now_us);
    if (*saga->next) {
        putchar('\n');
        print_fact("next", saga->next);
        print_signals(saga);
    }
    if (saga->needs_operator)
        print_advice(saga);
}

/* ---- the command -------------------------------------------------------------------------- */

/* Enough that those of one saga are among them. */
enum { NEEDING_ROWS = 1000 };

static void ask_others(struct connection *connection, struct saga_others *others)
{
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__PARTICIPANTS;
    others->participants = connection_query(connection, &query, NULL);
    others->needing = saga_ask_needing(connection, NEEDING_ROWS);
}

static void free_others(struct saga_others *others)
{
    if (others->participants)
        wire__answer__free_unpacked(others->participants, NULL);
    if (others->needing)
        wire__answer__free_unpacked(others->needing, NULL);
}

static int show_saga(const struct options *options, const char *id, bool all_items)
{
    struct error error = {0};
    struct connection *connection = saga_connect(options, &error);
    if (!connection)
        return print_failure(options, &error);
    struct answerer who = connection_answerer(connection);
    Wire__SagaView *saga = saga_ask(connection, id, &error);
    struct saga_others others = {0};
    if (saga && !saga->ended_us && !options->json && !who.journal)
        ask_others(connection, &others);
    connection_close(connection);
    if (!saga)
        return answerer_exit(&who, print_failure(options, &error));
    if (options->json) {
        struct json_writer writer = {0};
        json_open(&writer, '{');
        json_saga_row(&writer, saga);
        json_saga_rest(&writer, saga);
        json_answerer(&writer, &who);
        json_close(&writer, '}');
        print_json(&writer);
    } else {
        print_answerer(&who);
        print_saga(saga, &others, all_items);
    }
    free_others(&others);
    wire__saga_view__free_unpacked(saga, NULL);
    return answerer_exit(&who, EXIT_DONE);
}

static int run_show(const struct command *self, int argc, char **argv)
{
    bool all_items = false;
    const char *journal = NULL;
    const struct flag flags[] = {{"--items", NULL, NULL, &all_items},
                                 {"--journal", NULL, &journal, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    struct error error = {0};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count != 1)
        return arguments_refuse(self, "saga show needs one ID");
    if (!saga_id_check(arguments.words[0], &error))
        return print_failure(&arguments.options, &error);
    arguments.options.journal = journal;
    return show_saga(&arguments.options, arguments.words[0], all_items);
}

const struct command saga_show_command = {
    .name = "saga show",
    .usage = "ID [--items] [--journal DIR]",
    .summary = "show one saga, its steps and what is next",
    .help = "Shows the saga's input, its problem, and its steps as a tree:\n"
            "\n"
            "  waiting      not begun yet; not begun: it never will be\n"
            "  running      a try is under way\n"
            "  retrying     a pause before the next try\n"
            "  done\n"
            "  skipped      its `when` was false, or another way was chosen\n"
            "  failed       it was refused, or its tries are used up: the saga is undone\n"
            "  cancelling   whether it was done is being found out; if not, it never will be\n"
            "  cancelled    it was not done, because another step failed\n"
            "  undoing      its compensation, which is named, is under way\n"
            "  undone       its compensation is done, or there was nothing to undo\n"
            "\n"
            "A step with a ! waits for an operator; the end names the commands. TRIES are\n"
            "those of what is under way, since the coordinator's start.\n"
            "\n"
            "  --items      list all items of a for_each, and what is in blocks that were\n"
            "               skipped; else the items of a long one in which nothing happens\n"
            "               are counted, and such blocks stay closed (--json always has all)\n"
            "  --journal DIR\n"
            "               asks nobody: reads the journal in DIR, which may be a copy, and\n"
            "               shows what a restart would find\n"
            "\n"
            "Exit code: 0 shown; 2 it is a transaction's ID; 5 the coordinator does not know\n"
            "it.\n"
            "\n"
            "Example:\n"
            "  troth saga show shop.c1.1795222861.42\n",
    .run = run_show,
};
