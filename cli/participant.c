/* troth participant: who runs branches. */
#include <inttypes.h>
#include <stdio.h>

#include "cli/arguments.h"
#include "cli/connect.h"
#include "cli/print.h"
#include "cli/table.h"

static void print_terminating(const Wire__ParticipantView *view)
{
    if (view->terminating == 0)
        return;
    print_escaped(stdout, view->name);
    printf(": finishing without the coordinator: %" PRIu32, view->terminating);
    if (view->minority)
        printf(", of which wait for a majority: %" PRIu32, view->minority);
    putchar('\n');
}

static void print_executing(const Wire__ParticipantView *view)
{
    if (view->executing == 0)
        return;
    print_escaped(stdout, view->name);
    printf(": steps of sagas that are sent or wait to be: %" PRIu32 "\n", view->executing);
}

static void print_list(const Wire__Answer *answer)
{
    static const char *const headers[] = {"PARTICIPANT", "SESSION", "SINCE",     "DATABASE",
                                          "PREPARED",    "WORKING", "UNAPPLIED", "HELD",
                                          "3PC",         NULL};
    struct table table = {0};
    time_text age;
    if (answer->n_participants == 0) {
        printf("no participant has connected\n"
               "  hint: start troth-participant with this coordinator in its `coordinators`\n");
        return;
    }
    table_begin(&table, headers);
    for (size_t i = 0; i < answer->n_participants; i++) {
        const Wire__ParticipantView *view = answer->participants[i];
        table_add(&table, view->name);
        table_add(&table, view->connected ? "up" : "down");
        table_add(&table, view->since_us ? age_format(age, wall_now_us() - view->since_us) : "-");
        table_add(&table, !view->connected ? "-" : view->database_up ? "up" : "down");
        table_add_format(&table, "%" PRIu32 "/%" PRIu32, view->prepared, view->prepared_slots);
        table_add_format(&table, "%" PRIu32, view->working);
        table_add_format(&table, "%" PRIu32, view->unapplied);
        table_add_format(&table, "%zu", view->n_held);
        table_add(&table, *view->listen ? "yes" : "no");
    }
    table_end(&table, stdout, 0);
    for (size_t i = 0; i < answer->n_participants; i++) {
        print_executing(answer->participants[i]);
        print_terminating(answer->participants[i]);
    }
}

static void json_strings(struct json_writer *writer, const char *name, char **texts, size_t count)
{
    json_name(writer, name);
    json_open(writer, '[');
    for (size_t i = 0; i < count; i++)
        json_string(writer, texts[i]);
    json_close(writer, ']');
}

static void json_number(struct json_writer *writer, const char *name, uint64_t value)
{
    json_name(writer, name);
    json_unsigned(writer, value);
}

static void json_participant(struct json_writer *writer, const Wire__ParticipantView *view)
{
    json_open(writer, '{');
    json_name(writer, "name");
    json_string(writer, view->name);
    json_name(writer, "connected");
    json_boolean(writer, view->connected);
    json_time(writer, "since", view->since_us);
    json_name(writer, "software");
    json_string(writer, view->software);
    json_name(writer, "database_up");
    json_boolean(writer, view->database_up);
    json_name(writer, "database_reason");
    json_string(writer, view->database_reason);
    json_number(writer, "prepared", view->prepared);
    json_number(writer, "prepared_foreign", view->prepared_foreign);
    json_number(writer, "prepared_slots", view->prepared_slots);
    json_time(writer, "oldest_prepared", view->oldest_prepared_us);
    json_number(writer, "working", view->working);
    json_number(writer, "unapplied", view->unapplied);
    json_strings(writer, "held", view->held, view->n_held);
    json_strings(writer, "operations", view->operations, view->n_operations);
    json_name(writer, "listen");
    json_string(writer, *view->listen ? view->listen : NULL);
    json_number(writer, "terminating", view->terminating);
    json_number(writer, "minority", view->minority);
    json_number(writer, "executing", view->executing);
    json_close(writer, '}');
}

static void print_list_json(const Wire__Answer *answer, const struct answerer *who)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "participants");
    json_open(&writer, '[');
    for (size_t i = 0; i < answer->n_participants; i++)
        json_participant(&writer, answer->participants[i]);
    json_close(&writer, ']');
    json_answerer(&writer, who);
    json_close(&writer, '}');
    print_json(&writer);
}

static int run_list(const struct command *self, int argc, char **argv)
{
    struct arguments arguments = {.command = self};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "participant list takes no \"%.60s\"", arguments.words[0]);
    struct error error = {0};
    Wire__Query query = WIRE__QUERY__INIT;
    query.what = WIRE__WHAT__PARTICIPANTS;
    struct answerer who;
    Wire__Answer *answer = connect_and_query(&arguments.options, &query, &who, &error);
    if (!answer)
        return print_failure(&arguments.options, &error);
    int code = EXIT_DONE;
    if (problem_is_set(answer->problem)) {
        code = print_answer_problem(&arguments.options, answer->problem, ERROR_PROTOCOL);
    } else if (arguments.options.json) {
        print_list_json(answer, &who);
    } else {
        print_answerer(&who);
        print_list(answer);
    }
    wire__answer__free_unpacked(answer, NULL);
    return code;
}

const struct command participant_list_command = {
    .name = "participant list",
    .usage = "",
    .summary = "list the participants and their databases",
    .help = "SESSION    whether its agent is connected to the coordinator, SINCE when\n"
            "DATABASE   whether its agent can use its PostgreSQL\n"
            "PREPARED   prepared transactions of this cluster / max_prepared_transactions\n"
            "WORKING    branches here of transactions that are undecided\n"
            "UNAPPLIED  branches that are decided and not yet carried out here\n"
            "HELD       prepared transactions that are too old to be presumed aborted\n"
            "3PC        whether it listens for other participants, as three phases need\n"
            "\n"
            "A line more for each that has steps of sagas to do, or finishes transactions\n"
            "without their coordinator.\n"
            "With --json also its operations, software, listen address, held gids and the\n"
            "database's reason.\n"
            "\n"
            "While the coordinator is away, --coordinator with the `listen` address of a\n"
            "participant lists what that one knows of itself.\n"
            "\n"
            "Example:\n"
            "  troth participant list\n",
    .run = run_list,
};
