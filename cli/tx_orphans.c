/* troth tx orphans: prepared transactions that nobody seems to look after. */
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "cli/evidence.h"
#include "cli/print.h"
#include "cli/table.h"
#include "cli/tx.h"
#include "cli/wrap.h"
#include "core/check.h"
#include "core/id.h"

/* In the order in which they are told. */
static const struct {
    enum prepared_kind kind;
    const char *word, *title, *advice;
} kinds[] = {
    {PREPARED_HELD, "held", "held: Troth's, and their coordinator's journal does not know them",
     "They stay prepared, and locked, until an operator ends them: troth tx explain GTRID tells "
     "what is known of one, and the safe command. The GTRID is the gid without \"troth.\" and "
     "the last number."},
    {PREPARED_ABANDONED, "abandoned", "abandoned: Troth's, and their coordinator is not connected",
     "Start that coordinator again: its name is the third part of the gid, and it ends them by "
     "itself. Is it gone for good: troth tx explain GTRID."},
    {PREPARED_FOREIGN, "foreign", "foreign: not Troth's",
     "Troth never ends them. Their owner does, in that database: COMMIT PREPARED 'GID' or ROLLBACK "
     "PREPARED 'GID'; troth tx explain GID has the words."},
    {PREPARED_ELSEWHERE, "elsewhere", "in other databases of the same servers",
     "No participant asked here works in that database. They use prepared slots of its server, "
     "too. "
     "Who works there ends them."},
};
enum { KINDS = sizeof(kinds) / sizeof(kinds[0]) };

/* ---- which -------------------------------------------------------------------------------- */

/* Two participants can have databases of one server: each lists all of it, so what another has in
 * its own database is told there. */
static bool is_told_there(const Wire__Answer *answer, const Wire__PreparedView *prepared)
{
    const Wire__Testimony *from = NULL;
    const Wire__PreparedView *other = prepared_find(answer, prepared->gid, &from);
    return other != prepared && other->here && other->xid == prepared->xid &&
           strcmp(other->database, prepared->database) == 0;
}

typedef void each_prepared(void *self, const Wire__Testimony *testimony,
                           const Wire__PreparedView *prepared);

/* Of that kind, in the order of the answer. */
static size_t walk(const Wire__Answer *answer, enum prepared_kind kind, each_prepared *each,
                   void *self)
{
    size_t count = 0;
    for (size_t i = 0; i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        for (size_t k = 0; k < testimony->n_prepared; k++) {
            const Wire__PreparedView *prepared = testimony->prepared[k];
            if (prepared_kind(prepared) != kind ||
                (!prepared->here && is_told_there(answer, prepared)))
                continue;
            count++;
            if (each)
                each(self, testimony, prepared);
        }
    }
    return count;
}

/* ---- text --------------------------------------------------------------------------------- */

static void add_row(void *self, const Wire__Testimony *testimony,
                    const Wire__PreparedView *prepared)
{
    struct table *table = self;
    time_text age;
    int64_t now_us = testimony->database_us ? testimony->database_us : wall_now_us();
    table_add(table, testimony->participant);
    table_add(table, prepared->prepared_us ? age_between(age, prepared->prepared_us, now_us) : "-");
    table_add(table, prepared->owner);
    table_add(table, prepared->database);
    table_add_format(table, "%" PRIu64, prepared->age_xids);
    table_add(table, prepared->gid);
}

static void print_kind(const Wire__Answer *answer, int at)
{
    static const char *const headers[] = {"AT", "AGE", "OWNER", "DATABASE", "XIDS", "GID", NULL};
    enum { OWNER = 2, DATABASE = 3 };
    bool elsewhere = kinds[at].kind == PREPARED_ELSEWHERE;
    struct table table = {0};
    printf("%s\n", kinds[at].title);
    table_begin(&table, headers);
    table.spare = elsewhere ? 1u << OWNER : 1u << OWNER | 1u << DATABASE;
    table.whole = true;
    walk(answer, kinds[at].kind, add_row, &table);
    table_end(&table, stdout, 2);
    fputs("  -> ", stdout);
    print_wrapped(stdout, kinds[at].advice, 5, "     ");
    fputs("\n\n", stdout);
}

/* Who did not say, or not all. */
static void print_unheard(const Wire__Answer *answer)
{
    for (size_t i = 0; i < answer->n_testimonies; i++) {
        const Wire__Testimony *testimony = answer->testimonies[i];
        if (problem_is_set(testimony->problem)) {
            char *line = problem_line(testimony->problem);
            char *text = xasprintf("%s was not heard: %s", testimony->participant, line);
            print_wrapped(stdout, text, 0, "  ");
            putchar('\n');
            free(text);
            free(line);
        } else if (testimony->more) {
            fputs("and ", stdout);
            printf("%" PRIu64 " more at ", testimony->more);
            print_escaped(stdout, testimony->participant);
            fputs(", which did not fit: --participant ", stdout);
            print_escaped(stdout, testimony->participant);
            putchar('\n');
        }
    }
}

static void print_orphans(const Wire__Answer *answer)
{
    size_t in_flight = walk(answer, PREPARED_IN_FLIGHT, NULL, NULL), orphans = 0;
    for (int i = 0; i < KINDS; i++) {
        size_t count = walk(answer, kinds[i].kind, NULL, NULL);
        orphans += count;
        if (count > 0)
            print_kind(answer, i);
    }
    if (orphans == 0)
        printf("no orphans: ");
    printf("%zu prepared transaction%s in flight, with %s coordinator there\n", in_flight,
           in_flight == 1 ? " is" : "s are", in_flight == 1 ? "its" : "their");
    print_unheard(answer);
}

/* ---- JSON --------------------------------------------------------------------------------- */

struct json_list {
    struct json_writer *writer;
    const char *kind;
};

static void add_json(void *self, const Wire__Testimony *testimony,
                     const Wire__PreparedView *prepared)
{
    struct json_list *list = self;
    struct json_writer *writer = list->writer;
    json_open(writer, '{');
    json_text(writer, "kind", list->kind);
    json_text(writer, "participant", testimony->participant);
    json_text(writer, "gid", prepared->gid);
    json_text(writer, "owner", prepared->owner);
    json_text(writer, "database", prepared->database);
    json_name(writer, "here");
    json_boolean(writer, prepared->here);
    json_time(writer, "prepared_at", prepared->prepared_us);
    json_name(writer, "xid");
    json_unsigned(writer, prepared->xid);
    json_name(writer, "age_xids");
    json_unsigned(writer, prepared->age_xids);
    json_text(writer, "state", prepared->state);
    json_close(writer, '}');
}

static void json_unheard(struct json_writer *writer, const Wire__Answer *answer)
{
    json_name(writer, "participants");
    json_open(writer, '[');
    for (size_t i = 0; i < answer->n_testimonies; i++) {
        json_open(writer, '{');
        json_text(writer, "participant", answer->testimonies[i]->participant);
        json_name(writer, "problem");
        json_problem(writer, answer->testimonies[i]->problem);
        json_name(writer, "more");
        json_unsigned(writer, answer->testimonies[i]->more);
        json_close(writer, '}');
    }
    json_close(writer, ']');
}

static void print_orphans_json(const Wire__Answer *answer, const struct answerer *who)
{
    struct json_writer writer = {0};
    json_open(&writer, '{');
    json_name(&writer, "orphans");
    json_open(&writer, '[');
    for (int i = 0; i < KINDS; i++)
        walk(answer, kinds[i].kind, add_json, &(struct json_list){&writer, kinds[i].word});
    json_close(&writer, ']');
    json_name(&writer, "in_flight");
    json_unsigned(&writer, walk(answer, PREPARED_IN_FLIGHT, NULL, NULL));
    json_unheard(&writer, answer);
    json_answerer(&writer, who);
    json_close(&writer, '}');
    print_json(&writer);
}

/* ---- the command -------------------------------------------------------------------------- */

static int list_orphans(const struct options *options, const char *participant)
{
    struct error error = {0};
    struct connection *connection = connection_open(options, &error);
    if (!connection)
        return print_failure(options, &error);
    struct answerer who = connection_answerer(connection);
    Wire__Answer *answer = prepared_ask(connection, participant, &error);
    connection_close(connection);
    if (!answer)
        return print_failure(options, &error);
    int code = EXIT_DONE;
    if (problem_is_set(answer->problem)) {
        code = print_answer_problem(options, answer->problem, ERROR_USAGE);
    } else if (options->json) {
        print_orphans_json(answer, &who);
    } else {
        print_answerer(&who);
        print_orphans(answer);
    }
    wire__answer__free_unpacked(answer, NULL);
    return code;
}

static int run_orphans(const struct command *self, int argc, char **argv)
{
    const char *participant = NULL;
    const struct flag flags[] = {{"--participant", NULL, &participant, NULL},
                                 {NULL, NULL, NULL, NULL}};
    struct arguments arguments = {.command = self, .flags = flags};
    if (!arguments_parse(&arguments, argc, argv))
        return EXIT_USAGE;
    if (arguments.help)
        return EXIT_DONE;
    if (arguments.word_count)
        return arguments_refuse(self, "tx orphans takes no \"%.60s\"", arguments.words[0]);
    if (participant && !name_valid(participant))
        return arguments_refuse(self, "--participant: a name is %s", name_rule);
    return list_orphans(&arguments.options, participant ? participant : "");
}

const struct command tx_orphans_command = {
    .name = "tx orphans",
    .usage = "[--participant P]",
    .summary = "list prepared transactions that nobody looks after",
    .help = "Asks every database for all that is prepared in its server, and lists what is\n"
            "not simply in flight, with what to do about each kind:\n"
            "\n"
            "  held         Troth's, and their coordinator's journal does not know them\n"
            "  abandoned    Troth's, of a coordinator that is not connected there\n"
            "  foreign      not Troth's\n"
            "  elsewhere    in a database of the server where no participant works\n"
            "\n"
            "AGE is how long it is prepared, with its locks held. XIDS is how many\n"
            "transactions vacuum is held back by it.\n"
            "\n"
            "  --participant P    only ask P\n"
            "\n"
            "Exit codes: 0 listed; 2 a mistake in the words; 3 nobody answers.\n"
            "\n"
            "Examples:\n"
            "  troth tx orphans\n"
            "  troth --coordinator tcp://127.0.0.1:7412 tx orphans --json\n",
    .run = run_orphans,
};
